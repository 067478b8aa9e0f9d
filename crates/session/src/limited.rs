//! Still stage 1 of a command: what policy lets through or holds is refused all the same where a limit is used up, or where it would be in
//! vain to ask a person about it.

use std::sync::Arc;

use firsthand_model::amount::{Amount, Limits};
use firsthand_model::command::{Command, Effect, Effects};
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::outcome::Transaction;
use firsthand_model::preview::Vain;
use firsthand_model::time::{MonoMicros, UnixMicros};

use crate::holding::waits_for_people;
use crate::pipeline::{Holding, Turn};
use crate::usage::Purse;

/// What to do in a transaction that has failed.
const ROLL_BACK: &str = "Send ROLLBACK, then what is to run, from the beginning of the transaction.";
/// What to do where nobody could count.
const SEND_PLAINLY: &str = "Send the change alone, as one plain INSERT, UPDATE, DELETE or MERGE.";

/// Denies what a limit does not leave, or what could not run if people said yes. Whether it was a limit.
pub(crate) fn refuses(
    holding: Holding<'_>,
    command: &Command,
    now: (UnixMicros, MonoMicros),
    turn: Turn<'_>,
    decision: &mut Decision,
) -> bool {
    if decision.verdict == Verdict::Deny {
        return false;
    }
    if is_used_up(holding, command, now, turn, decision) {
        return true;
    }
    waits_for_people(holding.facts, command, decision) && is_in_vain(holding.purse, command, decision)
}

/// What is allowed is denied once a limit is used up. Within a transaction its own commands pass, because who may do nothing more
/// must still be able to end it.
fn is_used_up(
    holding: Holding<'_>,
    command: &Command,
    now: (UnixMicros, MonoMicros),
    turn: Turn<'_>,
    decision: &mut Decision,
) -> bool {
    let Some(limits) = &decision.obligations.limits else { return false };
    // How fast commands come was looked at when this one came, or is looked at when its turn comes.
    let without = (!matches!(turn, Turn::First) && limits.commands_per_second.is_some())
        .then(|| Limits { commands_per_second: None, ..Limits::clone(limits) });
    let limits = without.as_ref().unwrap_or(limits);
    let effects = command.shape.facts.as_ref().map_or(command.shape.effects, |facts| facts.effects);
    if effects == Effects::only(Effect::Transaction) && command.transaction != Transaction::Idle {
        return false;
    }
    let (writes, counted) = (!command.shape.plain_read, holding.engine.usage.is_counted());
    let Some(passed) = holding.purse.refuses(limits, writes, counted, now) else { return false };
    decision.verdict = Verdict::Deny;
    decision.rule = passed.limit;
    decision.reason = Arc::from(passed.reason);
    decision.advice = Arc::from(passed.advice);
    true
}

/// Nobody is asked about what the target, or a limit that cannot be kept, would turn away afterwards: an approval would be spent on
/// nothing. Whether it was a limit.
fn is_in_vain(purse: &Purse, command: &Command, decision: &mut Decision) -> bool {
    let vain = command.original.as_ref().and_then(|original| original.vain);
    let limits = decision.obligations.limits.clone();
    let most = limits.and_then(|limits| {
        limits.statement.affected.clone().or_else(|| purse.left(&limits, Amount::Affected))
    });
    match (vain, most) {
        (Some(Vain::Failed), _) => {
            decision.verdict = Verdict::Deny;
            decision.reason =
                Arc::from("its transaction has failed, so it cannot run and nobody is asked about it");
            decision.advice = Arc::from(ROLL_BACK);
            false
        }
        (Some(Vain::Uncounted), Some(most)) => {
            decision.verdict = Verdict::Deny;
            decision.reason = Arc::from(format!(
                "at most {} rows may be affected, and how many this affects is not told before it commits",
                most.most
            ));
            decision.rule = most.limit;
            decision.advice = Arc::from(SEND_PLAINLY);
            true
        }
        (Some(Vain::Uncounted), None) | (None, _) => false,
    }
}
