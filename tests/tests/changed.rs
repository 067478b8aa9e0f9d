//! Which rows a write touched: the founding question, answered from the record alone.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::Entry;
use serde_json::{Value, json};

const SEED: &str = "create table payments (id int primary key, who text, amount numeric(8,2));
grant all on payments to app;
insert into payments values (1, 'Ada', 10), (2, 'Grace', 20.5), (3, 'Edsger', 30);
create table audit (at int, what text); grant insert on audit to app;";

fn lab(more: &str) -> Lab {
    let plan = Plan { more: more.to_owned(), seed: SEED.to_owned(), ..Plan::default() };
    Lab::start(plan).unwrap()
}

fn query(raw: &mut Raw, sql: &str) -> Vec<Message> {
    raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
    raw.until(b'Z').unwrap()
}

fn tags(seen: &[Message]) -> String {
    seen.iter().map(|m| char::from(m.tag)).collect()
}

/// What the record holds of the rows that the command of this text changed.
fn changed(lab: &Lab, part: &str) -> Vec<Entry> {
    let record = lab.gateway.record().unwrap();
    let intent = record.intents(part).next().unwrap_or_else(|| panic!("{part} is not in the record")).clone();
    let of = |e: &&Entry| e.session() == intent.session() && e.command() == intent.command();
    record.of_kind("command.changed").filter(of).cloned().collect()
}

/// The founding scenario: what was in the row that was deleted at 2 a.m.
#[test]
fn the_deleted_row_stands_in_the_record_as_it_was() {
    let lab = lab("changed_rows = \"values\"\n");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let seen = query(&mut raw, "delete from payments where who like 'G%' -- 2 a.m.");
    assert_eq!(tags(&seen), "CZ");
    assert_eq!(seen[0].line(), "C DELETE 1\\x00");
    let left = lab.far.sql("shop", "select string_agg(id::text, ',' order by id) from payments").unwrap();
    assert!(left.contains("1,3"), "{left}");
    let changed = changed(&lab, "2 a.m.");
    let [entry] = changed.as_slice() else { panic!("{changed:?}") };
    assert_eq!(entry.leaf("table"), "public.payments");
    assert_eq!((entry.leaf("action"), entry.leaf("count")), (&json!("delete"), &json!(1)));
    assert_eq!(entry.leaf("how"), "returning");
    assert_eq!(entry.named_rows("old"), [json!({"id": "2", "who": "Grace", "amount": "20.50"})]);
    let key: Vec<_> =
        entry.payload("columns").as_array().unwrap().iter().filter(|c| c["key"] == true).collect();
    assert_eq!(key.len(), 1, "{key:?}");
    // What the gateway asked for itself stands there, too, and the client's own text as it was.
    let record = lab.gateway.record().unwrap();
    assert!(record.of_kind("target.asked").any(|e| e.leaf("facts")["tables"] == json!(["payments"])));
    assert!(record.texts().iter().all(|text| !text.to_lowercase().contains("returning")));
    assert!(record.unbalanced().is_empty());
}

#[test]
fn keys_only_or_nothing_where_the_setting_says_so() {
    for (more, old) in [
        ("changed_rows = \"keys\"\n", Some(json!({"id": "2"}))),
        ("changed_rows = \"off\"\n", None),
        ("", None),
    ] {
        let lab = lab(more);
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        assert_eq!(tags(&query(&mut raw, "delete from payments where id = 2")), "CZ");
        let found: Vec<_> = changed(&lab, "delete").iter().flat_map(|e| e.named_rows("old")).collect();
        assert_eq!(found, old.into_iter().collect::<Vec<_>>(), "{more}");
    }
}

/// A role that may write and not read: the statement goes as it is, and the record says why.
#[test]
fn without_the_right_to_read_the_statement_goes_as_it_is() {
    let lab = lab("changed_rows = \"values\"\n");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(tags(&query(&mut raw, "insert into audit values (1, 'x')")), "CZ");
    assert!(changed(&lab, "insert into audit").is_empty());
    let record = lab.gateway.record().unwrap();
    let intent = record.intents("insert into audit").next().unwrap();
    assert_eq!(record.outcome(intent).unwrap().leaf("coverage"), &json!(["changed-rows:no-select"]));
}

/// In a transaction, with a savepoint, through a prepared statement: always the rows that really changed.
#[test]
fn what_the_record_says_is_what_a_second_connection_sees() {
    let lab = lab("changed_rows = \"values\"\n");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "begin",
        "insert into payments select g, 'n' || g, g from generate_series(100, 2599) g",
        "savepoint s",
        "delete from payments where id > 2500",
        "commit",
    ] {
        query(&mut raw, sql);
    }
    let inserted = changed(&lab, "generate_series(100, 2599)");
    let kept: usize = inserted.iter().map(|e| e.named_rows("new").len()).sum();
    let last = inserted.last().unwrap();
    assert_eq!((kept, last.leaf("count")), (1000, &json!(2500)), "the cap of rows, and the whole count");
    assert_eq!(last.leaf("coverage"), &json!(["changed-rows:past-cap"]));
    let deleted: Vec<_> = changed(&lab, "id > 2500").iter().flat_map(|e| e.named_rows("old")).collect();
    let ids: Vec<_> = deleted.iter().map(|r| r["id"].as_str().unwrap().parse::<u32>().unwrap()).collect();
    assert_eq!(ids, (2501..2600).collect::<Vec<_>>());
    let left = lab.far.sql("shop", "select count(*), max(id) from payments").unwrap();
    assert!(left.contains("2404") && left.contains("2500"), "{left}");
}

/// What a step of a script does.
enum Step {
    /// An administrator does this on both servers, past the gateway.
    Admin(&'static str),
    /// A Query.
    Say(&'static str),
    /// Messages, up to so many ReadyForQuery.
    Send(Vec<u8>, usize),
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// A Bind without values; `formats` are those of the result.
fn bind(portal: &str, name: &str, formats: &[u8]) -> Vec<u8> {
    let mut body = format!("{portal}\0{name}\0\0\0\0\0").into_bytes();
    body.extend([0, u8::try_from(formats.len()).unwrap()]);
    formats.iter().for_each(|format| body.extend([0, *format]));
    frame(b'B', &body)
}

fn describe(portal: &str) -> Vec<u8> {
    frame(b'D', format!("P{portal}\0").as_bytes())
}

fn execute(portal: &str, rows: u8) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend([0, 0, 0, rows]);
    frame(b'E', &body)
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// Runs the script at both servers; each step's answers, directly and through the gateway.
fn both(lab: &Lab, parameters: &[(&str, &str)], script: &[Step]) -> Vec<[Vec<String>; 2]> {
    let mut direct = Raw::login(&lab.direct(), parameters).unwrap();
    let mut through = Raw::login(&lab.through(), parameters).unwrap();
    let mut said = Vec::new();
    for step in script {
        let (bytes, units) = match step {
            Step::Admin(sql) => {
                lab.near.sql("shop", sql).unwrap();
                lab.far.sql("shop", sql).unwrap();
                continue;
            }
            Step::Say(sql) => (frame(b'Q', format!("{sql}\0").as_bytes()), 1),
            Step::Send(bytes, units) => (bytes.clone(), *units),
        };
        said.push([&mut direct, &mut through].map(|raw| {
            std::io::Write::write_all(&mut raw.stream, &bytes).unwrap();
            let units = (0..units).flat_map(|_| raw.until(b'Z').unwrap());
            units.map(|message| message.line()).collect()
        }));
    }
    said
}

fn assert_alike(what: &str, said: &[[Vec<String>; 2]]) {
    for (n, [direct, through]) in said.iter().enumerate() {
        assert_eq!(direct, through, "{what}, step {n}");
    }
}

/// The coverage of the outcome of the last command with this text, and how many changed rows of it are in the record.
fn known(lab: &Lab, part: &str) -> (String, usize) {
    let record = lab.gateway.record().unwrap();
    let intent = record.intents(part).last().unwrap_or_else(|| panic!("{part} is not in the record"));
    let of = |e: &&Entry| e.session() == intent.session() && e.command() == intent.command();
    let changed: Vec<_> = record.of_kind("command.changed").filter(of).collect();
    let outcome = record.outcome(intent).unwrap();
    let facts = |e: &Entry| e.leaf("coverage").as_array().cloned().unwrap_or_default();
    let all: Vec<String> = facts(outcome)
        .iter()
        .chain(changed.iter().flat_map(|e| facts(e)).collect::<Vec<_>>().iter())
        .map(|fact| fact.as_str().unwrap_or_default().to_owned())
        .collect();
    let rows = changed.iter().map(|e| e.leaf("rows").as_u64().unwrap_or(0) as usize).sum();
    (all.join(" "), rows)
}

/// Definitions and privileges that others change between one statement and the next, or between Parse and Bind: a write
/// through the gateway does what it does without it.
#[test]
fn what_others_change_meanwhile_makes_no_difference() {
    let lab = lab("changed_rows = \"values\"\n");
    let update = "update payments set amount = amount + 1 where id = 1";
    for (what, admin, fact, rows) in [
        ("a column is dropped", "alter table payments drop column who", "", 1),
        ("a column is renamed", "alter table payments rename column amount to sum", "", 0),
        ("and back", "alter table payments rename column sum to amount", "", 1),
        ("a type is changed", "alter table payments alter amount type numeric(12, 4)", "", 1),
        (
            "a privilege is revoked",
            "revoke all on payments from app; grant update, select (id, amount) on payments to app",
            "changed-rows:old-values",
            1,
        ),
        ("all but writing is", "revoke select (amount) on payments from app", "", 0),
        ("reading is granted", "grant select on payments to app", "", 1),
        ("a rule is made", "create rule r as on update to payments do also select 1", "changed-rows:rule", 0),
        ("and dropped", "drop rule r on payments", "", 1),
        (
            "rows are secured",
            "alter table payments enable row level security; create policy p on payments using (true)",
            "changed-rows:row-security",
            0,
        ),
        ("and are not", "alter table payments disable row level security", "", 1),
        (
            "the key goes",
            "alter table payments drop constraint payments_pkey",
            "changed-rows:no-key changed-rows:old-values",
            1,
        ),
    ] {
        for prepared in [false, true] {
            let mut script = Vec::new();
            if prepared {
                script.push(Step::Send([parse("s", update), sync()].concat(), 1));
                script.push(Step::Send([bind("", "s", &[]), execute("", 0), sync()].concat(), 1));
            } else {
                script.push(Step::Say(update));
            }
            if !prepared {
                script.push(Step::Admin(admin));
            }
            script.push(if prepared {
                Step::Send([bind("", "s", &[1]), describe(""), execute("", 1), sync()].concat(), 1)
            } else {
                Step::Say(update)
            });
            assert_alike(what, &both(&lab, &[], &script));
            let (coverage, changed) = known(&lab, update);
            assert_eq!((coverage.as_str(), changed), (fact, rows), "{what}, prepared: {prepared}");
        }
    }
}

/// The same in the middle: prepared before, executed after.
#[test]
fn a_statement_prepared_before_a_change_says_what_it_would_say() {
    let lab = lab("changed_rows = \"values\"\n");
    let text = "update payments set amount = 1 where id = 2 returning *";
    let again = || Step::Send([bind("", "s", &[]), describe(""), execute("", 0), sync()].concat(), 1);
    let script = [
        Step::Send([parse("s", text), frame(b'D', b"Ss\0"), sync()].concat(), 1),
        again(),
        Step::Admin("alter table payments add column more text default 'x'"),
        again(),
        Step::Send([parse("t", text), sync()].concat(), 1),
        Step::Admin("alter table payments drop column more"),
        again(),
        Step::Admin("revoke select on payments from app"),
        again(),
        Step::Admin("drop table payments"),
        again(),
        Step::Admin("create view payments as select 1 as id, 2 as amount"),
        again(),
        Step::Say("select name, statement from pg_prepared_statements order by 1"),
    ];
    assert_alike("a list of its own", &both(&lab, &[], &script));
}

/// Formats, row limits, portals that are run twice, errors in pipelines, statements that look at themselves.
#[test]
fn messages_mean_what_they_meant() {
    let lab = lab("changed_rows = \"values\"\n");
    let (own, bare) = ("update payments set who = who returning id, who", "update payments set who = who");
    let said = both(
        &lab,
        &[],
        &[
            Step::Send([parse("o", own), parse("b", bare), sync()].concat(), 1),
            Step::Send([bind("", "o", &[0, 1, 0]), execute("", 0), sync()].concat(), 1),
            Step::Send([bind("", "b", &[0, 1, 0]), execute("", 0), sync()].concat(), 1),
            Step::Send([bind("", "o", &[1]), describe(""), execute("", 0), sync()].concat(), 1),
            Step::Send([bind("", "o", &[0, 1]), execute("", 0), execute("", 0), sync()].concat(), 1),
            Step::Send([bind("p", "b", &[]), execute("p", 1), execute("p", 1), sync()].concat(), 1),
            Step::Say("begin"),
            Step::Send([bind("p", "o", &[]), execute("p", 2), sync()].concat(), 1),
            Step::Send([bind("p", "b", &[]), sync()].concat(), 1),
            Step::Say("rollback"),
            // A failed message, and a Query before the Sync: it is skipped.
            Step::Send([parse("", "selec"), frame(b'Q', b"delete from payments\0"), sync()].concat(), 1),
            Step::Send([bind("", "b", &[]), frame(b'Q', b"delete from payments where id = 9\0")].concat(), 1),
            Step::Say("update payments set who = current_query() where id = 1 returning who"),
            Step::Say("update payments set amount = 1 / (id - 3)"),
            Step::Say("select id, who from payments order by id"),
            Step::Say("select name from pg_prepared_statements order by 1"),
        ],
    );
    assert_alike("messages", &said);
    assert_eq!(known(&lab, "current_query()"), ("changed-rows:own-text".to_owned(), 0));
    let record = lab.gateway.record().unwrap();
    assert!(
        record.of_kind("command.changed").any(|e| e.leaf("coverage") == &json!(["changed-rows:fetched"]))
    );
    assert!(record.unbalanced().is_empty());
}

/// A client that gives its statements and cursors names which the gateway's own might have.
#[test]
fn a_clients_statements_keep_their_names() {
    let lab = lab("changed_rows = \"values\"\n");
    let seed = "create table refunds (id int primary key, payment int references payments on delete cascade);
        insert into refunds values (1, 2), (2, 3); grant all on refunds to app;";
    for server in [&lab.near, &lab.far] {
        server.sql("shop", seed).unwrap();
    }
    let names = ["firsthand counts", "firsthand returning", "firsthand refused"];
    let mut script = vec![Step::Say("begin")];
    for (n, name) in names.iter().enumerate() {
        let text =
            format!("select {n}, name from pg_prepared_statements where name like 'first%' order by 2");
        script.push(Step::Send([parse(name, &text), sync()].concat(), 1));
        script.push(Step::Send([bind(name, name, &[]), sync()].concat(), 1));
    }
    for delete in
        ["delete from payments where id = 2", "delete from payments where id = 3 returning id", "delete"]
    {
        let run =
            [parse("", delete), bind("", "", &[]), describe(""), execute("", 1), execute("", 0), sync()];
        script.push(Step::Send(run.concat(), 1));
        for name in names {
            let run = [execute(name, 0), bind("", name, &[]), execute("", 0), sync()];
            script.push(Step::Send(run.concat(), 1));
        }
    }
    script.push(Step::Say("rollback"));
    for name in names {
        script.push(Step::Send([bind("", name, &[]), execute("", 0), sync()].concat(), 1));
    }
    assert_alike("names", &both(&lab, &[], &script));
    assert!(lab.gateway.record().unwrap().of_kind("command.changed").count() >= 2);
}

/// A value that the client's encoding does not have; a cast that fails; a value of a hundred megabytes; an audit trigger; a
/// catalog that may not be read.
#[test]
fn values_and_databases_that_are_not_easy_make_no_difference() {
    let lab = lab("changed_rows = \"values\"\n");
    for server in [&lab.near, &lab.far] {
        server
            .sql(
                "shop",
                "insert into payments values (4, '€', 1);
                create type mood as enum ('sad', 'ok');
                create function boom(mood) returns text language plpgsql as $$ begin raise 'cast'; end $$;
                create cast (mood as text) with function boom(mood) as assignment;
                create table moods (id int primary key, m mood, ip inet, c char(4));
                insert into moods values (1, 'ok', '10.0.0.1', 'a');
                create table blobs (id int primary key, b text);
                insert into blobs values (1, repeat('x', 100000000)), (2, 'small');
                create table seen (text text);
                create table audited (id int primary key);
                create function audit() returns trigger security definer language plpgsql as
                    $$ begin insert into seen values (current_query()); return null; end $$;
                create trigger audit after insert on audited for each row execute function audit();
                grant all on moods, blobs, seen, audited to app;",
            )
            .unwrap();
    }
    assert_alike(
        "an encoding",
        &both(
            &lab,
            &[("client_encoding", "LATIN1")],
            &[Step::Say("update payments set amount = 2 where id = 4")],
        ),
    );
    assert_eq!(known(&lab, "amount = 2"), ("changed-rows:encoding".to_owned(), 0));
    let said = both(
        &lab,
        &[],
        &[
            Step::Say("update moods set m = 'sad' where id = 1"),
            Step::Say("update blobs set b = b || 'y'"),
            Step::Say("insert into audited values (1)"),
            Step::Say("select * from seen"),
            Step::Say("begin"),
            Step::Admin("revoke select on pg_catalog.pg_index from public"),
            Step::Say("delete from payments where id = 4"),
            Step::Say("commit"),
        ],
    );
    assert_alike("values", &said);
    let moods = changed(&lab, "update moods");
    assert_eq!(moods[0].named_rows("old"), [json!({"id": "1", "m": "ok", "ip": "10.0.0.1", "c": "a   "})]);
    assert_eq!(moods[0].named_rows("new"), [json!({"id": "1", "m": "sad", "ip": "10.0.0.1", "c": "a   "})]);
    let blobs = changed(&lab, "update blobs");
    assert_eq!(
        blobs[0].named_rows("new"),
        [json!({"id": "1", "b": "[wide]"}), json!({"id": "2", "b": "smally"})]
    );
    assert_eq!(known(&lab, "insert into audited"), ("changed-rows:own-text".to_owned(), 0));
    assert_eq!(known(&lab, "delete from payments where id = 4"), ("changed-rows:unasked".to_owned(), 0));
}

/// A key that the statement does not set may change all the same; then no other row's values stand for the old ones.
#[test]
fn old_values_are_those_of_the_row_itself_or_none() {
    let lab = lab("changed_rows = \"values\"\n");
    lab.far
        .sql(
            "shop",
            "create table made (base int, k int generated always as (base + 1) stored primary key, v text);
             insert into made (base, v) values (2, 'two'), (1, 'one'); alter table made owner to app;
             create table moved (id int primary key, v text); insert into moved values (2, 'two'), (1, 'one');
             create function next() returns trigger language plpgsql as $$ begin new.id = new.id + 1; return new; end $$;
             create trigger next before update on moved for each row execute function next();
             alter table moved owner to app;",
        )
        .unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (sql, table) in [
        ("update made set base = base + 1 where base = 2", "made"),
        ("update made set base = base + 1 where base = 1", "made"),
        ("update moved set v = v || '!' where id = 2", "moved"),
        ("update moved set v = v || '!' where id = 1", "moved"),
    ] {
        assert_eq!(tags(&query(&mut raw, sql)).chars().last(), Some('Z'), "{sql}");
        for entry in changed(&lab, sql) {
            assert_eq!(entry.payload("old"), &Value::Null, "{table}: {sql}: {entry:?}");
        }
    }
    // Both in one statement: the row that is looked up by the new key is another one.
    query(&mut raw, "update made set base = base + 1");
    assert!(changed(&lab, "update made set base = base + 1").iter().all(|e| e.payload("old").is_null()));
    // A plain table has them.
    query(&mut raw, "update payments set amount = 11 where id = 1");
    assert_eq!(changed(&lab, "set amount = 11")[0].named_rows("old")[0]["amount"], json!("10.00"));
}

/// What goes along with a delete: cascades and an audit trigger, as counts of each table, in one entry each.
#[test]
fn what_cascades_and_triggers_change_along_is_counted() {
    let lab = lab("changed_rows = \"keys\"\n");
    lab.far
        .sql(
            "shop",
            "create table refunds (id int primary key, payment int references payments on delete cascade);
             insert into refunds values (1, 2), (2, 2), (3, 3); grant select on refunds to app;
             create function noted() returns trigger language plpgsql security definer as
                 $$ begin insert into audit values (old.id, 'gone'); return old; end $$;
             create trigger noted after delete on payments for each row execute function noted();",
        )
        .unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(tags(&query(&mut raw, "delete from payments where id = 2")), "CZ");
    let extended = [
        parse("", "delete from payments where id = 3"),
        bind("", "", &[]),
        describe(""),
        execute("", 0),
        sync(),
    ];
    std::io::Write::write_all(&mut raw.stream, &extended.concat()).unwrap();
    assert_eq!(tags(&raw.until(b'Z').unwrap()), "12nCZ");
    query(&mut raw, "update payments set amount = 1 where id = 1");
    let counts = |part: &str| {
        let counted = |e: &Entry| {
            (e.leaf("how") == "counted")
                .then(|| format!("{} {} {}", e.leaf("table"), e.leaf("action"), e.leaf("count")))
        };
        changed(&lab, part).iter().filter_map(counted).collect::<Vec<_>>().join(", ").replace('"', "")
    };
    assert_eq!(counts("where id = 2"), "public.audit insert 1, public.refunds delete 2");
    assert_eq!(counts("where id = 3"), "public.audit insert 1, public.refunds delete 1");
    assert_eq!(counts("set amount = 1"), "");
    let record = lab.gateway.record().unwrap();
    let asked: Vec<_> = record.of_kind("session.noted").filter(|e| e.leaf("what") == "asked").collect();
    assert!(asked.iter().any(|e| e.0.to_string().contains("pg_stat_get_xact_tuples_deleted")), "{asked:?}");
    assert!(record.unbalanced().is_empty());
    // Without the right to read the counts the write goes as it is, and the record says so.
    lab.far
        .sql("shop", "revoke execute on function pg_catalog.pg_stat_get_xact_tuples_deleted from public")
        .unwrap();
    query(&mut raw, "insert into payments values (7); delete from payments where id = 9");
    assert_eq!(tags(&query(&mut raw, "delete from payments where id = 7")), "CZ");
    assert_eq!(known(&lab, "where id = 7"), ("changed-rows:uncounted".to_owned(), 1));
}
