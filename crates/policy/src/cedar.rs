//! One table of a rule file, one Cedar policy: the text of it. What Cedar has no word for (hold, how to mask, how much)
//! stands in annotations.

use std::fmt::Write as _;

use firsthand_model::command::Effect;
use firsthand_model::decision::Verdict;

use crate::pattern::{ColumnPattern, Pattern, RelationPattern, quoted};
use crate::rule::{Conditions, Defaults, Limit, Mask, OpaqueCondition, Rule};
use crate::terms;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    Any,
    Table,
    Column,
    Function,
    Setting,
}

impl Thing {
    fn of(when: &Conditions) -> Self {
        if !when.tables.is_empty() {
            Self::Table
        } else if !when.columns.is_empty() || !when.labels.is_empty() {
            Self::Column
        } else if !when.functions.is_empty() {
            Self::Function
        } else if !when.settings.is_empty() {
            Self::Setting
        } else {
            Self::Any
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Any => "",
            Self::Table => "Table",
            Self::Column => "Column",
            Self::Function => "Function",
            Self::Setting => "Setting",
        }
    }

    fn scope(self) -> String {
        if self == Self::Any { "resource".to_owned() } else { format!("resource is {}", self.word()) }
    }

    /// The effects whose requests can be about such a thing.
    fn effects(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Table => Some(
                "[Action::\"read\", Action::\"write\", Action::\"define\", Action::\"grant\", Action::\"lock\"]",
            ),
            Self::Column => Some("[Action::\"read\", Action::\"write\"]"),
            Self::Function => Some("[Action::\"call\"]"),
            Self::Setting => Some("[Action::\"session\"]"),
        }
    }
}

/// Policies of Firsthand's own.
pub(crate) fn base(defaults: Defaults) -> String {
    let mut kinds = Vec::new();
    for (kind, allowed) in
        [("agent", defaults.agent), ("human", defaults.human), ("service", defaults.service)]
    {
        if allowed {
            kinds.push(format!("principal.kind == \"{kind}\""));
        }
    }
    let mut out = String::from(
        "// Columns and functions need no leave of their own, only none that forbids them.\n\
         @id(\"firsthand.columns\") permit(principal, action in Action::\"command\", resource is Column);\n\
         @id(\"firsthand.functions\") permit(principal, action == Action::\"call\", resource);\n\
         // What reads no relation reads nothing of anybody's.\n\
         @id(\"firsthand.no-relation\") permit(principal, action == Action::\"read\", resource is Target);\n\
         // What a person has approved needs no further leave.\n\
         @id(\"firsthand.approved\") permit(principal, action in Action::\"command\", resource)\n  \
         when { context has approval };\n\
         @id(\"firsthand.clear\") permit(principal, action == Action::\"ReadClear\", resource);\n\
         @id(\"firsthand.unlimited\") permit(principal, action == Action::\"Unlimited\", resource);\n\
         // Who may change nothing has its transactions READ ONLY at the target, and does not change that.\n\
         @id(\"firsthand.read-only\") @because(\"This session may only read, so its transactions stay READ ONLY.\")\n\
         forbid(principal, action == Action::\"session\", resource is Setting)\n  \
         when { context.read_only && [\"transaction_read_only\", \"default_transaction_read_only\"].contains(resource.name) }\n  \
         unless { resource has value && [\"on\", \"true\", \"yes\", \"1\", \"t\", \"y\"].contains(resource.value) }\n  \
         unless { resource has value && resource.value == \"default\" && resource.name == \"default_transaction_read_only\" };\n",
    );
    if !kinds.is_empty() {
        let _ = writeln!(
            out,
            "// Where no rule speaks, these may what their token's targets allow.\n\
             @id(\"firsthand.token-targets\") permit(principal, action in Action::\"command\", resource)\n  \
             when {{ {} }};",
            kinds.join(" || ")
        );
    }
    out
}

/// The policy of a rule.
#[must_use]
pub fn of_rule(rule: &Rule) -> String {
    let thing = Thing::of(&rule.when);
    let mut out = annotations(&rule.name, &rule.because);
    if let Some(a) = &rule.approve {
        annotate(&mut out, "hold", &terms::written(a));
    }
    let word = if rule.verdict == Verdict::Allow { "permit" } else { "forbid" };
    // A call is no effect: what the statement does as a whole is a condition then.
    let effects = if thing == Thing::Function { &[][..] } else { &rule.when.effects };
    let action = action(effects, thing, rule.verdict);
    let _ = write!(out, "{word} (\n  principal,\n  {action},\n  {}\n)", thing.scope());
    let written = rule.verdict != Verdict::Allow;
    let mut when = terms(&rule.when, written, Thing::Any, written);
    if thing == Thing::Function && !rule.when.effects.is_empty() {
        let list: Vec<String> = rule.when.effects.iter().map(|e| quoted(e.word())).collect();
        when.push(format!("context.effects.containsAny([{}])", list.join(", ")));
    }
    clause(&mut out, "when", &when);
    if let Some(unless) = &rule.unless {
        clause(&mut out, "unless", &unless_terms(unless, !written));
    }
    if rule.verdict == Verdict::Hold {
        out.push_str("\nunless { context has approval }");
    }
    out.push_str(";\n");
    out
}

/// The policy of a mask.
#[must_use]
pub fn of_mask(mask: &Mask) -> String {
    let mut out = annotations(&mask.name, &mask.because);
    annotate(&mut out, "style", mask.style.word());
    annotate(&mut out, "detect", if mask.detect { "true" } else { "false" });
    annotate(&mut out, "masked_in_predicate", mask.in_predicate.word());
    annotate(&mut out, "masked_copied", mask.copied.word());
    annotate(&mut out, "masked_written_back", mask.written_back.word());
    out.push_str("forbid (\n  principal,\n  action == Action::\"ReadClear\",\n  resource is Column\n)");
    clause(&mut out, "when", &terms(&mask.when, false, Thing::Any, true));
    if let Some(unless) = &mask.unless {
        clause(&mut out, "unless", &unless_terms(unless, false));
    }
    out.push_str(";\n");
    out
}

/// The policy of a limit.
#[must_use]
pub fn of_limit(limit: &Limit) -> String {
    let mut out = annotations(&limit.name, &limit.because);
    for (name, value) in limit.bounds.set() {
        annotate(&mut out, &name, &value.to_string());
    }
    out.push_str("forbid (\n  principal,\n  action == Action::\"Unlimited\",\n  resource\n)");
    clause(&mut out, "when", &terms(&limit.when, false, Thing::Any, true));
    if let Some(unless) = &limit.unless {
        clause(&mut out, "unless", &unless_terms(unless, false));
    }
    out.push_str(";\n");
    out
}

fn annotations(name: &str, because: &str) -> String {
    let mut out = String::new();
    annotate(&mut out, "id", name);
    if !because.is_empty() {
        annotate(&mut out, "because", because);
    }
    out
}

fn annotate(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "@{key}({})", quoted(value));
}

fn clause(out: &mut String, word: &str, terms: &[String]) {
    if !terms.is_empty() {
        let _ = write!(out, "\n{word} {{\n  {}\n}}", terms.join(" &&\n  "));
    }
}

/// Which requests the rule is about. An allow without effects is about everything that can be told: what cannot be told
/// must be named.
fn action(effects: &[Effect], thing: Thing, verdict: Verdict) -> String {
    if effects.is_empty() {
        return match (thing.effects(), verdict) {
            (Some(list), _) => format!("action in {list}"),
            (None, Verdict::Allow) => "action in Action::\"known\"".to_owned(),
            (None, Verdict::Deny | Verdict::Hold) => "action in Action::\"command\"".to_owned(),
        };
    }
    let list: Vec<String> = effects.iter().map(|e| format!("Action::\"{}\"", e.word())).collect();
    format!("action in [{}]", list.join(", "))
}

/// An exception must say of which kind of thing it speaks: the rule itself may be about all kinds.
fn unless_terms(unless: &Conditions, doubt: bool) -> Vec<String> {
    let mut all = terms(unless, false, Thing::of(unless), doubt);
    if !unless.effects.is_empty() {
        let list: Vec<String> = unless.effects.iter().map(|e| format!("Action::\"{}\"", e.word())).collect();
        all.push(format!("action in [{}]", list.join(", ")));
    }
    all
}

/// The conditions, each to hold. `doubt`: what an estimate of rows decides holds where there is none, because that refuses
/// more.
fn terms(when: &Conditions, written: bool, narrow: Thing, doubt: bool) -> Vec<String> {
    let mut all = Vec::new();
    who(when, &mut all);
    place(when, &mut all);
    if narrow != Thing::Any {
        all.push(format!("resource is {}", narrow.word()));
    }
    what(when, written, &mut all);
    statement(when, doubt, &mut all);
    all
}

fn who(when: &Conditions, all: &mut Vec<String>) {
    any(all, when.kinds.iter().map(|k| Some(format!("principal.kind == \"{}\"", k.word()))));
    any(all, when.identities.iter().map(|p| either(p, &["principal.name", "principal.login"])));
    // Somebody must be there for a pattern to speak of.
    any(
        all,
        when.on_behalf_of
            .iter()
            .map(|p| p.cedar("principal.human").or(Some("principal.human != \"\"".to_owned()))),
    );
    let owned = || Some("principal.owner != \"\"".to_owned());
    any(all, when.owners.iter().map(|p| p.cedar("principal.owner").or_else(owned)));
    any(all, when.groups.iter().map(|g| Some(format!("principal in Group::{}", quoted(g)))));
}

fn place(when: &Conditions, all: &mut Vec<String>) {
    any(all, when.targets.iter().map(|p| p.cedar("context.target")));
    any(
        all,
        when.target_labels.iter().map(|l| Some(format!("context.target_labels.contains({})", quoted(l)))),
    );
    any(all, when.databases.iter().map(|p| p.cedar("context.database")));
    any(all, when.roles.iter().map(|p| p.cedar("context.role")));
    any(all, when.applications.iter().map(|p| p.cedar("context.application")));
    let grant = |p: &Pattern| match p.cedar("context.grant") {
        Some(term) => Some(format!("(context has grant && {term})")),
        None => Some("context has grant".to_owned()),
    };
    any(all, when.grants.iter().map(grant));
}

fn what(when: &Conditions, written: bool, all: &mut Vec<String>) {
    any(all, when.tables.iter().map(|p| table_term(p, written)));
    any(all, when.columns.iter().map(column_term));
    let label = |l: &String| match l.as_str() {
        "*" => Some("resource.labelled".to_owned()),
        _ => Some(format!("resource in Label::{}", quoted(l))),
    };
    any(all, when.labels.iter().map(label));
    any(all, when.functions.iter().map(|p| both(p, "resource.schema", "resource.name")));
    any(all, when.settings.iter().map(setting_term));
}

fn statement(when: &Conditions, doubt: bool, all: &mut Vec<String>) {
    match when.unbounded {
        Some(true) => all.push("context.unbounded".to_owned()),
        Some(false) => all.push("!context.unbounded".to_owned()),
        None => {}
    }
    if let Some(rows) = when.rows_over {
        all.push(if doubt {
            format!("(if context has estimated_rows then context.estimated_rows > {rows} else true)")
        } else {
            format!("context has estimated_rows && context.estimated_rows > {rows}")
        });
    }
    any(all, when.during.iter().map(|w| Some(format!("context.windows.contains({})", quoted(w)))));
    for window in &when.outside {
        all.push(format!("!context.windows.contains({})", quoted(window)));
    }
    match &when.opaque {
        None => {}
        Some(OpaqueCondition::Is(true)) => all.push("context has opaque".to_owned()),
        Some(OpaqueCondition::Is(false)) => all.push("!(context has opaque)".to_owned()),
        Some(OpaqueCondition::Because(reasons)) => {
            let list: Vec<String> = reasons.iter().map(|r| quoted(r)).collect();
            all.push(format!("context has opaque && [{}].contains(context.opaque)", list.join(", ")));
        }
    }
}

/// `name`, or `name=value` where the value matters.
fn setting_term(pattern: &Pattern) -> Option<String> {
    let Some((name, value)) = pattern.as_str().split_once('=') else { return pattern.cedar("resource.name") };
    let name = Pattern::new(name).cedar("resource.name");
    let value = Pattern::new(value).cedar("resource.value");
    let known = Some("resource has value".to_owned());
    let all: Vec<String> = [name, known, value].into_iter().flatten().collect();
    Some(format!("({})", all.join(" && ")))
}

/// Any of the alternatives; one that is always true makes the condition none.
fn any(all: &mut Vec<String>, alternatives: impl Iterator<Item = Option<String>>) {
    let alternatives: Option<Vec<String>> = alternatives.collect();
    match alternatives.as_deref() {
        None | Some([]) => {}
        Some([one]) => all.push(one.clone()),
        Some(several) => all.push(format!("({})", several.join(" || "))),
    }
}

fn either(pattern: &Pattern, attributes: &[&str]) -> Option<String> {
    let terms: Option<Vec<String>> = attributes.iter().map(|a| pattern.cedar(a)).collect();
    terms.map(|t| format!("({})", t.join(" || ")))
}

fn both(pattern: &RelationPattern, schema: &str, name: &str) -> Option<String> {
    let terms: Vec<String> =
        [pattern.schema.cedar(schema), pattern.name.cedar(name)].into_iter().flatten().collect();
    match terms.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        _ => Some(format!("({})", terms.join(" && "))),
    }
}

fn table_term(pattern: &RelationPattern, written: bool) -> Option<String> {
    let resolved = both(pattern, "resource.schema", "resource.name")?;
    if !written {
        return Some(resolved);
    }
    let (schema, name) = (pattern.schema.as_str(), pattern.name.as_str());
    let full = Pattern::new(&format!("{schema}.{name}")).cedar("resource.written");
    let bare = pattern.schema.is_any().then(|| pattern.name.cedar("resource.written")).flatten();
    let all: Vec<String> = [Some(resolved), full, bare].into_iter().flatten().collect();
    Some(format!("({})", all.join(" || ")))
}

fn column_term(pattern: &ColumnPattern) -> Option<String> {
    let relation = both(&pattern.relation, "resource.schema", "resource.table");
    let column = pattern.column.cedar("resource.name");
    match (relation, column) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one),
        (Some(relation), Some(column)) => Some(format!("({relation} && {column})")),
    }
}
