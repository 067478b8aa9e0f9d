//! Channels: ways to tell people outside of Firsthand what waits for approval, and to hear what they say. What each of them
//! is, and the pure part of what it speaks: signatures, messages. What sends and listens is elsewhere.

pub mod about;
pub mod chat;
pub mod mail;
mod shown;
pub mod signed;

use std::path::PathBuf;

use crate::credentials::{CredentialSpec, PasswordPlace};

/// Both clocks may be this far apart, in seconds; what is older, or comes from later, does not count. As the Standard Webhooks
/// specification and Slack have it.
pub const TOLERANCE_S: u64 = 300;
/// How long it is remembered what came over a channel, in µs: longer than its time counts in both directions.
pub const REMEMBERED_US: u64 = 3 * TOLERANCE_S * 1_000_000;

/// What becomes of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Occasion {
    /// It waits for people.
    Asked,
    /// Somebody approved it.
    Given,
    /// Somebody refused it.
    Refused,
    /// Its time is over.
    Expired,
    /// Nobody waits for it any more.
    Withdrawn,
    /// It was spent.
    Spent,
    /// Somebody broke the glass. Channels are told of it whatever they are configured to be told of.
    GlassBroken,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Asked,
        Self::Given,
        Self::Refused,
        Self::Expired,
        Self::Withdrawn,
        Self::Spent,
        Self::GlassBroken,
    ];

    /// The word in the configuration, in messages and in the record.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Given => "given",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Spent => "spent",
            Self::GlassBroken => "glass_broken",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|occasion| occasion.word() == word)
    }

    /// The one that an entry of this kind tells of.
    #[must_use]
    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::parse(kind.strip_prefix("approval.")?)
    }
}

/// How a connection to a mail server is kept from being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// It begins in the clear and must change to TLS before anything is said.
    StartTls,
    /// TLS from its first byte.
    Wrapped,
    /// None: this machine only.
    None,
}

/// What a channel speaks, and with whom.
#[derive(Clone, Debug)]
pub enum Way {
    /// Signed requests, by the Standard Webhooks specification.
    Webhook {
        /// Where they are sent.
        url: String,
        /// What they are signed with, in both directions.
        secret: PasswordPlace,
    },
    /// Slack.
    Slack {
        /// Where its API is.
        api: String,
        /// The bot's token.
        token: PasswordPlace,
        /// What its requests are signed with; without one, nobody answers there.
        signing_secret: Option<PasswordPlace>,
        /// The id of the conversation that is told.
        conversation: String,
    },
    /// Mail. Nobody answers there.
    Mail {
        /// The server's name.
        host: String,
        /// Its port.
        port: u16,
        /// TLS towards it.
        tls: MailTls,
        /// What is presented there.
        login: Option<CredentialSpec>,
        /// Who sends it.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
}

impl Way {
    /// The word in the configuration and in the record.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::Mail { .. } => "mail",
        }
    }
}

/// One channel, as configured.
#[derive(Clone, Debug)]
pub struct ChannelSpec {
    /// Its name: part of the paths where answers come in.
    pub name: String,
    /// What it is told of, beside broken glass.
    pub on: Vec<Occasion>,
    /// Only what one of these groups must approve; empty: all.
    pub groups: Vec<String>,
    /// Whether statements, parameters and reasons are sent.
    pub text: bool,
    /// Whom the channel knows by which name: what it calls them, and their name here.
    pub people: Vec<(String, String)>,
    /// Authorities to trust for it; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// What it speaks.
    pub way: Way,
}

impl ChannelSpec {
    /// Who that is here, whom the channel calls so. Only who is configured is anybody.
    #[must_use]
    pub fn person(&self, theirs: &str) -> Option<&str> {
        self.people.iter().find(|(known, _)| known == theirs).map(|(_, name)| name.as_str())
    }
}
