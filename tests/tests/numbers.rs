//! Card numbers that stand in columns of numbers: found without a label, masked as numbers, in every format; and no other number.

use std::io::Write as _;
use std::process::Command;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::program;
use firsthand_tests::raw::{Message, Raw, extended, frame};
use firsthand_tests::record::Entry;

const SEED: &str = "create domain amount as bigint;
create table copied (id int primary key, pan bigint, n bigint, phone bigint, done bool, at timestamptz, day date, u uuid, share float8,
  paid numeric(20, 2), note text, mail varchar(40), doc jsonb, list bigint[], d amount, k int);
insert into copied select i, 4111111111111111, 5555555555554444, 4915112345678, true, '2024-05-06 07:08:09.5+00', '2024-05-06',
  '4d0d5d5e-0000-4000-8000-000000000001', 0.1 + 0.2, 4012888888881881, 'write to ada.zqcanary@example.com', 'bob.zqcanary@example.com',
  json_build_object('a', 'eve.zqcanary@example.com'), '{1,378282246310005}', 6011111111111117, i from generate_series(1, 3) i;
create table plain as select id, n + 1 as n, at, day, u, share, done, k from copied;
create view seen as select n, note, k from copied;
grant select on copied, plain, seen to app;
create table payments (id bigint primary key, pan bigint, amount numeric, pan_numeric numeric(20, 2), list bigint[], at_micros bigint, snowflake_id bigint);
insert into payments values
  (1, 4111111111111111, 12.50, 5555555555554444.00, '{1,4012888888881881}', 1732665600000001, 4111111111111111),
  (2, 9223372036854775807, 1000000000000, -4111111111111111, '{1,2}', 1732665600000002, 1),
  (3, null, 4111111111111111.5, null, null, null, 1234567890123456);
grant select on payments to app;";

/// A statement, and what a client reads.
const TABLE: &[(&str, &str)] = &[
    (
        "select id, pan, amount, pan_numeric, list, at_micros from payments order by id",
        "1|0|12.50|0|{1,0}|1732665600000001\n2|9223372036854775807|1000000000000|-4111111111111111.00|{1,2}|1732665600000002\n\
         3||4111111111111111.5|||\n",
    ),
    // A name that says otherwise.
    ("select snowflake_id from payments order by id", "4111111111111111\n1\n1234567890123456\n"),
    ("select pan from payments where id = 1", "0\n"),
    ("select pan + 0 as pan_again, pan::numeric as n from payments where id = 1", "0|0\n"),
    ("select max(pan_numeric) as highest from payments", "0\n"),
    ("select count(*), sum(id), 12345678901234 from payments", "3|6|12345678901234\n"),
    ("select row(pan, 1), to_jsonb(pan), pan::text from payments where id = 1", ""),
    ("copy (select pan from payments where id = 1) to stdout", ""),
    // Words of a text.
    (
        "select to_tsvector('simple', note) as words from copied where id = 1",
        "'[email]':3 'to':2 'write':1\n",
    ),
    (
        "select array[to_tsvector('simple', note)] as words from copied where id = 1",
        "{\"'[email]':3 'to':2 'write':1\"}\n",
    ),
];

fn psql(place: &Place, sql: &str) -> String {
    let mut command = Command::new(program("psql").unwrap());
    command.args(["-X", "-A", "-t", "-q"]);
    // Statements of one session, each in a message of its own.
    for one in sql.split(";; ") {
        command.args(["-c", one]);
    }
    let out = command.envs(place.environment()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// The values of the rows of a statement, in binary.
fn binary(raw: &mut Raw, sql: &str) -> Vec<Vec<u8>> {
    raw.stream.write_all(&extended(sql, true, true)).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    seen.into_iter().filter(|m| m.tag == b'D').map(|m| m.body).collect()
}

/// COPYs; beside each, what stands in its data as it is, and what does not.
const COPIES: &[(&str, &[&str])] = &[
    ("copied", &["2024-05-06 07:08:09.5+00", "4d0d5d5e-0000-4000-8000-000000000001", "0.3"]),
    ("copied (k, note, n)", &["1"]),
    ("(select n, share, note, d from copied)", &["0.3"]),
    ("(select n + 0 as x, n::numeric as y, note || '' as z, coalesce(d, 1) as w from copied)", &[]),
    ("(select c.*, 1 as one from copied c join plain p using (id))", &["2024-05-06"]),
    ("(select * from seen)", &[]),
    ("(select max(n) as a, min(paid) as b, array_agg(d) as c, max(note) as e from copied)", &[]),
    ("(select row(n, k) as a, array_agg(row(id, d)) as b from copied group by n, k)", &[]),
    ("(select n from copied union all select d from copied)", &[]),
    ("(with w as (select * from copied) select note, n, paid from w)", &[]),
    ("plain", &["5555555555554445", "2024-05-06 07:08:09.5+00", "4d0d5d5e-0000-4000-8000-000000000001"]),
];

/// Card numbers and what only detection knows, as text and in binary.
const CARDS: [i64; 5] = [
    4_111_111_111_111_111,
    5_555_555_555_554_444,
    4_012_888_888_881_881,
    378_282_246_310_005,
    6_011_111_111_111_117,
];

fn copied(raw: &mut Raw, sql: &str) -> Vec<u8> {
    raw.stream.write_all(&frame(b'Q', format!("{sql}\0").as_bytes())).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    let failed: Vec<_> = seen.iter().filter(|m| m.tag == b'E').map(Message::line).collect();
    assert!(failed.is_empty(), "{sql}: {failed:?}");
    seen.into_iter().filter(|m| m.tag == b'd').flat_map(|m| m.body).collect()
}

/// A `numeric` in binary has four digits in two bytes.
fn groups(card: i64) -> Vec<u8> {
    let text = card.to_string();
    let text = format!("{}{text}", "0".repeat((4 - text.len() % 4) % 4));
    let group = |four: &[u8]| String::from_utf8_lossy(four).parse::<u16>().unwrap().to_be_bytes();
    text.as_bytes().chunks(4).flat_map(group).collect()
}

/// COPY, whose data tells no types: what the definitions say of them finds numbers in binary, and lets pass what holds no
/// text; also where somebody has changed the types since.
#[test]
fn copied_numbers_are_found_in_every_form_and_the_rest_passes() {
    let plan = Plan { top: "[policy]\n".to_owned(), seed: SEED.to_owned(), ..Plan::default() };
    let lab = Lab::start(plan).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut direct = Raw::login(&lab.direct(), &[]).unwrap();
    let hidden: Vec<Vec<u8>> = CARDS
        .iter()
        .flat_map(|c| [c.to_string().into_bytes(), c.to_be_bytes().to_vec(), groups(*c)])
        .chain([
            b"zqcanary".to_vec(),
            b"4915112345678".to_vec(),
            4_915_112_345_678_i64.to_string().into_bytes(),
        ])
        .collect();
    let has = |data: &[u8], what: &[u8]| data.windows(what.len()).any(|w| w == what);
    let check = |raw: &mut Raw, direct: &mut Raw, what: &str, kept: &[&str]| {
        for form in ["text", "csv", "binary"] {
            let sql = format!("copy {what} to stdout (format {form})");
            let (data, plain) = (copied(raw, &sql), copied(direct, &sql));
            for hidden in &hidden {
                assert!(!has(&data, hidden), "{sql}: {hidden:?} in {}", String::from_utf8_lossy(&data));
            }
            if form != "binary" {
                let kept: Vec<_> = kept.iter().filter(|k| !has(&data, k.as_bytes())).collect();
                assert!(kept.is_empty(), "{sql}: {kept:?} not in {}", String::from_utf8_lossy(&data));
                assert!(kept.is_empty() || !has(&data, b"[card]"), "{sql}: a number stays one");
            }
            if what == "plain" {
                assert_eq!(data, plain, "{sql}: nothing to mask");
            }
        }
    };
    for (what, kept) in COPIES {
        check(&mut raw, &mut direct, what, kept);
    }
    // The gateway does not know of this yet: it goes by the data.
    lab.far
        .sql(
            "shop",
            "drop view seen; alter table copied alter k type text using 'ada.zqcanary@example.com', alter u type text using '4111111111111111',
             alter done type text using 'x zqcanary@example.com', alter day type varchar(40) using '2024-05-06 zqcanary@example.com',
             alter share type bigint using 6011111111111117, alter at type text using '5555-5555-5555-4444'",
        )
        .unwrap();
    for what in
        ["copied", "copied (k, u, done, day, share, at)", "(select k, u, done, day, share from copied)"]
    {
        check(&mut raw, &mut direct, what, &[]);
    }
}

#[test]
fn a_card_in_a_column_of_numbers_becomes_zero() {
    let plan = Plan { top: "[policy]\n".to_owned(), seed: SEED.to_owned(), ..Plan::default() };
    let lab = Lab::start(plan).unwrap();
    let through = lab.through();
    let mut wrong = Vec::new();
    for (sql, expected) in TABLE {
        let said = psql(&through, sql);
        let leaks = expected.is_empty() && said.contains("4111111111111111");
        if leaks || (!expected.is_empty() && said != *expected) {
            wrong.push(format!("{sql}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut raw = Raw::login(&through, &[]).unwrap();
    let direct = |sql: &str| binary(&mut Raw::login(&lab.direct(), &[]).unwrap(), sql);
    let masked = [
        ("select pan from payments where id = 1", "select 0::bigint"),
        ("select pan_numeric from payments where id = 1", "select 0::numeric"),
        ("select list from payments where id = 1", "select '{1,0}'::bigint[]"),
        ("select array[pan_numeric] from payments where id = 1", "select array[0::numeric]"),
        (
            "select at_micros, amount, pan_numeric from payments where id = 2",
            "select 1732665600000002::bigint, 1000000000000::numeric, -4111111111111111::numeric(20, 2)",
        ),
    ];
    for (sql, same) in masked {
        assert_eq!(binary(&mut raw, sql), direct(same), "{sql}");
    }
    let record = lab.gateway.record().unwrap();
    let with = |value: &str| record.0.iter().filter(|e| e.0.to_string().contains(value)).count();
    assert_eq!(with("5555555555554444") + with("4012888888881881"), 0, "the record has what the client got");
    assert!(with("1732665600000001") > 0, "the record has rows");
    let masked = record.of_kind("command.completed").any(|e| e.0.to_string().contains("agents-masked"));
    assert!(masked, "the rule of a mask stands beside its column");
}

/// Values that are found by the names of their columns, and nothing else.
const NAMED: &str = "create table clients (id bigint primary key, card_number text, phone text, ssn text, first_name text, code text, size bigint);
create view shown as select id, phone as reference, first_name as kind from clients;
insert into clients values (1, '4111111111111111', '4155552671', '078051120', 'Oyelaran', 'K7', 4155552671);
grant select on clients, shown to app;";

/// Ways to call such a value something ordinary.
const ALIASES: [&str; 11] = [
    "select card_number as order_id, phone as version, ssn as total, first_name as status from clients",
    "select card_number::text as order_id, phone::varchar as n, ssn::bigint::text as total, upper(first_name) as status from clients",
    "select order_id, n, first_name from (select card_number as order_id, phone as n, trim(first_name) as first_name from clients) s",
    "with w (order_id, n, total) as (select card_number, phone, ssn from clients) select * from w",
    "select reference, kind from shown",
    "select reference || '' as order_id, coalesce(kind, '') as status from shown",
    "select card_number as order_id from clients union all select ssn from clients",
    "select (select phone from clients limit 1) as order_id, max(ssn) as total, min(first_name) as status from clients",
    "select case when id = 1 then phone end as order_id, nullif(ssn, '') as n from clients",
    "select array_agg(phone) as order_ids, string_agg(ssn, ',') as totals from clients",
    "select phone as ssn, ssn as card_number, first_name as phone from clients",
];

/// What is no such value, though it is made with one; a client reads it as it is.
const ORDINARY: [(&str, &str); 5] = [
    ("select id as order_id, code, size as total from clients", "1|K7|4155552671\n"),
    (
        "select length(first_name) as n, count(phone), phone is null as missing from clients group by 1, 3",
        "8|1|f\n",
    ),
    (
        "select case when first_name = 'Ada' then 'founder' else 'member' end as kind, char_length(phone)::text as n from clients",
        "member|10\n",
    ),
    ("select case when phone is null then 'absent' else 'present' end as status from clients", "present\n"),
    ("select code as reference, id::text as version from clients", "K7|1\n"),
];

/// An alias does not say less than the columns behind it: rows, COPY and cursors.
#[test]
fn an_alias_hides_no_value_from_detection() {
    let plan = Plan { top: "[policy]\n".to_owned(), seed: NAMED.to_owned(), ..Plan::default() };
    let lab = Lab::start(plan).unwrap();
    let through = lab.through();
    let mut wrong = Vec::new();
    let hidden = ["4111111111111111", "4155552671", "078051120", "78051120", "yelaran", "YELARAN"];
    for sql in ALIASES {
        let cursor = format!("begin;; declare c cursor for {sql};; fetch all from c;; commit");
        for sql in
            [sql.to_owned(), format!("copy ({sql}) to stdout"), format!("copy ({sql}) to stdout csv"), cursor]
        {
            let said = psql(&through, &sql);
            let leak = hidden.iter().any(|hidden| said.contains(hidden));
            if leak || said.contains("ERROR") || said.trim().is_empty() {
                wrong.push(format!("{sql}: {said}"));
            }
        }
    }
    for (sql, expected) in ORDINARY {
        let said = psql(&through, sql);
        if said != expected {
            wrong.push(format!("{sql}: {said}"));
        }
        let copied = psql(&through, &format!("copy ({sql}) to stdout with (delimiter '|')"));
        if copied != expected {
            wrong.push(format!("copy {sql}: {copied}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let record = lab.gateway.record().unwrap();
    let meant = |entry: &Entry| entry.leaf("resolved").to_string().contains("public.clients");
    assert!(record.of_kind("command.decided").any(meant), "what a name means stands beside it");
}
