//! Rules in TOML, compiled to Cedar: decisions, labels, mask plans, detection of values.
//!
//! Read in this order: `rule.rs` (what a rule file says), `cedar.rs` (the one policy that each table becomes),
//! `schema.cedarschema` (what rules may speak of), `question.rs` and `judge.rs` (how a statement is judged), `masks.rs`
//! (what must not be shown), `rules.rs` (the port).

mod advice;
mod cache;
pub mod cases;
pub mod cedar;
pub mod compiled;
pub mod detect;
pub mod explain;
pub mod judge;
pub mod labels;
pub mod limits;
mod masks;
pub mod pattern;
mod priors;
mod question;
mod reach;
pub mod read;
pub mod rule;
pub mod rules;
mod terms;
pub mod window;
mod written_back;

/// The rules that Firsthand ships for agents.
pub const AGENTS: &str = include_str!("../../../policy/agents.toml");
