//! `cargo xtask tidy`: the project's own rules, checked on the sources. It runs as a test as well, so that
//! `cargo test` holds them. Each rule lives in one file; every exception stands in `lists.rs` with its reason.

mod arrows;
mod banned;
mod invariants;
mod lists;
mod names;
mod size;
mod source;

use anyhow::{Result, bail};
use source::Tree;
use std::{fmt, path::Path};

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Path from the root of the workspace.
    path: String,
    /// Line, from 1.
    line: usize,
    /// What is wrong, why it is a rule, what to do about it.
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Prints every breach and fails if there is one.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for finding in &findings {
        say(format_args!("{finding}"));
    }
    if !findings.is_empty() {
        bail!("tidy: {} breach(es) of the project's rules", findings.len());
    }
    say(format_args!("tidy: {} files, nothing to say", tree.files.len()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a chore's result is what it prints")]
fn say(text: fmt::Arguments<'_>) {
    println!("{text}");
}

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut stale = Vec::new();
    findings.extend(arrows::check(tree));
    findings.extend(size::check(tree, &mut stale));
    findings.extend(names::check(tree));
    findings.extend(banned::check(tree, &mut stale));
    findings.extend(invariants::check(tree));
    findings.extend(stale);
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_keeps_its_own_rules() {
        let tree = Tree::read(&crate::workspace_root()).unwrap();
        let findings = check(&tree);
        let text: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(findings.is_empty(), "\n{}\n", text.join("\n"));
    }
}
