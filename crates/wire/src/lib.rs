//! Bytes to frames and back, one folder per protocol. Sans-IO; knows nothing of the rest of the workspace.
//!
//! Out of scope: sockets, time, sessions, what a statement does. Every decoder here takes bytes from a stranger: it is
//! bounded, it never panics, and it has a fuzz target.

pub mod json;
pub mod postgres;
