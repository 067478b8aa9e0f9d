//! Held commands as those who wait live through them: what they hear meanwhile, what others notice of it, and an approval that is
//! given at another gateway.

use std::time::{Duration, Instant};

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::postgres::{DATABASE, Postgres};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::Value;

const SEED: &str =
    "create table payments (id int primary key); insert into payments select generate_series(1, 9);
    alter table payments owner to app";

fn rules(wait: &str) -> String {
    format!(
        "[[group]]\nname = \"payers\"\nmembers = [\"local:*\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\", \"session\"]\n
[[rule]]\nname = \"payments-held\"\nbecause = \"Payments need a second pair of eyes.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = {{ group = \"payers\", wait = \"{wait}\" }}\n"
    )
}

fn say(raw: &mut Raw, sql: &str) {
    raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
}

fn field(message: &Message, code: u8) -> String {
    message.field(code).unwrap_or_default()
}

fn waiting(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.cli(&["approvals", "list", "--json"]).unwrap();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Idle timeouts on the client's way must see that something is alive: a notice comes before ten seconds are over, and no
/// other. Another session of the same agent goes on meanwhile.
#[test]
fn who_waits_hears_of_it_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules("13s")).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    let lab = Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut held = Raw::login(&lab.through(), &[]).unwrap();
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    let began = Instant::now();
    say(&mut held, "delete from payments where id = 1");
    until("it waits", || Ok(waiting(&lab.gateway).len() == 1)).unwrap();
    for _ in 0..5 {
        let seen = other.query("select count(*) from payments").unwrap();
        assert!(seen.iter().any(|m| m.tag == b'D'), "{seen:?}");
    }
    let notice = held.read().unwrap().unwrap();
    assert_eq!(notice.tag, b'N', "{}", notice.line());
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    assert!(field(&notice, b'M').contains("waits for approval"), "{}", notice.line());
    let rest = held.until(b'Z').unwrap();
    let codes: Vec<String> = rest.iter().filter(|m| m.tag != b'Z').map(|m| field(m, b'C')).collect();
    assert_eq!(codes, ["RF001"], "one notice in 13 seconds, then the answer");
}

/// Two gateways that share their state: what waits at one is listed and approved at the other, runs at once, and once.
#[test]
fn an_approval_given_at_another_gateway_frees_what_waits_here() {
    let (server, state) = (Postgres::start(None).unwrap(), Postgres::start(None).unwrap());
    server.sql(DATABASE, SEED).unwrap();
    state.sql("postgres", "create database state owner app").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policy")).unwrap();
    std::fs::write(folder.path().join("policy/rules.toml"), rules("50s")).unwrap();
    std::fs::write(folder.path().join("state"), state.place("app", "state").url()).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let more = format!(
        "[policy]\ndir = {:?}\n[state]\npostgres = {{ file = {:?} }}\n",
        path("policy"),
        path("state")
    );
    let targets = vec![Target::of(&server.place("app", DATABASE))];
    let settings = Settings { targets, more, ..Settings::default() };
    let here = Gateway::start(settings).unwrap();
    let (there, _data) = here.beside().unwrap();
    let secret = here.token(AGENT, &[DATABASE]).unwrap();
    let mut raw = Raw::login(&here.place(AGENT, &secret, DATABASE), &[]).unwrap();
    let delete = "delete from payments where id = 1";
    say(&mut raw, delete);
    until("it waits, as the other gateway sees it", || Ok(waiting(&there).len() == 1)).unwrap();
    let id = waiting(&there)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(waiting(&here)[0]["id"], id.as_str());
    let began = Instant::now();
    there.cli(&["approvals", "approve", &id, "--reason", "ticket 7"]).unwrap();
    let seen = raw.until(b'Z').unwrap();
    assert!(seen.iter().any(|m| m.tag == b'C' && m.line().contains("DELETE 1")), "{seen:?}");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}: it was told, not found by looking",
        began.elapsed()
    );
    // Spent: at neither gateway does it count again.
    let again = there.token(AGENT, &[DATABASE]).unwrap();
    for (gateway, secret) in [(&here, &secret), (&there, &again)] {
        let mut raw = Raw::login(&gateway.place(AGENT, secret, DATABASE), &[]).unwrap();
        raw.send(b'Q', format!("{delete}\0").as_bytes()).unwrap();
        until("it waits anew", || Ok(waiting(&there).iter().any(|a| a["id"] != id.as_str()))).unwrap();
        let new = waiting(&there)[0]["id"].as_str().unwrap().to_owned();
        gateway.cli(&["approvals", "deny", &new, "--reason", "once is enough"]).unwrap();
        let seen = raw.until(b'Z').unwrap();
        assert!(seen.iter().any(|m| m.tag == b'E' && field(m, b'C') == "42501"), "{seen:?}");
    }
    let kinds = |gateway: &Gateway| -> Vec<String> {
        let record = gateway.record().unwrap();
        let of_it = |e: &&firsthand_tests::record::Entry| e.leaf("approval") == &Value::from(id.as_str());
        record
            .0
            .iter()
            .filter(of_it)
            .map(|e| e.kind().to_owned())
            .filter(|k| k.starts_with("approval."))
            .collect()
    };
    assert_eq!(kinds(&there), ["approval.given"]);
    let told = kinds(&here);
    assert!(
        told.starts_with(&["approval.asked".to_owned()]) && told.ends_with(&["approval.spent".to_owned()]),
        "{told:?}"
    );
}
