//! One entry as it stands in a segment file, with a checksum that chains it to the entry before.
//!
//! ```text
//! len u32 | crc u32 | seq u64 | leaf_len u16 | group u16 | leaf | sealed payload      (little-endian)
//! ```
//!
//! `len` counts what follows `seq`. `crc` is CRC-32 (IEEE), seeded with the previous frame's `crc`, over `len`, `seq`
//! and the rest: a lost, repeated, swapped or stale frame breaks the chain. `group` says how many frames of the same
//! write came before this one. A write starts only after the one before it was synced, so `seq - group` is a position
//! up to which everything was durable when this frame was written: that is how recovery tells a torn last write (cut
//! it) from damage to what was durable (refuse). The checksum finds accidents; malice is the tree's business.

use thiserror::Error;

/// Bytes before `leaf_len`: length, checksum, position.
pub const HEADER: usize = 16;
/// Bytes of a frame that are neither leaf nor payload.
pub const OVERHEAD: usize = HEADER + 4;
/// Largest leaf. The tree's format allows 65,535; a quarter of it keeps entry bundles small, and a leaf holds facts,
/// not text.
pub const MAX_LEAF: usize = 16 << 10;
/// Largest payload before sealing. Long texts and results are cut or chunked well below it by whoever builds entries.
pub const MAX_PAYLOAD: usize = firsthand_model::limits::PAYLOAD_BYTES_MAX;
/// What sealing adds: the AES-GCM tag.
pub const SEAL_OVERHEAD: usize = 16;
/// Largest `len`.
pub const MAX_LEN: usize = 4 + MAX_LEAF + MAX_PAYLOAD + SEAL_OVERHEAD;
/// Largest whole frame.
pub const MAX_FRAME: usize = HEADER + MAX_LEN;
/// Smallest `len`: the two small fields and a leaf of `{}`.
pub const MIN_LEN: usize = 4 + 2;
/// Most frames in one write, so that `group` fits its field.
pub const MAX_GROUP: u16 = u16::MAX;

/// A frame, borrowed from the bytes of its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its position in the log.
    pub seq: u64,
    /// How many frames of the same write came before it.
    pub group: u16,
    /// The exact bytes that the tree hashes.
    pub leaf: &'a [u8],
    /// The sealed payload; empty when the entry has none.
    pub sealed: &'a [u8],
    /// Its checksum, the seed of the next.
    pub crc: u32,
    /// Its length in the file, all included.
    pub size: usize,
}

/// Why bytes are not the frame that should stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Zeros, or nothing at all: the log may end here.
    #[error("no frame: the bytes end or are zero")]
    End,
    /// The length is impossible.
    #[error("length {0} is outside {MIN_LEN}..={MAX_LEN}")]
    Length(u32),
    /// The file ends inside the frame.
    #[error("the file ends inside a frame of {0} bytes")]
    Short(usize),
    /// The checksum does not fit the bytes and the frame before.
    #[error("checksum does not fit the bytes and the frame before")]
    Checksum,
    /// A whole frame, of another position.
    #[error("position {found} where {wanted} should stand")]
    Position {
        /// The position that should stand here.
        wanted: u64,
        /// The one that does.
        found: u64,
    },
    /// The leaf would be empty, too long or longer than the frame.
    #[error("leaf length {0} does not fit its frame")]
    Leaf(u16),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The length that a frame of this leaf and sealed payload has in the file.
#[must_use]
pub fn size_of(leaf: usize, sealed: usize) -> usize {
    OVERHEAD + leaf + sealed
}

/// Appends a frame to `out` and returns its checksum.
///
/// The caller has checked the limits ([`MAX_LEAF`], [`MAX_PAYLOAD`]): a frame over them is one that [`decode`] will
/// not take back.
pub fn encode(out: &mut Vec<u8>, seq: u64, group: u16, seed: u32, leaf: &[u8], sealed: &[u8]) -> u32 {
    debug_assert!(leaf.len() <= MAX_LEAF && sealed.len() <= MAX_PAYLOAD + SEAL_OVERHEAD);
    let len = u32::try_from(4 + leaf.len() + sealed.len()).unwrap_or(u32::MAX);
    let leaf_len = u16::try_from(leaf.len()).unwrap_or(u16::MAX);
    out.reserve(size_of(leaf.len(), sealed.len()));
    out.extend_from_slice(&len.to_le_bytes());
    let crc_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&leaf_len.to_le_bytes());
    out.extend_from_slice(&group.to_le_bytes());
    out.extend_from_slice(leaf);
    out.extend_from_slice(sealed);
    let crc = checksum(seed, len, out.get(crc_at + 4..).unwrap_or_default());
    if let Some(slot) = out.get_mut(crc_at..crc_at + 4) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    crc
}

fn checksum(seed: u32, len: u32, rest: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&len.to_le_bytes());
    hasher.update(rest);
    hasher.finalize()
}

/// How many bytes the frame that starts at `bytes` wants to have; 0 where none can start.
#[must_use]
pub fn size_at(bytes: &[u8]) -> usize {
    let body = u32_at(bytes, 0).and_then(|len| usize::try_from(len).ok());
    body.filter(|body| (MIN_LEN..=MAX_LEN).contains(body)).map_or(0, |body| HEADER + body)
}

/// Reads the fields of the frame that starts at `bytes`, without checking its checksum or position.
pub fn parse(bytes: &[u8]) -> Result<Frame<'_>, FrameError> {
    let len = u32_at(bytes, 0).ok_or(FrameError::End)?;
    if len == 0 {
        return Err(FrameError::End);
    }
    let body = usize::try_from(len).unwrap_or(usize::MAX);
    if !(MIN_LEN..=MAX_LEN).contains(&body) {
        return Err(FrameError::Length(len));
    }
    let size = HEADER + body;
    let whole = bytes.get(..size).ok_or(FrameError::Short(size))?;
    let short = FrameError::Short(size);
    let crc = u32_at(whole, 4).ok_or(short)?;
    let seq = u64_at(whole, 8).ok_or(short)?;
    let leaf_len = u16_at(whole, 16).ok_or(short)?;
    let group = u16_at(whole, 18).ok_or(short)?;
    let rest = whole.get(OVERHEAD..).ok_or(short)?;
    let n = usize::from(leaf_len);
    if n == 0 || n > MAX_LEAF {
        return Err(FrameError::Leaf(leaf_len));
    }
    let (leaf, sealed) = rest.split_at_checked(n).ok_or(FrameError::Leaf(leaf_len))?;
    Ok(Frame { seq, group, leaf, sealed, crc, size })
}

/// Whether the frame that starts at `bytes` carries the checksum that this seed gives.
#[must_use]
pub fn chains(bytes: &[u8], frame: &Frame<'_>, seed: u32) -> bool {
    let len = u32_at(bytes, 0).unwrap_or(0);
    bytes.get(8..frame.size).is_some_and(|rest| checksum(seed, len, rest) == frame.crc)
}

/// The frame of position `seq` that starts at `bytes`, if it follows a frame whose checksum was `seed`.
pub fn decode(bytes: &[u8], seq: u64, seed: u32) -> Result<Frame<'_>, FrameError> {
    let frame = match parse(bytes) {
        // A damaged leaf length first shows as a wrong checksum; the two are one thing to the reader.
        Err(FrameError::Leaf(_)) => return Err(FrameError::Checksum),
        other => other?,
    };
    if !chains(bytes, &frame, seed) {
        return Err(FrameError::Checksum);
    }
    if frame.seq != seq {
        return Err(FrameError::Position { wanted: seq, found: frame.seq });
    }
    Ok(frame)
}

/// Frames one after the other, checked, with the offset of each.
///
/// Stops at the first that does not fit; [`Frames::stopped`] then tells why and where.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    seq: u64,
    seed: u32,
    stopped: Option<FrameError>,
}

impl<'a> Frames<'a> {
    /// Frames of `bytes` from offset `at`, where the frame of position `seq` should stand.
    #[must_use]
    pub fn new(bytes: &'a [u8], at: usize, seq: u64, seed: u32) -> Self {
        Self { bytes, at, seq, seed, stopped: None }
    }

    /// Offset just after the last frame given out.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The position that would come next.
    #[must_use]
    pub fn next_position(&self) -> u64 {
        self.seq
    }

    /// Checksum of the last frame given out.
    #[must_use]
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// Why the iteration ended, once it has.
    #[must_use]
    pub fn stopped(&self) -> Option<FrameError> {
        self.stopped
    }
}

impl<'a> Iterator for Frames<'a> {
    /// The frame and its offset.
    type Item = (usize, Frame<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.stopped.is_some() {
            return None;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match decode(rest, self.seq, self.seed) {
            Ok(frame) => {
                let at = self.at;
                self.at += frame.size;
                self.seq += 1;
                self.seed = frame.crc;
                Some((at, frame))
            }
            Err(why) => {
                self.stopped = Some(why);
                None
            }
        }
    }
}
