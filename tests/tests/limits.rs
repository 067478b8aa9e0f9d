//! The limits of `[limits]`: passing one is an answer in the protocol and an entry of the record.

use std::io::Write;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::Record;

/// A lab whose gateway has these limits.
fn limited(limits: &str) -> Lab {
    let mut lab = Lab::start(Plan::default()).unwrap();
    lab.gateway.stop().unwrap();
    lab.gateway.rewrite(|settings| settings.more = format!("[limits]\n{limits}\n")).unwrap();
    lab.gateway.serve().unwrap();
    lab
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn closings(record: &Record) -> Vec<&str> {
    record.of_kind("session.closed").map(|e| e.leaf("why").as_str().unwrap_or_default()).collect()
}

#[test]
fn no_more_sessions_than_are_allowed_until_one_ends() {
    let lab = limited("sessions = 2");
    let mut first = Raw::login(&lab.through(), &[]).unwrap();
    let mut second = Raw::login(&lab.through(), &[]).unwrap();
    let why = match Raw::login(&lab.through(), &[]) {
        Ok(_) => panic!("a third of two sessions"),
        Err(why) => format!("{why:#}"),
    };
    assert!(why.contains("refused: E") && why.contains("CRF003"), "{why}");
    assert_eq!(code(&second.query("select 1").unwrap()), "", "the others live on");
    first.send(b'X', &[]).unwrap();
    first.until_closed().unwrap();
    until("there is room again", || Ok(Raw::login(&lab.through(), &[]).is_ok())).unwrap();
    let record = lab.gateway.record().unwrap();
    let refused: Vec<_> = record.of_kind("session.refused").collect();
    assert!(!refused.is_empty());
    for entry in refused {
        assert_eq!(entry.leaf("why").as_str(), Some("limit"), "{}", entry.0);
        assert!(entry.payload("detail").to_string().contains("limits.sessions"), "{}", entry.0);
    }
}

#[test]
fn an_idle_session_is_told_and_ended_and_a_busy_one_is_not() {
    let lab = limited("idle = \"1s\"");
    let mut busy = Raw::login(&lab.through(), &[]).unwrap();
    let mut idle = Raw::login(&lab.through(), &[]).unwrap();
    // A statement that takes longer than any idleness may is none.
    busy.send(b'Q', b"select pg_sleep(8)\0").unwrap();
    let said = idle.until_closed().unwrap();
    assert_eq!(code(&said), "RF003", "{said:?}");
    assert_eq!(code(&busy.until(b'Z').unwrap()), "");
    let record = lab.gateway.record().unwrap();
    assert_eq!(closings(&record), ["idle"]);
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
}

#[test]
fn a_client_that_takes_nothing_is_dropped_and_its_command_is_told_as_abandoned() {
    let mut lab = limited("stall = \"1s\"");
    let mut deaf = Raw::login(&lab.through(), &[]).unwrap();
    // Far more than sockets hold, and nobody reads it.
    let sql = "select repeat('x', 1000) from generate_series(1, 400000)\0";
    deaf.send(b'Q', sql.as_bytes()).unwrap();
    deaf.stream.flush().unwrap();
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    until("it is dropped", || {
        // Each is an exchange with the gateway, and shows that others are served.
        anyhow::ensure!(code(&other.query("select 1")?).is_empty());
        Ok(closings(&lab.gateway.record()?) == ["limit"])
    })
    .unwrap();
    drop(other);
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let intent = record.intents("generate_series(1, 400000)").next().unwrap();
    let outcome = record.outcome(intent).unwrap();
    assert_eq!(outcome.kind(), "command.abandoned", "{}", outcome.0);
    assert_eq!(outcome.leaf("why").as_str(), Some("client-left"), "{}", outcome.0);
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
}
