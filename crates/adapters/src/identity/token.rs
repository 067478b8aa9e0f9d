//! What a token is: a login name, whom it names, what it may reach, until when.

use std::str::FromStr;

use firsthand_model::identity::{IdentityKind, Link, Role, Trust};
use firsthand_model::time::UnixMicros;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::scram::Verifier;
use super::visible::{is_reserved, is_visible};

/// Longest login name: PostgreSQL's clients cut names at 63 bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest name of a person or service that a token acts for.
const WHO_BYTES_MAX: usize = 256;
/// Longest name of an owner.
const OWNER_BYTES_MAX: usize = 256;
/// Targets in one token.
const TARGETS_MAX: usize = 256;

/// Makes the stable pseudonym of a name, for leaves: the key store's business.
pub type Pseudonym = dyn Fn(IdentityKind, &str) -> String + Send + Sync;

/// Whom a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// An AI agent.
    Agent,
    /// A person.
    Human,
    /// A job or another program.
    Service,
}

impl TokenKind {
    /// The kind of the link it makes in the chain.
    #[must_use]
    pub const fn identity(self) -> IdentityKind {
        match self {
            Self::Agent => IdentityKind::Agent,
            Self::Human => IdentityKind::Human,
            Self::Service => IdentityKind::Service,
        }
    }
}

impl FromStr for TokenKind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "agent" => Ok(Self::Agent),
            "human" => Ok(Self::Human),
            "service" => Ok(Self::Service),
            other => Err(format!("`{other}` is not one of agent, human, service")),
        }
    }
}

/// A token that was shown for another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// Its name, as in an identity chain: the id of one of Firsthand's, `ISSUER/JTI` of an issuer's.
    pub token: String,
    /// The issuer that vouched for it; absent: Firsthand's own store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// Why somebody may act for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The person's token says so (RFC 8693 4.4).
    MayAct,
    /// The gateway's configuration says so.
    Configuration,
}

impl Consent {
    /// The word used in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::MayAct => "may_act",
            Self::Configuration => "configuration",
        }
    }
}

/// How a token came by exchange (RFC 8693): of the token of a person and that of who acts for them, which both were proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchanged {
    /// The name of who acts; the token has a login name of its own.
    pub actor: String,
    /// What the actor showed.
    pub actor_by: Shown,
    /// What the person showed.
    pub subject_by: Shown,
    /// Why the one may act for the other.
    pub consent: Consent,
    /// The person's groups, as their issuer said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// By which way somebody signed in at their issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// With a code that was typed in elsewhere (RFC 8628).
    Device,
    /// In a browser that came back with a code (RFC 6749 4.1, RFC 7636).
    Browser,
}

impl How {
    /// The word used in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Browser => "browser",
        }
    }
}

/// How a token came by signing in (OpenID Connect): of the identity token that an issuer gave, and which was proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIn {
    /// The person; the token has a login name of its own.
    pub person: String,
    /// What the issuer calls them, for ever (`sub`).
    pub subject: String,
    /// The issuer's token.
    pub by: Shown,
    /// How that was signed.
    pub algorithm: String,
    /// Which way it came.
    pub how: How,
    /// The issuer said who may act for the person (`may_act`). What that was is not kept, so nobody may by this token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_act: bool,
    /// The person's groups, as their issuer said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its own name, never used again: `tok-` and 16 hexadecimal digits.
    pub id: String,
    /// The login name.
    pub name: String,
    /// Whom it names.
    pub kind: TokenKind,
    /// The person it acts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The team or person that answers for whom it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How it came by exchange; absent: an administrator made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchanged: Option<Exchanged>,
    /// How it came by signing in; absent: it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_in: Option<SignedIn>,
    /// The targets it may reach.
    pub targets: Vec<String>,
    /// What it lets its holder do at the gateway itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "roles")]
    pub roles: Vec<Role>,
    /// Since when.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Until when; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// What is kept of its secret.
    pub scram: Verifier,
}

/// Whether a token may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may.
    Valid,
    /// It was revoked.
    Revoked,
    /// It has ended.
    Expired,
}

impl State {
    /// The word shown in lists.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl Token {
    /// Whom it names: of an exchanged one, who acts by it; of one that came by signing in, who did.
    #[must_use]
    pub fn names(&self) -> &str {
        match (&self.exchanged, &self.signed_in) {
            (Some(exchanged), _) => &exchanged.actor,
            (None, Some(signed_in)) => &signed_in.person,
            (None, None) => &self.name,
        }
    }

    /// What was shown for it, where it was not an administrator who made it. With one of these it ends, too; of an issuer's, when
    /// that issuer does not count any more.
    pub fn shown(&self) -> impl Iterator<Item = &Shown> {
        let exchanged =
            self.exchanged.iter().flat_map(|exchanged| [&exchanged.subject_by, &exchanged.actor_by]);
        exchanged.chain(self.signed_in.iter().map(|signed_in| &signed_in.by))
    }

    /// Whether it was made for a short time by what was shown, and is forgotten when it has ended.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.exchanged.is_some() || self.signed_in.is_some()
    }

    /// The groups of the person behind it, as their issuer said.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        let exchanged = self.exchanged.as_ref().map(|exchanged| &exchanged.groups);
        exchanged.or(self.signed_in.as_ref().map(|signed_in| &signed_in.groups)).map_or(&[], Vec::as_slice)
    }

    /// Whether it may be used at `now`, as far as it says itself.
    #[must_use]
    pub fn state(&self, now: UnixMicros) -> State {
        let now = i64::try_from(now.0).unwrap_or(i64::MAX);
        if self.revoked.is_some() {
            State::Revoked
        } else if self.expires.is_some_and(|end| end.as_microsecond() <= now) {
            State::Expired
        } else {
            State::Valid
        }
    }

    /// The identity chain it establishes: the person it acts for (verified where their own token was shown for it, else bound),
    /// whom it names, and itself (verified).
    #[must_use]
    pub fn chain(&self, pseudonym: &Pseudonym) -> Vec<Link> {
        let link =
            |kind, name: &str, trust| Link { kind, id: pseudonym(kind, name), name: name.to_owned(), trust };
        let known = if self.exchanged.is_some() { Trust::Verified } else { Trust::Bound };
        let person = self.on_behalf_of.as_ref().map(|who| link(IdentityKind::Human, who, known));
        person
            .into_iter()
            .chain([
                link(self.kind.identity(), self.names(), Trust::Verified),
                link(IdentityKind::Token, &self.id, Trust::Verified),
            ])
            .collect()
    }
}

/// What is asked of a new token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The login name.
    pub name: String,
    /// Whom it names.
    pub kind: TokenKind,
    /// The person it acts for.
    pub on_behalf_of: Option<String>,
    /// The team or person that answers for whom it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The targets it may reach.
    pub targets: Vec<String>,
    /// What it lets its holder do at the gateway itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "roles")]
    pub roles: Vec<Role>,
    /// Seconds until it ends; absent: until it is revoked.
    pub ttl_seconds: Option<u64>,
}

/// Roles as their words.
mod roles {
    use firsthand_model::identity::Role;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(roles: &[Role], s: S) -> Result<S::Ok, S::Error> {
        roles.iter().map(|role| role.word()).collect::<Vec<_>>().serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Role>, D::Error> {
        let words = Vec::<String>::deserialize(d)?;
        let mut roles = Vec::with_capacity(words.len());
        for word in words {
            let role = Role::parse(&word).ok_or_else(|| D::Error::custom(format!("`{word}` is no role")))?;
            roles.push(role);
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(roles)
    }
}

/// Why a token cannot be made as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// The name is not fit for a login name.
    #[error(
        "`{0}` is not fit for a login name: 1 to 63 of the letters a-z and A-Z, digits, `-`, `_` and `.`, starting with a letter or digit"
    )]
    Name(String),
    /// The person's name is not fit.
    #[error(
        "the name of who it acts for must have 1 to 256 bytes, no characters that are not seen, and no space at an end"
    )]
    OnBehalfOf,
    /// The owner's name is not fit.
    #[error(
        "the name of an owner must have 1 to {OWNER_BYTES_MAX} bytes, no characters that are not seen, and no space at an end"
    )]
    Owner,
    /// A name that only the gateway gives.
    #[error(
        "`{0}` begins with local: or channel:, as the names of this machine's users and channels do: nobody else has one"
    )]
    Reserved(String),
    /// No target.
    #[error("a token without a role must name at least one target")]
    NoTarget,
    /// Too many.
    #[error("a token names at most {TARGETS_MAX} targets")]
    TooManyTargets,
    /// No time at all, or more than the calendar holds.
    #[error("a token cannot end after {0} seconds")]
    Ttl(u64),
}

/// Whether a token may have this login name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    starts && name.len() <= NAME_BYTES_MAX && name.chars().all(fits)
}

impl NewToken {
    /// One that names somebody and opens nothing yet.
    #[must_use]
    pub fn new(name: &str, kind: TokenKind) -> Self {
        let (targets, roles) = (Vec::new(), Vec::new());
        Self {
            name: name.to_owned(),
            kind,
            on_behalf_of: None,
            owner: None,
            targets,
            roles,
            ttl_seconds: None,
        }
    }

    /// Checks what does not need the store.
    ///
    /// # Errors
    /// See [`BadToken`].
    pub fn check(&self) -> Result<(), BadToken> {
        let told = [Some(&self.name), self.on_behalf_of.as_ref(), self.owner.as_ref()];
        if let Some(name) = told.into_iter().flatten().find(|name| is_reserved(name)) {
            return Err(BadToken::Reserved(name.chars().take(NAME_BYTES_MAX).collect()));
        }
        if !is_name(&self.name) {
            return Err(BadToken::Name(self.name.chars().take(NAME_BYTES_MAX).collect()));
        }
        let unfit = |name: &Option<String>, most: usize| {
            let name = name.as_ref();
            name.is_some_and(|n| n.len() > most || !is_visible(n))
        };
        if unfit(&self.on_behalf_of, WHO_BYTES_MAX) {
            return Err(BadToken::OnBehalfOf);
        }
        if unfit(&self.owner, OWNER_BYTES_MAX) {
            return Err(BadToken::Owner);
        }
        match self.targets.len() {
            0 if self.roles.is_empty() => Err(BadToken::NoTarget),
            n if n > TARGETS_MAX => Err(BadToken::TooManyTargets),
            _ => Ok(()),
        }
    }

    /// When it ends, counted from `now`.
    ///
    /// # Errors
    /// [`BadToken::Ttl`].
    pub fn expires(&self, now: Timestamp) -> Result<Option<Timestamp>, BadToken> {
        let Some(seconds) = self.ttl_seconds else { return Ok(None) };
        let length = i64::try_from(seconds).ok().filter(|s| *s > 0).map(jiff::SignedDuration::from_secs);
        let end = length.and_then(|length| now.checked_add(length).ok());
        end.map(Some).ok_or(BadToken::Ttl(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_nobody_who_is_not_seen_or_whom_only_the_gateway_names() {
        let plain = NewToken { targets: vec!["shop".to_owned()], ..NewToken::new("bot", TokenKind::Agent) };
        let for_whom = |name: &str| NewToken { on_behalf_of: Some(name.to_owned()), ..plain.clone() }.check();
        let of = |name: &str| NewToken { owner: Some(name.to_owned()), ..plain.clone() }.check();
        for name in ["ada@example.com", "Zo\u{eb} \u{c5}ngstr\u{f6}m", "corp/ada"] {
            assert_eq!((for_whom(name), of(name)), (Ok(()), Ok(())), "{name:?}");
        }
        for name in ["", " ada", "ada ", "a\u{200b}da", "a\nda", "ada\u{a0}"] {
            assert_eq!(
                (for_whom(name), of(name)),
                (Err(BadToken::OnBehalfOf), Err(BadToken::Owner)),
                "{name:?}"
            );
        }
        for name in ["local:root", "LOCAL:root", " local:root", "channel:ops", "l\u{200b}ocal:root"] {
            let reserved = || Err(BadToken::Reserved(name.to_owned()));
            assert_eq!((for_whom(name), of(name)), (reserved(), reserved()), "{name:?}");
            assert_eq!(NewToken { name: name.to_owned(), ..plain.clone() }.check(), reserved());
        }
    }
}
