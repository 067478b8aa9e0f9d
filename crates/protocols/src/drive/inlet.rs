//! One direction of a session's input: a buffer that grows with what comes, and that an idle session does not keep.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use firsthand_session::port::ByteStream;
use tokio::io::{AsyncReadExt as _, ReadBuf};

/// The first size of a read; what a session keeps per direction that is not idle.
const READ_MIN: usize = 2 << 10;
/// The largest size of a read: beyond it a system call costs little of what copying does.
const READ_MAX: usize = 128 << 10;

/// One direction's unread input.
pub(super) struct Inlet {
    pub(super) buf: BytesMut,
    pub(super) size: usize,
    pub(super) open: bool,
}

impl Inlet {
    pub(super) fn new(buf: BytesMut) -> Self {
        Self { buf, size: READ_MIN, open: true }
    }

    /// Reads once. `Ready(Ok(0))` at the end.
    pub(super) fn poll_read(
        &mut self,
        stream: &mut dyn ByteStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.buf.capacity() == 0 {
            return self.poll_first(stream, cx);
        }
        if self.buf.capacity() - self.buf.len() < self.size / 2 {
            self.buf.reserve(self.size);
        }
        let room = self.buf.capacity() - self.buf.len();
        let read = pin!(stream.read_buf(&mut self.buf)).poll(cx);
        if let Poll::Ready(Ok(n)) = read
            && n == room
        {
            self.size = (self.size * 2).min(READ_MAX);
        }
        read
    }

    /// The read that ends a session's idleness: it gets a buffer only if something came.
    fn poll_first(&mut self, stream: &mut dyn ByteStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut first = [0; READ_MIN];
        let mut first = ReadBuf::new(&mut first);
        match Pin::new(stream).poll_read(cx, &mut first) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Ready(Ok(())) => {
                let came = first.filled();
                if !came.is_empty() {
                    self.buf.reserve(self.size);
                    self.buf.extend_from_slice(came);
                }
                Poll::Ready(Ok(came.len()))
            }
        }
    }

    pub(super) fn give_back(&mut self, idle: bool) {
        if self.buf.is_empty() && (idle || self.buf.capacity() > READ_MIN) {
            (self.buf, self.size) = (BytesMut::new(), READ_MIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn an_idle_session_keeps_no_buffers_and_reads_on() {
        let (mut there, mut here) = tokio::io::duplex(3 * READ_MIN);
        let mut inlet = Inlet::new(BytesMut::with_capacity(READ_MIN));
        inlet.give_back(false);
        assert_eq!(inlet.buf.capacity(), READ_MIN, "it may go on at any moment");
        inlet.give_back(true);
        assert_eq!(inlet.buf.capacity(), 0);
        let nothing = poll_fn(|cx| Poll::Ready(inlet.poll_read(&mut here, cx).is_pending())).await;
        assert!(nothing && inlet.buf.capacity() == 0, "to look needs no buffer");
        there.write_all(&[7; READ_MIN + 100]).await.unwrap();
        let mut got = 0;
        while got < READ_MIN + 100 {
            got += poll_fn(|cx| inlet.poll_read(&mut here, cx)).await.unwrap();
        }
        assert_eq!(&*inlet.buf, &[7; READ_MIN + 100]);
        inlet.give_back(true);
        assert_eq!(inlet.buf.len(), got, "what is not taken yet stays");
        drop(there);
        inlet.buf.clear();
        assert_eq!(poll_fn(|cx| inlet.poll_read(&mut here, cx)).await.unwrap(), 0);
    }
}
