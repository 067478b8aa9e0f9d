//! The transparency log's formats and proofs, as pure functions: bytes in, bytes out.
//!
//! # In scope
//!
//! The C2SP family at <https://c2sp.org>, so that foreign tools read our log and ours read theirs: signed notes
//! ([`note`], [`key`]), checkpoints ([`checkpoint`]), cosignatures of witnesses ([`cosignature`]), tiles and entry bundles
//! ([`tile`], [`builder`]), inclusion and consistency of RFC 9162 ([`proof`], and from stored tiles [`hashes`]), the
//! auditor's trust root ([`policy`]), and the proof of one entry as a file ([`receipt`]).
//!
//! # Out of scope
//!
//! Files, sockets, clocks and dice: whoever calls brings the bytes, the time and the seed of a key. When a checkpoint may be
//! signed and what is fresh enough: the signer's, the witness's and the verifier's.
//!
//! # What is promised
//!
//! - Nothing that a stranger wrote makes it panic, and what it keeps of it is bounded by the `MAX_` constants.
//! - What was read is written again byte for byte: there is one spelling of everything.
//! - No hash of a tile is given out that the signed root does not bind ([`hashes`]).
//! - Ed25519 alone is spoken. Signatures of other kinds in a note are strangers' and are ignored; a policy that names such a
//!   key is refused, because it would ask for what cannot be checked here.

pub mod builder;
pub mod checkpoint;
pub mod cosignature;
pub(crate) mod encoding;
pub mod hashes;
pub mod key;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod tile;

/// Most entries that a tree is believed to have: what a signed 64-bit number holds, as in other implementations, so that
/// no position or size overflows.
pub const MAX_SIZE: u64 = i64::MAX as u64;
