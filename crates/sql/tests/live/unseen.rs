//! `corpus/unseen.txt`: code that runs by an overload, a class of operators, a cast or a path that a statement does not name.

use std::sync::Arc;

use firsthand_sql::catalog::Catalog;

use crate::evasions::{Case, cases, facts, only_reads};
use crate::server::Server;

const BASE: &str = "DROP SCHEMA IF EXISTS evil, ok, postgres, zz CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE SCHEMA evil; CREATE SCHEMA ok; CREATE SCHEMA postgres; CREATE SCHEMA zz; CREATE SEQUENCE evil.ran;
CREATE FUNCTION evil.w(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('evil.ran'); RETURN 1; END $$;
CREATE TABLE public.plain (id int PRIMARY KEY, v int, note text); INSERT INTO public.plain SELECT g, g, 'n' || g FROM generate_series(1, 20) g;
CREATE TABLE public.customers (id int PRIMARY KEY, name text, secret text);
INSERT INTO public.customers SELECT g, 'c' || g, 's' || g FROM generate_series(1, 20) g;\n";

fn ran(server: &Server) -> String {
    server.session(&["SELECT last_value || ' ' || is_called FROM evil.ran"])
}

/// `runs`: cannot be told, and the code really runs. `read`: only reads, and none of it runs. `any`: whatever is told, it is no
/// read if the code runs.
fn wrong(server: &Server, catalog: &Arc<Catalog>, before: &mut String, case: &Case<'_>) -> Option<String> {
    let facts = facts(catalog, case);
    let reads = only_reads(&facts);
    let mut all = case.setup.clone();
    all.push(case.sql);
    let said = server.session(&all);
    let after = ran(server);
    let runs = after != *before;
    *before = after;
    let right = match case.expect {
        "runs" => !reads && runs,
        "read" => reads && !runs && !said.contains("ERROR"),
        _ => !(reads && runs),
    };
    let why: Vec<_> = facts.iter().map(|f| f.opaque.clone()).collect();
    let setup = &case.setup;
    (!right).then(|| {
        format!("{} {} {setup:?}\n   reads {reads}, runs {runs}: {why:?} {said}", case.expect, case.sql)
    })
}

#[test]
fn what_a_statement_runs_without_naming_it_is_told() {
    let server = Server::start("unseen");
    let mut found = Vec::new();
    for block in include_str!("../corpus/unseen.txt").split("\n== ").skip(1) {
        let (seed, statements) = block.split_once("\n--\n").unwrap();
        let (_, seed) = seed.split_once('\n').unwrap();
        server.script(&format!("{BASE}{seed}; ANALYZE;"));
        let catalog = server.catalog();
        let mut before = ran(&server);
        found.extend(cases(statements).iter().filter_map(|case| wrong(&server, &catalog, &mut before, case)));
    }
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}
