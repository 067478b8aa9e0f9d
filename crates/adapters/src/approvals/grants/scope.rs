//! What a grant is for: read as it was asked, and held against commands. Pure.

use firsthand_model::command::{Command, Effect, Effects};
use firsthand_model::grant::{AccessRequest, GrantOffer};
use firsthand_model::statement::{Facts, Relation};

use crate::identity::visible::is_hidden;

/// The longest reason, in bytes.
pub const REASON_BYTES_MAX: usize = 1024;
/// Tables that one grant names: more are a schema.
pub const TABLES_MAX: usize = 50;
/// Commands that a grant may be counted for; more are as good as any number.
pub const COMMANDS_MAX: u64 = 1_000_000;

/// What may be done under a grant, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// What.
    pub effects: Effects,
    /// Where: `schema.name` or `schema.*`; empty: anywhere.
    pub tables: Vec<String>,
    /// How long, in µs.
    pub lasts_us: u64,
    /// How many commands.
    pub commands: Option<u64>,
    /// Why.
    pub reason: String,
}

impl Scope {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// What is wrong with it, and how it is written, in one sentence.
    pub fn read(asked: &AccessRequest, offer: &GrantOffer) -> Result<Self, String> {
        let lasts_us = duration(&asked.lasts)?;
        if lasts_us > offer.longest_us {
            return Err(format!("access is given for {} at the longest", shown(offer.longest_us)));
        }
        let mut effects = Effects::NONE;
        for word in words(&asked.effects) {
            let effect = Effect::ALL.into_iter().find(|effect| effect.word() == word);
            let effect = effect.ok_or_else(|| format!("`{word}` is no effect: write `read`, `write`, …"))?;
            if !offer.effects.has(effect) {
                return Err(format!("`{word}` is not given here: {} can be asked for", list(offer.effects)));
            }
            effects = effects.and(effect);
        }
        if effects == Effects::NONE {
            return Err(format!("say what is to be done: {}", list(offer.effects)));
        }
        let tables: Vec<String> = words(&asked.tables).map(str::to_owned).collect();
        if tables.len() > TABLES_MAX {
            return Err(format!(
                "at most {TABLES_MAX} tables can be named: write `schema.*` for all of a schema"
            ));
        }
        if let Some(table) = tables.iter().find(|table| !is_table(table)) {
            return Err(format!("`{table}` is no table: write `schema.name`, or `schema.*`"));
        }
        if asked.commands.is_some_and(|n| n == 0 || n > COMMANDS_MAX) {
            return Err(format!("a number of commands is from 1 to {COMMANDS_MAX}"));
        }
        let reason = super::super::answer::plain(&asked.reason);
        if reason.is_empty() {
            return Err("say why it is needed: whoever approves it reads that".to_owned());
        }
        if reason.len() > REASON_BYTES_MAX {
            return Err(format!("the reason has more than {REASON_BYTES_MAX} bytes"));
        }
        Ok(Self { effects, tables, lasts_us, commands: asked.commands, reason })
    }

    /// Whether it covers a command: all that it does, on everything that it touches, as the names are resolved.
    #[must_use]
    pub fn covers(&self, command: &Command) -> bool {
        let shape = &command.shape;
        let effects = shape.facts.as_ref().map_or(shape.effects, |facts| facts.effects);
        effects.iter().all(|effect| self.has(effect)) && self.reaches(shape.facts.as_deref(), effects)
    }

    fn has(&self, effect: Effect) -> bool {
        match effect {
            // They touch no data; rules have the last word on them.
            Effect::Transaction | Effect::Session => true,
            // Who may write locks what is written.
            Effect::Lock => self.effects.has(Effect::Lock) || self.effects.has(Effect::Write),
            other => self.effects.has(other),
        }
    }

    fn reaches(&self, facts: Option<&Facts>, effects: Effects) -> bool {
        if self.tables.is_empty() || effects.touches_nothing() {
            return true;
        }
        // Where the names are not resolved, nobody can tell what they mean.
        let Some(facts) = facts.filter(|facts| facts.opaque.is_none()) else { return false };
        // What is about no relation (a schema, a function, all of a database) is not within those that are named.
        let data = [Effect::Read, Effect::Write, Effect::Execute, Effect::Session, Effect::Transaction];
        let beyond_data = effects.iter().any(|effect| !data.contains(&effect));
        let about_none = facts.reads.is_empty() && facts.writes.is_empty();
        !(beyond_data && about_none)
            && facts.reads.iter().chain(&facts.writes).all(|relation| self.names(relation))
    }

    fn names(&self, relation: &Relation) -> bool {
        let is = |table: &String| match table.split_once('.') {
            Some((schema, "*")) => schema == relation.schema,
            Some((schema, name)) => schema == relation.schema && name == relation.name,
            None => false,
        };
        relation.oid != 0 && self.tables.iter().any(is)
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

/// `read, write`.
#[must_use]
pub fn list(effects: Effects) -> String {
    effects.iter().map(Effect::word).collect::<Vec<_>>().join(", ")
}

fn is_table(table: &str) -> bool {
    let part =
        |name: &str| !name.is_empty() && name.len() < 64 && !name.chars().any(|c| is_hidden(c) || c == '.');
    table.split_once('.').is_some_and(|(schema, name)| part(schema) && part(name) && schema != "*")
}

/// `2h` in µs.
fn duration(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let hint = || format!("`{text}` is no time: write it like `30m`, `2h` or `1d`");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or_else(hint)?;
    let number: u64 = number.parse().map_err(|_| hint())?;
    let unit: u64 = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(hint()),
    };
    let us = number.checked_mul(unit).and_then(|s| s.checked_mul(1_000_000)).filter(|us| *us > 0);
    us.ok_or_else(hint)
}

/// A time as people write it.
#[must_use]
pub fn shown(us: u64) -> String {
    let seconds = us / 1_000_000;
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let whole = units.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{seconds}s"), |(unit, word)| format!("{}{word}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use firsthand_model::statement::Opaque;
    use firsthand_session::fake::command;

    use super::*;

    fn offer() -> GrantOffer {
        GrantOffer {
            approvers: Arc::from("dba"),
            quorum: 1,
            own: false,
            longest_us: 8 * 3_600_000_000,
            answer_us: 3_600_000_000,
            effects: Effects::only(Effect::Read).and(Effect::Write),
        }
    }

    fn asked(lasts: &str, effects: &str, tables: &str, commands: Option<u64>, reason: &str) -> AccessRequest {
        let own = str::to_owned;
        AccessRequest {
            lasts: own(lasts),
            effects: own(effects),
            tables: own(tables),
            commands,
            reason: own(reason),
        }
    }

    #[test]
    fn what_is_asked_is_read_or_told_how_to_write() {
        let read =
            Scope::read(&asked("2h", "read, write", "public.t,b.*", Some(3), " why\n "), &offer()).unwrap();
        assert_eq!((read.lasts_us, read.commands, read.reason.as_str()), (7_200_000_000, Some(3), "why"));
        assert_eq!((list(read.effects).as_str(), read.tables.len()), ("read, write", 2));
        for (what, wrong) in [
            ("at the longest", asked("9h", "read", "", None, "x")),
            ("is no time", asked("2 hours", "read", "", None, "x")),
            ("is no time", asked("0h", "read", "", None, "x")),
            ("is no time", asked("99999999999999999999h", "read", "", None, "x")),
            ("is no effect", asked("1h", "drop", "", None, "x")),
            ("is not given here", asked("1h", "define", "", None, "x")),
            ("say what", asked("1h", " , ", "", None, "x")),
            ("is no table", asked("1h", "read", "orders", None, "x")),
            ("is no table", asked("1h", "read", "*.orders", None, "x")),
            ("number of commands", asked("1h", "read", "", Some(0), "x")),
            ("say why", asked("1h", "read", "", None, " \n")),
            ("say why", asked("1h", "read", "", None, "\u{200b}\u{feff}\u{ad}\u{61c}\u{e0041}")),
            ("is no table", asked("1h", "read", "public.t\u{202e}", None, "x")),
            ("more than", asked("1h", "read", "", None, &"x".repeat(REASON_BYTES_MAX + 1))),
        ] {
            let told = Scope::read(&wrong, &offer()).unwrap_err();
            assert!(told.contains(what), "{wrong:?}: {told}");
        }
    }

    fn relation(schema: &str, name: &str, oid: u32) -> Relation {
        Relation { schema: schema.to_owned(), name: name.to_owned(), oid, ..Relation::default() }
    }

    fn doing(effects: &[Effect], reads: &[&Relation], writes: &[&Relation], opaque: bool) -> Command {
        let own = |list: &[&Relation]| list.iter().copied().cloned().collect();
        let effects = effects.iter().fold(Effects::NONE, |all, effect| all.and(*effect));
        let opaque = opaque.then(|| Opaque { why: "function", what: String::new() });
        let facts = Facts { effects, reads: own(reads), writes: own(writes), opaque, ..Facts::default() };
        let mut command = command("SELECT 1");
        Arc::make_mut(&mut command.shape).facts = Some(Arc::new(facts));
        command
    }

    #[test]
    fn a_grant_covers_what_it_names_and_nothing_else() {
        use Effect::{Define, Execute, Lock, Read, Session, Transaction, Unknown, Write};
        let scope = |effects: &str, tables: &str| {
            let all = Effect::ALL.into_iter().fold(Effects::NONE, Effects::and);
            Scope::read(&asked("1h", effects, tables, None, "x"), &GrantOffer { effects: all, ..offer() })
                .unwrap()
        };
        let (orders, lines, other) = (
            relation("public", "orders", 1),
            relation("billing", "lines", 2),
            relation("public", "people", 3),
        );
        let unresolved = relation("public", "orders", 0);
        let table = [
            ("read", "", doing(&[Read], &[&other], &[], false), true),
            ("read", "", doing(&[Read, Write], &[], &[&other], false), false),
            ("read,write", "", doing(&[Read, Write], &[], &[&other], false), true),
            ("write", "", doing(&[Read], &[&other], &[], false), false),
            ("read", "", doing(&[Read, Unknown], &[], &[], false), false),
            ("read,unknown", "", doing(&[Read, Unknown], &[], &[], true), true),
            ("read", "", doing(&[Execute], &[], &[], false), false),
            ("read", "", doing(&[Define], &[], &[], false), false),
            ("read", "", doing(&[Transaction], &[], &[], false), true),
            ("read", "", doing(&[Session], &[], &[], false), true),
            ("read", "", doing(&[Read, Lock], &[], &[], false), false),
            ("read,write", "", doing(&[Read, Lock], &[], &[], false), true),
            ("read", "public.orders", doing(&[Read], &[&orders], &[], false), true),
            ("read", "public.orders", doing(&[Read], &[&orders, &other], &[], false), false),
            ("read", "public.orders", doing(&[Read], &[&unresolved], &[], false), false),
            ("read", "public.orders", doing(&[Read], &[&orders], &[], true), false),
            ("read", "public.orders", doing(&[Transaction], &[], &[], false), true),
            ("read,write", "billing.*", doing(&[Read, Write], &[], &[&lines], false), true),
            ("read,write", "billing.*", doing(&[Read, Write], &[&orders], &[&lines], false), false),
            ("define", "public.orders", doing(&[Define], &[], &[&orders], false), true),
            // DROP SCHEMA, VACUUM: about no table that is named.
            ("define", "public.orders", doing(&[Define], &[], &[], false), false),
            ("lock", "public.orders", doing(&[Lock], &[], &[], false), false),
            ("lock", "public.orders", doing(&[Lock], &[&orders], &[], false), true),
            // Only its text was read: it may be about any table.
            ("read", "public.orders", command("SELECT 1"), false),
            ("read", "", command("SELECT 1"), true),
        ];
        for (effects, tables, command, covers) in table {
            assert_eq!(
                scope(effects, tables).covers(&command),
                covers,
                "{effects} {tables} {:?}",
                command.shape
            );
        }
    }

    #[test]
    fn times_read_back_what_they_show() {
        for text in ["90s", "30m", "2h", "7d"] {
            assert_eq!(shown(duration(text).unwrap()), text);
        }
    }
}
