//! Forgeries by the hundred thousand, none of which is taken.

use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::cosignature::cosign;
use firsthand_auditlog::tlog::hashes::{TileError, TileHashes};
use firsthand_auditlog::tlog::key::{KeyKind, SigningKey, VerifyingKey};
use firsthand_auditlog::tlog::note::Note;
use firsthand_auditlog::tlog::policy::Policy;
use firsthand_auditlog::tlog::proof::{
    prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};
use firsthand_auditlog::tlog::receipt::Receipt;
use firsthand_auditlog::tlog::tile::{Layer, Tile};
use firsthand_auditlog::tree::{Hash, leaf_hash};

use crate::store::{Dice, Files, Store, entry};

/// Another run of hashes than this one.
fn other_hashes(proof: &[Hash], dice: &mut Dice) -> Vec<Hash> {
    let mut forged = proof.to_vec();
    let at = dice.below(proof.len().max(1) as u64) as usize;
    match dice.below(if proof.is_empty() { 1 } else { 6 }) {
        0 => forged.insert(at, std::array::from_fn(|_| dice.roll() as u8)),
        1 => drop(forged.remove(at)),
        2 => forged[at] = [0; 32],
        3 => {
            let with = dice.below(proof.len() as u64) as usize;
            forged.swap(at, with);
        }
        4 => forged.push(proof[at]),
        _ => forged[at][dice.below(32) as usize] ^= 1 << dice.below(8),
    }
    forged
}

fn flipped(hash: &Hash, dice: &mut Dice) -> Hash {
    let mut forged = *hash;
    forged[dice.below(32) as usize] ^= 1 << dice.below(8);
    forged
}

#[test]
fn proofs_of_inclusion() {
    let (store, mut dice, mut forged) = (Store::new(5000), Dice(10), 0);
    for _ in 0..10_000 {
        let most = [3, 40, 5000][dice.below(3) as usize];
        let size = dice.below(most) + 1;
        let index = dice.below(size);
        let (leaf, whole) = (store.get(0, index), root(&mut &store, size).unwrap());
        let proof = prove_inclusion(&mut &store, index, size).unwrap();
        for _ in 0..8 {
            let other = other_hashes(&proof, &mut dice);
            if other != proof {
                assert!(verify_inclusion(&leaf, index, size, &other, &whole).is_err(), "{index} of {size}");
                forged += 1;
            }
        }
        let elsewhere = dice.below(size + 3);
        if elsewhere != index {
            assert!(verify_inclusion(&leaf, elsewhere, size, &proof, &whole).is_err(), "{index} of {size}");
            forged += 1;
        }
        assert!(verify_inclusion(&flipped(&leaf, &mut dice), index, size, &proof, &whole).is_err());
        assert!(verify_inclusion(&leaf, index, size, &proof, &flipped(&whole, &mut dice)).is_err());
        // A node is no leaf: its hash is made with another first byte.
        if let Some(sibling) = proof.first() {
            let pair = [leaf, *sibling].concat();
            assert!(verify_inclusion(&leaf_hash(&pair), index / 2, size / 2, &proof[1..], &whole).is_err());
        }
        forged += 2;
    }
    assert!(forged > 90_000, "{forged}");
}

#[test]
fn proofs_of_consistency() {
    let (store, mut dice, mut forged) = (Store::new(5000), Dice(11), 0);
    for _ in 0..10_000 {
        let most = [4, 40, 5000][dice.below(3) as usize];
        let new = dice.below(most) + 1;
        let old = dice.below(new + 1);
        let (was, is) = (root(&mut &store, old).unwrap(), root(&mut &store, new).unwrap());
        let proof = prove_consistency(&mut &store, old, new).unwrap();
        for _ in 0..8 {
            let other = other_hashes(&proof, &mut dice);
            if other != proof {
                let verdict = verify_consistency((old, &was), (new, &is), &other);
                assert!(verdict.is_err(), "{old} to {new}");
                forged += 1;
            }
        }
        // A history that was written anew: the same size, another root.
        assert!(verify_consistency((old, &flipped(&was, &mut dice)), (new, &is), &proof).is_err());
        if old > 0 {
            assert!(verify_consistency((old, &was), (new, &flipped(&is, &mut dice)), &proof).is_err());
        }
        if old != new {
            assert!(verify_consistency((new, &is), (old, &was), &proof).is_err(), "back from {new} to {old}");
        }
        forged += 3;
    }
    assert!(forged > 90_000, "{forged}");
}

/// Asks for a leaf, a proof and an older root: whatever comes must be the truth.
fn ask(files: &Files, honest: &Files, size: u64, index: u64) -> bool {
    let whole = honest.roots[size as usize];
    let mut tiles = match TileHashes::new(files, size, &whole) {
        Ok(tiles) => tiles,
        Err(TileError::Edge(_)) => return false,
        Err(other) => panic!("{other}"),
    };
    match tiles.leaf(index) {
        Ok(leaf) => assert_eq!(leaf, leaf_hash(&entry(index)), "{index} of {size}"),
        Err(TileError::Forged(_)) => return false,
        Err(other) => panic!("{other}"),
    }
    if let Ok(proof) = prove_inclusion(&mut tiles, index, size) {
        verify_inclusion(&leaf_hash(&entry(index)), index, size, &proof, &whole).unwrap();
    }
    if let Ok(proof) = prove_consistency(&mut tiles, index + 1, size) {
        let old = (index + 1, &honest.roots[index as usize + 1]);
        verify_consistency(old, (size, &whole), &proof).unwrap();
    }
    true
}

/// The forgery that two readers took for good at nearly every size to 2,747: leaf 5 replaced, nothing else.
#[test]
fn leaf_5_at_any_size() {
    let honest = Files::new(2747);
    let mut forged = honest.clone();
    let first = Tile::new(Layer::Hashes(0), 0, 256).unwrap();
    forged.full.get_mut(&first).unwrap()[5 * 32..6 * 32].copy_from_slice(&leaf_hash(b"forged"));
    for size in (6..800).chain((800..=2747).step_by(3)) {
        assert!(!ask(&forged, &honest, size, 5), "size {size}");
        assert!(size % 16 != 0 || ask(&honest, &honest, size, 5), "size {size}");
    }
}

/// Every tile of a log with three levels, each bit of it as likely, and every tile given in place of another.
#[test]
fn any_tile() {
    let honest = Files::new(66_300);
    let all: Vec<Tile> = honest.full.keys().copied().collect();
    let (mut dice, mut refused) = (Dice(12), 0);
    for tile in &all {
        for kind in 0..3 {
            let mut forged = honest.clone();
            let bytes = forged.full.get_mut(tile).unwrap();
            let at = dice.below(bytes.len() as u64) as usize;
            match kind {
                0 => bytes[at] ^= 1 << dice.below(8),
                1 => bytes[at / 32 * 32..at / 32 * 32 + 32].fill(0),
                _ => {
                    let other = &honest.full[&all[dice.below(all.len() as u64) as usize]];
                    let with: Vec<u8> = other.iter().copied().cycle().take(bytes.len()).collect();
                    bytes.copy_from_slice(&with);
                }
            }
            if forged.full == honest.full {
                continue;
            }
            // Of the entries that the tile covers, any.
            let bits = u32::from(tile.layer().level()) * 8 + 8;
            let first = tile.index() << bits;
            let index = first + dice.below((honest.size - first).min(1 << bits));
            assert!(!ask(&forged, &honest, honest.size, index), "{} at {at}", tile.path());
            refused += 1;
        }
    }
    assert!(refused > 750, "{refused}");
}

/// Small logs, where every byte of every tile is the root's: many more of them.
#[test]
fn any_byte_of_small_logs() {
    let honest = Files::new(700);
    let (mut dice, mut refused) = (Dice(13), 0);
    for _ in 0..4000 {
        let size = dice.below(700) + 1;
        let index = dice.below(size);
        let mut forged = honest.clone();
        let tile = Tile::of_tree(Layer::Hashes(0), index / 256, honest.size).unwrap();
        let bytes = forged.full.get_mut(&tile).unwrap();
        bytes[(index % 256) as usize * 32 + dice.below(32) as usize] ^= 1 << dice.below(8);
        assert!(!ask(&forged, &honest, size, index), "{index} of {size}");
        refused += 1;
    }
    assert_eq!(refused, 4000);
}

/// Another text than this one: mostly a byte or a bit, sometimes a piece.
fn other_text(text: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut forged = text.to_vec();
    let at = dice.below(text.len() as u64) as usize;
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    match dice.below(8) {
        0 => forged[at] ^= 1 << dice.below(8),
        1 => drop(forged.remove(at)),
        2 => forged.insert(at, dice.roll() as u8),
        3 => forged.truncate(at),
        4 => {
            let with = dice.below(text.len() as u64) as usize;
            forged.swap(at, with);
        }
        // What stays of the right form is what gets to the signatures.
        _ => forged[at] = letters[dice.below(letters.len() as u64) as usize],
    }
    forged
}

fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, kind, &[seed; 32]).unwrap()
}

#[test]
fn checkpoints() {
    let (log, mut dice) = (key("log.example", KeyKind::Note, 1), Dice(14));
    let known: [VerifyingKey; 1] = [log.verifying().clone()];
    let mut forged = 0;
    for round in 0..100 {
        let checkpoint = Checkpoint::new("log.example", 1000 + round, [round as u8; 32]).unwrap();
        let text = checkpoint.sign(&[&log]).unwrap().to_text();
        assert!(Checkpoint::open(text.as_bytes(), "log.example", &known).is_ok());
        for _ in 0..500 {
            let other = other_text(text.as_bytes(), &mut dice);
            if other != text.as_bytes() {
                let opened = Checkpoint::open(&other, "log.example", &known);
                assert!(opened.is_err(), "{}", String::from_utf8_lossy(&other));
                forged += 1;
            }
        }
    }
    assert!(forged > 48_000, "{forged}");
}

/// A log, three witnesses who must all sign, and a proof: no byte of a receipt is free.
#[test]
fn receipts_and_cosignatures() {
    let log = key("log.example", KeyKind::Note, 1);
    let witnesses: Vec<SigningKey> = (2..5).map(|i| key("w.example", KeyKind::Cosignature, i)).collect();
    let mut policy = format!("log {}\n", log.verifying());
    for (i, witness) in witnesses.iter().enumerate() {
        policy += &format!("witness w{i} {}\n", witness.verifying());
    }
    policy += "group all all w0 w1 w2\nquorum all\n";
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let (store, mut dice, mut forged) = (Store::new(5000), Dice(15), 0);
    for round in 0..60u64 {
        let size = 1 + dice.below(5000);
        let index = dice.below(size);
        let whole = root(&mut &store, size).unwrap();
        let mut note = Checkpoint::new("log.example", size, whole).unwrap().sign(&[&log]).unwrap();
        for witness in &witnesses {
            note.add(cosign(witness, note.text(), 1_700_000_000 + round).unwrap()).unwrap();
        }
        let proof = prove_inclusion(&mut &store, index, size).unwrap();
        let receipt = Receipt::new(index, proof, note).unwrap();
        let (leaf, text) = (store.get(0, index), receipt.to_text());
        assert!(Receipt::parse(text.as_bytes()).unwrap().verify(&leaf, &policy).is_ok());
        for _ in 0..1000 {
            let other = other_text(text.as_bytes(), &mut dice);
            if other != text.as_bytes() {
                let taken = Receipt::parse(&other).is_ok_and(|r| r.verify(&leaf, &policy).is_ok());
                assert!(!taken, "{}", String::from_utf8_lossy(&other));
                forged += 1;
            }
        }
        assert!(receipt.verify(&flipped(&leaf, &mut dice), &policy).is_err());
    }
    assert!(forged > 57_000, "{forged}");
}

/// A cosignature says nothing of another checkpoint, another time, or another witness; nor is a log's signature one.
#[test]
fn cosignatures_moved() {
    let mut dice = Dice(16);
    let (one, two) = (key("w.example", KeyKind::Cosignature, 1), key("w.example", KeyKind::Cosignature, 2));
    let known = [one.verifying().clone()];
    let text = |size| Checkpoint::new("log.example", size, [5; 32]).unwrap().to_text();
    for size in 1..2000 {
        let line = cosign(&one, &text(size), dice.below(1 << 40)).unwrap();
        let mut note = Note::new(&text(size + dice.below(5) + 1)).unwrap();
        note.add(line.clone()).unwrap();
        assert!(note.verify(&known).is_err());
        let mut stranger = Note::new(&text(size)).unwrap();
        stranger.add(cosign(&two, &text(size), 7).unwrap()).unwrap();
        assert!(stranger.verify(&known).is_err());
        stranger.add(line).unwrap();
        assert_eq!(stranger.verify(&known).map(|s| s.len()), Ok(1), "and a stranger's line spoils nothing");
    }
}
