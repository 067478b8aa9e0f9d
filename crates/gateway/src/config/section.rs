//! Reads one table of the file against the table of keys: unknown keys, wrong forms and missing ones become problems with
//! their place.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, Key, of_section, protocol_names};
use super::source::Source;
use super::value;

/// Above this distance a key is not a misspelling of another.
const NEAR: usize = 3;

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands.
    pub(super) span: Range<usize>,
}

/// A table of the file.
pub(super) struct Section<'a> {
    source: &'a Source<'a>,
    /// Its name in the table of keys.
    name: &'static str,
    /// Its name for people, such as `target.orders`.
    pub(super) shown: String,
    table: Option<&'a DeTable<'a>>,
    /// Where it stands: for what is missing in it.
    pub(super) span: Range<usize>,
}

impl<'a> Section<'a> {
    /// Opens a table: every key in it must be known.
    pub(super) fn open(
        source: &'a Source<'a>,
        name: &'static str,
        shown: String,
        table: &'a DeTable<'a>,
        span: Range<usize>,
    ) -> Self {
        let known: Vec<_> = of_section(name).into_iter().map(|(name, _)| name).collect();
        for key in table.keys() {
            let word: &str = key.get_ref();
            if !known.contains(&word) {
                let path = join(&shown, word);
                source.problem(&key.span(), &path, "unknown key", nearest(word, &known));
            }
        }
        Self { source, name, shown, table: Some(table), span }
    }

    /// A table that is not there: everything in it has its default.
    pub(super) fn absent(source: &'a Source<'a>, name: &'static str, shown: String) -> Self {
        Self { source, name, shown, table: None, span: 0..0 }
    }

    /// The key's name for people.
    pub(super) fn path(&self, key: &str) -> String {
        join(&self.shown, key)
    }

    /// A problem at this value.
    pub(super) fn bad(
        &self,
        span: &Range<usize>,
        key: &str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.source.problem(span, &self.path(key), what, hint);
    }

    /// A key that must be there and is not; nothing when one is there that was told to be a misspelling of it.
    pub(super) fn missing(&self, key: &str) {
        let known: Vec<_> = of_section(self.name).into_iter().map(|(name, _)| name).collect();
        let written = self.table.into_iter().flat_map(DeTable::keys);
        if written.map(|word| &**word.get_ref()).any(|w| !known.contains(&w) && near(w, &known) == Some(key))
        {
            return;
        }
        let form = self.key(key).map(|k| k.form.words()).unwrap_or_default();
        self.bad(&self.span, key, "is missing", format!("add `{key} = …` ({form})"));
    }

    /// Says what a key came to.
    pub(super) fn came_to(&self, key: &str, at: Option<&Range<usize>>, value: impl Into<String>) {
        self.source.resolved(at, self.path(key), value.into(), None);
    }

    /// The same of a key that is not written, whose default hangs on something else.
    pub(super) fn came_to_because(&self, key: &str, value: impl Into<String>, why: &'static str) {
        self.source.resolved(None, self.path(key), value.into(), Some(why));
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        of_section(self.name).into_iter().find(|(n, _)| *n == name).map(|(_, key)| key)
    }

    fn raw(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.key(key).is_some(), "{} is not in the table of keys", self.path(key));
        self.table.and_then(|t| t.get(key))
    }

    fn wrong_form(&self, key: &str, value: &Spanned<DeValue<'_>>) {
        let form = self.key(key).map(|k| k.form.words()).unwrap_or_default();
        let what = format!("expected {form}, found {}", article(value.get_ref().type_str()));
        self.bad(&value.span(), key, what, format!("write it like `{key} = {}`", self.example(key)));
    }

    fn example(&self, key: &str) -> &'static str {
        match self.key(key).map(|k| k.form) {
            Some(Form::Flag) => "true",
            Some(Form::Count) => "1000",
            Some(Form::Size) => "\"1MiB\"",
            Some(Form::Duration) => "\"30s\"",
            Some(Form::Texts) => "[\"a\", \"b\"]",
            Some(Form::Listen) => "\"127.0.0.1:6432\"",
            Some(Form::Table(_) | Form::Tables(_) | Form::TextOrTable(_)) => "{ … }",
            Some(Form::Choice(words)) => words.first().copied().unwrap_or("\"…\""),
            Some(Form::Text | Form::Path | Form::Protocol) | None => "\"…\"",
        }
    }

    /// A text, as it stands.
    pub(super) fn text(&self, key: &str) -> Option<At<String>> {
        let value = self.raw(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.to_string(), span: value.span() }),
            DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong_form(key, value);
                None
            }
        }
    }

    /// A text that must be there and not be empty.
    pub(super) fn required_text(&self, key: &str) -> Option<At<String>> {
        if self.raw(key).is_none() {
            self.missing(key);
        }
        let text = self.text(key)?;
        if text.value.is_empty() {
            self.bad(&text.span, key, "is empty", format!("write a value, or remove `{key}`"));
            return None;
        }
        Some(text)
    }

    /// One of the key's words; the default's place is `None`.
    pub(super) fn choice(&self, key: &str) -> Option<At<&'static str>> {
        let text = self.text(key)?;
        let words: Vec<&'static str> = match self.key(key).map(|k| k.form) {
            Some(Form::Choice(words)) => words.to_vec(),
            _ => protocol_names().collect(),
        };
        match words.iter().find(|w| **w == text.value) {
            Some(word) => Some(At { value: word, span: text.span }),
            None => {
                let what = format!("`{}` is not one of {}", text.value, quoted(&words));
                self.bad(&text.span, key, what, nearest(&text.value, &words));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        let (value, at) = match self.raw(key) {
            None => (default, None),
            Some(raw) => match raw.get_ref().as_bool() {
                Some(value) => (value, Some(raw.span())),
                None => {
                    self.wrong_form(key, raw);
                    (default, None)
                }
            },
        };
        self.came_to(key, at.as_ref(), value.to_string());
        value
    }

    /// A whole number from 1 to `max`.
    pub(super) fn count(&self, key: &str, default: u64, max: u64) -> u64 {
        let read = self.raw(key).and_then(|raw| {
            let Some(number) = raw.get_ref().as_integer() else {
                self.wrong_form(key, raw);
                return None;
            };
            let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
            let value = value.filter(|v| (1..=max).contains(v));
            if value.is_none() {
                let what = format!("must be a whole number from 1 to {max}");
                self.bad(&raw.span(), key, what, format!("the default is {default}"));
            }
            Some((value?, raw.span()))
        });
        let (value, at) = read.map_or((default, None), |(v, at)| (v, Some(at)));
        self.came_to(key, at.as_ref(), value.to_string());
        value
    }

    /// A size of at most `max` bytes: text with a unit, or a number of bytes.
    pub(super) fn size(&self, key: &str, default: u64, max: u64) -> u64 {
        let read = self.raw(key).and_then(|raw| {
            let text = match raw.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(n) => n.as_str().to_owned(),
                _ => {
                    self.wrong_form(key, raw);
                    return None;
                }
            };
            let value = value::size(&text).and_then(|v| match v <= max {
                true => Ok(v),
                false => Err(format!("`{text}` is more than {}", value::show_size(max))),
            });
            let hint = format!("the default is `{}`", value::show_size(default));
            value.map_err(|what| self.bad(&raw.span(), key, what, hint)).ok().map(|v| (v, raw.span()))
        });
        let (value, at) = read.map_or((default, None), |(v, at)| (v, Some(at)));
        self.came_to(key, at.as_ref(), value::show_size(value));
        value
    }

    /// A duration; without one, `default`.
    pub(super) fn duration(&self, key: &str, default: Option<Duration>) -> Option<Duration> {
        let read = self.text(key).and_then(|text| {
            let hint = "durations are written like `30s`, `10m`, `8h` or `7d`";
            let length = value::duration(&text.value).map_err(|what| self.bad(&text.span, key, what, hint));
            Some((length.ok()?, text.span))
        });
        let at = read.as_ref().map(|(_, at)| at.clone());
        let value = read.map(|(v, _)| v).or(default);
        self.came_to(key, at.as_ref(), value.map_or("none".to_owned(), value::show_duration));
        value
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &str) -> Vec<String> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let items = raw.get_ref().as_array().map(|list| {
            list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        match items.flatten() {
            Some(items) => {
                self.came_to(key, Some(&raw.span()), items.join(", "));
                items
            }
            None => {
                self.wrong_form(key, raw);
                Vec::new()
            }
        }
    }

    /// A path; relative ones start at `base`.
    pub(super) fn path_in(&self, key: &str, base: &std::path::Path) -> Option<At<PathBuf>> {
        let text = self.text(key)?;
        if text.value.is_empty() {
            self.bad(&text.span, key, "is empty", "write a path");
            return None;
        }
        Some(At { value: base.join(&text.value), span: text.span })
    }

    /// A table below this one.
    pub(super) fn table(&self, key: &str, name: &'static str) -> Option<Section<'a>> {
        let raw = self.raw(key)?;
        match raw.get_ref().as_table() {
            Some(table) => Some(Section::open(self.source, name, self.path(key), table, raw.span())),
            None => {
                self.wrong_form(key, raw);
                None
            }
        }
    }

    /// A table below this one; an absent one has only defaults.
    pub(super) fn table_or_defaults(&self, key: &str, name: &'static str) -> Section<'a> {
        self.table(key, name).unwrap_or_else(|| Section::absent(self.source, name, self.path(key)))
    }

    /// The tables of a list (`[[target]]`), each called by its `name` for people, where it has one.
    pub(super) fn tables(&self, key: &str, name: &'static str) -> Vec<Section<'a>> {
        let Some(raw) = self.raw(key) else { return Vec::new() };
        let Some(list) = raw.get_ref().as_array() else {
            let hint = format!("write each as `[[{key}]]`");
            self.bad(&raw.span(), key, "expected a list of tables", hint);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in list {
            match item.get_ref().as_table() {
                Some(table) => {
                    let own = table.get("name").and_then(|name| name.get_ref().as_str());
                    let shown = own.map_or_else(|| self.path(key), |own| join(&self.path(key), own));
                    sections.push(Section::open(self.source, name, shown, table, item.span()));
                }
                None => self.bad(&item.span(), key, "expected a table", format!("write each as `[[{key}]]`")),
            }
        }
        sections
    }

    /// Whether a text stands there (where a table may, too).
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.raw(key).is_some_and(|raw| raw.get_ref().is_str())
    }

    /// Where the key's value stands.
    pub(super) fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.raw(key).map(Spanned::span)
    }

    /// Whether nothing stands in it.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_none_or(|t| t.is_empty())
    }

    /// A warning about a key.
    pub(super) fn warn(&self, at: Option<&Range<usize>>, what: impl Into<String>) {
        self.source.warn(at, what);
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

/// What may have been meant.
fn near<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), k), *k))
        .filter(|(distance, k)| *distance <= NEAR.min(k.len().max(2) - 1))
        .min()
        .map(|(_, near)| near)
}

/// What may have been meant, and what there is.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    match near(word, known) {
        Some(near) => format!("did you mean `{near}`? There are {}", quoted(known)),
        None => format!("there are {}", quoted(known)),
    }
}
