//! Nouns of the gateway: identity, target, command, decision, outcome, event.
//!
//! In scope: plain data and the restricted JSON text that the record is made of. Out of scope: IO, async, the clock,
//! randomness, serde: edges do those. Everything above depends on this crate; it depends on nothing.

pub mod amount;
pub mod command;
pub mod decision;
pub mod event;
pub mod grant;
pub mod id;
pub mod identity;
pub mod json;
pub mod limits;
pub mod masking;
pub mod outcome;
pub mod preview;
pub mod session;
pub mod statement;
pub mod target;
pub mod time;
