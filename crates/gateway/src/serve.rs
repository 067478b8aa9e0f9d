//! `firsthand serve`: the gateway's process, from opening the data folder to a clean end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use firsthand_adapters::record::Found;
use firsthand_model::identity::{Link, Trust};
use firsthand_model::json::{Json, Object};
use firsthand_protocols::drive::stream::Phase;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::AdminSocket;
use crate::agreement;
use crate::api::Api;
use crate::api::acts::reload_as;
use crate::assemble::{Gateway, assemble};
use crate::cli::output::Output;
use crate::day;
use crate::failure::{Exit, Failure};
use crate::logging::{self, LogFormat};
use crate::place::Place;
use crate::{channels, contain, follow, http, own_roles, who, witnesses};

/// Silence of the log is broken this often, so that it can be proven that nothing happened.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// A wall clock that moves this much against the monotonic one was set, not merely corrected.
const CLOCK_STEP_US: u64 = 1_000_000;
/// How often the log's state is looked at.
const LOG_LOOK: Duration = Duration::from_millis(500);
/// Beyond the time that commands get to finish: for closing sessions, and then for those that were killed.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
/// Descriptors wanted: two per session, and some. The hard limit counts when it is lower.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// How messages on stderr look
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    log_format: LogFormat,
}

/// Runs the gateway until a signal ends it.
pub(crate) fn run(args: &ServeArgs, place: Place, _out: &Output) -> Result<Exit, Failure> {
    logging::start(args.log_format);
    wake_randomness();
    let Some(config) = place.config else {
        return Err(Failure::usage("serve needs a configuration", "give --config FILE"));
    };
    raise_descriptors();
    for warning in &config.warnings {
        let line = warning.line.map_or(String::new(), |l| format!(":{l}"));
        tracing::warn!("{}{line}: {}", config.file.display(), warning.what);
    }
    let runtime = runtime()?;
    // Before the log is opened: a signal that comes while it is must not end the process without closing it.
    let signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    let (gateway, found) = assemble(config)?;
    tell_found(found);
    for missing in gateway.missing_credentials() {
        tracing::warn!(
            "{missing}: it refuses sessions until a reload (SIGHUP) finds a file, or the gateway is started again with the variable"
        );
    }
    warn_of_channels(&gateway);
    warn_of_rules(&gateway);
    runtime.block_on(async {
        let running = Running::start(gateway).await?;
        tracing::info!("ready: {}", running.addresses().join(", "));
        running.until_told(signals).await;
        running.finish().await
    })?;
    Ok(Exit::Done)
}

fn warn_of_channels(gateway: &Gateway) {
    for missing in gateway.channels.missing() {
        tracing::warn!("{missing}: it is told nothing until a reload (SIGHUP) finds it");
    }
}

fn warn_of_rules(gateway: &Gateway) {
    for warning in gateway.warnings() {
        tracing::warn!("{warning}");
    }
}

/// The runtime of a gateway. Threads have deep stacks, because statements are parsed on them; they are virtual memory
/// until used.
///
/// One core is left to the log's writer: a thread more than cores makes every session pay for being moved about (measured
/// on two cores: a fifth of the processor time of a small query, and no more of them per second).
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(cores.saturating_sub(1).max(1))
        .enable_all()
        .thread_stack_size(firsthand_sql::STACK_BYTES)
        .thread_name("firsthand")
        .build()
        .map_err(|e| {
            Failure::new(format!("cannot start threads: {e}"), "check the limits of this process (ulimit)")
        })
}

/// The source of randomness measures the processor's own noise when it is first used, which takes tens of milliseconds:
/// done beside the reading of the log instead of after it.
fn wake_randomness() {
    std::thread::spawn(|| {
        // A failure shows again where random bytes are needed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut [0]);
    });
}

fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_WANTED, |most| most.min(DESCRIPTORS_WANTED));
    if limit.current.is_some_and(|now| now < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(e) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!("cannot raise the limit on open files to {wanted}: {e}");
        }
    }
}

fn tell_found(found: Found) {
    let Found { created, entries, crashed, cut_bytes, orphans, sessions } = found;
    if created {
        tracing::info!("a new log was made");
    } else if crashed {
        tracing::warn!(
            entries,
            cut_bytes,
            orphans,
            sessions,
            "the last run did not close the log; what it left open is recorded as abandoned"
        );
    } else {
        tracing::info!(entries, "the log was closed in order");
    }
}

/// The signals that a gateway listens for.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// A file that may not grow (`ulimit -f`): the write's error says so, and commands are refused as on a full disk.
    _too_large: Signal,
}

/// SIGXFSZ (signal(7)), for which there is no name.
const SIGXFSZ: i32 = 25;

impl Signals {
    /// From now on none of them ends the process by itself. Needs to be inside the runtime.
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            let cannot =
                |e| Failure::new(format!("cannot listen for signals: {e}"), "report this as a defect");
            signal(kind).map_err(cannot)
        };
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _too_large: listen(SignalKind::from_raw(SIGXFSZ))?,
        })
    }
}

/// A gateway that listens.
pub(crate) struct Running {
    gateway: Arc<Gateway>,
    phase: watch::Sender<Phase>,
    /// What must end before the log is closed.
    servers: JoinSet<()>,
    /// What serves until the end: HTTP, admin socket, watches.
    aside: JoinSet<()>,
    addresses: Vec<(String, SocketAddr)>,
}

impl Running {
    /// Binds every listener and accepts. A gateway that cannot closes its log in order: it was no crash.
    pub(crate) async fn start(gateway: Gateway) -> Result<Self, Failure> {
        let gateway = Arc::new(gateway);
        let listening = Self::listen(Arc::clone(&gateway)).await;
        if listening.is_err() {
            // What it could not listen on is what the operator must read, whatever else is wrong.
            let _ = close(&gateway).await;
        }
        listening
    }

    async fn listen(gateway: Arc<Gateway>) -> Result<Self, Failure> {
        let (phase, watching) = watch::channel(Phase::Serving);
        let (mut servers, mut aside, mut addresses) = (JoinSet::new(), JoinSet::new(), Vec::new());
        let mut bound = Vec::new();
        for (listener, server) in &gateway.servers {
            let socket = bind(listener.protocol, listener.address).await?;
            addresses.push((listener.protocol.to_owned(), local(&socket, listener.address)));
            bound.push((Arc::clone(server), socket));
        }
        let api = Arc::new(Api::new(Arc::clone(&gateway), watching.clone()));
        let wanted = gateway.config.load().http;
        if let Some(address) = wanted {
            let socket = bind("http", address).await?;
            addresses.push(("http".to_owned(), local(&socket, address)));
            aside.spawn(http::serve(socket, Arc::clone(&api), watching.clone()));
        }
        day::count(&gateway);
        follow::begin(&gateway).await;
        let data = gateway.data_dir();
        let admin = AdminSocket::bind(&data).map_err(|e| {
            Failure::new(
                format!("cannot listen on {}/admin.sock: {e}", data.display()),
                "check who may write in the data folder, and that its path has fewer than 90 characters",
            )
        })?;
        aside.spawn(admin.serve(api));
        let (agreeing, containing) = (Arc::clone(&gateway), Arc::clone(&gateway));
        // One after the other: what the second withdraws is no difference from the record.
        aside.spawn(async move {
            agreement::approvals::agree(agreeing).await;
            contain::take_up(&containing).await;
        });
        let sessions = Arc::clone(&gateway.sessions);
        let over = Arc::new(Notify::new());
        let heard = Arc::clone(&over);
        let tell = move || {
            sessions.list().iter().for_each(|handle| handle.look_at_grant());
            over.notify_one();
        };
        gateway.approvals.on_grants_over(Box::new(tell));
        aside.spawn(gateway.approvals.clone().keep_up());
        aside.spawn(own_roles::keep(Arc::clone(&gateway), heard));
        aside.spawn(channels::tell(Arc::clone(&gateway)));
        aside.spawn(heartbeat(Arc::clone(&gateway)));
        aside.spawn(watch_log(Arc::clone(&gateway)));
        aside.spawn(Arc::clone(&gateway.issuers).keep_fresh());
        aside.spawn(witnesses::keep_asking(Arc::clone(&gateway)));
        for (server, socket) in bound {
            servers.spawn(server.serve(socket, watching.clone()));
        }
        Ok(Self { gateway, phase, servers, aside, addresses })
    }

    /// Where it listens, for people.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.addresses.iter().map(|(what, address)| format!("{what} on {address}")).collect()
    }

    /// The address of a listener.
    pub(crate) fn address(&self, what: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(name, _)| name == what).map(|(_, address)| *address)
    }

    /// The gateway.
    pub(crate) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Reloads at SIGHUP; returns at SIGTERM or SIGINT.
    async fn until_told(&self, mut signals: Signals) {
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => self.reload().await,
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        tracing::info!(sessions = self.gateway.sessions.count(), "stopping: running commands may finish");
    }

    async fn reload(&self) {
        // Only this user and root can send the signal; which of them did, nobody checks.
        let link = who::link(&self.gateway.desk.keys, who::own_uid());
        let by = Link { trust: Trust::Claimed, ..link }.into();
        match reload_as(&self.gateway, &by).await {
            Ok(needs_restart) => {
                tracing::info!("reloaded");
                for what in needs_restart {
                    tracing::warn!("{what} has changed: it takes effect after a restart");
                }
                for missing in self.gateway.missing_credentials() {
                    tracing::warn!("{missing}");
                }
                warn_of_channels(&self.gateway);
                warn_of_rules(&self.gateway);
            }
            Err(failure) => {
                for message in &failure.messages {
                    tracing::error!("{message}");
                }
                tracing::error!("nothing was changed; hint: {}", failure.hint);
            }
        }
    }

    /// Stops accepting, lets commands finish, ends the sessions, closes the log.
    pub(crate) async fn finish(mut self) -> Result<(), Failure> {
        self.phase.send_replace(Phase::Draining);
        let drain = self.gateway.config.load().limits.time.drain;
        if timeout(drain + DRAIN_GRACE, ended(&mut self.servers)).await.is_err() {
            tracing::warn!("sessions did not end in time; they are ended now");
            self.gateway.sessions.list().iter().for_each(|handle| handle.kill());
            if timeout(DRAIN_GRACE, ended(&mut self.servers)).await.is_err() {
                tracing::error!("some sessions do not end; the next start will record that");
            }
        }
        self.aside.shutdown().await;
        own_roles::end_all(&self.gateway).await;
        close(&self.gateway).await?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Records the end and closes the log.
async fn close(gateway: &Arc<Gateway>) -> Result<(), Failure> {
    let closing = Arc::clone(gateway);
    let closed = tokio::task::spawn_blocking(move || {
        let closed = closing.record.close(stopped_facts());
        // What the closing wrote is signed, too.
        closing.signer.finish();
        closed
    })
    .await;
    let failed = |why: String| {
        Failure::new(
            format!("the log was not closed in order: {why}"),
            "look at the disk; the next start recovers it",
        )
    };
    closed.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

async fn ended(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|e| {
        Failure::new(
            format!("cannot listen for {what} on {address}: {e}"),
            "another process may have the port; change it in [listen]",
        )
    })
}

fn local(socket: &TcpListener, asked: SocketAddr) -> SocketAddr {
    socket.local_addr().unwrap_or(asked)
}

/// Breaks long silence in the log.
async fn heartbeat(gateway: Arc<Gateway>) {
    let mut tick = firsthand_protocols::drive::every(HEARTBEAT);
    let mut seen = u64::MAX;
    loop {
        tick.tick().await;
        let next = gateway.record.state().1.next;
        if next == seen {
            let mut text = Vec::with_capacity(40);
            let mut o = Object::open(&mut text);
            o.number("sessions", u64::try_from(gateway.sessions.count()).unwrap_or(u64::MAX));
            o.number("size", next);
            o.close();
            if let Err(e) = gateway.record.note("log.heartbeat", Json::from_written(text)) {
                tracing::error!("the log takes no heartbeat: {e}");
            }
        }
        seen = gateway.record.state().1.next;
    }
}

/// Says on stderr when the log's state changes: an operator who reads no health page must still hear of it.
async fn watch_log(gateway: Arc<Gateway>) {
    let mut tick = firsthand_protocols::drive::every(LOG_LOOK);
    let mut said = "ok";
    loop {
        tick.tick().await;
        note_clock_step(&gateway);
        let state = gateway.record.state().0;
        if state.word() == said {
            continue;
        }
        said = state.word();
        match said {
            "ok" => tracing::info!("the log is written again; commands are taken"),
            word => tracing::error!("the log is {word}: {}; commands are refused meanwhile", state.reason()),
        }
    }
}

/// A step of the wall clock is an entry: times before and after it cannot be compared.
fn note_clock_step(gateway: &Gateway) {
    let step = gateway.record.take_clock_step_us();
    if step < CLOCK_STEP_US {
        return;
    }
    let mut text = Vec::with_capacity(30);
    let mut o = Object::open(&mut text);
    o.number("step_us", step);
    o.close();
    if let Err(e) = gateway.record.note("log.clock", Json::from_written(text)) {
        tracing::error!("the log does not take the step of the clock: {e}");
    }
}

fn stopped_facts() -> Json {
    let mut text = Vec::with_capacity(20);
    let mut o = Object::open(&mut text);
    o.string("by", "serve");
    o.close();
    Json::from_written(text)
}
