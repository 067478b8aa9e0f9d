//! Wires the ports together: from a configuration and an open data folder to a gateway that can listen.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use firsthand_adapters::approvals::Approvals;
use firsthand_adapters::clock::{SystemClock, wall};
use firsthand_adapters::containment::Containment;
use firsthand_adapters::credentials::{CredentialSpec, PasswordPlace, StaticCredentials};
use firsthand_adapters::dialer::DirectDialer;
use firsthand_adapters::identity::certificate::authorities::{Authorities, Ready};
use firsthand_adapters::identity::issuer::ring::Issuers;
use firsthand_adapters::identity::provider::TokenIdentity;
use firsthand_adapters::identity::providers::Providers;
use firsthand_adapters::identity::store::TokenStore;
use firsthand_adapters::identity::token::Pseudonym;
use firsthand_adapters::ids::Uuid7;
use firsthand_adapters::record::{Found, Record, kind_letter};
use firsthand_adapters::state::{State, URL_WANTED};
use firsthand_adapters::targets::TargetTable;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::lock::DataLock;
use firsthand_auditlog::reader::Place;
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::sign::default_origin;
use firsthand_auditlog::sign::keys::{KeysError, LogKeys};
use firsthand_model::identity::IdentityKind;
use firsthand_model::json::{Json, Object};
use firsthand_protocols::budget::Budget;
use firsthand_protocols::drive::half_open::HalfOpen;
use firsthand_protocols::drive::sessions::Sessions;
use firsthand_protocols::drive::stream::StreamServer;
use firsthand_protocols::drive::tls::ServerTls;
use firsthand_protocols::estimates::Estimates;
use firsthand_protocols::previews::Previews;
use firsthand_protocols::provisions::Provisions;
use firsthand_protocols::registry::stream_protocol;
use firsthand_session::Engine;
use firsthand_session::port::NoRoles;
use firsthand_session::tally::Tally;
use firsthand_session::usage::Usage;

use crate::agreement;
use crate::certificates;
use crate::channels::Channels;
use crate::config::{self, Config, Listener};
use crate::day;
use crate::desk::{Desk, store_failure};
use crate::failure::Failure;
use crate::fetch::Fetcher;
use crate::listen::{self, LinkTable};
use crate::place::{contained, lock_data, make_data_dir, open_record};
use crate::rules::{self, Governing};
use crate::shelf::Shelf;
use crate::signer::LogSigner;
use crate::warnings;
use crate::witnesses::Witnesses;

/// A gateway that is ready to listen.
pub(crate) struct Gateway {
    /// The configuration in force.
    pub(crate) config: ArcSwap<Config>,
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// The log.
    pub(crate) record: Arc<Record>,
    /// Who signs it.
    pub(crate) signer: LogSigner,
    /// Who cosigns what is signed.
    pub(crate) witnesses: Witnesses,
    /// Administrative acts.
    pub(crate) desk: Desk,
    /// What waits for people, and what they have said.
    pub(crate) approvals: Approvals,
    /// How people outside hear of that.
    pub(crate) channels: Arc<Channels>,
    /// The login roles that grants have of their own.
    pub(crate) provisions: Provisions,
    /// The sessions that run.
    pub(crate) sessions: Arc<Sessions>,
    /// One server per listener.
    pub(crate) servers: Vec<(Listener, Arc<StreamServer>)>,
    /// The certificate of the http listener; a reload replaces it.
    pub(crate) web_tls: ArcSwapOption<ServerTls>,
    /// Room for large messages.
    pub(crate) budget: Arc<Budget>,
    /// Since when.
    pub(crate) started: Instant,
    /// Where the entries of this run begin.
    pub(crate) began: Place,
    /// What was used earlier today is counted, or has been.
    pub(crate) counting: AtomicBool,
    /// Those whose tokens count besides Firsthand's own.
    pub(crate) issuers: Arc<Issuers>,
    /// Those behind client certificates.
    pub(crate) clients: Arc<Authorities>,
    targets: TargetTable,
    credentials: StaticCredentials,
    links: LinkTable,
    pub(crate) governing: Governing,
}

/// Opens the data folder and wires everything. Blocks on the disk.
///
/// # Errors
/// What is in the way, with what to do.
pub(crate) fn assemble(config: Config) -> Result<(Gateway, Found), Failure> {
    let links = LinkTable::default();
    links.replace(listen::links(&config)?);
    let (tls, clients) = (listener_tls(&config)?, certificates::ready(&config)?);
    let web_tls = ArcSwapOption::new(web_tls(&config)?.map(Arc::new));
    let governing = Governing::new(rules::load(&config)?);
    make_data_dir(&config.data_dir)?;
    let lock = lock_data(&config.data_dir)?;
    let (record, found, signer) = open_signed(&config, lock, &governing)?;
    let record = Arc::new(record);
    governing.tokens_with(record.keys().token_key());
    governing.keeps_on(Shelf::of(&config.data_dir));
    let tokens = Arc::new(TokenStore::open(&config.data_dir).map_err(store_failure)?);
    let contained = contained(&config.data_dir)?;
    let (targets, credentials) =
        (target_table(&config, &contained), StaticCredentials::read(&specs(&config)));
    let usage = if found.created { Usage::default() } else { Usage::to_be_counted() };
    let (identity, issuers, clients) = identities(&config, &record, &tokens, &contained, clients);
    let approvals = approvals(&record, Some(&config), &governing)?.heeding(&contained);
    let (channels, provisions) =
        (Channels::new(&config.channels, &approvals), Provisions::new(Arc::new(links.clone())));
    let engine = engine(&record, identity, &targets, &credentials, (&governing, approvals.clone()), &links);
    let engine = Arc::new(Engine { usage, roles: Box::new(provisions.clone()), ..engine });
    let (sessions, thinkers) = (Arc::new(Sessions::default()), Arc::default());
    let budget = Budget::new(config.limits.large_messages);
    let mut servers = Vec::new();
    for (listener, tls) in config.listeners.iter().zip(tls) {
        let Some(protocol) = stream_protocol(listener.protocol) else { continue };
        let server = StreamServer {
            engine: Arc::clone(&engine),
            protocol,
            limits: config.limits.clone(),
            tls: ArcSwapOption::new(tls.map(Arc::new)),
            links: Arc::new(links.clone()),
            learner: Arc::new(governing.clone()),
            sessions: Arc::clone(&sessions),
            thinkers: Arc::clone(&thinkers),
            budget: Arc::clone(&budget),
            half_open: HalfOpen::default(),
        };
        servers.push((listener.clone(), Arc::new(server)));
    }
    let desk = Desk::over(&record, tokens, contained);
    agreement::compare(&config.data_dir, &desk.tokens, &desk)?;
    let gateway = Gateway {
        witnesses: Witnesses::new(config.witnesses.clone()),
        began: Place { epoch: record.recorder().log().epoch(), position: found.entries },
        config: ArcSwap::from_pointee(config),
        engine,
        record,
        signer,
        desk,
        approvals,
        channels,
        provisions,
        sessions,
        servers,
        web_tls,
        budget,
        started: Instant::now(),
        counting: AtomicBool::new(false),
        issuers,
        clients,
        targets,
        credentials,
        links,
        governing,
    };
    Ok((gateway, found))
}

/// What waits for people, over a record that is open: kept where the configuration says, with the groups of its rules.
///
/// # Errors
/// When the connection string of a shared state cannot be read.
pub(crate) fn approvals(
    record: &Record,
    config: Option<&Config>,
    governing: &Governing,
) -> Result<Approvals, Failure> {
    let shared = config.and_then(|config| config.shared_state.as_ref());
    let state = match (shared, config) {
        (Some(place), _) => shared_state(place)?,
        (None, Some(config)) => State::in_folder(&config.data_dir),
        (None, None) => return Err(Failure::usage("approvals need a configuration", "give --config FILE")),
    };
    let key = record.keys().token_key();
    let (groups, veils) = (Arc::new(governing.clone()), governing.clone());
    let approvals = Approvals::new(state, record.recorder().clone(), key.as_slice(), groups);
    approvals.replace_signers(config.map(|config| config.signers.clone()).unwrap_or_default());
    Ok(approvals.veiling(Box::new(move |text| veils.veiled(text))))
}

/// The state in a PostgreSQL that gateways share; nothing is connected to.
///
/// # Errors
/// When its connection string cannot be read, or is none.
pub(crate) fn shared_state(place: &PasswordPlace) -> Result<State, Failure> {
    let url = place.read().map_err(|e| Failure::new(format!("[state]: {e}"), "see docs/config.md"))?;
    if State::is_url(url.expose()) {
        return Ok(State::shared(url.expose().to_owned()));
    }
    Err(Failure::new(config::state::NO_URL, URL_WANTED))
}

/// The certificate for each listener of a protocol, where there is one.
fn listener_tls(config: &Config) -> Result<Vec<Option<ServerTls>>, Failure> {
    let files = config.tls.as_ref();
    let of = |l: &Listener| files.map(|files| listen::certificate(config, files, l.protocol)).transpose();
    config.listeners.iter().map(of).collect()
}

/// The certificate of the http listener, where it listens and there is one.
fn web_tls(config: &Config) -> Result<Option<ServerTls>, Failure> {
    let files = config.tls.as_ref().filter(|_| config.http.is_some());
    files.map(|files| listen::web_certificate(config, files)).transpose()
}

fn engine(
    record: &Record,
    identity: Providers,
    targets: &TargetTable,
    credentials: &StaticCredentials,
    (governing, approvals): (&Governing, Approvals),
    links: &LinkTable,
) -> Engine {
    Engine {
        identity: Box::new(identity),
        policy: Box::new(governing.clone()),
        estimator: Box::new(Estimates::new(Arc::new(links.clone()))),
        previewer: Box::new(Previews::new(Arc::new(links.clone()))),
        approver: Box::new(approvals.clone()),
        grants: Box::new(approvals),
        roles: Box::new(NoRoles),
        credentials: Box::new(credentials.clone()),
        masker: Box::new(governing.clone()),
        recorder: record.recorder().clone(),
        dialer: Box::new(DirectDialer),
        targets: Box::new(targets.clone()),
        clock: Box::new(SystemClock::start()),
        ids: Box::new(Uuid7),
        failures: Mutex::default(),
        refused: Mutex::default(),
        tally: Tally::default(),
        usage: Usage::default(),
    }
}

/// All that can tell who somebody is, and of it what a reload replaces: those whose tokens count besides Firsthand's own, and the
/// authorities behind client certificates.
fn identities(
    config: &Config,
    record: &Record,
    tokens: &Arc<TokenStore>,
    contained: &Arc<Containment>,
    clients: Ready,
) -> (Providers, Arc<Issuers>, Arc<Authorities>) {
    let keys = Arc::clone(record.keys());
    let pseudonym: Arc<Pseudonym> =
        Arc::new(move |kind: IdentityKind, name: &str| keys.identity_id(kind_letter(kind), name));
    let (fetcher, clock) = (Box::new(Fetcher), Box::new(SystemClock::start()));
    let issuers = Issuers::new(config.issuers.clone(), fetcher, clock, Arc::clone(&pseudonym));
    let issuers = Arc::new(issuers);
    let tokens = TokenIdentity::new(Arc::clone(tokens), Arc::clone(&pseudonym));
    let clients = Arc::new(Authorities::new(clients, pseudonym));
    let all = (Arc::clone(&issuers), Arc::clone(&clients));
    (Providers::new(tokens, all.0, all.1, Arc::clone(contained)), issuers, clients)
}

/// The targets, and which of them are contained.
fn target_table(config: &Config, contained: &Arc<Containment>) -> TargetTable {
    let targets = config.targets.iter().map(|t| t.target.clone()).collect();
    TargetTable::new(targets).contained_by(Arc::clone(contained))
}

fn specs(config: &Config) -> Vec<(String, CredentialSpec)> {
    config.targets.iter().map(|t| (t.target.name.clone(), t.credential.clone())).collect()
}

/// Opens the log, and begins to sign it.
fn open_signed(
    config: &Config,
    lock: DataLock,
    governing: &Governing,
) -> Result<(Record, Found, LogSigner), Failure> {
    let mut keys = None;
    let (record, found) = open_record(&config.data_dir, lock, Vec::new(), |recovered| {
        let (made, signs) = log_keys(config, recovered)?;
        keys = Some(made);
        Ok(started_facts(config, &governing.version(), &signs))
    })?;
    let no_keys = || Failure::new("the log was opened without its keys", "report this as a defect");
    let signer =
        LogSigner::start(&record, &config.data_dir, keys.ok_or_else(no_keys)?, config.witnesses.policy())?;
    Ok((record, found, signer))
}

/// The keys that sign the log that was opened, and how they are called.
fn log_keys(config: &Config, log: &Recovered) -> Result<(LogKeys, Vec<String>), KeysError> {
    let origin = config.origin.clone().unwrap_or_else(|| default_origin(&log.log_id));
    let now = wall().0;
    let keys = LogKeys::open(&config.data_dir, &origin, Arc::new(RealIo::new()), now)?;
    let signing = keys.signing(log.epoch, now)?;
    Ok((keys, signing.iter().map(|key| key.verifying().to_vkey()).collect()))
}

fn started_facts(config: &Config, policy: &str, signs: &[String]) -> Json {
    let mut text = Vec::with_capacity(240);
    let mut o = Object::open(&mut text);
    o.string("by", "serve");
    o.string("config", &config.hash);
    o.string("policy", policy);
    o.string("separation", "none");
    o.strings("signs", signs);
    o.number("targets", u64::try_from(config.targets.len()).unwrap_or(u64::MAX));
    o.string("version", crate::VERSION);
    o.close();
    Json::from_written(text)
}

impl Gateway {
    /// Targets whose credential cannot be had now; they refuse until a reload finds it.
    pub(crate) fn missing_credentials(&self) -> Vec<String> {
        self.credentials.missing().into_iter().map(|(target, e)| format!("target {target}: {e}")).collect()
    }

    /// Whether a limit sums something up over a day.
    pub(crate) fn sums_days(&self) -> bool {
        self.governing.sums_days()
    }

    /// Version of the rules in force.
    pub(crate) fn policy_version(&self) -> Arc<str> {
        self.governing.version()
    }

    /// Reads the configuration and the tokens again: targets, credentials, certificates, rules. Everything is read before
    /// anything changes, so an error leaves all as it was. Whoever calls this has the turn of acts on tokens. Sessions that run keep what they were opened with. Returns what
    /// only a restart would change.
    ///
    /// # Errors
    /// What could not be read.
    pub(crate) fn reload(&self) -> Result<Vec<&'static str>, Failure> {
        let old = self.config.load_full();
        let new = Config::load(&old.file)?;
        let links = listen::links(&new)?;
        let rules = rules::load(&new)?;
        let clients = certificates::ready(&new)?;
        let mut certificates = Vec::new();
        for (listener, server) in &self.servers {
            let files = new.tls.as_ref();
            let tls = files.map(|files| listen::certificate(&new, files, listener.protocol)).transpose()?;
            certificates.push((server, tls));
        }
        let web_tls = web_tls(&new)?;
        let tokens = self.desk.tokens.read_again().map_err(store_failure)?;
        // It reads the log: others are served meanwhile.
        tokio::task::block_in_place(|| agreement::compare(&self.data_dir(), &tokens, &self.desk))?;
        self.desk.tokens.adopt(tokens);
        if let Some(tls) = web_tls {
            self.web_tls.store(Some(Arc::new(tls)));
        }
        for (server, tls) in certificates {
            // A certificate that is gone stays in force: listening in the clear instead would be no reload.
            if let Some(tls) = tls {
                server.tls.store(Some(Arc::new(tls)));
            }
        }
        self.governing.replace(rules);
        day::count(self);
        self.links.replace(links);
        self.credentials.replace(&specs(&new));
        self.channels.replace(&new.channels);
        self.approvals.replace_signers(new.signers.clone());
        self.issuers.replace(new.issuers.clone());
        self.clients.replace(clients);
        certificates::end_lapsed(self);
        self.targets.replace(new.targets.iter().map(|t| t.target.clone()).collect());
        let needs_restart = needs_restart(&old, &new);
        self.config.store(Arc::new(new));
        Ok(needs_restart)
    }

    /// What the configuration in force hardly means to let through, or to keep from happening.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.governing.with_compiled(|rules| warnings::all(&self.config.load(), rules))
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.config.load().data_dir.clone()
    }
}

fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let same_folder = |a: &Path, b: &Path| a == b;
    let checks = [
        ("data_dir", same_folder(&old.data_dir, &new.data_dir)),
        ("log", old.origin == new.origin),
        ("witness", old.witnesses == new.witnesses),
        ("state", format!("{:?}", old.shared_state) == format!("{:?}", new.shared_state)),
        ("listen", old.listeners == new.listeners && old.http == new.http),
        ("listen.tls (removed)", old.tls.is_none() || new.tls.is_some()),
        ("listen.proof", old.limits.ask_for_secret == new.limits.ask_for_secret),
        ("limits", format!("{:?}", old.limits) == format!("{:?}", new.limits)),
    ];
    checks.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
}
