//! `cargo xtask bench`: the budgets, measured against a direct connection, a bare relay, HAProxy and pgbouncer in
//! interleaved rounds of one run. Writes `docs/performance.md`.

mod bed;
mod cells;
mod client;
mod holds;
mod proc;
pub(crate) mod relay;
mod report;
mod subject;

use anyhow::{Context, Result, bail};
use bed::{Bed, Peer};
use cells::{CELLS, Cell, Rows};
use report::{Runs, Verdict};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use subject::{GUARDED, HOLDING, PLAIN, Subject};

/// The order of rows in tables.
const PEER_ORDER: &[&str] = &[
    "direct",
    "relay",
    "relay+disk",
    "haproxy",
    "pgbouncer",
    "relaxed",
    "strict",
    "rules",
    "rules-strict",
    "masked",
];
/// Cells that are not run in rounds.
const SINGLE_CELLS: &[&str] = &["writes", "busy32", "idle1000", "holds1000", "append", "decide", "start"];
/// A log of this size is on disk when the start is measured.
const LARGE_LOG_BYTES: u64 = 1 << 30;

const USAGE: &str = "usage: cargo xtask bench [--quick] [--only CELL,…] [--rounds N] [--seconds N] \
                     [--peers-only] [--firsthand PROGRAM] [--no-write]";

struct Options {
    only: Vec<String>,
    rounds: u32,
    seconds: u32,
    quick: bool,
    /// Leave Firsthand out: what the peers do on this machine.
    peers_only: bool,
    /// A built program; otherwise the release build is made first.
    firsthand: Option<PathBuf>,
    write: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            rounds: 7,
            seconds: 2,
            quick: false,
            peers_only: false,
            firsthand: None,
            write: true,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().with_context(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--quick" => (options.quick, options.rounds, options.seconds) = (true, 2, 1),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--peers-only" => options.peers_only = true,
                "--firsthand" => options.firsthand = Some(value()?.into()),
                "--no-write" => options.write = false,
                other => bail!("unknown option {other}\n{USAGE}"),
            }
        }
        let known = |name: &str| CELLS.iter().any(|c| c.name == name) || SINGLE_CELLS.contains(&name);
        if let Some(name) = options.only.iter().find(|name| !known(name)) {
            let cells: Vec<_> = CELLS.iter().map(|c| c.name).chain(SINGLE_CELLS.iter().copied()).collect();
            bail!("no cell `{name}`; cells: {}", cells.join(", "));
        }
        Ok(options)
    }

    fn wants(&self, cell: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == cell)
    }
}

/// Everything one run needs.
struct Bench {
    root: PathBuf,
    options: Options,
    /// Dropped before the bed: the gateway ends before its server.
    subject: Option<Subject>,
    /// The same with rules in force.
    guarded: Option<Subject>,
    bed: Bed,
    runs: Runs,
    verdicts: Vec<Verdict>,
    notes: Vec<String>,
    /// Median µs of a small write and fdatasync, a figure per round.
    syncs: Vec<f64>,
    /// On the disk whose fdatasync counts.
    folder: PathBuf,
}

pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let target = build(root, &options)?;
    let folder = target.join("bench");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    progress("starting PostgreSQL and the peers");
    let dir = std::env::temp_dir().join(format!("firsthand-bench-{}", std::process::id()));
    let bed = Bed::start(&dir, &target.join("release/xtask"), &folder)?;
    let (subject, guarded) = if options.peers_only {
        (None, None)
    } else {
        let program = options.firsthand.clone().unwrap_or_else(|| target.join("release/firsthand"));
        let guarded = Subject::start(&GUARDED, &bed, &program, &folder.join("guarded"))?;
        (Some(Subject::start(&PLAIN, &bed, &program, &folder)?), Some(guarded))
    };
    let notes = bed.missing.iter().map(|m| format!("Not compared with {m}: not installed here.")).collect();
    let mut bench = Bench {
        root: root.to_owned(),
        options,
        subject,
        guarded,
        bed,
        runs: Runs::default(),
        verdicts: Vec::new(),
        notes,
        syncs: Vec::new(),
        folder,
    };
    bench.rounds()?;
    bench.judge_rounds();
    bench.singles();
    bench.finish(arguments)
}

/// Builds the programs that are measured. Returns the target folder.
fn build(root: &Path, options: &Options) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["build", "--release", "--quiet", "--package", "xtask"]);
    if !options.peers_only && options.firsthand.is_none() {
        command.args(["--package", "firsthand-gateway"]);
    }
    progress("building for release");
    bed::finish(command, "cargo build --release")?;
    Ok(target)
}

impl Bench {
    /// Every peer in every cell, round by round, in a random order between two direct runs.
    fn rounds(&mut self) -> Result<()> {
        let rows = Rows::make();
        let mut dice = Dice::new();
        let wanted: Vec<_> = CELLS.iter().filter(|cell| self.options.wants(cell.name)).collect();
        for cell in wanted {
            for round in 1..=self.options.rounds {
                self.syncs.push(cells::sync_micros(&self.folder)?);
                let mut peers = self.bed.peers.clone();
                let waiting = self.bed.waiting.iter().filter(|(of, _)| *of == cell.name);
                peers.extend(waiting.map(|(_, peer)| peer.clone()));
                if let Some(subject) = &self.subject {
                    peers.extend([subject.peer("relaxed")?, subject.peer("strict")?]);
                }
                if let Some(guarded) = &self.guarded {
                    peers.extend([guarded.peer("rules")?, guarded.peer("rules-strict")?]);
                    if cell.load.is_read_in_bulk() {
                        peers.push(guarded.peer("masked")?);
                    }
                }
                dice.shuffle(&mut peers);
                let direct = self.bed.direct.clone();
                let first = self.one(&direct, cell, round, &rows);
                for peer in &peers {
                    let sample = self.one(peer, cell, round, &rows);
                    self.runs.add(cell.name, peer.name, sample);
                }
                let last = self.one(&direct, cell, round, &rows);
                self.runs.add(cell.name, direct.name, first.zip(last).map(mean));
            }
        }
        Ok(())
    }

    /// A run that fails is said and left out; the others count.
    fn one(&mut self, peer: &Peer, cell: &Cell, round: u32, rows: &Rows) -> Option<cells::Sample> {
        match cells::run(&self.bed, peer, cell, self.options.seconds, rows) {
            Ok(sample) => {
                let (rate, cpu) = (sample.rate, sample.cpu);
                let name = peer.name;
                progress(&format!(
                    "{} {round} {name:10} {rate:10.0}/s  cpu {cpu:6.2}  p50 {:.0}",
                    cell.name, sample.p50
                ));
                Some(sample)
            }
            Err(error) => {
                progress(&format!("{} {round} {} failed: {error:#}", cell.name, peer.name));
                let note = format!("{} through {} failed: {error:#}", cell.name, peer.name);
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
                None
            }
        }
    }

    fn sync_micros(&self) -> f64 {
        let mut sorted = self.syncs.clone();
        sorted.sort_by(f64::total_cmp);
        cells::percentile(&sorted, 0.5)
    }

    fn judge_rounds(&mut self) {
        self.judge_transactions();
        self.judge_latencies();
        self.judge_bulk();
        self.note_relay();
    }

    fn judge_transactions(&mut self) {
        if !self.runs.has("s8") {
            return;
        }
        for (peer, limit, budget) in [
            ("relaxed", 1.6, "≤ 1.6 × relay (goal 1.25)"),
            ("strict", 2.0, "≤ 2.0 × relay (goal 1.6)"),
            ("rules", 1.6, "≤ 1.6 × relay (goal 1.25)"),
            ("rules-strict", 2.0, "≤ 2.0 × relay (goal 1.6)"),
        ] {
            let what = format!("CPU per `pgbench -S` transaction, 8 clients, {peer}");
            let figure = self.runs.against("s8", peer, "relay", |p, r| p.cpu / r.cpu);
            self.verdicts.push(Verdict::at_most(&what, budget, limit, figure, "×"));
        }
    }

    fn judge_latencies(&mut self) {
        let sync = self.sync_micros();
        let (one, two) = (sync + 15.0, 2.0 * sync + 20.0);
        let none = "≤ 10 µs".to_owned();
        let read = format!("≤ one fdatasync + 15 µs = {one:.0} µs");
        let write = format!("≤ two fdatasync + 20 µs = {two:.0} µs");
        for (cell, peer, what, limit, budget) in [
            ("s1", "relaxed", "relaxed", 10.0, &none),
            ("s1", "strict", "strict read", one, &read),
            ("w1", "strict", "strict write", two, &write),
            ("s1", "rules", "rules", 10.0, &none),
            ("s1", "rules-strict", "rules-strict read", one, &read),
            ("w1", "rules-strict", "rules-strict write", two, &write),
        ] {
            if self.runs.has(cell) {
                let what = format!("added p50, 1 client, {what}");
                let figure = self.runs.against(cell, peer, "direct", |p, d| p.p50 - d.p50);
                self.verdicts.push(Verdict::at_most(&what, budget, limit, figure, "µs"));
            }
        }
    }

    fn judge_bulk(&mut self) {
        let cells = [
            ("rawsel", "1,000,000-row SELECT"),
            ("copyout", "COPY to the client"),
            ("copyin", "COPY to the server"),
        ];
        let peers = [("relaxed", 0.9), ("strict", 0.9), ("rules", 0.9), ("masked", 0.5)];
        for (cell, what) in cells.into_iter().filter(|(cell, _)| self.runs.has(cell)) {
            for (peer, least) in peers {
                if peer == "masked" && cell == "copyin" {
                    continue;
                }
                // A mask is shorter than what it hides: there the rows count, not the bytes that come.
                let masked = peer == "masked";
                let what = format!("{what}, {}", if masked { "2 of 4 columns masked" } else { peer });
                let budget = format!("≥ {least:.2} × direct {}", if masked { "rows/s" } else { "MB/s" });
                let figure = self.runs.against(cell, peer, "direct", |p, d| {
                    if masked { d.seconds / p.seconds } else { p.rate / d.rate }
                });
                self.verdicts.push(Verdict::at_least(&what, &budget, least, figure, "×"));
            }
        }
    }

    /// What any process in between costs is no fault of this one: said beside the budget, which is against none.
    fn note_relay(&mut self) {
        let added = |peer, cell| self.runs.against(cell, peer, "direct", |p, d| p.p50 - d.p50);
        if let (Some(read), Some(write)) = (added("relay", "s1"), added("relay", "w1")) {
            self.notes.push(format!(
                "Added p50 is against no proxy at all. The bare relay alone adds {read:.0} µs to a read and {write:.0} µs to a write here."
            ));
        }
        if let (Some(read), Some(write)) = (added("relay+disk", "s1"), added("relay+disk", "w1")) {
            self.notes.push(format!(
                "The bare relay that also writes 1.6 kB and waits for the disk, once for a read and twice for a write, adds \
                 {read:.0} µs and {write:.0} µs: what `strict` promises costs that here, at the pace of one client, whoever does it."
            ));
        }
    }

    /// Cells of their own shape. What cannot be measured here is said and left out.
    fn singles(&mut self) {
        type Single = fn(&mut Bench) -> Result<()>;
        let all: [(&str, Single); 7] = [
            ("writes", Bench::writes),
            ("busy32", Bench::busy),
            ("idle1000", Bench::idle),
            ("holds1000", Bench::holds),
            ("append", Bench::append),
            ("decide", Bench::decide),
            ("start", Bench::start),
        ];
        for (name, measure) in all {
            if !self.options.wants(name) || (self.subject.is_none() && name != "writes") {
                continue;
            }
            progress(name);
            if let Err(error) = measure(self) {
                progress(&format!("{name} failed: {error:#}"));
                self.notes.push(format!("{name} was not measured: {error:#}"));
            }
        }
    }

    fn writes(&mut self) -> Result<()> {
        let mut counts = Vec::new();
        let mut peers = self.bed.peers.clone();
        if let Some(subject) = &self.subject {
            peers.extend([subject.peer("relaxed")?, subject.peer("strict")?]);
        }
        for peer in &peers {
            counts.push((peer.name, cells::socket_writes(&self.bed, peer)?));
        }
        let list: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count:.0}")).collect();
        self.notes.push(format!("Socket writes for a result of 10,000 rows: {}.", list.join(", ")));
        let of = |wanted: &str| counts.iter().find(|(name, _)| *name == wanted).map(|(_, count)| *count);
        if let Some(reference) = of("haproxy").or_else(|| of("relay")) {
            for peer in ["relaxed", "strict"] {
                let what = format!("socket writes for a 10,000-row result, {peer}");
                let budget = format!("≤ 2 × HAProxy's = {:.0}", 2.0 * reference);
                self.verdicts.push(Verdict::at_most(&what, &budget, 2.0 * reference, of(peer), ""));
            }
        }
        Ok(())
    }

    /// A new process: what earlier cells left in its heap would count otherwise.
    fn fresh(&mut self) -> Result<&Subject> {
        let subject = self.subject.as_mut().context("Firsthand is left out")?;
        subject.stop_process(false);
        subject.start_process(&self.bed)?;
        Ok(subject)
    }

    fn busy(&mut self) -> Result<()> {
        let seconds = self.options.seconds.max(2) + 1;
        let peer = self.fresh()?.peer("relaxed")?;
        let peak = cells::busy_peak_mib(&self.bed, &peer, seconds)?;
        self.verdicts.push(Verdict::at_most("memory, 32 busy clients", "≤ 40 MiB", 40.0, Some(peak), "MiB"));
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        let count = if self.options.quick { 200 } else { 1000 };
        let peer = self.fresh()?.peer("strict")?;
        let each = cells::idle_session_kib(&peer, count)?;
        let what = format!("memory, each of {count} idle sessions");
        self.verdicts.push(Verdict::at_most(&what, "≤ 24 KiB", 24.0, Some(each), "KiB"));
        Ok(())
    }

    fn holds(&mut self) -> Result<()> {
        let count = if self.options.quick { 200 } else { 1000 };
        let program = &self.subject.as_ref().context("Firsthand is left out")?.program;
        let holding = Subject::start(&HOLDING, &self.bed, program, &self.folder.join("holding"))?;
        let part = holds::throughput(&self.bed, &holding, count, self.options.seconds.clamp(2, 8))?;
        let what = format!("throughput of others while {count} commands wait for a person");
        self.verdicts.push(Verdict::at_least(
            &what,
            "no less that can be measured: ≥ 0.95 ×",
            0.95,
            Some(part),
            "×",
        ));
        Ok(())
    }

    /// Runs the log's own benchmark, whose line on entries of 350 B without a payload counts.
    fn append(&mut self) -> Result<()> {
        let folder = self.folder.join("append").display().to_string();
        let text = self.example("firsthand-auditlog", "append", &[&folder])?;
        let figure = text.lines().find_map(|line| {
            let (_, after) = line.split_once(" of 350 B: ")?;
            after.split_once("/s,")?.0.parse::<f64>().ok()
        });
        let figure = figure.with_context(|| format!("no entries/s in: {text}"))?;
        let what = "log append, one core, group commit, hashed, entries of 350 B";
        self.verdicts.push(Verdict::at_least(
            what,
            "≥ 500,000 entries/s",
            500_000.0,
            Some(figure),
            "entries/s",
        ));
        Ok(())
    }

    /// What a decision costs that was made before, with its identity, and with the grant that covers it.
    fn decide(&mut self) -> Result<()> {
        let rules = self.example("firsthand-policy", "decide", &[])?;
        let grant = self.example("firsthand-adapters", "granted", &[])?;
        let ns = |text: &str, what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(what)).context(what.to_owned())?;
            Ok::<f64, anyhow::Error>(line.trim().trim_end_matches(" ns").parse::<f64>()?)
        };
        let us = (ns(&rules, "decided before:")? + ns(&grant, "the grant of a command, of 8:")?) / 1000.0;
        let what = "decision with identity and grants resolved, made before";
        self.verdicts.push(Verdict::at_most(what, "≤ 5 µs", 5.0, Some(us), "µs"));
        Ok(())
    }

    /// What an example of a crate prints.
    fn example(&self, package: &str, name: &str, more: &[&str]) -> Result<String> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root).args(["run", "--release", "--quiet", "--package", package]);
        command.args(["--example", name, "--"]).args(more);
        let output = command.output().with_context(|| format!("run the example `{name}`"))?;
        if !output.status.success() {
            bail!("the example `{name}`: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The start with a large log: after a proper end, and after a crash.
    fn start(&mut self) -> Result<()> {
        let subject = self.subject.as_mut().context("Firsthand is left out")?;
        let wanted = if self.options.quick { LARGE_LOG_BYTES / 8 } else { LARGE_LOG_BYTES };
        let mut client = client::Client::connect(&subject.peer("bulk")?.login)?;
        while folder_bytes(&subject.data)? < wanted {
            let before = folder_bytes(&subject.data)?;
            client.drain("select * from pgbench_accounts")?;
            if folder_bytes(&subject.data)? == before {
                bail!("the log does not grow");
            }
        }
        drop(client);
        for (crash, what) in [(false, "start with a log of"), (true, "start after a crash with a log of")] {
            let mut took = Vec::new();
            for _ in 0..5 {
                subject.stop_process(crash);
                took.push(subject.start_process(&self.bed)?.as_secs_f64() * 1e3);
                client::Client::connect(&subject.peer("relaxed")?.login)?.drain("select 1")?;
            }
            took.sort_by(f64::total_cmp);
            let what =
                format!("{what} {:.2} GiB", folder_bytes(&subject.data)? as f64 / LARGE_LOG_BYTES as f64);
            let median = Some(cells::percentile(&took, 0.5));
            self.verdicts.push(Verdict::at_most(&what, "≤ 150 ms", 150.0, median, "ms"));
        }
        Ok(())
    }

    fn finish(self, arguments: &[String]) -> Result<()> {
        let command = format!("cargo xtask bench {}", arguments.join(" ")).trim().to_owned();
        let machine = proc::Machine::look();
        let about = report::About {
            machine: &machine,
            bed: &self.bed,
            command,
            rounds: self.options.rounds,
            seconds: self.options.seconds,
            sync_micros: self.sync_micros(),
        };
        print(&report::budgets(&self.verdicts));
        self.notes.iter().for_each(|note| print(&format!("- {note}")));
        if self.options.write {
            let path = self.root.join("docs/performance.md");
            report::write(&path, &about, &self.verdicts, &self.runs, &self.notes)?;
            progress(&format!("wrote {}", path.display()));
        }
        fs::remove_dir_all(&self.folder).context("remove the benchmark's folder")
    }
}

/// The two direct runs of a round as one.
fn mean((a, b): (cells::Sample, cells::Sample)) -> cells::Sample {
    let half = |a: f64, b: f64| (a + b) / 2.0;
    cells::Sample {
        rate: half(a.rate, b.rate),
        cpu: half(a.cpu, b.cpu),
        p50: half(a.p50, b.p50),
        p99: half(a.p99, b.p99),
        seconds: half(a.seconds, b.seconds),
    }
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(total)
}

/// Enough chance for the order of runs: xorshift, seeded by the clock.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(u64::from(now.subsec_nanos()) | 1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            items.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
    }
}

#[expect(clippy::print_stderr, reason = "progress is talk")]
fn progress(text: &str) {
    eprintln!("bench: {text}");
}

#[expect(clippy::print_stdout, reason = "the table is the result")]
fn print(text: &str) {
    println!("{text}");
}
