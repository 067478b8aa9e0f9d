//! Blast radius: a write that affects more rows than it may is undone before it commits.
//!
//! The target tells the number with the command's end, and by then the client must not yet be able to commit. So:
//! - In the extended protocol the Sync (and whatever else may commit) is held back until every limited command in front of
//!   it has ended. Over the limit, a text that fails goes first.
//! - A Query outside a transaction commits before its end is told. It is put between BEGIN and COMMIT, which the client
//!   does not see; over the limit, ROLLBACK takes COMMIT's place.
//! - Inside a transaction the numbers add up. Over the limit, a text that fails goes to the target: it then refuses
//!   to commit by itself (invariant 9).
//!
//! What cannot be counted before it commits (changes in a WITH clause, EXPLAIN ANALYZE, code) is refused when it has a limit.
//! What the target counts into no tag counts only where it is asked for (`changed/along.rs`): cascades, what triggers and rules
//! change. What REFRESH MATERIALIZED VIEW writes is not counted.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::amount::Most;
use firsthand_model::command::{Effect, Effects, Shape, Step as CommandStep};
use firsthand_model::outcome::{AbandonReason, Outcome, Transaction};
use firsthand_model::statement::{Facts, RelationKind};
use firsthand_session::{Permit, Refusal, RefusalKind};
use firsthand_sql::Changes;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::{CommandTag, Report, TransactionStatus};
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend;

use super::batch::{Item, Plan, What};
use super::changed::{runs_code, undone};
use super::complete::{Ending, fail, finish, outcome};
use super::dialect::PostgresDialect;
use super::flight::{Entry, Running, Sent, lasts};
use super::forward::{Counting, Sending, Slot};
use super::names::Own;
use super::role::Change;
use super::server::{Step, Walk};
use super::wal::takes_number;
use super::{refuse, report};
use crate::dialect::Action;

/// How many rows one command may affect.
#[derive(Debug)]
pub(super) struct Limit {
    of: Most,
    /// It is of the transaction; otherwise of what is left of a session or a day.
    of_transaction: bool,
}

/// A Query between the gateway's own BEGIN and COMMIT.
enum Wrap {
    /// It runs.
    Open,
    /// It has ended, and COMMIT is on its way; then the client is told.
    Committing { permit: Permit, outcome: Box<Outcome>, last: Bytes, asked: bool },
}

/// Where limited writes of a session stand.
#[derive(Default)]
pub(super) struct Radius {
    /// Rows affected by limited commands in this transaction.
    sum: u64,
    wrap: Option<Wrap>,
    /// What the target answers is dropped, up to the ReadyForQuery after this many others.
    dropping: Option<u32>,
    /// Messages that wait for the end of limited commands.
    held: Option<Box<Sending>>,
}

impl Limit {
    pub(super) fn most(&self) -> u64 {
        self.of.most
    }

    pub(super) fn rule(&self) -> &Arc<str> {
        &self.of.limit
    }
}

impl Radius {
    /// Whether the client's next messages have to wait. `skipping`: the target skips up to a Sync that the client has still to
    /// send; then that ends the dropping, and nothing else would.
    fn is_busy(&self, skipping: bool) -> bool {
        self.wrap.is_some() || self.held.is_some() || (self.dropping.is_some() && !skipping)
    }

    /// Whether messages are held back.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn is_wrapped(&self) -> bool {
        self.wrap.is_some()
    }

    /// Whether what the target answers is dropped.
    pub(super) fn is_dropping(&self) -> bool {
        self.dropping.is_some()
    }

    /// The transaction has ended.
    pub(super) fn transaction_ended(&mut self) {
        self.sum = 0;
    }

    pub(super) fn hold(&mut self, sending: Sending) {
        self.held = Some(Box::new(sending));
    }

    /// The session ends: the permits of what never went out, or has not been told.
    pub(super) fn abandon(&mut self, why: AbandonReason, out: &mut Vec<Action>) {
        if let Some(held) = self.held.take() {
            held.abandon(why, out);
        }
        if let Some(Wrap::Committing { permit, .. }) = self.wrap.take() {
            out.push(Action::Abandon(permit, why));
        }
        self.dropping = None;
    }
}

/// Whether the number of rows that a command affects is told before it commits.
pub(super) enum Count {
    /// It changes no rows, as far as is known.
    NoWrite,
    Told,
    Untold,
}

pub(super) fn count(shape: &Shape, changes: Option<&Changes>) -> Count {
    // What it means says more than its text: EXECUTE and FETCH by what they stand for.
    let told = shape.facts.as_ref().filter(|facts| facts.opaque.is_none());
    if shape.plain_read || told.is_some_and(|facts| !facts.effects.has(Effect::Write)) {
        return Count::NoWrite;
    }
    let untold = match changes {
        Some(Changes::Rows(change)) => change.nested,
        Some(Changes::Untold("cte" | "explain" | "truncate" | "opaque", _)) => true,
        Some(Changes::Untold(..)) | None => false,
    };
    match shape.tag.as_str() {
        _ if untold => Count::Untold,
        // A call by the protocol's own FunctionCall: what the function changes nobody tells.
        "" if shape.effects.has(Effect::Execute) => Count::Untold,
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" => Count::Told,
        // What fills a new relation tells as `SELECT n` how many rows it has put there; WITH NO DATA puts none.
        "CREATE TABLE AS" | "SELECT INTO" | "CREATE MATERIALIZED VIEW" => Count::Told,
        "COPY" if shape.effects.has(Effect::Write) => Count::Told,
        "SELECT" | "VALUES" => count_select(shape),
        "EXPLAIN" if shape.effects.has(Effect::Write) || runs_code(shape) => Count::Untold,
        "COPY" | "DECLARE CURSOR" if runs_code(shape) => Count::Untold,
        // Which cursor it is may not be known; but what runs is told by its declaration.
        "FETCH" | "MOVE" if shape.facts.is_some() && runs_code(shape) => Count::Untold,
        "TRUNCATE TABLE" | "TRUNCATE" | "DO" | "CALL" | "EXECUTE" => Count::Untold,
        _ => Count::NoWrite,
    }
}

/// A query changes what the functions change that it calls, which is counted around it.
fn count_select(shape: &Shape) -> Count {
    if runs_code(shape) {
        return Count::Told;
    }
    let rows = |facts: &Facts| facts.writes.iter().any(|it| it.kind != RelationKind::Sequence);
    match &shape.facts {
        Some(facts) if !rows(facts) => Count::NoWrite,
        None if !shape.effects.has(Effect::Write) => Count::NoWrite,
        _ => Count::Untold,
    }
}

/// How many rows of its own the end of a command tells as affected.
fn own_rows(shape: &Shape, tag: &[u8]) -> u64 {
    if matches!(shape.tag.as_str(), "SELECT" | "VALUES") {
        return 0;
    }
    CommandTag::read(tag).ok().and_then(|tag| tag.rows()).unwrap_or(0)
}

/// Whether a command can neither end the transaction nor run outside one.
fn stays_inside(shape: &Shape) -> bool {
    let tag = shape.tag.as_str();
    matches!(tag, "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "VALUES")
        || matches!(tag, "CREATE TABLE AS" | "SELECT INTO" | "CREATE MATERIALIZED VIEW")
}

/// Whether a command leaves the transaction open in which it runs, so that it can still be failed behind it.
fn leaves_open(shape: &Shape) -> bool {
    let tag = shape.tag.as_str();
    shape.plain_read
        || stays_inside(shape)
        || shape.effects == Effects::only(Effect::Read)
        || matches!(
            tag,
            "BEGIN" | "START TRANSACTION" | "SAVEPOINT" | "RELEASE" | "DECLARE CURSOR" | "FETCH" | "MOVE"
        )
        || matches!(tag, "CLOSE CURSOR" | "SET" | "PREPARE" | "DEALLOCATE")
}

/// Whether a command rolls back, all of it or to a savepoint.
fn rolls_back(running: &Running) -> bool {
    matches!(running.change, Change::End { commit: false, .. } | Change::RollbackTo)
}

/// Whether a Query commits something together with a result that may have to be withheld, and can be kept from it.
fn withholds(slots: &[Slot]) -> bool {
    let any = |is: fn(&Running) -> bool| slots.iter().filter_map(Slot::permitted).any(is);
    any(Running::may_be_withheld)
        && any(|running| lasts(&running.shape))
        && slots.iter().all(|slot| slot.stays_inside(stays_inside))
}

/// The limit of a permitted command; or the refusal, where it has one that cannot be kept.
pub(super) fn limit_of(plan: &Plan, permit: &Permit) -> Result<Option<Limit>, Refusal> {
    let limited = permit.affected_limit().map(|most| (most, true));
    let Some((of, of_transaction)) = limited.or_else(|| Some((permit.affected_left()?, false))) else {
        return Ok(None);
    };
    let (most, rule) = (of.most, &of.limit);
    if plan.step != CommandStep::Run {
        return Ok(None);
    }
    match count(&plan.shape, plan.changes.as_deref()) {
        Count::NoWrite => Ok(None),
        Count::Told => Ok(Some(Limit { of, of_transaction })),
        Count::Untold => Err(uncountable(most, rule)),
    }
}

fn uncountable(most: u64, rule: &Arc<str>) -> Refusal {
    let text = format!(
        "Firsthand did not run this: it may affect at most {most} rows (rule {rule}), and how many this statement \
         affects is not told before it commits; send the change as one plain INSERT, UPDATE, DELETE or MERGE"
    );
    let mut refusal = Refusal::new(RefusalKind::Limit, text);
    refusal.rule = Arc::clone(rule);
    refusal
}

fn in_parts(limit: &Limit) -> Refusal {
    let Most { most, limit: rule, .. } = &limit.of;
    let text = format!(
        "Firsthand rolled this back: it may affect at most {most} rows (rule {rule}), and how many it affects is not told \
         to who fetches its rows in parts; fetch all of them at once"
    );
    let mut refusal = Refusal::new(RefusalKind::Limit, text).hint("Nothing was changed.");
    refusal.rule = Arc::clone(rule);
    refusal
}

/// What to do about that.
const OVER_ADVICE: &str =
    "Nothing was changed. Narrow the statement down, or ask the operator for a higher limit.";

/// What the client reads when a write went over its limit.
fn over(rows: u64, along: u64, sum: u64, limit: &Limit) -> Refusal {
    let (most, rule, advice) = (limit.of.most, &limit.of.limit, limit.of.with_because(OVER_ADVICE));
    let beside = if along > 0 {
        format!(" and {along} along with them (foreign keys, triggers)")
    } else {
        String::new()
    };
    let so_far = if sum > rows.saturating_add(along) {
        format!(", {sum} with those before it in this transaction")
    } else {
        String::new()
    };
    let row_s = if rows == 1 { "row" } else { "rows" };
    let text = format!(
        "Firsthand rolled this back: it would have affected {rows} {row_s}{beside}{so_far}; at most {most} are allowed (rule {rule}). \
         {advice}"
    );
    let mut refusal = Refusal::new(RefusalKind::Limit, text).hint(advice);
    refusal.rule = Arc::clone(rule);
    refusal
}

fn query(text: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(text.len() + 8);
    let encoded = frontend::encode_query(&mut bytes, text.as_bytes());
    debug_assert!(encoded.is_ok(), "the text holds no zero byte");
    bytes.freeze()
}

impl PostgresDialect {
    /// Whether a limit on the rows that this affects could not be kept. `with`: the statements of its Query, where it is one of
    /// several.
    pub(super) fn is_uncounted(&self, plan: &Plan, with: &[Plan]) -> bool {
        if plan.step != CommandStep::Run {
            return false;
        }
        match count(&plan.shape, plan.changes.as_deref()) {
            Count::NoWrite => false,
            Count::Untold => true,
            Count::Told => {
                !with.iter().all(|plan| stays_inside(&plan.shape))
                    || self.goes_too_far_with(&plan.shape, plan.changes.as_deref(), !with.is_empty())
            }
        }
    }

    /// Whether the client's next messages have to wait for what limited commands come to.
    pub(super) fn is_held_up(&self) -> bool {
        self.radius.is_busy(self.flight.is_skipping())
    }

    /// Whether a message must wait: it may commit what a limited command in front of it did.
    pub(super) fn must_hold(&self, item: &Item, slots: &[Slot]) -> bool {
        if self.is_among_copy_data() {
            return false;
        }
        let any =
            |is: fn(&Running) -> bool| self.flight.is_limited() && self.flight.running.iter().any(|r| is(r));
        let (limited, may_stop) = (any(|r| r.limit.is_some()), any(Running::may_be_withheld));
        let unnamed = self.is_unnamed();
        match &item.what {
            What::Query(range) => {
                let slots = slots.get(range.clone()).unwrap_or_default();
                let commits = self.sync_commits() || !slots.iter().all(|s| s.stays_inside(leaves_open));
                let wraps = slots.iter().any(|slot| slot.is_limited() || slot.counts().is_some())
                    || withholds(slots)
                    || self.wraps_to_name(slots);
                let rolls_back = slots.iter().all(|s| s.permitted().is_none_or(rolls_back));
                let takes = slots.iter().filter_map(Slot::permitted).any(|r| takes_number(&r.shape));
                limited
                    || (may_stop && commits)
                    || (unnamed && ((commits && !rolls_back) || takes))
                    || self.radius.is_wrapped()
                    || (wraps && !self.flight.is_idle())
            }
            What::Sync => limited || ((may_stop || unnamed) && self.sync_commits()),
            What::Function(_) => limited || may_stop || unnamed,
            What::Execute(_) => {
                let slot = item.owner.and_then(|o| slots.get(o));
                let is = |kind: fn(&Shape) -> bool| slot.is_some_and(|s| s.stays_inside(kind));
                let rolls_back = slot.and_then(Slot::permitted).is_some_and(rolls_back);
                (limited && !is(stays_inside))
                    || (may_stop && !is(leaves_open))
                    || (unnamed && !is(leaves_open) && !rolls_back)
                    // Behind it the number tells nothing more of what has run so far.
                    || (unnamed && slot.and_then(Slot::permitted).is_some_and(|r| takes_number(&r.shape)))
            }
            _ => false,
        }
    }

    /// Whether what goes out now stands among copy data that the target reads: there a Sync counts for nothing, and all else
    /// ends the COPY with an error, so that nothing is committed; and what waits for the end of that COPY would wait for
    /// ever. If the COPY has failed meanwhile, its transaction has, too: in the extended protocol the target skips up to a
    /// Sync, behind which nothing is sent before that is known (`awaits_sync`). Between BEGIN and COMMIT of the gateway's own
    /// it is another matter (`end_copy_over`).
    fn is_among_copy_data(&self) -> bool {
        self.flight.is_reading_copy() && !self.radius.is_wrapped()
    }

    /// Whether a Sync that goes out now would commit something: not within a transaction block.
    fn sync_commits(&self) -> bool {
        let block = self.transaction == Transaction::Open
            && self.flight.running.iter().all(|r| leaves_open(&r.shape));
        !block && self.flight.is_touched()
    }

    /// Messages wait: the target is made to answer what it has.
    pub(super) fn ask_to_answer(&mut self, out: &mut Vec<Action>) {
        let mut bytes = BytesMut::new();
        frontend::encode_flush(&mut bytes);
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
    }

    /// Before a Query: what it needs around it. The refusal, when its limit cannot be kept.
    pub(super) fn wrap_query(&mut self, slots: &[Slot], out: &mut Vec<Action>) -> Result<(), Refusal> {
        if self.is_among_copy_data() {
            // It ends the COPY, and does nothing itself.
            return Ok(());
        }
        let counts = slots.iter().find_map(Slot::counts);
        match slots.iter().find_map(Slot::limit) {
            Some(limited) if slots.len() > 1 && !slots.iter().all(|slot| slot.stays_inside(stays_inside)) => {
                return Err(uncountable(limited.most(), limited.rule()));
            }
            Some(_) => {}
            None if withholds(slots) || self.wraps_to_name(slots) => {}
            None if counts.is_some() => {}
            None => return Ok(()),
        }
        let wraps = self.transaction == Transaction::Idle;
        match counts {
            Some(Counting { reach, manner, seq }) => {
                let with = if wraps { "BEGIN;" } else { "" };
                self.ask_along(with, (&reach, manner), seq, false, out);
            }
            None if wraps => {
                out.push(Action::ToServer(self.without_command(query("BEGIN"))));
                self.flight.push(Entry::plain(Sent::Own));
            }
            None => {}
        }
        if wraps {
            self.radius.wrap = Some(Wrap::Open);
        }
        Ok(())
    }

    /// After a walk: what was held back goes on, if nothing limited is under way any more.
    pub(super) fn resume_held(&mut self, out: &mut Vec<Action>) {
        let running = &self.flight.running;
        let waits = self.radius.is_wrapped()
            || running.iter().any(|r| r.limit.is_some() || r.traced || r.may_be_withheld());
        let among = self.is_among_copy_data();
        let goes = |held: &Sending| among || (!waits && (!held.waits_for_all() || self.flight.is_idle()));
        if !self.radius.held.as_ref().is_some_and(|held| goes(held)) || (!among && self.awaits_name(out)) {
            return;
        }
        let Some(held) = self.radius.held.take() else { return };
        self.send_on(*held, out);
    }

    /// A message of the target that is not for the client: it answers what the gateway sent for itself, or comes after a
    /// command that was undone. `None`: it is not that.
    pub(super) fn own_answer(
        &mut self,
        tag: u8,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        if matches!(tag, b'A' | b'S') || (tag == b'E' && is_fatal(walk.body(len))) {
            return None;
        }
        if let Some(left) = self.radius.dropping {
            if tag == b'Z' && left == 0 {
                (self.radius.dropping, self.radius.wrap) = (None, None);
                return None;
            }
            if tag == b'Z' {
                self.radius.dropping = Some(left - 1);
            }
            self.swallow(len, walk, out);
            return Some(Step::On);
        }
        if let Some(step) = self.counted(tag, len, walk, out) {
            return Some(step);
        }
        if matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Own)) {
            // What fails a transaction behind other answers tells so with its own; BEGIN around a Query is not told.
            let failed =
                tag == b'Z' && TransactionStatus::read(walk.body(len)) == Ok(TransactionStatus::Failed);
            self.swallow(len, walk, out);
            if tag == b'Z' {
                self.flight.pop();
            }
            if failed {
                self.ready(TransactionStatus::Failed, out);
            }
            return Some(Step::On);
        }
        match &self.radius.wrap {
            Some(Wrap::Committing { .. }) if tag != b'N' => Some(self.committing(tag, len, walk, out)),
            _ => None,
        }
    }

    /// The answers to COMMIT, after the ReadyForQuery of what it commits.
    fn committing(&mut self, tag: u8, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let Some(Wrap::Committing { permit, mut outcome, mut last, asked }) = self.radius.wrap.take() else {
            return Step::On;
        };
        if tag == b'E' {
            if let Ok(it) = Report::read(walk.body(len), "ErrorResponse") {
                fail(&mut outcome, &it, None);
            }
            self.flush(walk, out);
            last = walk.cut(len);
        } else if tag == b'Z' && asked {
            let Ok(status) = TransactionStatus::read(walk.body(len)) else {
                return Step::Broken("a malformed 'Z'".to_owned());
            };
            self.flight.take_ready();
            self.failed |= outcome.code.is_some();
            self.ready(status, out);
            outcome.transaction = self.transaction;
            self.flush(walk, out);
            let mut told = BytesMut::from(&last[..]);
            told.extend_from_slice(&walk.cut(len));
            out.push(Action::Complete { permit, outcome, last: told.freeze() });
            return Step::On;
        } else {
            self.swallow(len, walk, out);
        }
        let asked = asked || tag == b'Z';
        self.radius.wrap = Some(Wrap::Committing { permit, outcome, last, asked });
        Step::On
    }

    /// The end of a command that has a limit, or that stands between BEGIN and COMMIT. `None`: it ends as any other.
    pub(super) fn limited_end(
        &mut self,
        ending: Ending,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let running = self.flight.running.front_mut()?;
        if running.limit.is_none() && self.radius.wrap.is_none() {
            return None;
        }
        if ending == Ending::Tag
            && let Some(limit) = self.flight.take_limit()
        {
            let first = self.flight.running.front();
            let rows = first.map_or(0, |running| own_rows(&running.shape, walk.body(len)));
            let along = self.flight.running.front().and_then(|r| r.along.as_ref());
            let along = match along.map_or(Ok(0), |along| along.beside(rows)) {
                Ok(along) => along,
                Err(why) => {
                    let refusal = undone(limit.of.most, &limit.of.limit, why);
                    return Some(self.undo(&refusal, Some(rows), len, walk, out));
                }
            };
            // What is refused is undone, and no part of the sum: behind ROLLBACK TO a smaller write may still be made.
            let sum = self.radius.sum.saturating_add(rows).saturating_add(along);
            if limit.of_transaction && sum > limit.of.most {
                let refusal = over(rows, along, sum, &limit);
                return Some(self.undo(&refusal, Some(rows), len, walk, out));
            }
            let affected =
                self.flight.running.front_mut().map(|r| r.permit.affect(rows.saturating_add(along)));
            if let Some(Err(refusal)) = affected {
                return Some(self.undo(&refusal, Some(rows), len, walk, out));
            }
            self.radius.sum = sum;
        }
        if ending == Ending::Suspended
            && let Some(limit) = self.flight.take_limit()
        {
            // The target has changed all rows already, and tells how many only with the last that is fetched, if ever.
            let refusal = in_parts(&limit);
            return Some(self.undo(&refusal, None, len, walk, out));
        }
        let last = self.flight.first().is_some_and(|e| e.ends <= 1);
        if self.radius.wrap.is_some() && last {
            return Some(self.commit(ending, len, walk, out));
        }
        None
    }

    /// The last command of a wrapped Query has ended well: commit, then tell.
    fn commit(&mut self, ending: Ending, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        self.flush(walk, out);
        let made = self.flight.running.front_mut().map(|r| outcome(ending, walk.body(len), r));
        let mut outcome = match made {
            Some(Ok(outcome)) => outcome,
            Some(Err(step)) => return step,
            None => return Step::On,
        };
        let Some(mut running) = self.flight.end_first() else { return Step::On };
        self.drop_first_entry();
        self.learned(std::mem::take(&mut running.pending), &running.shape, &outcome);
        let last = walk.cut(len);
        finish(&mut running, &mut outcome, out);
        let outcome = Box::new(outcome);
        self.radius.wrap = Some(Wrap::Committing { permit: running.permit, outcome, last, asked: false });
        self.commit_when_named(query("COMMIT"), out);
        Step::On
    }

    /// A message that is no copy data has come while the target reads some for a wrapped Query. PostgreSQL does not take it and
    /// ends the session; so it gets one of the same kind, which would do nothing if the COPY had failed a moment ago. The
    /// client's own waits for what becomes of that.
    pub(super) fn end_copy_over(&mut self, tag: u8, out: &mut Vec<Action>) {
        if !self.radius.is_wrapped() || !self.flight.is_reading_copy() || self.flight.ends_with_own() {
            return;
        }
        let text = format!("firsthand ends a COPY of session {}", self.session);
        let mut bytes = BytesMut::new();
        let name = self.own_name(Own::Refused);
        let name = name.as_bytes();
        let statement = frontend::Object::Statement(name);
        let encoded = match tag {
            b'P' => frontend::encode_parse(&mut bytes, name, text.as_bytes(), &[]),
            b'B' => frontend::encode_bind(&mut bytes, (name, name), (Format::Text, &[]), Format::Text),
            b'E' => frontend::encode_execute(&mut bytes, name, 0),
            b'D' => frontend::encode_describe(&mut bytes, statement),
            b'C' => frontend::encode_close(&mut bytes, statement),
            b'X' => {
                frontend::encode_terminate(&mut bytes);
                Ok(())
            }
            _ => frontend::encode_query(&mut bytes, text.as_bytes()),
        };
        debug_assert!(encoded.is_ok(), "neither name nor text holds a zero byte");
        if matches!(tag, b'P' | b'B' | b'E' | b'D' | b'C') {
            frontend::encode_sync(&mut bytes);
        }
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
        self.flight.push(Entry::plain(Sent::Own));
    }

    /// A wrapped Query failed: the transaction around it goes, too.
    pub(super) fn wrap_failed(&mut self, out: &mut Vec<Action>) {
        if matches!(self.radius.wrap, Some(Wrap::Open)) {
            out.push(Action::ToServer(self.without_command(query("ROLLBACK"))));
            self.radius.dropping = Some(1 + self.flight.take_all_own());
        }
    }

    /// The command in front is not to be: the client reads the refusal in place of the message of `len` bytes, the target
    /// is made to undo it, and what else it answers up to then is dropped.
    pub(super) fn undo(
        &mut self,
        refusal: &Refusal,
        affected: Option<u64>,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        self.swallow(len, walk, out);
        let told = refuse::error(refusal, self.parameters.settings.utf8);
        let script = matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script));
        let ends = self.flight.first().map_or(0, |e| e.ends);
        let Some(running) = self.flight.end_first() else { return Step::On };
        // A question of the gateway's own may stand behind it: the answer to that is dropped, too.
        let own = if script { self.flight.take_own(running.seq) } else { 0 };
        self.failed = true;
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        let mut undone = Outcome { affected, transaction: self.transaction, ..Outcome::default() };
        undone.code = Some(refuse::sqlstate(refusal.kind).to_owned());
        if let Ok(it) = Report::read(told.get(HEADER_LEN..).unwrap_or_default(), "ErrorResponse") {
            undone.error = report::json(&it, None);
        }
        let Running { permit, .. } = finished(running, &mut undone, out);
        out.push(Action::Complete { permit, outcome: Box::new(undone), last: told });
        let skipped: Vec<_> = if script {
            self.flight.pop();
            (1..ends).map_while(|_| self.flight.end_first()).collect()
        } else {
            self.drop_first_entry();
            self.flight.skip(&mut self.names).into()
        };
        out.extend(skipped.into_iter().map(|r| Action::Abandon(r.permit, AbandonReason::Skipped)));
        let follows = script || self.flight.sync_follows();
        let alone = self.flight.is_only_ready() || self.flight.ends_with_its_sync();
        let nothing_to_undo =
            self.transaction == Transaction::Idle && !self.flight.is_touched() && !self.radius.is_wrapped();
        if follows && nothing_to_undo {
            self.radius.dropping = Some(own);
        } else if follows && !alone {
            // More has gone out behind it, and a text that fails comes after that: the answers up to its own ReadyForQuery
            // are dropped. Nothing that ends a transaction block has gone out (`must_hold`).
            self.radius.dropping = Some(own);
            if self.transaction == Transaction::Failed {
                self.fail_withheld(refusal, out);
            }
        } else {
            self.make_fail(follows, refusal, out);
            self.radius.dropping = self.radius.dropping.map(|others| others + own);
        }
        Step::On
    }

    /// Has the target fail the transaction block once it has answered what has gone out.
    fn fail_withheld(&mut self, refusal: &Refusal, out: &mut Vec<Action>) {
        let text = "the transaction is aborted: Firsthand has withheld an earlier result of it";
        let mut aborted = Refusal::new(RefusalKind::Limit, text).hint("ROLLBACK, then begin again.");
        aborted.rule = Arc::clone(&refusal.rule);
        self.fail_behind(&aborted, out);
    }

    /// The same, in these words where the client can be told now: in the middle of its pipeline.
    pub(super) fn fail_behind(&mut self, refusal: &Refusal, out: &mut Vec<Action>) {
        if self.flight.is_open() {
            let name = self.own_name(Own::Refused);
            self.send_failing(refusal, false, name.as_bytes(), out);
        } else {
            out.push(Action::ToServer(self.without_command(query(&self.failing_text(refusal)))));
            self.flight.push(Entry::plain(Sent::Own));
        }
    }

    /// Has the target fail (or roll back) what runs, and drops its answers to that.
    fn make_fail(&mut self, script: bool, refusal: &Refusal, out: &mut Vec<Action>) {
        let text = self.failing_text(refusal);
        let bytes = if script {
            query(if self.radius.is_wrapped() { "ROLLBACK" } else { &text })
        } else {
            let mut bytes = BytesMut::new();
            let name = self.own_name(Own::Refused);
            let encoded = frontend::encode_parse(&mut bytes, name.as_bytes(), text.as_bytes(), &[]);
            debug_assert!(encoded.is_ok(), "the text holds no zero byte");
            bytes.freeze()
        };
        self.radius.dropping = Some(u32::from(script));
        out.push(Action::ToServer(self.without_command(bytes)));
    }
}

/// The command with its rows and notices put into the outcome.
fn finished(mut running: Box<Running>, outcome: &mut Outcome, out: &mut Vec<Action>) -> Running {
    finish(&mut running, outcome, out);
    *running
}

/// Whether an error ends the session.
pub(super) fn is_fatal(body: &[u8]) -> bool {
    Report::read(body, "ErrorResponse").is_ok_and(|it| it.is_fatal())
}
