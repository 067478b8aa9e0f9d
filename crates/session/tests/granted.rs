//! Commands under a grant, and calls to the gateway itself, on their way through the pipeline.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use firsthand_model::command::{Command, Step};
use firsthand_model::decision::Verdict;
use firsthand_model::event::Event;
use firsthand_model::grant::{AccessCall, AccessRequest};
use firsthand_model::id::CommandNumber;
use firsthand_model::outcome::{Outcome, Transaction};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::{Durability, Mode, Target};
use firsthand_model::time::UnixMicros;
use firsthand_session::fake::{Disk, Fakes, command, fakes, target};
use firsthand_session::port::{BoxFuture, Covering, Grants, Told};
use firsthand_session::{Answer, Engine, Refusal, RefusalKind, Session};

/// One grant, of which is said what a test says.
#[derive(Default)]
struct One {
    covers: AtomicBool,
    over: AtomicBool,
    counts: AtomicBool,
    left: AtomicU64,
    called: AtomicU64,
}

struct Known(Arc<One>);

impl Grants for Known {
    fn covers(&self, _: &SessionFacts, _: &Command, _: UnixMicros) -> Option<Covering> {
        let counts = self.0.counts.load(SeqCst);
        self.0.covers.load(SeqCst).then(|| Covering { id: Arc::from("gr-1"), counts })
    }

    fn over(&self, _: &str, _: UnixMicros) -> Option<&'static str> {
        self.0.over.load(SeqCst).then_some("has ended")
    }

    fn count<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        let left = self.0.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        Box::pin(std::future::ready(left.is_ok()))
    }

    fn call<'a>(
        &'a self,
        _: &'a SessionFacts,
        _: CommandNumber,
        call: &'a AccessCall,
        _: Option<&'a Target>,
    ) -> BoxFuture<'a, Result<Told, Refusal>> {
        self.0.called.fetch_add(1, SeqCst);
        let answer = match call {
            AccessCall::Unreadable(why) => Err(Refusal::new(RefusalKind::Unsupported, why.as_str())),
            _ => Ok(vec![["gr-1", "asked", "", "wait"].map(str::to_owned)]),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn rig(mode: Mode) -> (Fakes, Session, Arc<One>) {
    let (mut fakes, one) = (fakes(Disk::Instant, target(Durability::Strict, mode)), Arc::new(One::default()));
    let engine = Arc::into_inner(fakes.engine).unwrap();
    fakes.engine = Arc::new(Engine { grants: Box::new(Known(Arc::clone(&one))), ..engine });
    let session = fakes.open().0;
    (fakes, session, one)
}

fn ask(session: &Session, command: Command) -> Answer {
    let mut asked = pin!(session.submit(vec![command]));
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(mut answers) => answers.remove(0),
        Poll::Pending => panic!("nothing is waited for here"),
    }
}

/// Runs it to its end. Whether it was given leave.
fn runs(session: &Session, text: &str, transaction: Transaction) -> bool {
    match ask(session, Command { transaction, ..command(text) }) {
        Ok(mut permit) => {
            let _ = permit.forward(Bytes::new());
            let _ = session.complete(permit, Outcome::default()).unwrap();
            true
        }
        Err(_) => false,
    }
}

/// The grants that decisions name, with what they say and whether leave was given.
fn decided(fakes: &Fakes) -> Vec<(Option<String>, Verdict, bool)> {
    fakes.log.with(|events| {
        let of = |event: &Event| match event {
            Event::CommandDecided(e) => {
                Some((e.grant.as_deref().map(str::to_owned), e.decision.verdict, e.permitted))
            }
            _ => None,
        };
        events.iter().filter_map(of).collect()
    })
}

#[test]
fn a_transaction_does_not_outlast_the_grant_that_it_ran_under() {
    let (fakes, session, one) = rig(Mode::Enforce);
    one.covers.store(true, SeqCst);
    assert!(runs(&session, "UPDATE", Transaction::Open));
    assert_eq!(decided(&fakes), [(Some("gr-1".to_owned()), Verdict::Allow, true)]);
    assert!(session.lost_grant().is_none(), "it is in force");
    one.over.store(true, SeqCst);
    let lost = session.lost_grant().unwrap();
    assert!(lost.stopped.message.contains("gr-1") && lost.stopped.kind == RefusalKind::Denied);
    // Also where another grant would cover it.
    for (text, transaction, goes_on) in [
        ("COMMIT", Transaction::Open, false),
        ("SELECT 1", Transaction::Open, false),
        ("SELECT 1", Transaction::Failed, false),
        ("COMMIT", Transaction::Idle, false),
        ("COMMIT", Transaction::Failed, true),
        ("ROLLBACK", Transaction::Open, true),
    ] {
        assert_eq!(runs(&session, text, transaction), goes_on, "{text} {transaction:?}");
    }
    session.settled();
    assert!(session.lost_grant().is_none() && runs(&session, "COMMIT", Transaction::Idle));
}

#[test]
fn what_is_only_observed_loses_nothing() {
    let (_fakes, session, one) = rig(Mode::Observe);
    one.covers.store(true, SeqCst);
    assert!(runs(&session, "UPDATE", Transaction::Open));
    one.over.store(true, SeqCst);
    assert!(session.lost_grant().is_none() && runs(&session, "COMMIT", Transaction::Open));
}

#[test]
fn commands_are_counted_and_then_refused_and_the_record_says_both() {
    let (fakes, session, one) = rig(Mode::Enforce);
    one.covers.store(true, SeqCst);
    one.counts.store(true, SeqCst);
    one.left.store(1, SeqCst);
    // Nothing runs when a statement is only prepared, so nothing is counted.
    let prepared = ask(&session, Command { step: Step::Prepare, ..command("SELECT 1") });
    prepared.unwrap().abandon(firsthand_model::outcome::AbandonReason::ClientLeft);
    assert!(runs(&session, "SELECT 1", Transaction::Idle));
    assert!(!runs(&session, "SELECT 1", Transaction::Idle));
    let grant = Some("gr-1".to_owned());
    let said = [(Verdict::Allow, true), (Verdict::Allow, true), (Verdict::Deny, false)];
    assert_eq!(decided(&fakes), said.map(|(verdict, leave)| (grant.clone(), verdict, leave)));
}

#[test]
fn a_call_is_done_once_it_is_to_run_and_its_answer_comes_with_the_permit() {
    let (fakes, session, one) = rig(Mode::Enforce);
    let call = |call: AccessCall, step, transaction| Command {
        access: Some(Arc::new(call)),
        step,
        transaction,
        // Policy would refuse it, and is not asked.
        ..command("SELECT DENY")
    };
    let request = || AccessCall::Request(AccessRequest::default());
    let told = |command| {
        let permit = ask(&session, command)?;
        let told = permit.told().map(|told| told[0][1].clone());
        permit.abandon(firsthand_model::outcome::AbandonReason::ClientLeft);
        Ok::<_, Refusal>(told)
    };
    assert_eq!(told(call(request(), Step::Run, Transaction::Open)).unwrap().as_deref(), Some("asked"));
    assert_eq!(told(call(request(), Step::Prepare, Transaction::Open)).unwrap(), None);
    assert_eq!(told(call(request(), Step::Run, Transaction::Failed)).unwrap(), None, "the target says so");
    assert_eq!(one.called.load(SeqCst), 1);
    let wrong = call(AccessCall::Unreadable("wrong".to_owned()), Step::Run, Transaction::Idle);
    assert_eq!(told(wrong).unwrap_err().kind, RefusalKind::Unsupported);
    assert_eq!(decided(&fakes).last().unwrap(), &(None, Verdict::Deny, false));
    // Whoever has ended asks for nothing.
    fakes.identity.revoke();
    assert!(told(call(request(), Step::Run, Transaction::Idle)).is_err());
    assert_eq!(one.called.load(SeqCst), 2);
}
