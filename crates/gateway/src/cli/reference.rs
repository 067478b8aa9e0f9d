//! Documentation that is made from the code: the keys of the configuration, the paths of the API. What `--help` says is the rest of it.

use std::fmt::Write as _;

use crate::api::{Needs, ROUTES};
use crate::config::keys::{self, PROTOCOL, SECTIONS};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Reference {
    /// Every key of `firsthand.toml`.
    Config,
    /// Every path of the API.
    Api,
    /// The API as an OpenAPI document.
    Openapi,
}

/// Markdown.
pub(crate) fn print(what: Reference) -> String {
    match what {
        Reference::Config => config(),
        Reference::Api => api(),
        Reference::Openapi => format!("{:#}", crate::api::openapi::document()),
    }
}

fn api() -> String {
    let mut out = String::from("| method and path | needs | what it does |\n|---|---|---|\n");
    for route in ROUTES {
        let needs = match route.needs {
            Needs::Local => "the admin socket".to_owned(),
            Needs::Shown => "the tokens in it".to_owned(),
            Needs::Signed => "the channel's signature".to_owned(),
            Needs::Nothing => "nothing".to_owned(),
            Needs::Any => "any token".to_owned(),
            Needs::Role(role) => role.word().to_owned(),
            Needs::OneOf(roles) => roles.iter().map(|role| role.word()).collect::<Vec<_>>().join(", "),
        };
        let _ = writeln!(out, "| `{} {}` | {needs} | {} |", route.method, route.path, route.about);
    }
    out
}

fn config() -> String {
    let mut out = String::new();
    for (section, about) in SECTIONS {
        let _ = write!(
            out,
            "### {about}\n\n| key | what stands there | without it | means |\n|---|---|---|---|\n"
        );
        for key in keys::all().filter(|k| k.section == *section) {
            let name = if key.name == PROTOCOL { "*protocol*".to_owned() } else { format!("`{}`", key.name) };
            let default = if key.default.is_empty() { "required" } else { key.default };
            let _ = writeln!(out, "| {name} | {} | {default} | {} |", key.form.words(), key.about);
        }
        out.push('\n');
    }
    out
}
