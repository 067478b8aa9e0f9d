//! Slows down guessing: after a few failures of one login from one address, further tries fail without being looked at.

use std::collections::HashMap;

use firsthand_model::time::MonoMicros;

/// Failures that are forgiven before waiting starts: a typo, an old password in a file.
const FREE_FAILURES: u32 = 5;
/// The first wait; it doubles with every further failure.
const FIRST_WAIT_US: u64 = 1_000_000;
/// The longest wait: long enough against guessing 256-bit tokens, short enough for a person who fixed the mistake.
const LONGEST_WAIT_US: u64 = 30_000_000;
/// Without a failure for this long, all is forgotten.
const FORGET_US: u64 = 600_000_000;
/// Pairs remembered: bounded memory under a flood of names. When full, the oldest are forgotten.
const PAIRS_MAX: usize = 10_000;

#[derive(Debug)]
struct Failures {
    count: u32,
    last: MonoMicros,
    until: MonoMicros,
    told: bool,
}

/// What the limiter says of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// Look at the proof.
    Look,
    /// Refuse without looking. `first`: the first such refusal since the last failure, which is worth recording.
    Wait {
        /// Whether this refusal should be recorded (a flood should not fill the log).
        first: bool,
    },
}

/// Remembers failures by (address, login).
#[derive(Debug, Default)]
pub struct FailureLimiter {
    pairs: HashMap<(String, String), Failures>,
}

impl FailureLimiter {
    /// May this pair try now?
    pub fn check(&mut self, address: &str, login: &str, now: MonoMicros) -> Try {
        let Some(f) = self.pairs.get_mut(&key(address, login)) else { return Try::Look };
        if now.since(f.last) > FORGET_US || now >= f.until {
            return Try::Look;
        }
        let first = !f.told;
        f.told = true;
        Try::Wait { first }
    }

    /// This pair failed.
    pub fn failed(&mut self, address: &str, login: &str, now: MonoMicros) {
        if self.pairs.len() >= PAIRS_MAX {
            self.forget_some(now);
        }
        let f = self.pairs.entry(key(address, login)).or_insert(Failures {
            count: 0,
            last: now,
            until: now,
            told: false,
        });
        f.count = if now.since(f.last) > FORGET_US { 1 } else { f.count.saturating_add(1) };
        f.last = now;
        f.told = false;
        let doublings = f.count.saturating_sub(FREE_FAILURES);
        if doublings > 0 {
            let wait = FIRST_WAIT_US.saturating_mul(1 << (doublings - 1).min(6)).min(LONGEST_WAIT_US);
            f.until = MonoMicros(now.0.saturating_add(wait));
        }
    }

    /// This pair was let in: forget its failures.
    pub fn succeeded(&mut self, address: &str, login: &str) {
        if !self.pairs.is_empty() {
            self.pairs.remove(&key(address, login));
        }
    }

    fn forget_some(&mut self, now: MonoMicros) {
        self.pairs.retain(|_, f| now.since(f.last) <= FORGET_US);
        if self.pairs.len() >= PAIRS_MAX {
            let mut times: Vec<_> = self.pairs.values().map(|f| f.last).collect();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or_default();
            self.pairs.retain(|_, f| f.last > middle);
        }
    }
}

fn key(address: &str, login: &str) -> (String, String) {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    (host.to_owned(), login.chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_down_and_success_forgets() {
        let mut l = FailureLimiter::default();
        let mut now = MonoMicros(1);
        for _ in 0..FREE_FAILURES {
            assert_eq!(l.check("10.0.0.1:5", "bot", now), Try::Look);
            l.failed("10.0.0.1:5", "bot", now);
        }
        assert_eq!(l.check("10.0.0.1:6", "bot", now), Try::Look, "five are forgiven");
        l.failed("10.0.0.1:6", "bot", now);
        assert_eq!(l.check("10.0.0.1:7", "bot", now), Try::Wait { first: true });
        assert_eq!(l.check("10.0.0.1:7", "bot", now), Try::Wait { first: false });
        assert_eq!(l.check("10.0.0.2:7", "bot", now), Try::Look, "another address is another pair");
        now.0 += FIRST_WAIT_US;
        assert_eq!(l.check("10.0.0.1:7", "bot", now), Try::Look);
        l.succeeded("10.0.0.1:7", "bot");
        l.failed("10.0.0.1:7", "bot", now);
        assert_eq!(l.check("10.0.0.1:7", "bot", now), Try::Look);
    }

    #[test]
    fn memory_is_bounded_under_a_flood_of_names() {
        let mut l = FailureLimiter::default();
        for i in 0..(3 * PAIRS_MAX as u64) {
            l.failed("10.0.0.1:5", &format!("bot{i}"), MonoMicros(i));
        }
        assert!(l.pairs.len() <= PAIRS_MAX);
    }
}
