//! Serves HTTP/1.1 over any stream, with limits: for health and metrics (TCP) and for the admin socket (Unix).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// Connections at a time on one of these listeners: probes, scrapers, administrators.
const CONNECTIONS_MAX: usize = 64;
/// Time for a request's head, and between two requests.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// A connection is not kept longer, whatever it does.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Rest after `accept` failed: the loop must not spin.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bounds how many connections there are.
#[derive(Clone)]
pub(crate) struct Web(Arc<Semaphore>);

impl Web {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS_MAX)))
    }

    /// Serves one connection on a task of its own; beyond the limit it is closed at once.
    pub(crate) fn serve<S>(&self, stream: S, router: Router)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let service = TowerToHyperService::new(router);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service);
            if let Ok(Err(e)) = tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
                tracing::debug!(error = %e, "an HTTP connection ended early");
            }
            drop(permit);
        });
    }
}
