//! `firsthand policy suggest`: rules that allow what the record shows, and limits with room above it, for a person to read and cut
//! down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use firsthand_model::command::Effect;
use firsthand_model::identity::IdentityKind;
use firsthand_model::statement::{Facts, Relation};
use serde_json::json;

use super::asking;
use super::history::{self, Past};
use super::used::{self, Used};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::place::Place;

/// Arguments of `policy suggest`.
#[derive(Debug, Args)]
pub(crate) struct SuggestArgs {
    /// How far back: 30d, 2h, 2026-11-23
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Only for this agent, person or service
    #[arg(long, value_name = "WHO")]
    identity: Option<String>,
}

/// Characters of a name that is made up here.
const NAME_CHARS: usize = 64;

/// Who, where and what: one rule each.
type Group = (String, &'static str, String, &'static str);

/// What was seen.
#[derive(Default)]
struct Seen {
    count: u64,
    tables: BTreeSet<String>,
    settings: BTreeSet<String>,
    functions: BTreeSet<String>,
    unbounded: bool,
}

/// Runs the command.
pub(crate) fn run(args: &SuggestArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let config = asking::config(place)?;
    let rules = asking::rules_of(config, out)?;
    let mut seen: BTreeMap<Group, Seen> = BTreeMap::new();
    let mut untold: BTreeMap<String, u64> = BTreeMap::new();
    let mut uncounted: BTreeSet<(String, String)> = BTreeSet::new();
    let (mut all, mut refused, mut unread) = (0u64, 0u64, 0u64);
    history::read("policy suggest", &args.since, place, config, &rules, out, &mut |past| {
        if args.identity.as_ref().is_none_or(|wanted| wanted == who(&past).0) {
            match &past.facts {
                _ if !past.permitted => refused += 1,
                None => unread += 1,
                Some(all_facts) => {
                    all += 1;
                    if !is_countable(all_facts) {
                        uncounted.insert((who(&past).0.to_owned(), past.session.target.clone()));
                    }
                    for facts in all_facts {
                        take(&past, facts, &mut seen, &mut untold);
                    }
                }
            }
        }
    })?;
    if all + refused + unread == 0 {
        return Err(Failure::new(
            "there are no such commands in the record",
            "look further back with --since",
        ));
    }
    let mut used = Used::default();
    history::outcomes("policy suggest", &args.since, place, &mut |fields, names| used.take(fields, names))?;
    let mut most = used.all();
    most.retain(|(name, _), _| args.identity.as_ref().is_none_or(|wanted| wanted == name));
    if out.is_json() {
        for ((identity, kind, target, effect), seen) in &seen {
            let value = json!({ "identity": identity, "kind": kind, "target": target, "effect": effect,
                                "count": seen.count, "tables": seen.tables, "settings": seen.settings, "functions": seen.functions,
                                "unbounded": seen.unbounded });
            out.text(&value.to_string());
        }
        for (who, most) in &most {
            out.text(&used::seen(who, most).to_string());
        }
        return Ok(Exit::Done);
    }
    out.text(&format!(
        "# Proposed by `firsthand policy suggest --since {}` from {all} commands.",
        args.since
    ));
    left_out(refused, unread, out);
    out.text("# Read every rule before you use it: what happened is not always what should.");
    for (group, seen) in &seen {
        out.text(&rule(group, seen));
    }
    for (who, most) in &most {
        let countable = |target: &str| !uncounted.contains(&(who.0.clone(), target.to_owned()));
        for limit in used::limits(who, most, &countable) {
            out.text(&limit);
        }
    }
    for (what, count) in &untold {
        out.text(&format!(
            "# not proposed, because it cannot be told what it does: {what} ({})",
            times(*count)
        ));
    }
    Ok(Exit::Done)
}

fn left_out(refused: u64, unread: u64, out: &Output) {
    for (count, why) in
        [(refused, "they did not run"), (unread, "they could not be read: their text is not in the record")]
    {
        if count > 0 {
            out.text(&format!("# {count} more are left out: {why}."));
        }
    }
}

fn who(past: &Past) -> (&str, IdentityKind) {
    let identity = &past.session.identity;
    identity.actor().map_or((identity.login.as_str(), IdentityKind::Agent), |l| (l.name.as_str(), l.kind))
}

fn take(past: &Past, facts: &Facts, seen: &mut BTreeMap<Group, Seen>, untold: &mut BTreeMap<String, u64>) {
    let (name, kind) = who(past);
    note((name, kind, &past.session.target), facts, seen, untold);
}

fn note(
    (name, kind, target): (&str, IdentityKind, &str),
    facts: &Facts,
    seen: &mut BTreeMap<Group, Seen>,
    untold: &mut BTreeMap<String, u64>,
) {
    if let Some(opaque) = &facts.opaque {
        *untold.entry(format!("{} {}", opaque.why, opaque.what).trim_end().to_owned()).or_default() += 1;
        return;
    }
    let mut untold_of = |effect: Effect| {
        *untold.entry(format!("{}, of nothing that has a name", effect.word())).or_default() += 1;
    };
    for effect in facts.effects.iter() {
        // A rule that names nothing would allow everything. BEGIN and COMMIT are about nothing else.
        let named = match effect {
            Effect::Read => !facts.reads.is_empty(),
            Effect::Write | Effect::Define | Effect::Grant | Effect::Lock => !facts.writes.is_empty(),
            Effect::Execute | Effect::System => !facts.functions.is_empty(),
            Effect::Session => !facts.settings.is_empty(),
            Effect::Transaction => true,
            Effect::Unknown => false,
        };
        if !named {
            untold_of(effect);
            continue;
        }
        let relations: &[Relation] = match effect {
            Effect::Read => &facts.reads,
            Effect::Write | Effect::Define | Effect::Grant | Effect::Lock => &facts.writes,
            Effect::Execute | Effect::Session | Effect::Transaction | Effect::System | Effect::Unknown => &[],
        };
        let group = (name.to_owned(), kind.word(), target.to_owned(), effect.word());
        let seen = seen.entry(group).or_default();
        seen.count += 1;
        seen.unbounded |= facts.unbounded && effect == Effect::Write;
        seen.tables.extend(relations.iter().map(pattern));
        if matches!(effect, Effect::Execute | Effect::System) {
            seen.functions.extend(facts.functions.iter().cloned());
        }
        if effect == Effect::Session {
            seen.settings.extend(facts.settings.iter().map(|s| s.split('=').next().unwrap_or(s).to_owned()));
        }
    }
}

/// A relation as a pattern: quoted where it must be.
fn pattern(relation: &Relation) -> String {
    let part = |name: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.is_empty() && name.chars().all(plain) {
            name.to_owned()
        } else {
            format!("\"{}\"", name.replace('"', "\"\""))
        }
    };
    if relation.schema.is_empty() {
        return part(&relation.name);
    }
    format!("{}.{}", part(&relation.schema), part(&relation.name))
}

/// `once`, `3 times`.
fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// A text as it stands in a file of rules.
pub(super) fn text(s: &str) -> String {
    toml::Value::String(s.to_owned()).to_string()
}

/// A name as rules and limits may have it.
pub(super) fn fitting(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    name.chars().map(fits).take(NAME_CHARS).collect()
}

/// Whether a limit on rows affected can count what this command changed, as far as its statements tell.
fn is_countable(statements: &[Arc<Facts>]) -> bool {
    let changes = |f: &Arc<Facts>| f.effects.has(Effect::Write) || f.effects.has(Effect::Unknown);
    let opaque = statements.iter().any(|f| f.opaque.is_some());
    !statements.iter().any(changes) || (statements.len() == 1 && !opaque)
}

fn rule(group: &Group, seen: &Seen) -> String {
    let (identity, kind, target, effect) = group;
    let list = |set: &BTreeSet<String>| set.iter().map(|s| text(s)).collect::<Vec<_>>().join(", ");
    let name = fitting(&format!("{identity}-{target}-{effect}"));
    let mut out = format!(
        "\n[[rule]]\nname = {}\nbecause = {}\nverdict = \"allow\"\nkinds = [\"{kind}\"]\nidentities = [{}]\ntargets = [{}]\n",
        text(&name),
        text(&format!("Seen {}.", times(seen.count))),
        text(identity),
        text(target),
    );
    if seen.functions.is_empty() {
        out.push_str(&format!("effects = [\"{effect}\"]\n"));
    } else {
        // A rule about functions is about calling them, whatever they do.
        out.push_str(&format!("functions = [{}]\n", list(&seen.functions)));
    }
    if !seen.tables.is_empty() {
        out.push_str(&format!("tables = [{}]\n", list(&seen.tables)));
    }
    if !seen.settings.is_empty() {
        out.push_str(&format!("settings = [{}]\n", list(&seen.settings)));
    }
    if effect == &"write" && !seen.unbounded {
        out.push_str("unbounded = false\n");
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_model::command::Effects;

    #[test]
    fn a_proposed_rule_always_names_what_it_allows() {
        let facts = |effect, functions: &[&str]| Facts {
            effects: Effects::only(effect),
            functions: functions.iter().map(|f| (*f).to_owned()).collect(),
            ..Facts::default()
        };
        let (mut seen, mut untold) = (BTreeMap::new(), BTreeMap::new());
        let by = ("bot", IdentityKind::Agent, "shop");
        note(by, &facts(Effect::Execute, &["public.report"]), &mut seen, &mut untold);
        note(by, &facts(Effect::System, &["pg_catalog.pg_reload_conf"]), &mut seen, &mut untold);
        note(by, &facts(Effect::Execute, &[]), &mut seen, &mut untold);
        note(by, &facts(Effect::Read, &[]), &mut seen, &mut untold);
        let rules: Vec<String> = seen.iter().map(|(group, seen)| rule(group, seen)).collect();
        assert!(rules.iter().all(|rule| rule.contains("because = \"Seen once.\"")), "{rules:?}");
        assert_eq!(rules.len(), 2);
        for (rule, function) in rules.iter().zip(["public.report", "pg_catalog.pg_reload_conf"]) {
            let read: toml::Value = toml::from_str(rule).unwrap();
            assert_eq!(read["rule"][0]["functions"][0].as_str(), Some(function), "{rule}");
        }
        assert_eq!(untold.values().sum::<u64>(), 2);
        let file = firsthand_policy::compiled::RuleFile { name: "it".into(), text: rules.join("\n") };
        assert!(crate::rules::compile(&[file], std::collections::HashMap::new()).is_ok());
    }
}
