//! Just-in-time access with a real PostgreSQL: asked for by SQL, over the API and the command line, approved, used, and over: by
//! its time, by its number of commands, by being taken back, also in the middle of what runs.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::{Postgres, program};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw, extended};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Sessions lose a grant within this time (issue 4), measured on the client's side.
const AT_ONCE: Duration = Duration::from_secs(1);

const SEED: &str = "create table orders (id int primary key, note text); insert into orders values (1, 'one'), (2, 'two');
    create table seldom (id int primary key); grant all on seldom to app;
    create table people (id int primary key); alter table orders owner to app; alter table people owner to app";

/// Everything is allowed under a grant, and nothing without one but what touches no data.
const RULES: &str = "[[group]]\nname = \"dba\"\nmembers = [\"local:*\", \"grace@example.com\", \"Ada@example.com\"]\n
[[rule]]\nname = \"granted\"\nbecause = \"A grant is in force.\"\nverdict = \"allow\"\ngrants = [\"shop\"]\n\
effects = [\"read\", \"write\", \"define\", \"transaction\", \"session\", \"execute\", \"lock\", \"unknown\"]\n
[[rule]]\nname = \"asked\"\nbecause = \"A person looks at it.\"\nverdict = \"hold\"\neffects = [\"write\"]\ntables = [\"public.seldom\"]\n\
approve = { group = \"dba\", wait = \"60s\" }\n
[[rule]]\nname = \"quiet\"\nbecause = \"It touches nothing.\"\nverdict = \"allow\"\neffects = [\"transaction\", \"session\"]\n";

struct Rig {
    server: Postgres,
    gateway: Gateway,
    secret: String,
    _rules: TempDir,
}

/// `more`: of the target; its grants are for up to an hour, unless it says so.
fn rig(more: &str) -> Rig {
    rig_with(RULES, more)
}

fn rig_with(written: &str, more: &str) -> Rig {
    let server = Postgres::start(None).unwrap();
    server.sql("shop", SEED).unwrap();
    let rules = tempfile::tempdir().unwrap();
    std::fs::write(rules.path().join("rules.toml"), written).unwrap();
    let grants =
        "grants = { approvers = \"dba\", longest = \"1h\", effects = [\"read\", \"write\", \"unknown\"] }\n";
    let target = Target::of(&server.place("app", "shop")).more(&format!("{grants}{more}"));
    let more = format!("[policy]\ndir = {:?}\n", rules.path().display().to_string());
    let gateway = Gateway::start(Settings { targets: vec![target], more, ..Settings::default() }).unwrap();
    let secret = gateway.token("bot", &["shop"]).unwrap();
    Rig { server, gateway, secret, _rules: rules }
}

impl Rig {
    fn place(&self) -> Place {
        self.gateway.place("bot", &self.secret, "shop")
    }

    fn login(&self) -> Raw {
        Raw::login(&self.place(), &[]).unwrap()
    }

    fn token(&self) -> String {
        format!("bot:{}", self.secret)
    }

    fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.gateway.ask(method, path, &headers, &body).unwrap();
        (status, serde_json::from_str(&answer).unwrap_or_default())
    }

    /// Asks over the API, and gives the id.
    fn ask(&self, body: &Value) -> String {
        let (status, answer) = self.api(&self.token(), "POST", "/v1/grants", body);
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    fn approve(&self, id: &str) {
        let said = self.gateway.cli(&["grants", "approve", id]).unwrap();
        assert!(said.contains("it is in force"), "{said}");
    }

    /// A grant in force.
    fn granted(&self, lasts: &str, effects: &[&str], more: &Value) -> String {
        let mut body = json!({ "target": "shop", "for": lasts, "effects": effects, "reason": "ticket 7" });
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let id = self.ask(&body);
        self.approve(&id);
        self.in_force(&id);
        id
    }

    /// Waits until commands are let through: the gateway hears of what people say in a moment.
    fn in_force(&self, id: &str) {
        let mut raw = self.login();
        until("it is in force", || {
            Ok(rows(&raw.query("select firsthand.access_status()")?).contains(&format!("{id}|in force")))
        })
        .unwrap();
    }

    fn kinds(&self, id: &str) -> Vec<String> {
        let record = self.gateway.record().unwrap();
        let of = record.0.iter().filter(|e| e.leaf("grant") == &json!(id) && e.kind().starts_with("grant."));
        of.map(|e| e.kind().to_owned()).collect()
    }

    fn count(&self, what: &str) -> String {
        self.server.sql("shop", what).unwrap().trim().to_owned()
    }
}

fn code(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default()
}

fn message(seen: &[Message]) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'M')).unwrap_or_default()
}

/// The values of rows, as `a|b|c`.
fn rows(seen: &[Message]) -> String {
    let row = |m: &Message| {
        let (mut values, mut rest) = (Vec::new(), m.body.get(2..).unwrap_or_default());
        while let Some((length, behind)) = rest.split_at_checked(4) {
            let length = usize::try_from(i32::from_be_bytes(length.try_into().unwrap())).unwrap_or(0);
            let (value, behind) = behind.split_at(length);
            values.push(String::from_utf8_lossy(value).into_owned());
            rest = behind;
        }
        values.join("|")
    };
    seen.iter().filter(|m| m.tag == b'D').map(row).collect::<Vec<_>>().join("\n")
}

fn say(raw: &mut Raw, bytes: &[u8]) {
    raw.stream.write_all(bytes).unwrap();
    raw.stream.flush().unwrap();
}

fn status(seen: &[Message]) -> char {
    seen.iter().rfind(|m| m.tag == b'Z').and_then(|m| m.body.first()).map_or('?', |b| char::from(*b))
}

/// Exit code, stdout and stderr.
fn outcome(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn id_in(text: &str) -> String {
    let at = text.find("gr-").unwrap_or_else(|| panic!("no grant in: {text}"));
    text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

/// An agent behind psql finds its way from the refusal alone: asks as it is told, is approved, works, and the record tells it.
#[test]
fn an_agent_asks_by_sql_is_approved_works_and_loses_it() {
    let rig = rig("access = \"grant\"\n");
    let psql = |sql: &str| {
        let mut command = Command::new(program("psql").unwrap());
        command.args(["-X", "-A", "-t", "-c", sql]).envs(rig.place().environment());
        outcome(command)
    };
    let (_, _, refused) = psql("select note from orders");
    assert!(
        refused.contains("needs a grant") && refused.contains("SELECT firsthand.request_access("),
        "{refused}"
    );
    let request = "SELECT firsthand.request_access('2m', 'read,write', 'late orders, ticket 7', tables => 'public.orders')";
    let (code, told, said) = psql(request);
    assert_eq!(code, Some(0), "{said}");
    let id = id_in(&told);
    assert!(told.contains("|asked|") && told.contains(&format!("firsthand grants approve {id}")), "{told}");
    // Asked again, it is the same request.
    assert_eq!(id_in(&psql(request).1), id);
    assert!(psql("select note from orders").2.contains("needs a grant"), "nobody has approved it");
    let shown = rig.gateway.cli(&["grants", "show", &id]).unwrap();
    for part in ["ada@example.com", "bot", "shop", "read, write", "public.orders", "2m", "ticket 7", "dba"] {
        assert!(shown.contains(part), "{part} is not in:\n{shown}");
    }
    rig.approve(&id);
    until("it is in force", || Ok(psql("select firsthand.access_status()").1.contains("|in force|")))
        .unwrap();
    assert_eq!(psql("select note from orders where id = 1").1.trim(), "one");
    assert_eq!(psql("update orders set note = 'done' where id = 1").0, Some(0));
    // What it does not name is not covered by it.
    assert!(psql("select id from people").2.contains("needs a grant"));
    assert!(psql("create table more (id int)").2.contains("needs a grant"));
    assert_eq!(rig.count("select note from orders where id = 1"), "done");
    rig.gateway.cli(&["grants", "revoke", &id, "--reason", "done"]).unwrap();
    until("it is over", || Ok(psql("select note from orders").2.contains("needs a grant"))).unwrap();
    assert_eq!(rig.kinds(&id), ["grant.asked", "grant.given", "grant.revoked"]);
    let record = rig.gateway.record().unwrap();
    let asked = record.of_kind("grant.asked").next().unwrap();
    assert_eq!(
        (asked.payload("reason"), asked.leaf("tables")),
        (&json!("late orders, ticket 7"), &json!(["public.orders"]))
    );
    let update = record.intents("update orders").next().unwrap();
    assert_eq!((update.leaf("grant"), update.leaf("rule")), (&json!(id), &json!("granted")));
    let call = record.intents("request_access").next().unwrap();
    assert_eq!((call.leaf("rule"), call.leaf("verdict")), (&json!("firsthand.access"), &json!("allow")));
    assert!(record.outcome(call).is_some() && record.unbalanced().is_empty());
    let opened = record.of_kind("session.opened").filter(|e| e.leaf("grant") == &json!(id));
    assert!(opened.count() >= 2, "sessions name the grant that was in force when they began");
    // The target has seen nothing of the call, but for its answer.
    let found = rig.gateway.cli(&["log", "search", &format!("grant:{id}")]).unwrap();
    for part in ["asked", "given", "revoked", "update orders"] {
        assert!(found.contains(part), "{part} is not in:\n{found}");
    }
}

/// The answer of the gateway has its place in every protocol and state of a transaction.
#[test]
fn calls_are_answered_in_their_place() {
    let rig = rig("access = \"grant\"\n");
    let mut raw = rig.login();
    let seen = raw.query("select * from firsthand.access_status()").unwrap();
    assert_eq!((status(&seen), rows(&seen).starts_with("|none||No access")), ('I', true), "{seen:?}");
    // In a transaction block, in the extended protocol, described, and with a parameter.
    assert_eq!(status(&raw.query("begin").unwrap()), 'T');
    say(&mut raw, &extended("select firsthand.request_access('5m', 'read', 'why')", false, true));
    let seen = raw.until(b'Z').unwrap();
    let tags: String = seen.iter().map(|m| char::from(m.tag)).collect();
    assert_eq!((tags.as_str(), status(&seen)), ("12TDCZ", 'T'), "{seen:?}");
    let first = id_in(&rows(&seen));
    for (tag, body) in [
        (b'P', b"s\0select firsthand.request_access($2, 'read', $1)\0\0\0".as_slice()),
        (b'D', b"Ss\0"),
        (b'B', b"\0s\0\0\0\0\x02\0\0\0\x03why\0\0\0\x026m\0\0"),
        (b'E', b"\0\0\0\0\x01"),
        (b'E', b"\0\0\0\0\0"),
        (b'S', b""),
    ] {
        raw.send(tag, body).unwrap();
    }
    let seen = raw.until(b'Z').unwrap();
    let tags: String = seen.iter().map(|m| char::from(m.tag)).collect();
    assert_eq!((tags.as_str(), status(&seen)), ("1tT2DCDCZ", 'T'), "{seen:?}");
    assert_ne!(id_in(&rows(&seen)), first, "it is another request");
    // Behind a command that fails in the same pipeline it is skipped, as everything is.
    for (tag, body) in
        [(b'P', b"\0select 1/0\0\0\0".as_slice()), (b'B', b"\0\0\0\0\0\0\0\0"), (b'E', b"\0\0\0\0\0")]
    {
        raw.send(tag, body).unwrap();
    }
    say(&mut raw, &extended("select firsthand.access_status()", false, true));
    let seen = raw.until(b'Z').unwrap();
    assert_eq!((status(&seen), rows(&seen).as_str()), ('E', ""), "{seen:?}");
    // In a transaction that has failed, the target says so, and nothing is asked.
    let before = rig.gateway.record().unwrap().of_kind("grant.asked").count();
    let seen = raw.query("select firsthand.request_access('7m', 'read', 'why')").unwrap();
    assert_eq!((code(&seen).as_str(), status(&seen)), ("25P02", 'E'), "{seen:?}");
    assert_eq!(rig.gateway.record().unwrap().of_kind("grant.asked").count(), before);
    assert_eq!(status(&raw.query("rollback").unwrap()), 'I');
    // What cannot be given is an error, and the connection lives on.
    for (call, part) in [
        ("'2h', 'read', 'x'", "1h at the longest"),
        ("'1m', 'drop', 'x'", "is no effect"),
        ("'1m', 'define', 'x'", "is not given here"),
        ("'1m', 'read', ''", "say why"),
        ("'1m', 'read', 'x', 'orders'", "is no table"),
        ("soon => '1m'", "there is no argument"),
    ] {
        let seen = raw.query(&format!("select firsthand.request_access({call})")).unwrap();
        assert!(message(&seen).contains(part) && status(&seen) == 'I', "{call}: {seen:?}");
    }
    // Without a grant settings may be set, and nobody listens for what comes later.
    assert_eq!(code(&raw.query("set statement_timeout = 0").unwrap()), "");
    assert!(message(&raw.query("listen news").unwrap()).contains("nobody listens"));
    let record = rig.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
    assert_eq!(record.of_kind("grant.asked").count(), before);
}

/// A statement that is still running at the end is cancelled there, and the next one is refused.
#[test]
fn a_grant_is_not_used_past_its_end_by_one_long_statement() {
    let rig = rig("access = \"grant\"\n");
    let id = rig.granted("3s", &["read", "unknown"], &Value::Null);
    let mut raw = rig.login();
    let begun = Instant::now();
    let seen = raw.query("select pg_sleep(30), count(*) from orders").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3) + AT_ONCE, "it took {:?}", begun.elapsed());
    assert_eq!((code(&seen).as_str(), status(&seen)), ("42501", 'I'), "{seen:?}");
    assert!(message(&seen).contains(&id) && message(&seen).contains("has ended"), "{seen:?}");
    let seen = raw.query("select count(*) from orders").unwrap();
    assert!(message(&seen).contains("needs a grant"), "{seen:?}");
    until("its end is recorded", || Ok(rig.kinds(&id).last().is_some_and(|kind| kind == "grant.ended")))
        .unwrap();
    let record = rig.gateway.record().unwrap();
    let noted = record.of_kind("session.noted").any(|e| e.leaf("what") == &json!("grant"));
    assert!(noted && record.unbalanced().is_empty());
}

/// Taken back in the middle of a transaction: what runs is cancelled, what waits for its client fails, and nothing of it commits.
#[test]
fn a_revoked_grant_ends_what_runs_and_what_is_open_within_a_second() {
    let rig = rig("access = \"grant\"\n");
    for way in ["runs", "waits", "extended"] {
        let id = rig.granted("10m", &["read", "write", "unknown"], &json!({ "reason": way }));
        let mut raw = rig.login();
        let committed = rig.count("select count(*) from orders");
        if way == "extended" {
            // An implicit transaction that only a Sync would commit.
            let whole = extended("insert into orders values (77, 'x')", false, false);
            say(&mut raw, &whole[..whole.len() - 5]);
            raw.send(b'H', b"").unwrap();
            raw.until(b'C').unwrap();
        } else {
            assert_eq!(status(&raw.query("begin").unwrap()), 'T');
            assert_eq!(code(&raw.query("insert into orders values (77, 'x')").unwrap()), "");
        }
        if way == "runs" {
            raw.send(b'Q', b"select pg_sleep(30)\0").unwrap();
            let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active' and pid <> pg_backend_pid()";
            until("it runs", || Ok(rig.count(running) == "1")).unwrap();
        }
        let since = Instant::now();
        rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
        match way {
            "runs" => {
                let seen = raw.until(b'Z').unwrap();
                assert_eq!((code(&seen).as_str(), status(&seen)), ("42501", 'E'), "{seen:?}");
                assert!(message(&seen).contains("was revoked"), "{seen:?}");
            }
            "waits" => {
                let open =
                    "select count(*) from pg_stat_activity where state = 'idle in transaction (aborted)'";
                until("it has failed", || Ok(rig.count(open) == "1")).unwrap();
            }
            _ => {
                let seen = raw.until(b'E').unwrap();
                assert!(message(&seen).contains("was revoked"), "{seen:?}");
            }
        }
        assert!(
            since.elapsed() < AT_ONCE + Duration::from_millis(500),
            "{way}: it took {:?}",
            since.elapsed()
        );
        if way == "extended" {
            raw.send(b'S', b"").unwrap();
            assert_eq!(status(&raw.until(b'Z').unwrap()), 'I');
        } else {
            let seen = raw.query("select count(*) from orders").unwrap();
            assert!(message(&seen).contains("was revoked") && status(&seen) == 'E', "{way}: {seen:?}");
            let seen = raw.query("commit").unwrap();
            assert!(seen.iter().any(|m| m.tag == b'C' && m.body == b"ROLLBACK\0"), "{way}: {seen:?}");
        }
        assert_eq!(rig.count("select count(*) from orders"), committed, "{way}");
        // The session lives on.
        let seen = raw.query("select count(*) from orders").unwrap();
        assert!(message(&seen).contains("needs a grant") && status(&seen) == 'I', "{way}: {seen:?}");
    }
    assert!(rig.gateway.record().unwrap().unbalanced().is_empty());
}

/// What was allowed in front of a command that waits for a person goes together with it: by then its grant may be over.
#[test]
fn nothing_runs_past_its_grant_because_what_is_behind_it_waited() {
    let rig = rig("access = \"grant\"\n");
    let id = rig.granted("10m", &["read", "write"], &json!({}));
    let mut raw = rig.login();
    let batch: Vec<u8> = [
        "select note from orders",
        "insert into orders values (88, 'late')",
        "insert into seldom values (1)",
    ]
    .iter()
    .flat_map(|sql| {
        let whole = extended(sql, false, false);
        whole[..whole.len() - 5].to_vec()
    })
    .collect();
    say(&mut raw, &batch);
    raw.send(b'S', b"").unwrap();
    let listed = || rig.gateway.cli(&["approvals", "list", "--json"]);
    until("it is asked for", || Ok(listed()?.contains("insert into seldom"))).unwrap();
    let asked: Value = serde_json::from_str(listed().unwrap().lines().next().unwrap()).unwrap();
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    until("its end is known", || {
        Ok(rows(&rig.login().query("select firsthand.access_status()")?).contains("revoked"))
    })
    .unwrap();
    rig.gateway.cli(&["approvals", "approve", asked["id"].as_str().unwrap()]).unwrap();
    let seen = raw.until(b'Z').unwrap();
    assert_eq!((code(&seen).as_str(), rows(&seen).as_str()), ("42501", ""), "{seen:?}");
    assert!(message(&seen).contains("was revoked"), "{seen:?}");
    assert_eq!(rig.count("select count(*) from orders where id = 88"), "0");
    let record = rig.gateway.record().unwrap();
    let overtaken = record.of_kind("command.abandoned").filter(|e| e.leaf("why") == "overtaken").count();
    assert_eq!(overtaken, 2, "{:?}", record.texts());
}

#[test]
fn so_many_commands_and_then_no_more_whatever_the_restart() {
    let mut rig = rig("access = \"grant\"\n");
    let id = rig.granted("10m", &["read"], &json!({ "commands": 3 }));
    let mut raw = rig.login();
    for _ in 0..2 {
        assert_eq!(code(&raw.query("select note from orders where id = 1").unwrap()), "");
    }
    rig.gateway.stop().unwrap();
    rig.gateway.serve().unwrap();
    rig.in_force(&id);
    let mut raw = rig.login();
    // What touches nothing does not count.
    assert_eq!(code(&raw.query("begin").unwrap()), "");
    assert_eq!(code(&raw.query("select note from orders where id = 1").unwrap()), "", "the third");
    let seen = raw.query("select note from orders where id = 1").unwrap();
    assert!(message(&seen).contains("needs a grant"), "{seen:?}");
    assert_eq!(code(&raw.query("rollback").unwrap()), "");
    let seen = raw.query("select firsthand.access_status()").unwrap();
    assert!(rows(&seen).contains("|used up|"), "{seen:?}");
    assert_eq!(rig.kinds(&id), ["grant.asked", "grant.given", "grant.used_up"]);
    assert_eq!(rig.gateway.record().unwrap().of_kind("admin.approval_differs").count(), 0);
}

/// Whoever asks cannot be who approves, by whatever token; and who is none of them sees and does nothing.
#[test]
fn nobody_approves_their_own_grant_by_another_token() {
    let rig = rig("");
    let person = ["--kind", "human", "--role", "approver", "--on-behalf-of"];
    let token =
        |name: &str, who: &str| rig.gateway.role_token(name, &[&person[..], &[who]].concat()).unwrap();
    let (ada, grace, eve) = (
        token("ada", "Ada@example.com"),
        token("grace", "grace@example.com"),
        token("eve", "eve@example.com"),
    );
    let other = rig.gateway.role_token("other", &["--kind", "agent", "--target", "shop"]).unwrap();
    let body = json!({ "target": "shop", "for": "10m", "effects": ["read"], "reason": "x" });
    let id = rig.ask(&body);
    let path = |verb: &str| format!("/v1/grants/{id}/{verb}");
    for (who, part) in [(&ada, "nobody approves their own"), (&eve, "in none of the groups")] {
        let (status, answer) = rig.api(who, "POST", &path("approve"), &json!({}));
        assert!(status == 409 && answer["error"].as_str().unwrap().contains(part), "{status} {answer}");
    }
    let (status, answer) = rig.api(&rig.token(), "POST", &path("approve"), &json!({}));
    assert_eq!(status, 403, "{answer}");
    // Somebody else's are not there.
    for (method, path, body) in
        [("GET", format!("/v1/grants/{id}"), Value::Null), ("POST", path("revoke"), json!({}))]
    {
        let (status, answer) = rig.api(&other, method, &path, &body);
        assert!(
            status == 409 && answer["error"].as_str().unwrap().contains("there is no grant"),
            "{status} {answer}"
        );
    }
    assert_eq!(rig.api(&other, "GET", "/v1/grants", &Value::Null).1["grants"], json!([]));
    assert_eq!(rig.api(&rig.token(), "GET", "/v1/grants", &Value::Null).1["grants"][0]["id"], json!(id));
    // It is no approval of a command.
    let (status, _) = rig.api(&grace, "POST", &format!("/v1/approvals/{id}/approve"), &json!({}));
    assert_eq!(status, 409);
    let (status, answer) = rig.api(&grace, "POST", &path("approve"), &json!({ "reason": "ok" }));
    assert_eq!((status, &answer["state"]), (200, &json!("given")), "{answer}");
    rig.in_force(&id);
    // Another agent has nothing of it, and its own gives it up.
    let (name, secret) = other.split_once(':').unwrap();
    let mut raw = Raw::login(&rig.gateway.place(name, secret, "shop"), &[]).unwrap();
    assert_eq!(code(&raw.query("select note from orders").unwrap()), "42501");
    let mut own = rig.login();
    assert_eq!(code(&own.query("select note from orders").unwrap()), "");
    assert_eq!(rig.api(&rig.token(), "POST", &path("revoke"), &json!({})).0, 200);
    until("it is over", || Ok(code(&own.query("select note from orders")?) == "42501")).unwrap();
    // From the command line elsewhere; refused, it says why.
    let asked = outcome(
        rig.gateway
            .remote(
                &rig.token(),
                &["grants", "request", "shop", "--for", "5m", "--effects", "read", "--reason", "again"],
            )
            .unwrap(),
    );
    assert_eq!(asked.0, Some(0), "{asked:?}");
    let id = id_in(&asked.1);
    rig.gateway.cli(&["grants", "deny", &id, "--reason", "not on a Friday"]).unwrap();
    let seen = own.query("select firsthand.access_status()").unwrap();
    assert!(rows(&seen).contains("not on a Friday"), "{seen:?}");
    let (code, _, said) = outcome(
        rig.gateway
            .command(&["grants", "request", "shop", "--for", "5m", "--effects", "read", "--reason", "x"])
            .unwrap(),
    );
    assert!(code == Some(2) && said.contains("as the identity itself"), "{said}");
    assert_eq!(rig.kinds(&id), ["grant.asked", "grant.refused"]);
}

/// A grant outlasts a restart; what is written into the state past the gateway does not become one.
#[test]
fn grants_outlast_a_restart_and_the_states_word_alone_is_worth_nothing() {
    let mut rig = rig("access = \"grant\"\n");
    let id = rig.granted("10m", &["read"], &Value::Null);
    let waiting =
        rig.ask(&json!({ "target": "shop", "for": "10m", "effects": ["read", "write"], "reason": "more" }));
    let over = rig.granted("10m", &["read"], &json!({ "reason": "for a moment" }));
    rig.gateway.cli(&["grants", "revoke", &over]).unwrap();
    rig.gateway.stop().unwrap();
    let forge = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                 db.execute(\"update approvals set stage = 'given', ends = ends + 3600000000, ended = 0 where id in (?, ?)\", sys.argv[2:4]); db.commit()";
    let mut forging = Command::new("python3");
    forging.args(["-c", forge]).arg(rig.gateway.data_dir().join("state.db")).args([&waiting, &over]);
    assert!(forging.status().unwrap().success());
    rig.gateway.serve().unwrap();
    rig.in_force(&id);
    let mut raw = rig.login();
    assert_eq!(code(&raw.query("select note from orders").unwrap()), "");
    let seen = raw.query("update orders set note = 'forged'").unwrap();
    assert!(message(&seen).contains("needs a grant"), "{seen:?}");
    let record = rig.gateway.record().unwrap();
    let mut found: Vec<(String, String)> = record
        .of_kind("admin.approval_differs")
        .map(|e| {
            (
                e.leaf("facts")["approval"].as_str().unwrap().to_owned(),
                e.leaf("facts")["found"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    found.sort();
    let mut expected = vec![(waiting, "not-given-in-record".to_owned()), (over, "over-in-record".to_owned())];
    expected.sort();
    assert_eq!(found, expected);
}

/// Taken back, it stays so while the gateway runs, whoever writes the state; and nobody is told that it is in force.
#[test]
fn a_revoked_grant_put_back_by_hand_is_found_and_nobody_is_told_to_go_on() {
    let rig = rig("access = \"grant\"\n");
    let kept = rig.granted("10m", &["read"], &Value::Null);
    let id = rig.granted("10m", &["read", "write"], &Value::Null);
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    let forge = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                 db.execute(\"update approvals set stage = 'given', ended = 0 where id = ?\", sys.argv[2:]); db.commit()";
    let mut forging = Command::new("python3");
    forging.args(["-c", forge]).arg(rig.gateway.data_dir().join("state.db")).arg(&id);
    assert!(forging.status().unwrap().success());
    let mut raw = rig.login();
    let status = rows(&raw.query("select firsthand.access_status()").unwrap());
    assert!(
        status.contains(&format!("{id}|revoked")) && status.contains(&format!("{kept}|in force")),
        "{status}"
    );
    let (_, shown) = rig.api(&rig.token(), "GET", &format!("/v1/grants/{id}"), &Value::Null);
    assert_eq!(shown["state"], "revoked", "{shown}");
    until("it is found", || {
        let record = rig.gateway.record()?;
        let mut found = record.of_kind("admin.approval_differs").map(|e| e.leaf("facts").clone());
        Ok(found.any(|facts| facts["approval"] == id.as_str() && facts["found"] == "over-in-record"))
    })
    .unwrap();
    assert_eq!(code(&raw.query("update orders set note = 'forged'").unwrap()), "42501");
}

/// A grant is of the agent that asked, and of the person: not of all that acts for them.
#[test]
fn another_agent_of_the_same_person_has_nothing_of_a_grant() {
    let rig = rig("");
    let token = |name: &str, more: &[&str]| {
        let common = ["--on-behalf-of", "mia@example.com"];
        rig.gateway.role_token(name, &[&common[..], more].concat()).unwrap()
    };
    let (one, two) = (token("one", &["--target", "shop"]), token("two", &["--target", "shop"]));
    let mia = token("mia", &["--kind", "human", "--role", "user"]);
    let body = json!({ "target": "shop", "for": "10m", "effects": ["read"], "reason": "x" });
    let asks = || {
        let (status, answer) = rig.api(&one, "POST", "/v1/grants", &body);
        assert_eq!(status, 200, "{answer}");
        let id = answer["id"].as_str().unwrap().to_owned();
        rig.approve(&id);
        id
    };
    let id = asks();
    let (path, revoke) = (format!("/v1/grants/{id}"), format!("/v1/grants/{id}/revoke"));
    assert_eq!(rig.api(&two, "GET", "/v1/grants", &Value::Null).1["grants"], json!([]));
    assert_eq!(rig.api(&two, "GET", &path, &Value::Null).0, 409);
    let (status, answer) = rig.api(&two, "POST", &revoke, &json!({}));
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("there is no grant"), "{answer}");
    for own in [&one, &mia] {
        assert_eq!(rig.api(own, "GET", &path, &Value::Null).1["state"], "in force");
    }
    assert_eq!(rig.api(&one, "POST", &revoke, &json!({})).0, 200);
    let second = asks();
    assert_eq!(rig.api(&mia, "POST", &format!("/v1/grants/{second}/revoke"), &json!({})).0, 200);
}

/// What is said for a grant, and of it, is kept, shown and recorded as a statement would be.
/// Whoever tries what is not theirs is told no more than before, and the record tells who they are.
#[test]
fn who_asks_takes_back_or_approves_what_is_not_theirs_is_in_the_record() {
    let rig = rig("");
    let id = rig.granted("10m", &["read"], &Value::Null);
    let eve = ["--kind", "human", "--target", "shop", "--on-behalf-of", "eve@example.com"];
    let eve = rig.gateway.role_token("eve", &eve).unwrap();
    let grace = ["--kind", "human", "--role", "approver", "--on-behalf-of", "grace@example.com"];
    let grace = rig.gateway.role_token("grace", &grace).unwrap();
    let none = "gr-aaaaaaaaaa";
    for grant in [&*id, none] {
        let (status, told) =
            rig.api(&eve, "POST", &format!("/v1/grants/{grant}/revoke"), &json!({ "reason": "x" }));
        assert_eq!(
            (status, told["error"].as_str()),
            (409, Some(&*format!("there is no grant `{grant}`"))),
            "{told}"
        );
    }
    for path in [format!("/v1/approvals/{id}/approve"), format!("/v1/approvals/{id}/original")] {
        assert_eq!(rig.api(&grace, "POST", &path, &json!({})).0, 409, "{path}");
    }
    let record = rig.gateway.record().unwrap();
    let told = |e: &firsthand_tests::record::Entry| {
        let fact = |key: &str| e.leaf("facts")[key].as_str().unwrap_or_default().to_owned();
        [
            e.payload("by").as_str().unwrap_or_default().to_owned(),
            fact("answer"),
            fact("approval"),
            fact("why"),
        ]
    };
    let all: Vec<_> = record.of_kind("approval.answer_refused").map(told).collect();
    let want = [
        ["eve", "revoke", &id, "not-theirs"],
        ["eve", "revoke", none, "unknown"],
        ["grace", "approve", &id, "unknown"],
        ["grace", "original", &id, "unknown"],
    ];
    assert_eq!(all, want.map(|one| one.map(str::to_owned)));
    assert!(record.of_kind("grant.revoked").next().is_none());
    let body = json!({ "target": "billing", "for": "5m", "effects": ["read"], "reason": "ticket 7" });
    let (status, told) = rig.api(&eve, "POST", "/v1/grants", &body);
    assert_eq!(status, 409, "{told}");
    let record = rig.gateway.record().unwrap();
    let refused: Vec<_> = record.of_kind("session.refused").filter(|e| e.leaf("why") == "target").collect();
    let [one] = &*refused else { panic!("{refused:?}") };
    assert_eq!((one.payload("by"), one.payload("target")), (&json!("eve"), &json!("billing")));
    assert!(one.leaf("chain").as_array().is_some_and(|chain| chain.len() == 3), "{}", one.0);
}

#[test]
fn secrets_and_personal_values_in_a_request_are_replaced_before_anything_is_kept() {
    let mask = "\n[[mask]]\nname = \"mails\"\nbecause = \"x\"\nkinds = [\"agent\"]\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n";
    let rig = rig_with(&format!("{RULES}{mask}"), "");
    let reason = "password=hunter2secret for mia.k@example.net";
    let mut raw = rig.login();
    let seen = raw.query(&format!("select firsthand.request_access('1h', 'read', '{reason}')")).unwrap();
    let by_sql = id_in(&rows(&seen));
    let body = json!({ "target": "shop", "for": "10m", "effects": ["read"], "reason": reason });
    let by_api = rig.ask(&body);
    let wrong = json!({ "target": "shop", "for": "10m", "effects": [reason], "reason": "x" });
    assert_ne!(rig.api(&rig.token(), "POST", "/v1/grants", &wrong).0, 200);
    let as_effect = format!("select firsthand.request_access('1h', '{reason}', 'x')");
    assert!(message(&raw.query(&as_effect).unwrap()).contains("is no effect"));
    for id in [&by_sql, &by_api] {
        let (_, shown) = rig.api(&rig.token(), "GET", &format!("/v1/grants/{id}"), &Value::Null);
        assert_eq!(shown["reason"], "password=*** for <email>", "{shown}");
    }
    // So is what people answer, and why they take one back.
    rig.gateway.cli(&["grants", "deny", &by_sql, "--reason", reason]).unwrap();
    rig.gateway.cli(&["grants", "approve", &by_api, "--reason", reason]).unwrap();
    rig.gateway.cli(&["grants", "revoke", &by_api, "--reason", reason]).unwrap();
    let told = rows(&raw.query("select firsthand.access_status()").unwrap());
    assert!(told.contains("The approver says: password=*** for <email>"), "{told}");
    let record = rig.gateway.record().unwrap();
    assert_eq!(record.of_kind("grant.asked").count(), 2);
    for kind in ["grant.refused", "grant.given", "grant.revoked"] {
        let entry = record.of_kind(kind).next().unwrap();
        assert_eq!(entry.payload("reason"), &json!("password=*** for <email>"), "{kind}");
    }
    let record = serde_json::to_string(&record.0.iter().map(|e| &e.0).collect::<Vec<_>>()).unwrap();
    let state = std::fs::read(rig.gateway.data_dir().join("state.db")).unwrap();
    let wal = std::fs::read(rig.gateway.data_dir().join("state.db-wal")).unwrap_or_default();
    for hidden in ["hunter2secret", "mia.k@example.net"] {
        assert!(!record.contains(hidden), "{hidden}");
        let stands = |bytes: &[u8]| bytes.windows(hidden.len()).any(|w| w == hidden.as_bytes());
        assert!(!stands(&state) && !stands(&wal), "{hidden}");
    }
}

/// What is contained loses its grants, and the command says so.
#[test]
fn what_is_contained_has_no_grants() {
    let rig = rig("access = \"grant\"\n");
    let id = rig.granted("10m", &["read"], &Value::Null);
    let said = rig.gateway.cli(&["contain", "identity", "bot"]).unwrap();
    assert!(said.contains("1 grant revoked"), "{said}");
    assert_eq!(rig.kinds(&id), ["grant.asked", "grant.given", "grant.revoked"]);
    let record = rig.gateway.record().unwrap();
    let revoked = record.of_kind("grant.revoked").next().unwrap();
    assert!(revoked.payload("reason").as_str().unwrap().starts_with("contained: cn-"), "{revoked:?}");
}

/// What the rules say is one thing, that nothing runs without a grant another: explain says both, and replay does not take the
/// one for the other, nor the gateway's own calls for what rules decide.
#[test]
fn explain_and_replay_know_that_a_grant_is_needed() {
    let reads = "[[group]]\nname = \"dba\"\nmembers = [\"grace@example.com\"]\n\
        [[rule]]\nname = \"reads\"\nbecause = \"b\"\nverdict = \"allow\"\neffects = [\"read\", \"transaction\"]\n";
    let rig = rig_with(reads, "access = \"grant\"\n");
    let mut raw = rig.login();
    assert!(message(&raw.query("select note from orders").unwrap()).contains("needs a grant"));
    for call in [
        "select * from firsthand.access_status()",
        "SELECT firsthand.request_access('2m', 'read', 'ticket 7')",
    ] {
        assert_eq!(code(&raw.query(call).unwrap()), "", "{call}");
    }
    let explained = |json: &[&str], sql: &str| {
        let args = [&["policy", "explain", "--target", "shop", "--as", "bot"], json, &[sql]].concat();
        rig.gateway.cli(&args).unwrap()
    };
    let note = "note: target shop needs a grant as well (access = \"grant\")";
    let told = explained(&[], "select note from orders");
    assert!(told.starts_with("allow by reads") && told.contains(note), "{told}");
    assert!(!explained(&[], "begin").contains(note));
    for (sql, rule, needs) in [
        ("select note from orders", "reads", true),
        ("begin", "reads", false),
        ("select * from firsthand.access_status()", "firsthand.access", false),
    ] {
        let line: Value = serde_json::from_str(&explained(&["--json"], sql)).unwrap();
        assert_eq!((&line["rule"], &line["needs_grant"]), (&json!(rule), &json!(needs)), "{line}");
    }
    let told = rig.gateway.cli(&["policy", "replay", "--since", "1d"]).unwrap();
    assert!(told.contains("3 commands, 0 decided otherwise"), "{told}");
    assert!(told.contains("1 of them were refused because no grant covered them"), "{told}");
}
