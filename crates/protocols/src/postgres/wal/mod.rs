//! Which rows a transaction changed, read from the target's own log (WAL) through a logical slot: everything that was
//! changed, whatever changed it, and nothing of it is asked in the client's session.
//!
//! - `follower` reads the slot of one database over a connection of the gateway's own: `text` is a line of it, `rows` what
//!   becomes entries, `setup` what has to be there first.
//! - `backends` asks, over another one, which transaction a session's backend is in.
//! - This file is what a session does: it finds out the number of its transaction at the one moment when that is exact.
//!
//! **Whose transaction it is.** The slot tells rows by transaction number, and of everybody who uses the database. A
//! session's number is asked of `pg_stat_activity`, over the gateway's own connection, when everything that may have changed
//! something has been answered and what may commit it is still held back here: then the backend waits for its client, and
//! `backend_xid` is what it is until the gateway lets go. The number, the session and its commands are durable
//! (`transaction.named`) before the commit goes out; so a gateway that dies behind it knows from its record what to look for.
//! Rows of other numbers never leave the target.
//!
//! What is held back is what `radius` holds back for limits, and a single statement of a Query outside a transaction block
//! goes between BEGIN and COMMIT as there. A Sync behind the Execute of a
//! COPY waits until the target reads copy data, which tells that it is swallowed. What cannot be held (several statements with a
//! COMMIT among them; outside a block CALL, and DO with a word in it that may end a transaction) says `changed-rows:unattributed`.
//!
//! The plugin is `test_decoding`, which comes with the server. `pgoutput` needs a publication, and one for all tables makes
//! UPDATE and DELETE fail on tables without a replica identity: what the client sees would change.

mod backends;
mod follower;
mod rows;
mod setup;
mod text;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use firsthand_model::command::{Effect, Shape};
use firsthand_model::outcome::Transaction;
use firsthand_model::statement::{Relation, RelationKind};
use firsthand_session::port::BoxFuture;
use firsthand_session::{Refusal, RefusalKind};

use super::changed::Changed;
use super::dialect::PostgresDialect;
use super::flight::Running;
use super::forward::Slot;
use super::role::{self, Change};
use crate::dialect::{Action, Looking, Thought};

pub(super) use follower::{Follower, Followers, SessionNaming, open};
pub(super) use watch::Watchers;

pub(super) use setup::{UNREACHED, check, slot_name};

/// Coverage fact: which transaction it ran in could not be told before it committed.
pub(super) const UNATTRIBUTED: &str = "changed-rows:unattributed";

/// Finds out the transaction that a session's backend is in, and records it.
pub trait Naming: Send + Sync {
    /// Called while nothing runs in the session, in this role. Everything from command `from` to `to` may have changed
    /// something in that transaction; `spills`: what they stored may hold masked values where nothing tells that they are. Ends
    /// when that is recorded: as durably as the session asks.
    fn name(&self, role: &str, from: u64, to: u64, spills: bool) -> BoxFuture<'static, Verdict>;
}

/// What becomes of a transaction that was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may commit.
    Goes,
    /// It may not: it has written, and up to this command all were judged to only read.
    Wrote(u64),
    /// It may not: whether it has written could not be told.
    Untold(u64),
}

/// The transaction is named, as a thought.
pub(super) struct Named(Verdict);

/// What a session remembers for it.
#[derive(Default)]
pub(super) struct Wal {
    naming: Option<Arc<dyn Naming>>,
    /// The session may only read: what is asked is whether it did (`watch`).
    watches: bool,
    /// A command of this transaction has asked for its number, so that it has one whatever it does.
    numbered: bool,
    /// Commands that may have changed something in this transaction, since it was last named: first and last, and whether
    /// one may have stored masked values elsewhere.
    unnamed: Option<(u64, u64, bool)>,
    /// It is being asked.
    looking: bool,
    /// COMMIT of a wrapped Query waits for the answer.
    commit: Option<Bytes>,
}

/// Whether a command may change rows.
fn may_change(shape: &Shape) -> bool {
    let quiet = |e| matches!(e, Effect::Read | Effect::Session | Effect::Transaction | Effect::Lock);
    !shape.plain_read && (shape.effects.iter().next().is_none() || !shape.effects.iter().all(quiet))
}

/// Whether a command judged a read runs functions that somebody else may have replaced since they were looked at, or reads a
/// view, which may call others by now.
fn may_have_changed(shape: &Shape) -> bool {
    let of_server = |schema: &str| matches!(schema, "pg_catalog" | "information_schema");
    let own = |f: &String| !f.split_once('.').is_some_and(|(schema, _)| of_server(schema));
    let view = |it: &Relation| it.kind == RelationKind::View && !of_server(&it.schema);
    let facts = shape.facts.as_ref();
    facts.is_some_and(|facts| facts.functions.iter().any(own) || facts.reads.iter().any(view))
}

/// Whether a command asks for its transaction's number.
pub(super) fn takes_number(shape: &Shape) -> bool {
    let takes = ["pg_catalog.txid_current", "pg_catalog.pg_current_xact_id"];
    shape.facts.as_ref().is_some_and(|facts| facts.functions.iter().any(|f| takes.contains(&f.as_str())))
}

/// Whether a statement that commits by itself does the same between BEGIN and COMMIT.
fn may_be_wrapped(running: &Running) -> bool {
    let tag = running.shape.tag.as_str();
    matches!(running.change, Change::None)
        && !running.opaque
        && matches!(
            tag,
            "SELECT"
                | "INSERT"
                | "UPDATE"
                | "DELETE"
                | "MERGE"
                | "VALUES"
                | "COPY"
                | "TRUNCATE TABLE"
                | "CREATE TABLE AS"
                | "SELECT INTO"
                | "EXECUTE"
                | "EXPLAIN"
                | "DO"
        )
        && !running.commits_within
}

/// Whether it runs code that may end transactions, outside a block.
fn runs_procedure(shape: &Shape) -> bool {
    matches!(shape.tag.as_str(), "CALL" | "DO")
}

/// Whether it may commit in the middle, outside a block. `text`: all of it, if that is known. What a procedure does is not known;
/// the code of a DO stands in its text, and languages call what ends a transaction by its name.
pub(super) fn may_commit_within(shape: &Shape, text: Option<&str>) -> bool {
    let ends = |text: &str| {
        role::contains(text, b'c', &["commit", "call"]) || role::contains(text, b'r', &["rollback"])
    };
    runs_procedure(shape) && (shape.tag != "DO" || text.is_none_or(ends))
}

impl PostgresDialect {
    /// The same session, whose transactions are named before they commit.
    #[must_use]
    pub fn naming(mut self, naming: Option<Arc<dyn Naming>>) -> Self {
        self.wal.naming = naming;
        self
    }

    /// The same session, which may only read and is asked whether it did.
    #[must_use]
    pub fn watched(mut self, watch: Option<Arc<dyn Naming>>) -> Self {
        if watch.is_some() {
            (self.wal.naming, self.wal.watches) = (watch, true);
        }
        self
    }

    /// Whether this command's transaction is to be named.
    pub(super) fn is_traced(&self, shape: &Shape) -> bool {
        self.wal.naming.is_some()
            && if self.wal.watches { may_have_changed(shape) } else { may_change(shape) }
    }

    /// The refusal of a cursor WITH HOLD in a session that is watched: its query runs within the COMMIT, behind the question.
    pub(super) fn refuses_held_cursor(&self, shape: &Shape, holds: bool) -> Option<Refusal> {
        let refused = self.wal.watches && holds && may_have_changed(shape);
        refused.then(|| {
            let text = "Firsthand did not run this: a cursor WITH HOLD runs its query at the commit, and this session may only \
                        read, which is looked at before that; declare it without WITH HOLD, or leave out the functions and views \
                        of this database that it uses";
            let mut refusal = Refusal::new(RefusalKind::Denied, text);
            refusal.rule = Arc::from("read-only");
            refusal
        })
    }

    /// Sync and Flush among the copy data of a Query: the target takes no notice of them, and what comes behind must not wait.
    pub(super) fn swallows_in_copy(&self, tag: u8) -> bool {
        matches!(tag, b'S' | b'H') && self.flight.is_reading_copy()
    }

    /// Whether the COPY that copy data is for may itself be held back.
    pub(super) fn holds_copy(&self) -> bool {
        self.radius.is_holding() && !self.flight.is_reading_copy()
    }

    /// A command goes out.
    pub(super) fn trace(&mut self, running: &Running) {
        self.wal.numbered |= self.wal.watches && takes_number(&running.shape);
        if running.traced {
            let number = running.permit.number().0;
            let (from, spilled) =
                self.wal.unnamed.map_or((number, false), |(from, _, spilled)| (from, spilled));
            let spills = running.permit.mask_plan().is_some_and(|plan| plan.obligations.mask.spills);
            self.wal.unnamed = Some((from, number, spilled || spills));
        }
    }

    /// Whether the transaction has to be named before it may commit.
    pub(super) fn is_unnamed(&self) -> bool {
        self.wal.unnamed.is_some()
    }

    /// The target is in no transaction, and nothing that may change rows is under way.
    pub(super) fn names_settled(&mut self) {
        if self.wal.naming.is_some() && !self.flight.running.iter().any(|r| r.traced) {
            self.wal.unnamed = None;
            self.wal.numbered = false;
        }
    }

    /// Whether a Query outside a block goes between BEGIN and COMMIT for it.
    pub(super) fn wraps_to_name(&self, slots: &[Slot]) -> bool {
        self.wal.naming.is_some()
            && slots.iter().any(|slot| slot.permitted().is_some_and(|r| r.traced))
            && slots.iter().all(|slot| slot.permitted().is_none_or(may_be_wrapped))
    }

    /// What is said of a command whose rows will not be told, because its transaction may commit before it is named. `held`:
    /// what may commit waits for the answer.
    pub(super) fn untold_by_name(&self, running: &mut Running, held: bool) {
        if self.wal.watches {
            return;
        }
        let inside = self.transaction == Transaction::Open;
        let shape = &running.shape;
        // A definition alone changes no rows that would be told.
        let told = [Effect::Write, Effect::Execute, Effect::Unknown].iter().any(|e| shape.effects.has(*e));
        let within = !inside && running.commits_within;
        let untold = running.traced && (told || runs_procedure(shape)) && (!held || within);
        if untold {
            running.changed = Some(Changed::Untold(UNATTRIBUTED));
        }
    }

    /// Whether all that a Query does is named before it commits: it is wrapped, or runs in a block that it does not end.
    pub(super) fn names_query(&self, slots: &[Slot]) -> bool {
        if self.wal.naming.is_none() || self.wal.watches || self.radius.is_wrapped() {
            return true;
        }
        let (mut open, mut seen) = (self.transaction == Transaction::Open, false);
        for running in slots.iter().filter_map(Slot::permitted) {
            match running.change {
                Change::Begin => open = true,
                _ if running.traced && !open => return false,
                Change::End { .. } if seen => return false,
                // What stands behind it is in no block, unless it begins one.
                Change::End { chain, .. } => open = chain,
                _ => seen |= running.traced,
            }
        }
        true
    }

    /// Asks for the transaction, if it has to be named now. True while that is awaited.
    pub(super) fn awaits_name(&mut self, out: &mut Vec<Action>) -> bool {
        if self.wal.looking {
            return true;
        }
        let Some(naming) = &self.wal.naming else { return false };
        let Some((from, to, spills)) = self.wal.unnamed.take() else { return false };
        if self.wal.numbered {
            return false;
        }
        let naming = naming.name(self.role.name(), from, to, spills);
        self.wal.looking = true;
        out.push(Action::Look(Looking(Box::pin(async move { Box::new(Named(naming.await)) as Thought }))));
        true
    }

    /// COMMIT of a wrapped Query goes out; once its transaction is named.
    pub(super) fn commit_when_named(&mut self, commit: Bytes, out: &mut Vec<Action>) {
        if self.awaits_name(out) {
            self.wal.commit = Some(commit);
        } else {
            out.push(Action::ToServer(self.without_command(commit)));
        }
    }

    /// The transaction is named. What may not commit is not: its session ends here, and its transaction with it.
    pub(super) fn named(&mut self, named: &Named, out: &mut Vec<Action>) {
        self.wal.looking = false;
        if named.0 != Verdict::Goes {
            self.wal.commit = None;
            return self.end_over(named.0, out);
        }
        match self.wal.commit.take() {
            Some(commit) if self.radius.is_wrapped() => {
                out.push(Action::ToServer(self.without_command(commit)));
            }
            _ => self.resume_held(out),
        }
    }
}
