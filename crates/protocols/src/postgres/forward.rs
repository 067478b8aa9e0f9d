//! The answers to an ask: what is permitted goes to the target, what is refused is replaced by a text that fails there.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::AbandonReason;
use firsthand_session::{Answer, Refusal, RefusalKind};
use firsthand_wire::postgres::frontend;

use super::batch::{Batch, Item, Plan, What};
use super::dialect::{Life, PostgresDialect};
use super::flight::{Entry, Running, Sent};
use super::refuse;
use crate::budget::carry;
use crate::dialect::Action;

/// The name under which a refused Parse fails. Nothing ever has it: the text does not parse.
pub(super) const REFUSED_NAME: &[u8] = b"firsthand refused";

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

struct Slot {
    fate: Fate,
    /// The item with which the command ends.
    last: usize,
}

impl Slot {
    fn seq(&self) -> u64 {
        match &self.fate {
            Fate::Permitted(running) => running.seq,
            Fate::Queued(seq) => *seq,
            Fate::Refused(_) | Fate::Done => 0,
        }
    }
}

/// Messages that go out together, through one command's permit.
#[derive(Default)]
struct Span {
    len: usize,
    owner: Option<usize>,
}

impl PostgresDialect {
    /// Sends the batch, as the answers allow. One answer per planned command.
    pub(super) fn forward(&mut self, answers: Vec<Answer>, out: &mut Vec<Action>) {
        let Batch { mut bytes, mut items, mut plans, held } = std::mem::take(&mut self.batch);
        self.sending = held.map(Arc::new);
        let mut slots: Vec<Slot> = Vec::with_capacity(plans.len());
        let mut answers = answers.into_iter();
        for plan in plans.drain(..) {
            // A missing answer cannot be: it would be a refusal.
            let answer = answers.next().unwrap_or_else(|| Err(Refusal::not_recorded()));
            slots.push(self.slot(plan, answer));
        }
        let mut span = Span::default();
        for (at, item) in items.drain(..).enumerate() {
            if self.flight.is_skipping() && !matches!(item.what, What::Sync | What::Flush | What::Terminate) {
                // An earlier message has failed: the target would read over this one.
                self.send(&mut span, &mut bytes, &mut slots, out);
                drop(bytes.split_to(item.len));
                skip(&item, &mut slots, out);
                self.leave_out(&item.what);
                continue;
            }
            if let What::Query(range) = &item.what {
                refuse_together(slots.get_mut(range.clone()).unwrap_or_default(), out);
            }
            let owned = item.owner.and_then(|o| slots.get_mut(o)).map(|slot| &mut slot.fate);
            let refusal = match owned {
                Some(fate @ Fate::Refused(_)) => match std::mem::replace(fate, Fate::Done) {
                    Fate::Refused(refusal) => {
                        Some((Some(refusal), matches!(item.what, What::Query(_) | What::Function)))
                    }
                    _ => None,
                },
                Some(Fate::Done) => Some((None, false)),
                Some(Fate::Permitted(_) | Fate::Queued(_)) => None,
                None => match item.what {
                    What::Refused { ref refusal, simple } => Some((Some(refusal.clone()), simple)),
                    _ => None,
                },
            };
            if let Some((refusal, simple)) = refusal {
                self.send(&mut span, &mut bytes, &mut slots, out);
                drop(bytes.split_to(item.len));
                if let Some(refusal) = refusal {
                    if matches!(item.what, What::Refused { .. }) {
                        out.push(note(&refusal));
                    }
                    let name = match &item.what {
                        What::Parse(it) if it.name.is_empty() => &[],
                        _ => REFUSED_NAME,
                    };
                    self.send_failing(&refusal, simple, name, out);
                }
                self.leave_out(&item.what);
                continue;
            }
            if item.owner.is_some() && item.owner != span.owner {
                if span.owner.is_some() {
                    self.send(&mut span, &mut bytes, &mut slots, out);
                }
                span.owner = item.owner;
            }
            span.len += item.len;
            self.queue(at, item, &mut slots);
        }
        self.send(&mut span, &mut bytes, &mut slots, out);
        // The vectors keep their room for the next batch; the buffer goes back to the reader.
        self.batch = Batch { bytes: BytesMut::new(), items, plans, held: None };
        self.sending = None;
    }

    fn slot(&mut self, plan: Plan, answer: Answer) -> Slot {
        let last = plan.last;
        let permit = match answer {
            Ok(permit) => permit,
            Err(refusal) => return Slot { fate: Fate::Refused(Box::new(refusal)), last },
        };
        if permit.mask_plan().is_some_and(|p| p.masks_anything) {
            permit.abandon(AbandonReason::RefusedTogether);
            let refusal = Refusal::new(
                RefusalKind::Unsupported,
                "Firsthand cannot mask the values that this command would return, so it was not run; ask for other columns",
            );
            return Slot { fate: Fate::Refused(Box::new(refusal)), last };
        }
        self.seq += 1;
        let running = Running {
            seq: self.seq,
            permit,
            shape: plan.shape,
            change: plan.change,
            unsettles: plan.unsettles,
            opaque: plan.opaque,
            secrets: plan.secrets,
            capture: None,
            notices: Vec::new(),
            copy_in: false,
            copy_done: false,
        };
        Slot { fate: Fate::Permitted(Box::new(running)), last }
    }

    /// Sends the span through its command's permit; without a command it is bookkeeping.
    fn send(&mut self, span: &mut Span, bytes: &mut BytesMut, slots: &mut [Slot], out: &mut Vec<Action>) {
        let Span { len, owner } = std::mem::take(span);
        if len == 0 {
            return;
        }
        let mut piece = bytes.split_to(len).freeze();
        if let Some(held) = &self.sending {
            piece = carry(piece, held);
        }
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

    /// Queues what must be answered.
    fn queue(&mut self, at: usize, item: Item, slots: &mut [Slot]) {
        let Item { what, owner, .. } = item;
        let seq = owner.and_then(|o| slots.get(o)).map_or(0, Slot::seq);
        let ending = match &what {
            What::Query(range) => range.clone(),
            _ => owner.map_or(0..0, |o| o..o + 1),
        };
        let mut ends = 0;
        for slot in slots.get_mut(ending).unwrap_or_default() {
            if slot.last == at
                && let Fate::Permitted(mut running) = std::mem::replace(&mut slot.fate, Fate::Done)
            {
                slot.fate = Fate::Queued(running.seq);
                // All statements of a Query go out with its bytes, though only the first one's permit carries them.
                let _ = running.permit.forward(Bytes::new());
                self.flight.start(running);
                ends += 1;
            }
        }
        let sent = match what {
            What::Parse(it) => Sent::Parse(it),
            What::Bind(it) => Sent::Bind(it),
            What::DescribeStatement(it) => Sent::DescribeStatement(it),
            What::DescribePortal(it) => Sent::DescribePortal(it),
            What::CloseStatement(name) => Sent::CloseStatement(name),
            What::ClosePortal(name) => Sent::ClosePortal(name),
            What::Execute(it) => Sent::Execute(it),
            What::Query(_) => Sent::Script,
            What::Function => Sent::Function,
            What::Sync => Sent::Sync { doubtful: self.flight.swallows_sync() },
            What::Terminate => {
                self.life = Life::Leaving;
                return;
            }
            What::Flush | What::Refused { .. } => return,
        };
        let ready = matches!(sent, Sent::Script | Sent::Function);
        self.flight.push(Entry { sent, owner: seq, ends });
        if ready {
            self.flight.push(Entry::plain(Sent::Ready));
        }
    }

    /// What stands for a refused message at the target: it fails there as a syntax error, and everything after it that
    /// depends on it fails as PostgreSQL has it. Its error is swallowed and the refusal told in its place.
    fn send_failing(&mut self, refusal: &Refusal, simple: bool, name: &[u8], out: &mut Vec<Action>) {
        let rule: String = refusal.rule.chars().filter(|c| !c.is_control()).take(64).collect();
        let rule = if rule.is_empty() { rule } else { format!(" ({rule})") };
        let text = format!("firsthand refused a command of session {}{rule}", self.session);
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
