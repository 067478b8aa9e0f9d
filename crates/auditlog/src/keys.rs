//! The keys that make payloads readable, and what is computed with them: sealing, commitments, pseudonyms.
//!
//! ```text
//! keys/master.key               32 bytes: wraps all the others (key-encryption key)
//! keys/id.key                   wrapped: makes pseudonyms of names
//! keys/<YYYY-MM>/<subject>.key  wrapped: one per subject and month
//! ```
//!
//! From a subject's key of a month each session gets two of its own by HKDF: one seals payloads, one makes salts.
//! Destroying a subject's file makes its payloads of that month unreadable and its commitments impossible to open,
//! while every proof over the log still holds. What a disk or a backup keeps of a removed file is out of our hands;
//! the file is overwritten before it is removed, and docs say the rest.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::io::{File, Io, read_all};
use crate::open_set::SessionId;
use crate::tree::Hash;

/// Tag of a payload's commitment, and the first part of what sealing authenticates.
pub const PAYLOAD_TAG: &[u8] = b"firsthand/payload/v1\0";
/// Length of every secret key here, in bytes.
pub const KEY_LEN: usize = 32;
/// Longest subject in a key's file name.
pub const MAX_SUBJECT: usize = 64;
/// Salt of every HKDF here: names this use of the keys.
const HKDF_SALT: &[u8] = b"firsthand/session-keys/v1";
/// First bytes of a wrapped key file.
const WRAP_MAGIC: &[u8; 4] = b"FHK1";
/// First part of what wrapping authenticates; month and subject follow, so that files cannot change places.
const WRAP_TAG: &[u8] = b"firsthand/wrapped-key/v1\0";
/// Length of a wrapped key file: magic, nonce, key, tag.
const WRAP_LEN: usize = 4 + NONCE_LEN + KEY_LEN + 16;
/// Permission bits of the group and of others: the master key may have none of them.
const OTHERS: u32 = 0o077;
/// Most subject keys kept in memory; past it the cache starts afresh. 10,000 subjects are 1 MiB.
const MAX_CACHED: usize = 10_000;

type Secret = Zeroizing<[u8; KEY_LEN]>;

/// Why a key could not be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file operation failed.
    #[error("key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what we wrote, or was written under another master key.
    #[error("key file {} is damaged or belongs to another master key; restore it from a backup", .0.display())]
    Damaged(PathBuf),
    /// Others than its owner may read or change it: whoever did already has every payload.
    #[error("key file {} has mode {mode:04o}: others than its owner may read or change it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No such key: destroyed, or never made.
    #[error("there is no key of subject {subject} for {month}: destroyed, or never made")]
    Gone {
        /// Whose.
        subject: String,
        /// `YYYY-MM`.
        month: String,
    },
    /// A subject or month that is not fit for a file name.
    #[error("{0:?} is no subject or month: small letters, digits and '-', at most {MAX_SUBJECT}")]
    Name(String),
    /// The cryptographic library refused.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// A payload that could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("payload of position {0} does not open under this key: other key, or altered")]
pub struct PayloadError(pub u64);

/// The key store of a data folder.
#[derive(Debug)]
pub struct KeyStore {
    io: Arc<dyn Io>,
    dir: PathBuf,
    master: LessSafeKey,
    id: hmac::Key,
    cache: Mutex<HashMap<(String, String), Secret>>,
}

/// What one session needs to seal and open its payloads, prepared once.
///
/// Build one per session *and run*: positions make the nonces, so two runs that could reach the same position must not
/// share a session id.
pub struct SessionKeys {
    data: LessSafeKey,
    salt: SaltKey,
    key_id: String,
    /// [`PAYLOAD_TAG`] and the log's id: what every seal of this session authenticates before the position.
    aad: [u8; AAD_LEN],
}

/// HMAC-SHA256 (RFC 2104) with both key blocks hashed beforehand: every payload pays for a salt, and a general HMAC costs
/// three times as much on eight bytes.
struct SaltKey {
    inner: Sha256,
    outer: Sha256,
}

impl SaltKey {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        let keyed = |pad: u8| {
            let mut block = Zeroizing::new([pad; 64]);
            block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
            Sha256::new().chain_update(block.as_slice())
        };
        Self { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    fn of(&self, position: u64) -> Hash {
        let inner = self.inner.clone().chain_update(position.to_be_bytes()).finalize();
        self.outer.clone().chain_update(inner).finalize().into()
    }
}

const AAD_LEN: usize = 21 + 16 + 8;

impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionKeys({})", self.key_id)
    }
}

impl KeyStore {
    /// Opens the key store in `data/keys`, making it on first use.
    pub fn open(data: &Path, io: Arc<dyn Io>) -> Result<Self, KeyError> {
        let dir = data.join("keys");
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| KeyError::Io { path, source }
        };
        io.create_dir(&dir).map_err(fail(&dir))?;
        io.sync_dir(data).map_err(fail(data))?;
        let names = io.list(&dir).map_err(fail(&dir))?;
        for name in names.iter().filter(|n| n.ends_with(".tmp")) {
            let path = dir.join(name);
            io.remove(&path).map_err(fail(&path))?;
        }
        let path = dir.join("master.key");
        let master = if names.iter().any(|n| n == "master.key") {
            let bytes = Zeroizing::new(read_private(&*io, &path)?);
            aead_key(&bytes).map_err(|_| KeyError::Damaged(path))?
        } else if names.iter().any(|n| n.ends_with(".key") || !n.contains('.')) {
            // Other keys are there: a new master key would only hide that the old one is missing.
            return Err(KeyError::Damaged(path));
        } else {
            let bytes = random()?;
            write_new(&*io, &dir, "master.key", &*bytes)?;
            aead_key(&*bytes)?
        };
        let mut store = Self { io, dir, master, id: hmac_key(&[0; KEY_LEN]), cache: Mutex::default() };
        let id = match store.load("", "id")? {
            Some(id) => id,
            None => store.make("", "id")?,
        };
        store.id = hmac_key(&*id);
        store.io.sync_dir(&store.dir).map_err(fail(&store.dir))?;
        Ok(store)
    }

    /// The key store in `data/keys`, for whoever only reads: nothing is made, removed or synced. `None`: there is none.
    ///
    /// # Errors
    /// As with [`KeyStore::open`].
    pub fn existing(data: &Path, io: Arc<dyn Io>) -> Result<Option<Self>, KeyError> {
        let dir = data.join("keys");
        let path = dir.join("master.key");
        let bytes = match read_private(&*io, &path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => Zeroizing::new(other?),
        };
        let master = aead_key(&bytes).map_err(|_| KeyError::Damaged(path))?;
        let mut store = Self { io, dir, master, id: hmac_key(&[0; KEY_LEN]), cache: Mutex::default() };
        if let Some(id) = store.load("", "id")? {
            store.id = hmac_key(&*id);
        }
        Ok(Some(store))
    }

    /// The pseudonym under which a name stands in leaves: the kind's letter, `-`, and 16 hex digits of
    /// HMAC-SHA256(id key, kind ‖ 0 ‖ name). The same name always gets the same one in this data folder.
    #[must_use]
    pub fn identity_id(&self, kind: char, name: &str) -> String {
        let mut ctx = hmac::Context::with_key(&self.id);
        ctx.update(kind.encode_utf8(&mut [0; 4]).as_bytes());
        ctx.update(&[0]);
        ctx.update(name.as_bytes());
        let tag = ctx.sign();
        let mut id = String::with_capacity(18);
        id.push(kind);
        id.push('-');
        push_hex(&mut id, tag.as_ref().get(..8).unwrap_or_default());
        id
    }

    /// The key of the tokens that stand for masked values: HMAC-SHA256(id key, 0 ‖ "masked values"). Not a pseudonym's tag,
    /// because no kind is a zero byte. The same in this data folder for good, so that equal values keep equal tokens.
    #[must_use]
    pub fn token_key(&self) -> Zeroizing<[u8; 32]> {
        let mut ctx = hmac::Context::with_key(&self.id);
        ctx.update(b"\0masked values");
        let mut key = Zeroizing::new([0; 32]);
        for (to, from) in key.iter_mut().zip(ctx.sign().as_ref()) {
            *to = *from;
        }
        key
    }

    /// The keys of a session for writing; makes the subject's key of that month on first use (and then it is durable
    /// before this returns). `subject` is a pseudonym, `month` is `YYYY-MM`, `log` the log's id.
    pub fn session_keys(
        &self,
        subject: &str,
        month: &str,
        session: &SessionId,
        log: &[u8; 16],
    ) -> Result<SessionKeys, KeyError> {
        let key = match self.subject_key(subject, month)? {
            Some(key) => key,
            None => self.make_subject(subject, month)?,
        };
        SessionKeys::derive(&key, session, log)
    }

    /// The keys of a session for reading: [`KeyError::Gone`] if the subject's key was destroyed.
    pub fn existing_session_keys(
        &self,
        subject: &str,
        month: &str,
        session: &SessionId,
        log: &[u8; 16],
    ) -> Result<SessionKeys, KeyError> {
        match self.subject_key(subject, month)? {
            Some(key) => SessionKeys::derive(&key, session, log),
            None => Err(KeyError::Gone { subject: subject.to_owned(), month: month.to_owned() }),
        }
    }

    /// Destroys a subject's key of a month. Durable when this returns; doing it twice is fine (`false`: there was
    /// none). Sessions that hold prepared keys keep them until they end.
    pub fn destroy(&self, subject: &str, month: &str) -> Result<bool, KeyError> {
        check_name(subject)?;
        check_name(month)?;
        let mut cache = self.lock();
        cache.remove(&(month.to_owned(), subject.to_owned()));
        let path = self.path(month, subject);
        let fail = |source| KeyError::Io { path: path.clone(), source };
        match self.io.open(&path, true) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(fail(e)),
            Ok(file) => {
                file.write_at(0, &[0; WRAP_LEN]).map_err(fail)?;
                file.sync_data().map_err(fail)?;
            }
        }
        self.io.remove(&path).map_err(fail)?;
        self.io.sync_dir(&self.dir.join(month)).map_err(fail)?;
        Ok(true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Secret>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, month: &str, subject: &str) -> PathBuf {
        self.dir.join(month).join(format!("{subject}.key"))
    }

    fn subject_key(&self, subject: &str, month: &str) -> Result<Option<Secret>, KeyError> {
        check_name(subject)?;
        check_name(month)?;
        let mut cache = self.lock();
        let name = (month.to_owned(), subject.to_owned());
        if let Some(key) = cache.get(&name) {
            return Ok(Some(key.clone()));
        }
        let loaded = self.load(month, subject)?;
        if let Some(key) = &loaded {
            // Whoever made it may have been stopped between naming the file and making the name durable.
            let dir = self.dir.join(month);
            self.io.sync_dir(&dir).map_err(|source| KeyError::Io { path: dir, source })?;
            if cache.len() >= MAX_CACHED {
                cache.clear();
            }
            cache.insert(name, key.clone());
        }
        Ok(loaded)
    }

    fn make_subject(&self, subject: &str, month: &str) -> Result<Secret, KeyError> {
        let mut cache = self.lock();
        let name = (month.to_owned(), subject.to_owned());
        // Somebody else may have made it since we looked.
        if let Some(key) = cache.get(&name) {
            return Ok(key.clone());
        }
        let dir = self.dir.join(month);
        self.io.create_dir(&dir).map_err(|source| KeyError::Io { path: dir, source })?;
        self.io.sync_dir(&self.dir).map_err(|source| KeyError::Io { path: self.dir.clone(), source })?;
        let key = self.make(month, subject)?;
        cache.insert(name, key.clone());
        Ok(key)
    }

    fn wrap_aad(month: &str, subject: &str) -> Aad<Vec<u8>> {
        let mut aad = WRAP_TAG.to_vec();
        aad.extend_from_slice(month.as_bytes());
        aad.push(b'/');
        aad.extend_from_slice(subject.as_bytes());
        Aad::from(aad)
    }

    fn make(&self, month: &str, subject: &str) -> Result<Secret, KeyError> {
        let key = random()?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| KeyError::Crypto)?;
        let mut body = Zeroizing::new(key.to_vec());
        let tag = self
            .master
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Self::wrap_aad(month, subject),
                body.as_mut(),
            )
            .map_err(|_| KeyError::Crypto)?;
        let bytes = [WRAP_MAGIC, nonce.as_slice(), body.as_slice(), tag.as_ref()].concat();
        write_new(&*self.io, &self.dir.join(month), &format!("{subject}.key"), &bytes)?;
        Ok(key)
    }

    fn load(&self, month: &str, subject: &str) -> Result<Option<Secret>, KeyError> {
        let path = self.path(month, subject);
        let bytes = match read(&*self.io, &path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => Zeroizing::new(other?),
        };
        // A destruction that was interrupted before the file was removed.
        if bytes.len() == WRAP_LEN && bytes.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let damaged = || KeyError::Damaged(path.clone());
        let body = bytes.strip_prefix(WRAP_MAGIC).ok_or_else(damaged)?;
        let (nonce, body) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut body = Zeroizing::new(body.to_vec());
        let clear = self
            .master
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Self::wrap_aad(month, subject),
                body.as_mut_slice(),
            )
            .map_err(|_| damaged())?;
        let key = <[u8; KEY_LEN]>::try_from(&*clear).map_err(|_| damaged())?;
        Ok(Some(Zeroizing::new(key)))
    }
}

impl SessionKeys {
    fn derive(subject_key: &Secret, session: &SessionId, log: &[u8; 16]) -> Result<Self, KeyError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, HKDF_SALT).extract(subject_key.as_slice());
        let expand = |purpose: &[u8]| -> Result<Secret, KeyError> {
            let mut out = Zeroizing::new([0; KEY_LEN]);
            prk.expand(&[session, purpose], hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(out.as_mut_slice()))
                .map_err(|_| KeyError::Crypto)?;
            Ok(out)
        };
        let mut aad = [0; AAD_LEN];
        for (to, from) in aad.iter_mut().zip(PAYLOAD_TAG.iter().chain(log)) {
            *to = *from;
        }
        let mut key_id = String::with_capacity(16);
        push_hex(&mut key_id, expand(b"id")?.get(..8).unwrap_or_default());
        Ok(Self { data: aead_key(&*expand(b"data")?)?, salt: SaltKey::new(&*expand(b"salt")?), key_id, aad })
    }

    /// Names the key without telling anything of it: 16 hex digits, other for each session.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The salt of a position's commitment. Disclosing it opens this one commitment and no other.
    #[must_use]
    pub fn salt(&self, position: u64) -> Hash {
        self.salt.of(position)
    }

    /// The commitment that binds a payload to its leaf: SHA-256(tag ‖ salt ‖ payload).
    #[must_use]
    pub fn commit(&self, position: u64, payload: &[u8]) -> Hash {
        commitment(&self.salt(position), payload)
    }

    fn seal_parts(&self, position: u64) -> (Nonce, Aad<[u8; AAD_LEN]>) {
        let mut nonce = [0; NONCE_LEN];
        let (_, low) = nonce.split_at_mut(NONCE_LEN - 8);
        low.copy_from_slice(&position.to_be_bytes());
        let mut aad = self.aad;
        let (_, low) = aad.split_at_mut(AAD_LEN - 8);
        low.copy_from_slice(&position.to_be_bytes());
        (Nonce::assume_unique_for_key(nonce), Aad::from(aad))
    }

    /// Seals a payload in place; the tag is appended.
    pub fn seal(&self, position: u64, payload: &mut Vec<u8>) -> Result<(), PayloadError> {
        let (nonce, aad) = self.seal_parts(position);
        self.data.seal_in_place_append_tag(nonce, aad, payload).map_err(|_| PayloadError(position))
    }

    /// Opens a sealed payload.
    pub fn open(&self, position: u64, sealed: &[u8]) -> Result<Vec<u8>, PayloadError> {
        let mut bytes = sealed.to_vec();
        let (nonce, aad) = self.seal_parts(position);
        let len = self.data.open_in_place(nonce, aad, &mut bytes).map_err(|_| PayloadError(position))?.len();
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// The commitment under a disclosed salt: what an auditor compares with the leaf.
#[must_use]
pub fn commitment(salt: &Hash, payload: &[u8]) -> Hash {
    Sha256::new().chain_update(PAYLOAD_TAG).chain_update(salt).chain_update(payload).finalize().into()
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
}

fn random() -> Result<Secret, KeyError> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    rand::fill(key.as_mut_slice()).map_err(|_| KeyError::Crypto)?;
    Ok(key)
}

fn aead_key(bytes: &[u8]) -> Result<LessSafeKey, KeyError> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| KeyError::Crypto)?))
}

fn hmac_key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

/// Names become file names, so they are kept to what cannot leave the folder.
fn check_name(name: &str) -> Result<(), KeyError> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !name.is_empty() && name.len() <= MAX_SUBJECT && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(KeyError::Name(name.chars().take(MAX_SUBJECT).collect()))
    }
}

fn read(io: &dyn Io, path: &Path) -> Result<Vec<u8>, KeyError> {
    let fail = |source| KeyError::Io { path: path.to_owned(), source };
    let file = io.open(path, false).map_err(fail)?;
    read_all(&*file, 4096).map_err(fail)
}

/// Reads a file that only its owner may touch. The modes of the wrapped keys do not matter: they open nothing alone.
pub(crate) fn read_private(io: &dyn Io, path: &Path) -> Result<Vec<u8>, KeyError> {
    let fail = |source| KeyError::Io { path: path.to_owned(), source };
    let file = io.open(path, false).map_err(fail)?;
    match file.mode().map_err(fail)? {
        Some(mode) if mode & OTHERS != 0 => Err(KeyError::Exposed { path: path.to_owned(), mode }),
        _ => read_all(&*file, 4096).map_err(fail),
    }
}

/// Writes a file that is there whole or not at all, and durable when this returns.
pub(crate) fn write_new(io: &dyn Io, dir: &Path, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
    let path = dir.join(name);
    let temp = dir.join(format!("{name}.tmp"));
    let write = || -> io::Result<()> {
        let file: Arc<dyn File> = match io.create(&temp) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                io.remove(&temp)?;
                io.create(&temp)?
            }
            other => other?,
        };
        file.write_at(0, bytes)?;
        file.sync_data()?;
        io.rename(&temp, &path)?;
        io.sync_dir(dir)
    };
    write().map_err(|source| KeyError::Io { path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;
    use std::os::unix::fs::PermissionsExt;

    const LOG: [u8; 16] = [7; 16];

    fn store(dir: &Path) -> Result<KeyStore, KeyError> {
        KeyStore::open(dir, Arc::new(RealIo::new()))
    }

    #[test]
    fn salts_are_hmac_sha256() {
        let key = [7; KEY_LEN];
        for position in [0, 1, u64::MAX] {
            let by_library = hmac::sign(&hmac_key(&key), &position.to_be_bytes());
            assert_eq!(SaltKey::new(&key).of(position), by_library.as_ref());
        }
    }

    #[test]
    fn a_sealed_payload_opens_after_a_restart_and_only_where_it_belongs() {
        let dir = tempfile::tempdir().unwrap();
        let keys = store(dir.path()).unwrap().session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap();
        let mut sealed = b"select 1".to_vec();
        let commit = keys.commit(5, &sealed);
        keys.seal(5, &mut sealed).unwrap();
        assert_eq!(sealed.len(), 8 + 16);
        let again = store(dir.path()).unwrap();
        let keys = again.existing_session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap();
        let opened = keys.open(5, &sealed).unwrap();
        assert_eq!(opened, b"select 1");
        assert_eq!(commitment(&keys.salt(5), &opened), commit);
        assert_ne!(keys.commit(6, &opened), commit);
        assert_eq!(keys.open(6, &sealed), Err(PayloadError(6)));
        for (subject, month, session, log) in
            [("h-01", "2026-11", [2; 16], LOG), ("h-01", "2026-11", [1; 16], [8; 16])]
        {
            let other = again.session_keys(subject, month, &session, &log).unwrap();
            assert!(other.open(5, &sealed).is_err());
        }
        let other = again.session_keys("h-02", "2026-11", &[1; 16], &LOG).unwrap();
        assert!(other.open(5, &sealed).is_err());
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.open(5, &bad).is_err());
        }
    }

    #[test]
    fn a_destroyed_key_is_gone_and_a_new_one_opens_nothing_old() {
        let dir = tempfile::tempdir().unwrap();
        let store1 = store(dir.path()).unwrap();
        let keys = store1.session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap();
        let mut sealed = b"x".to_vec();
        keys.seal(0, &mut sealed).unwrap();
        assert!(store1.destroy("h-01", "2026-11").unwrap());
        assert!(!store1.destroy("h-01", "2026-11").unwrap());
        let gone = store1.existing_session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap_err();
        assert!(matches!(gone, KeyError::Gone { .. }), "{gone}");
        let fresh = store1.session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap();
        assert!(fresh.open(0, &sealed).is_err());
        assert_ne!(fresh.key_id(), keys.key_id());
    }

    #[test]
    fn damaged_swapped_and_missing_key_files_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let keys = store(dir.path()).unwrap();
        keys.session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap();
        keys.session_keys("h-02", "2026-11", &[1; 16], &LOG).unwrap();
        let month = dir.path().join("keys/2026-11");
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&month.join("h-01.key")), 0o600);
        assert_eq!(
            (mode(&dir.path().join("keys")), mode(&dir.path().join("keys/master.key"))),
            (0o700, 0o600)
        );
        std::fs::copy(month.join("h-01.key"), month.join("h-02.key")).unwrap();
        let err = store(dir.path()).unwrap().session_keys("h-02", "2026-11", &[1; 16], &LOG).unwrap_err();
        assert!(matches!(err, KeyError::Damaged(_)), "{err}");
        std::fs::write(month.join("h-01.key"), b"FHK1 short").unwrap();
        let err = store(dir.path()).unwrap().session_keys("h-01", "2026-11", &[1; 16], &LOG).unwrap_err();
        assert!(matches!(err, KeyError::Damaged(_)), "{err}");
        std::fs::remove_file(dir.path().join("keys/master.key")).unwrap();
        assert!(matches!(store(dir.path()), Err(KeyError::Damaged(_))));
        for bad in ["", "../x", "a/b", "A", "é", &"a".repeat(65)] {
            assert!(matches!(keys.session_keys(bad, "2026-11", &[1; 16], &LOG), Err(KeyError::Name(_))));
            assert!(matches!(keys.destroy("h-01", bad), Err(KeyError::Name(_))));
        }
    }

    #[test]
    fn a_master_key_that_others_can_reach_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path()).unwrap();
        let path = dir.path().join("keys/master.key");
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610] {
            set(mode);
            let err = store(dir.path()).unwrap_err();
            assert!(matches!(err, KeyError::Exposed { mode: found, .. } if found == mode), "{err}");
            assert!(err.to_string().contains("master.key") && err.to_string().contains("mode 06"), "{err}");
        }
        for mode in [0o600, 0o400] {
            set(mode);
            store(dir.path()).unwrap();
        }
    }

    #[test]
    fn a_name_keeps_its_pseudonym_and_kinds_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let id = store(dir.path()).unwrap().identity_id('h', "ada");
        assert!(id.starts_with("h-") && id.len() == 18, "{id}");
        let again = store(dir.path()).unwrap();
        assert_eq!(again.identity_id('h', "ada"), id);
        assert_ne!(again.identity_id('a', "ada")[2..], id[2..]);
        assert_ne!(again.identity_id('h', "bob"), id);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(store(other.path()).unwrap().identity_id('h', "ada"), id);
    }
}
