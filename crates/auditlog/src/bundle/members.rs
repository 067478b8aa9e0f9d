//! The members of a bundle, found in a tar or in a folder by somebody who expects the worst of whoever made it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::ustar::{self, BLOCK, MEMBER_BYTES_MAX};
use super::{ALWAYS, MEMBERS_MAX, Sum, WHOLE_BYTES_MAX, is_member, is_streamed};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// Why there are no members.
#[derive(Debug, Error)]
pub enum MembersError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no bundle, or one that somebody has tampered with.
    #[error("{0}")]
    Refused(String),
}

/// Bytes at rest.
pub trait Bytes: Send + Sync + fmt::Debug {
    /// Reads up to `into.len()` bytes; 0 is the end.
    ///
    /// # Errors
    /// Those of the disk.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// How many there are.
    ///
    /// # Errors
    /// Those of the disk.
    fn count(&self) -> io::Result<u64>;
}

impl Bytes for fs::File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, into, offset)
    }

    fn count(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Bytes for Vec<u8> {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.get(from..).unwrap_or_default();
        let n = rest.len().min(into.len());
        if let (Some(into), Some(rest)) = (into.get_mut(..n), rest.get(..n)) {
            into.copy_from_slice(rest);
        }
        Ok(n)
    }

    fn count(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

#[derive(Debug, Clone)]
struct Member {
    bytes: Arc<dyn Bytes>,
    offset: u64,
    len: u64,
}

/// What a bundle consists of.
#[derive(Debug, Default)]
pub struct Members {
    all: BTreeMap<String, Member>,
    total: u64,
}

impl Members {
    /// Of a tar or a folder.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub fn open(path: &Path) -> Result<Self, MembersError> {
        let fail = |source| MembersError::Io { path: path.to_owned(), source };
        if fs::metadata(path).map_err(fail)?.is_dir() {
            return Self::folder(path);
        }
        let file = fs::File::open(path).map_err(fail)?;
        Self::tar(Arc::new(file), path)
    }

    /// Of a tar.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub fn tar(bytes: Arc<dyn Bytes>, path: &Path) -> Result<Self, MembersError> {
        let fail = |source| MembersError::Io { path: path.to_owned(), source };
        let total = bytes.count().map_err(fail)?;
        let mut members = Self { total, ..Self::default() };
        let mut at = 0;
        loop {
            let mut block = [0; BLOCK];
            if exact(&*bytes, at, &mut block).map_err(fail)? < BLOCK {
                return refused(format!("the tar ends at byte {at} without its two empty blocks"));
            }
            if block == [0; BLOCK] {
                break;
            }
            let Some((name, len)) = ustar::read(&block) else {
                return refused(format!(
                    "byte {at}: no header as bundles have them (ustar, plain files alone)"
                ));
            };
            let offset = at + BLOCK as u64;
            let pad = ustar::padding(len);
            if offset + len + pad as u64 > total {
                return refused(format!(
                    "{name}: {len} bytes are said to follow, and the tar ends before that"
                ));
            }
            let mut zeros = [0; BLOCK];
            let padding = zeros.get_mut(..pad).unwrap_or_default();
            exact(&*bytes, offset + len, padding).map_err(fail)?;
            if padding.iter().any(|b| *b != 0) {
                return refused(format!("{name}: bytes behind its end that are not zeros"));
            }
            members.add(name, Member { bytes: Arc::clone(&bytes), offset, len })?;
            at = offset + len + pad as u64;
        }
        let mut rest = [0; ustar::END];
        let there = exact(&*bytes, at, &mut rest).map_err(fail)?;
        if there < ustar::END || rest.iter().any(|b| *b != 0) || total != at + ustar::END as u64 {
            return refused(format!("from byte {at} on: not the two empty blocks that end a tar"));
        }
        members.whole()
    }

    /// Of a folder. Links are not followed.
    ///
    /// # Errors
    /// See [`MembersError`].
    pub fn folder(path: &Path) -> Result<Self, MembersError> {
        let mut members = Self::default();
        for (name, file) in listed(path)? {
            let kind = fs::symlink_metadata(&file)
                .map_err(|source| MembersError::Io { path: file.clone(), source })?;
            if kind.is_dir() {
                for (inner, file) in listed(&file)? {
                    members.add_file(format!("{name}/{inner}"), &file)?;
                }
            } else {
                members.add_file(name, &file)?;
            }
        }
        members.whole()
    }

    fn add_file(&mut self, name: String, path: &Path) -> Result<(), MembersError> {
        let fail = |source| MembersError::Io { path: path.to_owned(), source };
        if !fs::symlink_metadata(path).map_err(fail)?.is_file() {
            return refused(format!("{name}: no plain file"));
        }
        let file = fs::File::open(path).map_err(fail)?;
        let len = file.metadata().map_err(fail)?.len();
        self.total += len;
        self.add(name, Member { bytes: Arc::new(file), offset: 0, len })
    }

    fn add(&mut self, name: String, member: Member) -> Result<(), MembersError> {
        if !is_member(&name) {
            let name: String = name.chars().take(100).collect();
            return refused(format!("{name:?}: no name that a bundle has"));
        }
        let most = if is_streamed(&name) { MEMBER_BYTES_MAX } else { WHOLE_BYTES_MAX };
        if member.len > most {
            return refused(format!("{name}: {} bytes, more than {most}", member.len));
        }
        if self.all.len() >= MEMBERS_MAX {
            return refused(format!("more than {MEMBERS_MAX} members"));
        }
        if self.all.contains_key(&name) {
            return refused(format!("{name}: there are two of this name"));
        }
        self.all.insert(name, member);
        Ok(())
    }

    fn whole(self) -> Result<Self, MembersError> {
        match ALWAYS.iter().find(|name| !self.all.contains_key(**name)) {
            Some(name) => refused(format!("{name} is missing")),
            None => Ok(self),
        }
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// Whether there is one of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    /// Bytes of all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// A member as a whole; nothing where there is none, or it is longer than `most`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn whole_of(&self, name: &str, most: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(member) = self.all.get(name).filter(|m| m.len <= most) else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(member.len).map_err(io::Error::other)?];
        let read = exact(&*member.bytes, member.offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// The digest of a member.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn sum(&self, name: &str) -> io::Result<String> {
        let mut sum = Sum::default();
        if let Some(member) = self.all.get(name) {
            let mut piece = vec![0; PIECE];
            let mut done = 0;
            while done < member.len {
                let wanted = usize::try_from(member.len - done).unwrap_or(PIECE).min(PIECE);
                let into = piece.get_mut(..wanted).unwrap_or_default();
                let read = exact(&*member.bytes, member.offset + done, into)?;
                if read == 0 {
                    break;
                }
                sum.add(into.get(..read).unwrap_or_default());
                done += read as u64;
            }
        }
        Ok(sum.text())
    }

    /// The lines of a member, none longer than `most`.
    #[must_use]
    pub fn lines(&self, name: &str, most: usize) -> Lines {
        let member = self.all.get(name).cloned();
        let (bytes, offset, len) = member.map_or((None, 0, 0), |m| (Some(m.bytes), m.offset, m.len));
        Lines { bytes, offset, left: len, most, held: Vec::new(), at: 0, passed: 0 }
    }
}

fn refused<T>(why: String) -> Result<T, MembersError> {
    Err(MembersError::Refused(why))
}

/// The names in a folder, and where they are.
fn listed(path: &Path) -> Result<Vec<(String, PathBuf)>, MembersError> {
    let fail = |source| MembersError::Io { path: path.to_owned(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(path).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if all.len() >= MEMBERS_MAX {
            return refused(format!("more than {MEMBERS_MAX} files"));
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        all.push((name, entry.path()));
    }
    all.sort();
    Ok(all)
}

/// Reads until it is full or the bytes end.
fn exact(bytes: &dyn Bytes, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match bytes.read_at(offset + done as u64, rest)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Lines of a member, one after the other.
#[derive(Debug)]
pub struct Lines {
    bytes: Option<Arc<dyn Bytes>>,
    offset: u64,
    left: u64,
    most: usize,
    held: Vec<u8>,
    at: usize,
    passed: u64,
}

impl Lines {
    /// Where in the member the next line begins.
    #[must_use]
    pub fn byte(&self) -> u64 {
        self.passed
    }

    /// The next line, without its end; nothing behind the last.
    ///
    /// # Errors
    /// A line that is too long or not ended, and those of the disk.
    #[expect(clippy::should_implement_trait, reason = "lines borrow the buffer: no Iterator can lend them")]
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut seen = 0;
        let end = loop {
            let rest = self.held.get(self.at..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', rest.get(seen..).unwrap_or_default()) {
                break seen + end;
            }
            seen = rest.len();
            if seen > self.most {
                return Err(io::Error::other(format!("a line longer than {} bytes", self.most)));
            }
            if !self.more()? {
                return if seen == 0 {
                    Ok(None)
                } else {
                    Err(io::Error::other("the last line is not ended"))
                };
            }
        };
        if end > self.most {
            return Err(io::Error::other(format!("a line longer than {} bytes", self.most)));
        }
        let from = self.at;
        self.at += end + 1;
        self.passed += end as u64 + 1;
        Ok(self.held.get(from..from + end))
    }

    fn more(&mut self) -> io::Result<bool> {
        let Some(bytes) = self.bytes.clone().filter(|_| self.left > 0) else { return Ok(false) };
        self.held.drain(..self.at);
        self.at = 0;
        let wanted = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let old = self.held.len();
        self.held.resize(old + wanted, 0);
        let read = exact(&*bytes, self.offset, self.held.get_mut(old..).unwrap_or_default())?;
        self.held.truncate(old + read);
        self.offset += read as u64;
        self.left = if read == 0 { 0 } else { self.left - read as u64 };
        Ok(read > 0)
    }
}
