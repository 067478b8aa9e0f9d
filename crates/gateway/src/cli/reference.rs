//! Documentation that is made from the code: the keys of the configuration, the arguments of the commands.

use std::fmt::Write as _;

use crate::config::keys::{KEYS, PROTOCOL, SECTIONS};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reference {
    /// Every key of `firsthand.toml`.
    Config,
    /// Every command.
    Cli,
}

/// Markdown.
pub(crate) fn print(what: Reference) -> String {
    match what {
        Reference::Config => config(),
        Reference::Cli => cli(),
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

fn cli() -> String {
    let mut grammar = super::grammar();
    grammar.build();
    let mut out = String::new();
    command(&grammar, &mut out);
    out
}

fn command(command_: &clap::Command, out: &mut String) {
    let subcommands: Vec<_> = command_.get_subcommands().filter(|c| !c.is_hide_set()).collect();
    if subcommands.is_empty() {
        let name = command_.get_bin_name().unwrap_or_else(|| command_.get_name());
        let _ = write!(out, "### `{name}`\n\n");
        if let Some(about) = command_.get_about() {
            let _ = write!(out, "{about}.\n\n");
        }
        arguments(command_, out);
    }
    for sub in subcommands {
        command(sub, out);
    }
}

fn arguments(of: &clap::Command, out: &mut String) {
    let shown: Vec<_> = of
        .get_arguments()
        .filter(|a| !a.is_hide_set() && !a.is_global_set() && a.get_id() != "help")
        .collect();
    if shown.is_empty() {
        return;
    }
    for argument in shown {
        let name = match (argument.get_long(), argument.get_value_names()) {
            (Some(long), Some([value, ..])) if argument.get_action().takes_values() => {
                format!("--{long} {value}")
            }
            (Some(long), _) => format!("--{long}"),
            (None, _) => argument.get_id().as_str().to_uppercase(),
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "- `{name}`: {help}");
    }
    out.push('\n');
}
