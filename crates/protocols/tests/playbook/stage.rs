//! Where a playbook is played: the dialect, a real session over doubles, and a driver that carries actions out at once.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::event::Event;
use firsthand_model::json::Json;
use firsthand_model::limits::RecordLimits;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::target::{ChangedRows, Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Crowded, Dialect, Thought};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_session::breaker::Broken;
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_session::port::{ApprovalError, BoxFuture};
use firsthand_session::{Answer, Reply, Session};
use firsthand_sql::Analyzer;

use super::words;

/// Settings at the head of a playbook.
#[derive(Clone, Default)]
pub(crate) struct Head {
    pub(crate) rows: Option<u64>,
    pub(crate) row_bytes: Option<u64>,
    pub(crate) message_bytes_max: Option<u32>,
    pub(crate) room: Option<usize>,
    pub(crate) crowded: bool,
    pub(crate) unobserved: bool,
    pub(crate) relaxed: bool,
    pub(crate) changed: Option<ChangedRows>,
}

pub(crate) struct Stage {
    fakes: Fakes,
    session: Session,
    dialect: PostgresDialect,
    client: BytesMut,
    server: BytesMut,
    asking: Option<BoxFuture<'static, Vec<Answer>>>,
    by_hand: bool,
    crowded: bool,
    told: usize,
    to_client: BytesMut,
    to_server: BytesMut,
    strict: bool,
    closed: Option<String>,
    stopped: Option<&'static str>,
}

#[path = "../tables/plain.rs"]
mod plain;
#[path = "../tables/mod.rs"]
mod tables;
use plain::Plain;
use tables::Known;

const NOW: MonoMicros = MonoMicros(0);

fn analyzer() -> Arc<Analyzer> {
    static SHARED: OnceLock<Arc<Analyzer>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(Arc::default))
}

impl Stage {
    pub(crate) fn new(head: &Head) -> Self {
        let durability = if head.relaxed { Durability::Relaxed } else { Durability::Strict };
        let mut target = target(durability, Mode::Enforce);
        let default = RecordLimits::default();
        target.record = RecordLimits {
            rows: head.rows.unwrap_or(default.rows),
            bytes: head.row_bytes.unwrap_or(default.bytes),
        };
        let fakes = fakes(Disk::Instant, target);
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            analyzer: analyzer(),
            parameters: vec![
                ("client_encoding".to_owned(), "UTF8".to_owned()),
                ("server_encoding".to_owned(), "UTF8".to_owned()),
                ("standard_conforming_strings".to_owned(), "on".to_owned()),
                ("server_version".to_owned(), "15.18 (Debian)".to_owned()),
                ("is_superuser".to_owned(), "off".to_owned()),
                ("session_authorization".to_owned(), "orders_rw".to_owned()),
            ],
            session_role: "orders_rw".to_owned(),
            role: "orders_rw".to_owned(),
            session: session.facts().id,
            budget: Budget::new(head.room.unwrap_or(1 << 20)),
            message_bytes_max: head.message_bytes_max.unwrap_or(1 << 20),
            changed: head.changed.unwrap_or(ChangedRows::Off),
            tables: Some(match head.changed {
                Some(_) => Arc::new(Known),
                None => Arc::new(Plain),
            }),
            unobserved: head.unobserved,
        };
        Self {
            dialect: PostgresDialect::new(admission, setup),
            session,
            fakes,
            client: BytesMut::new(),
            server: BytesMut::new(),
            asking: None,
            by_hand: false,
            crowded: head.crowded,
            told: 1,
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
            strict: !head.relaxed && !head.unobserved,
            closed: None,
            stopped: None,
        }
    }

    /// Plays one line of input; what came of it. `pieces`: where the bytes are cut.
    pub(crate) fn play(&mut self, line: &str, mut pieces: impl FnMut(usize) -> usize) -> Vec<String> {
        let (side, rest) = line.split_once(' ').unwrap_or((line, ""));
        match side {
            "client" | "server" => {
                let mut bytes = BytesMut::new();
                for message in words::split(rest) {
                    if side == "client" {
                        words::client(&mut bytes, &message);
                    } else {
                        words::server(&mut bytes, &message);
                    }
                }
                while !bytes.is_empty() {
                    let piece = bytes.split_to(pieces(bytes.len()).clamp(1, bytes.len()));
                    if side == "client" {
                        self.client.extend_from_slice(&piece);
                        self.feed_client();
                    } else {
                        self.server.extend_from_slice(&piece);
                        self.call(|d, me, out| d.from_server(me, NOW, out), false);
                        self.feed_client();
                    }
                }
            }
            "by-hand" => self.by_hand = true,
            "answer" => {
                self.answer();
                self.feed_client();
            }
            "disk" => self.fakes.log.set(match rest {
                "instant" => Disk::Instant,
                "by-hand" => Disk::ByHand,
                "full" => Disk::Full,
                _ => Disk::Stopped,
            }),
            "approver" => self.fakes.approver.answer(match rest.split_once(' ').unwrap_or((rest, "")) {
                ("approves", _) => Ok(()),
                ("refuses", id) => {
                    Err(ApprovalError::Refused { id: id.to_owned(), reason: "said no".to_owned() })
                }
                ("pending", id) => Err(ApprovalError::Pending(id.to_owned())),
                _ => Err(ApprovalError::NobodyToAsk),
            }),
            // A CancelRequest over a connection of its own; the target hears of it unless a command is held.
            "cancel" => {
                self.session.canceller().cancel("192.0.2.7");
            }
            "time" => self.time(rest.parse().unwrap()),
            "stopping" => self.session.break_hold(Broken::Draining),
            "pause" => {
                let unfinished = !self.client.is_empty();
                self.call(|d, _, out| d.client_pauses(unfinished, NOW, out), true);
            }
            "drain" => {
                self.call(|d, _, out| d.drain(NOW, out), true);
            }
            "end" => {
                self.call(|d, _, out| d.end(None, AbandonReason::ClientLeft, "client", out), true);
            }
            "server-closes" => {
                self.call(|d, _, out| d.server_closed(NOW, out), true);
            }
            other => panic!("no input {other}"),
        }
        self.tell()
    }

    /// The driver's timer ends, so many microseconds after the session began.
    fn time(&mut self, after: u64) {
        let now = MonoMicros(NOW.0 + after);
        if self.dialect.deadline(NOW).is_some_and(|ends| ends <= now) {
            self.call(|d, _, out| d.overdue(now, out), true);
        }
    }

    fn feed_client(&mut self) {
        loop {
            if !self.dialect.wants_client() || self.client.is_empty() {
                return;
            }
            let before = self.client.len();
            let did = self.call(|d, me, out| d.from_client(me, NOW, out), true);
            if self.client.len() == before && !did {
                return;
            }
        }
    }

    fn call(
        &mut self,
        f: impl FnOnce(&mut PostgresDialect, &mut BytesMut, &mut Vec<Action>),
        client: bool,
    ) -> bool {
        let mut out = Vec::new();
        let input = if client { &mut self.client } else { &mut self.server };
        f(&mut self.dialect, input, &mut out);
        let _ = self.dialect.deadline(NOW);
        let did = !out.is_empty();
        for action in out {
            self.carry_out(action);
        }
        did
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::ToServer(forward) => self.to_server.extend_from_slice(&forward.into_bytes()),
            Action::ToClient(reply) => self.reply(reply),
            Action::Ask(commands) => {
                assert!(self.asking.is_none(), "two asks at once");
                self.asking = Some(Box::pin(self.session.submit(commands)));
                if !self.by_hand {
                    self.answer();
                }
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
            Action::Think(thinking) => {
                let thought: Thought = if self.crowded { Box::new(Crowded) } else { thinking.done_at_once() };
                let mut out = Vec::new();
                self.dialect.thought(thought, NOW, &mut out);
                out.into_iter().for_each(|a| self.carry_out(a));
            }
            Action::Complete { permit, outcome, last } => {
                let completed = self.session.complete(permit, *outcome).unwrap();
                self.reply(completed.reply(last));
            }
            Action::Abandon(permit, why) => permit.abandon(why),
            Action::Rows(number, piece) => self.session.record_rows(number, piece).unwrap(),
            Action::Changed(number, piece) => self.session.record_changed(number, piece).unwrap(),
            Action::Progress(number, rows, bytes) => {
                self.session.record_progress(number, rows, bytes).unwrap()
            }
            Action::Note { what, detail, reply } => {
                let noted = self.session.note(what, detail).unwrap();
                self.reply(noted.reply(reply));
            }
            Action::StopTarget => self.stopped = Some("stop-target"),
            Action::EndTarget(_) => self.stopped = Some("end-target"),
            Action::Settled => self.session.settled(),
            Action::Role(role) => self.session.set_role(&role),
            Action::Close { why, detail } => {
                assert!(self.closed.is_none(), "closed twice");
                self.closed = Some(format!("close {why} {detail}"));
            }
        }
    }

    fn reply(&mut self, reply: Reply) {
        let (bytes, after) = reply.into_parts();
        // Invariant 1: rows and copy data wait at least for the intent.
        let tells = words::tell(&bytes, true);
        let data = tells
            .iter()
            .any(|t| matches!(t.as_bytes().first(), Some(b'D' | b'd' | b'C' | b'I' | b's' | b'V')));
        assert!(!(self.strict && data && after.is_none()), "told without waiting: {tells:?}");
        self.to_client.extend_from_slice(&bytes);
    }

    fn answer(&mut self) {
        let Some(mut asking) = self.asking.take() else { return };
        match Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => self.asking = Some(asking),
            Poll::Ready(answers) => {
                let mut out = Vec::new();
                self.dialect.answered(answers, NOW, &mut out);
                out.into_iter().for_each(|a| self.carry_out(a));
            }
        }
    }

    /// What has happened since the last time: entries, bytes to both sides.
    fn tell(&mut self) -> Vec<String> {
        let mut lines = self.fakes.log.with(|events| {
            let new = events.get(self.told..).unwrap_or_default();
            self.told = events.len();
            new.iter().map(entry).collect::<Vec<_>>()
        });
        let server = self.to_server.split();
        lines.extend(words::tell(&server, false).into_iter().map(|l| format!("server {l}")));
        let client = self.to_client.split();
        lines.extend(words::tell(&client, true).into_iter().map(|l| format!("client {l}")));
        lines.extend(self.stopped.take().map(str::to_owned));
        lines.extend(self.closed.take());
        lines
    }
}

fn json(json: &Json) -> String {
    String::from_utf8_lossy(json.as_bytes()).into_owned()
}

fn short(text: String) -> String {
    if text.len() > 300 { format!("({} bytes)", text.len()) } else { text }
}

fn shown(name: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" {name}={value}") }
}

/// An entry in words.
fn entry(event: &Event) -> String {
    match event {
        Event::CommandDecided(e) => {
            let c = &e.command;
            let effects: Vec<_> = c.shape.effects.iter().map(|e| e.word()).collect();
            let read = if c.shape.plain_read { " plain-read" } else { "" };
            let coverage: Vec<_> =
                c.shape.coverage.iter().map(String::as_str).chain(c.coverage.iter().copied()).collect();
            format!(
                "decided #{} {} {} {} {} [{}]{read}{}{}{}{} {:?}{}",
                e.number.0,
                e.decision.verdict.word(),
                c.step.word(),
                c.via,
                c.transaction.word(),
                effects.join(" "),
                shown("claims", &json(&c.claims)),
                shown("names", &json(&c.names)),
                shown("parameters", &json(&c.parameters)),
                shown("coverage", &coverage.join(",")),
                if c.text.len() > 200 { "(long)" } else { &c.text },
                if c.original_digest.is_some() { " masked" } else { "" },
            )
        }
        Event::CommandCompleted(e) => completed(e),
        Event::CommandRows(e) => {
            let values = json(&e.values);
            let values = short(values);
            format!(
                "rows #{} from {} n={}{} {values}",
                e.number.0,
                e.first_row,
                e.rows,
                shown("columns", &json(&e.columns))
            )
        }
        Event::CommandChanged(e) => format!(
            "changed #{} {} {} from {} n={}{}{} {}{}{}",
            e.number.0,
            e.action,
            e.table,
            e.first,
            e.rows,
            shown("count", &e.count.map_or(String::new(), |n| n.to_string())),
            shown("coverage", &e.coverage.join(",")),
            json(&e.columns),
            shown("old", &short(json(&e.old))),
            shown("new", &short(json(&e.new))),
        ),
        Event::TransactionNamed(_) | Event::TransactionChanged(_) | Event::TransactionEnded(_) => {
            "a transaction's rows".to_owned()
        }
        Event::CommandAbandoned(e) => {
            format!("abandoned #{} {} forwarded={}", e.number.0, e.why.word(), e.forwarded.unwrap())
        }
        Event::SessionNoted(e) => format!("noted {} {}", e.what, json(&e.detail)),
        Event::Approval(e) => e.kind.to_owned(),
        Event::Stream(e) => format!("stream #{} rows={} bytes={}", e.number.0, e.rows, e.bytes),
        other => firsthand_session::fake::word(other),
    }
}

fn completed(e: &firsthand_model::event::CommandCompleted) -> String {
    let o = &e.outcome;
    let digest = o.digest.map(|d| d[..4].iter().map(|b| format!("{b:02x}")).collect::<String>());
    format!(
        "completed #{} {:?} {}→{} role={}{}{}{}{}{}{}{}{}{}{}",
        e.number.0,
        o.tag,
        e.before.word(),
        o.transaction.word(),
        e.facts.role,
        shown("code", o.code.as_deref().unwrap_or_default()),
        shown("error", &json(&o.error)),
        shown("affected", &o.affected.map_or(String::new(), |n| n.to_string())),
        if o.rows + o.bytes > 0 {
            format!(" rows={}/{} bytes={}", o.rows_kept, o.rows, o.bytes)
        } else {
            String::new()
        },
        shown("digest", digest.as_deref().unwrap_or_default()),
        shown("columns", &json(&o.columns)),
        shown("inline", &short(json(&o.inline_rows))),
        shown("notices", &json(&o.notices)),
        if o.suspended { " suspended" } else { "" },
        shown("coverage", &o.coverage.join(",")),
    )
}
