//! What the configuration says of an issuer: whose tokens, by which keys, and what they come to here.

use std::path::PathBuf;
use std::time::Duration;

use firsthand_model::identity::{IdentityKind, Role};
use serde_json::{Map, Value};

use super::keys::{Algorithm, KeySet};
use crate::credentials::PasswordPlace;

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysAt {
    /// Named by its discovery document, below the issuer's own URL (OpenID Connect Discovery 1.0).
    Discovery,
    /// At this URL.
    Url(String),
    /// In a file, which was read with the configuration.
    File(KeySet),
}

/// A claim: a name, or a JSON pointer (RFC 6901) to one further inside, which begins with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// As it is written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands there.
    pub(super) fn of<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(inside) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) =
            inside.split_once('/').map_or((inside, None), |(first, rest)| (first, Some(rest)));
        let found = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(found), |rest| found.pointer(&format!("/{rest}")))
    }
}

/// A claim, and a pattern that it must match: `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    claim: ClaimPath,
    pattern: String,
}

impl Condition {
    /// Reads `CLAIM = PATTERN`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (claim, pattern) = text.split_once('=')?;
        let (claim, pattern) = (claim.trim(), pattern.trim());
        let fits = !claim.is_empty() && !pattern.is_empty();
        fits.then(|| Self { claim: ClaimPath::new(claim), pattern: pattern.to_owned() })
    }

    /// Whether the claim says so; of a list, whether one of it does.
    pub(super) fn holds(&self, claims: &Map<String, Value>) -> bool {
        let Some(value) = self.claim.of(claims) else { return false };
        match value {
            Value::Array(values) => values.iter().any(|value| self.fits(value)),
            value => self.fits(value),
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => matches(&self.pattern, text),
            Value::Bool(_) | Value::Number(_) => {
                let said = value.to_string();
                said == self.pattern
            }
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}

/// Whether all of `text` is as the pattern says.
pub(in crate::identity) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Whom a rule of an issuer lets in, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// All of these must hold; without any, it is for all tokens of the issuer.
    pub when: Vec<Condition>,
    /// The targets it opens.
    pub targets: Vec<String>,
    /// What it lets its holder do at the gateway itself.
    pub roles: Vec<Role>,
}

/// How people sign in at an issuer (OpenID Connect), and what they get here.
#[derive(Clone, Debug)]
pub struct SignInSpec {
    /// What this gateway is called there. Identity tokens must be meant for it.
    pub client_id: String,
    /// What it proves that with, where the issuer gave it something.
    pub secret: Option<PasswordPlace>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Where a browser comes back to: the issuer knows this URL. `None`: nobody signs in with a browser alone.
    pub redirect: Option<String>,
    /// How long the token holds that they get.
    pub life: Duration,
}

/// An issuer.
#[derive(Clone, Debug)]
pub struct IssuerSpec {
    /// Its name here.
    pub name: String,
    /// What its tokens say in `iss`, to the letter; or `spiffe://TRUST-DOMAIN` for those that say nothing there.
    pub url: String,
    /// Where its keys are.
    pub keys: KeysAt,
    /// Authorities to trust for fetching them; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Who a token must be meant for: one of these names of ours.
    pub audience: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may be apart.
    pub skew: Duration,
    /// A token is not good for longer after it was made, whatever it says.
    pub max_age: Duration,
    /// A larger token is not looked at.
    pub max_bytes: usize,
    /// The claim that is the name.
    pub name_claim: ClaimPath,
    /// What stands before every name: so that an issuer cannot say who bears a token of Firsthand's, or another issuer's.
    pub prefix: String,
    /// Whom its tokens name.
    pub kind: IdentityKind,
    /// The claim that says it instead: `human`, `agent` or `service`.
    pub kind_claim: Option<ClaimPath>,
    /// The claim with groups.
    pub groups_claim: Option<ClaimPath>,
    /// Whether the login name must be the name that the token comes to.
    pub login_is_name: bool,
    /// Whom it lets in.
    pub allow: Vec<Allow>,
    /// How people sign in there; `None`: they do not.
    pub sign_in: Option<SignInSpec>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_look_at_texts_lists_and_what_is_further_inside() {
        let claims = json!({
            "sub": "repo:acme/shop:ref:refs/heads/main", "groups": ["dba", "eng"], "n": 7, "ok": true, "none": null,
            "kubernetes.io": { "namespace": "billing", "pod": { "a/b": "x" } }, "a=b": "c",
        });
        let Value::Object(claims) = claims else { unreachable!() };
        for (text, holds) in [
            ("sub = repo:acme/*", true),
            ("sub=repo:acme/*:ref:refs/heads/main", true),
            ("sub = *", true),
            ("sub = repo:acme/shop", false),
            ("sub = acme/*", false),
            ("sub = *main*main", false),
            ("groups = dba", true),
            ("groups = d*", true),
            ("groups = ops", false),
            ("n = 7", true),
            ("ok = true", true),
            ("ok = t*", false),
            ("none = *", false),
            ("missing = *", false),
            ("/kubernetes.io/namespace = billing", true),
            ("/kubernetes.io/pod/a~1b = x", true),
            ("/kubernetes.io = *", false),
            ("kubernetes.io/namespace = billing", false),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(&claims), holds, "{text}");
        }
        for bad in ["", "sub", "=x", "sub =", " = "] {
            assert_eq!(Condition::parse(bad), None, "{bad}");
        }
    }
}
