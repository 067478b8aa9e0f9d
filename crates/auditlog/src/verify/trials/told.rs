//! Leaves written by hand that disagree with each other: each is found, and a story that agrees is not.

use super::*;

const STARTED: &str = r#"{"k":"log.started","facts":{"by":"serve"}}"#;
const SID: &str = "00000000-0000-0000-0000-00000000004d";

fn who(human: &str) -> String {
    format!(
        r#""who":{{"agent":"a-1","chain":[{{"id":"{human}","kind":"human","trust":"bound"}},{{"id":"a-1","kind":"agent","trust":"bound"}}],"db":"d","pid":1,"role":"r","target":"t"}}"#
    )
}

fn of_session(k: &str, more: &str) -> String {
    format!(r#"{{"k":"{k}","sid":"{SID}",{}{more}}}"#, who("h-1"))
}

fn decided(n: u64, more: &str) -> String {
    of_session("command.decided", &format!(r#","cmd":{n},"step":"run"{more}"#))
}

fn allowed(n: u64) -> String {
    decided(n, r#","verdict":"allow""#)
}

fn ended(n: u64, intent: u64) -> String {
    of_session("command.completed", &format!(r#","cmd":{n},"intent":{intent}"#))
}

fn approval(k: &str, more: &str) -> String {
    of_session(
        &format!("approval.{k}"),
        &format!(r#","approval":"ap-1","cmd":1,"quorum":1,"rule":"r"{more}"#),
    )
}

fn given(by: &str, count: u64) -> String {
    format!(
        r#"{{"approval":"ap-1","by":{{"id":"{by}","kind":"human","trust":"verified"}},"cmd":1,"given":{count},"k":"approval.given","quorum":1,"rule":"r","sid":"{SID}"}}"#
    )
}

fn held(n: u64) -> String {
    decided(n, r#","verdict":"hold","approval":"ap-1","rule":"r""#)
}

fn tell(entries: &[String]) -> Report {
    let opened = of_session("session.opened", "");
    let all: Vec<&str> = [STARTED, &opened].into_iter().chain(entries.iter().map(String::as_str)).collect();
    check(&leaves(&story(&all)))
}

fn closed() -> String {
    of_session("session.closed", "")
}

#[test]
fn what_agrees_is_not_called_wrong() {
    let good = [
        vec![allowed(1), ended(1, 2), closed()],
        vec![allowed(1), allowed(2), ended(2, 3), ended(1, 2)],
        vec![decided(1, r#","verdict":"deny""#), closed()],
        vec![decided(1, r#","verdict":"deny","mode":"observe""#), ended(1, 2), closed()],
        vec![approval("asked", ""), given("h-2", 1), approval("spent", ""), held(1), ended(1, 5), closed()],
        vec![approval("asked", ""), approval("expired", ""), closed()],
    ];
    for entries in good {
        let report = tell(&entries);
        assert_eq!(failed(&report), Vec::<&Finding>::new(), "{entries:#?}");
    }
}

#[test]
fn what_does_not_agree_is_named() {
    let asked = || approval("asked", "");
    let wrong: Vec<(&str, Vec<String>)> = vec![
        ("outcome-alone", vec![ended(1, 2)]),
        ("outcome-alone", vec![allowed(1), ended(1, 2), ended(1, 2)]),
        ("outcome-alone", vec![decided(1, r#","verdict":"deny""#), ended(1, 2)]),
        ("outcome-intent", vec![allowed(1), ended(1, 1)]),
        ("outcome-missing", vec![allowed(1), closed()]),
        ("command-order", vec![allowed(2), ended(2, 2), allowed(1)]),
        ("session-unknown", vec![closed(), allowed(1)]),
        ("session-twice", vec![of_session("session.opened", "")]),
        ("commands", vec![allowed(1), ended(1, 2), of_session("session.closed", r#","commands":2"#)]),
        ("piece", vec![of_session("command.rows", r#","cmd":1"#)]),
        ("approval-unknown", vec![given("h-2", 1)]),
        ("approval-unknown", vec![held(1)]),
        ("approval-twice", vec![asked(), asked()]),
        ("approval-twice", vec![asked(), given("h-2", 1), given("h-2", 1)]),
        ("approval-own", vec![asked(), given("h-1", 1)]),
        ("approval-own", vec![asked(), given("a-1", 1)]),
        ("approval-count", vec![asked(), given("h-2", 2)]),
        ("approval-quorum", vec![asked(), approval("spent", "")]),
        ("approval-order", vec![asked(), approval("refused", ""), given("h-2", 1)]),
        ("approval-spent", vec![asked(), given("h-2", 1), approval("spent", ""), approval("spent", "")]),
        ("approval-unspent", vec![asked(), given("h-2", 1), held(1)]),
        ("approval-unspent", vec![asked(), given("h-2", 1), approval("spent", ""), held(2)]),
        (
            "approval-other",
            vec![asked(), given("h-2", 1), approval("spent", "").replace(&who("h-1"), &who("h-3"))],
        ),
        (
            "approval-unspent",
            vec![asked(), given("h-2", 1), approval("spent", ""), held(1), ended(1, 5), held(2)],
        ),
        ("left-open", vec![STARTED.to_owned()]),
        ("clock-back", vec![r#"{"k":"log.heartbeat","mono":3}"#.to_owned()]),
        ("time", vec![r#"{"k":"log.heartbeat","t":"soon"}"#.to_owned()]),
        ("gap", vec![r#"{"k":"log.gap"}"#.to_owned()]),
        (
            "sealed-unknown",
            vec![format!(
                r#"{{"k":"log.sealed","facts":{{"first":0,"root":"{}","size":1}}}}"#,
                "0".repeat(64)
            )],
        ),
        ("leaf-position", vec![r#"{"k":"log.heartbeat","n":7}"#.to_owned()]),
        (
            "recovered-count",
            vec![
                allowed(1),
                r#"{"k":"log.recovered","facts":{"clean":false,"orphans":0,"sessions":1,"size":3}}"#
                    .to_owned(),
            ],
        ),
    ];
    for (code, entries) in wrong {
        let report = tell(&entries);
        let found = fails(&report, code);
        assert!(
            found.spot.entry.is_some() && found.spot.file.is_some() && found.spot.byte.is_some(),
            "{found:?}"
        );
    }
}

#[test]
fn what_is_to_be_known_is_listed_and_does_not_fail() {
    let known: Vec<(&str, Vec<String>)> = vec![
        ("open-sessions", vec![]),
        ("open-commands", vec![allowed(1)]),
        ("open-approvals", vec![approval("asked", "")]),
        ("clock", vec![r#"{"k":"log.clock","facts":{"step_us":2000000}}"#.to_owned()]),
        ("clock-untold", vec![r#"{"k":"log.heartbeat","t":"2026-11-23T18:00:00.123456Z"}"#.to_owned()]),
        ("silence", vec![r#"{"k":"log.heartbeat","mono":900000000}"#.to_owned()]),
        ("oversize", vec![r#"{"k":"log.oversize"}"#.to_owned()]),
        ("kind-unknown", vec![r#"{"k":"log.sung"}"#.to_owned()]),
        ("version", vec![r#"{"k":"log.heartbeat","v":2}"#.to_owned()]),
        ("glass-broken", vec![approval("asked", ""), given("h-1", 1).replace(".given", ".glass_broken")]),
        (
            "recovered",
            vec![r#"{"k":"log.recovered","facts":{"clean":false,"cut_at":9,"cut_bytes":3,"orphans":0,"sessions":1,"size":2}}"#.to_owned()],
        ),
    ];
    for (code, entries) in known {
        let report = tell(&entries);
        assert!(codes(&report).contains(&code), "{code}: {:#?}", report.findings());
        assert_eq!(failed(&report), Vec::<&Finding>::new(), "{code}");
        assert_eq!(report.worst(), Verdict::Findings);
    }
}

#[test]
fn leaves_that_are_no_leaves_are_named_with_their_byte() {
    let mut all = story(&[STARTED, r#"{"k":"log.heartbeat"}"#]);
    all[1] = all[1].replace("\"n\":1", "\"n\": 1");
    let report = check(&leaves(&all));
    let found = fails(&report, "leaf");
    let blank = all[1].find(' ').unwrap() as u64;
    let frame = 4096 + frame::size_of(all[0].len(), 0) as u64;
    assert_eq!(found.spot.byte, Some(frame + frame::OVERHEAD as u64 + blank));
}
