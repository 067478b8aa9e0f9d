//! A tar that is written as it comes: headers are filled in once a member's length is known, digests are kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::{MakeError, ZEROS, failed};
use crate::bundle::{MEMBERS_MAX, SUMS, Sum, is_member, sums, ustar};

/// Bytes gathered before they are written.
const GATHERED: usize = 256 << 10;

/// A tar under way, beside the name that it gets once it is whole.
#[derive(Debug)]
pub struct Pack {
    file: File,
    path: PathBuf,
    temporary: PathBuf,
    /// Bytes handed to the file so far.
    written: u64,
    gathered: Vec<u8>,
    time: u64,
    open: Option<Open>,
    sums: BTreeMap<String, String>,
    done: bool,
}

#[derive(Debug)]
struct Open {
    name: String,
    header: u64,
    size: u64,
    sum: Sum,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Pack {
    /// Begins one (mode 0600), under a temporary name beside `path`. `time`: seconds since 1970, for its members.
    ///
    /// # Errors
    /// Those of the file.
    pub fn create(path: &Path, time: u64) -> Result<Self, MakeError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed(&temporary))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            temporary,
            written: 0,
            gathered: Vec::with_capacity(GATHERED),
            time,
            open: None,
            sums: BTreeMap::new(),
            done: false,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), MakeError> {
        self.gathered.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        if self.gathered.len() >= GATHERED { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), MakeError> {
        self.file.write_all(&self.gathered).map_err(failed(&self.temporary))?;
        self.gathered.clear();
        Ok(())
    }

    /// Begins a member.
    ///
    /// # Errors
    /// A name that no bundle has, and those of the file.
    pub fn begin(&mut self, name: &str) -> Result<(), MakeError> {
        if !is_member(name) || self.sums.contains_key(name) || self.sums.len() >= MEMBERS_MAX {
            return Err(MakeError::TooMuch(format!("{name}: no member that could be added")));
        }
        let header = self.written;
        self.put(ZEROS.get(..ustar::BLOCK).unwrap_or_default())?;
        self.open = Some(Open { name: name.to_owned(), header, size: 0, sum: Sum::default() });
        Ok(())
    }

    /// More bytes of the member that was begun.
    ///
    /// # Errors
    /// Those of the file.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), MakeError> {
        if let Some(open) = &mut self.open {
            open.size += bytes.len() as u64;
            open.sum.add(bytes);
        }
        self.put(bytes)
    }

    /// Ends it.
    ///
    /// # Errors
    /// Where it is longer than a bundle can have, and those of the file.
    pub fn end(&mut self) -> Result<(), MakeError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let Some(header) = ustar::header(&open.name, open.size, self.time) else {
            let most = ustar::MEMBER_BYTES_MAX;
            return Err(MakeError::TooMuch(format!("{}: more than {most} bytes", open.name)));
        };
        self.put(ZEROS.get(..ustar::padding(open.size)).unwrap_or_default())?;
        self.flush()?;
        self.file.write_all_at(&header, open.header).map_err(failed(&self.temporary))?;
        self.sums.insert(open.name, open.sum.text());
        Ok(())
    }

    /// A whole member.
    ///
    /// # Errors
    /// As of its parts.
    pub fn whole(&mut self, name: &str, bytes: &[u8]) -> Result<(), MakeError> {
        self.begin(name)?;
        self.add(bytes)?;
        self.end()
    }

    /// Adds the digests, ends the tar, and gives it its name once it is on disk.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> Result<Packed, MakeError> {
        let text = sums(self.sums.iter().map(|(name, sum)| (name.as_str(), sum.as_str())));
        self.whole(SUMS, text.as_bytes())?;
        self.put(&ZEROS)?;
        self.flush()?;
        self.file.sync_all().map_err(failed(&self.temporary))?;
        let (mut sum, mut at, mut piece) = (Sum::default(), 0, vec![0; GATHERED]);
        loop {
            let read = self.file.read_at(&mut piece, at).map_err(failed(&self.temporary))?;
            if read == 0 {
                break;
            }
            sum.add(piece.get(..read).unwrap_or_default());
            at += read as u64;
        }
        fs::rename(&self.temporary, &self.path).map_err(failed(&self.path))?;
        self.done = true;
        if let Some(folder) = self.path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // A name that is lost in a crash is told by the missing file; what matters is in the log.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
        }
        Ok(Packed { bytes: at, sha256: sum.text() })
    }
}

impl Drop for Pack {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
