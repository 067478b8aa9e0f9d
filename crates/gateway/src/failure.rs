//! How a command of ours fails: what happened, one line of what to do, and the exit code.

use std::fmt;
use std::path::Path;

/// Exit codes (documented; scripts rely on them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Refused, failed, or not found.
    No = 1,
    /// Not understood: arguments or configuration.
    Usage = 2,
    /// What was verified does not hold.
    Unverified = 3,
}

/// A failure, told on stderr as `error: …` and one `hint: …` line.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What happened; one line each.
    pub(crate) messages: Vec<String>,
    /// What to do; one line.
    pub(crate) hint: String,
    /// Nothing is wrong with what was asked: the same may be done when the gateway can do it.
    pub(crate) later: bool,
    /// What to do is done on the gateway's machine.
    pub(crate) there: bool,
}

impl Failure {
    /// The hint is for whoever is on the gateway's machine.
    pub(crate) fn there(self) -> Self {
        Self { there: true, ..self }
    }

    /// As it is told to somebody who may be elsewhere.
    pub(crate) fn for_elsewhere(self) -> Self {
        if !self.there {
            return self;
        }
        Self { hint: format!("on the gateway's machine: {}", self.hint), there: false, ..self }
    }

    /// Something failed.
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::No, messages: vec![message.into()], hint: hint.into(), later: false, there: false }
    }

    /// It cannot be done now, whoever asks.
    pub(crate) fn later(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { later: true, ..Self::new(message, hint) }
    }

    /// What was asked was not understood.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::new(message, hint) }
    }
}

/// What to do about a secret file that others can reach, as one line.
pub(crate) fn only_for_its_owner(file: &Path) -> String {
    let file = file.display();
    format!("if nobody else used it, run `chmod 600 {file}`; else replace what is in it: it may be known")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "error: {}", message.trim_end())?;
        }
        write!(f, "hint: {}", self.hint.replace('\n', " "))
    }
}
