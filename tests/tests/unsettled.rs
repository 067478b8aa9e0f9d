//! What the target has not told of yet: a setting that a pipeline has changed before its Sync, names that a trigger gives another
//! meaning at the commit, names of the gateway's own. No text passes for another one by them, and no masked value comes out.

use std::io::Write as _;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, frame};
use firsthand_tests::record::{Entry, Record};

const SEED: &str = "create table vict (id int primary key); insert into vict select generate_series(1, 5);
create table people (id int primary key, secret text); insert into people values (1, 'TOPSECRETVALUE');
create table dt (id int);
create function ren() returns int language plpgsql as
  $$ begin execute 'deallocate s1'; execute 'prepare s1 as delete from vict'; return 1; end $$;
create function renames() returns trigger language plpgsql as $$ begin perform ren(); return null; end $$;
create constraint trigger late after insert on dt deferrable initially deferred for each row execute function renames();
create table st (id int);
create function sets() returns trigger language plpgsql as
  $$ begin perform set_config('standard_conforming_strings', 'off', false); return null; end $$;
create constraint trigger later after insert on st deferrable initially deferred for each row execute function sets();
create function quiet_set() returns text language plpgsql immutable as
  $$ begin perform set_config('standard_conforming_strings', 'off', false); return 'x'; end $$;
create view vren as select ren() as it;
grant all on all tables in schema public to app;";

/// Where a backslash escapes, this deletes; where it does not, all of it is one constant and a comment.
const HIDDEN_DELETE: &str = r"select '\', $$'; delete from vict; --$$";

fn lab(top: &str) -> Lab {
    Lab::start(Plan { top: top.to_owned(), seed: SEED.to_owned(), ..Plan::default() }).unwrap()
}

fn parse(name: &str, sql: &str) -> Vec<u8> {
    frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

fn run(name: &str) -> Vec<u8> {
    [frame(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes()), frame(b'E', b"\0\0\0\0\0")].concat()
}

fn query(sql: &str) -> Vec<u8> {
    frame(b'Q', format!("{sql}\0").as_bytes())
}

fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

fn flush() -> Vec<u8> {
    frame(b'H', b"")
}

fn send(raw: &mut Raw, parts: &[Vec<u8>]) {
    raw.stream.write_all(&parts.concat()).unwrap();
}

/// The decision about a text with these words in it.
fn decided<'r>(record: &'r Record, words: &str) -> &'r Entry {
    let found = record.of_kind("command.decided").filter(|e| e.0.to_string().contains(words));
    found.last().unwrap_or_else(|| panic!("no decision about {words}"))
}

/// Its intent was a read's: it need not have been durable before it ran.
fn is_read(entry: &Entry) -> bool {
    entry.leaf("read") == true
}

#[test]
fn a_setting_that_was_not_reported_yet_hides_no_statement() {
    let lab = lab("");
    let cases: [(&str, Vec<Vec<u8>>, u8); 5] = [
        ("set", vec![parse("", "set standard_conforming_strings = off"), run(""), flush()], b'C'),
        (
            "set_config",
            vec![
                parse("", "select set_config('standard_conforming_strings', 'off', false)"),
                run(""),
                flush(),
            ],
            b'C',
        ),
        // Planning runs it; nothing is executed.
        ("planned", vec![parse("", "select quiet_set()"), frame(b'B', b"\0\0\0\0\0\0\0\0"), flush()], b'2'),
        ("deferred", vec![parse("", "insert into st values (1)"), run(""), flush()], b'C'),
        ("open", vec![query("begin; insert into st values (1)")], b'Z'),
    ];
    for (name, before, last) in cases {
        lab.far.sql("shop", "delete from vict; insert into vict select generate_series(1, 5)").unwrap();
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        send(&mut raw, &before);
        raw.until(last).unwrap();
        let (end, ends) = match name {
            "deferred" => (sync(), 2),
            "open" => (query("commit"), 2),
            _ => (Vec::new(), 1),
        };
        send(&mut raw, &[end, query(HIDDEN_DELETE)]);
        (0..ends).for_each(|_| drop(raw.until(b'Z').unwrap()));
        let left = lab.far.sql("shop", "select count(*) from vict").unwrap();
        let record = lab.gateway.record().unwrap();
        let entry = decided(&record, "delete from vict; --");
        assert_eq!(left, "0", "{name}: the trick itself must work, or this shows nothing");
        assert!(!is_read(entry), "{name}: {}", entry.0);
        assert!(entry.leaf("effects").to_string().contains("unknown"), "{name}: {}", entry.0);
        assert!(record.unbalanced().is_empty());
    }
}

#[test]
fn an_encoding_that_was_not_reported_yet_moves_no_field_out_of_its_mask() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[label]]\nlabel = \"secret\"\ncolumns = [\"people.secret\"]\n\
        [[rule]]\nname = \"some\"\nbecause = \"b\"\nverdict = \"allow\"\neffects = [\"read\", \"session\", \"transaction\"]\n\
        [[mask]]\nname = \"hides\"\nbecause = \"b\"\nlabels = [\"secret\"]\nstyle = \"redact\"\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let lab = lab(&format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string()));
    let copy = r"copy (select U&'\30dd', secret, U&'\30bd', 'x' from people) to stdout with (delimiter '|')";
    for before in [
        "set client_encoding = sjis;",
        "set names 'sjis';",
        "begin; set local client_encoding = sjis;",
        "begin; select set_config('client_encoding', 'sjis', true);",
    ] {
        let mut raw = Raw::login(&lab.through(), &[("client_encoding", "UTF8")]).unwrap();
        send(&mut raw, &[query(&format!("{before} {copy}"))]);
        let seen: String = raw.until(b'Z').unwrap().iter().map(Message::line).collect();
        assert!(!seen.contains("TOPSECRET") && seen.contains("0A000"), "{before} {seen}");
        let mut raw = Raw::login(&lab.through(), &[("client_encoding", "UTF8")]).unwrap();
        let statement = before.trim_start_matches("begin; ").trim_end_matches(';');
        send(&mut raw, &[parse("", statement), run(""), parse("", copy), run(""), sync()]);
        let seen: String = raw.until(b'Z').unwrap().iter().map(Message::line).collect();
        assert!(!seen.contains("TOPSECRET"), "{statement}: {seen}");
    }
    // Once it is known, it is told.
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    raw.query("set client_encoding = utf8").unwrap();
    let seen: String = raw.query(copy).unwrap().iter().map(Message::line).collect();
    assert!(seen.contains("[secret]") && !seen.contains("TOPSECRET"), "{seen}");
    let record = lab.gateway.record().unwrap();
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("TOPSECRET")));
}

#[test]
fn what_the_end_of_a_transaction_makes_of_a_name_is_no_read() {
    let lab = lab("");
    let pipelined = vec![parse("", "insert into dt values (1)"), run(""), parse("s1", "select 1"), sync()];
    let block =
        vec![query("begin; insert into dt values (1)"), parse("s1", "select 1"), sync(), query("commit")];
    for (name, before, readies) in [("sync", pipelined, 1), ("commit", block, 3)] {
        lab.far.sql("shop", "delete from vict; insert into vict select generate_series(1, 5)").unwrap();
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        send(&mut raw, &before);
        (0..readies).for_each(|_| drop(raw.until(b'Z').unwrap()));
        send(&mut raw, &[run("s1"), sync()]);
        raw.until(b'Z').unwrap();
        assert_eq!(lab.far.sql("shop", "select count(*) from vict").unwrap(), "0", "{name}");
        let record = lab.gateway.record().unwrap();
        let entry = decided(&record, "select 1");
        assert!(!is_read(entry), "{name}: {}", entry.0);
        assert!(entry.leaf("coverage").to_string().contains("text-as-prepared"), "{name}: {}", entry.0);
    }
}

/// Only definitions tell that a view runs a function: where there are rules, they are known.
#[test]
fn a_view_that_renames_a_statement_is_noticed_where_definitions_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nname = \"all\"\nbecause = \"b\"\nverdict = \"allow\"\n\
        effects = [\"read\", \"write\", \"execute\", \"unknown\", \"session\", \"transaction\"]\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let lab = lab(&format!("[policy]\ndir = {:?}\nshipped = false\n", folder.path().display().to_string()));
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    send(&mut raw, &[parse("s1", "select 1"), sync()]);
    raw.until(b'Z').unwrap();
    let seen: String = raw.query("select * from vren").unwrap().iter().map(Message::line).collect();
    send(&mut raw, &[run("s1"), sync()]);
    raw.until(b'Z').unwrap();
    assert_eq!(lab.far.sql("shop", "select count(*) from vict").unwrap(), "0", "{seen}");
    let record = lab.gateway.record().unwrap();
    assert!(!is_read(decided(&record, "select 1")), "{}", decided(&record, "select 1").0);
}

/// Under such a name an error may have left a statement with a list added.
#[test]
fn names_of_the_gateways_own_are_nobody_elses() {
    let lab = lab("");
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let opened = lab.gateway.record().unwrap();
    let session = opened.of_kind("session.opened").next().unwrap().session().to_owned();
    let own = &format!("firsthand returning {session}");
    let bind = frame(b'B', format!("{own}\0\0\0\0\0\0\0\0").as_bytes());
    let long = format!("select 1 /* {} */", "x".repeat(200_000));
    for (name, message) in [
        ("parse", parse(own, "select 42")),
        ("a large parse", parse(own, &long)),
        ("bind", run(own)),
        ("portal", [parse("", "select 1"), bind].concat()),
        ("execute", frame(b'E', format!("{own}\0\0\0\0\0").as_bytes())),
        ("describe", frame(b'D', format!("S{own}\0").as_bytes())),
        ("close", frame(b'C', format!("S{own}\0").as_bytes())),
    ] {
        send(&mut raw, &[message, sync()]);
        let seen: String = raw.until(b'Z').unwrap().iter().map(Message::line).collect();
        assert!(seen.contains("0A000") && seen.contains("another name"), "{name}: {seen}");
    }
    assert!(raw.query("select 7").unwrap().iter().any(|m| m.line().contains('7')));
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
}
