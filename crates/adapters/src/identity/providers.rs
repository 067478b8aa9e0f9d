//! All ways to establish an identity, behind the one port: the tokens that Firsthand issued, those of issuers, and clients'
//! certificates.

use std::sync::Arc;

use firsthand_model::identity::{Identity, IdentityKind};
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{
    BoxFuture, Challenge, ClientChain, IdentityError, IdentityProvider, Proof, Wants,
};

use super::certificate::authorities::Authorities;
use super::certificate::fault::Fault as CertificateFault;
use super::issuer::fault::Fault;
use super::issuer::ring::Issuers;
use super::provider::TokenIdentity;
use super::token::{self, Shown};
use crate::containment::Containment;

/// Identities by tokens of Firsthand and of issuers. A secret with a dot in it is an issuer's: Firsthand's own have none.
#[derive(Debug)]
pub struct Providers {
    tokens: TokenIdentity,
    issuers: Arc<Issuers>,
    certificates: Arc<Authorities>,
    contained: Arc<Containment>,
}

impl Providers {
    /// Over these.
    #[must_use]
    pub fn new(
        tokens: TokenIdentity,
        issuers: Arc<Issuers>,
        certificates: Arc<Authorities>,
        contained: Arc<Containment>,
    ) -> Self {
        Self { tokens, issuers, certificates, contained }
    }

    /// Who a token names.
    fn of_token(&self, proof: &Proof, now: UnixMicros) -> Result<Identity, IdentityError> {
        if let Some((token, login)) = self.issued(proof) {
            return Ok(self.issuers.identify(token, login, now)?);
        }
        let identity = self.tokens.identify(proof, now)?;
        self.vouched(&identity)?;
        Ok(identity)
    }

    /// Who a token and a certificate name, which must be the same.
    fn of_both(
        &self,
        token: &Proof,
        chain: &ClientChain,
        now: UnixMicros,
    ) -> Result<Identity, IdentityError> {
        let token = self.of_token(token, now)?;
        together(token, self.certificates.identify(chain, now)?).map_err(IdentityError::from)
    }

    /// Whether the issuers that vouched for what was shown for this token are still there.
    fn vouched(&self, identity: &Identity) -> Result<(), IdentityError> {
        let Some(token) = self.tokens.passing(identity) else { return Ok(()) };
        let holds = |shown: &Shown| match &shown.issuer {
            Some(issuer) => self.issuers.is_named(issuer),
            // One that came by signing in hangs on an issuer itself. Nothing else was shown for one that was shown.
            None => self.tokens.find(&shown.token).is_none_or(|shown| {
                shown
                    .shown()
                    .filter_map(|shown| shown.issuer.as_deref())
                    .all(|issuer| self.issuers.is_named(issuer))
            }),
        };
        if token.shown().all(holds) { Ok(()) } else { Err(Fault::Gone.into()) }
    }

    /// The issuer's token in a proof, with the login name if one was given.
    fn issued<'a>(&self, proof: &'a Proof) -> Option<(&'a str, Option<&'a str>)> {
        match proof {
            Proof::ClearText { login, secret } if self.issuers.any() && secret.expose().contains('.') => {
                Some((secret.expose(), Some(login)))
            }
            Proof::Bearer { secret } => Some((secret.expose(), None)),
            Proof::Both { token, .. } => self.issued(token),
            Proof::ClearText { .. }
            | Proof::Scram { .. }
            | Proof::Failed { .. }
            | Proof::Certificate { .. } => None,
        }
    }
}

impl IdentityProvider for Providers {
    fn challenge(&self, login: &str) -> Challenge {
        self.tokens.challenge(login)
    }

    /// By the name alone, and never by whether a token has it: asking would tell which names there are. No token can have
    /// a name with `@`, `:` or `/` in it, as people and workloads have at their issuers; and the name of an issuer, which
    /// is no secret, is there for all others.
    fn asks_for_secret(&self, login: &str) -> bool {
        self.issuers.any() && (!token::is_name(login) || self.issuers.is_named(login))
    }

    fn prepare<'a>(&'a self, proof: &'a Proof) -> Option<BoxFuture<'a, ()>> {
        let (token, _) = self.issued(proof)?;
        Some(Box::pin(self.issuers.wait_for_key(token)))
    }

    fn wants(&self, login: Option<&str>, chain: Option<&ClientChain>, now: UnixMicros) -> Wants {
        self.certificates.wants(login, chain, now)
    }

    fn identify(&self, proof: &Proof, now: UnixMicros) -> Result<Identity, IdentityError> {
        let identity = match proof {
            Proof::Certificate { login, chain } => {
                self.certificates.identify_alone(login.as_deref(), chain.as_ref(), now)?
            }
            Proof::Both { token, chain } => self.of_both(token, chain, now)?,
            _ if self.certificates.demands() => return Err(CertificateFault::Missing.into()),
            token => self.of_token(token, now)?,
        };
        if self.contained.has(&identity) { Err(IdentityError::Contained) } else { Ok(identity) }
    }

    fn is_quick(&self, proof: &Proof) -> bool {
        // A signature takes tens of microseconds, whatever is wrong with the token or the certificate.
        match proof {
            Proof::Certificate { .. } => true,
            Proof::Both { token, .. } => self.is_quick(token),
            token => self.issued(token).is_some() || self.tokens.is_quick(token),
        }
    }

    fn recheck(&self, identity: &Identity, now: UnixMicros) -> Result<(), IdentityError> {
        // Its token may have ended for that, too; this says why.
        if self.contained.has(identity) {
            return Err(IdentityError::Contained);
        }
        if let Some(certificate) = &identity.certificate {
            self.certificates.recheck(certificate, now)?;
            if !identity.chain.iter().any(|link| link.kind == IdentityKind::Token) {
                return Ok(());
            }
        }
        match identity.issuer {
            Some(_) => self.issuers.recheck(identity, now),
            None => {
                self.tokens.recheck(identity, now)?;
                self.vouched(identity)
            }
        }
    }
}

/// What a token and a certificate come to: what both give, until one of them ends.
fn together(token: Identity, certificate: Identity) -> Result<Identity, CertificateFault> {
    let who = |identity: &Identity| identity.actor().map(|link| (link.kind, link.name.clone()));
    if who(&token).is_none() || who(&token) != who(&certificate) {
        return Err(CertificateFault::Token);
    }
    let mut both = token;
    let shown = certificate.chain.into_iter().filter(|link| link.kind == IdentityKind::Certificate);
    let before = both.chain.iter().position(|link| link.kind == IdentityKind::Token);
    let before = before.unwrap_or(both.chain.len());
    both.chain.splice(before..before, shown);
    both.targets.retain(|target| certificate.targets.contains(target));
    both.roles.retain(|role| certificate.roles.contains(role));
    both.groups.extend(certificate.groups);
    both.expires = [both.expires, certificate.expires].into_iter().flatten().min();
    both.owner = both.owner.or(certificate.owner);
    both.certificate = certificate.certificate;
    Ok(both)
}
