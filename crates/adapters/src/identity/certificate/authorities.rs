//! Verifies client certificates against the configured authorities and their revocation lists, and says who they are. A reload
//! replaces all of it; who was let in before is then looked at anew.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use firsthand_model::identity::{Certificate, Identity};
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{ClientChain, IdentityError, Wants};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, RootCertStore};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::fault::Fault;
use super::fields::{Fields, validity};
use super::naming;
use super::spec::{ClientCa, Demand};
use crate::identity::token::Pseudonym;

/// Certificates that a client may show: its own, and those between it and its authority.
const SHOWN_MAX: usize = 8;
/// Bytes of one.
const SHOWN_BYTES_MAX: usize = 16 << 10;
/// Whether a certificate holds is found out again after this: a revocation list may have gone out of date meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Certificates of which that is remembered. When there are more, all of them are looked at again.
const REMEMBERED_MAX: usize = 16_384;

/// What was shown, and what it gave.
type Which = ([u8; 32], [u8; 32]);

/// One authority, as a verifier of its own: how long it holds itself is not the verifier's to look at.
struct Anchor {
    verifier: Arc<dyn ClientCertVerifier>,
    begins: UnixMicros,
    ends: UnixMicros,
}

struct Authority {
    spec: ClientCa,
    anchors: Vec<Anchor>,
}

/// What was found of a certificate, and when.
type Verdict = (Result<(), Fault>, UnixMicros);

/// What is configured, with what was found by it.
#[derive(Default)]
struct Standing {
    demand: Demand,
    authorities: Vec<Authority>,
    verdicts: Mutex<HashMap<Which, Verdict>>,
}

/// Authorities that verifiers could be made of.
pub struct Ready(Standing);

/// All authorities behind client certificates.
pub struct Authorities {
    standing: ArcSwap<Standing>,
    pseudonym: Arc<Pseudonym>,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.standing.load().authorities.len();
        f.debug_struct("Authorities").field("count", &count).finish_non_exhaustive()
    }
}

/// Makes verifiers of what is configured.
///
/// # Errors
/// Which authority or list cannot be used, and why.
pub fn ready(specs: Vec<ClientCa>, demand: Demand) -> Result<Ready, String> {
    let authorities: Result<_, _> = specs.into_iter().map(authority).collect();
    Ok(Ready(Standing { demand, authorities: authorities?, ..Standing::default() }))
}

fn authority(spec: ClientCa) -> Result<Authority, String> {
    let named =
        |file: &std::path::Path, why: String| format!("client_ca {}: {}: {why}", spec.name, file.display());
    one_list_each(&spec).map_err(|why| named(spec.crl.first().map_or(&*spec.ca, |crl| crl), why))?;
    let mut anchors = Vec::new();
    for root in &spec.roots {
        let mut store = RootCertStore::empty();
        store.add(root.clone()).map_err(|e| named(&spec.ca, e.to_string()))?;
        let (begins, ends) =
            validity(root).ok_or_else(|| named(&spec.ca, "a certificate in it cannot be read".to_owned()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider)
            .with_crls(spec.lists.iter().cloned())
            .enforce_revocation_expiration()
            .build()
            .map_err(|e| named(spec.crl.first().map_or(&*spec.ca, |crl| crl), e.to_string()))?;
        anchors.push(Anchor { verifier, begins, ends });
    }
    Ok(Authority { spec, anchors })
}

/// Of two lists of one authority the verifier asks the first that it finds, and the certificates that only the other one
/// revokes would be let in.
fn one_list_each(spec: &ClientCa) -> Result<(), String> {
    let mut issuers = HashSet::new();
    for list in &spec.lists {
        let (_, read) = CertificateRevocationList::from_der(list.as_ref())
            .map_err(|_| "a revocation list in it cannot be read".to_owned())?;
        if !issuers.insert(read.issuer().as_raw().to_vec()) {
            return Err(format!(
                "there are two revocation lists of {}: only one would count, so leave the newest alone",
                read.issuer()
            ));
        }
    }
    Ok(())
}

impl Authorities {
    /// These.
    #[must_use]
    pub fn new(ready: Ready, pseudonym: Arc<Pseudonym>) -> Self {
        Self { standing: ArcSwap::from_pointee(ready.0), pseudonym }
    }

    /// Others from now on.
    pub fn replace(&self, ready: Ready) {
        self.standing.store(Arc::new(ready.0));
    }

    /// Whether a token alone lets nobody in.
    pub(in crate::identity) fn demands(&self) -> bool {
        self.standing.load().demand != Demand::Optional
    }

    /// How this login must prove itself.
    pub(in crate::identity) fn wants(
        &self,
        login: Option<&str>,
        chain: Option<&ClientChain>,
        now: UnixMicros,
    ) -> Wants {
        let standing = self.standing.load();
        let Some(chain) = chain else {
            return if standing.demand == Demand::Optional { Wants::Token } else { Wants::Certificate };
        };
        // One that is not accepted is refused, whatever else there is.
        let Ok((identity, any_login)) = self.look(&standing, chain, now) else { return Wants::Certificate };
        match standing.demand {
            Demand::WithToken => Wants::Both,
            Demand::Required => Wants::Certificate,
            Demand::Optional if any_login || is_meant(&identity, login) => Wants::Certificate,
            Demand::Optional => Wants::Token,
        }
    }

    /// Who a certificate names that is the only proof. `login`: the name that it was shown with, where there is one.
    pub(in crate::identity) fn identify_alone(
        &self,
        login: Option<&str>,
        chain: Option<&ClientChain>,
        now: UnixMicros,
    ) -> Result<Identity, Fault> {
        let standing = self.standing.load();
        let (identity, any_login) = self.look(&standing, chain.ok_or(Fault::Missing)?, now)?;
        if standing.demand == Demand::WithToken {
            // Asked for a moment ago by another configuration.
            return Err(Fault::Token);
        }
        if any_login || is_meant(&identity, login) { Ok(identity) } else { Err(Fault::Login) }
    }

    /// Who a certificate names that a token is shown beside.
    pub(in crate::identity) fn identify(
        &self,
        chain: &ClientChain,
        now: UnixMicros,
    ) -> Result<Identity, Fault> {
        self.look(&self.standing.load(), chain, now).map(|(identity, _)| identity)
    }

    fn look(
        &self,
        standing: &Standing,
        ClientChain(chain): &ClientChain,
        now: UnixMicros,
    ) -> Result<(Identity, bool), Fault> {
        if chain.len() > SHOWN_MAX || chain.iter().any(|one| one.len() > SHOWN_BYTES_MAX) {
            return Err(Fault::Size);
        }
        let spec = verified(standing, chain, now)?;
        let fields = Fields::of(chain.first().ok_or(Fault::Missing)?)?;
        if fields.ends <= now {
            return Err(Fault::Expired);
        }
        if fields.begins > now {
            return Err(Fault::Early);
        }
        let identity = naming::identity(spec, &fields, (chain, digest(chain)), &*self.pseudonym)?;
        Ok((identity, spec.any_login))
    }

    /// Whether who was let in by a certificate may still be. Asked for every command.
    pub(in crate::identity) fn recheck(
        &self,
        certificate: &Certificate,
        now: UnixMicros,
    ) -> Result<(), IdentityError> {
        if certificate.ends <= now {
            return Err(IdentityError::Expired);
        }
        let standing = self.standing.load();
        let fresh = |(_, at): &Verdict| at.0 <= now.0 && now.0 - at.0 < micros(LOOK_AGAIN);
        let verdicts = || standing.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        // Also of what it gave: another session may have been opened by it since that has changed.
        let which = (certificate.digest, certificate.gives);
        let known = verdicts().get(&which).filter(|verdict| fresh(verdict)).map(|(found, _)| *found);
        let found = known.unwrap_or_else(|| {
            let found = self.still(&standing, certificate, now);
            let mut verdicts = verdicts();
            if verdicts.len() >= REMEMBERED_MAX {
                verdicts.clear();
            }
            verdicts.insert(which, (found, now));
            found
        });
        Ok(found?)
    }

    fn still(&self, standing: &Standing, certificate: &Certificate, now: UnixMicros) -> Result<(), Fault> {
        let chain = ClientChain(Arc::clone(&certificate.chain));
        let (identity, _) = self.look(standing, &chain, now)?;
        let same = identity.certificate.is_some_and(|c| c.gives == certificate.gives);
        if same { Ok(()) } else { Err(Fault::Changed) }
    }
}

/// Whether a login name means this certificate: its name, or its authority's name.
fn is_meant(identity: &Identity, login: Option<&str>) -> bool {
    let ca = identity.certificate.as_ref().map(|certificate| certificate.ca.as_str());
    login.is_none_or(|login| login == identity.login || Some(login) == ca)
}

/// The authorities behind what a client has shown.
fn verified<'a>(standing: &'a Standing, chain: &[Vec<u8>], now: UnixMicros) -> Result<&'a ClientCa, Fault> {
    let (own, between) = chain.split_first().ok_or(Fault::Missing)?;
    let own = CertificateDer::from(own.as_slice());
    let between: Vec<_> = between.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let at = UnixTime::since_unix_epoch(Duration::from_micros(now.0));
    let (mut found, mut worst) = (None, Fault::Authority);
    for authority in &standing.authorities {
        let mut holds = false;
        for anchor in &authority.anchors {
            match anchor.verifier.verify_client_cert(&own, &between, at) {
                Ok(_) if anchor.ends <= now => worst = Fault::Expired,
                Ok(_) if anchor.begins > now => worst = Fault::Early,
                Ok(_) => holds = true,
                // What another authority says of it is nothing to go by.
                Err(e) => match fault(&e) {
                    Fault::Authority => {}
                    other => worst = other,
                },
            }
        }
        if holds && found.replace(&authority.spec).is_some() {
            return Err(Fault::Authorities);
        }
    }
    found.ok_or(worst)
}

/// What the verifier says, in our words.
fn fault(e: &rustls::Error) -> Fault {
    use CertificateError as E;
    let rustls::Error::InvalidCertificate(e) = e else { return Fault::Chain };
    match e {
        E::Expired | E::ExpiredContext { .. } => Fault::Expired,
        E::NotValidYet | E::NotValidYetContext { .. } => Fault::Early,
        E::Revoked => Fault::Revoked,
        E::UnknownIssuer => Fault::Authority,
        E::UnknownRevocationStatus => Fault::Unlisted,
        E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => Fault::StaleList,
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => Fault::Purpose,
        E::BadEncoding => Fault::Form,
        _ => Fault::Chain,
    }
}

fn digest(chain: &[Vec<u8>]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for der in chain {
        context.update(&u64::try_from(der.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(der);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// Whether an authority holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It does.
    Holds,
    /// Not yet.
    NotYet,
    /// No longer.
    Over,
}

/// Whether an authority's certificate holds now; one that cannot be read does not.
#[must_use]
pub fn life(der: &[u8], now: UnixMicros) -> Life {
    match validity(der) {
        Some((begins, _)) if begins > now => Life::NotYet,
        Some((_, ends)) if ends > now => Life::Holds,
        _ => Life::Over,
    }
}
