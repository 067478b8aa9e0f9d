//! Chores of the project: tidy, bench, docs.
fn main() {}
