//! Nobody approves yet: a hold ends in a refusal that says so.

use firsthand_session::port::{Approval, ApprovalError, Approver, BoxFuture, Hold};

/// The approver of a gateway without approvals.
#[derive(Clone, Copy, Debug, Default)]
pub struct NobodyToAsk;

impl Approver for NobodyToAsk {
    fn approve<'a>(&'a self, _hold: &'a Hold) -> BoxFuture<'a, Result<Approval, ApprovalError>> {
        Box::pin(std::future::ready(Err(ApprovalError::NobodyToAsk)))
    }
}
