//! A named server behind the gateway, as the engine sees it.

use std::sync::Arc;

use crate::grant::{GrantOffer, GrantRoles};
use crate::limits::RecordLimits;

/// Whether refusals are enforced (invariant 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Decide, record, refuse.
    #[default]
    Enforce,
    /// Decide and record, refuse nothing; every entry says so.
    Observe,
}

/// When an entry counts as recorded (invariants 1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// `fdatasync` has returned before the client or the target goes on.
    #[default]
    Strict,
    /// Nothing waits; `fdatasync` follows within 5 ms; entries say so.
    Relaxed,
}

/// Which rows a write touched: how much of that is found out and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChangedRows {
    /// Nothing is added to what the client asks; the record says so.
    #[default]
    Off,
    /// The keys of the rows.
    Keys,
    /// Their keys and values.
    Values,
    /// What the target's own log of changes (WAL) says of each transaction; what the client asks stays as it is.
    Wal,
}

impl ChangedRows {
    /// The word in configurations.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Keys => "keys",
            Self::Values => "values",
            Self::Wal => "wal",
        }
    }
}

/// What the engine needs to know of a target. Address, TLS and credential are the driver's and the adapters' business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name clients use.
    pub name: String,
    /// The registry's name of its protocol.
    pub protocol: String,
    /// `host:port` of the server.
    pub address: String,
    /// Enforce or observe.
    pub mode: Mode,
    /// Strict or relaxed.
    pub durability: Durability,
    /// How much of results is kept.
    pub record: RecordLimits,
    /// Which rows a write touched: how much of that is kept.
    pub changed: ChangedRows,
    /// Whether sessions that cannot be observed (replication) are let through, recorded as unobserved.
    pub allow_unobserved: bool,
    /// Whether transactions of sessions that may only read are READ ONLY at the server, too.
    pub pin_read_only: bool,
    /// Whether a session that its client has not named is named at the server by its id.
    pub name_sessions: bool,
    /// Databases that may be named behind the target's name; empty: only the configured one.
    pub databases: Vec<String>,
    /// The database used when the client names none.
    pub database: String,
    /// What can be asked for there for a time; `None`: nothing.
    pub grants: Option<Arc<GrantOffer>>,
    /// Nothing runs there but under a grant.
    pub needs_grant: bool,
    /// Each grant has a login role of its own there; `None`: all sessions have the target's.
    pub roles: Option<Arc<GrantRoles>>,
}
