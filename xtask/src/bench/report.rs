//! From runs to figures: medians of ratios within a round, the budgets with their verdicts, and the document.

use super::{
    bed::Bed,
    cells::{CELLS, Cell, Sample},
    proc::Machine,
};
use anyhow::Result;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

/// All runs: `(cell, peer)` → the sample of each round; `direct` is the mean of its two runs in a round.
#[derive(Default)]
pub(super) struct Runs {
    pub(super) samples: BTreeMap<(&'static str, &'static str), Vec<Option<Sample>>>,
}

/// One line of the table of budgets.
pub(super) struct Verdict {
    pub(super) what: String,
    pub(super) budget: String,
    pub(super) measured: String,
    /// None where it could not be measured, or where there is no budget.
    pub(super) kept: Option<bool>,
}

impl Verdict {
    /// A figure that may be at most `limit`.
    pub(super) fn at_most(what: &str, budget: &str, limit: f64, measured: Option<f64>, unit: &str) -> Self {
        Self::new(what, budget, measured, unit, |m| m <= limit)
    }

    /// A figure that must be at least `limit`.
    pub(super) fn at_least(what: &str, budget: &str, limit: f64, measured: Option<f64>, unit: &str) -> Self {
        Self::new(what, budget, measured, unit, |m| m >= limit)
    }

    fn new(what: &str, budget: &str, measured: Option<f64>, unit: &str, kept: impl Fn(f64) -> bool) -> Self {
        let text = |m: f64| match m {
            m if m >= 1000.0 => format!("{} {unit}", thousands(m)),
            m if m >= 20.0 => format!("{m:.0} {unit}"),
            m => format!("{m:.2} {unit}"),
        };
        Self {
            what: what.to_owned(),
            budget: budget.to_owned(),
            measured: measured.map_or_else(|| "not measured".to_owned(), text),
            kept: measured.map(kept),
        }
    }

    fn word(&self) -> &'static str {
        match self.kept {
            Some(true) => "kept",
            Some(false) => "**missed**",
            None => "–",
        }
    }
}

impl Runs {
    pub(super) fn add(&mut self, cell: &'static str, peer: &'static str, sample: Option<Sample>) {
        self.samples.entry((cell, peer)).or_default().push(sample);
    }

    /// Median over the rounds of `figure(peer, reference)`, where both were measured in the same round.
    pub(super) fn against(
        &self,
        cell: &'static str,
        peer: &'static str,
        reference: &'static str,
        figure: impl Fn(&Sample, &Sample) -> f64,
    ) -> Option<f64> {
        let (peer, reference) = (self.samples.get(&(cell, peer))?, self.samples.get(&(cell, reference))?);
        let pairs = peer.iter().zip(reference);
        median(pairs.filter_map(|(p, r)| Some(figure(p.as_ref()?, r.as_ref()?))).collect())
    }

    /// Median of a figure of one peer.
    fn of(&self, cell: &'static str, peer: &'static str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.get(&(cell, peer))?.iter().flatten().map(figure).collect())
    }

    pub(super) fn has(&self, cell: &str) -> bool {
        self.samples.keys().any(|(name, _)| *name == cell)
    }

    fn table(&self, cell: &Cell) -> String {
        let bulk = cell.load.is_bulk();
        let one_client = self.of(cell.name, "direct", |s| s.p50).is_some_and(|p| p > 0.0);
        let (rate, cpu) = if bulk { ("MB/s", "CPU ms/MB") } else { ("tps", "CPU µs/txn") };
        let mut text = format!(
            "### {}: {}\n\n| peer | {rate} | ratio to direct | {cpu} | CPU × relay |",
            cell.name, cell.what
        );
        text.push_str(if one_client {
            " p50 µs | p99 µs | added p50 µs |\n|---|---|---|---|---|---|---|---|\n"
        } else {
            "\n|---|---|---|---|---|\n"
        });
        let show =
            |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
        for name in super::PEER_ORDER.iter().filter(|name| self.samples.contains_key(&(cell.name, **name))) {
            let Some(rate) = self.of(cell.name, name, |s| s.rate) else {
                let _ = writeln!(text, "| {name} | failed | | | |");
                continue;
            };
            let own = |figure: fn(&Sample) -> f64| self.of(cell.name, name, figure);
            let ratio = self.against(cell.name, name, "direct", |p, d| p.rate / d.rate);
            let measured = *name != "direct";
            let cpu = own(|s| s.cpu).filter(|_| measured);
            let times = self.against(cell.name, name, "relay", |p, r| p.cpu / r.cpu).filter(|_| measured);
            let _ = write!(
                text,
                "| {name} | {} | {} | {} | {} |",
                thousands(rate),
                show(ratio, 2),
                show(cpu, 2),
                show(times, 2)
            );
            if one_client {
                let added = self.against(cell.name, name, "direct", |p, d| p.p50 - d.p50);
                let _ = write!(
                    text,
                    " {} | {} | {} |",
                    show(own(|s| s.p50), 0),
                    show(own(|s| s.p99), 0),
                    show(added.filter(|_| measured), 0)
                );
            }
            text.push('\n');
        }
        text
    }
}

/// The table of budgets, for the terminal and the document.
pub(super) fn budgets(verdicts: &[Verdict]) -> String {
    let mut text = String::from("| what | budget | measured | |\n|---|---|---|---|\n");
    for v in verdicts {
        let _ = writeln!(text, "| {} | {} | {} | {} |", v.what, v.budget, v.measured, v.word());
    }
    text
}

/// What stands before this line is written by the program; what follows is kept.
const BY_HAND: &str =
    "<!-- Everything below this line is written by hand and kept by `cargo xtask bench`. -->";
const BY_HAND_FIRST: &str = "\n## What is missed, and why\n\nNothing noted yet.\n";

pub(super) struct About<'a> {
    pub(super) machine: &'a Machine,
    pub(super) bed: &'a Bed,
    pub(super) command: String,
    pub(super) rounds: u32,
    pub(super) seconds: u32,
    pub(super) sync_micros: f64,
}

/// Writes the document, keeping what people wrote at its end.
pub(super) fn write(
    path: &Path,
    about: &About<'_>,
    verdicts: &[Verdict],
    runs: &Runs,
    notes: &[String],
) -> Result<()> {
    let old = fs::read_to_string(path).unwrap_or_default();
    let kept = old.split_once(BY_HAND).map_or(BY_HAND_FIRST, |(_, kept)| kept);
    let m = about.machine;
    let mut text = format!(
        "# What it costs\n\nWritten by `{}` on {}, at {}.\n\n\
         Machine: {}, {} cores, {} GiB, Linux {}; {}; one small write and fdatasync on the log's disk: {:.0} µs \
         (median).\n\n{}",
        about.command,
        m.date,
        m.commit,
        m.cpu,
        m.cores,
        m.memory_gib,
        m.kernel,
        about.bed.version(),
        about.sync_micros,
        METHOD,
    );
    let _ = writeln!(text, "Rounds: {}; seconds per `pgbench` run: {}.", about.rounds, about.seconds);
    let _ = writeln!(text, "\n## Budgets\n\n{}", budgets(verdicts));
    for note in notes {
        let _ = writeln!(text, "- {note}");
    }
    text.push_str("\n## Runs\n\nMedians over the rounds.\n\n");
    for cell in CELLS.iter().filter(|cell| runs.has(cell.name)) {
        text.push_str(&runs.table(cell));
        text.push('\n');
    }
    text.push_str(BY_HAND);
    text.push_str(kept);
    fs::write(path, text)?;
    Ok(())
}

const METHOD: &str = "\
## How

Client, proxy and server share the cores of one machine and talk over loopback without TLS. Every round runs all peers in a random
order between two direct runs; ratios are taken within a round, and the table shows their median. The steadiest figure is the CPU
time of the proxy's process per transaction as a multiple of a bare tokio relay (`xtask relay`) in the same round: at 8 clients
the throughput ratio mostly says how the cores are shared. PostgreSQL runs with fsync off and 512 MB of shared buffers, pgbench at
scale 10, so that the server is as fast as it can be and the proxy shows. `relaxed` and `strict` are two targets of one
`firsthand serve` with identity and the full record on (rows kept up to 1,000 and 1 MiB per command), without `[policy]`. `rules`
and `rules-strict` are the same with the rules that are shipped for agents, which judge, detect and limit (changed only so far that
the benchmark's writes may run); on `masked` two of the four columns that are read are labelled, too. `changed_rows` is off.

";

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        1 => values.get(middle).copied(),
        _ => Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0),
    }
}

/// `1234567` as `1,234,567`.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut runs = Runs::default();
        for (direct, peer) in [(100.0, 50.0), (10.0, 9.0), (200.0, 160.0)] {
            runs.add("s8", "direct", Some(Sample { rate: direct, ..Sample::default() }));
            runs.add("s8", "relay", Some(Sample { rate: peer, ..Sample::default() }));
        }
        assert_eq!(runs.against("s8", "relay", "direct", |p, d| p.rate / d.rate), Some(0.8));
    }

    #[test]
    fn a_failed_round_counts_for_nobody() {
        let mut runs = Runs::default();
        runs.add("s8", "direct", None);
        runs.add("s8", "relay", Some(Sample { rate: 1.0, ..Sample::default() }));
        assert_eq!(runs.against("s8", "relay", "direct", |p, d| p.rate / d.rate), None);
    }

    #[test]
    fn figures_read_well() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![]), None);
    }

    #[test]
    fn a_budget_at_its_limit_is_kept() {
        assert_eq!(Verdict::at_most("a", "b", 1.6, Some(1.6), "×").kept, Some(true));
        assert_eq!(Verdict::at_least("a", "b", 0.9, Some(0.89), "×").kept, Some(false));
        assert_eq!(Verdict::at_most("a", "b", 1.0, None, "×").kept, None);
    }
}
