//! What a verification comes to: five verdicts, and what was found under each.

use std::fmt;
use std::path::PathBuf;

use crate::reader::Place;

/// Findings kept under one verdict; the others are counted only. A log that is wrong in more places than anybody reads must
/// not take the memory of whoever looks at it.
pub const FINDINGS_KEPT: usize = 500;

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// The bytes are those that were written: checksums, tree, signatures, commitments.
    Integrity,
    /// Nothing is missing: positions, segments, epochs, ends of what began, gaps.
    Completeness,
    /// How old the newest of it is.
    Freshness,
    /// What of the sealed payloads could be opened.
    Disclosure,
    /// The entries agree with each other: outcomes, approvals, clocks.
    Semantics,
}

impl Aspect {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Integrity, Self::Completeness, Self::Freshness, Self::Disclosure, Self::Semantics];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::Completeness => "completeness",
            Self::Freshness => "freshness",
            Self::Disclosure => "disclosure",
            Self::Semantics => "semantics",
        }
    }
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing to say.
    Ok,
    /// Nothing is wrong, and there is something to know.
    Findings,
    /// It does not hold.
    Failed,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Findings => "findings",
            Self::Failed => "failed",
        }
    }
}

/// Where something was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spot {
    /// The entry.
    pub entry: Option<Place>,
    /// The file, as it is called in the folder or bundle.
    pub file: Option<PathBuf>,
    /// The byte of that file.
    pub byte: Option<u64>,
}

impl Spot {
    /// A file, and nothing more exact.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// At a byte of it.
    #[must_use]
    pub fn at(self, byte: u64) -> Self {
        Self { byte: Some(byte), ..self }
    }

    /// Where this entry stands, or should.
    #[must_use]
    pub fn entry(self, epoch: u64, position: u64) -> Self {
        Self { entry: Some(Place { epoch, position }), ..self }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(Place { epoch, position }) = self.entry {
            write!(f, "entry {epoch}/{position}")?;
            between = ", ";
        }
        if let Some(file) = &self.file {
            write!(f, "{between}{}", file.display())?;
            between = " ";
        }
        if let Some(byte) = self.byte {
            write!(f, "{between}byte {byte}")?;
        }
        Ok(())
    }
}

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it bears on.
    pub aspect: Aspect,
    /// It makes the verdict `failed`.
    pub failed: bool,
    /// A word for programs; `docs/verify.md` lists them.
    pub code: &'static str,
    /// Where.
    pub spot: Spot,
    /// In words.
    pub what: String,
}

/// Findings as they come.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Finding>,
    /// Of each aspect: what is to be known, and what does not hold.
    counts: [[u64; 2]; 5],
}

impl Findings {
    /// Something does not hold.
    pub(crate) fn fail(&mut self, aspect: Aspect, code: &'static str, spot: &Spot, what: impl Into<String>) {
        self.add(Finding { aspect, failed: true, code, spot: spot.clone(), what: what.into() });
    }

    /// Something is to be known.
    pub(crate) fn note(&mut self, aspect: Aspect, code: &'static str, spot: &Spot, what: impl Into<String>) {
        self.add(Finding { aspect, failed: false, code, spot: spot.clone(), what: what.into() });
    }

    fn add(&mut self, finding: Finding) {
        let Some(count) =
            self.counts.get_mut(finding.aspect as usize).and_then(|c| c.get_mut(usize::from(finding.failed)))
        else {
            return;
        };
        *count += 1;
        if *count <= FINDINGS_KEPT as u64 {
            self.kept.push(finding);
        }
    }

    fn count(&self, aspect: Aspect) -> [u64; 2] {
        self.counts.get(aspect as usize).copied().unwrap_or_default()
    }
}

/// Payloads, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disclosed {
    /// Opened, and what the leaf commits to.
    pub opened: u64,
    /// There is no key to try: nobody gave one, or the bundle leaves them out.
    pub withheld: u64,
    /// The key was destroyed.
    pub erased: u64,
    /// They do not open, or are not what the leaf commits to.
    pub wrong: u64,
}

/// How far one epoch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch.
    pub epoch: u64,
    /// Its entries.
    pub size: u64,
    /// Root of their tree, recomputed.
    pub root: [u8; 32],
}

/// All of it.
#[derive(Debug)]
pub struct Report {
    findings: Findings,
    /// Entries read.
    pub entries: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
    /// How far each epoch goes.
    pub epochs: Vec<EpochEnd>,
    /// Payloads.
    pub disclosed: Disclosed,
    /// When the newest entry was written, in µs since 1970, as it says itself.
    pub newest_us: Option<u64>,
}

impl Report {
    pub(crate) fn new(findings: Findings) -> Self {
        Self {
            findings,
            entries: 0,
            bytes: 0,
            segments: 0,
            epochs: Vec::new(),
            disclosed: Disclosed::default(),
            newest_us: None,
        }
    }

    pub(crate) fn findings_mut(&mut self) -> &mut Findings {
        &mut self.findings
    }

    /// The verdict on one aspect.
    #[must_use]
    pub fn verdict(&self, aspect: Aspect) -> Verdict {
        match self.findings.count(aspect) {
            [0, 0] => Verdict::Ok,
            [_, 0] => Verdict::Findings,
            _ => Verdict::Failed,
        }
    }

    /// The worst of the five.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        Aspect::ALL.iter().map(|a| self.verdict(*a)).max().unwrap_or(Verdict::Ok)
    }

    /// What was found, in the order in which it was; at most [`FINDINGS_KEPT`] of each sort.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings.kept
    }

    /// How many findings an aspect has in all: what is to be known, and what does not hold.
    #[must_use]
    pub fn count(&self, aspect: Aspect) -> [u64; 2] {
        self.findings.count(aspect)
    }
}
