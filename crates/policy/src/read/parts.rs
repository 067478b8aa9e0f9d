//! What rules, masks and limits share: conditions; and windows of time.

use firsthand_model::command::Effect;
use firsthand_model::identity::IdentityKind;
use jiff::tz::TimeZone;

use super::table::Table;
use super::{opaque, plain};
use crate::pattern::{ColumnPattern, Pattern, RelationPattern};
use crate::rule::Conditions;
use crate::window::{Window, day, hours, moment};

/// Reads the word of an effect.
pub(crate) fn effect(word: &str) -> Option<Effect> {
    Effect::ALL.into_iter().find(|e| e.word() == word)
}

pub(super) fn patterns(table: &Table<'_>, key: &str) -> Vec<Pattern> {
    plain(table.texts(key).into_iter().map(|t| t.value).collect())
}

pub(super) fn fits_label(label: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    !label.is_empty() && label.len() <= 63 && label.chars().all(fits)
}

pub(super) fn conditions(table: &Table<'_>) -> Conditions {
    let words = |key: &str| table.texts(key).into_iter().map(|t| t.value).collect::<Vec<_>>();
    for label in table.texts("labels").iter().filter(|l| l.value != "*" && !fits_label(&l.value)) {
        let what = format!("`{}` is no label", label.value.escape_debug());
        table.bad(&label.span, "labels", what, "labels are lower-case words; `*` stands for any");
    }
    Conditions {
        kinds: table.words("kinds", IdentityKind::parse),
        identities: patterns(table, "identities"),
        on_behalf_of: patterns(table, "on_behalf_of"),
        owners: patterns(table, "owners"),
        groups: words("groups"),
        targets: patterns(table, "targets"),
        target_labels: words("target_labels"),
        databases: patterns(table, "databases"),
        roles: patterns(table, "roles"),
        effects: table.words("effects", effect),
        tables: table.read("tables", RelationPattern::read),
        columns: table.read("columns", ColumnPattern::read),
        labels: words("labels"),
        functions: table.read("functions", RelationPattern::read),
        settings: patterns(table, "settings"),
        unbounded: table.flag("unbounded"),
        rows_over: table.count("rows_over"),
        during: words("during"),
        outside: words("outside"),
        grants: patterns(table, "grants"),
        applications: patterns(table, "applications"),
        opaque: table.flag_or_texts("opaque").map(opaque),
    }
}

/// A rule looks at one thing of a statement at a time: a table, a column, a function or a setting.
pub(super) fn one_kind_of_thing(table: &Table<'_>, when: &Conditions) {
    let columns = !when.columns.is_empty() || !when.labels.is_empty();
    let kinds = [
        ("tables", !when.tables.is_empty()),
        ("columns", columns),
        ("functions", !when.functions.is_empty()),
        ("settings", !when.settings.is_empty()),
    ];
    let named: Vec<&str> = kinds.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    if let [first, second, ..] = named.as_slice() {
        table.bad(
            &table.span,
            second,
            format!("stands beside `{first}`: a rule looks at one kind of thing at a time"),
            "write two rules (a column's pattern can name its table)",
        );
    }
    let Some(first) = named.first() else { return };
    let touching: &[Effect] = match *first {
        "tables" => &[Effect::Read, Effect::Write, Effect::Define, Effect::Grant, Effect::Lock],
        "columns" => &[Effect::Read, Effect::Write],
        "functions" => &Effect::ALL,
        _ => &[Effect::Session],
    };
    if !when.effects.is_empty() && !when.effects.iter().any(|e| touching.contains(e)) {
        let words: Vec<&str> = touching.iter().map(|e| e.word()).collect();
        let what = format!("none of these effects is ever about `{first}`: the rule would never hold");
        table.bad(&table.span, "effects", what, format!("name one of {}, or leave it out", words.join(", ")));
    }
}

fn refuse_keys(table: &Table<'_>, keys: &[(&str, bool)], why: &str) {
    for (key, _) in keys.iter().filter(|(_, there)| *there) {
        table.bad(&table.span, key, why, "leave it out");
    }
}

fn statement_keys(when: &Conditions) -> [(&'static str, bool); 7] {
    [
        ("tables", !when.tables.is_empty()),
        ("functions", !when.functions.is_empty()),
        ("settings", !when.settings.is_empty()),
        ("effects", !when.effects.is_empty()),
        ("unbounded", when.unbounded.is_some()),
        ("rows_over", when.rows_over.is_some()),
        ("opaque", when.opaque.is_some()),
    ]
}

pub(super) fn only_who_where_and_columns(table: &Table<'_>, when: &Conditions) {
    refuse_keys(table, &statement_keys(when), "a mask depends on who asks, where, and the column alone");
}

pub(super) fn only_who_and_where(table: &Table<'_>, when: &Conditions) {
    let columns = [("columns", !when.columns.is_empty()), ("labels", !when.labels.is_empty())];
    let keys = [&statement_keys(when)[..], &columns].concat();
    refuse_keys(table, &keys, "a limit depends on who asks and where alone");
}

/// Whether something that is not a claim says who.
pub(super) fn says_who(when: &Conditions) -> bool {
    !when.kinds.is_empty()
        || !when.identities.is_empty()
        || !when.on_behalf_of.is_empty()
        || !when.owners.is_empty()
        || !when.groups.is_empty()
}

pub(super) fn window(table: &Table<'_>) -> Option<Window> {
    let name = super::name(table);
    let days = table
        .read("days", |text| day(text).ok_or_else(|| format!("`{text}` is no day: write `mon`, `tue`, …")));
    let zone = match table.text("zone") {
        None => TimeZone::UTC,
        Some(text) => TimeZone::get(&text.value).unwrap_or_else(|_| {
            let what = format!("`{}` is no time zone known here", text.value);
            table.bad(&text.span, "zone", what, "write it like `Europe/Berlin`, or leave it out for UTC");
            TimeZone::UTC
        }),
    };
    let hours = table.text("hours").and_then(|text| {
        let read = hours(&text.value);
        if read.is_none() {
            let what = format!("`{}` is no span of hours", text.value);
            table.bad(&text.span, "hours", what, "write it like `09:00-17:30` or `22:00-06:00`");
        }
        read
    });
    let moment = |key: &str| {
        let text = table.text(key)?;
        let read = moment(&text.value, &zone);
        if read.is_none() {
            let what = format!("`{}` is neither a day nor a moment", text.value);
            table.bad(&text.span, key, what, "write `\"2026-12-20\"` or `\"2026-12-20T18:00:00Z\"`");
        }
        read
    };
    let (from, until) = (moment("from"), moment("until"));
    if days.is_empty() && hours.is_none() && from.is_none() && until.is_none() {
        table.bad(
            &table.span,
            "days",
            "is missing: the window would always be open",
            "add `days`, `hours`, `from` or `until`",
        );
    }
    Some(Window { name: name?, days, hours, zone, from, until })
}
