//! What policy says of a command.

use std::sync::Arc;

/// Allow, deny or hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It may not.
    Deny,
    /// It may run once a person has approved it.
    Hold,
}

impl Verdict {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Hold => "hold",
        }
    }
}

/// Duties attached to an allow. None exist until the policy issue brings masking and row caps.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Obligations {
    /// Columns to mask, by the rule's selector. Always empty for now.
    pub mask: Vec<String>,
}

/// A decision with its reason.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Allow, deny or hold.
    pub verdict: Verdict,
    /// The rule's name.
    pub rule: Arc<str>,
    /// The operator's sentence, shown to who is refused. Empty for an allow.
    pub reason: Arc<str>,
    /// Version of the policy that decided.
    pub policy: Arc<str>,
    /// Duties of an allow.
    pub obligations: Arc<Obligations>,
}
