//! What ends a command, and its outcome.
//!
//! The state of the transaction after a command is only certain at ReadyForQuery. Where that is already due (the last
//! statement of a Query; an Execute whose Sync is under way) the message that ends the command waits for it: PostgreSQL
//! sends both together. Elsewhere (earlier statements of a Query, pipelines) the state is what the completion tags tell.

use std::sync::Arc;

use bytes::Bytes;
use firsthand_model::command::{Effect, Shape};
use firsthand_model::json::Json;
use firsthand_model::outcome::{AbandonReason, Outcome, Transaction};
use firsthand_wire::postgres::backend::{CommandTag, Message, Report, TransactionStatus};
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};

use super::changed::Changed;
use super::dialect::PostgresDialect;
use super::fastpath::Answer;
use super::flight::{Running, Sent};
use super::knowing::Pending;
use super::report::{self, MESSAGES_CUT};
use super::role::Change;
use super::server::{Step, Walk};
use super::tripwire::judged_read;
use crate::dialect::Action;

/// How much may stand between what ends a command and ReadyForQuery before it is no longer waited for.
const HELD_BYTES_MAX: usize = 64 << 10;

/// Coverage fact: the target's completion tag is not that of the statement as it was read.
const TAG_MISMATCH: &str = "tag-mismatch";

/// What is wrong with a target that says so.
pub(super) const READY_TOO_EARLY: &str = "'Z' before what was asked was answered";

/// What ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// CommandComplete.
    Tag,
    /// EmptyQueryResponse.
    Empty,
    /// PortalSuspended.
    Suspended,
    /// FunctionCallResponse, read so.
    Function(Answer),
}

/// What follows the message that ends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ahead {
    /// ReadyForQuery, this many bytes after the message's beginning.
    Ready { end: usize, status: TransactionStatus },
    /// An error at the implicit commit (its place), then ReadyForQuery.
    Failed { error: (usize, usize), end: usize, status: TransactionStatus },
    /// Something else.
    Other,
    /// Not here yet.
    Unknown,
}

/// ReadyForQuery that is at hand: where it ends, what it says, and an error before it (its place).
struct Due {
    error: Option<(usize, usize)>,
    end: usize,
    status: TransactionStatus,
}

/// Looks for ReadyForQuery behind the first `from` bytes, past what can come at any time.
fn look_ahead(bytes: &[u8], from: usize, rules: &firsthand_wire::postgres::Rules) -> Ahead {
    let (mut at, mut error) = (from, None);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(Scan::Frame(frame)) = scan(rest, rules) else {
            // A broken frame is found again, and told, when the walk comes to it.
            let waits = bytes.len() - from <= HELD_BYTES_MAX && scan(rest, rules).is_ok();
            let tag = rest.first().copied();
            let may_be = matches!(tag, None | Some(b'N' | b'A' | b'S' | b'Z' | b'E'));
            return if waits && may_be { Ahead::Unknown } else { Ahead::Other };
        };
        match frame.tag {
            b'N' | b'A' | b'S' => {}
            b'E' if error.is_none() => error = Some((at, at + frame.len())),
            b'Z' => {
                let end = at + frame.len();
                let Ok(status) = TransactionStatus::read(frame.body) else { return Ahead::Other };
                return match error {
                    None => Ahead::Ready { end, status },
                    Some(error) => Ahead::Failed { error, end, status },
                };
            }
            _ => return Ahead::Other,
        }
        at += frame.len();
    }
}

impl PostgresDialect {
    /// CommandComplete and its kin.
    pub(super) fn ends(
        &mut self,
        ending: Ending,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        let Some(entry) = self.flight.first() else {
            return Step::Broken("the end of no command".to_owned());
        };
        let fits = match entry.sent {
            Sent::Execute(_) => !matches!(ending, Ending::Function(_)),
            Sent::Script => !matches!(ending, Ending::Function(_) | Ending::Suspended),
            Sent::Function(_) => matches!(ending, Ending::Function(_)),
            _ => false,
        };
        let ending = match entry.sent {
            Sent::Function(answer) => Ending::Function(answer),
            _ => ending,
        };
        let is_script = matches!(entry.sent, Sent::Script);
        let more = is_script && entry.ends > 1;
        let mut copy_ended = false;
        let Some(running) = self.flight.running.front_mut().filter(|_| fits) else {
            return Step::Broken("the end of no command".to_owned());
        };
        if running.copy_in && ending == Ending::Tag {
            running.copy_in = false;
            copy_ended = true;
        }
        if copy_ended {
            self.flight.copy_in_ended();
        }
        if let Some(step) = self.limited_end(ending, len, walk, out) {
            return step;
        }
        if !more && self.flight.ready_follows() {
            return match look_ahead(walk.rest(), len, &self.server_rules) {
                Ahead::Unknown if !walk.closing => Step::Hold,
                Ahead::Ready { end, status } => {
                    self.end_with(ending, len, Due { error: None, end, status }, walk, out)
                }
                Ahead::Failed { error, end, status } => {
                    self.end_with(ending, len, Due { error: Some(error), end, status }, walk, out)
                }
                // More results than the text has statements, as it was read: the command goes on.
                Ahead::Other if is_script => self.pass(len, true, walk, out),
                Ahead::Other | Ahead::Unknown => self.end_now(ending, len, walk, out),
            };
        }
        self.end_now(ending, len, walk, out)
    }

    /// Ends the first command with a message of `len` bytes.
    fn end_now(&mut self, ending: Ending, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let mut outcome = match self.flight.running.front_mut().map(|r| outcome(ending, walk.body(len), r)) {
            Some(Ok(outcome)) => outcome,
            Some(Err(step)) => return step,
            None => return Step::On,
        };
        let Some(mut running) = self.flight.end_first() else { return Step::On };
        self.drop_first_entry();
        self.apply(&running.change, &outcome, out);
        self.learned(std::mem::take(&mut running.pending), &running.shape, &outcome);
        outcome.transaction = self.transaction;
        let last = walk.cut(len);
        finish(&mut running, &mut outcome, out);
        out.push(Action::Complete { permit: running.permit, outcome: Box::new(outcome), last });
        Step::On
    }

    /// Ends the first command with all bytes up to ReadyForQuery.
    fn end_with(
        &mut self,
        ending: Ending,
        len: usize,
        due: Due,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        let Due { error, end, status } = due;
        let mut outcome = match self.flight.running.front_mut().map(|r| outcome(ending, walk.body(len), r)) {
            Some(Ok(outcome)) => outcome,
            Some(Err(step)) => return step,
            None => return Step::On,
        };
        let change = self.flight.running.front_mut().map(|r| {
            let pending = std::mem::take(&mut r.pending);
            (std::mem::replace(&mut r.change, Change::None), pending, Arc::clone(&r.shape))
        });
        if let Some((from, to)) = error {
            let body = walk.rest().get(from + HEADER_LEN..to).unwrap_or_default();
            let Ok(it) = Report::read(body, "ErrorResponse") else {
                return Step::Broken("a malformed error".to_owned());
            };
            let secrets = self.flight.running.front().and_then(|r| r.secrets.as_ref());
            fail(&mut outcome, &it, secrets);
            let read = self.flight.running.front().and_then(|r| judged_read(r));
            self.watch(it.sqlstate(), read);
            // Undone with its commit: it leaves nothing behind, and is under way no longer when `ready` asks.
            drop(change);
            self.failed = true;
        } else if let Some((change, pending, shape)) = change {
            self.apply(&change, &outcome, out);
            self.learned(pending, &shape, &outcome);
        }
        self.asides(len, end, walk, out);
        let Some(mut running) = self.flight.end_first() else { return Step::On };
        self.drop_first_entry();
        let in_turn = self.flight.take_ready();
        self.ready(status, out);
        outcome.transaction = self.transaction;
        let last = walk.cut(end);
        finish(&mut running, &mut outcome, out);
        out.push(Action::Complete { permit: running.permit, outcome: Box::new(outcome), last });
        if in_turn { Step::On } else { Step::Broken(READY_TOO_EARLY.to_owned()) }
    }

    /// What can come at any time and stands between `from` and `to` behind the span: noted, while its bytes stay where
    /// they are.
    fn asides(&mut self, from: usize, to: usize, walk: &Walk<'_>, out: &mut Vec<Action>) {
        let mut at = walk.at + from;
        while at < walk.at + to {
            let Ok(Scan::Frame(frame)) = scan(walk.input.get(at..).unwrap_or_default(), &self.server_rules)
            else {
                return;
            };
            let (tag, len) = (frame.tag, frame.len());
            if matches!(tag, b'N' | b'A' | b'S')
                && let Some(aside) = self.aside(tag, at, len, walk, out)
            {
                out.push(aside.with(Bytes::new()));
            }
            at += len;
        }
    }

    /// One command of the entry in front has ended; the last one takes the entry with it.
    pub(super) fn drop_first_entry(&mut self) {
        if let Some(entry) = self.flight.first_mut() {
            entry.ends = entry.ends.saturating_sub(1);
            if entry.ends > 0 {
                return;
            }
        }
        self.flight.pop();
    }

    /// A statement ended well: follows the role and the transaction by it.
    fn apply(&mut self, change: &Change, outcome: &Outcome, out: &mut Vec<Action>) {
        let change = match change {
            // COMMIT of a failed transaction rolls back, and says so in its tag.
            Change::End { chain, .. } => Change::End { commit: outcome.tag != "ROLLBACK", chain: *chain },
            other => other.clone(),
        };
        self.transaction = match change {
            Change::Begin => Transaction::Open,
            Change::End { chain: true, .. } | Change::RollbackTo => self.transaction_unless_idle(),
            Change::End { chain: false, .. } => Transaction::Idle,
            _ => self.transaction,
        };
        if matches!(change, Change::End { .. }) {
            // The target is not idle behind AND CHAIN: another transaction is open already.
            self.radius.transaction_ended();
        }
        if self.role.apply(&change) {
            self.role_touched = true;
            out.push(Action::Role(self.role.name().to_owned()));
        }
    }

    /// The same for what later statements mean.
    pub(super) fn learned(&mut self, pending: Pending, shape: &Shape, outcome: &Outcome) {
        if let Some(knowing) = &mut self.knowing {
            knowing.completed(pending, shape, &outcome.tag);
        }
    }

    fn transaction_unless_idle(&self) -> Transaction {
        if self.transaction == Transaction::Idle { Transaction::Idle } else { Transaction::Open }
    }

    /// A command of step *prepare* has been prepared.
    pub(super) fn prepared(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        let Some(mut running) = self.flight.end_first() else {
            self.pass(len, false, walk, out);
            return;
        };
        let last = walk.cut(len);
        let mut outcome = Outcome { transaction: self.transaction, ..Outcome::default() };
        finish(&mut running, &mut outcome, out);
        out.push(Action::Complete { permit: running.permit, outcome: Box::new(outcome), last });
    }

    /// ErrorResponse.
    pub(super) fn error(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let Ok(it) = Report::read(walk.body(len), "ErrorResponse") else {
            return Step::Broken("a malformed error".to_owned());
        };
        let fatal = it.is_fatal();
        self.copy_failed(&it);
        let follows = match self.flight.first().map(|e| &e.sent) {
            None | Some(Sent::Sync { .. } | Sent::Ready | Sent::CopyData | Sent::CopyEnd) => {
                return self.error_of_nothing(len, fatal, walk, out);
            }
            Some(Sent::Malformed) if !fatal => return self.malformed_told(len, walk, out),
            Some(Sent::Refused(_)) if !fatal => return self.refused(len, walk, out),
            Some(Sent::Script | Sent::Function(_)) => true,
            Some(_) => self.flight.sync_follows(),
        };
        let ahead = if fatal || !follows || self.radius.is_wrapped() {
            Ahead::Other
        } else {
            look_ahead(walk.rest(), len, &self.server_rules)
        };
        match ahead {
            Ahead::Unknown if !walk.closing => return Step::Hold,
            Ahead::Ready { .. } => {}
            _ => {
                let step = self.failed_now(len, fatal, None, walk, out);
                if !fatal {
                    self.wrap_failed(out);
                }
                return step;
            }
        }
        let Ahead::Ready { end, status } = ahead else { return Step::On };
        self.failed_now(len, fatal, Some((end, status)), walk, out)
    }

    /// The command in front failed; with it goes what the target skips because of it.
    fn failed_now(
        &mut self,
        len: usize,
        fatal: bool,
        ready: Option<(usize, TransactionStatus)>,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        let (len, ready) = self.tell_overtime(len, ready, walk);
        let Some(entry) = self.flight.first() else { return Step::On };
        let (owner, ends) = (entry.owner, entry.ends);
        let of_script = matches!(entry.sent, Sent::Script | Sent::Function(_));
        let Ok(Message::ErrorResponse(it)) = Message::read(b'E', walk.body(len)) else { return Step::On };
        let failing = self.flight.running.iter().find(|r| r.seq == owner || of_script);
        let mut outcome = Outcome::default();
        fail(&mut outcome, &it, failing.and_then(|r| r.secrets.as_ref()));
        if let (Some(knowing), Some(running)) = (&mut self.knowing, failing) {
            knowing.failed(&running.pending, &running.shape);
        }
        (self.failed, self.target_said_why) = (true, self.target_said_why || fatal);
        if failing.is_none() {
            return self.failed_bookkeeping(len, outcome, walk, out);
        }
        let read = failing.and_then(|r| judged_read(r));
        self.watch(it.sqlstate(), read);
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        if let Some((end, _)) = ready {
            self.asides(len, end, walk, out);
        }
        let last = walk.cut(ready.map_or(len, |(end, _)| end));
        let mut ended = std::collections::VecDeque::new();
        if of_script {
            self.flight.pop();
            ended.extend((0..ends).map_while(|_| self.flight.end_first()));
        } else {
            ended = self.flight.skip(&mut self.names);
        }
        // What they would have left behind is under way no longer: `ready` counts on that.
        ended.iter_mut().for_each(|running| running.pending = Pending::default());
        let mut in_turn = true;
        if let Some((_, status)) = ready {
            in_turn = self.flight.take_ready();
            self.ready(status, out);
        }
        outcome.transaction = self.transaction;
        let mut told = Some((outcome, last));
        for mut running in ended {
            if (running.seq == owner || of_script)
                && let Some((mut outcome, last)) = told.take()
            {
                finish(&mut running, &mut outcome, out);
                out.push(Action::Complete { permit: running.permit, outcome: Box::new(outcome), last });
            } else {
                out.push(Action::Abandon(running.permit, AbandonReason::Skipped));
            }
        }
        if in_turn { Step::On } else { Step::Broken(READY_TOO_EARLY.to_owned()) }
    }

    /// A Describe or Close failed: no command's error, but what comes after it is skipped.
    fn failed_bookkeeping(
        &mut self,
        len: usize,
        outcome: Outcome,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        self.flush(walk, out);
        let reply = walk.cut(len);
        for running in self.flight.skip(&mut self.names) {
            out.push(Action::Abandon(running.permit, AbandonReason::Skipped));
        }
        out.push(Action::Note { what: "error", detail: outcome.error, reply });
        Step::On
    }

    /// An error that answers nothing in particular: at the commit behind a Sync, or because the session ends.
    fn error_of_nothing(
        &mut self,
        len: usize,
        fatal: bool,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        let detail = match Report::read(walk.body(len), "ErrorResponse") {
            Ok(it) => report::noted(&it),
            Err(_) => Json::default(),
        };
        (self.failed, self.target_said_why) = (true, self.target_said_why || fatal);
        self.flush(walk, out);
        out.push(Action::Note { what: "error", detail, reply: walk.cut(len) });
        Step::On
    }

    /// The target's error for what stood in a refused message's place: the client reads the refusal instead.
    fn refused(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        self.swallow(len, walk, out);
        let Some(entry) = self.flight.pop() else { return Step::On };
        self.failed = true;
        if let Sent::Refused(told) = entry.sent {
            out.push(Action::ToClient(self.admission.reply(told)));
        }
        if matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Ready)) {
            return Step::On;
        }
        for running in self.flight.skip(&mut self.names) {
            out.push(Action::Abandon(running.permit, AbandonReason::Skipped));
        }
        Step::On
    }
}

/// The outcome that the ending message tells.
pub(super) fn outcome(ending: Ending, body: &[u8], running: &mut Running) -> Result<Outcome, Step> {
    let mut outcome = Outcome::default();
    match ending {
        Ending::Tag => {
            let tag = CommandTag::read(body)?;
            outcome.tag = String::from_utf8_lossy(tag.0).into_owned();
            let expected = running.shape.tag.as_str();
            let stores = matches!(expected, "CREATE TABLE AS" | "SELECT INTO" | "CREATE MATERIALIZED VIEW");
            let returned = !stores && matches!(tag.verb(), b"SELECT" | b"FETCH" | b"MOVE");
            outcome.affected = tag.rows().filter(|_| !returned);
            if expected == "SELECT" && tag.verb() != b"SELECT" {
                outcome.coverage.push(TAG_MISMATCH);
            }
        }
        Ending::Suspended => outcome.suspended = true,
        Ending::Function(answer) => {
            if let Message::FunctionCallResponse(value) = Message::read(b'V', body)? {
                let header = frame_header(b'V', body.len());
                let capture = running.capture();
                capture.passed(1, &header);
                capture.passed(0, body);
                capture.answer(answer, value);
            }
        }
        Ending::Empty => {}
    }
    Ok(outcome)
}

/// What stands before the body of a message.
fn frame_header(tag: u8, body: usize) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = u32::try_from(body + HEADER_LEN - 1).unwrap_or(u32::MAX).to_be_bytes();
    [tag, a, b, c, d]
}

/// Puts an error into the outcome.
pub(super) fn fail(outcome: &mut Outcome, it: &Report<'_>, secrets: Option<&Arc<firsthand_sql::Masked>>) {
    outcome.code = Some(String::from_utf8_lossy(it.sqlstate()).into_owned());
    outcome.error = report::json(it, secrets);
    if report::is_cut(it) {
        outcome.coverage.push(MESSAGES_CUT);
    }
}

/// Puts rows and notices into the outcome; what does not fit there goes before it.
pub(super) fn finish(running: &mut Running, outcome: &mut Outcome, out: &mut Vec<Action>) {
    if let Some(mut capture) = running.capture.take() {
        if let Some(masking) = &mut running.masking {
            masking.tell(&mut capture);
        }
        let number = running.permit.number();
        out.extend(capture.finish(outcome).map(|piece| Action::Rows(number, piece)));
    }
    let number = running.permit.number();
    let told = matches!(running.changed, Some(Changed::Told(_)));
    if let Some(changed) = running.changed.take() {
        changed.finish(number, outcome, out);
    }
    if let Some(along) = running.along.take().filter(|_| outcome.code.is_none()) {
        let pieces = along.tell(outcome.affected.unwrap_or(0), told, &mut outcome.coverage);
        out.extend(pieces.into_iter().map(|piece| Action::Changed(number, piece)));
    }
    if outcome.tag.starts_with("COPY ")
        && let Some(rows) = outcome.affected
    {
        outcome.rows = rows;
    }
    outcome.taken = running.shape.tag == "COPY" && running.shape.effects.has(Effect::Write);
    if running.notices_cut && !outcome.coverage.contains(&MESSAGES_CUT) {
        outcome.coverage.push(MESSAGES_CUT);
    }
    if !running.notices.is_empty() {
        let mut notices = std::mem::take(&mut running.notices);
        notices.push(b']');
        outcome.notices = Json::from_written(notices);
    }
}
