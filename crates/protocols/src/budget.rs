//! Room for large messages over all sessions. A message that must be held whole while it is decided may be large, and one
//! session may hold one; all of them together may not take what the machine has.
//!
//! What counts is what is there, not what a length field promises: a promise costs nothing, and room taken for it would
//! let one client keep it from the others for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// What a session may hold without asking: below it are nearly all messages, and ten thousand sessions with as much are
/// what the other limits allow anyway.
pub const FREE: usize = 64 << 10;

/// Room for so many bytes.
#[derive(Debug)]
pub struct Budget {
    most: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Room for `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, used: AtomicUsize::new(0) })
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Bytes there are.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    fn take(&self, more: usize) -> bool {
        let taken = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.most);
        // Only a sum; nothing is read on its account.
        self.used.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    of: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// No room yet.
    #[must_use]
    pub fn none(of: &Arc<Budget>) -> Self {
        Self { of: Arc::clone(of), bytes: 0 }
    }

    /// Takes more until it is for `bytes`. False when there is no room for that; then it stays as it is.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let taken = more == 0 || self.of.take(more);
        if taken {
            self.bytes = self.bytes.max(bytes);
        }
        taken
    }

    /// Hands out what is more than `bytes`, to be held by itself.
    #[must_use]
    pub fn split_off(&mut self, bytes: usize) -> Self {
        let more = self.bytes.saturating_sub(bytes);
        self.bytes -= more;
        Self { of: Arc::clone(&self.of), bytes: more }
    }

    /// Takes over what another holds of the same room.
    pub fn join(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.of, &other.of), "of the same room");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Gives back what is more than `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.of.used.fetch_sub(less, Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Relaxed);
    }
}

struct Carried {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Carried {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes; the room is given back once they, and all others that carry it, are gone.
#[must_use]
pub fn carry(bytes: Bytes, held: &Arc<Held>) -> Bytes {
    Bytes::from_owner(Carried { bytes, _held: Arc::clone(held) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_as_it_is_needed_and_given_back_with_the_last_byte() {
        let budget = Budget::new(1000);
        let (mut one, mut two) = (Held::none(&budget), Held::none(&budget));
        assert!(one.grow_to(600) && one.grow_to(500) && two.grow_to(400));
        assert!(!two.grow_to(401) && !one.grow_to(usize::MAX));
        assert_eq!(budget.used(), 1000);
        drop(two);
        one.shrink_to(700);
        assert_eq!(budget.used(), 600);
        one.shrink_to(100);
        assert_eq!(budget.used(), 100);
        let other = one.split_off(30);
        assert_eq!((budget.used(), other.bytes), (100, 70));
        one.join(other);
        assert_eq!((budget.used(), one.bytes), (100, 100));
        drop(one.split_off(50));
        assert_eq!(budget.used(), 50);
        assert!(one.grow_to(600));
        let one = Arc::new(one);
        let (a, b) = (carry(Bytes::from_static(b"a"), &one), carry(Bytes::from_static(b"b"), &one));
        drop((one, a));
        assert_eq!((budget.used(), &b[..]), (600, &b"b"[..]));
        drop(b);
        assert_eq!(budget.used(), 0);
    }
}
