//! What a held command says as it will run, where the record has it masked: shown to who may approve it and sees originals, each
//! time with an entry; kept sealed while it is open, and by nothing else.

use std::process::Stdio;

use firsthand_adapters::state::State;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table payments (id int primary key, note text);
    insert into payments select i, 'note' from generate_series(1, 9) i; alter table payments owner to app";

const RULES: &str = r#"
[[group]]
name = "payers"
members = ["grace@example.com", "ada@example.com", "bob@example.com"]

[[group]]
name = "seers"
members = ["grace@example.com", "ada@example.com", "eve@example.com"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read", "transaction", "session"]

[[rule]]
name = "payments-held"
because = "Payments need a second pair of eyes."
verdict = "hold"
effects = ["write"]
approve = { group = "payers", wait = "60s" }

[[mask]]
name = "mails"
because = "Nobody needs them."
kinds = ["agent"]
labels = ["*"]
style = "redact"
detect = true
"#;

const HIDDEN: &str = "mia@example.net";

fn lab(originals: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!("[policy]\n{originals}dir = {:?}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

fn approver(lab: &Lab, who: &str) -> String {
    let person = format!("{who}@example.com");
    lab.gateway
        .role_token(who, &["--kind", "human", "--on-behalf-of", &person, "--role", "approver"])
        .unwrap()
}

fn held(lab: &Lab) -> (Raw, String) {
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let statement = format!("update payments set note = 'ask {HIDDEN}' where id = 1\0");
    raw.send(b'Q', statement.as_bytes()).unwrap();
    let mut id = String::new();
    until("it waits", || {
        let listed = lab.gateway.cli(&["approvals", "list", "--json"])?;
        let line = listed.lines().next().unwrap_or("{}");
        id = serde_json::from_str::<Value>(line)?["id"].as_str().unwrap_or_default().to_owned();
        Ok(!id.is_empty())
    })
    .unwrap();
    (raw, id)
}

fn original(lab: &Lab, token: &str, id: &str) -> (u16, Value) {
    let headers = format!("Authorization: Bearer {token}\r\n");
    let (status, body) =
        lab.gateway.ask("POST", &format!("/v1/approvals/{id}/original"), &headers, "").unwrap();
    (status, serde_json::from_str(&body).unwrap_or_default())
}

fn showings(lab: &Lab) -> Vec<Value> {
    let record = lab.gateway.record().unwrap();
    let of =
        record.of_kind("record.read").filter(|e| e.leaf("facts")["command"] == "approvals show --original");
    of.map(|e| e.payload("by").clone()).collect()
}

/// Whether that stands anywhere in the data folder, as it is.
fn stands_in_folder(lab: &Lab, text: &str) -> bool {
    let mut folders = vec![lab.gateway.data_dir()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).is_ok_and(|b| b.windows(text.len()).any(|w| w == text.as_bytes()))
            {
                return true;
            }
        }
    }
    false
}

fn kept(lab: &Lab, id: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = State::in_folder(&lab.gateway.data_dir());
    runtime.block_on(state.original(id)).unwrap()
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

#[test]
fn who_may_approve_and_sees_originals_is_shown_what_will_run_and_nobody_else() {
    let (lab, _folder) = lab("originals = \"seers\"\n");
    let tokens = ["grace", "ada", "bob", "eve"].map(|who| approver(&lab, who));
    let [grace, ada, bob, eve] = &tokens;
    let (mut raw, id) = held(&lab);
    assert!(kept(&lab, &id).is_some_and(|sealed| !sealed.contains("mia")));
    let shown = lab.gateway.cli(&["approvals", "show", &id]).unwrap();
    assert!(shown.contains("update payments") && !shown.contains(HIDDEN), "{shown}");
    // Whoever asked for it, is in no group of the rule, or not among those who see originals.
    for (token, part) in
        [(ada, "their own"), (eve, "in none of the groups"), (bob, "not among those who see")]
    {
        let (status, answer) = original(&lab, token, &id);
        assert!(status == 409 && answer["error"].as_str().unwrap().contains(part), "{status} {answer}");
    }
    let admin = lab.gateway.role_token("reader", &["--kind", "human", "--role", "auditor"]).unwrap();
    assert_eq!(original(&lab, &admin, &id).0, 403);
    let here = lab
        .gateway
        .command(&["approvals", "show", &id, "--original"])
        .unwrap()
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(here.status.code(), Some(1), "the machine's user is in no group either");
    assert!(!String::from_utf8_lossy(&here.stdout).contains(HIDDEN));
    assert!(showings(&lab).is_empty());
    let record = lab.gateway.record().unwrap();
    let turned_away = record.of_kind("approval.answer_refused").map(|e| e.leaf("facts"));
    let turned_away: Vec<_> = turned_away.map(|f| (f["answer"].as_str(), f["why"].as_str())).collect();
    let asked = Some("original");
    assert_eq!(
        turned_away,
        [
            (asked, Some("own")),
            (asked, Some("not-in-group")),
            (asked, Some("no-right")),
            (asked, Some("not-in-group"))
        ]
    );
    let (status, answer) = original(&lab, grace, &id);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["statement"], json!(format!("update payments set note = 'ask {HIDDEN}' where id = 1")));
    let remote =
        lab.gateway.remote(grace, &["approvals", "show", &id, "--original"]).unwrap().output().unwrap();
    let remote = String::from_utf8(remote.stdout).unwrap();
    assert!(remote.contains("as it will run:") && remote.contains(HIDDEN), "{remote}");
    assert_eq!(showings(&lab), [json!("grace"), json!("grace")], "each showing is an entry");
    // A grant has no original, whoever asks.
    let (status, answer) = original(&lab, grace, "gr-aaaaaaaaaa");
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("no approval `gr-"), "{answer}");
    // Approved, and spent: it is gone.
    lab.gateway.remote(grace, &["approvals", "approve", &id]).unwrap().output().unwrap();
    assert!(said(&raw.until(b'Z').unwrap()).contains("UPDATE 1"));
    let (status, answer) = original(&lab, grace, &id);
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("spent already"), "{answer}");
    assert_eq!(kept(&lab, &id), None);
    let record =
        serde_json::to_string(&lab.gateway.record().unwrap().0.iter().map(|e| &e.0).collect::<Vec<_>>())
            .unwrap();
    assert!(
        !record.contains(HIDDEN) && !stands_in_folder(&lab, HIDDEN),
        "it is nowhere but where it was shown"
    );
}

/// What is masked never passes for what will run.
#[test]
fn an_original_that_somebody_has_deleted_is_not_replaced_by_what_is_shown() {
    let (lab, _folder) = lab("originals = \"seers\"\n");
    let grace = approver(&lab, "grace");
    let (_raw, id) = held(&lab);
    assert_eq!(original(&lab, &grace, &id).0, 200);
    let delete = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                  db.execute('delete from originals where approval = ?', sys.argv[2:]); db.commit()";
    let file = lab.gateway.data_dir().join("state.db");
    let done = std::process::Command::new("python3").args(["-c", delete]).arg(file).arg(&id).status();
    assert!(done.unwrap().success());
    let (status, answer) = original(&lab, &grace, &id);
    assert!(
        status == 409 && answer["error"].as_str().unwrap().contains("is not as this gateway"),
        "{answer}"
    );
}

#[test]
fn without_the_setting_nobody_sees_what_masks_hide() {
    let (lab, _folder) = lab("");
    let grace = approver(&lab, "grace");
    let (raw, id) = held(&lab);
    let (status, answer) = original(&lab, &grace, &id);
    assert!(status == 409 && !answer.to_string().contains(HIDDEN), "{answer}");
    assert!(answer["hint"].as_str().unwrap().contains("originals"), "{answer}");
    // Whoever leaves withdraws it, and what was kept of it goes along.
    assert!(kept(&lab, &id).is_some());
    drop(raw);
    until("it is withdrawn", || Ok(kept(&lab, &id).is_none())).unwrap();
}
