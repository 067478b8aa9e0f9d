//! The port: from a proof to an identity, by the token store.

use std::sync::Arc;

use firsthand_model::identity::{Identity, IdentityKind, Link};
use firsthand_model::time::UnixMicros;
use firsthand_session::port::{Challenge, IdentityError, IdentityProvider, Proof};

use super::proven::Proven;
use super::store::{Snapshot, TokenStore};
use super::token::{Pseudonym, State, Token};

/// Identities by the tokens that Firsthand issued.
pub struct TokenIdentity {
    store: Arc<TokenStore>,
    pseudonym: Arc<Pseudonym>,
    proven: Proven,
}

impl TokenIdentity {
    /// Over this store; `pseudonym` makes the ids that stand in leaves.
    #[must_use]
    pub fn new(store: Arc<TokenStore>, pseudonym: Arc<Pseudonym>) -> Self {
        Self { store, pseudonym, proven: Proven::default() }
    }

    fn identity(
        &self,
        snapshot: &Snapshot,
        token: &Token,
        now: UnixMicros,
    ) -> Result<Identity, IdentityError> {
        holds(snapshot, token, now)?;
        let chain = token.chain(&*self.pseudonym);
        let subject = chain.first().map(|link| link.id.clone()).unwrap_or_default();
        let end = token.expires.filter(|_| token.is_passing());
        Ok(Identity {
            chain,
            login: token.name.clone(),
            subject,
            targets: token.targets.clone(),
            roles: token.roles.clone(),
            groups: token.groups().to_vec(),
            expires: end.map(|end| UnixMicros(u64::try_from(end.as_microsecond()).unwrap_or(0))),
            owner: token.owner.clone(),
            ..Identity::default()
        })
    }

    /// The token behind an identity of this store, where something was shown for it.
    pub(super) fn passing(&self, identity: &Identity) -> Option<Arc<Token>> {
        // Others have no end of their own here: nothing is looked up for them.
        identity.expires?;
        self.find(&token_link(identity)?.name)
    }

    /// The token of this id, where something was shown for it.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Token>> {
        self.store.find(id).filter(|token| token.is_passing())
    }
}

impl std::fmt::Debug for TokenIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIdentity").field("store", &self.store).finish_non_exhaustive()
    }
}

impl IdentityProvider for TokenIdentity {
    fn challenge(&self, login: &str) -> Challenge {
        let snapshot = self.store.snapshot();
        let (verifier, token) = match snapshot.by_name(login) {
            Some(token) => (token.scram.clone(), Some(token.id.clone())),
            None => (snapshot.made_up(login), None),
        };
        Challenge {
            salt: verifier.salt,
            iterations: verifier.iterations.get(),
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
            token,
        }
    }

    fn identify(&self, proof: &Proof, now: UnixMicros) -> Result<Identity, IdentityError> {
        let snapshot = self.store.snapshot();
        match proof {
            Proof::Scram { login, challenge } => {
                let id = challenge.token.as_ref().ok_or(IdentityError::Unknown)?;
                let token = snapshot.by_id(id).ok_or(IdentityError::Unknown)?;
                // The challenge is our own; should it ever belong to something else, it proves nothing.
                if token.name != *login || token.scram.stored_key != challenge.stored_key {
                    return Err(IdentityError::Proof);
                }
                self.identity(&snapshot, token, now)
            }
            Proof::ClearText { login, secret } => match snapshot.by_name(login) {
                Some(token) if self.proven.fits(token, secret.expose()) => {
                    self.identity(&snapshot, token, now)
                }
                Some(_) => Err(IdentityError::Proof),
                None => {
                    // The same work as for a known name, so that time tells nothing either.
                    let _ = snapshot.made_up(login).fits(secret.expose());
                    Err(IdentityError::Unknown)
                }
            },
            Proof::Bearer { .. } | Proof::Certificate { .. } | Proof::Both { .. } => {
                Err(IdentityError::Unknown)
            }
            Proof::Failed { login } => match snapshot.by_name(login) {
                Some(_) => Err(IdentityError::Proof),
                None => Err(IdentityError::Unknown),
            },
        }
    }

    fn is_quick(&self, proof: &Proof) -> bool {
        let Proof::ClearText { login, secret } = proof else { return false };
        let snapshot = self.store.snapshot();
        self.proven.knows(snapshot.by_name(login).map(|token| &**token), secret.expose())
    }

    fn recheck(&self, identity: &Identity, now: UnixMicros) -> Result<(), IdentityError> {
        // Such a token is forgotten some time after its end.
        if identity.expires.is_some_and(|end| end <= now) {
            return Err(IdentityError::Expired);
        }
        let snapshot = self.store.snapshot();
        let token = token_link(identity).and_then(|link| snapshot.by_id(&link.name));
        holds(&snapshot, token.ok_or(IdentityError::Unknown)?, now)
    }
}

fn token_link(identity: &Identity) -> Option<&Link> {
    identity.chain.iter().rfind(|link| link.kind == IdentityKind::Token)
}

fn holds(snapshot: &Snapshot, token: &Token, now: UnixMicros) -> Result<(), IdentityError> {
    match snapshot.state(token, now) {
        State::Valid => Ok(()),
        State::Revoked => Err(IdentityError::Revoked),
        State::Expired => Err(IdentityError::Expired),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Created;
    use super::super::token::{NewToken, TokenKind};
    use super::*;
    use firsthand_model::identity::Trust;
    use firsthand_session::secret::Secret;

    const NOW: UnixMicros = UnixMicros(1_795_000_000_000_000);

    struct Rig {
        _dir: tempfile::TempDir,
        store: Arc<TokenStore>,
        provider: TokenIdentity,
    }

    impl Rig {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Arc::new(TokenStore::open(dir.path()).unwrap());
            let pseudonym = Arc::new(|kind: IdentityKind, name: &str| format!("{}-{name}", kind.word()));
            let provider = TokenIdentity::new(Arc::clone(&store), pseudonym);
            Self { _dir: dir, store, provider }
        }

        fn create(&self, name: &str) -> Created {
            let new = NewToken {
                on_behalf_of: Some("ada@example.com".to_owned()),
                targets: vec!["shop".to_owned()],
                ttl_seconds: Some(60),
                ..NewToken::new(name, TokenKind::Agent)
            };
            let created = self.store.prepare(&new, "root", NOW).unwrap();
            self.store.add(&created.token).unwrap();
            created
        }

        fn clear(&self, login: &str, secret: &str, now: UnixMicros) -> Result<Identity, IdentityError> {
            let secret = Secret::new(secret.to_owned());
            self.provider.identify(&Proof::ClearText { login: login.to_owned(), secret }, now)
        }

        fn scram(&self, login: &str, challenge: Challenge) -> Result<Identity, IdentityError> {
            self.provider.identify(&Proof::Scram { login: login.to_owned(), challenge }, NOW)
        }
    }

    #[test]
    fn the_chain_goes_from_the_person_to_the_token_with_its_trust() {
        let rig = Rig::new();
        let made = rig.create("bot");
        let identity = rig.clear("bot", made.secret.expose(), NOW).unwrap();
        let chain: Vec<_> = identity.chain.iter().map(|l| (l.kind, l.name.as_str(), l.trust)).collect();
        assert_eq!(
            chain,
            [
                (IdentityKind::Human, "ada@example.com", Trust::Bound),
                (IdentityKind::Agent, "bot", Trust::Verified),
                (IdentityKind::Token, made.token.id.as_str(), Trust::Verified),
            ]
        );
        assert_eq!(identity.subject, "human-ada@example.com");
        assert_eq!(identity.targets, ["shop"]);
    }

    #[test]
    fn wrong_revoked_expired_and_unknown_are_told_apart_for_the_record() {
        let rig = Rig::new();
        let made = rig.create("bot");
        let secret = made.secret.expose();
        let later = UnixMicros(NOW.0 + 60_000_000);
        assert_eq!(rig.clear("bot", "fh_wrong", NOW), Err(IdentityError::Proof));
        assert_eq!(rig.clear("nobody", secret, NOW), Err(IdentityError::Unknown));
        assert_eq!(rig.clear("bot", secret, later), Err(IdentityError::Expired));
        let identity = rig.clear("bot", secret, NOW).unwrap();
        let challenge = rig.provider.challenge("bot");
        rig.store.revoke(&made.token.id, NOW).unwrap();
        assert_eq!(rig.provider.recheck(&identity, NOW), Err(IdentityError::Revoked));
        assert_eq!(rig.clear("bot", secret, NOW), Err(IdentityError::Revoked));
        // An exchange that began before the revocation ends in no session either.
        assert_eq!(rig.scram("bot", challenge), Err(IdentityError::Revoked));
    }

    #[test]
    fn a_secret_that_was_found_right_is_found_right_quickly_as_long_as_its_token_holds() {
        let rig = Rig::new();
        let made = rig.create("bot");
        let secret = made.secret.expose();
        let proof =
            |secret: &str| Proof::ClearText { login: "bot".into(), secret: Secret::new(secret.into()) };
        assert!(!rig.provider.is_quick(&proof(secret)), "nothing was proven yet");
        assert_eq!(rig.clear("bot", "fh_wrong", NOW), Err(IdentityError::Proof));
        assert!(!rig.provider.is_quick(&proof("fh_wrong")), "a wrong one is never remembered");
        rig.clear("bot", secret, NOW).unwrap();
        assert!(rig.provider.is_quick(&proof(secret)));
        assert!(!rig.provider.is_quick(&proof("fh_wrong")));
        assert_eq!(rig.clear("bot", "fh_wrong", NOW), Err(IdentityError::Proof));
        rig.store.revoke(&made.token.id, NOW).unwrap();
        assert_eq!(rig.clear("bot", secret, NOW), Err(IdentityError::Revoked));
        let again = rig.create("bot");
        assert!(!rig.provider.is_quick(&proof(secret)), "the name is another token's now");
        assert_eq!(rig.clear("bot", secret, NOW), Err(IdentityError::Proof));
        assert!(rig.clear("bot", again.secret.expose(), NOW).is_ok());
    }

    #[test]
    fn a_challenge_proves_only_the_login_it_was_made_for() {
        let rig = Rig::new();
        rig.create("bot");
        rig.create("other");
        let challenge = rig.provider.challenge("bot");
        assert!(rig.scram("bot", challenge.clone()).is_ok());
        assert_eq!(rig.scram("other", challenge), Err(IdentityError::Proof));
        let made_up = rig.provider.challenge("nobody");
        assert_eq!(made_up.salt, rig.provider.challenge("nobody").salt);
        assert_eq!(rig.scram("nobody", made_up), Err(IdentityError::Unknown));
    }

    #[test]
    fn a_revoked_token_does_not_hide_its_successor() {
        let rig = Rig::new();
        let first = rig.create("bot");
        rig.store.revoke(&first.token.id, NOW).unwrap();
        let second = rig.create("bot");
        assert!(rig.clear("bot", second.secret.expose(), NOW).is_ok());
        assert_eq!(rig.clear("bot", first.secret.expose(), NOW), Err(IdentityError::Proof));
    }
}
