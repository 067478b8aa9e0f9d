//! The few file operations the log needs, as a trait, so that tests can make every one of them fail.
//!
//! [`RealIo`] is the operating system. The simulated disk for tests is `sim::SimIo` (feature `sim`).

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use thiserror::Error;

use crate::direct::{Direct, Wrote};

/// Bytes zeroed by one write while a segment is made ready. Large enough to be cheap, small enough not to hold the
/// disk for long.
pub const ZERO_CHUNK: usize = 1 << 20;

/// How often zeroing waits for the disk, in bytes: a long unsynced run would make the live segment's next fdatasync
/// wait for all of it.
pub(crate) const ZERO_SYNC: u64 = 4 << 20;

/// The file system as the log sees it, and the clocks.
///
/// Everything is blocking. Errors are passed on untouched: what an error means depends on which call made it, and
/// that is the writer's business.
pub trait Io: Send + Sync + fmt::Debug {
    /// Makes a folder (mode 0700). One that exists already is fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Creates a file for reading and writing (mode 0600). Fails if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file, for writing too if `write`.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn File>>;
    /// Renames; a file that has the new name is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder that is empty.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// fsync of a folder: names made, changed and removed in it are durable afterwards.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Monotonic clock in µs since some moment before the first call.
    fn mono_us(&self) -> u64;
    /// Wall clock in µs since 1970-01-01 UTC.
    fn wall_us(&self) -> u64;
}

/// An open file. Offsets and lengths are in bytes.
pub trait File: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `bytes.len()` bytes; 0 means the end of the file.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// fdatasync. After an error it must not be called again: the kernel may have dropped the pages, and the second
    /// call would claim that all is well.
    fn sync_data(&self) -> io::Result<()>;
    /// [`File::write_at`] and [`File::sync_data`], in one call where that is cheaper. For the end of a live segment: what
    /// follows in the file is zeros, and only one thread writes.
    ///
    /// # Errors
    /// Which of the two has failed, because only the first may be tried again.
    fn store(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.write_at(offset, bytes).map_err(StoreError::Write)?;
        self.sync_data().map_err(StoreError::Sync)
    }
    /// Writes zeros over `from..to`, syncing now and then and at the end, so that later fdatasyncs over these bytes find
    /// written blocks and need no change to the file's metadata.
    fn fill(&self, from: u64, to: u64) -> io::Result<()>;
    /// Reserves room so that the file has at least `len` bytes; new bytes read as zero.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Its length now.
    fn len(&self) -> io::Result<u64>;
    /// Whether it is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Its permission bits; `None` where the disk has no users (a simulated one).
    fn mode(&self) -> io::Result<Option<u32>> {
        Ok(None)
    }
    /// Takes away everybody's right to write it (mode 0400). For sealed segments; open handles keep working.
    fn protect(&self) -> io::Result<()>;
}

/// Why bytes were not stored.
#[derive(Debug, Error)]
pub enum StoreError {
    /// They could not be written. Nothing is lost by trying again.
    #[error("writing: {0}")]
    Write(#[source] io::Error),
    /// They may have been written, and not kept: never again in this process.
    #[error("fdatasync: {0}")]
    Sync(#[source] io::Error),
}

/// Reads a whole file. `limit` is the most it may hold; more is an `InvalidData` error.
pub fn read_all(file: &dyn File, limit: u64) -> io::Result<Vec<u8>> {
    let len = file.len()?;
    if len > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{len} bytes, more than {limit}")));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
        match file.read_at(done as u64, rest)? {
            0 => break,
            n => done += n,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// [`File::fill`] by plain writes.
pub(crate) fn fill_cached(file: &dyn File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0u8; ZERO_CHUNK];
    let (mut at, mut unsynced) = (from, 0u64);
    while at < to {
        let n = (to - at).min(ZERO_CHUNK as u64);
        file.write_at(at, zeros.get(..usize::try_from(n).unwrap_or(ZERO_CHUNK)).unwrap_or(&zeros))?;
        at += n;
        unsynced += n;
        if unsynced >= ZERO_SYNC {
            file.sync_data()?;
            unsynced = 0;
        }
    }
    file.sync_data()
}

/// The operating system's files and clocks.
#[derive(Debug)]
pub struct RealIo {
    started: Instant,
}

impl RealIo {
    /// Ready to use; its monotonic clock starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for RealIo {
    fn default() -> Self {
        Self::new()
    }
}

impl Io for RealIo {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(write).open(path)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn mono_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn wall_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
struct RealFile(fs::File, Mutex<Ways>);

/// How the end of a file is stored.
#[derive(Debug)]
enum Ways {
    /// It has not been asked for yet.
    Unknown,
    /// By direct writes.
    Direct(Direct),
    /// Through the page cache, because there is no other.
    Cached,
}

impl RealFile {
    fn new(file: fs::File) -> Self {
        Self(file, Mutex::new(Ways::Unknown))
    }
}

impl File for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not std's sync_data: that one repeats the call when a signal interrupts it, and a sync is never repeated.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn store(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let mut ways = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*ways, Ways::Unknown) {
            *ways = Direct::enable(&self.0).map_or(Ways::Cached, Ways::Direct);
        }
        if let Ways::Direct(direct) = &mut *ways {
            if direct.store(&self.0, offset, bytes)? == Wrote::Durable {
                return Ok(());
            }
            Direct::disable(&self.0).map_err(StoreError::Write)?;
            *ways = Ways::Cached;
        }
        self.write_at(offset, bytes).map_err(StoreError::Write)?;
        self.sync_data().map_err(StoreError::Sync)
    }

    /// Past the page cache where that can be: nobody reads these zeros, and a direct write over cached ones would first have
    /// to throw them away.
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let Some(mut direct) = Direct::enable(&self.0) else { return fill_cached(self, from, to) };
        let filled = direct.fill(&self.0, from, to);
        Direct::disable(&self.0)?;
        match filled? {
            Wrote::Durable => Ok(()),
            Wrote::Unable => fill_cached(self, from, to),
        }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // Not every file system can reserve. Writing the zeros does the same, slower.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let have = self.0.metadata()?.len();
                fill_cached(self, have.min(len), len)
            }
            Err(e) => Err(e.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn mode(&self) -> io::Result<Option<u32>> {
        Ok(Some(self.0.metadata()?.permissions().mode() & 0o7777))
    }

    fn protect(&self) -> io::Result<()> {
        self.0.set_permissions(fs::Permissions::from_mode(0o400))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond the file's end, and where a file system takes no direct writes, what is stored goes the plain way.
    #[test]
    fn what_cannot_be_written_directly_is_stored_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let io = RealIo::new();
        let path = dir.path().join("a");
        let file = io.create(&path).unwrap();
        file.allocate(5000).unwrap();
        file.fill(0, 5000).unwrap();
        file.store(0, &[1; 100]).unwrap();
        file.store(100, &[2; 4800]).unwrap();
        file.store(4900, &[3; 100]).unwrap();
        file.write_at(0, b"x").unwrap();
        let bytes = read_all(&*file, 10_000).unwrap();
        let want = [&b"x"[..], &[1; 99], &[2; 4800], &[3; 100]].concat();
        assert_eq!(bytes, want);
    }

    #[test]
    fn a_real_file_is_made_filled_sealed_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let io = RealIo::new();
        let sub = dir.path().join("log");
        io.create_dir(&sub).unwrap();
        io.create_dir(&sub).unwrap();
        let path = sub.join("a");
        let file = io.create(&path).unwrap();
        assert!(io.create(&path).is_err());
        file.allocate(10_000).unwrap();
        file.fill(0, 10_000).unwrap();
        file.write_at(9_998, b"xy").unwrap();
        file.sync_data().unwrap();
        io.rename(&path, &sub.join("b")).unwrap();
        io.sync_dir(&sub).unwrap();
        assert_eq!(io.list(&sub).unwrap(), ["b"]);
        file.set_len(9_999).unwrap();
        file.protect().unwrap();
        let again = io.open(&sub.join("b"), false).unwrap();
        let bytes = read_all(&*again, 10_000).unwrap();
        assert_eq!((bytes.len(), bytes[9_998]), (9_999, b'x'));
        assert!(read_all(&*again, 100).is_err());
        io.remove(&sub.join("b")).unwrap();
        assert!(io.list(&sub).unwrap().is_empty());
    }
}
