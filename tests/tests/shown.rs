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
    lab_of(SEED, RULES, more)
}

fn lab_of(seed: &str, rules: &str, more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let plan = Plan { top, seed: seed.to_owned(), more: more.to_owned(), ..Plan::default() };
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

/// Functions with several columns, rows put together, documents, aliases and rules: each can hand a value on by another name.
const PARTS: &str = "create type pair as (a text, b int); create type two as (a text, b text);
create table people (id int primary key, secret text, note text, k int, pl two[]);
insert into people values (1, 'kanarie1', 'clear1', 11, array[row('kanarie1', 'kanarie1')::two]), (2, 'kanarie2', 'clear2', 12, null);
create table plain (id int primary key, v int, note text, kind text);
insert into plain values (1, 10, 'clear1', 'x'), (2, 20, 'clear2', 'y');
create table pt (id int, note text, secret text); create table ch (secret text, note text, id int);
insert into ch values ('kanarie1', 'clear1', 1); alter table ch inherit pt;
create materialized view mv as select id, secret ms from people;
create function echo2(x text, out a int, out b text) returns setof record language sql stable as 'select 1, x';
create function echot(x text) returns table (a int, b text) language sql stable as 'select 1, x';
create function echoin(inout a text, out b int) language sql stable as 'select a, 1';
create function echov(out a int, out b text, variadic x text[]) language sql stable as 'select 1, x[1]';
create function echoa(x anyelement, out a int, out b anyelement) language sql stable as 'select 1, x';
create function echob(x text, out a int, out b text) language sql stable begin atomic; select 1, x; end;
create function twice(x text, out a int, out b text) returns setof record language sql stable as 'select e.a, e.b from echo2(x) e';
create function selid(people, out a int, out b text) language sql stable as 'select ($1).id, ($1).secret';
create function mkp(x text) returns pair language sql immutable as 'select x, 1';
create function mkps(x text) returns setof pair language sql immutable as 'select x, 1';
create function loose(x text, out a int, out b text) language sql stable as 'select 1, x';
create function loose(x varchar, y int default 1, out a int, out b text) language sql stable as 'select y, x';
create function tellp() returns setof people language sql stable as 'select * from people';
create function asis(jsonb) returns text language sql immutable as $$ select $1 ->> 'secret' $$;
create function note(jsonb) returns text language sql immutable as $$ select $1 ->> 'secret' $$;
create view vecho2 as select e.* from people p, echo2(p.secret) e;
create view rv as select id, note from plain;
create rule ri as on insert to rv do instead insert into plain (id, note) values (new.id, new.note)
  returning id, (select secret from people where id = 1);
create view rvv as select * from rv;
create view tv as select id, note from plain;
create function tf() returns trigger language plpgsql as $$ begin new.note := (select secret from people where id = 1); return new; end $$;
create trigger tr instead of insert on tv for each row execute function tf();
grant all on all tables in schema public to app;";

const PARTS_RULES: &str = "[[label]]\nlabel = \"secret\"\n\
    columns = [\"people.secret\", \"people.pl\", \"pt.secret\", \"ch.secret\"]\n\
    [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
    effects = [\"read\", \"write\", \"define\", \"execute\", \"unknown\", \"session\", \"transaction\"]\n\
    [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";

const SHOWING_PARTS: [&str; 75] = [
    "select b from people, echo2(secret)",
    "select e.b from people, echo2(people.secret) e",
    "select * from people p, echo2(p.secret)",
    "select y from people, echo2(secret) as e(x, y)",
    "select e from people, echo2(secret) e",
    "select to_jsonb(e) ->> 'b' from people, echo2(secret) e",
    "select * from echo2((select secret from people limit 1))",
    "select b from people left join lateral echo2(secret) on true",
    "select b from people, echot(secret)",
    "select a from people, echoin(secret)",
    "select b from people, echov('x', secret)",
    "select b from people, echov(variadic array[secret])",
    "select b from people, echo2(x => secret)",
    "select b from people, echoa(secret)",
    "select b from people, echob(secret)",
    "select b from people, twice(secret)",
    "select b from people, selid(people)",
    "select b from people, loose(secret)",
    "select x from people, rows from (echo2(secret), generate_series(1, 1)) as r(w, x, y)",
    "select b from people, echo2(secret) with ordinality",
    "select a from people, mkp(secret)",
    "select m from people, mkp(secret) m",
    "select a from people, mkps(secret)",
    "select (m).a from people, mkp(secret) m",
    "select * from vecho2",
    "select y from unnest((select pl from people where id = 1), array['x']) as u(x, y)",
    "select x from people, cast(row(secret, 1) as pair) as c(x, y)",
    "select x from people, coalesce(row(secret, 1)::pair) as c(x, y)",
    "select (row(p.*, id)).f2 from people p",
    "select (row(id, p.*)).f3 from people p",
    "select to_jsonb(row(p.*)) ->> 'f2' from people p",
    "select to_jsonb(row(plain.*, people.secret)) ->> 'f5' from plain, people",
    "select row_to_json(row(p.*)) -> 'f2' from people p",
    "select to_jsonb(row(z.*)) ->> 'f2' from (select * from people) z",
    "select (row(e.*, 'x', 'y')::plain).note from people p, lateral (select p.id, p.k, p.secret) e limit 1",
    "select l.b from people p, lateral (select (row(p.secret, p.secret)::two).*) l",
    "select l.* from (select row(p.*) x from people p) z, lateral (select to_jsonb(z.x) ->> 'f2') l",
    "select (z.x).f2 from (select row(p.*, 1) x from people p) z",
    "select b from people p, lateral (values (p.*, 'x')) v(a, b)",
    "select v.b from people p, lateral (values (p.*)) v(a, b, c, d, e)",
    "select column2 from people p, lateral (values (p.*)) v",
    "with d as (select row(p.*) r from people p) select (r).f2 from d",
    "update people set k = k where id = 1 returning to_jsonb(row(people.*)) ->> 'f2'",
    "delete from people where id = 1 returning to_jsonb(row(people.*)) ->> 'f2'",
    "delete from people where id = 1 returning (row(people.*, 1)).f2",
    "select json_build_object('a', id, 'a', secret) ->> 'a' from people",
    "select json_build_object('a', secret, 'a', id) ->> 'a' from people",
    "select jsonb_build_object('a', id, 'a', secret) -> 'a' from people",
    "select json_build_object('ab', id, 'a', secret) -> 'ab'::char(1) from people",
    "select json_build_object('a', id, 'ab'::char(1), secret) -> 'a' from people",
    "select row_to_json(t) ->> 'a' from (select id as a, secret as a from people) t",
    "select to_jsonb(t) ->> 'a' from (select id as a, secret as a from people) t",
    "select json_agg(row_to_json(t) -> 'a') from (select id as a, secret as a from people) t",
    "select row_to_json(j) ->> 'secret' from ((select id, note as secret from plain) b cross join people a) j",
    "select row_to_json(j) ->> 'x' from ((select id, note from plain) b cross join (select secret from people) a) j(i, x, x)",
    "select to_jsonb(m) ->> 'ms' from mv m(ms, id)",
    "select (x).ms from (select m as x from mv m(ms, id)) s",
    "select (m).id from mv m(ms, id)",
    "select id from (select (m).* from mv m(ms, id)) s",
    "select to_jsonb(f) ->> 'secret' from tellp() f(x, y)",
    "select to_jsonb(f) ->> 'secret' from tellp() f(secret, id)",
    "select (f).id from tellp() f(secret, id)",
    "select to_jsonb(p) ->> 'secret' from people p(x, y, z)",
    "select to_jsonb(p) ->> 'secret' from people p(secret, id)",
    "select (p).id from people p(secret, id)",
    "select (x).secret from (select p as x from people p(secret, id)) s",
    "select (c::pt).secret from ch c",
    "select to_jsonb(c::pt) ->> 'secret' from ch c",
    "select to_jsonb(t) ->> 'note' from ch t(note, secret, id)",
    "select (to_jsonb(p)).note from people p",
    "select note(to_jsonb(p)) from people p",
    "select (to_jsonb(p)).asis from people p",
    "insert into rv values (81, 'x') returning note",
    "insert into rvv values (82, 'x') returning note, id",
    "insert into tv values (83, 'x') returning note",
];

/// And these do not.
const CLEAR_PARTS: [(&str, &str); 19] = [
    ("select b from echo2('clear')", "clear"),
    ("select e.b from people p, echo2(p.note) e where p.id = 2", "clear2"),
    ("select a from mkp('clear')", "clear"),
    ("select f.id, f.note from tellp() f where f.id = 2", "clear2"),
    ("select to_jsonb(p) ->> 'note' from people p where p.id = 2", "clear2"),
    ("select to_jsonb(row(p.*)) ->> 'f3' from people p where p.id = 2", "clear2"),
    ("select (row(p.*, 1)).f3 from people p where p.id = 2", "clear2"),
    ("select (row(p.id, p.k, p.note, 'x')::plain).note from people p where p.id = 2", "clear2"),
    ("select json_build_object('a', note, 'b', secret) ->> 'a' from people where id = 2", "clear2"),
    (
        "select json_build_object('a'::text, note, 'b', secret) ->> 'a'::text from people where id = 2",
        "clear2",
    ),
    ("select to_jsonb(f) ->> 'note' from tellp() f where f.id = 2", "clear2"),
    ("select to_jsonb(m) ->> 'id' from mv m where m.id = 2", "2"),
    ("select (x).note from (select p as x from people p) s where (x).id = 2", "clear2"),
    ("select (c::pt).note from ch c", "clear1"),
    ("select v.b from plain p, lateral (values (p.*)) v(a, x, b, c) where p.id = 2", "clear2"),
    ("select y from unnest(array[1, 2], array['a', 'clear']) as u(x, y)", "clear"),
    (
        "select x, y from people, jsonb_each_text(jsonb_build_object('a', note)) as j(x, y) where id = 2",
        "clear2",
    ),
    ("insert into plain (id, note) values (71, 'clear') returning note", "clear"),
    ("select note from people where id = 2", "clear2"),
];

#[test]
fn parts_of_rows_and_documents_are_those_that_the_server_gives() {
    let (lab, _folder) = lab_of(PARTS, PARTS_RULES, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut wrong = Vec::new();
    for sql in SHOWING_PARTS {
        said(&mut raw, "begin");
        let simple = said(&mut raw, sql);
        said(&mut raw, "rollback");
        raw.stream.write_all(&extended(sql, false, true)).unwrap();
        let told = [simple, lines(&raw.until(b'Z').unwrap())];
        // What fails otherwise would show nothing either.
        let refused = |told: &str| told.contains("SERROR") && !told.contains("Firsthand");
        if told.iter().any(|told| told.contains("kanarie") || refused(told)) {
            wrong.push(format!("{sql}: {told:?}"));
        }
    }
    for (sql, wanted) in CLEAR_PARTS {
        let told = said(&mut raw, sql);
        if !told.contains(wanted) || told.contains("[secret]") {
            wrong.push(format!("{sql}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn parts_of_rows_and_documents_are_not_copied() {
    let (lab, _folder) = lab_of(PARTS, PARTS_RULES, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "insert into plain (id, note) select 981, b from echo2((select secret from people where id = 2))",
        "insert into plain (id, note) select 982, to_jsonb(m) ->> 'ms' from mv m(ms, id) limit 1",
        "insert into plain (id, note) select 983, json_build_object('a', id, 'a', secret) ->> 'a' from people limit 1",
        "insert into plain (id, note) select 984, to_jsonb(row(p.*)) ->> 'f2' from people p limit 1",
        "update plain set note = (select a from people, mkp(secret) limit 1) where id = 2",
        "create table copied as select b from people, echo2(secret)",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
    }
    let told = said(&mut raw, "insert into plain (id, note) select 985, b from echo2('clear')");
    assert!(told.contains("INSERT 0 1"), "{told}");
}

/// Labelled values that differ in length, sign by sign and as numbers, a text that is a document, and a table to copy them to.
const FORMS: &str = "create extension if not exists hstore;
create table people (id int primary key, secret text unique, stored text, i4 int, raw jsonb, docs jsonb[], list text[], note text);
insert into people values
  (1, 'kanarie', '{\"kanarie\": 1}', 4711, '{\"kanarie\": 1}', array['{\"kanarie\": 1}'::jsonb], '[5:5]={kanarie}', 'clear1'),
  (2, 'vogel', '{\"vogel\": 1, \"b\": 2}', 47, '{\"vogel\": 1, \"b\": 2}', null, '{vogel,b}', 'clear2');
create table plain (id int primary key, v int, note text, js jsonb, arr int[]);
insert into plain select i, i * 10, 'note' || i, '{}', '{}' from generate_series(1, 5) i;
create materialized view kept as select id, array_fill(1, array[1], array[i4]) as f from people;
create view seen as select id, array_fill(1, array[1], array[i4]) as f, list from people;
create function alone(text) returns setof int language sql immutable as $$ select 1 where $1 = 'kanarie' $$;
create function bounds(int) returns int[] language sql immutable as 'select array_fill(1, array[1], array[$1])';
analyze people;
alter table people owner to app; alter table plain owner to app; grant all on all tables in schema public to app;";

const FORMS_RULES: &str = "[[label]]\nlabel = \"secret\"\n\
    columns = [\"people.secret\", \"people.stored\", \"people.i4\", \"people.raw\", \"people.docs\", \"people.list\"]\n\
    [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
    effects = [\"read\", \"write\", \"define\", \"execute\", \"session\", \"transaction\", \"lock\"]\n\
    [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"*\"]\nstyle = \"redact\"\n";

#[test]
fn a_subscript_stores_what_it_is_made_of() {
    let (lab, _folder) = lab_of(FORMS, FORMS_RULES, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "update plain set js[(select secret from people where id = 1)] = '1'",
        "update plain p set js[q.secret] = '1' from people q",
        "update plain p set js['a'][q.secret] = '1' from people q",
        "update plain set arr[(select i4 from people where id = 1)] = 1",
        "update plain set arr[1:(select i4 from people where id = 1)] = array[1]",
        "update plain set (arr[(select i4 from people where id = 1)], v) = (1, 2)",
        "insert into plain (id, arr[(select i4 from people where id = 1)]) values (90, 1)",
        "with q as (select i4 from people) insert into plain (id, arr[(select i4 from q limit 1)]) values (90, 1)",
        "insert into plain (id, js[(select secret from people where id = 1)]) select 90, '1'",
        "insert into plain values (1) on conflict (id) do update set arr[(select i4 from people where id = 1)] = 1",
        "merge into plain p using people q on p.id = q.id when matched then update set arr[q.i4] = 1",
        "merge into plain p using people q on p.id = q.id when matched then update set js[q.secret] = '1'",
        "merge into plain p using people q on p.id = q.id + 90 when not matched then insert (id, js[(select secret from people where id = 1)]) values (q.id + 90, '1')",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
        assert!(!told.contains("not change it"), "{sql}: {told}");
    }
    for sql in [
        "update plain set js['a'] = '1', arr[2] = 3 where id = 1",
        "update plain p set arr[q.id] = 1 from people q where q.id = p.id",
        "insert into plain (id, arr[1]) values (91, 1)",
        "update people set list[1] = 'x' where id = 3",
    ] {
        let told = said(&mut raw, sql);
        assert!(!told.contains("SERROR"), "{sql}: {told}");
    }
}

/// What is made of a masked value, of which nothing may tell by its form: each gives the same for two people who have nothing
/// in common.
const FORMED: [&str; 63] = [
    "array_fill(1, array[1], array[i4])",
    "('[' || i4 || ':' || i4 || ']={1}')::int[]",
    "array_fill(1, array[ascii(secret)])",
    "array_fill(secret, array[length(secret)])",
    "string_to_array(secret, null)",
    "regexp_split_to_array(secret, '')",
    "array_fill(1, array[ascii(secret)])::text[]",
    "array_fill('{}'::jsonb, array[ascii(secret)])",
    "array_fill(row(1), array[ascii(secret)])",
    "row(1, array_fill(1, array[1], array[i4]))",
    "row(1, jsonb_build_object(secret, 1))",
    "array_fill(1, array[1], array[i4 + id])",
    "bounds(i4)",
    "coalesce(array_fill(1, array[1], array[i4]), '{}')",
    "list || list",
    "list[1:99]",
    "jsonb_build_array(variadic array_fill(1, array[ascii(secret)]))",
    "json_build_array(variadic array_fill(1, array[ascii(secret)]))",
    "to_jsonb(array_fill(1, array[ascii(secret)]))",
    "to_json(array_fill(1, array[ascii(secret) + id]))",
    "jsonb_build_object(secret, 1)",
    "json_build_object(secret, note)",
    "jsonb_set('{}', array[secret], '1')",
    "('{\"' || secret || '\": 1}')::jsonb",
    "('{\"' || secret || '\": 1}')::json",
    "'{\"' || secret || '\": 1}'",
    "raw - 'b'",
    "raw || '{\"c\": 1}'",
    "raw::text",
    "stored::text || ''",
    "to_jsonb(stored)",
    "repeat('1', ascii(secret))::varbit",
    "repeat('1', ascii(secret))::bit(64)",
    "case when i4 > 100 then '::1'::inet else '1.2.3.4'::inet end",
    "num_nonnulls(variadic array_fill(1, array[ascii(secret)]))",
    "num_nulls(variadic array_fill(1, array[ascii(secret)]))",
    "sum(1) over (rows (select i4 from people q where q.id = 1) preceding)",
    "count(*) over (order by id rows between unbounded preceding and (select i4 from people q where q.id = 2) following)",
    "first_value(note) over w",
    "count(*) over w",
    "((xpath('/q/text()', xmlelement(name q, raw::text)))[1])::text",
    "row(chr(48 + 49 * get_bit(convert_to(secret, 'UTF8'), 0)))",
    "row(chr(48 + 49 * get_bit(convert_to(secret, 'UTF8'), 0)), 1)",
    "interval '1 day' * get_bit(convert_to(secret, 'UTF8'), 0)",
    "row(case when i4 > 100 then '0.0.0.1' else 'x' end)",
    "row(case when i4 > 100 then '\\x00ff' else 'x' end)",
    "row(case when i4 > 100 then '{' else '7' end)",
    "row(case when i4 > 100 then '2020-01-01' else 't' end)",
    "row(i4, case when i4 > 100 then 'NaN' else '1' end)",
    "case when i4 > 100 then row(1) else row(1, 2) end",
    "case when i4 > 100 then row(1) else row('x'::text) end",
    "array[row(secret), row(i4)]",
    "(select q from (select secret, i4) q)",
    "unnest(array[case when i4 > 100 then '10.0.0.1' else '7' end])",
    "jsonb_build_object('a', case when i4 > 100 then '{\"a\": 1}' else '7' end) ->> 'a'",
    "case when i4 > 100 then 'NaN'::numeric else 0 end",
    "(case when i4 > 100 then 'infinity' else '2020-01-01' end)::date",
    "case when i4 > 100 then 'infinity'::timestamptz else '2020-01-01' end",
    "json_out(to_json(i4))",
    "jsonb_out(case when i4 > 100 then '[]' else '7' end::jsonb)",
    "macaddr_out(case when i4 > 100 then '08:00:2b:01:02:03'::macaddr else '00:00:00:00:00:00' end)",
    "varbit_out(repeat('1', ascii(secret))::varbit)",
    "case when i4 > 100 then '08:00:2b:01:02:03'::macaddr else '00:00:00:00:00:00' end",
];

#[test]
fn the_form_of_a_masked_value_tells_nothing_of_it() {
    let (lab, _folder) = lab_of(FORMS, FORMS_RULES, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut wrong = Vec::new();
    let mut selects: Vec<String> = FORMED
        .iter()
        .map(|of| format!("select {of} as it from people window w as (order by id rows (select i4 from people q where q.id = 2) preceding) order by id"))
        .collect();
    selects
        .extend(["select stored from people", "select f from seen", "select f from kept"].map(str::to_owned));
    for sql in &selects {
        let copy = |options: &str| format!("copy ({sql}) to stdout {options}");
        let mut told = vec![(sql.clone(), raw.query(sql).unwrap())];
        for binary in [false, true] {
            raw.stream.write_all(&extended(sql, binary, true)).unwrap();
            told.push((format!("{sql} (extended, binary: {binary})"), raw.until(b'Z').unwrap()));
        }
        for options in ["", "(format csv)", "(format binary)"] {
            told.push((copy(options), raw.query(&copy(options)).unwrap()));
        }
        for (way, seen) in told {
            let fails = seen.iter().any(|m| m.tag == b'E');
            let binary = way.ends_with("binary)");
            // In binary COPY what stands before and behind the rows comes in messages of its own, or with the first row.
            let rows: Vec<_> =
                seen.iter().filter(|m| matches!(m.tag, b'D' | b'd')).map(|m| &m.body[..]).collect();
            let alike = if binary {
                true
            } else {
                let all: Vec<u8> = rows.concat();
                rows.len() == 2 && rows[0] == rows[1] && !all.is_empty()
            };
            let all = lines(&seen);
            if fails || !alike || ["kanarie", "vogel", "4711", "47:"].iter().any(|c| all.contains(c)) {
                wrong.push(format!("{way}: {all}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), selects.len());
    // A stored array has the form that it was given.
    for (sql, wanted) in [
        ("select list from people where id = 1", "[5:5]={[secret]}"),
        ("select list from seen where id = 2", "{[secret],[secret]}"),
        ("select array_length(list, 1), cardinality(docs) from people where id = 2", "2"),
        ("select num_nonnulls(secret, note), num_nulls(secret, note) from people where id = 2", "2"),
        ("select sum(id) over (order by id rows 1 preceding) from people", "3"),
        ("select count(*) over w from people window w as (order by id rows 1 preceding)", "2"),
        ("select array_agg(note order by id) from people", "{clear1,clear2}"),
        ("select array_agg(secret order by id) from people", "{[secret]}"),
        ("select to_jsonb(secret) from people where id = 1", "\"[secret]\""),
        ("select row(secret, id) from people where id = 1", "([secret])"),
        ("select row(note, id) from people where id = 1", "(clear1,1)"),
        ("copy (select array[row(secret)] from people) to stdout", "{([secret])}"),
        ("copy (select interval '1 day' * i4 from people) to stdout", "[secret]"),
        ("copy (select note, to_jsonb(note) from people where id = 1) to stdout", "clear1"),
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains(wanted), "{sql}: {told}");
    }
    let kept = lab.gateway.record().unwrap();
    let told = |e: &&firsthand_tests::record::Entry| {
        let text = e.0.to_string();
        ["kanarie", "vogel", "4711"].iter().any(|c| text.contains(c))
    };
    let shown: Vec<_> = kept.of_kind("command.rows").filter(told).map(|e| e.0.to_string()).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// A token is one of a whole stored value: of what is made of it, or of what a known text was put beside, it would tell which.
#[test]
fn a_token_is_one_of_a_stored_value_alone() {
    let (lab, _folder) = lab_of(FORMS, &FORMS_RULES.replace("redact", "token"), "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for of in [
        "select case when false then secret else chr(g) end as it from people, generate_series(107, 107) g",
        "select substr(secret, g, 1) as it from people, generate_series(1, 3) g",
        "select lower(secret) as it from people",
        "select secret || '' as it from people",
        "select coalesce(secret, 'kanarie') as it from people",
        "select secret as it from people union all select 'kanarie'",
        "select 'kanarie' as it union all select secret from people",
        "select v.it from people, lateral (values (secret), ('kanarie')) v(it)",
        "select max(secret) as it from people",
        "select raw ->> 'b' as it from people",
        "select i4 + 0 as it from people",
        "select x as it from people full join (values ('kanarie')) v(x) on secret = x full join people q using (id)",
    ] {
        for sql in [of.to_owned(), format!("copy ({of}) to stdout")] {
            let told = said(&mut raw, &sql);
            assert!(!told.contains("tok_") && !told.contains("SERROR"), "{sql}: {told}");
        }
    }
    let token = |raw: &mut Raw, sql: &str| {
        let told = said(raw, sql);
        let at = told.find("tok_secret_").unwrap_or_else(|| panic!("{sql}: {told}"));
        told[at..at + 27].to_owned()
    };
    let stored = token(&mut raw, "select secret from people where id = 1");
    for sql in [
        "copy (select secret from people where id = 1) to stdout",
        "select q.secret from people q join people p using (id) where p.id = 1",
        "select secret from people where id = 1 union all select secret from people where id = 1",
        "select * from (select secret from people group by secret) x where secret = 'kanarie'",
    ] {
        assert_eq!(token(&mut raw, sql), stored, "{sql}");
    }
}

/// Nor is a masked value kept where something gives it back, or made another column.
#[test]
fn what_keeps_a_value_copies_it() {
    let seed = format!("create extension if not exists pg_trgm; {FORMS}");
    let (lab, _folder) = lab_of(&seed, FORMS_RULES, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "select set_limit((select i4 from people where id = 2) / 100.0::real)",
        "select setseed((select i4 from people where id = 2) / 100.0)",
        "alter table people alter column note type text using secret",
        "alter table people alter column note type text using note || upper(secret)",
        "alter table people alter note set data type text using case when i4 > 100 then 'a' else 'b' end",
        "alter table people add column more text, alter column note type int using i4",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
    }
    for sql in [
        "select set_limit(0.3)",
        "alter table people alter column note type varchar using upper(note)",
        "alter table people alter column note type text using note || id",
        "alter table people alter column secret type varchar using lower(secret)",
    ] {
        let told = said(&mut raw, sql);
        assert!(!told.contains("SERROR"), "{sql}: {told}");
    }
    let kept = lab.far.sql("shop", "select string_agg(note, ',' order by id) from people").unwrap();
    assert_eq!(kept, "CLEAR11,CLEAR22");
}

#[test]
fn comparisons_that_look_like_none_are_predicates() {
    let rules = format!("{FORMS_RULES}masked_in_predicate = \"deny\"\n");
    let (lab, _folder) = lab_of(FORMS, &rules, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "select nullif(secret, 'kanarie') from people",
        "select nullif('x', substr(secret, 1, 1)) from people",
        "select secret from people union select 'kanarie'",
        "select 'kanarie' union (select upper(secret) from people)",
        "select 1 from (select substr(secret, 1, 1) from people union select 'k') x",
        "select distinct secret from people",
        "select count(distinct x) from (select secret x from people union all select 'kanarie') y",
        "select id from plain tablesample bernoulli ((select i4 % 100 from people where id = 1))",
        "select id from plain tablesample bernoulli (50) repeatable ((select i4 from people where id = 1))",
        "select id from plain limit (select ascii(secret) from people where id = 1)",
        "select id from plain offset (select ascii(secret) from people where id = 1)",
        "select sum(v) over (order by id rows (select i4 from people where id = 1) preceding) from plain",
        "insert into people (id, secret) values (7, 'kanarie') on conflict (secret) do nothing",
        "insert into people (id, secret) values (7, 'kanarie') on conflict do nothing",
        "insert into people (id, secret) values (7, 'kanarie') on conflict on constraint people_secret_key do nothing",
        "insert into people (id, secret) values (7, 'kanarie') on conflict (secret) do update set note = 'x'",
        "with recursive w(x, n) as (select substr(secret, 1, 1), 1 from people union all select 'k', n + 1 from w where n < 3) cycle x set seen using path select n from w",
        "select id from people, generate_series(1, i4)",
        "select id, generate_series(1, i4 - 46) from people",
        "select id from people, unnest(case when secret = 'kanarie' then array[1] else '{}' end)",
        "select id, unnest(string_to_array(secret, 'k')) from people",
        "select id from people, regexp_matches(secret, '^k')",
        "select id from people, regexp_split_to_table(secret, 'k')",
        "select id from people, jsonb_path_query(raw, '$.kanarie')",
        "select id from people, jsonb_array_elements(raw -> 'kanarie')",
        "select id from people, xmltable('/q[. = \"kanarie\"]' passing xmlelement(name q, secret) columns a int path '.')",
        "select id from people, alone(secret)",
        "select id from people, rows from (generate_series(1, i4), generate_series(1, 2))",
        "select id from people, unnest(array[1], array_fill(1, array[i4]))",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
    }
    for sql in [
        "select nullif(note, 'x'), secret from people",
        "select note from people union select 'x'",
        "select secret from people union all select 'x'",
        "select distinct note from people",
        "with recursive w(x, n) as (select note, 1 from people union all select x, n + 1 from w where n < 3) cycle n set seen using path select n, seen from w",
        "select id, l from people, unnest(list) l",
        "select id, k from people, jsonb_each(raw) k",
        "select id, jsonb_object_keys(raw) from people",
        "select id from people, generate_series(1, id)",
        "select id from people, unnest(array[note, 'x'])",
        "select id from plain tablesample bernoulli (50) limit 2 offset 1",
        "insert into people (id, secret) values (1, 'x') on conflict (id) do nothing",
        "insert into plain (id) values (1) on conflict do nothing",
    ] {
        let told = said(&mut raw, sql);
        assert!(!told.contains("SERROR"), "{sql}: {told}");
    }
}
