//! Between the sessions and the one writer: the queue of entries to write, the tickets for them, who waits for which,
//! and what state the log is in.
//!
//! A ticket *is* the entry's position: it is given out under the queue's lock, in queue order, and the writer writes in
//! that order. Nothing taken into the queue is ever dropped while the writer lives, so no position is given twice: that
//! matters beyond order, because positions make the nonces of the seals.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use thiserror::Error;

use crate::durations::Durations;
use crate::gathering::Gathering;
use crate::io::Io;
use crate::open_set::MAX_OPEN;
use crate::tree::Frontier;

/// Queued bytes (as entries estimate themselves) past which intents are refused. A disk that stops must not make the
/// gateway grow.
pub const INTENT_QUEUE_BYTES: usize = 32 << 20;
/// Queued bytes past which even outcomes are refused; what lies between is for commands that already run.
pub const QUEUE_BYTES: usize = 64 << 20;
/// Room on disk kept for outcomes when no further segment can be made.
pub const RESERVE_BYTES: u64 = 2 << 20;
/// Room beyond the reserve below which health says "full": a large intent (text and parameters at their limits) would be
/// refused, though small ones may still be taken.
const LARGE_INTENT_BYTES: u64 = 2 << 20;
/// How long one write and fdatasync may take before intents are refused: the brief for a hung disk is "deny in 2 s".
pub const STALL: Duration = Duration::from_secs(2);
/// How long relaxed entries are gathered before they are written: four fifths of the promised 5 ms, the rest is for
/// the fdatasync.
pub const GATHER: Duration = Duration::from_millis(4);
/// Queued bytes that end the gathering early.
pub(crate) const GATHER_BYTES: usize = 1 << 20;
/// Written entries kept for those who append to take away, by the queue and by the writer. About what is gathered at a time;
/// what they hold is below 128 KiB each, because larger ones than [`SPENT_BYTES`] are not kept. (An idle log keeps them, texts
/// included, in memory: as the sessions do that sent them.)
pub(crate) const SPENT_MAX: usize = 128;
/// An entry of more estimated bytes is freed by the writer: its memory is worth more than what freeing it costs.
pub(crate) const SPENT_BYTES: usize = 1 << 10;
/// How long the writer keeps looking every [`GATHER`] after work, before it sleeps until it is woken: while it looks by
/// itself, appending needs no system call, and only who begins to wait makes one.
pub(crate) const LINGER: Duration = Duration::from_millis(100);

/// An entry's position, known from the moment it is queued. It is not durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What an entry is to the one that appends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Something is about to be done and may still be refused: not taken when the log is full, stalled or suspended.
    Intent,
    /// Something has happened: taken as long as memory allows.
    Outcome,
    /// What an entry that was taken has opened is over: small, and taken whatever is queued, for nothing else would tell. There
    /// are no more of them than what is open, [`MAX_OPEN`].
    End,
}

/// How soon an entry must be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// At once: somebody will wait for it.
    Strict,
    /// Within 5 ms.
    Relaxed,
}

/// What is given to the log.
#[derive(Debug)]
pub struct Item<T> {
    /// The entry, to be encoded on the writer's thread.
    pub entry: T,
    /// Whether it may be refused.
    pub class: Class,
    /// How soon it must be durable.
    pub durability: Durability,
    /// Whether it adds to what is open (a session or a permitted command).
    pub opens: bool,
    /// About how many bytes it holds and will need on disk; bounds the queue.
    pub size: usize,
}

/// Why an entry was not taken. Nothing of it will stand in the log.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// The writer has stopped for good; only a restart helps.
    #[error("the log has stopped: {0}; restart after checking the disk")]
    Stopped(String),
    /// Writing fails just now; it is being tried again.
    #[error("the log cannot be written: {0}; it goes on by itself when writing works again")]
    Suspended(String),
    /// No room for another segment, and what is left is kept for outcomes.
    #[error("the log's disk is full: {0}; it goes on by itself when there is room")]
    Full(String),
    /// The disk has not answered for too long.
    #[error("the log's disk has not answered for {0} ms")]
    Stalled(u64),
    /// More is queued than the disk takes.
    #[error("{0} bytes wait to be written to the log, which is the limit")]
    Queue(usize),
    /// More sessions and commands are open than a segment's header can list.
    #[error("{0} sessions and commands are open, which is the limit")]
    Open(usize),
    /// The log is being closed.
    #[error("the log is closing")]
    Closed,
}

/// Why waiting for an entry ended without its being durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WaitError {
    /// The writer has stopped for good. Whether the entry survives is not known until the restart.
    #[error("the log has stopped: {0}")]
    Stopped(String),
    /// Writing fails just now. The entry is kept and will be written when that works again; do not act on it.
    #[error("the log cannot be written: {0}")]
    Suspended(String),
    /// The entry was too large for a frame; the log says so in its place.
    #[error("the entry of position {0} was too large to be recorded")]
    TooLarge(u64),
}

/// How patient a waiter is while writing fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Give up at once when the log is suspended: for intents, which can be refused.
    Intent,
    /// Wait on until it is durable or the log has stopped: for outcomes, which have happened.
    Outcome,
}

/// The state of the log, for health checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// All is well.
    Running,
    /// No room for another segment: intents are refused, outcomes still fit.
    Full(String),
    /// Writing fails: intents are refused, the rest is kept in memory, and it is tried again.
    Suspended(String),
    /// An fdatasync failed, or the writer died: nothing is written until a restart.
    Stopped(String),
}

/// A look at the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Its state.
    pub state: State,
    /// Age of the oldest entry that is not durable yet, in µs; 0 when all are. Beyond [`STALL`], intents are refused.
    pub unsynced_us: u64,
    /// The first position that is not durable yet.
    pub durable: u64,
    /// The next position to be given out.
    pub next: u64,
    /// What last went wrong in the background (making a segment ready, sealing one), if anything has.
    pub warning: Option<String>,
}

/// Counts since the start, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries made durable.
    pub entries: AtomicU64,
    /// Bytes of frames made durable.
    pub bytes: AtomicU64,
    /// fdatasyncs of segments.
    pub syncs: AtomicU64,
    /// What they took.
    pub sync_times: Durations,
    /// Entries in the queue when it was last looked at.
    pub queued: AtomicU64,
    /// Entries refused.
    pub refused: AtomicU64,
    /// Largest step of the wall clock against the monotonic one between two groups of entries, in µs.
    pub clock_step_us: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Slot<T> {
    pub(crate) position: u64,
    /// Monotonic time of the append.
    pub(crate) mono_us: u64,
    pub(crate) opens: bool,
    pub(crate) size: usize,
    pub(crate) entry: T,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// The writer is at work and will look at the queue by itself.
    No,
    /// It wakes within [`GATHER`]; only strict entries are worth waking it for.
    Gathering,
    /// It wakes soon, or once as many wait as are expected (see [`Gathering`]).
    Companions,
    /// It sleeps until woken.
    Idle,
}

#[derive(Debug)]
struct Queue<T> {
    slots: VecDeque<Slot<T>>,
    /// Entries that are written. Who appends takes one away: memory is cheapest to free on the thread that will want as
    /// much again, and the writer is none of those.
    spent: Vec<Slot<T>>,
    /// Estimated bytes of everything taken and not yet encoded.
    bytes: usize,
    next: u64,
    /// How many entries that open something were ever taken.
    opening: u64,
    /// How many of those queued say that something is over.
    ends: usize,
    strict: bool,
    /// How many wait for what is queued.
    waiting: usize,
    gathering: Gathering,
    sleep: Sleep,
    closing: bool,
}

#[derive(Debug)]
struct Waiter {
    position: u64,
    patience: Patience,
    waker: Waker,
}

/// What a waiter remembers between polls; one per session will do.
#[derive(Debug, Default)]
pub struct Registration {
    waker: Option<Waker>,
    position: u64,
    patience: Option<Patience>,
    suspensions: u64,
    turn: u64,
}

impl Registration {
    /// Counts how often it was put on the list of waiters.
    pub(crate) fn turn(&self) -> u64 {
        self.turn
    }
}

#[derive(Debug, Default, Clone)]
struct Reasons {
    full: Option<String>,
    suspended: Option<String>,
    stopped: Option<String>,
    warning: Option<String>,
}

/// State shared by the appenders, the writer and the keeper.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    queue: Mutex<Queue<T>>,
    /// The queue's bytes, for those who only look: sessions do so all the time, and should not wait for its lock.
    queued: AtomicUsize,
    work: Condvar,
    waiters: Mutex<Vec<Waiter>>,
    durable: AtomicU64,
    /// Any of full, suspended, stopped: looked at by each append before anything slower.
    troubled: AtomicBool,
    stopped: AtomicBool,
    suspended: AtomicBool,
    suspensions: AtomicU64,
    reasons: Mutex<Reasons>,
    oversize: Mutex<BTreeSet<u64>>,
    any_oversize: AtomicBool,
    /// When the write under way began, plus one; 0 when none is.
    in_flight: AtomicU64,
    /// Bytes left in the live segment.
    room: AtomicU64,
    /// Bytes in the segment that stands ready to follow it.
    next_room: AtomicU64,
    /// Size of the open set as of the last write, and how many entries that open something it had taken by then.
    open: AtomicUsize,
    opened: AtomicU64,
    head: Mutex<Frontier>,
    pub(crate) counters: Counters,
    pub(crate) io: Arc<dyn Io>,
}

/// Locks, whatever became of a thread that held it: the data under these locks is consistent at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Shared<T> {
    pub(crate) fn new(io: Arc<dyn Io>, head: Frontier, open: usize) -> Self {
        let next = head.size();
        let queue = Queue {
            slots: VecDeque::new(),
            spent: Vec::with_capacity(SPENT_MAX),
            bytes: 0,
            next,
            opening: 0,
            ends: 0,
            strict: false,
            waiting: 0,
            gathering: Gathering::default(),
            sleep: Sleep::No,
            closing: false,
        };
        Self {
            queue: Mutex::new(queue),
            queued: AtomicUsize::new(0),
            work: Condvar::new(),
            waiters: Mutex::default(),
            durable: AtomicU64::new(next),
            troubled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            suspended: AtomicBool::new(false),
            suspensions: AtomicU64::new(0),
            reasons: Mutex::default(),
            oversize: Mutex::default(),
            any_oversize: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            room: AtomicU64::new(0),
            next_room: AtomicU64::new(0),
            open: AtomicUsize::new(open),
            opened: AtomicU64::new(0),
            head: Mutex::new(head),
            counters: Counters::default(),
            io,
        }
    }

    /// Queues an entry. See [`crate::writer::Log::append`].
    pub(crate) fn append(&self, item: Item<T>) -> Result<Ticket, AppendError> {
        let mut queue = lock(&self.queue);
        let now = self.io.mono_us();
        if let Err(why) = self.admit(&queue, &item, now) {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(why);
        }
        let position = queue.next;
        queue.next += 1;
        queue.bytes += item.size;
        self.queued.store(queue.bytes, Ordering::Relaxed);
        let strict = item.durability == Durability::Strict;
        queue.strict |= strict;
        queue.opening += u64::from(item.opens);
        queue.ends += usize::from(item.class == Class::End);
        let (size, opens) = (item.size, item.opens);
        queue.slots.push_back(Slot { position, mono_us: now, opens, size, entry: item.entry });
        let wake = match queue.sleep {
            Sleep::No => false,
            Sleep::Gathering | Sleep::Companions => strict || queue.bytes >= GATHER_BYTES,
            Sleep::Idle => true,
        };
        if wake {
            queue.sleep = Sleep::No;
        }
        let spent = queue.spent.pop();
        drop(queue);
        drop(spent);
        if wake {
            self.work.notify_one();
        }
        Ok(Ticket(position))
    }

    fn admit(&self, queue: &Queue<T>, item: &Item<T>, now: u64) -> Result<(), AppendError> {
        if queue.closing {
            return Err(AppendError::Closed);
        }
        if self.troubled.load(Ordering::Acquire) {
            self.admit_in_trouble(queue, item)?;
        }
        if item.class == Class::End {
            // What ends was open, and no more is than that: more would be a fault of whoever appends.
            return if queue.ends < MAX_OPEN { Ok(()) } else { Err(AppendError::Open(MAX_OPEN)) };
        }
        if queue.bytes + item.size > QUEUE_BYTES {
            return Err(AppendError::Queue(QUEUE_BYTES));
        }
        if item.opens {
            let coming = queue.opening - self.opened.load(Ordering::Acquire);
            let open = self.open.load(Ordering::Acquire) as u64 + coming;
            if open >= MAX_OPEN as u64 {
                return Err(AppendError::Open(MAX_OPEN));
            }
        }
        if item.class == Class::Outcome {
            return Ok(());
        }
        if queue.bytes + item.size > INTENT_QUEUE_BYTES {
            return Err(AppendError::Queue(INTENT_QUEUE_BYTES));
        }
        let since = self.in_flight.load(Ordering::Acquire);
        if since != 0 && u128::from((now + 1).saturating_sub(since)) > STALL.as_micros() {
            return Err(AppendError::Stalled((now + 1 - since) / 1000));
        }
        Ok(())
    }

    fn admit_in_trouble(&self, queue: &Queue<T>, item: &Item<T>) -> Result<(), AppendError> {
        let reasons = lock(&self.reasons);
        if let Some(why) = &reasons.stopped {
            return Err(AppendError::Stopped(why.clone()));
        }
        if item.class != Class::Intent {
            return Ok(());
        }
        if let Some(why) = &reasons.suspended {
            return Err(AppendError::Suspended(why.clone()));
        }
        let wanted = RESERVE_BYTES + (queue.bytes + item.size) as u64;
        match &reasons.full {
            Some(why) if self.room() < wanted => Err(AppendError::Full(why.clone())),
            _ => Ok(()),
        }
    }

    /// See [`crate::writer::Log::poll_durable`].
    pub(crate) fn poll_durable(
        &self,
        ticket: Ticket,
        patience: Patience,
        registration: &mut Registration,
        cx: &Context<'_>,
    ) -> Poll<Result<(), WaitError>> {
        if let Some(ready) = self.look(ticket, patience) {
            return Poll::Ready(ready);
        }
        let suspensions = self.suspensions.load(Ordering::Acquire);
        // A registration is taken off the list only when its poll would be ready, or, if it is an intent's, by a
        // suspension; so while none of the two has happened it still stands there.
        let stands = registration.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker()))
            && (registration.position, registration.patience) == (ticket.0, Some(patience))
            && (registration.suspensions == suspensions || patience == Patience::Outcome);
        if stands {
            return Poll::Pending;
        }
        let mut waiters = lock(&self.waiters);
        // Again under the lock: the writer changes what we look at before it takes the lock to wake.
        if let Some(ready) = self.look(ticket, patience) {
            return Poll::Ready(ready);
        }
        let waker = cx.waker().clone();
        waiters.push(Waiter { position: ticket.0, patience, waker: waker.clone() });
        *registration = Registration {
            waker: Some(waker),
            position: ticket.0,
            patience: Some(patience),
            suspensions: self.suspensions.load(Ordering::Acquire),
            turn: registration.turn + 1,
        };
        Poll::Pending
    }

    /// What a waiter would be told now; `None` is "wait".
    pub(crate) fn look(&self, ticket: Ticket, patience: Patience) -> Option<Result<(), WaitError>> {
        if self.durable.load(Ordering::Acquire) > ticket.0 {
            if self.is_oversize(ticket.0) {
                return Some(Err(WaitError::TooLarge(ticket.0)));
            }
            return Some(Ok(()));
        }
        if self.stopped.load(Ordering::Acquire) {
            let why = lock(&self.reasons).stopped.clone().unwrap_or_default();
            return Some(Err(WaitError::Stopped(why)));
        }
        if patience == Patience::Intent && self.suspended.load(Ordering::Acquire) {
            let why = lock(&self.reasons).suspended.clone()?;
            return Some(Err(WaitError::Suspended(why)));
        }
        None
    }

    /// Wakes who is covered; tells how many that were.
    fn wake(&self, mut covered: impl FnMut(&Waiter) -> bool) -> usize {
        let mut woken = 0;
        let mut waiters = lock(&self.waiters);
        let mut at = 0;
        while let Some(waiter) = waiters.get(at) {
            if covered(waiter) {
                // Waking pushes to a run queue and may do a system call, but nobody who waits for this lock is in a
                // greater hurry than those who are woken.
                waiters.swap_remove(at).waker.wake();
                woken += 1;
            } else {
                at += 1;
            }
        }
        woken
    }

    /// First position that is not durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Everything before `head`'s size is durable: tell it, and wake who waited.
    pub(crate) fn publish(&self, head: &Frontier, (open, opened): (usize, u64), took_us: u64) {
        lock(&self.head).clone_from(head);
        // In this order, so that whoever looks in between counts too many rather than too few.
        self.open.store(open, Ordering::Release);
        self.opened.store(opened, Ordering::Release);
        self.set_in_flight(None);
        self.durable.store(head.size(), Ordering::Release);
        let served = self.wake(|w| w.position < head.size());
        let now = self.io.mono_us();
        let mut queue = lock(&self.queue);
        let waiting = queue.waiting;
        queue.gathering.served(served, waiting, now, took_us);
    }

    pub(crate) fn set_in_flight(&self, since: Option<u64>) {
        self.in_flight.store(since.map_or(0, |t| t + 1), Ordering::Release);
    }

    /// Bytes that can still be written without making another segment.
    fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire) + self.next_room.load(Ordering::Acquire)
    }

    pub(crate) fn set_room(&self, room: u64) {
        self.room.store(room, Ordering::Release);
    }

    pub(crate) fn set_next_room(&self, room: u64) {
        self.next_room.store(room, Ordering::Release);
    }

    pub(crate) fn mark_oversize(&self, position: u64) {
        lock(&self.oversize).insert(position);
        self.any_oversize.store(true, Ordering::Release);
    }

    pub(crate) fn is_oversize(&self, position: u64) -> bool {
        self.any_oversize.load(Ordering::Acquire) && lock(&self.oversize).contains(&position)
    }

    pub(crate) fn head(&self) -> Frontier {
        lock(&self.head).clone()
    }

    fn change_reasons(&self, change: impl FnOnce(&mut Reasons)) {
        let mut reasons = lock(&self.reasons);
        change(&mut reasons);
        let troubled = reasons.full.is_some() || reasons.suspended.is_some() || reasons.stopped.is_some();
        self.suspended.store(reasons.suspended.is_some(), Ordering::Release);
        self.stopped.store(reasons.stopped.is_some(), Ordering::Release);
        self.troubled.store(troubled, Ordering::Release);
    }

    /// No further segment can be made; `None`: it can again.
    pub(crate) fn set_full(&self, why: Option<String>) {
        self.change_reasons(|r| r.full = why);
    }

    pub(crate) fn set_warning(&self, why: String) {
        self.change_reasons(|r| r.warning = Some(why));
    }

    pub(crate) fn suspend(&self, why: String) {
        let first = !self.suspended.load(Ordering::Acquire);
        self.change_reasons(|r| r.suspended = Some(why));
        if first {
            self.suspensions.fetch_add(1, Ordering::AcqRel);
        }
        self.wake(|w| w.patience == Patience::Intent);
    }

    pub(crate) fn resume(&self) {
        if self.suspended.load(Ordering::Acquire) {
            self.change_reasons(|r| r.suspended = None);
        }
    }

    /// For good; the first reason stays.
    pub(crate) fn stop(&self, why: String) {
        self.change_reasons(|r| {
            r.stopped.get_or_insert(why);
        });
        self.wake(|_| true);
        self.work.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn health(&self) -> Health {
        let queue = lock(&self.queue);
        let now = self.io.mono_us();
        let queued_since = queue.slots.front().map(|s| s.mono_us);
        let flying = self.in_flight.load(Ordering::Acquire).checked_sub(1);
        let next = queue.next;
        drop(queue);
        let unsynced_us = flying.or(queued_since).map_or(0, |t| now.saturating_sub(t));
        let reasons = lock(&self.reasons).clone();
        let state = match (reasons.stopped, reasons.suspended, reasons.full) {
            (Some(why), _, _) => State::Stopped(why),
            (None, Some(why), _) => State::Suspended(why),
            (None, None, Some(why)) if self.room() < RESERVE_BYTES + LARGE_INTENT_BYTES => State::Full(why),
            (None, None, full) => {
                let warning = full.or(reasons.warning);
                return Health { state: State::Running, unsynced_us, durable: self.durable(), next, warning };
            }
        };
        Health { state, unsynced_us, durable: self.durable(), next, warning: reasons.warning }
    }

    /// No more appends; the writer finishes what is queued and ends.
    pub(crate) fn close(&self) {
        lock(&self.queue).closing = true;
        self.work.notify_all();
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.queue).closing
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Somebody waits for this entry: if it is still queued, it is due, now or as soon as its companions wait as well.
    /// Wakes the writer where it gathers or sleeps.
    pub(crate) fn hurry(&self, ticket: Ticket) {
        let mut queue = lock(&self.queue);
        if queue.slots.front().is_none_or(|first| first.position > ticket.0) {
            return;
        }
        queue.waiting += 1;
        let wake = match queue.sleep {
            Sleep::No => false,
            Sleep::Companions => queue.gathering.is_complete(queue.waiting),
            Sleep::Gathering | Sleep::Idle => true,
        };
        if wake {
            queue.sleep = Sleep::No;
            drop(queue);
            self.work.notify_one();
        }
    }

    /// Age of the oldest entry that is on its way to the disk, in µs; 0 when none is.
    pub(crate) fn in_flight_us(&self) -> u64 {
        let since = self.in_flight.load(Ordering::Acquire);
        since.checked_sub(1).map_or(0, |t| self.io.mono_us().saturating_sub(t))
    }

    /// Takes what is queued, without waiting, in exchange for entries that are written. `into` must be empty; the two
    /// buffers change places.
    pub(crate) fn take(&self, into: &mut VecDeque<Slot<T>>, spent: &mut Vec<Slot<T>>) {
        let mut queue = lock(&self.queue);
        std::mem::swap(&mut queue.slots, into);
        let more = SPENT_MAX.saturating_sub(queue.spent.len()).min(spent.len());
        queue.spent.extend(spent.drain(..more));
        self.counters.queued.store(into.len() as u64, Ordering::Relaxed);
        queue.strict = false;
        queue.ends = 0;
        queue.waiting = 0;
        drop(queue);
        spent.clear();
    }

    /// An entry of this estimated size has left the memory that the queue's limits bound.
    pub(crate) fn release(&self, bytes: usize) {
        let mut queue = lock(&self.queue);
        queue.bytes = queue.bytes.saturating_sub(bytes);
        self.queued.store(queue.bytes, Ordering::Relaxed);
    }

    /// Blocks until there is reason to write: something strict is queued, something relaxed is due, or `retry` has
    /// passed. `false`: the log is closing and nothing is left, or it has stopped.
    pub(crate) fn wait(&self, retry: Option<Duration>, linger_until: u64) -> bool {
        let mut queue = lock(&self.queue);
        let mut waited = false;
        loop {
            if self.is_stopped() {
                return false;
            }
            let sleep = match retry {
                Some(_) if waited || queue.closing => return true,
                Some(retry) => (Sleep::No, Some(retry)),
                None if queue.closing => return !queue.slots.is_empty(),
                None => match self.due(&mut queue, linger_until) {
                    None => return true,
                    Some(sleep) => sleep,
                },
            };
            waited = true;
            queue.sleep = sleep.0;
            queue = match sleep.1 {
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(time) => self.work.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
            };
            queue.sleep = Sleep::No;
        }
    }

    /// `None`: write now. Otherwise how to sleep and for how long; without a time, until woken.
    fn due(&self, queue: &mut Queue<T>, linger_until: u64) -> Option<(Sleep, Option<Duration>)> {
        let now = self.io.mono_us();
        let companions = queue.gathering.left(now).map(|left| (Sleep::Companions, Some(left)));
        let Some(first) = queue.slots.front() else {
            let linger = (Sleep::Gathering, Some(GATHER));
            return Some(companions.unwrap_or(if now < linger_until { linger } else { (Sleep::Idle, None) }));
        };
        let age = Duration::from_micros(now.saturating_sub(first.mono_us));
        let waiting = queue.waiting;
        if queue.strict || waiting > 0 && queue.gathering.is_over(waiting, now) {
            return None;
        }
        if queue.bytes >= GATHER_BYTES || age >= GATHER {
            return None;
        }
        Some(companions.unwrap_or((Sleep::Gathering, Some(GATHER - age))))
    }
}
