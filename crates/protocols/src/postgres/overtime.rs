//! The time of a statement: measured from when the target has it to run until it has ended, as the driver tells the time.
//! When that is over, the target is made to stop, and its error is told as the limit that it is. So the transaction fails as
//! it does whenever a statement is cancelled.

use bytes::Bytes;
use firsthand_model::time::MonoMicros;
use firsthand_session::Permit;
use firsthand_wire::postgres::backend::{Report, TransactionStatus};

use super::dialect::PostgresDialect;
use super::refuse;
use super::server::Walk;
use crate::dialect::Action;

/// A target that has not stopped by then is asked again: a request to cancel can be lost, or come between two statements.
const AGAIN_US: u64 = 5_000_000;

/// PostgreSQL's code for a statement that was cancelled (query_canceled).
const CANCELLED: &[u8] = b"57014";

/// How long a command may take.
#[derive(Debug)]
pub(super) struct Timed {
    most_us: u64,
    /// When that is over, or the target is asked again; `None`: another command runs before it.
    ends: Option<MonoMicros>,
    stopped: bool,
}

impl Timed {
    pub(super) fn of(permit: &Permit) -> Option<Self> {
        Some(Self { most_us: permit.time_limit()?, ends: None, stopped: false })
    }
}

impl PostgresDialect {
    /// When the command that the target runs now has taken too long. Its time begins here.
    pub(super) fn time_ends(&mut self, now: MonoMicros) -> Option<MonoMicros> {
        let timed = self.flight.running.front_mut()?.timed.as_mut()?;
        let most = timed.most_us;
        Some(*timed.ends.get_or_insert(MonoMicros(now.0.saturating_add(most))))
    }

    /// Has the target stop the command that it runs, if that has taken too long.
    pub(super) fn stop_overtime(&mut self, now: MonoMicros, out: &mut Vec<Action>) {
        let Some(running) = self.flight.running.front_mut() else { return };
        let Some(timed) = running.timed.as_mut() else { return };
        if timed.ends.is_none_or(|ends| ends > now) {
            return;
        }
        timed.ends = Some(MonoMicros(now.0.saturating_add(AGAIN_US)));
        let again = std::mem::replace(&mut timed.stopped, true);
        if !again {
            let Some((refusal, detail)) = running.permit.overtime() else { return };
            out.push(Action::Note { what: "limit", detail, reply: Bytes::new() });
            self.overtime = Some(Box::new(refusal));
        }
        out.push(Action::StopTarget);
    }

    /// The error of `len` bytes in front ends what runs. Where that was stopped for its time, the limit stands in its place: the
    /// length of that, and where what follows it ends.
    pub(super) fn tell_overtime(
        &mut self,
        len: usize,
        ready: Option<(usize, TransactionStatus)>,
        walk: &mut Walk<'_>,
    ) -> (usize, Option<(usize, TransactionStatus)>) {
        let cancelled = |it: Report<'_>| it.sqlstate() == CANCELLED && !it.is_fatal();
        let is_its = Report::read(walk.body(len), "ErrorResponse").is_ok_and(cancelled);
        let Some(refusal) = self.overtime.take_if(|_| is_its) else { return (len, ready) };
        let told = refuse::error(&refusal, self.parameters.settings.utf8);
        let tail = walk.input.split_off(walk.at + len);
        walk.input.truncate(walk.at);
        walk.input.extend_from_slice(&told);
        walk.input.extend_from_slice(&tail);
        walk.quiet = walk.quiet.max(walk.at + told.len()).min(walk.input.len());
        (told.len(), ready.map(|(end, status)| (end - len + told.len(), status)))
    }
}
