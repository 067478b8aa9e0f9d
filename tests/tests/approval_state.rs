//! Approvals over their state, the same tests with a SQLite file and with a real PostgreSQL.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firsthand_adapters::approvals::answer::{AnswerError, Say};
use firsthand_adapters::approvals::grants::{Asking, MayRevoke};
use firsthand_adapters::approvals::{Approvals, Groups};
use firsthand_adapters::clock::wall;
use firsthand_adapters::containment::{Contained, Containment, Of};
use firsthand_adapters::state::State;
use firsthand_adapters::state::approvals::{Listing, Row};
use firsthand_model::command::{Effect, Effects};
use firsthand_model::decision::{Decision, HoldTerms};
use firsthand_model::event::{By, Event};
use firsthand_model::grant::{AccessRequest, GrantOffer};
use firsthand_model::id::CommandNumber;
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::json::Json;
use firsthand_model::target::{Durability, Mode, Target};
use firsthand_model::time::UnixMicros;
use firsthand_session::Session;
use firsthand_session::fake::{Disk, FakeLog, Fakes, TextPolicy, command, fakes, target, terms};
use firsthand_session::port::{
    ApprovalError, Approver, Ask, Grants, Hold, Policy, Question, Recorder, Unveiled,
};
use firsthand_tests::postgres::Postgres;
use firsthand_tests::process::until;

#[path = "approval_state/granted.rs"]
mod granted;
#[path = "approval_state/races.rs"]
mod races;

/// Everybody but eve is in every group.
struct All;

impl Groups for All {
    fn has_members(&self, group: &str) -> bool {
        group != "nobody"
    }

    fn is_member(&self, group: &str, names: &[&str]) -> bool {
        if group == "bobs" { names.contains(&"bob") } else { !names.contains(&"eve") }
    }
}

fn link(kind: IdentityKind, name: &str) -> Link {
    Link { kind, id: format!("{}-{name}", &kind.word()[..1]), name: name.to_owned(), trust: Trust::Verified }
}

fn by(name: &str) -> By {
    link(IdentityKind::Human, name).into()
}

/// A person by their token: the chain, and whom the token names.
fn by_chain(chain: &[Link]) -> By {
    let acts = chain.iter().rev().find(|l| l.kind != IdentityKind::Token).unwrap();
    By { chain: chain.to_vec(), ..acts.clone().into() }
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
    approvals.compared();
    let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
    let session = fakes.open().0;
    Gateway { approvals, log, fakes, session }
}

impl Gateway {
    fn hold(&self, text: &str, change: impl FnOnce(&mut HoldTerms)) -> Hold {
        let (session, command) = (Arc::clone(self.session.facts()), command(text));
        let ask = Ask {
            session: &session,
            command: &command,
            now: UnixMicros(0),
            estimated_rows: None,
            granted: false,
        };
        let mut terms = (*terms()).clone();
        change(&mut terms);
        let decision = Decision { terms: Some(Arc::new(terms)), ..TextPolicy.decide(&ask) };
        let binding = self.approvals.binding(&session, &command, &decision);
        let original = command.original.clone();
        Hold { session, number: CommandNumber(1), decision, command, binding, original, unveiled: None }
    }

    /// The same as somebody else.
    fn hold_of(&self, text: &str, chain: &[Link]) -> Hold {
        let hold = self.hold(text, |_| {});
        let mut session = hold.session.with_role("orders_rw");
        session.identity = Arc::new(Identity { chain: chain.to_vec(), ..(*session.identity).clone() });
        let binding = self.approvals.binding(&session, &hold.command, &hold.decision);
        Hold { session: Arc::new(session), binding, ..hold }
    }

    async fn ask(&self, hold: &Hold) -> Question {
        self.approvals.ask(hold).await.unwrap()
    }

    async fn open(&self) -> Vec<Row> {
        let listing = Listing { most: 1_000, ..Listing::default() };
        self.approvals.state().approvals(&listing).await.unwrap()
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

/// Where somebody writes the state past the gateways.
enum Back {
    File(PathBuf),
    Server(Box<Postgres>),
}

impl Back {
    fn run(&self, sql: &str) {
        match self {
            Self::Server(server) => drop(server.sql("shop", sql).unwrap()),
            Self::File(file) => {
                let script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=20); \
                              db.execute(sys.argv[2]); db.commit()";
                let done = Command::new("python3").args(["-c", script]).arg(file).arg(sql).status();
                assert!(done.unwrap().success(), "{sql}");
            }
        }
    }
}

/// Both kinds of state, with a way past the gateway.
async fn with_back_door<F: Future<Output = ()>>(test: impl Fn(Gateway, Back) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let file = Back::File(folder.path().join("state.db"));
    test(gateway(State::in_folder(folder.path())), file).await;
    let server = shared();
    let url = server.place("app", "shop").url();
    test(gateway(State::shared(url)), Back::Server(Box::new(server))).await;
}

fn shared() -> Postgres {
    let server = Postgres::start(None).unwrap();
    server.sql("postgres", "alter database shop owner to app").unwrap();
    server.sql("shop", "grant create on schema public to app").unwrap();
    server
}

/// Both kinds of state, each with two gateways on it.
async fn on_both<F: Future<Output = ()>>(test: impl Fn(Gateway, Gateway) -> F) {
    let folder = tempfile::tempdir().unwrap();
    Box::pin(test(gateway(State::in_folder(folder.path())), gateway(State::in_folder(folder.path())))).await;
    let server = shared();
    let url = || server.place("app", "shop").url();
    Box::pin(test(gateway(State::shared(url())), gateway(State::shared(url())))).await;
}

/// What masks hide is kept sealed while it is open, is shown to who has the right, and is gone with every end.
#[tokio::test(flavor = "multi_thread")]
async fn an_original_is_destroyed_with_its_end() {
    on_both(|a, b| async move {
        for end in ["refused", "spent", "withdrawn", "expired"] {
            let hold = a.hold(&format!("DELETE HOLD {end}"), |_| {});
            let unveiled = Unveiled { text: format!("ask mia {end}"), parameters: Json::default() };
            let hold = Hold { unveiled: Some(Box::new(unveiled)), ..hold };
            let question = a.ask(&hold).await;
            let id = question.id.clone();
            let kept = a.approvals.state().original(&id).await.unwrap().unwrap();
            assert!(!kept.contains("mia"), "{kept}");
            let shown = async |who: &str, right| b.approvals.original(&id, &by(who), right).await;
            assert!(matches!(shown("grace", Some("bobs")).await, Err(AnswerError::NoRight(_))));
            assert!(matches!(shown("grace", None).await, Err(AnswerError::NoRight(_))));
            assert!(matches!(shown("eve", Some("eyes")).await, Err(AnswerError::NotInGroup { .. })));
            let seen = shown("grace", Some("eyes")).await.unwrap();
            assert_eq!(seen["statement"], format!("ask mia {end}"));
            match end {
                "refused" => drop(b.approvals.answer(&id, &by("grace"), Say::Deny, "").await.unwrap()),
                "spent" => {
                    b.approvals.answer(&id, &by("grace"), Say::Approve, "").await.unwrap();
                    assert!(shown("grace", Some("eyes")).await.is_ok(), "until it is spent");
                    a.approvals.spend(&hold, &question).await.unwrap();
                }
                "withdrawn" => drop(question),
                _ => {
                    let far = wall().0 + 1_000_000_000_000;
                    assert!(a.approvals.state().expire(&id, far).await.unwrap());
                }
            }
            while a.state_of(&id).await != end {
                tokio::task::yield_now().await;
            }
            assert_eq!(b.approvals.state().original(&id).await.unwrap(), None, "{end}");
            assert!(matches!(shown("grace", Some("eyes")).await, Err(AnswerError::Over { .. })), "{end}");
        }
    })
    .await;
}

/// A request of a channel counts once, whichever of the gateways it comes to.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_channel_counts_once_at_all_gateways() {
    on_both(|a, b| async move {
        let (a, b) = (a.approvals.state(), b.approvals.state());
        let both = tokio::join!(a.first_seen("chat", "v0=1", 10, 0), b.first_seen("chat", "v0=1", 10, 0));
        assert_ne!(both.0.unwrap(), both.1.unwrap());
        assert!(!a.first_seen("chat", "v0=1", 11, 0).await.unwrap());
        b.not_seen("chat", "v0=1").await.unwrap();
        assert!(a.first_seen("chat", "v0=1", 12, 0).await.unwrap());
        assert!(b.first_seen("chat", "v0=1", 99, 50).await.unwrap(), "its time is over");
    })
    .await;
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
        b.approvals.answer(&question.id, &by("grace"), Say::Approve, "yes").await.unwrap();
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
                let say = if approve { Say::Approve } else { Say::Deny };
                b.approvals.answer(&id, &by("grace"), say, "because").await.unwrap();
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
        let answered = a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await;
        assert!(matches!(answered, Err(AnswerError::Over { stage: "expired", .. })), "{answered:?}");
        a.approvals.sweep().await.unwrap();
        assert_eq!(a.state_of(&question.id).await, "expired");
        let unspent = a.hold("DELETE HOLD unspent", |t| t.spend_us = 1);
        let given = a.ask(&unspent).await;
        a.approvals.answer(&given.id, &by("grace"), Say::Approve, "").await.unwrap();
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
        let say = async |name: &str| a.approvals.answer(&question.id, &by(name), Say::Approve, "").await;
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
        let robot = a.approvals.answer(&question.id, &robot, Say::Approve, "").await;
        assert!(matches!(robot, Err(AnswerError::NoPerson(_))));
    })
    .await;
}

fn vote(id: &str, log: &str) -> String {
    format!(
        "insert into votes (approval, person, log, teams, reason, cast_at, seal) \
         values ('{id}', 'grace', {log}, '[\"dba\"]', '', 0, '00')"
    )
}

fn given(id: &str) -> String {
    format!("update approvals set stage = 'given' where id = '{id}'")
}

/// Somebody writes the state while the gateway runs: nothing is spent that people did not give for it, and nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_past_the_gateway_is_worth_nothing() {
    with_back_door(|a, back| async move {
        let told: Arc<Mutex<Vec<(String, &'static str)>>> = Arc::default();
        let telling = Arc::clone(&told);
        a.approvals.on_difference(Box::new(move |id, found| {
            telling.lock().unwrap().push((id.to_owned(), found));
        }));
        for way in ["no vote", "a vote of this log", "a vote of another", "one of three", "another's terms"] {
            let hold = a.hold(&format!("DELETE HOLD {way}"), |t| {
                t.approvers[0].group = Arc::from("dba");
                t.approvers[0].quorum =
                    if way.starts_with("one") || way.starts_with("another") { 3 } else { 1 };
            });
            let question = a.ask(&hold).await;
            let id = question.id.clone();
            match way {
                "no vote" => {}
                "a vote of this log" => back.run(&vote(&id, "(select max(log) from approvals)")),
                "a vote of another" => back.run(&vote(&id, "'00'")),
                _ => drop(a.approvals.answer(&id, &by("grace"), Say::Approve, "").await.unwrap()),
            }
            if way == "another's terms" {
                back.run("update approvals set terms = replace(terms, '3', '1')");
            }
            back.run(&given(&id));
            let spent = a.approvals.spend(&hold, &question).await;
            assert_eq!(spent, Err(ApprovalError::Over(id.clone())), "{way}");
            assert_eq!(a.state_of(&id).await, "withdrawn", "{way}");
            let found = if way == "another's terms" { "sealed-otherwise" } else { "not-given-in-record" };
            assert_eq!(told.lock().unwrap().pop(), Some((id, found)), "{way}");
        }
        // What was approved for one command is not for another.
        let (harmless, evil) = (a.hold("DELETE HOLD one", |_| {}), a.hold("DELETE HOLD all", |_| {}));
        let question = a.ask(&harmless).await;
        a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await.unwrap();
        let other: String = evil.binding.0.iter().map(|b| format!("{b:02x}")).collect();
        back.run(&format!("update approvals set binding = '{other}' where id = '{}'", question.id));
        let joined = a.ask(&evil).await;
        assert_eq!(joined.id, question.id, "it shows nothing");
        assert!(a.approvals.spend(&evil, &joined).await.is_err());
        assert_eq!(told.lock().unwrap().pop(), Some((question.id.clone(), "sealed-otherwise")));
        // Spent is spent, and late is late.
        let hold = a.hold("DELETE HOLD twice", |_| {});
        let question = a.ask(&hold).await;
        a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await.unwrap();
        a.approvals.spend(&hold, &question).await.unwrap();
        back.run(&given(&question.id));
        assert!(a.approvals.spend(&hold, &question).await.is_err());
        assert_eq!(told.lock().unwrap().pop(), Some((question.id.clone(), "over-in-record")));
        let late = a.hold("DELETE HOLD late", |t| t.spend_us = 1);
        let question = a.ask(&late).await;
        a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await.unwrap();
        back.run("update approvals set ends = ends + 1000000000");
        assert!(a.approvals.spend(&late, &question).await.is_err());
        // Nobody approves what is shown otherwise than it was asked.
        for column in ["about", "preview", "people"] {
            let question = a.ask(&a.hold(&format!("DELETE HOLD {column}"), |_| {})).await;
            back.run(&format!("update approvals set {column} = '[]' where id = '{}'", question.id));
            let said = a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await;
            assert!(matches!(said, Err(AnswerError::Changed(_))), "{column}: {said:?}");
            assert_eq!(told.lock().unwrap().pop(), Some((question.id.clone(), "sealed-otherwise")));
        }
    })
    .await;
}

/// Before the state was compared with the record, nothing is asked, answered or spent.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_used_before_it_was_compared() {
    let folder = tempfile::tempdir().unwrap();
    let first = gateway(State::in_folder(folder.path()));
    let hold = first.hold("DELETE HOLD", |_| {});
    let question = first.ask(&hold).await;
    first.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await.unwrap();
    let recorder: Arc<dyn Recorder> = first.log.clone();
    let later = Approvals::new(State::in_folder(folder.path()), recorder, &[7; 32], Arc::new(All));
    let soon = Duration::from_millis(300);
    assert!(tokio::time::timeout(soon, later.ask(&hold)).await.is_err());
    assert!(tokio::time::timeout(soon, later.spend(&hold, &question)).await.is_err());
    assert!(
        tokio::time::timeout(soon, later.answer(&question.id, &by("bob"), Say::Approve, "")).await.is_err()
    );
    // What the record says is over is so, whatever the state says.
    later.known_over(std::iter::once(question.id.clone()));
    later.compared();
    assert!(later.spend(&hold, &question).await.is_err());
}

/// One asker has a limit, and others have their places.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_fills_all_places() {
    with_back_door(|a, back| async move {
        let _served = back;
        let agents = ["one", "two"].map(|name| {
            [
                link(IdentityKind::Human, "ada"),
                link(IdentityKind::Agent, name),
                link(IdentityKind::Token, "t"),
            ]
        });
        let mut kept = Vec::new();
        for n in 0..200 {
            kept.push(a.ask(&a.hold_of(&format!("DELETE HOLD {n}"), &agents[n % 2])).await);
        }
        for agent in &agents {
            let more = a.approvals.ask(&a.hold_of("DELETE HOLD more", agent)).await;
            assert!(matches!(more, Err(ApprovalError::TooMany)), "{:?}", more.map(|q| q.id));
        }
        // The same question is none more.
        let same = a.ask(&a.hold_of("DELETE HOLD 0", &agents[0])).await;
        assert_eq!(same.id, kept[0].id);
        kept.push(a.ask(&a.hold_of("DELETE HOLD more", &[link(IdentityKind::Agent, "other")])).await);
        assert_eq!(a.open().await.len(), 201);
    })
    .await;
}

/// Nor do they who all ask at the same moment, at two gateways.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_the_limit_by_asking_at_once() {
    on_both(|a, b| async move {
        let mut kept = Vec::new();
        for n in 0..190 {
            kept.push(a.ask(&a.hold(&format!("DELETE HOLD {n}"), |_| {})).await);
        }
        let mut asking = tokio::task::JoinSet::new();
        for n in 0..40 {
            let at = if n % 2 == 0 { &a } else { &b };
            let (approvals, hold) =
                (at.approvals.clone(), at.hold(&format!("DELETE HOLD at once {n}"), |_| {}));
            asking.spawn(async move { approvals.ask(&hold).await });
        }
        let mut refused = 0;
        while let Some(asked) = asking.join_next().await {
            match asked.unwrap() {
                Ok(question) => kept.push(question),
                Err(e) => {
                    assert_eq!(e, ApprovalError::TooMany);
                    refused += 1;
                }
            }
        }
        assert_eq!((a.open().await.len(), kept.len(), refused), (200, 200, 30));
    })
    .await;
}

/// Lists come in pages, of some names only where that is asked, and without what may be long.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_all_of_it_and_no_more_than_it_shows() {
    with_back_door(|a, back| async move {
        let _served = back;
        let long = format!("DELETE HOLD {}", "x".repeat(10_000));
        let names = ["a%a", "aba", "Ada\"!_", "ada"];
        let mut kept = Vec::new();
        for name in names {
            kept.push(a.ask(&a.hold_of(&long, &[link(IdentityKind::Human, name)])).await);
        }
        let list = async |listing: Listing| a.approvals.state().approvals(&listing).await.unwrap();
        let (mut after, mut all) = (None, Vec::new());
        loop {
            let page = list(Listing { most: 3, after: after.take(), ..Listing::default() }).await;
            assert!(page.len() <= 3);
            let Some(last) = page.last() else { break };
            after = Some((last.asked, last.id.clone()));
            assert!(page.iter().all(|row| row.about.is_empty() && row.listed.len() < 2_000));
            all.extend(page.into_iter().map(|row| row.id));
        }
        all.sort();
        let mut ids: Vec<String> = kept.iter().map(|q| q.id.clone()).collect();
        ids.sort();
        assert_eq!(all, ids);
        for (name, question) in names.iter().zip(&kept) {
            let of = Some(vec![name.to_lowercase()]);
            let mine = list(Listing { most: 9, of, ..Listing::default() }).await;
            assert_eq!(mine.iter().map(|row| &row.id).collect::<Vec<_>>(), [&question.id], "{name}");
        }
        assert!(list(Listing { most: 9, of: Some(Vec::new()), ..Listing::default() }).await.is_empty());
    })
    .await;
}

/// What is over keeps no statement whole, no parameters and no preview, and goes after a time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_kept() {
    with_back_door(|a, back| async move {
        let ends = ["spent", "refused", "withdrawn", "expired"];
        let mut ids = Vec::new();
        for end in ends {
            let hold = a.hold(&format!("DELETE HOLD {end} {}", "y".repeat(2_000)), |t| {
                if end == "expired" {
                    t.ttl_us = 1;
                }
            });
            let question = a.ask(&hold).await;
            let id = question.id.clone();
            back.run(&format!("update approvals set preview = 'p' where id = '{id}' and stage = 'expired'"));
            match end {
                "spent" => {
                    a.approvals.answer(&id, &by("grace"), Say::Approve, "").await.unwrap();
                    a.approvals.spend(&hold, &question).await.unwrap();
                }
                "refused" => drop(a.approvals.answer(&id, &by("grace"), Say::Deny, "no").await.unwrap()),
                "withdrawn" => {
                    drop(question);
                    while a.state_of(&id).await != "withdrawn" {
                        tokio::task::yield_now().await;
                    }
                }
                _ => a.approvals.sweep().await.unwrap(),
            }
            let (row, _) = a.approvals.state().approval(&id).await.unwrap().unwrap();
            assert_eq!((row.stage.word(), row.about.as_str(), row.preview.as_str()), (end, "", ""));
            assert!(row.listed.contains(end) && !row.listed.contains(&"y".repeat(600)));
            ids.push(id);
        }
        let open = a.ask(&a.hold("DELETE HOLD open", |_| {})).await;
        a.approvals.sweep().await.unwrap();
        assert_eq!(a.state_of(&ids[0]).await, "spent", "it is listed for a day");
        back.run("update approvals set ended = ended - 86400000000 where ended > 0");
        a.approvals.sweep().await.unwrap();
        for id in &ids {
            assert_eq!(a.approvals.state().approval(id).await.unwrap(), None);
        }
        assert_eq!(a.state_of(&open.id).await, "asked");
        if let Back::File(file) = back {
            let left = std::fs::read(&file).unwrap();
            let text = b"yyyyyyyyyyyyyyyy";
            assert!(!left.windows(text.len()).any(|w| w == text), "it is deleted, and still in the file");
        }
    })
    .await;
}

/// Whoever is in the chain of who asks, however it is spelled and whatever kind it is there, does not approve it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_approves_their_own_by_another_spelling() {
    use IdentityKind::{Agent, Human, Token};
    with_back_door(|a, back| async move {
        let _served = back;
        let own = [
            (vec![link(Human, "ada@example.com"), link(Agent, "bot")], vec![link(Human, "Ada@Example.COM")]),
            (vec![link(Human, "ÄDA@example.com"), link(Agent, "bot")], vec![link(Human, "äda@example.com")]),
            (vec![link(Agent, "carl@example.com")], vec![link(Human, "carl@example.com")]),
            (vec![link(Agent, "Carl"), link(Agent, "bot"), link(Token, "t")], vec![link(Human, "carl")]),
            // Their own is also what a token of theirs asked that names them.
            (vec![link(Human, "phone")], vec![link(Human, "grace"), link(Human, "phone"), link(Token, "u")]),
        ];
        for (asks, approves) in own {
            let question = a.ask(&a.hold_of("DELETE HOLD", &asks)).await;
            let said = a.approvals.answer(&question.id, &by_chain(&approves), Say::Approve, "").await;
            assert!(matches!(said, Err(AnswerError::Own(_))), "{asks:?} {approves:?}: {said:?}");
        }
        // A token's id is no name.
        let question = a.ask(&a.hold_of("DELETE HOLD t", &[link(Agent, "x"), link(Token, "grace")])).await;
        let quorum = a.ask(&a.hold("DELETE HOLD 2", |t| t.approvers[0].quorum = 2)).await;
        a.approvals.answer(&question.id, &by("grace"), Say::Approve, "").await.unwrap();
        a.approvals.answer(&quorum.id, &by("grace"), Say::Approve, "").await.unwrap();
        let again = a.approvals.answer(&quorum.id, &by("Grace"), Say::Approve, "").await;
        assert!(matches!(again, Err(AnswerError::Twice(_))), "{again:?}");
        // In a group counts the person, not what their token is called.
        let bobs = a.ask(&a.hold("DELETE HOLD 3", |t| t.approvers[0].group = Arc::from("bobs"))).await;
        let named = by_chain(&[link(Human, "mallory"), link(Human, "bob"), link(Token, "v")]);
        let said = a.approvals.answer(&bobs.id, &named, Say::Approve, "").await;
        assert!(matches!(said, Err(AnswerError::NotInGroup { .. })), "{said:?}");
        let person = by_chain(&[link(Human, "bob"), link(Human, "phone"), link(Token, "v")]);
        a.approvals.answer(&bobs.id, &person, Say::Approve, "").await.unwrap();
    })
    .await;
}

/// What an approver says reaches a client's terminal as text.
/// Whoever has approved something is contained, and the act has not reached the state: it is not spent.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_contained_have_approved_is_not_spent() {
    on_both(|a, b| async move {
        let folder = tempfile::tempdir().unwrap();
        let contained = Arc::new(Containment::open(folder.path()).unwrap());
        let a = Gateway { approvals: a.approvals.clone().heeding(&contained), ..a };
        let token = link(IdentityKind::Token, "tok-1");
        for (number, called) in ["grace", "tok-1", "h-grace"].into_iter().enumerate() {
            let hold = a.hold(&format!("DELETE HOLD {number}"), |_| {});
            let question = a.ask(&hold).await;
            let chain = [link(IdentityKind::Human, "grace"), token.clone()];
            b.approvals.answer(&question.id, &by_chain(&chain), Say::Approve, "yes").await.unwrap();
            let one = Contained {
                id: format!("cn-{number}"),
                of: Of::Identity,
                name: called.to_owned(),
                ids: Vec::new(),
                since: String::new(),
                by: String::new(),
                reason: String::new(),
                blocks: true,
            };
            contained.add(one);
            assert!(a.approvals.spend(&hold, &question).await.is_err(), "{called}");
            assert_eq!(a.state_of(&question.id).await, "withdrawn");
            assert_eq!(a.told_of(&question.id, "approval.withdrawn"), 1);
            contained.lift(&format!("cn-{number}"), false).unwrap();
        }
        let hold = a.hold("DELETE HOLD", |_| {});
        let question = a.ask(&hold).await;
        b.approvals.answer(&question.id, &by("grace"), Say::Approve, "yes").await.unwrap();
        assert!(a.approvals.spend(&hold, &question).await.is_ok(), "nobody of them is contained any more");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_moves_no_cursor() {
    with_back_door(|a, back| async move {
        let _served = back;
        let question = a.ask(&a.hold("DELETE HOLD", |_| {})).await;
        let reason = "not\nnow\u{1b}[2J\u{9b}31m\u{202e}it\r";
        a.approvals.answer(&question.id, &by("grace"), Say::Deny, reason).await.unwrap();
        let reason = "not now [2J 31m it".to_owned();
        let refused = ApprovalError::Refused { id: question.id.clone(), reason };
        assert_eq!(a.approvals.wait(&question, 0).await, Err(refused));
    })
    .await;
}

/// Gateways that find an empty database at the same moment all have their tables.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_start_together_make_the_tables_once() {
    let server = shared();
    for _ in 0..10 {
        let all = (0..12).map(|_| {
            let state = State::shared(server.place("app", "shop").url());
            tokio::spawn(async move { state.glance("").await.map_err(|e| e.to_string()) })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), Ok(None));
        }
        server.sql("shop", "drop table approvals, votes").unwrap();
    }
}
