//! What a command would change, shown to whoever is asked to approve it: found out before it runs.

use std::pin::Pin;
use std::sync::Arc;

use crate::json::{Json, Object};
use crate::statement::Facts;

/// A value that a command is given for a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Parameter {
    /// The number of its type, as the client declares it; 0: it does not.
    pub type_number: u32,
    /// In the type's binary format, not as text.
    pub binary: bool,
    /// The value; `None`: NULL.
    pub value: Option<Vec<u8>>,
}

/// What stands behind the names of commands at their target, as it is at the moment of asking.
pub trait Definitions: Send + Sync {
    /// Has the target asked anew. False: that could not be done, or not in time. Bounded in time; cancel-safe.
    fn look(&self) -> Pin<Box<dyn Future<Output = bool> + Send>>;
    /// A digest over the definitions of what a command names: one that is defined otherwise gives another.
    fn digest(&self, facts: &Facts) -> [u8; 32];
}

/// A command as it came, with what decides what it means: what its preview and its approval take besides the command's facts.
/// Holds what the record must not, so it is dropped with the decision.
#[derive(Clone, Default)]
pub struct Original {
    /// The text.
    pub text: Vec<u8>,
    /// What its parameters are given.
    pub parameters: Vec<Parameter>,
    /// Settings in force in its session, besides the role, where they are not those that a new session begins with. `None`: they
    /// cannot be told.
    pub settings: Option<Vec<(String, String)>>,
    /// SHA-256 over what was sent together with it and runs before it; `None`: nothing was.
    pub before: Option<[u8; 32]>,
    /// What stands behind its names; `None`: that is not known here.
    pub definitions: Option<Arc<dyn Definitions>>,
    /// A secret in it is shown to nobody.
    pub hides: bool,
    /// Why it cannot be tried; then its text and parameters are not here.
    pub untried: Option<&'static str>,
    /// Why it would be in vain to ask anybody about it.
    pub vain: Option<Vain>,
}

/// Why a command cannot run, whatever people say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vain {
    /// Its transaction has failed: the target turns it away.
    Failed,
    /// How many rows it affects is not told before it commits: where that is limited, it is turned away.
    Uncounted,
}

impl std::fmt::Debug for Original {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Texts and values hold what must not be seen in a log.
        f.debug_struct("Original")
            .field("bytes", &self.text.len())
            .field("parameters", &self.parameters.len())
            .finish_non_exhaustive()
    }
}

/// How a preview was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The target ran the command and took it back.
    Exact,
    /// The target's planner was asked.
    Estimate,
    /// Not at all.
    None,
}

impl How {
    /// The word that is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Estimate => "estimate",
            Self::None => "none",
        }
    }
}

/// Rows of one table that would change, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// `schema.name`.
    pub table: String,
    /// `insert`, `update` or `delete`.
    pub action: &'static str,
    /// How many.
    pub count: u64,
    /// Not by the command itself: a foreign key's action takes them along.
    pub along: bool,
}

/// Some of the rows that would change, masked as the record of its session masks them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `schema.name`.
    pub table: String,
    /// `insert`, `update`, `delete` or `upsert`.
    pub action: &'static str,
    /// How many are in it.
    pub rows: u64,
    /// What is missing of them, in the record's words.
    pub coverage: Vec<&'static str>,
    /// A JSON list: names, types, which belong to the key, which are masked.
    pub columns: Json,
    /// The rows as they are, or absent.
    pub old: Json,
    /// The rows as they would be, or absent.
    pub new: Json,
}

/// What a command would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// How that was found out.
    pub how: How,
    /// Rows that the command itself would change; `None`: not known.
    pub count: Option<u64>,
    /// What each table's rows would go through, where the target counts that.
    pub changes: Vec<Counted>,
    /// Some of the rows.
    pub sample: Option<Sample>,
    /// Why there is no more than this, in one sentence without values; empty: nothing is missing.
    pub why: String,
}

impl Preview {
    /// Nothing can be shown.
    pub fn none(why: impl Into<String>) -> Self {
        Self { how: How::None, count: None, changes: Vec::new(), sample: None, why: why.into() }
    }

    /// The planner's estimate.
    pub fn estimate(count: u64, why: impl Into<String>) -> Self {
        Self { how: How::Estimate, count: Some(count), ..Self::none(why) }
    }

    /// As it is stored: JSON in the record's restricted form.
    pub fn json(&self) -> Json {
        let mut out = Vec::with_capacity(256);
        let mut o = Object::open(&mut out);
        if !self.changes.is_empty() {
            let list = o.key("changes");
            for (at, one) in self.changes.iter().enumerate() {
                list.push(if at == 0 { b'[' } else { b',' });
                let mut o = Object::open(list);
                o.string("action", one.action);
                if one.along {
                    o.boolean("along", true);
                }
                o.number("count", one.count);
                o.string("table", &one.table);
                o.close();
            }
            list.push(b']');
        }
        if let Some(count) = self.count {
            // A planner's number may be larger than the record's numbers are.
            o.number("count", count.min(JSON_NUMBER_MAX));
        }
        o.string("how", self.how.word());
        if let Some(sample) = &self.sample {
            sample.write(o.key("sample"));
        }
        if !self.why.is_empty() {
            o.string("why", &self.why);
        }
        o.close();
        Json::from_written(out)
    }
}

/// The largest number of restricted JSON.
const JSON_NUMBER_MAX: u64 = (1 << 53) - 1;

impl Sample {
    fn write(&self, out: &mut Vec<u8>) {
        let mut o = Object::open(out);
        o.string("action", self.action);
        o.json("columns", &self.columns);
        if !self.coverage.is_empty() {
            o.strings("coverage", &self.coverage);
        }
        o.json("new", &self.new);
        o.json("old", &self.old);
        o.number("rows", self.rows);
        o.string("table", &self.table);
        o.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_written_with_sorted_keys_and_what_is_known() {
        let text = |preview: &Preview| String::from_utf8(preview.json().as_bytes().to_vec()).unwrap();
        assert_eq!(text(&Preview::none("why")), r#"{"how":"none","why":"why"}"#);
        assert_eq!(
            text(&Preview::estimate(u64::MAX, "w")),
            r#"{"count":9007199254740991,"how":"estimate","why":"w"}"#
        );
        let preview = Preview {
            how: How::Exact,
            count: Some(2),
            changes: vec![
                Counted { table: "s.a".into(), action: "delete", count: 2, along: false },
                Counted { table: "s.b".into(), action: "delete", count: 6, along: true },
            ],
            sample: Some(Sample {
                table: "s.a".into(),
                action: "delete",
                rows: 1,
                coverage: vec!["changed-rows:past-cap"],
                columns: Json::from_written(b"[{\"name\":\"id\"}]".to_vec()),
                old: Json::from_written(b"[[1]]".to_vec()),
                new: Json::default(),
            }),
            why: String::new(),
        };
        assert_eq!(
            text(&preview),
            concat!(
                r#"{"changes":[{"action":"delete","count":2,"table":"s.a"},"#,
                r#"{"action":"delete","along":true,"count":6,"table":"s.b"}],"count":2,"how":"exact","#,
                r#""sample":{"action":"delete","columns":[{"name":"id"}],"coverage":["changed-rows:past-cap"],"#,
                r#""old":[[1]],"rows":1,"table":"s.a"}}"#
            )
        );
    }

    #[test]
    fn what_a_client_sent_is_in_no_debug_line() {
        let parameter = Parameter { type_number: 25, binary: false, value: Some(b"hidden".to_vec()) };
        let original =
            Original { text: b"hidden".to_vec(), parameters: vec![parameter], ..Original::default() };
        assert!(!format!("{original:?}").contains("hidden"));
    }
}
