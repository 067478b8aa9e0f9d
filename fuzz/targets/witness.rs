//! What anybody may send a witness, and what a witness may answer. The first byte says which decoder gets the rest.

#![no_main]

use std::sync::LazyLock;

use firsthand_auditlog::tlog::key::{KeyKind, SigningKey, VerifyingKey};
use firsthand_auditlog::witness::answer::{cosignature, known_size};
use firsthand_auditlog::witness::request::{MAX_PROOF, Request};
use firsthand_auditlog::witness::watch::{Seen, Watch, Watched};

const TREE: &str = "example.com/gw1/e1";

static WATCH: LazyLock<Watch> = LazyLock::new(|| {
    let key = SigningKey::from_seed(TREE, KeyKind::Note, &[1; 32]).unwrap();
    Watch::new(vec![Watched::new("example.com/gw1", true, &[key.verifying().clone()]).unwrap()]).unwrap()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((decoder, rest)) = data.split_first() else { return };
    match decoder {
        b'q' => request(rest),
        b'a' => answer(rest),
        _ => {}
    }
});

fn request(data: &[u8]) {
    if let Ok(request) = Request::parse(data) {
        assert_eq!(request.to_text().as_bytes(), data, "a request has one spelling");
        assert!(request.proof().len() <= MAX_PROOF);
    }
    // The seeds are signed: what passes is one of them, or differs where nothing is signed.
    match WATCH.read(data) {
        Ok(asked) => {
            assert_eq!(asked.origin(), TREE);
            assert!(asked.extends(&Seen { size: u64::MAX, root: [0; 32] }).is_err());
            let _ = asked.extends(&Seen::nothing());
        }
        Err(refusal) => assert!(matches!(refusal.status(), 400 | 403 | 404)),
    }
}

fn answer(data: &[u8]) {
    let text = "example.com/gw1/e1\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let key = VerifyingKey::new("w.example", KeyKind::Cosignature, [7; 32]);
    assert!(key.is_ok_and(|key| cosignature(data, text, &key).is_none()), "nobody has signed that");
    if let Some(size) = known_size(data) {
        assert_eq!(format!("{size}\n").as_bytes(), data, "a size has one spelling");
    }
}
