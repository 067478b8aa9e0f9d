//! `firsthand witness`: an independent cosigner of logs, as a process of its own: HTTP in, a cosignature or a refusal out.
//!
//! What it decides and how it remembers is `firsthand_auditlog::witness`; here are the configuration, the sockets and the limits.

mod settings;

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clap::Args;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::lock::DataLock;
use firsthand_auditlog::witness::answer::SIZE_TYPE;
use firsthand_auditlog::witness::memory::{AddError, OpenError, Witness};
use firsthand_auditlog::witness::request::MAX_REQUEST;
use firsthand_protocols::drive::tls::ServerTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::cli::output::Output;
use crate::failure::{Exit, Failure, only_for_its_owner};
use crate::listen;
use crate::logging::{self, LogFormat};
use crate::place::make_data_dir;
use crate::web::{self, ACCEPT_REST, HEAD_WAIT_MAX, Slot, Web};
use settings::Settings;

/// Connections at a time: logs hold one each, for a moment.
const CONNECTIONS_MAX: usize = 512;
/// Of one address.
const CONNECTIONS_OF_ADDRESS_MAX: usize = 64;
/// Time for a request's body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(10);
/// Refusals are told on stderr at most so often: strangers cause them, too.
const SAY: Duration = Duration::from_secs(1);

/// Arguments of `witness`.
#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// Print the verifier key, and end; makes the key where there is none yet
    #[arg(long)]
    show_key: bool,
    /// How messages on stderr look
    #[arg(long, value_enum, default_value = "human", value_name = "FORMAT")]
    log_format: LogFormat,
}

/// What answers.
struct Desk {
    witness: Witness,
    /// The disk is not believed any more: the process ends, and whoever watches it starts it again.
    over: Notify,
    said: Mutex<Option<Instant>>,
}

/// Runs the witness until a signal ends it.
pub(crate) fn run(args: &WitnessArgs, config: Option<&FilePath>, out: &Output) -> Result<Exit, Failure> {
    let file = config.ok_or_else(|| {
        Failure::usage("witness needs a configuration of its own", "give --config FILE (docs/witness.md)")
    })?;
    let settings = Settings::load(file)?;
    make_data_dir(&settings.data_dir)?;
    if args.show_key {
        return show_key(&settings, out);
    }
    logging::start(args.log_format);
    let tls = settings.tls.as_ref().map(listen::witness_certificate).transpose()?;
    let witness = open(&settings)?;
    for (origin, size) in witness.sizes() {
        tracing::info!("{origin}: {size} entries are cosigned");
    }
    let desk = Arc::new(Desk { witness, over: Notify::new(), said: Mutex::default() });
    runtime()?.block_on(serve(&settings, desk, tls))?;
    Ok(Exit::Done)
}

fn show_key(settings: &Settings, out: &Output) -> Result<Exit, Failure> {
    let known = Witness::key_of(&RealIo::new(), &settings.data_dir, &settings.name).map_err(failure)?;
    let vkey = match known {
        Some(vkey) => vkey,
        None => open(settings)?.vkey().clone(),
    };
    out.show(&serde_json::json!({ "name": settings.name, "vkey": vkey.to_vkey() }), || vkey.to_vkey());
    Ok(Exit::Done)
}

fn open(settings: &Settings) -> Result<Witness, Failure> {
    let lock = DataLock::acquire(&settings.data_dir).map_err(|e| failure(e.into()))?;
    let (io, watch) = (Arc::new(RealIo::new()), settings.watch.clone());
    Witness::open(io, &settings.data_dir, &settings.name, watch, Some(lock)).map_err(failure)
}

fn failure(e: OpenError) -> Failure {
    use firsthand_auditlog::keys::KeyError;
    let hint = match &e {
        OpenError::Lock(_) => "stop the other one, or give this one a data_dir of its own".to_owned(),
        OpenError::KeyFile(KeyError::Exposed { path, .. }) => only_for_its_owner(path),
        OpenError::Name { .. } => {
            "a key is used under one name only: set `name` back, or take another data_dir".to_owned()
        }
        OpenError::Gone(_) | OpenError::Damaged { .. } => {
            "restore it from a backup of this moment; an older one, or none, is a witness that has forgotten: then take a new data_dir, \
             and with it a new key"
                .to_owned()
        }
        _ => "look at the disk of data_dir".to_owned(),
    };
    Failure::new(format!("the witness cannot begin: {e}"), hint)
}

fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|e| {
        Failure::new(format!("cannot start threads: {e}"), "check the limits of this process (ulimit)")
    })
}

async fn serve(settings: &Settings, desk: Arc<Desk>, tls: Option<ServerTls>) -> Result<(), Failure> {
    let cannot = |e: std::io::Error| {
        Failure::new(
            format!("cannot listen on {}: {e}", settings.listen),
            "another process may have the port; change `listen`",
        )
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(cannot)?;
    let heard = |kind| {
        signal(kind)
            .map_err(|e| Failure::new(format!("cannot listen for signals: {e}"), "report this as a defect"))
    };
    let (mut terminate, mut interrupt) = (heard(SignalKind::terminate())?, heard(SignalKind::interrupt())?);
    let address = listener.local_addr().unwrap_or(settings.listen);
    let logs = desk.witness.watch().logs().len();
    tracing::info!("ready: witness of {logs} logs on {address}; key {}", desk.witness.vkey());
    tokio::select! {
        () = accept(&listener, &desk, tls) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = desk.over.notified() => {
            let why = desk.witness.over().unwrap_or_default();
            return Err(Failure::new(
                format!("what was cosigned may not be on disk: {why}"),
                "look at the disk; started again, it goes on from what is there",
            ));
        }
    }
    tracing::info!("stopped");
    Ok(())
}

async fn accept(listener: &TcpListener, desk: &Arc<Desk>, tls: Option<ServerTls>) {
    let (router, web) = (router(desk), Web::new(CONNECTIONS_MAX, CONNECTIONS_OF_ADDRESS_MAX));
    let tls = tls.map(|tls| TlsAcceptor::from(tls.config));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Where there are too many, the oldest makes room.
                let Some(slot) = web.enter(Some(peer.ip())) else { continue };
                let leave = slot.leave();
                let serving = connection(stream, peer, tls.clone(), router.clone(), slot);
                tokio::spawn(async move {
                    tokio::select! {
                        biased;
                        () = leave.notified() => {}
                        () = serving => {}
                    }
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot accept; trying again");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    slot: Slot,
) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return web::run(stream, router, slot).await };
    match timeout(HEAD_WAIT_MAX, tls.accept(stream)).await {
        Ok(Ok(stream)) => web::run(stream, router, slot).await,
        Ok(Err(e)) => tracing::debug!(%peer, error = %e, "no TLS"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

fn router(desk: &Arc<Desk>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/{hash}/checkpoint", get(newest))
        .route("/healthz", get(health))
        .with_state(Arc::clone(desk))
}

async fn health(State(desk): State<Arc<Desk>>) -> Response {
    match desk.witness.over() {
        None => "ok\n".into_response(),
        Some(_) => (StatusCode::INTERNAL_SERVER_ERROR, "it must be started again\n").into_response(),
    }
}

/// The newest checkpoint that was cosigned of a tree: for whoever wants to know what this witness has seen.
async fn newest(State(desk): State<Arc<Desk>>, Path(hash): Path<String>) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    match desk.witness.newest(&hash) {
        Some(note) => (headers, note).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing was cosigned of that\n").into_response(),
    }
}

async fn add(State(desk): State<Arc<Desk>>, body: Body) -> Response {
    let bytes = match timeout(BODY_WAIT_MAX, to_bytes(body, MAX_REQUEST)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return told(StatusCode::PAYLOAD_TOO_LARGE, "it breaks off, or is too large"),
        Err(_) => return told(StatusCode::REQUEST_TIMEOUT, "it did not come in time"),
    };
    let at = Arc::clone(&desk);
    // It waits for the disk.
    match tokio::task::spawn_blocking(move || at.witness.add(&bytes)).await {
        Ok(Ok(lines)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], lines).into_response(),
        Ok(Err(e)) => desk.refuse(&e),
        Err(e) => told(StatusCode::INTERNAL_SERVER_ERROR, &e.to_string()),
    }
}

fn told(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}

impl Desk {
    fn refuse(&self, e: &AddError) -> Response {
        let why = e.to_string();
        self.say(e, &why);
        let refusal = match e {
            AddError::Refused(refusal) => refusal,
            AddError::TooMany => return told(StatusCode::FORBIDDEN, &why),
            AddError::NotKept(_) => return told(StatusCode::SERVICE_UNAVAILABLE, "it cannot be kept now"),
            AddError::Over(_) => {
                self.over.notify_one();
                return told(StatusCode::INTERNAL_SERVER_ERROR, "this witness must be started again");
            }
            AddError::Cosign(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, &why),
        };
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
        match refusal.known() {
            Some(size) => (status, [(header::CONTENT_TYPE, SIZE_TYPE)], format!("{size}\n")).into_response(),
            None => told(status, &why),
        }
    }

    /// What an operator should hear of, now and then.
    fn say(&self, e: &AddError, why: &str) {
        // A log that goes on from another size is told it, and comes again: that is how it begins.
        let usual = matches!(e, AddError::Refused(refusal) if !refusal.accuses());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if usual || said.is_some_and(|at| at.elapsed() < SAY) {
            tracing::debug!("not cosigned: {why}");
            return;
        }
        *said = Some(Instant::now());
        tracing::error!("not cosigned: {why}");
    }
}
