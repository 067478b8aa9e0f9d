//! pg_dump under the shipped rules: it works where there is no limit of time that it would lift, and its data are masked.

use std::process::Command;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::postgres::program;
use firsthand_tests::raw::Raw;

const SEED: &str = "create table customers (id serial primary key, name text, email text);
insert into customers (name, email) values ('plain words', 'ada.canary@example.com'), ('Grace', 'grace.canary@example.com');
create view mails as select email from customers;
create type mood as enum ('ok', 'bad'); create domain small as int check (value < 10);
create table parts (id int, m mood, s small) partition by range (id);
create table parts_1 partition of parts for values from (0) to (10);
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create index on customers (lower(name));
grant all on all tables in schema public to app; grant all on all sequences in schema public to app;";

fn lab(more: &str) -> Lab {
    let seed = format!("{SEED}\n{more}");
    Lab::start(Plan { top: "[policy]\n".to_owned(), seed, ..Plan::default() }).unwrap()
}

/// The code of the error, or nothing.
fn code(lab: &Lab, parameters: &[(&str, &str)], sql: &str) -> String {
    let mut raw = Raw::login(&lab.through(), parameters).unwrap();
    let seen = raw.query(sql).unwrap();
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

#[test]
fn a_dump_is_whole_and_masked() {
    let lab = lab("");
    for form in [&["--no-owner"][..], &["--no-owner", "--inserts"], &["--schema-only"]] {
        let mut command = Command::new(program("pg_dump").unwrap());
        let out = command.args(form).envs(lab.through().environment()).output().unwrap();
        let (said, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{form:?}: {error}");
        assert!(!said.contains("canary"), "{form:?}: {said}");
        for part in
            ["CREATE TABLE public.customers", "CREATE VIEW public.mails", "CREATE FUNCTION public.twice"]
        {
            assert!(said.contains(part), "{form:?} has no {part}: {said}");
        }
        assert_eq!(said.contains("plain words"), form[0] != "--schema-only", "{form:?}");
    }
}

#[test]
fn a_dump_of_a_schema_does_not_ask_for_foreign_users() {
    let lab = lab(
        "create foreign data wrapper far; create server far foreign data wrapper far; grant usage on foreign server far to app; \
         create user mapping for app server far options (user 'over', password 'canary');",
    );
    for (form, done) in [(&["--schema=public"][..], true), (&[], false)] {
        let mut command = Command::new(program("pg_dump").unwrap());
        let out = command.args(form).envs(lab.through().environment()).output().unwrap();
        let (said, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.success(), done, "{form:?}: {error}");
        assert_eq!(said.contains("CREATE TABLE public.customers"), done, "{form:?}");
        assert!(!said.contains("canary"), "{form:?}: {said}");
        assert_eq!(error.contains("agents-secret-columns"), !done, "{form:?}: {error}");
    }
}

#[test]
fn only_who_has_no_limit_of_time_may_set_none() {
    const NONE: [&str; 3] = [
        "set statement_timeout = 0",
        "select set_config('statement_timeout', '0', false)",
        "set local statement_timeout to '1us'",
    ];
    let free = lab("");
    for sql in NONE {
        assert_eq!(code(&free, &[], sql), "", "{sql}");
        for began in [("options", "-c statement_timeout=5s"), ("statement_timeout", "5s")] {
            assert_eq!(code(&free, &[began], sql), "42501", "{sql} {began:?}");
        }
        assert_eq!(code(&free, &[], &format!("set statement_timeout = '5s'; {sql}")), "", "{sql}");
    }
    let limited = lab("alter role app set statement_timeout = '10s'");
    for sql in NONE {
        assert_eq!(code(&limited, &[], sql), "42501", "{sql}");
    }
    assert_eq!(code(&limited, &[], "set statement_timeout = '20s'"), "");
}
