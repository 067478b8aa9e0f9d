//! `firsthand policy explain`: what is decided, by which rule, why, and what would change it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::{Args, ValueEnum};
use firsthand_adapters::clock::wall;
use firsthand_model::command::Effects;
use firsthand_model::decision::Verdict;
use firsthand_model::identity::IdentityKind;
use firsthand_model::masking::MaskDuty;
use firsthand_model::preview::Preview;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Output as Rows};
use firsthand_model::target::Mode;
use firsthand_policy::explain::{Change, changes};
use firsthand_policy::judge::{Judgement, shown};
use firsthand_policy::limits::listed;
use firsthand_policy::rules::Rules;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{asking, preview};
use crate::analyst::{Analyst, is_call};
use crate::cli::lines::{each_line, not_understood};
use crate::cli::output::Output;
use crate::config::TargetConfig;
use crate::failure::{Exit, Failure};
use crate::place::Place;
use crate::show::written;

/// What lets calls to the gateway itself through; rules are not asked.
const ACCESS: &str = "firsthand.access";

/// What is said of a refusal where the target has `mode = "observe"`.
const NOT_ENFORCED: &str = " (not enforced)";

/// Arguments of `policy explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Where it would run
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// Who would ask: the login name of a token
    #[arg(long = "as", value_name = "NAME")]
    who: String,
    /// Ask as such an identity, whatever the token says
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// The statement; without it, and with --json, lines {"id","sql","setup":[…]} are read from stdin
    #[arg(value_name = "SQL")]
    sql: Option<String>,
    /// A statement that has run before in the session; may be given several times
    #[arg(long, value_name = "SQL")]
    setup: Vec<String>,
    /// Try the statement at the target, take it back, and show the rows that it would change
    #[arg(long, requires = "sql")]
    preview: bool,
}

/// Kinds of identity.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Agent,
    Human,
    Service,
}

impl Kind {
    fn identity(self) -> IdentityKind {
        match self {
            Self::Agent => IdentityKind::Agent,
            Self::Human => IdentityKind::Human,
            Self::Service => IdentityKind::Service,
        }
    }
}

/// A question on stdin.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    id: Value,
    sql: String,
    #[serde(default)]
    setup: Vec<String>,
}

/// Answers questions of one identity at one target.
struct Answerer {
    rules: Rules,
    analyst: Analyst,
    session: SessionFacts,
    /// Why the token lets nobody in any more.
    ended: Option<String>,
    /// The target, if nothing that touches data runs there without a grant.
    needs_grant: Option<String>,
}

/// What was decided of one statement.
struct Answer {
    facts: std::sync::Arc<Facts>,
    judged: Judgement,
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let config = asking::config(place)?;
    let target = asking::target(config, &args.target)?;
    if args.sql.is_none() && !out.is_json() {
        return Err(Failure::usage(
            "there is no statement",
            "give it as an argument, or --json and lines on stdin",
        ));
    }
    let rules = asking::rules_of(config, out)?;
    let kind = args.kind.map(Kind::identity);
    let (identity, ended) = asking::identity(place, &args.who, kind, &args.target, out)?;
    let analyst = Analyst::of("policy explain", place, target, &target.target.database)?;
    analyst.teach(&rules, &args.target);
    let needs_grant = target.target.needs_grant.then(|| args.target.clone());
    let answerer =
        Answerer { rules, analyst, session: asking::session(identity, target), ended, needs_grant };
    match &args.sql {
        None => answerer.stream(),
        Some(sql) => {
            let answers = answerer.answer(&args.setup, sql);
            let preview = match args.preview {
                true => Some(answerer.preview(place, target, &args.setup, sql)?),
                false => None,
            };
            if out.is_json() {
                let mut line = answerer.line(&Value::Null, &answers);
                if let (Some(preview), Some(line)) = (&preview, line.as_object_mut()) {
                    line.insert("preview".to_owned(), preview::value(preview));
                }
                out.text(&line.to_string());
            } else {
                let mut told = answerer.tell(&answers);
                preview.iter().for_each(|preview| preview::tell(preview, &mut told));
                out.text(&told);
            }
            Ok(if strictest(&answers) == Verdict::Allow { Exit::Done } else { Exit::No })
        }
    }
}

fn strictest(answers: &[Answer]) -> Verdict {
    answers.iter().map(|a| a.judged.verdict).max_by_key(|v| v.strictness()).unwrap_or(Verdict::Allow)
}

impl Answerer {
    /// One line out for each line in, at once.
    fn stream(&self) -> Result<Exit, Failure> {
        let mut out = io::stdout().lock();
        let mut wrong = 0;
        each_line(|line| {
            let answer = match line.read::<Asked>() {
                Ok(asked) => self.line(&asked.id, &self.answer(&asked.setup, &asked.sql)),
                Err(e) => {
                    wrong += 1;
                    line.not_understood(&e)
                }
            };
            written(writeln!(out, "{answer}").and_then(|()| out.flush()))
        })?;
        not_understood(wrong, "policy explain")?;
        Ok(Exit::Done)
    }

    /// What the statement would change. Whether it may run is another question.
    fn preview(
        &self,
        place: &Place,
        target: &TargetConfig,
        setup: &[String],
        sql: &str,
    ) -> Result<Preview, Failure> {
        let Self { rules, analyst, session, .. } = self;
        preview::of(place, target, (rules, analyst), session, (setup, sql))
    }

    fn answer(&self, setup: &[String], sql: &str) -> Vec<Answer> {
        let stated = self.analyst.explain(setup, sql);
        stated.into_iter().map(|facts| Answer { judged: self.judge(&facts, is_call(sql)), facts }).collect()
    }

    fn judge(&self, facts: &Facts, call: bool) -> Judgement {
        let mut judged = self.rules.judge(&self.session, facts, wall(), false);
        if call {
            (judged.verdict, judged.rule) = (Verdict::Allow, ACCESS.into());
        }
        // The gateway looks at these first.
        if let Some(why) = &self.ended {
            judged.verdict = Verdict::Deny;
            judged.rule = "identity".into();
            judged.reason = why.as_str().into();
            return judged;
        }
        if !self.session.identity.targets.contains(&self.session.target) {
            judged.verdict = Verdict::Deny;
            judged.rule = "token-targets".into();
            judged.reason = "the token does not name this target".into();
        }
        judged
    }

    /// The answer for scripts.
    fn line(&self, id: &Value, answers: &[Answer]) -> Value {
        let verdict = strictest(answers);
        let decisive = answers.iter().find(|a| a.judged.verdict == verdict);
        let effects = answers.iter().fold(Effects::NONE, |all, a| all.union(effects(&a.facts)));
        let effects: Vec<&str> = effects.iter().map(firsthand_model::command::Effect::word).collect();
        let names = |of: fn(&Facts) -> &[firsthand_model::statement::Relation]| {
            answers.iter().flat_map(|a| of(&a.facts)).map(shown).collect::<BTreeSet<String>>()
        };
        let opaque = answers
            .iter()
            .find_map(|a| a.facts.opaque.as_ref())
            .map(|o| if o.what.is_empty() { o.why.to_owned() } else { format!("{}: {}", o.why, o.what) });
        json!({
            "id": id,
            "verdict": verdict.word(),
            "rule": decisive.map_or("nothing-asked", |a| &*a.judged.rule),
            "effects": effects,
            "reads": names(|f| &f.reads),
            "writes": names(|f| &f.writes),
            "opaque": opaque,
            "why": decisive.map_or_else(|| "there is no statement in it".to_owned(), |a| why(&a.judged)),
            "advice": decisive.map(|a| self.rules.advise(&self.session, &a.facts, wall(), &a.judged)),
            "masks": decisive.map(|a| masks(&a.facts, &a.judged.obligations.mask)).unwrap_or_default(),
            "detects": decisive.map(|a| self.detecting(&a.judged)).unwrap_or_default(),
            "enforced": self.session.mode == Mode::Enforce,
            "limits": decisive.map(|a| limits(&a.judged)).unwrap_or_default(),
            "needs_grant": self.grant_needed(answers).is_some(),
        })
    }

    /// The target, if one of these does not run there without a grant, whatever the rules say.
    fn grant_needed(&self, answers: &[Answer]) -> Option<&str> {
        let needed = answers.iter().any(|a| !effects(&a.facts).touches_nothing());
        self.needs_grant.as_deref().filter(|_| needed)
    }

    /// The masks by which what it gives is looked through.
    fn detecting(&self, judged: &Judgement) -> Vec<String> {
        if !judged.obligations.mask.scan {
            return Vec::new();
        }
        self.rules.detecting(&self.session, wall()).iter().map(ToString::to_string).collect()
    }

    /// The answer for people.
    fn tell(&self, answers: &[Answer]) -> String {
        let mut out = String::new();
        for (i, answer) in answers.iter().enumerate() {
            let Answer { facts, judged } = answer;
            if answers.len() > 1 {
                out.push_str(&format!("statement {}\n", i + 1));
            }
            let loose = judged.verdict != Verdict::Allow && self.session.mode == Mode::Observe;
            let enforced = if loose { NOT_ENFORCED } else { "" };
            out.push_str(&format!(
                "{} by {}: {}{enforced}\n",
                judged.verdict.word(),
                judged.rule,
                why(judged)
            ));
            for fired in judged.fired.iter().filter(|f| judged.verdict == f.verdict) {
                out.push_str(&format!(
                    "  {} {} ({}): {}\n",
                    fired.verdict.word(),
                    fired.rule,
                    fired.place,
                    fired.about
                ));
            }
            told(facts, judged, &mut out);
            for rule in self.detecting(judged) {
                out.push_str(&format!("  detected: values without a label are looked through ({rule})\n"));
            }
            let now = wall();
            let advice = self.rules.advise(&self.session, facts, now, judged);
            if !advice.is_empty() {
                out.push_str(&format!("  advised: {advice}\n"));
            }
            for Change { what, verdict, .. } in changes(&self.rules, &self.session, facts, now, judged) {
                out.push_str(&format!("  {what}: {}\n", verdict.word()));
            }
        }
        if answers.is_empty() {
            out.push_str("allow: there is no statement in it\n");
        }
        if let Some(target) = self.grant_needed(answers) {
            out.push_str(&format!("note: target {target} needs a grant as well (access = \"grant\")\n"));
        }
        out
    }
}

fn effects(facts: &Facts) -> Effects {
    use firsthand_model::command::Effect;
    if facts.opaque.is_some() { facts.effects.and(Effect::Unknown) } else { facts.effects }
}

fn why(judged: &Judgement) -> String {
    if judged.verdict != Verdict::Allow {
        return judged.reason.to_string();
    }
    match judged.fired.first() {
        _ if *judged.rule == *ACCESS => "the gateway answers it itself".to_owned(),
        Some(fired) if !fired.because.is_empty() => fired.because.to_string(),
        Some(_) => "the token names this target, and no rule forbids it".to_owned(),
        None => "it does nothing that a rule would look at".to_owned(),
    }
}

/// Each masked column as `name=style (label)`.
fn masks(facts: &Facts, duty: &MaskDuty) -> Vec<String> {
    let Rows::Columns(columns) = &facts.output else { return Vec::new() };
    let masks = duty.columns.as_deref().unwrap_or_default();
    let said = columns.iter().zip(masks).filter_map(|(column, mask)| {
        let mask = mask.as_ref()?;
        Some(format!("{}={} ({})", column.name, mask.style.word(), mask.label))
    });
    said.collect()
}

fn limits(judged: &Judgement) -> Vec<String> {
    judged.obligations.limits.as_deref().map(listed).unwrap_or_default()
}

fn told(facts: &Facts, judged: &Judgement, out: &mut String) {
    let words: Vec<&str> = effects(facts).iter().map(firsthand_model::command::Effect::word).collect();
    out.push_str(&format!("  does: {}\n", words.join(", ")));
    for (word, relations) in [("reads", &facts.reads), ("writes", &facts.writes)] {
        if !relations.is_empty() {
            let names: Vec<String> = relations.iter().map(shown).collect();
            out.push_str(&format!("  {word}: {}\n", names.join(", ")));
        }
    }
    if let Some(opaque) = &facts.opaque {
        out.push_str(&format!("  cannot be told: {} {}\n", opaque.why, opaque.what));
    }
    for mask in masks(facts, &judged.obligations.mask) {
        out.push_str(&format!("  masked: {mask}\n"));
    }
    for limit in limits(judged) {
        out.push_str(&format!("  limited: {limit}\n"));
    }
    for noted in &judged.noted {
        out.push_str(&format!("  noted: it would {noted}\n"));
    }
}
