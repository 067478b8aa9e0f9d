//! The real gateway binary as a child process, its configuration, its tokens and its command line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::place::Place;
use crate::process::{self, Daemon};
use crate::record::Record;

/// Characters of a token's secret after `fh_`: 32 bytes in base64url.
const SECRET_CHARS: usize = 43;

/// One `[[target]]` of the configuration.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, what clients give as database.
    pub name: String,
    /// Port of the server on 127.0.0.1.
    pub port: u16,
    /// Database there.
    pub database: String,
    /// Role that the gateway logs in as.
    pub user: String,
    /// Its password.
    pub password: String,
    /// `tls` towards it.
    pub tls: &'static str,
    /// Further keys of its credential, TOML with a comma before each.
    pub credential: String,
    /// Further lines of the table, TOML.
    pub more: String,
}

impl Target {
    /// A target that nobody answers for: for what needs a configuration and no database.
    #[must_use]
    pub fn nowhere(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            port: 1,
            database: name.to_owned(),
            user: "app".to_owned(),
            password: String::new(),
            tls: "disable",
            credential: String::new(),
            more: String::new(),
        }
    }

    /// A target for a direct place, of the same name as its database, so that clients see the same name on both ways.
    #[must_use]
    pub fn of(place: &Place) -> Self {
        Self {
            name: place.database.clone(),
            port: place.port,
            database: place.database.clone(),
            user: place.user.clone(),
            password: place.password.clone(),
            tls: "disable",
            credential: String::new(),
            more: String::new(),
        }
    }

    /// The same target under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// With another `tls` mode.
    #[must_use]
    pub fn tls(self, tls: &'static str) -> Self {
        Self { tls, ..self }
    }

    /// With further keys of its credential.
    #[must_use]
    pub fn credential(self, more: &str) -> Self {
        Self { credential: more.to_owned(), ..self }
    }

    /// With further TOML lines.
    #[must_use]
    pub fn more(self, more: &str) -> Self {
        Self { more: more.to_owned(), ..self }
    }
}

/// Ports tried before it is no longer chance.
const PORT_TRIES: usize = 5;

/// What the gateway is told.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Its targets.
    pub targets: Vec<Target>,
    /// Certificate and key of its listener.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Another place for the data folder (a small file system, say).
    pub data_dir: Option<PathBuf>,
    /// Further top-level TOML.
    pub more: String,
}

/// A running gateway with its folder.
#[derive(Debug)]
pub struct Gateway {
    daemon: Option<Daemon>,
    settings: Settings,
    folder: TempDir,
    port: u16,
    http: u16,
}

impl Gateway {
    /// Writes the configuration and starts `firsthand serve`; returns when it is ready.
    pub fn start(settings: Settings) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firsthand-gw-").tempdir()?;
        let mut gateway = Self { daemon: None, settings, folder, port: 0, http: 0 };
        // A free port can be taken by another test before the gateway has it.
        for _ in 0..PORT_TRIES {
            (gateway.port, gateway.http) = (process::free_port()?, process::free_port()?);
            gateway.write_config()?;
            match gateway.serve() {
                Err(e) if format!("{e:#}").contains("is taken by another listener") => {}
                served => return served.map(|()| gateway),
            }
        }
        bail!("no free port in {PORT_TRIES} tries")
    }

    /// Another gateway with the same settings and keys, and a log of its own: as those are that share a state. Its data folder lives as
    /// long as what is returned beside it.
    pub fn beside(&self) -> Result<(Self, TempDir)> {
        let folder = tempfile::Builder::new().prefix("firsthand-gw-").tempdir()?;
        let data = folder.path().join("data");
        std::fs::create_dir(&data)?;
        std::fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        process::run(Command::new("cp").arg("-a").arg(self.data_dir().join("keys")).arg(&data))?;
        let settings = Settings { data_dir: Some(data), ..self.settings.clone() };
        Ok((Self::start(settings)?, folder))
    }

    /// Starts it again, after it was stopped or killed.
    pub fn serve(&mut self) -> Result<()> {
        let mut command = Command::new(binary()?);
        command.arg("serve").arg("--config").arg(self.config()).current_dir(self.folder.path());
        for (number, target) in self.settings.targets.iter().enumerate() {
            command.env(password_variable(number), &target.password);
        }
        let mut daemon = Daemon::start("firsthand", &command, None)?;
        daemon.wait_line(says_ready)?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The process that serves; `None`: none does.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.daemon.as_ref().map(Daemon::pid)
    }

    /// The way in with a token.
    #[must_use]
    pub fn place(&self, name: &str, secret: &str, target: &str) -> Place {
        Place {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            user: name.to_owned(),
            password: secret.to_owned(),
            database: target.to_owned(),
            sslmode: "disable",
            root: None,
        }
    }

    /// Port of the HTTP listener.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http
    }

    /// Port of the PostgreSQL listener.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("firsthand.toml")
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.settings.data_dir.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// The process.
    pub fn daemon(&mut self) -> Result<&mut Daemon> {
        self.daemon.as_mut().context("the gateway is not running")
    }

    /// Changes the settings on disk (SIGHUP makes the gateway read them).
    pub fn rewrite(&mut self, change: impl FnOnce(&mut Settings)) -> Result<()> {
        change(&mut self.settings);
        self.write_config()
    }

    /// Ends it as a power cut would end the process.
    pub fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the gateway is not running")?;
        daemon.signal(Signal::KILL);
        daemon.wait().map(drop)
    }

    /// SIGTERM, and waits for a clean end.
    pub fn stop(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the gateway is not running")?;
        daemon.signal(Signal::TERM);
        let status = daemon.wait()?;
        if !status.success() {
            bail!("the gateway ended with {status}:\n{}", daemon.said());
        }
        Ok(())
    }

    /// Runs `firsthand ARGS --config …` and returns its stdout.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        process::run(&mut self.command(args)?)
    }

    /// `firsthand ARGS --config …`, ready to run.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.arg("--config").arg(self.config()).args(args).current_dir(self.folder.path());
        for (number, target) in self.settings.targets.iter().enumerate() {
            command.env(password_variable(number), &target.password);
        }
        Ok(command)
    }

    /// `firsthand ARGS --gateway …` with a token, ready to run: as from another machine, without the configuration.
    pub fn remote(&self, token: &str, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        // Behind the command that takes it: what follows may be arguments that look like options.
        let (first, rest) = args.split_first().context("no command")?;
        command.arg(first).arg("--gateway").arg(format!("http://127.0.0.1:{}", self.http)).args(rest);
        command.env("FIRSTHAND_TOKEN", token).current_dir("/");
        Ok(command)
    }

    /// Creates a token with these arguments, and returns it as NAME:SECRET.
    pub fn role_token(&self, name: &str, args: &[&str]) -> Result<String> {
        let printed = self.cli(&[&["token", "create", name], args].concat())?;
        let secret = secret_in(&printed).with_context(|| format!("no secret in:\n{printed}"))?;
        Ok(format!("{name}:{secret}"))
    }

    /// Creates a token for an agent acting for a person, and returns its secret.
    pub fn token(&self, name: &str, targets: &[&str]) -> Result<String> {
        let mut args = vec!["token", "create", name, "--kind", "agent", "--on-behalf-of", "ada@example.com"];
        for target in targets {
            args.extend(["--target", target]);
        }
        let printed = self.cli(&args)?;
        secret_in(&printed).with_context(|| format!("no secret in:\n{printed}"))
    }

    /// The record so far.
    pub fn record(&self) -> Result<Record> {
        Record::parse(&self.cli(&["log", "cat", "--json"])?)
    }

    /// Asks the HTTP listener for a path; returns the status and the body.
    pub fn http(&self, path: &str) -> Result<(u16, String)> {
        self.ask("GET", path, "", "")
    }

    /// Sends a request with these further headers (each with its line end) and this body; returns the status and the body.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<(u16, String)> {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        self.exchange(
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{headers}\r\n{body}")
                .as_bytes(),
        )
    }

    /// Sends these bytes to the HTTP listener and reads until it closes; returns the status and the body.
    pub fn exchange(&self, request: &[u8]) -> Result<(u16, String)> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.http))?;
        stream.set_read_timeout(Some(process::PATIENCE))?;
        // A gateway that has seen enough may answer and close before all is sent.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status line")?;
        Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
    }

    fn write_config(&self) -> Result<()> {
        std::fs::write(self.config(), config_text(&self.settings, &self.data_dir(), self.port, self.http)?)?;
        Ok(())
    }
}

/// The line of stderr after which every listener accepts.
fn says_ready(line: &str) -> bool {
    line.contains("listening") || line.contains("ready")
}

fn password_variable(number: usize) -> String {
    format!("FIRSTHAND_TEST_PASSWORD_{number}")
}

fn config_text(settings: &Settings, data: &Path, port: u16, http: u16) -> Result<String> {
    let mut text = format!("data_dir = {:?}\n{}\n[listen]\n", data.display().to_string(), settings.more);
    writeln!(text, "postgres = \"127.0.0.1:{port}\"\nhttp = \"127.0.0.1:{http}\"")?;
    if let Some((cert, key)) = &settings.tls {
        writeln!(
            text,
            "tls = {{ cert = {:?}, key = {:?} }}",
            cert.display().to_string(),
            key.display().to_string()
        )?;
    }
    for (number, target) in settings.targets.iter().enumerate() {
        let Target { name, port, database, user, tls, credential, more, .. } = target;
        let host = if *tls == "disable" { "127.0.0.1" } else { "localhost" };
        writeln!(text, "[[target]]\nname = {name:?}\nprotocol = \"postgres\"\naddress = \"{host}:{port}\"")?;
        writeln!(text, "database = {database:?}\ntls = {tls:?}")?;
        let variable = password_variable(number);
        writeln!(
            text,
            "credential = {{ user = {user:?}, password = {{ env = {variable:?} }}{credential} }}\n{more}"
        )?;
    }
    Ok(text)
}

fn secret_in(printed: &str) -> Option<String> {
    let start = printed.find("fh_")?;
    let secret: String = printed.get(start..)?.chars().take("fh_".len() + SECRET_CHARS).collect();
    (secret.len() == "fh_".len() + SECRET_CHARS).then_some(secret)
}

/// The gateway binary of this build: `FIRSTHAND_BIN`, or built now beside the running test (cargo does nothing when it is
/// fresh; without this a test would run the binary of an older build).
pub fn binary() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| find_or_build().map_err(|why| format!("{why:#}")))
        .clone()
        .map_err(|why| anyhow!(why))
}

fn find_or_build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FIRSTHAND_BIN") {
        return Ok(PathBuf::from(path));
    }
    let dir = process::binaries()?;
    let target = dir.parent().context("no target folder")?;
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "firsthand-gateway", "--bin", "firsthand", "--target-dir"]);
    build.arg(target).current_dir(process::workspace());
    if dir.ends_with("release") {
        build.arg("--release");
    }
    process::run(&mut build)?;
    Ok(dir.join("firsthand"))
}
