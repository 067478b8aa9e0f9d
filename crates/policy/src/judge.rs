//! What the rules say of one statement: every effect on everything it touches is asked for; the strictest answer counts.

use std::sync::Arc;

use firsthand_model::command::{Effect, Effects};
use firsthand_model::decision::{HoldTerms, Obligations, Verdict};
use firsthand_model::identity::IdentityKind;
use firsthand_model::masking::MaskDuty;
use firsthand_model::statement::{Column, Output, Relation};

use crate::compiled::{Compiled, Meta};
use crate::labels::{Columns, labels_of};
use crate::limits::{labelled, limits};
use crate::masks::{Masked, Origins, Veil};
use crate::question::{CALL, COLUMN, FUNCTION, Question, Said, Situation, Unfit};
use crate::rule::{Approve, Use};
use crate::terms;

/// One rule that spoke, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The rule.
    pub rule: Arc<str>,
    /// What it says.
    pub verdict: Verdict,
    /// Its sentence.
    pub because: Arc<str>,
    /// Where it stands.
    pub place: String,
    /// Of what: `write public.customers`.
    pub about: String,
}

/// What was decided, with all that spoke.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Allow, deny or hold.
    pub verdict: Verdict,
    /// The rule that is named.
    pub rule: Arc<str>,
    /// The sentence for who is refused.
    pub reason: Arc<str>,
    /// All rules that spoke, the named one first.
    pub fired: Vec<Fired>,
    /// Duties of an allow.
    pub obligations: Arc<Obligations>,
    /// Uses of masked columns that the record should know of.
    pub noted: Vec<String>,
    /// What could be read instead of what may not, as something to do.
    pub remedy: Option<String>,
    /// Of a hold: who must approve.
    pub terms: Option<Arc<HoldTerms>>,
}

impl Judgement {
    /// Whether it is refused for columns that it shows or reads.
    pub(crate) fn is_about_columns(&self) -> bool {
        self.fired.first().is_some_and(|f| f.about.starts_with(UNRESOLVED) || f.about.starts_with("read "))
    }

    /// Whether it is refused for what cannot be told of the statement.
    pub(crate) fn is_about_the_unknown(&self) -> bool {
        self.fired.iter().any(|f| f.about.starts_with(UNTOLD)) || self.reason.contains(UNTOLD)
    }
}

/// How what cannot be told begins, in what a refusal is about.
const UNTOLD: &str = "what cannot be told";
/// The same of masked columns.
const UNRESOLVED: &str = "what it would show cannot be resolved";
/// Columns that are named as what could be read instead.
const REMEDY_COLUMNS_MAX: usize = 12;

/// The name of what is decided when no rule speaks.
pub(crate) const NO_RULE: &str = "no-rule";
/// The name of what is decided when rules cannot be asked.
pub(crate) const POLICY_ERROR: &str = "policy-error";

/// Gathers answers.
#[derive(Default)]
struct Gathered {
    fired: Vec<(usize, Fired)>,
    allowed: Option<(usize, Fired)>,
    unpermitted: Option<String>,
    noted: Vec<String>,
    remedy: Option<String>,
    /// Who must approve, by the order of the rule that says so.
    approve: Vec<(usize, Approve)>,
}

impl Gathered {
    fn take(&mut self, said: &Said, about: impl Fn() -> String) {
        if said.allowed {
            for meta in said.by.iter().filter(|m| m.permits) {
                // An operator's rule is named rather than one of Firsthand's own.
                let order = if meta.base { usize::MAX } else { meta.order };
                if self.allowed.as_ref().is_none_or(|(earlier, _)| order < *earlier) {
                    self.allowed = Some((order, fired(meta, Verdict::Allow, about())));
                }
            }
            return;
        }
        let mut any = false;
        for meta in said.by.iter().filter(|m| !m.permits) {
            any = true;
            let verdict = if meta.hold.is_some() { Verdict::Hold } else { Verdict::Deny };
            self.push(meta, verdict, about());
        }
        if !any && self.unpermitted.is_none() {
            self.unpermitted = Some(about());
        }
    }

    fn push(&mut self, meta: &Meta, verdict: Verdict, about: String) {
        if let Some(approve) =
            meta.hold.as_ref().filter(|_| self.approve.iter().all(|(o, _)| *o != meta.order))
        {
            self.approve.push((meta.order, approve.clone()));
        }
        self.fired.push((meta.order, fired(meta, verdict, about)));
    }

    /// A masked column is used otherwise than to be shown.
    fn used(&mut self, masked: &Masked, how: Use, about: impl Fn() -> String) {
        match how {
            Use::Allow => {}
            Use::Record => self.noted.push(about()),
            Use::Hold => self.push(&masked.meta, Verdict::Hold, about()),
            Use::Deny => self.push(&masked.meta, Verdict::Deny, about()),
        }
    }
}

fn fired(meta: &Meta, verdict: Verdict, about: String) -> Fired {
    let (rule, because) = (Arc::clone(&meta.name), Arc::clone(&meta.because));
    let rule = if meta.base { Arc::from(rule.trim_start_matches("firsthand.")) } else { rule };
    Fired { rule, verdict, because, place: meta.place.clone(), about }
}

/// Judges. `origins` are the masks of the target's columns for who asks, made once.
pub(crate) fn judge(
    compiled: &Compiled,
    on: Situation<'_>,
    columns: Option<&Columns>,
    origins: &dyn Fn(&mut Veil<'_, '_>) -> Result<Origins, Unfit>,
) -> Judgement {
    match try_judge(compiled, on, columns, origins) {
        Ok(judgement) => judgement,
        Err(Unfit) => Judgement {
            obligations: only_texts(compiled.detects),
            ..refuse(POLICY_ERROR, "the rules could not be evaluated, so nothing is allowed")
        },
    }
}

/// What is left to do for a command that is refused: its text stands in the record.
pub(crate) fn only_texts(texts: bool) -> Arc<Obligations> {
    Arc::new(Obligations { mask: MaskDuty::of_texts(texts), ..Obligations::default() })
}

fn refuse(rule: &str, reason: &str) -> Judgement {
    Judgement {
        verdict: Verdict::Deny,
        rule: Arc::from(rule),
        reason: Arc::from(reason),
        fired: Vec::new(),
        obligations: Arc::default(),
        noted: Vec::new(),
        remedy: None,
        terms: None,
    }
}

fn try_judge(
    compiled: &Compiled,
    on: Situation<'_>,
    columns: Option<&Columns>,
    origins: &dyn Fn(&mut Veil<'_, '_>) -> Result<Origins, Unfit>,
) -> Result<Judgement, Unfit> {
    let mut question = Question::new(compiled, on)?;
    let mut gathered = Gathered::default();
    for effect in on.effects.iter() {
        ask_effect(&mut question, effect, &mut gathered)?;
    }
    ask_modes(&mut question, &mut gathered)?;
    ask_functions(&mut question, &mut gathered)?;
    ask_columns(compiled, &mut question, columns, &mut gathered)?;
    let mut veil = Veil::new(&mut question, compiled, columns);
    ask_uses(&mut veil, on, &mut gathered)?;
    let origins = if compiled.has_masks { origins(&mut veil)? } else { Origins::default() };
    let unresolved = veil.unresolved(on.facts)?;
    if unresolved.is_some() {
        gathered.remedy = Some(unmasked(&mut veil, on, columns)?);
    }
    let mask = match unresolved {
        Some(_) if !on.observed => MaskDuty::of_texts(veil.detects()?),
        _ => veil.duty(on.facts, origins)?,
    };
    let mut limits = limits(&mut question)?;
    if limits.counts_cells() {
        limits.labelled = labelled(compiled, &on, columns);
    }
    let limits = limits.any().then(|| Arc::new(limits));
    let obligations = Obligations { mask, limits };
    if let Some(masked) = unresolved {
        let why = match &on.facts.output {
            Output::Untold(why) => *why,
            Output::None | Output::Columns(_) => "its rows cannot be told",
        };
        let about = format!("{UNRESOLVED} while labelled data is in reach: {why}");
        gathered.push(&masked.meta, Verdict::Deny, about);
    }
    Ok(conclude(on, gathered, obligations))
}

/// One effect, on everything that it is on; without such a thing, on the target.
fn ask_effect(question: &mut Question<'_>, effect: Effect, gathered: &mut Gathered) -> Result<(), Unfit> {
    let (action, facts) = (effect as u8, question.on.facts);
    let word = effect.word();
    let relations: &[Relation] = match effect {
        Effect::Read => &facts.reads,
        Effect::Write | Effect::Define | Effect::Grant => &facts.writes,
        Effect::Lock if facts.writes.is_empty() => &facts.reads,
        Effect::Lock => &facts.writes,
        Effect::Execute | Effect::Session | Effect::Transaction | Effect::System | Effect::Unknown => &[],
    };
    for relation in relations {
        let said = question.table(action, relation)?;
        gathered.take(&said, || format!("{word} {}", shown(relation)));
    }
    let settings: &[String] = if effect == Effect::Session { &facts.settings } else { &[] };
    for setting in settings {
        let said = question.setting(action, setting)?;
        gathered.take(&said, || format!("set {setting}"));
    }
    if relations.is_empty() && settings.is_empty() {
        let said = question.target(action)?;
        let opaque = facts.opaque.as_ref().filter(|_| effect == Effect::Unknown);
        gathered.take(&said, || match opaque {
            Some(o) if o.what.is_empty() => format!("{UNTOLD} ({})", o.why),
            Some(o) => format!("{UNTOLD} ({}: {})", o.why, o.what),
            None => word.to_owned(),
        });
    }
    Ok(())
}

/// Settings that come with something else, such as the modes of a transaction: they need no leave of their own, only none
/// that forbids them.
fn ask_modes(question: &mut Question<'_>, gathered: &mut Gathered) -> Result<(), Unfit> {
    if question.on.effects.has(Effect::Session) {
        return Ok(());
    }
    for setting in &question.on.facts.settings {
        let said = question.setting(Effect::Session as u8, setting)?;
        if said.by.iter().any(|m| !m.permits) {
            gathered.take(&said, || format!("set {setting}"));
        }
    }
    Ok(())
}

fn ask_functions(question: &mut Question<'_>, gathered: &mut Gathered) -> Result<(), Unfit> {
    if !question.rules_speak(CALL, FUNCTION) {
        return Ok(());
    }
    for name in &question.on.facts.functions {
        let said = question.function(name)?;
        if !said.allowed {
            gathered.take(&said, || format!("call {name}"));
        }
    }
    Ok(())
}

/// Rules that name columns or labels: asked for every column that is known to be read or written.
fn ask_columns(
    compiled: &Compiled,
    question: &mut Question<'_>,
    known: Option<&Columns>,
    gathered: &mut Gathered,
) -> Result<(), Unfit> {
    let facts = question.on.facts;
    for (effect, relations) in [(Effect::Read, &facts.reads), (Effect::Write, &facts.writes)] {
        let action = effect as u8;
        if !question.on.effects.has(effect) || !question.rules_speak(action, COLUMN) {
            continue;
        }
        let mut touched: Vec<Column> = Vec::new();
        if effect == Effect::Read {
            if let Output::Columns(columns) = &facts.output {
                touched.extend(columns.iter().flat_map(|c| c.sources.iter().cloned()));
            }
            touched.extend(facts.tested.iter().chain(&facts.copied).cloned());
        }
        for relation in relations {
            touched.extend(named_columns(relation, effect, known));
        }
        touched.sort();
        touched.dedup();
        for column in &touched {
            let labels = labels_of(compiled, question.on.target, column);
            let said = question.column(action, column, &labels)?;
            if !said.allowed {
                gathered.take(&said, || format!("{} {}", effect.word(), shown_column(column)));
                if effect == Effect::Read && gathered.remedy.is_none() {
                    gathered.remedy = readable(compiled, question, known, column)?;
                }
            }
        }
    }
    Ok(())
}

/// The columns beside a refused one that may be read.
fn readable(
    compiled: &Compiled,
    question: &mut Question<'_>,
    known: Option<&Columns>,
    refused: &Column,
) -> Result<Option<String>, Unfit> {
    let all: Vec<Column> = match known.and_then(|k| k.of(&refused.schema, &refused.relation)) {
        Some(listed) => listed.iter().map(|known| known.column.clone()).collect(),
        // The server's own relations are not listed: those that the statement reads.
        None => {
            let it = |r: &&Relation| r.schema == refused.schema && r.name == refused.relation;
            let read = question.on.facts.reads.iter().filter(it);
            read.flat_map(|relation| named_columns(relation, Effect::Read, known)).collect()
        }
    };
    let mut names = Vec::new();
    for column in all.iter().filter(|column| column.column != refused.column) {
        let labels = labels_of(compiled, question.on.target, column);
        let said = question.column(Effect::Read as u8, column, &labels)?;
        if said.allowed {
            names.push(column.column.as_str());
        }
    }
    let of = format!("{}.{}", refused.schema, refused.relation);
    Ok(listing(&names).map(|names| format!("Of {of} read only the columns {names}.")))
}

/// The columns without a mask of what a statement reads, whose rows cannot be told.
fn unmasked(veil: &mut Veil<'_, '_>, on: Situation<'_>, known: Option<&Columns>) -> Result<String, Unfit> {
    let mut names = Vec::new();
    for relation in &on.facts.reads {
        for known in known.and_then(|k| k.of(&relation.schema, &relation.name)).unwrap_or_default() {
            if veil.of(&known.column)?.is_none() {
                names.push(known.column.column.as_str());
            }
        }
    }
    let without = listing(&names).map(|names| format!("; without a mask are {names}")).unwrap_or_default();
    Ok(format!("Select the columns that you need by their names{without}."))
}

/// `a, b and 3 more`.
fn listing(names: &[&str]) -> Option<String> {
    let shown = names.get(..REMEDY_COLUMNS_MAX).unwrap_or(names);
    let more = names.len() - shown.len();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{rest}", shown.join(", ")))
}

/// The columns that a statement names of a relation; a write that names none writes any.
fn named_columns(relation: &Relation, effect: Effect, known: Option<&Columns>) -> Vec<Column> {
    let column = |name: &str| Column {
        schema: relation.schema.clone(),
        relation: relation.name.clone(),
        column: name.to_owned(),
        labels: Vec::new(),
    };
    if relation.columns.is_empty() && effect == Effect::Write {
        let listed = known.and_then(|k| k.of(&relation.schema, &relation.name));
        return listed.map_or_else(|| vec![column("")], |l| l.iter().map(|k| k.column.clone()).collect());
    }
    relation.columns.iter().map(|name| column(name)).collect()
}

fn ask_uses(veil: &mut Veil<'_, '_>, on: Situation<'_>, gathered: &mut Gathered) -> Result<(), Unfit> {
    for column in &on.facts.tested {
        if let Some(masked) = veil.of(column)? {
            let about = || format!("compare or sort by the masked column {}", shown_column(column));
            gathered.used(&masked, masked.meta.in_predicate, about);
        }
    }
    for column in &on.facts.copied {
        if let Some(masked) = veil.of(column)? {
            let about = || format!("store the masked column {} elsewhere", shown_column(column));
            gathered.used(&masked, masked.meta.copied, about);
        }
    }
    let facts = on.facts;
    let keeps =
        |name: &&String| KEEPS.iter().any(|keeps| name.rsplit('.').next().unwrap_or(name).starts_with(keeps));
    let Some(keeper) = facts.functions.iter().find(keeps) else { return Ok(()) };
    for relation in &facts.reads {
        let mut columns = named_columns(relation, Effect::Read, None);
        if columns.is_empty() {
            columns.push(whole(relation));
        }
        for column in &columns {
            if let Some(masked) = veil.of(column)? {
                let about =
                    || format!("store the masked column {} elsewhere (by {keeper})", shown_column(column));
                gathered.used(&masked, masked.meta.copied, about);
            }
        }
    }
    Ok(())
}

/// Functions that keep or hand on what they are given, where nothing tells any more where it comes from: settings,
/// notifications, large objects, sequences, keys of locks, messages of the log, other servers.
const KEEPS: [&str; 12] = [
    "set_config",
    "pg_notify",
    "lo_from_bytea",
    "lo_put",
    "lowrite",
    "setval",
    "pg_advisory_",
    "pg_try_advisory_",
    "pg_logical_emit_message",
    "dblink",
    "pg_file_write",
    "lo_create",
];

/// A relation as a whole.
fn whole(relation: &Relation) -> Column {
    let (schema, name) = (relation.schema.clone(), relation.name.clone());
    Column { schema, relation: name, column: String::new(), labels: Vec::new() }
}

/// What is left of the duties of a command that is denied: where that is not enforced, what it gives is masked all the same.
fn of_refused(on: Situation<'_>, obligations: Obligations) -> Arc<Obligations> {
    match on.observed {
        true => Arc::new(Obligations { mask: obligations.mask, ..Obligations::default() }),
        false => only_texts(obligations.mask.texts),
    }
}

fn conclude(on: Situation<'_>, gathered: Gathered, obligations: Obligations) -> Judgement {
    let Gathered { mut fired, allowed, unpermitted, noted, remedy, mut approve } = gathered;
    approve.sort_by_key(|(order, _)| *order);
    let strict = |verdict: Verdict| if verdict == Verdict::Deny { 0 } else { 1 };
    fired.sort_by_key(|(order, f)| (strict(f.verdict), *order));
    let mut fired: Vec<Fired> = fired.into_iter().map(|(_, f)| f).collect();
    fired.dedup();
    let denied = fired.first().is_some_and(|f| f.verdict == Verdict::Deny);
    if let Some(about) = unpermitted.filter(|_| !denied) {
        let kind = match on.kind() {
            IdentityKind::Human => "a person",
            IdentityKind::Service => "a service",
            IdentityKind::Agent | IdentityKind::Token | IdentityKind::Certificate => "an agent",
        };
        let reason = format!("no rule allows {kind} to {about} on {}", on.target);
        let obligations = of_refused(on, obligations);
        return Judgement { fired, noted, remedy, obligations, ..refuse(NO_RULE, &reason) };
    }
    let Some(first) = fired.first() else {
        let allowed = allowed.map(|(_, f)| f);
        let rule = allowed.as_ref().map_or_else(|| Arc::from("nothing-asked"), |f| Arc::clone(&f.rule));
        return Judgement {
            verdict: Verdict::Allow,
            rule,
            reason: Arc::from(""),
            fired: allowed.into_iter().collect(),
            obligations: Arc::new(obligations),
            noted,
            remedy: None,
            terms: None,
        };
    };
    let because: &str = if first.because.is_empty() { "a rule forbids this" } else { &first.because };
    let reason = format!("{} ({})", because.trim_end_matches('.'), first.about);
    let obligations = match first.verdict {
        Verdict::Hold => Arc::new(obligations),
        Verdict::Allow | Verdict::Deny => of_refused(on, obligations),
    };
    let (verdict, rule) = (first.verdict, Arc::clone(&first.rule));
    // Something else that holds it, and names nobody who could approve, cannot be approved by others.
    let held = |f: &&Fired| f.verdict == Verdict::Hold;
    let mut rules: Vec<&str> = fired.iter().filter(held).map(|f| &*f.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    let terms = (verdict == Verdict::Hold && rules.len() == approve.len())
        .then(|| terms::together(approve.iter().map(|(_, approve)| approve), on.kind()))
        .flatten();
    Judgement { verdict, rule, reason: Arc::from(reason), fired, obligations, noted, remedy, terms }
}

/// A relation as people read it.
pub fn shown(relation: &Relation) -> String {
    match (relation.schema.is_empty(), relation.written.is_empty()) {
        (false, _) => format!("{}.{}", relation.schema, relation.name),
        (true, false) => relation.written.clone(),
        (true, true) => relation.name.clone(),
    }
}

fn shown_column(column: &Column) -> String {
    let Column { schema, relation, column, .. } = column;
    let name = if column.is_empty() { "*" } else { column };
    format!("{schema}.{relation}.{name}")
}

/// What is asked for: never less than what cannot be told.
pub(crate) fn effects(facts: &firsthand_model::statement::Facts) -> Effects {
    if facts.opaque.is_some() { facts.effects.and(Effect::Unknown) } else { facts.effects }
}
