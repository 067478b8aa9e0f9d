//! The session's loop on streams in memory: what depends on when bytes come, and how a session ends.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::UnixMicros;
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
        budget: firsthand_protocols::budget::Budget::new(1 << 20),
        changed: firsthand_model::target::ChangedRows::Off,
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
