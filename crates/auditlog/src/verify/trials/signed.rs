//! Logs with signed checkpoints beside them.

use super::*;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::key::{KeyKind, SigningKey};
use crate::verify::checkpoints::Trust;

const NAME: &str = "example.com/gw1";

fn key(seed: u8, epoch: u64) -> SigningKey {
    SigningKey::from_seed(&format!("{NAME}/e{epoch}"), KeyKind::Note, &[seed; 32]).unwrap()
}

/// A note over the log as it is.
fn note(io: &Arc<SimIo>, seed: u8) -> Vec<u8> {
    let end = check(io).epochs[0].clone();
    let signer = key(seed, 1);
    let checkpoint = Checkpoint::new(&format!("{NAME}/e1"), end.size, end.root).unwrap();
    checkpoint.sign(&[&signer]).unwrap().to_text().into_bytes()
}

fn publish(io: &Arc<SimIo>, epoch: u64, note: &[u8]) {
    let tlog = data().join("tlog");
    let folder = tlog.join(epoch.to_string());
    io.create_dir(&tlog).unwrap();
    io.create_dir(&folder).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = io.create(&folder.join(name)).unwrap();
        file.write_at(0, bytes).unwrap();
    };
    write("checkpoint", note);
    write("vkey", key(1, 1).verifying().to_vkey().as_bytes());
}

fn with(io: &Arc<SimIo>, trust: Trust) -> Report {
    verified(io, &Options { trust, ..options(io) })
}

fn outside(seed: u8) -> Trust {
    // Of another epoch: the same key.
    Trust { keys: vec![key(seed, 9).verifying().clone()], ..Trust::default() }
}

#[test]
fn a_log_that_is_as_it_was_signed_has_nothing_to_say() {
    let io = sessions(20);
    publish(&io, 1, &note(&io, 1));
    assert_eq!(codes(&check(&io)), ["key-beside"]);
    assert_eq!(codes(&with(&io, outside(1))), Vec::<&str>::new());
    fails(&with(&io, outside(2)), "checkpoint-signature");
}

#[test]
fn what_is_written_anew_or_cut_behind_a_checkpoint_fails() {
    let io = sessions(20);
    publish(&io, 1, &note(&io, 1));
    forge(&io, |n, leaf| {
        if n == 4 {
            *leaf =
                String::from_utf8(leaf.clone()).unwrap().replace("\"pid\":4711", "\"pid\":4712").into_bytes();
        }
    });
    fails(&with(&io, outside(1)), "checkpoint");

    let io = sessions(20);
    publish(&io, 1, &note(&io, 1));
    let path = segments(&io).pop().unwrap();
    let (at, n) = *frames(&io.bytes(&path).unwrap()).last().unwrap();
    io.tamper(&path, |b| b[at..at + n].fill(0));
    fails(&check(&io), "log-short");
    // Rolled back together with its checkpoint: who kept a newer one sees it.
    let io = sessions(20);
    let newer = note(&io, 1);
    let path = segments(&io).pop().unwrap();
    io.tamper(&path, |b| b[at..at + n].fill(0));
    publish(&io, 1, &note(&io, 1));
    assert_eq!(codes(&with(&io, outside(1))).iter().filter(|c| **c == "log-short").count(), 0);
    let since = Trust { since: Some(("kept".into(), newer)), ..outside(1) };
    let report = with(&io, since);
    assert_eq!(fails(&report, "log-short").spot.file, Some("kept".into()));
}

#[test]
fn notes_that_are_none_or_another_trees_are_named() {
    let io = sessions(5);
    publish(&io, 1, b"nonsense");
    fails(&check(&io), "checkpoint-note");
    let io = sessions(5);
    publish(&io, 2, &note(&io, 1));
    let report = check(&io);
    assert_eq!(fails(&report, "checkpoint-origin").spot.file, Some("tlog/2/checkpoint".into()));
}
