//! The tables of statements against a real PostgreSQL: what is told of each, and what the server really did.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says where"
)]

mod bounds;
mod defined;
mod evasions;
mod lineage;
mod reach;
mod server;
mod speed;
mod types;
mod unseen;
mod written;
