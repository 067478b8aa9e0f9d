//! From the configuration to what listeners need: certificates, links to targets, connection strings.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use firsthand_protocols::drive::tls::{
    ClientTls, ClientTlsParts, ServerTls, Verify, client_tls, roots, server_tls,
};
use firsthand_protocols::protocol::{Link, Links, TlsUse};
use firsthand_protocols::registry::{STREAM_PROTOCOLS, stream_protocol};
use rustls::RootCertStore;

use crate::config::{CertificateFiles, Config, TargetConfig, TlsMode};
use crate::failure::{Exit, Failure};

/// A PEM file longer than this is none.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// What is spoken on the http listener, as TLS names it.
const HTTP_1_1: &[u8] = b"http/1.1";

/// How targets are reached, by name; a reload replaces it. Clones share one table.
#[derive(Clone, Default)]
pub(crate) struct LinkTable(Arc<ArcSwap<HashMap<String, Link>>>);

impl LinkTable {
    /// Replaces all of them, for sessions to come.
    pub(crate) fn replace(&self, links: HashMap<String, Link>) {
        self.0.store(Arc::new(links));
    }
}

impl Links for LinkTable {
    fn link(&self, target: &str) -> Option<Link> {
        self.0.load().get(target).cloned()
    }
}

/// The links of all targets.
///
/// # Errors
/// A certificate that cannot be read or used, with its target and file.
pub(crate) fn links(config: &Config) -> Result<HashMap<String, Link>, Failure> {
    let mut system = None;
    let mut links = HashMap::new();
    for target in &config.targets {
        links.insert(target.target.name.clone(), link(target, &mut system)?);
    }
    Ok(links)
}

/// The link of one target. `system` keeps the system's authorities, once they were read.
pub(crate) fn link(target: &TargetConfig, system: &mut Option<RootCertStore>) -> Result<Link, Failure> {
    let tls_use = match target.tls {
        TlsMode::Disable => TlsUse::Disable,
        TlsMode::Prefer => TlsUse::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => TlsUse::Require,
    };
    let tls = match tls_use {
        TlsUse::Disable => None,
        TlsUse::Prefer | TlsUse::Require => Some(tls_toward(target, system)?),
    };
    Ok(Link { tls_use, tls, timeout: target.timeout })
}

fn tls_toward(target: &TargetConfig, system: &mut Option<RootCertStore>) -> Result<ClientTls, Failure> {
    let name = &target.target.name;
    let bad = |what: String| {
        Failure::new(
            format!("target {name}: {what}"),
            "check tls, tls_ca, tls_cert and tls_key of this target",
        )
    };
    let verify = match target.tls {
        TlsMode::VerifyFull => Verify::Full,
        TlsMode::VerifyCa => Verify::Authority,
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Verify::Nothing,
    };
    let roots = match (&target.tls_ca, verify) {
        (_, Verify::Nothing) => RootCertStore::empty(),
        (Some(file), _) => {
            roots(&read_pem(file)?).map_err(|e| bad(format!("tls_ca {}: {e}", file.display())))?
        }
        (None, _) => match system {
            Some(store) => store.clone(),
            None => system.insert(system_roots().map_err(bad)?).clone(),
        },
    };
    let identity = target.tls_identity.as_ref().map(read_pair).transpose()?;
    let alpn = stream_protocol(&target.target.protocol).map_or(&[][..], |p| p.alpn());
    client_tls(ClientTlsParts {
        verify,
        roots,
        identity: identity.as_ref().map(|(cert, key)| (cert.as_slice(), key.as_slice())),
        server_name: target.host.clone(),
        alpn,
    })
    .map_err(|e| bad(e.to_string()))
}

/// TLS toward a gateway's API: its certificate is always verified.
///
/// # Errors
/// A file that cannot be read or is none.
pub(crate) fn tls_toward_gateway(host: &str, ca: Option<&Path>) -> Result<ClientTls, Failure> {
    let bad = |what: String| Failure::usage(what, "check --ca: it takes a PEM file of certificates");
    let roots = match ca {
        Some(file) => roots(&read_pem(file).map_err(|failure| Failure { exit: Exit::Usage, ..failure })?)
            .map_err(|e| bad(format!("--ca {}: {e}", file.display())))?,
        None => system_roots().map_err(|what| {
            Failure::new(what.replace("tls_ca", "--ca"), "give --ca FILE with the authority")
        })?,
    };
    let (verify, server_name) = (Verify::Full, host.to_owned());
    client_tls(ClientTlsParts { verify, roots, identity: None, server_name, alpn: &[HTTP_1_1] })
        .map_err(|e| bad(e.to_string()))
}

/// TLS toward an issuer: its certificate is always verified. Reads files.
///
/// # Errors
/// Why there is none, for the operator.
pub(crate) fn tls_toward_issuer(host: &str, ca: Option<&Path>) -> Result<ClientTls, String> {
    let roots = match ca {
        Some(file) => {
            let pem = read_pem(file).map_err(|failure| failure.messages.join("; "))?;
            roots(&pem).map_err(|e| format!("{}: {e}", file.display()))?
        }
        None => system_roots().map_err(|what| what.replace("tls_ca", "ca"))?,
    };
    let (verify, server_name) = (Verify::Full, host.to_owned());
    client_tls(ClientTlsParts { verify, roots, identity: None, server_name, alpn: &[HTTP_1_1] })
        .map_err(|e| e.to_string())
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(format!("the system's authorities cannot be read ({why}); name some with tls_ca"));
    }
    Ok(store)
}

/// The gateway's certificate for one protocol's listener.
///
/// # Errors
/// With the files, when they cannot be read or do not fit.
pub(crate) fn certificate(
    config: &Config,
    files: &CertificateFiles,
    protocol: &str,
) -> Result<ServerTls, Failure> {
    certificate_for(config, files, stream_protocol(protocol).map_or(&[][..], |p| p.alpn()))
}

/// The gateway's certificate for the http listener.
///
/// # Errors
/// As [`certificate`].
pub(crate) fn web_certificate(config: &Config, files: &CertificateFiles) -> Result<ServerTls, Failure> {
    certificate_for(config, files, &[HTTP_1_1])
}

/// The certificate of a witness.
///
/// # Errors
/// As [`certificate`].
pub(crate) fn witness_certificate(files: &CertificateFiles) -> Result<ServerTls, Failure> {
    let (cert, key) = read_pair(files)?;
    server_tls(&cert, &key, &[HTTP_1_1], &RootCertStore::empty()).map_err(|e| {
        Failure::new(
            format!("tls ({}, {}): {e}", files.cert.display(), files.key.display()),
            "give a PEM certificate chain and the private key that belongs to it",
        )
    })
}

fn certificate_for(config: &Config, files: &CertificateFiles, alpn: &[&[u8]]) -> Result<ServerTls, Failure> {
    let (cert, key) = read_pair(files)?;
    let mut clients = RootCertStore::empty();
    // Each was made a verifier of before.
    clients.add_parsable_certificates(config.client_cas.iter().flat_map(|ca| ca.roots.iter().cloned()));
    server_tls(&cert, &key, alpn, &clients).map_err(|e| {
        Failure::new(
            format!("listen.tls ({}, {}): {e}", files.cert.display(), files.key.display()),
            "give a PEM certificate chain and the private key that belongs to it",
        )
    })
}

fn read_pair(files: &CertificateFiles) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    Ok((read_pem(&files.cert)?, read_pem(&files.key)?))
}

fn read_pem(file: &Path) -> Result<Vec<u8>, Failure> {
    let cannot = |why: String| {
        Failure::new(
            format!("cannot read {}: {why}", file.display()),
            "check the path and who may read the file",
        )
    };
    let size = std::fs::metadata(file).map_err(|e| cannot(e.to_string()))?.len();
    if size > PEM_BYTES_MAX {
        return Err(cannot(format!("{size} bytes are too many for a PEM file")));
    }
    std::fs::read(file).map_err(|e| cannot(e.to_string()))
}

/// How an unmodified client reaches a target with a token; `None` when its protocol is not listened for. Names and
/// secrets are made of characters that need no escaping.
pub(crate) fn connection_string(config: &Config, name: &str, secret: &str, target: &str) -> Option<String> {
    let protocol = &config.target(target)?.target.protocol;
    let scheme = STREAM_PROTOCOLS.iter().find(|p| p.name == *protocol)?.scheme;
    let address = config.listeners.iter().find(|l| l.protocol == *protocol)?.address;
    let host = if address.ip().is_unspecified() {
        // Reached under many names; this machine's own is the best guess.
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else if address.is_ipv6() {
        format!("[{}]", address.ip())
    } else {
        address.ip().to_string()
    };
    Some(format!("{scheme}://{name}:{secret}@{host}:{}/{target}", address.port()))
}
