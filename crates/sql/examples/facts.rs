//! What judging a statement costs, with a snapshot that has PostgreSQL's own objects missing: run it optimised.

use std::sync::Arc;
use std::time::Instant;

use firsthand_sql::catalog::{Builder, Catalog};
use firsthand_sql::judge::Judge;
use firsthand_sql::state::{SessionState, Start};

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() {
    let cached = std::env::args().nth(1).and_then(|path| std::fs::read(path).ok());
    let catalog = cached.and_then(|bytes| Builder::read(&bytes)).map_or_else(Catalog::empty, |b| b.finish());
    let state = SessionState::new(Start::default(), Arc::new(catalog));
    for text in [
        "SELECT abalance FROM pgbench_accounts WHERE aid = 17",
        "SELECT c.id, lower(c.email), count(*) FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.name LIKE 'a' GROUP BY 1, 2",
    ] {
        let judge = Judge::default();
        judge.judge(text.as_bytes(), &state);
        let begin = Instant::now();
        for _ in 0..100_000 {
            std::hint::black_box(judge.judge(text.as_bytes(), &state));
        }
        let hit = begin.elapsed() / 100_000;
        let begin = Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(Judge::default().judge(text.as_bytes(), &state));
        }
        println!("hit {hit:?}, miss with a new table {:?}: {text}", begin.elapsed() / 10_000);
    }
}
