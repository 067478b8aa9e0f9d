//! Where this user is signed in: the tokens that gateways gave for it (`firsthand login`), in a file that only this user can reach.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use firsthand_session::secret::Secret;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::OTHERS;
use crate::failure::{Failure, only_for_its_owner};
use crate::show::clean::shell_word;

/// The form of the file.
const VERSION: u32 = 1;
/// A larger file is not one of ours: some 200 bytes per gateway.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Write bits of group and others.
const CHANGED_BY_OTHERS: u32 = 0o022;

/// At one gateway.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// NAME:SECRET.
    token: String,
    /// Who.
    pub(crate) person: String,
    /// Where they signed in.
    pub(crate) issuer: String,
    /// Until when.
    pub(crate) expires: Timestamp,
}

impl Kept {
    pub(crate) fn new(token: &Secret, person: &str, issuer: &str, expires: Timestamp) -> Self {
        let (token, person, issuer) = (token.expose().to_owned(), person.to_owned(), issuer.to_owned());
        Self { token, person, issuer, expires }
    }

    pub(crate) fn token(&self) -> Secret {
        Secret::new(self.token.clone())
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    /// By the gateway's address.
    gateways: BTreeMap<String, Kept>,
}

/// The file.
pub(crate) struct Keep {
    path: PathBuf,
}

impl Keep {
    /// Of this user.
    pub(crate) fn of_user() -> Result<Self, Failure> {
        let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
        let Some(folder) = folder else {
            return Err(Failure::new(
                "there is no place to keep a sign-in in: neither XDG_CONFIG_HOME nor HOME is set",
                "set one of them to a folder of this user",
            ));
        };
        Ok(Self { path: folder.join("firsthand").join("signed-in.json") })
    }

    /// Where it is, for people.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where this user is signed in at this gateway; `None`: nowhere.
    pub(crate) fn find(&self, gateway: &str) -> Result<Option<Kept>, Failure> {
        Ok(self.read()?.gateways.remove(gateway))
    }

    /// The same, where it has not ended.
    pub(crate) fn find_valid(&self, gateway: &str) -> Result<Option<Kept>, Failure> {
        match self.find(gateway)? {
            Some(kept) if kept.expires <= Timestamp::now() => Err(Failure::new(
                format!("your sign-in at {gateway} ended {}", kept.expires),
                format!("firsthand login --gateway {gateway}"),
            )),
            kept => Ok(kept),
        }
    }

    /// Keeps it, in place of what was there.
    pub(crate) fn put(&self, gateway: &str, kept: Kept) -> Result<(), Failure> {
        self.change(|all| drop(all.insert(gateway.to_owned(), kept.clone())))
    }

    /// Forgets it.
    pub(crate) fn forget(&self, gateway: &str) -> Result<(), Failure> {
        self.change(|all| drop(all.remove(gateway)))
    }

    fn cannot(&self, e: &io::Error) -> Failure {
        let what = format!("{}, where sign-ins are kept: {e}", self.path.display());
        Failure::new(
            what,
            "check who may read and write it; it may be deleted, and then you are signed in nowhere",
        )
    }

    fn read(&self) -> Result<Content, Failure> {
        let about = match fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Content { version: VERSION, gateways: BTreeMap::new() });
            }
            about => about.map_err(|e| self.cannot(&e))?,
        };
        if about.permissions().mode() & OTHERS != 0 {
            let what = format!("{}: others than its owner can reach it", self.path.display());
            return Err(Failure::new(what, only_for_its_owner(&self.path)));
        }
        if about.len() > FILE_BYTES_MAX {
            return Err(self.cannot(&io::Error::other("it is too long")));
        }
        let text = Zeroizing::new(fs::read(&self.path).map_err(|e| self.cannot(&e))?);
        let content: Option<Content> = serde_json::from_slice(&text).ok();
        // What is wrong with it is not told: its text has secrets.
        let strange = || self.cannot(&io::Error::other("it is not what this version writes"));
        content.filter(|content| content.version == VERSION).ok_or_else(strange)
    }

    /// Reads, changes and replaces it, alone among the commands of this user.
    fn change(&self, change: impl Fn(&mut BTreeMap<String, Kept>)) -> Result<(), Failure> {
        let folder = self.path.parent().unwrap_or_else(|| Path::new("."));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|e| self.cannot(&e))?;
        only_for_its_owner_to_change(folder)?;
        let open = |path: &Path, truncate| {
            OpenOptions::new().write(true).create(true).truncate(truncate).mode(0o600).open(path)
        };
        let lock = open(&self.path.with_extension("lock"), false).map_err(|e| self.cannot(&e))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| self.cannot(&e.into()))?;
        let mut content = self.read()?;
        change(&mut content.gateways);
        // What ended long ago is of no use to anybody.
        let now = Timestamp::now();
        content.gateways.retain(|_, kept| kept.expires > now);
        let write = || -> io::Result<()> {
            let text = Zeroizing::new(serde_json::to_vec_pretty(&content)?);
            let temporary = self.path.with_extension("json.tmp");
            let mut file = open(&temporary, true)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(&text).and_then(|()| file.sync_all())?;
            fs::rename(&temporary, &self.path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|e| self.cannot(&e))
    }
}

/// Others could plant links in the folder, and have what is written here written elsewhere.
fn only_for_its_owner_to_change(folder: &Path) -> Result<(), Failure> {
    let about = fs::metadata(folder);
    let about =
        about.map_err(|e| Failure::new(format!("{}: {e}", folder.display()), "check who may read it"))?;
    let own = about.uid() == rustix::process::geteuid().as_raw();
    if own && about.permissions().mode() & CHANGED_BY_OTHERS == 0 {
        return Ok(());
    }
    let what = format!("{}, where sign-ins are kept: others than you can change it", folder.display());
    Err(Failure::new(
        what,
        format!("chmod go-w {0}, and chown it to yourself", shell_word(&folder.display().to_string())),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(token: &str, seconds: i64) -> Kept {
        let end = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        Kept::new(&Secret::new(token.to_owned()), "corp/ada", "corp", end)
    }

    #[test]
    fn sign_ins_are_kept_by_gateway_for_this_user_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { path: dir.path().join("firsthand").join("signed-in.json") };
        assert!(keep.find("https://a:1").unwrap().is_none());
        keep.put("https://a:1", kept("in-ada:fh_a", 60)).unwrap();
        keep.put("https://b:1", kept("in-ada:fh_b", 60)).unwrap();
        keep.put("https://a:1", kept("in-ada:fh_c", 60)).unwrap();
        let token = |at: &str| keep.find_valid(at).unwrap().map(|kept| kept.token().expose().to_owned());
        assert_eq!(token("https://a:1").as_deref(), Some("in-ada:fh_c"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&keep.path), mode(keep.path.parent().unwrap())), (0o600, 0o700));
        let folder = keep.path.parent().unwrap();
        fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        assert!(
            keep.put("https://a:1", kept("in-ada:fh_d", 60))
                .unwrap_err()
                .to_string()
                .contains("can change it")
        );
        fs::set_permissions(folder, Permissions::from_mode(0o700)).unwrap();
        keep.forget("https://a:1").unwrap();
        assert_eq!((token("https://a:1"), token("https://b:1").as_deref()), (None, Some("in-ada:fh_b")));
        fs::set_permissions(&keep.path, Permissions::from_mode(0o640)).unwrap();
        assert!(keep.find("https://b:1").is_err(), "others can read it");
    }

    #[test]
    fn what_has_ended_says_so_and_a_file_of_somebody_else_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { path: dir.path().join("signed-in.json") };
        let content = Content { version: VERSION, gateways: [("g".to_owned(), kept("a:fh_a", -1))].into() };
        let write = |text: &str| {
            fs::write(&keep.path, text).unwrap();
            fs::set_permissions(&keep.path, Permissions::from_mode(0o600)).unwrap();
        };
        write(&serde_json::to_string(&content).unwrap());
        let failure = keep.find_valid("g").err().unwrap().to_string();
        assert!(failure.contains("ended") && failure.contains("firsthand login --gateway g"), "{failure}");
        write("{\"version\":1,\"gateways\":{\"g\":\"fh_secret\"}}");
        let failure = keep.find("g").err().unwrap().to_string();
        assert!(!failure.contains("fh_secret"), "{failure}");
    }
}
