//! The questions that a snapshot is made of, for PostgreSQL 12 to 18 and any role that may connect.
//!
//! Answers come as text, one result each. The session that asks must have run [`PREPARE`] first: then the server writes
//! every name in expressions and view definitions with its schema, and they mean the same to everybody.

/// Run before the questions, in the same session: names come out with their schemas, and nothing waits for long.
pub const PREPARE: &str = "SET search_path TO pg_catalog; SET statement_timeout TO '30s'; SET lock_timeout TO '1s'; SET quote_all_identifiers TO off";

/// A number that changes when definitions change. Costs some milliseconds on a database of usual size.
pub const VERSION_QUERY: &str = "SELECT md5(concat_ws(',', \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_class WHERE relpersistence <> 't' AND relkind <> 't'), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_attribute WHERE attrelid >= 16384), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_attrdef), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_proc), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_operator), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_cast), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_type WHERE typrelid = 0), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_constraint), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_trigger), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_rewrite), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_policy), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_inherits), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_namespace), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_seclabel), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_description WHERE objoid >= 16384), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_event_trigger), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_statistic_ext), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_extension), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_aggregate), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_db_role_setting), \
 (SELECT string_agg(name || '=' || reset_val, ',' ORDER BY name) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout')), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_amproc), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_amop), \
 (SELECT count(*) || ':' || coalesce(sum(xmin::text::numeric), 0) FROM pg_catalog.pg_opclass), \
 (SELECT oid || ':' || datname FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
 (SELECT md5(string_agg(concat_ws(',', oid, rolname, rolsuper, rolbypassrls), ';' ORDER BY oid)) FROM pg_catalog.pg_roles)))";

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What its rows are, as [`super::Builder::add`] wants to know.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
    /// The first major version it is for.
    pub since: u32,
    /// The last major version it is for.
    pub until: u32,
}

const fn all(name: &'static str, sql: &'static str) -> Query {
    Query { name, sql, since: 0, until: u32::MAX }
}

/// The questions for a server of this number (`server_version_num`, such as 150018), in the order to ask.
pub fn queries(server_version_num: u32) -> impl Iterator<Item = &'static Query> {
    let major = server_version_num / 10_000;
    QUERIES.iter().filter(move |q| (q.since..=q.until).contains(&major))
}

/// All of them. Relations of other sessions' temporary schemas are left out.
pub const QUERIES: &[Query] = &[
    all("server", "SELECT pg_catalog.current_setting('server_version_num')"),
    // Of any role: another session may have another one. What this session has set itself does not count.
    all(
        "limits_of_time",
        "SELECT (SELECT count(*) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'transaction_timeout') \
         AND reset_val <> '0') + (SELECT count(*) FROM pg_catalog.pg_db_role_setting WHERE setconfig::text ~ '(statement|transaction)_timeout')",
    ),
    all("schemas", "SELECT oid, nspname, nspowner FROM pg_catalog.pg_namespace"),
    all("roles", "SELECT oid, rolname, rolsuper, rolbypassrls FROM pg_catalog.pg_roles"),
    all(
        "types",
        "SELECT oid, typname, typnamespace, typtype, typelem, typarray, typbasetype, typrelid, typcategory, \
         CASE WHEN typtype = 'd' THEN typdefault END, CASE WHEN oid >= 16384 THEN typinput::oid END, \
         CASE WHEN oid >= 16384 THEN typoutput::oid END, typispreferred, \
         CASE WHEN oid >= 16384 THEN typsend::oid END, CASE WHEN oid >= 16384 THEN typreceive::oid END \
         FROM pg_catalog.pg_type WHERE typnamespace NOT IN (SELECT oid FROM pg_catalog.pg_namespace \
         WHERE nspname LIKE 'pg\\_temp\\_%' OR nspname LIKE 'pg\\_toast\\_temp\\_%')",
    ),
    all(
        "domain_checks",
        "SELECT contypid, pg_catalog.pg_get_expr(conbin, 0) FROM pg_catalog.pg_constraint WHERE contypid <> 0 AND conbin IS NOT NULL",
    ),
    Query {
        name: "ranges",
        since: 14,
        until: u32::MAX,
        sql: "SELECT r.rngtypid, r.rngsubtype, f FROM pg_catalog.pg_range r LEFT JOIN LATERAL (SELECT r.rngcanonical::oid AS f \
         UNION SELECT r.rngsubdiff::oid UNION SELECT p.amproc::oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_amproc p ON p.amprocfamily = o.opcfamily \
         WHERE o.oid = r.rngsubopc) x ON f >= 16384 WHERE r.rngtypid >= 16384 \
         UNION ALL SELECT rngmultitypid, rngtypid, NULL FROM pg_catalog.pg_range WHERE rngtypid >= 16384",
    },
    Query {
        name: "ranges",
        since: 0,
        until: 13,
        sql: "SELECT r.rngtypid, r.rngsubtype, f FROM pg_catalog.pg_range r LEFT JOIN LATERAL (SELECT r.rngcanonical::oid AS f \
         UNION SELECT r.rngsubdiff::oid UNION SELECT p.amproc::oid FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_amproc p ON p.amprocfamily = o.opcfamily \
         WHERE o.oid = r.rngsubopc) x ON f >= 16384 WHERE r.rngtypid >= 16384",
    },
    all(
        "relations",
        "SELECT c.oid, c.relname, c.relnamespace, c.relkind, c.relowner, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, \
         c.reltype, c.relispartition, coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions), false), c.reltoastrelid, c.reloftype \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 't') \
         AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%'",
    ),
    all(
        "columns",
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attnotnull, a.attgenerated, a.attidentity, \
         CASE WHEN a.attrelid >= 16384 THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c', 't') \
         AND n.nspname NOT LIKE 'pg\\_temp\\_%' AND n.nspname NOT LIKE 'pg\\_toast\\_temp\\_%' ORDER BY 1, 2",
    ),
    all(
        "views",
        "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c WHERE c.relkind IN ('v', 'm') AND c.oid >= 16384",
    ),
    all(
        "rules",
        "SELECT ev_class, ev_type, is_instead, pg_catalog.pg_get_ruledef(oid), ev_enabled FROM pg_catalog.pg_rewrite \
         WHERE rulename <> '_RETURN' AND ev_class >= 16384",
    ),
    all(
        "triggers",
        "SELECT tgrelid, tgname, tgfoid, tgtype, tgenabled FROM pg_catalog.pg_trigger WHERE NOT tgisinternal",
    ),
    all("event_triggers", "SELECT evtname, evtevent, evtfoid, evtenabled FROM pg_catalog.pg_event_trigger"),
    all("inherits", "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits"),
    all(
        "policies",
        "SELECT polrelid, polcmd, pg_catalog.pg_get_expr(polqual, polrelid), pg_catalog.pg_get_expr(polwithcheck, polrelid) FROM pg_catalog.pg_policy",
    ),
    all(
        "constraints",
        "SELECT conrelid, contype, confrelid, confdeltype, confupdtype, \
         CASE WHEN conrelid >= 16384 THEN pg_catalog.pg_get_expr(conbin, conrelid) END \
         FROM pg_catalog.pg_constraint WHERE conrelid <> 0 AND contype IN ('c', 'f')",
    ),
    all(
        "indexes",
        "SELECT indrelid, indisprimary, indisunique, indkey, pg_catalog.pg_get_expr(indexprs, indrelid), pg_catalog.pg_get_expr(indpred, indrelid) \
         FROM pg_catalog.pg_index WHERE indrelid >= 16384",
    ),
    Query {
        name: "planned",
        since: 14,
        until: u32::MAX,
        sql: "SELECT partrelid, pg_catalog.pg_get_expr(partexprs, partrelid) FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL \
         UNION ALL SELECT stxrelid, pg_catalog.pg_get_expr(stxexprs, stxrelid) FROM pg_catalog.pg_statistic_ext WHERE stxexprs IS NOT NULL",
    },
    Query {
        name: "planned",
        since: 0,
        until: 13,
        sql: "SELECT partrelid, pg_catalog.pg_get_expr(partexprs, partrelid) FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL",
    },
    Query {
        name: "functions",
        since: 14,
        until: u32::MAX,
        sql: "SELECT p.oid, p.proname, p.pronamespace, p.proowner, l.lanname, p.prokind, p.provolatile, p.prosecdef, p.proretset, p.prorettype, \
         p.proargtypes, p.pronargdefaults, p.provariadic, p.proallargtypes, p.proargmodes, p.proargnames, \
         CASE WHEN p.oid >= 16384 OR (p.oid < 16384 AND l.lanname NOT IN ('internal')) THEN coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) \
         WHEN p.prosrc <> p.proname THEN p.prosrc END, \
         p.proconfig, CASE WHEN p.oid >= 16384 THEN pg_catalog.pg_get_expr(p.proargdefaults, 0) END \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang",
    },
    Query {
        name: "functions",
        since: 0,
        until: 13,
        sql: "SELECT p.oid, p.proname, p.pronamespace, p.proowner, l.lanname, p.prokind, p.provolatile, p.prosecdef, p.proretset, p.prorettype, \
         p.proargtypes, p.pronargdefaults, p.provariadic, p.proallargtypes, p.proargmodes, p.proargnames, \
         CASE WHEN p.oid >= 16384 OR l.lanname NOT IN ('internal') OR p.prosrc <> p.proname THEN p.prosrc END, \
         p.proconfig, CASE WHEN p.oid >= 16384 THEN pg_catalog.pg_get_expr(p.proargdefaults, 0) END \
         FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang",
    },
    all(
        "aggregates",
        "SELECT aggfnoid::oid, f::oid FROM pg_catalog.pg_aggregate, \
         unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn, aggminvtransfn, aggmfinalfn]) f \
         WHERE aggfnoid::oid >= 16384 AND f::oid <> 0",
    ),
    all(
        "aggregate_states",
        // Of a type of PostgreSQL's own making a value runs nothing.
        "SELECT aggfnoid::oid, t FROM pg_catalog.pg_aggregate, unnest(ARRAY[aggtranstype, aggmtranstype]) t \
         WHERE aggfnoid::oid >= 16384 AND t >= 16384",
    ),
    all(
        "operators",
        "SELECT oid, oprname, oprnamespace, oprleft, oprright, oprresult, oprcode::oid, \
         CASE WHEN oid >= 16384 THEN oprrest::oid END, CASE WHEN oid >= 16384 THEN oprjoin::oid END, \
         (SELECT n.oprcode::oid FROM pg_catalog.pg_operator n WHERE o.oid >= 16384 AND n.oid = o.oprnegate), \
         (SELECT n.oprcode::oid FROM pg_catalog.pg_operator n WHERE o.oid >= 16384 AND n.oid = o.oprcom) FROM pg_catalog.pg_operator o",
    ),
    all("casts", "SELECT castsource, casttarget, castfunc, castcontext, castmethod FROM pg_catalog.pg_cast"),
    all(
        "class_functions",
        // Of a type of PostgreSQL's own only what sorts, groups and compares it where nobody names a class.
        "WITH family AS (SELECT o.opcfamily, bool_or(o.opcdefault AND m.amname IN ('btree', 'hash')) AS own FROM pg_catalog.pg_opclass o \
         JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod GROUP BY 1) \
         SELECT amproclefttype, amproc::oid FROM pg_catalog.pg_amproc JOIN family ON opcfamily = amprocfamily \
         WHERE amproc::oid >= 16384 AND (own OR amproclefttype >= 16384) \
         UNION SELECT amoplefttype, oprcode::oid FROM pg_catalog.pg_amop JOIN family ON opcfamily = amopfamily \
         JOIN pg_catalog.pg_operator p ON p.oid = amopopr WHERE oprcode::oid >= 16384 AND (own OR amoplefttype >= 16384)",
    ),
    all(
        "operator_functions",
        // Whichever class an operator is in, default or not: who sorts, joins or hashes by it runs that one's functions. A negator or
        // commutator may be put in its place. Of the classes of an operator of PostgreSQL's own its own are taken first.
        "WITH RECURSIVE near(op, other) AS (SELECT oid, oid FROM pg_catalog.pg_operator \
         UNION SELECT n.op, x FROM near n JOIN pg_catalog.pg_operator p ON p.oid = n.other, LATERAL (VALUES (p.oprnegate), (p.oprcom)) v(x) WHERE x <> 0), \
         ways AS (SELECT a.amopopr AS op, a.amopmethod AS method, a.amopfamily AS family FROM pg_catalog.pg_amop a \
         JOIN pg_catalog.pg_am m ON m.oid = a.amopmethod WHERE m.amname IN ('btree', 'hash')), \
         taken AS (SELECT op, family FROM ways w WHERE op >= 16384 OR family < 16384 OR NOT EXISTS \
         (SELECT FROM ways o WHERE o.op = w.op AND o.method = w.method AND o.family < 16384)), \
         run(family, f) AS (SELECT amprocfamily, amproc::oid FROM pg_catalog.pg_amproc WHERE amproc::oid >= 16384 \
         UNION SELECT amopfamily, p.oprcode::oid FROM pg_catalog.pg_amop JOIN pg_catalog.pg_operator p ON p.oid = amopopr WHERE p.oprcode::oid >= 16384) \
         SELECT n.op, r.f FROM run r JOIN taken t ON t.family = r.family JOIN near n ON n.other = t.op \
         UNION SELECT n.op, p.oprcode::oid FROM near n JOIN pg_catalog.pg_operator p ON p.oid = n.other WHERE n.other <> n.op AND p.oprcode::oid >= 16384",
    ),
    all(
        "support_functions",
        "WITH keys AS (SELECT indrelid AS relation, pg_catalog.unnest(indclass) AS class FROM pg_catalog.pg_index WHERE indrelid >= 16384 \
         UNION ALL SELECT partrelid, pg_catalog.unnest(partclass) FROM pg_catalog.pg_partitioned_table) \
         SELECT DISTINCT relation, f FROM keys JOIN pg_catalog.pg_opclass o ON o.oid = class JOIN LATERAL (\
         SELECT amproc::oid AS f FROM pg_catalog.pg_amproc WHERE amprocfamily = o.opcfamily \
         UNION SELECT p.oprcode::oid FROM pg_catalog.pg_amop JOIN pg_catalog.pg_operator p ON p.oid = amopopr WHERE amopfamily = o.opcfamily) x ON f >= 16384",
    ),
    all(
        "members",
        "SELECT d.classid::pg_catalog.regclass::text, d.objid, e.extname FROM pg_catalog.pg_depend d \
         JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
         WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass",
    ),
    all(
        "labels",
        "SELECT objoid, objsubid, provider, label FROM pg_catalog.pg_seclabel \
         WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass",
    ),
    all(
        "comments",
        "SELECT objoid, objsubid, description FROM pg_catalog.pg_description \
         WHERE classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objoid >= 16384 AND description LIKE '%@%'",
    ),
];
