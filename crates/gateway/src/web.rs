//! Serves HTTP/1.1 over any stream, with limits: for the http listener (TCP, TLS) and for the admin socket (Unix).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Time for a request's head, and between two requests.
pub(crate) const HEAD_WAIT_MAX: Duration = Duration::from_secs(10);
/// A connection is not kept longer, whatever it does, unless it reads the record.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Largest body of a request.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Rest after `accept` failed: the loop must not spin.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Bounds how many connections there are.
#[derive(Clone)]
pub(crate) struct Web {
    all: Arc<Semaphore>,
    each: usize,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Leave for one connection; ends when dropped.
pub(crate) struct Slot {
    web: Web,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

impl Web {
    /// So many at a time in all, and so many of one address.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, by_address: Arc::default() }
    }

    /// One more, of this address; `None`: there are as many as there may be.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Option<Slot> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let address = address.map(place);
        if let Some(address) = address {
            let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= self.each {
                return None;
            }
            *count += 1;
        }
        Some(Slot { web: self.clone(), address, _permit: permit })
    }
}

/// Where a connection comes from: a network of IPv6 is one place, because its addresses cost nothing.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.web.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

/// What keeps a connection beyond its time: a reading of the record that the client takes. One that it does not take
/// keeps nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy(Arc<AtomicBool>);

impl Busy {
    /// More of a reading was handed to the connection.
    pub(crate) fn goes_on(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it did since this was last asked.
    fn went_on(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Serves one connection to its end.
pub(crate) async fn run<S>(stream: S, router: Router, slot: Slot)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let busy = Busy::default();
    let service = TowerToHyperService::new(router.layer(Extension(busy.clone())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        match tokio::time::timeout(CONNECTION_TIME_MAX, connection.as_mut()).await {
            Ok(Ok(())) => break,
            Ok(Err(e)) => {
                tracing::debug!(error = %e, "an HTTP connection ended early");
                break;
            }
            Err(_) if busy.went_on() => {}
            Err(_) => break,
        }
    }
    drop(slot);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_kept_as_long_as_more_of_a_reading_is_taken() {
        let busy = Busy::default();
        assert!(!busy.went_on(), "it reads nothing");
        busy.clone().goes_on();
        // The reading may be over by now: what was handed over last is still on its way.
        assert!(busy.went_on());
        assert!(!busy.went_on(), "nothing was taken since");
    }

    #[test]
    fn one_address_cannot_take_all_connections() {
        let web = Web::new(3, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = web.enter(Some(a)).unwrap();
        let _second = web.enter(Some(a)).unwrap();
        assert!(web.enter(Some(a)).is_none());
        let third = web.enter(Some(b)).unwrap();
        assert!(web.enter(Some(b)).is_none(), "three in all");
        drop(first);
        let _again = web.enter(Some(a)).unwrap();
        drop(third);
        assert!(web.enter(None).is_some());
        assert_eq!(web.by_address.lock().unwrap().len(), 1, "who is gone is forgotten");
        let of = |text: &str| place(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), a);
    }
}
