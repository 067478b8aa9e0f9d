//! Says what is being done: a line that turns on a terminal, plain lines in a pipe.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::Output;

/// How often the line turns.
const TURN: Duration = Duration::from_millis(80);

/// Where the demo says what it does.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    out: Output,
}

impl Progress {
    pub(super) fn new(out: Output) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TURN);
            bar
        });
        Self { bar, out }
    }

    /// Something begins that takes a moment.
    pub(super) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => self.out.talk(&format!("… {what}")),
        }
    }

    /// Something is done.
    pub(super) fn done(&self, what: &str) {
        self.line(&format!("✓ {what}"));
    }

    /// Something worth a line.
    pub(super) fn say(&self, what: &str) {
        self.line(&format!("  {what}"));
    }

    /// No more progress.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => self.out.talk(line),
        }
    }
}
