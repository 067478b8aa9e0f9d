//! Opening a log: find where it ends, tell a torn last write from damage, and go on from there.
//!
//! Only the newest segment is read. Its header vouches for everything before it; its frames are checked one after the
//! other up to the first that does not fit. What stands after that decides:
//!
//! - zeros: the log ends here;
//! - a frame of a *later* write, or one that stands in a wrong place: what is missing was durable once. The log refuses
//!   to open, and an operator must declare a gap;
//! - anything else: the last write was torn by a crash before it was synced, so nobody was told of it. It is cut.
//!
//! A write starts only after the one before it was synced, and each frame says how many frames of its own write came
//! before it ([`crate::frame`]), so "later" can be told.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::codec::Codec;
use crate::frame::{self, FrameError};
use crate::io::{File, Io, read_all};
use crate::keeper::{TEMP, create, write_whole};
use crate::lock::LockError;
use crate::open_set::{OpenItem, OpenSet};
use crate::segment::{self, FIRST_SEGMENT_BYTES, Header, HeaderError, ReadError, Segment, SegmentName};
use crate::step::{Live, place_first};
use crate::tree::{Frontier, Hash, leaf_hash};

/// Name under which the first segment of an epoch is made.
const FIRST: &str = "first.tmp";
/// Where a clean close notes how far the log had come.
pub(crate) const CLOSED: &str = "closed";

/// Why a log does not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it, or the lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A file operation failed.
    #[error("log: {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The codec could not be made, for instance because its keys could not be had.
    #[error("log: {0}")]
    Codec(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Entries that were durable are damaged or gone. Nothing was changed on disk.
    #[error("log segment {} is damaged at byte {byte}, position {position}: {why}; {hint}", segment.display())]
    Corrupt {
        /// The segment.
        segment: PathBuf,
        /// Where in it.
        byte: u64,
        /// The first position that cannot be read.
        position: u64,
        /// What was found.
        why: String,
        /// What to do.
        hint: &'static str,
    },
}

/// The least that a disk stores or loses as one.
const SECTOR: usize = 512;

const HINT: &str =
    "restore the data folder from a copy, or keep a copy of it and run `firsthand log declare-gap`";

/// A torn last write that was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: SegmentName,
    /// Where the cut was made.
    pub byte: u64,
    /// How many bytes of remains were zeroed.
    pub bytes: u64,
    /// Why the first of them is no frame.
    pub why: FrameError,
}

/// What was found on opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Names the log.
    pub log_id: [u8; 16],
    /// The tree it goes on with.
    pub epoch: u64,
    /// Entries in this epoch: the next position.
    pub size: u64,
    /// Root of their tree.
    pub root: Hash,
    /// The log did not exist and was made.
    pub created: bool,
    /// The torn write that was cut, if any.
    pub cut: Option<Cut>,
    /// Sessions and commands that a crash left open, with the places of the entries that opened them.
    pub open: Vec<OpenItem>,
    /// The leaf of the last entry of the newest segment, if it has one.
    pub last_leaf: Option<Vec<u8>>,
    /// Whether the log was closed properly at exactly this size.
    pub closed_cleanly: bool,
}

/// Where the writer goes on.
pub(crate) struct Start {
    pub(crate) live: Live,
    pub(crate) seed: u32,
    pub(crate) frontier: Frontier,
    pub(crate) open: OpenSet,
    /// Segments of earlier runs whose sealing is not finished.
    pub(crate) unsealed: Vec<SegmentName>,
    pub(crate) recovered: Recovered,
}

/// How far a log had come at some moment: a log that is shorter has lost entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownSize {
    /// Which tree.
    pub epoch: u64,
    /// Its entries.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl KnownSize {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(52);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.root);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (epoch, rest) = body.split_first_chunk()?;
        let (size, root) = rest.split_first_chunk()?;
        let known = Self {
            epoch: u64::from_le_bytes(*epoch),
            size: u64::from_le_bytes(*size),
            root: root.try_into().ok()?,
        };
        (crc32fast::hash(body) == u32::from_le_bytes(*crc)).then_some(known)
    }

    /// Notes on disk how far the log has come, for the next opening to compare.
    pub(crate) fn note(&self, io: &dyn Io, log: &Path) -> io::Result<()> {
        write_whole(io, log, &log.join(CLOSED), &self.encode())
    }
}

/// A frame-by-frame reading of a segment.
struct Scan {
    /// End of the last frame that fits.
    end: usize,
    seed: u32,
    frontier: Frontier,
    open: OpenSet,
    /// Bytes of the frames of the last write.
    last_write: Range<usize>,
    last_leaf: Option<Vec<u8>>,
    why: FrameError,
}

fn scan<C: Codec>(segment: &Segment) -> Scan {
    let header = &segment.header;
    let mut frontier = header.frontier.clone();
    let mut open = OpenSet::from_items(&header.open);
    let mut frames = segment.frames();
    let mut last_write = frames.offset()..frames.offset();
    let mut last_leaf = None;
    for (at, frame) in frames.by_ref() {
        frontier.push(leaf_hash(frame.leaf));
        open.apply(C::change_of(frame.leaf), header.epoch, frame.seq);
        if frame.group == 0 {
            last_write.start = at;
        }
        last_write.end = at + frame.size;
        last_leaf = Some(frame.leaf);
    }
    Scan {
        end: frames.offset(),
        seed: frames.seed(),
        frontier,
        open,
        last_write,
        last_leaf: last_leaf.map(<[u8]>::to_vec),
        why: frames.stopped().unwrap_or(FrameError::End),
    }
}

/// What stands after the last frame that fits.
#[derive(Debug, PartialEq, Eq)]
enum Tail {
    /// Zeros, or nothing.
    Clean,
    /// Remains of a write that was never synced, up to here.
    Torn(usize),
    /// Proof that more was durable: at this offset.
    Damaged(usize, String),
}

/// Judges the bytes from `end` on, where the frame of position `next` should have stood, after a checksum `seed`.
fn judge(bytes: &[u8], end: usize, next: u64, seed: u32) -> Tail {
    let tail = bytes.get(end..).unwrap_or_default();
    let Some(last) = last_used(tail) else { return Tail::Clean };
    let used = last + 1;
    // No more frames than this can stand in the tail, so no higher position either.
    let most = next + (tail.len() / (frame::HEADER + frame::MIN_LEN)) as u64 + 1;
    // The frame after the last good one may be broken and still carry its checksum.
    let broken = tail.get(4..).and_then(|b| b.first_chunk()).map(|b| u32::from_le_bytes(*b));
    let mut seeds = [(next, Some(seed)), (next + 1, broken), (0, None)];
    let mut at = 0;
    while at < used {
        let Some((found, trust)) = candidate(tail, at, (end, used), most, &seeds) else {
            at += 1;
            continue;
        };
        if found.seq < next || (found.seq == next && at != 0) {
            return Tail::Damaged(end + at, format!("the entry of position {} stands here", found.seq));
        }
        if trust == Trust::Whole && found.seq - u64::from(found.group).min(found.seq) > next {
            let why =
                format!("entries before position {} are missing, and it was written after them", found.seq);
            return Tail::Damaged(end + at, why);
        }
        seeds[2] = (found.seq + 1, Some(found.crc));
        at += found.size;
    }
    Tail::Torn(end + used)
}

/// Where the last byte that is not zero stands. Most of a segment is zeros: they are passed over in pieces.
fn last_used(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let zero = |piece: &&[u8]| ZEROS.get(..piece.len()).is_some_and(|zeros| *zeros == **piece);
    let unused: usize = bytes.rchunks(ZEROS.len()).take_while(zero).map(<[u8]>::len).sum();
    bytes.get(..bytes.len() - unused)?.iter().rposition(|b| *b != 0)
}

/// How much of a frame found in a tail can be believed.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// All of it.
    Whole,
    /// Where it stands and its position, by the frame that follows it.
    Place,
}

/// The frame that starts at `tail[at]`, if there is reason to believe that one does. `seeds` are the checksums that the
/// frames of some positions could follow; `end` is where the tail begins in the file, `used` where its zeros do.
fn candidate<'a>(
    tail: &'a [u8],
    at: usize,
    (end, used): (usize, usize),
    most: u64,
    seeds: &[(u64, Option<u32>)],
) -> Option<(frame::Frame<'a>, Trust)> {
    let bytes = tail.get(at..)?;
    let seq = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
    if seq > most {
        return None;
    }
    let found = frame::parse(bytes).ok()?;
    let follows =
        |(n, seed): &(u64, Option<u32>)| *n == seq && seed.is_some_and(|s| frame::chains(bytes, &found, s));
    if seeds.iter().any(follows) {
        return Some((found, Trust::Whole));
    }
    let after = bytes.get(found.size..).unwrap_or_default();
    if frame::parse(after).is_ok_and(|g| g.seq == seq + 1 && frame::chains(after, &g, found.crc)) {
        return Some((found, Trust::Place));
    }
    // The last of all can only look like a frame, and end where the zeros begin (a seal may end in a zero or two). What
    // it says of its write is believed because its leaf comes after that and is there, unless the two lie in
    // different sectors of the disk.
    let stop = at + found.size;
    let looks = stop >= used
        && stop - used <= 3
        && found.leaf.starts_with(b"{\"")
        && found.leaf.ends_with(b"}")
        && (end + at + frame::HEADER + 2) / SECTOR == (end + at + frame::OVERHEAD) / SECTOR;
    looks.then_some((found, Trust::Whole))
}

fn fail(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}

/// Opens the log in `log`, making it on first use.
pub(crate) fn open<C: Codec>(
    io: &dyn Io,
    log: &Path,
    known: Option<KnownSize>,
    first_bytes: u64,
) -> Result<Start, OpenError> {
    io.create_dir(log).map_err(fail("making the folder", log))?;
    if let Some(data) = log.parent() {
        io.sync_dir(data).map_err(fail("fsync of the folder", data))?;
    }
    let names = io.list(log).map_err(fail("listing", log))?;
    for name in names.iter().filter(|n| n.ends_with(TEMP)) {
        let path = log.join(name);
        io.remove(&path).map_err(fail("removing", &path))?;
    }
    let closed = closed_at(io, log, &names)?;
    let mut segments: Vec<SegmentName> = names.iter().filter_map(|n| SegmentName::parse(n)).collect();
    segments.sort_unstable();
    let bounds = [closed, known];
    let Some(newest) = segments.pop() else {
        if let Some(bound) = bounds.into_iter().flatten().find(|b| b.size > 0) {
            return Err(missing(log, bound, 0));
        }
        return begin_epoch(io, log, (random_id()?, 1), Vec::new(), first_bytes);
    };
    let oldest = segments.iter().find(|s| s.epoch == newest.epoch).copied().unwrap_or(newest);
    if oldest.first != 0 {
        return Err(OpenError::Corrupt {
            segment: oldest.path(log),
            byte: 0,
            position: 0,
            why: format!("the entries before position {} are gone: their segments are missing", oldest.first),
            hint: HINT,
        });
    }
    if names.iter().any(|n| *n == format!("{newest}.idx")) {
        return Err(OpenError::Corrupt {
            segment: newest.path(log),
            byte: 0,
            position: newest.first,
            why: "it is sealed, so another segment followed it, and that is gone".into(),
            hint: HINT,
        });
    }
    segments.retain(|name| !names.iter().any(|n| *n == format!("{name}.idx")));
    let mut start = resume::<C>(io, log, newest, &bounds)?;
    start.unsealed = segments;
    Ok(start)
}

fn closed_at(io: &dyn Io, log: &Path, names: &[String]) -> Result<Option<KnownSize>, OpenError> {
    if !names.iter().any(|n| n == CLOSED) {
        return Ok(None);
    }
    let path = log.join(CLOSED);
    let bytes = io.open(&path, false).and_then(|f| read_all(&*f, 4096)).map_err(fail("reading", &path))?;
    match KnownSize::decode(&bytes) {
        Some(known) => Ok(Some(known)),
        None => Err(OpenError::Corrupt {
            segment: path,
            byte: 0,
            position: 0,
            why: "the note of the last clean close is damaged".into(),
            hint: HINT,
        }),
    }
}

fn missing(log: &Path, bound: KnownSize, size: u64) -> OpenError {
    OpenError::Corrupt {
        segment: log.to_owned(),
        byte: 0,
        position: size,
        why: format!(
            "epoch {} had {} entries; {size} are here, or they are not the same ones",
            bound.epoch, bound.size
        ),
        hint: HINT,
    }
}

fn random_id() -> Result<[u8; 16], OpenError> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id)
        .map_err(|_| io::Error::other("no random numbers"))
        .map_err(fail("naming the log", Path::new("")))?;
    Ok(id)
}

fn read_newest(io: &dyn Io, log: &Path, name: SegmentName) -> Result<Segment, OpenError> {
    Segment::read(io, log, name).map_err(|e| match e {
        ReadError::Io { path, source } => OpenError::Io { what: "reading", path, source },
        ReadError::Header { path, source } => OpenError::Corrupt {
            segment: path,
            byte: 0,
            position: name.first,
            why: source.to_string(),
            hint: match source {
                HeaderError::Version(_) => "use the program that wrote it",
                _ => HINT,
            },
        },
    })
}

/// Goes on with the newest segment.
fn resume<C: Codec>(
    io: &dyn Io,
    log: &Path,
    name: SegmentName,
    bounds: &[Option<KnownSize>],
) -> Result<Start, OpenError> {
    let path = name.path(log);
    let segment = read_newest(io, log, name)?;
    let scan = scan::<C>(&segment);
    let size = scan.frontier.size();
    let torn = match judge(&segment.bytes, scan.end, size, scan.seed) {
        Tail::Clean => None,
        Tail::Torn(to) => Some(to),
        Tail::Damaged(at, found) => {
            let why = format!("{}; at byte {at}, {found}", scan.why);
            let (byte, position) = (scan.end as u64, size);
            return Err(OpenError::Corrupt { segment: path, byte, position, why, hint: HINT });
        }
    };
    let root = scan.frontier.root();
    for bound in bounds.iter().flatten() {
        let short = bound.epoch > name.epoch || (bound.epoch == name.epoch && bound.size > size);
        let other = bound.epoch == name.epoch && bound.size == size && bound.root != root;
        if short || other {
            return Err(missing(log, *bound, size));
        }
    }
    let file = io.open(&path, true).map_err(fail("opening", &path))?;
    settle(&*file, &segment.bytes, &scan, torn).map_err(fail("settling the end of", &path))?;
    io.sync_dir(log).map_err(fail("fsync of the folder", log))?;
    let cut = torn.map(|to| Cut {
        segment: name,
        byte: scan.end as u64,
        bytes: (to - scan.end) as u64,
        why: scan.why,
    });
    let closed = bounds.first().copied().flatten();
    let recovered = Recovered {
        log_id: segment.header.log_id,
        epoch: name.epoch,
        size,
        root,
        created: false,
        cut,
        open: scan.open.items(),
        last_leaf: scan.last_leaf,
        closed_cleanly: closed.is_some_and(|c| (c.epoch, c.size) == (name.epoch, size)),
    };
    let live = Live { file, name, at: scan.end as u64, capacity: segment.bytes.len() as u64, index: None };
    let (seed, frontier, open) = (scan.seed, scan.frontier, scan.open);
    Ok(Start { live, seed, frontier, open, unsealed: Vec::new(), recovered })
}

/// Zeroes the remains of a torn write and makes sure that the last whole write is on disk.
///
/// That one may be in the page cache only: written by a process that was killed before its fdatasync, or, worse, by one
/// whose fdatasync failed, after which the kernel may call the pages clean without having stored them. Writing the same
/// bytes again makes them dirty, so that the sync says something.
fn settle(file: &dyn File, bytes: &[u8], scan: &Scan, torn: Option<usize>) -> io::Result<()> {
    if let Some(to) = torn {
        file.fill(scan.end as u64, to as u64)?;
    }
    if let Some(last) = bytes.get(scan.last_write.clone()).filter(|b| !b.is_empty()) {
        file.write_at(scan.last_write.start as u64, last)?;
    }
    file.sync_data()
}

/// Makes the first segment of an epoch.
fn begin_epoch(
    io: &dyn Io,
    log: &Path,
    (log_id, epoch): ([u8; 16], u64),
    open: Vec<OpenItem>,
    bytes: u64,
) -> Result<Start, OpenError> {
    let seed = segment::first_seed(&log_id, epoch);
    let frontier = Frontier::new();
    let header = Header { log_id, epoch, created_us: io.wall_us(), seed, frontier: frontier.clone(), open };
    let name = header.name();
    let path = name.path(log);
    let make = || -> io::Result<Live> {
        let mut next = create(io, log, FIRST, bytes.max(header.size() as u64))?;
        next.file.fill(0, next.capacity)?;
        place_first(io, log, &mut next, &header)?;
        let at = header.size() as u64;
        Ok(Live { file: next.file, name, at, capacity: next.capacity, index: None })
    };
    let live = make().map_err(fail("making", &path))?;
    let recovered = Recovered {
        log_id,
        epoch,
        size: 0,
        root: frontier.root(),
        created: true,
        cut: None,
        open: header.open.clone(),
        last_leaf: None,
        closed_cleanly: false,
    };
    let open = OpenSet::from_items(&header.open);
    Ok(Start { live, seed, frontier, open, unsealed: Vec::new(), recovered })
}

/// A gap that an operator has declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The new epoch.
    pub epoch: u64,
    /// The segment at whose damage the old one ends.
    pub segment: SegmentName,
    /// The last byte of it that can still be read, and the position that would follow.
    pub byte: u64,
    /// The first position that is lost.
    pub position: u64,
}

/// Gives up on what is damaged at the end of a log and begins a new epoch, in which positions start at 0 again. Nothing
/// of the old epochs is changed. What was open in the part that can be read is open in the new epoch too, so that its
/// outcome will be accounted for.
///
/// The caller holds the data folder's lock, opens the log next, and appends a `log.gap` entry with the operator's reason
/// before anything else.
pub fn declare_gap<C: Codec>(io: &dyn Io, data: &Path) -> Result<Gap, OpenError> {
    let log = data.join("log");
    let segments = segment::list(io, &log).map_err(fail("listing", &log))?;
    let known = closed_at(io, &log, &io.list(&log).map_err(fail("listing", &log))?).ok().flatten();
    let newest = segments.last().copied().unwrap_or(SegmentName { epoch: 0, first: 0 });
    let epoch = newest.epoch.max(known.map_or(0, |k| k.epoch)) + 1;
    let (mut byte, mut position, mut open, mut log_id) = (0, newest.first, Vec::new(), None);
    if let Ok(segment) = Segment::read(io, &log, newest) {
        let scan = scan::<C>(&segment);
        (byte, position, open) = (scan.end as u64, scan.frontier.size(), scan.open.items());
        log_id = Some(segment.header.log_id);
    }
    // With a damaged header, an older segment still knows the log's name.
    let older = segments.iter().rev().skip(1);
    let log_id = log_id
        .or_else(|| older.filter_map(|n| Segment::read(io, &log, *n).ok()).next().map(|s| s.header.log_id));
    let log_id = match log_id {
        Some(id) => id,
        None => random_id()?,
    };
    begin_epoch(io, &log, (log_id, epoch), open, FIRST_SEGMENT_BYTES)?;
    Ok(Gap { epoch, segment: newest, byte, position })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_in_use_is_found_wherever_it_stands() {
        assert_eq!(last_used(&[]), None);
        for len in [1, 7, 4095, 4096, 4097, 20_000] {
            let mut bytes = vec![0; len];
            assert_eq!(last_used(&bytes), None);
            for at in [0, len / 3, len / 2, len - 1] {
                bytes[at] = 1;
                assert_eq!(last_used(&bytes), Some(at), "{at} of {len}");
            }
        }
    }
}
