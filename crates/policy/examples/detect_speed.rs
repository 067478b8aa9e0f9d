//! How many cells a second detection looks at on one core: `cargo run --release -p firsthand-policy --example detect_speed`.
#![expect(clippy::print_stdout, reason = "it prints a measurement")]

use std::time::Instant;

use firsthand_policy::detect::{Detector, TypeHint};

/// Short cells as tables have them: most hold nothing.
const ROWS: &[(&str, &str)] = &[
    ("id", "48213"),
    ("status", "shipped"),
    ("created_at", "2024-05-01 12:33:21.123+00"),
    ("amount", "1234.56"),
    ("qty", "3"),
    ("sku", "AB-12345"),
    ("note", "left at the door"),
    ("country", "DE"),
    ("is_active", "t"),
    ("uuid", "3f0c2a8e-8f7b-4a6d-9d2b-0a5e6c1f7b21"),
    ("c1", "Blue Widget 3000"),
    ("c2", "1700000000"),
    ("version", "10.4.2"),
    ("city", "New York"),
    ("etag", "9e107d9d372bb6826bd81d3542a419d6"),
    ("category", "outdoor"),
];
/// The same with what has to be found.
const FULL: &[(&str, &str)] = &[
    ("email", "anna.berg@example.com"),
    ("phone", "+49 30 901820"),
    ("full_name", "Anna Berg"),
    ("card", "4111 1111 1111 1111"),
];

/// The best of many short batches: what else runs on the machine disturbs some of them, not all.
fn measure(name: &str, rows: &[(&str, &str)]) {
    const BATCHES: usize = 200;
    const ROUNDS: usize = 50;
    let detector = Detector::new();
    let mut hits = Vec::new();
    let mut found = 0;
    let mut best = f64::MAX;
    for _ in 0..BATCHES {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            for (column, value) in rows {
                hits.clear();
                detector.scan(value, column, TypeHint::Text, &mut hits);
                found += hits.len();
            }
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    let cells = (ROUNDS * rows.len()) as f64;
    println!("{name}: {:.2} M cells/s, {:.0} ns each, {found} found", cells / best / 1e6, best / cells * 1e9);
}

fn main() {
    if std::env::args().any(|a| a == "--each") {
        for row in ROWS.iter().chain(FULL) {
            measure(row.1, &[*row]);
        }
        return;
    }
    measure("clean", ROWS);
    measure("full", FULL);
    let text = "The customer wrote on 2024-05-01 that order 48213 had not come, and that nobody answers. "
        .repeat(20);
    measure("text of 1.8 kB", &[("body", text.as_str())]);
}
