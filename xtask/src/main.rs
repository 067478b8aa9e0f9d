//! Chores of the project, run as `cargo xtask NAME`: `tidy` (the project's own rules), `bench` (the budgets),
//! `docs` (documents against the code).

mod bench;
mod docs;
mod tidy;

use anyhow::{Result, bail};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: cargo xtask tidy | bench [--quick] [--only CELL,…] | docs [--check]";

#[expect(clippy::print_stderr, reason = "a chore says why it failed")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("tidy") => tidy::run(&workspace_root()),
        Some("bench") => bench::run(&workspace_root(), rest),
        // Started by `bench`, as the thing to compare with.
        Some("relay") => bench::relay::run(rest),
        Some("docs") => docs::run(&workspace_root(), rest),
        _ => bail!("{USAGE}"),
    }
}

/// The folder of the workspace, known from where this crate was compiled: chores work from any folder.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
