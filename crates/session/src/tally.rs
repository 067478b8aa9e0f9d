//! Counts of what the engine did, for the metrics page. Passed explicitly; never global.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
}

impl Tally {
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
