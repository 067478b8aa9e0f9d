//! Judging a bundle of evidence ([`crate::bundle`]): is what it holds part of a log that was signed, is none of the range left
//! out, are the payloads those that were committed to. `verify.py` judges by the same rules and gives the same codes.

mod epoch;
mod payloads;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::checkpoints::{Trust, parse_keys, signed};
use super::report::{Aspect, Findings, Report, Spot};
use super::story::Story;
use super::{Anchor, Options, Progress, disclosure, freshness};
use crate::bundle::manifest::Manifest;
use crate::bundle::members::{Members, MembersError};
use crate::bundle::scope::Scope;
use crate::bundle::{
    MANIFEST, OF_EPOCH, SMALL_BYTES_MAX, SUMS, WHOLE_BYTES_MAX, epoch_of, is_streamed, sums,
};
use crate::tlog::key::VerifyingKey;

/// Names that a finding tells.
const TOLD: usize = 5;

/// The work.
struct Check<'a> {
    members: &'a Members,
    options: &'a Options,
    progress: &'a mut dyn FnMut(Progress),
    report: Report,
    story: Story,
    scope: Scope,
    keys: Vec<VerifyingKey>,
    /// Checkpoints of earlier.
    since: Vec<Anchor>,
    manifest: Manifest,
    /// Versions of rules that leaves name.
    policies: HashSet<String>,
    /// Time of the first leaf, and of the last one.
    times: (Option<u64>, Option<u64>),
    leaves: u64,
}

/// Judges a bundle. What no bundle is at all is told as a finding, too: `bundle`.
pub fn judge(
    members: &Result<Members, MembersError>,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Report {
    let mut report = Report::new(Findings::default());
    let members = match members {
        Ok(members) => members,
        Err(why) => {
            let out = report.findings_mut();
            out.fail(Aspect::Integrity, "bundle", &Spot::default(), format!("this is no bundle: {why}"));
            return report;
        }
    };
    let out = report.findings_mut();
    sums_hold(members, out);
    let bytes = members.whole_of(MANIFEST, SMALL_BYTES_MAX).ok().flatten();
    let Some(manifest) = bytes.and_then(|bytes| Manifest::parse(&bytes)) else {
        let what = "it is not written as manifests are, so nothing can be held against it";
        out.fail(Aspect::Integrity, "manifest", &Spot::file(MANIFEST), what);
        return report;
    };
    let mut check = Check {
        members,
        options,
        progress,
        report,
        story: Story::default(),
        scope: Scope::new(&manifest.scope),
        keys: Vec::new(),
        since: Vec::new(),
        manifest,
        policies: HashSet::new(),
        times: (None, None),
        leaves: 0,
    };
    check.run();
    let Check { mut report, .. } = check;
    disclosure(&mut report, true);
    freshness(&mut report, options);
    report
}

/// Whether every member is as it was written.
fn sums_hold(members: &Members, out: &mut Findings) {
    let found: Vec<(&str, String)> =
        members.names().filter(|n| *n != SUMS).map(|n| (n, members.sum(n).unwrap_or_default())).collect();
    let text = sums(found.iter().map(|(name, sum)| (*name, sum.as_str())));
    let given = members.whole_of(SUMS, WHOLE_BYTES_MAX).ok().flatten().unwrap_or_default();
    if given == text.as_bytes() {
        return;
    }
    let given = String::from_utf8_lossy(&given);
    let lines: HashSet<&str> = given.lines().collect();
    let other: Vec<&str> = text
        .lines()
        .filter(|line| !lines.contains(line))
        .take(TOLD)
        .filter_map(|line| line.split_once("  "))
        .map(|(_, name)| name)
        .collect();
    let what = format!("members are not as they were written, or lines are: {}", other.join(", "));
    out.fail(Aspect::Integrity, "sums", &Spot::file(SUMS), what);
}

impl Check<'_> {
    fn out(&mut self) -> &mut Findings {
        self.report.findings_mut()
    }

    fn run(&mut self) {
        self.trust();
        self.parts();
        let parts = self.manifest.epochs.clone();
        let whole = parts.first().is_some_and(|p| p.epoch == 1 && p.first == 0);
        self.story.partial = !whole;
        let mut before = None;
        for part in &parts {
            self.epoch(part, before);
            before = Some(part);
        }
        let last = parts.last().map_or_else(Spot::default, |p| Spot::default().entry(p.epoch, p.end));
        self.story.end(&last, self.report.findings_mut());
        self.borders();
        self.versions();
        self.report.newest_us = self.story.clocks.newest_us;
        self.word();
    }

    fn word(&mut self) {
        let (bytes, entries) = (self.report.bytes, self.report.entries);
        (self.progress)(Progress { bytes, of: self.members.total(), entries });
    }

    /// The keys, and the checkpoint of earlier.
    fn trust(&mut self) {
        let Trust { keys, since, .. } = &self.options.trust;
        self.keys.clone_from(keys);
        if keys.is_empty() {
            let names = self.members.names().filter(|n| *n == "keys" || n.ends_with("/vkey"));
            for name in names {
                let bytes = self.members.whole_of(name, SMALL_BYTES_MAX).ok().flatten().unwrap_or_default();
                let text = String::from_utf8(bytes).unwrap_or_default();
                self.keys.extend(parse_keys(&text).unwrap_or_default());
            }
            let what = "checkpoints are signed by a key that came in this bundle: whoever made all of it is not found; give --key";
            self.out().note(Aspect::Integrity, "key-beside", &Spot::default(), what);
        }
        if let Some((path, bytes)) = since {
            let anchor = signed(bytes, path.clone(), None, (&self.keys, None), self.report.findings_mut());
            self.since.extend(anchor);
        }
        for anchor in self.since.clone() {
            let part = self.manifest.epochs.iter().find(|p| p.epoch == anchor.epoch);
            let within =
                part.is_some_and(|p| (p.first..=p.end).contains(&anchor.size) || p.size == anchor.size);
            if !within {
                let what = "the checkpoint of earlier lies outside of the entries here, so it cannot be held against them";
                self.out().note(Aspect::Integrity, "since-outside", &Spot::file(&anchor.source), what);
            }
        }
    }

    /// Whether the parts follow each other, and each has its members.
    fn parts(&mut self) {
        let parts = self.manifest.epochs.clone();
        let out = self.report.findings_mut();
        for pair in parts.windows(2) {
            let [a, b] = pair else { continue };
            let spot = Spot::file(MANIFEST).entry(b.epoch, b.first);
            if a.epoch.checked_add(1) != Some(b.epoch) {
                let what = format!("epoch {} stands behind epoch {}", b.epoch, a.epoch);
                out.fail(Aspect::Completeness, "epoch-missing", &spot, what);
            }
            if b.first != 0 {
                let what = format!("entries are left out between epoch {} and epoch {}", a.epoch, b.epoch);
                out.fail(Aspect::Completeness, "range-epoch", &spot, what);
            }
        }
        let listed: BTreeSet<u64> = parts.iter().map(|p| p.epoch).collect();
        for epoch in &listed {
            for file in OF_EPOCH {
                let name = format!("e{epoch}/{file}");
                if !self.members.has(&name) {
                    let what = format!("the manifest lists epoch {epoch}, and this is not here");
                    out.fail(Aspect::Completeness, "member-missing", &Spot::file(name), what);
                }
            }
        }
        for name in self.members.names() {
            let epoch = name.split_once('/').and_then(|(folder, _)| epoch_of(folder));
            if epoch.is_some_and(|epoch| !listed.contains(&epoch)) {
                let what = "the manifest does not list its epoch";
                out.fail(Aspect::Completeness, "member-strange", &Spot::file(name), what);
            }
        }
        if self.manifest.unsigned > 0 {
            let what = format!(
                "{} entries of the range are not here, because no checkpoint covers them",
                self.manifest.unsigned
            );
            out.note(Aspect::Completeness, "unsigned-tail", &Spot::file(MANIFEST), what);
        }
    }

    /// Whether the leaves reach to both ends of the range.
    fn borders(&mut self) {
        let Some((first, last)) = self.manifest.epochs.first().zip(self.manifest.epochs.last()) else {
            return;
        };
        let at_start = first.epoch == 1 && first.first == 0;
        let at_end = last.end == last.size;
        let (from, to) = (self.manifest.scope.from, self.manifest.scope.to);
        let before = from.zip(self.times.0).is_some_and(|(from, first)| first < from);
        let behind = to.zip(self.times.1).is_some_and(|(to, last)| last >= to);
        let (first, last) = (
            Spot::file(MANIFEST).entry(first.epoch, first.first),
            Spot::file(MANIFEST).entry(last.epoch, last.end),
        );
        let out = self.report.findings_mut();
        if !at_start && !before {
            let what = "the range begins before the first entry here, and that is not the log's first: entries may be left out";
            out.fail(Aspect::Completeness, "range-start", &first, what);
        }
        if !at_end && !behind {
            let what =
                "the range ends behind the last entry here, and more are signed: entries may be left out";
            out.fail(Aspect::Completeness, "range-end", &last, what);
        }
    }

    /// Whether the versions of rules are those that the manifest has.
    fn versions(&mut self) {
        let Manifest { policies, missing, .. } = self.manifest.clone();
        let here: BTreeSet<&str> = self.members.names().filter_map(|n| n.strip_prefix("policies/")).collect();
        let listed: BTreeSet<&str> = policies.iter().map(String::as_str).collect();
        let known: BTreeSet<&str> =
            listed.iter().copied().chain(missing.iter().map(String::as_str)).collect();
        let unlisted = self.policies.iter().filter(|version| !known.contains(version.as_str())).count();
        let out = self.report.findings_mut();
        if here != listed {
            let what = "the rules here are not those that the manifest lists";
            out.fail(Aspect::Completeness, "policy-files", &Spot::file(MANIFEST), what);
        }
        if unlisted > 0 {
            let what = format!("{unlisted} versions of rules decided, and the manifest does not list them");
            out.fail(Aspect::Completeness, "policy-versions", &Spot::file(MANIFEST), what);
        }
        if !missing.is_empty() {
            let what = format!("the rules of {} versions that were in force are not here", missing.len());
            out.note(Aspect::Completeness, "policy-missing", &Spot::file(MANIFEST), what);
        }
    }
}

/// Opens what is there and judges it.
///
/// # Errors
/// When it cannot be read at all.
pub fn judge_path(
    path: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, super::VerifyError> {
    let members = Members::open(path);
    if let Err(MembersError::Io { path, source }) = members {
        return Err(super::VerifyError::Io { path, source });
    }
    Ok(judge(&members, options, progress))
}

/// Whether what lies there is taken for a bundle: a file, or a folder with a manifest and no `log`.
#[must_use]
pub fn is_bundle(path: &Path) -> bool {
    path.is_file() || path.join(MANIFEST).is_file() && !path.join("log").is_dir()
}

/// A member's name as findings have it.
fn member(name: &str) -> PathBuf {
    debug_assert!(is_streamed(name) || name.contains('/'));
    PathBuf::from(name)
}
