//! What is contained asks for nothing any more, and nobody spends what it was given.

use firsthand_model::event::{ApprovalEvent, By};

use super::{Approvals, OPEN_MAX};
use crate::clock::wall;
use crate::state::StateError;
use crate::state::approvals::{Row, Stage, Vote};

impl Approvals {
    /// Withdraws what is open and `hits`, whether its client was told of it or not. Returns how many that were.
    ///
    /// # Errors
    /// When the state cannot be reached.
    pub async fn withdraw_where(
        &self,
        hits: impl Fn(&Row, &[Vote]) -> bool,
        by: &By,
        reason: &str,
    ) -> Result<u64, StateError> {
        let (state, most) = (&self.desk.state, u32::try_from(OPEN_MAX).unwrap_or(u32::MAX));
        let mut withdrawn = 0;
        for row in state.approvals(false, most).await? {
            let votes = state.approval(&row.id).await?.map(|(_, votes)| votes).unwrap_or_default();
            if !hits(&row, &votes) || !state.correct(&row.id, Stage::Withdrawn, wall().0).await? {
                continue;
            }
            withdrawn += 1;
            let event = ApprovalEvent {
                by: Some(by.clone()),
                reason: reason.to_owned(),
                ..self.desk.event("approval.withdrawn", &row, None)
            };
            if let Err(e) = self.desk.tell(event) {
                tracing::error!("that approval {} is withdrawn is not recorded: {e}", row.id);
            }
            let _ = self.desk.changed.send(row.id);
        }
        Ok(withdrawn)
    }
}
