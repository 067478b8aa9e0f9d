//! One try to tell one channel something of an approval.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use firsthand_adapters::approvals::answer::wanted;
use firsthand_adapters::channels::{ChannelSpec, MailTls, Occasion, Way, about, chat, mail, signed};
use firsthand_adapters::clock::wall;
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_session::secret::Secret;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::queue::Delivery;
use super::{Channel, Secrets};
use crate::assemble::Gateway;
use crate::fetch::{Post, post};
use crate::weigh;

/// From the mail server's address to its last word: greylisting answers quickly, and what is slower is tried again.
const MAIL_TIME_MAX: Duration = Duration::from_secs(30);
/// One question to it.
const MAIL_STEP_MAX: Duration = Duration::from_secs(10);
/// Who has asked that nothing is sent there any more.
const GONE: u16 = 410;

/// What came of a try that did not fail.
pub(crate) enum Outcome {
    Sent,
    /// It is not for this channel, or there is nothing to tell any more.
    NotForIt,
}

/// A try that failed.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Why, for the record: no secret and no address stands in it.
    pub(crate) why: String,
    /// Whether it may be otherwise later.
    pub(crate) again: bool,
}

fn later(why: impl Into<String>) -> Attempt {
    Attempt { why: why.into(), again: true }
}

fn never(why: impl Into<String>) -> Attempt {
    Attempt { why: why.into(), again: false }
}

/// Tells it.
pub(super) async fn attempt(
    gateway: &Gateway,
    channel: &Channel,
    delivery: &Delivery,
) -> Result<Outcome, Attempt> {
    let found =
        gateway.approvals.state().approval(&delivery.approval).await.map_err(|e| later(e.to_string()))?;
    let Some((row, votes)) = found else { return Ok(Outcome::NotForIt) };
    let (spec, groups) = (&channel.spec, wanted(&row));
    if !spec.groups.is_empty() && !groups.iter().any(|w| spec.groups.contains(&w.group)) {
        return Ok(Outcome::NotForIt);
    }
    // Its entry comes first, and the state a moment later.
    if u64::try_from(votes.len()).unwrap_or(u64::MAX) < delivery.given && delivery.occasion == Occasion::Given
    {
        return Err(later("the state does not have it yet"));
    }
    let broken = delivery.occasion == Occasion::GlassBroken;
    if broken && !votes.iter().any(|vote| vote.glass) {
        return Err(later("the state does not have it yet"));
    }
    let about = about::of(&weigh::described(&row, Some(&votes), &weigh::Beside::default()), spec.text);
    let secrets = channel.secrets.as_ref().map_err(|why| later(why.clone()))?;
    match (&spec.way, secrets) {
        (Way::Webhook { url, .. }, Secrets::Webhook(keys)) => {
            let kind = format!("approval.{}", delivery.occasion.word());
            webhook((url, spec.ca.as_deref()), keys, &delivery.message, &kind, about).await?;
        }
        (Way::Slack { api, conversation, .. }, Secrets::Slack { token, signing }) => {
            let answers = signing.is_some() && !spec.people.is_empty();
            let at = Slack { api, token, ca: spec.ca.as_deref() };
            let posted = gateway.channels.posted(&spec.name, &delivery.approval);
            if posted.is_none() && !broken && !spec.on.contains(&delivery.occasion) {
                return Ok(Outcome::NotForIt);
            }
            let mut said = None;
            if let Some(there) = &posted {
                let update = chat::update(&there.conversation, &there.ts, &about, answers);
                said = at.ask("chat.update", &update).await?;
            }
            // Nobody is told of a message that changes.
            if posted.is_none() || broken {
                said = at.ask("chat.postMessage", &chat::message(conversation, &about, answers)).await?;
            }
            if let (Some(posted), true) = (said, about.get("state") == Some(&json!("asked"))) {
                gateway.channels.note_posted(&spec.name, &delivery.approval, posted);
            }
        }
        (Way::Mail { .. }, Secrets::Mail { password }) => {
            let (subject, text) = mail::words(&about, delivery.occasion);
            send_mail(spec, password.as_ref(), &delivery.message, (&subject, text)).await?;
        }
        _ => return Err(never("its secrets are of another kind")),
    }
    Ok(Outcome::Sent)
}

async fn webhook(
    (url, ca): (&str, Option<&Path>),
    keys: &signed::Keys,
    id: &str,
    kind: &str,
    data: Value,
) -> Result<(), Attempt> {
    let now = wall().0;
    let body = json!({ "type": kind, "timestamp": rfc3339(now), "data": data }).to_string();
    let seconds = now / 1_000_000;
    let signature = keys.sign(id, seconds, body.as_bytes());
    let headers = vec![
        (signed::ID, Secret::new(id.to_owned())),
        (signed::TIMESTAMP, Secret::new(seconds.to_string())),
        (signed::SIGNATURE, Secret::new(signature)),
    ];
    let sent = post(url, ca, &Post { headers, body: Bytes::from(body), reads: false }).await;
    match sent.map_err(later)? {
        (200..=299, _) => Ok(()),
        (GONE, _) => Err(never("status 410: nothing is wanted there any more")),
        (status, _) => Err(later(format!("status {status}"))),
    }
}

/// Slack's API.
struct Slack<'a> {
    api: &'a str,
    token: &'a Secret,
    ca: Option<&'a Path>,
}

impl Slack<'_> {
    async fn ask(&self, method: &str, what: &Value) -> Result<Option<chat::Posted>, Attempt> {
        let bearer = Secret::new(format!("Bearer {}", self.token.expose()));
        let body = Bytes::from(what.to_string());
        let asked = Post { headers: vec![("authorization", bearer)], body, reads: true };
        let (status, body) = post(&format!("{}/{method}", self.api), self.ca, &asked).await.map_err(later)?;
        if status != 200 {
            return Err(later(format!("{method}: status {status}")));
        }
        chat::answered(&body).map_err(|(word, again)| Attempt { why: format!("{method}: {word}"), again })
    }
}

/// Tells one person in a conversation something that nobody else sees. It is no loss where that fails.
pub(crate) async fn whisper(channel: &Channel, conversation: &str, user: &str, words: &str) {
    let (Way::Slack { api, .. }, Ok(Secrets::Slack { token, .. })) = (&channel.spec.way, &channel.secrets)
    else {
        return;
    };
    let at = Slack { api, token, ca: channel.spec.ca.as_deref() };
    if let Err(e) = at.ask("chat.postEphemeral", &chat::whisper(conversation, user, words)).await {
        tracing::debug!("channel {}: somebody was not told: {}", channel.spec.name, e.why);
    }
}

/// Sends a message that says no more than that it arrives.
///
/// # Errors
/// Why it did not.
pub(crate) async fn test(channel: &Channel) -> Result<(), String> {
    let (spec, name) = (&channel.spec, &channel.spec.name);
    let secrets = channel.secrets.as_ref().map_err(Clone::clone)?;
    let id = format!("msg_test_{}", wall().0);
    let tried = match (&spec.way, secrets) {
        (Way::Webhook { url, .. }, Secrets::Webhook(keys)) => {
            webhook((url, spec.ca.as_deref()), keys, &id, "channel.test", json!({ "channel": name })).await
        }
        (Way::Slack { api, conversation, .. }, Secrets::Slack { token, .. }) => {
            let at = Slack { api, token, ca: spec.ca.as_deref() };
            at.ask("chat.postMessage", &chat::test(conversation, name)).await.map(drop)
        }
        (Way::Mail { .. }, Secrets::Mail { password }) => {
            let text = "This is a test of a channel of Firsthand. Nothing waits for you.\n".to_owned();
            send_mail(
                spec,
                password.as_ref(),
                &id,
                (&format!("Firsthand: a test of the channel {name}"), text),
            )
            .await
        }
        _ => Err(never("its secrets are of another kind")),
    };
    tried.map_err(|failed| failed.why)
}

async fn send_mail(
    spec: &ChannelSpec,
    password: Option<&Secret>,
    id: &str,
    (subject, text): (&str, String),
) -> Result<(), Attempt> {
    let Way::Mail { host, port, tls, login, from, to } = &spec.way else {
        return Err(never("it is no mail"));
    };
    let unfit = |e: String| never(format!("the mail cannot be written: {e}"));
    let mut message = Message::builder()
        .from(from.parse().map_err(|e| unfit(format!("{e}")))?)
        // The same over all tries: who gets it twice sees that it is one.
        .message_id(Some(format!("<{id}@{}>", domain(from))))
        .subject(subject)
        .header(ContentType::TEXT_PLAIN);
    for one in to {
        message = message.to(one.parse().map_err(|e| unfit(format!("{e}")))?);
    }
    let message = message.body(text).map_err(|e| unfit(e.to_string()))?;
    let tls = tls_towards(host, *tls, spec.ca.as_deref()).await.map_err(later)?;
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
        .port(*port)
        .tls(tls)
        .timeout(Some(MAIL_STEP_MAX));
    if let (Some(login), Some(password)) = (login, password) {
        server = server.credentials(Credentials::new(login.user.clone(), password.expose().to_owned()));
    }
    let server = server.build();
    match timeout(MAIL_TIME_MAX, server.send(message)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Attempt { why: said(&e), again: !e.is_permanent() }),
        Err(_) => Err(later("it does not answer in time")),
    }
}

/// What the server said, with what lies behind it: a connection's own error alone says little.
fn said(e: &lettre::transport::smtp::Error) -> String {
    let mut out = e.to_string();
    let mut source = std::error::Error::source(e);
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !out.contains(&inner_text) {
            out.push_str(&format!(": {inner_text}"));
        }
        source = inner.source();
    }
    out
}

fn domain(from: &str) -> &str {
    from.rsplit_once('@').map_or("firsthand", |(_, domain)| domain.trim_end_matches('>'))
}

/// Its certificate is verified whatever stands there. Reading authorities takes files.
async fn tls_towards(host: &str, tls: MailTls, ca: Option<&Path>) -> Result<Tls, String> {
    if tls == MailTls::None {
        return Ok(Tls::None);
    }
    let (host, ca) = (host.to_owned(), ca.map(Path::to_path_buf));
    let read = move || {
        let mut parameters = TlsParameters::builder(host);
        if let Some(file) = ca {
            let pem = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|e| format!("{}: {e}", file.display()))?;
            parameters =
                parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
        }
        parameters.build_rustls().map_err(|e| e.to_string())
    };
    let parameters = tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| "its authorities cannot be read".to_owned())??;
    Ok(if tls == MailTls::Wrapped { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}
