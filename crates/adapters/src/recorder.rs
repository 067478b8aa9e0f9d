//! The recorder: the engine's port over the log. What it refuses, does not run.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry, prepare};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::queue::{
    AppendError, Class, Durability as Sync, INTENT_QUEUE_BYTES, Item, Patience, Registration, STALL, State,
    Ticket as Position, WaitError,
};
use firsthand_auditlog::writer::Log;
use firsthand_model::event::Event;
use firsthand_session::port::{Clock, Need, RecordError, Recorder, Ticket, Waiting};

/// How long anybody waits for the disk before the wait counts as failed. Disks that merely are busy take milliseconds;
/// one that takes this long hangs, and clients should not hang with it.
pub const RECORD_WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes queued for the log above which clients are no longer listened to: an eighth of what would refuse them.
const BACKLOG_BYTES: usize = INTENT_QUEUE_BYTES / 8;

/// Who has at most so much to take in is let in up to twice the backlog: who fills that with large texts waits at once.
const FEW_BYTES: usize = 8 << 10;

/// About what an entry needs beside its texts: leaf, frame, the structures in memory.
const ENTRY_BYTES: usize = 768;

/// Writes events to the log.
pub struct LogRecorder {
    log: Arc<Log<EventCodec>>,
    keys: Arc<KeyStore>,
    clock: Box<dyn Clock>,
}

impl LogRecorder {
    /// Over an open log.
    pub fn new(log: Arc<Log<EventCodec>>, keys: Arc<KeyStore>, clock: Box<dyn Clock>) -> Self {
        Self { log, keys, clock }
    }

    /// The log itself.
    pub fn log(&self) -> &Arc<Log<EventCodec>> {
        &self.log
    }

    /// Makes a session's keys before its first entry, where failing still refuses the session.
    fn make_keys(&self, event: &Event) -> Result<(), RecordError> {
        let Event::SessionOpened(opened) = event else { return Ok(()) };
        prepare(&opened.facts, &self.keys, self.log.id(), self.clock.now().0)
            .map_err(|e| RecordError::Full(format!("the keys of a new session cannot be stored: {e}")))
    }
}

impl Recorder for LogRecorder {
    /// Appends without hurry: being waited for is what makes an entry urgent (`poll_durable`), so
    /// that the intent and the outcome of a read, which wait together, cost one fdatasync.
    fn append(&self, event: Event, need: Need) -> Result<Ticket, RecordError> {
        self.make_keys(&event)?;
        let item = Item {
            class: match need {
                Need::Intent => Class::Intent,
                Need::Fact => Class::Outcome,
                Need::End => Class::End,
            },
            durability: Sync::Relaxed,
            opens: matches!(event, Event::SessionOpened(_) | Event::CommandDecided(_)),
            size: size(&event),
            entry: LogEntry::Event(event),
        };
        self.log.append(item).map(|position| Ticket(position.0)).map_err(not_taken)
    }

    fn id(&self) -> [u8; 16] {
        *self.log.id()
    }

    fn is_durable(&self, ticket: Ticket) -> bool {
        self.log.durable_size() > ticket.0
    }

    fn poll_room(&self, bytes: usize, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<()> {
        let most = if bytes > FEW_BYTES { BACKLOG_BYTES } else { 2 * BACKLOG_BYTES };
        if self.log.queued_bytes() < most
            || !matches!(self.log.health().state, State::Running)
            || u128::from(self.log.in_flight_us()) > STALL.as_micros()
        {
            // In trouble nobody waits here: what cannot be recorded is refused.
            return Poll::Ready(());
        }
        let next = Position(self.log.durable_size());
        let Some(registration) = registration(waiting) else { return Poll::Ready(()) };
        let durable = self.log.poll_durable(next, Patience::Intent, registration, cx).map(drop);
        // All that was queued may have become durable before the place was read at which is waited; then nothing would wake.
        if self.log.queued_bytes() < most { Poll::Ready(()) } else { durable }
    }

    fn poll_durable(
        &self,
        ticket: Ticket,
        need: Need,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecordError>> {
        let patience = match need {
            Need::Intent => Patience::Intent,
            Need::Fact | Need::End => Patience::Outcome,
        };
        let Some(registration) = registration(waiting) else {
            return Poll::Ready(Err(RecordError::Stopped("a wait was begun at another recorder".to_owned())));
        };
        match self.log.poll_urgent(Position(ticket.0), patience, registration, cx) {
            Poll::Ready(ready) => Poll::Ready(ready.map_err(not_durable)),
            Poll::Pending if u128::from(self.log.in_flight_us()) > RECORD_WAIT_MAX.as_micros() => {
                Poll::Ready(Err(RecordError::TimedOut))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What the log remembers of who waits here: polled again, it stands on the log's list once. `None`: it waits elsewhere.
fn registration(waiting: &mut Waiting) -> Option<&mut Registration> {
    waiting.0.get_or_insert_with(|| Box::new(Registration::default())).downcast_mut()
}

fn not_taken(e: AppendError) -> RecordError {
    match e {
        AppendError::Stopped(why) => RecordError::Stopped(why),
        AppendError::Closed => RecordError::Stopped(e.to_string()),
        AppendError::Queue(_) | AppendError::Stalled(_) | AppendError::Open(_) => RecordError::Overloaded,
        AppendError::Suspended(why) | AppendError::Full(why) => RecordError::Full(why),
    }
}

fn not_durable(e: WaitError) -> RecordError {
    match e {
        WaitError::Stopped(why) => RecordError::Stopped(why),
        WaitError::Suspended(why) => RecordError::Full(why),
        WaitError::TooLarge(_) => RecordError::Full(e.to_string()),
    }
}

/// About how many bytes an event holds and will need on disk.
fn size(event: &Event) -> usize {
    ENTRY_BYTES
        + match event {
            Event::CommandDecided(e) => {
                e.command.text.len() + e.command.parameters.len() + e.command.names.len()
            }
            Event::CommandChanged(e) => e.columns.len() + e.old.len() + e.new.len() + e.table.len(),
            Event::TransactionChanged(e) => e.columns.len() + e.old.len() + e.new.len() + e.table.len(),
            Event::CommandRows(e) => e.values.len() + e.columns.len(),
            Event::CommandCompleted(e) => {
                let o = &e.outcome;
                o.inline_rows.len() + o.columns.len() + o.notices.len() + o.error.len()
            }
            Event::SessionNoted(e) => e.detail.len(),
            Event::SessionOpened(e) => e.parameters.len() + 512,
            Event::Administered(e) => e.leaf.len() + e.payload.len(),
            Event::Log(e) => e.leaf.len(),
            Event::Approval(e) => e.text.len() + e.parameters.len() + e.reason.len() + 512,
            Event::SessionClosed(_)
            | Event::CommandAbandoned(_)
            | Event::Stream(_)
            | Event::Refused(_)
            | Event::TransactionNamed(_)
            | Event::TransactionEnded(_) => 256,
        }
}
