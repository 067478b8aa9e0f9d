//! Receipts: that one entry is in the log, in a text file that proves it without the log (`.tlog-proof`).
//!
//! A line that says what it is, extra data if there is any, the entry's position, the hashes of its inclusion, an empty line, and
//! the checkpoint with its signatures. What the entry was is not in it: who checks a receipt brings the leaf.
//!
//! Specification: <https://c2sp.org/tlog-proof>.

use std::fmt::Write as _;
use std::str;

use thiserror::Error;

use super::MAX_SIZE;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::encoding::{decimal, from_base64, hash_from_base64, to_base64};
use super::note::{MAX_NOTE, Note, NoteError};
use super::policy::{JudgeError, Judged, Policy};
use super::proof::{MAX_PROOF, ProofError, verify_inclusion};
use crate::tree::Hash;

/// How the files' names end.
pub const EXTENSION: &str = "tlog-proof";
/// Most extra data, in bytes.
pub const MAX_EXTRA: usize = 64 * 1024;
/// Longest receipt, in bytes.
pub const MAX_RECEIPT: usize = MAX_NOTE + MAX_EXTRA.div_ceil(3) * 4 + MAX_PROOF * 45 + 128;
/// The first line.
const HEAD: &str = "c2sp.org/tlog-proof@v1";

/// Why bytes are no receipt, or prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Longer than [`MAX_RECEIPT`].
    #[error("a receipt has at most {MAX_RECEIPT} bytes")]
    TooLong,
    /// Not UTF-8, or without the empty line.
    #[error("a receipt is UTF-8 text: a head, an empty line, a checkpoint")]
    Form,
    /// The first line.
    #[error("a receipt begins with `{HEAD}`")]
    Head,
    /// The extra data.
    #[error("extra data is base64 of 1 to {MAX_EXTRA} bytes")]
    Extra,
    /// The position.
    #[error("`index` is followed by a decimal number below {MAX_SIZE}")]
    Index,
    /// A hash.
    #[error("hash {0} of the proof is not base64 of 32 bytes")]
    Hash(usize),
    /// More hashes than any tree needs.
    #[error("a proof has at most {MAX_PROOF} hashes")]
    TooMany,
    /// The checkpoint is no note.
    #[error("the checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is not accepted.
    #[error("the checkpoint: {0}")]
    Judge(#[from] JudgeError),
    /// The entry is not in its tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// A receipt. Nothing in it is to be believed before [`Receipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    extra: Option<Vec<u8>>,
    index: u64,
    proof: Vec<Hash>,
    checkpoint: Note,
}

impl Receipt {
    /// The receipt of entry `index`: its inclusion in the tree of a signed checkpoint.
    pub fn new(index: u64, proof: Vec<Hash>, checkpoint: Note) -> Result<Self, ReceiptError> {
        if index >= MAX_SIZE {
            return Err(ReceiptError::Index);
        }
        if proof.len() > MAX_PROOF {
            return Err(ReceiptError::TooMany);
        }
        Checkpoint::parse(checkpoint.text())?;
        Ok(Self { extra: None, index, proof, checkpoint })
    }

    /// With extra data, which no signature covers.
    pub fn with_extra(self, extra: Vec<u8>) -> Result<Self, ReceiptError> {
        if !(1..=MAX_EXTRA).contains(&extra.len()) {
            return Err(ReceiptError::Extra);
        }
        Ok(Self { extra: Some(extra), ..self })
    }

    /// Reads a receipt.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_RECEIPT {
            return Err(ReceiptError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| ReceiptError::Form)?;
        let (head, note) = text.split_once("\n\n").ok_or(ReceiptError::Form)?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEAD) {
            return Err(ReceiptError::Head);
        }
        let extra = lines.next_if(|line| line.starts_with("extra ")).map(read_extra).transpose()?;
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?));
        let index = index.ok_or(ReceiptError::Index)?;
        let mut proof = Vec::new();
        for (line, number) in lines.zip(1..) {
            if proof.len() == MAX_PROOF {
                return Err(ReceiptError::TooMany);
            }
            proof.push(hash_from_base64(line).ok_or(ReceiptError::Hash(number))?);
        }
        let receipt = Self::new(index, proof, Note::parse(note.as_bytes())?)?;
        Ok(Self { extra, ..receipt })
    }

    /// The receipt as [`Receipt::parse`] reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = format!("{HEAD}\n");
        // Writing to a String does not fail.
        if let Some(extra) = &self.extra {
            let _ = writeln!(out, "extra {}", to_base64(extra));
        }
        let _ = writeln!(out, "index {}", self.index);
        for hash in &self.proof {
            let _ = writeln!(out, "{}", to_base64(hash));
        }
        out.push('\n');
        out.push_str(&self.checkpoint.to_text());
        out
    }

    /// Position of the entry that it is of.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Data that came with it, by nobody in particular.
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The hashes from the leaf's sibling up.
    #[must_use]
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The checkpoint with its signatures.
    #[must_use]
    pub fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }

    /// Checks that the leaf of that hash ([`crate::tree::leaf_hash`]) is where the receipt says, in a log and under a quorum of
    /// the policy.
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<Judged, ReceiptError> {
        let judged = policy.accept(&self.checkpoint)?;
        let checkpoint = &judged.checkpoint;
        verify_inclusion(leaf, self.index, checkpoint.size(), &self.proof, checkpoint.root())?;
        Ok(judged)
    }
}

fn read_extra(line: &str) -> Result<Vec<u8>, ReceiptError> {
    let extra = line.strip_prefix("extra ").and_then(from_base64).ok_or(ReceiptError::Extra)?;
    if (1..=MAX_EXTRA).contains(&extra.len()) { Ok(extra) } else { Err(ReceiptError::Extra) }
}
