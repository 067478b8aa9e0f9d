//! Secrets that were found right lately. Deriving a key for each request of the API would cost more than most requests; so
//! what was derived once is known again by a keyed digest, under a key that never leaves this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::{hmac, rand};

use super::token::Token;

/// Tokens remembered: administrators, and programs that ask. When there are more, the key is derived again.
const REMEMBERED_MAX: usize = 256;

/// Digests of secrets by the id of their token.
#[derive(Default)]
pub(super) struct Proven {
    key: OnceLock<Option<hmac::Key>>,
    digests: Mutex<HashMap<String, hmac::Tag>>,
}

impl Proven {
    /// Whether this is the token's secret. A wrong one costs a derivation each time, whatever is remembered.
    pub(super) fn fits(&self, token: &Token, secret: &str) -> bool {
        if self.knows(token, secret) {
            return true;
        }
        let fits = token.scram.fits(secret);
        if fits && let Some(key) = self.key() {
            let mut digests = self.digests();
            if digests.len() >= REMEMBERED_MAX {
                digests.clear();
            }
            digests.insert(token.id.clone(), hmac::sign(key, &message(token, secret)));
        }
        fits
    }

    /// Whether it was found right before. Compared in constant time.
    pub(super) fn knows(&self, token: &Token, secret: &str) -> bool {
        let Some(key) = self.key() else { return false };
        let known = self.digests().get(&token.id).copied();
        known.is_some_and(|tag| hmac::verify(key, &message(token, secret), tag.as_ref()).is_ok())
    }

    fn digests(&self) -> MutexGuard<'_, HashMap<String, hmac::Tag>> {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None`: no random bytes, so nothing is remembered.
    fn key(&self) -> Option<&hmac::Key> {
        let make = || {
            let mut bytes = zeroize::Zeroizing::new([0u8; 32]);
            rand::fill(&mut *bytes).ok()?;
            Some(hmac::Key::new(hmac::HMAC_SHA256, &*bytes))
        };
        self.key.get_or_init(make).as_ref()
    }
}

/// The verifier is in it: a token that was given another one by hand is another one.
fn message(token: &Token, secret: &str) -> zeroize::Zeroizing<Vec<u8>> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(160));
    text.extend_from_slice(&token.scram.stored_key);
    text.extend_from_slice(secret.as_bytes());
    text
}
