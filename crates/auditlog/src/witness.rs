//! The witness: an independent cosigner of logs. It signs a checkpoint only if it extends everything that it has signed of that log.
//!
//! # In scope
//!
//! What a log asks and a witness answers, as bytes ([`request`], [`answer`]); the decision, pure: the logs that are watched, what
//! was seen of one, a request in, a verdict out ([`watch`]); and the memory of what was cosigned, over [`crate::io::Io`], so that
//! tests can make every call of the disk fail ([`memory`]).
//!
//! # Out of scope
//!
//! HTTP, configuration, the process: the gateway's crate. Asking witnesses: there too. How much cosignatures are worth:
//! [`crate::tlog::policy`].
//!
//! # The files
//!
//! ```text
//! DIR/lock              flock of the process that cosigns
//! DIR/witness.key       its key (PRIVATE+KEY+…), 0600
//! DIR/trees/<sha256>    of each origin (its SHA-256 in hex): the newest checkpoint that was cosigned, with the cosignature
//! ```
//!
//! # What is promised
//!
//! - What was cosigned is durable before anybody can see the cosignature, and deciding and keeping are one step under a lock: no
//!   crash, failure of the disk or race of requests makes it cosign two histories of a log.
//! - A disk of which an fdatasync or rename has failed is not believed again by the same process.
//! - What strangers send is bounded: a request, the hashes in it, the trees of one log.
//!
//! Specification: <https://c2sp.org/tlog-witness>.

pub mod answer;
pub mod memory;
pub mod request;
#[cfg(test)]
mod trials;
pub mod watch;
