//! What the configuration says: which authorities stand behind client certificates, and whom those name.

use std::path::{Path, PathBuf};

use firsthand_model::identity::{IdentityKind, Role};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

/// Authorities in one `[[client_ca]]`: a company has a handful, with those that it is moving away from.
pub const ROOTS_MAX: usize = 16;
/// Bytes of a file of authorities.
const ROOTS_BYTES_MAX: u64 = 1 << 20;
/// Revocation lists of one `[[client_ca]]`: one for each authority in its chains.
const LISTS_MAX: usize = 64;
/// Bytes of a file of revocation lists: some hundred thousand revoked certificates.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// What of a certificate a rule can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Common name of the subject.
    Cn,
    /// Organisation of the subject.
    O,
    /// Organisational unit of the subject.
    Ou,
    /// A DNS name (subject alternative name), in lower case.
    Dns,
    /// A URI (subject alternative name).
    Uri,
    /// A mail address (subject alternative name).
    Email,
    /// The SPIFFE id: the only URI, which is one.
    Spiffe,
    /// SHA-256 of the certificate, in lower-case hexadecimal.
    Sha256,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Cn, Self::O, Self::Ou, Self::Dns, Self::Uri, Self::Email, Self::Spiffe, Self::Sha256];

    /// The word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cn => "cn",
            Self::O => "o",
            Self::Ou => "ou",
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Spiffe => "spiffe",
            Self::Sha256 => "sha256",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.word() == word)
    }
}

/// A field, and a pattern that it must match: `*` stands for any number of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field.
    pub field: Field,
    /// The pattern.
    pub pattern: String,
}

impl Condition {
    /// Reads `FIELD = PATTERN`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (field, pattern) = text.split_once('=')?;
        let (field, pattern) = (Field::parse(field.trim())?, pattern.trim());
        let pattern = if field == Field::Dns { pattern.to_lowercase() } else { pattern.to_owned() };
        (!pattern.is_empty()).then_some(Self { field, pattern })
    }

    /// Whether every certificate with this field fits.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.pattern.bytes().all(|b| b == b'*')
    }
}

/// Where a name comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// It stands in the rule.
    As(String),
    /// It is this field of the certificate, behind the prefix of its authority.
    By(Field),
}

/// Whom a rule names, and what they may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    /// All of these must hold.
    pub when: Vec<Condition>,
    /// By which name.
    pub named: Named,
    /// What it is.
    pub kind: IdentityKind,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Groups it is in; for rules each is `CA/GROUP`.
    pub groups: Vec<String>,
    /// The targets it opens.
    pub targets: Vec<String>,
    /// What it lets its holder do at the gateway itself.
    pub roles: Vec<Role>,
}

/// Which certificates clients must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// None: a certificate or a token.
    #[default]
    Optional,
    /// One always; it is the proof.
    Required,
    /// One always, and a token of the same identity.
    WithToken,
}

/// Authorities behind client certificates, with their rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCa {
    /// What they are called here.
    pub name: String,
    /// Their file.
    pub ca: PathBuf,
    /// Files of revocation lists.
    pub crl: Vec<PathBuf>,
    /// What stands before each name that comes out of a certificate.
    pub prefix: String,
    /// A certificate is the proof whatever the login name is.
    pub any_login: bool,
    /// Whom their certificates name.
    pub allow: Vec<Allow>,
    /// The authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// The revocation lists.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
}

impl ClientCa {
    /// The same, with its files read again.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    pub fn read_again(&self) -> Result<Self, String> {
        let of = |file: &Path, why: String| format!("{}: {why}", file.display());
        let roots = read_roots(&self.ca).map_err(|why| of(&self.ca, why))?;
        let mut lists = Vec::new();
        for file in &self.crl {
            lists.extend(read_lists(file).map_err(|why| of(file, why))?);
        }
        Ok(Self { roots, lists, ..self.clone() })
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// Why it cannot be used.
pub fn read_roots(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(file, ROOTS_BYTES_MAX)?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.map_err(|e| format!("it is no PEM file: {e}"))?;
    match roots.len() {
        0 => Err("there is no certificate (PEM) in it".to_owned()),
        n if n > ROOTS_MAX => Err(format!("{n} authorities are more than {ROOTS_MAX}")),
        _ => Ok(roots),
    }
}

/// The revocation lists in a PEM file.
///
/// # Errors
/// Why it cannot be used.
pub fn read_lists(file: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let pem = read(file, LIST_BYTES_MAX)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let lists = lists.map_err(|e| format!("it is no PEM file: {e}"))?;
    match lists.len() {
        0 => Err("there is no revocation list (PEM, X509 CRL) in it".to_owned()),
        n if n > LISTS_MAX => Err(format!("{n} revocation lists are more than {LISTS_MAX}")),
        _ => Ok(lists),
    }
}

fn read(file: &Path, most: u64) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > most {
        return Err(format!("{size} bytes are more than {most}"));
    }
    std::fs::read(file).map_err(|e| e.to_string())
}
