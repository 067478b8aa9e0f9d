//! Limits on what is delivered: each row or piece is counted before it goes, for its statement, session and identity. When the
//! next one would pass a limit, the client reads an error in its place, and the target is made to stop.

use firsthand_model::amount::Labelled;
use firsthand_session::Permit;
use firsthand_wire::postgres::frame::{Scan, scan};

use super::changed::Changed;
use super::dialect::PostgresDialect;
use super::flight::Sent;
use super::server::{Step, Walk};
use crate::dialect::Action;

/// How what one command delivers is counted.
#[derive(Debug)]
pub(super) struct Delivery {
    labelled: Labelled,
    /// It may be more than is allowed.
    pub(super) may_refuse: bool,
}

impl Delivery {
    /// That of a permitted command, if something of it is counted.
    pub(super) fn of(permit: &Permit) -> Option<Self> {
        let counts = permit.counts_delivery();
        counts.then(|| Self { labelled: permit.labelled(), may_refuse: permit.may_refuse_delivery() })
    }

    /// The labelled cells of a row, or of a piece of copy data, which holds one.
    fn cells(&self, tag: u8, body: &[u8]) -> u64 {
        match &self.labelled {
            Labelled::Uncounted => 0,
            Labelled::Columns(columns) => columns.iter().filter(|labelled| **labelled).count() as u64,
            Labelled::All if tag == b'D' => {
                body.first_chunk::<2>().map_or(0, |count| u64::from(u16::from_be_bytes(*count)))
            }
            Labelled::All => {
                let count = |of: u8| body.iter().filter(|b| **b == of).count() as u64;
                1 + count(b'\t').max(count(b','))
            }
        }
    }
}

impl PostgresDialect {
    /// Whether what the command that answers now delivers is counted, row by row.
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
        if running.changed.as_ref().is_some_and(Changed::is_unseen) {
            return None;
        }
        let delivery = running.delivery.take()?;
        let cells = delivery.cells(walk.rest().first().copied().unwrap_or_default(), walk.body(len));
        let delivered = running.permit.deliver(1, len as u64, cells);
        running.delivery = Some(delivery);
        let refusal = delivered.err()?;
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
