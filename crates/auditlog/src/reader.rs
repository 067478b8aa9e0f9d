//! Reading the log: entries in order, over all segments and epochs, while a gateway may be writing.
//!
//! What is read is checked as it goes: the checksum chain of the frames (also from one segment to the next), positions
//! without gaps, and each payload against the commitment in its leaf. A reader never writes and needs no lock.
//!
//! - [`Reader`] knows the folder: its segments, where a position stands.
//! - [`cursor::Cursor`] walks forward and can wait at the end.
//! - [`payload::Opener`] opens payloads where the key is there.

pub mod cursor;
pub mod payload;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use thiserror::Error;

use crate::frame::FrameError;
use crate::io::Io;
use crate::keys::{KeyError, KeyStore};
use crate::segment::{self, HeaderError, SegmentName};
use cursor::Cursor;
use payload::Opener;

/// Where an entry stands. Positions start at 0 in each epoch; epochs only go up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The epoch.
    pub epoch: u64,
    /// The position in it.
    pub position: u64,
}

/// Why the log cannot be read (further).
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no log.
    #[error("there is no log in {}", .0.display())]
    NoLog(PathBuf),
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment's header is not one.
    #[error("segment {segment}: {source}")]
    Header {
        /// The segment.
        segment: SegmentName,
        /// In what way.
        source: HeaderError,
    },
    /// What stands in a segment is not what was written there.
    #[error("segment {segment} is damaged at byte {byte}, where position {position} should stand: {source}")]
    Damaged {
        /// The segment.
        segment: SegmentName,
        /// Offset in its file.
        byte: u64,
        /// The position that should stand there.
        position: u64,
        /// In what way.
        source: FrameError,
    },
    /// A segment does not continue the one before it.
    #[error(
        "segment {segment} does not continue the one before it, which ends before position {position}: a segment is missing or not from this log"
    )]
    Missing {
        /// The segment.
        segment: SegmentName,
        /// The position that should come next.
        position: u64,
    },
    /// A leaf that is no JSON.
    #[error("position {position} of segment {segment} is not a readable entry: {source}")]
    Leaf {
        /// The segment.
        segment: SegmentName,
        /// The entry.
        position: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The key store cannot be opened.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Nobody waits for it any more.
    #[error("reading was stopped")]
    Stopped,
}

/// The log of a data folder, for reading.
#[derive(Debug, Clone)]
pub struct Reader {
    io: Arc<dyn Io>,
    log: PathBuf,
    keys: Option<Arc<KeyStore>>,
    stop: Option<Arc<AtomicBool>>,
}

impl Reader {
    /// Opens the log in `data/log`, with the keys in `data/keys` if there are any: a copy without them is read too, with
    /// its payloads sealed.
    pub fn open(data: &Path, io: Arc<dyn Io>) -> Result<Self, ReadError> {
        let log = data.join("log");
        let there = io.list(&log).is_ok();
        if !there {
            return Err(ReadError::NoLog(data.to_owned()));
        }
        let has_keys = io.open(&data.join("keys").join("master.key"), false).is_ok();
        let keys = if has_keys { Some(Arc::new(KeyStore::open(data, Arc::clone(&io))?)) } else { None };
        Ok(Self { io, log, keys, stop: None })
    }

    /// Reads until this is set: then whatever reads on gets [`ReadError::Stopped`], in the middle of a long search too.
    #[must_use]
    pub fn until(self, stop: Arc<AtomicBool>) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// The key store, where there is one.
    #[must_use]
    pub fn keys(&self) -> Option<&Arc<KeyStore>> {
        self.keys.as_ref()
    }

    /// The folder of the segments.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.log
    }

    /// File operations.
    #[must_use]
    pub fn io(&self) -> &Arc<dyn Io> {
        &self.io
    }

    /// The segments, in order.
    pub fn segments(&self) -> Result<Vec<SegmentName>, ReadError> {
        segment::list(&*self.io, &self.log).map_err(|source| ReadError::Io { path: self.log.clone(), source })
    }

    /// Opens payloads.
    #[must_use]
    pub fn opener(&self) -> Opener {
        Opener::new(self.keys.clone())
    }

    /// Entries from the beginning.
    pub fn from_start(&self) -> Result<Cursor, ReadError> {
        self.from_segment(SegmentName { epoch: 0, first: 0 })
    }

    /// Entries from the first segment that is `name` or comes after it.
    pub fn from_segment(&self, name: SegmentName) -> Result<Cursor, ReadError> {
        Ok(Cursor::new(Arc::clone(&self.io), self.log.clone(), name, self.stop.clone()))
    }

    /// Entries from a place on. What stands before it in its segment is read over, checked.
    pub fn from_place(&self, place: Place) -> Result<Cursor, ReadError> {
        let wanted = SegmentName { epoch: place.epoch, first: place.position };
        let segments = self.segments()?;
        let within = segments.iter().rev().find(|s| **s <= wanted).filter(|s| s.epoch == place.epoch);
        let mut cursor = self.from_segment(within.copied().unwrap_or(wanted))?;
        cursor.skip_to(place)?;
        Ok(cursor)
    }
}
