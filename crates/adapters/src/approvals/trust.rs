//! What of the state is believed: nothing before it has been compared with the record, nothing whose seal does not fit, no
//! approval without the votes that carry it, and none twice.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::hmac;
use firsthand_session::port::ApprovalError;
use tokio::sync::watch;

use super::answer::suffices;
use super::signing::Standing;
use super::{Approvals, seal};
use crate::clock::wall;
use crate::state::StateError;
use crate::state::approvals::{Row, Stage, Vote};

/// How long it is remembered what a start found to be over: the longest time in which rules let something be spent.
const OVER_KEPT_US: u64 = 7 * 24 * 3_600_000_000;

/// The record says that it ended, and the state does not.
pub const OVER_IN_RECORD: &str = "over-in-record";
/// Nobody recorded that it was asked.
pub const NOT_IN_RECORD: &str = "not-in-record";
/// Nobody recorded that it was given, or not enough people have given it.
pub const NOT_GIVEN: &str = "not-given-in-record";
/// It was given, and signed by a key that is not configured for who gave it any more: nobody has forged anything.
pub const SIGNER_NOT_CONFIGURED: &str = "signer-not-configured";
/// It is bound to something else than what was asked, or to other terms.
pub const BOUND_OTHERWISE: &str = "bound-otherwise";
/// Its seal does not fit.
pub const SEALED_OTHERWISE: &str = "sealed-otherwise";
/// It was spent, and nobody recorded that.
pub const SPENT_NOT_IN_RECORD: &str = "spent-not-in-record";

/// Why such a one is withdrawn.
const SIGNER_GONE: &str = "it was signed by a key that is not configured for who gave it any more";

/// Tells of an approval that is not as it should be: its id, and what was found.
pub type Tell = Box<dyn Fn(&str, &'static str) + Send + Sync>;

/// What the state is measured by.
pub(super) struct Trust {
    /// The key of seals.
    pub(super) key: hmac::Key,
    compared: watch::Sender<bool>,
    /// What is over whatever the state says, and until when that matters.
    over: Mutex<HashMap<String, u64>>,
    tell: OnceLock<Tell>,
}

impl Trust {
    pub(super) fn new(folder: &[u8]) -> Self {
        let (compared, _) = watch::channel(false);
        Self { key: seal::key(folder), compared, over: Mutex::default(), tell: OnceLock::new() }
    }

    fn over(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is over, whatever the state says.
    pub(super) fn is_over(&self, id: &str) -> bool {
        self.over().contains_key(id)
    }

    /// Notes that it is over now. False: it was before.
    fn ends(&self, id: &str, until: u64, now: u64) -> bool {
        let mut over = self.over();
        over.retain(|_, until| *until > now);
        over.insert(id.to_owned(), until).is_none()
    }
}

/// How long it could be answered, by what is sealed.
pub(super) fn asked_until(row: &Row) -> u64 {
    let terms: serde_json::Value = serde_json::from_str(&row.terms).unwrap_or_default();
    row.asked.saturating_add(terms.get("ttl").and_then(serde_json::Value::as_u64).unwrap_or(0))
}

/// How long it can be answered or spent, by what is sealed: `ends` alone could have been put off.
pub(super) fn until(row: &Row, votes: &[Vote]) -> u64 {
    let sealed = match (row.stage, votes.iter().map(|vote| vote.at).max()) {
        (Stage::Given, Some(given)) => given.saturating_add(row.spend_us),
        _ => asked_until(row),
    };
    sealed.min(row.ends)
}

impl Approvals {
    /// The state has been compared with the record, or need not be: from now on it is used.
    pub fn compared(&self) {
        self.desk.trust.compared.send_replace(true);
    }

    /// Waits for that.
    pub(super) async fn once_compared(&self) {
        let mut compared = self.desk.trust.compared.subscribe();
        // It cannot fail: the sender lives as long as this.
        let _ = compared.wait_for(|compared| *compared).await;
    }

    /// They are over, whatever the state will say.
    pub fn known_over(&self, ids: impl Iterator<Item = String>) {
        let until = wall().0.saturating_add(OVER_KEPT_US);
        self.desk.trust.over().extend(ids.map(|id| (id, until)));
    }

    /// Who is told when something is found not to be as it should be. The first one stays.
    pub fn on_difference(&self, tell: Tell) {
        let _ = self.desk.trust.tell.set(tell);
    }

    /// Why an open approval is not believed, from the state alone.
    #[must_use]
    pub fn doubt(&self, row: &Row, votes: &[Vote]) -> Option<&'static str> {
        let (key, desk) = (&self.desk.trust.key, &self.desk);
        if !seal::fits_question(key, row) {
            return Some(SEALED_OTHERWISE);
        }
        // Only what is shared holds what other logs tell of.
        let is_foreign = |log: &str| !desk.state.is_shared() && log != desk.log;
        if is_foreign(&row.log) {
            return Some(NOT_IN_RECORD);
        }
        let standings: Vec<Standing> = votes.iter().map(|vote| self.standing(row, vote)).collect();
        let is_ours = |vote: &Vote| !is_foreign(&vote.log) && seal::fits_vote(key, row, vote);
        let carried = row.stage != Stage::Given || suffices(row, votes);
        if !carried || !votes.iter().all(is_ours) || standings.contains(&Standing::Wrong) {
            return Some(NOT_GIVEN);
        }
        standings.contains(&Standing::NotConfigured).then_some(SIGNER_NOT_CONFIGURED)
    }

    /// Whether it may be of a gateway that has other keys: then it is not for this one to end.
    #[must_use]
    pub fn may_be_anothers(&self, row: &Row) -> bool {
        self.desk.state.is_shared() && row.log != self.desk.log
    }

    /// Ends what is not believed, and tells.
    ///
    /// # Errors
    /// When the state cannot be reached.
    pub async fn distrust(&self, id: &str, found: &'static str, stage: Stage) -> Result<(), StateError> {
        let row = match found {
            SIGNER_NOT_CONFIGURED => self.desk.state.approval(id).await?.map(|(row, _)| row),
            _ => None,
        };
        match row {
            Some(row) => self.withdraw_for(&row, SIGNER_GONE).await?,
            None => self.desk.state.correct(id, stage, wall().0).await?,
        };
        self.tell_difference(id, found);
        let _ = self.desk.changed.send(id.to_owned());
        Ok(())
    }

    /// Tells of one that differs.
    pub fn tell_difference(&self, id: &str, found: &'static str) {
        match self.desk.trust.tell.get() {
            Some(tell) => tell(id, found),
            None => tracing::error!("approval {id} is not believed: {found}"),
        }
    }

    /// Whether it could be spent now, as far as its answers go: several are spent together, or none.
    pub(super) async fn stands(&self, id: &str) -> Result<(), ApprovalError> {
        let Some((row, votes)) = self.desk.state.approval(id).await? else {
            return Err(ApprovalError::Over(id.to_owned()));
        };
        self.undoubted(&row, &votes).await
    }

    /// Withdraws what is not believed.
    async fn undoubted(&self, row: &Row, votes: &[Vote]) -> Result<(), ApprovalError> {
        let Some(found) = self.doubt(row, votes) else { return Ok(()) };
        self.distrust(&row.id, found, Stage::Withdrawn).await?;
        Err(if found == SIGNER_NOT_CONFIGURED {
            ApprovalError::SignerGone(row.id.clone())
        } else {
            ApprovalError::Over(row.id.clone())
        })
    }

    /// Spends it, where all of it is as it should be. False: there is nothing to spend.
    pub(super) async fn spend_once(&self, id: &str, binding: &str) -> Result<bool, ApprovalError> {
        let state = &self.desk.state;
        let Some((row, votes)) = state.approval(id).await? else { return Ok(false) };
        if row.stage != Stage::Given {
            return Ok(false);
        }
        self.undoubted(&row, &votes).await?;
        // Whoever contained them may have come between their answer and its being kept, or not have reached the state.
        if self.has_contained_voter(&votes) {
            self.withdraw_contained(&row).await?;
            return Ok(false);
        }
        let (now, until) = (wall().0, until(&row, &votes));
        if until <= now {
            return Ok(false);
        }
        if !self.desk.trust.ends(id, until, now) {
            self.distrust(id, OVER_IN_RECORD, Stage::Spent).await?;
            return Ok(false);
        }
        let spent = state.spend(id, binding, &self.desk.log, now).await;
        if !matches!(spent, Ok(true)) {
            self.desk.trust.over().remove(id);
        }
        Ok(spent?)
    }
}
