//! The machine's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use firsthand_model::time::{MonoMicros, UnixMicros};
use firsthand_session::port::Clock;

/// Wall clock and monotonic clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMicros {
        wall()
    }

    fn mono(&self) -> MonoMicros {
        MonoMicros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

/// The wall clock, for code that runs outside the engine. A clock before 1970 reads as 1970.
#[must_use]
pub fn wall() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
