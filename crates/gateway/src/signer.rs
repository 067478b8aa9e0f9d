//! The signer's thread: signs what has become durable, at most once in [`PACE`], and says how it is.
//!
//! It shares nothing with the log's writer but the number of durable entries, so the hot path pays for no more than the
//! processor time of hashing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use firsthand_adapters::record::Record;
use firsthand_auditlog::durations::Durations;
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::lock::DataLock;
use firsthand_auditlog::sign::keys::LogKeys;
use firsthand_auditlog::sign::{Did, Options, Published, SignError, Signer};
use firsthand_auditlog::writer::Log;
use tokio::sync::watch;

use crate::failure::Failure;

/// Between two checkpoints; with [`LOOK`] and the work itself, what is durable is signed within a second.
const PACE: Duration = Duration::from_millis(800);
/// How often it looks whether there is something to sign.
const LOOK: Duration = Duration::from_millis(100);
/// Rest after something failed that may pass.
const REST: Duration = Duration::from_secs(1);
/// Rest after a refusal: somebody must put the log right first.
const REFUSED_REST: Duration = Duration::from_secs(30);
/// What is durable for so long and not signed makes the gateway not ready.
const LATE: Duration = Duration::from_secs(60);
/// What the last checkpoint may take when the gateway stops.
const LAST_MAX: Duration = Duration::from_secs(5);

/// The signer of a gateway.
pub(crate) struct LogSigner {
    /// The keys, of which a rotation adds one.
    pub(crate) keys: Arc<Mutex<LogKeys>>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    now: Mutex<Now>,
    told: Condvar,
    /// Checkpoints published.
    checkpoints: AtomicU64,
    /// Tries to sign that failed.
    failures: AtomicU64,
    /// From when entries were seen to be durable until they were signed.
    lags: Durations,
    /// The newest checkpoint, for whoever waits for the next one.
    published: watch::Sender<Option<Arc<Published>>>,
}

#[derive(Default)]
struct Now {
    closing: bool,
    error: Option<String>,
    newest: Option<(Arc<Published>, Instant)>,
    /// Since when something is durable and not signed.
    unsigned: Option<Instant>,
}

/// How it is, for health and metrics.
pub(crate) struct Standing {
    /// `ok`, `starting`, `late`, `failing`.
    pub(crate) word: &'static str,
    /// Why not `ok`.
    pub(crate) reason: String,
    /// The newest checkpoint, and how long ago it was published.
    pub(crate) newest: Option<(Arc<Published>, Duration)>,
}

impl Standing {
    /// Whether the gateway is ready as far as the signer goes.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.word, "ok" | "starting")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogSigner {
    /// Starts it over an open record.
    /// `witnesses`: what its policy says of them.
    pub(crate) fn start(
        record: &Record,
        data: &std::path::Path,
        keys: LogKeys,
        witnesses: String,
    ) -> Result<Self, Failure> {
        let (keys, shared) = (Arc::new(Mutex::new(keys)), Arc::new(Shared::default()));
        let log = Arc::clone(record.recorder().log());
        let work = Work {
            options: (data.to_path_buf(), log.epoch()),
            log,
            keys: Arc::clone(&keys),
            shared: Arc::clone(&shared),
            io: Arc::new(RealIo::new()),
            witnesses,
        };
        let thread = thread::Builder::new().name("log-signer".into()).spawn(move || work.run());
        let thread = thread.map_err(|e| {
            Failure::new(format!("cannot start the signer: {e}"), "check the limits of this process (ulimit)")
        })?;
        Ok(Self { keys, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Signs what the log has by now, and ends. Blocks for a bounded time.
    pub(crate) fn finish(&self) {
        let Some(thread) = lock(&self.thread).take() else { return };
        lock(&self.shared.now).closing = true;
        self.shared.told.notify_all();
        if thread.join().is_err() {
            tracing::error!("the signer's thread has panicked");
        }
    }

    /// How it is.
    pub(crate) fn standing(&self) -> Standing {
        let now = lock(&self.shared.now);
        let newest = now.newest.as_ref().map(|(newest, at)| (Arc::clone(newest), at.elapsed()));
        let unsigned = now.unsigned.map(|since| since.elapsed()).filter(|unsigned| *unsigned > LATE);
        let dead = lock(&self.thread).as_ref().is_some_and(JoinHandle::is_finished);
        let (word, reason) = match (&now.error, unsigned) {
            (Some(why), _) => ("failing", why.clone()),
            (None, _) if dead => ("failing", "the signer's thread has ended".to_owned()),
            (None, Some(unsigned)) => {
                ("late", format!("entries have not been signed for {} s", unsigned.as_secs()))
            }
            (None, None) if newest.is_none() => ("starting", String::new()),
            (None, None) => ("ok", String::new()),
        };
        Standing { word, reason, newest }
    }

    /// The newest checkpoint, and each that follows.
    pub(crate) fn published(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.shared.published.subscribe()
    }

    /// Checkpoints published by this process.
    pub(crate) fn checkpoints(&self) -> u64 {
        self.shared.checkpoints.load(Relaxed)
    }

    /// Tries to sign that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.shared.failures.load(Relaxed)
    }

    /// From durable to signed.
    pub(crate) fn lags(&self) -> &Durations {
        &self.shared.lags
    }
}

impl Drop for LogSigner {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What the thread has.
struct Work {
    options: (std::path::PathBuf, u64),
    log: Arc<Log<EventCodec>>,
    keys: Arc<Mutex<LogKeys>>,
    shared: Arc<Shared>,
    io: Arc<dyn Io>,
    witnesses: String,
}

impl Work {
    fn run(self) {
        let mut signer = None;
        let (mut begun, mut rest) = (None::<Instant>, Duration::ZERO);
        loop {
            let closing = self.wait();
            let durable = self.log.durable_size();
            self.see(durable, signer.as_ref());
            let due = begun.is_none_or(|at| at.elapsed() >= rest);
            if due || closing {
                let at = Instant::now();
                match self.sign(&mut signer, durable) {
                    Ok(false) => {}
                    Ok(true) => (begun, rest) = (Some(at), PACE),
                    Err(e) => (begun, rest) = (Some(at), self.failed(&e, &mut signer)),
                }
            }
            if closing {
                return;
            }
        }
    }

    /// True when it is time to end.
    fn wait(&self) -> bool {
        let now = lock(&self.shared.now);
        let waited = self.shared.told.wait_timeout_while(now, LOOK, |now| !now.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// Notes when something was first seen that is not signed.
    fn see(&self, durable: u64, signer: Option<&Signer>) {
        let signed = signer.and_then(Signer::signed).map_or(0, |signed| signed.size);
        let mut now = lock(&self.shared.now);
        if durable > signed && now.unsigned.is_none() {
            now.unsigned = Some(Instant::now());
        }
    }

    /// Signs all of it. False: there was nothing to do.
    fn sign(&self, signer: &mut Option<Signer>, durable: u64) -> Result<bool, SignError> {
        let signer = match signer {
            Some(signer) => signer,
            None => signer.insert(self.open()?),
        };
        let (begun, mut worked) = (Instant::now(), false);
        loop {
            match signer.step(durable)? {
                Did::Idle => break,
                Did::Worked => worked = true,
                Did::Published(new) => {
                    worked = true;
                    self.publish(new, durable);
                }
            }
            if lock(&self.shared.now).closing && begun.elapsed() > LAST_MAX {
                break;
            }
        }
        if lock(&self.shared.now).error.take().is_some() {
            tracing::info!("the log is signed again");
        }
        Ok(worked)
    }

    fn open(&self) -> Result<Signer, SignError> {
        let (data, epoch) = self.options.clone();
        let lock = DataLock::acquire(&data.join("signer"))?;
        let options = Options { data, epoch, lock: Some(lock), witnesses: self.witnesses.clone() };
        Signer::open(Arc::clone(&self.io), Arc::clone(&self.keys), options)
    }

    fn publish(&self, new: Arc<Published>, durable: u64) {
        self.shared.checkpoints.fetch_add(1, Relaxed);
        let mut now = lock(&self.shared.now);
        if new.size == durable
            && let Some(since) = now.unsigned.take()
        {
            self.shared.lags.observe(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        now.newest = Some((Arc::clone(&new), Instant::now()));
        drop(now);
        self.shared.published.send_replace(Some(new));
    }

    /// Says so once, and how long to rest.
    fn failed(&self, e: &SignError, signer: &mut Option<Signer>) -> Duration {
        self.shared.failures.fetch_add(1, Relaxed);
        let why = e.to_string();
        let mut now = lock(&self.shared.now);
        if now.error.as_ref() != Some(&why) {
            tracing::error!("the log is not signed: {why}");
        }
        now.error = Some(why);
        if e.is_refusal() {
            // It looks at all of it anew when it tries again: an operator may have put the files right.
            *signer = None;
            return REFUSED_REST;
        }
        if e.is_over() {
            *signer = None;
        }
        REST
    }
}
