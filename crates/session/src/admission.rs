//! Who may open a session. A connection is anonymous until its proof is accepted; what it gets then is an `Admitted`,
//! which becomes a `Session` once the target has answered and the opening is recorded.

use std::future::poll_fn;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use firsthand_model::amount::Most;
use firsthand_model::command::{Command, Effect, Effects, Shape, Step};
use firsthand_model::decision::Verdict;
use firsthand_model::event::{AdmissionRefused, By, Event, SessionOpened};
use firsthand_model::id::SessionId;
use firsthand_model::identity::{Claim, ClientFacts, Identity};
use firsthand_model::json::Json;
use firsthand_model::outcome::Transaction;
use firsthand_model::session::{RoleOf, SessionFacts};
use firsthand_model::statement::Facts;
use firsthand_model::target::{Durability, Mode, Target};

use crate::limiter::{FailureLimiter, Try};
use crate::meter::passed;
use crate::permit::{Forward, Reply};
use crate::pipeline::{LIMIT, Session, denied};
use crate::port::{
    Approver, Ask, ByteStream, Challenge, ClientChain, Clock, Credential, CredentialSource, DialError,
    Dialer, Estimator, Grants, IdentityError, IdentityProvider, Ids, Masker, Need, Policy, Previewer, Proof,
    Recorder, Roles, Targets, Waiting, Wants,
};
use crate::refusal::{Refusal, RefusalKind};
use crate::refused::{Refused, Sum};
use crate::tally::Tally;
use crate::usage::{NoSeat, Purse, Seat, Usage};

/// Why a session was refused: the gateway has no credential for the target, or one that does not hold.
pub const CREDENTIAL: &str = "credential";

/// The ports, wired together once at the start. No global state: everything that needs it is handed it.
pub struct Engine {
    /// Turns proofs into identities.
    pub identity: Box<dyn IdentityProvider>,
    /// Decides commands.
    pub policy: Box<dyn Policy>,
    /// Asks targets how many rows a command touches.
    pub estimator: Box<dyn Estimator>,
    /// Finds out what a command would change.
    pub previewer: Box<dyn Previewer>,
    /// Asks people.
    pub approver: Box<dyn Approver>,
    /// Knows the grants that are in force.
    pub grants: Box<dyn Grants>,
    /// Gives grants login roles of their own.
    pub roles: Box<dyn Roles>,
    /// Finds credentials.
    pub credentials: Box<dyn CredentialSource>,
    /// Plans masking.
    pub masker: Box<dyn Masker>,
    /// Writes the record.
    pub recorder: Arc<dyn Recorder>,
    /// Reaches targets.
    pub dialer: Box<dyn Dialer>,
    /// Knows targets.
    pub targets: Box<dyn Targets>,
    /// Tells time.
    pub clock: Box<dyn Clock>,
    /// Makes session ids.
    pub ids: Box<dyn Ids>,
    /// Slows guessing down.
    pub failures: Mutex<FailureLimiter>,
    /// Keeps refusals from filling the log.
    pub refused: Mutex<Refused>,
    /// Counts.
    pub tally: Tally,
    /// What identities have used of what is limited.
    pub usage: Usage,
}

/// What a connection asks for, as it says itself.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The login name.
    pub login: String,
    /// The target's name.
    pub target: String,
    /// The database behind the target's name (`TARGET/dbname`), if it names one.
    pub database: Option<String>,
    /// The client asks for a session that cannot be observed (replication).
    pub unobserved: bool,
}

/// Let in, not yet connected to the target.
#[derive(Debug)]
pub struct Admitted {
    /// Leave to do the handshake.
    pub admission: Admission,
    /// The session's id.
    pub id: SessionId,
    /// Who.
    pub identity: Arc<Identity>,
    /// Where to.
    pub target: Arc<Target>,
    /// The database to open there.
    pub database: String,
    /// What to present there.
    pub credential: Credential,
    /// Whose role that is.
    pub role_of: RoleOf,
    /// Its place among the sessions of its identity, once it has one ([`Engine::sit`]).
    seat: Option<Seat>,
    /// The limit of sessions that it would have passed, where nothing is refused.
    over: Option<Most>,
}

/// Leave to exchange bytes that ask for nothing: the handshake, and a protocol's bookkeeping. `cargo xtask tidy` lists
/// the files that may use it. Not `Clone`.
#[derive(Debug)]
pub struct Admission(());

impl Admission {
    /// Bytes toward the target that run no command.
    pub fn forward(&self, bytes: Bytes) -> Forward {
        Forward(bytes)
    }

    /// Bytes toward the client that tell no outcome. They keep their place behind replies that wait.
    pub fn reply(&self, bytes: Bytes) -> Reply {
        Reply { bytes, after: None }
    }
}

/// What the target said of the connection it accepted.
#[derive(Debug)]
pub struct Bound {
    /// The connection of the client.
    pub client: ClientFacts,
    /// What the client said of itself.
    pub claims: Vec<Claim>,
    /// The role that authenticated at the target (`session_user`).
    pub session_role: String,
    /// The role in force (`current_user`): a startup parameter or a setting of the role may have changed it.
    pub role: String,
    /// The backend's process id.
    pub backend_pid: u32,
    /// The server's version.
    pub server_version: String,
    /// Startup parameters passed on: JSON list of `{name, value}`, or absent.
    pub parameters: Json,
    /// What this session cannot observe.
    pub coverage: Vec<&'static str>,
}

impl Engine {
    /// What to ask of this login (SCRAM).
    pub fn challenge(&self, login: &str) -> Challenge {
        self.identity.challenge(login)
    }

    /// Whether to ask this login for its secret itself, over TLS.
    pub fn asks_for_secret(&self, login: &str) -> bool {
        self.identity.asks_for_secret(login)
    }

    /// How this login must prove itself, having shown this in the TLS handshake.
    pub fn wants(&self, login: Option<&str>, chain: Option<&ClientChain>) -> Wants {
        self.identity.wants(login, chain, self.clock.now())
    }

    /// Waits, for a bounded time, for what a provider has to fetch before it can look at this proof.
    pub async fn prepare(&self, proof: &Proof) {
        if let Some(fetched) = self.identity.prepare(proof) {
            fetched.await;
        }
    }

    /// Looks at the proof and at the target. Every no is recorded; what the client reads is the same for all of them.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub fn admit(&self, proof: &Proof, wanted: &Wanted, client: &ClientFacts) -> Result<Admitted, Refusal> {
        let login = &wanted.login;
        let identity = self.established(proof, wanted, client)?;
        let target = match self.targets.find(&wanted.target) {
            Some(target) if identity.targets.iter().any(|t| *t == target.name) => target,
            Some(_) => {
                return Err(self.refuse_identity(
                    "target",
                    wanted,
                    client,
                    "neither the token nor a rule names this target",
                ));
            }
            None => return Err(self.refuse_identity("target", wanted, client, "there is no such target")),
        };
        let database = match &wanted.database {
            None => target.database.clone(),
            Some(d) if *d == target.database || target.databases.contains(d) => d.clone(),
            Some(_) => {
                return Err(self.refuse_identity(
                    "target",
                    wanted,
                    client,
                    "the target does not offer this database",
                ));
            }
        };
        self.failures().succeeded(&client.address, login, self.clock.mono());
        if self.targets.is_contained(&target.name) {
            self.refused_known("contained", wanted, client, "an administrator has contained this target");
            return Err(Refusal::target_contained());
        }
        // What nobody can look at is under no grant.
        if wanted.unobserved && (!target.allow_unobserved || target.needs_grant) {
            self.refused_known("unobserved", wanted, client, "replication is not allowed on this target");
            return Err(Refusal::new(
                RefusalKind::Unsupported,
                "Firsthand refuses replication connections to this target, because it cannot record what they carry; connect without replication",
            )
            .hint("An operator can allow them with allow_unobserved = true on the target."));
        }
        let credential = match self.credentials.credential(&identity, &target) {
            Ok(credential) => credential,
            Err(e) => {
                return Err(self.target_failed(wanted, client, CREDENTIAL, &e.to_string()));
            }
        };
        let (admission, id, identity) = (Admission(()), self.ids.session(), Arc::new(identity));
        let role_of = if target.roles.is_some() { RoleOf::Nobody } else { RoleOf::Target };
        Ok(Admitted {
            admission,
            id,
            identity,
            target,
            database,
            credential,
            role_of,
            seat: None,
            over: None,
        })
    }

    /// Looks at a proof alone, for what is asked of the gateway itself. Failures count and are recorded as in
    /// [`Engine::admit`]; what the identity may do is the caller's to decide.
    ///
    /// # Errors
    /// The refusal to answer with: the same for every no.
    pub fn identify(&self, proof: &Proof, login: &str, client: &ClientFacts) -> Result<Identity, Refusal> {
        let wanted = Wanted { login: login.to_owned(), ..Wanted::default() };
        let identity = self.established(proof, &wanted, client)?;
        self.failures().succeeded(&client.address, login, self.clock.mono());
        Ok(identity)
    }

    fn established(&self, proof: &Proof, wanted: &Wanted, client: &ClientFacts) -> Result<Identity, Refusal> {
        if self.must_wait(wanted, client) {
            return Err(Refusal::identity(&wanted.login));
        }
        let identity = self.identity.identify(proof, self.clock.now());
        identity.map_err(|e| self.refuse_identity(e.word(), wanted, client, &e.to_string()))
    }

    /// Whether an administrator has contained somebody in the chain of a session, or its target: then it must end.
    pub fn is_contained(&self, session: &SessionFacts) -> bool {
        let recheck = self.identity.recheck(&session.identity, self.clock.now());
        recheck == Err(IdentityError::Contained) || self.targets.is_contained(&session.target)
    }

    /// Whether the client certificate by which a session was let in is not accepted any more: then it must end. One that merely
    /// ends by itself ends no session, as a token does not: nothing more is allowed in it.
    pub fn has_lapsed(&self, session: &SessionFacts) -> bool {
        let refused = |found| matches!(found, Err(IdentityError::Certificate(_)));
        session.identity.certificate.is_some()
            && refused(self.identity.recheck(&session.identity, self.clock.now()))
    }

    /// Connects to the target; a failure is recorded.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub async fn dial(
        &self,
        admitted: &Admitted,
        wanted: &Wanted,
        client: &ClientFacts,
    ) -> Result<Box<dyn ByteStream>, Refusal> {
        match self.dialer.dial(&admitted.target).await {
            Ok(stream) => Ok(stream),
            Err(e @ (DialError::Unreachable(_) | DialError::TimedOut)) => {
                Err(self.target_failed(wanted, client, "unreachable", &e.to_string()))
            }
        }
    }

    /// The target was reached but did not accept: recorded with `why`; the client learns only that it cannot be served.
    pub fn target_failed(
        &self,
        wanted: &Wanted,
        client: &ClientFacts,
        why: &'static str,
        detail: &str,
    ) -> Refusal {
        self.refused_known(why, wanted, client, detail);
        if why == CREDENTIAL { not_let_in() } else { unavailable() }
    }

    /// Asks policy about the settings that a session would begin with (as in [`Facts::settings`]), before the target hears
    /// of them: what a rule keeps from being set is kept from being begun with.
    ///
    /// # Errors
    /// The refusal to answer with; it is in the record.
    pub fn may_begin_with(
        &self,
        settings: Vec<String>,
        (application, said): (&str, &str),
        admitted: &Admitted,
        wanted: &Wanted,
        client: &ClientFacts,
    ) -> Result<(), Refusal> {
        if settings.is_empty() {
            return Ok(());
        }
        let (session, command) = (facts_of(admitted, application.to_owned()), setting(settings));
        let ask = Ask {
            session: &session,
            command: &command,
            now: self.clock.now(),
            estimated_rows: None,
            granted: false,
        };
        let decision = self.policy.decide(&ask);
        if decision.verdict == Verdict::Allow || session.mode == Mode::Observe {
            return Ok(());
        }
        self.refused_known("policy", wanted, client, &format!("rule {}: {said}", decision.rule));
        Err(denied(&decision, "to begin a session with these parameters"))
    }

    /// Takes a place among the sessions of its identity, before the target hears of it.
    ///
    /// # Errors
    /// The refusal to answer with, when they are too many; it is in the record.
    pub fn sit(
        &self,
        admitted: &mut Admitted,
        application: &str,
        wanted: &Wanted,
        client: &ClientFacts,
    ) -> Result<(), Refusal> {
        let facts = facts_of(admitted, application.to_owned());
        let most = self.policy.sessions_limit(&facts, self.clock.now());
        let enforced = most.as_ref().filter(|_| facts.mode == Mode::Enforce);
        match (self.usage.seat(&admitted.identity, enforced.map(|most| most.most)), enforced) {
            (Ok(seat), _) => {
                admitted.over = most.filter(|most| seat.number > most.most);
                admitted.seat = Some(seat);
                Ok(())
            }
            (Err(NoSeat::Full), Some(most)) => {
                let detail = format!("limit {}: {} sessions at a time", most.limit, most.most);
                self.refused_known("limit", wanted, client, &detail);
                Err(too_many_sessions(most))
            }
            (Err(_), _) => {
                self.refused_known("limit", wanted, client, "as many identities are known as may be");
                Err(unavailable())
            }
        }
    }

    /// Records the opening and waits until that is durable; only then is there a session.
    ///
    /// # Errors
    /// The refusal to answer with, when the log does not take it.
    pub async fn open(
        self: &Arc<Self>,
        admitted: Admitted,
        bound: Bound,
    ) -> Result<(Session, Admission), Refusal> {
        let application = bound.claims.iter().find(|c| c.name == "application_name");
        let application = application.map(|c| c.value.clone()).unwrap_or_default();
        let facts = Arc::new(SessionFacts {
            session_role: bound.session_role,
            role: bound.role,
            backend_pid: bound.backend_pid,
            server_version: bound.server_version,
            ..facts_of(&admitted, application)
        });
        let Admitted { admission, target, identity, seat, over, .. } = admitted;
        let seat = match seat {
            Some(seat) => seat,
            None => self.usage.seat(&identity, None).map_err(|_| unavailable())?,
        };
        let event = Event::SessionOpened(Box::new(SessionOpened {
            grant: self.grants.at_opening(&facts, self.clock.now()),
            facts: Arc::clone(&facts),
            client: bound.client,
            claims: bound.claims,
            parameters: bound.parameters,
            coverage: bound.coverage,
        }));
        let ticket = self.recorder.append(event, Need::Intent).map_err(|_| Refusal::not_recorded())?;
        Tally::one(&self.tally.sessions_opened);
        let (opened, limits, asked) = (self.clock.mono(), target.record, AtomicU64::new(0));
        let (breaker, strict) = (Arc::default(), facts.durability == Durability::Strict);
        let (engine, purse) = (Arc::clone(self), Arc::new(Purse::new(seat)));
        let under = Arc::default();
        let session = Session { engine, facts, limits, opened, asked, breaker, purse, under, closed: false };
        if let Some(most) = over
            && session.note(LIMIT, passed(&most, "sessions", None)).is_err()
        {
            session.close("record", String::new());
            return Err(Refusal::not_recorded());
        }
        if strict {
            let mut waiting = Waiting::default();
            let durable =
                poll_fn(|cx| self.recorder.poll_durable(ticket, Need::Intent, &mut waiting, cx)).await;
            if durable.is_err() {
                // The opening is queued and may still come into the log: then so does its end.
                session.close("record", String::new());
                return Err(Refusal::not_recorded());
            }
        }
        Ok((session, admission))
    }

    /// A client broke the rules of the proof itself. It counts as a failed try, and further ones have to wait like those:
    /// otherwise who need not know any secret could try for ever.
    pub fn proof_broken(&self, wanted: &Wanted, client: &ClientFacts, detail: &str) {
        if !self.must_wait(wanted, client) {
            let _ = self.refuse_identity("protocol", wanted, client, detail);
        }
    }

    /// Somebody could not sign in at their issuer. It counts as a failed try.
    pub fn not_signed_in(&self, issuer: &str, client: &ClientFacts, detail: &str) {
        let wanted = Wanted { login: issuer.to_owned(), ..Wanted::default() };
        if !self.must_wait(&wanted, client) {
            let _ = self.refuse_identity("issuer", &wanted, client, detail);
        }
    }

    /// Somebody has signed in: what failed before is forgotten.
    pub fn has_signed_in(&self, issuer: &str, client: &ClientFacts) {
        self.failures().succeeded(&client.address, issuer, self.clock.mono());
    }

    /// Whether somebody who wants to sign in has to wait, after tries that failed.
    pub fn sign_in_waits(&self, issuer: &str, client: &ClientFacts) -> bool {
        self.must_wait(&Wanted { login: issuer.to_owned(), ..Wanted::default() }, client)
    }

    /// Whether this try is refused without being looked at. Only the first one that waits says something new.
    fn must_wait(&self, wanted: &Wanted, client: &ClientFacts) -> bool {
        let now = self.clock.mono();
        let Try::Wait { first } = self.failures().check(&client.address, &wanted.login, now) else {
            return false;
        };
        if self.is_entry(true, "rate", !first, client) {
            self.refused_entry(true, "rate", wanted, client, "too many failures; further tries wait");
        }
        true
    }

    fn refuse_identity(
        &self,
        why: &'static str,
        wanted: &Wanted,
        client: &ClientFacts,
        detail: &str,
    ) -> Refusal {
        self.failures().failed(&client.address, &wanted.login, self.clock.mono());
        self.record_refused(true, why, wanted, client, detail);
        Refusal::identity(&wanted.login)
    }

    /// Records that somebody was not let in, who had shown no valid proof or ran into a limit: by an entry, or, when there
    /// were many of the same address, in a sum of them.
    pub fn record_refused(
        &self,
        identity: bool,
        why: &'static str,
        wanted: &Wanted,
        client: &ClientFacts,
        detail: &str,
    ) {
        if self.is_entry(identity, why, false, client) {
            self.refused_entry(identity, why, wanted, client, detail);
        }
    }

    /// Records that somebody whose token was proved may not do what they ask of the API. A connection is no bound on how
    /// often they ask, so many are told in a sum, as those of strangers are.
    pub fn record_refused_request(&self, why: &'static str, login: &str, by: &By, detail: &str) {
        let wanted = Wanted { login: login.to_owned(), ..Wanted::default() };
        let client = by.client.clone().unwrap_or_default();
        if self.is_entry(false, why, false, &client) {
            let refused = refused(false, why, &wanted, &client, detail);
            self.tell_one_refused(AdmissionRefused { by: Some(by.clone()), ..refused });
        }
    }

    /// Whether a refusal is to be an entry of its own; it is counted otherwise. `quiet`: it says nothing new.
    fn is_entry(&self, identity: bool, why: &'static str, quiet: bool, client: &ClientFacts) -> bool {
        let is_entry = self.refused().note(identity, why, &client.address, quiet, self.clock.mono());
        if !is_entry {
            Tally::one(&self.tally.admissions_refused);
        }
        is_entry
    }

    /// Records that somebody got no session who had proved who they are: never in a sum, because it tells who.
    pub(crate) fn refused_known(
        &self,
        why: &'static str,
        wanted: &Wanted,
        client: &ClientFacts,
        detail: &str,
    ) {
        self.refused_entry(false, why, wanted, client, detail);
    }

    fn refused_entry(
        &self,
        identity: bool,
        why: &'static str,
        wanted: &Wanted,
        client: &ClientFacts,
        detail: &str,
    ) {
        self.tell_one_refused(refused(identity, why, wanted, client, detail));
    }

    fn tell_one_refused(&self, refused: AdmissionRefused) {
        Tally::one(&self.tally.admissions_refused);
        let event = Event::Refused(Box::new(refused));
        // Nobody is let in either way, and a log that cannot take it has health red already; so a flood of bad logins may
        // not use the room that is kept for outcomes.
        let _ = self.recorder.append(event, Need::Intent);
    }

    /// Records the refusals that were counted only: those of windows that are over, or all of them. To be called every few
    /// seconds, and before the end.
    pub fn tell_refused(&self, all: bool) {
        let due = self.refused().take_due(all, self.clock.mono());
        for Sum { identity, address, count, words } in due {
            let event = Event::Refused(Box::new(AdmissionRefused {
                identity,
                by: None,
                why: if identity { "rate" } else { "limit" },
                login: String::new(),
                target: String::new(),
                client: ClientFacts { address, ..ClientFacts::default() },
                detail: words,
                count,
            }));
            let _ = self.recorder.append(event, Need::Intent);
        }
    }

    /// Records that so many connections were dropped before they were let in: one entry for all of them.
    pub fn record_dropped(&self, count: u64, detail: String) {
        Tally::add(&self.tally.connections_dropped, count);
        let event = Event::Refused(Box::new(AdmissionRefused {
            identity: false,
            by: None,
            why: "limit",
            login: String::new(),
            target: String::new(),
            client: ClientFacts::default(),
            detail,
            count,
        }));
        // As with a refused admission: a flood may not use the room that is kept for outcomes.
        let _ = self.recorder.append(event, Need::Intent);
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, FailureLimiter> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The facts of a session before the target has said more.
pub(crate) fn facts_of(admitted: &Admitted, application: String) -> SessionFacts {
    let Admitted { id, identity, target, database, credential, role_of, .. } = admitted;
    SessionFacts {
        id: *id,
        identity: Arc::clone(identity),
        target: target.name.clone(),
        database: database.clone(),
        session_role: credential.user.clone(),
        role: credential.user.clone(),
        backend_pid: 0,
        server_version: String::new(),
        application,
        durability: target.durability,
        mode: target.mode,
        role_of: role_of.clone(),
        encoded: OnceLock::new(),
    }
}

/// What changes these settings, as policy sees it.
fn setting(settings: Vec<String>) -> Command {
    let effects = Effects::only(Effect::Session);
    let facts = Facts { effects, settings, ..Facts::default() };
    let shape = Shape {
        tag: "SET".to_owned(),
        effects,
        tables: Vec::new(),
        plain_read: false,
        coverage: Vec::new(),
        facts: Some(Arc::new(facts)),
    };
    Command {
        step: Step::Run,
        via: "startup",
        shape: Arc::new(shape),
        text: String::new(),
        original_digest: None,
        original_bytes: 0,
        parameters: Json::default(),
        claims: Json::default(),
        parameters_digest: None,
        names: Json::default(),
        transaction: Transaction::Idle,
        coverage: Vec::new(),
        original: None,
        access: None,
    }
}

fn too_many_sessions(most: &Most) -> Refusal {
    let Most { most, limit, because } = most;
    let because =
        if because.is_empty() { String::new() } else { format!(" {}.", because.trim_end_matches('.')) };
    let text = format!(
        "Firsthand let in no further session: at most {most} of one identity are open at a time (rule {limit}).{because} End one \
         of them first, or ask the operator for more."
    );
    let mut refusal = Refusal::new(RefusalKind::Limit, text);
    refusal.rule = Arc::clone(limit);
    refusal
}

fn not_let_in() -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "this target does not let Firsthand in with the credential that it has for it; connecting again does not help, ask the \
         operator",
    )
    .hint("The gateway's record says why (session.refused).")
}

fn unavailable() -> Refusal {
    Refusal::new(
        RefusalKind::Unavailable,
        "Firsthand cannot reach this target at the moment; connect again later, and if it stays so, ask the operator",
    )
    .hint("The gateway's record says why (session.refused).")
}

fn refused(
    identity: bool,
    why: &'static str,
    wanted: &Wanted,
    client: &ClientFacts,
    detail: &str,
) -> AdmissionRefused {
    AdmissionRefused {
        identity,
        by: None,
        why,
        login: wanted.login.chars().take(256).collect(),
        target: wanted.target.chars().take(256).collect(),
        client: client.clone(),
        detail: detail.to_owned(),
        count: 1,
    }
}
