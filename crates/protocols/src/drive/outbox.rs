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
    /// The first piece is written in part: it may no longer be made to wait, or to be forgotten.
    begun: bool,
}

impl Outbox {
    /// Puts bytes at the end; they leave once the log is durable up to `after`.
    pub fn push(&mut self, bytes: Bytes, after: Option<Ticket>) {
        if bytes.is_empty() {
            return;
        }
        self.waiting += bytes.len();
        let begun = self.begun && self.pieces.len() == 1;
        if let Some(last) = self.pieces.back_mut()
            && !begun
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
        if self.is_done() {
            return Poll::Ready(Ok(false));
        }
        let mut wrote = false;
        while self.pieces.front().is_some_and(|p| p.after.is_none()) {
            let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
            let mut count = 0;
            for (slot, piece) in slices.iter_mut().zip(self.pieces.iter().take_while(|p| p.after.is_none())) {
                *slot = IoSlice::new(&piece.bytes);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            // One piece, which most writes are, needs no list: the kernel's way for it is shorter.
            let write = match slices {
                [one] => Pin::new(&mut *stream).poll_write(cx, one),
                many => Pin::new(&mut *stream).poll_write_vectored(cx, many),
            };
            let n = match write {
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
        self.begun |= n > 0;
        while let Some(front) = self.pieces.front_mut() {
            if front.after.is_some() || n < front.bytes.len() {
                if n > 0 {
                    front.bytes.advance(n.min(front.bytes.len()));
                }
                return;
            }
            n -= front.bytes.len();
            self.begun = n > 0;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::*;

    /// Takes what its turns allow: a number of bytes, or nothing.
    #[derive(Default)]
    struct Socket {
        taken: Vec<u8>,
        turns: VecDeque<usize>,
        writes: usize,
    }

    impl AsyncRead for Socket {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Socket {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let me = self.get_mut();
            match me.turns.pop_front().unwrap_or(0) {
                0 => Poll::Pending,
                n => {
                    let n = n.min(buf.len());
                    me.writes += 1;
                    me.taken.extend_from_slice(&buf[..n]);
                    Poll::Ready(Ok(n))
                }
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = bufs.iter().flat_map(|b| b.iter().copied()).collect();
            self.poll_write(cx, &all)
        }
    }

    fn write(outbox: &mut Outbox, socket: &mut Socket) {
        let _ = outbox.poll_write(socket, &mut Context::from_waker(Waker::noop()));
    }

    #[test]
    fn order_is_kept_and_nothing_passes_a_closed_gate() {
        for seed in 0..500u64 {
            let mut at = seed;
            let mut next = |below: u64| {
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (at >> 33) % below
            };
            let (mut outbox, mut socket) = (Outbox::default(), Socket::default());
            let (mut all, mut gates, mut durable, mut ticket) = (Vec::new(), Vec::new(), 0, 0);
            for _ in 0..200 {
                match next(4) {
                    0 => {
                        let piece = vec![next(256) as u8; next(1500) as usize];
                        let after = (next(2) == 0).then(|| {
                            ticket += next(3);
                            ticket
                        });
                        if let (Some(after), false) = (after, piece.is_empty()) {
                            gates.push((all.len(), after));
                        }
                        all.extend_from_slice(&piece);
                        outbox.push(Bytes::from(piece), after.map(Ticket));
                    }
                    1 => {
                        durable = durable.max(next(ticket + 2));
                        outbox.open_gates(|t| t.0 < durable);
                    }
                    _ => {
                        socket.turns.extend((0..next(4)).map(|_| next(3000) as usize));
                        write(&mut outbox, &mut socket);
                    }
                }
                assert_eq!(socket.taken, all[..socket.taken.len()]);
                assert_eq!(outbox.waiting(), all.len() - socket.taken.len());
                for (at, gate) in &gates {
                    assert!(
                        socket.taken.len() <= *at || *gate < durable,
                        "seed {seed}: a byte passed its gate"
                    );
                }
            }
            outbox.open_gates(|_| true);
            while !outbox.is_done() {
                socket.turns.push_back(1000);
                write(&mut outbox, &mut socket);
            }
            assert_eq!(socket.taken, all);
        }
    }

    #[test]
    fn small_pieces_share_a_write_and_large_ones_are_not_copied() {
        let (mut outbox, mut socket) = (Outbox::default(), Socket::default());
        for _ in 0..5 {
            outbox.push(Bytes::from_static(&[1; 90]), None);
        }
        let large = Bytes::from(vec![2; 64 << 10]);
        outbox.push(large.clone(), None);
        assert_eq!(outbox.pieces.back().unwrap().bytes.as_ptr(), large.as_ptr());
        socket.turns.push_back(1 << 20);
        write(&mut outbox, &mut socket);
        assert_eq!((socket.writes, socket.taken.len()), (1, 450 + (64 << 10)));
    }

    #[test]
    fn a_message_that_has_begun_is_never_torn() {
        let (mut outbox, mut socket) = (Outbox::default(), Socket::default());
        outbox.push(Bytes::from(vec![1; 100]), None);
        socket.turns.push_back(40);
        write(&mut outbox, &mut socket);
        outbox.push(Bytes::from(vec![2; 100]), Some(Ticket(9)));
        outbox.drop_gated();
        outbox.push(Bytes::from(vec![3; 10]), None);
        socket.turns.push_back(1000);
        write(&mut outbox, &mut socket);
        assert_eq!(socket.taken, [vec![1; 100], vec![3; 10]].concat());
    }

    #[test]
    fn what_waits_for_a_log_that_failed_is_forgotten() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from(vec![1; 600]), None);
        outbox.push(Bytes::from(vec![2; 600]), Some(Ticket(3)));
        outbox.push(Bytes::from(vec![3; 600]), None);
        outbox.drop_gated();
        assert_eq!((outbox.waiting(), outbox.gate()), (600, None));
    }
}
