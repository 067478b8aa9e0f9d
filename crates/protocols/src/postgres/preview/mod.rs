//! What a held write would change: it runs over a connection of the gateway's own and is rolled back, where it is certain that
//! nothing is left of it.
//!
//! `may` reads the command's facts: no function that is not PostgreSQL's own, no session's transaction, nothing that means
//! something else on another connection. Then, in a transaction with the session's role and settings and under time limits,
//! the statement is prepared, which takes the lock that keeps its table from being defined anew; `question` asks what defaults,
//! triggers, rules, indexes, policies, domains and foreign keys' actions would run there; and only where none of that is unknown or
//! reaches beyond the transaction (a sequence does) the statement runs. Its rows come as they do for the record
//! (`changed`), the counts of other tables from the server. ROLLBACK is all that ever ends that transaction. Everywhere else the
//! planner is asked, if planning runs nothing unknown either, or nothing is.

mod may;
mod question;
mod said;

use std::sync::Arc;

use bytes::BytesMut;
use firsthand_model::command::Command;
use firsthand_model::limits::RecordLimits;
use firsthand_model::preview::{Counted, How, Original, Preview, Sample};
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::{Facts, Relation, RelationKind};
use firsthand_sql::{Change, Changes, STACK_BYTES, analyze};
use firsthand_wire::postgres::frontend::{self, Object};
use tokio::sync::oneshot;

use self::may::{May, Run, may, says_default, text_settings};
use self::question::{QUESTION, QUESTION_TYPES, Told, array, counts, told};
use self::said::{Fault, Said, ask, ask_with, execute, said, send};
use super::catalog::{Row, connect, say_goodbye};
use super::changed::{Added, Shown, TABLES_QUESTION, listed};
use super::estimate::{rows_of, same_names};
use crate::drive::line::Line;
use crate::protocol::{Masks, Previewing};

/// A statement of which the planner expects more rows is not tried: it would hold as many locks, and leave as many dead rows.
const ROWS_MAX: u64 = 10_000;
/// Rows that are shown: as many as somebody looks at.
const SAMPLE_ROWS: u64 = 20;
/// Bytes of rows that are shown, as rendered: they are stored with the question to the approver.
const SAMPLE_BYTES: u64 = 64 << 10;
/// Bytes of all answers: [`ROWS_MAX`] rows of a few KiB each.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// First of all. Who is held up by locks that the statement takes is so for two seconds at most; who holds one that it needs
/// is waited for less than a deadlock is looked for, so that nobody else is ever the victim. All of it is the
/// transaction's own, so that nothing stays at a connection that others share.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path TO pg_catalog, pg_temp; \
    SET LOCAL statement_timeout TO '2s'; SET LOCAL lock_timeout TO '200ms'; \
    SET LOCAL idle_in_transaction_session_timeout TO '5s'; SET LOCAL client_encoding TO 'UTF8'; \
    SET LOCAL plan_cache_mode TO force_generic_plan; SET LOCAL jit TO off; \
    SET LOCAL application_name TO 'firsthand preview'";
/// Back to where questions of the gateway's own mean themselves.
const APART: &str = "SET LOCAL ROLE NONE; SET LOCAL search_path TO pg_catalog, pg_temp";
/// Who is logged in.
const WHO: &str = "SELECT session_user";
/// The statement's name there.
const NAME: &[u8] = b"firsthand preview";
/// How many parameters it has.
const COUNT: &str = "SELECT pg_catalog.cardinality(parameter_types) FROM pg_catalog.pg_prepared_statements \
    WHERE name OPERATOR(pg_catalog.=) 'firsthand preview'";

/// Settings of the session that this transaction has its own values of: its answers are read, and its name is seen.
const OWN_SETTINGS: &[&str] = &["application_name", "client_encoding"];

/// Tries a command.
pub(super) async fn preview(with: Previewing<'_>) -> Preview {
    let Previewing { probe, session, command, original, masks } = with;
    let Some(changes) = read_text(original, command).await else {
        return Preview::none("Nothing was tried: its text is not known as it came.");
    };
    let (facts, may) = match may(session, command, original, changes.as_ref()) {
        Ok(it) => it,
        Err(why) => return Preview::none(format!("Nothing was tried: {why}.")),
    };
    let Ok((line, _)) = connect(probe).await else {
        return Preview::none("Nothing was tried: the target does not let the gateway in.");
    };
    let mut trial = Trial { line, session, original, facts, budget: ANSWER_BYTES_MAX };
    let preview = trial.tried(&may, masks, command).await;
    trial.take_back().await;
    preview
}

/// What the only statement of the text changes; `None`: the text is not that of the command.
async fn read_text(original: &Original, command: &Command) -> Option<Option<Changes>> {
    let (text, settings) = (original.text.clone(), text_settings(original));
    let (tell, told) = oneshot::channel();
    let read = move || {
        let analysis = analyze(&text, settings);
        let found = match analysis.statements() {
            [only] => {
                let piece = text.get(only.range(&text)).unwrap_or_default().to_vec();
                Some((only.changes.as_deref().cloned(), piece))
            }
            _ => None,
        };
        let _ = tell.send(found);
    };
    // A deep text takes a deep stack.
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(read).ok()?;
    let (changes, piece) = told.await.ok()??;
    let same = match command.original_digest {
        Some(digest) => [&piece, &original.text].into_iter().any(|it| super::text::sha256(it) == digest),
        None => [&piece, &original.text].into_iter().any(|it| command.text.as_bytes() == it.as_slice()),
    };
    same.then_some(changes)
}

/// One attempt, over one connection.
struct Trial<'a> {
    line: Line,
    session: &'a SessionFacts,
    original: &'a Original,
    facts: &'a Facts,
    budget: usize,
}

impl Trial<'_> {
    async fn tried(&mut self, may: &May, masks: &Masks<'_>, command: &Command) -> Preview {
        let nothing = |why: &str| Preview::none(format!("Nothing was tried: {why}."));
        if let Err(why) = self.begin().await {
            return nothing(&why);
        }
        let run = match may {
            May::Run(run) => Some(&**run),
            May::Plan(_) => None,
        };
        let (told, added) = match self.prepare(run, command).await {
            Ok(it) => it,
            Err(why) => return nothing(&why),
        };
        if let Some(why) = told.unplanned {
            return nothing(why);
        }
        let rows = match self.planned().await {
            Ok(rows) => rows,
            Err(why) => return nothing(&why),
        };
        let only = |why: &str| Preview::estimate(rows, format!("Only the planner was asked: {why}."));
        let run = match (may, &told.why) {
            (May::Plan(why), _) => return only(why),
            (May::Run(_), Some(why)) => return only(why),
            (May::Run(run), None) => run,
        };
        if rows > ROWS_MAX {
            return only(&format!(
                "it expects more than the {ROWS_MAX} rows up to which a statement is tried"
            ));
        }
        match self.run(run, &told, added, masks).await {
            Ok(preview) => preview,
            Err(Fault::Large) => only("its rows are larger than is read"),
            Err(Fault::Lost) => only("the connection to the target broke"),
            Err(Fault::Refused(code)) => match code.as_str() {
                "57014" => only("it took longer than it may when it is only tried"),
                "55P03" => only("somebody else holds a lock that it needs"),
                code => Preview::none(format!("It would fail as things are: {}.", meaning(code))),
            },
        }
    }

    async fn ask(&mut self, text: &str) -> Result<Vec<Row>, Fault> {
        Ok(ask(&mut self.line, text, &mut self.budget).await?.0)
    }

    /// Into a transaction, as who the session is.
    async fn begin(&mut self) -> Result<(), String> {
        let (_, said) = ask(&mut self.line, BEGIN, &mut self.budget).await.map_err(in_words)?;
        if !said.in_block {
            return Err("the target keeps no transaction open".to_owned());
        }
        let who = self.ask(WHO).await.map_err(in_words)?;
        if first(&who) != Some(&self.session.session_role) {
            return Err("its session has logged in as another role".to_owned());
        }
        Ok(())
    }

    /// The session's role and settings, for what follows.
    async fn enter(&mut self) -> Result<(), Fault> {
        let literal = |text: &str| format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut text = String::new();
        for (name, value) in self.original.settings.iter().flatten() {
            if !OWN_SETTINGS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                let set =
                    format!("SELECT pg_catalog.set_config({}, {}, true);", literal(name), literal(value));
                text.push_str(&set);
            }
        }
        if !self.original.settings.iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case("search_path"))
        {
            text.push_str("SET LOCAL search_path TO DEFAULT;");
        }
        let SessionFacts { role, session_role, .. } = self.session;
        if role == session_role {
            text.push_str("SET LOCAL ROLE NONE");
        } else {
            text.push_str(&format!("SET LOCAL ROLE {}", firsthand_sql::quoted(role)));
        }
        self.ask(&text).await.map(drop)
    }

    /// Prepares the statement, and asks about what it would meet; leaves with the session's role and settings in force.
    async fn prepare(
        &mut self,
        run: Option<&Run>,
        command: &Command,
    ) -> Result<(Told, Result<Arc<Added>, &'static str>), String> {
        self.enter().await.map_err(|fault| format!("its session cannot be set up: {}", in_words(fault)))?;
        self.means_the_same().await?;
        let types: Vec<u32> = self.original.parameters.iter().map(|p| p.type_number).collect();
        let mut out = BytesMut::new();
        frontend::encode_parse(&mut out, NAME, &self.original.text, &types).map_err(|e| e.to_string())?;
        frontend::encode_sync(&mut out);
        send(&mut self.line, &out).await.map_err(in_words)?;
        said(&mut self.line, &mut self.budget, |_| {}).await.map_err(in_words)?;
        // Now it has its locks: nobody gives those names to anything else.
        self.means_the_same().await?;
        self.ask(APART).await.map_err(in_words)?;
        let told = self.definitions(run).await.map_err(in_words)?;
        let added = match run.and_then(|run| run.change.as_ref()) {
            Some(change) => self.list(change, command).await.map_err(in_words)?,
            None => Err(run.map_or("", |run| run.unlisted)),
        };
        self.enter().await.map_err(in_words)?;
        Ok((told, added))
    }

    /// Whether its names mean here what they were taken for.
    async fn means_the_same(&mut self) -> Result<(), String> {
        for question in [same_names(self.facts)?, self.same_functions()].into_iter().flatten() {
            let rows = self.ask(&question).await.map_err(in_words)?;
            let row = rows.into_iter().next();
            if row.is_none_or(|row| row.iter().any(|same| same.as_deref() != Some("t"))) {
                return Err("its names mean something else in another session".to_owned());
            }
        }
        Ok(())
    }

    /// Whether none of the functions' names is also one of the database's own on the search path.
    fn same_functions(&self) -> Option<String> {
        let own = self.facts.functions.iter().filter_map(|name| name.strip_prefix("pg_catalog."));
        let names = array(&own.collect::<Vec<_>>()).replace('\'', "''");
        Some(format!(
            "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
             ON n.oid OPERATOR(pg_catalog.=) p.pronamespace WHERE p.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid \
             AND p.proname OPERATOR(pg_catalog.=) ANY ('{names}'::pg_catalog.name[]) \
             AND n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(true)))"
        ))
    }

    async fn definitions(&mut self, run: Option<&Run>) -> Result<Told, Fault> {
        let writes = &self.facts.writes;
        // What is below a view is written in its place.
        let views = writes.iter().any(|r| r.kind == RelationKind::View);
        let rows = |r: &&Relation| r.kind != RelationKind::Sequence && (views || !r.written.is_empty());
        let oids: Vec<String> = writes.iter().filter(rows).map(|r| r.oid.to_string()).collect();
        let (own, others): (Vec<&str>, Vec<&str>) =
            self.facts.functions.iter().map(String::as_str).partition(|f| f.starts_with("pg_catalog."));
        let own: Vec<&str> = own.iter().filter_map(|f| f.strip_prefix("pg_catalog.")).collect();
        let letters = run.map_or(&["i", "u", "d"][..], |run| run.letters.as_slice());
        let lists = [array(&oids), array(letters), array(&own), array(&others)];
        let [oids, letters, own, others] = lists.each_ref().map(String::as_str);
        let default = if says_default(&self.original.text) { "t" } else { "f" };
        let values = [oids, letters, own, others, default];
        let answer = ask_with(&mut self.line, QUESTION, &QUESTION_TYPES, &values, &mut self.budget).await?;
        Ok(told(&answer))
    }

    /// The list of rows for the statement; or why there is none.
    async fn list(
        &mut self,
        change: &Change,
        command: &Command,
    ) -> Result<Result<Arc<Added>, &'static str>, Fault> {
        let names = array(&[&change.table[2]]);
        let values = [names.as_str(), &self.session.role];
        let rows = ask_with(&mut self.line, TABLES_QUESTION, &[1009, 25], &values, &mut self.budget).await?;
        Ok(listed(change, rows, &command.shape))
    }

    /// How many rows the planner expects.
    async fn planned(&mut self) -> Result<u64, String> {
        let rows = self.ask(COUNT).await.map_err(in_words)?;
        let count = first(&rows).and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        let values = if count == 0 { String::new() } else { format!("({})", vec!["NULL"; count].join(", ")) };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE \"firsthand preview\"{values}");
        let rows = self.ask(&explain).await.map_err(in_words)?;
        first(&rows).and_then(|plan| rows_of(plan)).ok_or_else(|| "its plan is not understood".to_owned())
    }

    /// Runs it.
    async fn run(
        &mut self,
        run: &Run,
        told: &Told,
        added: Result<Arc<Added>, &'static str>,
        masks: &Masks<'_>,
    ) -> Result<Preview, Fault> {
        let added = added.and_then(|added| self.shown(run, &added, masks));
        let counting = counts(&told.reached);
        let before = self.ask(&counting).await?;
        let mut out = BytesMut::new();
        let name = match &added {
            Ok((text, _)) => {
                let types: Vec<u32> = self.original.parameters.iter().map(|p| p.type_number).collect();
                frontend::encode_parse(&mut out, b"", text, &types).map_err(|_| Fault::Large)?;
                &b""[..]
            }
            Err(_) => NAME,
        };
        execute(&mut out, name, &self.original.parameters)?;
        send(&mut self.line, &out).await?;
        let (mut shown, unlisted) = match added {
            Ok((_, shown)) => (Some(shown), ""),
            Err(why) => (None, why),
        };
        let Said { count, .. } = said(&mut self.line, &mut self.budget, |body| {
            if let Some(shown) = &mut shown {
                shown.row(body);
            }
        })
        .await?;
        let after = self.ask(&counting).await?;
        let count = count.ok_or(Fault::Lost)?;
        let sample: Option<Sample> = shown.map(|shown| shown.sample(count));
        let why = match &sample {
            Some(_) => String::new(),
            None => format!("Its rows are not shown ({unlisted})."),
        };
        Ok(Preview {
            how: How::Exact,
            count: Some(count),
            changes: changed(told, &before, &after),
            sample,
            why,
        })
    }

    /// The text with the list, and what its rows become.
    fn shown(
        &self,
        run: &Run,
        added: &Arc<Added>,
        masks: &Masks<'_>,
    ) -> Result<(Vec<u8>, Shown), &'static str> {
        let change = run.change.as_ref().ok_or(run.unlisted)?;
        // What is masked where it comes from is not masked where it goes to.
        let spills = self.facts.copied.iter().any(|column| {
            let plan = masks(&column.schema, &column.relation, &[&column.column]);
            let masks = plan.as_ref().and_then(|plan| plan.obligations.mask.columns.as_ref());
            masks.is_none_or(|masks| masks.iter().any(Option::is_some))
        });
        if spills {
            return Err("it stores values of columns that are masked");
        }
        let (schema, table) = added.place();
        let limits = RecordLimits { rows: SAMPLE_ROWS, bytes: SAMPLE_BYTES };
        let shown = masks(schema, table, &added.names()).and_then(|plan| Shown::new(added, limits, &plan));
        let shown = shown.ok_or("what is masked in them is not known")?;
        let text = added.in_text(&self.original.text, change).ok_or("its text cannot be read twice")?;
        Ok((text, shown))
    }

    /// Ends it: whatever happened, all of it is rolled back. The target does so by itself where it cannot be told.
    async fn take_back(mut self) {
        let mut out = BytesMut::new();
        if frontend::encode_close(&mut out, Object::Statement(NAME)).is_ok() {
            frontend::encode_sync(&mut out);
            if send(&mut self.line, &out).await.is_ok() {
                let closed = said(&mut self.line, &mut { ANSWER_BYTES_MAX }, |_| {}).await;
                if !matches!(closed, Err(Fault::Lost | Fault::Large)) {
                    let _ = ask(&mut self.line, "ROLLBACK", &mut { ANSWER_BYTES_MAX }).await;
                }
            }
        }
        say_goodbye(self.line).await;
    }
}

fn first(rows: &[Row]) -> Option<&String> {
    rows.first()?.first()?.as_ref()
}

/// What each table's rows went through between two counts. Where the server does not count, nothing.
fn changed(told: &Told, before: &[Row], after: &[Row]) -> Vec<Counted> {
    let text = |row: &Row, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let number = |row: &Row, at: usize| text(row, at).parse::<u64>().unwrap_or(0);
    let mut all = Vec::new();
    for row in after.iter().filter(|row| text(row, 5) == "on") {
        let oid = text(row, 0);
        let was = before.iter().find(|row| text(row, 0) == oid);
        let along = !told.reached.iter().any(|one| one.oid == oid && one.own);
        for (at, action) in [(2, "insert"), (3, "update"), (4, "delete")] {
            let count = number(row, at).saturating_sub(was.map_or(0, |row| number(row, at)));
            if count > 0 {
                all.push(Counted { table: text(row, 1), action, count, along });
            }
        }
    }
    all.sort_by(|a, b| (a.along, &a.table, a.action).cmp(&(b.along, &b.table, b.action)));
    all
}

/// What a code means, without what the target says: its texts hold values.
fn meaning(code: &str) -> String {
    let words = match code {
        "25006" => "the target may only be read",
        "42501" => "the role may not do that",
        "55P03" => "somebody else holds a lock that it needs",
        "57014" => "it took too long",
        _ => match code.get(..2).unwrap_or_default() {
            "22" => "a value is not one of its type",
            "23" => "a constraint forbids it",
            "40" => "others change the same rows",
            "42" => "the target does not understand it",
            "44" => "a view forbids it",
            _ => "the target refuses it",
        },
    };
    format!("{words} (SQLSTATE {code})")
}

fn in_words(fault: Fault) -> String {
    match fault {
        Fault::Refused(code) => meaning(&code),
        Fault::Large => "the target's answer is larger than is read".to_owned(),
        Fault::Lost => "the connection to the target broke".to_owned(),
    }
}
