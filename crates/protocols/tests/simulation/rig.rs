//! A dialect between a client and a model of PostgreSQL, step by step: dice say what happens next.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Dialect, Looking};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_protocols::postgres::wal::{Naming, Verdict};
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_session::port::BoxFuture;
use firsthand_session::{Answer, Session};
use firsthand_sql::Analyzer;

use super::model::Model;
use super::plain::Plain;

pub(crate) const NOW: MonoMicros = MonoMicros(0);

/// xorshift64*.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

pub(crate) struct Rig {
    pub(crate) fakes: Fakes,
    pub(crate) session: Session,
    pub(crate) dialect: PostgresDialect,
    pub(crate) asking: Option<BoxFuture<'static, Vec<Answer>>>,
    /// What else is being found out.
    pub(crate) looking: Option<Looking>,
    pub(crate) target: Model,
    pub(crate) from_client: BytesMut,
    pub(crate) client: BytesMut,
    pub(crate) from_target: BytesMut,
    pub(crate) to_target: BytesMut,
    pub(crate) to_client: BytesMut,
    pub(crate) closed: Option<String>,
}

pub(crate) fn analyzer() -> Arc<Analyzer> {
    static SHARED: OnceLock<Arc<Analyzer>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(Arc::default))
}

/// Names every transaction.
struct Names;

impl Naming for Names {
    fn name(&self, _: &str, _: u64, _: u64, _: bool) -> BoxFuture<'static, Verdict> {
        Box::pin(std::future::ready(Verdict::Goes))
    }
}

impl Rig {
    /// The same, where transactions are named before they commit.
    pub(crate) fn naming(mut self) -> Self {
        self.dialect = self.dialect.naming(Some(Arc::new(Names)));
        self
    }

    pub(crate) fn new() -> Self {
        let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            changed: firsthand_model::target::ChangedRows::Off,
            tables: Some(Arc::new(Plain)),
            analyzer: analyzer(),
            parameters: [
                ("client_encoding", "UTF8"),
                ("server_encoding", "UTF8"),
                ("server_version", "15.18"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            session_role: "orders_rw".to_owned(),
            role: "orders_rw".to_owned(),
            session: session.facts().id,
            budget: Budget::new(1 << 20),
            message_bytes_max: 1 << 20,
            unobserved: false,
        };
        let dialect = PostgresDialect::new(admission, setup);
        let empty = BytesMut::new;
        Self {
            fakes,
            session,
            dialect,
            asking: None,
            looking: None,
            target: Model::new(None),
            from_client: empty(),
            client: empty(),
            from_target: empty(),
            to_target: empty(),
            to_client: empty(),
            closed: None,
        }
    }

    /// One thing happens, whichever can. False when nothing can.
    pub(crate) fn step(&mut self, dice: &mut Dice) -> bool {
        let can = [
            !self.client.is_empty() && self.from_client.len() < 4000,
            self.asking.is_some(),
            !self.to_target.is_empty(),
            !self.target.out.is_empty(),
            self.dialect.holds_back(),
            self.looking.is_some(),
        ];
        let possible: Vec<_> = can.iter().enumerate().filter(|(_, c)| **c).map(|(i, _)| i).collect();
        if possible.is_empty() {
            return false;
        }
        match possible[dice.roll(possible.len())] {
            0 => {
                let n = (dice.roll(90) + 1).min(self.client.len());
                self.from_client.extend_from_slice(&self.client.split_to(n));
            }
            1 => self.answer(),
            2 => {
                let n = (dice.roll(90) + 1).min(self.to_target.len());
                let bytes = self.to_target.split_to(n);
                self.target.feed(&bytes);
            }
            5 => {
                let Some(mut looking) = self.looking.take() else { return true };
                let Poll::Ready(thought) = looking.0.as_mut().poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("it is known at once");
                };
                self.call(|me, out| me.dialect.thought(thought, NOW, out));
            }
            4 => {
                // No whole message is left: it would have been taken.
                let unfinished = !self.from_client.is_empty();
                self.call(|me, out| me.dialect.client_pauses(unfinished, NOW, out));
            }
            _ => {
                let n = (dice.roll(90) + 1).min(self.target.out.len());
                self.from_target.extend_from_slice(&self.target.out.split_to(n));
                self.call(|me, out| me.dialect.from_server(&mut me.from_target, NOW, out));
            }
        }
        while self.dialect.wants_client() && !self.from_client.is_empty() {
            let before = self.from_client.len();
            self.call(|me, out| me.dialect.from_client(&mut me.from_client, NOW, out));
            if self.from_client.len() == before {
                break;
            }
        }
        true
    }

    pub(crate) fn call(&mut self, f: impl FnOnce(&mut Self, &mut Vec<Action>)) {
        let mut out = Vec::new();
        f(self, &mut out);
        for action in out {
            match action {
                Action::ToServer(forward) => self.to_target.extend_from_slice(&forward.into_bytes()),
                Action::ToClient(reply) => self.to_client.extend_from_slice(&reply.into_parts().0),
                Action::Ask(commands) => {
                    assert!(self.asking.is_none(), "two asks at once");
                    self.asking = Some(Box::pin(self.session.submit(commands)));
                }
                Action::Look(looking) => {
                    assert!(self.looking.is_none(), "two looks at once");
                    self.looking = Some(looking);
                }
                Action::Think(_) => panic!("no text is long"),
                Action::Complete { permit, outcome, last } => {
                    let done = self.session.complete(permit, *outcome).unwrap();
                    self.to_client.extend_from_slice(&done.reply(last).into_parts().0);
                }
                Action::Abandon(permit, why) => permit.abandon(why),
                Action::Changed(number, piece) => self.session.record_changed(number, piece).unwrap(),
                Action::Note { what, detail, reply } => {
                    let noted = self.session.note(what, detail).unwrap();
                    self.to_client.extend_from_slice(&noted.reply(reply).into_parts().0);
                }
                Action::StopTarget
                | Action::EndTarget(_)
                | Action::Rows(..)
                | Action::Progress(..)
                | Action::Settled
                | Action::Role(_) => {}
                Action::Close { why, detail } => self.closed = Some(format!("{why}: {detail}")),
            }
        }
    }

    pub(crate) fn answer(&mut self) {
        let mut asking = self.asking.take().unwrap();
        // A large batch gives way once and again.
        for _ in 0..32 {
            if let Poll::Ready(answers) = Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop()))
            {
                return self.call(|me, out| me.dialect.answered(answers, NOW, out));
            }
        }
        panic!("the disk is instant");
    }

    pub(crate) fn settle(&mut self, dice: &mut Dice) {
        while self.step(dice) {}
    }
}

/// On a thread with the stack that the parser needs.
pub(crate) fn on_large_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES);
    if let Err(panic) = thread.spawn(run).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}
