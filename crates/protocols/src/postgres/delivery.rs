//! Limits on what is delivered: when the next row or piece would pass one, the client reads an error in its place, and the
//! target is made to stop.

use std::sync::Arc;

use firsthand_session::{Permit, Refusal, RefusalKind};
use firsthand_wire::postgres::frame::{Scan, scan};

use super::capture::Capture;
use super::dialect::PostgresDialect;
use super::flight::Sent;
use super::server::{Step, Walk};
use crate::dialect::Action;

/// How much one command may deliver.
#[derive(Debug)]
pub(super) struct Delivery {
    rows: Option<u64>,
    bytes: Option<u64>,
    rule: Arc<str>,
}

impl Delivery {
    /// The limits of a permitted command, if it has any.
    pub(super) fn of(permit: &Permit) -> Option<Self> {
        let (rows, bytes, rule) = permit.delivery_limits()?;
        Some(Self { rows, bytes, rule: Arc::clone(rule) })
    }

    /// The refusal, when a message of `len` bytes more would pass a limit.
    fn refuses(&self, capture: &Capture, len: usize) -> Option<Refusal> {
        let (rows, bytes) = capture.delivered();
        let over = |most: Option<u64>, next: u64| most.filter(|most| next > *most);
        let what = match (over(self.rows, rows + 1), over(self.bytes, bytes + len as u64)) {
            (Some(most), _) => format!("{most} rows"),
            (None, Some(most)) => format!("{most} bytes"),
            (None, None) => return None,
        };
        let rule = &self.rule;
        let text = format!(
            "Firsthand stopped this result: at most {what} are delivered (rule {rule}), and there are more; ask for fewer rows"
        );
        let mut refusal = Refusal::new(RefusalKind::Limit, text)
            .hint("What was delivered before this error is a part of the result only.");
        refusal.rule = Arc::clone(rule);
        Some(refusal)
    }
}

impl PostgresDialect {
    /// Whether the command that answers now may deliver only so much.
    pub(super) fn is_delivery_limited(&self) -> bool {
        self.flight.running.front().is_some_and(|r| r.delivery.is_some())
    }

    /// One row or piece of copy data of such a command. `None`: it is delivered as any other.
    pub(super) fn stop_delivery(
        &mut self,
        len: usize,
        walk: &mut Walk<'_>,
        out: &mut Vec<Action>,
    ) -> Option<Step> {
        if !matches!(self.flight.first().map(|e| &e.sent), Some(Sent::Execute(_) | Sent::Script)) {
            return None;
        }
        let running = self.flight.running.front_mut()?;
        let delivery = running.delivery.take()?;
        let refusal = delivery.refuses(running.capture(), len);
        running.delivery = Some(delivery);
        let refusal = refusal?;
        self.flush(walk, out);
        let step = self.undo(&refusal, None, len, walk, out);
        out.push(Action::StopTarget);
        Some(step)
    }

    /// The length of the whole message that the walk stands before.
    pub(super) fn next_len(&self, walk: &Walk<'_>) -> usize {
        match scan(walk.rest(), &self.server_rules) {
            Ok(Scan::Frame(frame)) => frame.len(),
            _ => 0,
        }
    }
}
