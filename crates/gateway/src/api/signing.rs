//! People who are signing in: what is kept between the steps, what the issuer is asked, and the token that comes out. The gateway
//! talks with the issuer itself, so whoever signs in shows it nothing but that they wait: the identity token goes from the issuer to
//! the gateway, the client's secret stays here, and there is no word of a command line's to be believed.
//!
//! Strangers begin this, so all of it has a limit: how many wait, in all and of one address; how long; how many messages are under
//! way to issuers.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use firsthand_adapters::identity::exchange::GROUPS_BYTES_MAX;
use firsthand_adapters::identity::issuer::ring::Fetch as _;
use firsthand_adapters::identity::issuer::sign_in::{
    DeviceBegun, Endpoints, Errand, Given, Message, Proved, code_message, device_message, error_code,
    is_same, poll_message, random, slower,
};
use firsthand_adapters::identity::issuer::spec::{IssuerSpec, SignInSpec};
use firsthand_adapters::identity::token::{How, NewToken, Shown, SignedIn, TokenKind};
use firsthand_model::event::By;
use firsthand_model::identity::{ClientFacts, IdentityKind};
use firsthand_session::Wanted;
use firsthand_session::secret::Secret;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::Api;
use super::acts::to_its_end;
use crate::cli::token::{Handed, handed};
use crate::failure::Failure;
use crate::fetch::{Fetcher, send};
use crate::web::place;

/// People who sign in at a time.
const FLOWS_MAX: usize = 512;
/// Of one address: others must still find room.
const FLOWS_OF_ADDRESS_MAX: usize = 8;
/// Messages under way to issuers. Each takes 10 s at most.
const ASKING_MAX: usize = 16;
/// To one issuer: one that does not answer leaves room for the others.
const ASKING_OF_ISSUER_MAX: usize = 8;
/// Of one address, to all issuers: less than an issuer takes, so that whoever asks a slow one without end leaves room for others. Each
/// takes some ms at one that answers, so people of one house who sign in at the same moment find room all the same.
const ASKING_OF_ADDRESS_MAX: usize = 4;
/// How long a browser may be away at its issuer.
const BROWSER_TIME_MAX: Duration = Duration::from_secs(600);
/// Where an issuer takes what is asked of it again after this.
const ENDPOINTS_KEPT: Duration = Duration::from_secs(600);
/// An issuer that does not answer while somebody waits is asked so often, each time after twice as long (RFC 8628 3.5).
const SILENT_MAX: u32 = 4;
/// Longest code that a browser brings.
const CODE_BYTES_MAX: usize = 4096;

/// All that is kept.
pub(super) struct Signing {
    flows: Mutex<Flows>,
    endpoints: Mutex<HashMap<String, (Instant, Arc<Endpoints>)>>,
    asking: Asking,
}

impl Default for Signing {
    fn default() -> Self {
        Self { flows: Mutex::default(), endpoints: Mutex::default(), asking: Asking::new() }
    }
}

/// Messages under way.
struct Asking {
    all: Arc<Semaphore>,
    /// By the issuer's URL.
    of_issuer: Shares<String>,
    /// By where whoever waits for them comes from; those without an address are one.
    of_address: Shares<Option<IpAddr>>,
}

/// So many for each of these.
struct Shares<K> {
    most: usize,
    /// Those that have none under way are let go.
    each: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    fn new(most: usize) -> Self {
        Self { most, each: Mutex::default() }
    }

    /// One more; `None`: it has all that it may have.
    fn one(&self, of: K) -> Option<OwnedSemaphorePermit> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.retain(|_, it| it.available_permits() < self.most);
        let share = each.entry(of).or_insert_with(|| Arc::new(Semaphore::new(self.most)));
        Arc::clone(share).try_acquire_owned().ok()
    }
}

/// Leave to send one.
struct Place {
    _all: OwnedSemaphorePermit,
    _of_issuer: OwnedSemaphorePermit,
    _of_address: OwnedSemaphorePermit,
}

impl Asking {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ASKING_MAX)),
            of_issuer: Shares::new(ASKING_OF_ISSUER_MAX),
            of_address: Shares::new(ASKING_OF_ADDRESS_MAX),
        }
    }

    /// `None`: as many as may be are under way, of this address, to this issuer or to all.
    fn place(&self, url: &str, from: Option<IpAddr>) -> Option<Place> {
        let of_address = self.of_address.one(from)?;
        let of_issuer = self.of_issuer.one(url.to_owned())?;
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { _all: all, _of_issuer: of_issuer, _of_address: of_address })
    }
}

struct Flows<S = Step> {
    next: u64,
    /// By what whoever began it has in hand, and nobody can guess.
    all: HashMap<String, Flow<S>>,
}

impl<S> Default for Flows<S> {
    fn default() -> Self {
        Self { next: 0, all: HashMap::new() }
    }
}

/// Somebody who is signing in.
struct Flow<S> {
    number: u64,
    from: Option<IpAddr>,
    ends: Instant,
    step: S,
}

#[derive(Clone)]
enum Step {
    Device(Arc<Device>),
    Browser(Arc<Browser>),
}

/// With a code that is typed in elsewhere.
struct Device {
    at: Provider,
    code: Secret,
    pace: tokio::sync::Mutex<Pace>,
}

struct Pace {
    interval: Duration,
    next: Instant,
    silent: u32,
}

/// In a browser.
struct Browser {
    at: Provider,
    errand: Errand,
    /// What only the browser has that was sent.
    cookie: Secret,
    redirect: String,
}

/// An issuer as it was when somebody began.
#[derive(Clone)]
struct Provider {
    issuer: IssuerSpec,
    sign_in: SignInSpec,
    secret: Option<Secret>,
    endpoints: Arc<Endpoints>,
}

impl<S: Clone> Flows<S> {
    /// Where there are as many as there may be, the oldest gives way: of that address, or of all.
    fn add(&mut self, key: String, from: Option<IpAddr>, (now, life): (Instant, Duration), step: S) {
        let ends = now + life;
        self.all.retain(|_, flow| flow.ends > now);
        // Those without an address are one, too.
        let of_it = |flow: &Flow<S>| flow.from == from;
        if self.all.values().filter(|flow| of_it(flow)).count() >= FLOWS_OF_ADDRESS_MAX {
            self.drop_oldest(of_it);
        }
        if self.all.len() >= FLOWS_MAX {
            self.drop_oldest(|_| true);
        }
        self.next += 1;
        self.all.insert(key, Flow { number: self.next, from, ends, step });
    }

    fn drop_oldest(&mut self, of: impl Fn(&Flow<S>) -> bool) {
        let oldest = self.all.iter().filter(|(_, flow)| of(flow)).min_by_key(|(_, flow)| flow.number);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.all.remove(&key);
        }
    }

    fn find(&self, key: &str, now: Instant) -> Option<S> {
        let flow = self.all.get(key).filter(|flow| flow.ends > now);
        flow.map(|flow| flow.step.clone())
    }
}

/// What somebody who waits is told.
pub(super) enum Waited {
    /// To ask again after this.
    Pending(Duration),
    /// Done.
    Done(Box<Made>),
}

/// The token of somebody who has signed in.
pub(super) struct Made {
    /// NAME:SECRET.
    pub(super) token: Secret,
    pub(super) person: String,
    pub(super) expires: String,
    pub(super) life: Duration,
    /// All that the command line is told.
    pub(super) answer: Value,
}

/// What the command line is told.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    handed: Handed,
    person: String,
    issuer: String,
    groups: Vec<String>,
}

/// Where a browser is sent, and what it must bring back beside.
pub(super) struct Sent {
    pub(super) url: String,
    pub(super) cookie: Secret,
    pub(super) within: Duration,
}

/// Who asks: to be recorded, and to be held to limits.
#[derive(Clone)]
pub(super) struct Asker {
    client: ClientFacts,
}

impl Asker {
    pub(super) fn new(client: &ClientFacts) -> Self {
        Self { client: ClientFacts { method: "sign-in", ..client.clone() } }
    }

    fn place(&self) -> Option<IpAddr> {
        self.client.address.parse::<SocketAddr>().ok().map(|address| place(address.ip()))
    }
}

/// Where people can sign in, by name.
pub(super) fn issuers(api: &Api) -> Vec<Value> {
    let all = api.gateway.issuers.with_sign_in();
    let browser = |spec: &IssuerSpec| spec.sign_in.as_ref().is_some_and(|it| it.redirect.is_some());
    all.iter().map(|spec| json!({ "name": spec.name, "url": spec.url, "browser": browser(spec) })).collect()
}

/// Begins with a code to be typed in elsewhere.
pub(super) async fn begin_device(api: &Api, name: &str, asker: &Asker) -> Result<Value, Failure> {
    let at = provider(api, name, asker).await?;
    let Some(url) = &at.endpoints.device else {
        let what = format!(
            "the issuer {name} does not let people sign in with a code (it has no device_authorization_endpoint)"
        );
        return Err(Failure::new(
            what,
            "sign in with a browser, or let its administrator allow the device flow",
        ));
    };
    let message = device_message(&at.sign_in, &at.endpoints, at.secret.as_ref());
    let asking = api.signing.asking.place(&at.issuer.url, asker.place()).ok_or_else(busy)?;
    let answer = asked(asking, &at, url, &message).await;
    let (status, body) = answer.map_err(|why| silent(api, asker, name, &why))?;
    let begun =
        DeviceBegun::read(&at.issuer.url, status, &body).map_err(|why| broken(api, asker, name, &why))?;
    let handle = random().map_err(|e| Failure::later(e.to_string(), "try again"))?;
    let answer = json!({
        "login": handle.expose(), "issuer": name, "user_code": begun.user_code,
        "verification_uri": begun.verification_uri,
        "verification_uri_complete": begun.verification_uri_complete,
        "expires_in": begun.expires.as_secs(), "interval": begun.interval.as_secs(),
    });
    let (now, interval) = (Instant::now(), begun.interval);
    let pace = tokio::sync::Mutex::new(Pace { interval, next: now + interval, silent: 0 });
    let step = Step::Device(Arc::new(Device { at, code: begun.device_code, pace }));
    api.signing.flows().add(handle.expose().to_owned(), asker.place(), (now, begun.expires), step);
    Ok(answer)
}

/// Looks whether the code was typed in. The issuer is asked no more often than it wants.
pub(super) async fn poll_device(
    api: &Arc<Api>,
    name: &str,
    handle: &str,
    asker: &Asker,
) -> Result<Waited, Failure> {
    let device = match api.signing.flows().find(handle, Instant::now()) {
        Some(Step::Device(device)) if device.at.issuer.name == name => device,
        _ => {
            let hint = "firsthand login begins anew";
            return Err(Failure::new(
                "nobody waits by that name for a code to be typed in: its time is over, or it was used",
                hint,
            ));
        }
    };
    let Ok(mut pace) = device.pace.try_lock() else { return Ok(Waited::Pending(Duration::from_secs(1))) };
    let now = Instant::now();
    if now < pace.next {
        return Ok(Waited::Pending(pace.next - now));
    }
    let at = &device.at;
    let Some(asking) = api.signing.asking.place(&at.issuer.url, asker.place()) else {
        return Ok(Waited::Pending(pace.interval));
    };
    let message = poll_message(&at.sign_in, &at.endpoints, at.secret.as_ref(), &device.code);
    let given = match asked(asking, at, &at.endpoints.token, &message).await {
        Ok((status, body)) => {
            pace.silent = 0;
            Given::read(status, &body)
        }
        Err(why) => {
            pace.silent += 1;
            if pace.silent >= SILENT_MAX {
                api.signing.end(handle);
                return Err(silent(api, asker, name, &why));
            }
            pace.interval = slower(pace.interval * 2);
            Given::Pending
        }
    };
    match given {
        Given::Pending => {}
        Given::SlowDown => pace.interval = slower(pace.interval),
        // Whoever ends it first, and nobody else, goes on.
        _ if !api.signing.end(handle) => return Ok(Waited::Pending(pace.interval)),
        given => return finished(api, at, given, (How::Device, None), asker).await.map(Waited::done),
    }
    pace.next = Instant::now() + pace.interval;
    Ok(Waited::Pending(pace.interval))
}

impl Waited {
    fn done(made: Made) -> Self {
        Self::Done(Box::new(made))
    }
}

/// Sends a browser to its issuer.
pub(super) async fn begin_browser(api: &Api, name: &str, asker: &Asker) -> Result<Sent, Failure> {
    let at = provider(api, name, asker).await?;
    let Some(redirect) = at.sign_in.redirect.clone() else {
        let what = format!("nobody signs in at {name} with a browser: it has no redirect_url");
        return Err(Failure::new(what, "use firsthand login, or have redirect_url set for the issuer"));
    };
    let Some(authorization) = &at.endpoints.authorization else {
        return Err(broken(api, asker, name, "it does not say where browsers go (authorization_endpoint)"));
    };
    let errand = Errand::new();
    let (errand, cookie) = match (errand, random()) {
        (Ok(errand), Ok(cookie)) => (errand, cookie),
        (Err(e), _) | (_, Err(e)) => return Err(Failure::later(e.to_string(), "try again")),
    };
    let sent = Sent {
        url: errand.url(authorization, &at.sign_in, &redirect),
        cookie: cookie.clone(),
        within: BROWSER_TIME_MAX,
    };
    let key = errand.state.expose().to_owned();
    let step = Step::Browser(Arc::new(Browser { at, errand, cookie, redirect }));
    api.signing.flows().add(key, asker.place(), (Instant::now(), BROWSER_TIME_MAX), step);
    Ok(sent)
}

/// What a browser brings from its issuer.
#[derive(Debug, Default)]
pub(super) struct Brought {
    state: String,
    code: String,
    error: String,
    iss: Option<String>,
}

impl Brought {
    /// From a URL. What is not known is passed over; what is known stands once.
    pub(super) fn read(query: &str) -> Option<Self> {
        let mut brought = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut brought.state,
                "code" => &mut brought.code,
                "error" => &mut brought.error,
                "iss" if brought.iss.is_none() => {
                    brought.iss = Some(value.into_owned());
                    continue;
                }
                "iss" => return None,
                _ => continue,
            };
            if !place.is_empty() {
                return None;
            }
            *place = value.into_owned();
        }
        (!brought.state.is_empty() && brought.code.len() <= CODE_BYTES_MAX).then_some(brought)
    }
}

/// Takes back a browser that was sent.
pub(super) async fn end_browser(
    api: &Arc<Api>,
    name: &str,
    (brought, cookie): (Option<Brought>, Option<Secret>),
    asker: &Asker,
) -> Result<Made, Failure> {
    // Not counted as a failure: nobody guesses a state, and who stands behind the same address would wait for it.
    let stranger = |why: &str| {
        note(api, asker, name, why);
        Failure::new(
            why.to_owned(),
            format!("begin again at /v1/login/{name}, in one browser, within ten minutes"),
        )
    };
    let found = brought.and_then(|brought| match api.signing.flows().find(&brought.state, Instant::now()) {
        Some(Step::Browser(browser)) if browser.at.issuer.name == name => Some((brought, browser)),
        _ => None,
    });
    let Some((brought, browser)) = found else {
        return Err(stranger("a browser came back that was not sent, or was away too long (state)"));
    };
    // The state alone is not enough: somebody else's sign-in could be slipped to a browser with it.
    if !cookie.is_some_and(|cookie| is_same(&browser.cookie, cookie.expose())) {
        return Err(stranger("the browser that came back is not the one that was sent (cookie)"));
    }
    let at = &browser.at;
    // A browser that comes at a bad moment may come again.
    let asking = api.signing.asking.place(&at.issuer.url, asker.place()).ok_or_else(busy)?;
    if !api.signing.end(&brought.state) {
        return Err(stranger("a browser came back a second time (state)"));
    }
    let says_itself = brought.iss.as_ref().map_or(!at.endpoints.says_issuer, |iss| *iss == at.issuer.url);
    if !says_itself {
        return Err(stranger("the browser came back from another issuer than it was sent to (iss)"));
    }
    if !brought.error.is_empty() {
        let given = match error_code(&brought.error) {
            Some("access_denied") => Given::Denied,
            Some(error) => Given::Refused(format!("it refuses with `{error}`")),
            None => Given::Refused("it refuses".to_owned()),
        };
        return finished(api, at, given, (How::Browser, None), asker).await;
    }
    let parts = (&at.sign_in, &*at.endpoints, at.secret.as_ref());
    let message = code_message(parts, &brought.code, &browser.redirect, &browser.errand.verifier);
    let answer = asked(asking, at, &at.endpoints.token, &message).await;
    let (status, body) = answer.map_err(|why| silent(api, asker, name, &why))?;
    let given = Given::read(status, &body);
    finished(api, at, given, (How::Browser, Some(&browser.errand.nonce)), asker).await
}

impl Signing {
    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets somebody; whether they were there.
    fn end(&self, key: &str) -> bool {
        self.flows().all.remove(key).is_some()
    }

    fn known(&self, url: &str) -> Option<Arc<Endpoints>> {
        let kept = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(url).filter(|(at, _)| at.elapsed() < ENDPOINTS_KEPT).map(|(_, it)| Arc::clone(it))
    }

    fn know(&self, url: &str, endpoints: &Arc<Endpoints>) {
        let mut kept = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        // Issuers come and go with the configuration: what is old is one that may have gone.
        kept.retain(|_, (at, _)| at.elapsed() < ENDPOINTS_KEPT);
        kept.insert(url.to_owned(), (Instant::now(), Arc::clone(endpoints)));
    }
}

/// The issuer of this name, and where it takes what.
async fn provider(api: &Api, name: &str, asker: &Asker) -> Result<Provider, Failure> {
    let found = api.gateway.issuers.with_sign_in().into_iter().find(|spec| spec.name == name);
    let found = found.and_then(|issuer| Some((issuer.sign_in.clone()?, issuer)));
    let Some((sign_in, issuer)) = found else {
        let what = format!("nobody signs in at `{}` here", name.chars().take(64).collect::<String>());
        return Err(Failure::new(
            what,
            "GET /v1/login lists the issuers; each takes a client_id in the configuration",
        ));
    };
    if api.gateway.engine.sign_in_waits(name, &asker.client) {
        return Err(Failure::later("after failures the next try has to wait", "try again in a while"));
    }
    let secret = match sign_in.secret.clone() {
        None => None,
        Some(place) => {
            let read = tokio::task::spawn_blocking(move || place.read()).await;
            // Where it is kept is for the record: anybody can ask.
            let missing = |why: String| {
                note(api, asker, name, &format!("signing in: the gateway's client_secret: {why}"));
                let what =
                    format!("nobody can sign in at {name} now: the gateway's client_secret cannot be read");
                Failure::new(what, "why stands in the gateway's record; firsthand check says it, too").there()
            };
            Some(read.map_err(|e| missing(e.to_string()))?.map_err(|e| missing(e.to_string()))?)
        }
    };
    let endpoints = match api.signing.known(&issuer.url) {
        Some(known) => known,
        None => {
            let at = Endpoints::document(&issuer.url);
            let _asking = api.signing.asking.place(&issuer.url, asker.place()).ok_or_else(busy)?;
            let document = Fetcher.fetch(&at, issuer.ca.as_deref()).await;
            let document = document.map_err(|why| silent(api, asker, name, &format!("{at}: {why}")))?;
            let read = Endpoints::read(&issuer.url, &document);
            let read = Arc::new(read.map_err(|why| broken(api, asker, name, &format!("{at}: {why}")))?);
            api.signing.know(&issuer.url, &read);
            read
        }
    };
    Ok(Provider { issuer, sign_in, secret, endpoints })
}

fn busy() -> Failure {
    Failure::later("too many people sign in at once", "try again in a moment")
}

/// Sends a message to an issuer.
async fn asked(
    _place: Place,
    at: &Provider,
    url: &str,
    message: &Message,
) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    send(url, at.issuer.ca.as_deref(), message).await
}

/// The issuer does not answer: nobody's failure here, and an entry.
fn silent(api: &Api, asker: &Asker, name: &str, why: &str) -> Failure {
    note(api, asker, name, &format!("signing in: {why}"));
    let what = format!("the issuer {name} cannot be asked: {why}");
    Failure::later(what, "try again later; firsthand check says how it is reached").there()
}

/// The issuer answers what cannot be used.
fn broken(api: &Api, asker: &Asker, name: &str, why: &str) -> Failure {
    note(api, asker, name, &format!("signing in: {why}"));
    let what = format!("nobody can sign in at {name} now: {why}");
    Failure::new(
        what,
        "check client_id, client_secret and scopes of the [[issuer]], and what it says of this client",
    )
    .there()
}

fn note(api: &Api, asker: &Asker, name: &str, why: &str) {
    let wanted = Wanted { login: name.to_owned(), ..Wanted::default() };
    api.gateway.engine.record_refused(true, "issuer", &wanted, &asker.client, why);
}

/// What the issuer's last word comes to.
async fn finished(
    api: &Arc<Api>,
    at: &Provider,
    given: Given,
    (how, nonce): (How, Option<&Secret>),
    asker: &Asker,
) -> Result<Made, Failure> {
    let name = &at.issuer.name;
    let refused = |why: String| {
        note(api, asker, name, &format!("signing in: {why}"));
        Failure::new(format!("not signed in at {name}: {why}"), "begin again where that was not meant")
    };
    let token = match given {
        Given::Token(token) => token,
        Given::Denied => return Err(refused("it was denied there (access_denied)".to_owned())),
        Given::Expired => return Err(refused("nobody answered there in time (expired_token)".to_owned())),
        Given::Refused(why) => return Err(broken(api, asker, name, &why)),
        Given::Pending | Given::SlowDown => {
            return Err(broken(api, asker, name, "it asks to wait for nothing"));
        }
    };
    let now = api.gateway.engine.clock.now();
    let proved = api.gateway.issuers.signed_in(name, token.expose(), nonce, now).await.map_err(|fault| {
        api.gateway.engine.not_signed_in(name, &asker.client, fault.text());
        let hint = "the [[issuer]] says what its tokens must be, and [[issuer.allow]] whom they let in (docs/identity.md)";
        Failure::new(format!("not signed in at {name}: {}", fault.text()), hint).there()
    })?;
    token_for(api, at, proved, how, asker).await
}

/// The token for who was proved.
async fn token_for(
    api: &Arc<Api>,
    at: &Provider,
    proved: Proved,
    how: How,
    asker: &Asker,
) -> Result<Made, Failure> {
    let (name, engine) = (&at.issuer.name, &api.gateway.engine);
    let Proved { identity, subject, algorithm, may_act } = proved;
    let link = |kind| identity.chain.iter().find(|link| link.kind == kind).cloned();
    let (Some(person), Some(shown)) = (link(IdentityKind::Human), link(IdentityKind::Token)) else {
        return Err(broken(api, asker, name, "its token names nobody"));
    };
    let by = By { link: person.clone(), chain: identity.chain.clone(), client: Some(asker.client.clone()) };
    if api.gateway.desk.contained.has(&identity) {
        engine.record_refused_request(
            "contained",
            &identity.login,
            &by,
            "an administrator has contained who signs in",
        );
        return Err(Failure::new("an administrator has contained you here", "ask them; the record says why"));
    }
    if identity.groups.iter().map(String::len).sum::<usize>() > GROUPS_BYTES_MAX {
        let why = format!("its token names more groups than {GROUPS_BYTES_MAX} bytes have room for");
        return Err(broken(api, asker, name, &why));
    }
    let new = NewToken {
        targets: identity.targets.clone(),
        roles: identity.roles.clone(),
        ttl_seconds: Some(at.sign_in.life.as_secs().max(1)),
        ..NewToken::new("", TokenKind::Human)
    };
    let signed_in = SignedIn {
        person: person.name.clone(),
        subject,
        by: Shown { token: shown.name, issuer: Some(name.clone()) },
        algorithm: algorithm.to_owned(),
        how,
        may_act,
        groups: identity.groups.clone(),
    };
    let (gateway, config) = (Arc::clone(&api.gateway), api.gateway.config.load_full());
    let (who, issuer, groups) = (person.name.clone(), name.clone(), identity.groups.clone());
    let answer = to_its_end(async move {
        let created = gateway.desk.sign_in_token(&new, signed_in, &by).await?;
        let handed = handed(&created, Some(&config));
        Ok(Json(json!(Told { handed, person: who, issuer, groups })))
    });
    let Json(answer) = answer.await?;
    engine.has_signed_in(name, &asker.client);
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (token, expires) = (Secret::new(format!("{}:{}", text("name"), text("secret"))), text("expires"));
    Ok(Made { token, person: person.name, expires, life: at.sign_in.life, answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many addresses as there are messages.
    fn address(n: usize) -> Option<IpAddr> {
        Some(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()))
    }

    #[test]
    fn one_issuer_that_does_not_answer_leaves_room_for_another() {
        let asking = Asking::new();
        let place = |url: &str, n: usize| asking.place(url, address(n));
        let held: Vec<_> = (0..ASKING_OF_ISSUER_MAX).map(|n| place("https://slow", n).unwrap()).collect();
        assert!(place("https://slow", 99).is_none());
        assert!(place("https://other", 99).is_some());
        drop(held);
        assert!(place("https://slow", 99).is_some());
        let kept = |issuer: usize| place(&format!("https://{issuer}"), issuer).is_some();
        assert!((0..1000).all(kept), "those that nothing is asked of take no room");
        assert!(asking.of_issuer.each.lock().unwrap().len() <= 1);
        assert!(asking.of_address.each.lock().unwrap().len() <= 1);
        let all: Vec<_> = (0..ASKING_MAX).map(|n| place(&format!("https://{n}"), n).unwrap()).collect();
        assert!(place("https://one-more", 99).is_none(), "{}", all.len());
    }

    #[test]
    fn one_address_that_asks_a_slow_issuer_without_end_leaves_room_for_another() {
        for from in [address(1), None] {
            let asking = Asking::new();
            let mut held = Vec::new();
            while let Some(place) = asking.place("https://slow", from) {
                held.push(place);
            }
            assert_eq!(held.len(), ASKING_OF_ADDRESS_MAX);
            assert!(asking.place("https://other", from).is_none(), "at all issuers together");
            held.push(asking.place("https://slow", address(2)).unwrap());
            held.remove(0);
            assert!(asking.place("https://slow", from).is_some());
        }
    }

    #[test]
    fn what_a_browser_brings_stands_once() {
        let read = |query: &str| Brought::read(query);
        let whole = read("code=c%2F1&state=s&iss=https%3A%2F%2Fid.example&session_state=x").unwrap();
        assert_eq!((whole.state.as_str(), whole.code.as_str()), ("s", "c/1"));
        assert_eq!(whole.iss.as_deref(), Some("https://id.example"));
        let long = format!("state=s&code={}", "c".repeat(CODE_BYTES_MAX + 1));
        for bad in [
            "",
            "code=c",
            "state=&code=c",
            "state=s&state=t",
            "state=s&code=c&code=d",
            "state=s&iss=a&iss=b",
            &long,
        ] {
            assert!(read(bad).is_none(), "{bad:.60}");
        }
    }

    #[test]
    fn who_begins_often_makes_room_for_others() {
        let mut flows = Flows::<()>::default();
        let [a, b] = [1, 2].map(|n| Some(IpAddr::from([10, 0, 0, n])));
        let (now, life) = (Instant::now(), BROWSER_TIME_MAX);
        flows.add("b".to_owned(), b, (now, life), ());
        for n in 0..=FLOWS_OF_ADDRESS_MAX {
            flows.add(format!("a{n}"), a, (now, life), ());
        }
        assert_eq!(flows.all.len(), FLOWS_OF_ADDRESS_MAX + 1);
        assert!(
            flows.find("a0", now).is_none()
                && flows.find("a1", now).is_some()
                && flows.find("b", now).is_some()
        );
        for n in 0..=FLOWS_OF_ADDRESS_MAX {
            flows.add(format!("local{n}"), None, (now, life), ());
        }
        assert_eq!(flows.all.len(), 2 * FLOWS_OF_ADDRESS_MAX + 1, "those without an address are one");
        for n in 0..FLOWS_MAX {
            flows.add(format!("n{n}"), address(n), (now, life), ());
        }
        assert_eq!(flows.all.len(), FLOWS_MAX);
        assert!(flows.find("b", now).is_none(), "the oldest of all");
        assert!(flows.find("n9", now + life).is_none(), "its time is over");
        flows.add("new".to_owned(), a, (now + life, life), ());
        assert_eq!(flows.all.len(), 1);
    }
}
