//! The log with its threads and on a real disk: waiting, limits, closing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{Note, Notes, SEGMENT, data, keys, open, read};
use crate::codec::{Codec, Sealed};
use crate::entry::{Commitment, Stamp};
use crate::frame::{MAX_LEAF, MAX_PAYLOAD};
use crate::io::{Io, RealIo};
use crate::keys::SessionKeys;
use crate::open_set::{Change, MAX_OPEN};
use crate::queue::{
    AppendError, Class, Durability, INTENT_QUEUE_BYTES, Item, Patience, QUEUE_BYTES, Registration, SPENT_MAX,
    STALL, Shared, State, Ticket, WaitError,
};
use crate::segment::{self, Segment};
use crate::sim::SimIo;
use crate::step::Step;
use crate::tree::Frontier;
use crate::writer::{CloseError, Log, Options};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn options() -> Options {
    Options { first_segment_bytes: 64 << 10, segment_bytes: 64 << 10, ..Options::default() }
}

#[test]
fn written_entries_wait_for_who_appends_and_no_more_of_them_than_a_few() {
    let shared = Shared::new(Arc::new(RealIo::new()), Frontier::default(), 0);
    let entry = Arc::new(());
    let item = || Item {
        entry: Arc::clone(&entry),
        class: Class::Outcome,
        durability: Durability::Relaxed,
        opens: false,
        size: 100,
    };
    for _ in 0..3 * SPENT_MAX {
        shared.append(item()).unwrap();
    }
    let (mut taken, mut spent) = (VecDeque::new(), Vec::new());
    shared.take(&mut taken, &mut spent);
    spent.extend(taken.drain(..));
    shared.take(&mut taken, &mut spent);
    assert_eq!((spent.len(), Arc::strong_count(&entry)), (0, 1 + SPENT_MAX));
    shared.append(item()).unwrap();
    assert_eq!(Arc::strong_count(&entry), 1 + SPENT_MAX, "one came, one went");
}

#[test]
fn many_threads_append_wait_and_find_everything_in_order() {
    const EACH: usize = 300;
    let dir = tempfile::tempdir().unwrap();
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let (log, _) = Log::open(dir.path(), |_| Ok(Notes), options(), io.clone()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let log = &log;
            scope.spawn(move || {
                let durability = if thread % 2 == 0 { Durability::Strict } else { Durability::Relaxed };
                for n in 0..EACH {
                    let mut note = Note::new(format!("{thread} {n} {}", "x".repeat(n)));
                    note.payload = vec![1; n];
                    let ticket = log.append(note.item(Class::Intent, durability)).unwrap();
                    if n % 7 == 0 {
                        log.wait_blocking(ticket, Patience::Intent).unwrap();
                        assert!(log.durable_size() > ticket.0);
                    }
                }
            });
        }
    });
    log.close().unwrap();
    log.close().unwrap();
    assert!(matches!(log.append(Note::new("late").intent()), Err(AppendError::Closed)));
    let head = log.head();
    assert_eq!(head.size(), 6 * EACH as u64);
    assert_eq!(log.health().unsynced_us, 0);
    drop(log);
    let folder = dir.path().join("log");
    let mut next = [0; 6];
    let names = segment::list(&*io, &folder).unwrap();
    assert!(names.len() > 5);
    for name in names {
        let segment = Segment::read(&*io, &folder, name).unwrap();
        for (_, frame) in segment.frames() {
            let text = String::from_utf8(frame.leaf.to_vec()).unwrap();
            let words: Vec<_> = text.split("\"x\":\"").nth(1).unwrap().split(' ').collect();
            let (thread, n): (usize, usize) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            assert_eq!(n, next[thread], "a thread's entries keep their order");
            next[thread] += 1;
            if n > 0 {
                assert_eq!(keys().open(frame.seq, frame.sealed).unwrap(), vec![1; n]);
            }
        }
    }
    assert_eq!(next, [EACH; 6]);
    let (log, recovered) = Log::open(dir.path(), |_| Ok(Notes), options(), io).unwrap();
    assert!(recovered.closed_cleanly);
    assert_eq!((recovered.size, recovered.root), (head.size(), head.root()));
    drop(log);
}

#[test]
fn a_waiter_is_woken_once_and_never_forgotten() {
    let io = SimIo::new(1);
    let (log, mut stepper, _) = open(&io).unwrap();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let cx = Context::from_waker(&waker);
    let woken = || count.0.load(Ordering::SeqCst);
    let mut mine = Registration::default();

    let a = log.append(Note::new("a").intent()).unwrap();
    for _ in 0..3 {
        assert_eq!(log.poll_durable(a, Patience::Intent, &mut mine, &cx), Poll::Pending);
    }
    stepper.settle();
    assert_eq!(woken(), 1);
    assert_eq!(log.poll_durable(a, Patience::Intent, &mut mine, &cx), Poll::Ready(Ok(())));

    // A suspension wakes who waits for an intent, and not who waits for an outcome; who polls only after it is over
    // must be on the list again.
    let b = log.append(Note::new("b").intent()).unwrap();
    let mut other = Registration::default();
    assert_eq!(log.poll_durable(b, Patience::Intent, &mut mine, &cx), Poll::Pending);
    assert_eq!(log.poll_durable(b, Patience::Outcome, &mut other, &cx), Poll::Pending);
    io.fail(0, 1, 5);
    assert_eq!(stepper.step(), Step::Suspended);
    assert_eq!(woken(), 2);
    let suspended = log.poll_durable(b, Patience::Intent, &mut mine, &cx);
    assert!(matches!(suspended, Poll::Ready(Err(WaitError::Suspended(_)))));
    assert_eq!(log.poll_durable(b, Patience::Outcome, &mut other, &cx), Poll::Pending);
    stepper.settle();
    assert_eq!(woken(), 3);

    let c = log.append(Note::new("c").intent()).unwrap();
    assert_eq!(log.poll_durable(c, Patience::Intent, &mut mine, &cx), Poll::Pending);
    let later = Ticket(c.0 + 1);
    assert_eq!(log.poll_durable(later, Patience::Intent, &mut other, &cx), Poll::Pending);
    io.fail(0, 1, 5);
    assert_eq!(stepper.step(), Step::Suspended);
    stepper.settle();
    assert_eq!(woken(), 5);
    assert_eq!(log.poll_durable(later, Patience::Intent, &mut other, &cx), Poll::Pending);
    log.append(Note::new("d").intent()).unwrap();
    stepper.settle();
    assert_eq!(woken(), 6, "registered again after the suspension");
}

#[test]
fn every_limit_is_a_refusal_and_ends_when_its_cause_does() {
    let io = SimIo::new(1);
    let bytes = 6 << 20;
    let large = || Options { first_segment_bytes: bytes, segment_bytes: bytes, ..Options::default() };
    let start = || Log::open_stepped(&data(), |_| Ok(Notes), large(), io.clone() as Arc<dyn Io>).unwrap();
    let (log, mut stepper, _) = start();
    let sized = |class, size| Item { size, ..Note::new("x").item(class, Durability::Strict) };
    log.append(sized(Class::Intent, INTENT_QUEUE_BYTES)).unwrap();
    assert_eq!(log.append(sized(Class::Intent, 1)), Err(AppendError::Queue(INTENT_QUEUE_BYTES)));
    log.append(sized(Class::Outcome, QUEUE_BYTES - INTENT_QUEUE_BYTES)).unwrap();
    assert_eq!(log.append(sized(Class::Outcome, 1)), Err(AppendError::Queue(QUEUE_BYTES)));
    assert_eq!(log.queued_bytes(), QUEUE_BYTES);
    // That something is over is taken all the same: nothing else would say so.
    for _ in 0..MAX_OPEN {
        log.append(sized(Class::End, 1)).unwrap();
    }
    // No more of them than what can be open.
    assert_eq!(log.append(sized(Class::End, 1)), Err(AppendError::Open(MAX_OPEN)));
    assert_eq!(log.queued_bytes(), QUEUE_BYTES + MAX_OPEN);
    stepper.settle();
    assert_eq!(log.queued_bytes(), 0);
    log.append(sized(Class::End, 1)).unwrap();
    stepper.settle();
    let ticket = log.append(sized(Class::Intent, 1)).unwrap();

    // A write that fails leaves its entries in flight; as long as that lasts, it also counts as a stall.
    io.fail(0, 1, 5);
    assert_eq!(stepper.step(), Step::Suspended);
    io.pass(STALL.as_micros() as u64 + 1);
    assert!(log.health().unsynced_us > STALL.as_micros() as u64);
    stepper.settle();
    assert_eq!((log.health().unsynced_us, log.wait_blocking(ticket, Patience::Intent)), (0, Ok(())));

    for n in 0..MAX_OPEN as u64 {
        let note = Note { change: Change::OpenCommand([1; 16], n), text: String::new(), payload: Vec::new() };
        log.append(note.intent()).unwrap();
        if n % 1000 == 0 {
            stepper.settle();
        }
    }
    let more = Note { change: Change::OpenSession([2; 16]), ..Note::new("") };
    assert_eq!(log.append(more.clone().intent()), Err(AppendError::Open(MAX_OPEN)));
    let end = Note { change: Change::CloseCommand([1; 16], 0), ..Note::new("") };
    log.append(end.item(Class::Outcome, Durability::Strict)).unwrap();
    stepper.settle();
    log.append(more.intent()).unwrap();
    stepper.settle();
    // Everything open fits a header, which recovery reads again.
    for _ in 0..500 {
        log.append(Note::new("x".repeat(10_000)).intent()).unwrap();
    }
    stepper.settle();
    drop((log, stepper));
    assert_eq!(segment::list(&*io, &data().join("log")).unwrap().len(), 3);
    let (.., recovered) = start();
    assert_eq!(recovered.open.len(), MAX_OPEN);
}

#[test]
fn what_is_too_large_is_said_in_its_place() {
    let io = SimIo::new(1);
    let (log, mut stepper, _) = open(&io).unwrap();
    let leaf = log.append(Note::new("x".repeat(MAX_LEAF)).intent()).unwrap();
    let payload = Note { payload: vec![1; MAX_PAYLOAD + 1], ..Note::new("p") };
    let payload = log.append(payload.intent()).unwrap();
    let fits = Note { payload: vec![1; MAX_PAYLOAD], ..Note::new("p") };
    let fits = log.append(fits.intent()).unwrap();
    stepper.settle();
    assert_eq!(log.wait_blocking(leaf, Patience::Intent), Err(WaitError::TooLarge(0)));
    assert_eq!(log.wait_blocking(payload, Patience::Intent), Err(WaitError::TooLarge(1)));
    assert_eq!(log.wait_blocking(fits, Patience::Intent), Ok(()));
    let entries = read(&io, 1);
    assert_eq!(entries[0].0, Note::new("too large").leaf(0));
    assert_eq!((entries[1].0.clone(), entries[1].1.len()), (Note::new("too large").leaf(1), 0));
    assert_eq!(entries[2].1.len(), MAX_PAYLOAD + 16);
    assert!(data().is_absolute() && SEGMENT < MAX_PAYLOAD as u64);
}

/// A codec that panics at an entry of its choice.
struct Trap;

impl Codec for Trap {
    type Entry = bool;

    fn keys(&mut self, _: &bool) -> Option<&SessionKeys> {
        None
    }

    fn payload(&mut self, _: &bool, _: &mut Vec<u8>) {}

    fn leaf(&mut self, trap: &bool, _: Stamp, _: Option<&Commitment>, out: &mut Vec<u8>) {
        assert!(!trap, "this is the panic that the test wants");
        out.extend_from_slice(b"{}");
    }

    fn too_large(&mut self, _: &bool, _: Stamp, _: &mut Vec<u8>) {}

    fn change(&self, _: &bool) -> Change {
        Change::None
    }

    fn change_of(_: &[u8]) -> Change {
        Change::None
    }

    fn sealed(&mut self, _: &Sealed) -> Option<Item<bool>> {
        None
    }
}

#[test]
fn a_writer_that_dies_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), |_| Ok(Trap), options(), Arc::new(RealIo::new())).unwrap();
    let item =
        |entry| Item { entry, class: Class::Intent, durability: Durability::Strict, opens: false, size: 9 };
    let fine = log.append(item(false)).unwrap();
    log.wait_blocking(fine, Patience::Outcome).unwrap();
    let trap = log.append(item(true)).unwrap();
    assert!(matches!(log.wait_blocking(trap, Patience::Outcome), Err(WaitError::Stopped(_))));
    assert!(matches!(log.health().state, State::Stopped(_)));
    assert!(matches!(log.close(), Err(CloseError::Unwritten { lost: 1, .. })));
}

#[test]
fn relaxed_entries_reach_the_disk_without_anybody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), |_| Ok(Notes), options(), Arc::new(RealIo::new())).unwrap();
    for round in 0..3 {
        let ticket = log.append(Note::new("r").item(Class::Outcome, Durability::Relaxed)).unwrap();
        log.wait_blocking(ticket, Patience::Outcome).unwrap();
        assert_eq!(log.counters().syncs.load(Ordering::Relaxed), round + 1);
    }
    let times = &log.counters().sync_times;
    assert_eq!(times.count(), log.counters().syncs.load(Ordering::Relaxed));
    assert!(times.sum_us() < Duration::from_secs(60).as_micros() as u64);
}

#[test]
fn closing_while_writing_fails_says_what_is_lost() {
    let io = SimIo::new(1);
    let options = Options { first_segment_bytes: SEGMENT, segment_bytes: SEGMENT, ..Options::default() };
    let (log, _) = Log::open(&data(), |_| Ok(Notes), options, io.clone() as Arc<dyn Io>).unwrap();
    let kept = log.append(Note::new("a").intent()).unwrap();
    log.wait_blocking(kept, Patience::Intent).unwrap();
    io.set_quota(Some(0));
    io.fail(0, u64::MAX, 30);
    let ticket = log.append(Note::new("b").intent()).unwrap();
    assert!(matches!(log.wait_blocking(ticket, Patience::Intent), Err(WaitError::Suspended(_))));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| log.wait_blocking(ticket, Patience::Outcome));
        let closed = log.close();
        assert!(matches!(&closed, Err(CloseError::Unwritten { lost: 1, .. })), "{closed:?}");
        assert!(matches!(waiter.join().unwrap(), Err(WaitError::Stopped(_))));
    });
}

#[test]
fn a_disk_that_hangs_refuses_intents_and_keeps_outcomes() {
    let io = SimIo::new(1);
    let options = Options { first_segment_bytes: SEGMENT, segment_bytes: SEGMENT, ..Options::default() };
    let (log, _) = Log::open(&data(), |_| Ok(Notes), options, io.clone() as Arc<dyn Io>).unwrap();
    io.hold_syncs(true);
    log.append(Note::new("a").intent()).unwrap();
    io.wait_for_held_sync();
    log.append(Note::new("not stalled yet").intent()).unwrap();
    io.pass(STALL.as_micros() as u64);
    let refused = log.append(Note::new("b").intent());
    assert!(matches!(refused, Err(AppendError::Stalled(ms)) if ms >= 2000), "{refused:?}");
    assert!(log.health().unsynced_us >= STALL.as_micros() as u64);
    let outcome = log.append(Note::new("c").item(Class::Outcome, Durability::Strict)).unwrap();
    io.hold_syncs(false);
    log.wait_blocking(outcome, Patience::Outcome).unwrap();
    log.append(Note::new("d").intent()).unwrap();
    log.close().unwrap();
    assert_eq!(read(&io, 1).len(), 4);
}
