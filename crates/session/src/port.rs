//! Everything the engine needs from outside. All of it fails closed: an error refuses.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use firsthand_model::amount::Most;
use firsthand_model::command::{Command, Effects};
use firsthand_model::decision::{Decision, Obligations};
use firsthand_model::event::Event;
use firsthand_model::grant::AccessCall;
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::identity::Identity;
use firsthand_model::json::Json;
use firsthand_model::masking::{ColumnMask, MaskDuty};
use firsthand_model::preview::{Original, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Target;
use firsthand_model::time::{MonoMicros, UnixMicros};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::refusal::{Refusal, RefusalKind};
use crate::secret::Secret;

/// A future that can be kept in a struct.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a client must be asked to prove itself by SCRAM (RFC 5802). For an unknown login it is made up, always the same
/// for the same name, so that asking tells nothing.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// Salt of the verifier.
    pub salt: Vec<u8>,
    /// Iterations of the verifier.
    pub iterations: u32,
    /// StoredKey of RFC 5802.
    pub stored_key: [u8; 32],
    /// ServerKey of RFC 5802.
    pub server_key: [u8; 32],
    /// The token it belongs to; `None` for a made-up one.
    pub token: Option<String>,
}

/// The certificates that a client has shown in its TLS handshake, DER, its own first. That it has the key of the first was
/// found there, and nothing else: whose it is, and whether that counts, is the provider's to say.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientChain(pub Arc<[Vec<u8>]>);

impl std::fmt::Debug for ClientChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientChain({})", self.0.len())
    }
}

/// How a client must prove itself, by what it has shown in the TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// By a token, as if it had shown no certificate.
    Token,
    /// It has, by its certificate; or it had to show one and did not, and is refused for that.
    Certificate,
    /// By a token beside its certificate.
    Both,
}

/// What a client presents.
#[derive(Debug)]
pub enum Proof {
    /// The SCRAM exchange over this challenge succeeded: the client knows the token's secret.
    Scram {
        /// The login name of the startup message.
        login: String,
        /// The challenge that was answered.
        challenge: Challenge,
    },
    /// The token itself, sent over TLS.
    ClearText {
        /// The login name of the startup message.
        login: String,
        /// The token.
        secret: Secret,
    },
    /// The token of an issuer, which names its holder itself: shown without a login name, over TLS or within the machine.
    Bearer {
        /// The token.
        secret: Secret,
    },
    /// The client's certificate alone. `None`: it had to show one.
    Certificate {
        /// The login name that came with it, where the protocol has one.
        login: Option<String>,
        /// What it has shown.
        chain: Option<ClientChain>,
    },
    /// A token, and the client's certificate: both must name the same.
    Both {
        /// The proof by the token.
        token: Box<Self>,
        /// What it has shown.
        chain: ClientChain,
    },
    /// A proof that failed before it could be looked up (a wrong SCRAM proof): to be counted and recorded.
    Failed {
        /// The login name of the startup message.
        login: String,
    },
}

/// Why somebody is not let in; the client is told the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No token of that name.
    #[error("no token has this login name")]
    Unknown,
    /// The secret is wrong.
    #[error("the token's secret is wrong")]
    Proof,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token has ended.
    #[error("the token has expired")]
    Expired,
    /// An administrator has contained somebody in its chain.
    #[error("an administrator has contained this identity")]
    Contained,
    /// The store cannot be read.
    #[error("the token store cannot be read")]
    Store,
    /// The token of an issuer is not accepted. The text is fixed, and says nothing of what stands in the token.
    #[error("{0}")]
    Issued(&'static str),
    /// The client's certificate is not accepted. The text is fixed, and says nothing of what stands in it.
    #[error("{0}")]
    Certificate(&'static str),
}

impl IdentityError {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Proof => "proof",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Contained => "contained",
            Self::Store => "store",
            Self::Issued(_) => "issuer",
            Self::Certificate(_) => "certificate",
        }
    }
}

/// Turns a proof into an identity.
pub trait IdentityProvider: Send + Sync {
    /// What to ask of this login. Never fails: unknown logins get a made-up challenge.
    fn challenge(&self, login: &str) -> Challenge;
    /// Whether this login is asked for the secret itself, over TLS, instead of a SCRAM exchange, because it may be the token
    /// of an issuer. Says nothing of whether anybody has this login name.
    fn asks_for_secret(&self, _login: &str) -> bool {
        false
    }
    /// How who logs in so must prove itself, having shown this in the TLS handshake. No login name: it shows nothing else.
    fn wants(&self, _login: Option<&str>, _chain: Option<&ClientChain>, _now: UnixMicros) -> Wants {
        Wants::Token
    }
    /// What [`IdentityProvider::identify`] should not be asked before, where something has to be fetched for it. Bounded in
    /// time; ends also where it cannot be had. Cancel-safe.
    fn prepare<'a>(&'a self, _proof: &'a Proof) -> Option<BoxFuture<'a, ()>> {
        None
    }
    /// Who it is. Constant-time in the secret.
    ///
    /// # Errors
    /// See [`IdentityError`].
    fn identify(&self, proof: &Proof, now: UnixMicros) -> Result<Identity, IdentityError>;
    /// Whether [`IdentityProvider::identify`] of this proof is quick, because the same was found right before. It says
    /// nothing to who does not hold the secret.
    fn is_quick(&self, _proof: &Proof) -> bool {
        false
    }
    /// Whether an identity established earlier still holds (not revoked, not ended): asked for every command.
    ///
    /// # Errors
    /// See [`IdentityError`].
    fn recheck(&self, identity: &Identity, now: UnixMicros) -> Result<(), IdentityError>;
}

/// What policy is asked.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Who, at which target, in which role.
    pub session: &'a SessionFacts,
    /// What.
    pub command: &'a Command,
    /// When.
    pub now: UnixMicros,
    /// How many rows it touches by the target's own estimate; `None`: not known.
    pub estimated_rows: Option<u64>,
    /// A grant that covers it is in force.
    pub granted: bool,
}

/// Decides. Pure: no IO, no clock.
pub trait Policy: Send + Sync {
    /// Allow, deny or hold, with the rule and the reason.
    fn decide(&self, ask: &Ask<'_>) -> Decision;

    /// Whether this identity can ever be allowed to change something in this database of a target, whatever it asks. False:
    /// it may only read, and the target can be told so as well.
    fn may_change(&self, _identity: &Identity, _target: &str, _database: &str) -> bool {
        true
    }

    /// What is to be masked in rows of this table (schema, name) with these columns, which what this session did has changed:
    /// for the record, one mask for each column. `None`: that cannot be told, so no value of them is kept.
    fn masks_of_rows(
        &self,
        _session: &SessionFacts,
        _table: (&str, &str),
        _columns: &[&str],
        _now: UnixMicros,
    ) -> Option<MaskDuty> {
        None
    }

    /// How many sessions an identity may have at a time, as seen by one that is about to begin; `None`: as many as it likes.
    fn sessions_limit(&self, _session: &SessionFacts, _now: UnixMicros) -> Option<Most> {
        None
    }

    /// Whether this identity may ever have to wait for a person before it does something with these effects in this database of a
    /// target. False: nothing is gathered of it that only people and approvals need. Asked for every command, so it is cheap.
    fn may_hold(&self, _identity: &Identity, _target: &str, _database: &str, _effects: Effects) -> bool {
        true
    }

    /// Whether an estimate of rows may decide over this command: then one is asked for. Cheap.
    fn wants_estimate(&self, _session: &SessionFacts, _command: &Command) -> bool {
        false
    }
}

/// Asks a target how many rows a command touches, before it is decided. Where that cannot be told, `None`: rules take that
/// for too many.
pub trait Estimator: Send + Sync {
    /// Asked only where [`Policy::wants_estimate`]. Has its own timeout; whatever it asks is in the record. Cancel-safe.
    fn estimate<'a>(
        &'a self,
        engine: &'a Arc<crate::Engine>,
        session: &'a SessionFacts,
        command: &'a Command,
    ) -> BoxFuture<'a, Option<u64>>;
}

/// Finds out what a command would change, for whoever is asked to approve it. It never decides whether the command runs.
pub trait Previewer: Send + Sync {
    /// Has its own timeout; whatever it asks of the target is in the record. Cancel-safe: dropped, what it has tried is rolled
    /// back by the target. What is in the way is in the answer, without any value.
    fn preview<'a>(
        &'a self,
        engine: &'a Arc<crate::Engine>,
        session: &'a SessionFacts,
        command: &'a Command,
        original: &'a Original,
    ) -> BoxFuture<'a, Preview>;
}

/// What an approval is bound to: a keyed digest over who asks, where, as whom, and exactly what (invariant 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding(pub [u8; 32]);

/// What a command says itself as it will run, where the record has less of it: with the values that masks hide, and without its
/// secrets. For who approves it, and for nobody's log.
#[derive(Clone, PartialEq, Eq)]
pub struct Unveiled {
    /// The text.
    pub text: String,
    /// The parameters: a JSON array, or absent.
    pub parameters: Json,
}

impl Unveiled {
    /// Of a command before it was veiled and after; `None`: nothing of it was hidden.
    #[must_use]
    pub fn of(came: &Command, veiled: &Command) -> Option<Box<Self>> {
        let differs = came.text != veiled.text || came.parameters != veiled.parameters;
        differs.then(|| Box::new(Self { text: came.text.clone(), parameters: came.parameters.clone() }))
    }
}

impl std::fmt::Debug for Unveiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unveiled(***)")
    }
}

/// A command that waits for a person.
#[derive(Debug)]
pub struct Hold {
    /// The session.
    pub session: Arc<SessionFacts>,
    /// The command's number in it.
    pub number: CommandNumber,
    /// The decision that holds it.
    pub decision: Decision,
    /// The command as the record has it: secrets replaced, values veiled.
    pub command: Command,
    /// Of the command as it came.
    pub binding: Binding,
    /// The command as it came, where what it would change can be looked for.
    pub original: Option<Arc<Original>>,
    /// What it says as it will run, where `command` has less of it.
    pub unveiled: Option<Box<Unveiled>>,
}

/// A question that people can answer. Dropped before anybody was told its id, it is withdrawn: nobody waits for it any more.
pub struct Question {
    /// Its id.
    pub id: String,
    /// Nobody has asked it before: what the command would change is not known yet.
    pub is_new: bool,
    /// Withdraws it when it is dropped.
    pub asker: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Question").field(&self.id).finish()
    }
}

/// Why a hold did not end in an approval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// Nobody can approve: nobody is in the groups that the rule names.
    #[error("nobody can approve")]
    NobodyToAsk,
    /// Whoever approves could not see all of what would run. The text says what is missing.
    #[error("it cannot be shown whole: {0}")]
    Unseen(String),
    /// As many questions wait as may.
    #[error("too many approvals are waited for")]
    TooMany,
    /// It was refused.
    #[error("{id} was refused")]
    Refused {
        /// The approval.
        id: String,
        /// What the approver said; may be empty.
        reason: String,
    },
    /// The client cancelled or left while it waited.
    #[error("the wait was broken off")]
    Broken(crate::breaker::Broken),
    /// Still waiting; the id is for the client.
    #[error("approval {0} is pending")]
    Pending(String),
    /// It is approved, and something that was sent together with it is not.
    #[error("{0} is approved, and what was sent with it is not")]
    Together(String),
    /// Something that was sent together with it cannot run, so nobody was asked.
    #[error("number {place} of what was sent together cannot run: {why}")]
    Beside {
        /// Which one of them, counted from 1.
        place: usize,
        /// How that one would be refused.
        kind: RefusalKind,
        /// What was said of it.
        why: String,
    },
    /// It lapsed, was withdrawn, or another session has spent it.
    #[error("{0} is over")]
    Over(String),
    /// What is decided now is not what was approved.
    #[error("{0} was for other rules")]
    Changed(String),
    /// It was signed by a key that does not count any more.
    #[error("{0} was signed by a key that is not configured any more")]
    SignerGone(String),
    /// What its names stand for could not be looked up anew.
    #[error("what the command of {0} means could not be looked up")]
    Unlooked(String),
    /// What is known of approvals cannot be read or written.
    #[error("the state of approvals cannot be reached")]
    Unreachable,
}

/// Asks people. All of it is cancel-safe: whatever is given up leaves an approval at most unspent or spent in vain, and never a
/// command that runs without one.
pub trait Approver: Send + Sync {
    /// What an approval of this command would be bound to: of the command as it came, before anything of it is veiled.
    fn binding(&self, session: &SessionFacts, command: &Command, decision: &Decision) -> Binding;
    /// Asks, or joins the question that is open for the same binding. Does not wait for an answer.
    fn ask<'a>(&'a self, hold: &'a Hold) -> BoxFuture<'a, Result<Question, ApprovalError>>;
    /// Waits at most so many µs until the question is answered.
    fn wait<'a>(&'a self, question: &'a Question, most_us: u64) -> BoxFuture<'a, Result<(), ApprovalError>>;
    /// What the command would change is known now: for whoever is asked. Cancel-safe: it is then shown or not.
    fn show<'a>(&'a self, hold: &'a Hold, question: &'a Question, preview: &'a Preview) -> BoxFuture<'a, ()>;
    /// The client is about to be told of it: it stays open, for the same command to come again.
    fn keep<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, ()>;
    /// Spends the approval: of all who try, over all gateways, one succeeds. That it was spent is in the record's queue when
    /// this returns.
    fn spend<'a>(
        &'a self,
        hold: &'a Hold,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<(), ApprovalError>>;
}

/// A grant that covers a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covering {
    /// Its id.
    pub id: Arc<str>,
    /// It is for so many commands, and this one counts.
    pub counts: bool,
}

/// What a call to the gateway itself is answered: one row for each, of texts.
pub type Told = Vec<[String; 4]>;

/// Knows the grants (just-in-time access) that are in force, and asks for new ones.
pub trait Grants: Send + Sync {
    /// The grant that covers this command, if one does: asked for every command, so it is quick, and allocates nothing where there
    /// is none.
    fn covers(&self, _session: &SessionFacts, _command: &Command, _now: UnixMicros) -> Option<Covering> {
        None
    }
    /// The grant that is in force for a session which begins.
    fn at_opening(&self, _session: &SessionFacts, _now: UnixMicros) -> Option<Arc<str>> {
        None
    }
    /// Why what ran under this grant must end: its time is over, or it was revoked, or that cannot be told. `None`: it need not.
    fn over(&self, _id: &str, _now: UnixMicros) -> Option<&'static str> {
        None
    }
    /// Of the grants in force for a session that begins, the one that was given last and has something left: its role is the
    /// session's, where grants have roles.
    fn given_last(&self, _session: &SessionFacts, _now: UnixMicros) -> Option<Arc<str>> {
        None
    }
    /// When a grant that is in force ends.
    fn end(&self, _id: &str) -> Option<UnixMicros> {
        None
    }
    /// Counts one command. False: it has had as many as it is for, or that cannot be counted.
    fn count<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }
    /// How many more commands a grant that counts them has; `None`: that cannot be told now.
    fn left<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Option<u64>> {
        Box::pin(std::future::ready(None))
    }
    /// Does what a session asks of the gateway itself.
    fn call<'a>(
        &'a self,
        _session: &'a SessionFacts,
        _number: CommandNumber,
        _call: &'a AccessCall,
        _target: Option<&'a Target>,
    ) -> BoxFuture<'a, Result<Told, Refusal>> {
        Box::pin(std::future::ready(Err(Refusal::new(
            RefusalKind::Unsupported,
            "nobody gives grants here, so none can be asked for",
        ))))
    }
}

/// Nobody gives grants.
#[derive(Clone, Copy, Debug)]
pub struct NoGrants;

impl Grants for NoGrants {}

/// What is presented to a target.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The role to log in as.
    pub user: String,
    /// Its password, if one is needed.
    pub password: Option<Secret>,
}

/// Why there is no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The place where it should be does not have it. The text names the place, never the value.
    #[error("no credential: {0}")]
    Missing(String),
}

/// Finds the credential for a target; the actor never sees it.
pub trait CredentialSource: Send + Sync {
    /// The credential to present.
    ///
    /// # Errors
    /// See [`CredentialError`].
    fn credential(&self, identity: &Identity, target: &Target) -> Result<Credential, CredentialError>;
    /// What the gateway itself presents where it makes login roles for grants: no session gets it.
    ///
    /// # Errors
    /// See [`CredentialError`].
    fn making_roles(&self, target: &Target) -> Result<Credential, CredentialError> {
        Err(CredentialError::Missing(format!("target {} has none for making roles", target.name)))
    }
}

/// Gives each grant a login role of its own, at targets that are set up for it. What it does there is in the record.
pub trait Roles: Send + Sync {
    /// What sessions under this grant present at the target: makes the role where there is none yet. Has its own timeout. The error
    /// is for the operator. Cancel-safe: what is given up is ended with its grant.
    fn of_grant<'a>(
        &'a self,
        _engine: &'a Arc<crate::Engine>,
        _target: &'a Arc<Target>,
        _grant: &'a Arc<str>,
    ) -> BoxFuture<'a, Result<Credential, String>> {
        Box::pin(std::future::ready(Err("nobody makes roles here".to_owned())))
    }
    /// The same, where it was made already.
    fn known(&self, _target: &str, _grant: &str) -> Option<Credential> {
        None
    }
    /// The target does not take its password any more: the next session gets a new one.
    fn spoilt(&self, _target: &str, _grant: &str) {}
    /// The target lets nobody in with it, and not for its password: somebody there has decided that. It is recorded, and nothing else.
    fn not_let_in(&self, _engine: &crate::Engine, _target: &str, _grant: &str, _why: &str) {}
}

/// Nobody makes roles.
#[derive(Clone, Copy, Debug)]
pub struct NoRoles;

impl Roles for NoRoles {}

/// Where in a text something was found, and what, for masking it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the text.
    pub range: std::ops::Range<usize>,
    /// What stands there and how it is masked.
    pub mask: ColumnMask,
}

/// What masking needs besides the bytes: keys and knowledge of values. Pure: no IO, no clock.
pub trait Values: Send + Sync {
    /// The keyed token of a value under a label: equal values give equal tokens.
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16];
    /// Looks through a value of a column without a label; adds what has to be masked, in order, without overlaps. Called
    /// for each cell: allocates nothing when nothing is found.
    fn scan(&self, value: &str, column: &str, found: &mut Vec<Found>);
    /// Looks at a whole number of a column that holds numbers. Adds it as a whole, and only where it is certain: most long
    /// numbers are keys and times.
    fn scan_number(&self, digits: &str, column: &str, found: &mut Vec<Found>) {
        self.scan(digits, column, found);
    }
    /// Whether a key of a document says of its values what the name of a column they may come from says.
    fn stands_for(&self, key: &str, column: &str) -> bool {
        key.eq_ignore_ascii_case(column)
    }
    /// Whether the name of a column alone says that its values are somebody's: then also short numbers and dates may be
    /// found in it, were they texts.
    fn tells(&self, column: &str) -> bool {
        let _ = column;
        true
    }
}

/// How values are masked on the way back, carried by the permit.
#[derive(Clone, Default)]
pub struct MaskPlan {
    /// The duties.
    pub obligations: Arc<Obligations>,
    /// The tools; `None` only where there is nothing to mask.
    pub values: Option<Arc<dyn Values>>,
}

impl MaskPlan {
    /// True when some value must be masked or looked through: then a dialect that cannot do so must refuse.
    pub fn masks_anything(&self) -> bool {
        !self.obligations.mask.is_empty()
    }
}

impl std::fmt::Debug for MaskPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskPlan").field("obligations", &self.obligations).finish_non_exhaustive()
    }
}

/// Plans the masking of a reply.
pub trait Masker: Send + Sync {
    /// The plan for these obligations.
    fn plan(&self, obligations: &Arc<Obligations>) -> MaskPlan;
}

/// An entry's place in the log, known when it is queued; it counts once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// How badly an entry is needed when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The intent of something that has not happened yet: may be turned away.
    Intent,
    /// What has already happened: may use the reserve.
    Fact,
    /// That something which is in the log is over, in few bytes: taken whatever else is queued, once for each.
    End,
}

/// Why an entry is not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No room: intents are turned away until there is.
    #[error("the log has no room: {0}")]
    Full(String),
    /// Too much is queued already.
    #[error("the log cannot keep up")]
    Overloaded,
    /// The log stopped and stays stopped until the gateway is restarted.
    #[error("the log has stopped: {0}")]
    Stopped(String),
    /// It did not become durable in time.
    #[error("the log did not become durable in time")]
    TimedOut,
}

/// The one place to which sessions write.
pub trait Recorder: Send + Sync {
    /// Queues an entry; its order against all others is fixed now. Does not block. It becomes durable within 5 ms, or as
    /// soon as somebody waits for it (`poll_durable`).
    ///
    /// # Errors
    /// See [`RecordError`]: the entry is not in the log and will not be.
    fn append(&self, event: Event, need: Need) -> Result<Ticket, RecordError>;
    /// What tells this log from all others: for names at targets.
    fn id(&self) -> [u8; 16] {
        [0; 16]
    }
    /// Whether everything up to `ticket` is durable by now. One atomic load.
    fn is_durable(&self, ticket: Ticket) -> bool;
    /// Whether the log keeps up with what is queued. Whoever takes in commands waits while it does not (wakes `cx`), so
    /// that one client's flood is slowed down before anybody is refused. `bytes`: of what it has to take in; few are let in
    /// for longer, so that they need not wait for what others' many take. Cancel-safe.
    fn poll_room(&self, bytes: usize, waiting: &mut Waiting, cx: &mut Context<'_>) -> Poll<()>;
    /// Waits until everything up to `ticket` is durable; wakes `cx`. Who waits for an intent is told at once when the log
    /// cannot be written; who waits for a fact goes on waiting while it may still be. Resolves with `TimedOut` when
    /// polled after longer than the recorder's own limit: whoever waits must poll again from time to time.
    /// Cancel-safe.
    fn poll_durable(
        &self,
        ticket: Ticket,
        need: Need,
        waiting: &mut Waiting,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RecordError>>;
}

/// What a task that waits for the recorder remembers between polls: polled again while nothing has happened, the recorder
/// sees that it stands on its list already. One for each waiting task; only the recorder knows what is in it.
#[derive(Default)]
pub struct Waiting(pub Option<Box<dyn Any + Send>>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

/// A connection to a target.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// Why a target cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// With the operating system's reason.
    #[error("cannot reach the target: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the target did not answer in time")]
    TimedOut,
}

/// Opens a connection to a target, directly or through a connector.
pub trait Dialer: Send + Sync {
    /// Connects. Has its own timeout. Cancel-safe.
    fn dial<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Box<dyn ByteStream>, DialError>>;
}

/// The configured targets; a reload replaces them for sessions to come.
pub trait Targets: Send + Sync {
    /// The target of that name.
    fn find(&self, name: &str) -> Option<Arc<Target>>;
    /// Whether an administrator has contained it: no session opens there, and no command of an open one runs. Asked for every
    /// command.
    fn is_contained(&self, _name: &str) -> bool {
        false
    }
    /// Whether nothing runs there but under a grant. Asked for every command.
    fn needs_grant(&self, _name: &str) -> bool {
        false
    }
}

/// Time.
pub trait Clock: Send + Sync {
    /// Wall clock.
    fn now(&self) -> UnixMicros;
    /// Monotonic clock.
    fn mono(&self) -> MonoMicros;
}

/// New session ids.
pub trait Ids: Send + Sync {
    /// A new one, sortable by time.
    fn session(&self) -> SessionId;
}
