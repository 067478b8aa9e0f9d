//! Tiles: 256 neighbouring hashes of one level of the tree in a file, and bundles: the entries that they were made from.
//!
//! A tile of level L holds hashes of 256^L entries each; a full tile is one hash of the level above. The last tile of a level
//! may be partial, and a partial tile is hashed into nothing above it. Which widths the tiles have follows from the tree's size
//! alone, so a reader never asks a stranger how wide a tile is.
//!
//! Specification: <https://c2sp.org/tlog-tiles>.

use std::fmt::Write as _;

use thiserror::Error;

use super::MAX_SIZE;
use super::encoding::decimal;
use crate::tree::{Hash, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u16 = 256;
/// Levels of the tree in one tile.
pub const HEIGHT: u8 = 8;
/// Highest level that a path can name.
pub const MAX_LEVEL: u8 = 63;
/// Longest entry in a bundle, in bytes.
pub const MAX_ENTRY: usize = 65_535;
/// Longest bundle, in bytes.
pub const MAX_BUNDLE: usize = WIDTH as usize * (MAX_ENTRY + 2);
/// Longest path that is looked at; the longest there is has 48 characters.
pub const MAX_PATH: usize = 64;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Hashes of that level.
    Hashes(u8),
    /// Entries.
    Entries,
}

impl Layer {
    /// The level; entries lie beside the hashes of level 0.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Hashes(level) => level,
            Self::Entries => 0,
        }
    }
}

/// Why a path names no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not `tile/LEVEL/INDEX` or `tile/entries/INDEX`, with `.p/WIDTH` if it is partial")]
pub struct PathError;

/// One tile or bundle, full or partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    layer: Layer,
    index: u64,
    width: u16,
}

impl Tile {
    /// A tile; nothing if no path could name it.
    #[must_use]
    pub fn new(layer: Layer, index: u64, width: u16) -> Option<Self> {
        let there = layer.level() <= MAX_LEVEL && (1..=WIDTH).contains(&width);
        there.then_some(Self { layer, index, width })
    }

    /// The tile as a tree of `size` entries has it: full, partial or not at all.
    #[must_use]
    pub fn of_tree(layer: Layer, index: u64, size: u64) -> Option<Self> {
        let before = index.checked_mul(u64::from(WIDTH))?;
        let width = hashes_at(layer.level(), size).checked_sub(before)?.min(u64::from(WIDTH));
        Self::new(layer, index, u16::try_from(width).ok()?)
    }

    /// What it holds.
    #[must_use]
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Its place in its level, from 0.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Hashes or entries in it.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it will not grow any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == WIDTH
    }

    /// The full tile that this one is the beginning of: a log may keep only that.
    #[must_use]
    pub fn full(&self) -> Self {
        Self { width: WIDTH, ..*self }
    }

    /// Position of the first entry that it covers; nothing if no tree reaches so far.
    #[must_use]
    pub fn first_entry(&self) -> Option<u64> {
        let bits = u32::from(self.layer.level()) * 8 + 8;
        let first = self.index.checked_shl(bits)?;
        (first >> bits == self.index && first <= MAX_SIZE).then_some(first)
    }

    /// The path below the log's prefix, as `tile/0/x001/234.p/7`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = match self.layer {
            Layer::Hashes(level) => format!("tile/{level}/"),
            Layer::Entries => "tile/entries/".to_owned(),
        };
        let groups = std::iter::successors(Some(self.index), |n| Some(n / 1000).filter(|n| *n > 0));
        let mut groups: Vec<u64> = groups.map(|n| n % 1000).collect();
        groups.reverse();
        let last = groups.pop().unwrap_or(0);
        for group in groups {
            // Writing to a String does not fail.
            let _ = write!(path, "x{group:03}/");
        }
        let _ = write!(path, "{last:03}");
        if !self.is_full() {
            let _ = write!(path, ".p/{}", self.width);
        }
        path
    }

    /// Reads a path, which a stranger may have written.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        let tile = read_path(path).ok_or(PathError)?;
        // There is one spelling of each tile, whatever else the reading let pass.
        if tile.path() == path { Ok(tile) } else { Err(PathError) }
    }
}

fn read_path(path: &str) -> Option<Tile> {
    if path.len() > MAX_PATH {
        return None;
    }
    let (layer, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let layer = match layer {
        "entries" => Layer::Entries,
        level => Layer::Hashes(decimal(level)?.try_into().ok()?),
    };
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, decimal(width)?.try_into().ok().filter(|w| *w < WIDTH)?),
        None => (rest, WIDTH),
    };
    let mut groups = index.split('/').rev();
    let (last, above) = (groups.next()?, groups);
    let mut number = three_digits(last)?;
    let mut weight: u64 = 1;
    for group in above {
        weight = weight.checked_mul(1000)?;
        let group = three_digits(group.strip_prefix('x')?)?;
        number = number.checked_add(group.checked_mul(weight)?)?;
    }
    Tile::new(layer, number, width)
}

fn three_digits(text: &str) -> Option<u64> {
    let plain = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// Whole hashes that a tree of `size` entries has at a tile level.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

/// Tiles of hashes that a tree of `new` entries has and one of `old` had not, or not so wide: level by level, each level's full
/// ones first and then its partial one. Empty if the tree did not grow.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..HEIGHT).flat_map(move |level| new_in_layer(Layer::Hashes(level), old, new))
}

/// Bundles of entries, likewise.
pub fn new_bundles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    new_in_layer(Layer::Entries, old, new)
}

fn new_in_layer(layer: Layer, old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let (had, has) = (hashes_at(layer.level(), old), hashes_at(layer.level(), new));
    let width = u64::from(WIDTH);
    // Where nothing was added, the range is empty: the partial tile is the old one.
    let end = if has > had { has.div_ceil(width) } else { 0 };
    (had / width..end).filter_map(move |index| Tile::of_tree(layer, index, new))
}

/// The partial tiles of a tree, lowest level first: what is needed, and enough, to go on from that size.
pub fn edge_tiles(size: u64) -> impl Iterator<Item = Tile> {
    (0..HEIGHT).filter_map(move |level| {
        let hashes = hashes_at(level, size);
        let partial = !hashes.is_multiple_of(u64::from(WIDTH));
        partial.then(|| Tile::of_tree(Layer::Hashes(level), hashes / u64::from(WIDTH), size)).flatten()
    })
}

/// Why bytes are no tile or bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// A tile is not as long as its width says.
    #[error("a tile of {width} hashes has {wanted} bytes, not {found}")]
    TileLength {
        /// Hashes in it.
        width: u16,
        /// Bytes that they take.
        wanted: usize,
        /// Bytes there.
        found: usize,
    },
    /// An entry does not fit its length.
    #[error("an entry has at most {MAX_ENTRY} bytes, not {0}")]
    EntryLength(usize),
    /// A bundle ends inside an entry.
    #[error("the bundle ends inside entry {0}")]
    Cut(usize),
    /// A bundle has not as many entries as its width says.
    #[error("a bundle of {wanted} entries has {found}, or more")]
    Count {
        /// Expected.
        wanted: u16,
        /// There.
        found: usize,
    },
}

/// A tile's bytes.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.as_flattened().to_vec()
}

/// A tile's hashes; there must be exactly `width`.
pub fn decode_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, ContentError> {
    let wanted = usize::from(width) * size_of::<Hash>();
    let (hashes, _) = bytes.as_chunks();
    if bytes.len() == wanted {
        Ok(hashes.to_vec())
    } else {
        Err(ContentError::TileLength { width, wanted, found: bytes.len() })
    }
}

/// A bundle's bytes: each entry after its length (u16, big-endian). At most [`WIDTH`] entries.
pub fn encode_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, ContentError> {
    let mut out = Vec::new();
    for (count, entry) in entries.into_iter().enumerate() {
        if count == usize::from(WIDTH) {
            return Err(ContentError::Count { wanted: WIDTH, found: count + 1 });
        }
        let length = u16::try_from(entry.len()).map_err(|_| ContentError::EntryLength(entry.len()))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// A bundle's entries; there must be exactly `width`, and nothing behind them.
pub fn decode_bundle(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, ContentError> {
    let mut entries = Vec::with_capacity(usize::from(width.min(WIDTH)));
    let mut rest = bytes;
    while !rest.is_empty() && entries.len() < usize::from(width) {
        let cut = ContentError::Cut(entries.len());
        let (length, after) = rest.split_first_chunk::<2>().ok_or(cut)?;
        let (entry, after) = after.split_at_checked(u16::from_be_bytes(*length).into()).ok_or(cut)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() && entries.len() == usize::from(width) {
        Ok(entries)
    } else {
        Err(ContentError::Count { wanted: width, found: entries.len() })
    }
}

/// The hash over neighbours of one level, whose number is a power of two.
pub(crate) fn fold(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.first().copied()
}

/// The complete subtrees in a run of hashes that begins a tile, the largest first.
pub(crate) fn subtrees(hashes: &[Hash]) -> impl Iterator<Item = Hash> {
    let mut rest = hashes;
    std::iter::from_fn(move || {
        let largest = 1usize << rest.len().checked_ilog2()?;
        let (first, after) = rest.split_at_checked(largest)?;
        rest = after;
        fold(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(index: u64, width: u16) -> Tile {
        Tile::new(Layer::Hashes(0), index, width).unwrap()
    }

    #[test]
    fn paths_are_as_the_specification_spells_them() {
        for (tile, path) in [
            (hashes(0, 256), "tile/0/000"),
            (hashes(999, 1), "tile/0/999.p/1"),
            (hashes(1000, 256), "tile/0/x001/000"),
            // The specification's own example.
            (hashes(1_234_067, 256), "tile/0/x001/x234/067"),
            (Tile::new(Layer::Entries, 273, 112).unwrap(), "tile/entries/273.p/112"),
            (
                Tile::new(Layer::Hashes(63), u64::MAX, 255).unwrap(),
                "tile/63/x018/x446/x744/x073/x709/x551/615.p/255",
            ),
        ] {
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path), Ok(tile), "{path}");
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for path in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/",
            "tile/0/000.p/1/",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0//000",
            "tile/0/../000",
            "tile/0/+01",
            "tile/data/000",
            "tile/entries/x1/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/x999/999",
            "tile/0/000.p/1.p/1",
            "tile/0/٠٠٠",
            "tile/8/0/003",
        ] {
            assert_eq!(Tile::parse(path), Err(PathError), "{path}");
        }
    }

    /// The specification's example: what a tree of 70,000 consists of.
    #[test]
    fn seventy_thousand_entries() {
        let all: Vec<Tile> = new_tiles(0, 70_000).collect();
        let of =
            |level, full: bool| all.iter().filter(move |t| t.layer.level() == level && t.is_full() == full);
        assert_eq!(of(0, true).count(), 273);
        assert_eq!(of(0, false).map(|t| t.width).collect::<Vec<_>>(), [112]);
        assert_eq!(of(1, true).count(), 1);
        assert_eq!(of(1, false).map(|t| t.width).collect::<Vec<_>>(), [17]);
        assert_eq!(of(2, false).map(|t| t.width).collect::<Vec<_>>(), [1]);
        assert_eq!(all.len(), 273 + 1 + 1 + 1 + 1);
        assert_eq!(new_bundles(0, 70_000).count(), 274);
        let small: Vec<String> = new_tiles(0, 256).map(|t| t.path()).collect();
        assert_eq!(small, ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(edge_tiles(256).map(|t| t.path()).collect::<Vec<_>>(), ["tile/1/000.p/1"]);
    }

    #[test]
    fn what_is_new_is_what_the_larger_tree_has_and_the_smaller_had_not() {
        let all = |size| new_tiles(0, size).collect::<Vec<_>>();
        for old in (0..700).step_by(7).chain([65_535, 65_536, 65_537]) {
            for new in [old, old + 1, old + 3, old + 255, old + 256, old + 1000] {
                let had = all(old);
                let wanted: Vec<Tile> = all(new).into_iter().filter(|t| !had.contains(t)).collect();
                assert_eq!(new_tiles(old, new).collect::<Vec<_>>(), wanted, "{old} to {new}");
            }
        }
        assert_eq!(new_tiles(5, 3).count(), 0);
        assert_eq!(new_tiles(MAX_SIZE - 1, MAX_SIZE).count(), 1);
        assert_eq!(edge_tiles(MAX_SIZE).count(), 8);
    }

    #[test]
    fn the_last_positions_overflow_nothing() {
        let far = Tile::new(Layer::Hashes(63), u64::MAX, 1).unwrap();
        assert_eq!(far.first_entry(), None);
        assert_eq!(hashes(3, 1).first_entry(), Some(768));
        assert_eq!(Tile::new(Layer::Hashes(6), 1, 1).unwrap().first_entry(), Some(1 << 56));
        assert_eq!(Tile::new(Layer::Hashes(7), 0, 1).unwrap().first_entry(), None, "no tree fills it");
        assert_eq!(Tile::of_tree(Layer::Hashes(63), u64::MAX, u64::MAX), None);
        assert_eq!(Tile::of_tree(Layer::Hashes(0), 0, 0), None);
    }

    #[test]
    fn bundles() {
        let entries: [&[u8]; 3] = [b"", b"one", &[7; MAX_ENTRY]];
        let bytes = encode_bundle(entries).unwrap();
        assert_eq!(decode_bundle(&bytes, 3).unwrap(), entries);
        assert_eq!(decode_bundle(&bytes, 2), Err(ContentError::Count { wanted: 2, found: 2 }));
        assert_eq!(decode_bundle(&bytes, 4), Err(ContentError::Count { wanted: 4, found: 3 }));
        for cut in [1, 3, 4, 6, 8, bytes.len() - 1] {
            assert!(decode_bundle(&bytes[..cut], 3).is_err(), "{cut}");
        }
        assert_eq!(decode_bundle(&[], 0), Ok(vec![]));
        assert!(encode_bundle([&[0u8; MAX_ENTRY + 1][..]]).is_err());
        assert!(encode_bundle(std::iter::repeat_n(&b"x"[..], 257)).is_err());
    }
}
