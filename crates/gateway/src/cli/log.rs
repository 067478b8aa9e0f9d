//! `firsthand log`: entries, newest last: all of them, the last few, those that match.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::{KeyError, KeyStore};
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::recover;
use firsthand_auditlog::search::query::{KEYS, Query, QueryError};
use firsthand_auditlog::search::{Found, Search};
use firsthand_model::event::{Administered, Event};
use firsthand_model::json::Json;
use serde_json::{Value, json};

use super::output::Output;
use crate::failure::{Exit, Failure, only_for_its_owner};
use crate::place::{Place, Way, lock_data, open_record};
use crate::show::{entry, line, written};
use crate::who;

/// How often the end of the log is looked at when following.
const FOLLOW: Duration = Duration::from_millis(100);
/// Matches that are gathered before the first is shown, so that the entry about this reading can say how many they are.
const COUNTED_MAX: usize = 10_000;

/// What to do with the log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// All entries, oldest first
    Cat(Expression),
    /// The newest entries; with -f, those that follow too
    Tail(TailArgs),
    /// Entries that match an expression
    #[command(after_help = help())]
    Search(Expression),
    /// Accept that a damaged log has lost entries, and go on in a new epoch
    DeclareGap(GapArgs),
}

/// An expression.
#[derive(Debug, Args)]
pub(crate) struct Expression {
    /// Only entries that match: identity:ada table:payments since:2h "free text"
    #[arg(value_name = "EXPR")]
    pub(crate) expression: Vec<String>,
}

/// Arguments of `log tail`.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// How many
    #[arg(short = 'n', long, default_value_t = 20, value_name = "COUNT")]
    lines: usize,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// Only entries that match
    #[arg(value_name = "EXPR")]
    expression: Vec<String>,
}

/// Arguments of `log declare-gap`.
#[derive(Debug, Args)]
pub(crate) struct GapArgs {
    /// Yes, I have kept a copy of the data folder
    #[arg(long)]
    i_have_a_copy: bool,
    /// What happened, for those who read the record later
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What may stand in an expression, for `--help`.
fn help() -> String {
    let mut out = String::from(
        "All terms must hold; a term after - must not. Words alone are text. Quote the expression as a whole, or write -- \
         before a term that begins with -.\n\n",
    );
    for (key, _, means) in KEYS {
        out.push_str(&format!("  {:<10} {means}\n", format!("{key}:")));
    }
    out.push_str(
        "\nRows and outcomes of a command are also found by its tables, effects, rule, verdict and text.",
    );
    out
}

/// Runs the command.
pub(crate) fn run(command: LogCommand, place: &Place, out: &Output) -> Result<Exit, Failure> {
    match command {
        LogCommand::Cat(args) => all("log cat", &args.expression, place, out),
        LogCommand::Search(args) if args.expression.is_empty() => Err(Failure::usage(
            "nothing to search for",
            "firsthand log search --help shows what an expression may say",
        )),
        LogCommand::Search(args) => all("log search", &args.expression, place, out),
        LogCommand::Tail(args) => tail(&args, place, out),
        LogCommand::DeclareGap(args) => declare_gap(&args, place, out),
    }
}

/// The reader of a place's log.
pub(crate) fn reader(place: &Place) -> Result<Reader, Failure> {
    place.must_exist()?;
    Reader::open(&place.data_dir, Arc::new(RealIo::new())).map_err(|e| unreadable(&e))
}

/// What it means that the log could not be read.
pub(crate) fn unreadable(e: &ReadError) -> Failure {
    let hint = match e {
        ReadError::NoLog(_) => "check --config or --dir; `firsthand serve` makes the folder",
        ReadError::Io { .. } => "run this as the user that owns the data folder",
        ReadError::Keys(KeyError::Exposed { path, .. }) => &only_for_its_owner(path),
        ReadError::Keys(_) => {
            "restore data/keys from a backup, or remove it to read the log with its payloads sealed"
        }
        ReadError::Header { .. }
        | ReadError::Damaged { .. }
        | ReadError::Missing { .. }
        | ReadError::Leaf { .. } => {
            "what stands before it was read; keep a copy of the data folder, and restore this file from a backup"
        }
    };
    Failure::new(e.to_string(), hint)
}

/// What it means that an expression was not understood.
pub(crate) fn not_understood(e: QueryError) -> Failure {
    Failure::usage(e.message, e.hint)
}

/// A JSON object for the entry about a reading. serde_json sorts keys, as the record wants them.
pub(crate) fn what(value: &Value) -> Json {
    Json::from_written(value.to_string().into_bytes())
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

fn all(command: &str, expression: &[String], place: &Place, out: &Output) -> Result<Exit, Failure> {
    let query = query(expression)?;
    let reader = reader(place)?;
    let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let mut first = Vec::new();
    let mut stopped = None;
    let mut complete = false;
    while first.len() < COUNTED_MAX && !complete && stopped.is_none() {
        match search.next() {
            Ok(Some(found)) => first.push(found),
            Ok(None) => complete = true,
            Err(e) => stopped = Some(e),
        }
    }
    let mut reading = json!({ "entries": first.len() });
    if !complete {
        note(&mut reading, "more", true);
    }
    if !query.is_everything() {
        note(&mut reading, "expression", query.to_string());
    }
    place.note_reading(command, what(&reading))?;
    let mut printer = Printer::new(out);
    let mut count = first.len();
    for found in &first {
        if !printer.print(found, &search)? {
            return Ok(Exit::Done);
        }
    }
    while !complete && stopped.is_none() {
        match search.next() {
            Ok(Some(found)) => {
                count += 1;
                if !printer.print(&found, &search)? {
                    return Ok(Exit::Done);
                }
            }
            Ok(None) => complete = true,
            Err(e) => stopped = Some(e),
        }
    }
    printer.flush()?;
    remarks(&search, out);
    match stopped {
        Some(e) => Err(unreadable(&e)),
        None if count == 0 && !query.is_everything() => Ok(Exit::No),
        None => Ok(Exit::Done),
    }
}

/// What the reader of the result should know, on stderr.
fn remarks(search: &Search, out: &Output) {
    if search.unsearched() > 0 {
        out.talk(&format!(
            "note: {} entries could not be searched: their payloads are erased or sealed",
            search.unsearched()
        ));
    }
    if let Some(torn) = search.torn() {
        out.talk(&format!("note: {torn}"));
    }
}

fn tail(args: &TailArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    let query = query(&args.expression)?;
    let reader = reader(place)?;
    let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
    let last = search.last(args.lines).map_err(|e| unreadable(&e))?;
    let mut reading = json!({ "entries": last.len() });
    if args.follow {
        note(&mut reading, "follow", true);
    }
    if !query.is_everything() {
        note(&mut reading, "expression", query.to_string());
    }
    place.note_reading("log tail", what(&reading))?;
    let mut printer = Printer::new(out);
    for found in &last {
        if !printer.print(found, &search)? {
            return Ok(Exit::Done);
        }
    }
    printer.flush()?;
    if args.follow {
        return follow(&mut search, &mut printer);
    }
    remarks(&search, out);
    Ok(Exit::Done)
}

/// Prints what matches of what is written from now on, until nobody reads any more.
fn follow(search: &mut Search, printer: &mut Printer) -> Result<Exit, Failure> {
    loop {
        let mut any = false;
        while let Some(found) = search.next().map_err(|e| unreadable(&e))? {
            any = true;
            if !printer.print(&found, search)? {
                return Ok(Exit::Done);
            }
        }
        if any && !printer.flush()? {
            return Ok(Exit::Done);
        }
        std::thread::sleep(FOLLOW);
    }
}

/// Prints entries, as lines or as JSON.
struct Printer {
    out: BufWriter<io::StdoutLock<'static>>,
    json: bool,
}

impl Printer {
    fn new(out: &Output) -> Self {
        Self { out: BufWriter::new(io::stdout().lock()), json: out.is_json() }
    }

    /// `false` when nobody reads any more.
    fn print(&mut self, found: &Found, search: &Search) -> Result<bool, Failure> {
        let text = if self.json { entry::json(found) } else { line::of(found, search.names()) };
        written(writeln!(self.out, "{text}"))
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.out.flush())
    }
}

fn declare_gap(args: &GapArgs, place: &Place, out: &Output) -> Result<Exit, Failure> {
    place.must_exist()?;
    if !args.i_have_a_copy {
        return Err(Failure::usage(
            "this gives up what stands behind the damage, for good",
            "keep a copy of the data folder, then add --i-have-a-copy",
        ));
    }
    // A log that opens has nothing to give up; one that another process holds is none of ours.
    match place.way("log declare-gap") {
        Ok(Way::Gateway(_)) => {
            return Err(Failure::new("a gateway runs on this log", "a log that it writes is not damaged"));
        }
        Ok(Way::Alone(alone)) => {
            alone.act(async |_| Ok(()))?;
            return Err(Failure::new(
                "the log opens: nothing of it is given up",
                "firsthand log cat reads it",
            ));
        }
        Err(_) => {}
    }
    let lock = lock_data(&place.data_dir)?;
    let gap = recover::declare_gap::<EventCodec>(&RealIo::new(), &place.data_dir).map_err(|e| {
        Failure::new(e.to_string(), "nothing was changed; look at the disk of the data folder")
    })?;
    let told = json!({ "epoch": gap.epoch, "segment": gap.segment.to_string(), "byte": gap.byte, "position": gap.position });
    let keys = KeyStore::open(&place.data_dir, Arc::new(RealIo::new()))
        .map_err(|e| Failure::new(e.to_string(), "restore data/keys from a backup"))?;
    let declared = Event::Administered(Box::new(Administered {
        kind: "log.gap",
        by: who::link(&keys, who::own_uid()),
        leaf: what(&told),
        payload: what(&json!({ "reason": args.reason })),
    }));
    let (record, _) =
        open_record(&place.data_dir, lock, vec![declared], what(&json!({ "by": "log declare-gap" })))?;
    record
        .close(what(&json!({})))
        .map_err(|e| Failure::new(e.to_string(), "look at the disk of the data folder"))?;
    out.show(&told, || {
        format!(
            "the log goes on in epoch {}; entries from position {} of segment {} on are given up",
            gap.epoch, gap.position, gap.segment
        )
    });
    Ok(Exit::Done)
}
