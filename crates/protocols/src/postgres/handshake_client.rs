//! The client's side of the beginning: TLS, startup, proof of identity (PostgreSQL docs 55.2.1, 55.3; RFC 5802). Written as
//! a plain sequence over a `Line`; the driver has a time limit around all of it.

use std::io;
use std::num::NonZeroU32;

use bytes::{Buf as _, Bytes, BytesMut};
use firsthand_session::port::{Challenge, Proof, Wants};
use firsthand_session::secret::Secret;
use firsthand_session::{Refusal, RefusalKind, Wanted};
use firsthand_wire::postgres::backend::Authentication;
use firsthand_wire::postgres::frame::{FRONTEND_PASSWORD_LIMIT, HEADER_LEN, Rules, Scan, scan};
use firsthand_wire::postgres::reply::{self, Notice};
use firsthand_wire::postgres::scram;
use firsthand_wire::postgres::startup::{
    First, ProtocolVersion, Replication, Request, Startup, StartupError, first,
};
use firsthand_wire::postgres::{DecodeError, frontend};

use super::refuse;
use crate::drive::line::Line;
use crate::protocol::Beginning;

/// Bytes of randomness in a SCRAM nonce: 18, as PostgreSQL's own (24 characters in base64).
const NONCE_BYTES: usize = 18;

/// Rounds of SSLRequest and GSSENCRequest before the startup: each is asked at most once by a sane client.
const NEGOTIATIONS_MAX: usize = 4;

/// How the client's first words ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// It left, or TLS failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It was told no; nothing more to say.
    #[error("refused")]
    Refused,
}

/// What the client asked for first.
pub(super) enum Opening {
    /// To cancel: process id and key as one.
    Cancel(Vec<u8>),
    /// A session.
    Startup(Hello),
}

/// A client's startup, in owned form.
pub(super) struct Hello {
    /// The login, the target, the database, as said.
    pub(super) wanted: Wanted,
    /// The version that will be spoken.
    pub(super) version: ProtocolVersion,
    /// Parameters to pass on to the target.
    pub(super) parameters: Vec<(Vec<u8>, Vec<u8>)>,
    /// Options of the protocol itself; none is known to us.
    options: Vec<Vec<u8>>,
}

/// Cancel requests are found by process id and key together.
pub(super) fn cancel_key(pid: u32, key: &[u8]) -> Vec<u8> {
    [&pid.to_be_bytes()[..], key].concat()
}

/// Tells the client no, in the protocol.
pub(super) async fn refuse(line: &mut Line, refusal: &Refusal) -> ClientError {
    let _ = line.send(&refuse::fatal(refusal)).await;
    ClientError::Refused
}

/// From the first byte to the startup message.
pub(super) async fn open(line: &mut Line, with: &Beginning<'_>) -> Result<Opening, ClientError> {
    for _ in 0..=NEGOTIATIONS_MAX {
        match first_packet(line).await? {
            Packet::DirectTls => {
                let Some(tls) = with.tls.filter(|_| line.tls.is_none()) else {
                    return Err(ClientError::Refused);
                };
                line.accept_tls(tls).await?;
                // PostgreSQL asks for its ALPN here, against cross-protocol attacks.
                if line.tls.as_ref().and_then(|t| t.alpn.as_deref()) != Some(b"postgresql") {
                    return Err(ClientError::Refused);
                }
            }
            Packet::Ssl => match with.tls.filter(|_| line.tls.is_none()) {
                Some(_) if !line.input.is_empty() => {
                    let refusal = Refusal::new(RefusalKind::Protocol, "received unencrypted data after SSL request")
                        .detail("This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.");
                    return Err(refuse(line, &refusal).await);
                }
                Some(tls) => {
                    line.send(b"S").await?;
                    line.accept_tls(tls).await?;
                }
                None => line.send(b"N").await?,
            },
            Packet::GssEnc => line.send(b"N").await?,
            Packet::Cancel(key) => return Ok(Opening::Cancel(key)),
            Packet::Startup(hello) => return accept(line, with, hello).await.map(Opening::Startup),
            Packet::Bad(e) => {
                if let Some(code) = e.sqlstate() {
                    let mut out = BytesMut::new();
                    Notice::fatal(code, &e.to_string()).encode(&mut out);
                    let _ = line.send(&out).await;
                }
                return Err(ClientError::Refused);
            }
        }
    }
    Err(ClientError::Refused)
}

/// Reads up to the startup message without going into anything, for a client that is to be turned away: no TLS.
pub(super) async fn until_startup(line: &mut Line) -> io::Result<()> {
    for _ in 0..=NEGOTIATIONS_MAX {
        match first_packet(line).await? {
            Packet::Ssl | Packet::GssEnc => line.send(b"N").await?,
            Packet::Startup(_) => return Ok(()),
            Packet::DirectTls | Packet::Cancel(_) | Packet::Bad(_) => break,
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

enum Packet {
    DirectTls,
    Ssl,
    GssEnc,
    Cancel(Vec<u8>),
    Startup(Hello),
    Bad(StartupError),
}

async fn first_packet(line: &mut Line) -> io::Result<Packet> {
    loop {
        let (packet, len) = match first(&line.input) {
            Ok(First::NeedMore(_)) => {
                line.fill().await?;
                continue;
            }
            Ok(First::DirectTls) => return Ok(Packet::DirectTls),
            Ok(First::Packet { request, len }) => {
                let packet = match request {
                    Request::Ssl => Packet::Ssl,
                    Request::GssEnc => Packet::GssEnc,
                    Request::Cancel(c) => Packet::Cancel(cancel_key(c.pid, c.key)),
                    Request::Startup(startup) => Packet::Startup(hello(&startup)),
                };
                (packet, len)
            }
            Err(e) => return Ok(Packet::Bad(e)),
        };
        line.input.advance(len);
        return Ok(packet);
    }
}

fn hello(startup: &Startup<'_>) -> Hello {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    // Whoever pastes a token, or a connection string, into the wrong field gets in by no other name, and has told nobody.
    let said = |b: &[u8]| super::parameters::without_credentials(b).unwrap_or_else(|| text(b));
    let whole = said(startup.database());
    let (target, database) = match whole.split_once('/') {
        Some((target, database)) => (target.to_owned(), Some(database.to_owned())),
        None => (whole, None),
    };
    let unobserved = !matches!(startup.replication(), Ok(Replication::No));
    let own = |name: &[u8]| {
        matches!(name, b"user" | b"database")
            || name.starts_with(b"_pq_.")
            || (name == b"replication" && !unobserved)
    };
    let parameters = startup.parameters().iter().filter(|(n, _)| !own(n));
    Hello {
        wanted: Wanted { login: said(startup.user()), target, database, unobserved },
        version: startup.version,
        parameters: parameters.map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
        options: startup.protocol_options().map(<[u8]>::to_vec).collect(),
    }
}

/// Settles the version and whether this client may go on in clear text.
async fn accept(line: &mut Line, with: &Beginning<'_>, mut hello: Hello) -> Result<Hello, ClientError> {
    if line.tls.is_none() && !with.allow_clear_text {
        let refusal = Refusal::new(
            RefusalKind::Identity,
            "Firsthand accepts only TLS connections from this address; connect with sslmode=require",
        );
        return Err(refuse(line, &refusal).await);
    }
    if hello.version > ProtocolVersion::V3_2 || !hello.options.is_empty() {
        hello.version = hello.version.min(ProtocolVersion::V3_2);
        let mut out = BytesMut::new();
        reply::encode_negotiate_protocol_version(
            &mut out,
            hello.version,
            hello.options.iter().map(Vec::as_slice),
        );
        line.send(&out).await?;
    }
    Ok(hello)
}

/// Asks the client to prove itself. What comes back is not yet looked at by the engine; `Proven` says the rest.
pub(super) async fn prove(
    line: &mut Line,
    with: &Beginning<'_>,
    hello: &Hello,
) -> Result<Proven, ClientError> {
    let login = &hello.wanted.login;
    let chain = line.tls.as_ref().and_then(|tls| tls.client.clone());
    match (with.engine.wants(Some(login), chain.as_ref()), chain) {
        (Wants::Both, Some(chain)) => {
            let proven = by_token(line, with, hello).await?;
            Ok(Proven { proof: Proof::Both { token: Box::new(proven.proof), chain }, ..proven })
        }
        // As PostgreSQL's own `cert`: nothing is asked for. It is refused further on, where it is not accepted.
        (Wants::Certificate | Wants::Both, chain) => Ok(Proven {
            proof: Proof::Certificate { login: Some(login.clone()), chain },
            on_success: Bytes::new(),
            method: "certificate",
        }),
        (Wants::Token, _) => by_token(line, with, hello).await,
    }
}

async fn by_token(line: &mut Line, with: &Beginning<'_>, hello: &Hello) -> Result<Proven, ClientError> {
    let issued = with.engine.asks_for_secret(&hello.wanted.login);
    if line.tls.is_some() && (with.ask_for_secret || issued) {
        return clear_text(line, hello).await;
    }
    if issued {
        // Nobody with this login name can answer anything else; a token is not asked for in clear text.
        with.engine.proof_broken(
            &hello.wanted,
            &with.client,
            "the token of an issuer is taken over TLS only",
        );
        let refusal = Refusal::new(
            RefusalKind::Identity,
            "Firsthand takes an identity provider's token over TLS only; connect with sslmode=require",
        );
        return Err(refuse(line, &refusal).await);
    }
    Scram { line, with, hello }.run().await
}

/// A proof, and what the client must be told when it is accepted.
pub(super) struct Proven {
    pub(super) proof: Proof,
    pub(super) on_success: Bytes,
    pub(super) method: &'static str,
}

async fn clear_text(line: &mut Line, hello: &Hello) -> Result<Proven, ClientError> {
    let mut out = BytesMut::new();
    reply::encode_authentication(&mut out, Authentication::CleartextPassword);
    line.send(&out).await?;
    let body = password_message(line).await?;
    let login = hello.wanted.login.clone();
    let proof = match frontend::password(&body).map(|s| String::from_utf8(s.0.to_vec())) {
        Ok(Ok(secret)) => Proof::ClearText { login, secret: Secret::new(secret) },
        _ => Proof::Failed { login },
    };
    Ok(Proven { proof, on_success: Bytes::new(), method: "clear-text" })
}

struct Scram<'a, 'b> {
    line: &'a mut Line,
    with: &'a Beginning<'b>,
    hello: &'a Hello,
}

impl Scram<'_, '_> {
    async fn run(self) -> Result<Proven, ClientError> {
        let Self { line, with, hello } = self;
        let login = hello.wanted.login.clone();
        let challenge = with.engine.challenge(&login);
        let Some(verifier) = verifier(&challenge) else {
            return Err(refuse(line, &Refusal::identity(&login)).await);
        };
        let end_point = with.tls.filter(|_| line.tls.is_some()).and_then(|t| t.end_point.clone());
        let channel = match (&end_point, &line.tls) {
            (Some(hash), Some(_)) => scram::Channel::EndPoint(hash),
            (None, Some(_)) => scram::Channel::Unbound,
            (_, None) => scram::Channel::Plain,
        };
        let mut out = BytesMut::new();
        reply::encode_sasl(&mut out, channel.mechanisms());
        line.send(&out).await?;
        let mut nonce = [0; NONCE_BYTES];
        (with.random)(&mut nonce);
        let body = password_message(line).await?;
        let started = frontend::SaslInitialResponse::read(&body).map_err(Wrong::Frame).and_then(|first| {
            let data = first.data.map_or(&[][..], |d| d.0);
            let plus = first.mechanism == scram::SCRAM_SHA_256_PLUS.as_bytes();
            scram::ExpectProof::start(verifier, channel, first.mechanism, data, &nonce)
                .map(|(expect, answer)| (expect, answer, plus))
                .map_err(Wrong::Scram)
        });
        let (expect, answer, plus) = match started {
            Ok(started) => started,
            Err(wrong) => return Err(wrong.tell(line, with, hello).await),
        };
        out.clear();
        reply::encode_authentication(&mut out, Authentication::SaslContinue(&answer));
        line.send(&out).await?;
        let body = password_message(line).await?;
        let method = if plus { "scram-sha-256-plus" } else { "scram-sha-256" };
        match expect.finish(&body) {
            Ok(last) => {
                out.clear();
                reply::encode_authentication(&mut out, Authentication::SaslFinal(&last));
                Ok(Proven { proof: Proof::Scram { login, challenge }, on_success: out.freeze(), method })
            }
            // Counted, recorded and answered by the engine, like any wrong proof.
            Err(scram::ScramError::WrongProof) => {
                Ok(Proven { proof: Proof::Failed { login }, on_success: Bytes::new(), method })
            }
            Err(e) => Err(Wrong::Scram(e).tell(line, with, hello).await),
        }
    }
}

fn verifier(challenge: &Challenge) -> Option<scram::Verifier> {
    Some(scram::Verifier {
        salt: challenge.salt.as_slice().try_into().ok()?,
        iterations: NonZeroU32::new(challenge.iterations)?,
        stored_key: challenge.stored_key,
        server_key: challenge.server_key,
    })
}

/// A client that speaks SCRAM wrongly, or stands behind somebody who changed what was said.
enum Wrong {
    Frame(DecodeError),
    Scram(scram::ScramError),
}

impl Wrong {
    /// Recorded as a failed proof; the client is told what PostgreSQL would say.
    async fn tell(self, line: &mut Line, with: &Beginning<'_>, hello: &Hello) -> ClientError {
        let (code, message) = match &self {
            Self::Frame(e) => ("08P01", e.to_string()),
            Self::Scram(e) => (e.sqlstate(), e.to_string()),
        };
        with.engine.proof_broken(&hello.wanted, &with.client, &message);
        let mut out = BytesMut::new();
        Notice::fatal(code, &message).encode(&mut out);
        let _ = line.send(&out).await;
        ClientError::Refused
    }
}

/// The body of the next message, which must be of the password family.
async fn password_message(line: &mut Line) -> Result<Bytes, ClientError> {
    let rules = Rules::frontend(FRONTEND_PASSWORD_LIMIT, FRONTEND_PASSWORD_LIMIT);
    loop {
        let found = match scan(&line.input, &rules) {
            Ok(Scan::Frame(f)) => Some((f.tag, f.len())),
            Ok(_) => None,
            Err(_) => Some((0, 0)),
        };
        match found {
            None => line.fill().await?,
            Some((b'p', len)) => {
                let mut whole = line.input.split_to(len);
                whole.advance(HEADER_LEN);
                return Ok(whole.freeze());
            }
            Some(_) => {
                let refusal = Refusal::new(RefusalKind::Protocol, "expected password response");
                return Err(refuse(line, &refusal).await);
            }
        }
    }
}
