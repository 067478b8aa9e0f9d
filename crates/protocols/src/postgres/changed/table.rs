//! What has to be known of a table before RETURNING may be added to a statement: asked of the target itself, in the
//! session, with its search path and its role, so that what is told is what holds for the statement.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::time::MonoMicros;
use firsthand_sql::{Action, Change};
use firsthand_wire::postgres::backend::DataRow;
use firsthand_wire::postgres::encode::{EncodeError, message};
use firsthand_wire::postgres::frontend::{self, Object};

/// Tables known per session at most. A session that writes to more of them asks again.
const TABLES_MAX: usize = 512;

/// How long what was told of a table is relied on: other sessions may change it. A statement that fails because of that
/// has it asked anew.
const AGE_MAX_MICROS: u64 = 60_000_000;

/// Columns of one table that are added at most; PostgreSQL takes 1,664 in a list.
pub(super) const COLUMNS_MAX: usize = 512;

/// The name of the gateway's own statement and portal at the target.
const NAME: &[u8] = b"firsthand asks";

/// The oldest server on which the question works (`indnkeyatts`).
pub(super) const SERVER_MIN: u32 = 11;

/// The question. One row for each column; none: there is no such table. `$1` is the schema or empty, `$2` the table.
/// Everything is qualified, so that no search path makes it mean something else, and nothing in it can fail. The last value
/// is for what a change of the table sets off: the events of its triggers (and those of its partitions and children), among
/// them the server's own for CASCADE, SET NULL and SET DEFAULT, by the numbers of their functions.
pub(super) const QUESTION: &str = "\
SELECT c.oid, n.nspname, c.relname, \
CASE WHEN c.relkind OPERATOR(pg_catalog.=) 'r' AND c.relhassubclass THEN 'h' ELSE c.relkind END, c.relhasrules, pg_catalog.row_security_active(c.oid), \
a.attname, a.attnum, a.atttypid, a.attnum OPERATOR(pg_catalog.=) ANY (k.columns), \
pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT'), \
CASE WHEN c.relhastriggers OR c.relhassubclass THEN (\
WITH RECURSIVE f(oid) AS (SELECT c.oid UNION \
SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN f ON i.inhparent OPERATOR(pg_catalog.=) f.oid) \
SELECT COALESCE(pg_catalog.bit_or(t.tgtype), '0') FROM pg_catalog.pg_trigger t \
JOIN f ON t.tgrelid OPERATOR(pg_catalog.=) f.oid \
WHERE t.tgenabled OPERATOR(pg_catalog.<>) 'D' AND (NOT t.tgisinternal \
OR t.tgfoid OPERATOR(pg_catalog.=) ANY ('{1646,1647,1650,1651,1652,1653}'::pg_catalog.oid[]))) \
ELSE '0' END \
FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid \
LEFT JOIN LATERAL (\
SELECT ARRAY(SELECT u.number FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(number, place) \
WHERE u.place OPERATOR(pg_catalog.<=) i.indnkeyatts) AS columns \
FROM pg_catalog.pg_index i \
WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indisvalid \
AND i.indpred IS NULL AND i.indexprs IS NULL \
AND (i.indisprimary OR NOT EXISTS (SELECT FROM pg_catalog.pg_attribute o \
WHERE o.attrelid OPERATOR(pg_catalog.=) c.oid AND o.attnum OPERATOR(pg_catalog.=) ANY (i.indkey) AND NOT o.attnotnull)) \
ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) k ON true \
WHERE c.relname OPERATOR(pg_catalog.=) $2 AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped \
AND CASE WHEN $1 OPERATOR(pg_catalog.=) '' THEN pg_catalog.pg_table_is_visible(c.oid) \
WHEN $1 OPERATOR(pg_catalog.=) 'pg_temp' THEN n.oid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
ELSE n.nspname OPERATOR(pg_catalog.=) $1 END \
ORDER BY a.attnum";

/// Coverage facts: what is written to is not what changes.
const RULE: &str = "changed-rows:rule";
const VIEW: &str = "changed-rows:view";

/// Events of triggers, as `pg_trigger.tgtype` has them.
const INSERT: u16 = 4;
const DELETE: u16 = 8;
const UPDATE: u16 = 16;

/// A table's name as a statement writes it: database, schema, table.
pub(in super::super) type Name = [String; 3];

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) number: i16,
    pub(super) type_oid: u32,
    pub(super) key: bool,
    pub(super) readable: bool,
}

/// A table, as the target told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Its rows are its own, not those of partitions or children.
    pub(super) alone: bool,
    pub(super) columns: Vec<Column>,
    /// The events (`pg_trigger.tgtype`) that set something off.
    fires: u16,
    /// Why RETURNING cannot be added to statements on it.
    pub(super) why: Option<&'static str>,
}

impl Table {
    /// Whether a change of this kind may change more than the rows that it is about.
    pub(super) fn sets_off(&self, change: &Change) -> bool {
        let events = match change.action {
            Action::Insert if change.upserts => INSERT | UPDATE,
            Action::Insert => INSERT,
            Action::Delete => DELETE,
            // A row that moves to another partition is deleted and inserted.
            Action::Update if !self.alone => INSERT | UPDATE | DELETE,
            Action::Update => UPDATE,
        };
        // What a view or a rule makes of it happens elsewhere.
        self.fires & events != 0 || self.is_rewritten()
    }

    /// Whether it is a view, or has rules.
    pub(super) fn is_rewritten(&self) -> bool {
        matches!(self.why, Some(RULE | VIEW))
    }

    /// Takes in a row of the answer. False: it cannot be read.
    pub(super) fn add(&mut self, row: &[u8]) -> bool {
        self.read(row).is_some()
    }

    fn read(&mut self, row: &[u8]) -> Option<()> {
        let row = DataRow::read(row).ok()?;
        let values: Vec<Option<&[u8]>> = row.values().collect::<Result<_, _>>().ok()?;
        let text = |at: usize| values.get(at).copied().flatten().and_then(|v| std::str::from_utf8(v).ok());
        let holds = |at: usize| text(at) == Some("t");
        self.oid = text(0)?.parse().ok()?;
        self.schema = text(1)?.to_owned();
        self.name = text(2)?.to_owned();
        self.alone = text(3)? == "r";
        self.fires = text(11).and_then(|bits| bits.parse().ok()).unwrap_or(0);
        self.why = match text(3)? {
            "r" | "p" | "h" if holds(4) => Some(RULE),
            "r" | "p" | "h" if holds(5) => Some("changed-rows:row-security"),
            "r" | "p" | "h" => None,
            "v" | "m" => Some(VIEW),
            "f" => Some("changed-rows:foreign"),
            _ => Some("changed-rows:relation"),
        };
        self.columns.push(Column {
            name: text(6)?.to_owned(),
            number: text(7)?.parse().ok()?,
            type_oid: text(8)?.parse().ok()?,
            key: holds(9),
            readable: holds(10),
        });
        Some(())
    }
}

/// The tables that this session has asked for.
#[derive(Debug, Default)]
pub(in super::super) struct Tables {
    known: HashMap<Name, (Arc<Table>, MonoMicros)>,
    /// Something in this transaction may have changed what names mean; its end changes it again.
    touched: bool,
}

impl Tables {
    /// What is known of that name and not too old.
    pub(super) fn of(&self, name: &Name, now: MonoMicros) -> Option<&Arc<Table>> {
        let (table, since) = self.known.get(name)?;
        (now.since(*since) < AGE_MAX_MICROS).then_some(table)
    }

    pub(super) fn learn(&mut self, name: Name, table: Table, now: MonoMicros) {
        if self.known.len() >= TABLES_MAX {
            self.known.clear();
        }
        self.known.insert(name, (Arc::new(table), now));
    }

    /// Forgets all: names may mean something else.
    pub(in super::super) fn forget(&mut self) {
        self.known.clear();
    }

    /// A command with this tag is on its way; `sets`: its text may change settings. Whether it can change what names mean.
    pub(in super::super) fn runs(&mut self, tag: &str, sets: bool) -> bool {
        let ends = matches!(tag, "COMMIT" | "ROLLBACK" | "PREPARE TRANSACTION");
        let changes = if ends { std::mem::take(&mut self.touched) } else { sets || redefines(tag) };
        if changes {
            self.touched = !ends;
            self.known.clear();
        }
        changes
    }
}

/// Whether a command can change what names of tables mean, who asks, or what a table is, as far as its tag tells.
fn redefines(tag: &str) -> bool {
    match tag {
        "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "BEGIN" | "START TRANSACTION" | "SAVEPOINT"
        | "RELEASE" | "COMMIT" | "COPY" | "SHOW" | "FETCH" | "DECLARE CURSOR" | "CLOSE CURSOR" | "LISTEN"
        | "NOTIFY" | "UNLISTEN" | "VALUES" | "EXPLAIN" => false,
        _ => true,
    }
}

/// The messages that ask for these tables. `sync`: as a unit of its own; otherwise inside the client's open pipeline. Named,
/// so that the client's unnamed statement and portal stay.
pub(super) fn ask(out: &mut BytesMut, names: &[Name], sync: bool) -> Result<(), EncodeError> {
    const TEXT: u32 = 25;
    frontend::encode_parse(out, NAME, QUESTION.as_bytes(), &[TEXT, TEXT])?;
    for [_, schema, name] in names {
        bind(out, schema.as_bytes(), name.as_bytes());
        frontend::encode_execute(out, NAME, 0)?;
        frontend::encode_close(out, Object::Portal(NAME))?;
    }
    frontend::encode_close(out, Object::Statement(NAME))?;
    if sync {
        frontend::encode_sync(out);
    } else {
        frontend::encode_flush(out);
    }
    Ok(())
}

fn bind(out: &mut BytesMut, schema: &[u8], name: &[u8]) {
    let value = |out: &mut BytesMut, value: &[u8]| {
        out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(value);
    };
    message(out, b'B', |out| {
        for _ in 0..2 {
            out.extend_from_slice(NAME);
            out.extend_from_slice(&[0]);
        }
        out.extend_from_slice(&[0, 0, 0, 2]);
        value(out, schema);
        value(out, name);
        out.extend_from_slice(&[0, 0]);
    });
}
