//! The OpenAPI document of the API: it is valid, it is the one in docs/, and what a gateway really answers is as it says.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use firsthand_tests::clients::{folder, installed, setup};
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::process::{PATIENCE, until, workspace};
use firsthand_tests::raw::Raw;
use serde_json::{Value, json};

const RULES: &str = r#"
[[group]]
name = "eyes"
members = ["grace@example.com"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read", "transaction", "session"]

[[rule]]
name = "held"
because = "Somebody has to look at it."
verdict = "hold"
effects = ["write"]
approve = { group = "eyes", wait = "60s", break_glass = ["eyes"] }
"#;

/// Routes that cannot be done without an issuer, a channel or a login; their refusals are looked at here.
const NOT_DONE: [&str; 8] = [
    "POST /v1/channels/{channel}/answer",
    "POST /v1/channels/{channel}/slack/actions",
    "POST /v1/token",
    "POST /v1/login/{issuer}/device",
    "POST /v1/login/{issuer}/token",
    "GET /v1/login/{issuer}",
    "GET /v1/login/{issuer}/callback",
    "POST /v1/logout",
];

/// Runs a script of `tests/clients/channels`, and gives what it printed.
fn script(name: &str, args: &[&std::path::Path]) -> String {
    setup("channels").unwrap();
    let mut python = Command::new(installed().join("channels/bin/python"));
    python.arg(folder().join("channels").join(name)).args(args).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = python.output().unwrap();
    assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_document_is_valid_openapi() {
    script("check-openapi.py", &[&workspace().join("docs/openapi.json")]);
}

struct Asking<'a> {
    lab: &'a Lab,
    answers: Vec<Value>,
}

impl Asking<'_> {
    /// Asks, over the network with a token (or without), or over the admin socket, and keeps the answer.
    fn ask(&mut self, token: Option<&str>, method: &str, (path, real): (&str, &str), body: &Value) -> Value {
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let bearer = token
            .filter(|t| *t != "local")
            .map(|t| format!("Authorization: Bearer {t}\r\n"))
            .unwrap_or_default();
        // Of this version, so that nothing comes in pieces.
        let request = format!(
            "{method} {real} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{bearer}\r\n{sent}",
            sent.len()
        );
        let (status, answer) = match token {
            Some("local") => local(self.lab, request.as_bytes()),
            _ => self.lab.gateway.exchange(request.as_bytes()).unwrap(),
        };
        self.answers
            .push(json!({ "method": method, "path": path, "asked": body, "status": status, "body": answer }));
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn same(&mut self, token: Option<&str>, method: &str, path: &str, body: &Value) -> Value {
        self.ask(token, method, (path, path), body)
    }
}

fn local(lab: &Lab, request: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(lab.gateway.data_dir().join("admin.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Holds a command and gives its session and the approval's id.
fn held(lab: &Lab, ops: &str, asking: &mut Asking<'_>) -> (Raw, String) {
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.send(b'Q', b"delete from t where a = 1\0").unwrap();
    let mut id = String::new();
    until("it waits", || {
        let listed = asking.same(Some(ops), "GET", "/v1/approvals", &Value::Null);
        id = listed["approvals"][0]["id"].as_str().unwrap_or_default().to_owned();
        Ok(!id.is_empty())
    })
    .unwrap();
    (raw, id)
}

/// What the command line says over the admin socket.
fn on_this_machine(all: &mut Asking<'_>) {
    all.same(Some("local"), "GET", "/v1/keys", &Value::Null);
    all.same(Some("local"), "POST", "/v1/keys/rotate", &json!({}));
    all.same(
        Some("local"),
        "POST",
        "/v1/record/read",
        &json!({ "command": "log cat", "what": { "entries": 1 } }),
    );
    all.same(
        Some("local"),
        "POST",
        "/v1/record/exported",
        &json!({ "command": "evidence export", "payloads": true, "file": "evidence.tar" }),
    );
    all.same(
        Some("local"),
        "POST",
        "/v1/targets/asked",
        &json!({ "command": "check", "target": "shop", "database": "shop" }),
    );
}

#[test]
fn answers_are_as_the_document_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("policy")).unwrap();
    std::fs::write(folder.path().join("policy/rules.toml"), RULES).unwrap();
    let top = format!(
        "[policy]\noriginals = \"eyes\"\ndir = {:?}\n",
        folder.path().join("policy").display().to_string()
    );
    let seed =
        "create table t (a int primary key); insert into t values (1); alter table t owner to app".to_owned();
    let more = "grants = { approvers = \"eyes\" }".to_owned();
    let lab = Lab::start(Plan { top, seed, more, ..Plan::default() }).unwrap();
    let ops = lab.gateway.role_token("ops", &["--kind", "human", "--role", "admin"]).unwrap();
    let grace = ["--kind", "human", "--on-behalf-of", "grace@example.com", "--role", "approver"];
    let grace = lab.gateway.role_token("grace", &grace).unwrap();
    let mut all = Asking { lab: &lab, answers: Vec::new() };
    let none = Value::Null;
    approvals(&mut all, &ops, &grace);
    grants(&mut all, &grace);
    acts(&mut all, &ops);
    let (ops, grace) = (Some(ops.as_str()), Some(grace.as_str()));
    for (path, body) in [
        ("/v1/record/entries", json!({ "command": "log search", "expression": ["delete"] })),
        ("/v1/record/entries", json!({ "command": "log tail", "lines": 20, "follow": false })),
        ("/v1/record/entries", json!({ "command": "log search", "expression": ["since:nonsense"] })),
        ("/v1/record/sessions", json!({ "count": 5 })),
    ] {
        all.same(ops, "POST", path, &body);
    }
    let session =
        lab.gateway.record().unwrap().of_kind("session.opened").next().unwrap().session().to_owned();
    all.same(ops, "POST", "/v1/record/session", &json!({ "session": session }));
    for (method, path) in [
        ("POST", "/v1/channels/{channel}/answer"),
        ("POST", "/v1/channels/{channel}/slack/actions"),
        ("POST", "/v1/token"),
        ("GET", "/v1/login"),
        ("GET", "/v1/openapi.json"),
        ("POST", "/v1/login/{issuer}/device"),
        ("GET", "/v1/login/{issuer}"),
        ("GET", "/v1/login/{issuer}/callback"),
    ] {
        all.ask(None, method, (path, &path.replace("{channel}", "none").replace("{issuer}", "none")), &none);
    }
    all.ask(
        None,
        "POST",
        ("/v1/login/{issuer}/token", "/v1/login/none/token"),
        &json!({ "login": "guessed" }),
    );
    all.same(grace, "GET", "/v1/whoami", &none);
    all.same(grace, "POST", "/v1/logout", &none);
    all.same(grace, "GET", "/v1/tokens", &none);
    all.same(None, "GET", "/v1/whoami", &none);
    on_this_machine(&mut all);
    all.same(Some("local"), "GET", "/v1/whoami", &none);
    looked_through(&all.answers, folder.path());
}

fn approvals(all: &mut Asking<'_>, ops: &str, grace: &str) {
    for word in ["deny", "approve", "break-glass"] {
        let lab = all.lab;
        let (mut raw, id) = held(lab, ops, all);
        let one = |path: &str| path.replace("{id}", &id);
        let path = "/v1/approvals/{id}";
        all.ask(Some(ops), "GET", (path, &one(path)), &Value::Null);
        let path = "/v1/approvals/{id}/original";
        all.ask(Some(grace), "POST", (path, &one(path)), &Value::Null);
        let path = format!("/v1/approvals/{{id}}/{word}");
        all.ask(Some(ops), "POST", (&path, &one(&path)), &json!({}));
        all.ask(Some(grace), "POST", (&path, &one(&path)), &json!({ "reason": "ticket 7" }));
        raw.until(b'Z').unwrap();
        all.ask(Some(ops), "GET", ("/v1/approvals/{id}", &one("/v1/approvals/{id}")), &Value::Null);
        all.ask(Some(ops), "GET", ("/v1/approvals", "/v1/approvals?all=true"), &Value::Null);
        if word == "deny" {
            let listed = all.same(Some(ops), "GET", "/v1/sessions", &Value::Null);
            let session = listed["sessions"][0]["id"].as_str().unwrap().to_owned();
            let path = "/v1/sessions/{id}/kill";
            all.ask(Some(ops), "POST", (path, &path.replace("{id}", &session)), &Value::Null);
        }
    }
}

fn grants(all: &mut Asking<'_>, grace: &str) {
    let bot = format!("{AGENT}:{}", all.lab.secret);
    for word in ["approve", "deny"] {
        let wanted = json!({ "target": "shop", "for": "1h", "effects": ["read"], "commands": 5, "reason": "ticket 7" });
        let id = all.same(Some(&bot), "POST", "/v1/grants", &wanted)["id"].as_str().unwrap().to_owned();
        let mut of_it = |token: &str, method: &str, path: &str, body: &Value| {
            all.ask(Some(token), method, (path, &path.replace("{id}", &id)), body)
        };
        let path = format!("/v1/grants/{{id}}/{word}");
        of_it(&bot, "POST", &path, &json!({}));
        of_it(grace, "POST", &path, &json!({ "reason": "as agreed" }));
        of_it(&bot, "GET", "/v1/grants/{id}", &Value::Null);
        of_it(&bot, "POST", "/v1/grants/{id}/revoke", &json!({}));
        all.ask(Some(&bot), "GET", ("/v1/grants", "/v1/grants?all=true"), &Value::Null);
    }
    all.same(
        Some(&bot),
        "POST",
        "/v1/grants",
        &json!({ "target": "shop", "for": "1h", "effects": [], "reason": "" }),
    );
}

fn acts(all: &mut Asking<'_>, ops: &str) {
    let ops = Some(ops);
    let new = json!({ "name": "x", "kind": "agent", "on_behalf_of": "ada@example.com", "targets": ["shop"], "roles": ["user"], "ttl_seconds": 60 });
    all.same(ops, "POST", "/v1/tokens", &new);
    all.same(ops, "GET", "/v1/tokens", &Value::Null);
    all.same(ops, "POST", "/v1/tokens/revoke", &json!({ "token": "x" }));
    all.same(ops, "POST", "/v1/tokens", &json!({ "name": "x" }));
    let contained = all.same(
        ops,
        "POST",
        "/v1/contained",
        &json!({ "of": "identity", "name": "nobody", "reason": "a test" }),
    );
    all.same(ops, "GET", "/v1/contained", &Value::Null);
    let lift = "/v1/contained/{id}/lift";
    all.ask(
        ops,
        "POST",
        (lift, &lift.replace("{id}", contained["id"].as_str().unwrap())),
        &json!({ "reason": "over" }),
    );
    all.same(ops, "POST", "/v1/ca", &json!({ "name": "own" }));
    // The base point of P-256.
    let key = "BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
    all.same(
        ops,
        "POST",
        "/v1/ca/certificates",
        &json!({ "name": "report", "seconds": 60, "public_key": key }),
    );
    all.same(ops, "GET", "/v1/ca/certificates", &Value::Null);
    all.same(ops, "POST", "/v1/ca/certificates/revoke", &json!({ "certificate": "report" }));
    all.same(ops, "GET", "/v1/ca/crl", &Value::Null);
}

/// All of it against the document; and every route was asked, and done where that can be.
fn looked_through(answers: &[Value], folder: &std::path::Path) {
    let served = answers.iter().find(|a| a["path"] == "/v1/openapi.json").unwrap();
    let (document, written) = (folder.join("served.json"), folder.join("answers"));
    std::fs::write(&document, served["body"].as_str().unwrap()).unwrap();
    let lines: Vec<String> = answers.iter().map(ToString::to_string).collect();
    std::fs::write(&written, lines.join("\n")).unwrap();
    let seen = script("check-answers.py", &[&document, &written]);
    let in_docs: Value =
        serde_json::from_str(&std::fs::read_to_string(workspace().join("docs/openapi.json")).unwrap())
            .unwrap();
    assert_eq!(in_docs, serde_json::from_str::<Value>(served["body"].as_str().unwrap()).unwrap());
    for (path, methods) in in_docs["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let route = format!("{} {path}", method.to_uppercase());
            assert!(seen.lines().any(|line| line.starts_with(&format!("{route} "))), "{route} was not asked");
            let done = seen.lines().any(|line| line == format!("{route} 200"));
            assert!(done || NOT_DONE.contains(&route.as_str()), "{route} was never done:\n{seen}");
        }
    }
}
