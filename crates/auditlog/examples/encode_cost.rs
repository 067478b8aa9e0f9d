//! What a command costs the writer's thread: `command.decided` and `command.completed`, encoded, committed and sealed.
//!
//! `cargo run --release -p firsthand-auditlog --example encode_cost`
#![expect(clippy::print_stdout, reason = "it reports what it measured")]

use std::hint::black_box;
use std::sync::Arc;

use firsthand_auditlog::codec::Codec;
use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::entry::{Commitment, Stamp};
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_model::event::Event;
use firsthand_model::time::{MonoMicros, UnixMicros};

#[path = "../tests/samples/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod samples;

const ROUNDS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let store = Arc::new(KeyStore::open(dir.path(), Arc::clone(&io))?);
    let mut codec = EventCodec::new(store, [7; 16], io.wall_us())?;
    let facts = Arc::new(samples::facts());
    let entries = [
        LogEntry::Event(Event::CommandDecided(Box::new(samples::bench_decided(Arc::clone(&facts))))),
        LogEntry::Event(Event::CommandCompleted(Box::new(samples::bench_completed(facts)))),
    ];
    for part in ["payload", "payload + leaf", "payload + leaf + commit", "all"] {
        let start = cpu_ns()?;
        let bytes = rounds(&mut codec, &entries, part, io.wall_us());
        let each = (cpu_ns()? - start) / ROUNDS;
        println!("{part:<26} {each:>6} ns a command, {} bytes", bytes / ROUNDS);
    }
    Ok(())
}

/// Processor time of this thread: other work on the machine does not count.
fn cpu_ns() -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn rounds(codec: &mut EventCodec, entries: &[LogEntry], part: &str, now: u64) -> u64 {
    let (mut leaf, mut payload, mut bytes) = (Vec::new(), Vec::new(), 0);
    for round in 0..ROUNDS {
        for (i, entry) in entries.iter().enumerate() {
            let position = round * 2 + i as u64;
            leaf.clear();
            payload.clear();
            let at = Stamp { position, time: UnixMicros(now + round), mono: MonoMicros(round) };
            black_box(codec.keys(entry).is_some());
            codec.payload(entry, &mut payload);
            let commitment = match part {
                "payload" | "payload + leaf" => Commitment { digest: [1; 32], bytes: 1 },
                _ => {
                    let digest = codec.keys(entry).map(|k| k.commit(position, &payload)).unwrap_or_default();
                    Commitment { digest, bytes: payload.len() as u64 }
                }
            };
            if part != "payload" {
                codec.leaf(entry, at, Some(&commitment), &mut leaf);
            }
            if part == "all" {
                black_box(firsthand_auditlog::tree::leaf_hash(&leaf));
                if let Some(keys) = codec.keys(entry) {
                    black_box(keys.seal(position, &mut payload).is_ok());
                }
            }
            bytes += (leaf.len() + payload.len()) as u64;
            black_box((&leaf, &payload));
        }
    }
    bytes
}
