//! What people say: who may approve, and that first the record has it and then the state.

use std::future::poll_fn;
use std::time::Duration;

use firsthand_model::event::{ApprovalEvent, By, SignedYes};
use firsthand_model::identity::IdentityKind;
use firsthand_session::port::{Need, RecordError, Ticket, Waiting};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::names::{folded, known_as};
use super::signing::SignatureError;
use super::{Approvals, glass, grants, seal, trust};
use crate::clock::wall;
use crate::identity::visible::is_hidden;
use crate::state::StateError;
use crate::state::approvals::{Locked, Row, Signed, Sort, Stage, Vote};

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
    /// It is none of theirs, which they are told of as if it were not there.
    #[error("there is no {noun} `{0}`", noun = noun(.0))]
    NotTheirs(String),
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
    /// The rule lets nobody break the glass.
    #[error("the rule that holds {0} lets nobody break the glass")]
    NoGlass(String),
    /// Not one whom the rule lets break the glass.
    #[error("{who} is not among those whom the rule lets break the glass: {groups}")]
    NotForGlass {
        /// Who asks.
        who: String,
        /// The groups.
        groups: String,
    },
    /// Who breaks the glass says why.
    #[error("no reason was given, and who breaks the glass must say why")]
    NoReason,
    /// Who breaks the glass has shown who they are.
    #[error("{0} has not shown themselves who they are, so they break no glass")]
    NotShown(String),
    /// The signature does not count, or there is none where one is needed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// They are contained.
    #[error("{0} is contained")]
    Contained(String),
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

/// Whether these are enough: as many as it needs, or one who broke the glass and may. What names nobody is never approved.
pub(super) fn suffices(row: &Row, votes: &[Vote]) -> bool {
    let wanted = wanted(row);
    let whole = !wanted.is_empty() && wanted.iter().all(|w| of_group(&w.group, votes) >= w.quorum);
    whole || votes.iter().any(|vote| glass::is_broken_by(row, vote))
}

/// People of a group who have approved it.
fn of_group(group: &str, votes: &[Vote]) -> u64 {
    let is_of = |v: &&Vote| !v.glass && names(&v.teams).iter().any(|team| team == group);
    count(votes.iter().filter(is_of).count())
}

/// Of what [`quorum`] needs, what is there: who is in several of its groups counts in each, and who is one too many of a group in
/// none. Each broken glass counts once.
fn there(row: &Row, votes: &[Vote]) -> u64 {
    let counted: u64 = wanted(row).iter().map(|w| of_group(&w.group, votes).min(w.quorum)).sum();
    counted + count(votes.iter().filter(|vote| vote.glass).count())
}

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// Yes, as one of those whom it needs.
    Approve,
    /// No.
    Deny,
    /// Yes, alone: see `glass.rs`.
    BreakGlass,
}

impl Say {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::BreakGlass => "break-glass",
            Self::Deny => "deny",
        }
    }
}

/// A person who answers.
pub(super) struct Person {
    /// The name that counts in groups and that is told: the person's, or the token's where it has none.
    pub(super) name: String,
    /// All names of their chain, as they are compared.
    known_as: Vec<String>,
    /// All names and ids of their chain, by which they may be contained.
    pub(super) known: Vec<String>,
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
#[must_use]
pub fn plain(reason: &str) -> String {
    reason.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// A reason that may be kept.
pub(super) struct Said {
    pub(super) reason: String,
    /// Something in it was replaced.
    differs: bool,
}

/// How it is after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its stage.
    pub stage: Stage,
    /// Approvals that count; a person counts in each group that it needs.
    pub given: u64,
    /// Approvals that it needs, over all groups.
    pub quorum: u64,
}

impl Approvals {
    /// Approves or refuses, or breaks the glass, as this person.
    ///
    /// # Errors
    /// Why it does not count; then nothing has changed.
    pub async fn answer(&self, id: &str, by: &By, say: Say, reason: &str) -> Result<Answered, AnswerError> {
        self.answer_signed(id, by, say, reason, None).await
    }

    /// The same, with a signature over the text of `signing`, armored.
    ///
    /// # Errors
    /// Why it does not count; then nothing has changed.
    pub async fn answer_signed(
        &self,
        id: &str,
        by: &By,
        say: Say,
        reason: &str,
        signature: Option<&str>,
    ) -> Result<Answered, AnswerError> {
        let answered = self.answered(id, by, (say, reason), signature).await;
        if let Err(e) = &answered {
            self.turned_away(id, by, say.word(), e);
        }
        answered
    }

    async fn answered(
        &self,
        id: &str,
        by: &By,
        (say, reason): (Say, &str),
        signature: Option<&str>,
    ) -> Result<Answered, AnswerError> {
        let person = Person::of(by)?;
        let said = self.said(reason)?;
        if signature.is_some() && said.differs {
            return Err(SignatureError::Hidden.into());
        }
        let reason = said.reason;
        if say == Say::BreakGlass {
            self.may_break_any(by, &person, &reason)?;
        }
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
        let teams = match say {
            Say::BreakGlass => self.glass_teams(&row, &person.name)?,
            Say::Approve | Say::Deny => self.teams(&wanted(&row), &person.name)?,
        };
        let is_shown = seal::fits_what_is_shown(&self.desk.trust.key, &row);
        let doubt = self.doubt(&row, &locked.votes).or((!is_shown).then_some(trust::SEALED_OTHERWISE));
        if let Some(found) = doubt {
            drop(locked);
            if !self.may_be_anothers(&row) {
                self.distrust(id, found, Stage::Withdrawn).await?;
            }
            if found == trust::SIGNER_NOT_CONFIGURED {
                return Err(AnswerError::Over { id: id.to_owned(), stage: Stage::Withdrawn.word() });
            }
            return Err(AnswerError::Changed(id.to_owned()));
        }
        if say == Say::Approve {
            counts_beside_others(&row, &person, &locked.votes)?;
        }
        if say != Say::Deny {
            let signed = self.signed(&row, (&person.name, say), &reason, signature)?;
            return self.given(locked, by, (person, teams), (say, reason), signed).await;
        }
        let given = there(&row, &locked.votes);
        let event = ApprovalEvent {
            by: Some(by.clone()),
            given: Some(given),
            reason: reason.clone(),
            ..self.desk.event(grants::kind(id, Stage::Refused, row.stage), &row, None)
        };
        self.durably(event).await?;
        locked.end(Stage::Refused, &reason, now).await?;
        let _ = self.desk.changed.send(id.to_owned());
        Ok(Answered { stage: Stage::Refused, given, quorum: quorum(&row) })
    }

    /// A reason as the record, the state and all who are told of it may have it: people cite what they have seen, as statements do.
    pub(super) fn said(&self, reason: &str) -> Result<Said, AnswerError> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(AnswerError::Long);
        }
        let plain = plain(reason);
        let veil = self.desk.veil.get().filter(|_| !plain.is_empty());
        let reason = veil.map_or_else(|| plain.clone(), |veil| veil(&plain));
        Ok(Said { differs: reason != plain, reason })
    }

    /// Takes a yes: first the record has it, and then the state.
    async fn given(
        &self,
        locked: Locked<'_>,
        by: &By,
        (person, teams): (Person, Vec<String>),
        (say, reason): (Say, String),
        signed: Option<(Signed, SignedYes)>,
    ) -> Result<Answered, AnswerError> {
        let (row, now, glass) = (locked.row.clone(), wall().0, say == Say::BreakGlass);
        let (signed, told) = signed.unzip();
        let mut vote = Vote {
            person: person.name,
            known: json!(person.known).to_string(),
            log: self.desk.log.clone(),
            teams: json!(teams).to_string(),
            reason: reason.clone(),
            at: now,
            glass,
            signed,
            seal: String::new(),
        };
        vote.seal = seal::of_vote(&self.desk.trust.key, &row, &vote);
        let others = locked.votes.iter().filter(|other| other.person != vote.person).cloned();
        let votes: Vec<Vote> = others.chain([vote.clone()]).collect();
        let (enough, given) = (suffices(&row, &votes), there(&row, &votes));
        let kind = if glass { glass::KIND } else { grants::kind(&row.id, Stage::Given, row.stage) };
        let event = ApprovalEvent {
            by: Some(by.clone()),
            given: Some(given),
            reason,
            signed: told.map(Box::new),
            ..self.desk.event(kind, &row, None)
        };
        self.durably(event).await?;
        locked.give(&vote, enough.then(|| now.saturating_add(row.spend_us))).await?;
        if glass {
            self.glass_is_broken(&row, &vote);
        }
        let _ = self.desk.changed.send(row.id.clone());
        let stage = if enough { Stage::Given } else { Stage::Asked };
        Ok(Answered { stage, given, quorum: quorum(&row) })
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

/// Whether a yes counts that is one of several: nobody's own, and each person's once.
fn counts_beside_others(row: &Row, person: &Person, votes: &[Vote]) -> Result<(), AnswerError> {
    if !allows_own(row) && names(&row.people).iter().any(|own| person.is(own)) {
        return Err(AnswerError::Own(person.name.clone()));
    }
    if votes.iter().any(|vote| person.is(&vote.person)) {
        return Err(AnswerError::Twice(person.name.clone()));
    }
    Ok(())
}

/// Approvals that it needs, over all groups.
fn quorum(row: &Row) -> u64 {
    wanted(row).iter().map(|w| w.quorum).sum()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
