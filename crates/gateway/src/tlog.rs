//! The log as others verify it: checkpoints, tiles and bundles over HTTP, as C2SP tlog-tiles has them. Read-only, and without
//! authentication: tools of that world have none, and leaves hold no personal data.
//!
//! A path is read as a tile, and the file's name is made from that: nothing of the request is joined to a path.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::sign::{cosigned, serve};
use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::tile::Tile;

use crate::assemble::Gateway;

/// Of a tile: the same for good.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";
/// Of a checkpoint: the next one comes within a second.
const NOT_KEPT: &str = "no-cache";

/// The routes.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/tlog/{epoch}/checkpoint", get(checkpoint))
        .route("/tlog/{epoch}/tile/{*rest}", get(tile))
        .with_state(Arc::clone(gateway))
}

/// An epoch as its folder is called: there is one spelling of each.
fn epoch(text: &str) -> Option<u64> {
    text.parse().ok().filter(|epoch: &u64| epoch.to_string() == text)
}

/// The newest checkpoint of an epoch, and its size.
fn newest(gateway: &Gateway, epoch: u64) -> io::Result<Option<(String, u64)>> {
    let now = gateway.signer.standing().newest.filter(|(newest, _)| newest.epoch == epoch);
    match now {
        Some((newest, _)) => Ok(Some((newest.note.clone(), newest.size))),
        // Of an epoch that is over.
        None => serve::checkpoint(&RealIo::new(), &gateway.data_dir(), epoch),
    }
}

/// The checkpoint that an epoch shows: the newest that enough witnesses have cosigned, once there is one, and else the newest. Who holds a policy
/// against it would not believe the other.
fn shown(gateway: &Gateway, epoch: u64) -> io::Result<Option<(String, u64)>> {
    let newest = newest(gateway, epoch)?;
    if epoch == gateway.record.recorder().log().epoch() {
        let cosigned = gateway.witnesses.cosigned(epoch);
        return Ok(cosigned.map(|cosigned| (cosigned.note.clone(), cosigned.size)).or(newest));
    }
    let note = cosigned::newest(&RealIo::new(), &gateway.data_dir(), epoch)?;
    // Of an epoch that is over, only where it is the end of it.
    let whole = note.filter(|note| {
        let said = Checkpoint::parse(note.text()).map(|said| said.size());
        said.is_ok_and(|size| newest.as_ref().is_none_or(|(_, newest)| size >= *newest))
    });
    Ok(whole.map(|note| (note.to_text(), 0)).or(newest))
}

/// Reads on a thread that may wait for the disk.
async fn answer<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<Option<T>> + Send + 'static,
    found: impl FnOnce(T) -> Response,
) -> Response {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(what))) => found(what),
        Ok(Ok(None)) => nothing(),
        Ok(Err(e)) => failed(&e.to_string()),
        Err(e) => failed(&e.to_string()),
    }
}

fn nothing() -> Response {
    (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, NOT_KEPT)], "not found\n").into_response()
}

fn failed(why: &str) -> Response {
    tracing::error!("a tile or checkpoint cannot be read: {why}");
    (StatusCode::INTERNAL_SERVER_ERROR, [(header::CACHE_CONTROL, NOT_KEPT)], "it cannot be read now\n")
        .into_response()
}

async fn checkpoint(State(gateway): State<Arc<Gateway>>, Path(asked): Path<String>) -> Response {
    let Some(epoch) = epoch(&asked) else { return nothing() };
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, NOT_KEPT)];
    answer(move || shown(&gateway, epoch), |(note, _)| (headers, note).into_response()).await
}

async fn tile(State(gateway): State<Arc<Gateway>>, Path((asked, rest)): Path<(String, String)>) -> Response {
    let Some(epoch) = epoch(&asked) else { return nothing() };
    let Ok(tile) = Tile::parse(&format!("tile/{rest}")) else { return nothing() };
    let headers = [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, FOR_GOOD)];
    let read = move || {
        let Some((_, size)) = newest(&gateway, epoch)? else { return Ok(None) };
        serve::tile(&RealIo::new(), &gateway.data_dir(), epoch, tile, size)
    };
    answer(read, |bytes| (headers, bytes).into_response()).await
}
