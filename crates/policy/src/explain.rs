//! What would change an answer: the question is asked again with one thing changed.

use std::sync::Arc;

use firsthand_model::decision::Verdict;
use firsthand_model::identity::IdentityKind;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Facts;
use firsthand_model::time::UnixMicros;

use crate::judge::{Judgement, shown};
use crate::rules::{Given, Rules};
use crate::window::open_bits;

/// Things that are left out one by one; a statement with more of them is explained less.
const LEFT_OUT_MAX: usize = 24;

/// One thing that would change the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What would be different.
    pub what: String,
    /// What would be decided then.
    pub verdict: Verdict,
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Hold => 1,
        Verdict::Deny => 2,
    }
}

/// What would make the answer milder, one thing at a time.
#[must_use]
pub fn changes(
    rules: &Rules,
    session: &SessionFacts,
    facts: &Facts,
    now: UnixMicros,
    judged: &Judgement,
) -> Vec<Change> {
    if judged.verdict == Verdict::Allow {
        return Vec::new();
    }
    let windows = rules.with_compiled(|c| open_bits(&c.windows, now));
    let mut found = Vec::new();
    let mut suppose = |what: String, session: &SessionFacts, facts: &Facts, windows: u64, given: Given| {
        let verdict = rules.suppose(session, facts, windows, given).verdict;
        if strictness(verdict) < strictness(judged.verdict) {
            found.push(Change { what, verdict });
        }
    };
    let usual = Given::default();
    suppose("with an approval".to_owned(), session, facts, windows, Given { approved: true, ..usual });
    if facts.unbounded {
        let bounded = Facts { unbounded: false, ..facts.clone() };
        suppose("with a WHERE that chooses rows".to_owned(), session, &bounded, windows, usual);
    }
    if let Some(opaque) = &facts.opaque {
        let told = Facts { opaque: None, effects: known(facts), ..facts.clone() };
        let about = if opaque.what.is_empty() {
            opaque.why.to_owned()
        } else {
            format!("{} {}", opaque.why, opaque.what)
        };
        suppose(format!("if all that it does could be told ({about})"), session, &told, windows, usual);
    }
    if windows != 0 {
        suppose("outside the windows that are open now".to_owned(), session, facts, 0, usual);
    }
    for (what, less) in left_out(facts) {
        suppose(what, session, &less, windows, usual);
    }
    if let Some(person) = as_person(session) {
        suppose("asked by a person instead of an agent".to_owned(), &person, facts, windows, usual);
    }
    found
}

fn known(facts: &Facts) -> firsthand_model::command::Effects {
    use firsthand_model::command::{Effect, Effects};
    facts.effects.iter().filter(|e| *e != Effect::Unknown).fold(Effects::NONE, Effects::and)
}

/// The statement without one of the things that it touches.
fn left_out(facts: &Facts) -> Vec<(String, Facts)> {
    let mut all = Vec::new();
    for (i, relation) in facts.reads.iter().enumerate().filter(|_| facts.reads.len() > 1) {
        let mut less = facts.clone();
        less.reads.remove(i);
        all.push((format!("without reading {}", shown(relation)), less));
    }
    for (i, relation) in facts.writes.iter().enumerate().filter(|_| facts.writes.len() > 1) {
        let mut less = facts.clone();
        less.writes.remove(i);
        all.push((format!("without writing {}", shown(relation)), less));
    }
    for (i, name) in facts.functions.iter().enumerate() {
        let mut less = facts.clone();
        less.functions.remove(i);
        all.push((format!("without calling {name}"), less));
    }
    for (i, name) in facts.settings.iter().enumerate().filter(|_| facts.settings.len() > 1) {
        let mut less = facts.clone();
        less.settings.remove(i);
        all.push((format!("without changing {name}"), less));
    }
    if !facts.tested.is_empty() {
        let less = Facts { tested: Vec::new(), ..facts.clone() };
        all.push(("without comparing or sorting by masked columns".to_owned(), less));
    }
    if !facts.copied.is_empty() {
        let less = Facts { copied: Vec::new(), ..facts.clone() };
        all.push(("without storing masked columns elsewhere".to_owned(), less));
    }
    all.truncate(LEFT_OUT_MAX);
    all
}

/// The same session, opened by the person that the agent acts for.
fn as_person(session: &SessionFacts) -> Option<SessionFacts> {
    let actor = session.identity.actor()?;
    if actor.kind != IdentityKind::Agent {
        return None;
    }
    let mut identity = (*session.identity).clone();
    identity.chain.retain(|l| l.kind != IdentityKind::Agent);
    if !identity.chain.iter().any(|l| l.kind == IdentityKind::Human) {
        let person = firsthand_model::identity::Link { kind: IdentityKind::Human, ..actor.clone() };
        identity.chain.insert(0, person);
    }
    let mut person = session.with_role(&session.role);
    person.identity = Arc::new(identity);
    Some(person)
}
