//! From what a channel says to a person whose answer counts. A channel's signature proves that the channel says it, and its
//! configuration binds whom it calls so to a person here; that the person may approve is looked for as elsewhere: a token with the
//! role, that holds, and a group of the rule. The channel stands in the chain behind the person.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use firsthand_adapters::approvals::answer::Say;
use firsthand_adapters::channels::chat::Pressed;
use firsthand_adapters::channels::{Way, about, chat};
use firsthand_adapters::identity::token::{Token, TokenKind};
use firsthand_adapters::record::kind_letter;
use firsthand_adapters::state::approvals::{Sort, Stage};
use firsthand_model::event::By;
use firsthand_model::identity::{ClientFacts, Identity, IdentityKind, Link, Role, Trust};
use firsthand_model::time::UnixMicros;
use serde_json::{Value, json};

use super::Channel;
use crate::assemble::Gateway;
use crate::failure::Failure;
use crate::reading::what;
use crate::weigh;

/// Longest name that is kept of whom a channel names.
const THEIRS_BYTES_MAX: usize = 256;
/// Longest id of an approval that is kept.
const ID_BYTES_MAX: usize = 64;

/// An answer as a channel says it.
pub(crate) struct Said {
    /// The approval's id.
    pub(crate) approval: String,
    /// Yes, or no.
    pub(crate) approve: bool,
    /// Whom the channel names.
    pub(crate) theirs: String,
    /// What they said.
    pub(crate) reason: String,
}

/// Why an answer does not count, as the record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Replayed,
    Form,
    UnknownPerson,
    NoRole,
    NotCounted,
}

impl Found {
    const fn word(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Form => "form",
            Self::UnknownPerson => "unknown-person",
            Self::NoRole => "no-role",
            Self::NotCounted => "not-counted",
        }
    }
}

/// The channel itself, as it stands in the record.
fn link(gateway: &Gateway, channel: &Channel) -> Link {
    let (kind, name) = (IdentityKind::Service, format!("channel:{}", channel.spec.name));
    Link { kind, id: gateway.desk.keys.identity_id(kind_letter(kind), &name), name, trust: Trust::Verified }
}

/// Answers as the person that the channel names.
///
/// # Errors
/// Why it does not count; the record has it.
pub(crate) async fn count(
    gateway: &Gateway,
    channel: &Channel,
    said: &Said,
    client: &ClientFacts,
) -> Result<Value, Failure> {
    let refuse = |found: Found, failure: Failure| {
        refused(gateway, channel, client, found, Some(said), &failure.messages.join("; "));
        failure
    };
    let Some(name) = channel.spec.person(&said.theirs) else {
        let theirs: String = said.theirs.chars().take(THEIRS_BYTES_MAX / 4).collect();
        let failure = Failure::new(
            format!("nobody here is called `{}` by the channel {}", theirs.escape_debug(), channel.spec.name),
            "an administrator lists them in `people` of the [[channel]]",
        );
        return Err(refuse(Found::UnknownPerson, failure));
    };
    let Some(by) = person(gateway, channel, name, client) else {
        let failure = Failure::new(
            format!("{name} has no token with the role approver that holds"),
            "firsthand token create NAME --kind human --on-behalf-of PERSON --role approver",
        );
        return Err(refuse(Found::NoRole, failure));
    };
    let say = if said.approve { Say::Approve } else { Say::Deny };
    let saying = weigh::Saying::unsigned(say, &said.reason);
    match weigh::answer(&gateway.approvals, (Sort::Command, &said.approval), &by, saying).await {
        Ok(answered) => {
            gateway.channels.counts.answers.fetch_add(1, Relaxed);
            Ok(answered)
        }
        // It may count when it comes again.
        Err(failure) if failure.later => Err(failure),
        Err(failure) => Err(refuse(Found::NotCounted, failure)),
    }
}

/// Answers as the person who has pressed a button of a message.
///
/// # Errors
/// Why it does not count; the record has it.
pub(crate) async fn count_press(
    gateway: &Gateway,
    channel: &Channel,
    press: &Pressed,
    client: &ClientFacts,
) -> Result<Value, Failure> {
    let said = Said {
        approval: press.approval.clone(),
        approve: press.approve,
        theirs: press.user.clone(),
        reason: String::new(),
    };
    if let Err(failure) = is_offered(gateway, channel, press).await {
        if !failure.later {
            refused(gateway, channel, client, Found::NotCounted, Some(&said), &failure.messages.join("; "));
        }
        return Err(failure);
    }
    count(gateway, channel, &said, client).await
}

/// Whether there is such a button, whatever came signed: in the channel's own conversation, and to approve only by a message that
/// shows exactly what would run.
async fn is_offered(gateway: &Gateway, channel: &Channel, press: &Pressed) -> Result<(), Failure> {
    let Way::Slack { conversation, .. } = &channel.spec.way else { return Ok(()) };
    if press.message.as_ref().is_some_and(|at| at.conversation != *conversation) {
        return Err(Failure::new(
            "the button was pressed in another conversation than the channel's",
            "answer in the conversation that the [[channel]] names, or on the command line",
        ));
    }
    let found = gateway.approvals.state().approval(&press.approval).await;
    let found = found.map_err(|e| weigh::state_failure(&e))?;
    // Of what is not there, or over, it is told elsewhere.
    let Some((row, votes)) = found.filter(|(row, _)| press.approve && row.stage == Stage::Asked) else {
        return Ok(());
    };
    let about =
        about::of(&weigh::described(&row, Some(&votes), &weigh::Beside::default()), channel.spec.text);
    if chat::is_approved_here(&about) {
        return Ok(());
    }
    Err(Failure::new(
        "it is not approved here: its message does not show exactly what would run",
        "firsthand approvals show ID shows all of it; approve it there",
    ))
}

/// The person of this name, where somebody has made them an approver: all by which they are known, and the channel.
fn person(gateway: &Gateway, channel: &Channel, name: &str, client: &ClientFacts) -> Option<By> {
    let keys = Arc::clone(&gateway.desk.keys);
    let pseudonym = move |kind: IdentityKind, name: &str| keys.identity_id(kind_letter(kind), name);
    let (engine, now) = (&gateway.engine, gateway.engine.clock.now());
    let mut chain: Vec<Link> = Vec::new();
    for token in gateway.desk.tokens.list() {
        if !is_approver(&token, name) {
            continue;
        }
        let links = token.chain(&pseudonym);
        let end = token.expires.filter(|_| token.is_passing());
        let identity = Identity {
            chain: links.clone(),
            login: token.name.clone(),
            expires: end.map(|end| UnixMicros(u64::try_from(end.as_microsecond()).unwrap_or(0))),
            roles: token.roles.clone(),
            groups: token.groups().to_vec(),
            ..Identity::default()
        };
        if engine.identity.recheck(&identity, now).is_err() {
            continue;
        }
        // No token was shown: whom it names is bound to the channel.
        let people =
            links.into_iter().filter(|l| !l.kind.proves()).map(|l| Link { trust: Trust::Bound, ..l });
        for one in people {
            if !chain.iter().any(|known| known.name == one.name) {
                chain.push(one);
            }
        }
    }
    // The name that counts in groups comes first.
    let at = chain.iter().position(|link| link.name == name)?;
    chain.swap(0, at);
    let own = chain.first()?.clone();
    chain.push(link(gateway, channel));
    Some(By { link: own, chain, client: Some(client.clone()) })
}

/// Whether it is a person's token, of that name, with the role.
fn is_approver(token: &Token, name: &str) -> bool {
    let own = token.on_behalf_of.as_deref().unwrap_or_else(|| token.names());
    token.kind == TokenKind::Human
        && own == name
        && token.roles.iter().any(|role| role.includes(Role::Approver))
}

/// An answer did not count: an entry of its own. What comes here is signed by the channel, so nobody else makes many of them.
pub(crate) fn refused(
    gateway: &Gateway,
    channel: &Channel,
    client: &ClientFacts,
    found: Found,
    said: Option<&Said>,
    why: &str,
) {
    gateway.channels.counts.refused.fetch_add(1, Relaxed);
    let own = link(gateway, channel);
    let by = By { link: own.clone(), chain: vec![own], client: Some(client.clone()) };
    let mut leaf = json!({ "channel": channel.spec.name, "found": found.word() });
    let mut detail = json!({ "why": why });
    if let (Some(said), Value::Object(leaf), Value::Object(detail)) = (said, &mut leaf, &mut detail) {
        // What is no id is not put among facts.
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if said.approval.len() <= ID_BYTES_MAX && said.approval.bytes().all(fits) {
            leaf.insert("approval".to_owned(), json!(said.approval));
        }
        let theirs: String = said.theirs.chars().take(THEIRS_BYTES_MAX / 4).collect();
        detail.insert("theirs".to_owned(), json!(theirs));
    }
    if let Err(failure) = gateway.desk.queue("admin.channel_refused", &by, what(&leaf), what(&detail)) {
        tracing::error!(
            "that an answer over a channel did not count is not recorded: {}",
            failure.messages.join("; ")
        );
    }
}
