//! What is contained asks for nothing any more, and nobody spends what it was given.

use firsthand_model::event::{ApprovalEvent, By};

use super::answer::names;
use super::{Approvals, grants};
use crate::clock::wall;
use crate::state::StateError;
use crate::state::approvals::{Listing, Row, Sort, Stage, Vote};

/// Approvals read at a time.
const PAGE: u32 = 500;

impl Approvals {
    /// Whether somebody who has approved it is contained by now, by any name or id of their chain.
    pub(super) fn has_contained_voter(&self, votes: &[Vote]) -> bool {
        let Some(contained) = self.desk.contained.get() else { return false };
        votes.iter().any(|vote| {
            let known = names(&vote.known);
            contained.has_identity(known.iter().map(String::as_str).chain([vote.person.as_str()]))
        })
    }

    /// Whether one of these names or ids is contained.
    pub(super) fn is_contained(&self, known: &[String]) -> bool {
        self.desk.contained.get().is_some_and(|all| all.has_identity(known.iter().map(String::as_str)))
    }

    /// Withdraws what somebody has approved who is contained.
    pub(super) async fn withdraw_contained(&self, row: &Row) -> Result<(), StateError> {
        self.withdraw_for(row, "who approved it is contained").await.map(drop)
    }

    /// Withdraws it, and says why. False: it was over already.
    pub(super) async fn withdraw_for(&self, row: &Row, why: &str) -> Result<bool, StateError> {
        if !self.desk.state.correct(&row.id, Stage::Withdrawn, wall().0).await? {
            return Ok(false);
        }
        self.known_over(std::iter::once(row.id.clone()));
        let event = ApprovalEvent {
            reason: why.to_owned(),
            ..self.desk.event(grants::kind(&row.id, Stage::Withdrawn, row.stage), row, None)
        };
        if let Err(e) = self.desk.tell(event) {
            tracing::error!("that approval {} is withdrawn is not recorded: {e}", row.id);
        }
        let _ = self.desk.changed.send(row.id.clone());
        Ok(true)
    }

    /// Withdraws what is open and `hits`, whether its client was told of it or not: also the grants that are in force. Returns how many
    /// approvals that were, and how many grants.
    ///
    /// # Errors
    /// When the state cannot be reached.
    pub async fn withdraw_where(
        &self,
        hits: impl Fn(&Row, &[Vote]) -> bool,
        by: &By,
        reason: &str,
    ) -> Result<(u64, u64), StateError> {
        let (state, mut withdrawn, mut revoked) = (&self.desk.state, 0, 0);
        let mut listing = Listing { most: PAGE, ..Listing::default() };
        let mut open = Vec::new();
        loop {
            let page = state.approvals(&listing).await?;
            listing.after = page.last().map(|row| (row.asked, row.id.clone()));
            open.extend(page.into_iter().map(|row| row.id));
            if listing.after.is_none() {
                break;
            }
        }
        for id in open {
            let Some((row, votes)) = state.approval(&id).await? else { continue };
            if !hits(&row, &votes) || !state.correct(&row.id, Stage::Withdrawn, wall().0).await? {
                continue;
            }
            match Sort::of(&row.id) {
                Sort::Command => withdrawn += 1,
                Sort::Grant => revoked += 1,
            }
            self.known_over(std::iter::once(row.id.clone()));
            let event = ApprovalEvent {
                by: Some(by.clone()),
                reason: reason.to_owned(),
                ..self.desk.event(grants::kind(&row.id, Stage::Withdrawn, row.stage), &row, None)
            };
            if let Err(e) = self.desk.tell(event) {
                tracing::error!("that approval {} is withdrawn is not recorded: {e}", row.id);
            }
            let _ = self.desk.changed.send(row.id);
        }
        Ok((withdrawn, revoked))
    }
}
