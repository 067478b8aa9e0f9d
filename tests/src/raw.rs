//! A frontend that says exactly the bytes it is told and shows exactly the bytes that come back (PostgreSQL docs 55.7).

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};

use crate::place::Place;
use crate::process::PATIENCE;

/// Protocol 3.0 as the startup message says it.
pub const PROTOCOL_3_0: u32 = 196_608;
/// Protocol 3.2.
pub const PROTOCOL_3_2: u32 = 196_610;
/// SSLRequest's code.
pub const SSL_REQUEST: u32 = 80_877_103;
/// GSSENCRequest's code.
pub const GSSENC_REQUEST: u32 = 80_877_104;
/// CancelRequest's code.
pub const CANCEL_REQUEST: u32 = 80_877_102;

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type byte.
    pub tag: u8,
    /// Its body, without the length.
    pub body: Vec<u8>,
}

impl Message {
    /// A field of an ErrorResponse or NoticeResponse.
    #[must_use]
    pub fn field(&self, code: u8) -> Option<String> {
        let fields = self.body.split(|&byte| byte == 0);
        fields
            .filter_map(|f| f.split_first())
            .find(|(c, _)| **c == code)
            .map(|(_, v)| String::from_utf8_lossy(v).into_owned())
    }

    /// One printable line: the type, then the body with everything unprintable as `\xNN`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} ", char::from(self.tag));
        for &byte in &self.body {
            match byte {
                b'\\' => line.push_str("\\\\"),
                0x20..=0x7e => line.push(char::from(byte)),
                _ => {
                    let _ = write!(line, "\\x{byte:02x}");
                }
            }
        }
        line
    }
}

/// A stream in clear or inside TLS.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A raw connection.
#[derive(Debug)]
pub struct Raw {
    /// The socket, for those who write bytes of their own.
    pub stream: Stream,
    /// What came between authentication and the first ReadyForQuery, without the authentication itself.
    pub greeting: Vec<Message>,
    /// BackendKeyData's body.
    pub key: Vec<u8>,
}

impl Raw {
    /// Connects in clear, says nothing.
    pub fn connect(place: &Place) -> Result<Self> {
        let stream = TcpStream::connect((place.host.as_str(), place.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: Stream::Plain(stream), greeting: Vec::new(), key: Vec::new() })
    }

    /// Connects and logs in with protocol 3.0 and `parameters` beside user and database.
    pub fn login(place: &Place, parameters: &[(&str, &str)]) -> Result<Self> {
        let mut raw = Self::connect(place)?;
        raw.start(place, PROTOCOL_3_0, parameters)?;
        Ok(raw)
    }

    /// SSLRequest and the TLS handshake; `root` is the authority to trust.
    pub fn upgrade(&mut self, root: &std::path::Path) -> Result<()> {
        self.send_code(SSL_REQUEST)?;
        let answer = self.read_byte()?;
        if answer != b'S' {
            bail!("SSLRequest was answered {:?}", char::from(answer));
        }
        self.handshake(root, &[])
    }

    /// The TLS handshake itself, on a socket where it may begin now.
    pub fn handshake(&mut self, root: &std::path::Path, alpn: &[&[u8]]) -> Result<()> {
        let Stream::Plain(tcp) = &self.stream else { bail!("TLS inside TLS") };
        let tcp = tcp.try_clone()?;
        let connection =
            rustls::ClientConnection::new(tls_config(root, alpn)?, ServerName::try_from("localhost")?)?;
        let mut stream = rustls::StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// A request of eight bytes: SSLRequest, GSSENCRequest.
    pub fn send_code(&mut self, code: u32) -> Result<()> {
        let mut bytes = 8u32.to_be_bytes().to_vec();
        bytes.extend(code.to_be_bytes());
        Ok(self.stream.write_all(&bytes)?)
    }

    /// Sends the startup message and authenticates; the greeting is kept. A refusal is an error with the message in it.
    pub fn start(&mut self, place: &Place, protocol: u32, parameters: &[(&str, &str)]) -> Result<()> {
        self.stream.write_all(&startup(place, protocol, parameters))?;
        let mut scram = None;
        loop {
            let message = self.read()?.context("the server closed during login")?;
            match message.tag {
                b'R' => self.authenticate(place, &message.body, &mut scram)?,
                b'E' => bail!("refused: {}", message.line()),
                b'K' => self.key = message.body,
                b'Z' => {
                    self.greeting.push(message);
                    return Ok(());
                }
                _ => self.greeting.push(message),
            }
        }
    }

    fn authenticate(&mut self, place: &Place, body: &[u8], scram: &mut Option<ScramSha256>) -> Result<()> {
        let (code, rest) = body.split_first_chunk::<4>().context("a short authentication message")?;
        match u32::from_be_bytes(*code) {
            0 => Ok(()),
            3 => self.send(b'p', format!("{}\0", place.password).as_bytes()),
            5 => {
                let salt = rest.first_chunk::<4>().context("no salt")?;
                let hash = md5_hash(place.user.as_bytes(), place.password.as_bytes(), *salt);
                self.send(b'p', format!("{hash}\0").as_bytes())
            }
            10 => {
                let client = ScramSha256::new(place.password.as_bytes(), ChannelBinding::unsupported());
                let first = client.message();
                let mut answer = format!("{SCRAM_SHA_256}\0").into_bytes();
                answer.extend(u32::try_from(first.len())?.to_be_bytes());
                answer.extend(first);
                *scram = Some(client);
                self.send(b'p', &answer)
            }
            11 => {
                let client = scram.as_mut().context("SCRAM out of order")?;
                client.update(rest)?;
                let answer = client.message().to_vec();
                self.send(b'p', &answer)
            }
            12 => Ok(scram.as_mut().context("SCRAM out of order")?.finish(rest)?),
            other => bail!("authentication {other} is not spoken here"),
        }
    }

    /// Writes one message.
    pub fn send(&mut self, tag: u8, body: &[u8]) -> Result<()> {
        self.stream.write_all(&frame(tag, body))?;
        Ok(self.stream.flush()?)
    }

    /// A simple query, and everything up to its ReadyForQuery.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Message>> {
        self.send(b'Q', format!("{sql}\0").as_bytes())?;
        self.until(b'Z')
    }

    /// Reads messages up to and with the next one of type `tag`.
    pub fn until(&mut self, tag: u8) -> Result<Vec<Message>> {
        let mut seen = Vec::new();
        loop {
            let Some(message) = self.read()? else {
                let lines: Vec<String> = seen.iter().map(Message::line).collect();
                bail!("closed while waiting for {:?}; it sent {lines:?}", char::from(tag));
            };
            let last = message.tag == tag;
            seen.push(message);
            if last {
                return Ok(seen);
            }
        }
    }

    /// Everything up to the end of the connection.
    pub fn until_closed(&mut self) -> Result<Vec<Message>> {
        let mut seen = Vec::new();
        while let Some(message) = self.read()? {
            seen.push(message);
        }
        Ok(seen)
    }

    /// One message; `None` when the other side closed between messages (a reset counts as closed).
    pub fn read(&mut self) -> Result<Option<Message>> {
        let mut head = [0; 5];
        if !self.fill(&mut head)? {
            return Ok(None);
        }
        let [tag, length @ ..] = head;
        let length =
            usize::try_from(u32::from_be_bytes(length))?.checked_sub(4).context("a length below 4")?;
        let mut body = vec![0; length];
        if !self.fill(&mut body)? {
            bail!("closed inside a message");
        }
        Ok(Some(Message { tag, body }))
    }

    /// One byte, as the answers to SSLRequest and GSSENCRequest are.
    pub fn read_byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(u8::from_be_bytes(byte))
    }

    /// Fills `buf`; false when the stream ended before its first byte.
    fn fill(&mut self, buf: &mut [u8]) -> Result<bool> {
        match self.stream.read_exact(buf) {
            Ok(()) => Ok(true),
            Err(why)
                if matches!(
                    why.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                Ok(false)
            }
            Err(why) => Err(why.into()),
        }
    }

    /// Sends the CancelRequest for `self` over a connection of its own, and waits until that is closed, as libpq does.
    pub fn cancel(&self, place: &Place) -> Result<()> {
        let mut other = Self::connect(place)?;
        let length = u32::try_from(8 + self.key.len())?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(CANCEL_REQUEST.to_be_bytes());
        bytes.extend(&self.key);
        other.stream.write_all(&bytes)?;
        other.until_closed().map(drop)
    }
}

/// The startup message.
#[must_use]
pub fn startup(place: &Place, protocol: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = protocol.to_be_bytes().to_vec();
    let own = [("user", place.user.as_str()), ("database", place.database.as_str())];
    for (name, value) in own.iter().chain(parameters) {
        body.extend(name.as_bytes());
        body.push(0);
        body.extend(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// One framed message.
#[must_use]
pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// Parse, Bind and Execute of a statement without parameters, and Sync; all columns in binary or in text. `described`: with a
/// Describe of the portal.
#[must_use]
pub fn extended(sql: &str, binary: bool, described: bool) -> Vec<u8> {
    let formats: &[u8] = if binary { b"\0\0\0\0\0\0\0\x01\0\x01" } else { b"\0\0\0\0\0\0\0\0" };
    let mut out = frame(b'P', format!("\0{sql}\0\0\0").as_bytes());
    out.extend(frame(b'B', formats));
    if described {
        out.extend(frame(b'D', b"P\0"));
    }
    out.extend(frame(b'E', b"\0\0\0\0\0"));
    out.extend(frame(b'S', b""));
    out
}

/// A client configuration that trusts one authority.
pub fn tls_config(root: &std::path::Path, alpn: &[&[u8]]) -> Result<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root)?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}
