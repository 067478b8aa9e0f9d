//! READ FIRST. The way of every command: 1 authorize → 2 hold → 3 record the intent → 4 make it durable: the permit … and the
//! outcome, recorded before the client hears of it. ([`estimate`] comes before 1, because rules may ask for it.)
//!
//! Straight-line code on purpose: the order is the security property. Each stage takes what the stage before it made, so
//! leaving one out does not compile. There is no other way to a `Permit`, and without one no byte of a command reaches a target
//! (what belongs to none, such as Flush and the login, goes through `Admission::forward`).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use firsthand_model::command::Command;
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::event::{
    CommandChanged, CommandCompleted, CommandDecided, CommandRows, Event, SessionClosed, SessionNoted,
    StreamProgress,
};
use firsthand_model::id::CommandNumber;
use firsthand_model::json::Json;
use firsthand_model::limits::RecordLimits;
use firsthand_model::outcome::{AbandonReason, Outcome};
use firsthand_model::preview::Original;
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Mode;
use firsthand_model::time::MonoMicros;

use crate::admission::Engine;
use crate::breaker::{Broken, Canceller, HoldBreaker};
use crate::foreseen::Behind;
use crate::granted::{self, Under, Used};
use crate::holding::{People, held_in_vain, waits_for_people};
use crate::limited;
use crate::meter::{Meter, Outlasted};
use crate::overtaken::{self, AsDecided};
use crate::own_role;
use crate::permit::{ChangedPiece, Completed, Inner, Permit, RowsPiece, wait_for};
use crate::port::{
    ApprovalError, Ask, Binding, Covering, Hold, IdentityError, MaskPlan, Need, Question, RecordError,
    Ticket, Told, Unveiled, Waiting,
};
use crate::refusal::{Refusal, RefusalKind};
use crate::tally::Tally;
use crate::usage::Purse;
use crate::veil::{veil, veil_reason};

/// The answer to one command: leave to run it, or what to tell the client.
pub type Answer = Result<Permit, Refusal>;

/// What is noted of a limit that was passed where nothing is refused.
pub(crate) const LIMIT: &str = "limit";
/// What a dialect notes when a command that was judged a read would have written.
const TRIPWIRE: &str = "tripwire";
/// How long one batch may ask for estimates of rows. Further commands are decided without one, which rules take for too many
/// rows.
const ESTIMATING_MICROS_MAX: u64 = 6_000_000;

/// What to do where the identity has ended.
const CONNECT_AGAIN: &str = "Connect again with a token that holds; who made this one can make another.";
/// What to do where something is contained.
const ASK_OPERATOR: &str = "Ask the operator.";

/// Commands of one batch that are decided before other sessions have a turn: some ms under many rules.
pub(crate) const IN_A_ROW: usize = 16;

/// An admitted session. Commands are asked here.
pub struct Session {
    pub(crate) engine: Arc<Engine>,
    pub(crate) facts: Arc<SessionFacts>,
    pub(crate) limits: RecordLimits,
    pub(crate) opened: MonoMicros,
    pub(crate) asked: AtomicU64,
    pub(crate) breaker: Arc<HoldBreaker>,
    pub(crate) purse: Arc<Purse>,
    pub(crate) under: Arc<Under>,
    pub(crate) closed: bool,
}

/// Stage 1 done: policy has spoken.
#[derive(Clone)]
pub(crate) struct Authorized {
    number: CommandNumber,
    asked: MonoMicros,
    command: Command,
    pub(crate) decision: Decision,
    /// The identity has ended, or it or the target is contained: refused in every mode.
    pub(crate) over: bool,
    /// A limit is used up.
    pub(crate) limited: bool,
    /// How its reply is masked, and with which tools values are found.
    plan: MaskPlan,
    estimated_rows: Option<u64>,
    /// Of what waits for a person.
    pub(crate) as_it_came: Option<Box<AsItCame>>,
    /// The grant that covers it.
    pub(crate) grant: Option<Covering>,
}

impl Authorized {
    /// What is given leave before the rest of its batch may have to wait, with the command as it came.
    fn as_decided(&self, command: Command) -> Option<Box<AsDecided>> {
        let leave = self.as_it_came.is_none() && (self.decision.verdict != Verdict::Deny || !self.over);
        let (decision, grant) = (self.decision.clone(), self.grant.clone());
        let (number, estimated_rows) = (self.number, self.estimated_rows);
        leave.then(|| Box::new(AsDecided { number, command, estimated_rows, decision, grant, binding: None }))
    }

    /// What is told where it is denied: `what` was refused.
    pub(crate) fn refusal(&self, what: &str) -> Refusal {
        let kind = if self.limited { RefusalKind::Limit } else { RefusalKind::Denied };
        Refusal { kind, ..denied(&self.decision, what) }
    }

    /// What people are asked about.
    pub(crate) fn hold(&self, came: &AsItCame, session: &Arc<SessionFacts>) -> Hold {
        let (number, decision, command) = (self.number, self.decision.clone(), self.command.clone());
        let (binding, original) = (came.binding, came.original().cloned());
        let (session, unveiled) = (Arc::clone(session), Unveiled::of(&came.command, &command));
        Hold { session, number, decision, command, binding, original, unveiled }
    }
}

/// A command that waits for a person, as it came: what is approved is decided again, and is bound to that.
#[derive(Clone)]
pub(crate) struct AsItCame {
    command: Command,
    binding: Binding,
}

impl AsItCame {
    fn original(&self) -> Option<&Arc<Original>> {
        self.command.original.as_ref()
    }
}

/// Stage 2 done: nobody needs to be waited for any more.
struct Cleared {
    authorized: Authorized,
    waiting: Waited,
    /// What a call to the gateway itself is answered.
    told: Option<Told>,
}

impl Cleared {
    fn new(authorized: Authorized, waiting: Waited) -> Self {
        Self { authorized, waiting, told: None }
    }
}

/// What waiting for people came to.
enum Waited {
    /// Nobody was waited for.
    Not,
    /// The approval that was spent.
    Approved(String),
    /// They said no, or not in time, or it is no longer what they were asked about.
    InVain(Refusal),
}

/// Stage 3 done: the intent (or the refusal) is in the log's queue, its place fixed.
pub(crate) struct Recorded {
    ticket: Ticket,
    must_be_durable_first: bool,
    pub(crate) permit: Answer,
    /// Of what may have to be decided once more.
    pub(crate) as_decided: Option<Box<AsDecided>>,
}

impl Session {
    /// Asks for a batch of commands: each is decided by itself, in order; one wait makes all their intents durable.
    /// The answers come in the same order. The future owns what it needs, so the session can go on completing earlier
    /// commands meanwhile.
    ///
    /// Not cancel-safe in effect: a dropped future leaves intents that are recorded as abandoned, and a held command is
    /// recorded as one that nobody approved.
    pub fn submit(&self, commands: Vec<Command>) -> impl Future<Output = Vec<Answer>> + Send + use<> {
        let first = self.asked.fetch_add(commands.len() as u64, Relaxed) + 1;
        let (engine, facts, limits) = (Arc::clone(&self.engine), Arc::clone(&self.facts), self.limits);
        let (breaker, purse) = (Arc::clone(&self.breaker), Arc::clone(&self.purse));
        let under = Arc::clone(&self.under);
        async move {
            let mut batch = Batch(Vec::with_capacity(commands.len()));
            let begun = engine.clock.mono();
            let (mut people, mut commands) = (People::default(), commands.into_iter());
            for number in (first..).map(CommandNumber) {
                let Some(command) = commands.next() else { break };
                if !batch.0.is_empty() && batch.0.len().is_multiple_of(IN_A_ROW) {
                    give_way().await;
                }
                let rows = estimate(&engine, &facts, &command, begun).await;
                let holding =
                    Holding { engine: &engine, facts: &facts, purse: &purse, under: &under, limits, begun };
                let behind = commands.as_slice();
                let as_it_came = (!behind.is_empty()).then(|| command.clone());
                let authorized = authorize(holding, (number, Turn::First), command, rows);
                let as_decided = as_it_came.and_then(|command| authorized.as_decided(command));
                let around = Around { front: &mut batch.0, behind };
                let cleared = hold(holding, &breaker, &mut people, authorized, around).await;
                let cleared = use_grant(holding, cleared).await;
                batch.0.push(Recorded { as_decided, ..record_intent(holding, cleared) });
            }
            make_durable(&engine, batch).await
        }
    }

    /// Records how a command ended; the permit is used up. The message that ends it can only be made from what this
    /// returns, and waits for the entry.
    ///
    /// # Errors
    /// When the log does not take the outcome: the client must not be told how it ended.
    pub fn complete(&self, permit: Permit, mut outcome: Outcome) -> Result<Completed, RecordError> {
        let Some(mut inner) = permit.take() else { return Ok(Completed { after: None }) };
        let (number, intent, asked, before) = (inner.number, inner.intent, inner.asked, inner.before);
        let tally = &self.engine.tally;
        Tally::add(&tally.rows, outcome.rows);
        Tally::add(&tally.bytes, outcome.bytes);
        if outcome.code.is_some() {
            Tally::one(&tally.commands_failed);
        }
        let duration_us = self.engine.clock.mono().since(asked);
        let passed = match inner.meter.take() {
            Some(meter) => meter.settle(&mut outcome, duration_us),
            None => {
                self.purse.add(&outcome.amounts());
                None
            }
        };
        let event = Event::CommandCompleted(Box::new(CommandCompleted {
            facts: Arc::clone(&self.facts),
            number,
            intent: intent.0,
            outcome,
            before,
            duration_us,
        }));
        match self.engine.recorder.append(event, Need::Fact) {
            Ok(ticket) => {
                if let Some(passed) = passed {
                    let _ = self.note(LIMIT, passed)?;
                }
                Ok(Completed { after: wait_for(&self.facts, ticket) })
            }
            Err(e) => {
                // The client is not told how it ended, and the record tells that much: one outcome each.
                inner.abandon(AbandonReason::NotRecorded);
                Err(e)
            }
        }
    }

    /// Records a piece of a command's rows.
    ///
    /// # Errors
    /// When the log does not take it: the command must then end without its reply.
    pub fn record_rows(&self, number: CommandNumber, piece: RowsPiece) -> Result<(), RecordError> {
        let RowsPiece { first_row, rows, columns, values } = piece;
        let facts = Arc::clone(&self.facts);
        let event =
            Event::CommandRows(Box::new(CommandRows { facts, number, first_row, rows, columns, values }));
        self.engine.recorder.append(event, Need::Fact).map(drop)
    }

    /// Records rows that a command changed.
    ///
    /// # Errors
    /// When the log does not take it: the command must then end without its reply.
    pub fn record_changed(&self, number: CommandNumber, piece: ChangedPiece) -> Result<(), RecordError> {
        let ChangedPiece { table, action, how, first, rows, count, coverage, columns, old, new } = piece;
        let facts = Arc::clone(&self.facts);
        let changed = CommandChanged {
            facts,
            number,
            table,
            action,
            how,
            first,
            rows,
            count,
            coverage,
            columns,
            old,
            new,
        };
        self.engine.recorder.append(Event::CommandChanged(Box::new(changed)), Need::Fact).map(drop)
    }

    /// Records how far a long transfer is.
    ///
    /// # Errors
    /// When the log does not take it.
    pub fn record_progress(&self, number: CommandNumber, rows: u64, bytes: u64) -> Result<(), RecordError> {
        let facts = Arc::clone(&self.facts);
        let event = Event::Stream(Box::new(StreamProgress { facts, number, bytes, rows }));
        self.engine.recorder.append(event, Need::Fact).map(drop)
    }

    /// Ends the waiting of a held command, if there is one: the client cancelled it or has left. The command is then
    /// refused and recorded as such.
    pub fn break_hold(&self, why: Broken) {
        self.breaker.break_now(why);
    }

    /// Whether a command waits for a person.
    pub fn is_holding(&self) -> bool {
        self.breaker.is_waiting()
    }

    /// Nothing of the session is under way: what it did has been committed or rolled back.
    pub fn settled(&self) {
        self.under.clear();
    }

    /// What the client reads, and more for the record, where the grant is over whose role the session has: then it ends.
    pub fn lost_role(&self) -> Option<(Refusal, String)> {
        let (grant, why) = self.engine.role_is_over(&self.facts)?;
        Some((own_role::lost(&grant, why), format!("grant {grant} {why}")))
    }

    /// What becomes of what runs, or of the transaction that is open, where the grant that it ran under is over.
    pub fn lost_grant(&self) -> Option<Outlasted> {
        let (grant, why) = self.under.lost(&self.engine, self.engine.clock.now())?;
        (self.facts.mode == Mode::Enforce).then(|| granted::cut_off(&grant, why))
    }

    /// Records something that belongs to no command. What it returns may be used to tell the client of it.
    ///
    /// # Errors
    /// When the log does not take it.
    pub fn note(&self, what: &'static str, detail: Json) -> Result<Completed, RecordError> {
        if what == TRIPWIRE {
            Tally::one(&self.engine.tally.tripwires);
        }
        let event =
            Event::SessionNoted(Box::new(SessionNoted { facts: Arc::clone(&self.facts), what, detail }));
        let ticket = self.engine.recorder.append(event, Need::Fact)?;
        Ok(Completed { after: wait_for(&self.facts, ticket) })
    }

    /// What a cancel request, which comes over a connection of its own, may do to this session.
    pub fn canceller(&self) -> Canceller {
        Canceller {
            engine: Arc::clone(&self.engine),
            facts: Arc::clone(&self.facts),
            breaker: Arc::clone(&self.breaker),
        }
    }

    /// The role in force has changed: entries from now on say so.
    pub fn set_role(&mut self, role: &str) {
        if self.facts.role != role {
            self.facts = Arc::new(self.facts.with_role(role));
        }
    }

    /// The session's facts.
    pub fn facts(&self) -> &Arc<SessionFacts> {
        &self.facts
    }

    /// The engine it runs in.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Records its end.
    pub fn close(mut self, why: &'static str, detail: String) {
        self.end(why, detail);
    }

    fn end(&mut self, why: &'static str, detail: String) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        Tally::one(&self.engine.tally.sessions_closed);
        let event = Event::SessionClosed(Box::new(SessionClosed {
            duration_us: self.engine.clock.mono().since(self.opened),
            commands: self.asked.load(Relaxed),
            facts: Arc::clone(&self.facts),
            why,
            detail,
        }));
        // An error is not lost: the log is stopped then, and recovery closes sessions that have no end.
        let _ = self.engine.recorder.append(event, Need::End);
    }
}

impl Drop for Session {
    /// Whoever was being let in may be given up at any await: the session's end is in the record all the same.
    fn drop(&mut self) {
        self.end("dropped", String::new());
    }
}

/// Lets others have a turn.
pub(crate) async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Before stage 1, and only where the rules ask for it: how many rows the target thinks that the command touches. Deciding
/// itself asks nobody.
pub(crate) async fn estimate(
    engine: &Arc<Engine>,
    facts: &SessionFacts,
    command: &Command,
    begun: MonoMicros,
) -> Option<u64> {
    if !engine.policy.wants_estimate(facts, command)
        || engine.clock.mono().since(begun) >= ESTIMATING_MICROS_MAX
    {
        return None;
    }
    engine.estimator.estimate(engine, facts, command).await
}

/// Whether a command is decided for the first time, or once more.
#[derive(Clone, Copy)]
pub(crate) enum Turn<'a> {
    First,
    /// Before its approval is spent.
    Again,
    /// To see what would become of it, while something in front of it waits for a person.
    Foreseen,
    /// Because what was sent behind it has waited for a person. Its grant has counted it already.
    Overtaken(Option<&'a Covering>),
}

/// Stage 1. Policy decides; an identity that no longer holds, or that is contained, is denied whatever policy says.
pub(crate) fn authorize(
    holding: Holding<'_>,
    (number, turn): (CommandNumber, Turn<'_>),
    mut command: Command,
    estimated_rows: Option<u64>,
) -> Authorized {
    let Holding { engine, facts, under, .. } = holding;
    let (now, asked) = (engine.clock.now(), engine.clock.mono());
    let grant = match turn {
        Turn::Overtaken(Some(grant)) if engine.grants.over(&grant.id, now).is_none() => Some(grant.clone()),
        _ => engine.grants.covers(facts, &command, now),
    };
    let granted = grant.is_some();
    let ask = Ask { session: facts, command: &command, now, estimated_rows, granted };
    let mut decision = engine.policy.decide(&ask);
    decision = granted::called(&command, &decision).unwrap_or(decision);
    granted::bind(engine, facts, &command, (grant.as_ref(), under), &mut decision, now);
    let ended = engine.identity.recheck(&facts.identity, now).err();
    let over = match &ended {
        Some(IdentityError::Contained) => {
            Some(("contained", IdentityError::Contained.to_string(), ASK_OPERATOR))
        }
        Some(e) => Some(("identity", e.to_string(), CONNECT_AGAIN)),
        None if engine.targets.is_contained(&facts.target) => {
            Some(("contained", "an administrator has contained this target".to_owned(), ASK_OPERATOR))
        }
        None => None,
    };
    if let Some((rule, reason, advice)) = &over {
        decision.verdict = Verdict::Deny;
        decision.rule = Arc::from(*rule);
        decision.reason = Arc::from(reason.as_str());
        decision.advice = Arc::from(*advice);
    }
    let limited = limited::refuses(holding, &command, (now, asked), turn, &mut decision);
    let as_it_came = waits_for_people(facts, &command, &decision).then(|| {
        let binding = engine.approver.binding(facts, &command, &decision);
        Box::new(AsItCame { command: command.clone(), binding })
    });
    // It holds what the record must not.
    command.original = None;
    let plan = engine.masker.plan(&decision.obligations);
    if let Some(values) = &plan.values {
        // Policy has read the original; whoever reads on (an approver, the record) needs no values.
        veil(&mut command, &**values);
        veil_reason(&mut decision, &**values);
    }
    Authorized {
        number,
        asked,
        command,
        decision,
        over: over.is_some(),
        limited,
        plan,
        estimated_rows,
        as_it_came,
        grant,
    }
}

/// What stage 2 works with.
#[derive(Clone, Copy)]
pub(crate) struct Holding<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) facts: &'a Arc<SessionFacts>,
    pub(crate) purse: &'a Arc<Purse>,
    under: &'a Arc<Under>,
    limits: RecordLimits,
    /// When the batch was asked: it waits for people once, not for each of its commands.
    pub(crate) begun: MonoMicros,
}

/// What was sent together with a command: decided before it, and what has not had its turn.
struct Around<'a> {
    front: &'a mut [Recorded],
    behind: &'a [Command],
}

/// Stage 2. What policy holds waits for a person: ask, wait, decide again, spend. Without an approval it is refused. Nothing is
/// spent where anything of the batch is known not to run: what was refused in front, by people, or will be behind.
async fn hold(
    holding: Holding<'_>,
    breaker: &HoldBreaker,
    people: &mut People,
    authorized: Authorized,
    around: Around<'_>,
) -> Cleared {
    let Some(came) = &authorized.as_it_came else {
        return Cleared::new(authorized, Waited::Not);
    };
    let engine = holding.engine;
    let mut held = Held { holding, authorized: Some(authorized.clone()) };
    let answer = match people.answer(authorized.number) {
        Some(answer) => answer,
        None => {
            wait(holding, breaker, people, &authorized, came, around).await;
            people.answer(authorized.number).unwrap_or(Err(ApprovalError::Unreachable))
        }
    };
    let cleared = match answer {
        Ok((hold, question)) => spend(holding, people, &authorized, came, &hold, &question).await,
        Err(e) => {
            let waiting = Waited::InVain(held_in_vain(&authorized.decision, &e));
            Cleared::new(authorized, waiting)
        }
    };
    if !matches!(cleared.waiting, Waited::Approved(_)) {
        people.keep_the_rest(engine).await;
    }
    held.authorized = None;
    cleared
}

/// The waiting itself. What stands in front is decided once more when it is over, before anything is spent.
async fn wait(
    holding: Holding<'_>,
    breaker: &HoldBreaker,
    people: &mut People,
    authorized: &Authorized,
    came: &AsItCame,
    Around { front, behind }: Around<'_>,
) {
    overtaken::bind(holding, front);
    let names = overtaken::definitions(front).chain(came.original().and_then(|o| o.definitions.clone()));
    let names: Vec<_> = names.collect();
    let (first, place) = (authorized.number, front.len() + 1);
    let behind = Behind { first, place, commands: behind, grant: authorized.grant.as_ref() };
    let asking = people.ask(holding, authorized.hold(came, holding.facts), behind, names);
    if let Err(broken) = breaker.unless_broken(asking).await {
        people.leave(broken);
    }
    // Where nobody was waited for, nothing in front is overtaken.
    if people.were_asked() && !overtaken::decide_again(holding, front, people).await {
        people.keep_the_rest(holding.engine).await;
    }
}

/// The end of stage 2. What was approved runs only if it is still what policy holds: decided once more, and bound to the same.
/// Then one spends the approval.
async fn spend(
    holding: Holding<'_>,
    people: &People,
    authorized: &Authorized,
    came: &AsItCame,
    hold: &Hold,
    question: &Question,
) -> Cleared {
    let Holding { engine, .. } = holding;
    // Time has passed: what its names stand for was looked up anew, so that the digest tells of it.
    let looked = people.knows(came.original().and_then(|original| original.definitions.as_ref()));
    let (number, rows) = (authorized.number, authorized.estimated_rows);
    let again = authorize(holding, (number, Turn::Again), came.command.clone(), rows);
    if again.decision.verdict == Verdict::Deny {
        return Cleared::new(again, Waited::Not);
    }
    let same = again.as_it_came.as_ref().is_some_and(|came| came.binding == hold.binding);
    let spent = match (looked, same) {
        (true, true) => engine.approver.spend(hold, question).await,
        (true, false) => Err(ApprovalError::Changed(question.id.clone())),
        (false, _) => {
            engine.approver.keep(question).await;
            Err(ApprovalError::Unlooked(question.id.clone()))
        }
    };
    let waiting = match spent {
        Ok(_) => Waited::Approved(question.id.clone()),
        Err(e) => Waited::InVain(held_in_vain(&again.decision, &e)),
    };
    Cleared::new(again, waiting)
}

/// A command that waits for a person. Its session may end meanwhile: then it is recorded as what it is, held and not run.
struct Held<'a> {
    holding: Holding<'a>,
    /// `None` once the waiting is over.
    authorized: Option<Authorized>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(authorized) = self.authorized.take() else { return };
        let left = ApprovalError::Broken(Broken::ClientLeft);
        let waiting = Waited::InVain(held_in_vain(&authorized.decision, &left));
        drop(record_intent(self.holding, Cleared::new(authorized, waiting)));
    }
}

/// Behind stage 2, of what would be given leave now: a grant for so many commands counts it, and what is asked of the gateway
/// itself is done.
async fn use_grant(holding: Holding<'_>, mut cleared: Cleared) -> Cleared {
    let Authorized { number, command, decision, grant, .. } = &cleared.authorized;
    let counts = grant.as_ref().is_some_and(|grant| grant.counts);
    let leave = match (&cleared.waiting, decision.verdict) {
        (Waited::InVain(_), _) | (_, Verdict::Deny) => false,
        (Waited::Approved(_), _) | (Waited::Not, Verdict::Allow | Verdict::Hold) => true,
    };
    if !leave || (command.access.is_none() && !counts) {
        return cleared;
    }
    let used = granted::used(holding.engine, holding.facts, *number, command, grant.as_ref()).await;
    match used {
        Used::Yes => {}
        Used::Told(told) => cleared.told = Some(told),
        Used::No(refusal) => {
            // Where refusals are not enforced, there is no answer to give in its place.
            cleared.authorized.over |= command.access.is_some();
            let decision = &mut cleared.authorized.decision;
            decision.verdict = Verdict::Deny;
            decision.rule = Arc::from(granted::RULE);
            decision.reason = Arc::from(refusal.message.as_str());
            cleared.waiting = Waited::InVain(refusal);
        }
    }
    cleared
}

/// Stage 3. The intent and the decision go into the log. Nothing is forwarded that the log did not take.
fn record_intent(holding: Holding<'_>, cleared: Cleared) -> Recorded {
    let Holding { engine, facts, purse, under, limits, .. } = holding;
    let Cleared { authorized, waiting, told } = cleared;
    let Authorized { number, asked, command, decision, over, limited, plan, estimated_rows, grant, .. } =
        authorized;
    let kind = if limited { RefusalKind::Limit } else { RefusalKind::Denied };
    let (approval, refusal) = match (decision.verdict, waiting) {
        (_, Waited::InVain(refusal)) => (None, Some(refusal)),
        (Verdict::Deny, _) => (None, Some(Refusal { kind, ..denied(&decision, "this command") })),
        (_, Waited::Approved(id)) => (Some(id), None),
        // What is held runs with an approval alone, whatever the stage before has made of it.
        (Verdict::Hold, Waited::Not) if waits_for_people(facts, &command, &decision) => {
            (None, Some(held_in_vain(&decision, &ApprovalError::Unreachable)))
        }
        (Verdict::Allow | Verdict::Hold, Waited::Not) => (None, None),
    };
    // Observing lifts what policy says. It lets nobody in who has ended or is contained.
    let refusal = refusal.filter(|_| facts.mode == Mode::Enforce || over);
    let must_be_durable_first = !command.shape.plain_read;
    let before = command.transaction;
    let grant = grant.map(|grant| grant.id);
    if let Some(grant) = grant.as_ref().filter(|_| refusal.is_none() && granted::binds(&command)) {
        under.add(grant);
    }
    let meter = Meter::of(decision.obligations.limits.as_ref(), purse, facts.mode == Mode::Enforce, limited);
    let event = Event::CommandDecided(Box::new(CommandDecided {
        facts: Arc::clone(facts),
        number,
        command,
        decision,
        approval,
        grant,
        estimated_rows,
        permitted: refusal.is_none(),
    }));
    let ticket = match engine.recorder.append(event, Need::Intent) {
        Ok(ticket) => ticket,
        Err(_) => {
            Tally::one(&engine.tally.commands_refused);
            let permit = Err(Refusal::not_recorded());
            // Nothing is in the log, so there is nothing to wait for.
            return Recorded { ticket: Ticket(0), must_be_durable_first: false, permit, as_decided: None };
        }
    };
    if let Some(refusal) = refusal {
        Tally::one(&engine.tally.commands_refused);
        let must = wait_for(facts, ticket).is_some();
        return Recorded { ticket, must_be_durable_first: must, permit: Err(refusal), as_decided: None };
    }
    Tally::one(&engine.tally.commands_permitted);
    let must_be_durable_first = must_be_durable_first && wait_for(facts, ticket).is_some();
    let (engine, facts) = (Arc::clone(engine), Arc::clone(facts));
    let inner = Inner {
        engine,
        facts,
        number,
        intent: ticket,
        asked,
        before,
        limits,
        plan,
        meter,
        told,
        forwarded: false,
    };
    let permit = Ok(Permit { inner: Some(Box::new(inner)) });
    Recorded { ticket, must_be_durable_first, permit, as_decided: None }
}

/// Stage 4. One wait for the whole batch: what can change something is durable before its permit exists for the caller.
async fn make_durable(engine: &Engine, mut batch: Batch) -> Vec<Answer> {
    let last = batch.0.iter().filter(|r| r.must_be_durable_first).map(|r| r.ticket).max();
    let Some(last) = last else { return batch.answers() };
    let mut waiting = Waiting::default();
    let durable = poll_fn(|cx| engine.recorder.poll_durable(last, Need::Intent, &mut waiting, cx)).await;
    if durable.is_ok() {
        return batch.answers();
    }
    // Not durable in time, or the log has stopped: nothing of the batch may run (its permits are recorded as abandoned and
    // not forwarded, should the log come back), and no rule is named that the record may never name.
    let none = batch.0.iter().map(|_| Err(Refusal::not_recorded())).collect();
    batch.abandon(AbandonReason::NotRecorded);
    none
}

/// What is recorded of a batch that is not answered yet. Its session may end meanwhile: then it is abandoned as what it is.
struct Batch(Vec<Recorded>);

impl Batch {
    fn answers(mut self) -> Vec<Answer> {
        std::mem::take(&mut self.0).into_iter().map(|r| r.permit).collect()
    }

    fn abandon(&mut self, why: AbandonReason) {
        self.0.drain(..).filter_map(|r| r.permit.ok()).for_each(|permit| permit.abandon(why));
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.abandon(AbandonReason::SessionEnded);
    }
}

/// What is said where policy knows nothing better: an agent that reads no way out looks for a way around.
pub(crate) const NO_ADVICE: &str = "Ask the operator for a rule that allows it, or a person to run it.";

/// What is told of a no: `what` was refused.
pub(crate) fn denied(decision: &Decision, what: &str) -> Refusal {
    let Decision { reason, rule, policy, .. } = decision;
    let advice = if decision.advice.is_empty() { NO_ADVICE } else { &*decision.advice };
    // The message is all that reaches a model through MCP servers, so what to do next stands there, too.
    let message = format!("Firsthand refused {what}: {reason} (rule {rule}). {advice}");
    let mut refusal = Refusal::new(RefusalKind::Denied, message)
        .detail(format!("Rule {rule} of policy {policy}: {reason}."))
        .hint(advice);
    refusal.rule = Arc::clone(rule);
    refusal
}
