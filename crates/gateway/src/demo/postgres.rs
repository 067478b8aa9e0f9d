//! A scratch PostgreSQL for the demo: found, made in a temporary folder, started, and gone with it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use firsthand_session::secret::Secret;
use rustix::process::{Pid, Signal, geteuid, kill_process, set_parent_process_death_signal};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// Users that PostgreSQL may run as when we are root, in order: it refuses to be root itself.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];
/// What the server says once it can be connected to (with LC_ALL=C).
const READY: &str = "database system is ready to accept connections";
/// Settings of a server whose data nobody will miss.
const SETTINGS: [&str; 6] = [
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=50",
    "listen_addresses=127.0.0.1",
];

/// The programs of an installation.
pub(super) struct Installation {
    folder: PathBuf,
}

/// A running server. Dropping it kills it; the folder goes too.
pub(super) struct Server {
    child: Child,
    _folder: Folder,
    /// Its port on 127.0.0.1.
    pub(super) port: u16,
    /// What it says of its version.
    pub(super) version: String,
    /// Password of its superuser.
    pub(super) password: Secret,
}

/// A folder that is removed when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A new one under the system's temporary folder.
    pub(super) fn temporary() -> Result<Self, Failure> {
        let name = format!("firsthand-demo-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|e| cannot("make a temporary folder", &path, &e))?;
        let folder = Self(path);
        mode(&folder.0, 0o700)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary folder; there is nothing better to do.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Installation {
    /// In PATH, else the newest below /usr/lib/postgresql.
    pub(super) fn find() -> Result<Self, Failure> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path);
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| Some((e.file_name().to_str()?.parse().ok()?, e.path().join("bin"))))
            .collect();
        versions.sort();
        let has = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
        let found = in_path.chain(versions.into_iter().rev().map(|(_, folder)| folder)).find(has);
        found.map(|folder| Self { folder }).ok_or_else(|| {
            Failure::new(
                "the demo needs a PostgreSQL server (initdb and postgres), and there is none in PATH or /usr/lib/postgresql",
                "sudo apt-get install postgresql   (other systems: see postgresql.org/download)",
            )
        })
    }

    /// Where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes a cluster and starts it.
    pub(super) async fn start(&self, port: u16) -> Result<Server, Failure> {
        let folder = Folder::temporary()?;
        let user = Unprivileged::find()?;
        let password = firsthand_adapters::identity::scram::new_secret()
            .map_err(|e| Failure::new(e.to_string(), "try again"))?;
        let secret_file = folder.path().join("password");
        std::fs::write(&secret_file, &*password).map_err(|e| cannot("write", &secret_file, &e))?;
        mode(&secret_file, 0o600)?;
        user.give(folder.path())?;
        user.give(&secret_file)?;
        let data = folder.path().join("cluster");
        let mut initdb = self.command("initdb", &user, folder.path());
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&secret_file);
        initdb.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.output().await.map_err(|e| cannot("run", &self.folder.join("initdb"), &e))?;
        if !made.status.success() {
            let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            return Err(Failure::new(format!("initdb failed: {said}"), "run it by hand to see why"));
        }
        let mut postgres = self.command("postgres", &user, folder.path());
        postgres.arg("-D").arg(&data).arg("-p").arg(port.to_string()).arg("-k").arg(folder.path());
        for setting in SETTINGS {
            postgres.arg("-c").arg(setting);
        }
        let mut child = postgres.spawn().map_err(|e| cannot("run", &self.folder.join("postgres"), &e))?;
        await_ready(&mut child).await?;
        let version = self.version(&user).await;
        let password = Secret::new(String::clone(&password));
        Ok(Server { child, _folder: folder, port, version, password })
    }

    async fn version(&self, user: &Unprivileged) -> String {
        let output = self.command("postgres", user, Path::new("/")).arg("--version").output().await;
        let said = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        said.split_whitespace().nth(2).unwrap_or("?").to_owned()
    }

    fn command(&self, program: &str, user: &Unprivileged, folder: &Path) -> Command {
        let mut command = Command::new(self.folder.join(program));
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at the terminal is for us: we end the server ourselves.
            .process_group(0)
            .kill_on_drop(true);
        if let Some((uid, gid)) = user.ids {
            command.uid(uid).gid(gid);
        }
        // SAFETY: the closure makes one system call (prctl) and neither allocates nor takes locks, which is all that is
        // allowed between fork and exec.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::QUIT))?));
        }
        command
    }
}

async fn await_ready(child: &mut Child) -> Result<(), Failure> {
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.contains(READY) {
                // Somebody must go on reading, or the server blocks once the pipe is full.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(());
            }
            said = line;
        }
    }
    Err(Failure::new(
        format!("PostgreSQL did not start: {said}"),
        "run the demo again; if it stays, report it",
    ))
}

impl Server {
    /// Ends it at once; nobody misses the data.
    pub(super) async fn stop(mut self) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            // It may have ended by itself, which is as good.
            let _ = kill_process(pid, Signal::QUIT);
        }
        let _ = self.child.wait().await;
    }
}

/// Who runs the server: ourselves, or, when we are root, somebody who is not.
struct Unprivileged {
    ids: Option<(u32, u32)>,
}

impl Unprivileged {
    fn find() -> Result<Self, Failure> {
        if !geteuid().is_root() {
            return Ok(Self { ids: None });
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let ids = UNPRIVILEGED.iter().find_map(|name| {
            let line = passwd.lines().find(|l| l.split(':').next() == Some(*name))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        let none = "PostgreSQL refuses to run as root, and there is no user postgres or nobody";
        ids.map(|ids| Self { ids: Some(ids) })
            .ok_or_else(|| Failure::new(none, "run the demo as an ordinary user"))
    }

    /// Makes a path theirs.
    fn give(&self, path: &Path) -> Result<(), Failure> {
        let Some((uid, gid)) = self.ids else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|e| cannot("give away", path, &e))
    }
}

fn mode(path: &Path, mode: u32) -> Result<(), Failure> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| cannot("set the mode of", path, &e))
}

/// A failed file operation of the demo.
pub(super) fn cannot(what: &str, path: &Path, e: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {what} {}: {e}", path.display()), "check the disk and who may write there")
}
