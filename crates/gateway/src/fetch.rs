//! Gets documents of issuers (their keys, and where these are) over HTTPS, and sends them what signing in takes, channels what
//! they are told, and witnesses what they shall cosign: with limits on time and size, and without following anybody elsewhere. A document is asked for without sending anything but the question.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use firsthand_adapters::identity::issuer::keys::SET_BYTES_MAX;
use firsthand_adapters::identity::issuer::ring::Fetch;
use firsthand_adapters::identity::issuer::sign_in::Message;
use firsthand_protocols::drive::tls::ClientTls;
use firsthand_session::port::BoxFuture;
use firsthand_session::secret::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::listen::tls_toward_issuer;
use crate::remote::is_this_machine;

/// One document, from the name's address to its last byte.
const TIME_MAX: Duration = Duration::from_secs(4);
/// One message and its answer: what an issuer does for it takes longer than to give a document.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest answer to a message: three tokens, one of them with all groups of a person.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Largest head of an answer.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Where a document is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: String,
    port: u16,
    secure: bool,
    /// As it stands in the request's `Host`.
    authority: String,
    path: String,
}

impl Address {
    /// `https://HOST[:PORT]/PATH`, or `http://` of this machine.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if url.contains('@') {
            return Err("a URL with a name or a secret in it".to_owned());
        }
        let uri: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_this_machine(host) => false,
            Some("http") => return Err("not fetched in clear text from another machine".to_owned()),
            _ => return Err("it begins neither with https:// nor with http://".to_owned()),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            host: bare.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// Scheme, host and port: what stands behind them may be a secret.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }

    /// The path, with what is asked behind it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// Sends a form to an issuer, and gives the status and the answer, whatever the status is.
///
/// # Errors
/// Why there is none, for the operator.
pub(crate) async fn send(
    url: &str,
    ca: Option<&Path>,
    message: &Message,
) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    let late = |_| Err("it does not answer in time".to_owned());
    let sent = exchange(url, ca, Sent::Form(message));
    timeout(MESSAGE_TIME_MAX, sent).await.unwrap_or_else(late).map_err(|why| format!("{url}: {why}"))
}

/// What a channel is sent.
pub(crate) struct Post {
    /// Headers; no value of them is shown.
    pub(crate) headers: Vec<(&'static str, Secret)>,
    /// JSON.
    pub(crate) body: Bytes,
    /// Whether the answer's body says something.
    pub(crate) reads: bool,
}

/// Sends a channel what it is told, and gives the status, whatever it is, and the answer's body where it says something.
///
/// # Errors
/// Why there is none, for the operator, without the address: that may be a secret.
pub(crate) async fn post(
    url: &str,
    ca: Option<&Path>,
    post: &Post,
) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    let late = |_| Err("it does not answer in time".to_owned());
    timeout(MESSAGE_TIME_MAX, exchange(url, ca, Sent::Post(post))).await.unwrap_or_else(late)
}

/// A server that may be asked again: the authorities behind its certificate are read once.
pub(crate) struct Server {
    address: Address,
    tls: Option<ClientTls>,
}

impl Server {
    /// Reads the authorities; nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with the URL or with the authorities.
    pub(crate) async fn find(url: &str, ca: Option<&Path>) -> Result<Self, String> {
        let address = Address::parse(url)?;
        let tls = if address.secure { Some(authorities(&address.host, ca).await?) } else { None };
        Ok(Self { address, tls })
    }

    /// Sends a witness what it shall cosign, and gives the status, whatever it is, and the answer's body, of which at most so many
    /// bytes are read.
    ///
    /// # Errors
    /// Why there is none, for the operator.
    pub(crate) async fn submit(
        &self,
        body: &Bytes,
        most: usize,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
        let late = |_| Err("it does not answer in time".to_owned());
        timeout(TIME_MAX, self.exchange(Sent::Text(body, most))).await.unwrap_or_else(late)
    }

    async fn exchange(&self, sent: Sent<'_>) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
        let (address, stream) = (&self.address, connect(&self.address).await?);
        match &self.tls {
            None => ask(stream, address, sent).await,
            Some(tls) => {
                let name = ServerName::try_from(tls.server_name.clone()).map_err(|e| e.to_string())?;
                let connected = TlsConnector::from(Arc::clone(&tls.config)).connect(name, stream).await;
                ask(connected.map_err(|e| e.to_string())?, address, sent).await
            }
        }
    }
}

/// What is sent along.
#[derive(Clone, Copy)]
enum Sent<'m> {
    Nothing,
    /// And so much may come back.
    Text(&'m Bytes, usize),
    Form(&'m Message),
    Post(&'m Post),
}

/// Fetches by hyper, over rustls.
#[derive(Debug)]
pub(crate) struct Fetcher;

impl Fetch for Fetcher {
    fn fetch<'a>(&'a self, url: &'a str, ca: Option<&'a Path>) -> BoxFuture<'a, Result<Vec<u8>, String>> {
        Box::pin(async move {
            let late = |_| Err("it does not answer in time".to_owned());
            timeout(TIME_MAX, get(url, ca)).await.unwrap_or_else(late)
        })
    }
}

async fn get(url: &str, ca: Option<&Path>) -> Result<Vec<u8>, String> {
    let (status, body) = exchange(url, ca, Sent::Nothing).await?;
    if status == StatusCode::OK.as_u16() { Ok(body.to_vec()) } else { Err(format!("status {status}")) }
}

async fn exchange(url: &str, ca: Option<&Path>, sent: Sent<'_>) -> Result<(u16, Zeroizing<Vec<u8>>), String> {
    Server::find(url, ca).await?.exchange(sent).await
}

fn request(address: &Address, sent: Sent<'_>) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .uri(&address.path)
        .header(HOST, &address.authority)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    let hidden = |secret: &Secret| {
        let mut value =
            HeaderValue::from_str(secret.expose()).map_err(|_| "a secret is no header".to_owned())?;
        value.set_sensitive(true);
        Ok::<_, String>(value)
    };
    let body = match sent {
        Sent::Nothing => Bytes::new(),
        Sent::Text(body, _) => {
            request = request.method("POST").header(CONTENT_TYPE, "text/plain; charset=utf-8");
            body.clone()
        }
        Sent::Form(Message { form, authorization }) => {
            request = request.method("POST").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(who) = authorization {
                request = request.header(AUTHORIZATION, hidden(who)?);
            }
            Bytes::copy_from_slice(form.expose().as_bytes())
        }
        Sent::Post(Post { headers, body, .. }) => {
            request = request.method("POST").header(CONTENT_TYPE, "application/json; charset=utf-8");
            for (name, value) in headers {
                request = request.header(*name, hidden(value)?);
            }
            body.clone()
        }
    };
    request.body(Full::new(body)).map_err(|e| e.to_string())
}

/// Reading the authorities takes files.
async fn authorities(host: &str, ca: Option<&Path>) -> Result<ClientTls, String> {
    let (host, ca) = (host.to_owned(), ca.map(Path::to_path_buf));
    let read = move || tls_toward_issuer(&host, ca.as_deref());
    tokio::task::spawn_blocking(read).await.map_err(|_| "its authorities cannot be read".to_owned())?
}

async fn connect(address: &Address) -> Result<TcpStream, String> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    let found = found.map_err(|e| e.to_string())?;
    // A name for this machine that leads elsewhere is not asked in clear text.
    let fit = |at: &SocketAddr| address.secure || at.ip().is_loopback();
    let mut failed = "the name has no address to be used".to_owned();
    for at in found.filter(fit) {
        match TcpStream::connect(at).await {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = e.to_string(),
        }
    }
    Err(failed)
}

async fn ask<S>(stream: S, address: &Address, sent: Sent<'_>) -> Result<(u16, Zeroizing<Vec<u8>>), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |e: hyper::Error| format!("it does not speak HTTP: {e}");
    let mut http = http1::Builder::new();
    http.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let is_document = matches!(sent, Sent::Nothing);
    let most = match sent {
        Sent::Nothing => SET_BYTES_MAX,
        Sent::Text(_, most) => most,
        Sent::Form(_) | Sent::Post(_) => MESSAGE_BYTES_MAX,
    };
    let request = request(address, sent)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        if is_document && status != StatusCode::OK || status.is_redirection() {
            return Err(format!("status {}", status.as_u16()));
        }
        if matches!(sent, Sent::Post(Post { reads: false, .. })) {
            return Ok((status.as_u16(), Zeroizing::default()));
        }
        let body = Limited::new(answer.into_body(), most).collect().await;
        let body = body.map_err(|_| format!("it breaks off, or has more than {most} bytes"))?;
        Ok((status.as_u16(), Zeroizing::new(body.to_bytes().to_vec())))
    };
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        body = &mut answered => body,
        // The connection's own end comes to who waits for the answer.
        _ = connection => answered.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[test]
    fn documents_are_fetched_over_https_or_from_this_machine() {
        let parsed = Address::parse("https://id.example:8443/a/b?c=d").unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port, parsed.secure), ("id.example", 8443, true));
        assert_eq!((parsed.path.as_str(), parsed.authority.as_str()), ("/a/b?c=d", "id.example:8443"));
        assert_eq!(Address::parse("https://id.example").unwrap().path, "/");
        assert_eq!(Address::parse("http://[::1]:80/").unwrap().host, "::1");
        assert!(Address::parse("http://127.0.0.1:3000/jwks").is_ok_and(|a| !a.secure));
        for bad in [
            "http://id.example/jwks",
            "ftp://id.example",
            "id.example",
            "https://",
            "https://a:b@id.example/",
            "spiffe://td",
            "",
            "https://id example/",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    /// Answers one request with these bytes.
    async fn answers(answer: Vec<u8>) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let got = Fetcher.fetch(&url, None).await;
        assert!(server.await.unwrap().starts_with("GET /jwks HTTP/1.1\r\n"));
        got
    }

    #[tokio::test]
    async fn only_a_whole_answer_of_a_fair_size_counts() {
        assert_eq!(
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec()).await,
            Ok(b"{}".to_vec())
        );
        for bad in [
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}".to_owned(),
            "SSH-2.0-x\r\n".to_owned(),
            String::new(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n{{}}", "x".repeat(4 * HEAD_BYTES_MAX)),
            format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(SET_BYTES_MAX + 1)),
        ] {
            assert!(answers(bad.clone().into_bytes()).await.is_err(), "{:.60}", bad);
        }
    }
}
