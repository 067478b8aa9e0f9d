//! TLS on both sides: the gateway's own certificate toward clients, verification of targets (libpq's sslmode words).

use std::sync::Arc;

use firsthand_session::port::ClientChain;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// What can be wrong with certificates and keys. The texts name files' contents, never a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or nothing of that kind in it.
    #[error("cannot read {what}: {why}")]
    Pem {
        /// What was being read.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// Certificate and key do not fit, or an algorithm is not supported.
    #[error("cannot use the certificate: {0}")]
    Unusable(#[from] rustls::Error),
    /// The verifier cannot be built.
    #[error("cannot verify with these roots: {0}")]
    Roots(String),
}

/// Facts of a TLS session for the record and for channel binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.3`, `TLSv1.2`.
    pub version: String,
    /// The application protocol that was agreed, if any.
    pub alpn: Option<Vec<u8>>,
    /// RFC 5929 tls-server-end-point of the peer's certificate (only where the gateway is the client).
    pub peer_end_point: Option<Vec<u8>>,
    /// The certificates that a client has shown (only where the gateway is the server): it has the key of the first, and nothing
    /// else is known of them here.
    pub client: Option<ClientChain>,
}

impl TlsFacts {
    /// Reads them from a finished handshake with a client.
    pub fn of_client(state: &CommonState) -> Self {
        let shown = |all: &[CertificateDer<'_>]| all.iter().map(|der| der.to_vec()).collect::<Vec<_>>();
        let client = state.peer_certificates().map(|all| ClientChain(shown(all).into()));
        Self { client, peer_end_point: None, ..Self::of(state) }
    }

    /// Reads them from a finished handshake.
    pub fn of(state: &CommonState) -> Self {
        let version = match state.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
            other => format!("{other:?}"),
        };
        Self {
            version,
            alpn: state.alpn_protocol().map(<[u8]>::to_vec),
            peer_end_point: state.peer_certificates().and_then(<[_]>::first).and_then(|c| end_point(c)),
            client: None,
        }
    }
}

/// The gateway's certificate, ready to accept with.
#[derive(Clone)]
pub struct ServerTls {
    /// For the acceptor.
    pub config: Arc<ServerConfig>,
    /// RFC 5929 tls-server-end-point of its certificate, for SCRAM-SHA-256-PLUS.
    pub end_point: Option<Vec<u8>>,
}

/// Builds the accepting side from PEM. `alpn`: the application protocols spoken on this listener. `clients`: authorities whose
/// certificates clients are asked for; without any, they are not asked.
///
/// # Errors
/// See [`TlsError`].
pub fn server_tls(
    cert_pem: &[u8],
    key_pem: &[u8],
    alpn: &[&[u8]],
    clients: &RootCertStore,
) -> Result<ServerTls, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match clients.is_empty() {
        true => WebPkiClientVerifier::no_client_auth(),
        false => Arc::new(Possession { provider: provider(), hints: clients.subjects() }),
    };
    let chain = certificates(cert_pem, "the certificate")?;
    let key = private_key(key_pem)?;
    let end_point = chain.first().and_then(end_point);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    // Resumption would keep keys of old sessions in memory for little gain: sessions live long here.
    // And who resumes one is not asked for a certificate again.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(ServerTls { config: Arc::new(config), end_point })
}

/// How a target's certificate is checked: libpq's sslmode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Not at all (`prefer`, `require`): encrypted, but to whoever answers.
    Nothing,
    /// That a trusted authority signed it (`verify-ca`).
    Authority,
    /// And that it is for this host (`verify-full`).
    Full,
}

/// TLS toward one target.
#[derive(Clone)]
pub struct ClientTls {
    /// For the connector.
    pub config: Arc<ClientConfig>,
    /// The host name or address: for SNI and for `verify-full`.
    pub server_name: String,
}

/// What goes into [`client_tls`].
pub struct ClientTlsParts<'a> {
    /// How the certificate is checked.
    pub verify: Verify,
    /// Roots to trust; used with `Authority` and `Full`.
    pub roots: RootCertStore,
    /// Certificate chain and key in PEM to present to the target.
    pub identity: Option<(&'a [u8], &'a [u8])>,
    /// The host name or address.
    pub server_name: String,
    /// Application protocols to offer.
    pub alpn: &'a [&'a [u8]],
}

/// Builds the connecting side.
///
/// # Errors
/// See [`TlsError`].
pub fn client_tls(parts: ClientTlsParts<'_>) -> Result<ClientTls, TlsError> {
    let verifier: Arc<dyn ServerCertVerifier> = match parts.verify {
        Verify::Nothing => Arc::new(AnyCertificate(provider())),
        Verify::Authority => Arc::new(AnyName(web_pki(parts.roots)?)),
        Verify::Full => web_pki(parts.roots)?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match parts.identity {
        Some((cert, key)) => {
            builder.with_client_auth_cert(certificates(cert, "the client certificate")?, private_key(key)?)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = parts.alpn.iter().map(|p| p.to_vec()).collect();
    Ok(ClientTls { config: Arc::new(config), server_name: parts.server_name })
}

/// Reads roots from PEM.
///
/// # Errors
/// When there is no certificate in it.
pub fn roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for cert in certificates(pem, "the authority's certificate")? {
        store.add(cert)?;
    }
    Ok(store)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn web_pki(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| TlsError::Roots(e.to_string()))
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Pem { what, why: e.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::Pem { what, why: "no certificate in it".to_owned() });
    }
    Ok(chain)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|e| TlsError::Pem { what: "the private key", why: e.to_string() })
}

/// RFC 5929 4.1: the certificate's hash, with the hash of its signature algorithm (SHA-256 for MD5 and SHA-1). `None`
/// for algorithms without a hash of their own (Ed25519): PostgreSQL has no channel binding there either.
pub fn end_point(cert: &CertificateDer<'_>) -> Option<Vec<u8>> {
    use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let (_, parsed) = x509_parser::parse_x509_certificate(cert.as_ref()).ok()?;
    let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256 (RFC 3279, 4055, 5758).
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.113549.1.1.11" => &SHA256,
        "1.2.840.10045.4.1" | "1.2.840.10045.4.3.2" => &SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &SHA512,
        _ => return None,
    };
    Some(digest(algorithm, cert.as_ref()).as_ref().to_vec())
}

/// Asks clients for a certificate, and finds out whether they have its key. Whether the certificate counts is found out when
/// the client is identified, and again while its session runs: so a refusal is told in the protocol, and is in the record.
#[derive(Debug)]
struct Possession {
    provider: Arc<CryptoProvider>,
    /// Names of the authorities: clients with several certificates choose by them.
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// `sslmode=require`: encryption without authentication, as the operator asked for in the configuration.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: the chain counts, the name does not.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
        match self.0.verify_server_cert(cert, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
