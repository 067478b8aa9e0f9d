//! The session's loop on streams in memory: what depends on when bytes come, and how a session ends.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::{MonoMicros, UnixMicros};
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Thought};
use firsthand_protocols::drive::run::{Parts, TimeLimits, run};
use firsthand_protocols::drive::sessions::Handle;
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_sql::Analyzer;
use firsthand_wire::postgres::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

/// Enough for what a test sends.
const ROOM: usize = 1 << 16;

/// A session over streams whose other ends are the test's: the client's and the target's.
fn session() -> (Fakes, Parts, DuplexStream, DuplexStream) {
    session_in(&Budget::new(1 << 20))
}

/// The same, with large messages in this room.
fn session_in(budget: &Arc<Budget>) -> (Fakes, Parts, DuplexStream, DuplexStream) {
    let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
    let (session, admission) = fakes.open();
    let setup = Setup {
        knowing: None,
        analyzer: Arc::new(Analyzer::default()),
        parameters: Vec::new(),
        session_role: "orders_rw".to_owned(),
        role: "orders_rw".to_owned(),
        session: session.facts().id,
        message_bytes_max: 1 << 20,
        budget: Arc::clone(budget),
        changed: firsthand_model::target::ChangedRows::Off,
        tables: None,
        unobserved: false,
    };
    let handle = Arc::new(Handle::new(Arc::clone(session.facts()), UnixMicros(0), String::new()));
    let ((client, of_client), (server, of_server)) = (duplex(ROOM), duplex(ROOM));
    let hour = Duration::from_secs(3600);
    let parts = Parts {
        session,
        dialect: Box::new(PostgresDialect::new(admission, setup)),
        client: (Box::new(of_client), BytesMut::new()),
        server: (Box::new(of_server), BytesMut::new()),
        handle,
        limits: TimeLimits { stall: hour, idle: None, drain: hour },
        cancel: None,
        thinkers: Arc::default(),
    };
    (fakes, parts, client, server)
}

/// While the log is behind, a result waits as a client does: nothing more of it is read. It goes on when the log does.
#[test]
fn a_result_waits_for_the_log() {
    plays(async || {
        let (fakes, parts, mut client, mut server) = session();
        let log = Arc::clone(&fakes.log);
        let script = async {
            log.falls_behind(true);
            let notice = b"A\0\0\0\x0c\0\0\0\x07a\0b\0";
            server.write_all(notice).await.unwrap();
            while !log.is_waited_for() {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(log.words(), ["opened"], "it was read");
            log.falls_behind(false);
            let mut got = vec![0; notice.len()];
            // The loop looks after its time limits every five seconds: that must not be what helps.
            tokio::time::timeout(Duration::from_secs(4), client.read_exact(&mut got)).await.unwrap().unwrap();
            assert_eq!(got, notice);
            drop((client, server));
        };
        tokio::join!(run(parts), script);
    });
}

/// On a thread with the stack that the parser needs.
fn plays<F: Future<Output = ()>>(play: impl FnOnce() -> F + Send + 'static) {
    let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play());
    let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES);
    if let Err(panic) = thread.spawn(run).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn what_is_sent_without_a_sync_goes_on_when_the_client_pauses() {
    plays(async || {
        let (fakes, parts, mut client, mut server) = session();
        let script = async {
            let mut parse = BytesMut::new();
            frontend::encode_parse(&mut parse, b"", b"selec 1", &[]).unwrap();
            client.write_all(&parse).await.unwrap();
            let mut got = vec![0; parse.len()];
            server.read_exact(&mut got).await.unwrap();
            assert_eq!(got, parse);
            drop(client);
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty());
            drop(server);
        };
        tokio::join!(run(parts), script);
        assert_eq!(fakes.log.words().last().unwrap(), "closed client");
    });
}

#[test]
fn nothing_stands_behind_the_end_of_a_session() {
    plays(async || {
        let (fakes, parts, mut client, server) = session();
        fakes.log.set(Disk::ByHand);
        let log = Arc::clone(&fakes.log);
        let script = async {
            let mut query = BytesMut::new();
            frontend::encode_query(&mut query, b"insert into t values (1)").unwrap();
            client.write_all(&query).await.unwrap();
            // Its intent waits for the disk; then the target goes.
            while !log.words().iter().any(|w| w.starts_with("decided 1 ")) {
                tokio::task::yield_now().await;
            }
            drop(server);
            while !log.words().iter().any(|w| w.starts_with("closed ")) {
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(run(parts), script);
        let words = fakes.log.words();
        let end = words.iter().position(|w| w.starts_with("closed ")).unwrap();
        assert_eq!(end + 1, words.len(), "{words:?}");
        assert!(words.iter().any(|w| w.starts_with("abandoned 1 ")), "{words:?}");
    });
}

#[test]
fn who_leaves_right_after_a_large_text_is_still_heard() {
    plays(async || {
        let budget = Budget::new(1 << 20);
        let (fakes, parts, mut client, mut server) = session_in(&budget);
        let script = async {
            let mut sent = BytesMut::new();
            frontend::encode_parse(&mut sent, b"", &[b"selec ", [b'x'; 300 << 10].as_slice()].concat(), &[])
                .unwrap();
            let mut got = vec![0; sent.len()];
            let (read, ()) = tokio::join!(server.read_exact(&mut got), async {
                client.write_all(&sent).await.unwrap();
                drop(client);
            });
            read.unwrap();
            assert_eq!(got, sent);
            let mut rest = Vec::new();
            server.read_to_end(&mut rest).await.unwrap();
            assert!(rest.is_empty());
            drop(server);
        };
        tokio::join!(run(parts), script);
        assert_eq!(fakes.log.words().last().unwrap(), "closed client");
        assert_eq!(budget.used(), 0);
    });
}

/// A text is read elsewhere and goes to the target as the bytes that came, in the room that they took from the beginning.
#[test]
fn a_large_text_is_copied_nowhere_and_never_without_its_room() {
    plays(async || {
        const NOW: MonoMicros = MonoMicros(0);
        let budget = Budget::new(1 << 20);
        let (_fakes, mut parts, _client, _server) = session_in(&budget);
        let dialect = &mut parts.dialect;
        let mut input = BytesMut::new();
        frontend::encode_query(&mut input, &[b"select '", [b'x'; 300 << 10].as_slice(), b"'"].concat())
            .unwrap();
        let (came_at, len) = (input.as_ptr(), input.len());
        let mut actions = Vec::new();
        dialect.from_client(&mut input, NOW, &mut actions);
        assert_eq!((input.len(), budget.used()), (0, len));
        let Some(Action::Think(thinking)) = actions.pop() else { panic!("{actions:?}") };
        assert!(thinking.large && !dialect.wants_client());
        let thought: Thought = thinking.done_at_once();
        assert_eq!(budget.used(), len);
        dialect.thought(thought, NOW, &mut actions);
        let Some(Action::Ask(commands)) = actions.pop() else { panic!("{actions:?}") };
        let answers = parts.session.submit(commands).await;
        dialect.answered(answers, NOW, &mut actions);
        let Some(Action::ToServer(forward)) = actions.pop() else { panic!("{actions:?}") };
        let bytes = forward.into_bytes();
        assert_eq!((bytes.as_ptr(), bytes.len(), budget.used()), (came_at, len, len));
        drop(bytes);
        assert_eq!(budget.used(), 0);
        // One that finds no turn is gone, and so is its room.
        frontend::encode_query(&mut input, &[b'x'; 300 << 10]).unwrap();
        dialect.from_client(&mut input, NOW, &mut actions);
        drop(actions.pop());
        assert_eq!(budget.used(), 0);
    });
}

/// The target says what a COPY is while a text behind it is read elsewhere. One of the simple protocol makes nothing skip,
/// whatever became of the Sync between: the text is asked for.
#[test]
fn a_large_text_behind_a_copy_is_asked_for_when_it_was_read() {
    plays(async || {
        const NOW: MonoMicros = MonoMicros(0);
        let budget = Budget::new(1 << 20);
        let (fakes, mut parts, _client, _server) = session_in(&budget);
        let dialect = &mut parts.dialect;
        let (mut input, mut actions) = (BytesMut::new(), Vec::new());
        frontend::encode_query(&mut input, b"copy t from stdin").unwrap();
        dialect.from_client(&mut input, NOW, &mut actions);
        let Some(Action::Ask(commands)) = actions.pop() else { panic!("{actions:?}") };
        dialect.answered(parts.session.submit(commands).await, NOW, &mut actions);
        frontend::encode_sync(&mut input);
        frontend::encode_query(&mut input, &[b'x'; 300 << 10]).unwrap();
        dialect.from_client(&mut input, NOW, &mut actions);
        let Some(Action::Think(thinking)) = actions.pop() else { panic!("{actions:?}") };
        let mut answer = BytesMut::from(&b"G\0\0\0\x07\0\0\0"[..]);
        dialect.from_server(&mut answer, NOW, &mut actions);
        actions.clear();
        dialect.thought(thinking.done_at_once(), NOW, &mut actions);
        assert!(!dialect.has_unread());
        assert!(actions.iter().any(|a| matches!(a, Action::Ask(_))), "{actions:?}");
        actions.clear();
        dialect.end(None, AbandonReason::ClientLeft, "client", &mut actions);
        drop((actions, parts));
        assert_eq!(budget.used(), 0);
        assert_eq!(fakes.log.words().last().unwrap(), "closed dropped");
    });
}

/// The log falls behind in the middle of a large message. Once it keeps up again, the rest is read although nothing else
/// happens.
#[test]
fn a_message_is_read_on_when_the_log_keeps_up_again() {
    plays(async || {
        let (fakes, parts, mut client, mut server) = session();
        let log = Arc::clone(&fakes.log);
        let script = async {
            let mut sent = BytesMut::new();
            let text = [b"selec ", [b'x'; 300 << 10].as_slice()].concat();
            frontend::encode_parse(&mut sent, b"", &text, &[]).unwrap();
            log.falls_behind(true);
            // More than is read ahead, so that the socket is full when the log keeps up again.
            let (first, rest) = sent.split_at(3 * ROOM / 2);
            client.write_all(first).await.unwrap();
            while !log.is_waited_for() {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            log.falls_behind(false);
            let mut got = vec![0; sent.len()];
            let both = async { tokio::join!(client.write_all(rest), server.read_exact(&mut got)) };
            // The loop looks after its time limits every five seconds: that must not be what helps.
            let (wrote, read) = tokio::time::timeout(Duration::from_secs(4), both).await.unwrap();
            wrote.unwrap();
            read.unwrap();
            assert!(got == sent);
            drop((client, server));
        };
        tokio::join!(run(parts), script);
    });
}
