//! Random clients on a model of PostgreSQL, directly and through the dialect, with every interleaving that a seed gives:
//! the client must read the same bytes, the target must run the same statements, and each command must have one end.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "simulation/model.rs"]
mod model;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use firsthand_model::event::Event;
use firsthand_model::outcome::AbandonReason;
use firsthand_model::target::{Durability, Mode};
use firsthand_model::time::MonoMicros;
use firsthand_protocols::budget::Budget;
use firsthand_protocols::dialect::{Action, Dialect};
use firsthand_protocols::postgres::dialect::{PostgresDialect, Setup};
use firsthand_protocols::postgres::refuse;
use firsthand_session::fake::{Disk, Fakes, fakes, target};
use firsthand_session::port::BoxFuture;
use firsthand_session::{Answer, Refusal, RefusalKind, Session};
use firsthand_sql::Analyzer;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};
use model::Model;

const NOW: MonoMicros = MonoMicros(0);

/// xorshift64*.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

const TEXTS: [&str; 14] = [
    "select 1",
    "select 1",
    "select a from t",
    "select nix",
    "select 1/0",
    "selec 1",
    "insert into t values (1)",
    "insert into t values (1)",
    "delete from DENY",
    "begin",
    "commit",
    "rollback",
    "set x to y",
    "copy t to stdout",
];
const NAMES: [&str; 4] = ["", "", "a", "b"];

/// What a client sends before it waits for the answers. True when it may come to be asked for copy data.
fn round(dice: &mut Dice, out: &mut BytesMut) -> bool {
    match dice.roll(11) {
        10 => {
            piped_copy(dice, out);
            false
        }
        0..=2 => {
            let texts: Vec<_> = (0..=dice.roll(3)).map(|_| dice.one(&TEXTS)).collect();
            frontend::encode_query(out, texts.join("; ").as_bytes()).unwrap();
            false
        }
        3 => {
            frontend::encode_query(
                out,
                dice.one(&["", " ", "-- ping"]).trim_start_matches("-- ping").as_bytes(),
            )
            .unwrap();
            false
        }
        4 => {
            let text = dice.one(&[
                "copy t from stdin",
                "insert into t values (1); copy t from stdin; select 1",
                "copy u from stdin",
            ]);
            frontend::encode_query(out, text.as_bytes()).unwrap();
            true
        }
        5 => {
            let text = dice.one(&["copy t from stdin", "copy u from stdin"]);
            frontend::encode_parse(out, b"", text.as_bytes(), &[]).unwrap();
            frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
            frontend::encode_execute(out, b"", 0).unwrap();
            frontend::encode_sync(out);
            true
        }
        _ => {
            for _ in 0..=dice.roll(4) {
                pipeline(dice, out);
            }
            false
        }
    }
}

fn pipeline(dice: &mut Dice, out: &mut BytesMut) {
    for _ in 0..=dice.roll(9) {
        if dice.roll(12) == 0 {
            // What belongs to no COPY is passed over.
            match dice.roll(3) {
                0 => frontend::encode_copy_done(out),
                1 => frontend::encode_copy_fail(out, "no"),
                _ => frontend::encode_copy_data(out, b"1\tone\n"),
            }
        }
        let (statement, portal) = (dice.one(&NAMES).as_bytes(), dice.one(&NAMES).as_bytes());
        match dice.roll(12) {
            0..=2 => {
                frontend::encode_parse(out, statement, dice.one(&TEXTS).as_bytes(), &[]).unwrap();
                frontend::encode_bind(out, (portal, statement), (Format::Text, &[]), Format::Text).unwrap();
                frontend::encode_execute(out, portal, 0).unwrap();
            }
            3 => frontend::encode_parse(out, statement, dice.one(&TEXTS).as_bytes(), &[]).unwrap(),
            4 => frontend::encode_bind(out, (portal, statement), (Format::Text, &[]), Format::Text).unwrap(),
            5 | 6 => frontend::encode_execute(out, portal, dice.roll(3) as i32).unwrap(),
            7 => frontend::encode_describe(out, Object::Statement(statement)).unwrap(),
            8 => frontend::encode_describe(out, Object::Portal(portal)).unwrap(),
            9 => frontend::encode_close(out, Object::Statement(statement)).unwrap(),
            10 => frontend::encode_flush(out),
            _ => frontend::encode_query(out, dice.one(&TEXTS).as_bytes()).unwrap(),
        }
    }
    // Some say no more for the moment, and read what comes without it.
    if dice.roll(4) > 0 {
        frontend::encode_sync(out);
    }
}

/// A whole COPY and what comes after it, sent without waiting for anything.
fn piped_copy(dice: &mut Dice, out: &mut BytesMut) {
    let text = dice.one(&["copy t from stdin", "copy u from stdin"]);
    if dice.roll(2) == 0 {
        frontend::encode_query(out, text.as_bytes()).unwrap();
    } else {
        frontend::encode_parse(out, b"", text.as_bytes(), &[]).unwrap();
        frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
        frontend::encode_execute(out, b"", 0).unwrap();
    }
    (0..dice.roll(3)).for_each(|_| frontend::encode_sync(out));
    for _ in 0..dice.roll(3) {
        frontend::encode_copy_data(out, if dice.roll(5) == 0 { b"bad\n" } else { b"1\tone\n" });
    }
    match dice.roll(3) {
        0 => frontend::encode_copy_done(out),
        _ => frontend::encode_copy_fail(out, "no"),
    }
    (0..dice.roll(3)).for_each(|_| frontend::encode_sync(out));
    match dice.roll(3) {
        0 => frontend::encode_query(out, b"select 1").unwrap(),
        1 => {
            frontend::encode_parse(out, b"", b"select 1", &[]).unwrap();
            frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
            frontend::encode_execute(out, b"", 0).unwrap();
        }
        _ => {}
    }
    copy_forgotten(out);
}

/// The end of a COPY, well or not.
fn copy_end(dice: &mut Dice, out: &mut BytesMut) {
    for _ in 0..dice.roll(3) {
        frontend::encode_copy_data(out, if dice.roll(5) == 0 { b"bad\n" } else { b"1\tone\n" });
    }
    if dice.roll(4) == 0 {
        frontend::encode_copy_fail(out, "no");
    } else {
        frontend::encode_copy_done(out);
    }
    copy_forgotten(out);
}

/// Later rounds must not come upon a COPY by chance.
fn copy_forgotten(out: &mut BytesMut) {
    frontend::encode_sync(out);
    frontend::encode_close(out, Object::Statement(b"")).unwrap();
    frontend::encode_close(out, Object::Portal(b"")).unwrap();
    frontend::encode_sync(out);
}

struct Rig {
    fakes: Fakes,
    session: Session,
    dialect: PostgresDialect,
    asking: Option<BoxFuture<'static, Vec<Answer>>>,
    target: Model,
    from_client: BytesMut,
    client: BytesMut,
    from_target: BytesMut,
    to_target: BytesMut,
    to_client: BytesMut,
    closed: Option<String>,
}

fn analyzer() -> Arc<Analyzer> {
    static SHARED: OnceLock<Arc<Analyzer>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(Arc::default))
}

impl Rig {
    fn new() -> Self {
        let fakes = fakes(Disk::Instant, target(Durability::Strict, Mode::Enforce));
        let (session, admission) = fakes.open();
        let setup = Setup {
            knowing: None,
            changed: firsthand_model::target::ChangedRows::Off,
            tables: None,
            analyzer: analyzer(),
            parameters: Vec::new(),
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
    fn step(&mut self, dice: &mut Dice) -> bool {
        let can = [
            !self.client.is_empty() && self.from_client.len() < 4000,
            self.asking.is_some(),
            !self.to_target.is_empty(),
            !self.target.out.is_empty(),
            self.dialect.holds_back(),
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

    fn call(&mut self, f: impl FnOnce(&mut Self, &mut Vec<Action>)) {
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
                Action::Think(_) | Action::Look(_) => panic!("no text is long, and nobody looks"),
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
                Action::StopTarget | Action::Rows(..) | Action::Progress(..) | Action::Role(_) => {}
                Action::Close { why, detail } => self.closed = Some(format!("{why}: {detail}")),
            }
        }
    }

    fn answer(&mut self) {
        let mut asking = self.asking.take().unwrap();
        match Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answers) => self.call(|me, out| me.dialect.answered(answers, NOW, out)),
            Poll::Pending => panic!("the disk is instant"),
        }
    }

    fn settle(&mut self, dice: &mut Dice) {
        while self.step(dice) {}
    }
}

/// What the client reads where the policy's double refuses.
fn refusal() -> Vec<u8> {
    let advice = "Send it without DENY.";
    let text = format!("Firsthand refused this command: it says so (rule text). {advice}");
    let refusal =
        Refusal::new(RefusalKind::Denied, text).detail("Rule text of policy fake: it says so.").hint(advice);
    refuse::error(&refusal, true).to_vec()
}

fn play(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut rig, mut direct) = (Rig::new(), Model::new(Some(refusal())));
    let mut direct_out = BytesMut::new();
    let mut sent = Vec::new();
    for n in 0..12 {
        let mut bytes = BytesMut::new();
        let copies = round(&mut dice, &mut bytes);
        sent.push(format!("{}", bytes.escape_ascii()));
        direct.feed(&bytes);
        rig.client.extend_from_slice(&bytes);
        // Sometimes the next round is sent without waiting for this one's answers.
        let waits = copies || direct.is_copying() || n == 11 || dice.roll(3) > 0;
        if waits {
            rig.settle(&mut dice);
            assert_eq!(
                rig.target.is_copying(),
                direct.is_copying(),
                "seed {seed}: {sent:#?} {:?}",
                rig.closed
            );
        }
        if copies {
            let mut bytes = BytesMut::new();
            copy_end(&mut dice, &mut bytes);
            sent.push(format!("{}", bytes.escape_ascii()));
            direct.feed(&bytes);
            rig.client.extend_from_slice(&bytes);
            rig.settle(&mut dice);
        }
        direct_out.extend_from_slice(&direct.out.split());
        if waits {
            check_read(&rig, &direct_out, seed, &sent);
        }
    }
    let mut sync = BytesMut::new();
    frontend::encode_sync(&mut sync);
    direct.feed(&sync);
    direct_out.extend_from_slice(&direct.out.split());
    rig.client.extend_from_slice(&sync);
    rig.settle(&mut dice);
    check_read(&rig, &direct_out, seed, &sent);
    let told = || format!("seed {seed}: {sent:#?}\n{:?}\n{:#?}", rig.closed, rig.fakes.log.words());
    assert_eq!(rig.closed, None, "{}", told());
    assert!(
        !rig.dialect.is_busy() && rig.asking.is_none() && rig.client.is_empty() && rig.from_client.is_empty(),
        "{}",
        told()
    );
    assert_eq!(rig.target.executed, direct.executed, "{}", told());
    check_log(&rig, seed);
}

/// The client has read the same bytes, also those that came without a Sync.
fn check_read(rig: &Rig, direct_out: &[u8], seed: u64, sent: &[String]) {
    let same = rig.to_client.iter().zip(direct_out).take_while(|(a, b)| a == b).count();
    let after =
        |bytes: &[u8]| bytes[same.saturating_sub(60)..bytes.len().min(same + 200)].escape_ascii().to_string();
    assert!(
        rig.to_client == direct_out,
        "seed {seed}: {sent:#?}\n{:?}\n{:#?}\n through {}\n directly {}",
        rig.closed,
        rig.fakes.log.words(),
        after(&rig.to_client),
        after(direct_out)
    );
}

/// Each permitted command has one end, and what the target ran is what was decided.
fn check_log(rig: &Rig, seed: u64) {
    let mut open = std::collections::BTreeMap::new();
    let mut ran = Vec::new();
    rig.fakes.log.with(|events| {
        for event in events {
            match event {
                Event::CommandDecided(e)
                    if e.decision.verdict == firsthand_model::decision::Verdict::Allow =>
                {
                    open.insert(e.number, e.command.text.clone());
                }
                Event::CommandCompleted(e) => {
                    let text = open.remove(&e.number).expect("one end, after its intent");
                    if !e.outcome.tag.is_empty() {
                        ran.push((text, e.outcome.tag.clone()));
                    }
                }
                Event::CommandAbandoned(e) => {
                    open.remove(&e.number).expect("one end, after its intent");
                    let known = [AbandonReason::Skipped, AbandonReason::RefusedTogether];
                    assert!(known.contains(&e.why), "seed {seed}: {:?}", e.why);
                }
                _ => {}
            }
        }
    });
    assert!(open.is_empty(), "seed {seed}: without an end: {open:?}");
    for (text, tag) in ran {
        let verb = text.split(' ').next().unwrap_or_default().to_uppercase();
        let same = tag.starts_with(&verb) || (verb == "COMMIT" && tag == "ROLLBACK");
        assert!(same, "seed {seed}: {text:?} ended as {tag:?}");
    }
}

/// Changes some bytes, drops some, doubles some.
fn spoil(dice: &mut Dice, bytes: &mut BytesMut) {
    for _ in 0..=dice.roll(3) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.roll(bytes.len());
        match dice.roll(4) {
            0 => bytes[at] = dice.roll(256) as u8,
            1 => bytes[at] ^= 1 << dice.roll(8),
            2 => bytes.truncate(at),
            _ => {
                let tail = bytes.split_off(at);
                bytes.extend_from_slice(&tail);
                bytes.extend_from_slice(&tail);
            }
        }
    }
}

/// What a broken target might say.
fn babble(dice: &mut Dice, out: &mut BytesMut) {
    let tag = b"DdCZE12n3TtGHWcISANKRvVs?"[dice.roll(25)];
    let bodies: [&[u8]; 9] = [
        b"",
        b"I",
        b"E",
        b"\0",
        b"SELECT 1\0",
        b"\0\x01\0\0\0\x017",
        b"\0\0\x01\0\0",
        b"SERROR\0C42601\0Mno\0\0",
        b"SFATAL\0C57P01\0Mbye\0\0",
    ];
    let body = bodies[dice.roll(bodies.len())];
    out.extend_from_slice(&[tag]);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

/// Bytes as hostile as they come, from both sides: nothing panics, and each permitted command has one end.
fn rave(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut rig = Rig::new();
    for _ in 0..30 {
        if rig.closed.is_some() {
            break;
        }
        let mut bytes = BytesMut::new();
        match dice.roll(4) {
            0 => babble(&mut dice, &mut rig.from_target),
            1 => copy_end(&mut dice, &mut bytes),
            _ => drop(round(&mut dice, &mut bytes)),
        }
        if dice.roll(4) == 0 {
            spoil(&mut dice, &mut bytes);
        }
        rig.from_client.extend_from_slice(&bytes);
        rig.call(|me, out| me.dialect.from_server(&mut me.from_target, NOW, out));
        for _ in 0..4 {
            if rig.dialect.wants_client() {
                rig.call(|me, out| me.dialect.from_client(&mut me.from_client, NOW, out));
            }
            if rig.asking.is_some() && dice.roll(4) > 0 {
                rig.answer();
            }
            if dice.roll(2) == 0 {
                babble(&mut dice, &mut rig.from_target);
                rig.call(|me, out| me.dialect.from_server(&mut me.from_target, NOW, out));
            }
        }
    }
    if rig.asking.is_some() {
        rig.answer();
    }
    let why = AbandonReason::Killed;
    rig.call(|me, out| me.dialect.end(Some(Refusal::draining()), why, "killed", out));
    assert!(rig.closed.is_some(), "seed {seed}: not closed");
    drop(rig.dialect);
    let words = rig.fakes.log.words();
    for decided in words.iter().filter(|w| w.starts_with("decided") && w.ends_with("allow")) {
        let number = decided.split(' ').nth(1).unwrap();
        let end = |w: &&String| {
            (w.starts_with("completed ") || w.starts_with("abandoned "))
                && w.split(' ').nth(1) == Some(number)
        };
        assert_eq!(words.iter().filter(end).count(), 1, "seed {seed}: {number} in {words:#?}");
        let dropped = format!("abandoned {number} dropped");
        assert!(!words.contains(&dropped), "seed {seed}: {number} was dropped: {words:#?}");
    }
}

/// On a thread with the stack that the parser needs.
fn on_large_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(firsthand_sql::STACK_BYTES);
    if let Err(panic) = thread.spawn(run).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    match std::env::var("SEED") {
        Ok(seed) => seed.parse().unwrap()..=seed.parse().unwrap(),
        Err(_) => 1..=std::env::var("SEEDS").map_or(800, |n| n.parse().unwrap()),
    }
}

#[test]
fn hostile_bytes_from_both_sides_end_every_command_once() {
    on_large_stack(|| seeds().for_each(rave));
}

#[test]
fn random_clients_see_the_same_through_the_gateway() {
    on_large_stack(|| seeds().for_each(play));
}
