//! Trials of the whole log on a disk that fails: a small codec, a log that is stepped by hand, and what must hold.

mod crash;
mod faults;
mod files;
mod live;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::codec::{Codec, Sealed};
use crate::entry::{Commitment, Stamp};
use crate::io::Io;
use crate::keys::{KeyStore, SessionKeys};
use crate::open_set::{Change, OpenItem, OpenSet};
use crate::queue::{Class, Durability, Item};
use crate::recover::{OpenError, Recovered};
use crate::segment::{self, Segment};
use crate::sim::{Random, SimIo};
use crate::tree::{Frontier, leaf_hash};
use crate::writer::{Log, Options, Stepper};

/// Small, so that rolling happens all the time.
pub(super) const SEGMENT: u64 = 24 << 10;

/// An entry of the trials: what it changes, and some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) change: Change,
    pub(super) text: String,
    pub(super) payload: Vec<u8>,
}

impl Note {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { change: Change::None, text: text.into(), payload: Vec::new() }
    }

    /// Something random that fits what is open.
    pub(super) fn random(random: &mut Random) -> Self {
        let session = [random.below(3) as u8; 16];
        let n = random.below(5);
        let change = match random.below(8) {
            0 => Change::OpenSession(session),
            1 => Change::CloseSession(session),
            2 | 3 => Change::OpenCommand(session, n),
            4 | 5 => Change::CloseCommand(session, n),
            _ => Change::None,
        };
        let most = if random.one_in(8) { 3000 } else { 200 };
        let text = "x".repeat(random.below(most) as usize);
        let payload = if random.one_in(2) { vec![b'p'; random.below(900) as usize] } else { Vec::new() };
        Self { change, text, payload }
    }

    pub(super) fn leaf(&self, position: u64) -> Vec<u8> {
        let (k, s, c) = match self.change {
            Change::None => ('-', 0, 0),
            Change::OpenSession(s) => ('S', s[0], 0),
            Change::CloseSession(s) => ('s', s[0], 0),
            Change::OpenCommand(s, n) => ('C', s[0], n),
            Change::CloseCommand(s, n) => ('c', s[0], n),
        };
        format!("{{\"k\":\"{k}:{s}:{c}\",\"n\":{position},\"x\":\"{}\"}}", self.text).into_bytes()
    }

    pub(super) fn item(self, class: Class, durability: Durability) -> Item<Self> {
        let size = self.text.len() + self.payload.len() + 64;
        let opens = matches!(self.change, Change::OpenCommand(..) | Change::OpenSession(_));
        Item { entry: self, class, durability, opens, size }
    }

    pub(super) fn intent(self) -> Item<Self> {
        self.item(Class::Intent, Durability::Strict)
    }
}

pub(super) fn keys() -> &'static SessionKeys {
    static KEYS: OnceLock<SessionKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let io = SimIo::new(0);
        let store = KeyStore::open(Path::new("/data"), io).unwrap();
        store.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap()
    })
}

#[derive(Debug)]
pub(super) struct Notes;

impl Codec for Notes {
    type Entry = Note;

    fn keys(&mut self, entry: &Note) -> Option<&SessionKeys> {
        (!entry.payload.is_empty()).then(keys)
    }

    fn payload(&mut self, entry: &Note, out: &mut Vec<u8>) {
        out.extend_from_slice(&entry.payload);
    }

    fn leaf(&mut self, entry: &Note, at: Stamp, payload: Option<&Commitment>, out: &mut Vec<u8>) {
        assert_eq!(payload.is_some(), !entry.payload.is_empty());
        out.extend_from_slice(&entry.leaf(at.position));
    }

    fn too_large(&mut self, _: &Note, at: Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(&Note::new("too large").leaf(at.position));
    }

    fn change(&self, entry: &Note) -> Change {
        entry.change
    }

    fn change_of(leaf: &[u8]) -> Change {
        let text = std::str::from_utf8(leaf).unwrap();
        let mut k = text.split('"').nth(3).unwrap().split(':');
        let kind = k.next().unwrap();
        let session = [k.next().unwrap().parse().unwrap(); 16];
        let n = k.next().unwrap().parse().unwrap();
        match kind {
            "S" => Change::OpenSession(session),
            "s" => Change::CloseSession(session),
            "C" => Change::OpenCommand(session, n),
            "c" => Change::CloseCommand(session, n),
            _ => Change::None,
        }
    }

    fn sealed(&mut self, _: &Sealed) -> Option<Item<Note>> {
        None
    }
}

pub(super) fn data() -> PathBuf {
    PathBuf::from("/data")
}

pub(super) type Opened = (Log<Notes>, Stepper<Notes>, Recovered);

pub(super) fn open(io: &Arc<SimIo>) -> Result<Opened, OpenError> {
    let options = Options { first_segment_bytes: SEGMENT, segment_bytes: SEGMENT, ..Options::default() };
    Log::open_stepped(&data(), |_| Ok(Notes), options, io.clone() as Arc<dyn Io>)
}

/// Everything that stands in the segments of an epoch, read as an outsider would.
pub(super) fn read(io: &SimIo, epoch: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let log = data().join("log");
    let mut found = Vec::new();
    for name in segment::list(io, &log).unwrap().into_iter().filter(|n| n.epoch == epoch) {
        assert_eq!(name.first, found.len() as u64, "segments follow each other");
        let segment = Segment::read(io, &log, name).unwrap();
        found.extend(segment.frames().map(|(_, f)| (f.leaf.to_vec(), f.sealed.to_vec())));
    }
    found
}

/// The log on disk is exactly these entries, in tree, payloads and open set too.
pub(super) fn assert_is(io: &SimIo, recovered: &Recovered, expected: &[Note]) {
    let found = read(io, recovered.epoch);
    assert_eq!(found.len(), expected.len());
    let (mut tree, mut open) = (Frontier::new(), OpenSet::default());
    for (n, ((leaf, sealed), note)) in found.iter().zip(expected).enumerate() {
        assert_eq!(*leaf, note.leaf(n as u64), "position {n}");
        if note.payload.is_empty() {
            assert!(sealed.is_empty());
        } else {
            assert_eq!(keys().open(n as u64, sealed).unwrap(), note.payload);
        }
        tree.push(leaf_hash(leaf));
        open.apply(note.change, recovered.epoch, n as u64);
    }
    assert_eq!((recovered.size, recovered.root), (tree.size(), tree.root()));
    let mut items: Vec<OpenItem> = open.items();
    items.sort_unstable();
    assert_eq!(recovered.open, items);
}
