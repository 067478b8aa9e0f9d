//! What a value is: validators, checksums, whole-cell anchoring, priors of column names.
//!
//! A cell is looked at as a whole first: a number counts only if the whole cell is that number. What has unmistakable
//! form (an e-mail address, a token of a provider, a URL with a password) is found anywhere. In texts and JSON values,
//! numbers are looked for too, between words. A weak check (one number in ten passes) is believed only with the usual
//! separators, or when the column, the key or the words before say what it is.
//!
//! Everything here is pure, and allocates nothing as long as nothing is found in a short value.

mod address;
mod array;
mod births;
mod cell;
mod checks;
mod class;
mod columns;
mod devices;
mod email;
mod fold;
mod hex;
mod ids;
mod json;
pub mod label;
mod money;
mod net;
mod numbered;
mod people;
mod person;
mod phone;
mod prefixes;
pub mod propose;
mod remembered;
mod secrets;
mod shape;
mod spoken;
mod streets;
mod text;
mod told;
mod values;
mod wallet;
mod words;

use std::collections::BTreeSet;
use std::ops::Range;

pub use columns::{Kinds, Topic};
pub use values::{LabelMasks, ScannedValues};

use class::Class;
use fold::Folded;
use ids::Ids;
use person::Names;
use secrets::Secrets;

/// One thing found in a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Bytes of the value.
    pub range: Range<usize>,
    /// What it is: see [`label`].
    pub label: &'static str,
    /// How sure that is, from 0 to 1.
    pub score: f32,
}

/// What the type of a column says of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TypeHint {
    /// Nothing is known, or a text.
    #[default]
    Text,
    /// json, jsonb.
    Json,
    /// A whole number: believed to be something only with a strong check, or by its column.
    Integer,
    /// A number with a fraction: a place on earth by its column, or nothing.
    Decimal,
    /// A day or a time: a date of birth by its column, or nothing.
    Date,
    /// inet, cidr, macaddr.
    Network,
    /// A UUID: a secret by its column, or nothing.
    Uuid,
    /// A truth value, an interval, an enumeration of types that hold nothing.
    Nothing,
}

impl TypeHint {
    /// Of a type's name, as PostgreSQL and the SQL standard write it.
    pub fn of_type(name: &str) -> Self {
        let name = name.trim().to_ascii_lowercase();
        let base = name.split(['(', '[', ' ']).next().unwrap_or_default();
        match base {
            "json" | "jsonb" => Self::Json,
            "int2" | "int4" | "int8" | "smallint" | "integer" | "int" | "bigint" | "serial" | "bigserial"
            | "oid" => Self::Integer,
            "numeric" | "decimal" | "number" => Self::Decimal,
            "float4" | "float8" | "real" | "double" | "float" | "point" => Self::Decimal,
            "date" | "timestamp" | "timestamptz" | "datetime" => Self::Date,
            "inet" | "cidr" | "macaddr" | "macaddr8" => Self::Network,
            "uuid" => Self::Uuid,
            "bool" | "boolean" | "interval" | "time" | "timetz" | "money" | "bit" | "varbit" | "tsvector"
            | "xid" => Self::Nothing,
            _ => Self::Text,
        }
    }
}

/// All labels that detection can give, in order of their names.
pub fn labels() -> BTreeSet<&'static str> {
    let tokens = prefixes::PREFIXES.iter().map(|p| p.label);
    label::HERE.into_iter().chain(Ids::labels()).chain(tokens).collect()
}

/// Finds what values are. Built once, shared by all sessions.
pub struct Detector {
    ids: Ids,
    names: Names,
    secrets: Secrets,
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").finish_non_exhaustive()
    }
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Builds its tables.
    pub fn new() -> Self {
        Self { ids: Ids::new(), names: Names::new(), secrets: Secrets::new() }
    }

    /// Adds what is found in a value: in order, without overlaps, on borders of characters.
    pub fn scan(&self, value: &str, column: &str, hint: TypeHint, hits: &mut Vec<Hit>) {
        let topic = if column.is_empty() { Topic::Unknown } else { remembered::topic(column) };
        self.scan_topic(value, topic, hint, hits);
    }

    /// The same, with the topic of the column already known.
    pub fn scan_topic(&self, value: &str, topic: Topic, hint: TypeHint, hits: &mut Vec<Hit>) {
        if value.is_empty() || hint == TypeHint::Nothing {
            return;
        }
        // Padding is nothing to look at: a column of type char(n) is full of it.
        let value = value.trim_ascii_end();
        if value.is_empty() {
            return;
        }
        let topic = if hint == TypeHint::Network && topic == Topic::Unknown { Topic::Ip } else { topic };
        let class = Class::of(value);
        let first = hits.len();
        if class.foreign() {
            let folded = Folded::of(value);
            self.look(folded.text(), Class::of(folded.text()), topic, hint, hits);
            for hit in hits.iter_mut().skip(first) {
                hit.range = folded.original(hit.range.clone());
            }
        } else {
            self.look(value, class, topic, hint, hits);
        }
        settle(hits, first);
    }

    fn look(&self, value: &str, class: Class, topic: Topic, hint: TypeHint, hits: &mut Vec<Hit>) {
        if let Some(text) = hex::text(value) {
            let first = hits.len();
            self.cell(&text, Class::of(&text), topic, TypeHint::Text, hits);
            for hit in hits.iter_mut().skip(first) {
                hit.range = hex::place(&hit.range, value.len());
            }
            return;
        }
        self.bytes_within(value, class, topic, hits);
        if class.json()
            && matches!(hint, TypeHint::Text | TypeHint::Json)
            && (json::walk(self, value, topic, hits)
                || !topic.is_open() && array::walk(self, value, topic, hits))
        {
            return;
        }
        self.cell(value, class, topic, hint, hits);
    }
}

/// Fewer signs are no text in hexadecimal that holds anything.
const BYTES_MIN: usize = 16;

impl Detector {
    /// Bytes that a text holds as PostgreSQL writes them: in messages, arrays and rows.
    fn bytes_within(&self, value: &str, class: Class, topic: Topic, hits: &mut Vec<Hit>) {
        if class.len < BYTES_MIN || !class.signs() || !value.contains("\\x") {
            return;
        }
        let mut from = 0;
        while let Some(run) = hex::next(value, from) {
            from = run.end;
            let Some(text) = value.get(run.clone()).and_then(hex::text) else { continue };
            let first = hits.len();
            self.cell(&text, Class::of(&text), topic, TypeHint::Text, hits);
            for hit in hits.iter_mut().skip(first) {
                let place = hex::place(&hit.range, run.len());
                hit.range = run.start + place.start..run.start + place.end;
            }
        }
    }
}

/// Orders what was found. What overlaps becomes one: all of it is covered, under the label that is surer.
fn settle(hits: &mut Vec<Hit>, first: usize) {
    if hits.len() - first < 2 {
        return;
    }
    let mut found = hits.split_off(first);
    found.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    for hit in found {
        match hits.get_mut(first..).and_then(<[Hit]>::last_mut) {
            Some(last) if hit.range.start < last.range.end => {
                last.range.end = last.range.end.max(hit.range.end);
                if hit.score > last.score {
                    (last.label, last.score) = (hit.label, hit.score);
                }
            }
            _ => hits.push(hit),
        }
    }
}

#[cfg(test)]
mod tests;
