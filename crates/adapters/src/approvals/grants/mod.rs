//! Grants: time at a target instead of one command, asked for and approved in the same way and kept in the same state. A row that
//! is given is in force until its end; who takes it back ends it. Each act is in the record first.

mod book;
pub mod scope;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use firsthand_model::command::{Command, Effect, Effects};
use firsthand_model::event::{ApprovalEvent, By};
use firsthand_model::grant::{AccessCall, AccessRequest, GrantFacts, GrantOffer};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::identity::{Identity, IdentityKind, Link, Trust};
use firsthand_model::session::SessionFacts;
use firsthand_model::target::Target;
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{BoxFuture, Covering, Grants, RecordError, Told};
use firsthand_session::{Refusal, RefusalKind};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{AnswerError, Person, wanted};
use super::names::{folded, known_as};
use super::{Approvals, MOST, STATE_MAX, hex, new_id, seal, trust};
use crate::clock::wall;
use crate::state::StateError;
use crate::state::approvals::{Kept, Listing, Row, Sort, Stage, Vote};
use book::{Book, Grant};
use scope::{Scope, shown};

/// How often the state is read while a grant is in force: what another gateway has done is known by then, also where it could not
/// tell.
const LOOK: Duration = Duration::from_secs(1);
/// How often else.
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// So often, and so long, sessions are told that they have lost something: one that was in the middle of an answer hears of it
/// behind that.
const TELL_AGAIN: Duration = Duration::from_millis(150);
/// See [`TELL_AGAIN`].
const TELL_FOR: Duration = Duration::from_millis(900);
/// Grants read at a time.
const PAGE: u32 = 500;
/// The same asked for once more while it is in force, at most so often.
const SAME_MAX: u64 = 8;
/// Grants told of by one question of a session.
const TOLD_MAX: usize = 20;

/// What is known of grants in one gateway.
pub(super) struct InForce {
    book: ArcSwap<Book>,
    /// Tells sessions that something may be over.
    tell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Default for InForce {
    fn default() -> Self {
        Self { book: ArcSwap::from_pointee(Book::default()), tell: OnceLock::new() }
    }
}

/// Somebody asks.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// As entries say it.
    pub by: By,
    /// Where.
    pub target: &'a Target,
    /// In which database.
    pub database: &'a str,
    /// For what.
    pub request: &'a AccessRequest,
    /// In which session, by which command.
    pub session: Option<(SessionId, CommandNumber)>,
}

/// Why nothing is asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The target gives nothing.
    #[error("no access is given for a time at target {0}: its configuration has no `grants`")]
    NoOffer(String),
    /// It cannot be read, or is more than is given.
    #[error("{0}")]
    Unfit(String),
    /// Nobody is in the group.
    #[error("nobody is in the group {0}, which would have to approve it")]
    NobodyToAsk(String),
    /// As much is open as may be.
    #[error("too much is asked for already, or in force")]
    TooMany,
    /// It is not in the record.
    #[error("this could not be recorded, so it was not asked: {0}")]
    NotRecorded(#[from] RecordError),
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The kind of an entry about something of this sort.
pub(super) fn kind(id: &str, stage: Stage, was: Stage) -> &'static str {
    match (Sort::of(id), stage, was) {
        (Sort::Command, Stage::Asked, _) => "approval.asked",
        (Sort::Command, Stage::Given, _) => "approval.given",
        (Sort::Command, Stage::Refused, _) => "approval.refused",
        (Sort::Command, Stage::Expired, _) => "approval.expired",
        (Sort::Command, Stage::Withdrawn, _) => "approval.withdrawn",
        (Sort::Command, Stage::Spent, _) => "approval.spent",
        (Sort::Grant, Stage::Asked, _) => "grant.asked",
        (Sort::Grant, Stage::Given, _) => "grant.given",
        (Sort::Grant, Stage::Refused, _) => "grant.refused",
        (Sort::Grant, Stage::Expired, Stage::Given) => "grant.ended",
        (Sort::Grant, Stage::Expired, _) => "grant.expired",
        (Sort::Grant, Stage::Withdrawn, _) => "grant.revoked",
        (Sort::Grant, Stage::Spent, _) => "grant.used_up",
    }
}

fn parsed(row: &Row) -> Value {
    serde_json::from_str(&row.listed).unwrap_or_default()
}

/// What a row is for, as entries say it; `None`: it is no grant.
pub(super) fn facts_of(row: &Row) -> Option<Box<GrantFacts>> {
    if Sort::of(&row.id) != Sort::Grant {
        return None;
    }
    let listed = parsed(row);
    let text = |key: &str| listed.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let scope = scope_of(&listed);
    Some(Box::new(GrantFacts {
        of: acting(&listed),
        target: text("target"),
        database: text("database"),
        effects: scope.effects,
        tables: scope.tables,
        lasts_us: row.spend_us,
        commands: scope.commands,
    }))
}

fn scope_of(listed: &Value) -> Scope {
    let texts = |key: &str| -> Vec<String> {
        let list = listed.get(key).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let words = texts("effects");
    let is = |effect: &Effect| words.iter().any(|word| word == effect.word());
    Scope {
        effects: Effect::ALL.into_iter().filter(is).fold(Effects::NONE, Effects::and),
        tables: texts("tables"),
        lasts_us: listed.get("lasts_us").and_then(Value::as_u64).unwrap_or(0),
        commands: listed.get("commands").and_then(Value::as_u64),
        reason: listed.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
    }
}

/// Those who act in the chain that asked.
fn acting(listed: &Value) -> Vec<Link> {
    let link = |link: &Value| {
        let text = |key: &str| link.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = IdentityKind::parse(text("kind")).filter(|kind| !kind.proves())?;
        let trust =
            [Trust::Verified, Trust::Bound, Trust::Claimed].into_iter().find(|t| t.word() == text("trust"));
        let (id, name) = (text("id").to_owned(), text("name").to_owned());
        Some(Link { kind, id, name, trust: trust.unwrap_or(Trust::Claimed) })
    };
    let chain = listed.get("chain").and_then(Value::as_array).into_iter().flatten();
    chain.filter_map(link).collect()
}

/// What lists, approvers and later starts know of it.
fn listed(asking: &Asking<'_>, scope: &Scope) -> Value {
    let chain = asking.identity.chain.iter();
    json!({
        "chain": chain.map(|l| json!({ "kind": l.kind.word(), "name": l.name, "trust": l.trust.word(), "id": l.id }))
            .collect::<Vec<_>>(),
        "login": asking.identity.login, "target": asking.target.name, "database": asking.database,
        "effects": scope.effects.iter().map(Effect::word).collect::<Vec<_>>(), "tables": scope.tables,
        "lasts_us": scope.lasts_us, "lasts": shown(scope.lasts_us), "commands": scope.commands, "reason": scope.reason,
    })
}

/// Whether a grant, as it is listed, is somebody's: of those who act in the chain that asked, or of a person who is in it. Another
/// agent that acts for the same person has nothing of it.
#[must_use]
pub fn is_theirs(listed: &Value, by: &By) -> bool {
    let (of, own) = (acting(listed), known_as(&by.chain));
    let is_in = |link: &Link| link.kind == IdentityKind::Human && own.contains(&folded(&link.name));
    let person = by.link.kind == IdentityKind::Human && of.iter().any(is_in);
    let ids: Vec<String> = of.into_iter().map(|link| link.id).collect();
    person || (!ids.is_empty() && book::is_of(&ids, &by.chain))
}

/// Which grants somebody may take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayRevoke {
    /// Their own.
    Own,
    /// Those, too, that they may approve.
    Approved,
    /// All: they administer.
    Any,
}

impl Approvals {
    /// Asks for a grant, or joins the question that is open for the same. Does not wait for an answer.
    ///
    /// # Errors
    /// Why nothing is asked.
    pub async fn ask_grant(&self, asking: &Asking<'_>) -> Result<Row, AskError> {
        let target = asking.target;
        let Some(offer) = &target.grants else { return Err(AskError::NoOffer(target.name.clone())) };
        let scope = Scope::read(&self.veiled(asking.request), offer).map_err(AskError::Unfit)?;
        if !self.groups.has_members(&offer.approvers) {
            return Err(AskError::NobodyToAsk(offer.approvers.to_string()));
        }
        let late = |_| StateError::new("it has not been compared with the record yet");
        timeout(STATE_MAX, self.once_compared()).await.map_err(late)?;
        let late = |_| StateError::new("it does not answer");
        timeout(STATE_MAX, self.grant_asked(asking, offer, &scope)).await.map_err(late)?
    }

    /// What is asked for as the record, the state and lists may have it: what is said for a grant is a text of the actor, as a
    /// statement is. An error that repeats some of it is recorded, too.
    fn veiled(&self, asked: &AccessRequest) -> AccessRequest {
        let Some(veil) = self.desk.veil.get() else { return asked.clone() };
        AccessRequest {
            lasts: veil(&asked.lasts),
            effects: veil(&asked.effects),
            reason: veil(&asked.reason),
            tables: veil(&asked.tables),
            commands: asked.commands,
        }
    }

    async fn grant_asked(
        &self,
        asking: &Asking<'_>,
        offer: &GrantOffer,
        scope: &Scope,
    ) -> Result<Row, AskError> {
        let state = &self.desk.state;
        let mut same = 0;
        // Each turn ends with a row, or with one more that is open for the same.
        while same < SAME_MAX {
            let (now, binding) = (wall().0, self.grant_binding(asking, scope, same));
            match state.open_for(&binding).await? {
                Some(open) if open.ends > now && open.stage == Stage::Asked => return Ok(open),
                // Asked for while it is in force, it is for more time.
                Some(open) if open.ends > now => {
                    same += 1;
                    continue;
                }
                Some(over) if state.expire(&over.id, now).await? => {
                    self.desk.tell_of(&over, kind(&over.id, Stage::Expired, over.stage));
                }
                Some(_) | None => {}
            }
            let new = self.grant_row(asking, offer, scope, &binding, now)?;
            match state.ask(&new, None, MOST).await? {
                Kept::New => {}
                Kept::Joins => continue,
                Kept::TooMany => return Err(AskError::TooMany),
            }
            let (session, number) = asking.session.unwrap_or((SessionId(0), CommandNumber(0)));
            let recorded = self.desk.tell(ApprovalEvent {
                by: Some(asking.by.clone()),
                digest: Some(new.binding.clone()),
                reason: scope.reason.clone(),
                session,
                number,
                ..self.desk.event("grant.asked", &new, None)
            });
            if let Err(e) = recorded {
                state.correct(&new.id, Stage::Withdrawn, now).await?;
                return Err(e.into());
            }
            return Ok(new);
        }
        Err(AskError::TooMany)
    }

    /// What tells one request from another: who, where, what, why; `same`: how many of the same are in force.
    fn grant_binding(&self, asking: &Asking<'_>, scope: &Scope, same: u64) -> String {
        let acting = asking.identity.chain.iter().filter(|link| !link.kind.proves());
        let ids: Vec<&str> = acting.map(|link| link.id.as_str()).collect();
        let all = json!([
            "grant",
            ids,
            asking.target.name,
            asking.database,
            scope.effects.bits(),
            scope.tables,
            scope.lasts_us,
            scope.commands,
            scope.reason,
            same
        ]);
        hex(hmac::sign(&self.key, all.to_string().as_bytes()).as_ref())
    }

    fn grant_row(
        &self,
        asking: &Asking<'_>,
        offer: &GrantOffer,
        scope: &Scope,
        binding: &str,
        now: u64,
    ) -> Result<Row, StateError> {
        let terms = json!({
            "approvers": [{ "group": &*offer.approvers, "quorum": offer.quorum }],
            "own": offer.own, "ttl": offer.answer_us,
        });
        let chain = &asking.identity.chain;
        let listed = listed(asking, scope).to_string();
        let mut row = Row {
            id: new_id(Sort::Grant).map_err(|_| StateError::new("there are no random bytes"))?,
            binding: binding.to_owned(),
            stage: Stage::Asked,
            log: self.desk.log.clone(),
            session: asking.session.map(|(id, _)| id.to_string()).unwrap_or_default(),
            command: asking.session.map_or(0, |(_, number)| number.0),
            asked: now,
            ends: now.saturating_add(offer.answer_us),
            spend_us: scope.lasts_us,
            terms: terms.to_string(),
            people: json!(known_as(chain)).to_string(),
            asker: chain.first().map(|link| link.id.clone()).unwrap_or_default(),
            told: true,
            about: listed.clone(),
            listed,
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

    /// Takes a grant back, or a request for one: who has it may, its approvers may, and whoever administers.
    ///
    /// # Errors
    /// Why it is not done; then nothing has changed.
    pub async fn revoke_grant(
        &self,
        id: &str,
        by: &By,
        may: MayRevoke,
        reason: &str,
    ) -> Result<Stage, AnswerError> {
        let revoked = self.revoked(id, by, may, reason).await;
        if let Err(e) = &revoked {
            self.turned_away(id, by, "revoke", e);
        }
        revoked
    }

    async fn revoked(&self, id: &str, by: &By, may: MayRevoke, reason: &str) -> Result<Stage, AnswerError> {
        let reason = self.said(reason)?.reason;
        timeout(STATE_MAX, self.once_compared()).await.map_err(|_| AnswerError::NotCompared)?;
        let unknown = || AnswerError::Unknown(id.to_owned());
        let Some(locked) = self.desk.state.lock(id).await?.filter(|_| Sort::of(id) == Sort::Grant) else {
            return Err(unknown());
        };
        let (row, now) = (locked.row.clone(), wall().0);
        let is_own = is_theirs(&parsed(&row), by);
        let approves = || Person::of(by).and_then(|person| self.teams(&wanted(&row), &person.name)).map(drop);
        match may {
            MayRevoke::Any => {}
            _ if is_own => {}
            MayRevoke::Approved => approves()?,
            // Whose it is none of, is told what is told of one that is not there.
            MayRevoke::Own => return Err(AnswerError::NotTheirs(id.to_owned())),
        }
        if !row.stage.is_open() || trust::until(&row, &locked.votes) <= now {
            let stage = if row.stage.is_open() { Stage::Expired } else { row.stage };
            return Err(AnswerError::Over { id: id.to_owned(), stage: stage.word() });
        }
        let event = ApprovalEvent {
            by: Some(by.clone()),
            reason: reason.clone(),
            ..self.desk.event("grant.revoked", &row, None)
        };
        self.durably(event).await?;
        self.known_over(std::iter::once(id.to_owned()));
        locked.end(Stage::Withdrawn, &reason, now).await?;
        let _ = self.desk.changed.send(id.to_owned());
        Ok(row.stage)
    }

    /// Who is told when a grant is over. The first one stays.
    pub fn on_grants_over(&self, tell: Box<dyn Fn() + Send + Sync>) {
        let _ = self.desk.in_force.tell.set(tell);
    }

    fn tell_sessions(&self) {
        if let Some(tell) = self.desk.in_force.tell.get() {
            tell();
        }
    }

    /// Keeps what is in force as the state has it, and tells sessions what they have lost.
    pub(super) async fn grants_on(&self) {
        self.once_compared().await;
        let mut changes = self.desk.changed.subscribe();
        let mut telling: Option<Instant> = None;
        let mut was_stale = false;
        loop {
            let lost = match timeout(STATE_MAX, self.read_book()).await {
                Ok(Ok(lost)) => lost,
                Ok(Err(e)) => {
                    tracing::warn!("the grants in force cannot be read: {e}");
                    false
                }
                Err(_) => false,
            };
            let (book, now) = (self.desk.in_force.book.load_full(), wall().0);
            let stale = !book.is_empty() && book.is_stale(now);
            if lost || (stale && !was_stale) {
                telling = Some(Instant::now() + TELL_FOR);
            }
            was_stale = stale;
            let mut look = Instant::now() + if book.is_empty() { LOOK_IDLE } else { LOOK };
            if let Some(end) = book.next_end() {
                look = look.min(Instant::now() + Duration::from_micros(end.saturating_sub(now)));
            }
            if let Some(until) = telling {
                self.tell_sessions();
                look = look.min(Instant::now() + TELL_AGAIN);
                telling = Some(until).filter(|until| Instant::now() < *until);
            }
            while let Ok(told) = timeout_at(look, changes.recv()).await {
                // Behind by too much, it looks as well.
                if told.map_or(true, |id| id.is_empty() || Sort::of(&id) == Sort::Grant) {
                    break;
                }
            }
        }
    }

    /// Reads what is in force. Whether something is not any more.
    async fn read_book(&self) -> Result<bool, StateError> {
        let (state, before) = (&self.desk.state, self.desk.in_force.book.load_full());
        let grants = if state.is_begun() { self.all_in_force().await? } else { Vec::new() };
        let now = wall().0;
        let book = Book::new(grants, &before, now);
        let lost = book.lost(&before, now);
        let any = !lost.is_empty();
        // Nobody makes what is over be in force again by writing the state.
        self.known_over(lost.into_iter().filter(|id| book.get(id).is_none()));
        self.desk.in_force.book.store(Arc::new(book));
        Ok(any)
    }

    async fn all_in_force(&self) -> Result<Vec<Grant>, StateError> {
        let (state, now) = (&self.desk.state, wall().0);
        let mut listing = Listing { sort: Some(Sort::Grant), most: PAGE, ..Listing::default() };
        let mut rows = Vec::new();
        loop {
            let page = state.approvals(&listing).await?;
            listing.after = page.last().map(|row| (row.asked, row.id.clone()));
            rows.extend(page.into_iter().filter(|row| row.stage == Stage::Given));
            if listing.after.is_none() {
                break;
            }
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let (votes, uses) = (state.open_votes().await?, state.uses().await?);
        let mut grants = Vec::new();
        for row in rows {
            let votes: Vec<Vote> =
                votes.iter().filter(|(id, _)| *id == row.id).map(|(_, v)| v.clone()).collect();
            let ends = trust::until(&row, &votes);
            if ends <= now {
                continue;
            }
            if self.desk.trust.is_over(&row.id) {
                // Whoever ends it says so here first, and may be about to write it: who comes first tells of no difference.
                if state.correct(&row.id, Stage::Withdrawn, now).await? {
                    self.tell_difference(&row.id, trust::OVER_IN_RECORD);
                }
                continue;
            }
            if let Some(found) = self.doubt(&row, &votes) {
                if !self.may_be_anothers(&row) {
                    self.distrust(&row.id, found, Stage::Withdrawn).await?;
                }
                continue;
            }
            if self.has_contained_voter(&votes) {
                self.withdraw_contained(&row).await?;
                continue;
            }
            let used = uses.iter().find(|(id, _)| *id == row.id).map_or(0, |(_, used)| *used);
            let listed = parsed(&row);
            let text = |key: &str| listed.get(key).and_then(Value::as_str).unwrap_or_default();
            let scope = Scope { lasts_us: row.spend_us, ..scope_of(&listed) };
            grants.push(Grant {
                id: Arc::from(row.id.as_str()),
                target: text("target").to_owned(),
                database: text("database").to_owned(),
                of: acting(&listed).into_iter().map(|link| link.id).collect(),
                used_up: AtomicBool::new(scope.commands.is_some_and(|most| used >= most)),
                scope,
                ends,
            });
        }
        Ok(grants)
    }

    /// A grant as it is known here: one that is over is so whatever the state says.
    #[must_use]
    pub fn as_known(&self, row: Row) -> Row {
        let is_over = Sort::of(&row.id) == Sort::Grant && row.stage.is_open();
        let stage = if is_over && self.desk.trust.is_over(&row.id) { Stage::Withdrawn } else { row.stage };
        Row { stage, ..row }
    }

    async fn counted(&self, id: &str) -> Result<bool, StateError> {
        let book = self.desk.in_force.book.load_full();
        let Some(grant) = book.get(id) else { return Ok(false) };
        let Some(most) = grant.scope.commands else { return Ok(true) };
        let used = self.desk.state.use_grant(id, most).await?;
        if used.is_none_or(|used| used >= most) {
            grant.used_up.store(true, Relaxed);
        }
        if used == Some(most)
            && let Some(row) = self.desk.state.glance(id).await?
        {
            self.desk.tell_of(&row, kind(id, Stage::Spent, Stage::Given));
        }
        Ok(used.is_some())
    }

    async fn commands_left(&self, id: &str) -> Result<Option<u64>, StateError> {
        let book = self.desk.in_force.book.load_full();
        let Some(most) = book.get(id).and_then(|grant| grant.scope.commands) else { return Ok(None) };
        let uses = self.desk.state.uses().await?;
        let used = uses.iter().find(|(of, _)| of == id).map_or(0, |(_, used)| *used);
        Ok(Some(most.saturating_sub(used)))
    }

    async fn called(
        &self,
        session: &SessionFacts,
        number: CommandNumber,
        call: &AccessCall,
        target: Option<&Target>,
    ) -> Result<Told, Refusal> {
        match call {
            AccessCall::Unreadable(why) => Err(unreadable(why)),
            AccessCall::Status => self.told_of_session(session).await,
            AccessCall::Request(request) => {
                let Some(target) = target else {
                    return Err(not_asked(&AskError::NoOffer(session.target.clone())));
                };
                let chain = session.identity.chain.clone();
                let link = chain.iter().rev().find(|link| !link.kind.proves()).cloned();
                let Some(link) = link else { return Err(unreadable("nobody is in the identity chain")) };
                let asking = Asking {
                    identity: &session.identity,
                    by: By { link, chain, client: None },
                    target,
                    database: &session.database,
                    request,
                    session: Some((session.id, number)),
                };
                let row = self.ask_grant(&asking).await.map_err(|e| not_asked(&e))?;
                Ok(vec![told(&row, 0)])
            }
        }
    }

    /// What became of what this identity has asked for, at this target: the newest first.
    async fn told_of_session(&self, session: &SessionFacts) -> Result<Told, Refusal> {
        let chain = &session.identity.chain;
        let listing = Listing {
            sort: Some(Sort::Grant),
            ended_too: true,
            of: Some(known_as(chain)),
            most: PAGE,
            after: None,
        };
        let state = &self.desk.state;
        let read = async {
            if !state.is_begun() {
                return Ok((Vec::new(), Vec::new()));
            }
            Ok::<_, StateError>((state.approvals(&listing).await?, state.uses().await?))
        };
        let late = |_| Err(StateError::new("it does not answer"));
        let found = timeout(STATE_MAX, read).await.unwrap_or_else(late);
        let (rows, uses) = found.map_err(|e| not_asked(&AskError::State(e)))?;
        let rows: Vec<Row> = rows.into_iter().map(|row| self.as_known(row)).collect();
        let own = |row: &&Row| {
            let listed = parsed(row);
            let ids: Vec<String> = acting(&listed).into_iter().map(|link| link.id).collect();
            book::is_of(&ids, chain) && listed.get("target").and_then(Value::as_str) == Some(&session.target)
        };
        let used = |row: &Row| uses.iter().find(|(id, _)| *id == row.id).map_or(0, |(_, used)| *used);
        let lines: Told = rows.iter().filter(own).take(TOLD_MAX).map(|row| told(row, used(row))).collect();
        if lines.is_empty() {
            let none = "No access was asked for. SELECT firsthand.request_access('1h', 'read', 'why it is needed') asks.";
            return Ok(vec![[String::new(), "none".to_owned(), String::new(), none.to_owned()]]);
        }
        Ok(lines)
    }
}

/// Its state, in the word that people read.
#[must_use]
pub fn state_word(row: &Row, used: u64) -> &'static str {
    let over = row.stage.is_open() && row.ends <= wall().0;
    let used_up = parsed(row).get("commands").and_then(Value::as_u64).is_some_and(|most| used >= most);
    match row.stage {
        Stage::Asked if over => "expired",
        Stage::Given if over => "ended",
        Stage::Given if used_up => "used up",
        Stage::Asked => "asked",
        Stage::Given => "in force",
        Stage::Refused => "refused",
        // Nobody was asked for it any more, or its time is over: the record tells them apart.
        Stage::Expired => "over",
        Stage::Withdrawn => "revoked",
        Stage::Spent => "used up",
    }
}

/// The row that a session is answered: the id, the state, until when, and what to do next.
fn told(row: &Row, used: u64) -> [String; 4] {
    let state = state_word(row, used);
    let listed = parsed(row);
    let text = |key: &str| listed.get(key).and_then(Value::as_str).unwrap_or_default();
    let scope = scope_of(&listed);
    let what = format!("{} at {} for {}", scope::list(scope.effects), text("target"), text("lasts"));
    let left = scope.commands.map(|most| format!(", {} of {most} commands left", most.saturating_sub(used)));
    let next = match state {
        "asked" => {
            let groups: Vec<String> =
                wanted(row).iter().map(|w| format!("{} of {}", w.quorum, w.group)).collect();
            format!(
                "Asked: {what}. It waits for approval by {} (firsthand grants approve {}). SELECT firsthand.access_status() tells when \
                 it is given; nothing needs to be sent again.",
                groups.join(", "),
                row.id
            )
        }
        "in force" => format!("Given: {what}{}. Send your statements now.", left.unwrap_or_default()),
        "refused" if row.reason.is_empty() => format!("Refused: {what}."),
        "refused" => format!("Refused: {what}. The approver says: {}", row.reason),
        other => format!("It is {other}: {what}. More time is a new request."),
    };
    let until = if row.stage.is_open() { rfc3339(row.ends) } else { String::new() };
    [row.id.clone(), state.to_owned(), until, next]
}

fn rfc3339(us: u64) -> String {
    firsthand_auditlog::entry::moment::rfc3339(us)
}

fn unreadable(why: &str) -> Refusal {
    let text = format!(
        "Firsthand cannot read this: {why}. Write it like SELECT firsthand.request_access('2h', 'read,write', 'why it is needed')"
    );
    Refusal::new(RefusalKind::Unsupported, text)
        .hint("Arguments: duration, effects, reason, tables, commands; by place, or by name with =>.")
}

fn not_asked(e: &AskError) -> Refusal {
    let (kind, next) = match e {
        AskError::Unfit(why) => return unreadable(why),
        AskError::NoOffer(_) => (RefusalKind::Denied, "Ask the operator."),
        AskError::NobodyToAsk(_) => {
            (RefusalKind::Denied, "An operator lists its members in a [[group]] of the rules.")
        }
        AskError::TooMany => {
            (RefusalKind::Limit, "Use what is in force, or wait until something of it is over.")
        }
        AskError::NotRecorded(_) => return Refusal::not_recorded(),
        AskError::State(_) => {
            let text =
                "Firsthand cannot reach what it keeps of grants, so nothing was asked; try again later";
            return Refusal::new(RefusalKind::Unavailable, text).hint("The gateway's messages say more.");
        }
    };
    Refusal::new(kind, format!("Firsthand did not ask for access: {e}. {next}")).hint(next)
}

impl Grants for Approvals {
    fn covers(&self, session: &SessionFacts, command: &Command, now: UnixMicros) -> Option<Covering> {
        self.desk.in_force.book.load().covers(session, command, now.0)
    }

    fn at_opening(&self, session: &SessionFacts, now: UnixMicros) -> Option<Arc<str>> {
        self.desk.in_force.book.load().at_opening(session, now.0)
    }

    fn over(&self, id: &str, now: UnixMicros) -> Option<&'static str> {
        self.desk.in_force.book.load().over(id, now.0)
    }

    fn given_last(&self, session: &SessionFacts, now: UnixMicros) -> Option<Arc<str>> {
        self.desk.in_force.book.load().given_last(session, now.0)
    }

    fn end(&self, id: &str) -> Option<UnixMicros> {
        self.desk.in_force.book.load().get(id).map(|grant| UnixMicros(grant.ends))
    }

    fn left<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Option<u64>> {
        Box::pin(async move { timeout(STATE_MAX, self.commands_left(id)).await.ok()?.ok()? })
    }

    fn count<'a>(&'a self, id: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match timeout(STATE_MAX, self.counted(id)).await {
                Ok(Ok(counted)) => counted,
                Ok(Err(e)) => {
                    tracing::error!("a command of grant {id} was not counted: {e}");
                    false
                }
                Err(_) => false,
            }
        })
    }

    fn call<'a>(
        &'a self,
        session: &'a SessionFacts,
        number: CommandNumber,
        call: &'a AccessCall,
        target: Option<&'a Target>,
    ) -> BoxFuture<'a, Result<Told, Refusal>> {
        Box::pin(self.called(session, number, call, target))
    }
}
