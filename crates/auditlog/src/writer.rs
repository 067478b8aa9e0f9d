//! The log as its users see it: open, append, wait until durable, look at its health, close.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::{future, io};

use thiserror::Error;

use crate::codec::Codec;
use crate::io::Io;
use crate::keeper::{Keeper, RETRY, SealJob};
use crate::lock::DataLock;
use crate::queue::{
    AppendError, Counters, Health, Item, LINGER, Patience, Registration, Shared, State, Ticket, WaitError,
    lock,
};
use crate::recover::{self, KnownSize, OpenError, Recovered};
use crate::segment::{FIRST_SEGMENT_BYTES, Index, SEGMENT_BYTES};
use crate::step::{Core, Step, Work};
use crate::tree::Frontier;

/// What can be chosen on opening.
#[derive(Debug)]
pub struct Options {
    /// The lock on the data folder, held as long as the log is open. `None` only where nobody else can be, as in tests.
    pub lock: Option<DataLock>,
    /// Length of an epoch's first segment, in bytes. Start-up waits until it is written full of zeros.
    pub first_segment_bytes: u64,
    /// Length of the segments after it, in bytes.
    pub segment_bytes: u64,
    /// Makes the sidecars of sealed segments.
    pub index: Option<Arc<dyn Index>>,
    /// How far the log is known to have come, for instance from its newest checkpoint. A shorter log does not open.
    pub known: Option<KnownSize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lock: None,
            first_segment_bytes: FIRST_SEGMENT_BYTES,
            segment_bytes: SEGMENT_BYTES,
            index: None,
            known: None,
        }
    }
}

/// An open log. Shared by reference among all who append; one thread of its own writes.
///
/// Dropping it closes it, without telling whether that went well.
pub struct Log<C: Codec> {
    shared: Arc<Shared<C::Entry>>,
    keeper: Arc<Keeper<C::Entry>>,
    threads: Mutex<Option<Threads>>,
    lock: Mutex<Option<DataLock>>,
    folder: PathBuf,
    log_id: [u8; 16],
    epoch: u64,
}

/// Why a codec could not be made.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Threads {
    writer: JoinHandle<()>,
    keeper: JoinHandle<()>,
}

impl<C: Codec> std::fmt::Debug for Log<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("folder", &self.folder)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Not everything that was queued is durable.
#[derive(Debug, Error)]
pub enum CloseError {
    /// The log had stopped, or could not be written at the end.
    #[error("the log was closed with {lost} entries unwritten: {why}")]
    Unwritten {
        /// Entries that were queued and are not durable.
        lost: u64,
        /// The reason.
        why: String,
    },
    /// The note of the clean close could not be written. All entries are durable.
    #[error("noting the close of the log: {0}")]
    Note(#[source] io::Error),
}

impl<C: Codec> Log<C> {
    /// Opens the log of a data folder (`data/log`), making it on first use, and starts its writer. `codec` is called once
    /// it is known what the log is (its id, for the keys).
    ///
    /// What [`Recovered`] lists must be answered by entries (`log.recovered`, the outcomes of orphaned commands) before
    /// anything else is appended.
    pub fn open(
        data: &Path,
        codec: impl FnOnce(&Recovered) -> Result<C, Failure>,
        options: Options,
        io: Arc<dyn Io>,
    ) -> Result<(Self, Recovered), OpenError> {
        let (log, core, recovered) = Self::assemble(data, codec, options, io)?;
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.into()).spawn(work).map_err(|source| OpenError::Io {
                what: "starting the thread",
                path: name.into(),
                source,
            })
        };
        let shared = log.shared.clone();
        let keeper = log.keeper.clone();
        let writer = spawn("log-writer", Box::new(move || run(core, &shared)))?;
        let keeper =
            spawn("log-keeper", Box::new(move || keeper.run())).inspect_err(|_| log.shared.close())?;
        *lock(&log.threads) = Some(Threads { writer, keeper });
        Ok((log, recovered))
    }

    fn assemble(
        data: &Path,
        codec: impl FnOnce(&Recovered) -> Result<C, Failure>,
        options: Options,
        io: Arc<dyn Io>,
    ) -> Result<(Self, Core<C>, Recovered), OpenError> {
        let folder = data.join("log");
        let start = recover::open::<C>(&*io, &folder, options.known, options.first_segment_bytes)?;
        let shared = Arc::new(Shared::new(io.clone(), start.frontier.clone(), start.open.len()));
        let keeper = Keeper::new(shared.clone(), folder.clone(), options.segment_bytes, options.index);
        let mut live = start.live;
        if let Some(index) = keeper.index() {
            for name in start.unsealed {
                keeper.seal(SealJob { name, written: None, index: None });
            }
            if start.recovered.created {
                live.index = Some(index.begin(&crate::segment::Header {
                    log_id: start.recovered.log_id,
                    epoch: start.recovered.epoch,
                    created_us: io.wall_us(),
                    seed: start.seed,
                    frontier: start.frontier.clone(),
                    open: start.recovered.open.clone(),
                }));
            }
        }
        shared.set_room(live.capacity.saturating_sub(live.at));
        let keeper = Arc::new(keeper);
        let recovered = start.recovered;
        let (log_id, epoch) = (recovered.log_id, recovered.epoch);
        let core = Core {
            shared: shared.clone(),
            keeper: keeper.clone(),
            io,
            codec: codec(&recovered).map_err(OpenError::Codec)?,
            log: folder.clone(),
            log_id,
            live,
            seed: start.seed,
            frontier: start.frontier,
            open: start.open,
            work: Work::new(),
        };
        let lock = Mutex::new(options.lock);
        let log = Self { shared, keeper, threads: Mutex::new(None), lock, folder, log_id, epoch };
        Ok((log, core, recovered))
    }

    /// Opens the log without threads: whoever holds the [`Stepper`] does the writing, one step at a time.
    pub fn open_stepped(
        data: &Path,
        codec: impl FnOnce(&Recovered) -> Result<C, Failure>,
        options: Options,
        io: Arc<dyn Io>,
    ) -> Result<(Self, Stepper<C>, Recovered), OpenError> {
        let (log, core, recovered) = Self::assemble(data, codec, options, io)?;
        Ok((log, Stepper { core }, recovered))
    }

    /// Queues an entry and gives its position. Never blocks on the disk.
    ///
    /// An entry that was taken will be written, in the order of positions, unless the log stops for good.
    pub fn append(&self, item: Item<C::Entry>) -> Result<Ticket, AppendError> {
        self.shared.append(item)
    }

    /// Polls whether the entry is durable; wakes the task when there is something new to say.
    ///
    /// Keep one `registration` per waiting task and pass it each time: then polling again while nothing has happened
    /// costs a few loads. Cancel-safe: dropping it leaves at most one needless wake-up behind.
    pub fn poll_durable(
        &self,
        ticket: Ticket,
        patience: Patience,
        registration: &mut Registration,
        cx: &Context<'_>,
    ) -> Poll<Result<(), WaitError>> {
        self.shared.poll_durable(ticket, patience, registration, cx)
    }

    /// As [`Log::poll_durable`], and makes the entry urgent although it was appended as relaxed: somebody waits for it.
    /// Lets a reader's intent share the fdatasync of its outcome instead of starting one of its own.
    pub fn poll_urgent(
        &self,
        ticket: Ticket,
        patience: Patience,
        registration: &mut Registration,
        cx: &Context<'_>,
    ) -> Poll<Result<(), WaitError>> {
        let before = registration.turn();
        let polled = self.shared.poll_durable(ticket, patience, registration, cx);
        if polled.is_pending() && registration.turn() != before {
            self.shared.hurry(ticket);
        }
        polled
    }

    /// For how long the oldest entry on its way to the disk has been so, in µs; 0 when none is.
    #[must_use]
    pub fn in_flight_us(&self) -> u64 {
        self.shared.in_flight_us()
    }

    /// Waits until the entry is durable. Works under any executor. Cancel-safe.
    ///
    /// A hung disk is not an error here: bound the wait for an intent with a timeout of your own
    /// ([`crate::queue::STALL`]), refuse, and append how it ended; the intent itself stays queued.
    pub async fn durable(&self, ticket: Ticket, patience: Patience) -> Result<(), WaitError> {
        let mut registration = Registration::default();
        future::poll_fn(|cx| self.poll_durable(ticket, patience, &mut registration, cx)).await
    }

    /// The same for a thread that may block.
    pub fn wait_blocking(&self, ticket: Ticket, patience: Patience) -> Result<(), WaitError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let cx = Context::from_waker(&waker);
        let mut registration = Registration::default();
        loop {
            match self.poll_durable(ticket, patience, &mut registration, &cx) {
                Poll::Ready(ready) => return ready,
                Poll::Pending => thread::park(),
            }
        }
    }

    /// The first position that is not durable yet.
    #[must_use]
    pub fn durable_size(&self) -> u64 {
        self.shared.durable()
    }

    /// The tree over what is durable.
    #[must_use]
    pub fn head(&self) -> Frontier {
        self.shared.head()
    }

    /// State and lags, for health checks.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Counts, for metrics.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The largest step of the wall clock against the monotonic one since this was last asked, in µs: reason for a
    /// `log.clock` entry when it is more than a second.
    #[must_use]
    pub fn take_clock_step_us(&self) -> u64 {
        self.shared.counters.clock_step_us.swap(0, Ordering::Relaxed)
    }

    /// Bytes that wait to be written, as entries estimate themselves. Whoever appends much (rows of a result) should
    /// wait while this is above [`crate::queue::INTENT_QUEUE_BYTES`]` / 2`.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes()
    }

    /// Names the log of this data folder.
    #[must_use]
    pub fn id(&self) -> &[u8; 16] {
        &self.log_id
    }

    /// The epoch being written.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The folder with its segments.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes no more entries, writes what is queued, ends the threads, notes how far the log has come, and lets go of
    /// the lock. Blocks for as long as the disk needs. Doing it again does nothing.
    pub fn close(&self) -> Result<(), CloseError> {
        let Some(threads) = lock(&self.threads).take() else { return Ok(()) };
        self.shared.close();
        // A panic of the writer has stopped the log, which is reported below.
        let _ = threads.writer.join();
        self.keeper.close();
        let _ = threads.keeper.join();
        let result = self.note_close();
        drop(lock(&self.lock).take());
        result
    }

    fn note_close(&self) -> Result<(), CloseError> {
        let health = self.shared.health();
        if health.next > health.durable {
            let why = match health.state {
                State::Stopped(why) | State::Suspended(why) => why,
                other => format!("{other:?}"),
            };
            return Err(CloseError::Unwritten { lost: health.next - health.durable, why });
        }
        let head = self.head();
        let known = KnownSize { epoch: self.epoch, size: head.size(), root: head.root() };
        known.note(&*self.shared.io, &self.folder).map_err(CloseError::Note)
    }
}

impl<C: Codec> Drop for Log<C> {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Stops the log if the writer's thread ends with work undone, by a panic or a close while writing fails: otherwise
/// whoever waits would wait for ever.
struct Watch<'a, T>(&'a Shared<T>);

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        let health = self.0.health();
        if thread::panicking() {
            self.0.stop("the writer's thread has panicked".into());
        } else if health.next > health.durable {
            let why = match health.state {
                State::Suspended(why) => why,
                other => format!("{other:?}"),
            };
            self.0.stop(format!("closed while it could not be written: {why}"));
        }
    }
}

/// The writer's thread.
fn run<C: Codec>(mut core: Core<C>, shared: &Shared<C::Entry>) {
    let _watch = Watch(shared);
    let mut retry = None;
    let mut linger_until = 0;
    loop {
        if (retry.is_some() || !core.has_work()) && !shared.wait(retry, linger_until) {
            return;
        }
        let closing = retry.is_some() && shared.is_closing();
        match core.step() {
            Step::Idle => retry = None,
            Step::Worked => {
                retry = None;
                linger_until = shared.io.mono_us() + LINGER.as_micros() as u64;
            }
            Step::Suspended if closing => return,
            Step::Suspended => retry = Some(RETRY),
            Step::Stopped => return,
        }
    }
}

/// The writer without a thread, for simulations: nothing is written unless it is told to.
pub struct Stepper<C: Codec> {
    core: Core<C>,
}

impl<C: Codec> Stepper<C> {
    /// One write and one sync of what is queued, or one change of segment.
    pub fn step(&mut self) -> Step {
        self.core.step()
    }

    /// Steps until nothing is left to do or a step does not work.
    pub fn settle(&mut self) -> Step {
        loop {
            match self.core.step() {
                Step::Worked => {}
                other => return other,
            }
        }
    }

    /// One job of the background: making the next segment ready, or sealing one. `false`: there was none, or it failed.
    pub fn keep(&mut self) -> bool {
        self.core.keeper.work_once() == crate::keeper::Did::Job
    }
}

impl<C: Codec> std::fmt::Debug for Stepper<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stepper")
    }
}
