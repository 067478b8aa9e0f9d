//! One entry: into the tree, its leaf into the story, its payload opened.

use memchr::memmem;

use super::{Check, WORD};
use crate::frame::{Frame, SEAL_OVERHEAD};
use crate::reader::payload::{Named, Payload};
use crate::segment::SegmentName;
use crate::tree::leaf_hash;
use crate::verify::leaf::{Leaf, members, number, text};
use crate::verify::report::{Aspect, Spot};
use crate::verify::story::{Declared, Said, SaidSealed};

impl Check<'_> {
    /// A frame whose checksum fits, or that stands for itself because it does not.
    pub(super) fn take(&mut self, name: SegmentName, offset: u64, frame: &Frame<'_>) {
        let Some(tree) = &mut self.tree else { return };
        let position = tree.next;
        (tree.next, tree.seed) = (position + 1, frame.crc);
        if !tree.broken {
            tree.frontier.push(leaf_hash(frame.leaf));
        }
        let log_id = tree.log_id;
        self.at.entry = Some(crate::reader::Place { epoch: name.epoch, position });
        self.at.byte = Some(offset);
        self.report.entries += 1;
        self.report.bytes += frame.size as u64;
        if self.report.entries - self.last_word >= WORD {
            self.last_word = self.report.entries;
            self.word();
        }
        match Leaf::read(frame.leaf) {
            Err(why) => {
                let byte = offset + (crate::frame::OVERHEAD + why.at) as u64;
                let what = format!("the leaf is not as leaves are written: {}", why.why);
                let spot = self.at.clone().at(byte);
                self.report.findings_mut().fail(Aspect::Semantics, "leaf", &spot, what);
                // Nobody knows what it said.
                self.story.partial = true;
            }
            Ok(leaf) => self.leaf(&leaf, position, &log_id, frame.sealed),
        }
        self.anchored(position + 1, name.epoch);
    }

    fn leaf(&mut self, leaf: &Leaf<'_>, position: u64, log_id: &[u8; 16], sealed: &[u8]) {
        let out = self.report.findings_mut();
        if leaf.n != Some(position) {
            let what =
                format!("the leaf says position {}", leaf.n.map_or("none".to_owned(), |n| n.to_string()));
            out.fail(Aspect::Integrity, "leaf-position", &self.at, what);
        }
        let said = self.story.entry(leaf, &self.at, out);
        if position == 0 {
            self.first_of_epoch(&said);
        }
        match said {
            Said::Nothing => {}
            Said::Gap(_) if position > 0 => {
                let what = "a gap is declared in the middle of an epoch";
                self.report.findings_mut().fail(Aspect::Semantics, "gap", &self.at, what);
            }
            Said::Gap(_) => {}
            Said::Sealed(said) => self.sealed(said),
        }
        self.payload(leaf, position, log_id, sealed);
    }

    /// An epoch after the first begins by declaring the gap before it.
    fn first_of_epoch(&mut self, said: &Said) {
        let tail = self.tail.take();
        let declared = match said {
            Said::Gap(declared) => Some(declared),
            _ => None,
        };
        let out = self.report.findings_mut();
        let Some(tail) = tail else {
            if declared.is_some() && !self.story.partial {
                out.fail(
                    Aspect::Completeness,
                    "gap-differs",
                    &self.at,
                    "a gap is declared, and nothing is before it",
                );
            }
            return;
        };
        let Some(Declared { segment, byte, position }) = declared else {
            let what = "a new epoch begins, and its first entry declares no gap";
            out.fail(Aspect::Completeness, "gap-undeclared", &self.at, what);
            if let Some(why) = tail.damaged {
                let spot = Spot::file(format!("log/{}.seg", tail.segment)).at(tail.byte);
                out.fail(Aspect::Integrity, "unreadable", &spot, why);
            }
            return;
        };
        let here = (tail.byte, tail.position) == (*byte, *position);
        // Where the header was damaged, whoever declared it could read nothing of the segment.
        let nothing = (*byte, *position) == (0, tail.segment.first);
        if *segment == tail.segment.to_string() && (here || nothing) {
            let what = format!(
                "an operator gave up what stood from position {position} of the epoch before on, byte {byte} of {segment}"
            );
            out.note(Aspect::Completeness, "gap", &self.at, what);
        } else {
            let what = format!(
                "the gap is declared at byte {byte}, position {position} of {segment}; the entries end at byte {}, position {} of {}",
                tail.byte, tail.position, tail.segment
            );
            out.fail(Aspect::Completeness, "gap-differs", &self.at, what);
        }
    }

    /// What the log says of a segment that ended.
    fn sealed(&mut self, said: SaidSealed) {
        let Some(tree) = &self.tree else { return };
        let known = tree.ends.get(&said.size).copied();
        let out = self.report.findings_mut();
        match known {
            Some((first, root)) if (first, root) == (said.first, said.root) => {}
            Some(_) => {
                let what = format!(
                    "the first {} entries have another root than was noted when their segment ended",
                    said.size
                );
                out.fail(Aspect::Integrity, "sealed-root", &self.at, what);
            }
            None if tree.broken || self.story.partial => {}
            None => {
                let what = format!("a segment that ended with {} entries is not here", said.size);
                out.fail(Aspect::Completeness, "sealed-unknown", &self.at, what);
            }
        }
    }

    /// Whether the payload is what the leaf commits to, as far as keys are here.
    fn payload(&mut self, leaf: &Leaf<'_>, position: u64, log_id: &[u8; 16], sealed: &[u8]) {
        if leaf.pay.is_empty() && sealed.is_empty() {
            return;
        }
        let (mut named, mut len) = (Named { sid: leaf.sid, time: leaf.t, ..Named::default() }, None);
        // The leaf was read before, so its parts are well-formed.
        let _ = members(leaf.pay, |key, value| match key {
            b"h" => named.commitment = text(value),
            b"key" => named.key = text(value),
            b"len" => len = number(value),
            b"month" => named.month = text(value),
            b"run" => named.run = text(value),
            _ => {}
        });
        let expected = len.and_then(|n| n.checked_add(SEAL_OVERHEAD as u64));
        if expected != Some(sealed.len() as u64) {
            let what = format!(
                "the leaf has a payload of {} bytes, and {} sealed bytes stand behind it",
                len.unwrap_or(0),
                sealed.len()
            );
            self.report.disclosed.wrong += 1;
            let out = self.report.findings_mut();
            return out.fail(Aspect::Integrity, "payload-length", &self.at, what);
        }
        let Some(opener) = &mut self.opener else {
            self.report.disclosed.withheld += 1;
            return;
        };
        if named.key.is_empty() {
            named.key = first_link(leaf.who);
        }
        match opener.open_named(position, log_id, sealed, &named) {
            Payload::None => {}
            Payload::Clear(_) => self.report.disclosed.opened += 1,
            Payload::Sealed => self.report.disclosed.withheld += 1,
            Payload::Erased => self.report.disclosed.erased += 1,
            Payload::Unreadable(why) => {
                self.report.disclosed.wrong += 1;
                self.report.findings_mut().fail(Aspect::Integrity, "payload", &self.at, why);
            }
        }
    }

    /// Whether the tree is as it is known to have been at this size.
    fn anchored(&mut self, size: u64, epoch: u64) {
        let Some(tree) = &self.tree else { return };
        if tree.broken || !self.anchors.iter().any(|a| a.size == size && a.epoch == epoch) {
            return;
        }
        let root = tree.frontier.root();
        let wrong: Vec<_> = self
            .anchors
            .iter()
            .filter(|a| a.size == size && a.epoch == epoch && a.root != root)
            .cloned()
            .collect();
        for anchor in wrong {
            let what = format!(
                "the first {size} entries do not have the root that stands in {}",
                anchor.source.display()
            );
            let code = if anchor.signed { "checkpoint" } else { "closed-root" };
            self.report.findings_mut().fail(Aspect::Integrity, code, &self.at, what);
        }
    }
}

/// The id of the first link of `who.chain`. A quote never stands unescaped in a string, so what looks like it is it.
fn first_link(who: &[u8]) -> &str {
    const CHAIN: &[u8] = b"\"chain\":[{\"id\":\"";
    let Some(at) = memmem::find(who, CHAIN) else { return "" };
    let rest = who.get(at + CHAIN.len()..).unwrap_or_default();
    let end = memchr::memchr(b'"', rest).unwrap_or(0);
    rest.get(..end).and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
}
