//! What was given leave before the rest of its batch waited for a person, and what has changed by the time the waiting is over.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use firsthand_model::command::Command;
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::{Definitions, Original, Vain};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Facts;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::UnixMicros;
use firsthand_session::breaker::Broken;
use firsthand_session::fake::{Disk, Fakes, command, fakes, target};
use firsthand_session::port::{ApprovalError, BoxFuture, Covering, Grants};
use firsthand_session::{Answer, Engine, RefusalKind, Session};

/// Grants by the word in a text that they cover. One that counts has room for one command.
#[derive(Default)]
struct Several {
    over: Mutex<HashSet<String>>,
    used: AtomicBool,
}

struct Known(Arc<Several>);

impl Grants for Known {
    fn covers(&self, _: &SessionFacts, command: &Command, now: UnixMicros) -> Option<Covering> {
        let id = command.text.split(' ').find(|word| word.starts_with("gr-"))?;
        let counts = id == "gr-once";
        let covers = self.over(id, now).is_none() && !(counts && self.used.load(SeqCst));
        covers.then(|| Covering { id: Arc::from(id), counts })
    }

    fn over(&self, id: &str, _: UnixMicros) -> Option<&'static str> {
        self.0.over.lock().unwrap().contains(id).then_some("was revoked")
    }

    fn left<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<u64>> {
        Box::pin(std::future::ready(Some(u64::from(!self.used.load(SeqCst)))))
    }

    fn count<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        let first = !self.0.used.swap(true, SeqCst);
        Box::pin(std::future::ready(first))
    }
}

impl std::ops::Deref for Known {
    type Target = Several;
    fn deref(&self) -> &Several {
        &self.0
    }
}

fn rig(mode: Mode) -> (Fakes, Session, Arc<Several>) {
    let (mut fakes, grants) = (fakes(Disk::Instant, target(Durability::Strict, mode)), Arc::default());
    let engine = Arc::into_inner(fakes.engine).unwrap();
    fakes.engine = Arc::new(Engine { grants: Box::new(Known(Arc::clone(&grants))), ..engine });
    let session = fakes.open().0;
    (fakes, session, grants)
}

fn poll(asked: &mut BoxFuture<'static, Vec<Answer>>) -> Option<Vec<Answer>> {
    match Pin::new(asked).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answers) => Some(answers),
        Poll::Pending => None,
    }
}

fn submit(session: &Session, texts: &[&str]) -> BoxFuture<'static, Vec<Answer>> {
    let open = |text: &&str| Command { transaction: Transaction::Open, ..command(text) };
    Box::pin(session.submit(texts.iter().map(open).collect()))
}

/// What has changed, for the commands in front: `None`, they run; otherwise their refusal.
#[test]
fn what_was_allowed_is_decided_once_more_when_what_stands_behind_it_has_waited() {
    type Change = fn(&Fakes, &Several);
    let revoked: Change = |_, grants| {
        grants.over.lock().unwrap().insert("gr-a".to_owned());
    };
    let cases: [(&str, Change, Option<RefusalKind>); 6] = [
        ("nothing", |_, _| {}, None),
        ("the grant is revoked", revoked, Some(RefusalKind::Denied)),
        ("the token", |f, _| f.identity.revoke(), Some(RefusalKind::Denied)),
        ("it is contained", |f, _| f.identity.contain(), Some(RefusalKind::Denied)),
        ("the target is contained", |f, _| f.target_contained.store(true, SeqCst), Some(RefusalKind::Denied)),
        ("the rules or definitions", |f, _| f.approver.binds_otherwise(), Some(RefusalKind::Denied)),
    ];
    for approved in [true, false] {
        for (what, change, expected) in cases {
            let (f, session, grants) = rig(Mode::Enforce);
            let mut asked = submit(&session, &["SELECT gr-a 1", "UPDATE gr-a 2", "DELETE HOLD gr-b 3"]);
            assert!(poll(&mut asked).is_none(), "{what}: it waits");
            change(&f, &grants);
            let answer = if approved { Ok(()) } else { Err(ApprovalError::Pending("ap-1".to_owned())) };
            f.approver.answer(answer);
            let answers = poll(&mut asked).unwrap();
            let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|r| r.kind)).collect();
            assert_eq!(kinds[..2], [expected, expected], "{what}, approved {approved}");
            if expected.is_some() {
                let words = f.log.words();
                for word in ["decided 1 allow", "abandoned 1 overtaken", "abandoned 2 overtaken"] {
                    assert!(words.iter().any(|w| w == word), "{what}: {word} in {words:?}");
                }
                // The whole batch does not run, so the approval is not used up by it.
                assert_eq!(kinds[2], Some(RefusalKind::Pending), "{what}, approved {approved}");
                assert_eq!(f.approver.words(), ["ask ap-1 #3", "keep ap-1"], "{what}, approved {approved}");
            }
        }
    }
}

#[test]
fn a_command_that_its_grant_has_counted_is_not_counted_twice() {
    let (f, session, grants) = rig(Mode::Enforce);
    let mut asked = submit(&session, &["UPDATE gr-once 1", "DELETE HOLD gr-b 2"]);
    assert!(poll(&mut asked).is_none() && grants.used.load(SeqCst));
    f.approver.answer(Ok(()));
    assert!(poll(&mut asked).unwrap().iter().all(Result::is_ok));
}

#[test]
fn where_nothing_is_enforced_nobody_waits_and_nothing_is_overtaken() {
    let (_f, session, _) = rig(Mode::Observe);
    let answers = poll(&mut submit(&session, &["SELECT gr-a 1", "DELETE HOLD gr-b 2"])).unwrap();
    assert!(answers.iter().all(Result::is_ok));
}

/// A transaction hangs on every grant that something in it ran under, not on the last one alone.
#[test]
fn a_transaction_ends_with_any_of_its_grants() {
    let (_f, session, grants) = rig(Mode::Enforce);
    let ran = |text: &str| poll(&mut submit(&session, &[text])).unwrap()[0].is_ok();
    assert!(ran("UPDATE gr-a 1") && ran("SELECT gr-b 2"));
    grants.over.lock().unwrap().insert("gr-a".to_owned());
    assert!(session.lost_grant().unwrap().stopped.message.contains("gr-a"));
    assert!(!ran("SELECT gr-b 3") && !ran("COMMIT"));
    assert!(ran("ROLLBACK"));
    session.settled();
    assert!(session.lost_grant().is_none() && ran("SELECT gr-b 4"));
}

/// Several wait together, and something has changed for one of them: nothing is spent on the others either.
#[test]
fn approvals_of_a_batch_are_spent_together_or_not_at_all() {
    let (f, session, _) = rig(Mode::Enforce);
    let mut asked = submit(&session, &["DELETE HOLD gr-a 1", "DELETE HOLD gr-b 2"]);
    assert!(poll(&mut asked).is_none());
    f.approver.spends_nothing(ApprovalError::Over("ap-1".to_owned()));
    f.approver.answer(Ok(()));
    assert!(poll(&mut asked).is_none(), "the second is not answered yet");
    f.approver.answer(Ok(()));
    let kinds: Vec<_> = poll(&mut asked).unwrap().into_iter().map(|a| a.err().map(|r| r.kind)).collect();
    assert_eq!(kinds, [Some(RefusalKind::Denied), Some(RefusalKind::Pending)]);
    assert_eq!(f.approver.words(), ["ask ap-1 #1", "ask ap-2 #2", "withdraw ap-1", "keep ap-2"]);
}

/// What may not run any more once the waiting is over keeps what stands before it from being spent.
#[test]
fn nothing_is_spent_where_something_behind_is_denied_meanwhile() {
    let (f, session, _) = rig(Mode::Enforce);
    let mut asked = submit(&session, &["DELETE HOLD gr-a 1", "SELECT gr-b 2"]);
    assert!(poll(&mut asked).is_none());
    f.target_contained.store(true, SeqCst);
    f.approver.answer(Ok(()));
    let kinds: Vec<_> = poll(&mut asked).unwrap().into_iter().map(|a| a.err().map(|r| r.kind)).collect();
    assert_eq!(kinds, [Some(RefusalKind::Pending), Some(RefusalKind::Denied)]);
    assert_eq!(f.approver.words(), ["ask ap-1 #1", "keep ap-1"]);
}

/// Nobody is asked where something of what was sent together cannot run anyway, and its client reads which, and why.
#[test]
fn nobody_is_asked_about_what_could_not_run() {
    let cases: [(&[&str], &str); 5] = [
        (&["DELETE HOLD gr-a 1", "DELETE DENY gr-b 2"], "command 2 of it cannot run. Firsthand refused it:"),
        (&["SELECT 1", "DELETE HOLD gr-a 2", "SELECT 3", "DELETE DENY gr-b 4"], "command 4 of it"),
        (&["DELETE HOLD gr-once 1", "UPDATE gr-once 2"], "had all the commands"),
        (
            &["DELETE HOLD gr-a RATE=2 1", "SELECT RATE=2 2", "SELECT RATE=2 3"],
            "At most 2 commands of one identity",
        ),
        (&["DELETE HOLD gr-a 1", "UPDATE gr-once 2", "UPDATE gr-once 3"], "command 3 of it"),
    ];
    for (texts, why) in cases {
        let (f, session, _) = rig(Mode::Enforce);
        let answers = poll(&mut submit(&session, texts)).unwrap();
        let held = texts.iter().position(|text| text.contains("HOLD")).unwrap();
        let refusal = answers[held].as_ref().unwrap_err();
        let kind = if why.starts_with("At most") { RefusalKind::Limit } else { RefusalKind::Denied };
        assert_eq!(refusal.kind, kind, "{texts:?}");
        assert!(refusal.message.contains(why), "{texts:?}: {}", refusal.message);
        assert_eq!(f.approver.words(), [""; 0], "{texts:?}");
    }
    // As many as there is room for are asked about.
    for texts in [
        ["DELETE HOLD gr-a RATE=3 1", "SELECT RATE=3 2", "SELECT RATE=3 3"],
        ["DELETE HOLD gr-once 1", "SELECT 2", "SELECT 3"],
    ] {
        let (f, session, _) = rig(Mode::Enforce);
        let mut asked = submit(&session, &texts);
        assert!(poll(&mut asked).is_none(), "{texts:?}");
        assert_eq!(f.approver.words(), ["ask ap-1 #1"], "{texts:?}");
    }
}

fn submit_vain(session: &Session, text: &str, vain: Option<Vain>) -> BoxFuture<'static, Vec<Answer>> {
    let original = Some(Arc::new(Original { vain, ..Original::default() }));
    Box::pin(session.submit(vec![Command { original, ..command(text) }]))
}

/// What the target, or a limit, would turn away after the yes.
#[test]
fn nobody_is_asked_in_vain() {
    let (f, session, _) = rig(Mode::Enforce);
    let refused = |text: &str, vain| {
        let answers = poll(&mut submit_vain(&session, text, vain)).unwrap();
        let refusal = answers.into_iter().next().unwrap().unwrap_err();
        (refusal.kind, refusal.message)
    };
    let (kind, message) = refused("DELETE HOLD gr-a 1", Some(Vain::Failed));
    assert!(kind == RefusalKind::Denied && message.contains("Send ROLLBACK"), "{message}");
    assert_eq!(f.approver.words(), [""; 0]);
    // Without a limit on rows it can run.
    assert!(poll(&mut submit_vain(&session, "DELETE HOLD gr-a 1", Some(Vain::Uncounted))).is_none());
    let (kind, message) = refused("DELETE HOLD gr-a 2 AFFECTED=3", Some(Vain::Uncounted));
    assert!(kind == RefusalKind::Limit && message.contains("at most 3 rows"), "{message}");
    // What is not held comes to its refusal by itself.
    assert!(poll(&mut submit_vain(&session, "DELETE gr-a 3", Some(Vain::Failed))).unwrap()[0].is_ok());
}

/// Definitions at a target that takes its time, or does not answer at all.
struct Slow {
    answers: AtomicBool,
    asked: AtomicUsize,
}

impl Definitions for Slow {
    fn look(&self) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        self.asked.fetch_add(1, SeqCst);
        if self.answers.load(SeqCst) {
            return Box::pin(std::future::ready(true));
        }
        Box::pin(std::future::pending())
    }

    fn digest(&self, _: &Facts) -> [u8; 32] {
        [0; 32]
    }
}

fn submit_with(
    session: &Session,
    texts: &[&str],
    definitions: &Arc<Slow>,
) -> BoxFuture<'static, Vec<Answer>> {
    let definitions: Option<Arc<dyn Definitions>> = Some(Arc::clone(definitions) as _);
    let original = Some(Arc::new(Original { definitions, ..Original::default() }));
    let with = |text: &&str| Command { original: original.clone(), ..command(text) };
    Box::pin(session.submit(texts.iter().map(with).collect()))
}

#[test]
fn definitions_are_looked_up_once_and_a_cancel_does_not_wait_for_them() {
    let texts = ["UPDATE gr-a 1", "DELETE HOLD gr-b 2"];
    let definitions = Arc::new(Slow { answers: AtomicBool::new(true), asked: AtomicUsize::new(0) });
    let (f, session, _) = rig(Mode::Enforce);
    let mut asked = submit_with(&session, &texts, &definitions);
    assert!(poll(&mut asked).is_none());
    f.approver.answer(Ok(()));
    assert!(poll(&mut asked).unwrap().iter().all(Result::is_ok));
    assert_eq!(definitions.asked.load(SeqCst), 1);

    definitions.answers.store(false, SeqCst);
    let mut asked = submit_with(&session, &texts, &definitions);
    assert!(poll(&mut asked).is_none());
    f.approver.answer(Ok(()));
    assert!(poll(&mut asked).is_none(), "the target is asked what the names stand for");
    assert!(session.is_holding());
    session.break_hold(Broken::Cancelled);
    let kinds: Vec<_> = poll(&mut asked).unwrap().into_iter().map(|a| a.err().map(|r| r.kind)).collect();
    assert_eq!(kinds, [Some(RefusalKind::Cancelled), Some(RefusalKind::Cancelled)]);
    assert_eq!(f.approver.words().last().map(String::as_str), Some("withdraw ap-2"));
}
