//! The facts of a session that every one of its entries repeats, so that each can stand alone.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::id::SessionId;
use crate::identity::Identity;
use crate::target::{Durability, Mode};

/// Whose login role a session has at its target.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RoleOf {
    /// The target's: all sessions there have the same.
    #[default]
    Target,
    /// The target's, where each grant has one of its own: the session began without a grant, so none covers what it does.
    Nobody,
    /// This grant's: no other one covers what the session does, and it ends with it.
    Grant(Arc<str>),
}

impl RoleOf {
    /// Whether this grant may cover what the session does.
    pub fn serves(&self, grant: &str) -> bool {
        match self {
            Self::Target => true,
            Self::Nobody => false,
            Self::Grant(own) => **own == *grant,
        }
    }
}

/// Identity of a session bound to what the target itself says. Replaced (not changed) when the role changes.
pub struct SessionFacts {
    /// The session.
    pub id: SessionId,
    /// Who.
    pub identity: Arc<Identity>,
    /// The target's name.
    pub target: String,
    /// The target's database.
    pub database: String,
    /// The role that authenticated at the target (`session_user`).
    pub session_role: String,
    /// The role in force (`current_user`), as far as SET ROLE was seen.
    pub role: String,
    /// The backend's process id; 0 when the target has none.
    pub backend_pid: u32,
    /// The server's version as it says.
    pub server_version: String,
    /// The application that the client claimed to be when it connected (invariant 5: a claim).
    pub application: String,
    /// Strict or relaxed.
    pub durability: Durability,
    /// Enforce or observe.
    pub mode: Mode,
    /// Whose role it has.
    pub role_of: RoleOf,
    /// A slot in which the log's encoder keeps what it renders once per session (the `who` object, the sealing keys).
    pub encoded: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl SessionFacts {
    /// The same session with another role in force.
    #[must_use]
    pub fn with_role(&self, role: &str) -> Self {
        Self {
            id: self.id,
            identity: Arc::clone(&self.identity),
            target: self.target.clone(),
            database: self.database.clone(),
            session_role: self.session_role.clone(),
            role: role.to_owned(),
            backend_pid: self.backend_pid,
            server_version: self.server_version.clone(),
            application: self.application.clone(),
            durability: self.durability,
            mode: self.mode,
            role_of: self.role_of.clone(),
            encoded: OnceLock::new(),
        }
    }
}

impl std::fmt::Debug for SessionFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionFacts")
            .field("id", &self.id)
            .field("login", &self.identity.login)
            .field("target", &self.target)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
