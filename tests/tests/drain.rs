//! Stopping: running commands finish, sessions are told, the record is closed properly.

use std::time::{Duration, Instant};

use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::Record;
use rustix::process::Signal;

/// Starts a statement, and returns when it certainly runs on the target.
fn start(raw: &mut Raw, seconds: f32) {
    let sql = format!("do $$ begin raise notice 'running'; perform pg_sleep({seconds}); end $$");
    raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
    raw.until(b'N').unwrap();
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn closings(record: &Record) -> Vec<String> {
    record.of_kind("session.closed").map(|e| e.leaf("why").as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn sigterm_lets_a_running_command_finish() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    let mut busy = Raw::login(&lab.through(), &[]).unwrap();
    let mut idle = Raw::login(&lab.through(), &[]).unwrap();
    start(&mut busy, 1.0);
    lab.gateway.daemon().unwrap().signal(Signal::TERM);
    // The idle session is told in the protocol, not cut.
    let said = idle.until_closed().unwrap();
    assert_eq!(code(&said), "57P01", "{said:?}");
    // The running one gets its whole answer first.
    let seen = busy.until(b'Z').unwrap();
    assert_eq!(code(&seen), "", "{seen:?}");
    let said = busy.until_closed().unwrap();
    assert_eq!(code(&said), "57P01", "{said:?}");
    let status = lab.gateway.daemon().unwrap().wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(Raw::login(&lab.through(), &[]).is_err());
    let record = lab.gateway.record().unwrap();
    assert_eq!(closings(&record), ["drained", "drained"]);
    assert!(record.unbalanced().is_empty());
    assert_eq!(record.of_kind("log.stopped").count(), 1);
}

#[test]
fn a_command_that_outlasts_the_drain_is_abandoned_and_told() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    lab.gateway.stop().unwrap();
    lab.gateway.rewrite(|settings| settings.more = "[limits]\ndrain = \"500ms\"\n".to_owned()).unwrap();
    lab.gateway.serve().unwrap();
    let mut busy = Raw::login(&lab.through(), &[]).unwrap();
    start(&mut busy, 600.0);
    lab.gateway.daemon().unwrap().signal(Signal::TERM);
    let said = busy.until_closed().unwrap();
    assert_eq!(code(&said), "57P01", "{said:?}");
    lab.gateway.daemon().unwrap().wait().unwrap();
    // What was left of it on the target ends too, rather than running on unseen.
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
    until("the target's part ends", || Ok(lab.far.sql("shop", running)? == "0")).unwrap();
    let record = lab.gateway.record().unwrap();
    let intent = record.intents("pg_sleep(600)").next().unwrap();
    let outcome = record.outcome(intent).unwrap();
    assert_eq!(outcome.leaf("why").as_str(), Some("drained"), "{}", outcome.0);
}

/// Whoever stops the gateway is promised when that is over: a client that takes nothing of what it is told changes nothing.
#[test]
fn a_client_that_reads_nothing_does_not_hold_up_the_end_of_a_drain() {
    let mut lab = Lab::start(Plan::default()).unwrap();
    lab.gateway.stop().unwrap();
    lab.gateway.rewrite(|settings| settings.more = "[limits]\ndrain = \"500ms\"\n".to_owned()).unwrap();
    lab.gateway.serve().unwrap();
    let mut lazy = Raw::login(&lab.through(), &[]).unwrap();
    lazy.send(b'Q', b"select n, repeat('x', 1000) from generate_series(1, 3000000) n\0").unwrap();
    let stuck = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
    until("the target waits for the client", || Ok(lab.far.sql("postgres", stuck)? == "1")).unwrap();
    let begun = Instant::now();
    lab.gateway.daemon().unwrap().signal(Signal::TERM);
    let status = lab.gateway.daemon().unwrap().wait().unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    // The drain, at most a second more, and one for a busy machine.
    assert!(took < Duration::from_millis(500 + 2000), "{took:?}");
    let there = "select count(*) from pg_stat_activity where query like 'select n, repeat%'";
    until("the target's side ends", || Ok(lab.far.sql("postgres", there)? == "0")).unwrap();
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
    assert_eq!(closings(&record), ["drained"]);
}

#[test]
fn an_administrator_ends_a_session() {
    let lab = Lab::start(Plan::default()).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.query("select 1").unwrap();
    let record = lab.gateway.record().unwrap();
    let session = record.of_kind("session.opened").next().unwrap().session().to_owned();
    assert!(lab.gateway.cli(&["sessions", "list", "--json"]).unwrap().contains(&session));
    lab.gateway.cli(&["sessions", "kill", &session]).unwrap();
    let said = raw.until_closed().unwrap();
    assert_eq!(code(&said), "57P01", "{said:?}");
    // The client does not wait for this entry.
    until("the end of the session stands in the record", || {
        Ok(closings(&lab.gateway.record()?) == ["killed"])
    })
    .unwrap();
    let record = lab.gateway.record().unwrap();
    assert_eq!(record.of_kind("admin.session_killed").count(), 1);
}

#[test]
fn what_an_operator_reads_tells_the_founding_story() {
    let seed =
        "create table payments (id int primary key, amount numeric); insert into payments values (7, 99.5);
        alter table payments owner to app";
    let lab = Lab::start(Plan { seed: seed.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[("application_name", "mcp")]).unwrap();
    raw.query("delete from payments where id = 7").unwrap();
    raw.query("select * from paymnts").unwrap();
    let record = lab.gateway.record().unwrap();
    let session = record.of_kind("session.opened").next().unwrap();
    let shown = lab.gateway.cli(&["sessions", "show", session.session()]).unwrap();
    for word in
        [AGENT, "ada@example.com", "delete from payments where id = 7", "DELETE 1", "42P01", "shop", "app"]
    {
        assert!(shown.contains(word), "{word} is not in:\n{shown}");
    }
    let replayed = lab.gateway.cli(&["sessions", "replay", session.session(), "--speed", "1000"]).unwrap();
    assert!(replayed.contains("delete from payments where id = 7"), "{replayed}");
    let found = lab.gateway.cli(&["log", "search", "table:payments effect:write", "--json"]).unwrap();
    assert!(found.contains("delete from payments"), "{found}");
    assert!(!found.contains("paymnts"), "{found}");
}
