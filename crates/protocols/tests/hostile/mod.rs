//! Bytes from both sides in any order, as a script says that a stranger wrote: nothing panics, each permitted command has
//! one end, and all room is given back. `fuzz/targets/dialect.rs` feeds it, and so do the tests here.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Crowded, Dialect, Thinking, Thought};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_session::port::BoxFuture;
use firsthand_session::{Answer, Refusal, Session};
use firsthand_sql::Analyzer;

#[path = "../tables/mod.rs"]
mod tables;
use tables::Known;

const NOW: MonoMicros = MonoMicros(0);

/// Room for large messages: little, so that it is used up.
const ROOM: usize = 80 << 10;
/// The longest message.
const MESSAGE_MAX: u32 = 72 << 10;

/// What a byte of the script's head means; what follows it is its argument.
enum Op<'a> {
    /// Bytes as they are: side, bytes.
    Raw(Side, &'a [u8]),
    /// A whole message: side, tag, body.
    Message(Side, u8, &'a [u8]),
    /// A client's message with a text so long: a Query or a Parse.
    Long(u8, usize),
    Answer,
    Disk(Disk),
    Crowded(bool),
    /// Whether what is read elsewhere takes until an answer comes.
    Slow(bool),
    Drain,
    ClientClosed,
    ServerClosed,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Client,
    Server,
}

/// The next step of the script, and the rest of it.
fn next(data: &[u8]) -> Option<(Op<'_>, &[u8])> {
    let (&head, rest) = data.split_first()?;
    let side = if head & 8 == 0 { Side::Client } else { Side::Server };
    Some(match head & 7 {
        0 | 1 => {
            let (bytes, rest) = rest.split_at(usize::from(head >> 4).min(rest.len()));
            (Op::Raw(side, bytes), rest)
        }
        2..=4 => {
            let (&tag, rest) = rest.split_first()?;
            let (&len, rest) = rest.split_first()?;
            let (body, rest) = rest.split_at(usize::from(len).min(rest.len()));
            (Op::Message(side, tag, body), rest)
        }
        5 => (Op::Answer, rest),
        6 => (Op::Long(if head & 16 == 0 { b'Q' } else { b'P' }, usize::from(head >> 5) * 11_000), rest),
        _ => {
            let op = match head >> 3 {
                0..=1 => Op::Answer,
                2..=3 => Op::Slow(head >> 3 == 2),
                4..=7 => Op::Disk(Disk::Full),
                8..=13 => Op::Disk(Disk::Instant),
                14..=17 => Op::Crowded(true),
                18..=23 => Op::Crowded(false),
                24..=25 => Op::Drain,
                26..=28 => Op::ClientClosed,
                _ => Op::ServerClosed,
            };
            (op, rest)
        }
    })
}

struct Rig {
    fakes: Fakes,
    session: Session,
    dialect: PostgresDialect,
    asking: Option<BoxFuture<'static, Vec<Answer>>>,
    client: BytesMut,
    server: BytesMut,
    crowded: bool,
    slow: bool,
    thinking: Option<Thinking>,
    closed: bool,
    /// What was to be written: it carries room.
    written: Vec<bytes::Bytes>,
}

fn analyzer() -> Arc<Analyzer> {
    static SHARED: OnceLock<Arc<Analyzer>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(Arc::default))
}

impl Rig {
    fn new(budget: &Arc<Budget>) -> Self {
        let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            analyzer: analyzer(),
            parameters: ["client_encoding", "server_encoding"]
                .map(|n| (n.to_owned(), "UTF8".to_owned()))
                .into(),
            session_role: "orders_rw".to_owned(),
            role: "orders_rw".to_owned(),
            session: session.facts().id,
            budget: Arc::clone(budget),
            message_bytes_max: MESSAGE_MAX,
            changed: firsthand_model::target::ChangedRows::Values,
            tables: Some(Arc::new(Known)),
            unobserved: false,
        };
        let dialect = PostgresDialect::new(admission, setup);
        let (client, server) = (BytesMut::new(), BytesMut::new());
        Self {
            fakes,
            session,
            dialect,
            client,
            server,
            asking: None,
            crowded: false,
            slow: false,
            thinking: None,
            closed: false,
            written: Vec::new(),
        }
    }

    fn side(&mut self, side: Side) -> &mut BytesMut {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn message(&mut self, side: Side, tag: u8, body: &[u8]) {
        let input = self.side(side);
        input.extend_from_slice(&[tag]);
        input.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        input.extend_from_slice(body);
    }

    fn step(&mut self, op: Op<'_>) {
        match op {
            Op::Raw(side, bytes) => self.side(side).extend_from_slice(bytes),
            Op::Message(side, tag, body) => self.message(side, tag, body),
            Op::Long(tag, len) => {
                let text = [b"select '".as_slice(), &vec![b'x'; len], b"'\0"].concat();
                let body = if tag == b'P' { [b"\0", text.as_slice(), b"\0\0"].concat() } else { text };
                self.message(Side::Client, tag, &body);
            }
            Op::Answer => self.answer(),
            Op::Disk(disk) => self.fakes.log.set(disk),
            Op::Crowded(crowded) => self.crowded = crowded,
            Op::Slow(slow) => self.slow = slow,
            Op::Drain => {
                self.call(|me, out| me.dialect.drain(NOW, out));
            }
            Op::ClientClosed => {
                self.call(|me, out| me.dialect.client_closed(NOW, out));
            }
            Op::ServerClosed => {
                self.call(|me, out| me.dialect.server_closed(NOW, out));
            }
        }
        if !self.closed && !self.server.is_empty() {
            self.call(|me, out| me.dialect.from_server(&mut me.server, NOW, out));
        }
        while !self.closed && self.dialect.wants_client() && !self.client.is_empty() {
            let before = self.client.len();
            let did = self.call(|me, out| me.dialect.from_client(&mut me.client, NOW, out));
            if self.client.len() == before && !did {
                break;
            }
        }
    }

    fn think(&mut self, thinking: Thinking) {
        let thought: Thought = if self.crowded { Box::new(Crowded) } else { thinking.done_at_once() };
        self.call(|me, out| me.dialect.thought(thought, NOW, out));
    }

    fn answer(&mut self) {
        if let Some(thinking) = self.thinking.take() {
            return self.think(thinking);
        }
        let Some(mut asking) = self.asking.take() else { return };
        match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answers) => {
                self.call(|me, out| me.dialect.answered(answers, NOW, out));
            }
            // No disk here makes anybody wait; a command whose text says that it is held does, and nobody approves it.
            Poll::Pending => self.asking = Some(asking),
        }
    }

    /// True when something came of it.
    fn call(&mut self, f: impl FnOnce(&mut Self, &mut Vec<Action>)) -> bool {
        let mut out = Vec::new();
        f(self, &mut out);
        let did = !out.is_empty();
        for action in out {
            self.carry_out(action);
        }
        did
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::ToServer(forward) => self.written.push(forward.into_bytes()),
            Action::ToClient(reply) => drop(reply),
            Action::Ask(commands) => {
                assert!(self.asking.is_none(), "two asks at once");
                self.asking = Some(Box::pin(self.session.submit(commands)));
            }
            Action::Look(mut looking) => {
                let Poll::Ready(thought) = looking.0.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("what is known of tables is known at once");
                };
                let mut out = Vec::new();
                self.dialect.thought(thought, NOW, &mut out);
                out.into_iter().for_each(|a| self.carry_out(a));
            }
            Action::Think(thinking) if self.slow => {
                assert!(self.thinking.replace(thinking).is_none(), "two thoughts at once");
            }
            Action::Think(thinking) => self.think(thinking),
            Action::Complete { permit, outcome, last } => {
                drop(self.session.complete(permit, *outcome).expect("facts are taken").reply(last));
            }
            Action::Abandon(permit, why) => permit.abandon(why),
            Action::Note { what, detail, .. } => drop(self.session.note(what, detail)),
            Action::Rows(number, piece) => drop(self.session.record_rows(number, piece)),
            Action::Progress(number, rows, bytes) => drop(self.session.record_progress(number, rows, bytes)),
            Action::Changed(number, piece) => drop(self.session.record_changed(number, piece)),
            Action::Role(_) | Action::Settled | Action::StopTarget | Action::EndTarget(_) => {}
            Action::Close { .. } => self.closed = true,
        }
    }
}

/// Plays a script, ends the session, and looks at what the record says of it.
pub(crate) fn interleave(mut data: &[u8]) {
    let budget = Budget::new(ROOM);
    let mut rig = Rig::new(&budget);
    while let Some((op, rest)) = next(data) {
        data = rest;
        if rig.closed {
            break;
        }
        rig.step(op);
        assert!(budget.used() <= ROOM);
    }
    if !rig.closed {
        rig.asking = None;
        let why = AbandonReason::Killed;
        rig.call(|me, out| me.dialect.end(Some(Refusal::draining()), why, "killed", out));
        assert!(rig.closed, "not closed");
    }
    // What was asked and not decided when the session ended is decided by nobody any more.
    (rig.asking, rig.thinking) = (None, None);
    drop(rig.dialect);
    rig.written.clear();
    assert_eq!(budget.used(), 0, "room is not given back");
    let words = rig.fakes.log.words();
    for decided in words.iter().filter(|w| w.starts_with("decided") && w.ends_with("allow")) {
        let number = decided.split(' ').nth(1).expect("a number");
        let ends = words.iter().filter(|w| {
            (w.starts_with("completed ") || w.starts_with("abandoned "))
                && w.split(' ').nth(1) == Some(number)
        });
        assert_eq!(ends.count(), 1, "{number} in {words:#?}");
        assert!(!words.contains(&format!("abandoned {number} dropped")), "{number} was dropped: {words:#?}");
    }
}
