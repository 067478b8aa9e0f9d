//! What takes long and much memory (reading a large text) is done apart from the sessions' loops, and only so much of it
//! at a time in the whole process. Parsing takes hundreds of times its text, so what counts is the bytes of text under
//! way. Small texts have a lane of their own, so that nobody's few KiB wait behind somebody's megabytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use crate::dialect::{Crowded, Thinking, Thought};

/// Bytes from which a text takes the lane of large ones.
const LARGE_FROM: usize = 64 << 10;
/// Bytes of smaller texts read at a time: at least four of them.
pub const SMALL_AT_ONCE: usize = 256 << 10;
/// Bytes of large texts read at a time: one of the longest that is parsed, or several shorter ones. Its memory is the
/// most that reading takes, however many sessions ask.
pub const LARGE_AT_ONCE: usize = firsthand_sql::TEXT_BYTES_MAX;
/// How long a text waits for its turn: a client waits as long for an answer; beyond it, it is told to come again.
pub const TURN_WAIT: Duration = Duration::from_secs(20);

/// The lanes, for all sessions.
#[derive(Debug)]
pub struct Thinkers {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    wait: Duration,
}

impl Default for Thinkers {
    fn default() -> Self {
        Self::waiting(TURN_WAIT)
    }
}

impl Thinkers {
    fn waiting(wait: Duration) -> Self {
        let lane = |bytes| Arc::new(Semaphore::new(bytes));
        Self { small: lane(SMALL_AT_ONCE), large: lane(LARGE_AT_ONCE), wait }
    }

    /// Does it when its turn comes. Inside a runtime only.
    pub(super) fn start(&self, thinking: Thinking) -> Pondering {
        let Thinking { bytes, work } = thinking;
        let (lane, most) = match bytes {
            ..LARGE_FROM => (&self.small, SMALL_AT_ONCE),
            _ => (&self.large, LARGE_AT_ONCE),
        };
        let weight = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        let turn = tokio::time::timeout(self.wait, Arc::clone(lane).acquire_many_owned(weight));
        Pondering(tokio::spawn(async move {
            let Ok(Ok(turn)) = turn.await else { return Box::new(Crowded) as Thought };
            // The turn ends with the work, also when nobody waits for it any more.
            let working = tokio::task::spawn_blocking(move || {
                let thought = work();
                drop(turn);
                thought
            });
            match working.await.map_err(JoinError::try_into_panic) {
                Ok(thought) => thought,
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(_)) => Box::new(Crowded),
            }
        }))
    }
}

/// Something that is being read, or waits for its turn. Dropped, it gives its place up.
pub(super) struct Pondering(JoinHandle<Thought>);

impl Future for Pondering {
    type Output = Result<Thought, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Drop for Pondering {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;

    use super::*;

    fn thinking(bytes: usize, work: impl FnOnce() + Send + 'static) -> Thinking {
        let work = move || {
            work();
            Box::new(()) as Thought
        };
        Thinking { bytes, work: Box::new(work) }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn only_so_many_bytes_are_read_at_a_time() {
        runtime().block_on(async {
            let thinkers = Thinkers::default();
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let all: Vec<_> = (0..40)
                .map(|n| {
                    let bytes = LARGE_AT_ONCE / [1, 2, 4, 3][n % 4];
                    let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                    thinkers.start(thinking(bytes, move || {
                        most.fetch_max(now.fetch_add(bytes, SeqCst) + bytes, SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(bytes, SeqCst);
                    }))
                })
                .collect();
            for one in all {
                assert!(one.await.unwrap().is::<()>());
            }
            assert!(most.load(SeqCst) <= LARGE_AT_ONCE, "{most:?}");
        });
    }

    #[test]
    fn who_waits_too_long_is_told_and_small_texts_do_not_wait_for_large_ones() {
        runtime().block_on(async {
            let thinkers = Thinkers::waiting(Duration::from_millis(20));
            let (free, blocked) = mpsc::channel::<()>();
            let (begin, begun) = mpsc::channel();
            let first = thinkers.start(thinking(usize::MAX, move || {
                begin.send(()).unwrap();
                let _ = blocked.recv();
            }));
            tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
            let second = thinkers.start(thinking(LARGE_AT_ONCE, || {})).await.unwrap();
            assert!(second.is::<Crowded>());
            assert!(thinkers.start(thinking(LARGE_FROM - 1, || {})).await.unwrap().is::<()>());
            // Nobody waits for it any more: its turn ends with it, not before.
            drop(first);
            assert!(thinkers.start(thinking(LARGE_AT_ONCE, || {})).await.unwrap().is::<Crowded>());
            free.send(()).unwrap();
            let patient = Thinkers { wait: TURN_WAIT, ..thinkers };
            assert!(patient.start(thinking(LARGE_AT_ONCE, || {})).await.unwrap().is::<()>());
        });
    }

    #[test]
    fn a_panic_reaches_who_asked_and_ends_the_turn() {
        runtime().block_on(async {
            let thinkers = Thinkers::default();
            let broken = thinkers.start(thinking(LARGE_AT_ONCE, || panic!("broken"))).await;
            assert!(broken.is_err_and(|e| e.is_panic()));
            assert!(thinkers.start(thinking(LARGE_AT_ONCE, || {})).await.is_ok());
        });
    }
}
