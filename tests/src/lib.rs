//! The rig of the end-to-end tests: real PostgreSQL servers, the real gateway binary and real clients.
//!
//! The shape of almost every test is the same and [`lab::Lab`] holds it: two PostgreSQL servers that are copies of one
//! another, one reached directly, the other through the gateway. A client script runs against both; what it saw must be
//! equal, and the record of the gateway must tell what it did.
//!
//! Out of scope: anything that a unit test inside a crate can show. Nothing here sleeps to wait; a missing server or
//! tool is a failure that names the command which installs it, never a skip.

pub mod browser;
pub mod certificates;
pub mod clients;
pub mod gateway;
pub mod issuer;
pub mod lab;
pub mod mcp;
pub mod outside;
pub mod place;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod raw;
pub mod record;
pub mod script;
pub mod witness;
