//! From the claims of a token to an identity. Pure: the time comes in, and the signature has been checked before.

use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::time::UnixMicros;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::spec::{ClaimPath, IssuerSpec};
use crate::identity::token::Pseudonym;
use crate::identity::visible::{is_reserved, is_visible};

/// Longest name that comes out of a claim, with its prefix.
const NAME_BYTES_MAX: usize = 256;
/// Groups in a token. Providers that have more say so instead of listing them.
const GROUPS_MAX: usize = 256;
/// Who acts for whom, one behind the other: with the subject and the token, as many as the record keeps of a chain.
const ACTORS_MAX: usize = 6;
/// Longest `jti` that is kept as the token's name.
const JTI_BYTES_MAX: usize = 128;
/// Seconds beyond which a time is a mistake: the year 9999.
const SECONDS_MAX: f64 = 253_402_300_799.0;

const MICROS: u64 = 1_000_000;

/// Claims as an object.
pub(super) type Claims = Map<String, Value>;

/// Whether these claims are of this issuer: by `iss`, or, where there is none, by the trust domain of a SPIFFE id.
pub(super) fn is_of(spec: &IssuerSpec, claims: &Claims) -> bool {
    match claims.get("iss") {
        Some(iss) => iss.as_str() == Some(&spec.url),
        None => {
            let sub = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
            spec.url.starts_with("spiffe://")
                && sub.strip_prefix(&spec.url).is_some_and(|path| path.starts_with('/'))
        }
    }
}

/// What needs no key: whether the token is for one of these, and when. Returns when it ends.
pub(super) fn check(
    spec: &IssuerSpec,
    names: &[String],
    claims: &Claims,
    now: UnixMicros,
) -> Result<UnixMicros, Fault> {
    audience(names, claims)?;
    if claims.contains_key("cnf") {
        return Err(Fault::Bound);
    }
    let micros = |length: std::time::Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    let (skew, max_age) = (micros(spec.skew), micros(spec.max_age));
    let ends = time(claims, "exp")?.ok_or(Fault::Claim)?;
    let latest = now.0.saturating_add(skew);
    if ends.saturating_add(skew) <= now.0 {
        return Err(Fault::Expired);
    }
    let (made, from) = (time(claims, "iat")?, time(claims, "nbf")?);
    if [made, from].into_iter().flatten().any(|since| since > latest) {
        return Err(Fault::Early);
    }
    let ends = match made {
        Some(made) => ends.min(made.saturating_add(max_age)),
        None if ends > latest.saturating_add(max_age) => return Err(Fault::Age),
        None => ends,
    };
    if ends.saturating_add(skew) <= now.0 {
        return Err(Fault::Age);
    }
    Ok(UnixMicros(ends.saturating_add(skew)))
}

/// A claim that is a time (NumericDate of RFC 7519), in microseconds.
fn time(claims: &Claims, name: &str) -> Result<Option<u64>, Fault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    if let Some(seconds) = value.as_u64() {
        return seconds.checked_mul(MICROS).map(Some).ok_or(Fault::Claim);
    }
    let seconds = value.as_f64().filter(|s| (0.0..SECONDS_MAX).contains(s)).ok_or(Fault::Claim)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "neither negative nor too large; a part of a second does not matter"
    )]
    let seconds = seconds as u64;
    Ok(Some(seconds * MICROS))
}

fn audience(names: &[String], claims: &Claims) -> Result<(), Fault> {
    let ours = |value: &Value| value.as_str().is_some_and(|aud| names.iter().any(|own| own == aud));
    let fits = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().all(Value::is_string) && all.iter().any(ours),
        Some(one) => ours(one),
        None => false,
    };
    if fits { Ok(()) } else { Err(Fault::Audience) }
}

/// Who the claims name. `fingerprint` names the token where it has no `jti`.
pub(super) fn identity(
    spec: &IssuerSpec,
    claims: &Claims,
    expires: UnixMicros,
    fingerprint: &str,
    pseudonym: &Pseudonym,
) -> Result<Identity, Fault> {
    let link = |kind, name: String| Link { kind, id: pseudonym(kind, &name), name, trust: Trust::Verified };
    let mut chain = vec![link(kind(spec, claims)?, subject(spec, claims)?)];
    for name in actors(spec, claims)? {
        chain.push(link(IdentityKind::Agent, name));
    }
    let login = chain.last().map(|link| link.name.clone()).unwrap_or_default();
    let subject = chain.first().map(|link| link.id.clone()).unwrap_or_default();
    let jti = claims.get("jti").and_then(Value::as_str);
    let jti =
        jti.filter(|jti| (1..=JTI_BYTES_MAX).contains(&jti.len()) && !jti.chars().any(char::is_control));
    chain.push(link(IdentityKind::Token, format!("{}/{}", spec.name, jti.unwrap_or(fingerprint))));
    let mut identity = Identity {
        chain,
        login,
        subject,
        issuer: Some(spec.name.clone()),
        groups: groups(spec, claims)?,
        expires: Some(expires),
        ..Identity::default()
    };
    let fitting: Vec<_> =
        spec.allow.iter().filter(|rule| rule.when.iter().all(|c| c.holds(claims))).collect();
    if fitting.is_empty() {
        return Err(Fault::NoRule);
    }
    for rule in fitting {
        identity.targets.extend(rule.targets.iter().cloned());
        identity.roles.extend(&rule.roles);
    }
    Ok(identity.settled())
}

fn kind(spec: &IssuerSpec, claims: &Claims) -> Result<IdentityKind, Fault> {
    let Some(claim) = &spec.kind_claim else { return Ok(spec.kind) };
    let kind = claim.of(claims).and_then(Value::as_str).and_then(IdentityKind::parse);
    kind.filter(|kind| *kind != IdentityKind::Token).ok_or(Fault::Claim)
}

fn subject(spec: &IssuerSpec, claims: &Claims) -> Result<String, Fault> {
    let name = text(&spec.name_claim, claims)?;
    if spec.name_claim.as_str() == "email" {
        // Anybody can give an address at many providers; only this says that it is theirs.
        let verified = claims.get("email_verified");
        if !verified.is_some_and(|v| *v == Value::Bool(true) || v.as_str() == Some("true")) {
            return Err(Fault::Email);
        }
    }
    named(spec, name)
}

pub(super) fn text<'a>(claim: &ClaimPath, claims: &'a Claims) -> Result<&'a str, Fault> {
    claim.of(claims).and_then(Value::as_str).ok_or(Fault::Claim)
}

/// A name as it stands here.
pub(super) fn named(spec: &IssuerSpec, name: &str) -> Result<String, Fault> {
    let whole = format!("{}{name}", spec.prefix);
    if is_reserved(&whole) {
        return Err(Fault::Reserved);
    }
    let fits = is_visible(name) && whole.len() <= NAME_BYTES_MAX;
    if fits { Ok(whole) } else { Err(Fault::Claim) }
}

/// Who acts for the subject, the one that acts now last: the outermost `act` (RFC 8693 4.1), behind those nested in it.
fn actors(spec: &IssuerSpec, claims: &Claims) -> Result<Vec<String>, Fault> {
    let mut actors = Vec::new();
    let mut act = claims.get("act");
    while let Some(actor) = act {
        let actor = actor.as_object().ok_or(Fault::Claim)?;
        let name = actor.get("sub").and_then(Value::as_str).ok_or(Fault::Claim)?;
        if actors.len() >= ACTORS_MAX {
            return Err(Fault::Claim);
        }
        // Of another issuer, it is another one than who has the same name here.
        actors.push(match actor.get("iss") {
            None => named(spec, name)?,
            Some(Value::String(iss)) if *iss == spec.url => named(spec, name)?,
            Some(Value::String(iss)) => named(spec, &format!("{iss}#{name}"))?,
            Some(_) => return Err(Fault::Claim),
        });
        act = actor.get("act");
    }
    actors.reverse();
    Ok(actors)
}

fn groups(spec: &IssuerSpec, claims: &Claims) -> Result<Vec<String>, Fault> {
    let Some(value) = spec.groups_claim.as_ref().and_then(|claim| claim.of(claims)) else {
        return Ok(Vec::new());
    };
    let listed = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    if listed.len() > GROUPS_MAX {
        // A rule may forbid what one of those does that would be left out.
        return Err(Fault::Claim);
    }
    let group = |value: &Value| {
        let name = value.as_str().filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let name = name.filter(|name| !name.chars().any(char::is_control)).ok_or(Fault::Claim)?;
        Ok(format!("{}/{name}", spec.name))
    };
    listed.iter().map(group).collect()
}
