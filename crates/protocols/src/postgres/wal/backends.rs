//! Which transaction a session's backend is in: asked over a connection of the gateway's own, of all sessions that wait at
//! that moment in one question. It is open while somebody asks and closed soon after.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use firsthand_model::time::MonoMicros;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::super::catalog::{ask, say_goodbye};
use super::super::definitions::Way;
use super::follower::{open, tell};
use crate::drive::line::Line;

/// A commit waits this long for its transaction's number, which a connected target tells in less than a millisecond. Then it
/// goes, and the record says that it is not known.
const WITHIN: Duration = Duration::from_secs(5);
/// The connection is closed when nobody has asked for this long (see `changed/asker.rs`).
const IDLE: Duration = Duration::from_millis(1_500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Bytes of one answer: a line for each session.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What one asks for.
struct Request {
    pid: u32,
    answer: oneshot::Sender<Option<Option<u64>>>,
}

/// Asks for all sessions of a database.
pub(super) struct Backends {
    way: Way,
    waiting: Mutex<Vec<Request>>,
    /// Held by whoever asks for all who wait.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    line: Option<Line>,
    used: Option<MonoMicros>,
}

impl Backends {
    pub(super) fn new(way: Way) -> Arc<Self> {
        Arc::new(Self { way, waiting: Mutex::default(), state: tokio::sync::Mutex::default() })
    }

    /// The transaction of this backend. `Some(None)`: it is in none that has a number; `None`: it could not be told.
    pub(super) async fn transaction(self: &Arc<Self>, pid: u32) -> Option<Option<u64>> {
        timeout(WITHIN, self.asked(pid)).await.ok().flatten()
    }

    async fn asked(self: &Arc<Self>, pid: u32) -> Option<Option<u64>> {
        let (answer, mut told) = oneshot::channel();
        self.waiting().push(Request { pid, answer });
        let mut state = tokio::select! {
            biased;
            told = &mut told => return told.ok().flatten(),
            state = self.state.lock() => state,
        };
        let requests = std::mem::take(&mut *self.waiting());
        if !requests.is_empty() {
            self.serve(&mut state, requests).await;
        }
        drop(state);
        told.await.ok().flatten()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: &Arc<Self>, state: &mut State, requests: Vec<Request>) {
        // Once more over a new connection: the one at hand may have been ended from the other side.
        let mut found = None;
        for _ in 0..2 {
            let fresh = state.line.is_none();
            match self.question(state, &requests).await {
                Ok(rows) => {
                    found = Some(rows);
                    break;
                }
                Err(why) => {
                    let (target, database) = (&self.way.target, &self.way.database);
                    tracing::debug!(target, database, "transactions cannot be asked for: {why}");
                    if fresh {
                        break;
                    }
                }
            }
        }
        for request in requests {
            let of = |(pid, xid): &(u32, Option<u64>)| (*pid == request.pid).then_some(*xid);
            let answer = found.as_ref().and_then(|rows| rows.iter().find_map(of));
            let _ = request.answer.send(answer);
        }
    }

    async fn question(
        self: &Arc<Self>,
        state: &mut State,
        requests: &[Request],
    ) -> Result<Vec<(u32, Option<u64>)>, String> {
        // It is back in its place only after a whole answer: what fails, or is given up in the middle, closes it.
        let mut line = match state.line.take() {
            Some(line) => line,
            None => {
                tell(&self.way, "transactions", "")?;
                let line = open(&self.way).await?;
                tokio::spawn(close_when_idle(Arc::downgrade(self)));
                line
            }
        };
        let pids: Vec<String> = requests.iter().map(|r| r.pid.to_string()).collect();
        // Whoever may not see a backend's doing is not told its transaction either, as if it had none.
        let text = format!(
            "SELECT s.pid, s.backend_xid, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) \
             FROM pg_catalog.pg_stat_get_activity(NULL) s WHERE s.pid = ANY ('{{{}}}') \
             AND s.query IS DISTINCT FROM '<insufficient privilege>'",
            pids.join(",")
        );
        let rows = ask(&mut line, &text, &mut { ANSWER_BYTES_MAX }).await?;
        state.line = Some(line);
        state.used = Some(self.way.engine.clock.mono());
        let number = |v: Option<&Option<String>>| v?.as_ref()?.parse::<u64>().ok();
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(pid), Some(next)) = (number(row.first()), number(row.get(2))) else {
                return Err("the answer is none".to_owned());
            };
            let xid = number(row.get(1)).map(|xid| whole(xid, next));
            found.push((u32::try_from(pid).unwrap_or(0), xid));
        }
        Ok(found)
    }
}

/// The number with its epoch: `next` is a number with its epoch that is not much smaller.
fn whole(xid: u64, next: u64) -> u64 {
    let (epoch, low) = (next >> 32, next & 0xffff_ffff);
    // One that began after the snapshot is a little larger than `next`; one before a wraparound is much larger.
    let before = xid > low && xid - low > 1 << 31;
    let after = xid < low && low - xid > 1 << 31;
    let epoch = if before { epoch.saturating_sub(1) } else { epoch + u64::from(after) };
    (epoch << 32) | (xid & 0xffff_ffff)
}

async fn close_when_idle(of: Weak<Backends>) {
    loop {
        sleep(LOOK).await;
        let Some(of) = of.upgrade() else { return };
        let mut state = of.state.lock().await;
        let now = of.way.engine.clock.mono();
        let idle = state.used.is_none_or(|then| u128::from(now.since(then)) >= IDLE.as_micros());
        if state.line.is_none() {
            return;
        }
        if idle {
            let line = state.line.take();
            drop(state);
            if let Some(line) = line {
                let _ = timeout(WITHIN, say_goodbye(line)).await;
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_their_epoch() {
        for (xid, next, whole_one) in [
            (700, 701, 700),
            (700, 700, 700),
            (702, 701, 702),
            (4_294_967_290, (1 << 32) + 3, 4_294_967_290),
            (5, (1 << 32) + 9, (1 << 32) + 5),
            (3, 4_294_967_290, (1 << 32) + 3),
        ] {
            assert_eq!(whole(xid, next), whole_one, "{xid} {next}");
        }
    }
}
