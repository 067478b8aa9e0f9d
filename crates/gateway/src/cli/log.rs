//! `firsthand log`: entries, newest last: all of them, the last few, those that match.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use clap::{Args, Subcommand};
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::recover;
use firsthand_auditlog::search::Found;
use firsthand_auditlog::search::query::KEYS;
use firsthand_model::event::{Administered, Event};
use serde_json::json;

use super::output::Output;
use crate::failure::{Exit, Failure};
use crate::place::{At, Place, Way, lock_data, open_record, started_by_command};
use crate::reading::{Ask, EntriesAsk, EntriesCommand, Sink, what};
use crate::show::{entry, line, written};
use crate::who;

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
        out.push_str(&format!("  {:<12} {means}\n", format!("{key}:")));
    }
    out.push_str(
        "\nRows and outcomes of a command are also found by its tables, effects, rule, verdict, claims and text.",
    );
    out
}

/// Runs the command.
pub(crate) fn run(command: LogCommand, at: &At, out: &Output) -> Result<Exit, Failure> {
    let ask =
        |command, expression, lines, follow| Ask::Entries(EntriesAsk { command, expression, lines, follow });
    let ask = match (command, at) {
        (LogCommand::Cat(args), _) => ask(EntriesCommand::Cat, args.expression, 0, false),
        (LogCommand::Search(args), _) if args.expression.is_empty() => {
            return Err(Failure::usage(
                "nothing to search for",
                "firsthand log search --help shows what an expression may say",
            ));
        }
        (LogCommand::Search(args), _) => ask(EntriesCommand::Search, args.expression, 0, false),
        (LogCommand::Tail(args), _) => ask(EntriesCommand::Tail, args.expression, args.lines, args.follow),
        (LogCommand::DeclareGap(args), At::Here(place)) => return declare_gap(&args, place, out),
        (LogCommand::DeclareGap(_), At::There(_)) => {
            return Err(Failure::usage(
                "log declare-gap is done on the machine of the gateway, while it is stopped",
                "give --config FILE or --dir DATA there",
            ));
        }
    };
    match at.read(&ask, &mut Printer::new(out))? {
        Exit::No => Err(Failure::new(
            "nothing found: no entry of the record matches",
            "each term must hold, so fewer find more; firsthand log search --help shows what may be said",
        )),
        exit => Ok(exit),
    }
}

/// Prints entries, as lines or as JSON.
struct Printer<'a> {
    stdout: BufWriter<io::StdoutLock<'static>>,
    out: &'a Output,
    width: usize,
}

impl<'a> Printer<'a> {
    fn new(out: &'a Output) -> Self {
        let width = out.width();
        Self { stdout: BufWriter::new(io::stdout().lock()), out, width }
    }
}

impl Sink for Printer<'_> {
    fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure> {
        let text = if self.out.is_json() { entry::json(found) } else { line::of(found, names, self.width) };
        written(writeln!(self.stdout, "{text}"))
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        self.out.talk(text);
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        written(self.stdout.flush())
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
        by: who::own(&keys),
        leaf: what(&told),
        payload: what(&json!({ "reason": args.reason })),
    }));
    let (record, _) =
        open_record(&place.data_dir, lock, vec![declared], |_| Ok(started_by_command("log declare-gap")))?;
    record
        .close(what(&json!({ "by": "log declare-gap" })))
        .map_err(|e| Failure::new(e.to_string(), "look at the disk of the data folder"))?;
    out.show(&told, || {
        format!(
            "the log goes on in epoch {}; entries from position {} of segment {} on are given up",
            gap.epoch, gap.position, gap.segment
        )
    });
    Ok(Exit::Done)
}
