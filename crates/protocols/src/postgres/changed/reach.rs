//! How far a change goes beyond the rows that the statement itself changes: by the actions of foreign keys, and by what
//! triggers, rules and views do. The definitions tell whether it can at all, and where only foreign keys act, to which tables.

use std::sync::OnceLock;

use firsthand_sql::Action;

use super::table::{LOCKED, Table, TableFacts, TableRow};

/// Coverage fact: what changed along with a statement's own rows could not be counted.
const UNCOUNTED: &str = "changed-rows:uncounted";

/// More tables than this are not named one by one: all are looked at.
const NAMED_MAX: usize = 64;

/// Where triggers may change whatever table, all of them are looked at, which takes some 2 ms for a thousand. Above this size
/// of `pg_class` (some 16,000 relations) it would take longer than most writes.
const RELATIONS_BYTES_MAX: u64 = 4 << 20;

/// The question, about relations (`$1`) on which something may go further, as this role (`$2`) may ask: a row for each of them
/// and each action. Everything is qualified.
///
/// A change is followed down to partitions and children, where an UPDATE may move a row; and along foreign keys, where a
/// DELETE goes on as a DELETE or an UPDATE. A trigger that does nothing but put the time into the row at hand, the most common
/// of all, is told by its text and takes no part. The server's own functions have the same numbers in every version: 1646 to 1653 are
/// the actions of foreign keys, 3040 to 3042 count rows.
pub const REACH_QUESTION: &str = "\
WITH RECURSIVE reach AS (\
SELECT c.rel AS start, a.action AS does, c.rel, a.action, true AS own \
FROM pg_catalog.unnest($1) c(rel) CROSS JOIN pg_catalog.unnest('{i,u,d}'::pg_catalog.text[]) a(action) \
UNION SELECT reach.start, reach.does, s.rel, s.action, s.own FROM reach JOIN LATERAL (\
SELECT i.inhrelid AS rel, v.action, reach.own FROM pg_catalog.pg_inherits i \
CROSS JOIN pg_catalog.unnest(CASE reach.action WHEN 'u' THEN '{i,u,d}'::pg_catalog.text[] ELSE ARRAY[reach.action] END) v(action) \
WHERE i.inhparent OPERATOR(pg_catalog.=) reach.rel \
UNION ALL SELECT g.tgconstrrelid, CASE g.tgfoid WHEN 1646 THEN 'd' ELSE 'u' END, false FROM pg_catalog.pg_trigger g \
WHERE g.tgrelid OPERATOR(pg_catalog.=) reach.rel AND g.tgenabled OPERATOR(pg_catalog.<>) 'D' \
AND g.tgfoid OPERATOR(pg_catalog.=) ANY (CASE reach.action WHEN 'd' THEN '{1646,1650,1652}' WHEN 'u' THEN '{1647,1651,1653}' \
ELSE '{}' END::pg_catalog.oid[])) s ON true) \
SELECT reach.start, reach.does, pg_catalog.bool_or(NOT reach.own OR t.runs), \
pg_catalog.bool_or((p.relhasrules AND NOT reach.own) OR t.runs), pg_catalog.bool_or(t.later), \
pg_catalog.string_agg(DISTINCT reach.rel::pg_catalog.text, ',') FILTER (WHERE NOT reach.own), \
(SELECT COALESCE(pg_catalog.string_agg(CASE WHEN z.relkind OPERATOR(pg_catalog.=) 'r' AND NOT z.relhassubclass \
AND o.attgenerated OPERATOR(pg_catalog.=) '' THEN o.attnum::pg_catalog.text ELSE '*' END, ','), '') \
FROM pg_catalog.pg_class z JOIN pg_catalog.pg_trigger g ON g.tgrelid OPERATOR(pg_catalog.=) z.oid \
JOIN pg_catalog.pg_constraint k ON k.oid OPERATOR(pg_catalog.=) g.tgconstraint \
JOIN pg_catalog.pg_attribute o ON o.attrelid OPERATOR(pg_catalog.=) z.oid AND o.attnum OPERATOR(pg_catalog.=) ANY (k.confkey) \
WHERE z.oid OPERATOR(pg_catalog.=) reach.start AND g.tgfoid OPERATOR(pg_catalog.=) ANY ('{1647,1651,1653}')), \
pg_catalog.has_table_privilege($2, 'pg_catalog.pg_class'::pg_catalog.regclass, 'SELECT') \
AND pg_catalog.has_table_privilege($2, 'pg_catalog.pg_namespace'::pg_catalog.regclass, 'SELECT') \
AND pg_catalog.has_table_privilege($2, 'pg_catalog.pg_locks'::pg_catalog.regclass, 'SELECT') \
AND (SELECT pg_catalog.bool_and(pg_catalog.has_function_privilege($2, f.oid, 'EXECUTE')) FROM pg_catalog.pg_proc f \
WHERE f.oid OPERATOR(pg_catalog.=) ANY ('{1371,2026,2999,3040,3041,3042}')), \
pg_catalog.pg_relation_size('pg_catalog.pg_class'::pg_catalog.regclass), \
pg_catalog.bool_or(reach.rel OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT l.relation FROM pg_catalog.pg_locks l \
WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.mode OPERATOR(pg_catalog.=) \
ANY ('{ShareRowExclusiveLock,ExclusiveLock,AccessExclusiveLock}')))) \
FROM reach JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) reach.rel \
CROSS JOIN LATERAL (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.>) 0 AS runs, \
COALESCE(pg_catalog.bool_or(g.tgdeferrable), false) AS later FROM pg_catalog.pg_trigger g \
JOIN pg_catalog.pg_proc f ON f.oid OPERATOR(pg_catalog.=) g.tgfoid \
WHERE p.relhastriggers AND g.tgrelid OPERATOR(pg_catalog.=) reach.rel AND NOT g.tgisinternal \
AND g.tgenabled OPERATOR(pg_catalog.<>) 'D' AND g.tgfoid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid \
AND (g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) CASE reach.action WHEN 'i' THEN 4 WHEN 'd' THEN 8 ELSE 16 END) \
OPERATOR(pg_catalog.<>) 0 \
AND NOT ((g.tgtype::pg_catalog.int4 OPERATOR(pg_catalog.&) 2) OPERATOR(pg_catalog.=) 2 AND f.prosrc OPERATOR(pg_catalog.~*) \
'^\\s*begin\\s+(new\\.[a-z_0-9]+\\s*:?=\\s*((pg_catalog\\.)?(now|clock_timestamp|statement_timestamp|transaction_timestamp)\\(\\s*\\)\
|current_timestamp|localtimestamp|current_date|timezone\\(''utc''(::text)?,\\s*now\\(\\)\\))\\s*;\\s*)+return\\s+new\\s*;\\s*end\\s*;?\\s*$')) t \
GROUP BY reach.start, reach.does";

/// How far a statement's change goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Reach {
    /// The table that the statement names.
    pub(super) table: u32,
    /// Its rows are its own, not those of partitions, children or a view.
    pub(super) alone: bool,
    /// What the statement itself does; `None`: one thing with some rows and another with others (MERGE).
    pub(super) action: Option<Action>,
    pub(super) upserts: bool,
    /// The tables to which it goes; empty: it may be any.
    pub(super) tables: Vec<u32>,
    /// Some of it may happen at the commit only.
    pub(super) later: bool,
    /// What is asked, once it was written out: by how names come back. It is sent twice and more.
    pub(super) question: [OnceLock<String>; 2],
}

/// A change, as far as it matters here.
pub(super) struct Wanted<'c> {
    pub(super) actions: &'c [Action],
    pub(super) upserts: bool,
    /// The columns that are set, where those are all.
    pub(super) sets: Option<&'c [String]>,
    /// The statement calls functions that may themselves change rows.
    pub(super) code: bool,
}

impl Wanted<'_> {
    /// What it does, as the answer's rows have it.
    fn letters(&self) -> Vec<&'static str> {
        let letter = |action: &Action| match action {
            Action::Insert => "i",
            Action::Update => "u",
            Action::Delete => "d",
        };
        self.actions.iter().map(letter).chain(self.upserts.then_some("u")).collect()
    }
}

/// Whether a relation is one to ask about.
pub(super) fn goes_on(row: &TableRow) -> bool {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    text(18) == "t" || text(4) == "t" || text(3) == "v"
}

/// What a row of the answer says.
struct Said<'r> {
    further: bool,
    runs: bool,
    later: bool,
    tables: Vec<u32>,
    /// Numbers of columns to which foreign keys with an action on UPDATE refer; `*`: it may be any.
    keys: Vec<&'r str>,
    may_ask: bool,
    relations_bytes: u64,
    locked: bool,
}

fn said(row: &TableRow) -> Said<'_> {
    let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let list = |at: usize| text(at).split(',').filter(|part| !part.is_empty());
    Said {
        further: text(2) == "t",
        runs: text(3) == "t",
        later: text(4) == "t",
        tables: list(5).filter_map(|oid| oid.parse().ok()).collect(),
        keys: list(6).collect(),
        may_ask: text(7) == "t",
        relations_bytes: text(8).parse().unwrap_or(u64::MAX),
        locked: text(9) == "t",
    }
}

/// How far this change of that table goes. `None`: not beyond its own rows, or what is in the way there is told as the reason
/// why its rows are not; the error: why it cannot be counted.
pub(super) fn of(
    facts: &TableFacts,
    table: &Table,
    change: &Wanted<'_>,
) -> Option<Result<Reach, &'static str>> {
    if !table.goes_on && !change.code {
        return None;
    }
    let does = change.letters();
    let oid = table.oid.to_string();
    let at = |row: &TableRow, n: usize| row.get(n).cloned().flatten().unwrap_or_default();
    let rows = facts.reach.iter().filter(|row| at(row, 0) == oid && does.contains(&at(row, 1).as_str()));
    let rows: Vec<Said<'_>> = rows.map(said).collect();
    if rows.len() < does.len() {
        return Some(Err(UNCOUNTED));
    }
    let sets_key = |keys: &[&str]| {
        let Some(sets) = change.sets else { return true };
        let set = |c: &&super::table::Column| sets.contains(&c.name);
        let numbers: Vec<String> = table.columns.iter().filter(set).map(|c| c.number.to_string()).collect();
        keys.iter().any(|key| *key == "*" || numbers.iter().any(|n| n == key))
    };
    // Between partitions a row is moved: the old one is deleted.
    let update = matches!(change.actions, [Action::Update]) && !table.remade && table.alone;
    let further: Vec<&Said<'_>> =
        rows.iter().filter(|s| s.further && (s.runs || !update || sets_key(&s.keys))).collect();
    if further.is_empty() && !table.beyond && !change.code {
        return None;
    }
    if rows.iter().any(|s| s.locked) {
        return Some(Err(LOCKED));
    }
    let mut tables: Vec<u32> = further.iter().flat_map(|s| s.tables.iter().copied()).collect();
    tables.sort_unstable();
    tables.dedup();
    let any = table.beyond
        || change.code
        || further.iter().any(|s| s.runs)
        || tables.contains(&table.oid)
        || tables.len() > NAMED_MAX;
    if any {
        tables.clear();
    }
    let too_many = any && rows.iter().any(|s| s.relations_bytes > RELATIONS_BYTES_MAX);
    if too_many || rows.iter().any(|s| !s.may_ask) {
        return Some(Err(UNCOUNTED));
    }
    Some(Ok(Reach {
        table: table.oid,
        alone: table.alone,
        action: match change.actions {
            [only] => Some(*only),
            _ => None,
        },
        upserts: change.upserts,
        tables,
        later: further.iter().any(|s| s.later),
        question: [OnceLock::new(), OnceLock::new()],
    }))
}
