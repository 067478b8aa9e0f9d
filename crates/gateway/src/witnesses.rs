//! Asking the witnesses: each published checkpoint is sent to all of them, their cosignatures are verified, and once enough have
//! cosigned, the note with their lines is kept and served.
//!
//! It happens in rounds, one for a checkpoint, so that the cosignatures of all stand under the same one: a round is over when
//! enough have cosigned, or all have answered somehow; then the newest checkpoint is the next one. Who is slow is waited for only as
//! long as it is needed. Nothing here is on the signer's way: it says what it has published, and waits for nobody.

mod ask;
mod round;
mod standing;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use firsthand_auditlog::durations::Durations;
use firsthand_auditlog::sign::Published;

use crate::assemble::Gateway;
use crate::config::{WitnessSpec, WitnessSpecs};
pub(crate) use standing::Each;

/// What is published for so long and not cosigned by enough makes the gateway not ready.
const LATE: Duration = Duration::from_secs(60);
/// Checkpoints of which is remembered since when they wait; where more do, the newest share one time.
const WAITING_MAX: usize = 256;

/// A checkpoint that enough have cosigned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cosigned {
    pub(crate) epoch: u64,
    pub(crate) size: u64,
    /// The note with all cosignatures that there are.
    pub(crate) note: String,
}

/// The witnesses of a gateway.
pub(crate) struct Witnesses {
    specs: WitnessSpecs,
    now: Mutex<Now>,
    /// From when a checkpoint was published until enough had cosigned it.
    lags: Durations,
}

#[derive(Default)]
struct Now {
    /// Published and not cosigned by enough: sizes, and since when; the oldest first.
    waiting: VecDeque<(u64, Instant)>,
    newest: u64,
    cosigned: Option<(Arc<Cosigned>, Instant)>,
    each: Vec<One>,
}

/// What is known of one witness.
#[derive(Clone, Default)]
struct One {
    /// Entries that it has cosigned, and when it said so.
    cosigned: Option<(u64, Instant)>,
    /// Why the last try failed.
    error: Option<String>,
    /// It has seen another history, or more of this one.
    refuses: bool,
    asked: u64,
    failed: u64,
}

impl Witnesses {
    /// Nobody is asked yet.
    pub(crate) fn new(specs: WitnessSpecs) -> Self {
        let now = Now { each: vec![One::default(); specs.all.len()], ..Now::default() };
        Self { specs, now: Mutex::new(now), lags: Durations::default() }
    }

    /// Whether there are any.
    pub(crate) fn are_any(&self) -> bool {
        !self.specs.all.is_empty()
    }

    /// The newest checkpoint that enough have cosigned, of this epoch.
    pub(crate) fn cosigned(&self, epoch: u64) -> Option<Arc<Cosigned>> {
        let now = self.lock();
        let newest = now.cosigned.as_ref().map(|(newest, _)| Arc::clone(newest));
        newest.filter(|newest| newest.epoch == epoch)
    }

    /// From published to cosigned by enough.
    pub(crate) fn lags(&self) -> &Durations {
        &self.lags
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spec(&self, at: usize) -> Option<&WitnessSpec> {
        self.specs.all.get(at)
    }

    /// This is the newest checkpoint: it waits from now on.
    fn see(&self, published: &Published) {
        let mut now = self.lock();
        let covered = now.cosigned.as_ref().is_some_and(|(cosigned, _)| cosigned.size >= published.size);
        if published.size > now.newest && !covered && now.waiting.len() < WAITING_MAX {
            now.waiting.push_back((published.size, Instant::now()));
        }
        now.newest = now.newest.max(published.size);
    }

    /// Enough have cosigned it.
    fn reached(&self, cosigned: Cosigned) {
        let mut now = self.lock();
        while let Some((_, since)) = now.waiting.pop_front_if(|(size, _)| *size <= cosigned.size) {
            self.lags.observe(u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        if now.waiting.is_empty() && now.newest > cosigned.size {
            let newest = now.newest;
            now.waiting.push_back((newest, Instant::now()));
        }
        now.cosigned = Some((Arc::new(cosigned), Instant::now()));
    }

    fn update(&self, at: usize, change: impl FnOnce(&mut One)) {
        if let Some(one) = self.lock().each.get_mut(at) {
            change(one);
        }
    }
}

/// Asks as long as the gateway runs.
pub(crate) async fn keep_asking(gateway: Arc<Gateway>) {
    if gateway.witnesses.are_any() {
        round::Work::new(gateway).await.run().await;
    }
}
