//! What is asked about the definitions before a statement runs: whether anything that it sets off could leave something
//! behind that a rollback does not take back, or run code that is not known.

use super::super::catalog::Row;

/// The question, in a session where names are looked up in `pg_catalog`. `$1`: the relations that are written; `$2`: what may be
/// done to them (i, u, d); `$3`: names of PostgreSQL's own functions that it calls; `$4`: other functions behind it; `$5`: an
/// UPDATE may set a default.
///
/// A change is followed down to partitions and children and along foreign keys, as `changed/reach.rs` does (its numbers of
/// functions, too). What defaults, checks, indexes, policies and domains call is read from their trees as they are stored.
/// Functions that give something new each time and do nothing else are let through.
pub(super) const QUESTION: &str = r"
WITH RECURSIVE reach(rel, does, own, defaults) AS (
    SELECT r, d, true, d = 'i' OR $5 FROM unnest($1::oid[]) r CROSS JOIN unnest($2::text[]) d
    UNION SELECT s.rel, s.does, s.own, s.defaults FROM reach JOIN LATERAL (
        SELECT i.inhrelid AS rel, v.does, reach.own, false AS defaults FROM pg_inherits i
            CROSS JOIN unnest(CASE reach.does WHEN 'u' THEN '{i,u,d}'::text[] ELSE ARRAY[reach.does] END) v(does)
            WHERE i.inhparent = reach.rel
        UNION ALL SELECT g.tgconstrrelid, CASE g.tgfoid WHEN 1646 THEN 'd' ELSE 'u' END, false, g.tgfoid IN (1652, 1653)
            FROM pg_trigger g WHERE g.tgrelid = reach.rel AND g.tgenabled <> 'D'
            AND g.tgfoid = ANY (CASE reach.does WHEN 'd' THEN '{1646,1650,1652}' WHEN 'u' THEN '{1647,1651,1653}'
                ELSE '{}' END::oid[])) s ON true),
rel AS MATERIALIZED (SELECT DISTINCT c.oid, n.nspname || '.' || c.relname AS name, c.relkind, c.relpersistence, c.relrowsecurity, c.relam,
    reach.does, reach.own, reach.defaults
    FROM reach JOIN pg_class c ON c.oid = reach.rel JOIN pg_namespace n ON n.oid = c.relnamespace),
type(name, oid) AS (
    SELECT DISTINCT rel.name, a.atttypid FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid
        WHERE rel.does <> 'd' AND a.attnum > 0 AND NOT a.attisdropped
    UNION SELECT type.name, v.oid FROM type JOIN pg_type t ON t.oid = type.oid
        CROSS JOIN LATERAL (SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL
            SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typrelid >= 16384
                AND a.attnum > 0 AND NOT a.attisdropped) v(oid) WHERE v.oid <> 0),
tree AS (
    SELECT rel.name, d.adbin::text AS it FROM rel JOIN pg_attrdef d ON d.adrelid = rel.oid
        JOIN pg_attribute a ON a.attrelid = rel.oid AND a.attnum = d.adnum
        WHERE rel.defaults OR (a.attgenerated <> '' AND rel.does <> 'd')
    UNION SELECT rel.name, k.conbin::text FROM rel JOIN pg_constraint k ON k.conrelid = rel.oid
        WHERE k.contype = 'c' AND rel.does <> 'd'
    UNION SELECT type.name, k.conbin::text FROM type JOIN pg_constraint k ON k.contypid = type.oid
    UNION SELECT rel.name, t.typdefaultbin::text FROM type JOIN rel ON rel.name = type.name JOIN pg_type t ON t.oid = type.oid
        WHERE rel.defaults
    UNION SELECT rel.name, concat(i.indexprs::text, i.indpred::text) FROM rel JOIN pg_index i ON i.indrelid = rel.oid
        WHERE rel.does <> 'd'
    UNION SELECT rel.name, concat(p.polqual::text, p.polwithcheck::text) FROM rel JOIN pg_policy p ON p.polrelid = rel.oid
        WHERE rel.relrowsecurity
    UNION SELECT rel.name, p.partexprs::text FROM rel JOIN pg_partitioned_table p ON p.partrelid = rel.oid),
called AS (
    SELECT DISTINCT tree.name, CASE WHEN m[1] = 'opno' THEN (SELECT o.oprcode::oid FROM pg_operator o WHERE o.oid = m[2]::oid)
        ELSE m[2]::oid END AS oid
        FROM tree CROSS JOIN LATERAL regexp_matches(tree.it, ':(funcid|opno|aggfnoid|winfnoid|elemfuncid) (\d+)', 'g') m),
apart(name) AS (VALUES ('gen_random_uuid'), ('uuidv4'), ('uuidv7'), ('clock_timestamp'), ('timeofday'))
SELECT 'reached', rel.name, rel.oid::text, CASE WHEN bool_or(rel.own) THEN 'own' ELSE '' END FROM rel GROUP BY rel.name, rel.oid
UNION ALL SELECT 'foreign', rel.name, '', '' FROM rel WHERE rel.relkind = 'f'
UNION ALL SELECT 'method', rel.name, '', '' FROM rel WHERE rel.relam >= 16384
UNION ALL SELECT 'temporary', rel.name, '', '' FROM rel WHERE rel.relpersistence = 't'
UNION ALL SELECT 'rule', rel.name, w.rulename, '' FROM rel JOIN pg_rewrite w ON w.ev_class = rel.oid
    WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D'
    AND w.ev_type = CASE rel.does WHEN 'u' THEN '2' WHEN 'i' THEN '3' ELSE '4' END
UNION ALL SELECT 'trigger', rel.name, g.tgname, '' FROM rel JOIN pg_trigger g ON g.tgrelid = rel.oid
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgfoid >= 16384
    AND (g.tgtype::int4 & CASE rel.does WHEN 'i' THEN 4 WHEN 'd' THEN 8 ELSE 16 END) <> 0
UNION ALL SELECT 'sequence', rel.name, a.attname, '' FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid
    WHERE rel.defaults AND a.attidentity <> '' AND NOT a.attisdropped
UNION ALL SELECT CASE WHEN p.oid >= 16384 THEN 'function' WHEN p.proname IN ('nextval', 'setval') THEN 'sequence' ELSE 'volatile' END,
    called.name, p.proname, '' FROM called JOIN pg_proc p ON p.oid = called.oid
    WHERE p.oid >= 16384 OR (p.provolatile = 'v' AND p.proname NOT IN (SELECT apart.name FROM apart))
UNION ALL SELECT 'function', rel.name, o.opcname, '' FROM rel JOIN pg_index i ON i.indrelid = rel.oid
    JOIN pg_opclass o ON o.oid = ANY (i.indclass) WHERE o.oid >= 16384 AND rel.does <> 'd'
UNION ALL SELECT CASE WHEN p.proname IN ('nextval', 'setval') THEN 'sequence' ELSE 'volatile' END, '', p.proname, ''
    FROM pg_proc p WHERE p.pronamespace = 11 AND p.proname = ANY ($3::text[]) AND p.provolatile = 'v'
    AND p.proname NOT IN (SELECT apart.name FROM apart)
UNION ALL SELECT 'called', '', n.nspname || '.' || p.proname, '' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname || '.' || p.proname = ANY ($4::text[]) AND p.prorettype <> 2279";

/// Types of its parameters: oid[], text[], text[], text[], bool.
pub(super) const QUESTION_TYPES: [u32; 5] = [1028, 1009, 1009, 1009, 16];

/// A relation whose rows may change.
pub(super) struct Reached {
    pub(super) oid: String,
    pub(super) own: bool,
}

/// What was answered.
pub(super) struct Told {
    pub(super) reached: Vec<Reached>,
    /// Why it must not run.
    pub(super) why: Option<String>,
    /// Why not even the planner may be asked.
    pub(super) unplanned: Option<&'static str>,
}

/// Reads the answer.
pub(super) fn told(rows: &[Row]) -> Told {
    let mut told = Told { reached: Vec::new(), why: None, unplanned: None };
    for row in rows {
        let text = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        let (table, what) = (text(1), text(2));
        if text(0) == "rule" {
            // What they put there would be planned, too.
            told.unplanned = Some("a rule would put other statements beside or in place of it");
        }
        let why = match text(0) {
            "reached" => {
                told.reached.push(Reached { oid: what.to_owned(), own: text(3) == "own" });
                continue;
            }
            "called" => {
                told.unplanned = Some("it calls functions that are not PostgreSQL's own");
                continue;
            }
            "foreign" => format!("rows of {table} are another server's"),
            "method" => format!("{table} is not stored as PostgreSQL stores tables"),
            "temporary" => format!("{table} is a session's own"),
            "rule" => {
                format!("the rule {what} of {table} would put other statements beside or in place of it")
            }
            "trigger" => {
                format!("the trigger {what} of {table} would run code, and what it does is not known")
            }
            "sequence" if table.is_empty() => {
                "it would advance a sequence, which a rollback does not take back".to_owned()
            }
            "sequence" => {
                format!("a default of {table} would advance a sequence, which a rollback does not take back")
            }
            "function" => format!("what {table} defines calls {what}, which is not PostgreSQL's own"),
            "volatile" if table.is_empty() => {
                format!("it calls {what}, which may do something, or give something else when it runs")
            }
            "volatile" => format!("what {table} defines calls {what}, which may do something"),
            _ => "the definitions were not understood".to_owned(),
        };
        told.why.get_or_insert(why);
    }
    told
}

/// The counts of these relations' rows in this transaction, as this connection alone is told them.
pub(super) fn counts(reached: &[Reached]) -> String {
    let oids: Vec<&str> = reached.iter().map(|one| one.oid.as_str()).collect();
    format!(
        "SELECT c.oid, n.nspname OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) c.relname, \
         pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid), pg_catalog.pg_stat_get_xact_tuples_updated(c.oid), \
         pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid), pg_catalog.current_setting('track_counts') \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace \
         WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{{{}}}'::pg_catalog.oid[])",
        oids.join(",")
    )
}

/// A list as the server reads an array of texts.
pub(super) fn array<S: AsRef<str>>(texts: &[S]) -> String {
    let mut out = String::from("{");
    for (at, text) in texts.iter().enumerate() {
        out.push_str(if at > 0 { ",\"" } else { "\"" });
        for c in text.as_ref().chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: [&str; 4]) -> Row {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn an_answer_that_is_not_understood_lets_nothing_run() {
        let fine = told(&[row(["reached", "s.t", "7", "own"])]);
        assert!(fine.why.is_none() && fine.unplanned.is_none() && fine.reached.len() == 1);
        assert!(told(&[row(["something", "s.t", "", ""])]).why.is_some());
        assert!(told(&[vec![None; 4]]).why.is_some());
        assert!(told(&[Vec::new()]).why.is_some());
    }

    #[test]
    fn texts_are_written_as_an_array() {
        assert_eq!(array(&["a", r#"B "c" \d,{}"#]), r#"{"a","B \"c\" \\d,{}"}"#);
        assert_eq!(array::<&str>(&[]), "{}");
    }
}
