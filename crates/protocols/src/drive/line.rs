//! One end of a connection while it is being set up: a byte stream and what has been read from it but not understood.
//! Handshakes are written as plain sequences over a `Line`; sockets stay in here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use firsthand_session::port::ByteStream;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::tls::{ClientTls, ServerTls, TlsFacts};

/// Bytes read at a time during a handshake: its messages are small, and thousands may be half open.
const HANDSHAKE_READ: usize = 1024;

/// Bytes that may pile up unread in a handshake. PostgreSQL's own limits per message are below it; whoever sends more
/// before being let in is refused.
pub const HANDSHAKE_BYTES_MAX: usize = 128 << 10;

/// One end of a connection.
pub struct Line {
    stream: Option<Box<dyn ByteStream>>,
    /// Bytes read and not yet consumed.
    pub input: BytesMut,
    /// The TLS session in force.
    pub tls: Option<TlsFacts>,
}

impl Line {
    /// Takes a connected stream.
    pub fn new(stream: Box<dyn ByteStream>) -> Self {
        Self { stream: Some(stream), input: BytesMut::new(), tls: None }
    }

    /// Takes the stream and the unconsumed input out.
    pub fn into_parts(self) -> (Option<Box<dyn ByteStream>>, BytesMut) {
        (self.stream, self.input)
    }

    fn stream(&mut self) -> io::Result<&mut Box<dyn ByteStream>> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads some more into `input`. Cancel-safe.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side has closed, `InvalidData` past [`HANDSHAKE_BYTES_MAX`], or the socket's own.
    pub async fn fill(&mut self) -> io::Result<()> {
        if self.input.len() >= HANDSHAKE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too much before the handshake was done"));
        }
        self.input.reserve(HANDSHAKE_READ);
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        match stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes all of it. Not cancel-safe.
    ///
    /// # Errors
    /// The socket's own.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream()?;
        stream.write_all(bytes).await?;
        stream.flush().await
    }

    /// Closes the sending side, after a last message. Errors do not matter any more.
    pub async fn finish(&mut self) {
        if let Ok(stream) = self.stream() {
            let _ = stream.shutdown().await;
        }
    }

    /// Accepts TLS from the client. Bytes already read are part of the handshake only when the client began it unasked
    /// (`direct`); otherwise the caller has made sure that there are none (CVE-2021-23214).
    ///
    /// # Errors
    /// The handshake's own.
    pub async fn accept_tls(&mut self, tls: &ServerTls) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let prefixed = Prefixed { prefix: std::mem::take(&mut self.input), inner: stream };
        let accepted = TlsAcceptor::from(tls.config.clone()).accept(prefixed).await?;
        self.tls = Some(TlsFacts::of_client(accepted.get_ref().1));
        self.stream = Some(Box::new(accepted));
        Ok(())
    }

    /// Starts TLS toward a target.
    ///
    /// # Errors
    /// The handshake's own, certificate errors included.
    pub async fn connect_tls(&mut self, tls: &ClientTls) -> io::Result<()> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let name = ServerName::try_from(tls.server_name.clone())
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        let connected = TlsConnector::from(tls.config.clone()).connect(name, stream).await?;
        self.tls = Some(TlsFacts::of(connected.get_ref().1));
        self.stream = Some(Box::new(connected));
        Ok(())
    }
}

/// A stream that first gives what was already read from it.
struct Prefixed {
    prefix: BytesMut,
    inner: Box<dyn ByteStream>,
}

impl AsyncRead for Prefixed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.prefix.is_empty() {
            return Pin::new(&mut me.inner).poll_read(cx, buf);
        }
        let n = me.prefix.len().min(buf.remaining());
        buf.put_slice(me.prefix.get(..n).unwrap_or_default());
        me.prefix.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
