//! What waits for one channel, and when it is tried.

use std::collections::BTreeMap;
use std::time::Duration;

use firsthand_adapters::channels::Occasion;
use tokio::time::Instant;

/// How long is waited after each try that failed: some minutes in all, because an approval waits no longer than that.
const AGAIN: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(300),
];

/// Something that a channel is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Of what.
    pub(crate) occasion: Occasion,
    /// Of which approval.
    pub(crate) approval: String,
    /// People who have approved it by then.
    pub(crate) given: u64,
    /// The message's id, the same over all tries.
    pub(crate) message: String,
    /// How often it was tried.
    pub(crate) tries: u32,
}

/// What waits, by when it is due, and what came first first.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<(Instant, u64), Delivery>,
    next: u64,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the first is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    /// Takes the first.
    pub(crate) fn take(&mut self) -> Option<Delivery> {
        self.waiting.pop_first().map(|(_, delivery)| delivery)
    }

    /// To be tried now; behind what waits of the same approval, so that nobody hears of its end before its beginning.
    pub(crate) fn add(&mut self, delivery: Delivery, now: Instant) {
        let before = self.waiting.iter().filter(|(_, other)| other.approval == delivery.approval);
        let due = before.map(|((due, _), _)| *due).max().unwrap_or(now);
        self.insert(due, delivery);
    }

    /// To be tried again, and what waits of the same approval behind it. False: it was tried as often as it is.
    pub(crate) fn again(&mut self, delivery: Delivery, now: Instant) -> bool {
        let tried = usize::try_from(delivery.tries).unwrap_or(usize::MAX);
        let Some(pause) = tried.checked_sub(1).and_then(|n| AGAIN.get(n)) else { return false };
        let due = now + *pause;
        let of_it = |other: &Delivery| other.approval == delivery.approval;
        let behind: Vec<_> =
            self.waiting.iter().filter(|(_, other)| of_it(other)).map(|(at, _)| *at).collect();
        let behind: Vec<_> = behind.iter().filter_map(|at| Some((at.0, self.waiting.remove(at)?))).collect();
        self.insert(due, delivery);
        for (at, other) in behind {
            self.insert(at.max(due), other);
        }
        true
    }

    fn insert(&mut self, due: Instant, delivery: Delivery) {
        self.waiting.insert((due, self.next), delivery);
        self.next += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(approval: &str, occasion: Occasion, tries: u32) -> Delivery {
        Delivery { occasion, approval: approval.to_owned(), given: 0, message: String::new(), tries }
    }

    #[test]
    fn what_failed_is_tried_again_and_nothing_of_its_approval_overtakes_it() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(one("a", Occasion::Asked, 0), now);
        queue.add(one("b", Occasion::Asked, 0), now);
        queue.add(one("a", Occasion::Given, 0), now);
        assert_eq!(queue.take(), Some(one("a", Occasion::Asked, 0)));
        assert!(queue.again(one("a", Occasion::Asked, 1), now));
        queue.add(one("a", Occasion::Spent, 0), now);
        assert_eq!(queue.take(), Some(one("b", Occasion::Asked, 0)), "others do not wait for it");
        assert_eq!(queue.due(), Some(now + AGAIN[0]));
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).map(|d| d.occasion).collect();
        assert_eq!(order, [Occasion::Asked, Occasion::Given, Occasion::Spent]);
    }

    #[test]
    fn it_is_not_tried_without_end() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let tries = (1..).take_while(|n| queue.again(one("a", Occasion::Asked, *n), now));
        assert_eq!(tries.count(), AGAIN.len());
        assert_eq!(queue.len(), AGAIN.len());
    }
}
