//! What is known of tables, asked over a connection of the gateway's own: one for all sessions of a database, opened when
//! somebody writes there and closed soon after nobody does.
//!
//! Each write has its table asked about when it comes, while its intent is made durable, and whoever comes while a question
//! is under way shares the next one: so what is known is never older than the statement, and many sessions cost little more
//! than one. That it is asked is recorded for each table once per connection (`target.asked`, invariant 12).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::json::{Json, Object, write_string};
use firsthand_model::time::MonoMicros;
use firsthand_session::port::{BoxFuture, Need};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::super::catalog::{answers, ask, connect, say_goodbye};
use super::super::definitions::Way;
use super::reach::{REACH_QUESTION, goes_on};
use super::table::{TABLES_QUESTION, TableFacts, TableRow, WATCHERS_QUESTION};
use crate::drive::line::Line;
use crate::protocol::Probe;

/// A write waits this long for what is known of its table, which a connected target tells in less than a millisecond.
const WITHIN: Duration = Duration::from_secs(2);
/// A question that takes this long has failed, and nobody asks for a moment: the others are not to wait as long each. Less
/// than [`WITHIN`], at whose end the question is dropped with whoever asked it.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// The connection is closed when nobody has asked for this long. Somebody may want to drop or to copy the database, which
/// PostgreSQL refuses while others are connected, after it has waited for them for 5 s.
const IDLE: Duration = Duration::from_millis(1_500);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// After a failure nobody asks for this long.
const REST: Duration = Duration::from_secs(1);
/// Functions that look at statements change seldom: they are looked for this often.
const WATCHERS_KEPT_MICROS: u64 = 5_000_000;
/// Bytes of one answer: a table of 1,600 columns stays below.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Databases that have a connection; sessions of more are told that nothing could be asked.
const DATABASES_MAX: usize = 1_024;
/// Names that one connection has recorded; then it begins anew.
const TOLD_MAX: usize = 4_096;
/// The gateway's statements there.
const NAME: &[u8] = b"firsthand asks";
const REACH_NAME: &[u8] = b"firsthand asks further";

/// First of all there: nothing waits for long, and names are read as they are sent.
const PREPARE: &str = "SET statement_timeout TO '1s'; SET lock_timeout TO '500ms'; SET client_encoding TO 'UTF8'; \
    SET standard_conforming_strings TO on; SET default_transaction_read_only TO on; SET search_path TO pg_catalog; \
    SET plan_cache_mode TO force_generic_plan; SET jit TO off";

/// Who can be asked about tables.
pub trait TableSource: Send + Sync {
    /// What is known of relations of these names, as this role may use them; `None`: it could not be asked.
    fn ask(&self, role: &str, names: Vec<String>) -> BoxFuture<'static, Option<TableFacts>>;
}

/// All databases that are asked.
#[derive(Default)]
pub(in super::super) struct Askers(Mutex<HashMap<(String, String), Arc<Asker>>>);

impl Askers {
    /// Who asks this database.
    pub(in super::super) fn of(&self, way: Way) -> Option<Arc<dyn TableSource>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (way.target.clone(), way.database.clone());
        if all.len() >= DATABASES_MAX {
            // Those that no session uses any more.
            all.retain(|_, asker| Arc::strong_count(asker) > 1);
        }
        if all.len() >= DATABASES_MAX && !all.contains_key(&key) {
            return None;
        }
        let asker = all.entry(key).or_insert_with(|| Arc::new(Asker::new(way)));
        Some(Arc::new(Shared(Arc::clone(asker))))
    }
}

struct Shared(Arc<Asker>);

impl TableSource for Shared {
    fn ask(&self, role: &str, names: Vec<String>) -> BoxFuture<'static, Option<TableFacts>> {
        let (asker, role) = (Arc::clone(&self.0), role.to_owned());
        Box::pin(async move { timeout(WITHIN, asker.facts(role, names)).await.ok().flatten() })
    }
}

/// Somebody who waits.
struct Request {
    role: String,
    names: Vec<String>,
    answer: oneshot::Sender<Option<TableFacts>>,
}

struct Asker {
    way: Way,
    waiting: Mutex<Vec<Request>>,
    /// Held by whoever asks for all who wait.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    line: Option<Line>,
    used: Option<MonoMicros>,
    failed: Option<MonoMicros>,
    watchers: Option<(MonoMicros, Vec<String>)>,
    /// Names whose question is in the record.
    told: HashSet<String>,
}

impl Asker {
    fn new(way: Way) -> Self {
        Self { way, waiting: Mutex::default(), state: tokio::sync::Mutex::default() }
    }

    async fn facts(self: Arc<Self>, role: String, names: Vec<String>) -> Option<TableFacts> {
        let (answer, mut told) = oneshot::channel();
        self.waiting().push(Request { role, names, answer });
        let mut state = tokio::select! {
            biased;
            told = &mut told => return told.ok().flatten(),
            state = self.state.lock() => state,
        };
        let requests = std::mem::take(&mut *self.waiting());
        if !requests.is_empty() {
            self.serve(&mut state, requests).await;
        }
        drop(state);
        told.await.ok().flatten()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for all of them; each role has a question of its own.
    async fn serve(self: &Arc<Self>, state: &mut State, mut requests: Vec<Request>) {
        while let Some(role) = requests.first().map(|r| r.role.clone()) {
            let (same, others) = requests.into_iter().partition(|r| r.role == role);
            let same: Vec<Request> = same;
            requests = others;
            let mut names: Vec<String> = same.iter().flat_map(|r| r.names.iter().cloned()).collect();
            names.sort_unstable();
            names.dedup();
            let facts = match self.asked(state, &role, &names).await {
                Ok(facts) => Some(facts),
                Err(why) => {
                    let (target, database) = (&self.way.target, &self.way.database);
                    tracing::debug!(target, database, "tables cannot be asked about: {why}");
                    None
                }
            };
            for request in same {
                let _ = request.answer.send(facts.clone());
            }
        }
    }

    async fn asked(
        self: &Arc<Self>,
        state: &mut State,
        role: &str,
        names: &[String],
    ) -> Result<TableFacts, String> {
        let now = self.way.engine.clock.mono();
        let since = |then: MonoMicros| Duration::from_micros(now.0.saturating_sub(then.0));
        if state.failed.is_some_and(|then| since(then) < REST) {
            return Err("it failed a moment ago".to_owned());
        }
        // It is back in its place only after a whole answer: what fails, or is given up in the middle, closes it.
        let answer = async {
            let mut line = match state.line.take() {
                Some(line) => line,
                None => {
                    let line = open(&self.way).await?;
                    state.watchers = None;
                    state.told.clear();
                    tokio::spawn(close_when_idle(Arc::downgrade(self)));
                    line
                }
            };
            self.tell(&mut state.told, names)?;
            let watchers = match &state.watchers {
                Some((then, watchers)) if now.0.saturating_sub(then.0) < WATCHERS_KEPT_MICROS => {
                    watchers.clone()
                }
                _ => {
                    let rows = ask(&mut line, WATCHERS_QUESTION, &mut { ANSWER_BYTES_MAX }).await?;
                    let watchers: Vec<_> =
                        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
                    state.watchers = Some((now, watchers.clone()));
                    watchers
                }
            };
            let rows = question(&mut line, NAME, &array(names), role).await?;
            let mut further: Vec<String> = rows
                .iter()
                .filter(|row| goes_on(row))
                .filter_map(|row| row.first().cloned().flatten())
                .collect();
            further.dedup();
            let reach = match further.as_slice() {
                [] => Vec::new(),
                further => question(&mut line, REACH_NAME, &array(further), role).await?,
            };
            Ok((line, TableFacts { rows, watchers, reach }))
        };
        let late = || "it was not answered in time".to_owned();
        match timeout(ANSWER_WITHIN, answer).await.unwrap_or_else(|_| Err(late())) {
            Ok((line, facts)) => {
                (state.line, state.used, state.failed) = (Some(line), Some(now), None);
                Ok(facts)
            }
            Err(why) => {
                state.failed = Some(now);
                Err(why)
            }
        }
    }

    /// Records that these names are asked about, unless this connection has.
    fn tell(&self, told: &mut HashSet<String>, names: &[String]) -> Result<(), String> {
        if told.len() >= TOLD_MAX {
            told.clear();
        }
        let new: Vec<&String> = names.iter().filter(|name| !told.contains(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let leaf = asked(&self.way, &new);
        let event = Event::Log(LogEvent { kind: "target.asked", leaf }.into());
        self.way.engine.recorder.append(event, Need::Intent).map_err(|e| e.to_string())?;
        told.extend(new.into_iter().cloned());
        Ok(())
    }
}

async fn open(way: &Way) -> Result<Line, String> {
    let gone = || "the target is gone from the configuration".to_owned();
    let target = way.engine.targets.find(&way.target).ok_or_else(gone)?;
    let link = way.links.link(&way.target).ok_or_else(gone)?;
    let credential = way.engine.credentials.credential(&way.identity, &target).map_err(|e| e.to_string())?;
    let stream = way.engine.dialer.dial(&target).await.map_err(|e| e.to_string())?;
    let probe = Probe { stream, link, credential: &credential, database: &way.database };
    let (mut line, _) = connect(probe).await?;
    ask(&mut line, PREPARE, &mut { ANSWER_BYTES_MAX }).await?;
    let mut out = BytesMut::new();
    // text[] and text; oid[] and name.
    frontend::encode_parse(&mut out, NAME, TABLES_QUESTION.as_bytes(), &[1009, 25])
        .and_then(|()| frontend::encode_parse(&mut out, REACH_NAME, REACH_QUESTION.as_bytes(), &[1028, 19]))
        .map_err(|e| e.to_string())?;
    frontend::encode_sync(&mut out);
    line.send(&out).await.map_err(|e| e.to_string())?;
    answers(&mut line, &mut { ANSWER_BYTES_MAX }).await?;
    Ok(line)
}

async fn question(line: &mut Line, name: &[u8], of: &str, role: &str) -> Result<Vec<TableRow>, String> {
    let values = [Some(of.as_bytes()), Some(role.as_bytes())];
    let mut out = BytesMut::new();
    frontend::encode_bind(&mut out, (b"", name), (Format::Text, &values), Format::Text)
        .and_then(|()| frontend::encode_execute(&mut out, b"", 0))
        .map_err(|e| e.to_string())?;
    frontend::encode_sync(&mut out);
    line.send(&out).await.map_err(|e| e.to_string())?;
    answers(line, &mut { ANSWER_BYTES_MAX }).await
}

/// Names as the server reads an array of them.
fn array(names: &[String]) -> String {
    let mut out = String::from("{");
    for (i, name) in names.iter().enumerate() {
        out.push_str(if i > 0 { ",\"" } else { "\"" });
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    }
    out + "}"
}

async fn close_when_idle(asker: Weak<Asker>) {
    loop {
        sleep(LOOK).await;
        let Some(asker) = asker.upgrade() else { return };
        let mut state = asker.state.lock().await;
        let now = asker.way.engine.clock.mono();
        let idle = state.used.is_none_or(|then| u128::from(now.since(then)) >= IDLE.as_micros());
        if state.line.is_none() {
            return;
        }
        if idle {
            let line = state.line.take();
            drop(state);
            if let Some(line) = line {
                let _ = timeout(WITHIN, say_goodbye(line)).await;
            }
            return;
        }
    }
}

/// What the gateway asks, for the leaf.
fn asked(way: &Way, names: &[&String]) -> Json {
    let mut out = Vec::with_capacity(160);
    let mut o = Object::open(&mut out);
    o.string("database", &way.database);
    let list = o.key("tables");
    list.push(b'[');
    // A leaf has room for 16 KiB; names have 63 bytes at most.
    for (i, name) in names.iter().take(64).enumerate() {
        if i > 0 {
            list.push(b',');
        }
        write_string(list, name);
    }
    list.push(b']');
    o.string("target", &way.target);
    o.string("what", "tables");
    o.close();
    Json::from_written(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_an_array() {
        let names = ["a".to_owned(), "B \"c\" \\d,{}".to_owned()];
        assert_eq!(array(&names), r#"{"a","B \"c\" \\d,{}"}"#);
        assert_eq!(array(&[]), "{}");
    }
}
