//! The protocol binds values to a statement that SQL's PREPARE has made: it is judged, and masked, as EXECUTE of its name is.

use std::io::Write as _;

use firsthand_tests::gateway::{Gateway, Settings, Target};
use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::raw::{Message, Raw, frame};

const SEED: &str = "create table customers (id int primary key, name text, email text);
insert into customers values (1, 'Ada', 'ada.canary@example.com'), (2, 'Grace', 'grace.canary@example.com');
create table log (what text);
create function noted(int) returns boolean language plpgsql as $$ begin insert into log values ('ran'); return true; end $$;
create domain noted_int as int check (noted(value));
grant all on all tables in schema public to app;";

const LABELS: &str = "[[label]]\nlabel = \"email\"\ncolumns = [\"customers.email\"]\n";

/// Bind of one value in text to a statement of this name, Execute, Sync; without a Describe.
fn bound(raw: &mut Raw, statement: &str, value: Option<&str>) -> (String, String) {
    let mut body = format!("\0{statement}\0\0\0").into_bytes();
    match value {
        Some(value) => {
            body.extend(b"\0\x01");
            body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend(value.as_bytes());
        }
        None => body.extend(b"\0\0"),
    }
    body.extend(b"\0\0");
    let mut out = frame(b'B', &body);
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    raw.stream.write_all(&out).unwrap();
    said(&raw.until(b'Z').unwrap())
}

fn said(seen: &[Message]) -> (String, String) {
    let code = seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
    (code.unwrap_or_default(), seen.iter().map(Message::line).collect())
}

#[test]
fn a_bind_to_what_prepare_made_is_judged_as_execute_is() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("labels.toml"), LABELS).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = true\n", folder.path().display().to_string());
    let lab = Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for sql in [
        "prepare one(int) as select name from customers where id = $1",
        "prepare \"Od\"\"d\" as select name from customers where id = 2",
        "prepare mail(int) as select email from customers where id = $1",
        "prepare many(int) as select c from customers c where id = $1",
    ] {
        let (code, told) = said(&raw.query(sql).unwrap());
        assert!(code.is_empty(), "{sql}: {told}");
    }
    let (code, told) = bound(&mut raw, "one", Some("1"));
    assert!(code.is_empty() && told.contains("Ada"), "{code} {told}");
    let (code, told) = bound(&mut raw, "Od\"d", None);
    assert!(code.is_empty() && told.contains("Grace"), "{code} {told}");
    for masked in ["mail", "many"] {
        let (code, told) = bound(&mut raw, masked, Some("1"));
        assert!(code.is_empty() && !told.contains("canary"), "{masked}: {code} {told}");
    }
    // A value of that type runs a function that writes: refused, so there is nothing to bind to.
    assert_eq!(said(&raw.query("prepare domain(noted_int) as select $1").unwrap()).0, "42501");
    assert_eq!(bound(&mut raw, "domain", Some("1")).0, "42501");
    // What is not there, or no longer, is said to be that.
    assert_eq!(said(&raw.query("deallocate one").unwrap()).0, "");
    for gone in ["one", "never"] {
        let (code, told) = bound(&mut raw, gone, None);
        assert!(code == "42501" && told.contains("instead of its name"), "{gone}: {code} {told}");
        assert!(!told.contains("definitions of this database"), "{told}");
    }
    assert_eq!(lab.far.sql("shop", "select count(*) from log").unwrap(), "0");
    let record = lab.gateway.record().unwrap();
    assert!(record.0.iter().all(|e| !e.0.to_string().contains("canary")), "the record has a masked value");
    assert!(record.unbalanced().is_empty());
}

/// Names that the target takes for one, and the gateway for two; and names that got another meaning behind the protocol's back:
/// what runs by them is no read, whatever the gateway has seen prepared.
#[test]
fn what_a_name_may_stand_for_by_now_is_not_judged_by_what_it_was() {
    let server = Postgres::start(None).unwrap();
    server
        .sql("shop", "create database old encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0")
        .unwrap();
    for database in ["old", "shop"] {
        server
            .sql(
                database,
                "create table kk (a text); insert into kk values ('x1'), ('x2'); grant all on kk to app",
            )
            .unwrap();
    }
    let settings = Settings {
        more: "[policy]\nshipped = true\n".to_owned(),
        targets: vec![Target::of(&server.place("app", "old")), Target::of(&server.place("app", "shop"))],
        ..Settings::default()
    };
    let gateway = Gateway::start(settings).unwrap();
    let secret = gateway.token(AGENT, &["old", "shop"]).unwrap();
    let count = |database: &str| server.sql(database, "select count(*) from kk").unwrap();
    let parse = |raw: &mut Raw, name: &str, sql: &str| {
        let mut out = frame(b'P', format!("{name}\0{sql}\0\0\0").as_bytes());
        out.extend(frame(b'S', b""));
        raw.stream.write_all(&out).unwrap();
        said(&raw.until(b'Z').unwrap())
    };
    // 64 bytes here, 32 there: cut here, they would be one.
    let long = "ä".repeat(32);
    let mut raw = Raw::login(&gateway.place(AGENT, &secret, "old"), &[("client_encoding", "UTF8")]).unwrap();
    parse(&mut raw, &format!("{long}x"), "delete from kk where a = 'x1'");
    parse(&mut raw, &format!("{long}y"), "select 1");
    let (code, told) = bound(&mut raw, &format!("{long}x"), None);
    assert_ne!(code, "", "{told}");
    assert_eq!(count("old"), "2");
    let mut raw = Raw::login(&gateway.place(AGENT, &secret, "shop"), &[]).unwrap();
    assert_eq!(parse(&mut raw, "g", "select 1 as a where $1::text is not null").0, "");
    assert_eq!(bound(&mut raw, "g", Some("x")).0, "");
    assert_eq!(said(&raw.query("deallocate g").unwrap()).0, "");
    assert_eq!(said(&raw.query("prepare g(text) as select 2 where $1 is not null").unwrap()).0, "");
    let (code, told) = bound(&mut raw, "g", Some("x1"));
    assert_ne!(code, "", "{told}");
    let record = gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
}
