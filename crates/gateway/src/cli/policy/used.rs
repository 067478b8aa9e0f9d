//! How much was used, from the record: the most of one statement, session and day, of each identity. `policy suggest` proposes
//! limits of it, with room above what was seen.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use firsthand_auditlog::entry::fields::{Fields, WhoFields};
use firsthand_auditlog::names::Names;
use firsthand_model::amount::{Amount, Amounts};
use firsthand_model::identity::IdentityKind;
use firsthand_session::usage::DAY_US;
use serde_json::{Map, Value, json};

use super::history;
use super::suggest::{fitting, text};
use crate::config::value::{show_duration, show_size};
use crate::day::amounts;

/// Times the most that was seen: a limit is for what is out of the ordinary, not for the busiest day so far.
const ROOM: u64 = 2;
/// Sums and sessions that are open at a time while reading: those of the longest ago are closed beyond it, as they are.
const OPEN_MAX: usize = 100_000;
/// A statement's time is never proposed shorter: machines have bad moments.
const TIME_MIN_US: u64 = 10_000_000;
/// Commands in a second that are never proposed fewer, nor sessions at a time: clients open and ask in bursts.
const RATE_MIN: u64 = 10;
const SESSIONS_MIN: u64 = 2;
/// Rows and bytes that are never proposed fewer: below them a limit is in the way of reading a definition, and stops nothing.
const COUNT_MIN: u64 = 100;
const BYTES_MIN: u64 = 1 << 20;
/// Zeros of the largest number that is proposed: what TOML can write.
const NUMBER_ZEROS: u32 = 18;

/// An identity: its name and kind.
pub(super) type Who = (String, &'static str);

/// The most of everything that was seen of one identity.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Most {
    /// By target, of one statement; microseconds last.
    pub(super) statement: BTreeMap<String, (Amounts, u64)>,
    pub(super) session: Amounts,
    pub(super) day: Amounts,
    /// Sessions at a time.
    pub(super) sessions: u64,
    /// Commands in one second.
    pub(super) commands: u64,
}

/// What has been read so far.
#[derive(Default)]
pub(super) struct Used {
    most: BTreeMap<Who, Most>,
    sessions: HashMap<String, Amounts>,
    days: HashMap<(Who, u64), Amounts>,
    /// The second that was asked in last, and how often.
    second: HashMap<Who, (u64, u64)>,
    open: HashMap<String, Who>,
    /// How many are open of each.
    at_once: HashMap<Who, u64>,
}

impl Used {
    /// Takes an entry into account; what is about no identity is passed over.
    pub(super) fn take(&mut self, fields: &Fields<'_>, names: &Names) {
        match &*fields.k {
            "command.completed" => {
                if let Some(who) = &fields.who {
                    self.command(fields, &identity(who, names), &who.target);
                }
            }
            "session.opened" => {
                if let Some(who) = &fields.who {
                    self.opened(&fields.sid, identity(who, names));
                }
            }
            "session.closed" => self.closed(&fields.sid),
            // What a crash has left open is over.
            "log.started" => {
                self.open.clear();
                self.at_once.clear();
            }
            _ => {}
        }
    }

    /// The most of each identity that asked for anything.
    pub(super) fn all(self) -> BTreeMap<Who, Most> {
        self.most.into_iter().filter(|(_, most)| !most.statement.is_empty()).collect()
    }

    fn command(&mut self, fields: &Fields<'_>, who: &Who, target: &str) {
        let used = amounts(fields);
        let (at, taken) = (fields.micros(), fields.us.unwrap_or(0));
        if self.sessions.len() >= OPEN_MAX || self.days.len() >= OPEN_MAX || self.second.len() >= OPEN_MAX {
            self.sessions.clear();
            self.days.clear();
            self.second.clear();
        }
        let most = self.most.entry(who.clone()).or_default();
        let (statement, us) = most.statement.entry(target.to_owned()).or_default();
        raise(statement, &used);
        *us = taken.max(*us);
        raise(&mut most.session, add(self.sessions.entry(fields.sid.to_string()).or_default(), &used));
        raise(&mut most.day, add(self.days.entry((who.clone(), at / DAY_US)).or_default(), &used));
        let (second, count) = self.second.entry(who.clone()).or_default();
        // When it was asked, not when it ended: many that end together were not asked together.
        let asked = at.saturating_sub(taken) / 1_000_000;
        *count = if *second == asked { *count + 1 } else { 1 };
        *second = asked;
        most.commands = most.commands.max(*count);
    }

    fn opened(&mut self, session: &str, who: Who) {
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
            self.at_once.clear();
        }
        let count = self.at_once.entry(who.clone()).or_default();
        *count += 1;
        let most = self.most.entry(who.clone()).or_default();
        most.sessions = most.sessions.max(*count);
        self.open.insert(session.to_owned(), who);
    }

    fn closed(&mut self, session: &str) {
        self.sessions.remove(session);
        if let Some(count) = self.open.remove(session).and_then(|who| self.at_once.get_mut(&who)) {
            *count = count.saturating_sub(1);
        }
    }
}

fn identity(who: &WhoFields<'_>, names: &Names) -> Who {
    let identity = history::identity(who, names);
    let (name, kind) = identity
        .actor()
        .map_or((identity.login.as_str(), IdentityKind::Agent), |l| (l.name.as_str(), l.kind));
    (name.to_owned(), kind.word())
}

fn raise(most: &mut Amounts, seen: &Amounts) {
    for amount in Amount::ALL {
        *most.of_mut(amount) = (*most.of(amount)).max(*seen.of(amount));
    }
}

fn add<'a>(sum: &'a mut Amounts, used: &Amounts) -> &'a Amounts {
    for amount in Amount::ALL {
        *sum.of_mut(amount) = sum.of(amount).saturating_add(*used.of(amount));
    }
    sum
}

/// Limits that leave room above it, as they stand in a file of rules: one of statements and sessions for each target, and one of what is the
/// identity's on all of them together. Of what `countable` does not say that its changes can be counted, rows affected are not limited: such a
/// limit would refuse it.
pub(super) fn limits(who: &Who, most: &Most, countable: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut all = Vec::new();
    for (target, (used, us)) in &most.statement {
        let mut limit = head(who, target);
        limit.push_str(&format!("targets = [{}]\n", text(target)));
        let counted = countable(target);
        limit.push_str(&sums(used, counted, "\n"));
        limit.push_str(&format!("time = \"{}\"\n", show_duration(Duration::from_secs(seconds(*us)))));
        if !counted {
            limit.push_str(
                "# `affected` is left out: not everything that changed something here can be counted.\n",
            );
        }
        all.push(limit.trim_end().to_owned());
    }
    let countable = most.statement.keys().all(|target| countable(target));
    let mut limit = head(who, "all");
    for (span, used) in [("session", &most.session), ("day", &most.day)] {
        let sums = sums(used, countable, ", ");
        if !sums.is_empty() {
            limit.push_str(&format!("{span} = {{ {} }}\n", sums.trim_end_matches(", ")));
        }
    }
    limit.push_str(&format!("sessions = {}\n", round(most.sessions * ROOM).max(SESSIONS_MIN)));
    limit.push_str(&format!("commands_per_second = {}", round(most.commands * ROOM).max(RATE_MIN)));
    all.push(limit);
    all
}

/// The same for programs: what was seen, without room.
pub(super) fn seen((name, kind): &Who, most: &Most) -> Value {
    let of = |used: &Amounts| -> Map<String, Value> {
        Amount::ALL.iter().map(|amount| (amount.word().to_owned(), json!(used.of(*amount)))).collect()
    };
    let statements = most.statement.iter().map(|(target, (used, us))| {
        let mut one = of(used);
        one.insert("us".to_owned(), json!(us));
        (target.clone(), Value::Object(one))
    });
    json!({ "identity": name, "kind": kind, "most": {
        "statement": statements.collect::<Map<_, _>>(), "session": of(&most.session), "day": of(&most.day),
        "sessions": most.sessions, "commands_per_second": most.commands } })
}

fn head((name, kind): &Who, of: &str) -> String {
    format!(
        "\n[[limit]]\nname = {}\nbecause = \"Well above the most that was seen.\"\nkinds = [\"{kind}\"]\nidentities = [{}]\n",
        text(&fitting(&format!("{name}-{of}-limit"))),
        text(name),
    )
}

fn sums(used: &Amounts, affected: bool, between: &str) -> String {
    let mut out = String::new();
    for amount in Amount::ALL {
        let most = used.of(amount).saturating_mul(ROOM);
        if most == 0 || (amount == Amount::Affected && !affected) {
            continue;
        }
        let value = match amount {
            Amount::Bytes => format!("\"{}\"", show_size(most.max(BYTES_MIN).next_power_of_two())),
            Amount::Rows | Amount::Cells | Amount::Affected => round(most).max(COUNT_MIN).to_string(),
        };
        out.push_str(&format!("{} = {value}{between}", amount.word()));
    }
    out
}

/// Whole seconds for statements that took so many microseconds at most.
fn seconds(us: u64) -> u64 {
    round(us.saturating_mul(ROOM).max(TIME_MIN_US).div_ceil(1_000_000))
}

/// The next number that a person would write: 1, 2 or 5 and zeros.
fn round(number: u64) -> u64 {
    let steps = (0..=NUMBER_ZEROS).flat_map(|zeros| [1, 2, 5].map(|digit| digit * 10u64.pow(zeros)));
    steps.into_iter().find(|round| *round >= number).unwrap_or(5 * 10u64.pow(NUMBER_ZEROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, session: &str, second: u64, more: &str) -> String {
        format!(
            r#"{{"v":1,"k":"{kind}","n":1,"t":"2026-11-23T02:00:{second:02}.000000Z","sid":"{session}",
                "who":{{"agent":"a1","chain":[{{"id":"a1","kind":"agent","trust":"verified"}}],"db":"d","role":"r","target":"shop"}}{more}}}"#
        )
    }

    #[test]
    fn the_most_of_each_span_is_told_and_a_crash_closes_sessions() {
        let completed = |session: &str, second, rows| {
            entry(
                "command.completed",
                session,
                second,
                &format!(r#","tag":"SELECT","rows":{rows},"bytes":9,"us":20"#),
            )
        };
        let entries = [
            entry("session.opened", "s1", 1, ""),
            completed("s1", 2, 10),
            entry("log.started", "", 3, ""),
            entry("session.opened", "s2", 4, ""),
            completed("s2", 5, 30),
            completed("s2", 5, 40),
            entry("session.closed", "s2", 6, ""),
        ];
        let mut used = Used::default();
        for entry in &entries {
            used.take(&Fields::read(entry.as_bytes()).unwrap(), &Names::default());
        }
        let all = used.all();
        let most = &all[&("a1".to_owned(), "agent")];
        assert_eq!((most.statement["shop"].0.rows, most.session.rows, most.day.rows), (40, 70, 80));
        assert_eq!((most.sessions, most.commands), (1, 2));
        let limits = limits(&("a1".to_owned(), "agent"), most, &|_| true).join("\n");
        for line in [
            "rows = 100\n",
            "session = { rows = 200, ",
            "day = { rows = 200, ",
            "time = \"10s\"",
            "sessions = 2\n",
        ] {
            assert!(limits.contains(line), "{line} in {limits}");
        }
    }

    #[test]
    fn proposed_numbers_are_never_below_and_always_read_back() {
        for (number, rounded) in
            [(0, 1), (1, 1), (3, 5), (5, 5), (6, 10), (501, 1000), (u64::MAX, 5_000_000_000_000_000_000)]
        {
            assert_eq!(round(number), rounded, "{number}");
        }
        let much = Amounts { rows: u64::MAX / 2, bytes: 1 << 40, cells: 1, affected: 7 };
        let statement = BTreeMap::from([("shop".to_owned(), (much, 90_000_000))]);
        let most = Most { statement, session: much, day: much, sessions: 3, commands: 80 };
        let proposed = limits(&("bot \"x\"".to_owned(), "agent"), &most, &|_| false).join("\n");
        assert!(!proposed.contains("affected ="), "{proposed}");
        let file = firsthand_policy::compiled::RuleFile { name: "it".into(), text: proposed.clone() };
        assert!(crate::rules::compile(&[file], HashMap::new()).is_ok(), "{proposed}");
    }
}
