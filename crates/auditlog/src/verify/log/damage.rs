//! What is not the frame that should stand there: named, and gone on behind where that is possible.

use std::io;

use super::{Check, EpochTail};
use crate::frame::{self, Frame, FrameError};
use crate::segment::SegmentName;
use crate::verify::pieces::Pieces;
use crate::verify::report::{Aspect, Spot};

/// How far behind damage a frame is looked for: more than any write.
const WINDOW: usize = 8 << 20;
/// How many positions may be missing within one segment: frames of the smallest leaf would fill it.
const LEAP: u64 = 1 << 22;

/// What stands behind the last frame that fits.
struct Damage {
    /// Offset of the first byte of it.
    byte: u64,
    /// The position that should stand there.
    next: u64,
    epoch: u64,
    seed: u32,
    why: FrameError,
}

/// A frame found behind damage.
struct Found {
    /// How many bytes of the window come before it.
    at: usize,
    size: usize,
    seq: u64,
}

impl Check<'_> {
    /// Names what stands at the end of the frames, whose first and last byte that are not zero are given. `true`: frames go on
    /// behind it.
    pub(super) fn damaged(
        &mut self,
        name: SegmentName,
        following: Option<SegmentName>,
        pieces: &mut Pieces,
        why: FrameError,
        (first, last): (u64, u64),
    ) -> io::Result<bool> {
        let Some(tree) = &self.tree else { return Ok(false) };
        let byte = pieces.offset();
        let damage = Damage { byte, next: tree.next, epoch: tree.epoch, seed: tree.seed, why };
        if following.is_some_and(|n| n.epoch != name.epoch) {
            let damaged = Some(format!("{why}, and the bytes behind it are not zeros"));
            self.tail = Some(EpochTail { segment: name, byte, position: tree.next, damaged });
            return Ok(false);
        }
        pieces.have(WINDOW)?;
        let spot = self.at_byte(&damage, byte);
        let mended = self.mend(name, pieces.rest(), &damage);
        if mended.is_none() && following.is_none() && unfinished(pieces.rest(), last + 1 - byte) {
            let what = format!(
                "{} bytes of a write that was never finished, or is under way; nobody was told of it",
                last + 1 - byte
            );
            self.out().note(Aspect::Integrity, "unfinished", &spot, what);
            return Ok(false);
        }
        let Some(end) = mended else {
            let what = format!("{why}; from here to byte {last} nothing can be read");
            let at = if why == FrameError::End { self.at_byte(&damage, first) } else { spot };
            self.out().fail(Aspect::Integrity, "unreadable", &at, what);
            self.lost(damage.next, &[]);
            return Ok(false);
        };
        pieces.go_to(byte + end as u64);
        Ok(true)
    }

    fn at_byte(&self, damage: &Damage, byte: u64) -> Spot {
        self.at.clone().at(byte).entry(damage.epoch, damage.next)
    }

    /// Finds the frame to go on with, and says what is wrong before it: how many bytes of the window are done with.
    fn mend(&mut self, name: SegmentName, window: &[u8], damage: &Damage) -> Option<usize> {
        let found = here(window, damage).or_else(|| behind(window, damage))?;
        let bytes = window.get(found.at..)?;
        let frame = frame::parse(bytes).ok()?;
        let spot = self.at_byte(damage, damage.byte);
        let next = damage.next;
        if found.at > 0 {
            let what = format!(
                "{}; {} bytes are no entry, and the next that can be read is position {}",
                damage.why, found.at, found.seq
            );
            self.out().fail(Aspect::Integrity, "unreadable", &spot, what);
        }
        if found.seq < next {
            let what = format!(
                "position {} stands here, where position {next} should: repeated, or moved",
                found.seq
            );
            self.out().fail(Aspect::Integrity, "entry-misplaced", &spot, what);
            return Some(found.at + found.size);
        }
        if found.seq > next {
            let what = format!(
                "positions {next} to {} are missing: position {} stands here",
                found.seq - 1,
                found.seq
            );
            self.out().fail(Aspect::Completeness, "entry-missing", &spot, what);
            self.lost(found.seq, &[]);
        } else if found.at == 0 {
            let what = "the entry is not the one that was written here: its bytes do not have their checksum";
            self.out().fail(Aspect::Integrity, "entry-altered", &spot, what);
            // What it says now is nobody's word.
            self.story.partial = true;
        }
        self.take(name, damage.byte + found.at as u64, &frame);
        Some(found.at + found.size)
    }
}

/// Whether the used bytes can be the beginning of a write: fewer than its first frame would have.
fn unfinished(rest: &[u8], used: u64) -> bool {
    let size = frame::size_at(rest);
    used < frame::HEADER as u64 || (size as u64 > used && used > 4)
}

/// The frame that stands at the very place, altered or of another position.
fn here(window: &[u8], damage: &Damage) -> Option<Found> {
    let frame = frame::parse(window).ok()?;
    let after = window.get(frame.size..).unwrap_or_default();
    // Only its own bytes were changed: what follows still follows it.
    let follows = |seq: u64| frame::decode(after, seq, frame.crc).is_ok();
    let seq = if follows(damage.next + 1) { damage.next } else { frame.seq };
    believable(&frame, seq, after, damage).then_some(Found { at: 0, size: frame.size, seq })
}

fn believable(frame: &Frame<'_>, seq: u64, after: &[u8], damage: &Damage) -> bool {
    if seq > damage.next.saturating_add(LEAP) {
        return false;
    }
    let next = frame::parse(after);
    let followed = next.is_ok_and(|n| n.seq.abs_diff(seq) <= LEAP && n.leaf.starts_with(b"{\""));
    let looks = frame.leaf.starts_with(b"{\"") && frame.leaf.ends_with(b"}");
    let last = matches!(next, Err(FrameError::End)) && looks;
    let goes_on = frame::decode(after, damage.next, damage.seed).is_ok();
    followed && (looks || seq == damage.next) || last || goes_on && looks
}

/// The first frame further on that another one follows, or that is the last.
fn behind(window: &[u8], damage: &Damage) -> Option<Found> {
    (1..window.len().saturating_sub(frame::OVERHEAD)).find_map(|at| {
        let bytes = window.get(at..)?;
        let seq = u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?);
        if seq < damage.next || seq > damage.next + LEAP {
            return None;
        }
        let frame = frame::parse(bytes).ok()?;
        let after = bytes.get(frame.size..).unwrap_or_default();
        let looks = frame.leaf.starts_with(b"{\"") && frame.leaf.ends_with(b"}");
        let follows = frame::decode(after, seq + 1, frame.crc).is_ok();
        let last = matches!(frame::parse(after), Err(FrameError::End));
        (looks && (follows || last)).then_some(Found { at, size: frame.size, seq })
    })
}
