//! Statements that are too much, and what must not be missed of a state or a catalog.

use firsthand_model::statement::Facts;
use firsthand_sql::catalog::VERSION_QUERY;
use firsthand_sql::explain::explain;
use std::sync::Arc;

use crate::evasions::{Case, facts, start};
use crate::server::with_fixture;

#[test]
fn stars_upon_stars_savepoints_without_end_and_comments_are_seen() {
    let (server, catalog) = with_fixture("bounds");
    // Far more columns than a result has.
    let inner = vec!["t.*"; 600].join(", ");
    let outer = vec!["a.*"; 1000].join(", ");
    let sql = format!("WITH a AS (SELECT {inner} FROM customers t) SELECT {outer} FROM a");
    let told = facts(&catalog, &Case { setup: Vec::new(), expect: "", sql: &sql });
    assert!(told.iter().all(|f| f.opaque.is_some()));
    // Each of them a result that could be, and together too much to follow.
    let inner = vec!["t.*"; 200].join(", ");
    let unions = vec![format!("SELECT {inner} FROM customers t"); 400].join(" UNION ALL ");
    let told = facts(&catalog, &Case { setup: Vec::new(), expect: "", sql: &unions });
    assert!(told.iter().all(|f| f.opaque.is_some()));
    // A savepoint that is too many to be kept hides one of its name.
    let mut setup = vec!["BEGIN".to_owned(), "SAVEPOINT a".to_owned(), "SET search_path = evil".to_owned()];
    setup.extend((0..2000).map(|at| format!("SAVEPOINT s{at}")));
    setup.extend(["SAVEPOINT a".to_owned(), "ROLLBACK TO a".to_owned()]);
    let explained = explain(&catalog, &start(), &setup, "SELECT id FROM customers");
    let told: Vec<&Arc<Facts>> = explained.iter().filter_map(|e| e.shape.facts.as_ref()).collect();
    assert!(told.iter().all(|f| f.opaque.is_some()), "{told:?}");
    // A comment on a table can carry a label.
    let version = || server.rows(VERSION_QUERY)[0][0].clone();
    let before = version();
    server.script("COMMENT ON TABLE customers IS '@pii:all'");
    assert_ne!(before, version());
}
