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
use firsthand_model::command::Shape;
use firsthand_model::json::{Json, Object};
use firsthand_model::target::ChangedRows;
use firsthand_session::ChangedPiece;
use firsthand_sql::{Action as Does, Changes};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::{DataRow, Report};
use firsthand_wire::postgres::frame::{HEADER_LEN, Scan, scan};
use firsthand_wire::postgres::frontend::{self, Object as Closed};

use super::super::dialect::PostgresDialect;
use super::super::flight::{Entry, Running, Sent};
use super::super::names::{Own, Portal};
use super::super::server::{Step, Walk};
use super::reach::{self, Reach};
use super::{messages, table};
use crate::dialect::Action;

/// Coverage fact: what a trigger does at the commit is not counted.
const DEFERRED: &str = "changed-rows:deferred";
/// Coverage fact: the target does not count (`track_counts`), or told too much.
const UNCOUNTED: &str = "changed-rows:uncounted";
/// Coverage fact: a table was emptied, and how many rows it had is not told.
const TRUNCATE: &str = "changed-rows:truncate";
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

/// The counts of one command under way.
#[derive(Debug)]
pub(in super::super) struct Along {
    reached: Reached,
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
    pub(in super::super) fn new(reached: Reached) -> Box<Self> {
        Box::new(Self {
            reached,
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            waits: false,
            known: false,
            lost: false,
            failure: None,
        })
    }

    /// How far the change goes, if the target is asked.
    pub(in super::super) fn asks(&self) -> Option<&Arc<Reach>> {
        self.reached.as_ref().ok()
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
            let name = format!("{}.{}", text(1)?, text(2)?);
            Some((text(0)?.parse().ok()?, name, [number(3)?, number(4)?, number(5)?]))
        };
        match read() {
            // The row that tells whether anything is counted.
            Some((0, name, _)) => self.lost |= name != "on.",
            Some(_) if self.before.len() >= COUNTED_MAX || self.after.len() >= COUNTED_MAX => {
                self.lost = true
            }
            Some((oid, name, counts)) if after => drop(self.after.insert(oid, (name, counts))),
            Some((oid, _, counts)) => drop(self.before.insert(oid, counts)),
            None => self.lost = true,
        }
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
    /// audit trail) do not count.
    pub(in super::super) fn beside(&self, rows: u64) -> u64 {
        let Ok(reach) = &self.reached else { return 0 };
        if !self.known || self.lost {
            return 0;
        }
        let (mut all, mut own) = (0_u64, rows);
        for (oid, _, [_, updated, deleted]) in self.differences() {
            let [updated, deleted] = [updated, deleted].map(|n| u64::try_from(n).unwrap_or(0));
            all = all.saturating_add(updated).saturating_add(deleted);
            if reach.action == Does::Insert && oid == reach.table {
                own = if reach.upserts { updated } else { 0 };
            }
        }
        // Only among all tables are the statement's own, too.
        let among = reach.tables.is_empty() && (reach.action != Does::Insert || reach.upserts);
        all.saturating_sub(if among { own } else { 0 })
    }

    /// The entries about it, and what was not seen. `rows`: the command's own; `told`: those are in the record.
    pub(in super::super) fn tell(
        &self,
        rows: u64,
        told: bool,
        coverage: &mut Vec<&'static str>,
    ) -> Vec<ChangedPiece> {
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
        // What a transaction has counted of a table goes with its TRUNCATE.
        let mut emptied = self.before.keys().any(|oid| !self.after.contains_key(oid));
        let mut pieces = Vec::new();
        for (oid, name, counts) in self.differences() {
            let [inserted, updated, deleted] = counts;
            let own = match reach.action {
                Does::Insert if reach.upserts => inserted.saturating_add(updated),
                Does::Insert => inserted,
                Does::Update => updated,
                Does::Delete => deleted,
            };
            let stands = told && reach.alone && oid == reach.table && u64::try_from(own) == Ok(rows);
            for (count, does) in counts.into_iter().zip([Does::Insert, Does::Update, Does::Delete]) {
                let of_own = does == reach.action || (reach.upserts && does == Does::Update);
                match u64::try_from(count) {
                    Ok(0) => {}
                    Ok(_) if stands && of_own => {}
                    Ok(count) => pieces.push(piece(name, does, count)),
                    Err(_) => emptied = true,
                }
            }
        }
        if emptied && !coverage.contains(&TRUNCATE) {
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

/// The question. Everything in it is qualified, and it tells nothing but names that are stored there as they are sent.
fn question(reach: &Reach) -> String {
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
    format!(
        "SELECT c.oid, n.nspname, c.relname, {inserted}, {updated}, {deleted} FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE {of} AND ({inserted} {not_zero} OR {updated} {not_zero} OR {deleted} {not_zero}) \
         UNION ALL SELECT 0::pg_catalog.oid, pg_catalog.current_setting('track_counts'), '', 0, 0, 0"
    )
}

/// The question as a Query, behind what else that is to hold.
fn asked(before: &str, reach: &Reach) -> Bytes {
    let text = format!("{before}{}", question(reach));
    let mut bytes = BytesMut::with_capacity(text.len() + 8);
    let encoded = frontend::encode_query(&mut bytes, text.as_bytes());
    debug_assert!(encoded.is_ok(), "the text holds no zero byte");
    bytes.freeze()
}

/// The question among the client's messages of the extended protocol; with the tags of its answers, where `*` stands for its
/// rows and their end. The statement and portal of this name live for one question only.
fn pipelined(name: &[u8], reach: &Reach) -> (BytesMut, &'static [u8]) {
    let mut out = BytesMut::new();
    let encoded = (|| {
        // What an error may have left of an earlier one; and nothing is left of this one, whatever fails behind it.
        frontend::encode_close(&mut out, Closed::Statement(name))?;
        frontend::encode_parse(&mut out, name, question(reach).as_bytes(), &[])?;
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
    /// How far the change of this statement goes. `None`: no further, or it is not known, which is told elsewhere.
    pub(in super::super) fn reach(&self, changes: &Changes, shape: &Shape, settled: bool) -> Option<Reached> {
        let Changes::Rows(change) = changes else { return None };
        if self.changed.kept == ChangedRows::Off || !settled || self.why_not_now().is_some() {
            return None;
        }
        let facts = self.changed.facts.as_ref()?;
        let table = table::meant(facts, &change.table, shape).ok()?;
        Some(reach::of(facts, &table, change)?.map(Arc::new))
    }

    /// Finds that out for a portal that is bound now.
    pub(in super::super) fn reach_of_portal(&self, portal: &Portal, settled: bool) {
        let Some(statement) = &portal.statement else { return };
        let shape = portal.does.as_ref().map_or(&statement.shape, |(shape, _)| shape);
        let changes = statement.changes.as_deref();
        if let Some(reached) = changes.and_then(|changes| self.reach(changes, shape, settled)) {
            let _ = portal.reached.set(reached);
        }
    }

    /// Whether a portal that is executed so may be left in the middle, or another one was. What that has changed is not seen by
    /// a command behind it in the same pipeline, which a question between them would change.
    pub(in super::super) fn in_parts(&self, portal: &Portal, execute: &[u8]) -> bool {
        let changes = portal.statement.as_ref().and_then(|statement| statement.changes.as_deref());
        let returns = matches!(changes, Some(Changes::Rows(change)) if change.returns);
        self.changed.parts || (returns && messages::has_limit(execute))
    }

    /// Finds that out for the command of a Query.
    pub(in super::super) fn reach_of_query(&self, running: &mut Running, settled: bool) {
        if let Some(changes) = &running.changes
            && running.along.is_none()
        {
            running.along = self.reach(changes, &running.shape, settled).map(Along::new);
        }
    }

    /// Asks as a Query, before the command (then behind `with`) or after it.
    pub(in super::super) fn ask_along(
        &mut self,
        with: &str,
        of: &Reach,
        seq: u64,
        after: bool,
        out: &mut Vec<Action>,
    ) {
        self.note_counts(of, out);
        out.push(Action::ToServer(self.without_command(asked(with, of))));
        self.flight.push(Entry { sent: Sent::Counts { simple: true, after }, owner: seq, ends: 0 });
    }

    /// Asks among the messages of the extended protocol.
    pub(in super::super) fn pipeline_along(
        &mut self,
        of: &Reach,
        seq: u64,
        after: bool,
        out: &mut Vec<Action>,
    ) {
        self.note_counts(of, out);
        let (bytes, tags) = pipelined(self.own_name(Own::Counts).as_bytes(), of);
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
    fn note_counts(&mut self, of: &Reach, out: &mut Vec<Action>) {
        if std::mem::replace(&mut self.changed.noted, true) {
            return;
        }
        let mut detail = Vec::with_capacity(1_024);
        let mut o = Object::open(&mut detail);
        o.string("text", &question(of));
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
