//! The frames of one segment file, read a piece at a time: for whoever must go through a segment while sessions are
//! served, and must not take the memory of a whole one for it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::frame::{self, Frame};
use crate::io::{File, Io};
use crate::segment::{Header, SegmentName};

/// Bytes read at a time. A frame longer than this is read whole all the same.
const PIECE: usize = 256 << 10;

/// See the module's own words. Stops at the first bytes that are not the frame that should stand there.
#[derive(Debug)]
pub struct Walk {
    header: Header,
    file: Arc<dyn File>,
    /// Where the next byte to be read stands in the file.
    read: u64,
    /// What was read and not all walked over.
    bytes: Vec<u8>,
    /// How much of that was.
    at: usize,
    next: u64,
    seed: u32,
    /// The file has no more bytes.
    ended: bool,
}

impl Walk {
    /// Opens a segment and checks its header.
    pub fn open(io: &dyn Io, log: &Path, name: SegmentName) -> io::Result<Self> {
        let file = io.open(&name.path(log), false)?;
        let mut bytes = Vec::new();
        let mut read = 0;
        let mut ended = fill(&*file, &mut read, &mut bytes, PIECE)?;
        // Most headers are a page; one that lists very much that was open is longer.
        let size = Header::size_at(&bytes);
        if size > bytes.len() && !ended {
            ended = fill(&*file, &mut read, &mut bytes, size)?;
        }
        let header = Header::decode(&bytes).map_err(io::Error::other)?;
        if header.name() != name {
            return Err(io::Error::other(format!("the header is that of segment {}", header.name())));
        }
        let (at, next, seed) = (header.size(), header.frontier.size(), header.seed);
        Ok(Self { header, file, read, bytes, at, next, seed, ended })
    }

    /// Its checked header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the next frame stands, or would, in the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.read - self.rest().len() as u64
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next frame and its offset in the file. `None` at the end of the frames, for whatever reason they end.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn next_frame(&mut self) -> io::Result<Option<(u64, Frame<'_>)>> {
        self.have(frame::HEADER)?;
        let size = frame::size_at(self.rest());
        self.have(size)?;
        let offset = self.offset();
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let Ok(frame) = frame::decode(rest, self.next, self.seed) else { return Ok(None) };
        (self.at, self.next, self.seed) = (at + frame.size, self.next + 1, frame.crc);
        Ok(Some((offset, frame)))
    }

    /// Whether all that follows the frames is zeros, and there is some.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn ends_in_zeros(mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            if self.rest().iter().any(|b| *b != 0) {
                return Ok(false);
            }
            any |= !self.rest().is_empty();
            if self.ended {
                return Ok(any);
            }
            self.at = self.bytes.len();
            self.have(PIECE)?;
        }
    }

    /// Reads on until so many bytes are there, or the file ends.
    fn have(&mut self, bytes: usize) -> io::Result<()> {
        if self.rest().len() >= bytes || self.ended {
            return Ok(());
        }
        self.bytes.drain(..self.at.min(self.bytes.len()));
        self.at = 0;
        self.ended = fill(&*self.file, &mut self.read, &mut self.bytes, bytes.max(PIECE))?;
        Ok(())
    }
}

/// Reads until `bytes` holds `wanted`. True when the file ended before.
fn fill(file: &dyn File, read: &mut u64, bytes: &mut Vec<u8>, wanted: usize) -> io::Result<bool> {
    let mut done = bytes.len();
    bytes.resize(wanted.max(done), 0);
    let mut ended = false;
    while let Some(room) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(*read, room)? {
            0 => {
                ended = true;
                break;
            }
            n => (*read, done) = (*read + n as u64, done + n),
        }
    }
    bytes.truncate(done);
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frames;
    use crate::sim::SimIo;
    use crate::tree::Frontier;
    use std::path::PathBuf;

    /// Entries of every size, one far larger than a piece, then `tail`: the walk, and the whole file.
    fn segment(tail: &[u8]) -> (Walk, Vec<u8>) {
        let io = SimIo::new(1);
        let log = PathBuf::from("/log");
        io.create_dir(&log).unwrap();
        let header = Header {
            log_id: [7; 16],
            epoch: 1,
            created_us: 0,
            seed: 9,
            frontier: Frontier::new(),
            open: Vec::new(),
        };
        let mut bytes = header.encode();
        let (mut seed, mut seq) = (header.seed, 0);
        for payload in (0..300).map(|n| n * 97 % 5000).chain([700 << 10, 0, PIECE, PIECE - 60, 3]) {
            seed = frame::encode(&mut bytes, seq, 0, seed, b"{}", &vec![seq as u8; payload]);
            seq += 1;
        }
        bytes.extend_from_slice(tail);
        let file = io.create(&header.name().path(&log)).unwrap();
        file.write_at(0, &bytes).unwrap();
        (Walk::open(&*io, &log, header.name()).unwrap(), bytes)
    }

    #[test]
    fn it_sees_what_reading_the_whole_file_shows() {
        let cases: [(&[u8], bool); 5] = [
            (b"", false),
            (&[0; 9], true),
            (&[0; PIECE * 2], true),
            (b"\0\0\0\0x", false),
            (b"garbage", false),
        ];
        for (tail, zeros) in cases {
            let (mut walk, bytes) = segment(tail);
            let header = walk.header().clone();
            let mut whole = Frames::new(&bytes, header.size(), 0, header.seed);
            let mut most = 0;
            for (at, frame) in whole.by_ref() {
                assert_eq!(walk.next_frame().unwrap(), Some((at as u64, frame)));
                most = most.max(walk.bytes.capacity());
            }
            assert_eq!(walk.next_frame().unwrap(), None);
            assert_eq!((walk.offset(), walk.next), (whole.offset() as u64, 305));
            assert!(most < bytes.len() / 2 + (1 << 20), "{most} bytes held of {}", bytes.len());
            assert_eq!(walk.ends_in_zeros().unwrap(), zeros, "{} bytes of tail", tail.len());
        }
    }
}
