//! `changed_rows = "wal"`: the rows that transactions changed, read from the target's own log, whatever changed them.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::{Entry, Record};
use serde_json::json;

const SEED: &str = "create table payments (id int primary key, who text, amount numeric(8,2));
insert into payments values (1, 'Ada', 10), (2, 'Grace', 20.5), (3, 'Edsger', 30);
create table lines (id int primary key, payment int references payments on delete cascade, what text);
insert into lines values (10, 1, 'a'), (11, 1, 'b'), (20, 2, 'c');
create table audit (at int, what text);
create function audit() returns trigger security definer language plpgsql as
    $$ begin insert into audit values (coalesce(new.id, old.id), tg_op); return null; end $$;
create trigger audit after insert or update or delete on payments for each row execute function audit();
create function raise_all() returns int language sql as $$ update payments set amount = amount + 1 returning 1 $$;
create procedure twice() language plpgsql as
    $$ begin update payments set amount = 0 where id = 1; commit; update payments set amount = 0 where id = 2; end $$;
grant all on all tables in schema public to app;
alter role app replication;";

fn lab(seed: &str) -> Lab {
    let plan = Plan { more: "changed_rows = \"wal\"\n".to_owned(), seed: seed.to_owned(), ..Plan::default() };
    Lab::start(plan).unwrap()
}

fn query(raw: &mut Raw, sql: &str) -> Vec<String> {
    raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
    raw.until(b'Z').unwrap().iter().map(Message::line).collect()
}

/// Messages of one extended statement without parameters, without the Sync.
fn extended(sql: &str) -> Vec<u8> {
    [
        frame(b'P', format!("\0{sql}\0\0\0").as_bytes()),
        frame(b'B', b"\0\0\0\0\0\0\0\0"),
        frame(b'E', b"\0\0\0\0\0"),
    ]
    .concat()
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

fn send(raw: &mut Raw, bytes: &[u8]) -> Vec<String> {
    std::io::Write::write_all(&mut raw.stream, bytes).unwrap();
    raw.until(b'Z').unwrap().iter().map(Message::line).collect()
}

/// The record, once every transaction that was named has its end.
fn record(lab: &Lab) -> Record {
    let mut found = None;
    firsthand_tests::process::until("transactions have their end", || {
        let record = lab.gateway.record()?;
        let named: std::collections::BTreeSet<_> =
            record.of_kind("transaction.named").filter_map(|e| e.leaf("xid").as_u64()).collect();
        let ended: std::collections::BTreeSet<_> =
            record.of_kind("transaction.ended").filter_map(|e| e.leaf("xid").as_u64()).collect();
        let all = named == ended;
        found = Some(record);
        Ok(all)
    })
    .unwrap();
    found.unwrap()
}

/// What the record holds of the rows that the transaction of the command with this text changed: `action table: rows`.
fn changed(record: &Record, part: &str) -> Vec<Entry> {
    let intent = record.intents(part).next().unwrap_or_else(|| panic!("{part} is not in the record"));
    let number = intent.command().unwrap();
    let of = |e: &&Entry| {
        e.session() == intent.session()
            && e.leaf("from").as_u64().is_some_and(|from| from <= number)
            && e.leaf("to").as_u64().is_some_and(|to| number <= to)
    };
    record.of_kind("transaction.changed").filter(of).cloned().collect()
}

/// `delete public.payments 1`, one for each table and action.
fn told(record: &Record, part: &str) -> Vec<String> {
    let count = |e: &Entry| e.leaf("count").as_u64().map_or("-".to_owned(), |n| n.to_string());
    let text = |e: &Entry, key: &str| e.leaf(key).as_str().unwrap_or_default().to_owned();
    changed(record, part)
        .iter()
        .map(|e| format!("{} {} {}", text(e, "action"), text(e, "table"), count(e)))
        .collect()
}

/// What RETURNING cannot tell: triggers, cascades, functions, MERGE, WITH, COPY, TRUNCATE; and the client sees no difference.
#[test]
fn whatever_changes_rows_is_told_and_nothing_is_seen_of_it() {
    let lab = lab(SEED);
    let mut direct = Raw::login(&lab.direct(), &[]).unwrap();
    let mut through = Raw::login(&lab.through(), &[]).unwrap();
    let script: Vec<(Vec<u8>, usize)> = [
        "delete from payments where id = 1",
        "update payments set amount = 21 where id = 2 returning who",
        "merge into payments p using (values (2, 'G'), (4, 'Barbara')) v(id, who) on p.id = v.id
            when matched then update set who = v.who when not matched then insert values (v.id, v.who, 4)",
        "with gone as (delete from lines where id = 20 returning *) insert into audit select id, what from gone",
        "select raise_all()",
        "insert into payments values (5, 'x', 1); insert into payments values (6, 'y', 1)",
        "select count(*) from payments",
        "update payments set amount = 1 / 0",
        "truncate lines",
        "explain (analyze, costs off, timing off, summary off) delete from payments where id = 99",
        "create temp table t (id int)",
        "select who from payments where id = 2 for update",
    ]
    .iter()
    .map(|sql| (frame(b'Q', format!("{sql}\0").as_bytes()), 1))
    .collect();
    for (bytes, _) in &script {
        let [direct, through] = [&mut direct, &mut through].map(|raw| send(raw, bytes));
        assert_eq!(direct, through, "{}", String::from_utf8_lossy(bytes));
    }
    let record = record(&lab);
    let of = |part: &str| told(&record, part);
    assert_eq!(
        of("delete from payments where id = 1"),
        ["delete public.payments 1", "delete public.lines 2", "insert public.audit 1"]
    );
    assert_eq!(of("set amount = 21"), ["update public.payments 1", "insert public.audit 1"]);
    assert_eq!(
        of("merge into"),
        ["update public.payments 1", "insert public.payments 1", "insert public.audit 2"]
    );
    assert_eq!(of("with gone"), ["delete public.lines 1", "insert public.audit 1"]);
    assert_eq!(of("raise_all"), ["update public.payments 3", "insert public.audit 3"]);
    assert_eq!(of("insert into payments values (5"), ["insert public.payments 2", "insert public.audit 2"]);
    assert_eq!(of("truncate"), ["truncate public.lines -"]);
    assert!(of("1 / 0").is_empty() && of("count(*)").is_empty() && of("id = 99").is_empty());
    let deleted = &changed(&record, "delete from payments where id = 1")[0];
    assert_eq!(deleted.named_rows("old"), [json!({"id": "1"})], "the key, as the replica identity has it");
    assert_eq!(deleted.leaf("coverage"), &json!(["changed-rows:old-values"]));
    let merged = changed(&record, "merge into");
    assert_eq!(merged[1].named_rows("new"), [json!({"id": "4", "who": "Barbara", "amount": "4.00"})]);
    assert!(record.unbalanced().is_empty());
    let asked: Vec<_> = record.of_kind("target.asked").map(|e| e.leaf("facts")["what"].clone()).collect();
    for what in ["slot", "changes", "transactions"] {
        assert!(asked.contains(&json!(what)), "{asked:?}");
    }
}

/// Messages, and how many ReadyForQuery come for them.
fn shapes() -> Vec<(Vec<u8>, usize)> {
    let q = |sql: &str| frame(b'Q', format!("{sql}\0").as_bytes());
    let data = |line: &str| frame(b'd', line.as_bytes());
    vec![
        (q("begin"), 1),
        (q("insert into own values (100, 'kept')"), 1),
        (q("savepoint s"), 1),
        (q("insert into own values (101, 'gone')"), 1),
        (q("rollback to s"), 1),
        (q("update own set t = 'changed' where id = 100"), 1),
        (q("commit"), 1),
        (q("begin"), 1),
        (q("insert into own values (110, 'undone')"), 1),
        (q("rollback"), 1),
        ([extended("insert into own values (200, 'one')"), sync()].concat(), 1),
        (
            [
                extended("insert into own values (201, 'two')"),
                extended("insert into own values (202, 'three')"),
                sync(),
                extended("insert into own values (203, 'four')"),
                sync(),
            ]
            .concat(),
            2,
        ),
        (
            [
                extended("begin"),
                extended("insert into own values (210, 'block')"),
                extended("commit"),
                extended("insert into own values (211, 'behind')"),
                sync(),
            ]
            .concat(),
            1,
        ),
        ([extended("insert into own values (220, 'lost')"), extended("select 1 / 0"), sync()].concat(), 1),
        // The commit itself fails.
        (q("insert into own values (200, 'twice')"), 1),
        ([extended("insert into own values (200, 'thrice')"), sync()].concat(), 1),
        (
            [q("copy own from stdin"), data("300\tcopied\n"), data("301\talso\n"), frame(b'c', b"")].concat(),
            1,
        ),
        ([q("copy own from stdin"), data("302\tbad\trow\n"), frame(b'c', b"")].concat(), 1),
        (q("prepare p as insert into own values ($1, 'prepared')"), 1),
        (q("execute p(310)"), 1),
        (q("begin; insert into own values (320, 'unseen'); commit"), 1),
        (q("do $$ begin insert into own values (330, 'do'); end $$"), 1),
        (q("do $$ begin insert into own values (332, 'ends'); commit; end $$"), 1),
        (q("begin; savepoint s"), 1),
        (q("rollback; insert into own values (361, 'behind')"), 1),
        (q("begin"), 1),
        (q("do $$ begin insert into own values (331, 'inside'); end $$"), 1),
        (q("commit and chain"), 1),
        (q("insert into own values (340, 'chained')"), 1),
        (q("commit"), 1),
        (q("call twice()"), 1),
        ([extended("call twice()"), sync()].concat(), 1),
        (q("select current_query()"), 1),
        (q("set role app_reader"), 1),
        (q("reset role"), 1),
        (q("create table made as select 1 as id"), 1),
        (q("prepare transaction 'x'"), 1),
        (q("begin; insert into own values (350, '2pc')"), 1),
        (q("prepare transaction 'x'"), 1),
        (q("commit prepared 'x'"), 1),
    ]
}

/// Blocks, savepoints, both protocols, pipelines, COPY, prepared statements, errors at the commit: the same bytes come back, and
/// what committed is told.
#[test]
fn transactions_of_all_shapes_are_told_as_they_committed() {
    let lab = lab(&format!(
        "{SEED} create table own (id int primary key deferrable initially deferred, t text); grant all on own to app;"
    ));
    let mut direct = Raw::login(&lab.direct(), &[]).unwrap();
    let mut through = Raw::login(&lab.through(), &[]).unwrap();
    let script = shapes();
    for (bytes, units) in &script {
        let [direct, through] = [&mut direct, &mut through].map(|raw| {
            std::io::Write::write_all(&mut raw.stream, bytes).unwrap();
            (0..*units).flat_map(|_| raw.until(b'Z').unwrap()).map(|m| m.line()).collect::<Vec<_>>()
        });
        assert_eq!(direct, through, "{}", String::from_utf8_lossy(bytes));
    }
    let record = record(&lab);
    let mut ids: Vec<String> = record
        .of_kind("transaction.changed")
        .filter(|e| e.leaf("table") == "public.own" && e.leaf("action") == "insert")
        .flat_map(|e| e.named_rows("new"))
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    let all =
        ["100", "200", "201", "202", "203", "210", "211", "300", "301", "310", "330", "331", "340", "350"];
    assert_eq!(ids, all);
    assert_eq!(told(&record, "savepoint s"), ["insert public.own 1", "update public.own 1"]);
    assert_eq!(told(&record, "table made"), ["insert public.made 1"]);
    let unseen = |part: &str| {
        let intent = record.intents(part).next().unwrap();
        record.outcome(intent).unwrap().leaf("coverage") == &json!(["changed-rows:unattributed"])
    };
    for part in ["insert into own values (320", "(332, 'ends')", "(361, 'behind')", "call twice"] {
        assert!(unseen(part), "{part}");
    }
    assert!(!unseen("(331, 'inside')") && !unseen("(330, 'do')") && !unseen("insert into own values (100"));
    assert!(record.unbalanced().is_empty());
}

/// COPY in the extended protocol, whose first Sync the target swallows; and one that turns out to take no copy data.
#[test]
fn copy_of_the_extended_protocol_keeps_its_syncs() {
    let lab = lab(SEED);
    let mut direct = Raw::login(&lab.direct(), &[]).unwrap();
    let mut through = Raw::login(&lab.through(), &[]).unwrap();
    for rows in ["50\tx\t1\n51\ty\t2\n", "52\tz\n", ""] {
        let said = [&mut direct, &mut through].map(|raw| {
            let copy = extended("copy payments from stdin");
            std::io::Write::write_all(&mut raw.stream, &[copy, sync()].concat()).unwrap();
            let mut said = raw.until(b'G').unwrap();
            let end = [frame(b'd', rows.as_bytes()), frame(b'c', b""), sync()].concat();
            std::io::Write::write_all(&mut raw.stream, &end).unwrap();
            said.extend(raw.until(b'Z').unwrap());
            // Were there another one, it would come now.
            raw.send(b'Q', b"select count(*) from payments\0").unwrap();
            said.extend(raw.until(b'Z').unwrap());
            said.iter().map(Message::line).collect::<Vec<_>>()
        });
        assert_eq!(said[0], said[1], "{rows:?}");
    }
    let failing = [extended("copy payments from stdin (format nonsense)"), sync()].concat();
    let [direct, through] = [&mut direct, &mut through].map(|raw| send(raw, &failing));
    assert_eq!(direct, through);
    let record = record(&lab);
    let copied: Vec<_> = record.of_kind("command.completed").filter(|e| e.leaf("tag") == "COPY 2").collect();
    let [copied] = copied.as_slice() else { panic!("{copied:?}") };
    assert!(copied.leaf("coverage").is_null(), "{}", copied.0);
    let number = copied.leaf("cmd").as_u64().unwrap();
    let of = |e: &&Entry| e.leaf("from").as_u64() <= Some(number) && Some(number) <= e.leaf("to").as_u64();
    let rows: Vec<_> = record
        .of_kind("transaction.changed")
        .filter(of)
        .map(|e| (e.leaf("table"), e.leaf("count")))
        .collect();
    assert!(rows.contains(&(&json!("public.payments"), &json!(2))), "{rows:?}");
}

/// What others write is theirs: it is not in the record, and does not stay at the target for the gateway.
#[test]
fn what_others_write_is_not_recorded() {
    let lab = lab(SEED);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    query(&mut raw, "begin");
    query(&mut raw, "insert into payments values (7, 'ours', 1)");
    lab.far.sql("shop", "insert into payments values (8, 'zqtheirs', 1)").unwrap();
    query(&mut raw, "commit");
    let record = record(&lab);
    assert_eq!(told(&record, "'ours'"), ["insert public.payments 1", "insert public.audit 1"]);
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("zqtheirs")));
    let slots = "select plugin, active, confirmed_flush_lsn > '0/0' from pg_replication_slots where slot_name like 'firsthand%'";
    assert!(lab.far.sql("shop", slots).unwrap().starts_with("test_decoding|"));
}

/// The gateway dies after the commit and before its rows are read; it is told, once, by the next one.
#[test]
fn a_gateway_that_died_behind_a_commit_tells_its_rows_after_its_next_start() {
    let mut lab = lab(SEED);
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    query(&mut raw, "update payments set amount = 1 where id = 1");
    assert_eq!(told(&record(&lab), "amount = 1 where").len(), 2);
    // From now on the slot cannot be read.
    lab.far.sql("shop", "alter role app noreplication").unwrap();
    query(&mut raw, "delete from payments where id = 2");
    query(&mut raw, "begin");
    query(&mut raw, "insert into payments values (9, 'two-phase', 1)");
    query(&mut raw, "prepare transaction 'later'");
    lab.gateway.kill().unwrap();
    lab.far.sql("shop", "alter role app replication; insert into payments values (10, 'theirs', 1)").unwrap();
    lab.gateway.serve().unwrap();
    lab.far.sql("shop", "commit prepared 'later'").unwrap();
    let record = record(&lab);
    for (part, rows) in [
        (
            "delete from payments where id = 2",
            ["delete public.payments 1", "delete public.lines 1", "insert public.audit 1"].as_slice(),
        ),
        ("'two-phase'", ["insert public.payments 1", "insert public.audit 1"].as_slice()),
        ("amount = 1 where", ["update public.payments 1", "insert public.audit 1"].as_slice()),
    ] {
        assert_eq!(told(&record, part), rows, "{part}");
    }
    let ended: Vec<_> =
        record.of_kind("transaction.ended").map(|e| e.leaf("xid").as_u64().unwrap()).collect();
    assert_eq!(ended.len(), ended.iter().collect::<std::collections::BTreeSet<_>>().len(), "each ends once");
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("theirs")));
    let session = record.intents("id = 2").next().unwrap().session().to_owned();
    let shown = lab.gateway.cli(&["sessions", "replay", &session]).unwrap();
    assert!(
        shown.contains("delete of 1 row of public.payments") && shown.contains("committed, 3 rows changed"),
        "{shown}"
    );
    let late = changed(&record, "delete from payments where id = 2");
    assert_eq!(late[0].leaf("who")["chain"], record.intents("id = 2").next().unwrap().leaf("who")["chain"]);
    assert_eq!(late[0].named_rows("old"), [json!({"id": "2"})]);
}

/// What is missing at the target is said in the record, by `check` with the line that mends it, and keeps nobody from working.
#[test]
fn without_the_right_to_a_slot_everything_works_and_says_so() {
    let lab = lab(&SEED.replace("alter role app replication;", ""));
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(query(&mut raw, "delete from lines where id = 20")[0], "C DELETE 1\\x00");
    let record = lab.gateway.record().unwrap();
    let opened = record.of_kind("session.opened").next().unwrap();
    assert_eq!(opened.leaf("coverage"), &json!(["changed-rows:wal-privilege"]));
    assert_eq!(record.of_kind("transaction.named").count(), 0);
    let said = lab.gateway.cli(&["check"]).unwrap();
    assert!(said.contains("ALTER ROLE app REPLICATION;"), "{said}");
}

/// Old values where the table says so; long values; more rows than are kept.
#[test]
fn old_values_are_those_of_the_replica_identity() {
    let lab = lab(&format!(
        "{SEED} alter table payments replica identity full;
         create table blobs (id int primary key, b text, n int); alter table blobs alter b set storage external;
         insert into blobs values (1, repeat('x', 40000), 0), (2, repeat('y', 5000), 0); grant all on blobs to app;
         create table nothing (a int); alter table nothing replica identity nothing; insert into nothing values (1);
         grant all on nothing to app;"
    ));
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    query(&mut raw, "update payments set who = null where id = 1");
    query(&mut raw, "delete from payments where id = 1");
    query(&mut raw, "update blobs set n = 1");
    query(&mut raw, "insert into blobs select g, repeat('z', 40000), g from generate_series(10, 11) g");
    query(&mut raw, "delete from nothing");
    query(&mut raw, "insert into audit select g, 'n' from generate_series(1, 20000) g");
    let record = record(&lab);
    let one = |part: &str| changed(&record, part).remove(0);
    let updated = one("set who = null");
    assert_eq!(updated.named_rows("old"), [json!({"id": "1", "who": "Ada", "amount": "10.00"})]);
    assert_eq!(updated.named_rows("new"), [json!({"id": "1", "who": null, "amount": "10.00"})]);
    assert_eq!(
        one("delete from payments").named_rows("old"),
        [json!({"id": "1", "who": null, "amount": "10.00"})]
    );
    let blobs = one("update blobs");
    assert_eq!(blobs.named_rows("new")[0], json!({"id": "1", "b": "[unchanged-toast]", "n": "1"}));
    assert_eq!(blobs.leaf("coverage"), &json!(["changed-rows:old-values", "changed-rows:unchanged-toast"]));
    let wide = one("insert into blobs");
    assert_eq!((wide.leaf("count"), wide.leaf("coverage")), (&json!(2), &json!(["changed-rows:wide"])));
    assert_eq!(wide.named_rows("new")[0], json!({"id": "10"}));
    assert_eq!(told(&record, "delete from nothing"), ["delete public.nothing 1"]);
    let many = changed(&record, "generate_series(1, 20000)");
    let kept: usize = many.iter().map(|e| e.named_rows("new").len()).sum();
    assert_eq!((kept, many.last().unwrap().leaf("count")), (1000, &json!(20000)));
}
