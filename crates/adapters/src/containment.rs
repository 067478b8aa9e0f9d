//! What administrators have contained: identities, targets, sessions. The file `data/contained.json`, replaced whole, and a snapshot
//! of it in memory that each command and each admission looks at. The log stays the truth: the file is compared with it at a start.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use firsthand_model::identity::Identity;
use serde::{Deserialize, Serialize};

/// Its name in the data folder.
const FILE: &str = "contained.json";
/// The form of the file.
const VERSION: u32 = 1;
/// A larger file is not one of ours: some 3 KiB at most for each.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Containments that stand at a time: each is an incident, and all of them are written with each act.
pub const STANDING_MAX: usize = 4096;
/// The longest name.
pub const NAME_BYTES_MAX: usize = 256;

/// What is contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Whoever has this name in their chain.
    Identity,
    /// A target.
    Target,
    /// One session.
    Session,
}

impl Of {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Target, Self::Session];

    /// The word in the file, in the record and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Target => "target",
            Self::Session => "session",
        }
    }
}

/// One containment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contained {
    /// Its id.
    pub id: String,
    /// What is contained.
    pub of: Of,
    /// Its name, or the session's id. Empty: the record has it, and it cannot be read any more.
    pub name: String,
    /// Of an identity: the ids that the record shows.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Since when: RFC 3339.
    pub since: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// False: it was lifted, and its evidence is still held.
    pub blocks: bool,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ContainmentError {
    /// The file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what we write.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    contained: Vec<Contained>,
}

/// What is in force, and two ways to find it.
#[derive(Default)]
struct Standing {
    all: Vec<Contained>,
    identities: HashMap<String, String>,
    targets: HashMap<String, String>,
}

impl Standing {
    fn of(all: Vec<Contained>) -> Self {
        let named = |of: Of| {
            let blocking = all.iter().filter(move |one| one.blocks && one.of == of);
            let names =
                blocking.flat_map(|one| one.ids.iter().chain([&one.name]).map(move |name| (name, one)));
            names
                .filter(|(name, _)| !name.is_empty())
                .map(|(name, one)| (name.clone(), one.id.clone()))
                .collect()
        };
        Self { identities: named(Of::Identity), targets: named(Of::Target), all }
    }
}

/// What is contained in a data folder. Whoever changes it has that folder to themselves.
pub struct Containment {
    path: PathBuf,
    standing: ArcSwap<Standing>,
    writing: Mutex<()>,
}

impl std::fmt::Debug for Containment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Containment({})", self.path.display())
    }
}

impl Containment {
    /// Of this data folder. Without the file, nothing is contained as far as the file says.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn open(data: &Path) -> Result<Self, ContainmentError> {
        let path = data.join(FILE);
        let standing = ArcSwap::from_pointee(Standing::of(read(&path)?));
        Ok(Self { path, standing, writing: Mutex::default() })
    }

    /// All that stands, oldest first: what blocks, and what is only held.
    #[must_use]
    pub fn list(&self) -> Vec<Contained> {
        self.standing.load().all.clone()
    }

    /// Whether a target of this name is contained.
    #[must_use]
    pub fn has_target(&self, name: &str) -> bool {
        self.standing.load().targets.contains_key(name)
    }

    /// Whether somebody in this chain is contained, by the name or by the id that the record shows.
    #[must_use]
    pub fn has(&self, identity: &Identity) -> bool {
        let names = identity.chain.iter().flat_map(|link| [link.name.as_str(), link.id.as_str()]);
        self.has_identity(names)
    }

    /// Whether one of these names of identities is contained.
    pub fn has_identity<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> bool {
        let standing = self.standing.load();
        // Asked for every command, and nearly always there is nothing.
        !standing.identities.is_empty()
            && names.into_iter().any(|name| standing.identities.contains_key(name))
    }

    /// The containment in the way of one of these names of identities.
    #[must_use]
    pub fn of_identity(&self, names: &[&str]) -> Option<Contained> {
        let standing = self.standing.load();
        let id = names.iter().find_map(|name| standing.identities.get(*name))?;
        standing.all.iter().find(|one| one.id == *id).cloned()
    }

    /// From now on it is contained, before the file says so: no disk is waited for. To be saved then.
    pub fn add(&self, one: Contained) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.list();
        all.retain(|other| other.id != one.id);
        all.push(one);
        self.standing.store(Arc::new(Standing::of(all)));
    }

    /// Writes what stands to the file. Where it cannot be written, the log has it at the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), ContainmentError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        write(&self.path, self.list())
    }

    /// Lifts one; `hold`: its evidence stays held. Where the file cannot be written, it stays contained.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn lift(&self, id: &str, hold: bool) -> Result<(), ContainmentError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.list();
        if hold {
            all.iter_mut().filter(|one| one.id == id).for_each(|one| one.blocks = false);
        } else {
            all.retain(|one| one.id != id);
        }
        write(&self.path, all.clone())?;
        self.standing.store(Arc::new(Standing::of(all)));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<Contained>, ContainmentError> {
    let fail = |source| ContainmentError::Io { path: path.to_owned(), source };
    let damaged = |what: String| ContainmentError::Damaged { path: path.to_owned(), what };
    match fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fail(e)),
        Ok(about) if about.len() > FILE_BYTES_MAX => {
            return Err(damaged(format!("{} bytes are too many", about.len())));
        }
        Ok(_) => {}
    }
    let content: Content =
        serde_json::from_slice(&fs::read(path).map_err(fail)?).map_err(|e| damaged(e.to_string()))?;
    if content.version != VERSION {
        return Err(damaged(format!(
            "version {} was written by another version of Firsthand",
            content.version
        )));
    }
    Ok(content.contained)
}

fn write(path: &Path, contained: Vec<Contained>) -> Result<(), ContainmentError> {
    let fail = |source| ContainmentError::Io { path: path.to_owned(), source };
    let text =
        serde_json::to_vec_pretty(&Content { version: VERSION, contained }).map_err(|e| fail(e.into()))?;
    let temporary = path.with_extension("json.tmp");
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut file = file.map_err(fail)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail)?;
    fs::rename(&temporary, path).map_err(fail)?;
    // The name is durable only once the folder is.
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|f| f.sync_all()).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_model::identity::{IdentityKind, Link, Trust};

    fn contained(id: &str, of: Of, name: &str) -> Contained {
        Contained {
            id: id.to_owned(),
            of,
            name: name.to_owned(),
            ids: Vec::new(),
            since: "2026-11-28T12:00:00Z".to_owned(),
            by: "local:root".to_owned(),
            reason: "an incident".to_owned(),
            blocks: true,
        }
    }

    fn chain(names: &[(&str, &str)]) -> Identity {
        let link = |(name, id): &(&str, &str)| Link {
            kind: IdentityKind::Agent,
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            trust: Trust::Verified,
        };
        Identity { chain: names.iter().map(link).collect(), ..Identity::default() }
    }

    #[test]
    fn whoever_is_in_the_chain_is_contained_until_it_is_lifted() {
        let dir = tempfile::tempdir().unwrap();
        let containment = Containment::open(dir.path()).unwrap();
        let bot = chain(&[("ada", "h-1"), ("bot", "a-1"), ("tok-1", "t-1")]);
        assert!(!containment.has(&bot) && containment.list().is_empty());
        for name in ["ada", "bot", "tok-1", "h-1"] {
            containment.add(contained("cn-1", Of::Identity, name));
            assert!(containment.has(&bot), "{name}");
            assert!(!containment.has(&chain(&[("eve", "h-2"), ("other", "a-2")])), "{name}");
            assert!(!containment.has_target(name));
            containment.lift("cn-1", false).unwrap();
            assert!(!containment.has(&bot) && containment.list().is_empty(), "{name}");
        }
        containment.add(contained("cn-2", Of::Target, "bot"));
        assert!(containment.has_target("bot") && !containment.has(&bot), "a target's name is nobody's");
    }

    #[test]
    fn what_stands_is_read_back_and_evidence_may_be_held_alone() {
        let dir = tempfile::tempdir().unwrap();
        let containment = Containment::open(dir.path()).unwrap();
        containment.add(contained("cn-1", Of::Identity, "bot"));
        containment.add(contained("cn-2", Of::Target, "shop"));
        containment.save().unwrap();
        let again = Containment::open(dir.path()).unwrap();
        assert_eq!(again.list(), containment.list());
        assert!(again.has(&chain(&[("bot", "a-1")])) && again.has_target("shop"));
        again.lift("cn-1", true).unwrap();
        let held = Containment::open(dir.path()).unwrap();
        assert!(!held.has(&chain(&[("bot", "a-1")])) && !held.list()[0].blocks, "its evidence is held");
        held.lift("cn-1", false).unwrap();
        assert_eq!(Containment::open(dir.path()).unwrap().list().len(), 1);
    }

    #[test]
    fn where_the_file_cannot_be_written_what_is_contained_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let containment = Containment::open(dir.path()).unwrap();
        fs::create_dir(dir.path().join("contained.json.tmp")).unwrap();
        containment.add(contained("cn-1", Of::Identity, "bot"));
        assert!(containment.save().is_err());
        assert!(containment.has(&chain(&[("bot", "a-1")])), "it holds in memory");
        assert!(containment.lift("cn-1", false).is_err());
        assert!(containment.has(&chain(&[("bot", "a-1")])), "and is not lifted there alone");
    }

    #[test]
    fn a_name_that_cannot_be_read_any_more_is_contained_by_its_ids() {
        let dir = tempfile::tempdir().unwrap();
        let containment = Containment::open(dir.path()).unwrap();
        let ids = ["h-1", "a-1", "s-1"].map(str::to_owned).to_vec();
        containment.add(Contained { ids, ..contained("cn-1", Of::Identity, "") });
        assert!(containment.has(&chain(&[("ada", "h-9"), ("bot", "a-1")])));
        assert!(!containment.has(&chain(&[("", "a-9")])));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for bad in ["", "{", "[]", "{\"version\":2,\"contained\":[]}"] {
            fs::write(&path, bad).unwrap();
            let e = Containment::open(dir.path()).unwrap_err().to_string();
            assert!(e.contains(FILE), "{e}");
        }
    }
}
