//! One epoch of a bundle: its leaves into the tree, from what is left of them to the root that was signed.

use super::payloads::{Payloads, Shown};
use super::{Check, member};
use crate::bundle::manifest::EpochPart;
use crate::bundle::range::Range;
use crate::bundle::{LEAF_LINE_MAX, MANIFEST, POLICIES_MAX, SMALL_BYTES_MAX};
use crate::entry::moment;
use crate::keys::commitment;
use crate::sign::tree_origin;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::encoding::to_base64;
use crate::tlog::note::Note;
use crate::tree::{Frontier, Hash, leaf_hash};
use crate::verify::Anchor;
use crate::verify::checkpoints::signed;
use crate::verify::leaf::{Leaf, members, number, text};
use crate::verify::report::{Aspect, EpochEnd, Spot};
use crate::verify::story::Said;

/// Leaves between two words about progress.
const WORD: u64 = 4096;

/// What is counted again.
#[derive(Default)]
struct Counts {
    scoped: u64,
    shown: u64,
    absent: u64,
}

impl Check<'_> {
    /// All of one epoch. `before`: the one in front of it.
    pub(super) fn epoch(&mut self, part: &EpochPart, before: Option<&EpochPart>) {
        let folder = format!("e{}", part.epoch);
        if !self.members.has(&format!("{folder}/leaves.jsonl")) {
            self.story.partial = true;
            return;
        }
        let anchor = self.checkpoint(part, &folder);
        let range = self.range(part, &folder, anchor.as_ref());
        let mut tree = range.as_ref().and_then(Range::begin);
        let mut payloads = Payloads::of(self.members, &format!("{folder}/payloads.jsonl"));
        let whole = self.leaves(part, before, &mut tree, &mut payloads);
        while let Some(stray) = self.stray(part, &mut payloads, u64::MAX) {
            self.is_stray(part, &stray);
        }
        let end = tree.filter(|_| whole).zip(range).and_then(|(tree, range)| range.close(tree));
        self.root(part, &folder, anchor, end);
    }

    /// The note, and whether it is of this log.
    fn checkpoint(&mut self, part: &EpochPart, folder: &str) -> Option<Anchor> {
        let name = format!("{folder}/checkpoint");
        let bytes = self.members.whole_of(&name, SMALL_BYTES_MAX).ok().flatten().unwrap_or_default();
        let said = Note::parse(&bytes).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
        let wanted = tree_origin(&self.manifest.origin, part.epoch);
        let policy = self.options.trust.policy.as_ref();
        let out = self.report.findings_mut();
        let anchor = signed(&bytes, member(&name), Some(part.epoch), (&self.keys, policy), out)?;
        if said.is_some_and(|said| said.origin() != wanted) {
            let what = format!("it is not of {wanted:?}, as the manifest says");
            out.fail(Aspect::Integrity, "origin", &Spot::file(name), what);
        }
        Some(anchor)
    }

    fn range(&mut self, part: &EpochPart, folder: &str, anchor: Option<&Anchor>) -> Option<Range> {
        let name = format!("{folder}/range.json");
        let bytes = self.members.whole_of(&name, SMALL_BYTES_MAX).ok().flatten().unwrap_or_default();
        let range = Range::parse(&bytes).filter(|range| {
            let size = anchor.map_or(part.size, |anchor| anchor.size);
            (range.first, range.end, range.size) == (part.first, part.end, part.size) && part.size == size
        });
        if range.is_none() {
            let what = "it is not written as ranges are, or not that of the manifest and the checkpoint";
            self.out().fail(Aspect::Integrity, "range", &Spot::file(name), what);
        }
        range
    }

    /// Whether the leaves lead to the root that was signed.
    fn root(&mut self, part: &EpochPart, folder: &str, anchor: Option<Anchor>, end: Option<Hash>) {
        let spot = Spot::file(format!("{folder}/leaves.jsonl")).entry(part.epoch, part.first);
        let Some(root) = end else {
            let what = "the root cannot be worked out from what is here";
            return self.out().fail(Aspect::Integrity, "root", &spot, what);
        };
        self.report.epochs.push(EpochEnd { epoch: part.epoch, size: part.size, root });
        if anchor.is_some_and(|anchor| anchor.root != root) {
            let what =
                "the leaves do not lead to the root that was signed: one is altered, missing, added or moved";
            self.out().fail(Aspect::Integrity, "root", &spot, what);
        }
        self.held_since(part, part.size, &root);
    }

    /// A root that is known now, against a checkpoint of earlier.
    fn held_since(&mut self, part: &EpochPart, size: u64, root: &Hash) {
        let is = |a: &&Anchor| a.epoch == part.epoch && a.size == size && a.root != *root;
        let Some(wrong) = self.since.iter().find(is).map(|a| a.source.clone()) else { return };
        // Told once, although the same size may be come by twice.
        self.since.retain(|a| a.source != wrong);
        let spot = Spot::file(&wrong).entry(part.epoch, size);
        let what = format!("the first {size} entries do not have the root that stands there");
        self.out().fail(Aspect::Integrity, "checkpoint", &spot, what);
    }

    /// The leaves, one by one. `true`: as many as there should be.
    fn leaves(
        &mut self,
        part: &EpochPart,
        before: Option<&EpochPart>,
        tree: &mut Option<Frontier>,
        payloads: &mut Payloads,
    ) -> bool {
        let name = format!("e{}/leaves.jsonl", part.epoch);
        let mut lines = self.members.lines(&name, LEAF_LINE_MAX);
        let (mut position, mut counts) = (part.first, Counts::default());
        if let Some(tree) = tree.as_ref() {
            self.held_since(part, position, &tree.root());
        }
        let whole = loop {
            let spot = Spot::file(member(&name)).at(lines.byte()).entry(part.epoch, position);
            let line = match lines.next() {
                Ok(Some(line)) if position < part.end => line,
                Ok(line) => break line.is_none() && position == part.end,
                Err(why) => {
                    self.out().fail(Aspect::Integrity, "leaves", &spot, why.to_string());
                    break false;
                }
            };
            if let Some(tree) = tree.as_mut() {
                tree.push(leaf_hash(line));
            }
            self.leaf(part, before, (position, line, &spot), payloads, &mut counts);
            position += 1;
            if let Some(tree) = tree.as_ref().filter(|_| self.since.iter().any(|a| a.size == position)) {
                self.held_since(part, position, &tree.root());
            }
        };
        if !whole {
            let what = format!(
                "there are not the {} leaves that the manifest says",
                part.end.saturating_sub(part.first)
            );
            let spot = Spot::file(member(&name)).entry(part.epoch, position);
            self.out().fail(Aspect::Completeness, "leaves-count", &spot, what);
        }
        self.count(part, &counts);
        whole
    }

    /// One leaf.
    fn leaf(
        &mut self,
        part: &EpochPart,
        before: Option<&EpochPart>,
        (position, line, spot): (u64, &[u8], &Spot),
        payloads: &mut Payloads,
        counts: &mut Counts,
    ) {
        self.report.entries += 1;
        self.report.bytes += line.len() as u64 + 1;
        if self.report.entries.is_multiple_of(WORD) {
            self.word();
        }
        self.leaves += 1;
        let is_first = self.leaves == 1;
        let leaf = match Leaf::read(line) {
            Ok(leaf) => leaf,
            Err(why) => {
                let what = format!("the leaf is not as leaves are written: {}", why.why);
                self.out().fail(Aspect::Semantics, "leaf", spot, what);
                self.story.partial = true;
                self.times = (if is_first { None } else { self.times.0 }, None);
                return;
            }
        };
        let time = moment::written(leaf.t);
        self.times = (if is_first { time } else { self.times.0 }, time);
        if leaf.n != Some(position) {
            let what =
                format!("the leaf says position {}", leaf.n.map_or("none".to_owned(), |n| n.to_string()));
            self.out().fail(Aspect::Integrity, "leaf-position", spot, what);
        }
        let said = self.story.entry(&leaf, spot, self.report.findings_mut());
        self.gap(part, position, before, &said, spot);
        if !leaf.policy.is_empty() && self.policies.len() < POLICIES_MAX {
            self.policies.insert(leaf.policy.to_owned());
        }
        let scoped = self.scope.holds(&leaf);
        counts.scoped += u64::from(scoped);
        self.payload(part, (position, &leaf, spot), scoped, payloads, counts);
    }

    /// An epoch after the first begins by declaring the gap before it.
    fn gap(&mut self, part: &EpochPart, position: u64, before: Option<&EpochPart>, said: &Said, spot: &Spot) {
        let out = self.report.findings_mut();
        match said {
            Said::Gap(declared) if position == 0 && part.epoch > 1 => {
                // What was open where the epoch before broke off is not known.
                self.story.partial |= before.map(|part| part.end) != Some(declared.position);
                if before.is_some_and(|part| part.end != part.size && part.end != declared.position) {
                    let what = "entries are left out before this epoch that the gap does not give up";
                    out.fail(Aspect::Completeness, "range-epoch", spot, what);
                }
                let what = format!(
                    "an operator gave up what stood from position {} of the epoch before on",
                    declared.position
                );
                out.note(Aspect::Completeness, "gap", spot, what);
            }
            Said::Gap(_) => {
                out.fail(Aspect::Semantics, "gap", spot, "a gap is declared in the middle of an epoch");
            }
            _ if position == 0 && part.epoch > 1 => {
                let what = "a new epoch begins, and its first entry declares no gap";
                out.fail(Aspect::Completeness, "gap-undeclared", spot, what);
            }
            _ => {}
        }
    }

    /// The next payload before a position, which belongs to no leaf.
    fn stray(&mut self, part: &EpochPart, payloads: &mut Payloads, before: u64) -> Option<Shown> {
        match payloads.peek() {
            Ok(Some(next)) if next.n < before => payloads.take(),
            Ok(_) => None,
            Err((byte, why)) => {
                let spot = Spot::file(format!("e{}/payloads.jsonl", part.epoch)).at(byte);
                self.out().fail(Aspect::Integrity, "payload-line", &spot, why);
                None
            }
        }
    }

    fn is_stray(&mut self, part: &EpochPart, stray: &Shown) {
        let spot =
            Spot::file(format!("e{}/payloads.jsonl", part.epoch)).at(stray.byte).entry(part.epoch, stray.n);
        let what = "a payload that belongs to no entry of the scope";
        self.out().fail(Aspect::Integrity, "payload-stray", &spot, what);
    }

    /// Whether the payload is what the leaf commits to.
    fn payload(
        &mut self,
        part: &EpochPart,
        (position, leaf, spot): (u64, &Leaf<'_>, &Spot),
        scoped: bool,
        payloads: &mut Payloads,
        counts: &mut Counts,
    ) {
        while let Some(stray) = self.stray(part, payloads, position) {
            self.is_stray(part, &stray);
        }
        let shown = match payloads.peek() {
            Ok(Some(next)) if next.n == position => payloads.take(),
            _ => None,
        };
        let sealed = scoped && !leaf.pay.is_empty();
        match shown {
            None => counts.absent += u64::from(sealed),
            Some(stray) if !sealed => self.is_stray(part, &stray),
            Some(shown) => {
                counts.shown += 1;
                if is_committed(leaf, &shown) {
                    self.report.disclosed.opened += 1;
                } else {
                    self.report.disclosed.wrong += 1;
                    let what = "the payload is not what the leaf commits to";
                    self.out().fail(Aspect::Integrity, "payload", spot, what);
                }
            }
        }
    }

    /// Whether the manifest's counts are those that were found.
    fn count(&mut self, part: &EpochPart, counts: &Counts) {
        self.report.disclosed.withheld += part.withheld;
        self.report.disclosed.erased += part.erased;
        let absent = part.withheld.checked_add(part.erased);
        if counts.scoped == part.scoped && counts.shown == part.disclosed && Some(counts.absent) == absent {
            return;
        }
        let what = format!(
            "{} entries are in scope, {} payloads shown and {} not; the manifest says {}, {} and {}",
            counts.scoped,
            counts.shown,
            counts.absent,
            part.scoped,
            part.disclosed,
            absent.map_or("too many".to_owned(), |n| n.to_string())
        );
        let spot = Spot::file(MANIFEST).entry(part.epoch, part.first);
        self.out().fail(Aspect::Completeness, "manifest-count", &spot, what);
    }
}

fn is_committed(leaf: &Leaf<'_>, shown: &Shown) -> bool {
    let (mut said, mut len) = ("", None);
    // The leaf was read before, so its parts are well-formed.
    let _ = members(leaf.pay, |key, value| match key {
        b"h" => said = text(value),
        b"len" => len = number(value),
        _ => {}
    });
    len == Some(shown.payload.len() as u64) && to_base64(&commitment(&shown.salt, &shown.payload)) == said
}
