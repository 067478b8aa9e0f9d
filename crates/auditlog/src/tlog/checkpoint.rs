//! Checkpoints: which log, how many entries, and the root over them, as the text of a signed note.
//!
//! Further lines are allowed and are kept in the note, where cosignatures cover them, but they mean nothing here and are never
//! written.
//!
//! Specification: <https://c2sp.org/tlog-checkpoint>.

use thiserror::Error;

use super::MAX_SIZE;
use super::encoding::{decimal, hash_from_base64, to_base64};
use super::key::{SigningKey, VerifyingKey};
use super::note::{Note, NoteError, VerifyError};
use crate::tree::{Frontier, Hash};

/// Longest origin, in bytes: what newer cosignatures can commit to.
pub const MAX_ORIGIN: usize = 255;

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty one, or no newline at the end.
    #[error("a checkpoint is three lines or more, none empty")]
    Lines,
    /// No origin that can be written.
    #[error("an origin has 1 to {MAX_ORIGIN} bytes and no control characters")]
    Origin,
    /// Not a number, or too large.
    #[error("a tree size is decimal without leading zeros and at most {MAX_SIZE}")]
    Size,
    /// Not 32 bytes of base64.
    #[error("a root is base64 of 32 bytes")]
    Root,
    /// A root that no empty tree has.
    #[error("a tree without entries has one root, SHA-256 of nothing, and this is another")]
    EmptyRoot,
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its signatures.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Signed by the right key, and of another log.
    #[error("the checkpoint is of {found:?}, not of {wanted:?}")]
    OtherLog {
        /// Asked for.
        wanted: String,
        /// In the checkpoint.
        found: String,
    },
}

/// A tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The head of a log's tree.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.len() > MAX_ORIGIN || origin.bytes().any(|b| b < b' ') {
            return Err(CheckpointError::Origin);
        }
        if size > MAX_SIZE {
            return Err(CheckpointError::Size);
        }
        if size == 0 && root != Frontier::new().root() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Reads the text of a note; lines after the third are not looked at, but must not be empty.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        if [origin, size, root].contains(&"") || lines.any(str::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = hash_from_base64(root).ok_or(CheckpointError::Root)?;
        Self::new(origin, size, root)
    }

    /// Reads a note, and believes it if one of `keys` that bears the origin's name signed it and no line that claims one of
    /// `keys` is bad.
    pub fn open(bytes: &[u8], origin: &str, keys: &[VerifyingKey]) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(bytes)?;
        let signed = note.verify(keys)?;
        let of_log = |key: &VerifyingKey| key.kind() == super::key::KeyKind::Note && key.name() == origin;
        if !signed.iter().filter_map(|s| keys.get(s.key)).any(of_log) {
            return Err(VerifyError::Unsigned.into());
        }
        let checkpoint = Self::parse(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::OtherLog { wanted: origin.to_owned(), found: checkpoint.origin });
        }
        Ok((checkpoint, note))
    }

    /// The three lines.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, to_base64(&self.root))
    }

    /// The note, signed by each of `keys`.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<Note, NoteError> {
        let mut note = Note::new(&self.to_text())?;
        for key in keys {
            note.sign(key)?;
        }
        Ok(note)
    }

    /// Which log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }
}
