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
/// Characters of an example.
const EXAMPLE_CHARS: usize = 200;

/// Arguments of `policy replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// How far back: 30d, 2h, 2026-11-23
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
}

/// Commands whose decision would be another.
#[derive(Default)]
struct Changed {
    count: u64,
    why: String,
    examples: Vec<serde_json::Value>,
}

/// Runs the command.
pub(crate) fn run(args: &ReplayArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let config = asking::config(place)?;
    let rules = asking::rules_of(config, out)?;
    let (mut all, mut unread, mut limited) = (0u64, 0u64, 0u64);
    let limits: BTreeSet<String> = rules.with_compiled(|c| {
        c.metas().iter().filter(|m| m.bounds != Bounds::default()).map(|m| m.name.to_string()).collect()
    });
    let mut changed: BTreeMap<(String, &'static str, String), Changed> = BTreeMap::new();
    history::read("policy replay", &args.since, place, config, &rules, out, &mut |past| {
        all += 1;
        let Some(facts) = &past.facts else {
            unread += 1;
            return;
        };
        let judged = judge(&rules, &past, facts);
        let (verdict, rule) = judged.as_ref().map_or((Verdict::Allow, ""), |j| (j.verdict, &*j.rule));
        if past.verdict == "deny" && verdict != Verdict::Deny && limits.contains(&past.rule) {
            // What had been used by then is not known here.
            limited += 1;
            return;
        }
        if verdict.word() != past.verdict {
            let key = (past.verdict.clone(), verdict.word(), rule.to_owned());
            let entry = changed.entry(key).or_default();
            entry.count += 1;
            if entry.why.is_empty() {
                entry.why = judged.as_ref().map(|j| j.reason.to_string()).unwrap_or_default();
            }
            if entry.examples.len() < EXAMPLES {
                entry.examples.push(example(&past));
            }
        }
    })?;
    let differ: u64 = changed.values().map(|c| c.count).sum();
    show(&changed, (all, unread, limited, differ), &rules, out);
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

fn show(
    changed: &BTreeMap<(String, &'static str, String), Changed>,
    (all, unread, limited, differ): (u64, u64, u64, u64),
    rules: &Rules,
    out: &Output,
) {
    if !out.is_json() {
        out.text(&format!("{all} commands, {differ} decided otherwise by policy {}", rules.version()));
        if unread > 0 {
            out.text(&format!(
                "{unread} of them could not be read: their text is not in the record, or not all of it"
            ));
        }
        if limited > 0 {
            out.text(&format!(
                "{limited} of them were refused because a limit was used up, which is not counted here"
            ));
        }
    }
    for ((from, to, rule), found) in changed {
        if out.is_json() {
            let value = json!({ "from": from, "to": to, "rule": rule, "count": found.count, "why": found.why,
                                "examples": found.examples });
            out.text(&value.to_string());
            continue;
        }
        out.text(&format!("{from} → {to} by {rule}: {} ({})", found.count, found.why));
        for example in &found.examples {
            let field = |key: &str| example.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
            out.text(&format!("    {} on {}: {}", field("identity"), field("target"), field("text")));
        }
    }
    if out.is_json() {
        out.text(
            &json!({ "commands": all, "unread": unread, "limited": limited, "differ": differ, "policy": &*rules.version() })
                .to_string(),
        );
    }
}
