//! What only a column's name tells (a first name, a password, a date of birth) is found under whatever name, in whatever
//! array, document, row or function it leaves, and ordinary words beside it are left alone.

use std::io::Write as _;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, extended, frame};

const SEED: &str = "create extension if not exists hstore;
create table people (id int primary key, first_name text, password text, birth_date date, date_of_birth timestamptz, status text,
  created_at date, full_name text, tags text[], attrs hstore);
insert into people select i, 'Zacharias', 'zq-opensesame', '1947-11-03', '1947-11-03 07:11:13+00', 'Active', '2024-05-06',
  'Zacharias Quenneville', '{Blue,Green}', 'first_name=>Zacharias,colour=>Blue'
  from generate_series(1, 3) i;
create view members as select id, first_name as label, to_jsonb(first_name) as doc from people;
create function one() returns text language sql stable as 'select first_name from people limit 1';
create function all_of() returns setof text language sql stable as 'select first_name from people';
grant select on people, members to app;";

/// What must not be in what these give.
const HIDDEN: [&str; 4] = ["Zacharias", "opensesame", "1947-11-03", "ZACHARIAS"];

const STATEMENTS: &str = include_str!("wrapped/statements.sql");

/// What is left as it is, and what it gives.
const ORDINARY: [(&str, &str); 14] = [
    ("select to_jsonb(p) as it from people p where id = 1", "\"status\": \"Active\""),
    ("select to_jsonb(p) as it from people p where id = 1", "\"created_at\": \"2024-05-06\""),
    ("select json_agg(p) as it from people p", "\"status\":\"Active\""),
    ("select json_build_object('first_name', first_name, 'status', status) as it from people", "\"Active\""),
    ("select jsonb_build_object('vorname', first_name, 'status', status) as it from people", "\"Active\""),
    (
        "select json_build_object('id', id, 'name', full_name, 'status', status, 'tags', tags) as it from people",
        "Active",
    ),
    (
        "select json_build_object('id', id, 'name', full_name, 'status', status, 'tags', tags) as it from people",
        "Blue",
    ),
    ("select jsonb_build_object('title', status, 'author', first_name) as it from people", "Active"),
    ("select p from people p where id = 1", "2024-05-06"),
    ("select row(first_name, status, created_at) as it from people", "Active"),
    ("select json_build_array(first_name, status) as it from people", "Active"),
    ("select array_agg(status) as source from people", "{Active,Active,Active}"),
    ("select created_at, length(first_name) as n, status as kind from people", "2024-05-06"),
    ("select json_build_object('n', length(first_name), 'state', status) as it from people", "Active"),
];

fn lab() -> Lab {
    Lab::start(Plan { top: "[policy]\n".to_owned(), seed: SEED.to_owned(), ..Plan::default() }).unwrap()
}

fn simple(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

/// The data of all rows and copies; an error is none of them.
fn given(raw: &mut Raw, sql: &str, bytes: &[u8]) -> Vec<u8> {
    raw.stream.write_all(bytes).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    let failed: Vec<_> = seen.iter().filter(|m| m.tag == b'E').map(Message::line).collect();
    assert!(failed.is_empty(), "{sql}: {failed:?}");
    seen.into_iter().filter(|m| matches!(m.tag, b'D' | b'd')).flat_map(|m| m.body).collect()
}

fn has(data: &[u8], what: &[u8]) -> bool {
    data.windows(what.len()).any(|w| w == what)
}

#[test]
fn what_a_columns_name_tells_is_found_in_whatever_it_leaves() {
    let lab = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    // Days and moments in binary: what they are 2000-01-01 away.
    let day = (-19_052_i32).to_be_bytes();
    let moment = (-19_052 * 86_400_000_000_i64 + 25_873_000_000).to_be_bytes();
    let hidden: Vec<&[u8]> = HIDDEN.iter().map(|h| h.as_bytes()).chain([&day[..], &moment[..]]).collect();
    let mut wrong = Vec::new();
    for sql in STATEMENTS.lines().filter(|l| !l.is_empty() && !l.starts_with("--")) {
        for (way, bytes) in [
            ("simple", simple(sql)),
            ("text", extended(sql, false, true)),
            ("binary", extended(sql, true, true)),
        ] {
            let data = given(&mut raw, sql, &bytes);
            assert!(!data.is_empty(), "{sql}: nothing came");
            if hidden.iter().any(|hidden| has(&data, hidden)) {
                wrong.push(format!("{way} {sql}: {}", String::from_utf8_lossy(&data)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What an error cites has no name, and nothing of it passes; errors about other columns, and about the text, are as they were.
#[test]
fn an_error_about_data_does_not_cite_it() {
    let lab = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, told) in [
        ("select password::int from people", "22P02"),
        ("select first_name::uuid from people", "22P02"),
        ("select id from people where password::numeric > 1", "22P02"),
        ("select to_date(first_name, 'YYYY') from people", "22007"),
        ("select ('{' || password)::jsonb from people", "22P02"),
        ("select status::int from people", "invalid input syntax for type integer: \"Active\""),
        ("select 'Zuse'::int, password from people", "invalid input syntax for type integer: \"Zuse\""),
        ("select 1 / (id - 1) from people", "division by zero"),
    ] {
        for bytes in [simple(sql), extended(sql, false, true)] {
            raw.stream.write_all(&bytes).unwrap();
            let seen: Vec<Message> = raw.until(b'Z').unwrap();
            let error = seen.iter().find(|m| m.tag == b'E').unwrap_or_else(|| panic!("{sql}: no error"));
            assert!(has(&error.body, told.as_bytes()), "{sql}: {}", error.line());
            let cited = HIDDEN.iter().find(|hidden| has(&error.body, hidden.as_bytes()));
            assert_eq!(cited, None, "{sql}: {}", error.line());
        }
    }
}

#[test]
fn ordinary_words_beside_it_are_left_alone() {
    let lab = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, kept) in ORDINARY {
        let data = given(&mut raw, sql, &simple(sql));
        assert!(has(&data, kept.as_bytes()), "{sql}: {}", String::from_utf8_lossy(&data));
    }
}
