//! kill -9 of the real process under load, again and again: nothing acknowledged is lost, nothing ran without an intent.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use firsthand_tests::lab::{Lab, Plan};
use firsthand_tests::place::Place;
use firsthand_tests::raw::Raw;
use firsthand_tests::record::Record;

/// Kills in one test: enough to hit an append, an fdatasync, a forward and a reply at different moments.
const ROUNDS: usize = 6;
/// Sessions writing at the same time.
const WRITERS: usize = 6;
/// Acknowledged commands after which the process is killed, per round.
const ACKNOWLEDGED: usize = 150;

const SEED: &str = "create table acked (round int, writer int, n int); alter table acked owner to app";

/// Writes until the connection breaks, and returns what was acknowledged.
fn write(place: &Place, round: usize, writer: usize, total: &AtomicUsize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let Ok(mut raw) = Raw::login(place, &[]) else { return acknowledged };
    for n in 0.. {
        let sql = if n % 3 == 2 {
            format!("select {round} as round, {writer} as writer, {n} as n")
        } else {
            format!("insert into acked values ({round}, {writer}, {n})")
        };
        match raw.query(&sql) {
            Ok(seen) if seen.iter().any(|m| m.tag == b'C') => {
                acknowledged.push(sql);
                total.fetch_add(1, Ordering::SeqCst);
            }
            Ok(seen) => panic!("{sql}: {seen:?}"),
            Err(_) => break,
        }
    }
    acknowledged
}

/// The rows that stand in the table, as the statements that made them.
fn executed(lab: &Lab) -> BTreeSet<String> {
    let rows = lab
        .far
        .sql("shop", "select format('insert into acked values (%s, %s, %s)', round, writer, n) from acked")
        .unwrap();
    rows.lines().map(str::to_owned).collect()
}

/// The statements of the record with an outcome, and all of them.
fn recorded(record: &Record) -> (BTreeSet<String>, BTreeSet<String>) {
    let intents = || record.of_kind("command.decided");
    let ended: BTreeSet<(&str, Option<u64>)> =
        record.of_kind("command.completed").map(|entry| (entry.session(), entry.command())).collect();
    let completed =
        intents().filter(|i| ended.contains(&(i.session(), i.command()))).map(|i| i.text().to_owned());
    (completed.collect(), intents().map(|i| i.text().to_owned()).collect())
}

#[test]
fn kill_nine_under_load_loses_nothing_that_was_acknowledged() {
    let mut lab = Lab::start(Plan { seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let place = lab.through();
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (place, total) = (&place, &total);
                    scope.spawn(move || write(place, round, writer, total))
                })
                .collect();
            // A different number each round, so that the kill meets different moments.
            while total.load(Ordering::SeqCst) < ACKNOWLEDGED + round * 37 {
                std::thread::yield_now();
            }
            lab.gateway.kill().unwrap();
            for writer in writers {
                acknowledged.extend(writer.join().unwrap());
            }
        });
        lab.gateway.serve().unwrap();
    }
    let record = lab.gateway.record().unwrap();
    let (completed, intents) = recorded(&record);
    let lost: Vec<_> = acknowledged.difference(&completed).collect();
    assert!(lost.is_empty(), "acknowledged, and not complete in the record: {lost:?}");
    let unrecorded: Vec<_> = executed(&lab).difference(&intents).cloned().collect();
    assert!(unrecorded.is_empty(), "ran without an intent: {unrecorded:?}");
    let wrong = record.unbalanced();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(record.contiguous());
    assert_eq!(record.of_kind("log.recovered").count(), ROUNDS, "each crash is told by the log itself");
    let orphans: Vec<_> = record.of_kind("command.abandoned").collect();
    assert!(orphans.iter().all(|entry| entry.leaf("why").as_str() == Some("crash")), "{orphans:?}");
    assert!(
        orphans.len() <= ROUNDS * WRITERS,
        "at most one command in flight per session: {}",
        orphans.len()
    );
    let closed = record.of_kind("session.closed").filter(|e| e.leaf("why").as_str() == Some("crash")).count();
    assert_eq!(closed, ROUNDS * WRITERS, "each session that the crash ended is closed in the record");
}

#[test]
fn the_record_reads_the_same_after_a_kill_without_a_restart() {
    let mut lab = Lab::start(Plan { seed: SEED.to_owned(), ..Plan::default() }).unwrap();
    let mut raw = Raw::login(&lab.through(), &[]).unwrap();
    for n in 0..50 {
        raw.query(&format!("insert into acked values (0, 0, {n})")).unwrap();
    }
    lab.gateway.kill().unwrap();
    // No gateway runs: the command line reads the files itself.
    let (completed, _) = recorded(&lab.gateway.record().unwrap());
    for n in 0..50 {
        assert!(completed.contains(&format!("insert into acked values (0, 0, {n})")), "{n}");
    }
}
