//! The test bed: a scratch PostgreSQL and everything that is measured in front of it, on loopback, in a folder of its
//! own. All of it is stopped and removed when the bed is dropped.

use super::client::{Client, Login};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Password of the scratch server; nothing else ever listens there.
const PASSWORD: &str = "bench";
const ROLE: &str = "postgres";
/// Size of the pgbench tables: 1,000,000 accounts.
const SCALE: &str = "10";
/// Longest start of anything here.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Something that clients connect to, and the process whose CPU it costs.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) login: Login,
    /// None for the server itself.
    pub(super) pid: Option<u32>,
}

pub(super) struct Bed {
    pub(super) dir: PathBuf,
    pub(super) direct: Peer,
    /// Relay, HAProxy, pgbouncer: those that are installed.
    pub(super) peers: Vec<Peer>,
    /// Relays that wait for the disk, each with the cell it is for.
    pub(super) waiting: Vec<(&'static str, Peer)>,
    /// What could not be compared with, and how to get it.
    pub(super) missing: Vec<String>,
    programs: PathBuf,
    children: Vec<Child>,
}

impl Bed {
    /// Starts the server and the peers. `relay` is the release build of this program; `disk` a folder on the disk that a log
    /// would wait for.
    pub(super) fn start(dir: &Path, relay: &Path, disk: &Path) -> Result<Self> {
        let programs = postgresql_programs()?;
        fs::create_dir_all(dir)?;
        let login = |port| Login {
            host: "127.0.0.1".to_owned(),
            port,
            user: ROLE.to_owned(),
            password: PASSWORD.to_owned(),
            database: ROLE.to_owned(),
        };
        let direct = Peer { name: "direct", login: login(free_port()?), pid: None };
        let mut bed = Self {
            dir: dir.to_owned(),
            direct,
            peers: Vec::new(),
            waiting: Vec::new(),
            missing: Vec::new(),
            programs,
            children: Vec::new(),
        };
        bed.start_server()?;
        let upstream = format!("127.0.0.1:{}", bed.direct.login.port);
        let relaying = |port: u16| {
            let mut command = Command::new(relay);
            command.args(["relay", &format!("127.0.0.1:{port}"), &upstream]);
            command
        };
        let port = free_port()?;
        bed.add("relay", relaying(port), login(port))?;
        for (cell, when) in [("s1", "answers"), ("w1", "both")] {
            let port = free_port()?;
            let mut command = relaying(port);
            command.arg(disk.join(format!("relay.{when}"))).arg(when);
            bed.add("relay+disk", command, login(port))?;
            let peer = bed.peers.pop().context("the relay was just added")?;
            bed.waiting.push((cell, peer));
        }
        bed.start_haproxy(login(free_port()?))?;
        bed.start_pgbouncer(login(free_port()?))?;
        Ok(bed)
    }

    fn start_server(&mut self) -> Result<()> {
        let data = self.dir.join("postgresql");
        let password_file = self.dir.join("password");
        fs::write(&password_file, PASSWORD)?;
        give_away(&self.dir)?;
        give_away(&password_file)?;
        let mut initdb = Command::new(self.programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-A", "scram-sha-256", "-U", ROLE]);
        initdb.arg(format!("--pwfile={}", password_file.display())).stdout(Stdio::null());
        finish(unprivileged(initdb)?, "initdb")?;
        let settings = format!(
            "port={}\nlisten_addresses='127.0.0.1'\nunix_socket_directories='{}'\nshared_buffers=512MB\n\
             synchronous_commit=off\nfsync=off\nfull_page_writes=off\nmax_connections=1200\nautovacuum=off\n\
             max_wal_size=8GB\ncheckpoint_timeout=1h\n",
            self.direct.login.port,
            self.dir.display()
        );
        fs::write(data.join("postgresql.auto.conf"), settings)?;
        give_away(&data.join("postgresql.auto.conf"))?;
        let mut server = Command::new(self.programs.join("postgres"));
        server.arg("-D").arg(&data);
        let child = self.spawn(unprivileged(server)?, "postgresql")?;
        self.children.push(child);
        wait_until(|| Client::connect(&self.direct.login).is_ok(), "the scratch PostgreSQL")?;
        let mut fill = self.pgbench(&self.direct.login);
        fill.args(["-q", "-i", "-s", SCALE]).stdout(Stdio::null()).stderr(Stdio::null());
        finish(fill, "pgbench -i")?;
        let mut admin = Client::connect(&self.direct.login)?;
        for sql in [
            "create unlogged table bench_counter (id int primary key, n bigint)",
            "insert into bench_counter values (1, 0)",
            "create unlogged table bench_in (like pgbench_accounts)",
            "create table bench_ten as select * from pgbench_accounts limit 10000",
            "vacuum analyze",
        ] {
            admin.drain(sql).with_context(|| sql.to_owned())?;
        }
        Ok(())
    }

    fn start_haproxy(&mut self, login: Login) -> Result<()> {
        let Some(program) = find(&["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]) else {
            self.missing.push("HAProxy (apt-get install haproxy)".to_owned());
            return Ok(());
        };
        let config = self.dir.join("haproxy.cfg");
        let text = format!(
            "global\n  maxconn 5000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             frontend f\n  bind 127.0.0.1:{}\n  default_backend b\nbackend b\n  server s 127.0.0.1:{}\n",
            login.port, self.direct.login.port
        );
        fs::write(&config, text)?;
        let mut command = Command::new(program);
        command.arg("-db").arg("-f").arg(&config);
        self.add("haproxy", command, login)
    }

    fn start_pgbouncer(&mut self, login: Login) -> Result<()> {
        let Some(program) = find(&["/usr/sbin/pgbouncer", "/usr/local/bin/pgbouncer"]) else {
            self.missing.push("pgbouncer (apt-get install pgbouncer)".to_owned());
            return Ok(());
        };
        let (config, users) = (self.dir.join("pgbouncer.ini"), self.dir.join("pgbouncer.users"));
        fs::write(&users, format!("\"{ROLE}\" \"{PASSWORD}\"\n"))?;
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = session\n\
             max_client_conn = 3000\ndefault_pool_size = 1100\nlog_connections = 0\nlog_disconnections = 0\n\
             ignore_startup_parameters = extra_float_digits\nserver_idle_timeout = 5\n",
            self.direct.login.port,
            login.port,
            users.display()
        );
        fs::write(&config, text)?;
        give_away(&config)?;
        give_away(&users)?;
        let mut command = Command::new(program);
        command.arg("-q").arg(&config);
        self.add("pgbouncer", unprivileged(command)?, login)
    }

    fn add(&mut self, name: &'static str, command: Command, login: Login) -> Result<()> {
        let child = self.spawn(command, name)?;
        let pid = child.id();
        self.children.push(child);
        wait_until(|| Client::connect(&login).is_ok(), name)?;
        self.peers.push(Peer { name, login, pid: Some(pid) });
        Ok(())
    }

    /// Starts a program whose output goes to a file of the bed.
    pub(super) fn spawn(&self, mut command: Command, name: &str) -> Result<Child> {
        let output = fs::File::create(self.dir.join(format!("{name}.out")))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.spawn().with_context(|| format!("start {name}"))
    }

    /// `pgbench` against a login, ready for its arguments.
    pub(super) fn pgbench(&self, login: &Login) -> Command {
        let mut command = Command::new(self.programs.join("pgbench"));
        command.env("PGPASSWORD", &login.password).env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
        command.args(["-h", &login.host, "-p", &login.port.to_string(), "-U", &login.user]);
        // pgbench takes the database as its last argument or from the environment.
        command.env("PGDATABASE", &login.database).current_dir(&self.dir);
        command
    }

    /// The server's version.
    pub(super) fn version(&self) -> String {
        super::proc::said(&self.programs.join("postgres").to_string_lossy(), &["--version"])
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // Proxies first, so that the server's fast shutdown finds no clients.
        for child in self.children.iter_mut().rev() {
            stop(child);
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Asks a process to end (SIGINT is PostgreSQL's fast shutdown), then makes it.
pub(super) fn stop(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
    }
    if wait_until(|| !matches!(child.try_wait(), Ok(None)), "a process to end").is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Where PostgreSQL's programs are: the newest version installed.
fn postgresql_programs() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        let folder = entry.path().join("bin");
        let version = entry.file_name().to_string_lossy().parse();
        if let (Ok(version), true) =
            (version, folder.join("pgbench").exists() && folder.join("initdb").exists())
        {
            found.push((version, folder));
        }
    }
    if let Some((_, newest)) = found.into_iter().max() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).find(|p| p.join("pgbench").exists() && p.join("initdb").exists());
    on_path.context("PostgreSQL's initdb and pgbench are not installed\nhint: apt-get install postgresql")
}

fn find(places: &[&str]) -> Option<PathBuf> {
    places.iter().map(PathBuf::from).find(|p| p.exists())
}

/// PostgreSQL and pgbouncer refuse to run as root: there, they run as `postgres`.
fn unprivileged(mut command: Command) -> Result<Command> {
    if let Some((user, group)) = unprivileged_ids()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

fn unprivileged_ids() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let id = |flag| super::proc::said("id", &[flag, ROLE]).parse().context("there is no user `postgres`");
    Ok(Some((id("-u")?, id("-g")?)))
}

fn give_away(path: &Path) -> Result<()> {
    if let Some((user, group)) = unprivileged_ids()? {
        std::os::unix::fs::chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs a program to its end; a failure says which.
pub(super) fn finish(mut command: Command, what: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("run {what}"))?;
    if !status.success() {
        bail!("{what} failed: {status}");
    }
    Ok(())
}

/// Looks every few milliseconds until it is so.
pub(super) fn wait_until(mut so: impl FnMut() -> bool, what: &str) -> Result<()> {
    let began = Instant::now();
    while !so() {
        if began.elapsed() > START_PATIENCE {
            bail!("{what} did not come within {START_PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether something listens there.
pub(super) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
