//! Trees to ask, and dice.

use std::collections::BTreeMap;
use std::convert::Infallible;

use firsthand_auditlog::tlog::builder::TileBuilder;
use firsthand_auditlog::tlog::hashes::TileSource;
use firsthand_auditlog::tlog::proof::HashSource;
use firsthand_auditlog::tlog::tile::{Tile, encode_hashes};
use firsthand_auditlog::tree::{Frontier, Hash, leaf_hash, node_hash};

/// Dice that fall the same way each time (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }
}

/// Bytes of an entry.
pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// The complete subtrees of a tree. Leaves repeat after `PERIOD` tiles, so that ten million of them cost no more than their upper
/// levels; a prime number of tiles, so that no two halves of anything larger are the same.
pub(crate) struct Store {
    levels: Vec<Vec<Hash>>,
}

const PERIOD: u64 = 61;

impl Store {
    /// At least `size` entries.
    pub(crate) fn new(size: u64) -> Self {
        let tiles = size.div_ceil(256);
        let mut levels: Vec<Vec<Hash>> =
            vec![(0..tiles.min(PERIOD) * 256).map(|i| leaf_hash(&entry(i))).collect()];
        while levels.len() < 9 || levels.last().unwrap().len() > 1 {
            let row = levels.last().unwrap();
            let mut above: Vec<Hash> = row.chunks_exact(2).map(|p| node_hash(&p[0], &p[1])).collect();
            if levels.len() == 8 {
                above = (0..tiles).map(|tile| above[(tile % PERIOD) as usize]).collect();
            }
            levels.push(above);
        }
        Self { levels }
    }

    /// Bytes of the entry there.
    pub(crate) fn entry(index: u64) -> Vec<u8> {
        entry(index % (PERIOD * 256))
    }

    pub(crate) fn get(&self, level: u8, index: u64) -> Hash {
        let index = if level < 8 { index % (PERIOD << (8 - level)) } else { index };
        self.levels[usize::from(level)][index as usize]
    }
}

impl HashSource for &Store {
    type Error = Infallible;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.get(level, index))
    }
}

impl tlog_tiles::HashReader for Store {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        let stored = |index: &u64| {
            let (level, n) = tlog_tiles::split_stored_hash_index(*index);
            tlog_tiles::Hash(self.get(level, n))
        };
        Ok(indexes.iter().map(stored).collect())
    }
}

/// Tiles as files: a log that was signed at every size up to its own.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) full: BTreeMap<Tile, Vec<u8>>,
    pub(crate) size: u64,
    /// Roots at the sizes.
    pub(crate) roots: Vec<Hash>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no such file")]
pub(crate) struct Missing;

impl Files {
    pub(crate) fn new(size: u64) -> Self {
        let (mut builder, mut tree) = (TileBuilder::new(), Frontier::new());
        let mut files = Self { full: BTreeMap::new(), size, roots: vec![tree.root()] };
        for n in 0..size {
            let leaf = leaf_hash(&entry(n));
            tree.push(leaf);
            for tile in builder.push(leaf).unwrap() {
                files.full.insert(tile.tile, encode_hashes(&tile.hashes));
            }
            files.roots.push(tree.root());
        }
        for tile in builder.partial_tiles() {
            files.full.insert(tile.tile, encode_hashes(&tile.hashes));
        }
        files
    }
}

impl TileSource for &Files {
    type Error = Missing;

    /// A narrower tile is the beginning of the widest there is.
    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, Missing> {
        let widest = Tile::of_tree(tile.layer(), tile.index(), self.size).ok_or(Missing)?;
        let bytes = self.full.get(&widest).ok_or(Missing)?;
        bytes.get(..usize::from(tile.width()) * 32).map(<[u8]>::to_vec).ok_or(Missing)
    }
}
