//! Security labels of a target as labels of its columns. No provider of labels is loaded: what one would have written stands in
//! `pg_seclabel` itself.

use std::process::Command;

use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::program;
use serde_json::Value;

const SEED: &str = "create table customers (id int primary key, email text, salary numeric, born date, note text, extension text, plain text);
insert into customers values (1, 'canary-one', 4711.25, '1971-07-07', 'canary-two', 'seven', 'plain'), (2, 'canary-three', 4711.5, '1971-07-07', 'canary-four', 'eight', 'plain');
create view people as select id as number, upper(email) as address, salary * 1 as pay from customers;
create table secret (id int, word text); insert into secret values (1, 'canary-five');
create table sampled (id int, word text); insert into sampled values (1, 'shown');
create table contexts (id int, word text); insert into contexts values (1, 'shown');
set allow_system_table_mods = on;
insert into pg_seclabel (objoid, classoid, objsubid, provider, label)
select t::regclass, 'pg_class'::regclass, coalesce((select attnum from pg_attribute where attrelid = t::regclass and attname = c), 0), p, l
from (values
  ('customers', 'email', 'anon', 'MASKED WITH FUNCTION anon.partial_email(email)'),
  ('customers', 'salary', 'anon', 'MASKED WITH VALUE 0'),
  ('customers', 'born', 'anon', 'masked with function anon.random_date()'),
  ('customers', 'note', 'sensitivity', 'pii:note'),
  ('customers', 'extension', 'anon', 'NOT MASKED'),
  ('secret', '', 'sensitivity', 'for nobody but the board'),
  ('sampled', '', 'anon', 'TABLESAMPLE BERNOULLI(20)'),
  ('contexts', '', 'selinux', 'system_u:object_r:sepgsql_table_t:s0'),
  ('contexts', 'word', 'selinux', 'system_u:object_r:sepgsql_table_t:s0')) as v (t, c, p, l);
grant select on all tables in schema public to app;";

/// A statement, and what the client reads.
const TABLE: &[(&str, &str)] = &[
    ("select id, plain, extension from customers order by id", "1|plain|seven\n2|plain|eight\n"),
    ("select email, note from customers where id = 1", "[masked]|[piinote]\n"),
    ("select salary, born from customers where id = 1", "|\n"),
    ("select word from sampled union all select word from contexts", "shown\nshown\n"),
    ("select id, word from secret", "|[sensitivity]\n"),
    ("select count(*) from customers", "2\n"),
];

/// Statements that may say anything but a labelled value.
const NOTHING_SHOWN: &[&str] = &[
    "select * from customers",
    "select c from customers c",
    "select row_to_json(c) from customers c",
    "select * from people",
    "select string_agg(email, ',') from customers",
    "select max(salary), min(born) from customers",
    "select salary::text || born::text from customers",
    "copy customers to stdout",
    "copy (select email, salary from customers) to stdout with csv",
    "with x as (select email e from customers) select e || '!' from x",
    "prepare p as select email, salary from customers; execute p",
    "begin; declare c cursor for select * from customers; fetch all c; commit",
    "select email::int from customers",
    "select * from secret",
    "select secret from secret",
];

fn psql(place: &Place, sql: &str) -> String {
    let mut command = Command::new(program("psql").unwrap());
    command.args(["-X", "-A", "-t", "-q", "-c", sql]);
    let out = command.envs(place.environment()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn shows(said: &str) -> bool {
    let said = said.to_lowercase();
    ["canary", "4711", "1971"].iter().any(|value| said.contains(value))
}

#[test]
fn what_the_target_labels_is_masked() {
    let plan = Plan { top: "[policy]\n".to_owned(), seed: SEED.to_owned(), ..Plan::default() };
    let lab = Lab::start(plan).unwrap();
    assert!(shows(&psql(&lab.direct(), "select * from customers")), "the values are there");
    let through = lab.through();
    let mut wrong: Vec<String> = Vec::new();
    for (sql, expected) in TABLE {
        let said = psql(&through, sql);
        if said != *expected {
            wrong.push(format!("{sql}: {said}"));
        }
    }
    for sql in NOTHING_SHOWN {
        let said = psql(&through, sql);
        if shows(&said) || said.contains("Firsthand refused") {
            wrong.push(format!("{sql}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let record = lab.gateway.record().unwrap();
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("canary")), "the record has a masked value");
    // Whoever asks beforehand is told by which label.
    let args = ["policy", "explain", "--json", "--target", "shop", "--as", AGENT, "select * from customers"];
    let out = lab.gateway.command(&args).unwrap().output().unwrap();
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    let masks = said["masks"].to_string();
    for column in ["email", "salary", "born", "note"] {
        assert!(masks.contains(column), "{column}: {masks}");
    }
    assert!(!masks.contains("plain") && !masks.contains("extension"), "{masks}");
}
