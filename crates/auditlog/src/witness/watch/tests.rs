//! The truth table of the decision: each answer of the specification, and what comes before what.

use super::*;
use crate::tlog::key::SigningKey;
use crate::tlog::proof::prove_consistency;
use crate::witness::trials::{Tree, checkpoint, log_key, request};

const ORIGIN: &str = "example.com/gw1";
const TREE: &str = "example.com/gw1/e1";

fn watch() -> Watch {
    let vkey = log_key(TREE, 1).verifying().clone();
    Watch::new(vec![Watched::new(ORIGIN, true, &[vkey]).unwrap()]).unwrap()
}

/// The verdict on a request, where a tree of `seen` was cosigned.
fn verdict(body: &[u8], seen: &Seen) -> Result<(), u16> {
    watch().read(body).and_then(|asked| asked.extends(seen)).map_err(|e| e.status())
}

fn seen(tree: &Tree, size: u64) -> Seen {
    if size == 0 { Seen::nothing() } else { Seen { size, root: tree.root(size) } }
}

fn proof(tree: &mut Tree, old: u64, new: u64) -> Vec<Hash> {
    prove_consistency(tree, old, new).unwrap()
}

#[test]
fn truth_table() {
    let (mut honest, mut forked) = (Tree::new(40, 0), Tree::new(40, 3));
    let key = log_key(TREE, 1);
    let ask = |old: u64, proof: Vec<Hash>, tree: &Tree, new: u64, key: &SigningKey| {
        request(old, proof, &checkpoint(TREE, tree, new, &[key]))
    };
    for known in 0..40 {
        for new in 0..=40 {
            let from = seen(&honest, known);
            if new < known {
                // It was rolled back, and says what it goes on from, honestly or not.
                assert_eq!(verdict(&ask(known, vec![], &honest, new, &key), &from), Err(400));
                assert_eq!(verdict(&ask(new, vec![], &honest, new, &key), &from), Err(409));
                continue;
            }
            let good = proof(&mut honest, known, new);
            assert_eq!(
                verdict(&ask(known, good.clone(), &honest, new, &key), &from),
                Ok(()),
                "{known} {new}"
            );
            // A proof that is good, and begins elsewhere.
            if known > 0 {
                let other = proof(&mut honest, known - 1, new);
                assert_eq!(verdict(&ask(known - 1, other, &honest, new, &key), &from), Err(409));
            }
            // One that says too much, or nothing.
            let mut more = good.clone();
            more.push([7; 32]);
            assert_eq!(verdict(&ask(known, more, &honest, new, &key), &from), Err(422));
            if !good.is_empty() {
                assert_eq!(verdict(&ask(known, vec![], &honest, new, &key), &from), Err(422));
                let mut bent = good.clone();
                bent[0][0] ^= 1;
                assert_eq!(verdict(&ask(known, bent, &honest, new, &key), &from), Err(422));
            }
            // Another history: no proof of it leads from what was seen.
            if known > 3 {
                let own = proof(&mut forked, known, new);
                let wanted = if new == known { 409 } else { 422 };
                assert_eq!(verdict(&ask(known, own, &forked, new, &key), &from), Err(wanted));
                assert_eq!(verdict(&ask(known, good, &forked, new, &key), &from), Err(wanted));
            }
        }
    }
}

#[test]
fn who_signed_is_looked_at_before_what_was_seen() {
    let tree = Tree::new(9, 0);
    let (key, foreign) = (log_key(TREE, 1), log_key(TREE, 2));
    let of = |origin: &str, keys: &[&SigningKey]| request(0, vec![], &checkpoint(origin, &tree, 9, keys));
    let at = |body: &[u8]| verdict(body, &seen(&tree, 5)).unwrap_err();
    assert_eq!(at(&of(TREE, &[&key])), 409);
    assert_eq!(at(&of(TREE, &[&foreign])), 403, "a key that is not the log's");
    assert_eq!(at(&of(TREE, &[&key, &foreign])), 409, "lines of strangers are nothing");
    // The log's key under another name, or the name without the key.
    assert_eq!(at(&of(TREE, &[&log_key("example.com/gw1", 1)])), 403);
    assert_eq!(at(&of(TREE, &[&log_key("example.com/gw1/e2", 1)])), 403);
    let signed = String::from_utf8(of(TREE, &[&key])).unwrap();
    let line = signed.lines().last().unwrap();
    let bent = signed.replace(line, &line.replacen('B', "C", 1).replacen('Q', "R", 1));
    assert!(matches!(at(bent.as_bytes()), 400 | 403), "{bent}");
    for unknown in [
        "example.com/gw1",
        "example.com/gw1/e",
        "example.com/gw1/e01",
        "example.com/gw1/e0",
        "example.com/gw1/e-1",
        "example.com/gw1/e1/e1",
        "example.com/gw2/e1",
        "example.com/gw1/x1",
    ] {
        assert_eq!(at(&of(unknown, &[&log_key(unknown, 1)])), 404, "{unknown}");
    }
    let nameless = of(TREE, &[&key]);
    let text = String::from_utf8(nameless).unwrap().replacen(TREE, "example.com/gw1/e1 ", 1);
    assert_eq!(at(text.as_bytes()), 404);
}

#[test]
fn one_log_stands_for_all_its_epochs() {
    let watch = watch();
    let tree = Tree::new(3, 0);
    for epoch in ["e1", "e2", "e10"] {
        let origin = format!("{ORIGIN}/{epoch}");
        let note = checkpoint(&origin, &tree, 3, &[&log_key(&origin, 1)]);
        let asked = watch.read(&request(0, vec![], &note)).unwrap();
        assert_eq!(asked.origin(), origin);
        asked.extends(&Seen::nothing()).unwrap();
    }
}

#[test]
fn logs_that_cannot_be_watched() {
    let key = |name| log_key(name, 1).verifying().clone();
    let log = |origin, epochs, name| Watched::new(origin, epochs, &[key(name)]);
    for name in ["a.example", "a.example/e1", "a.example/e7"] {
        assert!(log("a.example", true, name).is_ok(), "{name}");
    }
    assert!(log("a.example", false, "a.example").is_ok());
    assert!(matches!(log("a.example", false, "a.example/e1"), Err(WatchError::Name { .. })));
    assert!(matches!(log("a.example", true, "b.example/e1"), Err(WatchError::Name { .. })));
    assert!(matches!(Watched::new("a.example", true, &[]), Err(WatchError::Keys(_))));
    let witness = SigningKey::from_seed("a.example", KeyKind::Cosignature, &[1; 32]).unwrap();
    let kind = Watched::new("a.example", true, &[witness.verifying().clone()]);
    assert!(matches!(kind, Err(WatchError::Kind { .. })));
    let twice = |a, b| matches!(Watch::new(vec![a, b]), Err(WatchError::Twice(_)));
    let all = || log("a.example", true, "a.example").unwrap();
    let one = || log("a.example/e1", false, "a.example/e1").unwrap();
    assert!(twice(all(), all()) && twice(all(), one()) && twice(one(), all()) && twice(one(), one()));
    assert!(!twice(all(), log("b.example", true, "b.example").unwrap()));
}
