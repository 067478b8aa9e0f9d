//! The contract between a byte-stream protocol and the driver that runs it. A dialect is a pure state machine: bytes,
//! verdicts and time come in, actions go out. It owns no socket, no clock, no lock, and makes no byte for anybody
//! except through a `Permit` or its `Admission`.

use std::any::Any;

use bytes::{Bytes, BytesMut};
use firsthand_model::command::Command;
use firsthand_model::id::CommandNumber;
use firsthand_model::json::Json;
use firsthand_model::outcome::{AbandonReason, Outcome};
use firsthand_model::time::MonoMicros;
use firsthand_session::port::BoxFuture;
use firsthand_session::{Answer, ChangedPiece, Forward, Outlasted, Permit, Refusal, Reply, RowsPiece};

/// What a dialect wants done, in order. The driver carries them out one after the other.
#[derive(Debug)]
pub enum Action {
    /// Write to the target.
    ToServer(Forward),
    /// Write to the client, once what it waits for is durable. Order is kept.
    ToClient(Reply),
    /// Nothing of the session is under way: what it did is committed or rolled back.
    Settled,
    /// Ask for these commands. At most one ask is unanswered; the answer comes by [`Dialect::answered`].
    Ask(Vec<Command>),
    /// Something that takes long (parsing a large text): done elsewhere; the result comes by [`Dialect::thought`].
    /// At most one is unanswered.
    Think(Thinking),
    /// Something that takes a while and no processor; the result comes by [`Dialect::thought`] as well.
    Look(Looking),
    /// Record the outcome of this command, then write `last` (the message that ends it) to the client.
    Complete {
        /// The command's permit, used up by it.
        permit: Permit,
        /// How it ended.
        outcome: Box<Outcome>,
        /// The bytes that tell the client; may be empty.
        last: Bytes,
    },
    /// Record that this command ends without an answer of the target, in its turn among the other actions.
    Abandon(Permit, AbandonReason),
    /// Record a piece of a command's rows.
    Rows(CommandNumber, RowsPiece),
    /// Record rows that a command changed.
    Changed(CommandNumber, ChangedPiece),
    /// Record how far a long transfer is: rows and bytes so far.
    Progress(CommandNumber, u64, u64),
    /// Record something that belongs to no command, then write `reply` to the client.
    Note {
        /// What: `notification`, `parameter`, `notice`…
        what: &'static str,
        /// What it says: JSON object.
        detail: Json,
        /// The bytes that tell the client; may be empty.
        reply: Bytes,
    },
    /// Have the target stop what it runs: its further answers are not wanted.
    StopTarget,
    /// Have the target end this session for good: what it runs has not stopped for [`Action::StopTarget`]. Where it cannot be
    /// made to, or does not say so, the session ends here and the client is told this. Asked again until one or the other.
    EndTarget(Box<Refusal>),
    /// The role in force at the target has changed.
    Role(String),
    /// Nothing more will come: flush to both sides and end the session.
    Close {
        /// The word for `session.closed`.
        why: &'static str,
        /// More for people.
        detail: String,
    },
}

/// Work for another thread (with a stack of `firsthand_sql::STACK_BYTES`).
pub struct Thinking {
    /// Known to take long, or more than [`LARGE_FROM`] of memory.
    pub large: bool,
    /// The work.
    pub work: Work,
}

/// A work that may take more memory, in bytes, is a large one. Most statements over 8 KiB stay below it.
pub const LARGE_FROM: usize = 32 << 20;

/// A piece of work.
pub type Work = Box<dyn FnOnce() -> Worked + Send>;

/// How far a work has come.
pub enum Worked {
    /// To its end.
    Done(Thought),
    /// It has found out that it is a large one: the rest waits for its turn among those.
    Large(Work),
}

impl Thinking {
    /// Does all of it here and now: for who has no turns to give.
    #[must_use]
    pub fn done_at_once(self) -> Thought {
        let mut work = self.work;
        loop {
            match work() {
                Worked::Done(thought) => return thought,
                Worked::Large(rest) => work = rest,
            }
        }
    }
}

/// Something to wait for.
pub struct Looking(pub BoxFuture<'static, Thought>);

impl std::fmt::Debug for Looking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Looking")
    }
}

/// What came of it; the dialect that asked knows the type. Or [`Crowded`].
pub type Thought = Box<dyn Any + Send>;

/// The thought of a work that was not done: too much of the kind was under way for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded;

impl std::fmt::Debug for Thinking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Thinking")
    }
}

/// One connection's protocol logic after the handshake.
///
/// Reading is consuming: a dialect splits off what it has understood from `input` and leaves the unfinished rest; it is
/// called again with the same buffer, grown. It must give the same actions however the bytes are split: only what it does
/// in a pause of the client may depend on when bytes come.
#[expect(
    clippy::wrong_self_convention,
    reason = "`from` names where bytes come from, as in the field's words"
)]
pub trait Dialect: Send {
    /// Bytes from the client. Not called while [`Dialect::wants_client`] is false.
    fn from_client(&mut self, input: &mut BytesMut, now: MonoMicros, out: &mut Vec<Action>);
    /// Whether it holds back what the client has said, because more is likely to follow at once: a pause must be told.
    fn holds_back(&self) -> bool;
    /// The client has said nothing more for a moment (or never will): what is held back goes its way now.
    /// `unfinished`: the client is in the middle of a message, which `from_client` has seen.
    fn client_pauses(&mut self, unfinished: bool, now: MonoMicros, out: &mut Vec<Action>);
    /// Bytes from the target. Called at any time, also while an ask is unanswered.
    fn from_server(&mut self, input: &mut BytesMut, now: MonoMicros, out: &mut Vec<Action>);
    /// The answers to the last ask, one per command, in order. Afterwards the driver calls `from_client` again with what
    /// it has.
    fn answered(&mut self, answers: Vec<Answer>, now: MonoMicros, out: &mut Vec<Action>);
    /// The result of the last [`Action::Think`] or [`Action::Look`]. What the client said last is acted on with it, if it
    /// can be; afterwards the driver calls `from_client` again.
    fn thought(&mut self, thought: Thought, now: MonoMicros, out: &mut Vec<Action>);
    /// When [`Dialect::overdue`] is to be called; `None`: never. Asked after all else that happens: the time of what has begun
    /// meanwhile begins now.
    fn deadline(&mut self, now: MonoMicros) -> Option<MonoMicros>;
    /// Whether what the target is to end for ([`Action::EndTarget`]) still runs.
    fn outlasts(&self) -> bool;
    /// The deadline is over.
    fn overdue(&mut self, now: MonoMicros, out: &mut Vec<Action>);
    /// Whether it can take client bytes now (false while an ask or a thought is unanswered, or too much is in flight).
    fn wants_client(&self) -> bool;
    /// Whether it keeps a message of the client that it could not act on yet, because that depends on the target's answers.
    fn has_unread(&self) -> bool;
    /// The command that was asked last waits for a person: the client may be told, if the protocol has a way that ends nothing.
    fn held(&mut self, _now: MonoMicros, _out: &mut Vec<Action>) {}
    /// Whether a command runs or waits at this moment: a drain waits for it, a cancel request concerns it.
    fn is_busy(&self) -> bool;
    /// Whether the target owes an answer that comes by itself, however long it takes.
    fn is_owed(&self) -> bool;
    /// The grant that what runs, or what is not committed, ran under is over: it is cancelled, and its transaction fails. Told again
    /// where it could not be done at once.
    fn lose(&mut self, lost: Outlasted, now: MonoMicros, out: &mut Vec<Action>);
    /// The gateway stops: finish what runs, refuse what comes, close as soon as nothing runs.
    fn drain(&mut self, now: MonoMicros, out: &mut Vec<Action>);
    /// End now: tell the client why in the protocol (`None`: it has gone), abandon what runs for `why`, close with `word`.
    fn end(
        &mut self,
        refusal: Option<Refusal>,
        why: AbandonReason,
        word: &'static str,
        out: &mut Vec<Action>,
    );
    /// The client has closed its side, and all it said has been taken: what runs is finished, then the session ends.
    fn client_closed(&mut self, now: MonoMicros, out: &mut Vec<Action>);
    /// The target has closed its side. The dialect tells the client, abandons what ran, closes.
    fn server_closed(&mut self, now: MonoMicros, out: &mut Vec<Action>);
}
