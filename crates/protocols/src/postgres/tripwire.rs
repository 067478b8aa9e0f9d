//! The last line of a session that may only read. Its transactions are READ ONLY at the target, so a command that was judged a
//! read and is none gets the target's error 25006, and changes nothing. What READ ONLY lets through shows in that the
//! transaction has a number: it is asked for before it may commit (`wal::watch`), and never does. That must not be: the
//! session ends, and the record says so.

use bytes::Bytes;
use firsthand_model::command::Effect;
use firsthand_model::json::{Json, Object};
use firsthand_model::outcome::AbandonReason;
use firsthand_session::{Refusal, RefusalKind};

use super::dialect::{Life, PostgresDialect};
use super::flight::Running;
use super::wal::Verdict;
use crate::dialect::Action;

/// `read_only_sql_transaction` (PostgreSQL docs, appendix A).
const READ_ONLY_TRANSACTION: &[u8] = b"25006";

/// Watches a session that may only read.
#[derive(Debug, Default)]
pub(super) struct Tripwire {
    /// The session's transactions are READ ONLY, because policy never lets it change anything.
    set: bool,
    /// The command that was no read.
    tripped: Option<u64>,
}

/// The command, if it was judged to only read. Since the session began a reload may have let it do more; then the target's
/// error is the client's to read.
pub(super) fn judged_read(running: &Running) -> Option<u64> {
    let quiet = [Effect::Read, Effect::Session, Effect::Transaction];
    let facts = running.shape.facts.as_ref().filter(|facts| facts.opaque.is_none())?;
    facts.effects.iter().all(|e| quiet.contains(&e)).then(|| running.permit.number().0)
}

impl PostgresDialect {
    /// The same session, whose transactions the target keeps READ ONLY.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.tripwire.set = read_only;
        self
    }

    /// A command failed: whether that must not be.
    pub(super) fn watch(&mut self, sqlstate: &[u8], command: Option<u64>) {
        if self.tripwire.set && sqlstate == READ_ONLY_TRANSACTION {
            self.tripwire.tripped = self.tripwire.tripped.or(command);
        }
    }

    /// After a walk: ends the session over a read that was none.
    pub(super) fn end_if_tripped(&mut self, out: &mut Vec<Action>) {
        let Some(command) = self.tripwire.tripped.take().filter(|_| self.life != Life::Over) else { return };
        let text = "Firsthand ended this session: its last command was judged to only read, and the database says that it \
                    would have written; nothing was changed. Connect again and leave that command out";
        self.trip(command, Some(READ_ONLY_TRANSACTION), text, out);
    }

    /// The transaction under way must not commit. Nothing has gone out that would: with the session, the target ends it.
    pub(super) fn end_over(&mut self, verdict: Verdict, out: &mut Vec<Action>) {
        let (command, text) = match verdict {
            Verdict::Goes => return,
            Verdict::Wrote(command) => (
                command,
                "Firsthand ended this session: its commands were judged to only read, and the database says that one of \
                 them has written; that was rolled back. Connect again and leave out the functions that they called",
            ),
            Verdict::Untold(command) => (
                command,
                "Firsthand ended this session: whether its last commands only read could not be asked of the database, so \
                 their transaction was rolled back. Connect again; if this comes back, tell the operator",
            ),
        };
        if self.life != Life::Over {
            self.trip(command, None, text, out);
        }
    }

    fn trip(&mut self, command: u64, code: Option<&[u8]>, text: &str, out: &mut Vec<Action>) {
        out.push(Action::Note { what: "tripwire", detail: told(command, code, text), reply: Bytes::new() });
        self.abandon(AbandonReason::SessionEnded, out);
        let refusal = Refusal::new(RefusalKind::Denied, text).hint(
            "Tell the operator: the gateway's record says which command it was (session.noted, tripwire).",
        );
        self.say_goodbye(&refusal, "tripwire", out);
    }
}

fn told(command: u64, code: Option<&[u8]>, text: &str) -> Json {
    let mut out = Vec::with_capacity(300);
    let mut o = Object::open(&mut out);
    o.number("cmd", command);
    if let Some(code) = code {
        o.string("code", &String::from_utf8_lossy(code));
    }
    o.string("message", text);
    o.close();
    Json::from_written(out)
}
