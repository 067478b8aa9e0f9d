//! Drivers (IO shells, one per family) and dialects (protocol logic, one folder per protocol).
//!
//! Read first: `dialect.rs` (what a protocol must say), then `drive/run.rs` (the loop over two sockets), `drive/stream.rs`
//! (accepting, TLS, limits) and `registry.rs` (the only list of protocols).

pub mod budget;
pub mod dialect;
pub mod drive;
pub mod estimates;
pub mod postgres;
pub mod previews;
pub mod protocol;
pub mod provisions;
pub mod registry;
