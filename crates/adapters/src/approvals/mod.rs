//! Approvals of commands: the port by which the engine asks people, and what people do (`answer.rs`). What is known of them
//! is in the state; whatever happens to one is an entry of the record.

pub mod answer;
mod binding;
mod contain;
pub mod glass;
pub mod grants;
pub mod names;
pub mod original;
mod seal;
pub mod signing;
pub mod trust;
pub mod turned_away;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use firsthand_model::command::Command;
use firsthand_model::decision::{Decision, HoldTerms};
use firsthand_model::event::{ApprovalEvent, Event};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::json::Json;
use firsthand_model::preview::Preview;
use firsthand_model::session::SessionFacts;
use firsthand_session::port::{
    ApprovalError, Approver, Binding, BoxFuture, Hold, Need, Question, RecordError, Recorder, Ticket,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout_at};

use crate::clock::wall;
use crate::containment::Containment;
use crate::state::approvals::{Kept, Most, Row, Sort, Stage};
use crate::state::{State, StateError};

/// Questions that are open at a time: far more than people answer, and few enough to look through.
const OPEN_MAX: u64 = 4_000;
/// Of them, those of one person with all that acts for them, or of one agent that acts for nobody: so that none takes the
/// place of all others.
const OPEN_OF_ONE_MAX: u64 = 200;
/// Both.
const MOST: Most = Most { all: OPEN_MAX, own: OPEN_OF_ONE_MAX };
/// How long what is over stays in the state, for lists: a day. The record has all of it.
pub const OVER_KEPT_US: u64 = 24 * 3_600_000_000;
/// Characters of a statement in lists: enough to know it again.
const LISTED_CHARS: usize = 500;
/// Who waits looks again after this long, should it not have been told of a change.
const LOOK: Duration = Duration::from_secs(5);
/// How often what is over by the clock is ended.
const SWEEP: Duration = Duration::from_secs(5);
/// Changes that who waits may be behind; further behind, it looks.
const CHANGES_KEPT: usize = 1024;
/// How long the state may take to answer whoever holds a connection meanwhile.
const STATE_MAX: Duration = Duration::from_secs(8);
/// Pause before a lost connection to a shared state is made again.
const AGAIN: Duration = Duration::from_secs(2);

/// Who is in which group, by the rules in force.
pub trait Groups: Send + Sync {
    /// Whether anybody is.
    fn has_members(&self, group: &str) -> bool;
    /// Whether one of these names is.
    fn is_member(&self, group: &str, names: &[&str]) -> bool;
}

/// What has become of an approval, in the record as soon as the ticket's entry is durable.
#[derive(Clone, Debug)]
pub struct Told {
    /// The entry's kind.
    pub kind: &'static str,
    /// The approval's id.
    pub id: String,
    /// People who have approved it by then, where the entry says so.
    pub given: u64,
    /// The entry.
    pub ticket: Ticket,
}

/// Hears of them, in order, and may not wait.
pub type Hears = Box<dyn Fn(Told) + Send + Sync>;

/// A text as the record, the state and lists may have it.
pub type Veil = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What is shared with questions that withdraw themselves.
struct Desk {
    state: State,
    recorder: Arc<dyn Recorder>,
    /// The log's id, in hexadecimal: which of the acts in a shared state are told here.
    log: String,
    changed: broadcast::Sender<String>,
    /// How many sessions here wait for each.
    waiting: Mutex<HashMap<String, usize>>,
    runtime: OnceLock<Handle>,
    trust: trust::Trust,
    /// Who tells people outside of it.
    hears: OnceLock<Hears>,
    in_force: grants::InForce,
    /// Whose approvals do not count any more.
    contained: OnceLock<Arc<Containment>>,
    /// How often somebody here broke the glass.
    broken: AtomicU64,
    /// Whose keys count.
    signers: ArcSwap<signing::Signers>,
    /// What is replaced in what people say.
    veil: OnceLock<Veil>,
    turned_away: turned_away::TurnedAway,
}

/// Approvals over a state and a record.
#[derive(Clone)]
pub struct Approvals {
    desk: Arc<Desk>,
    key: Arc<hmac::Key>,
    originals: Arc<original::Key>,
    groups: Arc<dyn Groups>,
}

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Approvals").field("state", &self.desk.state).finish_non_exhaustive()
    }
}

impl Approvals {
    /// Over these. `key`: a secret of the data folder, for what approvals are bound to.
    #[must_use]
    pub fn new(state: State, recorder: Arc<dyn Recorder>, key: &[u8], groups: Arc<dyn Groups>) -> Self {
        let log = recorder.id().iter().map(|b| format!("{b:02x}")).collect();
        let (changed, _) = broadcast::channel(CHANGES_KEPT);
        let (waiting, runtime) = (Mutex::default(), OnceLock::new());
        let (trust, hears, in_force) = (trust::Trust::new(key), OnceLock::new(), grants::InForce::default());
        let (contained, veil) = (OnceLock::new(), OnceLock::new());
        let (broken, signers) = (AtomicU64::new(0), ArcSwap::default());
        let desk = Desk {
            state,
            recorder,
            log,
            changed,
            waiting,
            runtime,
            trust,
            hears,
            in_force,
            contained,
            broken,
            signers,
            veil,
            turned_away: turned_away::TurnedAway::default(),
        };
        let originals = Arc::new(original::Key::new(key));
        Self { desk: Arc::new(desk), key: Arc::new(binding::key(key)), originals, groups }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.desk.state
    }

    /// The id of the log that tells of what is done here.
    #[must_use]
    pub fn log(&self) -> &str {
        &self.desk.log
    }

    /// How often somebody broke the glass at this gateway, since it began.
    #[must_use]
    pub fn glass_broken(&self) -> u64 {
        self.desk.broken.load(Relaxed)
    }

    /// Who hears of what becomes of approvals at this gateway. The first one stays.
    pub fn on_told(&self, hears: Hears) {
        let _ = self.desk.hears.set(hears);
    }

    /// With what is contained at this gateway. The first one stays.
    #[must_use]
    pub fn heeding(self, contained: &Arc<Containment>) -> Self {
        let _ = self.desk.contained.set(Arc::clone(contained));
        self
    }

    /// With what is replaced in requests and answers before anything of them is kept. The first one stays.
    #[must_use]
    pub fn veiling(self, veil: Veil) -> Self {
        let _ = self.desk.veil.set(veil);
        self
    }

    /// What has to go on while a gateway runs: ending what is over, and hearing of what others who share the state do.
    pub async fn keep_up(self) {
        tokio::join!(self.sweep_on(), self.listen_on(), self.grants_on());
    }

    async fn sweep_on(&self) {
        self.once_compared().await;
        loop {
            // A state that nobody has needed yet has nothing in it that waits.
            tokio::time::sleep(SWEEP).await;
            if let Err(e) = self.sweep().await {
                tracing::warn!("approvals that are over could not be ended: {e}");
            }
        }
    }

    /// Ends what is over by the clock, and deletes what was over long ago.
    ///
    /// # Errors
    /// When the state cannot be reached.
    pub async fn sweep(&self) -> Result<(), StateError> {
        let now = wall().0;
        for row in self.desk.state.overdue(now).await? {
            if self.desk.state.expire(&row.id, now).await? {
                self.desk.tell_of(&row, grants::kind(&row.id, Stage::Expired, row.stage));
            }
        }
        self.desk.state.purge(now.saturating_sub(OVER_KEPT_US)).await?;
        self.desk.state.shrink().await
    }

    async fn listen_on(&self) {
        loop {
            match self.desk.state.listen().await {
                Ok(None) => return,
                Ok(Some(mut changes)) => {
                    while let Ok(id) = changes.next().await {
                        // Whoever waits looks; an empty id is anybody's.
                        let _ = self.desk.changed.send(id.unwrap_or_default());
                    }
                }
                Err(e) => tracing::warn!("changes of approvals by other gateways are not heard of: {e}"),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn asked(&self, hold: &Hold, terms: &HoldTerms) -> Result<Row, ApprovalError> {
        let binding = hex(&hold.binding.0);
        let state = &self.desk.state;
        for _ in 0..4 {
            let now = wall().0;
            match state.open_for(&binding).await? {
                Some(open) if open.ends > now => return Ok(open),
                Some(over) if state.expire(&over.id, now).await? => {
                    self.desk.tell_of(&over, "approval.expired");
                }
                Some(_) | None => {}
            }
            let new = self.new_row(hold, terms, &binding, now)?;
            let sealed = self.sealed(hold, &new)?;
            let kept = state.ask(&new, sealed.as_deref(), MOST).await?;
            if kept == Kept::TooMany {
                return Err(ApprovalError::TooMany);
            }
            if kept == Kept::New {
                let recorded = self.desk.tell(ApprovalEvent {
                    text: hold.command.text.clone(),
                    parameters: hold.command.parameters.clone(),
                    reason: hold.decision.reason.to_string(),
                    digest: Some(new.binding.clone()),
                    ..self.desk.event("approval.asked", &new, Some(&hold.session))
                });
                if recorded.is_err() {
                    state.correct(&new.id, Stage::Withdrawn, now).await?;
                    return Err(ApprovalError::Unreachable);
                }
                return Ok(new);
            }
        }
        Err(ApprovalError::Unreachable)
    }

    fn new_row(&self, hold: &Hold, terms: &HoldTerms, binding: &str, now: u64) -> Result<Row, ApprovalError> {
        let chain = &hold.session.identity.chain;
        let about = about(hold);
        let mut row = Row {
            id: new_id(Sort::Command)?,
            binding: binding.to_owned(),
            stage: Stage::Asked,
            log: self.desk.log.clone(),
            session: hold.session.id.to_string(),
            command: hold.number.0,
            asked: now,
            ends: now.saturating_add(terms.ttl_us),
            spend_us: terms.spend_us,
            terms: terms_json(terms).to_string(),
            people: json!(names::known_as(chain)).to_string(),
            asker: chain.first().map(|link| link.id.clone()).unwrap_or_default(),
            told: false,
            listed: listed(&about).to_string(),
            about: about.to_string(),
            about_hash: String::new(),
            preview: String::new(),
            preview_seal: String::new(),
            reason: String::new(),
            ended: 0,
            ender: String::new(),
            seal: String::new(),
        };
        row.about_hash = seal::hash(&row.about);
        row.seal = seal::of_question(&self.desk.trust.key, &row);
        Ok(row)
    }

    async fn waited(&self, question: &Question, most_us: u64) -> Result<(), ApprovalError> {
        let id = &question.id;
        let mut changes = self.desk.changed.subscribe();
        let end = Instant::now() + Duration::from_micros(most_us);
        loop {
            match self.desk.state.glance(id).await? {
                Some(row) if row.stage.is_open() && row.ends <= wall().0 => {
                    return Err(ApprovalError::Over(id.clone()));
                }
                Some(Row { stage: Stage::Given, .. }) => return self.stands(id).await,
                Some(Row { stage: Stage::Refused, reason, .. }) => {
                    return Err(ApprovalError::Refused { id: id.clone(), reason });
                }
                Some(Row { stage: Stage::Asked, .. }) => {}
                Some(_) | None => return Err(ApprovalError::Over(id.clone())),
            }
            if Instant::now() >= end {
                return Err(ApprovalError::Pending(id.clone()));
            }
            let look = (Instant::now() + LOOK).min(end);
            // Behind by too much, it looks as well.
            while let Ok(Ok(told)) = timeout_at(look, changes.recv()).await {
                if told == *id || told.is_empty() {
                    break;
                }
            }
        }
    }

    /// First in the record, then to people.
    async fn shown(&self, hold: &Hold, question: &Question, preview: &Preview) -> Result<(), ApprovalError> {
        let Some((row, _)) = self.desk.state.approval(&question.id).await? else { return Ok(()) };
        if !row.preview.is_empty() {
            return Ok(());
        }
        let preview = preview.json();
        let text = String::from_utf8_lossy(preview.as_bytes()).into_owned();
        let event = ApprovalEvent {
            session: hold.session.id,
            number: hold.number,
            preview,
            ..self.desk.event("approval.previewed", &row, Some(&hold.session))
        };
        self.desk.tell(event).map_err(|_| ApprovalError::Unreachable)?;
        let seal = seal::of_preview(&self.desk.trust.key, &question.id, &text);
        Ok(self.desk.state.show(&question.id, &text, &seal).await?)
    }

    async fn spent(&self, hold: &Hold, question: &Question) -> Result<(), ApprovalError> {
        let binding = hex(&hold.binding.0);
        if !self.spend_once(&question.id, &binding).await? {
            return Err(ApprovalError::Over(question.id.clone()));
        }
        let _ = self.desk.changed.send(question.id.clone());
        let Some((row, _)) = self.desk.state.approval(&question.id).await? else {
            return Err(ApprovalError::Unreachable);
        };
        let event = ApprovalEvent {
            session: hold.session.id,
            number: hold.number,
            ..self.desk.event("approval.spent", &row, Some(&hold.session))
        };
        // What was spent is not run where the record does not say so.
        self.desk.tell(event).map(drop).map_err(|_| ApprovalError::Unreachable)
    }
}

impl From<StateError> for ApprovalError {
    fn from(e: StateError) -> Self {
        tracing::error!("an approval was not looked at: {e}");
        Self::Unreachable
    }
}

/// Bounds what the state may take.
async fn within<T>(
    most: Duration,
    work: impl Future<Output = Result<T, ApprovalError>>,
) -> Result<T, ApprovalError> {
    tokio::time::timeout(most, work).await.unwrap_or(Err(ApprovalError::Unreachable))
}

impl Approver for Approvals {
    fn binding(&self, session: &SessionFacts, command: &Command, decision: &Decision) -> Binding {
        binding::of(&self.key, session, command, decision)
    }

    fn ask<'a>(&'a self, hold: &'a Hold) -> BoxFuture<'a, Result<Question, ApprovalError>> {
        Box::pin(within(STATE_MAX, async move {
            let Some(terms) = &hold.decision.terms else { return Err(ApprovalError::NobodyToAsk) };
            if !terms.approvers.iter().all(|a| self.groups.has_members(&a.group)) {
                return Err(ApprovalError::NobodyToAsk);
            }
            if let Some(what) = binding::unseen(&hold.command, hold.original.as_deref()) {
                return Err(ApprovalError::Unseen(what));
            }
            let _ = self.desk.runtime.set(Handle::current());
            self.once_compared().await;
            let row = self.asked(hold, terms).await?;
            let asker = Asker::new(&self.desk, &row.id, &hold.session);
            Ok(Question { is_new: row.preview.is_empty(), id: row.id, asker: Box::new(asker) })
        }))
    }

    fn wait<'a>(&'a self, question: &'a Question, most_us: u64) -> BoxFuture<'a, Result<(), ApprovalError>> {
        let most = Duration::from_micros(most_us) + STATE_MAX;
        Box::pin(within(most, self.waited(question, most_us)))
    }

    fn show<'a>(&'a self, hold: &'a Hold, question: &'a Question, preview: &'a Preview) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Err(e) = within(STATE_MAX, self.shown(hold, question, preview)).await {
                tracing::warn!("what approval {} would change is not shown: {e}", question.id);
            }
        })
    }

    fn keep<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let kept = within(STATE_MAX, async { Ok(self.desk.state.told(&question.id).await?) }).await;
            if kept.is_err() {
                tracing::warn!(
                    "approval {} may be withdrawn although its client was told of it",
                    question.id
                );
            }
        })
    }

    fn spend<'a>(
        &'a self,
        hold: &'a Hold,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<(), ApprovalError>> {
        Box::pin(within(STATE_MAX, async move {
            self.once_compared().await;
            self.spent(hold, question).await
        }))
    }
}

/// A session that waits. When the last one here goes, and no client was told of the question, it is withdrawn.
struct Asker {
    desk: Arc<Desk>,
    id: String,
    session: Arc<SessionFacts>,
}

impl Asker {
    fn new(desk: &Arc<Desk>, id: &str, session: &Arc<SessionFacts>) -> Self {
        *desk.waiting().entry(id.to_owned()).or_default() += 1;
        Self { desk: Arc::clone(desk), id: id.to_owned(), session: Arc::clone(session) }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        {
            let mut waiting = self.desk.waiting();
            if let Some(others) = waiting.get_mut(&self.id) {
                *others -= 1;
                if *others > 0 {
                    return;
                }
            }
            waiting.remove(&self.id);
        }
        let (desk, session, id) = (Arc::clone(&self.desk), Arc::clone(&self.session), self.id.clone());
        let Some(runtime) = self.desk.runtime.get() else { return };
        runtime.spawn(async move {
            match desk.withdraw(&id, &session).await {
                Ok(()) => {}
                // It lapses by itself.
                Err(e) => tracing::warn!("approval {id} could not be withdrawn: {e}"),
            }
        });
    }
}

impl Desk {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn withdraw(&self, id: &str, session: &Arc<SessionFacts>) -> Result<(), StateError> {
        if self.waiting().contains_key(id) || !self.state.withdraw(id, &self.log, wall().0).await? {
            return Ok(());
        }
        if let Some((row, _)) = self.state.approval(id).await? {
            let session = (session.id.to_string() == row.session).then_some(session);
            let _ = self.tell(self.event("approval.withdrawn", &row, session));
        }
        let _ = self.changed.send(id.to_owned());
        Ok(())
    }

    /// An entry about it, of the session that asked first.
    fn event(&self, kind: &'static str, row: &Row, facts: Option<&Arc<SessionFacts>>) -> ApprovalEvent {
        let listed: Value = serde_json::from_str(&row.listed).unwrap_or_default();
        let rule = listed.get("rule").and_then(Value::as_str).unwrap_or_default();
        ApprovalEvent {
            kind,
            id: row.id.clone(),
            facts: facts.cloned(),
            session: SessionId::parse(&row.session).unwrap_or(SessionId(0)),
            number: CommandNumber(row.command),
            by: None,
            digest: None,
            rule: rule.to_owned(),
            quorum: answer::wanted(row).iter().map(|a| a.quorum).sum(),
            given: None,
            text: String::new(),
            parameters: Json::default(),
            reason: String::new(),
            preview: Json::default(),
            grant: grants::facts_of(row),
            signed: None,
        }
    }

    fn tell(&self, event: ApprovalEvent) -> Result<Ticket, RecordError> {
        let (kind, id, given) = (event.kind, event.id.clone(), event.given.unwrap_or(0));
        let ticket = self.recorder.append(Event::Approval(Box::new(event)), Need::Fact)?;
        if let Some(hears) = self.hears.get() {
            hears(Told { kind, id, given, ticket });
        }
        Ok(ticket)
    }

    /// Tells of an end that nobody brought about.
    fn tell_of(&self, row: &Row, kind: &'static str) {
        if let Err(e) = self.tell(self.event(kind, row, None)) {
            tracing::error!("that approval {} is over is not recorded: {e}", row.id);
        }
        let _ = self.changed.send(row.id.clone());
    }
}

/// A name that people type, and that cannot be guessed from others.
fn new_id(sort: Sort) -> Result<String, ApprovalError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 10];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ApprovalError::Unreachable)?;
    let letter = |b: &u8| char::from(LETTERS.get(usize::from(*b) % LETTERS.len()).copied().unwrap_or(b'x'));
    Ok(format!("{}{}", sort.prefix(), bytes.iter().map(letter).collect::<String>()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn terms_json(terms: &HoldTerms) -> Value {
    let approvers = terms.approvers.iter();
    let approvers: Vec<Value> =
        approvers.map(|a| json!({ "group": &*a.group, "quorum": a.quorum })).collect();
    let glass: Vec<Vec<&str>> =
        terms.break_glass.iter().map(|any| any.iter().map(|group| &**group).collect()).collect();
    json!({ "approvers": approvers, "own": terms.own, "ttl": terms.ttl_us, "break_glass": glass, "signed": terms.signed })
}

/// What lists show of it: no parameters, and the statement shortened.
fn listed(about: &Value) -> Value {
    let Value::Object(about) = about else { return Value::Null };
    let mut listed = about.clone();
    listed.remove("parameters");
    let whole = about.get("statement").and_then(Value::as_str).unwrap_or_default();
    let short: String = whole.chars().take(LISTED_CHARS).collect();
    listed.insert("statement_shortened".to_owned(), json!(short.len() < whole.len()));
    listed.insert("statement".to_owned(), json!(short));
    Value::Object(listed)
}

/// What an approver sees of it.
fn about(hold: &Hold) -> Value {
    let Hold { session, command, decision, unveiled, .. } = hold;
    let parsed = |json: &Json| serde_json::from_slice::<Value>(json.as_bytes()).unwrap_or_default();
    let chain = session.identity.chain.iter();
    let effects: Vec<&str> = command.shape.effects.iter().map(|e| e.word()).collect();
    json!({
        "statement": command.text, "parameters": parsed(&command.parameters),
        "statement_differs": command.original_digest.is_some(),
        "parameters_differ": unveiled.as_ref().is_some_and(|it| it.parameters != command.parameters),
        "original_kept": unveiled.is_some(),
        "chain": chain.map(|l| json!({ "kind": l.kind.word(), "name": l.name, "trust": l.trust.word(), "id": l.id }))
            .collect::<Vec<_>>(),
        "login": session.identity.login, "target": session.target, "database": session.database,
        "role": session.role, "session_role": session.session_role, "application": session.application,
        "effects": effects, "tables": meant(command), "search_path": search_path(hold), "tag": command.shape.tag, "via": command.via,
        "transaction": command.transaction.word(), "coverage": coverage(command),
        "rule": &*decision.rule, "reason": &*decision.reason, "policy": &*decision.policy,
    })
}

fn coverage(command: &Command) -> Vec<&str> {
    command.shape.coverage.iter().map(String::as_str).chain(command.coverage.iter().copied()).collect()
}

/// Relations that it names, as they are meant: a name alone may stand for a table of another schema than one thinks. As written where
/// that is not known.
fn meant(command: &Command) -> Vec<String> {
    let Some(facts) = &command.shape.facts else { return command.shape.tables.clone() };
    let mut tables: Vec<String> = Vec::new();
    for relation in facts.writes.iter().chain(&facts.reads).filter(|relation| !relation.written.is_empty()) {
        let name = match relation.schema.as_str() {
            "" => relation.written.clone(),
            schema => format!("{schema}.{}", relation.name),
        };
        if !tables.contains(&name) {
            tables.push(name);
        }
    }
    if tables.is_empty() { command.shape.tables.clone() } else { tables }
}

/// The search path, where it is not the one that its session began with.
fn search_path(hold: &Hold) -> Option<&str> {
    let settings = hold.original.as_ref()?.settings.as_ref()?;
    settings.iter().find(|(name, _)| name == "search_path").map(|(_, value)| value.as_str())
}
