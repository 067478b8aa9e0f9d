//! Detection against a labelled table of generated values, and against anything at all.
//!
//! `detect/cases.jsonl` holds made-up values only: `{"kind", "value", "column"?, "gold": [[start, end, what]], "struct"}`, offsets
//! in code points; `detect/lookalikes.jsonl` more cells, and more that only look like them. What is asserted are the gates that the product promises, with the table's own figures above them.

use firsthand_policy::detect::{Detector, Hit, TypeHint};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Case {
    kind: String,
    value: String,
    #[serde(default)]
    column: String,
    gold: Vec<(usize, usize, String)>,
    #[serde(rename = "struct")]
    structured: bool,
}

#[expect(clippy::expect_used, reason = "the table is this test's own")]
fn read(text: &str) -> Vec<Case> {
    text.lines().map(|l| serde_json::from_str(l).expect("a case")).collect()
}

fn cases() -> Vec<Case> {
    read(include_str!("detect/cases.jsonl"))
}

fn lookalikes() -> Vec<Case> {
    read(include_str!("detect/lookalikes.jsonl"))
}

fn scan(detector: &Detector, value: &str, column: &str, hint: TypeHint) -> Vec<Hit> {
    let mut hits = Vec::new();
    detector.scan(value, column, hint, &mut hits);
    hits
}

#[derive(Debug, Default)]
struct Tally {
    right: f64,
    wrong: f64,
    missed: f64,
    clean: f64,
}

impl Tally {
    fn count(&mut self, found: bool, gold: bool) {
        match (found, gold) {
            (true, true) => self.right += 1.0,
            (true, false) => self.wrong += 1.0,
            (false, true) => self.missed += 1.0,
            (false, false) => self.clean += 1.0,
        }
    }

    fn precision(&self) -> f64 {
        self.right / (self.right + self.wrong)
    }

    fn recall(&self) -> f64 {
        self.right / (self.right + self.missed)
    }

    fn f1(&self) -> f64 {
        2.0 * self.precision() * self.recall() / (self.precision() + self.recall())
    }

    fn false_alarms(&self) -> f64 {
        self.wrong / (self.wrong + self.clean)
    }
}

#[test]
fn cells_keep_the_gates() {
    keeps_the_gates(&cases());
}

#[test]
fn what_only_looks_alike_is_left_alone() {
    keeps_the_gates(&lookalikes());
}

fn keeps_the_gates(cases: &[Case]) {
    let detector = Detector::new();
    let (mut all, mut structured) = (Tally::default(), Tally::default());
    for case in cases.iter().filter(|c| c.kind == "cell") {
        let found = !scan(&detector, &case.value, &case.column, TypeHint::Text).is_empty();
        all.count(found, !case.gold.is_empty());
        if case.structured {
            structured.count(found, !case.gold.is_empty());
        }
    }
    assert!(all.precision() >= 0.97, "precision {} of {all:?}", all.precision());
    assert!(all.recall() >= 0.90, "recall {} of {all:?}", all.recall());
    assert!(all.false_alarms() <= 0.02, "false alarms {} of {all:?}", all.false_alarms());
    assert!(structured.f1() >= 0.97, "F1 of what its value decides {} of {structured:?}", structured.f1());
}

#[test]
fn texts_leak_little_and_keep_what_is_clean() {
    let detector = Detector::new();
    let (mut rows, mut leaking, mut clean, mut masked) = (0.0, 0.0, 0.0, 0.0);
    for case in cases().iter().filter(|c| c.kind != "cell") {
        let hits = scan(&detector, &case.value, &case.column, TypeHint::Text);
        let mut covered = Vec::new();
        let mut gold = Vec::new();
        for (point, (byte, _)) in case.value.char_indices().enumerate() {
            covered.push(hits.iter().any(|h| h.range.contains(&byte)));
            gold.push(case.gold.iter().any(|(from, to, _)| (*from..*to).contains(&point)));
        }
        let pairs = || covered.iter().zip(&gold);
        if !case.gold.is_empty() {
            rows += 1.0;
            leaking += f64::from(u8::from(pairs().any(|(c, g)| *g && !*c)));
        }
        clean += pairs().filter(|(_, g)| !**g).count() as f64;
        masked += pairs().filter(|(c, g)| **c && !**g).count() as f64;
    }
    assert!(leaking / rows <= 0.30, "{leaking} of {rows} rows leak");
    assert!(masked / clean <= 0.01, "{masked} of {clean} clean characters are masked");
}

/// Pieces of which values are made that come near to what is looked for.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[0-9 ()+./-]{0,24}",
        "[A-Z0-9]{2,34}",
        "[a-z.]{1,8}@[a-z.]{1,8}",
        "(\\{|\\}|\\[|\\]|\"|:|,|\\\\u[0-9a-fD-F]{4}|\\\\|[a-z]){0,20}",
        "(eyJ|AKIA|ghp_|-----BEGIN |\\$2b\\$|://|password=|Mr\\. |Dear ){1}[ -~]{0,40}",
        "[0-9a-f:.]{0,40}",
        "[٠-٩０-９\u{a0}\u{200b}–é]{0,12}",
    ]
}

proptest! {
    #[test]
    fn never_panics_and_spans_are_in_order(
        pieces in proptest::collection::vec(piece(), 0..6),
        column in prop_oneof![Just(String::new()), "[a-zA-Z_ ]{0,20}", Just("ssn".to_owned()), Just("phone".to_owned()), Just("name".to_owned()), Just("password".to_owned())],
    ) {
        thread_local! { static DETECTOR: Detector = Detector::new(); }
        let value = pieces.concat();
        let hits = DETECTOR.with(|d| scan(d, &value, &column, TypeHint::Text));
        let mut last = 0;
        for hit in &hits {
            prop_assert!(hit.range.start >= last && hit.range.start < hit.range.end, "{:?} in {:?}", hits, value);
            prop_assert!(value.get(hit.range.clone()).is_some(), "{:?} in {:?}", hits, value);
            prop_assert!(hit.score > 0.0 && hit.score <= 1.0);
            last = hit.range.end;
        }
    }
}

#[test]
fn deep_and_long_values_are_looked_through() {
    let detector = Detector::new();
    let deep = format!("{}\"a@example.com\"{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(scan(&detector, &deep, "", TypeHint::Json).len(), 1);
    let long = format!("{} a@example.com", "word 12, SG.SG.eyJ.".repeat(50_000));
    assert_eq!(scan(&detector, &long, "", TypeHint::Text).len(), 1);
}
