//! Every numbered invariant of ARCHITECTURE.md names a test, and that test exists.

use super::{Finding, source::Tree};
use std::collections::BTreeSet;

const DOCUMENT: &str = "ARCHITECTURE.md";
/// The heading under which the numbered list stands.
const HEADING: &str = "## Invariants";
/// What the line that names the tests starts with.
const MARK: &str = "Tests:";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.files.iter().find(|f| f.path == DOCUMENT) else {
        return vec![Finding::new(DOCUMENT, 1, "is missing: it holds the invariants, each with its test")];
    };
    let tests: BTreeSet<&str> = tree
        .rust()
        .flat_map(|f| f.tokens.windows(2))
        .filter_map(|w| match w {
            [word, name] if word.text == "fn" && name.test => Some(name.text.as_str()),
            _ => None,
        })
        .collect();
    let items = numbered(&document.text);
    if items.is_empty() {
        return vec![Finding::new(DOCUMENT, 1, format!("has no numbered list under `{HEADING}`"))];
    }
    let mut findings = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if item.number != at + 1 {
            let what = format!("invariant {} stands where {} is due: numbers are fixed", item.number, at + 1);
            findings.push(Finding::new(DOCUMENT, item.line, what));
        }
        if item.tests.is_empty() {
            let what = format!(
                "invariant {} names no test (`{MARK} \\`name\\``): a rule without one is a wish",
                item.number
            );
            findings.push(Finding::new(DOCUMENT, item.line, what));
        }
        for name in item.tests.iter().filter(|name| !tests.contains(name.as_str())) {
            let what = format!("invariant {} names the test `{name}`, which does not exist", item.number);
            findings.push(Finding::new(DOCUMENT, item.line, what));
        }
    }
    findings
}

struct Item {
    number: usize,
    line: usize,
    tests: Vec<String>,
}

/// The list under the heading: `N. …`, with the lines that belong to it.
fn numbered(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let mut inside = false;
    let mut naming = false;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("## ") {
            inside = line.trim() == HEADING;
            continue;
        }
        if !inside {
            continue;
        }
        if let Some((number, _)) = line.split_once(". ")
            && let Ok(number) = number.parse()
        {
            items.push(Item { number, line: at + 1, tests: Vec::new() });
            naming = false;
        }
        let names = match line.split_once(MARK) {
            Some((_, names)) => names,
            None if naming => line,
            None => continue,
        };
        naming = true;
        if let Some(item) = items.last_mut() {
            item.tests.extend(names.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUST: (&str, &str) =
        ("a.rs", "#[cfg(test)]\nmod tests { #[test]\nfn it_holds() {} }\nfn not_a_test() {}");

    fn found(document: &str) -> Vec<String> {
        check(&Tree::of(&[RUST, (DOCUMENT, document)])).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn an_invariant_without_a_test_is_found() {
        assert!(found("## Invariants\n1. **A.** b\n   Tests: `it_holds`.\n").is_empty());
        let two = found(
            "## Invariants\n1. a\n   Tests: `it_holds`,\n   `gone`\n2. b `it_holds`\n\n## More\n3. c\n",
        );
        assert_eq!(two.len(), 2, "{two:?}");
        assert!(two[0].contains("`gone`") && two[1].contains("invariant 2 names no test"));
        assert_eq!(found("## Invariants\n1. a\n   Tests: `not_a_test`\n").len(), 1);
        assert_eq!(found("## Invariants\n2. a\n   Tests: `it_holds`\n").len(), 1);
        assert_eq!(found("nothing").len(), 1);
    }
}
