//! How many rows a statement touches by the target's own estimate: its planner is asked, over a connection of the gateway's
//! own, where rules depend on it.
//!
//! `EXPLAIN` runs nothing of the statement, but planning it runs functions that give the same for the same arguments. So only
//! statements are asked about whose functions all come with PostgreSQL, in a session that is READ ONLY. Values of parameters
//! are not known: the plan that fits any is asked for. Whatever stands in the way, there is no estimate.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::command::{Command, Effect};
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::json::{Json, Object};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Relation, RelationKind};
use firsthand_model::time::MonoMicros;
use firsthand_session::port::Need;
use firsthand_wire::postgres::frontend;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::catalog::{Row, answers, ask, connect, say_goodbye};
use crate::drive::line::Line;
use crate::protocol::{Estimating, Probe};

/// An estimate may take this long; the command waits for it.
const WITHIN: Duration = Duration::from_secs(3);
/// Estimates asked for at a time, over all sessions: each is a connection to a target.
const AT_ONCE: usize = 4;
/// A text longer than this is not sent twice.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Bytes of all answers: a plan over a thousand partitions stays below.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Estimates are kept this long: a statement is prepared, bound and run within it.
const KEPT: Duration = Duration::from_secs(10);
/// Estimates kept.
const KEPT_MAX: usize = 1_024;

/// Run first: nothing waits for long, nothing is written, and the plan is one for any values.
const PREPARE: &str = "SET statement_timeout TO '2s'; SET lock_timeout TO '500ms'; SET client_encoding TO 'UTF8'; \
    SET standard_conforming_strings TO on; SET default_transaction_read_only TO on; \
    SET plan_cache_mode TO force_generic_plan";
/// How many parameters the statement has.
const COUNT: &str = "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements WHERE name = 'firsthand'";

/// Estimates of one protocol's targets.
#[derive(Debug)]
pub(super) struct Estimates {
    kept: Mutex<HashMap<Key, (u64, MonoMicros)>>,
    turns: Semaphore,
}

/// Target, database, role, text, and what relations its names mean.
type Key = ([String; 4], Vec<u32>);

impl Default for Estimates {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Estimates {
    pub(super) async fn of(&self, with: Estimating<'_>) -> Option<u64> {
        let facts = with.command.shape.facts.as_deref().filter(|facts| may_be_asked(with.command, facts))?;
        let SessionFacts { target, database, role, .. } = with.session;
        let text = with.command.text.clone();
        let meant = facts.reads.iter().chain(&facts.writes).map(|relation| relation.oid).collect();
        let key = ([target.clone(), database.clone(), role.clone(), text], meant);
        let now = with.engine.clock.mono();
        if let Some((rows, at)) = self.kept().get(&key)
            && u128::from(now.since(*at)) < KEPT.as_micros()
        {
            return Some(*rows);
        }
        let asking = async {
            let _turn = self.turns.acquire().await.map_err(|e| e.to_string())?;
            asked(&with, facts).await
        };
        let told =
            timeout(WITHIN, asking).await.unwrap_or_else(|_| Err("it did not come in time".to_owned()));
        match told {
            Ok(rows) => {
                let mut kept = self.kept();
                if kept.len() >= KEPT_MAX {
                    kept.clear();
                }
                kept.insert(key, (rows, now));
                Some(rows)
            }
            Err(why) => {
                tracing::debug!(session = %with.session.id, target, "no estimate of rows: {why}");
                None
            }
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<Key, (u64, MonoMicros)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a statement can be asked about: a plain one, known to the last function, and here as it was sent.
fn may_be_asked(command: &Command, facts: &Facts) -> bool {
    let plain = matches!(command.shape.tag.as_str(), "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "MERGE");
    let quiet = [Effect::Read, Effect::Write, Effect::Lock];
    plain
        && facts.opaque.is_none()
        && facts.effects.iter().all(|e| quiet.contains(&e))
        && facts.functions.iter().all(|f| f.starts_with("pg_catalog."))
        && command.original_digest.is_none()
        && command.text.len() <= TEXT_BYTES_MAX
        // What a backslash or a letter means depends on settings of the client's session.
        && command.text.is_ascii()
        && !command.text.contains('\\')
}

/// Asks.
async fn asked(with: &Estimating<'_>, facts: &Facts) -> Result<u64, String> {
    let gone = || "the target is gone from the configuration".to_owned();
    let (engine, session) = (with.engine, with.session);
    let target = engine.targets.find(&session.target).ok_or_else(gone)?;
    let link = with.links.link(&session.target).ok_or_else(gone)?;
    let credential = engine.credential_of(session, &target).map_err(|e| e.to_string())?;
    let event = Event::Log(LogEvent { kind: "target.asked", leaf: told(session) }.into());
    engine.recorder.append(event, Need::Intent).map_err(|e| e.to_string())?;
    let stream = engine.dialer.dial(&target).await.map_err(|e| e.to_string())?;
    let probe = Probe { stream, link, credential: &credential, database: &session.database };
    let (mut line, _) = connect(probe).await?;
    let rows = plan(&mut line, session, facts, &with.command.text).await;
    say_goodbye(line).await;
    rows
}

async fn plan(line: &mut Line, session: &SessionFacts, facts: &Facts, text: &str) -> Result<u64, String> {
    let mut budget = ANSWER_BYTES_MAX;
    ask(line, PREPARE, &mut budget).await?;
    if session.role != session.session_role {
        let role = session.role.replace('"', "\"\"");
        ask(line, &format!("SET ROLE \"{role}\""), &mut budget).await?;
    }
    if let Some(question) = same_names(facts)? {
        let row = ask(line, &question, &mut budget).await?.into_iter().next();
        if row.is_none_or(|row| row.iter().any(|same| same.as_deref() != Some("t"))) {
            return Err("its names mean something else in another session".to_owned());
        }
    }
    let mut out = BytesMut::new();
    frontend::encode_parse(&mut out, b"firsthand", text.as_bytes(), &[]).map_err(|e| e.to_string())?;
    frontend::encode_sync(&mut out);
    line.send(&out).await.map_err(|e| e.to_string())?;
    answers(line, &mut budget).await?;
    let count = first(ask(line, COUNT, &mut budget).await?).ok_or("it was not prepared")?;
    let count = count.parse::<usize>().map_err(|e| e.to_string())?;
    let values = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE firsthand{values}");
    let told = first(ask(line, &explain, &mut budget).await?).ok_or("there is no plan")?;
    rows_of(&told).ok_or_else(|| "the plan is not understood".to_owned())
}

fn first(rows: Vec<Row>) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

/// Whether each name that the statement writes means the same relation in another session; `None`: it writes none.
pub(super) fn same_names(facts: &Facts) -> Result<Option<String>, String> {
    let named = |r: &&Relation| !r.written.is_empty();
    let mut terms = Vec::new();
    for relation in facts.reads.iter().chain(&facts.writes).filter(named) {
        if relation.oid == 0 || relation.kind == RelationKind::Temporary {
            return Err(format!("{} is this session's own", relation.written));
        }
        let written = relation.written.replace('\'', "''");
        terms.push(format!("pg_catalog.to_regclass('{written}')::pg_catalog.oid = {}", relation.oid));
    }
    Ok((!terms.is_empty()).then(|| format!("SELECT {}", terms.join(", "))))
}

/// The rows of a plan: those it changes; of one that changes nothing, those it gives.
pub(super) fn rows_of(text: &str) -> Option<u64> {
    let plans: Value = serde_json::from_str(text).ok()?;
    let plan = plans.get(0)?.get("Plan")?;
    let mut changed = None;
    changes(plan, &mut changed);
    changed.or_else(|| rows(plan))
}

fn rows(plan: &Value) -> Option<u64> {
    let rows = plan.get("Plan Rows")?;
    // More than a number holds is more than any limit.
    rows.is_number().then(|| rows.as_u64().unwrap_or(u64::MAX))
}

/// Adds up what the nodes that change rows are given. The parser's own limit bounds the depth.
fn changes(plan: &Value, sum: &mut Option<u64>) {
    let parts = plan.get("Plans").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let changes_rows = plan.get("Node Type").is_some_and(|t| t == "ModifyTable");
    for part in parts {
        let source = part.get("Parent Relationship").is_some_and(|r| r == "Outer" || r == "Member");
        if changes_rows && source {
            *sum = Some(sum.unwrap_or(0).saturating_add(rows(part).unwrap_or(u64::MAX)));
        }
        changes(part, sum);
    }
}

/// What is recorded of the question.
fn told(session: &SessionFacts) -> Json {
    let mut out = Vec::with_capacity(120);
    let mut o = Object::open(&mut out);
    o.string("database", &session.database);
    o.string("target", &session.target);
    o.string("what", "estimate");
    o.close();
    Json::from_written(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_that_are_changed_or_given() {
        for (plan, want) in [
            (r#"[{"Plan":{"Node Type":"Seq Scan","Plan Rows":70}}]"#, Some(70)),
            (
                r#"[{"Plan":{"Node Type":"ModifyTable","Plan Rows":0,"Plans":[
                    {"Node Type":"Seq Scan","Parent Relationship":"Outer","Plan Rows":12},
                    {"Node Type":"Result","Parent Relationship":"SubPlan","Plan Rows":5}]}}]"#,
                Some(12),
            ),
            (
                r#"[{"Plan":{"Node Type":"Aggregate","Plan Rows":1,"Plans":[
                    {"Node Type":"ModifyTable","Parent Relationship":"InitPlan","Plan Rows":9,"Plans":[
                        {"Node Type":"Seq Scan","Parent Relationship":"Member","Plan Rows":9},
                        {"Node Type":"Seq Scan","Parent Relationship":"Member","Plan Rows":4}]}]}}]"#,
                Some(13),
            ),
            (r#"[{"Plan":{"Node Type":"Seq Scan","Plan Rows":1e30}}]"#, Some(u64::MAX)),
            (r#"[{"Plan":{"Node Type":"Seq Scan","Plan Rows":"many"}}]"#, None),
            ("[]", None),
            ("no plan", None),
        ] {
            assert_eq!(rows_of(plan), want, "{plan}");
        }
    }
}
