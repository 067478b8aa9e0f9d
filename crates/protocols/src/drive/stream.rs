//! Listens for a byte-stream protocol: accepts, bounds what is half open, leads each connection to a session, runs it.
//! Sockets, TLS, time and limits are handled here, once for every such protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use firsthand_model::identity::ClientFacts;
use firsthand_session::{Engine, Refusal, RefusalKind, Wanted};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::half_open::{HalfOpen, TOLD_EVERY};
use super::line::Line;
use super::run::{Parts, run};
use super::sessions::{Handle, Sessions};
use super::thinkers::Thinkers;
use super::tls::ServerTls;
use crate::budget::Budget;
use crate::protocol::{Beginning, Begun, Learner, Links, ListenLimits, Ready, StreamProtocol};

/// Rest after `accept` failed for want of descriptors or memory: the loop must not spin, and soon tries again.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How long a cancel request may take to reach the target.
const CANCEL_TIME: Duration = Duration::from_secs(10);
/// How long a turned-away client is given to read why.
const TURN_AWAY_TIME: Duration = Duration::from_secs(2);
/// Idle time after which the kernel probes whether the other side still lives.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// One listener's server. Shared by its connections.
pub struct StreamServer {
    /// The engine.
    pub engine: Arc<Engine>,
    /// The protocol.
    pub protocol: Arc<dyn StreamProtocol>,
    /// Its limits.
    pub limits: ListenLimits,
    /// The certificate in force; a reload replaces it.
    pub tls: ArcSwapOption<ServerTls>,
    /// How targets are reached.
    pub links: Arc<dyn Links>,
    /// Who wants to know what databases define.
    pub learner: Arc<dyn Learner>,
    /// The sessions that run.
    pub sessions: Arc<Sessions>,
    /// Where large texts are read; one for all listeners.
    pub thinkers: Arc<Thinkers>,
    /// Room for large messages; one for all listeners.
    pub budget: Arc<Budget>,
    /// Connections not yet let in, oldest first.
    pub half_open: HalfOpen,
}

/// What the gateway is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Finishing what runs, accepting nothing.
    Draining,
}

impl StreamServer {
    /// Accepts until the phase is draining; then drains the sessions and returns when the last has ended.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut phase: watch::Receiver<Phase>) {
        let mut tasks = JoinSet::new();
        let mut number = 0u64;
        let mut tell = super::every(TOLD_EVERY);
        while *phase.borrow_and_update() == Phase::Serving {
            tokio::select! {
                _ = phase.changed() => {}
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        number += 1;
                        let server = Arc::clone(&self);
                        let (max, now) = (self.limits.handshakes, self.engine.clock.mono());
                        let dropped = self.half_open.enter(number, peer.ip(), max, now);
                        tasks.spawn(async move { server.connection(number, socket, peer, dropped).await });
                    }
                    Err(e) => {
                        tracing::warn!(error = %e, "cannot accept a connection; trying again");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                },
                Some(_) = tasks.join_next() => {}
                _ = tell.tick() => self.tell_refused(false),
            }
        }
        drop(listener);
        self.half_open.clear();
        self.sessions.drain();
        while tasks.join_next().await.is_some() {}
        self.tell_refused(true);
    }

    /// Connections that gave way, and refusals beyond the first ones, are told together (invariant 13).
    fn tell_refused(&self, all: bool) {
        self.engine.tell_refused(all);
        let now = self.engine.clock.mono();
        if let Some((count, words)) = self.half_open.take_dropped(self.limits.handshakes, now) {
            self.engine.record_dropped(count, words);
        }
    }

    async fn connection(
        self: Arc<Self>,
        number: u64,
        socket: TcpStream,
        peer: SocketAddr,
        dropped: oneshot::Receiver<()>,
    ) {
        let begun = tokio::select! {
            begun = Box::pin(self.begin(socket, peer)) => begun,
            _ = dropped => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "dropped: too many were half open")),
        };
        self.half_open.leave(number);
        match begun {
            Ok((line, Begun::Session(ready), client)) => self.session(line, *ready, client).await,
            Ok((mut line, Begun::Cancel(key), client)) => {
                let _ = tokio::time::timeout(CANCEL_TIME, self.cancel(&key, &client)).await;
                line.finish().await;
            }
            Ok((mut line, Begun::Ended, _)) => line.finish().await,
            Err(e) => tracing::debug!(%peer, error = %e, "a connection ended before it was let in"),
        }
    }

    async fn begin(&self, socket: TcpStream, peer: SocketAddr) -> io::Result<(Line, Begun, ClientFacts)> {
        socket.set_nodelay(true)?;
        let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
        socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
        let mut line = Line::new(Box::new(socket));
        let client = ClientFacts { address: peer.to_string(), ..ClientFacts::default() };
        if self.sessions.count() >= self.limits.sessions {
            self.limit_passed(&client, "as many sessions run as limits.sessions allows");
            let refusal = Refusal::new(
                RefusalKind::Limit,
                "Firsthand has as many sessions as it is allowed; try again later",
            );
            let away = self.protocol.turn_away(&mut line, &refusal);
            let _ = tokio::time::timeout(TURN_AWAY_TIME, away).await;
            return Ok((line, Begun::Ended, client));
        }
        let tls = self.tls.load_full();
        let with = Beginning {
            engine: &self.engine,
            tls: tls.as_deref(),
            allow_clear_text: peer.ip().is_loopback(),
            ask_for_secret: self.limits.ask_for_secret,
            client: client.clone(),
            links: &self.links,
            learner: &self.learner,
            budget: &self.budget,
            random: &random,
        };
        let begun = tokio::time::timeout(self.limits.startup, self.protocol.begin(&mut line, &with)).await;
        match begun {
            Ok(begun) => Ok((line, begun, client)),
            Err(_) => {
                self.limit_passed(&client, "it was not let in within limits.startup");
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    /// A connection ended at a limit of the listener: that is an entry (invariant 13), or one of a sum.
    fn limit_passed(&self, client: &ClientFacts, what: &str) {
        self.engine.record_refused(false, "limit", &Wanted::default(), client, what);
    }

    async fn session(&self, mut line: Line, ready: Ready, client: ClientFacts) {
        let Ready { session, dialect, target, greeting, cancel } = ready;
        let opened = self.engine.clock.now();
        let handle = Arc::new(Handle::new(Arc::clone(session.facts()), opened, client.address));
        let route = cancel.as_ref().map(|(_, route)| route.clone());
        let entered = self.sessions.enter(Arc::clone(&handle), cancel);
        // Whoever contains something ends the sessions in the list; this one may have come after that look.
        if self.engine.is_contained(session.facts()) {
            handle.contain("");
        }
        if self.engine.has_lapsed(session.facts()) {
            handle.lapse();
        }
        if self.engine.role_is_over(session.facts()).is_some() {
            handle.look_at_grant();
        }
        if let Err(e) = line.send(&greeting).await {
            session.close("client", e.to_string());
            return;
        }
        let (Some(client), client_input) = line.into_parts() else { return };
        let (Some(server), server_input) = target.into_parts() else { return };
        run(Parts {
            session,
            dialect,
            client: (client, client_input),
            server: (server, server_input),
            handle,
            limits: self.limits.time,
            thinkers: Arc::clone(&self.thinkers),
            cancel: route,
        })
        .await;
        drop(entered);
    }

    /// A cancel request is never answered; the connection is closed when it has been passed on.
    async fn cancel(&self, key: &[u8], client: &ClientFacts) {
        let Some(route) = self.sessions.cancel_route(key) else { return };
        if !route.canceller.cancel(&client.address) {
            (route.forward)().await;
        }
    }
}

/// Fills with random bytes. A failing source of randomness ends the process: nothing safe can be done without.
fn random(bytes: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "aws-lc's source fails only when the kernel has none; going on would be unsafe"
    )]
    aws_lc_rs::rand::fill(bytes).expect("the kernel gives random bytes");
}
