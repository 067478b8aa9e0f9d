//! The index of a sealed segment: a small sidecar (`.idx`) by which a search skips the segment unread.
//!
//! It is made while the segment is written, or later from the segment itself, and may be deleted at any time. What it
//! says of texts and names comes from payloads, so that part is sealed like them, under a key of the subject `index`;
//! it carries the hash of the clear part, so that nobody hides an entry from searches by changing the clear part.
//!
//! ```text
//! "FHINDEX2" | crc32 of what follows | log id 16 | epoch u64 | first u64 | created u64
//! | facets length u32 | facets (JSON) | sessions count u32 | sessions
//! | key id 16 | sealed length u32 | sealed: SHA-256 of all before "key id" | names length u32 | names (JSON) | text filter
//! ```

pub(crate) mod builder;
pub mod catalog;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entry::fields::Fields;
use crate::entry::{Stamp, moment};
use crate::keys::{KeyStore, SessionKeys};
use crate::names::Names;
use crate::reader::payload::Opener;
use crate::segment::{Header, Index, SegmentIndex, SegmentName};
use crate::walk::Walk;
use builder::Builder;
use text::TextFilter;

const MAGIC: &[u8; 8] = b"FHINDEX2";
/// The subject whose monthly key seals the part that tells of payloads. Destroying it makes indexes of that month
/// useless for texts, and nothing else.
pub const SUBJECT: &str = "index";
/// Longest sidecar that is read: eight times what the limits of a segment allow.
const BYTES_MAX: u64 = 32 << 20;

/// What values are listed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facet {
    /// Databases.
    Database,
    /// What commands do.
    Effect,
    /// Ids of the identity chain, and of administrators.
    Identity,
    /// Kinds of entries.
    Kind,
    /// What names of tables mean, plain, where that is not what is written; and tables whose rows changed. An index without
    /// it was made before there was any.
    Resolved,
    /// Roles in force or authenticated.
    Role,
    /// Rules that decided.
    Rule,
    /// SQLSTATEs.
    Sqlstate,
    /// Tables, plain (small letters, no quotes).
    Table,
    /// Targets.
    Target,
    /// Verdicts.
    Verdict,
}

/// The part of an index that says nothing of payloads.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {
    /// Earliest time in it, in µs since 1970.
    pub from: u64,
    /// Latest.
    pub until: u64,
    /// Entries.
    pub entries: u64,
    /// All values that occur. A facet that is missing had too many.
    pub facets: BTreeMap<Facet, BTreeSet<String>>,
    /// Places of some frames: byte and position.
    pub marks: Vec<(u64, u64)>,
    /// Epoch and position of the intents that were running at its beginning; `None`: too many.
    pub running: Option<Vec<(u64, u64)>>,
    /// Of each entry about a token or what is contained, the frame before it: byte and position; `(0, 0)` where it is the first. `None`: too many,
    /// or written before there was this list.
    #[serde(default)]
    pub tokens: Option<Vec<(u64, u64)>>,
    /// Its sessions, by first position.
    #[serde(skip)]
    pub sessions: Vec<(u128, SessionLine)>,
}

/// What a segment holds of one session.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SessionLine {
    /// Position of its first entry there.
    pub first: u64,
    /// Of its last.
    pub last: u64,
    /// Time of the first, in µs since 1970.
    pub from: u64,
    /// Of the last.
    pub until: u64,
    /// Commands asked.
    pub commands: u32,
    /// Of them not allowed.
    pub refused: u32,
    /// Commands that ended in an error.
    pub errors: u32,
    /// Commands abandoned.
    pub abandoned: u32,
    /// Rows delivered.
    pub rows: u64,
    /// `session.opened` is here.
    pub opened: bool,
    /// `session.closed` is here.
    pub closed: bool,
}

/// The part that tells of payloads.
#[derive(Debug, Default, Clone)]
pub struct Secret {
    /// Names of the identities whose sessions begin here.
    pub names: Names,
    /// Which texts may occur.
    pub text: Option<TextFilter>,
}

/// An index as read.
#[derive(Debug, Clone)]
pub struct SegmentFacts {
    /// The clear part.
    pub clear: Clear,
    /// The sealed part; `None` when the key is not here.
    pub secret: Option<Secret>,
}

/// Makes indexes. Give it to [`crate::writer::Options::index`].
#[derive(Debug)]
pub struct Indexer {
    store: Arc<KeyStore>,
}

impl Indexer {
    /// An indexer that seals with keys of this store.
    #[must_use]
    pub fn new(store: Arc<KeyStore>) -> Self {
        Self { store }
    }
}

struct Live {
    builder: Builder,
    store: Arc<KeyStore>,
    key_id: Option<[u8; 16]>,
}

impl Index for Indexer {
    fn begin(&self, header: &Header) -> Box<dyn SegmentIndex> {
        let mut key_id = [0; 16];
        let key_id = rand::fill(&mut key_id).is_ok().then_some(key_id);
        Box::new(Live { builder: Builder::new(header), store: Arc::clone(&self.store), key_id })
    }

    fn rebuild(&self, segment: &mut Walk) -> io::Result<Option<Vec<u8>>> {
        let mut builder = Builder::new(segment.header());
        let mut opener = Opener::new(Some(Arc::clone(&self.store)));
        feed(&mut builder, segment, &mut opener)?;
        let mut key_id = [0; 16];
        if rand::fill(&mut key_id).is_err() {
            return Ok(None);
        }
        Ok(Some(sidecar(builder, &self.store, Some(key_id))))
    }
}

impl SegmentIndex for Live {
    fn add(&mut self, at: &Stamp, leaf: &[u8], payload: Option<&[u8]>) {
        self.builder.add(at, leaf, payload);
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        sidecar(self.builder, &self.store, self.key_id)
    }
}

/// Shows a builder every entry of a segment.
fn feed(builder: &mut Builder, segment: &mut Walk, opener: &mut Opener) -> io::Result<()> {
    let (name, log_id) = (segment.header().name(), segment.header().log_id);
    while let Some((byte, frame)) = segment.next_frame()? {
        let Ok(fields) = Fields::read(frame.leaf) else { continue };
        let stored = crate::reader::cursor::Stored {
            segment: name,
            byte,
            place: crate::reader::Place { epoch: name.epoch, position: frame.seq },
            log_id,
            leaf: frame.leaf,
            sealed: frame.sealed,
        };
        let payload = opener.open(&stored, &fields);
        let at = Stamp {
            position: frame.seq,
            time: firsthand_model::time::UnixMicros(fields.micros()),
            ..Stamp::default()
        };
        builder.add(&at, frame.leaf, payload.clear());
    }
    Ok(())
}

fn keys_of(store: &KeyStore, header: &Header, key_id: &[u8; 16]) -> Option<SessionKeys> {
    store.session_keys(SUBJECT, &moment::month(header.created_us), key_id, &header.log_id).ok()
}

/// The bytes of a sidecar. Without a key the sealed part is left out, and searches for texts read the segment.
fn sidecar(builder: Builder, store: &KeyStore, key_id: Option<[u8; 16]>) -> Vec<u8> {
    let (header, clear, secret) = builder.finish();
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.log_id);
    out.extend_from_slice(&header.epoch.to_le_bytes());
    out.extend_from_slice(&header.frontier.size().to_le_bytes());
    out.extend_from_slice(&header.created_us.to_le_bytes());
    write_part(&mut out, &serde_json::to_vec(&clear).unwrap_or_default());
    write_length(&mut out, clear.sessions.len());
    clear.sessions.iter().for_each(|session| write_session(&mut out, session));
    let sealed = key_id.and_then(|key_id| {
        let keys = keys_of(store, &header, &key_id)?;
        let mut bytes = Sha256::digest(out.get(12..)?).to_vec();
        let names: Vec<(&str, &str)> = secret.names.iter().collect();
        write_part(&mut bytes, &serde_json::to_vec(&names).ok()?);
        secret.text?.write(&mut bytes);
        keys.seal(header.frontier.size(), &mut bytes).ok()?;
        Some((key_id, bytes))
    });
    let (key_id, bytes) = sealed.unwrap_or_default();
    out.extend_from_slice(&key_id);
    write_part(&mut out, &bytes);
    let crc = crc32fast::hash(out.get(12..).unwrap_or_default()).to_le_bytes();
    if let Some(slot) = out.get_mut(8..12) {
        slot.copy_from_slice(&crc);
    }
    out
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

fn write_part(out: &mut Vec<u8>, part: &[u8]) {
    write_length(out, part.len());
    out.extend_from_slice(part);
}

fn write_session(out: &mut Vec<u8>, (id, line): &(u128, SessionLine)) {
    out.extend_from_slice(&id.to_be_bytes());
    for n in [line.first, line.last, line.from, line.until, line.rows] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    for n in [line.commands, line.refused, line.errors, line.abandoned] {
        out.extend_from_slice(&n.to_le_bytes());
    }
    out.push(u8::from(line.opened) | u8::from(line.closed) << 1);
}

/// Reads bytes from the front; `None` when there are too few.
struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn session(&mut self) -> Option<(u128, SessionLine)> {
        let id = self.array().map(u128::from_be_bytes)?;
        let (first, last, from, until, rows) =
            (self.u64()?, self.u64()?, self.u64()?, self.u64()?, self.u64()?);
        let (commands, refused, errors, abandoned) = (self.u32()?, self.u32()?, self.u32()?, self.u32()?);
        let [flags] = self.array()?;
        let (opened, closed) = (flags & 1 != 0, flags & 2 != 0);
        let line = SessionLine {
            first,
            last,
            from,
            until,
            commands,
            refused,
            errors,
            abandoned,
            rows,
            opened,
            closed,
        };
        Some((id, line))
    }
}

impl SegmentFacts {
    /// Reads a sidecar of the segment `name`. `None` when it is not one, or damaged, or was changed: then the segment is
    /// read instead.
    #[must_use]
    pub fn read(bytes: &[u8], name: SegmentName, store: Option<&KeyStore>) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, body) = rest.split_first_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let mut take = Take(body);
        let log_id: [u8; 16] = take.array()?;
        if take.u64()? != name.epoch || take.u64()? != name.first {
            return None;
        }
        let month = moment::month(take.u64()?);
        let mut clear: Clear = serde_json::from_slice(take.part()?).ok()?;
        let count = usize::try_from(take.u32()?).ok()?;
        clear.sessions = (0..count).map(|_| take.session()).collect::<Option<_>>()?;
        let hashed = body.get(..body.len().checked_sub(take.0.len())?)?;
        let key_id: [u8; 16] = take.array()?;
        let sealed = take.part()?;
        let keys = store
            .filter(|_| !sealed.is_empty())
            .and_then(|store| store.existing_session_keys(SUBJECT, &month, &key_id, &log_id).ok());
        let Some(keys) = keys else { return Some(Self { clear, secret: None }) };
        let opened = keys.open(name.first, sealed).ok()?;
        let mut take = Take(&opened);
        if take.array::<32>()? != <[u8; 32]>::from(Sha256::digest(hashed)) {
            return None;
        }
        let mut names = Names::default();
        let pairs: Vec<(String, String)> = serde_json::from_slice(take.part()?).ok()?;
        pairs.into_iter().for_each(|(id, name)| names.put(id, name));
        Some(Self { clear, secret: Some(Secret { names, text: TextFilter::read(take.0) }) })
    }

    /// Whether any value of a facet satisfies the test; `true` when the facet is not known.
    #[must_use]
    pub fn any(&self, facet: Facet, test: impl Fn(&str) -> bool) -> bool {
        self.clear.facets.get(&facet).is_none_or(|values| values.iter().any(|value| test(value)))
    }
}
