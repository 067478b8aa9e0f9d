//! What the world outside knows, whatever the log says; and the recorder between the engine and the log, which notes at
//! which position what was appended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use firsthand_adapters::recorder::LogRecorder;
use firsthand_model::event::Event;
use firsthand_session::port::{Need, RecordError, Recorder, Ticket, Waiting};

/// A session's id and a command's number in it.
pub type Key = (u128, u64);

/// An entry in a few words, the same from the event and from its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub kind: String,
    pub sid: u128,
    pub number: u64,
    /// Verdict, SQLSTATE, reason, or what was noted.
    pub word: String,
    /// The statement's text, of an intent.
    pub text: String,
}

impl Line {
    fn of(event: &Event) -> Self {
        let line = |kind: &str, sid, number, word: &str, text: &str| Self {
            kind: kind.to_owned(),
            sid,
            number,
            word: word.to_owned(),
            text: text.to_owned(),
        };
        match event {
            Event::SessionOpened(e) => line("session.opened", e.facts.id.0, 0, "", ""),
            Event::SessionClosed(e) => line("session.closed", e.facts.id.0, 0, e.why, ""),
            Event::SessionNoted(e) => line("session.noted", e.facts.id.0, 0, e.what, ""),
            Event::CommandDecided(e) => {
                let (verdict, text) = (e.decision.verdict.word(), &e.command.text);
                line("command.decided", e.facts.id.0, e.number.0, verdict, text)
            }
            Event::CommandRows(e) => line("command.rows", e.facts.id.0, e.number.0, "", ""),
            Event::CommandCompleted(e) => {
                let code = e.outcome.code.as_deref().unwrap_or_default();
                line("command.completed", e.facts.id.0, e.number.0, code, "")
            }
            Event::CommandAbandoned(e) => {
                line("command.abandoned", e.session.0, e.number.0, e.why.word(), "")
            }
            other => panic!("the engine does not say this here: {other:?}"),
        }
    }
}

/// Everything that was appended, by position, in the life of all processes.
#[derive(Debug, Default)]
pub struct Appended {
    pub lines: BTreeMap<u64, Line>,
    /// Where each command's intent was put, in the life of this process.
    pub intents: BTreeMap<Key, u64>,
}

/// The real recorder, and a note of what went through it.
pub struct Watched {
    pub inner: LogRecorder,
    pub appended: Arc<Mutex<Appended>>,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recorder for Watched {
    fn append(&self, event: Event, need: Need) -> Result<Ticket, RecordError> {
        let line = Line::of(&event);
        let ticket = self.inner.append(event, need)?;
        let mut appended = lock(&self.appended);
        if line.kind == "command.decided" {
            appended.intents.insert((line.sid, line.number), ticket.0);
        }
        appended.lines.insert(ticket.0, line);
        Ok(ticket)
    }

    fn is_durable(&self, ticket: Ticket) -> bool {
        self.inner.is_durable(ticket)
    }

    fn poll_room(&self, bytes: usize, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_room(bytes, waiting, cx)
    }

    fn poll_durable(
        &self,
        ticket: Ticket,
        need: Need,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecordError>> {
        self.inner.poll_durable(ticket, need, waiting, cx)
    }
}

/// What was seen at the target and by the clients. What a crash cannot take back stands here.
#[derive(Debug, Default)]
pub struct Seen {
    /// Commands that were permitted.
    pub permitted: BTreeSet<Key>,
    /// Commands that were refused: none of them may ever have an outcome.
    pub refused: BTreeSet<Key>,
    /// Of these the record must keep the intent, for good: a write at the target, rows at the client, a refusal read.
    pub bound: BTreeSet<Key>,
    /// Of these it must keep the outcome: the client was told. With the SQLSTATE it read.
    pub told: BTreeMap<Key, String>,
    /// Sessions whose clients were let in.
    pub opened: BTreeSet<u128>,
}

/// What happened in all runs: a simulation in which something never happens shows nothing of it.
#[derive(Debug, Default)]
pub struct Counts {
    pub permitted: u64,
    pub denied: u64,
    pub held: u64,
    pub not_recorded: u64,
    pub writes_forwarded: u64,
    pub reads_forwarded: u64,
    pub completed: u64,
    pub abandoned: u64,
    pub told: u64,
    pub not_told: u64,
    pub relaxed: u64,
    pub observed: u64,
    pub suspended: u64,
    pub resumed: u64,
    pub stopped: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub clean_ends: u64,
    pub crashed_while_opening: u64,
    pub torn_tails: u64,
    pub segments: u64,
    pub orphans: u64,
    pub orphaned_sessions: u64,
    pub entries_lost_unacknowledged: u64,
    pub entries_checked: u64,
}

impl Counts {
    /// Each of them, by name.
    pub fn all(&self) -> [(&'static str, u64); 25] {
        [
            ("permitted", self.permitted),
            ("denied", self.denied),
            ("held", self.held),
            ("not recorded", self.not_recorded),
            ("writes forwarded", self.writes_forwarded),
            ("reads forwarded", self.reads_forwarded),
            ("completed", self.completed),
            ("abandoned", self.abandoned),
            ("told", self.told),
            ("not told", self.not_told),
            ("relaxed", self.relaxed),
            ("observed", self.observed),
            ("suspended", self.suspended),
            ("resumed", self.resumed),
            ("stopped", self.stopped),
            ("power cuts", self.power_cuts),
            ("kills", self.kills),
            ("clean ends", self.clean_ends),
            ("crashed while opening", self.crashed_while_opening),
            ("torn tails", self.torn_tails),
            ("segments sealed", self.segments),
            ("orphans", self.orphans),
            ("orphaned sessions", self.orphaned_sessions),
            ("entries lost, unacknowledged", self.entries_lost_unacknowledged),
            ("entries checked", self.entries_checked),
        ]
    }
}
