//! One request and its answer, for code that waits: hyper on a thread of its own, which reads ahead while what came is shown.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use firsthand_protocols::drive::tls::ClientTls;
use firsthand_session::secret::Secret;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::listen::tls_toward_gateway;

/// How long a connection may take to be there, TLS included.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the gateway may take to begin its answer: longer than it waits for its own log, or for its turn.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a stream may be silent: a gateway that lives says so every ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Bytes of the answer read ahead of what is shown: a replay takes its time, and the gateway does not wait for that.
const AHEAD_BYTES_MAX: u32 = 16 << 20;
/// What a piece takes beside its bytes, about.
const PIECE_BYTES: usize = 256;

/// Why there is no answer, or no more of it.
#[derive(Debug)]
pub(super) enum Gone {
    Unreachable(String),
    Unverified(String),
    /// Its certificate is an authority itself.
    OwnAuthority,
    NoTls(String),
    Broken(String),
}

/// Whether a host is the machine that asks.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Where a gateway is.
pub(super) struct Host {
    /// As it was given, for messages.
    pub(super) url: String,
    name: String,
    port: u16,
    tls: Option<ClientTls>,
}

impl Host {
    /// `https://HOST[:PORT]`, or `http://` of this machine.
    pub(super) fn parse(url: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let bad = |what: &str| {
            Failure::usage(
                format!("--gateway {url}: {what}"),
                "write https://HOST:PORT, or http://127.0.0.1:PORT for one on this machine",
            )
        };
        if url.contains('@') {
            // It may hold a secret: it is not printed.
            return Err(Failure::usage(
                "--gateway: a URL with a name or a secret in it",
                "give the token in FIRSTHAND_TOKEN or --token-file FILE",
            ));
        }
        let (secure, rest) = match url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(bad("neither https:// nor http://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(Failure::usage(
                format!("--gateway {url}: there is something behind the host"),
                "leave out the path: https://HOST:PORT",
            ));
        }
        let (name, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((name, port)) => (name, port.parse().map_err(|_| bad("no port of that number"))?),
            None => (rest, if secure { 443 } else { 80 }),
        };
        let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if name.is_empty()
            || !name.chars().all(plain)
            || name.contains(':') && name.parse::<IpAddr>().is_err()
        {
            return Err(bad("no host of that name"));
        }
        if !secure && !is_this_machine(name) {
            return Err(bad("a token is not sent in clear text to another machine"));
        }
        if !secure && ca.is_some() {
            return Err(bad("--ca is of no use without https"));
        }
        let tls = secure.then(|| tls_toward_gateway(name, ca)).transpose()?;
        Ok(Self { url: url.to_owned(), name: name.to_owned(), port, tls })
    }

    pub(super) fn is_near(&self) -> bool {
        is_this_machine(&self.name)
    }

    /// Always in the same words.
    pub(super) fn address(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority().to_ascii_lowercase())
    }

    fn authority(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    async fn connect(&self) -> Result<TcpStream, Gone> {
        let unreachable = |e: std::io::Error| Gone::Unreachable(e.to_string());
        let addresses =
            tokio::net::lookup_host((self.name.as_str(), self.port)).await.map_err(unreachable)?;
        // A name for this machine that leads elsewhere gets no token in clear text.
        let fit = |address: &SocketAddr| self.tls.is_some() || address.ip().is_loopback();
        let mut failed = Gone::Unreachable("the name has no address to be used".to_owned());
        for address in addresses.filter(fit) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => failed = unreachable(e),
            }
        }
        Err(failed)
    }
}

/// What goes with a request.
pub(super) enum Sent<'a> {
    /// JSON, and the token of who asks, where they have one.
    Json { token: Option<&'a Secret>, body: &'a Value },
    /// A form, in which all tokens are that count.
    Form(&'a Secret),
}

/// A request that was answered; the rest of the answer comes.
pub(super) struct Exchange {
    pub(super) status: u16,
    pieces: mpsc::UnboundedReceiver<Ahead>,
    /// Bounds what waits in `pieces`.
    room: Arc<Semaphore>,
}

/// A piece that was read ahead, and the room that it takes.
type Ahead = (Result<Bytes, Gone>, OwnedSemaphorePermit);

impl Exchange {
    /// Sends a request and waits for the head of its answer.
    pub(super) fn begin(host: &Host, method: &str, path: &str, sent: &Sent<'_>) -> Result<Self, Gone> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Gone::Unreachable(e.to_string()))?;
        let request = request(host, method, path, sent).map_err(|e| Gone::Unreachable(e.to_string()))?;
        let response = runtime.block_on(send(host, request))?;
        let status = response.0.status().as_u16();
        let (ahead, pieces) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX as usize));
        let taken = Arc::clone(&room);
        std::thread::spawn(move || runtime.block_on(pass_on(response, ahead, taken)));
        Ok(Self { status, pieces, room })
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Gone> {
        self.pieces.blocking_recv().map(|(piece, _room)| piece).transpose()
    }

    /// Whether nothing more is here right now.
    pub(super) fn is_idle(&self) -> bool {
        self.pieces.is_empty()
    }

    /// All of it, if it is not longer than that.
    pub(super) fn whole(mut self, most: usize) -> Result<Zeroizing<Vec<u8>>, Gone> {
        let mut body = Zeroizing::new(Vec::new());
        while let Some(piece) = self.next()? {
            if body.len() + piece.len() > most {
                return Err(Gone::Broken(format!("the answer is longer than {most} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Who waits for room there, waits no longer.
        self.room.close();
    }
}

fn request(
    host: &Host,
    method: &str,
    path: &str,
    sent: &Sent<'_>,
) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let request = Request::builder().method(method).uri(path).header(HOST, host.authority());
    let request = request.header(CONNECTION, "close");
    match sent {
        Sent::Json { token, body } => {
            let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
            let mut request = request;
            if let Some(token) = token {
                let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
                let mut bearer = HeaderValue::from_str(&bearer)?;
                bearer.set_sensitive(true);
                request = request.header(AUTHORIZATION, bearer);
            }
            request.header(CONTENT_TYPE, "application/json").body(Full::new(body))
        }
        Sent::Form(form) => {
            let body = Bytes::copy_from_slice(form.expose().as_bytes());
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(Full::new(body))
        }
    }
}

/// An answer, and the connection that it comes over, which must be driven.
type Answered = (Response<Incoming>, tokio::task::JoinHandle<()>);

async fn send(host: &Host, request: Request<Full<Bytes>>) -> Result<Answered, Gone> {
    let late = |_| Gone::Unreachable("it does not answer".to_owned());
    let stream = timeout(CONNECT_WAIT_MAX, host.connect()).await.map_err(late)??;
    let _ = stream.set_nodelay(true);
    let Some(tls) = &host.tls else { return over(stream, request).await };
    let name = ServerName::try_from(tls.server_name.clone()).map_err(|e| Gone::Unverified(e.to_string()))?;
    let handshake = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream);
    let stream = timeout(CONNECT_WAIT_MAX, handshake).await.map_err(late)?;
    over(stream.map_err(|e| no_handshake(&e))?, request).await
}

/// Why there is no TLS.
fn no_handshake(e: &std::io::Error) -> Gone {
    let tls = e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        // The library has no word of its own for it.
        Some(rustls::Error::InvalidCertificate(why)) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
            Gone::OwnAuthority
        }
        None | Some(rustls::Error::InvalidMessage(_)) => Gone::NoTls(e.to_string()),
        // Who answers speaks TLS for something else: the port of a database protocol, for one.
        Some(rustls::Error::AlertReceived(_) | rustls::Error::NoApplicationProtocol) => {
            Gone::Unreachable(format!("it takes no HTTP there ({e})"))
        }
        Some(_) => Gone::Unverified(e.to_string()),
    }
}

async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answered, Gone>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |e: hyper::Error| Gone::Broken(e.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driven = tokio::spawn(async move {
        // What is wrong with it is told where the answer is read.
        let _ = connection.await;
    });
    match timeout(ANSWER_WAIT_MAX, sender.send_request(request)).await {
        Ok(answer) => Ok((answer.map_err(broken)?, driven)),
        Err(_) => Err(Gone::Broken(format!("no answer within {} s", ANSWER_WAIT_MAX.as_secs()))),
    }
}

/// Reads the answer ahead of who shows it, as far as there is room.
async fn pass_on((response, driven): Answered, ahead: mpsc::UnboundedSender<Ahead>, room: Arc<Semaphore>) {
    let mut body = response.into_body();
    loop {
        let piece = match timeout(SILENCE_MAX, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => Ok(piece),
                Err(_) => continue,
            },
            Ok(Some(Err(e))) => Err(Gone::Broken(e.to_string())),
            Err(_) => Err(Gone::Broken(format!("nothing came for {} s", SILENCE_MAX.as_secs()))),
        };
        let ended = piece.is_err();
        let bytes = PIECE_BYTES + piece.as_ref().map_or(0, Bytes::len);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(AHEAD_BYTES_MAX);
        let Ok(taken) = Arc::clone(&room).acquire_many_owned(bytes).await else { break };
        if ahead.send((piece, taken)).is_err() || ended {
            break;
        }
    }
    driven.abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What is written to the other side until it takes no more.
    async fn settled(written: &AtomicUsize) -> usize {
        loop {
            let before = written.load(Ordering::Relaxed);
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            if written.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    }

    #[tokio::test]
    async fn what_is_read_ahead_has_a_limit_in_bytes() {
        let (near, mut far) = tokio::io::duplex(64 << 10);
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        tokio::spawn(async move {
            let mut request = [0; 4096];
            let _ = far.read(&mut request).await;
            let _ = far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while far.write_all(&[b'x'; 32 << 10]).await.is_ok() {
                count.fetch_add(32 << 10, Ordering::Relaxed);
            }
        });
        let request = Request::builder().uri("/").body(Full::default()).unwrap();
        let answered = over(near, request).await.unwrap();
        let (ahead, mut pieces) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(AHEAD_BYTES_MAX as usize));
        let reading = tokio::spawn(pass_on(answered, ahead, Arc::clone(&room)));
        let most = AHEAD_BYTES_MAX as usize;
        let full = settled(&written).await;
        assert!((most / 2..most + (2 << 20)).contains(&full), "{full}");
        for _ in 0..20 {
            drop(pieces.recv().await.unwrap());
        }
        assert!(settled(&written).await > full, "what was shown made room");
        room.close();
        reading.await.unwrap();
    }

    #[test]
    fn where_a_gateway_is() {
        for (url, name, port) in [
            ("http://127.0.0.1:8300", "127.0.0.1", 8300),
            ("http://localhost:8300/", "localhost", 8300),
            ("http://[::1]:8300", "::1", 8300),
            ("http://localhost", "localhost", 80),
        ] {
            let host = Host::parse(url, None).unwrap_or_else(|e| panic!("{url}: {e}"));
            assert_eq!((host.name.as_str(), host.port), (name, port), "{url}");
        }
        for bad in [
            "",
            "gateway:8300",
            "ftp://gateway",
            "http://gateway:8300",
            "http://10.0.0.1:8300",
            "http://127.0.0.1.example.com",
            "http://localhost:x",
            "http://localhost:99999",
            "http://localhost:1/v1",
            "http://localhost?x",
            "http://local host",
            "http://",
            "http://::1:80:80",
        ] {
            assert!(Host::parse(bad, None).is_err(), "{bad}");
        }
        for path in ["https://gateway:8300/v1/tokens", "https://gateway:8300?x", "http://localhost/v1"] {
            let failure = Host::parse(path, None).err().unwrap();
            assert!(failure.hint.contains("leave out the path"), "{path}: {failure}");
        }
        let failure = Host::parse("https://ops:fh_secret@gateway", None).err().unwrap();
        assert!(!failure.to_string().contains("fh_secret"), "{failure}");
    }
}
