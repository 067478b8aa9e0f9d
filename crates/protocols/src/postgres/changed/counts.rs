//! The target's own counters: how many rows of each table this transaction has inserted, updated and deleted so far. What
//! a command did, with all that it set off, is the difference of two answers around it.
//!
//! The counters count what was done, also what a function undid itself (an exception that it caught); rows of TRUNCATE
//! they do not count, and a table that is emptied that way begins anew. Foreign tables and the system's own they leave out.

use std::collections::BTreeMap;

use bytes::BytesMut;
use firsthand_model::json::Json;
use firsthand_session::ChangedPiece;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::backend::DataRow;
use firsthand_wire::postgres::encode::EncodeError;
use firsthand_wire::postgres::frontend::{self, Object};

/// Tables of one answer that are read at most: more than a transaction touches, and less than a hostile answer holds.
const TABLES_READ_MAX: usize = 4096;

/// Entries that are written for one command at most. A function that fills a thousand partitions is told by the first ones.
const TOLD_MAX: usize = 64;

/// The name of the question's statement and portal at the target.
const NAME: &[u8] = b"firsthand counts";

/// The name of a client's Query that runs as a portal.
const RUN: &[u8] = b"firsthand runs";

/// The oldest server that can be told to put its counters to zero.
pub(super) const ZEROES_MIN: u32 = 15;

/// Has the target hand its counters over before it reads the next message, so that they begin at zero.
pub(super) const ZERO: &str = "SELECT pg_catalog.pg_stat_force_next_flush()";

/// The question. First a row that says whether the target counts at all; then one for each table with rows counted: its
/// number, name and file, whether it has triggers that may wait for the commit, and the rows. Everything is qualified, and
/// nothing in it can fail.
pub(super) const QUESTION: &str = "\
SELECT '0'::pg_catalog.oid AS oid, '', '', '0'::pg_catalog.oid, \
pg_catalog.current_setting('track_counts')::pg_catalog.bool, '0'::pg_catalog.int8, '0'::pg_catalog.int8, '0'::pg_catalog.int8 \
UNION ALL \
SELECT c.oid, n.nspname, c.relname, c.relfilenode, \
EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal AND t.tgdeferrable), \
s.inserted, s.updated, s.deleted \
FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
CROSS JOIN LATERAL (SELECT pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, \
pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS updated, \
pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS deleted OFFSET 0) s \
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,m}'::pg_catalog.\"char\"[]) \
AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema,pg_toast}'::pg_catalog.name[]) \
AND GREATEST(s.inserted, s.updated, s.deleted) OPERATOR(pg_catalog.>) '0'";

/// Coverage fact: the table was emptied, or written anew, in the meantime: its rows are not known.
const TRUNCATED: &str = "changed-rows:truncate";
/// Coverage fact: triggers that may run at the commit are not counted.
const DEFERRED: &str = "changed-rows:deferred";
/// Coverage fact: more entries than are kept.
const PAST_CAP: &str = "changed-rows:past-cap";

/// What is done to rows, in the order of the counters.
const ACTIONS: [&str; 3] = ["insert", "update", "delete"];

/// One table's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    name: String,
    file: u32,
    /// It has triggers that may wait for the commit.
    defers: bool,
    rows: [u64; 3],
}

/// One answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Counts {
    /// The target counts.
    counted: bool,
    tables: BTreeMap<u32, Table>,
    past_cap: bool,
}

/// The rows of one table that are told already: of the table that the command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) oid: u32,
    pub(super) action: &'static str,
    pub(super) rows: u64,
}

/// What a command did, by the counters.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) pieces: Vec<ChangedPiece>,
    pub(super) coverage: Vec<&'static str>,
}

impl Counts {
    /// All counters at zero.
    pub(super) fn zero() -> Self {
        Self { counted: true, ..Self::default() }
    }

    /// An answer that cannot be read tells nothing.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the target counts.
    pub(super) fn is_counted(&self) -> bool {
        self.counted
    }

    /// Takes in a row of the answer. False: it cannot be read.
    pub(super) fn add(&mut self, row: &[u8]) -> bool {
        self.read(row).is_some()
    }

    fn read(&mut self, row: &[u8]) -> Option<()> {
        let row = DataRow::read(row).ok()?;
        let values: Vec<Option<&[u8]>> = row.values().collect::<Result<_, _>>().ok()?;
        let text = |at: usize| values.get(at).copied().flatten().map(String::from_utf8_lossy);
        let number = |at: usize| text(at)?.parse::<u64>().ok();
        let oid: u32 = text(0)?.parse().ok()?;
        let yes = text(4)? == "t";
        if oid == 0 {
            self.counted = yes;
            return Some(());
        }
        if self.tables.len() >= TABLES_READ_MAX {
            self.past_cap = true;
            return Some(());
        }
        let name = format!("{}.{}", text(1)?, text(2)?);
        let rows = [number(5)?, number(6)?, number(7)?];
        self.tables.insert(oid, Table { name, file: text(3)?.parse().ok()?, defers: yes, rows });
        Some(())
    }

    /// What has been done since `before`, but for what is known.
    pub(super) fn since(&self, before: &Self, known: Option<Known>) -> Difference {
        let mut found = Difference::default();
        let mut add = |why| {
            if !found.coverage.contains(&why) {
                found.coverage.push(why);
            }
        };
        if before.tables.keys().any(|oid| !self.tables.contains_key(oid)) {
            add(TRUNCATED);
        }
        let mut past_cap = self.past_cap || before.past_cap;
        let mut pieces = Vec::new();
        for (oid, table) in &self.tables {
            let was = before.tables.get(oid);
            let truncated = was.is_some_and(|was| {
                was.file != table.file || table.rows.iter().zip(was.rows).any(|(now, then)| *now < then)
            });
            if truncated {
                add(TRUNCATED);
                continue;
            }
            let then = was.map_or([0; 3], |was| was.rows);
            let rows = [0, 1, 2].map(|i| at(table.rows, i).saturating_sub(at(then, i)));
            if rows == [0; 3] {
                continue;
            }
            if table.defers {
                add(DEFERRED);
            }
            if known.is_some_and(|known| known.oid == *oid && known.is_all(rows)) {
                continue;
            }
            for (action, count) in ACTIONS.into_iter().zip(rows).filter(|(_, count)| *count > 0) {
                past_cap |= pieces.len() >= TOLD_MAX;
                if pieces.len() < TOLD_MAX {
                    pieces.push(piece(&table.name, action, count));
                }
            }
        }
        if past_cap {
            add(PAST_CAP);
        }
        found.pieces = pieces;
        found
    }
}

impl Known {
    /// Whether nothing but this was done to the table.
    fn is_all(self, [inserted, updated, deleted]: [u64; 3]) -> bool {
        let counted = match self.action {
            "insert" if updated == 0 && deleted == 0 => inserted,
            "update" if inserted == 0 && deleted == 0 => updated,
            "delete" if inserted == 0 && updated == 0 => deleted,
            "upsert" if deleted == 0 => inserted + updated,
            _ => return false,
        };
        counted == self.rows
    }
}

fn at(rows: [u64; 3], i: usize) -> u64 {
    rows.get(i).copied().unwrap_or_default()
}

fn piece(table: &str, action: &'static str, count: u64) -> ChangedPiece {
    ChangedPiece {
        table: table.to_owned(),
        action,
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

/// CloseCompletes that come with the question.
pub(super) const CLOSES: u8 = 3;

/// The messages that ask. What an earlier question that failed may have left is closed first.
pub(super) fn ask(out: &mut BytesMut) -> Result<(), EncodeError> {
    frontend::encode_close(out, Object::Statement(NAME))?;
    run(out, NAME, QUESTION.as_bytes(), false)?;
    frontend::encode_close(out, Object::Portal(NAME))?;
    frontend::encode_close(out, Object::Statement(NAME))
}

/// The messages that put the counters to zero, as a unit of their own.
pub(super) fn zero(out: &mut BytesMut) -> Result<(), EncodeError> {
    frontend::encode_close(out, Object::Statement(NAME))?;
    run(out, NAME, ZERO.as_bytes(), false)?;
    frontend::encode_close(out, Object::Statement(NAME))?;
    frontend::encode_sync(out);
    Ok(())
}

/// Answers in front of those to a Query that runs as a portal.
pub(super) const STEPS: u8 = 6;

/// The text of a Query as a portal with the answers of one: what comes before are four closes, of what a Query ends (the
/// unnamed statement and portal) and of what an earlier one that failed may have left.
pub(super) fn run_query(text: &[u8]) -> Result<BytesMut, EncodeError> {
    let mut out = BytesMut::with_capacity(text.len() + 256);
    for object in [Object::Portal(b""), Object::Statement(b""), Object::Portal(RUN), Object::Statement(RUN)] {
        frontend::encode_close(&mut out, object)?;
    }
    run(&mut out, RUN, text, true)?;
    Ok(out)
}

/// CloseCompletes that come with that.
pub(super) const RUN_CLOSES: u8 = 2;

/// Behind such a Query: nothing of it stays.
pub(super) fn close_query(out: &mut BytesMut) -> Result<(), EncodeError> {
    frontend::encode_close(out, Object::Portal(RUN))?;
    frontend::encode_close(out, Object::Statement(RUN))
}

fn run(out: &mut BytesMut, name: &[u8], text: &[u8], described: bool) -> Result<(), EncodeError> {
    frontend::encode_parse(out, name, text, &[])?;
    frontend::encode_bind(out, (name, name), (Format::Text, &[]), Format::Text)?;
    if described {
        frontend::encode_describe(out, Object::Portal(name))?;
    }
    frontend::encode_execute(out, name, 0)
}
