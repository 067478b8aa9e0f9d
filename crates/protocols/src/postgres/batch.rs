//! What the client has sent and the target has not been given yet: messages up to the next Sync, Flush, Query or
//! FunctionCall, or to a pause of the client, and the commands that they make.
//!
//! An Execute makes one command of itself, its Bind and its Parse. A Parse or Bind that no Execute claims is a command of
//! step *prepare*. Describe, Close, Sync and Flush ask for nothing that runs.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::command::{Command, Shape, Step};
use firsthand_model::grant::AccessCall;
use firsthand_model::json::{self, Json, Object};
use firsthand_model::outcome::Transaction;
use firsthand_session::Refusal;
use firsthand_sql::{CopyOptions, Masked};

use super::changed::Found;
use super::fastpath::Answer;
use super::knowing::Pending;
use super::names::{Does, Epoch, Portal, Statement};
use super::role::{self, Change};
use super::text::{self, Recorded};
use super::wal::may_commit_within;
use crate::budget::{Budget, FREE, Held};

/// Commands asked for at once. A longer pipeline is asked for in parts: each costs one wait for the disk.
pub(super) const COMMANDS_MAX: usize = 256;
/// Messages held at once; half of what may be in flight.
pub(super) const ITEMS_MAX: usize = 2048;
/// Bytes held before they are asked for although no Sync has come.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// Messages that do not stand together are put together up to this size: what is small goes out in one write.
const COPIED_MAX: usize = 16 << 10;

/// How commands of the extended protocol came.
const EXTENDED: &str = "extended";

/// Coverage fact: which text a name stands for is not known to the gateway (it was made by SQL's PREPARE).
pub(super) const TEXT_UNKNOWN: &str = "text-unknown";
/// Coverage fact: the portal is a cursor that SQL's DECLARE, or code, has made.
const CURSOR_UNKNOWN: &str = "cursor-unknown";
/// Coverage fact: the name may stand for another text by now.
pub(super) const TEXT_DOUBTFUL: &str = "text-doubtful";
/// Coverage fact: the text is the one that the client gave the name. What ran since may have run code that nobody saw, and
/// such code can give a name another text.
pub(super) const TEXT_AS_PREPARED: &str = "text-as-prepared";
/// Coverage fact: more parameters than the record keeps.
pub(super) const PARAMETERS_CUT: &str = "parameters-cut";

/// A message that waits.
#[derive(Debug)]
pub(super) enum What {
    Parse(Arc<Statement>),
    Bind(Arc<Portal>),
    DescribeStatement(Option<Arc<Statement>>),
    DescribePortal(Option<Arc<Portal>>),
    CloseStatement(Box<[u8]>),
    ClosePortal(Box<[u8]>),
    Execute(Option<Arc<Portal>>),
    /// With the commands it holds.
    Query(Range<usize>),
    Function(Answer),
    Sync,
    Flush,
    Terminate,
    /// What stands for a message that cannot be read. `ready`: one that gets a ReadyForQuery.
    Malformed {
        ready: bool,
    },
    /// A message that the gateway itself turns away; it has no bytes here. `simple`: one that gets a ReadyForQuery.
    Refused {
        refusal: Box<Refusal>,
        simple: bool,
    },
}

/// A message with its place.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) what: What,
    /// Its bytes.
    pub(super) len: usize,
    /// The command it belongs to.
    pub(super) owner: Option<usize>,
}

/// A command to be asked for.
#[derive(Debug)]
pub(super) struct Plan {
    /// Until it is asked for.
    pub(super) command: Option<Command>,
    /// It is a call to the gateway itself.
    pub(super) access: bool,
    /// What it does, as it was read.
    pub(super) shape: Arc<Shape>,
    /// The item with which it ends.
    pub(super) last: usize,
    pub(super) change: Change,
    /// What it changes for what later statements mean.
    pub(super) pending: Pending,
    pub(super) unsettles: bool,
    pub(super) opaque: bool,
    pub(super) secrets: Option<Arc<Masked>>,
    /// Which rows it changes, as far as its text tells.
    pub(super) changes: Found,
    pub(super) step: Step,
    /// Its text names the function that changes settings.
    pub(super) sets_config: bool,
    /// It declares a cursor, perhaps one that outlives its transaction.
    pub(super) holds: bool,
    /// It may commit in the middle.
    pub(super) commits_within: bool,
    /// How its COPY data is written.
    pub(super) copy: Option<Arc<CopyOptions>>,
}

/// What a command is made of.
pub(super) struct Parts {
    pub(super) step: Step,
    pub(super) via: &'static str,
    pub(super) shape: Arc<Shape>,
    pub(super) text: Recorded,
    pub(super) change: Change,
    pub(super) parameters: Json,
    pub(super) parameters_digest: Option<[u8; 32]>,
    pub(super) names: Json,
    pub(super) opaque: bool,
    pub(super) coverage: Vec<&'static str>,
    pub(super) changes: Found,
    pub(super) pending: Pending,
    /// It is a call to the gateway itself.
    pub(super) access: Option<Arc<AccessCall>>,
}

/// What holds for all commands asked at this moment.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) transaction: Transaction,
    pub(super) role_unknown: bool,
    /// The count of names: see `names`.
    pub(super) epoch: Epoch,
}

/// Bytes of messages, in order. Large ones stay where they are: they are not moved to stand by the others.
#[derive(Default)]
pub(super) struct Messages {
    first: BytesMut,
    /// The rest; most batches have none, so that they take no room of their own.
    more: VecDeque<BytesMut>,
    len: usize,
}

impl Messages {
    /// This one message.
    pub(super) fn of(message: BytesMut) -> Self {
        Self { len: message.len(), first: message, more: VecDeque::new() }
    }

    /// The message of `len` bytes that begins after so many; each stands in one piece.
    pub(super) fn message(&self, mut after: usize, len: usize) -> &[u8] {
        for piece in std::iter::once(&self.first).chain(&self.more) {
            if after < piece.len() {
                return piece.get(after..after + len).unwrap_or_default();
            }
            after -= piece.len();
        }
        &[]
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, message: BytesMut) {
        if message.is_empty() {
            return;
        }
        let empty = self.len == 0;
        self.len += message.len();
        let last = self.more.back_mut().unwrap_or(&mut self.first);
        if empty {
            self.first = message;
        } else if adjoin(last, &message) || last.len() + message.len() <= COPIED_MAX {
            // What was read together still stands together, which takes no copy.
            last.unsplit(message);
        } else {
            self.more.push_back(message);
        }
    }

    /// Takes out up to `want` bytes that stand together, and says in `want` how many are still to be taken.
    pub(super) fn take(&mut self, want: &mut usize) -> Option<BytesMut> {
        if *want == 0 {
            return None;
        }
        if self.first.is_empty() {
            self.first = self.more.pop_front()?;
        }
        let piece = self.first.split_to((*want).min(self.first.len()));
        *want -= piece.len();
        self.len -= piece.len();
        Some(piece)
    }

    /// Drops so many bytes.
    pub(super) fn skip(&mut self, mut bytes: usize) {
        while self.take(&mut bytes).is_some() {}
    }
}

fn adjoin(one: &BytesMut, other: &BytesMut) -> bool {
    one.as_ptr_range().end == other.as_ptr()
}

#[derive(Default)]
pub(super) struct Batch {
    /// The messages.
    pub(super) bytes: Messages,
    pub(super) items: Vec<Item>,
    pub(super) plans: Vec<Plan>,
    /// A command in it may change the role: those behind it are asked for before that is known.
    pub(super) moves_role: bool,
    /// The room that its bytes take, when they are many.
    pub(super) held: Option<Held>,
}

impl Batch {
    /// Takes room for the messages here and `more` bytes. False: there is none.
    pub(super) fn hold(&mut self, of: &Arc<Budget>, more: usize) -> bool {
        let bytes = self.bytes.len() + more;
        bytes <= FREE || self.held.get_or_insert_with(|| Held::none(of)).grow_to(bytes)
    }

    /// Hands out the room of the message that comes next, for as long as that is elsewhere.
    pub(super) fn lend(&mut self) -> Option<Held> {
        let here = self.bytes.len();
        self.held.as_mut().map(|held| held.split_off(here))
    }

    /// It is back.
    pub(super) fn take_back(&mut self, lent: Option<Held>) {
        match (&mut self.held, lent) {
            (Some(held), Some(lent)) => held.join(lent),
            (held @ None, lent) => *held = lent,
            (Some(_), None) => {}
        }
    }

    /// Gives back the room of a message that was not taken in.
    pub(super) fn let_go(&mut self) {
        if let Some(held) = &mut self.held {
            held.shrink_to(self.bytes.len());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.plans.len() >= COMMANDS_MAX || self.items.len() >= ITEMS_MAX || self.bytes.len() >= BYTES_MAX
    }

    /// Whether its last message is a Parse, Bind or Describe that an Execute may still follow.
    pub(super) fn ends_unclaimed(&self) -> bool {
        let last = self
            .items
            .iter()
            .rfind(|i| !matches!(i.what, What::DescribeStatement(_) | What::DescribePortal(_)));
        last.is_some_and(|i| i.owner.is_none() && matches!(i.what, What::Parse(_) | What::Bind(_)))
    }

    /// Whether a command in it can change how texts are read.
    pub(super) fn is_unsettled(&self) -> bool {
        self.plans.iter().any(|p| p.unsettles)
    }

    /// Takes a message in.
    pub(super) fn add(&mut self, what: What, message: BytesMut) {
        let len = message.len();
        self.bytes.push(message);
        self.items.push(Item { what, len, owner: None });
    }

    /// Takes in a command that ends with the message added last.
    pub(super) fn plan(&mut self, parts: Parts, moment: Moment) -> usize {
        let Parts {
            step,
            via,
            shape,
            text,
            change,
            parameters,
            parameters_digest,
            names,
            opaque,
            mut coverage,
            changes,
            pending,
            access,
        } = parts;
        let Recorded {
            text,
            original_digest,
            original_bytes,
            coverage: of_text,
            claims,
            claims_cut,
            secrets,
            copy,
            secret_parameters: _,
        } = text;
        coverage.extend(claims_cut.then_some(text::CLAIMS_CUT));
        coverage.extend(of_text);
        if moment.role_unknown || self.moves_role {
            coverage.push(role::ROLE_UNKNOWN);
        }
        let runs = step == Step::Run;
        self.moves_role |= runs && change.moves_role();
        self.plans.push(Plan {
            last: self.items.len().saturating_sub(1),
            change: if runs { change } else { Change::None },
            pending,
            unsettles: runs && role::unsettles(&shape),
            opaque,
            secrets,
            changes,
            step,
            commits_within: may_commit_within(&shape, (original_digest.is_none()).then_some(&*text)),
            holds: shape.tag == "DECLARE CURSOR" && role::contains(&text, b'h', &["hold"]),
            sets_config: runs && !shape.plain_read && role::contains(&text, b's', &["set_config"]),
            copy,
            access: access.is_some(),
            shape: Arc::clone(&shape),
            command: Some(Command {
                step,
                via: if runs && shape.tag == "COPY" { "copy" } else { via },
                shape,
                text,
                original_digest,
                original_bytes,
                parameters,
                claims,
                parameters_digest,
                names,
                transaction: moment.transaction,
                coverage,
                original: None,
                access,
            }),
        });
        self.plans.len() - 1
    }

    /// An Execute of this portal, which leaves `pending` behind: it, its Bind and its Parse become a command.
    #[expect(
        clippy::too_many_arguments,
        reason = "an Execute with what is known at its moment; each is used once"
    )]
    pub(super) fn execute(
        &mut self,
        name: &[u8],
        (portal, does): (Option<Arc<Portal>>, Option<Does>),
        max_rows: i32,
        message: BytesMut,
        pending: Pending,
        moment: Moment,
    ) {
        self.add(What::Execute(portal.clone()), message);
        let this = self.items.len() - 1;
        let parts = Parts { pending, ..execution(name, portal.as_deref(), does.as_ref(), max_rows, moment) };
        let plan = self.plan(parts, moment);
        let mut wanted = portal;
        let mut statement: Option<Arc<Statement>> = None;
        for (at, item) in self.items.iter_mut().enumerate().rev() {
            let mine = at == this
                || match &item.what {
                    What::Bind(it) => match &wanted {
                        Some(portal) if Arc::ptr_eq(it, portal) => {
                            statement.clone_from(&it.statement);
                            wanted = None;
                            item.owner.is_none()
                        }
                        _ => false,
                    },
                    What::Parse(it) => match &statement {
                        Some(wanted) if Arc::ptr_eq(it, wanted) => {
                            statement = None;
                            item.owner.is_none()
                        }
                        _ => false,
                    },
                    _ => false,
                };
            if mine {
                item.owner = Some(plan);
            }
            if wanted.is_none() && statement.is_none() {
                break;
            }
        }
    }

    /// Makes commands of the Parses and Binds that nothing has claimed, and puts all commands in the order in which they
    /// end.
    pub(super) fn plan_preparations(&mut self, moment: Moment) {
        let before = self.plans.len();
        let mut at = self.items.len();
        while let Some(index) = at.checked_sub(1) {
            at = index;
            let Some(item) = self.items.get(index) else { break };
            if item.owner.is_some() {
                continue;
            }
            let parts = match &item.what {
                What::Bind(portal) => preparation_of_portal(portal, moment),
                What::Parse(statement) => preparation_of_statement(statement),
                _ => continue,
            };
            let statement = match &item.what {
                What::Bind(portal) => portal.statement.clone(),
                _ => None,
            };
            let plan = self.plan(parts, moment);
            if let Some(plan) = self.plans.get_mut(plan) {
                plan.last = index;
            }
            self.claim(index, plan, statement.as_ref());
        }
        if self.plans.len() > before {
            self.order();
        }
    }

    fn claim(&mut self, index: usize, plan: usize, statement: Option<&Arc<Statement>>) {
        if let Some(item) = self.items.get_mut(index) {
            item.owner = Some(plan);
        }
        let Some(statement) = statement else { return };
        let its_parse =
            |item: &&mut Item| matches!(&item.what, What::Parse(it) if Arc::ptr_eq(it, statement));
        let before = self.items.get_mut(..index).unwrap_or_default();
        if let Some(item) = before.iter_mut().rev().find(its_parse) {
            item.owner.get_or_insert(plan);
        }
    }

    /// Sorts the commands by where they end.
    fn order(&mut self) {
        let mut order: Vec<usize> = (0..self.plans.len()).collect();
        order.sort_by_key(|at| self.plans.get(*at).map_or(usize::MAX, |p| p.last));
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            if let Some(slot) = place.get_mut(*old) {
                *slot = new;
            }
        }
        let moved = |at: usize| place.get(at).copied().unwrap_or(at);
        for item in &mut self.items {
            item.owner = item.owner.map(moved);
            if let What::Query(range) = &mut item.what {
                let len = range.len();
                *range = moved(range.start)..moved(range.start) + len;
            }
        }
        self.plans.sort_by_key(|p| p.last);
    }
}

fn execution(
    name: &[u8],
    portal: Option<&Portal>,
    does: Option<&Does>,
    max_rows: i32,
    moment: Moment,
) -> Parts {
    let mut coverage = Vec::new();
    let statement = portal.and_then(|p| p.statement.as_deref());
    let (mut shape, text) = match statement {
        Some(statement) => {
            let does = does.map_or(&statement.shape, |(shape, _)| shape);
            let secrets = portal.and_then(|p| p.secrets.clone());
            let text = statement.text.clone();
            (Arc::clone(does), Recorded { secrets: secrets.or_else(|| text.secrets.clone()), ..text })
        }
        None => {
            // Made by SQL's PREPARE: what it does may be known, how it reads is not.
            let does = does.map(|(shape, _)| text::unread(shape, TEXT_UNKNOWN));
            // What no Bind has made is a cursor of SQL's DECLARE, or of a function.
            let cursor = portal.is_none() && !name.is_empty();
            let why = if cursor { CURSOR_UNKNOWN } else { TEXT_UNKNOWN };
            (does.unwrap_or_else(|| text::unknown(why)), Recorded::default())
        }
    };
    let since = |changed: fn(Epoch, Epoch) -> bool| {
        portal.is_some_and(|p| !p.name.is_empty() && changed(p.epoch, moment.epoch))
            || statement.is_some_and(|s| !s.name.is_empty() && changed(s.epoch, moment.epoch))
    };
    let doubtful = portal.is_some_and(|p| p.is_in_doubt(moment.epoch));
    if doubtful {
        // It is judged as what it may be: anything.
        shape = text::unknown(TEXT_DOUBTFUL);
    } else if since(|then, now| then != now) {
        coverage.push(TEXT_AS_PREPARED);
    }
    if shape.plain_read && since(|then, now| then != now) {
        Arc::make_mut(&mut shape).plain_read = false;
    }
    if portal.is_some_and(|p| p.parameters_cut) {
        coverage.push(PARAMETERS_CUT);
    }
    Parts {
        shape,
        step: Step::Run,
        text,
        change: match statement {
            Some(_) if doubtful => Change::Unclear,
            Some(statement) => statement.change.clone(),
            None => Change::None,
        },
        parameters: portal.map(|p| p.parameters.clone()).unwrap_or_default(),
        parameters_digest: portal.and_then(|p| p.parameters_digest),
        names: names_json(name, statement.map_or(&[], |s| &s.name), max_rows),
        via: EXTENDED,
        opaque: false,
        coverage,
        changes: statement.filter(|_| !doubtful).and_then(|s| s.changes.clone()),
        pending: Pending::default(),
        access: portal.filter(|_| !doubtful).and_then(Portal::call),
    }
}

fn preparation_of_portal(portal: &Portal, moment: Moment) -> Parts {
    let parts = execution(&portal.name, Some(portal), portal.does.as_ref(), 0, moment);
    Parts { step: Step::Prepare, ..parts }
}

fn preparation_of_statement(statement: &Statement) -> Parts {
    Parts {
        shape: Arc::clone(&statement.shape),
        step: Step::Prepare,
        text: statement.text.clone(),
        change: Change::None,
        parameters: Json::default(),
        parameters_digest: None,
        names: names_json(&[], &statement.name, 0),
        via: EXTENDED,
        opaque: false,
        coverage: Vec::new(),
        changes: None,
        pending: Pending::default(),
        // Nothing is asked before it runs.
        access: statement.access.as_ref().map(|_| Arc::new(AccessCall::Status)),
    }
}

/// `{"max_rows":…,"portal":…,"statement":…}`, each only where there is one.
fn names_json(portal: &[u8], statement: &[u8], max_rows: i32) -> Json {
    if portal.is_empty() && statement.is_empty() && max_rows <= 0 {
        return Json::default();
    }
    let mut out = Vec::with_capacity(portal.len() + statement.len() + 48);
    let mut o = Object::open(&mut out);
    if let Ok(max_rows @ 1..) = u64::try_from(max_rows) {
        o.number("max_rows", max_rows);
    }
    if !portal.is_empty() {
        json::write_lossy(o.key("portal"), portal);
    }
    if !statement.is_empty() {
        json::write_lossy(o.key("statement"), statement);
    }
    o.close();
    Json::from_written(out)
}
