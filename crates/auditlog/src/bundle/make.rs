//! Making a bundle from a data folder: which entries ([`plan()`]), then leaf by leaf into a tar ([`Pack`]). Reads as any reader
//! does, beside a gateway that writes; memory does not grow with the range.

pub mod pack;
pub mod plan;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::manifest::{Asked, EpochPart};
use super::range::Range;
use super::scope::Scope;
use super::{POLICIES_MAX, ustar};
use crate::entry::fields::Fields;
use crate::index::catalog::Catalog;
use crate::io::Io;
use crate::reader::payload::Payload;
use crate::reader::{Place, ReadError, Reader};
use crate::search::Found;
use crate::sign::serve;
use crate::tlog::encoding::to_base64;
use crate::tlog::hashes::{TileHashes, TileSource};
use crate::tlog::tile::Tile;
use crate::tree::{Hash, leaf_hash};
use crate::verify::leaf::Leaf;
use pack::Pack;
pub use plan::{Part, Plan, plan};

/// Why no bundle was made.
#[derive(Debug, Error)]
pub enum MakeError {
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nothing to make it of.
    #[error("the log has no entries")]
    Empty,
    /// No checkpoint covers anything of an epoch.
    #[error("nothing of epoch {0} is signed, so nothing of it could be proved")]
    Unsigned(u64),
    /// The tree's files are not what was signed.
    #[error("epoch {epoch}: {why}")]
    Tiles {
        /// Which.
        epoch: u64,
        /// In what way.
        why: String,
    },
    /// The log is not what was signed.
    #[error("epoch {0}: its entries do not lead to the root that was signed: the log was altered")]
    Altered(u64),
    /// A leaf that is none.
    #[error("epoch {}, position {}: the leaf is not as leaves are written", .0.epoch, .0.position)]
    Leaf(Place),
    /// More than a bundle can have.
    #[error("{0}")]
    TooMuch(String),
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> MakeError {
    let path = path.to_owned();
    move |source| MakeError::Io { path, source }
}

/// The tiles in a data folder.
struct Tiles {
    io: Arc<dyn Io>,
    data: PathBuf,
    epoch: u64,
    size: u64,
}

impl TileSource for Tiles {
    type Error = io::Error;

    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, io::Error> {
        let found = serve::tile(&*self.io, &self.data, self.epoch, tile, self.size)?;
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such tile"))
    }
}

/// What is left and right of a part, from the tiles, checked against the root that was signed.
///
/// # Errors
/// Where tiles are missing or forged.
pub fn range(io: &Arc<dyn Io>, data: &Path, part: &Part) -> Result<Range, MakeError> {
    let source = Tiles { io: Arc::clone(io), data: data.to_owned(), epoch: part.epoch, size: part.size };
    let wrong = |why: String| MakeError::Tiles { epoch: part.epoch, why };
    let mut hashes = TileHashes::new(source, part.size, &part.root).map_err(|e| wrong(e.to_string()))?;
    Range::of(&mut hashes, part.first, part.end, part.size).map_err(|e| wrong(e.to_string()))
}

/// What goes into a bundle of each entry in scope, for whoever tells of it.
pub trait Teller {
    /// An entry in scope. `shown`: its payload is in the bundle.
    fn entry(&mut self, found: &Found, shown: bool);
}

/// Writes the members of one epoch.
#[derive(Debug)]
pub struct Maker<'a> {
    reader: &'a Reader,
    catalog: &'a Catalog,
    scope: Scope,
    payloads: bool,
    /// Versions of rules that leaves name.
    pub policies: BTreeSet<String>,
}

impl<'a> Maker<'a> {
    /// Over a log; without payloads where none is to be shown.
    #[must_use]
    pub fn new(reader: &'a Reader, catalog: &'a Catalog, asked: &Asked, payloads: bool) -> Self {
        Self { reader, catalog, scope: Scope::new(asked), payloads, policies: BTreeSet::new() }
    }

    /// `leaves.jsonl` and `payloads.jsonl` of a part, and its counts.
    ///
    /// # Errors
    /// Where the log cannot be read, is not what was signed, or is too long for a bundle.
    pub fn part(
        &mut self,
        pack: &mut Pack,
        part: &Part,
        range: &Range,
        teller: &mut dyn Teller,
    ) -> Result<EpochPart, MakeError> {
        self.leaves(pack, part, range)?;
        let mut counts = EpochPart {
            epoch: part.epoch,
            first: part.first,
            end: part.end,
            size: part.size,
            ..EpochPart::default()
        };
        let name = format!("e{}/payloads.jsonl", part.epoch);
        pack.begin(&name)?;
        self.payloads(pack, part, teller, &mut counts)?;
        pack.end()?;
        Ok(counts)
    }

    fn leaves(&self, pack: &mut Pack, part: &Part, range: &Range) -> Result<(), MakeError> {
        pack.begin(&format!("e{}/leaves.jsonl", part.epoch))?;
        let mut tree = range.begin().ok_or(MakeError::Altered(part.epoch))?;
        self.each(part, &mut |stored| {
            tree.push(leaf_hash(stored.leaf));
            pack.add(stored.leaf)?;
            pack.add(b"\n")
        })?;
        if range.close(tree) != Some(part.root) {
            return Err(MakeError::Altered(part.epoch));
        }
        pack.end()
    }

    /// Every entry of a part.
    fn each(
        &self,
        part: &Part,
        take: &mut dyn FnMut(&crate::reader::cursor::Stored<'_>) -> Result<(), MakeError>,
    ) -> Result<(), MakeError> {
        let first = Place { epoch: part.epoch, position: part.first };
        let mut cursor = self.catalog.cursor_at(self.reader, first)?;
        for position in part.first..part.end {
            let Some(stored) = cursor.next()? else { return Err(MakeError::Altered(part.epoch)) };
            if stored.place != (Place { epoch: part.epoch, position }) {
                return Err(MakeError::Altered(part.epoch));
            }
            take(&stored)?;
        }
        Ok(())
    }

    fn payloads(
        &mut self,
        pack: &mut Pack,
        part: &Part,
        teller: &mut dyn Teller,
        counts: &mut EpochPart,
    ) -> Result<(), MakeError> {
        let mut opener = self.reader.opener();
        let (mut scope, mut policies) = (
            std::mem::replace(&mut self.scope, Scope::new(&Asked::default())),
            std::mem::take(&mut self.policies),
        );
        let show = self.payloads;
        let done = self.each(part, &mut |stored| {
            let leaf = Leaf::read(stored.leaf).map_err(|_| MakeError::Leaf(stored.place))?;
            if !leaf.policy.is_empty() && policies.len() < POLICIES_MAX {
                policies.insert(leaf.policy.to_owned());
            }
            if !scope.holds(&leaf) {
                return Ok(());
            }
            counts.scoped += 1;
            let fields = Fields::read(stored.leaf).map_err(|_| MakeError::Leaf(stored.place))?;
            let (payload, salt) = opener.open_salted(stored, &fields);
            let mut shown = false;
            match (&payload, salt) {
                _ if leaf.pay.is_empty() => {}
                (Payload::Clear(clear), Some(salt)) if show => {
                    shown = true;
                    counts.disclosed += 1;
                    pack.add(&line(stored.place.position, clear, &salt))?;
                }
                (Payload::Erased, _) => counts.erased += 1,
                _ => counts.withheld += 1,
            }
            teller.entry(&Found { place: stored.place, leaf: stored.leaf.to_vec(), payload }, shown);
            Ok(())
        });
        (self.scope, self.policies) = (scope, policies);
        done
    }
}

fn line(position: u64, payload: &[u8], salt: &Hash) -> Vec<u8> {
    format!("{{\"n\":{position},\"payload\":\"{}\",\"salt\":\"{}\"}}\n", to_base64(payload), to_base64(salt))
        .into_bytes()
}

/// Zeros, for what is filled in later and between members.
const ZEROS: [u8; ustar::END] = [0; ustar::END];
