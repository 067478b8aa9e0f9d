//! The signer: reads what stands on disk, hashes it again, and signs how far the log has come.
//!
//! # In scope
//!
//! The keys that sign ([`keys`]), the signer's own memory of what it signed last, the tiles and bundles that are derived from the
//! segments ([`signer`]), and reading those again ([`serve`]). All of it over [`crate::io::Io`], one step at a time, so that
//! tests can make every call of the disk fail.
//!
//! # Out of scope
//!
//! When it is time to sign, threads, HTTP, asking witnesses: the gateway's. Cosignatures: the witness's ([`crate::witness`]). Proving anything to anybody: the verifier's.
//!
//! # The files
//!
//! ```text
//! data/signer/lock                    flock of the process that signs
//! data/signer/keys.json               which keys there are, the newest first, and until when each signs
//! data/signer/log-<key id>.key        a key (PRIVATE+KEY+…), 0600
//! data/signer/last                    the newest checkpoint that was ever signed, as a note
//! data/signer/stored                  up to where tiles are known to be on disk
//! data/signer/policy                  what an auditor of this log would begin with (C2SP tlog-policy)
//! data/tlog/keys                      all keys of this log, in public, current first
//! data/tlog/<epoch>/vkey              those that sign now
//! data/tlog/<epoch>/checkpoint        the newest published checkpoint
//! data/tlog/<epoch>/checkpoints/<n>   one a minute at most
//! data/tlog/<epoch>/cosigned          the newest that enough witnesses cosigned ([`cosigned`])
//! data/tlog/<epoch>/tile/…            tiles of hashes, bundles of entries (C2SP tlog-tiles)
//! ```
//!
//! # What is promised
//!
//! - What is signed was read from the segments, with the signer's own file handles. The writer says how far they are durable, and
//!   is believed in nothing else.
//! - `last` is durable before anybody can see the checkpoint. Whatever fails or crashes in between, the next checkpoint continues
//!   it; where the segments do not (a fork, a rollback, damage), nothing is signed any more.
//! - Tiles are derived, and are not waited for until they are on disk: after a crash those since the last known good size are
//!   made again from the segments, and where the root does not come out as it was signed, see above.

pub mod cosigned;
mod folder;
pub mod keys;
pub mod serve;
pub mod signer;
#[cfg(test)]
mod trials;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::io::Io;
use crate::lock::LockError;
use crate::reader::ReadError;
use crate::segment;
use crate::tlog::builder::BuildError;
use crate::tlog::checkpoint::CheckpointError;
use crate::tlog::key::is_name;
use crate::tlog::note::NoteError;
use crate::tlog::tile::ContentError;
use crate::walk::Walk;
use keys::KeysError;
pub use signer::{Did, Options, Published, Signer};

/// Longest origin that may be configured: the epoch is written behind it.
pub const MAX_ORIGIN: usize = 200;

/// Why nothing is signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// Another process signs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A file operation failed.
    #[error("signer: {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Tiles may have been written and not kept. This signer is over: no fdatasync is repeated. Opened again, it makes them anew.
    #[error("signer: fdatasync of {}: {source}", path.display())]
    Sync {
        /// The tile's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It failed so before.
    #[error("signer: it must be opened again")]
    Over,
    /// A segment could not be read.
    #[error("signer: {0}")]
    Read(#[source] ReadError),
    /// What is durable does not stand in the segments.
    #[error("signer: epoch {epoch}: position {position} is durable and cannot be read: {why}")]
    Damaged {
        /// Which tree.
        epoch: u64,
        /// The first position that cannot be read.
        position: u64,
        /// What was found.
        why: String,
    },
    /// The segments hold other entries than those that were signed.
    #[error(
        "signer: epoch {epoch}: the first {size} entries are not those that were signed: the log was altered"
    )]
    Fork {
        /// Which tree.
        epoch: u64,
        /// The size that was signed.
        size: u64,
    },
    /// The log is shorter than what was signed.
    #[error(
        "signer: {signed_size} entries of epoch {signed_epoch} were signed, and the log has {found_size} of epoch {found_epoch}: it was rolled back"
    )]
    Rollback {
        /// Epoch of the newest checkpoint.
        signed_epoch: u64,
        /// Its size.
        signed_size: u64,
        /// Epoch that is written.
        found_epoch: u64,
        /// Entries in it.
        found_size: u64,
    },
    /// The log had another name.
    #[error("signer: {} is of {found:?}, and this log is {wanted:?}", path.display())]
    Origin {
        /// The signer's memory.
        path: PathBuf,
        /// The origin configured.
        wanted: String,
        /// The one that was signed.
        found: String,
    },
    /// The signer's memory is no checkpoint that a key of this log signed.
    #[error("signer: {} is damaged: {source}", path.display())]
    Last {
        /// The file.
        path: PathBuf,
        /// In what way.
        source: CheckpointError,
    },
    /// A tree or a note cannot be larger.
    #[error("signer: {0}")]
    Limit(String),
}

impl SignError {
    /// Whether it will not pass by itself: trying again soon is of no use.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Fork { .. }
                | Self::Rollback { .. }
                | Self::Origin { .. }
                | Self::Last { .. }
                | Self::Limit(_)
        )
    }
}

impl SignError {
    /// Whether the signer must be opened again, which then begins with what is known to be on disk.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::Over)
    }
}

impl From<BuildError> for SignError {
    fn from(e: BuildError) -> Self {
        Self::Limit(e.to_string())
    }
}

impl From<NoteError> for SignError {
    fn from(e: NoteError) -> Self {
        Self::Limit(e.to_string())
    }
}

impl From<CheckpointError> for SignError {
    fn from(e: CheckpointError) -> Self {
        Self::Limit(e.to_string())
    }
}

impl From<ContentError> for SignError {
    fn from(e: ContentError) -> Self {
        Self::Limit(e.to_string())
    }
}

fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SignError {
    let path = path.to_owned();
    move |source| SignError::Io { what, path, source }
}

/// Whether a log may be called so: a URL without its scheme, as `example.com/gw1`.
#[must_use]
pub fn is_origin(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'+');
    plain && is_name(text) && text.len() <= MAX_ORIGIN && !text.contains("://") && !text.ends_with('/')
}

/// How a log is called that was given no name.
#[must_use]
pub fn default_origin(log_id: &[u8; 16]) -> String {
    let digits: String = log_id.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("firsthand.invalid/{digits}")
}

/// The name of one epoch's tree, and of the keys that sign it.
#[must_use]
pub fn tree_origin(origin: &str, epoch: u64) -> String {
    format!("{origin}/e{epoch}")
}

/// Which log a data folder holds, and the epoch that is written; nothing where there is none.
///
/// # Errors
/// Those of the folder and of the newest segment.
pub fn identify(io: &dyn Io, data: &Path) -> io::Result<Option<([u8; 16], u64)>> {
    let log = data.join("log");
    let Some(newest) = segment::list(io, &log)?.pop() else { return Ok(None) };
    let header = Walk::open(io, &log, newest)?.header().clone();
    Ok(Some((header.log_id, header.epoch)))
}
