//! What a command changes beyond the rows that it tells: the target's counters are asked for before and after it, in its own
//! transaction, and the answers stay here. The command's end waits for the second one.
//!
//! - In the extended protocol both questions stand around the Execute, in the client's own pipeline: nothing commits before
//!   its Sync.
//! - A Query outside a transaction commits with its own end. It runs as a portal instead, between the questions and one
//!   Sync; the client gets the answers of a Query.
//! - DO and CALL may commit themselves, which they can only as the first thing in their transaction. Before them the
//!   counters are put to zero, in a unit of its own; only the second question stands in their transaction.
//!
//! Where none of that is exact the command goes as it is, and its outcome says so (`changed-rows:effects-unknown`).

use bytes::{Bytes, BytesMut};
use firsthand_model::command::{Effect, Shape};
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::{AbandonReason, Outcome, Transaction};
use firsthand_model::target::ChangedRows;
use firsthand_model::time::MonoMicros;
use firsthand_sql::Changes;
use firsthand_wire::postgres::backend::{Report, TransactionStatus};
use firsthand_wire::postgres::frontend;

use super::super::batch::{Item, What};
use super::super::complete::{Ending, fail, finish, outcome};
use super::super::dialect::PostgresDialect;
use super::super::flight::{Entry, Running, Sent};
use super::super::forward::Slot;
use super::super::server::{Step, Walk};
use super::counts::{self, Counts, Difference};
use super::{Changed, EFFECTS_UNKNOWN};
use crate::dialect::Action;

/// A longer text does not run as a portal: it would be held twice.
const RUN_BYTES_MAX: usize = 1 << 20;

/// What is found out of one command's effects.
#[derive(Debug)]
pub(in super::super) enum Counting {
    /// It may have some, and they cannot be counted.
    Unknown,
    /// The counters before it; `None`: not told, or not yet.
    Counted(Option<Box<Counts>>),
}

/// What stands around a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Around {
    /// Nothing.
    Nothing,
    /// A question before and one after.
    Both,
    /// A question after; the counters were put to zero.
    After,
}

/// Whether a command may have effects that its rows do not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effects {
    None,
    /// In its transaction.
    Inside,
    /// It may end its transaction.
    Apart,
}

/// A command that has ended, and waits for what its effects were, or for ReadyForQuery.
pub(in super::super) struct Ended {
    running: Box<Running>,
    outcome: Box<Outcome>,
    /// What the client will be told, and the place and length of what ends the command in it.
    last: BytesMut,
    place: (usize, usize),
    /// A Query that runs as a portal: it is told in the order of a Query.
    script: bool,
    counts: Counts,
    difference: Difference,
}

impl Ended {
    /// Its permit, when the session ends before it is told.
    pub(in super::super) fn abandon(self, why: AbandonReason) -> Action {
        Action::Abandon(self.running.permit, why)
    }
}

impl PostgresDialect {
    /// What has to stand around a message that is about to be sent. The command learns of it.
    pub(in super::super) fn around(
        &mut self,
        item: &Item,
        slots: &mut [Slot],
        body: &[u8],
        settled: bool,
        now: MonoMicros,
    ) -> Around {
        let one = match &item.what {
            What::Execute(_) => true,
            What::Query(range) => range.len() == 1,
            _ => false,
        };
        let running = item.owner.and_then(|at| slots.get_mut(at)).and_then(Slot::permitted_mut);
        let Some(running) = running.filter(|_| one && self.changed.kept != ChangedRows::Off) else {
            return Around::Nothing;
        };
        let portal = match &item.what {
            What::Execute(portal) => portal.as_ref(),
            _ => None,
        };
        let of_portal = portal.and_then(|p| p.statement.as_ref()).and_then(|s| s.changes.as_deref());
        let changes = of_portal.or(running.changes.as_deref());
        let left_open = self.changed.suspends;
        let may_suspend = portal.is_some() && may_suspend(body, &running.shape, changes);
        self.changed.suspends = may_suspend;
        let effects = self.effects_of(&running.shape, changes, settled, now);
        if effects == Effects::None {
            return Around::Nothing;
        }
        let fits = match &item.what {
            What::Query(_) => {
                !running.opaque
                    && running.shape.tag != "EXECUTE"
                    && !self.may_meet_rules(changes, now)
                    && self.runs_as_portal(body, running.seq)
            }
            _ => !may_suspend && !left_open,
        };
        let possible = fits && !self.changed.old_server && self.transaction != Transaction::Failed;
        let around = match effects {
            _ if !possible => Around::Nothing,
            Effects::Inside => Around::Both,
            _ if self.changed.zeroed_for == Some(running.seq) => Around::After,
            _ if self.transaction == Transaction::Open && self.flight.running.is_empty() => Around::Both,
            _ => Around::Nothing,
        };
        running.counting = Some(match around {
            Around::Nothing => Counting::Unknown,
            Around::Both => Counting::Counted(None),
            Around::After => Counting::Counted(Some(Box::new(Counts::zero()))),
        });
        around
    }

    /// Whether rules may make something else of it: their own queries answer with rows to a Query, and not to a portal.
    fn may_meet_rules(&self, changes: Option<&Changes>, now: MonoMicros) -> bool {
        match changes {
            Some(Changes::Rows(change)) => {
                self.changed.tables.of(&change.table, now).is_none_or(|table| table.is_rewritten())
            }
            _ => false,
        }
    }

    /// Whether a Query of this text is the same as a portal, here and now.
    fn runs_as_portal(&self, text: &[u8], seq: u64) -> bool {
        let parameter = text.windows(2).any(|pair| matches!(pair, [b'$', digit] if digit.is_ascii_digit()));
        let zeroed = self.changed.zeroed_for == Some(seq);
        let alone = self.flight.is_idle() || self.radius.is_wrapped() || zeroed;
        !parameter && text.len() <= RUN_BYTES_MAX && alone && !self.flight.is_open()
    }

    /// Whether one of several statements of a Query may have effects.
    pub(in super::super) fn has_effects(&self, shape: &Shape) -> bool {
        self.effects_of(shape, None, false, self.now) != Effects::None
    }

    fn effects_of(
        &self,
        shape: &Shape,
        changes: Option<&Changes>,
        settled: bool,
        now: MonoMicros,
    ) -> Effects {
        let facts = shape.facts.as_deref();
        let more = match shape.tag.as_str() {
            _ if shape.plain_read => false,
            "DO" | "CALL" => return Effects::Apart,
            "MERGE" => true,
            "EXECUTE" => facts.is_none_or(|f| f.opaque.is_some() || f.effects.has(Effect::Write)),
            "EXPLAIN" => matches!(changes, Some(Changes::Untold(_))),
            "SELECT" => {
                matches!(changes, Some(Changes::Untold(_)))
                    || facts.is_some_and(|f| f.opaque.is_some() || f.effects.has(Effect::Write))
            }
            "INSERT" | "UPDATE" | "DELETE" => {
                let of_table = match changes {
                    Some(Changes::Rows(change)) => {
                        let table = self.changed.tables.of(&change.table, now).filter(|_| settled);
                        change.nested || table.is_some_and(|table| table.sets_off(change))
                    }
                    _ => true,
                };
                of_table || facts.is_some_and(|f| f.opaque.is_some() || f.writes.len() > 1)
            }
            _ => false,
        };
        if more { Effects::Inside } else { Effects::None }
    }

    /// Before a batch: DO and CALL need the counters at zero, which only a unit of its own in front of theirs does.
    pub(in super::super) fn zero_counters(&mut self, slots: &[Slot], out: &mut Vec<Action>) {
        self.changed.zeroed_for = None;
        if !self.changed.zeroes
            || self.changed.kept == ChangedRows::Off
            || self.transaction != Transaction::Idle
            || !self.flight.is_idle()
            || self.flight.is_open()
        {
            return;
        }
        let Some(seq) = first_apart(slots) else { return };
        let mut bytes = BytesMut::new();
        if counts::zero(&mut bytes).is_ok() {
            self.changed.zeroed_for = Some(seq);
            out.push(note(counts::ZERO));
            out.push(Action::ToServer(self.without_command(bytes.freeze())));
            self.flight.push(Entry { sent: Sent::Zeroing, owner: seq, ends: 0 });
        }
    }

    /// The question before a command of this number, and what makes a Query run as a portal.
    pub(in super::super) fn ask_before(
        &mut self,
        around: Around,
        seq: u64,
        script: bool,
        out: &mut Vec<Action>,
    ) {
        let mut bytes = BytesMut::new();
        if around == Around::Both && counts::ask(&mut bytes).is_ok() {
            out.push(note(counts::QUESTION));
            out.push(Action::ToServer(self.without_command(bytes.freeze())));
            let sent = Sent::Counts { after: false, closes: counts::CLOSES };
            self.flight.push(Entry { sent, owner: seq, ends: 0 });
        }
        if script {
            self.flight.push(Entry { sent: Sent::Steps(counts::STEPS), owner: seq, ends: 0 });
        }
    }

    /// A Query's message as one that runs as a portal.
    pub(in super::super) fn as_portal(&self, message: &[u8]) -> Option<BytesMut> {
        let text = message.get(firsthand_wire::postgres::frame::HEADER_LEN..message.len().checked_sub(1)?)?;
        counts::run_query(text).ok()
    }

    /// The question after it.
    pub(in super::super) fn ask_after(&mut self, seq: u64, script: bool, out: &mut Vec<Action>) {
        let mut bytes = BytesMut::new();
        let mut closes = counts::CLOSES;
        let mut encoded = Ok(());
        if script {
            encoded = counts::close_query(&mut bytes);
            closes += counts::RUN_CLOSES;
        }
        let encoded = encoded.and_then(|()| counts::ask(&mut bytes));
        debug_assert!(encoded.is_ok(), "no text of ours holds a zero byte");
        let entry = Entry { sent: Sent::Counts { after: true, closes }, owner: seq, ends: 0 };
        if script {
            frontend::encode_sync(&mut bytes);
            self.flight.push_before_ready(entry);
        } else {
            self.flight.push(entry);
        }
        out.push(note(counts::QUESTION));
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
    }

    /// The end of a command that is counted: it waits. `None`: it is not.
    pub(in super::super) fn counted_end(
        &mut self,
        ending: Ending,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        if !self.is_counted() {
            return None;
        }
        self.flush(walk, out);
        let script = matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script));
        let made = self.flight.running.front().map(|r| outcome(ending, walk.body(len), r))?;
        let outcome = match made {
            Ok(outcome) => Box::new(outcome),
            Err(step) => return Some(step),
        };
        let mut running = self.flight.end_first()?;
        self.drop_first_entry();
        self.apply(&running.change, &outcome, out);
        self.learned(std::mem::take(&mut running.pending), &running.shape, &outcome);
        let last = BytesMut::from(walk.cut(len));
        let (counts, difference) = (Counts::default(), Difference::default());
        let place = (0, len);
        let ended = Ended { running, outcome, last, place, script, counts, difference };
        self.changed.ended = Some(Box::new(ended));
        Some(Step::On)
    }

    /// Whether the command that answers now is counted.
    pub(in super::super) fn is_counted(&self) -> bool {
        self.flight.running.front().is_some_and(|r| matches!(r.counting, Some(Counting::Counted(_))))
    }

    /// Whether a RowDescription comes too early: a portal is described before it runs, while a Query that writes, or has code
    /// run, tells of its rows once it has them all.
    pub(in super::super) fn describes_too_early(&self) -> bool {
        let reads = |r: &Running| r.shape.tag == "SELECT" && r.changed.is_none();
        self.is_undescribed_query() && !self.flight.running.front().is_some_and(|r| reads(r))
    }

    /// Before a message of this kind: the description that waited for it.
    fn describe_now(&mut self, tag: u8, walk: &mut Walk<'_>, out: &mut Vec<Action>) {
        if !matches!(tag, b'D' | b'C' | b'E') {
            return;
        }
        if let Some(described) = self.changed.described.take()
            && tag != b'E'
            && let Some(running) = self.flight.running.front()
        {
            let reply = running.permit.reply(described);
            self.flush(walk, out);
            out.push(Action::ToClient(reply));
        }
    }

    /// Whether NoData answers the gateway's own Describe of a Query that runs as a portal.
    pub(in super::super) fn is_undescribed_query(&self) -> bool {
        self.is_counted() && matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script))
    }

    /// A message of the target that answers what the gateway asked around a command, or that a command which has ended waits
    /// for. `None`: it is none of that.
    pub(in super::super) fn counts_answered(
        &mut self,
        tag: u8,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        if matches!(tag, b'N' | b'A' | b'S') {
            return self.beside_ended(tag, len, walk, out);
        }
        self.describe_now(tag, walk, out);
        let waits = self.changed.ended.is_some();
        if tag == b'E' {
            let fatal = Report::read(walk.body(len), "ErrorResponse").is_ok_and(|it| it.is_fatal());
            return if fatal { None } else { self.question_refused(len, walk, out) };
        }
        match self.flight.first_mut().map(|e| &mut e.sent)? {
            Sent::Steps(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.flight.pop();
                }
            }
            Sent::Zeroing => {
                if tag == b'Z' {
                    self.flight.pop();
                }
            }
            Sent::Counts { after, closes } => {
                let after = *after;
                *closes = closes.saturating_sub(u8::from(tag == b'3'));
                let done = *closes == 0;
                return Some(self.counts_told(tag, (after, done), len, walk, out));
            }
            Sent::Ready | Sent::Sync { .. } if waits && tag == b'Z' => {
                return Some(self.ready_after_end(len, walk, out));
            }
            _ => return None,
        }
        self.swallow(len, walk, out);
        Some(Step::On)
    }

    /// A message that answers the question.
    fn counts_told(
        &mut self,
        tag: u8,
        (after, done): (bool, bool),
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Step {
        if tag == b'D' {
            let body = walk.body(len);
            let mut before = None;
            let counts = if after {
                self.changed.ended.as_mut().map(|ended| &mut ended.counts)
            } else {
                let owner = self.flight.first().map_or(0, |e| e.owner);
                let running = self.flight.running.iter_mut().find(|r| r.seq == owner);
                if let Some(Counting::Counted(counts)) = running.and_then(|r| r.counting.as_mut()) {
                    before = Some(counts);
                }
                before.map(|counts| &mut **counts.get_or_insert_default())
            };
            if let Some(counts) = counts
                && !counts.add(body)
            {
                // An answer that cannot be read is none.
                counts.clear();
            }
        }
        self.swallow(len, walk, out);
        if !done {
            return Step::On;
        }
        self.flight.pop();
        if after && let Some(ended) = &mut self.changed.ended {
            ended.compare();
            if self.radius.is_wrapped() {
                self.commit_ended(out);
            } else if !self.flight.is_ready_next() {
                self.settle(out);
            }
        }
        Step::On
    }

    /// An error while something of the gateway's own is the first thing to be answered, or while a command waits. `None`: it
    /// is the client's command that failed.
    fn question_refused(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Option<Step> {
        while let Some(Sent::Steps(_) | Sent::Counts { after: false, .. }) =
            self.flight.first().map(|e| &e.sent)
        {
            // What stands behind it fails with it: the error is the command's.
            self.flight.pop();
        }
        let entry = self.flight.first()?;
        match entry.sent {
            Sent::Zeroing => {
                let owner = entry.owner;
                if let Some(running) = self.flight.running.iter_mut().find(|r| r.seq == owner) {
                    running.counting = Some(Counting::Counted(None));
                }
                self.swallow(len, walk, out);
                return Some(Step::On);
            }
            Sent::Counts { .. } | Sent::Ready | Sent::Sync { .. } => {}
            _ => return None,
        }
        let behind = matches!(entry.sent, Sent::Counts { .. });
        let ended = self.changed.ended.as_mut()?;
        self.failed = true;
        if let Ok(it) = Report::read(walk.body(len), "ErrorResponse") {
            fail(&mut ended.outcome, &it, ended.running.secrets.as_ref());
        }
        if behind || ended.script {
            // Its end is not told then.
            let (at, len) = std::mem::take(&mut ended.place);
            let beside = ended.last.split_off(at + len);
            ended.last.truncate(at);
            ended.last.unsplit(beside);
            ended.place.0 = ended.last.len();
        }
        let script = ended.script;
        self.flush(walk, out);
        let error = walk.cut(len);
        if let Some(ended) = &mut self.changed.ended {
            ended.last.extend_from_slice(&error);
        }
        if behind {
            self.fail_behind(script, out);
        }
        Some(Step::On)
    }

    /// The question after a command failed, and with it the command's transaction.
    fn fail_behind(&mut self, script: bool, out: &mut Vec<Action>) {
        if self.transaction == Transaction::Open {
            self.transaction = Transaction::Failed;
        }
        if script {
            self.flight.pop();
        } else {
            let skipped = self.flight.skip(&mut self.names);
            out.extend(skipped.into_iter().map(|r| Action::Abandon(r.permit, AbandonReason::Skipped)));
        }
        if self.radius.is_wrapped() {
            self.settle(out);
            self.wrap_failed(out);
        } else if !self.flight.is_ready_next() {
            self.settle(out);
        }
    }

    /// What can come at any time, while a command waits to be told: it is told with it.
    fn beside_ended(
        &mut self,
        tag: u8,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let mut ended = self.changed.ended.take()?;
        if tag == b'N' {
            // It is the command's own: for `aside` it runs once more.
            self.flight.running.push_front(ended.running);
            let note = self.aside(tag, walk.at, len, walk, out);
            debug_assert!(note.is_none(), "a notice belongs to what runs");
            ended.running = self.flight.running.pop_front()?;
        } else if let Some(note) = self.aside(tag, walk.at, len, walk, out) {
            out.push(note.with(Bytes::new()));
        }
        self.flush(walk, out);
        let bytes = walk.cut(len);
        if ended.script && tag == b'N' {
            // A Query commits before it tells its end.
            let tail = ended.last.split_off(ended.place.0);
            ended.last.extend_from_slice(&bytes);
            ended.place.0 = ended.last.len();
            ended.last.unsplit(tail);
        } else {
            ended.last.extend_from_slice(&bytes);
        }
        self.changed.ended = Some(ended);
        Some(Step::On)
    }

    /// ReadyForQuery behind a command that waits.
    fn ready_after_end(&mut self, len: usize, walk: &mut Walk<'_>, out: &mut Vec<Action>) -> Step {
        let status = match TransactionStatus::read(walk.body(len)) {
            Ok(status) => status,
            Err(e) => return e.into(),
        };
        self.flight.take_ready();
        self.ready(status, out);
        self.flush(walk, out);
        let bytes = walk.cut(len);
        if let Some(ended) = &mut self.changed.ended {
            ended.last.extend_from_slice(&bytes);
        }
        self.settle(out);
        Step::On
    }

    /// All is known of the command that waits: it is told.
    fn settle(&mut self, out: &mut Vec<Action>) {
        let Some(ended) = self.changed.ended.take() else { return };
        let Ended { mut running, mut outcome, last, place, difference, .. } = *ended;
        outcome.transaction = self.transaction;
        finish(&mut running, &mut outcome, out);
        tell(difference, &running, &mut outcome, out);
        let last = self.withheld(&mut running, place, last.freeze(), &mut outcome);
        out.push(Action::Complete { permit: running.permit, outcome, last });
    }

    /// The same between BEGIN and COMMIT of the gateway's own: it is committed first.
    fn commit_ended(&mut self, out: &mut Vec<Action>) {
        let Some(ended) = self.changed.ended.take() else { return };
        let Ended { mut running, mut outcome, last, difference, .. } = *ended;
        finish(&mut running, &mut outcome, out);
        tell(difference, &running, &mut outcome, out);
        self.commit_wrapped(running.permit, outcome, last.freeze(), out);
    }
}

impl Ended {
    /// The second answer is whole: what the command did.
    fn compare(&mut self) {
        let before = match self.running.counting.take() {
            Some(Counting::Counted(before)) => before,
            _ => None,
        };
        let known = self.running.changed.as_ref().and_then(Changed::known);
        self.difference = match before {
            Some(before) if before.is_counted() && self.counts.is_counted() => {
                self.counts.since(&before, known)
            }
            _ => Difference { coverage: vec![EFFECTS_UNKNOWN], ..Difference::default() },
        };
    }
}

/// Whether an Execute of something that writes may stop at its limit of rows. What it wrote is then not visible to the next
/// command, as it is once a command has completed.
fn may_suspend(body: &[u8], shape: &Shape, changes: Option<&Changes>) -> bool {
    let without_rows = shape.tag == "DO" || matches!(changes, Some(Changes::Rows(change)) if !change.returns);
    !shape.plain_read && !without_rows && frontend::Execute::read(body).map_or(true, |it| it.max_rows > 0)
}

/// The first command that runs in these, where it may end its transaction.
fn first_apart(slots: &[Slot]) -> Option<u64> {
    let first = slots.iter().filter_map(Slot::permitted).find(|r| !r.prepares)?;
    matches!(first.shape.tag.as_str(), "DO" | "CALL").then_some(first.seq)
}

/// What the command did, before its outcome. Of a failed command nothing stays changed.
fn tell(difference: Difference, running: &Running, outcome: &mut Outcome, out: &mut Vec<Action>) {
    if outcome.code.is_none() {
        outcome.coverage.extend(difference.coverage);
        let number = running.permit.number();
        out.extend(difference.pieces.into_iter().map(|piece| Action::Changed(number, piece)));
    }
}

/// What the gateway asked, for the record (invariant 12).
fn note(text: &str) -> Action {
    let mut detail = Vec::new();
    let mut o = Object::open(&mut detail);
    o.string("text", text);
    o.close();
    Action::Note { what: "asked", detail: Json::from_written(detail), reply: Bytes::new() }
}
