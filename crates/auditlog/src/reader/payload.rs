//! Opening payloads: finding the key, checking the commitment.

use std::collections::HashMap;
use std::sync::Arc;

use firsthand_model::id::SessionId;
use memchr::memmem::Finder;

use super::cursor::Stored;
use crate::entry::fields::Fields;
use crate::entry::{Run, base64};
use crate::keys::{KeyError, KeyStore, SessionKeys};
use crate::tree::Hash;

/// Prepared keys kept; past it the cache starts afresh. A thousand sessions are read side by side at most, and each
/// costs a kilobyte.
const KEYS_KEPT: usize = 4096;

/// What stands in place of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// The entry has none.
    None,
    /// Opened, and it is what the leaf commits to.
    Clear(Vec<u8>),
    /// Its key was destroyed.
    Erased,
    /// There is no key store beside this log.
    Sealed,
    /// It does not open, or is not what the leaf commits to.
    Unreadable(String),
}

impl Payload {
    /// The payload's JSON, where it could be opened.
    #[must_use]
    pub fn clear(&self) -> Option<&[u8]> {
        match self {
            Self::Clear(bytes) => Some(bytes),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Key {
    Here(Arc<SessionKeys>),
    Gone,
    Broken(String),
}

/// Opens payloads, keeping prepared keys.
#[derive(Debug)]
pub struct Opener {
    store: Option<Arc<KeyStore>>,
    keys: HashMap<[u8; 16], (String, String, Key)>,
    peeked: Vec<u8>,
    patterns: Patterns,
}

/// Keys in leaves, made ready for looking for them.
#[derive(Debug)]
struct Patterns {
    pay: Finder<'static>,
    sid: Finder<'static>,
    time: Finder<'static>,
}

impl Opener {
    pub(crate) fn new(store: Option<Arc<KeyStore>>) -> Self {
        let patterns = Patterns {
            pay: Finder::new(b"\"pay\":{\"h\":\""),
            sid: Finder::new(b"\"sid\":\""),
            time: Finder::new(b"\"t\":\""),
        };
        Self { store, keys: HashMap::new(), peeked: Vec::new(), patterns }
    }

    /// The payload of an entry, whose leaf was read as `fields`.
    pub fn open(&mut self, entry: &Stored<'_>, fields: &Fields<'_>) -> Payload {
        if entry.sealed.is_empty() {
            return match &fields.pay {
                None => Payload::None,
                Some(_) => Payload::Unreadable("the payload is missing".to_owned()),
            };
        }
        let Some(pay) = &fields.pay else {
            return Payload::Unreadable("there is a payload that the leaf does not name".to_owned());
        };
        let named = Named {
            commitment: &pay.h,
            key: fields.subject(),
            month: &pay.month,
            run: &pay.run,
            sid: &fields.sid,
            time: &fields.t,
        };
        self.open_named(entry.place.position, &entry.log_id, entry.sealed, &named)
    }

    /// The payload of an entry with the salt of its commitment: what somebody needs who is to check it without our keys.
    pub fn open_salted(&mut self, entry: &Stored<'_>, fields: &Fields<'_>) -> (Payload, Option<Hash>) {
        let payload = self.open(entry, fields);
        let (Payload::Clear(_), Some(pay)) = (&payload, &fields.pay) else { return (payload, None) };
        let named = Named {
            key: fields.subject(),
            month: &pay.month,
            run: &pay.run,
            sid: &fields.sid,
            time: &fields.t,
            ..Named::default()
        };
        let key = named.session().map(|session| self.key(&entry.log_id, &named, session));
        let salt = match key {
            Some(Key::Here(keys)) => Some(keys.salt(entry.place.position)),
            _ => None,
        };
        (payload, salt)
    }

    /// The same, with what the leaf says of its payload picked out already.
    pub(crate) fn open_named(
        &mut self,
        position: u64,
        log_id: &[u8; 16],
        sealed: &[u8],
        named: &Named<'_>,
    ) -> Payload {
        let Some(session) = named.session() else {
            return Payload::Unreadable("the leaf does not say which session's key sealed it".to_owned());
        };
        let keys = match self.key(log_id, named, session) {
            Key::Here(keys) => keys,
            Key::Gone if self.store.is_none() => return Payload::Sealed,
            Key::Gone => return Payload::Erased,
            Key::Broken(why) => return Payload::Unreadable(why),
        };
        match keys.open(position, sealed) {
            Err(why) => Payload::Unreadable(why.to_string()),
            Ok(clear) => {
                let mut committed = Vec::with_capacity(44);
                base64::write_digest(&keys.commit(position, &clear), &mut committed);
                if committed == named.commitment.as_bytes() {
                    Payload::Clear(clear)
                } else {
                    Payload::Unreadable("the payload is not what the leaf commits to".to_owned())
                }
            }
        }
    }

    /// A quick look into a payload, with keys that are ready and without parsing the leaf or checking the commitment: for
    /// searches, which look again at what they take. `None`: not by this way.
    pub(crate) fn peek(&mut self, entry: &Stored<'_>) -> Option<&[u8]> {
        let leaf = entry.leaf;
        let after = |pattern: &Finder<'_>| leaf.get(pattern.find(leaf)? + pattern.needle().len()..);
        // Ordinary payloads have a commitment and a length; whatever names a key goes the long way.
        let pay = after(&self.patterns.pay)?.get(44..)?;
        let plain = pay.starts_with(b"\",\"len\":");
        let end = memchr::memchr(b'}', pay)?;
        if !plain || pay.get(9..end)?.contains(&b',') {
            return None;
        }
        let sid = std::str::from_utf8(after(&self.patterns.sid)?.get(..36)?).ok()?;
        let month = after(&self.patterns.time)?.get(..7)?;
        let (m, _, key) = self.keys.get(&SessionId::parse(sid)?.0.to_be_bytes())?;
        let Key::Here(keys) = key else { return None };
        if m.as_bytes() != month {
            return None;
        }
        self.peeked = keys.open(entry.place.position, entry.sealed).ok()?;
        Some(&self.peeked)
    }

    fn key(&mut self, log_id: &[u8; 16], named: &Named<'_>, session: [u8; 16]) -> Key {
        let Some(store) = &self.store else { return Key::Gone };
        // `2026-11` is how times begin and how the folders of keys are named.
        let of_time = named.time.get(..7).unwrap_or_default();
        let month = if named.month.is_empty() { of_time } else { named.month };
        let subject = named.key;
        if let Some((m, s, key)) = self.keys.get(&session)
            && m == month
            && s == subject
        {
            return key.clone();
        }
        let key = match store.existing_session_keys(subject, month, &session, log_id) {
            Ok(keys) => Key::Here(Arc::new(keys)),
            Err(KeyError::Gone { .. }) => Key::Gone,
            Err(why) => Key::Broken(why.to_string()),
        };
        if self.keys.len() >= KEYS_KEPT {
            self.keys.clear();
        }
        self.keys.insert(session, (month.to_owned(), subject.to_owned(), key.clone()));
        key
    }
}

/// What a leaf says of its payload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    /// In base64.
    pub(crate) commitment: &'a str,
    /// The subject whose key seals it.
    pub(crate) key: &'a str,
    /// The month of that key; empty: that of the time.
    pub(crate) month: &'a str,
    /// The writer's run, where keys are derived from it.
    pub(crate) run: &'a str,
    /// The session, where they are derived from that.
    pub(crate) sid: &'a str,
    /// The entry's time.
    pub(crate) time: &'a str,
}

impl Named<'_> {
    fn session(&self) -> Option<[u8; 16]> {
        if self.run.is_empty() {
            return SessionId::parse(self.sid).map(|id| id.0.to_be_bytes());
        }
        Run::parse(self.run).map(Run::as_session)
    }
}
