//! The tamper-evident log as a library: entries, segments, recovery, index, reader.
//!
//! # In scope
//!
//! One log in one data folder, written by one process at a time ([`lock`]): queue and group commit ([`writer`]), the
//! bytes on disk ([`frame`], [`segment`]), sealing and pseudonyms ([`keys`]), the Merkle tree's right edge ([`tree`]),
//! opening after a crash ([`recover`]), what an entry looks like ([`entry`]), and reading and searching it again. The
//! formats and proofs of a transparency log as pure functions ([`tlog`]), the signer of this one ([`sign`]), and the witness of any
//! ([`witness`]). Verification ([`verify`]), and bundles of evidence for those outside ([`bundle`]).
//!
//! # Out of scope
//!
//! Who may do what, and when something must be recorded: that is the engine's. When it is
//! time to sign, and whom to ask as a witness. Telling anybody: callers poll [`writer::Log::health`].
//!
//! # The files
//!
//! ```text
//! data/lock                        flock of the process that writes; holds its pid
//! data/keys/master.key             32 bytes; wraps the others
//! data/keys/id.key                 wrapped; makes pseudonyms of names
//! data/keys/<YYYY-MM>/<subject>.key   wrapped; seals a subject's payloads of a month
//! data/log/<epoch>-<first position>.seg   entries (12 and 16 digits)
//! data/log/<epoch>-<first position>.idx   what a search needs to skip a sealed segment
//! data/log/closed                  how far the log had come when it was last closed properly
//! data/signer, data/tlog           what signs it, and the signed tree ([`sign`])
//! ```
//!
//! All numbers are little-endian. A **segment** begins with a header of whole 4096-byte pages: `FHLOGSEG`, version u32
//! (1), header length u32, log id (16 bytes), epoch u64, first position u64, time u64 (µs since 1970 UTC), checksum seed
//! u32, counts of hashes and of open items u32 each; then the hashes of the tree's right edge (32 bytes each, the
//! largest subtree first), the open items (session 16 bytes, command u64 with all ones for the session itself, epoch
//! u64, position u64), zeros, and in the last 4 bytes CRC-32 (IEEE) of all before. Then come frames, then zeros up to
//! the reserved length; sealing cuts the zeros off.
//!
//! A **frame** is `len u32 | crc u32 | seq u64 | leaf_len u16 | group u16 | leaf | sealed payload`. `len` counts what
//! follows `seq`. `crc` is CRC-32 of `len`, `seq` and what follows, seeded with the previous frame's `crc` (in the first
//! frame of a segment: the header's seed; in the first of an epoch: CRC-32 of log id and epoch). `seq` is the position,
//! from 0 in each epoch, without holes. `group` is how many frames of the same write came before; a write starts only
//! after the one before it was synced.
//!
//! The **leaf** is one line of JSON; the tree (RFC 6962, SHA-256) hashes its exact bytes. The **payload** is JSON sealed
//! with AES-256-GCM: nonce = 4 zero bytes and the position (u64, big-endian), authenticated with
//! `firsthand/payload/v1\0`, log id and position (big-endian), tag appended. The leaf carries its commitment
//! SHA-256(`firsthand/payload/v1\0` ‖ salt ‖ payload), with salt = HMAC-SHA256(the session's salt key, position
//! big-endian). The session's data and salt keys are HKDF-SHA256 of its subject's key of the month (salt
//! `firsthand/session-keys/v1`, info: session id (16 bytes), then `data` or `salt`).
//!
//! # What is promised
//!
//! - An entry that was acknowledged survives anything that a synced disk survives; no entry is invented.
//! - A torn last write is cut; damage before it refuses to open ([`recover`]) until an operator declares a gap, which
//!   begins a new epoch.
//! - An fdatasync that failed is never repeated: the log stops until the process is restarted. Other errors suspend it
//!   (intents refused, outcomes kept) and are tried again.
//! - Memory is bounded: [`queue::QUEUE_BYTES`] queued, and one write of some MiB.

// The samples of the golden files serve tests in here, too, and they name this crate as others do.
#[cfg(test)]
extern crate self as firsthand_auditlog;

pub mod bundle;
pub mod codec;
mod direct;
pub mod durations;
pub mod entry;
pub mod frame;
mod gathering;
pub mod index;
pub mod io;
mod keeper;
pub mod keys;
pub mod lock;
pub mod names;
pub mod open_set;
pub mod queue;
pub mod reader;
pub mod recover;
pub mod search;
pub mod segment;
pub mod sign;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod step;
pub mod tlog;
pub mod tree;
#[cfg(test)]
mod trials;
pub mod verify;
pub mod walk;
pub mod witness;
pub mod writer;

pub use step::Step;
