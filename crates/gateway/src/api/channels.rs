//! Answers that come in over channels. Who asks shows no token: the request is signed with the secret of the channel that its path
//! names, is of now, and counts once. What is not so gets one answer, whatever is wrong with it.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path as UrlPath, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use firsthand_adapters::channels::signed::{ID, SIGNATURE, TIMESTAMP, Unsigned, check_slack};
use firsthand_adapters::channels::{REMEMBERED_US, Way, chat};
use firsthand_adapters::clock::wall;
use firsthand_model::identity::ClientFacts;
use firsthand_session::Wanted;
use serde::Deserialize;
use serde_json::Value;

use super::acts::to_its_end;
use super::door::Connection;
use super::{Api, answer as reply};
use crate::channels::answer::{Found, Said, count, count_press, refused};
use crate::channels::{Channel, Secrets, deliver};
use crate::failure::Failure;
use crate::web::HEAD_WAIT_MAX;
use crate::weigh::state_failure;

/// Largest body: an answer has some hundred bytes, a press of a button brings its message along.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Slack's headers.
const SLACK_TIMESTAMP: &str = "x-slack-request-timestamp";
const SLACK_SIGNATURE: &str = "x-slack-signature";
/// The kind of message that answers: none of those that are sent out, so that none of them can be sent back.
const ANSWER: &str = "approval.answer";

/// What a webhook answers with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Webhook {
    r#type: String,
    #[serde(default, rename = "timestamp")]
    _timestamp: Option<Value>,
    data: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    approval: String,
    answer: Word,
    by: String,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Approve,
    Deny,
}

/// A request that its channel has signed.
struct Signed {
    channel: Arc<Channel>,
    client: ClientFacts,
    body: Bytes,
    /// What tells it from others.
    request: String,
}

pub(super) async fn answer(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Response {
    let check = |secrets: &Secrets, headers: &HeaderMap, body: &[u8], now| {
        let Secrets::Webhook(keys) = secrets else { return Err(Unsigned::Headers) };
        let (id, time, signatures) =
            (only(headers, ID)?, only(headers, TIMESTAMP)?, only(headers, SIGNATURE)?);
        keys.check((id, time, signatures), body, now)?;
        Ok(id.to_owned())
    };
    let signed = match signed(&api, &from, &name, "webhook", request, check).await {
        Ok(signed) => signed,
        Err(response) => return response,
    };
    let Some(said) = webhook(&signed.body) else {
        let why = "it is no approval.answer as docs/channels.md describes it";
        refused(&api.gateway, &signed.channel, &signed.client, Found::Form, None, why);
        return Failure::usage(why, "send {\"type\":\"approval.answer\",\"data\":{…}}").into_response();
    };
    match counted(&api, signed, said).await {
        Ok(answered) => answered,
        Err(response) => response,
    }
}

fn webhook(body: &[u8]) -> Option<Said> {
    let Webhook { r#type, data, .. } = serde_json::from_slice(body).ok()?;
    let Data { approval, answer, by, reason } = data;
    let approve = matches!(answer, Word::Approve);
    (r#type == ANSWER).then_some(Said { approval, approve, theirs: by, reason })
}

async fn counted(api: &Arc<Api>, signed: Signed, said: Said) -> Result<Response, Response> {
    let Signed { channel, client, request, .. } = signed;
    first(api, &channel, &client, &request).await?;
    let gateway = Arc::clone(&api.gateway);
    let answered = to_its_end(async move {
        let counted = count(&gateway, &channel, &said, &client).await;
        forget_if_later(&gateway, &channel, &request, &counted).await;
        counted.map(axum::Json)
    });
    Ok(answered.await.into_response())
}

/// Whether a request comes for the first time.
async fn first(api: &Api, channel: &Channel, client: &ClientFacts, request: &str) -> Result<(), Response> {
    let (state, now) = (api.gateway.approvals.state(), wall().0);
    match state.first_seen(&channel.spec.name, request, now, now.saturating_sub(REMEMBERED_US)).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            refused(&api.gateway, channel, client, Found::Replayed, None, "this request came before");
            let hint = "an answer is signed anew, with an id of its own";
            Err(reply(StatusCode::CONFLICT, "this request came before", hint))
        }
        Err(e) => Err(state_failure(&e).into_response()),
    }
}

/// What could not be looked at now may come again as it is.
async fn forget_if_later(
    gateway: &crate::assemble::Gateway,
    channel: &Channel,
    request: &str,
    counted: &Result<Value, Failure>,
) {
    if counted.as_ref().is_err_and(|failure| failure.later)
        && let Err(e) = gateway.approvals.state().not_seen(&channel.spec.name, request).await
    {
        tracing::warn!(
            "channel {}: a request that should be sent again will not count: {e}",
            channel.spec.name
        );
    }
}

pub(super) async fn pressed(
    State(api): State<Arc<Api>>,
    Extension(from): Extension<Connection>,
    UrlPath(name): UrlPath<String>,
    request: Request,
) -> Response {
    let check = |secrets: &Secrets, headers: &HeaderMap, body: &[u8], now| {
        let Secrets::Slack { signing: Some(secret), .. } = secrets else { return Err(Unsigned::Headers) };
        let (time, signature) = (only(headers, SLACK_TIMESTAMP)?, only(headers, SLACK_SIGNATURE)?);
        check_slack(secret.expose(), (time, signature), body, now)?;
        // It is of the time and the whole body: the same press has the same.
        Ok(signature.to_owned())
    };
    let signed = match signed(&api, &from, &name, "slack", request, check).await {
        Ok(signed) => signed,
        Err(response) => return response,
    };
    if let Err(response) = first(&api, &signed.channel, &signed.client, &signed.request).await {
        return response;
    }
    let payload =
        form_urlencoded::parse(&signed.body).find(|(name, _)| name == "payload").map(|(_, value)| value);
    // Slack asks for other things, too (a link that was followed): they mean nothing here.
    let Some(press) = payload.and_then(|payload| chat::pressed(&payload)) else {
        return StatusCode::OK.into_response();
    };
    let gateway = Arc::clone(&api.gateway);
    let Signed { channel, client, request, .. } = signed;
    let answered = to_its_end(async move {
        if let Some(posted) = press.message.as_ref().filter(|at| is_own(&channel, at)) {
            gateway.channels.note_posted(&channel.spec.name, &press.approval, posted.clone());
        }
        let counted = count_press(&gateway, &channel, &press, &client).await;
        forget_if_later(&gateway, &channel, &request, &counted).await;
        if let (Err(failure), Some(posted)) = (&counted, press.message) {
            let words = format!("This did not count: {}", failure.messages.join("; "));
            // Slack waits for an answer to the press for 3 s only.
            tokio::spawn(async move {
                deliver::whisper(&channel, &posted.conversation, &press.user, &words).await
            });
        }
        counted.map(axum::Json)
    });
    match answered.await {
        Err(failure) if failure.later => failure.into_response(),
        // Slack shows nothing of it, whatever it is.
        _ => StatusCode::OK.into_response(),
    }
}

/// Whether a message stands in the channel's own conversation.
fn is_own(channel: &Channel, at: &chat::Posted) -> bool {
    matches!(&channel.spec.way, Way::Slack { conversation, .. } if at.conversation == *conversation)
}

/// The only header of this name.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Unsigned> {
    let mut all = headers.get_all(name).iter();
    let (Some(one), None) = (all.next(), all.next()) else { return Err(Unsigned::Headers) };
    one.to_str().map_err(|_| Unsigned::Headers)
}

/// Reads a request to its end and looks at its signature, before anything else of it is looked at.
async fn signed(
    api: &Api,
    from: &Connection,
    name: &str,
    method: &'static str,
    request: Request,
    check: impl Fn(&Secrets, &HeaderMap, &[u8], u64) -> Result<String, Unsigned>,
) -> Result<Signed, Response> {
    if !from.may_carry_secrets() {
        let hint = "use https; the gateway needs [listen] tls for it";
        return Err(reply(
            StatusCode::FORBIDDEN,
            "answers are not taken in clear text from other machines",
            hint,
        ));
    }
    let client = ClientFacts { method, ..from.client.clone() };
    let (parts, body) = request.into_parts();
    let body = whole(body).await?;
    let channel = api.gateway.channels.find(name);
    let unknown = "there is no such channel, or it takes no answers";
    let found =
        channel.as_ref().filter(|channel| !channel.spec.people.is_empty()).map(|channel| &channel.secrets);
    let checked = match found {
        Some(Ok(secrets)) => check(secrets, &parts.headers, &body, wall().0 / 1_000_000)
            .map_err(|unsigned| unsigned.to_string()),
        Some(Err(_)) => Err("the channel's secret cannot be read".to_owned()),
        None => Err(unknown.to_owned()),
    };
    match (checked, channel) {
        (Ok(request), Some(channel)) => Ok(Signed { channel, client, body, request }),
        (Ok(_), None) => Err(not_signed()),
        (Err(why), _) => {
            let short: String = name.chars().take(64).collect();
            let wanted = Wanted { login: short, ..Wanted::default() };
            api.gateway.engine.record_refused(true, "signature", &wanted, &client, &why);
            Err(not_signed())
        }
    }
}

/// The one answer to what no channel has signed.
fn not_signed() -> Response {
    let hint = "see docs/channels.md: the secret, the clock, and the body to the last byte";
    reply(StatusCode::UNAUTHORIZED, "this is not signed by a channel that is known here, or not now", hint)
}

async fn whole(body: Body) -> Result<Bytes, Response> {
    let hint = "docs/channels.md describes what is sent";
    match tokio::time::timeout(HEAD_WAIT_MAX, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            Err(reply(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or was not whole", hint))
        }
        Err(_) => Err(reply(StatusCode::REQUEST_TIMEOUT, "the body did not come in time", hint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_is_an_answer() {
        let said = webhook(br#"{"type":"approval.answer","data":{"approval":"ap-1","answer":"deny","by":"u","reason":"no"}}"#);
        let said = said.unwrap();
        assert_eq!((said.approval.as_str(), said.approve, said.theirs.as_str()), ("ap-1", false, "u"));
        for other in [
            // What was sent out does not come back as an answer.
            r#"{"type":"approval.asked","data":{"approval":"ap-1","answer":"approve","by":"u"}}"#,
            r#"{"type":"approval.answer","data":{"approval":"ap-1","answer":"yes","by":"u"}}"#,
            r#"{"type":"approval.answer","data":{"approval":"ap-1","answer":"approve"}}"#,
            r#"{"type":"approval.answer","data":{"approval":"ap-1","answer":"approve","by":"u","as":"x"}}"#,
            r#"{"type":"approval.answer","data":{"approval":"ap-1","answer":"approve","by":"u"},"data":{}}"#,
            "[]",
        ] {
            assert!(webhook(other.as_bytes()).is_none(), "{other}");
        }
    }
}
