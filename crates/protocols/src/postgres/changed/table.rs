//! What has to be known of a table before RETURNING may be added to a statement.
//!
//! It is asked over a connection of the gateway's own (`asker`), for the role in force in the session, right when the
//! statement comes: nothing that is asked there can fail or hold up the client's transaction. What only that transaction
//! knows, such as a table that it has just made, is not seen there; where that may matter nothing is added.

use firsthand_model::command::Shape;

/// Columns of one table that are added at most; PostgreSQL takes 1,664 in a list.
pub(super) const COLUMNS_MAX: usize = 512;

/// The oldest server on which the question works (`attgenerated`).
pub(super) const SERVER_MIN: u32 = 12;

/// The question. One row for each column of each relation of that name; none: there is no such relation, or no such role.
/// `$1` are names of relations, `$2` is the role. Everything is qualified, so that no search path makes it mean something
/// else.
pub const TABLES_QUESTION: &str = "\
WITH rel AS MATERIALIZED (\
SELECT c.oid, n.nspname, c.relname, r.oid AS role, k.columns, \
CASE WHEN c.relpersistence OPERATOR(pg_catalog.=) 't' THEN 't' \
WHEN c.relkind OPERATOR(pg_catalog.=) 'r' AND c.relhassubclass THEN 'h' ELSE c.relkind END AS kind, \
c.relhasrules AND EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class OPERATOR(pg_catalog.=) c.oid) AS ruled, \
c.relrowsecurity AND NOT (r.rolsuper OR r.rolbypassrls \
OR (NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(r.oid, c.relowner, 'USAGE'))) AS secured, \
COALESCE(d.strange, false) AS strange, c.relhastriggers OR COALESCE(d.triggers, false) AS triggers, \
pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT') AS whole, \
EXISTS (SELECT FROM pg_catalog.pg_attrdef e WHERE e.adrelid OPERATOR(pg_catalog.=) c.oid \
AND pg_catalog.strpos(e.adbin::pg_catalog.text, pg_catalog.concat(':funcid ', \
'pg_catalog.current_query()'::pg_catalog.regprocedure::pg_catalog.oid, ' ')) OPERATOR(pg_catalog.>) 0) \
OR (c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger g \
JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) g.tgfoid \
WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT g.tgisinternal \
AND p.prosrc OPERATOR(pg_catalog.~*) 'current_query|pg_stat_activity|pg_stat_get')) AS looks, \
c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger g \
WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT g.tgisinternal \
AND (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 18) OPERATOR(pg_catalog.=) 18) AS remade, \
c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT l.relation FROM pg_catalog.pg_locks l \
WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.mode OPERATOR(pg_catalog.=) \
ANY ('{ShareLock,ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}'))) AS locked, \
d.acts OR (c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger g \
WHERE g.tgrelid OPERATOR(pg_catalog.=) c.oid AND g.tgenabled OPERATOR(pg_catalog.<>) 'D' \
AND (g.tgfoid OPERATOR(pg_catalog.=) ANY ('{1646,1647,1650,1651,1652,1653}') \
OR (NOT g.tgisinternal AND g.tgfoid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)))) AS acts \
FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_roles r ON r.rolname OPERATOR(pg_catalog.=) $2 \
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
LEFT JOIN LATERAL (\
WITH RECURSIVE below AS (\
SELECT i.inhrelid FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid \
UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN below ON i.inhparent OPERATOR(pg_catalog.=) below.inhrelid) \
SELECT pg_catalog.bool_or(p.relkind OPERATOR(pg_catalog.=) 'f') AS strange, \
pg_catalog.bool_or(p.relhastriggers) AS triggers, \
pg_catalog.bool_or(p.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger g \
WHERE g.tgrelid OPERATOR(pg_catalog.=) p.oid AND g.tgenabled OPERATOR(pg_catalog.<>) 'D' \
AND (g.tgfoid OPERATOR(pg_catalog.=) ANY ('{1646,1647,1650,1651,1652,1653}') \
OR (NOT g.tgisinternal AND g.tgfoid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid)))) AS acts \
FROM below JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) below.inhrelid) d ON c.relhassubclass \
LEFT JOIN LATERAL (\
SELECT ARRAY(SELECT u.number FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(number, place) \
WHERE u.place OPERATOR(pg_catalog.<=) i.indnkeyatts) AS columns \
FROM pg_catalog.pg_index i \
WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid \
AND i.indpred IS NULL AND i.indexprs IS NULL \
AND (i.indisprimary OR NOT EXISTS (SELECT FROM pg_catalog.pg_attribute o \
WHERE o.attrelid OPERATOR(pg_catalog.=) c.oid AND o.attnum OPERATOR(pg_catalog.=) ANY (i.indkey) AND NOT o.attnotnull)) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute o \
JOIN pg_catalog.pg_collation q ON q.oid OPERATOR(pg_catalog.=) o.attcollation \
WHERE o.attrelid OPERATOR(pg_catalog.=) c.oid AND o.attnum OPERATOR(pg_catalog.=) ANY (i.indkey) \
AND (NOT q.collisdeterministic OR o.attcollation OPERATOR(pg_catalog.<>) ALL (i.indcollation))) \
ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) k ON true \
WHERE c.relname OPERATOR(pg_catalog.=) ANY ($1) AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}')) \
SELECT rel.oid, rel.nspname, rel.relname, rel.kind, rel.ruled, rel.secured, rel.strange, rel.triggers, rel.whole, rel.looks, \
rel.locked, a.attname, a.attnum, a.atttypid, a.attnum OPERATOR(pg_catalog.=) ANY (rel.columns), \
pg_catalog.has_column_privilege(rel.role, rel.oid, a.attnum, 'SELECT'), \
a.attlen OPERATOR(pg_catalog.=) -1 AND a.attstorage OPERATOR(pg_catalog.<>) 'p', \
rel.remade OR (a.attnum OPERATOR(pg_catalog.=) ANY (rel.columns) AND a.attgenerated OPERATOR(pg_catalog.<>) ''), rel.acts \
FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) rel.oid \
WHERE a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped AND a.attgenerated OPERATOR(pg_catalog.<>) 'v' \
ORDER BY rel.oid, a.attnum";

/// Functions of the database that look at the text of the statement under way: the gateway's changes would show there.
/// They are told by their own texts.
pub(super) const WATCHERS_QUESTION: &str = "\
SELECT p.proname FROM pg_catalog.pg_proc p \
WHERE p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid \
AND p.prosrc OPERATOR(pg_catalog.~*) 'current_query|pg_stat_activity|pg_stat_get'";

/// A row of the answer, as text.
pub type TableRow = Vec<Option<String>>;

/// What is known at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// The rows of the answer to [`TABLES_QUESTION`].
    pub rows: Vec<TableRow>,
    /// Functions that look at the text of the statement under way.
    pub watchers: Vec<String>,
    /// The rows of the answer to [`REACH_QUESTION`](super::REACH_QUESTION): of those tables whose changes may go further.
    pub reach: Vec<TableRow>,
}

/// A table's name as a statement writes it: database, schema, table.
pub(super) type Name = [String; 3];

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) number: i16,
    pub(super) type_oid: u32,
    pub(super) key: bool,
    pub(super) readable: bool,
    /// Its values may be large.
    pub(super) wide: bool,
}

/// A table, as the target told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Its rows are its own, not those of partitions or children.
    pub(super) alone: bool,
    /// All of it may be read, not only some columns.
    pub(super) whole: bool,
    /// An UPDATE may change the key although it does not set it: the server generates it, or a trigger changes rows before
    /// they are written.
    pub(super) remade: bool,
    pub(super) columns: Vec<Column>,
    /// Why RETURNING cannot be added to statements on it.
    pub(super) why: Option<&'static str>,
    /// More than its own rows may change with them.
    pub(super) goes_on: bool,
    /// Why it is not known whether more than its own rows may change with them.
    pub(super) hidden: Option<&'static str>,
    /// A rule or a view: what changes in its place is not told by its name.
    pub(super) beyond: bool,
}

/// The table that a statement means by that name; or why that is not certain.
/// `shape`: what the statement was understood to do, where somebody asks for that.
pub(super) fn meant(facts: &TableFacts, name: &Name, shape: &Shape) -> Result<Table, &'static str> {
    let [_, schema, relation] = name;
    let mut found: Option<Table> = None;
    // By the session's own search path, if it was followed; then the statement writes to just one relation of this name.
    let written = shape.facts.iter().flat_map(|facts| &facts.writes).map(|relation| relation.oid.to_string());
    let written: Vec<String> = written.filter(|oid| oid != "0").collect();
    let named = |row: &&TableRow| row.get(2).and_then(Option::as_ref) == Some(relation);
    let resolved =
        |row: &TableRow| row.first().and_then(Option::as_ref).is_some_and(|oid| written.contains(oid));
    let of_those = facts.rows.iter().filter(named).any(resolved);
    for row in &facts.rows {
        let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        if text(2) != relation || !(schema.is_empty() || schema == text(1)) {
            continue;
        }
        if schema.is_empty() && of_those && !resolved(row) {
            continue;
        }
        if text(3) == "t" {
            return Err("changed-rows:temporary");
        }
        let table = found.get_or_insert_default();
        if table.oid != 0 && text(0) != table.oid.to_string() {
            // Which one the session means is not known outside of it.
            return Err("changed-rows:ambiguous");
        }
        read(table, row, &facts.watchers).ok_or("changed-rows:encoding")?;
    }
    found.ok_or("changed-rows:relation")
}

/// Coverage fact: something may look at the text of the statement.
pub(super) const OWN_TEXT: &str = "changed-rows:own-text";
/// Coverage fact: its rows are another server's.
const FOREIGN: &str = "changed-rows:foreign";
/// Coverage fact: somebody changes what a table is, or waits to.
pub(super) const LOCKED: &str = "changed-rows:locked";

/// Whether a statement may look at its own text.
pub(super) fn watches(facts: &TableFacts, text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    ["current_query", "pg_stat_activity", "pg_stat_get"].into_iter().any(|word| text.contains(word))
        || facts.watchers.iter().any(|name| text.contains(&name.to_lowercase()))
}

fn read(table: &mut Table, row: &TableRow, watchers: &[String]) -> Option<()> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    let holds = |at: usize| text(at) == Some("t");
    table.oid = text(0)?.parse().ok()?;
    text(1)?.clone_into(&mut table.schema);
    text(2)?.clone_into(&mut table.name);
    table.alone = text(3)? == "r";
    table.whole = holds(8);
    table.remade |= holds(17);
    table.beyond = text(3)? == "v" || holds(4);
    let goes_on = super::reach::goes_on(row);
    table.hidden = match text(3)? {
        "f" => Some(FOREIGN),
        _ if holds(6) => Some(FOREIGN),
        _ if holds(10) && goes_on => Some(LOCKED),
        _ => None,
    };
    table.goes_on = goes_on && text(3)? != "m" && table.hidden.is_none();
    table.why = match text(3)? {
        "r" | "p" | "h" if holds(4) => Some("changed-rows:rule"),
        "r" | "p" | "h" if holds(5) => Some("changed-rows:row-security"),
        "r" | "p" | "h" if holds(6) => Some(FOREIGN),
        // Somebody changes it, or waits to: what it is now is not what the statement meets when its turn comes.
        "r" | "p" | "h" if holds(10) => Some(LOCKED),
        "r" | "p" | "h" if holds(9) || (holds(7) && !watchers.is_empty()) => Some(OWN_TEXT),
        "r" | "p" | "h" => None,
        "v" | "m" => Some("changed-rows:view"),
        "f" => Some(FOREIGN),
        _ => Some("changed-rows:relation"),
    };
    table.columns.push(Column {
        name: text(11)?.to_owned(),
        number: text(12)?.parse().ok()?,
        type_oid: text(13)?.parse().ok()?,
        key: holds(14),
        readable: holds(15),
        wide: holds(16),
    });
    Some(())
}
