//! Containing an identity, a target, a session: what ends, what goes on, what is told, what outlasts a restart.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::{Entry, Record};
use serde_json::{Value, json};

/// What is contained is to end within this time (issue 4), measured on the client's side.
const AT_ONCE: Duration = Duration::from_secs(1);

struct Rig {
    server: Postgres,
    gateway: Gateway,
}

/// Two targets on one server; `more` stands on top of the configuration.
fn rig(more: &str) -> Rig {
    let server = Postgres::start(None).unwrap();
    let targets = vec![Target::of(&server.place("app", "shop")), Target::of(&server.place("app", "other"))];
    let gateway = Gateway::start(Settings { targets, more: more.to_owned(), ..Settings::default() }).unwrap();
    Rig { server, gateway }
}

impl Rig {
    fn login(&self, name: &str, secret: &str, target: &str) -> anyhow::Result<Raw> {
        Raw::login(&self.gateway.place(name, secret, target), &[])
    }

    fn refusal(&self, name: &str, secret: &str, target: &str) -> String {
        match self.login(name, secret, target) {
            Ok(_) => panic!("{name} was let in at {target}"),
            Err(why) => format!("{why:#}"),
        }
    }

    /// Runs `contain …`, and gives its answer.
    fn contain(&self, args: &[&str]) -> Value {
        let printed = self.gateway.cli(&[&["contain"], args, &["--json"]].concat()).unwrap();
        serde_json::from_str(&printed).unwrap()
    }

    fn contained(&self) -> Vec<Value> {
        let printed = self.gateway.cli(&["contain", "list", "--json"]).unwrap();
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn record(&self) -> Record {
        self.gateway.record().unwrap()
    }
}

/// Exit code, stdout and stderr.
fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn last<'a>(record: &'a Record, kind: &'a str) -> &'a Entry {
    record.of_kind(kind).last().unwrap_or_else(|| panic!("there is no {kind}"))
}

/// The fatal error with which a session ended: its code and message.
fn fatal(seen: &[Message]) -> (String, String) {
    let error = seen.iter().find(|m| m.tag == b'E').unwrap_or_else(|| panic!("no error in {seen:?}"));
    assert_eq!(error.field(b'V').as_deref(), Some("FATAL"), "{error:?}");
    (error.field(b'C').unwrap(), error.field(b'M').unwrap())
}

/// Reads until the session is over, in time.
fn ends_at_once(raw: &mut Raw, since: Instant) {
    let (code, message) = fatal(&raw.until_closed().unwrap());
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
    assert_eq!(code, "RF004", "{message}");
    assert!(message.contains("contained"), "{message}");
}

/// What the record says of who was contained, as its id says, with two sessions and a token.
fn is_told(rig: &Rig, id: &str) {
    let record = rig.record();
    let refused = last(&record, "identity.refused");
    assert!(["contained", "revoked"].contains(&refused.leaf("why").as_str().unwrap()), "{}", refused.0);
    let act = last(&record, "admin.contained");
    assert_eq!((&act.leaf("facts")["contained"], &act.leaf("facts")["sessions"]), (&json!(id), &json!(2)));
    assert_eq!(act.payload("detail"), &json!({ "name": "ada@example.com", "reason": "ticket 7" }));
    assert!(!act.0["leaf"].to_string().contains("ada@"), "{}", act.0);
    assert_eq!(last(&record, "identity.token_revoked").leaf("facts")["contained"], json!(id));
    let closed: Vec<_> = record.of_kind("session.closed").filter(|e| e.leaf("why") == "contained").collect();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|e| e.payload("detail") == &json!(id)), "{closed:?}");
    assert_eq!(last(&record, "command.abandoned").leaf("why"), "contained");
    assert_eq!(record.of_kind("admin.contain_differs").count(), 0);
}

#[test]
fn a_contained_identity_ends_everywhere_and_stays_out_until_it_is_lifted() {
    let mut rig = rig("");
    let secret = rig.gateway.token("bot", &["shop", "other"]).unwrap();
    let other =
        rig.gateway.cli(&["token", "create", "carl", "--kind", "human", "--target", "shop", "--json"]);
    let other: Value = serde_json::from_str(&other.unwrap()).unwrap();
    let carl = other["secret"].as_str().unwrap();
    let wrong = rig.refusal("bot", "fh_wrong", "shop");
    let (mut idle, mut busy) =
        (rig.login("bot", &secret, "shop").unwrap(), rig.login("bot", &secret, "other").unwrap());
    let mut bystander = rig.login("carl", carl, "shop").unwrap();
    // A statement of it runs, and is seen to run.
    busy.send(b'Q', b"select pg_sleep(60) -- of bot\0").unwrap();
    let running =
        "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(60)%'";
    let runs = |n: &str| Ok(rig.server.sql("shop", running)?.trim() == n);
    until("the statement runs", || runs("1")).unwrap();
    // The person behind the agent is contained: all that is done in their name ends.
    let since = Instant::now();
    let answer = rig.contain(&["identity", "ada@example.com", "--reason", "ticket 7"]);
    let since_done = Instant::now();
    ends_at_once(&mut idle, since_done);
    ends_at_once(&mut busy, since_done);
    until("the statement has ended at the target", || runs("0")).unwrap();
    assert!(since.elapsed() < Duration::from_secs(30), "it did not just run to its end");
    assert_eq!(
        (&answer["sessions"], &answer["tokens"], &answer["warnings"]),
        (&json!(2), &json!(1), &json!([]))
    );
    bystander.query("select 1").unwrap();
    // A wrong token and a contained one get the same answer, and the record knows better.
    assert_eq!(rig.refusal("bot", &secret, "shop"), wrong);
    let id = answer["id"].as_str().unwrap().to_owned();
    is_told(&rig, &id);
    // It gets no new token; and after a restart it is as it was.
    for again in 0..2 {
        let create = ["token", "create", "bot2", "--on-behalf-of", "ada@example.com", "--target", "shop"];
        let (code, _, talk) = outcome(rig.gateway.command(&create).unwrap());
        assert!(
            code == Some(1) && talk.contains(&id) && talk.contains("hint: firsthand contain lift"),
            "{talk}"
        );
        assert_eq!(rig.refusal("bot", &secret, "shop"), wrong);
        let listed = rig.contained();
        assert_eq!((listed.len(), &listed[0]["state"]), (1, &json!("contained")));
        assert!(listed[0]["by"].as_str().unwrap().starts_with("local:"), "{}", listed[0]);
        if again == 0 {
            rig.gateway.kill().unwrap();
            rig.gateway.serve().unwrap();
        }
    }
    is_told(&rig, &id);
    // Lifted, its tokens stay revoked, and new ones count.
    let lifted = rig.contain(&["lift", "ada@example.com", "--reason", "it was a drill", "--keep-evidence"]);
    assert_eq!((&lifted["id"], &lifted["held"]), (&json!(id), &json!(true)));
    assert_eq!(rig.refusal("bot", &secret, "shop"), wrong);
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    rig.login("bot", &secret, "shop").unwrap().query("select 1").unwrap();
    assert_eq!(rig.contained()[0]["state"], "held");
    rig.contain(&["lift", &id]);
    assert_eq!(rig.contained(), Vec::<Value>::new());
    let record = rig.record();
    let lifted: Vec<_> =
        record.of_kind("admin.contain_lifted").map(|e| e.leaf("facts")["held"].clone()).collect();
    assert_eq!(lifted, [json!(true), Value::Null]);
    assert!(record.unbalanced().is_empty());
}

#[test]
fn a_contained_target_opens_to_nobody_and_its_tokens_go_on_elsewhere() {
    let rig = rig("");
    let secret = rig.gateway.token("bot", &["shop", "other"]).unwrap();
    let (mut here, mut elsewhere) =
        (rig.login("bot", &secret, "shop").unwrap(), rig.login("bot", &secret, "other").unwrap());
    let (code, _, talk) = outcome(rig.gateway.command(&["contain", "target", "shpo"]).unwrap());
    assert!(code == Some(1) && talk.contains("there is no target `shpo`"), "{talk}");
    let answer = rig.contain(&["target", "shop"]);
    ends_at_once(&mut here, Instant::now());
    assert_eq!((&answer["sessions"], &answer["tokens"]), (&json!(1), &json!(0)));
    elsewhere.query("select 1").unwrap();
    let refusal = rig.refusal("bot", &secret, "shop");
    assert!(refusal.contains("RF004") && refusal.contains("contained"), "{refusal}");
    let record = rig.record();
    let refused = last(&record, "session.refused");
    assert_eq!(
        (refused.leaf("why").as_str(), refused.payload("target")),
        (Some("contained"), &json!("shop"))
    );
    // Whoever has not shown a token of it learns nothing.
    assert!(!rig.refusal("bot", "fh_wrong", "shop").contains("contained"));
    let (code, _, talk) = outcome(rig.gateway.command(&["contain", "target", "shop"]).unwrap());
    assert!(code == Some(1) && talk.contains("is contained already"), "{talk}");
    rig.contain(&["lift", "shop"]);
    rig.login("bot", &secret, "shop").unwrap().query("select 1").unwrap();
}

#[test]
fn a_contained_session_ends_alone_and_an_ended_one_can_be_held() {
    let rig = rig("");
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    let mut other = rig.login("bot", &secret, "shop").unwrap();
    let mut one = rig.login("bot", &secret, "shop").unwrap();
    one.query("select 'of one'").unwrap();
    let record = rig.record();
    let session = record.0.iter().find(|e| e.text() == "select 'of one'").unwrap().session().to_owned();
    let answer = rig.contain(&["session", &session, "--reason", "looks odd"]);
    ends_at_once(&mut one, Instant::now());
    assert_eq!((&answer["sessions"], &answer["name"]), (&json!(1), &json!(session)));
    other.query("select 1").unwrap();
    rig.login("bot", &secret, "shop").unwrap();
    rig.contain(&["lift", &session]);
    // It has ended: what is left is its evidence.
    assert_eq!(rig.contain(&["session", &session])["sessions"], 0);
    assert_eq!(rig.contained()[0]["name"], json!(session));
    let unknown = "00000000-0000-7000-8000-000000000000";
    let (code, _, talk) = outcome(rig.gateway.command(&["contain", "session", unknown]).unwrap());
    assert!(code == Some(1) && talk.contains("there is no session"), "{talk}");
}

#[test]
fn administrators_contain_over_the_api_and_nobody_else_does() {
    let rig = rig("");
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    let ops = rig.gateway.role_token("ops", &["--kind", "human", "--role", "admin"]).unwrap();
    let auditor = rig.gateway.role_token("eve", &["--kind", "human", "--role", "auditor"]).unwrap();
    let args = ["contain", "identity", "bot"];
    let (code, _, talk) = outcome(rig.gateway.remote(&auditor, &args).unwrap());
    assert!(code == Some(1) && talk.contains("role"), "{talk}");
    let mut session = rig.login("bot", &secret, "shop").unwrap();
    let (code, said, talk) = outcome(rig.gateway.remote(&ops, &args).unwrap());
    ends_at_once(&mut session, Instant::now());
    assert_eq!(code, Some(0), "{talk}");
    assert!(said.contains("1 session ended, 1 token revoked"), "{said}");
    let (_, listed, _) = outcome(rig.gateway.remote(&auditor, &["contain", "list"]).unwrap());
    assert!(listed.contains("bot") && listed.contains("ops"), "{listed}");
    let record = rig.record();
    let act = last(&record, "admin.contained");
    assert!(act.leaf("chain").is_array() && act.payload("by") == "ops", "{}", act.0);
    // The administrator may be the one who is contained: then the API is closed as well.
    rig.contain(&["identity", "ops"]);
    let (code, _, talk) = outcome(rig.gateway.remote(&ops, &["contain", "lift", "bot"]).unwrap());
    assert!(code == Some(1) && talk.contains("does not accept this token"), "{talk}");
    assert_eq!(rig.contained().len(), 2);
}

#[test]
fn without_a_gateway_it_is_contained_for_the_next_one_and_the_record_alone_is_enough() {
    let mut rig = rig("");
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    rig.gateway.stop().unwrap();
    let answer = rig.contain(&["identity", "bot"]);
    assert_eq!((&answer["tokens"], &answer["approvals"]), (&json!(1), &Value::Null));
    rig.contain(&["target", "other"]);
    rig.gateway.serve().unwrap();
    rig.refusal("bot", &secret, "shop");
    // As a crash leaves it between the entry and the file; or a folder that was brought back from a backup.
    rig.gateway.kill().unwrap();
    std::fs::remove_file(rig.gateway.data_dir().join("contained.json")).unwrap();
    rig.gateway.serve().unwrap();
    assert!(rig.gateway.daemon().unwrap().said().contains("the record says that it is contained"));
    let names: Vec<_> = rig.contained().iter().map(|one| one["name"].clone()).collect();
    assert!(
        names.len() == 2 && names.contains(&json!("bot")) && names.contains(&json!("other")),
        "{names:?}"
    );
    let (code, _, talk) =
        outcome(rig.gateway.command(&["token", "create", "bot", "--target", "shop"]).unwrap());
    assert!(code == Some(1) && talk.contains("is contained"), "{talk}");
    let record = rig.record();
    let found: Vec<_> =
        record.of_kind("admin.contain_differs").map(|e| e.leaf("facts")["found"].clone()).collect();
    assert_eq!(found, [json!("contained-in-record"), json!("contained-in-record")]);
    // What the record does not know stays contained, and is told.
    let lifted = rig.contain(&["lift", "other"]);
    let file = rig.gateway.data_dir().join("contained.json");
    let mut content: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let mut other = content["contained"][0].clone();
    (other["id"], other["of"], other["name"]) = (lifted["id"].clone(), json!("target"), json!("other"));
    content["contained"].as_array_mut().unwrap().push(other);
    rig.gateway.kill().unwrap();
    std::fs::write(&file, content.to_string()).unwrap();
    rig.gateway.serve().unwrap();
    assert!(rig.gateway.daemon().unwrap().said().contains("the record says that it was lifted"));
    assert_eq!(rig.contained().len(), 2, "fail closed");
}

/// Where it cannot be written down, it holds all the same, and who asked is told.
#[test]
fn a_file_that_cannot_be_written_keeps_nobody_from_being_contained() {
    let mut rig = rig("");
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    let mut session = rig.login("bot", &secret, "shop").unwrap();
    let in_the_way = rig.gateway.data_dir().join("contained.json.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let (code, _, talk) = outcome(rig.gateway.command(&["contain", "identity", "bot"]).unwrap());
    ends_at_once(&mut session, Instant::now());
    assert!(code == Some(0) && talk.contains("warning: it is contained and recorded"), "{talk}");
    rig.refusal("bot", &secret, "shop");
    let (code, _, talk) = outcome(rig.gateway.command(&["contain", "lift", "bot"]).unwrap());
    assert!(code == Some(1) && talk.contains("it stays contained") && talk.contains("\nhint: "), "{talk}");
    assert_eq!(rig.contained().len(), 1);
    std::fs::remove_dir(&in_the_way).unwrap();
    rig.gateway.kill().unwrap();
    rig.gateway.serve().unwrap();
    assert_eq!(rig.contained().len(), 1, "the record has taken the lifting back");
    rig.contain(&["lift", "bot"]);
    assert_eq!(rig.contained().len(), 0);
}

/// People cite what they have seen, when they contain something, too: with a gateway and without one, and where the rules are broken.
#[test]
fn secrets_in_reasons_are_replaced_before_anything_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[mask]]\nname = \"mails\"\nbecause = \"Nobody needs them.\"\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\"]\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let mut rig = rig(&format!("[policy]\ndir = {:?}\n", folder.path().display().to_string()));
    let reason = "password=containSECRETE of mia@example.net, ticket 7";
    let told = |rig: &Rig| {
        let said = rig.gateway.cli(&["log", "cat", "--json"]).unwrap() + &json!(rig.contained()).to_string();
        let file = std::fs::read_to_string(rig.gateway.data_dir().join("contained.json")).unwrap_or_default();
        let all = format!("{said}{file}");
        assert!(!all.contains("containSECRETE") && !all.contains("mia@"), "{all}");
        all
    };
    for running in [true, false] {
        if !running {
            rig.gateway.stop().unwrap();
        }
        rig.contain(&["identity", "mallory", "--reason", reason]);
        let all = told(&rig);
        assert!(all.contains("ticket 7"), "{all}");
        rig.contain(&["lift", "mallory", "--reason", reason]);
        told(&rig);
    }
    std::fs::write(folder.path().join("rules.toml"), "[[rule]]\nnothing = 1\n").unwrap();
    rig.contain(&["identity", "mallory", "--reason", reason]);
    told(&rig);
    assert_eq!(rig.contained()[0]["reason"], "<masked>", "what cannot be looked through is not kept");
}

#[test]
fn what_the_contained_have_asked_and_approved_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[group]]\nname = \"payers\"\nmembers = [\"local:*\", \"grace\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\", \"session\"]\n
[[rule]]\nname = \"held\"\nbecause = \"Second eyes.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = { group = \"payers\", quorum = 2, wait = \"60s\" }\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let rig = rig(&format!("[policy]\ndir = {:?}\n", folder.path().display().to_string()));
    rig.server
        .sql("shop", "create table t (id int); insert into t values (1); alter table t owner to app")
        .unwrap();
    let (bot, other) =
        (rig.gateway.token("bot", &["shop"]).unwrap(), rig.gateway.token("bot2", &["shop"]).unwrap());
    let (mut held, mut bystander) =
        (rig.login("bot", &bot, "shop").unwrap(), rig.login("bot2", &other, "shop").unwrap());
    held.send(b'Q', b"delete from t\0").unwrap();
    bystander.send(b'Q', b"delete from t where id = 2\0").unwrap();
    let waiting = || -> anyhow::Result<Vec<(String, String)>> {
        let listed = rig.gateway.cli(&["approvals", "list", "--json"])?;
        let parsed = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        Ok(parsed.map(|one| (text(&one, "statement"), text(&one, "id"))).collect())
    };
    until("both wait", || Ok(waiting()?.len() == 2)).unwrap();
    let answer = rig.contain(&["identity", "bot"]);
    ends_at_once(&mut held, Instant::now());
    assert_eq!(
        (&answer["sessions"], &answer["approvals"]),
        (&json!(1), &json!(0)),
        "who waited has taken it back"
    );
    let left = waiting().unwrap();
    assert!(left.len() == 1 && left[0].0 == "delete from t where id = 2", "{left:?}");
    // Whoever has approved something is contained: what that was worth is gone.
    let grace = rig.gateway.role_token("grace", &["--kind", "human", "--role", "approver"]).unwrap();
    let (code, said, talk) =
        outcome(rig.gateway.remote(&grace, &["approvals", "approve", &left[0].1]).unwrap());
    assert!(code == Some(0) && said.contains("1 of 2"), "{said} {talk}");
    assert_eq!(rig.contain(&["identity", "grace", "--reason", "her laptop"])["approvals"], 1);
    assert!(waiting().unwrap().is_empty());
    let seen = bystander.until(b'Z').unwrap();
    assert!(seen.iter().any(|m| m.tag == b'E'), "{seen:?}");
    bystander.query("select 1").unwrap();
    let record = rig.record();
    let withdrawn = last(&record, "approval.withdrawn");
    assert!(withdrawn.payload("reason").as_str().unwrap().starts_with("contained: cn-"), "{}", withdrawn.0);
    assert!(withdrawn.leaf("by").is_object(), "{}", withdrawn.0);
    let decided = record.0.iter().find(|e| e.kind() == "command.decided" && e.text() == "delete from t");
    assert!(decided.is_some_and(|e| e.leaf("verdict") != "allow"), "{decided:?}");
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
    assert_eq!(rig.server.sql("shop", "select count(*) from t").unwrap().trim(), "1");
}

/// By whatever name the approver is contained: what they have approved does not run any more.
#[test]
fn what_the_contained_have_approved_does_not_run_whatever_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[group]]\nname = \"payers\"\nmembers = [\"g*@x\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\", \"session\"]\n
[[rule]]\nname = \"held\"\nbecause = \"Second eyes.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = { group = \"payers\", wait = \"1s\" }\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let rig = rig(&format!("[policy]\ndir = {:?}\n", folder.path().display().to_string()));
    rig.server
        .sql("shop", "create table t (id int); insert into t values (1); alter table t owner to app")
        .unwrap();
    let bot = rig.gateway.token("bot", &["shop"]).unwrap();
    let mut bot = rig.login("bot", &bot, "shop").unwrap();
    let code = |seen: &[Message]| seen.iter().find_map(|m| m.field(b'C').filter(|_| m.tag == b'E'));
    for (number, by) in ["token name", "token id", "id in the record", "person"].into_iter().enumerate() {
        let (name, person) = (format!("grace{number}"), format!("g{number}@x"));
        let args = ["--kind", "human", "--on-behalf-of", &person, "--role", "approver"];
        let grace = rig.gateway.role_token(&name, &args).unwrap();
        let delete = format!("delete from t where id = {number}");
        assert_eq!(code(&bot.query(&delete).unwrap()).as_deref(), Some("RF001"));
        let listed = rig.gateway.cli(&["approvals", "list", "--json"]).unwrap();
        let waits: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
        let id = waits["id"].as_str().unwrap();
        let (done, said, talk) = outcome(rig.gateway.remote(&grace, &["approvals", "approve", id]).unwrap());
        assert_eq!(done, Some(0), "{said} {talk}");
        let record = rig.record();
        let given = last(&record, "approval.given").leaf("by").to_string();
        let in_record = given.split('"').find(|part| part.starts_with("h-")).unwrap().to_owned();
        let shown: Value =
            serde_json::from_str(&rig.gateway.cli(&["token", "show", &name, "--json"]).unwrap()).unwrap();
        let called = match by {
            "token name" => name,
            "token id" => shown["id"].as_str().unwrap().to_owned(),
            "id in the record" => in_record,
            _ => person,
        };
        let answer = rig.contain(&["identity", &called, "--reason", "a laptop is lost"]);
        assert_eq!(answer["approvals"], 1, "{by} {called}: {answer}");
        assert_eq!(code(&bot.query(&delete).unwrap()).as_deref(), Some("RF001"), "{by}: it asks anew");
    }
    assert!(rig.record().of_kind("approval.spent").next().is_none());
    assert_eq!(rig.server.sql("shop", "select count(*) from t").unwrap().trim(), "1");
}

/// Also where its client takes nothing of what waits for it: the last words are not waited for long.
#[test]
fn a_contained_session_waits_for_nobody() {
    let rig = rig("");
    let secret = rig.gateway.token("bot", &["shop"]).unwrap();
    let mut lazy = rig.login("bot", &secret, "shop").unwrap();
    lazy.send(b'Q', b"select n, repeat('x', 1000) from generate_series(1, 3000000) n\0").unwrap();
    let there = |condition: &str| {
        let count = "select count(*) from pg_stat_activity where query like 'select n, repeat%'";
        rig.server.sql("postgres", &format!("{count} and {condition}"))
    };
    until("the target waits for the client", || Ok(there("wait_event = 'ClientWrite'")?.trim() == "1"))
        .unwrap();
    rig.contain(&["identity", "bot"]);
    until("the target's side ends", || Ok(there("state = 'active'")?.trim() == "0")).unwrap();
    let record = rig.record();
    let at = |kind: &str| last(&record, kind).leaf("mono").as_u64().unwrap();
    assert_eq!(last(&record, "session.closed").leaf("why"), "contained");
    let took = Duration::from_micros(at("session.closed") - at("admin.contained"));
    assert!(took < AT_ONCE, "{took:?}");
    assert!(record.unbalanced().is_empty(), "{:?}", record.unbalanced());
}
