//! Reading the record: what is searched, noted and given, the same for the command line on this machine and for the API.
//! Where the record is, is a [`Room`]; who takes in what is found, a [`Sink`].
//!
//! - `wire.rs`: what is found as lines of JSON, and back.

pub(crate) mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::keys::KeyError;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::search::matcher::{Matcher, session_starts};
use firsthand_auditlog::search::query::{Key, Query, QueryError, Term};
use firsthand_auditlog::search::sessions::{self, SessionSummary};
use firsthand_auditlog::search::{Found, Search};
use firsthand_model::json::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::{Exit, Failure, only_for_its_owner};
use crate::show::clean;

/// How often the end of the log is looked at when following.
const FOLLOW: Duration = Duration::from_millis(100);
/// Matches that are gathered before the first is shown, so that the entry about this reading can say how many they are.
const COUNTED_MAX: usize = 10_000;
/// Ids named when a beginning is that of several.
const FOUND_MAX: usize = 5;

/// Where the record is.
pub(crate) trait Room {
    /// The log.
    fn reader(&self) -> Result<Reader, Failure>;
    /// Records that it is read, before what was found is given.
    fn note_reading(&self, command: &str, what: Json) -> Result<(), Failure>;
    /// Bytes of entries that a reading may hold at a time. `log tail` goes backwards, and so holds all that it shows.
    fn most_bytes(&self) -> usize {
        usize::MAX
    }
}

/// Who takes in what is found. `false`: nobody wants more.
pub(crate) trait Sink {
    /// A session that is about to be told.
    fn session(&mut self, _summary: &SessionSummary) -> Result<bool, Failure> {
        Ok(true)
    }
    /// A session of a list, with the entry that tells who it is.
    fn listed(&mut self, _summary: &SessionSummary, _first: &Found, _names: &Names) -> Result<bool, Failure> {
        Ok(true)
    }
    /// An entry.
    fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure>;
    /// What the reader should know beside it.
    fn remark(&mut self, text: &str) -> Result<(), Failure>;
    /// All that is there now was given.
    fn flush(&mut self) -> Result<bool, Failure>;
    /// That was all of it.
    fn finish(&mut self) -> Result<bool, Failure> {
        self.flush()
    }
}

/// What is to be read.
#[derive(Debug)]
pub(crate) enum Ask {
    Entries(EntriesAsk),
    Sessions(SessionsAsk),
    Session(SessionAsk),
}

/// Entries.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntriesAsk {
    /// Which of the commands asks.
    pub(crate) command: EntriesCommand,
    /// What they must match: the arguments of the command.
    #[serde(default)]
    pub(crate) expression: Vec<String>,
    /// `log tail`: how many.
    #[serde(default)]
    pub(crate) lines: usize,
    /// `log tail`: and those that come.
    #[serde(default)]
    pub(crate) follow: bool,
}

/// The commands that read entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum EntriesCommand {
    #[serde(rename = "log cat")]
    Cat,
    #[serde(rename = "log search")]
    Search,
    #[serde(rename = "log tail")]
    Tail,
}

impl EntriesCommand {
    const fn word(self) -> &'static str {
        match self {
            Self::Cat => "log cat",
            Self::Search => "log search",
            Self::Tail => "log tail",
        }
    }
}

/// A list of sessions.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsAsk {
    #[serde(default)]
    pub(crate) identity: Option<String>,
    #[serde(default)]
    pub(crate) target: Option<String>,
    #[serde(default)]
    pub(crate) since: Option<String>,
    /// How many.
    pub(crate) count: usize,
}

/// One session.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionAsk {
    /// Its id, or the beginning of it.
    pub(crate) session: String,
    /// It is asked for `sessions replay`.
    #[serde(default)]
    pub(crate) replay: bool,
}

impl Ask {
    /// Reads it.
    pub(crate) fn run(&self, room: &dyn Room, sink: &mut dyn Sink) -> Result<Exit, Failure> {
        match self {
            Self::Entries(ask) if ask.command == EntriesCommand::Tail => tail(ask, room, sink),
            Self::Entries(ask) => all(ask, room, sink),
            Self::Sessions(ask) => list(ask, room, sink),
            Self::Session(ask) => tell(ask, room, sink),
        }
    }

    /// Whether its expression is one. Reads nothing.
    pub(crate) fn query(&self) -> Result<Query, Failure> {
        match self {
            Self::Entries(ask) => query(&ask.expression),
            Self::Sessions(ask) => ask.query(),
            Self::Session(_) => Ok(Query::default()),
        }
    }
}

/// What it means that the log could not be read.
pub(crate) fn unreadable(e: &ReadError) -> Failure {
    let hint = match e {
        ReadError::NoLog(_) => "check the data folder (--config or --dir); `firsthand serve` makes it",
        ReadError::Io { .. } => "run this as the user that owns the data folder",
        ReadError::Keys(KeyError::Exposed { path, .. }) => &only_for_its_owner(path),
        ReadError::Keys(_) => {
            "restore the folder keys from a backup; without one, read a copy of the data folder that has no keys: payloads stay sealed there"
        }
        ReadError::Header { .. }
        | ReadError::Damaged { .. }
        | ReadError::Missing { .. }
        | ReadError::Leaf { .. } => {
            "what stands before it was read; keep a copy of the data folder, and restore this file from a backup"
        }
        ReadError::Stopped => "ask again",
    };
    Failure::new(e.to_string(), hint).there()
}

/// Who looks for what a leaked token did names it; the record does not.
fn without_credentials(text: String) -> String {
    firsthand_sql::mask_connection(&text).unwrap_or(text)
}

/// What it means that an expression was not understood.
pub(crate) fn not_understood(e: QueryError) -> Failure {
    Failure::usage(e.message, e.hint)
}

/// A JSON object for an entry: keys in order, as the record wants them. An object of serde_json keeps the order of insertion in this
/// build, whatever this file asks for: another crate switches that on for all.
pub(crate) fn what(value: &Value) -> Json {
    Json::from_written(sorted(value).to_string().into_bytes())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, Value> = fields.iter().map(|(key, v)| (key, sorted(v))).collect();
            fields.into_iter().map(|(key, v)| (key.clone(), v)).collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// Adds a field to the JSON object of a reading.
pub(crate) fn note(reading: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(fields) = reading.as_object_mut() {
        fields.insert(key.to_owned(), value.into());
    }
}

fn query(expression: &[String]) -> Result<Query, Failure> {
    Query::from_arguments(expression, wall().0).map_err(not_understood)
}

fn all(ask: &EntriesAsk, room: &dyn Room, sink: &mut dyn Sink) -> Result<Exit, Failure> {
    let query = query(&ask.expression)?;
    let reader = room.reader()?;
    let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let (mut first, mut bytes) = (Vec::new(), 0);
    let mut stopped = None;
    let mut complete = false;
    while first.len() < COUNTED_MAX && bytes < room.most_bytes() && !complete && stopped.is_none() {
        match search.next() {
            Ok(Some(found)) => {
                bytes += found.bytes();
                first.push(found);
            }
            Ok(None) => complete = true,
            Err(e) => stopped = Some(e),
        }
    }
    let mut reading = json!({ "entries": first.len() });
    if !complete {
        note(&mut reading, "more", true);
    }
    if !query.is_everything() {
        note(&mut reading, "expression", without_credentials(query.to_string()));
    }
    room.note_reading(ask.command.word(), what(&reading))?;
    let found = !first.is_empty();
    for entry in first {
        if !sink.entry(&entry, search.names())? {
            return Ok(Exit::Done);
        }
    }
    while !complete && stopped.is_none() {
        match search.next() {
            Ok(Some(entry)) => {
                if !sink.entry(&entry, search.names())? {
                    return Ok(Exit::Done);
                }
            }
            Ok(None) => complete = true,
            Err(e) => stopped = Some(e),
        }
    }
    sink.finish()?;
    remarks(&search, sink)?;
    match stopped {
        Some(e) => Err(unreadable(&e)),
        None if !found && !query.is_everything() => Ok(Exit::No),
        None => Ok(Exit::Done),
    }
}

/// What the reader of the result should know.
fn remarks(search: &Search, sink: &mut dyn Sink) -> Result<(), Failure> {
    if search.unsearched() > 0 {
        sink.remark(&format!(
            "note: {} entries could not be searched: their payloads are erased or sealed",
            search.unsearched()
        ))?;
    }
    if let Some(torn) = search.torn() {
        sink.remark(&format!("note: {torn}"))?;
    }
    Ok(())
}

fn tail(ask: &EntriesAsk, room: &dyn Room, sink: &mut dyn Sink) -> Result<Exit, Failure> {
    let query = query(&ask.expression)?;
    let reader = room.reader()?;
    let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let last = search.last(ask.lines, room.most_bytes()).map_err(|e| unreadable(&e))?;
    let mut reading = json!({ "entries": last.len() });
    if ask.follow {
        note(&mut reading, "follow", true);
    }
    if !query.is_everything() {
        note(&mut reading, "expression", without_credentials(query.to_string()));
    }
    room.note_reading(EntriesCommand::Tail.word(), what(&reading))?;
    if search.left_out() {
        sink.remark(&format!("note: the newest {}: more are too large to be gathered at once", last.len()))?;
    }
    for found in last {
        if !sink.entry(&found, search.names())? {
            return Ok(Exit::Done);
        }
    }
    if ask.follow {
        return follow(&mut search, sink);
    }
    sink.finish()?;
    remarks(&search, sink)?;
    Ok(Exit::Done)
}

/// Gives what matches of what is written from now on, until nobody reads any more.
fn follow(search: &mut Search, sink: &mut dyn Sink) -> Result<Exit, Failure> {
    loop {
        if !sink.flush()? {
            return Ok(Exit::Done);
        }
        while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
            if !sink.entry(&found, search.names())? {
                return Ok(Exit::Done);
            }
        }
        if !sink.flush()? {
            return Ok(Exit::Done);
        }
        std::thread::sleep(FOLLOW);
    }
}

impl SessionsAsk {
    fn query(&self) -> Result<Query, Failure> {
        let since = self.since.as_ref().map(|since| format!("since:{since}")).unwrap_or_default();
        let mut query = Query::parse(&since, wall().0).map_err(not_understood)?;
        for (key, value) in [(Key::Identity, &self.identity), (Key::Target, &self.target)] {
            if let Some(value) = value {
                query.terms.push(Term { negated: false, key, value: value.clone() });
            }
        }
        Ok(query)
    }
}

fn list(ask: &SessionsAsk, room: &dyn Room, sink: &mut dyn Sink) -> Result<Exit, Failure> {
    let query = ask.query()?;
    let reader = room.reader()?;
    let search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let (mut listed, more) = newest(&reader, &search, &query, ask.count)?;
    listed.reverse();
    let mut reading = json!({ "sessions": listed.len() });
    if !query.is_everything() {
        note(&mut reading, "expression", without_credentials(query.to_string()));
    }
    room.note_reading("sessions list", what(&reading))?;
    for (summary, first) in &listed {
        if !sink.listed(summary, first, search.names())? {
            return Ok(Exit::Done);
        }
    }
    sink.finish()?;
    if listed.is_empty() {
        sink.remark("no sessions")?;
    } else if more {
        sink.remark(&format!("note: the newest {}; -n (in the API: count) shows more", listed.len()))?;
    }
    Ok(Exit::Done)
}

/// A session of the list, with the entry that tells who it is.
type Listed = (SessionSummary, Found);

/// The newest sessions that match, newest first, and whether there are more.
fn newest(
    reader: &Reader,
    search: &Search,
    query: &Query,
    count: usize,
) -> Result<(Vec<Listed>, bool), Failure> {
    let who = Query { since: None, ..query.clone() };
    let mut matcher = Matcher::new(&who, reader.keys().map(|keys| &**keys), search.names());
    let all = sessions::sessions(reader, search.catalog()).map_err(|e| unreadable(&e))?;
    let mut listed = Vec::new();
    for summary in all.into_iter().rev() {
        if query.since.is_some_and(|since| summary.line.until < since && summary.line.closed) {
            continue;
        }
        if listed.len() >= count {
            return Ok((listed, true));
        }
        let Some(first) = first_entry(reader, search, &summary)? else { continue };
        let matches = Fields::read(&first.leaf)
            .is_ok_and(|fields| matcher.matches(&fields, &mut || first.payload.clone()));
        if matches {
            listed.push((summary, first));
        }
    }
    Ok((listed, false))
}

fn first_entry(reader: &Reader, search: &Search, summary: &SessionSummary) -> Result<Option<Found>, Failure> {
    let mut cursor = search.catalog().cursor_at(reader, summary.first).map_err(|e| unreadable(&e))?;
    let Some(stored) = cursor.next().map_err(|e| unreadable(&e))? else { return Ok(None) };
    let Ok(fields) = Fields::read(stored.leaf) else { return Ok(None) };
    let payload = reader.opener().open(&stored, &fields);
    Ok(Some(Found { place: stored.place, leaf: stored.leaf.to_vec(), payload }))
}

/// The one session whose id begins so. `which`: of which sessions, in a word; `where_else`: what to do when it is none.
pub(crate) fn find<T>(
    asked: &str,
    which: &str,
    where_else: &str,
    all: impl Iterator<Item = (String, T)>,
) -> Result<(String, T), Failure> {
    let plain = asked.to_ascii_lowercase().replace('-', "");
    let mut found: Vec<(String, T)> =
        all.filter(|(id, _)| !plain.is_empty() && session_starts(id, &plain)).take(FOUND_MAX).collect();
    let asked = clean::line(asked);
    match (found.pop(), found.as_slice()) {
        (Some(one), []) => Ok(one),
        (None, _) => Err(Failure::new(format!("no {which}session's id begins with `{asked}`"), where_else)),
        (Some(last), others) => {
            let mut ids: Vec<&str> = others.iter().map(|(id, _)| id.as_str()).collect();
            ids.push(&last.0);
            Err(Failure::new(
                format!("several {which}sessions have ids that begin with `{asked}`"),
                format!("give more of it: {}", ids.join(", ")),
            ))
        }
    }
}

fn tell(ask: &SessionAsk, room: &dyn Room, sink: &mut dyn Sink) -> Result<Exit, Failure> {
    let reader = room.reader()?;
    let search = Search::new(&reader, &Query::default()).map_err(|e| unreadable(&e))?;
    let all = sessions::sessions(&reader, search.catalog()).map_err(|e| unreadable(&e))?;
    let ids = all.into_iter().map(|summary| (summary.id.to_string(), summary));
    let (_, summary) = find(&ask.session, "", "firsthand sessions list shows them", ids)?;
    let command = if ask.replay { "sessions replay" } else { "sessions show" };
    let reading = json!({ "session": summary.id.to_string(), "commands": summary.line.commands });
    room.note_reading(command, what(&reading))?;
    tell_session(&reader, &summary, sink)
}

/// Gives the entries of one session. The caller has had the reading recorded.
pub(crate) fn tell_session(
    reader: &Reader,
    summary: &SessionSummary,
    sink: &mut dyn Sink,
) -> Result<Exit, Failure> {
    let term = Term { negated: false, key: Key::Session, value: summary.id.to_string() };
    let query = Query { terms: vec![term], ..Query::default() };
    let mut search = Search::new(reader, &query).map_err(|e| unreadable(&e))?;
    if !sink.session(summary)? {
        return Ok(Exit::Done);
    }
    while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
        if !sink.entry(&found, search.names())? {
            return Ok(Exit::Done);
        }
    }
    sink.finish()?;
    Ok(Exit::Done)
}
