//! Secrets that were found right lately. Deriving a key for each request of the API would cost more than most requests; so
//! what was derived once is known again by a keyed digest, under a key that never leaves this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use aws_lc_rs::{constant_time, hmac, rand};

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
        if self.knows(Some(token), secret) {
            return true;
        }
        let fits = token.scram.fits(secret);
        if fits && let Some(key) = self.key() {
            let mut digests = self.digests();
            if digests.len() >= REMEMBERED_MAX {
                digests.clear();
            }
            digests.insert(token.id.clone(), hmac::sign(key, &message(&token.scram.stored_key, secret)));
        }
        fits
    }

    /// Whether it was found right before. The same work whether there is such a token, is anything remembered of it, or not;
    /// compared in constant time.
    pub(super) fn knows(&self, token: Option<&Token>, secret: &str) -> bool {
        let Some(key) = self.key() else { return false };
        let known = token.and_then(|token| self.digests().get(&token.id).copied());
        let stored_key = token.map_or(&[0; 32], |token| &token.scram.stored_key);
        let tag = hmac::sign(key, &message(stored_key, secret));
        let other = known.unwrap_or(hmac::sign(key, b""));
        constant_time::verify_slices_are_equal(tag.as_ref(), other.as_ref()).is_ok() && known.is_some()
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
fn message(stored_key: &[u8; 32], secret: &str) -> zeroize::Zeroizing<Vec<u8>> {
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(160));
    text.extend_from_slice(stored_key);
    text.extend_from_slice(secret.as_bytes());
    text
}
