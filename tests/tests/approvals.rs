//! Commands that wait for a person: with an unmodified MCP server, over both query protocols, in transactions, with people who
//! approve over the command line and over the API; and what the record tells of it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use firsthand_tests::clients::{installed, setup};
use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::mcp::McpServer;
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::Entry;
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table payments (id int primary key, amount numeric(10, 2), note text);
    insert into payments values (1, 10.50, 'first'), (2, 20.00, 'zweite ü'), (3, 30, 'third'), (4, 40, 'fourth');
    alter table payments owner to app";

/// Agents' writes are held; the token's person is ada@example.com.
fn rules(wait: &str, more: &str) -> String {
    format!(
        "[[group]]\nname = \"payers\"\nmembers = [\"local:*\", \"grace@example.com\", \"ada@example.com\", \"bob@example.com\"]\n
[[rule]]\nname = \"reads\"\nbecause = \"Anybody may.\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\", \"session\"]\n
[[rule]]\nname = \"payments-held\"\nbecause = \"Payments need a second pair of eyes.\"\nverdict = \"hold\"\neffects = [\"write\"]\n\
approve = {{ group = \"payers\", wait = \"{wait}\"{more} }}\n"
    )
}

fn lab(rules: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

/// The first id of an approval in a text.
fn id_in(text: &str) -> String {
    let at = text.find("ap-").unwrap_or_else(|| panic!("no approval in: {text}"));
    text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

fn rows(lab: &Lab) -> String {
    lab.far
        .sql("shop", "select string_agg(id::text, ',' order by id) from payments")
        .unwrap()
        .trim()
        .to_owned()
}

/// Exit code, stdout and stderr.
fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn waiting(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.cli(&["approvals", "list", "--json"]).unwrap();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Kinds of entries about approvals and writes, in order.
fn story(gateway: &Gateway) -> Vec<String> {
    let record = gateway.record().unwrap();
    let told = record.0.iter().filter_map(|e| {
        let write = e.text().to_lowercase().contains("delete");
        match e.kind() {
            // Whether one comes in time is up to the machine (previews.rs).
            "approval.previewed" => None,
            kind if kind.starts_with("approval.") => Some(kind.to_owned()),
            "command.decided" if write => {
                let leave = if e.leaf("approval").is_null() { "held" } else { "approved" };
                Some(format!("{leave} #{}", e.command().unwrap_or(0)))
            }
            _ => None,
        }
    });
    told.map(|t| t.split(" #").next().unwrap().to_owned()).collect()
}

/// The founding scenario: the agent's DELETE is held, answered pending, approved by a person, sent again, and runs once.
#[test]
fn an_agents_delete_waits_for_a_person_and_runs_once() {
    setup("mcp").unwrap();
    let (lab, _folder) = lab(&rules("1s", ""));
    let place = lab.through();
    let main = installed().join("mcp/node_modules/@bytebase/dbhub/dist/index.js");
    let mut server = Command::new("node");
    server.arg(main).args(["--transport", "stdio", "--dsn", &place.url()]);
    let mut server = McpServer::start(&mut server).unwrap();
    let mut call = |sql: &str| server.call("execute_sql", &json!({ "sql": sql })).unwrap();
    let delete = "delete from payments where id = 2";
    let first = call(delete);
    assert!(
        first.text.contains("is pending") && first.text.contains("Send the same statement again"),
        "{first:?}"
    );
    let id = id_in(&first.text);
    assert_eq!(rows(&lab), "1,2,3,4", "it waits");
    // Asked again, it is the same question.
    assert_eq!(id_in(&call(delete).text), id);
    let shown = lab.gateway.cli(&["approvals", "show", &id]).unwrap();
    for part in
        [delete, "ada@example.com", "payments-held", "second pair of eyes", "write", "role app", "payers"]
    {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    let approved = lab.gateway.cli(&["approvals", "approve", &id, "--reason", "ticket 7"]).unwrap();
    assert!(approved.contains("it runs once"), "{approved}");
    // Another literal is another command.
    let other = call("delete from payments where id = 3");
    assert_ne!(id_in(&other.text), id);
    assert_eq!(rows(&lab), "1,2,3,4", "what was approved has not come yet");
    let ran = call(delete);
    assert!(!ran.text.contains("pending"), "{ran:?}");
    assert_eq!(rows(&lab), "1,3,4");
    // It was spent: the second retry asks anew.
    lab.far.sql("shop", "insert into payments values (2, 1, 'again')").unwrap();
    let again = call(delete);
    assert!(again.text.contains("is pending") && id_in(&again.text) != id, "{again:?}");
    assert_eq!(rows(&lab), "1,2,3,4");
    let record = lab.gateway.record().unwrap();
    let about = record.0.iter().filter(|e| e.kind() != "approval.previewed");
    let about: Vec<&Entry> = about.filter(|e| e.leaf("approval") == &json!(id)).collect();
    let kinds: Vec<&str> = about.iter().map(|e| e.kind()).collect();
    assert_eq!(kinds, ["approval.asked", "approval.given", "approval.spent", "command.decided"]);
    assert_eq!(about[0].text(), delete);
    assert!(about[1].payload("by").as_str().unwrap().starts_with("local:"), "{:?}", about[1]);
    assert_eq!(about[1].payload("reason"), &json!("ticket 7"));
    assert_eq!(record.outcome(about[3]).unwrap().leaf("affected"), &json!(1));
    let ran = record.intents(delete).filter(|i| !i.leaf("approval").is_null()).count();
    assert_eq!(ran, 1);
    let found = lab.gateway.cli(&["log", "search", &format!("approval:{id}")]).unwrap();
    for part in ["given by local:", "asked", "spent", "DELETE 1"] {
        assert!(found.contains(part), "{part} is not in:\n{found}");
    }
    assert!(record.unbalanced().is_empty());
}

/// Approved while it waits, it runs there and then; refused, the client reads why.
#[test]
fn a_command_that_still_waits_goes_on_when_it_is_answered() {
    let (lab, _folder) = lab(&rules("60s", ""));
    for (answer, reason, expected) in [("approve", "", ""), ("deny", "not on a Friday", "42501")] {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        raw.send(b'Q', b"delete from payments where id = 1\0").unwrap();
        until("it waits", || Ok(!waiting(&lab.gateway).is_empty())).unwrap();
        let id = waiting(&lab.gateway)[0]["id"].as_str().unwrap().to_owned();
        let mut args = vec!["approvals", answer, &id];
        if !reason.is_empty() {
            args.extend(["--reason", reason]);
        }
        lab.gateway.cli(&args).unwrap();
        let seen = raw.until(b'Z').unwrap();
        assert_eq!(code(&seen), expected, "{}", said(&seen));
        assert!(said(&seen).contains(reason), "{}", said(&seen));
        // Over is over.
        let (code, _, talk) = outcome(lab.gateway.command(&["approvals", "approve", &id]).unwrap());
        assert!(code == Some(1) && talk.contains("already"), "{talk}");
    }
    assert_eq!(rows(&lab), "2,3,4");
}

/// Who leaves, cancels or is killed while something is held: the question is withdrawn, and nothing runs.
#[test]
fn a_client_that_gives_up_withdraws_its_question() {
    let (lab, _folder) = lab(&rules("60s", ""));
    let begun = Instant::now();
    for way in ["leaves", "cancels", "is killed"] {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        raw.send(b'Q', b"delete from payments where id = 1\0").unwrap();
        until("it waits", || Ok(!waiting(&lab.gateway).is_empty())).unwrap();
        let id = waiting(&lab.gateway)[0]["id"].as_str().unwrap().to_owned();
        match way {
            "leaves" => drop(raw),
            "cancels" => {
                raw.cancel(&lab.through()).unwrap();
                assert_eq!(code(&raw.until(b'Z').unwrap()), "57014");
            }
            _ => {
                let session = waiting(&lab.gateway)[0]["session"].as_str().unwrap().to_owned();
                lab.gateway.cli(&["sessions", "kill", &session]).unwrap();
            }
        }
        until("it is withdrawn", || Ok(waiting(&lab.gateway).is_empty())).unwrap();
        let (code, _, talk) = outcome(lab.gateway.command(&["approvals", "approve", &id]).unwrap());
        assert!(code == Some(1) && talk.contains("withdrawn already"), "{way}: {talk}");
    }
    assert!(begun.elapsed().as_secs() < 55, "the waits were not broken off");
    assert_eq!(rows(&lab), "1,2,3,4");
    assert_eq!(story(&lab.gateway).iter().filter(|k| *k == "approval.withdrawn").count(), 3);
}

/// Parse, Bind, Execute, Sync of a delete with a parameter.
fn extended(raw: &mut Raw, id: &str) -> Vec<Message> {
    let bind =
        [b"\0\0\0\0\0\x01".as_slice(), &(id.len() as u32).to_be_bytes(), id.as_bytes(), b"\0\0"].concat();
    let parse = b"\0delete from payments where id = $1\0\0\0";
    for (tag, body) in [(b'P', parse.as_slice()), (b'B', &bind), (b'E', b"\0\0\0\0\0"), (b'S', b"")] {
        raw.send(tag, body).unwrap();
    }
    raw.until(b'Z').unwrap()
}

/// Transaction × protocol × outcome: what is not approved fails what it stands in, and what is approved runs once.
#[test]
fn every_protocol_and_transaction_keeps_what_is_held() {
    let (lab, _folder) = lab(&rules("1ms", ""));
    type Say = fn(&mut Raw) -> Vec<Message>;
    let ways: [(&str, Say); 3] = [
        ("simple", |raw| raw.query("delete from payments where id = 1").unwrap()),
        ("extended", |raw| extended(raw, "1")),
        ("several", |raw| raw.query("select 1; delete from payments where id = 1; select 2").unwrap()),
    ];
    for (way, say) in ways {
        for block in [false, true] {
            for answer in ["none", "deny", "approve"] {
                let case = format!("{way}, in a block: {block}, {answer}");
                lab.far.sql("shop", "insert into payments values (1, 1, '') on conflict do nothing").unwrap();
                lab.far.sql("shop", "delete from payments where id > 90").unwrap();
                let mut raw = Raw::login(&lab.through(), &[]).unwrap();
                let first = say(&mut raw);
                assert_eq!(code(&first), "RF001", "{case}: {}", said(&first));
                let id = id_in(&said(&first));
                if answer != "none" {
                    lab.gateway.cli(&["approvals", answer, &id]).unwrap();
                }
                if block {
                    raw.query("begin").unwrap();
                    raw.query("select 1").unwrap();
                }
                let seen = say(&mut raw);
                let runs = answer == "approve";
                // What was refused asks anew.
                assert_eq!(code(&seen), if runs { "" } else { "RF001" }, "{case}: {}", said(&seen));
                let state = seen.last().unwrap().body[0];
                let expected = if !block {
                    b'I'
                } else if runs {
                    b'T'
                } else {
                    b'E'
                };
                assert_eq!(state as char, expected as char, "{case}");
                if block {
                    let end = said(&raw.query("commit").unwrap());
                    assert!(end.contains(if runs { "COMMIT" } else { "ROLLBACK" }), "{case}: {end}");
                }
                let gone = !rows(&lab).contains('1');
                assert_eq!(gone, runs, "{case}");
                // Never twice.
                let again = say(&mut raw);
                assert_eq!(code(&again), "RF001", "{case}: {}", said(&again));
                if runs {
                    assert_ne!(id_in(&said(&again)), id, "{case}");
                }
                // So that the next case asks a question of its own.
                let open = id_in(&said(&again));
                lab.gateway.cli(&["approvals", "deny", &open]).unwrap();
            }
        }
    }
    // Other values, and the same value as another type, are other commands.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let id = id_in(&said(&extended(&mut raw, "1")));
    lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
    assert_ne!(id_in(&said(&extended(&mut raw, "3"))), id);
    assert_eq!(code(&extended(&mut raw, "1")), "");
}

/// People: their own, two tokens of one person, outside of the group, two of them, and no person at all.
#[test]
fn nobody_approves_their_own_and_one_person_counts_once() {
    let (lab, _folder) = lab(&rules("1ms", ", quorum = 2"));
    let token = |name: &str, who: &str, kind: &str| {
        let args = ["--kind", kind, "--on-behalf-of", who, "--role", "approver"];
        lab.gateway.role_token(name, &args).unwrap()
    };
    let own = token("ada-phone", "ada@example.com", "human");
    let (laptop, phone) = (
        token("grace-laptop", "grace@example.com", "human"),
        token("grace-phone", "grace@example.com", "human"),
    );
    let (bob, eve) = (token("bob", "bob@example.com", "human"), token("eve", "eve@example.com", "human"));
    let robot = token("robot", "bob@example.com", "agent");
    let auditor = lab.gateway.role_token("auditor", &["--kind", "human", "--role", "auditor"]).unwrap();
    let delete = "delete from payments where id = 4";
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let id = id_in(&said(&raw.query(delete).unwrap()));
    let approve = |token: &str| {
        let (code, out, talk) = outcome(lab.gateway.remote(token, &["approvals", "approve", &id]).unwrap());
        (code.unwrap_or(-1), format!("{out}{talk}"))
    };
    for (who, why) in [
        (&own, "nobody approves their own"),
        (&eve, "none of the groups"),
        (&robot, "only a person"),
        (&auditor, "role"),
    ] {
        let (code, told) = approve(who);
        assert!(code == 1 && told.contains(why), "{why}: {told}");
    }
    let (code_, told) = approve(&laptop);
    assert!(code_ == 0 && told.contains("1 of 2"), "{told}");
    let (code_, told) = approve(&phone);
    assert!(code_ == 1 && told.contains("has approved it already"), "{told}");
    assert_eq!(code(&raw.query(delete).unwrap()), "RF001", "one of two");
    assert_eq!(approve(&bob).0, 0);
    assert_eq!(code(&raw.query(delete).unwrap()), "");
    assert_eq!(rows(&lab), "1,2,3");
    let record = lab.gateway.record().unwrap();
    assert_eq!(record.of_kind("approval.given").count(), 2);
    let last = record.of_kind("approval.given").last().unwrap();
    assert_eq!((last.leaf("given"), last.leaf("quorum")), (&json!(2), &json!(2)));
    assert!(last.payload("address").is_string());
}

/// Without a gateway the command line opens the data folder itself; what was approved then is spent after the next start. What
/// the state says and the record does not know is not.
#[test]
fn approvals_outlast_a_restart_and_the_states_word_alone_is_worth_nothing() {
    let (mut lab, _folder) = lab(&rules("1ms", ""));
    let mut ids = Vec::new();
    {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        for n in [1, 2, 3] {
            ids.push(id_in(&said(&raw.query(&format!("delete from payments where id = {n}")).unwrap())));
        }
    }
    lab.gateway.stop().unwrap();
    lab.gateway.cli(&["approvals", "approve", &ids[0]]).unwrap();
    assert_eq!(waiting(&lab.gateway).len(), 3);
    forge(&lab.gateway.data_dir().join("state.db"), &ids[1]);
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(code(&raw.query("delete from payments where id = 1").unwrap()), "", "it was approved");
    let forged = raw.query("delete from payments where id = 2").unwrap();
    assert_eq!(code(&forged), "RF001", "nobody approved it");
    assert_ne!(id_in(&said(&forged)), ids[1]);
    assert_eq!(rows(&lab), "2,3,4");
    let record = lab.gateway.record().unwrap();
    let told: Vec<_> = record.of_kind("admin.approval_differs").map(|e| e.leaf("facts").clone()).collect();
    assert_eq!(told, [json!({ "approval": ids[1], "done": true, "found": "not-given-in-record" })]);
}

/// Somebody who can write the file says that it was approved.
fn forge(state: &Path, id: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
        db.execute(\"update approvals set stage = 'given' where id = ?\", (sys.argv[2],)); \
        db.execute(\"insert into votes values (?, 'grace@example.com', (select log from approvals limit 1), '[\\\"payers\\\"]', '', 0, '')\", (sys.argv[2],)); \
        db.commit()";
    let done = Command::new("python3").args(["-c", script]).arg(state).arg(id).status().unwrap();
    assert!(done.success());
}
