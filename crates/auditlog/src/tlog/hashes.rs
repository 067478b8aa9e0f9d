//! Hashes from stored tiles, none of which is believed before the root binds it.
//!
//! From the root down: the partial tiles together are the root, so they are read and checked first; every other tile is full, and
//! its 256 hashes must fold to the one that stands for it in the tile above, which was checked the same way. A tile that does not
//! is an error, whichever tile it is and whatever is asked of it. (Readers that check only the tiles below those the proof
//! begins with have let forged leaves pass, in two languages: CVE-2026-56865.)
//!
//! Specification: <https://c2sp.org/tlog-tiles>.

use std::collections::BTreeMap;
use std::error::Error as StdError;

use thiserror::Error;

use super::MAX_SIZE;
use super::builder::frontier;
use super::proof::HashSource;
use super::tile::{ContentError, HEIGHT, Layer, Tile, WIDTH, decode_hashes, edge_tiles, fold, hashes_at};
use crate::tree::Hash;

/// Full tiles kept in memory once checked, of 8 KiB each. A proof needs at most eight.
pub const MAX_KEPT: usize = 64;

/// Where tiles are read: files, or a server.
pub trait TileSource {
    /// Why there is none.
    type Error: StdError + 'static;

    /// The tile's bytes. A log may have dropped a partial tile once it had the full one ([`Tile::full`]): then the first
    /// `width` hashes of that. Anything may be given: it is checked.
    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

/// Why there is no hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TileError<E: StdError + 'static> {
    /// More than [`MAX_SIZE`].
    #[error("a tree has at most {MAX_SIZE} entries")]
    Size,
    /// The tree has no such subtree, or not yet all of it.
    #[error("a tree of {size} entries has no complete subtree {index} of level {level}")]
    Outside {
        /// Asked for.
        level: u8,
        /// Asked for.
        index: u64,
        /// Entries.
        size: u64,
    },
    /// It could not be read.
    #[error("{}: {error}", .tile.path())]
    Source {
        /// Which tile.
        tile: Tile,
        /// Why.
        #[source]
        error: E,
    },
    /// It is no tile.
    #[error("{}: {error}", .tile.path())]
    Content {
        /// Which tile.
        tile: Tile,
        /// Why.
        #[source]
        error: ContentError,
    },
    /// The partial tiles are not those of the root: one of them is forged or damaged, or the root is of another tree.
    #[error("the partial tiles of the {0} entries do not lead to the root")]
    Edge(u64),
    /// It is not what the root binds.
    #[error("{}: its hashes are not those that the tree has there", .0.path())]
    Forged(Tile),
}

/// The hashes of the tree of one size and root.
#[derive(Debug)]
pub struct TileHashes<S> {
    source: S,
    size: u64,
    /// The partial tile of each level; empty where there is none.
    edge: [Vec<Hash>; HEIGHT as usize],
    /// Full tiles that were checked, by level and index.
    kept: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<S: TileSource> TileHashes<S> {
    /// Reads the partial tiles and checks them against the root.
    pub fn new(source: S, size: u64, root: &Hash) -> Result<Self, TileError<S::Error>> {
        if size > MAX_SIZE {
            return Err(TileError::Size);
        }
        let edge = std::array::from_fn(|_| Vec::new());
        let mut hashes = Self { source, size, edge, kept: BTreeMap::new() };
        for tile in edge_tiles(size) {
            let read = hashes.read(tile)?;
            if let Some(slot) = hashes.edge.get_mut(usize::from(tile.layer().level())) {
                *slot = read;
            }
        }
        let found = frontier(size, hashes.edge.iter().rev().map(Vec::as_slice));
        match found {
            Some(tree) if tree.root() == *root => Ok(hashes),
            _ => Err(TileError::Edge(size)),
        }
    }

    /// Entries in the tree.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The source again.
    pub fn into_source(self) -> S {
        self.source
    }

    /// The hash of an entry's leaf: what an entry read elsewhere must hash to.
    pub fn leaf(&mut self, index: u64) -> Result<Hash, TileError<S::Error>> {
        self.subtree(0, index)
    }

    /// All leaf hashes beside one bundle, in order.
    pub fn bundle_leaves(&mut self, index: u64) -> Result<Vec<Hash>, TileError<S::Error>> {
        Ok(self.tile(0, index)?.to_vec())
    }

    fn read(&mut self, tile: Tile) -> Result<Vec<Hash>, TileError<S::Error>> {
        let bytes = self.source.read(tile).map_err(|error| TileError::Source { tile, error })?;
        decode_hashes(&bytes, tile.width()).map_err(|error| TileError::Content { tile, error })
    }

    /// A checked tile.
    fn tile(&mut self, level: u8, index: u64) -> Result<&[Hash], TileError<S::Error>> {
        let outside = TileError::Outside { level, index, size: self.size };
        let tile = Tile::of_tree(Layer::Hashes(level), index, self.size).ok_or(outside)?;
        if !tile.is_full() {
            return Ok(self.edge.get(usize::from(level)).map_or(&[][..], Vec::as_slice));
        }
        if !self.kept.contains_key(&(level, index)) {
            // What stands for it above is checked before it is read: this ends at the edge after at most eight levels.
            let wanted = self.at(level + 1, index)?;
            let hashes = self.read(tile)?;
            if fold(&hashes) != Some(wanted) {
                return Err(TileError::Forged(tile));
            }
            if self.kept.len() >= MAX_KEPT {
                self.kept.clear();
            }
            self.kept.insert((level, index), hashes);
        }
        Ok(self.kept.get(&(level, index)).map_or(&[][..], Vec::as_slice))
    }

    /// The hash at a place in a tile level.
    fn at(&mut self, level: u8, index: u64) -> Result<Hash, TileError<S::Error>> {
        let outside = TileError::Outside { level, index, size: self.size };
        let width = u64::from(WIDTH);
        let place = usize::try_from(index % width).unwrap_or(usize::MAX);
        self.tile(level, index / width)?.get(place).copied().ok_or(outside)
    }
}

impl<S: TileSource> HashSource for TileHashes<S> {
    type Error = TileError<S::Error>;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let outside = TileError::Outside { level, index, size: self.size };
        // Of the nearest tile level below, so many neighbours.
        let (below, up) = (level / HEIGHT, level % HEIGHT);
        let first = index.checked_shl(u32::from(up)).filter(|first| first >> up == index);
        let end = index.checked_add(1).and_then(|next| next.checked_mul(1 << up));
        let (Some(first), Some(end)) = (first, end) else { return Err(outside) };
        if end > hashes_at(below, self.size) {
            return Err(outside);
        }
        let width = u64::from(WIDTH);
        let start = usize::try_from(first % width).unwrap_or(usize::MAX);
        let tile = self.tile(below, first / width)?;
        let neighbours = tile.get(start..start.saturating_add(1 << up));
        neighbours.and_then(fold).ok_or(outside)
    }
}
