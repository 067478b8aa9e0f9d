//! The tables of statements against a real PostgreSQL: what is told of each, and what the server really did.

mod evasions;
mod lineage;
mod server;
mod speed;
