//! What is written below `data/tlog/<epoch>`: derived files, replaced whole, and synced later, all at once.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{SignError, fail};
use crate::io::{Io, read_all};
use crate::keeper::{TEMP, write_whole};
use crate::tlog::tile::{MAX_BUNDLE, Tile};

/// Longest file that is read back here.
const MAX_FILE: u64 = MAX_BUNDLE as u64;

/// A folder of derived files.
#[derive(Debug)]
pub(super) struct Folder {
    io: Arc<dyn Io>,
    root: PathBuf,
    /// Folders that are there.
    made: BTreeSet<PathBuf>,
    /// Files that may not be on disk yet.
    files: BTreeSet<PathBuf>,
    /// Folders of which names may not be on disk yet.
    folders: BTreeSet<PathBuf>,
}

impl Folder {
    /// Of that path, whose parent exists.
    pub(super) fn open(io: Arc<dyn Io>, root: PathBuf) -> Result<Self, SignError> {
        io.create_dir(&root).map_err(fail("making the folder", &root))?;
        if let Some(parent) = root.parent() {
            io.sync_dir(parent).map_err(fail("fsync of the folder", parent))?;
        }
        let made = BTreeSet::from([root.clone()]);
        Ok(Self { io, root, made, files: BTreeSet::new(), folders: BTreeSet::new() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Files that wait to be synced.
    pub(super) fn unsynced(&self) -> usize {
        self.files.len()
    }

    fn make(&mut self, folder: &Path) -> Result<(), SignError> {
        if self.made.contains(folder) {
            return Ok(());
        }
        if let Some(parent) = folder.parent().filter(|parent| parent.starts_with(&self.root)) {
            self.make(parent)?;
            self.folders.insert(parent.to_owned());
        }
        self.io.create_dir(folder).map_err(fail("making the folder", folder))?;
        // Each tile has one of its own while it is partial: not all of them are kept in mind.
        if folder.extension().is_none() {
            self.made.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Puts a file in place, whole; it is on disk after [`Folder::sync`].
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), SignError> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        self.make(&folder)?;
        replace(&*self.io, &path, bytes).map_err(fail("writing", &path))?;
        self.files.insert(path);
        self.folders.insert(folder);
        Ok(())
    }

    /// Puts a small file in place and waits until it is on disk; does nothing where it says so already.
    pub(super) fn settle(&self, name: &str, bytes: &[u8]) -> Result<(), SignError> {
        let path = self.path(name);
        settle(&*self.io, &path, bytes)
    }

    /// What a file holds; nothing where there is none.
    pub(super) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, SignError> {
        let path = self.path(name);
        read(&*self.io, &path).map_err(fail("reading", &path))
    }

    /// Waits until all that was put is on disk. Not to be called again where [`SignError::Sync`] came of it.
    pub(super) fn sync(&mut self) -> Result<(), SignError> {
        while let Some(path) = self.files.first().cloned() {
            match self.io.open(&path, true) {
                // Removed since.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(fail("opening", &path)(e)),
                Ok(file) => {
                    let synced = file.sync_data();
                    synced.map_err(|source| SignError::Sync { path: path.clone(), source })?;
                }
            }
            self.files.remove(&path);
        }
        while let Some(folder) = self.folders.first().cloned() {
            match self.io.sync_dir(&folder) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(fail("fsync of the folder", &folder)(e));
                }
                _ => {}
            }
            self.folders.remove(&folder);
        }
        Ok(())
    }

    /// Removes a partial tile. Only room is lost where that does not work.
    pub(super) fn drop_partial(&mut self, tile: Tile) {
        let path = self.path(&tile.path());
        if self.io.remove(&path).is_ok() {
            self.files.remove(&path);
        }
    }

    /// Removes all partial tiles of one that is full.
    pub(super) fn drop_partials_of(&mut self, full: Tile) {
        let folder = self.path(&format!("{}.p", full.path()));
        for name in self.io.list(&folder).unwrap_or_default() {
            let path = folder.join(name);
            if self.io.remove(&path).is_ok() {
                self.files.remove(&path);
            }
        }
        if self.io.remove_dir(&folder).is_ok() {
            self.folders.remove(&folder);
        }
    }
}

/// A file's bytes; nothing where there is none.
pub(super) fn read(io: &dyn Io, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match io.open(path, false).and_then(|file| read_all(&*file, MAX_FILE)) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes a small file where it does not say so already; durable when this returns.
pub(super) fn settle(io: &dyn Io, path: &Path, bytes: &[u8]) -> Result<(), SignError> {
    if read(io, path).map_err(fail("reading", path))?.as_deref() == Some(bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    write_whole(io, folder, path, bytes).map_err(fail("writing", path))
}

/// As [`write_whole`], and nobody waits until it is on disk.
fn replace(io: &dyn Io, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(TEMP);
    let temp = PathBuf::from(temp);
    let file = match io.create(&temp) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            io.remove(&temp)?;
            io.create(&temp)?
        }
        other => other?,
    };
    file.write_at(0, bytes)?;
    io.rename(&temp, path)
}
