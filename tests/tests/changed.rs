//! Which rows a write touched: the founding question, answered from the record alone.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw};
use firsthand_tests::record::Entry;
use serde_json::{Value, json};

const SEED: &str = "create table payments (id int primary key, who text, amount numeric(8,2));
grant all on payments to app;
insert into payments values (1, 'Ada', 10), (2, 'Grace', 20.5), (3, 'Edsger', 30);
create table audit (at int, what text); grant insert on audit to app;";

const MORE: &str =
    "create table refunds (id int primary key, payment int references payments on delete cascade);
grant all on refunds to app; grant select on audit to app;
insert into refunds values (1, 2), (2, 2), (3, 2), (4, 1), (5, 1);
create function notes() returns trigger language plpgsql as
  $$begin insert into audit values (old.id, 'refund'); return null; end$$;
create trigger notes after delete on refunds for each row execute function notes();";

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

/// Values of the rows by column name.
fn rows(entry: &Entry, key: &str) -> Vec<Value> {
    let columns = entry.payload("columns").as_array().cloned().unwrap_or_default();
    let rows = entry.payload(key).as_array().cloned().unwrap_or_default();
    let named = |row: Value| {
        let values = row.as_array().cloned().unwrap_or_default();
        columns
            .iter()
            .zip(values)
            .map(|(c, v)| (c["name"].as_str().unwrap_or_default().to_owned(), v))
            .collect()
    };
    rows.into_iter().map(named).collect()
}

/// The founding scenario: what was in the row that was deleted at 2 a.m.
#[test]
fn the_deleted_row_stands_in_the_record_as_it_was() {
    let lab = lab("");
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
    assert_eq!(rows(entry, "old"), [json!({"id": "2", "who": "Grace", "amount": "20.50"})]);
    let key: Vec<_> =
        entry.payload("columns").as_array().unwrap().iter().filter(|c| c["key"] == true).collect();
    assert_eq!(key.len(), 1, "{key:?}");
    // What the gateway asked for itself stands there, too, and the client's own text as it was.
    let record = lab.gateway.record().unwrap();
    assert!(record.of_kind("session.noted").any(|e| e.payload("detail")["tables"] == json!(["payments"])));
    assert!(record.texts().iter().all(|text| !text.to_lowercase().contains("returning")));
    assert!(record.unbalanced().is_empty());
}

#[test]
fn keys_only_or_nothing_where_the_setting_says_so() {
    for (more, old) in
        [("changed_rows = \"keys\"\n", Some(json!({"id": "2"}))), ("changed_rows = \"off\"\n", None)]
    {
        let lab = lab(more);
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        assert_eq!(tags(&query(&mut raw, "delete from payments where id = 2")), "CZ");
        let found: Vec<_> = changed(&lab, "delete").iter().flat_map(|e| rows(e, "old")).collect();
        assert_eq!(found, old.into_iter().collect::<Vec<_>>(), "{more}");
    }
}

/// A role that may write and not read: the statement goes as it is, and the record says why.
#[test]
fn without_the_right_to_read_the_statement_goes_as_it_is() {
    let lab = lab("");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(tags(&query(&mut raw, "insert into audit values (1, 'x')")), "CZ");
    assert!(changed(&lab, "insert into audit").is_empty());
    let record = lab.gateway.record().unwrap();
    let intent = record.intents("insert into audit").next().unwrap();
    assert_eq!(record.outcome(intent).unwrap().leaf("coverage"), &json!(["changed-rows:no-select"]));
}

/// A row takes others with it, and a trigger and a block of code write elsewhere: the record has how many.
#[test]
fn what_a_write_sets_off_is_counted() {
    let lab = lab("");
    lab.far.sql("shop", MORE).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(tags(&query(&mut raw, "delete from payments where id = 2 -- with its refunds")), "CZ");
    let counted = |part: &str| -> Vec<String> {
        let counted = changed(&lab, part).into_iter().filter(|e| e.leaf("how") == "counted");
        let line = |e: Entry| format!("{} {} {}", e.leaf("table"), e.leaf("action"), e.leaf("count"));
        counted.map(|e| line(e).replace('"', "")).collect()
    };
    assert_eq!(counted("with its refunds"), ["public.audit insert 3", "public.refunds delete 3"]);
    let left = lab.far.sql("shop", "select count(*) as refunds from refunds").unwrap();
    assert!(left.contains('2'), "{left}");
    assert_eq!(tags(&query(&mut raw, "do $$begin insert into audit values (1, 'a'); commit; end$$")), "CZ");
    assert_eq!(counted("do $$"), ["public.audit insert 1"]);
    let merge = "merge into refunds r using (values (4), (9)) s(id) on r.id = s.id \
                 when matched then delete when not matched then insert values (s.id, 1)";
    assert_eq!(tags(&query(&mut raw, merge)), "CZ");
    assert_eq!(
        counted("merge into"),
        ["public.audit insert 1", "public.refunds insert 1", "public.refunds delete 1"]
    );
    // The gateway's own questions stand in the record, and none of them among the client's commands.
    let record = lab.gateway.record().unwrap();
    let asked = record.of_kind("session.noted").filter(|e| e.leaf("what") == "asked");
    let texts: Vec<_> = asked.map(|e| e.payload("detail")["text"].to_string()).collect();
    assert!(texts.iter().any(|text| text.contains("pg_stat_get_xact_tuples_deleted")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("pg_stat_force_next_flush")), "{texts:?}");
    assert!(record.texts().iter().all(|text| !text.contains("pg_stat")));
    assert!(record.unbalanced().is_empty());
}

/// Where policy is in force it is known which SELECT runs code that may write: that one is counted, and no other is asked about.
#[test]
fn what_a_function_writes_is_counted_where_it_is_known_that_it_may() {
    let seed = format!(
        "{SEED} create function tries() returns int language plpgsql as \
         $$begin insert into audit values (1, 'f'), (2, 'f'); return 7; end$$;"
    );
    let top = "[policy]\nshipped = true\n".to_owned();
    let lab =
        Lab::start(Plan { more: "mode = \"observe\"\n".to_owned(), top, seed, ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    assert_eq!(tags(&query(&mut raw, "select count(*), lower(max(who)) from payments")), "TDCZ");
    let noted = |lab: &Lab| {
        let record = lab.gateway.record().unwrap();
        let asked = record.of_kind("session.noted").filter(|e| e.leaf("what") == "asked");
        asked.filter(|e| e.payload("detail")["text"].to_string().contains("pg_stat_get_xact")).count()
    };
    assert_eq!(noted(&lab), 0);
    assert_eq!(tags(&query(&mut raw, "select tries()")), "TDCZ");
    let counted: Vec<_> = changed(&lab, "select tries()");
    let [entry] = counted.as_slice() else { panic!("{counted:?}") };
    assert_eq!((entry.leaf("table"), entry.leaf("action")), (&json!("public.audit"), &json!("insert")));
    assert_eq!((entry.leaf("how"), entry.leaf("count")), (&json!("counted"), &json!(2)));
    assert_eq!(noted(&lab), 2);
}

/// In a transaction, with a savepoint, through a prepared statement: always the rows that really changed.
#[test]
fn what_the_record_says_is_what_a_second_connection_sees() {
    let lab = lab("");
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
    let kept: usize = inserted.iter().map(|e| rows(e, "new").len()).sum();
    let last = inserted.last().unwrap();
    assert_eq!((kept, last.leaf("count")), (1000, &json!(2500)), "the cap of rows, and the whole count");
    assert_eq!(last.leaf("coverage"), &json!(["changed-rows:past-cap"]));
    let deleted: Vec<_> = changed(&lab, "id > 2500").iter().flat_map(|e| rows(e, "old")).collect();
    let ids: Vec<_> = deleted.iter().map(|r| r["id"].as_str().unwrap().parse::<u32>().unwrap()).collect();
    assert_eq!(ids, (2501..2600).collect::<Vec<_>>());
    let left = lab.far.sql("shop", "select count(*), max(id) from payments").unwrap();
    assert!(left.contains("2404") && left.contains("2500"), "{left}");
}
