//! Inclusion and consistency: that an entry is in a tree, and that a tree is the beginning of a larger one.
//!
//! Checked with nothing but the proof and the roots ([`verify_inclusion`], [`verify_consistency`]); made from any source of the
//! tree's complete subtrees ([`HashSource`]). What a verifier gets may be anyone's; a prover believes its source, so a source
//! that reads files checks them first ([`super::hashes`]).
//!
//! Specification: RFC 9162, sections 2.1.3 and 2.1.4 (RFC 6962, section 2.1, with the verifier spelled out).

use std::error::Error as StdError;

use thiserror::Error;

use super::MAX_SIZE;
use crate::tree::{Frontier, Hash, node_hash};

/// Most hashes in a proof.
pub const MAX_PROOF: usize = 64;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// There is no such entry.
    #[error("a tree of {size} entries has no entry {index}")]
    NoEntry {
        /// Asked for.
        index: u64,
        /// Entries.
        size: u64,
    },
    /// The older tree is the larger.
    #[error("a tree of {old} entries is not the beginning of one of {new}")]
    Shrunk {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
    /// More than [`MAX_SIZE`].
    #[error("a tree has at most {MAX_SIZE} entries")]
    Size,
    /// Too few or too many hashes.
    #[error("the proof is not of the length that these sizes need")]
    Length,
    /// The hashes lead elsewhere.
    #[error("the proof does not lead to the root")]
    Root,
    /// The hashes do not lead to the older root.
    #[error("the proof does not lead to the older root")]
    OldRoot,
}

/// Checks that the leaf of that hash is entry `index` of the tree of that size and root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if size > MAX_SIZE {
        return Err(ProofError::Size);
    }
    let mut last =
        size.checked_sub(1).filter(|last| index <= *last).ok_or(ProofError::NoEntry { index, size })?;
    let (mut at, mut hash) = (index, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // The last node of a row that has no partner is the same node in the rows above, until it has one.
            let lone = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = (up(at, lone), up(last, lone));
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// So many rows up; at the top there is nothing.
fn up(node: u64, rows: u32) -> u64 {
    node.checked_shr(rows).unwrap_or(0)
}

/// Checks that the tree of the old size and root is the beginning of the new one. Any tree begins with the empty one, and each
/// with itself: both by an empty proof.
pub fn verify_consistency(old: (u64, &Hash), new: (u64, &Hash), proof: &[Hash]) -> Result<(), ProofError> {
    let ((old_size, old_root), (new_size, new_root)) = (old, new);
    if new_size > MAX_SIZE {
        return Err(ProofError::Size);
    }
    if old_size > new_size {
        return Err(ProofError::Shrunk { old: old_size, new: new_size });
    }
    if old_size == 0 || old_size == new_size {
        let same = if old_size == 0 { *old_root == Frontier::new().root() } else { old_root == new_root };
        return match (proof, same) {
            ([], true) => Ok(()),
            ([], false) => Err(ProofError::OldRoot),
            _ => Err(ProofError::Length),
        };
    }
    // An old tree that is one complete subtree is itself a node of the new one: the proof leaves it out.
    let (start, rest) = if old_size.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length)?
    };
    let rows = (old_size - 1).trailing_ones();
    let (mut at, mut last) = (up(old_size - 1, rows), up(new_size - 1, rows));
    let (mut was, mut is) = (*start, *start);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if at & 1 == 1 || at == last {
            (was, is) = (node_hash(sibling, &was), node_hash(sibling, &is));
            let lone = if at & 1 == 1 { 0 } else { at.trailing_zeros() };
            (at, last) = (up(at, lone), up(last, lone));
        } else {
            is = node_hash(&is, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if is != *new_root {
        return Err(ProofError::Root);
    }
    if was == *old_root { Ok(()) } else { Err(ProofError::OldRoot) }
}

/// Where the hashes of complete subtrees come from.
pub trait HashSource {
    /// Why there is none.
    type Error: StdError + 'static;

    /// The hash over entries `index << level` to `(index + 1) << level`.
    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Why a proof was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProveError<E: StdError + 'static> {
    /// There is nothing to prove.
    #[error(transparent)]
    Asked(ProofError),
    /// The source failed.
    #[error(transparent)]
    Source(E),
}

/// The root of the first `size` entries.
pub fn root<S: HashSource>(source: &mut S, size: u64) -> Result<Hash, ProveError<S::Error>> {
    if size > MAX_SIZE {
        return Err(ProveError::Asked(ProofError::Size));
    }
    if size == 0 { Ok(Frontier::new().root()) } else { range(source, 0, size).map_err(ProveError::Source) }
}

/// The proof that [`verify_inclusion`] checks: from the leaf's sibling up.
pub fn prove_inclusion<S: HashSource>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if size > MAX_SIZE {
        return Err(ProveError::Asked(ProofError::Size));
    }
    if index >= size {
        return Err(ProveError::Asked(ProofError::NoEntry { index, size }));
    }
    let (mut from, mut to) = (0, size);
    let mut proof = Vec::new();
    while to - from > 1 {
        let middle = from + left_of(to - from);
        let aside = if index < middle { (middle, to) } else { (from, middle) };
        proof.push(range(source, aside.0, aside.1).map_err(ProveError::Source)?);
        if index < middle { to = middle } else { from = middle }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that [`verify_consistency`] checks.
pub fn prove_consistency<S: HashSource>(
    source: &mut S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    if new > MAX_SIZE {
        return Err(ProveError::Asked(ProofError::Size));
    }
    if old > new {
        return Err(ProveError::Asked(ProofError::Shrunk { old, new }));
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut from, mut to) = (0, new);
    let mut proof = Vec::new();
    while to != old {
        let middle = from + left_of(to - from);
        let aside = if old <= middle { (middle, to) } else { (from, middle) };
        proof.push(range(source, aside.0, aside.1).map_err(ProveError::Source)?);
        if old <= middle { to = middle } else { from = middle }
    }
    // The old tree's last part is known to the verifier only where it is the whole of the old tree.
    if from > 0 {
        proof.push(range(source, from, to).map_err(ProveError::Source)?);
    }
    proof.reverse();
    Ok(proof)
}

/// How many of `count` entries (two or more) hang on the left: the largest power of two that is less.
fn left_of(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The hash over a range whose beginning a node has: complete subtrees, the largest first, joined from the right.
fn range<S: HashSource>(source: &mut S, from: u64, to: u64) -> Result<Hash, S::Error> {
    let (mut from, mut parts) = (from, Vec::new());
    while let Some(level) = (to - from).checked_ilog2() {
        // A level is at most 63.
        parts.push(source.subtree(u8::try_from(level).unwrap_or(u8::MAX), from >> level)?);
        from += 1 << level;
    }
    let mut parts = parts.into_iter().rev();
    let last = parts.next().unwrap_or_else(|| Frontier::new().root());
    Ok(parts.fold(last, |right, left| node_hash(&left, &right)))
}
