//! How fast the log takes entries: `cargo run --release -p firsthand-auditlog --example append [entries] [threads]`.
//!
//! Leaves of 350 bytes, hashed, chained and synced in groups; then the same with a sealed payload of 300 bytes. Says
//! entries per second and what the writer's thread needed for one.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]
#![expect(clippy::panic, reason = "there is nobody to tell but the one who runs it")]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use firsthand_auditlog::codec::{Codec, Sealed};
use firsthand_auditlog::entry::{Commitment, Stamp};
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::keys::{KeyStore, SessionKeys};
use firsthand_auditlog::open_set::Change;
use firsthand_auditlog::queue::{AppendError, Class, Durability, Item, Patience, Ticket};
use firsthand_auditlog::writer::{Log, Options};

struct Fixed {
    leaf: Vec<u8>,
    payload: Vec<u8>,
    keys: SessionKeys,
}

impl Codec for Fixed {
    type Entry = bool;

    fn keys(&mut self, sealed: &bool) -> Option<&SessionKeys> {
        sealed.then_some(&self.keys)
    }

    fn payload(&mut self, _: &bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.payload);
    }

    fn leaf(&mut self, _: &bool, _: Stamp, _: Option<&Commitment>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.leaf);
    }

    fn too_large(&mut self, _: &bool, _: Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }

    fn change(&self, _: &bool) -> Change {
        Change::None
    }

    fn change_of(_: &[u8]) -> Change {
        Change::None
    }

    fn sealed(&mut self, _: &Sealed) -> Option<Item<bool>> {
        None
    }
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name: state, ten numbers, then utime and stime in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|f| f.parse::<u64>().unwrap() * 10).sum())
}

fn measure(sealed: bool, entries: u64, threads: u64) {
    let dir = tempfile::Builder::new().prefix("append").tempdir_in(".").unwrap();
    let io = Arc::new(RealIo::new());
    let keys = KeyStore::open(dir.path(), io.clone()).unwrap();
    let keys = keys.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap();
    let codec = Fixed { leaf: vec![b'l'; 350], payload: vec![b'p'; 300], keys };
    let (log, _) = Log::open(dir.path(), |_| Ok(codec), Options::default(), io).unwrap();
    let (start, cpu_before) = (Instant::now(), cpu());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut last = Ticket(0);
                for _ in 0..entries / threads {
                    let item = || Item {
                        entry: sealed,
                        class: Class::Intent,
                        durability: Durability::Strict,
                        opens: false,
                        size: if sealed { 700 } else { 400 },
                    };
                    last = loop {
                        match log.append(item()) {
                            Ok(ticket) => break ticket,
                            Err(AppendError::Queue(_)) => log.wait_blocking(last, Patience::Intent).unwrap(),
                            Err(other) => panic!("{other}"),
                        }
                    };
                }
                log.wait_blocking(last, Patience::Intent).unwrap();
            });
        }
    });
    let took = start.elapsed();
    let used = cpu() - cpu_before;
    let counters = log.counters();
    let (count, syncs) = (counters.entries.load(Ordering::Relaxed), counters.syncs.load(Ordering::Relaxed));
    println!(
        "{} of 350 B{}: {:.0}/s, {:.0} MB/s, {syncs} fdatasyncs, {:.2} µs CPU per entry (all threads)",
        count,
        if sealed { " + 300 B sealed" } else { "" },
        count as f64 / took.as_secs_f64(),
        counters.bytes.load(Ordering::Relaxed) as f64 / took.as_secs_f64() / 1e6,
        used.as_secs_f64() * 1e6 / count as f64,
    );
    log.close().unwrap();
    let (start, cpu_before) = (Instant::now(), cpu());
    let keys = KeyStore::open(dir.path(), Arc::new(RealIo::new())).unwrap();
    let keys = keys.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap();
    let codec = Fixed { leaf: Vec::new(), payload: Vec::new(), keys };
    let (log, recovered) =
        Log::open(dir.path(), |_| Ok(codec), Options::default(), Arc::new(RealIo::new())).unwrap();
    let used = cpu() - cpu_before;
    println!("opened again with {} entries in {:?}, {used:?} CPU", recovered.size, start.elapsed());
    drop(log);
}

fn seal_alone() {
    let dir = tempfile::tempdir().unwrap();
    let keys = KeyStore::open(dir.path(), Arc::new(RealIo::new())).unwrap();
    let keys = keys.session_keys("h-01", "2026-11", &[1; 16], &[2; 16]).unwrap();
    let mut payload = vec![b'p'; 300];
    const TIMES: u64 = 1_000_000;
    let start = cpu();
    for n in 0..TIMES {
        std::hint::black_box(keys.commit(n, &payload));
    }
    let commit = cpu() - start;
    for n in 0..TIMES {
        payload.truncate(300);
        keys.seal(n, &mut payload).unwrap();
    }
    let seal = cpu() - start - commit;
    let each = |time: Duration| time.as_nanos() / u128::from(TIMES);
    println!("CPU for 300 B: commitment {} ns, seal {} ns", each(commit), each(seal));
}

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|a| a.parse().ok());
    let entries = args.next().unwrap_or(2_000_000);
    let threads = args.next().unwrap_or(1);
    seal_alone();
    measure(false, entries, threads);
    measure(true, entries, threads);
}
