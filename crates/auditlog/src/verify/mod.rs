//! Verification of a log by somebody who trusts nothing of it: not the headers, not the indexes, not the gateway that wrote it.
//!
//! Everything that can be recomputed is: the chain of checksums, the positions, the tree, what was open, what a payload
//! commits to, and what the entries say of each other. Reads in one pass with bounded memory, beside a gateway that writes.
//! Five verdicts are kept apart ([`report::Aspect`]); each finding says where.
//!
//! - [`folder`] verifies a data folder, [`bundle`] what was exported from one.
//! - `log` walks the segments, `story` (with `approvals` and `clocks`) reads the leaves, `leaf` is the strict reader.
//! - [`Anchor`] is a size and root known by another way: the note of the last close, a signed checkpoint.

mod approvals;
pub mod bundle;
pub mod checkpoints;
mod clocks;
pub(crate) mod leaf;
mod log;
mod pieces;
pub mod report;
mod story;
#[cfg(test)]
mod trials;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::io::Io;
use crate::keys::KeyStore;
use crate::tree::Hash;
use checkpoints::Trust;
use report::{Aspect, Report, Spot};

/// How a log is known to have been, by another way than its segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Which tree.
    pub epoch: u64,
    /// Its entries.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Where that stands.
    pub source: PathBuf,
    /// The key of the log has signed it.
    pub signed: bool,
}

/// What to verify against.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The keys of payloads, where there are any.
    pub keys: Option<Arc<KeyStore>>,
    /// Sizes and roots that the log must have had.
    pub anchors: Vec<Anchor>,
    /// What signed checkpoints are judged by.
    pub trust: Trust,
    /// The time, in µs since 1970.
    pub now_us: u64,
    /// An older newest entry is a failure.
    pub max_age_us: Option<u64>,
    /// How long to wait for the end of a write that is under way, where the log ends in a part of one.
    pub patience: Duration,
}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Bytes of the files when it began.
    pub of: u64,
    /// Entries read.
    pub entries: u64,
}

/// Why there is nothing to verify.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// There is no log.
    #[error("there is no log in {}", .0.display())]
    NoLog(PathBuf),
    /// The folder could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Verifies the log of a data folder (`data/log`). `progress` is called now and then.
///
/// # Errors
/// When there is no log to verify. What is wrong with a log is in the report.
pub fn folder(
    io: &Arc<dyn Io>,
    data: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, VerifyError> {
    let mut report = log::verify(io, data, options, progress)?;
    disclosure(&mut report, options.keys.is_some());
    freshness(&mut report, options);
    Ok(report)
}

/// What could be opened.
fn disclosure(report: &mut Report, keys: bool) {
    let counts = report.disclosed;
    let out = report.findings_mut();
    let nowhere = Spot::default();
    if !keys && counts.withheld > 0 {
        let what =
            format!("nothing could be opened: there are no keys here for {} payloads", counts.withheld);
        out.note(Aspect::Disclosure, "withheld", &nowhere, what);
    } else if counts.withheld > 0 {
        let what = format!("{} payloads are withheld", counts.withheld);
        out.note(Aspect::Disclosure, "withheld", &nowhere, what);
    }
    if counts.erased > 0 {
        let what = format!("{} payloads cannot be opened any more: their keys are gone", counts.erased);
        out.note(Aspect::Disclosure, "erased", &nowhere, what);
    }
}

/// How old the newest entry is.
fn freshness(report: &mut Report, options: &Options) {
    /// Clocks of two machines differ by so much and nobody minds.
    const AHEAD_US: u64 = 60_000_000;
    let spot = Spot::default();
    let newest = report.newest_us;
    let out = report.findings_mut();
    let Some(newest) = newest else {
        return out.fail(Aspect::Freshness, "empty", &spot, "there is no entry whose age could be told");
    };
    if newest > options.now_us.saturating_add(AHEAD_US) {
        let what =
            format!("the newest entry is {} s ahead of the clock", (newest - options.now_us) / 1_000_000);
        out.note(Aspect::Freshness, "ahead", &spot, what);
    }
    let age = options.now_us.saturating_sub(newest);
    if options.max_age_us.is_some_and(|most| age > most) {
        let what = format!(
            "the newest entry is {} s old, more than the {} s that are allowed",
            age / 1_000_000,
            options.max_age_us.unwrap_or(0) / 1_000_000
        );
        out.fail(Aspect::Freshness, "stale", &spot, what);
    }
}
