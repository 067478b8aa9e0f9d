//! How fast a log is verified: `cargo run --release -p firsthand-auditlog --example verify_speed [sessions]`.
//!
//! Sessions of a thousand commands each, written by the gateway's codec with their payloads sealed; then verified with the
//! keys and without. Says MB/s of the log's files, by the processor's time of one core.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement is printed, and one that cannot be made says where"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::queue::{AppendError, Class, Durability, Item, Patience, Ticket};
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::verify::{Options, folder};
use firsthand_auditlog::writer::{self, Log};
use firsthand_model::event::{Event, LogEvent};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::json::Json;
use firsthand_model::session::SessionFacts;

#[path = "../tests/samples/mod.rs"]
mod samples;

/// Commands of a session.
const COMMANDS: u64 = 1000;

fn append(log: &Log<EventCodec>, event: impl Fn() -> Event) -> u64 {
    loop {
        let item = Item {
            entry: LogEntry::Event(event()),
            class: Class::Outcome,
            durability: Durability::Relaxed,
            opens: false,
            size: 600,
        };
        match log.append(item) {
            Ok(Ticket(position)) => return position,
            Err(AppendError::Queue(_)) => std::thread::sleep(Duration::from_millis(1)),
            Err(other) => panic!("the log takes nothing: {other}"),
        }
    }
}

fn write(data: &Path, sessions: u64) {
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let store = Arc::new(KeyStore::open(data, Arc::clone(&io)).unwrap());
    let codec = |r: &Recovered| Ok(EventCodec::new(store, r.log_id, RealIo::new().wall_us())?);
    let (log, _) = Log::open(data, codec, writer::Options::default(), io).unwrap();
    let started =
        || Event::Log(Box::new(LogEvent { kind: "log.started", leaf: Json::from_written(b"{}".to_vec()) }));
    let mut last = append(&log, started);
    for n in 0..sessions {
        let facts = Arc::new(SessionFacts { id: SessionId(u128::from(n) + 1), ..samples::facts() });
        let open = || {
            let mut all = samples::all().into_iter().map(|s| s.1);
            all.find_map(|e| match e {
                Event::SessionOpened(mut e) => {
                    e.facts = Arc::clone(&facts);
                    Some(Event::SessionOpened(e))
                }
                _ => None,
            })
            .unwrap()
        };
        append(&log, open);
        for number in 1..=COMMANDS {
            let intent = append(&log, || {
                let mut e = samples::bench_decided(Arc::clone(&facts));
                e.number = CommandNumber(number);
                Event::CommandDecided(Box::new(e))
            });
            last = append(&log, || {
                let mut e = samples::bench_completed(Arc::clone(&facts));
                (e.number, e.intent) = (CommandNumber(number), intent);
                Event::CommandCompleted(Box::new(e))
            });
        }
    }
    log.wait_blocking(Ticket(last), Patience::Outcome).unwrap();
    log.close().unwrap();
}

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // After the name: state, ten numbers, then utime and stime in ticks of 10 ms.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(fields.map(|f| f.parse::<u64>().unwrap() * 10).sum())
}

fn main() {
    let sessions = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(400);
    let dir = tempfile::Builder::new().prefix("verify").tempdir_in(".").unwrap();
    write(dir.path(), sessions);
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    for with_keys in [false, true, false, true] {
        let keys = KeyStore::existing(dir.path(), Arc::clone(&io)).unwrap().map(Arc::new);
        let options =
            Options { keys: keys.filter(|_| with_keys), now_us: io.wall_us(), ..Options::default() };
        let (start, before) = (Instant::now(), cpu());
        let report = folder(&io, dir.path(), &options, &mut |_| ()).unwrap();
        let (took, used) = (start.elapsed(), cpu() - before);
        println!(
            "{} entries, {} MB, {}: {:.0} MB/s of processor time, {:.2} M entries/s ({took:?}); {} findings: {:?}",
            report.entries,
            report.bytes / 1_000_000,
            if with_keys { "payloads opened" } else { "no keys" },
            report.bytes as f64 / used.as_secs_f64() / 1e6,
            report.entries as f64 / used.as_secs_f64() / 1e6,
            report.findings().len(),
            report.findings().first().map(|f| &f.what),
        );
    }
}
