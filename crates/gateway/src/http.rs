//! The HTTP listener: `/healthz` (the process answers), `/readyz` (it can serve, and if not, why), `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use firsthand_protocols::drive::stream::Phase;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::assemble::Gateway;
use crate::metrics;
use crate::web::{ACCEPT_REST, Web};

/// Serves until dropped: also while the gateway drains, so that probes see it.
pub(crate) async fn serve(listener: TcpListener, gateway: Arc<Gateway>, phase: watch::Receiver<Phase>) {
    let (router, web) = (router(gateway, phase), Web::new());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => web.serve(stream, router.clone()),
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept on the http listener; trying again");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn router(gateway: Arc<Gateway>, phase: watch::Receiver<Phase>) -> Router {
    let registry = Arc::new(metrics::registry(Arc::clone(&gateway)));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || ready(&gateway, *phase.borrow())))
        .route("/metrics", get(async move || metrics_page(&registry)))
}

/// Whether a load balancer should send clients here.
fn ready(gateway: &Gateway, phase: Phase) -> Response {
    let (log, health) = gateway.record.state();
    let draining = phase == Phase::Draining;
    let ready = log.word() == "ok" && !draining;
    let reason = match (draining, ready) {
        (true, _) => "the gateway is stopping".to_owned(),
        (false, false) => format!("the log is {}: {}", log.word(), log.reason()),
        (false, true) => String::new(),
    };
    let body = json!({
        "ready": ready,
        "reason": reason,
        "log": { "state": log.word(), "reason": log.reason(), "entries": health.durable,
                 "waiting": health.next.saturating_sub(health.durable), "warning": health.warning },
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
