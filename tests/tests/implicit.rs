//! Code that runs without being called: behind views, negators, casts, types and aggregates. What it writes is refused, and what
//! it reads is masked, whatever statement it stands behind.

use std::io::Write as _;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};

const SEED: &str = "create schema evil; create schema ok; create table evil.log (at text);
create function evil.w() returns int language plpgsql as $$ begin insert into evil.log values ('ran'); return 1; end $$;
create table customers (id int primary key, name text, secret text);
insert into customers values (1, 'Ada', 'KANARIE1'), (2, 'Grace', 'KANARIE2');
create table plain (id int, v int); insert into plain values (1, 1);
-- A body is read in the session's path, also where a view calls it.
create function public.length(int) returns int language plpgsql as $$ begin perform evil.w(); return 1; end $$;
create function ok.lenf(int) returns int language sql as 'select length($1)';
create view v_len as select ok.lenf(id) as n from customers;
create domain dlen as int check (ok.lenf(value) > 0);
create function ok.counted() returns bigint language sql as 'select count(*) from plain';
create view v_counted as select ok.counted() as n;
-- Casts to json, and to text in functions of PostgreSQL's own.
create type col as enum ('red', 'blue'); create table colt (c col, cs col[]); insert into colt values ('red', '{red}');
create function evil.cj(col) returns json language plpgsql as $$ begin perform evil.w(); return '1'; end $$;
create cast (col as json) with function evil.cj(col);
create type pt as (x int); create table ptt (p pt); insert into ptt values (row(1));
create function evil.pt2t(pt) returns text language plpgsql as $$ begin perform evil.w(); return 'x'; end $$;
create cast (pt as text) with function evil.pt2t(pt);
create aggregate ok.tsr(text) (sfunc = pg_catalog.ts_rewrite, stype = tsquery, initcond = 'a&b');
-- Negators.
create function evil.ne(int, int) returns boolean language plpgsql as $$ begin perform evil.w(); return true; end $$;
create operator public.!=== (function = evil.ne, leftarg = int, rightarg = int);
create operator public.=== (function = int4eq, leftarg = int, rightarg = int, negator = operator(public.!===));
-- Whom a function runs as.
create role helper_owner; create schema helper_owner authorization helper_owner;
create function public.helper(int) returns int language sql as 'select 1';
create function helper_owner.helper(int) returns int language plpgsql as $$ begin perform evil.w(); return 1; end $$;
create function ok.sdh() returns int language sql security definer as 'select helper(1)';
alter function ok.sdh() owner to helper_owner; grant usage on schema ok to helper_owner;
-- System columns have types of their own.
create function public.g(bigint) returns int language sql as 'select 1';
create function public.g(tid) returns int language plpgsql as $$ begin perform evil.w(); return 1; end $$;
create function public.g(xid) returns int language plpgsql as $$ begin perform evil.w(); return 1; end $$;
-- What is read behind an operator, a cast, an aggregate and a default.
create function ok.peek(int, int) returns text language sql as 'select secret from customers where id = $1';
create operator ok.<#> (function = ok.peek, leftarg = int, rightarg = int);
create type ok.idt as (id int);
create function ok.idt2t(ok.idt) returns text language sql as 'select secret from customers where id = ($1).id';
create cast (ok.idt as text) with function ok.idt2t(ok.idt);
create function ok.next(text, int) returns text language sql as 'select secret from customers where id = $2';
create aggregate ok.leakagg(int) (sfunc = ok.next, stype = text);
create function ok.deflt(t text default 1 operator(ok.<#>) 1) returns text language sql as 'select t';
create view ok.vop as select 1 operator(ok.<#>) 1 as it;
create function public.plem(int) returns text language plpgsql as $$ begin return (select secret from customers where id = $1); end $$;
alter table plain add column fast text default 'KANARIEf'; alter table plain alter column fast drop default;
grant usage on schema evil, ok, helper_owner to app; grant all on all tables in schema public, evil to app;
grant select on ok.vop to app; grant insert on evil.log to helper_owner; grant usage on schema evil to helper_owner;";

/// Each would write; nothing of it says so.
const WRITING: [&str; 20] = [
    "select * from v_len",
    "select count(*) from v_len where n > 0",
    "copy (select * from v_len) to stdout",
    "select 1::dlen",
    "select array_to_json(cs) from colt",
    "select array_to_json(array_agg(c)) from colt",
    "select array_to_json(enum_range(null::col))",
    "select p || '' from ptt",
    "select quote_literal(p) from ptt",
    "select quote_nullable(p) from ptt",
    "select ok.tsr('select ''a''::tsquery, evil.w()::text::tsquery')",
    "select * from customers where not (id === 1)",
    "select * from customers where (id === 1) = false",
    "select case when not id === 1 then 1 end from customers",
    "select ok.sdh()",
    "select * from ok.sdh()",
    "select g(ctid) from customers",
    "select g(xmin) from customers",
    "select g(q.xmax) from customers q",
    "select g(q.ctid) from (select ctid from customers) q",
];

/// Each would show a secret to whom it is masked.
const SHOWING: [&str; 14] = [
    "select 1 operator(ok.<#>) 1 as it",
    "select string_agg(1 operator(ok.<#>) id, ',') as it from plain",
    "select upper(1 operator(ok.<#>) 1) || '' as it",
    "select ok.leakagg(id) as it from plain",
    "select ok.leakagg(id) over () as it from plain",
    "select row(1)::ok.idt::text as it",
    "select quote_literal(row(1)::ok.idt) as it",
    "select ok.deflt() as it",
    "select it from ok.vop",
    "select plem(1) as it",
    "select plem(v) as it from plain",
    "select max(plem(v)) as it from plain",
    "select case when true then plem(v) end as it from plain",
    "select attmissingval as it from pg_attribute where attmissingval is not null",
];

fn said(raw: &mut Raw, sql: &str) -> String {
    raw.query(sql).unwrap().iter().map(Message::line).collect()
}

#[test]
fn what_runs_without_being_called_is_judged() {
    let lab =
        Lab::start(Plan { top: "[policy]\n".to_owned(), seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut wrong = Vec::new();
    for sql in WRITING {
        let told = said(&mut raw, sql);
        if !told.contains("Firsthand refused") {
            wrong.push(format!("{sql}: {told}"));
        }
    }
    assert_eq!(lab.far.sql("shop", "select count(*) from evil.log").unwrap(), "0", "{wrong:#?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And what is harmless is not refused: a body names its tables as the session does.
    for sql in [
        "select * from v_counted",
        "select ok.counted()",
        "select id from customers where id === 1 is not null",
    ] {
        let told = said(&mut raw, sql);
        assert!(sql.contains("===") || !told.contains("42501"), "{sql}: {told}");
    }
}

/// The next number of a column belongs to the write of its row, and is held with it.
#[test]
fn a_row_with_a_number_of_its_own_is_held_as_any_other() {
    let seed = "create table numbered (id serial primary key, big bigserial, v int); create sequence free;
        grant all on all tables in schema public to app; grant all on all sequences in schema public to app;";
    let lab =
        Lab::start(Plan { top: "[policy]\n".to_owned(), seed: seed.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "insert into numbered (v) values (1)",
        "insert into numbered (id, big, v) values (1, 1, 1)",
        "insert into numbered values (1, default, 1)",
        "insert into numbered (v) values (1) on conflict (id) do update set v = 2",
        "merge into numbered n using (values (1)) q(i) on n.id = q.i when not matched then insert (v) values (1)",
        "copy numbered (v) from stdin",
        "update numbered set id = default where id = 1",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("agents-write-held") && !told.contains("agents-functions"), "{sql}: {told}");
    }
    let told = said(&mut raw, "select * from pg_stat_activity");
    assert!(told.contains("Of pg_catalog.pg_stat_activity read only the columns"), "{told}");
    let told = said(&mut raw, "select current_setting('primary_conninfo' collate \"C\")");
    assert!(told.contains("Firsthand refused"), "{told}");
    for sql in [
        "select nextval('numbered_id_seq')",
        "insert into numbered (id, v) values (nextval('free'), 1)",
        "insert into numbered (v) select nextval('free')",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("agents-functions"), "{sql}: {told}");
    }
}

#[test]
fn what_is_read_without_being_named_is_masked() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[label]]\nlabel = \"secret\"\ncolumns = [\"customers.secret\", \"plain.fast\"]\n\
        [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
        effects = [\"read\", \"execute\", \"unknown\", \"session\", \"transaction\"]\n\
        [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let lab = Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut wrong = Vec::new();
    for sql in SHOWING {
        let told = said(&mut raw, sql);
        // An array of anything has no masked form but NULL.
        let masked = told.contains("[secret]") || sql.contains("attmissingval");
        if told.contains("KANARIE") || !masked {
            wrong.push(format!("{sql}: {told}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What is not made of it stays as it is.
    let told = said(&mut raw, "select v + 1 as it, plain.id from plain");
    assert!(told.contains('2'), "{told}");
    let record = lab.gateway.record().unwrap();
    let with: Vec<_> =
        record.of_kind("command.completed").filter(|e| e.0.to_string().contains("KANARIE")).collect();
    assert!(with.is_empty(), "{with:?}");
}

/// Nor is it stored elsewhere, where nothing masks it.
#[test]
fn what_is_read_without_being_named_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[label]]\nlabel = \"secret\"\ncolumns = [\"customers.secret\"]\n\
        [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
        effects = [\"read\", \"write\", \"define\", \"execute\"]\n\
        [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let seed = format!(
        "{SEED} create table notes (it text); insert into notes values (''); \
        grant all on notes to app; grant create on schema public to app;"
    );
    let lab = Lab::start(Plan { top, seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "create table copied as select 1 operator(ok.<#>) 1 as it",
        "insert into notes select 1 operator(ok.<#>) id from plain",
        "insert into notes values (1 operator(ok.<#>) 1)",
        "update notes set it = 1 operator(ok.<#>) 1",
        "update notes set it = (select ok.leakagg(id) from plain)",
        "insert into notes select row(1)::ok.idt::text",
    ] {
        let told = said(&mut raw, sql);
        assert!(told.contains("Firsthand refused"), "{sql}: {told}");
    }
    // What is not made of it is.
    let told =
        said(&mut raw, "insert into notes select v::text from plain where 1 operator(ok.<#>) 1 is not null");
    assert!(!told.contains("Firsthand refused"), "{told}");
    assert_eq!(lab.far.sql("shop", "select count(*) from notes where it like 'KANARIE%'").unwrap(), "0");
}

/// A body is read when it runs, in the path of that moment: `late(1)` writes in the one, and does nothing in the other.
const LATE: &str = "create schema app; grant usage on schema app to app;
create function app.late(int) returns int language plpgsql as $$ begin return evil.w(); end $$;
create function public.late(int) returns int language sql as 'select 1';
create function ok.later() returns int language sql volatile as 'select 1; select late(1)';";

fn parsed(statement: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{statement}\0{sql}\0\0\0").as_bytes())
}

fn bound(portal: &str, statement: &str) -> Vec<u8> {
    frame(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn executed(portal: &str, rows: u8) -> Vec<u8> {
    frame(b'E', format!("{portal}\0\0\0\0{}", char::from(rows)).as_bytes())
}

/// Sends these and a Sync; all that comes back, a line each.
fn piped(raw: &mut Raw, parts: &[Vec<u8>]) -> String {
    let mut out = parts.concat();
    out.extend(frame(b'S', b""));
    raw.stream.write_all(&out).unwrap();
    raw.until(b'Z').unwrap().iter().map(Message::line).collect()
}

#[test]
fn a_portal_is_judged_in_the_path_that_it_runs_in() {
    let seed = format!("{SEED}{LATE}");
    let lab = Lab::start(Plan { top: "[policy]\n".to_owned(), seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let public = "set search_path = public";
    let own = "set search_path = \"$user\", public";
    let refused = |told: &str| told.contains("Firsthand refused");
    // Where nothing changes nothing is refused, whatever stands between.
    assert!(!refused(&said(&mut raw, public)));
    let told = piped(
        &mut raw,
        &[
            parsed("", "select ok.later() from plain"),
            bound("here", ""),
            parsed("", "select id from customers"),
            bound("", ""),
            executed("", 0),
            executed("here", 0),
        ],
    );
    assert!(!refused(&told) && told.contains("SELECT 1") && told.contains("SELECT 2"), "{told}");
    // In one pipeline.
    let told = piped(
        &mut raw,
        &[
            parsed("", "select ok.later() from plain"),
            bound("there", ""),
            parsed("", own),
            bound("", ""),
            executed("", 0),
            executed("there", 0),
        ],
    );
    assert!(refused(&told), "{told}");
    // And in a transaction, where it has given some rows already.
    for sql in [public, "begin"] {
        assert!(!refused(&said(&mut raw, sql)), "{sql}");
    }
    let text = "select case when id > 1 then ok.later() end from customers";
    let told = piped(&mut raw, &[parsed("", text), bound("part", ""), executed("part", 1)]);
    assert!(!refused(&told), "{told}");
    assert!(!refused(&said(&mut raw, own)));
    let told = piped(&mut raw, &[executed("part", 1)]);
    assert!(refused(&told), "{told}");
    said(&mut raw, "rollback");
    assert_eq!(lab.far.sql("shop", "select count(*) from evil.log").unwrap(), "0");
}

/// What a cursor reads where it runs is masked, also if it gives it elsewhere.
#[test]
fn a_cursor_is_masked_by_what_it_reads_wherever_it_has_run() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[label]]\nlabel = \"secret\"\ncolumns = [\"customers.secret\"]\n\
        [[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
        effects = [\"read\", \"execute\", \"unknown\", \"session\", \"transaction\"]\n\
        [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let seed = format!(
        "{SEED}create schema app; grant usage on schema app to app; \
        create view app.px as select secret as note from customers; create table public.px (note text); \
        insert into public.px values ('harmless'); grant select on app.px, public.px to app; \
        create function app.getit(variadic int[]) returns text language sql as 'select secret from customers where id = $1[1]'; \
        create function public.getit(int) returns text language sql as 'select ''harmless''::text'; \
        create function ok.gx() returns text language sql volatile as 'select 1; select note from px limit 1';"
    );
    let lab = Lab::start(Plan { top, seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let told = said(&mut raw, "select getit(1) as it");
    assert!(told.contains("[secret]") && !told.contains("KANARIE"), "{told}");
    let public = "set search_path = public";
    let own = "set search_path = \"$user\", public";
    for between in [&[own][..], &[own, "move 1 in c", public]] {
        for sql in [public, "begin", "declare c cursor for select ok.gx() as it from customers order by 1"] {
            said(&mut raw, sql);
        }
        between.iter().for_each(|sql| drop(said(&mut raw, sql)));
        let told = said(&mut raw, "fetch 1 from c");
        assert!(told.contains("FETCH 1") && told.contains("[secret]"), "{between:?}: {told}");
        assert!(!told.contains("KANARIE"), "{between:?}: {told}");
        said(&mut raw, "rollback");
    }
    said(&mut raw, public);
    for sql in ["begin", "declare c cursor for select ok.gx() as it"] {
        said(&mut raw, sql);
    }
    let told = said(&mut raw, "fetch 1 from c");
    assert!(told.contains("harmless"), "{told}");
}

/// What a session goes through, a message a line: a Query, or a pipeline of what stands between bars. Then whether `late(1)`, which
/// is last in it, writes, and so must not run.
const ENDS: &[(&str, bool)] = &[
    // A transaction ends within a message, and what was set in it goes with it.
    ("set search_path = public; rollback; select late(1)", true),
    ("select set_config('search_path', 'public', false); rollback; select late(1)", true),
    ("set search_path = public | rollback | select late(1)", true),
    ("set search_path = public; rollback\nselect late(1)", true),
    ("set search_path = public; begin; rollback; select late(1)", true),
    ("set local search_path = public; commit; select late(1)", true),
    ("set local search_path = public | commit | select late(1)", true),
    (
        "begin; set search_path = public; commit and chain; set search_path = \"$user\", public; rollback; select late(1)",
        false,
    ),
    ("set search_path = public; commit; select late(1)", false),
    ("set search_path = public\nrollback; select late(1)", false),
    // The same text means something else where it ends another transaction.
    ("begin\nset search_path = public\nrollback; select late(1)", true),
    // DISCARD ALL is committed at once, whatever fails behind it.
    ("set search_path = public\ndiscard all | select 1/0\nselect late(1)", true),
    ("set search_path = public\ndiscard all | select nosuch\nselect late(1)", true),
    ("set search_path = public\ndiscard all | select late(1)", true),
    ("set search_path = public\ndiscard all | rollback | select late(1)", true),
    ("set search_path = public\ndiscard all\nselect late(1)", true),
    ("discard all | select 1/0\nset search_path = public\nselect late(1)", true),
    ("discard all\nset search_path = public\nselect late(1)", false),
    // COMMIT of what has failed rolls it back.
    ("begin; set search_path = public\nselect nosuch\ncommit; select late(1)", true),
    ("begin; set search_path = public\nselect 1/0\ncommit | select late(1)", true),
    ("begin; set search_path = public\nselect 1/0\nend | select late(1)", true),
    ("begin; set search_path = public\nselect 1/0\ncommit and chain | select late(1)", true),
    ("begin; set search_path = public\nselect 1/0\ncommit\nselect late(1)", true),
    ("begin; set search_path = public\nselect 1\ncommit; select late(1)", false),
    ("begin; set search_path = public\nselect 1\ncommit | select late(1)", false),
    (
        "begin; set search_path = public; savepoint a\nselect 1/0\nrollback to a\ncommit; select late(1)",
        false,
    ),
    // The same, not waiting for what fails.
    ("begin; set search_path = public\nselect 1/0 & commit; select late(1)", true),
    ("begin; set search_path = public\nselect 1 & commit; select late(1)", false),
    ("begin; set search_path = public & select 1/0 & commit; select late(1)", true),
];

fn simple(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

/// Sends a line of `ENDS`; what comes back.
fn sent(raw: &mut Raw, line: &str) -> String {
    if line.contains(" | ") {
        let parts: Vec<_> =
            line.split(" | ").flat_map(|sql| [parsed("", sql), bound("", ""), executed("", 0)]).collect();
        return piped(raw, &parts);
    }
    let texts: Vec<&str> = line.split(" & ").collect();
    raw.stream.write_all(&texts.iter().flat_map(|sql| simple(sql)).collect::<Vec<u8>>()).unwrap();
    texts.iter().map(|_| raw.until(b'Z').unwrap().iter().map(Message::line).collect::<String>()).collect()
}

#[test]
fn a_name_means_what_it_does_after_the_end_of_a_transaction() {
    let seed = format!("{SEED}{LATE}");
    let lab = Lab::start(Plan { top: "[policy]\n".to_owned(), seed, ..Plan::default() }).unwrap();
    let ran = || lab.far.sql("shop", "select count(*) from evil.log").unwrap();
    let mut wrong = Vec::new();
    for &(lines, writes) in ENDS {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        let told: Vec<String> = lines.lines().map(|line| sent(&mut raw, line)).collect();
        let refused = told.last().is_some_and(|told| told.contains("Firsthand refused"));
        if refused != writes || ran() != "0" {
            wrong.push(format!("{lines}: {} {told:#?}", ran()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A COPY waits for its client: a COMMIT in its midst is not kept waiting for the COPY. PostgreSQL ends the session over it.
#[test]
fn a_commit_within_a_copy_waits_for_nothing() {
    let seed = format!("{SEED}{LATE}");
    let top = "[policy]\nshipped = false\ndir = \"RULES\"\n";
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
        effects = [\"read\", \"write\", \"session\", \"transaction\"]\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = top.replace("RULES", &folder.path().display().to_string());
    let lab = Lab::start(Plan { top, seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    said(&mut raw, "begin; set search_path = public");
    raw.stream.write_all(&simple("copy plain (id) from stdin")).unwrap();
    raw.until(b'G').unwrap();
    raw.stream.write_all(&simple("commit; select late(1)")).unwrap();
    let told =
        format!("{:?}", raw.until(b'Z').map(|seen| seen.iter().map(Message::line).collect::<String>()));
    assert!(told.contains("protocol synchronization was lost"), "{told}");
    assert_eq!(lab.far.sql("shop", "select count(*) from evil.log").unwrap(), "0");
}
