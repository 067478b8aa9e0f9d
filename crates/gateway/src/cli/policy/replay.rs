//! `firsthand policy replay`: what the rules as they are now would have decided of the commands in the record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use firsthand_model::decision::Verdict;
use firsthand_model::statement::Facts;
use firsthand_policy::judge::Judgement;
use firsthand_policy::rule::Bounds;
use firsthand_policy::rules::Rules;
use serde_json::json;

use super::history::{self, Past};
use super::{asking, strictest};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::place::Place;

/// Examples shown of one change.
const EXAMPLES: usize = 3;
/// Reasons that are told apart; a reason may name what a statement touches.
const REASONS_MAX: usize = 1000;
/// Stands for the others.
const OTHER_REASONS: &str = "for other reasons";
/// Characters of an example.
const EXAMPLE_CHARS: usize = 200;

/// Arguments of `policy replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// How far back: 30d, 2h, 2026-11-23
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
}

/// The rule of the pipeline itself, where a grant is missing or over. Rules cannot say what becomes of it.
const GRANT: &str = "grant";

/// What was read.
#[derive(Default)]
struct Counts {
    all: u64,
    /// Their text is not in the record.
    unread: u64,
    /// Refused by a limit.
    limited: u64,
    /// Refused for want of a grant.
    ungranted: u64,
}

/// Commands whose decision would be another.
#[derive(Default)]
struct Changed {
    count: u64,
    examples: Vec<serde_json::Value>,
}

/// By what was decided then, what would be now, by which rule, and why.
type Differences = BTreeMap<(String, &'static str, String, String), Changed>;

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let config = asking::config(place)?;
    let rules = asking::rules_of(config, out)?;
    let mut counts = Counts::default();
    let limits: BTreeSet<String> = rules.with_compiled(|c| {
        c.metas().iter().filter(|m| m.bounds != Bounds::default()).map(|m| m.name.to_string()).collect()
    });
    let mut changed = Differences::new();
    history::read("policy replay", &args.since, place, config, &rules, out, &mut |past| {
        counts.all += 1;
        let Some(facts) = &past.facts else {
            counts.unread += 1;
            return;
        };
        let judged = judge(&rules, &past, facts);
        let (verdict, rule) = judged.as_ref().map_or((Verdict::Allow, ""), |j| (j.verdict, &*j.rule));
        if past.verdict == "deny" && verdict != Verdict::Deny && limits.contains(&past.rule) {
            // What had been used by then is not known here.
            counts.limited += 1;
            return;
        }
        if past.verdict == "deny" && verdict != Verdict::Deny && past.rule == GRANT {
            // Nor which grants were in force.
            counts.ungranted += 1;
            return;
        }
        if verdict.word() != past.verdict {
            let why = judged.as_ref().map(|j| j.reason.to_string()).unwrap_or_default();
            let mut key = (past.verdict.clone(), verdict.word(), rule.to_owned(), why);
            if changed.len() >= REASONS_MAX && !changed.contains_key(&key) {
                key.3 = OTHER_REASONS.to_owned();
            }
            let entry = changed.entry(key).or_default();
            entry.count += 1;
            if entry.examples.len() < EXAMPLES {
                entry.examples.push(example(&past));
            }
        }
    })?;
    show(&changed, &counts, &rules, out);
    Ok(Exit::Done)
}

fn judge(rules: &Rules, past: &Past, facts: &[Arc<Facts>]) -> Option<Judgement> {
    let one = |facts: &Facts| rules.judge(&past.session, facts, past.at, false);
    strictest(facts.iter().map(|facts| one(facts)))
}

fn example(past: &Past) -> serde_json::Value {
    let text: String = past.text.chars().take(EXAMPLE_CHARS).collect();
    let identity = &past.session.identity;
    let who = identity.actor().map_or(identity.login.as_str(), |l| l.name.as_str());
    json!({ "position": past.position, "identity": who, "target": past.session.target, "text": text })
}

fn show(changed: &Differences, counts: &Counts, rules: &Rules, out: &Output) {
    let differ: u64 = changed.values().map(|c| c.count).sum();
    let Counts { all, unread, limited, ungranted } = counts;
    if !out.is_json() {
        out.text(&format!("{all} commands, {differ} decided otherwise by policy {}", rules.version()));
        for (count, why) in [
            (unread, "could not be read: their text is not in the record, or not all of it"),
            (limited, "were refused because a limit was used up, which is not counted here"),
            (ungranted, "were refused because no grant covered them, which no rule changes"),
        ] {
            if *count > 0 {
                out.text(&format!("{count} of them {why}"));
            }
        }
    }
    for ((from, to, rule, why), found) in changed {
        if out.is_json() {
            let value = json!({ "from": from, "to": to, "rule": rule, "count": found.count, "why": why,
                                "examples": found.examples });
            out.text(&value.to_string());
            continue;
        }
        out.text(&format!("{from} → {to} by {rule}: {} ({why})", found.count));
        for example in &found.examples {
            let field = |key: &str| example.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            out.text(&format!("    {} on {}: {}", field("identity"), field("target"), field("text")));
        }
    }
    if out.is_json() {
        out.text(
            &json!({ "commands": all, "unread": unread, "limited": limited, "ungranted": ungranted, "differ": differ,
                     "policy": &*rules.version() })
            .to_string(),
        );
    }
}
