//! The time of a statement: measured from when the target has it to run until it has ended, as the driver tells the time.
//! When that is over, the target is made to stop, and its error is told as the limit that it is. So the transaction fails as
//! it does whenever a statement is cancelled.
//!
//! Code can catch that (`EXCEPTION WHEN query_canceled`) and go on. What does not stop has its backend ended, which no code
//! can catch: the session goes with it, and what it had not committed is rolled back.

use bytes::Bytes;
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_model::time::MonoMicros;
use firsthand_session::{Outlasted, Permit, Refusal};
use firsthand_wire::postgres::backend::{Report, TransactionStatus};

use super::dialect::{Life, PostgresDialect};
use super::refuse;
use super::server::Walk;
use crate::dialect::Action;

/// A target that has not stopped by then is asked again: a request to cancel can be lost, or come between two statements.
const AGAIN_US: u64 = 1_000_000;

/// So often a target is asked to stop a statement. A second behind the last time the statement has had its grace: what was
/// going to stop has stopped long before.
const ASKED_MAX: u32 = 3;

/// PostgreSQL's code for a statement that was cancelled (query_canceled).
const CANCELLED: &[u8] = b"57014";

/// The same for a session that is ended (admin_shutdown).
const ENDED: &[u8] = b"57P01";

/// How long a command may take.
#[derive(Debug)]
pub(super) struct Timed {
    most_us: u64,
    /// When that is over, or the target is asked again; `None`: another command runs before it.
    ends: Option<MonoMicros>,
    /// How often the target was asked to stop it.
    asked: u32,
}

impl Timed {
    pub(super) fn of(permit: &Permit) -> Option<Self> {
        Some(Self { most_us: permit.time_limit()?, ends: None, asked: 0 })
    }
}

/// A command that has outlasted its time.
#[derive(Debug)]
pub(super) struct Overtime {
    /// What is told once the target has stopped it.
    stopped: Refusal,
    /// What is told once the target has ended the session for it.
    ended: Refusal,
    /// The target was asked to end the session.
    ends: bool,
    /// It has said that it does.
    told: bool,
}

impl PostgresDialect {
    /// When the command that the target runs now has taken too long. Its time begins here.
    pub(super) fn time_ends(&mut self, now: MonoMicros) -> Option<MonoMicros> {
        let timed = self.flight.running.front_mut()?.timed.as_mut()?;
        let most = timed.most_us;
        Some(*timed.ends.get_or_insert(MonoMicros(now.0.saturating_add(most))))
    }

    /// Has the target stop the command that it runs, if that has taken too long; or end the session, if it does not stop.
    pub(super) fn stop_overtime(&mut self, now: MonoMicros, out: &mut Vec<Action>) {
        let Some(running) = self.flight.running.front_mut() else { return };
        let Some(timed) = running.timed.as_mut() else { return };
        if timed.ends.is_none_or(|ends| ends > now) {
            return;
        }
        timed.ends = Some(MonoMicros(now.0.saturating_add(AGAIN_US)));
        let asked = timed.asked;
        timed.asked = asked.saturating_add(1);
        let lost = self.lost.as_deref().cloned();
        let Some(outlasted) = lost.or_else(|| running.permit.overtime()) else { return };
        if asked == 0 {
            out.push(Action::Note { what: "limit", detail: outlasted.noted, reply: Bytes::new() });
            let (stopped, ended) = (outlasted.stopped, outlasted.ended);
            self.overtime = Some(Box::new(Overtime { stopped, ended, ends: false, told: false }));
        }
        if asked < ASKED_MAX {
            return out.push(Action::StopTarget);
        }
        self.overtime.iter_mut().for_each(|overtime| overtime.ends = true);
        out.push(Action::EndTarget(Box::new(outlasted.cut)));
    }

    /// The grant is over that what runs ran under, or what is not committed: the target stops it, or fails the transaction.
    pub(super) fn lose_grant(&mut self, lost: Outlasted, now: MonoMicros, out: &mut Vec<Action>) {
        if self.life == Life::Over || self.unobserved {
            return;
        }
        if let Some(running) = self.flight.running.front_mut() {
            if self.overtime.is_none() {
                let ends = Some(MonoMicros(now.0.saturating_add(AGAIN_US)));
                running.timed = Some(Timed { most_us: 0, ends, asked: 1 });
                out.push(Action::Note { what: "grant", detail: lost.noted.clone(), reply: Bytes::new() });
                let (stopped, ended) = (lost.stopped.clone(), lost.ended.clone());
                self.overtime = Some(Box::new(Overtime { stopped, ended, ends: false, told: false }));
                self.lost = Some(Box::new(lost));
                out.push(Action::StopTarget);
            }
            return;
        }
        let open = self.flight.is_open() && !self.flight.is_skipping();
        let fails = self.transaction == Transaction::Open || (open && self.transaction == Transaction::Idle);
        if !self.flight.is_idle() || self.is_held_up() || !fails {
            return;
        }
        // What was to be stopped had ended before it could be.
        (self.overtime, self.lost) = (None, None);
        out.push(Action::Note { what: "grant", detail: lost.noted, reply: Bytes::new() });
        self.fail_behind(&lost.stopped, out);
    }

    /// Whether the command runs for which the target was asked to end the session.
    pub(super) fn is_outlasted(&self) -> bool {
        let timed = self.flight.running.front().and_then(|r| r.timed.as_ref());
        timed.is_some_and(|timed| timed.asked > ASKED_MAX)
    }

    /// The error of `len` bytes in front ends what runs. Where that was stopped for its time, the limit stands in its place: the
    /// length of that, and where what follows it ends.
    pub(super) fn tell_overtime(
        &mut self,
        len: usize,
        ready: Option<(usize, TransactionStatus)>,
        walk: &mut Walk<'_>,
    ) -> (usize, Option<(usize, TransactionStatus)>) {
        let Some(overtime) = &mut self.overtime else { return (len, ready) };
        let Ok(it) = Report::read(walk.body(len), "ErrorResponse") else { return (len, ready) };
        let told = match (it.sqlstate(), it.is_fatal()) {
            (CANCELLED, false) => refuse::error(&overtime.stopped, self.parameters.settings.utf8),
            (ENDED, true) if overtime.ends => refuse::fatal(&overtime.ended),
            _ => return (len, ready),
        };
        overtime.told = it.is_fatal();
        if !overtime.told {
            self.overtime = None;
        }
        let tail = walk.input.split_off(walk.at + len);
        walk.input.truncate(walk.at);
        walk.input.extend_from_slice(&told);
        walk.input.extend_from_slice(&tail);
        walk.quiet = walk.quiet.max(walk.at + told.len()).min(walk.input.len());
        (told.len(), ready.map(|(end, status)| (end - len + told.len(), status)))
    }

    /// The target has closed its side. Whether it did so because a command had outlasted its time: then the session has ended
    /// at that limit. A backend that was writing to a client which does not read is ended without a word.
    pub(super) fn ended_for_time(&mut self, out: &mut Vec<Action>) -> bool {
        let Some(overtime) = self.overtime.take_if(|overtime| overtime.ends) else { return false };
        self.abandon(AbandonReason::SessionEnded, out);
        if overtime.told || self.target_said_why {
            self.close("limit", overtime.ended.message, out);
        } else {
            self.say_goodbye(&overtime.ended, "limit", out);
        }
        true
    }
}
