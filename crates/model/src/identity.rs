//! Who: the chain human → agent → token → session → target role, and how each link is known.

use std::sync::Arc;

use crate::id::SessionId;
use crate::time::UnixMicros;

/// How a fact about the actor is known (invariant 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Checked against a key or an identity provider.
    Verified,
    /// Configured together with the token.
    Bound,
    /// Said by the client. Recorded and indexed; never grants anything.
    Claimed,
}

impl Trust {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Bound => "bound",
            Self::Claimed => "claimed",
        }
    }
}

/// What a link of the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdentityKind {
    /// A person.
    Human,
    /// An AI agent.
    Agent,
    /// A job or another program.
    Service,
    /// A token that Firsthand or an issuer issued.
    Token,
    /// A client's TLS certificate.
    Certificate,
}

impl IdentityKind {
    /// All of them.
    const ALL: [Self; 5] = [Self::Human, Self::Agent, Self::Service, Self::Token, Self::Certificate];

    /// The word used in the record and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Agent => "agent",
            Self::Service => "service",
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.word() == word)
    }

    /// Whether it is what somebody was proved by, and nobody that acts.
    pub const fn proves(self) -> bool {
        matches!(self, Self::Token | Self::Certificate)
    }
}

/// What a token lets its holder do at the gateway itself, beyond its targets. Bound: given when the token was made, never
/// by what a client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// All of it: tokens, sessions, the record.
    Admin,
    /// Reads the record and what is listed; changes nothing.
    Auditor,
    /// Sees what waits for approval and answers it, where a rule names a group that the person is in.
    Approver,
    /// Sees what waits for approval of what is done in their own name.
    User,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Auditor, Self::Approver, Self::User];

    /// The word used in the record, in files and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Approver => "approver",
            Self::User => "user",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// Whether who has this role may do what asks for `other`.
    pub const fn includes(self, other: Self) -> bool {
        match (self, other) {
            (Self::Admin, _) | (_, Self::User) => true,
            (own, other) => own as u8 == other as u8,
        }
    }
}

/// One link: a stable pseudonymous id (free of personal data, it stands in leaves) and the readable name (payload only).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// What it is.
    pub kind: IdentityKind,
    /// Pseudonym such as `h-3f09…`, the same for the same name in one data folder.
    pub id: String,
    /// The name people know.
    pub name: String,
    /// How it is known.
    pub trust: Trust,
}

/// The established identity of a session: outermost first (human, agent, certificate, token).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Human → agent → token. Never empty.
    pub chain: Vec<Link>,
    /// The login name that was presented.
    pub login: String,
    /// Which link's keys seal this session's payloads (the human's where there is one, else the actor's).
    pub subject: String,
    /// Targets that the token may reach.
    pub targets: Vec<String>,
    /// What the token lets its holder do at the gateway itself.
    pub roles: Vec<Role>,
    /// Who vouches for it, where that is not Firsthand's own store of tokens: the name of an issuer.
    pub issuer: Option<String>,
    /// The groups that the issuer says it is in, each as `ISSUER/GROUP`.
    pub groups: Vec<String>,
    /// When it ends by itself; of what Firsthand's own store vouches for, of exchanged tokens alone: the store is asked.
    pub expires: Option<UnixMicros>,
    /// The team or person that answers for the agent or service: a fact of it, no link of the chain.
    pub owner: Option<String>,
    /// The client's certificate, where it is what proves this identity, alone or beside a token.
    pub certificate: Option<Arc<Certificate>>,
}

/// A client's certificate, verified, and who it is by the rules.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Certificate {
    /// What the configuration calls the authority behind it.
    pub ca: String,
    /// Its issuer's name, as X.509 writes it.
    pub issuer: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Its subject's name.
    pub subject: String,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// When it ends.
    pub ends: UnixMicros,
    /// Whom it names.
    pub kind: IdentityKind,
    /// By which name.
    pub name: String,
    /// What the client has shown, DER, its own first: it is looked at again when what is trusted has changed.
    pub chain: Arc<[Vec<u8>]>,
    /// SHA-256 of all of that.
    pub digest: [u8; 32],
    /// SHA-256 of whom it names and of all that the rules give for it: what has changed since is noticed by it.
    pub gives: [u8; 32],
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("ca", &self.ca)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The link that acts: the agent or service if there is one (the last, where one acts for another), else the human.
    pub fn actor(&self) -> Option<&Link> {
        let acts = |l: &&Link| matches!(l.kind, IdentityKind::Agent | IdentityKind::Service);
        self.chain.iter().rfind(acts).or_else(|| self.chain.iter().find(|l| l.kind == IdentityKind::Human))
    }

    /// What several rules gave, in order and each once.
    #[must_use]
    pub fn settled(mut self) -> Self {
        for list in [&mut self.targets, &mut self.groups] {
            list.sort_unstable();
            list.dedup();
        }
        self.roles.sort_unstable();
        self.roles.dedup();
        self
    }
}

/// Something that the client said of itself: recorded, searchable, never trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it is about: `application_name`, `traceparent`…
    pub name: String,
    /// What was said.
    pub value: String,
}

/// Where the client came from and how: facts of the connection, all verified by the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ClientFacts {
    /// `address:port` as the socket says.
    pub address: String,
    /// `TLSv1.3`, … or `None` for clear text.
    pub tls: Option<String>,
    /// How the proof was given: `scram-sha-256`, `scram-sha-256-plus`, `clear-text`, `certificate`.
    pub method: &'static str,
    /// Protocol spoken, such as `postgres 3.0`.
    pub protocol: String,
}

/// A session as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionLine {
    /// Its id.
    pub id: SessionId,
    /// The login name.
    pub login: String,
    /// The target's name.
    pub target: String,
}
