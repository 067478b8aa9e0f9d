//! `POST /v1/token`: token exchange (RFC 8693). An agent shows its own token and that of a person, and gets a short one of its
//! own for acting for that person. Whoever asks shows no `Authorization`: the two tokens in the form are what counts. Answers
//! and errors have OAuth's form (RFC 6749 5), with our `hint` beside.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use firsthand_adapters::clock::wall;
use firsthand_adapters::identity::exchange::{Asked, No, Side, decide};
use firsthand_adapters::identity::issuer::consent::Acting;
use firsthand_adapters::identity::store::Created;
use firsthand_adapters::identity::token::{Exchanged, NAME_BYTES_MAX, NewToken};
use firsthand_model::event::By;
use firsthand_model::identity::{ClientFacts, Identity, IdentityKind, Link};
use firsthand_model::time::UnixMicros;
use firsthand_session::Wanted;
use firsthand_session::port::Proof;
use firsthand_session::secret::Secret;
use serde_json::{Value, json};

use super::door::{Connection, SECRET_BYTES_MAX, identified};
use super::refused::Refused as Told;
use super::{Api, acts};
use crate::assemble::Gateway;
use crate::cli::token::handed;
use crate::failure::{Exit, Failure};
use crate::web::{HEAD_WAIT_MAX, Known};

/// The grant of RFC 8693.
pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// A token of Firsthand, as NAME:SECRET; or an access token that is a JWT.
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// The token of an issuer.
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// The same, made for who signed in.
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// Two tokens as large as issuers' may be (60 KiB each), and the rest.
const FORM_BYTES_MAX: usize = 128 << 10;
/// Parameters in a form; RFC 8693 has a dozen, and some may be repeated.
const PARAMETERS_MAX: usize = 64;
/// Parameters that count, each once.
const ONCE: [&str; 8] = [
    "grant_type",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "scope",
    "expires_in",
];
/// Longest name of a target.
const TARGET_BYTES_MAX: usize = 256;

/// A refusal in OAuth's form.
struct Refused {
    status: StatusCode,
    /// One of the words of RFC 6749 5.2 and RFC 8693 2.2.2.
    error: &'static str,
    what: String,
    hint: &'static str,
}

impl Refused {
    fn new(error: &'static str, what: impl Into<String>, hint: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, what: what.into(), hint }
    }

    fn request(what: impl Into<String>) -> Self {
        Self::new("invalid_request", what, "docs/api.md describes what is asked")
    }

    fn with(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<No> for Refused {
    fn from(no: No) -> Self {
        let error = match no {
            No::Target { .. } | No::NoTarget => "invalid_target",
            _ => "invalid_request",
        };
        Self::new(error, no.to_string(), no.hint())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // What RFC 6749 allows in it.
        let fits = |c: char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
        let what: String = self.what.chars().map(|c| if fits(c) { c } else { '?' }).collect();
        let body = json!({ "error": self.error, "error_description": what, "hint": self.hint });
        (self.status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// One of the two tokens.
struct Presented {
    secret: Secret,
    /// The name that stands before the secret, of one of Firsthand's.
    login: Option<String>,
}

impl Presented {
    /// Of this type. Firsthand's secrets have no dot, and issuers' tokens no colon.
    fn read(text: &str, kind: &str) -> Option<Self> {
        match (kind, text.split_once(':')) {
            (ACCESS_TOKEN, Some((login, secret)))
                if (1..=NAME_BYTES_MAX).contains(&login.len())
                    && (1..=SECRET_BYTES_MAX).contains(&secret.len())
                    && !secret.contains('.') =>
            {
                Some(Self { secret: Secret::new(secret.to_owned()), login: Some(login.to_owned()) })
            }
            (ACCESS_TOKEN | JWT | ID_TOKEN, None) if text.contains('.') => {
                Some(Self { secret: Secret::new(text.to_owned()), login: None })
            }
            _ => None,
        }
    }

    fn proof(&self) -> (Proof, String) {
        let secret = Secret::new(self.secret.expose().to_owned());
        match &self.login {
            Some(login) => (Proof::ClearText { login: login.clone(), secret }, login.clone()),
            None => (Proof::Bearer { secret }, String::new()),
        }
    }
}

/// What a form asks.
struct Form {
    subject: Presented,
    actor: Presented,
    asked: Asked,
}

/// Answers an exchange.
pub(super) async fn exchange(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    known: Option<Extension<Known>>,
    request: Request,
) -> Response {
    match exchanged(&api, from, known, request).await {
        Ok(answer) => {
            let never = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
            (never, Json(answer)).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

async fn exchanged(
    api: &Arc<Api>,
    from: Connection,
    known: Option<Extension<Known>>,
    request: Request,
) -> Result<Value, Refused> {
    if !from.may_carry_secrets() {
        let why = "an exchange came in clear text from another machine: whoever listens has its tokens now";
        api.gateway.engine.record_refused(true, "clear-text", &Wanted::default(), &from.client, why);
        let what = "tokens are not taken in clear text from other machines";
        let hint =
            "use https; the gateway needs [listen] tls for it. What was sent in clear text should be revoked";
        return Err(Refused::new("invalid_request", what, hint).with(StatusCode::FORBIDDEN));
    }
    let form = read(request).await?;
    let subject = proved(api, &form.subject, &from.client, "subject").await?;
    let actor = proved(api, &form.actor, &from.client, "actor").await?;
    if let Some(Extension(known)) = known {
        known.set();
    }
    let Some(by) = by(&subject, &actor, from.client) else {
        return Err(Refused::request("a token without a name"));
    };
    let refuse = |refused: Refused, why: &'static str| {
        api.tell_refused(&actor.login, &by, &Told { why, target: "", detail: &refused.what });
        refused
    };
    let (new, exchanged) = decided(api, &form, &subject, &actor).map_err(|no| refuse(no, "exchange"))?;
    let (gateway, who) = (Arc::clone(&api.gateway), by.clone());
    let config = gateway.config.load_full();
    let made = acts::to_its_end(async move {
        let created = gateway.desk.exchange_token(&new, exchanged, &who).await?;
        Ok(Json(answer(&created, json!(handed(&created, Some(&config))))))
    });
    match made.await {
        Ok(Json(answer)) => Ok(answer),
        Err(failure) if failure.later => Err(not_now(&failure)),
        Err(failure) if failure.exit == Exit::Usage => Err(Refused::request(failure.messages.join("; "))),
        Err(failure) => {
            let hint = "use those that are there; each ends by itself, within the hour";
            let refused = Refused::new("temporarily_unavailable", failure.messages.join("; "), hint);
            Err(refuse(refused.with(StatusCode::TOO_MANY_REQUESTS), "limit"))
        }
    }
}

fn not_now(failure: &Failure) -> Refused {
    let hint = "try again later; /readyz says how the gateway is";
    Refused::new("temporarily_unavailable", failure.messages.join("; "), hint)
        .with(StatusCode::SERVICE_UNAVAILABLE)
}

/// The answer of RFC 8693 2.2.1, with what `firsthand token create` shows beside.
fn answer(created: &Created, mut handed: Value) -> Value {
    let (token, secret) = (&created.token, created.secret.expose());
    let seconds = token.expires.map_or(0, |end| end.duration_since(token.created).as_secs());
    json!({
        "access_token": format!("{}:{secret}", token.name), "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer", "expires_in": seconds, "scope": token.targets.join(" "),
        "id": token.id, "targets": handed.get_mut("targets").map(Value::take), "expires": token.expires.map(|t| t.to_string()),
    })
}

/// The form, once its parameters are what they must be.
async fn read(request: Request) -> Result<Form, Refused> {
    let headers = request.headers();
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(Refused::request("an Authorization header; the agent's token goes into actor_token"));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refused::request("Content-Type is not application/x-www-form-urlencoded"));
    }
    let body = tokio::time::timeout(HEAD_WAIT_MAX, to_bytes(request.into_body(), FORM_BYTES_MAX)).await;
    let late = |_| Refused::request("the form did not come in time").with(StatusCode::REQUEST_TIMEOUT);
    let large = |_| Refused::request("the form is too long").with(StatusCode::PAYLOAD_TOO_LARGE);
    parse(&body.map_err(late)?.map_err(large)?)
}

/// Reads the parameters. What is not known is passed over, as RFC 6749 3.2 has it; what is known stands once.
fn parse(body: &[u8]) -> Result<Form, Refused> {
    let (mut once, mut targets) = (HashMap::new(), Vec::new());
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count >= PARAMETERS_MAX {
            return Err(Refused::request("too many parameters"));
        }
        // One without a value counts as left out.
        match &*name {
            _ if value.is_empty() => {}
            "audience" => targets.push(value.into_owned()),
            "resource" => targets.push(of_resource(&value)?),
            known if ONCE.contains(&known) => {
                let before = once.insert(name.clone().into_owned(), Secret::new(value.into_owned()));
                if before.is_some() {
                    return Err(Refused::request(format!("{name} stands twice")));
                }
            }
            _ => {}
        }
    }
    let text = |name: &str| once.get(name).map(Secret::expose);
    let needed = |name: &str| text(name).ok_or_else(|| Refused::request(format!("{name} is missing")));
    if needed("grant_type")? != GRANT {
        let hint = "grant_type is urn:ietf:params:oauth:grant-type:token-exchange here";
        return Err(Refused::new("unsupported_grant_type", "there is no such grant here", hint));
    }
    if text("requested_token_type").is_some_and(|kind| kind != ACCESS_TOKEN) {
        return Err(Refused::request("requested_token_type is not that of an access token"));
    }
    let presented = |whose: &str| {
        let (token, kind) = (needed(&format!("{whose}_token"))?, needed(&format!("{whose}_token_type"))?);
        let unfit = || Refused::request(format!("{whose}_token is no token of its {whose}_token_type"));
        Presented::read(token, kind).ok_or_else(unfit)
    };
    let (subject, actor) = (presented("subject")?, presented("actor")?);
    targets.extend(text("scope").into_iter().flat_map(str::split_ascii_whitespace).map(str::to_owned));
    if targets.iter().any(|name| name.len() > TARGET_BYTES_MAX || name.chars().any(char::is_control)) {
        return Err(bad_target());
    }
    let seconds = text("expires_in").map(str::parse).transpose();
    let seconds = seconds.map_err(|_| Refused::request("expires_in is no number of seconds"))?;
    Ok(Form { subject, actor, asked: Asked { targets, life: seconds.map(Duration::from_secs) } })
}

fn bad_target() -> Refused {
    let hint =
        "audience is the name of a target; resource a URL whose path is one, as in a connection string";
    Refused::new("invalid_target", "that is no target", hint)
}

/// The target that a URL names: its whole path.
fn of_resource(url: &str) -> Result<String, Refused> {
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let fits = |path: &&str| !path.is_empty() && !path.contains(['/', '?', '#', '%']);
    path.filter(fits).map(str::to_owned).ok_or_else(bad_target)
}

/// Who a token names. Failures count and are recorded as those of the API; the answer is one for whatever is wrong.
async fn proved(
    api: &Arc<Api>,
    shown: &Presented,
    client: &ClientFacts,
    whose: &str,
) -> Result<Identity, Refused> {
    let (proof, login) = shown.proof();
    identified(api, proof, login, client).await.map_err(|response| match response.status() {
        StatusCode::UNAUTHORIZED => Refused::new(
            "invalid_request",
            format!("the gateway does not accept the {whose} token"),
            "check it; tokens end and can be revoked, and after failures the next try has to wait",
        ),
        status => Refused::new(
            "temporarily_unavailable",
            "the gateway cannot look at it now",
            "try again in a moment",
        )
        .with(status),
    })
}

/// Who asks, for entries: the agent, for the person, by the token that it showed. `None` where a chain is empty, which none is.
fn by(subject: &Identity, actor: &Identity, client: ClientFacts) -> Option<By> {
    let link = actor.chain.iter().rfind(|link| !link.kind.proves())?.clone();
    let is_person = |link: &&Link| link.kind == IdentityKind::Human;
    let chain = if is_person(&&link) {
        actor.chain.clone()
    } else {
        let person = subject.chain.iter().filter(is_person);
        person.chain(actor.chain.iter().filter(|link| !is_person(link))).cloned().collect()
    };
    Some(By { link, chain, client: Some(client) })
}

/// Whether the one may have a token for the other.
fn decided(
    api: &Api,
    form: &Form,
    subject: &Identity,
    actor: &Identity,
) -> Result<(NewToken, Exchanged), Refused> {
    let (gateway, now) = (&api.gateway, wall());
    // What was proved a moment ago, and may have ended since.
    if api.has_ended(Some(subject)) || api.has_ended(Some(actor)) {
        return Err(Refused::request("a token that was shown has ended meanwhile"));
    }
    let says = match (&form.subject.login, &form.actor.login) {
        // Of who has signed in, the issuer may have said it in the token that was for the gateway alone.
        (Some(_), _) => may_act_elsewhere(api, subject).then_some(false),
        (None, login) => {
            let acting = match login {
                Some(login) => Acting::Firsthand(login),
                None => Acting::Issued(form.actor.secret.expose()),
            };
            let says = gateway.issuers.may_act(form.subject.secret.expose(), &acting);
            says.map_err(|fault| Refused::request(fault.text()))?
        }
    };
    let side = |identity| side(gateway, identity);
    let rules = &gateway.config.load().exchange;
    Ok(decide((side(subject), side(actor)), says, rules, &form.asked, now)?)
}

/// Whether the issuer of who has signed in said who may act for them. What it said is not kept: its own token is to be shown.
fn may_act_elsewhere(api: &Api, subject: &Identity) -> bool {
    let id = subject.chain.iter().rfind(|link| link.kind == IdentityKind::Token);
    let token = id.and_then(|link| api.gateway.desk.tokens.find(&link.name));
    token.and_then(|token| token.signed_in.as_ref().map(|it| it.may_act)).unwrap_or(false)
}

/// What hangs on the token that somebody showed.
fn side<'a>(gateway: &Gateway, identity: &'a Identity) -> Side<'a> {
    if identity.issuer.is_some() {
        return Side { identity, ends: identity.expires, exchanged: false };
    }
    let id = identity.chain.iter().rfind(|link| link.kind == IdentityKind::Token).map(|link| &link.name);
    let token = id.and_then(|id| gateway.desk.tokens.find(id));
    let ends = token.as_ref().and_then(|token| token.expires);
    let ends = ends.map(|end| UnixMicros(u64::try_from(end.as_microsecond()).unwrap_or(0)));
    // One that is not there any more is good for nothing.
    Side { identity, ends, exchanged: token.is_none_or(|token| token.exchanged.is_some()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Result<Form, Refused> {
        let good = [
            ("grant_type", GRANT),
            ("subject_token", "a.b.c"),
            ("subject_token_type", JWT),
            ("actor_token", "bot:fh_x"),
            ("actor_token_type", ACCESS_TOKEN),
        ];
        let kept = good.iter().filter(|(name, _)| !pairs.iter().any(|(other, _)| other == name));
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(kept).extend_pairs(pairs);
        parse(text.finish().as_bytes())
    }

    #[test]
    fn forms_say_each_thing_once_and_in_its_form() {
        let whole = form(&[
            ("audience", "orders"),
            ("audience", "shop"),
            ("resource", "postgresql://gateway:6432/payroll"),
            ("scope", "a b"),
            ("client_id", "passed over"),
            ("requested_token_type", ""),
            ("expires_in", "60"),
        ]);
        let Ok(whole) = whole else { panic!("it is whole") };
        assert_eq!(whole.asked.targets, ["orders", "shop", "payroll", "a", "b"]);
        assert_eq!(whole.asked.life, Some(Duration::from_secs(60)));
        assert_eq!((whole.subject.login.as_deref(), whole.actor.login.as_deref()), (None, Some("bot")));
        let long = "n".repeat(TARGET_BYTES_MAX + 1);
        for (pairs, error) in [
            (&[("grant_type", "password")][..], "unsupported_grant_type"),
            (&[("grant_type", "")], "invalid_request"),
            (&[("subject_token", "")], "invalid_request"),
            (&[("actor_token_type", "")], "invalid_request"),
            (&[("subject_token", "a.b.c"), ("subject_token", "a.b.d")], "invalid_request"),
            (&[("subject_token_type", "urn:ietf:params:oauth:token-type:saml2")], "invalid_request"),
            (&[("subject_token", "ada:fh_x")], "invalid_request"),
            (&[("actor_token", "bot:a.b.c")], "invalid_request"),
            (&[("actor_token", "bot:")], "invalid_request"),
            (&[("actor_token", "fh_x")], "invalid_request"),
            (&[("requested_token_type", JWT)], "invalid_request"),
            (&[("expires_in", "-1")], "invalid_request"),
            (&[("expires_in", "soon")], "invalid_request"),
            (&[("resource", "orders")], "invalid_target"),
            (&[("resource", "https://gateway/a/b")], "invalid_target"),
            (&[("resource", "https://gateway/")], "invalid_target"),
            (&[("audience", "a\nb")], "invalid_target"),
            (&[("audience", &long)], "invalid_target"),
        ] {
            assert_eq!(form(pairs).err().map(|refused| refused.error), Some(error), "{pairs:?}");
        }
        let many = vec![("audience", "orders"); PARAMETERS_MAX];
        assert_eq!(form(&many).err().map(|refused| refused.error), Some("invalid_request"));
    }
}
