//! `firsthand witness` as a child process: its configuration, its key, and what it answers.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::gateway::binary;
use crate::process::{self, Daemon};

/// A witness with its folder; it runs or not.
#[derive(Debug)]
pub struct Witness {
    /// The name of its key, and what the gateway calls it.
    pub name: String,
    daemon: Option<Daemon>,
    folder: TempDir,
    port: u16,
}

impl Witness {
    /// One that watches no log yet and does not run.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("firsthand-witness-").tempdir()?;
        let witness = Self { name: name.to_owned(), daemon: None, folder, port: process::free_port()? };
        witness.watch(&[])?;
        Ok(witness)
    }

    /// Writes its configuration: these logs, each with its keys.
    pub fn watch(&self, logs: &[(&str, &[String])]) -> Result<()> {
        let mut text = format!(
            "name = \"{}.example/w\"\nlisten = \"127.0.0.1:{}\"\ndata_dir = \"data\"\n",
            self.name, self.port
        );
        for (origin, vkeys) in logs {
            writeln!(text, "[[log]]\norigin = {origin:?}\nvkeys = {vkeys:?}")?;
        }
        Ok(std::fs::write(self.folder.path().join("witness.toml"), text)?)
    }

    /// `firsthand witness ARGS`, ready to run.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.arg("witness").arg("--config").arg(self.folder.path().join("witness.toml")).args(args);
        Ok(command)
    }

    /// Its verifier key, made where there is none.
    pub fn vkey(&self) -> Result<String> {
        Ok(process::run(&mut self.command(&["--show-key"])?)?.trim().to_owned())
    }

    /// Starts it, also after it was killed; returns when it answers.
    pub fn start(&mut self) -> Result<()> {
        let mut daemon = Daemon::start("witness", &self.command(&[])?, None)?;
        daemon.wait_line(|line| line.contains("ready:"))?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Ends it as a power cut would end the process.
    pub fn kill(&mut self) -> Result<()> {
        let mut daemon = self.daemon.take().context("the witness does not run")?;
        daemon.signal(Signal::KILL);
        daemon.wait().map(drop)
    }

    /// SIGTERM; whether it ended well.
    pub fn stop(&mut self) -> Result<bool> {
        let mut daemon = self.daemon.take().context("the witness does not run")?;
        daemon.signal(Signal::TERM);
        Ok(daemon.wait()?.success())
    }

    /// Where checkpoints are sent.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request; status, head and body.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, String, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(process::PATIENCE))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // One that is too large may be answered before all of it is sent.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        Ok((status, head.to_lowercase(), body.to_owned()))
    }
}
