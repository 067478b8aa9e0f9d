//! The API over the network: the same output as on the gateway's machine, who may do what, what is recorded of it, TLS, limits
//! after failures, hostile requests.

#[path = "api/routes.rs"]
mod routes;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use firsthand_tests::certificates::Certificates;
use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::AGENT;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::{PATIENCE, until};
use firsthand_tests::raw::Raw;
use firsthand_tests::record::Record;
use rustix::process::Signal;

use routes::ROUTES;

const JSON: &str = "Content-Type: application/json\r\n";

/// A gateway without a database.
fn alone() -> Gateway {
    Gateway::start(Settings { targets: vec![Target::nowhere("shop")], ..Settings::default() }).unwrap()
}

fn outcome(mut command: Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn ask(gateway: &Gateway, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    gateway.ask(method, path, &format!("{JSON}{}", bearer(token)), body).unwrap()
}

fn auditor(gateway: &Gateway) -> String {
    gateway.role_token("reader", &["--kind", "human", "--role", "auditor"]).unwrap()
}

fn admin(gateway: &Gateway) -> String {
    gateway
        .role_token("ops", &["--kind", "human", "--on-behalf-of", "ada@example.com", "--role", "admin"])
        .unwrap()
}

/// Reasons of refusals, in order.
fn reasons(record: &Record) -> Vec<String> {
    let refused = record.0.iter().filter(|e| e.kind().ends_with(".refused"));
    refused.map(|e| e.leaf("why").as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn remote_output_is_what_is_printed_on_the_gateways_machine() {
    let server = Postgres::start(None).unwrap();
    let target = Target::of(&server.place("app", "shop"));
    let gateway = Gateway::start(Settings { targets: vec![target], ..Settings::default() }).unwrap();
    let secret = gateway.token(AGENT, &["shop"]).unwrap();
    let ops = admin(&gateway);
    let place = gateway.place(AGENT, &secret, "shop");
    let mut raw = Raw::login(&place, &[("application_name", "night \u{202e}watch")]).unwrap();
    raw.query("select g, 'row ' || g from generate_series(1, 40) g").unwrap();
    raw.query("select 1/0").unwrap();
    raw.query("create temporary table t (a int); insert into t values (1), (2)").unwrap();
    drop(raw);
    let mut open = Raw::login(&place, &[]).unwrap();
    open.query("select 'still open', E'\\u001b[2J'").unwrap();
    until("the first session has ended in the record", || {
        Ok(gateway.record()?.of_kind("session.closed").count() == 1)
    })
    .unwrap();
    let record = gateway.record().unwrap();
    let opened: Vec<_> = record.of_kind("session.opened").map(|e| e.session().to_owned()).collect();
    let (first, second) = (opened[0].as_str(), opened[1].as_str());
    reading_is_the_same(&gateway, &ops, first, second);
    acting_is_the_same(&gateway, &ops, second);
    open.until_closed().unwrap();
    recorded_with_its_chain(&gateway.record().unwrap());
    let found = |expression: &str| gateway.cli(&["log", "search", expression]).unwrap();
    for who in ["ops", "ada"] {
        assert_eq!(found(&format!("identity:{who} kind:admin.session_killed")).lines().count(), 1, "{who}");
    }
}

fn reading_is_the_same(gateway: &Gateway, ops: &str, first: &str, second: &str) {
    for args in [
        &["log", "search", "--", "-kind:record.read"][..],
        &["log", "search", "--json", "--", "-kind:record.read"],
        &["log", "search", "kind:command generate_series"],
        &["log", "tail", "-n", "5", "kind:command"],
        &["log", "tail", "-n", "3", "--json", "kind:session"],
        &["log", "tail", "-n", "0"],
        &["log", "search", "nothing-like-that -kind:record.read"],
        &["log", "search", "since:nonsense"],
        &["log", "search"],
        &["sessions", "list"],
        &["sessions", "list", "--json"],
        &["sessions", "list", "--identity", "ada", "-n", "1"],
        &["sessions", "list", "--target", "elsewhere"],
        &["sessions", "show", first],
        &["sessions", "show", first, "--json"],
        &["sessions", "show", first, "--rows", "2"],
        &["sessions", "show", second],
        &["sessions", "show", "zzz"],
        &["sessions", "show", &first[..4]],
        &["sessions", "replay", first, "--speed", "max"],
        &["sessions", "replay", second, "--speed", "1000", "--json"],
        &["sessions", "kill", "zzz"],
        &["token", "list"],
        &["token", "list", "--json"],
        &["token", "create", AGENT, "--target", "shop"],
        &["token", "create", "b t", "--target", "shop"],
        &["token", "create", "new", "--target", "shp"],
        &["token", "revoke", "nobody"],
    ] {
        let here = outcome(gateway.command(args).unwrap());
        let there = outcome(gateway.remote(ops, args).unwrap());
        assert_eq!(there, here, "{args:?}");
    }
    // All of it: what was read in between is there, too.
    let without = |printed: String| -> Vec<String> {
        printed.lines().filter(|l| !l.contains("record.read")).map(str::to_owned).collect()
    };
    for args in [&["log", "cat"][..], &["log", "cat", "--json"]] {
        let here = outcome(gateway.command(args).unwrap()).1;
        let there = outcome(gateway.remote(ops, args).unwrap()).1;
        assert!(there.lines().count() > here.lines().count());
        assert_eq!(without(there), without(here), "{args:?}");
    }
}

/// What is done has the same answer, and happens.
fn acting_is_the_same(gateway: &Gateway, ops: &str, second: &str) {
    let (code, said, _) = outcome(gateway.remote(ops, &["sessions", "kill", second]).unwrap());
    assert_eq!((code, said), (0, format!("session {second} was ended\n")));
    let (_, said, _) = outcome(
        gateway.remote(ops, &["token", "create", "second", "--kind", "human", "--role", "admin"]).unwrap(),
    );
    let ready = said.lines().find_map(|line| line.strip_prefix("FIRSTHAND_TOKEN=")).unwrap();
    let secret = said.lines().find_map(|line| line.strip_prefix("secret  ")).unwrap();
    assert_eq!(ready, format!("second:{secret}"), "it is as it is taken");
    let (code, said, talk) =
        outcome(gateway.remote(ops, &["token", "create", "made", "--on-behalf-of", "eve"]).unwrap());
    assert_eq!(code, 0, "{talk}");
    let made = said.lines().find_map(|line| line.strip_prefix("secret  ")).unwrap();
    let string = format!("postgresql://made:{made}@127.0.0.1:{}/shop", gateway.port());
    assert!(said.contains(&string), "{said}");
    Raw::login(&gateway.place("made", made, "shop"), &[]).unwrap();
    let (_, said, _) = outcome(gateway.remote(ops, &["token", "revoke", "made"]).unwrap());
    assert_eq!(said, "revoked made\n");
    assert!(Raw::login(&gateway.place("made", made, "shop"), &[]).is_err());
}

/// Every act over the network names the chain of the token, how each link is known, and the address.
fn recorded_with_its_chain(record: &Record) {
    let remote: Vec<_> = record.0.iter().filter(|e| !e.leaf("chain").is_null()).collect();
    for (kind, least) in [
        ("record.read", 20),
        ("admin.session_killed", 1),
        ("identity.token_created", 1),
        ("identity.token_revoked", 1),
    ] {
        let count = remote.iter().filter(|e| e.kind() == kind).count();
        assert!(count >= least, "{kind}: {count}");
    }
    for entry in &remote {
        let chain = entry.leaf("chain").as_array().unwrap();
        let known: Vec<_> =
            chain.iter().map(|l| (l["kind"].as_str().unwrap(), l["trust"].as_str().unwrap())).collect();
        assert_eq!(known, [("human", "bound"), ("human", "verified"), ("token", "verified")], "{}", entry.0);
        assert_eq!(entry.leaf("method"), "bearer");
        assert_eq!(
            (entry.payload("by").as_str(), &entry.leaf("by")["trust"]),
            (Some("ops"), &"verified".into())
        );
        assert!(
            entry.payload("address").as_str().is_some_and(|a| a.starts_with("127.0.0.1:")),
            "{}",
            entry.0
        );
        let names: Vec<_> =
            entry.payload("names").as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
        assert_eq!(&names[..2], ["ada@example.com", "ops"], "{}", entry.0);
    }
    let local = record.of_kind("record.read").find(|e| e.leaf("chain").is_null()).unwrap();
    assert!(
        local.payload("by").as_str().is_some_and(|by| by.starts_with("local:"))
            && local.payload("address").is_null()
    );
}

fn in_words(needs: &str) -> &str {
    match needs {
        "local" => "the admin socket",
        "tokens" => "the tokens in it",
        other => other,
    }
}

#[test]
fn each_route_takes_the_role_that_it_says() {
    // What is tried here is all that there is: the document's table is made from the gateway's own.
    let documented =
        include_str!("../../docs/api.md").lines().filter(|l| l.starts_with('|') && l.contains(" /v1/"));
    let documented: Vec<String> = documented.map(|l| l.split('|').take(3).collect::<String>()).collect();
    let tried = ROUTES.map(|(method, path, _, needs)| {
        let path = path.replace("019ab27c-6e11-7abc-8def-0123456789ab", "{id}");
        format!(" `{method} {path}`  {} ", in_words(needs))
    });
    assert_eq!(documented, tried);
    let gateway = alone();
    let (ops, reader) = (admin(&gateway), auditor(&gateway));
    let agent = gateway.role_token("bot", &["--target", "shop"]).unwrap();
    let revoked = gateway.role_token("gone", &["--role", "admin"]).unwrap();
    gateway.cli(&["token", "revoke", "gone"]).unwrap();
    // Those that take no role are tried in login.rs, and answers over channels in channels.rs.
    let of_roles =
        |needs: &str| !matches!(needs, "tokens" | "nothing" | "any token" | "the channel's signature");
    for (method, path, body, needs) in ROUTES.into_iter().filter(|route| of_roles(route.3)) {
        let path = &path.replace("{id}", "ap-7k3m9xq2vb");
        let status = |token: &str| ask(&gateway, token, method, path, body).0;
        let refused = gateway.ask(method, path, JSON, body).unwrap();
        assert_eq!(refused.0, 401, "{method} {path} without a token");
        assert!(refused.1.contains("no token was given") && refused.1.contains("\"hint\""), "{}", refused.1);
        assert_eq!(status(&revoked), 401, "{method} {path} with a revoked one");
        assert_eq!(status("bot:fh_wrong"), 401, "{method} {path} with a wrong one");
        assert_eq!(status(&agent), 403, "{method} {path} without a role");
        let read = needs.starts_with("auditor");
        assert_eq!(status(&reader) == 403, !read, "{method} {path} as an auditor");
        let status = status(&ops);
        assert_eq!(status == 403, needs == "local", "{method} {path} as an admin: {status}");
        assert!(matches!(status, 200 | 403 | 409), "{method} {path} as an admin: {status}");
        gateway.cli(&["token", "list"]).unwrap();
    }
    assert_eq!(ask(&gateway, &ops, "GET", "/v1/nothing", "").0, 404);
    assert_eq!(ask(&gateway, &ops, "DELETE", "/v1/tokens", "").0, 405);
    let record = gateway.record().unwrap();
    let why = reasons(&record);
    assert!(why.iter().any(|w| w == "role") && why.iter().any(|w| w == "proof"), "{why:?}");
    // Whose token it was, is known: both the one without a role, and the one without the right role.
    let refused: Vec<_> = record.of_kind("session.refused").filter(|e| e.leaf("why") == "role").collect();
    for who in ["bot", "reader"] {
        let entry = refused.iter().find(|e| e.payload("by") == who).unwrap();
        let token = entry.leaf("chain").as_array().unwrap().last().unwrap();
        assert_eq!((&token["kind"], &token["trust"]), (&"token".into(), &"verified".into()), "{}", entry.0);
        assert_eq!(
            (entry.leaf("by")["trust"].as_str(), entry.payload("login")),
            (Some("verified"), &who.into())
        );
    }
    let found = gateway.cli(&["log", "search", "identity:reader", "kind:session.refused"]).unwrap();
    assert!(found.contains("role: its role does not let it") && found.contains("as reader"), "{found}");
    let (code, said, talk) = outcome(gateway.remote(&agent, &["log", "cat"]).unwrap());
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(
        talk.contains("has no role")
            && talk.contains("hint: on the gateway's machine: firsthand token create"),
        "{talk}"
    );
    let (code, said, talk) = outcome(gateway.remote(&reader, &["token", "revoke", "ops"]).unwrap());
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(talk.contains("hint: it takes a token made with --role admin"), "{talk}");
    assert_eq!(ask(&gateway, &ops, "GET", "/v1/tokens", "").0, 200, "it was not revoked");
}

/// A sum by address would not tell who: so each identity has entries of its own, however many come from one address.
#[test]
fn each_refusal_for_a_missing_role_tells_who_was_refused() {
    let gateway = alone();
    let names: Vec<String> = (0..12).map(|n| format!("reader-{n}")).collect();
    for name in &names {
        let token = gateway.role_token(name, &["--kind", "human", "--role", "auditor"]).unwrap();
        for _ in 0..3 {
            let body = r#"{"of":"identity","name":"x"}"#;
            assert_eq!(ask(&gateway, &token, "POST", "/v1/contained", body).0, 403, "{name}");
        }
    }
    let record = gateway.record().unwrap();
    for name in &names {
        let of = |e: &&firsthand_tests::record::Entry| e.payload("by") == name.as_str();
        let own: Vec<_> = record.of_kind("session.refused").filter(of).collect();
        assert_eq!(own.len(), 3, "{name}");
        assert!(
            own.iter()
                .all(|e| e.leaf("why") == "role" && e.leaf("chain").as_array().is_some_and(|c| c.len() == 2))
        );
    }
    // One that goes on and on is told of in a sum, too, and takes no more entries than that.
    let token = gateway.role_token("endless", &["--kind", "human", "--role", "auditor"]).unwrap();
    for _ in 0..60 {
        assert_eq!(ask(&gateway, &token, "POST", "/v1/contained", "{}").0, 403);
    }
    let record = gateway.record().unwrap();
    let own = record.of_kind("session.refused").filter(|e| e.payload("by") == "endless").count();
    assert!((20..=40).contains(&own), "{own}");
}

#[test]
fn every_wrong_token_gets_the_same_answer() {
    let gateway = alone();
    let reader = auditor(&gateway);
    let short = gateway.role_token("short", &["--role", "auditor", "--ttl", "1s"]).unwrap();
    until("the token has ended", || Ok(ask(&gateway, &short, "GET", "/v1/sessions", "").0 == 401)).unwrap();
    let wrong = format!("reader:fh_{}", "A".repeat(43));
    let answers = [&wrong, "nobody:fh_x", &short, "reader", ":", "a:b:c"]
        .map(|token| ask(&gateway, token, "GET", "/v1/sessions", ""));
    assert!(answers.iter().all(|a| a.0 == 401 && *a == answers[0]), "{answers:?}");
    let twice = format!("{}{}", bearer("nobody:fh_x"), bearer(&reader));
    for odd in
        [twice, format!("Authorization: Basic {reader}\r\n"), format!("Authorization : Bearer {reader}\r\n")]
    {
        let (status, _) = gateway.ask("GET", "/v1/sessions", &odd, "").unwrap();
        assert!(matches!(status, 400 | 401), "{odd}: {status}");
    }
    assert_eq!(ask(&gateway, &reader, "GET", "/v1/sessions", "").0, 200);
    let record = gateway.record().unwrap();
    let why = reasons(&record);
    for reason in ["proof", "unknown", "expired", "protocol"] {
        assert!(why.iter().any(|w| w == reason), "{reason}: {why:?}");
    }
    let entry = record.of_kind("identity.refused").find(|e| e.leaf("why") == "proof").unwrap();
    assert_eq!(
        (entry.leaf("method").as_str(), entry.payload("login").as_str()),
        (Some("bearer"), Some("reader"))
    );
}

#[test]
fn failures_are_slowed_down_as_those_of_database_clients() {
    let gateway = alone();
    let reader = auditor(&gateway);
    let mut tries = 0;
    while !reasons(&gateway.record().unwrap()).iter().any(|why| why == "rate") {
        for _ in 0..5 {
            assert_eq!(ask(&gateway, "reader:fh_wrong", "GET", "/v1/sessions", "").0, 401);
            tries += 1;
        }
        assert!(tries < 200, "two hundred wrong tokens in a row, and never a limit");
    }
    let answered = ask(&gateway, "reader:fh_wrong", "GET", "/v1/sessions", "");
    assert_eq!(
        ask(&gateway, &reader, "GET", "/v1/sessions", ""),
        answered,
        "the right one waits, and is told the same"
    );
    until("the right token is let in again", || {
        Ok(ask(&gateway, &reader, "GET", "/v1/sessions", "").0 == 200)
    })
    .unwrap();
}

/// `log tail -f` from elsewhere, after its first line has come.
fn follower(gateway: &Gateway, token: &str) -> (std::process::Child, BufReader<std::process::ChildStdout>) {
    let mut command = gateway.remote(token, &["log", "tail", "-f", "-n", "1", "--json"]).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    (child, lines)
}

fn ended(mut child: std::process::Child, mut lines: impl Read) -> (Option<i32>, String, String) {
    let (mut rest, mut talk) = (String::new(), String::new());
    lines.read_to_string(&mut rest).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    (child.wait().unwrap().code(), rest, talk)
}

#[test]
fn who_follows_gets_nothing_more_once_the_token_is_revoked() {
    let mut gateway = alone();
    let reader = auditor(&gateway);
    let (child, mut lines) = follower(&gateway, &reader);
    gateway.cli(&["token", "create", "another", "--target", "shop"]).unwrap();
    until("what happens is followed", || {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        Ok(line.contains("identity.token_created"))
    })
    .unwrap();
    gateway.cli(&["token", "revoke", "reader"]).unwrap();
    let (code, rest, talk) = ended(child, lines);
    assert_eq!(code, Some(1), "{talk}");
    assert!(!rest.contains("identity.token_revoked"), "{rest}");
    assert!(talk.contains("does not accept this token any more") && talk.contains("hint"), "{talk}");
    // Who follows when the gateway stops does not hold it up.
    let ops = admin(&gateway);
    let (child, lines) = follower(&gateway, &ops);
    gateway.stop().unwrap();
    let (code, _, talk) = ended(child, lines);
    assert_eq!(code, Some(1), "{talk}");
}

/// A request for a token that has been let in, and is asked for its body.
fn begun(gateway: &Gateway, who: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.http_port())).unwrap();
    write!(
        stream,
        "POST /v1/tokens HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: {}\r\n{JSON}{}\r\n",
        body.len(),
        bearer(who)
    )
    .unwrap();
    let mut said = [0; 25];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[test]
fn a_token_that_is_revoked_while_its_request_comes_in_does_nothing_more() {
    let gateway = alone();
    let ops = admin(&gateway);
    let body = r#"{"name":"successor","kind":"agent","targets":["shop"]}"#;
    let mut stream = begun(&gateway, &ops, body);
    gateway.cli(&["token", "revoke", "ops"]).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
    let made = gateway.record().unwrap().of_kind("identity.token_created").count();
    assert_eq!(made, 1, "its own");
}

#[test]
fn what_is_recorded_is_done_also_when_who_asked_has_left() {
    let gateway = alone();
    let ops = admin(&gateway);
    for n in 0..20 {
        let body = format!(r#"{{"name":"made-{n}","kind":"agent","targets":["shop"]}}"#);
        let mut stream = begun(&gateway, &ops, &body);
        stream.write_all(body.as_bytes()).unwrap();
    }
    // Nobody waited for an answer. This one comes after all of them that have begun: acts on tokens take turns.
    let last = r#"{"name":"last","kind":"agent","targets":["shop"]}"#;
    assert_eq!(ask(&gateway, &ops, "POST", "/v1/tokens", last).0, 200);
    until("all that is recorded is done", || {
        let recorded = gateway.record()?.of_kind("identity.token_created").count();
        let made = gateway.cli(&["token", "list", "--json"])?.matches("\"name\":").count();
        Ok(recorded == made)
    })
    .unwrap();
}

#[test]
fn so_many_follow_at_a_time_and_who_leaves_makes_room() {
    let gateway = alone();
    let reader = auditor(&gateway);
    let mut all: Vec<_> = (0..16).map(|_| follower(&gateway, &reader)).collect();
    let more = r#"{"command":"log tail","lines":1,"follow":true}"#;
    let (status, said) = ask(&gateway, &reader, "POST", "/v1/record/entries", more);
    assert_eq!(status, 503, "{said}");
    assert_eq!(
        outcome(gateway.remote(&reader, &["log", "tail", "-n", "1"]).unwrap()).0,
        0,
        "others still read"
    );
    for (child, _) in &mut all {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (mut child, _lines) = follower(&gateway, &reader);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn over_tls(name: &str) -> (tempfile::TempDir, Certificates, Gateway) {
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::write(folder.path()).unwrap();
    let tls = Some((certificates.crt(name), certificates.key(name)));
    let gateway =
        Gateway::start(Settings { targets: vec![Target::nowhere("shop")], tls, ..Settings::default() });
    (folder, certificates, gateway.unwrap())
}

#[test]
fn a_certificate_is_verified_and_the_record_says_that_there_was_tls() {
    let (_folder, certificates, mut gateway) = over_tls("server");
    let reader = auditor(&gateway);
    let run = |gateway: &Gateway, host: &str, ca: Option<&str>| {
        let mut command = Command::new(firsthand_tests::gateway::binary().unwrap());
        command.args([
            "log",
            "tail",
            "-n",
            "1",
            "--json",
            "--gateway",
            &format!("https://{host}:{}", gateway.http_port()),
        ]);
        if let Some(ca) = ca {
            command.arg("--ca").arg(certificates.crt(ca));
        }
        outcome({
            command.env("FIRSTHAND_TOKEN", &reader).current_dir("/");
            command
        })
    };
    for host in ["localhost", "127.0.0.1"] {
        let (code, said, talk) = run(&gateway, host, Some("ca"));
        assert_eq!((code, said.lines().count()), (0, 1), "{host}: {talk}");
    }
    for ca in [Some("stranger"), None] {
        let (code, said, talk) = run(&gateway, "localhost", ca);
        assert_eq!((code, said.as_str()), (1, ""), "{ca:?}: {talk}");
        assert!(talk.contains("give --ca FILE"), "{talk}");
    }
    // Probes go on in clear text, on the same port; so does this machine's own token.
    assert_eq!(gateway.http("/healthz").unwrap(), (200, "ok\n".to_owned()));
    assert_eq!(ask(&gateway, &reader, "GET", "/v1/sessions", "").0, 200);
    let record = gateway.record().unwrap();
    let read: Vec<_> = record.of_kind("record.read").filter(|e| !e.leaf("chain").is_null()).collect();
    assert!(read[0].leaf("tls").as_str().is_some_and(|tls| tls.starts_with("TLSv1.")), "{}", read[0].0);
    assert!(read.last().unwrap().leaf("tls").is_null());
    // A reload takes another certificate into force: it is for another name, and so is refused.
    let elsewhere = (certificates.crt("elsewhere"), certificates.key("elsewhere"));
    gateway.rewrite(|settings| settings.tls = Some(elsewhere)).unwrap();
    gateway.daemon().unwrap().signal(Signal::HUP);
    gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    let (code, _, talk) = run(&gateway, "localhost", Some("ca"));
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("not valid for name"), "{talk}");
}

#[test]
fn what_is_wrong_with_tls_is_said() {
    let (_folder, certificates, gateway) = over_tls("own");
    let plain = alone();
    let run = |url: &str, ca: &str| {
        let mut command = Command::new(firsthand_tests::gateway::binary().unwrap());
        command.args(["token", "list", "--gateway", url, "--ca", ca]).env("FIRSTHAND_TOKEN", "ops:fh_x");
        outcome(command)
    };
    let (own, authority) = (certificates.crt("own"), certificates.crt("ca"));
    let (own, authority) = (own.display().to_string(), authority.display().to_string());
    let secure = format!("https://localhost:{}", gateway.http_port());
    let clear = format!("https://localhost:{}", plain.http_port());
    let database = format!("https://localhost:{}", gateway.port());
    for (url, ca, code, says, hint) in [
        (&secure, own.as_str(), 1, "an authority itself", "docs/api.md"),
        (&clear, &authority, 1, "does not speak TLS", "[listen] tls"),
        (&database, &own, 1, "it takes no HTTP there", "http listener"),
        (&secure, "/nowhere/ca.crt", 2, "/nowhere/ca.crt", "check the path"),
        (&secure, "/dev/null", 2, "--ca /dev/null", "PEM"),
        (&format!("{secure}/v1"), &authority, 2, "behind the host", "leave out the path"),
    ] {
        let (status, said, talk) = run(url, ca);
        assert_eq!((status, said.as_str()), (code, ""), "{url} {ca}: {talk}");
        let told = talk.split_once("hint: ").unwrap();
        assert!(told.0.contains(says) && told.1.contains(hint), "{talk}");
    }
}

/// An address of this machine that is not loopback, where it has one.
fn own_address() -> Option<SocketAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only says from where it would be.
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().filter(|a| !a.ip().is_loopback() && !a.ip().is_unspecified())
}

#[test]
fn a_token_in_clear_text_from_elsewhere_is_refused_and_recorded() {
    let mut gateway = alone();
    let reader = auditor(&gateway);
    gateway.stop().unwrap();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let port = gateway.http_port();
    std::fs::write(
        gateway.config(),
        config.replace(&format!("http = \"127.0.0.1:{port}\""), &format!("http = \"0.0.0.0:{port}\"")),
    )
    .unwrap();
    gateway.serve().unwrap();
    // A machine without any network has nobody elsewhere either; the rule itself has a test of its own.
    let Some(address) = own_address() else { return };
    let mut stream = TcpStream::connect((address.ip(), port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET /v1/tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", bearer(&reader))
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("clear text") && answer.contains("hint"),
        "{answer}"
    );
    let record = gateway.record().unwrap();
    let refused = record.of_kind("identity.refused").next().unwrap();
    assert_eq!(
        (refused.leaf("why").as_str(), refused.payload("login").as_str()),
        (Some("clear-text"), Some("reader"))
    );
    let mut remote = Command::new(firsthand_tests::gateway::binary().unwrap());
    remote.args(["token", "list", "--gateway", &format!("http://{}:{port}", address.ip())]);
    remote.env("FIRSTHAND_TOKEN", &reader).current_dir("/");
    let refused = outcome(remote);
    assert_eq!(refused.0, 2, "{}", refused.2);
}

#[test]
fn arguments_that_cannot_be_are_refused_before_anything_is_sent() {
    let gateway = alone();
    let reader = auditor(&gateway);
    let (name, secret) = reader.split_once(':').unwrap();
    let file = gateway.config().with_file_name("token");
    std::fs::write(&file, format!("{reader}\n")).unwrap();
    let path = file.display().to_string();
    let with_file = || {
        let mut command = gateway.remote("", &["token", "list", "--token-file", &path]).unwrap();
        command.env_remove("FIRSTHAND_TOKEN");
        outcome(command)
    };
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = with_file();
    assert_eq!(exposed.0, 2);
    assert!(exposed.2.contains("others than its owner") && exposed.2.contains("hint: "), "{}", exposed.2);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(with_file().0, 0);
    for token in ["", name, secret, "a b:c", "ops:"] {
        let (code, said, talk) = outcome(gateway.remote(token, &["token", "list"]).unwrap());
        assert_eq!((code, said.as_str()), (2, ""), "{token}: {talk}");
        assert!(!talk.contains("fh_"), "{talk}");
    }
    for args in [
        &["serve"][..],
        &["check"],
        &["policy", "test"],
        &["version"],
        &["log", "declare-gap", "--reason", "x"],
        &["token", "list", "--dir", "data"],
        &["token", "list", "--config", "x.toml"],
    ] {
        let (code, said, talk) = outcome(gateway.remote(&reader, args).unwrap());
        assert_eq!((code, said.as_str()), (2, ""), "{args:?}: {talk}");
        assert!(talk.contains("hint: "), "{talk}");
    }
}

fn hostile_heads_and_bodies(gateway: &Gateway, auth: &str) {
    let post = |headers: &str, body: &str| {
        gateway.exchange(
            format!("POST /v1/record/entries HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}{headers}\r\n{body}").as_bytes(),
        )
    };
    let huge = format!("X: {}\r\n", "a".repeat(1 << 20));
    assert_eq!(post(&huge, "").unwrap().0, 431);
    let many: String = (0..2000).map(|n| format!("X{n}: y\r\n")).collect();
    assert!(matches!(post(&many, "").unwrap().0, 400 | 431));
    let long = "x".repeat((1 << 20) + 1);
    assert_eq!(post(&format!("{JSON}Content-Length: {}\r\n", long.len()), &long).unwrap().0, 413);
    let endless = format!("{:x}\r\n{}\r\n", 1 << 20, "y".repeat(1 << 20)).repeat(3);
    assert_eq!(post(&format!("{JSON}Transfer-Encoding: chunked\r\n"), &endless).unwrap().0, 413);
    // Two lengths, or a length and chunks: what a proxy and the gateway would take for different requests.
    for smuggled in [
        "Content-Length: 2\r\nContent-Length: 40\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    ] {
        let (status, _) = post(&format!("{JSON}{smuggled}"), "{}").unwrap();
        assert_eq!(status, 400, "{smuggled}");
    }
    for (headers, body, status) in [
        ("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}", 415),
        ("Content-Type: application/json\r\nContent-Length: 1\r\n", "{", 400),
        ("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}", 400),
        (
            "Content-Type: application/json\r\nContent-Length: 33\r\n",
            r#"{"command":"log tail","linse":20}"#,
            400,
        ),
    ] {
        let (answered, said) = post(headers, body).unwrap();
        assert_eq!(answered, status, "{said}");
        assert!(said.contains("\"hint\""), "{said}");
    }
    let documented = include_str!("../../docs/api.md").lines().filter_map(|l| l.strip_prefix("| ")?.get(..3));
    let documented: Vec<u16> = documented.filter_map(|status| status.parse().ok()).collect();
    assert_eq!(documented, [400, 401, 403, 404, 405, 408, 409, 413, 415, 431, 500, 503]);
}

fn hostile_contents_and_paths(gateway: &Gateway, reader: &str) {
    let terms = format!("{:?}", vec!["x"; 100]);
    for body in [
        format!(r#"{{"command":"log search","expression":{terms}}}"#),
        format!(r#"{{"command":"log search","expression":["{}"]}}"#, "x".repeat(40_000)),
        r#"{"command":"log tail","lines":10000000}"#.to_owned(),
        r#"{"command":"log search","expression":["since:x"]}"#.to_owned(),
    ] {
        assert_eq!(ask(gateway, reader, "POST", "/v1/record/entries", &body).0, 400);
    }
    for path in [
        "/v1/../v1/tokens",
        "/v1/%2e%2e/healthz",
        "/v1/sessions/..%2f..%2fetc/kill",
        "//v1/tokens",
        "/v1/tokens/",
        "/v1/tokens;x",
        "/V1/tokens",
    ] {
        let (status, _) = ask(gateway, reader, "POST", path, "{}");
        assert!((403..=405).contains(&status), "{path}: {status}");
    }
}

#[test]
fn hostile_requests_are_bounded_and_hold_up_nobody() {
    let mut gateway = alone();
    let reader = auditor(&gateway);
    let auth = bearer(&reader);
    // A head and a body that never end: looked at last, when their time is over.
    let slow = [
        "GET /v1/tokens HTTP/1.1\r\nHost: x\r\nX: ".to_owned(),
        format!(
            "POST /v1/record/entries HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{JSON}{auth}Content-Length: 9\r\n\r\n{{"
        ),
    ];
    let slow = slow.map(|begun| {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.http_port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        stream
    });
    hostile_heads_and_bodies(&gateway, &auth);
    hostile_contents_and_paths(&gateway, &reader);
    // More connections that say nothing than there may be of one address: the oldest make room for who speaks.
    let silent: Vec<_> =
        (0..80).filter_map(|_| TcpStream::connect(("127.0.0.1", gateway.http_port())).ok()).collect();
    assert_eq!(gateway.http("/healthz").unwrap().0, 200);
    drop(silent);
    until("there is room again", || Ok(gateway.http("/healthz").is_ok_and(|(status, _)| status == 200)))
        .unwrap();
    assert_eq!(ask(&gateway, &reader, "GET", "/v1/sessions", "").0, 200);
    for (mut stream, status) in slow.into_iter().zip(["", "HTTP/1.1 408 "]) {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(status) && !answer.contains(" 200 "), "{answer}");
    }
    assert!(gateway.daemon().unwrap().resident_kib().unwrap() < 400 << 10);
    gateway.stop().unwrap();
}

/// A server that answers one request with this, and hangs up.
fn impostor(answer: &'static str) -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (port, served)
}

#[test]
fn what_breaks_off_is_not_taken_for_all_and_nobody_elsewhere_drives_the_screen() {
    let stream = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    for (answer, code, says) in [
        ("", 1, "broke off"),
        ("nonsense\r\n\r\n", 1, "broke off"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"note\":\"x\"}\n", 1, "broke off"),
        (stream, 1, "the last line is missing"),
        ("HTTP/1.1 200 OK\r\n\r\n<html>\n", 1, "none of a gateway's API"),
        ("HTTP/1.1 200 OK\r\n\r\n{\"entry\":{\"n\":1},\"end\":{\"exit\":0}}\n", 0, ""),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n<html>", 1, "none of a gateway's API"),
        ("HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\n\r\n", 1, "none of a gateway's API"),
        ("HTTP/1.1 409 No\r\n\r\n{\"error\":\"a\\u001b[2Jb\",\"hint\":\"\u{202e}c\"}", 1, "a\\x1b[2Jb"),
        (
            "HTTP/1.1 200 OK\r\n\r\n{\"error\":{\"errors\":[\"a\\u001b[2Jb\"],\"hint\":\"h\",\"exit\":2}}\n",
            2,
            "a\\x1b[2Jb",
        ),
    ] {
        let (port, served) = impostor(answer);
        let mut command = Command::new(firsthand_tests::gateway::binary().unwrap());
        command.args(["log", "cat", "--gateway", &format!("http://localhost:{port}")]);
        command.env("FIRSTHAND_TOKEN", "ops:fh_shown").current_dir("/");
        let (status, _, talk) = outcome(command);
        assert_eq!(status, code, "{answer}: {talk}");
        assert!(
            talk.contains(says) && !talk.contains("fh_shown") && !talk.contains('\u{1b}'),
            "{answer}: {talk}"
        );
        let asked = served.join().unwrap();
        assert_eq!(asked.matches("authorization: Bearer ops:fh_shown").count(), 1, "{asked}");
    }
}
