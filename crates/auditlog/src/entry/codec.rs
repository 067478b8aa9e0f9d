//! How the writer encodes, seals and counts events: the codec of the gateway's log.

use std::sync::{Arc, PoisonError};

use firsthand_model::event::{Event, LogEvent};
use firsthand_model::id::SessionId;
use firsthand_model::json::{Json, Object, write_hex};
use firsthand_model::session::SessionFacts;

use super::fields::ChangeFields;
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
            (
                _,
                Event::CommandAbandoned(_)
                | Event::Stream(_)
                | Event::Log(_)
                | Event::TransactionNamed(_)
                | Event::TransactionEnded(_),
            ) => return None,
            (Some(facts), _) => self.session_keys(facts),
            (None, Event::Administered(_) | Event::Approval(_)) => Arc::clone(&self.admin),
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
            LogEntry::Event(Event::CommandDecided(e)) if e.permitted => {
                Change::OpenCommand(id(e.facts.id), e.number.0)
            }
            LogEntry::Event(Event::CommandCompleted(e)) => Change::CloseCommand(id(e.facts.id), e.number.0),
            LogEntry::Event(Event::CommandAbandoned(e)) => Change::CloseCommand(id(e.session), e.number.0),
            LogEntry::Event(_) => Change::None,
        }
    }

    fn change_of(leaf: &[u8]) -> Change {
        let Ok(fields) = ChangeFields::read(leaf) else { return Change::None };
        let Some(id) = SessionId::parse(&fields.sid).map(|id| id.0.to_be_bytes()) else {
            return Change::None;
        };
        match (&*fields.k, fields.cmd) {
            ("session.opened", _) => Change::OpenSession(id),
            ("session.closed", _) => Change::CloseSession(id),
            ("command.decided", Some(n)) if fields.permitted() => Change::OpenCommand(id, n),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::fields::Fields;
    use crate::io::RealIo;
    use crate::reader::Place;
    use crate::reader::cursor::Stored;
    use crate::reader::payload::{Opener, Payload};
    use crate::segment::SegmentName;
    use firsthand_model::event::SessionNoted;
    use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
    use firsthand_model::target::{Durability as Strictness, Mode};
    use firsthand_model::time::{MonoMicros, UnixMicros};
    use std::sync::OnceLock;

    const LOG: [u8; 16] = [3; 16];

    fn facts(subject: &str) -> Arc<SessionFacts> {
        let link =
            |kind, id: &str| Link { kind, id: id.to_owned(), name: id.to_owned(), trust: Trust::Bound };
        Arc::new(SessionFacts {
            id: SessionId(77),
            identity: Arc::new(Identity {
                chain: vec![link(IdentityKind::Human, "h-01"), link(IdentityKind::Token, "t-02")],
                login: "ada".to_owned(),
                subject: subject.to_owned(),
                targets: vec![],
                ..Identity::default()
            }),
            target: String::new(),
            database: String::new(),
            session_role: String::new(),
            role: String::new(),
            backend_pid: 0,
            server_version: String::new(),
            application: String::new(),
            durability: Strictness::Strict,
            mode: Mode::Enforce,
            role_of: firsthand_model::session::RoleOf::Target,
            encoded: OnceLock::new(),
        })
    }

    fn noted(facts: &Arc<SessionFacts>) -> LogEntry {
        let detail = Json::from_written(b"{\"said\":1}".to_vec());
        LogEntry::Event(Event::SessionNoted(Box::new(SessionNoted {
            facts: Arc::clone(facts),
            what: "role",
            detail,
        })))
    }

    /// Encodes and seals as the writer does, and opens as a reader does; gives the leaf.
    fn through(
        codec: &mut EventCodec,
        store: &Arc<KeyStore>,
        entry: &LogEntry,
        position: u64,
        time: u64,
    ) -> String {
        let at = Stamp { position, time: UnixMicros(time), mono: MonoMicros(0) };
        let (mut payload, mut leaf) = (Vec::new(), Vec::new());
        assert!(codec.keys(entry).is_some());
        codec.payload(entry, &mut payload);
        let digest = codec.keys(entry).unwrap().commit(position, &payload);
        let commitment = Commitment { digest, bytes: payload.len() as u64 };
        codec.leaf(entry, at, Some(&commitment), &mut leaf);
        codec.keys(entry).unwrap().seal(position, &mut payload).unwrap();
        let segment = SegmentName { epoch: 1, first: 0 };
        let place = Place { epoch: 1, position };
        let stored = Stored { segment, byte: 0, place, log_id: LOG, leaf: &leaf, sealed: &payload };
        let opened = Opener::new(Some(Arc::clone(store))).open(&stored, &Fields::read(&leaf).unwrap());
        assert_eq!(opened, Payload::Clear(b"{\"detail\":{\"said\":1}}".to_vec()));
        String::from_utf8(leaf).unwrap()
    }

    #[test]
    fn payloads_open_across_the_end_of_a_month_and_under_any_subject() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(KeyStore::open(dir.path(), Arc::new(RealIo::new())).unwrap());
        let midnight = moment::parse("2026-12-01").unwrap();
        let mut codec = EventCodec::new(Arc::clone(&store), LOG, midnight - 1).unwrap();
        let entry = noted(&facts("h-01"));
        let before = through(&mut codec, &store, &entry, 0, midnight - 1);
        assert!(!before.contains("\"month\"") && !before.contains("\"key\""), "{before}");
        let first = through(&mut codec, &store, &entry, 1, midnight);
        assert!(first.contains("\"month\":\"2026-11\""), "{first}");
        let second = through(&mut codec, &store, &entry, 2, midnight + 1);
        assert!(!second.contains("\"month\""), "{second}");
        // The clock is set back.
        through(&mut codec, &store, &entry, 3, midnight - 5);
        through(&mut codec, &store, &entry, 4, midnight - 4);
        let other = through(&mut codec, &store, &noted(&facts("t-02")), 5, midnight);
        assert!(other.contains("\"key\":\"t-02\""), "{other}");
    }

    #[test]
    fn a_key_that_cannot_be_had_is_replaced_by_the_gateways_own_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(KeyStore::open(dir.path(), Arc::new(RealIo::new())).unwrap());
        let now = moment::parse("2026-12-01").unwrap();
        let mut codec = EventCodec::new(Arc::clone(&store), LOG, now).unwrap();
        let facts = facts("NO SUBJECT");
        assert!(prepare(&facts, &store, &LOG, now).is_err());
        let leaf = through(&mut codec, &store, &noted(&facts), 0, now);
        assert!(leaf.contains("\"key\":\"gateway\"") && leaf.contains("\"run\":\""), "{leaf}");
    }
}
