//! Single values.

use super::{Detector, Hit, TypeHint};

fn scan(value: &str, column: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    Detector::new().scan(value, column, TypeHint::Text, &mut hits);
    hits
}

#[test]
fn an_address_is_found() {
    let hits = scan("write to <anna@example.com>, please", "");
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert_eq!(hits.first().map(|h| (h.range.clone(), h.label)), Some((10..26, "email")));
}
