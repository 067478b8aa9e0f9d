//! Asking a database together, over a connection of the gateway's own: one for all sessions there, opened when somebody asks
//! and closed soon after nobody does.
//!
//! Whoever holds the connection asks for all who wait at that moment; whoever comes meanwhile shares the next question. So an
//! answer is never older than what it was asked for, and many sessions cost little more than one.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use firsthand_model::time::MonoMicros;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The connection is closed when nobody has asked for this long. Somebody may want to drop or to copy the database, which
/// PostgreSQL refuses while others are connected, after it has waited for them for 5 s.
const IDLE: Duration = Duration::from_millis(1_500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The server is told goodbye within this time, or not at all.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);

/// What is asked, and how.
pub(super) trait Asks: Send + Sync + Sized + 'static {
    /// What one asks for.
    type Question: Send;
    /// What one is told.
    type Answer: Send;
    /// The connection.
    type Line: Send;
    /// What is remembered from one question to the next.
    type Memory: Default + Send;

    /// The time.
    fn now(&self) -> MonoMicros;

    /// Answers all of them. Who is not answered learns nothing.
    fn serve(&self, kept: &mut Kept<Self>, waiting: Vec<Waiting<Self>>) -> impl Future<Output = ()> + Send;

    /// Ends the connection as the protocol has it.
    fn say_goodbye(line: Self::Line) -> impl Future<Output = ()> + Send;
}

/// What is kept from one question to the next.
pub(super) struct Kept<A: Asks> {
    /// The connection. Whoever asks takes it out, and puts it back after a whole answer: what fails, or is given up in the
    /// middle, closes it.
    pub(super) line: Option<A::Line>,
    /// What else.
    pub(super) memory: A::Memory,
    /// When it was last asked.
    used: MonoMicros,
    /// Somebody looks whether it is idle.
    watched: bool,
}

/// Somebody who waits.
pub(super) struct Waiting<A: Asks> {
    /// What for.
    pub(super) question: A::Question,
    answer: oneshot::Sender<A::Answer>,
}

impl<A: Asks> Waiting<A> {
    /// Tells.
    pub(super) fn tell(self, answer: A::Answer) {
        let _ = self.answer.send(answer);
    }
}

/// All who ask one database.
pub(super) struct Together<A: Asks> {
    pub(super) asks: A,
    waiting: Mutex<Vec<Waiting<A>>>,
    /// Held by whoever asks for all who wait.
    kept: tokio::sync::Mutex<Kept<A>>,
}

impl<A: Asks> Together<A> {
    pub(super) fn new(asks: A) -> Arc<Self> {
        let kept = Kept { line: None, memory: A::Memory::default(), used: MonoMicros(0), watched: false };
        Arc::new(Self { asks, waiting: Mutex::default(), kept: tokio::sync::Mutex::new(kept) })
    }

    /// Asks; `None`: it could not be told within this time.
    pub(super) async fn ask(self: &Arc<Self>, question: A::Question, within: Duration) -> Option<A::Answer> {
        timeout(within, self.asked(question)).await.ok().flatten()
    }

    async fn asked(self: &Arc<Self>, question: A::Question) -> Option<A::Answer> {
        let (answer, mut told) = oneshot::channel();
        self.waiting().push(Waiting { question, answer });
        let mut kept = tokio::select! {
            biased;
            told = &mut told => return told.ok(),
            kept = self.kept.lock() => kept,
        };
        let waiting = std::mem::take(&mut *self.waiting());
        if !waiting.is_empty() {
            self.asks.serve(&mut kept, waiting).await;
            kept.used = self.asks.now();
            // One that looks is enough, whichever connection it finds.
            if kept.line.is_some() && !std::mem::replace(&mut kept.watched, true) {
                tokio::spawn(close_when_idle(Arc::downgrade(self)));
            }
        }
        drop(kept);
        told.await.ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting<A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection if nobody has asked for a while. Whether there is one left.
    async fn close_if_idle(&self) -> bool {
        let mut kept = self.kept.lock().await;
        let idle = u128::from(self.asks.now().since(kept.used)) >= IDLE.as_micros();
        if !idle && kept.line.is_some() {
            return true;
        }
        kept.watched = false;
        let line = kept.line.take();
        drop(kept);
        if let Some(line) = line {
            let _ = timeout(GOODBYE_WITHIN, A::say_goodbye(line)).await;
        }
        false
    }
}

async fn close_when_idle<A: Asks>(of: Weak<Together<A>>) {
    loop {
        sleep(LOOK).await;
        let Some(of) = of.upgrade() else { return };
        if !of.close_if_idle().await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Answers with how many were asked for together; the line is a number, which says how many have been opened.
    struct Counting {
        now: AtomicU64,
        /// A question goes on with a permit of these.
        go: Semaphore,
        /// Asked questions that are under way or have been.
        asked: Semaphore,
        fails: Mutex<Vec<&'static str>>,
    }

    /// With where its goodbye is noted.
    struct Number(u64, Arc<Mutex<Vec<u64>>>);

    impl Asks for Counting {
        type Question = &'static str;
        type Answer = (usize, u64);
        type Line = Number;
        type Memory = u64;

        fn now(&self) -> MonoMicros {
            MonoMicros(self.now.load(Ordering::Relaxed))
        }

        async fn serve(&self, kept: &mut Kept<Self>, waiting: Vec<Waiting<Self>>) {
            let line = kept.line.take().unwrap_or_else(|| {
                kept.memory += 1;
                Number(kept.memory, Arc::default())
            });
            self.asked.add_permits(1);
            self.go.acquire().await.unwrap().forget();
            if waiting.iter().any(|w| self.fails.lock().unwrap().contains(&w.question)) {
                return;
            }
            let (all, number) = (waiting.len(), line.0);
            kept.line = Some(line);
            waiting.into_iter().for_each(|one| one.tell((all, number)));
        }

        async fn say_goodbye(line: Number) {
            line.1.lock().unwrap().push(line.0);
        }
    }

    fn counting() -> Arc<Together<Counting>> {
        Together::new(Counting {
            now: AtomicU64::new(0),
            go: Semaphore::new(0),
            asked: Semaphore::new(0),
            fails: Mutex::default(),
        })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_waits_is_asked_for_together() {
        let all = counting();
        let ask = |question| {
            let all = Arc::clone(&all);
            tokio::spawn(async move { all.ask(question, LONG).await })
        };
        let first = ask("a");
        all.asks.asked.acquire().await.unwrap().forget();
        // While that is under way three more come; one of them gives up.
        let [second, third, gives_up] = ["b", "c", "d"].map(ask);
        while all.waiting().len() < 3 {
            tokio::task::yield_now().await;
        }
        gives_up.abort();
        let _ = gives_up.await;
        all.asks.go.add_permits(2);
        assert_eq!(first.await.unwrap(), Some((1, 1)));
        assert_eq!((second.await.unwrap(), third.await.unwrap()), (Some((3, 1)), Some((3, 1))));
    }

    #[tokio::test]
    async fn what_fails_is_told_to_nobody_and_closes_the_connection() {
        let all = counting();
        all.asks.go.add_permits(3);
        all.asks.fails.lock().unwrap().push("bad");
        assert_eq!(all.ask("good", LONG).await, Some((1, 1)));
        assert_eq!(all.ask("bad", LONG).await, None);
        assert_eq!(all.ask("good", LONG).await, Some((1, 2)), "over another connection");
        // Given up in the middle: so is the connection, and the next one is not held up.
        assert_eq!(all.ask("late", Duration::ZERO).await, None);
        all.asks.go.add_permits(1);
        assert!(all.ask("good", LONG).await.is_some());
    }

    #[tokio::test]
    async fn a_connection_is_closed_when_nobody_has_asked_for_a_while() {
        let all = counting();
        all.asks.go.add_permits(2);
        assert_eq!(all.ask("a", LONG).await, Some((1, 1)));
        let goodbye = Arc::clone(&all.kept.lock().await.line.as_ref().unwrap().1);
        let idle = u64::try_from(IDLE.as_micros()).unwrap();
        all.asks.now.store(idle - 1, Ordering::Relaxed);
        assert!(all.close_if_idle().await);
        assert!(goodbye.lock().unwrap().is_empty());
        all.asks.now.store(idle, Ordering::Relaxed);
        assert!(!all.close_if_idle().await);
        assert_eq!(*goodbye.lock().unwrap(), [1]);
        assert!(!all.close_if_idle().await, "once");
        assert_eq!(all.ask("b", LONG).await, Some((1, 2)), "opened anew");
    }
}
