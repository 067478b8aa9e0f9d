//! A session's loop: one task, both sockets, never blocked on either. Reads feed the dialect, its actions are carried
//! out in order, writes leave when the log allows. Two pumps in effect: a full socket stops only the direction that
//! feeds it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::time::MonoMicros;
use firsthand_session::breaker::Broken;
use firsthand_session::port::{BoxFuture, ByteStream, Need, RecordError, Waiting};
use firsthand_session::{Answer, Refusal, Session};
use tokio::time::{Instant, Sleep};

use super::inlet::Inlet;
use super::outbox::Outbox;
use super::sessions::{CancelRoute, Handle};
use super::thinkers::{Pondering, Thinkers};
use crate::dialect::{Action, Dialect};

/// Client bytes taken in while the dialect waits for an answer: read on, so that a client that leaves is noticed.
const CLIENT_AHEAD_MAX: usize = 64 << 10;
/// Rounds before the task gives way to others.
const ROUNDS: usize = 32;
/// How long the client must say nothing before what it said without asking for answers goes its way. Messages written one
/// by one, and the segments of one write, come closer together than this; and who waits for such an answer (an error in
/// the middle of a pipeline) does not notice so little.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a target that owes nothing may be silent, with the client gone, before it is told that nothing more comes,
/// although there is more that hangs on its answers.
const LEFT_UNHEARD_MAX: Duration = Duration::from_secs(1);
/// How long a target that owes nothing may be silent after that, before the session ends without it.
const LEFT_MAX: Duration = Duration::from_secs(30);
/// The same while it owes the end of a statement, which runs on when its client has gone.
const LEFT_BUSY_MAX: Duration = Duration::from_secs(6 * 3600);
/// A client whose command waits for a person hears of it this often: idle timeouts of what stands between are longer.
const STILL_HELD: Duration = Duration::from_secs(10);
/// How often time limits are looked at, and memory of an idle session given back.
const TICK: Duration = Duration::from_secs(5);

/// How long the last words of a session may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The same behind a drain that is over, whose end was promised by then, and of what is contained, which is to end within a second.
const LAST_WORDS_DRAINED: Duration = Duration::from_millis(400);

/// How long everything else may take at the end of a drained session.
const DRAINED_END: Duration = Duration::from_millis(500);

/// How long both sockets are given to close as they should.
const POLITE_WITHIN: Duration = Duration::from_secs(1);

/// How long the target is given to take the request to stop a statement whose session was ended from here.
const STOP_TARGET: Duration = Duration::from_secs(2);

/// How long the target is given to say that it ends a session for good: a connection of the gateway's own, and one question.
const END_TARGET: Duration = Duration::from_secs(5);

/// How long its last words for the session may take behind that.
const END_HEARD: Duration = Duration::from_secs(2);

/// What a session loop is given.
pub struct Parts {
    /// The session.
    pub session: Session,
    /// Its protocol logic.
    pub dialect: Box<dyn Dialect>,
    /// The client's stream, and what was read from it already.
    pub client: (Box<dyn ByteStream>, BytesMut),
    /// The target's stream, and what was read from it already.
    pub server: (Box<dyn ByteStream>, BytesMut),
    /// For signals from outside.
    pub handle: Arc<Handle>,
    /// Time limits.
    pub limits: TimeLimits,
    /// Where large texts are read.
    pub thinkers: Arc<Thinkers>,
    /// Asks the target to stop what it runs for this session.
    pub cancel: Option<CancelRoute>,
}

/// Time limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// A client that takes nothing of what waits for it for this long is given up.
    pub stall: Duration,
    /// A session without any traffic for this long is ended; `None`: never.
    pub idle: Option<Duration>,
    /// How long a drain lets a command run.
    pub drain: Duration,
}

/// How a session ended: the word and more for `session.closed`.
type End = (&'static str, String);

/// Has the target end the session for good.
type EndSession = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Asks the target to stop what it runs.
type Stop = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Whether the client says nothing for the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// It may have more to say, or nothing is held back.
    No,
    /// Since the timer was set.
    Begun,
    /// The dialect knows.
    Told,
}

struct Running {
    session: Session,
    dialect: Box<dyn Dialect>,
    client: Box<dyn ByteStream>,
    server: Box<dyn ByteStream>,
    from_client: Inlet,
    from_server: Inlet,
    to_client: Outbox,
    to_server: Outbox,
    /// Of the first gate of what goes to the client.
    waiting: Waiting,
    /// For the log to keep up: of both directions, which wait for the same.
    for_room: Waiting,
    actions: Vec<Action>,
    due: VecDeque<Action>,
    asking: Option<BoxFuture<'static, Vec<Answer>>>,
    thinking: Option<Pondering>,
    thinkers: Arc<Thinkers>,
    handle: Arc<Handle>,
    limits: TimeLimits,
    /// While a command waits for a person: when the client is told again that it does.
    waits: Option<Pin<Box<Sleep>>>,
    tick: Pin<Box<Sleep>>,
    /// Ends at the dialect's deadline or before it; made with the first.
    deadline: Option<Pin<Box<Sleep>>>,
    now: MonoMicros,
    last_traffic: MonoMicros,
    last_taken: MonoMicros,
    draining_since: Option<MonoMicros>,
    pause: Pause,
    pause_ends: Pin<Box<Sleep>>,
    fed: bool,
    /// The client has left, and what it said last is given up.
    given_up: bool,
    shut_server: bool,
    stop_target: bool,
    /// Asks the target to stop what it runs.
    stop: Option<Stop>,
    /// That, under way: until the target has taken it nothing more is sent, which it could hit instead.
    stopping: Option<BoxFuture<'static, ()>>,
    /// Has the target end the session for good.
    end_session: Option<EndSession>,
    /// That, under way: what the client is told if nothing comes of it.
    target_ends: Option<(BoxFuture<'static, ()>, Box<Refusal>)>,
    end: Option<End>,
    ending_since: Option<MonoMicros>,
}

/// Runs a session to its end and records that.
pub async fn run(parts: Parts) {
    let now = parts.session.engine().clock.mono();
    let mut running = Box::new(Running {
        session: parts.session,
        dialect: parts.dialect,
        client: parts.client.0,
        server: parts.server.0,
        from_client: Inlet::new(parts.client.1),
        from_server: Inlet::new(parts.server.1),
        to_client: Outbox::default(),
        to_server: Outbox::default(),
        waiting: Waiting::default(),
        for_room: Waiting::default(),
        actions: Vec::new(),
        due: VecDeque::new(),
        asking: None,
        thinking: None,
        thinkers: parts.thinkers,
        handle: parts.handle,
        limits: parts.limits,
        waits: None,
        tick: Box::pin(tokio::time::sleep(TICK)),
        deadline: None,
        now,
        last_traffic: now,
        last_taken: now,
        draining_since: None,
        pause: Pause::No,
        pause_ends: Box::pin(tokio::time::sleep(PAUSE)),
        fed: false,
        given_up: false,
        shut_server: false,
        stop_target: false,
        stop: parts.cancel.as_ref().map(|route| Arc::clone(&route.forward)),
        stopping: None,
        end_session: parts.cancel.as_ref().map(|route| Arc::clone(&route.end)),
        target_ends: None,
        end: None,
        ending_since: None,
    });
    let (why, detail) = poll_fn(|cx| running.poll(cx)).await;
    let Running {
        session, mut client, mut server, dialect, stop_target, asking, due, draining_since, ..
    } = *running;
    // What was granted while the session ended is abandoned here, so that nothing stands behind the session's end.
    drop((asking, due, dialect));
    session.close(why, detail);
    let stopped = async {
        if stop_target && let Some(route) = &parts.cancel {
            // A server notices a closed client only when it next writes; a killed statement must not run on until then.
            let _ = tokio::time::timeout(STOP_TARGET, (route.forward)()).await;
        }
    };
    // The last words are written; closing politely lets the other side read them before the socket is gone.
    let polite = async {
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut client).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut server).await;
    };
    let polite = tokio::time::timeout(POLITE_WITHIN, polite);
    let ends = async { tokio::join!(stopped, polite) };
    let limit = if draining_since.is_some() { DRAINED_END } else { STOP_TARGET + POLITE_WITHIN };
    let _ = tokio::time::timeout(limit, ends).await;
}

impl Running {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.handle.listen(cx.waker());
        self.now = self.session.engine().clock.mono();
        for _ in 0..ROUNDS {
            let mut progress = self.signals();
            progress |= self.answers(cx);
            progress |= self.held(cx);
            progress |= self.read_server(cx);
            progress |= self.read_client(cx);
            progress |= self.write(cx);
            progress |= self.time(cx);
            progress |= self.deadline(cx);
            if let Some(end) = self.finished(cx) {
                return Poll::Ready(end);
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ended, with everything said that could be said in time.
    fn finished(&mut self, cx: &mut Context<'_>) -> Option<End> {
        self.end.as_ref()?;
        if self.to_client.is_done() && self.to_server.is_done() {
            return self.end.take();
        }
        let begins = self.ending_since.is_none();
        let since = *self.ending_since.get_or_insert(self.now);
        let over = u128::from(self.now.since(since));
        let limit = self.last_words();
        if over > limit.as_micros() {
            return self.end.take();
        }
        if begins {
            self.tick.as_mut().reset(Instant::now() + limit);
            let _ = self.tick.as_mut().poll(cx);
        }
        None
    }

    /// How long the last words may take to be written.
    fn last_words(&self) -> Duration {
        let (Some(drain), Some(end)) = (self.draining_since, self.ending_since) else {
            return if self.handle.contained().is_some() { LAST_WORDS_DRAINED } else { LAST_WORDS };
        };
        let drained = Duration::from_micros(end.since(drain));
        (self.limits.drain.saturating_sub(drained) + LAST_WORDS_DRAINED).min(LAST_WORDS)
    }

    fn signals(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        if let Some((refusal, why, detail)) = self.handle.ended() {
            self.finish(Some(refusal), why, why.word());
            self.end = self.end.take().map(|(word, _)| (word, detail));
            return true;
        }
        if self.handle.looks_at_grant() && self.look_at_grants() {
            return true;
        }
        if self.handle.is_draining() && self.draining_since.is_none() {
            self.draining_since = Some(self.now);
            self.tick.as_mut().reset(Instant::now() + self.limits.drain.min(TICK));
            self.session.break_hold(Broken::Draining);
            self.dialect.drain(self.now, &mut self.actions);
            self.carry_out();
            return true;
        }
        false
    }

    /// Has what runs, or is not committed, ended where the grant is over that it ran under; all of the session, where it has the grant's role. Looked at when grants have changed, and once
    /// commands have been sent: they may have changed while those were decided. False where there was nothing to end.
    fn look_at_grants(&mut self) -> bool {
        if let Some((refusal, detail)) = self.session.lost_role() {
            let why = AbandonReason::Killed;
            self.finish(Some(refusal), why, why.word());
            self.end = self.end.take().map(|(word, _)| (word, detail));
            return true;
        }
        let Some(lost) = self.session.lost_grant() else { return false };
        self.dialect.lose(lost, self.now, &mut self.actions);
        self.carry_out()
    }

    /// Ends the session from this side.
    fn finish(&mut self, refusal: Option<Refusal>, why: AbandonReason, word: &'static str) {
        self.asking = None;
        self.to_client.drop_gated();
        self.to_server = Outbox::default();
        self.stop_target |= why != AbandonReason::ClientLeft && self.dialect.is_busy();
        self.dialect.end(refusal, why, word, &mut self.actions);
        self.carry_out();
        self.end.get_or_insert((word, String::new()));
    }

    /// The log failed under this session: what waits for it is never told (invariant 2).
    fn record_failed(&mut self, e: &RecordError) {
        tracing::error!(session = %self.session.facts().id, error = %e, "the log does not take an entry; the session ends");
        self.finish(Some(Refusal::outcome_not_recorded()), AbandonReason::NotRecorded, "record");
    }

    fn answers(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(answers) = asking.as_mut().poll(cx)
        {
            self.asking = None;
            self.fed = false;
            self.dialect.answered(answers, self.now, &mut self.actions);
            self.carry_out();
            self.look_at_grants();
            return true;
        }
        if let Some(stopping) = &mut self.stopping
            && stopping.as_mut().poll(cx).is_ready()
        {
            self.stopping = None;
            return true;
        }
        if let Some((ends, _)) = &mut self.target_ends
            && ends.as_mut().poll(cx).is_ready()
        {
            let refusal = self.target_ends.take().map(|(_, refusal)| *refusal);
            if self.end.is_none() && self.dialect.outlasts() {
                self.finish(refusal, AbandonReason::SessionEnded, "limit");
            }
            return true;
        }
        if let Some(thinking) = &mut self.thinking
            && let Poll::Ready(thought) = Pin::new(thinking).poll(cx)
        {
            self.thinking = None;
            self.fed = false;
            match thought {
                Ok(thought) => self.dialect.thought(thought, self.now, &mut self.actions),
                Err(_) => self.dialect.end(
                    Some(Refusal::new(
                        firsthand_session::RefusalKind::Limit,
                        "Firsthand could not analyse this statement, so it was not run; connect again and send it in parts",
                    )),
                    AbandonReason::SessionEnded,
                    "limit",
                    &mut self.actions,
                ),
            }
            self.carry_out();
            return true;
        }
        false
    }

    /// Tells a client whose command waits for a person that it does, so that nothing between takes its connection for idle.
    fn held(&mut self, cx: &mut Context<'_>) -> bool {
        if self.asking.is_none() || self.end.is_some() {
            self.waits = None;
            return false;
        }
        if !self.session.is_holding() {
            return false;
        }
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(STILL_HELD)));
        if waits.as_mut().poll(cx).is_pending() {
            return false;
        }
        waits.as_mut().reset(Instant::now() + STILL_HELD);
        self.dialect.held(self.now, &mut self.actions);
        self.carry_out()
    }

    fn read_server(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.from_server.open || !self.to_client.has_room() || self.end.is_some() {
            return false;
        }
        // Rows go into the log, too: a result waits for it as a client that asks does.
        let recorder = &self.session.engine().recorder;
        if recorder.poll_room(self.from_server.size, &mut self.for_room, cx).is_pending() {
            return false;
        }
        match self.from_server.poll_read(&mut *self.server, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(n)) if n > 0 => {
                (self.last_traffic, self.fed) = (self.now, false);
                self.dialect.from_server(&mut self.from_server.buf, self.now, &mut self.actions);
                self.carry_out();
                true
            }
            Poll::Ready(_) => {
                self.from_server.open = false;
                self.dialect.server_closed(self.now, &mut self.actions);
                self.carry_out();
                self.end.get_or_insert(("target", String::new()));
                true
            }
        }
    }

    fn read_client(&mut self, cx: &mut Context<'_>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let mut progress = false;
        let wants = self.stopping.is_none() && self.dialect.wants_client() && self.to_server.has_room();
        // Beyond a bounded stock, more is read only for a message that the dialect has seen the beginning of.
        let unfinished = wants && self.fed;
        if self.from_client.open && (unfinished || self.from_client.buf.len() < CLIENT_AHEAD_MAX) {
            match self.from_client.poll_read(&mut *self.client, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(n)) if n > 0 => {
                    (progress, self.fed, self.last_traffic) = (true, false, self.now);
                    self.pause = Pause::No;
                }
                Poll::Ready(Ok(_)) => {
                    // The client has said all it will say: as PostgreSQL does, finish what was asked, then end.
                    progress = true;
                    (self.from_client.open, self.last_traffic) = (false, self.now);
                    self.tick.as_mut().reset(Instant::now() + LEFT_UNHEARD_MAX);
                    self.session.break_hold(Broken::ClientLeft);
                }
                Poll::Ready(Err(_)) => {
                    self.client_lost();
                    return true;
                }
            }
        }
        if wants && !self.fed && !self.from_client.buf.is_empty() && self.log_keeps_up(cx) {
            // Again only once there are more bytes, or the dialect has heard something else.
            (self.fed, self.pause) = (true, Pause::No);
            self.dialect.from_client(&mut self.from_client.buf, self.now, &mut self.actions);
            self.carry_out();
            // Also where nothing came of it: another round reads on, or nobody would be woken by what the client sends.
            progress = true;
        }
        progress | self.client_pause(cx)
    }

    /// Tells the dialect when the client pauses, if that matters.
    fn client_pause(&mut self, cx: &mut Context<'_>) -> bool {
        let unread = !self.from_client.buf.is_empty();
        if (unread && !self.fed) || !self.dialect.holds_back() {
            self.pause = Pause::No;
            return false;
        }
        if self.from_client.open {
            if self.pause == Pause::No {
                self.pause = Pause::Begun;
                self.pause_ends.as_mut().reset(Instant::now() + PAUSE);
            }
            if self.pause == Pause::Told || self.pause_ends.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
        self.pause = Pause::Told;
        self.dialect.client_pauses(unread && self.from_client.open, self.now, &mut self.actions);
        self.carry_out()
    }

    /// Whether the log takes what this client's next commands would add. A client that asks faster than the log writes
    /// waits, so that the others are not refused for its sake.
    fn log_keeps_up(&mut self, cx: &mut Context<'_>) -> bool {
        let recorder = &self.session.engine().recorder;
        recorder.poll_room(self.from_client.buf.len(), &mut self.for_room, cx).is_ready()
    }

    fn client_lost(&mut self) {
        self.from_client.open = false;
        self.to_client = Outbox::default();
        self.finish(None, AbandonReason::ClientLeft, "client");
        self.to_client = Outbox::default();
    }

    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if let Poll::Ready(wrote) = self.to_server.poll_write(&mut *self.server, cx) {
            match wrote {
                Ok(wrote) => {
                    progress |= wrote;
                    self.fed &= !wrote;
                }
                // The target is gone; reading will say so, after what it said last.
                Err(_) => self.to_server = Outbox::default(),
            }
        }
        progress |= self.client_end(cx);
        if let Some(ticket) = self.to_client.gate() {
            let recorder = Arc::clone(&self.session.engine().recorder);
            self.to_client.open_gates(|t| recorder.is_durable(t));
            if self.to_client.gate().is_some()
                && let Poll::Ready(durable) = recorder.poll_durable(ticket, Need::Fact, &mut self.waiting, cx)
            {
                progress = true;
                match durable {
                    Ok(()) => self.to_client.open_gates(|t| t <= ticket || recorder.is_durable(t)),
                    Err(e) => self.record_failed(&e),
                }
            }
        }
        match self.to_client.poll_write(&mut *self.client, cx) {
            Poll::Ready(Ok(wrote)) => {
                if wrote || self.to_client.is_done() {
                    self.last_taken = self.now;
                }
                progress | wrote
            }
            Poll::Ready(Err(_)) => {
                if self.end.is_none() {
                    self.client_lost();
                }
                self.to_client = Outbox::default();
                true
            }
            Poll::Pending => progress,
        }
    }

    /// The client has closed its side: once all it said was taken and sent, the dialect and the target are told.
    fn client_end(&mut self, cx: &mut Context<'_>) -> bool {
        let waiting = self.asking.is_some() || self.thinking.is_some() || !self.to_server.is_done();
        let kept = self.dialect.holds_back()
            || self.dialect.has_unread()
            || !self.from_client.buf.is_empty() && (!self.fed || !self.dialect.wants_client());
        let unread = kept && !self.given_up;
        if self.from_client.open || waiting || unread || self.shut_server || self.end.is_some() {
            return false;
        }
        if Pin::new(&mut *self.server).poll_shutdown(cx).is_pending() {
            return false;
        }
        self.shut_server = true;
        self.dialect.client_closed(self.now, &mut self.actions);
        self.carry_out()
    }

    fn time(&mut self, cx: &mut Context<'_>) -> bool {
        if self.tick.as_mut().poll(cx).is_pending() {
            return false;
        }
        let pause = match self.draining_since {
            _ if self.end.is_some() => self.last_words(),
            Some(_) => self.limits.drain.min(TICK),
            None if !self.from_client.open => LEFT_UNHEARD_MAX,
            None => TICK,
        };
        self.tick.as_mut().reset(Instant::now() + pause);
        let over =
            |since: MonoMicros, limit: Duration| u128::from(self.now.since(since)) >= limit.as_micros();
        if self.end.is_some() {
            // Only the last words are waited for.
        } else if !self.to_client.is_done()
            && self.to_client.gate().is_none()
            && over(self.last_taken, self.limits.stall)
        {
            self.client_lost();
            self.end = Some(("limit", "the client took nothing of what waited for it".to_owned()));
        } else if self.draining_since.is_some_and(|since| over(since, self.limits.drain)) {
            self.finish(Some(Refusal::draining()), AbandonReason::Drained, "drained");
        } else if !self.from_client.open && over(self.last_traffic, LEFT_UNHEARD_MAX) {
            self.left();
        } else if let Some(idle) = self.limits.idle
            && over(self.last_traffic, idle)
            && !self.dialect.is_busy()
        {
            let refusal = Refusal::new(
                firsthand_session::RefusalKind::Limit,
                "terminating connection due to idle-session timeout",
            );
            self.finish(Some(refusal), AbandonReason::SessionEnded, "idle");
        } else {
            let idle = over(self.last_traffic, TICK);
            self.from_client.give_back(idle);
            self.from_server.give_back(idle);
        }
        true
    }

    /// Tells the dialect when its deadline is over. The timer is not moved with each command: one that ends too early is set
    /// anew then.
    fn deadline(&mut self, cx: &mut Context<'_>) -> bool {
        if self.end.is_some() {
            return false;
        }
        let Some(at) = self.dialect.deadline(self.now) else { return false };
        if at > self.now {
            let due = Instant::now() + Duration::from_micros(at.since(self.now));
            let timer = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() > due || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            // Elapsed now means too early, or just in time: the next poll has a later time.
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            return false;
        }
        self.dialect.overdue(self.now, &mut self.actions);
        self.carry_out()
    }

    /// The client has left and the target is silent: the session must not wait for ever for what does not come.
    fn left(&mut self) {
        let owed = self.dialect.is_owed() || self.asking.is_some() || self.thinking.is_some();
        let silent = u128::from(self.now.since(self.last_traffic));
        // Where the dialect would take more, only the log is behind.
        self.given_up |= !owed && !self.dialect.wants_client();
        if silent >= (if owed { LEFT_BUSY_MAX } else { LEFT_MAX }).as_micros() {
            self.finish(None, AbandonReason::ClientLeft, "client");
        }
    }

    /// Carries out what the dialect wants, in order. False when it wanted nothing.
    fn carry_out(&mut self) -> bool {
        if self.actions.is_empty() {
            return false;
        }
        self.due.extend(self.actions.drain(..));
        while let Some(action) = self.due.pop_front() {
            if let Err(e) = self.one(action) {
                // What else was due can be said to nobody any more; that these commands are over can be recorded.
                for action in self.due.drain(..) {
                    if let Action::Complete { permit, .. } | Action::Abandon(permit, _) = action {
                        permit.abandon(AbandonReason::NotRecorded);
                    }
                }
                self.record_failed(&e);
                break;
            }
        }
        true
    }

    fn stop_target(&mut self) {
        self.stopping = self.stop.as_ref().map(|stop| {
            let stop = stop();
            Box::pin(async move {
                let _ = tokio::time::timeout(STOP_TARGET, stop).await;
            }) as BoxFuture<'static, ()>
        });
    }

    fn end_target(&mut self, refusal: Box<Refusal>) {
        if self.target_ends.is_some() {
            return;
        }
        if !self.to_client.has_room() {
            // The client does not read, so nor is the target read: it may have stopped long ago.
            return self.stop_target();
        }
        let ends = self.end_session.as_ref().map(|end| end());
        let ends = async move {
            let ended = match ends {
                Some(ends) => tokio::time::timeout(END_TARGET, ends).await.unwrap_or(false),
                None => false,
            };
            if ended {
                tokio::time::sleep(END_HEARD).await;
            }
        };
        self.target_ends = Some((Box::pin(ends), refusal));
    }

    fn one(&mut self, action: Action) -> Result<(), RecordError> {
        match action {
            Action::ToServer(forward) => self.to_server.push(forward.into_bytes(), None),
            Action::ToClient(reply) => {
                let (bytes, after) = reply.into_parts();
                self.to_client.push(bytes, after);
            }
            Action::Settled => self.session.settled(),
            Action::Ask(commands) => self.asking = Some(Box::pin(self.session.submit(commands))),
            Action::Think(work) => self.thinking = Some(self.thinkers.start(work)),
            Action::Look(looking) => self.thinking = Some(Pondering::over(looking)),
            Action::Complete { permit, outcome, last } => {
                let completed = self.session.complete(permit, *outcome)?;
                let (bytes, after) = completed.reply(last).into_parts();
                self.to_client.push(bytes, after);
            }
            Action::Rows(number, piece) => self.session.record_rows(number, piece)?,
            Action::Changed(number, piece) => self.session.record_changed(number, piece)?,
            Action::Progress(number, rows, bytes) => self.session.record_progress(number, rows, bytes)?,
            Action::Note { what, detail, reply } => {
                let noted = self.session.note(what, detail)?;
                let (bytes, after) = noted.reply(reply).into_parts();
                self.to_client.push(bytes, after);
            }
            Action::Abandon(permit, why) => permit.abandon(why),
            Action::StopTarget => self.stop_target(),
            Action::EndTarget(refusal) => self.end_target(refusal),
            Action::Role(role) => self.session.set_role(&role),
            Action::Close { why, detail } => {
                self.end.get_or_insert((why, detail));
            }
        }
        Ok(())
    }
}
