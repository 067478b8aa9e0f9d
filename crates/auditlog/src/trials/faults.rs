//! Every call of the disk fails once, or from some moment on, in turn: nothing acknowledged is lost, nothing is
//! invented, no fdatasync is repeated, and work goes on by itself unless an fdatasync was what failed.

use std::path::Path;
use std::sync::Arc;

use super::{Note, Opened, SEGMENT, assert_is, open, read};
use crate::io::Io;
use crate::keys::{KeyError, KeyStore};
use crate::open_set::Change;
use crate::queue::{AppendError, Class, Durability, Patience, State, WaitError};
use crate::sim::SimIo;
use crate::step::Step;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// A fixed amount of work that rolls a few times. Gives what was appended.
fn work(opened: &mut Opened) -> Vec<Note> {
    let (log, stepper, _) = opened;
    let mut appended = Vec::new();
    for n in 0..110u8 {
        let mut note = Note::new(format!("entry {n} {}", "x".repeat(usize::from(n) * 20)));
        note.change = if n % 2 == 0 {
            Change::OpenCommand([1; 16], n.into())
        } else {
            Change::CloseCommand([1; 16], u64::from(n) - 1)
        };
        note.payload = vec![n; usize::from(n) * 3];
        let class = if n % 2 == 0 { Class::Intent } else { Class::Outcome };
        if log.append(note.clone().item(class, Durability::Strict)).is_ok() {
            appended.push(note);
        }
        if n % 3 == 0 {
            stepper.step();
            stepper.keep();
        }
    }
    stepper.settle();
    appended
}

/// How many calls all of it makes when nothing fails.
fn calls() -> u64 {
    let io = SimIo::new(1);
    let mut opened = open(&io).unwrap();
    let appended = work(&mut opened);
    drop(opened);
    let (.., recovered) = open(&io).unwrap();
    assert_is(&io, &recovered, &appended);
    io.calls()
}

#[test]
fn every_call_may_fail_once_or_for_a_while() {
    let calls = calls();
    assert!(calls > 130, "{calls} calls are not much of a trial");
    for errno in [EIO, ENOSPC, EROFS] {
        for count in [1, u64::MAX] {
            for n in 0..calls {
                one_failure(n, count, errno);
            }
        }
    }
}

fn one_failure(n: u64, count: u64, errno: i32) {
    let what = format!("{count} calls from {n} fail with {errno}");
    let io = SimIo::new(n);
    io.fail(n, count, errno);
    // A log that cannot be opened says so; it opens when the disk works again.
    let mut opened = match open(&io) {
        Ok(opened) => opened,
        Err(_) => {
            io.heal();
            open(&io).unwrap_or_else(|e| panic!("{what}: {e}"))
        }
    };
    let mut appended = work(&mut opened);
    io.heal();
    let (log, stepper, _) = &mut opened;
    let stopped = matches!(log.health().state, State::Stopped(_));
    if stopped {
        let refused = log.append(Note::new("late").item(Class::Outcome, Durability::Strict));
        assert!(matches!(refused, Err(AppendError::Stopped(_))), "{what}");
        assert_eq!(stepper.step(), Step::Stopped, "{what}");
    } else {
        // Two jobs at most are due: the next segment, and a sealing.
        while stepper.keep() {}
        let note = Note::new("after the disk has healed");
        let mut ticket = log.append(note.clone().intent());
        if ticket.is_err() {
            // The state is found out by trying.
            stepper.settle();
            ticket = log.append(note.clone().intent());
        }
        let ticket = ticket.unwrap_or_else(|e| panic!("{what}: {e}"));
        appended.push(note);
        assert_eq!(stepper.settle(), Step::Idle, "{what}");
        assert_eq!(log.wait_blocking(ticket, Patience::Intent), Ok(()), "{what}");
        assert_eq!(log.health().state, State::Running, "{what}");
    }
    let acked = log.durable_size() as usize;
    assert_eq!(io.syncs_after_failure(), 0, "{what}: an fdatasync was repeated");
    drop(opened);
    if n.is_multiple_of(2) {
        io.restart();
    } else {
        io.reboot();
    }
    let (.., recovered) = open(&io).unwrap_or_else(|e| panic!("{what}: {e}"));
    let size = recovered.size as usize;
    assert!(acked <= size && size <= appended.len(), "{what}: {acked} <= {size} <= {}", appended.len());
    assert_is(&io, &recovered, &appended[..size]);
}

#[test]
fn an_error_of_write_suspends_and_a_failed_sync_stops() {
    let io = SimIo::new(7);
    let (log, mut stepper, _) = open(&io).unwrap();
    let intent = log.append(Note::new("a").intent()).unwrap();
    io.fail(0, 2, EIO);
    assert_eq!(stepper.step(), Step::Suspended);
    let state = log.health().state;
    assert!(
        matches!(&state, State::Suspended(why) if why.contains("writing") && why.contains(".seg")),
        "{state:?}"
    );
    assert!(matches!(log.wait_blocking(intent, Patience::Intent), Err(WaitError::Suspended(_))));
    assert!(matches!(log.append(Note::new("b").intent()), Err(AppendError::Suspended(_))));
    let outcome = log.append(Note::new("c").item(Class::Outcome, Durability::Strict)).unwrap();
    assert_eq!(stepper.step(), Step::Suspended);
    assert_eq!(stepper.settle(), Step::Idle);
    assert_eq!(log.health().state, State::Running);
    assert_eq!(log.wait_blocking(outcome, Patience::Outcome), Ok(()));
    assert_eq!(read(&io, 1).len(), 2);

    let lost = log.append(Note::new("d").intent()).unwrap();
    io.fail(1, 1, EIO);
    assert_eq!(stepper.step(), Step::Stopped);
    let stopped = log.wait_blocking(lost, Patience::Outcome);
    assert!(matches!(&stopped, Err(WaitError::Stopped(why)) if why.contains("fdatasync")), "{stopped:?}");
    assert_eq!(log.wait_blocking(outcome, Patience::Outcome), Ok(()));
}

/// A failed fdatasync may leave pages that are called clean and are not stored. A restarted process reads them, and must
/// not call them durable before they are.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_stored_before_it_counts() {
    for seed in 0..200 {
        let io = SimIo::new(seed);
        let (log, mut stepper, _) = open(&io).unwrap();
        for n in 0..5 {
            log.append(Note::new("y".repeat(n * 300)).intent()).unwrap();
        }
        io.fail(1, 1, EIO);
        assert_eq!(stepper.step(), Step::Stopped);
        drop((log, stepper));
        io.restart();
        let (log, _, recovered) = open(&io).unwrap();
        assert_eq!(recovered.size, 5, "the page cache has all of it");
        assert_eq!(log.durable_size(), 5);
        drop(log);
        io.reboot();
        let (.., recovered) = open(&io).unwrap();
        assert_eq!(recovered.size, 5, "seed {seed}: what was called durable is gone");
    }
}

#[test]
fn a_full_disk_refuses_intents_keeps_outcomes_and_heals_by_itself() {
    let io = SimIo::new(3);
    let (log, mut stepper, _) = open(&io).unwrap();
    io.set_quota(Some(SEGMENT as usize));
    let big = |n: usize| Note::new(format!("{n} {}", "z".repeat(1500)));
    let mut appended = Vec::new();
    let refused = loop {
        let note = big(appended.len());
        match log.append(note.clone().intent()) {
            Ok(_) => appended.push(note),
            Err(e) => break e,
        }
        stepper.step();
        stepper.keep();
        assert!(appended.len() < 100, "a full disk was never noticed");
    };
    assert!(matches!(&refused, AppendError::Full(why) if why.contains("segment")), "{refused}");
    assert!(matches!(log.health().state, State::Full(_)));
    // Outcomes go into what is left, then into memory.
    let mut last = None;
    for _ in 0..30 {
        let note = big(appended.len());
        last = Some(log.append(note.clone().item(Class::Outcome, Durability::Strict)).unwrap());
        appended.push(note);
        stepper.step();
    }
    assert_eq!(stepper.settle(), Step::Suspended);
    assert!(log.durable_size() > 0 && (log.durable_size() as usize) < appended.len());
    io.set_quota(None);
    assert!(stepper.keep());
    assert_eq!(stepper.settle(), Step::Idle);
    assert_eq!(log.wait_blocking(last.unwrap(), Patience::Outcome), Ok(()));
    assert_eq!(log.health().state, State::Running);
    log.append(Note::new("works again").intent()).unwrap();
    appended.push(Note::new("works again"));
    stepper.settle();
    drop((log, stepper));
    io.reboot();
    let (.., recovered) = open(&io).unwrap();
    assert_is(&io, &recovered, &appended);
}

/// A key is whole or not there, and once given out for writing it survives anything.
#[test]
fn keys_survive_failures_and_power_cuts_at_every_call() {
    let data = Path::new("/data");
    let make = |io: &Arc<SimIo>| -> Result<String, KeyError> {
        let store = KeyStore::open(data, io.clone() as Arc<dyn Io>)?;
        Ok(store.session_keys("h-01", "2026-11", &[1; 16], &[2; 16])?.key_id().to_owned())
    };
    let all = SimIo::new(0);
    make(&all).unwrap();
    for n in 0..=all.calls() {
        for errno in [EIO, ENOSPC, EROFS] {
            let io = SimIo::new(n);
            io.fail(n, 1, errno);
            let first = make(&io);
            io.heal();
            let second = make(&io).unwrap_or_else(|e| panic!("call {n}, errno {errno}: {e}"));
            assert!(first.is_err() || first.unwrap() == second);
            io.reboot();
            assert_eq!(make(&io).unwrap(), second, "call {n}");
        }
        let io = SimIo::new(n);
        io.cut_power(n);
        let first = make(&io);
        io.reboot();
        let second = make(&io).unwrap_or_else(|e| panic!("power cut at call {n}: {e}"));
        assert!(first.is_err() || first.unwrap() == second);
    }
}

/// A destruction that is interrupted anywhere has happened or not, and can be done again.
#[test]
fn destroying_a_key_may_be_interrupted_at_every_call() {
    let data = Path::new("/data");
    let start = |io: &Arc<SimIo>| KeyStore::open(data, io.clone() as Arc<dyn Io>).unwrap();
    for n in 0..8 {
        for power in [false, true] {
            let io = SimIo::new(n);
            let store = start(&io);
            let first = store.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap();
            if power {
                io.cut_power(n);
            } else {
                io.fail(n, 1, EIO);
            }
            let done = store.destroy("h-01", "2026-11");
            io.reboot();
            let store = start(&io);
            match store.existing_session_keys("h-01", "2026-11", &[1; 16], &[2; 16]) {
                Ok(again) => assert!(done.is_err() && again.key_id() == first.key_id(), "call {n}"),
                Err(KeyError::Gone { .. }) => {}
                // Half overwritten: what is left opens nothing, and destroying it again cleans up.
                Err(KeyError::Damaged(_)) => assert!(done.is_err(), "call {n}"),
                Err(other) => panic!("call {n}: {other}"),
            }
            store.destroy("h-01", "2026-11").unwrap();
            let fresh = store.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap();
            assert_ne!(fresh.key_id(), first.key_id());
        }
    }
}
