//! Tokens of an issuer (JWT): as the database password over TLS, and as the bearer of the API. Signed by code that is not
//! the gateway's, and shown by unmodified clients.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use firsthand_tests::certificates::Certificates;
use firsthand_tests::clients::{installed, setup};
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::issuer::{AUDIENCE, Issuer, now};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{self, until};
use firsthand_tests::raw::{PROTOCOL_3_0, Raw};
use firsthand_tests::record::Record;
use rustix::process::Signal;
use serde_json::{Value, json};

struct Rig {
    _server: Postgres,
    _folder: tempfile::TempDir,
    issuer: Issuer,
    gateway: Gateway,
    root: PathBuf,
}

/// A gateway with the issuer `corp`; `more` stands in its table, `top` above all.
fn rig(more: &str, top: &str) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(folder.path()).unwrap();
    let (server, issuer) = (Postgres::start(None).unwrap(), Issuer::start().unwrap());
    let gateway = Gateway::start(Settings {
        targets: vec![Target::of(&server.place("app", "shop")), Target::of(&server.place("app", "other"))],
        tls: Some((certificates.crt("server"), certificates.key("server"))),
        more: format!("{top}\n{}", corp(&issuer, more)),
        ..Settings::default()
    })
    .unwrap();
    Rig { root: certificates.crt("ca"), _server: server, _folder: folder, issuer, gateway }
}

fn corp(issuer: &Issuer, more: &str) -> String {
    format!(
        "[[issuer]]\nname = \"corp\"\nurl = {:?}\naudience = [{AUDIENCE:?}]\nkind = \"human\"\n{more}\n\
         [[issuer.allow]]\ntargets = [\"shop\"]\n\
         [[issuer.allow]]\nwhen = [\"groups = auditors\"]\nroles = [\"auditor\"]\n",
        issuer.url
    )
}

impl Rig {
    fn place(&self, user: &str, token: &str, target: &str) -> Place {
        self.gateway.place(user, token, target).over_tls("verify-full", Some(self.root.clone()))
    }

    fn login(&self, user: &str, token: &str, target: &str) -> anyhow::Result<Raw> {
        let place = self.place(user, token, target);
        let mut raw = Raw::connect(&place)?;
        raw.upgrade(&self.root)?;
        raw.start(&place, PROTOCOL_3_0, &[])?;
        Ok(raw)
    }

    fn refusal(&self, user: &str, token: &str, target: &str) -> String {
        match self.login(user, token, target) {
            Ok(_) => panic!("let in as {user} at {target}"),
            Err(why) => format!("{why:#}").replace(user, "USER"),
        }
    }

    fn bearer(&self, token: &str) -> (u16, String) {
        self.gateway.ask("GET", "/v1/sessions", &format!("Authorization: Bearer {token}\r\n"), "").unwrap()
    }
}

fn names(record: &Record) -> Vec<(String, String, String)> {
    let opened = record.of_kind("session.opened").last().unwrap();
    let chain = opened.leaf("who")["chain"].as_array().unwrap().clone();
    let named = opened.payload("names").as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name =
        |id: &Value| named.iter().find(|n| n["id"] == *id).map(|n| text(&n["name"])).unwrap_or_default();
    chain.iter().map(|link| (text(&link["kind"]), name(&link["id"]), text(&link["trust"]))).collect()
}

#[test]
fn the_token_of_an_issuer_is_a_password_for_unmodified_clients() {
    setup("node-postgres").unwrap();
    let rig = rig("groups_claim = \"groups\"", "");
    let more = json!({ "jti": "j-7", "groups": ["dba"], "act": { "sub": "night-agent" } });
    for alg in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = rig.issuer.token(&format!("first-{alg}"), "ada", more.clone()).unwrap();
        let mut raw = rig.login("ada@corp", &token, "shop").unwrap();
        raw.query("select 1").unwrap();
    }
    let record = rig.gateway.record().unwrap();
    let expected = [("human", "corp/ada"), ("agent", "corp/night-agent"), ("token", "corp/j-7")];
    let expected = expected.map(|(k, n)| (k.to_owned(), n.to_owned(), "verified".to_owned()));
    assert_eq!(names(&record), expected);
    let opened = record.of_kind("session.opened").last().unwrap();
    assert_eq!((opened.leaf("method"), opened.leaf("issuer")), (&json!("clear-text"), &json!("corp")));
    assert!(opened.leaf("ends").as_str().is_some_and(|end| end.ends_with('Z')), "{}", opened.0);
    assert_eq!(opened.payload("groups"), &json!(["corp/dba"]));

    let token = rig.issuer.token("first-ES256", "ada", json!({})).unwrap();
    // libpq, and node-postgres, on which the MCP servers stand; by the issuer's name, and by a name that no token has.
    let place = rig.place("corp", &token, "shop");
    let mut psql = Command::new("psql");
    psql.args(["-XAtc", "select 'by psql'"]).envs(place.environment());
    assert_eq!(process::run(&mut psql).unwrap().trim(), "by psql");
    let program = "const { Client } = require('pg'); const fs = require('fs');
        const ssl = { ca: fs.readFileSync(process.env.PGSSLROOTCERT) };
        const c = new Client({ ssl, host: 'localhost' });
        c.connect().then(() => c.query(\"select 'by node' as x\")).then((r) => { console.log(r.rows[0].x); return c.end() })";
    let mut node = Command::new("node");
    node.args(["-e", program]).envs(rig.place("ada@example.com", &token, "shop").environment());
    node.env("NODE_PATH", installed().join("npm").join("node_modules")).env_remove("PGSSLMODE");
    assert_eq!(process::run(&mut node).unwrap().trim(), "by node");
    let record = rig.gateway.record().unwrap();
    assert_eq!(record.of_kind("session.opened").count(), 6);
    assert_eq!(record.of_kind("identity.refused").count(), 0);
}

#[test]
fn whatever_is_wrong_with_a_token_gets_the_same_answer_and_none_is_written_down() {
    let mut rig = rig("", "");
    let of = |kid: &str, more: Value| rig.issuer.token(kid, "ada", more).unwrap();
    let good = of("first-ES256", json!({}));
    rig.login("corp", &good, "shop").unwrap();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let other = of("first-ES256", json!({ "jti": "another" }));
    let tokens = [
        ("another audience", of("first-ES256", json!({ "aud": "another" }))),
        ("expired", of("first-RS256", json!({ "exp": now() - 100 }))),
        ("not valid yet", of("first-EdDSA", json!({ "nbf": now() + 300 }))),
        ("no issuer", of("first-ES256", json!({ "iss": "https://elsewhere.example" }))),
        ("signature", format!("{head}.{}", other.rsplit('.').next().unwrap())),
        ("no signed JWT", format!("{head}.")),
        ("larger", format!("{head}.{}", "A".repeat(20_000))),
    ];
    let unknown = rig.refusal("corp", "fh_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "shop");
    for (what, token) in &tokens {
        // Each from a name of its own: failures are slowed down.
        assert_eq!(rig.refusal(&format!("{what}@corp"), token, "shop"), unknown, "{what}");
    }
    assert_eq!(rig.refusal("target@corp", &good, "other"), unknown, "no rule opens that target");
    let told = rig.gateway.record().unwrap();
    let details: Vec<_> = told.of_kind("identity.refused").map(|e| e.payload("detail").to_string()).collect();
    for (what, _) in &tokens {
        assert!(details.iter().any(|detail| detail.contains(what)), "{what} is not in {details:#?}");
    }
    // In clear text nobody is asked for it, and the answer says what to do.
    let place = rig.gateway.place("ada@corp", &good, "shop");
    let why = format!("{:#}", Raw::login(&place, &[]).unwrap_err());
    assert!(why.contains("over TLS only") && why.contains("sslmode=require"), "{why}");
    assert_eq!(rig.bearer(&tokens[0].1).0, 401);
    assert_eq!(rig.bearer(&good).0, 403, "it has no role");
    let said = rig.gateway.daemon().unwrap().said();
    rig.gateway.stop().unwrap();
    let mut secrets: Vec<&str> = tokens.iter().map(|(_, token)| token.rsplit('.').next().unwrap()).collect();
    secrets.push(signature);
    let everything =
        folder(&rig.gateway.data_dir()) + &rig.gateway.cli(&["log", "cat", "--json"]).unwrap() + &said;
    for secret in secrets.into_iter().filter(|s| s.len() > 8) {
        assert!(!everything.contains(secret), "a signature was written down");
    }
}

/// All files of a folder, as text.
fn folder(path: &std::path::Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &folder(&path);
        } else if path.is_file() {
            all += &String::from_utf8_lossy(&std::fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn tokens_of_firsthand_are_proved_by_scram_as_before() {
    let rig = rig("", "");
    let secret = rig.gateway.token("night-agent", &["shop"]).unwrap();
    rig.login("night-agent", &secret, "shop").unwrap();
    let record = rig.gateway.record().unwrap();
    let opened = record.of_kind("session.opened").last().unwrap();
    assert_eq!(opened.leaf("method"), &json!("scram-sha-256"));
    // What is asked tells nothing of which tokens there are: a name that one could have is asked the same.
    let asked = |user: &str| {
        let place = rig.place(user, "", "shop");
        let mut raw = Raw::connect(&place).unwrap();
        raw.upgrade(&rig.root).unwrap();
        std::io::Write::write_all(&mut raw.stream, &firsthand_tests::raw::startup(&place, PROTOCOL_3_0, &[]))
            .unwrap();
        raw.read().unwrap().unwrap().body
    };
    assert_eq!(asked("night-agent"), asked("no-such-agent"));
    assert_eq!(asked("ada@corp"), 3u32.to_be_bytes(), "clear text");
    assert_eq!(asked("corp"), 3u32.to_be_bytes(), "clear text");
}

#[test]
fn a_session_is_allowed_nothing_once_its_token_has_ended() {
    let rig = rig("skew = \"1s\"", "");
    let token = rig.issuer.token("first-ES256", "ada", json!({ "exp": now() + 10 })).unwrap();
    let mut raw = rig.login("corp", &token, "shop").unwrap();
    let mut runs =
        |sql: &str| raw.query(sql).unwrap().iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    assert_eq!(runs("select 'while it holds'"), None);
    let mut code = None;
    until("the token has ended", || {
        code = runs("select 'again'");
        Ok(code.is_some())
    })
    .unwrap();
    assert_eq!(code.as_deref(), Some("42501"), "in the protocol; the connection lives on");
    assert_eq!(runs("select 'after the end'").as_deref(), Some("42501"));
    let record = rig.gateway.record().unwrap();
    let intent = record.intents("after the end").next().unwrap();
    assert_eq!((intent.leaf("verdict"), intent.leaf("rule")), (&json!("deny"), &json!("identity")));
    assert!(rig.refusal("corp", &token, "shop").contains("C28"), "and no new one begins");
}

#[test]
fn new_keys_are_found_when_they_are_first_used_and_old_ones_outlast_the_issuer() {
    let mut rig = rig("", "");
    let first = rig.issuer.token("first-RS256", "ada", json!({})).unwrap();
    rig.login("corp", &first, "shop").unwrap();
    // Whatever was fetched at the start, a while must pass before somebody with an unknown key brings a fetch.
    rig.issuer.control("add?kid=second&alg=ES256").unwrap();
    let second = rig.issuer.token("second", "ada", json!({})).unwrap();
    let mut last = None;
    until("the new key is known", || {
        // Failures of one address are slowed down, so there are to be few.
        if last.is_some_and(|last: Instant| last.elapsed() < Duration::from_secs(2)) {
            return rig.issuer.control("fetched").map(|_| false);
        }
        last = Some(Instant::now());
        // Under another name each time, since those of one name wait.
        Ok(rig.login(&format!("second-{}@corp", now()), &second, "shop").is_ok())
    })
    .unwrap();
    rig.issuer.control("down?down=yes").unwrap();
    rig.login("after@corp", &first, "shop").unwrap();
    rig.login("after@corp", &second, "shop").unwrap();
    // A reload keeps them; an issuer that is taken out takes its sessions with it.
    let mut open = rig.login("stays@corp", &second, "shop").unwrap();
    rig.gateway.daemon().unwrap().signal(Signal::HUP);
    rig.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    rig.login("reloaded@corp", &second, "shop").unwrap();
    assert!(open.query("select 1").unwrap().iter().all(|m| m.tag != b'E'));
    rig.gateway.rewrite(|settings| settings.more = String::new()).unwrap();
    rig.gateway.daemon().unwrap().signal(Signal::HUP);
    rig.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    let code = open.query("select 2").unwrap().iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    assert_eq!(code.as_deref(), Some("42501"));
    rig.refusal("gone@corp", &second, "shop");
}

#[test]
fn rules_give_roles_and_groups_decide() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("rules.toml"),
        "[[rule]]\nname = \"dba-only\"\nverdict = \"deny\"\neffects = [\"define\"]\nbecause = \"Ask a dba.\"\n\
         unless = { groups = [\"corp/dba\"] }\n\
         [[test]]\nname = \"a dba\"\nas = \"corp/ada\"\nkind = \"human\"\ngroups = [\"corp/dba\"]\neffects = [\"define\"]\n\
         verdict = \"allow\"\n\
         [[test]]\nname = \"not a dba\"\nas = \"corp/bob\"\nkind = \"human\"\neffects = [\"define\"]\nverdict = \"deny\"\n",
    )
    .unwrap();
    let policy = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    let rig = rig("groups_claim = \"groups\"", &policy);
    let runs = |sub: &str, groups: Value| {
        let token = rig.issuer.token("first-ES256", sub, json!({ "groups": groups })).unwrap();
        let mut raw = rig.login("corp", &token, "shop").unwrap();
        let seen = raw.query(&format!("create table of_{sub} (x int)")).unwrap();
        seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'M'))
    };
    assert_eq!(runs("ada", json!(["dba", "eng"])), None);
    assert!(runs("bob", json!(["eng"])).is_some_and(|why| why.contains("Ask a dba")));
    rig.gateway.cli(&["policy", "test"]).unwrap();
    let auditor = rig.issuer.token("first-EdDSA", "eve", json!({ "groups": ["auditors"] })).unwrap();
    let (status, body) = rig.bearer(&auditor);
    assert_eq!(status, 200, "{body}");
    let mut command = rig.gateway.remote(&auditor, &["sessions", "list"]).unwrap();
    let listed = command.output().unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    assert!(listed.status.success() && told.contains("corp/ada"), "{told}");
    let kill = rig.gateway.ask(
        "POST",
        "/v1/tokens/revoke",
        &format!("Authorization: Bearer {auditor}\r\nContent-Type: application/json\r\n"),
        "{\"token\":\"x\"}",
    );
    assert_eq!(kill.unwrap().0, 403, "an auditor changes nothing");
    let checked = rig.gateway.cli(&["check"]).unwrap();
    assert!(checked.contains("issuer corp: 4 keys"), "{checked}");
}

/// An issuer goes on vouching for whoever is contained here.
#[test]
fn who_is_contained_is_let_in_by_no_issuer() {
    let rig = rig("groups_claim = \"groups\"", "");
    let token = rig.issuer.token("first-ES256", "ada", json!({ "groups": ["auditors"] })).unwrap();
    let other = rig.issuer.token("first-ES256", "eve", json!({})).unwrap();
    let wrong = rig.refusal("ada@corp", "e30.e30.e30", "shop");
    let mut raw = rig.login("ada@corp", &token, "shop").unwrap();
    let mut bystander = rig.login("eve@corp", &other, "shop").unwrap();
    assert_eq!(rig.bearer(&token).0, 200);
    let contained = rig.gateway.cli(&["contain", "identity", "corp/ada"]).unwrap();
    assert!(contained.contains("1 session ended, 0 tokens revoked"), "{contained}");
    let last = raw.until_closed().unwrap();
    let code = last.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    assert_eq!(code.as_deref(), Some("RF004"), "{last:?}");
    assert_eq!(rig.refusal("ada@corp", &token, "shop"), wrong);
    assert_eq!(rig.bearer(&token).0, 401);
    bystander.query("select 1").unwrap();
    let record = rig.gateway.record().unwrap();
    let refused: Vec<&Value> = record.of_kind("identity.refused").map(|e| e.leaf("why")).collect();
    assert_eq!(refused, [&json!("issuer"), &json!("contained"), &json!("contained")]);
    rig.gateway.cli(&["contain", "lift", "corp/ada"]).unwrap();
    rig.login("ada@corp", &token, "shop").unwrap().query("select 1").unwrap();
}
