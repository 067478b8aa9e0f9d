//! Channels: what waits for approval is told outside (webhooks, Slack, mail) and answered from there, by people who may. What is
//! forged, replayed, stale, altered, or of somebody who may not, does not count.

use std::process::Stdio;

use firsthand_tests::browser::encoded;
use firsthand_tests::certificates::Certificates;
use firsthand_tests::issuer::now;
use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::outside::{BOT, CONVERSATION, Outside, SECRET, SIGNING};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table payments (id int primary key, note text);
    insert into payments select i, 'note' from generate_series(1, 9) i; alter table payments owner to app";

/// Agents' writes are held for payers, and a value that only detection knows is masked in the record.
const RULES: &str = r#"
[[group]]
name = "payers"
members = ["local:*", "grace@example.com", "ada@example.com", "bob@example.com", "mallory@example.com"]

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

struct Rig {
    lab: Lab,
    outside: Outside,
    folder: TempDir,
}

/// A gateway whose channels are those that `channels` writes, and people of whom grace and ada may approve.
fn rig(channels: impl Fn(&Outside, &str) -> String) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    Certificates::write(at).unwrap();
    let outside = Outside::start(at).unwrap();
    std::fs::create_dir(at.join("policy")).unwrap();
    std::fs::write(at.join("policy/rules.toml"), RULES).unwrap();
    for (name, secret) in [("hook", SECRET), ("bot", BOT), ("signing", SIGNING), ("mail", "mail-secret")] {
        std::fs::write(at.join(name), secret).unwrap();
    }
    let here = at.display().to_string();
    let top = format!("[policy]\ndir = \"{here}/policy\"\n{}", channels(&outside, &here));
    let lab = Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    for who in ["grace", "ada"] {
        let person = format!("{who}@example.com");
        let role = ["--kind", "human", "--on-behalf-of", person.as_str(), "--role", "approver"];
        lab.gateway.role_token(who, &role).unwrap();
    }
    lab.gateway
        .role_token(
            "mallory",
            &["--kind", "human", "--on-behalf-of", "mallory@example.com", "--role", "user"],
        )
        .unwrap();
    Rig { lab, outside, folder }
}

fn hook(outside: &Outside, here: &str, path: &str, more: &str) -> String {
    format!(
        "[[channel]]\nname = \"{path}\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{}/{path}\"\nsecret = {{ file = \"{here}/hook\" }}\n{more}\n",
        outside.http
    )
}

const PEOPLE: &str = "people = [\"G = grace@example.com\", \"A = ada@example.com\", \"B = bob@example.com\", \"M = mallory@example.com\"]";

impl Rig {
    /// A session that waits with this statement, and the approval's id.
    fn holds(&self, statement: &str) -> (Raw, String) {
        let mut raw = Raw::login(&self.lab.through(), &[]).unwrap();
        let before = self.waiting();
        raw.send(b'Q', format!("{statement}\0").as_bytes()).unwrap();
        let mut id = String::new();
        until("it waits", || {
            let new = self.waiting().into_iter().find(|id| !before.contains(id));
            Ok(new.map(|new| id = new).is_some())
        })
        .unwrap();
        (raw, id)
    }

    fn waiting(&self) -> Vec<String> {
        let listed = self.lab.gateway.cli(&["approvals", "list", "--json"]).unwrap();
        let one =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        listed.lines().map(one).collect()
    }

    /// What came outside, until something of it is wanted.
    fn hears(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.hears_all(what, Vec::new(), |all| all.iter().any(&wanted))
    }

    /// The same behind what came before, until all of it is wanted.
    fn hears_all(&self, what: &str, mut all: Vec<Value>, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        until(what, || {
            all.extend(self.outside.got()?);
            Ok(wanted(&all))
        })
        .unwrap_or_else(|why| panic!("{why}: {all:#?}"));
        all
    }

    fn rows(&self) -> String {
        let rows = self.lab.far.sql("shop", "select count(*) from payments").unwrap();
        rows.trim().to_owned()
    }

    fn answers(&self, id: &str, at: u64, signature: &str, body: &str) -> (u16, String) {
        let headers =
            format!("webhook-id: {id}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n");
        self.lab.gateway.ask("POST", "/v1/channels/hook/answer", &headers, body).unwrap()
    }

    /// An answer as it should be.
    fn signed(&self, id: &str, body: &str) -> (u16, String) {
        let at = now();
        self.answers(id, at, &self.outside.signs(id, at, body).unwrap(), body)
    }

    fn pressed(&self, at: u64, signature: &str, body: &str) -> u16 {
        let headers = format!(
            "X-Slack-Request-Timestamp: {at}\r\nX-Slack-Signature: {signature}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        self.lab.gateway.ask("POST", "/v1/channels/chat/slack/actions", &headers, body).unwrap().0
    }

    /// What the record says of answers that did not count.
    fn refused(&self) -> Vec<String> {
        let record = self.lab.gateway.record().unwrap();
        let found = record
            .of_kind("admin.channel_refused")
            .map(|e| e.leaf("facts")["found"].as_str().unwrap().to_owned());
        found.collect()
    }
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

fn answer(approval: &str, word: &str, by: &str) -> String {
    json!({ "type": "approval.answer", "timestamp": "2026-11-28T00:00:00Z",
            "data": { "approval": approval, "answer": word, "by": by, "reason": "ticket 7" } })
    .to_string()
}

fn of_path<'a>(all: &'a [Value], path: &str) -> Vec<&'a Value> {
    all.iter().filter(|one| one["webhook"] == format!("/{path}")).collect()
}

fn body(one: &Value) -> Value {
    serde_json::from_str(one["body"].as_str().unwrap()).unwrap()
}

#[test]
fn webhooks_are_signed_masked_tried_again_and_follow_nobody() {
    let rig = rig(|outside, here| {
        [
            hook(outside, here, "hook", ""),
            hook(outside, here, "quiet", "text = false\non = [\"asked\", \"withdrawn\"]"),
            hook(outside, here, "others", "groups = [\"nobody\"]"),
            hook(outside, here, "gone", ""),
            hook(outside, here, "moved", ""),
        ]
        .concat()
    });
    rig.outside.answers("/hook", "500", &[("times", "1")]).unwrap();
    rig.outside.answers("/gone", "410", &[]).unwrap();
    let elsewhere = format!("http://127.0.0.1:{}/elsewhere", rig.outside.http);
    rig.outside.answers("/moved", "302", &[("location", &elsewhere)]).unwrap();
    let (mut raw, id) = rig.holds("update payments set note = 'ask mia@example.net' where id = 1");
    let all = rig.hears_all("both are tried again", Vec::new(), |all| {
        of_path(all, "hook").len() == 2
            && of_path(all, "moved").len() == 2
            && !of_path(all, "quiet").is_empty()
    });
    // Whoever waits for the answer is not kept by any of it.
    rig.lab.gateway.cli(&["approvals", "approve", &id, "--reason", "mail bob@example.org"]).unwrap();
    assert!(said(&raw.until(b'Z').unwrap()).contains("UPDATE 1"));
    let all = rig.hears_all("it is told as spent", all, |all| {
        of_path(all, "hook").len() == 4 && of_path(all, "gone").len() == 3
    });
    let hooks = of_path(&all, "hook");
    assert!(
        all.iter().filter(|one| one["webhook"].is_string()).all(|one| one["verified"] == "yes"),
        "{all:#?}"
    );
    let kinds: Vec<Value> = hooks.iter().map(|one| body(one)["type"].clone()).collect();
    assert_eq!(kinds, ["approval.asked", "approval.asked", "approval.given", "approval.spent"], "in order");
    assert_eq!(hooks[0]["id"], hooks[1]["id"], "the same over all tries");
    assert_ne!(hooks[1]["id"], hooks[2]["id"]);
    let data = &body(hooks[0])["data"];
    assert_eq!(
        (&data["id"], &data["target"], &data["rule"]),
        (&json!(id), &json!("shop"), &json!("payments-held"))
    );
    assert!(data["statement"].as_str().unwrap().starts_with("update payments"), "{data}");
    let told = serde_json::to_string(&all).unwrap();
    assert!(!told.contains("mia@example.net"), "the record's text is sent, masked: {told}");
    let quiet = serde_json::to_string(&of_path(&all, "quiet")).unwrap();
    assert!(
        quiet.contains(&id) && !quiet.contains("update payments") && !quiet.contains("Payments need"),
        "{quiet}"
    );
    assert!(of_path(&all, "others").is_empty());
    assert!(of_path(&all, "moved").len() >= 2 && all.iter().all(|one| one["visited"].is_null()), "{all:#?}");
    assert_eq!(of_path(&all, "gone").len(), 3, "nothing is sent twice where nothing is wanted");
    recorded_and_counted(&rig, &hooks[0]["id"]);
}

/// What of it stands in the record, and in the metrics.
fn recorded_and_counted(rig: &Rig, message: &Value) {
    let record = rig.lab.gateway.record().unwrap();
    let facts = |kind: &str| record.of_kind(kind).map(|e| e.leaf("facts").clone()).collect::<Vec<_>>();
    let sent = facts("admin.channel_sent");
    let first = sent.iter().find(|f| f["channel"] == "hook").unwrap();
    assert_eq!(
        (&first["occasion"], &first["tries"], &first["text"]),
        (&json!("asked"), &json!(2), &json!(true))
    );
    assert_eq!(first["message"], *message);
    assert!(sent.iter().any(|f| f["channel"] == "quiet" && f["text"].is_null()), "{sent:?}");
    let failed: Vec<_> = record.of_kind("admin.channel_failed").collect();
    assert!(failed.len() == 3 && failed.iter().all(|e| e.leaf("facts")["channel"] == "gone"), "{failed:?}");
    assert!(failed[0].payload("detail")["why"].as_str().unwrap().contains("410"), "{failed:?}");
    let (_, page) = rig.lab.gateway.http("/metrics").unwrap();
    for (name, least) in [("sent", 4), ("failed", 3), ("tried_again", 2)] {
        let start = format!("firsthand_channels_{name}_total ");
        let count = page.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok());
        assert!(count >= Some(least), "{name}: {page}");
    }
}

#[test]
fn a_person_answers_by_a_webhook_and_the_record_says_so() {
    let rig = rig(|outside, here| hook(outside, here, "hook", PEOPLE));
    let (mut raw, id) = rig.holds("delete from payments where id = 1");
    let (status, answered) = rig.signed("msg_yes", &answer(&id, "approve", "G"));
    assert_eq!(status, 200, "{answered}");
    assert!(said(&raw.until(b'Z').unwrap()).contains("DELETE 1"));
    let (mut raw, id) = rig.holds("delete from payments where id = 2");
    assert_eq!(rig.signed("msg_no", &answer(&id, "deny", "G")).0, 200);
    assert!(said(&raw.until(b'Z').unwrap()).contains("ticket 7"));
    assert_eq!(rig.rows(), "8");
    let record = rig.lab.gateway.record().unwrap();
    for kind in ["approval.given", "approval.refused"] {
        let entry = record.of_kind(kind).next().unwrap();
        assert_eq!(
            (entry.payload("by"), entry.leaf("method")),
            (&json!("grace@example.com"), &json!("webhook"))
        );
        assert_eq!(entry.leaf("by")["trust"], "bound", "no token was shown");
        let names: Vec<&Value> =
            entry.payload("names").as_array().unwrap().iter().map(|n| &n["name"]).collect();
        assert!(names.contains(&&json!("channel:hook")), "{names:?}");
    }
}

#[test]
fn answers_that_are_forged_replayed_stale_altered_or_of_others_do_not_count() {
    let mut rig = rig(|outside, here| hook(outside, here, "hook", PEOPLE));
    let (raw, id) = rig.holds("delete from payments where id = 1");
    let yes = answer(&id, "approve", "G");
    let at = now();
    let signature = rig.outside.signs("msg_1", at, &yes).unwrap();
    // By nobody who has the secret, or not as it was signed, or not now.
    let altered = yes.replace("ticket 7", "ticket 8");
    let stale = at - 301;
    let old = rig.outside.signs("msg_1", stale, &yes).unwrap();
    let early = rig.outside.signs("msg_1", at + 600, &yes).unwrap();
    for (what, answered) in [
        ("altered", rig.answers("msg_1", at, &signature, &altered)),
        ("another id", rig.answers("msg_2", at, &signature, &yes)),
        ("another time", rig.answers("msg_1", at + 1, &signature, &yes)),
        ("stale", rig.answers("msg_1", stale, &old, &yes)),
        ("of later", rig.answers("msg_1", at + 600, &early, &yes)),
        ("forged", rig.answers("msg_1", at, "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &yes)),
        ("unsigned", rig.answers("msg_1", at, "", &yes)),
    ] {
        assert_eq!(answered.0, 401, "{what}: {}", answered.1);
    }
    let gateway = &rig.lab.gateway;
    assert_eq!(gateway.ask("POST", "/v1/channels/hook/answer", "", &yes).unwrap().0, 401, "no headers");
    assert_eq!(
        gateway.ask("POST", "/v1/channels/chat/slack/actions", "", &yes).unwrap().0,
        401,
        "no such channel"
    );
    let large = format!("{yes}{}", " ".repeat(300 << 10));
    assert_eq!(rig.answers("msg_1", at, &signature, &large).0, 413);
    // A link that is opened does nothing, whatever it is.
    for path in ["/v1/channels/hook/answer".to_owned(), format!("/v1/approvals/{id}/approve")] {
        let (status, _) = gateway.ask("GET", &path, "", "").unwrap();
        assert!(matches!(status, 401 | 405), "{path}: {status}");
    }
    // Signed, and of somebody who may not: unknown, without a token, with another role, the requester.
    for (n, (by, part)) in
        [("X", "called"), ("grace@example.com", "called"), ("B", "role"), ("M", "role"), ("A", "their own")]
            .into_iter()
            .enumerate()
    {
        let (status, answered) = rig.signed(&format!("msg_by_{n}"), &answer(&id, "approve", by));
        assert!(status == 409 && answered.contains(part), "{by}: {status} {answered}");
    }
    assert_eq!(rig.signed("msg_form", r#"{"type":"approval.asked","data":{}}"#).0, 400);
    let unknown = rig.signed("msg_unknown", &answer("ap-none", "approve", "G"));
    assert_eq!(unknown.0, 409, "{}", unknown.1);
    assert_eq!(rig.waiting(), std::slice::from_ref(&id), "nothing of it counted");
    assert_eq!(
        rig.refused(),
        ["unknown-person", "unknown-person", "no-role", "no-role", "not-counted", "form", "not-counted"]
    );
    let record = rig.lab.gateway.record().unwrap();
    let why: Vec<_> = record.of_kind("identity.refused").map(|e| e.leaf("why").clone()).collect();
    assert!(why.len() >= 8 && why.iter().all(|why| why == "signature"), "{why:?}");
    // Each request counts once: also one that was refused, and after a restart.
    let again = rig.outside.signs("msg_by_4", now(), &yes).unwrap();
    assert_eq!(rig.answers("msg_by_4", now(), &again, &yes).0, 409);
    drop(raw);
    rig.lab.gateway.stop().unwrap();
    rig.lab.gateway.serve().unwrap();
    let at = now();
    let again = rig.outside.signs("msg_by_4", at, &yes).unwrap();
    let (status, answered) = rig.answers("msg_by_4", at, &again, &yes);
    assert!(status == 409 && answered.contains("came before"), "{status} {answered}");
    assert_eq!(rig.refused().iter().filter(|found| *found == "replayed").count(), 2);
    assert_eq!(rig.rows(), "9");
}

fn chat(outside: &Outside, here: &str) -> String {
    format!(
        "[[channel]]\nname = \"chat\"\nkind = \"slack\"\napi = \"http://127.0.0.1:{}/api\"\ntoken = {{ file = \"{here}/bot\" }}\n\
         signing_secret = {{ file = \"{here}/signing\" }}\nconversation = \"{CONVERSATION}\"\non = [\"asked\"]\n\
         people = [\"U0GRACE = grace@example.com\", \"U0ADA = ada@example.com\"]\n",
        outside.http
    )
}

/// What Slack sends when a button is pressed.
fn press(posted: &Value, ts: &str, action: usize, user: &str) -> String {
    let blocks = posted["blocks"].as_array().unwrap();
    let button = &blocks.iter().find(|b| b["type"] == "actions").unwrap()["elements"][action];
    let payload = json!({
        "type": "block_actions", "user": { "id": user, "username": "somebody", "team_id": "T1" }, "api_app_id": "A1",
        "token": "verification", "container": { "type": "message", "message_ts": ts, "channel_id": CONVERSATION, "is_ephemeral": false },
        "trigger_id": "1.2", "team": { "id": "T1", "domain": "x" }, "channel": { "id": CONVERSATION, "name": "dba" },
        "message": { "type": "message", "ts": ts, "blocks": blocks },
        "response_url": "http://127.0.0.1:1/never-asked", "state": { "values": {} },
        "actions": [{ "action_id": button["action_id"], "block_id": "firsthand", "value": button["value"], "type": "button",
                      "text": button["text"], "action_ts": "1795824001.1" }],
    });
    format!("payload={}", encoded(&payload.to_string()))
}

#[test]
fn buttons_in_slack_are_pressed_by_people_who_may() {
    let rig = rig(chat);
    let is = |method: &'static str| move |one: &Value| one["slack"] == method;
    let (mut raw, id) = rig.holds("delete from payments where id = 1 and note <> '<!channel>'");
    let all = rig.hears("it is posted", is("chat.postMessage"));
    let posted = all.iter().find(|one| one["slack"] == "chat.postMessage").unwrap()["message"].clone();
    let text = posted.to_string();
    assert!(text.contains("delete from payments") && text.contains(&id), "{text}");
    let ts = "1795824000.000000";
    let yes = press(&posted, ts, 0, "U0GRACE");
    let at = now();
    let signature = rig.outside.presses(at, &yes).unwrap();
    // Forged, altered, stale.
    for (what, status) in [
        ("forged", rig.pressed(at, &format!("v0={}", "0".repeat(64)), &yes)),
        ("altered", rig.pressed(at, &signature, &yes.replace(&encoded("U0GRACE"), &encoded("U0OTHER")))),
        ("another time", rig.pressed(at + 1, &signature, &yes)),
        ("stale", rig.pressed(at - 400, &rig.outside.presses(at - 400, &yes).unwrap(), &yes)),
        ("unsigned", rig.pressed(at, "", &yes)),
    ] {
        assert_eq!(status, 401, "{what}");
    }
    // By nobody who is known, and by whoever asks: told to them alone.
    for (user, part) in [("U0OTHER", "nobody here is called"), ("U0ADA", "nobody approves their own")] {
        let body = press(&posted, ts, 0, user);
        let at = now();
        assert_eq!(rig.pressed(at, &rig.outside.presses(at, &body).unwrap(), &body), 200);
        let all = rig.hears("they are told", is("chat.postEphemeral"));
        let told = &all.iter().find(|one| one["slack"] == "chat.postEphemeral").unwrap()["message"];
        assert!(told["user"] == user && told.to_string().contains(part), "{told}");
    }
    assert_eq!(rig.waiting(), std::slice::from_ref(&id));
    assert_eq!(rig.pressed(at, &signature, &yes), 200);
    assert!(said(&raw.until(b'Z').unwrap()).contains("DELETE 1"));
    let all = rig.hears("the message is brought up to date", |one| {
        one["slack"] == "chat.update"
            && one["message"]["text"].as_str().is_some_and(|text| text.contains("spent"))
    });
    let update = &all.iter().rfind(|one| one["slack"] == "chat.update").unwrap()["message"];
    assert!(
        update["ts"] == ts && update["blocks"].as_array().unwrap().iter().all(|b| b["type"] != "actions"),
        "{update}"
    );
    assert!(update.to_string().contains("grace@example.com"), "{update}");
    assert_eq!(rig.pressed(at, &signature, &yes), 409, "the same press again");
    assert_eq!(rig.refused(), ["unknown-person", "not-counted", "replayed"]);
    let record = rig.lab.gateway.record().unwrap();
    let given = record.of_kind("approval.given").next().unwrap();
    assert_eq!((given.payload("by"), given.leaf("method")), (&json!("grace@example.com"), &json!("slack")));
}

/// Who does not see exactly what would run approves it elsewhere, and a button that was never there does nothing.
#[test]
fn nothing_is_approved_in_slack_that_its_message_does_not_show() {
    let rig = rig(chat);
    let mut sessions = Vec::new();
    let mut presses = |statement: &str, part: &str, conversation: &str| {
        let (raw, id) = rig.holds(statement);
        sessions.push(raw);
        let all = rig.hears("it is posted", |one| {
            one["slack"] == "chat.postMessage" && one["message"].to_string().contains(&id)
        });
        let is =
            |one: &&Value| one["slack"] == "chat.postMessage" && one["message"].to_string().contains(&id);
        let posted = all.iter().find(is).unwrap()["message"].clone();
        let text = posted.to_string();
        assert!(text.contains(part) && !text.contains("x@example.net"), "{text}");
        let buttons = if text.contains("firsthand_approve") { 2 } else { 1 };
        // Signed by Slack all the same.
        let yes = press(&posted, "1795824000.000000", 0, "U0GRACE");
        let yes = yes.replace(&encoded("firsthand_deny"), &encoded("firsthand_approve"));
        let yes = yes.replace(&encoded(CONVERSATION), &encoded(conversation));
        assert!(yes.contains(&encoded("firsthand_approve")) && yes.contains(&encoded(conversation)));
        let at = now();
        assert_eq!(rig.pressed(at, &rig.outside.presses(at, &yes).unwrap(), &yes), 200);
        buttons
    };
    let long = format!("delete from payments where id = 2 /* {} */", "x".repeat(4000));
    assert_eq!(presses(&long, "not all of it", CONVERSATION), 1);
    let masked = "delete from payments where id = 2 and note <> 'x@example.net'";
    assert_eq!(presses(masked, "are replaced here", CONVERSATION), 1);
    assert_eq!(presses("delete from payments where id = 2", "firsthand_approve", "C0ELSEWHERE"), 2);
    until("each is in the record", || Ok(rig.refused() == ["not-counted"; 3])).unwrap();
    assert_eq!((rig.waiting().len(), rig.rows().as_str()), (3, "9"));
}

fn post(outside: &Outside, here: &str, name: &str, ca: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nkind = \"mail\"\nserver = \"localhost:{}\"\nca = \"{here}/{ca}.crt\"\nfrom = \"Gateway <gw@example.com>\"\n\
         to = [\"dba@example.com\", \"Grace <grace@example.com>\"]\nlogin = {{ user = \"gateway\", password = {{ file = \"{here}/mail\" }} }}\n\
         on = [\"asked\", \"spent\"]\n",
        outside.mail
    )
}

#[test]
fn a_mail_says_what_waits_and_approves_nothing() {
    let rig = rig(|outside, here| post(outside, here, "post", "ca"));
    let (mut raw, id) = rig.holds("update payments set note = 'für mia@example.net' where id = 1");
    let is_mail = |one: &Value| one["mail"].is_string();
    let all = rig.hears("a mail comes", is_mail);
    let mail = all.iter().find(|one| is_mail(one)).unwrap();
    assert_eq!(
        (&mail["from"], &mail["tls"], &mail["login"]),
        (&json!("gw@example.com"), &json!(true), &json!("gateway"))
    );
    assert_eq!(mail["to"], json!(["dba@example.com", "grace@example.com"]));
    let text = mail["mail"].as_str().unwrap();
    for part in [
        &format!("Subject: Firsthand: Approval {id} waits (target shop)"),
        "Message-ID: <msg_",
        "update payments",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains(&format!("firsthand approvals approve {id}")), "{text}");
    assert!(!text.contains("://") && !text.contains("mia@example.net"), "no link is in it: {text}");
    rig.lab.gateway.cli(&["approvals", "approve", &id]).unwrap();
    raw.until(b'Z').unwrap();
    let all =
        rig.hears("it is told as spent", |one| one["mail"].as_str().is_some_and(|m| m.contains("is spent")));
    assert!(all.iter().all(|one| !one["mail"].as_str().unwrap_or_default().contains("approvals approve")));
}

#[test]
fn check_tells_of_channels_and_sends_a_test() {
    let rig = rig(|outside, here| {
        [
            hook(outside, here, "hook", PEOPLE),
            chat(outside, here),
            post(outside, here, "post", "ca"),
            post(outside, here, "unverified", "stranger"),
            hook(outside, here, "nosecret", "").replace("/hook\" }", "/none\" }"),
        ]
        .concat()
    });
    let check = |args: &[&str]| {
        let output = rig.lab.gateway.command(args).unwrap().stdin(Stdio::null()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, told) = check(&["check"]);
    assert!(code == Some(1) && told.contains("1 of 5 channels cannot be used"), "{told}");
    assert!(told.contains("channel hook: told of asked, given, refused, expired, spent, glass_broken, with statements; 4 people may answer"), "{told}");
    assert!(
        told.contains("channel nosecret: failed") && !told.contains("whsec_") && !told.contains(BOT),
        "{told}"
    );
    assert!(rig.outside.got().unwrap().is_empty(), "nothing is sent unasked");
    let (code, told) = check(&["check", "--send-test"]);
    assert!(code == Some(1) && told.contains("2 of 5 channels"), "{told}");
    for name in ["hook", "chat", "post"] {
        assert!(
            told.lines()
                .any(|line| line.contains(&format!("channel {name}: ")) && line.contains("was taken")),
            "{name}: {told}"
        );
    }
    assert!(
        told.contains("channel unverified: failed") && told.to_lowercase().contains("certificate"),
        "{told}"
    );
    let all = rig.outside.got().unwrap();
    let test = all.iter().find(|one| one["webhook"].is_string()).unwrap();
    assert_eq!((&test["verified"], &body(test)["type"]), (&json!("yes"), &json!("channel.test")));
    assert!(all.iter().any(|one| one["slack"] == "chat.postMessage"), "{all:?}");
    assert_eq!(
        all.iter().filter(|one| one["mail"].is_string()).count(),
        1,
        "not where the certificate is a stranger's"
    );
    drop(rig.folder);
}
