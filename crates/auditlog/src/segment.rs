//! Segment files: names, headers, and the sidecar that a sealed one gets.
//!
//! A segment is `log/<12-digit epoch>-<16-digit first position>.seg`: a header of whole pages, then frames, then zeros
//! up to its reserved length. The header says all that is needed to go on from it alone: the tree's right edge, the
//! checksum the first frame follows, and what was open. When the next segment is in place this one is sealed: cut to
//! its length, made read-only, and given an `.idx`, by which a search skips it unread.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::entry::Stamp;
use crate::frame::Frames;
use crate::io::{Io, read_all};
use crate::open_set::{MAX_LISTED, OpenItem};
use crate::tree::{Frontier, Hash, MAX_EDGE};
use crate::walk::Walk;

/// Length of an ordinary segment. Large enough that rolling is rare, small enough that recovery, which reads one
/// segment, stays under 100 ms.
pub const SEGMENT_BYTES: u64 = 32 << 20;
/// Length of an epoch's first segment: small, because start-up waits until it is written full of zeros.
pub const FIRST_SEGMENT_BYTES: u64 = 8 << 20;
/// Longest segment that will be read; a longer file is not one of ours.
pub const MAX_SEGMENT_BYTES: u64 = 256 << 20;
/// A header is a whole number of these.
pub const PAGE: usize = 4096;
/// Version of the file format that this code writes, and the only one it reads.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"FHLOGSEG";
/// Magic, version, length, log id, epoch, first position, time, checksum seed, two counts.
const FIXED: usize = 8 + 4 + 4 + 16 + 8 + 8 + 8 + 4 + 4 + 4;
/// Largest header that is read.
pub const MAX_HEADER: usize = (FIXED + MAX_EDGE * 32 + MAX_LISTED * OpenItem::SIZE + 4).div_ceil(PAGE) * PAGE;

/// The name of a segment: epoch, then first position. Orders as the log does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Which tree it belongs to. Positions start at 0 in each epoch.
    pub epoch: u64,
    /// Position of its first entry.
    pub first: u64,
}

impl SegmentName {
    /// The name that a file has, if it is a segment's.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let (epoch, first) = file.strip_suffix(".seg")?.split_once('-')?;
        let digits = |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(epoch, 12) || !digits(first, 16) {
            return None;
        }
        Some(Self { epoch: epoch.parse().ok()?, first: first.parse().ok()? })
    }

    /// The segment's file in a log folder.
    #[must_use]
    pub fn path(&self, log: &Path) -> PathBuf {
        log.join(format!("{self}.seg"))
    }

    /// Its sidecar.
    #[must_use]
    pub fn index_path(&self, log: &Path) -> PathBuf {
        log.join(format!("{self}.idx"))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{:016}", self.epoch, self.first)
    }
}

/// Why bytes are not a segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// Other bytes, or fewer than a header has.
    #[error("no segment header")]
    None,
    /// Written by a newer program.
    #[error("format version {0}; this program reads version {VERSION}")]
    Version(u32),
    /// The bytes do not have the checksum they carry, or say impossible things.
    #[error("the segment header is damaged")]
    Damaged,
}

/// What a segment says of itself and of the log before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Names the log of this data folder, in all its epochs.
    pub log_id: [u8; 16],
    /// Which tree.
    pub epoch: u64,
    /// When it was made, in µs since 1970-01-01 UTC.
    pub created_us: u64,
    /// The checksum that its first frame follows.
    pub seed: u32,
    /// The tree before its first entry; its size is the first position.
    pub frontier: Frontier,
    /// What was open before its first entry.
    pub open: Vec<OpenItem>,
}

impl Header {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> SegmentName {
        SegmentName { epoch: self.epoch, first: self.frontier.size() }
    }

    /// Its length in the file, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let body = FIXED + self.frontier.edge().len() * 32 + self.open.len() * OpenItem::SIZE;
        (body + 4).div_ceil(PAGE) * PAGE
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let size = self.size();
        let u32_of = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&u32_of(size));
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.frontier.size().to_le_bytes());
        out.extend_from_slice(&self.created_us.to_le_bytes());
        out.extend_from_slice(&self.seed.to_le_bytes());
        out.extend_from_slice(&u32_of(self.frontier.edge().len()));
        out.extend_from_slice(&u32_of(self.open.len()));
        self.frontier.edge().iter().for_each(|h| out.extend_from_slice(h));
        self.open.iter().for_each(|item| item.encode(&mut out));
        out.resize(size - 4, 0);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// How long the header at the start of these bytes says it is; 0 where that is impossible.
    pub(crate) fn size_at(bytes: &[u8]) -> usize {
        let mut fields = Fields(bytes.get(MAGIC.len() + 4..).unwrap_or_default());
        fields.count(MAX_HEADER).unwrap_or(0)
    }

    /// The header at the start of these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut fields = Fields(bytes);
        if fields.take::<8>() != Some(*MAGIC) {
            return Err(HeaderError::None);
        }
        let version = fields.u32().ok_or(HeaderError::None)?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let size = fields.count(MAX_HEADER).ok_or(HeaderError::Damaged)?;
        let (body, crc) =
            bytes.get(..size).and_then(|h| h.split_last_chunk::<4>()).ok_or(HeaderError::Damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(HeaderError::Damaged);
        }
        let header = Self::fields(&mut fields).ok_or(HeaderError::Damaged)?;
        if header.size() == size { Ok(header) } else { Err(HeaderError::Damaged) }
    }

    fn fields(fields: &mut Fields<'_>) -> Option<Self> {
        let log_id = fields.take()?;
        let epoch = fields.u64()?;
        let first = fields.u64()?;
        let created_us = fields.u64()?;
        let seed = fields.u32()?;
        let edges = fields.count(MAX_EDGE)?;
        let items = fields.count(MAX_LISTED)?;
        let mut edge: Vec<Hash> = Vec::with_capacity(MAX_EDGE);
        for _ in 0..edges {
            edge.push(fields.take()?);
        }
        let mut open = Vec::with_capacity(items);
        for _ in 0..items {
            open.push(OpenItem::decode(&fields.take::<{ OpenItem::SIZE }>()?)?);
        }
        let frontier = Frontier::from_parts(first, edge).ok()?;
        Some(Self { log_id, epoch, created_us, seed, frontier, open })
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.u32()?).ok().filter(|n| *n <= most)
    }
}

/// The checksum that the first frame of an epoch follows: differs by log and epoch, so that frames of another log, or
/// of this one before a gap, do not fit.
#[must_use]
pub fn first_seed(log_id: &[u8; 16], epoch: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(log_id);
    hasher.update(&epoch.to_le_bytes());
    hasher.finalize()
}

/// The segments in a log folder, in the order of the log.
pub fn list(io: &dyn Io, log: &Path) -> io::Result<Vec<SegmentName>> {
    let mut names: Vec<SegmentName> = io.list(log)?.iter().filter_map(|n| SegmentName::parse(n)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Why a segment could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file operation failed.
    #[error("segment {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its header is not one, or another segment's.
    #[error("segment {}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// In what way.
        source: HeaderError,
    },
}

/// A segment read whole into memory.
#[derive(Debug)]
pub struct Segment {
    /// Its checked header.
    pub header: Header,
    /// The whole file.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// Reads a segment and checks its header, not yet its frames.
    ///
    /// The live segment may be read while it is written: its frames then end where the reading found them to end,
    /// perhaps with a torn one, and perhaps with some that are not durable yet.
    pub fn read(io: &dyn Io, log: &Path, name: SegmentName) -> Result<Self, ReadError> {
        let path = name.path(log);
        let read = || read_all(&*io.open(&path, false)?, MAX_SEGMENT_BYTES);
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(source) => return Err(ReadError::Io { path, source }),
        };
        match Header::decode(&bytes) {
            Ok(header) if header.name() == name => Ok(Self { header, bytes }),
            Ok(_) => Err(ReadError::Header { path, source: HeaderError::Damaged }),
            Err(source) => Err(ReadError::Header { path, source }),
        }
    }

    /// Its frames, checked one after the other.
    #[must_use]
    pub fn frames(&self) -> Frames<'_> {
        Frames::new(&self.bytes, self.header.size(), self.header.frontier.size(), self.header.seed)
    }
}

/// Makes the sidecars by which sealed segments are searched. Implemented by the index; the writer only feeds it.
pub trait Index: Send + Sync + fmt::Debug {
    /// A segment begins; what is appended to it will be fed to the result.
    fn begin(&self, header: &Header) -> Box<dyn SegmentIndex>;
    /// The sidecar of a sealed segment that was not (all) fed, as after a restart. Called on a background thread; may
    /// take its time, but not the memory of a segment. `None` leaves the segment without one.
    ///
    /// # Errors
    /// Those of reading the segment.
    fn rebuild(&self, segment: &mut Walk) -> io::Result<Option<Vec<u8>>>;
}

/// The index of one segment while it is written.
pub trait SegmentIndex: Send {
    /// An entry was appended. Called on the writer thread for every entry: must stay under 150 ns and must not block.
    fn add(&mut self, at: &Stamp, leaf: &[u8], payload: Option<&[u8]>);
    /// The segment is sealed: the bytes of its sidecar. Called on a background thread.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let mut frontier = Frontier::new();
        (0..11u8).for_each(|n| frontier.push([n; 32]));
        let item = |n: u64| OpenItem {
            session: [n as u8; 16],
            command: Some(n).filter(|n| n % 2 == 0),
            epoch: 3,
            position: n,
        };
        Header {
            log_id: [9; 16],
            epoch: 3,
            created_us: 1_763_000_000_000_000,
            seed: 0xdead_beef,
            frontier,
            open: (0..200).map(item).collect(),
        }
    }

    #[test]
    fn a_header_comes_back_and_no_damaged_one_does() {
        let header = header();
        let bytes = header.encode();
        assert_eq!((bytes.len() % PAGE, bytes.len()), (0, header.size()));
        assert_eq!(Header::decode(&bytes).unwrap(), header);
        for len in 0..bytes.len() {
            assert!(Header::decode(&bytes[..len]).is_err(), "{len}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            assert!(Header::decode(&bad).is_err(), "byte {at}");
        }
        let mut newer = bytes.clone();
        newer[8] = 2;
        assert_eq!(Header::decode(&newer), Err(HeaderError::Version(2)));
    }

    #[test]
    fn names_order_as_the_log_does_and_others_are_ignored() {
        let name = SegmentName { epoch: 3, first: 81 };
        assert_eq!(name.to_string(), "000000000003-0000000000000081");
        assert_eq!(SegmentName::parse("000000000003-0000000000000081.seg"), Some(name));
        for bad in
            ["3-81.seg", "000000000003-0000000000000081.idx", "+00000000003-0000000000000081.seg", "next.tmp"]
        {
            assert_eq!(SegmentName::parse(bad), None, "{bad}");
        }
        assert!(name < SegmentName { epoch: 3, first: 100 } && name < SegmentName { epoch: 4, first: 0 });
    }

    #[test]
    fn a_full_header_and_a_large_frame_fit_a_first_segment() {
        let full = crate::open_set::MAX_OPEN * OpenItem::SIZE + PAGE + MAX_EDGE * 32;
        assert!((full + crate::frame::MAX_FRAME) as u64 <= FIRST_SEGMENT_BYTES);
    }
}
