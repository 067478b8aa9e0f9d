//! The port: each preview stands in the record first, so many are tried at a time, and whatever is in the way is in the answer.

use std::path::PathBuf;
use std::sync::Arc;

use firsthand_model::event::Event;
use firsthand_model::preview::{How, Original, Preview};
use firsthand_model::target::{Durability, Mode, Target};
use firsthand_protocols::previews::Previews;
use firsthand_protocols::protocol::{Link, Links, TlsUse};
use firsthand_session::Engine;
use firsthand_session::fake::{Disk, FakeLog, fakes, target};
use firsthand_session::port::{BoxFuture, ByteStream, DialError, Dialer};
use tokio::net::UnixStream;

use super::{Bed, Try, line, on_a_deep_stack, run};

struct Socket(PathBuf);

impl Dialer for Socket {
    fn dial<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<Box<dyn ByteStream>, DialError>> {
        Box::pin(async move {
            let stream = UnixStream::connect(&self.0).await;
            let stream = stream.map_err(|e| DialError::Unreachable(e.to_string()))?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}

struct Plain;

impl Links for Plain {
    fn link(&self, target: &str) -> Option<Link> {
        let timeout = std::time::Duration::from_secs(5);
        (target == "orders").then_some(Link { tls_use: TlsUse::Disable, tls: None, timeout })
    }
}

/// An engine whose target is this server.
fn engine(bed: &Bed, socket: &str) -> (Arc<Engine>, Arc<FakeLog>) {
    let mut fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
    let engine = Arc::get_mut(&mut fakes.engine).unwrap();
    engine.dialer = Box::new(Socket(bed.server.dir.join(socket)));
    engine.previewer = Box::new(Previews::new(Arc::new(Plain)));
    (fakes.engine, fakes.log)
}

/// How often the record says that a preview was asked for.
fn told(log: &FakeLog) -> usize {
    let is = |event: &&Event| match event {
        Event::Log(e) => {
            let facts = String::from_utf8_lossy(e.leaf.as_bytes()).into_owned();
            e.kind == "target.asked" && facts.contains(r#""what":"preview""#) && !facts.contains("DELETE")
        }
        _ => false,
    };
    log.with(|events| events.iter().filter(is).count())
}

#[test]
fn a_preview_is_recorded_and_bounded_and_fails_with_a_reason() {
    on_a_deep_stack(|| {
        let bed = Bed::new(
            "CREATE ROLE orders_rw LOGIN;; CREATE TABLE t (id int PRIMARY KEY);; INSERT INTO t VALUES (1), (2);; \
             GRANT ALL ON t TO orders_rw",
        );
        let (engine, log) = engine(&bed, ".s.PGSQL.5432");
        let (mut session, command, original) = bed.asked(&Try { text: "DELETE FROM t", ..Try::default() });
        for role in [&mut session.session_role, &mut session.role] {
            "orders_rw".clone_into(role);
        }
        let ask = || engine.previewer.preview(&engine, &session, &command, &original);
        let preview = bed.runtime.block_on(ask());
        assert_eq!(line(&preview), "exact 2 [public.t delete 2]", "{}", preview.why);
        // These rules do not say what is masked.
        assert!(preview.sample.is_none() && preview.why.contains("what is masked"), "{}", preview.why);
        assert_eq!(told(&log), 1);
        bed.is_quiet();
        several_at_a_time(&bed, &ask);
        assert_eq!(told(&log), 7);
        let nothing = |why: &str, preview: Preview| {
            assert!(preview.how == How::None && preview.why.contains(why), "{}", preview.why);
        };
        log.set(Disk::Full);
        nothing("the record does not take", bed.runtime.block_on(ask()));
        log.set(Disk::Instant);
        assert_eq!(told(&log), 7, "what is not in the record is not asked");
        nothing("cannot be reached", bed.runtime.block_on(unreachable(&bed, &original)));
        "nowhere".clone_into(&mut session.target);
        let lost = engine.previewer.preview(&engine, &session, &command, &original);
        nothing("gone from the configuration", bed.runtime.block_on(lost));
        bed.is_quiet();
    });
}

/// Six at once: no more than two are connected at any moment, and all of them are answered.
fn several_at_a_time<'a>(bed: &Bed, ask: &dyn Fn() -> BoxFuture<'a, Preview>) {
    let mut holder = bed.session();
    run(&mut holder, "BEGIN");
    run(&mut holder, "LOCK TABLE t");
    let mut watcher = bed.session();
    let most = std::cell::Cell::new(0);
    let watch = async {
        // As long as they run, each is looked at between two steps of the others.
        loop {
            let connected =
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'firsthand preview'";
            most.set(super::ask(&mut watcher, connected).parse::<u32>().unwrap().max(most.get()));
            tokio::task::yield_now().await;
        }
    };
    let all = async {
        let (a, b, c, d, e, f) = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask());
        [a, b, c, d, e, f]
    };
    let answered = bed.runtime.block_on(async {
        tokio::select! {
            answers = all => answers,
            () = watch => unreachable!("it watches as long as they run"),
        }
    });
    for preview in &answered {
        assert!(preview.why.contains("somebody else holds a lock"), "{}", preview.why);
    }
    assert!((1..=2).contains(&most.get()), "{}", most.get());
    run(&mut holder, "ROLLBACK");
    drop((holder, watcher));
    bed.is_quiet();
}

async fn unreachable(bed: &Bed, original: &Original) -> Preview {
    let (engine, _) = engine(bed, "nobody");
    let (session, command, _) = bed.asked(&Try { text: "DELETE FROM t", ..Try::default() });
    engine.previewer.preview(&engine, &session, &command, original).await
}
