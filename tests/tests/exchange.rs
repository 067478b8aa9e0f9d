//! Token exchange (RFC 8693): an agent gets a short token for a person, by the tokens of both. Over the command line and over
//! the API, with an issuer that is not the gateway's code; and all that must get none.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use firsthand_tests::certificates::Certificates;
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::issuer::{AUDIENCE, Issuer, now};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{self, PATIENCE, until};
use firsthand_tests::raw::Raw;
use firsthand_tests::record::{Entry, Record};
use rustix::process::Signal;
use serde_json::{Value, json};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// `night-agent` may act for Ada and for who is in the group; nobody may for anybody else.
const RULES: &str = "[[exchange]]\nagents = [\"night-*\"]\nfor = [\"corp/ada\", \"grace\"]\n\
                     [[exchange]]\nagents = [\"corp/job\"]\ngroups = [\"corp/oncall\"]\n";

struct Rig {
    _server: Postgres,
    folder: tempfile::TempDir,
    issuer: Issuer,
    gateway: Gateway,
    /// The agent's token, as NAME:SECRET.
    agent: String,
}

/// A gateway with the targets `shop` and `other`, and the issuer `corp`, who opens both to people and `shop` to workloads.
fn rig() -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let (server, issuer) = (Postgres::start(None).unwrap(), Issuer::start().unwrap());
    let certificates = Certificates::write(folder.path()).unwrap();
    let gateway = Gateway::start(Settings {
        targets: vec![Target::of(&server.place("app", "shop")), Target::of(&server.place("app", "other"))],
        tls: Some((certificates.crt("server"), certificates.key("server"))),
        more: format!(
            "{RULES}[[issuer]]\nname = \"corp\"\nurl = {:?}\naudience = [{AUDIENCE:?}]\nkind_claim = \"kind\"\n\
             groups_claim = \"groups\"\nskew = \"1s\"\n\
             [[issuer.allow]]\nwhen = [\"kind = human\"]\ntargets = [\"shop\", \"other\"]\n\
             [[issuer.allow]]\nwhen = [\"kind = service\"]\ntargets = [\"shop\"]\n\
             [[issuer.allow]]\nwhen = [\"groups = auditors\"]\nroles = [\"auditor\"]\n",
            issuer.url
        ),
        ..Settings::default()
    })
    .unwrap();
    let agent = gateway.role_token("night-agent", &["--owner", "platform", "--target", "shop"]).unwrap();
    Rig { _server: server, folder, issuer, gateway, agent }
}

/// What an exchange came to.
struct Made {
    /// NAME:SECRET.
    token: String,
    answer: Value,
}

impl Rig {
    /// A person's token.
    fn person(&self, sub: &str, more: Value) -> String {
        self.of_kind("human", sub, more)
    }

    fn of_kind(&self, kind: &str, sub: &str, mut more: Value) -> String {
        more["kind"] = json!(kind);
        self.issuer.token("first-ES256", sub, more).unwrap()
    }

    /// Asks for a token; these parameters stand beside the two tokens, or instead of what they come with.
    fn ask(&self, subject: &str, actor: &str, more: &[(&str, &str)]) -> (u16, Value) {
        let kind = |token: &str| if token.contains(':') { ACCESS } else { JWT };
        let mut pairs = vec![
            ("grant_type", GRANT),
            ("subject_token", subject),
            ("subject_token_type", kind(subject)),
            ("actor_token", actor),
            ("actor_token_type", kind(actor)),
        ];
        pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        pairs.extend(more);
        let form: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (status, body) = self.gateway.ask("POST", "/v1/token", headers, &form.join("&")).unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    fn made(&self, subject: &str, actor: &str, more: &[(&str, &str)]) -> Made {
        let (status, answer) = self.ask(subject, actor, more);
        assert_eq!(status, 200, "{answer}");
        Made { token: answer["access_token"].as_str().unwrap().to_owned(), answer }
    }

    /// The error of an exchange that must fail, and its description.
    fn error(&self, subject: &str, actor: &str, more: &[(&str, &str)]) -> (String, String) {
        let (status, answer) = self.ask(subject, actor, more);
        assert_eq!(status, 400, "{answer}");
        assert!(answer["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{answer}");
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        (text("error"), text("error_description"))
    }

    fn login(&self, token: &str, target: &str) -> anyhow::Result<Raw> {
        let (name, secret) = token.split_once(':').unwrap();
        Raw::login(&self.gateway.place(name, secret, target), &[])
    }

    fn exchanges(&self) -> usize {
        self.gateway.record().unwrap().of_kind("identity.token_exchanged").count()
    }

    fn secret_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The SQLSTATE that a statement is refused with.
fn code(raw: &mut Raw, sql: &str) -> Option<String> {
    raw.query(sql).unwrap().iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'))
}

/// The chain of an entry: kind, name, trust.
fn chain(links: &Value, entry: &Entry) -> Vec<(String, String, String)> {
    let named = entry.payload("names").as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name =
        |id: &Value| named.iter().find(|n| n["id"] == *id).map(|n| text(&n["name"])).unwrap_or_default();
    let links = links.as_array().unwrap();
    links.iter().map(|link| (text(&link["kind"]), name(&link["id"]), text(&link["trust"]))).collect()
}

fn verified(links: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let owned = |(kind, name): &(&str, &str)| ((*kind).to_owned(), (*name).to_owned(), "verified".to_owned());
    links.iter().map(owned).collect()
}

fn last(record: &Record, kind: &str) -> Entry {
    record.of_kind(kind).last().unwrap().clone()
}

/// All files of a folder, as text.
fn all_of(path: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &all_of(&path);
        } else if path.is_file() {
            all += &String::from_utf8_lossy(&fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn an_agent_acts_for_a_person_who_was_proved_and_the_record_says_so() {
    let rig = rig();
    let jwt = rig.person("ada", json!({ "jti": "j-7", "groups": ["dba"] }));
    let file = rig.secret_file("ada.jwt", &jwt).display().to_string();
    let args =
        ["token", "exchange", "--subject-token-file", &file, "--for", "5m", "--target", "shop", "--json"];
    let made: Value =
        serde_json::from_str(&process::run(&mut rig.gateway.remote(&rig.agent, &args).unwrap()).unwrap())
            .unwrap();
    let (name, secret) = (made["name"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(name.starts_with("night-agent."), "{name}");
    // It is the password of an unmodified client, by SCRAM.
    let mut psql = Command::new("psql");
    let place = rig.gateway.place(name, secret, "shop");
    psql.args(["-XAtc", "select 'for ada'"]).envs(place.environment());
    assert_eq!(process::run(&mut psql).unwrap().trim(), "for ada");
    let record = rig.gateway.record().unwrap();
    let id = made["id"].as_str().unwrap();
    let opened = last(&record, "session.opened");
    let links = [("human", "corp/ada"), ("agent", "night-agent"), ("token", id)];
    assert_eq!(chain(&opened.leaf("who")["chain"], &opened), verified(&links));
    assert_eq!(opened.leaf("method"), "scram-sha-256");
    assert!(opened.leaf("ends").as_str().is_some_and(|end| end.ends_with('Z')), "{}", opened.0);
    assert_eq!(
        (opened.payload("owner"), opened.payload("groups")),
        (&json!("platform"), &json!(["corp/dba"]))
    );
    told_of_an_exchange(&rig, &record, id);
    shown_in_lists(&rig, name);
    // It opens targets, and nothing of the gateway; and no secret of the three stands anywhere.
    let bearer = format!("Authorization: Bearer {name}:{secret}\r\n");
    assert_eq!(rig.gateway.ask("GET", "/v1/sessions", &bearer, "").unwrap().0, 403);
    assert!(rig.login(&format!("{name}:{secret}"), "other").is_err());
    // Shown the wrong way round, it is told to nobody, either.
    let swapped = format!("Authorization: Bearer {secret}:{name}\r\n");
    assert_eq!(rig.gateway.ask("GET", "/v1/sessions", &swapped, "").unwrap().0, 401);
    let everything = all_of(&rig.gateway.data_dir()) + &rig.gateway.cli(&["log", "cat", "--json"]).unwrap();
    for hidden in [secret, rig.agent.split_once(':').unwrap().1, jwt.rsplit_once('.').unwrap().1] {
        assert!(!everything.contains(hidden));
    }
}

fn told_of_an_exchange(rig: &Rig, record: &Record, id: &str) {
    let told = last(record, "identity.token_exchanged");
    let facts = told.leaf("facts");
    assert_eq!((&facts["consent"], &facts["subject_issuer"]), (&json!("configuration"), &json!("corp")));
    assert_eq!((&facts["targets"], &facts["roles"]), (&json!(["shop"]), &Value::Null));
    assert!(facts["expires"].is_string() && facts["actor_issuer"].is_null(), "{facts}");
    let detail = told.payload("detail");
    assert_eq!((&detail["id"], &detail["actor"]), (&json!(id), &json!("night-agent")));
    assert_eq!((&detail["on_behalf_of"], &detail["subject_token"]), (&json!("corp/ada"), &json!("corp/j-7")));
    assert_eq!(detail["owner"], "platform");
    let own = detail["actor_token"].as_str().unwrap();
    let by = [("human", "corp/ada"), ("agent", "night-agent"), ("token", own)];
    assert_eq!(chain(told.leaf("chain"), &told), verified(&by));
    assert_eq!(told.payload("by"), "night-agent");
    for who in ["night-agent", "corp/ada"] {
        let found = format!("identity:{who} kind:identity.token_exchanged");
        assert_eq!(rig.gateway.cli(&["log", "search", &found]).unwrap().lines().count(), 1, "{who}");
    }
}

fn shown_in_lists(rig: &Rig, name: &str) {
    let listed = rig.gateway.cli(&["token", "list"]).unwrap();
    let line = listed.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line.contains("platform") && line.contains("corp/ada") && line.contains("valid"), "{line}");
    let shown: Value =
        serde_json::from_str(&rig.gateway.cli(&["token", "show", name, "--json"]).unwrap()).unwrap();
    assert_eq!((&shown["actor"], &shown["owner"]), (&json!("night-agent"), &json!("platform")));
    let shown = rig.gateway.cli(&["token", "show", "night-agent"]).unwrap();
    assert!(shown.contains("owner") && shown.contains("platform"), "{shown}");
}

#[test]
fn what_a_persons_token_says_goes_before_the_configuration() {
    let rig = rig();
    let may_act = |sub: &str, who: Value| rig.person(sub, json!({ "may_act": who, "exp": now() + 2000 }));
    // Nobody else says that the agent may act for Eve.
    let eve = may_act("eve", json!({ "iss": AUDIENCE, "sub": "night-agent" }));
    let made = rig.made(&eve, &rig.agent, &[]);
    assert_eq!(made.answer["scope"], "shop", "what both open");
    assert_eq!((&made.answer["expires_in"], &made.answer["token_type"]), (&json!(900), &json!("Bearer")));
    assert_eq!(made.answer["issued_token_type"], ACCESS);
    rig.login(&made.token, "shop").unwrap().query("select 1").unwrap();
    assert_eq!(
        last(&rig.gateway.record().unwrap(), "identity.token_exchanged").leaf("facts")["consent"],
        "may_act"
    );
    // The configuration would let it act for Ada, and she names another.
    for who in [json!({ "sub": "night-agent" }), json!({ "iss": AUDIENCE, "sub": "day-agent" }), json!([])] {
        let (error, what) = rig.error(&may_act("ada", who), &rig.agent, &[]);
        assert_eq!(error, "invalid_request");
        assert!(what.contains("may_act"), "{what}");
    }
    // A workload of the same issuer, by its own token; and by a group of the person.
    let job = rig.of_kind("service", "job", json!({ "jti": "w-1" }));
    let made = rig.made(&may_act("eve", json!({ "sub": "job" })), &job, &[]);
    rig.login(&made.token, "shop").unwrap();
    let record = rig.gateway.record().unwrap();
    let opened = last(&record, "session.opened");
    let links =
        [("human", "corp/eve"), ("service", "corp/job"), ("token", made.answer["id"].as_str().unwrap())];
    assert_eq!(chain(&opened.leaf("who")["chain"], &opened), verified(&links));
    let (_, what) = rig.error(&rig.person("eve", json!({ "groups": ["dba"] })), &job, &[]);
    assert!(what.contains("nothing says"), "{what}");
    rig.made(&rig.person("eve", json!({ "groups": ["dba", "oncall"] })), &job, &[]);
    // A person who has a token of Firsthand's; and an agent that is bound to one person.
    let grace =
        rig.gateway.role_token("grace", &["--kind", "human", "--target", "shop", "--role", "admin"]).unwrap();
    rig.made(&grace, &rig.agent, &[("resource", "postgresql://gateway:6432/shop")]);
    let bound = ["--on-behalf-of", "grace", "--target", "shop"];
    let bound = rig.gateway.role_token("night-bound", &bound).unwrap();
    rig.made(&grace, &bound, &[]);
    let (_, what) = rig.error(&rig.person("ada", json!({})), &bound, &[]);
    assert!(what.contains("another person"), "{what}");
}

#[test]
fn who_must_get_no_token_gets_none() {
    let rig = rig();
    let ada = rig.person("ada", json!({}));
    let exchanged = rig.made(&ada, &rig.agent, &[]).token;
    let other_agent = rig.gateway.role_token("night-other", &["--target", "shop"]).unwrap();
    let revoked = rig.gateway.role_token("night-gone", &["--target", "shop"]).unwrap();
    rig.gateway.cli(&["token", "revoke", "night-gone"]).unwrap();
    let acted = rig.person("ada", json!({ "act": { "sub": "night-agent" } }));
    let (agent, wrong) = (rig.agent.as_str(), "night-agent:fh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let elsewhere = rig.person("ada", json!({ "aud": "another" }));
    let expired = rig.person("ada", json!({ "exp": now() - 100 }));
    let eve = rig.person("eve", json!({}));
    for (case, subject, actor, what) in [
        ("swapped", agent, &*ada, "names no person"),
        ("an agent as the subject", &other_agent, agent, "names no person"),
        ("a person as the actor", &ada, &ada, "no agent or service"),
        ("somebody acts already", &acted, agent, "names no person"),
        ("another audience", &elsewhere, agent, "does not accept the subject"),
        ("expired", &expired, agent, "does not accept the subject"),
        ("nobody said yes", &eve, agent, "nothing says that"),
        ("again, as the actor", &ada, &exchanged, "came by exchange itself"),
        ("again, as the subject", &exchanged, agent, "came by exchange itself"),
        ("revoked", &ada, &revoked, "does not accept the actor"),
        ("a wrong secret", &ada, wrong, "does not accept the actor"),
    ] {
        let told = rig.error(subject, actor, &[]);
        assert_eq!(told.0, "invalid_request", "{case}: {}", told.1);
        assert!(told.1.contains(what), "{case}: {}", told.1);
    }
    assert_eq!(rig.exchanges(), 1, "none of them got one");
    // Whose proof failed is told as everywhere; who was proved and may not, with the chain of both.
    let record = rig.gateway.record().unwrap();
    let why: Vec<_> =
        record.of_kind("identity.refused").map(|e| e.leaf("why").as_str().unwrap().to_owned()).collect();
    assert_eq!(why, ["issuer", "expired", "revoked", "proof"]);
    let refused: Vec<_> = record.of_kind("session.refused").filter(|e| e.leaf("why") == "exchange").collect();
    let entry = refused.iter().find(|e| e.payload("detail").to_string().contains("nothing says")).unwrap();
    let chain = chain(entry.leaf("chain"), entry);
    assert_eq!(chain[..2], verified(&[("human", "corp/eve"), ("agent", "night-agent")]));
}

#[test]
fn what_must_not_be_asked_is_not_given() {
    let rig = rig();
    let (ada, agent) = (rig.person("ada", json!({})), rig.agent.as_str());
    let (invalid, target) = ("invalid_request", "invalid_target");
    for (name, value, error, what) in [
        ("audience", "other", target, "actor token does not open"),
        ("scope", "shop other", target, "actor token does not open"),
        ("audience", "nowhere", target, "subject token does not open"),
        ("resource", "shop", target, "no target"),
        ("expires_in", "3601", invalid, "3600 s at most"),
        ("grant_type", "password", "unsupported_grant_type", "no such grant"),
        ("requested_token_type", JWT, invalid, "requested_token_type"),
        ("actor_token_type", JWT, invalid, "actor_token is no"),
        ("actor_token", "", invalid, "actor_token is missing"),
        ("subject_token", "", invalid, "subject_token is missing"),
    ] {
        let told = rig.error(&ada, agent, &[(name, value)]);
        assert_eq!(told.0, error, "{name}: {}", told.1);
        assert!(told.1.contains(what), "{name}: {}", told.1);
    }
    assert_eq!(rig.exchanges(), 0, "none of them got one");
    assert_eq!(rig.gateway.ask("GET", "/v1/token", "", "").unwrap().0, 405);
    let headers =
        format!("Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer {agent}\r\n");
    let (status, body) = rig.gateway.ask("POST", "/v1/token", &headers, "a=b").unwrap();
    assert!(status == 400 && body.contains("actor_token"), "{body}");
    assert_eq!(
        rig.gateway.ask("POST", "/v1/token", "Content-Type: application/json\r\n", "{}").unwrap().0,
        400
    );
}

#[test]
fn wrong_secrets_are_slowed_down_here_too() {
    let rig = rig();
    let ada = rig.person("ada", json!({}));
    let wrong = "night-agent:fh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for _ in 0..6 {
        rig.error(&ada, wrong, &[]);
    }
    let (_, what) = rig.error(&ada, &rig.agent, &[]);
    assert!(what.contains("does not accept the actor"), "the right one has to wait, too: {what}");
    let record = rig.gateway.record().unwrap();
    assert!(record.of_kind("identity.refused").any(|e| e.leaf("why") == "rate"));
}

#[test]
fn it_ends_with_the_tokens_that_were_shown_for_it() {
    let mut rig = rig();
    let ada = rig.person("ada", json!({}));
    let grace = rig.gateway.role_token("grace", &["--kind", "human", "--target", "shop"]).unwrap();
    let other = rig.gateway.role_token("night-other", &["--target", "shop"]).unwrap();
    let (by_agent, by_person, by_issuer) =
        (rig.made(&ada, &rig.agent, &[]), rig.made(&grace, &other, &[]), rig.made(&ada, &other, &[]));
    let mut sessions =
        [&by_agent, &by_person, &by_issuer].map(|made| rig.login(&made.token, "shop").unwrap());
    let mut run = || sessions.each_mut().map(|raw| code(raw, "select 1").is_none());
    assert_eq!(run(), [true; 3]);
    rig.gateway.cli(&["token", "revoke", "night-agent"]).unwrap();
    assert_eq!(run(), [false, true, true], "the agent's token");
    assert!(rig.login(&by_agent.token, "shop").is_err());
    let name = by_agent.token.split_once(':').unwrap().0;
    let shown: Value =
        serde_json::from_str(&rig.gateway.cli(&["token", "show", name, "--json"]).unwrap()).unwrap();
    assert_eq!(shown["state"], "revoked");
    rig.gateway.cli(&["token", "revoke", "grace"]).unwrap();
    assert_eq!(run(), [false, false, true], "the person's token");
    assert!(rig.login(&by_person.token, "shop").is_err());
    rig.gateway.rewrite(|settings| settings.more = RULES.to_owned()).unwrap();
    rig.gateway.daemon().unwrap().signal(Signal::HUP);
    rig.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    assert_eq!(run(), [false; 3], "the person's issuer");
    assert!(rig.login(&by_issuer.token, "shop").is_err());
    let record = rig.gateway.record().unwrap();
    let denied = record.intents("select 1").last().unwrap();
    assert_eq!((denied.leaf("verdict"), denied.leaf("rule")), (&json!("deny"), &json!("identity")));
}

#[test]
fn it_ends_by_itself_and_is_forgotten() {
    let mut rig = rig();
    // No longer than the person's own token, whatever is asked.
    let short = rig.person("ada", json!({ "exp": now() + 120 }));
    let made = rig.made(&short, &rig.agent, &[("expires_in", "3600")]);
    assert!((1..=121).contains(&made.answer["expires_in"].as_u64().unwrap()), "{}", made.answer);
    let ada = rig.person("ada", json!({}));
    let brief = rig.made(&ada, &rig.agent, &[("expires_in", "3")]);
    let mut raw = rig.login(&brief.token, "shop").unwrap();
    until("its time is over", || Ok(code(&mut raw, "select 1").as_deref() == Some("42501"))).unwrap();
    assert!(rig.login(&brief.token, "shop").is_err(), "it opens nothing any more");
    let why = last(&rig.gateway.record().unwrap(), "identity.refused");
    assert_eq!(why.leaf("why"), "expired");
    // The next one takes its place, and nobody misses it.
    rig.made(&ada, &rig.agent, &[]);
    let id = brief.answer["id"].as_str().unwrap();
    assert!(!fs::read_to_string(rig.gateway.data_dir().join("tokens.json")).unwrap().contains(id));
    assert_eq!(code(&mut raw, "select 2").as_deref(), Some("42501"));
    rig.gateway.kill().unwrap();
    rig.gateway.serve().unwrap();
    assert_eq!(rig.gateway.record().unwrap().of_kind("identity.token_differs").count(), 0);
    rig.login(&made.token, "shop").unwrap();
}

#[test]
fn tokens_in_clear_text_from_elsewhere_are_not_exchanged() {
    let mut rig = rig();
    rig.gateway.stop().unwrap();
    let (port, config) = (rig.gateway.http_port(), fs::read_to_string(rig.gateway.config()).unwrap());
    let listens = |host: &str| format!("http = \"{host}:{port}\"");
    fs::write(rig.gateway.config(), config.replace(&listens("127.0.0.1"), &listens("0.0.0.0"))).unwrap();
    rig.gateway.serve().unwrap();
    // A machine without any network has nobody elsewhere either; the rule itself has a test of its own.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_err() {
        return;
    }
    let address = socket.local_addr().unwrap().ip();
    if address.is_loopback() || address.is_unspecified() {
        return;
    }
    let mut stream = TcpStream::connect((address, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let form = format!("grant_type={}&actor_token={}", encoded(GRANT), encoded(&rig.agent));
    write!(
        stream,
        "POST /v1/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{form}",
        form.len()
    )
    .unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("clear text"), "{answer}");
    let refused = last(&rig.gateway.record().unwrap(), "identity.refused");
    assert_eq!(refused.leaf("why"), "clear-text");
}

#[test]
fn the_command_says_what_is_missing() {
    let rig = rig();
    let eve = rig.secret_file("eve.jwt", &rig.person("eve", json!({}))).display().to_string();
    let said = |mut command: Command| {
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let args = ["token", "exchange", "--subject-token-file", &eve];
    let (status, talk) = said(rig.gateway.remote(&rig.agent, &args).unwrap());
    assert_eq!(status, Some(1), "{talk}");
    assert!(
        talk.contains("nothing says that")
            && talk.contains("\nhint: an operator can allow it with an [[exchange]]"),
        "{talk}"
    );
    let (status, talk) = said(rig.gateway.command(&args).unwrap());
    assert!(status == Some(2) && talk.contains("--gateway"), "{talk}");
    let open = rig.secret_file("open", &rig.agent);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let open = open.display().to_string();
    let args = ["token", "exchange", "--subject-token-file", &open];
    let (status, talk) = said(rig.gateway.remote(&rig.agent, &args).unwrap());
    assert!(status == Some(2) && talk.contains("others than its owner"), "{talk}");
}

/// A token is contained by its id: what came by exchange for it ends with it, sessions that are under way, too.
#[test]
fn what_came_by_exchange_for_a_contained_token_ends_at_once() {
    let rig = rig();
    let made = rig.made(
        &rig.person("ada", json!({ "may_act": { "iss": AUDIENCE, "sub": "night-agent" } })),
        &rig.agent,
        &[],
    );
    let (mut raw, mut other) =
        (rig.login(&made.token, "shop").unwrap(), rig.login(&rig.agent, "shop").unwrap());
    let listed = rig.gateway.cli(&["token", "show", "night-agent", "--json"]).unwrap();
    let id = serde_json::from_str::<Value>(&listed).unwrap()["id"].as_str().unwrap().to_owned();
    let contained = rig.gateway.cli(&["contain", "identity", &id]).unwrap();
    assert!(contained.contains("2 sessions ended"), "{contained}");
    for raw in [&mut raw, &mut other] {
        let last = raw.until_closed().unwrap();
        let code = last.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
        assert_eq!(code.as_deref(), Some("RF004"), "{last:?}");
    }
}
