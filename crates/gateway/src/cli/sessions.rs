//! `firsthand sessions`: list them, show one, replay one, end one.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::entry::moment;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::matcher::{Matcher, session_starts};
use firsthand_auditlog::search::query::{Key, Query, Term};
use firsthand_auditlog::search::sessions::{self, SessionSummary};
use firsthand_auditlog::search::{Found, Search};
use serde_json::{Value, json};

use super::log::{not_understood, note, reader, unreadable, what};
use super::output::{Output, columns};
use crate::failure::{Exit, Failure};
use crate::place::{Place, Way};
use crate::show::session::Teller;
use crate::show::table::ROWS_SHOWN;
use crate::show::{clean, duration, entry, written};

/// Sessions listed unless more are asked for.
const LISTED: usize = 50;
/// Ids named when a beginning is that of several.
const FOUND_MAX: usize = 5;
/// Longest pause of a replay: nobody watches a session that waits for the night to pass.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List sessions, newest last
    List(ListArgs),
    /// Show what happened in a session
    Show(ShowArgs),
    /// Show a session again, in order and at its own pace
    Replay(ReplayArgs),
    /// End a running session
    Kill {
        /// Its id, or the beginning of it
        id: String,
    },
}

/// Arguments of `sessions list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those in whose identity chain this human, agent or token is
    #[arg(long, value_name = "WHO")]
    identity: Option<String>,
    /// Only those on this target
    #[arg(long, value_name = "T")]
    target: Option<String>,
    /// Only those that were open since: 2h, 2026-11-23, …
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = LISTED, value_name = "COUNT")]
    count: usize,
}

/// Arguments of `sessions show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Its id, or the beginning of it
    id: String,
    /// Rows shown of each result; the record keeps as many as the target's `record` says
    #[arg(long, default_value_t = ROWS_SHOWN, value_name = "COUNT")]
    rows: usize,
}

/// Arguments of `sessions replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Its id, or the beginning of it
    id: String,
    /// How fast: 2 is twice as fast as it was, max does not wait
    #[arg(long, default_value = "1", value_name = "N|max", value_parser = speed)]
    speed: Speed,
    /// Rows shown of each result; the record keeps as many as the target's `record` says
    #[arg(long, default_value_t = ROWS_SHOWN, value_name = "COUNT")]
    rows: usize,
}

/// The pace of a replay.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => Err("a number above 0, or max".to_owned()),
    }
}

/// Runs the command.
pub(crate) fn run(command: SessionsCommand, place: &Place, out: &Output) -> Result<Exit, Failure> {
    match command {
        SessionsCommand::List(args) => list(&args, place, out),
        SessionsCommand::Show(args) => show(&args.id, args.rows, None, place, out),
        SessionsCommand::Replay(args) => show(&args.id, args.rows, Some(args.speed), place, out),
        SessionsCommand::Kill { id } => kill(&id, place, out),
    }
}

/// A session of the list, with the entry that tells who it is.
struct Listed {
    summary: SessionSummary,
    first: Found,
}

fn list(args: &ListArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let query = list_query(args)?;
    let reader = reader(place)?;
    let search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let (mut listed, more) = newest(&reader, &search, &query, args.count)?;
    listed.reverse();
    let mut reading = json!({ "sessions": listed.len() });
    if !query.is_everything() {
        note(&mut reading, "expression", query.to_string());
    }
    place.note_reading("sessions list", what(&reading))?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    if out.is_json() {
        for session in &listed {
            if !written(writeln!(stdout, "{}", session.json(&search)))? {
                return Ok(Exit::Done);
            }
        }
    } else if !listed.is_empty() {
        let width = unique_width(&listed);
        let lines: Vec<Vec<String>> = listed.iter().map(|s| s.line(&search, width)).collect();
        let head =
            ["session", "opened (UTC)", "lasted", "who", "target", "role", "commands", "errors", "rows"];
        written(writeln!(stdout, "{}", columns(&head, &lines)))?;
    }
    written(stdout.flush())?;
    if listed.is_empty() {
        out.talk("no sessions");
    } else if more {
        out.talk(&format!("note: the newest {}; -n shows more", listed.len()));
    }
    Ok(Exit::Done)
}

fn list_query(args: &ListArgs) -> Result<Query, Failure> {
    let since = args.since.as_ref().map(|since| format!("since:{since}")).unwrap_or_default();
    let mut query = Query::parse(&since, wall().0).map_err(not_understood)?;
    for (key, value) in [(Key::Identity, &args.identity), (Key::Target, &args.target)] {
        if let Some(value) = value {
            query.terms.push(Term { negated: false, key, value: value.clone() });
        }
    }
    Ok(query)
}

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
            listed.push(Listed { summary, first });
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

/// How many characters of the ids tell the listed sessions apart.
fn unique_width(listed: &[Listed]) -> usize {
    let ids: Vec<String> = listed.iter().map(|s| s.summary.id.to_string()).collect();
    let unique = |width: usize| {
        let mut heads: Vec<&str> = ids.iter().filter_map(|id| id.get(..width)).collect();
        heads.sort_unstable();
        heads.windows(2).all(|pair| matches!(pair, [a, b] if a != b))
    };
    (entry::SHORT_ID..36).find(|width| unique(*width)).unwrap_or(36)
}

impl Listed {
    fn lasted(&self) -> String {
        let line = &self.summary.line;
        if line.closed { duration(line.until.saturating_sub(line.from)) } else { "open".to_owned() }
    }

    fn line(&self, search: &Search, width: usize) -> Vec<String> {
        let line = &self.summary.line;
        let fields = Fields::read(&self.first.leaf).unwrap_or_default();
        let target = fields.who.as_ref().map_or_else(String::new, |w| format!("{}/{}", w.target, w.db));
        let role = fields.who.as_ref().map_or("", |who| &who.role);
        let id = self.summary.id.to_string();
        let text = |text: &str| clean::fit(&clean::line(text), 44).into_owned();
        vec![
            id.get(..width).unwrap_or(&id).to_owned(),
            moment::rfc3339(line.from).get(..19).unwrap_or_default().replace('T', " "),
            self.lasted(),
            text(&entry::who(&fields, search.names())),
            text(&target),
            text(role),
            line.commands.to_string(),
            (line.errors + line.refused + line.abandoned).to_string(),
            line.rows.to_string(),
        ]
    }

    fn json(&self, search: &Search) -> String {
        let value = summary_json(&self.summary, Some((&self.first, search)));
        clean::json(&value.to_string()).into_owned()
    }
}

/// A session in numbers, and who it is.
fn summary_json(summary: &SessionSummary, first: Option<(&Found, &Search)>) -> Value {
    let line = &summary.line;
    let mut value = json!({
        "id": summary.id.to_string(),
        "first": summary.first.position,
        "last": summary.last.position,
        "opened": moment::rfc3339(line.from),
        "until": moment::rfc3339(line.until),
        "open": !line.closed,
        "commands": line.commands,
        "refused": line.refused,
        "errors": line.errors,
        "abandoned": line.abandoned,
        "rows": line.rows,
    });
    let fields = first.and_then(|(found, search)| Some((Fields::read(&found.leaf).ok()?, search)));
    if let (Some((fields, search)), Some(map)) = (fields, value.as_object_mut())
        && let Some(who) = &fields.who
    {
        let chain: Vec<Value> = who
            .chain
            .iter()
            .map(|l| json!({ "id": l.id, "kind": l.kind, "trust": l.trust, "name": search.names().name(&l.id) }))
            .collect();
        map.insert("chain".to_owned(), Value::Array(chain));
        for (key, text) in [("target", &who.target), ("db", &who.db), ("role", &who.role)] {
            map.insert(key.to_owned(), Value::String(text.to_string()));
        }
    }
    value
}

/// The one session whose id begins so. `which`: of which sessions, in a word; `where_else`: what to do when it is none.
fn find<T>(
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

fn show(asked: &str, rows: usize, pace: Option<Speed>, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let reader = reader(place)?;
    let search = Search::new(&reader, &Query::default()).map_err(|e| unreadable(&e))?;
    let all = sessions::sessions(&reader, search.catalog()).map_err(|e| unreadable(&e))?;
    let ids = all.into_iter().map(|summary| (summary.id.to_string(), summary));
    let (_, summary) = find(asked, "", "firsthand sessions list shows them", ids)?;
    let command = if pace.is_some() { "sessions replay" } else { "sessions show" };
    let reading = json!({ "session": summary.id.to_string(), "commands": summary.line.commands });
    place.note_reading(command, what(&reading))?;
    let mut stdout = BufWriter::new(io::stdout().lock());
    if out.is_json() {
        show_json(&reader, &summary, &mut stdout)
    } else {
        tell(&reader, &summary, Teller::showing(rows), pace, &mut stdout)
    }
}

/// A search for the entries of one session.
fn of_session(reader: &Reader, summary: &SessionSummary) -> Result<Search, Failure> {
    let term = Term { negated: false, key: Key::Session, value: summary.id.to_string() };
    Search::new(reader, &Query { terms: vec![term], ..Query::default() }).map_err(|e| unreadable(&e))
}

fn show_json(reader: &Reader, summary: &SessionSummary, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut search = of_session(reader, summary)?;
    let mut first = true;
    while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
        if first {
            let head = summary_json(summary, Some((&found, &search))).to_string();
            if !written(write!(out, "{{\"session\":{},\"entries\":[", clean::json(&head)))? {
                return Ok(Exit::Done);
            }
        }
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        if !written(write!(out, "{comma}\n{}", entry::json(&found)))? {
            return Ok(Exit::Done);
        }
    }
    written(writeln!(out, "]}}").and_then(|()| out.flush()))?;
    Ok(Exit::Done)
}

/// Tells a session to people. Public to the crate because the demo ends with it.
fn tell(
    reader: &Reader,
    summary: &SessionSummary,
    mut teller: Teller,
    pace: Option<Speed>,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut search = of_session(reader, summary)?;
    let mut before: Option<u64> = None;
    while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
        let now = Fields::read(&found.leaf).map_or(0, |fields| fields.micros());
        if let Some(Speed::Times(times)) = pace {
            let pause = Duration::from_micros(before.map_or(0, |before| now.saturating_sub(before)));
            if !written(out.flush())? {
                return Ok(Exit::Done);
            }
            std::thread::sleep(pause.div_f64(times).min(PAUSE_MAX));
        }
        before = Some(now);
        if !written(teller.tell(&found, search.names(), out))? {
            return Ok(Exit::Done);
        }
    }
    written(teller.finish(out).and_then(|()| out.flush()))?;
    Ok(Exit::Done)
}

/// Tells the newest session of a log: what the demo ends with. The caller has had the reading recorded.
pub(crate) fn tell_newest(reader: &Reader, out: &mut dyn Write) -> Result<(), Failure> {
    let search = Search::new(reader, &Query::default()).map_err(|e| unreadable(&e))?;
    let all = sessions::sessions(reader, search.catalog()).map_err(|e| unreadable(&e))?;
    match all.last() {
        Some(summary) => tell(reader, summary, Teller::default(), None, out).map(drop),
        None => Ok(()),
    }
}

fn kill(asked: &str, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let Way::Gateway(client) = place.way("sessions kill")? else {
        return Err(Failure::new(
            "no gateway runs on this data folder, so no session does",
            "firsthand sessions list shows ended ones",
        ));
    };
    let running: Value = client.ask("GET", "/v1/sessions", &json!({}))?;
    let ids = running.get("sessions").and_then(Value::as_array).into_iter().flatten();
    let ids = ids.filter_map(|s| Some((s.get("id")?.as_str()?.to_owned(), ())));
    let elsewhere = "firsthand sessions list shows sessions; those that are `open` may run";
    let (id, ()) = find(asked, "running ", elsewhere, ids)?;
    let answer: Value = client.ask("POST", &format!("/v1/sessions/{id}/kill"), &json!({}))?;
    out.show(&answer, || format!("session {id} was ended"));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_number_or_max() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        for bad in ["0", "-1", "fast", "inf", "NaN"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }
}
