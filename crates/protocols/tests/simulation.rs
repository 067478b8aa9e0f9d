//! Random clients on a model of PostgreSQL, directly and through the dialect, with every interleaving that a seed gives:
//! the client must read the same bytes, the target must run the same statements, and each command must have one end.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[path = "simulation/copies.rs"]
mod copies;
#[path = "simulation/model.rs"]
mod model;
#[path = "tables/plain.rs"]
mod plain;
#[path = "simulation/rig.rs"]
mod rig;

use bytes::BytesMut;
use firsthand_model::event::Event;
use firsthand_model::outcome::AbandonReason;
use firsthand_protocols::dialect::Dialect;
use firsthand_protocols::postgres::refuse;
use firsthand_session::{Refusal, RefusalKind};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};
use model::Model;
use rig::{Dice, NOW, Rig, on_large_stack};

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

/// A text, perhaps with a limit that it does not reach.
fn limited(dice: &mut Dice) -> String {
    let text = dice.one(&TEXTS);
    let comment = if text.starts_with("insert") { ["", " -- ROWS=99"][dice.roll(2)] } else { "" };
    format!("{text}{comment}")
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
                frontend::encode_parse(out, statement, limited(dice).as_bytes(), &[]).unwrap();
                frontend::encode_bind(out, (portal, statement), (Format::Text, &[]), Format::Text).unwrap();
                frontend::encode_execute(out, portal, 0).unwrap();
            }
            3 => frontend::encode_parse(out, statement, limited(dice).as_bytes(), &[]).unwrap(),
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
            check_read(&rig, &direct_out, false, seed, &sent);
        }
    }
    let mut sync = BytesMut::new();
    frontend::encode_sync(&mut sync);
    direct.feed(&sync);
    direct_out.extend_from_slice(&direct.out.split());
    rig.client.extend_from_slice(&sync);
    rig.settle(&mut dice);
    check_read(&rig, &direct_out, true, seed, &sent);
    let told = || format!("seed {seed}: {sent:#?}\n{:?}\n{:#?}", rig.closed, rig.fakes.log.words());
    assert_eq!(rig.closed, None, "{}", told());
    assert!(
        !rig.dialect.is_busy()
            && rig.asking.is_none()
            && rig.looking.is_none()
            && rig.client.is_empty()
            && rig.from_client.is_empty(),
        "{}",
        told()
    );
    assert_eq!(rig.target.executed, direct.executed, "{}", told());
    check_log(&rig, seed);
}

/// The client has read the same bytes, also those that came without a Sync; before the end perhaps more: the gateway asks for
/// answers for its own sake.
fn check_read(rig: &Rig, direct_out: &[u8], end: bool, seed: u64, sent: &[String]) {
    let same = rig.to_client.iter().zip(direct_out).take_while(|(a, b)| a == b).count();
    let after =
        |bytes: &[u8]| bytes[same.saturating_sub(60)..bytes.len().min(same + 200)].escape_ascii().to_string();
    assert!(
        rig.to_client == direct_out || (!end && rig.to_client.starts_with(direct_out)),
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
