//! Real drivers: what each prints through the gateway equals what it prints directly, and the record tells what it did.

use firsthand_tests::clients::{script, setup};
use firsthand_tests::gateway::Target;
use firsthand_tests::lab::{AGENT, Lab, Plan, first_difference};
use firsthand_tests::process;
use firsthand_tests::record::{Entry, Record};
use serde_json::{Value, json};

/// A statement that must stand in the record, with how it ended and with which parameters.
struct Told {
    /// A part of its text.
    part: &'static str,
    /// SQLSTATE, empty where it went well.
    sqlstate: &'static str,
    /// Values of its parameters, null where not looked at.
    parameters: Value,
}

fn told(part: &'static str, sqlstate: &'static str) -> Told {
    Told { part, sqlstate, parameters: Value::Null }
}

fn with(part: &'static str, parameters: Value) -> Told {
    Told { part, sqlstate: "", parameters }
}

/// The values of an intent's parameters, without their types.
fn values(intent: &Entry) -> Value {
    let list = intent.payload("parameters").as_array().cloned().unwrap_or_default();
    list.into_iter().map(|p| p.get("value").cloned().unwrap_or(Value::Null)).collect()
}

fn assert_told(record: &Record, expected: &[Told]) {
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "commands without exactly one outcome:\n{}", wrong.join("\n"));
    assert!(record.contiguous(), "positions with gaps");
    for want in expected {
        let found = record.intents(want.part).any(|intent| {
            let sqlstate = record.outcome(intent).map(Entry::sqlstate);
            sqlstate == Some(want.sqlstate)
                && (want.parameters.is_null() || values(intent) == want.parameters)
        });
        let near: Vec<String> = record
            .intents(want.part)
            .take(5)
            .map(|i| format!("{} {} → {:?}", i.text(), values(i), record.outcome(i).map(|o| &o.0)))
            .collect();
        assert!(
            found,
            "not in the record: {:?} {:?} {}\n{}",
            want.part,
            want.sqlstate,
            want.parameters,
            near.join("\n")
        );
    }
    assert!(record.of_kind("session.opened").count() > 0);
    for opened in record.of_kind("session.opened") {
        assert_eq!(opened.payload("login").as_str(), Some(AGENT));
        assert_eq!(opened.leaf("who")["target"], json!("shop"), "{}", opened.0);
        assert_eq!(opened.leaf("who")["chain"].as_array().map(Vec::len), Some(3), "{}", opened.0);
    }
    let (opened, closed) =
        (record.of_kind("session.opened").count(), record.of_kind("session.closed").count());
    assert_eq!(opened, closed, "sessions opened and closed");
}

/// Runs the driver's script both ways and compares; returns the record of it.
fn same(client: &'static str, set: &'static str) -> Record {
    setup(set).unwrap();
    let mut lab = Lab::start(Plan::default()).unwrap();
    let (direct, through) = lab.both(|_| script(client)).unwrap();
    assert!(direct.lines().count() > 5, "{client} said too little:\n{direct}");
    if let Some(difference) = first_difference(&direct, &through) {
        panic!("{client}: {difference}");
    }
    settled(&mut lab)
}

/// The record after the gateway has stopped, so that every session is closed in it.
fn settled(lab: &mut Lab) -> Record {
    lab.gateway.stop().unwrap();
    lab.gateway.record().unwrap()
}

#[test]
fn psql() {
    let record = same("psql", "python");
    assert_told(
        &record,
        &[
            told("insert into t (name, m) values ('Ada', 'high')", ""),
            told("select 1/0", "22012"),
            told("selec;", "42601"),
            told("copy t (name) from stdin", ""),
            told("copy t (name, m) from stdin (format csv)", "22P02"),
            told("raise exception 'an exception'", "RF123"),
            told("select pg_sleep(60)", "57014"),
            told("insert into psql_gone values (1/0)", "22012"),
        ],
    );
    let several: Vec<_> =
        record.texts().into_iter().filter(|t| t.contains("as a") || t.contains("as b")).collect();
    assert!(several.iter().any(|t| t.trim() == "select 1 as a"), "one command per statement: {several:?}");
    let deleted = record.intents("delete from t").next().unwrap();
    assert_eq!(record.outcome(deleted).unwrap().leaf("affected"), &json!(3));
    assert_eq!(deleted.leaf("effects"), &json!(["write"]));
}

#[test]
fn psycopg_3() {
    let record = same("psycopg3", "python");
    assert_told(
        &record,
        &[
            with("select $1::int4 * 2 as twice", json!(["7"])),
            with("select $1::uuid as v", json!(["6f2c9c6e-7d1b-4c5e-9a1f-0123456789ab"])),
            told("select * from nowhere", "42P01"),
            told("select 1/0", "22012"),
            told("insert into t values (1, 'twice')", "23505"),
            told("copy c from stdin (format binary)", ""),
            told("copy c from stdin", "57014"),
            told("select pg_sleep(60)", "57014"),
            told("select lo_from_bytea(0, $1)", ""),
        ],
    );
    let numeric = record.intents("::numeric as v").map(values).collect::<Vec<_>>();
    assert_eq!(numeric.len(), 2, "once in text, once in binary");
    assert!(numeric.iter().all(|v| v == &json!(["-12345678901234567890.123456789"])), "{numeric:?}");
    let bytea = record.intents("::bytea as v").map(values).collect::<Vec<_>>();
    assert!(bytea.iter().all(|v| v == &bytea[0]), "text and binary read alike: {bytea:?}");
    let large = record.intents("n::numeric / 7 from generate_series(1, 10000)").next().unwrap();
    let outcome = record.outcome(large).unwrap();
    assert_eq!(outcome.leaf("rows"), &json!(10000), "the whole count, though fewer rows are kept");
    assert_eq!(outcome.payload("digest").as_str().map(str::len), Some(64));
}

#[test]
fn psycopg2() {
    let record = same("psycopg2", "python");
    assert_told(
        &record,
        &[
            told("insert into t values (1)", "23505"),
            told("select 1", "25P02"),
            told("copy c from stdin", "22P02"),
            told("select pg_sleep(60)", "57014"),
            told("FETCH FORWARD 7 FROM", ""),
        ],
    );
}

#[test]
fn asyncpg() {
    let record = same("asyncpg", "python");
    assert_told(
        &record,
        &[
            with("select $1::smallint", json!(["-32768"])),
            with("select $1::text[]", json!(["{a,\"b\\\"c\",\"\",NULL,\"{}\"}"])),
            told("insert into t values ($1)", "23505"),
            told("select pg_sleep(60)", "57014"),
        ],
    );
    // A portal asked for a part of its rows at a time is a command each time.
    let asked = record.intents("select n, n * $1::int as m from generate_series(1, $2) n").count();
    assert!(asked >= 4, "{asked} executions of the prepared statement");
    let suspended =
        record.of_kind("command.completed").filter(|e| e.leaf("suspended") == &json!(true)).count();
    assert!(suspended > 10, "{suspended} suspended portals");
}

#[test]
fn sqlalchemy() {
    let record = same("sqlalchemy", "python");
    assert_told(
        &record,
        &[
            told("CREATE TABLE orm.customer", ""),
            told("INSERT INTO orm.customer", "23505"),
            told("DELETE FROM orm.orders", ""),
        ],
    );
}

#[test]
fn node_postgres() {
    let record = same("node-postgres", "npm");
    assert_told(
        &record,
        &[
            with("select $1::int * 2 as v", json!(["2"])),
            told("select $1::int / 0", "22012"),
            told("select $1::int", "22P02"),
            told("insert into t values ($1)", "23505"),
            told("select pg_sleep(60)", "57014"),
            told("select * from nowhere", "42P01"),
        ],
    );
}

#[test]
fn postgres_js() {
    let record = same("postgresjs", "npm");
    assert_told(
        &record,
        &[
            told("/ 0 as v", "22012"),
            with("select $1::text as v", json!(["x"])),
            told("select * from nowhere", "42P01"),
            told("select pg_sleep(60)", "57014"),
        ],
    );
}

#[test]
fn pgjdbc() {
    let record = same("pgjdbc", "pgjdbc");
    assert_told(
        &record,
        &[
            with("insert into t values ($1, $2)", json!(["42", "batch 42"])),
            told("insert into t values ($1, $2)", "23505"),
            told("select pg_sleep(60)", "57014"),
            told("select 'simple'", ""),
        ],
    );
    assert_eq!(record.intents("select $1::numeric").count(), 7, "a repeated Execute is a command each time");
}

#[test]
fn tokio_postgres() {
    let record = same("tokio-postgres", "python");
    assert_told(
        &record,
        &[
            with("select 10 / $1::int", json!(["1"])),
            told("select 10 / $1::int", "22012"),
            told("copy c from stdin", "22P02"),
            told("select pg_sleep(60)", "57014"),
        ],
    );
}

#[test]
fn sqlx() {
    let record = same("sqlx", "sqlx");
    assert_told(
        &record,
        &[
            with("select $1 * 2", json!(["2"])),
            told("insert into t values ($1)", "23505"),
            told("selec", "42601"),
        ],
    );
}

#[test]
fn pgx() {
    let record = same("pgx", "pgx");
    assert_told(
        &record,
        &[
            with("insert into t values ($1, $2) returning id", json!(["3", "n3"])),
            told("insert into t values (0, 'twice')", "23505"),
            told("copy \"t\"", ""),
        ],
    );
}

#[test]
fn pg_dump_and_restore() {
    let mut lab = Lab::start(Plan { role: "postgres".to_owned(), ..Plan::default() }).unwrap();
    for server in [&lab.near, &lab.far] {
        server.sql("postgres", "CREATE DATABASE restored").unwrap();
    }
    let far = lab.far.place("postgres", "restored");
    lab.gateway.stop().unwrap();
    lab.gateway.rewrite(|settings| settings.targets.push(Target::of(&far))).unwrap();
    lab.gateway.serve().unwrap();
    let secret = lab.gateway.token("dump", &["shop", "restored"]).unwrap();
    let ways = [
        (lab.direct(), lab.near.place("postgres", "restored").url()),
        (lab.gateway.place("dump", &secret, "shop"), lab.gateway.place("dump", &secret, "restored").url()),
    ];
    let [direct, through] = ways.map(|(place, back)| {
        let mut command = script("dump").unwrap();
        process::run(command.envs(place.environment()).env("DUMP_RESTORE_URL", back)).unwrap()
    });
    assert!(direct.contains("== restored\nthe same\n"), "{direct}");
    if let Some(difference) = first_difference(&direct, &through) {
        panic!("{difference}");
    }
    lab.gateway.stop().unwrap();
    let record = lab.gateway.record().unwrap();
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(record.intents("COPY shop.customer").count() >= 2, "dumps and restores copy");
    let secrets: Vec<_> = record.intents("not a secret").collect();
    assert!(secrets.is_empty(), "the password of a user mapping stands in the record");
}
