//! The Merkle tree over the entries (RFC 6962, section 2.1), computed as they are appended.
//!
//! Only the right edge is kept: one hash per complete subtree, at most 64. That is enough to go on appending and to
//! give the root at any moment.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// A SHA-256.
pub type Hash = [u8; 32];

/// Most hashes in a right edge: one per bit of the size.
pub const MAX_EDGE: usize = 64;

/// Hash of a leaf: SHA-256(0x00 ‖ bytes).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // In one buffer: three small updates cost more than the copy.
    let mut bytes = [1u8; 65];
    let (_, both) = bytes.split_at_mut(1);
    let (l, r) = both.split_at_mut(32);
    l.copy_from_slice(left);
    r.copy_from_slice(right);
    Sha256::digest(bytes).into()
}

/// A right edge whose number of hashes does not fit its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a tree of {size} entries has {wanted} hashes on its right edge, not {found}")]
pub struct EdgeError {
    /// Entries in the tree.
    pub size: u64,
    /// Hashes that this size needs.
    pub wanted: u32,
    /// Hashes given.
    pub found: usize,
}

/// The right edge of the tree (the "frontier"): what is needed to append and to name the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, the largest first.
    edge: Vec<Hash>,
}

impl Frontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 0, edge: Vec::with_capacity(MAX_EDGE) }
    }

    /// A tree of `size` entries with the right edge that [`Frontier::edge`] gave.
    pub fn from_parts(size: u64, edge: Vec<Hash>) -> Result<Self, EdgeError> {
        let wanted = size.count_ones();
        if usize::try_from(wanted) != Ok(edge.len()) {
            return Err(EdgeError { size, wanted, found: edge.len() });
        }
        Ok(Self { size, edge })
    }

    /// Number of entries.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes, the largest subtree first: one per bit set in the size.
    #[must_use]
    pub fn edge(&self) -> &[Hash] {
        &self.edge
    }

    /// Adds the hash of the next leaf; on average one more hash is computed.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.edge.push(hash);
        self.size += 1;
    }

    /// Adds a complete subtree of `1 << level` leaves at once. Its place must be one where such a subtree can begin: the size a
    /// multiple of its leaves.
    pub fn push_subtree(&mut self, level: u8, hash: Hash) {
        let level = u32::from(level);
        let aligned = level < u64::BITS && self.size.trailing_zeros().min(u64::BITS - 1) >= level;
        let Some(size) = self.size.checked_add(1u64.checked_shl(level).unwrap_or(0)).filter(|_| aligned)
        else {
            return;
        };
        let mut hash = hash;
        for _ in 0..(self.size >> level).trailing_ones() {
            if let Some(left) = self.edge.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.edge.push(hash);
        self.size = size;
    }

    /// The root; of the empty tree, SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut hashes = self.edge.iter().rev();
        match hashes.next() {
            None => Sha256::digest([]).into(),
            Some(last) => hashes.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word.
    fn definition(leaves: &[Vec<u8>]) -> Hash {
        match leaves.len() {
            0 => Sha256::digest([]).into(),
            1 => leaf_hash(&leaves[0]),
            n => {
                let k = n.next_power_of_two() / 2;
                node_hash(&definition(&leaves[..k]), &definition(&leaves[k..]))
            }
        }
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn every_size_to_300_agrees_with_the_definition() {
        let leaves: Vec<Vec<u8>> =
            (0..300u32).map(|i| vec![(i % 251) as u8; (i * 7 % 90) as usize]).collect();
        let mut tree = Frontier::new();
        for n in 0..=leaves.len() {
            assert_eq!(tree.root(), definition(&leaves[..n]), "size {n}");
            assert_eq!(tree.edge().len(), (n as u64).count_ones() as usize);
            let again = Frontier::from_parts(n as u64, tree.edge().to_vec()).unwrap();
            assert_eq!(again, tree);
            if let Some(leaf) = leaves.get(n) {
                tree.push(leaf_hash(leaf));
            }
        }
    }

    /// The eight leaves that Certificate Transparency's own tests use, and their published roots.
    #[test]
    fn known_answers_of_certificate_transparency() {
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Frontier::new();
        assert_eq!(hex(tree.root()), roots[0]);
        for (leaf, root) in leaves.iter().zip(&roots[1..]) {
            tree.push(leaf_hash(leaf));
            assert_eq!(hex(tree.root()), *root);
        }
    }

    #[test]
    fn an_edge_of_the_wrong_length_is_refused() {
        let err = Frontier::from_parts(7, vec![[0; 32]; 2]).unwrap_err();
        assert_eq!((err.wanted, err.found), (3, 2));
    }
}
