//! READ FIRST. The dialect: what it remembers between bytes, and how the driver's calls reach its parts.
//!
//! The way of a command: `client` reads messages into a `batch`; the batch is asked for as a whole; `forward` sends what
//! was permitted and queues in `flight` what must be answered; `server` matches the target's answers to that queue,
//! `capture` keeps rows, and `complete` makes the outcome. Refused commands are replaced by a text that PostgreSQL's own
//! parser refuses: so the target itself fails the transaction and skips the rest of the pipeline (invariant 9), and
//! every ReadyForQuery that the client sees is the target's.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use firsthand_model::decision::Obligations;
use firsthand_model::id::SessionId;
use firsthand_model::masking::Hush;
use firsthand_model::outcome::{AbandonReason, Transaction};
use firsthand_model::target::ChangedRows;
use firsthand_model::time::MonoMicros;
use firsthand_session::{Admission, Answer, Forward, Outlasted, Refusal, RefusalKind};
use firsthand_sql::Analyzer;
use firsthand_wire::postgres::Rules;
use firsthand_wire::postgres::frame::{Passing, SERVER_LIMIT};

use super::batch::{Batch, Moment};
use super::broken::Broken;
use super::changed::{Asked, ChangedState, TableSource};
use super::columns::Columns;
use super::flight::Flight;
use super::knowing::{Knowing, Looked};
use super::large::ReadElsewhere;
use super::masking::{RowPlan, Tools};
use super::names::{Names, Own};
use super::overtime::Overtime;
use super::parameters::Parameters;
use super::radius::Radius;
use super::refuse;
use super::role::Role;
use super::tripwire::Tripwire;
use super::wal::{Named, Wal};
use crate::budget::{Budget, Held};
use crate::dialect::{Action, Dialect, Thought};

/// The longest statement or set of parameters that is taken. PostgreSQL takes 1 GiB, but such a message has to be held
/// whole here while it is decided; 256 MiB is more than drivers and dump files send. COPY data has no such limit.
pub const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// What the dialect is told at the beginning.
pub struct Setup {
    /// Analyses statements; shared by all sessions.
    pub analyzer: Arc<Analyzer>,
    /// What is known of what statements mean; `None`: nobody asks.
    pub knowing: Option<Knowing>,
    /// What the target reported while the session was opened (ParameterStatus).
    pub parameters: Vec<(String, String)>,
    /// `session_user` at the target.
    pub session_role: String,
    /// `current_user` at the target.
    pub role: String,
    /// The session, for the target's own log.
    pub session: SessionId,
    /// Room for large messages; shared by all sessions.
    pub budget: Arc<Budget>,
    /// The longest statement or set of parameters, in bytes; see [`MESSAGE_BYTES_MAX`].
    pub message_bytes_max: u32,
    /// How much of the rows that writes touch is found out.
    pub changed: ChangedRows,
    /// Who is asked about tables for that.
    pub tables: Option<Arc<dyn TableSource>>,
    /// Nothing can be observed (replication): bytes pass both ways.
    pub unobserved: bool,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Serving.
    Open,
    /// The client has said goodbye: what runs is finished, then it ends.
    Leaving,
    /// The gateway stops: what runs is finished, then it ends.
    Draining,
    /// Ended.
    Over,
}

/// The PostgreSQL dialect. See the module's own words for how it is read.
pub struct PostgresDialect {
    pub(super) admission: Admission,
    pub(super) analyzer: Arc<Analyzer>,
    pub(super) knowing: Option<Knowing>,
    pub(super) session: SessionId,
    pub(super) budget: Arc<Budget>,
    pub(super) message_bytes_max: usize,
    pub(super) unobserved: bool,
    pub(super) client_rules: Rules,
    pub(super) server_rules: Rules,
    pub(super) life: Life,
    pub(super) transaction: Transaction,
    pub(super) parameters: Parameters,
    pub(super) role: Role,
    pub(super) names: Names,
    pub(super) batch: Batch,
    pub(super) flight: Flight,
    /// The room of the batch that is being sent.
    pub(super) sending: Option<Arc<Held>>,
    /// Commands asked so far.
    pub(super) seq: u64,
    /// An ask is unanswered.
    pub(super) asking: bool,
    /// A message with this tag is being read elsewhere.
    pub(super) thinking: Option<u8>,
    /// It has been read, and could not be acted on yet. It comes before all other bytes of the client.
    pub(super) read: Option<ReadElsewhere>,
    /// The next message depends on an answer of the target.
    pub(super) stalled: bool,
    /// Bytes of a refused message that are still to be skipped.
    pub(super) skipping: usize,
    /// Copy data of the client under way in pieces.
    pub(super) client_passing: Option<Passing>,
    /// A row or copy data of the target under way in pieces.
    pub(super) server_passing: Option<Passing>,
    /// Answers of the target that wait for what comes after them.
    pub(super) held: BytesMut,
    /// The columns described last: most results look like the one before.
    pub(super) last_columns: Option<(Box<[u8]>, Arc<Columns>)>,
    /// What was last done to such columns under such duties.
    pub(super) last_row_plan: Option<(Arc<Obligations>, Arc<Columns>, Arc<RowPlan>)>,
    /// The target's texts may hold masked values: a command that touches some runs, or ran in this transaction.
    pub(super) hushed: Hush,
    /// A command of this session had values to mask.
    pub(super) masks: bool,
    /// For payloads of notifications, once a command had the duty to look values through.
    pub(super) tools: Option<Tools>,
    /// The client has said goodbye where the target may read copy data: the target has the last word.
    pub(super) hears_out: bool,
    /// The client broke the protocol.
    pub(super) broken: Option<Broken>,
    /// The target has said itself that the session ends.
    pub(super) target_said_why: bool,
    /// Why commands end unanswered that come too late.
    pub(super) over_because: AbandonReason,
    /// Something failed since the last ReadyForQuery.
    pub(super) failed: bool,
    /// Something that may write was asked for since the last ReadyForQuery.
    pub(super) executed: bool,
    /// Which rows writes touch.
    pub(super) changed: ChangedState,
    /// How many rows writes may touch.
    pub(super) radius: Radius,
    /// Which transactions they are in.
    pub(super) wal: Wal,
    /// Whether the session may only read, and what it did all the same.
    pub(super) tripwire: Tripwire,
    /// A command was to be stopped for its time: what is told of that.
    pub(super) overtime: Option<Box<Overtime>>,
    /// It is stopped because the grant that it ran under is over.
    pub(super) lost: Option<Box<Outlasted>>,
    /// When the driver spoke last.
    pub(super) now: MonoMicros,
    /// Number of the last command sent that may change the role; while it runs, those behind it are asked for before that is
    /// known.
    pub(super) role_moves: Option<u64>,
    /// A statement since the last ReadyForQuery said that it changes the role.
    pub(super) role_touched: bool,
}

impl PostgresDialect {
    /// The name of something of the gateway's own in this session at the target.
    pub(super) fn own_name(&self, what: Own) -> String {
        what.name(self.session)
    }

    /// A session right after its handshake.
    pub fn new(admission: Admission, setup: Setup) -> Self {
        let version = setup.parameters.iter().find(|(name, _)| name == "server_version");
        let changed = ChangedState::new(
            setup.changed,
            setup.tables,
            version.map_or("", |(_, version)| version.as_str()),
        );
        Self {
            admission,
            analyzer: setup.analyzer,
            knowing: setup.knowing,
            session: setup.session,
            budget: setup.budget,
            message_bytes_max: setup.message_bytes_max as usize,
            unobserved: setup.unobserved,
            client_rules: Rules::frontend(SERVER_LIMIT, SERVER_LIMIT),
            server_rules: Rules::backend(SERVER_LIMIT, SERVER_LIMIT),
            life: Life::Open,
            transaction: Transaction::Idle,
            parameters: Parameters::new(&setup.parameters),
            role: Role::new(&setup.session_role, &setup.role),
            names: Names::default(),
            batch: Batch::default(),
            flight: Flight::default(),
            sending: None,
            seq: 0,
            asking: false,
            thinking: None,
            read: None,
            stalled: false,
            skipping: 0,
            client_passing: None,
            server_passing: None,
            held: BytesMut::new(),
            last_columns: None,
            last_row_plan: None,
            hushed: Hush::Nothing,
            masks: false,
            tools: None,
            hears_out: false,
            broken: None,
            target_said_why: false,
            over_because: AbandonReason::Dropped,
            failed: false,
            executed: false,
            role_moves: None,
            changed,
            radius: Radius::default(),
            wal: Wal::default(),
            tripwire: Tripwire::default(),
            overtime: None,
            lost: None,
            now: MonoMicros(0),
            role_touched: false,
        }
    }

    /// Bytes for the target that run nothing: bookkeeping (Sync, Flush, Describe, Close, Terminate), what fails in a
    /// refused message's place, copy data that the target passes over, and a session that is not observed.
    pub(super) fn without_command(&self, bytes: Bytes) -> Forward {
        self.admission.forward(bytes)
    }

    /// Whether a message can be acted on now.
    pub(super) fn may_ask(&self) -> bool {
        !self.asking && self.thinking.is_none() && !self.stalled && !self.flight.is_full()
    }

    /// What holds for commands asked now.
    pub(super) fn moment(&self) -> Moment {
        Moment {
            transaction: self.transaction,
            role_unknown: self.role.is_unknown()
                || self.role_moves.is_some_and(|seq| self.flight.runs_up_to(seq)),
            epoch: self.names.epoch(),
        }
    }

    /// Ends the session once nothing runs any more, if it is to end.
    pub(super) fn end_when_idle(&mut self, out: &mut Vec<Action>) {
        if self.asking || self.thinking.is_some() {
            return;
        }
        if self.broken.is_some() {
            // The target ends it.
            return self.hand_on_broken(out);
        }
        if !self.flight.is_idle() || self.is_held_up() {
            return;
        }
        match self.life {
            Life::Draining => self.say_goodbye(&Refusal::draining(), "drained", out),
            Life::Leaving if !self.hears_out => self.close("client", String::new(), out),
            Life::Leaving | Life::Open | Life::Over => {}
        }
    }

    pub(super) fn say_goodbye(&mut self, refusal: &Refusal, why: &'static str, out: &mut Vec<Action>) {
        if self.server_passing.is_none() {
            out.push(Action::ToClient(self.admission.reply(refuse::fatal(refusal))));
        }
        self.close(why, refusal.message.clone(), out);
    }

    pub(super) fn close(&mut self, why: &'static str, detail: String, out: &mut Vec<Action>) {
        if self.life != Life::Over {
            self.life = Life::Over;
            out.push(Action::Close { why, detail });
        }
    }

    pub(super) fn abandon(&mut self, why: AbandonReason, out: &mut Vec<Action>) {
        self.over_because = why;
        if let Some(decided) = self.changed.decided.take() {
            self.asking = false;
            let permits = decided.into_iter().flatten();
            out.extend(permits.map(|permit| Action::Abandon(permit, why)));
        }
        self.radius.abandon(why, out);
        self.flight.abandon(why, out);
    }

    /// The target broke the protocol: what runs is abandoned, the session ends.
    pub(super) fn target_broke(&mut self, what: String, out: &mut Vec<Action>) {
        self.abandon(AbandonReason::Protocol, out);
        let refusal =
            Refusal::new(RefusalKind::Unavailable, "the target broke the protocol; the session ends")
                .hint("Ask the operator: the gateway's record says what came (session.closed).");
        if self.server_passing.is_none() {
            out.push(Action::ToClient(self.admission.reply(refuse::fatal(&refusal))));
        }
        self.close("protocol", what, out);
    }
}

impl Dialect for PostgresDialect {
    fn from_client(&mut self, input: &mut BytesMut, now: MonoMicros, out: &mut Vec<Action>) {
        self.now = now;
        if self.life == Life::Over {
            input.clear();
        } else if self.unobserved {
            let bytes = input.split().freeze();
            out.push(Action::ToServer(self.without_command(bytes)));
        } else {
            self.read_client(input, out);
            self.end_when_idle(out);
        }
    }

    fn holds_back(&self) -> bool {
        self.wants_client() && !self.batch.is_empty()
    }

    fn client_pauses(&mut self, unfinished: bool, _now: MonoMicros, out: &mut Vec<Action>) {
        // A Parse or Bind in front of a message under way is most likely of one command with it.
        if self.holds_back() && !(unfinished && self.batch.ends_unclaimed()) {
            self.submit(out);
            self.end_when_idle(out);
        }
    }

    fn from_server(&mut self, input: &mut BytesMut, now: MonoMicros, out: &mut Vec<Action>) {
        self.now = now;
        if self.life == Life::Over {
            input.clear();
        } else if self.unobserved {
            out.push(Action::ToClient(self.admission.reply(input.split().freeze())));
        } else {
            self.stalled = false;
            self.read_server(input, false, out);
            self.resume_held(out);
            self.take_read(out);
            self.end_if_tripped(out);
            self.end_when_idle(out);
        }
    }

    fn answered(&mut self, answers: Vec<Answer>, now: MonoMicros, out: &mut Vec<Action>) {
        self.now = now;
        if self.life == Life::Over {
            self.asking = false;
            // Ended while they were decided: none was sent.
            out.extend(
                answers.into_iter().flatten().map(|permit| Action::Abandon(permit, self.over_because)),
            );
            return;
        }
        self.forward_when_known(answers, out);
        self.take_read(out);
        self.end_when_idle(out);
    }

    fn thought(&mut self, thought: Thought, now: MonoMicros, out: &mut Vec<Action>) {
        let thought = match thought.downcast::<Asked>() {
            Ok(asked) => {
                self.now = now;
                self.tables_told(*asked, out);
                self.take_read(out);
                return self.end_when_idle(out);
            }
            Err(thought) => thought,
        };
        let thought = match thought.downcast::<Named>() {
            Ok(named) => {
                self.now = now;
                self.named(&named, out);
                self.take_read(out);
                return self.end_when_idle(out);
            }
            Err(thought) => thought,
        };
        let tag = self.thinking.take().unwrap_or(b'Q');
        match thought.downcast::<ReadElsewhere>() {
            Ok(read) => self.read = Some(*read),
            // The message is still there, and is read again.
            Err(thought) if thought.is::<Looked>() => {
                self.knowing.iter_mut().for_each(|knowing| knowing.looked(now));
            }
            // The driver's word that there was no turn for it.
            Err(_) if self.life == Life::Open => self.refuse_unread(tag, out),
            Err(_) => {}
        }
        self.take_read(out);
        self.end_when_idle(out);
    }

    fn held(&mut self, _: MonoMicros, out: &mut Vec<Action>) {
        // Between the pieces of a message there is no room for another one.
        if self.flight.is_idle() && self.server_passing.is_none() && self.held.is_empty() {
            out.push(Action::ToClient(self.admission.reply(refuse::still_held())));
        }
    }

    fn deadline(&mut self, now: MonoMicros) -> Option<MonoMicros> {
        self.time_ends(now)
    }

    fn outlasts(&self) -> bool {
        self.is_outlasted()
    }

    fn overdue(&mut self, now: MonoMicros, out: &mut Vec<Action>) {
        self.now = now;
        self.stop_overtime(now, out);
    }

    fn wants_client(&self) -> bool {
        self.may_ask() && self.broken.is_none() && matches!(self.life, Life::Open | Life::Draining)
    }

    fn has_unread(&self) -> bool {
        self.read.is_some()
    }

    fn is_busy(&self) -> bool {
        self.asking || self.thinking.is_some() || !self.flight.is_idle() || self.is_held_up()
    }

    fn is_owed(&self) -> bool {
        self.unobserved || self.flight.is_owed()
    }

    fn lose(&mut self, lost: Outlasted, now: MonoMicros, out: &mut Vec<Action>) {
        self.now = now;
        self.lose_grant(lost, now, out);
    }

    fn drain(&mut self, _now: MonoMicros, out: &mut Vec<Action>) {
        if self.unobserved {
            self.say_goodbye(&Refusal::draining(), "drained", out);
        } else if self.life == Life::Open {
            self.life = Life::Draining;
            self.end_when_idle(out);
        }
    }

    fn end(
        &mut self,
        refusal: Option<Refusal>,
        why: AbandonReason,
        word: &'static str,
        out: &mut Vec<Action>,
    ) {
        self.abandon(why, out);
        match refusal {
            Some(refusal) if self.life != Life::Over => self.say_goodbye(&refusal, word, out),
            _ => self.close(word, String::new(), out),
        }
    }

    fn client_closed(&mut self, _now: MonoMicros, out: &mut Vec<Action>) {
        if matches!(self.life, Life::Open | Life::Draining) {
            // What was not asked for yet has no Sync: PostgreSQL would roll it back. What is being decided was sent whole.
            if !self.asking {
                self.batch = Batch::default();
            }
            self.life = Life::Leaving;
            self.end_when_idle(out);
        }
    }

    fn server_closed(&mut self, _now: MonoMicros, out: &mut Vec<Action>) {
        let mut rest = self.held.split();
        if !rest.is_empty() {
            self.read_server(&mut rest, true, out);
        }
        if let Some(broken) = self.broken.take() {
            self.abandon(AbandonReason::Protocol, out);
            if self.target_said_why {
                self.close("protocol", broken.refusal.message, out);
            } else if self.life != Life::Over {
                self.say_goodbye(&broken.refusal, "protocol", out);
            }
            return;
        }
        if self.ended_for_time(out) {
            return;
        }
        self.abandon(AbandonReason::TargetLost, out);
        if self.life == Life::Leaving {
            self.close("client", String::new(), out);
        } else if self.life != Life::Over {
            if !self.target_said_why && self.server_passing.is_none() && !self.unobserved {
                out.push(Action::ToClient(self.admission.reply(refuse::target_lost())));
            }
            self.close("target", String::new(), out);
        }
    }
}
