//! The keys of an issuer, as it publishes them (a JWK set, RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

pub use super::jws::Algorithm;
use super::strict;

/// Keys in one set: providers have two to five, a large cluster some more.
const KEYS_MAX: usize = 128;
/// Bytes of a set that are read.
pub const SET_BYTES_MAX: usize = 512 << 10;
/// Bytes of an RSA modulus: 2048 to 8192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// Bytes of an RSA exponent.
const EXPONENT_BYTES_MAX: usize = 8;
/// Bytes of a coordinate on P-256, and of a point of Ed25519.
const POINT_BYTES: usize = 32;

/// What a signature is checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Material {
    /// Modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// A point.
    Ed25519(Vec<u8>),
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Its name in the set.
    pub(super) kid: Option<String>,
    /// The only algorithm that it is for, where the issuer says so.
    only: Option<Algorithm>,
    /// The key.
    pub(super) material: Material,
}

impl Key {
    fn is_for(&self, algorithm: Algorithm) -> bool {
        let fits = match self.material {
            Material::Rsa { .. } => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        fits && self.only.is_none_or(|only| only == algorithm)
    }
}

/// All keys of an issuer that can be used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWK set. Keys for other uses and of other kinds are passed over; symmetric ones are no keys for this.
    ///
    /// # Errors
    /// When there is none to be used.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > SET_BYTES_MAX {
            return Err(format!("more than {SET_BYTES_MAX} bytes are no key set"));
        }
        let set = strict::object(bytes).ok_or("it is no JSON object")?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or("it has no list `keys`")?;
        if listed.len() > KEYS_MAX {
            return Err(format!("{} keys are more than {KEYS_MAX}", listed.len()));
        }
        let keys: Vec<_> = listed.iter().filter_map(|key| read_key(key.as_object()?)).collect();
        if keys.is_empty() {
            return Err("there is no key in it for RS256, PS256, ES256 or EdDSA".to_owned());
        }
        Ok(Self(keys))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The key that a token names. One that names none means the only one that its algorithm may be checked with.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.0.iter().filter(|key| key.is_for(algorithm));
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

fn read_key(key: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    // SPIFFE bundles say `jwt-svid` of the keys that sign tokens, and `x509-svid` of others.
    if !matches!(key.get("use"), None | Some(Value::String(_))) || !is_for_signatures(text("use")) {
        return None;
    }
    if let Some(uses) = key.get("key_ops")
        && !uses.as_array()?.iter().any(|op| op == "verify")
    {
        return None;
    }
    let only = match key.get("alg") {
        None => None,
        Some(word) => Some(Algorithm::parse(word.as_str()?)?),
    };
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
    let point = |name: &str| bytes(name).filter(|bytes| bytes.len() == POINT_BYTES);
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let (n, e) = (without_zeros(bytes("n")?), without_zeros(bytes("e")?));
            let fits = MODULUS_BYTES.contains(&n.len()) && (1..=EXPONENT_BYTES_MAX).contains(&e.len());
            fits.then_some(Material::Rsa { n, e })?
        }
        ("EC", Some("P-256")) => Material::P256([&[4], &point("x")?[..], &point("y")?[..]].concat()),
        ("OKP", Some("Ed25519")) => Material::Ed25519(point("x")?),
        _ => return None,
    };
    let kid = match key.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.to_owned()),
    };
    Some(Key { kid, only, material })
}

fn is_for_signatures(purpose: Option<&str>) -> bool {
    matches!(purpose, None | Some("sig" | "jwt-svid"))
}

/// Some write leading zeros, which are none of the number.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const ED: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    fn set(keys: &[String]) -> Result<KeySet, String> {
        KeySet::read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn only_keys_that_check_signatures_are_kept() {
        let with = |key: &str, more: &str| format!("{{{key}{more}}}");
        for (key, fits) in [
            (with(EC, ""), true),
            (with(EC, r#","use":"sig","kid":"a","alg":"ES256""#), true),
            (with(EC, r#","use":"jwt-svid""#), true),
            (with(EC, r#","key_ops":["verify"]"#), true),
            (with(EC, r#","use":"enc""#), false),
            (with(EC, r#","use":"x509-svid""#), false),
            (with(EC, r#","use":7"#), false),
            (with(EC, r#","key_ops":["sign"]"#), false),
            (with(EC, r#","alg":"ES384""#), false),
            (with(EC, r#","alg":"HS256""#), false),
            (with(EC, r#","kid":5"#), false),
            (with(ED, ""), true),
            (r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(), false),
            (r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(), false),
            (r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned(), false),
            ("7".to_owned(), false),
        ] {
            assert_eq!(set(std::slice::from_ref(&key)).is_ok(), fits, "{key}");
        }
        let many: Vec<_> = (0..=KEYS_MAX).map(|_| with(EC, "")).collect();
        assert!(set(&many).is_err() && set(&many[1..]).is_ok());
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(KeySet::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_found_by_its_name_and_its_kind() {
        let named = |key: &str, kid: &str| format!(r#"{{{key},"kid":"{kid}"}}"#);
        let keys = set(&[named(EC, "a"), named(EC, "b"), named(ED, "a")]).unwrap();
        assert_eq!(keys.find(Some("a"), Algorithm::EdDsa), keys.0.get(2));
        assert_eq!(keys.find(Some("b"), Algorithm::Es256), keys.0.get(1));
        assert_eq!(keys.find(Some("b"), Algorithm::EdDsa), None);
        assert_eq!(keys.find(Some("a"), Algorithm::Rs256), None);
        assert_eq!(keys.find(None, Algorithm::EdDsa), keys.0.get(2), "the only one");
        assert_eq!(keys.find(None, Algorithm::Es256), None, "which of them?");
    }
}
