//! Reads one table of a rule file against the table of keys: what is unknown, of the wrong form or missing becomes a problem
//! with its place.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, Key, of_section};
use crate::rule::{Place, Problem, line_and_column};

/// Above this distance a word is not a misspelling of another.
const NEAR: usize = 3;
/// Values in one list: more is a mistake, and every one costs at every decision that is not in the cache.
const LIST_MAX: usize = 10_000;

/// A file that is being read.
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
    pub(crate) problems: RefCell<Vec<Problem>>,
}

impl Source<'_> {
    pub(crate) fn problem(
        &self,
        at: &Range<usize>,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (line, column) = line_and_column(self.text, at);
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            line,
            column,
            key: key.to_owned(),
            what: what.into(),
            hint: hint.into(),
        });
    }

    pub(crate) fn place(&self, at: &Range<usize>) -> Place {
        Place { file: self.file.to_owned(), line: line_and_column(self.text, at).0 }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A table of the file.
pub(crate) struct Table<'a> {
    pub(crate) source: &'a Source<'a>,
    section: &'static str,
    shown: String,
    table: &'a DeTable<'a>,
    pub(crate) span: Range<usize>,
}

impl<'a> Table<'a> {
    /// Opens a table: every key in it must be known.
    pub(crate) fn open(
        source: &'a Source<'a>,
        section: &'static str,
        shown: String,
        table: &'a DeTable<'a>,
        span: Range<usize>,
    ) -> Self {
        let known: Vec<&str> = of_section(section).into_iter().map(|k| k.name).collect();
        let opened = Self { source, section, shown, table, span };
        for key in table.keys() {
            let word: &str = key.get_ref();
            if !known.contains(&word) {
                source.problem(&key.span(), &opened.path(word), "unknown key", nearest(word, &known));
            }
        }
        opened
    }

    fn path(&self, key: &str) -> String {
        if self.shown.is_empty() { key.to_owned() } else { format!("{}.{key}", self.shown) }
    }

    pub(crate) fn place(&self) -> Place {
        self.source.place(&self.span)
    }

    fn form(&self, name: &str) -> Option<&'static Key> {
        of_section(self.section).into_iter().find(|k| k.name == name)
    }

    fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.form(key).is_some(), "{} is not in the table of keys", self.path(key));
        self.table.get(key)
    }

    /// Where a key's value stands, if it is there.
    pub(crate) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.raw(key).map(Spanned::span)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn bad(&self, at: &Range<usize>, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        self.source.problem(at, &self.path(key), what, hint);
    }

    pub(crate) fn missing(&self, key: &str) {
        let form = self.form(key).map(|k| k.form.words()).unwrap_or_default();
        self.bad(&self.span, key, "is missing", format!("add `{key} = …` ({form})"));
    }

    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>) {
        let form = self.form(key).map(|k| k.form.words()).unwrap_or_default();
        let what = format!("expected {form}, found {}", value.get_ref().type_str());
        self.bad(&value.span(), key, what, "docs/policy.md describes every key");
    }

    /// A text.
    pub(crate) fn text(&self, key: &str) -> Option<At<String>> {
        let value = self.raw(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text.to_owned(), span: value.span() }),
            None => {
                self.wrong(key, value);
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(crate) fn required(&self, key: &str) -> Option<At<String>> {
        if !self.has(key) {
            self.missing(key);
        }
        let text = self.text(key)?;
        if text.value.trim().is_empty() {
            self.bad(&text.span, key, "is empty", "write what it says");
            return None;
        }
        Some(text)
    }

    /// A list of texts, or one.
    pub(crate) fn texts(&self, key: &str) -> Vec<At<String>> {
        let Some(value) = self.raw(key) else { return Vec::new() };
        if let Some(text) = value.get_ref().as_str() {
            return vec![At { value: text.to_owned(), span: value.span() }];
        }
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(key, value);
            return Vec::new();
        };
        // A case may say that nothing is masked; a rule that names nothing is a mistake.
        let nothing = list.is_empty() && self.section != "test";
        if nothing || list.len() > LIST_MAX {
            let what = if nothing { "is an empty list: nothing would match" } else { "is too long" };
            self.bad(&value.span(), key, what, format!("leave `{key}` out, or name something"));
        }
        let mut found = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_str() {
                Some(text) => found.push(At { value: text.to_owned(), span: item.span() }),
                None => self.wrong(key, item),
            }
        }
        found
    }

    /// A list of what `read` makes of texts.
    pub(crate) fn read<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let mut found = Vec::new();
        for text in self.texts(key) {
            match read(&text.value) {
                Ok(value) => found.push(value),
                Err(what) => self.bad(&text.span, key, what, "docs/policy.md describes every key"),
            }
        }
        found
    }

    /// Words of a fixed set, by `parse`.
    pub(crate) fn words<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        self.texts(key).into_iter().filter_map(|text| self.word(key, &text, &parse)).collect()
    }

    /// One word of a fixed set.
    pub(crate) fn choice<T>(&self, key: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key)?;
        self.word(key, &text, &parse)
    }

    fn word<T>(&self, key: &str, text: &At<String>, parse: &impl Fn(&str) -> Option<T>) -> Option<T> {
        let words = match self.form(key).map(|k| k.form) {
            Some(Form::Choice(words) | Form::Choices(words)) => words,
            _ => &[],
        };
        let found = words.contains(&text.value.as_str()).then(|| parse(&text.value)).flatten();
        if found.is_none() {
            let what = format!("`{}` is not one of {}", text.value, quoted(words));
            self.bad(&text.span, key, what, nearest(&text.value, words));
        }
        found
    }

    /// `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        let value = self.raw(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, value);
        }
        flag
    }

    /// A whole number.
    pub(crate) fn count(&self, key: &str) -> Option<u64> {
        let value = self.raw(key)?;
        // Cedar's numbers are signed.
        let number =
            value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.and_then(|n| u64::try_from(n).ok());
        if number.is_none() {
            self.wrong(key, value);
        }
        number
    }

    /// A size: text with a unit, or a number of bytes.
    pub(crate) fn size(&self, key: &str) -> Option<u64> {
        if self.raw(key)?.get_ref().as_integer().is_some() {
            return self.count(key);
        }
        const UNITS: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];
        self.measured(key, UNITS)
    }

    /// A duration in milliseconds.
    pub(crate) fn duration(&self, key: &str) -> Option<u64> {
        const UNITS: &[(&str, u64)] =
            &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        self.measured(key, UNITS)
    }

    fn measured(&self, key: &str, units: &[(&str, u64)]) -> Option<u64> {
        let text = self.text(key)?;
        let end = text.value.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.value.len());
        let (number, unit) = text.value.split_at(end);
        let factor = units.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
        let value = factor.and_then(|f| number.parse::<u64>().ok()?.checked_mul(f)).filter(|v| *v > 0);
        if value.is_none() {
            let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
            let what = format!("`{}` is not a number with a unit", text.value);
            self.bad(&text.span, key, what, format!("units are {}", quoted(&names)));
        }
        value
    }

    /// A table within.
    pub(crate) fn table(&self, key: &str) -> Option<Table<'a>> {
        let value = self.raw(key)?;
        let section = match self.form(key).map(|k| k.form) {
            Some(Form::Table(section)) => section,
            _ => return None,
        };
        match value.get_ref().as_table() {
            Some(table) => Some(Table::open(self.source, section, self.path(key), table, value.span())),
            None => {
                self.wrong(key, value);
                None
            }
        }
    }

    /// The tables of a list.
    pub(crate) fn tables(&self, key: &str) -> Vec<Table<'a>> {
        let Some(value) = self.raw(key) else { return Vec::new() };
        let section = match self.form(key).map(|k| k.form) {
            Some(Form::Tables(section)) => section,
            _ => return Vec::new(),
        };
        let Some(list) = value.get_ref().as_array() else {
            let hint = format!("write each as `[[{key}]]`");
            self.bad(&value.span(), key, "expected a list of tables", hint);
            return Vec::new();
        };
        let mut found = Vec::new();
        for item in list.iter() {
            match item.get_ref().as_table() {
                Some(table) => {
                    found.push(Table::open(self.source, section, self.path(key), table, item.span()));
                }
                None => self.bad(&item.span(), key, "expected a table", format!("write each as `[[{key}]]`")),
            }
        }
        found
    }

    /// What may be `true`, `false` or a list of reasons.
    pub(crate) fn flag_or_texts(&self, key: &str) -> Option<Result<bool, Vec<String>>> {
        let value = self.raw(key)?;
        match value.get_ref().as_bool() {
            Some(flag) => Some(Ok(flag)),
            None => Some(Err(self.texts(key).into_iter().map(|t| t.value).collect())),
        }
    }
}

pub(crate) fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// What may have been meant, and what there is.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), k), *k))
        .filter(|(distance, k)| *distance <= NEAR.min(k.len().max(2) - 1))
        .min();
    match near {
        Some((_, near)) => format!("did you mean `{near}`? There are {}", quoted(known)),
        None => format!("there are {}", quoted(known)),
    }
}
