//! Firsthand's own small authority for client certificates, in the folder `ca` of the data folder: `ca.key` (its key, for its owner
//! alone), `ca.crt`, `crl.pem` (what is revoked), `issued.json` (what was issued). Each act reads the folder and replaces files whole.
//!
//! In scope: making, issuing, revoking. Out of scope: recording that, and keeping two acts apart, which is the caller's.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firsthand_model::time::UnixMicros;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::certificate::check_own;
use crate::identity::scram::sha256_hex;

/// Its folder in the data folder.
pub const FOLDER: &str = "ca";
/// Its certificate.
pub const CERT: &str = "ca.crt";
/// What is revoked.
pub const LIST: &str = "crl.pem";
const KEY: &str = "ca.key";
const ISSUED: &str = "issued.json";
/// The form of `issued.json`.
const VERSION: u32 = 1;
/// A larger file is not one of ours.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How long the authority holds: it is replaced by another beside it, long before.
const CA_SECONDS: u64 = 10 * 365 * 86_400;
/// The longest life of a certificate.
pub const SECONDS_MAX: u64 = 90 * 86_400;
/// A certificate holds from so long before it was made: clocks differ.
const BEFORE_SECONDS: u64 = 300;
/// Longest common name (X.520).
const NAME_CHARS_MAX: usize = 64;
/// Alternative names of one kind.
const ALTERNATIVES_MAX: usize = 16;
/// Those that have ended are forgotten after this: their revocation says nothing any more. The record has them.
const FORGET_SECONDS: u64 = 30 * 86_400;
/// Certificates that are known at a time.
const KNOWN_MAX: usize = 100_000;
/// Bytes of a serial number (RFC 5280: 20 at most), random, so that nobody can guess the next.
const SERIAL_BYTES: usize = 16;
/// The uncompressed point of a key on P-256.
const POINT_BYTES: usize = 65;

const MICROS: u64 = 1_000_000;

/// A moment, as certificates have it, by its seconds since 1970.
macro_rules! at {
    ($seconds:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs($seconds)
    };
}

/// A certificate to be issued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its common name.
    pub name: String,
    /// URIs in it, SPIFFE ids among them.
    #[serde(default)]
    pub uri: Vec<String>,
    /// DNS names in it.
    #[serde(default)]
    pub dns: Vec<String>,
    /// Mail addresses in it.
    #[serde(default)]
    pub email: Vec<String>,
    /// How long it holds.
    pub seconds: u64,
    /// The client's public key: an uncompressed point on P-256, in base64. Its private key stays where it was made.
    pub public_key: String,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// Its common name.
    pub name: String,
    /// URIs in it.
    pub uri: Vec<String>,
    /// DNS names in it.
    pub dns: Vec<String>,
    /// Mail addresses in it.
    pub email: Vec<String>,
    /// SHA-256 of it, in hexadecimal.
    pub sha256: String,
    /// When it was issued, in seconds since 1970.
    pub since: u64,
    /// When it ends, likewise.
    pub ends: u64,
    /// When it was revoked, likewise.
    pub revoked: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    name: String,
    since: u64,
    ends: u64,
    list_number: u64,
    issued: Vec<Issued>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// There is one already.
    #[error("there is an authority in {} already", .0.display())]
    There(PathBuf),
    /// There is none.
    #[error("there is no authority in {}", .0.display())]
    None(PathBuf),
    /// What was asked cannot be issued.
    #[error("{0}")]
    Bad(String),
    /// No certificate of that serial number or name.
    #[error("no certificate that holds has the serial number or the name `{0}`")]
    NotFound(String),
    /// Too many.
    #[error(
        "{KNOWN_MAX} certificates are known, and no more may be: those that have ended are forgotten after a month"
    )]
    Full,
    /// The key can be read by others.
    #[error("{} can be read or changed by others (mode {:04o})", .0.display(), .1)]
    Exposed(PathBuf, u32),
    /// A file operation failed.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, io::Error),
    /// A file is not what we write.
    #[error("{}: {}", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// Cryptography failed.
    #[error("the certificate cannot be made: {0}")]
    Crypto(String),
}

/// The authority of a data folder.
#[derive(Clone, Debug)]
pub struct OwnCa {
    folder: PathBuf,
}

/// An authority that is to be made; nothing of it is on disk.
pub struct Draft {
    content: Content,
    key: Zeroizing<String>,
    /// Its certificate, PEM.
    pub cert: String,
    /// SHA-256 of that.
    pub sha256: String,
    list: String,
}

impl Draft {
    /// When it ends.
    #[must_use]
    pub fn ends(&self) -> UnixMicros {
        UnixMicros(self.content.ends.saturating_mul(MICROS))
    }
}

impl OwnCa {
    /// Of this data folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join(FOLDER) }
    }

    /// A file of it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes one, which is not there before [`OwnCa::make`].
    ///
    /// # Errors
    /// When there is one, or the name cannot be one.
    pub fn draft(&self, name: &str, now: UnixMicros) -> Result<Draft, CaError> {
        if self.file(KEY).exists() || self.file(CERT).exists() {
            return Err(CaError::There(self.folder.clone()));
        }
        check_name(name)?;
        let since = now.0 / MICROS;
        let (name, ends) = (name.to_owned(), since + CA_SECONDS);
        let content = Content { version: VERSION, name, since, ends, list_number: 1, issued: Vec::new() };
        let key = KeyPair::generate().map_err(crypto)?;
        let pem = Zeroizing::new(key.serialize_pem());
        let params = params_of(&content);
        let cert = params.self_signed(&key).map_err(crypto)?;
        let list = list_of(&content, &Issuer::new(params, key), since)?;
        let sha256 = sha256_hex(cert.der());
        Ok(Draft { content, key: pem, cert: cert.pem(), sha256, list })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make(&self, draft: &Draft) -> Result<(), CaError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        made.map_err(|e| CaError::Io(self.folder.clone(), e))?;
        self.write(ISSUED, &json(&draft.content))?;
        self.write(LIST, draft.list.as_bytes())?;
        self.write(KEY, draft.key.as_bytes())?;
        self.write(CERT, draft.cert.as_bytes())
    }

    /// Issues a certificate, which counts for nothing here before [`OwnCa::add`]: the certificate, PEM, and what is known of it.
    ///
    /// # Errors
    /// When there is no authority, or what is asked cannot be issued.
    pub fn issue(&self, request: &Request, now: UnixMicros) -> Result<(String, Issued), CaError> {
        let content = self.content()?;
        let now = now.0 / MICROS;
        if content.issued.len() >= KNOWN_MAX {
            return Err(CaError::Full);
        }
        if request.seconds == 0 || request.seconds > SECONDS_MAX {
            let days = SECONDS_MAX / 86_400;
            return Err(CaError::Bad(format!("a certificate holds for 1s to {days}d")));
        }
        let ends = now + request.seconds;
        if ends > content.ends {
            return Err(CaError::Bad("it would outlast its authority".to_owned()));
        }
        check_name(&request.name)?;
        let key = Point::read(&request.public_key)?;
        let mut serial = [0; SERIAL_BYTES];
        rand::fill(&mut serial).map_err(|_| CaError::Crypto("there are no random bytes".to_owned()))?;
        // Positive, and without zeros in front: the same in every form.
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&request.name);
        params.subject_alt_names = alternatives(request)?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = at!(now.saturating_sub(BEFORE_SECONDS));
        params.not_after = at!(ends);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&key, &self.issuer(&content)?).map_err(crypto)?;
        check_own(cert.der()).map_err(|why| CaError::Bad(why.to_owned()))?;
        let issued = Issued {
            serial: serial.iter().map(|b| format!("{b:02x}")).collect(),
            name: request.name.clone(),
            uri: request.uri.clone(),
            dns: request.dns.clone(),
            email: request.email.clone(),
            sha256: sha256_hex(cert.der()),
            since: now,
            ends,
            revoked: None,
        };
        Ok((cert.pem(), issued))
    }

    /// Writes down that it was issued: without that it could not be revoked.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&self, issued: &Issued, now: UnixMicros) -> Result<(), CaError> {
        let mut content = self.content()?;
        let now = now.0 / MICROS;
        content.issued.retain(|one| one.ends.saturating_add(FORGET_SECONDS) > now);
        content.issued.push(issued.clone());
        self.write(ISSUED, &json(&content))
    }

    /// Those that hold and have this serial number, or this name.
    ///
    /// # Errors
    /// When there are none.
    pub fn to_revoke(&self, asked: &str, now: UnixMicros) -> Result<Vec<Issued>, CaError> {
        let now = now.0 / MICROS;
        let holds = |one: &Issued| one.revoked.is_none() && one.ends > now;
        let is = |one: &Issued| one.serial.eq_ignore_ascii_case(asked) || one.name == asked;
        let found: Vec<_> = self.content()?.issued.into_iter().filter(|one| holds(one) && is(one)).collect();
        if found.is_empty() { Err(CaError::NotFound(asked.to_owned())) } else { Ok(found) }
    }

    /// Puts these on the revocation list.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn revoke(&self, serials: &[String], now: UnixMicros) -> Result<(), CaError> {
        let mut content = self.content()?;
        let now = now.0 / MICROS;
        for one in content.issued.iter_mut().filter(|one| serials.contains(&one.serial)) {
            one.revoked = one.revoked.or(Some(now));
        }
        content.list_number += 1;
        let list = list_of(&content, &self.issuer(&content)?, now)?;
        // What the list says, counts: it is written first.
        self.write(LIST, list.as_bytes())?;
        self.write(ISSUED, &json(&content))
    }

    /// All that were issued and are not forgotten, oldest first.
    ///
    /// # Errors
    /// When there is no authority.
    pub fn list(&self) -> Result<Vec<Issued>, CaError> {
        self.content().map(|content| content.issued)
    }

    /// A file of it that is no secret, as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<String, CaError> {
        let file = self.file(name);
        fs::read_to_string(&file).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => CaError::None(self.folder.clone()),
            _ => CaError::Io(file, e),
        })
    }

    fn content(&self) -> Result<Content, CaError> {
        let file = self.file(ISSUED);
        let size = fs::metadata(&file).map(|of| of.len()).unwrap_or(0);
        if size > FILE_BYTES_MAX {
            return Err(CaError::Damaged(file, "it is too large".to_owned()));
        }
        let content: Content = serde_json::from_str(&self.read(ISSUED)?)
            .map_err(|e| CaError::Damaged(file.clone(), e.to_string()))?;
        if content.version != VERSION {
            return Err(CaError::Damaged(file, "it was written by another version".to_owned()));
        }
        Ok(content)
    }

    fn issuer(&self, content: &Content) -> Result<Issuer<'static, KeyPair>, CaError> {
        let file = self.file(KEY);
        let io = |e| CaError::Io(file.clone(), e);
        let mode = fs::metadata(&file).map_err(io)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CaError::Exposed(file, mode));
        }
        let pem = Zeroizing::new(fs::read_to_string(&file).map_err(io)?);
        let key = KeyPair::from_pem(&pem).map_err(|e| CaError::Damaged(file, e.to_string()))?;
        Ok(Issuer::new(params_of(content), key))
    }

    /// Replaces a file whole, for its owner alone.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CaError> {
        let (file, new) = (self.file(name), self.file(&format!("{name}.new")));
        let written = || -> io::Result<()> {
            let _ = fs::remove_file(&new);
            let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            out.write_all(bytes)?;
            out.sync_all()?;
            fs::rename(&new, &file)?;
            File::open(&self.folder)?.sync_all()
        };
        written().map_err(|e| CaError::Io(file.clone(), e))
    }
}

/// A client's public key.
struct Point(Vec<u8>);

impl Point {
    fn read(text: &str) -> Result<Self, CaError> {
        let bad = || CaError::Bad("the public key is no point on P-256".to_owned());
        let bytes = STANDARD.decode(text).map_err(|_| bad())?;
        let is_one =
            bytes.len() == POINT_BYTES && ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &bytes).is_ok();
        if is_one { Ok(Self(bytes)) } else { Err(bad()) }
    }
}

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn params_of(content: &Content) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(&content.name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = at!(content.since.saturating_sub(BEFORE_SECONDS));
    params.not_after = at!(content.ends);
    params
}

/// The revocation list. It is in date as long as the authority: whoever reads it here reads it anew with each revocation.
fn list_of(content: &Content, issuer: &Issuer<'_, KeyPair>, now: u64) -> Result<String, CaError> {
    let bytes = |serial: &str| -> Vec<u8> {
        let digits = serial.as_bytes().chunks(2);
        digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
    };
    let revoked = content.issued.iter().filter_map(|one| {
        Some(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&bytes(&one.serial)),
            revocation_time: at!(one.revoked?),
            reason_code: None,
            invalidity_date: None,
        })
    });
    let params = CertificateRevocationListParams {
        this_update: at!(now.saturating_sub(BEFORE_SECONDS)),
        next_update: at!(content.ends),
        crl_number: SerialNumber::from(content.list_number),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).and_then(|list| list.pem()).map_err(crypto)
}

fn alternatives(request: &Request) -> Result<Vec<SanType>, CaError> {
    let lists = [&request.uri, &request.dns, &request.email];
    if lists.iter().any(|list| list.len() > ALTERNATIVES_MAX) {
        return Err(CaError::Bad(format!("more than {ALTERNATIVES_MAX} names of one kind")));
    }
    let bad = |what: &str| CaError::Bad(format!("`{}` is none", what.escape_debug()));
    let mut all = Vec::new();
    for uri in &request.uri {
        all.push(SanType::URI(uri.as_str().try_into().map_err(|_| bad(uri))?));
    }
    for name in &request.dns {
        all.push(SanType::DnsName(name.as_str().try_into().map_err(|_| bad(name))?));
    }
    for mail in &request.email {
        all.push(SanType::Rfc822Name(mail.as_str().try_into().map_err(|_| bad(mail))?));
    }
    Ok(all)
}

fn named(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn check_name(name: &str) -> Result<(), CaError> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(CaError::Bad(format!("a name has 1 to {NAME_CHARS_MAX} characters"))) }
}

fn json(content: &Content) -> Vec<u8> {
    serde_json::to_vec_pretty(content).unwrap_or_default()
}

fn crypto(e: rcgen::Error) -> CaError {
    CaError::Crypto(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);

    fn made() -> (tempfile::TempDir, OwnCa) {
        let dir = tempfile::tempdir().unwrap();
        let ca = OwnCa::of(dir.path());
        ca.make(&ca.draft("firsthand", NOW).unwrap()).unwrap();
        (dir, ca)
    }

    fn request(name: &str) -> Request {
        let key = KeyPair::generate().unwrap();
        let public_key = STANDARD.encode(key.public_key_raw());
        Request { name: name.to_owned(), seconds: 3600, public_key, ..Request::default() }
    }

    #[test]
    fn its_files_are_for_its_owner_alone_and_it_is_made_once() {
        let (dir, ca) = made();
        for name in [KEY, CERT, LIST, ISSUED] {
            let mode = fs::metadata(ca.file(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name}");
        }
        assert_eq!(fs::metadata(dir.path().join(FOLDER)).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(ca.draft("again", NOW), Err(CaError::There(_))));
        fs::set_permissions(ca.file(KEY), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(ca.issue(&request("bot"), NOW), Err(CaError::Exposed(_, 0o640))));
        let none = OwnCa::of(&dir.path().join("elsewhere"));
        assert!(matches!(none.issue(&request("bot"), NOW), Err(CaError::None(_))));
    }

    #[test]
    fn what_is_issued_is_known_until_it_is_revoked_or_forgotten() {
        let (_dir, ca) = made();
        let (pem, first) = ca.issue(&request("bot"), NOW).unwrap();
        assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(ca.list().unwrap().is_empty(), "it counts when it is written down");
        ca.add(&first, NOW).unwrap();
        let (_, second) = ca.issue(&request("bot"), NOW).unwrap();
        ca.add(&second, NOW).unwrap();
        assert_ne!(first.serial, second.serial);
        let before = ca.read(LIST).unwrap();
        assert_eq!(ca.to_revoke(&first.serial, NOW).unwrap(), std::slice::from_ref(&first));
        assert_eq!(ca.to_revoke("bot", NOW).unwrap().len(), 2);
        ca.revoke(std::slice::from_ref(&first.serial), NOW).unwrap();
        assert_ne!(ca.read(LIST).unwrap(), before);
        assert_eq!(ca.to_revoke("bot", NOW).unwrap(), [second]);
        assert!(matches!(ca.to_revoke(&first.serial, NOW), Err(CaError::NotFound(_))));
        let later = UnixMicros(NOW.0 + 40 * 86_400 * MICROS);
        let (_, third) = ca.issue(&request("other"), later).unwrap();
        ca.add(&third, later).unwrap();
        assert_eq!(ca.list().unwrap(), [third]);
    }

    #[test]
    fn what_could_name_nobody_is_not_issued() {
        let (_dir, ca) = made();
        let good = request("bot");
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        for (what, bad) in [
            ("no name", Request { name: String::new(), ..good.clone() }),
            ("a long name", Request { name: "n".repeat(65), ..good.clone() }),
            ("a wildcard", Request { name: "*".to_owned(), ..good.clone() }),
            ("a line end", Request { name: "a\nb".to_owned(), ..good.clone() }),
            ("a wildcard elsewhere", Request { dns: names(&["*.acme.example"]), ..good.clone() }),
            ("two SPIFFE ids", Request { uri: names(&["spiffe://a/b", "spiffe://a/c"]), ..good.clone() }),
            ("no SPIFFE id", Request { uri: names(&["spiffe://a"]), ..good.clone() }),
            ("many names", Request { dns: vec!["a.example".to_owned(); 17], ..good.clone() }),
            ("no time", Request { seconds: 0, ..good.clone() }),
            ("more than 90 days", Request { seconds: SECONDS_MAX + 1, ..good.clone() }),
            ("no key", Request { public_key: String::new(), ..good.clone() }),
            ("no point", Request { public_key: STANDARD.encode([4; 65]), ..good.clone() }),
        ] {
            assert!(matches!(ca.issue(&bad, NOW), Err(CaError::Bad(_))), "{what}");
        }
        let most = Request { seconds: SECONDS_MAX, ..good };
        assert!(ca.issue(&most, NOW).is_ok());
        let late = UnixMicros(NOW.0 + (CA_SECONDS - 86_400) * MICROS);
        assert!(matches!(ca.issue(&most, late), Err(CaError::Bad(_))), "it would outlast its authority");
    }
}
