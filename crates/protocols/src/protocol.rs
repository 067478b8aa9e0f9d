//! What a byte-stream protocol must offer to be listened for: how a connection begins. After that its dialect speaks.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use firsthand_model::command::Command;
use firsthand_model::identity::{ClientFacts, Identity};
use firsthand_model::preview::{Original, Preview};
use firsthand_model::session::SessionFacts;
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{BoxFuture, MaskPlan};
use firsthand_session::secret::Secret;
use firsthand_session::{Engine, Refusal, Session};
use firsthand_sql::catalog::Catalog;

use crate::budget::Budget;
use crate::dialect::Dialect;
use crate::drive::line::Line;
use crate::drive::run::TimeLimits;
use crate::drive::sessions::CancelRoute;
use crate::drive::tls::{ClientTls, ServerTls};

/// A protocol spoken over a byte stream.
pub trait StreamProtocol: Send + Sync {
    /// Its name in configurations and in the record.
    fn name(&self) -> &'static str;
    /// Application protocol names (RFC 7301) for its TLS.
    fn alpn(&self) -> &'static [&'static [u8]];
    /// Leads a new connection to a session: greeting, proof, target. The driver has a time limit around it.
    fn begin<'a>(&'a self, line: &'a mut Line, with: &'a Beginning<'a>) -> BoxFuture<'a, Begun>;
    /// Refuses a connection before anything was read. The driver has a time limit around it.
    fn turn_away<'a>(&'a self, line: &'a mut Line, why: &'a Refusal) -> BoxFuture<'a, ()>;
    /// Connects to a target, logs in, and says what it found: for `firsthand check`. The text is for the operator.
    fn probe<'a>(&'a self, with: Probe<'a>) -> BoxFuture<'a, Result<Vec<String>, String>>;
    /// Begins to read what a database says of its changes (`changed_rows = "wal"`), if nobody does. Needs a runtime.
    fn follow(&self, with: Follow);
    /// For `firsthand check`: whether a target has what that needs. `log` names the slot.
    fn check_changes<'a>(
        &'a self,
        with: Probe<'a>,
        target: &'a str,
        log: [u8; 16],
    ) -> BoxFuture<'a, Result<Vec<String>, String>>;
    /// Asks the target how many rows a command touches. Has a time limit of its own.
    fn estimate<'a>(&'a self, with: Estimating<'a>) -> BoxFuture<'a, Option<u64>>;
    /// Does something about the login roles that grants have of their own, with the credential that makes them. The error is for
    /// the operator, and holds no secret. The caller puts a time limit around it and has recorded it.
    fn roles<'a>(&'a self, with: Probe<'a>, task: RoleTask<'a>)
    -> BoxFuture<'a, Result<Vec<String>, String>>;
    /// Runs a command at the target and takes it back, where nothing can be left of it. The caller has a time limit around it
    /// and has recorded that it is asked.
    fn preview<'a>(&'a self, with: Previewing<'a>) -> BoxFuture<'a, Preview>;
}

/// What is to be done about a role, each over a connection of its own. Only roles with this mark (a comment that begins with it)
/// are touched.
#[derive(Clone, Copy, Debug)]
pub enum RoleTask<'a> {
    /// Makes it. The answer is empty, or [`LEFTOVER`]: it is there already, with the mark.
    Make(&'a NewRole<'a>),
    /// Ends what it does there and lets it in no more, and takes from it what it is a member of. The answer: the databases in which
    /// something hangs on it.
    Close {
        /// Its name.
        name: &'a str,
        /// The mark.
        mark: &'a str,
    },
    /// Its functions in this database that run with its rights are nobody's to run any more but its own. The answer: how many of those
    /// everybody could run, and the names of some; empty: none.
    Shut {
        /// Its name.
        name: &'a str,
        /// The group.
        group: &'a str,
    },
    /// Gives what it owns in this database to the group, and takes back what it was given there. The answer is that of
    /// [`RoleTask::Shut`], of what was open again.
    Disown {
        /// Its name.
        name: &'a str,
        /// The group.
        group: &'a str,
        /// What each statement of it may take.
        within: Duration,
    },
    /// Drops it. The answer is its name, or empty: it was not there.
    Drop {
        /// Its name.
        name: &'a str,
        /// The mark.
        mark: &'a str,
    },
    /// The answer: the roles with the mark, each with what its comment says behind that: name, text, name, text.
    List {
        /// The mark.
        mark: &'a str,
    },
    /// For `firsthand check`: whether roles of this group can be made. The answer is for the operator.
    Check {
        /// The group.
        group: &'a str,
    },
}

/// The answer to [`RoleTask::Make`] where an earlier run has left the role.
pub const LEFTOVER: &str = "leftover";

/// A role to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewRole<'a> {
    /// Its name.
    pub name: &'a str,
    /// The role whose member it is.
    pub group: &'a str,
    /// Its password, of which the target gets a verifier only.
    pub password: &'a Secret,
    /// When it ends.
    pub until: UnixMicros,
    /// So many connections at a time.
    pub connections: u32,
    /// The mark.
    pub mark: &'a str,
    /// What stands behind the mark in its comment.
    pub about: &'a str,
}

/// The plan by which rows of a table (schema, name) with these columns are masked; `None`: it cannot be told.
pub type Masks<'a> = dyn Fn(&str, &str, &[&str]) -> Option<MaskPlan> + Send + Sync + 'a;

/// What a preview may use.
pub struct Previewing<'a> {
    /// The target.
    pub probe: Probe<'a>,
    /// The session whose command it is.
    pub session: &'a SessionFacts,
    /// What is known of the command.
    pub command: &'a Command,
    /// The command as it came.
    pub original: &'a Original,
    /// How rows are masked.
    pub masks: &'a Masks<'a>,
}

/// What following a database's changes takes.
pub struct Follow {
    /// The engine.
    pub engine: Arc<Engine>,
    /// How each target is reached.
    pub links: Arc<dyn Links>,
    /// Who wants to know what databases define.
    pub learner: Arc<dyn Learner>,
    /// Whose credential is presented.
    pub identity: Arc<Identity>,
    /// The target.
    pub target: String,
    /// The database.
    pub database: String,
    /// Transactions that an earlier run has named, and told nothing of since.
    pub unread: Vec<Unread>,
}

/// A transaction that was named and not told yet.
#[derive(Clone, Debug)]
pub struct Unread {
    /// Its number at the target.
    pub xid: u64,
    /// The first of its commands.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The session's facts, as far as the record tells them.
    pub facts: Arc<SessionFacts>,
}

/// What an estimate may use.
pub struct Estimating<'a> {
    /// The engine.
    pub engine: &'a Arc<Engine>,
    /// How each target is reached.
    pub links: &'a Arc<dyn Links>,
    /// The session that asks.
    pub session: &'a SessionFacts,
    /// What it asks.
    pub command: &'a Command,
}

/// What a beginning may use.
pub struct Beginning<'a> {
    /// The engine.
    pub engine: &'a Arc<Engine>,
    /// The listener's certificate, if it has one.
    pub tls: Option<&'a ServerTls>,
    /// Whether this client may go on without TLS.
    pub allow_clear_text: bool,
    /// Ask for the token itself (over TLS only) instead of a SCRAM exchange.
    pub ask_for_secret: bool,
    /// The connection's facts so far.
    pub client: ClientFacts,
    /// How each target is reached.
    pub links: &'a Arc<dyn Links>,
    /// Who wants to know what databases define.
    pub learner: &'a Arc<dyn Learner>,
    /// Room for large messages over all sessions.
    pub budget: &'a Arc<Budget>,
    /// Random bytes for nonces and cancel keys.
    pub random: &'a (dyn Fn(&mut [u8]) + Send + Sync),
}

/// What a beginning came to.
pub enum Begun {
    /// A session to run.
    Session(Box<Ready>),
    /// A request to cancel what another connection runs.
    Cancel(Vec<u8>),
    /// Nothing more to do: refused (and said so), or gone.
    Ended,
}

/// All that a session's loop needs.
pub struct Ready {
    /// The session.
    pub session: Session,
    /// Its protocol logic.
    pub dialect: Box<dyn Dialect>,
    /// The connection to the target.
    pub target: Line,
    /// The last bytes of the greeting, for the client.
    pub greeting: Bytes,
    /// How it can be cancelled.
    pub cancel: Option<(Vec<u8>, CancelRoute)>,
}

/// How TLS is used toward a target (libpq's sslmode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsUse {
    /// Never.
    Disable,
    /// If the target offers it.
    Prefer,
    /// Always.
    Require,
}

/// How one target is reached.
#[derive(Clone)]
pub struct Link {
    /// Whether TLS is used.
    pub tls_use: TlsUse,
    /// How, when it is used.
    pub tls: Option<ClientTls>,
    /// How long the target's greeting may take.
    pub timeout: Duration,
}

/// Knows how targets are reached; a reload replaces them for sessions to come.
pub trait Links: Send + Sync {
    /// The way to the target of that name.
    fn link(&self, target: &str) -> Option<Link>;
}

/// Who decides by what statements mean, and so has to know what databases define: the rules.
pub trait Learner: Send + Sync {
    /// Whether there are rules: then statements are understood by the definitions of their database, which are asked for.
    fn is_curious(&self) -> bool;
    /// What a database of a target defines. Told again for each session; what is known already costs nothing.
    fn learn(&self, target: &str, database: &str, catalog: &Arc<Catalog>);
    /// What an earlier run has kept under this key; `None`: nothing that is whole. Blocks.
    fn recall(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps this for a later run, if it can. Blocks.
    fn keep(&self, key: &str, bytes: &[u8]);
}

/// What a probe may use.
pub struct Probe<'a> {
    /// The stream to the target.
    pub stream: Box<dyn firsthand_session::port::ByteStream>,
    /// How it is reached.
    pub link: Link,
    /// What to present.
    pub credential: &'a firsthand_session::port::Credential,
    /// The database to open.
    pub database: &'a str,
}

/// Limits of a listener. Every one has a default and a place in the configuration.
#[derive(Clone, Debug)]
pub struct ListenLimits {
    /// Sessions at a time.
    pub sessions: usize,
    /// Connections that have not yet been let in; when there are more, the oldest is dropped.
    pub handshakes: usize,
    /// Time from accepting a connection to the running session.
    pub startup: Duration,
    /// Bytes of large messages held at a time, over all sessions.
    pub large_messages: usize,
    /// Limits of a running session.
    pub time: TimeLimits,
    /// Ask for the token itself (over TLS only) instead of a SCRAM exchange.
    pub ask_for_secret: bool,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            handshakes: 512,
            startup: Duration::from_secs(15),
            // Two of the longest, or thousands of what drivers send; a small machine has it to spare.
            large_messages: 512 << 20,
            time: TimeLimits { stall: Duration::from_secs(3600), idle: None, drain: Duration::from_secs(30) },
            ask_for_secret: false,
        }
    }
}
