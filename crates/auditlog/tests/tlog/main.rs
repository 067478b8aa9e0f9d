//! The transparency log against other implementations, published answers, and forgers.
//!
//! Oracles: `ct-merkle` and `tlog_tiles` for trees, proofs and checkpoints, `signed_note` for notes. Never `tlog_tiles`'
//! `TileHashReader`, which takes forged tiles for good ones.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on panics"
)]

mod equal;
mod forged;
mod published;
mod store;
