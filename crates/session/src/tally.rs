//! Counts of what the engine did, for the metrics page. Passed explicitly; never global.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counters that only grow, and two gauges. Read by the metrics page.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sessions opened.
    pub sessions_opened: AtomicU64,
    /// Sessions closed.
    pub sessions_closed: AtomicU64,
    /// Connections that were not admitted.
    pub admissions_refused: AtomicU64,
    /// Connections that gave way before they were let in, because too many were half open.
    pub connections_dropped: AtomicU64,
    /// Commands permitted.
    pub commands_permitted: AtomicU64,
    /// Commands refused.
    pub commands_refused: AtomicU64,
    /// Commands whose target answered with an error.
    pub commands_failed: AtomicU64,
    /// Commands abandoned.
    pub commands_abandoned: AtomicU64,
    /// Sessions that were ended because a command that was judged a read would have written.
    pub tripwires: AtomicU64,
    /// Rows delivered.
    pub rows: AtomicU64,
    /// Bytes of rows delivered.
    pub bytes: AtomicU64,
    /// Databases whose changes are read.
    following: Mutex<BTreeMap<(String, String), Following>>,
}

/// How the reading of a database's changes stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// They are read; false: something is in the way.
    pub reading: bool,
    /// Bytes of its own log that the target keeps for it.
    pub lag: Option<u64>,
    /// Transactions that are named and not told yet.
    pub pending: u64,
}

impl Tally {
    /// How the reading of the changes of this target's database stands now.
    pub fn following(&self, of: (String, String), now: Following) {
        self.following.lock().unwrap_or_else(PoisonError::into_inner).insert(of, now);
    }

    /// All of them.
    pub fn followed(&self) -> Vec<((String, String), Following)> {
        let all = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(of, now)| (of.clone(), *now)).collect()
    }

    /// One more.
    pub fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// That many more.
    pub fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Relaxed);
        }
    }
}
