//! Signed notes: a text, an empty line, and who signed it.
//!
//! Each signature line is an em dash, the key's name, and base64 of the key's id (4 bytes, big-endian) and the signature.
//! Anyone may add a line, so lines of unknown keys mean nothing; a line that claims a known key and does not verify spoils
//! the whole note.
//!
//! Specification: <https://c2sp.org/signed-note>.

use std::str;

use thiserror::Error;

use super::cosignature;
use super::encoding::{from_base64, to_base64};
use super::key::{KeyKind, SigningKey, VerifyingKey, is_name};

/// Most signatures on a note.
pub const MAX_SIGNATURES: usize = 64;
/// Longest note: room for all its signatures, were they of the largest kind known (ML-DSA, 5 kB).
pub const MAX_NOTE: usize = 512 * 1024;
/// How a signature line begins.
const DASH: &str = "— ";

/// Why bytes are no note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`].
    #[error("a note has at most {MAX_NOTE} bytes")]
    TooLong,
    /// Not UTF-8, or with control characters in it.
    #[error("a note is UTF-8 without control characters other than newlines")]
    Characters,
    /// No empty line, or nothing behind it.
    #[error("a note is a text, an empty line, and signatures, each line ended")]
    Form,
    /// The text does not end with a newline.
    #[error("a note's text ends with a newline")]
    Text,
    /// A signature line is not of the form.
    #[error("signature line {0} is not `— NAME BASE64`")]
    Signature(usize),
    /// More than [`MAX_SIGNATURES`].
    #[error("a note has at most {MAX_SIGNATURES} signatures")]
    TooMany,
    /// A key of another kind was asked to sign.
    #[error("a key for cosignatures does not sign notes")]
    Kind,
}

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// A line claims a known key, and the key did not sign that.
    #[error("the signature of {name} ({id:08x}) does not verify")]
    Bad {
        /// The key's name.
        name: String,
        /// The key's id.
        id: u32,
    },
    /// None of the keys signed.
    #[error("no known key signed this note")]
    Unsigned,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    id: u32,
    bytes: Vec<u8>,
}

impl Signature {
    /// What a key made.
    pub(crate) fn of(key: &VerifyingKey, bytes: Vec<u8>) -> Self {
        Self { name: key.name().to_owned(), id: key.id(), bytes }
    }

    /// Reads one line, without its newline.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(DASH)?.split_once(' ')?;
        if !is_name(name) {
            return None;
        }
        let all = from_base64(base64)?;
        let (id, bytes) = all.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: u32::from_be_bytes(*id), bytes: bytes.to_vec() })
    }

    /// The line, without its newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut all = self.id.to_be_bytes().to_vec();
        all.extend_from_slice(&self.bytes);
        format!("{DASH}{} {}", self.name, to_base64(&all))
    }

    /// Name of the key that it claims to be of.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key that it claims to be of.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What follows the id.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it claims to be of this key.
    #[must_use]
    pub fn claims(&self, key: &VerifyingKey) -> bool {
        self.name == key.name() && self.id == key.id()
    }
}

/// A key that signed, and when it says it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed {
    /// Which of the keys given.
    pub key: usize,
    /// Seconds since 1970, of a cosignature.
    pub time: Option<u64>,
}

/// A text and its signatures. Whether they are good is [`Note::verify`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text that nobody signed yet.
    pub fn new(text: &str) -> Result<Self, NoteError> {
        // The shortest form adds one newline before the signatures.
        if text.len() >= MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        if !is_plain(text) {
            return Err(NoteError::Characters);
        }
        if !text.ends_with('\n') {
            return Err(NoteError::Text);
        }
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Reads a note with at least one signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let all = str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        // The text may hold empty lines; the last one ends it.
        let (text, lines) = all.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let mut note = Self::new(&format!("{text}\n"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        if !is_plain(lines) {
            return Err(NoteError::Characters);
        }
        for (line, number) in lines.split('\n').zip(1..) {
            if note.signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooMany);
            }
            note.signatures.push(Signature::parse(line).ok_or(NoteError::Signature(number))?);
        }
        Ok(note)
    }

    /// The note as [`Note::parse`] reads it, once it is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n", self.text);
        for signature in &self.signatures {
            out.push_str(&signature.to_line());
            out.push('\n');
        }
        out
    }

    /// What is signed, final newline included. Not to be believed before [`Note::verify`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All lines, whether of known keys or not.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signs the text with a log's key.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), NoteError> {
        if key.verifying().kind() != KeyKind::Note {
            return Err(NoteError::Kind);
        }
        self.add(Signature::of(key.verifying(), key.sign(self.text.as_bytes())))
    }

    /// Adds a line, as a witness's answer; once, if it is there already.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooMany);
        }
        let length = self.to_text().len() + signature.to_line().len() + 1;
        if length > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Who of `keys` signed: at least one, and none of whose name a line does not verify. A key that signed more than once
    /// is given once, with its newest time.
    pub fn verify(&self, keys: &[VerifyingKey]) -> Result<Vec<Signed>, VerifyError> {
        let mut found: Vec<Signed> = Vec::new();
        for signature in &self.signatures {
            for (at, key) in keys.iter().enumerate().filter(|(_, key)| signature.claims(key)) {
                let time = self.check(signature, key)?;
                match found.iter_mut().find(|signed| signed.key == at) {
                    Some(signed) => signed.time = signed.time.max(time),
                    None => found.push(Signed { key: at, time }),
                }
            }
        }
        if found.is_empty() { Err(VerifyError::Unsigned) } else { Ok(found) }
    }

    /// The time of a good cosignature, nothing for a good signature.
    fn check(&self, signature: &Signature, key: &VerifyingKey) -> Result<Option<u64>, VerifyError> {
        let good = match key.kind() {
            KeyKind::Note => key.signed(self.text.as_bytes(), &signature.bytes).then_some(None),
            KeyKind::Cosignature => cosignature::time_of(&self.text, signature, key).map(Some),
        };
        good.ok_or_else(|| VerifyError::Bad { name: key.name().to_owned(), id: key.id() })
    }
}

/// Whether there are no control characters but newlines.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| b < b' ' && b != b'\n')
}
