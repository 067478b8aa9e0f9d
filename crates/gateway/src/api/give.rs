//! The record over the API: a stream of lines (reading/wire.rs), made on a thread of its own while the client takes it.
//! It ends when the client goes, takes nothing for too long, or may not read any more; a gateway that stops ends it too.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use firsthand_auditlog::io::RealIo;
use firsthand_auditlog::names::Names;
use firsthand_auditlog::reader::Reader;
use firsthand_auditlog::search::Found;
use firsthand_auditlog::search::sessions::SessionSummary;
use firsthand_model::json::Json;
use firsthand_protocols::drive::stream::Phase;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Api, Asked, Caller, READING_BYTES_MAX, answer};
use crate::failure::Failure;
use crate::place::reading_leaf;
use crate::reading::wire::Writer;
use crate::reading::{Ask, EntriesAsk, EntriesCommand, Room, SessionAsk, SessionsAsk, Sink, unreadable};
use crate::web::Busy;

/// Readings at a time. Each keeps a core busy; sessions need the others.
pub(crate) const READERS_MAX: usize = 2;
/// Followers at a time: each looks at the log's end ten times a second.
pub(crate) const FOLLOWERS_MAX: usize = 16;
/// How long a reading waits for one of the others to end.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// Lines are sent when they have come to this many bytes, or when there are no more for now.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks on their way to a client that does not take them yet.
const CHUNKS_MAX: usize = 8;
/// A client that takes nothing for so long is taken for gone.
const STALL_MAX: Duration = Duration::from_secs(60);
/// After so much silence goes an empty line: both sides see that the other lives.
const BEAT: Duration = Duration::from_secs(10);
/// `log tail -n`, and sessions listed, at most: they are gathered before they are sent.
const COUNT_MAX: usize = 10_000;
/// Bytes of entries that one reading holds: with all readers and followers at once, half a gigabyte.
const GATHERED_BYTES_MAX: usize = 32 << 20;
/// Terms of an expression: each is looked for in each entry.
const TERMS_MAX: usize = 64;

type Of = State<Arc<Api>>;
type Who = (Extension<Caller>, Extension<Busy>);

pub(super) async fn entries(State(api): Of, who: Who, Asked(ask): Asked<EntriesAsk>) -> Response {
    give(api, who, Ask::Entries(ask)).await
}

pub(super) async fn sessions(State(api): Of, who: Who, Asked(ask): Asked<SessionsAsk>) -> Response {
    give(api, who, Ask::Sessions(ask)).await
}

pub(super) async fn session(State(api): Of, who: Who, Asked(ask): Asked<SessionAsk>) -> Response {
    give(api, who, Ask::Session(ask)).await
}

/// What a request says of itself must be short, and few at a time are answered from memory.
fn check(ask: &Ask) -> Result<(), Failure> {
    let too_many = |what: &str| Failure::usage(what.to_owned(), "ask for less at a time");
    if let Ask::Entries(EntriesAsk { command: EntriesCommand::Search, expression, .. }) = ask
        && expression.is_empty()
    {
        return Err(Failure::usage(
            "nothing to search for",
            "firsthand log search --help shows what it may say",
        ));
    }
    let (count, bytes) = match ask {
        Ask::Entries(ask) => (ask.lines, ask.expression.iter().map(String::len).sum()),
        Ask::Sessions(SessionsAsk { identity, target, since, count }) => {
            (*count, [identity, target, since].into_iter().flatten().map(String::len).sum())
        }
        Ask::Session(ask) => (0, ask.session.len()),
    };
    if count > COUNT_MAX {
        return Err(too_many(&format!("over the API at most {COUNT_MAX} are counted from the end")));
    }
    // As it is recorded it may be twice as long: it is written anew, and escaped.
    if bytes > READING_BYTES_MAX / 2 || ask.query()?.terms.len() > TERMS_MAX {
        return Err(too_many(&format!(
            "the expression is too long: over the API it has at most {TERMS_MAX} terms and {} bytes",
            READING_BYTES_MAX / 2
        )));
    }
    Ok(())
}

async fn give(api: Arc<Api>, (Extension(caller), Extension(busy)): Who, ask: Ask) -> Response {
    if let Err(failure) = check(&ask) {
        return failure.into_response();
    }
    let follows = matches!(ask, Ask::Entries(EntriesAsk { follow: true, .. }));
    let turns = Arc::clone(if follows { &api.followers } else { &api.readers });
    let Ok(Ok(turn)) = timeout(TURN_WAIT_MAX, turns.acquire_owned()).await else {
        let why = "as many read the record over the API as may at a time";
        return answer(StatusCode::SERVICE_UNAVAILABLE, why, "try again in a moment");
    };
    let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let (runtime, held) = (Handle::current(), busy.hold());
    let room = Stacks { api, caller, stop: Arc::clone(&stop), runtime };
    tokio::task::spawn_blocking(move || {
        read(&ask, &room, chunks);
        drop((turn, held));
    });
    let body = futures_util::stream::unfold((taken, Stop(stop)), async |(mut taken, stop)| {
        let chunk = match timeout(BEAT, taken.recv()).await {
            Ok(chunk) => chunk?,
            Err(_) => Bytes::from_static(b"\n"),
        };
        Some((Ok::<_, Infallible>(chunk), (taken, stop)))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

/// Ends the reading when the client has gone: also in the middle of a search that finds nothing.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn read(ask: &Ask, room: &Stacks, chunks: mpsc::Sender<Bytes>) {
    let mut lines = Lines { writer: Writer::default(), room, chunks };
    let ended = ask.run(room, &mut lines);
    lines.writer.end(&ended);
    let _ = lines.send();
}

/// The record of this gateway, for one caller.
struct Stacks {
    api: Arc<Api>,
    caller: Caller,
    stop: Arc<AtomicBool>,
    runtime: Handle,
}

impl Room for Stacks {
    fn reader(&self) -> Result<Reader, Failure> {
        let reader = Reader::open(&self.api.gateway.data_dir(), Arc::new(RealIo::new()));
        Ok(reader.map_err(|e| unreadable(&e))?.until(Arc::clone(&self.stop)))
    }

    fn note_reading(&self, command: &str, what: Json) -> Result<(), Failure> {
        self.may_go_on()?;
        let desk = &self.api.gateway.desk;
        self.runtime.block_on(desk.record("record.read", &self.caller.by, reading_leaf(command), what))
    }

    fn most_bytes(&self) -> usize {
        GATHERED_BYTES_MAX
    }
}

impl Stacks {
    /// Whether the caller may read on.
    fn may_go_on(&self) -> Result<(), Failure> {
        if *self.api.phase.borrow() == Phase::Draining {
            return Err(Failure::new("the gateway is stopping", "ask again when it runs"));
        }
        let Some(identity) = &self.caller.identity else { return Ok(()) };
        let engine = &self.api.gateway.engine;
        engine.identity.recheck(identity, engine.clock.now()).map_err(|_| {
            Failure::new(
                "the gateway does not accept this token any more",
                "it has ended or was revoked; whoever made it can make a new one",
            )
        })
    }
}

/// Sends what is found, a chunk at a time.
struct Lines<'a> {
    writer: Writer,
    room: &'a Stacks,
    chunks: mpsc::Sender<Bytes>,
}

impl Lines<'_> {
    /// Sends what there is, unless the caller may not have it any more. `false`: nobody takes it.
    fn pass(&mut self) -> Result<bool, Failure> {
        if let Err(failure) = self.room.may_go_on() {
            self.writer.lines.clear();
            return Err(failure);
        }
        self.send()
    }

    fn send(&mut self) -> Result<bool, Failure> {
        if self.writer.lines.is_empty() {
            return Ok(!self.chunks.is_closed());
        }
        let chunk = Bytes::from(std::mem::take(&mut self.writer.lines));
        let sending = timeout(STALL_MAX, self.chunks.send(chunk));
        match self.room.runtime.block_on(sending) {
            Ok(sent) => Ok(sent.is_ok()),
            Err(_) => Err(Failure::new("the record was not taken in time", "read it without stopping")),
        }
    }

    fn full(&mut self) -> Result<bool, Failure> {
        if self.writer.lines.len() < CHUNK_BYTES { Ok(true) } else { self.pass() }
    }
}

impl Sink for Lines<'_> {
    fn session(&mut self, summary: &SessionSummary) -> Result<bool, Failure> {
        self.writer.session(summary);
        Ok(true)
    }

    fn listed(&mut self, summary: &SessionSummary, first: &Found, names: &Names) -> Result<bool, Failure> {
        self.writer.listed(summary, first, names);
        self.full()
    }

    fn entry(&mut self, found: &Found, names: &Names) -> Result<bool, Failure> {
        self.writer.entry(found, names);
        self.full()
    }

    fn remark(&mut self, text: &str) -> Result<(), Failure> {
        self.writer.remark(text);
        Ok(())
    }

    fn flush(&mut self) -> Result<bool, Failure> {
        self.pass()
    }
}

/// What the client is answered in the end, when it can be told.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn entries(expression: &[&str], lines: usize) -> Ask {
        let expression = expression.iter().map(|term| (*term).to_owned()).collect();
        Ask::Entries(EntriesAsk { command: EntriesCommand::Tail, expression, lines, follow: false })
    }

    #[test]
    fn what_is_asked_has_limits() {
        assert!(check(&entries(&["identity:ada", "x"], COUNT_MAX)).is_ok());
        let terms = vec!["x"; TERMS_MAX + 1];
        let long = "x".repeat(READING_BYTES_MAX / 2 + 1);
        for ask in
            [entries(&[], COUNT_MAX + 1), entries(&terms, 1), entries(&[&long], 1), entries(&["since:x"], 1)]
        {
            let failure = check(&ask).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{failure}");
        }
    }
}
