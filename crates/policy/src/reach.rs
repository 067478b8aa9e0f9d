//! What the rules can come to for one identity at one target, whatever it asks there: whether anything that changes
//! something can ever be allowed, and whether an estimate of rows can decide something.
//!
//! Both are answered from what does not change while a session lasts. Where a rule depends on more than that, or is
//! written in Cedar, it is taken for one that may hold: so "it may only read" is never said of somebody who may do more.

use firsthand_model::command::{Effect, Effects};
use firsthand_model::decision::Verdict;
use firsthand_model::identity::{Identity, IdentityKind};

use crate::pattern::Pattern;
use crate::rule::{Conditions, Defaults, Document, Group, Limit, Rule};

/// The effects that change something, or that a READ ONLY transaction refuses.
const CHANGING: [Effect; 7] = [
    Effect::Write,
    Effect::Define,
    Effect::Grant,
    Effect::Execute,
    Effect::Lock,
    Effect::System,
    Effect::Unknown,
];

/// Who, and where.
pub(crate) struct Who<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) target: &'a str,
    pub(crate) target_labels: &'a [String],
    pub(crate) database: &'a str,
}

/// What is known of each rule.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    rules: Vec<Sketch>,
    defaults: Defaults,
    /// What looks at estimated rows.
    counting: Vec<Sketch>,
}

#[derive(Debug)]
struct Sketch {
    /// Whom and where it concerns.
    when: Conditions,
    /// The effects it can be about.
    effects: u16,
    verdict: Verdict,
    /// It may not hold although it concerns somebody.
    narrow: bool,
}

impl Reach {
    /// Of the rules in TOML.
    pub(crate) fn of(document: &Document) -> Self {
        let defaults = document.defaults.as_ref().map(|(d, _)| *d).unwrap_or_default();
        let mut reach = Self { defaults, ..Self::default() };
        for rule in &document.rules {
            if counts(&rule.when, rule.unless.as_ref()) {
                reach.counting.push(sketch(rule));
            }
            reach.rules.push(sketch(rule));
        }
        let limits = document.limits.iter().map(|Limit { when, unless, .. }| (when, unless));
        let masks = document.masks.iter().map(|mask| (&mask.when, &mask.unless));
        for (when, unless) in limits.chain(masks).filter(|(when, unless)| counts(when, unless.as_ref())) {
            let _ = unless;
            let (when, verdict) = (when.clone(), Verdict::Deny);
            reach.counting.push(Sketch { when, effects: u16::MAX, verdict, narrow: true });
        }
        reach
    }

    /// Adds a policy written in Cedar: it may concern anybody.
    pub(crate) fn add(&mut self, effects: u16, verdict: Verdict, text: &str) {
        let anybody = || Sketch { when: Conditions::default(), effects, verdict, narrow: true };
        if text.contains("estimated_rows") {
            self.counting.push(Sketch { effects: u16::MAX, ..anybody() });
        }
        self.rules.push(anybody());
    }

    /// Whether anything that changes something can ever be allowed, perhaps by an approval.
    pub(crate) fn may_change(&self, groups: &[Group], who: &Who<'_>) -> bool {
        CHANGING.iter().any(|effect| {
            let bit = Effects::only(*effect).bits();
            let mine = || self.rules.iter().filter(|r| r.effects & bit != 0 && concerns(&r.when, groups, who));
            let never = mine().any(|r| r.verdict == Verdict::Deny && !r.narrow);
            !never && (self.by_default(who) || mine().any(|r| r.verdict != Verdict::Deny))
        })
    }

    /// Whether an estimate of rows can decide over a statement with these effects.
    pub(crate) fn counts_rows(&self, groups: &[Group], who: &Who<'_>, effects: Effects) -> bool {
        self.counting.iter().any(|r| r.effects & effects.bits() != 0 && concerns(&r.when, groups, who))
    }

    fn by_default(&self, who: &Who<'_>) -> bool {
        match kind(who.identity) {
            IdentityKind::Agent => self.defaults.agent,
            IdentityKind::Human => self.defaults.human,
            IdentityKind::Service => self.defaults.service,
            IdentityKind::Token => false,
        }
    }
}

fn kind(identity: &Identity) -> IdentityKind {
    identity.actor().map_or(IdentityKind::Agent, |l| l.kind)
}

/// Whether it looks at estimated rows.
fn counts(when: &Conditions, unless: Option<&Conditions>) -> bool {
    when.rows_over.is_some() || unless.is_some_and(|unless| unless.rows_over.is_some())
}

fn sketch(rule: &Rule) -> Sketch {
    let Rule { when, unless, verdict, .. } = rule;
    let of = |effects: &[Effect]| effects.iter().fold(Effects::NONE, |all, e| all.and(*e)).bits();
    let mut effects = if when.effects.is_empty() { of(&Effect::ALL) } else { of(&when.effects) };
    if *verdict == Verdict::Allow && when.effects.is_empty() {
        effects &= !of(&[Effect::Unknown]);
    }
    if !when.tables.is_empty() {
        effects &= of(&[Effect::Read, Effect::Write, Effect::Define, Effect::Grant, Effect::Lock]);
    }
    if !when.settings.is_empty() {
        effects &= of(&[Effect::Session]);
    }
    let who = Conditions {
        kinds: when.kinds.clone(),
        identities: when.identities.clone(),
        on_behalf_of: when.on_behalf_of.clone(),
        groups: when.groups.clone(),
        targets: when.targets.clone(),
        target_labels: when.target_labels.clone(),
        databases: when.databases.clone(),
        effects: when.effects.clone(),
        ..Conditions::default()
    };
    let narrow = unless.is_some() || who != *when;
    Sketch { when: who, effects, verdict: *verdict, narrow }
}

fn concerns(when: &Conditions, groups: &[Group], who: &Who<'_>) -> bool {
    let identity = who.identity;
    let name = identity.actor().map_or(identity.login.as_str(), |l| l.name.as_str());
    let human = identity.chain.iter().find(|l| l.kind == IdentityKind::Human);
    let is_in = |group: &String| {
        groups.iter().any(|g| g.name == *group && g.members.iter().any(|m| m.matches(name)))
    };
    let any = |patterns: &[Pattern], texts: &[&str]| {
        patterns.is_empty() || patterns.iter().any(|p| texts.iter().any(|text| p.matches(text)))
    };
    (when.kinds.is_empty() || when.kinds.contains(&kind(identity)))
        && any(&when.identities, &[name, &identity.login])
        && (when.on_behalf_of.is_empty() || human.is_some_and(|h| any(&when.on_behalf_of, &[&h.name])))
        && (when.groups.is_empty() || when.groups.iter().any(is_in))
        && any(&when.targets, &[who.target])
        && (when.target_labels.is_empty() || when.target_labels.iter().any(|l| who.target_labels.contains(l)))
        && any(&when.databases, &[who.database])
}
