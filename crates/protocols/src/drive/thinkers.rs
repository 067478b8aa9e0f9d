//! What takes long and much memory (reading a large text) is done apart from the sessions' loops, and only so much of it
//! at a time in the whole process. Parsing takes up to thousands of times its text, so each work says or finds out what it may cost.
//!
//! The threads are few and live as long as this, because an allocator keeps what a thread once had for that thread: work
//! that wandered over many threads would leave its largest on each. Small works have threads of their own, so that nobody's
//! few KiB wait behind somebody's megabytes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::dialect::{Crowded, Looking, Thinking, Thought, Work, Worked};

/// Large works done at a time. One: its memory (`firsthand_sql::PARSE_BYTES_MAX`) is nearly all that reading takes, however
/// many sessions ask.
pub const LARGE_AT_ONCE: usize = 1;
/// Other works done at a time.
pub const OTHERS_AT_ONCE: usize = 2;
/// How long a work waits for its turn: a client waits as long for an answer; beyond it, it is told to come again.
pub const TURN_WAIT: Duration = Duration::from_secs(20);

/// The threads, for all sessions.
#[derive(Debug)]
pub struct Thinkers {
    others: Lane,
    large: Lane,
    wait: Duration,
}

impl Default for Thinkers {
    fn default() -> Self {
        Self::waiting(TURN_WAIT)
    }
}

impl Thinkers {
    fn waiting(wait: Duration) -> Self {
        Self { others: Lane::of(OTHERS_AT_ONCE), large: Lane::of(LARGE_AT_ONCE), wait }
    }

    /// Does it when its turn comes. Inside a runtime only.
    pub(super) fn start(&self, thinking: Thinking) -> Pondering {
        let Thinking { large, mut work } = thinking;
        let mut lane = if large { self.large.clone() } else { self.others.clone() };
        let (larger, until) = (self.large.clone(), Instant::now() + self.wait);
        Pondering(tokio::spawn(async move {
            loop {
                match lane.done(work, until).await {
                    Some(Worked::Done(thought)) => return thought,
                    Some(Worked::Large(rest)) => (lane, work) = (larger.clone(), rest),
                    None => return Box::new(Crowded) as Thought,
                }
            }
        }))
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take from one queue; there are as many turns as threads.
#[derive(Clone, Debug)]
struct Lane {
    turns: Arc<Semaphore>,
    give: Sender<Job>,
}

impl Lane {
    fn of(threads: usize) -> Self {
        let (give, take) = channel::<Job>();
        let take = Arc::new(Mutex::new(take));
        for _ in 0..threads {
            let take = Arc::clone(&take);
            let thread = std::thread::Builder::new().name("reader".to_owned());
            let started = thread.stack_size(firsthand_sql::STACK_BYTES).spawn(move || work(&take));
            if let Err(e) = started {
                // Without any, every work is turned away; that is told to its clients.
                tracing::error!(error = %e, "cannot start a thread for reading large statements");
            }
        }
        Self { turns: Arc::new(Semaphore::new(threads)), give }
    }

    /// Does a work here when its turn comes. `None`: none came in time.
    async fn done(&self, work: Work, until: Instant) -> Option<Worked> {
        let turn =
            tokio::time::timeout_at(until, Arc::clone(&self.turns).acquire_owned()).await.ok()?.ok()?;
        let (tell, told) = oneshot::channel();
        // The turn ends with the work, also when nobody waits for it any more.
        let job = Box::new(move || {
            let worked = catch_unwind(AssertUnwindSafe(work));
            drop(turn);
            let _ = tell.send(worked);
        });
        self.give.send(job).ok()?;
        match told.await {
            Ok(Ok(worked)) => Some(worked),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => None,
        }
    }
}

/// Ends when the other end of the queue is gone.
fn work(take: &Mutex<Receiver<Job>>) {
    loop {
        let next = take.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        job();
    }
}

/// Something that is being read, or waits for its turn. Dropped, it gives its place up.
pub(super) struct Pondering(JoinHandle<Thought>);

impl Pondering {
    /// Waits for something that needs no thread.
    pub(super) fn over(looking: Looking) -> Self {
        Self(tokio::spawn(looking.0))
    }
}

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

    use super::*;

    const LARGE: bool = true;
    const OTHER: bool = false;

    fn thinking(large: bool, work: impl FnOnce() + Send + 'static) -> Thinking {
        Thinking { large, work: once(work) }
    }

    fn once(work: impl FnOnce() + Send + 'static) -> Work {
        Box::new(move || {
            work();
            Worked::Done(Box::new(()))
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn only_so_many_texts_are_read_at_a_time() {
        runtime().block_on(async {
            let thinkers = Thinkers::default();
            for (large, at_once) in [(LARGE, LARGE_AT_ONCE), (OTHER, OTHERS_AT_ONCE)] {
                let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
                let one = |_| {
                    let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                    thinkers.start(thinking(large, move || {
                        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, SeqCst);
                    }))
                };
                for one in (0..60).map(one).collect::<Vec<_>>() {
                    assert!(one.await.unwrap().is::<()>());
                }
                assert!(most.load(SeqCst) <= at_once, "{most:?}");
            }
        });
    }

    #[test]
    fn who_waits_too_long_is_told_and_small_texts_do_not_wait_for_large_ones() {
        runtime().block_on(async {
            let thinkers = Thinkers::waiting(Duration::from_millis(20));
            let (free, blocked) = channel::<()>();
            let (begin, begun) = channel();
            let first = thinkers.start(thinking(LARGE, move || {
                begin.send(()).unwrap();
                let _ = blocked.recv();
            }));
            tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
            let second = thinkers.start(thinking(LARGE, || {})).await.unwrap();
            assert!(second.is::<Crowded>());
            assert!(thinkers.start(thinking(OTHER, || {})).await.unwrap().is::<()>());
            // What turns out to be large has its turn among the large ones, and the others go on.
            let weighed = Thinking { large: OTHER, work: Box::new(|| Worked::Large(once(|| {}))) };
            assert!(thinkers.start(weighed).await.unwrap().is::<Crowded>());
            assert!(thinkers.start(thinking(OTHER, || {})).await.unwrap().is::<()>());
            // Nobody waits for it any more: its turn ends with it, not before.
            drop(first);
            assert!(thinkers.start(thinking(LARGE, || {})).await.unwrap().is::<Crowded>());
            free.send(()).unwrap();
            let patient = Thinkers { wait: TURN_WAIT, ..thinkers };
            assert!(patient.start(thinking(LARGE, || {})).await.unwrap().is::<()>());
        });
    }

    #[test]
    fn a_panic_reaches_who_asked_and_ends_the_turn() {
        runtime().block_on(async {
            let thinkers = Thinkers::default();
            let broken = thinkers.start(thinking(LARGE, || panic!("broken"))).await;
            assert!(broken.is_err_and(|e| e.is_panic()));
            assert!(thinkers.start(thinking(LARGE, || {})).await.is_ok());
        });
    }
}
