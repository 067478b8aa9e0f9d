//! How long functions and files may be, and that each file says what it is.

use super::{
    Finding, lists,
    source::{File, Tree},
};

/// Lines of a function, from `fn` to its closing brace: what fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a file; the aim is 300.
const FILE_LINES_MAX: usize = 800;

pub(super) fn check(tree: &Tree, stale: &mut Vec<Finding>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = Vec::new();
    for file in tree.rust() {
        if let Some(why) = &file.broken {
            findings.push(Finding::new(&file.path, 1, format!("cannot be read as Rust: {why}")));
            continue;
        }
        if !file.text.starts_with("//! ") {
            let what = "has no `//!` line at its top: say in one sentence what this file is";
            findings.push(Finding::new(&file.path, 1, what));
        }
        findings.extend(long_functions(file, &mut used));
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            match lists::LONG_FILES.iter().find(|(path, _)| *path == file.path) {
                Some((path, _)) => used.push((*path).to_owned()),
                None => findings.push(Finding::new(
                    &file.path,
                    FILE_LINES_MAX + 1,
                    format!("{lines} lines, limit {FILE_LINES_MAX}: split it by what its parts do"),
                )),
            }
        }
    }
    let listed = lists::LONG_FILES.iter().map(|(path, _)| (*path).to_owned());
    let listed = listed.chain(lists::LONG_FUNCTIONS.iter().map(|(path, name, _)| format!("{path} {name}")));
    for entry in listed.filter(|entry| !used.contains(entry)) {
        let what = format!("exception `{entry}` is no longer needed: remove it");
        stale.push(Finding::new("xtask/src/tidy/lists.rs", 1, what));
    }
    findings
}

fn long_functions(file: &File, used: &mut Vec<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in file.functions() {
        let lines = function.last_line + 1 - function.line;
        if lines <= FUNCTION_LINES_MAX {
            continue;
        }
        let name = &function.name;
        if lists::LONG_FUNCTIONS.iter().any(|(path, f, _)| *path == file.path && f == name) {
            used.push(format!("{} {name}", file.path));
            continue;
        }
        let what =
            format!("fn {name} has {lines} lines, limit {FUNCTION_LINES_MAX}: name its parts and split it");
        findings.push(Finding::new(&file.path, function.line, what));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check(&Tree::of(&[(path, text)]), &mut Vec::new())
    }

    #[test]
    fn a_function_at_the_limit_passes_and_one_line_more_is_found() {
        let of = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        assert!(found("a.rs", &of(FUNCTION_LINES_MAX)).is_empty());
        let too_long = found("a.rs", &of(FUNCTION_LINES_MAX + 1));
        assert_eq!(too_long.len(), 1);
        assert_eq!(too_long[0].line, 2);
    }

    #[test]
    fn a_file_at_the_limit_passes_and_one_line_more_is_found() {
        let of = |lines: usize| format!("//! x\n{}", "// y\n".repeat(lines - 1));
        assert!(found("a.rs", &of(FILE_LINES_MAX)).is_empty());
        assert_eq!(found("a.rs", &of(FILE_LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_file_without_its_first_line_is_found_and_broken_rust_too() {
        assert_eq!(found("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(found("a.rs", "//! x\nfn f( {}\n").len(), 1);
    }
}
