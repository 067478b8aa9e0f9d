//! Time as data: the clock itself is a port of the engine.

/// A wall-clock moment: microseconds since 1970-01-01T00:00:00Z (no leap seconds, as POSIX counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UnixMicros(pub u64);

/// A monotonic moment: microseconds since the process started. Never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MonoMicros(pub u64);

impl MonoMicros {
    /// Microseconds from `earlier` to `self`; 0 when `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
