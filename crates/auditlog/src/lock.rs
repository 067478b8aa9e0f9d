//! One process at a time writes a data folder: `data/lock`, held by `flock`.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

/// Why the folder is not ours.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the data folder {} is in use by {}", path.display(), holder(*pid))]
    Held {
        /// The data folder.
        path: PathBuf,
        /// Who, if the file says so.
        pid: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    #[error("lock file {}: {source}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// The lock on a data folder; let go when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct DataLock {
    file: fs::File,
}

impl DataLock {
    /// Takes the lock, or says who has it. Does not wait.
    pub fn acquire(data: &Path) -> Result<Self, LockError> {
        let path = data.join("lock");
        let fail = |source| LockError::Io { path: path.clone(), source };
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Only for the message, and the holder may be writing it just now.
                let _ = (&file).take(32).read_to_string(&mut text);
                return Err(LockError::Held { path: data.to_owned(), pid: text.trim().parse().ok() });
            }
            Err(e) => return Err(fail(e.into())),
        }
        let write = |file: &mut fs::File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(fail)?;
        Ok(Self { file })
    }
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // The file stays: removing it would let two processes lock two files of one name.
        let _ = self.file.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataLock::acquire(dir.path()).unwrap();
        let err = DataLock::acquire(dir.path()).unwrap_err();
        assert!(err.to_string().contains(&format!("process {}", std::process::id())), "{err}");
        drop(first);
        DataLock::acquire(dir.path()).unwrap();
    }
}
