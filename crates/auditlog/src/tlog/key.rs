//! Keys that sign notes: Ed25519, with a name, in the text form of C2SP signed-note ("verifier keys").
//!
//! `NAME+ID+BASE64`, where BASE64 holds the byte of the kind and 32 bytes of key. ID is eight hex digits: the first four
//! bytes of SHA-256(name ‖ 0x0A ‖ kind ‖ public key). The private form, `PRIVATE+KEY+NAME+ID+BASE64` with the seed in place of
//! the public key, is no part of the specification but what every implementation reads.
//!
//! Specification: <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-cosignature> (kind 0x04).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::encoding::{from_base64, to_base64};

/// Longest name of a key, in bytes: what newer cosignatures can commit to.
pub const MAX_NAME: usize = 255;
/// Bytes of a public key and of a seed.
pub const KEY_BYTES: usize = 32;
/// Bytes of a signature of Ed25519.
pub const SIGNATURE_BYTES: usize = 64;
/// Longest text of a key: prefix, name, eight digits, base64 of 33 bytes.
const MAX_TEXT: usize = PRIVATE.len() + MAX_NAME + 10 + 44;
/// How a private key's text begins.
const PRIVATE: &str = "PRIVATE+KEY+";

/// What a key signs; part of its id, so that a signature of one kind is never taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// 0x01: the text of a note, as it stands. Logs sign with it.
    Note,
    /// 0x04: a checkpoint and the time of signing. Witnesses sign with it.
    Cosignature,
}

impl KeyKind {
    /// The byte that stands for it.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Note => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Note, Self::Cosignature].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Empty, too long, or with a space or plus in it.
    #[error("a key's name has 1 to {MAX_NAME} bytes and no spaces, plus or control characters")]
    Name,
    /// Not of the form.
    #[error("a verifier key is NAME+ID+BASE64, with eight lowercase hex digits as ID")]
    Form,
    /// Not of the form; the text itself is a secret and is not repeated.
    #[error("a private key is PRIVATE+KEY+NAME+ID+BASE64")]
    PrivateForm,
    /// A kind of key that is not spoken here.
    #[error("the key's kind is {0:#04x}; known are 0x01 (Ed25519) and 0x04 (Ed25519 cosignature)")]
    Kind(u8),
    /// The key's bytes are not those of Ed25519.
    #[error("an Ed25519 key has {KEY_BYTES} bytes, not {0}")]
    Length(usize),
    /// The id in the text is not that of the name and key beside it.
    #[error("the id {found:08x} does not belong to this name and key, whose id is {wanted:08x}")]
    Id {
        /// In the text.
        found: u32,
        /// Computed.
        wanted: u32,
    },
    /// The library refused the seed.
    #[error("the seed makes no Ed25519 key")]
    Seed,
}

/// Whether a name may stand in a signature line.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// Who signed, in public: a name, a kind and 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifyingKey {
    name: String,
    kind: KeyKind,
    id: u32,
    public: [u8; KEY_BYTES],
}

impl VerifyingKey {
    /// A key of that name.
    pub fn new(name: &str, kind: KeyKind, public: [u8; KEY_BYTES]) -> Result<Self, KeyError> {
        if name.len() > MAX_NAME || !is_name(name) {
            return Err(KeyError::Name);
        }
        let digest: [u8; 32] = Sha256::new()
            .chain_update(name.as_bytes())
            .chain_update([b'\n', kind.byte()])
            .chain_update(public)
            .finalize()
            .into();
        let [a, b, c, d, ..] = digest;
        Ok(Self { name: name.to_owned(), kind, id: u32::from_be_bytes([a, b, c, d]), public })
    }

    /// Reads `NAME+ID+BASE64`. The id must be the one that follows from the rest.
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        let (name, id, kind, bytes) = split(vkey).ok_or(KeyError::Form)?;
        let kind = KeyKind::from_byte(kind).ok_or(KeyError::Kind(kind))?;
        let public =
            <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length(bytes.len()))?;
        let key = Self::new(name, kind, public)?;
        key.has_id(id)?;
        Ok(key)
    }

    fn has_id(&self, found: u32) -> Result<(), KeyError> {
        if self.id == found { Ok(()) } else { Err(KeyError::Id { found, wanted: self.id }) }
    }

    /// `NAME+ID+BASE64`.
    #[must_use]
    pub fn to_vkey(&self) -> String {
        join("", self, &self.public)
    }

    /// Its name; of a log's key, the log's origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Four bytes that say which key of that name signed. Not a fingerprint: anyone can find another key with the same id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The key itself (RFC 8032).
    #[must_use]
    pub fn public(&self) -> &[u8; KEY_BYTES] {
        &self.public
    }

    /// Whether `signature` is of exactly these bytes.
    #[must_use]
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_vkey())
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_vkey())
    }
}

/// A key that signs. The seed is wiped when it is dropped.
pub struct SigningKey {
    verifying: VerifyingKey,
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; KEY_BYTES]>,
}

impl SigningKey {
    /// The key that 32 random bytes make; where they come from is the caller's.
    pub fn from_seed(name: &str, kind: KeyKind, seed: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Seed)?;
        let verifying = VerifyingKey::new(name, kind, public)?;
        Ok(Self { verifying, pair, seed: Zeroizing::new(*seed) })
    }

    /// Reads `PRIVATE+KEY+NAME+ID+BASE64`.
    pub fn parse(skey: &str) -> Result<Self, KeyError> {
        let rest = skey.strip_prefix(PRIVATE).ok_or(KeyError::PrivateForm)?;
        let (name, id, kind, bytes) = split(rest).ok_or(KeyError::PrivateForm)?;
        let kind = KeyKind::from_byte(kind).ok_or(KeyError::Kind(kind))?;
        let seed =
            <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length(bytes.len()))?;
        let key = Self::from_seed(name, kind, seed)?;
        key.verifying.has_id(id)?;
        Ok(key)
    }

    /// `PRIVATE+KEY+NAME+ID+BASE64`.
    #[must_use]
    pub fn to_skey(&self) -> Zeroizing<String> {
        Zeroizing::new(join(PRIVATE, &self.verifying, self.seed.as_slice()))
    }

    /// The same 32 bytes under another name: another key to whoever verifies.
    pub fn named(&self, name: &str) -> Result<Self, KeyError> {
        Self::from_seed(name, self.verifying.kind, &self.seed)
    }

    /// Its public half.
    #[must_use]
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// 64 bytes of signature. Of Ed25519 there is but one for a message.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying)
    }
}

/// Name, id, kind and key of `NAME+ID+BASE64`.
fn split(text: &str) -> Option<(&str, u32, u8, Zeroizing<Vec<u8>>)> {
    if text.len() > MAX_TEXT {
        return None;
    }
    // Base64 has a plus of its own; a name and an id have none.
    let (name, rest) = text.split_once('+')?;
    let (id, key) = rest.split_once('+')?;
    if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let id = u32::from_str_radix(id, 16).ok()?;
    let bytes = Zeroizing::new(from_base64(key)?);
    let (kind, bytes) = bytes.split_first()?;
    Some((name, id, *kind, Zeroizing::new(bytes.to_vec())))
}

fn join(prefix: &str, key: &VerifyingKey, bytes: &[u8]) -> String {
    let mut tagged = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    tagged.push(key.kind.byte());
    tagged.extend_from_slice(bytes);
    let base64 = Zeroizing::new(to_base64(&tagged));
    format!("{prefix}{}+{:08x}+{}", key.name, key.id, *base64)
}
