//! Ends the waiting of a held command from outside: the client cancelled it or has left, or the gateway stops.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};

/// Why the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The client cancelled.
    Cancelled,
    /// The client left.
    ClientLeft,
    /// The gateway stops.
    Draining,
}

#[derive(Debug, Default)]
struct Slot {
    waiting: Option<Waker>,
    broken: Option<Broken>,
}

/// One per session. Breaking when nothing waits does nothing: a late cancel must not hit the next command.
#[derive(Debug, Default)]
pub struct HoldBreaker(Mutex<Slot>);

impl HoldBreaker {
    /// Breaks the wait that is on. False when none is.
    pub fn break_now(&self, why: Broken) -> bool {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = slot.waiting.take() {
            slot.broken = Some(why);
            waker.wake();
            return true;
        }
        false
    }

    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_some()
    }

    /// Runs `future` unless the wait is broken first. Cancel-safe.
    pub(crate) async fn unless_broken<T>(&self, future: impl Future<Output = T>) -> Result<T, Broken> {
        let mut future = pin!(future);
        let result = poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(why) = slot.broken.take() {
                return Poll::Ready(Err(why));
            }
            slot.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (slot.waiting, slot.broken) = (None, None);
        result
    }
}
