//! Rules in TOML, compiled to Cedar: decisions, labels, mask plans, detection of values.

pub mod detect;
