//! What is done and listed: tokens, sessions that run; and what commands on this machine have recorded. First the entry,
//! durable, then the act.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::{Extension, Json};
use firsthand_adapters::identity::token::NewToken;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_model::event::By;
use firsthand_model::id::SessionId;
use firsthand_model::json::{self as text, Object};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Api, Asked, Caller, READING_BYTES_MAX};
use crate::assemble::Gateway;
use crate::cli::token::{described, handed, targets};
use crate::evidence::Exporting;
use crate::failure::Failure;
use crate::place::{Asking, EXPORTED, reading_leaf};
use crate::reading::what;

pub(super) type Answered = Result<Json<Value>, Failure>;
type Of = State<Arc<Api>>;

/// How long who asks for an act waits for its end. Its entry and its turn have shorter limits; what is left is a file that is
/// written to a disk that hangs.
const ACT_WAIT_MAX: Duration = Duration::from_secs(18);

/// Does an act to its end, also where who asked for it has left or was answered meanwhile: what is recorded is done.
pub(super) async fn to_its_end(act: impl Future<Output = Answered> + Send + 'static) -> Answered {
    let failed = |_| Failure::later("the gateway failed while it did this", "its messages say more").there();
    let slow = |_| {
        Failure::later(
            "this is recorded and being done, and does not come to its end: the gateway's disk may hang",
            "look later whether it was done; the record says so where it was not",
        )
    };
    timeout(ACT_WAIT_MAX, tokio::spawn(act)).await.map_err(slow)?.map_err(failed)?
}

pub(super) async fn create_token(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(mut new): Asked<NewToken>,
) -> Answered {
    let config = api.gateway.config.load_full();
    new.targets = targets(new.targets, Some(&config), !new.roles.is_empty())?;
    to_its_end(async move {
        let created = api.gateway.desk.create_token(&new, &caller.by).await?;
        Ok(Json(json!(handed(&created, Some(&config)))))
    })
    .await
}

pub(super) async fn list_tokens(State(api): Of, Extension(caller): Extension<Caller>) -> Answered {
    let tokens = described(&api.gateway.desk.tokens);
    note_listing(&api, &caller, "token list", json!({ "tokens": tokens.len() })).await?;
    Ok(Json(json!({ "tokens": tokens })))
}

/// That something was listed over the network is an entry, too. On this machine its user can read it in the files.
pub(super) async fn note_listing(
    api: &Api,
    caller: &Caller,
    command: &str,
    listed: Value,
) -> Result<(), Failure> {
    if caller.identity.is_none() {
        return Ok(());
    }
    api.gateway.desk.record("record.read", &caller.by, reading_leaf(command), what(&listed)).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    token: String,
}

pub(super) async fn revoke_token(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(what): Asked<Revoke>,
) -> Answered {
    to_its_end(async move {
        let token = api.gateway.desk.revoke_token(&what.token, &caller.by).await?;
        Ok(Json(json!({ "id": token.id, "name": token.name })))
    })
    .await
}

pub(super) async fn list_sessions(State(api): Of, Extension(caller): Extension<Caller>) -> Answered {
    let sessions: Vec<Value> = api
        .gateway
        .sessions
        .list()
        .iter()
        .map(|handle| {
            let facts = &handle.facts;
            let chain = facts.identity.chain.iter();
            json!({
                "id": facts.id.to_string(), "login": facts.identity.login,
                "chain": chain.map(|l| json!({ "kind": l.kind.word(), "name": l.name, "trust": l.trust.word() }))
                    .collect::<Vec<_>>(),
                "target": facts.target, "database": facts.database, "role": facts.role,
                "pid": facts.backend_pid, "client": handle.client, "opened": rfc3339(handle.opened.0),
            })
        })
        .collect();
    note_listing(&api, &caller, "sessions running", json!({ "sessions": sessions.len() })).await?;
    Ok(Json(json!({ "sessions": sessions })))
}

pub(super) async fn kill_session(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    UrlPath(id): UrlPath<String>,
) -> Answered {
    let running = api.gateway.sessions.list();
    let handle = SessionId::parse(&id).and_then(|id| running.into_iter().find(|h| h.facts.id == id));
    let Some(handle) = handle else {
        return Err(Failure::new(
            format!("no session `{}` runs", id.chars().take(64).collect::<String>()),
            "firsthand sessions list shows those that do",
        ));
    };
    let mut leaf = Vec::with_capacity(60);
    let mut o = Object::open(&mut leaf);
    o.string("session", &handle.facts.id.to_string());
    o.close();
    let leaf = text::Json::from_written(leaf);
    let none = text::Json::default();
    to_its_end(async move {
        api.gateway.desk.record("admin.session_killed", &caller.by, leaf, none).await?;
        handle.kill();
        Ok(Json(json!({ "id": handle.facts.id.to_string() })))
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reading {
    command: String,
    what: Value,
}

pub(super) async fn note_reading(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(reading): Asked<Reading>,
) -> Answered {
    let length = reading.what.to_string().len();
    if length > READING_BYTES_MAX || reading.command.len() > 64 {
        return Err(Failure::usage("what is to be read takes too many words", "search for less at a time"));
    }
    let what = if reading.what.is_null() { text::Json::default() } else { what(&reading.what) };
    let leaf = reading_leaf(&reading.command);
    api.gateway.desk.record("record.read", &caller.by, leaf, what).await?;
    Ok(Json(json!({})))
}

pub(super) async fn note_export(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(exporting): Asked<Exporting>,
) -> Answered {
    let (leaf, detail) = (what(&exporting.leaf()), what(&exporting.detail()));
    api.gateway.desk.record(EXPORTED, &caller.by, leaf, detail).await?;
    Ok(Json(json!({})))
}

pub(super) async fn note_asking(
    State(api): Of,
    Extension(caller): Extension<Caller>,
    Asked(asking): Asked<Asking>,
) -> Answered {
    let none = text::Json::default();
    api.gateway.desk.record("admin.target_asked", &caller.by, asking.leaf(), none).await?;
    Ok(Json(json!({})))
}

/// Reloads, and records that it was done or that it failed.
pub(crate) async fn reload_as(gateway: &Gateway, by: &By) -> Result<Vec<&'static str>, Failure> {
    let reloaded = match gateway.desk.turn().await {
        Ok(_turn) => gateway.reload(),
        Err(failure) => Err(failure),
    };
    let mut leaf = Vec::with_capacity(160);
    let mut o = Object::open(&mut leaf);
    o.string("config", &gateway.config.load().hash);
    o.boolean("done", reloaded.is_ok());
    o.string("policy", &gateway.policy_version());
    o.close();
    let mut payload = Vec::new();
    if let Err(failure) = &reloaded {
        let mut o = Object::open(&mut payload);
        o.strings("errors", &failure.messages);
        o.close();
    }
    let (leaf, payload) = (text::Json::from_written(leaf), text::Json::from_written(payload));
    gateway.desk.record("admin.reloaded", by, leaf, payload).await?;
    reloaded
}
