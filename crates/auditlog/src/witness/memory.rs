//! The memory of a witness: what it has cosigned of each tree, on disk before anybody sees the cosignature.
//!
//! Decision, keeping and signing are one step under one lock. A witness signs some hundred checkpoints a second at most that way,
//! which is more than its logs have: each comes once a second.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::watch::{Refusal, Seen, Watch};
use crate::io::{Io, read_all};
use crate::keeper::TEMP;
use crate::keys::{self, read_private, write_new};
use crate::lock::{DataLock, LockError};
use crate::queue::lock;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::cosignature::{CosignError, cosign, time_of};
use crate::tlog::key::{KEY_BYTES, KeyError, KeyKind, SigningKey, VerifyingKey};
use crate::tlog::note::{MAX_NOTE, Note, Signature};

/// Most trees that are remembered: a key of a log could name epochs without end.
pub const MAX_TREES: usize = 1024;
/// The folder of what was cosigned.
const TREES: &str = "trees";
/// The key's file.
const KEY: &str = "witness.key";

/// Why a witness cannot begin.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process cosigns.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The key's file.
    #[error(transparent)]
    KeyFile(#[from] keys::KeyError),
    /// A key that cannot be.
    #[error("the witness's key: {0}")]
    Key(#[from] KeyError),
    /// Something was cosigned, and the key is not there.
    #[error("{} is gone, and something was cosigned before", .0.display())]
    Gone(PathBuf),
    /// The key has another name: a cosignature does not say who made it, so that no key may be used under two.
    #[error("{} is the key of {found}, and this witness is called {wanted}", path.display())]
    Name {
        /// Its file.
        path: PathBuf,
        /// As it is called.
        found: String,
        /// As it is configured.
        wanted: String,
    },
    /// Another file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not what was written. It is not begun anew: that would be a witness that has forgotten.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// The library refused.
    #[error("no random numbers")]
    Random,
}

/// Why nothing was cosigned.
#[derive(Debug, Error)]
pub enum AddError {
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// As many trees as are remembered.
    #[error("{MAX_TREES} trees are remembered, and no more")]
    TooMany,
    /// It could not be kept; nothing has changed, and it may be tried again.
    #[error("it cannot be kept: {0}")]
    NotKept(#[source] io::Error),
    /// It may have been kept, or not: this process believes its disk no more.
    #[error("it is not known whether what was cosigned is on disk ({0}): the witness must be started again")]
    Over(String),
    /// The checkpoint cannot be cosigned.
    #[error(transparent)]
    Cosign(#[from] CosignError),
}

/// What was cosigned of a tree.
#[derive(Debug, Clone)]
struct Tree {
    seen: Seen,
    note: String,
}

#[derive(Debug, Default)]
struct Trees {
    by_origin: BTreeMap<String, Tree>,
    /// Why the disk is not believed any more.
    over: Option<String>,
}

/// A witness with its key and memory.
#[derive(Debug)]
pub struct Witness {
    io: Arc<dyn Io>,
    folder: PathBuf,
    key: SigningKey,
    watch: Watch,
    trees: Mutex<Trees>,
    _lock: Option<DataLock>,
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

impl Witness {
    /// Opens the folder, making it and the key on first use. `lock`: `None` only where nobody else can be, as in tests.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        io: Arc<dyn Io>,
        folder: &Path,
        name: &str,
        watch: Watch,
        lock: Option<DataLock>,
    ) -> Result<Self, OpenError> {
        let trees = folder.join(TREES);
        io.create_dir(&trees).map_err(failed(&trees))?;
        io.sync_dir(folder).map_err(failed(folder))?;
        let names = io.list(&trees).map_err(failed(&trees))?;
        let key = key(&*io, folder, name, !names.is_empty())?;
        let mut all = Trees::default();
        for name in names {
            let path = trees.join(&name);
            if name.ends_with(TEMP) {
                io.remove(&path).map_err(failed(&path))?;
                continue;
            }
            let (origin, tree) = read(&*io, &path, key.verifying())?;
            if file_name(&origin) != name {
                return Err(OpenError::Damaged { path, why: format!("it is that of {origin:?}") });
            }
            all.by_origin.insert(origin, tree);
        }
        // What a process before this one has put there may not be on disk yet.
        io.sync_dir(&trees).map_err(failed(&trees))?;
        Ok(Self { io, folder: folder.to_owned(), key, watch, trees: Mutex::new(all), _lock: lock })
    }

    /// The key of a folder in public, without opening it: another process may be cosigning. Nothing where none was made yet.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn key_of(io: &dyn Io, folder: &Path, name: &str) -> Result<Option<VerifyingKey>, OpenError> {
        match key(io, folder, name, true) {
            Ok(key) => Ok(Some(key.verifying().clone())),
            Err(OpenError::Gone(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Its key, in public.
    #[must_use]
    pub fn vkey(&self) -> &VerifyingKey {
        self.key.verifying()
    }

    /// The logs that it watches.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Answers a request: with the line of the cosignature, once what was cosigned is durable.
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add(&self, body: &[u8]) -> Result<String, AddError> {
        // Signatures are checked before the lock is taken: who sends rubbish holds up nobody.
        let asked = self.watch.read(body)?;
        let mut trees = lock(&self.trees);
        if let Some(why) = &trees.over {
            return Err(AddError::Over(why.clone()));
        }
        let known = trees.by_origin.get(asked.origin()).map(|tree| tree.seen);
        asked.extends(&known.unwrap_or_else(Seen::nothing))?;
        if known.is_none() && trees.by_origin.len() >= MAX_TREES {
            return Err(AddError::TooMany);
        }
        let line = cosign(&self.key, asked.note().text(), self.io.wall_us() / 1_000_000)?;
        if known != Some(asked.would_see()) {
            let note = with(asked.note(), &line);
            self.keep(&mut trees, asked.origin(), &note)?;
            let tree = Tree { seen: asked.would_see(), note };
            trees.by_origin.insert(asked.origin().to_owned(), tree);
        }
        Ok(format!("{}\n", line.to_line()))
    }

    /// The newest checkpoint of a tree that was cosigned; `hash`: SHA-256 of its origin in hex.
    #[must_use]
    pub fn newest(&self, hash: &str) -> Option<String> {
        let trees = lock(&self.trees);
        let found = trees.by_origin.iter().find(|(origin, _)| file_name(origin) == hash);
        found.map(|(_, tree)| tree.note.clone())
    }

    /// How many entries were cosigned of each tree.
    #[must_use]
    pub fn sizes(&self) -> Vec<(String, u64)> {
        let trees = lock(&self.trees);
        trees.by_origin.iter().map(|(origin, tree)| (origin.clone(), tree.seen.size)).collect()
    }

    /// Why it answers nobody any more; nothing while it does.
    #[must_use]
    pub fn over(&self) -> Option<String> {
        lock(&self.trees).over.clone()
    }

    fn keep(&self, trees: &mut Trees, origin: &str, note: &str) -> Result<(), AddError> {
        let folder = self.folder.join(TREES);
        let path = folder.join(file_name(origin));
        let mut temp = path.clone().into_os_string();
        temp.push(TEMP);
        let temp = PathBuf::from(temp);
        let written = || {
            let file = match self.io.create(&temp) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    self.io.remove(&temp)?;
                    self.io.create(&temp)?
                }
                other => other?,
            };
            file.write_at(0, note.as_bytes())?;
            Ok(file)
        };
        let file = written().map_err(AddError::NotKept)?;
        let kept = file
            .sync_data()
            .and_then(|()| self.io.rename(&temp, &path))
            .and_then(|()| self.io.sync_dir(&folder));
        kept.map_err(|e| {
            let why = format!("{}: {e}", path.display());
            trees.over = Some(why.clone());
            AddError::Over(why)
        })
    }
}

/// A log's note with our line, and nobody else's.
fn with(note: &Note, line: &Signature) -> String {
    let others: String = note.signatures().iter().map(|s| format!("{}\n", s.to_line())).collect();
    format!("{}\n{others}{}\n", note.text(), line.to_line())
}

/// Origins may hold any character; a file's name may not.
fn file_name(origin: &str) -> String {
    Sha256::digest(origin.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

fn key(io: &dyn Io, folder: &Path, name: &str, used: bool) -> Result<SigningKey, OpenError> {
    let path = folder.join(KEY);
    let bytes = match read_private(io, &path) {
        Err(keys::KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            if used {
                return Err(OpenError::Gone(path));
            }
            return make_key(io, folder, name);
        }
        other => Zeroizing::new(other?),
    };
    let damaged = |why: String| OpenError::Damaged { path: path.clone(), why };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text".to_owned()))?;
    let key = SigningKey::parse(text.trim_end_matches('\n')).map_err(|e| damaged(e.to_string()))?;
    if key.verifying().kind() != KeyKind::Cosignature {
        return Err(damaged("it is no key for cosignatures (kind 0x04)".to_owned()));
    }
    let found = key.verifying().name().to_owned();
    if found != name {
        return Err(OpenError::Name { path, found, wanted: name.to_owned() });
    }
    Ok(key)
}

fn make_key(io: &dyn Io, folder: &Path, name: &str) -> Result<SigningKey, OpenError> {
    let mut seed = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(seed.as_mut_slice()).map_err(|_| OpenError::Random)?;
    let key = SigningKey::from_seed(name, KeyKind::Cosignature, &seed)?;
    let text = Zeroizing::new(format!("{}\n", *key.to_skey()));
    write_new(io, folder, KEY, text.as_bytes())?;
    Ok(key)
}

/// What was kept of a tree, which this witness itself must have cosigned.
fn read(io: &dyn Io, path: &Path, key: &VerifyingKey) -> Result<(String, Tree), OpenError> {
    let file = io.open(path, true).map_err(failed(path))?;
    let bytes = read_all(&*file, MAX_NOTE as u64).map_err(failed(path))?;
    file.sync_data().map_err(failed(path))?;
    let damaged = |why: String| OpenError::Damaged { path: path.to_owned(), why };
    let note = Note::parse(&bytes).map_err(|e| damaged(e.to_string()))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|e| damaged(e.to_string()))?;
    if !note.signatures().iter().any(|line| time_of(note.text(), line, key).is_some()) {
        return Err(damaged("this witness has not cosigned it".to_owned()));
    }
    let seen = Seen { size: checkpoint.size(), root: *checkpoint.root() };
    Ok((checkpoint.origin().to_owned(), Tree { seen, note: note.to_text() }))
}
