//! An issuer of tokens (`tests/clients/issuer`), which publishes its keys and signs what a test wants.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::clients;
use crate::process::{self, Daemon};

/// The audience that the tests' gateways ask for.
pub const AUDIENCE: &str = "firsthand-tests";

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    /// Held for its life only.
    _daemon: Daemon,
    /// What its tokens say in `iss`.
    pub url: String,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Issuer {
    /// Starts one, with keys `first-RS256`, `first-PS256`, `first-ES256` and `first-EdDSA`.
    pub fn start() -> Result<Self> {
        let mut command = Command::new("node");
        command.arg(clients::folder().join("issuer").join("issuer.js"));
        let mut daemon = Daemon::start("issuer", &command, None)?;
        let line = daemon.wait_line(|line| line.starts_with("issuer on "))?;
        let url = line.trim_start_matches("issuer on ").to_owned();
        Ok(Self { _daemon: daemon, url })
    }

    /// A token of `sub` for the tests' gateways that lasts ten minutes, with these claims besides (or instead).
    pub fn token(&self, kid: &str, sub: &str, more: Value) -> Result<String> {
        let mut claims = json!({ "sub": sub, "aud": AUDIENCE, "iat": now(), "exp": now() + 600 });
        for (name, value) in more.as_object().context("claims")? {
            claims[name] = value.clone();
        }
        self.control(&format!("mint?kid={kid}&claims={}", encoded(&claims.to_string())))
    }

    /// From now on a path answers this: `status`, `headers` and `body` (a text, in which `PAD` is `pad` times `A.`), or nothing at
    /// all (`hangs`).
    pub fn answers(&self, path: &str, answer: &Value) -> Result<()> {
        self.control(&format!("answer?path={path}&body={}", encoded(&answer.to_string()))).map(drop)
    }

    /// And this from the next time on.
    pub fn then_answers(&self, path: &str, answer: &Value) -> Result<()> {
        self.control(&format!("answer?more=yes&path={path}&body={}", encoded(&answer.to_string()))).map(drop)
    }

    /// The forms that came to such paths since this was last asked: `path`, `form`, `authorization`.
    pub fn asked(&self) -> Result<Vec<Value>> {
        Ok(serde_json::from_str(&self.control("asked")?)?)
    }

    /// Asks the issuer itself.
    pub fn control(&self, what: &str) -> Result<String> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(process::PATIENCE))?;
        let request = format!("GET /control/{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("{what}: {head}");
        }
        if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            return Ok(body.to_owned());
        }
        let chunks = body.split("\r\n").collect::<Vec<_>>();
        Ok(chunks.chunks(2).filter_map(|pair| pair.get(1)).copied().collect())
    }
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "%{byte:02X}");
        out
    })
}
