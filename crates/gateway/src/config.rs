//! `firsthand.toml`: read with the place of every value, checked against one table of keys, resolved into a snapshot.

mod approver_key;
mod channel;
mod client_ca;
mod exchange;
mod grants;
mod issuer;
pub(crate) mod keys;
mod log;
mod read;
mod roles;
mod section;
mod sign_in;
mod source;
pub(crate) mod state;
pub(crate) mod value;
mod witness;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firsthand_adapters::approvals::signing::Signers;
use firsthand_adapters::channels::ChannelSpec;
use firsthand_adapters::credentials::{CredentialSpec, PasswordPlace};
use firsthand_adapters::identity::certificate::spec::{ClientCa, Demand};
use firsthand_adapters::identity::exchange::Rule as ExchangeRule;
use firsthand_adapters::identity::issuer::spec::IssuerSpec;
use firsthand_model::target::Target;
use firsthand_protocols::protocol::ListenLimits;

use crate::failure::Failure;
pub(crate) use section::nearest;
pub(crate) use source::{Problem, Resolved, Warning};
pub(crate) use witness::{WitnessSpec, WitnessSpecs};

/// A configuration longer than this is a mistake.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Certificate chain and private key, by their files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// PEM, own certificate first.
    pub(crate) cert: PathBuf,
    /// PEM.
    pub(crate) key: PathBuf,
}

/// One protocol's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The protocol's name.
    pub(crate) protocol: &'static str,
    /// Where.
    pub(crate) address: SocketAddr,
}

/// How a target's TLS is used: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A target with how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct TargetConfig {
    /// What the engine knows of it.
    pub(crate) target: Target,
    /// What is presented there.
    pub(crate) credential: CredentialSpec,
    /// TLS toward it.
    pub(crate) tls: TlsMode,
    /// Authorities; `None`: the system's.
    pub(crate) tls_ca: Option<PathBuf>,
    /// Client certificate.
    pub(crate) tls_identity: Option<CertificateFiles>,
    /// Host name or address of it, for TLS.
    pub(crate) host: String,
    /// How long its greeting may take.
    pub(crate) timeout: Duration,
    /// Labels that rules may name.
    pub(crate) labels: Vec<String>,
}

/// Where the rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyFiles {
    /// A folder of rule files.
    pub(crate) dir: Option<PathBuf>,
    /// The rules that Firsthand ships for agents.
    pub(crate) shipped: bool,
    /// The group whose members see what masks hide of commands that they may approve.
    pub(crate) originals: Option<String>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file.
    pub(crate) file: PathBuf,
    /// The data folder.
    pub(crate) data_dir: PathBuf,
    /// Listeners of protocols.
    pub(crate) listeners: Vec<Listener>,
    /// Listener of health and metrics.
    pub(crate) http: Option<SocketAddr>,
    /// The gateway's certificate.
    pub(crate) tls: Option<CertificateFiles>,
    /// Limits, and what else holds for every listener.
    pub(crate) limits: ListenLimits,
    /// The targets.
    pub(crate) targets: Vec<TargetConfig>,
    /// Whose tokens count besides Firsthand's own.
    pub(crate) issuers: Vec<IssuerSpec>,
    /// The authorities behind client certificates, and whom those name.
    pub(crate) client_cas: Vec<ClientCa>,
    /// Which certificates clients must show.
    pub(crate) client_demand: Demand,
    /// Which agents may have tokens for which people.
    pub(crate) exchange: Vec<ExchangeRule>,
    /// How people outside hear of approvals.
    pub(crate) channels: Vec<ChannelSpec>,
    /// With which keys people sign what they approve.
    pub(crate) signers: Signers,
    /// The rules; `None`: a token allows what its targets allow.
    pub(crate) policy: Option<PolicyFiles>,
    /// Where the connection string of a shared state is; `None`: the state is in the data folder.
    pub(crate) shared_state: Option<PasswordPlace>,
    /// What the log is called; `None`: by its id.
    pub(crate) origin: Option<String>,
    /// Who cosigns its checkpoints.
    pub(crate) witnesses: WitnessSpecs,
    /// SHA-256 of the file, for the record.
    pub(crate) hash: String,
    /// What each key came to.
    pub(crate) resolved: Vec<Resolved>,
    /// What works and should not be left so.
    pub(crate) warnings: Vec<Warning>,
}

impl Config {
    /// Reads and resolves a file.
    ///
    /// # Errors
    /// Every problem found, each with file, line, column and key.
    pub(crate) fn load(file: &Path) -> Result<Self, Failure> {
        let cannot = |e: std::io::Error| {
            let hint = match e.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "run this as the user that the gateway runs as, or let this one read the file"
                }
                _ => "name a configuration with --config FILE; examples/ has some to start from",
            };
            Failure::usage(format!("cannot read {}: {e}", file.display()), hint)
        };
        let size = std::fs::metadata(file).map_err(cannot)?.len();
        if size > FILE_BYTES_MAX {
            return Err(cannot(std::io::Error::other("it is too large for a configuration")));
        }
        let text = std::fs::read_to_string(file).map_err(cannot)?;
        Self::parse(file, &text).map_err(|problems| failure(file, &problems))
    }

    /// Resolves the text of `file`.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        read::read(file, text)
    }

    /// The target of that name.
    pub(crate) fn target(&self, name: &str) -> Option<&TargetConfig> {
        self.targets.iter().find(|t| t.target.name == name)
    }
}

fn failure(file: &Path, problems: &[Problem]) -> Failure {
    let place = |p: &Problem| {
        let key = if p.key.is_empty() { String::new() } else { format!("{}: ", p.key) };
        format!("{}:{}:{}: {key}{}", file.display(), p.line, p.column, p.what)
    };
    if let [only] = problems {
        return Failure::usage(place(only), only.hint.clone());
    }
    let messages = problems.iter().map(|p| format!("{} ({})", place(p), p.hint)).collect();
    let hint = format!("{} places to change; docs/config.md describes every key", problems.len());
    Failure { messages, ..Failure::usage("", hint) }
}

#[cfg(test)]
mod tests;
