//! Where PostgreSQL's server programs are, and as whom they may run.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;

/// Where Debian and its relatives put them: a folder per version, none of it in PATH.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Whom PostgreSQL runs as when the demo is run by root, the first that exists: PostgreSQL refuses root.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// A folder with `initdb` and `postgres` of one version.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks in PATH, then for the newest version below /usr/lib/postgresql.
    ///
    /// # Errors
    /// When there is none: with the line that installs it.
    pub(super) fn find() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_in(&path, Path::new(DEBIAN)).ok_or_else(absent)
    }

    fn find_in(path: &OsStr, debian: &Path) -> Option<Self> {
        let in_path = std::env::split_paths(path).filter_map(|folder| {
            // A link in PATH may name only some of them: they are together where it leads to.
            fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_path_buf)
        });
        let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(debian)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
            .collect();
        versions.sort();
        let newest_first = versions.into_iter().rev().map(|(_, folder)| folder);
        in_path.chain(newest_first).find(|folder| is_complete(folder)).map(|folder| Self { folder })
    }

    /// The program that makes a cluster.
    pub(super) fn initdb(&self) -> PathBuf {
        self.folder.join("initdb")
    }

    /// The server.
    pub(super) fn postgres(&self) -> PathBuf {
        self.folder.join("postgres")
    }

    /// What it says its version is, such as `PostgreSQL 17.2`.
    ///
    /// # Errors
    /// When the server's program does not start.
    pub(super) fn version(&self) -> Result<String, Failure> {
        let program = self.postgres();
        let said = Command::new(&program).arg("--version").output().map_err(|e| {
            Failure::new(
                format!("cannot run {}: {e}", program.display()),
                "reinstall PostgreSQL: sudo apt-get install --reinstall postgresql",
            )
        })?;
        let said = String::from_utf8_lossy(&said.stdout);
        let number = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        Ok(format!("PostgreSQL {}", number.unwrap_or("of an unknown version")))
    }
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|name| folder.join(name).is_file())
}

fn absent() -> Failure {
    Failure::new(
        format!("no PostgreSQL server (initdb, postgres) in PATH or in {DEBIAN}/*/bin"),
        "install it: sudo apt-get install postgresql   (elsewhere: put its folder with initdb in PATH)",
    )
}

/// A user of the machine, for a process and its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// User id.
    pub(super) uid: u32,
    /// Group id.
    pub(super) gid: u32,
}

impl Owner {
    /// Whom the server must run as: `None`, as who we are; for root, an unprivileged user.
    ///
    /// # Errors
    /// When we are root and there is no such user.
    pub(super) fn of_server() -> Result<Option<Self>, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = UNPRIVILEGED.iter().find_map(|name| Self::named(&users, name));
        found.map(Some).ok_or_else(|| {
            Failure::new(
                format!(
                    "PostgreSQL does not run as root, and there is no user `{}`",
                    UNPRIVILEGED.join("` or `")
                ),
                "run the demo as an ordinary user",
            )
        })
    }

    /// The user of that name in the text of /etc/passwd.
    fn named(users: &str, name: &str) -> Option<Self> {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (user, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let uid = uid.parse().ok().filter(|uid| *uid != 0)?;
            (user == name).then_some(Self { uid, gid: gid.parse().ok()? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(folder: &Path, programs: &[&str]) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        for program in programs {
            fs::write(folder.join(program), "").unwrap();
        }
        fs::canonicalize(folder).unwrap()
    }

    fn found(path: &[&Path], debian: &Path) -> Option<PathBuf> {
        let path = std::env::join_paths(path).unwrap();
        Programs::find_in(&path, debian).map(|programs| programs.folder)
    }

    #[test]
    fn path_comes_first_and_then_the_newest_version() {
        let root = tempfile::tempdir().unwrap();
        let debian = root.path().join("lib");
        for version in ["9.6", "13", "9", "17", "x"] {
            install(&debian.join(version).join("bin"), &["initdb", "postgres"]);
        }
        assert_eq!(found(&[], &debian), Some(debian.join("17/bin")));
        let in_path = install(&root.path().join("opt"), &["initdb", "postgres"]);
        assert_eq!(found(&[&root.path().join("none"), &in_path], &debian), Some(in_path));
    }

    #[test]
    fn half_an_installation_is_passed_over_and_a_link_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let debian = root.path().join("lib");
        let whole = install(&debian.join("15/bin"), &["initdb", "postgres"]);
        install(&debian.join("16/bin"), &["initdb"]);
        assert_eq!(found(&[], &debian), Some(debian.join("15/bin")));
        let links = install(&root.path().join("links"), &[]);
        std::os::unix::fs::symlink(whole.join("initdb"), links.join("initdb")).unwrap();
        assert_eq!(found(&[&links], Path::new("/nowhere")), Some(whole));
    }

    #[test]
    fn where_there_is_none_the_message_installs_it() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(found(&[root.path()], &root.path().join("lib")), None);
        let said = absent().to_string();
        assert!(said.starts_with("error: no PostgreSQL server"), "{said}");
        assert!(said.lines().last().unwrap().contains("sudo apt-get install postgresql"), "{said}");
    }

    #[test]
    fn users_are_read_and_root_is_never_one() {
        let users = "root:x:0:0::/:/bin/sh\npostgres:x:106:112:x:/var:/bin/sh\nbroken\nnobody:x:0:0:::\n";
        assert_eq!(Owner::named(users, "postgres"), Some(Owner { uid: 106, gid: 112 }));
        assert_eq!(Owner::named(users, "nobody"), None);
        assert_eq!(Owner::named(users, "daemon"), None);
    }
}
