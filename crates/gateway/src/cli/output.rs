//! stdout is data, stderr is talk.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;
use crate::show::WIDTH;

/// Characters of a line that goes to a file or another program: enough for what people search for, and no megabyte of a
/// statement.
const WIDE: usize = 4096;

/// Where commands print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Characters that a line of data may have: those of the terminal, if it is wide.
    pub(crate) fn width(&self) -> usize {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return WIDE;
        }
        rustix::termios::tcgetwinsize(&stdout).map_or(WIDTH, |size| WIDTH.max(usize::from(size.ws_col)))
    }

    /// Data: the value as one line of JSON, or its text for people.
    pub(crate) fn show(&self, value: &Value, text: impl FnOnce() -> String) {
        if self.json { self.text(&value.to_string()) } else { self.text(&text()) }
    }

    /// Data, as it stands, with a line end.
    pub(crate) fn text(&self, text: &str) {
        // A reader that has gone away (`| head`) wants no more; there is nobody to tell.
        let _ = writeln!(io::stdout().lock(), "{}", text.trim_end_matches('\n'));
    }

    /// Talk.
    pub(crate) fn talk(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A failure, in words, or with `--json` as an object (on stderr too: stdout is data).
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            let value = serde_json::json!({ "errors": failure.messages, "hint": failure.hint });
            self.talk(&value.to_string());
        } else {
            self.talk(&failure.to_string());
        }
    }
}

/// Lays lines out in columns: each as wide as its widest cell, two spaces between.
pub(crate) fn columns(head: &[&str], lines: &[Vec<String>]) -> String {
    let width = |column: usize, name: &str| {
        let cells = lines.iter().filter_map(|l| l.get(column)).map(|c| c.chars().count());
        cells.max().unwrap_or(0).max(name.len())
    };
    let widths: Vec<usize> = head.iter().enumerate().map(|(i, name)| width(i, name)).collect();
    let line = |cells: &[String]| {
        let mut out = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let pad = width.saturating_sub(cell.chars().count()) + 2;
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', pad));
        }
        out.trim_end().to_owned()
    };
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let mut all = vec![line(&head)];
    all.extend(lines.iter().map(|l| line(l)));
    all.join("\n")
}
