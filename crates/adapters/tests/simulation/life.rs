//! One life of the process: sessions that ask, a target that answers, clients that are told, and a log that is written one
//! step at a time, or fails to be.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use firsthand_auditlog::Step;
use firsthand_auditlog::entry::codec::EventCodec;
use firsthand_auditlog::io::Io;
use firsthand_auditlog::queue::State;
use firsthand_auditlog::sim::{Random, SimIo};
use firsthand_auditlog::writer::{Log, Stepper};
use firsthand_model::id::SessionId;
use firsthand_model::identity::ClientFacts;
use firsthand_model::json::Json;
use firsthand_model::outcome::{AbandonReason, Outcome};
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::{MonoMicros, UnixMicros};
use firsthand_session::breaker::Broken;
use firsthand_session::fake::{Disk, FakeApprover, command, fakes, target};
use firsthand_session::port::{ApprovalError, BoxFuture, Clock, Ids, Need, Proof, Recorder, Ticket, Waiting};
use firsthand_session::secret::Secret;
use firsthand_session::{
    Admission, Answer, Bound, Engine, Permit, Refusal, RefusalKind, RowsPiece, Session, Wanted,
};

use crate::seen::{Counts, Key, Seen, Watched, lock};

/// Sessions at a time: enough that one's wait serves another's.
const SESSIONS: usize = 3;

type Asking = BoxFuture<'static, Vec<Answer>>;
type Opening = Pin<Box<dyn Future<Output = Result<(Session, Admission), Refusal>> + Send>>;

/// Time of the simulated disk.
pub struct SimClock(pub Arc<SimIo>);

impl Clock for SimClock {
    fn now(&self) -> UnixMicros {
        UnixMicros(self.0.wall_us())
    }

    fn mono(&self) -> MonoMicros {
        MonoMicros(self.0.mono_us())
    }
}

/// No two sessions of any life have the same id.
pub struct SharedIds(pub Arc<AtomicU64>);

impl Ids for SharedIds {
    fn session(&self) -> SessionId {
        SessionId(u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

/// What the client reads next, in its order.
enum Pending {
    Rows(Key),
    End(Key, String),
}

struct Running {
    key: Key,
    writes: bool,
    permit: Permit,
    forwarded: bool,
}

/// A session, its client and its place at the target.
struct Seat {
    session: Session,
    asking: Option<(Asking, Vec<(Key, String)>)>,
    next: u64,
    running: VecDeque<Running>,
    pending: VecDeque<(Option<Ticket>, Pending)>,
}

/// A process that runs.
pub struct Life<'a> {
    pub random: &'a mut Random,
    pub io: Arc<SimIo>,
    pub log: Arc<Log<EventCodec>>,
    pub stepper: Stepper<EventCodec>,
    pub recorder: Arc<Watched>,
    pub seen: &'a mut Seen,
    pub counts: &'a mut Counts,
    engine: Arc<Engine>,
    approver: FakeApprover,
    strict: bool,
    observing: bool,
    seats: Vec<Seat>,
    opening: Option<Opening>,
    texts: u64,
}

/// What a life begins with.
pub struct Birth<'a> {
    pub random: &'a mut Random,
    pub io: Arc<SimIo>,
    pub log: Arc<Log<EventCodec>>,
    pub stepper: Stepper<EventCodec>,
    pub recorder: Arc<Watched>,
    pub seen: &'a mut Seen,
    pub counts: &'a mut Counts,
    pub ids: Arc<AtomicU64>,
}

impl<'a> Life<'a> {
    /// The engine wired over the real recorder, for a target that is strict or relaxed, enforced or observed.
    pub fn begin(birth: Birth<'a>) -> Self {
        let Birth { random, io, log, stepper, recorder, seen, counts, ids } = birth;
        let (strict, observing) = (!random.one_in(4), random.one_in(4));
        let durability = if strict { Durability::Strict } else { Durability::Relaxed };
        let mode = if observing { Mode::Observe } else { Mode::Enforce };
        let doubles = fakes(Disk::Instant, target(durability, mode));
        let approver = doubles.approver.clone();
        let engine = Arc::into_inner(doubles.engine).expect("nobody else has it");
        let engine = Engine {
            recorder: Arc::clone(&recorder) as Arc<dyn Recorder>,
            clock: Box::new(SimClock(Arc::clone(&io))),
            ids: Box::new(SharedIds(ids)),
            ..engine
        };
        Self {
            random,
            io,
            log,
            stepper,
            recorder,
            seen,
            counts,
            engine: Arc::new(engine),
            approver,
            strict,
            observing,
            seats: Vec::new(),
            opening: None,
            texts: 0,
        }
    }

    /// One thing happens, and whoever waited for it goes on.
    pub fn happen(&mut self) {
        let seat = self.random.below(SESSIONS as u64) as usize;
        match self.random.below(20) {
            0 | 1 => self.open_one(),
            2..=5 => self.ask(seat),
            6..=8 => self.forward(seat),
            9..=11 => self.end(seat),
            12 => {
                let refused = self.random.one_in(2);
                let no = ApprovalError::Refused { id: "ap-1".to_owned(), reason: String::new() };
                self.approver.answer(if refused { Err(no) } else { Ok(()) });
            }
            13 => self.note(seat),
            14 => self.close(seat, "client"),
            15 => self.io.pass(self.random.below(3_000_000)),
            _ => self.write(),
        }
        self.go_on();
    }

    /// The writer's thread and the one in the background do their work.
    fn write(&mut self) {
        if self.random.one_in(6) {
            self.stepper.keep();
            return;
        }
        let before = self.log.health().state;
        let step = self.stepper.step();
        let after = self.log.health().state;
        assert_eq!(step == Step::Stopped, matches!(after, State::Stopped(_)), "health tells what is");
        let newly = |now: bool, then: bool| u64::from(now && !then);
        let stopped = |s: &State| matches!(s, State::Stopped(_));
        let suspended = |s: &State| matches!(s, State::Suspended(_));
        self.counts.stopped += newly(stopped(&after), stopped(&before));
        self.counts.suspended += newly(suspended(&after), suspended(&before));
        self.counts.resumed += newly(step == Step::Worked && suspended(&before), suspended(&after));
    }

    fn open_one(&mut self) {
        if self.seats.len() == SESSIONS || self.opening.is_some() {
            return;
        }
        let proof = Proof::ClearText { login: "bot".to_owned(), secret: Secret::new("right".to_owned()) };
        let wanted = Wanted { login: "bot".to_owned(), target: "orders".to_owned(), ..Wanted::default() };
        let admitted = self.engine.admit(&proof, &wanted, &ClientFacts::default()).expect("bot is let in");
        let bound = Bound {
            client: ClientFacts::default(),
            claims: Vec::new(),
            session_role: "orders_rw".to_owned(),
            role: "orders_rw".to_owned(),
            backend_pid: 4711,
            server_version: "15.0".to_owned(),
            parameters: Json::default(),
            coverage: Vec::new(),
        };
        let engine = Arc::clone(&self.engine);
        self.opening = Some(Box::pin(async move { engine.open(admitted, bound).await }));
    }

    fn ask(&mut self, at: usize) {
        const TEXTS: [&str; 7] =
            ["SELECT 1", "SELECT 2", "DELETE a", "UPDATE b", "SELECT DENY", "DELETE DENY", "DELETE HOLD"];
        let Some(seat) = self.seats.get_mut(at).filter(|seat| seat.asking.is_none()) else { return };
        let down = !matches!(self.log.health().state, State::Running);
        let mut asked = Vec::new();
        for _ in 0..=self.random.below(3) {
            self.texts += 1;
            let text = TEXTS[self.random.below(7) as usize];
            seat.next += 1;
            asked.push(((seat.session.facts().id.0, seat.next), format!("{text} -- {}", self.texts)));
        }
        let commands = asked.iter().map(|(_, text)| command(text)).collect();
        let mut asking: Asking = Box::pin(seat.session.submit(commands));
        let held = asked.iter().any(|(_, text)| text.contains("HOLD"));
        if down && !held {
            // Invariant 3: what cannot be recorded is refused, at once, in every mode.
            let Poll::Ready(answers) = asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("a log that is down lets commands wait");
            };
            for answer in answers {
                assert_eq!(answer.err().map(|r| r.kind), Some(RefusalKind::NotRecorded));
                self.counts.not_recorded += 1;
            }
            return;
        }
        seat.asking = Some((asking, asked));
    }

    /// The first command that has not been sent goes to the target: here invariant 1 is looked at.
    fn forward(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        let Some(running) = seat.running.iter_mut().find(|r| !r.forwarded) else { return };
        let intent = lock(&self.recorder.appended).intents.get(&running.key).copied();
        let intent = intent.expect("a permit has an intent");
        drop(running.permit.forward(Bytes::from_static(b"bytes")));
        running.forwarded = true;
        if running.writes {
            self.counts.writes_forwarded += 1;
            if self.strict {
                assert!(self.log.durable_size() > intent, "{:?}: at the target, not on disk", running.key);
                self.seen.bound.insert(running.key);
            }
        } else {
            self.counts.reads_forwarded += 1;
            let piece = RowsPiece {
                first_row: 0,
                rows: 1,
                columns: Json::default(),
                values: Json::from_written(b"[[\"1\"]]".to_vec()),
            };
            if seat.session.record_rows(running.permit.number(), piece).is_ok() {
                let (_, after) = running.permit.reply(Bytes::from_static(b"row")).into_parts();
                assert_eq!(after, self.strict.then_some(Ticket(intent)), "rows wait for the intent");
                seat.pending.push_back((after, Pending::Rows(running.key)));
            }
        }
    }

    /// The target has answered the first command, or it will not.
    fn end(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        let Some(Running { key, permit, forwarded, .. }) = seat.running.pop_front() else { return };
        if !forwarded || self.random.one_in(8) {
            permit.abandon(if forwarded { AbandonReason::TargetLost } else { AbandonReason::Skipped });
            self.counts.abandoned += 1;
            return;
        }
        let code = self.random.one_in(4).then(|| "22012".to_owned());
        let outcome = Outcome { code: code.clone(), tag: "DELETE 1".to_owned(), ..Outcome::default() };
        match seat.session.complete(permit, outcome) {
            Ok(completed) => {
                self.counts.completed += 1;
                let (_, after) = completed.reply(Bytes::from_static(b"end")).into_parts();
                assert_eq!(after.is_some(), self.strict, "the end waits for the outcome");
                seat.pending.push_back((after, Pending::End(key, code.unwrap_or_default())));
            }
            // Invariant 2: not recorded, so not told.
            Err(_) => self.counts.not_told += 1,
        }
    }

    fn note(&mut self, at: usize) {
        let Some(seat) = self.seats.get(at) else { return };
        match self.random.below(3) {
            0 => seat.session.break_hold(Broken::Cancelled),
            1 => _ = seat.session.canceller().cancel("127.0.0.1"),
            _ => _ = seat.session.note("parameter", Json::from_written(b"{\"name\":\"x\"}".to_vec())),
        }
    }

    /// The client leaves, or is sent away.
    fn close(&mut self, at: usize, why: &'static str) {
        if at >= self.seats.len() {
            return;
        }
        let seat = self.seats.swap_remove(at);
        drop(seat.asking);
        for running in seat.running {
            running.permit.abandon(AbandonReason::ClientLeft);
            self.counts.abandoned += 1;
        }
        seat.session.close(why, String::new());
    }

    /// Polls everything that waits.
    fn go_on(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        if let Some(opening) = &mut self.opening
            && let Poll::Ready(opened) = opening.as_mut().poll(cx)
        {
            self.opening = None;
            if let Ok((session, _)) = opened {
                if self.strict {
                    self.seen.opened.insert(session.facts().id.0);
                }
                let (running, pending) = (VecDeque::new(), VecDeque::new());
                self.seats.push(Seat { session, asking: None, next: 0, running, pending });
            }
        }
        let mut lost = Vec::new();
        for at in 0..self.seats.len() {
            self.take_answers(at);
            if !self.tell(at) {
                lost.push(at);
            }
        }
        // From the last, so that places stay what they are.
        lost.into_iter().rev().for_each(|at| self.close(at, "record"));
    }

    fn take_answers(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        let Some((asking, _)) = &mut seat.asking else { return };
        let Poll::Ready(answers) = asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            return;
        };
        let Some((_, asked)) = seat.asking.take() else { return };
        assert_eq!(answers.len(), asked.len());
        for (answer, (key, text)) in answers.into_iter().zip(asked) {
            let held = text.contains("HOLD");
            match answer {
                Ok(permit) => {
                    assert!(self.observing || !text.contains("DENY"), "{text} was permitted");
                    assert_eq!(permit.number().0, key.1);
                    self.counts.permitted += 1;
                    self.counts.held += u64::from(held);
                    self.counts.observed += u64::from(self.observing && text.contains("DENY"));
                    self.counts.relaxed += u64::from(!self.strict);
                    self.seen.permitted.insert(key);
                    let writes = !text.starts_with("SELECT");
                    seat.running.push_back(Running { key, writes, permit, forwarded: false });
                }
                Err(refusal) if refusal.kind == RefusalKind::NotRecorded => self.counts.not_recorded += 1,
                Err(refusal) => {
                    assert!(held || text.contains("DENY"), "{text}: {refusal:?}");
                    self.counts.denied += 1;
                    self.seen.refused.insert(key);
                    if self.strict {
                        // The client reads the refusal now.
                        let intent = lock(&self.recorder.appended).intents.get(&key).copied();
                        assert!(intent.is_some_and(|at| self.log.durable_size() > at), "{key:?}");
                        self.seen.bound.insert(key);
                    }
                }
            }
        }
    }

    /// Lets the client read what it may read. False: it never will, so the session ends.
    fn tell(&mut self, at: usize) -> bool {
        let Some(seat) = self.seats.get_mut(at) else { return true };
        while let Some((after, _)) = seat.pending.front() {
            if let Some(ticket) = after {
                let (mut waiting, cx) = (Waiting::default(), &mut Context::from_waker(Waker::noop()));
                match self.recorder.poll_durable(*ticket, Need::Fact, &mut waiting, cx) {
                    Poll::Pending => return true,
                    Poll::Ready(Err(_)) => {
                        self.counts.not_told += seat.pending.len() as u64;
                        return false;
                    }
                    Poll::Ready(Ok(())) => assert!(self.log.durable_size() > ticket.0),
                }
            }
            let Some((_, pending)) = seat.pending.pop_front() else { return true };
            self.counts.told += 1;
            match pending {
                _ if !self.strict => {}
                Pending::Rows(key) => _ = self.seen.bound.insert(key),
                Pending::End(key, code) => _ = self.seen.told.insert(key, code),
            }
        }
        true
    }

    /// Everybody leaves and everything is written. False when that did not come about.
    pub fn finish(&mut self) -> bool {
        self.opening = None;
        self.io.heal();
        self.io.set_quota(None);
        while !self.seats.is_empty() {
            self.close(0, "drained");
        }
        self.stepper.settle() == Step::Idle
    }
}
