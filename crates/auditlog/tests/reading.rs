//! Written with the gateway's codec, read back: in order, over segments and runs, with keys and without, damaged, live.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::queue::{Class, Durability, Item, Patience, Ticket};
use firsthand_auditlog::reader::cursor::Cursor;
use firsthand_auditlog::reader::payload::Payload;
use firsthand_auditlog::reader::{Place, ReadError, Reader};
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::writer::{Log, Options};
use firsthand_model::event::Event;

#[expect(dead_code, reason = "each test uses its part")]
mod samples;

fn io() -> Arc<dyn Io> {
    Arc::new(RealIo::new())
}

fn open(data: &Path, segment_bytes: u64) -> Log<EventCodec> {
    let store = Arc::new(KeyStore::open(data, io()).unwrap());
    let codec = |r: &Recovered| Ok(EventCodec::new(store, r.log_id, io().wall_us())?);
    Log::open(
        data,
        codec,
        Options { segment_bytes, first_segment_bytes: segment_bytes, ..Options::default() },
        io(),
    )
    .unwrap()
    .0
}

fn append(log: &Log<EventCodec>, event: Event) -> Ticket {
    log.append(Item {
        entry: LogEntry::Event(event),
        class: Class::Outcome,
        durability: Durability::Strict,
        opens: false,
        size: 1000,
    })
    .unwrap()
}

fn write_samples(data: &Path, runs: usize) -> u64 {
    let mut size = 0;
    for _ in 0..runs {
        let log = open(data, 64 << 10);
        let last = samples::all().into_iter().map(|(_, event)| append(&log, event)).last().unwrap();
        log.wait_blocking(last, Patience::Outcome).unwrap();
        log.close().unwrap();
        // The log itself may have added that a segment was sealed.
        size = log.durable_size();
    }
    size
}

/// Position and payload of every entry.
fn read(cursor: &mut Cursor, reader: &Reader) -> Result<Vec<(u64, String, Payload)>, ReadError> {
    let mut opener = reader.opener();
    let mut entries = Vec::new();
    while let Some(stored) = cursor.next()? {
        let fields = Fields::read(stored.leaf).unwrap();
        assert_eq!(fields.n, stored.place.position);
        let payload = opener.open(&stored, &fields);
        entries.push((fields.n, fields.k.into_owned(), payload));
    }
    Ok(entries)
}

fn all(data: &Path) -> Result<Vec<(u64, String, Payload)>, ReadError> {
    let reader = Reader::open(data, io())?;
    read(&mut reader.from_start()?, &reader)
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(data.join("log")).unwrap().map(|e| e.unwrap().path());
    let mut list: Vec<PathBuf> = list.filter(|p| p.extension().is_some_and(|e| e == "seg")).collect();
    list.sort();
    list
}

#[test]
fn what_was_written_over_several_runs_is_read_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let size = write_samples(dir.path(), 4);
    let entries = all(dir.path()).unwrap();
    let positions: Vec<u64> = entries.iter().map(|e| e.0).collect();
    assert_eq!(positions, (0..size).collect::<Vec<_>>());
    for (n, kind, payload) in &entries {
        match payload {
            Payload::Clear(json) => {
                serde_json::from_slice::<serde_json::Value>(json).unwrap();
            }
            Payload::None => {
                let bare = [
                    "stream",
                    "command.abandoned",
                    "target.asked",
                    "transaction.named",
                    "transaction.ended",
                    "approval.expired",
                    "approval.spent",
                    "approval.withdrawn",
                ];
                // A COPY that nothing was read of has nothing to seal.
                assert!(
                    kind == "command.completed"
                        || ["approval.", "grant.", "log.", "role."].iter().any(|of| kind.starts_with(of))
                        || bare.contains(&kind.as_str()),
                    "{kind}"
                )
            }
            other => panic!("{n} {kind}: {other:?}"),
        }
    }
    assert!(entries.iter().any(|(_, kind, payload)| kind == "record.read" && payload.clear().is_some()));
}

#[test]
fn reading_starts_at_any_place() {
    let dir = tempfile::tempdir().unwrap();
    let size = write_samples(dir.path(), 3);
    let reader = Reader::open(dir.path(), io()).unwrap();
    for position in 0..=size {
        let mut cursor = reader.from_place(Place { epoch: 1, position }).unwrap();
        let first = cursor.next().unwrap().map(|e| e.place.position);
        assert_eq!(first, (position < size).then_some(position));
    }
    let mut after = reader.from_place(Place { epoch: 9, position: 0 }).unwrap();
    assert!(after.next().unwrap().is_none());
}

#[test]
fn a_destroyed_key_erases_payloads_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    write_samples(dir.path(), 1);
    let before = all(dir.path()).unwrap();
    let store = KeyStore::open(dir.path(), io()).unwrap();
    let month = firsthand_auditlog::entry::moment::month(io().wall_us());
    assert!(store.destroy(&samples::identity().subject, &month).unwrap());
    let after = all(dir.path()).unwrap();
    assert_eq!(before.len(), after.len());
    let erased = after.iter().filter(|(_, kind, payload)| {
        assert!(
            *payload != Payload::Erased
                || ["approval.", "command.", "session.", "transaction."]
                    .iter()
                    .any(|of| kind.starts_with(of)),
            "{kind}"
        );
        *payload == Payload::Erased
    });
    assert!(erased.count() >= 5);
    assert!(after.iter().any(|(_, kind, payload)| kind == "record.read" && payload.clear().is_some()));
    std::fs::remove_dir_all(dir.path().join("keys")).unwrap();
    let sealed = all(dir.path()).unwrap();
    assert!(sealed.iter().all(|(_, _, payload)| matches!(payload, Payload::None | Payload::Sealed)));
}

#[test]
fn damage_is_named_by_segment_byte_and_position() {
    let dir = tempfile::tempdir().unwrap();
    write_samples(dir.path(), 8);
    let files = segments(dir.path());
    assert!(files.len() > 1, "the test needs a sealed segment");
    let good = std::fs::read(&files[0]).unwrap();
    std::fs::set_permissions(&files[0], std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let reader = Reader::open(dir.path(), io()).unwrap();
    let end = {
        let mut cursor = reader.from_start().unwrap();
        cursor.next().unwrap();
        cursor.mark().unwrap().byte
    };
    let mut bad = good.clone();
    bad[end as usize + 40] ^= 1;
    std::fs::write(&files[0], &bad).unwrap();
    let why = all(dir.path()).unwrap_err();
    assert!(matches!(why, ReadError::Damaged { byte, position: 1, .. } if byte == end), "{why}");
    std::fs::write(&files[0], &good).unwrap();
    std::fs::rename(&files[1], dir.path().join("aside")).unwrap();
    let why = all(dir.path());
    if files.len() > 2 {
        assert!(matches!(why, Err(ReadError::Missing { .. })), "{why:?}");
    }
}

#[test]
fn a_growing_log_is_followed_and_a_torn_end_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 64 << 10);
    let reader = Reader::open(dir.path(), io()).unwrap();
    let mut cursor = reader.from_start().unwrap();
    let mut seen = 0;
    for _ in 0..20 {
        let mut last = Ticket(0);
        for (_, event) in samples::all() {
            last = append(&log, event);
        }
        log.wait_blocking(last, Patience::Outcome).unwrap();
        for (n, _, payload) in read(&mut cursor, &reader).unwrap() {
            assert_eq!(n, seen);
            assert!(matches!(payload, Payload::Clear(_) | Payload::None), "{payload:?}");
            seen += 1;
        }
        // A segment that has been followed by another may have brought a `log.sealed` after the last.
        assert!(seen > last.0);
    }
    assert!(segments(dir.path()).len() > 1);
    assert_eq!(cursor.torn(), None);
    drop(log);
}

#[test]
fn without_a_log_there_is_nothing_to_read() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path(), io()), Err(ReadError::NoLog(_))));
}

/// Folder, in a checkout, of a log that was written by the first version and must be readable for ever.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/data-v1");

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            let to = to.join(entry.file_name());
            std::fs::copy(entry.path(), &to).unwrap();
            // A checkout lets everybody read; a key that others can reach is not opened.
            std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
    }
}

/// Leaf and payload of every entry, a line each.
fn lines(data: &Path) -> String {
    let reader = Reader::open(data, io()).unwrap();
    let (mut cursor, mut opener, mut out) = (reader.from_start().unwrap(), reader.opener(), String::new());
    while let Some(stored) = cursor.next().unwrap() {
        let payload = opener.open(&stored, &Fields::read(stored.leaf).unwrap());
        out.push_str(&String::from_utf8_lossy(stored.leaf));
        out.push('\n');
        out.push_str(&String::from_utf8_lossy(payload.clear().unwrap_or_default()));
        out.push('\n');
    }
    out
}

/// `FIRSTHAND_BLESS_SEGMENT=1` writes the golden log, with new keys and times: only for a new version of the format.
#[test]
fn a_log_of_the_first_version_is_read_as_it_was_written() {
    let golden = Path::new(GOLDEN);
    if std::env::var_os("FIRSTHAND_BLESS_SEGMENT").is_some() {
        let _ = std::fs::remove_dir_all(golden);
        std::fs::create_dir_all(golden).unwrap();
        let log = open(golden, 64 << 10);
        let small = samples::all().into_iter().filter(|(name, _)| name != "command.decided-refused");
        let last = small.map(|(_, event)| append(&log, event)).last().unwrap();
        log.wait_blocking(last, Patience::Outcome).unwrap();
        log.close().unwrap();
        std::fs::write(golden.with_extension("jsonl"), lines(golden)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    copy(golden, dir.path());
    let wanted = std::fs::read_to_string(golden.with_extension("jsonl")).unwrap();
    assert_eq!(lines(dir.path()), wanted);
    // The writer goes on with it, too.
    let log = open(dir.path(), 64 << 10);
    let ticket = append(&log, samples::all().remove(0).1);
    log.wait_blocking(ticket, Patience::Outcome).unwrap();
    log.close().unwrap();
    assert!(lines(dir.path()).starts_with(&wanted));
}
