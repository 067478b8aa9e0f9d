//! Break-glass: a person whom a rule names for it releases a held command alone, also their own agent's; once, with a reason, and
//! everybody hears of it.

use std::process::Command;

use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::Entry;
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str =
    "create table payments (id int primary key); insert into payments select generate_series(1, 9);
    alter table payments owner to app";

/// Two must approve; who is on call may do without. The lab's agent acts for ada@example.com, who is.
const RULES: &str = r#"
[[group]]
name = "payers"
members = ["grace@example.com", "bob@example.com"]

[[group]]
name = "oncall"
members = ["ada@example.com", "grace@example.com", "local:*"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read"]

[[rule]]
name = "held"
because = "Two see more."
verdict = "hold"
effects = ["write"]
approve = { group = "payers", quorum = 2, wait = "1ms", break_glass = ["oncall"] }

[[rule]]
name = "never-alone"
because = "Not this one."
verdict = "hold"
effects = ["define"]
approve = { group = "payers", wait = "1ms" }
"#;

fn lab(more: &str) -> (Lab, TempDir) {
    lab_with(RULES, more)
}

fn lab_with(rules: &str, more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\n{more}", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

/// The code of a refusal, and the approval that it names.
fn asked(raw: &mut Raw, statement: &str) -> (String, String) {
    let seen = raw.query(statement).unwrap();
    let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default();
    let text = said(&seen);
    let id = text.find("ap-").map_or("", |at| &text[at..]);
    (code, id.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
}

fn delete(n: usize) -> String {
    format!("delete from payments where id = {n}")
}

fn left(lab: &Lab) -> String {
    lab.far.sql("shop", "select count(*) from payments").unwrap().trim().to_owned()
}

/// Exit code, and all that was said.
fn outcome(mut command: Command) -> (i32, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

fn broken(gateway: &Gateway, token: &str, id: &str, reason: &str) -> (i32, String) {
    outcome(gateway.remote(token, &["approvals", "break-glass", id, "--reason", reason]).unwrap())
}

fn person(gateway: &Gateway, name: &str, who: &str) -> String {
    gateway.role_token(name, &["--kind", "human", "--on-behalf-of", who, "--role", "approver"]).unwrap()
}

fn count(gateway: &Gateway) -> u64 {
    let (_, text) = gateway.http("/metrics").unwrap();
    let line = text.lines().find(|l| l.starts_with("firsthand_approvals_glass_broken_total")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The person behind the agent releases its command at 2 a.m.: it runs once, and the record, the list and the counter say how.
#[test]
fn who_is_on_call_releases_even_their_own_agents_command_and_everybody_sees_it() {
    let (mut lab, _folder) = lab("");
    let ada = person(&lab.gateway, "ada-phone", "ada@example.com");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (code, id) = asked(&mut raw, &delete(1));
    assert_eq!(code, "RF001");
    let shown = lab.gateway.cli(&["approvals", "show", &id]).unwrap();
    assert!(shown.contains("break-glass oncall"), "{shown}");
    // Approving it is another thing: nobody approves their own, and ada is none of the approvers.
    let (code, told) = outcome(lab.gateway.remote(&ada, &["approvals", "approve", &id]).unwrap());
    assert!(code == 1 && told.contains("none of the groups"), "{told}");
    let (code, told) = broken(&lab.gateway, &ada, &id, "the shop is down, nobody answers");
    assert!(code == 0 && told.contains("broke the glass"), "{told}");
    assert_eq!(left(&lab), "9", "what was released has not come yet");
    let (code, told) = broken(&lab.gateway, &ada, &id, "once more");
    assert!(code == 1 && told.contains("is given already"), "{told}");
    // The same command once, and no other.
    assert_eq!(asked(&mut raw, &delete(2)).0, "RF001");
    assert_eq!(asked(&mut raw, &delete(1)).0, "");
    assert_eq!(left(&lab), "8");
    lab.far.sql("shop", "insert into payments values (1)").unwrap();
    let (code, again) = asked(&mut raw, &delete(1));
    assert!(code == "RF001" && again != id, "{code} {again}");
    seen_everywhere(&lab, &id);
    assert_eq!(count(&lab.gateway), 1);
    let line = lab.gateway.daemon().unwrap().wait_line(|line| line.contains("BREAK-GLASS")).unwrap();
    assert!(line.contains("WARN") && line.contains(&id) && line.contains("ada@example.com"), "{line}");
}

fn seen_everywhere(lab: &Lab, id: &str) {
    let record = lab.gateway.record().unwrap();
    let about = record.0.iter().filter(|e| e.kind() != "approval.previewed");
    let about: Vec<&Entry> = about.filter(|e| e.leaf("approval") == &json!(id)).collect();
    let kinds: Vec<&str> = about.iter().map(|e| e.kind()).collect();
    assert_eq!(kinds, ["approval.asked", "approval.glass_broken", "approval.spent", "command.decided"]);
    let entry = about[1];
    assert_eq!(entry.payload("reason"), &json!("the shop is down, nobody answers"));
    assert_eq!((entry.leaf("given"), entry.leaf("quorum")), (&json!(1), &json!(2)));
    assert_eq!(entry.leaf("by")["kind"], json!("human"), "{entry:?}");
    let listed = lab.gateway.cli(&["approvals", "list", "--all"]).unwrap();
    let line = listed.lines().find(|line| line.contains(id)).unwrap();
    assert!(line.contains("spent BREAK-GLASS"), "{line}");
    let all = lab.gateway.cli(&["approvals", "list", "--all", "--json"]).unwrap();
    let one: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |one: &&Value| one["broken_by"] == json!("ada@example.com");
    assert_eq!(one.iter().filter(of).map(|one| &one["id"]).collect::<Vec<_>>(), [&json!(id)]);
    let shown = lab.gateway.cli(&["approvals", "show", id]).unwrap();
    assert!(shown.contains("broken by ada@example.com"), "{shown}");
    for query in [format!("approval:{id}"), "kind:approval.glass_broken".to_owned()] {
        let found = lab.gateway.cli(&["log", "search", &query]).unwrap();
        assert!(found.contains("BREAK-GLASS: released alone") && found.contains("nobody answers"), "{found}");
    }
}

/// Who may not, and how not.
#[test]
fn nobody_else_breaks_it_and_nobody_without_a_reason() {
    let (lab, _folder) = lab("");
    let ada = person(&lab.gateway, "ada-phone", "ada@example.com");
    let bob = person(&lab.gateway, "bob-phone", "bob@example.com");
    let robot = ["--kind", "agent", "--on-behalf-of", "ada@example.com", "--role", "approver"];
    let robot = lab.gateway.role_token("robot", &robot).unwrap();
    let user = ["--kind", "human", "--on-behalf-of", "ada@example.com", "--role", "user"];
    let user = lab.gateway.role_token("ada-user", &user).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    let (_, other) = asked(&mut raw, "create table more (id int)");
    for (who, id, reason, why) in [
        (&ada, &id, "", "must say why"),
        (&ada, &id, " \t ", "must say why"),
        (&ada, &id, "\u{200b}\u{3164}...", "must say why"),
        (&bob, &id, "I may approve", "is not among those whom the rule lets break the glass: oncall"),
        (&robot, &id, "I am quick", "only a person"),
        (&user, &id, "I am ada", "role"),
        (&ada, &other, "now", "lets nobody break the glass"),
        (&ada, &"ap-nosuchthing".to_owned(), "now", "there is no approval"),
    ] {
        let (code, told) = broken(&lab.gateway, who, id, reason);
        assert!(code != 0 && told.contains(why), "{why}: {told}");
    }
    let path = format!("/v1/approvals/{id}/break-glass");
    let headers = format!("Authorization: Bearer {ada}\r\nContent-Type: application/json\r\n");
    for body in ["{}", "{\"reason\":null}", "{\"reason\":\"x\",\"signature\":1}"] {
        assert_eq!(lab.gateway.ask("POST", &path, &headers, body).unwrap().0, 400, "{body}");
    }
    lab.gateway.cli(&["contain", "identity", "ada@example.com", "--reason", "stolen phone"]).unwrap();
    let (code, told) = broken(&lab.gateway, &ada, &id, "let me");
    assert!(code != 0 && !told.contains("broke the glass"), "{told}");
    assert_eq!((left(&lab).as_str(), count(&lab.gateway)), ("9", 0));
    let record = lab.gateway.record().unwrap();
    assert_eq!(record.of_kind("approval.glass_broken").count(), 0);
}

/// Whoever broke the glass and is contained before it was spent has released nothing.
#[test]
fn what_a_contained_person_released_does_not_run() {
    let (lab, _folder) = lab("");
    let grace = person(&lab.gateway, "grace-phone", "grace@example.com");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    // Approved as one of two, and then alone: it is one person all the same.
    lab.gateway.remote(&grace, &["approvals", "approve", &id]).unwrap().output().unwrap();
    assert_eq!(broken(&lab.gateway, &grace, &id, "no time").0, 0);
    let shown: Value =
        serde_json::from_str(&lab.gateway.cli(&["approvals", "show", &id, "--json"]).unwrap()).unwrap();
    let votes = shown["approved"].as_array().unwrap();
    assert!(votes.len() == 1 && votes[0]["break_glass"] == json!(true), "{votes:?}");
    lab.gateway.cli(&["contain", "identity", "grace@example.com", "--reason", "stolen phone"]).unwrap();
    let (code, again) = asked(&mut raw, &delete(1));
    assert!(code == "RF001" && again != id, "{code} {again}");
    assert_eq!(left(&lab), "9");
}

/// A state that says that somebody broke the glass, and nobody did; and one that another person's yes is made of.
#[test]
fn nothing_forged_breaks_it() {
    let (mut lab, _folder) = lab("");
    let bob = person(&lab.gateway, "bob-phone", "bob@example.com");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let ids: Vec<String> = (1..=3).map(|n| asked(&mut raw, &delete(n)).1).collect();
    drop(raw);
    lab.gateway.remote(&bob, &["approvals", "approve", &ids[0]]).unwrap().output().unwrap();
    lab.gateway.cli(&["approvals", "break-glass", &ids[2], "--reason", "this one is real"]).unwrap();
    lab.gateway.stop().unwrap();
    let teams = "update votes set teams = '[\"oncall\"]'";
    written(
        &lab.gateway,
        &format!(
            "insert into glass select '{0}', person from votes where approval = '{0}'; {teams} where approval = '{0}'; \
             insert into votes select '{1}', person, log, teams, reason, cast_at, seal from votes where approval = '{2}'; \
             insert into glass values ('{1}', (select person from votes where approval = '{2}')); \
             update approvals set stage = 'given' where id in ('{0}', '{1}');",
            ids[0], ids[1], ids[2]
        ),
    );
    lab.gateway.serve().unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 1..=2 {
        let (code, id) = asked(&mut raw, &delete(n));
        assert!(code == "RF001" && !ids.contains(&id), "{n}: {code} {id}");
    }
    assert_eq!(asked(&mut raw, &delete(3)).0, "", "that one was real, and outlasts a restart");
    assert_eq!(left(&lab), "8");
    let record = lab.gateway.record().unwrap();
    let told: Vec<_> =
        record.of_kind("admin.approval_differs").map(|e| e.leaf("facts")["found"].clone()).collect();
    assert_eq!(told, [json!("not-given-in-record"), json!("not-given-in-record")]);
}

fn written(gateway: &Gateway, sql: &str) {
    let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                  db.executescript(sys.argv[2]); db.commit()";
    let file = gateway.data_dir().join("state.db");
    let done = Command::new("python3").args(["-c", script]).arg(file).arg(sql).status().unwrap();
    assert!(done.success(), "{sql}");
}

/// Several break it at the same moment, and several sessions send the command: it runs once, and one of them is recorded.
#[test]
fn of_many_who_break_it_at_once_one_does_and_it_runs_once() {
    let (lab, _folder) = lab("");
    let tokens: Vec<String> = (0..4)
        .map(|n| {
            let who = if n % 2 == 0 { "ada@example.com" } else { "grace@example.com" };
            person(&lab.gateway, &format!("phone-{n}"), who)
        })
        .collect();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    let commands = tokens.iter().map(|token| {
        let mut command =
            lab.gateway.remote(token, &["approvals", "break-glass", &id, "--reason", "me first"]).unwrap();
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    });
    let running: Vec<_> = commands.collect();
    let done = running.into_iter().filter(|_| true).map(|mut child| child.wait().unwrap().success());
    assert_eq!(done.filter(|ok| *ok).count(), 1);
    let mut sessions: Vec<Raw> = (0..4).map(|_| Raw::login(&lab.through(), &[]).unwrap()).collect();
    for session in &mut sessions {
        session.send(b'Q', format!("{}\0", delete(1)).as_bytes()).unwrap();
    }
    let ran = sessions.iter_mut().filter_map(|session| {
        let seen = session.until(b'Z').unwrap();
        seen.iter().all(|m| m.tag != b'E').then_some(())
    });
    assert_eq!(ran.count(), 1);
    assert_eq!(left(&lab), "8");
    let record = lab.gateway.record().unwrap();
    assert_eq!(record.of_kind("approval.glass_broken").count(), 1);
    let ran = record.intents("delete from payments where id = 1").filter(|i| !i.leaf("approval").is_null());
    assert_eq!(ran.count(), 1);
}

/// A channel that wants to hear of nothing but what expires hears of this. Nobody breaks the glass over one.
#[test]
fn channels_are_told_at_once_whatever_they_want_to_hear() {
    let (server, secret) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), webhook_secret());
    let (lab, _folder) = lab(&channel(&server, &secret));
    let heard = std::thread::spawn(move || hear(&server));
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let (_, id) = asked(&mut raw, &delete(1));
    lab.gateway.cli(&["approvals", "break-glass", &id, "--reason", "the shop is down"]).unwrap();
    let told = heard.join().unwrap();
    assert_eq!(told["type"], json!("approval.glass_broken"), "{told}");
    let data = &told["data"];
    assert!(data["id"] == json!(id) && data["broken_by"].as_str().unwrap().starts_with("local:"), "{told}");
    assert_eq!(data["approved"][0]["reason"], json!("the shop is down"));
    assert_eq!(data["approved"][0]["break_glass"], json!(true));
    let sent = || {
        let record = lab.gateway.record()?;
        let mut sent = record.of_kind("admin.channel_sent");
        Ok(sent.any(|e| e.leaf("facts")["occasion"] == json!("glass_broken")))
    };
    until("it is recorded", sent).unwrap();
}

fn webhook_secret() -> tempfile::NamedTempFile {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
    secret
}

/// A webhook that is told of little.
fn channel(server: &std::net::TcpListener, secret: &tempfile::NamedTempFile) -> String {
    format!(
        "[[channel]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://{}/hook\"\nsecret = {{ file = {:?} }}\non = [\"expired\"]\n",
        server.local_addr().unwrap(),
        secret.path().display().to_string()
    )
}

/// Reasons are kept, shown, recorded and told as statements are: people cite what they have seen.
#[test]
fn secrets_and_personal_values_in_the_reasons_of_people_are_replaced_before_anything_is_kept() {
    let mask = "\n[[mask]]\nname = \"mails\"\nbecause = \"x\"\nkinds = [\"agent\"]\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n";
    let (server, secret) = (std::net::TcpListener::bind("127.0.0.1:0").unwrap(), webhook_secret());
    let (mut lab, _folder) = lab_with(&format!("{RULES}{mask}"), &channel(&server, &secret));
    let heard = std::thread::spawn(move || hear(&server));
    let grace = person(&lab.gateway, "grace", "grace@example.com");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let ids: Vec<String> = (1..=4).map(|n| asked(&mut raw, &delete(n)).1).collect();
    let (reason, kept) = ("password=hunter2secret for mia.k@example.net", "password=*** for <email>");
    let (code, told) = broken(&lab.gateway, &grace, &ids[0], reason);
    assert_eq!(code, 0, "{told}");
    let told = heard.join().unwrap();
    assert_eq!(told["data"]["approved"][0]["reason"], json!(kept), "{told}");
    let args = ["approvals", "approve", &ids[1], "--reason", reason];
    let (code, told) = outcome(lab.gateway.remote(&grace, &args).unwrap());
    assert_eq!(code, 0, "{told}");
    let deny = |gateway: &Gateway, id: &str| {
        let args = ["approvals", "deny", id, "--reason", reason];
        let (code, told) = outcome(gateway.remote(&grace, &args).unwrap());
        assert_eq!(code, 0, "{told}");
    };
    deny(&lab.gateway, &ids[2]);
    drop(raw);
    // Without a gateway the command line does the same.
    lab.gateway.stop().unwrap();
    let local = ["approvals", "break-glass", &ids[3], "--reason", reason];
    lab.gateway.cli(&local).unwrap();
    let record = lab.gateway.record().unwrap();
    for kind in ["approval.glass_broken", "approval.given", "approval.refused"] {
        let entries: Vec<_> = record.of_kind(kind).collect();
        assert!(!entries.is_empty() && entries.iter().all(|e| e.payload("reason") == &json!(kept)), "{kind}");
    }
    assert_eq!(record.of_kind("approval.glass_broken").count(), 2);
    let record = serde_json::to_string(&record.0.iter().map(|e| &e.0).collect::<Vec<_>>()).unwrap();
    let file = |name: &str| std::fs::read(lab.gateway.data_dir().join(name)).unwrap_or_default();
    let state = [file("state.db"), file("state.db-wal")].concat();
    for hidden in ["hunter2secret", "mia.k@example.net"] {
        assert!(!record.contains(hidden), "{hidden}");
        assert!(!state.windows(hidden.len()).any(|w| w == hidden.as_bytes()), "{hidden}");
    }
}

/// The body of the first request that comes.
fn hear(server: &std::net::TcpListener) -> Value {
    use std::io::{Read as _, Write as _};
    let (mut stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(firsthand_tests::process::PATIENCE)).unwrap();
    let (mut bytes, mut piece) = (Vec::new(), [0u8; 4096]);
    loop {
        let n = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(value) = serde_json::from_str(body)
        {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            return value;
        }
        assert!(n > 0, "{text}");
    }
}
