//! How the writer encodes, seals and counts events: the codec of the gateway's log.

use std::sync::{Arc, PoisonError};

use firsthand_model::decision::Verdict;
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::id::SessionId;
use firsthand_model::json::{Json, Object, write_hex};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Mode;

use super::fields::Fields;
use super::session_text::{Prepared, SessionText};
use super::{Commitment, Encoder, Run, SUBJECT_ADMIN, SUBJECT_GATEWAY, Sealing, Stamp, facts, moment};
use crate::codec::{Codec, Sealed};
use crate::keys::{KeyError, KeyStore, SessionKeys};
use crate::open_set::Change;
use crate::queue::{Class, Durability, Item};

/// Estimated bytes of a `log.sealed` entry.
const SEALED_BYTES: usize = 512;

/// What is given to the gateway's log.
#[derive(Debug)]
pub enum LogEntry {
    /// An event.
    Event(Event),
    /// A session that a crash ended; nothing but its id is known any more.
    ClosedByCrash(SessionId),
}

impl From<Event> for LogEntry {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

/// Encodes events. Holds a key for what has none of its own, so that sealing cannot fail for want of a key.
#[derive(Debug)]
pub struct EventCodec {
    encoder: Encoder,
    store: Arc<KeyStore>,
    log_id: [u8; 16],
    run: Run,
    /// The month of the last entry's time.
    month: Month,
    /// The month of the keys in use. Follows `month` when the next payload is written: between that and the seal an
    /// entry's keys must stay the same.
    key_month: String,
    admin: Arc<Prepared>,
    gateway: Arc<Prepared>,
    /// The keys of the entry at hand, and the session they belong to.
    current: Option<(Arc<SessionFacts>, Arc<Prepared>)>,
    given: Arc<Prepared>,
}

/// A month and the day it was looked up for: months are asked for with every entry and change rarely.
#[derive(Debug)]
struct Month {
    day: u64,
    name: String,
}

impl Month {
    const DAY: u64 = 86_400_000_000;

    fn of(micros: u64) -> Self {
        Self { day: micros / Self::DAY, name: moment::month(micros) }
    }

    /// Takes the month of this moment.
    fn update(&mut self, micros: u64) {
        if micros / Self::DAY != self.day {
            *self = Self::of(micros);
        }
    }
}

impl EventCodec {
    /// A codec for one run of the writer of the log `log_id`. `now` is the wall clock in microseconds.
    pub fn new(store: Arc<KeyStore>, log_id: [u8; 16], now: u64) -> Result<Self, KeyError> {
        let run = Run::new()?;
        let month = Month::of(now);
        let admin = Arc::new(for_run(&store, SUBJECT_ADMIN, &month.name, run, &log_id)?);
        let gateway = Arc::new(for_run(&store, SUBJECT_GATEWAY, &month.name, run, &log_id)?);
        let (given, key_month) = (Arc::clone(&gateway), month.name.clone());
        let encoder = Encoder::default();
        Ok(Self { encoder, store, log_id, run, month, key_month, admin, gateway, current: None, given })
    }

    /// The keys of a session, of this month where they can be had, else the ones at hand.
    fn session_keys(&mut self, facts: &Arc<SessionFacts>) -> Arc<Prepared> {
        if let Some((held, keys)) = &self.current
            && Arc::ptr_eq(held, facts)
            && (keys.month == self.key_month || keys.run)
        {
            return Arc::clone(keys);
        }
        let text = SessionText::of(facts);
        // Where no key can be had (a full disk, say), the one of last month or the gateway's own serves: an entry is
        // never left unsealed or unwritten, and its leaf says which key it was.
        let keys = prepared(&text, facts, &self.store, &self.log_id, &self.key_month)
            .unwrap_or_else(|_| held(&text).unwrap_or_else(|| Arc::clone(&self.gateway)));
        self.current = Some((Arc::clone(facts), Arc::clone(&keys)));
        keys
    }

    fn turn_month(&mut self) {
        if self.key_month == self.month.name {
            return;
        }
        self.key_month.clone_from(&self.month.name);
        for (subject, slot) in [(SUBJECT_ADMIN, &mut self.admin), (SUBJECT_GATEWAY, &mut self.gateway)] {
            if let Ok(keys) = for_run(&self.store, subject, &self.key_month, self.run, &self.log_id) {
                *slot = Arc::new(keys);
            }
        }
    }
}

/// Makes the keys of a session ready: at admission, where it may take its time and may fail. The writer's thread then
/// finds them.
pub fn prepare(facts: &SessionFacts, store: &KeyStore, log_id: &[u8; 16], now: u64) -> Result<(), KeyError> {
    prepared(&SessionText::of(facts), facts, store, log_id, &moment::month(now)).map(drop)
}

fn held(text: &SessionText) -> Option<Arc<Prepared>> {
    text.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn prepared(
    text: &SessionText,
    facts: &SessionFacts,
    store: &KeyStore,
    log_id: &[u8; 16],
    month: &str,
) -> Result<Arc<Prepared>, KeyError> {
    if let Some(keys) = held(text).filter(|keys| keys.month == month) {
        return Ok(keys);
    }
    let subject = &facts.identity.subject;
    let keys = store.session_keys(subject, month, &facts.id.0.to_be_bytes(), log_id)?;
    let first = facts.identity.chain.first().is_some_and(|link| link.id == *subject);
    let subject = (!first).then(|| subject.clone());
    let keys = Arc::new(Prepared { keys, month: month.to_owned(), subject, run: false });
    *text.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&keys));
    Ok(keys)
}

fn for_run(
    store: &KeyStore,
    subject: &str,
    month: &str,
    run: Run,
    log_id: &[u8; 16],
) -> Result<Prepared, KeyError> {
    let keys = store.session_keys(subject, month, &run.as_session(), log_id)?;
    Ok(Prepared { keys, month: month.to_owned(), subject: Some(subject.to_owned()), run: true })
}

impl Codec for EventCodec {
    type Entry = LogEntry;

    fn keys(&mut self, entry: &LogEntry) -> Option<&SessionKeys> {
        let LogEntry::Event(event) = entry else { return None };
        self.given = match (facts(event), event) {
            (_, Event::CommandAbandoned(_) | Event::Stream(_) | Event::Log(_)) => return None,
            (Some(facts), _) => self.session_keys(facts),
            (None, Event::Administered(_)) => Arc::clone(&self.admin),
            (None, _) => Arc::clone(&self.gateway),
        };
        Some(&self.given.keys)
    }

    fn payload(&mut self, entry: &LogEntry, out: &mut Vec<u8>) {
        self.turn_month();
        if let LogEntry::Event(event) = entry {
            Encoder::payload(event, out);
        }
    }

    fn leaf(&mut self, entry: &LogEntry, at: Stamp, payload: Option<&Commitment>, out: &mut Vec<u8>) {
        let event = match entry {
            LogEntry::Event(event) => event,
            LogEntry::ClosedByCrash(session) => return self.encoder.closed_by_crash(*session, at, out),
        };
        // Keys are chosen before the entry's time is known, so theirs may be the month of the entry before. Then the leaf
        // says so, and the next entry has the new one.
        self.month.update(at.time.0);
        let key = Arc::clone(&self.given);
        let sealing = payload.map(|commitment| Sealing {
            commitment,
            key: key.subject.as_deref(),
            month: Some(key.month.as_str()).filter(|month| *month != self.month.name),
            run: key.run.then_some(self.run),
        });
        self.encoder.leaf(event, at, sealing.as_ref(), out);
    }

    fn too_large(&mut self, entry: &LogEntry, at: Stamp, out: &mut Vec<u8>) {
        match entry {
            LogEntry::Event(event) => self.encoder.too_large(event, at, out),
            LogEntry::ClosedByCrash(session) => self.encoder.closed_by_crash(*session, at, out),
        }
    }

    fn change(&self, entry: &LogEntry) -> Change {
        let id = |id: SessionId| id.0.to_be_bytes();
        match entry {
            LogEntry::ClosedByCrash(session) => Change::CloseSession(id(*session)),
            LogEntry::Event(Event::SessionOpened(e)) => Change::OpenSession(id(e.facts.id)),
            LogEntry::Event(Event::SessionClosed(e)) => Change::CloseSession(id(e.facts.id)),
            LogEntry::Event(Event::CommandDecided(e))
                if e.decision.verdict == Verdict::Allow || e.facts.mode == Mode::Observe =>
            {
                Change::OpenCommand(id(e.facts.id), e.number.0)
            }
            LogEntry::Event(Event::CommandCompleted(e)) => Change::CloseCommand(id(e.facts.id), e.number.0),
            LogEntry::Event(Event::CommandAbandoned(e)) => Change::CloseCommand(id(e.session), e.number.0),
            LogEntry::Event(_) => Change::None,
        }
    }

    fn change_of(leaf: &[u8]) -> Change {
        let Ok(fields) = Fields::read(leaf) else { return Change::None };
        let Some(id) = SessionId::parse(&fields.sid).map(|id| id.0.to_be_bytes()) else {
            return Change::None;
        };
        match (&*fields.k, fields.cmd) {
            ("session.opened", _) => Change::OpenSession(id),
            ("session.closed", _) => Change::CloseSession(id),
            ("command.decided", Some(n)) if fields.verdict == "allow" || fields.mode == "observe" => {
                Change::OpenCommand(id, n)
            }
            ("command.completed" | "command.abandoned", Some(n)) => Change::CloseCommand(id, n),
            _ => Change::None,
        }
    }

    fn sealed(&mut self, sealed: &Sealed) -> Option<Item<LogEntry>> {
        let mut leaf = Vec::with_capacity(160);
        let mut o = Object::open(&mut leaf);
        o.number("epoch", sealed.segment.epoch);
        o.number("first", sealed.segment.first);
        let root = o.key("root");
        root.push(b'"');
        write_hex(root, &sealed.root);
        root.push(b'"');
        o.number("size", sealed.size);
        o.close();
        let event = Event::Log(Box::new(LogEvent { kind: "log.sealed", leaf: Json::from_written(leaf) }));
        Some(Item {
            entry: LogEntry::Event(event),
            class: Class::Outcome,
            durability: Durability::Relaxed,
            opens: false,
            size: SEALED_BYTES,
        })
    }
}
