//! Who asks over the network. A request comes with a client certificate, or shows a token as `Authorization: Bearer NAME:SECRET`, or that of
//! an issuer (a JWT) as it is, over TLS, or in clear text on loopback alone; a browser shows the cookie that it got by signing in. Looked at as the
//! secrets of database clients are: the same limiter, the same answer for whatever is
//! wrong, each failure in the record.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use firsthand_adapters::identity::token::NAME_BYTES_MAX;
use firsthand_model::identity::{ClientFacts, Identity};
use firsthand_session::Wanted;
use firsthand_session::port::{ClientChain, Proof, Wants};
use firsthand_session::secret::Secret;
use firsthand_sql::{holds_token, mask_connection};
use tokio::sync::Semaphore;

use super::{Api, Caller, answer, login};
use crate::web::Known;

/// Keys derived at a time. Each takes a core for one to two milliseconds; whoever asks with wrong secrets from many addresses
/// gets no more of the machine than this.
const DERIVING_MAX: usize = 1;
/// Requests that wait for that; the time of each is short, so more would be a flood.
const WAITING_MAX: usize = 128;
/// Longest secret looked at; ours have 46 bytes.
pub(super) const SECRET_BYTES_MAX: usize = 256;

/// Bounds what strangers can make the gateway compute.
pub(crate) struct Door {
    deriving: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Door {
    fn default() -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { deriving: of(DERIVING_MAX), waiting: of(WAITING_MAX) }
    }
}

/// The connection that a request came over.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(super) client: ClientFacts,
    loopback: bool,
    /// A browser's way is over TLS: to here, or to a proxy on this machine that ends it.
    secure: bool,
    /// What was shown in the TLS handshake.
    chain: Option<ClientChain>,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr, tls: Option<String>) -> Self {
        let secure = tls.is_some();
        let client =
            ClientFacts { address: peer.to_string(), tls, method: "bearer", protocol: "http/1.1".to_owned() };
        Self { client, loopback: peer.ip().to_canonical().is_loopback(), secure, chain: None }
    }

    /// Browsers come back to an `https` address: what comes from this machine in clear text has been through a proxy there.
    pub(crate) fn behind_tls(self, https: bool) -> Self {
        Self { secure: self.secure || https && self.loopback, ..self }
    }

    /// Whether a browser came over TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    /// With the client's certificates.
    pub(crate) fn showing(self, chain: Option<ClientChain>) -> Self {
        Self { chain, ..self }
    }

    /// Whether a secret may be sent over it.
    pub(super) fn may_carry_secrets(&self) -> bool {
        self.loopback || self.client.tls.is_some()
    }
}

/// The API behind this door.
pub(crate) fn guarded(api: &Arc<Api>) -> Router {
    Api::router(api).layer(from_fn_with_state(Arc::clone(api), establish))
}

/// What a request shows.
#[derive(Debug)]
enum Shown {
    Nothing,
    Unfit(&'static str),
    Token { login: String, secret: Secret },
    Issued { secret: Secret },
}

fn shown(headers: &HeaderMap, from: &Connection) -> Shown {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = all.next() else { return of_cookie(headers, from) };
    if all.next().is_some() {
        return Shown::Unfit("several Authorization headers");
    }
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
    });
    let Some(token) = token else { return Shown::Unfit("an Authorization header without a bearer token") };
    // Base64url and dots: no colon. How long it may be, its issuer says; a request's head is bounded.
    if !token.contains(':') && token.contains('.') {
        return Shown::Issued { secret: Secret::new(token.to_owned()) };
    }
    own(token)
        .unwrap_or(Shown::Unfit("a bearer token that is neither NAME:SECRET nor the token of an issuer"))
}

/// One of Firsthand's.
fn own(token: &str) -> Option<Shown> {
    let (login, secret) = token.split_once(':')?;
    let fits = (1..=NAME_BYTES_MAX).contains(&login.len()) && (1..=SECRET_BYTES_MAX).contains(&secret.len());
    // Whoever shows it the wrong way round gets in by no other name, and has told nobody.
    let fits = fits && !holds_token(login);
    fits.then(|| Shown::Token { login: login.to_owned(), secret: Secret::new(secret.to_owned()) })
}

/// The token of a browser that has signed in.
fn of_cookie(headers: &HeaderMap, from: &Connection) -> Shown {
    match login::session(headers, from) {
        Some(token) => own(token.expose()).unwrap_or(Shown::Unfit("a cookie that is no token")),
        None => Shown::Nothing,
    }
}

/// A page of another site had a browser send its cookie.
fn of_another_page(api: &Api, from: &Connection) -> Response {
    let why =
        "a browser sent its cookie, or certificate, for a page of another site (Origin, Sec-Fetch-Site)";
    api.gateway.engine.record_refused(false, "protocol", &Wanted::default(), &from.client, why);
    let hint =
        "what changes something takes Sec-Fetch-Site: same-origin, or the gateway's own Origin (docs/api.md)";
    answer(StatusCode::FORBIDDEN, "this came from a page of another site", hint)
}

/// Lets a request on with its [`Caller`], or answers.
async fn establish(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    let Some(from) = request.extensions().get::<Connection>().cloned() else { return not_accepted() };
    let by_cookie = !request.headers().contains_key(header::AUTHORIZATION);
    let shown = shown(request.headers(), &from);
    let foreign = by_cookie && !login::is_own_page(request.method(), request.headers(), &from);
    // A browser shows its certificate whoever has a request sent, too; what is no browser says nothing of pages.
    let says_foreign = login::says_foreign(request.method(), request.headers(), &from);
    // Nothing behind this can show it any more.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(header::COOKIE);
    // Only what is established here counts, whatever stood there.
    request.extensions_mut().remove::<Caller>();
    let engine = &api.gateway.engine;
    if !from.may_carry_secrets() {
        if !matches!(shown, Shown::Nothing) {
            let why = "a token came in clear text from another machine: whoever listens has it now";
            engine.record_refused(true, "clear-text", &wanted(&shown), &from.client, why);
        }
        return answer(
            StatusCode::FORBIDDEN,
            "the API takes no tokens in clear text from other machines",
            "use https; the gateway needs [listen] tls for it. A token that was sent in clear text should be revoked",
        );
    }
    if foreign && matches!(shown, Shown::Token { .. }) {
        return of_another_page(&api, &from);
    }
    let wants = |login| engine.wants(login, from.chain.as_ref());
    let (proof, login, wants) = match shown {
        Shown::Token { login, secret } => {
            let wants = wants(Some(&login));
            (Some(Proof::ClearText { login: login.clone(), secret }), login, wants)
        }
        // It says itself whose it is.
        Shown::Issued { secret } => (Some(Proof::Bearer { secret }), String::new(), wants(Some(""))),
        Shown::Unfit(why) => {
            engine.proof_broken(&Wanted::default(), &from.client, why);
            return not_accepted();
        }
        Shown::Nothing => (None, String::new(), wants(None)),
    };
    let Some(proof) = to_look_at(proof, wants, from.chain.clone()) else {
        return unauthorized("no token was given", "send Authorization: Bearer NAME:SECRET (docs/api.md)");
    };
    if says_foreign && matches!(proof, Proof::Certificate { .. }) {
        return of_another_page(&api, &from);
    }
    let mut client = from.client;
    if matches!(proof, Proof::Certificate { .. }) {
        client.method = "certificate";
    }
    let identity = match identified(&api, proof, login, &client).await {
        Ok(identity) => identity,
        Err(response) => return response,
    };
    let Some(caller) = Caller::remote(identity, client) else { return not_accepted() };
    if let Some(known) = request.extensions().get::<Known>() {
        known.set();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// What a request is to be looked at by: a token, a certificate, or both where both were shown and the certificate counts.
/// `None`: a token is missing.
fn to_look_at(token: Option<Proof>, wants: Wants, chain: Option<ClientChain>) -> Option<Proof> {
    match (token, wants, chain) {
        (token, Wants::Token, _) => token,
        (Some(token), Wants::Certificate | Wants::Both, Some(chain)) => {
            Some(Proof::Both { token: Box::new(token), chain })
        }
        (None, Wants::Both, _) => None,
        (_, Wants::Certificate | Wants::Both, chain) => Some(Proof::Certificate { login: None, chain }),
    }
}

fn wanted(shown: &Shown) -> Wanted {
    let login = if let Shown::Token { login, .. } = shown { login.clone() } else { String::new() };
    Wanted { login, ..Wanted::default() }
}

/// Who the token names. A secret that was not found right before is looked at on a thread of its own, a few at a time.
pub(super) async fn identified(
    api: &Arc<Api>,
    proof: Proof,
    login: String,
    client: &ClientFacts,
) -> Result<Identity, Response> {
    let engine = &api.gateway.engine;
    // For the record: somebody may have shown it the wrong way round.
    let login = mask_connection(&login).unwrap_or(login);
    engine.prepare(&proof).await;
    if engine.identity.is_quick(&proof) {
        return engine.identify(&proof, &login, client).map_err(|_| not_accepted());
    }
    let door = &api.door;
    let Ok(waiting) = Arc::clone(&door.waiting).try_acquire_owned() else { return Err(too_many()) };
    let Ok(deriving) = Arc::clone(&door.deriving).acquire_owned().await else { return Err(too_many()) };
    let (engine, client) = (Arc::clone(engine), client.clone());
    looked(move || {
        // Held until the work is done, not until the client has gone: who asks and hangs up gets no second core.
        let _held = (waiting, deriving);
        engine.identify(&proof, &login, &client)
    })
    .await
}

/// What looking at a secret comes to, on a thread that may wait.
async fn looked<E: Send + 'static>(
    look: impl FnOnce() -> Result<Identity, E> + Send + 'static,
) -> Result<Identity, Response> {
    // A panic says nothing about the secret.
    let looked = tokio::task::spawn_blocking(look).await.map_err(|_| broken())?;
    looked.map_err(|_| not_accepted())
}

/// The one answer to a wrong, unknown, ended and revoked token, and to one that has to wait.
fn not_accepted() -> Response {
    unauthorized(
        "the gateway does not accept this token",
        "check its name and secret; tokens end and can be revoked, and after failures the next try has to wait",
    )
}

fn unauthorized(error: &str, hint: &str) -> Response {
    let mut response = answer(StatusCode::UNAUTHORIZED, error, hint);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

/// The answer to somebody whose token has ended between the request's beginning and its end.
pub(super) fn ended() -> Response {
    unauthorized("this token has ended", "make another (firsthand token create), or use another")
}

fn broken() -> Response {
    let hint = "the gateway's messages say more; ask again";
    answer(StatusCode::INTERNAL_SERVER_ERROR, "the gateway failed while it looked at the token", hint)
}

fn too_many() -> Response {
    let busy = "too many want to be let in at once";
    (answer(StatusCode::SERVICE_UNAVAILABLE, busy, "try again in a moment")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    fn near() -> Connection {
        Connection::new("127.0.0.1:5".parse().unwrap(), None)
    }

    #[test]
    fn a_token_is_shown_in_one_way() {
        for fit in ["Bearer ops:fh_x", "bearer  ops:fh_x ", "BEARER ops:fh_x"] {
            let Shown::Token { login, secret } = shown(&headers(&[fit]), &near()) else { panic!("{fit}") };
            assert_eq!((login.as_str(), secret.expose()), ("ops", "fh_x"));
        }
        for issued in ["Bearer a.b.c", "bearer ..", "Bearer eyJ.eyJ.x "] {
            assert!(matches!(shown(&headers(&[issued]), &near()), Shown::Issued { .. }), "{issued}");
        }
        let long = format!("Bearer {}:fh_x", "n".repeat(NAME_BYTES_MAX + 1));
        let longer = format!("Bearer n:{}", "s".repeat(SECRET_BYTES_MAX + 1));
        for unfit in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer ops",
            "Bearer :x",
            "Bearer ops:",
            "Basic b3BzOnh4",
            "ops:fh_x",
            "Bearer öps:x",
            &long,
            &longer,
        ] {
            assert!(matches!(shown(&headers(&[unfit]), &near()), Shown::Unfit(_)), "{unfit}");
        }
        assert!(matches!(shown(&headers(&["Bearer a:b", "Bearer c:d"]), &near()), Shown::Unfit(_)));
        assert!(matches!(shown(&headers(&[]), &near()), Shown::Nothing));
        for secret in ["Bearer ops:fh_secret", "Bearer secret.secret.secret"] {
            let shown = format!("{:?}", shown(&headers(&[secret]), &near()));
            assert!(!shown.contains("secret.") && !shown.contains("fh_secret"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_fails_does_not_say_that_the_token_is_wrong() {
        let status = async |look: fn() -> Result<Identity, ()>| looked(look).await.unwrap_err().status();
        assert_eq!(status(|| Err(())).await, StatusCode::UNAUTHORIZED);
        assert_eq!(status(|| panic!("out of what it needs")).await, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn secrets_travel_over_tls_or_within_the_machine() {
        let from = |peer: &str, tls: Option<&str>| {
            Connection::new(peer.parse().unwrap(), tls.map(str::to_owned)).may_carry_secrets()
        };
        for near in ["127.0.0.1:5", "127.9.9.9:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert!(from(near, None), "{near}");
        }
        for far in ["10.0.0.1:5", "192.0.2.7:5", "[2001:db8::1]:5", "[::ffff:10.0.0.1]:5", "0.0.0.0:5"] {
            assert!(!from(far, None) && from(far, Some("TLSv1.3")), "{far}");
        }
    }
}
