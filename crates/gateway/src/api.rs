//! The API: what the command line asks of a gateway that runs, over the admin socket or from another machine (docs/api.md).
//! One table of routes, each with what it takes to be let in there; two ways to establish who asks.
//!
//! - `door.rs`: who asks over the network: a token with a role, in an `Authorization` header.
//! - `acts.rs`: tokens and sessions.
//! - `approvals.rs`: what waits for people.
//! - `exchange.rs`: a token for an agent that acts for a person, by the tokens of both.
//! - `contained.rs`: what is contained.
//! - `channels.rs`: answers that come in over channels.
//! - `ca.rs`: the gateway's own authority for client certificates.
//! - `keys.rs`: the keys that sign the log.
//! - `openapi.rs`: the document that says what each of them asks and answers.
//! - `grants.rs`: access for a time.
//! - `give.rs`: the record, as a stream of lines.
//! - `login.rs`: signing in at an issuer, and out; `signing.rs`: what is kept and asked meanwhile.

pub(crate) mod acts;
pub(crate) mod approvals;
mod ca;
mod channels;
mod contained;
pub(crate) mod door;
pub(crate) mod exchange;
pub(crate) mod give;
mod grants;
mod keys;
mod login;
pub(crate) mod openapi;
mod refused;
mod signing;

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use firsthand_adapters::approvals::turned_away::TurnedAway;
use firsthand_model::event::By;
use firsthand_model::identity::{ClientFacts, Identity, Link, Role};
use firsthand_protocols::drive::stream::Phase;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::refused::Refused;
use crate::assemble::Gateway;
use crate::failure::{Exit, Failure};
use crate::web::{BODY_BYTES_MAX, HEAD_WAIT_MAX};

/// What a reading says of itself.
pub(crate) const READING_BYTES_MAX: usize = 64 << 10;

/// What the API works with.
pub(crate) struct Api {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) phase: watch::Receiver<Phase>,
    door: door::Door,
    places: give::Places,
    signing: signing::Signing,
    /// How many refusals of each identity have had an entry of their own.
    turned_away: TurnedAway,
}

/// What it takes to be let in at a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// To be this user, or root, on the gateway's own machine.
    Local,
    /// That, or a token with this role.
    Role(Role),
    /// That, or a token with one of these.
    OneOf(&'static [Role]),
    /// The tokens in the request itself, which its handler looks at: only over the network.
    Shown,
    /// A signature with the secret of the channel that the path names: only over the network.
    Signed,
    /// Nothing: who signs in has nothing yet. Only over the network.
    Nothing,
    /// A token that holds, whatever it opens.
    Any,
}

impl Needs {
    /// Whether no [`Caller`] is established for it.
    const fn is_open(self) -> bool {
        matches!(self, Self::Shown | Self::Signed | Self::Nothing)
    }
}

/// Who sees what waits for people: its user sees their own.
const SEE_APPROVALS: &[Role] = &[Role::Auditor, Role::Approver, Role::User];

/// A route.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// What it does; for docs/api.md.
    pub(crate) about: &'static str,
    handler: fn() -> MethodRouter<Arc<Api>>,
}

/// All routes: what is not here, is not there.
pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/tokens",
        needs: Needs::Role(Role::Auditor),
        about: "All tokens, without anything of their secrets.",
        handler: || get(acts::list_tokens),
    },
    Route {
        method: "POST",
        path: "/v1/tokens",
        needs: Needs::Role(Role::Admin),
        about: "Makes a token; the answer holds its secret, this once.",
        handler: || post(acts::create_token),
    },
    Route {
        method: "POST",
        path: "/v1/tokens/revoke",
        needs: Needs::Role(Role::Admin),
        about: "Ends a token.",
        handler: || post(acts::revoke_token),
    },
    Route {
        method: "GET",
        path: "/v1/sessions",
        needs: Needs::Role(Role::Auditor),
        about: "The sessions that run.",
        handler: || get(acts::list_sessions),
    },
    Route {
        method: "POST",
        path: "/v1/sessions/{id}/kill",
        needs: Needs::Role(Role::Admin),
        about: "Ends a session that runs.",
        handler: || post(acts::kill_session),
    },
    Route {
        method: "GET",
        path: "/v1/approvals",
        needs: Needs::OneOf(SEE_APPROVALS),
        about: "What waits for approval, and what is approved and not spent; with `?all=true` what is over, too.",
        handler: || get(approvals::list),
    },
    Route {
        method: "GET",
        path: "/v1/approvals/{id}",
        needs: Needs::OneOf(SEE_APPROVALS),
        about: "One approval: all that an approver has to see of it.",
        handler: || get(approvals::show),
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/original",
        needs: Needs::Role(Role::Approver),
        about: "What it says as it will run, with what masks hide; to who may approve it and see that.",
        handler: || post(approvals::original),
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/approve",
        needs: Needs::Role(Role::Approver),
        about: "Approves it, as a person of its group.",
        handler: || post(approvals::approve),
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/break-glass",
        needs: Needs::Role(Role::Approver),
        about: "Releases it alone, with a reason, where its rule lets this person do so: loud, and recorded as such.",
        handler: || post(approvals::break_glass),
    },
    Route {
        method: "POST",
        path: "/v1/approvals/{id}/deny",
        needs: Needs::Role(Role::Approver),
        about: "Refuses it, as a person of its group.",
        handler: || post(approvals::deny),
    },
    Route {
        method: "POST",
        path: "/v1/channels/{channel}/answer",
        needs: Needs::Signed,
        about: "Approves or refuses, as the person that a webhook names.",
        handler: || post(channels::answer),
    },
    Route {
        method: "POST",
        path: "/v1/channels/{channel}/slack/actions",
        needs: Needs::Signed,
        about: "Takes the buttons that are pressed in Slack.",
        handler: || post(channels::pressed),
    },
    Route {
        method: "GET",
        path: "/v1/grants",
        needs: Needs::Any,
        about: "Grants that are asked for or in force; with `?all=true` those that are over, too. Without a role, one's own.",
        handler: || get(grants::list),
    },
    Route {
        method: "POST",
        path: "/v1/grants",
        needs: Needs::Any,
        about: "Asks for access for a time, as the identity that the token names.",
        handler: || post(grants::request),
    },
    Route {
        method: "GET",
        path: "/v1/grants/{id}",
        needs: Needs::Any,
        about: "One grant: for what, for whom, and what became of it.",
        handler: || get(grants::show),
    },
    Route {
        method: "POST",
        path: "/v1/grants/{id}/approve",
        needs: Needs::Role(Role::Approver),
        about: "Approves it, as a person of its group.",
        handler: || post(grants::approve),
    },
    Route {
        method: "POST",
        path: "/v1/grants/{id}/deny",
        needs: Needs::Role(Role::Approver),
        about: "Refuses it, as a person of its group.",
        handler: || post(grants::deny),
    },
    Route {
        method: "POST",
        path: "/v1/grants/{id}/revoke",
        needs: Needs::Any,
        about: "Takes it back: who has it, a person of its group, or an administrator.",
        handler: || post(grants::revoke),
    },
    Route {
        method: "GET",
        path: "/v1/contained",
        needs: Needs::Role(Role::Auditor),
        about: "What is contained, and whose evidence is held.",
        handler: || get(contained::list),
    },
    Route {
        method: "POST",
        path: "/v1/contained",
        needs: Needs::Role(Role::Admin),
        about: "Contains an identity, a target or a session.",
        handler: || post(contained::contain),
    },
    Route {
        method: "POST",
        path: "/v1/contained/{id}/lift",
        needs: Needs::Role(Role::Admin),
        about: "Lifts a containment.",
        handler: || post(contained::lift),
    },
    Route {
        method: "POST",
        path: "/v1/ca",
        needs: Needs::Role(Role::Admin),
        about: "Makes the gateway's own authority for client certificates.",
        handler: || post(ca::init),
    },
    Route {
        method: "GET",
        path: "/v1/ca/certificates",
        needs: Needs::Role(Role::Auditor),
        about: "The certificates that it has issued.",
        handler: || get(ca::list),
    },
    Route {
        method: "POST",
        path: "/v1/ca/certificates",
        needs: Needs::Role(Role::Admin),
        about: "Issues a client certificate for a public key.",
        handler: || post(ca::issue),
    },
    Route {
        method: "POST",
        path: "/v1/ca/certificates/revoke",
        needs: Needs::Role(Role::Admin),
        about: "Revokes certificates by serial number or name; sessions that they opened end.",
        handler: || post(ca::revoke),
    },
    Route {
        method: "GET",
        path: "/v1/ca/crl",
        needs: Needs::Role(Role::Auditor),
        about: "Its certificate and its revocation list, PEM.",
        handler: || get(ca::crl),
    },
    Route {
        method: "GET",
        path: "/v1/keys",
        needs: Needs::Role(Role::Auditor),
        about: "The keys that sign the log, and the newest checkpoint.",
        handler: || get(keys::show),
    },
    Route {
        method: "POST",
        path: "/v1/keys/rotate",
        needs: Needs::Role(Role::Admin),
        about: "Makes a new key that signs the log; the one before signs on beside it for a time.",
        handler: || post(keys::rotate),
    },
    Route {
        method: "POST",
        path: "/v1/record/entries",
        needs: Needs::Role(Role::Auditor),
        about: "Entries of the record, as a stream: all, the newest, those that match, those that come.",
        handler: || post(give::entries),
    },
    Route {
        method: "POST",
        path: "/v1/record/sessions",
        needs: Needs::Role(Role::Auditor),
        about: "Sessions of the record, the newest, as a stream.",
        handler: || post(give::sessions),
    },
    Route {
        method: "POST",
        path: "/v1/record/session",
        needs: Needs::Role(Role::Auditor),
        about: "The entries of one session, as a stream.",
        handler: || post(give::session),
    },
    Route {
        method: "POST",
        path: "/v1/token",
        needs: Needs::Shown,
        about: "A short token for an agent that acts for a person, by the tokens of both (token exchange, RFC 8693).",
        handler: || post(exchange::exchange),
    },
    Route {
        method: "GET",
        path: "/v1/login",
        needs: Needs::Nothing,
        about: "The issuers at which people sign in.",
        handler: || get(login::list),
    },
    Route {
        method: "POST",
        path: "/v1/login/{issuer}/device",
        needs: Needs::Nothing,
        about: "Begins to sign in with a code that is typed in elsewhere (RFC 8628).",
        handler: || post(login::begin_device),
    },
    Route {
        method: "POST",
        path: "/v1/login/{issuer}/token",
        needs: Needs::Nothing,
        about: "Looks whether that code was typed in; the answer holds the token, this once.",
        handler: || post(login::poll_device),
    },
    Route {
        method: "GET",
        path: "/v1/login/{issuer}",
        needs: Needs::Nothing,
        about: "Sends a browser to its issuer, to sign in (OpenID Connect, authorization code with PKCE).",
        handler: || get(login::begin_browser),
    },
    Route {
        method: "GET",
        path: "/v1/login/{issuer}/callback",
        needs: Needs::Nothing,
        about: "Takes it back; the answer sets the cookie of who has signed in.",
        handler: || get(login::end_browser),
    },
    Route {
        method: "POST",
        path: "/v1/logout",
        needs: Needs::Any,
        about: "Ends the token that is shown, which came by signing in.",
        handler: || post(login::logout),
    },
    Route {
        method: "GET",
        path: "/v1/whoami",
        needs: Needs::Any,
        about: "Who the token names, and what it opens.",
        handler: || get(login::whoami),
    },
    Route {
        method: "GET",
        path: "/v1/openapi.json",
        needs: Needs::Nothing,
        about: "This API as an OpenAPI document.",
        handler: || get(openapi::serve),
    },
    Route {
        method: "POST",
        path: "/v1/record/read",
        needs: Needs::Local,
        about: "Records that a command is about to read the log's files.",
        handler: || post(acts::note_reading),
    },
    Route {
        method: "POST",
        path: "/v1/record/exported",
        needs: Needs::Local,
        about: "Records that a command is about to export evidence, or what it came to.",
        handler: || post(acts::note_export),
    },
    Route {
        method: "POST",
        path: "/v1/targets/asked",
        needs: Needs::Local,
        about: "Records that a command is about to ask a target.",
        handler: || post(acts::note_asking),
    },
];

impl Api {
    pub(crate) fn new(gateway: Arc<Gateway>, phase: watch::Receiver<Phase>) -> Self {
        let (door, places, signing) =
            (door::Door::default(), give::Places::default(), signing::Signing::default());
        let turned_away = TurnedAway::default();
        Self { gateway, phase, door, places, signing, turned_away }
    }

    /// Whether the token by which somebody was let in has ended since.
    fn has_ended(&self, identity: Option<&Identity>) -> bool {
        let engine = &self.gateway.engine;
        identity.is_some_and(|identity| engine.identity.recheck(identity, engine.clock.now()).is_err())
    }

    /// The routes. Each looks at the [`Caller`] that the request carries; without one nothing is let in.
    pub(crate) fn router(api: &Arc<Self>) -> Router {
        let mut router = Router::new();
        for route in ROUTES.iter().filter(|route| !route.needs.is_open()) {
            let needs = (Arc::clone(api), route.needs);
            router =
                router.route(route.path, (route.handler)().route_layer(from_fn_with_state(needs, let_in)));
        }
        router
            .method_not_allowed_fallback(no_such_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(api))
    }

    /// The routes that take no [`Caller`]: what they are let in by stands in the request.
    pub(crate) fn open(api: &Arc<Self>) -> Router {
        let routes = ROUTES.iter().filter(|route| route.needs.is_open());
        let router = routes.fold(Router::new(), |router, route| router.route(route.path, (route.handler)()));
        router
            .method_not_allowed_fallback(no_such_method)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(api))
    }
}

async fn no_such_method() -> Response {
    answer(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method", "docs/api.md lists them")
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// As it stands in entries.
    pub(crate) by: By,
    /// Established by a token; `None`: on this machine, by the kernel.
    pub(crate) identity: Option<Arc<Identity>>,
}

impl Caller {
    /// A user of this machine.
    pub(crate) fn local(link: Link) -> Self {
        Self { by: link.into(), identity: None }
    }

    /// Who holds a token; `None` where its chain is empty, which none is.
    fn remote(identity: Identity, client: ClientFacts) -> Option<Self> {
        // Whom the token names: what it proves. The person it acts for is in the chain, and merely bound.
        let link = identity.chain.iter().rev().find(|link| !link.kind.proves())?.clone();
        let by = By { link, chain: identity.chain.clone(), client: Some(client) };
        Some(Self { by, identity: Some(Arc::new(identity)) })
    }

    fn may(&self, needs: Needs) -> bool {
        match (&self.identity, needs) {
            (None, _) => true,
            (Some(_), Needs::Any) => true,
            (Some(_), Needs::Local | Needs::Shown | Needs::Signed | Needs::Nothing) => false,
            (Some(identity), Needs::Role(role)) => identity.roles.iter().any(|own| own.includes(role)),
            (Some(identity), Needs::OneOf(roles)) => {
                identity.roles.iter().any(|own| roles.iter().any(|role| own.includes(*role)))
            }
        }
    }
}

async fn let_in(
    axum::extract::State((api, needs)): axum::extract::State<(Arc<Api>, Needs)>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>();
    if caller.is_some_and(|caller| caller.may(needs)) {
        return next.run(request).await;
    }
    if let Some(Caller { by, identity: Some(identity) }) = caller {
        if identity.roles.is_empty() {
            let why = "the token has no role at the gateway";
            api.tell_refused(&identity.login, by, &Refused { why: "role", target: "", detail: why });
            return answer(
                StatusCode::FORBIDDEN,
                "this token has no role at the gateway: it opens targets, and nothing of the API",
                "on the gateway's machine: firsthand token create NAME --role auditor (or --role admin)",
            );
        }
        let what = format!("its role does not let it {} {}", request.method(), request.uri().path());
        api.tell_refused(&identity.login, by, &Refused { why: "role", target: "", detail: &what });
    }
    let hint = match needs {
        Needs::Local | Needs::Shown | Needs::Signed | Needs::Nothing | Needs::Any => {
            "do it on the gateway's machine"
        }
        Needs::Role(Role::Admin) => "it takes a token made with --role admin",
        Needs::Role(Role::Approver) => "it takes a token made with --role approver",
        Needs::Role(Role::User) | Needs::OneOf(_) => "it takes a token made with --role, see docs/api.md",
        Needs::Role(Role::Auditor) => "it takes a token made with --role auditor or --role admin",
    };
    answer(StatusCode::FORBIDDEN, "this token's role does not let it do this", hint)
}

/// A refusal as it is answered.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Answer {
    pub(crate) error: String,
    pub(crate) hint: String,
}

fn answer(status: StatusCode, error: &str, hint: &str) -> Response {
    (status, Json(Answer { error: error.to_owned(), hint: hint.to_owned() })).into_response()
}

/// The answer to what no route is for.
pub(crate) async fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, "there is no such path", "docs/api.md lists them")
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.exit {
            Exit::Usage => StatusCode::BAD_REQUEST,
            Exit::No | Exit::Done if self.later => StatusCode::SERVICE_UNAVAILABLE,
            Exit::No | Exit::Done | Exit::Unverified => StatusCode::CONFLICT,
        };
        let told = self.for_elsewhere();
        answer(status, &told.messages.join("; "), &told.hint)
    }
}

/// A request's body, as JSON. It comes in within the time that a head has; whoever may have been locked out meanwhile is asked
/// about again.
struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Asked<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &Arc<Api>) -> Result<Self, Response> {
        let identity = request.extensions().get::<Caller>().and_then(|caller| caller.identity.clone());
        let hint = "docs/api.md describes what is asked";
        match tokio::time::timeout(HEAD_WAIT_MAX, Json::<T>::from_request(request, state)).await {
            Ok(Ok(Json(_))) if state.has_ended(identity.as_deref()) => Err(door::ended()),
            Ok(Ok(Json(body))) => Ok(Self(body)),
            Ok(Err(rejected)) => {
                let why: String = rejected.body_text().chars().take(512).collect();
                let status = match rejected {
                    // JSON, and not what is asked here: an error as any other.
                    JsonRejection::JsonDataError(_) => StatusCode::BAD_REQUEST,
                    _ => rejected.status(),
                };
                Err(answer(status, &why, hint))
            }
            Err(_) => Err(answer(StatusCode::REQUEST_TIMEOUT, "the body did not come in time", hint)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_model::identity::IdentityKind;

    #[test]
    fn every_route_is_documented_with_what_it_takes() {
        let text = include_str!("../../../docs/api.md");
        let table = crate::cli::reference::print(crate::cli::reference::Reference::Api);
        assert!(text.ends_with(&table), "cargo xtask docs writes it anew");
    }

    #[test]
    fn failures_have_the_status_that_says_whose_they_are() {
        let of = |failure: Failure| failure.into_response().status().as_u16();
        assert_eq!(of(Failure::usage("no name", "give one")), 400);
        assert_eq!(of(Failure::new("it is taken", "take another")), 409);
        assert_eq!(of(Failure::later("the log has stopped", "start the gateway again")), 503);
        let there = Failure::later("no room", "look at the disk").there().for_elsewhere();
        assert_eq!(there.hint, "on the gateway's machine: look at the disk");
        assert_eq!(there.for_elsewhere().hint, "on the gateway's machine: look at the disk", "said once");
    }

    #[test]
    fn roles_open_what_they_include_and_nothing_else() {
        let of = |roles: Vec<Role>| Caller {
            by: By::from(Link {
                kind: IdentityKind::Agent,
                id: String::new(),
                name: String::new(),
                trust: firsthand_model::identity::Trust::Verified,
            }),
            identity: Some(Arc::new(Identity { roles, ..Identity::default() })),
        };
        let (admin, auditor) = (Needs::Role(Role::Admin), Needs::Role(Role::Auditor));
        for (roles, open) in [
            (vec![], [false, false, false]),
            (vec![Role::Auditor], [true, false, false]),
            (vec![Role::Admin], [true, true, false]),
            (vec![Role::Admin, Role::Auditor], [true, true, false]),
        ] {
            let caller = of(roles);
            assert_eq!([auditor, admin, Needs::Local].map(|needs| caller.may(needs)), open, "{caller:?}");
        }
    }
}
