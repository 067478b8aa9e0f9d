//! From the text of a rule file to its nouns. Strict: what is not understood is an error with its place and the nearest
//! word, because a rule that is skipped is a rule that does not protect.

pub mod keys;
mod parts;
mod table;

use std::cell::RefCell;
use std::collections::HashSet;

use firsthand_model::amount::Each;
use firsthand_model::decision::Verdict;
use firsthand_model::identity::IdentityKind;
use firsthand_model::masking::Style;
use toml::de::DeTable;

use crate::pattern::{ColumnPattern, Pattern};
use crate::rule::{
    Approve, Bounds, Case, Conditions, Defaults, Document, Group, Label, Limit, Mask, OpaqueCondition, Place,
    Problem, Rule, Use,
};
use crate::terms;
use parts::{conditions, effect};
pub(crate) use table::nearest;
use table::{Source, Table};

/// Names of rules that Firsthand itself gives.
pub(crate) const RESERVED: &[&str] = &["identity", "token-targets", "no-rule", "policy-error", "read-only"];

/// Reads one file.
///
/// # Errors
/// Every problem found.
pub fn read(file: &str, text: &str) -> Result<Document, Vec<Problem>> {
    let source = Source { file, text, problems: RefCell::default() };
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(e) => {
            source.problem(&e.span().unwrap_or(0..0), "", e.message(), "this is not TOML (see toml.io)");
            return Err(source.problems.into_inner());
        }
    };
    let top = Table::open(&source, "", String::new(), table.get_ref(), 0..0);
    let document = Document {
        rules: top.tables("rule").iter().filter_map(rule).collect(),
        masks: top.tables("mask").iter().filter_map(mask).collect(),
        limits: top.tables("limit").iter().filter_map(limit).collect(),
        labels: top.tables("label").iter().filter_map(label).collect(),
        groups: top.tables("group").iter().filter_map(group).collect(),
        windows: top.tables("window").iter().filter_map(parts::window).collect(),
        cases: top.tables("test").iter().filter_map(case).collect(),
        defaults: top.table("defaults").map(|t| (defaults(&t), t.place())),
    };
    let mut problems = source.problems.into_inner();
    problems.sort_by_key(|p| (p.line, p.column));
    if problems.is_empty() { Ok(document) } else { Err(problems) }
}

fn name(table: &Table<'_>) -> Option<String> {
    let name = table.required("name")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.len() > 64 || !name.value.chars().all(fits) {
        table.bad(
            &name.span,
            "name",
            format!("`{}` is not fit for a name", name.value.escape_debug()),
            "use up to 64 letters, digits, `-`, `_` and `.`: it stands in refusals and in the record",
        );
    }
    if RESERVED.contains(&name.value.as_str()) || name.value.starts_with("firsthand.") {
        table.bad(
            &name.span,
            "name",
            format!("`{}` is a name of Firsthand's own", name.value),
            "choose another",
        );
    }
    Some(name.value)
}

fn verdict(word: &str) -> Option<Verdict> {
    [Verdict::Allow, Verdict::Deny, Verdict::Hold].into_iter().find(|v| v.word() == word)
}

fn required_verdict(table: &Table<'_>) -> Option<Verdict> {
    if !table.has("verdict") {
        table.missing("verdict");
    }
    table.choice("verdict", verdict)
}

fn rule(table: &Table<'_>) -> Option<Rule> {
    let (name, because) = (name(table), table.required("because"));
    let verdict = required_verdict(table);
    let when = conditions(table);
    let unless = unless(table, parts::one_kind_of_thing);
    parts::one_kind_of_thing(table, &when);
    let approve = table.table("approve").and_then(|t| approve(&t));
    match verdict {
        Some(Verdict::Hold) if !table.has("approve") => {
            table.bad(
                &table.span,
                "approve",
                "is missing: a hold must say who can approve",
                "add `approve = { group = … }`",
            );
        }
        Some(Verdict::Allow | Verdict::Deny) if table.has("approve") => {
            table.bad(
                &table.span,
                "approve",
                "stands in a rule that does not hold",
                "use verdict = \"hold\", or leave it out",
            );
        }
        _ => {}
    }
    if verdict == Some(Verdict::Allow) && !when.applications.is_empty() && !parts::says_who(&when) {
        table.bad(
            &table.span,
            "applications",
            "is a claim, which anybody can make, and nothing else says who this rule lets through",
            "add `kinds`, `identities` or `groups`",
        );
    }
    Some(Rule {
        name: name?,
        because: because?.value,
        verdict: verdict?,
        when,
        unless,
        approve,
        place: table.place(),
    })
}

/// Conditions of `unless`, which are checked as those beside it.
fn unless(table: &Table<'_>, check: fn(&Table<'_>, &Conditions)) -> Option<Conditions> {
    let unless = table.table("unless")?;
    let conditions = conditions(&unless);
    check(&unless, &conditions);
    Some(conditions)
}

fn approve(table: &Table<'_>) -> Option<Approve> {
    let group = table.required("group");
    let quorum = table.count("quorum").unwrap_or(1);
    if quorum == 0 {
        table.bad(&table.span, "quorum", "must be at least 1", "leave it out for 1");
    }
    let seconds = |key: &str, most: u64| {
        let s = table.duration(key)? / 1000;
        if s > most {
            table.bad(&table.span, key, format!("is longer than {most} s"), "write a shorter time");
        }
        Some(s)
    };
    let ttl = seconds("ttl", terms::TERM_S_MAX).unwrap_or(terms::TTL_S);
    let spend = seconds("spend", terms::TERM_S_MAX).unwrap_or(terms::SPEND_S);
    for (key, time) in [("ttl", ttl), ("spend", spend)] {
        if time == 0 {
            table.bad(&table.span, key, "must be at least a second", "leave it out for 15m");
        }
    }
    let wait = seconds("wait", terms::WAIT_S_MAX);
    if table.flag("once") == Some(false) {
        table.bad(
            &table.span,
            "once",
            "is false: an approval is of one command, and spent by it",
            "leave it out; what need not be asked each time is a rule that allows",
        );
    }
    let group = group?;
    if group.value.contains(',') {
        table.bad(&group.span, "group", "has a comma in its name", "name one group; two rules need two");
    }
    let own = table.flag("own").unwrap_or(false);
    let mut break_glass = Vec::new();
    for group in table.texts("break_glass") {
        if group.value.is_empty() || group.value.contains(',') {
            table.bad(
                &group.span,
                "break_glass",
                "names a group that is none: it is empty, or has a comma in its name",
                "write `break_glass = [\"oncall\"]`",
            );
        }
        break_glass.push(group.value);
    }
    let signed = table.flag("signed").unwrap_or(false);
    Some(Approve { group: group.value, quorum, ttl, spend, wait, own, break_glass, signed })
}

fn mask(table: &Table<'_>) -> Option<Mask> {
    let name = name(table);
    let because = table.text("because").map(|t| t.value).unwrap_or_default();
    let when = conditions(table);
    let unless = unless(table, parts::only_who_where_and_columns);
    if when.columns.is_empty() && when.labels.is_empty() {
        table.bad(
            &table.span,
            "labels",
            "is missing: a mask must say what it masks",
            "add `labels = […]` or `columns = […]`",
        );
    }
    parts::only_who_where_and_columns(table, &when);
    let style =
        table.choice("style", |w| Style::ALL.into_iter().find(|s| s.word() == w)).unwrap_or(Style::Redact);
    let r#use = |key: &str, default: Use| table.choice(key, Use::parse).unwrap_or(default);
    Some(Mask {
        name: name?,
        because,
        style,
        when,
        unless,
        detect: table.flag("detect").unwrap_or(false),
        in_predicate: r#use("masked_in_predicate", Use::Record),
        copied: r#use("masked_copied", Use::Deny),
        written_back: r#use("masked_written_back", Use::Deny),
        place: table.place(),
    })
}

/// What a limit has besides who and where; if one of them is there and says nothing, it is wrong in itself.
const LIMITING: [&str; 9] =
    ["rows", "bytes", "cells", "affected", "time", "sessions", "commands_per_second", "session", "day"];
/// The longest time of a statement that can be limited: beyond it, it is a mistake.
const TIME_MS_MAX: u64 = 366 * 24 * 3_600_000;

fn limit(table: &Table<'_>) -> Option<Limit> {
    let name = name(table);
    let because = table.text("because").map(|t| t.value).unwrap_or_default();
    let when = conditions(table);
    let unless = unless(table, parts::only_who_and_where);
    parts::only_who_and_where(table, &when);
    let span = |key: &str| table.table(key).map(|t| sums(&t)).unwrap_or_default();
    let bounds = Bounds {
        statement: sums(table),
        session: span("session"),
        day: span("day"),
        time_ms: table.duration("time"),
        sessions: table.count("sessions"),
        commands_per_second: table.count("commands_per_second"),
    };
    if let Some(at) = table.span_of("time")
        && bounds.time_ms.is_some_and(|ms| ms == 0 || ms > TIME_MS_MAX)
    {
        table.bad(
            &at,
            "time",
            "must be more than nothing and less than a year",
            "write it like `30s` or `5m`",
        );
    }
    if bounds == Bounds::default() && LIMITING.iter().all(|key| !table.has(key)) {
        let hint = "add `rows`, `bytes`, `cells`, `affected`, `time`, `sessions`, `commands_per_second`, `session` or `day`";
        table.bad(&table.span, "rows", "is missing: the limit limits nothing", hint);
    }
    Some(Limit { name: name?, because, when, unless, bounds, place: table.place() })
}

/// What may be summed up.
fn sums(table: &Table<'_>) -> Each<Option<u64>> {
    Each {
        rows: table.count("rows"),
        bytes: table.size("bytes"),
        cells: table.count("cells"),
        affected: table.count("affected"),
    }
}

fn label(table: &Table<'_>) -> Option<Label> {
    let label = table.required("label");
    if let Some(label) = label.as_ref().filter(|l| !parts::fits_label(&l.value)) {
        let what = format!("`{}` is not fit for a label", label.value.escape_debug());
        table.bad(&label.span, "label", what, "use lower-case letters, digits, `-` and `_`");
    }
    if !table.has("columns") {
        table.missing("columns");
    }
    Some(Label {
        label: label?.value,
        columns: table.read("columns", ColumnPattern::read),
        except: table.read("except", ColumnPattern::read),
        targets: parts::patterns(table, "targets"),
    })
}

fn group(table: &Table<'_>) -> Option<Group> {
    let name = name(table);
    if !table.has("members") {
        table.missing("members");
    }
    Some(Group { name: name?, members: parts::patterns(table, "members") })
}

fn defaults(table: &Table<'_>) -> Defaults {
    let usual = Defaults::default();
    let allow = |key: &str, usual: bool| table.choice(key, |w| Some(w == "allow")).unwrap_or(usual);
    Defaults {
        agent: allow("agent", usual.agent),
        human: allow("human", usual.human),
        service: allow("service", usual.service),
    }
}

fn case(table: &Table<'_>) -> Option<Case> {
    let text = |key: &str| table.text(key).map(|t| t.value).unwrap_or_default();
    let texts = |key: &str| table.texts(key).into_iter().map(|t| t.value).collect::<Vec<_>>();
    let verdict = required_verdict(table);
    let (name, identity) = (text("name"), text("as"));
    let target = Some(text("target")).filter(|t| !t.is_empty()).unwrap_or_else(|| "any".to_owned());
    Some(Case {
        name,
        kind: table.choice("kind", IdentityKind::parse).unwrap_or(IdentityKind::Agent),
        identity: if identity.is_empty() { "somebody".to_owned() } else { identity },
        on_behalf_of: text("on_behalf_of"),
        owner: text("owner"),
        groups: texts("groups"),
        target,
        target_labels: texts("target_labels"),
        application: text("application"),
        at: text("at"),
        sql: text("sql"),
        effects: table.words("effects", effect),
        reads: texts("reads"),
        writes: texts("writes"),
        shows: texts("shows"),
        tests: texts("tests"),
        copies: texts("copies"),
        functions: texts("functions"),
        settings: texts("settings"),
        unbounded: table.flag("unbounded").unwrap_or(false),
        opaque: text("opaque"),
        estimated_rows: table.count("estimated_rows"),
        verdict: verdict?,
        rule: text("rule"),
        advice: text("advice"),
        masks: table.has("masks").then(|| texts("masks")),
        limits: table.has("limits").then(|| texts("limits")),
        place: table.place(),
    })
}

/// Puts the documents of several files together: names must be single, and what is named must exist.
///
/// # Errors
/// Every problem found.
pub fn merge(documents: Vec<Document>) -> Result<Document, Vec<Problem>> {
    let mut all = Document::default();
    let mut problems = Vec::new();
    for mut document in documents {
        all.rules.append(&mut document.rules);
        all.masks.append(&mut document.masks);
        all.limits.append(&mut document.limits);
        all.labels.append(&mut document.labels);
        all.groups.append(&mut document.groups);
        all.windows.append(&mut document.windows);
        all.cases.append(&mut document.cases);
        if let Some((_, place)) = &document.defaults
            && all.defaults.is_some()
        {
            problems.push(at(
                place,
                "defaults",
                "`[defaults]` stands in two files".into(),
                "keep one of them",
            ));
        }
        all.defaults = document.defaults.or(all.defaults);
    }
    if all.windows.len() > crate::window::WINDOWS_MAX {
        let what = format!("there are more than {} windows", crate::window::WINDOWS_MAX);
        problems.push(at(&Place::default(), "window", what, "use one window in several rules"));
    }
    check_names(&all, &mut problems);
    check_references(&all, &mut problems);
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn at(place: &Place, key: &str, what: String, hint: &str) -> Problem {
    let (file, line) = (place.file.clone(), place.line.max(1));
    Problem { file, line, column: 1, key: key.to_owned(), what, hint: hint.to_owned() }
}

fn check_names(all: &Document, problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    let rules = all.rules.iter().map(|r| (&r.name, &r.place));
    let masks = all.masks.iter().map(|m| (&m.name, &m.place));
    let limits = all.limits.iter().map(|l| (&l.name, &l.place));
    for (name, place) in rules.chain(masks).chain(limits) {
        if !seen.insert(name) {
            problems.push(at(
                place,
                "name",
                format!("`{name}` is taken by another rule"),
                "give each a name of its own",
            ));
        }
    }
    let (mut groups, mut windows) = (HashSet::new(), HashSet::new());
    for name in all.groups.iter().map(|g| &g.name).filter(|n| !groups.insert(*n)) {
        problems.push(at(
            &Place::default(),
            "group",
            format!("there are two groups `{name}`"),
            "put their members together",
        ));
    }
    for name in all.windows.iter().map(|w| &w.name).filter(|n| !windows.insert(*n)) {
        problems.push(at(
            &Place::default(),
            "window",
            format!("there are two windows `{name}`"),
            "rename one",
        ));
    }
}

fn check_references(all: &Document, problems: &mut Vec<Problem>) {
    let groups: Vec<&str> = all.groups.iter().map(|g| g.name.as_str()).collect();
    let windows: Vec<&str> = all.windows.iter().map(|w| w.name.as_str()).collect();
    let rules = all.rules.iter().map(|r| (&r.when, &r.unless, &r.place));
    let masks = all.masks.iter().map(|m| (&m.when, &m.unless, &m.place));
    let limits = all.limits.iter().map(|l| (&l.when, &l.unless, &l.place));
    for (when, unless, place) in rules.chain(masks).chain(limits) {
        for conditions in [Some(when), unless.as_ref()].into_iter().flatten() {
            let missing = |names: &[String], known: &[&str]| {
                names.iter().find(|n| !known.contains(&n.as_str())).map(|n| (n.clone(), nearest(n, known)))
            };
            // A group of an issuer is known to its tokens alone.
            let own: Vec<_> = conditions.groups.iter().filter(|g| !g.contains('/')).cloned().collect();
            if let Some((name, hint)) = missing(&own, &groups) {
                problems.push(at(place, "groups", format!("there is no `[[group]]` named `{name}`"), &hint));
            }
            for names in [&conditions.during, &conditions.outside] {
                if let Some((name, hint)) = missing(names, &windows) {
                    problems.push(at(
                        place,
                        "during",
                        format!("there is no `[[window]]` named `{name}`"),
                        &hint,
                    ));
                }
            }
        }
    }
    // Who approves may also be known by other means than these files (an identity provider's groups).
}

/// Reads the patterns of names, for other parts of the crate.
pub(crate) fn opaque(value: Result<bool, Vec<String>>) -> OpaqueCondition {
    match value {
        Ok(flag) => OpaqueCondition::Is(flag),
        Err(reasons) => OpaqueCondition::Because(reasons),
    }
}

/// Patterns of plain names.
pub(crate) fn plain(texts: Vec<String>) -> Vec<Pattern> {
    texts.iter().map(|t| Pattern::new(t)).collect()
}
