//! `cargo xtask docs [--check]`: documents that come from the code. `docs/cli.md` is what the binary says of itself, so
//! that it cannot say something else; `docs/config.md` ends with every key that the binary knows,
//! `docs/api.md` with every path that it answers, and `docs/openapi.json` is the same for programs.

use anyhow::{Context, Result, bail};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the generated part of a document starts; what stands before it is written by hand.
const GENERATED: &str = "<!-- From here on written by `cargo xtask docs`: change the code, not this. -->";
/// What programs read that use the API.
const OPENAPI: &str = "docs/openapi.json";
/// Deeper than any command.
const DEPTH_MAX: usize = 4;

/// Writes the generated parts, or with `--check` fails when one is out of date.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("usage: cargo xtask docs [--check]"),
    };
    let program = build(root)?;
    let mut commands = String::new();
    describe(&program, &mut Vec::new(), &mut commands)?;
    let keys = output(&program, &["docs", "config"])?;
    let mut stale = Vec::new();
    let paths = output(&program, &["docs", "api"])?;
    for (path, generated) in [("docs/cli.md", commands), ("docs/config.md", keys), ("docs/api.md", paths)] {
        let file = root.join(path);
        let old = fs::read_to_string(&file).with_context(|| format!("read {path}"))?;
        let (by_hand, _) =
            old.split_once(GENERATED).with_context(|| format!("{path} has no line `{GENERATED}`"))?;
        let new = format!("{by_hand}{GENERATED}\n\n{}\n", generated.trim());
        if new == old {
            continue;
        }
        stale.push(path);
        if !check {
            fs::write(&file, new)?;
        }
    }
    // All of this one is generated.
    let openapi = format!("{}\n", output(&program, &["docs", "openapi"])?.trim());
    let file = root.join(OPENAPI);
    if fs::read_to_string(&file).unwrap_or_default() != openapi {
        stale.push(OPENAPI);
        if !check {
            fs::write(&file, openapi)?;
        }
    }
    if check && !stale.is_empty() {
        bail!("out of date: {}\nhint: cargo xtask docs, and look at the change", stale.join(", "));
    }
    Ok(())
}

/// The program as the whole workspace builds it: by itself it would be built once more, with other features of what all members
/// share, and the heaviest crates with it.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["build", "--quiet", "--workspace"]);
    if !command.status().context("run cargo build")?.success() {
        bail!("the binary does not build");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("debug/firsthand"))
}

/// The help of a command and of all below it.
fn describe(program: &Path, words: &mut Vec<String>, into: &mut String) -> Result<()> {
    let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let help = output(program, &arguments)?;
    let name =
        std::iter::once("firsthand").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let _ = write!(into, "## {name}\n\n```text\n{}\n```\n\n", help.trim_end());
    if words.len() >= DEPTH_MAX {
        bail!("`{name}` is deeper than any command should be");
    }
    for command in commands(&help) {
        words.push(command);
        describe(program, words, into)?;
        words.pop();
    }
    Ok(())
}

/// The commands that a help text lists, `help` itself left out.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| line.trim() != "Commands:").skip(1);
    listed
        .take_while(|line| line.starts_with("  "))
        // A description that goes on in the next line is indented deeper.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_ascii_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn output(program: &Path, arguments: &[&str]) -> Result<String> {
    // Help is wrapped to the terminal's width: a fixed one keeps the document the same everywhere.
    let output =
        Command::new(program).args(arguments).env("COLUMNS", "100").output().context("run firsthand")?;
    if !output.status.success() {
        bail!("firsthand {} failed:\n{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    let lines: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim_end().to_owned()).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_help() {
        let help = "Usage: x\n\nCommands:\n  serve   The gateway\n          on one machine\n  log     Entries\n  help    Print this\n\nOptions:\n  -h, --help  x\n";
        assert_eq!(commands(help), ["serve", "log"]);
        assert!(commands("Usage: x\n\nOptions:\n  -h\n").is_empty());
    }
}
