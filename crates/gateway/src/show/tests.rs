//! The whole page a person reads, from entries as they are stored; and that hostile text stays text.

use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::Place;
use firsthand_auditlog::reader::payload::Payload;
use firsthand_auditlog::search::Found;

use super::session::Teller;
use super::{WIDTH, entry, line};

/// Entries of a session: leaf (without the common fields) and payload, one a line each.
const SESSION: &str = r##"
{"k":"session.opened","method":"scram-sha-256","mode":"observe","proto":"postgres 3.0","server":"15.8",WHO}
{"address":"192.0.2.7:50123","claims":[{"name":"application_name","value":"mcp"}],"login":"bot","names":[{"id":"h-01","kind":"human","name":"ada@example.com"},{"id":"a-02","kind":"agent","name":"bot"}]}
{"bytes":20,"cmd":1,"effects":["read"],"k":"command.decided","rule":"token-targets","step":"run","tx":"idle","verdict":"allow",WHO}
{"parameters":[{"type":"int4","value":"42"},{"type":"text","value":null}],"text":"select id,\n\tname from customers where id = $1 and name <> $2"}
{"bytes":40,"cmd":1,"k":"command.completed","kept":2,"rows":1500,"tag":"SELECT 1500","tx":"idle","tx_from":"idle","us":1200,WHO}
{"columns":[{"name":"id","type":"int4"},{"name":"name","type":"text"}],"notices":[{"message":"slow","severity":"WARNING"}],"rows":[["42",null],["43","Ada \u001b[31m\nLovelace"]]}
{"bytes":20,"cmd":3,"effects":["write"],"k":"command.decided","rule":"no-deletes","step":"run","tx":"open","verdict":"deny",WHO}
{"reason":"Deletions need a ticket.","text":"delete from payments"}
{"cmd":3,"k":"command.completed","rows":0,"sqlstate":"42501","tx":"failed","tx_from":"open","us":90,WHO}
{"error":{"hint":"ask","message":"permission denied"}}
{"bytes":20,"cmd":4,"coverage":["unparsed"],"effects":["unknown"],"k":"command.decided","rule":"token-targets","step":"run","tx":"failed","verdict":"allow",WHO}
erased
{"bytes":20,"cmd":5,"effects":["read"],"k":"command.decided","rule":"token-targets","step":"run","tx":"failed","verdict":"allow",WHO}
{"text":"select 2"}
{"cmd":4,"forwarded":true,"k":"command.abandoned","why":"target-lost",WHO}

{"k":"session.noted","what":"parameter",WHO}
{"detail":{"name":"TimeZone","value":"UTC"}}
"##;

const WHO: &str = r#""who":{"agent":"a-02","chain":[{"id":"h-01","kind":"human","trust":"bound"},{"id":"a-02","kind":"agent","trust":"verified"}],"db":"orders","pid":4711,"role":"orders_rw","target":"orders"}"#;

const TOLD: &str = "\
session   019ab27c-6e11-7abc-8def-0123456789ab
who       ada@example.com (human, bound) → bot (agent, verified)
target    orders: database orders, role orders_rw, backend 4711, server 15.8
client    192.0.2.7:50123, clear text, scram-sha-256, postgres 3.0
says      application_name = mcp (claimed)
opened    2026-11-23 02:00:00.123 UTC
mode      observe: refusals are recorded and not enforced

#1  02:00:00.123  read · allowed by token-targets
    select id,
        name from customers where id = $1 and name <> $2
    $1 = 42 (int4)
    $2 = ∅ (text)
    → SELECT 1500, 1.2 ms
      WARNING: slow
      id │ name
      ───┼──────────────────────
      42 │ ∅
      43 │ Ada \\x1b[31m Lovelace
      (2 of 1,500 rows shown, 2 kept in the record, 40 B delivered)

(#2 is not in this record)

#3  02:00:00.123  write · DENIED by no-deletes · in a transaction
    delete from payments
    reason: Deletions need a ticket.
    → error 42501: permission denied, 90 µs, the transaction has failed
      hint: ask

#4  02:00:00.123  unknown · allowed by token-targets · in a failed transaction
    not observed: unparsed
    (erased: its key was destroyed)

#5  02:00:00.123  read · allowed by token-targets · in a failed transaction
    select 2
    #4 → abandoned (target-lost): sent to the target, its effect was not seen

·  02:00:00.123  the setting TimeZone is now UTC

#5 has no outcome in the record: it is still running, or the gateway stopped before it ended
the session is open as far as the record goes
";

fn entries() -> Vec<Found> {
    let lines: Vec<&str> = SESSION.trim_start().lines().collect();
    let common =
        r#""n":7,"sid":"019ab27c-6e11-7abc-8def-0123456789ab","t":"2026-11-23T02:00:00.123456Z","v":1,"#;
    lines
        .chunks(2)
        .map(|pair| {
            let leaf = pair[0].replacen('{', &format!("{{{common}"), 1).replace("WHO", WHO);
            let payload = match pair.get(1).copied().unwrap_or("") {
                "" => Payload::None,
                "erased" => Payload::Erased,
                json => Payload::Clear(json.as_bytes().to_vec()),
            };
            Found { place: Place { epoch: 1, position: 7 }, leaf: leaf.into_bytes(), payload }
        })
        .collect()
}

#[test]
fn a_session_is_told_with_its_gaps() {
    let (mut teller, mut out) = (Teller::default(), Vec::new());
    let names = Names::default();
    for found in entries() {
        teller.tell(&found, &names, &mut out).unwrap();
    }
    teller.finish(&mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), TOLD);
}

#[test]
fn every_entry_has_one_line_and_one_line_of_json() {
    let mut names = Names::default();
    let all = entries();
    for found in &all {
        names.learn(&found.leaf, found.payload.clear().unwrap_or_default());
        let shown = line::of(found, &names, WIDTH);
        assert!(!shown.contains(['\n', '\u{1b}']), "{shown}");
        assert!(shown.contains("bot for ada@example.com"), "{shown}");
        let json = entry::json(found);
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["n"], 7);
        match &found.payload {
            Payload::Erased => assert_eq!(value["payload"], "erased"),
            Payload::None => assert_eq!(value.get("payload"), None),
            _ => assert!(value["payload"].is_object()),
        }
    }
    let refused = line::of(&all[3], &names, WIDTH);
    assert!(refused.ends_with("#3 DENY by no-deletes: delete from payments"), "{refused}");
}

/// The words for what belongs to no command, and for somebody who was not let in.
#[test]
fn entries_are_told_in_words() {
    let golden = |name: &str| {
        let file = format!("{}/../auditlog/tests/golden/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let mut parts = text.lines().map(|line| line.as_bytes().to_vec());
        let (leaf, payload) = (parts.next().unwrap(), parts.next().unwrap());
        line::of(
            &Found { place: Place::default(), leaf, payload: Payload::Clear(payload) },
            &Names::default(),
            WIDTH,
        )
    };
    for (name, words) in [
        ("session.noted", "the gateway itself asked: select current_user; the role is auditor"),
        ("session.noted-cancel", "a cancel request came from 192.0.2.7:50124"),
        ("session.noted-error", "error that belongs to no command: ERROR 23505: duplicate key"),
        ("session.noted-notification", "notification on jobs from backend 4712: 1"),
        ("session.noted-parameter", "the setting TimeZone is now UTC"),
        ("session.noted-refused", "refused with RF003: too much at once"),
        ("session.noted-unknown-message", "a message of an unknown type was passed on: x"),
        ("session.refused", "unreachable: connection refused; as triage-bot to orders from 192.0.2.7:50123"),
        ("session.refused-request", "role: its role does not"),
        ("session.refused-together", "limit: 990 connections gave way"),
        ("identity.refused-together", "rate: 984 more were refused from this address"),
    ] {
        let shown = golden(name);
        // A line is cut where it is too long for a screen.
        let beginning: String = words.chars().take(50).collect();
        assert!(shown.contains(&format!("  {beginning}")), "{shown}");
    }
}

/// Text and names that try to drive a terminal, in every place where recorded text can stand.
#[test]
fn no_recorded_text_reaches_the_terminal_as_it_is() {
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r";
    let golden = [
        include_str!("../../../auditlog/tests/golden/command.completed.jsonl"),
        include_str!("../../../auditlog/tests/golden/command.decided.jsonl"),
        include_str!("../../../auditlog/tests/golden/identity.refused.jsonl"),
        include_str!("../../../auditlog/tests/golden/identity.token_created.jsonl"),
        include_str!("../../../auditlog/tests/golden/session.closed.jsonl"),
        include_str!("../../../auditlog/tests/golden/session.noted.jsonl"),
        include_str!("../../../auditlog/tests/golden/session.opened.jsonl"),
    ];
    for text in golden {
        let mut parts = text.lines().map(|part| {
            let mut value: serde_json::Value = serde_json::from_str(part).unwrap();
            poison(&mut value, hostile);
            value.to_string().into_bytes()
        });
        let (leaf, payload) = (parts.next().unwrap(), parts.next().unwrap());
        let found = Found { place: Place::default(), leaf, payload: Payload::Clear(payload) };
        let mut out = Vec::new();
        Teller::default().tell(&found, &Names::default(), &mut out).unwrap();
        let mut shown = String::from_utf8(out).unwrap();
        shown.push_str(&line::of(&found, &Names::default(), WIDTH));
        shown.push_str(&entry::json(&found));
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(bad), "{shown:?}");
    }
}

/// Adds the text to every string but the kind.
fn poison(value: &mut serde_json::Value, hostile: &str) {
    use serde_json::Value;
    match value {
        Value::String(text) => text.push_str(hostile),
        Value::Array(list) => list.iter_mut().for_each(|v| poison(v, hostile)),
        Value::Object(map) => {
            map.iter_mut().filter(|(key, _)| *key != "k").for_each(|(_, v)| poison(v, hostile))
        }
        _ => {}
    }
}
