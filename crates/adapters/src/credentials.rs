//! Credentials that stand in the configuration by reference: an environment variable, a file, or (warned about) inline.
//! They are read at the start and at a reload, so that a missing one is known before a client comes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use firsthand_model::identity::Identity;
use firsthand_model::target::Target;
use firsthand_session::port::{Credential, CredentialError, CredentialSource};
use firsthand_session::secret::Secret;

/// A password file longer than this is not a password file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Where a password is to be found.
#[derive(Clone, Debug)]
pub enum PasswordPlace {
    /// This environment variable.
    Env(String),
    /// This file; one line end at its end does not count.
    File(PathBuf),
    /// The configuration itself.
    Inline(Secret),
}

/// What to present to one target, and where it is.
#[derive(Clone, Debug)]
pub struct CredentialSpec {
    /// The role to log in as.
    pub user: String,
    /// Its password, if one is needed.
    pub password: Option<PasswordPlace>,
    /// What makes login roles for grants there, where they have some.
    pub admin: Option<Box<Self>>,
}

impl CredentialSpec {
    /// Reads it now.
    ///
    /// # Errors
    /// [`CredentialError::Missing`], naming the place.
    pub fn read(&self) -> Result<Credential, CredentialError> {
        let password = self.password.as_ref().map(PasswordPlace::read).transpose()?;
        Ok(Credential { user: self.user.clone(), password })
    }
}

impl PasswordPlace {
    /// Reads it now.
    ///
    /// # Errors
    /// [`CredentialError::Missing`], naming the place.
    pub fn read(&self) -> Result<Secret, CredentialError> {
        let missing = |what: String| CredentialError::Missing(what);
        match self {
            Self::Inline(secret) => Ok(secret.clone()),
            Self::Env(name) => match std::env::var(name) {
                Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
                Ok(_) => Err(missing(format!("environment variable {name} is empty"))),
                Err(std::env::VarError::NotPresent) => {
                    Err(missing(format!("environment variable {name} is not set")))
                }
                Err(std::env::VarError::NotUnicode(_)) => {
                    Err(missing(format!("environment variable {name} is not UTF-8")))
                }
            },
            Self::File(path) => read_file(path).map_err(|e| missing(format!("file {}: {e}", path.display()))),
        }
    }
}

fn read_file(path: &PathBuf) -> std::io::Result<Secret> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("{size} bytes are too many for a password")));
    }
    let mut text = std::fs::read_to_string(path)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(std::io::Error::other("it is empty"));
    }
    Ok(Secret::new(text))
}

type Table = HashMap<String, Result<Credential, CredentialError>>;

/// One credential per target, whoever comes. Clones share one table.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials {
    table: Arc<ArcSwap<Table>>,
    /// Those that make roles.
    making: Arc<ArcSwap<Table>>,
}

impl StaticCredentials {
    /// Reads all of them. A missing one is kept as missing: its target refuses, the others serve.
    #[must_use]
    pub fn read(specs: &[(String, CredentialSpec)]) -> Self {
        let all = Self::default();
        all.replace(specs);
        all
    }

    /// Reads all of them anew.
    pub fn replace(&self, specs: &[(String, CredentialSpec)]) {
        let table = specs.iter().map(|(target, spec)| (target.clone(), spec.read())).collect();
        self.table.store(Arc::new(table));
        let making = specs.iter().filter_map(|(target, spec)| {
            let admin = spec.admin.as_deref()?;
            Some((target.clone(), admin.read()))
        });
        self.making.store(Arc::new(making.collect()));
    }

    /// The targets without a credential, and what is missing.
    #[must_use]
    pub fn missing(&self) -> Vec<(String, CredentialError)> {
        let (table, making) = (self.table.load(), self.making.load());
        let all = table.iter().chain(making.iter());
        let mut missing: Vec<_> =
            all.filter_map(|(t, c)| Some((t.clone(), c.as_ref().err()?.clone()))).collect();
        missing.sort_by(|a, b| a.0.cmp(&b.0));
        missing
    }
}

impl CredentialSource for StaticCredentials {
    fn credential(&self, _identity: &Identity, target: &Target) -> Result<Credential, CredentialError> {
        match self.table.load().get(&target.name) {
            Some(credential) => credential.clone(),
            None => Err(CredentialError::Missing(format!("target {} has none", target.name))),
        }
    }

    fn making_roles(&self, target: &Target) -> Result<Credential, CredentialError> {
        match self.making.load().get(&target.name) {
            Some(credential) => credential.clone(),
            None => {
                Err(CredentialError::Missing(format!("target {} has none for making roles", target.name)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PasswordPlace) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        std::fs::write(&path, text).unwrap();
        (dir, PasswordPlace::File(path))
    }

    #[test]
    fn a_file_loses_one_line_end_and_nothing_else() {
        for (text, want) in [("x", "x"), ("x\n", "x"), ("x\r\n", "x"), (" x \n\n", " x \n")] {
            let (_dir, place) = file(text);
            assert_eq!(place.read().unwrap().expose(), want);
        }
    }

    #[test]
    fn what_is_missing_is_named_and_never_shown() {
        let e = PasswordPlace::Env("FIRSTHAND_NO_SUCH".to_owned()).read().unwrap_err();
        assert_eq!(e.to_string(), "no credential: environment variable FIRSTHAND_NO_SUCH is not set");
        let (_dir, place) = file("\n");
        assert!(place.read().unwrap_err().to_string().ends_with("it is empty"));
        let spec = CredentialSpec {
            user: "u".to_owned(),
            password: Some(PasswordPlace::Inline(Secret::new("hunter2".to_owned()))),
            admin: None,
        };
        assert!(!format!("{spec:?}").contains("hunter2"));
    }
}
