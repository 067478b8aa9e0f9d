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
}
