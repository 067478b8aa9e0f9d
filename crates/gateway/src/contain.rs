//! Containing what has gone wrong: an identity, a target or a session. One act, recorded first: its sessions end, its tokens are
//! revoked, its open approvals are withdrawn, new sessions are refused, and its evidence is held until somebody lifts that. The
//! same for a gateway that runs and for a command line that has the data folder to itself.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firsthand_adapters::approvals::answer::plain;
use firsthand_adapters::clock::wall;
use firsthand_adapters::containment::{Contained, ContainmentError, NAME_BYTES_MAX, Of, STANDING_MAX};
use firsthand_adapters::identity::token::{State, Token};
use firsthand_adapters::record::kind_letter;
use firsthand_adapters::state::approvals::{Row, Vote};
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_model::event::By;
use firsthand_model::id::SessionId;
use firsthand_model::identity::IdentityKind;
use firsthand_protocols::drive::sessions::Handle;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::assemble::Gateway;
use crate::config::Config;
use crate::desk::{Desk, apart, no_token, token_leaf, token_payload};
use crate::failure::Failure;
use crate::reading::{unreadable, what};
use crate::rules::{Governing, WITHHELD};
use crate::who;

/// The longest reason.
const REASON_BYTES_MAX: usize = 2048;
/// How long the state of approvals may take. Nothing of it is spent by what is contained, whether they are withdrawn or not.
const APPROVALS_MAX: Duration = Duration::from_secs(5);
/// The beginning of a token's id, as names are that the command line shows.
const TOKEN_ID: &str = "tok-";

/// What is to be contained.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contain {
    /// What it is.
    pub(crate) of: Of,
    /// Its name, or the session's id.
    pub(crate) name: String,
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
}

/// How something is lifted.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lift {
    /// Why.
    #[serde(default)]
    pub(crate) reason: String,
    /// Its evidence is held on.
    #[serde(default)]
    pub(crate) keep_evidence: bool,
}

/// Who and what is hit.
struct Hit<'a> {
    keys: &'a KeyStore,
    of: Of,
    /// Its names: the one that was given, and the ids that the record shows.
    names: Vec<&'a str>,
}

impl Hit<'_> {
    fn by(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    fn token(&self, token: &Token) -> bool {
        let id = |kind, name: &str| self.by(name) || self.by(&self.keys.identity_id(kind_letter(kind), name));
        self.of == Of::Identity
            && (id(token.kind.identity(), &token.name)
                || id(IdentityKind::Token, &token.id)
                || token.signed_in.as_ref().is_some_and(|it| id(IdentityKind::Human, &it.person))
                || token.on_behalf_of.as_ref().is_some_and(|who| id(IdentityKind::Human, who)))
    }

    fn session(&self, handle: &Handle) -> bool {
        let facts = &handle.facts;
        match self.of {
            Of::Identity => facts.identity.chain.iter().any(|l| self.by(&l.name) || self.by(&l.id)),
            Of::Target => self.by(&facts.target),
            Of::Session => self.by(&facts.id.to_string()),
        }
    }

    /// By any name or id of the chain in which they approved.
    fn voter(&self, vote: &Vote) -> bool {
        let known: Vec<String> = serde_json::from_str(&vote.known).unwrap_or_default();
        self.by(&vote.person) || known.iter().any(|name| self.by(name))
    }

    /// What it asked for, and what it has approved.
    fn approval(&self, row: &Row, votes: &[Vote]) -> bool {
        let about: Value = serde_json::from_str(&row.about).unwrap_or_default();
        let is =
            |of: &Value, key: &str| of.get(key).and_then(Value::as_str).is_some_and(|text| self.by(text));
        let mut chain = about.get("chain").and_then(Value::as_array).into_iter().flatten();
        match self.of {
            Of::Identity => {
                chain.any(|link| is(link, "name") || is(link, "id")) || votes.iter().any(|v| self.voter(v))
            }
            Of::Target => is(&about, "target"),
            Of::Session => self.by(&row.session),
        }
    }
}

fn hit<'a>(keys: &'a KeyStore, one: &'a Contained) -> Hit<'a> {
    let names = one.ids.iter().chain([&one.name]).map(String::as_str).filter(|name| !name.is_empty());
    Hit { keys, of: one.of, names: names.collect() }
}

/// Contains it. `gateway`: the one that runs on this folder, with its sessions and approvals.
pub(crate) async fn contain(
    desk: &Desk,
    data: &Path,
    (gateway, rules): (Option<&Gateway>, Option<&Governing>),
    ask: Contain,
    by: &By,
) -> Result<Value, Failure> {
    check(&ask.name, &ask.reason)?;
    let ask = Contain { reason: said(rules, &ask.reason), ..ask };
    let _turn = desk.turn().await?;
    let one = begun(desk, data, gateway, ask, by).await?;
    let hit = hit(&desk.keys, &one);
    let tokens = tokens(desk, &hit);
    let ended = ended(desk, &tokens);
    let ends = |handle: &&Arc<Handle>| hit.session(handle) || came_by(handle, &ended);
    let running = gateway.map(|g| g.sessions.list()).unwrap_or_default();
    let sessions = running.iter().filter(ends).count();
    record(desk, &one, by, (sessions, &tokens)).await?;
    desk.contained.add(one.clone());
    // Again: some came since; those that come from now on look for themselves.
    let running = gateway.map(|g| g.sessions.list()).unwrap_or_default();
    running.iter().filter(ends).for_each(|handle| handle.contain(&one.id));
    let mut warnings = Vec::new();
    if let Err(e) = saved(desk).await {
        warnings.push(format!(
            "it is contained and recorded, and the file does not say so: {e}; the next start sees to that"
        ));
    }
    for token in &tokens {
        let (store, id) = (Arc::clone(&desk.tokens), token.id.clone());
        if let Err(failure) = apart(move || store.revoke(&id, wall())).await {
            let why = failure.messages.join("; ");
            warnings.push(format!(
                "token {} opens nothing and is not revoked in the file: {why}; the next start sees to that",
                token.name
            ));
        }
    }
    let open = match gateway {
        Some(gateway) => withdrawn(gateway, &one, by).await.map_err(|why| warnings.push(why)).ok(),
        None => None,
    };
    let (approvals, grants) = open.unzip();
    Ok(json!({
        "id": one.id, "of": one.of.word(), "name": one.name, "sessions": sessions, "tokens": tokens.len(),
        "approvals": approvals, "grants": grants, "warnings": warnings,
    }))
}

/// What is asked for, once it is known that it can be done.
async fn begun(
    desk: &Desk,
    data: &Path,
    gateway: Option<&Gateway>,
    ask: Contain,
    by: &By,
) -> Result<Contained, Failure> {
    let Contain { of, mut name, reason } = ask;
    if of == Of::Session {
        name = session(data, gateway, &name).await?;
    }
    let standing = desk.contained.list();
    if let Some(one) = standing.iter().find(|one| one.blocks && one.of == of && one.name == name) {
        let hint = format!("firsthand contain list shows it; firsthand contain lift {} lifts it", one.id);
        return Err(Failure::new(format!("{} {name} is contained already ({})", of.word(), one.id), hint));
    }
    if standing.len() >= STANDING_MAX {
        let hint = "firsthand contain lift ends those that are no longer needed";
        return Err(Failure::new(format!("{STANDING_MAX} containments stand, and no more may"), hint));
    }
    let ids = match of {
        Of::Identity if name.starts_with(TOKEN_ID) => vec![IdentityKind::Token],
        Of::Identity => vec![IdentityKind::Human, IdentityKind::Agent, IdentityKind::Service],
        Of::Target | Of::Session => Vec::new(),
    };
    let ids = ids.into_iter().map(|kind| desk.keys.identity_id(kind_letter(kind), &name)).collect();
    let (since, by) = (rfc3339(wall().0), by.link.name.clone());
    Ok(Contained { id: new_id()?, of, name, ids, since, by, reason, blocks: true })
}

/// A session by its whole id: one that runs, or one of the record, whose evidence is to be held.
async fn session(data: &Path, gateway: Option<&Gateway>, asked: &str) -> Result<String, Failure> {
    let unknown = || {
        let asked: String = asked.chars().take(64).collect();
        Failure::new(
            format!("there is no session `{asked}`"),
            "give its whole id: firsthand sessions list --json shows it",
        )
    };
    let id = SessionId::parse(asked).ok_or_else(unknown)?;
    let running = gateway.is_some_and(|g| g.sessions.list().iter().any(|handle| handle.facts.id == id));
    let data = data.to_owned();
    let known = move || {
        let reader = Reader::open(&data, Arc::new(RealIo::new())).map_err(|e| unreadable(&e))?;
        let query = Query::parse(&format!("session:{id}"), wall().0).map_err(|_| {
            Failure::new("the session's id cannot be searched for", "report this as a defect")
        })?;
        let mut search = Search::new(&reader, &query).map_err(|e| unreadable(&e))?;
        search.next().map(|found| found.is_some()).map_err(|e| unreadable(&e))
    };
    let known = match running {
        true => Ok(Ok(true)),
        false => tokio::task::spawn_blocking(known).await,
    };
    match known {
        Ok(Ok(true)) => Ok(id.to_string()),
        Ok(Ok(false)) => Err(unknown()),
        Ok(Err(failure)) => Err(failure),
        Err(_) => {
            Err(Failure::later("the record could not be searched", "the gateway's messages say more").there())
        }
    }
}

fn check(name: &str, reason: &str) -> Result<(), Failure> {
    no_token([name.to_owned(), reason.to_owned()].iter())?;
    let hint = "firsthand contain --help describes the arguments";
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let text = format!("a name has 1 to {NAME_BYTES_MAX} bytes, and no control characters");
        return Err(Failure::usage(text, hint));
    }
    if reason.len() > REASON_BYTES_MAX {
        return Err(Failure::usage(format!("the reason has more than {REASON_BYTES_MAX} bytes"), hint));
    }
    Ok(())
}

/// A reason as the record, the file and lists may have it: people cite what they have seen, as they do where they approve. Rules that
/// cannot be read keep nobody from containing something: then nothing of the reason is kept, because it cannot be looked through.
fn said(rules: Option<&Governing>, reason: &str) -> String {
    let plain = plain(reason);
    match rules {
        _ if plain.is_empty() => plain,
        Some(rules) => rules.veiled(&plain),
        None => WITHHELD.to_owned(),
    }
}

/// Those that hold and are hit.
fn tokens(desk: &Desk, hit: &Hit<'_>) -> Vec<Arc<Token>> {
    let now = wall();
    let tokens = desk.tokens.list();
    tokens.into_iter().filter(|token| token.state(now) == State::Valid && hit.token(token)).collect()
}

/// The ids of these tokens, and of those that came by exchange for one of them: they end with it.
fn ended(desk: &Desk, tokens: &[Arc<Token>]) -> HashSet<String> {
    let mut ids: HashSet<String> = tokens.iter().map(|token| token.id.clone()).collect();
    let all = desk.tokens.list();
    let shown = |token: &&Arc<Token>| token.shown().any(|it| it.issuer.is_none() && ids.contains(&it.token));
    let exchanged: Vec<String> = all.iter().filter(shown).map(|token| token.id.clone()).collect();
    ids.extend(exchanged);
    ids
}

/// Whether a session was let in by one of these tokens.
fn came_by(handle: &Handle, tokens: &HashSet<String>) -> bool {
    let chain = &handle.facts.identity.chain;
    chain.iter().any(|link| link.kind == IdentityKind::Token && tokens.contains(&link.name))
}

/// The entry of the act and those of the tokens that it revokes, durable together. Where they do not become so in time they may
/// yet, and nothing is done: then the record says that it was lifted.
async fn record(
    desk: &Desk,
    one: &Contained,
    by: &By,
    (sessions, tokens): (usize, &[Arc<Token>]),
) -> Result<(), Failure> {
    let counts = [("sessions", json!(sessions)), ("tokens", json!(tokens.len()))];
    let mut last = desk.queue("admin.contained", by, leaf(one, counts), payload(one, &one.reason))?;
    for token in tokens {
        last = desk.queue(
            "identity.token_revoked",
            by,
            revoked_leaf(desk, token, &one.id),
            token_payload(token),
        )?;
    }
    let durable = desk.durable(last).await;
    if durable.is_err() {
        let _ = desk.queue("admin.contain_lifted", by, leaf(one, []), payload(one, "it was not done"));
    }
    durable
}

/// As of any token that is revoked, and by what.
fn revoked_leaf(desk: &Desk, token: &Token, id: &str) -> firsthand_model::json::Json {
    let leaf = token_leaf(&desk.keys, token);
    let mut facts: Map<String, Value> = serde_json::from_slice(leaf.as_bytes()).unwrap_or_default();
    facts.insert("contained".to_owned(), json!(id));
    what(&Value::Object(facts))
}

fn leaf<const N: usize>(one: &Contained, more: [(&str, Value); N]) -> firsthand_model::json::Json {
    let mut facts = Map::new();
    let mut add = |key: &str, value: Value| facts.insert(key.to_owned(), value);
    add("contained", json!(one.id));
    add("of", json!(one.of.word()));
    match one.of {
        Of::Identity => add("ids", json!(one.ids)),
        Of::Target | Of::Session => add(one.of.word(), json!(one.name)),
    };
    for (key, value) in more {
        add(key, value);
    }
    what(&Value::Object(facts))
}

fn payload(one: &Contained, reason: &str) -> firsthand_model::json::Json {
    what(&json!({ "name": one.name, "reason": reason }))
}

/// Writes the file on a thread that may wait for a disk.
async fn saved(desk: &Desk) -> Result<(), String> {
    let contained = Arc::clone(&desk.contained);
    let saved: Result<Result<(), ContainmentError>, _> =
        tokio::task::spawn_blocking(move || contained.save()).await;
    saved.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

/// Withdraws its open approvals, and revokes its grants: how many of each; or why that is not done.
async fn withdrawn(gateway: &Gateway, one: &Contained, by: &By) -> Result<(u64, u64), String> {
    let hit = hit(&gateway.desk.keys, one);
    if !gateway.approvals.state().is_shared() && !gateway.data_dir().join("state.db").exists() {
        return Ok((0, 0));
    }
    let reason = format!("contained: {}", one.id);
    let withdrawing = gateway.approvals.withdraw_where(|row, votes| hit.approval(row, votes), by, &reason);
    let why = match timeout(APPROVALS_MAX, withdrawing).await {
        Ok(Ok(count)) => return Ok(count),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "the state does not answer".to_owned(),
    };
    Err(format!(
        "its open approvals are not withdrawn, nor its grants revoked: {why}; it can use none of them, and what it has approved is \
         withdrawn at this gateway when somebody would use it"
    ))
}

/// Lifts what stands under this id, or as the only one under this name.
pub(crate) async fn lift(
    desk: &Desk,
    rules: Option<&Governing>,
    asked: &str,
    how: &Lift,
    by: &By,
) -> Result<Value, Failure> {
    check(asked, &how.reason)?;
    let reason = said(rules, &how.reason);
    let _turn = desk.turn().await?;
    let one = standing(&desk.contained.list(), asked)?;
    let hold = how.keep_evidence;
    if hold && !one.blocks {
        let hint = "without --keep-evidence its evidence is released";
        return Err(Failure::new(format!("{} was lifted before, and its evidence is held", one.id), hint));
    }
    let held = if hold { json!(true) } else { Value::Null };
    let facts = if hold { leaf(&one, [("held", held)]) } else { leaf(&one, []) };
    desk.record("admin.contain_lifted", by, facts, payload(&one, &reason)).await?;
    let (contained, id) = (Arc::clone(&desk.contained), one.id.clone());
    let lifted = tokio::task::spawn_blocking(move || contained.lift(&id, hold)).await;
    let why = match lifted {
        Ok(Ok(())) => {
            return Ok(json!({ "id": one.id, "of": one.of.word(), "name": one.name, "held": hold }));
        }
        Ok(Err(e)) => e.to_string(),
        Err(e) => e.to_string(),
    };
    // The record takes back what was not done.
    let again = leaf(&one, [("sessions", json!(0)), ("tokens", json!(0))]);
    let _ = desk.queue(
        "admin.contained",
        by,
        again,
        payload(&one, "it was not lifted: its file cannot be written"),
    );
    Err(Failure::later(
        format!("it stays contained: {why}"),
        "check that the data folder can be written by this user",
    )
    .there())
}

fn standing(all: &[Contained], asked: &str) -> Result<Contained, Failure> {
    let found: Vec<&Contained> = all.iter().filter(|one| one.id == asked || one.name == asked).collect();
    only(&found, asked).cloned()
}

/// The only one of these.
pub(crate) fn only<'a, T: ?Sized>(found: &[&'a T], asked: &str) -> Result<&'a T, Failure> {
    match found {
        [one] => Ok(one),
        [] => Err(Failure::new(
            format!("nothing contained has the id or the name `{asked}`"),
            "firsthand contain list shows what is",
        )),
        _ => Err(Failure::new(
            format!("`{asked}` is contained more than once"),
            "give the id, as firsthand contain list shows it",
        )),
    }
}

/// A target that is not configured is a name that is mistyped.
pub(crate) fn known_target(config: &Config, name: &str) -> Result<(), Failure> {
    if config.targets.iter().any(|t| t.target.name == name) {
        return Ok(());
    }
    let names: Vec<&str> = config.targets.iter().map(|t| t.target.name.as_str()).collect();
    let name: String = name.chars().take(64).collect();
    Err(Failure::new(format!("there is no target `{name}`"), format!("targets: {}", names.join(", "))))
}

/// What stands, for a list.
pub(crate) fn list(desk: &Desk) -> Vec<Value> {
    let told = |one: Contained| {
        let state = if one.blocks { "contained" } else { "held" };
        json!({
            "id": one.id, "state": state, "of": one.of.word(), "name": one.name, "ids": one.ids,
            "since": one.since, "by": one.by, "reason": one.reason,
        })
    };
    desk.contained.list().into_iter().map(told).collect()
}

/// When a gateway starts: what stood when it was stopped in the middle of an act, or was contained while none ran, is seen to.
pub(crate) async fn take_up(gateway: &Gateway) {
    let (desk, by) = (&gateway.desk, who::own(&gateway.desk.keys));
    for one in desk.contained.list().into_iter().filter(|one| one.blocks) {
        let hit = hit(&desk.keys, &one);
        for token in tokens(desk, &hit) {
            let leaf = revoked_leaf(desk, &token, &one.id);
            let (store, id) = (Arc::clone(&desk.tokens), token.id.clone());
            let done = match desk.record("identity.token_revoked", &by, leaf, token_payload(&token)).await {
                Ok(()) => apart(move || store.revoke(&id, wall())).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = done {
                tracing::error!(
                    "token {} of {} is not revoked, and opens nothing: {failure}",
                    token.name,
                    one.id
                );
            }
        }
        if let Err(why) = withdrawn(gateway, &one, &by).await {
            tracing::error!("{}: {why}", one.id);
        }
    }
}

/// A name that people type.
fn new_id() -> Result<String, Failure> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 10];
    let filled = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Failure::later("there are no random bytes", "look at the system's messages"))?;
    let letter = |b: &u8| char::from(LETTERS.get(usize::from(*b) % LETTERS.len()).copied().unwrap_or(b'x'));
    Ok(format!("cn-{}", bytes.iter().map(letter).collect::<String>()))
}
