//! What stands behind a COPY that reads, without waiting for anything: all short scripts of it, each with many orders in
//! which bytes can arrive. The client must read what it would read directly, the target must run the same, and the record
//! must say of each command whether it ran.

use super::model::Model;
use super::rig::{Dice, NOW, Rig, on_large_stack};
use bytes::BytesMut;
use firsthand_model::command::Step;
use firsthand_model::event::Event;
use firsthand_model::outcome::AbandonReason;
use firsthand_protocols::dialect::Dialect;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{self, Object};

/// What a script is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Data,
    Bad,
    Half,
    Dot,
    Done,
    Fail,
    Sync,
    Flush,
    /// A Query that inserts.
    Query,
    /// Parse, Bind and Execute that insert.
    Insert,
    Parse,
    Close,
    Describe,
    /// A Bind of a statement that does not exist.
    Stray,
    Begin,
    CopyIn,
    CopyQuery,
    CopyOut,
}

use Part::{
    Bad, Begin, Close, CopyIn, CopyOut, CopyQuery, Data, Describe, Done, Dot, Fail, Flush, Half, Insert,
    Parse, Query, Stray, Sync,
};

const ALL: [Part; 25] = [
    Data, Data, Bad, Half, Dot, Done, Done, Done, Fail, Sync, Sync, Sync, Sync, Flush, Query, Insert, Insert,
    Parse, Close, Describe, Stray, Begin, CopyIn, CopyQuery, CopyOut,
];
const FEW: [Part; 8] = [Data, Bad, Done, Fail, Sync, Query, Insert, Close];
const BEFORE: [Part; 7] = [Insert, Insert, Query, Parse, CopyOut, Sync, Flush];
const COPIES: [&str; 4] =
    ["copy t from stdin", "copy u from stdin", "copy v from stdin", "copy w from stdin"];

/// What holds back what may commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Under {
    Nothing,
    /// A limit on rows affected, far above what is affected.
    Limit,
    /// The same, of inserts alone or of copies alone.
    InsertsLimited,
    CopiesLimited,
    /// A limit that is passed.
    Over,
    /// A limit on rows delivered.
    Delivery,
    /// Transactions are named before they commit.
    Wal,
    /// Both.
    WalLimit,
    WalOver,
}

const UNDER: [Under; 8] = [
    Under::Limit,
    Under::InsertsLimited,
    Under::CopiesLimited,
    Under::Over,
    Under::Delivery,
    Under::Wal,
    Under::WalLimit,
    Under::WalOver,
];

impl Under {
    /// The comment with which a limit is asked for.
    fn comment(self, insert: bool) -> &'static str {
        match self {
            Self::Nothing | Self::Wal => "",
            Self::InsertsLimited if !insert => "",
            Self::CopiesLimited if insert => "",
            Self::Limit | Self::InsertsLimited | Self::CopiesLimited | Self::WalLimit => " -- AFFECTED=99",
            Self::Over | Self::WalOver => " -- AFFECTED=0",
            Self::Delivery => " -- ROWS=99",
        }
    }

    fn names(self) -> bool {
        matches!(self, Self::Wal | Self::WalLimit | Self::WalOver)
    }

    /// Whether the client reads what it would read without.
    fn is_unseen(self) -> bool {
        !matches!(self, Self::Over | Self::WalOver)
    }
}

fn extended(text: &str, out: &mut BytesMut) {
    frontend::encode_parse(out, b"", text.as_bytes(), &[]).unwrap();
    frontend::encode_bind(out, (b"", b""), (Format::Text, &[]), Format::Text).unwrap();
    frontend::encode_execute(out, b"", 0).unwrap();
}

/// Writes it; each insert is told from all others.
fn write(parts: &[Part], from: usize, under: Under, out: &mut BytesMut) {
    let copy = |copy: &str| format!("{copy}{}", under.comment(false));
    for (n, part) in (from..).zip(parts) {
        let insert = format!("insert into t values ({n}){}", under.comment(true));
        match part {
            Data => frontend::encode_copy_data(out, b"1\n"),
            Bad => frontend::encode_copy_data(out, b"bad\n"),
            Half => frontend::encode_copy_data(out, b"1"),
            Dot => frontend::encode_copy_data(out, b"\\.\n"),
            Done => frontend::encode_copy_done(out),
            Fail => frontend::encode_copy_fail(out, "no"),
            Sync => frontend::encode_sync(out),
            Flush => frontend::encode_flush(out),
            Query => frontend::encode_query(out, insert.as_bytes()).unwrap(),
            Insert => extended(&insert, out),
            Parse => frontend::encode_parse(out, b"", insert.as_bytes(), &[]).unwrap(),
            Close => frontend::encode_close(out, Object::Portal(b"")).unwrap(),
            Describe => frontend::encode_describe(out, Object::Portal(b"")).unwrap(),
            Stray => {
                frontend::encode_bind(out, (b"", b"stray"), (Format::Text, &[]), Format::Text).unwrap();
            }
            Begin => frontend::encode_query(out, b"begin").unwrap(),
            CopyIn => extended(&copy("copy t from stdin"), out),
            CopyQuery => frontend::encode_query(out, copy("copy t from stdin").as_bytes()).unwrap(),
            CopyOut => extended(&copy("copy t to stdout"), out),
        }
    }
}

/// A script: how it begins, and what follows.
#[derive(Clone, Debug)]
struct Script {
    simple: bool,
    block: bool,
    old: bool,
    leaves: bool,
    /// What stands before the COPY.
    before: Vec<Part>,
    copy: &'static str,
    parts: Vec<Part>,
    under: Under,
}

impl Script {
    fn bytes(&self) -> BytesMut {
        let mut out = BytesMut::new();
        if self.block {
            frontend::encode_query(&mut out, b"begin").unwrap();
        }
        write(&self.before, 100, self.under, &mut out);
        let copy = format!("{}{}", self.copy, self.under.comment(false));
        if self.simple {
            frontend::encode_query(&mut out, copy.as_bytes()).unwrap();
        } else {
            extended(&copy, &mut out);
        }
        write(&self.parts, 0, self.under, &mut out);
        if self.leaves {
            frontend::encode_terminate(&mut out);
            return out;
        }
        // However it stands: an end to any COPY, and to what was not asked for.
        frontend::encode_copy_done(&mut out);
        frontend::encode_sync(&mut out);
        frontend::encode_copy_done(&mut out);
        frontend::encode_sync(&mut out);
        frontend::encode_query(&mut out, b"select 1").unwrap();
        out
    }

    /// Known: between BEGIN and COMMIT of the gateway's own a Sync among copy data is taken for one that the target swallows,
    /// also where the COPY has failed in front of it.
    fn loses_syncs(&self) -> bool {
        let wraps = self.under.names() || self.under.comment(false).contains("AFFECTED");
        let simple = self.simple || self.parts.contains(&CopyQuery);
        wraps && simple && self.parts.contains(&Sync)
    }

    /// Plays it in the order that the dice say.
    fn play(&self, seed: u64, cancels: bool) {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let bytes = self.bytes();
        let mut direct = Model::new(None);
        let mut rig = if self.under.names() { Rig::new().naming() } else { Rig::new() };
        (direct.old, rig.target.old) = (self.old, self.old);
        direct.feed(&bytes);
        rig.client.extend_from_slice(&bytes);
        while rig.step(&mut dice) {
            if cancels && dice.roll(8) == 0 {
                rig.target.stop();
            }
            if rig.target.dead && rig.target.out.is_empty() && rig.closed.is_none() {
                rig.call(|me, out| me.dialect.server_closed(NOW, out));
            }
        }
        let told = || {
            let words = rig.fakes.log.words();
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
            format!(
                "seed {seed} {self:?} {:?}\n through {}\n directly {}\n ran {:?}\n directly {:?}\n{words:#?}",
                rig.closed,
                shown(&rig.to_client),
                shown(&direct.out),
                rig.target.executed,
                direct.executed,
            )
        };
        if !cancels && self.under.is_unseen() && !self.loses_syncs() {
            // Who leaves without asking for answers may read more of them: the gateway has asked for its own sake. Or fewer,
            // where what it left behind waited here.
            let same = if self.leaves {
                rig.to_client.starts_with(&direct.out)
                    || (self.under != Under::Nothing && direct.out.starts_with(&rig.to_client))
            } else {
                rig.to_client == direct.out
            };
            assert!(same, "other bytes: {}", told());
            assert_eq!(rig.target.executed, direct.executed, "{}", told());
        }
        if rig.target.dead {
            assert!(rig.closed.is_some(), "not closed: {}", told());
        } else {
            assert!(
                rig.closed.is_none() && rig.client.is_empty() && rig.from_client.is_empty(),
                "stuck: {}",
                told()
            );
            let idle = rig.asking.is_none() && rig.looking.is_none();
            assert!(!rig.dialect.is_busy() && idle, "busy: {}", told());
        }
        self.check_log(&rig, &told);
    }

    /// What the record says of each insert is what the target did.
    fn check_log(&self, rig: &Rig, told: &dyn Fn() -> String) {
        let mut open = std::collections::BTreeMap::new();
        let mut wrong = Vec::new();
        rig.fakes.log.with(|events| {
            for event in events {
                let (number, ran) = match event {
                    Event::CommandDecided(e) => {
                        // What is only prepared is not run.
                        let runs = e.command.step == Step::Run;
                        let text = if runs { e.command.text.to_string() } else { String::new() };
                        open.insert(e.number, text);
                        continue;
                    }
                    Event::CommandCompleted(e) => (e.number, e.outcome.code.is_none()),
                    Event::CommandAbandoned(e) => {
                        if !matches!(e.why, AbandonReason::TargetLost | AbandonReason::Skipped) {
                            wrong.push(format!("{:?}", e.why));
                        }
                        (e.number, e.why == AbandonReason::TargetLost)
                    }
                    _ => continue,
                };
                let Some(text) = open.remove(&number) else {
                    wrong.push(format!("a second end of {number:?}"));
                    continue;
                };
                let did = rig.target.executed.contains(&text);
                // Of what was under way when the target went, nothing is said.
                // What was undone has run.
                let true_of = did == ran || (!self.under.is_unseen() && did);
                if text.starts_with("insert") && !true_of && !rig.target.dead {
                    wrong.push(format!("ran: {did}, told: {ran}: {text}"));
                }
            }
        });
        assert!(wrong.is_empty(), "the record is not true: {wrong:?} {}", told());
        assert!(open.is_empty(), "without an end: {open:?} {}", told());
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |n| n.parse().unwrap())
}

#[test]
fn what_follows_a_copy_is_told_as_it_was_in_every_order() {
    on_large_stack(|| {
        let from = number("SEED", 1);
        for seed in from..from + number("SEEDS", 2000) {
            let mut dice = Dice(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1);
            let script = Script {
                simple: dice.roll(4) == 0,
                block: dice.roll(4) == 0,
                old: dice.roll(4) == 0,
                leaves: dice.roll(4) == 0,
                copy: COPIES[dice.roll(8) % COPIES.len() * usize::from(dice.roll(2) == 0)],
                before: (0..dice.roll(3)).map(|_| BEFORE[dice.roll(BEFORE.len())]).collect(),
                parts: (0..=dice.roll(9)).map(|_| ALL[dice.roll(ALL.len())]).collect(),
                under: if dice.roll(2) == 0 { Under::Nothing } else { UNDER[dice.roll(UNDER.len())] },
            };
            if script.old && (script.simple || script.parts.contains(&CopyQuery)) {
                // Known: a COPY of the simple protocol that ends over a stranger, at a target of up to 13.
                continue;
            }
            script.play(seed, false);
            script.play(seed + 1, true);
        }
    });
}

#[test]
fn all_short_scripts_behind_a_copy_are_told_as_they_were() {
    on_large_stack(|| {
        let most = number("LENGTH", 3) as u32;
        for length in 0..=most {
            for n in 0..FEW.len().pow(length) {
                let parts = (0..length).map(|i| FEW[n / FEW.len().pow(i) % FEW.len()]).collect();
                let mut script = Script {
                    simple: false,
                    block: false,
                    old: false,
                    leaves: false,
                    before: Vec::new(),
                    copy: COPIES[0],
                    parts,
                    under: Under::Nothing,
                };
                for copy in COPIES {
                    script.copy = copy;
                    for seed in 1..=number("ORDERS", 3) {
                        script.play(seed, false);
                    }
                }
                script.simple = true;
                script.play(1, false);
            }
        }
    });
}

/// The same behind writes whose end is waited for before anything commits: nothing waits for ever.
#[test]
fn all_short_scripts_around_a_copy_go_on_under_limits() {
    on_large_stack(|| {
        let most = number("LENGTH", 2) as u32;
        let befores: [&[Part]; 5] = [&[], &[Insert], &[Query], &[Insert, Sync], &[Insert, Flush]];
        for length in 0..=most {
            for n in 0..FEW.len().pow(length) {
                let parts: Vec<Part> = (0..length).map(|i| FEW[n / FEW.len().pow(i) % FEW.len()]).collect();
                for (under, before, simple) in UNDER
                    .iter()
                    .flat_map(|u| befores.map(|b| (*u, b)))
                    .flat_map(|(u, b)| [true, false].map(|s| (u, b, s)))
                {
                    let script = Script {
                        simple,
                        block: false,
                        old: false,
                        leaves: false,
                        before: before.to_vec(),
                        copy: COPIES[0],
                        parts: parts.clone(),
                        under,
                    };
                    for seed in 1..=number("ORDERS", 2) {
                        script.play(seed, false);
                    }
                }
            }
        }
    });
}
