//! What is on its way out of a session: bytes in order, some of which must wait until the log is durable up to a ticket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use firsthand_session::port::{ByteStream, Ticket};

/// Bytes waiting in one direction before the other side is no longer read: enough to keep both busy, small enough that
/// thousands of stalled clients cost little.
pub const OUTBOX_BYTES_MAX: usize = 256 << 10;

/// Pieces given to one write: Linux takes up to 1,024; most writes have a few.
const SLICES_PER_WRITE: usize = 32;

/// Pieces smaller than this are copied together instead of being written as slices of their own.
const SMALL: usize = 512;

struct Piece {
    bytes: Bytes,
    after: Option<Ticket>,
}

/// Bytes in order, with gates.
#[derive(Default)]
pub struct Outbox {
    pieces: VecDeque<Piece>,
    waiting: usize,
    flush_due: bool,
}

impl Outbox {
    /// Puts bytes at the end; they leave once the log is durable up to `after`.
    pub fn push(&mut self, bytes: Bytes, after: Option<Ticket>) {
        if bytes.is_empty() {
            return;
        }
        self.waiting += bytes.len();
        if let Some(last) = self.pieces.back_mut()
            && bytes.len() < SMALL
            && last.bytes.len() < SMALL
        {
            // Two small pieces become one; the later gate covers both (positions only grow).
            let mut joined = Vec::with_capacity(2 * SMALL);
            joined.extend_from_slice(&last.bytes);
            joined.extend_from_slice(&bytes);
            last.bytes = Bytes::from(joined);
            last.after = last.after.max(after);
            return;
        }
        self.pieces.push_back(Piece { bytes, after });
    }

    /// Bytes waiting.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether more may be put in.
    pub fn has_room(&self) -> bool {
        self.waiting < OUTBOX_BYTES_MAX
    }

    /// Whether all is out and flushed.
    pub fn is_done(&self) -> bool {
        self.pieces.is_empty() && !self.flush_due
    }

    /// The ticket that the first piece waits for.
    pub fn gate(&self) -> Option<Ticket> {
        self.pieces.front().and_then(|p| p.after)
    }

    /// Opens every gate up to what `durable` says.
    pub fn open_gates(&mut self, durable: impl Fn(Ticket) -> bool) {
        for piece in &mut self.pieces {
            match piece.after {
                Some(ticket) if durable(ticket) => piece.after = None,
                Some(_) => break,
                None => {}
            }
        }
    }

    /// Forgets what waits for the log, and all behind it: it will never be told.
    pub fn drop_gated(&mut self) {
        if let Some(at) = self.pieces.iter().position(|p| p.after.is_some()) {
            self.pieces.truncate(at);
            self.waiting = self.pieces.iter().map(|p| p.bytes.len()).sum();
        }
    }

    /// Writes what may leave. `Ready(Ok(true))`: wrote something.
    ///
    /// # Errors
    /// The socket's own.
    pub fn poll_write(
        &mut self,
        stream: &mut dyn ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let mut wrote = false;
        loop {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(self.pieces.iter().take_while(|p| p.after.is_none())) {
                *slot = IoSlice::new(&piece.bytes);
                count += 1;
            }
            if count == 0 {
                break;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let n = match Pin::new(&mut *stream).poll_write_vectored(cx, slices) {
                Poll::Ready(n) => n?,
                Poll::Pending if wrote => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Pending,
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            wrote = true;
            self.flush_due = true;
            self.advance(n);
        }
        if self.flush_due {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.flush_due = false;
        }
        Poll::Ready(Ok(wrote))
    }

    fn advance(&mut self, mut n: usize) {
        self.waiting = self.waiting.saturating_sub(n);
        while let Some(front) = self.pieces.front_mut() {
            if front.after.is_some() || n < front.bytes.len() {
                if n > 0 {
                    front.bytes.advance(n.min(front.bytes.len()));
                }
                return;
            }
            n -= front.bytes.len();
            self.pieces.pop_front();
        }
    }
}
