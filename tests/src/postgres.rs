//! A scratch PostgreSQL server, made in a moment by copying a prepared cluster.
//!
//! Two servers started from the same options are byte-for-byte copies: same object ids, same transaction ids. That is
//! what lets a test compare raw answers of a direct and a gateway connection without normalising them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::place::Place;
use crate::process::{self, Daemon};

/// Password of the superuser `postgres`.
pub const SUPERUSER_PASSWORD: &str = "scratch superuser";
/// Password of the ordinary role `app`, and of the roles that log in by md5 and in clear.
pub const APP_PASSWORD: &str = "scratch app";
/// Database owned by `app`.
pub const DATABASE: &str = "shop";

/// Settings of every scratch server: nothing in the background may consume ids, and a lost cluster is no loss.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
jit = off
shared_buffers = 64MB
max_connections = 300
max_prepared_transactions = 10
wal_level = logical
max_wal_senders = 4
timezone = 'UTC'
lc_messages = 'C'
log_line_prefix = '%m [%p] %u@%d '
logging_collector = off
";

/// Who may log in how. `trust` on the Unix socket is for the rig itself.
const HBA: &str = "
local all all trust
hostssl all cert_user 127.0.0.1/32 cert
host all md5_user 127.0.0.1/32 md5
host all clear_user 127.0.0.1/32 password
host replication postgres 127.0.0.1/32 scram-sha-256
hostssl tls_only all 127.0.0.1/32 scram-sha-256
host tls_only all 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
";

/// The rules without those for TLS when it is off: the server calls them errors then.
fn rules(tls: bool) -> String {
    HBA.lines().filter(|rule| tls || !rule.starts_with("hostssl")).flat_map(|rule| [rule, "\n"]).collect()
}

/// Ports tried before it is no longer chance.
const PORT_TRIES: usize = 5;

/// A running server; stopped and removed on drop.
#[derive(Debug)]
pub struct Postgres {
    daemon: Daemon,
    dir: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts a copy of the prepared cluster on a free port; with `certificates`, TLS is on (`server.crt`).
    pub fn start(certificates: Option<&Certificates>) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("firsthand-pg-").tempdir()?;
        give_away(dir.path())?;
        let data = dir.path().join("data");
        let source = prepared()?;
        run_as_server(Command::new("cp").arg("-a").arg(&source).arg(&data))?;
        let mut more = format!("unix_socket_directories = '{}'\n", dir.path().display());
        if let Some(certificates) = certificates {
            install_tls(certificates, &data)?;
            more.push_str("ssl = on\nssl_ca_file = 'ca.crt'\n");
        }
        fs::write(data.join("pg_hba.conf"), rules(certificates.is_some()))?;
        let mut command = Command::new(program("postgres")?);
        command.arg("-D").arg(&data).current_dir(dir.path());
        // A free port can be taken by another test before the server has it.
        for _ in 0..PORT_TRIES {
            let port = process::free_port()?;
            fs::write(data.join("postgresql.auto.conf"), format!("{SETTINGS}port = {port}\n{more}"))?;
            let mut daemon = Daemon::start("postgres", &command, Some("postgres"))?;
            match daemon.wait_line(|line| line.contains("database system is ready to accept connections")) {
                Err(e) if format!("{e:#}").contains("Address already in use") => {}
                ready => return ready.map(|_| Self { daemon, dir, port }),
            }
        }
        bail!("no free port in {PORT_TRIES} tries")
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        self.dir.path()
    }

    /// A direct way in as `user`, to `database`, by password.
    #[must_use]
    pub fn place(&self, user: &str, database: &str) -> Place {
        let password = if user == "postgres" { SUPERUSER_PASSWORD } else { APP_PASSWORD };
        Place {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: user.to_owned(),
            password: password.to_owned(),
            database: database.to_owned(),
            sslmode: "disable",
            root: None,
        }
    }

    /// Runs SQL as the superuser over the Unix socket; unaligned rows come back, fields parted by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = psql(self.socket_dir(), self.port, database)?;
        Ok(process::run(psql.args(["-c", sql]))?.trim_end().to_owned())
    }

    /// What it has written to its log.
    #[must_use]
    pub fn said(&self) -> String {
        self.daemon.said()
    }

    /// Stops it at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.signal(Signal::QUIT);
        self.daemon.wait().map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn psql(socket: &Path, port: u16, database: &str) -> Result<Command> {
    let mut command = Command::new(program("psql")?);
    command.args([
        "-X",
        "-q",
        "-A",
        "-t",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "postgres",
        "-p",
        &port.to_string(),
        "-h",
    ]);
    command.arg(socket).args(["-d", database]);
    Ok(command)
}

/// A program of the PostgreSQL installation: the newest under /usr/lib/postgresql, or the first in PATH.
pub fn program(name: &str) -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name)))
        })
        .filter(|(_, path)| path.exists())
        .collect();
    versions.sort();
    if let Some((_, path)) = versions.pop() {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists()).with_context(|| {
        format!("no {name} on this machine\nhint: apt-get install postgresql postgresql-contrib")
    })
}

/// The server's major version, such as 15.
pub fn major_version() -> Result<u32> {
    let said = process::run(Command::new(program("postgres")?).arg("--version"))?;
    let number =
        said.split_whitespace().nth(2).and_then(|v| v.split('.').next()).context("no version in it")?;
    number.parse().with_context(|| format!("cannot read the version in {said:?}"))
}

/// The folder of a cluster with roles and databases in it, made once per machine and version, then only copied.
fn prepared() -> Result<PathBuf> {
    let version = process::run(Command::new(program("postgres")?).arg("--version"))?;
    let key = fingerprint(&[&version, ROLES, HBA]);
    let root =
        std::env::temp_dir().join(format!("firsthand-pg-prepared-{}", rustix::process::geteuid().as_raw()));
    fs::create_dir_all(&root)?;
    give_away(&root)?;
    let lock = File::create(root.join(format!("{key}.lock")))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let ready = root.join(&key);
    if !ready.exists() {
        let making = root.join(format!("{key}.new"));
        if making.exists() {
            fs::remove_dir_all(&making)?;
        }
        prepare(&making)?;
        fs::rename(&making, &ready)?;
    }
    Ok(ready)
}

const ROLES: &str = "
CREATE ROLE app LOGIN CREATEDB PASSWORD 'scratch app';
CREATE ROLE app_reader;
GRANT app_reader TO app;
CREATE ROLE cert_user LOGIN;
CREATE ROLE clear_user LOGIN PASSWORD 'scratch app';
SET password_encryption = 'md5';
CREATE ROLE md5_user LOGIN PASSWORD 'scratch app';
RESET password_encryption;
CREATE DATABASE shop OWNER app;
CREATE DATABASE other OWNER app;
CREATE DATABASE tls_only OWNER app;
CHECKPOINT;
";

fn prepare(dir: &Path) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("firsthand-initdb-").tempdir()?;
    give_away(scratch.path())?;
    let pwfile = scratch.path().join("pw");
    fs::write(&pwfile, SUPERUSER_PASSWORD)?;
    give_away(&pwfile)?;
    let mut initdb = Command::new(program("initdb")?);
    initdb.args([
        "-U",
        "postgres",
        "-A",
        "scram-sha-256",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--pwfile",
    ]);
    initdb.arg(&pwfile).arg("-D").arg(dir).current_dir(scratch.path());
    run_as_server(&initdb)?;
    fs::write(dir.join("pg_hba.conf"), HBA)?;
    let port = process::free_port()?;
    let settings =
        format!("{SETTINGS}port = {port}\nunix_socket_directories = '{}'\n", scratch.path().display());
    fs::write(dir.join("postgresql.auto.conf"), settings)?;
    let mut command = Command::new(program("postgres")?);
    command.arg("-D").arg(dir).current_dir(scratch.path());
    let mut daemon = Daemon::start("postgres (preparing)", &command, Some("postgres"))?;
    daemon.wait_line(|line| line.contains("database system is ready to accept connections"))?;
    let sql_file = scratch.path().join("roles.sql");
    fs::write(&sql_file, ROLES)?;
    process::run(psql(scratch.path(), port, "postgres")?.arg("-f").arg(&sql_file))?;
    daemon.signal(Signal::INT);
    let status = daemon.wait()?;
    if !status.success() {
        bail!("the prepared cluster did not shut down cleanly: {status}");
    }
    Ok(())
}

fn install_tls(certificates: &Certificates, data: &Path) -> Result<()> {
    let files = [
        (certificates.crt("server"), "server.crt"),
        (certificates.key("server"), "server.key"),
        (certificates.crt("ca"), "ca.crt"),
    ];
    for (from, to) in files {
        let to = data.join(to);
        fs::copy(&from, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600))?;
        give_away(&to)?;
    }
    Ok(())
}

fn run_as_server(command: &Command) -> Result<String> {
    process::run_as(Some("postgres"), command)
}

/// Hands a file or folder to the user that PostgreSQL runs as, when we are root.
fn give_away(path: &Path) -> Result<()> {
    if !process::is_root() {
        return Ok(());
    }
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let mut chown = Command::new("chown");
    process::run(chown.arg("postgres:").arg(path))
        .context("the user `postgres` is needed to run a server as root\nhint: apt-get install postgresql")?;
    Ok(())
}

/// FNV-1a over the parts: only a name for a folder.
fn fingerprint(parts: &[&str]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in parts.iter().flat_map(|part| part.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
