//! Whether each approval was asked, given by enough people who are not the one who asks, and spent once, by the same
//! identity, for the command that ran: told from the leaves alone.

use std::collections::HashMap;

use super::leaf::{Leaf, elements, members, text};
use super::report::{Aspect, Findings, Spot};

/// Approvals remembered. Each is a person's answer, so a log with more has been written for years; those beyond are not
/// held against each other, and a finding says so.
const REMEMBERED: usize = 1 << 18;

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Stage {
    #[default]
    Open,
    Spent,
    Used,
    Over,
}

#[derive(Debug, Default)]
struct Approval {
    stage: Stage,
    actor: Actor,
    rule: String,
    quorum: u64,
    /// Who has approved it, each once.
    givers: Vec<String>,
    glass: bool,
    /// Session and command that have spent it.
    spender: (String, u64),
}

/// Who asks or spends, as far as ids tell.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Actor {
    agent: String,
    humans: Vec<String>,
}

impl Actor {
    fn of(who: &[u8]) -> Self {
        let mut actor = Self::default();
        let mut chain: &[u8] = &[];
        // The leaf was read before, so its parts are well-formed.
        let _ = members(who, |key, value| match key {
            b"agent" => actor.agent = text(value).to_owned(),
            b"chain" => chain = value,
            _ => {}
        });
        for link in elements(chain) {
            let (id, kind) = link_of(link);
            if kind == "human" {
                actor.humans.push(id.to_owned());
            }
        }
        actor
    }

    fn is(&self, id: &str) -> bool {
        !id.is_empty() && (self.agent == id || self.humans.iter().any(|h| h == id))
    }
}

/// Id and kind of a link.
fn link_of(link: &[u8]) -> (&str, &str) {
    let (mut id, mut kind) = ("", "");
    let _ = members(link, |key, value| match key {
        b"id" => id = text(value),
        b"kind" => kind = text(value),
        _ => {}
    });
    (id, kind)
}

/// What became of every approval so far.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    known: HashMap<String, Approval>,
    full: bool,
}

const ABOUT: Aspect = Aspect::Semantics;

impl Approvals {
    /// Approvals that are neither spent nor over.
    pub(super) fn open(&self) -> usize {
        self.known.values().filter(|a| a.stage == Stage::Open).count()
    }

    /// Entries were lost: what is not known may have stood there.
    fn unknown(&self, partial: bool, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        if !partial && !self.full {
            out.fail(
                ABOUT,
                "approval-unknown",
                at,
                format!("approval {} was never asked for", leaf.approval),
            );
        }
    }

    /// An entry `approval.…`.
    pub(super) fn entry(&mut self, leaf: &Leaf<'_>, at: &Spot, partial: bool, out: &mut Findings) {
        match leaf.k {
            "approval.asked" => self.asked(leaf, at, out),
            "approval.given" | "approval.glass_broken" => self.given(leaf, at, partial, out),
            "approval.refused" | "approval.expired" | "approval.withdrawn" => {
                self.over(leaf, at, partial, out)
            }
            "approval.spent" => self.spent(leaf, at, partial, out),
            _ => {}
        }
    }

    fn asked(&mut self, leaf: &Leaf<'_>, at: &Spot, out: &mut Findings) {
        if self.known.len() >= REMEMBERED {
            if !self.full {
                out.note(
                    ABOUT,
                    "approvals-many",
                    at,
                    "more approvals than are remembered; the rest is not followed",
                );
            }
            self.full = true;
            return;
        }
        let approval = Approval {
            actor: Actor::of(leaf.who),
            rule: leaf.rule.to_owned(),
            quorum: leaf.quorum.unwrap_or(1).max(1),
            ..Approval::default()
        };
        if self.known.insert(leaf.approval.to_owned(), approval).is_some() {
            out.fail(ABOUT, "approval-twice", at, format!("approval {} is asked for again", leaf.approval));
        }
    }

    fn given(&mut self, leaf: &Leaf<'_>, at: &Spot, partial: bool, out: &mut Findings) {
        let Some(approval) = self.known.get_mut(leaf.approval) else {
            return self.unknown(partial, leaf, at, out);
        };
        if approval.stage != Stage::Open {
            let what = format!("approval {} is given after it was spent or over", leaf.approval);
            out.fail(ABOUT, "approval-order", at, what);
        }
        let (id, _) = link_of(leaf.by);
        if leaf.k == "approval.glass_broken" {
            approval.glass = true;
            let what = format!(
                "glass was broken: approval {} was released by one person alone ({id})",
                leaf.approval
            );
            return out.note(ABOUT, "glass-broken", at, what);
        }
        if approval.actor.is(id) {
            let what = format!("approval {} is given by who asks for it ({id})", leaf.approval);
            out.fail(ABOUT, "approval-own", at, what);
        }
        if approval.givers.iter().any(|g| g == id) {
            let what = format!("approval {} is given twice by the same person ({id})", leaf.approval);
            out.fail(ABOUT, "approval-twice", at, what);
        } else {
            approval.givers.push(id.to_owned());
        }
        if leaf.given.is_some_and(|given| given != approval.givers.len() as u64) {
            let what = format!(
                "approval {} is said to have {} approvers, and {} are here",
                leaf.approval,
                leaf.given.unwrap_or(0),
                approval.givers.len()
            );
            out.fail(ABOUT, "approval-count", at, what);
        }
    }

    fn over(&mut self, leaf: &Leaf<'_>, at: &Spot, partial: bool, out: &mut Findings) {
        match self.known.get_mut(leaf.approval) {
            None => self.unknown(partial, leaf, at, out),
            Some(approval) if approval.stage == Stage::Open => approval.stage = Stage::Over,
            Some(_) => {
                let what = format!("approval {} ends after it was spent or over", leaf.approval);
                out.fail(ABOUT, "approval-order", at, what);
            }
        }
    }

    fn spent(&mut self, leaf: &Leaf<'_>, at: &Spot, partial: bool, out: &mut Findings) {
        let id = leaf.approval;
        let Some(approval) = self.known.get_mut(id) else { return self.unknown(partial, leaf, at, out) };
        if approval.stage != Stage::Open {
            out.fail(
                ABOUT,
                "approval-spent",
                at,
                format!("approval {id} is spent after it was spent or over"),
            );
        }
        let given = approval.givers.len() as u64;
        if !approval.glass && given < approval.quorum && !partial {
            let what = format!("approval {id} is spent with {given} of {} approvals", approval.quorum);
            out.fail(ABOUT, "approval-quorum", at, what);
        }
        if Actor::of(leaf.who) != approval.actor {
            out.fail(
                ABOUT,
                "approval-other",
                at,
                format!("approval {id} is spent by another identity than asked"),
            );
        }
        if leaf.rule != approval.rule {
            out.fail(
                ABOUT,
                "approval-other",
                at,
                format!("approval {id} is spent under another rule than asked"),
            );
        }
        approval.stage = Stage::Spent;
        approval.spender = (leaf.sid.to_owned(), leaf.cmd.unwrap_or(0));
    }

    /// An intent names the approval that was spent on it.
    pub(super) fn used(&mut self, leaf: &Leaf<'_>, at: &Spot, partial: bool, out: &mut Findings) {
        let id = leaf.approval;
        let Some(approval) = self.known.get_mut(id) else { return self.unknown(partial, leaf, at, out) };
        let same = approval.spender.0 == leaf.sid && Some(approval.spender.1) == leaf.cmd;
        if approval.stage == Stage::Spent && same {
            approval.stage = Stage::Used;
            // Nothing more may come of it, and memory is better used.
            approval.givers = Vec::new();
            approval.actor = Actor::default();
            return;
        }
        if !partial {
            let what = format!("the command names approval {id}, which was not spent on it just before");
            out.fail(ABOUT, "approval-unspent", at, what);
        }
    }
}
