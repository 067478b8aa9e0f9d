//! COMMIT of a transaction that may have failed by then: the target would roll it back, and what stands behind it in the same
//! flight would mean something else. It waits until the target has told.

use bytes::{Buf as _, BytesMut};
use firsthand_model::outcome::Transaction;
use firsthand_session::{Refusal, RefusalKind};
use firsthand_sql::judge::After;

use super::client::Next;
use super::dialect::PostgresDialect;
use super::text::Reading;
use crate::dialect::Action;

impl PostgresDialect {
    /// Whether one of them ends a transaction that may have failed by then, as the target has not told yet: COMMIT would roll it
    /// back, and what comes behind it would mean something else.
    pub(super) fn ends_unsurely<'a>(&self, mut afters: impl Iterator<Item = &'a After>) -> bool {
        self.transaction != Transaction::Idle && afters.any(After::commits) && self.flight.may_have_failed()
    }

    /// Such a message waits for the target's answers, but not behind a COPY, which itself waits for the client.
    pub(super) fn await_end(
        &mut self,
        tag: u8,
        len: usize,
        input: &mut BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        if !self.flight.is_reading_copy() {
            return self.stall(out);
        }
        input.advance(len);
        self.refuse_in_place(tag, commit_in_copy(), out);
        Next::Taken
    }

    /// A Query that was read here.
    pub(super) fn query_read(
        &mut self,
        reading: Reading,
        len: usize,
        input: &mut BytesMut,
        out: &mut Vec<Action>,
    ) -> Next {
        if self.must_look(b'Q', reading.shapes(), out) {
            return Next::Waits;
        }
        if self.ends_unsurely(reading.pieces.iter().map(|piece| &piece.after)) {
            return self.await_end(b'Q', len, input, out);
        }
        self.query(reading, input.split_to(len), out)
    }

    /// The same for a message that was read elsewhere. True: it is not taken in now.
    pub(super) fn read_ends_unsurely(&mut self, tag: u8, out: &mut Vec<Action>) -> bool {
        if !self.read.as_ref().is_some_and(|read| self.ends_unsurely(read.afters())) {
            return false;
        }
        if self.flight.is_reading_copy() {
            self.read = None;
            self.refuse_in_place(tag, commit_in_copy(), out);
            return true;
        }
        matches!(self.stall(out), Next::Waits)
    }
}

fn commit_in_copy() -> Refusal {
    let text =
        "Firsthand cannot tell what this COMMIT ends while a COPY reads from the client, so it was not run";
    Refusal::new(RefusalKind::Unsupported, text).hint("Send it when the COPY is over.")
}
