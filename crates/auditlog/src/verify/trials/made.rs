//! Logs to verify.

use firsthand_model::event::Event;
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::session::SessionFacts;

use super::*;

pub(super) fn data() -> PathBuf {
    PathBuf::from("/data")
}

/// Small, so that there are several segments.
const SEGMENT: u64 = 16 << 10;

pub(super) type Writer = (Log<EventCodec>, writer::Stepper<EventCodec>);

/// Opens the log as a gateway does, with what it says first.
pub(super) fn open(io: &Arc<SimIo>, segment: u64) -> Writer {
    let store = Arc::new(KeyStore::open(&data(), io.clone() as Arc<dyn Io>).unwrap());
    let options = writer::Options {
        first_segment_bytes: segment,
        segment_bytes: segment,
        ..writer::Options::default()
    };
    let wall = io.wall_us();
    let codec = |r: &crate::recover::Recovered| Ok(EventCodec::new(store, r.log_id, wall)?);
    let (log, stepper, recovered) =
        Log::open_stepped(&data(), codec, options, io.clone() as Arc<dyn Io>).unwrap();
    if !recovered.created {
        let facts = format!(r#"{{"clean":false,"orphans":0,"sessions":0,"size":{}}}"#, recovered.size);
        say(&log, "log.recovered", &facts);
    }
    say(&log, "log.started", r#"{"by":"serve"}"#);
    (log, stepper)
}

pub(super) fn say(log: &Log<EventCodec>, kind: &'static str, facts: &str) {
    let event = Event::Log(Box::new(LogEvent { kind, leaf: Json::from_written(facts.as_bytes().to_vec()) }));
    put(log, LogEntry::Event(event));
}

/// Queues it; its position.
pub(super) fn put(log: &Log<EventCodec>, entry: LogEntry) -> u64 {
    let item = Item { entry, class: Class::Outcome, durability: Durability::Strict, opens: false, size: 600 };
    log.append(item).unwrap().0
}

/// A session with some commands and rows, in a log of several segments.
pub(super) fn sessions(commands: u64) -> Arc<SimIo> {
    let io = SimIo::new(7);
    let (log, mut stepper) = open(&io, SEGMENT);
    stepper.settle();
    let session = Session::open(&log, 77);
    for _ in 0..commands {
        session.command(&log, &mut stepper);
    }
    session.close(&log, commands);
    stepper.settle();
    say(&log, "log.stopped", r#"{"by":"serve"}"#);
    stepper.settle();
    while stepper.keep() {}
    io
}

/// Leaves written by hand, as a log of one segment: what no real writer would write.
pub(super) fn leaves(leaves: &[String]) -> Arc<SimIo> {
    let io = SimIo::new(3);
    let log = data().join("log");
    io.create_dir(&data()).unwrap();
    io.create_dir(&log).unwrap();
    let log_id = [9; 16];
    let seed = segment::first_seed(&log_id, 1);
    let header =
        Header { log_id, epoch: 1, created_us: 5, seed, frontier: Frontier::new(), open: Vec::new() };
    let mut bytes = header.encode();
    let mut crc = seed;
    for (n, leaf) in leaves.iter().enumerate() {
        crc = frame::encode(&mut bytes, n as u64, 0, crc, leaf.as_bytes(), b"");
    }
    bytes.extend_from_slice(&[0; 300]);
    let file = io.create(&header.name().path(&log)).unwrap();
    file.write_at(0, &bytes).unwrap();
    file.sync_data().unwrap();
    io
}

/// Leaves numbered and timed, from what they say: `{"k":…` without `mono`, `n`, `t`, `v`.
pub(super) fn story(entries: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let mut value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(entry).unwrap();
        let common = [
            ("mono", (1000 + n as u64 * 10).into()),
            ("n", (n as u64).into()),
            ("t", crate::entry::moment::rfc3339(1_763_000_000_000_000 + n as u64 * 10).into()),
            ("v", 1.into()),
        ];
        for (key, fact) in common {
            value.entry(key.to_owned()).or_insert(fact);
        }
        // However the maps of this build keep their order.
        let mut value = serde_json::Value::Object(value);
        value.sort_all_objects();
        all.push(value.to_string());
    }
    all
}

/// The files of the segments, in order.
pub(super) fn segments(io: &Arc<SimIo>) -> Vec<PathBuf> {
    let log = data().join("log");
    segment::list(&**io, &log).unwrap().into_iter().map(|n| n.path(&log)).collect()
}

/// Where each frame of a file begins, and how long it is.
pub(super) fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let header = Header::decode(bytes).unwrap();
    let name = header.name();
    Frames::new(bytes, header.size(), name.first, header.seed).map(|(at, f)| (at, f.size)).collect()
}

/// Writes all of it anew from changed leaves and payloads, with checksums, hashes and headers that fit: what whoever owns the
/// disk can do.
pub(super) fn forge(io: &Arc<SimIo>, change: impl Fn(u64, &mut Vec<u8>)) {
    let (mut tree, mut crc) = (Frontier::new(), 0);
    for path in segments(io) {
        let bytes = io.bytes(&path).unwrap();
        let mut header = Header::decode(&bytes).unwrap();
        if header.name().first == 0 {
            crc = header.seed;
        }
        let all: Vec<_> =
            Frames::new(&bytes, header.size(), header.name().first, header.seed).map(|f| f.1).collect();
        (header.seed, header.frontier) = (crc, tree.clone());
        let mut out = header.encode();
        for found in all {
            let mut leaf = found.leaf.to_vec();
            change(found.seq, &mut leaf);
            crc = frame::encode(&mut out, found.seq, found.group, crc, &leaf, found.sealed);
            tree.push(leaf_hash(&leaf));
        }
        io.tamper(&path, |b| *b = out);
    }
}

pub(super) fn name_of(path: &Path) -> SegmentName {
    SegmentName::parse(path.file_name().unwrap().to_str().unwrap()).unwrap()
}

/// A session that asks one thing after the other.
pub(super) struct Session {
    facts: Arc<SessionFacts>,
    last: std::cell::Cell<u64>,
}

impl Session {
    pub(super) fn open(log: &Log<EventCodec>, id: u128) -> Self {
        let facts = Arc::new(SessionFacts { id: SessionId(id), ..samples::facts() });
        for (_, event) in samples::all() {
            if let Event::SessionOpened(mut e) = event {
                e.facts = Arc::clone(&facts);
                put(log, LogEntry::Event(Event::SessionOpened(e)));
                break;
            }
        }
        Self { facts, last: std::cell::Cell::new(0) }
    }

    /// An intent and its outcome.
    pub(super) fn command(&self, log: &Log<EventCodec>, stepper: &mut writer::Stepper<EventCodec>) {
        let intent = self.ask(log);
        stepper.settle();
        let mut e = samples::completed(Arc::clone(&self.facts));
        (e.number, e.intent) = (CommandNumber(self.last.get()), intent);
        put(log, LogEntry::Event(Event::CommandCompleted(Box::new(e))));
        stepper.settle();
    }

    /// An intent alone; its position.
    pub(super) fn ask(&self, log: &Log<EventCodec>) -> u64 {
        self.last.set(self.last.get() + 1);
        let mut e = samples::decided(Arc::clone(&self.facts));
        e.number = CommandNumber(self.last.get());
        put(log, LogEntry::Event(Event::CommandDecided(Box::new(e))))
    }

    pub(super) fn close(&self, log: &Log<EventCodec>, commands: u64) {
        for (_, event) in samples::all() {
            if let Event::SessionClosed(mut e) = event {
                (e.facts, e.commands) = (Arc::clone(&self.facts), commands);
                put(log, LogEntry::Event(Event::SessionClosed(e)));
                break;
            }
        }
    }
}
