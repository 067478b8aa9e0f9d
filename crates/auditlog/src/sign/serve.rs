//! Reading what the signer wrote, for whoever asks from outside: checkpoints, tiles, bundles.

use std::io;
use std::path::{Path, PathBuf};

use super::folder::read;
use crate::io::Io;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::Note;
use crate::tlog::tile::{Layer, Tile, decode_bundle, encode_bundle};
use crate::tree::Hash;

/// The folder of one epoch's tree.
#[must_use]
pub fn folder(data: &Path, epoch: u64) -> PathBuf {
    data.join("tlog").join(epoch.to_string())
}

/// The newest checkpoint of an epoch as it was published, and its size. Not checked: whoever reads it has the keys.
///
/// # Errors
/// Those of the file.
pub fn checkpoint(io: &dyn Io, data: &Path, epoch: u64) -> io::Result<Option<(String, u64)>> {
    let bytes = read(io, &folder(data, epoch).join("checkpoint"))?;
    let note = bytes.and_then(|bytes| Note::parse(&bytes).ok());
    Ok(note.and_then(|note| {
        let size = Checkpoint::parse(note.text()).ok()?.size();
        Some((note.to_text(), size))
    }))
}

/// A tile or bundle of the tree that has so many entries; nothing where that tree has no such tile. One that is narrower than what
/// stands on disk is cut from it: partial tiles of older checkpoints stay readable after they were removed.
///
/// # Errors
/// Those of the file.
pub fn tile(io: &dyn Io, data: &Path, epoch: u64, tile: Tile, size: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(widest) = Tile::of_tree(tile.layer(), tile.index(), size) else { return Ok(None) };
    if tile.width() > widest.width() {
        return Ok(None);
    }
    let folder = folder(data, epoch);
    for there in [tile, widest, tile.full()] {
        if let Some(bytes) = read(io, &folder.join(there.path()))?
            && let Some(cut) = cut(bytes, there, tile)
        {
            return Ok(Some(cut));
        }
    }
    Ok(None)
}

/// The beginning of a wider tile. Nothing where the bytes are not that tile.
pub(super) fn cut(mut bytes: Vec<u8>, there: Tile, wanted: Tile) -> Option<Vec<u8>> {
    match there.layer() {
        Layer::Hashes(_) => {
            if bytes.len() != usize::from(there.width()) * size_of::<Hash>() {
                return None;
            }
            bytes.truncate(usize::from(wanted.width()) * size_of::<Hash>());
            Some(bytes)
        }
        Layer::Entries => {
            let entries = decode_bundle(&bytes, there.width()).ok()?;
            if there == wanted {
                return Some(bytes);
            }
            encode_bundle(entries.into_iter().take(usize::from(wanted.width()))).ok()
        }
    }
}
