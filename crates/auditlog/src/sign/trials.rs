//! Trials of the signer on a disk that fails: every call of it fails once, the power is cut at every call, and the log is altered
//! behind its back. Whatever was published must be the beginning of one log.

use std::sync::{Arc, Mutex};

use super::keys::{KeysError, LogKeys};
use super::serve;
use super::signer::{Did, KEEP, Options, Published, Signer, known_size};
use super::{SignError, is_origin};
use crate::frame;
use crate::io::Io;
use crate::recover::declare_gap;
use crate::segment::{self, Segment};
use crate::sim::SimIo;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hashes::{TileHashes, TileSource};
use crate::tlog::tile::{Layer, Tile, decode_bundle};
use crate::tree::{Frontier, leaf_hash};
use crate::trials::{Note, Notes, Opened, data, open, read};

const ORIGIN: &str = "example.com/gw1";
/// Nobody witnesses.
const NOBODY: &str = "quorum none\n";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn keys(io: &Arc<SimIo>) -> Result<Arc<Mutex<LogKeys>>, KeysError> {
    let keys = LogKeys::open(&data(), ORIGIN, io.clone() as Arc<dyn Io>, io.wall_us())?;
    Ok(Arc::new(Mutex::new(keys)))
}

fn signer_of(io: &Arc<SimIo>, epoch: u64) -> Result<Signer, SignError> {
    let options = Options { data: data(), epoch, lock: None, witnesses: NOBODY.to_owned() };
    Signer::open(io.clone() as Arc<dyn Io>, keys(io)?, options)
}

fn signer(io: &Arc<SimIo>) -> Result<Signer, SignError> {
    signer_of(io, 1)
}

fn append(opened: &mut Opened, count: usize) {
    let (log, stepper, _) = opened;
    for n in 0..count {
        log.append(Note::new(format!("{n} {}", "x".repeat(n % 50))).intent()).unwrap();
        if n % 40 == 0 {
            stepper.settle();
            while stepper.keep() {}
        }
    }
    stepper.settle();
    while stepper.keep() {}
}

/// All checkpoints that an outsider may have seen.
#[derive(Debug, Default)]
struct Seen(Vec<Vec<u8>>);

impl Seen {
    fn look(&mut self, io: &SimIo) {
        let found = io.bytes(&serve::folder(&data(), 1).join("checkpoint"));
        if let Some(found) = found.filter(|found| self.0.last() != Some(found)) {
            self.0.push(found);
        }
    }

    /// Each is signed, and of this one log, whose tiles lead from its entries to its root.
    fn check(&self, io: &Arc<SimIo>, torn: bool) {
        let leaves: Vec<Vec<u8>> = read(io, 1).into_iter().map(|(leaf, _)| leaf).collect();
        let known: Vec<_> =
            keys(io).unwrap().lock().unwrap().known(1).unwrap().into_iter().map(|k| k.vkey).collect();
        let (mut tree, mut roots) = (Frontier::new(), vec![Frontier::new().root()]);
        for leaf in &leaves {
            tree.push(leaf_hash(leaf));
            roots.push(tree.root());
        }
        for bytes in &self.0 {
            match Checkpoint::open(bytes, &format!("{ORIGIN}/e1"), &known) {
                Ok((checkpoint, _)) => {
                    let size = usize::try_from(checkpoint.size()).unwrap();
                    assert_eq!(Some(checkpoint.root()), roots.get(size), "size {size}");
                }
                // The file itself is not waited for until it is on disk: a power cut may leave anything of it.
                Err(e) => assert!(torn, "{e}"),
            }
        }
    }
}

/// Steps until all is signed; an error is tried again, as the gateway does.
fn settle(signer: &mut Signer, durable: u64, seen: &mut Seen, io: &SimIo) -> Result<(), SignError> {
    let mut tries = 0;
    loop {
        let did = signer.step(durable);
        seen.look(io);
        match did {
            Ok(Did::Idle) => return Ok(()),
            Ok(_) => {}
            Err(e) => {
                tries += 1;
                if tries > 3 || e.is_refusal() || e.is_over() {
                    return Err(e);
                }
            }
        }
    }
}

fn signed(io: &Arc<SimIo>, durable: u64) -> Result<Arc<Published>, SignError> {
    let mut signer = signer(io)?;
    settle(&mut signer, durable, &mut Seen::default(), io)?;
    Ok(signer.signed().unwrap().clone())
}

struct Files<'a>(&'a SimIo, u64);

impl TileSource for Files<'_> {
    type Error = std::io::Error;

    fn read(&mut self, tile: Tile) -> Result<Vec<u8>, Self::Error> {
        let found = serve::tile(self.0, &data(), 1, tile, self.1)?;
        found.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

/// The published tree, read as an outsider does: every leaf of the log is in its bundle, and the tiles lead to the root.
fn check_tiles(io: &SimIo, at: &Published) {
    let leaves: Vec<Vec<u8>> = read(io, 1).into_iter().map(|(leaf, _)| leaf).collect();
    let mut hashes = TileHashes::new(Files(io, at.size), at.size, &at.root).unwrap();
    let mut position = 0;
    for index in 0..at.size.div_ceil(256) {
        let tile = Tile::of_tree(Layer::Entries, index, at.size).unwrap();
        let bytes = serve::tile(io, &data(), 1, tile, at.size).unwrap().unwrap();
        let entries = decode_bundle(&bytes, tile.width()).unwrap();
        for (entry, hash) in entries.iter().zip(hashes.bundle_leaves(index).unwrap()) {
            assert_eq!((*entry, leaf_hash(entry)), (leaves[position].as_slice(), hash));
            position += 1;
        }
    }
    assert_eq!(position as u64, at.size);
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Error(i32),
    /// The process is killed, or the power is cut.
    Cut {
        reboot: bool,
    },
}

/// Two rounds of appending and signing, with a fault at the n-th call of the signer. Gives the calls of each round.
fn trial(n: u64, fault: Fault, rounds: [u64; 2]) -> [u64; 2] {
    let io = SimIo::new(n);
    let mut opened = open(&io).unwrap();
    let (mut seen, mut calls, mut from) = (Seen::default(), [0; 2], 0);
    for (round, entries) in [300, 290].into_iter().enumerate() {
        append(&mut opened, entries);
        let durable = opened.0.durable_size();
        io.pass(KEEP.as_micros() as u64 + 1);
        let armed = (from..from + rounds[round]).contains(&n);
        match fault {
            Fault::Error(errno) if armed => io.fail(n - from, 1, errno),
            Fault::Cut { .. } if armed => io.cut_power(n - from),
            _ => {}
        }
        let begun = io.calls();
        let mut done = Err(None);
        for _ in 0..2 {
            done =
                signer(&io).and_then(|mut signer| settle(&mut signer, durable, &mut seen, &io)).map_err(Some);
            if done.is_ok() || io.is_off() {
                break;
            }
        }
        calls[round] = io.calls() - begun;
        if io.is_off() {
            drop(opened);
            if let Fault::Cut { reboot: true } = fault {
                io.reboot()
            } else {
                io.restart()
            }
            opened = open(&io).unwrap_or_else(|e| panic!("{n} {fault:?}: {e}"));
            assert!(opened.0.durable_size() >= durable, "{n} {fault:?}");
            done =
                signer(&io).and_then(|mut signer| settle(&mut signer, durable, &mut seen, &io)).map_err(Some);
        }
        done.unwrap_or_else(|e| panic!("{n} {fault:?}: {e:?}"));
        io.heal();
        from += rounds[round];
    }
    assert_eq!(io.syncs_after_failure(), 0, "{n} {fault:?}: an fdatasync was repeated");
    seen.check(&io, matches!(fault, Fault::Cut { reboot: true }));
    let size = opened.0.durable_size();
    let last = signed(&io, size).unwrap();
    assert_eq!(last.size, size);
    check_tiles(&io, &last);
    calls
}

#[test]
fn every_call_may_fail_once_and_nothing_contradictory_is_published() {
    let rounds = trial(u64::MAX, Fault::None, [0; 2]);
    assert!(rounds.iter().all(|calls| *calls > 40), "{rounds:?} calls are not much of a trial");
    for n in 0..rounds.iter().sum() {
        trial(n, Fault::Error(if n % 2 == 0 { EIO } else { ENOSPC }), rounds);
    }
}

#[test]
fn the_power_may_be_cut_at_every_call_and_nothing_contradictory_is_published() {
    let rounds = trial(u64::MAX, Fault::None, [0; 2]);
    for n in 0..rounds.iter().sum() {
        for reboot in [false, true] {
            trial(n, Fault::Cut { reboot }, rounds);
        }
    }
}

/// Writes the newest segment anew with other leaves, so that each frame is as good as before.
fn rewrite(io: &SimIo, change: impl Fn(u64, &[u8]) -> Option<Vec<u8>>) {
    let log = data().join("log");
    let name = *segment::list(io, &log).unwrap().last().unwrap();
    let segment = Segment::read(io, &log, name).unwrap();
    let (mut out, mut seed) = (segment.header.encode(), segment.header.seed);
    for (_, frame) in segment.frames() {
        let Some(leaf) = change(frame.seq, frame.leaf) else { break };
        seed = frame::encode(&mut out, frame.seq, frame.group, seed, &leaf, frame.sealed);
    }
    io.tamper(&name.path(&log), |bytes| {
        let length = bytes.len();
        *bytes = out.clone();
        bytes.resize(length, 0);
    });
}

fn altered(position: u64) -> impl Fn(u64, &[u8]) -> Option<Vec<u8>> {
    move |at, leaf| {
        let mut leaf = leaf.to_vec();
        if at == position {
            let last = leaf.len() - 3;
            leaf[last] ^= 1;
        }
        Some(leaf)
    }
}

/// A log of one segment, all of it signed.
fn small() -> (Arc<SimIo>, Opened, u64) {
    let io = SimIo::new(1);
    let mut opened = open(&io).unwrap();
    append(&mut opened, 100);
    let durable = opened.0.durable_size();
    assert_eq!(signed(&io, durable).unwrap().size, durable);
    (io, opened, durable)
}

#[test]
fn an_altered_log_is_not_signed() {
    for position in [0, 1, 50, 98, 99] {
        for more in [0, 1] {
            let (io, mut opened, durable) = small();
            append(&mut opened, more);
            rewrite(&io, altered(position));
            let found = signed(&io, durable + more as u64);
            assert!(matches!(found, Err(SignError::Fork { epoch: 1, .. })), "{position}: {found:?}");
            // Nor is it if the tiles are gone, and all is hashed from the beginning.
            io.lose(&data().join("signer/stored"));
            let found = signed(&io, durable + more as u64);
            assert!(matches!(found, Err(SignError::Fork { epoch: 1, .. })), "{position}: {found:?}");
            rewrite(&io, altered(position));
            assert_eq!(signed(&io, durable + more as u64).unwrap().size, durable + more as u64);
        }
    }
}

#[test]
fn a_log_that_was_rolled_back_is_not_signed() {
    let (io, _opened, durable) = small();
    rewrite(&io, |at, leaf| (at < 70).then(|| leaf.to_vec()));
    for claimed in [0, 70, durable - 1] {
        let found = signed(&io, claimed);
        assert!(matches!(found, Err(SignError::Rollback { found_epoch: 1, .. })), "{claimed}: {found:?}");
    }
    assert!(signed(&io, durable).is_err(), "the writer's word is not enough");
    assert_eq!(known_size(&*io, &data()).unwrap().unwrap().size, durable);
    assert!(open(&io).is_ok(), "nothing else knows");
    let known = known_size(&*io, &data()).unwrap();
    let options = crate::writer::Options { known, ..crate::writer::Options::default() };
    assert!(crate::writer::Log::open_stepped(&data(), |_| Ok(Notes), options, io.clone()).is_err());
}

#[test]
fn damage_is_not_signed_and_what_was_repaired_is() {
    let (io, mut opened, signed_size) = small();
    append(&mut opened, 20);
    let durable = opened.0.durable_size();
    let log = data().join("log");
    let name = *segment::list(&*io, &log).unwrap().last().unwrap();
    let at = {
        let segment = Segment::read(&*io, &log, name).unwrap();
        segment.frames().find(|(_, frame)| frame.seq == signed_size + 5).unwrap().0 + 40
    };
    io.tamper(&name.path(&log), |bytes| bytes[at] ^= 1);
    let mut signer = signer(&io).unwrap();
    let mut seen = Seen::default();
    let found = settle(&mut signer, durable, &mut seen, &io);
    assert!(
        matches!(found, Err(SignError::Damaged { epoch: 1, position, .. }) if position == signed_size + 5)
    );
    assert_eq!(signer.signed().unwrap().size, signed_size);
    io.tamper(&name.path(&log), |bytes| bytes[at] ^= 1);
    settle(&mut signer, durable, &mut seen, &io).unwrap();
    assert_eq!(signer.signed().unwrap().size, durable);
    check_tiles(&io, signer.signed().unwrap());
}

/// A write that failed is done again, perhaps with other bytes: what was seen of it before it was durable does not count.
#[test]
fn what_was_not_durable_when_it_was_read_is_read_again() {
    let io = SimIo::new(1);
    let mut opened = open(&io).unwrap();
    append(&mut opened, 60);
    let mut signer = signer(&io).unwrap();
    let mut seen = Seen::default();
    settle(&mut signer, 40, &mut seen, &io).unwrap();
    rewrite(&io, altered(41));
    settle(&mut signer, 60, &mut seen, &io).unwrap();
    seen.check(&io, false);
    check_tiles(&io, signer.signed().unwrap());
}

#[test]
fn tiles_that_are_gone_are_made_again() {
    let io = SimIo::new(1);
    let mut opened = open(&io).unwrap();
    append(&mut opened, 700);
    let durable = opened.0.durable_size();
    signed(&io, durable).unwrap();
    for path in ["tile/0/000", "tile/0/002.p/188", "tile/entries/001", "checkpoint"] {
        io.lose(&serve::folder(&data(), 1).join(path));
    }
    let again = signed(&io, durable).unwrap();
    assert_eq!(again.size, durable);
    check_tiles(&io, &again);
}

#[test]
fn partial_tiles_go_when_the_full_one_stands_and_stay_readable() {
    let io = SimIo::new(1);
    let mut opened = open(&io).unwrap();
    let mut signer = signer(&io).unwrap();
    let (mut seen, mut all) = (Seen::default(), Vec::new());
    for _ in 0..40 {
        append(&mut opened, 13);
        io.pass(KEEP.as_micros() as u64 / 4);
        settle(&mut signer, opened.0.durable_size(), &mut seen, &io).unwrap();
        all.push(signer.signed().unwrap().clone());
    }
    let folder = serve::folder(&data(), 1);
    let partial = |name: &str| io.list(&folder.join(name)).unwrap().len();
    assert_eq!((partial("tile/0/000.p"), partial("tile/entries/000.p")), (0, 0));
    assert!(partial("tile/entries/002.p") <= 4);
    assert!(partial("checkpoints") < 15);
    for at in &all {
        check_tiles(&io, at);
    }
    assert_eq!(seen.0.len(), all.len());
    seen.check(&io, false);
}

#[test]
fn a_new_epoch_is_a_tree_of_its_own_and_the_old_one_is_over() {
    let (io, opened, durable) = small();
    drop(opened);
    declare_gap::<Notes>(&*io, &data()).unwrap();
    let mut opened = open(&io).unwrap();
    append(&mut opened, 3);
    let mut signer = signer_of(&io, 2).unwrap();
    settle(&mut signer, opened.0.durable_size(), &mut Seen::default(), &io).unwrap();
    let new = signer.signed().unwrap();
    assert_eq!((new.epoch, new.size), (2, opened.0.durable_size()));
    assert!(new.note.starts_with("example.com/gw1/e2\n"));
    let old = serve::checkpoint(&*io, &data(), 1).unwrap().unwrap();
    assert_eq!(old.1, durable);
    assert!(matches!(signer_of(&io, 1), Err(SignError::Rollback { signed_epoch: 2, .. })));
}

#[test]
fn the_memory_of_another_log_or_key_is_refused() {
    let (io, _opened, durable) = small();
    let memory = data().join("signer/last");
    let whole = io.bytes(&memory).unwrap();
    io.tamper(&memory, |bytes| bytes[ORIGIN.len() + 4] ^= 1);
    assert!(matches!(signed(&io, durable), Err(SignError::Last { .. })));
    io.tamper(&memory, |bytes| *bytes = b"\n".to_vec());
    assert!(matches!(signed(&io, durable), Err(SignError::Last { .. })));
    let other = String::from_utf8(whole.clone()).unwrap().replace(ORIGIN, "example.com/gw2");
    io.tamper(&memory, |bytes| *bytes = other.into_bytes());
    assert!(matches!(signed(&io, durable), Err(SignError::Origin { .. })));
    // Where it is gone, what was published counts.
    io.lose(&memory);
    rewrite(&io, altered(4));
    assert!(matches!(signed(&io, durable), Err(SignError::Fork { .. })));
    rewrite(&io, altered(4));
    assert_eq!(signed(&io, durable).unwrap().note.as_bytes(), whole);
}

#[test]
fn a_rotation_is_told_before_the_new_key_signs() {
    let (io, mut opened, _) = small();
    let keys = keys(&io).unwrap();
    let options = Options { data: data(), epoch: 1, lock: None, witnesses: NOBODY.to_owned() };
    let mut signer = Signer::open(io.clone(), Arc::clone(&keys), options).unwrap();
    let draft = keys.lock().unwrap().draft().unwrap();
    keys.lock().unwrap().adopt(&draft, io.wall_us()).unwrap();
    append(&mut opened, 1);
    settle(&mut signer, opened.0.durable_size(), &mut Seen::default(), &io).unwrap();
    let known = keys.lock().unwrap().known(1).unwrap();
    for key in &known {
        let vkey = std::slice::from_ref(&key.vkey);
        Checkpoint::open(signer.signed().unwrap().note.as_bytes(), key.vkey.name(), vkey).unwrap();
    }
    let text = |path: &str| String::from_utf8(io.bytes(&data().join(path)).unwrap()).unwrap();
    let lines: Vec<String> = known.iter().map(|k| k.vkey.to_vkey()).collect();
    assert_eq!(text("tlog/keys").lines().collect::<Vec<_>>(), lines);
    assert_eq!(text("tlog/1/vkey").lines().collect::<Vec<_>>(), lines);
    let policy = crate::tlog::policy::Policy::parse(text("signer/policy").as_bytes()).unwrap();
    policy
        .accept(&crate::tlog::note::Note::parse(signer.signed().unwrap().note.as_bytes()).unwrap())
        .unwrap();
}

#[test]
fn origins() {
    for good in ["example.com/gw1", "firsthand.invalid/0011223344556677", "a"] {
        assert!(is_origin(good), "{good}");
    }
    for bad in ["", "https://example.com/a", "a b", "a+b", "a/", "a\n", "ä", &"a".repeat(201)] {
        assert!(!is_origin(bad), "{bad:?}");
    }
    assert_eq!(super::default_origin(&[0xab; 16]), "firsthand.invalid/abababababababab");
}
