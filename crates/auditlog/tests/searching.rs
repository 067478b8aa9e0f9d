//! Searches: the same with and without indexes, commands judged by what their intents said, and segments left out.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use firsthand_auditlog::entry::codec::{EventCodec, LogEntry};
use firsthand_auditlog::index::{Clear, Facet, Indexer, SegmentFacts};
use firsthand_auditlog::io::{Io, RealIo};
use firsthand_auditlog::keys::KeyStore;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::queue::{Class, Durability, Item, Patience, Ticket};
use firsthand_auditlog::reader::payload::Payload;
use firsthand_auditlog::reader::{ReadError, Reader};
use firsthand_auditlog::recover::Recovered;
use firsthand_auditlog::search::matcher::Matcher;
use firsthand_auditlog::search::query::Query;
use firsthand_auditlog::search::tokens::about_tokens;
use firsthand_auditlog::search::{Found, Search};
use firsthand_auditlog::writer::{Log, Options};
use firsthand_model::event::{
    CommandCompleted, CommandDecided, Event, LogEvent, SessionClosed, SessionOpened,
};
use firsthand_model::id::{CommandNumber, SessionId};
use firsthand_model::identity::{IdentityKind, Link};
use firsthand_model::session::SessionFacts;

#[expect(dead_code, reason = "each test uses its part")]
mod samples;

fn io() -> Arc<dyn Io> {
    Arc::new(RealIo::new())
}

/// One moment for all searches of a run: two searches for `since:1s` must mean the same second.
fn now() -> u64 {
    static NOW: OnceLock<u64> = OnceLock::new();
    *NOW.get_or_init(|| io().wall_us())
}

struct Writer {
    log: Log<EventCodec>,
    keys: Arc<KeyStore>,
}

impl Writer {
    fn open(data: &Path) -> Self {
        let keys = Arc::new(KeyStore::open(data, io()).unwrap());
        let store = Arc::clone(&keys);
        let codec = move |r: &Recovered| Ok(EventCodec::new(store, r.log_id, io().wall_us())?);
        let index = Some(Arc::new(Indexer::new(Arc::clone(&keys))) as Arc<_>);
        let options =
            Options { segment_bytes: 64 << 10, first_segment_bytes: 64 << 10, index, ..Options::default() };
        Self { log: Log::open(data, codec, options, io()).unwrap().0, keys }
    }

    fn append(&self, event: Event) -> u64 {
        let item = Item {
            entry: LogEntry::Event(event),
            class: Class::Outcome,
            durability: Durability::Relaxed,
            opens: false,
            size: 1000,
        };
        self.log.append(item).unwrap().0
    }

    fn facts(&self, session: u128, human: &str, target: &str) -> Arc<SessionFacts> {
        let mut facts = samples::facts();
        facts.id = SessionId(session << 64 | session);
        facts.target = target.to_owned();
        facts.backend_pid = session as u32;
        let mut identity = samples::identity();
        identity.chain[0] = Link {
            kind: IdentityKind::Human,
            id: self.keys.identity_id('h', human),
            name: human.to_owned(),
            trust: identity.chain[0].trust,
        };
        identity.subject = identity.chain[0].id.clone();
        facts.identity = Arc::new(identity);
        Arc::new(facts)
    }

    fn opened(&self, facts: &Arc<SessionFacts>) -> u64 {
        self.append(Event::SessionOpened(Box::new(SessionOpened {
            facts: Arc::clone(facts),
            client: samples::client(),
            claims: vec![],
            parameters: samples::json("{}"),
            coverage: vec![],
            grant: None,
        })))
    }

    fn closed(&self, facts: &Arc<SessionFacts>) -> u64 {
        self.append(Event::SessionClosed(Box::new(SessionClosed {
            facts: Arc::clone(facts),
            why: "client",
            detail: String::new(),
            duration_us: 5,
            commands: 1,
        })))
    }

    fn decided(&self, facts: &Arc<SessionFacts>, number: u64, table: &str, text: &str) -> u64 {
        let mut e: CommandDecided = samples::decided(Arc::clone(facts));
        e.number = CommandNumber(number);
        let mut shape = samples::shape();
        shape.tables = vec![table.to_owned()];
        shape.facts = (!table.contains('.')).then(|| Arc::new(samples::resolved(table, "shop")));
        e.command.shape = Arc::new(shape);
        e.command.text = text.to_owned();
        self.append(Event::CommandDecided(Box::new(e)))
    }

    fn completed(&self, facts: &Arc<SessionFacts>, number: u64, intent: u64, code: Option<&str>) -> u64 {
        let mut e: CommandCompleted = samples::completed(Arc::clone(facts));
        e.number = CommandNumber(number);
        e.intent = intent;
        e.outcome.code = code.map(str::to_owned);
        self.append(Event::CommandCompleted(Box::new(e)))
    }

    fn close(self, last: u64) {
        self.log.wait_blocking(Ticket(last), Patience::Outcome).unwrap();
        self.log.close().unwrap();
    }
}

const ROUNDS: u64 = 200;

/// A log of several segments. One command asks for `secret_plans` early and ends with an error late; `bob` and the target
/// `billing` appear once, in the middle.
fn write(data: &Path) {
    let writer = Writer::open(data);
    let ada = writer.facts(1, "ada@example.com", "orders");
    writer.opened(&ada);
    let slow = writer.decided(&ada, 1, "public.Secret_Plans", "select pg_sleep(100) from secret_plans");
    let mut last = 0;
    for round in 0..ROUNDS {
        let busy = writer.facts(u128::from(100 + round), "eve", "orders");
        writer.opened(&busy);
        let text = format!("update payments set x = {round} where note = 'Zürich'");
        let intent = writer.decided(&busy, 1, "payments", &text);
        last = writer.completed(&busy, 1, intent, None);
        if round == ROUNDS / 2 {
            let bob = writer.facts(9999, "bob", "billing");
            writer.opened(&bob);
            let intent = writer.decided(&bob, 1, "invoices", "delete from invoices -- a Zebrafish");
            writer.completed(&bob, 1, intent, Some("42501"));
            last = writer.closed(&bob);
        }
        if round != ROUNDS - 1 {
            last = last.max(writer.closed(&busy));
        }
    }
    last = last.max(writer.completed(&ada, 1, slow, Some("57014")));
    writer.close(last);
}

fn kinds(found: &[Found]) -> Vec<String> {
    found
        .iter()
        .map(|f| {
            serde_json::from_slice::<serde_json::Value>(&f.leaf).unwrap()["k"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn search(data: &Path, text: &str) -> (Vec<Found>, Search) {
    let reader = Reader::open(data, io()).unwrap();
    let query = Query::parse(text, now()).unwrap();
    let mut search = Search::new(&reader, &query).unwrap();
    let mut all = Vec::new();
    while let Some(found) = search.next().unwrap() {
        all.push(found);
    }
    (all, search)
}

fn places(found: &[Found]) -> Vec<u64> {
    found.iter().map(|f| f.place.position).collect()
}

const QUERIES: &[&str] = &[
    "",
    "identity:bob",
    "identity:ada",
    "identity:ada@example.com sqlstate:57",
    "-identity:eve",
    "target:billing",
    "table:invoices",
    "table:secret_plans",
    "table:shop.invoices",
    "table:shop.payments text:17",
    "table:public.payments",
    "claim:tool=run_sql sqlstate:42501",
    "-claim:tool kind:command",
    "traceparent:00f067aa0ba902b7 table:invoices",
    "table:secret_plans sqlstate:57014",
    "table:secret_plans sqlstate:42501",
    "table:invoices sqlstate:42501 effect:write",
    "sqlstate:42501",
    "sqlstate:42 kind:command",
    "-kind:command -kind:session",
    "zebrafish",
    "text:\"a zebrafish\" -sqlstate:42501",
    "ZÜRICH 17",
    "session:00000000-0000-270f",
    "role:orders_rw kind:command.completed -table:payments",
    "role:nobody",
    "verdict:allow rule:token-targets table:secret_plans",
    "since:1s",
    "until:1h",
    "text:nowhere-to-be-found",
    "kind:session.opened identity:bob",
];

#[test]
fn indexes_change_how_much_is_read_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let with: Vec<_> = QUERIES.iter().map(|q| search(dir.path(), q)).collect();
    let list = std::fs::read_dir(dir.path().join("log")).unwrap().map(|e| e.unwrap().path());
    let (mut sidecars, mut segments) = (0, 0);
    for path in list {
        match path.extension().and_then(|e| e.to_str()) {
            Some("idx") => {
                sidecars += 1;
                std::fs::remove_file(path).unwrap();
            }
            Some("seg") => segments += 1,
            _ => {}
        }
    }
    assert!(sidecars >= 4 && segments == sidecars + 1, "{sidecars} sidecars, {segments} segments");
    for (query, (found, effort)) in QUERIES.iter().zip(with) {
        let (without, unaided) = search(dir.path(), query);
        assert_eq!(places(&found), places(&without), "{query}");
        assert!(unaided.effort().skipped == 0 && effort.effort().read <= unaided.effort().read, "{query}");
        if query.contains("bob")
            || query.contains("zebra")
            || query.contains("billing")
            || query.contains("nobody")
        {
            let effort = effort.effort();
            assert!(effort.skipped >= sidecars - 2, "{query}: {effort:?}");
        }
    }
}

#[test]
fn outcomes_are_found_by_what_their_intents_said() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let (found, _) = search(dir.path(), "table:secret_plans");
    assert_eq!(kinds(&found), ["command.decided", "command.completed"]);
    let (found, _) = search(dir.path(), "table:secret_plans sqlstate:57014");
    assert_eq!(kinds(&found), ["command.completed"]);
    let (found, _) = search(dir.path(), "zebrafish");
    assert_eq!(kinds(&found), ["command.decided", "command.completed"]);
    assert!(matches!(&found[0].payload, Payload::Clear(json) if json.windows(9).any(|w| w == b"Zebrafish")));
    let (found, _) = search(dir.path(), "identity:bob");
    assert_eq!(kinds(&found), ["session.opened", "command.decided", "command.completed", "session.closed"]);
    let (found, _) = search(dir.path(), "identity:ada");
    assert_eq!(found.len(), 3);
    let (found, _) = search(dir.path(), "");
    assert!(found.len() as u64 > ROUNDS * 4);
    assert!(kinds(&found).contains(&"log.sealed".to_owned()));
}

/// Claims of a command are found with its outcome, by name and value; nothing else that has the same words.
#[test]
fn claims_are_found() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let found = |query: &str| places(&search(dir.path(), query).0);
    let all = found("claim:tool=run_sql");
    assert_eq!(
        kinds(&search(dir.path(), "claim:tool=run_sql table:invoices").0),
        ["command.decided", "command.completed"]
    );
    for query in [
        "claim:tool",
        "traceparent:4bf92f3577b34da6a3ce929d0e0e4736",
        "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "claim:traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(found(query), all, "{query}");
    }
    for query in
        ["claim:tool=run", "claim:run_sql", "claim:traceparent=01", "traceparent:4bf9", "claim:name=tool"]
    {
        assert_eq!(found(query), [0; 0], "{query}");
    }
}

/// What became of a grant's login role is found with the grant, and nothing of another grant's.
#[test]
fn the_roles_of_a_grant_are_found_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let mut last = 0;
    for (kind, event) in samples::all() {
        if kind.starts_with("role.") || kind == "target.asked-role" {
            last = writer.append(event);
        }
    }
    let other = r#"{"grant":"gr-other","reassigned":[],"role":"fh_grant_other_0a1b2c","target":"orders"}"#;
    let leaf = samples::json(other);
    last = last.max(writer.append(Event::Log(Box::new(LogEvent { kind: "role.dropped", leaf }))));
    writer.close(last);
    let found = |query: &str| kinds(&search(dir.path(), query).0);
    let all = ["role.made", "role.dropped", "role.swept", "role.failed"];
    assert_eq!(found("grant:gr-7k3m9xq2vb"), all);
    assert_eq!(found("grant:GR-7K3M9XQ2VB kind:role.made"), ["role.made"]);
    assert_eq!(found("grant:gr-other"), ["role.dropped"]);
    assert_eq!(found("grant:gr-7k3m9xq2v"), [""; 0]);
    assert_eq!(found("-grant:gr-7k3m9xq2vb kind:role"), ["role.dropped"]);
}

/// As written or as meant; in segments whose indexes are older than that, too.
#[test]
fn a_table_is_found_by_the_name_that_is_written_and_by_the_one_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let found = |query: &str| places(&search(dir.path(), query).0);
    assert_eq!(found("table:invoices").len(), 2);
    assert_eq!(found("table:shop.invoices"), found("table:invoices"));
    assert_eq!(found("table:SHOP.INVOICES"), found("table:invoices"));
    assert_eq!(found("table:public.secret_plans"), found("table:secret_plans"));
    assert!(found("table:public.invoices").is_empty());

    let older = |kind: &str| {
        let texts = |text: &str| [text.to_owned()].into();
        let facets = [(Facet::Table, texts("q")), (Facet::Kind, texts(kind))].into();
        SegmentFacts { clear: Clear { facets, ..Clear::default() }, secret: None }
    };
    let may_hold = |query: &str, facts: &SegmentFacts| {
        let query = Query::parse(query, now()).unwrap();
        Matcher::new(&query, None, &Names::default()).may_match(facts, Some(&[]))
    };
    assert!(may_hold("table:q", &older("command.decided")));
    assert!(!may_hold("table:public.q", &older("command.decided")), "it tells no more than what is written");
    assert!(may_hold("table:public.q", &older("command.changed")), "changed rows may be of any table");
}

/// Of a sealed segment those entries are read and not the rest, and all is found without indexes, too.
#[test]
fn what_was_done_to_tokens_is_read_by_its_places() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let ada = writer.facts(1, "ada", "orders");
    let mut last = 0;
    let mut expected = Vec::new();
    for round in 0..600 {
        if round % 150 == 0 {
            expected.push(writer.append(samples::administered("identity.token_created")));
        }
        if round == 299 {
            expected.push(writer.append(samples::administered("identity.token_revoked")));
        }
        last = writer.decided(&ada, round, "payments", "identity.token is no kind here");
    }
    writer.close(last);
    let read = || {
        let mut found = Vec::new();
        let reader = Reader::open(dir.path(), io()).unwrap();
        let effort = about_tokens(&reader, &mut |f| found.push(f.clone())).unwrap();
        assert!(found.iter().all(|f| f.payload.clear().is_some()));
        (places(&found), effort)
    };
    let (found, by_places) = read();
    assert_eq!(found, expected);
    assert_eq!(found, places(&search(dir.path(), "kind:identity.token").0));
    for entry in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "idx") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let (found, whole) = read();
    assert_eq!(found, expected);
    assert!(whole.entries > 600 && by_places.entries < whole.entries / 3, "{by_places:?} {whole:?}");
}

#[test]
fn the_newest_few_are_the_last_of_all() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    for query in QUERIES {
        let (all, _) = search(dir.path(), query);
        for count in [0, 1, 50] {
            let reader = Reader::open(dir.path(), io()).unwrap();
            let mut search = Search::new(&reader, &Query::parse(query, now()).unwrap()).unwrap();
            let last = search.last(count, usize::MAX).unwrap();
            let wanted = &all[all.len().saturating_sub(count)..];
            assert_eq!(places(&last), places(wanted), "{query} {count}");
            assert!(search.next().unwrap().is_none(), "{query}: nothing is new");
        }
    }
}

#[test]
fn the_newest_few_are_fewer_where_they_would_hold_too_much() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let (all, _) = search(dir.path(), "");
    let reader = Reader::open(dir.path(), io()).unwrap();
    for most in [0, 5_000, 100_000] {
        let mut search = Search::new(&reader, &Query::default()).unwrap();
        let last = search.last(50, most).unwrap();
        let bytes: usize = last.iter().map(Found::bytes).sum();
        assert!(bytes <= most || last.len() == 1, "{most}: {bytes}");
        assert_eq!(places(&last), places(&all[all.len() - last.len()..]), "{most}: they are the newest");
        assert_eq!(search.left_out(), last.len() < 50, "{most}");
        assert!(search.next().unwrap().is_none());
    }
}

#[test]
fn what_gave_way_on_the_way_is_not_said_to_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let ada = writer.facts(1, "ada", "orders");
    let mut last = writer.opened(&ada);
    let large = "x".repeat(16 << 10);
    for (number, text) in
        (1..).zip(std::iter::once(large.as_str()).chain(std::iter::repeat_n("select 1", 40)))
    {
        last = writer.decided(&ada, number, "payments", text);
    }
    writer.log.wait_blocking(Ticket(last), Patience::Outcome).unwrap();
    let (all, _) = search(dir.path(), "table:payments");
    let bytes = |of: &[Found]| of.iter().map(Found::bytes).sum::<usize>();
    // There is room for the twenty that are asked for; not for those together with the large one in front of them.
    let wanted = &all[all.len() - 20..];
    let most = bytes(wanted) + bytes(&all[..1]) / 2;
    assert_eq!(all.len(), 41);
    let reader = Reader::open(dir.path(), io()).unwrap();
    let mut search = Search::new(&reader, &Query::parse("table:payments", now()).unwrap()).unwrap();
    assert_eq!(places(&search.last(20, most).unwrap()), places(wanted));
    assert!(!search.left_out(), "all that was asked for was given");
    let mut search = Search::new(&reader, &Query::parse("table:payments", now()).unwrap()).unwrap();
    assert_eq!(places(&search.last(41, most).unwrap()).len() < 41, search.left_out());
}

#[test]
fn a_reading_ends_when_nobody_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let stop = Arc::new(AtomicBool::new(false));
    let reader = Reader::open(dir.path(), io()).unwrap().until(Arc::clone(&stop));
    let mut search = Search::new(&reader, &Query::parse("no-such-text-anywhere", now()).unwrap()).unwrap();
    assert!(search.next().unwrap().is_none());
    let mut search = Search::new(&reader, &Query::default()).unwrap();
    assert!(search.next().unwrap().is_some());
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(search.next(), Err(ReadError::Stopped)));
    assert!(matches!(Search::new(&reader, &Query::default()).map(drop), Ok(()) | Err(ReadError::Stopped)));
}

#[test]
fn following_finds_what_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::open(dir.path());
    let ada = writer.facts(1, "ada", "orders");
    let opened = writer.opened(&ada);
    let intent = writer.decided(&ada, 1, "invoices", "select 1");
    writer.log.wait_blocking(Ticket(intent), Patience::Outcome).unwrap();
    let reader = Reader::open(dir.path(), io()).unwrap();
    let mut search = Search::new(&reader, &Query::parse("table:invoices", 0).unwrap()).unwrap();
    assert_eq!(kinds(&search.last(10, usize::MAX).unwrap()), ["command.decided"]);
    assert_eq!(opened, 0);
    let mut last = writer.completed(&ada, 1, intent, None);
    for _ in 0..100 {
        let intent = writer.decided(&ada, 2, "payments", "select 2");
        last = writer.completed(&ada, 2, intent, None);
    }
    writer.log.wait_blocking(Ticket(last), Patience::Outcome).unwrap();
    let later = search.next().unwrap().unwrap();
    assert_eq!(kinds(&[later]), ["command.completed"]);
    assert!(search.next().unwrap().is_none());
    let intent = writer.decided(&ada, 3, "invoices", "select 3");
    writer.log.wait_blocking(Ticket(intent), Patience::Outcome).unwrap();
    assert_eq!(search.next().unwrap().unwrap().place.position, intent);
}

#[test]
fn a_changed_index_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let all = places(&search(dir.path(), "identity:bob").0);
    for entry in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "idx") {
            let mut bytes = std::fs::read(&path).unwrap();
            // Somebody hides `billing` from searches, and corrects the checksum.
            if let Some(at) = bytes.windows(7).position(|w| w == b"billing") {
                bytes[at] = b'B';
                let crc = crc32fast::hash(&bytes[12..]).to_le_bytes();
                bytes[8..12].copy_from_slice(&crc);
                std::fs::remove_file(&path).unwrap();
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    assert_eq!(places(&search(dir.path(), "target:billing").0), all);
}
