//! What the writer must know of entries: how one becomes bytes, and what it opens or ends.

use crate::entry::{Commitment, Stamp};
use crate::keys::SessionKeys;
use crate::open_set::Change;
use crate::queue::Item;
use crate::segment::SegmentName;
use crate::tree::Hash;

/// A segment that has just been followed by the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Which.
    pub segment: SegmentName,
    /// Size of the tree after its last entry.
    pub size: u64,
    /// Root of that tree.
    pub root: Hash,
}

/// Turns entries into bytes, on the writer's thread and in the order of their positions.
///
/// The writer asks for an entry's payload first, because the leaf carries its commitment. Nothing here may block: every
/// session waits for it. A panic stops the log.
pub trait Codec: Send + 'static {
    /// What is queued.
    type Entry: Send + 'static;

    /// The keys that seal this entry's payload; `None` when the entry has none.
    fn keys(&mut self, entry: &Self::Entry) -> Option<&SessionKeys>;

    /// Appends the payload to `out`, in clear; appends nothing if there is none after all.
    fn payload(&mut self, entry: &Self::Entry, out: &mut Vec<u8>);

    /// Appends the leaf to `out`.
    fn leaf(&mut self, entry: &Self::Entry, at: Stamp, payload: Option<&Commitment>, out: &mut Vec<u8>);

    /// Appends the leaf of an entry that stands in the place of one over the limits of a frame. Its own size must be
    /// within them, and it opens and ends nothing.
    fn too_large(&mut self, entry: &Self::Entry, at: Stamp, out: &mut Vec<u8>);

    /// What the entry opens or ends.
    fn change(&self, entry: &Self::Entry) -> Change;

    /// The same, told from the leaf alone: for recovery. Must agree with [`Codec::change`].
    fn change_of(leaf: &[u8]) -> Change;

    /// An entry that says that a segment was sealed, if there should be one. It is appended by the writer itself.
    fn sealed(&mut self, sealed: &Sealed) -> Option<Item<Self::Entry>>;
}
