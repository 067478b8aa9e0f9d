//! Commands under a grant (just-in-time access): what needs one, what has lost the one it ran under, and calls to the gateway itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use firsthand_model::command::{Command, Effects, Step};
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::id::CommandNumber;
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::Transaction;
use firsthand_model::session::{RoleOf, SessionFacts};
use firsthand_model::time::UnixMicros;

use crate::admission::Engine;
use crate::meter::Outlasted;
use crate::port::{Covering, Told};
use crate::refusal::{Refusal, RefusalKind};

/// The rule that is named where a grant decides.
pub(crate) const RULE: &str = "grant";
/// The rule that lets calls to the gateway itself through.
const CALL_RULE: &str = "firsthand.access";
/// What brings data of others for as long as a session lasts.
const LISTEN: &str = "LISTEN";
/// What to do where a grant is missing or over. Agents read it, so it can be sent as it stands.
const ASK: &str = "Ask for access: SELECT firsthand.request_access('1h', 'read', 'why it is needed'), with the effects that are needed \
                   ('read,write'); once a person has approved it, send the statement again. SELECT firsthand.access_status() tells how it is.";

/// The same, where a grant has a role of its own, which a session cannot change.
const ASK_AND_RECONNECT: &str = "Ask for access: SELECT firsthand.request_access('1h', 'read', 'why it is needed'), with the effects that \
                   are needed ('read,write'); once a person has approved it, connect again and send the statement: here a session runs under \
                   the grant that was in force when it connected. SELECT firsthand.access_status() tells how it is.";

/// The grants under which a session has done something that may not be over: it runs, or its transaction is open.
#[derive(Default)]
pub(crate) struct Under(Mutex<Vec<Arc<str>>>);

impl Under {
    fn grants(&self) -> MutexGuard<'_, Vec<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No more than an identity can have at a time, so they need no limit here.
    pub(crate) fn add(&self, grant: &Arc<str>) {
        let mut grants = self.grants();
        if !grants.contains(grant) {
            grants.push(Arc::clone(grant));
        }
    }

    pub(crate) fn clear(&self) {
        self.grants().clear();
    }

    /// A grant that the session ran under and has lost, and why.
    pub(crate) fn lost(&self, engine: &Engine, now: UnixMicros) -> Option<(Arc<str>, &'static str)> {
        let lost = |grant: &Arc<str>| Some((Arc::clone(grant), engine.grants.over(grant, now)?));
        self.grants().iter().find_map(lost)
    }
}

/// A call to the gateway itself is nothing that policy is asked about: who asks, is let in.
pub(crate) fn called(command: &Command, policy: &Decision) -> Option<Decision> {
    command.access.as_ref()?;
    Some(Decision {
        verdict: Verdict::Allow,
        rule: Arc::from(CALL_RULE),
        reason: Arc::from(""),
        advice: Arc::from(""),
        policy: Arc::clone(&policy.policy),
        // What is looked for in texts that are recorded, and limits, hold for it, too.
        obligations: Arc::clone(&policy.obligations),
        terms: None,
    })
}

fn effects(command: &Command) -> Effects {
    command.shape.facts.as_ref().map_or(command.shape.effects, |facts| facts.effects)
}

/// Whether a session that does this hangs on the grant from now on.
pub(crate) fn binds(command: &Command) -> bool {
    command.step == Step::Run && !effects(command).touches_nothing()
}

/// Denies what needs a grant and has none, and what goes on in a transaction whose grant is over.
pub(crate) fn bind(
    engine: &Engine,
    facts: &SessionFacts,
    command: &Command,
    (grant, under): (Option<&Covering>, &Under),
    decision: &mut Decision,
    now: UnixMicros,
) {
    let deny = |decision: &mut Decision, reason: String| {
        decision.verdict = Verdict::Deny;
        let ask = if facts.role_of == RoleOf::Target { ASK } else { ASK_AND_RECONNECT };
        (decision.rule, decision.advice) = (Arc::from(RULE), Arc::from(ask));
        decision.reason = Arc::from(reason);
    };
    if !may_go_on(command)
        && let Some((id, why)) = under.lost(engine, now)
    {
        return deny(decision, format!("{}, so its transaction cannot go on", over(&id, why)));
    }
    if command.access.is_some() || !engine.targets.needs_grant(&facts.target) {
        return;
    }
    if command.shape.tag == LISTEN {
        let reason = "what is notified here later would come under no grant, so nobody listens".to_owned();
        return deny(decision, reason);
    }
    if grant.is_none() && !effects(command).touches_nothing() {
        let reason =
            format!("target {} needs a grant for this, and none that covers it is in force", facts.target);
        deny(decision, reason);
    }
}

/// What may always come: what ends a transaction without keeping anything of it. In one that has failed, COMMIT does no more.
fn may_go_on(command: &Command) -> bool {
    let tag = command.shape.tag.as_str();
    tag == "ROLLBACK" || (tag == "COMMIT" && command.transaction == Transaction::Failed)
}

fn over(id: &str, why: &str) -> String {
    format!("grant {id}, under which it ran, {why}")
}

/// What becomes of what runs under a grant that is over.
pub(crate) fn cut_off(id: &str, why: &str) -> Outlasted {
    let told = |what: &str, hint: &str| {
        let text = format!("Firsthand stopped this: {}. {what} {ASK}", over(id, why));
        let mut refusal = Refusal::new(RefusalKind::Denied, text).hint(hint);
        refusal.rule = Arc::from(RULE);
        refusal
    };
    let again = "Connect again.";
    let mut noted = Vec::new();
    let mut o = Object::open(&mut noted);
    o.string("grant", id);
    o.string("why", why);
    o.close();
    Outlasted {
        stopped: told(
            "It was cancelled, and its transaction fails.",
            "ROLLBACK, if it was in a transaction.",
        ),
        ended: told(
            "It went on when it was cancelled, so its session was ended: what it had not committed is rolled back.",
            again,
        ),
        cut: told(
            "It went on when it was cancelled, so its session was ended; the target could not be made to end it, and what it did may take effect.",
            again,
        ),
        noted: Json::from_written(noted),
    }
}

/// What a command under a grant comes to right before it is recorded.
pub(crate) enum Used {
    /// It may run.
    Yes,
    /// A call to the gateway itself is answered.
    Told(Told),
    /// It may not.
    No(Refusal),
}

/// Counts a command of a grant that is for so many, and does what is asked of the gateway itself. Nothing is done in a transaction
/// that has failed: the target says so itself.
pub(crate) async fn used(
    engine: &Engine,
    facts: &SessionFacts,
    number: CommandNumber,
    command: &Command,
    grant: Option<&Covering>,
) -> Used {
    if command.step != Step::Run || command.transaction == Transaction::Failed {
        return Used::Yes;
    }
    if let Some(call) = &command.access {
        let target = engine.targets.find(&facts.target);
        return match engine.grants.call(facts, number, call, target.as_deref()).await {
            Ok(told) => Used::Told(told),
            Err(refusal) => Used::No(refusal),
        };
    }
    let Some(grant) = grant.filter(|grant| grant.counts) else { return Used::Yes };
    if engine.grants.count(&grant.id).await {
        return Used::Yes;
    }
    Used::No(used_up(&grant.id))
}

pub(crate) fn used_up(id: &str) -> Refusal {
    let text = format!(
        "Firsthand refused this command: grant {id} has had all the commands that it is for, or that cannot be counted now. {ASK}"
    );
    let mut refusal = Refusal::new(RefusalKind::Denied, text);
    refusal.rule = Arc::from(RULE);
    refusal
}

#[cfg(test)]
mod tests {
    use firsthand_model::command::Effect;

    use super::*;
    use crate::fake::command;

    #[test]
    fn only_what_keeps_nothing_goes_on_without_the_grant_it_ran_under() {
        for (tag, transaction, goes_on) in [
            ("ROLLBACK", Transaction::Open, true),
            ("COMMIT", Transaction::Open, false),
            ("COMMIT", Transaction::Idle, false),
            ("COMMIT", Transaction::Failed, true),
            ("UPDATE", Transaction::Open, false),
            ("UPDATE", Transaction::Failed, false),
            ("ROLLBACK", Transaction::Failed, true),
        ] {
            let command = Command { transaction, ..command(tag) };
            assert_eq!(may_go_on(&command), goes_on, "{tag} {transaction:?}");
        }
    }

    #[test]
    fn nothing_but_transactions_and_settings_touches_nothing() {
        assert!(Effects::NONE.touches_nothing());
        for effect in Effect::ALL {
            let nothing = matches!(effect, Effect::Transaction | Effect::Session);
            assert_eq!(Effects::only(effect).touches_nothing(), nothing, "{effect:?}");
            assert_eq!(Effects::only(effect).and(Effect::Session).touches_nothing(), nothing, "{effect:?}");
        }
    }
}
