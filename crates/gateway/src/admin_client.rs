//! The command line's side of the admin socket: one request, one answer, HTTP/1.1 over `data/admin.sock`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firsthand_model::json::Json;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::admin::SOCKET;
use crate::api::{Answer, READING_BYTES_MAX};
use crate::evidence::Exporting;
use crate::failure::{Exit, Failure};
use crate::place::Asking;
use crate::remote::Asked;

/// How long the gateway may take to answer: longer than it waits for its own log.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// Longest answer: a list of all sessions.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Why there is nobody to talk to.
pub(crate) enum Unreachable {
    /// No gateway runs on the folder.
    NotRunning,
    /// One does, and does not let this user in.
    Denied,
}

/// A gateway that can be asked.
pub(crate) struct AdminClient {
    path: PathBuf,
}

impl AdminClient {
    /// Finds the gateway of a data folder.
    pub(crate) fn connect(data: &Path) -> Result<Self, Unreachable> {
        let path = data.join(SOCKET);
        match UnixStream::connect(&path) {
            Ok(_) => Ok(Self { path }),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Unreachable::Denied),
            // A socket without a listener is what a crash leaves.
            Err(_) => Err(Unreachable::NotRunning),
        }
    }

    /// Asks, and reads the answer.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<T, Failure> {
        let lost = |e: io::Error| {
            Failure::new(
                format!("the gateway did not answer on {}: {e}", self.path.display()),
                "look at the gateway's own messages",
            )
        };
        let (status, body) = self.exchange(method, path, &body.to_string()).map_err(lost)?;
        if status == 200 {
            return serde_json::from_str(&body).map_err(|e| lost(io::Error::other(e)));
        }
        let answer: Answer = serde_json::from_str(&body).map_err(|_| lost(io::Error::other(body.clone())))?;
        let exit = if status == 400 { Exit::Usage } else { Exit::No };
        Err(Failure { exit, ..Failure::new(answer.error, answer.hint) })
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.path)?;
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        stream.set_write_timeout(Some(ANSWER_WAIT_MAX))?;
        // In one write: a gateway that needs no body may answer and close before a second one, which would then fail.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: firsthand\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        status.zip(body).ok_or_else(|| io::Error::other("not an answer"))
    }

    /// Has a reading of the record recorded.
    pub(crate) fn note_reading(&self, command: &str, what: &Json) -> Result<(), Failure> {
        let what: Value = serde_json::from_slice(what.as_bytes()).unwrap_or(Value::Null);
        debug_assert!(what.to_string().len() <= READING_BYTES_MAX);
        self.ask("POST", "/v1/record/read", &json!({ "command": command, "what": what })).map(|_: Value| ())
    }

    /// Has an export of evidence recorded.
    pub(crate) fn note_export(&self, exporting: &Exporting) -> Result<(), Failure> {
        self.ask("POST", "/v1/record/exported", &json!(exporting)).map(|_: Value| ())
    }

    /// Has it recorded that a command asks a target.
    pub(crate) fn note_asking(&self, asking: &Asking) -> Result<(), Failure> {
        self.ask("POST", "/v1/targets/asked", &json!(asking)).map(|_: Value| ())
    }
}

impl Asked for AdminClient {
    fn asked(&self, method: &str, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(method, path, body)
    }
}
