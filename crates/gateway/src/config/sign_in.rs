//! What `[[issuer]]` says of people who sign in there (OpenID Connect).

use std::path::Path;
use std::time::Duration;

use firsthand_adapters::credentials::PasswordPlace;
use firsthand_adapters::identity::issuer::spec::SignInSpec;
use firsthand_model::identity::IdentityKind;
use firsthand_session::secret::Secret;

use super::keys::{Form, Key};
use super::read::read_place;
use super::section::{At, Section};
use super::value::show_duration;
use crate::fetch::Address;

/// How long a person is signed in: a working day.
const LIFE: Duration = Duration::from_secs(8 * 3600);
/// The longest: after a day the issuer is asked again whether the person is still there.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// What is asked for where nobody says.
const SCOPES: [&str; 3] = ["openid", "profile", "email"];
/// Where nothing is said of signing in, these say nothing.
const ALL: [&str; 4] = ["client_secret", "scopes", "redirect_url", "token_life"];

/// The table of the secret.
pub(super) const SECTION: (&str, &str) =
    ("issuer.client_secret", "`client_secret` of an issuer: where it is found. Exactly one of the keys.");

const fn of_issuer(name: &'static str, form: Form, default: &'static str, about: &'static str) -> Key {
    Key { section: "issuer", name, form, default, about }
}

/// In `[[issuer]]`.
pub(super) const CLIENT_ID: Key = of_issuer(
    "client_id",
    Form::Text,
    "none: nobody signs in",
    "What this gateway is called at the issuer, where people sign in there (`firsthand login`): the `aud` of their identity tokens. \
     `audience` need not be given then, and without it no other token of the issuer counts.",
);
/// In `[[issuer]]`.
pub(super) const CLIENT_SECRET: Key = of_issuer(
    "client_secret",
    Form::TextOrTable("issuer.client_secret"),
    "none: a public client",
    "What the gateway proves that with. It stays here: who signs in does not see it. Written here as text it works, and is warned about.",
);
/// In `[[issuer]]`.
pub(super) const SCOPES_KEY: Key = of_issuer(
    "scopes",
    Form::Texts,
    "`openid`, `profile`, `email`",
    "What is asked for when somebody signs in; `openid` must be among it. Groups often take one more.",
);
/// In `[[issuer]]`.
pub(super) const REDIRECT: Key = of_issuer(
    "redirect_url",
    Form::Text,
    "none: not with a browser alone",
    "Where a browser comes back to, as the issuer knows it: `https://GATEWAY:PORT/v1/login/NAME/callback`.",
);
/// In `[[issuer]]`.
pub(super) const TOKEN_LIFE: Key = of_issuer(
    "token_life",
    Form::Duration,
    "`8h`",
    "How long somebody is signed in: the token ends then that they get here. At most `1d`.",
);
/// In the table.
pub(super) const ENV: Key = Key {
    section: "issuer.client_secret",
    name: "env",
    form: Form::Text,
    default: "none",
    about: "This environment variable.",
};
/// In the table.
pub(super) const FILE: Key = Key {
    section: "issuer.client_secret",
    name: "file",
    form: Form::Path,
    default: "none",
    about: "This file; one line end at its end does not count.",
};

/// What an issuer's table says of it. `with_http`: there is an API to sign in over.
pub(super) fn read(
    section: &Section<'_>,
    folder: &Path,
    (name, url): (Option<&At<String>>, Option<&At<String>>),
    kind: Option<IdentityKind>,
    with_http: bool,
) -> Option<SignInSpec> {
    if section.span_of("client_id").is_none() {
        for key in ALL {
            if let Some(at) = section.span_of(key) {
                let hint = "add `client_id = …`, as the issuer calls this gateway";
                section.bad(&at, key, "is of use only where people sign in", hint);
            }
        }
        return None;
    }
    let client_id = section.required_text("client_id");
    if let Some(At { value, span }) = &client_id {
        section.came_to("client_id", Some(span), &**value);
        if !with_http {
            let what =
                format!("{}: signing in goes over the API, and there is no listen.http", section.shown);
            section.warn(Some(span), what);
        }
        if section.span_of("kind_claim").is_none() && kind.is_some_and(|kind| kind != IdentityKind::Human) {
            let hint = "only people sign in: kind = \"human\", or a `kind_claim` that says so";
            section.bad(span, "client_id", "the issuer's tokens name no people", hint);
        }
    }
    if let Some(At { value, span }) = url
        && let Err(why) = Address::parse(value)
    {
        let hint = "signing in takes an issuer with a discovery document below its `url`";
        section.bad(span, "url", format!("`{value}`: {why}, so nobody can sign in there"), hint);
    }
    let secret = read_secret(section, folder);
    let scopes = read_scopes(section);
    let redirect = section.text("redirect_url").map(|at| read_redirect(section, &at, name));
    if redirect.is_none() {
        section.came_to("redirect_url", None, "none");
    }
    let life = section.duration("token_life", Some(LIFE)).unwrap_or(LIFE);
    if life > LIFE_MAX
        && let Some(at) = section.span_of("token_life")
    {
        let hint = "sign in once a day: the issuer says then whether somebody is still there";
        section.bad(&at, "token_life", format!("is more than {}", show_duration(LIFE_MAX)), hint);
    }
    Some(SignInSpec { client_id: client_id?.value, secret, scopes, redirect, life })
}

fn read_secret(section: &Section<'_>, folder: &Path) -> Option<PasswordPlace> {
    if !section.is_text("client_secret") {
        let place = section.table("client_secret", "issuer.client_secret");
        if section.span_of("client_secret").is_none() {
            section.came_to("client_secret", None, "none");
        }
        return place.and_then(|table| read_place(&table, folder));
    }
    let text = section.text("client_secret")?;
    section.came_to("client_secret", Some(&text.span), "*** (written in the configuration)");
    let what = format!(
        "{}: a secret in the configuration is read by whoever reads the file; use {{ env = … }} or {{ file = … }}",
        section.path("client_secret")
    );
    section.warn(Some(&text.span), what);
    Some(PasswordPlace::Inline(Secret::new(text.value)))
}

fn read_scopes(section: &Section<'_>) -> Vec<String> {
    let scopes = section.texts("scopes");
    let Some(at) = section.span_of("scopes") else {
        section.came_to("scopes", None, SCOPES.join(", "));
        return SCOPES.map(str::to_owned).to_vec();
    };
    // What RFC 6749 3.3 allows in one.
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if let Some(bad) = scopes.iter().find(|scope| scope.is_empty() || !scope.chars().all(fits)) {
        section.bad(
            &at,
            "scopes",
            format!("`{}` is no scope", bad.escape_debug()),
            "write each as an item of its own",
        );
    }
    if !scopes.iter().any(|scope| scope == "openid") {
        section.bad(&at, "scopes", "`openid` is missing", "add it: without it there is no identity token");
    }
    scopes
}

fn read_redirect(section: &Section<'_>, at: &At<String>, name: Option<&At<String>>) -> String {
    let bad = |what: &str| {
        let name = name.map_or("NAME", |name| &name.value);
        let hint =
            format!("write https://GATEWAY:PORT/v1/login/{name}/callback, and give the issuer the same");
        section.bad(&at.span, "redirect_url", format!("`{}`: {what}", at.value.escape_debug()), hint);
    };
    match Address::parse(&at.value) {
        // A browser that comes back brings a code, and gets a cookie.
        Err(_) => bad("not https, nor this machine"),
        Ok(address)
            if name.is_some_and(|name| address.path() != format!("/v1/login/{}/callback", name.value)) =>
        {
            bad("that is not where this gateway waits for browsers that come back");
        }
        Ok(_) => {}
    }
    section.came_to("redirect_url", Some(&at.span), &*at.value);
    at.value.clone()
}
