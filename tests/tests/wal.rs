//! `changed_rows = "wal"`: the rows that transactions changed, read from the target's own log, whatever changed them.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::{Entry, Record};
use serde_json::{Value, json};

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

/// Values of the rows by column name.
fn rows(entry: &Entry, key: &str) -> Vec<Value> {
    let columns = entry.payload("columns").as_array().cloned().unwrap_or_default();
    let rows = entry.payload(key).as_array().cloned().unwrap_or_default();
    let named = |row: Value| {
        let values = row.as_array().cloned().unwrap_or_default();
        columns.iter().zip(values).map(|(c, v)| (c["name"].as_str().unwrap_or_default().to_owned(), v)).collect()
    };
    rows.into_iter().map(named).collect()
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
    assert_eq!(of("merge into"), ["update public.payments 1", "insert public.payments 1", "insert public.audit 2"]);
    assert_eq!(of("with gone"), ["delete public.lines 1", "insert public.audit 1"]);
    assert_eq!(of("raise_all"), ["update public.payments 3", "insert public.audit 3"]);
    assert_eq!(of("insert into payments values (5"), ["insert public.payments 2", "insert public.audit 2"]);
    assert_eq!(of("truncate"), ["truncate public.lines -"]);
    assert!(of("1 / 0").is_empty() && of("count(*)").is_empty() && of("id = 99").is_empty());
    let deleted = &changed(&record, "delete from payments where id = 1")[0];
    assert_eq!(rows(deleted, "old"), [json!({"id": "1"})], "the key, as the replica identity has it");
    assert_eq!(deleted.leaf("coverage"), &json!(["changed-rows:old-values"]));
    let merged = changed(&record, "merge into");
    assert_eq!(rows(&merged[1], "new"), [json!({"id": "4", "who": "Barbara", "amount": "4.00"})]);
    assert!(record.unbalanced().is_empty());
    let asked: Vec<_> = record.of_kind("target.asked").map(|e| e.leaf("facts")["what"].clone()).collect();
    for what in ["slot", "changes", "transactions"] {
        assert!(asked.contains(&json!(what)), "{asked:?}");
    }
}
