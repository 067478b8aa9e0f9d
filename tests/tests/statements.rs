//! The shipped rules before statements as people, drivers and tools send them, and before what is meant to get around them: the
//! first run, and change nothing; the others do not run. `statements/ordinary.txt` and `statements/clients.txt` (what clients sent
//! to a server, as its log had it), `statements/evasions.txt`.

use std::io::Write as _;
use std::process::Stdio;

use firsthand_tests::lab::{AGENT, Lab, Plan};
use firsthand_tests::postgres::program;
use serde_json::{Value, json};

/// False alarms among ordinary statements, in per mille. The corpus has fewer; another one may have others.
const FALSE_ALARMS_MAX: usize = 20;

struct Case {
    setup: Vec<String>,
    expect: String,
    sql: String,
}

/// One statement a line, the word before it is the verdict: `allow`, or `refused` for any other. Lines with `>` are setup.
fn cases(text: &str) -> Vec<Case> {
    let (mut out, mut setup) = (Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (first, rest) = line.split_once(' ').unwrap();
        if first == ">" {
            setup.push(rest.to_owned());
        } else {
            let setup = std::mem::take(&mut setup);
            out.push(Case { setup, expect: first.to_owned(), sql: rest.to_owned() });
        }
    }
    out
}

fn lab() -> Lab {
    let seed =
        concat!(include_str!("statements/fixture.sql"), include_str!("statements/world.sql")).to_owned();
    Lab::start(Plan { top: "[policy]\n".to_owned(), seed, ..Plan::default() }).unwrap()
}

/// What the shipped rules say of each, in its order.
fn explained(lab: &Lab, cases: &[Case]) -> Vec<Value> {
    let args = ["policy", "explain", "--json", "--target", "shop", "--as", AGENT];
    let mut command = lab.gateway.command(&args).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: String = cases
        .iter()
        .enumerate()
        .map(|(id, case)| {
            json!({"id": id.to_string(), "sql": case.sql, "setup": case.setup}).to_string() + "\n"
        })
        .collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let said: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), cases.len());
    said
}

/// All that is in the database, as far as a statement could change it.
fn digest(lab: &Lab) -> String {
    let sql = "select md5(concat_ws('|', \
        (select string_agg(query_to_xml(format('select * from %s t order by t::text', c.oid::regclass), true, true, '')::text, '' order by c.oid) \
           from pg_class c where c.relkind in ('r', 'm') and c.relnamespace in ('public'::regnamespace, 'evil'::regnamespace, 'sales'::regnamespace, 'crm'::regnamespace, 'hr'::regnamespace, 'audit'::regnamespace)), \
        (select string_agg(c::text, '' order by oid) from (select oid, relname, relkind, relacl, relowner from pg_class where relpersistence <> 't' and relkind <> 't') c), \
        (select string_agg(p::text, '' order by oid) from (select oid, proname, prosrc, proacl from pg_proc where oid >= 16384) p), \
        (select string_agg(r::text, '' order by rolname) from pg_roles r), \
        (select string_agg(s::text, '' order by s::text) from pg_sequences s), \
        (select count(*) from pg_largeobject_metadata)))";
    lab.far.sql("shop", sql).unwrap()
}

/// Runs each with its setup in a session of its own, directly; what fails there fails.
fn run_directly(lab: &Lab, cases: &[&Case]) {
    let mut script = String::new();
    for case in cases {
        for one in case.setup.iter().chain([&case.sql]) {
            script.push_str(one);
            script.push_str(";\n");
        }
        // Statements may have left any of this behind.
        script.push_str("ROLLBACK; DISCARD ALL;\n");
    }
    let place = lab.far.place("app", "shop");
    let mut command = std::process::Command::new(program("psql").unwrap());
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=0"]).envs(place.environment());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "psql came to its end");
}

#[test]
fn ordinary_statements_are_allowed_and_change_nothing() {
    let lab = lab();
    let mut cases = cases(include_str!("statements/ordinary.txt"));
    cases.extend(self::cases(include_str!("statements/clients.txt")));
    assert!(cases.len() >= 1_370, "{}", cases.len());
    let said = explained(&lab, &cases);
    let (mut wrong, mut alarms, mut allowed) = (Vec::new(), 0, Vec::new());
    for (case, said) in cases.iter().zip(&said) {
        let allows = said["verdict"] == "allow";
        alarms += usize::from(!allows);
        if allows {
            allowed.push(case);
        }
        if allows != (case.expect == "allow") {
            wrong.push(format!("{} {}: {said}", case.expect, case.sql));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(alarms * 1_000 <= FALSE_ALARMS_MAX * cases.len(), "{alarms} of {}", cases.len());
    let before = digest(&lab);
    run_directly(&lab, &allowed);
    assert_eq!(digest(&lab), before, "something that is allowed has changed something");
    lab.far.sql("shop", "insert into events (kind) values ('x')").unwrap();
    assert_ne!(digest(&lab), before, "the digest tells");
}

#[test]
fn no_evasion_is_allowed() {
    let lab = lab();
    let cases = cases(include_str!("statements/evasions.txt"));
    assert!(cases.len() >= 970, "{}", cases.len());
    let said = explained(&lab, &cases);
    let passed: Vec<String> = cases
        .iter()
        .zip(&said)
        .filter(|(_, said)| said["verdict"] == "allow")
        .map(|(case, said)| format!("{:?} {}: {said}", case.setup, case.sql))
        .collect();
    assert!(passed.is_empty(), "{} of {}:\n{}", passed.len(), cases.len(), passed.join("\n"));
}

/// Functions in the definitions of system views that give back what they are given.
const TOLD_BY_ITS_ARGUMENTS: [&str; 2] = ["unnest", "pg_mcv_list_items"];

#[test]
fn what_makes_a_denied_view_is_denied_too() {
    let lab = lab();
    // Each view of the system, and each function that gives sets in its definition, with nothing for its arguments.
    let sql = "select v.relname || ' ' || p.proname || '(' || array_to_string(array_fill('NULL'::text, array[p.pronargs::int]), ', ') || ')' \
        from pg_class v join pg_rewrite r on r.ev_class = v.oid, \
        lateral regexp_matches(r.ev_action::text, ':funcid (\\d+)', 'g') m join pg_proc p on p.oid = m[1]::oid \
        where v.relnamespace = 'pg_catalog'::regnamespace and v.oid < 16384 and p.proretset group by 1 order by 1";
    let pairs: Vec<(String, String)> = lab
        .far
        .sql("shop", sql)
        .unwrap()
        .lines()
        .map(|line| line.split_once(' ').map(|(view, call)| (view.to_owned(), call.to_owned())).unwrap())
        .filter(|(_, call)| !TOLD_BY_ITS_ARGUMENTS.contains(&call.split('(').next().unwrap()))
        .collect();
    let case = |what: &str| Case {
        setup: Vec::new(),
        expect: String::new(),
        sql: format!("SELECT * FROM pg_catalog.{what}"),
    };
    let views = explained(&lab, &pairs.iter().map(|(view, _)| case(view)).collect::<Vec<_>>());
    let calls = explained(&lab, &pairs.iter().map(|(_, call)| case(call)).collect::<Vec<_>>());
    let mut denied = 0;
    for ((pair, view), call) in pairs.iter().zip(&views).zip(&calls) {
        if view["verdict"] == "deny" {
            denied += 1;
            assert_eq!(call["verdict"], "deny", "{pair:?}: {call}");
        }
    }
    assert!(denied >= 5, "{denied} of {pairs:?}");
}
