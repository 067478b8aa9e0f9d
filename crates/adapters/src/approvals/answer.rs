//! What people say: who may approve, and that first the record has it and then the state.

use std::future::poll_fn;
use std::time::Duration;

use firsthand_model::event::{ApprovalEvent, By};
use firsthand_model::identity::IdentityKind;
use firsthand_session::port::{Need, RecordError, Ticket, Waiting};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::names::{folded, known_as};
use super::{Approvals, grants, seal, trust};
use crate::clock::wall;
use crate::identity::visible::is_hidden;
use crate::state::StateError;
use crate::state::approvals::{Row, Sort, Stage, Vote};

/// How long the entry of an answer may take to become durable.
const DURABLE_MAX: Duration = Duration::from_secs(8);
/// How long an answer waits for the comparison of the state with the record.
pub(super) const COMPARED_MAX: Duration = Duration::from_secs(8);
/// The longest reason.
pub const REASON_BYTES_MAX: usize = 2048;

/// What it is, in words.
fn noun(id: &str) -> &'static str {
    match Sort::of(id) {
        Sort::Command => "approval",
        Sort::Grant => "grant",
    }
}

/// Why an answer does not count.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// No approval has this id.
    #[error("there is no {noun} `{0}`", noun = noun(.0))]
    Unknown(String),
    /// It is over.
    #[error("{noun} {id} is {stage} already", noun = noun(id))]
    Over {
        /// Its id.
        id: String,
        /// How it ended, or `given`.
        stage: &'static str,
    },
    /// Only people approve.
    #[error("only a person can answer: {0} is none")]
    NoPerson(String),
    /// Nobody approves what is done in their own name.
    #[error("{0} is in the identity chain that asks, and nobody approves their own")]
    Own(String),
    /// Not one of the rule's group.
    #[error("{who} is in none of the groups that may answer: {groups}")]
    NotInGroup {
        /// Who asks.
        who: String,
        /// The groups.
        groups: String,
    },
    /// What masks hide is shown to those only whom the configuration names for it.
    #[error("{0} may approve this, and is not among those who see what masks hide of it")]
    NoRight(String),
    /// One person counts once.
    #[error("{0} has approved it already; it needs somebody else, too")]
    Twice(String),
    /// The reason is too long.
    #[error("the reason has more than {REASON_BYTES_MAX} bytes")]
    Long,
    /// The state is not as it was asked, or it was asked at a gateway that has other keys.
    #[error("{noun} {0} is not as this gateway would have asked it, so it does not count here", noun = noun(.0))]
    Changed(String),
    /// The state has not been compared with the record.
    #[error("what is kept of approvals has not been compared with the record yet")]
    NotCompared,
    /// It is not recorded, so it does not count.
    #[error("this could not be recorded, so it was not done: {0}")]
    NotRecorded(#[from] RecordError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// So many of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The group.
    pub group: String,
    /// So many different people of it.
    pub quorum: u64,
}

/// Who must approve it.
#[must_use]
pub fn wanted(row: &Row) -> Vec<Wanted> {
    let terms: Value = serde_json::from_str(&row.terms).unwrap_or_default();
    let list = terms.get("approvers").and_then(Value::as_array);
    let one = |a: &Value| {
        let group = a.get("group")?.as_str()?.to_owned();
        Some(Wanted { group, quorum: a.get("quorum")?.as_u64()?.max(1) })
    };
    list.into_iter().flatten().filter_map(one).collect()
}

/// Whether whoever is in its own chain may approve it, too.
pub(super) fn allows_own(row: &Row) -> bool {
    let terms: Value = serde_json::from_str(&row.terms).unwrap_or_default();
    terms.get("own") == Some(&Value::Bool(true))
}

/// A JSON list of names.
pub(super) fn names(list: &str) -> Vec<String> {
    serde_json::from_str(list).unwrap_or_default()
}

/// Whether these are enough. What names nobody is never approved.
pub(super) fn suffices(wanted: &[Wanted], votes: &[Vote]) -> bool {
    let of = |group: &str| votes.iter().filter(|v| names(&v.teams).iter().any(|t| t == group)).count();
    let enough = |w: &Wanted| u64::try_from(of(&w.group)).unwrap_or(u64::MAX) >= w.quorum;
    !wanted.is_empty() && wanted.iter().all(enough)
}

/// A person who answers.
pub(super) struct Person {
    /// The name that counts in groups and that is told: the person's, or the token's where it has none.
    pub(super) name: String,
    /// All names of their chain, as they are compared.
    known_as: Vec<String>,
    /// All names and ids of their chain, by which they may be contained.
    known: Vec<String>,
}

impl Person {
    pub(super) fn of(by: &By) -> Result<Self, AnswerError> {
        if by.link.kind != IdentityKind::Human {
            return Err(AnswerError::NoPerson(by.link.name.clone()));
        }
        let human = by.chain.iter().find(|l| l.kind == IdentityKind::Human).unwrap_or(&by.link);
        let mut all = known_as(&by.chain);
        all.push(folded(&by.link.name));
        let links = by.chain.iter().chain([&by.link]);
        let mut known: Vec<String> = links.flat_map(|l| [l.name.clone(), l.id.clone()]).collect();
        known.push(human.name.clone());
        known.retain(|name| !name.is_empty());
        known.sort();
        known.dedup();
        Ok(Self { name: human.name.clone(), known_as: all, known })
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.known_as.contains(&folded(name))
    }
}

/// A reason as it may reach a terminal and a log: what is not seen, or would move a cursor or turn the text around, is a space.
pub(super) fn plain(reason: &str) -> String {
    reason.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// How it is after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its stage.
    pub stage: Stage,
    /// People who have approved it.
    pub given: u64,
    /// People whose approval it needs.
    pub quorum: u64,
}

impl Approvals {
    /// Approves or refuses, as this person.
    ///
    /// # Errors
    /// Why it does not count; then nothing has changed.
    pub async fn answer(
        &self,
        id: &str,
        by: &By,
        approve: bool,
        reason: &str,
    ) -> Result<Answered, AnswerError> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(AnswerError::Long);
        }
        let (person, reason) = (Person::of(by)?, plain(reason));
        timeout(COMPARED_MAX, self.once_compared()).await.map_err(|_| AnswerError::NotCompared)?;
        let Some(locked) = self.desk.state.lock(id).await? else {
            return Err(AnswerError::Unknown(id.to_owned()));
        };
        let (row, now) = (locked.row.clone(), wall().0);
        let is_over = trust::until(&row, &locked.votes) <= now;
        if row.stage != Stage::Asked || is_over {
            let stage = if is_over && row.stage.is_open() { Stage::Expired } else { row.stage };
            return Err(AnswerError::Over { id: id.to_owned(), stage: stage.word() });
        }
        let wanted = wanted(&row);
        let teams = self.teams(&wanted, &person.name)?;
        let is_shown = seal::fits_what_is_shown(&self.desk.trust.key, &row);
        let doubt = self.doubt(&row, &locked.votes).or((!is_shown).then_some(trust::SEALED_OTHERWISE));
        if let Some(found) = doubt {
            drop(locked);
            if !self.may_be_anothers(&row) {
                self.distrust(id, found, Stage::Withdrawn).await?;
            }
            return Err(AnswerError::Changed(id.to_owned()));
        }
        if approve && !allows_own(&row) && names(&row.people).iter().any(|own| person.is(own)) {
            return Err(AnswerError::Own(person.name));
        }
        if approve && locked.votes.iter().any(|vote| person.is(&vote.person)) {
            return Err(AnswerError::Twice(person.name));
        }
        let quorum = wanted.iter().map(|w| w.quorum).sum();
        let event = |kind, given| ApprovalEvent {
            by: Some(by.clone()),
            given: Some(given),
            reason: reason.clone(),
            ..self.desk.event(kind, &row, None)
        };
        if !approve {
            let given = count(locked.votes.len());
            self.durably(event(grants::kind(id, Stage::Refused, row.stage), given)).await?;
            locked.end(Stage::Refused, &reason, now).await?;
            let _ = self.desk.changed.send(id.to_owned());
            return Ok(Answered { stage: Stage::Refused, given, quorum });
        }
        let teams = json!(teams).to_string();
        let (log, known, person) = (self.desk.log.clone(), json!(person.known).to_string(), person.name);
        let mut vote =
            Vote { person, known, log, teams, reason: reason.clone(), at: now, seal: String::new() };
        vote.seal = seal::of_vote(&self.desk.trust.key, &row, &vote);
        let votes = [locked.votes.clone(), vec![vote.clone()]].concat();
        let enough = suffices(&wanted, &votes);
        self.durably(event(grants::kind(id, Stage::Given, row.stage), count(votes.len()))).await?;
        locked.give(&vote, enough.then(|| now.saturating_add(row.spend_us))).await?;
        let _ = self.desk.changed.send(id.to_owned());
        let stage = if enough { Stage::Given } else { Stage::Asked };
        Ok(Answered { stage, given: count(votes.len()), quorum })
    }

    /// The groups in which somebody counts.
    pub(super) fn teams(&self, wanted: &[Wanted], who: &str) -> Result<Vec<String>, AnswerError> {
        let mine = wanted.iter().filter(|w| self.groups.is_member(&w.group, &[who]));
        let teams: Vec<String> = mine.map(|w| w.group.clone()).collect();
        if teams.is_empty() {
            let groups: Vec<&str> = wanted.iter().map(|w| w.group.as_str()).collect();
            return Err(AnswerError::NotInGroup { who: who.to_owned(), groups: groups.join(", ") });
        }
        Ok(teams)
    }

    /// Records an answer and waits until that is durable: only then it counts.
    pub(super) async fn durably(&self, event: ApprovalEvent) -> Result<(), AnswerError> {
        let ticket: Ticket = self.desk.tell(event)?;
        let recorder = &self.desk.recorder;
        let mut waiting = Waiting::default();
        let durable = poll_fn(|cx| recorder.poll_durable(ticket, Need::Fact, &mut waiting, cx));
        Ok(timeout(DURABLE_MAX, durable).await.unwrap_or(Err(RecordError::TimedOut))?)
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
