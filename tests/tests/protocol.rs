//! What the gateway says for itself at the start of a session: versions, keys, pids, parameters.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, PROTOCOL_3_2, Raw};

fn negotiated(raw: &Raw) -> Option<(u32, Vec<String>)> {
    let message = raw.greeting.iter().find(|m| m.tag == b'v')?;
    let version = u32::from_be_bytes(message.body[..4].try_into().unwrap());
    let names = message.body[8..].split(|&b| b == 0).filter(|n| !n.is_empty());
    Some((version, names.map(|n| String::from_utf8_lossy(n).into_owned()).collect()))
}

fn runs_and_cancels(lab: &Lab, raw: &mut Raw) {
    raw.send(b'Q', b"do $$ begin raise notice 'running'; perform pg_sleep(60); end $$\0").unwrap();
    raw.until(b'N').unwrap();
    raw.cancel(&lab.through()).unwrap();
    let seen = raw.until(b'Z').unwrap();
    assert_eq!(seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).as_deref(), Some("57014"));
}

#[test]
fn protocol_3_2_has_long_cancel_keys() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::connect(&lab.through()).unwrap();
    raw.start(&lab.through(), PROTOCOL_3_2, &[]).unwrap();
    assert_eq!(negotiated(&raw), None, "3.2 is spoken as asked");
    assert!(raw.key.len() > 8, "pid and secret are {} bytes", raw.key.len());
    runs_and_cancels(&lab, &mut raw);
}

#[test]
fn a_version_and_options_of_the_future_are_negotiated_down() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::connect(&lab.through()).unwrap();
    raw.start(&lab.through(), 0x0003_0063, &[("_pq_.of_the_future", "on")]).unwrap();
    let (version, names) = negotiated(&raw).unwrap();
    // The whole version, as PostgreSQL sends it (its documentation calls it the minor one).
    assert_eq!(version, PROTOCOL_3_2);
    assert_eq!(names, ["_pq_.of_the_future"]);
    runs_and_cancels(&lab, &mut raw);
    let mut old = Raw::connect(&lab.through()).unwrap();
    let why = format!("{:#}", old.start(&lab.through(), 0x0002_0000, &[]).unwrap_err());
    assert!(why.contains("0A000"), "{why}");
}

#[test]
fn the_pid_is_the_targets_and_parameters_pass_both_ways() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(
        &lab.through(),
        &[("application_name", "x"), ("my.setting", "passed on"), ("options", "-c geqo=off")],
    )
    .unwrap();
    let pid = u32::from_be_bytes(raw.key[..4].try_into().unwrap());
    let row = |raw: &mut Raw, sql: &str| {
        let seen = raw.query(sql).unwrap();
        let row = seen.iter().find(|m| m.tag == b'D').unwrap_or_else(|| panic!("{seen:?}"));
        String::from_utf8_lossy(&row.body[6..]).into_owned()
    };
    assert_eq!(row(&mut raw, "select pg_backend_pid()"), pid.to_string());
    assert_eq!(row(&mut raw, "show my.setting"), "passed on");
    assert_eq!(row(&mut raw, "show geqo"), "off");
    assert_eq!(row(&mut raw, "show application_name"), "x");
    let reported: Vec<String> = raw.greeting.iter().filter(|m| m.tag == b'S').map(Message::line).collect();
    assert!(reported.iter().any(|line| line.starts_with("S application_name\\x00x\\x00")), "{reported:?}");
    assert!(
        reported.iter().any(|line| line.starts_with("S session_authorization\\x00app\\x00")),
        "{reported:?}"
    );
    let record = lab.gateway.record().unwrap();
    let opened = record.of_kind("session.opened").next().unwrap();
    assert_eq!(opened.leaf("who")["pid"].as_u64(), Some(u64::from(pid)));
    assert_eq!(opened.leaf("who")["role"].as_str(), Some("app"));
    assert!(opened.payload("claims").to_string().contains("application_name"), "{}", opened.0);
}

#[test]
fn the_role_in_force_is_followed() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "select 'before'",
        "set role app_reader",
        "select 'as reader'",
        "begin",
        "set local role none",
        "select 'as app again'",
        "rollback",
        "select 'as reader still'",
        "reset role",
        "select 'at the end'",
    ] {
        raw.query(sql).unwrap();
    }
    let record = lab.gateway.record().unwrap();
    let role = |text: &str| {
        let intent = record.intents(text).next().unwrap();
        intent.leaf("who")["role"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(role("'before'"), "app");
    assert_eq!(role("'as reader'"), "app_reader");
    assert_eq!(role("'as app again'"), "app");
    assert_eq!(role("'as reader still'"), "app_reader");
    assert_eq!(role("'at the end'"), "app");
    // Asked for together, before any of it has run: which role the later ones have is not claimed.
    raw.query("select 'first'; set role app_reader; select 'second'; reset role; select 'third'").unwrap();
    let hidden = "do $$ begin perform set_config('role', 'app_reader', false); end $$; select 'fourth'";
    raw.query(hidden).unwrap();
    let record = lab.gateway.record().unwrap();
    for (text, unknown) in [("'first'", false), ("'second'", true), ("'third'", true), ("'fourth'", true)] {
        let intent = record.intents(text).last().unwrap();
        assert_eq!(intent.leaf("coverage").to_string().contains("role-unknown"), unknown, "{text}");
    }
    let outcome = record.outcome(record.intents("'second'").next().unwrap()).unwrap();
    assert_eq!(outcome.leaf("who")["role"], "app_reader");
}

/// A FunctionCall with these arguments, all in binary.
fn called(raw: &mut Raw, function: u32, arguments: &[&[u8]]) -> Vec<u8> {
    let mut body = function.to_be_bytes().to_vec();
    body.extend([0, 1, 0, 1, 0, u8::try_from(arguments.len()).unwrap()]);
    for argument in arguments {
        body.extend(u32::try_from(argument.len()).unwrap().to_be_bytes());
        body.extend_from_slice(argument);
    }
    body.extend([0, 1]);
    raw.send(b'F', &body).unwrap();
    let seen = raw.until(b'Z').unwrap();
    seen.iter().find(|m| m.tag == b'V').unwrap_or_else(|| panic!("{seen:?}")).body.to_vec()
}

/// What libpq's `lo_read` gets: the record has the bytes, their number and their digest, as of any other result.
#[test]
fn the_answer_to_a_function_call_is_kept_up_to_the_cap() {
    let lab =
        Lab::start(Plan { more: "record = { bytes = \"512KiB\" }\n".to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.query("begin; select lo_from_bytea(4711, convert_to(repeat('x', 600000), 'utf8'))").unwrap();
    let fd = called(&mut raw, 952, &[&4711_u32.to_be_bytes(), &0x40000_u32.to_be_bytes()]);
    let fd = fd[4..].to_vec();
    for (size, kept) in [(10_u32, 1), (200_000, 1), (300_000, 0)] {
        let answer = called(&mut raw, 954, &[&fd, &size.to_be_bytes()]);
        assert_eq!(answer.len(), 4 + size as usize);
        let record = lab.gateway.record().unwrap();
        let intent = record.intents("loread").last().unwrap();
        let outcome = record.outcome(intent).unwrap();
        assert_eq!((outcome.leaf("rows"), outcome.leaf("kept")), (&1.into(), &kept.into()), "{size}");
        assert_eq!(outcome.leaf("bytes").as_u64(), Some(5 + answer.len() as u64));
        assert_eq!(outcome.payload("digest").as_str().map(str::len), Some(64), "{outcome:?}");
        let pieces = record.of_kind("command.rows").filter(|e| e.command() == intent.command());
        let value = pieces.last().map_or_else(|| outcome.payload("rows"), |piece| piece.payload("rows"));
        let text = value[0][0].as_str().unwrap_or_default();
        assert_eq!(text.len(), if kept == 1 { 2 + 2 * size as usize } else { 0 }, "{size}");
        assert_eq!(outcome.leaf("coverage").to_string().contains("rows-past-cap"), kept == 0);
    }
    assert!(lab.gateway.record().unwrap().unbalanced().is_empty());
}

/// Rows that are larger than a piece of a result: all of them are there, and the count says so.
#[test]
fn large_rows_are_kept_up_to_the_cap() {
    let seed = "create table t (id int primary key, v text); grant all on t to app;".to_owned();
    let more = "changed_rows = \"values\"\n".to_owned();
    let lab = Lab::start(Plan { more, seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, kept) in [
        ("select repeat('x', 700000)", 1),
        ("select repeat('x', 200000) from generate_series(1, 5)", 5),
        ("select repeat('x', 2000000)", 0),
        ("copy (select repeat('x', 500000)) to stdout", 1),
        ("insert into t select g, repeat('x', 250000) from generate_series(1, 4) g returning v", 4),
    ] {
        raw.query(sql).unwrap();
        let record = lab.gateway.record().unwrap();
        let intent = record.intents(sql).next().unwrap();
        let of = |kind| record.of_kind(kind).filter(|e| e.command() == intent.command());
        let pieces: Vec<_> = of("command.rows").collect();
        let found: usize = pieces.iter().map(|e| e.payload("rows").as_array().map_or(0, Vec::len)).sum();
        assert_eq!(found, kept, "{sql}");
        let outcome = record.outcome(intent).unwrap();
        assert_eq!(outcome.leaf("kept").as_u64(), Some(kept as u64), "{sql}");
        assert_eq!(outcome.leaf("coverage").to_string().contains("rows-past-cap"), kept == 0, "{sql}");
        let changed: Vec<_> = of("command.changed").collect();
        let new: usize = changed.iter().map(|e| e.named_rows("new").len()).sum();
        assert_eq!(new, if sql.starts_with("insert") { 4 } else { 0 }, "{changed:?}");
    }
}

/// More notices than are kept, and texts of an error and a notice that are longer: what is left out is said.
#[test]
fn messages_that_are_not_kept_whole_are_said_to_be_cut() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (what, cut) in [
        ("raise notice 'short'; raise warning 'short'", false),
        ("for i in 1..1000 loop raise notice 'many %', i; end loop", true),
        ("raise notice '%', repeat('x', 9000)", true),
        ("raise exception 'short'", false),
        ("raise exception '%', repeat('x', 9000)", true),
    ] {
        raw.query(&format!("do $$ begin {what}; end $$")).unwrap();
        let record = lab.gateway.record().unwrap();
        let outcome = record.outcome(record.intents(what).next().unwrap()).unwrap();
        assert_eq!(outcome.leaf("coverage").to_string().contains("messages-cut"), cut, "{what}");
    }
}
