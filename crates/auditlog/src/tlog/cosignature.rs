//! Cosignatures: a witness says "of this log, this is the largest tree I have seen that extends all others, at this time".
//!
//! The signature is over `cosignature/v1`, `time T` and the checkpoint's whole text, each line ended; on the line stand the
//! time (8 bytes, big-endian, seconds since 1970) and 64 bytes of Ed25519. The message does not say who the witness is, so a key
//! must never be used under two names.
//!
//! Specification: <https://c2sp.org/tlog-cosignature> (version 1, Ed25519, kind 0x04).

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::{KeyKind, SIGNATURE_BYTES, SigningKey, VerifyingKey};
use super::note::{Note, NoteError, Signature};

/// Latest time that can be said.
pub const MAX_TIME: u64 = i64::MAX as u64;

/// Why a witness does not sign.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CosignError {
    /// A log's key.
    #[error("a key for notes does not cosign")]
    Kind,
    /// Later than [`MAX_TIME`].
    #[error("a cosignature's time is at most {MAX_TIME}")]
    Time,
    /// What should be cosigned is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The note has no room.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Makes the line that a witness answers with. That the checkpoint extends what it saw before is the caller's to know.
pub fn cosign(key: &SigningKey, checkpoint_text: &str, time: u64) -> Result<Signature, CosignError> {
    if key.verifying().kind() != KeyKind::Cosignature {
        return Err(CosignError::Kind);
    }
    if time > MAX_TIME {
        return Err(CosignError::Time);
    }
    Checkpoint::parse(checkpoint_text)?;
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(&key.sign(message(checkpoint_text, time).as_bytes()));
    Ok(Signature::of(key.verifying(), bytes))
}

/// Cosigns a note in place.
pub fn cosign_note(key: &SigningKey, note: &mut Note, time: u64) -> Result<(), CosignError> {
    let line = cosign(key, note.text(), time)?;
    Ok(note.add(line)?)
}

/// The time that a good cosignature of this key bears; nothing if it is not good.
#[must_use]
pub fn time_of(checkpoint_text: &str, signature: &Signature, key: &VerifyingKey) -> Option<u64> {
    if key.kind() != KeyKind::Cosignature || !signature.claims(key) {
        return None;
    }
    let (time, ed25519) = signature.bytes().split_first_chunk::<8>()?;
    let time = u64::from_be_bytes(*time);
    let whole = time <= MAX_TIME && ed25519.len() == SIGNATURE_BYTES;
    let good = whole
        && Checkpoint::parse(checkpoint_text).is_ok()
        && key.signed(message(checkpoint_text, time).as_bytes(), ed25519);
    good.then_some(time)
}

fn message(checkpoint_text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint_text}")
}
