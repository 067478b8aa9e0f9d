//! Masked values are hunted in everything that comes back and in everything that is written down: by many ways of SQL, in both
//! protocols and both formats, under the shipped rules and where an agent may do anything.

use std::collections::BTreeSet;
use std::io::Write;

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::raw::{Message, Raw, extended, frame};
use firsthand_tests::record::Record;
use tempfile::TempDir;

/// Labelled values that no detection knows, and a value that only detection knows.
const SEED: &str = r#"create extension if not exists hstore;
create type tag as enum ('zqcanary', 'other');
create domain word as text;
create type pair as (a text, b int);
create table people (id int primary key, secret text, short varchar(20), fixed char(12), w word, t tag, bytes bytea, doc jsonb, raw json,
  x xml, list text[], p pair, r numrange, h hstore, n numeric, day date, ip inet, u uuid, v tsvector, note text, k int);
insert into people select i, 'zqcanary' || i, 'zqcanary' || i, 'zqcanary' || i, 'zqcanary' || i, 'zqcanary', convert_to('zqcanary' || i, 'utf8'),
  jsonb_build_object('a', 'zqcanary' || i, 'b', jsonb_build_array('zqcanary')), json_build_object('zqcanary', 1), xmlelement(name a, 'zqcanary'),
  array['zqcanary', 'b'], row('zqcanary', 1)::pair, numrange(4711471147, 4711471148), 'a=>zqcanary'::hstore, 4711471147, '1947-11-03', '47.11.47.11',
  '47114711-4711-4711-4711-471147114711', to_tsvector('simple', 'zqcanary word'), 'write to ada.zqcanary@example.com', i from generate_series(1, 3) i;
create index on people (secret); analyze people;
create view seen as select id, upper(secret) as s, doc->>'a' as d from people;
create materialized view kept as select id, secret as s from people;
create function teller() returns text language sql stable as 'select secret from people limit 1';
create function loud() returns int language plpgsql as $$ begin raise notice 'it is %', (select secret from people limit 1);
  perform pg_notify('news', (select secret from people limit 1)); raise exception '%', (select secret from people limit 1); end $$;
create table parent (id int, secret text) partition by range (id); create table part partition of parent for values from (0) to (100);
insert into parent values (1, 'zqcanary');
grant all on all tables in schema public to app; grant usage, create on schema public to app;"#;

const LABELS: &str = r#"[[label]]
label = "secret"
columns = ["people.secret", "people.short", "people.fixed", "people.w", "people.t", "people.bytes", "people.doc", "people.raw", "people.x",
  "people.list", "people.p", "people.r", "people.h", "people.n", "people.day", "people.ip", "people.u", "people.v", "parent.secret"]
"#;

const ALL: &str = r#"[[rule]]
name = "all"
because = "b"
verdict = "allow"
kinds = ["agent"]
effects = ["read", "write", "define", "grant", "execute", "session", "transaction", "lock", "system"]
[[mask]]
name = "secrets"
because = "b"
kinds = ["agent"]
labels = ["*"]
style = "redact"
detect = true
"#;

/// How a canary may look on its way out.
const FORMS: [&str; 16] = [
    "zqcanary",
    "ZQCANARY",
    "yranacqz",
    "7a7163616e617279",
    "enFjYW5hcnk",
    "Zqcanary",
    "4711471147",
    "1947-11-03",
    "47.11.47.11",
    "47114711-4711",
    // md5 and sha256 of 'zqcanary1'
    "@md5",
    "@sha",
    "122,113,99",
    "z,q,c,a",
    "zqcan",
    "anary",
];

const STATEMENTS: &str = include_str!("masking/statements.sql");

fn lab(rules: &str, shipped: bool) -> (Lab, TempDir) {
    lab_with(rules, shipped, "values")
}

fn lab_with(rules: &str, shipped: bool, changed: &str) -> (Lab, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.toml"), format!("{LABELS}{rules}")).unwrap();
    let top = format!("[policy]\ndir = {:?}\nshipped = {shipped}\n", folder.path().display().to_string());
    let seed = format!("{SEED}\nalter role app replication; alter table people replica identity full;");
    let plan = Plan { top, seed, more: format!("changed_rows = {changed:?}"), ..Plan::default() };
    (Lab::start(plan).unwrap(), folder)
}

/// What of a canary stands in these bytes.
fn leak(bytes: &[u8], forms: &[String]) -> Option<String> {
    let find = |form: &String| bytes.windows(form.len()).any(|w| w == form.as_bytes());
    forms.iter().find(|form| find(form)).cloned()
}

fn bytes_of(seen: &[Message]) -> Vec<u8> {
    seen.iter().flat_map(|m| m.body.iter().copied().chain([0, 1])).collect()
}

/// Columns that come one letter at a time are put together.
fn letters(seen: &[Message]) -> Vec<u8> {
    let mut all = Vec::new();
    for row in seen.iter().filter(|m| m.tag == b'D') {
        let mut rest = row.body.get(2..).unwrap_or_default();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0);
            all.extend_from_slice(after.get(..length).unwrap_or_default());
            rest = after.get(length..).unwrap_or_default();
        }
    }
    all
}

fn hunt(lab: &Lab) -> (usize, usize, Vec<String>) {
    let sql = "select md5('zqcanary1'), encode(sha256('zqcanary1'), 'hex')";
    let hashes = lab.far.sql("shop", sql).unwrap();
    let (md5, sha) = hashes.split_once('|').unwrap();
    let forms: Vec<String> = FORMS.iter().map(|f| f.replace("@md5", md5).replace("@sha", sha)).collect();
    let (mut wrong, mut ran, mut refused) = (Vec::new(), 0, 0);
    for sql in STATEMENTS.split(";;").map(str::trim).filter(|sql| !sql.is_empty()) {
        for way in ["simple", "text", "binary"] {
            let mut raw = Raw::login(&lab.through(), &[]).unwrap();
            let mut seen = Vec::new();
            // Statements of one line stand in one session, each by itself.
            for one in sql.split('\n').map(str::trim).filter(|one| !one.is_empty() && !one.starts_with("--"))
            {
                let bytes = match way {
                    "simple" => frame(b'Q', format!("{one}\0").as_bytes()),
                    _ => extended(one, way == "binary", false),
                };
                raw.stream.write_all(&bytes).unwrap();
                let said = raw.until(b'Z').unwrap();
                let code = said.iter().find(|m| m.tag == b'E').and_then(|m| m.field(b'C'));
                match code.as_deref() {
                    Some("42501") => refused += 1,
                    Some(code) => wrong.extend((!one.contains("/*fails*/") && code != "25P02").then(|| {
                        format!(
                            "FAILS {code} {way} {one}: {:?}",
                            said.iter().map(Message::line).collect::<String>()
                        )
                    })),
                    None => ran += 1,
                }
                seen.extend(said);
            }
            let found = leak(&bytes_of(&seen), &forms).or_else(|| leak(&letters(&seen), &forms));
            if let Some(form) = found {
                let lines: Vec<String> = seen.iter().map(Message::line).collect();
                wrong.push(format!(
                    "{form} LEAKS {way} {sql}: {}",
                    lines.join(" ").chars().take(500).collect::<String>()
                ));
            }
        }
    }
    let record = record(lab);
    // What the statements themselves say is no canary: they hold none.
    for entry in &record.0 {
        if let Some(form) = leak(entry.0.to_string().as_bytes(), &forms) {
            wrong.push(format!("{form} RECORDED {}", entry.0));
        }
    }
    wrong.extend(record.unbalanced());
    (ran, refused, wrong)
}

/// The record, once every transaction that was named has its end.
fn record(lab: &Lab) -> Record {
    let mut last = None;
    firsthand_tests::process::until("transactions have their end", || {
        let record = lab.gateway.record()?;
        let numbers =
            |kind| record.of_kind(kind).filter_map(|e| e.leaf("xid").as_u64()).collect::<BTreeSet<_>>();
        let all = numbers("transaction.named") == numbers("transaction.ended");
        last = Some(record);
        Ok(all)
    })
    .unwrap();
    last.unwrap()
}

/// The same, with the rows that writes touch read from the target's log.
#[test]
fn nothing_masked_is_recorded_of_rows_from_the_targets_log() {
    let (lab, _folder) = lab_with(ALL, false, "wal");
    let (ran, refused, wrong) = hunt(&lab);
    let (fails, leaks): (Vec<_>, Vec<_>) = wrong.iter().partition(|w| w.starts_with("FAILS"));
    eprintln!("ran {ran}, refused {refused}; {fails:#?}");
    assert!(leaks.is_empty(), "{} of {}: {leaks:#?}", leaks.len(), ran + refused);
    let record = record(&lab);
    assert!(record.of_kind("transaction.changed").any(|e| e.leaf("table") == "public.people"));
}

/// Triggers and functions store masked values where no label tells that they are; and where nobody knows the table.
#[test]
fn what_code_stores_elsewhere_is_counted_and_not_shown() {
    let rules = ALL.replace("\"system\"", "\"system\", \"unknown\"");
    let (lab, _folder) = lab_with(&rules, false, "wal");
    lab.far
        .sql(
            "shop",
            "create table copies (secret_of int, said text); grant all on copies to app;
             create function copy() returns trigger security definer language plpgsql as
               $$ begin insert into copies values (new.id, new.secret); return null; end $$;
             create trigger copy after update on people for each row execute function copy();
             create function spread() returns int security definer language plpgsql as
               $$ begin insert into copies select id, secret from people; return 1; end $$;",
        )
        .unwrap();
    for sql in [
        "update people set k = k + 1 where id = 1",
        "do $$ begin perform spread(); end $$",
        "begin; do $$ begin perform spread(); end $$",
        "insert into copies values (7, 'plain')",
    ] {
        // What a DO leaves of the session's state is not known: each has a session of its own.
        let mut raw = Raw::login(&lab.through(), &[]).unwrap();
        raw.send(b'Q', format!("{sql}\0").as_bytes()).unwrap();
        let said = raw.until(b'Z').unwrap();
        assert!(
            said.iter().all(|m| m.tag != b'E'),
            "{sql}: {:?}",
            said.iter().map(Message::line).collect::<Vec<_>>()
        );
        raw.send(b'Q', b"commit\0").unwrap();
        raw.until(b'Z').unwrap();
    }
    let record = record(&lab);
    let told: Vec<String> = record
        .of_kind("transaction.changed")
        .map(|e| {
            format!("{} {} {} {}", e.leaf("table"), e.leaf("count"), e.leaf("coverage"), e.payload("new"))
        })
        .collect();
    for entry in &record.0 {
        assert_eq!(leak(entry.0.to_string().as_bytes(), &["zqcanary".to_owned()]), None, "{}", entry.0);
    }
    assert!(told.iter().any(|t| t.contains("copies\" 3") && t.contains("masks-unknown")), "{told:#?}");
    assert!(told.iter().any(|t| t.contains("people\" 1") && t.contains("[secret]")), "{told:#?}");
    assert!(told.iter().any(|t| t.contains("\"plain\"")), "{told:#?}");
}

#[test]
fn nothing_masked_comes_out_of_an_agent_that_reads() {
    let (lab, _folder) = lab("", true);
    let (ran, refused, wrong) = hunt(&lab);
    let leaks: Vec<_> = wrong.iter().filter(|w| !w.starts_with("FAILS")).collect();
    eprintln!("ran {ran}, refused {refused}");
    assert!(leaks.is_empty(), "{} of {}: {leaks:#?}", leaks.len(), ran + refused);
    assert!(ran > 100, "{ran} ran");
}

#[test]
fn nothing_masked_comes_out_of_an_agent_that_may_do_anything() {
    let (lab, _folder) = lab(ALL, false);
    let (ran, refused, wrong) = hunt(&lab);
    let (fails, leaks): (Vec<_>, Vec<_>) = wrong.iter().partition(|w| w.starts_with("FAILS"));
    eprintln!("ran {ran}, refused {refused}; {fails:#?}");
    assert!(leaks.is_empty(), "{} of {}: {leaks:#?}", leaks.len(), ran + refused);
    assert!(ran > 200, "{ran} ran");
}
