//! The transparency log's texts and bundles: each is read from files, servers and auditors that may be anyone's. The first byte
//! says which decoder gets the rest.

#![no_main]

use firsthand_auditlog::tlog::checkpoint::Checkpoint;
use firsthand_auditlog::tlog::cosignature::{MAX_TIME, time_of};
use firsthand_auditlog::tlog::key::{KeyKind, VerifyingKey};
use firsthand_auditlog::tlog::note::Note;
use firsthand_auditlog::tlog::policy::Policy;
use firsthand_auditlog::tlog::proof::{verify_consistency, verify_inclusion};
use firsthand_auditlog::tlog::receipt::Receipt;
use firsthand_auditlog::tlog::tile::{Tile, decode_bundle, encode_bundle};
use firsthand_auditlog::tree::Hash;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((decoder, rest)) = data.split_first() else { return };
    match decoder {
        b'n' => note(rest),
        b'p' => path(rest),
        b'b' => bundle(rest),
        b'q' => policy(rest),
        b'r' => receipt(rest),
        b'k' => key(rest),
        b'm' => proof(rest),
        _ => {}
    }
});

/// A note, the checkpoint in it, and whatever lines claim to be cosignatures.
fn note(data: &[u8]) {
    let Ok(note) = Note::parse(data) else { return };
    assert_eq!(note.to_text().as_bytes(), data, "a note has one spelling");
    if let Ok(checkpoint) = Checkpoint::parse(note.text()) {
        assert!(note.text().starts_with(&checkpoint.to_text()));
    }
    for line in note.signatures() {
        for kind in [KeyKind::Note, KeyKind::Cosignature] {
            let Ok(key) = VerifyingKey::new(line.name(), kind, [7; 32]) else { continue };
            assert!(time_of(note.text(), line, &key).is_none_or(|time| time <= MAX_TIME));
            // The id would have to be found too; what the check does with the bytes is the same.
            let _ = note.verify(&[key]);
        }
    }
}

fn path(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(tile) = Tile::parse(text) else { return };
    assert_eq!(tile.path(), text, "a tile has one path");
    let _ = (tile.first_entry(), Tile::of_tree(tile.layer(), tile.index(), u64::MAX));
}

fn bundle(data: &[u8]) {
    let Some((width, bytes)) = data.split_first() else { return };
    let Ok(entries) = decode_bundle(bytes, u16::from(*width)) else { return };
    assert_eq!(encode_bundle(entries).as_deref(), Ok(bytes), "a bundle has one spelling");
}

fn policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data) else { return };
    let all: Vec<usize> = (0..policy.witnesses().len()).collect();
    assert!(policy.is_quorum(&all), "all witnesses together are always enough");
    assert_eq!(policy.is_quorum(&[]), !policy.needs_witnesses(), "and none only where none is needed");
}

fn receipt(data: &[u8]) {
    let Ok(receipt) = Receipt::parse(data) else { return };
    assert_eq!(receipt.to_text().as_bytes(), data, "a receipt has one spelling");
    let key = VerifyingKey::new("log", KeyKind::Note, [7; 32]).map(|key| format!("log {key}\nquorum none\n"));
    let trusted = key.ok().and_then(|text| Policy::parse(text.as_bytes()).ok());
    assert!(trusted.is_some_and(|policy| receipt.verify(&[0; 32], &policy).is_err()));
}

fn key(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let Ok(key) = VerifyingKey::parse(text) else { return };
    assert_eq!(key.to_vkey(), text, "a key has one spelling");
}

/// Sizes and hashes that are a stranger's: nothing overflows, and zeros are no root.
fn proof(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((second, rest)) = rest.split_first_chunk::<8>() else { return };
    let (a, b) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
    let (hashes, _): (&[Hash], _) = rest.as_chunks();
    assert!(verify_inclusion(&[1; 32], a, b, hashes, &[0; 32]).is_err());
    assert!(verify_consistency((a, &[1; 32]), (b, &[0; 32]), hashes).is_err());
}
