//! What reading a statement costs: `cargo run --release -p firsthand-sql --example cost`.
#![expect(clippy::print_stdout, reason = "prints its measurements")]

use std::hint::black_box;
use std::time::Instant;

use firsthand_sql::{Analyzer, Settings, analyze, mask};

const TEXTS: [(&str, &str); 5] = [
    ("pgbench select", "SELECT abalance FROM pgbench_accounts WHERE aid = 482911;"),
    ("parameters", "SELECT \"id\", \"name\" FROM \"customers\" WHERE \"id\" = $1 LIMIT 10"),
    (
        "insert",
        "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (7, 1, 482911, -3522, CURRENT_TIMESTAMP);",
    ),
    ("begin", "BEGIN"),
    (
        "join",
        "SELECT c.id, c.name, sum(p.amount) FROM customers c JOIN orders o ON o.customer_id = c.id JOIN payments p ON \
         p.order_id = o.id WHERE c.country = 'DE' AND o.created > '2026-01-01' GROUP BY c.id, c.name ORDER BY 3 DESC LIMIT 20",
    ),
];

/// Nanoseconds per call, the best of five rounds.
fn cost(rounds: u32, mut call: impl FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let started = Instant::now();
        for _ in 0..rounds {
            call();
        }
        started.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
    };
    (0..5).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}

fn main() {
    let settings = Settings::default();
    for (name, text) in TEXTS {
        let analyzer = Analyzer::new();
        let bytes = text.as_bytes();
        let hit = cost(200_000, || {
            black_box(analyzer.analyze(black_box(bytes), settings));
        });
        let miss = cost(5_000, || {
            black_box(analyze(black_box(bytes), settings));
        });
        let masking = cost(200_000, || {
            black_box(mask(black_box(text)));
        });
        println!(
            "{name:16} {:4} B  hit {hit:6.0} ns  miss {miss:7.0} ns  nothing to mask {masking:5.0} ns",
            text.len()
        );
    }
    let secret = "ALTER ROLE reporting WITH LOGIN PASSWORD 'not a real one' VALID UNTIL '2030-01-01'";
    let masking = cost(50_000, || {
        black_box(mask(black_box(secret)));
    });
    println!("a password masked: {masking:.0} ns");
}
