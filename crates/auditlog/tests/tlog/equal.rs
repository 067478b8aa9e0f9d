//! Byte for byte what other implementations say.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::hashes::TileHashes;
use firsthand_auditlog::tlog::key::{KeyKind, SigningKey, VerifyingKey};
use firsthand_auditlog::tlog::note::Note;
use firsthand_auditlog::tlog::proof::{
    prove_consistency, prove_inclusion, root, verify_consistency, verify_inclusion,
};
use firsthand_auditlog::tlog::tile::{Layer, new_tiles};
use firsthand_auditlog::tree::{Frontier, Hash, leaf_hash};
use sha2_of_oracle::Sha256;

use crate::store::{Dice, Files, Store, entry};

type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

fn plain(proof: &[tlog_tiles::Hash]) -> Vec<Hash> {
    proof.iter().map(|hash| hash.0).collect()
}

fn theirs(proof: &[Hash]) -> Vec<tlog_tiles::Hash> {
    proof.iter().map(|hash| tlog_tiles::Hash(*hash)).collect()
}

/// Both ways of both oracles.
fn inclusion(store: &Store, tree: Option<&Oracle>, index: u64, size: u64, whole: Hash) {
    let mut source = store;
    let proof = prove_inclusion(&mut source, index, size).unwrap();
    assert_eq!(proof, plain(&tlog_tiles::prove_record(size, index, store).unwrap()), "{index} of {size}");
    if let Some(tree) = tree {
        let other = tree.prove_inclusion(index as usize);
        assert_eq!(other.as_bytes(), proof.as_flattened(), "{index} of {size}");
    }
    let leaf = store.get(0, index);
    assert_eq!(verify_inclusion(&leaf, index, size, &proof, &whole), Ok(()), "{index} of {size}");
}

fn consistency(store: &Store, tree: Option<&Oracle>, (old, was): (u64, Hash), (new, is): (u64, Hash)) {
    let mut source = store;
    let proof = prove_consistency(&mut source, old, new).unwrap();
    if old > 0 {
        let other = plain(&tlog_tiles::prove_tree(new, old, store).unwrap());
        assert_eq!(proof, other, "{old} to {new}");
        if let Some(tree) = tree.filter(|_| old < new) {
            let other = tree.prove_consistency((new - old) as usize);
            assert_eq!(other.as_bytes(), proof.as_flattened(), "{old} to {new}");
        }
    }
    assert_eq!(verify_consistency((old, &was), (new, &is), &proof), Ok(()), "{old} to {new}");
}

/// Every pair of sizes to 300; every size to 2,000, with some positions and older sizes of each.
#[test]
fn every_size_to_2000() {
    let (store, mut tree, mut ours) = (Store::new(2000), Oracle::new(), Frontier::new());
    let (mut roots, mut dice) = (vec![ours.root()], Dice(1));
    for size in 1..=2000u64 {
        tree.push(entry(size - 1));
        ours.push(leaf_hash(&entry(size - 1)));
        let whole = ours.root();
        roots.push(whole);
        assert_eq!(tree.root().as_bytes().as_slice(), whole, "size {size}");
        assert_eq!(root(&mut &store, size).unwrap(), whole, "size {size}");
        assert_eq!(tlog_tiles::tree_hash(size, &store).unwrap().0, whole, "size {size}");
        let chosen: Vec<u64> = if size <= 300 {
            (0..size).collect()
        } else {
            [0, size / 2, size - 1].into_iter().chain((0..6).map(|_| dice.below(size))).collect()
        };
        for at in chosen {
            inclusion(&store, Some(&tree), at, size, whole);
            consistency(&store, Some(&tree), (at, roots[at as usize]), (size, whole));
        }
        consistency(&store, Some(&tree), (size, whole), (size, whole));
    }
}

#[test]
fn sizes_to_ten_million() {
    let (store, mut dice) = (Store::new(10_000_000), Dice(2));
    for round in 0..3000 {
        // Large ones, and ones of every number of digits.
        let most = if round % 2 == 0 { 10_000_000 } else { 10u64.pow(round % 7 + 1) };
        let size = dice.below(most) + 1;
        let (index, old) = (dice.below(size), dice.below(size) + 1);
        let (was, is) = (root(&mut &store, old).unwrap(), root(&mut &store, size).unwrap());
        assert_eq!(tlog_tiles::tree_hash(size, &store).unwrap().0, is);
        inclusion(&store, None, index, size, is);
        consistency(&store, None, (old, was), (size, is));
        // What is proven here convinces the others.
        let proof = prove_inclusion(&mut &store, index, size).unwrap();
        let leaf = tlog_tiles::Hash(store.get(0, index));
        tlog_tiles::check_record(&theirs(&proof), size, tlog_tiles::Hash(is), index, leaf).unwrap();
        let head = RootHash::<Sha256>::new(is.into(), size);
        let bytes = proof.as_flattened().to_vec();
        head.verify_inclusion(&Store::entry(index), index, &InclusionProof::from_bytes(bytes)).unwrap();
        let proof = prove_consistency(&mut &store, old, size).unwrap();
        let (then, now) = (tlog_tiles::Hash(was), tlog_tiles::Hash(is));
        tlog_tiles::check_tree(&theirs(&proof), size, now, old, then).unwrap();
        if old < size {
            let proof = ConsistencyProof::try_from_bytes(proof.as_flattened().to_vec()).unwrap();
            head.verify_consistency(&RootHash::new(was.into(), old), &proof).unwrap();
        }
    }
}

/// What is read from tiles is the tree, whatever its size.
#[test]
fn tiles_give_the_same_proofs() {
    let (files, store, mut dice) = (Files::new(66_000), Store::new(66_000), Dice(3));
    let sizes = (1..300).chain((0..60).map(|_| dice.below(66_000) + 1)).chain(65_530..65_545);
    for size in sizes.collect::<Vec<u64>>() {
        let whole = files.roots[size as usize];
        let mut tiles = TileHashes::new(&files, size, &whole).unwrap();
        assert_eq!(root(&mut tiles, size).unwrap(), whole);
        for _ in 0..3 {
            // Leaves repeat in the store and not in the files, so only the first ones are the same.
            let (index, old) = (dice.below(size), dice.below(size) + 1);
            let proof = prove_inclusion(&mut tiles, index, size).unwrap();
            let leaf = leaf_hash(&entry(index));
            assert_eq!(tiles.leaf(index).unwrap(), leaf);
            verify_inclusion(&leaf, index, size, &proof, &whole).unwrap();
            if size <= 61 * 256 {
                assert_eq!(proof, prove_inclusion(&mut &store, index, size).unwrap());
            }
            let proof = prove_consistency(&mut tiles, old, size).unwrap();
            verify_consistency((old, &files.roots[old as usize]), (size, &whole), &proof).unwrap();
            assert_eq!(root(&mut tiles, old).unwrap(), files.roots[old as usize]);
        }
    }
}

/// Which tiles a log of that size has, as `tlog_tiles` names them (its own paths begin with the height).
#[test]
fn the_same_tiles() {
    let mut dice = Dice(4);
    for _ in 0..300 {
        let old = dice.below(200_000);
        let new = old + dice.below(3000);
        let name = |level: u8, index: u64, width: u32| (level, index, width);
        let mut ours: Vec<_> = new_tiles(old, new)
            .map(|t| match t.layer() {
                Layer::Hashes(level) => name(level, t.index(), t.width().into()),
                Layer::Entries => panic!("no entries among hashes"),
            })
            .collect();
        let mut others: Vec<_> = tlog_tiles::Tile::new_tiles(8, old, new)
            .iter()
            .map(|t| name(t.level(), t.level_index(), t.width()))
            .collect();
        ours.sort_unstable();
        others.sort_unstable();
        assert_eq!(ours, others, "{old} to {new}");
    }
}

fn seed(dice: &mut Dice) -> [u8; 32] {
    std::array::from_fn(|_| dice.roll() as u8)
}

/// Keys, notes and checkpoints of ours are read by the others, and theirs by us.
#[test]
fn notes_and_checkpoints() {
    let mut dice = Dice(5);
    for round in 0..200u64 {
        let name = format!("log.example/{round}");
        let key = SigningKey::from_seed(&name, KeyKind::Note, &seed(&mut dice)).unwrap();
        let size = dice.below(1 << 40) + 1;
        let ours = Checkpoint::new(&name, size, seed(&mut dice)).unwrap();
        let note = ours.sign(&[&key]).unwrap();

        let read = signed_note::Note::from_bytes(note.to_text().as_bytes()).unwrap();
        assert_eq!(read.to_bytes(), note.to_text().as_bytes());
        let verifier = signed_note::StandardVerifier::new(&key.verifying().to_vkey()).unwrap();
        let (good, strange) = read.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).unwrap();
        assert_eq!((good.len(), strange.len()), (1, 0));
        let theirs = tlog_tiles::Checkpoint::from_bytes(read.text()).unwrap();
        assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (name.as_str(), size, *ours.root()));
        assert_eq!(theirs.to_bytes(), ours.to_text().as_bytes());

        // Ed25519 has one signature for a text: theirs with the same key is the same.
        let signer = signed_note::StandardSigner::new(&key.to_skey()).unwrap();
        let mut theirs = signed_note::Note::new(ours.to_text().as_bytes(), &[]).unwrap();
        theirs.add_sigs(&[&signer]).unwrap();
        assert_eq!(theirs.to_bytes(), note.to_text().as_bytes());
        assert_eq!(Note::parse(&theirs.to_bytes()), Ok(note));
        let again = SigningKey::parse(&key.to_skey()).unwrap();
        assert_eq!(again.verifying(), key.verifying());
        assert_eq!(VerifyingKey::parse(&key.verifying().to_vkey()).as_ref(), Ok(key.verifying()));
    }
}
