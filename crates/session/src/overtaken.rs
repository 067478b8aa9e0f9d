//! What was given leave before the rest of its batch waited for a person: minutes may have passed, so it is decided once more before any of
//! it is sent. Its identity or grant may be over by then, something contained, the rules or the definitions others.

use std::sync::Arc;

use firsthand_model::command::Command;
use firsthand_model::decision::{Decision, Verdict};
use firsthand_model::id::CommandNumber;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::preview::Definitions;
use firsthand_model::target::Mode;

use crate::holding::{People, held_in_vain};
use crate::pipeline::{Authorized, Holding, IN_A_ROW, Recorded, Turn, authorize, give_way};
use crate::port::{ApprovalError, Binding, Covering};
use crate::refusal::{Refusal, RefusalKind};
use crate::tally::Tally;

/// A command that was given leave, as it was then.
pub(crate) struct AsDecided {
    pub(crate) number: CommandNumber,
    pub(crate) command: Command,
    pub(crate) estimated_rows: Option<u64>,
    pub(crate) decision: Decision,
    pub(crate) grant: Option<Covering>,
    /// What an approval of it would have been bound to, which tells whether anything that it names has changed. Made when the waiting
    /// begins.
    pub(crate) binding: Option<Binding>,
}

/// The waiting begins.
pub(crate) fn bind(holding: Holding<'_>, batch: &mut [Recorded]) {
    let Holding { engine, facts, .. } = holding;
    for was in batch.iter_mut().filter_map(|recorded| recorded.as_decided.as_mut()) {
        was.binding.get_or_insert_with(|| engine.approver.binding(facts, &was.command, &was.decision));
    }
}

/// What the definitions come from that the names in these commands stand for.
pub(crate) fn definitions(batch: &[Recorded]) -> impl Iterator<Item = Arc<dyn Definitions>> {
    let of =
        |recorded: &Recorded| recorded.as_decided.as_ref()?.command.original.as_ref()?.definitions.clone();
    batch.iter().filter_map(of)
}

/// The waiting is over: what may not run any more is refused, and abandoned as it was recorded. Whether all of it runs.
pub(crate) async fn decide_again(holding: Holding<'_>, batch: &mut [Recorded], people: &People) -> bool {
    let mut all = true;
    for (count, recorded) in (1usize..).zip(batch.iter_mut()) {
        if count.is_multiple_of(IN_A_ROW) {
            give_way().await;
        }
        all &= recorded.permit.is_ok();
        let Some(was) = recorded.as_decided.as_ref().filter(|_| recorded.permit.is_ok()) else { continue };
        let definitions = was.command.original.as_ref().and_then(|original| original.definitions.as_ref());
        let is_known = people.knows(definitions);
        let turn = (was.number, Turn::Overtaken(was.grant.as_ref()));
        let again = authorize(holding, turn, was.command.clone(), was.estimated_rows);
        let refusal = match people.left() {
            // Whoever cancels does not wait until definitions are looked up.
            Some(broken) if !is_known => Some(held_in_vain(&again.decision, &ApprovalError::Broken(broken))),
            _ => refusal(holding, was, &again, is_known),
        };
        let Some(refusal) = refusal else { continue };
        all = false;
        Tally::one(&holding.engine.tally.commands_refused);
        if let Ok(permit) = std::mem::replace(&mut recorded.permit, Err(refusal)) {
            permit.abandon(AbandonReason::Overtaken);
        }
    }
    all
}

fn refusal(holding: Holding<'_>, was: &AsDecided, again: &Authorized, is_known: bool) -> Option<Refusal> {
    let Holding { engine, facts, .. } = holding;
    if !again.over && facts.mode != Mode::Enforce {
        return None;
    }
    if again.decision.verdict == Verdict::Deny {
        return Some(again.refusal("this command"));
    }
    let id = |grant: &Option<Covering>| grant.as_ref().map(|grant| Arc::clone(&grant.id));
    let binding = engine.approver.binding(facts, &was.command, &again.decision);
    let same = was.binding == Some(binding) && id(&was.grant) == id(&again.grant);
    if same && is_known && again.as_it_came.is_none() {
        return None;
    }
    let text = "while something that was sent together with this command waited for a person, the rules, its grant or definitions in the database \
                have changed, or could not be looked up; it was not run; send it again";
    let mut refusal = Refusal::new(RefusalKind::Denied, text);
    refusal.rule = Arc::clone(&again.decision.rule);
    Some(refusal)
}
