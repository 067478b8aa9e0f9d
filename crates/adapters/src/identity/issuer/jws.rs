//! A token in its compact form (RFC 7515): three parts in base64url with dots between. What stands in it is not to be
//! believed before [`Jws::is_signed_by`].

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::fault::Fault;
use super::keys::{Key, Material};
use super::strict;

/// Longest header in base64url. It names an algorithm and a key; certificates that some put there are not looked at.
const HEADER_BYTES_MAX: usize = 8 << 10;
/// Longest signature in base64url: RSA with 8192 bits.
const SIGNATURE_BYTES_MAX: usize = 1366;
/// Longest name of a key.
const KID_BYTES_MAX: usize = 512;

/// The algorithms that are known here: with a public key, and none that somebody who knows that key can sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA on Curve25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// Its name in headers (RFC 7518, RFC 8037).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads the name; these are case-sensitive.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

/// A token taken apart.
pub(super) struct Jws<'a> {
    /// How it says that it is signed.
    pub(super) algorithm: Algorithm,
    /// The key it says it is signed with.
    pub(super) kid: Option<String>,
    /// What it says.
    pub(super) claims: Map<String, Value>,
    /// The bytes that are signed.
    pub(super) signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    pub(super) fn read(token: &'a str) -> Result<Self, Fault> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Fault::Form);
        };
        if header.len() > HEADER_BYTES_MAX || signature.len() > SIGNATURE_BYTES_MAX {
            return Err(Fault::Size);
        }
        let signed = token.get(..header.len() + 1 + claims.len()).ok_or(Fault::Form)?.as_bytes();
        let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Fault::Form);
        let (header, claims, signature) = (bytes(header)?, bytes(claims)?, bytes(signature)?);
        if signature.is_empty() {
            return Err(Fault::Form);
        }
        let (algorithm, kid) = read_header(&header)?;
        let claims = strict::object(&claims).ok_or(Fault::Json)?;
        Ok(Self { algorithm, kid, claims, signed, signature })
    }

    /// Whether the holder of this key has signed it, by the algorithm that it names.
    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        let (signed, signature) = (self.signed, &self.signature);
        let fits = match (&key.material, self.algorithm) {
            (Material::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            (Material::Rsa { n, e }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, signed, signature)
            }
            (Material::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Material::Ed25519(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&ED25519, point).verify(signed, signature)
            }
            (Material::Rsa { .. } | Material::P256(_) | Material::Ed25519(_), _) => return false,
        };
        fits.is_ok()
    }
}

/// Of the header only what names algorithm and key counts. Keys in it, and places where keys are (`jwk`, `jku`, `x5c`,
/// `x5u`), are the token's own word and not looked at.
fn read_header(bytes: &[u8]) -> Result<(Algorithm, Option<String>), Fault> {
    let header = strict::object(bytes).ok_or(Fault::Json)?;
    if header.contains_key("crit") {
        return Err(Fault::Critical);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(typ)) if is_type(typ) => {}
        Some(_) => return Err(Fault::Type),
    }
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::parse);
    let algorithm = algorithm.ok_or(Fault::Algorithm)?;
    match header.get("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Ok((algorithm, Some(kid.clone()))),
        Some(_) => Err(Fault::Key),
    }
}

/// An identity or access token (RFC 7519 5.1, RFC 9068 2.1, SPIFFE JWT-SVID 2.2), and not a logout token, a proof of
/// possession or whatever else the same issuer signs with the same key.
fn is_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    matches!(typ, "jwt" | "at+jwt" | "jose")
}
