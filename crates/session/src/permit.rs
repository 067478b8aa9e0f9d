//! The proofs that the order was kept. Only a `Permit` makes bytes for the target; bytes for the client carry the log
//! position they must wait for; recording the outcome consumes the permit. None of these can be made anywhere else.

use std::sync::Arc;

use bytes::Bytes;
use firsthand_model::amount::{Amount, Labelled, Limits, Most};
use firsthand_model::event::{CommandAbandoned, Event};
use firsthand_model::id::CommandNumber;
use firsthand_model::json::Json;
use firsthand_model::limits::RecordLimits;
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Durability;
use firsthand_model::time::MonoMicros;

use crate::admission::Engine;
use crate::meter::{Meter, Outlasted, overtime};
use crate::port::{MaskPlan, Need, Ticket, Told};
use crate::refusal::Refusal;
use crate::tally::Tally;

/// Bytes allowed toward the target. Made by [`Permit::forward`] and `Admission::forward` only.
#[derive(Debug)]
pub struct Forward(pub(crate) Bytes);

impl Forward {
    /// The bytes, for the driver that writes them.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Bytes for the client, and the log position that must be durable before they leave (invariants 1 and 2).
#[derive(Debug)]
pub struct Reply {
    pub(crate) bytes: Bytes,
    pub(crate) after: Option<Ticket>,
}

impl Reply {
    /// The bytes and what they wait for, for the driver that writes them.
    pub fn into_parts(self) -> (Bytes, Option<Ticket>) {
        (self.bytes, self.after)
    }
}

/// Leave to run one command. Not `Clone`; dropping it unused records `command.abandoned`.
#[must_use = "a permit ends in complete() or abandon()"]
pub struct Permit {
    pub(crate) inner: Option<Box<Inner>>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) facts: Arc<SessionFacts>,
    pub(crate) number: CommandNumber,
    pub(crate) intent: Ticket,
    pub(crate) asked: MonoMicros,
    pub(crate) before: Transaction,
    pub(crate) limits: RecordLimits,
    pub(crate) plan: MaskPlan,
    /// Where something of it is limited.
    pub(crate) meter: Option<Box<Meter>>,
    /// What a call to the gateway itself is answered.
    pub(crate) told: Option<Told>,
    pub(crate) forwarded: bool,
}

impl Permit {
    /// Bytes of this command that may go to the target.
    pub fn forward(&mut self, bytes: Bytes) -> Forward {
        if let Some(inner) = &mut self.inner {
            inner.forwarded = true;
        }
        Forward(bytes)
    }

    /// A piece of the answer that is not its end (rows, copy data): it waits for the intent.
    pub fn reply(&self, bytes: Bytes) -> Reply {
        let after = self.inner.as_ref().and_then(|i| wait_for(&i.facts, i.intent));
        Reply { bytes, after }
    }

    /// The command's number in its session.
    pub fn number(&self) -> CommandNumber {
        self.inner.as_ref().map_or(CommandNumber(0), |i| i.number)
    }

    /// How much of its rows is to be kept.
    pub fn limits(&self) -> RecordLimits {
        self.inner.as_ref().map(|i| i.limits).unwrap_or_default()
    }

    /// How values of its reply are to be masked.
    pub fn mask_plan(&self) -> Option<&MaskPlan> {
        self.inner.as_ref().map(|i| &i.plan)
    }

    /// What a call to the gateway itself is answered. `None`: nothing was done, because the transaction it came in has failed.
    pub fn told(&self) -> Option<&Told> {
        self.inner.as_ref()?.told.as_ref()
    }

    fn meter(&self) -> Option<&Meter> {
        self.inner.as_ref()?.meter.as_deref()
    }

    fn meter_mut(&mut self) -> Option<&mut Meter> {
        self.inner.as_mut()?.meter.as_deref_mut()
    }

    /// Rows that it may change together with its transaction. Observing enforces no limit.
    pub fn affected_limit(&self) -> Option<Most> {
        self.meter()?.enforced()?.statement.affected.clone()
    }

    /// Rows that may still be changed in its session, or by its identity today.
    pub fn affected_left(&self) -> Option<Most> {
        self.meter().filter(|meter| meter.enforced().is_some())?.affected_left()
    }

    /// Whether what it delivers is to be counted while it is delivered ([`Permit::deliver`]). Where nothing is refused, only
    /// cells are: rows and bytes are told with its end.
    pub fn counts_delivery(&self) -> bool {
        let cells = self.meter().is_some_and(|meter| meter.limits().counts_cells());
        cells || self.may_refuse_delivery()
    }

    /// Whether that may refuse.
    pub fn may_refuse_delivery(&self) -> bool {
        self.meter().and_then(Meter::enforced).is_some_and(Limits::counts_delivered)
    }

    /// How many cells of each of its rows have a label.
    pub fn labelled(&self) -> Labelled {
        self.meter().map(Meter::labelled).unwrap_or_default()
    }

    /// So much more is about to be delivered.
    ///
    /// # Errors
    /// The refusal to answer with, when that would pass a limit: none of it is delivered.
    pub fn deliver(&mut self, rows: u64, bytes: u64, cells: u64) -> Result<(), Refusal> {
        let more = [(Amount::Rows, rows), (Amount::Bytes, bytes), (Amount::Cells, cells)];
        self.meter_mut().map_or(Ok(()), |meter| meter.deliver(more))
    }

    /// So many rows were affected, and can still be undone.
    ///
    /// # Errors
    /// The refusal to answer with, when that passes what is left of a session or a day: they must be undone.
    pub fn affect(&mut self, rows: u64) -> Result<(), Refusal> {
        self.meter_mut().map_or(Ok(()), |meter| meter.affect(rows))
    }

    /// Microseconds that it may take at the target. Observing enforces none.
    pub fn time_limit(&self) -> Option<u64> {
        Some(self.meter()?.enforced()?.time_us.as_ref()?.most)
    }

    /// What is said when it took longer.
    pub fn overtime(&self) -> Option<Outlasted> {
        let most = self.meter()?.enforced()?.time_us.as_ref()?;
        Some(overtime(most, self.number()))
    }

    /// Ends it without an answer of the target. A record that fails here is found at the next start: an intent without
    /// an outcome.
    pub fn abandon(mut self, why: AbandonReason) {
        if let Some(inner) = self.inner.take() {
            inner.abandon(why);
        }
    }

    pub(crate) fn take(mut self) -> Option<Box<Inner>> {
        self.inner.take()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            inner.abandon(AbandonReason::Dropped);
        }
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit(#{})", self.number().0)
    }
}

impl Inner {
    pub(crate) fn abandon(self, why: AbandonReason) {
        Tally::one(&self.engine.tally.commands_abandoned);
        let event = Event::CommandAbandoned(Box::new(CommandAbandoned {
            session: self.facts.id,
            facts: Some(self.facts),
            number: self.number,
            intent: self.intent.0,
            why,
            forwarded: Some(self.forwarded),
        }));
        // An error is not lost: the log is stopped then, health is red, and recovery reports the orphan.
        let _ = self.engine.recorder.append(event, Need::End);
    }
}

/// Rows for the record.
#[derive(Debug)]
pub struct RowsPiece {
    /// First row's number in the result, from 0.
    pub first_row: u64,
    /// Rows in it.
    pub rows: u64,
    /// Columns: JSON array, or absent.
    pub columns: Json,
    /// The rows: JSON array.
    pub values: Json,
}

/// Rows that a command changed, for the record.
#[derive(Debug)]
pub struct ChangedPiece {
    /// The table: `schema.name`.
    pub table: String,
    /// `insert`, `update`, `delete`, `upsert`.
    pub action: &'static str,
    /// How it was found out.
    pub how: &'static str,
    /// Number of the first row here, from 0.
    pub first: u64,
    /// Rows here.
    pub rows: u64,
    /// Rows changed in all; only in the last piece.
    pub count: Option<u64>,
    /// What was not seen.
    pub coverage: Vec<&'static str>,
    /// The columns: JSON array.
    pub columns: Json,
    /// The rows as they were: JSON array, or absent.
    pub old: Json,
    /// The rows as they are now: JSON array, or absent.
    pub new: Json,
}

/// The outcome is recorded (or, when strict, on its way to be durable): now the client may be told.
#[must_use = "the end of the answer is still to be sent"]
#[derive(Debug)]
pub struct Completed {
    pub(crate) after: Option<Ticket>,
}

impl Completed {
    /// The message that ends the command: it waits for the outcome.
    pub fn reply(&self, bytes: Bytes) -> Reply {
        Reply { bytes, after: self.after }
    }
}

/// What has to be waited for: nothing when relaxed.
pub(crate) fn wait_for(facts: &SessionFacts, ticket: Ticket) -> Option<Ticket> {
    match facts.durability {
        Durability::Strict => Some(ticket),
        Durability::Relaxed => None,
    }
}
