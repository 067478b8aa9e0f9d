//! The answers to an ask: what is permitted goes to the target, what is refused is replaced by a text that fails there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::command::{Shape, Step};
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_session::{Answer, Refusal};
use firsthand_wire::postgres::frame::HEADER_LEN;
use firsthand_wire::postgres::frontend::{self, Object as Described};

use super::batch::{Batch, Item, Messages, Plan, What};
use super::changed::{Manner, Reach};
use super::delivery::Delivery;
use super::dialect::{Life, PostgresDialect};
use super::flight::{Entry, Running, Sent};
use super::masking::{Encoding, Masking};
use super::names::Own;
use super::overtime::Timed;
use super::radius::{self, Limit};
use super::refuse;
use crate::budget::{Held, carry};
use crate::dialect::Action;

/// What came of one command.
enum Fate {
    /// Permitted, its end not yet queued.
    Permitted(Box<Running>),
    /// Permitted, its end queued.
    Queued(u64),
    /// Refused, and not yet told.
    Refused(Box<Refusal>),
    /// Refused, told or not to be told.
    Done,
}

pub(super) struct Slot {
    fate: Fate,
    /// The item with which the command ends.
    last: usize,
    /// Its text names the function that changes settings.
    sets_config: bool,
}

impl Slot {
    /// The limit of rows that it may affect, before it is sent.
    pub(super) fn limit(&self) -> Option<&Limit> {
        self.permitted()?.limit.as_ref()
    }

    /// What was permitted and is not sent yet.
    pub(super) fn permitted(&self) -> Option<&Running> {
        match &self.fate {
            Fate::Permitted(running) => Some(running),
            _ => None,
        }
    }

    /// How far its change goes, if that is to be counted, and which command it is.
    pub(super) fn counts(&self) -> Option<Counting> {
        counting(self.permitted()?)
    }

    pub(super) fn is_limited(&self) -> bool {
        self.limit().is_some()
    }

    /// Whether what it does is of that kind; what is not sent does nothing.
    pub(super) fn stays_inside(&self, kind: impl Fn(&Shape) -> bool) -> bool {
        match &self.fate {
            Fate::Permitted(running) => kind(&running.shape),
            Fate::Queued(_) => false,
            Fate::Refused(_) | Fate::Done => true,
        }
    }

    /// It is refused after all: what becomes of its permit.
    fn refuse(&mut self, refusal: Refusal) -> Option<Action> {
        match std::mem::replace(&mut self.fate, Fate::Refused(Box::new(refusal))) {
            Fate::Permitted(running) => Some(Action::Abandon(running.permit, AbandonReason::RefusedTogether)),
            Fate::Queued(_) | Fate::Refused(_) | Fate::Done => None,
        }
    }

    fn seq(&self) -> u64 {
        match &self.fate {
            Fate::Permitted(running) => running.seq,
            Fate::Queued(seq) => *seq,
            Fate::Refused(_) | Fate::Done => 0,
        }
    }
}

/// How far a change goes that is to be counted, how that is asked, and which command it is.
pub(super) struct Counting {
    pub(super) reach: Arc<Reach>,
    pub(super) manner: Manner,
    pub(super) seq: u64,
}

fn counting(running: &Running) -> Option<Counting> {
    let (reach, manner) = running.along.as_ref()?.asks()?;
    Some(Counting { reach: Arc::clone(reach), manner, seq: running.seq })
}

/// Messages that go out together, through one command's permit.
#[derive(Default)]
struct Span {
    len: usize,
    owner: Option<usize>,
}

/// Messages that are still to be sent, and the fates of the commands in them.
pub(super) struct Sending {
    bytes: Messages,
    /// The messages with their places in the batch.
    items: Vec<(usize, Item)>,
    slots: Vec<Slot>,
    /// A command before them may change what names mean.
    settled: bool,
    /// What they take of the budget for large messages.
    budget: Option<Arc<Held>>,
}

impl Sending {
    /// Whether the first of them waits until nothing at all is under way.
    pub(super) fn waits_for_all(&self) -> bool {
        matches!(self.items.first(), Some((_, Item { what: What::Query(_), .. })))
    }

    /// They will not be sent.
    pub(super) fn abandon(self, why: AbandonReason, out: &mut Vec<Action>) {
        for slot in self.slots {
            if let Fate::Permitted(running) = slot.fate {
                out.push(Action::Abandon(running.permit, why));
            }
        }
    }
}

impl PostgresDialect {
    /// Sends the batch, as the answers allow. One answer per planned command.
    pub(super) fn forward(&mut self, answers: Vec<Answer>, out: &mut Vec<Action>) {
        let Batch { bytes, mut items, mut plans, held, moves_role: _ } = std::mem::take(&mut self.batch);
        self.sending = held.map(Arc::new);
        let mut slots: Vec<Slot> = Vec::with_capacity(plans.len());
        let mut answers = answers.into_iter();
        let mut settled = !self.flight.is_unsettled();
        for plan in plans.drain(..) {
            let unsettles = plan.unsettles;
            // A missing answer cannot be: it would be a refusal.
            let answer = answers.next().unwrap_or_else(|| Err(Refusal::not_recorded()));
            slots.push(self.slot(plan, answer, settled));
            settled &= !unsettles;
        }
        self.send_items(bytes, items.drain(..).enumerate(), slots, true, out);
        // The vectors keep their room for the next batch; the buffer goes back to the reader.
        self.batch = Batch { items, plans, ..Batch::default() };
        self.sending = None;
        if self.is_unnamed() {
            // Where all has been answered already, no answer will come that brings it on.
            self.resume_held(out);
        }
    }

    /// Goes on with messages that were held back.
    pub(super) fn send_on(&mut self, held: Sending, out: &mut Vec<Action>) {
        let Sending { bytes, items, slots, settled, budget } = held;
        self.sending = budget;
        self.send_items(bytes, items.into_iter(), slots, settled, out);
        self.sending = None;
    }

    fn send_items(
        &mut self,
        mut bytes: Messages,
        mut items: impl Iterator<Item = (usize, Item)>,
        mut slots: Vec<Slot>,
        mut settled: bool,
        out: &mut Vec<Action>,
    ) {
        let mut span = Span::default();
        while let Some((at, item)) = items.next() {
            if let What::Query(range) = &item.what
                && let [Slot { fate: Fate::Permitted(running), .. }] =
                    slots.get_mut(range.clone()).unwrap_or_default()
            {
                self.reach_of_query(running, settled);
            }
            if self.must_hold(&item, &slots) {
                self.send(&mut span, &mut bytes, &mut slots, out);
                if !self.flight.is_skipping() {
                    self.ask_to_answer(out);
                }
                let items = std::iter::once((at, item)).chain(items).collect();
                let budget = self.sending.clone();
                self.radius.hold(Sending { bytes, items, slots, settled, budget });
                return;
            }
            if self.flight.is_skipping() && !matches!(item.what, What::Sync | What::Flush | What::Terminate) {
                // An earlier message has failed: the target would read over this one.
                self.send(&mut span, &mut bytes, &mut slots, out);
                bytes.skip(item.len);
                skip(&item, &mut slots, out);
                self.leave_out(&item.what);
                continue;
            }
            let message = bytes.message(span.len, item.len);
            if let Some((refusal, of)) = self.goes_too_far(&item, message, &slots, settled) {
                // What stands before it is of the same command, and went out as permitted.
                self.send(&mut span, &mut bytes, &mut slots, out);
                out.extend(slots.get_mut(of).and_then(|slot| slot.refuse(refusal)));
            }
            if let What::Query(range) = &item.what {
                refuse_together(slots.get_mut(range.clone()).unwrap_or_default(), out);
            }
            if let Some((refusal, simple)) = refusal_of(&item, &mut slots) {
                self.send(&mut span, &mut bytes, &mut slots, out);
                bytes.skip(item.len);
                self.send_refusal(refusal, simple, &item, out);
                continue;
            }
            if let What::Query(range) = &item.what
                && let Err(refusal) = self.wrap_query(slots.get(range.clone()).unwrap_or_default(), out)
            {
                // Never a Query behind other messages of the batch that still wait in the span: it ends a batch, alone.
                self.send(&mut span, &mut bytes, &mut slots, out);
                bytes.skip(item.len);
                refuse_all(slots.get_mut(range.clone()).unwrap_or_default(), out);
                self.send_refusal(Some(Box::new(refusal)), true, &item, out);
                continue;
            }
            self.send_permitted(at, item, &mut span, &mut bytes, &mut slots, &mut settled, out);
        }
        self.send(&mut span, &mut bytes, &mut slots, out);
    }

    /// A message that goes out, perhaps with a list of columns added.
    #[expect(clippy::too_many_arguments, reason = "the state of one loop, which this is a part of")]
    fn send_permitted(
        &mut self,
        at: usize,
        item: Item,
        span: &mut Span,
        bytes: &mut Messages,
        slots: &mut [Slot],
        settled: &mut bool,
        out: &mut Vec<Action>,
    ) {
        if item.owner.is_some() && item.owner != span.owner {
            if span.owner.is_some() {
                self.send(span, bytes, slots, out);
            }
            span.owner = item.owner;
        }
        self.describe_unseen(&item, span, bytes, slots, out);
        if let What::Bind(portal) = &item.what {
            let limited = item.owner.and_then(|o| slots.get(o)).is_some_and(Slot::is_limited);
            self.reach_of_portal(portal, *settled, limited);
        }
        let counts = self.count_before(&item, span, bytes, slots, out);
        let seq = item.owner.and_then(|o| slots.get(o)).map_or(0, Slot::seq);
        let asked = item.owner.and_then(|o| slots.get(o)).and_then(Slot::permitted);
        let told = self.answer_call(&item.what, bytes.message(span.len, item.len), asked);
        let running = match (&item.what, item.owner.and_then(|o| slots.get_mut(o)).map(|s| &mut s.fate)) {
            (What::Query(range), Some(Fate::Permitted(running))) if range.len() == 1 => Some(&mut **running),
            _ => None,
        };
        let message = bytes.message(span.len, item.len);
        let mut after = Vec::new();
        if let Some(replaced) = told.or_else(|| self.with_list(&item.what, message, running, *settled)) {
            let owner = span.owner;
            self.send(span, bytes, slots, out);
            bytes.skip(item.len);
            *span = Span { len: replaced.bytes.len(), owner };
            let mut changed = Messages::of(replaced.bytes);
            self.send(span, &mut changed, slots, out);
            span.owner = owner;
            self.flight.extras(&replaced.before, seq);
            after = replaced.after;
        } else {
            span.len += item.len;
        }
        let runs = match &item.what {
            _ if self.changed.source.is_none() => &[],
            What::Query(range) => slots.get(range.clone()).unwrap_or_default(),
            What::Execute(_) => item.owner.and_then(|o| slots.get(o..=o)).unwrap_or_default(),
            _ => &[],
        };
        for slot in runs {
            if let Fate::Permitted(running) = &slot.fate {
                *settled &= !self.changed.runs(&running.shape, slot.sets_config);
            }
        }
        let simple = matches!(item.what, What::Query(_));
        self.queue(at, item, slots);
        self.flight.extras(&after, seq);
        if let Some(Counting { reach, manner, seq }) = counts {
            self.send(span, bytes, slots, out);
            if simple {
                self.ask_along("", (&reach, manner), seq, true, out);
            } else {
                self.pipeline_along((&reach, manner), seq, true, out);
            }
        }
    }

    /// Asks what changes along with the command that ends with this message, if something may: before it goes out. Before a
    /// Query that has been done.
    fn count_before(
        &mut self,
        item: &Item,
        span: &mut Span,
        bytes: &mut Messages,
        slots: &mut [Slot],
        out: &mut Vec<Action>,
    ) -> Option<Counting> {
        let running = match item.owner.and_then(|o| slots.get_mut(o)).map(|slot| &mut slot.fate) {
            Some(Fate::Permitted(running)) => running,
            _ => return None,
        };
        match &item.what {
            What::Execute(Some(portal)) => {
                let mut along = self.along_of(portal, bytes.message(span.len, item.len))?;
                along.awaits();
                running.along = Some(along);
                let counting = counting(running)?;
                self.send(span, bytes, slots, out);
                span.owner = item.owner;
                self.pipeline_along((&counting.reach, counting.manner), counting.seq, false, out);
                Some(counting)
            }
            What::Query(_) => {
                running.along.as_mut()?.awaits();
                counting(running)
            }
            _ => None,
        }
    }

    /// The refusal of a command that has a limit of rows and may take others along that cannot be counted, before it runs; and
    /// which one that is.
    fn goes_too_far(
        &self,
        item: &Item,
        message: &[u8],
        slots: &[Slot],
        settled: bool,
    ) -> Option<(Refusal, usize)> {
        match &item.what {
            What::Query(range) => {
                let slots = slots.get(range.clone()).unwrap_or_default();
                Some((self.query_goes_too_far(slots, settled)?, range.start))
            }
            What::Execute(Some(portal)) => {
                let running = slots.get(item.owner?)?.permitted()?;
                Some((self.portal_goes_too_far(running, portal, message, settled)?, item.owner?))
            }
            _ => None,
        }
    }

    /// Tells a refusal in a message's place (`None`: it was told with another message of its command).
    fn send_refusal(
        &mut self,
        refusal: Option<Box<Refusal>>,
        simple: bool,
        item: &Item,
        out: &mut Vec<Action>,
    ) {
        if let Some(refusal) = refusal {
            if matches!(item.what, What::Refused { .. }) {
                out.push(note(&refusal));
            }
            let own = self.own_name(Own::Refused);
            let name = match &item.what {
                What::Parse(it) if it.name.is_empty() => &[],
                _ => own.as_bytes(),
            };
            self.send_failing(&refusal, simple, name, out);
        }
        self.leave_out(&item.what);
    }

    /// `settled`: nothing before it can have changed the client's encoding without its being known.
    fn slot(&mut self, plan: Plan, answer: Answer, settled: bool) -> Slot {
        let last = plan.last;
        let refused = |refusal| Slot { fate: Fate::Refused(Box::new(refusal)), last, sets_config: false };
        let permit = match answer {
            Ok(permit) => permit,
            Err(refusal) => return refused(refusal),
        };
        let limit = match radius::limit_of(&plan, &permit) {
            Ok(limit) => limit,
            Err(refusal) => {
                permit.abandon(AbandonReason::RefusedTogether);
                return refused(refusal);
            }
        };
        if let Some(refusal) = self.refuses_held_cursor(&plan.shape, plan.holds) {
            permit.abandon(AbandonReason::RefusedTogether);
            return refused(refusal);
        }
        let sets_config = plan.sets_config;
        let masking = permit.mask_plan().map_or(Ok(None), |duties| {
            let encoding = match (self.parameters.ascii_safe, settled) {
                (false, _) => Encoding::Hiding,
                (true, false) => Encoding::Untold,
                (true, true) => Encoding::Plain,
            };
            Masking::new(duties, &plan.shape, plan.copy, encoding)
        });
        let masking = match masking {
            Ok(mut masking) => {
                masking.iter_mut().for_each(|masking| masking.counted(permit.labelled()));
                masking
            }
            Err(refusal) => {
                permit.abandon(AbandonReason::RefusedTogether);
                return refused(*refusal);
            }
        };
        self.seq += 1;
        if plan.change.moves_role() {
            self.role_moves = Some(self.seq);
        }
        let traced = plan.step == Step::Run && self.is_traced(&plan.shape);
        let running = Running {
            seq: self.seq,
            shape: plan.shape,
            change: plan.change,
            pending: plan.pending,
            unsettles: plan.unsettles,
            opaque: plan.opaque,
            access: plan.access,
            commits_within: plan.commits_within,
            secrets: plan.secrets,
            masking,
            capture: None,
            notices: Vec::new(),
            notices_cut: false,
            copy_in: false,
            copy_done: false,
            changes: plan.changes,
            changed: None,
            along: None,
            delivery: Delivery::of(&permit),
            timed: Timed::of(&permit),
            limit,
            traced,
            permit,
        };
        self.masking_begins(&running);
        Slot { fate: Fate::Permitted(Box::new(running)), last, sets_config }
    }

    /// Sends the span through its command's permit; without a command it is bookkeeping.
    fn send(&mut self, span: &mut Span, bytes: &mut Messages, slots: &mut [Slot], out: &mut Vec<Action>) {
        let Span { mut len, owner } = std::mem::take(span);
        while let Some(piece) = bytes.take(&mut len) {
            let piece = piece.freeze();
            let piece = match &self.sending {
                Some(held) => carry(piece, held),
                None => piece,
            };
            self.send_piece(piece, owner, slots, out);
        }
    }

    fn send_piece(&mut self, piece: Bytes, owner: Option<usize>, slots: &mut [Slot], out: &mut Vec<Action>) {
        let forward = match owner.and_then(|o| slots.get_mut(o)).map(|slot| &mut slot.fate) {
            Some(Fate::Permitted(running)) => running.permit.forward(piece),
            Some(Fate::Queued(seq)) => {
                let seq = *seq;
                match self.flight.running.iter_mut().rev().find(|r| r.seq == seq) {
                    Some(running) => running.permit.forward(piece),
                    None => return,
                }
            }
            Some(Fate::Refused(_) | Fate::Done) => return,
            None => self.without_command(piece),
        };
        out.push(Action::ToServer(forward));
    }

    /// Asks for the columns of a portal that is about to be executed, where its rows have to be masked and nobody has
    /// asked: the answer is not told to the client.
    fn describe_unseen(
        &mut self,
        item: &Item,
        span: &mut Span,
        bytes: &mut Messages,
        slots: &mut [Slot],
        out: &mut Vec<Action>,
    ) {
        let What::Execute(portal) = &item.what else { return };
        let Some(owner) = item.owner else { return };
        let Some(Fate::Permitted(running)) = slots.get(owner).map(|s| &s.fate) else { return };
        if !self.must_describe(portal.as_ref(), running) {
            return;
        }
        let seq = running.seq;
        let name =
            bytes.message(span.len, item.len).get(HEADER_LEN..).and_then(|b| b.split(|b| *b == 0).next());
        let mut describe = BytesMut::new();
        if frontend::encode_describe(&mut describe, Described::Portal(name.unwrap_or_default())).is_err() {
            return;
        }
        self.send(span, bytes, slots, out);
        self.flight.push(Entry { sent: Sent::DescribeUnseen(portal.clone()), owner: seq, ends: 0 });
        if let Some(Fate::Permitted(running)) = slots.get_mut(owner).map(|s| &mut s.fate) {
            out.push(Action::ToServer(running.permit.forward(describe.freeze())));
        }
        span.owner = Some(owner);
    }

    /// Queues what must be answered.
    fn queue(&mut self, at: usize, item: Item, slots: &mut [Slot]) {
        let Item { what, owner, .. } = item;
        let seq = owner.and_then(|o| slots.get(o)).map_or(0, Slot::seq);
        let ending = match &what {
            What::Query(range) => range.clone(),
            _ => owner.map_or(0..0, |o| o..o + 1),
        };
        let held = match &what {
            What::Query(range) => self.names_query(slots.get(range.clone()).unwrap_or_default()),
            What::Function(_) => self.transaction == Transaction::Open,
            _ => true,
        };
        let mut ends = 0;
        for slot in slots.get_mut(ending).unwrap_or_default() {
            if slot.last == at
                && let Fate::Permitted(mut running) = std::mem::replace(&mut slot.fate, Fate::Done)
            {
                slot.fate = Fate::Queued(running.seq);
                // All statements of a Query go out with its bytes, though only the first one's permit carries them.
                let _ = running.permit.forward(Bytes::new());
                match &what {
                    What::Execute(portal) => running.changed = self.changed_by(portal.as_ref(), &running),
                    What::Query(range) if range.len() > 1 => self.untold_together(&mut running),
                    _ => {}
                }
                self.untold_by_name(&mut running, held);
                self.trace(&running);
                self.flight.start(running);
                ends += 1;
            }
        }
        let unread_query = matches!(what, What::Malformed { ready: true });
        let sent = match what {
            What::Parse(it) => Sent::Parse(it),
            What::Bind(it) => Sent::Bind(it),
            What::DescribeStatement(it) => Sent::DescribeStatement(it),
            What::DescribePortal(it) => Sent::DescribePortal(it),
            What::CloseStatement(name) => Sent::CloseStatement(name),
            What::ClosePortal(name) => Sent::ClosePortal(name),
            What::Execute(it) => Sent::Execute(it),
            What::Query(_) => Sent::Script,
            What::Function(answer) => Sent::Function(answer),
            What::Sync => Sent::Sync { doubtful: self.flight.takes_copy() },
            What::Terminate => {
                self.life = Life::Leaving;
                // Among copy data it is a mistake, of which the target tells, as it does of others; and only its answers tell
                // which Syncs count.
                self.hears_out = self.failed || self.flight.may_read_copy();
                return;
            }
            What::Malformed { .. } => Sent::Malformed,
            What::Flush | What::Refused { .. } => return,
        };
        let ready = matches!(sent, Sent::Script | Sent::Function(_)) || unread_query;
        self.flight.push(Entry { sent, owner: seq, ends });
        if ready {
            self.flight.push(Entry::plain(Sent::Ready));
        }
    }

    /// What stands for a refused message at the target: it fails there as a syntax error, and everything after it that
    /// depends on it fails as PostgreSQL has it. Its error is swallowed and the refusal told in its place.
    pub(super) fn send_failing(
        &mut self,
        refusal: &Refusal,
        simple: bool,
        name: &[u8],
        out: &mut Vec<Action>,
    ) {
        let text = self.failing_text(refusal);
        let mut bytes = BytesMut::with_capacity(text.len() + 64);
        let encoded = if simple {
            frontend::encode_query(&mut bytes, text.as_bytes())
        } else {
            frontend::encode_parse(&mut bytes, name, text.as_bytes(), &[])
        };
        debug_assert!(encoded.is_ok(), "the text holds no zero byte");
        let told = refuse::error(refusal, self.parameters.settings.utf8);
        self.flight.push(Entry::plain(Sent::Refused(told)));
        if simple {
            self.flight.push(Entry::plain(Sent::Ready));
        }
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
    }

    /// A text that does not parse, and tells the target's own log why.
    pub(super) fn failing_text(&self, refusal: &Refusal) -> String {
        let rule: String = refusal.rule.chars().filter(|c| !c.is_control()).take(64).collect();
        let rule = if rule.is_empty() { rule } else { format!(" ({rule})") };
        format!("firsthand refused a command of session {}{rule}", self.session)
    }

    /// What a message that is not sent would have done to names has not happened.
    fn leave_out(&mut self, what: &What) {
        match what {
            What::Parse(it) => self.names.statement_unchanged(&it.name),
            What::Bind(it) => self.names.portal_unchanged(&it.name),
            What::CloseStatement(name) => self.names.statement_unchanged(name),
            What::ClosePortal(name) => self.names.portal_unchanged(name),
            _ => {}
        }
    }
}

/// A refusal of the gateway's own has no command that tells of it.
fn note(refusal: &Refusal) -> Action {
    let mut detail = Vec::new();
    let mut o = Object::open(&mut detail);
    o.string("code", refuse::sqlstate(refusal.kind));
    o.string("message", &refusal.message);
    o.close();
    Action::Note { what: "refused", detail: Json::from_written(detail), reply: Bytes::new() }
}

/// The commands of a message that is not sent end unanswered.
fn skip(item: &Item, slots: &mut [Slot], out: &mut Vec<Action>) {
    let of_item = match &item.what {
        What::Query(range) => range.clone(),
        _ => item.owner.map_or(0..0, |o| o..o + 1),
    };
    for slot in slots.get_mut(of_item).unwrap_or_default() {
        if let Fate::Permitted(running) = std::mem::replace(&mut slot.fate, Fate::Done) {
            out.push(Action::Abandon(running.permit, AbandonReason::Skipped));
        }
    }
}

/// The refusal that stands in a message's place, and whether it gets a ReadyForQuery. The refusal is `None` where another
/// message of the same command has told it.
fn refusal_of(item: &Item, slots: &mut [Slot]) -> Option<(Option<Box<Refusal>>, bool)> {
    match item.owner.and_then(|o| slots.get_mut(o)).map(|slot| &mut slot.fate) {
        Some(fate @ Fate::Refused(_)) => match std::mem::replace(fate, Fate::Done) {
            Fate::Refused(refusal) => {
                Some((Some(refusal), matches!(item.what, What::Query(_) | What::Function(_))))
            }
            _ => None,
        },
        Some(Fate::Done) => Some((None, false)),
        Some(Fate::Permitted(_) | Fate::Queued(_)) => None,
        None => match item.what {
            What::Refused { ref refusal, simple } => Some((Some(refusal.clone()), simple)),
            _ => None,
        },
    }
}

/// None of these commands is sent.
fn refuse_all(slots: &mut [Slot], out: &mut Vec<Action>) {
    for slot in slots {
        if let Fate::Permitted(running) = std::mem::replace(&mut slot.fate, Fate::Done) {
            out.push(Action::Abandon(running.permit, AbandonReason::RefusedTogether));
        }
    }
}

/// A Query runs as a whole or not at all: one refusal refuses all its statements. It is told for the first of them,
/// which owns the message.
fn refuse_together(slots: &mut [Slot], out: &mut Vec<Action>) {
    let Some(at) = slots.iter().position(|s| matches!(s.fate, Fate::Refused(_))) else { return };
    let mut told = Fate::Done;
    for (i, slot) in slots.iter_mut().enumerate() {
        match std::mem::replace(&mut slot.fate, Fate::Done) {
            Fate::Permitted(running) => {
                out.push(Action::Abandon(running.permit, AbandonReason::RefusedTogether));
            }
            fate if i == at => told = fate,
            _ => {}
        }
    }
    if let Some(first) = slots.first_mut() {
        first.fate = told;
    }
}
