//! All ways to establish an identity, behind the one port: the tokens that Firsthand issued, and those of issuers.

use std::sync::Arc;

use firsthand_model::identity::Identity;
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{BoxFuture, Challenge, IdentityError, IdentityProvider, Proof};

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
    contained: Arc<Containment>,
}

impl Providers {
    /// Over these.
    #[must_use]
    pub fn new(tokens: TokenIdentity, issuers: Arc<Issuers>, contained: Arc<Containment>) -> Self {
        Self { tokens, issuers, contained }
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
            Proof::ClearText { .. } | Proof::Scram { .. } | Proof::Failed { .. } => None,
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

    fn identify(&self, proof: &Proof, now: UnixMicros) -> Result<Identity, IdentityError> {
        let identity = match self.issued(proof) {
            Some((token, login)) => self.issuers.identify(token, login, now)?,
            None => {
                let identity = self.tokens.identify(proof, now)?;
                self.vouched(&identity)?;
                identity
            }
        };
        if self.contained.has(&identity) { Err(IdentityError::Contained) } else { Ok(identity) }
    }

    fn is_quick(&self, proof: &Proof) -> bool {
        // A signature takes tens of microseconds, whatever is wrong with the token.
        self.issued(proof).is_some() || self.tokens.is_quick(proof)
    }

    fn recheck(&self, identity: &Identity, now: UnixMicros) -> Result<(), IdentityError> {
        // Its token may have ended for that, too; this says why.
        if self.contained.has(identity) {
            return Err(IdentityError::Contained);
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
