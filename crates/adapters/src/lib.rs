//! What stands behind the engine's ports: identity by token, credentials, the recorder over the log, the dialler, the
//! clock; and the plainest honest form of what comes later (policy, approvals).
//!
//! In scope: files, sockets, clocks, randomness. Out of scope: protocols, configuration syntax, the command line.

pub mod approvals;
pub mod channels;
pub mod clock;
pub mod containment;
pub mod credentials;
pub mod dialer;
pub mod identity;
pub mod ids;
pub mod own_ca;
pub mod policy;
pub mod record;
pub mod recorder;
pub mod state;
pub mod targets;
