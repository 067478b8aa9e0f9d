//! `[[issuer]]`: whose tokens count, and what they come to.

use std::path::Path;
use std::time::Duration;

use firsthand_adapters::identity::issuer::keys::{Algorithm, KeySet, SET_BYTES_MAX};
use firsthand_adapters::identity::issuer::spec::{Allow, ClaimPath, Condition, IssuerSpec, KeysAt};
use firsthand_adapters::identity::token;
use firsthand_adapters::identity::visible::is_reserved;
use firsthand_model::identity::{IdentityKind, Role};

use super::section::{At, Section, nearest};
use super::sign_in;
use super::value::show_duration;
use crate::fetch::Address;

/// How far clocks may be apart, as most services allow.
const SKEW: Duration = Duration::from_secs(60);
/// More is no difference of clocks any more.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// How long a token is good for at most, whatever it says: a working day and the night.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);
/// Larger tokens are rare: those with hundreds of groups.
const TOKEN_BYTES: u64 = 16 << 10;
/// What the protocol of the database takes as a password.
const TOKEN_BYTES_MAX: u64 = 60 << 10;

/// Reads all of them. `targets` are the names that there are; `with_tls`: database clients can send a token; `with_http`:
/// people can sign in.
pub(super) fn read_issuers(
    top: &Section<'_>,
    folder: &Path,
    targets: &[&str],
    (with_tls, with_http): (bool, bool),
) -> Vec<IssuerSpec> {
    let mut issuers: Vec<IssuerSpec> = Vec::new();
    for section in top.tables("issuer", "issuer") {
        // Where people only sign in, there is no such token.
        if !with_tls && section.span_of("audience").is_some() {
            section.warn(
                Some(&section.span),
                format!(
                    "{}: database clients can show its tokens over TLS only, and there is no listen.tls",
                    section.shown
                ),
            );
        }
        let Some(issuer) = read_issuer(&section, folder, targets, with_http) else { continue };
        if issuers.iter().any(|other| other.name == issuer.name) {
            let what = format!("there is an issuer `{}` already", issuer.name);
            section.bad(&section.span, "name", what, "give each issuer a name of its own");
        }
        if issuers.iter().any(|other| other.url == issuer.url) {
            let what = format!("there is an issuer with the url {} already", issuer.url);
            section.bad(&section.span, "url", what, "put their rules ([[issuer.allow]]) together");
        }
        issuers.push(issuer);
    }
    issuers
}

/// Reads everything of an issuer, so that all its problems are found; `None` when something it needs is missing.
fn read_issuer(
    section: &Section<'_>,
    folder: &Path,
    targets: &[&str],
    with_http: bool,
) -> Option<IssuerSpec> {
    let name = section.required_text("name");
    if let Some(At { value, span }) = &name
        && !token::is_name(value)
    {
        let what = format!("`{}` is not fit for a name", value.escape_debug());
        let hint = "use up to 63 letters, digits, `-`, `_` and `.`: clients may log in with it";
        section.bad(span, "name", what, hint);
    }
    let url = section.required_text("url");
    if let Some(url) = &url {
        section.came_to("url", Some(&url.span), &*url.value);
    }
    let keys = url.as_ref().and_then(|url| read_keys(section, url, folder));
    let ca = section.path_in("ca", folder).map(|ca| {
        section.came_to("ca", Some(&ca.span), ca.value.display().to_string());
        ca.value
    });
    let audience = read_audience(section);
    let algorithms = read_algorithms(section);
    let skew = read_skew(section);
    let max_age = section.duration("max_age", Some(MAX_AGE)).unwrap_or(MAX_AGE);
    let max_bytes = section.size("max_bytes", TOKEN_BYTES, TOKEN_BYTES_MAX);
    let name_claim = read_claim(section, "name_claim").unwrap_or_else(|| {
        section.came_to("name_claim", None, "sub");
        ClaimPath::new("sub")
    });
    let prefix =
        read_prefix(section, name.as_ref(), "its names stand beside those of tokens and of other issuers");
    let kind_claim = read_claim(section, "kind_claim");
    let kind = read_kind(section, kind_claim.is_some());
    let groups_claim = read_claim(section, "groups_claim");
    let login = section.choice("login");
    let login_is_name = login.as_ref().is_some_and(|login| login.value == "name");
    section.came_to("login", login.as_ref().map(|l| &l.span), if login_is_name { "name" } else { "any" });
    let allow = read_rules(section, targets);
    let sign_in = sign_in::read(section, folder, (name.as_ref(), url.as_ref()), kind, with_http);
    Some(IssuerSpec {
        name: name?.value,
        url: url?.value,
        keys: keys?,
        ca,
        audience,
        algorithms,
        skew,
        max_age,
        max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
        name_claim,
        prefix,
        kind: kind?,
        kind_claim,
        groups_claim,
        login_is_name,
        allow,
        sign_in,
    })
}

/// Whom tokens must be meant for. Who only signs in has one that is meant for the gateway's own name at the issuer.
fn read_audience(section: &Section<'_>) -> Vec<String> {
    let audience = section.texts("audience");
    match section.span_of("audience") {
        None if section.span_of("client_id").is_some() => {
            section.came_to_because("audience", "none", "only who signs in counts");
        }
        None => section.missing("audience"),
        Some(at) if audience.is_empty() => {
            let hint = "name what tokens for this gateway say in `aud`: without that, a token for another service opens it";
            section.bad(&at, "audience", "is empty", hint);
        }
        Some(_) => {}
    }
    audience
}

fn read_keys(section: &Section<'_>, url: &At<String>, folder: &Path) -> Option<KeysAt> {
    match (section.text("jwks_url"), section.path_in("jwks_file", folder)) {
        (Some(at), None) => {
            if let Err(why) = Address::parse(&at.value) {
                let hint = "write https://HOST/PATH, or http://127.0.0.1:PORT/PATH for one on this machine";
                section.bad(&at.span, "jwks_url", format!("`{}`: {why}", at.value), hint);
            }
            section.came_to("jwks_url", Some(&at.span), &*at.value);
            Some(KeysAt::Url(at.value))
        }
        (None, Some(file)) => {
            section.came_to("jwks_file", Some(&file.span), file.value.display().to_string());
            match read_set(&file.value) {
                Ok(set) => Some(KeysAt::File(set)),
                Err(why) => {
                    let what = format!("{}: {why}", file.value.display());
                    section.bad(&file.span, "jwks_file", what, "give a JSON file with a JWK set (RFC 7517)");
                    None
                }
            }
        }
        (Some(_), Some(file)) => {
            section.bad(&file.span, "jwks_file", "stands beside `jwks_url`", "keep one of them");
            None
        }
        (None, None) => {
            if section.span_of("jwks_url").is_some() || section.span_of("jwks_file").is_some() {
                return None;
            }
            if let Err(why) = Address::parse(&url.value) {
                let what = format!("`{}`: {why}, so it cannot be asked for its keys", url.value);
                section.bad(&url.span, "url", what, "say where the keys are, with jwks_url or jwks_file");
                return None;
            }
            section.came_to("jwks_url", None, "found by discovery");
            Some(KeysAt::Discovery)
        }
    }
}

fn read_set(file: &Path) -> Result<KeySet, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > u64::try_from(SET_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(format!("{size} bytes are too many for a key set"));
    }
    KeySet::read(&std::fs::read(file).map_err(|e| e.to_string())?)
}

fn read_algorithms(section: &Section<'_>) -> Vec<Algorithm> {
    let words = section.texts("algorithms");
    let Some(at) = section.span_of("algorithms") else {
        let all = Algorithm::ALL.map(Algorithm::word).join(", ");
        section.came_to("algorithms", None, all);
        return Algorithm::ALL.to_vec();
    };
    let known = Algorithm::ALL.map(Algorithm::word);
    let mut algorithms = Vec::new();
    for word in &words {
        match Algorithm::parse(word) {
            Some(algorithm) => algorithms.push(algorithm),
            None => section.bad(&at, "algorithms", format!("`{word}` is not taken"), nearest(word, &known)),
        }
    }
    if words.is_empty() {
        section.bad(&at, "algorithms", "is empty", "name some, or leave it out for all of them");
    }
    algorithms
}

fn read_skew(section: &Section<'_>) -> Duration {
    let skew = section.duration("skew", Some(SKEW)).unwrap_or(SKEW);
    if skew > SKEW_MAX
        && let Some(at) = section.span_of("skew")
    {
        let hint = "a token would be good for so long after its end; set the clocks";
        section.bad(&at, "skew", format!("is more than {}", show_duration(SKEW_MAX)), hint);
    }
    skew
}

fn read_claim(section: &Section<'_>, key: &str) -> Option<ClaimPath> {
    let claim = section.text(key)?;
    if claim.value.is_empty() || claim.value == "/" {
        section.bad(
            &claim.span,
            key,
            "names no claim",
            "write a claim's name, or a path such as `/realm/roles`",
        );
        return None;
    }
    section.came_to(key, Some(&claim.span), &*claim.value);
    Some(ClaimPath::new(&claim.value))
}

/// What names begin with: without one of its own, with the name of who gives them. `stand`: what is said of them where that is nothing.
pub(super) fn read_prefix(section: &Section<'_>, name: Option<&At<String>>, stand: &str) -> String {
    let written = section.text("prefix");
    if let Some(at) = &written
        && at.value.is_empty()
    {
        let what =
            format!("{}: {stand}: whoever it calls `bot` is `bot` to the rules", section.path("prefix"));
        section.warn(Some(&at.span), what);
    }
    let at = written.as_ref().map(|p| p.span.clone());
    let own = || name.map(|name| format!("{}/", name.value));
    let prefix = written.map(|p| p.value).or_else(own).unwrap_or_default();
    if is_reserved(&prefix)
        && let Some(at) = &at
    {
        let what = "begins with local: or channel:, as the names of this machine's users and channels do";
        section.bad(at, "prefix", what, "choose another, such as the name of who gives the names and /");
    }
    section.came_to("prefix", at.as_ref(), format!("`{prefix}`"));
    prefix
}

fn read_kind(section: &Section<'_>, by_claim: bool) -> Option<IdentityKind> {
    let Some(kind) = section.choice("kind") else {
        if !by_claim && section.span_of("kind").is_none() {
            section.missing("kind");
        }
        return by_claim.then_some(IdentityKind::Service);
    };
    if by_claim {
        section.bad(&kind.span, "kind", "stands beside `kind_claim`", "keep one of them");
    }
    section.came_to("kind", Some(&kind.span), kind.value);
    IdentityKind::parse(kind.value)
}

fn read_rules(section: &Section<'_>, targets: &[&str]) -> Vec<Allow> {
    let sections = section.tables("allow", "issuer.allow");
    if sections.is_empty() && section.span_of("allow").is_none() {
        section.missing("allow");
    }
    sections.iter().map(|rule| read_rule(rule, targets)).collect()
}

fn read_rule(section: &Section<'_>, targets: &[&str]) -> Allow {
    let mut allow = Allow::default();
    for text in section.texts("when") {
        match (Condition::parse(&text), section.span_of("when")) {
            (Some(condition), _) => allow.when.push(condition),
            (None, Some(at)) => {
                let hint = "write `claim = pattern`, such as `groups = dba` or `/realm/roles = admin`";
                section.bad(&at, "when", format!("`{text}` is no condition"), hint);
            }
            (None, None) => {}
        }
    }
    allow.targets = section.texts("targets");
    if let Some(at) = section.span_of("targets") {
        for name in allow.targets.iter().filter(|name| !targets.contains(&name.as_str())) {
            section.bad(&at, "targets", format!("there is no target `{name}`"), nearest(name, targets));
        }
    }
    let known = Role::ALL.map(Role::word);
    for word in section.texts("roles") {
        match (Role::parse(&word), section.span_of("roles")) {
            (Some(role), _) => allow.roles.push(role),
            (None, Some(at)) => {
                section.bad(&at, "roles", format!("`{word}` is no role"), nearest(&word, &known));
            }
            (None, None) => {}
        }
    }
    if allow.targets.is_empty() && allow.roles.is_empty() {
        section.bad(&section.span, "targets", "the rule opens nothing", "name targets, or roles");
    }
    allow
}
