//! `docs/policy.md` lists every key of a rule file, as the reader knows them, and its example is a rule file.

use std::collections::HashMap;
use std::fmt::Write as _;

use firsthand_policy::cases;
use firsthand_policy::compiled::{Compiled, RuleFile};
use firsthand_policy::read::keys::{CONDITIONS, Key, SECTIONS};
use firsthand_policy::rules::Rules;

const MARK: &str = "<!-- keys: made from crates/policy/src/read/keys.rs, tested against it -->\n";
const DOCUMENT: &str = include_str!("../../../docs/policy.md");

fn table(title: &str, keys: &[Key], out: &mut String) {
    let _ = write!(out, "\n### {title}\n\n| key | what stands there | means |\n|---|---|---|\n");
    for key in keys {
        let _ = writeln!(out, "| `{}` | {} | {} |", key.name, key.form.words(), key.about);
    }
}

fn keys() -> String {
    let mut out = String::new();
    table("Conditions, in `[[rule]]`, `[[mask]]`, `[[limit]]` and their `unless`", CONDITIONS, &mut out);
    for section in SECTIONS.iter().filter(|s| !s.keys.is_empty()) {
        let title = match section.name {
            "" => "Top of a file".to_owned(),
            "approve" | "defaults" => format!("`{}`", section.name),
            "sums" => "Sums, in `[[limit]]` and its `session` and `day`".to_owned(),
            name => format!("`[[{name}]]`"),
        };
        table(&title, section.keys, &mut out);
    }
    out
}

#[test]
fn the_document_lists_every_key() {
    let (_, listed) = DOCUMENT.split_once(MARK).unwrap();
    let want = keys();
    assert!(listed == want, "the end of docs/policy.md must be:\n{want}");
}

#[test]
fn the_example_of_the_document_works() {
    let (_, example) = DOCUMENT.split_once("## A rule file\n\n```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let file = RuleFile { name: "policy.md".to_owned(), text: example.to_owned() };
    let rules = Rules::new(Compiled::load(&[file], HashMap::new()).unwrap());
    let tried = cases::run(&rules, None);
    assert!(!tried.is_empty() && tried.iter().all(|t| t.wrong.is_empty()), "{tried:?}");
}
