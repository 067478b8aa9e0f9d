//! How the end of a live segment is written past the page cache: whole blocks, written and made durable by one call.
//!
//! A write through the page cache and an fdatasync cost the kernel twice the work of one direct write that ends durable
//! (`RWF_DSYNC`, pwritev2(2)), and the caller a third more time. The blocks of a live segment stand written full of zeros
//! before (see [`crate::keeper`]), so a direct write of whole blocks changes nothing but the bytes it is given: what
//! precedes them in the first block is kept here and written again, what follows in the last is zero already. The page cache would
//! write the same blocks: a write that is torn by the loss of power endangers nothing that it did not endanger before.

use std::fs;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fdatasync};
use rustix::io::{Errno, ReadWriteFlags, pwritev2};

use crate::io::{StoreError, ZERO_SYNC};

/// What direct writes are aligned to: no disk in use has larger logical blocks.
const BLOCK: usize = 4096;
/// Bytes written by one call; more is written in several, and synced afterwards. Bounds the copy that is made of them.
const CHUNK: usize = 1 << 20;

/// Direct writes to one file.
#[derive(Debug)]
pub(crate) struct Direct {
    /// The file is not made longer: beyond its end there are no zeros that could be written again.
    len: u64,
    /// Room for a chunk behind a part of a block, wherever alignment lets it begin.
    room: Vec<u8>,
    /// Where the aligned part of `room` begins.
    from: usize,
    /// Up to here in the file everything is known to be as it was written, and the part of a block before it stands at the
    /// beginning of the aligned room.
    end: Option<u64>,
}

/// Whether the write came about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrote {
    /// It is durable.
    Durable,
    /// Nothing can be said against the file, but it does not take direct writes.
    Unable,
}

impl Direct {
    /// Turns a file's handle to direct writes. `None`: the file system has none.
    pub(crate) fn enable(file: &fs::File) -> Option<Self> {
        let len = file.metadata().ok()?.len();
        let flags = fcntl_getfl(file).ok()?;
        fcntl_setfl(file, flags | OFlags::DIRECT).ok()?;
        let room = vec![0; CHUNK + 3 * BLOCK];
        let from = room.as_ptr().align_offset(BLOCK);
        // `align_offset` may decline to answer; then there is no aligned room.
        (from <= BLOCK).then_some(Self { len, room, from, end: None })
    }

    /// Turns the handle back.
    pub(crate) fn disable(file: &fs::File) -> io::Result<()> {
        Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::DIRECT)?)
    }

    /// Writes all of `bytes` at `offset`, durably.
    ///
    /// # Errors
    /// See [`StoreError`]; an error that leaves open whether the disk has lost something is [`StoreError::Sync`].
    pub(crate) fn store(&mut self, file: &fs::File, offset: u64, bytes: &[u8]) -> Result<Wrote, StoreError> {
        let behind = (offset + bytes.len() as u64).next_multiple_of(BLOCK as u64);
        if behind > self.len {
            return Ok(Wrote::Unable);
        }
        if self.end != Some(offset) && !self.read_before(file, offset)? {
            return Ok(Wrote::Unable);
        }
        self.end = None;
        let whole = bytes.len() <= CHUNK;
        let flags = if whole { ReadWriteFlags::DSYNC } else { ReadWriteFlags::empty() };
        let mut at = offset;
        for chunk in bytes.chunks(CHUNK) {
            if !self.write(file, at, chunk, flags)? {
                return Ok(Wrote::Unable);
            }
            at += chunk.len() as u64;
        }
        if !whole {
            fdatasync(file).map_err(|e| StoreError::Sync(e.into()))?;
        }
        self.end = Some(at);
        Ok(Wrote::Durable)
    }

    /// Writes zeros over whole blocks, durably. Bounds that are none are left to others.
    pub(crate) fn fill(&mut self, file: &fs::File, from: u64, to: u64) -> io::Result<Wrote> {
        let (mut at, mut unsynced) = (from, 0);
        let whole = from.is_multiple_of(BLOCK as u64) && to.is_multiple_of(BLOCK as u64);
        if !whole || to > self.len {
            return Ok(Wrote::Unable);
        }
        self.end = None;
        self.room.fill(0);
        while at < to {
            let n = usize::try_from(to - at).unwrap_or(CHUNK).min(CHUNK);
            match pwritev2(file, &[IoSlice::new(self.aligned(0..n))], at, ReadWriteFlags::empty()) {
                Ok(written) if written == n => {}
                Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Wrote::Unable),
                Err(e) => return Err(e.into()),
            }
            at += n as u64;
            unsynced += n as u64;
            if unsynced >= ZERO_SYNC {
                fdatasync(file)?;
                unsynced = 0;
            }
        }
        fdatasync(file)?;
        Ok(Wrote::Durable)
    }

    fn aligned(&mut self, range: Range<usize>) -> &mut [u8] {
        self.room.get_mut(self.from..).and_then(|r| r.get_mut(range)).unwrap_or_default()
    }

    /// Reads what precedes `offset` in its block.
    fn read_before(&mut self, file: &fs::File, offset: u64) -> Result<bool, StoreError> {
        let block = offset - offset % BLOCK as u64;
        let want = self.aligned(0..BLOCK);
        match file.read_at(want, block) {
            Ok(n) => Ok(n == BLOCK),
            Err(e) if e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
            Err(e) => Err(StoreError::Write(e)),
        }
    }

    /// Writes one chunk behind the part of a block that stands in the room, and keeps the part that it ends with.
    fn write(
        &mut self,
        file: &fs::File,
        at: u64,
        chunk: &[u8],
        flags: ReadWriteFlags,
    ) -> Result<bool, StoreError> {
        let part = usize::try_from(at % BLOCK as u64).unwrap_or_default();
        let end = part + chunk.len();
        let padded = end.next_multiple_of(BLOCK);
        self.aligned(part..end).copy_from_slice(chunk);
        self.aligned(end..padded).fill(0);
        let blocks = [IoSlice::new(self.aligned(0..padded))];
        match pwritev2(file, &blocks, at - part as u64, flags) {
            Ok(n) if n == padded => {}
            // A part of it: the whole is written again, and synced, by the other way.
            Ok(_) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(e) => return Err(taken(e)),
        }
        let kept = end - end % BLOCK;
        let from = self.from;
        self.room.copy_within(from + kept..from + end, from);
        Ok(true)
    }
}

/// What an error of a call says that writes and syncs in one: these come before the disk has been asked to keep anything.
fn taken(error: Errno) -> StoreError {
    match error {
        Errno::NOSPC
        | Errno::DQUOT
        | Errno::ROFS
        | Errno::FBIG
        | Errno::NOMEM
        | Errno::AGAIN
        | Errno::PERM => StoreError::Write(error.into()),
        _ => StoreError::Sync(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const LEN: usize = 4 << 20;

    fn zeros(dir: &std::path::Path) -> fs::File {
        let path = dir.join("f");
        let mut file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
        file.write_all(&vec![0; LEN]).unwrap();
        file.sync_all().unwrap();
        file
    }

    /// Where the file system of the temporary folder takes direct writes, they are tried; otherwise only that it says so.
    #[test]
    fn what_is_stored_is_what_a_plain_write_would_have_left() {
        let dir = tempfile::tempdir().unwrap();
        let file = zeros(dir.path());
        let Some(mut direct) = Direct::enable(&file) else { return };
        let mut plain = vec![0u8; LEN];
        let (mut at, mut byte) = (0usize, 1u8);
        for n in [1, 800, 3295, 4096, 4095, 1, 8192, 12_000, CHUNK, CHUNK + 1, 5, 700_000, 33] {
            let bytes = vec![byte; n];
            assert_eq!(direct.store(&file, at as u64, &bytes).unwrap(), Wrote::Durable, "{n}");
            plain[at..at + n].copy_from_slice(&bytes);
            at += n;
            byte += 1;
            // As after a failed write, which is tried again at the same place with more.
            if n == 12_000 {
                assert_eq!(direct.store(&file, at as u64 - 7, &[99; 7]).unwrap(), Wrote::Durable);
                plain[at - 7..at].fill(99);
            }
            // As after a restart: what precedes is read from the file.
            if n == 5 {
                Direct::disable(&file).unwrap();
                direct = Direct::enable(&file).unwrap();
            }
        }
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), plain);
    }

    #[test]
    fn zeros_take_the_place_of_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = zeros(dir.path());
        file.write_all_at(&vec![7; LEN], 0).unwrap();
        let Some(mut direct) = Direct::enable(&file) else { return };
        assert_eq!(direct.store(&file, 100, b"abc").unwrap(), Wrote::Durable);
        assert_eq!(direct.fill(&file, 4096, LEN as u64 - 4096).unwrap(), Wrote::Durable);
        assert_eq!(direct.fill(&file, 0, 5).unwrap(), Wrote::Unable);
        let bytes = fs::read(dir.path().join("f")).unwrap();
        assert_eq!(&bytes[98..105], b"\x07\x07abc\0\0");
        assert!(bytes[4096..LEN - 4096].iter().all(|b| *b == 0));
        assert!(bytes[LEN - 4096..].iter().all(|b| *b == 7));
    }

    #[test]
    fn a_file_is_not_made_longer() {
        let dir = tempfile::tempdir().unwrap();
        let file = zeros(dir.path());
        file.set_len(5000).unwrap();
        let Some(mut direct) = Direct::enable(&file) else { return };
        assert_eq!(direct.store(&file, 4000, &[1; 200]).unwrap(), Wrote::Unable);
        assert_eq!(file.metadata().unwrap().len(), 5000);
    }

    #[test]
    fn an_error_that_may_have_lost_something_is_one_of_the_sync() {
        assert!(matches!(taken(Errno::IO), StoreError::Sync(_)));
        assert!(matches!(taken(Errno::ROFS), StoreError::Write(_)));
    }
}
