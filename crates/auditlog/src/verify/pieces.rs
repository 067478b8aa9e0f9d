//! A file read from front to end, a piece at a time.

use std::io;
use std::sync::Arc;

use crate::io::File;

/// Bytes read at a time: the disk is busy, and memory is not.
const PIECE: usize = 512 << 10;
/// Zeros, to compare with.
const ZEROS: [u8; 4096] = [0; 4096];

/// Where in a file one is, and what of it is in memory.
#[derive(Debug)]
pub(super) struct Pieces {
    file: Arc<dyn File>,
    bytes: Vec<u8>,
    /// How much of `bytes` is filled, and how much of that was passed.
    filled: usize,
    at: usize,
    /// Where the next byte to be read stands in the file.
    read: u64,
}

impl Pieces {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, bytes: Vec::new(), filled: 0, at: 0, read: 0 }
    }

    /// What is in memory and not passed.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.filled).unwrap_or_default()
    }

    /// Where that begins in the file.
    pub(super) fn offset(&self) -> u64 {
        self.read - self.rest().len() as u64
    }

    pub(super) fn pass(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.filled);
    }

    /// Reads on until so many bytes are in memory, or the file ends.
    pub(super) fn have(&mut self, wanted: usize) -> io::Result<()> {
        if self.rest().len() >= wanted {
            return Ok(());
        }
        self.bytes.copy_within(self.at..self.filled, 0);
        (self.filled, self.at) = (self.filled - self.at, 0);
        // No more than there is: a window for what is behind damage is wide, and most files are not.
        let left = usize::try_from(self.file.len()?.saturating_sub(self.read)).unwrap_or(usize::MAX);
        let room = wanted.max(PIECE).min(self.filled.saturating_add(left));
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        while self.filled < wanted {
            let into = self.bytes.get_mut(self.filled..).unwrap_or_default();
            if into.is_empty() {
                break;
            }
            match self.file.read_at(self.read, into)? {
                0 => break,
                n => (self.read, self.filled) = (self.read + n as u64, self.filled + n),
            }
        }
        Ok(())
    }

    /// Forgets what is in memory, and goes to a place in the file.
    pub(super) fn go_to(&mut self, offset: u64) {
        (self.filled, self.at, self.read) = (0, 0, offset);
    }

    /// Where the first byte from here on stands that is not zero, and where the last; `None` where all are zero. Stays where
    /// it is.
    pub(super) fn not_zero(&mut self) -> io::Result<Option<(u64, u64)>> {
        let start = self.offset();
        let mut found: Option<(u64, u64)> = None;
        loop {
            self.have(PIECE)?;
            let base = self.offset();
            let rest = self.rest();
            if rest.is_empty() {
                break;
            }
            for (n, page) in rest.chunks(ZEROS.len()).enumerate() {
                if ZEROS.get(..page.len()) == Some(page) {
                    continue;
                }
                let at = base + (n * ZEROS.len()) as u64;
                let place = |p: Option<usize>| p.map_or(at, |p| at + p as u64);
                let last = place(page.iter().rposition(|b| *b != 0));
                let first = found.map_or_else(|| place(page.iter().position(|b| *b != 0)), |f| f.0);
                found = Some((first, last));
            }
            self.pass(usize::MAX - self.at);
        }
        self.go_to(start);
        Ok(found)
    }
}
