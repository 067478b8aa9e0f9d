//! Break-glass: a rule may let people of some groups release what it holds by themselves. It needs no other person and may be one's
//! own, so it is loud: an entry of a kind of its own, all channels, a warning, a count. All else is as with any approval: bound to
//! the one command, spent once, within the same times, sealed.

use std::sync::atomic::Ordering::Relaxed;

use firsthand_model::event::By;
use firsthand_model::identity::Trust;
use serde_json::Value;

use super::Approvals;
use super::answer::{AnswerError, Person, names};
use crate::identity::visible::is_hidden;
use crate::state::approvals::{Row, Vote};

/// The kind of its entry.
pub const KIND: &str = "approval.glass_broken";

/// Who may break the glass: somebody who is in a group of each of these lists. None: nobody.
#[must_use]
pub fn groups(row: &Row) -> Vec<Vec<String>> {
    let terms: Value = serde_json::from_str(&row.terms).unwrap_or_default();
    let lists: Vec<Vec<String>> =
        terms.get("break_glass").cloned().and_then(|l| serde_json::from_value(l).ok()).unwrap_or_default();
    // A rule that names nobody lets nobody, whatever others say.
    if lists.iter().any(Vec::is_empty) { Vec::new() } else { lists }
}

/// Whether this is the yes of somebody who broke the glass, and whom the question lets do so.
pub(super) fn is_broken_by(row: &Row, vote: &Vote) -> bool {
    let (lists, teams) = (groups(row), names(&vote.teams));
    vote.glass && !lists.is_empty() && lists.iter().all(|any| any.iter().any(|group| teams.contains(group)))
}

/// Whether it says something that somebody can read.
fn says_something(reason: &str) -> bool {
    reason.chars().any(|c| c.is_alphanumeric() && !is_hidden(c))
}

impl Approvals {
    /// Whether somebody may break any glass now: a person who has shown who they are, with a reason, and not contained.
    pub(super) fn may_break_any(&self, by: &By, person: &Person, reason: &str) -> Result<(), AnswerError> {
        // Over a channel they are whom the channel says: that is enough beside others, and not alone.
        if by.link.trust != Trust::Verified {
            return Err(AnswerError::NotShown(person.name.clone()));
        }
        if self.is_contained(&person.known) {
            return Err(AnswerError::Contained(person.name.clone()));
        }
        if says_something(reason) { Ok(()) } else { Err(AnswerError::NoReason) }
    }

    /// The groups by which somebody may break the glass of this.
    pub(super) fn glass_teams(&self, row: &Row, who: &str) -> Result<Vec<String>, AnswerError> {
        let lists = groups(row);
        if lists.is_empty() {
            return Err(AnswerError::NoGlass(row.id.clone()));
        }
        let mine = |any: &[String]| -> Vec<String> {
            any.iter().filter(|group| self.groups.is_member(group, &[who])).cloned().collect()
        };
        let mut teams: Vec<String> = Vec::new();
        for any in &lists {
            let of_this = mine(any);
            if of_this.is_empty() {
                return Err(AnswerError::NotForGlass { who: who.to_owned(), groups: any.join(", ") });
            }
            teams.extend(of_this);
        }
        teams.sort();
        teams.dedup();
        Ok(teams)
    }

    /// Says so where whoever runs the gateway looks.
    pub(super) fn glass_is_broken(&self, row: &Row, vote: &Vote) {
        self.desk.broken.fetch_add(1, Relaxed);
        let listed: Value = serde_json::from_str(&row.listed).unwrap_or_default();
        let text = |key: &str| listed.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        tracing::warn!(
            approval = %row.id, by = %vote.person, rule = %text("rule"), target = %text("target"),
            "BREAK-GLASS: a held command was released by one person alone; the record has why"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_nothing_is_none() {
        for nothing in ["", " ", "\u{200b}\u{2060}", "...", " - \u{3164}"] {
            assert!(!says_something(nothing), "{nothing:?}");
        }
        for something in ["x", "データ", "ticket 7", "№5"] {
            assert!(says_something(something), "{something}");
        }
    }
}
