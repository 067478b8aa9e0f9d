//! Rules before a real PostgreSQL and real clients: what may run runs, what may not changes nothing, what is masked does not
//! come out, and `policy explain` says the same beforehand.

use std::process::Command;
use std::time::Instant;

use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::program;
use firsthand_tests::process::PATIENCE;
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::{Entry, Record};
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table customers (id int primary key, name text, email text, note text);
insert into customers values (1, 'Ada', 'ada.canary@example.com', 'call me at ada.canary@example.com'),
  (2, 'Grace', 'grace.canary@example.com', 'nothing'), (3, 'Edsger', 'edsger.canary@example.com', null);
create view mails as select id as number, lower(email) as address from customers;
create function wipe() returns int language plpgsql as $$ begin delete from customers; return 1; end $$;
create schema other; create table other.customers (id int, name text); insert into other.customers values (7, 'other');
grant all on all tables in schema public, other to app; grant usage on schema other to app;
grant create on schema public to app;";

const LABELS: &str = "[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n";

/// The shipped rules hold what an agent writes: here it may, and is masked as there.
const ALL_MASKED: &str = "[[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n\
[[mask]]\nname = \"mails\"\nbecause = \"b\"\nkinds = [\"agent\"]\nlabels = [\"*\"]\nstyle = \"redact\"\ndetect = true\n";

/// A lab under the shipped rules and a label. The folder holds the rules.
fn lab() -> (Lab, TempDir) {
    lab_of(LABELS, true, "")
}

/// A lab under these rules, with further lines of the target.
fn lab_of(rules: &str, shipped: bool, more: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("labels.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = {shipped}\n", folder.path().display().to_string());
    (
        Lab::start(Plan { top, seed: SEED.to_owned(), more: more.to_owned(), ..Plan::default() }).unwrap(),
        folder,
    )
}

/// What psql prints, its errors with all their fields.
fn psql(place: &Place, sql: &[&str]) -> String {
    let mut command = Command::new(program("psql").unwrap());
    command.args(["-X", "-A", "-t", "-q", "-v", "VERBOSITY=verbose"]);
    for one in sql {
        command.args(["-c", one]);
    }
    let out = command.envs(place.environment()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn explained(gateway: &Gateway, sql: &str) -> Value {
    let out = gateway
        .command(&["policy", "explain", "--json", "--target", "shop", "--as", AGENT, sql])
        .unwrap()
        .output()
        .unwrap();
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// How many customers there are, as a second connection sees it.
fn customers(lab: &Lab) -> String {
    lab.far.sql("shop", "select count(*) from customers").unwrap()
}

#[test]
fn what_is_labelled_comes_out_masked_on_every_way() {
    let (lab, _folder) = lab();
    let through = lab.through();
    assert_eq!(psql(&through, &["select id, name from customers order by id"]), "1|Ada\n2|Grace\n3|Edsger\n");
    for sql in [
        "select id, email from customers order by id",
        "select * from customers order by id",
        "select c from customers c order by id",
        "select * from mails",
        "select string_agg(upper(email), ',') from customers",
        "select to_jsonb(c) from customers c",
        "select note from customers order by id",
        "copy customers (id, email) to stdout",
        "with x as (select email e from customers) select e || '!' from x",
        "select substr(email, 2) from customers",
    ] {
        let said = psql(&through, &[sql]);
        assert!(!said.to_lowercase().contains("canary"), "{sql}: {said}");
        assert!(!said.contains("ERROR"), "{sql}: {said}");
    }
    // An error text holds a value as well as a row does.
    let said = psql(&through, &["select email::int from customers"]);
    assert!(said.contains("ERROR") && !said.contains("canary"), "{said}");
    // Through a prepared statement, in binary, without a Describe.
    let mut raw = Raw::login(&through, &[]).unwrap();
    let mut out = frame(b'P', b"s\0select email from customers where id = 1\0\0\0");
    out.extend(frame(b'B', b"\0s\0\0\0\0\0\0\x01\0\x01"));
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    std::io::Write::write_all(&mut raw.stream, &out).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    let tags: String = seen.iter().map(|m| char::from(m.tag)).collect();
    assert_eq!(tags, "12DCZ", "{seen:?}");
    assert!(seen.iter().all(|m| !m.line().contains("canary")), "{seen:?}");
    // Nor does the record have it.
    let record = lab.gateway.record().unwrap();
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("canary")), "the record has a masked value");
    let masked = record.of_kind("command.completed").any(|e| e.0.to_string().contains("agents-masked"));
    assert!(masked, "the rule of a mask stands beside its column");
    assert!(record.unbalanced().is_empty());
}

/// What the record holds after these writes, in which neither the client nor the record saw a masked value.
fn writes_without_a_canary(statements: &[&str]) -> Record {
    let rules = format!("{LABELS}{ALL_MASKED}");
    let (lab, _folder) = lab_of(&rules, false, "changed_rows = \"values\"");
    for sql in statements {
        let said = psql(&lab.through(), &[*sql]);
        assert!(!said.to_lowercase().contains("canary"), "{sql}: {said}");
    }
    let record = lab.gateway.record().unwrap();
    let with: Vec<_> = record.0.iter().filter(|e| e.0.to_string().contains("canary")).collect();
    assert!(with.is_empty(), "the record has a masked value: {with:?}");
    assert!(record.unbalanced().is_empty());
    record
}

/// Where the answer is masked, changed rows are not kept beside it.
#[test]
fn changed_rows_beside_a_masked_answer_are_not_kept() {
    let record = writes_without_a_canary(&[
        "update customers set name = 'Ada L.' where id = 1 returning id, email",
        "update customers set name = 'G' where id = 2 returning *",
        "delete from customers where id = 3 returning customers",
    ]);
    let masked = |e: &&Entry| e.0.to_string().contains("changed-rows:masked");
    assert_eq!(
        record.of_kind("command.completed").filter(masked).count(),
        3,
        "every one of them ran, and says so"
    );
}

/// What a rule keeps from being SET is kept from being begun with; what drivers begin with is not.
#[test]
fn a_session_does_not_begin_with_what_it_may_not_set() {
    let (lab, _folder) = lab();
    for (name, value) in [
        ("role", "postgres"),
        ("options", "-c role=postgres"),
        ("options", "-c geqo=off --session-replication-role=replica"),
        ("standard_conforming_strings", "off"),
        ("search_path", "other"),
        ("client_encoding", "SJIS"),
        ("log_statement", "none"),
    ] {
        let why = format!("{:#}", Raw::login(&lab.through(), &[(name, value)]).err().unwrap());
        assert!(why.contains("42501") && why.contains("agents-settings"), "{name}={value}: {why}");
    }
    for parameters in [
        &[("DateStyle", "ISO"), ("TimeZone", "Europe/Berlin"), ("extra_float_digits", "2")][..],
        &[("client_encoding", "'utf-8'"), ("application_name", "asyncpg")],
        &[
            ("client_encoding", "UTF8"),
            ("search_path", "\"$user\",public"),
            ("options", "-c statement_timeout=5s"),
        ],
    ] {
        let mut raw =
            Raw::login(&lab.through(), parameters).unwrap_or_else(|why| panic!("{parameters:?}: {why:#}"));
        raw.query("select 1").unwrap();
    }
    let record = lab.gateway.record().unwrap();
    let refused: Vec<_> = record.of_kind("session.refused").collect();
    assert_eq!(refused.len(), 7);
    assert!(refused.iter().all(|e| e.leaf("why") == "policy"), "{refused:?}");
    assert!(refused[0].payload("detail").as_str().unwrap().contains("role=postgres"));
}

#[test]
fn what_is_refused_changes_nothing_and_explain_says_so_before() {
    let (lab, _folder) = lab();
    let through = lab.through();
    let mut wrong = Vec::new();
    for (sql, verdict, rule) in [
        ("delete from customers", "deny", "agents-unbounded-write"),
        ("delete from customers where true", "deny", "agents-unbounded-write"),
        ("delete from customers where id = 1", "hold", "agents-write-held"),
        (
            "with x as (delete from customers returning id) select count(*) from x",
            "deny",
            "agents-unbounded-write",
        ),
        ("explain analyze delete from customers", "deny", "agents-unbounded-write"),
        ("select wipe()", "deny", "agents-code"),
        ("do $$ begin delete from customers; end $$", "deny", "agents-code"),
        ("truncate customers", "deny", "agents-unbounded-write"),
        ("drop table customers", "deny", "agents-ddl"),
        ("grant all on customers to public", "deny", "agents-grants"),
        ("copy customers to program 'cat'", "deny", "agents-system"),
        ("set role app", "deny", "agents-settings"),
        ("select pg_read_file('/etc/passwd')", "deny", "agents-system"),
        ("select id from customers", "allow", "agents-read"),
        ("begin", "allow", "agents-transactions"),
    ] {
        let before = explained(&lab.gateway, sql);
        if (&before["verdict"], &before["rule"]) != (&json!(verdict), &json!(rule)) {
            wrong.push(format!("{sql}: {before}"));
            continue;
        }
        let said = psql(&through, &[sql]);
        assert_eq!(said.contains("42501"), verdict != "allow", "{sql}: {said}");
        if verdict != "allow" {
            assert!(said.contains(rule), "{sql}: {said}");
        }
        let record = lab.gateway.record().unwrap();
        let intent = record.of_kind("command.decided").filter(|e| e.text() == sql).last().unwrap().clone();
        assert_eq!(intent.leaf("rule"), &json!(rule), "{}", intent.0);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(customers(&lab), "3");
    // What the gateway asked for itself stands there, too.
    let record = lab.gateway.record().unwrap();
    assert!(record.of_kind("target.asked").count() > 0);
    assert!(record.of_kind("session.noted").any(|e| e.payload("detail")["search_path"].is_string()));
}

#[test]
fn names_mean_what_the_session_makes_of_them() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut say = |sql: &str| {
        let seen = raw.query(sql).unwrap();
        let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
        (code.unwrap_or_default(), seen.iter().map(Message::line).collect::<String>())
    };
    // A prepared statement that is executed is what was prepared, whatever its name.
    assert_eq!(say("prepare harmless as select name from customers where id = $1").0, "");
    let (code, told) = say("execute harmless(1)");
    assert!(code.is_empty() && told.contains("Ada"), "{code} {told}");
    assert_eq!(say("prepare p as delete from customers").0, "42501");
    assert_eq!(say("begin").0, "");
    assert_eq!(say("declare c cursor for select email from customers").0, "");
    let (code, told) = say("fetch 2 from c");
    assert!(code.is_empty() && !told.contains("canary"), "{told}");
    assert_eq!(say("delete from customers").0, "42501");
    assert_eq!(say("select 1").0, "25P02", "a refusal fails its transaction");
    assert_eq!(say("rollback").0, "");
    // In one message: the later statement is judged after the earlier one; a refusal refuses all.
    assert_eq!(say("select 1; set search_path = 'other'; select * from customers").0, "42501");
    assert!(say("select name from customers where id = 1").1.contains("Ada"));
    assert_eq!(say("").0, "");
    assert_eq!(say("-- nothing").0, "");
}

/// Session commands that fail outside a transaction block, and how.
const FAILING: [(&str, &str); 8] = [
    ("set timezone = 'nosuch'", "22023"),
    ("deallocate nosuch", "26000"),
    ("close nosuch", "34000"),
    ("prepare twice as select 2", "42P05"),
    ("savepoint s", "25P01"),
    ("rollback to nosuch", "25P01"),
    ("declare c cursor for select 1", "25P01"),
    ("set transaction_isolation = 'nosuch'", "22023"),
];

/// The same within one.
const FAILING_INSIDE: [(&str, &str); 8] = [
    ("set timezone = 'nosuch'", "22023"),
    ("set local timezone = 'nosuch'", "22023"),
    ("deallocate nosuch", "26000"),
    ("close nosuch", "34000"),
    ("prepare twice as select 2", "42P05"),
    ("release nosuch", "3B001"),
    ("rollback to nosuch", "3B001"),
    ("declare open cursor for select 1", "42P03"),
];

/// Parse, Bind and Execute of a text, under this name, which is closed first.
fn named(name: &str, sql: &str) -> Vec<u8> {
    let mut out = frame(b'C', format!("S{name}\0").as_bytes());
    out.extend(frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes()));
    out.extend(frame(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()));
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out
}

/// A command that fails leaves the session as it was: what its state would have become is forgotten with it, and names go
/// on meaning what they meant.
#[test]
fn a_session_goes_on_after_a_session_command_has_failed() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let mut say = |bytes: &[u8], units: usize| {
        std::io::Write::write_all(&mut raw.stream, bytes).unwrap();
        let mut seen = Vec::new();
        (0..units).for_each(|_| seen.extend(raw.until(b'Z').unwrap()));
        let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default();
        (seen.iter().map(|m| char::from(m.tag)).collect::<String>(), code)
    };
    let simple = |sql: &str| frame(b'Q', format!("{sql}\0").as_bytes());
    let sync = frame(b'S', b"");
    assert_eq!(say(&simple("prepare twice as select 1"), 1).0, "CZ");
    let mut wrong = Vec::new();
    let read = "select id from customers";
    for (sql, code) in FAILING {
        let ways: [(&str, Vec<u8>, usize); 4] = [
            ("simple", simple(sql), 1),
            ("extended", [named("", sql), sync.clone()].concat(), 1),
            ("prepared", [named("p", sql), sync.clone()].concat(), 1),
            ("pipelined", [named("", "select 1"), named("", sql), named("", read), sync.clone()].concat(), 1),
        ];
        for (way, bytes, units) in ways {
            let said = say(&bytes, units);
            let then = say(&simple(read), 1);
            let also = say(&[named("q", read), sync.clone()].concat(), 1);
            if said.1 != code || then.0 != "TDDDCZ" || also.0 != "312DDDCZ" {
                wrong.push(format!("{way} {sql}: {said:?} {then:?} {also:?}"));
            }
        }
        // What follows in pipelines of their own is judged in the state that there is then.
        let bytes = [named("", sql), sync.clone(), named("", read), sync.clone(), simple(read)].concat();
        let said = say(&bytes, 3);
        if !said.0.ends_with("EZ312DDDCZTDDDCZ") {
            wrong.push(format!("in a row {sql}: {said:?}"));
        }
    }
    for (sql, code) in FAILING_INSIDE {
        let ways: [(&str, Vec<u8>, usize); 3] = [
            ("simple", simple(sql), 1),
            ("extended", [named("", sql), sync.clone()].concat(), 1),
            ("pipelined", [named("", "select 1"), named("", sql), named("", read), sync.clone()].concat(), 1),
        ];
        for (way, bytes, units) in ways {
            assert_eq!(say(&simple("begin; declare open cursor for select 1"), 1).0, "CCZ");
            let said = say(&bytes, units);
            let aborted = say(&simple(read), 1);
            let back = say(&simple("rollback"), 1);
            let then = say(&simple(read), 1);
            let also = say(&[named("q", read), sync.clone()].concat(), 1);
            let aborted_as_it_is = aborted.1 == "25P02" && back.0 == "CZ";
            if said.1 != code || !aborted_as_it_is || then.0 != "TDDDCZ" || also.0 != "312DDDCZ" {
                wrong.push(format!("in a transaction, {way} {sql}: {said:?} {aborted:?} {then:?} {also:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lab.gateway.record().unwrap().unbalanced().is_empty());
}

/// Drivers send BEGIN, or a setting, in front of their first statement without waiting.
#[test]
fn a_pipeline_behind_what_changes_the_session_is_no_reason_to_refuse() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let run = |sql: &str| {
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out
    };
    let sync = frame(b'S', b"");
    let mut say = |parts: &[&[u8]], units: usize| {
        std::io::Write::write_all(&mut raw.stream, &parts.concat()).unwrap();
        let mut seen = Vec::new();
        (0..units).for_each(|_| seen.extend(raw.until(b'Z').unwrap()));
        seen.iter().map(|m| char::from(m.tag)).collect::<String>()
    };
    let (begin, select, commit) = (run("begin"), run("select id from customers"), run("commit"));
    assert_eq!(say(&[&begin, &select, &commit, &sync], 1), "12C12DDDC12CZ");
    let setting = run("set extra_float_digits = 3");
    assert_eq!(
        say(&[&setting, &sync, &select, &sync, &begin, &sync, &select, &sync, &commit, &sync], 5),
        "12CZ12DDDCZ12CZ12DDDCZ12CZ"
    );
    // What comes before a refusal in a pipeline does not commit, and what comes behind it does not run.
    let wipe = run("delete from customers");
    assert_eq!(say(&[&select, &wipe, &select, &sync], 1), "12DDDCEZ");
    assert_eq!(customers(&lab), "3");
}

/// Whoever may define does, and whoever may only read can read that a moment later.
#[test]
fn definitions_are_learnt_when_they_pass() {
    let (lab, _folder) = lab();
    let created =
        lab.gateway.cli(&["token", "create", "ada", "--kind", "human", "--target", "shop"]).unwrap();
    let start = created.find("fh_").unwrap();
    let human = lab.gateway.place("ada", &created[start..start + 46], "shop");
    let mut agent = Raw::login(&lab.through(), &[]).unwrap();
    let code = |seen: &[Message]| seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    assert_eq!(psql(&human, &["create table fresh (id int)", "insert into fresh values (5)"]), "");
    let until = Instant::now() + PATIENCE;
    let last = loop {
        let seen = agent.query("select id from fresh").unwrap();
        if code(&seen).is_none() || Instant::now() > until {
            break seen;
        }
    };
    assert!(last.iter().any(|m| m.tag == b'D'), "{last:?}");
    assert_eq!(psql(&human, &["create function f() returns int language sql as 'select 1'"]), "");
    let until = Instant::now() + PATIENCE;
    while code(&agent.query("select f()").unwrap()).is_some() && Instant::now() < until {}
    assert_eq!(code(&agent.query("select f()").unwrap()), None);
}

/// A row that is too long to be masked is withheld, and what was written beside it in the same pipeline, or in the transaction
/// whose COMMIT was already on its way, is not kept.
#[test]
fn a_result_that_cannot_be_masked_fails_its_transaction() {
    let rules = format!("{LABELS}{ALL_MASKED}");
    let (lab, _folder) = lab_of(&rules, false, "");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let run = |sql: &str| {
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out
    };
    let sync = frame(b'S', b"");
    // Longer than what can be held to mask it: a document is looked through as a whole.
    let long = "select to_jsonb(repeat(note, 3000000)) from customers where id = 1";
    let write = "insert into customers values (9, 'nine')";
    let (begin, commit) = (run("begin"), run("commit"));
    let query = |sql: &str| frame(b'Q', format!("{sql}\0").as_bytes());
    let returning = "insert into customers values (8) returning to_jsonb(repeat('nothing', 10000000))";
    for (what, parts, units) in [
        ("a pipeline", vec![run(write), run(long), sync.clone()], 1),
        ("with COMMIT", vec![begin.clone(), run(write), run(long), commit.clone(), sync.clone()], 1),
        (
            "COMMIT behind",
            vec![begin.clone(), run(write), sync.clone(), run(long), sync.clone(), query("commit")],
            3,
        ),
        ("RETURNING", vec![query(returning)], 1),
        ("RETURNING, extended", vec![run(returning), sync.clone()], 1),
    ] {
        std::io::Write::write_all(&mut raw.stream, &parts.concat()).unwrap();
        let mut seen = Vec::new();
        (0..units).for_each(|_| seen.extend(raw.until(b'Z').unwrap()));
        let said = seen.iter().find(|m| m.tag == b'E').map(|m| m.line()).unwrap_or_default();
        assert!(said.contains("CRF003") && said.contains("masks rows of up to"), "{what}: {said}");
        assert!(raw.query("rollback").unwrap().iter().any(|m| m.tag == b'C'), "{what}");
        assert_eq!(customers(&lab), "3", "{what}");
    }
    let seen = raw.query("insert into customers values (7, 'seven') returning name").unwrap();
    assert!(seen.iter().any(|m| m.line().contains("seven")), "{seen:?}");
    assert_eq!(customers(&lab), "4");
    let record = lab.gateway.record().unwrap();
    let told = record.of_kind("command.completed").filter(|e| e.sqlstate() == "RF003").count();
    assert_eq!(told, 5, "each of them stands in the record");
    assert!(record.unbalanced().is_empty());
}

/// Statements that hold a value, most of them refused.
const WRITTEN: [&str; 38] = [
    "delete from customers where email = '{}'",
    "update customers set note = '{}'",
    "insert into customers values (4, 'x', '{}')",
    "set role '{}'",
    "set application_name = '{}'",
    "set timezone = '{}'",
    "set search_path = '{}'",
    "reset \"{}\"",
    "do $$ begin raise '{}'; end $$",
    "prepare p(text) as select id from customers where email = '{}' or email = $1",
    "execute p('{}')",
    "execute nosuch('{}')",
    "declare c cursor for select id from customers where email = '{}'",
    "begin; declare c cursor for select id from customers where email = '{}'; fetch c; rollback",
    "notify news, '{}'",
    "listen \"{}\"",
    "savepoint \"{}\"",
    "deallocate \"{}\"",
    "close \"{}\"",
    "call nosuch('{}')",
    "comment on table customers is '{}'",
    "alter table customers add check (email <> '{}')",
    "create table x as select '{}' as y",
    "copy (select 1 where '{}' = '') to stdout",
    "copy customers to '/tmp/{}'",
    "select '{}'::int",
    "select \"{}\" from customers",
    "select from '{}'",
    "select 1 where '{}",
    "explain select id from customers where email = '{}'",
    "select set_config('application_name', '{}', false)",
    "select pg_notify('news', '{}')",
    "prepare transaction '{}'",
    "lock table \"{}\"",
    "security label on table customers is '{}'",
    "select * from nosuch('{}')",
    "begin; select '{}'::int; rollback",
    "rollback",
];

/// What a client writes itself (in statements that are refused, too), and what the target says of it, stands in the record
/// without the values that detection knows.
#[test]
fn the_record_has_no_value_that_a_client_wrote() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in WRITTEN {
        let sql = sql.replace("{}", "ada.canary@example.com");
        raw.query(&sql).unwrap();
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out.extend(frame(b'S', b""));
        std::io::Write::write_all(&mut raw.stream, &out).unwrap();
        raw.until(b'Z').unwrap();
    }
    let parameter = |sql: &str| {
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x16ada.canary@example.com\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out.extend(frame(b'S', b""));
        out
    };
    for sql in [
        "delete from customers where email = $1",
        "select id from customers where email = $1",
        "select $1::int",
    ] {
        std::io::Write::write_all(&mut raw.stream, &parameter(sql)).unwrap();
        raw.until(b'Z').unwrap();
    }
    let record = lab.gateway.record().unwrap();
    let with: Vec<_> = record.0.iter().filter(|e| e.0.to_string().contains("canary")).collect();
    assert!(with.is_empty(), "the record has values:\n{}", lines(&with));
    assert!(record.unbalanced().is_empty());
}

fn lines(entries: &[&Entry]) -> String {
    entries.iter().map(|e| format!("{}\n", e.0)).collect()
}

const PLAIN: &str = "create table plain (id int primary key, mail text not null unique check (length(mail) < 40), card text, n int not null);
insert into plain values (1, 'ada.canary@example.com', null, 1); grant all on plain to app;
create table child (mail text references plain (mail)); grant all on child to app;
create function shout() returns int language plpgsql as $$ begin raise notice 'it is %', (select mail from plain limit 1);
raise exception using message = 'oh', detail = (select mail from plain limit 1), hint = (select mail from plain limit 1); end $$;";

/// Errors and notices name values that only their look tells apart: they are masked for the client and in the record.
#[test]
fn errors_name_no_value_that_detection_knows() {
    // Functions whose bodies nobody knows may run, and no label is in reach that they could show.
    let all = "effects = [\"read\", \"write\", \"execute\", \"unknown\"]\nkinds";
    let rules = ALL_MASKED.replacen("kinds", all, 1);
    let (lab, _folder) = lab_of(&rules, false, "");
    lab.far.sql("shop", PLAIN).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, code) in [
        ("select mail::int from plain", "22P02"),
        ("insert into plain select 2, mail, null, 1 from plain where id = 1", "23505"),
        ("insert into plain select 2, mail || repeat('.', 30), null, 1 from plain where id = 1", "23514"),
        ("insert into plain select 2, mail || 'x', null, null from plain where id = 1", "23502"),
        ("insert into child select mail || 'x' from plain", "23503"),
        ("select shout()", "P0001"),
        ("select mail::inet from plain", "22P02"),
        ("select to_date(mail, 'YYYY') from plain", "22007"),
        ("select mail::xml from plain", ""),
        ("select mail::json from plain", "22P02"),
        ("select convert_from(convert_to(mail, 'utf8') || '\\xff', 'utf8') from plain", "22021"),
        ("select regexp_replace('x', mail || '(', '') from plain", "2201B"),
        ("select mail::regclass from plain", "0A000"),
        ("select to_regclass(mail) from plain", "0A000"),
        ("select current_setting(mail) from plain", "42704"),
        ("select array[mail]::int[] from plain", "22P02"),
        ("select row(mail)::plain from plain", "42846"),
        ("select ('{\"' || mail || '\":}')::jsonb from plain", "22P02"),
    ] {
        let seen = raw.query(sql).unwrap();
        let said: String = seen.iter().map(Message::line).collect();
        let got = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C')).unwrap_or_default();
        assert_eq!(got, code, "{sql}: {said}");
        assert!(!said.contains("canary"), "{sql}: {said}");
    }
    let record = lab.gateway.record().unwrap();
    let with: Vec<_> = record.0.iter().filter(|e| e.0.to_string().contains("canary")).collect();
    assert!(with.is_empty(), "the record has values:\n{}", lines(&with));
    assert!(record.unbalanced().is_empty());
}

/// COPY data in binary: one row.
fn binary(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend((fields.len() as u16).to_be_bytes());
    for field in fields {
        out.extend((field.len() as u32).to_be_bytes());
        out.extend_from_slice(field);
    }
    out.extend([0xff; 2]);
    out
}

/// COPY data of the client stands in the record as its columns are masked, in every form.
#[test]
fn rows_that_a_client_copies_in_are_masked_in_the_record() {
    let rules =
        format!("{LABELS}[[label]]\nlabel = \"person\"\ncolumns = [\"customers.name\"]\n{ALL_MASKED}");
    let (lab, _folder) = lab_of(&rules, false, "");
    lab.far.sql("shop", PLAIN).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, data, count) in [
        (
            "copy customers from stdin",
            b"10\tCanary\tten.canary@example.com\tseen\n11\tCa\\x6eary\tx\ty\n\\.\n".to_vec(),
            2,
        ),
        ("copy customers (name, id) from stdin", b"Canary\t12\n".to_vec(), 1),
        (
            "copy customers (note, name, id) from stdin (format csv, header)",
            b"note,name,id\n\"seen\",\"Canary\n \",13\n".to_vec(),
            1,
        ),
        (
            "copy customers (id, name) from stdin (format csv, delimiter ';', quote '''')",
            b"14;'Can''ary;Canary'\n".to_vec(),
            1,
        ),
        (
            "copy customers (id, name) from stdin (format binary)",
            binary(&[&15_u32.to_be_bytes(), b"Canary"]),
            1,
        ),
        ("copy plain (id, mail, n) from stdin", b"7\tseven.canary@example.com\t1\n".to_vec(), 1),
        (
            "copy plain (id, mail, n) from stdin (format binary)",
            binary(&[&8_u32.to_be_bytes(), b"eight.canary@example.com", &[0, 0, 0, 1]]),
            1,
        ),
    ] {
        raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
        raw.until(b'G').unwrap();
        // In small pieces: values are found although no message holds them.
        for piece in data.chunks(5) {
            raw.send(b'd', piece).unwrap();
        }
        raw.send(b'c', b"").unwrap();
        let seen = raw.until(b'Z').unwrap();
        assert!(seen.iter().any(|m| m.line().contains(&format!("COPY {count}"))), "{sql}: {seen:?}");
    }
    for data in [
        &b"x.canary@example.com\ty\t1\n"[..],
        b"9\tada.canary@example.com\t1\n",
        b"9\tnine.canary@example.com\n",
    ] {
        raw.send(b'Q', b"copy plain (id, mail, n) from stdin\0").unwrap();
        raw.until(b'G').unwrap();
        raw.send(b'd', data).unwrap();
        raw.send(b'c', b"").unwrap();
        let said: String = raw.until(b'Z').unwrap().iter().map(Message::line).collect();
        assert!(said.contains('E') && !said.contains("canary"), "{said}");
    }
    assert_eq!(
        lab.far.sql("shop", "select count(*) from customers where name ilike '%anary%'").unwrap(),
        "6"
    );
    let record = lab.gateway.record().unwrap();
    let with: Vec<_> = record.0.iter().filter(|e| e.0.to_string().to_lowercase().contains("anary")).collect();
    let hex = "canary".bytes().map(|b| format!("{b:02x}")).collect::<String>();
    let with_hex = record.0.iter().any(|e| e.0.to_string().to_lowercase().contains(&hex[2..]));
    assert!(with.is_empty() && !with_hex, "the record has values:\n{}", lines(&with));
    assert!(record.0.iter().any(|e| e.0.to_string().contains("seen")), "what is not masked is kept");
    assert!(record.unbalanced().is_empty());
}

/// What follows a refused Parse up to Sync is skipped as a use of that, and of nothing else.
#[test]
fn what_follows_a_refused_parse_is_no_use_of_an_older_statement() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let parse = |sql: &str| frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
    let run = [frame(b'B', b"\0\0\0\0\0\0\0\0"), frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat();
    let mut say = |bytes: &[u8], tag: u8| {
        std::io::Write::write_all(&mut raw.stream, bytes).unwrap();
        raw.until(tag).unwrap()
    };
    let (read, wipe) = ("select name from customers where id = 1", "delete from customers");
    say(&[parse(read), run.clone()].concat(), b'Z');
    say(&[parse(wipe), frame(b'H', b"")].concat(), b'E');
    say(&run, b'Z');
    let record = lab.gateway.record().unwrap();
    let texts = record.texts();
    assert_eq!(texts.iter().filter(|text| *text == read).count(), 1, "{texts:?}");
    assert!(texts.iter().filter(|text| *text == wipe).count() >= 1, "{texts:?}");
    assert!(record.unbalanced().is_empty());
    assert_eq!(customers(&lab), "3");
}

/// Changed rows stand in the record beside the answer: what is masked there is masked here.
#[test]
fn changed_rows_hold_no_masked_value() {
    let record = writes_without_a_canary(&[
        "update customers set name = 'Ada L.' where id = 1",
        "update customers set name = 'G' where id = 2 returning *",
        "delete from customers where id = 3",
    ]);
    assert!(record.of_kind("command.changed").count() >= 2, "writes have their changed rows");
}

/// What a statement runs unseen: arguments of EXECUTE under EXPLAIN, checks of a parameter's type, expressions that planning folds.
#[test]
fn what_runs_beside_the_statement_is_judged_and_changes_nothing() {
    let (lab, _folder) = lab();
    lab.far
        .sql(
            "shop",
            "create function seen(text) returns boolean immutable language sql as 'select true';
             create domain checked as text check (seen(value)); create table folded (a int);
             create index on folded (a) where seen('x'); grant select on folded to app;
             create or replace function seen(text) returns boolean immutable language plpgsql security definer as
               $$ begin perform wipe(); return true; end $$;",
        )
        .unwrap();
    let oid: u32 = lab.far.sql("shop", "select 'checked'::regtype::oid").unwrap().trim().parse().unwrap();
    let through = lab.through();
    let prepare = "prepare p(int) as select $1";
    for sql in [
        &[prepare, "explain execute p(wipe())"][..],
        &[prepare, "explain (analyze false) execute p(wipe())"],
        &[prepare, "explain create table t as execute p(wipe())"],
        &["select * from folded"],
        &["explain select 1 where seen('x')"],
        &["select set_config('application_name', email, false) from customers"],
    ] {
        let said = psql(&through, sql);
        assert!(said.contains("Firsthand refused"), "{sql:?}: {said}");
    }
    let mut raw = Raw::login(&through, &[]).unwrap();
    let mut parse = b"\0select $1 is null\0\0\x01".to_vec();
    parse.extend(oid.to_be_bytes());
    let mut out = frame(b'P', &parse);
    out.extend(frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x01x\0\0"));
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    std::io::Write::write_all(&mut raw.stream, &out).unwrap();
    let seen: Vec<Message> = raw.until(b'Z').unwrap();
    assert!(seen.iter().any(|m| m.tag == b'E' && m.line().contains("Firsthand refused")), "{seen:?}");
    assert_eq!(customers(&lab), "3");
    // Nothing of it is so much as refused where it does nothing.
    assert!(!psql(&through, &[prepare, "explain execute p(1 + 1)"]).contains("ERROR"));
}

/// A text that does not parse is refused for that, not for what may be otherwise in a moment.
#[test]
fn what_does_not_parse_is_told_so() {
    let (lab, _folder) = lab();
    let said = psql(&lab.through(), &["select id, from customers"]);
    assert!(said.contains("unparsed: syntax error at or near \"from\""), "{said}");
    assert!(said.contains("Correct the syntax") && !said.contains("again soon"), "{said}");
    let said = psql(&lab.through(), &["select * form customers"]);
    let told = "syntax error at or near \"form\" at character 10";
    assert!(said.contains(told), "{said}");
    let record = lab.gateway.record().unwrap();
    let decided = record.of_kind("command.decided").filter(|e| e.text().contains("form")).last().unwrap();
    assert!(decided.payload("reason").as_str().is_some_and(|why| why.contains(told)), "{}", decided.0);
    let said = psql(&lab.through(), &["create role x password hunter2"]);
    assert!(said.contains("unparsed: syntax error") && !said.contains("hunter2\""), "{said}");
}

/// A case that gives a statement says nothing without the definitions that the statement needs: it is wrong then, and not denied.
#[test]
fn cases_of_statements_are_judged_by_a_targets_definitions() {
    let rules = "[[rule]]\nname = \"reads\"\nbecause = \"b\"\nverdict = \"allow\"\neffects = [\"read\"]\n\
        [[test]]\nsql = \"select name from customers\"\nverdict = \"allow\"\n\
        [[test]]\nsql = \"delete from customers\"\nverdict = \"deny\"\n";
    let (lab, folder) = lab_of(rules, false, "");
    let test = |more: &[&str]| {
        let folder = folder.path().display().to_string();
        let args = [&["policy", "test", folder.as_str()], more].concat();
        let out = lab.gateway.command(&args).unwrap().output().unwrap();
        (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let (fits, said) = test(&["--target", "shop"]);
    assert!(fits && said.contains("2 cases, as they must be"), "{said}");
    let (fits, said) = test(&[]);
    assert!(!fits && said.contains("2 of 2 cases") && said.contains("give --target TARGET"), "{said}");
}
