//! The writer's work, one step at a time: encode what is queued, write it, sync it, tell who waits.
//!
//! A step never blocks on anything but the disk, so the same code runs on the writer's thread and, one step after the
//! other, in simulations that fail or cut the power at any call.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use firsthand_model::time::{MonoMicros, UnixMicros};

use crate::codec::{Codec, Sealed};
use crate::entry::{Commitment, Stamp};
use crate::frame::{self, MAX_GROUP, MAX_LEAF, MAX_PAYLOAD, SEAL_OVERHEAD};
use crate::io::{File, Io, StoreError};
use crate::keeper::{Keeper, Prepared, SealJob};
use crate::open_set::{Change, OpenSet};
use crate::queue::{SPENT_BYTES, SPENT_MAX, Shared, Slot};
use crate::segment::{Header, SegmentIndex, SegmentName};
use crate::tree::{Frontier, leaf_hash};

/// Bytes after which a write is not made larger: at some 200 MB/s it takes 20 ms, and who waits for its first entry
/// waits for all of it.
const BATCH_BYTES: usize = 4 << 20;
/// Name under which the writer makes a segment itself when none stands ready.
const HURRIED: &str = "live.tmp";

/// The segment being written.
pub(crate) struct Live {
    pub(crate) file: Arc<dyn File>,
    pub(crate) name: SegmentName,
    /// End of what is durable.
    pub(crate) at: u64,
    pub(crate) capacity: u64,
    pub(crate) index: Option<Box<dyn SegmentIndex>>,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing was queued.
    Idle,
    /// Entries were made durable, or a segment was begun; there may be more to do.
    Worked,
    /// Writing failed; the same should be tried again later.
    Suspended,
    /// The log has stopped for good.
    Stopped,
}

/// How a failure is to be taken.
enum Trouble {
    /// Nothing is lost by trying again.
    Retry(String),
    /// The kernel may have dropped what it was to write: never again in this process.
    Fatal(String),
}

/// Everything that only the writer touches.
pub(crate) struct Core<C: Codec> {
    pub(crate) shared: Arc<Shared<C::Entry>>,
    pub(crate) keeper: Arc<Keeper<C::Entry>>,
    pub(crate) io: Arc<dyn Io>,
    pub(crate) codec: C,
    pub(crate) log: PathBuf,
    pub(crate) log_id: [u8; 16],
    pub(crate) live: Live,
    pub(crate) seed: u32,
    pub(crate) frontier: Frontier,
    pub(crate) open: OpenSet,
    pub(crate) work: Work<C::Entry>,
}

/// What is on its way from the queue to the disk.
pub(crate) struct Work<T> {
    backlog: VecDeque<Slot<T>>,
    /// Entries that were framed, for others to free.
    spent: Vec<Slot<T>>,
    /// The entry whose leaf and payload stand below, not yet framed.
    current: Option<(Slot<T>, Stamp)>,
    leaf: Vec<u8>,
    payload: Vec<u8>,
    /// Frames to be written at the end of the live segment.
    batch: Vec<u8>,
    group: u16,
    roll: bool,
    /// A reserved file that could not be put in its place yet.
    next: Option<Prepared>,
    /// Wall and monotonic clock, read together.
    anchor: Option<(u64, u64)>,
    /// How many entries that open something were framed.
    opened: u64,
}

impl<T> Work<T> {
    pub(crate) fn new() -> Self {
        Self {
            backlog: VecDeque::new(),
            spent: Vec::new(),
            current: None,
            leaf: Vec::with_capacity(4096),
            payload: Vec::with_capacity(64 << 10),
            batch: Vec::with_capacity(1 << 20),
            group: 0,
            roll: false,
            next: None,
            anchor: None,
            opened: 0,
        }
    }
}

impl<C: Codec> Core<C> {
    /// Whether a step would have something to do even if nothing more is queued.
    pub(crate) fn has_work(&self) -> bool {
        !self.work.batch.is_empty() || self.work.current.is_some() || !self.work.backlog.is_empty()
    }

    /// One write and one sync, or one change of segment.
    pub(crate) fn step(&mut self) -> Step {
        if self.shared.is_stopped() {
            return Step::Stopped;
        }
        match self.try_step() {
            Ok(step) => step,
            Err(Trouble::Retry(why)) => {
                self.shared.suspend(why);
                Step::Suspended
            }
            Err(Trouble::Fatal(why)) => {
                self.shared.stop(why);
                Step::Stopped
            }
        }
    }

    fn try_step(&mut self) -> Result<Step, Trouble> {
        if self.work.batch.is_empty() {
            if self.work.roll {
                self.roll()?;
                return Ok(Step::Worked);
            }
            self.gather()?;
            if self.work.batch.is_empty() {
                return Ok(if self.work.roll { Step::Worked } else { Step::Idle });
            }
        }
        let path = || self.live.name.path(&self.log);
        let (at, end) = (self.live.at, self.live.at + self.work.batch.len() as u64);
        let before = self.io.mono_us();
        self.live.file.store(at, &self.work.batch).map_err(|e| match e {
            StoreError::Write(e) => Trouble::Retry(format!("writing {} at {at}: {e}", path().display())),
            StoreError::Sync(e) => {
                Trouble::Fatal(format!("fdatasync of {} up to {end}: {e}", path().display()))
            }
        })?;
        self.commit(end, self.io.mono_us().saturating_sub(before));
        Ok(Step::Worked)
    }

    /// The batch is durable.
    fn commit(&mut self, end: u64, sync_us: u64) {
        let counters = &self.shared.counters;
        counters.bytes.fetch_add(self.work.batch.len() as u64, Ordering::Relaxed);
        counters.entries.fetch_add(u64::from(self.work.group), Ordering::Relaxed);
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.sync_times.observe(sync_us);
        self.live.at = end;
        self.work.batch.clear();
        self.shared.resume();
        self.shared.publish(&self.frontier, (self.open.len(), self.work.opened), sync_us);
        // In time: a quarter is long before the next one has to stand ready, and late
        // enough that a short run of the command line never makes one.
        if self.live.at > self.live.capacity / 4 {
            self.keeper.want();
        }
    }

    /// Encodes what is queued into the batch, until that is large enough or the segment is full.
    fn gather(&mut self) -> Result<(), Trouble> {
        self.work.group = 0;
        let mut taken = 0;
        while self.work.batch.len() < BATCH_BYTES && self.work.group < MAX_GROUP {
            if self.work.current.is_none() {
                let Some(slot) = self.next_slot() else { break };
                taken += slot.size;
                self.encode(slot);
            }
            let sealed =
                if self.work.payload.is_empty() { 0 } else { self.work.payload.len() + SEAL_OVERHEAD };
            let size = frame::size_of(self.work.leaf.len(), sealed);
            if self.live.at + (self.work.batch.len() + size) as u64 > self.live.capacity {
                self.work.roll = true;
                break;
            }
            self.put()?;
        }
        let left = self.live.capacity.saturating_sub(self.live.at + self.work.batch.len() as u64);
        self.shared.set_room(left);
        self.shared.release(taken);
        Ok(())
    }

    fn next_slot(&mut self) -> Option<Slot<C::Entry>> {
        if self.work.backlog.is_empty() {
            self.shared.take(&mut self.work.backlog, &mut self.work.spent);
            if !self.work.backlog.is_empty() {
                self.set_anchor();
            }
        }
        let slot = self.work.backlog.pop_front()?;
        if self.work.batch.is_empty() {
            // From now, not from its append: a long queue is no sign of a disk that hangs.
            self.shared.set_in_flight(Some(self.io.mono_us()));
        }
        Some(slot)
    }

    /// Reads both clocks, and notes how far the wall clock was stepped since the last time.
    fn set_anchor(&mut self) {
        let (wall, mono) = (self.io.wall_us(), self.io.mono_us());
        if let Some((old_wall, old_mono)) = self.work.anchor {
            let step = wall.abs_diff(old_wall + mono.saturating_sub(old_mono));
            self.shared.counters.clock_step_us.fetch_max(step, Ordering::Relaxed);
        }
        self.work.anchor = Some((wall, mono));
    }

    /// Leaf and payload of an entry, into the buffers for them.
    fn encode(&mut self, slot: Slot<C::Entry>) {
        let work = &mut self.work;
        let (wall, mono) = work.anchor.unwrap_or_default();
        // The append happened before the clocks were read, or (by a hair) after.
        let time = if slot.mono_us <= mono {
            wall.saturating_sub(mono - slot.mono_us)
        } else {
            wall + (slot.mono_us - mono)
        };
        let at = Stamp { position: slot.position, time: UnixMicros(time), mono: MonoMicros(slot.mono_us) };
        work.leaf.clear();
        work.payload.clear();
        let mut commitment = None;
        if self.codec.keys(&slot.entry).is_some() {
            self.codec.payload(&slot.entry, &mut work.payload);
        }
        let mut fits = work.payload.len() <= MAX_PAYLOAD;
        if fits && !work.payload.is_empty() {
            commitment = self.codec.keys(&slot.entry).map(|keys| Commitment {
                digest: keys.commit(slot.position, &work.payload),
                bytes: work.payload.len() as u64,
            });
        }
        if fits {
            self.codec.leaf(&slot.entry, at, commitment.as_ref(), &mut work.leaf);
            fits = !work.leaf.is_empty() && work.leaf.len() <= MAX_LEAF;
        }
        if !fits {
            work.payload.clear();
            work.leaf.clear();
            self.codec.too_large(&slot.entry, at, &mut work.leaf);
            self.shared.mark_oversize(slot.position);
        }
        work.current = Some((slot, at));
    }

    /// Seals and frames the current entry, and counts it in the tree, the index and the open set.
    fn put(&mut self) -> Result<(), Trouble> {
        let work = &mut self.work;
        let Some((slot, at)) = work.current.take() else { return Ok(()) };
        if let Some(index) = &mut self.live.index {
            let payload = Some(work.payload.as_slice()).filter(|p| !p.is_empty());
            index.add(&at, &work.leaf, payload);
        }
        if !work.payload.is_empty() {
            let sealed = self.codec.keys(&slot.entry).map(|keys| keys.seal(slot.position, &mut work.payload));
            if !matches!(sealed, Some(Ok(()))) {
                return Err(Trouble::Fatal(format!("sealing the payload of position {}", slot.position)));
            }
        }
        self.seed =
            frame::encode(&mut work.batch, slot.position, work.group, self.seed, &work.leaf, &work.payload);
        work.group += 1;
        work.opened += u64::from(slot.opens);
        self.frontier.push(leaf_hash(&work.leaf));
        let change = self.codec.change(&slot.entry);
        let change = if self.shared.is_oversize(slot.position) { Change::None } else { change };
        debug_assert_eq!(change, C::change_of(&work.leaf));
        self.open.apply(change, self.live.name.epoch, slot.position);
        if slot.size <= SPENT_BYTES && work.spent.len() < SPENT_MAX {
            work.spent.push(slot);
        }
        Ok(())
    }

    /// Puts the next segment in place. Everything in the live one is durable.
    fn roll(&mut self) -> Result<(), Trouble> {
        let header = Header {
            log_id: self.log_id,
            epoch: self.live.name.epoch,
            created_us: self.io.wall_us(),
            seed: self.seed,
            frontier: self.frontier.clone(),
            open: self.open.items(),
        };
        let bytes = header.encode();
        let frame = frame::size_of(self.work.leaf.len(), self.work.payload.len() + SEAL_OVERHEAD);
        let mut next = self.reserve((bytes.len() + frame) as u64)?;
        if let Err(why) = place(&*self.io, &self.log, &mut next, &header, &bytes) {
            self.work.next = Some(next);
            return Err(why);
        }
        let index = self.keeper.index().map(|index| index.begin(&header));
        let live = Live {
            file: next.file,
            name: header.name(),
            at: bytes.len() as u64,
            capacity: next.capacity,
            index,
        };
        let old = std::mem::replace(&mut self.live, live);
        self.work.roll = false;
        self.shared.set_room(self.live.capacity - self.live.at);
        self.shared.resume();
        self.keeper.seal(SealJob { name: old.name, written: Some((old.file, old.at)), index: old.index });
        let sealed = Sealed { segment: old.name, size: self.frontier.size(), root: self.frontier.root() };
        if let Some(item) = self.codec.sealed(&sealed) {
            // If the queue is full even for this, the header of the new segment says the same.
            let _ = self.shared.append(item);
        }
        Ok(())
    }

    /// A file with room for at least `least` bytes: the one that stands ready, or a hurried one.
    fn reserve(&mut self, least: u64) -> Result<Prepared, Trouble> {
        let fail = |e: io::Error| format!("making the next segment: {e}");
        let ready = self.work.next.take().or_else(|| self.keeper.take_ready());
        let mut next = match ready {
            Some(next) => next,
            None => self.keeper.create(HURRIED, self.keeper.segment_bytes().max(least)).map_err(|e| {
                let why = fail(e);
                self.shared.set_full(Some(why.clone()));
                Trouble::Retry(why)
            })?,
        };
        if next.capacity < least {
            if let Err(e) = next.file.allocate(least) {
                self.work.next = Some(next);
                return Err(Trouble::Retry(fail(e)));
            }
            next.capacity = least;
        }
        self.shared.set_full(None);
        Ok(next)
    }
}

/// Writes the header and gives the file its name, durably and in this order, so that a segment's name on disk always
/// stands for a whole header.
pub(crate) fn place_first(
    io: &dyn Io,
    log: &std::path::Path,
    next: &mut Prepared,
    header: &Header,
) -> io::Result<()> {
    let bytes = header.encode();
    match place(io, log, next, header, &bytes) {
        Ok(()) => Ok(()),
        Err(Trouble::Retry(why) | Trouble::Fatal(why)) => Err(io::Error::other(why)),
    }
}

fn place(
    io: &dyn Io,
    log: &std::path::Path,
    next: &mut Prepared,
    header: &Header,
    bytes: &[u8],
) -> Result<(), Trouble> {
    let path = header.name().path(log);
    let text = |what: &str, e: io::Error| format!("{what} {}: {e}", path.display());
    next.file.write_at(0, bytes).map_err(|e| Trouble::Retry(text("writing the header of", e)))?;
    next.file.sync_data().map_err(|e| Trouble::Fatal(text("fdatasync of", e)))?;
    io.rename(&next.path, &path).map_err(|e| Trouble::Retry(text("naming", e)))?;
    io.sync_dir(log).map_err(|e| Trouble::Fatal(text("fsync of the folder of", e)))
}
