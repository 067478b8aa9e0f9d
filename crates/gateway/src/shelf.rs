//! What may be kept between two runs to save work: catalogs of databases, in the data folder. Nothing here is needed, and
//! nothing is believed that is not whole: a file begins with the digest of the rest.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use firsthand_adapters::identity::scram::sha256_hex;

/// What a file begins with: its format, then the digest of what follows, in hexadecimal.
const MAGIC: &[u8] = b"firsthand kept 1\n";
/// Digits of a digest.
const DIGEST_LEN: usize = 64;
/// A longer catalog is read from its database each time: reading it from here would take as long.
const BYTES_MAX: usize = 64 << 20;
/// Files kept. Whoever serves more databases is served without.
const FILES_MAX: usize = 1_024;

/// A folder of such files.
#[derive(Clone, Debug)]
pub(crate) struct Shelf(PathBuf);

impl Shelf {
    /// In this data folder.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("catalogs"))
    }

    /// What was kept under a key; `None` when there is nothing, or not all of it.
    pub(crate) fn recall(&self, key: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(BYTES_MAX + MAGIC.len() + DIGEST_LEN + 1).ok()?;
        fs::File::open(self.file(key)).ok()?.take(most).read_to_end(&mut bytes).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (digest, body) = rest.split_at_checked(DIGEST_LEN)?;
        (body.len() <= BYTES_MAX && sha256_hex(body).as_bytes() == digest).then(|| body.to_vec())
    }

    /// Keeps this under a key, in the place of what was there.
    pub(crate) fn keep(&self, key: &str, body: &[u8]) {
        if body.len() > BYTES_MAX {
            return;
        }
        if let Err(e) = self.write(key, body) {
            tracing::warn!("a catalog cannot be kept in {}: {e}", self.0.display());
        }
    }

    fn write(&self, key: &str, body: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let file = self.file(key);
        if !file.exists() && fs::read_dir(&self.0)?.count() >= FILES_MAX {
            return Ok(());
        }
        let temporary = file.with_extension("new");
        let mut new =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        // What a crash left of an earlier try may have had another mode.
        new.set_permissions(fs::Permissions::from_mode(0o600))?;
        new.write_all(MAGIC)?;
        new.write_all(sha256_hex(body).as_bytes())?;
        new.write_all(body)?;
        fs::rename(&temporary, &file)
    }

    /// Keys are names of others' making: none of them becomes a path.
    fn file(&self, key: &str) -> PathBuf {
        self.0.join(sha256_hex(key.as_bytes())).with_extension("rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path());
        assert_eq!(shelf.recall("a"), None);
        shelf.keep("a", b"one");
        shelf.keep("../b", b"two");
        shelf.keep("a", b"three");
        assert_eq!(shelf.recall("a").as_deref(), Some(&b"three"[..]));
        assert_eq!(shelf.recall("../b").as_deref(), Some(&b"two"[..]));
        let file = shelf.file("a");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&shelf.0).unwrap().permissions().mode() & 0o777, 0o700);
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(shelf.recall("a"), None, "byte {at}");
            fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(shelf.recall("a"), None, "cut at {at}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(folder.path());
        shelf.keep("a", &vec![0; BYTES_MAX + 1]);
        assert_eq!(shelf.recall("a"), None);
    }
}
