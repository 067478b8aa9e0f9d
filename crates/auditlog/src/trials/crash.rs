//! Seeded crashes: entries of all kinds, the power cut or the process killed at any call of the disk, and then again.
//! What was acknowledged must be there, in order and unchanged; nothing may be there that was not appended; and the
//! log must open without help.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Note, assert_is, open};
use crate::queue::{Class, Durability, State};
use crate::sim::{Random, SimIo};
use crate::step::Step;

/// In every run; `SEEDS=100000` for a night.
const SEEDS: u64 = 300;
const ROUNDS: usize = 3;

struct Trial {
    random: Random,
    io: Arc<SimIo>,
    /// What was appended and may be on disk, in order.
    appended: Vec<Note>,
    /// How many of them were acknowledged.
    acked: usize,
}

impl Trial {
    fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), io: SimIo::new(seed), appended: Vec::new(), acked: 0 }
    }

    /// Opens, compares with what must be there, writes for a while, and crashes.
    fn round(&mut self) {
        let random = &mut self.random;
        let (log, mut stepper, recovered) = open(&self.io).unwrap_or_else(|e| panic!("{e}"));
        let size = recovered.size as usize;
        assert!(size >= self.acked, "{} acknowledged, {size} recovered", self.acked);
        assert!(size <= self.appended.len(), "{size} recovered, {} appended", self.appended.len());
        self.appended.truncate(size);
        self.acked = size;
        assert_is(&self.io, &recovered, &self.appended);

        let cut = random.below(90);
        self.io.cut_power(cut);
        if random.one_in(3) {
            let errno = [5, 28, 30][random.below(3) as usize];
            self.io.fail(random.below(cut + 1), 1 + random.below(6), errno);
        }
        for _ in 0..200 {
            let note = Note::random(random);
            let class = if random.one_in(2) { Class::Intent } else { Class::Outcome };
            let durability = if random.one_in(2) { Durability::Strict } else { Durability::Relaxed };
            for _ in 0..=random.below(4) {
                if log.append(note.clone().item(class, durability)).is_ok() {
                    self.appended.push(note.clone());
                }
            }
            match random.below(4) {
                0 => _ = stepper.keep(),
                1 => {}
                _ => {
                    let step = stepper.step();
                    assert_eq!(step == Step::Stopped, matches!(log.health().state, State::Stopped(_)));
                }
            }
            self.acked = log.durable_size() as usize;
            if self.io.is_off() {
                break;
            }
        }
        assert_eq!(self.io.syncs_after_failure(), 0, "an fdatasync was retried");
        assert_eq!(log.counters().entries.load(Ordering::Relaxed), (self.acked - size) as u64);
        // A process that is killed leaves what it wrote in the page cache; a power cut does not.
        if random.one_in(3) {
            self.io.restart();
        } else {
            self.io.reboot();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_invented() {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let trial = std::panic::AssertUnwindSafe(|| {
            let mut trial = Trial::new(seed);
            for _ in 0..ROUNDS {
                trial.round();
            }
            let (_, _, recovered) = open(&trial.io).unwrap();
            let size = recovered.size as usize;
            assert!(size >= trial.acked && size <= trial.appended.len());
            assert_is(&trial.io, &recovered, &trial.appended[..size]);
        });
        if let Err(panic) = std::panic::catch_unwind(trial) {
            eprintln!("seed {seed}: run again with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
