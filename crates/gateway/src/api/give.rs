//! The record over the API: a stream of lines (reading/wire.rs), made on a thread of its own while the client takes it.
//! It ends when the client goes, takes nothing for too long, or may not read any more; a gateway that stops ends it too.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

use super::{Api, Asked, Caller, READING_BYTES_MAX, answer};
use crate::failure::{Exit, Failure};
use crate::place::reading_leaf;
use crate::reading::wire::Writer;
use crate::reading::{Ask, EntriesAsk, EntriesCommand, Room, SessionAsk, SessionsAsk, Sink, unreadable};
use crate::web::Busy;

/// Readings at a time. Each keeps a core busy; sessions need the others. Followers are among them until they have caught up.
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
/// How long a reading may wait for its client in all, while others wait for its place; less than [`TURN_WAIT_MAX`], so that they
/// get it.
const GRACE: Duration = Duration::from_secs(3);
/// And so much longer for what the client has taken: whoever takes so many bytes in a second keeps the place.
const PACE_BYTES: u64 = 1 << 20;
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
    let Some(turn) = Turn::take(&api.places, follows).await else {
        let why = "as many read the record over the API as may at a time";
        return answer(StatusCode::SERVICE_UNAVAILABLE, why, "try again in a moment");
    };
    let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let room = Stacks { api, caller, stop: Arc::clone(&stop), runtime: Handle::current() };
    let room = Arc::new(room);
    let reading = Arc::clone(&room);
    tokio::task::spawn_blocking(move || read(&ask, &reading, chunks, turn));
    let on_its_way = Passing { taken, may: move || room.may_read(), stop: Stop(stop), busy, over: false };
    let body = futures_util::stream::unfold(on_its_way, Passing::next);
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

/// The places of those who read.
pub(crate) struct Places {
    readers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    /// How many wait for one of the readers'.
    waiting: watch::Sender<usize>,
}

impl Default for Places {
    fn default() -> Self {
        Self::new(READERS_MAX, FOLLOWERS_MAX)
    }
}

impl Places {
    fn new(readers: usize, followers: usize) -> Self {
        let of = |most| Arc::new(Semaphore::new(most));
        Self { readers: of(readers), followers: of(followers), waiting: watch::Sender::new(0) }
    }
}

/// One of those who wait for a place, until dropped.
struct InLine<'a>(&'a watch::Sender<usize>);

impl<'a> InLine<'a> {
    fn stand(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Leave to read, until dropped.
struct Turn {
    /// One of [`READERS_MAX`]; who follows gives it back once the end of the log is reached.
    reader: Option<OwnedSemaphorePermit>,
    /// One of [`FOLLOWERS_MAX`].
    follower: Option<OwnedSemaphorePermit>,
    /// How many wait for the reader's place.
    waiting: watch::Receiver<usize>,
}

impl Turn {
    /// `None`: as many read as may.
    async fn take(places: &Places, follows: bool) -> Option<Self> {
        let of = async |turns: &Arc<Semaphore>| {
            timeout(TURN_WAIT_MAX, Arc::clone(turns).acquire_owned()).await.ok()?.ok()
        };
        let follower = if follows { Some(of(&places.followers).await?) } else { None };
        let in_line = InLine::stand(&places.waiting);
        let reader = Some(of(&places.readers).await?);
        drop(in_line);
        Some(Self { reader, follower, waiting: places.waiting.subscribe() })
    }

    /// Resolves once others wait for the place and `grace` is over.
    async fn is_wanted(&mut self, grace: Duration) {
        if self.reader.is_none() {
            return std::future::pending().await;
        }
        tokio::time::sleep(grace).await;
        if self.waiting.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The end of the log is reached: what is left is to look there for more.
    fn caught_up(&mut self) {
        if self.follower.is_some() {
            self.reader = None;
        }
    }
}

/// What is on its way from the reading to the connection.
struct Passing<M> {
    taken: mpsc::Receiver<Bytes>,
    /// Whether the caller may have it: asked again for each chunk, because some wait until a slow client takes them.
    may: M,
    stop: Stop,
    busy: Busy,
    over: bool,
}

impl<M: Fn() -> Result<(), Failure>> Passing<M> {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.over {
            return None;
        }
        let chunk = match timeout(BEAT, self.taken.recv()).await {
            Ok(chunk) => self.judged(chunk?),
            Err(_) => Bytes::from_static(b"\n"),
        };
        self.busy.goes_on();
        Some((Ok(chunk), self))
    }

    /// A chunk, or what is said in its place: it consists of whole lines, so that can be done.
    fn judged(&mut self, chunk: Bytes) -> Bytes {
        let Err(failure) = (self.may)() else { return chunk };
        self.over = true;
        self.stop.now();
        self.taken.close();
        let mut writer = Writer::default();
        writer.end(&Err(failure));
        Bytes::from(writer.lines)
    }
}

/// Ends the reading when the client has gone: also in the middle of a search that finds nothing.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

fn read(ask: &Ask, room: &Stacks, chunks: mpsc::Sender<Bytes>, turn: Turn) {
    let may = || room.may_go_on();
    let mut lines = Lines::new(&may, room.runtime.clone(), chunks, turn);
    let ended = ask.run(room, &mut lines).map_err(Failure::for_elsewhere);
    lines.end(&ended);
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
        let reader = reader.map_err(|e| unreadable(&e))?;
        Ok(reader.until(Arc::clone(&self.stop)))
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
        self.may_read()
    }

    /// Whether the caller's token still holds.
    fn may_read(&self) -> Result<(), Failure> {
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
    may_go_on: &'a dyn Fn() -> Result<(), Failure>,
    runtime: Handle,
    chunks: mpsc::Sender<Bytes>,
    turn: Turn,
    /// How long a client may take nothing.
    patience: Duration,
    /// How long it may be waited for in all, beside what it takes, when others wait.
    grace: Duration,
    /// How long it was waited for.
    waited: Duration,
    /// Bytes that it has taken.
    taken: u64,
    /// It took too little for too long: it is not waited for again.
    stalled: bool,
}

impl<'a> Lines<'a> {
    fn new(
        may_go_on: &'a dyn Fn() -> Result<(), Failure>,
        runtime: Handle,
        chunks: mpsc::Sender<Bytes>,
        turn: Turn,
    ) -> Self {
        let writer = Writer::default();
        Self {
            writer,
            may_go_on,
            runtime,
            chunks,
            turn,
            patience: STALL_MAX,
            grace: GRACE,
            waited: Duration::ZERO,
            taken: 0,
            stalled: false,
        }
    }

    /// What the client is answered in the end, when it can be told.
    fn end(&mut self, ended: &Result<Exit, Failure>) {
        self.writer.end(ended);
        let _ = self.send();
    }

    /// Sends what there is, unless the caller may not have it any more. `false`: nobody takes it.
    fn pass(&mut self) -> Result<bool, Failure> {
        if let Err(failure) = (self.may_go_on)() {
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
        self.taken += chunk.len() as u64;
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Ok(true),
            Err(TrySendError::Closed(_)) => return Ok(false),
            Err(TrySendError::Full(chunk)) => chunk,
        };
        if !self.stalled {
            match self.send_slowly(chunk) {
                Some(sent) => return Ok(sent),
                None => self.stalled = true,
            }
        }
        let hint = "read it without stopping, and less at a time over a slow connection";
        Err(Failure::new("the record was not taken in time", hint))
    }

    /// Waits until the client takes more. `None`: it does not, or too slowly while others wait to read.
    fn send_slowly(&mut self, chunk: Bytes) -> Option<bool> {
        let earned = Duration::from_secs(self.taken / PACE_BYTES);
        let grace = (self.grace + earned).saturating_sub(self.waited);
        let (begun, turn, sending) = (Instant::now(), &mut self.turn, self.chunks.send(chunk));
        let sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = timeout(self.patience, sending) => sent.ok().map(|sent| sent.is_ok()),
                () = turn.is_wanted(grace) => None,
            }
        });
        self.waited += begun.elapsed();
        sent
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
        self.turn.caught_up();
        self.pass()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn turn(runtime: &tokio::runtime::Runtime, places: &Places, follows: bool) -> Turn {
        runtime.block_on(Turn::take(places, follows)).unwrap()
    }

    /// Places that are free: for readers, and for followers.
    fn free(places: &Places) -> (usize, usize) {
        (places.readers.available_permits(), places.followers.available_permits())
    }

    /// A client that slept, and whose token was revoked meanwhile, gets none of what waited for it.
    #[tokio::test]
    async fn what_waits_for_a_slow_client_is_not_sent_once_its_token_is_revoked() {
        let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
        for chunk in ["one\n", "two\n", "three\n"] {
            chunks.try_send(Bytes::from(chunk)).unwrap();
        }
        let (revoked, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&revoked);
        let may = move || match seen.load(Ordering::Relaxed) {
            true => Err(Failure::new("revoked", "ask for another")),
            false => Ok(()),
        };
        let passing =
            Passing { taken, may, stop: Stop(Arc::clone(&stop)), busy: Busy::default(), over: false };
        let (first, passing) = passing.next().await.unwrap();
        assert_eq!(first.unwrap(), "one\n");
        revoked.store(true, Ordering::Relaxed);
        let (second, passing) = passing.next().await.unwrap();
        let second = String::from_utf8(second.unwrap().to_vec()).unwrap();
        assert!(second.starts_with("{\"error\":") && second.contains("revoked"), "{second}");
        assert!(stop.load(Ordering::Relaxed) && chunks.is_closed(), "the reading ends, too");
        assert!(passing.next().await.is_none(), "nothing comes behind it");
    }

    #[test]
    fn who_takes_nothing_is_waited_for_once() {
        let (runtime, places) = (runtime(), Places::new(1, 1));
        let (chunks, _taken) = mpsc::channel(1);
        chunks.try_send(Bytes::from("x\n")).unwrap();
        let turn = turn(&runtime, &places, false);
        let mut lines = Lines::new(&|| Ok(()), runtime.handle().clone(), chunks, turn);
        lines.remark("y").unwrap();
        lines.patience = Duration::from_millis(1);
        let stalled = lines.flush().unwrap_err();
        lines.patience = STALL_MAX;
        let before = Instant::now();
        lines.end(&Err(stalled));
        assert!(before.elapsed() < STALL_MAX / 2, "the turn is free for others");
        assert_eq!(free(&places), (0, 1));
        drop(lines);
        assert_eq!(free(&places), (1, 1));
    }

    #[test]
    fn who_takes_too_little_loses_the_place_to_who_waits_for_it() {
        let (runtime, places) = (runtime(), Arc::new(Places::new(1, 1)));
        let (chunks, mut taken) = mpsc::channel(1);
        let turn = turn(&runtime, &places, false);
        let mut lines = Lines::new(&|| Ok(()), runtime.handle().clone(), chunks, turn);
        lines.grace = Duration::ZERO;
        // A line that is taken, slowly, while nobody else wants to read.
        lines.remark("one").unwrap();
        lines.flush().unwrap();
        lines.remark("two").unwrap();
        let slow = runtime.spawn(async move {
            let first = taken.recv().await;
            (first, taken)
        });
        assert!(lines.flush().unwrap(), "nobody waits");
        let (first, _taken) = runtime.block_on(slow).unwrap();
        assert!(first.is_some());
        // Now somebody does, and nothing is taken.
        let wanting = Arc::clone(&places);
        let next = runtime.spawn(async move { Turn::take(&wanting, false).await.is_some() });
        lines.remark("three").unwrap();
        let before = Instant::now();
        let lost = lines.flush().unwrap_err();
        lines.end(&Err(lost));
        drop(lines);
        assert!(runtime.block_on(next).unwrap(), "who waited reads");
        assert!(before.elapsed() < STALL_MAX / 2);
    }

    #[test]
    fn who_takes_enough_is_not_displaced() {
        let (runtime, places) = (runtime(), Places::new(1, 1));
        let mut turn = turn(&runtime, &places, false);
        let _in_line = InLine::stand(&places.waiting);
        runtime.block_on(async {
            let wanted = timeout(Duration::from_millis(20), turn.is_wanted(STALL_MAX)).await;
            assert!(wanted.is_err(), "what it took has earned it a minute");
            turn.is_wanted(Duration::ZERO).await;
            turn.reader = None;
            let wanted = timeout(Duration::from_millis(20), turn.is_wanted(Duration::ZERO)).await;
            assert!(wanted.is_err(), "who follows holds no place that others wait for");
        });
    }

    #[test]
    fn who_follows_is_one_of_the_readers_until_the_end_is_reached() {
        let (runtime, places) = (runtime(), Places::new(1, 1));
        let follows = turn(&runtime, &places, true);
        let (chunks, _taken) = mpsc::channel(CHUNKS_MAX);
        let mut lines = Lines::new(&|| Ok(()), runtime.handle().clone(), chunks, follows);
        lines.remark("so much").unwrap();
        assert_eq!(free(&places), (0, 0));
        lines.flush().unwrap();
        assert_eq!(free(&places), (1, 0));
        drop(lines);
        assert_eq!(free(&places), (1, 1));
    }

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
