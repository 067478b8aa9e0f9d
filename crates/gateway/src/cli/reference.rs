//! Documentation that is made from the code: the keys of the configuration. What `--help` says is the rest of it.

use std::fmt::Write as _;

use crate::config::keys::{KEYS, PROTOCOL, SECTIONS};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reference {
    /// Every key of `firsthand.toml`.
    Config,
}

/// Markdown.
pub(crate) fn print(what: Reference) -> String {
    match what {
        Reference::Config => config(),
    }
}

fn config() -> String {
    let mut out = String::new();
    for (section, about) in SECTIONS {
        let _ = write!(
            out,
            "### {about}\n\n| key | what stands there | without it | means |\n|---|---|---|---|\n"
        );
        for key in KEYS.iter().filter(|k| k.section == *section) {
            let name = if key.name == PROTOCOL { "*protocol*".to_owned() } else { format!("`{}`", key.name) };
            let default = if key.default.is_empty() { "required" } else { key.default };
            let _ = writeln!(out, "| {name} | {} | {default} | {} |", key.form.words(), key.about);
        }
        out.push('\n');
    }
    out
}
