//! The one binary, `firsthand`.
fn main() {}
