//! What a witness decides, without any IO: which logs it watches, what it has seen of one, a request in, a verdict out.
//!
//! A gateway's log has a tree for each epoch, with origin `ORIGIN/eE` and a key of that name; the 32 bytes of the key are the
//! same in all. So one that is watched stands for all its epochs: the verifier key of any of them says the bytes. Each tree is
//! remembered for itself: what is not an extension within an epoch is refused, and that an epoch follows the one before is what
//! the entries say.

use thiserror::Error;

use super::request::{Request, RequestError};
use crate::tlog::checkpoint::{Checkpoint, CheckpointError};
use crate::tlog::encoding::decimal;
use crate::tlog::key::{KEY_BYTES, KeyError, KeyKind, VerifyingKey};
use crate::tlog::note::Note;
use crate::tlog::proof::{ProofError, verify_consistency};
use crate::tree::{Frontier, Hash};

/// Most logs that one witness watches.
pub const MAX_LOGS: usize = 1024;
/// Most keys of one log.
pub const MAX_KEYS: usize = 16;

/// Why a log cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WatchError {
    /// There is nothing to check it by.
    #[error("{0}: it has 1 to {MAX_KEYS} keys")]
    Keys(String),
    /// A key of another log.
    #[error("{origin}: the key {key} is of another log; its name must be {origin}{}", if *epochs { ", or that and /e1, /e2…" } else { "" })]
    Name {
        /// The log.
        origin: String,
        /// The key.
        key: String,
        /// Whether all epochs are meant.
        epochs: bool,
    },
    /// A witness's key.
    #[error("{origin}: {key} is not the key of a log (kind 0x01)")]
    Kind {
        /// The log.
        origin: String,
        /// The key.
        key: String,
    },
    /// Two of them would answer for one tree.
    #[error("{0} is watched twice")]
    Twice(String),
    /// More than [`MAX_LOGS`].
    #[error("at most {MAX_LOGS} logs are watched")]
    TooMany,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is no request.
    #[error("{0}")]
    Malformed(#[from] RequestError),
    /// What it is about is no checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// It goes on from more than it says there is.
    #[error("the old size {old} is more than the checkpoint's, {new}")]
    Shrinks {
        /// From where.
        old: u64,
        /// To where.
        new: u64,
    },
    /// Nobody asked to watch it.
    #[error("the log {0:?} is not watched here")]
    Unknown(String),
    /// None of the log's keys signed, or a signature is bad.
    #[error("no key of the log has signed it: {0}")]
    Unsigned(String),
    /// It goes on from another size than was cosigned last.
    #[error("{known} entries were cosigned, not {old}")]
    Stale {
        /// As it says.
        old: u64,
        /// Cosigned.
        known: u64,
    },
    /// The same size, and another root.
    #[error("another tree of {known} entries was cosigned: the log has two histories")]
    Forked {
        /// Cosigned.
        known: u64,
    },
    /// The proof does not lead from what was cosigned to this.
    #[error("it does not extend the {known} entries that were cosigned: {why}")]
    Unproven {
        /// Cosigned.
        known: u64,
        /// How it fails.
        why: ProofError,
    },
}

impl Refusal {
    /// The status that says it over HTTP.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::Checkpoint(_) | Self::Shrinks { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::Unknown(_) => 404,
            Self::Stale { .. } | Self::Forked { .. } => 409,
            Self::Unproven { .. } => 422,
        }
    }

    /// The size that is answered, where one is.
    #[must_use]
    pub fn known(&self) -> Option<u64> {
        match self {
            Self::Stale { known, .. } | Self::Forked { known } => Some(*known),
            _ => None,
        }
    }

    /// Whether a key of the log has signed what may be two histories. (Who sends a good checkpoint with a bad proof looks the same.)
    #[must_use]
    pub fn accuses(&self) -> bool {
        matches!(self, Self::Forked { .. } | Self::Unproven { .. })
    }
}

/// A log that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    origin: String,
    epochs: bool,
    keys: Vec<[u8; KEY_BYTES]>,
}

impl Watched {
    /// Of that origin, or with `epochs` of `ORIGIN/e1`, `ORIGIN/e2`, and so on. A key may bear the name of any of its trees.
    pub fn new(origin: &str, epochs: bool, vkeys: &[VerifyingKey]) -> Result<Self, WatchError> {
        let mut log = Self { origin: origin.to_owned(), epochs, keys: Vec::new() };
        if vkeys.is_empty() || vkeys.len() > MAX_KEYS {
            return Err(WatchError::Keys(origin.to_owned()));
        }
        for vkey in vkeys {
            let key = || vkey.to_vkey();
            if vkey.kind() != KeyKind::Note {
                return Err(WatchError::Kind { origin: origin.to_owned(), key: key() });
            }
            if vkey.name() != origin && !log.has(vkey.name()) {
                return Err(WatchError::Name { origin: origin.to_owned(), key: key(), epochs });
            }
            log.keys.push(*vkey.public());
        }
        Ok(log)
    }

    /// How it is called, without an epoch.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether a tree is one of its.
    fn has(&self, tree: &str) -> bool {
        if !self.epochs {
            return tree == self.origin;
        }
        let epoch = tree.strip_prefix(&self.origin).and_then(|rest| rest.strip_prefix("/e"));
        epoch.and_then(decimal).is_some_and(|epoch| epoch > 0)
    }

    fn keys_of(&self, tree: &str) -> Result<Vec<VerifyingKey>, KeyError> {
        self.keys.iter().map(|key| VerifyingKey::new(tree, KeyKind::Note, *key)).collect()
    }
}

/// All logs that are watched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch(Vec<Watched>);

impl Watch {
    /// Each tree may be of one only.
    pub fn new(logs: Vec<Watched>) -> Result<Self, WatchError> {
        if logs.len() > MAX_LOGS {
            return Err(WatchError::TooMany);
        }
        for (at, log) in logs.iter().enumerate() {
            let same = |other: &&Watched| {
                other.origin == log.origin && other.epochs == log.epochs
                    || other.has(&log.origin) && !log.epochs
                    || log.has(&other.origin) && !other.epochs
            };
            if logs.iter().skip(at + 1).find(same).is_some() {
                return Err(WatchError::Twice(log.origin.clone()));
            }
        }
        Ok(Self(logs))
    }

    /// The logs.
    #[must_use]
    pub fn logs(&self) -> &[Watched] {
        &self.0
    }

    /// Reads a request, and finds the log that has signed it. What was cosigned before plays no part yet.
    pub fn read(&self, body: &[u8]) -> Result<Asked, Refusal> {
        let request = Request::parse(body)?;
        let checkpoint = Checkpoint::parse(request.note().text())?;
        let origin = checkpoint.origin();
        let unknown = || Refusal::Unknown(origin.to_owned());
        let log = self.0.iter().find(|log| log.has(origin)).ok_or_else(unknown)?;
        // An origin that no key can be called by is of no log that could have signed it.
        let keys = log.keys_of(origin).map_err(|_| unknown())?;
        request.note().verify(&keys).map_err(|e| Refusal::Unsigned(e.to_string()))?;
        if request.old() > checkpoint.size() {
            return Err(Refusal::Shrinks { old: request.old(), new: checkpoint.size() });
        }
        Ok(Asked { checkpoint, request })
    }
}

/// What was cosigned last of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Seen {
    /// Of a tree that was never cosigned.
    #[must_use]
    pub fn nothing() -> Self {
        Self { size: 0, root: Frontier::new().root() }
    }
}

/// A request that a log has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    checkpoint: Checkpoint,
    request: Request,
}

impl Asked {
    /// The tree.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    /// What would be seen once it is cosigned.
    #[must_use]
    pub fn would_see(&self) -> Seen {
        Seen { size: self.checkpoint.size(), root: *self.checkpoint.root() }
    }

    /// The checkpoint as it was sent.
    #[must_use]
    pub fn note(&self) -> &Note {
        self.request.note()
    }

    /// Whether it extends what was cosigned. To be asked, and what comes of it kept, before anything else is asked of this tree.
    pub fn extends(&self, seen: &Seen) -> Result<(), Refusal> {
        let (old, new) = (self.request.old(), self.would_see());
        if old != seen.size {
            return Err(Refusal::Stale { old, known: seen.size });
        }
        if new.size == seen.size && new.root != seen.root {
            return Err(Refusal::Forked { known: seen.size });
        }
        let unproven = |why| Refusal::Unproven { known: seen.size, why };
        verify_consistency((seen.size, &seen.root), (new.size, &new.root), self.request.proof())
            .map_err(unproven)
    }
}

#[cfg(test)]
mod tests;
