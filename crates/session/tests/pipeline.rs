//! The pipeline's truth table: verdict × mode × durability × disk × what the command does, every combination, and what must
//! hold in each. Then a seeded simulation that moves the disk, the approver, the client and the order of everything, and
//! checks invariants 1, 2 and 3 after every step.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use firsthand_model::command::{Command, Step};
use firsthand_model::event::Event;
use firsthand_model::identity::ClientFacts;
use firsthand_model::outcome::{AbandonReason, Outcome};
use firsthand_model::preview::Original;
use firsthand_model::target::{Durability, Mode};
use firsthand_session::breaker::Broken;
use firsthand_session::fake::{Disk, FakeLog, Fakes, command, fakes, target};
use firsthand_session::port::{ApprovalError, BoxFuture, Proof};
use firsthand_session::{Answer, Completed, Permit, RefusalKind, Session, Wanted};

struct Flag(AtomicBool);
impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

fn poll<T>(future: &mut BoxFuture<'static, T>) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn boxed(asked: impl Future<Output = Vec<Answer>> + Send + 'static) -> BoxFuture<'static, Vec<Answer>> {
    Box::pin(asked)
}

fn submit(session: &Session, texts: &[&str]) -> BoxFuture<'static, Vec<Answer>> {
    Box::pin(session.submit(texts.iter().map(|t| command(t)).collect()))
}

fn engine(disk: Disk, durability: Durability, mode: Mode) -> (Fakes, Session) {
    let f = fakes(Disk::Instant, target(durability, mode));
    let (session, _) = f.open();
    f.log.set(disk);
    (f, session)
}

/// One row of the table, in words: what comes of the first poll.
fn first_poll(disk: Disk, durability: Durability, mode: Mode, text: &str) -> (String, Vec<String>) {
    let (f, session) = engine(disk, durability, mode);
    let mut asked = submit(&session, &[text]);
    let answer = match poll(&mut asked) {
        Poll::Pending => "waits".to_owned(),
        Poll::Ready(answers) => match answers.into_iter().next().unwrap() {
            Ok(permit) => {
                permit.abandon(AbandonReason::ClientLeft);
                "permit".to_owned()
            }
            Err(refusal) => format!("{:?}", refusal.kind),
        },
    };
    let words = f.log.words().into_iter().filter(|w| w.starts_with("decided")).collect();
    drop(asked);
    (answer, words)
}

#[test]
fn truth_table() {
    use Disk::{ByHand, Full, Instant, Stopped};
    use Durability::{Relaxed, Strict};
    use Mode::{Enforce, Observe};
    let decided = |v: &str| vec![format!("decided 1 {v}")];
    let none = Vec::new();
    for mode in [Enforce, Observe] {
        for durability in [Strict, Relaxed] {
            for (verdict, text) in [
                ("allow", "SELECT 1"),
                ("allow", "DELETE"),
                ("deny", "SELECT DENY"),
                ("deny", "DELETE DENY"),
                ("hold", "DELETE HOLD"),
            ] {
                for disk in [Instant, ByHand, Full, Stopped] {
                    let case = format!("{mode:?} {durability:?} {text} {disk:?}");
                    let (answer, words) = first_poll(disk.clone(), durability, mode, text);
                    // Observing waits for no person.
                    if verdict == "hold" && mode == Enforce {
                        assert_eq!(
                            (answer.as_str(), words),
                            ("waits", none.clone()),
                            "{case}: nobody has answered"
                        );
                        continue;
                    }
                    if disk == Full || disk == Stopped {
                        // Invariant 3: not recorded, not run; observing changes nothing about that.
                        assert_eq!((answer.as_str(), words), ("NotRecorded", none.clone()), "{case}");
                        continue;
                    }
                    let refused = verdict == "deny" && mode == Enforce;
                    let reads = text.starts_with("SELECT") && !refused;
                    let waits = disk == ByHand && durability == Strict && !reads;
                    let expected = match () {
                        () if waits => "waits",
                        () if refused => "Denied",
                        () => "permit",
                    };
                    assert_eq!((answer.as_str(), words), (expected, decided(verdict)), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_read_goes_at_once_and_its_reply_waits_for_the_intent() {
    let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
    let Poll::Ready(mut answers) = poll(&mut submit(&session, &["SELECT 1"])) else { panic!("a read waits") };
    let mut permit = answers.remove(0).unwrap();
    drop(permit.forward(Bytes::from_static(b"q")));
    let (_, after) = permit.reply(Bytes::from_static(b"row")).into_parts();
    let intent = after.expect("rows wait for the intent");
    let completed = session.complete(permit, Outcome::default()).unwrap();
    let (_, after) = completed.reply(Bytes::from_static(b"end")).into_parts();
    assert!(after.unwrap() > intent, "the end waits for the outcome");
    assert_eq!(f.log.durable(), 1, "only the opening is durable so far");
    assert_eq!(f.log.words(), ["opened", "decided 1 allow", "completed 1"]);
}

#[test]
fn relaxed_entries_are_waited_for_by_nobody() {
    let (_f, session) = engine(Disk::ByHand, Durability::Relaxed, Mode::Enforce);
    let Poll::Ready(mut answers) = poll(&mut submit(&session, &["DELETE"])) else { panic!("relaxed waits") };
    let permit = answers.remove(0).unwrap();
    assert_eq!(permit.reply(Bytes::new()).into_parts().1, None);
    let completed = session.complete(permit, Outcome::default()).unwrap();
    assert_eq!(completed.reply(Bytes::new()).into_parts().1, None);
}

/// Sixteen commands are decided in a row; before the next one, others have a turn, and the batch asks to go on by itself.
#[test]
fn a_large_batch_gives_way_behind_every_sixteenth_command() {
    for (commands, turns) in [(1, 0), (15, 0), (16, 0), (17, 1), (32, 1), (33, 2), (256, 15)] {
        let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
        let mut asked = submit(&session, &vec!["SELECT 1"; commands]);
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut given = 0;
        while Pin::new(&mut asked).poll(&mut Context::from_waker(&waker)).is_pending() {
            given += 1;
            assert!(flag.0.swap(false, SeqCst), "nobody would go on with it");
            let decided = f.log.words().iter().filter(|w| w.starts_with("decided")).count();
            assert_eq!(decided, given * 16, "of {commands}");
        }
        assert_eq!(given, turns, "of {commands}");
    }
}

#[test]
fn a_batch_waits_once_and_answers_in_order() {
    let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &["DELETE a", "SELECT DENY", "SELECT 2"]);
    assert!(poll(&mut asked).is_pending());
    assert_eq!(f.log.words(), ["opened", "decided 1 allow", "decided 2 deny", "decided 3 allow"]);
    f.log.sync();
    let Poll::Ready(answers) = poll(&mut asked) else { panic!("durable, and still waiting") };
    let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|r| r.kind)).collect();
    assert_eq!(kinds, [None, Some(RefusalKind::Denied), None]);
}

#[test]
fn a_log_that_stops_while_a_batch_waits_refuses_all_of_it() {
    let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &["DELETE a", "DELETE b"]);
    assert!(poll(&mut asked).is_pending());
    f.log.set(Disk::Stopped);
    let Poll::Ready(answers) = poll(&mut asked) else { panic!("stopped, and still waiting") };
    assert!(answers.iter().all(|a| a.as_ref().is_err_and(|r| r.kind == RefusalKind::NotRecorded)));
}

#[test]
fn holds_end_by_answer_by_cancel_or_by_leaving() {
    let refused = ApprovalError::Refused { id: "ap-1".to_owned(), reason: "not today".to_owned() };
    let cases: [(Result<Answered, Broken>, Option<RefusalKind>); 9] = [
        (Ok(Ok(())), None),
        (Ok(Err(refused)), Some(RefusalKind::Denied)),
        (Ok(Err(ApprovalError::Over("ap-1".to_owned()))), Some(RefusalKind::Denied)),
        (Ok(Err(ApprovalError::Unreachable)), Some(RefusalKind::Unavailable)),
        (Ok(Err(ApprovalError::NobodyToAsk)), Some(RefusalKind::Denied)),
        (Ok(Err(ApprovalError::Pending("ap-2".to_owned()))), Some(RefusalKind::Pending)),
        (Err(Broken::Cancelled), Some(RefusalKind::Cancelled)),
        (Err(Broken::ClientLeft), Some(RefusalKind::Cancelled)),
        (Err(Broken::Draining), Some(RefusalKind::Draining)),
    ];
    for (answer, kind) in cases {
        let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
        session.break_hold(Broken::Cancelled);
        let mut asked = submit(&session, &["DELETE HOLD"]);
        assert!(poll(&mut asked).is_pending(), "a cancel that came too early hits nothing");
        match answer.clone() {
            Ok(answer) => f.approver.answer(answer),
            Err(broken) => session.break_hold(broken),
        }
        let Poll::Ready(answers) = poll(&mut asked) else { panic!("{answer:?}") };
        assert_eq!(answers[0].as_ref().err().map(|r| r.kind), kind, "{answer:?}");
        assert_eq!(f.log.words()[1], "decided 1 hold", "{answer:?}");
        let approval = f.log.with(|events| match &events[1] {
            Event::CommandDecided(e) => (e.permitted, e.approval.clone()),
            _ => unreachable!(),
        });
        let run = kind.is_none();
        assert_eq!(approval, (run, run.then(|| "ap-1".to_owned())), "{answer:?}");
        let words = f.approver.words();
        let last = words.last().unwrap();
        let kept = kind == Some(RefusalKind::Pending);
        let expected = if run {
            "spend ap-1"
        } else if kept {
            "keep ap-1"
        } else {
            "withdraw ap-1"
        };
        assert_eq!(last, expected, "{answer:?}: {words:?}");
    }
}

/// What a held command would change is shown while it waits, once, and to nobody who asks the same again; the record never gets
/// the command as it came.
#[test]
fn what_is_held_is_previewed_while_it_waits() {
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    f.approver.asks_for_previews(true);
    let original = Some(Arc::new(Original { untried: Some("it is late"), ..Original::default() }));
    let held = Command { original: original.clone(), ..command("DELETE HOLD") };
    let mut asked = boxed(session.submit(vec![held.clone()]));
    assert!(poll(&mut asked).is_pending());
    assert_eq!(f.approver.words(), ["ask ap-1 #1", "show ap-1 none"]);
    assert!(poll(&mut asked).is_pending());
    assert_eq!(f.approver.words().len(), 2, "shown once");
    f.approver.answer(Ok(()));
    let Poll::Ready(_) = poll(&mut asked) else { panic!("it was approved") };
    f.approver.asks_for_previews(false);
    let mut again = boxed(session.submit(vec![held]));
    assert!(poll(&mut again).is_pending());
    assert_eq!(f.approver.words().last().unwrap(), "ask ap-2 #2", "what it would change is known");
    drop(again);
    let allowed = Command { original, ..command("DELETE") };
    let mut asked = boxed(session.submit(vec![allowed]));
    let Poll::Ready(_) = poll(&mut asked) else { panic!("it is allowed") };
    f.log.with(|events| {
        for event in events {
            let Event::CommandDecided(e) = event else { continue };
            assert!(e.command.original.is_none(), "{}", e.command.text);
        }
    });
}

/// What was approved is decided once more before it runs, with the command as it came.
#[test]
fn what_was_approved_runs_only_as_it_was_approved() {
    type Change = fn(&Fakes);
    let cases: [(&str, Change, &str, &str); 5] = [
        ("nothing", |_| {}, "permit", "spend ap-1"),
        ("the rules", |f| f.approver.binds_otherwise(), "Denied hold", "withdraw ap-1"),
        ("the token", |f| f.identity.revoke(), "Denied deny", "withdraw ap-1"),
        ("it is contained", |f| f.identity.contain(), "Denied deny", "withdraw ap-1"),
        (
            "somebody else spent it",
            |f| f.approver.spends_nothing(ApprovalError::Over("ap-1".to_owned())),
            "Denied hold",
            "withdraw ap-1",
        ),
    ];
    for (what, change, expected, word) in cases {
        let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
        // Veiled for the approver: what is decided again is not.
        let mut asked = submit(&session, &["DELETE HOLD ada@example.com TEXTS"]);
        assert!(poll(&mut asked).is_pending());
        change(&f);
        f.approver.answer(Ok(()));
        let Poll::Ready(answers) = poll(&mut asked) else { panic!("{what}") };
        let verdict = f.log.words()[1].rsplit(' ').next().unwrap().to_owned();
        let came = match &answers[0] {
            Ok(_) => "permit".to_owned(),
            Err(refusal) => format!("{:?} {verdict}", refusal.kind),
        };
        assert_eq!(came, expected, "{what}");
        assert_eq!(f.approver.words().last().unwrap(), word, "{what}");
        f.log.with(|events| match &events[1] {
            Event::CommandDecided(e) => {
                assert!(!e.command.text.contains("ada@"), "{what}: {}", e.command.text)
            }
            _ => unreachable!(),
        });
    }
}

/// Who approves sees all that was sent together; none of it runs, and no approval of it is spent, before all is approved.
#[test]
fn what_is_sent_together_is_asked_together_and_runs_together() {
    let texts = ["SELECT 1", "DELETE HOLD a", "SELECT 2", "UPDATE HOLD b"];
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &texts);
    assert!(poll(&mut asked).is_pending());
    assert_eq!(f.approver.words(), ["ask ap-1 #2", "ask ap-2 #4"]);
    f.approver.answer(Ok(()));
    assert!(poll(&mut asked).is_pending(), "the second one is not approved");
    f.approver.ends_waits();
    let Poll::Ready(answers) = poll(&mut asked) else { panic!("the wait is over") };
    let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|r| r.kind)).collect();
    let pending = Some(RefusalKind::Pending);
    assert_eq!(kinds, [None, pending, None, pending]);
    assert!(!f.approver.words().iter().any(|w| w.starts_with("spend")), "{:?}", f.approver.words());
    drop(answers);
    // Both are approved when they come again.
    let mut again = submit(&session, &texts);
    f.approver.answers_all(Ok(()));
    let Poll::Ready(answers) = poll(&mut again) else { panic!("all is approved") };
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let words = f.approver.words();
    assert_eq!(words[words.len() - 2..], ["spend ap-3", "spend ap-4"]);
}

/// Nothing runs when a statement is only prepared, so nobody is asked; when it runs, somebody is.
#[test]
fn what_is_only_prepared_waits_for_nobody() {
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    let mut prepared = command("DELETE HOLD");
    prepared.step = Step::Prepare;
    let mut asked: Answers = Box::pin(session.submit(vec![prepared]));
    let Poll::Ready(answers) = poll(&mut asked) else { panic!("it waits") };
    assert!(answers[0].is_ok() && f.approver.words().is_empty());
    assert!(poll(&mut submit(&session, &["DELETE HOLD"])).is_pending());
}

#[test]
fn a_held_command_whose_session_ends_is_recorded_and_never_runs() {
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &["SELECT 1", "DELETE HOLD", "SELECT 2"]);
    assert!(poll(&mut asked).is_pending());
    drop(asked);
    f.approver.answer(Ok(()));
    let mut words = f.log.words();
    words.sort();
    assert_eq!(words, ["abandoned 1 session-ended", "decided 1 allow", "decided 2 hold", "opened"]);
}

#[test]
fn a_permit_carries_the_duty_to_mask() {
    let (_f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    for (text, masks) in [("SELECT a", false), ("SELECT MASK", true)] {
        let Poll::Ready(mut answers) = poll(&mut submit(&session, &[text])) else { panic!("waits") };
        let permit = answers.remove(0).unwrap();
        assert_eq!(permit.mask_plan().map(|plan| plan.masks_anything()), Some(masks), "{text}");
    }
}

#[test]
fn a_revoked_token_stops_a_running_session() {
    // Observing lifts what policy says, not that the identity is known.
    for mode in [Mode::Enforce, Mode::Observe] {
        let (f, session) = engine(Disk::Instant, Durability::Strict, mode);
        f.identity.revoke();
        for text in ["SELECT 1", "DELETE HOLD"] {
            let Poll::Ready(answers) = poll(&mut submit(&session, &[text])) else { panic!("waits") };
            assert_eq!(
                answers[0].as_ref().err().map(|r| r.kind),
                Some(RefusalKind::Denied),
                "{mode:?} {text}"
            );
        }
        assert_eq!(f.log.words(), ["opened", "decided 1 deny", "decided 2 deny"]);
    }
}

/// Also of a session that whoever contained something did not see running.
#[test]
fn nothing_runs_of_what_is_contained_and_nobody_is_let_in() {
    type Contain = fn(&Fakes);
    let cases: [(&str, Contain); 2] =
        [("identity", |f| f.identity.contain()), ("target", |f| f.target_contained.store(true, SeqCst))];
    for (what, contain) in cases {
        for mode in [Mode::Enforce, Mode::Observe] {
            let (f, session) = engine(Disk::Instant, Durability::Strict, mode);
            assert!(!f.engine.is_contained(session.facts()), "{what}");
            contain(&f);
            assert!(f.engine.is_contained(session.facts()), "{what}");
            for text in ["SELECT 1", "DELETE HOLD"] {
                let Poll::Ready(answers) = poll(&mut submit(&session, &[text])) else { panic!("waits") };
                let refusal = answers[0].as_ref().unwrap_err();
                assert_eq!(refusal.kind, RefusalKind::Denied, "{mode:?} {text}");
                assert_eq!(&*refusal.rule, "contained");
                assert!(refusal.message.contains(&format!("contained this {what}")), "{}", refusal.message);
            }
            assert_eq!(f.log.words(), ["opened", "decided 1 deny", "decided 2 deny"]);
        }
    }
    // The token is right: what is answered says so much, and no more.
    let (f, _session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    cases[1].1(&f);
    let secret = firsthand_session::secret::Secret::new("right".to_owned());
    let proof = Proof::ClearText { login: "bot".to_owned(), secret };
    let wanted = Wanted { login: "bot".to_owned(), target: "orders".to_owned(), ..Wanted::default() };
    let refusal = f.engine.admit(&proof, &wanted, &ClientFacts::default()).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Contained);
}

#[test]
fn a_dropped_permit_is_an_abandoned_command() {
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    let Poll::Ready(answers) = poll(&mut submit(&session, &["SELECT 1"])) else { panic!("waits") };
    drop(answers);
    assert_eq!(f.log.words(), ["opened", "decided 1 allow", "abandoned 1 dropped"]);
}

#[test]
fn a_batch_that_is_not_durable_in_time_is_refused_and_told_as_that() {
    let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &["DELETE a", "DELETE b"]);
    assert!(poll(&mut asked).is_pending());
    f.log.set(Disk::Crowded);
    let Poll::Ready(answers) = poll(&mut asked) else { panic!("still waiting") };
    assert!(answers.iter().all(|a| a.as_ref().is_err_and(|r| r.kind == RefusalKind::NotRecorded)));
    let words = f.log.words();
    assert_eq!(words[3..], ["abandoned 1 not-recorded", "abandoned 2 not-recorded"], "{words:?}");
}

#[test]
fn an_outcome_that_finds_no_room_is_told_as_not_recorded() {
    let (f, session) = engine(Disk::Instant, Durability::Strict, Mode::Enforce);
    let Poll::Ready(mut answers) = poll(&mut submit(&session, &["DELETE a"])) else { panic!("waits") };
    let permit = answers.remove(0).unwrap();
    f.log.set(Disk::Crowded);
    assert!(session.complete(permit, Outcome::default()).is_err());
    session.close("record", String::new());
    assert_eq!(f.log.words(), ["opened", "decided 1 allow", "abandoned 1 not-recorded", "closed record"]);
}

/// A small deterministic source (SplitMix64): a failing seed reproduces.
struct Seed(u64);
impl Seed {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

/// What an approver answers.
type Answered = Result<(), ApprovalError>;

/// A batch that waits, and its texts.
type Asked = (Answers, Vec<&'static str>);
type Answers = BoxFuture<'static, Vec<Answer>>;

/// What the world outside has seen: bytes at the target and at the client.
#[derive(Default)]
struct World {
    permits: Vec<(u64, Permit, bool)>,
    endings: Vec<(u64, Completed)>,
    asking: Option<Asked>,
    asked: u64,
    /// Whether the log may stop for good in this run: then outcomes may be missing, which only the next start can say.
    may_stop: bool,
    permitted: Vec<u64>,
    forwarded: u64,
}

fn position(log: &FakeLog, wanted: &str) -> Option<u64> {
    log.words().iter().position(|w| w == wanted || w.starts_with(&format!("{wanted} "))).map(|p| p as u64)
}

fn step(seed: &mut Seed, f: &Fakes, session: &Session, world: &mut World) {
    const TEXTS: [&str; 5] = ["SELECT 1", "DELETE a", "UPDATE b", "SELECT DENY", "DELETE HOLD"];
    match seed.next(10) {
        0 | 1 if world.asking.is_none() => {
            let texts: Vec<_> = (0..=seed.next(3)).map(|_| TEXTS[seed.next(5) as usize]).collect();
            world.asking = Some((submit(session, &texts), texts));
        }
        2 => f.log.sync(),
        3 => f.approver.answer(Ok(())),
        4 => session.break_hold(Broken::Cancelled),
        5 => {
            let disks = [Disk::ByHand, Disk::ByHand, Disk::Full, Disk::Stopped];
            f.log.set(disks[seed.next(if world.may_stop { 4 } else { 3 }) as usize].clone());
        }
        6 | 7 => forward_one(f, world),
        8 if !world.permits.is_empty() => {
            let at = seed.next(world.permits.len() as u64) as usize;
            let (number, permit, forwarded) = world.permits.remove(at);
            if forwarded {
                // Refused by a log that is down: the client is told nothing, which is what invariant 2 asks for.
                if let Ok(completed) = session.complete(permit, Outcome::default()) {
                    world.endings.push((number, completed));
                }
            } else {
                permit.abandon(AbandonReason::Skipped);
            }
        }
        _ => {}
    }
    if let Some((asking, texts)) = &mut world.asking
        && let Poll::Ready(answers) = poll(asking)
    {
        for (i, answer) in answers.into_iter().enumerate() {
            let number = world.asked + i as u64 + 1;
            if let Ok(permit) = answer {
                assert!(!texts[i].contains("DENY"), "a denied command has a permit");
                assert_eq!(permit.number().0, number);
                world.permitted.push(number);
                world.permits.push((number, permit, false));
            }
        }
        world.asked += texts.len() as u64;
        world.asking = None;
    }
}

/// Sends the first command that has not been sent: this is where invariant 1 is looked at.
fn forward_one(f: &Fakes, world: &mut World) {
    let Some((number, permit, forwarded)) = world.permits.iter_mut().find(|(_, _, sent)| !*sent) else {
        return;
    };
    let intent = position(&f.log, &format!("decided {number}")).expect("a permit without an intent");
    let reads = f.log.with(|events| match &events[intent as usize] {
        Event::CommandDecided(e) => e.command.shape.plain_read,
        _ => unreachable!(),
    });
    assert!(
        reads || f.log.durable() > intent,
        "command {number} goes to the target before its intent is durable"
    );
    drop(permit.forward(Bytes::from_static(b"bytes")));
    let (_, after) = permit.reply(Bytes::new()).into_parts();
    assert_eq!(after.map(|t| t.0), Some(intent), "a reply that does not wait for its intent");
    *forwarded = true;
    world.forwarded += 1;
}

fn check_ends(f: &Fakes, world: &World) {
    for (number, completed) in &world.endings {
        let outcome = position(&f.log, &format!("completed {number}")).expect("told without an outcome");
        let (_, after) = completed.reply(Bytes::new()).into_parts();
        assert_eq!(after.map(|t| t.0), Some(outcome), "an ending that does not wait for its outcome");
    }
}

#[test]
fn simulation_keeps_invariants_1_2_and_3() {
    let (mut permitted, mut forwarded, mut completed, mut abandoned, mut refused) = (0, 0, 0, 0, 0);
    for run in 0..3000 {
        let mut seed = Seed(run);
        let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
        let mut world = World { may_stop: run % 2 == 0, ..World::default() };
        for _ in 0..60 {
            step(&mut seed, &f, &session, &mut world);
            check_ends(&f, &world);
        }
        permitted += world.permitted.len();
        forwarded += world.forwarded;
        let (numbers, exact) = (std::mem::take(&mut world.permitted), !world.may_stop);
        drop(world);
        drop(session);
        let words = f.log.words();
        let count =
            |w: &str, n: u64| words.iter().filter(|x| x.split(' ').take(2).eq([w, &n.to_string()])).count();
        for number in 1..=180 {
            let (done, given_up) = (count("completed", number), count("abandoned", number));
            assert!(done + given_up <= 1, "seed {run}: command {number} ended twice");
            assert!(count("decided", number) <= 1, "seed {run}: command {number} was decided twice");
            let denied = words.contains(&format!("decided {number} deny"));
            assert!(!denied || done + given_up == 0, "seed {run}: a denied command has an outcome");
            let allowed = numbers.contains(&number) || words.contains(&format!("decided {number} allow"));
            assert!(!exact || !allowed || done + given_up == 1, "seed {run}: {number} has no outcome");
            completed += done;
            abandoned += given_up;
            refused += usize::from(denied);
        }
    }
    let happened = [permitted, completed, abandoned, refused, forwarded as usize];
    assert!(happened.iter().all(|n| *n > 1000), "it shows nothing: {happened:?}");
}

#[test]
fn waiting_is_woken_not_polled() {
    let (f, session) = engine(Disk::ByHand, Durability::Strict, Mode::Enforce);
    let mut asked = submit(&session, &["DELETE"]);
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&flag));
    assert!(Pin::new(&mut asked).poll(&mut Context::from_waker(&waker)).is_pending());
    f.log.sync();
    assert!(flag.0.load(SeqCst), "durable, and nobody was woken");
}

#[test]
fn who_breaks_the_rules_of_a_proof_is_slowed_down_and_cannot_fill_the_log() {
    let f = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
    let wanted = Wanted { login: "bot".to_owned(), target: "orders".to_owned(), ..Wanted::default() };
    let before = f.log.words().len();
    for _ in 0..1_000 {
        f.engine.proof_broken(&wanted, &ClientFacts::default(), "malformed");
    }
    let told = f.log.words().len() - before;
    assert!((6..=16).contains(&told), "{told} entries");
    // Another login each time: the address has to wait, and what is not an entry is counted.
    for number in 0..1_000 {
        let wanted = Wanted { login: format!("bot{number}"), ..wanted.clone() };
        f.engine.proof_broken(&wanted, &ClientFacts::default(), "malformed");
    }
    let told = f.log.words().len() - before;
    assert!((16..=20).contains(&told), "{told} entries");
    f.engine.tell_refused(true);
    let count = f.log.with(|events| {
        let counts = events.iter().map(|e| if let Event::Refused(e) = e { e.count } else { 0 });
        counts.sum::<u64>()
    });
    assert_eq!(count, 2_000, "none is forgotten");
}
