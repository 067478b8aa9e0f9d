//! What stands in for the outside of channels (`tests/clients/channels`): a receiver of webhooks, Slack's API, a mail server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::browser::encoded;
use crate::clients;
use crate::process::{self, Daemon};

/// What webhooks are signed with, in both directions.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// The bot's token at Slack.
pub const BOT: &str = "xoxb-stand-in-token";
/// What Slack signs with.
pub const SIGNING: &str = "8f742231b10e8888abcd99yyyzzz85a5";
/// The conversation that there is.
pub const CONVERSATION: &str = "C024BE91L";

/// All of it, running.
#[derive(Debug)]
pub struct Outside {
    _daemon: Daemon,
    /// Port of HTTP.
    pub http: u16,
    /// Port of the mail server: STARTTLS, and a login.
    pub mail: u16,
}

impl Outside {
    /// Starts it; `folder` has `server.crt` and `server.key`.
    pub fn start(folder: &Path) -> Result<Self> {
        clients::setup("channels")?;
        let mut command = Command::new(clients::installed().join("channels/bin/python"));
        command
            .arg(clients::folder().join("channels/stand-in.py"))
            .arg(folder)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let mut daemon = Daemon::start("outside", &command, None)?;
        let line = daemon.wait_line(|line| line.starts_with("stand-in on "))?;
        let mut ports =
            line.trim_start_matches("stand-in on ").split(' ').filter_map(|port| port.parse().ok());
        let (http, mail) = (ports.next().context("no port")?, ports.next().context("no port")?);
        Ok(Self { _daemon: daemon, http, mail })
    }

    /// What came since this was last asked.
    pub fn got(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_str(&self.control("got", &[])?)?)
    }

    /// What a path answers from now on; `times`: so often.
    pub fn answers(&self, path: &str, status: &str, more: &[(&str, &str)]) -> Result<()> {
        self.control("answer", &[&[("path", path), ("status", status)], more].concat()).map(drop)
    }

    /// The signature that the specification's library makes.
    pub fn signs(&self, id: &str, at: u64, body: &str) -> Result<String> {
        self.control("sign", &[("secret", SECRET), ("id", id), ("at", &at.to_string()), ("body", body)])
    }

    /// The signature that Slack makes.
    pub fn presses(&self, at: u64, body: &str) -> Result<String> {
        self.control("press", &[("secret", SIGNING), ("at", &at.to_string()), ("body", body)])
    }

    fn control(&self, what: &str, asked: &[(&str, &str)]) -> Result<String> {
        let asked: Vec<String> =
            asked.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
        stream.set_read_timeout(Some(process::PATIENCE))?;
        let request = format!("GET /control/{what}?{} HTTP/1.0\r\n\r\n", asked.join("&"));
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        ensure!(head.contains(" 200 "), "{what}: {head}");
        Ok(body.to_owned())
    }
}
