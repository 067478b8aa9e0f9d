//! The signer as a machine of small steps: each does one thing with the disk, and one that fails is done again.
//!
//! Walk over entries that are durable, hash them, make tiles → write those → sign → keep `last`, durable → publish. Once a minute:
//! keep the checkpoint, wait until the tiles are on disk, note that, clear away. After a start the same walk goes from
//! where tiles are known to be good to the size that was signed last, and nothing is signed before the root there comes out the same.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::cosigned;
use super::folder::{self, Folder};
use super::keys::{FOLDER, LAST, LogKeys};
use super::serve::cut;
use super::{SignError, fail, tree_origin};
use crate::io::Io;
use crate::keeper::write_whole;
use crate::lock::DataLock;
use crate::queue::lock;
use crate::reader::cursor::Cursor;
use crate::reader::{Place, ReadError};
use crate::recover::KnownSize;
use crate::segment::{self, SegmentName};
use crate::tlog::builder::TileBuilder;
use crate::tlog::checkpoint::{Checkpoint, CheckpointError};
use crate::tlog::key::VerifyingKey;
use crate::tlog::note::Note;
use crate::tlog::tile::{Layer, Tile, WIDTH, decode_hashes, edge_tiles, encode_hashes};
use crate::tree::{Frontier, Hash, leaf_hash};

/// Entries that are walked over before a checkpoint is signed, however many there are.
const MAX_WALK: u64 = 32 << 10;
/// Bytes of tiles and bundles that wait to be written; with what one entry may add.
const MAX_WAITING: usize = 16 << 20;
/// Files that wait to be synced.
const MAX_UNSYNCED: usize = 1024;
/// How often a checkpoint is kept.
pub const KEEP: Duration = Duration::from_secs(60);
/// Where tiles are known to be good.
const STORED: &str = "stored";

/// What can be chosen on opening.
#[derive(Debug)]
pub struct Options {
    /// The data folder.
    pub data: PathBuf,
    /// The tree that is written.
    pub epoch: u64,
    /// The lock on `data/signer`. `None` only where nobody else can be, as in tests.
    pub lock: Option<DataLock>,
    /// What stands behind the keys in `data/signer/policy`: which witnesses there are, and how many must have cosigned (C2SP
    /// tlog-policy).
    pub witnesses: String,
}

/// A checkpoint that anybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Which tree.
    pub epoch: u64,
    /// Its entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The signed note.
    pub note: String,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Nothing: all that is durable is signed.
    Idle,
    /// Something; there is more to do.
    Worked,
    /// This is the newest checkpoint now.
    Published(Arc<Published>),
}

#[derive(Debug, Clone)]
enum Stage {
    Walk,
    Files,
    Sign,
    Last(Arc<Published>),
    Publish(Arc<Published>),
    Keep(Arc<Published>),
    /// See [`SignError::Sync`].
    Over,
}

/// The last bundle, which is not full.
#[derive(Debug, Default)]
struct Bundle {
    bytes: Vec<u8>,
    entries: u16,
}

impl Bundle {
    /// Adds an entry; a bundle that is full is given out.
    fn push(&mut self, leaf: &[u8]) -> Option<Vec<u8>> {
        // A frame holds no longer leaf than this.
        self.bytes.extend_from_slice(&u16::try_from(leaf.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.bytes.extend_from_slice(leaf);
        self.entries += 1;
        (self.entries == WIDTH).then(|| {
            self.entries = 0;
            std::mem::take(&mut self.bytes)
        })
    }
}

/// See the module's own words.
#[derive(Debug)]
pub struct Signer {
    io: Arc<dyn Io>,
    keys: Arc<Mutex<LogKeys>>,
    options: Options,
    log: PathBuf,
    memory: PathBuf,
    origin: String,
    folder: Folder,
    /// Stands at the entry that comes next.
    cursor: Option<Cursor>,
    builder: TileBuilder,
    bundle: Bundle,
    /// Tiles to be written.
    files: VecDeque<(Tile, Vec<u8>)>,
    /// Full tiles since the last keeping.
    full: Vec<Tile>,
    /// What `last` says of this epoch.
    signed: Option<Arc<Published>>,
    /// The segments were compared with it.
    agreed: bool,
    stage: Stage,
    /// The sizes published before, of which the partial tiles may go.
    before: Option<u64>,
    /// When a checkpoint was kept, and its size.
    kept: Option<(u64, u64)>,
    /// The keys that `data/tlog/keys` says.
    told: Option<(Vec<VerifyingKey>, Vec<VerifyingKey>)>,
}

impl Signer {
    /// Opens the signer of a data folder, and compares what it knows with the beginning of the segments it goes on from.
    ///
    /// # Errors
    /// See [`SignError`].
    pub fn open(io: Arc<dyn Io>, keys: Arc<Mutex<LogKeys>>, options: Options) -> Result<Self, SignError> {
        let (data, epoch) = (&options.data, options.epoch);
        let memory = data.join(FOLDER);
        let trees = Folder::open(Arc::clone(&io), data.join("tlog"))?;
        let folder = Folder::open(Arc::clone(&io), trees.path(&epoch.to_string()))?;
        let origin = tree_origin(lock(&keys).origin(), epoch);
        let (log, signed) = (data.join("log"), last(&*io, data, &lock(&keys))?);
        let mut signer = Self {
            io,
            keys,
            log,
            memory,
            origin,
            folder,
            cursor: None,
            builder: TileBuilder::new(),
            bundle: Bundle::default(),
            files: VecDeque::new(),
            full: Vec::new(),
            signed: None,
            agreed: true,
            stage: Stage::Walk,
            before: None,
            kept: None,
            told: None,
            options,
        };
        if let Some(last) = signed {
            if last.epoch > epoch {
                return Err(signer.rollback(&last, 0));
            }
            // A gap was declared since: its tree stays as it is, and this one begins.
            signer.signed = (last.epoch == epoch).then_some(last);
        }
        if let Some(last) = signer.signed.clone() {
            signer.agreed = false;
            if let Some(mark) = signer.mark(&last)? {
                signer.go_on_from(&mark)?;
            }
        }
        signer.tell_keys()?;
        Ok(signer)
    }

    /// The newest checkpoint, which the segments may not have been compared with yet.
    #[must_use]
    pub fn signed(&self) -> Option<&Arc<Published>> {
        self.signed.as_ref()
    }

    /// One thing. `durable`: so many entries of the epoch are.
    ///
    /// # Errors
    /// See [`SignError`]. The same is tried again by the next step, unless [`SignError::is_over`].
    pub fn step(&mut self, durable: u64) -> Result<Did, SignError> {
        let did = self.do_stage(durable);
        if did.as_ref().is_err_and(SignError::is_over) {
            self.stage = Stage::Over;
        }
        did
    }

    fn do_stage(&mut self, durable: u64) -> Result<Did, SignError> {
        match self.stage.clone() {
            Stage::Over => return Err(SignError::Over),
            Stage::Walk => return self.walk(durable),
            Stage::Files => self.write_files()?,
            Stage::Sign => self.sign()?,
            Stage::Last(new) => {
                let path = self.memory.join(LAST);
                write_whole(&*self.io, &self.memory, &path, new.note.as_bytes())
                    .map_err(fail("writing", &path))?;
                self.signed = Some(Arc::clone(&new));
                self.stage = Stage::Publish(new);
            }
            Stage::Publish(new) => {
                self.folder.put("checkpoint", new.note.as_bytes())?;
                self.clear_before(new.size);
                self.stage = if self.is_time_to_keep() { Stage::Keep(Arc::clone(&new)) } else { Stage::Walk };
                return Ok(Did::Published(new));
            }
            Stage::Keep(new) => self.keep(&new)?,
        }
        Ok(Did::Worked)
    }

    fn rollback(&self, signed: &Published, found: u64) -> SignError {
        SignError::Rollback {
            signed_epoch: signed.epoch,
            signed_size: signed.size,
            found_epoch: self.options.epoch,
            found_size: found,
        }
    }

    fn fork(&self, size: u64) -> SignError {
        SignError::Fork { epoch: self.options.epoch, size }
    }

    /// Up to where tiles are known to be on disk, and those at its end. Nothing where they are not, or not known: they are made
    /// again from the beginning.
    fn mark(&self, last: &Published) -> Result<Option<(KnownSize, TileBuilder)>, SignError> {
        let path = self.memory.join(STORED);
        let bytes = folder::read(&*self.io, &path).map_err(fail("reading", &path))?;
        let fits = |mark: &KnownSize| mark.epoch == last.epoch && mark.size <= last.size;
        let Some(mark) = bytes.as_deref().and_then(KnownSize::decode).filter(fits) else { return Ok(None) };
        let mut edge = Vec::new();
        for tile in edge_tiles(mark.size) {
            let mut found = None;
            for there in [tile, tile.full()] {
                let bytes = self.folder.get(&there.path())?;
                found = found.or_else(|| cut(bytes?, there, tile));
            }
            let Some(hashes) = found.and_then(|bytes| decode_hashes(&bytes, tile.width()).ok()) else {
                return Ok(None);
            };
            edge.push(hashes);
        }
        Ok(TileBuilder::resume(mark.size, &mark.root, edge).ok().map(|builder| (mark, builder)))
    }

    /// Reads the segment that holds the end of the marked tree, and goes on where that ends.
    fn go_on_from(&mut self, (mark, builder): &(KnownSize, TileBuilder)) -> Result<(), SignError> {
        let begun = mark.size - mark.size % u64::from(WIDTH);
        let Some(mut cursor) = self.cursor_before(begun)? else {
            return Err(self.signed.as_ref().map_or_else(|| self.fork(mark.size), |s| self.rollback(s, 0)));
        };
        let mut tree: Frontier = cursor.enter().map_err(read_failed)?.frontier;
        while tree.size() < mark.size {
            let Some(stored) = cursor.next().map_err(|e| self.unreadable(tree.size(), e))? else {
                let found = tree.size();
                return Err(self
                    .signed
                    .as_ref()
                    .map_or_else(|| self.fork(found), |s| self.rollback(s, found)));
            };
            if stored.place.epoch != mark.epoch {
                return Err(self.fork(mark.size));
            }
            if stored.place.position >= begun {
                self.bundle.push(stored.leaf);
            }
            tree.push(leaf_hash(stored.leaf));
        }
        if tree.root() != mark.root || tree.size() != mark.size {
            return Err(self.fork(mark.size));
        }
        self.builder = builder.clone();
        self.cursor = Some(cursor);
        Ok(())
    }

    /// A cursor at the beginning of the segment that holds this position, or after which it comes.
    fn cursor_before(&self, position: u64) -> Result<Option<Cursor>, SignError> {
        let wanted = SegmentName { epoch: self.options.epoch, first: position };
        let names = segment::list(&*self.io, &self.log).map_err(fail("listing", &self.log))?;
        let within = names.into_iter().rev().find(|name| *name <= wanted);
        let within = within.filter(|name| name.epoch == wanted.epoch);
        Ok(within.map(|name| Cursor::new(Arc::clone(&self.io), self.log.clone(), name, None)))
    }

    fn unreadable(&self, position: u64, e: ReadError) -> SignError {
        match e {
            ReadError::Io { .. } => SignError::Read(e),
            damaged => SignError::Damaged { epoch: self.options.epoch, position, why: damaged.to_string() },
        }
    }

    /// Walks over what is durable and not hashed yet.
    fn walk(&mut self, durable: u64) -> Result<Did, SignError> {
        let from = self.builder.size();
        let known = self.signed.as_ref().map_or(0, |last| last.size).max(from);
        if durable < known {
            let last = self.signed.clone();
            return Err(last.map_or_else(|| self.fork(from), |last| self.rollback(&last, durable)));
        }
        let goal = if self.agreed { durable } else { known };
        if self.agreed && goal == from {
            return Ok(Did::Idle);
        }
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.cursor_at(from)?,
        };
        cursor.forget_what_lies_ahead();
        // A cursor that failed is not gone on with: where it stands then is not known.
        self.walk_with(&mut cursor, goal)?;
        self.cursor = Some(cursor);
        self.stage = Stage::Files;
        Ok(Did::Worked)
    }

    fn cursor_at(&self, position: u64) -> Result<Cursor, SignError> {
        let missing = || SignError::Damaged {
            epoch: self.options.epoch,
            position,
            why: "its segment is missing".to_owned(),
        };
        let mut cursor = self.cursor_before(position)?.ok_or_else(missing)?;
        let place = Place { epoch: self.options.epoch, position };
        cursor.skip_to(place).map_err(|e| self.unreadable(position, e))?;
        Ok(cursor)
    }

    fn walk_with(&mut self, cursor: &mut Cursor, goal: u64) -> Result<(), SignError> {
        let (epoch, goal) = (self.options.epoch, goal.min(self.builder.size().saturating_add(MAX_WALK)));
        let mut waiting: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        while self.builder.size() < goal && waiting < MAX_WAITING {
            let position = self.builder.size();
            let stored = match cursor.next() {
                Ok(stored) => stored,
                Err(e) => return Err(self.unreadable(position, e)),
            };
            let Some(stored) = stored.filter(|s| s.place == (Place { epoch, position })) else {
                let torn = cursor.torn();
                let why = torn.map_or_else(
                    || "the segments end before it".to_owned(),
                    |(segment, byte, why)| format!("segment {segment}, byte {byte}: {why}"),
                );
                return Err(SignError::Damaged { epoch, position, why });
            };
            for full in self.builder.push(leaf_hash(stored.leaf))? {
                waiting += full.hashes.len() * size_of::<Hash>();
                self.full.push(full.tile);
                self.files.push_back((full.tile, encode_hashes(&full.hashes)));
            }
            if let Some(bundle) = self.bundle.push(stored.leaf) {
                let tile = Tile::new(Layer::Entries, position / u64::from(WIDTH), WIDTH);
                waiting += bundle.len();
                self.full.extend(tile);
                self.files.extend(tile.map(|tile| (tile, bundle)));
            }
        }
        if self.is_at_a_checkpoint() {
            self.add_partial_tiles();
        }
        Ok(())
    }

    /// Whether what was walked over is signed next, or was.
    fn is_at_a_checkpoint(&self) -> bool {
        self.agreed || self.signed.as_ref().is_none_or(|last| last.size == self.builder.size())
    }

    fn add_partial_tiles(&mut self) {
        for partial in self.builder.partial_tiles() {
            self.files.push_back((partial.tile, encode_hashes(&partial.hashes)));
        }
        let index = self.builder.size() / u64::from(WIDTH);
        if let Some(tile) = Tile::new(Layer::Entries, index, self.bundle.entries) {
            self.files.push_back((tile, self.bundle.bytes.clone()));
        }
    }

    fn write_files(&mut self) -> Result<(), SignError> {
        while let Some((tile, bytes)) = self.files.front() {
            self.folder.put(&tile.path(), bytes)?;
            self.files.pop_front();
        }
        if self.folder.unsynced() > MAX_UNSYNCED {
            self.folder.sync()?;
        }
        if self.agreed {
            self.stage = Stage::Sign;
            return Ok(());
        }
        self.stage = Stage::Walk;
        let Some(last) = self.signed.clone().filter(|last| last.size == self.builder.size()) else {
            return Ok(());
        };
        if self.builder.root() != last.root {
            return Err(self.fork(last.size));
        }
        self.agreed = true;
        // What a crash left of it may be older, or nothing.
        self.stage = Stage::Publish(last);
        Ok(())
    }

    fn sign(&mut self) -> Result<(), SignError> {
        self.tell_keys()?;
        let (epoch, size, root) = (self.options.epoch, self.builder.size(), self.builder.root());
        let checkpoint = Checkpoint::new(&self.origin, size, root)?;
        let keys = lock(&self.keys).signing(epoch, self.io.wall_us())?;
        let note = checkpoint.sign(&keys.iter().collect::<Vec<_>>())?.to_text();
        self.stage = Stage::Last(Arc::new(Published { epoch, size, root, note }));
        Ok(())
    }

    /// Says which keys sign, where everybody looks, before they do.
    fn tell_keys(&mut self) -> Result<(), SignError> {
        let (epoch, now) = (self.options.epoch, self.io.wall_us());
        let keys = lock(&self.keys);
        let signing: Vec<_> = keys.signing(epoch, now)?.iter().map(|key| key.verifying().clone()).collect();
        let known: Vec<_> = keys.known(epoch)?.into_iter().map(|known| known.vkey).collect();
        drop(keys);
        if self.told.as_ref().is_some_and(|(told, all)| *told == signing && *all == known) {
            return Ok(());
        }
        let lines = |keys: &[VerifyingKey], word: &str| -> String {
            keys.iter().map(|key| format!("{word}{}\n", key.to_vkey())).collect()
        };
        self.folder.settle("vkey", lines(&signing, "").as_bytes())?;
        let all = self.options.data.join("tlog").join("keys");
        folder::settle(&*self.io, &all, lines(&known, "").as_bytes())?;
        let policy = format!("{}{}", lines(&signing, "log "), self.options.witnesses);
        folder::settle(&*self.io, &self.memory.join("policy"), policy.as_bytes())?;
        self.told = Some((signing, known));
        Ok(())
    }

    /// Removes partial tiles that only the checkpoint before this one had, unless it is one that was kept.
    fn clear_before(&mut self, size: u64) {
        let Some(before) = self.before.replace(size).filter(|before| *before != size) else { return };
        let kept = self.kept.map_or(before, |(_, kept)| kept);
        if kept == before {
            return;
        }
        let mut needed: Vec<Tile> = partial_tiles(size).chain(partial_tiles(kept)).collect();
        needed.sort_unstable();
        for tile in partial_tiles(before).filter(|tile| needed.binary_search(tile).is_err()) {
            self.folder.drop_partial(tile);
        }
    }

    fn is_time_to_keep(&self) -> bool {
        let keep = u64::try_from(KEEP.as_micros()).unwrap_or(u64::MAX);
        let due = |(at, _): (u64, u64)| self.io.mono_us().saturating_sub(at) >= keep;
        self.kept.is_none_or(due) || self.folder.unsynced() > MAX_UNSYNCED
    }

    /// Keeps a checkpoint, and waits until all that leads to it is on disk.
    fn keep(&mut self, new: &Published) -> Result<(), SignError> {
        let name = format!("{}/{}", cosigned::KEPT, new.size);
        // Witnesses may have been quicker; then it stands there with their lines.
        if self.folder.get(&name)?.is_none() {
            self.folder.put(&name, new.note.as_bytes())?;
        }
        self.folder.sync()?;
        let mark = KnownSize { epoch: new.epoch, size: new.size, root: new.root };
        let path = self.memory.join(STORED);
        write_whole(&*self.io, &self.memory, &path, &mark.encode()).map_err(fail("writing", &path))?;
        for full in std::mem::take(&mut self.full) {
            self.folder.drop_partials_of(full);
        }
        self.kept = Some((self.io.mono_us(), new.size));
        self.stage = Stage::Walk;
        Ok(())
    }
}

fn read_failed(e: ReadError) -> SignError {
    SignError::Read(e)
}

/// The tiles and the bundle of a tree that are not full.
fn partial_tiles(size: u64) -> impl Iterator<Item = Tile> {
    let bundle = Tile::of_tree(Layer::Entries, size / u64::from(WIDTH), size);
    edge_tiles(size).chain(bundle)
}

/// What was signed last, in whatever epoch: from the signer's memory, or, where that is gone, from what it published.
fn last(io: &dyn Io, data: &Path, keys: &LogKeys) -> Result<Option<Arc<Published>>, SignError> {
    let memory = data.join(FOLDER).join(LAST);
    let trees = data.join("tlog");
    let mut newest = None;
    for name in io.list(&trees).map_err(fail("listing", &trees))? {
        newest = newest.max(name.parse::<u64>().ok());
    }
    let public = newest.map(|epoch| trees.join(epoch.to_string()).join("checkpoint"));
    for path in [Some(memory), public].into_iter().flatten() {
        let Some(bytes) = folder::read(io, &path).map_err(fail("reading", &path))? else { continue };
        return read_last(&path, &bytes, keys).map(|last| Some(Arc::new(last)));
    }
    Ok(None)
}

fn read_last(path: &Path, bytes: &[u8], keys: &LogKeys) -> Result<Published, SignError> {
    let damaged = |source: CheckpointError| SignError::Last { path: path.to_owned(), source };
    let note = Note::parse(bytes).map_err(|e| damaged(e.into()))?;
    let said = Checkpoint::parse(note.text()).map_err(damaged)?;
    let epoch = said.origin().strip_prefix(keys.origin()).and_then(|rest| rest.strip_prefix("/e"));
    let Some(epoch) = epoch.and_then(|digits| digits.parse().ok()) else {
        let (wanted, found) = (keys.origin().to_owned(), said.origin().to_owned());
        return Err(SignError::Origin { path: path.to_owned(), wanted, found });
    };
    let known: Vec<_> = keys.known(epoch)?.into_iter().map(|known| known.vkey).collect();
    let (checkpoint, note) = Checkpoint::open(bytes, said.origin(), &known).map_err(damaged)?;
    Ok(Published { epoch, size: checkpoint.size(), root: *checkpoint.root(), note: note.to_text() })
}

/// How far the log of a data folder is known to have come by what was signed of it: what [`crate::writer::Options`] wants to know.
///
/// # Errors
/// As of opening the signer.
pub fn known_size(io: &dyn Io, data: &Path) -> std::io::Result<Option<KnownSize>> {
    let Some(bytes) = folder::read(io, &data.join(FOLDER).join(LAST))? else { return Ok(None) };
    // Whether it is signed by the right key is looked at when the signer opens it.
    let said = Note::parse(&bytes).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    let said = said.ok_or_else(|| std::io::Error::other("it is no checkpoint"))?;
    let epoch = said.origin().rsplit_once("/e").and_then(|(_, digits)| digits.parse().ok());
    let epoch = epoch.ok_or_else(|| std::io::Error::other("its origin names no epoch"))?;
    Ok(Some(KnownSize { epoch, size: said.size(), root: *said.root() }))
}
