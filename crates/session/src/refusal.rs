//! What a client reads on no. Each protocol turns it into its own error, in one `refuse.rs`.

use std::sync::Arc;

/// The family of a refusal: decides the protocol's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// Policy says no.
    Denied,
    /// The client cancelled while the command was held.
    Cancelled,
    /// An approval is pending: send the same command again later.
    Pending,
    /// It could not be recorded, so it was not run.
    NotRecorded,
    /// A limit was passed.
    Limit,
    /// The proof was not accepted, or the target is unknown or not allowed: one answer for all of them.
    Identity,
    /// The gateway or its target cannot serve now.
    Unavailable,
    /// The gateway is stopping.
    Draining,
    /// An administrator has contained the session, its identity or its target.
    Contained,
    /// What the client sent is not the protocol.
    Protocol,
    /// The protocol has it, but this gateway does not let it through.
    Unsupported,
}

/// A refusal: what happened and what to do, in words for the client. Never the text of an internal error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its family.
    pub kind: RefusalKind,
    /// One line that says what happened and what to do: the only field that reaches a model through every MCP server.
    pub message: String,
    /// More for people; may be empty.
    pub detail: String,
    /// What to do, for people; may be empty.
    pub hint: String,
    /// The rule that refused; empty when it was no rule.
    pub rule: Arc<str>,
}

impl Refusal {
    /// A refusal with only a message.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: String::new(),
            hint: String::new(),
            rule: Arc::from(""),
        }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The record cannot be written: the command did not run (invariant 3).
    pub fn not_recorded() -> Self {
        Self::new(
            RefusalKind::NotRecorded,
            "Firsthand could not record this command, so it was not run; try again later",
        )
        .detail("The gateway's log cannot be written at the moment.")
        .hint("Ask the operator to look at the gateway's health (/readyz).")
    }

    /// The outcome could not be recorded: what the target did is not told (invariant 2).
    pub fn outcome_not_recorded() -> Self {
        Self::new(
            RefusalKind::NotRecorded,
            "Firsthand could not record how this command ended; check at the target whether it took effect",
        )
        .hint("Ask the operator to look at the gateway's health (/readyz).")
    }

    /// The one answer to a wrong token, an unknown target and a forbidden target.
    pub fn identity(login: &str) -> Self {
        let login = printable(login);
        let message =
            format!("authentication failed for \"{login}\"; check the login name, the token and the target");
        Self::new(RefusalKind::Identity, message).hint(
            "Tokens end and can be revoked; who made this one can make a new one (firsthand token create).",
        )
    }

    /// An administrator has contained the session, its identity or its target: it ends here. Which of them is for the record.
    pub fn contained() -> Self {
        Self::new(
            RefusalKind::Contained,
            "Firsthand ended this session: an administrator has contained it, and nothing of it runs any more; ask the operator",
        )
        .hint("The gateway's record says who did that, and why (admin.contained).")
    }

    /// An administrator has contained the target: told to those whom it would open to.
    pub fn target_contained() -> Self {
        Self::new(
            RefusalKind::Contained,
            "Firsthand opens no session to this target: an administrator has contained it; ask the operator",
        )
        .hint("The gateway's record says who did that, and why (admin.contained).")
    }

    /// The gateway is stopping.
    pub fn draining() -> Self {
        Self::new(RefusalKind::Draining, "Firsthand is stopping; connect again in a moment")
    }
}

/// A name as it may be shown: control characters out, at most 63 characters (PostgreSQL's own limit of names).
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(63).collect()
}
