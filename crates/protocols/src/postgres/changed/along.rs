//! What changed along with a statement's own rows, as counts of each table: by actions of foreign keys, triggers, rules and
//! views.
//!
//! The server counts changed rows for each table and session (`pg_stat_xact_user_tables`), and tells them to that session
//! only. So the gateway asks there, right before the statement and right behind it, in the same transaction: in the extended
//! protocol between the client's own messages; around a Query in a transaction block with Queries of its own; and a Query
//! outside one goes between BEGIN and COMMIT (`radius`). Within a transaction the server keeps its counts together, so the
//! difference is what the statement did. Triggers have run by the time a statement ends, but for those that wait for the
//! commit; what a trigger undid itself (an EXCEPTION block) is counted all the same.
//!
//! The answer behind the statement is taken out of what the target sends before its end is looked at: so everything else
//! sees the messages that it would have seen, and a limit knows the counts before anything can commit. Where the definitions
//! say that nothing can change along (`reach`), nothing is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::json::{Json, Object};
use firsthand_session::ChangedPiece;
use firsthand_sql::{Action as Does, Changes};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::{DataRow, Report};
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};
use firsthand_wire::postgres::frontend::{self, Object as Closed};

use super::super::dialect::PostgresDialect;
use super::super::flight::{Entry, Sent};
use super::super::names::{Own, Portal};
use super::super::server::{Step, Walk};
use super::messages;
use super::reach::Reach;
use crate::dialect::Action;

/// Coverage fact: what a trigger does at the commit is not counted.
pub(super) const DEFERRED: &str = "changed-rows:deferred";
/// Coverage fact: the target does not count (`track_counts`), or told too much.
pub(super) const UNCOUNTED: &str = "changed-rows:uncounted";
/// Coverage fact: a table was emptied, and how many rows it had is not told.
pub(super) const TRUNCATE: &str = "changed-rows:truncate";
/// Coverage fact: more tables than are told.
const PAST_CAP: &str = "changed-rows:past-cap";

/// Tables whose counts are kept of one answer: as many as one lock table of a server holds with its defaults, and some.
const COUNTED_MAX: usize = 8_192;
/// Bytes of the answer behind a command: a row for each of [`COUNTED_MAX`] tables, with names as long as they can be.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Entries about one command, as with `changed_rows = "wal"`.
const TOLD_MAX: usize = 1_024;

/// How far the change of a portal or Query goes, or why that cannot be counted.
pub(in super::super) type Reached = Result<Arc<Reach>, &'static str>;

/// Rows added, replaced and removed.
type Counts = [i64; 3];

/// How it is asked, and what becomes of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Manner {
    /// Names come as hexadecimal digits of UTF-8: the client's encoding is not the database's, and not every name may fit into it.
    pub(super) hex: bool,
    /// It is for a limit alone: the record is not told.
    pub(super) quiet: bool,
}

/// The counts of one command under way.
#[derive(Debug)]
pub(in super::super) struct Along {
    reached: Reached,
    manner: Manner,
    /// Tables that the transaction itself has locked as who empties one does, with the file that holds their rows: before it
    /// and behind it.
    locked: [BTreeMap<u32, i64>; 2],
    before: BTreeMap<u32, Counts>,
    after: BTreeMap<u32, (String, Counts)>,
    /// The second answer is still to come.
    waits: bool,
    /// Both are here.
    known: bool,
    /// The target does not count, or has told more than is kept.
    lost: bool,
    /// The first question failed: the error that the client is to read.
    failure: Option<Bytes>,
}

impl Along {
    pub(in super::super) fn new(reached: Reached, manner: Manner) -> Box<Self> {
        Box::new(Self {
            reached,
            manner,
            locked: [BTreeMap::new(), BTreeMap::new()],
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            waits: false,
            known: false,
            lost: false,
            failure: None,
        })
    }

    /// How far the change goes, if the target is asked; and how.
    pub(in super::super) fn asks(&self) -> Option<(&Arc<Reach>, Manner)> {
        Some((self.reached.as_ref().ok()?, self.manner))
    }

    /// How far it goes.
    pub(super) fn reached(&self) -> Reached {
        self.reached.clone()
    }

    /// Both questions are on their way.
    pub(in super::super) fn awaits(&mut self) {
        self.waits = self.reached.is_ok();
    }

    /// A row of an answer.
    fn row(&mut self, body: &[u8], after: bool) {
        let read = || -> Option<(u32, String, Counts)> {
            let row = DataRow::read(body).ok()?;
            let values: Vec<_> = row.values().collect::<Result<_, _>>().ok()?;
            let text = |at: usize| std::str::from_utf8((*values.get(at)?)?).ok();
            let number = |at: usize| text(at)?.parse::<i64>().ok();
            let name = [text(1)?, text(2)?];
            let name = if self.manner.hex {
                let [schema, name] = name.map(unhexed);
                format!("{}.{}", schema?, name?)
            } else {
                name.join(".")
            };
            Some((text(0)?.parse().ok()?, name, [number(3)?, number(4)?, number(5)?]))
        };
        match read() {
            // The row that tells whether anything is counted.
            Some((0, _, [on, ..])) => self.lost |= on != 1,
            Some(_) if self.is_full() => self.lost = true,
            Some((oid, _, [-1, file, _])) => {
                let [before, behind] = &mut self.locked;
                let locked = if after { behind } else { before };
                locked.insert(oid, file);
            }
            Some((oid, name, counts)) if after => drop(self.after.insert(oid, (name, counts))),
            Some((oid, _, counts)) => drop(self.before.insert(oid, counts)),
            None => self.lost = true,
        }
    }

    fn is_full(&self) -> bool {
        let [before, after] = &self.locked;
        [self.before.len(), self.after.len(), before.len(), after.len()].into_iter().any(|n| n >= COUNTED_MAX)
    }

    /// Whether a table was emptied: then how many rows it had is not known.
    fn emptied(&self) -> bool {
        // What a transaction has counted of a table goes with its TRUNCATE. Who empties a table locks it, and puts another file in
        // the place of its old one (but for one that is as new as the transaction); the first file has the table's own number.
        let [before, after] = &self.locked;
        let emptied = |(oid, file): (&u32, &i64)| *file != i64::from(*oid) && before.get(oid) != Some(file);
        self.before.keys().any(|oid| !self.after.contains_key(oid))
            || self.differences().any(|(_, _, counts)| counts.iter().any(|count| *count < 0))
            || after.iter().any(emptied)
    }

    /// What changed while the command ran: each table's counts.
    fn differences(&self) -> impl Iterator<Item = (u32, &String, Counts)> {
        self.after.iter().map(|(oid, (name, after))| {
            let before = self.before.get(oid).copied().unwrap_or_default();
            let mut counts = *after;
            counts.iter_mut().zip(before).for_each(|(count, before)| *count = count.saturating_sub(before));
            (*oid, name, counts)
        })
    }

    /// Rows that were replaced or removed along with the `rows` of the command's own. Rows that were only added elsewhere (an
    /// audit trail) do not count. The error: why that is not known.
    pub(in super::super) fn beside(&self, rows: u64) -> Result<u64, &'static str> {
        let reach = match &self.reached {
            Ok(reach) => reach,
            Err(why) => return Err(why),
        };
        if !self.known || self.lost {
            return Err(UNCOUNTED);
        }
        if self.emptied() {
            return Err(TRUNCATE);
        }
        let (mut all, mut own) = (0_u64, rows);
        for (oid, _, counts) in self.differences() {
            let [inserted, updated, deleted] = counts.map(|n| u64::try_from(n).unwrap_or(0));
            all = all.saturating_add(updated).saturating_add(deleted);
            if oid == reach.table {
                own = match reach.action {
                    Some(Does::Insert) if reach.upserts => updated,
                    Some(Does::Insert) => 0,
                    Some(Does::Update | Does::Delete) => own,
                    // Its tag counts what it has added, too.
                    None => rows.saturating_sub(inserted),
                };
            }
        }
        // Only among all tables are the statement's own, too.
        let among = reach.tables.is_empty() && (reach.action != Some(Does::Insert) || reach.upserts);
        Ok(all.saturating_sub(if among { own } else { 0 }))
    }

    /// The entries about it, and what was not seen. `rows`: the command's own; `told`: those are in the record.
    pub(in super::super) fn tell(
        &self,
        rows: u64,
        told: bool,
        coverage: &mut Vec<&'static str>,
    ) -> Vec<ChangedPiece> {
        if self.manner.quiet {
            return Vec::new();
        }
        let reach = match &self.reached {
            Ok(reach) => reach,
            Err(why) => {
                coverage.push(why);
                return Vec::new();
            }
        };
        if reach.later {
            coverage.push(DEFERRED);
        }
        if !self.known || self.lost {
            coverage.push(UNCOUNTED);
            return Vec::new();
        }
        let mut pieces = Vec::new();
        for (oid, name, counts) in self.differences() {
            let [inserted, updated, deleted] = counts;
            let own = match reach.action {
                Some(Does::Insert) if reach.upserts => inserted.saturating_add(updated),
                Some(Does::Insert) => inserted,
                Some(Does::Update) => updated,
                Some(Does::Delete) => deleted,
                None => -1,
            };
            let stands = told && reach.alone && oid == reach.table && u64::try_from(own) == Ok(rows);
            for (count, does) in counts.into_iter().zip([Does::Insert, Does::Update, Does::Delete]) {
                let of_own = Some(does) == reach.action || (reach.upserts && does == Does::Update);
                match u64::try_from(count) {
                    Ok(0) | Err(_) => {}
                    Ok(_) if stands && of_own => {}
                    Ok(count) => pieces.push(piece(name, does, count)),
                }
            }
        }
        if self.emptied() && !coverage.contains(&TRUNCATE) {
            coverage.push(TRUNCATE);
        }
        pieces.sort_by(|a, b| a.table.cmp(&b.table));
        if pieces.len() > TOLD_MAX {
            pieces.truncate(TOLD_MAX);
            coverage.push(PAST_CAP);
        }
        pieces
    }
}

fn piece(table: &str, does: Does, count: u64) -> ChangedPiece {
    ChangedPiece {
        table: table.to_owned(),
        action: does.word(),
        how: "counted",
        first: 0,
        rows: 0,
        count: Some(count),
        coverage: Vec::new(),
        columns: Json::default(),
        old: Json::default(),
        new: Json::default(),
    }
}

/// Text from the hexadecimal digits of its bytes.
fn unhexed(digits: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

fn question(reach: &Reach, manner: Manner) -> &str {
    let [plain, hex] = &reach.question;
    (if manner.hex { hex } else { plain }).get_or_init(|| question_of(reach, manner.hex))
}

/// The question. Everything in it is qualified, and it tells nothing but names that are stored there as they are sent. Where
/// triggers may do anything it tells, too, which tables this very session holds the lock on that emptying one takes.
fn question_of(reach: &Reach, hex: bool) -> String {
    let of = if reach.tables.is_empty() {
        // Below are the tables of the system's own.
        "c.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}')".to_owned()
    } else {
        let tables: Vec<String> = reach.tables.iter().map(u32::to_string).collect();
        format!("c.oid OPERATOR(pg_catalog.=) ANY ('{{{}}}')", tables.join(","))
    };
    let count = |of: &str| format!("pg_catalog.pg_stat_get_xact_tuples_{of}(c.oid)");
    let [inserted, updated, deleted] = ["inserted", "updated", "deleted"].map(count);
    let not_zero = "OPERATOR(pg_catalog.<>) 0";
    let name = |name: &str| match hex {
        true => format!("pg_catalog.encode(pg_catalog.convert_to({name}::pg_catalog.text,'UTF8'),'hex')"),
        false => format!("{name}::pg_catalog.text"),
    };
    let (schema, relation) = (name("n.nspname"), name("c.relname"));
    let locks = if reach.tables.is_empty() {
        " UNION ALL SELECT l.relation, '', '', -1, pg_catalog.pg_relation_filenode(l.relation)::pg_catalog.int8, 0 \
         FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() \
         AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock' \
         AND l.relation OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid \
         AND pg_catalog.pg_relation_filenode(l.relation) IS NOT NULL"
    } else {
        ""
    };
    format!(
        "SELECT c.oid, {schema}, {relation}, {inserted}, {updated}, {deleted} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE {of} AND ({inserted} {not_zero} OR {updated} {not_zero} OR {deleted} {not_zero}) \
         UNION ALL SELECT 0::pg_catalog.oid, '', '', \
         CASE pg_catalog.current_setting('track_counts') WHEN 'on' THEN 1 ELSE 0 END, 0, 0{locks}"
    )
}

/// The question as a Query, behind what else that is to hold.
fn asked(before: &str, reach: &Reach, manner: Manner) -> Bytes {
    let text = format!("{before}{}", question(reach, manner));
    let mut bytes = BytesMut::with_capacity(text.len() + 8);
    let encoded = frontend::encode_query(&mut bytes, text.as_bytes());
    debug_assert!(encoded.is_ok(), "the text holds no zero byte");
    bytes.freeze()
}

/// The question among the client's messages of the extended protocol; with the tags of its answers, where `*` stands for its
/// rows and their end. The statement and portal of this name live for one question only.
fn pipelined(name: &[u8], reach: &Reach, manner: Manner) -> (BytesMut, &'static [u8]) {
    let mut out = BytesMut::new();
    let encoded = (|| {
        // What an error may have left of an earlier one; and nothing is left of this one, whatever fails behind it.
        frontend::encode_close(&mut out, Closed::Statement(name))?;
        frontend::encode_parse(&mut out, name, question(reach, manner).as_bytes(), &[])?;
        frontend::encode_bind(&mut out, (name, name), (Format::Text, &[]), Format::Text)?;
        frontend::encode_close(&mut out, Closed::Statement(name))?;
        frontend::encode_execute(&mut out, name, 0)?;
        frontend::encode_close(&mut out, Closed::Portal(name))
    })();
    debug_assert!(encoded.is_ok(), "neither name nor text holds a zero byte");
    (out, b"3123*3")
}

/// Where the answer behind a command stands in what the target has sent, which begins with the message that ends it.
enum Behind {
    /// Not all of it is here.
    Partly,
    /// Up to here; all but these places is the gateway's own.
    Whole { end: usize, kept: Vec<(usize, usize)>, rows: Vec<(usize, usize)> },
    /// It failed, at this place; before it these are not the gateway's own.
    Failed { at: usize, kept: Vec<(usize, usize)> },
    /// It cannot be read, or has no end.
    Broken,
}

fn look_behind(bytes: &[u8], len: usize, simple: bool, rules: &firsthand_wire::postgres::Rules) -> Behind {
    // What is left of the tags that end it.
    let mut ends: &[u8] = if simple { b"ZZ" } else { b"333" };
    let (mut at, mut kept, mut rows) = (len, Vec::new(), Vec::new());
    let mut aside = Vec::new();
    loop {
        let frame = match scan(bytes.get(at..).unwrap_or_default(), rules) {
            Ok(Scan::Frame(frame)) => frame,
            Ok(_) if bytes.len() - len <= ANSWER_BYTES_MAX => return Behind::Partly,
            Ok(_) | Err(_) => return Behind::Broken,
        };
        let end = at + frame.len();
        match frame.tag {
            // What is noticed behind the client's own answer is noticed of the question.
            b'N' if !simple || ends.len() == 1 => {}
            b'N' | b'A' | b'S' => {
                kept.push((at, end));
                aside.push((at, end));
            }
            b'E' if !simple || ends.len() == 1 => return Behind::Failed { at, kept: aside },
            b'D' => rows.push((at + HEADER_LEN, end)),
            tag if ends.first() == Some(&tag) => {
                if simple && ends.len() == 2 {
                    // The client's own ReadyForQuery.
                    kept.push((at, end));
                }
                ends = ends.get(1..).unwrap_or_default();
                if ends.is_empty() {
                    return Behind::Whole { end, kept, rows };
                }
            }
            _ => {}
        }
        at = end;
    }
}

impl PostgresDialect {
    /// Whether a portal that is executed so may be left in the middle, or another one was. What that has changed is not seen by
    /// a command behind it in the same pipeline, which a question between them would change.
    pub(in super::super) fn in_parts(&self, portal: &Portal, execute: &[u8]) -> bool {
        let changes = portal.statement.as_ref().and_then(|statement| statement.changes.as_deref());
        // Of MERGE it is not told whether it returns; a query does.
        let returns = match changes {
            Some(Changes::Rows(change)) => change.returns,
            Some(Changes::Untold(..)) | None => true,
        };
        self.changed.parts || (returns && messages::has_limit(execute))
    }

    /// Asks as a Query, before the command (then behind `with`) or after it.
    pub(in super::super) fn ask_along(
        &mut self,
        with: &str,
        (of, manner): (&Reach, Manner),
        seq: u64,
        after: bool,
        out: &mut Vec<Action>,
    ) {
        self.note_counts(of, manner, out);
        out.push(Action::ToServer(self.without_command(asked(with, of, manner))));
        self.flight.push(Entry { sent: Sent::Counts { simple: true, after }, owner: seq, ends: 0 });
    }

    /// Asks among the messages of the extended protocol.
    pub(in super::super) fn pipeline_along(
        &mut self,
        (of, manner): (&Reach, Manner),
        seq: u64,
        after: bool,
        out: &mut Vec<Action>,
    ) {
        self.note_counts(of, manner, out);
        let (bytes, tags) = pipelined(self.own_name(Own::Counts).as_bytes(), of, manner);
        out.push(Action::ToServer(self.without_command(bytes.freeze())));
        for tag in tags {
            let sent = match tag {
                b'*' => Sent::Counts { simple: false, after },
                tag => Sent::Extra(*tag),
            };
            self.flight.push(Entry { sent, owner: seq, ends: 0 });
        }
    }

    /// The first time in a session the record is told what is asked.
    fn note_counts(&mut self, of: &Reach, manner: Manner, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.changed.noted, true) {
            return;
        }
        let mut detail = Vec::with_capacity(1_024);
        let mut o = Object::open(&mut detail);
        o.string("text", question(of, manner));
        o.close();
        out.push(Action::Note { what: "asked", detail: Json::from_written(detail), reply: Bytes::new() });
    }

    /// A message of the answer to such a question. `None`: it is not that.
    pub(in super::super) fn counted(
        &mut self,
        tag: u8,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let Some(Entry { sent: Sent::Counts { simple, after }, owner, .. }) = self.flight.first() else {
            return None;
        };
        let (simple, after, owner) = (*simple, *after, *owner);
        if tag == b'E' && !simple {
            // It is in the client's pipeline, and fails that.
            return None;
        }
        let along = self.flight.running.iter_mut().find(|r| r.seq == owner).and_then(|r| r.along.as_mut());
        if let Some(along) = along.filter(|_| !after) {
            match tag {
                b'D' => along.row(walk.body(len), false),
                b'E' => along.failure = walk.rest().get(..len).map(Bytes::copy_from_slice),
                _ => {}
            }
        }
        self.swallow(len, walk, out);
        if tag == if simple { b'Z' } else { b'C' } {
            self.flight.pop();
        }
        Some(Step::On)
    }

    /// The command in front failed because the question before it had: the client reads why. True: it does now.
    pub(in super::super) fn fails_as_asked(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> bool {
        if !matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script)) {
            return false;
        }
        let front = self.flight.running.front_mut();
        let Some(failure) = front.and_then(|r| r.along.as_mut()).and_then(|along| along.failure.take())
        else {
            return false;
        };
        // `in_failed_sql_transaction` (PostgreSQL docs, appendix A).
        if Report::read(walk.body(len), "ErrorResponse").is_ok_and(|it| it.sqlstate() != b"25P02") {
            return false;
        }
        self.swallow(len, walk, out);
        put_in_front(&failure, walk);
        true
    }

    /// A message that ends the command in front: before that is looked at, the answer to the question behind it. `None`: it
    /// has been taken out, or there is none.
    pub(in super::super) fn count_behind(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        let simple = matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Script));
        let running = self.flight.running.front_mut()?;
        let (seq, along) = (running.seq, running.along.as_mut().filter(|along| along.waits)?);
        let found = look_behind(walk.rest(), len, simple, &self.server_rules);
        if matches!(found, Behind::Partly) && !walk.closing {
            return Some(Step::Hold);
        }
        along.waits = false;
        match found {
            // The target is gone: what it has told of the command is told.
            Behind::Partly => None,
            Behind::Broken => Some(Step::Broken("an answer about counts that cannot be read".to_owned())),
            Behind::Whole { end, kept, rows } => {
                for (from, to) in rows {
                    along.row(walk.rest().get(from..to).unwrap_or_default(), true);
                }
                along.known = true;
                self.flush(walk, out);
                take_out(len, end, &kept, walk);
                let _ = self.flight.take_own(seq);
                None
            }
            Behind::Failed { at, kept } => {
                // The transaction has failed, and the command with it: its own end is not told.
                self.flush(walk, out);
                take_out(0, at, &kept, walk);
                if simple {
                    let _ = self.flight.take_own(seq);
                }
                Some(Step::On)
            }
        }
    }
}

/// Takes the bytes between these places out of the input, but for what is kept.
fn take_out(from: usize, to: usize, kept: &[(usize, usize)], walk: &mut Walk<'_>) {
    let mut left = BytesMut::with_capacity(from + kept.iter().map(|(a, b)| b - a).sum::<usize>());
    left.extend_from_slice(walk.input.get(..from).unwrap_or_default());
    for (from, to) in kept {
        left.extend_from_slice(walk.input.get(*from..*to).unwrap_or_default());
    }
    drop(walk.input.split_to(to.min(walk.input.len())));
    put_in_front(&left, walk);
}

fn put_in_front(bytes: &[u8], walk: &mut Walk<'_>) {
    let mut input = BytesMut::with_capacity(bytes.len() + walk.input.len());
    input.extend_from_slice(bytes);
    input.extend_from_slice(walk.input);
    *walk.input = input;
    walk.quiet = 0;
}

#[cfg(test)]
mod tests {
    use firsthand_wire::postgres::Rules;

    use super::*;

    /// The end of an INSERT, then an answer of the extended protocol that begins like this.
    fn behind(answer: &[u8]) -> Behind {
        let end = b"C\0\0\0\x0fINSERT 0 1\0";
        look_behind(&[end, answer].concat(), end.len(), false, &Rules::backend(1 << 30, 1 << 30))
    }

    /// A row of an answer.
    fn row(oid: usize, name: &str, counts: Counts) -> Vec<u8> {
        let values = [oid.to_string(), "public".to_owned(), name.to_owned()];
        let mut body = 6_u16.to_be_bytes().to_vec();
        for value in values.into_iter().chain(counts.map(|n| n.to_string())) {
            body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value.as_bytes());
        }
        body
    }

    /// What was counted, of so many tables in which one row was removed each, and of their own.
    fn counted(tables: usize) -> Box<Along> {
        let reach = Reach {
            table: 1,
            alone: true,
            action: Some(Does::Delete),
            upserts: false,
            tables: vec![2],
            later: false,
            question: Default::default(),
        };
        let mut along = Along::new(Ok(Arc::new(reach)), Manner::default());
        along.row(&row(0, "", [1, 0, 0]), false);
        (0..tables).for_each(|n| along.row(&row(20_000 + n, &format!("t{n}"), [0, 0, 1]), true));
        along.row(&row(0, "", [1, 0, 0]), true);
        along.known = true;
        along
    }

    #[test]
    fn so_many_tables_are_counted_and_one_more_is_not_known() {
        let most = COUNTED_MAX;
        assert_eq!(counted(most).beside(0), Ok(most as u64));
        assert_eq!(counted(most + 1).beside(0), Err(UNCOUNTED));
        let mut coverage = Vec::new();
        assert!(counted(most + 1).tell(0, false, &mut coverage).is_empty());
        assert_eq!(coverage, [UNCOUNTED]);
    }

    #[test]
    fn so_many_tables_are_told_and_of_more_it_is_said() {
        for (tables, told, said) in
            [(TOLD_MAX - 1, TOLD_MAX - 1, false), (TOLD_MAX, TOLD_MAX, false), (TOLD_MAX + 1, TOLD_MAX, true)]
        {
            let mut coverage = Vec::new();
            let pieces = counted(tables).tell(0, false, &mut coverage);
            assert_eq!((pieces.len(), coverage.contains(&PAST_CAP)), (told, said), "{tables}");
        }
    }

    #[test]
    fn what_was_emptied_or_is_not_counted_has_no_number() {
        let mut emptied = counted(1);
        emptied.row(&row(30_000, "", [-1, 30_001, 0]), true);
        assert_eq!(emptied.beside(0), Err(TRUNCATE));
        // A lock alone is none, nor is one that was there before.
        let mut locked = counted(1);
        locked.row(&row(30_000, "", [-1, 30_000, 0]), true);
        locked.row(&row(30_002, "", [-1, 30_003, 0]), false);
        locked.row(&row(30_002, "", [-1, 30_003, 0]), true);
        assert_eq!(locked.beside(0), Ok(1));
        let mut off = counted(1);
        off.row(&row(0, "", [0, 0, 0]), true);
        assert_eq!(off.beside(0), Err(UNCOUNTED));
    }

    #[test]
    fn names_come_in_whatever_encoding() {
        assert_eq!(unhexed("7ac3bc72696368").as_deref(), Some("z\u{fc}rich"));
        assert_eq!((unhexed("7"), unhexed("zz"), unhexed("ff")), (Some("\u{7}".to_owned()), None, None));
    }

    #[test]
    fn an_answer_that_is_none_is_not_waited_for() {
        let row = b"D\0\0\0\x0a\0\x01\0\0\0\0";
        assert!(matches!(behind(b""), Behind::Partly));
        assert!(matches!(behind(&row[..7]), Behind::Partly));
        assert!(matches!(behind(b"3\0\0\0\x043\0\0\0\x043\0\0\0\x04"), Behind::Whole { .. }));
        assert!(matches!(behind(b"D\0\0\0\x01"), Behind::Broken), "a length that cannot be");
        assert!(matches!(behind(&row.repeat(ANSWER_BYTES_MAX / row.len())), Behind::Partly));
        assert!(matches!(behind(&row.repeat(ANSWER_BYTES_MAX / row.len() + 2)), Behind::Broken), "no end");
    }
}
