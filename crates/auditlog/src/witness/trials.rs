//! Trials of the memory on a disk that fails: every call of it fails once, and the power is cut at every call, while a log that
//! has two histories tries to have both cosigned. Whatever was answered must be of one history.

use std::path::Path;
use std::sync::Arc;

use super::memory::{AddError, MAX_TREES, OpenError, Witness};
use super::request::Request;
use super::watch::{Refusal, Watch, Watched};
use crate::io::Io;
use crate::sim::SimIo;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::cosignature::time_of;
use crate::tlog::key::{KeyKind, SigningKey};
use crate::tlog::note::{Note, Signature};
use crate::tlog::proof::{HashSource, prove_consistency, root};
use crate::tree::{Hash, leaf_hash, node_hash};

const NAME: &str = "witness.example/w1";
const TREE: &str = "example.com/gw1/e1";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A tree by its leaves.
pub(super) struct Tree(Vec<Hash>);

impl Tree {
    /// Of which the leaves from `same` on are of its own kind, where that is not 0.
    pub(super) fn new(size: u64, same: u64) -> Self {
        let leaf = |n: u64| leaf_hash(format!("{n} {}", same > 0 && n >= same).as_bytes());
        Self((0..size).map(leaf).collect())
    }

    pub(super) fn root(&self, size: u64) -> Hash {
        root(&mut Self(self.0.clone()), size).unwrap()
    }
}

impl HashSource for Tree {
    type Error = std::io::Error;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(self.0[usize::try_from(index).unwrap()]);
        }
        let (left, right) = (self.subtree(level - 1, 2 * index)?, self.subtree(level - 1, 2 * index + 1)?);
        Ok(node_hash(&left, &right))
    }
}

pub(super) fn log_key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, KeyKind::Note, &[seed; 32]).unwrap()
}

pub(super) fn checkpoint(origin: &str, tree: &Tree, size: u64, keys: &[&SigningKey]) -> Note {
    // An origin that no checkpoint can have is written all the same.
    let mut note = Checkpoint::new(origin, size, tree.root(size)).unwrap().sign(keys).unwrap();
    if keys.is_empty() {
        note.sign(&log_key(origin, 9)).unwrap();
    }
    note
}

pub(super) fn request(old: u64, proof: Vec<Hash>, note: &Note) -> Vec<u8> {
    Request::new(old, proof, note.clone()).unwrap().to_text().into_bytes()
}

fn open(io: &Arc<SimIo>) -> Result<Witness, OpenError> {
    let log = Watched::new("example.com/gw1", true, &[log_key(TREE, 1).verifying().clone()]).unwrap();
    let folder = Path::new("/w");
    io.create_dir(folder).map_err(|source| OpenError::Io { path: folder.into(), source })?;
    Witness::open(io.clone() as Arc<dyn Io>, folder, NAME, Watch::new(vec![log]).unwrap(), None)
}

fn ask(tree: &mut Tree, old: u64, new: u64) -> Vec<u8> {
    let proof = prove_consistency(tree, old, new).unwrap();
    request(old, proof, &checkpoint(TREE, tree, new, &[&log_key(TREE, 1)]))
}

/// As a log does that wants as much as possible cosigned: at first from nothing, then from where the witness says.
fn push(witness: &Witness, tree: &mut Tree, new: u64) -> Result<String, AddError> {
    match witness.add(&ask(tree, 0, new)) {
        Err(AddError::Refused(Refusal::Stale { known, .. })) if known <= new => {
            witness.add(&ask(tree, known, new))
        }
        other => other,
    }
}

fn size(witness: &Witness) -> u64 {
    witness.sizes().first().map_or(0, |(_, size)| *size)
}

#[test]
fn a_cosignature_is_that_of_the_key_and_what_was_sent() {
    let io = SimIo::new(1);
    let witness = open(&io).unwrap();
    let mut tree = Tree::new(20, 0);
    let line = push(&witness, &mut tree, 7).unwrap();
    let note = checkpoint(TREE, &tree, 7, &[&log_key(TREE, 1)]);
    let signature = Signature::parse(line.strip_suffix('\n').unwrap()).unwrap();
    let time = time_of(note.text(), &signature, witness.vkey()).unwrap();
    assert_eq!(time, io.wall_us() / 1_000_000);
    // The same once more, and what it shows.
    push(&witness, &mut tree, 7).unwrap();
    let hash = "b34d6ac3";
    assert!(witness.newest(hash).is_none());
    let names = io.list(Path::new("/w/trees")).unwrap();
    let name = names.first().unwrap();
    let kept = witness.newest(name).unwrap();
    assert!(kept.starts_with(note.text()) && kept.ends_with(&line), "{kept}");
    assert_eq!(open(&io).unwrap().newest(name), Some(kept));
    assert_eq!(open(&io).unwrap().vkey(), witness.vkey());
}

/// Two histories, pushed in turn over a disk that fails: returns what was answered, as (history, size).
fn rounds(io: &Arc<SimIo>, witness: &Witness, told: &mut Vec<(usize, u64)>) {
    let mut both = [Tree::new(40, 0), Tree::new(40, 3)];
    let before = size(witness);
    for step in 1..=4 {
        let new = (before + step * 3).min(40);
        for (history, tree) in both.iter_mut().enumerate() {
            if push(witness, tree, new).is_ok() {
                told.push((history, new));
            }
            if io.is_off() {
                return;
            }
        }
    }
}

/// One history only, and never less of it.
fn check(told: &[(usize, u64)]) {
    let beyond: Vec<usize> = told.iter().filter(|(_, size)| *size > 3).map(|(history, _)| *history).collect();
    assert!(beyond.windows(2).all(|pair| pair[0] == pair[1]), "two histories were cosigned: {told:?}");
    assert!(told.windows(2).all(|pair| pair[0].1 <= pair[1].1), "it went back: {told:?}");
}

#[test]
fn no_failure_of_the_disk_makes_it_cosign_a_fork() {
    for errno in [EIO, ENOSPC] {
        for n in 0..80 {
            let io = SimIo::new(n);
            let mut told = Vec::new();
            let witness = open(&io).unwrap();
            rounds(&io, &witness, &mut told);
            io.fail(n, 1, errno);
            rounds(&io, &witness, &mut told);
            drop(witness);
            io.restart();
            match open(&io) {
                Ok(witness) => {
                    assert!(size(&witness) >= told.last().unwrap().1);
                    rounds(&io, &witness, &mut told);
                }
                Err(e) => panic!("{n}: {e}"),
            }
            assert_eq!(io.syncs_after_failure(), 0);
            check(&told);
        }
    }
}

#[test]
fn no_power_cut_makes_it_cosign_a_fork() {
    for seed in 0..6 {
        for n in 0..90 {
            let io = SimIo::new(seed * 1000 + n);
            let mut told = Vec::new();
            io.cut_power(n);
            if let Ok(witness) = open(&io) {
                rounds(&io, &witness, &mut told);
            }
            if !io.is_off() {
                io.cut_power(0);
            }
            io.reboot();
            let witness = open(&io).unwrap_or_else(|e| panic!("{seed} {n}: {e}"));
            assert!(size(&witness) >= told.last().map_or(0, |(_, size)| *size), "{seed} {n}: {told:?}");
            rounds(&io, &witness, &mut told);
            check(&told);
        }
    }
}

#[test]
fn a_sync_that_failed_ends_it_until_it_is_started_again() {
    let io = SimIo::new(3);
    let witness = open(&io).unwrap();
    let mut tree = Tree::new(9, 0);
    push(&witness, &mut tree, 3).unwrap();
    // A write that fails may be tried again: create, write, sync.
    io.fail(1, 1, ENOSPC);
    assert!(matches!(witness.add(&ask(&mut tree, 3, 5)), Err(AddError::NotKept(_))));
    push(&witness, &mut tree, 5).unwrap();
    io.fail(2, 1, EIO);
    let mut ended = false;
    for _ in 0..3 {
        ended |= matches!(witness.add(&ask(&mut tree, 5, 7)), Err(AddError::Over(_)));
    }
    assert!(ended && witness.over().is_some());
    assert!(
        matches!(witness.add(&ask(&mut tree, 5, 5)), Err(AddError::Over(_))),
        "not even what it has seen"
    );
    io.restart();
    push(&open(&io).unwrap(), &mut tree, 7).unwrap();
}

#[test]
fn what_is_not_as_it_was_written_is_not_begun_anew() {
    let io = SimIo::new(4);
    let witness = open(&io).unwrap();
    push(&witness, &mut Tree::new(9, 0), 7).unwrap();
    drop(witness);
    let trees = Path::new("/w/trees");
    let path = trees.join(&io.list(trees).unwrap()[0]);
    let whole = io.bytes(&path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        io.tamper(&path, |bytes| bytes[at] ^= 1);
        // A line of the log's own key is not ours to judge; what was cosigned is.
        if let Ok(witness) = open(&io) {
            assert_eq!(size(&witness), 7, "byte {at}");
        }
        io.tamper(&path, |bytes| bytes.clone_from(&whole));
    }
    io.tamper(&path, |bytes| bytes.clear());
    assert!(matches!(open(&io), Err(OpenError::Damaged { .. })));
    io.tamper(&path, |bytes| bytes.clone_from(&whole));
    let other = Witness::open(io.clone(), Path::new("/w"), "witness.example/w2", Watch::default(), None);
    assert!(matches!(other, Err(OpenError::Name { .. })));
    io.lose(Path::new("/w/witness.key"));
    assert!(matches!(open(&io), Err(OpenError::Gone(_))));
}

#[test]
fn a_log_cannot_name_epochs_without_end() {
    let io = SimIo::new(5);
    let witness = open(&io).unwrap();
    let tree = Tree::new(1, 0);
    let add = |epoch: usize| {
        let origin = format!("example.com/gw1/e{epoch}");
        witness.add(&request(0, vec![], &checkpoint(&origin, &tree, 1, &[&log_key(&origin, 1)])))
    };
    for epoch in 1..=MAX_TREES {
        add(epoch).unwrap();
    }
    assert!(matches!(add(MAX_TREES + 1), Err(AddError::TooMany)));
    // Those that it knows are answered.
    assert!(matches!(add(1), Err(AddError::Refused(Refusal::Stale { known: 1, .. }))));
}
