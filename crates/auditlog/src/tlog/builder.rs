//! Tiles made as leaves are appended.
//!
//! Only the partial tiles are kept, at most eight of them with 255 hashes each: 64 KiB. Each full tile is given out once, when
//! its last hash is there.
//!
//! Specification: <https://c2sp.org/tlog-tiles>.

use thiserror::Error;

use super::MAX_SIZE;
use super::tile::{HEIGHT, Layer, Tile, WIDTH, edge_tiles, fold, hashes_at, subtrees};
use crate::tree::{Frontier, Hash};

/// A tile with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTile {
    /// Which.
    pub tile: Tile,
    /// As many as it is wide.
    pub hashes: Vec<Hash>,
}

/// Why a tree cannot be gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// More than [`MAX_SIZE`].
    #[error("a tree has at most {MAX_SIZE} entries")]
    Full,
    /// Not the partial tiles of that size.
    #[error("of a tree of {size} entries, {} has {wanted} hashes, not {found}", path(.tile))]
    Edge {
        /// Entries in the tree.
        size: u64,
        /// Which tile.
        tile: Option<Tile>,
        /// Hashes that it has in such a tree.
        wanted: usize,
        /// Hashes given.
        found: usize,
    },
    /// The tiles are of another tree.
    #[error("the tiles are not those of the tree with this root")]
    Root,
}

fn path(tile: &Option<Tile>) -> String {
    tile.map_or_else(|| "a tile that it has not".to_owned(), |tile| tile.path())
}

/// A tree that grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileBuilder {
    size: u64,
    /// The partial tile of each level, lowest first.
    partial: [Vec<Hash>; HEIGHT as usize],
}

impl Default for TileBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl TileBuilder {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self { size: 0, partial: std::array::from_fn(|_| Vec::new()) }
    }

    /// The tree of that size and root, from its partial tiles ([`edge_tiles`]) in that order. The root binds every hash of them.
    pub fn resume(size: u64, root: &Hash, edge: Vec<Vec<Hash>>) -> Result<Self, BuildError> {
        if size > MAX_SIZE {
            return Err(BuildError::Full);
        }
        let mut builder = Self { size, ..Self::new() };
        let mut edge = edge.into_iter();
        for tile in edge_tiles(size) {
            let hashes = edge.next().unwrap_or_default();
            let (wanted, found) = (usize::from(tile.width()), hashes.len());
            if wanted != found {
                return Err(BuildError::Edge { size, tile: Some(tile), wanted, found });
            }
            if let Some(slot) = builder.partial.get_mut(usize::from(tile.layer().level())) {
                *slot = hashes;
            }
        }
        if let Some(more) = edge.next() {
            return Err(BuildError::Edge { size, tile: None, wanted: 0, found: more.len() });
        }
        if builder.root() == *root { Ok(builder) } else { Err(BuildError::Root) }
    }

    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of the next leaf. Gives the tiles that became full, lowest level first: mostly none.
    pub fn push(&mut self, leaf: Hash) -> Result<Vec<HashTile>, BuildError> {
        if self.size >= MAX_SIZE {
            return Err(BuildError::Full);
        }
        self.size += 1;
        let mut full = Vec::new();
        let mut carried = Some(leaf);
        for (level, hashes) in (0..HEIGHT).zip(&mut self.partial) {
            let Some(hash) = carried.take() else { break };
            hashes.push(hash);
            if hashes.len() < usize::from(WIDTH) {
                break;
            }
            let hashes = std::mem::take(hashes);
            carried = fold(&hashes);
            let index = (hashes_at(level, self.size) / u64::from(WIDTH)).saturating_sub(1);
            let tile = Tile::new(Layer::Hashes(level), index, WIDTH);
            full.extend(tile.map(|tile| HashTile { tile, hashes }));
        }
        Ok(full)
    }

    /// The partial tiles as they are now, lowest level first: written with each checkpoint.
    pub fn partial_tiles(&self) -> impl Iterator<Item = HashTile> + '_ {
        edge_tiles(self.size).filter_map(|tile| {
            let hashes = self.partial.get(usize::from(tile.layer().level()))?.clone();
            Some(HashTile { tile, hashes })
        })
    }

    /// The tree's right edge.
    #[must_use]
    pub fn frontier(&self) -> Frontier {
        frontier(self.size, self.partial.iter().rev().map(Vec::as_slice)).unwrap_or_default()
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier().root()
    }
}

/// The right edge that partial tiles amount to, the highest level first. Nothing if their widths are not those of the size.
pub(crate) fn frontier<'a>(size: u64, partial: impl Iterator<Item = &'a [Hash]>) -> Option<Frontier> {
    let edge: Vec<Hash> = partial.flat_map(subtrees).collect();
    Frontier::from_parts(size, edge).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::leaf_hash;

    #[test]
    fn the_root_is_the_frontiers_at_every_size() {
        let (mut builder, mut tree) = (TileBuilder::new(), Frontier::new());
        for n in 0..70_000u64 {
            if n < 3000 || n % 97 == 0 || n > 69_990 || (65_530..65_540).contains(&n) {
                assert_eq!(builder.frontier(), tree, "size {n}");
                let edge = builder.partial_tiles().map(|t| t.hashes).collect();
                assert_eq!(TileBuilder::resume(n, &tree.root(), edge).as_ref(), Ok(&builder), "size {n}");
            }
            let leaf = leaf_hash(&n.to_be_bytes());
            for full in builder.push(leaf).unwrap() {
                assert_eq!(full.hashes.len(), 256);
                assert_eq!(full.tile.index(), ((n + 1) >> (8 * full.tile.layer().level() + 8)) - 1);
            }
            tree.push(leaf);
        }
    }

    #[test]
    fn an_edge_of_another_tree_is_refused() {
        let mut builder = TileBuilder::new();
        for n in 0..1000u64 {
            builder.push(leaf_hash(&n.to_be_bytes())).unwrap();
        }
        let edge: Vec<Vec<Hash>> = builder.partial_tiles().map(|t| t.hashes).collect();
        let root = builder.root();
        assert_eq!(TileBuilder::resume(1000, &[1; 32], edge.clone()), Err(BuildError::Root));
        for level in 0..edge.len() {
            for at in 0..edge[level].len() {
                let mut forged = edge.clone();
                forged[level][at][31] ^= 1;
                assert_eq!(TileBuilder::resume(1000, &root, forged), Err(BuildError::Root), "{level} {at}");
            }
        }
        for wrong in [vec![], edge[..1].to_vec(), [edge.clone(), vec![vec![]]].concat()] {
            assert!(matches!(TileBuilder::resume(1000, &root, wrong), Err(BuildError::Edge { .. })));
        }
    }
}
