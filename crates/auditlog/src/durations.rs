//! How long something took, counted into fixed classes: what a metrics page needs for a histogram, at the cost of two
//! atomic additions.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Upper ends of the classes in µs: from below what a fast disk needs for an fdatasync to beyond what any request waits for;
/// roughly 1, 2, 5 in each decade.
pub const UPPER_US: [u64; 17] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// Durations counted.
#[derive(Debug, Default)]
pub struct Durations {
    /// One per class, and one for what took longer than all of them.
    counts: [AtomicU64; UPPER_US.len() + 1],
    sum_us: AtomicU64,
}

impl Durations {
    /// Counts one that took so many µs.
    pub fn observe(&self, us: u64) {
        let class = UPPER_US.partition_point(|upper| *upper < us);
        if let Some(count) = self.counts.get(class) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// How many there are in each class, with its upper end in µs; the last has none. Not added up.
    pub fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let uppers = UPPER_US.iter().map(|upper| Some(*upper)).chain([None]);
        uppers.zip(self.counts.iter().map(|count| count.load(Relaxed)))
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// All of them together, in µs.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_class_that_it_does_not_pass() {
        let durations = Durations::default();
        for us in [0, 50, 51, 1_000, 9_999_999, 10_000_000, 10_000_001, 1 << 40] {
            durations.observe(us);
        }
        let found: Vec<_> = durations.classes().filter(|(_, n)| *n > 0).collect();
        assert_eq!(
            found,
            [(Some(50), 2), (Some(100), 1), (Some(1_000), 1), (Some(10_000_000), 2), (None, 2)]
        );
        assert_eq!((durations.count(), durations.sum_us()), (8, 30_001_101 + (1 << 40)));
        assert!(UPPER_US.is_sorted());
    }
}
