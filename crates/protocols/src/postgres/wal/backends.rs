//! Which transaction a session's backend is in: asked over a connection of the gateway's own (`together`), of all sessions that
//! wait at that moment in one question.

use std::sync::Arc;
use std::time::Duration;

use firsthand_model::time::MonoMicros;

use super::super::catalog::{ask, say_goodbye};
use super::super::definitions::Way;
use super::super::together::{Asks, Kept, Together, Waiting};
use super::follower::{open, tell};
use crate::drive::line::Line;

/// A commit waits this long for its transaction's number, which a connected target tells in less than a millisecond. Then it
/// goes, and the record says that it is not known; of a session that may only read, it is not known to have only read, and the
/// session ends without it (`watch`).
const WITHIN: Duration = Duration::from_secs(5);
/// Bytes of one answer: a line for each session.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Asks for all sessions of a database.
pub(super) struct Backends(Arc<Together<Asker>>);

impl Backends {
    pub(super) fn new(way: Way) -> Self {
        Self(Together::new(Asker { way }))
    }

    /// The transaction of this backend. `Some(None)`: it is in none that has a number; `None`: it could not be told.
    pub(super) async fn transaction(&self, pid: u32) -> Option<Option<u64>> {
        self.0.ask(pid, WITHIN).await.flatten()
    }
}

struct Asker {
    way: Way,
}

impl Asks for Asker {
    /// The backend.
    type Question = u32;
    type Answer = Option<Option<u64>>;
    type Line = Line;
    type Memory = ();

    fn now(&self) -> MonoMicros {
        self.way.engine.clock.mono()
    }

    async fn serve(&self, kept: &mut Kept<Self>, waiting: Vec<Waiting<Self>>) {
        // Once more over a new connection: the one at hand may have been ended from the other side.
        let mut found = None;
        for _ in 0..2 {
            let fresh = kept.line.is_none();
            match self.question(kept, &waiting).await {
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
        for one in waiting {
            let of = |(pid, xid): &(u32, Option<u64>)| (*pid == one.question).then_some(*xid);
            let answer = found.as_ref().and_then(|rows| rows.iter().find_map(of));
            one.tell(answer);
        }
    }

    async fn say_goodbye(line: Line) {
        say_goodbye(line).await;
    }
}

impl Asker {
    async fn question(
        &self,
        kept: &mut Kept<Self>,
        waiting: &[Waiting<Self>],
    ) -> Result<Vec<(u32, Option<u64>)>, String> {
        let mut line = match kept.line.take() {
            Some(line) => line,
            None => {
                tell(&self.way, "transactions", "")?;
                open(&self.way).await?
            }
        };
        let pids: Vec<String> = waiting.iter().map(|w| w.question.to_string()).collect();
        // Whoever may not see a backend's doing is not told its transaction either, as if it had none.
        let text = format!(
            "SELECT s.pid, s.backend_xid, pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) \
             FROM pg_catalog.pg_stat_get_activity(NULL) s WHERE s.pid = ANY ('{{{}}}') \
             AND s.query IS DISTINCT FROM '<insufficient privilege>'",
            pids.join(",")
        );
        let rows = ask(&mut line, &text, &mut { ANSWER_BYTES_MAX }).await?;
        kept.line = Some(line);
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
