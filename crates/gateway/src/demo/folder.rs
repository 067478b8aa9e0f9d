//! The folders of the demo, and handing files to whom the server runs as.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::programs::Owner;
use crate::failure::Failure;

/// A new folder below the system's temporary one; removed with all in it on drop.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes it. Nobody but us may look into it; others may pass through to what is theirs.
    ///
    /// # Errors
    /// When there is no place for it.
    pub(super) fn make() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("firsthand-demo-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&path).map_err(|e| cannot("make the folder", &path, &e))?;
        // From here on a failure removes it.
        let scratch = Self { path };
        fs::set_permissions(&scratch.path, fs::Permissions::from_mode(0o711))
            .map_err(|e| cannot("protect", &scratch.path, &e))?;
        Ok(scratch)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes a folder that only `owner` (or we) can enter.
///
/// # Errors
/// When it exists, or cannot be made or handed over.
pub(super) fn make_folder(path: &Path, owner: Option<Owner>) -> Result<(), Failure> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(|e| cannot("make the folder", path, &e))?;
    give(path, owner)
}

/// Writes a new file that only `owner` (or we) can read.
///
/// # Errors
/// When it exists, or cannot be written or handed over.
pub(super) fn write_private(path: &Path, text: &str, owner: Option<Owner>) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| cannot("write", path, &e))?;
    give(path, owner)
}

/// Writes a file that only we can read, over what the last demo in the same folder wrote.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_over(path: &Path, text: &str) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(cannot("replace", path, &e)),
        _ => write_private(path, text, None),
    }
}

fn give(path: &Path, owner: Option<Owner>) -> Result<(), Failure> {
    let Some(Owner { uid, gid }) = owner else { return Ok(()) };
    chown(path, Some(uid), Some(gid)).map_err(|e| cannot("hand over", path, &e))
}

/// The failure of something done to a file of the demo.
pub(super) fn cannot(what: &str, path: &Path, why: &std::io::Error) -> Failure {
    Failure::new(
        format!("cannot {what} {}: {why}", path.display()),
        "make room or permission there, or name another temporary folder with TMPDIR",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_goes_with_all_in_it() {
        let scratch = Scratch::make().unwrap();
        let path = scratch.path().to_owned();
        make_folder(&path.join("inner"), None).unwrap();
        write_private(&path.join("inner/secret"), "s", None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("inner"))), (0o711, 0o700));
        assert_eq!(mode(&path.join("inner/secret")), 0o600);
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_failure_names_the_file() {
        let said = write_private(Path::new("/nowhere/x"), "", None).unwrap_err().to_string();
        assert!(said.contains("cannot write /nowhere/x") && said.contains("hint: "), "{said}");
    }
}
