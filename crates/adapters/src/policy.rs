//! The plainest policy: what a token's targets allow is allowed.

use std::sync::Arc;

use firsthand_model::decision::{Decision, Obligations, Verdict};
use firsthand_model::masking::MaskDuty;
use firsthand_model::session::SessionFacts;
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{Ask, Policy};

/// Version of this policy, in every decision and in `log.started`.
pub const POLICY_VERSION: &str = "builtin-1";
/// The rule that allows.
const RULE: &str = "token-targets";

/// Allows every command on a target that the token names, and denies every other.
#[derive(Debug)]
pub struct AllowTokenTargets {
    rule: Arc<str>,
    version: Arc<str>,
    allowed: Arc<str>,
    denied: Arc<str>,
    advice: Arc<str>,
    obligations: Arc<Obligations>,
}

impl Default for AllowTokenTargets {
    fn default() -> Self {
        Self {
            rule: Arc::from(RULE),
            version: Arc::from(POLICY_VERSION),
            allowed: Arc::from(""),
            denied: Arc::from("the token does not name this target"),
            advice: Arc::from("Use a token that names this target."),
            obligations: Arc::default(),
        }
    }
}

impl Policy for AllowTokenTargets {
    fn decide(&self, ask: &Ask<'_>) -> Decision {
        let session = ask.session;
        // The door has checked this already; whoever opens another door must not get past here.
        let named = session.identity.targets.contains(&session.target);
        let (verdict, reason) =
            if named { (Verdict::Allow, &self.allowed) } else { (Verdict::Deny, &self.denied) };
        Decision {
            verdict,
            rule: Arc::clone(&self.rule),
            reason: Arc::clone(reason),
            advice: Arc::clone(if named { &self.allowed } else { &self.advice }),
            policy: Arc::clone(&self.version),
            obligations: Arc::clone(&self.obligations),
            terms: None,
        }
    }

    /// It masks nothing.
    fn masks_of_rows(
        &self,
        _: &SessionFacts,
        _: (&str, &str),
        columns: &[&str],
        _: UnixMicros,
    ) -> Option<MaskDuty> {
        Some(MaskDuty { columns: Some(vec![None; columns.len()]), ..MaskDuty::default() })
    }
}
