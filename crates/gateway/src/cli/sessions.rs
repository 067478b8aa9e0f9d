//! `firsthand sessions`: list them, show one, replay one, end one.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_auditlog::entry::fields::Fields;
use firsthand_auditlog::entry::moment;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::query::Query;
use firsthand_auditlog::search::sessions::{self, SessionSummary};
use firsthand_auditlog::search::{Found, Search};
use firsthand_model::id::SessionId;
use serde_json::{Value, json};

use super::output::{Output, columns};
use crate::failure::{Exit, Failure};
use crate::place::{At, Way};
use crate::reading::{Ask, SessionAsk, SessionsAsk, Sink, find, tell_session, unreadable};
use crate::remote::Asked;
use crate::show::session::Teller;
use crate::show::table::ROWS_SHOWN;
use crate::show::{clean, duration, entry, written};

/// Sessions listed unless more are asked for.
const LISTED: usize = 50;
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
pub(crate) fn run(command: SessionsCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    match command {
        SessionsCommand::List(args) => {
            let ListArgs { identity, target, since, count } = args;
            let ask = Ask::Sessions(SessionsAsk { identity, target, since, count });
            at.read(&ask, &mut Lister::new(out))
        }
        SessionsCommand::Show(args) => show(args.id, args.rows, None, at, out),
        SessionsCommand::Replay(args) => show(args.id, args.rows, Some(args.speed), at, out),
        SessionsCommand::Kill { id } => kill(&id, at, out),
    }
}

/// Prints a list of sessions.
struct Lister<'a> {
    out: &'a Output,
    stdout: BufWriter<StdoutLock<'static>>,
    /// What a table is made of: its columns are as wide as their widest cell.
    lines: Vec<(String, Vec<String>)>,
}

impl<'a> Lister<'a> {
    fn new(out: &'a Output) -> Self {
        Self { out, stdout: BufWriter::new(io::stdout().lock()), lines: Vec::new() }
    }
}

impl Sink for Lister<'_> {
    fn listed(&mut self, summary: &SessionSummary, first: &Found, names: &Names) -> Result<bool, Failure> {
        if self.out.is_json() {
            let value = summary_json(summary, first, names).to_string();
            return written(writeln!(self.stdout, "{}", clean::json(&value)));
        }
        self.lines.push((summary.id.to_string(), cells(summary, first, names)));
        Ok(true)
    }

    fn entry(&mut self, _: &Found, _: &Names) -> Result<bool, Failure> {
        Ok(true)
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        self.out.talk(text);
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.stdout.flush())
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        if !self.lines.is_empty() {
            let ids: Vec<&str> = self.lines.iter().map(|(id, _)| id.as_str()).collect();
            let width = unique_width(&ids);
            let table: Vec<Vec<String>> = self
                .lines
                .iter()
                .map(|(id, cells)| {
                    let id = id.get(..width).unwrap_or(id).to_owned();
                    std::iter::once(id).chain(cells.iter().cloned()).collect()
                })
                .collect();
            let head =
                ["session", "opened (UTC)", "lasted", "who", "target", "role", "commands", "errors", "rows"];
            written(writeln!(self.stdout, "{}", columns(&head, &table)))?;
        }
        self.flush()
    }
}

/// How many characters of the ids tell the listed sessions apart.
fn unique_width(ids: &[&str]) -> usize {
    let unique = |width: usize| {
        let mut heads: Vec<&str> = ids.iter().filter_map(|id| id.get(..width)).collect();
        heads.sort_unstable();
        heads.windows(2).all(|pair| matches!(pair, [a, b] if a != b))
    };
    (entry::SHORT_ID..36).find(|width| unique(*width)).unwrap_or(36)
}

/// A session's line, behind its id.
fn cells(summary: &SessionSummary, first: &Found, names: &Names) -> Vec<String> {
    let line = &summary.line;
    let fields = Fields::read(&first.leaf).unwrap_or_default();
    let target = fields.who.as_ref().map_or_else(String::new, |w| format!("{}/{}", w.target, w.db));
    let role = fields.who.as_ref().map_or("", |who| &who.role);
    let text = |text: &str| clean::fit(&clean::line(text), 44).into_owned();
    vec![
        moment::rfc3339(line.from).get(..19).unwrap_or_default().replace('T', " "),
        if line.closed { duration(line.until.saturating_sub(line.from)) } else { "open".to_owned() },
        text(&entry::who(&fields, names)),
        text(&target),
        text(role),
        line.commands.to_string(),
        (line.errors + line.refused + line.abandoned).to_string(),
        line.rows.to_string(),
    ]
}

/// A session in numbers, and who it is.
fn summary_json(summary: &SessionSummary, first: &Found, names: &Names) -> Value {
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
    if let (Ok(fields), Some(map)) = (Fields::read(&first.leaf), value.as_object_mut())
        && let Some(who) = &fields.who
    {
        let chain: Vec<Value> = who
            .chain
            .iter()
            .map(|l| json!({ "id": l.id, "kind": l.kind, "trust": l.trust, "name": names.name(&l.id) }))
            .collect();
        map.insert("chain".to_owned(), Value::Array(chain));
        for (key, text) in [("target", &who.target), ("db", &who.db), ("role", &who.role)] {
            map.insert(key.to_owned(), Value::String(text.to_string()));
        }
    }
    value
}

fn show(id: String, rows: usize, pace: Option<Speed>, at: &At, out: &Output) -> Result<Exit, Failure> {
    let ask = Ask::Session(SessionAsk { session: id, replay: pace.is_some() });
    let stdout = BufWriter::new(io::stdout().lock());
    if out.is_json() {
        at.read(&ask, &mut JsonSession { stdout, out, summary: None, any: false })
    } else {
        at.read(
            &ask,
            &mut Telling { teller: Teller::showing(rows), pace, before: None, to: stdout, out: Some(out) },
        )
    }
}

/// Prints a session as one JSON object.
struct JsonSession<'a> {
    stdout: BufWriter<StdoutLock<'static>>,
    out: &'a Output,
    /// Until its first entry is there, which says who it is.
    summary: Option<SessionSummary>,
    any: bool,
}

impl Sink for JsonSession<'_> {
    fn session(&mut self, summary: &SessionSummary) -> Result<bool, Failure> {
        self.summary = Some(*summary);
        Ok(true)
    }

    fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure> {
        if let Some(summary) = self.summary.take() {
            let head = summary_json(&summary, found, names).to_string();
            if !written(write!(self.stdout, "{{\"session\":{},\"entries\":[", clean::json(&head)))? {
                return Ok(false);
            }
        }
        let comma = if std::mem::replace(&mut self.any, true) { "," } else { "" };
        written(write!(self.stdout, "{comma}\n{}", entry::json(found)))
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        self.out.talk(text);
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.stdout.flush())
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        written(writeln!(self.stdout, "]}}").and_then(|()| self.stdout.flush()))
    }
}

/// Tells a session to people, at once or at its own pace.
struct Telling<'a, W> {
    teller: Teller,
    pace: Option<Speed>,
    /// Time of the entry before.
    before: Option<u64>,
    to: W,
    out: Option<&'a Output>,
}

impl<W: Write> Sink for Telling<'_, W> {
    fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure> {
        let now = Fields::read(&found.leaf).map_or(0, |fields| fields.micros());
        if let Some(Speed::Times(times)) = self.pace {
            let pause = Duration::from_micros(self.before.map_or(0, |before| now.saturating_sub(before)));
            if !self.flush()? {
                return Ok(false);
            }
            std::thread::sleep(pause.div_f64(times).min(PAUSE_MAX));
        }
        self.before = Some(now);
        written(self.teller.tell(found, names, &mut self.to))
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(out) = self.out {
            out.talk(text);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.to.flush())
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        written(self.teller.finish(&mut self.to).and_then(|()| self.to.flush()))
    }
}

/// Tells the newest session of a log: what the demo ends with. The caller has had the reading recorded.
pub(crate) fn tell_newest(reader: &Reader, out: &mut dyn Write) -> Result<(), Failure> {
    let search = Search::new(reader, &Query::default()).map_err(|e| unreadable(&e))?;
    let all = sessions::sessions(reader, search.catalog()).map_err(|e| unreadable(&e))?;
    let Some(summary) = all.last() else { return Ok(()) };
    let mut telling = Telling { teller: Teller::default(), pace: None, before: None, to: out, out: None };
    tell_session(reader, summary, &mut telling).map(drop)
}

fn kill(asked: &str, at: &At, out: &Output) -> Result<Exit, Failure> {
    let way;
    let client: &dyn Asked = match at {
        At::There(remote) => remote,
        At::Here(place) => {
            way = place.way("sessions kill")?;
            let Way::Gateway(client) = &way else {
                return Err(Failure::new(
                    "no gateway runs on this data folder, so no session does",
                    "firsthand sessions list shows ended ones",
                ));
            };
            client
        }
    };
    let running = client.asked("GET", "/v1/sessions", &Value::Null)?;
    let ids = running.get("sessions").and_then(Value::as_array).into_iter().flatten();
    let ids = ids.filter_map(|s| Some((SessionId::parse(s.get("id")?.as_str()?)?.to_string(), ())));
    let elsewhere = "firsthand sessions list shows sessions; those that are `open` may run";
    let (id, ()) = find(asked, "running ", elsewhere, ids)?;
    let answer = client.asked("POST", &format!("/v1/sessions/{id}/kill"), &json!({}))?;
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
