//! How long searches take in a large log: selective ones, which skip segments by their index, and others.
//!
//! `cargo run --release -p firsthand-auditlog --example search_speed -- 10000000 /path/with/room [keep]`
//!
//! With `keep` the data folder stays and its name is told: a log of that size to start a gateway on.
#![expect(clippy::print_stdout, reason = "it reports what it measured")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::index::Indexer;
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::queue::{Class, Durability, Item, Patience, Ticket};
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::search::Search;
use firsthand_auditlog::search::query::Query;
use firsthand_auditlog::search::sessions::sessions;
use firsthand_auditlog::writer::{Log, Options};
use firsthand_model::command::Shape;
use firsthand_model::event::{Event, SessionClosed, SessionOpened};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::session::SessionFacts;

#[path = "../tests/samples/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod samples;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Commands of a session.
const COMMANDS: u64 = 500;
/// Entries between waits: the queue is bounded.
const WAIT_EVERY: u64 = 4_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().map_or(Ok(2_000_000), |n| n.parse())?;
    let place = arguments.next();
    let mut scratch = match &place {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    if arguments.next().is_some() {
        scratch.disable_cleanup(true);
        println!("the data folder is {}", scratch.path().display());
    }
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let start = Instant::now();
    write(scratch.path(), &io, entries)?;
    let seconds = start.elapsed().as_secs_f64();
    let (log, indexes) = sizes(scratch.path())?;
    println!("{entries} entries written in {seconds:.1} s, {:.0} a second", entries as f64 / seconds);
    println!(
        "{} MiB of log, {} KiB of indexes: {:.2} %",
        log >> 20,
        indexes >> 10,
        100.0 * indexes as f64 / log as f64
    );
    let queries = [
        "identity:carol",
        "target:billing",
        "table:secret_plans",
        "table:secret_plans sqlstate:42501",
        "sqlstate:42501",
        "zebrafish",
        "nowhere-to-be-found",
        "effect:write",
        "kind:session.opened",
        "role:orders_rw kind:command.completed",
        "aid = 4242424",
        "",
    ];
    for query in queries {
        let start = Instant::now();
        let reader = Reader::open(scratch.path(), Arc::clone(&io))?;
        let mut search = Search::new(&reader, &Query::parse(query, io.wall_us())?)?;
        let opened = start.elapsed().as_secs_f64();
        let mut found = 0u64;
        while search.next()?.is_some() {
            found += 1;
        }
        let effort = search.effort();
        println!(
            "{:<40} {found:>9} found in {:>8.3} s ({opened:.3} s to open), {} segments read, {} skipped",
            format!("`{query}`"),
            start.elapsed().as_secs_f64(),
            effort.read,
            effort.skipped
        );
    }
    let start = Instant::now();
    let reader = Reader::open(scratch.path(), Arc::clone(&io))?;
    let mut search = Search::new(&reader, &Query::default())?;
    let last = search.last(20, usize::MAX)?.len();
    println!("the newest {last} entries in {:.3} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let count = sessions(&reader, search.catalog())?.len();
    println!("{count} sessions listed in {:.3} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn sizes(data: &Path) -> Result<(u64, u64), Failure> {
    let (mut log, mut indexes) = (0, 0);
    for file in std::fs::read_dir(data.join("log"))? {
        let file = file?;
        let bytes = file.metadata()?.len();
        match file.path().extension().and_then(|e| e.to_str()) {
            Some("idx") => indexes += bytes,
            Some("seg") => log += bytes,
            _ => {}
        }
    }
    Ok((log, indexes))
}

struct Writer {
    log: Log<EventCodec>,
    written: u64,
}

impl Writer {
    fn append(&mut self, event: Event) -> Result<u64, Failure> {
        let item = Item {
            entry: LogEntry::Event(event),
            class: Class::Outcome,
            durability: Durability::Relaxed,
            opens: false,
            size: 1000,
        };
        let ticket = self.log.append(item)?;
        self.written += 1;
        if self.written.is_multiple_of(WAIT_EVERY) {
            self.log.wait_blocking(Ticket(ticket.0.saturating_sub(WAIT_EVERY)), Patience::Outcome)?;
        }
        Ok(ticket.0)
    }
}

fn write(data: &Path, io: &Arc<dyn Io>, entries: u64) -> Result<(), Failure> {
    let keys = Arc::new(KeyStore::open(data, Arc::clone(io))?);
    let (store, clock) = (Arc::clone(&keys), Arc::clone(io));
    let codec = move |r: &Recovered| Ok(EventCodec::new(store, r.log_id, clock.wall_us())?);
    let options = Options { index: Some(Arc::new(Indexer::new(Arc::clone(&keys)))), ..Options::default() };
    let (log, _) = Log::open(data, codec, options, Arc::clone(io))?;
    let mut writer = Writer { log, written: 0 };
    let rare = Arc::new(Shape { tables: vec!["secret_plans".to_owned()], ..samples::shape() });
    let sessions = entries / (2 * COMMANDS + 2);
    let mut last = 0;
    for n in 0..sessions {
        let special = n == sessions / 2;
        let facts = facts(&keys, n, special);
        writer.append(Event::SessionOpened(Box::new(SessionOpened {
            facts: Arc::clone(&facts),
            client: samples::client(),
            claims: vec![],
            parameters: samples::json("{}"),
            coverage: vec![],
            grant: None,
        })))?;
        for c in 1..=COMMANDS {
            let mut decided = samples::bench_decided(Arc::clone(&facts));
            decided.number = CommandNumber(c);
            let aid = (n * COMMANDS + c).wrapping_mul(2_654_435_761) % 10_000_000;
            decided.command.text = format!("SELECT abalance FROM pgbench_accounts WHERE aid = {aid};");
            let odd = special && c == 250;
            if odd {
                decided.command.shape = Arc::clone(&rare);
                decided.command.text = "delete from secret_plans -- a zebrafish".to_owned();
            }
            let intent = writer.append(Event::CommandDecided(Box::new(decided)))?;
            let mut completed = samples::bench_completed(Arc::clone(&facts));
            (completed.number, completed.intent) = (CommandNumber(c), intent);
            completed.outcome.code = odd.then(|| "42501".to_owned());
            writer.append(Event::CommandCompleted(Box::new(completed)))?;
        }
        last = writer.append(Event::SessionClosed(Box::new(SessionClosed {
            facts,
            why: "client",
            detail: String::new(),
            duration_us: 1,
            commands: COMMANDS,
        })))?;
    }
    writer.log.wait_blocking(Ticket(last), Patience::Outcome)?;
    writer.log.close()?;
    Ok(())
}

fn facts(keys: &KeyStore, n: u64, special: bool) -> Arc<SessionFacts> {
    let mut facts = samples::facts();
    facts.id = SessionId(u128::from(n) << 80 | u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    facts.backend_pid = n as u32;
    let mut identity = samples::identity();
    let human = if special { "carol".to_owned() } else { format!("person-{}", n % 50) };
    if let Some(first) = identity.chain.first_mut() {
        first.id = keys.identity_id('h', &human);
        identity.subject.clone_from(&first.id);
        first.name = human;
    }
    facts.identity = Arc::new(identity);
    if special {
        facts.target = "billing".to_owned();
    }
    Arc::new(facts)
}
