//! What will become of the commands behind one that waits for a person: each is decided as it would be now, and nothing is used up.
//!
//! People are asked only where all of what was sent together can run once they say yes, and nothing is spent before that was looked at
//! once more. Each is decided again in its turn; but then what stands before it is spent.

use std::sync::Arc;

use firsthand_model::amount::Most;
use firsthand_model::command::{Command, Step};
use firsthand_model::decision::Verdict;
use firsthand_model::id::CommandNumber;

use crate::granted;
use crate::pipeline::{Authorized, Holding, IN_A_ROW, Turn, authorize, estimate, give_way};
use crate::port::{ApprovalError, Covering, Hold};
use crate::refusal::{Refusal, RefusalKind};

/// What was sent together with a command that waits, and has not had its turn.
#[derive(Clone, Copy)]
pub(crate) struct Behind<'a> {
    /// The number of the one that waits.
    pub(crate) first: CommandNumber,
    /// Which one that is of all that was sent together, counted from 1.
    pub(crate) place: usize,
    pub(crate) commands: &'a [Command],
    /// The grant of the command that waits, which counts as well.
    pub(crate) grant: Option<&'a Covering>,
}

impl Behind<'_> {
    /// This one, of those or the one that waits, would be refused like this.
    pub(crate) fn beside(&self, number: CommandNumber, refusal: &Refusal) -> ApprovalError {
        let further = usize::try_from(number.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX);
        let place = self.place.saturating_add(further);
        ApprovalError::Beside { place, kind: refusal.kind, why: refusal.message.clone() }
    }

    fn last(&self) -> CommandNumber {
        CommandNumber(self.first.0 + self.commands.len() as u64)
    }
}

/// What they will use up together.
#[derive(Default)]
struct Used {
    /// Commands of grants that are for so many.
    of_grants: Vec<(Arc<str>, u64)>,
    /// Commands whose pace is limited.
    paced: u64,
    pace: Option<Most>,
}

impl Used {
    fn count(&mut self, grant: Option<&Covering>) {
        let Some(grant) = grant.filter(|grant| grant.counts) else { return };
        match self.of_grants.iter_mut().find(|(id, _)| *id == grant.id) {
            Some((_, commands)) => *commands += 1,
            None => self.of_grants.push((Arc::clone(&grant.id), 1)),
        }
    }

    fn add(&mut self, command: &Command, decided: &Authorized) {
        if command.step == Step::Run && command.access.is_none() {
            self.count(decided.grant.as_ref());
        }
        let limits = decided.decision.obligations.limits.as_ref();
        if let Some(pace) = limits.and_then(|limits| limits.commands_per_second.clone()) {
            self.paced += 1;
            self.pace = Some(pace);
        }
    }
}

/// Those that will be held. Otherwise what cannot run, and why.
pub(crate) async fn foresee(holding: Holding<'_>, behind: &Behind<'_>) -> Result<Vec<Hold>, ApprovalError> {
    let Holding { engine, facts, begun, .. } = holding;
    let (mut holds, mut used) = (Vec::new(), Used::default());
    used.count(behind.grant);
    for (count, command) in (1usize..).zip(behind.commands) {
        if count.is_multiple_of(IN_A_ROW) {
            give_way().await;
        }
        let number = CommandNumber(behind.first.0 + count as u64);
        let rows = estimate(engine, facts, command, begun).await;
        let decided = authorize(holding, (number, Turn::Foreseen), command.clone(), rows);
        if decided.decision.verdict == Verdict::Deny {
            return Err(behind.beside(number, &decided.refusal("it")));
        }
        used.add(command, &decided);
        if let Some(came) = &decided.as_it_came {
            holds.push(decided.hold(came, facts));
        }
    }
    has_room(holding, behind, &used).await?;
    Ok(holds)
}

async fn has_room(holding: Holding<'_>, behind: &Behind<'_>, used: &Used) -> Result<(), ApprovalError> {
    let Holding { engine, purse, .. } = holding;
    for (id, commands) in &used.of_grants {
        if engine.grants.left(id).await.is_some_and(|left| left < *commands) {
            return Err(behind.beside(behind.last(), &granted::used_up(id)));
        }
    }
    match &used.pace {
        Some(pace) if !purse.has_room(pace, used.paced, engine.clock.mono()) => {
            let why = format!(
                "At most {} commands of one identity are taken in a second (rule {}). Send them one by one.",
                pace.most, pace.limit
            );
            Err(behind.beside(behind.last(), &Refusal::new(RefusalKind::Limit, why)))
        }
        _ => Ok(()),
    }
}
