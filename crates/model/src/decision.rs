//! What policy says of a command.

use std::sync::Arc;

use crate::amount::Limits;
use crate::masking::MaskDuty;

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

    /// How much it stands in the way: of several, the highest counts.
    pub const fn strictness(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Hold => 1,
            Self::Deny => 2,
        }
    }
}

/// Duties attached to an allow.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Obligations {
    /// What has to be masked in the reply.
    pub mask: MaskDuty,
    /// What must not be passed; `None`: nothing is limited.
    pub limits: Option<Arc<Limits>>,
}

/// A group of which so many different people must approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvers {
    /// The group's name.
    pub group: Arc<str>,
    /// So many of it.
    pub quorum: u64,
}

/// What a hold waits for, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldTerms {
    /// All of these must approve: one for each rule that holds. Never empty.
    pub approvers: Vec<Approvers>,
    /// Whoever is in the command's own identity chain may approve it, too.
    pub own: bool,
    /// How long the command itself waits before its client is told that the approval is pending, in µs.
    pub wait_us: u64,
    /// How long it can be approved, in µs.
    pub ttl_us: u64,
    /// How long an approval can be spent, in µs.
    pub spend_us: u64,
    /// Who may release it alone, with a reason: somebody who is in a group of each of these. A list that is empty has nobody; so has no list at all.
    pub break_glass: Vec<Vec<Arc<str>>>,
    /// Only an answer counts that is signed with a key of who gives it.
    pub signed: bool,
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
    /// What who is refused can do next, in whole sentences. Empty for an allow, and where nothing is known to help.
    pub advice: Arc<str>,
    /// Version of the policy that decided.
    pub policy: Arc<str>,
    /// Duties of an allow.
    pub obligations: Arc<Obligations>,
    /// Of a hold: who must approve. `None`: nobody can.
    pub terms: Option<Arc<HoldTerms>>,
}
