//! What would change an answer: the question is asked again with one thing changed.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
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

/// How the changes begin that leave a part out.
pub(crate) const LESS: &str = "without ";

/// The change that does something else.
const READING: &str = "if it only read what it changes";

/// One thing that would change the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What would be different.
    pub what: String,
    /// The same as something to do; empty where it is in nobody's hands who asks.
    pub advice: String,
    /// It does not do what was wanted.
    pub gives_up: bool,
    /// What would be decided then.
    pub verdict: Verdict,
}

/// Judges under other circumstances: session, facts, open windows, what else is given.
pub(crate) type Suppose<'a> = &'a dyn Fn(&SessionFacts, &Facts, u64, Given) -> Judgement;

/// What would make the answer milder, one thing at a time.
#[must_use]
pub fn changes(
    rules: &Rules,
    session: &SessionFacts,
    facts: &Facts,
    now: UnixMicros,
    judged: &Judgement,
) -> Vec<Change> {
    let circumstances = (rules.with_compiled(|c| open_bits(&c.windows, now)), Given::default());
    let suppose =
        |session: &SessionFacts, facts: &Facts, windows, given| rules.suppose(session, facts, windows, given);
    milder(&suppose, session, facts, circumstances, judged, LEFT_OUT_MAX)
}

/// The same, given the open windows and the rest, with `most` things left out one by one.
pub(crate) fn milder(
    suppose: Suppose<'_>,
    session: &SessionFacts,
    facts: &Facts,
    (windows, usual): (u64, Given),
    judged: &Judgement,
    most: usize,
) -> Vec<Change> {
    if judged.verdict == Verdict::Allow {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut when = |what: &str, advice: &str, session: &SessionFacts, facts: &Facts, windows, given| {
        let verdict = suppose(session, facts, windows, given).verdict;
        if verdict.strictness() < judged.verdict.strictness() {
            let (what, advice) = (what.to_owned(), advice.to_owned());
            found.push(Change { gives_up: what == READING, what, advice, verdict });
        }
    };
    when("with an approval", "", session, facts, windows, Given { approved: true, ..usual });
    if facts.unbounded {
        let bounded = Facts { unbounded: false, ..facts.clone() };
        let advice = "Add a WHERE that chooses the rows.";
        when("with a WHERE that chooses rows", advice, session, &bounded, windows, usual);
    }
    let few = Given { estimated_rows: Some(0), ..usual };
    let advice = "Choose fewer rows.";
    when("if few rows were estimated", advice, session, facts, windows, few);
    if let Some(opaque) = &facts.opaque {
        let told = Facts { opaque: None, effects: known(facts), ..facts.clone() };
        let about = if opaque.what.is_empty() { String::new() } else { format!(" {}", opaque.what) };
        let what = format!("if all that it does could be told ({}{about})", opaque.why);
        when(&what, "", session, &told, windows, usual);
    }
    if windows != 0 {
        let advice = "Send it again when the window that is open now has closed.";
        when("outside the windows that are open now", advice, session, facts, 0, usual);
    }
    for (what, advice, less) in left_out(facts, most) {
        when(&what, &advice, session, &less, windows, usual);
    }
    if let Some(reads) = reading_instead(facts) {
        let names: Vec<String> = facts.writes.iter().map(shown).collect();
        let advice = format!("You may read {}, not change it.", names.join(", "));
        when(READING, &advice, session, &reads, windows, usual);
    }
    if let Some(person) = as_person(session) {
        when("asked by a person instead of an agent", "", &person, facts, windows, usual);
    }
    found
}

/// A statement that reads what this one changes.
fn reading_instead(facts: &Facts) -> Option<Facts> {
    let changes = [Effect::Write, Effect::Define, Effect::Grant, Effect::Lock];
    let applies = facts.opaque.is_none() && !facts.writes.is_empty();
    (applies && changes.iter().any(|e| facts.effects.has(*e))).then(|| Facts {
        effects: Effects::only(Effect::Read),
        reads: facts.writes.clone(),
        ..Facts::default()
    })
}

fn known(facts: &Facts) -> Effects {
    others(facts.effects, Effect::Unknown)
}

fn others(effects: Effects, than: Effect) -> Effects {
    effects.iter().filter(|e| *e != than).fold(Effects::NONE, Effects::and)
}

/// Effects that come on top of what a statement is for.
const AVOIDABLE: [(Effect, &str, &str); 2] = [
    (Effect::Lock, "taking locks", "Take no locks: leave FOR UPDATE, FOR SHARE or LOCK out."),
    (
        Effect::System,
        "reaching beyond the database",
        "Leave out what reaches beyond the database: files, programs, the network, other sessions.",
    ),
];

/// The statement without one of the things that it touches, in words and as something to do.
fn left_out(facts: &Facts, most: usize) -> Vec<(String, String, Facts)> {
    let mut all = Vec::new();
    let mut without = |doing: String, advice: String, change: &dyn Fn(&mut Facts)| {
        let mut less = facts.clone();
        change(&mut less);
        all.push((format!("{LESS}{doing}"), advice, less));
    };
    for (effect, doing, advice) in AVOIDABLE {
        if facts.effects.has(effect) && facts.opaque.is_none() {
            without(doing.to_owned(), advice.to_owned(), &|f| {
                f.effects = others(f.effects, effect);
                // Functions that do nothing else are part of it.
                f.functions.clear();
            });
        }
    }
    for (i, relation) in facts.reads.iter().enumerate().filter(|_| facts.reads.len() > 1) {
        let name = shown(relation);
        without(format!("reading {name}"), format!("Leave {name} out."), &|f| drop(f.reads.remove(i)));
    }
    for (i, relation) in facts.writes.iter().enumerate().filter(|_| facts.writes.len() > 1) {
        let name = shown(relation);
        let advice = format!("Do not change {name} in it.");
        without(format!("writing {name}"), advice, &|f| drop(f.writes.remove(i)));
    }
    for (i, name) in facts.functions.iter().enumerate() {
        without(format!("calling {name}"), format!("Do not call {name}."), &|f| drop(f.functions.remove(i)));
    }
    for (i, name) in facts.settings.iter().enumerate() {
        let setting = name.split('=').next().unwrap_or_default();
        let advice = format!("Leave the setting {setting} as it is.");
        without(format!("changing {name}"), advice, &|f| drop(f.settings.remove(i)));
    }
    if !facts.tested.is_empty() {
        let advice = "Do not compare, sort, group or join by masked columns.".to_owned();
        without("comparing or sorting by masked columns".to_owned(), advice, &|f| f.tested.clear());
    }
    if !facts.copied.is_empty() {
        let advice = "Do not store values of masked columns elsewhere.".to_owned();
        without("storing masked columns elsewhere".to_owned(), advice, &|f| f.copied.clear());
    }
    all.truncate(most);
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
