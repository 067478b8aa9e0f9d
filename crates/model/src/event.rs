//! The whole vocabulary of the record, administrative acts included. An event becomes an entry in the log crate.

use std::sync::Arc;

use crate::command::Command;
use crate::decision::Decision;
use crate::grant::GrantFacts;
use crate::id::{CommandNumber, SessionId};
use crate::identity::{Claim, ClientFacts, Link};
use crate::json::Json;
use crate::outcome::{AbandonReason, Outcome, Transaction};
use crate::session::SessionFacts;

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// `session.opened`.
    SessionOpened(Box<SessionOpened>),
    /// `session.closed`.
    SessionClosed(Box<SessionClosed>),
    /// `session.noted`: something that belongs to no command: a cancel request, a notification, a parameter change.
    SessionNoted(Box<SessionNoted>),
    /// `command.decided`: the intent.
    CommandDecided(Box<CommandDecided>),
    /// `command.rows`: a piece of the rows as the client got them.
    CommandRows(Box<CommandRows>),
    /// `command.changed`: rows that a write touched.
    CommandChanged(Box<CommandChanged>),
    /// `transaction.named`: which transaction of the target commands ran in.
    TransactionNamed(Box<TransactionNamed>),
    /// `transaction.changed`: rows that a transaction changed.
    TransactionChanged(Box<TransactionChanged>),
    /// `transaction.ended`: what became of a transaction that was named.
    TransactionEnded(Box<TransactionEnded>),
    /// `command.completed`.
    CommandCompleted(Box<CommandCompleted>),
    /// `command.abandoned`.
    CommandAbandoned(Box<CommandAbandoned>),
    /// `stream`: progress of a long transfer.
    Stream(Box<StreamProgress>),
    /// `approval.*`, `grant.*`: what becomes of an approval, or of a grant, which is approved in the same way.
    Approval(Box<ApprovalEvent>),
    /// `identity.refused`, `session.refused`: somebody was not let in.
    Refused(Box<AdmissionRefused>),
    /// `admin.*`, `identity.*`, `record.*`: what an administrator (or the gateway itself) did.
    Administered(Box<Administered>),
    /// `log.*`: what the log says of itself.
    Log(Box<LogEvent>),
}

/// A session began.
#[derive(Debug)]
pub struct SessionOpened {
    /// Its constant facts.
    pub facts: Arc<SessionFacts>,
    /// The connection it came over.
    pub client: ClientFacts,
    /// What the client says of itself.
    pub claims: Vec<Claim>,
    /// Startup parameters passed on: JSON list of `{name, value}`, or absent.
    pub parameters: Json,
    /// What this session cannot observe: `unobserved`, …
    pub coverage: Vec<&'static str>,
    /// The grant that is in force for it when it begins.
    pub grant: Option<Arc<str>>,
}

/// A session ended.
#[derive(Debug)]
pub struct SessionClosed {
    /// Its constant facts.
    pub facts: Arc<SessionFacts>,
    /// Why: `client`, `target`, `killed`, `drained`, `idle`, `protocol`, `limit`, `record`, `tripwire`, `dropped`, `crash`.
    pub why: &'static str,
    /// More of why, for people. May hold personal data: payload only.
    pub detail: String,
    /// Microseconds from opened to closed.
    pub duration_us: u64,
    /// Commands asked in it.
    pub commands: u64,
}

/// Something that belongs to no command.
#[derive(Debug)]
pub struct SessionNoted {
    /// The session's facts.
    pub facts: Arc<SessionFacts>,
    /// What: `asked` (by the gateway itself), `cancel`, `error`, `limit`, `notice`, `notification`, `parameter`, `refused`,
    /// `unknown-message`.
    pub what: &'static str,
    /// What it says: JSON object (payload).
    pub detail: Json,
}

/// The intent of a command, with the decision.
#[derive(Debug)]
pub struct CommandDecided {
    /// The session's facts.
    pub facts: Arc<SessionFacts>,
    /// Its number in the session.
    pub number: CommandNumber,
    /// What was asked.
    pub command: Command,
    /// What policy said.
    pub decision: Decision,
    /// The approval that was spent, if there was one.
    pub approval: Option<String>,
    /// The grant that covers it.
    pub grant: Option<Arc<str>>,
    /// How many rows the target estimated, where it was asked.
    pub estimated_rows: Option<u64>,
    /// Leave to run it was given. Not the same as the verdict: a hold may be approved, and observing refuses nothing but
    /// what may never run.
    pub permitted: bool,
}

/// A piece of the rows.
#[derive(Debug)]
pub struct CommandRows {
    /// The session's facts.
    pub facts: Arc<SessionFacts>,
    /// The command.
    pub number: CommandNumber,
    /// First row's number in the result, from 0.
    pub first_row: u64,
    /// Rows in this piece.
    pub rows: u64,
    /// Columns: JSON array, or absent when an earlier piece has them.
    pub columns: Json,
    /// The rows: JSON array of arrays (or, for copy data, of strings).
    pub values: Json,
}

/// Rows that a command changed, as the target told.
#[derive(Debug)]
pub struct CommandChanged {
    /// The session's facts.
    pub facts: Arc<SessionFacts>,
    /// The command.
    pub number: CommandNumber,
    /// The table: `schema.name`.
    pub table: String,
    /// `insert`, `update`, `delete`, `upsert`.
    pub action: &'static str,
    /// How it was found out: `returning` (the gateway added that to the statement).
    pub how: &'static str,
    /// Number of the first row here among those changed, from 0.
    pub first: u64,
    /// Rows here.
    pub rows: u64,
    /// Rows changed in all; only in the last entry of a command.
    pub count: Option<u64>,
    /// What was not seen.
    pub coverage: Vec<&'static str>,
    /// The columns: JSON array of objects (`key`, `masked`, `name`, `type`).
    pub columns: Json,
    /// The rows as they were: JSON array of arrays, or absent.
    pub old: Json,
    /// The rows as they are now: JSON array of arrays, or absent.
    pub new: Json,
}

/// A transaction of the target, and the commands of a session that ran in it.
#[derive(Clone, Debug)]
pub struct Transactional {
    /// The session's facts, as in force when the transaction was about to end.
    pub facts: Arc<SessionFacts>,
    /// The target's number of the transaction, with its epoch; `None`: it could not be found out.
    pub xid: Option<u64>,
    /// The first of its commands that may have changed something.
    pub from: CommandNumber,
    /// The last of them.
    pub to: CommandNumber,
}

/// Which transaction commands ran in, told before it may commit.
#[derive(Debug)]
pub struct TransactionNamed {
    /// The transaction.
    pub of: Transactional,
    /// Why its number is not known.
    pub coverage: Vec<&'static str>,
}

/// Rows that a committed transaction changed, as the target's own log says.
#[derive(Debug)]
pub struct TransactionChanged {
    /// The transaction.
    pub of: Transactional,
    /// Where its commit ends in the target's log.
    pub lsn: String,
    /// The table: `schema.name`; several for a TRUNCATE, with `, ` between.
    pub table: String,
    /// `insert`, `update`, `delete`, `truncate`.
    pub action: &'static str,
    /// Number of the first row here among those kept of this table and action, from 0.
    pub first: u64,
    /// Rows here.
    pub rows: u64,
    /// Rows changed in all; only in the last entry of a table and action.
    pub count: Option<u64>,
    /// What was not seen.
    pub coverage: Vec<&'static str>,
    /// The columns: JSON array of objects (`key`, `masked`, `name`, `type`).
    pub columns: Json,
    /// The rows as they were: JSON array of arrays, or absent.
    pub old: Json,
    /// The rows as they are now: JSON array of arrays, or absent.
    pub new: Json,
}

/// What became of a transaction that was named.
#[derive(Debug)]
pub struct TransactionEnded {
    /// The transaction.
    pub of: Transactional,
    /// `committed`, `rolled-back`, `unknown`.
    pub how: &'static str,
    /// Where its commit ends in the target's log; empty: it left no rows there.
    pub lsn: String,
    /// Rows changed in all, over all tables.
    pub changes: u64,
    /// What was not seen.
    pub coverage: Vec<&'static str>,
}

/// A command ran to its end.
#[derive(Debug)]
pub struct CommandCompleted {
    /// The session's facts after it.
    pub facts: Arc<SessionFacts>,
    /// The command.
    pub number: CommandNumber,
    /// Position of its intent in the log.
    pub intent: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// State of the transaction before it.
    pub before: Transaction,
    /// Microseconds from asked to ended.
    pub duration_us: u64,
}

/// A permitted command without an answer of the target.
#[derive(Debug)]
pub struct CommandAbandoned {
    /// The session's facts, unless the gateway that knew them is gone.
    pub facts: Option<Arc<SessionFacts>>,
    /// The session (also when `facts` is gone).
    pub session: SessionId,
    /// The command.
    pub number: CommandNumber,
    /// Position of its intent in the log.
    pub intent: u64,
    /// Why.
    pub why: AbandonReason,
    /// Whether its bytes had gone to the target: `None` when not known.
    pub forwarded: Option<bool>,
}

/// Progress of a long transfer.
#[derive(Debug)]
pub struct StreamProgress {
    /// The session's facts.
    pub facts: Arc<SessionFacts>,
    /// The command.
    pub number: CommandNumber,
    /// Bytes so far.
    pub bytes: u64,
    /// Rows or messages so far.
    pub rows: u64,
}

/// Something that happened to an approval.
#[derive(Debug)]
pub struct ApprovalEvent {
    /// Of a grant `grant.asked`, `grant.given`, `grant.refused`, `grant.expired`, `grant.ended`, `grant.revoked`, `grant.used_up`. Else
    /// `approval.asked`, `approval.previewed`, `approval.given`, `approval.refused`, `approval.expired`, `approval.withdrawn`, `approval.spent`,
    /// `approval.glass_broken`.
    pub kind: &'static str,
    /// The approval's or the grant's id.
    pub id: String,
    /// The facts of the session that asks, spends or leaves, where it is known here.
    pub facts: Option<Arc<SessionFacts>>,
    /// That session; of what people do, the one that asked first.
    pub session: SessionId,
    /// Its command.
    pub number: CommandNumber,
    /// The person who gives or refuses it.
    pub by: Option<By>,
    /// What it is bound to: a keyed digest, in hexadecimal.
    pub digest: Option<String>,
    /// The rule that holds the command.
    pub rule: String,
    /// People whose approval it needs.
    pub quorum: u64,
    /// People who have approved it by now.
    pub given: Option<u64>,
    /// What is asked about, secrets replaced (payload).
    pub text: String,
    /// Its parameters: JSON array, or absent (payload).
    pub parameters: Json,
    /// What the rule or the person says (payload).
    pub reason: String,
    /// What the command would change, as approvers are shown it: JSON object, or absent (payload).
    pub preview: Json,
    /// What a grant is for.
    pub grant: Option<Box<GrantFacts>>,
    /// The signature of a person's yes (payload; its kind of key in the leaf).
    pub signed: Option<Box<SignedYes>>,
}

/// A yes that a person has signed with a key of their own, as OpenSSH does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedYes {
    /// The kind of the key, as OpenSSH calls it.
    pub kind: String,
    /// The key's fingerprint, `SHA256:…`.
    pub fingerprint: String,
    /// The public key.
    pub key: String,
    /// The signature, armored.
    pub signature: String,
    /// The text that is signed.
    pub text: String,
}

/// Somebody was not let in.
#[derive(Debug)]
pub struct AdmissionRefused {
    /// True when the proof failed (`identity.refused`); false when the target could not be reached, or the API does not let
    /// them do it (`session.refused`).
    pub identity: bool,
    /// Who it was, for a request of the API with a token that was proved; its connection is `client`.
    pub by: Option<By>,
    /// Why, one word: `proof`, `protocol`, `unknown`, `revoked`, `expired`, `target`, `rate`, `limit`, `unreachable`, `credential`.
    pub why: &'static str,
    /// The login name as presented (payload).
    pub login: String,
    /// The target as asked for (payload).
    pub target: String,
    /// The connection.
    pub client: ClientFacts,
    /// More for people (payload); never a credential.
    pub detail: String,
    /// How many this entry stands for: more than one where each by itself would let a flood fill the log.
    pub count: u64,
}

/// Who did something to the gateway or read its record.
#[derive(Clone, Debug)]
pub struct By {
    /// Who acts: for local commands the operating system's user (verified by the socket), else whom the token names.
    pub link: Link,
    /// The identity chain, from the outside in, where a token established it; else empty.
    pub chain: Vec<Link>,
    /// The connection that it was asked over, where it was one of the network.
    pub client: Option<ClientFacts>,
}

impl From<Link> for By {
    fn from(link: Link) -> Self {
        Self { link, chain: Vec::new(), client: None }
    }
}

/// What an administrator did.
#[derive(Debug)]
pub struct Administered {
    /// The kind: `identity.token_created`, `admin.reloaded`, `record.read`, …
    pub kind: &'static str,
    /// Who did it.
    pub by: By,
    /// Facts without personal data: JSON object for the leaf, or absent.
    pub leaf: Json,
    /// The rest: JSON object for the payload, or absent.
    pub payload: Json,
}

/// What the log says of itself.
#[derive(Debug)]
pub struct LogEvent {
    /// The kind: `log.started`, `log.recovered`, `log.heartbeat`, `log.stopped`, …
    pub kind: &'static str,
    /// Facts: JSON object for the leaf.
    pub leaf: Json,
}
