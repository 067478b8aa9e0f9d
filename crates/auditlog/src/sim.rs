//! A disk in memory that fails on demand, for tests (feature `sim`).
//!
//! It keeps apart what a process sees (the page cache) and what would survive a power cut. Between two syncs every
//! 512-byte sector of a file may be stored or not, in any order, in any of the versions it had, or torn in the middle;
//! changes of names survive in their order up to some point. Calls are counted, so that a test can make the n-th fail
//! or cut the power there. Everything random comes from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::io::{File, Io, fill_cached};
use crate::queue::lock;

/// What the disk stores or loses as one.
const SECTOR: usize = 512;
/// µs that pass with every call.
const TICK: u64 = 1;

/// Small random numbers from a seed (splitmix64), the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.any() % n }
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap_or(0)
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Make(PathBuf, u64),
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Make(path, id) => {
                names.insert(path.clone(), *id);
            }
            Self::Move(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }

    fn parent(&self) -> Option<&Path> {
        match self {
            Self::Make(path, _) | Self::Move(_, path) | Self::Remove(path) => path.parent(),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Content {
    /// What reading gives.
    cache: Vec<u8>,
    /// What would survive.
    disk: Vec<u8>,
    /// Sectors written since the last sync, with each version they had.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
    sync_failed: bool,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.cache.len() {
            self.cache.resize(end, 0);
        }
        if let Some(to) = self.cache.get_mut(offset..end) {
            to.copy_from_slice(bytes);
        }
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            let (from, to) = (sector * SECTOR, ((sector + 1) * SECTOR).min(self.cache.len()));
            let version = self.cache.get(from..to).unwrap_or_default().to_vec();
            self.dirty.entry(sector).or_default().push(version);
        }
    }

    /// Stores some of what is dirty, as a disk does that was not told to sync.
    fn store_some(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.disk.resize(self.cache.len(), 0);
        }
        let eager = random.below(4);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            if random.below(4) < eager {
                continue;
            }
            let version = versions.get(random.index(versions.len())).cloned().unwrap_or_default();
            let torn = if random.one_in(4) { random.index(version.len() + 1) } else { version.len() };
            let from = sector * SECTOR;
            let stored = torn.min(self.disk.len().saturating_sub(from));
            if let (Some(to), Some(new)) = (self.disk.get_mut(from..from + stored), version.get(..stored)) {
                to.copy_from_slice(new);
            }
        }
    }

    fn store_all(&mut self) {
        self.dirty.clear();
        self.disk.clone_from(&self.cache);
    }
}

#[derive(Debug)]
struct Disk {
    random: Random,
    names: BTreeMap<PathBuf, u64>,
    stored_names: BTreeMap<PathBuf, u64>,
    changes: Vec<NameChange>,
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<u64, Content>,
    calls: u64,
    clock: u64,
    wall_offset: u64,
    fault: Option<(u64, u64, i32)>,
    cut_at: Option<u64>,
    off: bool,
    quota: Option<usize>,
    syncs_after_failure: u64,
}

/// The simulated disk. Clones of the `Arc` are the same disk.
#[derive(Debug)]
pub struct SimIo {
    disk: Mutex<Disk>,
    gate: Mutex<Gate>,
    gate_moved: Condvar,
    me: std::sync::Weak<SimIo>,
}

#[derive(Debug)]
struct SimFile {
    io: Arc<SimIo>,
    id: u64,
}

/// Where syncs wait while they are held.
#[derive(Debug, Default)]
struct Gate {
    held: bool,
    waiting: usize,
}

/// How a call goes.
enum Fate {
    Well,
    /// The call fails; a write gets this far first.
    Fails(io::Error),
}

impl SimIo {
    /// An empty disk with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Arc<Self> {
        let disk = Disk {
            random: Random::new(seed),
            names: BTreeMap::new(),
            stored_names: BTreeMap::new(),
            changes: Vec::new(),
            folders: BTreeSet::new(),
            files: BTreeMap::new(),
            calls: 0,
            clock: 0,
            wall_offset: 1_763_000_000_000_000,
            fault: None,
            cut_at: None,
            off: false,
            quota: None,
            syncs_after_failure: 0,
        };
        Arc::new_cyclic(|me| Self {
            disk: Mutex::new(disk),
            gate: Mutex::default(),
            gate_moved: Condvar::new(),
            me: me.clone(),
        })
    }

    /// Calls made so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.disk).calls
    }

    /// Makes `count` calls fail with this errno, from the `n`-th from now on (0 is the next).
    pub fn fail(&self, n: u64, count: u64, errno: i32) {
        let mut disk = lock(&self.disk);
        let first = disk.calls + n;
        disk.fault = Some((first, first.saturating_add(count), errno));
    }

    /// No more calls fail.
    pub fn heal(&self) {
        lock(&self.disk).fault = None;
    }

    /// Cuts the power at the `n`-th call from now on.
    pub fn cut_power(&self, n: u64) {
        let mut disk = lock(&self.disk);
        disk.cut_at = Some(disk.calls + n);
    }

    /// From now on syncs of files hang, or no longer.
    pub fn hold_syncs(&self, held: bool) {
        lock(&self.gate).held = held;
        self.gate_moved.notify_all();
    }

    /// Blocks until a sync hangs.
    pub fn wait_for_held_sync(&self) {
        let gate = lock(&self.gate);
        drop(self.gate_moved.wait_while(gate, |g| g.waiting == 0).unwrap_or_else(PoisonError::into_inner));
    }

    fn pass_gate(&self) {
        let mut gate = lock(&self.gate);
        gate.waiting += 1;
        self.gate_moved.notify_all();
        gate = self.gate_moved.wait_while(gate, |g| g.held).unwrap_or_else(PoisonError::into_inner);
        gate.waiting -= 1;
    }

    /// Whether the power has been cut.
    #[must_use]
    pub fn is_off(&self) -> bool {
        lock(&self.disk).off
    }

    /// The most bytes that files may have in all; `None`: no limit.
    pub fn set_quota(&self, bytes: Option<usize>) {
        lock(&self.disk).quota = bytes;
    }

    /// Lets time pass.
    pub fn pass(&self, us: u64) {
        lock(&self.disk).clock += us;
    }

    /// Steps the wall clock forward.
    pub fn step_wall(&self, us: u64) {
        lock(&self.disk).wall_offset += us;
    }

    /// How often a file was synced again after a sync of it had failed, in the same process. Must stay 0.
    #[must_use]
    pub fn syncs_after_failure(&self) -> u64 {
        lock(&self.disk).syncs_after_failure
    }

    /// The process was killed and starts again; the machine ran on.
    pub fn restart(&self) {
        let mut disk = lock(&self.disk);
        disk.off = false;
        disk.cut_at = None;
        disk.fault = None;
        disk.files.values_mut().for_each(|f| f.sync_failed = false);
    }

    /// The machine lost power and starts again: what was not synced is stored, or not, or in part.
    pub fn reboot(&self) {
        let mut guard = lock(&self.disk);
        let disk = &mut *guard;
        let kept = disk.random.index(disk.changes.len() + 1);
        for change in disk.changes.drain(..).take(kept) {
            change.apply(&mut disk.stored_names);
        }
        disk.names.clone_from(&disk.stored_names);
        for content in disk.files.values_mut() {
            content.store_some(&mut disk.random);
            content.cache.clone_from(&content.disk);
        }
        let named: BTreeSet<u64> = disk.names.values().copied().collect();
        disk.files.retain(|id, _| named.contains(id));
        drop(guard);
        self.restart();
    }

    /// The bytes of a file as a process would read them.
    #[must_use]
    pub fn bytes(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = lock(&self.disk);
        disk.files.get(disk.names.get(path)?).map(|f| f.cache.clone())
    }

    /// Changes a file behind everybody's back, durably.
    pub fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut guard = lock(&self.disk);
        let disk = &mut *guard;
        if let Some(file) = disk.names.get(path).and_then(|id| disk.files.get_mut(id)) {
            change(&mut file.cache);
            file.store_all();
        }
    }

    /// Removes a file behind everybody's back, durably.
    pub fn lose(&self, path: &Path) {
        let mut disk = lock(&self.disk);
        disk.names.remove(path);
        disk.stored_names.remove(path);
    }

    fn call(&self) -> (MutexGuard<'_, Disk>, Fate) {
        let mut disk = lock(&self.disk);
        let n = disk.calls;
        disk.calls += 1;
        disk.clock += TICK;
        if disk.cut_at.is_some_and(|at| n >= at) {
            disk.off = true;
        }
        let fate = if disk.off {
            Fate::Fails(io::Error::other("the power is off"))
        } else {
            match disk.fault {
                Some((from, to, errno)) if (from..to).contains(&n) => {
                    Fate::Fails(io::Error::from_raw_os_error(errno))
                }
                _ => Fate::Well,
            }
        };
        (disk, fate)
    }

    fn well(&self) -> io::Result<MutexGuard<'_, Disk>> {
        match self.call() {
            (disk, Fate::Well) => Ok(disk),
            (_, Fate::Fails(e)) => Err(e),
        }
    }

    fn file(&self, id: u64) -> io::Result<Arc<dyn File>> {
        let io = self.me.upgrade().ok_or_else(|| io::Error::other("the disk is gone"))?;
        Ok(Arc::new(SimFile { io, id }))
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Io for SimIo {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        // Folders are durable at once: the log makes them once, before anything depends on them.
        self.well()?.folders.insert(path.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.well()?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.files.keys().next_back().map_or(0, |id| id + 1);
        disk.files.insert(id, Content::default());
        let change = NameChange::Make(path.to_owned(), id);
        change.apply(&mut disk.names);
        disk.changes.push(change);
        drop(disk);
        self.file(id)
    }

    fn open(&self, path: &Path, _write: bool) -> io::Result<Arc<dyn File>> {
        let id = *self.well()?.names.get(path).ok_or_else(not_found)?;
        self.file(id)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.well()?;
        if !disk.names.contains_key(from) {
            return Err(not_found());
        }
        let change = NameChange::Move(from.to_owned(), to.to_owned());
        change.apply(&mut disk.names);
        disk.changes.push(change);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.well()?;
        if !disk.names.contains_key(path) {
            return Err(not_found());
        }
        let change = NameChange::Remove(path.to_owned());
        change.apply(&mut disk.names);
        disk.changes.push(change);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        // As they are made: durable at once.
        let mut disk = self.well()?;
        if disk.names.keys().any(|name| name.starts_with(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if disk.folders.remove(path) { Ok(()) } else { Err(not_found()) }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.well()?;
        let mine = disk.names.keys().chain(&disk.folders).filter(|p| p.parent() == Some(dir));
        Ok(mine.filter_map(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned()).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.well()?;
        let disk = &mut *guard;
        let (now, later): (Vec<_>, Vec<_>) =
            disk.changes.drain(..).partition(|change| change.parent() == Some(dir));
        now.iter().for_each(|change| change.apply(&mut disk.stored_names));
        disk.changes = later;
        Ok(())
    }

    fn mono_us(&self) -> u64 {
        let mut disk = lock(&self.disk);
        disk.clock += TICK;
        disk.clock
    }

    fn wall_us(&self) -> u64 {
        let disk = lock(&self.disk);
        disk.wall_offset + disk.clock
    }
}

impl SimFile {
    fn with<R>(&self, work: impl FnOnce(&mut Content, &mut Random) -> R) -> io::Result<R> {
        let mut guard = self.io.well()?;
        let disk = &mut *guard;
        let file = disk.files.get_mut(&self.id).ok_or_else(not_found)?;
        Ok(work(file, &mut disk.random))
    }

    fn grow(&self, len: u64) -> io::Result<()> {
        let mut guard = self.io.well()?;
        let disk = &mut *guard;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let used: usize = disk.files.values().map(|f| f.cache.len()).sum();
        let file = disk.files.get_mut(&self.id).ok_or_else(not_found)?;
        let more = len.saturating_sub(file.cache.len());
        if disk.quota.is_some_and(|quota| used + more > quota) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        }
        if more > 0 {
            file.cache.resize(len, 0);
        }
        Ok(())
    }
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut guard, fate) = self.io.call();
        let disk = &mut *guard;
        let file = disk.files.get_mut(&self.id).ok_or_else(not_found)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        match fate {
            Fate::Well => {
                file.write(offset, bytes);
                Ok(())
            }
            Fate::Fails(e) => {
                let part = disk.random.index(bytes.len() + 1);
                file.write(offset, bytes.get(..part).unwrap_or_default());
                Err(e)
            }
        }
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.with(|file, _| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = file.cache.get(from..).unwrap_or_default();
            let n = rest.len().min(bytes.len());
            if let (Some(to), Some(read)) = (bytes.get_mut(..n), rest.get(..n)) {
                to.copy_from_slice(read);
            }
            n
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.io.pass_gate();
        let (mut guard, fate) = self.io.call();
        let disk = &mut *guard;
        let file = disk.files.get_mut(&self.id).ok_or_else(not_found)?;
        disk.syncs_after_failure += u64::from(file.sync_failed);
        match fate {
            // Clean pages are not stored again: what an earlier failure lost stays lost.
            Fate::Well => {
                file.disk.resize(file.cache.len(), 0);
                for (sector, _) in std::mem::take(&mut file.dirty) {
                    let range = sector * SECTOR..((sector + 1) * SECTOR).min(file.cache.len());
                    if let (Some(to), Some(from)) = (file.disk.get_mut(range.clone()), file.cache.get(range))
                    {
                        to.copy_from_slice(from);
                    }
                }
                Ok(())
            }
            Fate::Fails(e) => {
                if !disk.off {
                    file.sync_failed = true;
                    // The kernel may have stored some, and calls the rest clean all the same.
                    file.store_some(&mut disk.random);
                }
                Err(e)
            }
        }
    }

    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        fill_cached(self, from, to)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.grow(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|file, random| {
            file.cache.resize(len, 0);
            file.dirty.retain(|sector, _| sector * SECTOR < len);
            if random.one_in(2) {
                file.disk.resize(len, 0);
            }
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|file, _| file.cache.len() as u64)
    }

    fn protect(&self) -> io::Result<()> {
        self.with(|_, _| ())
    }
}
