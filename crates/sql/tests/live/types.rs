//! `corpus/types.txt`: that an expression is taken for the type that the server gives it, or for none.
//!
//! There is a function of every type's name that does something when it is given that type, and nothing when it is given
//! another. Called with an expression, the one that the server would run must be among those that are followed.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::evasions::{Case, facts, only_reads};
use crate::server::with_fixture;

const TYPES: [&str; 36] = [
    "int2",
    "int4",
    "int8",
    "numeric",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "name",
    "\"char\"",
    "date",
    "timestamp",
    "timestamptz",
    "time",
    "interval",
    "json",
    "jsonb",
    "bool",
    "oid",
    "regclass",
    "bytea",
    "text[]",
    "varchar[]",
    "int4[]",
    "int8[]",
    "numeric[]",
    "good_domain",
    "inet",
    "cidr",
    "xml",
    "citext",
    "mood",
    "customers",
    "good_domain[]",
    "money",
];

const SOURCE: &str = "FROM (SELECT 'a'::text t, 'b'::varchar(10) v, 'c'::bpchar(3) b, 'd'::name n, 1::int2 i2, 2 i4, 3::int8 i8, \
 4.5::numeric nu, 1::float4 f4, 2::float8 f8, '2020-01-01'::date d, now()::timestamp ts, now() tz, '1:00'::time ti, \
 '1 day'::interval iv, '{\"a\":1}'::json j, '{\"a\":1}'::jsonb jb, true bo, 1::oid o, 'customers'::regclass rc, '\\x00'::bytea by, \
 '{a}'::text[] ta, '{a}'::varchar[] va, '{1}'::int[] ia, '{1}'::int8[] i8a, '1.1.1.1'::inet ip, '1.1.1.0/24'::cidr ci, \
 'x'::citext ct, 'ok'::mood mo, int4range(1,3) r4, numrange(1,3) rn, '101'::bit(3) bi, '101'::varbit vb, '1'::money m, \
 'd'::good_domain gd) q";

const WRAPPINGS: [&str; 5] = [
    "SELECT probe(E) SOURCE",
    "SELECT probe(x) FROM (SELECT E AS x SOURCE) s",
    "WITH w AS (SELECT E AS x SOURCE) SELECT probe(w.x) FROM w",
    "SELECT (w.x).probe FROM (SELECT E AS x SOURCE) w",
    "SELECT probe((SELECT E AS x SOURCE LIMIT 1))",
];

/// As the function that is evil for this type is called.
fn function(of: &str) -> String {
    format!("of_{}", of.replace(|c: char| !c.is_ascii_alphanumeric(), "_"))
}

#[test]
fn no_expression_is_taken_for_another_type_than_it_has() {
    let (server, _) = with_fixture("types");
    let mut script = String::new();
    for of in TYPES {
        for given in TYPES {
            let body = if of == given {
                "LANGUAGE plpgsql AS $$ BEGIN PERFORM public.evil(); RETURN 1; END $$"
            } else {
                "LANGUAGE sql IMMUTABLE AS $$ SELECT 0 $$"
            };
            writeln!(script, "CREATE FUNCTION {}({given}) RETURNS int {body};", function(of)).unwrap();
        }
    }
    server.script(&script);
    let catalog = server.catalog();
    let expressions: Vec<&str> =
        include_str!("../corpus/types.txt").lines().filter(|l| !l.starts_with('#')).collect();
    let asked: Vec<String> = expressions
        .iter()
        .map(|e| {
            format!("SELECT DISTINCT pg_typeof(x)::oid::regtype FROM (SELECT {e} AS x {SOURCE}) z LIMIT 1")
        })
        .collect();
    let asked_names: Vec<String> = TYPES.iter().map(|t| format!("SELECT '{t}'::regtype")).collect();
    let names: HashMap<String, &str> = server.each(&asked_names).into_iter().zip(TYPES).collect();
    let mut wrong = Vec::new();
    let mut looked = 0;
    for (expression, said) in expressions.iter().zip(server.each(&asked)) {
        let Some(name) = names.get(&said) else { continue };
        looked += 1;
        for wrapping in WRAPPINGS {
            let sql = wrapping
                .replace("probe", &function(name))
                .replace("SOURCE", SOURCE)
                .replacen("E AS", &format!("{expression} AS"), 1)
                .replacen("(E)", &format!("({expression})"), 1);
            if only_reads(&facts(&catalog, &Case { setup: Vec::new(), expect: "", sql: &sql })) {
                wrong.push(format!(
                    "{name}: {expression}: {}",
                    sql.split(" FROM (SELECT 'a'").next().unwrap()
                ));
            }
        }
    }
    assert!(looked > 250, "{looked}");
    assert!(wrong.is_empty(), "{} of {looked}:\n{}", wrong.len(), wrong.join("\n"));
}
