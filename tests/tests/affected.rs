//! A limit on rows affected before a real PostgreSQL: whatever is kept of changed rows, what goes over it is undone, with what
//! cascades and triggers change along; and what is known to take nothing along is not refused for it.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use tempfile::TempDir;

const SEED: &str = "create table customers (id serial primary key, name text not null default 'nobody',
  at timestamptz default now(), token uuid default gen_random_uuid(), upper_name text generated always as (upper(name)) stored,
  check (length(name) < 100));
create index on customers (lower(name));
insert into customers (name) select 'c' || i from generate_series(1, 20) i;
create function touch() returns trigger language plpgsql as $$ begin new.at = now(); return new; end $$;
create trigger touch before update on customers for each row execute function touch();
create table orders (id int primary key, customer int references customers on delete cascade);
insert into orders select i * 10 + o, i from generate_series(1, 20) i, generate_series(1, 5) o;
create table parts (a int, b text, primary key (a)) partition by range (a);
create table parts1 partition of parts for values from (0) to (100);
create table parts2 partition of parts for values from (100) to (200);
insert into parts select i, 'p' from generate_series(1, 120) i;
create table pinned (a int references parts1 on delete cascade);
insert into pinned select 5 from generate_series(1, 9);
create table marks (id int generated always as identity primary key, what jsonb default '{}', level int default 1);
insert into marks (level) select 1 from generate_series(1, 20);
create table log (what text);
create function logs() returns trigger language plpgsql as $$ begin update log set what = 'x'; return null; end $$;
create table logged (id int primary key);
create trigger logs after insert on logged for each row execute function logs();
insert into log select 'l' from generate_series(1, 9);
create function wipe() returns int language plpgsql as $$ begin delete from marks; return 1000; end $$;
create function harmless() returns int language plpgsql as $$ begin update log set what = 'h' where what = 'none'; return 1; end $$;
create function tidy() returns int language sql as $$ delete from marks; select 1000 $$;
create function twice(int) returns int language sql immutable as $$ select $1 * 2 $$;
grant all on all tables in schema public to app; grant usage on all sequences in schema public to app;
grant create on schema public to app; alter role app replication;";

const RULES: &str = "[[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n\
effects = [\"read\", \"write\", \"define\", \"grant\", \"execute\", \"session\", \"transaction\", \"lock\", \"unknown\"]\n\
[[limit]]\nname = \"few\"\nbecause = \"b\"\nkinds = [\"agent\"]\naffected = 3\n";

fn lab(changed: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string());
    let more = format!("changed_rows = \"{changed}\"\n");
    (Lab::start(Plan { top, more, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

/// Statements that affect at most three rows and take nothing along, or what is counted.
const RUN: &[&str] = &[
    "insert into customers (name) values ('a'), ('b')",
    "insert into customers (id) values (1) on conflict do nothing",
    "insert into customers (id) values (1) on conflict (id) do update set name = 'again'",
    "update customers set name = twice(id)::text where id <= 3",
    "update customers set name = initcap(name), at = clock_timestamp() where id in (select customer from orders where id = 11)",
    "delete from customers where id = 999",
    "delete from orders where customer = 3 and id < 33",
    "update parts set b = 'q' where a in (1, 2, 110)",
    "update parts set a = 150 where a = 119",
    "delete from parts where a in (7, 111)",
    "insert into marks (what) values ('{\"a\": 1}')",
    "update marks set level = (select max(level) + 1 from marks) where id = 1",
    "insert into marks (level) select twice(id) from customers where id < 3",
    "select 1; update marks set level = 3 where id = 3; insert into marks default values",
    "create table made as select * from marks where id < 3",
    "insert into made select * from marks where id < 2",
    "drop table made",
    "create temp table scratch (a int)",
    "insert into scratch values (1), (2)",
    "insert into pinned values (6)",
    "select count(*) from customers",
    "select nextval('customers_id_seq')",
    "select harmless()",
    "create table filled as select harmless()",
    "drop table filled",
];

/// Statements that affect more, by themselves or by what goes along.
const STOPPED: &[&str] = &[
    "update customers set name = 'all'",
    "delete from customers where id = 5",
    "delete from parts where a = 5",
    "delete from parts1 where a = 5",
    "select 1; delete from customers where id = 5",
    "with d as (delete from marks) select 1",
    "insert into logged values (1)",
    "insert into marks (level) select wipe()",
    "insert into marks (level) select tidy()",
    "select wipe()",
    "select tidy()",
    "begin; declare c cursor for select wipe(); fetch c; commit",
    "explain analyze select wipe()",
    "create table wiped as select wipe()",
    "do $$ begin delete from marks; end $$",
    "truncate marks",
    "explain analyze delete from marks",
    "prepare p as delete from marks; execute p",
];

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join(" ")
}

fn extended(raw: &mut Raw, sql: &str) -> Vec<Message> {
    let out = [
        frame(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        frame(b'B', b"\0\0\0\0\0\0\0\0"),
        frame(b'E', b"\0\0\0\0\0"),
        frame(b'S', b""),
    ];
    std::io::Write::write_all(&mut raw.stream, &out.concat()).unwrap();
    raw.until(b'Z').unwrap()
}

fn rows(lab: &Lab) -> String {
    let all = "select count(*), count(*) filter (where name = 'all'), (select count(*) from orders), (select count(*) from parts),
        (select count(*) from pinned), (select count(*) from marks), (select count(*) from log where what = 'x') from customers";
    lab.far.sql("shop", all).unwrap()
}

#[test]
fn a_limit_counts_what_goes_along_and_refuses_nothing_that_takes_nothing_along() {
    let mut wrong = Vec::new();
    for changed in ["off", "keys", "wal"] {
        let (lab, _folder) = lab(changed);
        for simple in [true, false] {
            let mut raw = Raw::login(&lab.through(), &[]).unwrap();
            for sql in RUN.iter().filter(|sql| simple || !sql.contains(';')) {
                if !sql.contains("scratch") {
                    // Code that nobody has read, such as a trigger's, may have changed what names mean in its session.
                    raw = Raw::login(&lab.through(), &[]).unwrap();
                }
                let seen = if simple { raw.query(sql).unwrap() } else { extended(&mut raw, sql) };
                wrong.extend(
                    (!code(&seen).is_empty()).then(|| format!("{changed} {simple} {sql}: {}", said(&seen))),
                );
            }
            let mut before = rows(&lab);
            for sql in STOPPED.iter().filter(|sql| simple || !sql.contains(';')) {
                raw = Raw::login(&lab.through(), &[]).unwrap();
                let seen = if simple { raw.query(sql).unwrap() } else { extended(&mut raw, sql) };
                if code(&seen) != "RF003" || rows(&lab) != before {
                    wrong.push(format!("{changed} {simple} {sql}: {}", said(&seen)));
                    before = rows(&lab);
                }
            }
        }
        copies(&lab, changed);
        assert!(lab.gateway.record().unwrap().unbalanced().is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Behind AND CHAIN the target is in a transaction again, but in another one.
#[test]
fn a_chained_transaction_counts_for_itself() {
    let (lab, _folder) = lab("off");
    for end in ["commit and chain", "rollback and chain", "commit; begin"] {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        let sql = "update marks set level = 2 where id <= 3";
        for sql in ["begin", sql, end, sql] {
            let seen = raw.query(sql).unwrap();
            assert_eq!(code(&seen), "", "{end}: {sql}: {}", said(&seen));
        }
        assert_eq!(code(&raw.query("update marks set level = 3 where id = 4").unwrap()), "RF003", "{end}");
    }
}

/// COPY: what it puts in counts, what it gives out does not.
fn copies(lab: &Lab, changed: &str) {
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let seen = raw.query("copy (select * from orders) to stdout").unwrap();
    assert_eq!(code(&seen), "", "{changed}: what is read is not affected");
    assert!(seen.iter().filter(|m| m.tag == b'd').count() > 50);
    let before = rows(lab);
    for (sql, lines, want) in [
        ("copy customers (name) from stdin", 4, "RF003"),
        ("copy (delete from marks returning id) to stdout", 0, "RF003"),
        ("copy (select wipe()) to stdout", 0, "RF003"),
        ("copy logged from stdin", 1, "RF003"),
        ("copy customers (name) from stdin", 3, ""),
    ] {
        raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
        if lines > 0 {
            raw.send(b'd', "7000\n".repeat(lines).as_bytes()).unwrap();
            raw.send(b'c', b"").unwrap();
        }
        assert_eq!(code(&raw.until(b'Z').unwrap()), want, "{changed} {sql}");
        assert_eq!(rows(lab) == before, !want.is_empty(), "{changed} {sql}");
    }
}
