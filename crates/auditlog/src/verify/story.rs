//! What the leaves say, held against each other: every command has one outcome, what begins ends, what the log says of
//! itself is so.

use std::collections::HashMap;

use firsthand_model::id::SessionId;

use super::approvals::Approvals;
use super::clocks::Clocks;
use super::leaf::{Leaf, members, number, text};
use super::report::{Aspect, Findings, Spot};
use crate::entry::fields::permitted;
use crate::entry::kinds;
use crate::open_set::{Change, MAX_LISTED, OpenItem, OpenSet};

/// Kinds that are unknown here and told; the others are counted as findings no more.
const UNKNOWN_TOLD: usize = 20;

/// A gap that the first entry of an epoch declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) segment: String,
    pub(super) byte: u64,
    pub(super) position: u64,
}

/// Where the log says of itself how it was when a segment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SaidSealed {
    pub(super) first: u64,
    pub(super) size: u64,
    pub(super) root: [u8; 32],
}

/// What an entry says of the log, for whoever knows how the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    Nothing,
    Gap(Declared),
    Sealed(SaidSealed),
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Run {
    /// No writer has begun.
    #[default]
    None,
    /// One tells what it has found.
    Opening,
    /// It has begun.
    Running,
    /// It has said that it stops.
    Stopped,
}

/// What is known at a moment of the log.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) open: OpenSet,
    /// The highest number of a command, of open sessions.
    numbers: HashMap<u128, u64>,
    approvals: Approvals,
    pub(super) clocks: Clocks,
    run: Run,
    /// Entries are missing before this point, so what is not known here may have stood there.
    pub(super) partial: bool,
    unknown: Vec<String>,
}

const ABOUT: Aspect = Aspect::Semantics;

impl Story {
    /// Entries are lost here: what was open is what the next header says.
    pub(super) fn lose(&mut self, open: &[OpenItem]) {
        self.partial = true;
        self.open = OpenSet::from_items(open);
        self.clocks.restart(&mut Findings::default());
    }

    /// Reads one entry.
    pub(super) fn entry(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) -> Said {
        if leaf.v != Some(1) {
            out.note(ABOUT, "version", at, "an entry of another version; what it means is not known here");
        }
        self.begin_run(leaf, at, out);
        self.clocks.entry(leaf, at, out);
        match leaf.k {
            "command.decided" => self.decided(leaf, at, out),
            "command.completed" | "command.abandoned" => self.ended(leaf, at, out),
            "command.rows" | "command.changed" | "stream" => self.piece(leaf, at, out),
            "session.opened" => self.opened(leaf, at, out),
            "session.closed" => self.closed(leaf, at, out),
            "session.noted" => {
                self.session(leaf, at, out);
            }
            "log.oversize" => {
                out.note(ABOUT, "oversize", at, "an entry stood here that was too large to be recorded");
            }
            k if k.starts_with("approval.") => self.approvals.entry(leaf, at, self.partial, out),
            k if k.starts_with("log.") => return self.of_log(leaf, at, out),
            _ => {}
        }
        self.known_kind(leaf, at, out);
        Said::Nothing
    }

    fn known_kind(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        // Nearly all entries are these, and the list is long.
        if matches!(leaf.k, "command.decided" | "command.completed" | "command.rows" | "command.changed") {
            return;
        }
        let known = kinds::kind(leaf.k).is_some() || kinds::RESERVED.contains(&leaf.k);
        if !known && self.unknown.len() < UNKNOWN_TOLD && !self.unknown.iter().any(|k| k == leaf.k) {
            self.unknown.push(leaf.k.to_owned());
            out.note(ABOUT, "kind-unknown", at, format!("kind {:?} is not known to this program", leaf.k));
        }
    }

    /// A writer's run begins with what it found (`log.gap`, `log.recovered`), or with `log.started`.
    fn begin_run(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let found = matches!(leaf.k, "log.gap" | "log.recovered");
        let begins = (found || leaf.k == "log.started") && self.run != Run::Opening;
        if begins {
            self.clocks.restart(out);
        }
        let clean = matches!(self.run, Run::Stopped | Run::None);
        match leaf.k {
            "log.gap" | "log.recovered" => self.run = Run::Opening,
            "log.started" => {
                if begins && !clean && !self.partial {
                    let what =
                        "the writer before had stopped without a word, and nothing says what was found then";
                    out.note(Aspect::Completeness, "unrecovered", at, what);
                }
                if !self.open.is_empty() && !self.partial {
                    let what =
                        format!("a writer begins with {} things open that it has not ended", self.open.len());
                    out.fail(ABOUT, "left-open", at, what);
                }
                self.run = Run::Running;
            }
            _ if self.run == Run::None && !self.partial => {
                out.fail(
                    Aspect::Completeness,
                    "beginning",
                    at,
                    "the log does not begin with a writer's start",
                );
                self.run = Run::Running;
            }
            _ => {}
        }
    }

    fn id(leaf: &Leaf<'_>) -> Option<u128> {
        SessionId::parse(leaf.sid).map(|id| id.0)
    }

    fn apply(&mut self, change: Change, at: &Spot, out: &mut Findings) {
        let Some(place) = at.entry else { return };
        self.open.apply(change, place.epoch, place.position);
        if self.open.len() > MAX_LISTED {
            out.fail(
                ABOUT,
                "open-many",
                at,
                "more is open than a gateway can have; what ends is not followed from here",
            );
            self.open = OpenSet::default();
            self.numbers.clear();
            self.partial = true;
        }
    }

    fn opened(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let Some(id) = Self::id(leaf) else {
            return out.fail(ABOUT, "session", at, "a session without an id");
        };
        if self.open.has_session(&id.to_be_bytes()) {
            out.fail(ABOUT, "session-twice", at, format!("session {} begins again", leaf.sid));
        }
        self.numbers.insert(id, 0);
        self.apply(Change::OpenSession(id.to_be_bytes()), at, out);
    }

    /// The session of an entry that must stand within it.
    fn session(&self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) -> Option<u128> {
        let id = Self::id(leaf);
        let open = id.is_some_and(|id| self.open.has_session(&id.to_be_bytes()));
        if !open && !self.partial {
            out.fail(ABOUT, "session-unknown", at, format!("session {} is not open here", leaf.sid));
        }
        id
    }

    fn closed(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let Some(id) = self.session(leaf, at, out) else { return };
        let left = self.open.commands_of(&id.to_be_bytes());
        if let Some((n, epoch, position)) = left.first() {
            let what = format!(
                "session {} ends, and {} of its commands have no outcome: the first is command {n}, entry {epoch}/{position}",
                leaf.sid,
                left.len()
            );
            out.fail(ABOUT, "outcome-missing", at, what);
        }
        let last = self.numbers.remove(&id);
        if let (Some(said), Some(last)) = (leaf.commands, last)
            && said != last
            && !self.partial
        {
            let what = format!("session {} ends with {said} commands, and the last here is {last}", leaf.sid);
            out.fail(Aspect::Completeness, "commands", at, what);
        }
        self.apply(Change::CloseSession(id.to_be_bytes()), at, out);
    }

    fn decided(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let (Some(id), Some(n)) = (self.session(leaf, at, out), leaf.cmd) else { return };
        let last = self.numbers.entry(id).or_default();
        if n <= *last && !self.partial {
            let what = format!("command {n} of session {} comes after command {last}", leaf.sid);
            out.fail(ABOUT, "command-order", at, what);
        }
        *last = n.max(*last);
        if !leaf.approval.is_empty() {
            self.approvals.used(leaf, at, self.partial, out);
        }
        if permitted((leaf.verdict, leaf.step), leaf.mode, leaf.approval, leaf.refused) {
            self.apply(Change::OpenCommand(id.to_be_bytes(), n), at, out);
        }
    }

    fn ended(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let (Some(id), Some(n)) = (Self::id(leaf), leaf.cmd) else {
            return out.fail(ABOUT, "outcome", at, "an outcome that names no command");
        };
        match self.open.command(&id.to_be_bytes(), n) {
            None if self.partial => {}
            None => {
                let what = format!(
                    "an outcome of command {n} of session {}, which was not permitted or has its outcome already",
                    leaf.sid
                );
                out.fail(ABOUT, "outcome-alone", at, what);
            }
            Some((epoch, position)) if leaf.intent != Some(position) => {
                let what = format!("the outcome names another intent than entry {epoch}/{position}");
                out.fail(ABOUT, "outcome-intent", at, what);
            }
            Some(_) => {}
        }
        self.apply(Change::CloseCommand(id.to_be_bytes(), n), at, out);
    }

    /// Rows, and what else comes while a command runs.
    fn piece(&self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        let (Some(id), Some(n)) = (Self::id(leaf), leaf.cmd) else {
            return out.fail(ABOUT, "piece", at, "a piece of a result that names no command");
        };
        if self.open.command(&id.to_be_bytes(), n).is_none() && !self.partial {
            let what = format!("a piece of command {n} of session {}, which does not run here", leaf.sid);
            out.fail(ABOUT, "piece", at, what);
        }
    }

    fn of_log(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) -> Said {
        let facts = Facts::read(leaf.facts);
        match leaf.k {
            "log.recovered" => self.recovered(&facts, at, out),
            "log.clock" => {
                self.clocks.told();
                let what = format!("the wall clock was stepped by {} ms", facts.step_us.unwrap_or(0) / 1000);
                out.note(ABOUT, "clock", at, what);
            }
            "log.stopped" => self.run = Run::Stopped,
            "log.gap" => {
                return Said::Gap(Declared {
                    segment: facts.segment.to_owned(),
                    byte: facts.byte.unwrap_or(0),
                    position: facts.position.unwrap_or(0),
                });
            }
            "log.sealed" => {
                let (Some(first), Some(size), Some(root)) = (facts.first, facts.size, unhex(facts.root))
                else {
                    out.fail(ABOUT, "sealed", at, "what it says of a segment cannot be read");
                    return Said::Nothing;
                };
                return Said::Sealed(SaidSealed { first, size, root });
            }
            _ => self.known_kind(leaf, at, out),
        }
        Said::Nothing
    }

    fn recovered(&self, facts: &Facts<'_>, at: &Spot, out: &mut Findings) {
        let items = self.open.items();
        let commands = items.iter().filter(|i| i.command.is_some()).count() as u64;
        let sessions = items.len() as u64 - commands;
        let (orphans, closed) = (facts.orphans.unwrap_or(0), facts.sessions.unwrap_or(0));
        let cut = facts.cut_bytes.map_or(String::new(), |n| {
            format!("; {n} bytes of a torn last write were cut at byte {}", facts.cut_at.unwrap_or(0))
        });
        let how = if facts.clean { "closed" } else { "had stopped without a word" };
        let what = format!(
            "the writer before {how}: {orphans} commands without outcome, {closed} sessions without end{cut}"
        );
        out.note(Aspect::Completeness, "recovered", at, what);
        if (orphans, closed) != (commands, sessions) && !self.partial {
            let what =
                format!("{commands} commands and {sessions} sessions are open here, not as many as it says");
            out.fail(ABOUT, "recovered-count", at, what);
        }
        // It stands behind what it counts; a gap that was declared comes before it.
        let position = at.entry.map_or(0, |place| place.position);
        if facts.size != Some(position) && facts.size != position.checked_sub(1) {
            out.fail(ABOUT, "recovered-size", at, "the entries that it found are not those before it");
        }
    }

    /// The log ends here: what is open is listed.
    pub(super) fn end(&mut self, at: &Spot, out: &mut Findings) {
        self.clocks.untold(out);
        let items = self.open.items();
        let commands: Vec<&OpenItem> = items.iter().filter(|i| i.command.is_some()).collect();
        if let Some(first) = commands.first() {
            let what = format!(
                "{} commands have no outcome yet; the first is entry {}/{}",
                commands.len(),
                first.epoch,
                first.position
            );
            out.note(Aspect::Completeness, "open-commands", at, what);
        }
        if items.len() > commands.len() {
            let what = format!("{} sessions have no end yet", items.len() - commands.len());
            out.note(Aspect::Completeness, "open-sessions", at, what);
        }
        let waiting = self.approvals.open();
        if waiting > 0 {
            let what = format!("{waiting} approvals are neither spent nor over");
            out.note(Aspect::Completeness, "open-approvals", at, what);
        }
    }
}

/// Facts of entries about the log.
#[derive(Debug, Default)]
struct Facts<'a> {
    clean: bool,
    orphans: Option<u64>,
    sessions: Option<u64>,
    size: Option<u64>,
    first: Option<u64>,
    cut_at: Option<u64>,
    cut_bytes: Option<u64>,
    step_us: Option<u64>,
    byte: Option<u64>,
    position: Option<u64>,
    root: &'a str,
    segment: &'a str,
}

impl<'a> Facts<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut facts = Self::default();
        // Absent where they did not fit; each use says what it misses.
        let _ = members(bytes, |key, value| match key {
            b"clean" => facts.clean = value == b"true",
            b"orphans" => facts.orphans = number(value),
            b"sessions" => facts.sessions = number(value),
            b"size" => facts.size = number(value),
            b"first" => facts.first = number(value),
            b"cut_at" => facts.cut_at = number(value),
            b"cut_bytes" => facts.cut_bytes = number(value),
            b"step_us" => facts.step_us = number(value),
            b"byte" => facts.byte = number(value),
            b"position" => facts.position = number(value),
            b"root" => facts.root = text(value),
            b"segment" => facts.segment = text(value),
            _ => {}
        });
        facts
    }
}

/// 64 hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (slot, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
