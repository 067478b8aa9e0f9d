//! Answers that others published.

use firsthand_auditlog::tlog::checkpoint::{Checkpoint, CheckpointError};
use firsthand_auditlog::tlog::cosignature::{cosign, time_of};
use firsthand_auditlog::tlog::key::{KeyError, KeyKind, SigningKey, VerifyingKey};
use firsthand_auditlog::tlog::note::{MAX_SIGNATURES, Note, NoteError, Signed, VerifyError};
use firsthand_auditlog::tlog::policy::{Fault, JudgeError, Policy};
use firsthand_auditlog::tlog::proof::{
    prove_consistency, prove_inclusion, verify_consistency, verify_inclusion,
};
use firsthand_auditlog::tlog::receipt::{Receipt, ReceiptError};
use firsthand_auditlog::tlog::{proof::HashSource, tile::encode_bundle};
use firsthand_auditlog::tree::{Frontier, Hash, leaf_hash, node_hash};

/// The example of c2sp.org/signed-note.
#[test]
fn the_example_note() {
    let key =
        VerifyingKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let text = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_text(), text);
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify(&[key]), Ok(vec![Signed { key: 0, time: None }]));
}

/// The key and note of the Go package that the specification was written from.
#[test]
fn the_example_of_go() {
    let key =
        SigningKey::parse("PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")
            .unwrap();
    assert_eq!(
        key.verifying().to_vkey(),
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    );
    let mut note = Note::new(
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
    )
    .unwrap();
    note.sign(&key).unwrap();
    assert!(note.to_text().ends_with("\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"));
    assert!(note.verify(&[key.verifying().clone()]).is_ok());
}

/// The example of c2sp.org/tlog-cosignature: a checkpoint, and a witness at 1679315147.
#[test]
fn the_example_checkpoint() {
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_text(), text);
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    assert_eq!((checkpoint.origin(), checkpoint.size()), ("example.com/behind-the-sofa", 20_852_163));
    let witness = &note.signatures()[1];
    assert_eq!((witness.name(), witness.id()), ("witness.example.com/w1", 0x8d66_cf3f));
    assert_eq!(witness.bytes().len(), 72);
    assert_eq!(witness.bytes()[..8], 1_679_315_147u64.to_be_bytes());
    assert_eq!(note.verify(&[]), Err(VerifyError::Unsigned));
}

fn hash(hex: &str) -> Hash {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap())
}

const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

struct Eight;

impl HashSource for Eight {
    type Error = std::convert::Infallible;

    fn subtree(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        if level == 0 {
            return Ok(leaf_hash(LEAVES[index as usize]));
        }
        let left = self.subtree(level - 1, index * 2)?;
        Ok(node_hash(&left, &self.subtree(level - 1, index * 2 + 1)?))
    }
}

fn root_of(size: u64) -> Hash {
    let mut tree = Frontier::new();
    LEAVES.iter().take(size as usize).for_each(|leaf| tree.push(leaf_hash(leaf)));
    tree.root()
}

/// The proofs that Certificate Transparency's own tests publish for its eight leaves.
#[test]
fn the_proofs_of_certificate_transparency() {
    let [a, b, c, d, e, f, g, h] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    ]
    .map(hash);
    let two = hash("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    for (index, size, wanted) in [
        (0, 1, vec![]),
        (0, 8, vec![f, b, g]),
        (5, 8, vec![c, d, e]),
        (2, 3, vec![two]),
        (1, 5, vec![a, b, c]),
    ] {
        let proof = prove_inclusion(&mut Eight, index, size).unwrap();
        assert_eq!(proof, wanted, "{index} of {size}");
        let leaf = leaf_hash(LEAVES[index as usize]);
        verify_inclusion(&leaf, index, size, &wanted, &root_of(size)).unwrap();
    }
    for (old, new, wanted) in
        [(1, 1, vec![]), (1, 8, vec![f, b, g]), (6, 8, vec![h, d, e]), (2, 5, vec![b, c])]
    {
        assert_eq!(prove_consistency(&mut Eight, old, new).unwrap(), wanted, "{old} to {new}");
        verify_consistency((old, &root_of(old)), (new, &root_of(new)), &wanted).unwrap();
    }
}

fn key(name: &str, kind: KeyKind, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, kind, &[seed; 32]).unwrap()
}

#[test]
fn a_note_that_breaks_a_rule_is_none() {
    let sig = "— a.example AAAAAAE=\n";
    let many = |n| format!("x\n\n{}", sig.repeat(n));
    let good = Note::parse(many(MAX_SIGNATURES).as_bytes()).unwrap();
    assert_eq!(good.signatures().len(), MAX_SIGNATURES);
    for (text, error) in [
        (String::new(), NoteError::Form),
        ("x\n".into(), NoteError::Form),
        ("x\n\n".into(), NoteError::Form),
        (format!("x\n{sig}"), NoteError::Form),
        (format!("\n{sig}"), NoteError::Form),
        (format!("x\n\n{}", sig.trim_end()), NoteError::Form),
        (format!("x\t\n\n{sig}"), NoteError::Characters),
        (format!("x\r\n\n{sig}"), NoteError::Characters),
        ("x\n\n— a.example\tAAAAAAE=\n".into(), NoteError::Characters),
        ("x\n\n- a.example AAAAAAE=\n".into(), NoteError::Signature(1)),
        ("x\n\n—  AAAAAAE=\n".into(), NoteError::Signature(1)),
        ("x\n\n— a+b AAAAAAE=\n".into(), NoteError::Signature(1)),
        ("x\n\n— a\u{a0}b AAAAAAE=\n".into(), NoteError::Signature(1)),
        ("x\n\n— a b AAAAAAE=\n".into(), NoteError::Signature(1)),
        ("x\n\n— a AAAAAA==\n".into(), NoteError::Signature(1)),
        ("x\n\n— a AAAAAAF=\n".into(), NoteError::Signature(1)),
        (format!("x\n\n{sig}junk\n"), NoteError::Signature(2)),
        (many(MAX_SIGNATURES + 1), NoteError::TooMany),
        ("x".repeat(600_000), NoteError::TooLong),
    ] {
        assert_eq!(Note::parse(text.as_bytes()), Err(error), "{text:.40}");
    }
    // The last empty line is the one that counts.
    let nested = format!("x\n\n{sig}\n\n{sig}");
    assert_eq!(Note::parse(nested.as_bytes()).unwrap().text(), format!("x\n\n{sig}\n"));
}

#[test]
fn a_key_that_breaks_a_rule_is_none() {
    let good = key("a.example", KeyKind::Note, 1).verifying().to_vkey();
    let (_, rest) = good.split_once('+').unwrap();
    let (id, base64) = rest.split_once('+').unwrap();
    assert_eq!(VerifyingKey::parse(&format!("+{rest}")), Err(KeyError::Name));
    assert_eq!(VerifyingKey::parse(&format!("a b+{rest}")), Err(KeyError::Name));
    assert!(matches!(VerifyingKey::parse(&format!("b.example+{rest}")), Err(KeyError::Id { .. })));
    for wrong in ["", "+", "++", "a.example", &good[..good.len() - 1], &format!("{good}=")] {
        assert_eq!(VerifyingKey::parse(wrong), Err(KeyError::Form), "{wrong}");
    }
    let upper = format!("a.example+{}+{base64}", id.to_uppercase());
    assert!(id.to_uppercase() == id || VerifyingKey::parse(&upper).is_err());
    assert_eq!(VerifyingKey::parse("a+00000000+Bg=="), Err(KeyError::Kind(6)));
    assert_eq!(VerifyingKey::parse("a+00000000+AQ=="), Err(KeyError::Length(0)));
    // The same key for another purpose has another id.
    let other = key("a.example", KeyKind::Cosignature, 1);
    assert_ne!(other.verifying().to_vkey(), good);
    assert_ne!(format!("{:08x}", other.verifying().id()), id);
    // A private key is not printed by mistake.
    assert!(!format!("{other:?}").contains("PRIVATE"));
}

#[test]
fn a_checkpoint_that_breaks_a_rule_is_none() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    assert!(Checkpoint::parse(&format!("o\n1\n{root}\nextension\nmore\n")).is_ok());
    assert!(Checkpoint::parse("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n").is_ok());
    for (text, error) in [
        (format!("o\n1\n{root}"), CheckpointError::Lines),
        (format!("\n1\n{root}\n"), CheckpointError::Lines),
        (format!("o\n1\n{root}\n\n"), CheckpointError::Lines),
        (format!("o\n1\n{root}\n\nx\n"), CheckpointError::Lines),
        ("o\n1\n".into(), CheckpointError::Lines),
        (format!("o\n01\n{root}\n"), CheckpointError::Size),
        (format!("o\n9223372036854775808\n{root}\n"), CheckpointError::Size),
        (format!("o\n0\n{root}\n"), CheckpointError::EmptyRoot),
        ("o\n1\nAAAA\n".into(), CheckpointError::Root),
        ("o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n".into(), CheckpointError::Root),
    ] {
        assert_eq!(Checkpoint::parse(&text), Err(error), "{text:?}");
    }
}

/// The log's own key in rotation, two witnesses, and what of it counts.
#[test]
fn who_signed_a_checkpoint() {
    let (old, new) = (key("log.example", KeyKind::Note, 1), key("log.example", KeyKind::Note, 2));
    let witness = key("w.example", KeyKind::Cosignature, 3);
    let checkpoint = Checkpoint::new("log.example", 3, [9; 32]).unwrap();
    let mut note = checkpoint.sign(&[&old, &new]).unwrap();
    for time in [100, 300, 200] {
        note.add(cosign(&witness, note.text(), time).unwrap()).unwrap();
    }
    let bytes = note.to_text().into_bytes();
    let keys = [old.verifying().clone(), new.verifying().clone(), witness.verifying().clone()];
    for known in [&keys[..1], &keys[1..2], &keys] {
        assert_eq!(Checkpoint::open(&bytes, "log.example", known).unwrap().0, checkpoint);
    }
    let newest = Signed { key: 2, time: Some(300) };
    assert_eq!(note.verify(&keys).unwrap()[2], newest, "the newest time counts");
    assert_eq!(time_of(note.text(), &note.signatures()[2], &keys[2]), Some(100));
    // A witness alone does not speak for the log.
    assert!(Checkpoint::open(&bytes, "log.example", &keys[2..]).is_err());
    // Another log's key does not, nor this one for another log.
    let foreign = key("other.example", KeyKind::Note, 4);
    let mixed = checkpoint.sign(&[&foreign]).unwrap().to_text().into_bytes();
    let known = [foreign.verifying().clone()];
    assert!(Checkpoint::open(&mixed, "log.example", &known).is_err());
    let refused = Checkpoint::open(&mixed, "other.example", &known).unwrap_err();
    assert!(matches!(refused, CheckpointError::OtherLog { .. }), "{refused}");
    // Keys do what they are for.
    assert_eq!(note.sign(&witness), Err(NoteError::Kind));
    assert!(cosign(&old, note.text(), 1).is_err());
    assert!(cosign(&witness, "no checkpoint\n", 1).is_err());
    assert!(cosign(&witness, note.text(), u64::MAX).is_err());
}

fn policy(lines: &str) -> Result<Policy, (usize, Fault)> {
    Policy::parse(lines.as_bytes()).map_err(|e| (e.line, e.fault))
}

#[test]
fn a_policy_in_two_levels() {
    let log = key("log.example", KeyKind::Note, 1);
    let witnesses: Vec<SigningKey> = (0..6).map(|i| key("w", KeyKind::Cosignature, 10 + i)).collect();
    let mut text = format!("# the specification's example\n\nlog {} https://log.example/\n", log.verifying());
    for (i, w) in witnesses.iter().enumerate() {
        text += &format!(" witness\t{}{}  {} \n", if i < 3 { "X" } else { "Y" }, i % 3 + 1, w.verifying());
    }
    text += "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n";
    text += "group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n";
    let policy = policy(&text).unwrap();
    for set in 0..64u32 {
        let who: Vec<usize> = (0..6).filter(|i| set >> i & 1 == 1).collect();
        let enough = (set & 7).count_ones() >= 2 && set >> 3 != 0;
        assert_eq!(policy.is_quorum(&who), enough, "{who:?}");
        let mut note = Checkpoint::new("log.example", 1, [7; 32]).unwrap().sign(&[&log]).unwrap();
        for (i, w) in witnesses.iter().enumerate().filter(|(i, _)| who.contains(i)) {
            note.add(cosign(w, note.text(), 1000 + i as u64).unwrap()).unwrap();
        }
        let judged = policy.judge(&note).unwrap();
        assert_eq!(judged.cosigned.iter().map(|c| c.witness).collect::<Vec<_>>(), who);
        assert_eq!((judged.quorum, judged.logs.as_slice()), (enough, &[0][..]));
        assert_eq!(policy.accept(&note).is_ok(), enough);
    }
    let mut unsigned = Note::new("log.example\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n").unwrap();
    for w in &witnesses {
        unsigned.add(cosign(w, unsigned.text(), 1).unwrap()).unwrap();
    }
    assert_eq!(policy.accept(&unsigned), Err(JudgeError::NoLog("log.example".into())));
}

#[test]
fn a_policy_says_where_it_is_wrong() {
    let [l, w, v] = [KeyKind::Note, KeyKind::Cosignature, KeyKind::Cosignature];
    let (l, w, v) = (key("l", l, 1), key("w", w, 2), key("v", v, 3));
    let (l, w, v) = (l.verifying(), w.verifying(), v.verifying());
    let same = VerifyingKey::new("alias", KeyKind::Cosignature, *w.public()).unwrap();
    let base = format!("log {l}\nwitness w {w}\nwitness v {v}\n");
    assert!(policy(&format!("{base}quorum none\n")).is_ok());
    assert!(policy(&format!("{base}quorum w\n")).is_ok());
    assert!(policy("quorum none\n").unwrap().judge(&Note::new("x\n").unwrap()).is_err());
    for (more, line, fault) in [
        ("", 3, Fault::NoQuorum),
        ("quorum w", 4, Fault::Cut),
        ("quorum x\n", 4, Fault::Unknown("x".into())),
        ("quorum w\nquorum v\n", 5, Fault::SecondQuorum),
        ("quorum w v\n", 4, Fault::Form("quorum NAME|none")),
        ("quorum\n", 4, Fault::Form("quorum NAME|none")),
        ("quorum w\r\n", 4, Fault::Control(b'\r')),
        ("# \u{7f}\n", 4, Fault::Control(0x7f)),
        ("qourum w\n", 4, Fault::Word("qourum".into())),
        ("group g all\n", 4, Fault::Form("group NAME all|any|K MEMBER...")),
        ("group g 0 w v\n", 4, Fault::Threshold("0".into(), 2)),
        ("group g 3 w v\n", 4, Fault::Threshold("3".into(), 2)),
        ("group g 01 w v\n", 4, Fault::Threshold("01".into(), 2)),
        ("group g some w v\n", 4, Fault::Threshold("some".into(), 2)),
        ("group g any w w\n", 4, Fault::Twice("w".into())),
        ("group g any w\ngroup h any w\n", 5, Fault::Twice("w".into())),
        ("group g any g\n", 4, Fault::Unknown("g".into())),
        ("group g any none\n", 4, Fault::Unknown("none".into())),
        ("group w any v\n", 4, Fault::Taken("w".into())),
        ("group none any v\n", 4, Fault::Taken("none".into())),
        (&format!("witness x {same}\n"), 4, Fault::SameKey),
        (&format!("log {l}\n"), 4, Fault::SameKey),
        (&format!("log {v}\n"), 4, Fault::Kind(4)),
        (&format!("witness x {l}\n"), 4, Fault::Kind(1)),
        ("log x\n", 4, Fault::Key(KeyError::Form)),
        ("log a+00000000+Bg==\n", 4, Fault::Key(KeyError::Kind(6))),
        (&format!("log {l} a b\n"), 4, Fault::Form("log VKEY [URL]")),
    ] {
        assert_eq!(policy(&format!("{base}{more}")), Err((line, fault)), "{more}");
    }
}

#[test]
fn a_receipt_and_what_it_proves() {
    let (log, witness) = (key("log.example", KeyKind::Note, 1), key("w", KeyKind::Cosignature, 2));
    let lines = format!("log {}\nwitness w {}\nquorum w\n", log.verifying(), witness.verifying());
    let policy = policy(&lines).unwrap();
    let mut note = Checkpoint::new("log.example", 8, root_of(8)).unwrap().sign(&[&log]).unwrap();
    let proof = prove_inclusion(&mut Eight, 5, 8).unwrap();
    let early = Receipt::new(5, proof.clone(), note.clone()).unwrap();
    let leaf = leaf_hash(LEAVES[5]);
    assert!(matches!(early.verify(&leaf, &policy), Err(ReceiptError::Judge(JudgeError::Quorum { .. }))));
    note.add(cosign(&witness, note.text(), 1_700_000_000).unwrap()).unwrap();
    let receipt = Receipt::new(5, proof, note).unwrap();
    for receipt in [receipt.clone(), receipt.with_extra(b"more".to_vec()).unwrap()] {
        let text = receipt.to_text();
        assert_eq!(Receipt::parse(text.as_bytes()).as_ref(), Ok(&receipt), "{text}");
        let judged = receipt.verify(&leaf, &policy).unwrap();
        assert_eq!((judged.checkpoint.size(), judged.cosigned[0].time), (8, 1_700_000_000));
        assert!(receipt.verify(&leaf_hash(LEAVES[4]), &policy).is_err());
    }
    let text = early.to_text();
    let without = text.replace("index 5\n", "");
    for wrong in [
        "",
        "c2sp.org/tlog-proof@v1\n",
        &without,
        &text.replace("@v1", "@v2"),
        &text.replace("index 5", "index 05"),
        &text.replace("index 5", "extra \nindex 5"),
        &text.replace("index 5", "index 5\nextra AAAA"),
        &text.replace("index 5", "index 9223372036854775807"),
        &text.replace("index 5", &format!("index 5{}", format!("\n{}", "A".repeat(43) + "=").repeat(64))),
        &text.replace("index 5", "index 5\n"),
    ] {
        assert!(Receipt::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    assert_eq!(encode_bundle([b"ab".as_slice()]).unwrap(), b"\x00\x02ab");
}
