//! What people are asked about can run once they say yes: reads as well as writes. Nobody is asked about what could not run.

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw};
use serde_json::Value;

const SEED: &str = "create table payments (id int primary key, note text);
    insert into payments select n, 'row ' || n from generate_series(1, 9) n;
    create table salaries (id int primary key, pay int); insert into salaries values (1, 4711); create table audit (id int);
    alter table payments owner to app; alter table salaries owner to app; alter table audit owner to app";

const RULES: &str = r#"
[[group]]
name = "payers"
members = ["local:*"]

[[rule]]
name = "reads"
because = "Anybody may."
verdict = "allow"
effects = ["read", "transaction", "session"]

[[rule]]
name = "writes-held"
because = "Payments need a second pair of eyes."
verdict = "hold"
effects = ["write"]
approve = { group = "payers", wait = "1s" }

[[rule]]
name = "salaries-held"
because = "Salaries are looked at with a second pair of eyes."
verdict = "hold"
effects = ["read"]
tables = ["public.salaries"]
approve = { group = "payers", wait = "1s" }

[[rule]]
name = "audit-stays"
because = "The audit stays as it is."
verdict = "deny"
tables = ["public.audit"]

[[limit]]
name = "few-rows"
because = "More is done in the office."
affected = 3
"#;

fn lab() -> (Lab, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
    let top = format!("[policy]\ndir = {:?}\n", folder.path().display().to_string());
    (Lab::start(Plan { top, seed: SEED.to_owned(), ..Plan::default() }).unwrap(), folder)
}

fn error(seen: &[Message], code: u8) -> String {
    seen.iter().find(|m| m.tag == b'E').and_then(|m| m.field(code)).unwrap_or_default()
}

fn said(seen: &[Message]) -> String {
    seen.iter().map(Message::line).collect::<Vec<_>>().join("\n")
}

fn asked(lab: &Lab) -> Vec<Value> {
    let listed = lab.gateway.cli(&["approvals", "list", "--all", "--json"]).unwrap();
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A read is held like anything else, and runs once it is approved.
#[test]
fn a_read_that_is_held_runs_when_it_is_approved() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for (begin, sql) in
        [("", "select pay from salaries where id = 1"), ("begin", "select pay + 1 from salaries")]
    {
        if !begin.is_empty() {
            raw.query(begin).unwrap();
        }
        let seen = raw.query(sql).unwrap();
        assert_eq!(error(&seen, b'C'), "RF001", "{}", said(&seen));
        raw.query("rollback").unwrap();
        let waiting = asked(&lab).into_iter().find(|approval| approval["state"] == "asked").unwrap();
        lab.gateway.cli(&["approvals", "approve", waiting["id"].as_str().unwrap()]).unwrap();
        if !begin.is_empty() {
            raw.query(begin).unwrap();
        }
        let seen = raw.query(sql).unwrap();
        assert!(said(&seen).contains("471"), "{}", said(&seen));
        raw.query("rollback").unwrap();
        assert!(said(&raw.query(sql).unwrap()).contains("is pending"), "once");
        let again = asked(&lab).into_iter().find(|approval| approval["state"] == "asked").unwrap();
        lab.gateway.cli(&["approvals", "deny", again["id"].as_str().unwrap(), "--reason", "once"]).unwrap();
    }
}

#[test]
fn nobody_is_asked_about_what_could_not_run() {
    let (lab, _folder) = lab();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    let delete = "delete from payments where id = 1";
    let cases = [
        (format!("explain analyze {delete}"), "RF003", "is not told before it commits"),
        (
            format!("with d as ({delete} returning *) select * from d"),
            "RF003",
            "is not told before it commits",
        ),
        (format!("begin; {delete}; commit"), "RF003", "is not told before it commits"),
        (format!("{delete}; rollback"), "RF003", "is not told before it commits"),
        (format!("{delete}; set work_mem = '4MB'"), "RF003", "is not told before it commits"),
        (format!("{delete}; delete from audit where id = 1"), "42501", "command 2 of it cannot run"),
        (format!("select 1; {delete}; select 2; table audit"), "42501", "command 4 of it cannot run"),
    ];
    for (sql, code, why) in cases {
        let seen = raw.query(&sql).unwrap();
        assert_eq!(error(&seen, b'C'), code, "{sql}: {}", said(&seen));
        assert!(error(&seen, b'M').contains(why), "{sql}: {}", said(&seen));
        raw.query("rollback").unwrap();
    }
    raw.query("begin").unwrap();
    raw.query("select 1 / 0").unwrap();
    let seen = raw.query(delete).unwrap();
    assert!(error(&seen, b'M').contains("Send ROLLBACK"), "{}", said(&seen));
    assert_eq!(asked(&lab), Vec::<Value>::new(), "nobody was asked about any of them");
    // What ends the failed transaction in front of it makes room for it.
    let seen = raw.query(&format!("rollback; {delete}")).unwrap();
    assert_ne!(error(&seen, b'M'), "", "{}", said(&seen));
    assert!(!error(&seen, b'M').contains("Send ROLLBACK"), "{}", said(&seen));
    raw.query("rollback").unwrap();
    // What can be counted is asked about, together.
    let seen = raw.query(&format!("{delete}; delete from payments where id = 2")).unwrap();
    assert_eq!(error(&seen, b'C'), "RF001", "{}", said(&seen));
    assert_eq!(asked(&lab).len(), 2);
    assert_eq!(lab.far.sql("shop", "select count(*) from payments").unwrap().trim(), "9");
}
