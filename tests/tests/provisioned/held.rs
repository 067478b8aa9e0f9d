//! What is held, and what is estimated, in a session that runs as the role of its grant: the gateway asks as that role, too.

use super::*;

/// Writes wait for a person, and of many rows they are refused; without an estimate as well.
const HELD: &str = "[[rule]]\nname = \"held\"\nbecause = \"Somebody looks.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = { group = \"dba\", wait = \"60s\" }\n
[[rule]]\nname = \"few\"\nbecause = \"Few rows at a time.\"\nverdict = \"deny\"\neffects = [\"write\"]\nrows_over = 20\n";

/// The id and preview of what waits, once that is known.
fn previewed(rig: &Rig) -> (String, Value) {
    let mut found = (String::new(), Value::Null);
    until("what it would change is known", || {
        let listed = rig.gateway.cli(&["approvals", "list", "--json"])?;
        let Some(line) = listed.lines().next() else { return Ok(false) };
        let id = serde_json::from_str::<Value>(line)?["id"].as_str().unwrap_or_default().to_owned();
        let shown = rig.gateway.cli(&["approvals", "show", &id, "--json"])?;
        found = (id, serde_json::from_str::<Value>(&shown)?["preview"].clone());
        Ok(found.1.is_object())
    })
    .unwrap();
    found
}

/// Who ran statements that hold this text, by the server's own log.
fn ran_by(rig: &Rig, text: &str) -> Vec<String> {
    let said = rig.server.said();
    let lines = said.lines().filter(|line| line.contains(text) && line.contains("user="));
    let user = |line: &str| {
        line.split("user=").nth(1).unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
    };
    lines.map(user).collect()
}

#[test]
fn a_held_write_is_previewed_and_estimated_as_the_grants_role() {
    let rig = rig_with(&format!("{RULES}{HELD}"), "", "");
    rig.sql("insert into orders select i, 'many' from generate_series(3, 200) i; analyze orders");
    rig.sql("alter system set log_statement = 'all'");
    rig.sql("alter system set log_line_prefix = 'user=%u '");
    rig.sql("select pg_reload_conf()");
    rig.granted("10m", "read,write");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    assert!(role.starts_with("fh_grant_"), "{role}");
    // The credential of sessions without a grant may not even look at the table.
    let told = message(&raw.query("delete from orders where id > 2").unwrap());
    assert!(told.contains("rule few"), "{told}");
    raw.send(b'Q', b"delete from orders where id <= 2\0").unwrap();
    let (id, preview) = previewed(&rig);
    assert_eq!((&preview["how"], &preview["count"]), (&json!("exact"), &json!(2)), "{preview}");
    assert_eq!(preview["sample"]["old"], json!([["1", "one"], ["2", "two"]]), "{preview}");
    assert_eq!(rig.sql("select count(*) from orders"), "200", "it was rolled back");
    rig.gateway.cli(&["approvals", "approve", &id]).unwrap();
    assert_eq!(message(&raw.until(b'Z').unwrap()), "");
    assert_eq!(rig.sql("select count(*) from orders"), "198");
    let tried = ran_by(&rig, "delete from orders where id <= 2");
    assert!(tried.len() >= 2, "previewed, run: {tried:?}");
    assert!(tried.iter().all(|user| *user == role), "{tried:?}");
    let record = rig.gateway.record().unwrap();
    let estimated = |part: &str| {
        let intent = record.intents(part).find(|e| !e.leaf("estimated").is_null());
        intent.map(|e| e.leaf("estimated").as_u64().unwrap())
    };
    assert!(estimated("id > 2").is_some_and(|rows| rows > 20), "{:?}", record.texts());
    assert!(estimated("id <= 2").is_some_and(|rows| rows <= 20), "{:?}", record.texts());
    assert!(record.unbalanced().is_empty());
}
