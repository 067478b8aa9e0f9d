//! What is measured: one run of one peer in one cell.

use super::{
    bed::{Bed, Peer, finish, wait_until},
    client::{Client, Login},
    proc,
};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// How a cell loads its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// `pgbench` with these arguments.
    Pgbench { clients: u32, arguments: &'static [&'static str] },
    /// One client, one row changed per transaction.
    Update,
    /// All accounts, read as a result.
    Select,
    /// All accounts, read by COPY.
    CopyOut,
    /// As many rows, written by COPY.
    CopyIn,
}

/// A cell that every peer runs, in rounds.
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) load: Load,
}

pub(super) const CELLS: &[Cell] = &[
    Cell {
        name: "s8",
        what: "`pgbench -S`, simple protocol, 8 clients",
        load: Load::Pgbench { clients: 8, arguments: &["-S", "-M", "simple"] },
    },
    Cell {
        name: "x8",
        what: "`pgbench -S`, extended protocol, 8 clients",
        load: Load::Pgbench { clients: 8, arguments: &["-S", "-M", "extended"] },
    },
    Cell {
        name: "p8",
        what: "`pgbench -S`, prepared statements, 8 clients",
        load: Load::Pgbench { clients: 8, arguments: &["-S", "-M", "prepared"] },
    },
    Cell {
        name: "s1",
        what: "`pgbench -S`, simple protocol, 1 client",
        load: Load::Pgbench { clients: 1, arguments: &["-S", "-M", "simple"] },
    },
    Cell { name: "w1", what: "one UPDATE of one row, 1 client", load: Load::Update },
    Cell { name: "rawsel", what: "SELECT of 1,000,000 rows, drained raw", load: Load::Select },
    Cell { name: "copyout", what: "COPY of 1,000,000 rows to the client, drained raw", load: Load::CopyOut },
    Cell { name: "copyin", what: "COPY of 1,000,000 rows to the server", load: Load::CopyIn },
];

impl Load {
    /// Bulk cells are measured in MB, the others in transactions.
    pub(super) fn is_bulk(self) -> bool {
        matches!(self, Self::Select | Self::CopyOut | Self::CopyIn)
    }

    /// What masking has something to do with.
    pub(super) fn is_read_in_bulk(self) -> bool {
        matches!(self, Self::Select | Self::CopyOut)
    }
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    /// Transactions or MB per second.
    pub(super) rate: f64,
    /// CPU of the peer's process: µs per transaction, or ms per MB.
    pub(super) cpu: f64,
    /// Latency in µs, with one client only.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// How long a bulk load took, in s.
    pub(super) seconds: f64,
}

/// Rows as COPY wants them, made once.
pub(super) struct Rows(Vec<u8>);

/// psql sends what it reads from a file in pieces of this order.
const COPY_CHUNK_BYTES: usize = 64 << 10;
const ROWS: u32 = 1_000_000;

impl Rows {
    pub(super) fn make() -> Self {
        let mut text = Vec::new();
        for id in 1..=ROWS {
            text.extend_from_slice(format!("{id}\t{}\t0\t{:84}\n", id % 10 + 1, "").as_bytes());
        }
        Self(text)
    }

    /// For cells that feed none.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

/// Runs `cell` once against `peer`, for `seconds` where the load has no end of its own.
pub(super) fn run(bed: &Bed, peer: &Peer, cell: &Cell, seconds: u32, rows: &Rows) -> Result<Sample> {
    let before = peer.pid.map_or(Ok(0.0), proc::cpu_seconds)?;
    let (count, mut sample) = match cell.load {
        Load::Pgbench { clients, arguments } => pgbench(bed, &peer.login, clients, arguments, seconds)?,
        Load::Update => {
            let script = bed.dir.join("update.sql");
            fs::write(&script, "update bench_counter set n = n + 1 where id = 1;\n")?;
            pgbench(bed, &peer.login, 1, &["-f", &script.to_string_lossy()], seconds)?
        }
        Load::Select | Load::CopyOut | Load::CopyIn => bulk(bed, &peer.login, cell.load, rows)?,
    };
    let used = peer.pid.map_or(Ok(0.0), proc::cpu_seconds)? - before;
    let per_unit = if cell.load.is_bulk() { 1e3 } else { 1e6 };
    sample.cpu = used * per_unit / count.max(1.0);
    Ok(sample)
}

/// Returns the number of transactions with what was measured.
fn pgbench(
    bed: &Bed,
    login: &Login,
    clients: u32,
    arguments: &[&str],
    seconds: u32,
) -> Result<(f64, Sample)> {
    let mut command = bed.pgbench(login);
    let threads = clients.min(2).to_string();
    command
        .args(["-n", "-T", &seconds.to_string(), "-c", &clients.to_string(), "-j", &threads])
        .args(arguments);
    let logs = bed.dir.join("latencies");
    if clients == 1 {
        fs::create_dir_all(&logs)?;
        command.arg("-l").arg(format!("--log-prefix={}", logs.join("l").display()));
    }
    let output = command.output().context("run pgbench")?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let number = |key: &str| -> Option<f64> {
        let line = text.lines().find_map(|l| l.strip_prefix(key))?;
        line.split([' ', '/', '(']).find(|w| !w.is_empty())?.parse().ok()
    };
    let (count, rate) = (number("number of transactions actually processed:"), number("tps ="));
    let (Some(count), Some(rate)) = (count, rate) else { bail!("pgbench: {errors}") };
    if !output.status.success() || errors.contains("aborted") {
        bail!("pgbench: {errors}");
    }
    let mut sample = Sample { rate, ..Sample::default() };
    if clients == 1 {
        let sorted = latencies(&logs)?;
        sample.p50 = percentile(&sorted, 0.50);
        sample.p99 = percentile(&sorted, 0.99);
        fs::remove_dir_all(&logs)?;
    }
    Ok((count, sample))
}

/// Third column of pgbench's log: µs of each transaction.
fn latencies(folder: &Path) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let text = fs::read_to_string(entry?.path())?;
        all.extend(text.lines().filter_map(|l| l.split(' ').nth(2)?.parse::<f64>().ok()));
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

pub(super) fn percentile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len().saturating_sub(1)) as f64 * part;
    sorted.get(at as usize).copied().unwrap_or_default()
}

/// Returns MB moved with what was measured.
fn bulk(bed: &Bed, login: &Login, load: Load, rows: &Rows) -> Result<(f64, Sample)> {
    if load == Load::CopyIn {
        // Not through the peer: rules may refuse it.
        Client::connect(&bed.direct.login)?.drain("truncate bench_in")?;
    }
    let mut client = Client::connect(login)?;
    let began = Instant::now();
    let bytes = match load {
        Load::CopyIn => {
            client.copy_in("copy bench_in from stdin", &rows.0, COPY_CHUNK_BYTES)?;
            rows.0.len() as u64
        }
        Load::CopyOut => client.drain("copy pgbench_accounts to stdout")?,
        _ => client.drain("select * from pgbench_accounts")?,
    };
    let (megabytes, seconds) = (bytes as f64 / 1e6, began.elapsed().as_secs_f64());
    Ok((megabytes, Sample { rate: megabytes / seconds, seconds, ..Sample::default() }))
}

/// Median µs of one small write and fdatasync, into written blocks of a file in `folder`.
pub(super) fn sync_micros(folder: &Path) -> Result<f64> {
    const WRITES: u64 = 200;
    const WRITE_BYTES: u64 = 800;
    let path = folder.join("fdatasync.probe");
    let file = fs::File::create(&path)?;
    file.write_all_at(&vec![0; 1 << 20], 0)?;
    file.sync_all()?;
    let mut took = Vec::new();
    for at in 0..WRITES {
        let began = Instant::now();
        file.write_all_at(&[1; WRITE_BYTES as usize], at * WRITE_BYTES)?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    fs::remove_file(&path)?;
    took.sort_by(f64::total_cmp);
    Ok(percentile(&took, 0.5))
}

/// Writes to sockets for one result of 10,000 rows, counted by strace over several of them.
pub(super) fn socket_writes(bed: &Bed, peer: &Peer) -> Result<f64> {
    const RESULTS: u32 = 20;
    let pid = peer.pid.context("the server itself is not traced")?;
    let mut client = Client::connect(&peer.login)?;
    client.drain("select * from bench_ten")?;
    let (trace, talk) = (bed.dir.join("strace.trace"), bed.dir.join("strace.talk"));
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=sendto,sendmsg,sendmmsg,write,writev"]).arg("-o").arg(&trace);
    command.args(["-p", &pid.to_string()]).stdin(Stdio::null()).stderr(fs::File::create(&talk)?);
    let mut tracer = command.spawn().context("run strace\nhint: apt-get install strace")?;
    let attached =
        || fs::read_to_string(&talk).is_ok_and(|t| t.contains("attached") || t.contains("not permitted"));
    wait_until(|| attached() || !matches!(tracer.try_wait(), Ok(None)), "strace")?;
    for _ in 0..RESULTS {
        client.drain("select * from bench_ten")?;
    }
    super::bed::stop(&mut tracer);
    let text = fs::read_to_string(&trace).unwrap_or_default();
    let writes = text.lines().filter(|l| l.contains("<socket:[") || l.contains("<TCP")).count();
    if writes == 0 {
        bail!("strace saw nothing: {}", fs::read_to_string(&talk).unwrap_or_default());
    }
    Ok(writes as f64 / f64::from(RESULTS))
}

/// Peak resident MiB of a gateway with 32 clients busy.
pub(super) fn busy_peak_mib(bed: &Bed, peer: &Peer, seconds: u32) -> Result<f64> {
    let pid = peer.pid.context("the server itself is not measured")?;
    proc::reset_peak(pid);
    let mut command = bed.pgbench(&peer.login);
    command.args(["-n", "-S", "-c", "32", "-j", "2", "-T", &seconds.to_string()]);
    finish(
        {
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        },
        "pgbench with 32 clients",
    )?;
    Ok(proc::peak_kib(pid)? as f64 / 1024.0)
}

/// After so long without anything to do a session is idle: it looks at that every five seconds.
const IDLE: std::time::Duration = std::time::Duration::from_secs(12);

/// KiB of resident memory for each of `count` idle sessions.
pub(super) fn idle_session_kib(peer: &Peer, count: u32) -> Result<f64> {
    let pid = peer.pid.context("the server itself is not measured")?;
    // The first session pays for what all share.
    let mut first = Client::connect(&peer.login)?;
    first.drain("select 1")?;
    let before = proc::resident_kib(pid)?;
    let mut sessions = Vec::new();
    for at in 0..count {
        let mut client = Client::connect(&peer.login).with_context(|| format!("session {at} of {count}"))?;
        client.drain("select 1")?;
        sessions.push(client);
    }
    // A session that has nothing to do for some seconds gives its buffers back: it is idle sessions that are measured.
    std::thread::sleep(IDLE);
    let after = proc::resident_kib(pid)?;
    Ok(after.saturating_sub(before) as f64 / f64::from(count))
}
