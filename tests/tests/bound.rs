//! What an approval is of: one command, in one meaning. What would make the same text mean something else asks anew, and what
//! nobody could see is not asked about.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::Value;
use tempfile::TempDir;

const SEED: &str = "create table orders (id int primary key, d date, who text);
    insert into orders select i, '2026-01-02'::date + i, 'w' || i from generate_series(1, 60) i;
    create function chosen(n int) returns boolean language sql as 'select n = 1';
    create table other (like orders including all);
    insert into other select * from orders;
    alter table orders owner to app; alter table other owner to app; alter function chosen(int) owner to app";

/// All is held but reading and what belongs to a session.
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
effects = ["write", "define", "execute", "unknown"]
approve = { group = "eyes", wait = "WAIT" }
"#;

fn lab(wait: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES.replace("WAIT", wait)).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

/// The id of the approval that a text is told of.
fn pending(raw: &mut Raw, sql: &str) -> String {
    let seen = raw.query(sql).unwrap();
    assert_eq!(code(&seen), "RF001", "{sql}: {}", said(&seen));
    let told = said(&seen);
    let at = told.find("ap-").unwrap();
    told[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

fn count(lab: &Lab) -> String {
    lab.far.sql("shop", "select count(*) from orders").unwrap().trim().to_owned()
}

#[test]
fn what_a_session_has_set_is_part_of_what_is_approved() {
    let (lab, _folder) = lab("1ms");
    let session = |before: &str| {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        assert_eq!(code(&raw.query(before).unwrap()), "", "{before}");
        raw
    };
    for (delete, approved, other) in [
        (
            "delete from orders where d < '02/03/2026'",
            "set datestyle = 'ISO, MDY'",
            "set datestyle = 'ISO, DMY'",
        ),
        ("delete from orders where id < 3", "select 1", "set search_path = pg_temp, public"),
        (
            "delete from orders where who = current_setting('application_name')",
            "set application_name = 'w1'",
            "set application_name = 'w5'",
        ),
    ] {
        let before = count(&lab);
        let id = pending(&mut session(approved), delete);
        lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
        assert_ne!(pending(&mut session(other), delete), id, "{delete} after {other}");
        assert_eq!(count(&lab), before, "{delete} ran after {other}");
        let ran = session(approved).query(delete).unwrap();
        assert_eq!(code(&ran), "", "{delete}: {}", said(&ran));
    }
}

#[test]
fn what_nobody_could_see_is_not_asked_about() {
    let (lab, _folder) = lab("1ms");
    let before = count(&lab);
    for (first, sql) in [
        ("prepare p as delete from orders", "execute p"),
        ("prepare p as delete from orders", "explain (analyze) execute p"),
        ("prepare p as select * from orders", "create table z as execute p"),
        (
            "begin; declare c cursor for select * from orders for update; fetch c",
            "delete from orders where current of c",
        ),
    ] {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        raw.query(first).unwrap();
        let seen = raw.query(sql).unwrap();
        assert_eq!(code(&seen), "42501", "{sql}: {}", said(&seen));
        assert!(said(&seen).contains("nobody could see all of it"), "{sql}: {}", said(&seen));
    }
    // A portal that deletes, run by SQL.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.query("begin").unwrap();
    for (tag, body) in [
        (b'P', b"\0delete from orders returning id\0\0\0".as_slice()),
        (b'B', b"pt\0\0\0\0\0\0\0\0"),
        (b'S', b""),
    ] {
        raw.send(tag, body).unwrap();
    }
    raw.until(b'Z').unwrap();
    let seen = raw.query("fetch all from pt").unwrap();
    assert_eq!(code(&seen), "42501", "{}", said(&seen));
    // A secret, which is shown to nobody, that is a pattern for all rows.
    let seen = raw.query("rollback; delete from orders where who ~ 'password=zzz|.*'").unwrap();
    assert_eq!(code(&seen), "42501", "{}", said(&seen));
    // The role cannot be told.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let seen = raw.query("select set_config('role', 'app', false); delete from orders").unwrap();
    assert!(["42501", "RF001"].contains(&&*code(&seen)), "{}", said(&seen));
    assert_eq!(count(&lab), before);
}

/// What waits, and the answer it gets when something else has changed meanwhile.
fn changed_while_it_waits(lab: &Lab, held: &str, change: &str) -> String {
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.send(b'Q', format!("{held}\0").as_bytes()).unwrap();
    let mut id = String::new();
    until("it waits", || {
        let listed = lab.gateway.cli(&["approvals", "list", "--json"])?;
        let first = listed.lines().next().map(serde_json::from_str::<Value>).transpose()?;
        id = first.map(|one| one["id"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
        Ok(!id.is_empty())
    })
    .unwrap();
    lab.far.sql("shop", change).unwrap();
    lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
    said(&raw.until(b'Z').unwrap())
}

#[test]
fn what_names_stand_for_is_looked_up_before_an_approval_is_spent() {
    let (lab, _folder) = lab("60s");
    for (held, change) in [
        (
            "delete from orders where chosen(id)",
            "create or replace function chosen(n int) returns boolean language sql as 'select n > 30'",
        ),
        (
            "delete from orders where id = 7",
            "alter table orders rename to older; alter table other rename to orders",
        ),
    ] {
        let told = changed_while_it_waits(&lab, held, change);
        assert!(told.contains("have changed"), "{held}: {told}");
        assert_eq!(count(&lab), "60", "{held}");
    }
    let told =
        changed_while_it_waits(&lab, "delete from orders where id = 7", "create table beside (id int)");
    assert!(told.contains("DELETE 1"), "what it does not name may change: {told}");
    assert_eq!(count(&lab), "59");
}

#[test]
fn the_same_twice_in_one_message_takes_two_approvals() {
    let (lab, _folder) = lab("1ms");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let twice = "delete from orders where id = 1; delete from orders where id = 1";
    raw.query(twice).unwrap();
    let listed = lab.gateway.cli(&["approvals", "list", "--json"]).unwrap();
    let ids: Vec<Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids.len(), 2, "{listed}");
    for one in &ids {
        lab.gateway.cli(&["approvals", "approve", one["id"].as_str().unwrap()]).unwrap();
    }
    let seen = raw.query(twice).unwrap();
    assert_eq!(code(&seen), "", "{}", said(&seen));
    assert_eq!(count(&lab), "59");
}

#[test]
fn more_than_anybody_looks_through_is_not_asked_about() {
    let (lab, _folder) = lab("1ms");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let waiting = || lab.gateway.cli(&["approvals", "list", "--json"]).unwrap().lines().count();
    let many = |count| "delete from orders where id = 1; ".repeat(count);
    let seen = raw.query(&many(33)).unwrap();
    assert_eq!((code(&seen).as_str(), waiting()), ("RF003", 0), "{}", said(&seen));
    let seen = raw.query(&many(32)).unwrap();
    assert_eq!((code(&seen).as_str(), waiting()), ("RF001", 32), "{}", said(&seen));
    assert_eq!(count(&lab), "60");
}
