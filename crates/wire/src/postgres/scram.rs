//! SCRAM-SHA-256 as a server speaks it (RFC 5802, RFC 7677), with channel binding by `tls-server-end-point` (RFC 5929).
//!
//! Pure: the nonce comes from the caller, the messages go to the caller. The secret is never here, only a [`Verifier`]
//! made from it. Names inside SCRAM are ignored, as PostgreSQL does: drivers send `n=*` or nothing; who is meant stands
//! in the StartupMessage.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;
use zeroize::Zeroizing;

/// The mechanism's name.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// The mechanism's name with channel binding; offered only over TLS.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Rounds of PBKDF2 for a new verifier: RFC 7677's minimum and PostgreSQL's default. Our secrets are 256 random bits,
/// which no number of rounds makes harder to guess.
pub const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// Bytes of salt in a verifier, as PostgreSQL's.
pub const SALT_LEN: usize = 16;

/// Bytes of a key: SHA-256's.
pub const KEY_LEN: usize = 32;

/// The longest client message that is looked at. Names and nonces need a few hundred bytes; a certificate's hash 64.
const MAX_MESSAGE_LEN: usize = 4096;

/// What is kept of a secret: enough to check it, not enough to use it.
#[derive(Clone)]
pub struct Verifier {
    /// Random, per secret.
    pub salt: [u8; SALT_LEN],
    /// Rounds of PBKDF2.
    pub iterations: NonZeroU32,
    /// SHA-256 of the client's key.
    pub stored_key: [u8; KEY_LEN],
    /// Proves to the client that the server knows it.
    pub server_key: [u8; KEY_LEN],
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Verifier {
    /// The verifier of a secret. The secret is taken byte for byte: SASLprep leaves our ASCII tokens as they are.
    #[must_use]
    pub fn derive(secret: &[u8], salt: [u8; SALT_LEN], iterations: NonZeroU32) -> Self {
        let mut salted = Zeroizing::new([0; KEY_LEN]);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, secret, &mut *salted);
        let client_key = Zeroizing::new(hmac_sha256(&*salted, &[b"Client Key"]));
        let server_key = hmac_sha256(&*salted, &[b"Server Key"]);
        Self { salt, iterations, stored_key: sha256(&*client_key), server_key }
    }
}

/// What the connection can bind SCRAM to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel<'a> {
    /// No TLS: only `SCRAM-SHA-256` was offered.
    Plain,
    /// TLS, but binding was not offered (a certificate whose hash RFC 5929 does not define).
    Unbound,
    /// TLS, both mechanisms were offered; the hash of our certificate (RFC 5929, 4.1).
    EndPoint(&'a [u8]),
}

impl Channel<'_> {
    /// The mechanisms to offer, best first.
    #[must_use]
    pub fn mechanisms(&self) -> &'static [&'static str] {
        match self {
            Self::EndPoint(_) => &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256],
            Self::Plain | Self::Unbound => &[SCRAM_SHA_256],
        }
    }
}

/// Why SCRAM failed. All but [`WrongProof`](Self::WrongProof) and [`WrongBinding`](Self::WrongBinding) are mistakes of
/// the client's driver. None says whether the name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A mechanism that was not offered.
    #[error("client selected an invalid SASL authentication mechanism")]
    Mechanism,
    /// Not a SCRAM message.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The mechanism and the client's channel-binding flag contradict each other.
    #[error("SCRAM channel-binding flag does not fit the mechanism: {0}")]
    Flag(&'static str),
    /// The client thinks that we cannot bind channels, though we offered it: somebody stands between and hid the offer.
    #[error("the client supports SCRAM channel binding but thinks the server does not, though it offered it")]
    Downgrade,
    /// A kind of binding that we do not do.
    #[error("unsupported SCRAM channel-binding type")]
    BindingType,
    /// The client is bound to another channel than ours.
    #[error("SCRAM channel binding check failed")]
    WrongBinding,
    /// The nonce is not ours.
    #[error("SCRAM nonce does not match")]
    Nonce,
    /// The client does not know the secret (or the name does not exist).
    #[error("SCRAM proof is wrong")]
    WrongProof,
}

impl ScramError {
    /// The SQLSTATE of PostgreSQL's answer: 28P01 where the client does not know the secret, 28000 where somebody may
    /// stand between, otherwise 08P01.
    #[must_use]
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::WrongProof => "28P01",
            Self::WrongBinding | Self::Downgrade => "28000",
            _ => "08P01",
        }
    }
}

/// A conversation after the client's first message: the server's answer is out, the proof is awaited.
#[derive(Debug)]
pub struct ExpectProof {
    verifier: Verifier,
    /// `client-first-message-bare , server-first-message ,`: what the proof signs, up to the last part.
    signed: Vec<u8>,
    /// Both sides' nonces.
    nonce: Vec<u8>,
    /// What the client must repeat: base64 of its flag and the channel's data.
    binding: Vec<u8>,
}

impl ExpectProof {
    /// Takes the client's first message; returns the conversation and the server's first message.
    ///
    /// `nonce` is at least 18 random bytes, fresh for each conversation.
    ///
    /// # Errors
    /// When the message or what it asks for is not acceptable.
    pub fn start(
        verifier: Verifier,
        channel: Channel<'_>,
        mechanism: &[u8],
        client_first: &[u8],
        nonce: &[u8],
    ) -> Result<(Self, Vec<u8>), ScramError> {
        let plus = match (mechanism, channel) {
            (b"SCRAM-SHA-256", _) => false,
            (b"SCRAM-SHA-256-PLUS", Channel::EndPoint(_)) => true,
            _ => return Err(ScramError::Mechanism),
        };
        let first = ClientFirst::read(client_first)?;
        let channel_data: &[u8] = match (first.flag, plus, channel) {
            (Flag::CannotBind, false, _)
            | (Flag::ThinksWeCannot, false, Channel::Plain | Channel::Unbound) => &[],
            (Flag::ThinksWeCannot, false, Channel::EndPoint(_)) => return Err(ScramError::Downgrade),
            (Flag::Binds(b"tls-server-end-point"), true, Channel::EndPoint(hash)) => hash,
            (Flag::Binds(_), true, _) => return Err(ScramError::BindingType),
            (Flag::Binds(_), false, _) => {
                return Err(ScramError::Flag("it binds, but the mechanism does not"));
            }
            (_, true, _) => return Err(ScramError::Flag("it does not bind, but the mechanism does")),
        };
        let binding = STANDARD.encode([first.gs2_header, channel_data].concat()).into_bytes();
        let nonce = [first.nonce, STANDARD.encode(nonce).as_bytes()].concat();
        let mut server_first = b"r=".to_vec();
        server_first.extend_from_slice(&nonce);
        server_first.extend_from_slice(
            format!(",s={},i={}", STANDARD.encode(verifier.salt), verifier.iterations).as_bytes(),
        );
        let signed = [first.bare, &server_first, b""].join(&b',');
        Ok((Self { verifier, signed, nonce, binding }, server_first))
    }

    /// Takes the client's proof; returns the server's final message, which proves to the client that we know it too.
    ///
    /// # Errors
    /// When the proof is wrong, or the message is malformed.
    pub fn finish(self, client_final: &[u8]) -> Result<Vec<u8>, ScramError> {
        let last = ClientFinal::read(client_final)?;
        if !bool::from(same(last.binding, &self.binding)) {
            return Err(ScramError::WrongBinding);
        }
        if last.nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        let signature = hmac_sha256(&self.verifier.stored_key, &[&self.signed, last.without_proof]);
        let mut client_key = Zeroizing::new(last.proof);
        client_key.iter_mut().zip(signature).for_each(|(key, byte)| *key ^= byte);
        if !bool::from(sha256(&*client_key).ct_eq(&self.verifier.stored_key)) {
            return Err(ScramError::WrongProof);
        }
        let signature = hmac_sha256(&self.verifier.server_key, &[&self.signed, last.without_proof]);
        Ok(format!("v={}", STANDARD.encode(signature)).into_bytes())
    }
}

/// What a client says of channel binding (`gs2-cbind-flag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag<'a> {
    /// `n`.
    CannotBind,
    /// `y`: it could, but thinks that we cannot.
    ThinksWeCannot,
    /// `p=…`.
    Binds(&'a [u8]),
}

struct ClientFirst<'a> {
    flag: Flag<'a>,
    /// Flag, authorization name and both commas; the client repeats it in its final message.
    gs2_header: &'a [u8],
    /// The rest.
    bare: &'a [u8],
    nonce: &'a [u8],
}

impl<'a> ClientFirst<'a> {
    /// `n,,n=user,r=nonce` and extensions that may be ignored.
    fn read(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut parts = Parts::new(message)?;
        let flag = match parts.next("the channel-binding flag")? {
            b"n" => Flag::CannotBind,
            b"y" => Flag::ThinksWeCannot,
            other => Flag::Binds(
                other.strip_prefix(b"p=").ok_or(ScramError::Malformed("the channel-binding flag"))?,
            ),
        };
        // PostgreSQL has no authorization names.
        if !parts.next("the authorization name")?.is_empty() {
            return Err(ScramError::Malformed("an authorization name is not supported"));
        }
        let bare = parts.rest;
        let gs2_header = message.get(..message.len() - bare.len()).unwrap_or_default();
        // A mandatory extension (`m=`) stands where the name should, so it is refused here.
        parts.attribute(b"n=", "the user name")?;
        let nonce = parts.attribute(b"r=", "the nonce")?;
        if nonce.is_empty() || !nonce.iter().all(|b| matches!(b, 0x21..=0x7e)) {
            return Err(ScramError::Malformed("the nonce"));
        }
        Ok(Self { flag, gs2_header, bare, nonce })
    }
}

struct ClientFinal<'a> {
    binding: &'a [u8],
    nonce: &'a [u8],
    proof: [u8; KEY_LEN],
    without_proof: &'a [u8],
}

impl<'a> ClientFinal<'a> {
    /// `c=binding,r=nonce,…,p=proof`.
    fn read(message: &'a [u8]) -> Result<Self, ScramError> {
        let mut parts = Parts::new(message)?;
        let binding = parts.attribute(b"c=", "the channel binding")?;
        let nonce = parts.attribute(b"r=", "the nonce")?;
        let (without_proof, proof) = message
            .iter()
            .rposition(|b| *b == b',')
            .and_then(|at| message.split_at_checked(at))
            .ok_or(ScramError::Malformed("the proof"))?;
        let proof = proof.strip_prefix(b",p=").ok_or(ScramError::Malformed("the proof"))?;
        let proof = STANDARD.decode(proof).ok().and_then(|p| p.try_into().ok());
        Ok(Self { binding, nonce, proof: proof.ok_or(ScramError::Malformed("the proof"))?, without_proof })
    }
}

/// The parts of a message between commas.
struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn new(message: &'a [u8]) -> Result<Self, ScramError> {
        if message.len() > MAX_MESSAGE_LEN {
            return Err(ScramError::Malformed("it is too long"));
        }
        Ok(Self { rest: message })
    }

    fn next(&mut self, what: &'static str) -> Result<&'a [u8], ScramError> {
        if self.rest.is_empty() {
            return Err(ScramError::Malformed(what));
        }
        let end = memchr::memchr(b',', self.rest).unwrap_or(self.rest.len());
        let (part, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, &[]));
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(part)
    }

    fn attribute(&mut self, name: &[u8], what: &'static str) -> Result<&'a [u8], ScramError> {
        self.next(what)?.strip_prefix(name).ok_or(ScramError::Malformed(what))
    }
}

fn same(a: &[u8], b: &[u8]) -> Choice {
    a.ct_eq(b)
}

fn sha256(data: &[u8]) -> [u8; KEY_LEN] {
    let mut out = [0; KEY_LEN];
    out.iter_mut().zip(digest::digest(&digest::SHA256, data).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; KEY_LEN];
    out.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user "user", password "pencil".
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn verifier(secret: &[u8]) -> Verifier {
        let salt = STANDARD.decode(SALT).unwrap().try_into().unwrap();
        Verifier::derive(secret, salt, ITERATIONS)
    }

    /// A client, as far as the tests need one.
    fn client_final(secret: &[u8], first_bare: &[u8], binding: &[u8], server_first: &[u8]) -> Vec<u8> {
        let text = std::str::from_utf8(server_first).unwrap();
        let part = |name: &str| text.split(',').find_map(|p| p.strip_prefix(name)).unwrap();
        let salt = STANDARD.decode(part("s=")).unwrap();
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, part("i=").parse().unwrap(), &salt, secret, &mut salted);
        let mut key = hmac_sha256(&salted, &[b"Client Key"]);
        let without_proof = format!("c={},r={}", STANDARD.encode(binding), part("r="));
        let signed = [first_bare, b",", server_first, b",", without_proof.as_bytes()].concat();
        let signature = hmac_sha256(&sha256(&key), &[&signed]);
        key.iter_mut().zip(signature).for_each(|(k, s)| *k ^= s);
        format!("{without_proof},p={}", STANDARD.encode(key)).into_bytes()
    }

    #[test]
    fn the_rfcs_example() {
        // The RFC's server nonce is no base64, so the state is made by hand here.
        let server_first =
            b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let expect = ExpectProof {
            verifier: verifier(b"pencil"),
            signed: [&FIRST[3..], server_first, b""].join(&b','),
            nonce: b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_vec(),
            binding: b"biws".to_vec(),
        };
        assert_eq!(client_final(b"pencil", &FIRST[3..], b"n,,", server_first), FINAL);
        assert_eq!(expect.finish(FINAL).unwrap(), b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    fn talk(
        channel: Channel<'_>,
        mechanism: &str,
        header: &str,
        binding: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, ScramError> {
        let bare = "n=*,r=abc";
        let first = format!("{header}{bare}");
        let (expect, server_first) = ExpectProof::start(
            verifier(b"pencil"),
            channel,
            mechanism.as_bytes(),
            first.as_bytes(),
            &[7; 18],
        )?;
        expect.finish(&client_final(
            secret,
            bare.as_bytes(),
            &[header.as_bytes(), binding].concat(),
            &server_first,
        ))
    }

    #[test]
    fn who_gets_in() {
        let hash = [9_u8; 32];
        let tls = Channel::EndPoint(&hash);
        let plus = SCRAM_SHA_256_PLUS;
        assert!(talk(Channel::Plain, SCRAM_SHA_256, "n,,", b"", b"pencil").is_ok());
        assert!(talk(Channel::Plain, SCRAM_SHA_256, "y,,", b"", b"pencil").is_ok());
        assert!(talk(Channel::Unbound, SCRAM_SHA_256, "y,,", b"", b"pencil").is_ok());
        assert!(talk(tls, SCRAM_SHA_256, "n,,", b"", b"pencil").is_ok());
        assert!(talk(tls, plus, "p=tls-server-end-point,,", &hash, b"pencil").is_ok());

        assert_eq!(talk(Channel::Plain, SCRAM_SHA_256, "n,,", b"", b"Pencil"), Err(ScramError::WrongProof));
        assert_eq!(talk(tls, SCRAM_SHA_256, "y,,", b"", b"pencil"), Err(ScramError::Downgrade));
        assert_eq!(
            talk(tls, plus, "p=tls-server-end-point,,", &[8; 32], b"pencil"),
            Err(ScramError::WrongBinding)
        );
        assert_eq!(talk(tls, plus, "p=tls-unique,,", &hash, b"pencil"), Err(ScramError::BindingType));
        assert!(matches!(talk(tls, plus, "n,,", b"", b"pencil"), Err(ScramError::Flag(_))));
        assert!(matches!(talk(tls, plus, "y,,", b"", b"pencil"), Err(ScramError::Flag(_))));
        assert!(matches!(
            talk(tls, SCRAM_SHA_256, "p=tls-server-end-point,,", &hash, b"pencil"),
            Err(ScramError::Flag(_))
        ));
        assert_eq!(
            talk(Channel::Plain, plus, "p=tls-server-end-point,,", &hash, b"pencil"),
            Err(ScramError::Mechanism)
        );
        assert_eq!(talk(Channel::Plain, "PLAIN", "n,,", b"", b"pencil"), Err(ScramError::Mechanism));
        assert!(matches!(
            talk(Channel::Plain, SCRAM_SHA_256, "n,a=x,", b"", b"pencil"),
            Err(ScramError::Malformed(_))
        ));
        // Bound to nothing, though it said `n` in the first message.
        assert_eq!(
            talk(Channel::Plain, SCRAM_SHA_256, "n,,", b"x", b"pencil"),
            Err(ScramError::WrongBinding)
        );
    }

    #[test]
    fn malformed_messages() {
        let start = |first: &[u8]| {
            ExpectProof::start(verifier(b"pencil"), Channel::Plain, b"SCRAM-SHA-256", first, &[1; 18])
                .map(|_| ())
        };
        assert_eq!(start(b"n,,n=,r=abc"), Ok(()));
        assert_eq!(start(b"n,,n=a,r=abc,x=ignored"), Ok(()));
        for bad in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=a",
            b"n,,n=a,r=",
            b"n,,m=x,n=a,r=b",
            b"q,,n=,r=a",
            b"n,,n=,r=\x7f",
        ] {
            assert!(matches!(start(bad), Err(ScramError::Malformed(_))), "{}", bad.escape_ascii());
        }
        assert!(start(&[b"n,,n=,r=", &[b'a'; 5000][..]].concat()).is_err());
        let finish = |last: &[u8]| {
            let (expect, _) = ExpectProof::start(
                verifier(b"p"),
                Channel::Plain,
                b"SCRAM-SHA-256",
                b"n,,n=,r=abc",
                &[1; 18],
            )?;
            expect.finish(last)
        };
        for bad in [&b""[..], b"c=biws", b"c=biws,r=x", b"c=biws,r=x,p=!!", b"c=biws,r=x,p=YQ=="] {
            assert!(matches!(finish(bad), Err(ScramError::Malformed(_))), "{}", bad.escape_ascii());
        }
        let stolen = [&b"c=biws,r=abcX,p="[..], STANDARD.encode([0; 32]).as_bytes()].concat();
        assert_eq!(finish(&stolen), Err(ScramError::Nonce));
    }

    #[test]
    fn a_verifier_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", verifier(b"x")), "Verifier { iterations: 4096, .. }");
    }

    #[test]
    fn binding_is_offered_only_where_there_is_something_to_bind_to() {
        assert_eq!(Channel::EndPoint(&[]).mechanisms(), [SCRAM_SHA_256_PLUS, SCRAM_SHA_256]);
        assert_eq!(Channel::Unbound.mechanisms(), [SCRAM_SHA_256]);
        assert_eq!(Channel::Plain.mechanisms(), [SCRAM_SHA_256]);
    }
}
