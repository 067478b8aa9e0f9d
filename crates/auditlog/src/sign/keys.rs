//! The keys that sign the log: made on first use, replaced by rotation, kept in `data/signer`.
//!
//! A key's file bears the log's name; what it signs with bears the tree's, which is that of the epoch: the same 32 bytes
//! under another name are another verifier key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::tree_origin;
use crate::io::{Io, read_all};
use crate::keeper::write_whole;
use crate::keys::{self, read_private, write_new};
use crate::tlog::encoding::{hash_from_base64, to_base64};
use crate::tlog::key::{KEY_BYTES, KeyError, KeyKind, SigningKey, VerifyingKey};

/// For how long a key that was replaced signs beside the new one: whoever follows the log has this long to hear of it.
pub const BOTH_SIGN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most keys that sign at a time: all of them stand on every checkpoint.
pub const MAX_SIGNING: usize = 8;
/// Most keys that are remembered.
const MAX_KEYS: usize = 10_000;
/// Longest list of keys that is read.
const MAX_LIST: u64 = 4 << 20;
/// The signer's folder.
pub(crate) const FOLDER: &str = "signer";
const LIST: &str = "keys.json";
/// The signer's memory.
pub(crate) const LAST: &str = "last";

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A key's file.
    #[error(transparent)]
    File(#[from] keys::KeyError),
    /// Another file operation failed.
    #[error("signer: {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something was signed, and the keys are not there.
    #[error("signer: {} is gone, and something was signed before", .0.display())]
    Gone(PathBuf),
    /// Not what was written.
    #[error("signer: {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: String,
    },
    /// A key that cannot be.
    #[error("signer: {0}")]
    Key(#[from] KeyError),
    /// Too many rotations in a month.
    #[error("signer: {MAX_SIGNING} keys sign at a time at most, and so many do")]
    TooMany,
    /// The library refused.
    #[error("signer: no random numbers")]
    Random,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    v: u32,
    keys: Vec<Listed>,
}

/// A key as `keys.json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    /// Names its file.
    id: String,
    public: String,
    made_us: u64,
    /// When it ceases to sign; nothing for the newest.
    until_us: Option<u64>,
}

struct Held {
    listed: Listed,
    public: [u8; KEY_BYTES],
    /// Nothing where it signs no more and its file was taken away.
    signing: Option<SigningKey>,
}

/// One key in public, and for how long it signs.
#[derive(Debug, Clone)]
pub struct Known {
    /// Under the name of the tree.
    pub vkey: VerifyingKey,
    /// When it was made, in µs since 1970-01-01 UTC.
    pub made_us: u64,
    /// When it ceases to sign; nothing for the newest.
    pub until_us: Option<u64>,
}

/// The keys of a log.
pub struct LogKeys {
    io: Arc<dyn Io>,
    folder: PathBuf,
    origin: String,
    /// The newest first.
    keys: Vec<Held>,
}

impl std::fmt::Debug for LogKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogKeys").field("origin", &self.origin).field("keys", &self.keys.len()).finish()
    }
}

impl LogKeys {
    /// Whether a data folder has any.
    #[must_use]
    pub fn exist(data: &Path, io: &dyn Io) -> bool {
        io.open(&data.join(FOLDER).join(LIST), false).is_ok()
    }

    /// Opens those of a data folder, making the first on first use.
    ///
    /// # Errors
    /// See [`KeysError`]; a key is never made in place of one that is missing.
    pub fn open(data: &Path, origin: &str, io: Arc<dyn Io>, now_us: u64) -> Result<Self, KeysError> {
        let folder = data.join(FOLDER);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| KeysError::Io { path, source }
        };
        io.create_dir(&folder).map_err(failed(&folder))?;
        io.sync_dir(data).map_err(failed(data))?;
        let names = io.list(&folder).map_err(failed(&folder))?;
        let mut all = Self { io, folder, origin: origin.to_owned(), keys: Vec::new() };
        if names.iter().any(|name| name == LIST) {
            all.read()?;
        } else if names.iter().any(|name| name == LAST) {
            return Err(KeysError::Gone(all.folder.join(LIST)));
        } else {
            let first = all.draft()?;
            all.adopt(&first, now_us)?;
        }
        Ok(all)
    }

    fn read(&mut self) -> Result<(), KeysError> {
        let path = self.folder.join(LIST);
        let bytes = self
            .io
            .open(&path, false)
            .and_then(|file| read_all(&*file, MAX_LIST))
            .map_err(|source| KeysError::Io { path: path.clone(), source })?;
        let damaged = |why: String| KeysError::Damaged { path: path.clone(), why };
        let list: List = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if list.v != 1 || list.keys.is_empty() || list.keys.len() > MAX_KEYS {
            return Err(damaged("it has no keys, or is of another version".to_owned()));
        }
        for (at, listed) in list.keys.into_iter().enumerate() {
            let public = hash_from_base64(&listed.public)
                .ok_or_else(|| damaged(format!("key {} has no public key", listed.id)))?;
            if listed.id.len() != 8 || !listed.id.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(damaged("a key's id is eight hexadecimal digits".to_owned()));
            }
            if (at == 0) != listed.until_us.is_none() {
                return Err(damaged("the newest key has no end, and only that".to_owned()));
            }
            let signing = self.load(&listed, public)?;
            self.keys.push(Held { listed, public, signing });
        }
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("log-{id}.key"))
    }

    fn load(&self, listed: &Listed, public: [u8; KEY_BYTES]) -> Result<Option<SigningKey>, KeysError> {
        let path = self.path(&listed.id);
        let bytes = match read_private(&*self.io, &path) {
            Err(keys::KeyError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && listed.until_us.is_some() =>
            {
                return Ok(None);
            }
            other => Zeroizing::new(other?),
        };
        let damaged = |why: String| KeysError::Damaged { path: path.clone(), why };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is no text".to_owned()))?;
        let key = SigningKey::parse(text.trim_end_matches('\n')).map_err(|e| damaged(e.to_string()))?;
        if *key.verifying().public() != public {
            return Err(damaged("it is another key than keys.json says".to_owned()));
        }
        Ok(Some(key))
    }

    /// A new key, kept nowhere yet.
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn draft(&self) -> Result<SigningKey, KeysError> {
        let mut seed = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(seed.as_mut_slice()).map_err(|_| KeysError::Random)?;
        Ok(SigningKey::from_seed(&self.origin, KeyKind::Note, &seed)?)
    }

    /// How a key is called where it signs the tree of an epoch.
    ///
    /// # Errors
    /// When the origin is no name of a key.
    pub fn vkey(&self, key: &SigningKey, epoch: u64) -> Result<VerifyingKey, KeysError> {
        let public = *key.verifying().public();
        Ok(VerifyingKey::new(&tree_origin(&self.origin, epoch), KeyKind::Note, public)?)
    }

    /// Whether one more may be made now.
    ///
    /// # Errors
    /// When there are too many.
    pub fn has_room(&self, now_us: u64) -> Result<(), KeysError> {
        let signing = self.keys.iter().filter(|held| held.signs(now_us)).count();
        if signing >= MAX_SIGNING || self.keys.len() >= MAX_KEYS {
            return Err(KeysError::TooMany);
        }
        Ok(())
    }

    /// Makes it the newest key: durable when this returns. The one before signs on for [`BOTH_SIGN`].
    ///
    /// # Errors
    /// When a file cannot be written; then all is as it was.
    pub fn adopt(&mut self, key: &SigningKey, now_us: u64) -> Result<(), KeysError> {
        self.has_room(now_us)?;
        let id = format!("{:08x}", key.verifying().id());
        let text = Zeroizing::new(format!("{}\n", *key.to_skey()));
        write_new(&*self.io, &self.folder, &format!("log-{id}.key"), text.as_bytes())?;
        let public = *key.verifying().public();
        let listed = Listed { id, public: to_base64(&public), made_us: now_us, until_us: None };
        let mut keys = vec![listed.clone()];
        let until = now_us.saturating_add(u64::try_from(BOTH_SIGN.as_micros()).unwrap_or(u64::MAX));
        for held in &self.keys {
            let until_us = held.listed.until_us.or(Some(until));
            keys.push(Listed { until_us, ..held.listed.clone() });
        }
        self.store(&keys)?;
        for (held, listed) in self.keys.iter_mut().zip(keys.into_iter().skip(1)) {
            held.listed = listed;
        }
        let signing = Some(key.named(&self.origin)?);
        self.keys.insert(0, Held { listed, public, signing });
        Ok(())
    }

    fn store(&self, keys: &[Listed]) -> Result<(), KeysError> {
        let path = self.folder.join(LIST);
        let list = List { v: 1, keys: keys.to_vec() };
        let bytes = serde_json::to_vec(&list)
            .map_err(|e| KeysError::Damaged { path: path.clone(), why: e.to_string() })?;
        write_whole(&*self.io, &self.folder, &path, &bytes).map_err(|source| KeysError::Io { path, source })
    }

    /// How the log is called, without an epoch.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Those that sign now, the newest first, under the name of the tree.
    ///
    /// # Errors
    /// When a key cannot be had under that name.
    pub fn signing(&self, epoch: u64, now_us: u64) -> Result<Vec<SigningKey>, KeysError> {
        let name = tree_origin(&self.origin, epoch);
        let mut keys = Vec::new();
        for held in self.keys.iter().filter(|held| held.signs(now_us)) {
            keys.extend(held.signing.as_ref().map(|key| key.named(&name)).transpose()?);
        }
        Ok(keys)
    }

    /// All there ever were, the newest first, under the name of the tree.
    ///
    /// # Errors
    /// When a key cannot be had under that name.
    pub fn known(&self, epoch: u64) -> Result<Vec<Known>, KeysError> {
        let name = tree_origin(&self.origin, epoch);
        let of = |held: &Held| {
            let vkey = VerifyingKey::new(&name, KeyKind::Note, held.public)?;
            Ok(Known { vkey, made_us: held.listed.made_us, until_us: held.listed.until_us })
        };
        self.keys.iter().map(of).collect()
    }
}

impl Held {
    fn signs(&self, now_us: u64) -> bool {
        self.listed.until_us.is_none_or(|until| now_us < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;
    use std::os::unix::fs::PermissionsExt;

    fn open(data: &Path, now_us: u64) -> Result<LogKeys, KeysError> {
        LogKeys::open(data, "example.com/gw1", Arc::new(RealIo::new()), now_us)
    }

    fn ids(keys: &LogKeys, now_us: u64) -> Vec<u32> {
        keys.signing(1, now_us).unwrap().iter().map(|key| key.verifying().id()).collect()
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), 5).unwrap();
        let made = first.known(1).unwrap();
        assert_eq!((made.len(), made[0].made_us, made[0].until_us), (1, 5, None));
        assert_eq!(made[0].vkey.name(), "example.com/gw1/e1");
        assert_eq!(ids(&open(dir.path(), 9).unwrap(), 9), ids(&first, 9));
        let folder = dir.path().join("signer");
        let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn the_key_before_signs_on_for_thirty_days() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = open(dir.path(), 0).unwrap();
        let old = ids(&keys, 0);
        let new = keys.draft().unwrap();
        let named = keys.vkey(&new, 1).unwrap().id();
        keys.adopt(&new, 1000).unwrap();
        let until = 1000 + u64::try_from(BOTH_SIGN.as_micros()).unwrap();
        for keys in [&keys, &open(dir.path(), 0).unwrap()] {
            assert_eq!(ids(keys, until - 1), [named, old[0]]);
            assert_eq!(ids(keys, until), [named]);
            assert_eq!(keys.known(1).unwrap().len(), 2);
        }
        for n in 0..MAX_SIGNING - 2 {
            let next = keys.draft().unwrap();
            keys.adopt(&next, 2000 + n as u64).unwrap();
        }
        let one_more = keys.draft().unwrap();
        assert!(matches!(keys.adopt(&one_more, 3000), Err(KeysError::TooMany)));
        keys.adopt(&one_more, until * 2).unwrap();
    }

    #[test]
    fn missing_damaged_and_open_keys_are_refused_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 0).unwrap();
        let folder = dir.path().join("signer");
        let file = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "key"))
            .unwrap();
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        assert!(matches!(open(dir.path(), 0), Err(KeysError::File(keys::KeyError::Exposed { .. }))));
        set(0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("PRIVATE", "PUBLIC")).unwrap();
        assert!(matches!(open(dir.path(), 0), Err(KeysError::Damaged { .. })));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(open(dir.path(), 0), Err(KeysError::File(keys::KeyError::Io { .. }))));
        std::fs::write(folder.join("last"), "x").unwrap();
        std::fs::remove_file(folder.join("keys.json")).unwrap();
        assert!(matches!(open(dir.path(), 0), Err(KeysError::Gone(_))));
    }
}
