//! What stands in the log after a crash, read as an outsider reads it, and compared with what the world has seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use firsthand_adapters::record::Found;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::io::Io;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::reader::payload::Payload;
use firsthand_model::id::SessionId;

use crate::seen::{Appended, Counts, Key, Line, Seen};

/// An entry as it was read.
struct Entry {
    line: Line,
    intent: Option<u64>,
    approved: bool,
    observed: bool,
    refused: bool,
    facts: Option<serde_json::Value>,
}

/// All entries, by position; payloads opened and checked against their leaves.
fn read(io: &Arc<dyn Io>, data: &Path) -> Vec<Entry> {
    let reader = Reader::open(data, Arc::clone(io)).expect("the log is there");
    let (mut cursor, mut opener) = (reader.from_start().unwrap(), reader.opener());
    let mut entries = Vec::new();
    while let Some(stored) = cursor.next().unwrap_or_else(|e| panic!("{e}")) {
        let fields = Fields::read(stored.leaf).unwrap();
        assert_eq!((fields.n, stored.place.position), (entries.len() as u64, entries.len() as u64));
        let text = match opener.open(&stored, &fields) {
            Payload::None => String::new(),
            Payload::Clear(json) => {
                let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
                json["text"].as_str().unwrap_or_default().to_owned()
            }
            other => panic!("{}: {other:?}", String::from_utf8_lossy(stored.leaf)),
        };
        let decided = fields.k == "command.decided";
        let word = match &*fields.k {
            "command.decided" => &fields.verdict,
            "command.completed" => &fields.sqlstate,
            "session.noted" => &fields.what,
            _ => &fields.why,
        };
        entries.push(Entry {
            line: Line {
                kind: fields.k.to_string(),
                sid: SessionId::parse(&fields.sid).map_or(0, |id| id.0),
                number: fields.cmd.unwrap_or(0),
                word: word.to_string(),
                text: if decided { text } else { String::new() },
            },
            intent: fields.intent,
            approved: !fields.approval.is_empty(),
            observed: fields.mode == "observe",
            refused: fields.refused,
            facts: fields.facts.map(|raw| serde_json::from_str(raw.get()).unwrap()),
        });
    }
    entries
}

/// Commands and sessions that have begun and not ended, with the positions of their beginnings.
#[derive(Default)]
struct Books {
    commands: BTreeMap<Key, u64>,
    sessions: BTreeSet<u128>,
    decided: BTreeMap<Key, u64>,
    ended: BTreeMap<Key, (String, String)>,
    refused: BTreeSet<Key>,
    opened: BTreeSet<u128>,
}

impl Books {
    fn enter(&mut self, position: u64, entry: &Entry) {
        let key = (entry.line.sid, entry.line.number);
        match &*entry.line.kind {
            "session.opened" => {
                self.sessions.insert(key.0);
                assert!(self.opened.insert(key.0), "opened twice");
            }
            "session.closed" => {
                assert!(self.sessions.remove(&key.0), "{key:?}: closed, and was not open");
                let left: Vec<_> = self.commands.keys().filter(|k| k.0 == key.0).collect();
                assert!(left.is_empty(), "{left:?}: their session closed before them");
            }
            "command.decided" => {
                assert!(self.sessions.contains(&key.0), "{key:?}: in no session");
                assert!(self.decided.insert(key, position).is_none(), "{key:?}: decided twice");
                let allowed = entry.line.word == "allow" || entry.approved || entry.observed;
                if allowed && !entry.refused {
                    self.commands.insert(key, position);
                } else {
                    self.refused.insert(key);
                }
            }
            "command.rows" => assert!(self.commands.contains_key(&key), "{key:?}: rows out of place"),
            "command.completed" | "command.abandoned" => {
                let intent = self.commands.remove(&key);
                assert!(intent.is_some(), "{key:?}: an outcome of nothing that is open");
                assert_eq!(entry.intent, intent, "{key:?}: names another intent");
                self.ended.insert(key, (entry.line.kind.clone(), entry.line.word.clone()));
            }
            "session.noted" => assert!(self.sessions.contains(&key.0)),
            kind => assert!(kind.starts_with("log."), "{kind}"),
        }
    }
}

/// Compares. `size` is how many entries were found, before what was found was answered for.
pub fn check(
    (io, data): (&Arc<dyn Io>, &Path),
    size: u64,
    found: &Found,
    appended: &Appended,
    seen: &Seen,
    counts: &mut Counts,
) {
    let entries = read(io, data);
    assert!(entries.len() as u64 >= size);
    counts.entries_checked += size;
    let (before, after) = entries.split_at(size as usize);
    let mut books = Books::default();
    for (position, entry) in (0..).zip(before) {
        match appended.lines.get(&position) {
            Some(line) => assert_eq!(*line, entry.line, "position {position} is not what was appended there"),
            // What the log says of itself, and what openings before this one have said.
            None => {
                assert!(entry.line.kind.starts_with("log.") || entry.line.word == "crash", "{:?}", entry.line)
            }
        }
        counts.segments += u64::from(entry.line.kind == "log.sealed");
        books.enter(position, entry);
    }
    answered_for(&books, size, found, after, counts);
    for (position, entry) in (size..).zip(after) {
        books.enter(position, entry);
    }
    assert!(books.commands.is_empty() && books.sessions.is_empty(), "everything has an end now");
    against(&books, seen);
}

/// What a crash left open is named: in `log.recovered` by number, and each by an entry of its own.
fn answered_for(books: &Books, size: u64, found: &Found, after: &[Entry], counts: &mut Counts) {
    let (orphans, sessions) = (books.commands.len() as u64, books.sessions.len() as u64);
    assert_eq!((found.orphans, found.sessions), (orphans, sessions), "what is open is found");
    counts.orphans += orphans;
    counts.orphaned_sessions += sessions;
    counts.torn_tails += u64::from(found.cut_bytes > 0);
    if found.created {
        return;
    }
    let mut after = after.iter().filter(|e| e.line.kind != "log.sealed");
    let first = after.next().expect("the log says that it was not closed");
    assert_eq!(first.line.kind, "log.recovered");
    let facts = first.facts.as_ref().expect("with what was found");
    assert_eq!(facts["orphans"], orphans);
    assert_eq!(facts["sessions"], sessions);
    assert_eq!(facts["size"], size);
    assert_eq!(facts["clean"], false);
    let (mut named, mut closed) = (BTreeMap::new(), BTreeSet::new());
    for entry in after {
        assert_eq!(entry.line.word, "crash", "{:?}", entry.line);
        match &*entry.line.kind {
            "command.abandoned" => {
                let intent = entry.intent.expect("an outcome names its intent");
                named.insert((entry.line.sid, entry.line.number), intent);
            }
            _ => _ = closed.insert(entry.line.sid),
        }
    }
    assert_eq!(named, books.commands, "each orphan is named once");
    assert_eq!(closed, books.sessions);
}

/// Nothing that the world has seen is missing, and nothing else is there.
fn against(books: &Books, seen: &Seen) {
    for key in &seen.bound {
        assert!(books.decided.contains_key(key), "{key:?}: seen outside, and its intent is lost");
    }
    for (key, code) in &seen.told {
        let told = ("command.completed".to_owned(), code.clone());
        assert_eq!(books.ended.get(key), Some(&told), "{key:?}: told, and recorded otherwise");
    }
    for sid in &seen.opened {
        assert!(books.opened.contains(sid), "{sid}: let in, and its opening is lost");
    }
    for key in &seen.permitted {
        let (decided, ended) = (books.decided.contains_key(key), books.ended.contains_key(key));
        assert_eq!(decided, ended, "{key:?}: a permitted command has one outcome");
        assert!(!books.refused.contains(key), "{key:?}: ran, and the record says it was refused");
    }
    for key in &seen.refused {
        assert!(!books.ended.contains_key(key), "{key:?}: refused, and the record has an outcome");
    }
}
