//! A data folder's log opened for a process: what a crash left is answered for first, then `recorder` serves the engine.

use std::path::Path;
use std::sync::Arc;

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::index::Indexer;
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::{KeyError, KeyStore};
use firsthand_auditlog::lock::DataLock;
use firsthand_auditlog::queue::{
    AppendError, Class, Counters, Durability, Health, Item, Patience, STALL, State, Ticket, WaitError,
};
use firsthand_auditlog::recover::{KnownSize, OpenError, Recovered};
use firsthand_auditlog::writer::{CloseError, Failure, Log, Options};
use firsthand_model::event::{CommandAbandoned, Event, LogEvent};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::identity::IdentityKind;
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::AbandonReason;

use crate::clock::{SystemClock, wall};
use crate::recorder::LogRecorder;

/// What one of the entries written here holds.
const ENTRY_BYTES: usize = 768;

/// Why the record cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenRecordError {
    /// The key store.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// What the opening itself has to record was not taken.
    #[error("the log does not take entries: {0}")]
    Append(#[from] AppendError),
    /// What the start is to say could not be found out.
    #[error("{0}")]
    Started(#[source] Failure),
    /// It was taken and did not become durable.
    #[error("the log cannot be written: {0}")]
    Wait(#[from] WaitError),
}

/// What was found on opening, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The log was made now.
    pub created: bool,
    /// Entries in it.
    pub entries: u64,
    /// The last run did not close it.
    pub crashed: bool,
    /// Bytes of a torn last write that were cut.
    pub cut_bytes: u64,
    /// Commands without an outcome, now recorded as abandoned.
    pub orphans: u64,
    /// Sessions without an end, now recorded as closed.
    pub sessions: u64,
}

/// How the log is, for health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Writing.
    Ok,
    /// The disk has not answered for this many milliseconds; intents are refused.
    Slow(u64),
    /// No room; intents are refused until there is.
    Full(String),
    /// Writing fails and is tried again; intents are refused meanwhile.
    Suspended(String),
    /// Stopped until a restart.
    Stopped(String),
}

impl LogState {
    /// One word for metrics and health.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow(_) => "slow",
            Self::Full(_) => "full",
            Self::Suspended(_) => "suspended",
            Self::Stopped(_) => "stopped",
        }
    }

    /// The reason, for people.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Ok => String::new(),
            Self::Slow(ms) => format!("the disk has not answered for {ms} ms"),
            Self::Full(why) | Self::Suspended(why) | Self::Stopped(why) => why.clone(),
        }
    }
}

/// The letter of a kind in pseudonyms.
#[must_use]
pub const fn kind_letter(kind: IdentityKind) -> char {
    match kind {
        IdentityKind::Human => 'h',
        IdentityKind::Agent => 'a',
        IdentityKind::Service => 's',
        IdentityKind::Token => 't',
        IdentityKind::Certificate => 'c',
    }
}

/// The open log of a data folder, with its keys.
pub struct Record {
    log: Arc<Log<EventCodec>>,
    keys: Arc<KeyStore>,
    recorder: Arc<LogRecorder>,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Record").field(&self.log).finish()
    }
}

impl Record {
    /// Opens the log of a data folder. Recorded in this order, before anything else: `first` (for a declared gap), what a
    /// crash left open, `log.started` with the facts `started` (a JSON object). A log that is shorter than `known` does not open.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenRecordError`].
    pub fn open(
        data: &Path,
        lock: DataLock,
        first: Vec<Event>,
        known: Option<KnownSize>,
        started: impl FnOnce(&Recovered) -> Result<Json, Failure>,
    ) -> Result<(Self, Found), OpenRecordError> {
        let io: Arc<dyn Io> = Arc::new(RealIo::new());
        let keys = Arc::new(KeyStore::open(data, Arc::clone(&io))?);
        let store = Arc::clone(&keys);
        let codec = move |found: &Recovered| Ok(EventCodec::new(store, found.log_id, wall().0)?);
        let index = Arc::new(Indexer::new(Arc::clone(&keys)));
        let options = Options { lock: Some(lock), index: Some(index), known, ..Options::default() };
        let (log, recovered) = Log::open(data, codec, options, io)?;
        let started = started(&recovered).map_err(OpenRecordError::Started)?;
        let log = Arc::new(log);
        let clock = Box::new(SystemClock::start());
        let recorder = Arc::new(LogRecorder::new(Arc::clone(&log), Arc::clone(&keys), clock));
        let record = Self { log, keys, recorder };
        for event in first {
            record.put(event.into())?;
        }
        let found = answer_for(&record.log, &recovered)?;
        let ticket = record.put(log_event("log.started", started).into())?;
        record.log.wait_blocking(ticket, Patience::Intent)?;
        Ok((record, found))
    }

    fn put(&self, entry: LogEntry) -> Result<Ticket, AppendError> {
        put(&self.log, entry)
    }

    /// Says something of the log itself (`log.heartbeat`, …): queued, not awaited.
    ///
    /// # Errors
    /// When the log does not take it.
    pub fn note(&self, kind: &'static str, facts: Json) -> Result<(), AppendError> {
        self.put(log_event(kind, facts).into()).map(drop)
    }

    /// Records the end and closes the log. Blocks until everything queued is on disk, or cannot be.
    ///
    /// # Errors
    /// When entries were lost.
    pub fn close(&self, stopped: Json) -> Result<(), CloseError> {
        // When it is not taken, `close` says why.
        let _ = self.put(log_event("log.stopped", stopped).into());
        self.log.close()
    }

    /// How the log is.
    #[must_use]
    pub fn state(&self) -> (LogState, Health) {
        let health = self.log.health();
        let state = match &health.state {
            State::Stopped(why) => LogState::Stopped(why.clone()),
            State::Suspended(why) => LogState::Suspended(why.clone()),
            State::Full(why) => LogState::Full(why.clone()),
            State::Running if u128::from(health.unsynced_us) > STALL.as_micros() => {
                LogState::Slow(health.unsynced_us / 1000)
            }
            State::Running => LogState::Ok,
        };
        (state, health)
    }

    /// The largest step of the wall clock against the monotonic one since this was last asked, in µs.
    #[must_use]
    pub fn take_clock_step_us(&self) -> u64 {
        self.log.take_clock_step_us()
    }

    /// Counts, for metrics.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        self.log.counters()
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.log.queued_bytes()
    }

    /// The key store of the data folder.
    #[must_use]
    pub fn keys(&self) -> &Arc<KeyStore> {
        &self.keys
    }

    /// The engine's port over this log.
    #[must_use]
    pub fn recorder(&self) -> &Arc<LogRecorder> {
        &self.recorder
    }
}

/// What a crash left without an end gets one: the log itself says so. To be called before anything else is appended.
///
/// # Errors
/// When the log does not take it.
pub fn answer_for(log: &Log<EventCodec>, recovered: &Recovered) -> Result<Found, AppendError> {
    let commands = || recovered.open.iter().filter_map(|o| Some((o, o.command?)));
    let sessions = || recovered.open.iter().filter(|o| o.command.is_none());
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let found = Found {
        created: recovered.created,
        entries: recovered.size,
        crashed: !recovered.created && !recovered.closed_cleanly,
        cut_bytes: recovered.cut.as_ref().map_or(0, |c| c.bytes),
        orphans: count(commands().count()),
        sessions: count(sessions().count()),
    };
    if found.crashed || !recovered.open.is_empty() {
        put(log, log_event("log.recovered", recovered_facts(recovered, &found)).into())?;
    }
    for (open, number) in commands() {
        let event = CommandAbandoned {
            facts: None,
            session: SessionId(u128::from_be_bytes(open.session)),
            number: CommandNumber(number),
            intent: open.position,
            why: AbandonReason::Crash,
            forwarded: None,
        };
        put(log, Event::CommandAbandoned(Box::new(event)).into())?;
    }
    for open in sessions() {
        put(log, LogEntry::ClosedByCrash(SessionId(u128::from_be_bytes(open.session))))?;
    }
    Ok(found)
}

fn put(log: &Log<EventCodec>, entry: LogEntry) -> Result<Ticket, AppendError> {
    let (class, durability) = (Class::Outcome, Durability::Strict);
    log.append(Item { entry, class, durability, opens: false, size: ENTRY_BYTES })
}

fn log_event(kind: &'static str, leaf: Json) -> Event {
    Event::Log(Box::new(LogEvent { kind, leaf }))
}

fn recovered_facts(recovered: &Recovered, found: &Found) -> Json {
    let mut text = Vec::with_capacity(200);
    let mut o = Object::open(&mut text);
    o.boolean("clean", !found.crashed);
    if let Some(cut) = &recovered.cut {
        o.number("cut_at", cut.byte);
        o.number("cut_bytes", cut.bytes);
        o.string("cut_why", &cut.why.to_string());
    }
    o.number("orphans", found.orphans);
    o.number("sessions", found.sessions);
    o.number("size", found.entries);
    o.close();
    Json::from_written(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_session::port::{Need, Recorder, Waiting};
    use std::future::poll_fn;

    fn open(data: &Path) -> (Record, Found) {
        let lock = DataLock::acquire(data).unwrap();
        Record::open(data, lock, Vec::new(), None, |_| Ok(Json::from_written(b"{}".to_vec()))).unwrap()
    }

    fn refusal() -> Event {
        Event::Refused(Box::new(firsthand_model::event::AdmissionRefused {
            identity: true,
            by: None,
            why: "proof",
            login: "bot".to_owned(),
            target: "shop".to_owned(),
            client: firsthand_model::identity::ClientFacts::default(),
            detail: String::new(),
            count: 1,
        }))
    }

    #[test]
    fn what_is_appended_becomes_durable_and_is_there_after_a_clean_close() {
        let dir = tempfile::tempdir().unwrap();
        let (record, found) = open(dir.path());
        assert!(found.created && !found.crashed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let recorder = record.recorder();
        runtime.block_on(async {
            for _ in 0..2 {
                let ticket = recorder.append(refusal(), Need::Fact).unwrap();
                let mut waiting = Waiting::default();
                poll_fn(|cx| recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx)).await.unwrap();
                assert!(recorder.is_durable(ticket));
            }
        });
        assert_eq!(record.state().0, LogState::Ok);
        record.close(Json::from_written(b"{}".to_vec())).unwrap();
        assert!(recorder.append(refusal(), Need::Intent).is_err());
        drop(record);
        let (_record, found) = open(dir.path());
        // log.started, the two, log.stopped.
        assert_eq!((found.crashed, found.entries), (false, 4));
    }
}
