//! Serves HTTP/1.1 over any stream, with limits: for the http listener (TCP, TLS) and for the admin socket (Unix).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

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

/// Bounds how many connections there are. Where there are as many as there may be, the oldest of those that have shown no
/// token makes room: who only holds connections must not keep probes and administrators out.
#[derive(Clone)]
pub(crate) struct Web {
    all: usize,
    each: usize,
    seats: Arc<Mutex<Seats>>,
}

/// The connections that are open, by their number, which grows.
#[derive(Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Seat>,
}

struct Seat {
    address: Option<IpAddr>,
    leave: Arc<Notify>,
    known: Known,
}

impl Seats {
    /// Closes the oldest of these that may be closed.
    fn make_room(&mut self, of: impl Fn(&Seat) -> bool) -> bool {
        let mut strangers = self.taken.iter().filter(|(_, seat)| !seat.known.is_set() && of(seat));
        let Some(oldest) = strangers.next().map(|(number, _)| *number) else { return false };
        if let Some(seat) = self.taken.remove(&oldest) {
            seat.leave.notify_one();
        }
        true
    }
}

/// Whether a connection has shown a token that holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<AtomicBool>);

impl Known {
    /// It has: it is not closed to make room.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Leave for one connection; ends when dropped.
pub(crate) struct Slot {
    web: Web,
    number: u64,
    leave: Arc<Notify>,
    /// Whether it has shown a token.
    pub(crate) known: Known,
    /// Another connection was closed for it.
    pub(crate) made_room: bool,
}

impl Slot {
    /// Told when the connection is to be closed, because another one needs its place.
    pub(crate) fn leave(&self) -> Arc<Notify> {
        Arc::clone(&self.leave)
    }
}

impl Web {
    /// So many at a time in all, and so many of one address.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all, each, seats: Arc::default() }
    }

    /// One more, of this address; `None`: there are as many as there may be, and all are of token holders.
    pub(crate) fn enter(&self, address: Option<IpAddr>) -> Option<Slot> {
        let address = address.map(place);
        let mut seats = self.seats();
        let of_it = |seat: &Seat| address.is_some() && seat.address == address;
        let mut made_room = false;
        if seats.taken.values().filter(|seat| of_it(seat)).count() >= self.each {
            made_room = seats.make_room(of_it);
            if !made_room {
                return None;
            }
        }
        if seats.taken.len() >= self.all {
            made_room = seats.make_room(|_| true);
            if !made_room {
                return None;
            }
        }
        let (number, leave, known) = (seats.next, Arc::new(Notify::new()), Known::default());
        seats.next += 1;
        seats.taken.insert(number, Seat { address, leave: Arc::clone(&leave), known: known.clone() });
        drop(seats);
        Some(Slot { web: self.clone(), number, leave, known, made_room })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection comes from: a network of IPv6 is one place, because its addresses cost nothing.
pub(crate) fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.web.seats().taken.remove(&self.number);
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
    let told = router.layer(Extension(busy.clone())).layer(Extension(slot.known.clone()));
    let service = TowerToHyperService::new(told);
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

    /// Whether it was told to leave.
    fn left(slot: &Slot) -> bool {
        let leave = slot.leave();
        let mut told = std::pin::pin!(leave.notified());
        told.as_mut().enable()
    }

    #[test]
    fn who_only_holds_connections_makes_room_for_others() {
        let web = Web::new(3, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = web.enter(Some(a)).unwrap();
        let second = web.enter(Some(a)).unwrap();
        assert!(!second.made_room);
        second.known.set();
        let third = web.enter(Some(a)).unwrap();
        assert!(third.made_room && left(&first) && !left(&second), "the oldest of that address");
        drop(first);
        let fourth = web.enter(Some(b)).unwrap();
        let fifth = web.enter(Some(b)).unwrap();
        assert!(fifth.made_room && left(&third) && !left(&fourth), "the oldest of all");
        third.known.set();
        fourth.known.set();
        fifth.known.set();
        assert!(web.enter(None).is_none(), "all of them have shown tokens");
        drop(fourth);
        assert!(web.enter(None).is_some_and(|slot| !slot.made_room));
    }

    #[test]
    fn networks_are_one_address() {
        let of = |text: &str| place(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), IpAddr::from([10, 0, 0, 1]));
    }
}
