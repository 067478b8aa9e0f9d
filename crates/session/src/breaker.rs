//! Ends the waiting of a held command from outside: the client cancelled it or has left, or the gateway stops. And what a cancel
//! request may do.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use firsthand_model::event::{Event, SessionNoted};
use firsthand_model::json::{Json, Object};
use firsthand_model::session::SessionFacts;

use crate::admission::Engine;
use crate::port::Need;

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

/// Reaches a session's held command from the connection that carries the cancel request.
#[derive(Clone)]
pub struct Canceller {
    pub(crate) engine: Arc<Engine>,
    pub(crate) facts: Arc<SessionFacts>,
    pub(crate) breaker: Arc<HoldBreaker>,
}

impl Canceller {
    /// Records the request and breaks the hold, if a command is held. True when one was: then the target has nothing to
    /// cancel.
    pub fn cancel(&self, from: &str) -> bool {
        let held = self.breaker.break_now(Broken::Cancelled);
        let mut detail = Vec::new();
        let mut o = Object::open(&mut detail);
        o.string("from", from);
        o.boolean("held", held);
        o.close();
        let (facts, detail) = (Arc::clone(&self.facts), Json::from_written(detail));
        let event = Event::SessionNoted(Box::new(SessionNoted { facts, what: "cancel", detail }));
        // A cancel is a request to do less: it goes on even when the log cannot say so.
        let _ = self.engine.recorder.append(event, Need::Fact);
        held
    }
}
