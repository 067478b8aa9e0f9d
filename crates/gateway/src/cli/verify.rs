//! `firsthand verify`: whether a log is what was written, told by somebody who trusts nothing of it.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use firsthand_auditlog::entry::moment;
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::tlog::policy::Policy;
use firsthand_auditlog::verify::checkpoints::{Trust, parse_keys};
use firsthand_auditlog::verify::report::{Aspect, Finding, Report, Verdict};
use firsthand_auditlog::verify::{self, Options, Progress, VerifyError, bundle};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::output::Output;
use crate::config::value::duration;
use crate::failure::{Exit, Failure};

/// How long to look at the end of a log that is being written before it is judged.
const PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A data folder (a gateway may be writing it), or the folder that holds its `log`; or a bundle of evidence, as a tar or unpacked
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Public keys of the log, one a line, got by another way than this folder
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Which witnesses must have cosigned: a C2SP tlog-policy
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A checkpoint of earlier: the log must go on from it
    #[arg(long, value_name = "CHECKPOINT")]
    since: Option<PathBuf>,
    /// Take this for the time, instead of the clock: 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Fail when the newest entry is older: 90s, 5m, 24h
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs, out: &Output) -> Result<Exit, Failure> {
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    if bundle::is_bundle(&args.path) {
        return run_bundle(args, &*io, out);
    }
    let data = data_folder(&args.path)?;
    let keys = KeyStore::existing(&data, Arc::clone(&io)).unwrap_or_else(|e| {
        out.talk(&format!("nothing is opened: {e}"));
        None
    });
    let options = Options {
        keys: keys.map(Arc::new),
        anchors: Vec::new(),
        trust: trust(args)?,
        now_us: now(args.now.as_deref(), &*io)?,
        max_age_us: max_age(args.max_age.as_deref())?,
        patience: PATIENCE,
    };
    let bar = Bar::new();
    let report = verify::folder(&io, &data, &options, &mut |progress| bar.show(progress));
    bar.end();
    let report = report.map_err(|e| match e {
        VerifyError::NoLog(_) => {
            Failure::new(e.to_string(), "give the data folder of a gateway: the one that holds `log`")
        }
        VerifyError::Io { .. } => {
            Failure::new(e.to_string(), "read it as the gateway's user, or verify a copy")
        }
    })?;
    told(&report, &options, out)
}

/// A bundle of evidence.
fn run_bundle(args: &VerifyArgs, io: &dyn Io, out: &Output) -> Result<Exit, Failure> {
    let options = Options {
        trust: trust(args)?,
        now_us: now(args.now.as_deref(), io)?,
        max_age_us: max_age(args.max_age.as_deref())?,
        ..Options::default()
    };
    let bar = Bar::new();
    let report = bundle::judge_path(&args.path, &options, &mut |progress| bar.show(progress));
    bar.end();
    let report = report.map_err(|e| Failure::new(e.to_string(), "name a bundle that can be read"))?;
    told(&report, &options, out)
}

fn told(report: &Report, options: &Options, out: &Output) -> Result<Exit, Failure> {
    out.show(&as_json(report, options), || as_text(report, options));
    if report.worst() == Verdict::Failed {
        return Err(not_verified(report));
    }
    Ok(Exit::Done)
}

fn not_verified(report: &Report) -> Failure {
    let failed: Vec<&str> =
        Aspect::ALL.into_iter().filter(|a| report.verdict(*a) == Verdict::Failed).map(Aspect::word).collect();
    let hint = "keep a copy of the folder as it is; docs/verify.md says what each finding means";
    Failure {
        exit: Exit::Unverified,
        ..Failure::new(format!("it does not hold: {} failed", failed.join(", ")), hint)
    }
}

/// What stands in the files that are named.
fn trust(args: &VerifyArgs) -> Result<Trust, Failure> {
    let read = |path: &PathBuf| {
        std::fs::read(path)
            .map_err(|e| Failure::new(format!("{}: {e}", path.display()), "name a file that can be read"))
    };
    let mut trust = Trust::default();
    if let Some(path) = &args.key {
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        trust.keys = parse_keys(&text).ok().filter(|keys| !keys.is_empty()).ok_or_else(|| {
            Failure::usage(
                format!("{} holds no public key of a log", path.display()),
                "one a line: NAME+ID+KEY",
            )
        })?;
    }
    if let Some(path) = &args.policy {
        let policy = Policy::parse(&read(path)?);
        trust.policy = Some(policy.map_err(|e| {
            Failure::usage(format!("{}: {e}", path.display()), "write it as C2SP tlog-policy says")
        })?);
    }
    if let Some(path) = &args.since {
        trust.since = Some((path.clone(), read(path)?));
    }
    Ok(trust)
}

/// The data folder, also where its `log` was named.
fn data_folder(path: &Path) -> Result<PathBuf, Failure> {
    if path.join("log").is_dir() {
        return Ok(path.to_owned());
    }
    let is_log = path.file_name().is_some_and(|name| name == "log") && path.is_dir();
    match path.canonicalize().ok().and_then(|p| p.parent().map(Path::to_owned)) {
        Some(data) if is_log => Ok(data),
        _ => Err(Failure::new(
            format!("there is no log in {}", path.display()),
            "give the data folder of a gateway: the one that holds `log`",
        )),
    }
}

fn now(text: Option<&str>, io: &dyn Io) -> Result<u64, Failure> {
    let Some(text) = text else { return Ok(io.wall_us()) };
    moment::parse(text).ok_or_else(|| {
        Failure::usage(format!("--now: {text:?} is no time"), "write it like 2026-11-23T18:00:00Z")
    })
}

fn max_age(text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let length = duration(text)
        .map_err(|why| Failure::usage(format!("--max-age: {why}"), "write it like 90s, 5m or 24h"))?;
    Ok(Some(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)))
}

fn as_json(report: &Report, options: &Options) -> Value {
    let verdicts: serde_json::Map<String, Value> =
        Aspect::ALL.iter().map(|a| (a.word().to_owned(), report.verdict(*a).word().into())).collect();
    let finding = |f: &Finding| {
        json!({
            "aspect": f.aspect.word(),
            "failed": f.failed,
            "code": f.code,
            "epoch": f.spot.entry.map(|e| e.epoch),
            "position": f.spot.entry.map(|e| e.position),
            "file": f.spot.file.as_ref().map(|p| p.display().to_string()),
            "byte": f.spot.byte,
            "what": f.what,
        })
    };
    let counts: serde_json::Map<String, Value> = Aspect::ALL
        .iter()
        .map(|a| {
            let [noted, failed] = report.count(*a);
            (a.word().to_owned(), json!({ "noted": noted, "failed": failed }))
        })
        .collect();
    let epochs =
        report.epochs.iter().map(|e| json!({ "epoch": e.epoch, "size": e.size, "root": hex(&e.root) }));
    json!({
        "verdicts": verdicts,
        "findings": report.findings().iter().map(finding).collect::<Vec<_>>(),
        "counts": counts,
        "entries": report.entries,
        "bytes": report.bytes,
        "segments": report.segments,
        "epochs": epochs.collect::<Vec<_>>(),
        "disclosure": {
            "opened": report.disclosed.opened,
            "withheld": report.disclosed.withheld,
            "erased": report.disclosed.erased,
            "wrong": report.disclosed.wrong,
        },
        "newest": report.newest_us.map(moment::rfc3339),
        "age_seconds": report.newest_us.map(|t| options.now_us.saturating_sub(t) / 1_000_000),
    })
}

fn as_text(report: &Report, options: &Options) -> String {
    let mut text = String::new();
    for aspect in Aspect::ALL {
        let _ = writeln!(text, "{:<13} {}", aspect.word(), report.verdict(aspect).word());
        let mut told = 0;
        for found in report.findings().iter().filter(|f| f.aspect == aspect) {
            told += 1;
            let mark = if found.failed { "!" } else { "-" };
            let _ = write!(text, "  {mark} {}", found.code);
            let spot = found.spot.to_string();
            if !spot.is_empty() {
                let _ = write!(text, " at {spot}");
            }
            let _ = writeln!(text, ": {}", found.what);
        }
        let all: u64 = report.count(aspect).iter().sum();
        if all > told {
            let _ = writeln!(text, "  … and {} more", all - told);
        }
    }
    let _ = writeln!(
        text,
        "\n{} entries{}; {} payloads opened, {} withheld, {} erased",
        report.entries,
        // A bundle has none.
        if report.segments > 0 { format!(" in {} segments", report.segments) } else { String::new() },
        report.disclosed.opened,
        report.disclosed.withheld,
        report.disclosed.erased
    );
    for end in &report.epochs {
        let _ = writeln!(text, "epoch {}: {} entries, root {}", end.epoch, end.size, hex(&end.root));
    }
    if let Some(newest) = report.newest_us {
        let age = options.now_us.saturating_sub(newest) / 1_000_000;
        let _ = writeln!(text, "newest entry: {}, {age} s ago", moment::rfc3339(newest));
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// How far it is, on a terminal.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template(
                "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left, {msg}",
            );
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        }))
    }

    fn show(&self, progress: Progress) {
        if let Some(bar) = &self.0 {
            bar.set_length(progress.of);
            bar.set_position(progress.bytes);
            bar.set_message(format!("{} entries", progress.entries));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
