//! Masked values where nobody asks for them by name: in generated columns, in the text of a plan, in a column of a row that is
//! compared or assigned, in what aggregates make of code that cannot be told, and in what definitions store.

use std::io::Write as _;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, extended};
use tempfile::TempDir;

const SEED: &str = "create schema ok;
create table customers (id int primary key, name text, secret text,
  up text generated always as (upper(secret)) stored, twice int generated always as (id * 2) stored);
insert into customers values (1, 'Ada', 'kanarie1'), (2, 'Grace', 'kanarie2');
create table other () inherits (customers); insert into other values (5, 'Eva', 'kanarie5');
create table parent (id int, secret text, up text);
create table child (id int, secret text, up text generated always as (upper(secret)) stored);
insert into child values (1, 'kanarie3'); alter table child inherit parent;
create view v_up as select id, up from customers;
create table plain (v int, note text); insert into plain values (1, 'kept');
create function ok.fixed(int) returns text language sql immutable as 'select secret from customers where id = $1';
create function ok.inside() returns setof int language sql stable as 'select v from plain where note = ok.fixed(1)';
create function ok.fixedpl(int) returns text language plpgsql immutable as $$ begin return (select secret from customers where id = $1); end $$;
create operator ok.<#> (function = ok.fixed, rightarg = int);
create function ok.nextpl(text, int) returns text language plpgsql as $$ begin return (select secret from customers where id = $2); end $$;
create aggregate ok.leakpl(int) (sfunc = ok.nextpl, stype = text);
create table dft (id int, s text default ok.fixed(1));
create domain ok.sd as text default ok.fixed(1);
create table dftd (id int, s ok.sd);
grant usage, create on schema ok to app; grant all on all tables in schema public to app; grant create on schema public to app;
alter table plain owner to app;";

const RULES: &str = "[[label]]\nlabel = \"secret\"\ncolumns = [\"customers.secret\", \"child.secret\", \"parent.secret\"]\n\
    [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
    effects = [\"read\", \"write\", \"define\", \"execute\", \"unknown\", \"session\", \"transaction\"]\n\
    [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";

fn lab(more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let plan = Plan { top, seed: SEED.to_owned(), more: more.to_owned(), ..Plan::default() };
    (Lab::start(plan).unwrap(), folder)
}

fn lines(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect()
}

fn said(raw: &mut Raw, sql: &str) -> String {
    lines(&raw.query(sql).unwrap())
}

/// Each would show a secret to whom it is masked.
const SHOWING: [&str; 24] = [
    "select up from customers",
    "select * from customers",
    "table customers",
    "select lower(up) as it from customers",
    "copy (select up from customers) to stdout",
    "select up from v_up",
    "select up from other union all select up from customers",
    "select up from parent",
    "select c from customers c",
    "select row_to_json(c) from customers c",
    "update customers set name = 'A' where id = 1 returning *",
    "explain verbose select ok.fixed(1)",
    "explain verbose select 'x' || ok.fixed(1) from plain",
    "explain select * from plain where note = ok.fixed(1)",
    "explain analyze select * from plain where note = ok.fixed(1)",
    "explain (format json, verbose) select operator(ok.<#>) 1 from plain",
    "explain select * from ok.inside()",
    "explain verbose select ok.fixedpl(1)",
    "select ok.leakpl(v) as it from plain",
    "select ok.leakpl(v) over () as it from plain",
    "select upper(ok.leakpl(v)) as it from plain",
    "select (1, 'kanarie1') = (select id, secret from customers where id = 1) as it",
    "select row(1, 'k') < (select id, secret from customers where id = 1) as it",
    "select (select q.b from (select (select row(1, secret) from customers where id = 1)::text as b) q) as it",
];

#[test]
fn what_is_made_of_masked_values_is_masked_wherever_it_stands() {
    let (lab, _folder) = lab("changed_rows = \"values\"");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut wrong = Vec::new();
    for sql in SHOWING {
        let mut told = vec![said(&mut raw, sql)];
        if !sql.starts_with("copy") {
            for binary in [false, true] {
                raw.stream.write_all(&extended(sql, binary, true)).unwrap();
                told.push(lines(&raw.until(b'Z').unwrap()));
            }
        }
        for told in told {
            // Whether two rows are the same is no text: it is told as NULL, or not at all.
            let compares = sql.starts_with("select (1") || sql.starts_with("select row(1");
            let told = if compares && (told.contains("\"t\"") || told.contains("\"f\"")) {
                "kanarie".to_owned()
            } else {
                told
            };
            if told.to_lowercase().contains("kanarie") {
                wrong.push(format!("{sql}: {told}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is made of other columns stays as it is.
    for (sql, wanted) in [
        ("select twice from customers where id = 2", "4"),
        ("select id, name from customers where id = 2", "Grace"),
        ("explain select v from plain", "Scan"),
        ("select (1, 'kept') = (select v, note from plain) as it", "t"),
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains(wanted) && !told.contains("[secret]"), "{sql}: {told}");
    }
    let record = lab.gateway.record().unwrap();
    let told = |kind: &str| {
        let text = |e: &firsthand_tests::record::Entry| e.0.to_string().to_lowercase();
        record.of_kind(kind).map(text).filter(|t| t.contains("kanarie")).collect::<Vec<_>>()
    };
    for kind in ["command.completed", "command.rows", "command.changed"] {
        assert!(told(kind).is_empty(), "{kind}: {:#?}", told(kind));
    }
}

/// Nor is it stored where nothing masks it.
#[test]
fn what_is_made_of_masked_values_is_not_copied() {
    let (lab, _folder) = lab("");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "update plain set (v, note) = (select 1, secret from customers where id = 1) where v = 1",
        "update plain set (v, note) = (select 1, secret from customers c where c.id = plain.v)",
        "with changed as (update plain set (v, note) = (select 1, ok.fixed(1)) returning 1) select * from changed",
        "insert into plain select 2, up from customers",
        "create table ct as select up from customers",
        "create materialized view ct as select up from customers",
        "alter table plain add column k text default ok.fixed(1)",
        "alter table plain alter column note type text using ok.fixed(1)",
        "alter table plain add column k text generated always as (ok.fixed(1)) stored",
        "create table ct (id int, s text default ok.fixed(1))",
        "insert into dft (id) values (1)",
        "insert into dft default values",
        "insert into dftd (id) values (1)",
        "update dft set s = default",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
    }
    // What is not made of it is, and a table's own columns stay in it.
    for sql in [
        "update plain set (v, note) = (select id, name from customers where id = 1)",
        "insert into customers values (9, 'Edsger', 'x')",
        "update customers set secret = 'y' where id = 9",
        "alter table plain add column k text default lower('X')",
    ] {
        let told = said(&mut raw, sql);
        assert!(!told.contains("Firsthand refused"), "{sql}: {told}");
    }
    for table in ["plain", "dft", "dftd"] {
        let count = format!("select count(*) from {table} t where lower(t::text) like '%kanarie%'");
        assert_eq!(lab.far.sql("shop", &count).unwrap(), "0", "{table}");
    }
}
