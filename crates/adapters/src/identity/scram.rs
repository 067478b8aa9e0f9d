//! What is kept of a token's secret: a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677). The secret itself is shown once and
//! forgotten.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What every secret starts with, so that scanners of code and logs can find a leaked one.
pub const SECRET_PREFIX: &str = "fh_";
/// Iterations of PBKDF2: PostgreSQL's own default. The secret has 256 bits of chance, so iterations protect nothing
/// further; clients pay for them at every connection, and so do we for clear text (1 to 2 ms).
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();
/// Salt length: as PostgreSQL's.
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// The random source or the cryptographic library failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct CryptoError;

/// A new secret: `fh_` and 43 characters for 32 random bytes.
///
/// # Errors
/// When the system gives no random bytes.
pub fn new_secret() -> Result<Zeroizing<String>, CryptoError> {
    let mut bytes = Zeroizing::new([0u8; KEY_BYTES]);
    rand::fill(&mut *bytes).map_err(|_| CryptoError)?;
    let mut text = Zeroizing::new(String::with_capacity(SECRET_PREFIX.len() + 43));
    text.push_str(SECRET_PREFIX);
    URL_SAFE_NO_PAD.encode_string(*bytes, &mut text);
    Ok(text)
}

/// A SCRAM-SHA-256 verifier.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verifier {
    /// Salt of PBKDF2.
    #[serde(with = "b64")]
    pub salt: Vec<u8>,
    /// Its iterations.
    pub iterations: NonZeroU32,
    /// `SHA-256(HMAC(SaltedPassword, "Client Key"))`.
    #[serde(with = "b64")]
    pub stored_key: [u8; KEY_BYTES],
    /// `HMAC(SaltedPassword, "Server Key")`.
    #[serde(with = "b64")]
    pub server_key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Verifier(***)")
    }
}

impl Verifier {
    /// The verifier of `secret`, with a salt of its own.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn of(secret: &str) -> Result<Self, CryptoError> {
        let mut salt = vec![0u8; SALT_BYTES];
        rand::fill(&mut salt).map_err(|_| CryptoError)?;
        let (stored_key, server_key) = derive(secret, &salt, ITERATIONS);
        Ok(Self { salt, iterations: ITERATIONS, stored_key, server_key })
    }

    /// A verifier that no secret fits, always the same for the same name, so that asking tells nothing.
    #[must_use]
    pub fn made_up(key: &[u8; KEY_BYTES], name: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let part = |tag: &[u8]| {
            let mut context = hmac::Context::with_key(&key);
            context.update(tag);
            context.update(name.as_bytes());
            array(context.sign().as_ref())
        };
        let mut salt = part(b"salt\0").to_vec();
        salt.truncate(SALT_BYTES);
        Self { salt, iterations: ITERATIONS, stored_key: part(b"stored\0"), server_key: part(b"server\0") }
    }

    /// Whether `secret` is the one. Takes the same time whatever is wrong with it.
    #[must_use]
    pub fn fits(&self, secret: &str) -> bool {
        let (stored_key, _) = derive(secret, &self.salt, self.iterations);
        constant_time::verify_slices_are_equal(&stored_key, &self.stored_key).is_ok()
    }
}

/// StoredKey and ServerKey. A token is ASCII, so SASLprep changes nothing in it.
fn derive(secret: &str, salt: &[u8], iterations: NonZeroU32) -> ([u8; KEY_BYTES], [u8; KEY_BYTES]) {
    let mut salted = Zeroizing::new([0u8; KEY_BYTES]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, secret.as_bytes(), &mut *salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    (array(stored_key.as_ref()), array(hmac::sign(&key, b"Server Key").as_ref()))
}

fn array(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut out = [0; KEY_BYTES];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// SHA-256 in lower-case hexadecimal: names files' contents (the configuration's, the program's) in the record.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(64);
    firsthand_model::json::write_hex(&mut out, digest::digest(&digest::SHA256, bytes).as_ref());
    String::from_utf8(out).unwrap_or_default()
}

/// Bytes as base64 in JSON.
pub(super) mod b64 {
    use super::STANDARD;
    use base64::Engine as _;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(in crate::identity) fn serialize<S: Serializer>(
        bytes: impl AsRef<[u8]>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    pub(in crate::identity) fn deserialize<'de, D, T>(d: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: TryFrom<Vec<u8>>,
    {
        let text = String::deserialize(d)?;
        let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("not base64"))?;
        T::try_from(bytes).map_err(|_| D::Error::custom("wrong length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_the_form_that_is_documented() {
        let secret = new_secret().unwrap();
        assert!(secret.starts_with(SECRET_PREFIX));
        assert_eq!(secret.len(), 3 + 43);
        assert_ne!(*secret, *new_secret().unwrap());
    }

    #[test]
    fn derivation_agrees_with_rfc_7677() {
        // RFC 7677 section 3: password "pencil". The server's signature over the example's AuthMessage proves ServerKey,
        // and so SaltedPassword.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let (_, server_key) = derive("pencil", &salt, ITERATIONS);
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &server_key), message.as_bytes());
        assert_eq!(STANDARD.encode(signature.as_ref()), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn only_the_right_secret_fits() {
        let verifier = Verifier::of("fh_right").unwrap();
        assert!(verifier.fits("fh_right"));
        assert!(!verifier.fits("fh_wrong"));
        assert!(!verifier.fits(""));
    }

    #[test]
    fn made_up_verifiers_are_steady_and_differ_by_name() {
        let (a, b) = (Verifier::made_up(&[7; 32], "a"), Verifier::made_up(&[7; 32], "b"));
        assert!(a == Verifier::made_up(&[7; 32], "a"));
        assert!(a != b);
        assert_eq!(a.salt.len(), SALT_BYTES);
    }
}
