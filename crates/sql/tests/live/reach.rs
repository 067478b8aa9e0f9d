//! `corpus/reach.txt`: which changes can change every row.

use crate::evasions::{cases, facts};
use crate::server::with_fixture;

#[test]
fn a_condition_that_is_not_about_the_row_leaves_no_row_out() {
    let (_server, catalog) = with_fixture("reach");
    let mut wrong = Vec::new();
    for case in cases(include_str!("../corpus/reach.txt")) {
        let facts = facts(&catalog, &case);
        let opaque = facts.iter().find_map(|f| f.opaque.as_ref());
        if facts.iter().any(|f| f.unbounded) != (case.expect == "whole") || opaque.is_some() {
            wrong.push(format!("{} {} {opaque:?}", case.expect, case.sql));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
