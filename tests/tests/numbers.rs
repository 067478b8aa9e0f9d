//! Card numbers that stand in columns of numbers: found without a label, masked as numbers, in every format; and no other number.

use std::io::Write as _;
use std::process::Command;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::program;
use firsthand_tests::raw::{Message, Raw, frame};

const SEED: &str = "create table payments (id bigint primary key, pan bigint, amount numeric, pan_numeric numeric(20, 2), list bigint[], at_micros bigint, snowflake_id bigint);
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
];

fn psql(place: &Place, sql: &str) -> String {
    let mut command = Command::new(program("psql").unwrap());
    command.args(["-X", "-A", "-t", "-q", "-c", sql]);
    let out = command.envs(place.environment()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// The values of the rows of a statement, in binary.
fn binary(raw: &mut Raw, sql: &str) -> Vec<Vec<u8>> {
    let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
    out.extend(frame(b'B', b"\0\0\0\0\0\0\0\x01\0\x01"));
    out.extend(frame(b'D', b"P\0"));
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    raw.stream.write_all(&out).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    seen.into_iter().filter(|m| m.tag == b'D').map(|m| m.body).collect()
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
