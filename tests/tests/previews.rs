//! What a held write would change, as whoever is asked to approve it is shown it: over both query protocols, beside what
//! clients do at the same time; and where nothing is tried, why.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table orders (id int primary key, note text);
    create table items (id int primary key, order_id int references orders on delete cascade);
    insert into orders select i, 'note ' || i from generate_series(1, 9) i;
    insert into items select i, 1 + i % 3 from generate_series(1, 30) i;
    alter table orders owner to app; alter table items owner to app";

const RULES: &str = r#"
[[group]]
name = "eyes"
members = ["local:*"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read", "transaction", "session"]

[[rule]]
name = "held"
because = "Somebody has to look at it."
verdict = "hold"
effects = ["write", "define", "lock"]
approve = { group = "eyes", wait = "60s" }
"#;

fn lab() -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

/// The id and preview of what waits, once that is known.
fn previewed(lab: &Lab) -> (String, Value) {
    let mut found = (String::new(), Value::Null);
    until("what it would change is known", || {
        let listed = lab.gateway.cli(&["approvals", "list", "--json"])?;
        let Some(line) = listed.lines().next() else { return Ok(false) };
        let one: Value = serde_json::from_str(line)?;
        assert!(one["preview"].is_null() && one["parameters"].is_null(), "a list holds none: {one}");
        let id = one["id"].as_str().unwrap_or_default().to_owned();
        let shown: Value = serde_json::from_str(&lab.gateway.cli(&["approvals", "show", &id, "--json"])?)?;
        found = (id, shown["preview"].clone());
        Ok(found.1.is_object())
    })
    .unwrap();
    found
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

#[test]
fn whoever_is_asked_sees_the_rows_that_would_change() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.send(b'Q', b"delete from orders where id <= 2\0").unwrap();
    let (id, preview) = previewed(&lab);
    assert_eq!((&preview["how"], &preview["count"]), (&json!("exact"), &json!(2)), "{preview}");
    assert_eq!(preview["sample"]["old"], json!([["1", "note 1"], ["2", "note 2"]]), "{preview}");
    let along = json!({ "action": "delete", "along": true, "count": 20, "table": "public.items" });
    assert!(preview["changes"].as_array().unwrap().contains(&along), "{preview}");
    let count = "select count(*) from orders";
    assert_eq!(lab.far.sql("shop", count).unwrap().trim(), "9", "it was rolled back");
    let shown = lab.gateway.cli(&["approvals", "show", &id]).unwrap();
    for part in
        ["would change 2 rows (tried at the target and rolled back)", "delete 20, along with it", "note 2"]
    {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
    assert_eq!(code(&raw.until(b'Z').unwrap()), "");
    assert_eq!(lab.far.sql("shop", count).unwrap().trim(), "7");
    let record = lab.gateway.record().unwrap();
    let about = record.0.iter().filter(|e| e.leaf("approval") == &json!(id));
    let kinds: Vec<&str> = about.map(|e| e.kind()).collect();
    let all = ["approval.asked", "approval.previewed", "approval.given", "approval.spent", "command.decided"];
    assert_eq!(kinds, all);
    let entry = record.of_kind("approval.previewed").next().unwrap();
    assert_eq!(entry.payload("preview"), &preview, "what was shown is in the record");
    assert!(record.unbalanced().is_empty());
}

#[test]
fn values_of_parameters_count_and_a_second_look_is_not_taken() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    // A binary int4.
    let bind = [b"\0\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x03\0\0".as_slice()].concat();
    let parse = b"\0update orders set note = 'x' where id > $1\0\0\x01\0\0\0\x17";
    for (tag, body) in [(b'P', parse.as_slice()), (b'B', &bind), (b'E', b"\0\0\0\0\0"), (b'S', b"")] {
        raw.send(tag, body).unwrap();
    }
    let (id, preview) = previewed(&lab);
    assert_eq!((&preview["how"], &preview["count"]), (&json!("exact"), &json!(6)), "{preview}");
    assert_eq!(preview["sample"]["old"][0], json!(["4", "note 4"]), "{preview}");
    assert_eq!(preview["sample"]["new"][0], json!(["4", "x"]), "{preview}");
    lab.gateway.cli(&["approvals", "deny", &id]).unwrap();
    assert_eq!(code(&raw.until(b'Z').unwrap()), "42501");
    assert_eq!(lab.gateway.record().unwrap().of_kind("approval.previewed").count(), 1);
}

#[test]
fn where_nothing_is_tried_it_is_said_why() {
    let (lab, _folder) = lab();
    for (before, text, why) in [
        ("begin", "delete from orders", "in a transaction"),
        ("select 1", "select 1; delete from orders", "sent together with others"),
        ("select 1", "create table new (id int)", "no INSERT, UPDATE, DELETE or MERGE"),
        (
            "select 1",
            "delete from orders where pg_advisory_lock(7) is not null",
            "Only the planner was asked",
        ),
    ] {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        raw.query(before).unwrap();
        raw.send(b'Q', format!("{text}\0").as_bytes()).unwrap();
        let (id, preview) = previewed(&lab);
        assert!(preview["why"].as_str().unwrap().contains(why), "{text}: {preview}");
        assert_ne!(preview["how"], json!("exact"), "{text}: {preview}");
        lab.gateway.cli(&["approvals", "deny", &id]).unwrap();
        assert_ne!(code(&raw.until(b'Z').unwrap()), "");
    }
    assert_eq!(lab.far.sql("shop", "select count(*) from orders").unwrap().trim(), "9");
}
