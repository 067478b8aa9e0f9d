//! The gateway as a client of the target: TLS, startup, authentication, up to the first ReadyForQuery (PostgreSQL docs
//! 55.2.1, 55.3). Written as a plain sequence over a `Line`.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use firsthand_session::admission::CREDENTIAL;
use firsthand_session::port::Credential;
use firsthand_wire::postgres::backend::{Authentication, Message, Report};
use firsthand_wire::postgres::frame::{Rules, Scan, scan};
use firsthand_wire::postgres::{frontend, startup};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use crate::drive::line::{HANDSHAKE_BYTES_MAX, Line};
use crate::protocol::{Link, TlsUse};

/// Why the target did not let us in.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    /// The connection broke, or TLS failed.
    #[error("the connection to the target failed: {0}")]
    Io(#[from] io::Error),
    /// It wants TLS off although the configuration asks for it.
    #[error("the target does not offer TLS, and its configuration asks for it")]
    NoTls,
    /// Its answer is not the protocol.
    #[error("the target broke the protocol: {0}")]
    Protocol(String),
    /// The session may only read, and the target does not keep it to that.
    #[error(
        "the target does not take default_transaction_read_only as a startup parameter (a pooler in between?), and the \
         session may only read; pin_read_only = false goes without"
    )]
    NotReadOnly,
    /// The session is not of the role that it logged in as.
    #[error(
        "the target has another session_user than the role that was logged in as (a pooler in between?), and at this target sessions \
         are told apart by it"
    )]
    AnotherRole,
    /// It wants something that the credential does not have or the gateway cannot do.
    #[error("the target asks for {0}")]
    Unsupported(&'static str),
    /// It refused. The message stands in the record; `relay` goes to the client where it tells nothing of the credential.
    #[error("the target refused: {message} ({sqlstate})")]
    Refused {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
        /// Its whole ErrorResponse.
        relay: Bytes,
    },
}

impl TargetError {
    /// What the client may read of it: nothing about how the gateway logs in (class 28).
    pub(super) fn relay(&self) -> Option<Bytes> {
        match self {
            Self::Refused { sqlstate, relay, .. } if !sqlstate.starts_with("28") => Some(relay.clone()),
            _ => None,
        }
    }

    /// Whether it is the password that it does not take (28P01). Whatever else of that class keeps a role out (28000: NOLOGIN,
    /// `pg_hba.conf`) was set up by somebody there.
    pub(super) fn is_of_the_password(&self) -> bool {
        matches!(self, Self::Refused { sqlstate, .. } if sqlstate == "28P01")
    }

    /// The record's word for it: whether the operator must look at the credential or at the connection.
    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Refused { sqlstate, .. } if sqlstate.starts_with("28") => CREDENTIAL,
            Self::Unsupported(_) => CREDENTIAL,
            Self::Io(_)
            | Self::NoTls
            | Self::NotReadOnly
            | Self::AnotherRole
            | Self::Protocol(_)
            | Self::Refused { .. } => "unreachable",
        }
    }
}

/// What the target said of the connection it accepted.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// ParameterStatus, in order.
    pub(super) parameters: Vec<(String, String)>,
    /// Backend process id and cancel key.
    pub(super) backend: (u32, Vec<u8>),
    /// Everything from AuthenticationOk (excluded) to ReadyForQuery (included) except BackendKeyData, as it came.
    pub(super) before_key: BytesMut,
    /// What came after BackendKeyData, ReadyForQuery included.
    pub(super) after_key: BytesMut,
}

impl Accepted {
    /// A parameter's value, or nothing.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().rev().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str())
    }
}

/// Starts TLS if the link wants it.
pub(super) async fn secure(line: &mut Line, link: &Link) -> Result<(), TargetError> {
    let Some(tls) = link.tls.as_ref().filter(|_| link.tls_use != TlsUse::Disable) else {
        return Ok(());
    };
    let mut request = BytesMut::new();
    startup::encode_ssl_request(&mut request);
    line.send(&request).await?;
    while line.input.is_empty() {
        line.fill().await?;
    }
    let answer = line.input.get_u8();
    if !line.input.is_empty() {
        // Bytes in clear text behind the answer could be smuggled into the TLS session (CVE-2021-23222).
        return Err(TargetError::Protocol("it sent data before TLS was set up".to_owned()));
    }
    match (answer, link.tls_use) {
        (b'S', _) => Ok(line.connect_tls(tls).await?),
        (b'N', TlsUse::Prefer) => Ok(()),
        (b'N', _) => Err(TargetError::NoTls),
        (other, _) => Err(TargetError::Protocol(format!("it answered the TLS request with byte {other}"))),
    }
}

/// Logs in with these startup parameters (without `user` and `database`, which are the gateway's to choose). Of a name that is
/// given twice, the server takes the last.
pub(super) async fn log_in(
    line: &mut Line,
    credential: &Credential,
    database: &str,
    parameters: &[(Vec<u8>, Vec<u8>)],
) -> Result<Accepted, TargetError> {
    let mut out = BytesMut::new();
    let own = [(&b"user"[..], credential.user.as_bytes()), (&b"database"[..], database.as_bytes())];
    let all = own.into_iter().chain(parameters.iter().map(|(n, v)| (n.as_slice(), v.as_slice())));
    startup::encode_startup(&mut out, startup::ProtocolVersion::V3_0, all)
        .map_err(|e| TargetError::Protocol(format!("the startup parameters cannot be sent: {e}")))?;
    line.send(&out).await?;
    let mut login = Login { credential, scram: None };
    loop {
        let (tag, body) = message(line).await?;
        match Message::read(tag, &body).map_err(|e| TargetError::Protocol(e.to_string()))? {
            Message::Authentication(Authentication::Ok) => break,
            Message::Authentication(step) => login.answer(line, step).await?,
            Message::ErrorResponse(report) => return Err(refused(tag, &body, &report)),
            Message::NoticeResponse(_) | Message::NegotiateProtocolVersion(_) => {}
            _ => return Err(TargetError::Protocol(format!("message {:?} while logging in", tag as char))),
        }
    }
    settle(line).await
}

/// What the gateway itself asks of the target when a session begins: who it is there, which startup parameters and
/// settings of the role may have changed. It stands in the record like everything sent to a target (invariant 12).
pub(super) const WHO: &str = "SELECT session_user, current_user";

/// What keeps the transactions of a session READ ONLY: as a startup parameter it is also what RESET and DISCARD go back to.
pub(super) const READ_ONLY: (&str, &str) = ("default_transaction_read_only", "on");

/// The setting by which sessions are told apart in the server's log (`%a`) and in `pg_stat_activity`; cut there at 63 bytes.
pub(super) const NAME: &str = "application_name";

/// What the gateway asks instead, where the session is to be READ ONLY: whether it is.
pub(super) const WHO_READ_ONLY: &str =
    "SELECT session_user, current_user, pg_catalog.current_setting('default_transaction_read_only')";

/// What the gateway asks besides, where statements are judged by what their names mean: where names are looked up.
pub(super) const SEARCH_PATH: &str = "SHOW search_path";

/// `session_user` and `current_user`, as the target says. An error where the session is to be READ ONLY and is not.
pub(super) async fn who(line: &mut Line, read_only: bool) -> Result<(String, String), TargetError> {
    let question = if read_only { WHO_READ_ONLY } else { WHO };
    match ask(line, question).await?.as_slice() {
        [_, _, Some(mode), ..] if mode != READ_ONLY.1 => Err(TargetError::NotReadOnly),
        [Some(session), Some(current), ..] => Ok((session.clone(), current.clone())),
        _ => Err(TargetError::Protocol("it does not say which role is in force".to_owned())),
    }
}

/// `search_path`, as the target says.
pub(super) async fn search_path(line: &mut Line) -> Result<String, TargetError> {
    match ask(line, SEARCH_PATH).await?.as_slice() {
        [Some(path)] => Ok(path.clone()),
        _ => Err(TargetError::Protocol("it does not say where names are looked up".to_owned())),
    }
}

/// The last row of the answer.
async fn ask(line: &mut Line, text: &str) -> Result<Vec<Option<String>>, TargetError> {
    let mut out = BytesMut::new();
    frontend::encode_query(&mut out, text.as_bytes()).map_err(|e| TargetError::Protocol(e.to_string()))?;
    line.send(&out).await?;
    let mut last = Vec::new();
    loop {
        let (tag, body) = message(line).await?;
        match Message::read(tag, &body).map_err(|e| TargetError::Protocol(e.to_string()))? {
            Message::DataRow(row) => {
                let text = |v: &[u8]| String::from_utf8_lossy(v).into_owned();
                last = row.values().map(|v| v.ok().flatten().map(text)).collect();
            }
            Message::ErrorResponse(report) => return Err(refused(tag, &body, &report)),
            Message::ReadyForQuery(_) => return Ok(last),
            _ => {}
        }
    }
}

/// From AuthenticationOk to ReadyForQuery.
async fn settle(line: &mut Line) -> Result<Accepted, TargetError> {
    let mut accepted = Accepted::default();
    let mut key_seen = false;
    loop {
        let (tag, body) = message(line).await?;
        let parsed = Message::read(tag, &body).map_err(|e| TargetError::Protocol(e.to_string()))?;
        match parsed {
            Message::BackendKeyData(key) => {
                accepted.backend = (key.pid, key.key.to_vec());
                key_seen = true;
                continue;
            }
            Message::ErrorResponse(report) => return Err(refused(tag, &body, &report)),
            Message::ParameterStatus(p) => {
                let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                accepted.parameters.push((text(p.name), text(p.value)));
            }
            Message::ReadyForQuery(_) | Message::NoticeResponse(_) => {}
            _ => return Err(TargetError::Protocol(format!("message {:?} before it was ready", tag as char))),
        }
        let ready = matches!(parsed, Message::ReadyForQuery(_));
        let kept = if key_seen { &mut accepted.after_key } else { &mut accepted.before_key };
        kept.extend_from_slice(&frame(tag, &body));
        if ready {
            return Ok(accepted);
        }
    }
}

struct Login<'a> {
    credential: &'a Credential,
    scram: Option<ScramSha256>,
}

impl Login<'_> {
    async fn answer(&mut self, line: &mut Line, step: Authentication<'_>) -> Result<(), TargetError> {
        let mut out = BytesMut::new();
        match step {
            Authentication::CleartextPassword => {
                self.password(&mut out, |secret| secret.as_bytes().to_vec())?
            }
            Authentication::Md5Password { salt } => {
                let user = self.credential.user.as_bytes();
                self.password(&mut out, |secret| md5_hash(user, secret.as_bytes(), salt).into_bytes())?;
            }
            Authentication::Sasl(offered) => {
                let offered: Vec<&[u8]> = offered.iter().collect();
                let end_point = line.tls.as_ref().and_then(|t| t.peer_end_point.clone());
                self.begin_scram(&mut out, &offered, end_point)?;
            }
            Authentication::SaslContinue(data) => {
                let scram = self.scram.as_mut().ok_or_else(|| unasked("a SASL challenge"))?;
                scram.update(data).map_err(|e| TargetError::Protocol(e.to_string()))?;
                frontend::encode_sasl_response(&mut out, scram.message());
            }
            Authentication::SaslFinal(data) => {
                let scram = self.scram.as_mut().ok_or_else(|| unasked("a SASL verdict"))?;
                scram.finish(data).map_err(|e| TargetError::Protocol(e.to_string()))?;
            }
            Authentication::Gss | Authentication::GssContinue(_) => {
                return Err(TargetError::Unsupported("GSSAPI, which the gateway does not speak"));
            }
            Authentication::Sspi
            | Authentication::KerberosV5
            | Authentication::Unknown(_)
            | Authentication::Ok => {
                return Err(TargetError::Unsupported(
                    "a kind of authentication that the gateway does not speak",
                ));
            }
        }
        if !out.is_empty() {
            line.send(&out).await?;
        }
        Ok(())
    }

    fn secret(&self) -> Result<&str, TargetError> {
        let none = TargetError::Unsupported("a password, and the target's credential has none");
        self.credential.password.as_ref().map(firsthand_session::secret::Secret::expose).ok_or(none)
    }

    fn password(&self, out: &mut BytesMut, of: impl Fn(&str) -> Vec<u8>) -> Result<(), TargetError> {
        let answer = zeroize::Zeroizing::new(of(self.secret()?));
        frontend::encode_password(out, &answer).map_err(|e| TargetError::Protocol(e.to_string()))
    }

    fn begin_scram(
        &mut self,
        out: &mut BytesMut,
        offered: &[&[u8]],
        end_point: Option<Vec<u8>>,
    ) -> Result<(), TargetError> {
        let plus = offered.contains(&SCRAM_SHA_256_PLUS.as_bytes());
        let plain = offered.contains(&SCRAM_SHA_256.as_bytes());
        let (mechanism, binding) = match end_point {
            Some(end_point) if plus => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point)),
            Some(_) if plain => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None if plain => (SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => return Err(TargetError::Unsupported("a SASL mechanism that the gateway does not speak")),
        };
        let scram = ScramSha256::new(self.secret()?.as_bytes(), binding);
        frontend::encode_sasl_initial_response(out, mechanism, scram.message());
        self.scram = Some(scram);
        Ok(())
    }
}

fn unasked(what: &str) -> TargetError {
    TargetError::Protocol(format!("{what} that nothing asked for"))
}

fn refused(tag: u8, body: &[u8], report: &Report<'_>) -> TargetError {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let (sqlstate, message) = (text(report.sqlstate()), text(report.message()));
    TargetError::Refused { sqlstate, message, relay: frame(tag, body).freeze() }
}

/// The next message of the target.
async fn message(line: &mut Line) -> Result<(u8, Bytes), TargetError> {
    let limit = u32::try_from(HANDSHAKE_BYTES_MAX).unwrap_or(u32::MAX);
    let rules = Rules::backend(limit, limit);
    loop {
        let found = match scan(&line.input, &rules).map_err(|e| TargetError::Protocol(e.to_string()))? {
            Scan::Frame(f) => Some((f.tag, f.len())),
            _ => None,
        };
        if let Some((tag, len)) = found {
            let mut whole = line.input.split_to(len);
            whole.advance(firsthand_wire::postgres::frame::HEADER_LEN);
            return Ok((tag, whole.freeze()));
        }
        line.fill().await?;
    }
}

fn frame(tag: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(body.len() + 5);
    firsthand_wire::postgres::encode::message(&mut out, tag, |out| out.extend_from_slice(body));
    out
}
