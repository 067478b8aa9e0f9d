//! Odd inputs: nothing panics, deep and long texts are told as unparsed.

use std::sync::Arc;

use firsthand_sql::catalog::Catalog;
use firsthand_sql::explain::explain;

use crate::evasions::start;

#[test]
fn deep_and_long_texts_are_opaque_and_end() {
    let catalog = Arc::new(Catalog::empty());
    let deep = |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
    for text in [
        deep("(", ")", 10_000),
        deep("(SELECT ", ")", 3_000),
        deep("abs(", ")", 4_000),
        deep("-(", ")", 5_000),
        format!("SELECT {}1", "1+".repeat(20_000)),
        format!("SELECT '{}'", "x".repeat(10 << 20)),
        format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(5_000)),
    ] {
        let told = explain(&catalog, &start(), &[], &text);
        assert_eq!(told.len(), 1);
        assert!(told[0].shape.facts.as_ref().unwrap().opaque.is_some());
    }
}
