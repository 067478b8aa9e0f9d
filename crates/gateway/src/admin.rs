//! The admin socket, `data/admin.sock`: how the command line reaches the gateway that runs. A small API over a Unix socket
//! that only this user (and root) can open; the kernel says who asks, and every act is an entry.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use firsthand_adapters::identity::token::NewToken;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_model::id::SessionId;
use firsthand_model::identity::Link;
use firsthand_model::json::{self as text, Object};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};

use crate::assemble::Gateway;
use crate::cli::token::handed;
use crate::config;
use crate::failure::{Exit, Failure};
use crate::place::{Asking, reading_leaf};
use crate::web::{ACCEPT_REST, BODY_BYTES_MAX, Web};
use crate::who;

/// Name of the socket in the data folder.
pub(crate) const SOCKET: &str = "admin.sock";
/// What a reading says of itself.
pub(crate) const READING_BYTES_MAX: usize = 64 << 10;

/// A refusal as it goes over the socket.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) error: String,
    pub(crate) hint: String,
}

/// The socket, removed when dropped.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Listens. The data folder's lock is held, so a socket that is there was left by a crash.
    pub(crate) fn bind(data: &Path) -> io::Result<Self> {
        let path = data.join(SOCKET);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // Between bind and this the folder's own mode (0700) keeps others out, and each peer is checked anyway.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until dropped.
    pub(crate) async fn serve(self, gateway: Arc<Gateway>) {
        let (router, web) = (router(gateway), Web::new());
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match peer(&stream) {
                    Ok(uid) => web.serve(stream, router.clone().layer(Extension(Peer(uid)))),
                    Err(e) => tracing::warn!(error = %e, "turned away at the admin socket"),
                },
                Err(e) => {
                    tracing::warn!(error = %e, "cannot accept on the admin socket; trying again");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The user at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
struct Peer(u32);

fn peer(stream: &UnixStream) -> io::Result<u32> {
    let uid = stream.peer_cred()?.uid();
    if may_administer(uid, who::own_uid()) {
        return Ok(uid);
    }
    Err(io::Error::other(format!("user {uid} is neither root nor the user of this gateway")))
}

/// Who may administer: whoever could read and change the data folder anyway.
fn may_administer(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/v1/tokens", post(create_token))
        .route("/v1/tokens/revoke", post(revoke_token))
        .route("/v1/sessions", get(list_sessions))
        .route("/v1/sessions/{id}/kill", post(kill_session))
        .route("/v1/record/read", post(note_reading))
        .route("/v1/targets/asked", post(note_asking))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(gateway)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.exit {
            Exit::Usage => StatusCode::BAD_REQUEST,
            Exit::No | Exit::Done => StatusCode::CONFLICT,
        };
        let error = self.messages.join("; ");
        (status, Json(Answer { error, hint: self.hint })).into_response()
    }
}

type Answered = Result<Json<Value>, Failure>;
type Of = State<Arc<Gateway>>;

fn by(gateway: &Gateway, peer: Peer) -> Link {
    who::link(&gateway.desk.keys, peer.0)
}

async fn create_token(
    State(gateway): Of,
    Extension(peer): Extension<Peer>,
    Json(new): Json<NewToken>,
) -> Answered {
    {
        let config = gateway.config.load();
        let known: Vec<&str> = config.targets.iter().map(|t| t.target.name.as_str()).collect();
        if let Some(unknown) = new.targets.iter().find(|t| !known.contains(&t.as_str())) {
            let message = format!("the gateway has no target `{unknown}`");
            return Err(Failure::usage(message, config::nearest(unknown, &known)));
        }
    }
    let created = gateway.desk.create_token(&new, &by(&gateway, peer)).await?;
    Ok(Json(json!(handed(&created))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    token: String,
}

async fn revoke_token(
    State(gateway): Of,
    Extension(peer): Extension<Peer>,
    Json(what): Json<Revoke>,
) -> Answered {
    let token = gateway.desk.revoke_token(&what.token, &by(&gateway, peer)).await?;
    Ok(Json(json!({ "id": token.id, "name": token.name })))
}

async fn list_sessions(State(gateway): Of) -> Json<Value> {
    let sessions: Vec<Value> = gateway
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
    Json(json!({ "sessions": sessions }))
}

async fn kill_session(
    State(gateway): Of,
    Extension(peer): Extension<Peer>,
    UrlPath(id): UrlPath<String>,
) -> Answered {
    let running = gateway.sessions.list();
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
    gateway.desk.record("admin.session_killed", &by(&gateway, peer), leaf, none).await?;
    handle.kill();
    Ok(Json(json!({ "id": handle.facts.id.to_string() })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    command: String,
    what: Value,
}

async fn note_reading(
    State(gateway): Of,
    Extension(peer): Extension<Peer>,
    Json(reading): Json<Reading>,
) -> Answered {
    let what = reading.what.to_string().into_bytes();
    if what.len() > READING_BYTES_MAX || reading.command.len() > 64 {
        return Err(Failure::usage("what is to be read takes too many words", "search for less at a time"));
    }
    // serde_json's maps are sorted and it escapes no more than it must, so this is the record's form of JSON.
    let what = if reading.what.is_null() { text::Json::default() } else { text::Json::from_written(what) };
    let leaf = reading_leaf(&reading.command);
    gateway.desk.record("record.read", &by(&gateway, peer), leaf, what).await?;
    Ok(Json(json!({})))
}

async fn note_asking(
    State(gateway): Of,
    Extension(peer): Extension<Peer>,
    Json(asking): Json<Asking>,
) -> Answered {
    let none = text::Json::default();
    gateway.desk.record("admin.target_asked", &by(&gateway, peer), asking.leaf(), none).await?;
    Ok(Json(json!({})))
}

/// Reloads, and records that it was done or that it failed.
pub(crate) async fn reload_as(gateway: &Gateway, by: &Link) -> Result<Vec<&'static str>, Failure> {
    let reloaded = gateway.reload();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_and_root_may_administer() {
        assert!(may_administer(1000, 1000));
        assert!(may_administer(0, 1000));
        assert!(!may_administer(1001, 1000));
        assert!(!may_administer(65534, 0));
    }

    #[test]
    fn the_kernel_says_who_asks() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (a, _b) = UnixStream::pair().unwrap();
            assert_eq!(peer(&a).unwrap(), who::own_uid());
        });
    }

    #[test]
    fn the_socket_is_for_its_user_alone_and_goes_with_its_owner() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(SOCKET);
            std::fs::write(&path, "left by a crash").unwrap();
            let socket = AdminSocket::bind(dir.path()).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(socket);
            assert!(!path.exists());
        });
    }
}
