//! Certificates of one test: an authority, a server and a client certificate under it, and a stranger.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// Files written into one folder; every field is the path without its extension where both `.crt` and `.key` exist.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
}

/// Who a certificate is for.
#[derive(Debug, Clone, Copy)]
pub enum Holder<'a> {
    /// A server under these host names and addresses.
    Server(&'a [&'a str]),
    /// A client with this common name (for PostgreSQL: the role).
    Client(&'a str),
}

impl Certificates {
    /// Writes `ca.crt`, `server.*` (localhost and 127.0.0.1), `elsewhere.*` (a server under another name),
    /// `own.*` (a server's that is an authority itself), `cert_user.*` (a client) and `stranger.crt` (an authority that signed none of them).
    pub fn write(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let ca = authority("firsthand tests")?;
        let stranger = authority("a stranger")?;
        std::fs::write(dir.join("ca.crt"), ca.pem())?;
        std::fs::write(dir.join("stranger.crt"), stranger.pem())?;
        let made = Self { dir: dir.to_path_buf() };
        made.issue(&ca, "server", Holder::Server(&["localhost", "127.0.0.1"]))?;
        made.issue(&ca, "elsewhere", Holder::Server(&["elsewhere.example"]))?;
        made.issue(&ca, "cert_user", Holder::Client("cert_user"))?;
        let own = authority_of(vec!["localhost".to_owned()], "own")?;
        let key = KeyPair::generate()?;
        std::fs::write(made.crt("own"), own.self_signed(&key)?.pem())?;
        write_private(&made.key("own"), &key.serialize_pem())?;
        Ok(made)
    }

    /// The certificate file of `name`.
    #[must_use]
    pub fn crt(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.crt"))
    }

    /// The private key file of `name`.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }

    fn issue(&self, ca: &CertifiedIssuer<'_, KeyPair>, name: &str, holder: Holder<'_>) -> Result<()> {
        let (common, names) = match holder {
            Holder::Server(names) => (name, names.iter().map(|&n| n.to_owned()).collect()),
            Holder::Client(role) => (role, Vec::new()),
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, ca)?;
        std::fs::write(self.crt(name), certificate.pem())?;
        write_private(&self.key(name), &key.serialize_pem())
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>> {
    Ok(CertifiedIssuer::self_signed(authority_of(Vec::new(), name)?, KeyPair::generate()?)?)
}

fn authority_of(hosts: Vec<String>, name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(hosts)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// libpq and PostgreSQL refuse a key that others can read.
fn write_private(path: &Path, pem: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, pem)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
