//! Cases beside the rules: `[[test]]`. Each says what is asked and what must be decided.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use firsthand_model::command::{Effect, Effects};
use firsthand_model::decision::Verdict;
use firsthand_model::id::SessionId;
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{
    Column, Derivation, Facts, Opaque, Output, OutputColumn, Relation, RelationKind,
};
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::UnixMicros;

use crate::advice::advice;
use crate::limits::listed;
use crate::rule::Case;
use crate::rules::{Given, Rules};
use crate::window::open_bits;

/// How a case came out.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The case.
    pub case: Case,
    /// What was decided.
    pub verdict: Verdict,
    /// By which rule.
    pub rule: Arc<str>,
    /// The sentence.
    pub reason: Arc<str>,
    /// What is advised.
    pub advice: String,
    /// What is wrong; empty when it came out as it must.
    pub wrong: Vec<String>,
}

/// Makes facts of a text, for each of its statements.
pub type Analyse<'a> = &'a dyn Fn(&str) -> Vec<Facts>;

/// What is wrong with a case whose statement cannot be judged: without definitions it would be denied, whatever the rules say.
const UNTOLD: &str = "what its statement does cannot be told without a target's definitions: give --target TARGET, or write what \
                      it does (effects, reads, …) in place of sql";

/// Tries the cases that stand beside the rules. Without `analyse`, those with a statement are wrong.
#[must_use]
pub fn run(rules: &Rules, analyse: Option<Analyse<'_>>) -> Vec<Tried> {
    let cases = rules.with_compiled(|c| c.cases.clone());
    let all = |case: &Case| match analyse {
        _ if case.sql.is_empty() => Ok(vec![facts(case)]),
        Some(analyse) => Ok(analyse(&case.sql)),
        None => Err(UNTOLD),
    };
    cases
        .into_iter()
        .map(|case| match all(&case) {
            Ok(all) => one(rules, case, &all),
            Err(why) => untried(case, why),
        })
        .collect()
}

fn untried(case: Case, why: &str) -> Tried {
    let (rule, reason, advice) = (Arc::from(""), Arc::from(""), String::new());
    Tried { case, verdict: Verdict::Deny, rule, reason, advice, wrong: vec![why.to_owned()] }
}

fn one(rules: &Rules, case: Case, all: &[Facts]) -> Tried {
    let session = session(&case);
    let now = case.at.parse::<jiff::Timestamp>().ok();
    let now = UnixMicros(now.map_or(0, |t| t.as_microsecond().unsigned_abs()));
    let windows = rules.with_compiled(|c| if case.at.is_empty() { 0 } else { open_bits(&c.windows, now) });
    let given = Given { estimated_rows: case.estimated_rows, ..Given::default() };
    let strict = |v: Verdict| [Verdict::Allow, Verdict::Hold, Verdict::Deny].iter().position(|o| *o == v);
    let suppose =
        |session: &SessionFacts, facts: &Facts, windows, given| rules.suppose(session, facts, windows, given);
    let judged =
        all.iter().map(|f| (f, suppose(&session, f, windows, given))).max_by_key(|(_, j)| strict(j.verdict));
    let Some((asked, judged)) = judged else { return untried(case, "there is no statement in it") };
    let mut wrong = Vec::new();
    if judged.verdict != case.verdict {
        let (want, got) = (case.verdict.word(), judged.verdict.word());
        wrong.push(format!("expected {want}, decided {got} by {}", judged.rule));
    }
    if !case.rule.is_empty() && *judged.rule != *case.rule {
        wrong.push(format!("expected rule {}, decided by {}", case.rule, judged.rule));
    }
    let advice = rules.with_compiled(|c| advice(&suppose, &session, asked, (windows, given), &judged, c));
    if !advice.contains(&case.advice) {
        wrong.push(format!("expected advice with {:?}, got {advice:?}", case.advice));
    }
    if let Some(want) = &case.limits {
        let got = judged.obligations.limits.as_deref().map(listed).unwrap_or_default();
        if *want != got {
            wrong.push(format!("expected limits {want:?}, got {got:?}"));
        }
    }
    if let Some(want) = &case.masks {
        let got = masks(&judged.obligations.mask, all.first());
        if got != *want {
            wrong.push(format!("expected masks {want:?}, got {got:?}"));
        }
    }
    Tried { verdict: judged.verdict, rule: judged.rule, reason: judged.reason, advice, case, wrong }
}

fn masks(duty: &firsthand_model::masking::MaskDuty, facts: Option<&Facts>) -> Vec<String> {
    let names = match facts.map(|f| &f.output) {
        Some(Output::Columns(columns)) => columns.iter().map(|c| c.name.clone()).collect(),
        Some(Output::None | Output::Untold(_)) | None => Vec::new(),
    };
    let masks = duty.columns.as_deref().unwrap_or_default();
    let said =
        names.iter().zip(masks).filter_map(|(n, m)| m.as_ref().map(|m| format!("{n}={}", m.style.word())));
    said.collect()
}

fn session(case: &Case) -> SessionFacts {
    let link =
        |kind, name: &str| Link { kind, id: name.to_owned(), name: name.to_owned(), trust: Trust::Bound };
    let mut chain = Vec::new();
    if !case.on_behalf_of.is_empty() {
        chain.push(link(IdentityKind::Human, &case.on_behalf_of));
    }
    chain.push(link(case.kind, &case.identity));
    SessionFacts {
        id: SessionId(0),
        identity: Arc::new(Identity {
            chain,
            login: case.identity.clone(),
            subject: String::new(),
            targets: vec![case.target.clone()],
            groups: case.groups.clone(),
            owner: Some(case.owner.clone()).filter(|owner| !owner.is_empty()),
            ..Identity::default()
        }),
        target: case.target.clone(),
        database: case.target.clone(),
        session_role: String::new(),
        role: String::new(),
        backend_pid: 0,
        server_version: String::new(),
        application: case.application.clone(),
        durability: Durability::Strict,
        mode: Mode::Enforce,
        role_of: firsthand_model::session::RoleOf::Target,
        encoded: OnceLock::new(),
    }
}

/// The facts that a case gives itself.
fn facts(case: &Case) -> Facts {
    let effects = case.effects.iter().fold(Effects::NONE, |all, e| all.and(*e));
    let effects = if case.opaque.is_empty() { effects } else { effects.and(Effect::Unknown) };
    let columns = |texts: &[String]| texts.iter().map(|t| column(t)).collect::<Vec<_>>();
    let shows: Vec<OutputColumn> = case.shows.iter().map(|text| shown(text)).collect();
    Facts {
        by_name: false,
        effects,
        reads: case.reads.iter().map(|t| relation(t)).collect(),
        writes: case.writes.iter().map(|t| relation(t)).collect(),
        functions: case.functions.iter().map(|f| qualified(f, "pg_catalog")).collect(),
        settings: case.settings.clone(),
        unbounded: case.unbounded,
        takes_along: false,
        opaque_along: false,
        code_writes: false,
        opaque: (!case.opaque.is_empty()).then(|| Opaque { why: reason(&case.opaque), what: String::new() }),
        output: if shows.is_empty() { Output::None } else { Output::Columns(shows) },
        tested: columns(&case.tests),
        copied: columns(&case.copies),
    }
}

/// Reasons that a statement's doing cannot be told, as the analysis gives them.
const REASONS: &[&str] = &[
    "do",
    "call",
    "dynamic-sql",
    "function",
    "operator",
    "unparsed",
    "several",
    "prepared",
    "cursor",
    "relation",
    "no-catalog",
];

fn reason(word: &str) -> &'static str {
    REASONS.iter().find(|r| **r == word).copied().unwrap_or("other")
}

fn qualified(name: &str, schema: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{schema}.{name}") }
}

fn relation(text: &str) -> Relation {
    let (schema, name) = text.split_once('.').unwrap_or(("public", text));
    Relation {
        written: text.to_owned(),
        schema: schema.to_owned(),
        name: name.to_owned(),
        kind: RelationKind::Table,
        ..Relation::default()
    }
}

/// `customers.email`, `public.customers.email`.
fn column(text: &str) -> Column {
    let parts: Vec<&str> = text.split('.').collect();
    let (schema, relation, column) = match parts.as_slice() {
        [schema, relation, column] => (*schema, *relation, *column),
        [relation, column] => ("public", *relation, *column),
        _ => ("", "", text),
    };
    let (schema, relation) = (schema.to_owned(), relation.to_owned());
    Column { schema, relation, column: column.to_owned(), labels: Vec::new() }
}

/// `customers.email`; `lower:customers.email` (made of it); `mix:a.b,a.c` (of several); `row:customers`; `clean`;
/// `unknown`.
fn shown(text: &str) -> OutputColumn {
    let (derivation, sources) = match text.split_once(':') {
        None if text == "clean" => (Derivation::Clean, ""),
        None if text == "unknown" => (Derivation::Unknown, ""),
        None => (Derivation::Same, text),
        Some(("mix", rest)) => (Derivation::Mixed, rest),
        Some(("row", rest)) => (Derivation::Row, rest),
        Some((_, rest)) => (Derivation::Derived, rest),
    };
    let mut sources: Vec<Column> = sources.split(',').filter(|s| !s.is_empty()).map(column).collect();
    if derivation == Derivation::Row {
        sources = text.split_once(':').map(|(_, rest)| relation(rest)).into_iter().map(whole).collect();
    }
    let name = match sources.as_slice() {
        [one] if derivation != Derivation::Row => one.column.clone(),
        _ => text.to_owned(),
    };
    OutputColumn { name, sources, derivation, kept: Vec::new(), type_oid: 0 }
}

fn whole(relation: Relation) -> Column {
    let Relation { schema, name, .. } = relation;
    Column { schema, relation: name, column: String::new(), labels: Vec::new() }
}

/// How many cases each rule has that it allows, and that it does not.
#[must_use]
pub fn covered(tried: &[Tried]) -> BTreeMap<Arc<str>, usize> {
    let mut counts = BTreeMap::new();
    for one in tried {
        *counts.entry(Arc::clone(&one.rule)).or_default() += 1;
    }
    counts
}
