//! The keys of all issuers, kept fresh in the background: fetched ahead, so that who comes need not wait. Only for a key
//! that nobody has seen yet somebody waits a moment. Where an issuer cannot be reached its keys are used for a while.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use firsthand_model::identity::Identity;
use firsthand_model::time::{MonoMicros, UnixMicros};
use firsthand_session::port::{BoxFuture, Clock, IdentityError};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::claims::{self, Claims};
use super::fault::Fault;
use super::jws::Jws;
use super::keys::KeySet;
use super::spec::{IssuerSpec, KeysAt};
use super::strict;
use crate::identity::scram::sha256_hex;
use crate::identity::token::Pseudonym;

/// Keys are fetched again after this: a key that its issuer has withdrawn is believed for no longer.
const REFRESH: Duration = Duration::from_secs(600);
/// After a failure it is tried again after this.
const RETRY: Duration = Duration::from_secs(30);
/// Tokens with keys that nobody knows bring no more fetches than one in this time.
const UNKNOWN_REST: Duration = Duration::from_secs(10);
/// Keys are used for so long after they were last fetched: over a night without the issuer, not over a week.
const KEEP: Duration = Duration::from_secs(24 * 3600);
/// One fetch, both documents together.
const FETCH_TIME_MAX: Duration = Duration::from_secs(5);
/// How long who comes with an unknown key waits for a fetch: the whole of one.
const WAIT_MAX: Duration = Duration::from_secs(6);
/// How often is looked who is due.
const LOOK: Duration = Duration::from_secs(5);
/// A fingerprint names a token in the record.
const FINGERPRINT_CHARS: usize = 16;

/// Gets a document. It has limits on size and time of its own, follows no redirection, and its errors hold no secret.
pub trait Fetch: Send + Sync {
    /// The body of what is at this URL, trusting these authorities or the system's. Cancel-safe.
    fn fetch<'a>(&'a self, url: &'a str, ca: Option<&'a Path>) -> BoxFuture<'a, Result<Vec<u8>, String>>;
}

/// Keys as they were fetched.
struct Held {
    set: KeySet,
    at: MonoMicros,
}

#[derive(Default)]
struct Tries {
    /// When the last fetch began.
    last: Option<MonoMicros>,
    /// It runs.
    running: bool,
    /// It failed.
    failing: bool,
    /// Somebody came with a key that is not known.
    wanted: bool,
}

/// One issuer.
pub(super) struct Issuer {
    pub(super) spec: IssuerSpec,
    held: ArcSwapOption<Held>,
    tries: Mutex<Tries>,
    /// Fetches that have ended.
    ended: watch::Sender<u64>,
}

impl Issuer {
    fn new(spec: IssuerSpec) -> Self {
        Self { spec, held: ArcSwapOption::empty(), tries: Mutex::default(), ended: watch::Sender::new(0) }
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token's signature fits one of its keys.
    fn check(&self, jws: &Jws<'_>, now: MonoMicros) -> Result<(), Fault> {
        let looked = |keys: &KeySet| {
            let key = keys.find(jws.kid.as_deref(), jws.algorithm).ok_or(Fault::Key)?;
            if jws.is_signed_by(key) { Ok(()) } else { Err(Fault::Signature) }
        };
        if let KeysAt::File(keys) = &self.spec.keys {
            return looked(keys);
        }
        let held = self.held.load();
        let fresh = held.as_ref().filter(|held| now.since(held.at) <= micros(KEEP));
        looked(&fresh.ok_or(Fault::NoKeys)?.set)
    }

    /// Begins a fetch if one is due.
    fn begin(&self, now: MonoMicros) -> bool {
        if matches!(self.spec.keys, KeysAt::File(_)) {
            return false;
        }
        let mut tries = self.tries();
        let rest = match (tries.wanted, tries.failing) {
            (true, _) => UNKNOWN_REST,
            (false, true) => RETRY,
            (false, false) => REFRESH,
        };
        let due = tries.last.is_none_or(|last| now.since(last) >= micros(rest));
        let begins = due && !tries.running;
        if begins {
            *tries = Tries { last: Some(now), running: true, failing: tries.failing, wanted: false };
        }
        begins
    }

    /// What a fetch came to.
    fn end(&self, fetched: Result<KeySet, String>, now: MonoMicros) {
        let before = {
            let mut tries = self.tries();
            tries.running = false;
            std::mem::replace(&mut tries.failing, fetched.is_err())
        };
        let name = &self.spec.name;
        match fetched {
            Ok(set) => {
                if before {
                    tracing::info!("issuer {name}: its keys are fetched again");
                }
                self.held.store(Some(Arc::new(Held { set, at: now })));
            }
            Err(why) if !before => {
                let held = if self.held.load().is_some() {
                    "those it had are used for a day at most"
                } else {
                    "its tokens are refused"
                };
                tracing::warn!("issuer {name}: its keys cannot be fetched, {held}: {why}");
            }
            Err(_) => {}
        }
        self.ended.send_modify(|rounds| *rounds += 1);
    }
}

/// All issuers. A reload replaces them; one that stays the same keeps its keys.
pub struct Issuers {
    list: ArcSwap<Vec<Arc<Issuer>>>,
    fetch: Box<dyn Fetch>,
    clock: Box<dyn Clock>,
    pseudonym: Arc<Pseudonym>,
    due: Notify,
}

impl std::fmt::Debug for Issuers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuers").field("count", &self.list.load().len()).finish_non_exhaustive()
    }
}

impl Issuers {
    /// These issuers, without keys yet: [`Issuers::keep_fresh`] gets them.
    #[must_use]
    pub fn new(
        specs: Vec<IssuerSpec>,
        fetch: Box<dyn Fetch>,
        clock: Box<dyn Clock>,
        pseudonym: Arc<Pseudonym>,
    ) -> Self {
        let list = specs.into_iter().map(|spec| Arc::new(Issuer::new(spec))).collect();
        Self { list: ArcSwap::from_pointee(list), fetch, clock, pseudonym, due: Notify::new() }
    }

    /// Other issuers from now on.
    pub fn replace(&self, specs: Vec<IssuerSpec>) {
        let old = self.list.load_full();
        let same_keys = |a: &IssuerSpec, b: &IssuerSpec| (&a.url, &a.keys, &a.ca) == (&b.url, &b.keys, &b.ca);
        let list = specs.into_iter().map(|spec| {
            let before = old.iter().find(|issuer| same_keys(&issuer.spec, &spec));
            let issuer = Issuer::new(spec);
            issuer.held.store(before.and_then(|before| before.held.load_full()));
            Arc::new(issuer)
        });
        self.list.store(Arc::new(list.collect()));
        self.due.notify_one();
    }

    /// Whether there are any.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.list.load().is_empty()
    }

    /// Whether one has this name.
    pub(in crate::identity) fn is_named(&self, name: &str) -> bool {
        self.list.load().iter().any(|issuer| issuer.spec.name == name)
    }

    /// Fetches keys as they are due, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut fetches = JoinSet::new();
        loop {
            for issuer in self.list.load().iter() {
                if issuer.begin(self.clock.mono()) {
                    let (all, issuer) = (Arc::clone(&self), Arc::clone(issuer));
                    fetches.spawn(async move { all.renew(&issuer).await });
                }
            }
            tokio::select! {
                () = self.due.notified() => {}
                Some(_) = fetches.join_next() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn renew(&self, issuer: &Issuer) {
        let fetched = fetched(&*self.fetch, &issuer.spec).await;
        issuer.end(fetched, self.clock.mono());
    }

    /// Waits for the keys of a token's issuer, where it names one that is not known and a fetch may find it. Bounded.
    pub(in crate::identity) async fn wait_for_key(&self, token: &str) {
        let Some((issuer, mut ended)) = self.wants(token) else { return };
        self.due.notify_one();
        let known = async { while ended.changed().await.is_ok() && issuer.tries().running {} };
        let _ = timeout(WAIT_MAX, known).await;
    }

    /// The issuer to wait for.
    fn wants(&self, token: &str) -> Option<(Arc<Issuer>, watch::Receiver<u64>)> {
        let (jws, issuer) = self.read(token).ok()?;
        if matches!(issuer.spec.keys, KeysAt::File(_)) {
            return None;
        }
        claims::check(&issuer.spec, &issuer.spec.audience, &jws.claims, self.clock.now()).ok()?;
        let now = self.clock.mono();
        let ended = issuer.ended.subscribe();
        if !matches!(issuer.check(&jws, now), Err(Fault::Key | Fault::NoKeys)) {
            return None;
        }
        let mut tries = issuer.tries();
        let rests = tries.last.is_some_and(|last| now.since(last) < micros(UNKNOWN_REST));
        if rests && !tries.running {
            return None;
        }
        tries.wanted = !tries.running;
        drop(tries);
        Some((issuer, ended))
    }

    /// Takes a token apart and finds whose it says it is.
    fn read<'a>(&self, token: &'a str) -> Result<(Jws<'a>, Arc<Issuer>), Fault> {
        let list = self.list.load();
        let most = list.iter().map(|issuer| issuer.spec.max_bytes).max().ok_or(Fault::Issuer)?;
        if token.len() > most {
            return Err(Fault::Size);
        }
        let jws = Jws::read(token)?;
        let issuer = list.iter().find(|issuer| claims::is_of(&issuer.spec, &jws.claims));
        let issuer = issuer.ok_or(Fault::Issuer)?;
        if token.len() > issuer.spec.max_bytes {
            return Err(Fault::Size);
        }
        if !issuer.spec.algorithms.contains(&jws.algorithm) {
            return Err(Fault::Algorithm);
        }
        Ok((jws, Arc::clone(issuer)))
    }

    /// What a token says, whose signature fits; whether it holds is asked elsewhere.
    pub(super) fn signed<'a>(&self, token: &'a str) -> Result<(Jws<'a>, Arc<Issuer>), Fault> {
        let (jws, issuer) = self.read(token)?;
        issuer.check(&jws, self.clock.mono())?;
        Ok((jws, issuer))
    }

    /// Who a token names. `login`: the name that it was shown with, where it was.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::identity) fn identify(
        &self,
        token: &str,
        login: Option<&str>,
        now: UnixMicros,
    ) -> Result<Identity, Fault> {
        let (jws, issuer) = self.signed(token)?;
        let expires = claims::check(&issuer.spec, &issuer.spec.audience, &jws.claims, now)?;
        let identity = self.named(&issuer.spec, &jws, expires)?;
        if issuer.spec.login_is_name && login.is_some_and(|login| login != identity.login) {
            return Err(Fault::Login);
        }
        Ok(identity)
    }

    /// Whom the claims of a token name, which were found to hold.
    pub(super) fn named(
        &self,
        spec: &IssuerSpec,
        jws: &Jws<'_>,
        expires: UnixMicros,
    ) -> Result<Identity, Fault> {
        let digest = sha256_hex(jws.signed);
        let fingerprint = format!("sha256:{}", digest.get(..FINGERPRINT_CHARS).unwrap_or(&digest));
        claims::identity(spec, &jws.claims, expires, &fingerprint, &*self.pseudonym)
    }

    /// The issuer of this name.
    pub(super) fn of_name(&self, name: &str) -> Option<Arc<Issuer>> {
        self.list.load().iter().find(|issuer| issuer.spec.name == name).cloned()
    }

    /// What the configuration says of those that people sign in at.
    #[must_use]
    pub fn with_sign_in(&self) -> Vec<IssuerSpec> {
        let list = self.list.load();
        list.iter().filter(|issuer| issuer.spec.sign_in.is_some()).map(|issuer| issuer.spec.clone()).collect()
    }

    /// Whether the signature of an identity token fits a key of its issuer. It came from there just now, so nobody can bring a
    /// fetch about with one that was made up: a key that is not known is fetched at once.
    pub(super) async fn check_fresh(&self, issuer: &Issuer, jws: &Jws<'_>) -> Result<(), Fault> {
        match issuer.check(jws, self.clock.mono()) {
            Err(Fault::Key | Fault::NoKeys) if !matches!(issuer.spec.keys, KeysAt::File(_)) => {
                let set = fetched(&*self.fetch, &issuer.spec).await.map_err(|_| Fault::NoKeys)?;
                issuer.held.store(Some(Arc::new(Held { set, at: self.clock.mono() })));
                issuer.check(jws, self.clock.mono())
            }
            checked => checked,
        }
    }

    /// Whether an identity that an issuer vouched for still holds.
    pub(in crate::identity) fn recheck(
        &self,
        identity: &Identity,
        now: UnixMicros,
    ) -> Result<(), IdentityError> {
        if identity.expires.is_none_or(|end| end <= now) {
            return Err(IdentityError::Expired);
        }
        let named = identity.issuer.as_deref().is_some_and(|name| self.is_named(name));
        if named { Ok(()) } else { Err(Fault::Gone.into()) }
    }
}

/// The keys of an issuer, fetched now; also for `firsthand check`.
///
/// # Errors
/// Why there are none, for the operator.
pub async fn fetched(fetch: &dyn Fetch, spec: &IssuerSpec) -> Result<KeySet, String> {
    let ca = spec.ca.as_deref();
    let fetching = async {
        let url = match &spec.keys {
            KeysAt::File(keys) => return Ok(keys.clone()),
            KeysAt::Url(url) => url.clone(),
            KeysAt::Discovery => {
                let at = discovery_url(&spec.url);
                let document = fetch.fetch(&at, ca).await.map_err(|why| format!("{at}: {why}"))?;
                keys_url(&spec.url, &document).map_err(|why| format!("{at}: {why}"))?
            }
        };
        let set = fetch.fetch(&url, ca).await.map_err(|why| format!("{url}: {why}"))?;
        KeySet::read(&set).map_err(|why| format!("{url}: {why}"))
    };
    timeout(FETCH_TIME_MAX, fetching).await.unwrap_or_else(|_| Err("it does not answer in time".to_owned()))
}

/// Where the document of an issuer is.
pub(super) fn discovery_url(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// What an issuer says of itself: it must be of itself (a mix-up otherwise, RFC 9207 1).
pub(super) fn own_document(issuer: &str, document: &[u8]) -> Result<Claims, String> {
    let document: Claims = strict::object(document).ok_or("it is no JSON object")?;
    let said = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
    if said == issuer { Ok(document) } else { Err("it is the document of another issuer".to_owned()) }
}

/// Where the keys are, as the issuer's own document says.
fn keys_url(issuer: &str, document: &[u8]) -> Result<String, String> {
    let document = own_document(issuer, document)?;
    let url = document.get("jwks_uri").and_then(Value::as_str);
    let url = url.ok_or("it does not say where keys are (jwks_uri)")?;
    if issuer.starts_with("https://") && !url.starts_with("https://") {
        return Err("it says that keys are somewhere else than behind https".to_owned());
    }
    Ok(url.to_owned())
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
