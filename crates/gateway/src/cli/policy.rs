//! `firsthand policy`: what the rules say, of a statement, of the record, of their own cases.

mod asking;
mod explain;
mod history;
mod preview;
mod replay;
mod suggest;
mod used;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use firsthand_model::statement::Facts;
use firsthand_policy::cases;
use firsthand_policy::judge::Judgement;
use firsthand_policy::rules::Rules;
use serde_json::json;

use super::output::Output;
use crate::analyst::Analyst;
use crate::failure::{Exit, Failure};
use crate::place::Place;
use crate::rules;
use crate::show::counted;

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Try the cases that stand beside the rules of a folder
    Test(TestArgs),
    /// Say what is decided of a statement, by which rule, and what would change that
    Explain(explain::ExplainArgs),
    /// Say what the rules would have decided of the commands in the record
    Replay(replay::ReplayArgs),
    /// Propose rules that allow what the record shows, and limits above it
    Suggest(suggest::SuggestArgs),
    /// Print the Cedar policy of every rule
    Show,
}

/// Arguments of `policy test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The folder of rule files; without it, the rules of the configuration, or those that are shipped
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Judge the statements of cases (`sql`) with the definitions of this target of the configuration
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
}

/// Runs the command.
pub(crate) fn run(command: PolicyCommand, place: Option<Place>, out: &Output) -> Result<Exit, Failure> {
    let needed = |place: Option<Place>| {
        place.ok_or_else(|| {
            Failure::usage("no configuration was named, and there is none here", "give --config FILE")
        })
    };
    match command {
        PolicyCommand::Test(args) => test(&args, place.as_ref(), out),
        PolicyCommand::Explain(args) => explain::run(&args, &needed(place)?, out),
        PolicyCommand::Replay(args) => replay::run(&args, &needed(place)?, out),
        PolicyCommand::Suggest(args) => suggest::run(&args, &needed(place)?, out),
        PolicyCommand::Show => show(place.as_ref(), out),
    }
}

/// The rules of the configuration, or the shipped ones where there is none.
fn configured(place: Option<&Place>) -> Result<Rules, Failure> {
    let compiled = match place.and_then(|place| place.config.as_ref()) {
        Some(config) => rules::load(config)?,
        None => None,
    };
    let compiled = match compiled {
        Some(compiled) => compiled,
        None => rules::compile(&[rules::shipped()], HashMap::new())?,
    };
    Ok(Rules::new(compiled))
}

fn test(args: &TestArgs, place: Option<&Place>, out: &Output) -> Result<Exit, Failure> {
    let rules = match &args.folder {
        Some(folder) => Rules::new(rules::compile(&rules::read_folder(folder)?, HashMap::new())?),
        None => configured(place)?,
    };
    let analyst = match &args.target {
        Some(name) => Some(analyst_of(name, place, &rules)?),
        None => None,
    };
    let analyse = |sql: &str| -> Vec<Facts> {
        let known = analyst.iter().flat_map(|analyst| analyst.explain(&[], sql));
        known.map(|facts| (*facts).clone()).collect()
    };
    let tried = cases::run(&rules, analyst.is_some().then_some(&analyse));
    let wrong = tried.iter().filter(|t| !t.wrong.is_empty()).count();
    for one in &tried {
        let at = format!("{}:{}", one.case.place.file, one.case.place.line);
        let value = json!({ "case": one.case.name, "at": at, "ok": one.wrong.is_empty(), "verdict": one.verdict.word(),
                            "rule": &*one.rule, "why": &*one.reason, "wrong": one.wrong });
        if out.is_json() {
            out.text(&value.to_string());
        } else if !one.wrong.is_empty() {
            out.text(&format!("{at}: {}: {}", one.case.name, one.wrong.join("; ")));
        }
    }
    let covered = cases::covered(&tried);
    let names = rules.with_compiled(|c| c.metas());
    let uncovered: Vec<&str> =
        names.iter().filter(|m| !covered.contains_key(&m.name) && m.is_rule()).map(|m| &*m.name).collect();
    if !uncovered.is_empty() {
        out.talk(&format!("note: no case is decided by {}", uncovered.join(", ")));
    }
    if wrong > 0 {
        let message =
            format!("{wrong} of {} came out otherwise", counted(tried.len() as u64, "case", "cases"));
        return Err(Failure::new(message, "change the rule or the case; firsthand policy explain shows why"));
    }
    if !out.is_json() {
        out.text(&format!("{}, as they must be", counted(tried.len() as u64, "case", "cases")));
    }
    Ok(Exit::Done)
}

/// With the definitions of a target of the configuration.
fn analyst_of(name: &str, place: Option<&Place>, rules: &Rules) -> Result<Analyst, Failure> {
    let Some(place) = place else {
        return Err(Failure::usage(
            format!("target {name} stands in no configuration: none was named, and there is none here"),
            "give --config FILE",
        ));
    };
    let target = asking::target(asking::config(place)?, name)?;
    let analyst = Analyst::of("policy test", place, target, &target.target.database)?;
    analyst.teach(rules, name);
    Ok(analyst)
}

/// The strictest of several judgements, the first of equals.
fn strictest(all: impl Iterator<Item = Judgement>) -> Option<Judgement> {
    all.reduce(|a, b| if b.verdict.strictness() > a.verdict.strictness() { b } else { a })
}

fn show(place: Option<&Place>, out: &Output) -> Result<Exit, Failure> {
    let rules = configured(place)?;
    let policies = rules.with_compiled(|c| c.cedar().to_vec());
    let version = rules.version();
    if out.is_json() {
        for (name, cedar) in &policies {
            out.text(&json!({ "rule": name, "cedar": cedar }).to_string());
        }
        return Ok(Exit::Done);
    }
    out.text(&format!("// policy version {version}"));
    for (_, cedar) in &policies {
        out.text(&format!("\n{cedar}"));
    }
    Ok(Exit::Done)
}
