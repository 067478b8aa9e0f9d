//! Login roles of grants on a real PostgreSQL: each grant runs as its own, which nobody has the password of, and which is gone when
//! the grant is over, also where the gateway was killed or the server did not let it.

use std::time::{Duration, Instant};

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::{APP_PASSWORD, Postgres, major_version, program};
use firsthand_tests::process::until;
use firsthand_tests::raw::{Message, Raw};
use serde_json::{Value, json};
use tempfile::TempDir;

#[path = "provisioned/ended.rs"]
mod ended;
#[path = "provisioned/held.rs"]
mod held;
#[path = "provisioned/shared.rs"]
mod shared;

/// Sessions lose a grant within this time (issue 4), measured on the client's side.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Who makes roles, what they may do, and whom sessions log in as that have no grant: it may do nothing.
const SEED: &str = "create table orders (id int primary key, note text); insert into orders values (1, 'one'), (2, 'two');
    create role fh_admin login createrole password 'scratch app'; create role visitor login password 'scratch app';
    create role orders_rw; revoke connect on database shop from public;
    grant connect on database shop to orders_rw, visitor, fh_admin;
    grant usage, create on schema public to orders_rw; grant select, insert, update, delete on orders to orders_rw";
/// From 16 on CREATEROLE alone gives no group away.
const SEED_16: &str = "grant orders_rw to fh_admin with admin option, inherit false, set false";

const RULES: &str = "[[group]]\nname = \"dba\"\nmembers = [\"local:*\"]\n
[[rule]]\nname = \"granted\"\nbecause = \"A grant is in force.\"\nverdict = \"allow\"\ngrants = [\"shop\"]\n\
effects = [\"read\", \"write\", \"define\", \"transaction\", \"session\", \"execute\", \"lock\", \"unknown\"]\n
[[rule]]\nname = \"quiet\"\nbecause = \"It touches nothing.\"\nverdict = \"allow\"\neffects = [\"transaction\", \"session\"]\n";

/// Roles that grants have, as their names begin.
const OF_GRANTS: &str = "select coalesce(string_agg(rolname, ' ' order by rolname), '') from pg_roles where rolname like 'fh\\_grant\\_%'";

struct Rig {
    server: Postgres,
    gateway: Gateway,
    secret: String,
    _rules: TempDir,
}

/// `more`: of the credential.
fn rig(more: &str) -> Rig {
    rig_with(RULES, more, "")
}

/// `top`: of the configuration.
fn rig_with(written: &str, more: &str, top: &str) -> Rig {
    let server = Postgres::start(None).unwrap();
    server.sql("shop", SEED).unwrap();
    if major_version().unwrap() >= 16 {
        server.sql("shop", SEED_16).unwrap();
    }
    let rules = tempfile::tempdir().unwrap();
    std::fs::write(rules.path().join("rules.toml"), written).unwrap();
    let provision = "provision = \"role\", group = \"orders_rw\", \
                     admin = { user = \"fh_admin\", password = { env = \"FIRSTHAND_TEST_PASSWORD_0\" } }";
    let target = Target::of(&server.place("visitor", "shop")).credential(&format!(", {provision}{more}")).more(
        "access = \"grant\"\n\
         grants = { approvers = \"dba\", longest = \"1h\", effects = [\"read\", \"write\", \"define\", \"unknown\"] }\n",
    );
    let more = format!("[policy]\ndir = {:?}\n{top}", rules.path().display().to_string());
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

    fn sql(&self, text: &str) -> String {
        self.server.sql("shop", text).unwrap().trim().to_owned()
    }

    /// Asks by SQL, in a session that has no grant.
    fn ask(&self, lasts: &str, effects: &str) -> String {
        let mut raw = self.login();
        let seen = raw.query(&format!("select firsthand.request_access('{lasts}', '{effects}', 'ticket 7')"));
        let told = rows(&seen.unwrap());
        let at = told.find("gr-").unwrap_or_else(|| panic!("no grant in: {told}"));
        told[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
    }

    /// A grant in force.
    fn granted(&self, lasts: &str, effects: &str) -> String {
        let id = self.ask(lasts, effects);
        self.gateway.cli(&["grants", "approve", &id]).unwrap();
        let mut raw = self.login();
        until("it is in force", || {
            Ok(rows(&raw.query("select firsthand.access_status()")?).contains(&format!("{id}|in force")))
        })
        .unwrap();
        id
    }

    /// What a client reads that is not let in.
    fn refused(&self) -> String {
        let told = Raw::login(&self.place(), &[]).map(drop).expect_err("it was let in");
        format!("{told:#}")
    }

    fn facts(&self, kind: &str) -> Vec<Value> {
        self.gateway.record().unwrap().of_kind(kind).map(|e| e.leaf("facts").clone()).collect()
    }
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

fn query(raw: &mut Raw, sql: &str) -> String {
    let seen = raw.query(sql).unwrap();
    assert_eq!(message(&seen), "", "{sql}");
    rows(&seen)
}

#[test]
fn a_grant_runs_as_its_own_role_and_both_are_over_within_a_second() {
    let rig = rig("");
    let mut before = rig.login();
    let id = rig.granted("10m", "read,write,define,unknown");
    // A session that was there already has no role of the grant, so it runs nothing under it.
    let told = message(&before.query("select note from orders").unwrap());
    assert!(told.contains("needs a grant") && told.contains("connect again"), "{told}");
    let mut raw = rig.login();
    let who = query(&mut raw, "select session_user, current_user");
    let role = who.split('|').next().unwrap().to_owned();
    let short = id.trim_start_matches("gr-");
    assert!(role.starts_with(&format!("fh_grant_{short}_")) && who == format!("{role}|{role}"), "{who}");
    assert_eq!(query(&mut raw, "select note from orders where id = 1"), "one");
    query(&mut raw, "update orders set note = 'done' where id = 1");
    query(&mut raw, "create table made_under_it (id int)");
    // All sessions under it have the same role.
    let mut busy = rig.login();
    assert_eq!(query(&mut busy, "select session_user"), role);
    assert_eq!(rig.sql(OF_GRANTS), role);
    let inherits = if major_version().unwrap() >= 16 { "f" } else { "t" };
    let attributes = "rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls, rolcanlogin, rolinherit, rolconnlimit";
    assert_eq!(
        rig.sql(&format!("select {attributes} from pg_roles where rolname = '{role}'")),
        format!("f|t|{inherits}|10")
    );
    // It cannot log in when the grant is over, whoever is there to drop it.
    let made = rig.facts("role.made").remove(0);
    let until_us = made["until"].as_u64().unwrap();
    let valid = format!(
        "select floor(extract(epoch from rolvaliduntil))::bigint from pg_roles where rolname = '{role}'"
    );
    assert_eq!(rig.sql(&valid), (until_us / 1_000_000).to_string());
    busy.send(b'Q', b"select pg_sleep(30)\0").unwrap();
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active' and pid <> pg_backend_pid()";
    until("it runs", || Ok(rig.sql(running) == "1")).unwrap();
    rig.gateway.cli(&["grants", "revoke", &id, "--reason", "done"]).unwrap();
    let since = Instant::now();
    for raw in [&mut raw, &mut busy] {
        let seen = raw.until_closed().unwrap();
        let told = message(&seen);
        assert!(
            told.contains(&id) && told.contains("was revoked") && told.contains("ended this session"),
            "{told}"
        );
    }
    until("its backends are gone", || {
        Ok(rig.sql(&format!("select count(*) from pg_stat_activity where usename = '{role}'")) == "0")
    })
    .unwrap();
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
    until("the role is gone", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    // What it has made is its group's, and what it has done stays.
    let owner = "select pg_get_userbyid(relowner) from pg_class where relname = 'made_under_it'";
    assert_eq!(rig.sql(owner), "orders_rw");
    assert_eq!(rig.sql("select note from orders where id = 1"), "done");
    // Without it, sessions are the target's again, and nothing runs.
    let told = message(&rig.login().query("select note from orders").unwrap());
    assert!(told.contains("needs a grant"), "{told}");
    until("it is recorded", || Ok(rig.facts("role.dropped").len() == 1)).unwrap();
    assert_eq!(made["grant"], json!(id));
    assert_eq!((&made["role"], &made["group"]), (&json!(role), &json!("orders_rw")));
    assert_eq!(rig.facts("role.dropped")[0]["reassigned"], json!(["shop"]));
    let record = rig.gateway.record().unwrap();
    let opened: Vec<_> = record.of_kind("session.opened").filter(|e| e.leaf("grant") == &json!(id)).collect();
    assert!(opened.len() >= 2 && opened.iter().all(|e| e.leaf("who")["role"] == json!(role)), "{opened:?}");
    assert!(record.of_kind("target.asked").any(|e| e.leaf("facts")["role"] == json!(role)));
    assert!(record.unbalanced().is_empty() && record.of_kind("role.failed").count() == 0);
    found_with(&rig, &id, &["grant.revoked", "role.made", "role.dropped"]);
}

/// What became of its role is found with the grant.
fn found_with(rig: &Rig, id: &str, kinds: &[&str]) {
    let found = rig.gateway.cli(&["log", "search", "--json", &format!("grant:{id}")]).unwrap();
    for kind in kinds {
        assert!(found.contains(&format!("\"{kind}\"")), "{kind} is not in:\n{found}");
    }
}

#[test]
fn a_role_ends_by_itself_with_its_grants_time() {
    let rig = rig("");
    let id = rig.granted("5s", "read");
    let mut raw = rig.login();
    assert!(query(&mut raw, "select session_user").starts_with("fh_grant_"));
    let told = message(&raw.until_closed().unwrap());
    assert!(told.contains(&id) && told.contains("has ended"), "{told}");
    until("the role is gone", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
}

#[test]
fn what_a_killed_gateway_leaves_is_swept_and_nothing_else() {
    let mut rig = rig("");
    rig.sql("create role fh_grant_of_somebody; create role fh_grant_of_another; grant orders_rw to fh_grant_of_another;
        comment on role fh_grant_of_another is 'Firsthand 00000000000000000000000000000000/shop: made for gr-x, dropped with it'");
    let foreign = "fh_grant_of_another fh_grant_of_somebody";
    let id = rig.granted("10m", "read,unknown");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    raw.send(b'Q', b"select pg_sleep(600)\0").unwrap();
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
    until("it runs", || Ok(rig.sql(running) == "1")).unwrap();
    rig.gateway.kill().unwrap();
    assert!(rig.sql(OF_GRANTS).contains(&role), "nobody was there to drop it");
    rig.gateway.serve().unwrap();
    until("it is swept", || Ok(rig.sql(OF_GRANTS) == foreign)).unwrap();
    assert_eq!(rig.sql(running), "0", "what ran in it is ended, too");
    let swept = |e: &Value| e["role"] == json!(role) && e["grant"] == json!(id);
    until("that is recorded", || Ok(rig.facts("role.swept").iter().any(swept))).unwrap();
    // The grant is in force still, and gets a role anew.
    let mut again = String::new();
    until("it has a role", || {
        let mut raw = rig.login();
        again = rows(&raw.query("select session_user")?);
        Ok(!again.is_empty())
    })
    .unwrap();
    assert_eq!(again, role, "it is named by its grant");
    // A gateway that stops in order leaves nothing.
    rig.gateway.stop().unwrap();
    assert_eq!(rig.sql(OF_GRANTS), foreign);
}

#[test]
fn nobody_but_the_gateway_logs_in_with_it_and_no_password_is_written_anywhere() {
    let rig = rig(", connections = 2");
    rig.sql("alter system set log_statement = 'all'");
    rig.sql("select pg_reload_conf()");
    rig.granted("10m", "read,write,define,unknown");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    let said = rig.server.said();
    let created =
        said.lines().find(|line| line.contains("CREATE ROLE")).unwrap_or_else(|| panic!("{said}")).to_owned();
    let verifier = created.split("PASSWORD '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$4096:"), "{created}");
    let stored = rig.sql(&format!("select rolpassword from pg_authid where rolname = '{role}'"));
    assert_eq!(stored, verifier, "the server has only what proves the password");
    let direct = |password: &str| {
        let mut psql = std::process::Command::new(program("psql").unwrap());
        let place = Place { password: password.to_owned(), ..rig.server.place(&role, "shop") };
        psql.args(["-X", "-c", "select 1"]).envs(place.environment());
        psql.output().unwrap().status.success()
    };
    assert!(!direct(verifier) && !direct(APP_PASSWORD) && !direct(&rig.secret) && !direct(""));
    // No more connections than it may have, and the refusal is the server's own.
    let _second = rig.login();
    assert!(rig.refused().contains("too many connections for role"), "{}", rig.refused());
    // Whoever gives it a password (a role may change its own) keeps the gateway out, and is out with the role that is made anew.
    rig.sql(&format!("alter role {role} connection limit 10 password 'known'"));
    assert!(direct("known"));
    rig.refused();
    let mut anew = rig.login();
    assert_eq!(query(&mut anew, "select session_user"), role);
    assert!(!direct("known"));
    assert!(
        message(&raw.until_closed().unwrap()).contains("terminating connection"),
        "its sessions ended with it"
    );
}

#[test]
fn where_no_role_can_be_made_nothing_runs_under_the_grant() {
    let rig = rig("");
    let check = || {
        let output = rig.gateway.command(&["check"]).unwrap().output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = check();
    assert!(
        code == Some(0) && said.contains("fh_admin makes the roles of grants, as members of orders_rw"),
        "{said}"
    );
    rig.sql("alter role fh_admin nocreaterole");
    let id = rig.ask("10m", "read");
    rig.gateway.cli(&["grants", "approve", &id]).unwrap();
    let mut told = String::new();
    until("nobody is let in under it", || {
        told = Raw::login(&rig.place(), &[]).map(|_| String::new()).unwrap_or_else(|e| format!("{e:#}"));
        Ok(!told.is_empty())
    })
    .unwrap();
    assert!(told.contains(&id) && told.contains("could not make the login role"), "{told}");
    let failed = rig.facts("role.failed");
    assert!(failed.iter().any(|e| e["grant"] == json!(id) && e["what"] == json!("make")), "{failed:?}");
    let record = rig.gateway.record().unwrap();
    assert!(record.of_kind("session.refused").any(|e| e.leaf("why") == &json!("grant-role")));
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("may not make roles for grants: ALTER ROLE"), "{code:?} {said}");
    rig.sql("alter role fh_admin superuser");
    assert!(
        check().1.contains("warning: role fh_admin, which makes the roles of grants, is a superuser"),
        "{}",
        check().1
    );
    rig.sql("alter role fh_admin nosuperuser createrole; alter role orders_rw superuser");
    assert!(check().1.contains("nobody is made its member"), "{}", check().1);
    rig.refused();
    rig.sql("alter role orders_rw nosuperuser");
    assert!(query(&mut rig.login(), "select session_user").starts_with("fh_grant_"));
}

#[test]
fn what_cannot_be_dropped_is_recorded_and_tried_again() {
    let rig = rig("");
    let id = rig.granted("10m", "read");
    let mut raw = rig.login();
    let role = query(&mut raw, "select session_user");
    rig.sql("alter role fh_admin nologin");
    rig.gateway.cli(&["grants", "revoke", &id]).unwrap();
    let told = message(&raw.until_closed().unwrap());
    assert!(told.contains("was revoked"), "the session ends all the same: {told}");
    until("it is recorded", || {
        let failed = rig.facts("role.failed");
        Ok(failed.iter().any(|e| e["grant"] == json!(id) && e["what"] == json!("drop")))
    })
    .unwrap();
    assert_eq!(rig.sql(OF_GRANTS), role);
    rig.sql("alter role fh_admin login");
    until("it is dropped", || Ok(rig.sql(OF_GRANTS).is_empty())).unwrap();
    until("that is recorded", || Ok(rig.facts("role.dropped").len() == 1)).unwrap();
}
