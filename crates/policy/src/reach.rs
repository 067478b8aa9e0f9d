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
    /// A mask holds what uses what it masks: whatever somebody does.
    masks_hold: bool,
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
        for (when, _) in limits.chain(masks).filter(|(when, unless)| counts(when, unless.as_ref())) {
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
            let mine =
                || self.rules.iter().filter(|r| r.effects & bit != 0 && concerns(&r.when, groups, who));
            let never = mine().any(|r| r.verdict == Verdict::Deny && !r.narrow);
            !never && (self.by_default(who) || mine().any(|r| r.verdict != Verdict::Deny))
        })
    }

    /// Some mask holds what compares, copies or writes back what it masks.
    pub(crate) fn masks_hold(&mut self) {
        self.masks_hold = true;
    }

    /// Whether a statement with these effects may have to wait for a person.
    pub(crate) fn may_hold(&self, groups: &[Group], who: &Who<'_>, effects: Effects) -> bool {
        // What does nothing that is known is asked about as a command alone.
        let about = |r: &Sketch| effects == Effects::NONE || r.effects & effects.bits() != 0;
        let holds = |r: &Sketch| r.verdict == Verdict::Hold && about(r) && concerns(&r.when, groups, who);
        self.masks_hold || self.rules.iter().any(holds)
    }

    /// Whether any rule looks at estimated rows.
    pub(crate) fn counts_at_all(&self) -> bool {
        !self.counting.is_empty()
    }

    /// Whether an estimate of rows can decide over a statement with these effects.
    pub(crate) fn counts_rows(&self, groups: &[Group], who: &Who<'_>, effects: Effects) -> bool {
        self.counting.iter().any(|r| r.effects & effects.bits() != 0 && concerns(&r.when, groups, who))
    }

    /// The kinds of identities whose writes rules refuse or hold, and whose statements of which nobody can tell what they do
    /// may run all the same: such a one may write.
    pub(crate) fn gaps(&self) -> Vec<IdentityKind> {
        let bit = |effect: Effect| Effects::only(effect).bits();
        let gap = |kind: &IdentityKind| {
            let about = |effect: Effect| {
                self.rules.iter().filter(move |r| {
                    r.effects & bit(effect) != 0 && (r.when.kinds.is_empty() || r.when.kinds.contains(kind))
                })
            };
            let stops = |r: &Sketch| r.verdict != Verdict::Allow;
            let runs = self.allows(*kind) || about(Effect::Unknown).any(|r| r.verdict == Verdict::Allow);
            about(Effect::Write).any(stops) && runs && !about(Effect::Unknown).any(stops)
        };
        [IdentityKind::Agent, IdentityKind::Human, IdentityKind::Service].into_iter().filter(gap).collect()
    }

    fn by_default(&self, who: &Who<'_>) -> bool {
        self.allows(kind(who.identity))
    }

    fn allows(&self, kind: IdentityKind) -> bool {
        match kind {
            IdentityKind::Agent => self.defaults.agent,
            IdentityKind::Human => self.defaults.human,
            IdentityKind::Service => self.defaults.service,
            IdentityKind::Token | IdentityKind::Certificate => false,
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
        owners: when.owners.clone(),
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
        identity.groups.contains(group)
            || groups.iter().any(|g| g.name == *group && g.members.iter().any(|m| m.matches_member(name)))
    };
    let any = |patterns: &[Pattern], texts: &[&str]| {
        patterns.is_empty() || patterns.iter().any(|p| texts.iter().any(|text| p.matches(text)))
    };
    (when.kinds.is_empty() || when.kinds.contains(&kind(identity)))
        && any(&when.identities, &[name, &identity.login])
        && (when.on_behalf_of.is_empty() || human.is_some_and(|h| any(&when.on_behalf_of, &[&h.name])))
        && (when.owners.is_empty() || identity.owner.as_ref().is_some_and(|o| any(&when.owners, &[o])))
        && (when.groups.is_empty() || when.groups.iter().any(is_in))
        && any(&when.targets, &[who.target])
        && (when.target_labels.is_empty() || when.target_labels.iter().any(|l| who.target_labels.contains(l)))
        && any(&when.databases, &[who.database])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use firsthand_model::identity::{Link, Trust};

    use super::*;
    use crate::compiled::{Compiled, RuleFile};

    fn identity(kind: IdentityKind, name: &str) -> Identity {
        let link = |kind, name: &str| Link { kind, id: name.into(), name: name.into(), trust: Trust::Bound };
        let chain = match kind {
            IdentityKind::Human => vec![link(kind, name)],
            _ => vec![link(IdentityKind::Human, "ada@example.com"), link(kind, name)],
        };
        Identity {
            chain,
            login: name.to_owned(),
            subject: String::new(),
            targets: vec!["shop".to_owned()],
            owner: (kind != IdentityKind::Human).then(|| "platform".to_owned()),
            ..Identity::default()
        }
    }

    fn compiled(name: &str, text: &str) -> Compiled {
        let labels = HashMap::from([("shop".to_owned(), vec!["prod".to_owned()])]);
        Compiled::load(&[RuleFile { name: name.to_owned(), text: text.to_owned() }], labels).unwrap()
    }

    /// One rule in short: name, verdict, further keys.
    fn rule(verdict: &str, more: &str) -> String {
        let name = more.bytes().fold(verdict.len(), |sum, b| sum.wrapping_mul(31) + usize::from(b));
        let approve = if verdict == "hold" { "approve = { group = \"dba\" }\n" } else { "" };
        format!("[[rule]]\nname = \"r{name}\"\nbecause = \"B.\"\nverdict = \"{verdict}\"\n{approve}{more}\n")
    }

    const DBA: &str =
        "[[group]]\nname = \"dba\"\nmembers = [\"root-*\"]\n[[window]]\nname = \"w\"\ndays = [\"mon\"]\n";

    #[test]
    fn who_may_only_read_is_told_from_the_rules_alone() {
        let read = rule("allow", "effects = [\"read\", \"session\", \"transaction\"]");
        let write = |more: &str| rule("allow", &format!("effects = [\"write\"]\n{more}"));
        for (rules, bot, root, human) in [
            // Whether an agent `bot`, an agent `root-1` and a person may change something; people may what is not denied.
            (vec![read.clone()], false, false, true),
            (vec![read.clone(), "[defaults]\nagent = \"allow\"\n".to_owned()], true, true, true),
            (vec![read.clone(), "[defaults]\nhuman = \"deny\"\n".to_owned()], false, false, false),
            (vec![rule("allow", "kinds = [\"agent\"]")], true, true, true),
            (vec![write("")], true, true, true),
            (vec![write("groups = [\"dba\"]")], false, true, true),
            (vec![write("identities = [\"bot\"]")], true, false, true),
            (vec![write("on_behalf_of = [\"ada@*\"]")], true, true, true),
            (vec![write("on_behalf_of = [\"eve@*\"]")], false, false, true),
            (vec![write("owners = [\"plat*\"]")], true, true, true),
            (vec![write("owners = [\"*\"]")], true, true, true),
            (vec![write("owners = [\"other\"]")], false, false, true),
            (vec![write("targets = [\"other\"]")], false, false, true),
            (vec![write("target_labels = [\"prod\"]")], true, true, true),
            (vec![write("target_labels = [\"test\"]")], false, false, true),
            (vec![write("databases = [\"elsewhere\"]")], false, false, true),
            // What may hold at some moment counts as holding.
            (vec![write("tables = [\"notes\"]")], true, true, true),
            (vec![write("during = [\"w\"]")], true, true, true),
            (vec![write("grants = [\"*\"]")], true, true, true),
            (vec![write("rows_over = 5")], true, true, true),
            (vec![rule("hold", "effects = [\"write\"]")], true, true, true),
            (vec![rule("allow", "effects = [\"lock\"]")], true, true, true),
            (vec![rule("allow", "effects = [\"unknown\"]")], true, true, true),
            (vec![rule("allow", "settings = [\"*\"]")], false, false, true),
            // What is denied whatever it is about can never be.
            (vec![write(""), rule("deny", "effects = [\"write\"]")], false, false, true),
            (vec![write(""), rule("deny", "effects = [\"write\"]\nkinds = [\"agent\"]")], false, false, true),
            (vec![write(""), rule("deny", "effects = [\"write\"]\nunbounded = true")], true, true, true),
            (
                vec![write(""), rule("deny", "effects = [\"write\"]\n[rule.unless]\ngroups = [\"dba\"]")],
                true,
                true,
                true,
            ),
            (vec![write(""), rule("deny", "")], false, false, false),
        ] {
            let text = format!("{}{DBA}", rules.concat());
            let compiled = compiled("r.toml", &text);
            let may = |kind, name| compiled.may_change(&identity(kind, name), "shop", "shop");
            assert_eq!(may(IdentityKind::Agent, "bot"), bot, "bot: {text}");
            assert_eq!(may(IdentityKind::Agent, "root-1"), root, "root-1: {text}");
            assert_eq!(may(IdentityKind::Human, "ada@example.com"), human, "person: {text}");
        }
    }

    #[test]
    fn who_may_hide_a_write_in_what_nobody_can_tell_is_named() {
        use IdentityKind::{Agent, Human, Service};
        let agents = |verdict: &str, effect: &str| {
            rule(verdict, &format!("kinds = [\"agent\"]\neffects = [\"{effect}\"]"))
        };
        for (rules, expected) in [
            (vec![agents("hold", "write")], vec![]),
            (vec![agents("hold", "write"), agents("allow", "unknown")], vec![Agent]),
            (vec![agents("deny", "write"), "[defaults]\nagent = \"allow\"\n".to_owned()], vec![Agent]),
            (vec![agents("hold", "write"), agents("allow", "unknown"), agents("hold", "unknown")], vec![]),
            (vec![rule("hold", "effects = [\"write\"]")], vec![Human, Service]),
            (vec![rule("hold", "effects = [\"write\", \"unknown\"]")], vec![]),
            (vec![agents("allow", "write"), agents("allow", "unknown")], vec![]),
        ] {
            let text = format!("{}{DBA}", rules.concat());
            assert_eq!(compiled("r.toml", &text).gaps(), expected, "{text}");
        }
    }

    #[test]
    fn policies_in_cedar_may_concern_anybody() {
        let permit = "@id(\"w\") permit(principal, action == Action::\"write\", resource) when { principal.name == \"x\" };";
        let forbid = "@id(\"w\") forbid(principal, action in Action::\"command\", resource);";
        let held = format!("@hold(\"group=dba\") {forbid}");
        for (text, may) in [(permit, true), (forbid, false), (&held, true)] {
            let compiled = compiled("r.cedar", text);
            assert_eq!(
                compiled.may_change(&identity(IdentityKind::Agent, "bot"), "shop", "shop"),
                may,
                "{text}"
            );
        }
    }

    #[test]
    fn who_may_be_held_is_told_by_effects_and_by_who_it_is() {
        let bot = identity(IdentityKind::Agent, "bot");
        let (write, read) = (Effects::only(Effect::Write), Effects::only(Effect::Read));
        for (verdict, more, of_write, of_read) in [
            ("hold", "effects = [\"write\"]", true, false),
            ("hold", "tables = [\"public.salaries\"]", true, true),
            ("hold", "rows_over = 5", true, true),
            ("hold", "kinds = [\"human\"]", false, false),
            ("deny", "effects = [\"write\"]", false, false),
        ] {
            let dba = if verdict == "hold" { DBA } else { "" };
            let compiled = compiled("r.toml", &format!("{}{dba}", rule(verdict, more)));
            assert_eq!(compiled.may_hold(&bot, "shop", "shop", write), of_write, "{verdict} {more}");
            assert_eq!(compiled.may_hold(&bot, "shop", "shop", read), of_read, "{verdict} {more}");
            assert_eq!(compiled.may_hold(&bot, "shop", "shop", Effects::NONE), of_write, "{verdict} {more}");
        }
        let held = "@id(\"w\") @hold(\"group=dba\") forbid(principal, action == Action::\"read\", resource);";
        assert!(compiled("r.cedar", held).may_hold(&bot, "shop", "shop", read));
        for part in ["masked_in_predicate", "masked_copied", "masked_written_back"] {
            for (word, expected) in [("hold", true), ("deny", false)] {
                let mask = format!(
                    "[[mask]]\nname = \"m\"\nbecause = \"b\"\nstyle = \"redact\"\ncolumns = [\"public.c.*\"]\n{part} = \"{word}\"\n"
                );
                let compiled = compiled("r.toml", &format!("{mask}{DBA}"));
                assert_eq!(compiled.may_hold(&bot, "shop", "shop", read), expected, "{part} {word}");
            }
        }
    }

    #[test]
    fn estimates_are_wanted_only_where_a_rule_counts_rows() {
        let bot = identity(IdentityKind::Agent, "bot");
        let (write, read) = (Effects::only(Effect::Write), Effects::only(Effect::Read));
        for (more, of_write, of_read) in [
            ("effects = [\"write\"]\nrows_over = 5", true, false),
            ("rows_over = 5", true, true),
            ("effects = [\"write\"]\nkinds = [\"human\"]\nrows_over = 5", false, false),
            ("effects = [\"write\"]\n[rule.unless]\nrows_over = 5", true, false),
            ("effects = [\"write\"]", false, false),
        ] {
            let compiled = compiled("r.toml", &rule("deny", more));
            assert_eq!(compiled.counts_rows(&bot, "shop", "shop", write), of_write, "{more}");
            assert_eq!(compiled.counts_rows(&bot, "shop", "shop", read), of_read, "{more}");
        }
        let raw = "@id(\"w\") forbid(principal, action == Action::\"read\", resource) \
                   when { context has estimated_rows && context.estimated_rows > 5 };";
        assert!(compiled("r.cedar", raw).counts_rows(&bot, "shop", "shop", write));
    }
}
