//! What stands around the rules: what a refusal advises, sessions that may only read, estimates of rows, and definitions that
//! others make, before a real PostgreSQL.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use firsthand_tests::gateway::Gateway;
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

const SEED: &str = "create table customers (id int primary key, name text, email text, api_key text);
insert into customers select n, 'n' || n, n || '@example.com', 'k' || n from generate_series(1, 500) n;
create table orders (id int primary key, customer int);
insert into orders select n, n from generate_series(1, 500) n;
create function counted() returns bigint language sql as 'select count(*) from customers';
create schema other; create table other.customers (id int);
grant all on all tables in schema public, other to app; grant usage on schema other to app;
grant create on schema public to app; analyze;";

/// A lab under these rules, perhaps with the shipped ones. The folder holds them.
fn lab(rules: &str, shipped: bool) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = {shipped}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

/// SQLSTATE, message and hint of the error, if there is one, and all that was said.
fn say(raw: &mut Raw, sql: &str) -> ([String; 3], String) {
    told(&raw.query(sql).unwrap())
}

fn told(seen: &[Message]) -> ([String; 3], String) {
    let error = seen.iter().find(|m| m.tag == b'E');
    let field = |code| error.and_then(|m| m.field(code)).unwrap_or_default();
    ([field(b'C'), field(b'M'), field(b'H')], seen.iter().map(Message::line).collect())
}

fn explained(gateway: &Gateway, sql: &str) -> Value {
    let args = ["policy", "explain", "--json", "--target", "shop", "--as", AGENT, sql];
    let out = gateway.command(&args).unwrap().output().unwrap();
    serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// The message is all that a model reads: what to do next stands in it, in the hint, and in what `explain` says before.
#[test]
fn a_refusal_says_what_to_do_next() {
    let rules = "[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n
[[label]]\nlabel = \"key\"\ncolumns = [\"*.api_key\"]\n
[[rule]]\nname = \"no-keys\"\nbecause = \"Keys are not read.\"\nverdict = \"deny\"\neffects = [\"read\"]\nlabels = [\"key\"]\n";
    let (lab, _folder) = lab(rules, true);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, rule, advice) in [
        (
            "delete from customers",
            "agents-unbounded-write",
            "Add a WHERE that chooses the rows. A person must approve it then.",
        ),
        (
            "delete from customers where id = 1",
            "agents-write-held",
            "Ask the operator who is to be in the group approvers: nobody is.",
        ),
        ("drop table customers", "agents-ddl", "You may read public.customers, not change it."),
        (
            "select id, api_key from customers",
            "no-keys",
            "Of public.customers read only the columns id, name, email.",
        ),
        (
            "select * from customer",
            "agents-opaque",
            "Check the name \"customer\": this database has no such table or view.",
        ),
        ("select pg_sleep(1)", "agents-", "Do not call pg_catalog.pg_sleep."),
        ("do $$ begin end $$", "agents-code", "without DO or CALL"),
        (
            "select name from customers, pg_catalog.pg_authid",
            "agents-secrets",
            "Leave pg_catalog.pg_authid out.",
        ),
        (
            "create table copied as select email from customers",
            "agents-",
            "Do not store values of masked columns elsewhere",
        ),
        ("set role app", "agents-settings", "Leave the setting role as it is."),
        (
            "select xmlparse(document query_to_xml('select 1', true, true, '')::text)",
            "agents-",
            "Write the statement out",
        ),
    ] {
        let ([code, message, hint], _) = say(&mut raw, sql);
        assert_eq!(code, "42501", "{sql}: {message}");
        let want = if sql.starts_with("create") { "You may" } else { advice };
        assert!(message.contains(rule) && message.contains(want), "{sql}: {message}");
        assert!(message.ends_with(&hint) && !message.contains('\n'), "{sql}: {message} / {hint}");
        let before = explained(&lab.gateway, sql);
        assert_eq!(before["advice"], json!(hint), "{sql}: {before}");
    }
}

const READERS: &str = "[[rule]]\nname = \"read\"\nbecause = \"Agents read.\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n\
effects = [\"read\", \"transaction\", \"session\"]\n";

#[test]
fn a_session_that_may_only_read_is_read_only_at_the_server_too() {
    let (lab, _folder) = lab(READERS, false);
    let off = [("options", "-c default_transaction_read_only=off")];
    let why = format!("{:#}", Raw::login(&lab.through(), &off).err().unwrap());
    assert!(why.contains("42501") && why.contains("read-only"), "{why}");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let show = "show default_transaction_read_only";
    assert!(say(&mut raw, show).1.contains("on"));
    for sql in [
        "set default_transaction_read_only = off",
        "set transaction_read_only to false",
        "set session characteristics as transaction read write",
        "begin read write",
        "start transaction isolation level serializable, read write",
        "begin; set transaction read write",
        "select set_config('transaction_read_only', 'off', false)",
        "select set_config('default_transaction_read_only', 'off', false) from customers limit 1",
        "set local transaction_read_only = 0",
    ] {
        let ([code, message, _], _) = say(&mut raw, sql);
        assert!(code == "42501" && message.contains("read-only"), "{sql}: {code} {message}");
        say(&mut raw, "rollback");
    }
    for sql in [
        "begin read only; select 1; commit",
        "set default_transaction_read_only = on",
        "reset default_transaction_read_only",
        "reset all",
        "discard all",
        "begin; select count(*) from customers; rollback and chain; commit",
    ] {
        let ([code, message, _], _) = say(&mut raw, sql);
        assert!(code.is_empty(), "{sql}: {code} {message}");
        assert!(say(&mut raw, show).1.contains("on"), "{sql}");
    }
    let record = lab.gateway.record().unwrap();
    let asked = record.of_kind("session.noted").find(|e| e.leaf("what") == &json!("asked")).unwrap();
    assert_eq!(asked.payload("detail")["set"], json!("default_transaction_read_only=on"), "{}", asked.0);
    // Who may change something is not held to that.
    let created =
        lab.gateway.cli(&["token", "create", "ada", "--kind", "human", "--target", "shop"]).unwrap();
    let start = created.find("fh_").unwrap();
    let mut human = Raw::login(&lab.gateway.place("ada", &created[start..start + 46], "shop"), &[]).unwrap();
    assert!(say(&mut human, show).1.contains("off"));
    assert_eq!(say(&mut human, "delete from orders where id = 1").0[0], "");
}

/// A body that somebody else has replaced a moment ago is taken for the old one. Then the server is the last to stop it.
#[test]
fn a_read_that_is_none_ends_its_session_and_is_recorded() {
    let (lab, _folder) = lab(READERS, false);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let first = say(&mut raw, "select counted()");
    assert!(first.0[0].is_empty() && first.1.contains("500"), "{first:?}");
    lab.far
        .sql("shop", "create or replace function counted() returns bigint language sql as 'delete from orders returning 1::bigint'")
        .unwrap();
    raw.send(b'Q', b"select counted()\0").unwrap();
    let seen = raw.until_closed().unwrap();
    let codes: Vec<String> = seen.iter().filter(|m| m.tag == b'E').filter_map(|m| m.field(b'C')).collect();
    assert_eq!(codes, ["25006", "42501"], "{seen:?}");
    assert_eq!(lab.far.sql("shop", "select count(*) from orders").unwrap(), "500");
    let record = lab.gateway.record().unwrap();
    let tripped = record.of_kind("session.noted").find(|e| e.leaf("what") == &json!("tripwire")).unwrap();
    assert_eq!(tripped.payload("detail")["cmd"], json!(2), "{}", tripped.0);
    let closed = record.of_kind("session.closed").any(|e| e.leaf("why") == &json!("tripwire"));
    assert!(closed && record.unbalanced().is_empty());
    // The same in the extended protocol, inside a transaction, with more behind it in the pipeline.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    lab.far
        .sql("shop", "create or replace function counted() returns bigint language sql as 'select count(*) from orders'")
        .unwrap();
    let until = Instant::now() + Duration::from_secs(12);
    while !say(&mut raw, "select counted(), nothing").0[1].contains("\"nothing\"") && Instant::now() < until {
    }
    assert_eq!(say(&mut raw, "begin").0[0], "");
    assert_eq!(say(&mut raw, "select counted()").0[0], "");
    lab.far
        .sql("shop", "create or replace function counted() returns bigint language sql as 'delete from orders returning 1::bigint'")
        .unwrap();
    let mut out = Vec::new();
    for sql in ["select counted()", "select id from orders"] {
        out.extend(frame(b'P', format!("\0{sql}\0\0\0").as_bytes()));
        out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
    }
    out.extend(frame(b'S', b""));
    std::io::Write::write_all(&mut raw.stream, &out).unwrap();
    let seen = raw.until_closed().unwrap();
    let codes: Vec<String> = seen.iter().filter(|m| m.tag == b'E').filter_map(|m| m.field(b'C')).collect();
    assert_eq!(codes, ["25006", "42501"], "{seen:?}");
    assert_eq!(lab.far.sql("shop", "select count(*) from orders").unwrap(), "500");
    assert!(lab.gateway.record().unwrap().unbalanced().is_empty());
    let (_, page) = lab.gateway.http("/metrics").unwrap();
    assert!(page.contains("firsthand_tripwires_total 2"), "{page}");
}

/// What READ ONLY lets through has a transaction number. It is asked for before the commit, which then never comes: seen from
/// another connection, nothing is left. Harmless functions answer as they do without a gateway.
#[test]
fn what_a_read_has_written_all_the_same_is_rolled_back() {
    let (lab, _folder) = lab(READERS, false);
    let version = lab.far.sql("shop", "select current_setting('server_version_num')").unwrap();
    let writes_pass = version.parse::<u32>().unwrap() < 160_000;
    let left = || lab.far.sql("shop", "select count(*) from pg_largeobject_metadata").unwrap();
    let body = |name: &str, sql: &str| {
        format!("create or replace function {name}() returns bigint language sql as '{sql}';")
    };
    let reads = "select count(*) from customers";
    let ways = ways();
    // One function for each: what another session replaces is known only later.
    let all: String = (0..ways.len()).map(|n| body(&format!("f{n}"), reads)).collect();
    for server in [&lab.near, &lab.far] {
        server.sql("shop", &all).unwrap();
    }
    for (n, (way, sends)) in ways.iter().enumerate() {
        let name = format!("f{n}");
        let sends = sends(&name);
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        let direct = tell(&mut Raw::login(&lab.direct(), &[]).unwrap(), &sends);
        assert_eq!(tell(&mut raw, &sends), direct, "{way}: the same as without a gateway");
        lab.far.sql("shop", &body(&name, "select lo_create(0)::bigint")).unwrap();
        let seen = tell(&mut raw, &sends);
        let ended = seen.last().is_some_and(|last| last == "closed");
        assert!(ended || !writes_pass, "{way}: {seen:?}");
        assert_eq!(left(), "0", "{way}: {seen:?}");
    }
    // What runs before a transaction asks for its number is looked at before that.
    let asks = "create or replace function asks() returns bigint language sql as '";
    lab.far.sql("shop", &format!("{asks}{reads}'")).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    say(&mut raw, "select asks()");
    lab.far.sql("shop", &format!("{asks}select lo_create(0)::bigint'")).unwrap();
    let sends = ["begin", "select asks()", "select txid_current()", "commit"];
    let seen = tell(&mut raw, &sends.map(|sql| frame(b'Q', format!("{sql}\0").as_bytes())));
    assert_eq!(seen.last().is_some_and(|last| last == "closed"), writes_pass, "{seen:?}");
    assert_eq!(left(), "0", "{seen:?}");
    // What a cursor runs at the commit is not seen before it.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    say(&mut raw, "begin");
    let (error, _) = say(&mut raw, "declare c cursor with hold for select counted()");
    assert!(error[1].contains("WITH HOLD"), "{error:?}");
    say(&mut raw, "rollback");
    say(&mut raw, "begin");
    let (error, _) = say(&mut raw, "declare c cursor with hold for select id from orders");
    assert!(error[0].is_empty(), "{error:?}");
    say(&mut raw, "commit");
    // A transaction that asks for its number has one.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "begin",
        "select txid_current()",
        "select counted()",
        "commit",
        "select counted(), txid_current()",
        "select 1",
    ] {
        let (error, _) = say(&mut raw, sql);
        assert!(error[0].is_empty(), "{sql}: {error:?}");
    }
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
    let trips = record.of_kind("session.noted").filter(|e| e.leaf("what") == &json!("tripwire")).count();
    assert_eq!(trips, if writes_pass { ways.len() + 1 } else { 0 });
}

/// What to send, for a function of this name.
type Sends = Box<dyn Fn(&str) -> Vec<Vec<u8>>>;

/// Ways to run the function `f`: what is sent one after the other, each answered before the next. `!`: in the simple protocol;
/// others are pipelines, with `|` between their statements.
const WAYS: &[(&str, &[&str])] = &[
    ("query", &["!select f()"]),
    ("query of two", &["!select f(); select 1"]),
    ("extended", &["select f()"]),
    ("pipeline", &["select 1|select f()|select id from orders where id < 3"]),
    ("block", &["!begin", "!select f()", "!select 1", "!commit"]),
    ("block, extended", &["begin", "select f()", "commit"]),
    ("block in a pipeline", &["begin|select f()|commit"]),
    ("cursor", &["!begin", "!declare c cursor for select f()", "!fetch c", "!end"]),
    ("savepoint", &["!begin; savepoint a", "!select f()", "!release a", "!commit"]),
    ("copy", &["!copy (select f()) to stdout"]),
    ("copy, extended", &["copy (select f()) to stdout"]),
    ("explain", &["!explain (analyze, costs off, timing off, summary off) select f()"]),
    ("prepared", &["!prepare p as select f()", "!execute p", "!deallocate p"]),
];

fn ways() -> Vec<(&'static str, Sends)> {
    let extended = |sql: &str| {
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out
    };
    let one = move |text: &str| match text.strip_prefix('!') {
        Some(sql) => frame(b'Q', format!("{sql}\0").as_bytes()),
        None => [text.split('|').flat_map(extended).collect(), frame(b'S', b"")].concat(),
    };
    let way = |(way, texts): &(&'static str, &'static [&'static str])| {
        let texts: &'static [&'static str] = texts;
        let sends =
            move |name: &str| texts.iter().map(|t| one(&t.replace("f()", &format!("{name}()")))).collect();
        (*way, Box::new(sends) as Sends)
    };
    WAYS.iter().map(way).collect()
}

/// Sends, and what comes back; `closed` where the session ended.
fn tell(raw: &mut Raw, sends: &[Vec<u8>]) -> Vec<String> {
    let mut seen = Vec::new();
    for send in sends {
        if std::io::Write::write_all(&mut raw.stream, send).is_err() {
            seen.push("closed".to_owned());
            return seen;
        }
        match raw.until(b'Z') {
            Ok(said) => seen.extend(said.iter().map(Message::line)),
            Err(_) => {
                seen.push("closed".to_owned());
                return seen;
            }
        }
    }
    seen
}

/// What was pinned when a session began stays; what the rules allow since then fails as PostgreSQL has it, and ends nothing.
#[test]
fn a_reload_that_gives_more_is_for_the_next_session() {
    let (mut lab, folder) = lab(READERS, false);
    let mut old = Raw::login(&lab.through(), &[]).unwrap();
    let write = "delete from orders where id = 1";
    assert_eq!(say(&mut old, write).0[0], "42501");
    let more = READERS.replace("\"read\",", "\"read\", \"write\",");
    std::fs::write(folder.path().join("rules.toml"), more).unwrap();
    lab.gateway.daemon().unwrap().signal(Signal::HUP);
    lab.gateway.daemon().unwrap().wait_line(|line| line.contains("reloaded")).unwrap();
    assert_eq!(say(&mut old, write).0[0], "25006");
    assert!(say(&mut old, "select 1").1.contains('1'), "it lives on");
    let mut new = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(say(&mut new, write).0[0], "");
}

const FEW: &str = "[[rule]]\nname = \"write\"\nbecause = \"Agents write.\"\nverdict = \"allow\"\nkinds = [\"agent\"]\n
[[rule]]\nname = \"few\"\nbecause = \"Only few rows at a time.\"\nverdict = \"deny\"\nkinds = [\"agent\"]\neffects = [\"write\"]\nrows_over = 20\n";

#[test]
fn rows_are_estimated_where_a_rule_counts_them() {
    let (lab, _folder) = lab(FEW, false);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, few) in [
        ("delete from customers where id = 1", true),
        ("delete from customers where id < 5", true),
        ("update customers set name = lower(name) where id between 7 and 9", true),
        ("insert into orders values (1001, 1), (1002, 1)", true),
        ("delete from customers where id > 1", false),
        ("insert into orders select id + 2000, id from customers", false),
        ("update customers set name = ''", false),
        ("with gone as (delete from orders where id > 3 returning id) select count(*) from gone", false),
        // A cast that may write a backslash, a name of this session, a function of somebody's: nothing is known.
        ("update customers set name = '\\' where id = 1", false),
        ("select count(*) from customers", true),
        ("begin", true),
        ("create temporary table mine (id int)", true),
        ("commit", true),
    ] {
        let ([code, message, hint], _) = say(&mut raw, sql);
        if few {
            assert!(code.is_empty(), "{sql}: {message}");
        } else {
            assert!(code == "42501" && message.contains("rule few"), "{sql}: {code} {message}");
            assert!(hint.contains("Choose fewer rows."), "{sql}: {hint}");
        }
    }
    // Other names: what the session means is not what the gateway's own connection would ask about.
    assert_eq!(say(&mut raw, "set search_path = other, public").0[0], "");
    assert_eq!(say(&mut raw, "delete from customers where id = 1").0[0], "42501");
    assert_eq!(say(&mut raw, "reset search_path").0[0], "");
    // A parameter's value is not known: a key chooses one row whatever it is, a comparison may choose many.
    for (sql, want) in
        [("delete from orders where id = $1", "12nCZ"), ("delete from orders where id > $1", "EZ")]
    {
        let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'B', b"\0\0\0\0\0\x01\0\0\0\x0277\0\0"));
        out.extend(frame(b'D', b"P\0"));
        out.extend(frame(b'E', b"\0\0\0\0\0"));
        out.extend(frame(b'S', b""));
        std::io::Write::write_all(&mut raw.stream, &out).unwrap();
        let seen = raw.until(b'Z').unwrap();
        let tags: String = seen.iter().map(|m| char::from(m.tag)).collect();
        assert_eq!(tags, want, "{sql}: {seen:?}");
    }
    let record = lab.gateway.record().unwrap();
    let estimates =
        record.of_kind("target.asked").filter(|e| e.leaf("facts")["what"] == json!("estimate")).count();
    assert!(estimates > 5, "what was asked is recorded: {estimates}");
    let decided =
        record.of_kind("command.decided").find(|e| e.text() == "delete from customers where id = 1").unwrap();
    assert_eq!(decided.leaf("estimated"), &json!(1), "{}", decided.0);
}

/// What another connection defines is known to the first statement that names it.
#[test]
fn a_name_that_is_new_is_looked_up_at_once() {
    let (lab, _folder) = lab("[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n", true);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(say(&mut raw, "select id from customers where id = 1").0[0], "");
    lab.far
        .sql(
            "shop",
            "create table fresh (id int); insert into fresh values (5); grant select on fresh to app",
        )
        .unwrap();
    let ([code, message, _], said) = say(&mut raw, "select id from fresh");
    assert!(code.is_empty() && said.contains('5'), "{message}");
    // In a pipeline, and prepared.
    lab.far.sql("shop", "create table fresher (id int); grant select on fresher to app").unwrap();
    let mut other = Raw::login(&lab.through(), &[]).unwrap();
    let mut out = frame(b'P', b"\0select id from fresher\0\0\0");
    out.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    std::io::Write::write_all(&mut other.stream, &out).unwrap();
    let tags: String = other.until(b'Z').unwrap().iter().map(|m| char::from(m.tag)).collect();
    assert_eq!(tags, "12CZ");
    // What is not there stays refused, and is not asked about again and again.
    let before = lab.gateway.record().unwrap().of_kind("target.asked").count();
    for _ in 0..50 {
        assert_eq!(say(&mut raw, "select id from nowhere").0[0], "42501");
    }
    let after = lab.gateway.record().unwrap().of_kind("target.asked").count();
    assert!(after - before < 10, "{before} {after}");
}

/// Without definitions nothing is known, which the refusal says; they are tried again soon.
#[test]
fn a_database_that_cannot_be_read_is_tried_again_in_seconds() {
    let (lab, _folder) = lab("[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n", true);
    lab.far.sql("shop", "revoke select on pg_catalog.pg_policy from public").unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let sql = "select id from customers where id = 1";
    let ([code, message, _], _) = say(&mut raw, sql);
    assert!(code == "42501" && message.contains("send it again soon"), "{code} {message}");
    lab.far.sql("shop", "grant select on pg_catalog.pg_policy to public").unwrap();
    let until = Instant::now() + Duration::from_secs(12);
    while say(&mut raw, sql).0[0] == "42501" && Instant::now() < until {}
    assert_eq!(say(&mut raw, sql).0[0], "");
}

/// The files of kept catalogs, with what tells that one was written anew.
fn kept(gateway: &Gateway) -> Vec<(PathBuf, u64)> {
    let folder = std::fs::read_dir(gateway.data_dir().join("catalogs")).into_iter().flatten();
    let rows = folder.filter_map(|entry| Some(entry.ok()?.path()));
    let rows = rows.filter(|path| path.extension().is_some_and(|e| e == "rows"));
    rows.map(|path| (path.clone(), std::fs::metadata(&path).unwrap().ino())).collect()
}

#[test]
fn a_catalog_is_kept_for_the_next_run_and_believed_only_while_it_is_true() {
    let (mut lab, _folder) = lab("[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n", true);
    let read = |lab: &Lab, sql: &str| {
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        say(&mut raw, sql)
    };
    assert_eq!(read(&lab, "select id from customers where id = 1").0[0], "");
    lab.gateway.stop().unwrap();
    let first = kept(&lab.gateway);
    assert_eq!(first.len(), 1, "{first:?}");
    let file = first[0].0.clone();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Unchanged: it is used, not written again.
    lab.gateway.serve().unwrap();
    let (error, said) = read(&lab, "select email from customers where id = 1");
    assert!(error[0].is_empty() && !said.contains("example.com"), "{error:?} {said}");
    lab.gateway.stop().unwrap();
    assert_eq!(kept(&lab.gateway), first);
    // The database has moved on: it is read again.
    lab.far.sql("shop", "create table later (id int); grant select on later to app").unwrap();
    lab.gateway.serve().unwrap();
    assert_eq!(read(&lab, "select id from later").0[0], "");
    lab.gateway.stop().unwrap();
    assert_ne!(kept(&lab.gateway), first);
    // Damaged: as if there were none.
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    lab.gateway.serve().unwrap();
    assert_eq!(read(&lab, "select id from later").0[0], "");
    lab.gateway.stop().unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn a_preview_shows_what_would_change_and_changes_nothing() {
    let rules = "[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n";
    let (mut lab, _folder) = lab(rules, true);
    let previewed = |lab: &Lab, sql: &str, more: &[&str]| {
        let mut args = vec!["policy", "explain", "--json", "--preview", "--target", "shop", "--as", AGENT];
        args.extend(more);
        args.push(sql);
        let out = lab.gateway.command(&args).unwrap().output().unwrap();
        let told: Value = serde_json::from_slice(&out.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
        (told["verdict"].clone(), told["preview"].clone())
    };
    let (verdict, preview) = previewed(&lab, "delete from customers where id = 7", &[]);
    assert_eq!((verdict, &preview["how"], &preview["count"]), (json!("hold"), &json!("exact"), &json!(1)));
    let old = &preview["sample"]["old"][0];
    assert_eq!((&old[0], &old[1]), (&json!("7"), &json!("n7")));
    assert!(!preview.to_string().contains("@example.com") && old[2] == json!("[email]"), "{preview}");
    // In the session that it would be sent in.
    let (_, other) =
        previewed(&lab, "delete from customers where id > 7", &["--setup", "set search_path to other"]);
    assert_eq!((&other["how"], &other["count"]), (&json!("exact"), &json!(0)), "{other}");
    let (_, begun) = previewed(&lab, "delete from customers where id = 7", &["--setup", "begin"]);
    assert_eq!(begun["how"], json!("none"), "{begun}");
    let (_, several) = previewed(&lab, "delete from customers where id = 7; commit", &[]);
    assert_eq!(several["how"], json!("none"), "{several}");
    assert_eq!(lab.far.sql("shop", "select count(*) from customers").unwrap(), "500");
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let asked = record.of_kind("admin.target_asked");
    let asked = asked.filter(|e| e.leaf("facts")["command"] == json!("policy explain --preview")).count();
    assert_eq!(asked, 3, "several statements are not even asked about");
}
