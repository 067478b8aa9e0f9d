//! Signatures as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig), and public keys as they stand in `authorized_keys`:
//! read and checked here, by the one provider of cryptography. Nothing is ever signed here.

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// Longest signature as text: that of an RSA key of 8192 bits, with its key, has less than 4 KiB.
pub const ARMORED_BYTES_MAX: usize = 8 << 10;
/// Longest line of a public key.
const LINE_BYTES_MAX: usize = 8 << 10;

const MAGIC: &[u8] = b"SSHSIG";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Characters of a line of it.
const LINE_CHARS: usize = 70;
/// Bit of an authenticator's flags: somebody has touched it.
const PRESENT: u8 = 1;

/// Why a key or a signature is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// It is not of the form.
    #[error("it is not of the form that OpenSSH writes")]
    Form,
    /// A kind of key or digest that is not known here.
    #[error(
        "it is of a kind that does not count here: Ed25519, ECDSA and RSA keys do, and those of security keys"
    )]
    Kind,
    /// The signature is for something else.
    #[error("it is made for another purpose (namespace)")]
    Namespace,
    /// It does not fit.
    #[error("it does not fit what is signed")]
    Unfit,
}

/// What a key computes with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Numbers {
    Ed25519(Vec<u8>),
    Ecdsa(Curve, Vec<u8>),
    Rsa {
        e: Vec<u8>,
        n: Vec<u8>,
    },
    /// In an authenticator (FIDO), for an application.
    SkEd25519(Vec<u8>, Vec<u8>),
    SkEcdsa(Vec<u8>, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"nistp256" => Some(Self::P256),
            b"nistp384" => Some(Self::P384),
            b"nistp521" => Some(Self::P521),
            _ => None,
        }
    }

    /// Bytes of a coordinate.
    const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn verify(self, point: &[u8], message: &[u8], fixed: &[u8]) -> bool {
        let parameters = match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        };
        UnparsedPublicKey::new(parameters, point).verify(message, fixed).is_ok()
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: String,
    blob: Vec<u8>,
    numbers: Numbers,
}

impl PublicKey {
    /// Reads a line as in `authorized_keys` or `id_….pub`: kind, base64, and perhaps a comment. No options.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(line: &str) -> Result<Self, SshError> {
        if line.len() > LINE_BYTES_MAX || line.contains(['\n', '\r']) {
            return Err(SshError::Form);
        }
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else { return Err(SshError::Form) };
        let key = Self::of_blob(&STANDARD.decode(base64).map_err(|_| SshError::Form)?)?;
        if key.kind == kind { Ok(key) } else { Err(SshError::Form) }
    }

    fn of_blob(blob: &[u8]) -> Result<Self, SshError> {
        let mut parts = Parts(blob);
        let kind = String::from_utf8(parts.string()?.to_vec()).map_err(|_| SshError::Form)?;
        let numbers = match kind.as_str() {
            "ssh-ed25519" => Numbers::Ed25519(parts.string()?.to_vec()),
            "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => {
                let name = parts.string()?;
                let fits = kind.as_bytes().ends_with(name);
                let curve = Curve::of(name).filter(|_| fits).ok_or(SshError::Form)?;
                Numbers::Ecdsa(curve, parts.string()?.to_vec())
            }
            "ssh-rsa" => Numbers::Rsa { e: parts.natural()?.to_vec(), n: parts.natural()?.to_vec() },
            "sk-ssh-ed25519@openssh.com" => {
                Numbers::SkEd25519(parts.string()?.to_vec(), parts.string()?.to_vec())
            }
            "sk-ecdsa-sha2-nistp256@openssh.com" => {
                Curve::of(parts.string()?).filter(|curve| *curve == Curve::P256).ok_or(SshError::Form)?;
                Numbers::SkEcdsa(parts.string()?.to_vec(), parts.string()?.to_vec())
            }
            _ => return Err(SshError::Kind),
        };
        parts.end()?;
        Ok(Self { kind, blob: blob.to_vec(), numbers })
    }

    /// As `ssh-keygen -l` shows it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest(&SHA256, &self.blob)))
    }

    /// The line without a comment.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.kind, STANDARD.encode(&self.blob))
    }

    /// Its kind, as OpenSSH calls it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

/// A signature with the key that it says it is of.
#[derive(Clone, Debug)]
pub struct SshSignature {
    blob: Vec<u8>,
    key: PublicKey,
    namespace: Vec<u8>,
    hash: Vec<u8>,
    signature: Vec<u8>,
}

impl SshSignature {
    /// Reads what `ssh-keygen -Y sign` has written.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(armored: &str) -> Result<Self, SshError> {
        if armored.len() > ARMORED_BYTES_MAX {
            return Err(SshError::Form);
        }
        let inner = armored.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let base64: String = inner.ok_or(SshError::Form)?.split_ascii_whitespace().collect();
        let blob = STANDARD.decode(base64).map_err(|_| SshError::Form)?;
        let mut parts = Parts(blob.strip_prefix(MAGIC).ok_or(SshError::Form)?);
        if parts.number()? != 1 {
            return Err(SshError::Kind);
        }
        let key = PublicKey::of_blob(parts.string()?)?;
        let [namespace, reserved, hash, signature] =
            [parts.string()?, parts.string()?, parts.string()?, parts.string()?].map(<[u8]>::to_vec);
        parts.end()?;
        // OpenSSH signs with an empty one, and takes no other: what is kept as proof must be one to its tool, too.
        if !reserved.is_empty() {
            return Err(SshError::Form);
        }
        Ok(Self { blob: blob.clone(), key, namespace, hash, signature })
    }

    /// As OpenSSH writes it: what is read here may have other line ends and spaces, which its own tool does not take.
    #[must_use]
    pub fn armored(&self) -> String {
        let mut out = format!("{BEGIN}\n");
        for (at, c) in STANDARD.encode(&self.blob).char_indices() {
            if at > 0 && at % LINE_CHARS == 0 {
                out.push('\n');
            }
            out.push(c);
        }
        out.push_str(&format!("\n{END}\n"));
        out
    }

    /// The key that it says it is of. Whose that is, it does not say.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether its key has signed this text for this purpose.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, text: &[u8], namespace: &str) -> Result<(), SshError> {
        if self.namespace != namespace.as_bytes() {
            return Err(SshError::Namespace);
        }
        let hashed = match self.hash.as_slice() {
            b"sha256" => digest(&SHA256, text),
            b"sha512" => digest(&SHA512, text),
            _ => return Err(SshError::Kind),
        };
        let mut signed = MAGIC.to_vec();
        for part in [self.namespace.as_slice(), b"", &self.hash, hashed.as_ref()] {
            signed.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            signed.extend_from_slice(part);
        }
        let mut parts = Parts(&self.signature);
        let (kind, mut numbers) = (parts.string()?, Parts(parts.string()?));
        let fits = match &self.key.numbers {
            Numbers::Ed25519(key) if kind == b"ssh-ed25519" => {
                UnparsedPublicKey::new(&ED25519, key).verify(&signed, numbers.0).is_ok()
            }
            Numbers::Ecdsa(curve, point) if kind == self.key.kind.as_bytes() => {
                curve.verify(point, &signed, &numbers.fixed(*curve)?)
            }
            Numbers::Rsa { e, n } => {
                // What is older, with SHA-1, does not count.
                let parameters = match kind {
                    b"rsa-sha2-256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    b"rsa-sha2-512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    _ => return Err(SshError::Kind),
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, &signed, numbers.0).is_ok()
            }
            Numbers::SkEd25519(key, application) if kind == self.key.kind.as_bytes() => {
                let touched = authenticated(application, parts.touched()?, &signed);
                UnparsedPublicKey::new(&ED25519, key).verify(&touched, numbers.0).is_ok()
            }
            Numbers::SkEcdsa(point, application) if kind == self.key.kind.as_bytes() => {
                let touched = authenticated(application, parts.touched()?, &signed);
                Curve::P256.verify(point, &touched, &numbers.fixed(Curve::P256)?)
            }
            _ => return Err(SshError::Form),
        };
        parts.end()?;
        if fits { Ok(()) } else { Err(SshError::Unfit) }
    }
}

/// What an authenticator signs.
fn authenticated(application: &[u8], (flags, counter): (u8, u32), signed: &[u8]) -> Vec<u8> {
    let mut out = digest(&SHA256, application).as_ref().to_vec();
    out.push(flags);
    out.extend_from_slice(&counter.to_be_bytes());
    out.extend_from_slice(digest(&SHA256, signed).as_ref());
    out
}

/// What is left to read: SSH's own forms (RFC 4251).
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], SshError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or(SshError::Form)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, SshError> {
        let bytes: [u8; 4] = self.take(4)?.try_into().map_err(|_| SshError::Form)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn string(&mut self) -> Result<&'a [u8], SshError> {
        let n = usize::try_from(self.number()?).map_err(|_| SshError::Form)?;
        self.take(n)
    }

    /// A number above zero, without the zero in front that keeps it from being negative. In front of another it is none of the form:
    /// a number is written in one way only, and so is a signature.
    fn natural(&mut self) -> Result<&'a [u8], SshError> {
        match self.string()? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
            bytes if bytes.first().is_some_and(|first| (1..0x80).contains(first)) => Ok(bytes),
            _ => Err(SshError::Form),
        }
    }

    /// The two numbers of an ECDSA signature, each as long as the curve's.
    fn fixed(&mut self, curve: Curve) -> Result<Vec<u8>, SshError> {
        let mut out = Vec::with_capacity(2 * curve.size());
        for _ in 0..2 {
            let number = self.natural()?;
            let zeros = curve.size().checked_sub(number.len()).ok_or(SshError::Form)?;
            out.extend(std::iter::repeat_n(0, zeros));
            out.extend_from_slice(number);
        }
        self.end()?;
        Ok(out)
    }

    /// Flags and counter of an authenticator that somebody has touched.
    fn touched(&mut self) -> Result<(u8, u32), SshError> {
        let flags = self.take(1)?.first().copied().unwrap_or(0);
        if flags & PRESENT == 0 {
            return Err(SshError::Unfit);
        }
        Ok((flags, self.number()?))
    }

    fn end(&self) -> Result<(), SshError> {
        if self.0.is_empty() { Ok(()) } else { Err(SshError::Form) }
    }
}
