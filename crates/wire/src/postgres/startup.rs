//! The untagged first packets of a connection (PostgreSQL docs 55.7: StartupMessage, CancelRequest, SSLRequest,
//! GSSENCRequest), and the first byte of a direct TLS handshake.
//!
//! Follows `ProcessStartupPacket` of the server, so that what PostgreSQL takes is taken and what it refuses is refused.
//! Names and values are bytes: their encoding is not known yet at this point, and PostgreSQL does not check it either.

use bytes::{BufMut as _, BytesMut};
use thiserror::Error;

use super::encode::{self, EncodeError};

/// Longest first packet after its length field (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_LEN: usize = 10_000;

/// Longest cancel key of protocol 3.2 (PostgreSQL docs 55.7, BackendKeyData).
pub const MAX_CANCEL_KEY_LEN: usize = 256;

/// Shortest cancel key; protocol 3.0 always has four bytes.
pub const MIN_CANCEL_KEY_LEN: usize = 4;

/// First byte of a TLS handshake record: a client that starts TLS without asking (`sslnegotiation=direct`).
pub const TLS_HANDSHAKE: u8 = 0x16;

const CANCEL_REQUEST: u32 = 80_877_102;
const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// A protocol version as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtocolVersion(
    /// Major version in the upper 16 bits, minor in the lower.
    pub u32,
);

impl ProtocolVersion {
    /// Version 3.0.
    pub const V3_0: Self = Self::new(3, 0);
    /// Version 3.2: long cancel keys (PostgreSQL 18). There is no 3.1.
    pub const V3_2: Self = Self::new(3, 2);

    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self(((major as u32) << 16) | minor as u32)
    }

    /// The major version.
    #[must_use]
    pub const fn major(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The minor version.
    #[must_use]
    pub const fn minor(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl std::fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// Why a first packet cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StartupError {
    /// Not a length PostgreSQL takes. It closes the connection without an answer: whoever sends this does not speak
    /// the protocol.
    #[error("first packet of impossible length {0}")]
    Length(i32),
    /// A cancel request of the wrong size; closed without an answer, like every cancel request.
    #[error("cancel request with a key of {0} bytes")]
    CancelKey(usize),
    /// A protocol that is not version 3. The server answers versions 1 and 2 in their own form: `E`, `FATAL:  `, this text,
    /// a line feed, a zero byte.
    #[error("unsupported frontend protocol {0}: server supports 3.0 to 3.2")]
    Version(ProtocolVersion),
    /// Parameters that do not end where the packet ends.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// No `user`, or an empty one.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// `replication` with something that is neither a boolean nor `database`.
    #[error("invalid value for parameter \"replication\"")]
    Replication,
}

impl StartupError {
    /// The SQLSTATE of PostgreSQL's FATAL answer, or `None` where it closes without one. The message is [`ToString`]'s.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&'static str> {
        match self {
            Self::Length(_) | Self::CancelKey(_) => None,
            Self::Version(_) => Some("0A000"),
            Self::Layout => Some("08P01"),
            Self::NoUser => Some("28000"),
            Self::Replication => Some("22023"),
        }
    }
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// At least this many more bytes are needed.
    NeedMore(usize),
    /// TLS at once; nothing was consumed.
    DirectTls,
    /// A whole packet, and its length in bytes. Bytes after it that came in clear text before a TLS handshake are an
    /// attack (CVE-2021-23214): the caller checks.
    Packet {
        /// What was asked.
        request: Request<'a>,
        /// Bytes of the packet, its length field included.
        len: usize,
    },
}

/// A first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for TLS; answered with one byte, `S` or `N`.
    Ssl,
    /// Asks for GSSAPI encryption; answered with one byte, `G` or `N`.
    GssEnc,
    /// Asks to cancel what another connection runs. Never answered.
    Cancel(Cancel<'a>),
    /// Opens a session.
    Startup(Startup<'a>),
}

/// Which connection to cancel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cancel<'a> {
    /// The process id of BackendKeyData.
    pub pid: u32,
    /// The key of BackendKeyData: a secret.
    pub key: &'a [u8],
}

impl std::fmt::Debug for Cancel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cancel").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// Looks at the first bytes of a connection, or of what follows a refused SSLRequest or GSSENCRequest.
///
/// # Errors
/// When PostgreSQL would refuse them; see [`StartupError::sqlstate`] for how.
pub fn first(buf: &[u8]) -> Result<First<'_>, StartupError> {
    if buf.first() == Some(&TLS_HANDSHAKE) {
        return Ok(First::DirectTls);
    }
    let Some((length, rest)) = buf.split_first_chunk::<4>() else {
        return Ok(First::NeedMore(4 - buf.len()));
    };
    let signed = i32::from_be_bytes(*length);
    let body_len = usize::try_from(signed)
        .ok()
        .and_then(|length| length.checked_sub(4))
        .filter(|body| (4..=MAX_STARTUP_LEN).contains(body))
        .ok_or(StartupError::Length(signed))?;
    let Some(body) = rest.get(..body_len) else {
        return Ok(First::NeedMore(body_len - rest.len()));
    };
    Ok(First::Packet { request: request(body)?, len: 4 + body_len })
}

fn request(body: &[u8]) -> Result<Request<'_>, StartupError> {
    let (code, rest) = body.split_first_chunk::<4>().ok_or(StartupError::Layout)?;
    match u32::from_be_bytes(*code) {
        SSL_REQUEST => Ok(Request::Ssl),
        GSSENC_REQUEST => Ok(Request::GssEnc),
        CANCEL_REQUEST => {
            let (pid, key) = rest.split_first_chunk::<4>().ok_or(StartupError::CancelKey(0))?;
            if !(MIN_CANCEL_KEY_LEN..=MAX_CANCEL_KEY_LEN).contains(&key.len()) {
                return Err(StartupError::CancelKey(key.len()));
            }
            Ok(Request::Cancel(Cancel { pid: u32::from_be_bytes(*pid), key }))
        }
        version => Startup::read(ProtocolVersion(version), rest).map(Request::Startup),
    }
}

/// A StartupMessage: the version asked for and the parameters, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The version asked for; any 3.x. Above 3.2, or with protocol options, the answer begins with NegotiateProtocolVersion.
    pub version: ProtocolVersion,
    parameters: Vec<(&'a [u8], &'a [u8])>,
}

/// The walsender mode that a startup asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// An ordinary session.
    No,
    /// Physical replication.
    Physical,
    /// Logical replication, connected to a database.
    Logical,
}

impl<'a> Startup<'a> {
    fn read(version: ProtocolVersion, mut rest: &'a [u8]) -> Result<Self, StartupError> {
        if version.major() != 3 {
            return Err(StartupError::Version(version));
        }
        let mut parameters = Vec::new();
        // Name and value up to an empty name, which must be the packet's last byte.
        loop {
            let (name, after) = string(rest).ok_or(StartupError::Layout)?;
            if name.is_empty() {
                if !after.is_empty() {
                    return Err(StartupError::Layout);
                }
                break;
            }
            let (value, after) = string(after).ok_or(StartupError::Layout)?;
            parameters.push((name, value));
            rest = after;
        }
        let startup = Self { version, parameters };
        if startup.user().is_empty() {
            return Err(StartupError::NoUser);
        }
        startup.replication()?;
        Ok(startup)
    }

    /// The last value of a parameter: PostgreSQL applies them in order, so of duplicates the last holds.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'a [u8]> {
        self.parameters.iter().rev().find(|(n, _)| *n == name.as_bytes()).map(|(_, v)| *v)
    }

    /// All parameters as sent, in order, duplicates included.
    #[must_use]
    pub fn parameters(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.parameters
    }

    /// The user; never empty. Longer names than 63 bytes are cut by the server, not here.
    #[must_use]
    pub fn user(&self) -> &'a [u8] {
        self.parameter("user").unwrap_or_default()
    }

    /// The database; the user's name when none (or an empty one) was given, as in the server.
    #[must_use]
    pub fn database(&self) -> &'a [u8] {
        self.parameter("database").filter(|d| !d.is_empty()).unwrap_or_else(|| self.user())
    }

    /// Options of the protocol itself (`_pq_.…`), which the server lists in NegotiateProtocolVersion when it does not know them.
    pub fn protocol_options(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.parameters.iter().map(|(n, _)| *n).filter(|n| n.starts_with(b"_pq_."))
    }

    /// The walsender mode asked for.
    ///
    /// # Errors
    /// When the value is no boolean and not `database`; [`first`] has refused that already.
    pub fn replication(&self) -> Result<Replication, StartupError> {
        match self.parameter("replication") {
            None => Ok(Replication::No),
            Some(b"database") => Ok(Replication::Logical),
            Some(value) => match boolean(value) {
                Some(true) => Ok(Replication::Physical),
                Some(false) => Ok(Replication::No),
                None => Err(StartupError::Replication),
            },
        }
    }
}

/// The server's `parse_bool`: unique prefixes of true, false, yes, no; on, off, of; 1, 0; any case.
fn boolean(text: &[u8]) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let prefix_of = |word: &[u8], at_least: usize| text.len() >= at_least && word.starts_with(&text);
    if prefix_of(b"true", 1) || prefix_of(b"yes", 1) || text == b"on" || text == b"1" {
        Some(true)
    } else if prefix_of(b"false", 1) || prefix_of(b"no", 1) || prefix_of(b"off", 2) || text == b"0" {
        Some(false)
    } else {
        None
    }
}

fn string(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, buf)?;
    Some((buf.get(..end)?, buf.get(end + 1..)?))
}

/// Appends an SSLRequest.
pub fn encode_ssl_request(out: &mut BytesMut) {
    encode::counted(out, |out| out.put_u32(SSL_REQUEST));
}

/// Appends a GSSENCRequest.
pub fn encode_gssenc_request(out: &mut BytesMut) {
    encode::counted(out, |out| out.put_u32(GSSENC_REQUEST));
}

/// Appends a CancelRequest. The key is the target's: sent as it came in BackendKeyData.
///
/// # Errors
/// When the key is longer than the protocol allows.
pub fn encode_cancel(out: &mut BytesMut, pid: u32, key: &[u8]) -> Result<(), EncodeError> {
    if key.len() > MAX_CANCEL_KEY_LEN {
        let (length, limit) = (key.len(), MAX_CANCEL_KEY_LEN);
        return Err(EncodeError::TooLong { message: "CancelRequest", length, limit });
    }
    encode::counted(out, |out| {
        out.put_u32(CANCEL_REQUEST);
        out.put_u32(pid);
        out.put_slice(key);
    });
    Ok(())
}

/// Appends a StartupMessage. An empty name would end the parameters early, so such a pair is left out.
///
/// # Errors
/// When a name or value holds a zero byte, or the packet is longer than PostgreSQL takes; `out` is unchanged then.
pub fn encode_startup<'a>(
    out: &mut BytesMut,
    version: ProtocolVersion,
    parameters: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(), EncodeError> {
    let mut body = BytesMut::new();
    body.put_u32(version.0);
    for (name, value) in parameters.into_iter().filter(|(name, _)| !name.is_empty()) {
        encode::no_nul(name, "a startup parameter's name")?;
        encode::no_nul(value, "a startup parameter's value")?;
        encode::cstr(&mut body, name);
        encode::cstr(&mut body, value);
    }
    body.put_u8(0);
    if body.len() > MAX_STARTUP_LEN {
        let (length, limit) = (body.len(), MAX_STARTUP_LEN);
        return Err(EncodeError::TooLong { message: "StartupMessage", length, limit });
    }
    encode::counted(out, |out| out.put_slice(&body));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(body: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(body.len() + 4).unwrap().to_be_bytes().to_vec();
        out.extend(body);
        out
    }

    fn startup(text: &[u8]) -> Vec<u8> {
        packet(&[&ProtocolVersion::V3_0.0.to_be_bytes(), text].concat())
    }

    #[track_caller]
    fn read(bytes: &[u8]) -> Request<'_> {
        match first(bytes) {
            Ok(First::Packet { request, len }) if len == bytes.len() => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_without_parameters() {
        let mut out = BytesMut::new();
        encode_ssl_request(&mut out);
        assert_eq!(&out[..], [0, 0, 0, 8, 4, 210, 22, 47]);
        assert_eq!(read(&out), Request::Ssl);
        out.clear();
        encode_gssenc_request(&mut out);
        assert_eq!(read(&out), Request::GssEnc);
        assert_eq!(first(b"\x16\x03\x01"), Ok(First::DirectTls));
        assert_eq!(first(b"\0\0"), Ok(First::NeedMore(2)));
        assert_eq!(first(b"\0\0\0\x08\x04"), Ok(First::NeedMore(3)));
    }

    #[test]
    fn cancel_keys_have_4_to_256_bytes() {
        for n in [4, 32, 256] {
            let mut out = BytesMut::new();
            let key = vec![9; n];
            encode_cancel(&mut out, 77, &key).unwrap();
            assert_eq!(read(&out), Request::Cancel(Cancel { pid: 77, key: &key }));
        }
        for n in [0, 3, 257] {
            let bytes = packet(&[&CANCEL_REQUEST.to_be_bytes()[..], &[0; 4], &vec![1; n]].concat());
            assert_eq!(first(&bytes), Err(StartupError::CancelKey(n)));
        }
        assert!(encode_cancel(&mut BytesMut::new(), 1, &[0; 257]).is_err());
        let shown = format!("{:?}", Cancel { pid: 7, key: b"\x2a\x2a\x2a\x2a" });
        assert!(!shown.contains("42"), "{shown}");
    }

    #[test]
    fn parameters_in_order_and_the_last_of_duplicates_holds() {
        let bytes = startup(b"user\0a\0DateStyle\0ISO\0user\0b\0_pq_.x\0y\0database\0\0\0");
        let Request::Startup(s) = read(&bytes) else { panic!() };
        assert_eq!((s.version, s.user(), s.database()), (ProtocolVersion::V3_0, &b"b"[..], &b"b"[..]));
        assert_eq!(s.parameters().len(), 5);
        assert_eq!(s.parameter("DateStyle"), Some(&b"ISO"[..]));
        assert_eq!(s.protocol_options().collect::<Vec<_>>(), [b"_pq_.x"]);
        assert_eq!(s.replication(), Ok(Replication::No));
        let bytes = startup(b"user\0\xff\xfe\0\0");
        let Request::Startup(s) = read(&bytes) else { panic!() };
        assert_eq!(s.user(), b"\xff\xfe");
    }

    #[test]
    fn layouts_that_postgresql_refuses() {
        let layout = Err(StartupError::Layout);
        assert_eq!(first(&startup(b"user\0a\0")), layout);
        assert_eq!(first(&startup(b"user\0a")), layout);
        assert_eq!(first(&startup(b"user\0")), layout);
        assert_eq!(first(&startup(b"user\0a\0\0x")), layout);
        assert_eq!(first(&startup(b"user\0a\0\0\0")), layout);
        assert_eq!(first(&startup(b"")), layout);
        assert_eq!(first(&startup(b"\0")), Err(StartupError::NoUser));
        assert_eq!(first(&startup(b"user\0\0\0")), Err(StartupError::NoUser));
        assert_eq!(first(&startup(b"user\0a\0replication\0maybe\0\0")), Err(StartupError::Replication));
        let old = packet(&[0, 2, 0, 0]);
        assert_eq!(first(&old), Err(StartupError::Version(ProtocolVersion::new(2, 0))));
        assert_eq!(first(b"GET / HTTP/1.1"), Err(StartupError::Length(0x4745_5420)));
        assert_eq!(first(b"\xff\xff\xff\xff"), Err(StartupError::Length(-1)));
        assert_eq!(first(b"\0\0\0\x07"), Err(StartupError::Length(7)));
        assert_eq!(first(&10_005_u32.to_be_bytes()), Err(StartupError::Length(10_005)));
        assert_eq!(first(&10_004_u32.to_be_bytes()), Ok(First::NeedMore(10_000)));
    }

    #[test]
    fn replication_modes() {
        let mode = |value: &str| {
            let bytes = startup(format!("user\0a\0replication\0{value}\0\0").as_bytes());
            let Ok(First::Packet { request: Request::Startup(s), .. }) = first(&bytes) else { return None };
            s.replication().ok()
        };
        assert_eq!(mode("database"), Some(Replication::Logical));
        for yes in ["true", "on", "1", "YES", "t"] {
            assert_eq!(mode(yes), Some(Replication::Physical), "{yes}");
        }
        for no in ["false", "off", "of", "0", "n"] {
            assert_eq!(mode(no), Some(Replication::No), "{no}");
        }
        assert_eq!(mode("o"), None);
        assert_eq!(mode(""), None);
    }

    #[test]
    fn startup_round_trip() {
        let mut out = BytesMut::new();
        let parameters: Vec<(&[u8], &[u8])> = vec![(b"user", b"x"), (b"options", b"-c a=b"), (b"", b"no")];
        encode_startup(&mut out, ProtocolVersion::V3_2, parameters.clone()).unwrap();
        let Request::Startup(s) = read(&out) else { panic!() };
        assert_eq!(s.version, ProtocolVersion::V3_2);
        assert_eq!(s.parameters(), &parameters[..2]);
        let nul = encode_startup(&mut out, ProtocolVersion::V3_0, [(&b"user"[..], &b"a\0b"[..])]);
        assert!(matches!(nul, Err(EncodeError::Nul { .. })));
        let long = vec![b'x'; MAX_STARTUP_LEN];
        let long = encode_startup(&mut out, ProtocolVersion::V3_0, [(&b"user"[..], &long[..])]);
        assert!(matches!(long, Err(EncodeError::TooLong { .. })));
    }
}
