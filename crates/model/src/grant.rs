//! Just-in-time access: what a target offers, what is asked for, and what an entry says of it.

use std::sync::Arc;

use crate::command::Effects;
use crate::identity::Link;

/// What may be asked for at a target, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantOffer {
    /// The group of which people must approve.
    pub approvers: Arc<str>,
    /// So many different people of it.
    pub quorum: u64,
    /// Whoever is in the identity chain that asks may approve it, too.
    pub own: bool,
    /// The longest time, in µs.
    pub longest_us: u64,
    /// How long it can be approved once it is asked for, in µs.
    pub answer_us: u64,
    /// What may be asked for.
    pub effects: Effects,
}

/// Each grant at a target has a login role of its own there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRoles {
    /// The role of which it is a member: what that may do, it may.
    pub group: String,
    /// How its name begins.
    pub prefix: String,
    /// So many connections it may have at a time.
    pub connections: u32,
}

/// A call to the gateway itself, in the words of the protocol that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessCall {
    /// Access is asked for.
    Request(AccessRequest),
    /// What became of what was asked for.
    Status,
    /// It is one of the two, and cannot be read: why, in a sentence.
    Unreadable(String),
}

/// What is asked for, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessRequest {
    /// For how long: `2h`.
    pub lasts: String,
    /// Words with commas: `read,write`.
    pub effects: String,
    /// Why.
    pub reason: String,
    /// Tables as `schema.name` or `schema.*`, with commas; empty: any.
    pub tables: String,
    /// At most so many commands.
    pub commands: Option<u64>,
}

/// What a grant is for, as entries about it say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GrantFacts {
    /// Who has it: everybody of the chain that acts, without tokens and certificates.
    pub of: Vec<Link>,
    /// The target.
    pub target: String,
    /// The database there.
    pub database: String,
    /// What may be done.
    pub effects: Effects,
    /// Where: `schema.name`, `schema.*`; empty: anywhere.
    pub tables: Vec<String>,
    /// How long, in µs, from when it is given.
    pub lasts_us: u64,
    /// At most so many commands.
    pub commands: Option<u64>,
}
