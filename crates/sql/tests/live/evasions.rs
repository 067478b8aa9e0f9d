//! `corpus/evasions.txt`: what is told of each statement; and that nothing told to only read changes anything.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::statement::Facts;
use firsthand_sql::catalog::Catalog;
use firsthand_sql::explain::explain;
use firsthand_sql::state::Start;

use crate::server::with_fixture;

pub(crate) struct Case<'c> {
    pub(crate) setup: Vec<&'c str>,
    pub(crate) expect: &'c str,
    pub(crate) sql: &'c str,
}

/// The cases of a corpus file.
pub(crate) fn cases(text: &str) -> Vec<Case<'_>> {
    let mut out = Vec::new();
    let mut setup = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (first, rest) = line.split_once(' ').unwrap();
        if first == ">" {
            setup.push(rest);
        } else {
            out.push(Case { setup: std::mem::take(&mut setup), expect: first, sql: rest });
        }
    }
    out
}

pub(crate) fn start() -> Start {
    Start { user: "postgres".to_owned(), ..Start::default() }
}

/// The facts of all statements of a text together.
pub(crate) fn facts(catalog: &Arc<Catalog>, case: &Case<'_>) -> Vec<Arc<Facts>> {
    let setup: Vec<String> = case.setup.iter().map(|s| (*s).to_owned()).collect();
    let explained = explain(catalog, &start(), &setup, case.sql);
    explained.iter().map(|e| Arc::clone(e.shape.facts.as_ref().unwrap())).collect()
}

pub(crate) fn only_reads(facts: &[Arc<Facts>]) -> bool {
    let read = Effects::only(Effect::Read);
    facts.iter().all(|f| f.opaque.is_none() && f.effects.union(read) == read)
}

#[test]
fn every_statement_is_told_for_what_it_is_and_reads_change_nothing() {
    let (server, catalog) = with_fixture("evasions");
    let cases = cases(include_str!("../corpus/evasions.txt"));
    assert!(cases.len() >= 300, "{}", cases.len());
    let mut wrong = Vec::new();
    let before = server.digest();
    for case in &cases {
        let facts = facts(&catalog, case);
        let reads = only_reads(&facts);
        let told = match case.expect {
            "read" => reads,
            "opaque" => facts.iter().any(|f| f.opaque.is_some() && f.effects.has(Effect::Unknown)),
            word => {
                let effect = Effect::ALL.into_iter().find(|e| e.word() == word).expect(word);
                facts.iter().any(|f| f.effects.has(effect)) && !reads
            }
        };
        if !told {
            let all: Vec<String> = facts
                .iter()
                .map(|f| {
                    format!("{:?} {:?}", f.effects.iter().map(Effect::word).collect::<Vec<_>>(), f.opaque)
                })
                .collect();
            wrong.push(format!("{} {}\n   {}", case.expect, case.sql, all.join(" ; ")));
        }
        if reads {
            let settings = "SELECT md5(string_agg(name || setting, ',' ORDER BY name)) FROM pg_settings WHERE name NOT LIKE '%.%'";
            let mut all = case.setup.clone();
            let parameter = case.sql.replace("$1::text", "''");
            all.extend([
                settings,
                if case.setup.is_empty() { parameter.as_str() } else { case.sql },
                settings,
            ]);
            let said = server.session(&all);
            if said.contains("ERROR") {
                wrong.push(format!("cannot run: {} {said}", case.sql));
            }
            let hashes: Vec<&str> =
                said.lines().filter(|l| l.len() == 32 && l.bytes().all(|b| b.is_ascii_hexdigit())).collect();
            if hashes.first() != hashes.last() {
                wrong.push(format!("changed settings: {}", case.sql));
            }
            if server.digest() != before {
                panic!("told to only read, and changed something: {}", case.sql);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
