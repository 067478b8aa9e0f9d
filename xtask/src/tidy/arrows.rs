//! Which crate may see which: read from the manifests, against the table in `lists.rs`.

use super::{Finding, lists, source::Tree};
use toml::{Table, Value};

const KINDS: &[&str] = &["dependencies", "build-dependencies", "dev-dependencies"];
/// How the crates of this workspace are called in manifests.
const PREFIX: &str = "firsthand-";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(name) = file.path.strip_prefix("crates/").and_then(|p| p.strip_suffix("/Cargo.toml")) else {
            continue;
        };
        let Some((_, allowed)) = lists::ARROWS.iter().find(|(from, _)| *from == name) else {
            let what = format!(
                "crate `{name}` has no layer: add it to ARROWS in xtask/src/tidy/lists.rs (and an ADR)"
            );
            findings.push(Finding::new(&file.path, 1, what));
            continue;
        };
        let manifest = match file.text.parse::<Table>() {
            Ok(manifest) => manifest,
            Err(e) => {
                findings.push(Finding::new(&file.path, 1, format!("not TOML: {}", e.message())));
                continue;
            }
        };
        for dependency in dependencies(&manifest) {
            let line = line_of(&file.text, &dependency);
            if let Some(what) = breach(name, allowed, &dependency) {
                findings.push(Finding::new(&file.path, line, what));
            }
        }
    }
    findings
}

fn breach(name: &str, allowed: &[&str], dependency: &str) -> Option<String> {
    if let Some(to) = dependency.strip_prefix(PREFIX) {
        // A crate's tests may ask for its own features.
        return (to != name && !allowed.contains(&to)).then(|| {
            let may = if allowed.is_empty() { "nothing of the workspace".to_owned() } else { allowed.join(", ") };
            format!("`{name}` uses `{to}`, against the arrows (it may use {may}): put the shared part lower, or a port in session")
        });
    }
    if name == "model" {
        return Some(format!(
            "`model` uses `{dependency}`: nouns have no dependencies; do it in the crate that needs it"
        ));
    }
    (lists::WITHOUT_RUNTIME.contains(&name) && lists::RUNTIMES.contains(&dependency)).then(|| {
        format!("`{name}` uses `{dependency}`: it does no network IO; the IO shell is in protocols/drive or in adapters")
    })
}

/// Names of all dependencies, also those for one platform only.
fn dependencies(manifest: &Table) -> Vec<String> {
    let mut tables: Vec<&Table> = vec![manifest];
    if let Some(Value::Table(targets)) = manifest.get("target") {
        tables.extend(targets.values().filter_map(Value::as_table));
    }
    let of = |table: &Table| -> Vec<String> {
        KINDS
            .iter()
            .filter_map(|kind| table.get(*kind)?.as_table())
            .flat_map(|found| found.iter().map(|(name, value)| real_name(name, value)))
            .collect()
    };
    tables.into_iter().flat_map(of).collect()
}

/// A renamed dependency counts under its real name.
fn real_name(name: &str, value: &Value) -> String {
    value.get("package").and_then(Value::as_str).unwrap_or(name).to_owned()
}

fn line_of(text: &str, dependency: &str) -> usize {
    text.lines().position(|l| l.contains(dependency)).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_upward_is_found() {
        let bad =
            "[package]\n[dependencies]\nfirsthand-wire.workspace = true\nfirsthand-model.workspace = true\n";
        let found = check(&Tree::of(&[("crates/session/Cargo.toml", bad)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 3);
        assert!(found[0].what.contains("`session` uses `wire`"));
    }

    #[test]
    fn a_renamed_or_platform_dependency_is_seen() {
        let bad = "[target.'cfg(unix)'.dev-dependencies]\nlog = { package = \"firsthand-auditlog\", path = \"x\" }\n";
        assert_eq!(check(&Tree::of(&[("crates/sql/Cargo.toml", bad)])).len(), 1);
    }

    #[test]
    fn a_runtime_in_a_pure_crate_and_anything_in_model_are_found() {
        let tree = Tree::of(&[
            ("crates/wire/Cargo.toml", "[dependencies]\ntokio = \"1\"\n"),
            ("crates/model/Cargo.toml", "[dependencies]\nserde = \"1\"\n"),
            ("crates/new/Cargo.toml", "[package]\n"),
        ]);
        assert_eq!(check(&tree).len(), 3);
    }
}
