//! Slows down guessing: after a few failures of one login from one address, further tries fail without being looked at;
//! and so they do after many failures of one address, whatever the logins.

use std::collections::HashMap;
use std::net::IpAddr;

use firsthand_model::time::MonoMicros;

use crate::refused::place;

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
/// Failures of one address, whatever the logins, that are looked at without a wait. Many clients can stand behind one
/// address, and each that fails is slowed down as a pair long before they come to this together.
const ADDRESS_FREE_FAILURES: u64 = 100;
/// One more is looked at each time that this has passed.
const ADDRESS_REST_US: u64 = 1_000_000;
/// Addresses remembered, with failures or with logins that were let in. When full, the oldest are forgotten.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug)]
struct Failures {
    count: u32,
    last: MonoMicros,
    until: MonoMicros,
    told: bool,
}

/// The failures of an address, by the one number that they come to.
#[derive(Debug)]
struct OfAddress {
    /// When all of them are forgotten: each puts it off by [`ADDRESS_REST_US`].
    forgotten: MonoMicros,
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

type Pair = (Option<IpAddr>, String);

/// Remembers failures by (address, login), and by address.
#[derive(Debug, Default)]
pub struct FailureLimiter {
    pairs: HashMap<Pair, Failures>,
    addresses: HashMap<Option<IpAddr>, OfAddress>,
    /// Pairs that were let in: they do not wait for what others behind the same address do.
    let_in: HashMap<Pair, MonoMicros>,
}

impl FailureLimiter {
    /// May this pair try now?
    pub fn check(&mut self, address: &str, login: &str, now: MonoMicros) -> Try {
        let pair = pair(address, login);
        if let Some(f) = self.pairs.get_mut(&pair)
            && now.since(f.last) <= FORGET_US
            && now < f.until
        {
            return Try::Wait { first: !std::mem::replace(&mut f.told, true) };
        }
        if let Some(f) = self.addresses.get_mut(&pair.0)
            && f.forgotten.since(now) > (ADDRESS_FREE_FAILURES - 1) * ADDRESS_REST_US
            && !self.let_in.contains_key(&pair)
        {
            return Try::Wait { first: !std::mem::replace(&mut f.told, true) };
        }
        Try::Look
    }

    /// This pair failed.
    pub fn failed(&mut self, address: &str, login: &str, now: MonoMicros) {
        let pair = pair(address, login);
        self.address_failed(pair.0, now);
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.retain(|_, f| now.since(f.last) <= FORGET_US);
            forget_half(&mut self.pairs, PAIRS_MAX, |f| f.last);
        }
        let f = self.pairs.entry(pair).or_insert(Failures { count: 0, last: now, until: now, told: false });
        f.count = if now.since(f.last) > FORGET_US { 1 } else { f.count.saturating_add(1) };
        f.last = now;
        f.told = false;
        let doublings = f.count.saturating_sub(FREE_FAILURES);
        if doublings > 0 {
            let wait = FIRST_WAIT_US.saturating_mul(1 << (doublings - 1).min(6)).min(LONGEST_WAIT_US);
            f.until = MonoMicros(now.0.saturating_add(wait));
        }
    }

    fn address_failed(&mut self, address: Option<IpAddr>, now: MonoMicros) {
        if self.addresses.len() >= ADDRESSES_MAX {
            self.addresses.retain(|_, f| f.forgotten > now);
            forget_half(&mut self.addresses, ADDRESSES_MAX, |f| f.forgotten);
        }
        let f = self.addresses.entry(address).or_insert(OfAddress { forgotten: now, told: false });
        f.forgotten = MonoMicros(f.forgotten.max(now).0.saturating_add(ADDRESS_REST_US));
        f.told = false;
    }

    /// This pair was let in: forget its failures. Those of its address stay: who holds one token must not be able to
    /// guess others for ever.
    pub fn succeeded(&mut self, address: &str, login: &str, now: MonoMicros) {
        let pair = pair(address, login);
        self.pairs.remove(&pair);
        forget_half(&mut self.let_in, ADDRESSES_MAX, |at| *at);
        self.let_in.insert(pair, now);
    }
}

/// Forgets the older half of a map that is full.
fn forget_half<K: std::hash::Hash + Eq, V>(
    map: &mut HashMap<K, V>,
    most: usize,
    time: impl Fn(&V) -> MonoMicros,
) {
    if map.len() >= most {
        let mut times: Vec<_> = map.values().map(&time).collect();
        times.sort_unstable();
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        map.retain(|_, v| time(v) > middle);
    }
}

fn pair(address: &str, login: &str) -> Pair {
    (place(address), login.chars().take(64).collect())
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
        l.succeeded("10.0.0.1:7", "bot", now);
        l.failed("10.0.0.1:7", "bot", now);
        assert_eq!(l.check("10.0.0.1:7", "bot", now), Try::Look);
    }

    #[test]
    fn an_address_that_fails_with_many_logins_waits_and_who_was_let_in_there_does_not() {
        let mut l = FailureLimiter::default();
        let start = MonoMicros(5_000_000);
        l.succeeded("10.0.0.1:5", "known", start);
        for i in 0..ADDRESS_FREE_FAILURES {
            assert_eq!(l.check("10.0.0.1:5", &format!("bot{i}"), start), Try::Look, "{i}");
            l.failed("10.0.0.1:5", &format!("bot{i}"), start);
        }
        assert_eq!(l.check("10.0.0.1:5", "other", start), Try::Wait { first: true });
        assert_eq!(l.check("10.0.0.1:6", "another", start), Try::Wait { first: false });
        assert_eq!(l.check("10.0.0.2:6", "another", start), Try::Look, "another address");
        assert_eq!(l.check("10.0.0.1:6", "known", start), Try::Look, "it was let in from there");
        let later = MonoMicros(start.0 + ADDRESS_REST_US);
        assert_eq!(l.check("10.0.0.1:6", "another", later), Try::Look);
        l.failed("10.0.0.1:6", "another", later);
        assert_eq!(l.check("10.0.0.1:6", "yet another", later), Try::Wait { first: true });
        let much_later = MonoMicros(later.0 + ADDRESS_FREE_FAILURES * ADDRESS_REST_US);
        for i in 0..ADDRESS_FREE_FAILURES {
            assert_eq!(l.check("10.0.0.1:5", &format!("new{i}"), much_later), Try::Look, "all was forgotten");
            l.failed("10.0.0.1:5", &format!("new{i}"), much_later);
        }
    }

    #[test]
    fn memory_is_bounded_under_a_flood_of_names() {
        let mut l = FailureLimiter::default();
        for i in 0..(3 * PAIRS_MAX as u32) {
            let address = std::net::Ipv4Addr::from_bits(i).to_string();
            l.failed(&address, &format!("bot{i}"), MonoMicros(u64::from(i)));
            l.succeeded(&address, &format!("someone{i}"), MonoMicros(u64::from(i)));
            assert!(l.pairs.len() <= PAIRS_MAX && l.addresses.len() <= ADDRESSES_MAX);
            assert!(l.let_in.len() <= ADDRESSES_MAX);
        }
    }
}
