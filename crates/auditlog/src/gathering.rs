//! How the writer gathers those who wait for the disk, so that one fdatasync serves many of them.
//!
//! Clients that ask, wait for the answer and ask again come back together after a write has served them. Held back a
//! little, the next write serves them all again; written at once, it serves the first that came and the others need
//! another. Where they do not come back in time, holding back helps nobody, and is tried more and more seldom.

use std::time::Duration;

/// How long after a write the writer at most holds the next one back for as many waiters as that one served: those it has
/// just woken soon wait again, and one fdatasync for all of them costs a fraction of one for each. It is four
/// times as long as the fdatasync took, within these bounds, in µs: clients that come back at once do so sooner, and
/// where they do not, [`Gathering`] gives up trying. Who waits alone is not held back at all.
const COMPANIONS: std::ops::RangeInclusive<u64> = 200..=2000;
/// After waiting in vain for companions the writer does without for so many writes, doubled each time up to this.
const MISSES_MAX: u32 = 6;

/// For how many waiters the next write is held back, and until when: one fdatasync for many instead of one for each.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    expected: usize,
    until_us: u64,
    /// How often in a row the expected did not come.
    misses: u32,
    /// Writes to come before it is tried again.
    rest: u32,
}

impl Gathering {
    /// A write has served so many, while so many more began to wait.
    pub(crate) fn served(&mut self, served: usize, waiting: usize, now: u64, took_us: u64) {
        self.expected = if self.rest == 0 { served + waiting } else { 1 };
        self.rest = self.rest.saturating_sub(1);
        self.until_us = now + (4 * took_us).clamp(*COMPANIONS.start(), *COMPANIONS.end());
    }

    /// Whether as many wait as are expected.
    pub(crate) fn is_complete(&self, waiting: usize) -> bool {
        waiting >= self.expected
    }

    /// Whether those who wait are to be served now.
    pub(crate) fn is_over(&mut self, waiting: usize, now: u64) -> bool {
        let complete = self.is_complete(waiting);
        if !complete && now < self.until_us {
            return false;
        }
        if self.expected > 1 {
            self.misses = if complete { 0 } else { (self.misses + 1).min(MISSES_MAX) };
            self.rest = if complete { 0 } else { 1 << self.misses };
        }
        self.expected = 0;
        true
    }

    /// How long the writer may still sleep for their sake.
    pub(crate) fn left(&self, now: u64) -> Option<Duration> {
        (self.expected > 1 && now < self.until_us).then(|| Duration::from_micros(self.until_us - now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_alone_is_not_held_back() {
        let mut gathering = Gathering::default();
        assert!(gathering.is_over(1, 0));
        gathering.served(1, 0, 1000, 100);
        assert_eq!(gathering.left(1000), None);
        assert!(gathering.is_over(1, 1000));
    }

    #[test]
    fn those_just_served_are_waited_for_and_no_longer_than_that() {
        let mut gathering = Gathering::default();
        gathering.served(3, 1, 1000, 100);
        assert!(!gathering.is_complete(3) && gathering.is_complete(4));
        assert!(!gathering.is_over(3, 1399));
        assert_eq!(gathering.left(1399), Some(Duration::from_micros(1)));
        assert!(gathering.is_over(4, 1399));
        gathering.served(4, 0, 2000, 100);
        assert!(gathering.is_over(3, 2400), "the time is over");
    }

    #[test]
    fn a_slow_disk_holds_nobody_back_beyond_the_limit() {
        let mut gathering = Gathering::default();
        gathering.served(8, 0, 0, 1_000_000);
        assert!(!gathering.is_over(1, COMPANIONS.end() - 1));
        assert!(gathering.is_over(1, *COMPANIONS.end()));
    }

    #[test]
    fn waiting_in_vain_is_tried_ever_more_seldom_and_success_forgets_that() {
        let mut gathering = Gathering::default();
        let (mut now, mut held) = (0, 0);
        for _ in 0..1000 {
            gathering.served(2, 0, now, 100);
            held += u32::from(!gathering.is_over(1, now + 1));
            now += 10_000;
            gathering.is_over(1, now);
        }
        assert!((6..40).contains(&held), "held back {held} times of 1000");
        while gathering.rest > 0 {
            gathering.served(2, 0, now, 100);
        }
        gathering.served(2, 0, now, 100);
        assert!(gathering.is_over(2, now));
        gathering.served(2, 0, now, 100);
        assert!(!gathering.is_over(1, now));
    }
}
