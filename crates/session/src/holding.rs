//! Asking people about what is held of one batch, and what the client is told when that ends without leave to run.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use firsthand_model::command::{Command, Step};
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::id::CommandNumber;
use firsthand_model::preview::Definitions;
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Mode;
use firsthand_model::time::MonoMicros;

use crate::admission::Engine;
use crate::breaker::Broken;
use crate::foreseen::{Behind, foresee};
use crate::pipeline::{Holding, NO_ADVICE};
use crate::port::{ApprovalError, Hold, Question};
use crate::refusal::{Refusal, RefusalKind};

/// Whether a command waits for a person. Observing refuses nothing, so nobody is waited for; nothing runs when a statement is
/// only prepared.
pub(crate) fn waits_for_people(facts: &SessionFacts, command: &Command, decision: &Decision) -> bool {
    decision.verdict == Verdict::Hold && facts.mode == Mode::Enforce && command.step == Step::Run
}

/// What came of asking about one held command.
pub(crate) type Asked = Result<(Hold, Question), ApprovalError>;

/// Held commands of one batch that people are asked about: more than anybody looks through at once.
const TOGETHER_MAX: usize = 32;

/// What people say of the held commands of one batch.
#[derive(Default)]
pub(crate) struct People {
    asked: Vec<(CommandNumber, Asked)>,
    /// More are held than anybody looks through: none of them is asked about.
    too_many: bool,
    /// Something of it cannot run: none of it is asked about.
    beside: Option<ApprovalError>,
    /// The client cancelled or left meanwhile: nobody is asked about anything any more.
    broken: Option<Broken>,
    /// Definitions that were looked up anew once the waiting was over, and whether they could be.
    looked: Vec<(Arc<dyn Definitions>, bool)>,
}

impl People {
    /// What they said of this command; `None`: they were not asked.
    pub(crate) fn answer(&mut self, number: CommandNumber) -> Option<Asked> {
        if let Some(broken) = self.broken {
            return Some(Err(ApprovalError::Broken(broken)));
        }
        if self.too_many {
            return Some(Err(ApprovalError::TooMany));
        }
        match self.asked.iter().position(|(asked, _)| *asked == number) {
            Some(at) => Some(self.asked.swap_remove(at).1),
            None => self.beside.clone().map(Err),
        }
    }

    /// Nobody waits any more: what was asked is withdrawn.
    pub(crate) fn leave(&mut self, broken: Broken) {
        self.broken = Some(broken);
        self.asked.clear();
    }

    /// Whether anybody was waited for.
    pub(crate) const fn were_asked(&self) -> bool {
        self.beside.is_none() && !self.too_many
    }

    /// Whether the client cancelled or left.
    pub(crate) const fn left(&self) -> Option<Broken> {
        self.broken
    }

    /// Whether what a command's names stand for is known as it is now.
    pub(crate) fn knows(&self, definitions: Option<&Arc<dyn Definitions>>) -> bool {
        definitions.is_none_or(|wanted| {
            self.looked.iter().any(|(looked, known)| *known && Arc::ptr_eq(looked, wanted))
        })
    }

    /// Asks about a held command and those behind it that will be held, and waits for all the answers: whoever approves sees
    /// what was sent together, and nothing of it runs before all of it is approved. Nobody is asked where something of it cannot run
    /// anyway. Then looks up what the names of it stand for by now, those of `names` among them.
    pub(crate) async fn ask(
        &mut self,
        holding: Holding<'_>,
        first: Hold,
        behind: Behind<'_>,
        names: Vec<Arc<dyn Definitions>>,
    ) {
        let Holding { engine, begun, .. } = holding;
        let mut holds = vec![first];
        match foresee(holding, &behind).await {
            Ok(more) => holds.extend(more),
            Err(beside) => {
                self.beside = Some(beside);
                return;
            }
        }
        self.too_many = holds.len() > TOGETHER_MAX;
        if self.too_many {
            return;
        }
        let Some(mut asked) = self.ask_all(engine, holds, &behind).await else { return };
        wait_for_all(engine, &mut asked, begun).await;
        self.asked.append(&mut asked);
        let behind_too = behind.commands.iter().filter_map(|c| c.original.as_ref()?.definitions.clone());
        self.look(names.into_iter().chain(behind_too)).await;
        if !self.are_same(holding, &behind).await {
            self.keep_the_rest(engine).await;
        }
    }

    /// `None`: one of them cannot be asked about. The others are not either; questions that nobody was told of are withdrawn.
    async fn ask_all(
        &mut self,
        engine: &Engine,
        holds: Vec<Hold>,
        behind: &Behind<'_>,
    ) -> Option<Vec<(CommandNumber, Asked)>> {
        let mut asked = Vec::with_capacity(holds.len());
        for hold in holds {
            let number = hold.number;
            match ask(engine, &hold).await {
                Ok(question) => asked.push((number, Ok((hold, question)))),
                Err(e) => {
                    self.beside = Some(behind.beside(number, &held_in_vain(&hold.decision, &e)));
                    if asked.is_empty() {
                        self.asked.push((number, Err(e)));
                    }
                    return None;
                }
            }
        }
        Some(asked)
    }

    /// Each is looked up once.
    async fn look(&mut self, names: impl Iterator<Item = Arc<dyn Definitions>>) {
        self.looked.clear();
        for definitions in names {
            if !self.looked.iter().any(|(looked, _)| Arc::ptr_eq(looked, &definitions)) {
                let known = definitions.look().await;
                self.looked.push((definitions, known));
            }
        }
    }

    /// Whether all of those behind will run, as people were asked about them.
    async fn are_same(&self, holding: Holding<'_>, behind: &Behind<'_>) -> bool {
        let Ok(again) = foresee(holding, behind).await else { return false };
        let asked = self.asked.iter().filter(|(number, _)| *number > behind.first);
        let asked: Vec<&Hold> = asked.filter_map(|(_, asked)| Some(&asked.as_ref().ok()?.0)).collect();
        let is_same = |hold: &Hold| {
            let definitions = hold.original.as_ref().and_then(|original| original.definitions.as_ref());
            let of = asked.iter().find(|of| of.number == hold.number);
            self.knows(definitions) && of.is_some_and(|of| of.binding == hold.binding)
        };
        again.len() == asked.len() && again.iter().all(is_same)
    }

    /// Something of the batch does not run, so nothing of the rest is spent: it stays approved.
    pub(crate) async fn keep_the_rest(&mut self, engine: &Engine) {
        keep_all(engine, &mut self.asked).await;
    }
}

/// Waits for the answers to all of them. One that is not approved keeps all of them from running.
async fn wait_for_all(engine: &Arc<Engine>, asked: &mut [(CommandNumber, Asked)], begun: MonoMicros) {
    let terms = asked.iter().find_map(|(_, asked)| asked.as_ref().ok()?.0.decision.terms.as_ref());
    // What cannot be asked about keeps all of it from running.
    let all = asked.iter().all(|(_, asked)| asked.is_ok());
    let wait_us = terms.filter(|_| all).map_or(0, |terms| terms.wait_us);
    let mut refused = false;
    for (_, asked) in asked.iter_mut() {
        let Ok((hold, question)) = asked else { continue };
        // Once one of them is refused, its client need not wait for the others.
        let left = if refused { 0 } else { wait_us.saturating_sub(engine.clock.mono().since(begun)) };
        if let Err(e) = wait(engine, hold, question, left).await {
            // Who is told of it may send it again; what is over, or nobody is told of, needs no keeping.
            let pending = matches!(e, ApprovalError::Pending(_));
            if pending && !refused {
                engine.approver.keep(question).await;
            }
            refused |= !pending;
            *asked = Err(e);
        }
    }
    if asked.iter().any(|(_, asked)| asked.is_err()) {
        keep_all(engine, asked).await;
    }
}

async fn keep_all(engine: &Engine, asked: &mut [(CommandNumber, Asked)]) {
    for (_, asked) in asked {
        let Ok((_, question)) = asked else { continue };
        engine.approver.keep(question).await;
        *asked = Err(ApprovalError::Together(question.id.clone()));
    }
}

/// Waits for people. Meanwhile what the command would change is found out and shown to them: they need not wait for it, and nor
/// does the client. Given up, what is tried is rolled back.
async fn wait(
    engine: &Arc<Engine>,
    hold: &Hold,
    question: &Question,
    most_us: u64,
) -> Result<(), ApprovalError> {
    let mut waiting = engine.approver.wait(question, most_us);
    let Some(original) = hold.original.as_deref().filter(|_| question.is_new) else { return waiting.await };
    let mut showing = pin!(async {
        let preview = engine.previewer.preview(engine, &hold.session, &hold.command, original).await;
        engine.approver.show(hold, question, &preview).await;
    });
    let mut shown = false;
    poll_fn(|cx| {
        let answer = waiting.as_mut().poll(cx);
        if answer.is_pending() && !shown {
            shown = showing.as_mut().poll(cx).is_ready();
        }
        answer
    })
    .await
}

async fn ask(engine: &Engine, hold: &Hold) -> Result<Question, ApprovalError> {
    if hold.decision.terms.is_none() {
        return Err(ApprovalError::NobodyToAsk);
    }
    engine.approver.ask(hold).await
}

/// What to do where nobody can say yes.
fn way_out(decision: &Decision) -> &str {
    if decision.advice.is_empty() { NO_ADVICE } else { &decision.advice }
}

/// What the client reads of a hold that ended without leave to run.
pub(crate) fn held_in_vain(decision: &Decision, e: &ApprovalError) -> Refusal {
    let Decision { rule, advice, .. } = decision;
    let way_out = way_out(decision);
    let kind = match e {
        ApprovalError::Beside { kind, .. } => *kind,
        ApprovalError::Pending(_) | ApprovalError::Together(_) => RefusalKind::Pending,
        ApprovalError::Broken(Broken::Draining) => RefusalKind::Draining,
        ApprovalError::Broken(Broken::Cancelled | Broken::ClientLeft) => RefusalKind::Cancelled,
        ApprovalError::TooMany => RefusalKind::Limit,
        ApprovalError::Unreachable | ApprovalError::Unlooked(_) => RefusalKind::Unavailable,
        ApprovalError::Refused { .. }
        | ApprovalError::Over(_)
        | ApprovalError::Changed(_)
        | ApprovalError::SignerGone(_)
        | ApprovalError::NobodyToAsk
        | ApprovalError::Unseen(_) => RefusalKind::Denied,
    };
    let mut refusal = Refusal::new(kind, words(rule, way_out, e));
    match e {
        ApprovalError::Pending(_) => refusal = refusal.hint(&**advice),
        ApprovalError::NobodyToAsk => refusal = refusal.hint(way_out),
        _ => {}
    }
    refusal.rule = Arc::clone(rule);
    refusal
}

/// The message is all that reaches a model through MCP servers, so what to do next stands there, too.
fn words(rule: &str, advice: &str, e: &ApprovalError) -> String {
    match e {
        ApprovalError::Pending(id) => format!(
            "Firsthand holds this command until a person approves it: approval {id} is pending (rule {rule}); it was not run. Send \
             the same statement again once it is approved: it then runs once"
        ),
        ApprovalError::Together(id) => format!(
            "approval {id} of this command is given, and something that was sent together with it is not approved or not allowed any \
             more, so none of it was run and the approval is not used up; send the same statements again once all may run"
        ),
        ApprovalError::Beside { place, why, .. } => format!(
            "Firsthand ran nothing of what was sent together, and asked nobody about it: command {place} of it cannot run. {why}"
        ),
        ApprovalError::Refused { id, reason } => {
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            format!(
                "an approver refused this command (approval {id}, rule {rule}){why}; it was not run, do not send it again as it is"
            )
        }
        ApprovalError::Over(id) => format!(
            "approval {id} of this command has lapsed, was withdrawn or was spent elsewhere (rule {rule}); it was not run; send it \
             again to ask anew"
        ),
        ApprovalError::Changed(id) => format!(
            "approval {id} was given for something else than this would be now: the rules, or definitions in the database, have changed (rule \
             {rule}); the command was not run; send it again to ask anew"
        ),
        ApprovalError::SignerGone(id) => format!(
            "approval {id} of this command was signed by a key that is not configured for its approver any more, so it was withdrawn (rule \
             {rule}); the command was not run; send it again to ask anew"
        ),
        ApprovalError::Broken(Broken::Draining) => {
            "Firsthand is stopping, so this command, which waited for approval, was not run; connect again in a moment".to_owned()
        }
        ApprovalError::Broken(Broken::Cancelled | Broken::ClientLeft) => {
            "canceling statement due to user request while it waited for approval".to_owned()
        }
        ApprovalError::Unlooked(id) => format!(
            "what this command's names stand for could not be looked up at the target, so it was not run, and approval {id} is not used up \
             (rule {rule}); send it again later"
        ),
        ApprovalError::NobodyToAsk => format!(
            "this command needs an approval (rule {rule}), and nobody is in a group that may give it, so it was not run. An operator lists \
             its members in a [[group]] of the rules. {advice}"
        ),
        ApprovalError::Unseen(what) => format!(
            "this command needs an approval (rule {rule}), and nobody could see all of it ({what}), so it was not run; send it as one \
             plain and shorter statement"
        ),
        ApprovalError::TooMany => format!(
            "this command needs an approval (rule {rule}), and too many already wait for one, or were sent together, so it was not run; \
             send it again later, or fewer at a time"
        ),
        ApprovalError::Unreachable => format!(
            "this command needs an approval (rule {rule}), and Firsthand cannot reach its approvals, so it was not run; try again \
             later, and ask the operator to look at the gateway's messages"
        ),
    }
}
