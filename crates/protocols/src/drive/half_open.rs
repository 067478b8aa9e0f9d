//! Connections that have not been let in yet: bounded, the oldest gives way. One entry for each that does would let a flood
//! fill the log; so they are summed up, and each sum is an entry.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firsthand_model::time::MonoMicros;
use tokio::sync::oneshot;

/// How often it is told that connections gave way: soon enough for who watches, and a flood of a day is 8,640 entries.
pub(super) const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Addresses named in one sum: what a person reads. The others are counted.
const ADDRESSES_MAX: usize = 16;

/// Connections that have not been let in yet: dropping the sender of one ends it.
#[derive(Default)]
pub struct HalfOpen(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Waiter>,
    dropped: Dropped,
}

struct Waiter {
    number: u64,
    address: IpAddr,
    _keep: oneshot::Sender<()>,
}

/// What gave way since it was last told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dropped {
    count: u64,
    since: MonoMicros,
    addresses: BTreeMap<IpAddr, u64>,
    /// From addresses beyond [`ADDRESSES_MAX`].
    others: u64,
}

impl Dropped {
    fn add(&mut self, address: IpAddr, now: MonoMicros) {
        if self.count == 0 {
            self.since = now;
        }
        self.count += 1;
        if let Some(count) = self.addresses.get_mut(&address) {
            *count += 1;
        } else if self.addresses.len() < ADDRESSES_MAX {
            self.addresses.insert(address, 1);
        } else {
            self.others += 1;
        }
    }

    fn words(&self, max: usize, now: MonoMicros) -> String {
        let seconds = now.since(self.since).div_ceil(1_000_000);
        let mut words = format!(
            "{} connections that were not let in yet gave way to newer ones within {seconds} s (limits.handshakes is {max}); from",
            self.count
        );
        for (address, count) in &self.addresses {
            let _ = write!(words, " {address} ({count}),");
        }
        if self.others > 0 {
            let _ = write!(words, " other addresses ({}),", self.others);
        }
        words.pop();
        words
    }
}

impl HalfOpen {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.waiting().queue.len()
    }

    /// One more; at most `max` stay. What is returned resolves when it has to give way.
    pub(super) fn enter(
        &self,
        number: u64,
        address: IpAddr,
        max: usize,
        now: MonoMicros,
    ) -> oneshot::Receiver<()> {
        let (keep, dropped) = oneshot::channel();
        let mut waiting = self.waiting();
        while waiting.queue.len() >= max.max(1) {
            // The oldest has had the most time: whoever means it is through in milliseconds.
            if let Some(oldest) = waiting.queue.pop_front() {
                waiting.dropped.add(oldest.address, now);
            }
        }
        waiting.queue.push_back(Waiter { number, address, _keep: keep });
        dropped
    }

    /// That one is let in, or gone.
    pub(super) fn leave(&self, number: u64) {
        self.waiting().queue.retain(|waiter| waiter.number != number);
    }

    /// Ends all of them.
    pub(super) fn clear(&self) {
        self.waiting().queue.clear();
    }

    /// How many gave way since this was last asked, and in words for the record; `None`: none did.
    pub(super) fn take_dropped(&self, max: usize, now: MonoMicros) -> Option<(u64, String)> {
        let dropped = std::mem::take(&mut self.waiting().dropped);
        (dropped.count > 0).then(|| (dropped.count, dropped.words(max, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_sum_with_its_addresses() {
        let half_open = HalfOpen::default();
        let mut kept = Vec::new();
        let at = |n: u64| MonoMicros(1_000_000 + n);
        for n in 0..1_000 {
            let address = IpAddr::from([10, 0, 0, (n % 40) as u8]);
            kept.push(half_open.enter(n, address, 10, at(n)));
        }
        assert_eq!(half_open.count(), 10);
        let ended =
            |kept: &mut oneshot::Receiver<()>| kept.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        let gave_way = kept.iter_mut().map(ended).filter(|ended| *ended).count();
        let (count, words) = half_open.take_dropped(10, at(2_500_000)).unwrap();
        assert_eq!((gave_way, count), (990, 990));
        assert!(
            words.starts_with("990 connections") && words.contains("within 3 s (limits.handshakes is 10)"),
            "{words}"
        );
        assert!(words.contains("from 10.0.0.0 (25), 10.0.0.1 (25),"), "{words}");
        assert!(words.ends_with("10.0.0.15 (25), other addresses (590)"), "{words}");
        assert_eq!(half_open.take_dropped(10, at(0)), None);
        half_open.leave(999);
        assert_eq!(half_open.count(), 9);
    }
}
