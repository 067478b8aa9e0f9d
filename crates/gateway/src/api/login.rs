//! Signing in and out (docs/api.md): the paths, cookies, and the page that a browser ends at. What is behind them is `signing.rs`.

use std::sync::Arc;

use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use firsthand_model::identity::IdentityKind;
use firsthand_session::Wanted;
use firsthand_session::secret::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::acts::{Answered, to_its_end};
use super::door::Connection;
use super::signing::{self, Asker, Brought, Made, Waited};
use super::{Api, Asked, Caller};
use crate::failure::Failure;
use crate::web::Known;

/// Cookies over TLS. The prefix keeps other hosts of the same domain, and pages in clear text, from setting them (RFC 6265bis).
const OVER_TLS: Names = Names { session: "__Host-firsthand", errand: "__Host-firsthand-login" };
/// The same in clear text, which there is on this machine only.
const IN_CLEAR: Names = Names { session: "firsthand", errand: "firsthand-login" };

struct Names {
    /// Of the token.
    session: &'static str,
    /// Of what a browser has that was sent to its issuer.
    errand: &'static str,
}

fn names(from: &Connection) -> &'static Names {
    if from.is_secure() { &OVER_TLS } else { &IN_CLEAR }
}

/// A browser sends it along to this host alone, scripts do not see it, and a page of another site does not have it sent by a form.
fn set_cookie(name: &str, value: &str, seconds: u64, from: &Connection) -> Option<(HeaderName, HeaderValue)> {
    let secure = if from.is_secure() { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some((header::SET_COOKIE, value))
}

/// The only cookie of this name. Two of them say nothing.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|text| text.split(';')).filter_map(|pair| {
        let (own, value) = pair.trim().split_once('=')?;
        (own == name).then(|| Secret::new(value.to_owned()))
    });
    let only = found.next()?;
    if found.next().is_some() { None } else { Some(only) }
}

/// The token in a request of a browser that has signed in.
pub(super) fn session(headers: &HeaderMap, from: &Connection) -> Option<Secret> {
    cookie(headers, names(from).session)
}

/// Whether a browser sent this on its own page's behalf. Cookies go along whoever has a request sent, so what changes something
/// must say where it is from; what only reads is kept from other pages by the browser.
pub(super) fn is_own_page(method: &Method, headers: &HeaderMap, from: &Connection) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let scheme = if from.is_secure() { "https" } else { "http" };
    let (origin, host) = (text(header::ORIGIN), text(header::HOST));
    origin.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
}

/// Whether a browser says that it sent this, which changes something, on another page's behalf. Who says nothing is none.
pub(super) fn says_foreign(method: &Method, headers: &HeaderMap, from: &Connection) -> bool {
    let says = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    says && !is_own_page(method, headers, from)
}

/// Secrets go over TLS, or stay on this machine.
fn fit(api: &Api, from: &Connection, issuer: &str) -> Result<Asker, Failure> {
    if from.may_carry_secrets() {
        return Ok(Asker::new(&from.client));
    }
    let wanted = Wanted { login: issuer.chars().take(64).collect(), ..Wanted::default() };
    let why = "signing in came in clear text from another machine";
    api.gateway.engine.record_refused(true, "clear-text", &wanted, &from.client, why);
    let hint = "use https; the gateway needs [listen] tls for it";
    Err(Failure::new("nobody signs in in clear text from another machine", hint))
}

pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Value> {
    Json(json!({ "issuers": signing::issuers(&api) }))
}

pub(super) async fn begin_device(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    UrlPath(issuer): UrlPath<String>,
) -> Result<Response, Failure> {
    let asker = fit(&api, &from, &issuer)?;
    let begun = signing::begin_device(&api, &issuer, &asker).await?;
    Ok((NEVER_KEPT, Json(begun)).into_response())
}

/// What a cache must not keep.
const NEVER_KEPT: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// What somebody waits by.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waits {
    login: String,
}

pub(super) async fn poll_device(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    known: Option<Extension<Known>>,
    UrlPath(issuer): UrlPath<String>,
    Asked(waits): Asked<Waits>,
) -> Result<Response, Failure> {
    let asker = fit(&api, &from, &issuer)?;
    let answer = match signing::poll_device(&api, &issuer, &waits.login, &asker).await? {
        Waited::Pending(wait) => {
            json!({ "state": "pending", "interval": wait.as_secs() + u64::from(wait.subsec_nanos() > 0) })
        }
        Waited::Done(made) => {
            if let Some(Extension(known)) = known {
                known.set();
            }
            json!({ "state": "signed-in", "token": made.answer })
        }
    };
    Ok((NEVER_KEPT, Json(answer)).into_response())
}

pub(super) async fn begin_browser(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    UrlPath(issuer): UrlPath<String>,
) -> Response {
    let begun = async {
        let asker = fit(&api, &from, &issuer)?;
        signing::begin_browser(&api, &issuer, &asker).await
    };
    let sent = match begun.await {
        Ok(sent) => sent,
        Err(failure) => return said(&failure),
    };
    let cookie = set_cookie(names(&from).errand, sent.cookie.expose(), sent.within.as_secs(), &from);
    let (Some((set, cookie)), Ok(url)) = (cookie, HeaderValue::from_str(&sent.url)) else {
        return page(StatusCode::INTERNAL_SERVER_ERROR, "The gateway failed.");
    };
    let mut response = page(StatusCode::SEE_OTHER, "Sign in at your issuer.");
    response.headers_mut().insert(header::LOCATION, url);
    response.headers_mut().append(set, cookie);
    response
}

pub(super) async fn end_browser(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    UrlPath(issuer): UrlPath<String>,
    request: Request,
) -> Response {
    let cookie = cookie(request.headers(), names(&from).errand);
    let brought = Brought::read(request.uri().query().unwrap_or_default());
    let ended = async {
        let asker = fit(&api, &from, &issuer)?;
        signing::end_browser(&api, &issuer, (brought, cookie), &asker).await
    };
    match ended.await {
        Ok(made) => welcome(&made, &from),
        Err(failure) => said(&failure),
    }
}

/// The page of somebody who has signed in.
fn welcome(made: &Made, from: &Connection) -> Response {
    let text = format!("You are signed in to Firsthand as {}, until {}.", made.person, made.expires);
    let mut response = page(StatusCode::OK, &text);
    let cookies = [
        set_cookie(names(from).session, made.token.expose(), made.life.as_secs(), from),
        set_cookie(names(from).errand, "", 0, from),
    ];
    for (set, cookie) in cookies.into_iter().flatten() {
        response.headers_mut().append(set, cookie);
    }
    response
}

/// A failure, as a page.
fn said(failure: &Failure) -> Response {
    let status = if failure.later { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
    page(status, &format!("Not signed in: {}\n{}", failure.messages.join("; "), failure.hint))
}

/// Plain text: nothing in it is obeyed, whatever an issuer calls somebody. The URL that led here stays here, too.
fn page(status: StatusCode, text: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    (status, headers, format!("{text}\n")).into_response()
}

/// Who the caller is.
pub(super) async fn whoami(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let chain = if caller.by.chain.is_empty() {
        std::slice::from_ref(&caller.by.link)
    } else {
        caller.by.chain.as_slice()
    };
    let links: Vec<_> = chain
        .iter()
        .map(|l| json!({ "kind": l.kind.word(), "name": l.name, "trust": l.trust.word() }))
        .collect();
    let identity = caller.identity.as_deref();
    let token = chain.iter().rfind(|link| link.kind == IdentityKind::Token);
    let token = token.and_then(|link| api.gateway.desk.tokens.find(&link.name));
    let signed_in = token.as_ref().and_then(|token| token.signed_in.as_ref());
    Json(json!({
        "login": identity.map(|it| &it.login), "chain": links,
        "targets": identity.map(|it| &it.targets), "groups": identity.map(|it| &it.groups),
        "roles": identity.map(|it| it.roles.iter().map(|role| role.word()).collect::<Vec<_>>()),
        "expires": token.as_ref().and_then(|token| token.expires).map(|end| end.to_string()),
        "issuer": signed_in.and_then(|it| it.by.issuer.as_ref()).or(identity.and_then(|it| it.issuer.as_ref())),
        "how": signed_in.map(|it| it.how.word()),
    }))
}

/// Ends the token of somebody who has signed in.
pub(super) async fn logout(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Failure> {
    let id = caller.by.chain.iter().rfind(|link| link.kind == IdentityKind::Token);
    let token = id.and_then(|link| api.gateway.desk.tokens.find(&link.name));
    let Some(token) = token.filter(|token| token.signed_in.is_some()) else {
        let hint = "an administrator ends others: firsthand token revoke; those of issuers end by themselves";
        return Err(Failure::usage("this token did not come by signing in", hint));
    };
    let (gateway, by) = (Arc::clone(&api.gateway), caller.by);
    let revoked = to_its_end(async move {
        let token = gateway.desk.revoke_token(&token.id, &by).await?;
        Ok(Json(json!({ "id": token.id, "name": token.name })))
    });
    let answer: Answered = revoked.await;
    let mut response = answer?.into_response();
    if let Some((set, cookie)) = set_cookie(names(&from).session, "", 0, &from) {
        response.headers_mut().append(set, cookie);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(tls: bool) -> Connection {
        Connection::new("127.0.0.1:5".parse().unwrap(), tls.then(|| "TLSv1.3".to_owned()))
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn what_changes_something_comes_from_the_own_page() {
        let host = ("host", "gateway:8300");
        for (tls, pairs, own) in [
            (true, &[host, ("sec-fetch-site", "same-origin")][..], true),
            (true, &[host, ("origin", "https://gateway:8300")], true),
            (false, &[host, ("origin", "http://gateway:8300")], true),
            (true, &[host], false),
            (true, &[("origin", "https://gateway:8300")], false),
            (true, &[host, ("origin", "http://gateway:8300")], false),
            (true, &[host, ("origin", "https://gateway:8301")], false),
            (true, &[host, ("origin", "https://gateway:8300.evil.example")], false),
            (true, &[host, ("origin", "null")], false),
            (true, &[host, ("sec-fetch-site", "same-site"), ("origin", "https://gateway:8300")], false),
            (true, &[host, ("sec-fetch-site", "cross-site"), ("origin", "https://gateway:8300")], false),
            (true, &[host, ("sec-fetch-site", "none")], false),
        ] {
            let headers = headers(pairs);
            assert_eq!(is_own_page(&Method::POST, &headers, &from(tls)), own, "{pairs:?}");
            assert!(is_own_page(&Method::GET, &headers, &from(tls)));
            assert_eq!(
                says_foreign(&Method::POST, &headers, &from(tls)),
                !own && pairs != [host],
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn a_cookie_counts_once_and_only_the_name_that_this_connection_sets() {
        let text = |pairs: &[(&str, &str)], tls| {
            session(&headers(pairs), &from(tls)).map(|secret| secret.expose().to_owned())
        };
        let cookie = |value| [("cookie", value)];
        assert_eq!(text(&cookie("a=b; __Host-firsthand=n:fh_x"), true).as_deref(), Some("n:fh_x"));
        assert_eq!(text(&cookie("firsthand=n:fh_x"), false).as_deref(), Some("n:fh_x"));
        assert_eq!(text(&cookie("firsthand=n:fh_x"), true), None, "any page in clear text could have set it");
        assert_eq!(text(&cookie("__Host-firsthand=n:fh_x"), false), None);
        assert_eq!(text(&cookie("firsthand=a; firsthand=b"), false), None);
        assert_eq!(text(&[("cookie", "firsthand=a"), ("cookie", "firsthand=b")], false), None);
        let proxied = |peer: &str| Connection::new(peer.parse().unwrap(), None).behind_tls(true).is_secure();
        assert!(proxied("127.0.0.1:5") && !proxied("192.0.2.1:5"));
        for (tls, secure) in [(true, true), (false, false)] {
            let (_, set) = set_cookie("firsthand", "n:fh_x", 5, &from(tls)).unwrap();
            let set = set.to_str().unwrap();
            assert!(set.contains("HttpOnly; SameSite=Lax") && set.contains("Path=/; Max-Age=5"), "{set}");
            assert_eq!(set.ends_with("; Secure"), secure);
        }
    }
}
