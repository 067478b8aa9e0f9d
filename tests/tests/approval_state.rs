//! Approvals over their state, the same tests with a SQLite file and with a real PostgreSQL; and a seeded simulation of people,
//! clients and two gateways that race for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firsthand_adapters::approvals::answer::AnswerError;
use firsthand_adapters::approvals::{Approvals, Groups};
use firsthand_adapters::state::State;
use firsthand_model::decision::{Decision, HoldTerms};
use firsthand_model::event::{By, Event};
use firsthand_model::id::CommandNumber;
use firsthand_model::identity::{IdentityKind, Link, Trust};
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::UnixMicros;
use firsthand_session::Session;
use firsthand_session::fake::{Disk, FakeLog, Fakes, TextPolicy, command, fakes, target, terms};
use firsthand_session::port::{ApprovalError, Approver, Ask, Hold, Policy, Question, Recorder};
use firsthand_tests::postgres::Postgres;

/// Everybody but eve is in every group.
struct All;

impl Groups for All {
    fn has_members(&self, group: &str) -> bool {
        group != "nobody"
    }

    fn is_member(&self, _: &str, names: &[&str]) -> bool {
        !names.contains(&"eve")
    }
}

fn by(name: &str) -> By {
    let id = format!("h-{name}");
    Link { kind: IdentityKind::Human, id, name: name.to_owned(), trust: Trust::Verified }.into()
}

/// A gateway: its approvals, its log, a session at it.
struct Gateway {
    approvals: Approvals,
    log: Arc<FakeLog>,
    fakes: Fakes,
    session: Session,
}

fn gateway(state: State) -> Gateway {
    let log = Arc::new(FakeLog::new(Disk::Instant));
    let recorder: Arc<dyn Recorder> = log.clone();
    let approvals = Approvals::new(state, recorder, &[7; 32], Arc::new(All));
    let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
    let session = fakes.open().0;
    Gateway { approvals, log, fakes, session }
}

impl Gateway {
    fn hold(&self, text: &str, change: impl FnOnce(&mut HoldTerms)) -> Hold {
        let (session, command) = (Arc::clone(self.session.facts()), command(text));
        let ask = Ask { session: &session, command: &command, now: UnixMicros(0), estimated_rows: None };
        let mut terms = (*terms()).clone();
        change(&mut terms);
        let decision = Decision { terms: Some(Arc::new(terms)), ..TextPolicy.decide(&ask) };
        let binding = self.approvals.binding(&session, &command, &decision);
        let original = command.original.clone();
        Hold { session, number: CommandNumber(1), decision, command, binding, original }
    }

    async fn ask(&self, hold: &Hold) -> Question {
        self.approvals.ask(hold).await.unwrap()
    }

    async fn state_of(&self, id: &str) -> &'static str {
        self.approvals.state().approval(id).await.unwrap().unwrap().0.stage.word()
    }

    /// How often the log says this of an approval.
    fn told_of(&self, id: &str, kind: &str) -> usize {
        let is = |event: &&Event| matches!(event, Event::Approval(e) if e.id == id && e.kind == kind);
        self.log.with(|events| events.iter().filter(is).count())
    }

    /// What the log says of approvals.
    fn told(&self) -> Vec<String> {
        self.log.words()
    }
}

/// Both kinds of state, each with two gateways on it.
async fn on_both<F: Future<Output = ()>>(test: impl Fn(Gateway, Gateway) -> F) {
    let folder = tempfile::tempdir().unwrap();
    test(gateway(State::in_folder(folder.path())), gateway(State::in_folder(folder.path()))).await;
    let server = Postgres::start(None).unwrap();
    server.sql("postgres", "alter database shop owner to app").unwrap();
    server.sql("shop", "grant create on schema public to app").unwrap();
    let url = || server.place("app", "shop").url();
    test(gateway(State::shared(url())), gateway(State::shared(url()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_question_is_open_for_a_binding_and_one_spends_it() {
    on_both(|a, b| async move {
        let hold = a.hold("DELETE HOLD", |_| {});
        let question = a.ask(&hold).await;
        let same = b.hold("DELETE HOLD", |_| {});
        let joined = b.ask(&same).await;
        assert_eq!(joined.id, question.id, "the same command");
        let other = a.ask(&a.hold("DELETE HOLD 2", |_| {})).await;
        assert_ne!(other.id, question.id);
        assert_eq!(a.approvals.wait(&question, 0).await, Err(ApprovalError::Pending(question.id.clone())));
        assert!(a.approvals.spend(&hold, &question).await.is_err(), "nobody has approved it");
        b.approvals.answer(&question.id, &by("grace"), true, "yes").await.unwrap();
        assert_eq!(a.approvals.wait(&question, 0).await, Ok(()));
        // What is bound otherwise spends nothing.
        assert!(a.approvals.spend(&a.hold("DELETE HOLD 2", |_| {}), &question).await.is_err());
        let (one, two) =
            tokio::join!(a.approvals.spend(&hold, &question), b.approvals.spend(&same, &question));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert_eq!(a.state_of(&question.id).await, "spent");
        let spent = [a.told(), b.told()].concat().iter().filter(|w| *w == "approval.spent").count();
        assert_eq!(spent, 1);
        let anew = a.ask(&hold).await;
        assert_ne!(anew.id, question.id, "it asks anew");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_of_an_answer_at_the_other_gateway() {
    on_both(|a, b| async move {
        let listens = tokio::spawn(a.approvals.clone().keep_up());
        for approve in [true, false] {
            let hold = a.hold(&format!("DELETE HOLD {approve}"), |_| {});
            let question = a.ask(&hold).await;
            let id = question.id.clone();
            let waiting = a.approvals.wait(&question, 60_000_000);
            let answering = async {
                b.approvals.answer(&id, &by("grace"), approve, "because").await.unwrap();
            };
            let (answer, ()) =
                tokio::time::timeout(Duration::from_secs(30), async { tokio::join!(waiting, answering) })
                    .await
                    .unwrap();
            let refused = ApprovalError::Refused { id, reason: "because".to_owned() };
            assert_eq!(answer, if approve { Ok(()) } else { Err(refused) });
        }
        listens.abort();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_over_and_what_nobody_waits_for_is_withdrawn() {
    on_both(|a, _b| async move {
        // It lapses before anybody answers, and when it is not spent in time.
        let short = a.hold("DELETE HOLD short", |t| t.ttl_us = 1);
        let question = a.ask(&short).await;
        let answered = a.approvals.answer(&question.id, &by("grace"), true, "").await;
        assert!(matches!(answered, Err(AnswerError::Over { stage: "expired", .. })), "{answered:?}");
        a.approvals.sweep().await.unwrap();
        assert_eq!(a.state_of(&question.id).await, "expired");
        let unspent = a.hold("DELETE HOLD unspent", |t| t.spend_us = 1);
        let given = a.ask(&unspent).await;
        a.approvals.answer(&given.id, &by("grace"), true, "").await.unwrap();
        assert!(a.approvals.spend(&unspent, &given).await.is_err());
        // Dropped, it is withdrawn; told of before, it stays.
        let gone = a.ask(&a.hold("DELETE HOLD gone", |_| {})).await;
        let kept = a.ask(&a.hold("DELETE HOLD kept", |_| {})).await;
        a.approvals.keep(&kept).await;
        let (gone_id, kept_id) = (gone.id.clone(), kept.id.clone());
        drop((gone, kept));
        while a.state_of(&gone_id).await != "withdrawn" {
            tokio::task::yield_now().await;
        }
        assert_eq!(a.state_of(&kept_id).await, "asked");
        while !a.told().iter().any(|w| w == "approval.withdrawn") {
            tokio::task::yield_now().await;
        }
        let nobody = a.hold("DELETE HOLD nobody", |t| t.approvers[0].group = Arc::from("nobody"));
        assert!(matches!(a.approvals.ask(&nobody).await, Err(ApprovalError::NobodyToAsk)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_counts_only_when_it_is_recorded_and_by_whom_it_may() {
    on_both(|a, _b| async move {
        let hold = a.hold("DELETE HOLD", |t| t.approvers[0].quorum = 2);
        let question = a.ask(&hold).await;
        let say = async |name: &str| a.approvals.answer(&question.id, &by(name), true, "").await;
        assert!(matches!(say("ada").await, Err(AnswerError::Own(_))), "the person behind the agent");
        assert!(matches!(say("eve").await, Err(AnswerError::NotInGroup { .. })));
        a.log.set(Disk::Stopped);
        assert!(matches!(say("grace").await, Err(AnswerError::NotRecorded(_))));
        a.log.set(Disk::Instant);
        assert_eq!(a.approvals.state().approval(&question.id).await.unwrap().unwrap().1, []);
        assert_eq!(say("grace").await.unwrap().given, 1);
        assert!(matches!(say("grace").await, Err(AnswerError::Twice(_))));
        assert_eq!(a.state_of(&question.id).await, "asked");
        assert_eq!(say("bob").await.unwrap().stage.word(), "given");
        assert!(matches!(say("carol").await, Err(AnswerError::Over { stage: "given", .. })));
        let robot = By::from(Link { kind: IdentityKind::Agent, ..by("robot").link });
        let robot = a.approvals.answer(&question.id, &robot, true, "").await;
        assert!(matches!(robot, Err(AnswerError::NoPerson(_))));
    })
    .await;
}

/// A small deterministic source (SplitMix64): a failing seed reproduces what was done, though not how threads met.
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

/// Agents at two gateways send the same few commands, give up, come again; people approve, refuse, do both at once; time passes.
/// No command runs without an approval that was given and not used before, and never two by one.
#[tokio::test(flavor = "multi_thread")]
async fn races_never_run_a_command_without_its_approval_nor_twice_by_one() {
    on_both(|a, b| async move {
        let ran: Mutex<HashMap<String, u32>> = Mutex::default();
        let (gateways, mut seed) = ([a, b], Seed(11));
        for round in 0..60 {
            let text = format!("DELETE HOLD {}", seed.next(3));
            let short = seed.next(4) == 0;
            let runs = |gateway: usize, wait: u64, gives_up: bool| {
                let (g, text, ran) = (&gateways[gateway], &text, &ran);
                async move {
                    let hold = g.hold(text, |t| {
                        if short {
                            t.ttl_us = 3_000;
                            t.spend_us = 3_000;
                        }
                    });
                    let Ok(question) = g.approvals.ask(&hold).await else { return };
                    if gives_up {
                        return;
                    }
                    match g.approvals.wait(&question, wait).await {
                        Ok(()) if g.approvals.spend(&hold, &question).await.is_ok() => {
                            *ran.lock().unwrap().entry(question.id.clone()).or_default() += 1;
                        }
                        Err(ApprovalError::Pending(_)) => g.approvals.keep(&question).await,
                        _ => {}
                    }
                }
            };
            let people = |gateway: usize, who: &'static str, yes: bool| {
                let g = &gateways[gateway];
                async move {
                    for row in g.approvals.state().approvals(false, 10).await.unwrap() {
                        let _ = g.approvals.answer(&row.id, &by(who), yes, "").await;
                    }
                    let _ = g.approvals.sweep().await;
                }
            };
            let (wait, gives_up) = (seed.next(8_000), seed.next(3) == 0);
            let (no, at) = (seed.next(5) == 0, seed.next(2) as usize);
            tokio::join!(
                runs(0, wait, false),
                runs(1, wait, gives_up),
                runs(at, wait, false),
                people(0, "grace", true),
                people(1, "bob", !no),
            );
            assert!(ran.lock().unwrap().values().all(|n| *n == 1), "round {round}");
        }
        let ran = ran.into_inner().unwrap();
        assert!(ran.len() > 5, "it shows nothing: {}", ran.len());
        for id in ran.keys() {
            let of = |kind| gateways.iter().map(|g| g.told_of(id, kind)).sum::<usize>();
            assert_eq!(["approval.asked", "approval.given", "approval.spent"].map(of), [1; 3], "{id}");
        }
        drop(gateways.map(|g| g.fakes));
    })
    .await;
}
