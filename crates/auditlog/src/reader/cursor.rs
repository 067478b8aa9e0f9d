//! Walking through the log, frame by frame.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Place, ReadError};
use crate::frame::{self, Frame, FrameError};
use crate::io::{File, Io};
use crate::segment::{self, Header, HeaderError, MAX_HEADER, SegmentName};

/// Bytes read at once. Large enough that a scan is bound by the disk, small enough for a follower of the live end.
const CHUNK: usize = 1 << 20;
/// Bytes read for a header before it is known how long it is: two pages hold all but those of very busy gateways.
const HEADER_GUESS: usize = 2 * segment::PAGE;

/// An entry as it is stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Its segment.
    pub segment: SegmentName,
    /// Offset of its frame in the segment's file.
    pub byte: u64,
    /// Where it stands in the log.
    pub place: Place,
    /// The log's id: part of what seals authenticate.
    pub log_id: [u8; 16],
    /// Its leaf.
    pub leaf: &'a [u8],
    /// Its sealed payload; empty when there is none.
    pub sealed: &'a [u8],
}

/// A place in a segment from which reading can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Offset of a frame.
    pub byte: u64,
    /// Its position.
    pub position: u64,
    /// Checksum of the frame before it.
    pub seed: u32,
}

/// The segment being read.
#[derive(Debug)]
struct Open {
    name: SegmentName,
    file: Arc<dyn File>,
    header: Header,
    /// The frame to come.
    next: Mark,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    start: u64,
    /// Where in the buffer the frame moved over last begins.
    last: usize,
}

/// Walks forward. At the end [`Cursor::next`] gives `None`, and may give more later.
#[derive(Debug)]
pub struct Cursor {
    io: Arc<dyn Io>,
    log: PathBuf,
    /// Segments before this one are of no interest.
    floor: SegmentName,
    open: Option<Open>,
    torn: Option<(SegmentName, u64, FrameError)>,
    stop: Option<Arc<AtomicBool>>,
}

impl Cursor {
    pub(crate) fn new(
        io: Arc<dyn Io>,
        log: PathBuf,
        floor: SegmentName,
        stop: Option<Arc<AtomicBool>>,
    ) -> Self {
        Self { io, log, floor, open: None, torn: None, stop }
    }

    /// The next entry; `None` at the end of what is there now. Call it again to follow a log that grows.
    #[expect(
        clippy::should_implement_trait,
        reason = "entries borrow the cursor's buffer: no Iterator can lend them"
    )]
    pub fn next(&mut self) -> Result<Option<Stored<'_>>, ReadError> {
        if self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(ReadError::Stopped);
        }
        if self.advance()? { Ok(self.current()) } else { Ok(None) }
    }

    /// Reads again from the file what was read ahead: what was not durable then may have been written anew since.
    pub(crate) fn forget_what_lies_ahead(&mut self) {
        if let Some(open) = &mut self.open {
            open.buffer.clear();
        }
    }

    /// Bytes at the end of the live segment that are no whole frame: a write in progress, or damage. Only of interest
    /// when the log does not grow.
    #[must_use]
    pub fn torn(&self) -> Option<(SegmentName, u64, FrameError)> {
        self.torn
    }

    /// The header of the segment that [`Cursor::next`] last read from.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.open.as_ref().map(|open| &open.header)
    }

    /// The header of the segment that reading begins with (or is in), without reading an entry.
    pub fn enter(&mut self) -> Result<Header, ReadError> {
        if self.open.is_none() {
            let Some(first) = self.successor(None)? else { return Err(ReadError::NoLog(self.log.clone())) };
            self.open = Some(self.open_segment(first)?);
        }
        self.open.as_ref().map(|open| open.header.clone()).ok_or_else(|| ReadError::NoLog(self.log.clone()))
    }

    /// Where the entry to come stands in its segment.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        self.open.as_ref().map(|open| open.next)
    }

    /// Goes to just behind the frame of `position` at `byte` of the segment `name`, if that is what stands there: the
    /// checksum of that one frame is taken at its word. `false`, and nowhere gone, when something else stands there.
    pub fn jump_behind(&mut self, name: SegmentName, byte: u64, position: u64) -> Result<bool, ReadError> {
        let mut open = self.open_segment(name)?;
        open.next.byte = byte;
        open.load(CHUNK)?;
        let there = frame::parse(&open.buffer).ok().filter(|frame| frame.seq == position);
        let Some((crc, size)) = there.map(|frame| (frame.crc, frame.size)) else { return Ok(false) };
        open.next = Mark { byte: byte + size as u64, position: position + 1, seed: crc };
        self.open = Some(open);
        Ok(true)
    }

    /// Reads over what stands before `place`.
    pub(crate) fn skip_to(&mut self, place: Place) -> Result<(), ReadError> {
        if self.open.is_none() {
            let Some(first) = self.successor(None)? else { return Ok(()) };
            self.open = Some(self.open_segment(first)?);
        }
        let before = |open: &Open| Place { epoch: open.name.epoch, position: open.next.position } < place;
        while self.open.as_ref().is_some_and(before) && self.advance()? {}
        Ok(())
    }

    /// Moves over one frame, into the next segment if need be. `false` at the end.
    fn advance(&mut self) -> Result<bool, ReadError> {
        loop {
            if self.open.is_none() {
                let Some(name) = self.successor(None)? else { return Ok(false) };
                self.open = Some(self.open_segment(name)?);
            }
            let Some(open) = &mut self.open else { return Ok(false) };
            let why = match open.step()? {
                Ok(()) => {
                    self.torn = None;
                    return Ok(true);
                }
                Err(why) => why,
            };
            let name = open.name;
            let Some(next) = self.successor(Some(name))? else {
                let at = self.open.as_ref().map_or(0, |open| open.next.byte);
                self.torn = (why != FrameError::End).then_some((name, at, why));
                return Ok(false);
            };
            // The segment may have grown between the look at it and the look for the next.
            if let Some(open) = &mut self.open
                && open.step()?.is_ok()
            {
                return Ok(true);
            }
            self.follow(next, why)?;
        }
    }

    fn current(&self) -> Option<Stored<'_>> {
        let open = self.open.as_ref()?;
        let (frame, byte) = open.last()?;
        Some(Stored {
            segment: open.name,
            byte,
            place: Place { epoch: open.name.epoch, position: frame.seq },
            log_id: open.header.log_id,
            leaf: frame.leaf,
            sealed: frame.sealed,
        })
    }

    /// Leaves the open segment for `next`, checking that it continues it. A new epoch begins anew, by declaration.
    fn follow(&mut self, next: SegmentName, why: FrameError) -> Result<(), ReadError> {
        let Some(before) = self.open.take() else { return Ok(()) };
        if next.epoch == before.name.epoch {
            let position = before.next.position;
            if next.first != position {
                let segment = before.name;
                return Err(match why {
                    FrameError::End => ReadError::Missing { segment: next, position },
                    source => ReadError::Damaged { segment, byte: before.next.byte, position, source },
                });
            }
            let open = self.open_segment(next)?;
            if open.header.seed != before.next.seed || open.header.log_id != before.header.log_id {
                return Err(ReadError::Missing { segment: next, position });
            }
            self.open = Some(open);
        } else {
            self.open = Some(self.open_segment(next)?);
        }
        Ok(())
    }

    /// The segment after `name` (or the first of interest) that is there now.
    fn successor(&self, name: Option<SegmentName>) -> Result<Option<SegmentName>, ReadError> {
        let list = segment::list(&*self.io, &self.log)
            .map_err(|source| ReadError::Io { path: self.log.clone(), source })?;
        Ok(list.into_iter().find(|s| name.map_or(*s >= self.floor, |name| *s > name)))
    }

    fn open_segment(&self, name: SegmentName) -> Result<Open, ReadError> {
        let path = name.path(&self.log);
        let fail = |source| ReadError::Io { path: path.clone(), source };
        let file = self.io.open(&path, false).map_err(fail)?;
        let mut buffer = Vec::new();
        fill(&*file, 0, HEADER_GUESS, &mut buffer).map_err(fail)?;
        let mut header = Header::decode(&buffer);
        if header == Err(HeaderError::Damaged) {
            fill(&*file, 0, MAX_HEADER, &mut buffer).map_err(fail)?;
            header = Header::decode(&buffer);
        }
        let header = header
            .and_then(|h| if h.name() == name { Ok(h) } else { Err(HeaderError::Damaged) })
            .map_err(|source| ReadError::Header { segment: name, source })?;
        let byte = header.size() as u64;
        let next = Mark { byte, position: name.first, seed: header.seed };
        Ok(Open { name, file, header, next, buffer, start: 0, last: 0 })
    }
}

impl Open {
    /// Moves over the frame at `next`, reading from the file what the buffer does not have. The inner error says why
    /// there is none (yet).
    fn step(&mut self) -> Result<Result<(), FrameError>, ReadError> {
        let why = match self.take() {
            Ok(()) => return Ok(Ok(())),
            Err(why) => why,
        };
        // What the buffer has may be the beginning of a frame only, or older than what stands in the file now.
        let length = match why {
            FrameError::Short(size) => size.max(CHUNK),
            _ => CHUNK,
        };
        self.load(length)?;
        match self.take() {
            Err(FrameError::Short(size)) if size > CHUNK => {
                self.load(size)?;
                Ok(self.take())
            }
            other => Ok(other),
        }
    }

    fn load(&mut self, length: usize) -> Result<(), ReadError> {
        self.start = self.next.byte;
        fill(&*self.file, self.start, length, &mut self.buffer)
            .map_err(|source| ReadError::Io { path: PathBuf::from(self.name.to_string()), source })
    }

    /// Moves over the frame at `next` if the buffer has it whole.
    fn take(&mut self) -> Result<(), FrameError> {
        let at = usize::try_from(self.next.byte.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        let rest = self.buffer.get(at..).unwrap_or_default();
        let frame = frame::decode(rest, self.next.position, self.next.seed)?;
        let (crc, size) = (frame.crc, frame.size as u64);
        self.next = Mark { byte: self.next.byte + size, position: self.next.position + 1, seed: crc };
        self.last = at;
        Ok(())
    }

    /// The frame that was moved over last, and its offset in the file.
    fn last(&self) -> Option<(Frame<'_>, u64)> {
        let frame = frame::parse(self.buffer.get(self.last..)?).ok()?;
        Some((frame, self.start + self.last as u64))
    }
}

/// Reads up to `length` bytes at `offset`; fewer at the end of the file.
fn fill(file: &dyn File, offset: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    buffer.resize(length, 0);
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + done as u64, rest)? {
            0 => break,
            n => done += n,
        }
    }
    buffer.truncate(done);
    Ok(())
}
