//! Transparency: the same bytes in, the same bytes out, direct and through the gateway (`tests/wire/*.jsonl`).

use std::path::PathBuf;

use firsthand_tests::lab::{Lab, Plan, first_difference};
use firsthand_tests::place::Place;
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::workspace;
use firsthand_tests::script::Script;

fn scripts() -> Vec<PathBuf> {
    let dir = workspace().join("tests").join("wire");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    paths.sort();
    assert!(paths.len() > 10, "the corpus is gone: {paths:?}");
    paths
}

/// Runs every script at both places and collects the first difference of each.
fn differences(direct: &Place, through: &Place, piece: usize) -> Vec<String> {
    differences_but(&[], direct, through, piece)
}

fn differences_but(leave_out: &[&str], direct: &Place, through: &Place, piece: usize) -> Vec<String> {
    let only = std::env::var("FIRSTHAND_ONLY").unwrap_or_default();
    let mut differences = Vec::new();
    for path in scripts() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) || leave_out.contains(&name.as_str()) {
            continue;
        }
        let script = Script::read(&path).unwrap();
        let here = script.run(direct).unwrap_or_else(|why| panic!("{name}, direct: {why:#}"));
        match script.run_in_pieces(through, piece) {
            Ok(there) => {
                let difference = first_difference(&here.join("\n"), &there.join("\n"));
                differences.extend(difference.map(|d| format!("{name}: {d}")));
            }
            Err(why) => {
                let why = format!("{why:#}");
                let end: String =
                    why.chars().rev().take(1500).collect::<Vec<_>>().into_iter().rev().collect();
                differences.push(format!("{name}: {end}"));
            }
        }
    }
    differences
}

/// The rig itself: two copies of a server answer alike, so any difference below is the gateway's.
#[test]
fn two_copies_of_a_server_answer_byte_for_byte_alike() {
    let (one, two) = (Postgres::start(None).unwrap(), Postgres::start(None).unwrap());
    let found = differences(&one.place("app", "shop"), &two.place("app", "shop"), usize::MAX);
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

/// Invariant of the issue: "byte-for-byte the same results, errors, notices and ordering through the gateway".
#[test]
fn the_gateway_answers_byte_for_byte_like_the_server() {
    let lab = Lab::start(Plan::default()).unwrap();
    let found = differences(&lab.direct(), &lab.through(), usize::MAX);
    assert!(found.is_empty(), "{} scripts differ:\n\n{}", found.len(), found.join("\n\n"));
    let record = lab.gateway.record().unwrap();
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "commands without exactly one outcome:\n{}", wrong.join("\n"));
    assert!(record.contiguous());
    assert!(
        record
            .texts()
            .iter()
            .any(|text| text == "select 1 as one, null as nothing, '' as empty, 'ü世界🦀' as text")
    );
}

/// Nor does it show that transactions are named before they commit.
#[test]
fn the_gateway_answers_alike_where_the_targets_log_is_read() {
    let (more, seed) = ("changed_rows = \"wal\"\n".to_owned(), "alter role app replication".to_owned());
    let lab = Lab::start(Plan { more, seed, ..Plan::default() }).unwrap();
    // Messages that are no copy data, behind copy data whose COPY may have failed already: no client sends them (docs/config.md).
    let left_out = ["copy-doubt", "copy-mistakes"];
    let found = differences_but(&left_out, &lab.direct(), &lab.through(), usize::MAX);
    assert!(found.is_empty(), "{} scripts differ:\n\n{}", found.len(), found.join("\n\n"));
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
    let named = record.of_kind("transaction.named").count();
    assert!(named > 2, "{named} transactions are named");
}

/// Nor that rows are asked for, and what changes along with them.
#[test]
fn the_gateway_answers_alike_where_changed_rows_are_told() {
    let lab = Lab::start(Plan { more: "changed_rows = \"values\"\n".to_owned(), ..Plan::default() }).unwrap();
    let found = differences(&lab.direct(), &lab.through(), usize::MAX);
    assert!(found.is_empty(), "{} scripts differ:\n\n{}", found.len(), found.join("\n\n"));
    let record = lab.gateway.record().unwrap();
    assert!(record.unbalanced().is_empty());
    assert!(record.of_kind("command.changed").filter(|e| e.leaf("how") == "counted").count() > 9);
}

/// Where the bytes are cut must not matter: headers, lengths and texts arrive in pieces of seven bytes.
#[test]
fn the_gateway_answers_alike_however_the_bytes_are_cut() {
    let lab = Lab::start(Plan::default()).unwrap();
    let found = differences(&lab.direct(), &lab.through(), 7);
    assert!(found.is_empty(), "{} scripts differ:\n\n{}", found.len(), found.join("\n\n"));
    assert!(lab.gateway.record().unwrap().unbalanced().is_empty());
}
