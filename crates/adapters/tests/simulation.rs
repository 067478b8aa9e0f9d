//! The engine over the real log on a disk that fails: sessions ask, commands run at a target, clients are told, and at
//! any call of the disk writing fails, the process dies or the power goes. After each crash the log is opened as the
//! gateway opens it and compared with what the world outside has seen: invariants 1, 2 and 3.
//!
//! `SEEDS=100000` for a night, `SEED=n` for one run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test"
)]

#[path = "simulation/life.rs"]
mod life;
#[path = "simulation/record.rs"]
mod record;
#[path = "simulation/seen.rs"]
mod seen;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use firsthand_adapters::record::{Found, answer_for};
use firsthand_adapters::recorder::LogRecorder;
use firsthand_auditlog::Step;
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::index::Indexer;
use firsthand_auditlog::io::Io;
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::sim::{Random, SimIo};
use firsthand_auditlog::writer::{Log, Options, Stepper};

use life::{Birth, Life, SimClock};
use seen::{Appended, Counts, Seen, Watched, lock};

/// In every run.
const SEEDS: u64 = 200;
/// Lives of the process in one run.
const LIVES: usize = 4;
/// Small, so that segments change all the time.
const SEGMENT: u64 = 48 << 10;

/// What outlives a process.
struct World {
    random: Random,
    io: Arc<SimIo>,
    data: PathBuf,
    ids: Arc<AtomicU64>,
    appended: Arc<Mutex<Appended>>,
    seen: Seen,
    /// Entries that were durable when the last process ended.
    acknowledged: u64,
    /// It ended with everything written.
    clean: bool,
}

/// A log opened, with what was found in it.
struct Opened {
    log: Arc<Log<EventCodec>>,
    stepper: Stepper<EventCodec>,
    keys: Arc<KeyStore>,
    size: u64,
    found: Found,
    lost: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            io: SimIo::new(seed),
            data: PathBuf::from("/data"),
            ids: Arc::new(AtomicU64::new(1)),
            appended: Arc::default(),
            seen: Seen::default(),
            acknowledged: 0,
            clean: false,
        }
    }

    /// Opens the log and answers for what a crash left, as the gateway does, possibly crashing at that too.
    fn open(&mut self, counts: &mut Counts) -> Opened {
        loop {
            if self.random.one_in(3) {
                self.io.cut_power(self.random.below(90));
            }
            let opened = self.try_open();
            if !self.io.is_off() {
                // Whatever was to happen later does not.
                self.io.restart();
                let opened = opened.unwrap_or_else(|e| panic!("the log does not open: {e}"));
                counts.entries_lost_unacknowledged += opened.lost;
                return opened;
            }
            counts.crashed_while_opening += 1;
            drop(opened);
            self.io.reboot();
        }
    }

    fn try_open(&self) -> Result<Opened, Box<dyn std::error::Error + Send + Sync>> {
        let io = || Arc::clone(&self.io) as Arc<dyn Io>;
        let keys = Arc::new(KeyStore::open(&self.data, io())?);
        let store = Arc::clone(&keys);
        let now = self.io.wall_us();
        let codec = move |found: &Recovered| Ok(EventCodec::new(store, found.log_id, now)?);
        let options = Options {
            first_segment_bytes: SEGMENT,
            segment_bytes: SEGMENT,
            index: Some(Arc::new(Indexer::new(Arc::clone(&keys)))),
            ..Options::default()
        };
        let (log, mut stepper, recovered) = Log::open_stepped(&self.data, codec, options, io())?;
        let (size, acknowledged) = (recovered.size, self.acknowledged);
        assert!(size >= acknowledged, "{acknowledged} were acknowledged, {size} are here");
        // What was appended and did not become durable may be lost, and what comes in its place is something else.
        let lost = lock(&self.appended).lines.split_off(&size).len() as u64;
        let found = answer_for(&log, &recovered)?;
        match stepper.settle() {
            Step::Idle => {}
            step => return Err(format!("{step:?} while answering for a crash").into()),
        }
        Ok(Opened { log: Arc::new(log), stepper, keys, size, found, lost })
    }

    /// Opens, compares, lives, dies.
    fn live(&mut self, counts: &mut Counts) {
        let Opened { log, stepper, keys, size, found, .. } = self.open(counts);
        self.compare(size, &found, counts);
        let began = log.durable_size();
        let clock = Box::new(SimClock(Arc::clone(&self.io)));
        let inner = LogRecorder::new(Arc::clone(&log), keys, clock);
        let recorder = Arc::new(Watched { inner, appended: Arc::clone(&self.appended) });
        lock(&self.appended).intents.clear();

        let steps = 60 + self.random.below(300);
        if self.random.one_in(2) {
            self.io.cut_power(self.random.below(120));
        }
        let mut life = Life::begin(Birth {
            random: &mut self.random,
            io: Arc::clone(&self.io),
            log: Arc::clone(&log),
            stepper,
            recorder,
            seen: &mut self.seen,
            counts,
            ids: Arc::clone(&self.ids),
        });
        for _ in 0..steps {
            trouble(&mut life);
            life.happen();
            if life.io.is_off() {
                break;
            }
        }
        let clean = !life.io.is_off() && life.random.one_in(3) && life.finish();
        drop(life);
        assert_eq!(self.io.syncs_after_failure(), 0, "an fdatasync was retried");
        self.acknowledged = log.durable_size();
        assert!(self.acknowledged >= began);
        drop(log);
        self.die(clean, counts);
    }

    /// A process that is killed leaves what it wrote in the page cache; a power cut does not.
    fn die(&mut self, clean: bool, counts: &mut Counts) {
        self.io.set_quota(None);
        self.clean = clean;
        if clean {
            counts.clean_ends += 1;
            self.io.restart();
        } else if self.random.one_in(3) {
            counts.kills += 1;
            self.io.restart();
        } else {
            counts.power_cuts += 1;
            self.io.reboot();
        }
    }

    fn compare(&self, size: u64, found: &Found, counts: &mut Counts) {
        assert_eq!(found.entries, size);
        assert!(
            !self.clean || found.orphans == 0,
            "{} commands were left open by a clean end",
            found.orphans
        );
        let io = Arc::clone(&self.io) as Arc<dyn Io>;
        record::check((&io, &self.data), size, found, &lock(&self.appended), &self.seen, counts);
    }
}

/// Something goes wrong with the disk, or is well again.
fn trouble(life: &mut Life<'_>) {
    let (random, io) = (&mut *life.random, &life.io);
    match random.below(120) {
        0 => io.fail(random.below(6), 1 + random.below(6), [5, 28, 30][random.below(3) as usize]),
        1 => io.set_quota(Some(0)),
        2..=5 => {
            io.heal();
            io.set_quota(None);
        }
        _ => {}
    }
}

#[test]
fn engine_and_log_keep_invariants_1_2_and_3_through_crashes() {
    let number = |name| std::env::var(name).ok().and_then(|s| s.parse::<u64>().ok());
    let one = number("SEED");
    let seeds = match one {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let mut counts = Counts::default();
    for seed in seeds {
        let run = std::panic::AssertUnwindSafe(|| {
            let mut world = World::new(seed);
            for _ in 0..LIVES {
                world.live(&mut counts);
            }
            let Opened { size, found, .. } = world.open(&mut counts);
            world.compare(size, &found, &mut counts);
        });
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed}: run again with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    eprintln!("{counts:#?}");
    for (what, times) in counts.all() {
        assert!(times > 0 || one.is_some(), "nothing was ever {what}: the simulation shows nothing of it");
    }
}
