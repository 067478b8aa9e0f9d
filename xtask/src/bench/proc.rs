//! What the kernel says a process used: CPU time, memory, system calls.

use anyhow::{Context, Result};
use std::{fs, process::Command};

/// CPU seconds (user and system) of the process with all its threads, and of children it has waited for.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    // The name may hold spaces: fields are counted behind its closing bracket.
    let (_, fields) = text.rsplit_once(')').context("stat without a name")?;
    let ticks: u64 =
        fields.split_ascii_whitespace().skip(11).take(4).filter_map(|f| f.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// Resident memory now, in KiB.
pub(super) fn resident_kib(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most resident memory since the last [`reset_peak`], in KiB.
pub(super) fn peak_kib(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// Makes the peak start from now.
pub(super) fn reset_peak(pid: u32) {
    // Only root and the owner may; the figure is then the peak since the start, which is on the safe side.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn status(pid: u32, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} is gone"))?;
    let line =
        text.lines().find_map(|l| l.strip_prefix(key)).with_context(|| format!("no {key} in status"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What was measured on, for the report.
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) memory_gib: u64,
    pub(super) date: String,
    pub(super) commit: String,
}

impl Machine {
    pub(super) fn look() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 =
            memory.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default();
        Self {
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: said("uname", &["-r"]),
            memory_gib: kib.div_ceil(1 << 20),
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            commit: said("git", &["describe", "--always", "--dirty"]),
        }
    }
}

/// The first line that a program prints; empty when it cannot be run.
pub(super) fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
