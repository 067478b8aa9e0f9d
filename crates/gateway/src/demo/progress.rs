//! Says what is being done (stderr) and tells the story (stdout) without one running into the other.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::Output;

/// How often the line turns.
const TURN: Duration = Duration::from_millis(80);

/// Where the demo says what it does: a line that turns on a terminal, plain lines in a pipe.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    out: Output,
}

impl Progress {
    /// Starts with nothing to say.
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
            Some(bar) => bar.set_message(format!("{what} …")),
            None => self.out.talk(&format!("{what} …")),
        }
    }

    /// A part of the story, a blank line before it. With `--json` it is talk, because then the entries are the data.
    pub(super) fn tell(&self, text: &str) {
        let tell =
            || if self.out.is_json() { self.out.talk(text) } else { self.out.text(&format!("\n{text}")) };
        match &self.bar {
            Some(bar) => bar.suspend(tell),
            None => tell(),
        }
    }

    /// Data, whatever else is said.
    pub(super) fn data(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.text(text)),
            None => self.out.text(text),
        }
    }

    /// No more progress.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
