//! What the record says, read as a person would: through `firsthand log cat --json` and `firsthand sessions … --json`.
//!
//! The only file of the tests that knows how an entry is printed.

use anyhow::{Context, Result, ensure};
use firsthand_auditlog::entry::kinds::undocumented;
use serde_json::Value;

/// One entry: the leaf's fields, and the opened payload under `payload`.
#[derive(Debug, Clone)]
pub struct Entry(pub Value);

impl Entry {
    /// The rows that its payload holds under this key: their values by column name.
    #[must_use]
    pub fn named_rows(&self, key: &str) -> Vec<Value> {
        let columns = self.payload("columns").as_array().cloned().unwrap_or_default();
        let rows = self.payload(key).as_array().cloned().unwrap_or_default();
        let named = |row: Value| {
            let values = row.as_array().cloned().unwrap_or_default();
            let name = |c: &Value| c.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            columns.iter().zip(values).map(|(c, v)| (name(c), v)).collect()
        };
        rows.into_iter().map(named).collect()
    }

    /// Its kind, such as `command.completed`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.get("k").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its position in the log.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.get("n").and_then(Value::as_u64).unwrap_or(u64::MAX)
    }

    /// Its session, empty for entries of the gateway itself.
    #[must_use]
    pub fn session(&self) -> &str {
        self.0.get("sid").and_then(Value::as_str).unwrap_or_default()
    }

    /// The number of the command in its session.
    #[must_use]
    pub fn command(&self) -> Option<u64> {
        self.0.get("cmd").and_then(Value::as_u64)
    }

    /// A field of the leaf.
    #[must_use]
    pub fn leaf(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    /// A field of the payload.
    #[must_use]
    pub fn payload(&self, name: &str) -> &Value {
        self.0.get("payload").and_then(|p| p.get(name)).unwrap_or(&Value::Null)
    }

    /// The statement's text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.payload("text").as_str().unwrap_or_default()
    }

    /// The SQLSTATE of an outcome, empty where it went well.
    #[must_use]
    pub fn sqlstate(&self) -> &str {
        self.leaf("sqlstate").as_str().unwrap_or_default()
    }

    /// What it says that the list of kinds (and so `docs/record.md`) does not.
    fn undocumented(&self) -> Vec<String> {
        let mut leaf = self.0.clone();
        let payload = leaf.as_object_mut().and_then(|leaf| {
            // Where in the files an entry of a later epoch stands: said by the printer, no part of the entry.
            leaf.remove("epoch");
            leaf.remove("payload")
        });
        // A payload that cannot be opened is told in words.
        undocumented(&leaf, payload.filter(Value::is_object).as_ref(), &mut |_| {})
    }

    /// Whether this entry ends a command.
    #[must_use]
    pub fn is_outcome(&self) -> bool {
        matches!(self.kind(), "command.completed" | "command.abandoned")
    }
}

/// The entries of a log, in order.
#[derive(Debug, Clone, Default)]
pub struct Record(pub Vec<Entry>);

impl Record {
    /// Reads the lines that `firsthand log cat --json` printed. Whatever test reads a record, every entry of it must be as
    /// it is documented.
    pub fn parse(lines: &str) -> Result<Self> {
        let mut entries = Vec::new();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
            let entry = Entry(value);
            let undocumented = entry.undocumented();
            ensure!(undocumented.is_empty(), "not as docs/record.md says: {undocumented:?} in {line}");
            entries.push(entry);
        }
        Ok(Self(entries))
    }

    /// The entries of one kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter(move |entry| entry.kind() == kind)
    }

    /// The texts of all commands, in the order of their intents.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.of_kind("command.decided").map(|entry| entry.text().to_owned()).collect()
    }

    /// The intents whose text contains `part`.
    pub fn intents<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.of_kind("command.decided").filter(move |entry| entry.text().contains(part))
    }

    /// The entry that ended the command of `intent`.
    #[must_use]
    pub fn outcome(&self, intent: &Entry) -> Option<&Entry> {
        self.0.iter().find(|entry| {
            entry.is_outcome() && entry.session() == intent.session() && entry.command() == intent.command()
        })
    }

    /// Intents that have no outcome, and commands that have more than one (invariant 2 of the design: exactly one each).
    #[must_use]
    pub fn unbalanced(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut ends = std::collections::HashMap::<(&str, Option<u64>), u32>::new();
        for entry in self.0.iter().filter(|entry| entry.is_outcome()) {
            *ends.entry((entry.session(), entry.command())).or_default() += 1;
        }
        for intent in self.of_kind("command.decided") {
            let observed = intent.leaf("mode").as_str() == Some("observe");
            let refused = match intent.leaf("verdict").as_str() {
                Some("deny") => !observed,
                Some("hold") => !observed && intent.leaf("approval").is_null(),
                _ => false,
            } || intent.leaf("refused").as_bool() == Some(true);
            let count = ends.remove(&(intent.session(), intent.command())).unwrap_or(0);
            if count != 1 && !(refused && count == 0) {
                wrong.push(format!("{count} outcomes for {}", intent.0));
            }
        }
        wrong.extend(ends.keys().map(|key| format!("an outcome without an intent: {key:?}")));
        wrong
    }

    /// Whether positions are 0, 1, 2, … as the log promises.
    #[must_use]
    pub fn contiguous(&self) -> bool {
        self.0.windows(2).all(|pair| matches!(pair, [a, b] if b.position() == a.position() + 1))
    }
}
