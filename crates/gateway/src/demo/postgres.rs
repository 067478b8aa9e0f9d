//! A scratch PostgreSQL: a new cluster on a free port, for as long as the demo runs.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use firsthand_adapters::identity::scram::new_secret;

use super::child::Child;
use super::folder::{cannot, make_folder, write_private};
use super::programs::{Owner, Programs};
use crate::failure::Failure;

/// The superuser, for setting up only: closed once the shop stands.
pub(super) const SUPERUSER: &str = "postgres";
/// What the server says (in the C locale) when it takes connections.
const READY: &str = "database system is ready to accept connections";
/// How often another port is tried when one was taken between our look and the server's start.
const PORT_TRIES: u32 = 3;

/// A lost scratch cluster is no loss, so nothing is synced. No Unix socket: the path of a temporary folder may be too long
/// for one, and nobody needs it.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 50
lc_messages = 'C'
logging_collector = off
log_destination = 'stderr'
";
/// One way in: TCP on this machine, with a password.
const HBA: &str = "host all all 127.0.0.1/32 scram-sha-256\n";

/// A running scratch server; stopped and removed on drop (fields are dropped in this order).
pub(super) struct Postgres {
    server: Child,
    _cluster: Cluster,
    port: u16,
    password: String,
}

/// The cluster's folder.
struct Cluster {
    folder: PathBuf,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Cluster {
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
}

impl Postgres {
    /// Makes a cluster in the new folder `folder`, and starts a server on it. Cancel safe: what was begun is ended.
    ///
    /// # Errors
    /// With the last words of the program that failed.
    pub(super) async fn start(programs: &Programs, folder: &Path) -> Result<Self, Failure> {
        let owner = Owner::of_server()?;
        make_folder(folder, owner)?;
        let cluster = Cluster { folder: folder.to_owned() };
        let password = random_password()?;
        make_cluster(programs, &cluster, owner, &password).await?;
        let mut last = None;
        for _ in 0..PORT_TRIES {
            let port = free_port().map_err(|e| cannot("find a free port on", Path::new("127.0.0.1"), &e))?;
            let server = start_server(programs, &cluster, owner, port)?;
            if server.ready().await {
                return Ok(Self { server, _cluster: cluster, port, password });
            }
            last = Some(server.said());
        }
        Err(failed("postgres", &last.unwrap_or_default()))
    }

    /// The TCP port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The superuser's password.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Waits until the server has ended by itself, and tells its last words. Cancel safe.
    pub(super) async fn died(&self) -> Failure {
        let _ = self.server.ended().await;
        failed("postgres", &self.server.said())
    }
}

/// 43 random characters that need no quoting anywhere.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn random_password() -> Result<String, Failure> {
    let secret = new_secret().map_err(|e| Failure::new(e.to_string(), "try again"))?;
    // Made like a token's secret; the prefix would say that it is one.
    Ok(secret.split_once('_').map_or("", |(_, random)| random).to_owned())
}

async fn make_cluster(
    programs: &Programs,
    cluster: &Cluster,
    owner: Option<Owner>,
    password: &str,
) -> Result<(), Failure> {
    let password_file = cluster.folder.join("password");
    write_private(&password_file, password, owner)?;
    let mut command = server_command(&programs.initdb(), cluster);
    command.args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
    command.arg("--pwfile").arg(&password_file);
    let initdb = Child::start(&command, owner, READY).map_err(|e| cannot("run", &programs.initdb(), &e))?;
    let status = initdb.ended().await;
    let _ = fs::remove_file(&password_file);
    if !status.success() {
        return Err(failed("initdb", &initdb.said()));
    }
    for (name, text) in [("postgresql.auto.conf", SETTINGS), ("pg_hba.conf", HBA)] {
        let path = cluster.data().join(name);
        // Written over, so that it stays the server's.
        fs::write(&path, text).map_err(|e| cannot("write", &path, &e))?;
    }
    Ok(())
}

fn start_server(
    programs: &Programs,
    cluster: &Cluster,
    owner: Option<Owner>,
    port: u16,
) -> Result<Child, Failure> {
    let mut command = server_command(&programs.postgres(), cluster);
    command.args(["-p", &port.to_string()]);
    Child::start(&command, owner, READY).map_err(|e| cannot("run", &programs.postgres(), &e))
}

/// A program of the server on the cluster, untouched by what the caller's environment says of other servers.
fn server_command(program: &Path, cluster: &Cluster) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").arg("-D").arg(cluster.data()).current_dir(&cluster.folder);
    command
}

/// A TCP port of this machine that was free a moment ago.
///
/// # Errors
/// When there is none.
pub(super) fn free_port() -> io::Result<u16> {
    // Below the ports that the system hands out to whoever connects (Linux: from 32768): one of those may be taken again
    // before it is used. Tried from a random one on, so that several who look at once do not meet.
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    let from = RandomState::new().hash_one(0) % u64::from(PORTS.end - PORTS.start);
    let from = PORTS.start + u16::try_from(from).unwrap_or_default();
    let mut ports = (from..PORTS.end).chain(PORTS.start..from);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(free).ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

fn failed(program: &str, said: &str) -> Failure {
    let mut failure = Failure::new(
        format!("{program} ended instead of running the scratch server"),
        "its last words stand above; a full disk, or a folder that others may not enter (TMPDIR), are the usual reasons",
    );
    failure.messages.extend(said.lines().map(str::to_owned));
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::folder::Scratch;

    #[tokio::test]
    async fn it_starts_takes_its_password_and_leaves_nothing() {
        let scratch = Scratch::make().unwrap();
        let folder = scratch.path().join("cluster");
        let server = Postgres::start(&Programs::find().unwrap(), &folder).await.unwrap();
        let port = server.port();
        let mut way = tokio_postgres::Config::new();
        way.host("127.0.0.1").port(port).user(SUPERUSER).password("wrong").dbname("postgres");
        assert!(way.connect(tokio_postgres::NoTls).await.is_err());
        let connected = way.password(server.password()).connect(tokio_postgres::NoTls).await;
        assert!(connected.is_ok());
        drop(server);
        assert!(!folder.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted() {
        let scratch = Scratch::make().unwrap();
        let failure = start_in_a_taken_folder(&scratch).await.unwrap_err();
        let said = failure.to_string();
        assert!(said.contains("initdb ended") && said.contains("not empty"), "{said}");
    }

    async fn start_in_a_taken_folder(scratch: &Scratch) -> Result<(), Failure> {
        let cluster = Cluster { folder: scratch.path().join("cluster") };
        let owner = Owner::of_server()?;
        make_folder(&cluster.folder, owner)?;
        make_folder(&cluster.data(), owner)?;
        write_private(&cluster.data().join("taken"), "", owner)?;
        make_cluster(&Programs::find()?, &cluster, owner, "x").await
    }

    #[test]
    fn passwords_differ_and_need_no_quoting() {
        let (one, two) = (random_password().unwrap(), random_password().unwrap());
        assert_ne!(one, two);
        assert!(one.len() == 43 && one.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)));
    }
}
