//! The http listener: `/healthz` (the process answers), `/readyz` (it can serve, and if not, why), `/metrics`, the API under
//! `/v1/`, and the log's checkpoints and tiles under `/tlog/`. Where the gateway has a certificate, the same port takes TLS and clear text; the first byte tells which.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use firsthand_model::identity::ClientFacts;
use firsthand_protocols::drive::stream::Phase;
use firsthand_protocols::drive::tls::TlsFacts;
use firsthand_session::Wanted;
use serde_json::json;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::api::door::{self, Connection};
use crate::api::{Api, not_found};
use crate::assemble::Gateway;
use crate::metrics;
use crate::tlog;
use crate::web::{self, ACCEPT_REST, HEAD_WAIT_MAX, Slot, Web};

/// Connections at a time: probes, scrapers, administrators.
const CONNECTIONS_MAX: usize = 256;
/// Of one address: others must still get in.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 64;
/// The first byte of a TLS handshake; no method of HTTP begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes that the kernel takes of an answer before it has sent what it took earlier: what stands there is sent also when the
/// token has ended that let it out.
const UNSENT_BYTES: u32 = 16 << 10;
/// Idle time after which the kernel probes whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Serves until dropped: also while the gateway drains, so that probes see it.
pub(crate) async fn serve(listener: TcpListener, api: Arc<Api>, phase: watch::Receiver<Phase>) {
    let router = router(&api, phase);
    let web = Web::new(CONNECTIONS_MAX, CONNECTIONS_OF_ADDRESS_MAX);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match web.enter(Some(peer.ip())) {
                Some(slot) => {
                    if slot.made_room {
                        over_limit(&api, peer, "the oldest that had shown no token was closed for this one");
                    }
                    let leave = slot.leave();
                    let serving = connection(stream, peer, Arc::clone(&api), router.clone(), slot);
                    tokio::spawn(async move {
                        tokio::select! {
                            biased;
                            () = leave.notified() => {}
                            () = serving => {}
                        }
                    });
                }
                None => over_limit(&api, peer, "all of them have shown tokens, so this one was not taken"),
            },
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept on the http listener; trying again");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// As many HTTP connections are open as there may be, of this address or in all.
fn over_limit(api: &Api, peer: SocketAddr, what: &str) {
    let client = ClientFacts { address: peer.to_string(), ..ClientFacts::default() };
    let why = format!("as many HTTP connections are open as there may be, of this address or in all: {what}");
    api.gateway.engine.record_refused(false, "limit", &Wanted::default(), &client, &why);
}

fn set_up(stream: &TcpStream) {
    use rustix::net::sockopt;
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, KEEPALIVE);
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
}

async fn connection(stream: TcpStream, peer: SocketAddr, api: Arc<Api>, router: Router, slot: Slot) {
    set_up(&stream);
    let mut first = [0];
    match timeout(HEAD_WAIT_MAX, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return,
    }
    if first != [TLS_HANDSHAKE] {
        let config = api.gateway.config.load();
        let back = config.issuers.iter().filter_map(|issuer| issuer.sign_in.as_ref()?.redirect.as_deref());
        let https = back.into_iter().any(|url| url.starts_with("https://"));
        let from = Connection::new(peer, None).behind_tls(https);
        drop(config);
        return web::run(stream, router.layer(Extension(from)), slot).await;
    }
    let Some(tls) = api.gateway.web_tls.load_full() else { return };
    let accepted = timeout(HEAD_WAIT_MAX, TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream)).await;
    match accepted {
        Ok(Ok(stream)) => {
            let facts = TlsFacts::of_client(stream.get_ref().1);
            let from = Connection::new(peer, Some(facts.version)).showing(facts.client);
            web::run(stream, router.layer(Extension(from)), slot).await;
        }
        Ok(Err(e)) => tracing::debug!(%peer, error = %e, "no TLS on the http listener"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake on the http listener took too long"),
    }
}

fn router(api: &Arc<Api>, phase: watch::Receiver<Phase>) -> Router {
    let gateway = Arc::clone(&api.gateway);
    let registry = Arc::new(metrics::registry(Arc::clone(&gateway)));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&gateway, *phase.borrow())))
        .route("/metrics", get(async move || metrics_page(&registry)))
        .merge(door::guarded(api))
        .merge(Api::open(api))
        .merge(tlog::routes(&api.gateway))
        .fallback(not_found)
}

/// Whether a load balancer should send clients here.
fn ready(gateway: &Gateway, phase: Phase) -> Response {
    let (log, health) = gateway.record.state();
    let (signer, draining) = (gateway.signer.standing(), phase == Phase::Draining);
    let witnesses = gateway.witnesses.standing();
    let (written, signed, cosigned) = (log.word() == "ok", signer.is_ready(), witnesses.is_ready());
    let ready = written && signed && cosigned && !draining;
    let reason = match (draining, written, signed && cosigned) {
        (true, ..) => "the gateway is stopping".to_owned(),
        (_, false, _) => format!("the log is {}: {}", log.word(), log.reason()),
        (.., false) if !signed => format!("the log is not signed: {}", signer.reason),
        (.., false) => format!("the log is not cosigned: {}", witnesses.reason),
        _ => String::new(),
    };
    let newest = signer.newest.as_ref().map(|(newest, age)| {
        json!({ "epoch": newest.epoch, "size": newest.size, "age_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX) })
    });
    let body = json!({
        "ready": ready,
        "reason": reason,
        "log": { "state": log.word(), "reason": log.reason(), "entries": health.durable,
                 "waiting": health.next.saturating_sub(health.durable), "warning": health.warning },
        "signer": { "state": signer.word, "reason": signer.reason, "checkpoint": newest },
        "witnesses": witnesses.json(),
        "draining": draining,
        "sessions": gateway.sessions.count(),
        "version": crate::VERSION,
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(body)).into_response()
}

fn metrics_page(registry: &prometheus_client::registry::Registry) -> Response {
    let mut text = String::with_capacity(8 << 10);
    match prometheus_client::encoding::text::encode(&mut text, registry) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn little_stands_in_the_kernel_that_it_has_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        set_up(&stream);
        // What nobody reads is taken by the kernels of both sides up to here; without the limit it is some megabytes.
        let mut handed = 0;
        while let Ok(Ok(taken)) = timeout(Duration::from_millis(100), async {
            stream.writable().await?;
            stream.try_write(&[b'x'; 4096])
        })
        .await
        {
            handed += taken;
        }
        assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
        assert!(handed < 1 << 20, "{handed} bytes were taken");
        drop(client);
    }
}
