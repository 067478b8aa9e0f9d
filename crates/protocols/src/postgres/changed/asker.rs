//! What is known of tables, asked over a connection of the gateway's own (`together`): one for all sessions of a database.
//!
//! Each write has its table asked about when it comes, while its intent is made durable. That it is asked is recorded for each table once per connection (`target.asked`, invariant 12).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::json::{Json, Object, write_string};
use firsthand_model::time::MonoMicros;
use firsthand_session::port::{BoxFuture, Need};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend;
use tokio::time::timeout;

use super::super::catalog::{answers, ask, connect, say_goodbye};
use super::super::definitions::Way;
use super::super::together::{Asks, Kept, Together, Waiting};
use super::reach::{REACH_QUESTION, goes_on};
use super::table::{TABLES_QUESTION, TableFacts, TableRow, WATCHERS_QUESTION};
use crate::drive::line::Line;
use crate::protocol::Probe;

/// A write waits this long for what is known of its table, which a connected target tells in less than a millisecond.
const WITHIN: Duration = Duration::from_secs(2);
/// A question that takes this long has failed, and nobody asks for a moment: the others are not to wait as long each. Less
/// than [`WITHIN`], at whose end the question is dropped with whoever asked it.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
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
    /// `all`: how far changes go is asked of all of them, not only of those that have something through which they would.
    fn ask(&self, role: &str, names: Vec<String>, all: bool) -> BoxFuture<'static, Option<TableFacts>>;
}

/// All databases that are asked.
#[derive(Default)]
pub(in super::super) struct Askers(Mutex<HashMap<Place, Arc<Together<Asker>>>>);

/// A target and a database of it.
type Place = (String, String);

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
        let asker = all.entry(key).or_insert_with(|| Together::new(Asker { way }));
        Some(Arc::new(Shared(Arc::clone(asker))))
    }
}

struct Shared(Arc<Together<Asker>>);

impl TableSource for Shared {
    fn ask(&self, role: &str, names: Vec<String>, all: bool) -> BoxFuture<'static, Option<TableFacts>> {
        let (shared, question) = (Arc::clone(&self.0), Question { role: role.to_owned(), names, all });
        Box::pin(async move { shared.ask(question, WITHIN).await.flatten() })
    }
}

/// What one asks for.
struct Question {
    role: String,
    names: Vec<String>,
    all: bool,
}

struct Asker {
    way: Way,
}

/// What is remembered.
#[derive(Default)]
struct Memory {
    failed: Option<MonoMicros>,
    watchers: Option<(MonoMicros, Vec<String>)>,
    /// Names whose question is in the record.
    told: HashSet<String>,
}

impl Asks for Asker {
    type Question = Question;
    type Answer = Option<TableFacts>;
    type Line = Line;
    type Memory = Memory;

    fn now(&self) -> MonoMicros {
        self.way.engine.clock.mono()
    }

    /// Asks for all of them; each role has a question of its own.
    async fn serve(&self, kept: &mut Kept<Self>, mut waiting: Vec<Waiting<Self>>) {
        while let Some((role, all)) = waiting.first().map(|w| (w.question.role.clone(), w.question.all)) {
            let (same, others): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|w| w.question.role == role && w.question.all == all);
            waiting = others;
            let mut names: Vec<String> = same.iter().flat_map(|w| w.question.names.iter().cloned()).collect();
            names.sort_unstable();
            names.dedup();
            let facts = match self.asked(kept, &role, &names, all).await {
                Ok(facts) => Some(facts),
                Err(why) => {
                    let (target, database) = (&self.way.target, &self.way.database);
                    tracing::debug!(target, database, "tables cannot be asked about: {why}");
                    None
                }
            };
            same.into_iter().for_each(|one| one.tell(facts.clone()));
        }
    }

    async fn say_goodbye(line: Line) {
        say_goodbye(line).await;
    }
}

impl Asker {
    async fn asked(
        &self,
        kept: &mut Kept<Self>,
        role: &str,
        names: &[String],
        all: bool,
    ) -> Result<TableFacts, String> {
        let now = self.now();
        let Kept { line: kept_line, memory, .. } = kept;
        let since = |then: MonoMicros| Duration::from_micros(now.0.saturating_sub(then.0));
        if memory.failed.is_some_and(|then| since(then) < REST) {
            return Err("it failed a moment ago".to_owned());
        }
        let answer = async {
            let mut line = match kept_line.take() {
                Some(line) => line,
                None => {
                    let line = open(&self.way).await?;
                    memory.watchers = None;
                    memory.told.clear();
                    line
                }
            };
            self.tell(&mut memory.told, names)?;
            let watchers = match &memory.watchers {
                Some((then, watchers)) if now.0.saturating_sub(then.0) < WATCHERS_KEPT_MICROS => {
                    watchers.clone()
                }
                _ => {
                    let rows = ask(&mut line, WATCHERS_QUESTION, &mut { ANSWER_BYTES_MAX }).await?;
                    let watchers: Vec<_> =
                        rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect();
                    memory.watchers = Some((now, watchers.clone()));
                    watchers
                }
            };
            let rows = question(&mut line, NAME, &array(names), role).await?;
            let mut further: Vec<String> = rows
                .iter()
                .filter(|row| all || goes_on(row))
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
                (*kept_line, memory.failed) = (Some(line), None);
                Ok(facts)
            }
            Err(why) => {
                memory.failed = Some(now);
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
