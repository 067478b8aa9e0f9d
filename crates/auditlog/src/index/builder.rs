//! Filling the index of one segment, entry by entry, on the writer's thread: so leaves are not parsed, but looked into
//! for the pieces that matter, and each distinct piece is kept once and parsed at the end.
//!
//! That works because leaves are restricted JSON without white space: a bare `"` never stands inside a string, so a
//! pattern such as `"sid":"` is a key wherever it stands.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use firsthand_model::id::SessionId;
use memchr::memmem::Finder;

use super::text::TextBuilder;
use super::{Clear, Facet, Secret, SessionLine};
use crate::entry::Stamp;
use crate::entry::fields::{Fields, WhoFields};
use crate::frame::{self, SEAL_OVERHEAD};
use crate::names::{Names, tells_by};
use crate::search::matcher::plain_table;
use crate::segment::Header;

/// One place to start reading from for each so many entries.
const MARK_EVERY: u64 = 256;
/// Distinct values of one facet kept; a segment with more is not skipped for that facet.
const FACET_MAX: usize = 4096;
/// Running commands at a segment's beginning that are listed; with more, the segment is not skipped for what intents say.
const RUNNING_MAX: usize = 1024;

/// Entries about tokens whose places are listed: 32 KiB of an index. With more, the segment is read whole for them.
const TOKENS_MAX: usize = 2048;

/// Sessions are looked up by their id's text, whose last digits are random (UUID version 7).
#[derive(Default)]
struct SidHasher(u64);

impl Hasher for SidHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        if let Some(tail) = bytes.last_chunk::<8>() {
            self.0 = u64::from_le_bytes(*tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }
    fn write_usize(&mut self, _: usize) {}
}

struct Patterns {
    kind: Finder<'static>,
    sid: Finder<'static>,
    who: Finder<'static>,
    effects: Finder<'static>,
    tables: Finder<'static>,
    resolved: Finder<'static>,
    table: Finder<'static>,
    rule: Finder<'static>,
    verdict: Finder<'static>,
    sqlstate: Finder<'static>,
    rows: Finder<'static>,
    end: Finder<'static>,
}

#[derive(Debug)]
struct Session {
    line: SessionLine,
    who: Vec<u8>,
}

/// The index of a segment being written.
pub(crate) struct Builder {
    header: Header,
    patterns: Patterns,
    kinds: BTreeSet<Vec<u8>>,
    sqlstates: BTreeSet<Vec<u8>>,
    pieces: Pieces,
    sessions: HashMap<[u8; 36], Session, BuildHasherDefault<SidHasher>>,
    people: People,
    text: TextBuilder,
    names: Names,
    from: u64,
    until: u64,
    entries: u64,
    /// Offset of the frame to come: frames follow each other without gaps.
    byte: u64,
    marks: Vec<(u64, u64)>,
    /// The frame that came last: byte and position.
    last: (u64, u64),
    /// Frames before those about tokens.
    tokens: Vec<(u64, u64)>,
}

/// Distinct raw pieces of leaves.
#[derive(Default)]
struct Pieces {
    effects: HashSet<Box<[u8]>>,
    tables: HashSet<Box<[u8]>>,
    resolved: HashSet<Box<[u8]>>,
    /// Of entries about changed rows.
    changed: HashSet<Box<[u8]>>,
    rules: HashSet<Box<[u8]>>,
    verdicts: HashSet<Box<[u8]>>,
}

/// Who acted, and where: parsed once for each session, because the target's process makes every `who` another text.
#[derive(Default)]
struct People {
    ids: BTreeSet<String>,
    targets: BTreeSet<String>,
    databases: BTreeSet<String>,
    roles: BTreeSet<String>,
}

impl People {
    fn add(&mut self, who: &[u8]) {
        let mut values = serde_json::Deserializer::from_slice(who).into_iter::<WhoFields<'_>>();
        let Some(Ok(who)) = values.next() else { return };
        who.chain.iter().for_each(|link| insert(&mut self.ids, link.id.clone().into_owned()));
        insert(&mut self.targets, who.target.into_owned());
        insert(&mut self.databases, who.db.into_owned());
        insert(&mut self.roles, who.role.into_owned());
        insert(&mut self.roles, who.srole.into_owned());
    }
}

fn insert(set: &mut BTreeSet<String>, text: String) {
    if set.len() <= FACET_MAX {
        set.insert(text);
    }
}

fn keep(set: &mut HashSet<Box<[u8]>>, piece: &[u8]) {
    if !set.contains(piece) && set.len() <= FACET_MAX {
        set.insert(piece.into());
    }
}

/// What follows `pattern` in `leaf`.
fn after<'l>(leaf: &'l [u8], pattern: &Finder<'_>) -> Option<&'l [u8]> {
    leaf.get(pattern.find(leaf)? + pattern.needle().len()..)
}

/// Up to the closing quote.
fn quoted(rest: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

impl Builder {
    pub(crate) fn new(header: &Header) -> Self {
        let f = |pattern: &'static str| Finder::new(pattern.as_bytes()).into_owned();
        Self {
            header: header.clone(),
            patterns: Patterns {
                kind: f("\"k\":\""),
                sid: f("\"sid\":\""),
                who: f("\"who\":"),
                effects: f("\"effects\":["),
                tables: f("\"tables\":["),
                resolved: f("\"resolved\":["),
                table: f("\"table\":\""),
                rule: f("\"rule\":\""),
                verdict: f("\"verdict\":\""),
                sqlstate: f("\"sqlstate\":\""),
                rows: f("\"rows\":"),
                end: f("],\""),
            },
            kinds: BTreeSet::new(),
            sqlstates: BTreeSet::new(),
            pieces: Pieces::default(),
            sessions: HashMap::default(),
            people: People::default(),
            text: TextBuilder::new(),
            names: Names::default(),
            from: u64::MAX,
            until: 0,
            entries: 0,
            byte: header.size() as u64,
            marks: Vec::new(),
            last: (0, 0),
            tokens: Vec::new(),
        }
    }

    /// Notes an entry.
    pub(crate) fn add(&mut self, at: &Stamp, leaf: &[u8], payload: Option<&[u8]>) {
        self.from = self.from.min(at.time.0);
        self.until = self.until.max(at.time.0);
        if self.entries.is_multiple_of(MARK_EVERY) {
            self.marks.push((self.byte, at.position));
        }
        self.entries += 1;
        let (before, byte) = (self.last, self.byte);
        self.last = (byte, at.position);
        self.byte += frame::size_of(leaf.len(), payload.map_or(0, |p| p.len() + SEAL_OVERHEAD)) as u64;
        let kind = after(leaf, &self.patterns.kind).map(quoted).unwrap_or_default();
        if !self.kinds.contains(kind) && self.kinds.len() <= FACET_MAX {
            self.kinds.insert(kind.to_vec());
        }
        let is_listed = std::str::from_utf8(kind).is_ok_and(crate::search::tokens::is_about);
        if is_listed && self.tokens.len() <= TOKENS_MAX {
            self.tokens.push(before);
        }
        if let Some(payload) = payload {
            self.text.add(payload);
            // The kind is known: asking `learn` would look for it again.
            if kind == b"session.opened" || tells_by(leaf) {
                self.names.learn(leaf, payload);
            }
        }
        if matches!(kind, b"command.changed" | b"transaction.changed")
            && let Some(table) = after(leaf, &self.patterns.table).map(quoted)
        {
            keep(&mut self.pieces.changed, table);
        }
        let sid = after(leaf, &self.patterns.sid).and_then(|rest| rest.first_chunk::<36>());
        match sid {
            Some(sid) => self.add_of_session(at, kind, leaf, *sid),
            None => self.add_without_session(leaf),
        }
    }

    fn add_without_session(&mut self, leaf: &[u8]) {
        let Ok(fields) = Fields::read(leaf) else { return };
        for link in fields.by.into_iter().chain(fields.chain) {
            insert(&mut self.people.ids, link.id.into_owned());
        }
    }

    fn add_of_session(&mut self, at: &Stamp, kind: &[u8], leaf: &[u8], sid: [u8; 36]) {
        let who = after(leaf, &self.patterns.who);
        let session = self.sessions.entry(sid).or_insert_with(|| Session {
            line: SessionLine { first: at.position, from: at.time.0, ..SessionLine::default() },
            who: Vec::new(),
        });
        let line = &mut session.line;
        line.last = at.position;
        // An approval that is answered later is an entry of its session, and none of its time.
        if !line.closed {
            line.until = at.time.0;
        }
        if let Some(who) = who
            && session.who != who
        {
            session.who = who.to_vec();
            self.people.add(who);
        }
        match kind {
            b"session.opened" => line.opened = true,
            b"session.closed" => line.closed = true,
            b"command.decided" => {
                line.commands += 1;
                let verdict = after(leaf, &self.patterns.verdict).map(quoted).unwrap_or_default();
                line.refused += u32::from(verdict != b"allow");
                keep(&mut self.pieces.verdicts, verdict);
                keep(
                    &mut self.pieces.rules,
                    after(leaf, &self.patterns.rule).map(quoted).unwrap_or_default(),
                );
                for (pattern, set) in [
                    (&self.patterns.effects, &mut self.pieces.effects),
                    (&self.patterns.tables, &mut self.pieces.tables),
                    (&self.patterns.resolved, &mut self.pieces.resolved),
                ] {
                    if let Some(rest) = after(leaf, pattern) {
                        let end = self.patterns.end.find(rest).unwrap_or(rest.len());
                        keep(set, rest.get(..end).unwrap_or_default());
                    }
                }
            }
            b"command.completed" => {
                let rows = after(leaf, &self.patterns.rows).unwrap_or_default();
                let digits = rows.iter().take_while(|b| b.is_ascii_digit());
                line.rows += digits.fold(0u64, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
                if let Some(code) = after(leaf, &self.patterns.sqlstate).map(quoted) {
                    line.errors += 1;
                    if self.sqlstates.len() <= FACET_MAX && !self.sqlstates.contains(code) {
                        self.sqlstates.insert(code.to_vec());
                    }
                }
            }
            b"command.abandoned" => line.abandoned += 1,
            _ => {}
        }
    }

    /// What was noted, for the sidecar.
    pub(crate) fn finish(self) -> (Header, Clear, Secret) {
        let texts = |pieces: &BTreeSet<Vec<u8>>| -> BTreeSet<String> {
            pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
        };
        let plain =
            |all: BTreeSet<String>| -> BTreeSet<String> { all.iter().map(|t| plain_table(t)).collect() };
        let changed = strings_of(&self.pieces.changed, false);
        let resolved = strings_of(&self.pieces.resolved, true).zip(changed).map(|(mut all, changed)| {
            all.extend(changed.iter().flat_map(|tables| tables.split(", ")).map(str::to_owned));
            plain(all)
        });
        let resolved = resolved.filter(|all| all.len() <= FACET_MAX);
        // An index with the one and not the other is an older one, which tells all that it knows by the other.
        let tables = strings_of(&self.pieces.tables, true).map(plain).filter(|_| resolved.is_some());
        let facets: Vec<(Facet, Option<BTreeSet<String>>)> = vec![
            (Facet::Kind, Some(texts(&self.kinds))),
            (Facet::Sqlstate, Some(texts(&self.sqlstates))),
            (Facet::Verdict, strings_of(&self.pieces.verdicts, false)),
            (Facet::Rule, strings_of(&self.pieces.rules, false)),
            (Facet::Effect, strings_of(&self.pieces.effects, true)),
            (Facet::Table, tables),
            (Facet::Resolved, resolved),
            (Facet::Identity, Some(self.people.ids)),
            (Facet::Target, Some(self.people.targets)),
            (Facet::Database, Some(self.people.databases)),
            (Facet::Role, Some(self.people.roles)),
        ];
        let mut clear = Clear {
            from: self.from,
            until: self.until,
            entries: self.entries,
            facets: facets
                .into_iter()
                .filter_map(|(facet, values)| Some((facet, values.filter(|v| v.len() <= FACET_MAX)?)))
                .collect(),
            marks: self.marks,
            tokens: Some(self.tokens).filter(|list| list.len() <= TOKENS_MAX),
            running: running(&self.header),
            sessions: Vec::new(),
        };
        clear.sessions = self
            .sessions
            .into_iter()
            .filter_map(|(sid, session)| {
                let id = SessionId::parse(std::str::from_utf8(&sid).ok()?)?;
                Some((id.0, session.line))
            })
            .collect();
        clear.sessions.sort_unstable_by_key(|(_, line)| line.first);
        let secret = Secret { names: self.names, text: Some(self.text.finish(self.byte)) };
        (self.header, clear, secret)
    }
}

/// Intents of the commands that were running when the segment began: epochs and positions. `None`: too many to list.
fn running(header: &Header) -> Option<Vec<(u64, u64)>> {
    let commands = header.open.iter().filter(|item| item.command.is_some());
    let list: Vec<(u64, u64)> =
        commands.map(|item| (item.epoch, item.position)).take(RUNNING_MAX + 1).collect();
    (list.len() <= RUNNING_MAX).then_some(list)
}

/// The strings in raw pieces of JSON: insides of lists, or of one string. `None` when one of them cannot be told.
fn strings_of(pieces: &HashSet<Box<[u8]>>, lists: bool) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for piece in pieces {
        let quote: &[u8] = if lists { b"" } else { b"\"" };
        let list = [b"[", quote, piece, quote, b"]"].concat();
        all.extend(serde_json::from_slice::<Vec<String>>(&list).ok()?);
    }
    Some(all)
}
