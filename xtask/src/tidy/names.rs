//! Where a protocol may be named, names that say nothing, and paths of somebody's machine.

use super::{
    Finding, lists,
    source::{File, Kind, Tree},
};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        findings.extend(machine_paths(file));
        if file.is_rust() {
            findings.extend(protocols(file));
            findings.extend(empty_names(file));
        }
    }
    findings
}

/// Identifiers and strings that name a protocol outside its places. Comments may name one as an example.
fn protocols(file: &File) -> Vec<Finding> {
    if lists::PROTOCOL_PLACES.iter().any(|(place, _)| is_in(&file.path, place)) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = Vec::new();
    for token in file.tokens.iter().filter(|t| !t.test && matches!(t.kind, Kind::Word | Kind::Literal)) {
        let Some(name) = words(&token.text).into_iter().find(|w| lists::PROTOCOL_NAMES.contains(&w.as_str()))
        else {
            continue;
        };
        let what = format!(
            "names the protocol `{name}`: only its own folders, the registry and the places in \
             xtask/src/tidy/lists.rs may, so that a new protocol touches nothing else"
        );
        if findings.last().is_none_or(|last| last.line != token.line) {
            findings.push(Finding::new(&file.path, token.line, what));
        }
    }
    findings
}

/// Words of `snake_case`, `CamelCase` and of a sentence, in lower case.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && after_lower) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
        after_lower = c.is_ascii_lowercase();
    }
    words
}

fn empty_names(file: &File) -> Option<Finding> {
    let named =
        file.path.trim_end_matches(".rs").split('/').find(|part| lists::EMPTY_NAMES.contains(part))?;
    let what = format!("`{named}` says nothing about what is in it: name the module after what it knows");
    Some(Finding::new(&file.path, 1, what))
}

/// Paths that exist on one developer's machine only.
fn machine_paths(file: &File) -> Vec<Finding> {
    // Put together here, so that this file does not find itself.
    let homes = ["work", "home", "Users", "root"].map(|home| format!("/{home}/"));
    let mut findings = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for home in &homes {
            if line.match_indices(home.as_str()).any(|(start, _)| starts_a_path(line, start)) {
                let what = format!("a path below {home} is of one machine: make it relative, or a setting");
                findings.push(Finding::new(&file.path, at + 1, what));
            }
        }
    }
    findings
}

/// Whether a path begins at `start`, instead of going on from the word before.
fn starts_a_path(line: &str, start: usize) -> bool {
    let before = line.get(..start).and_then(|l| l.chars().next_back());
    before.is_none_or(|c| !(c.is_alphanumeric() || "._-/~}{*:$>)".contains(c)))
}

pub(super) fn is_in(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && path.starts_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_protocol_named_outside_its_place_is_found() {
        assert_eq!(found("crates/session/src/a.rs", "fn f() { connect_postgres() }"), 1);
        assert_eq!(found("crates/model/src/a.rs", "struct MySql; struct PostgresTarget;"), 1);
        assert_eq!(found("crates/gateway/src/a.rs", "const X: &str = \"speak mysql here\";"), 1);
    }

    #[test]
    fn its_own_folder_comments_and_tests_may_name_it() {
        assert_eq!(found("crates/wire/src/postgres/a.rs", "struct PostgresFrame;"), 0);
        assert_eq!(found("crates/session/src/a.rs", "/// As postgres does.\nfn f() {} // postgres"), 0);
        assert_eq!(found("crates/session/src/a.rs", "#[test]\nfn postgres() {}"), 0);
        assert_eq!(found("crates/session/src/a.rs", "fn hash() { washed() }"), 0);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        assert_eq!(found("crates/session/src/util.rs", "//! x"), 1);
        assert_eq!(found("crates/session/src/common/a.rs", "//! x"), 1);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let home = ["", "home", "me", "x"].join("/");
        assert_eq!(found("scripts/a.sh", &format!("cd {home}\n")), 1);
        assert_eq!(found("docs/a.md", &format!("https://example.org{home}\n")), 0);
    }
}
