//! Values that only a look finds: texts, documents, arrays and records of them, bytes that are text.

use std::sync::Arc;

use firsthand_model::masking::MaskDuty;
use firsthand_session::port::{Found, Values};
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{
    Leaf, Mask, Part, Typed, array_binary, array_text, record_binary, record_text, walk_json,
};

use super::day::Day;
use super::digits::Digits;
use super::network::Network;
use super::pairs::{self, Pair};
use super::{Keyed, Tools, style};
use crate::postgres::columns::Column;

/// How deep arrays and records in binary are looked into.
const DEPTH_MAX: u8 = 32;

/// How a column's values are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Look {
    /// As text, which must not grow past so many code points.
    Text(Option<usize>),
    /// Leaf by leaf; in binary behind a version byte.
    Json { versioned: bool },
    /// Element by element.
    Array { elements: Elements, format: Format },
    /// Field by field.
    Record(Format),
    /// As text, if it is.
    Bytes(Format),
    /// As a number, if it is long.
    Number(Digits),
    /// As a number of a column whose name says what it holds: in text, whatever its length.
    Named(Digits),
    /// As an address of a network.
    Network(Network),
    /// As a day, of a column whose name says that it is somebody's.
    Day(Day),
    /// Value by value: an `hstore`.
    Pairs,
    /// By what each value looks like.
    Guess,
    /// For text anywhere in a form that is not known.
    Opaque,
}

/// The names under which the values of a column are looked through.
#[derive(Clone, Debug, Default)]
pub(in crate::postgres) struct Named {
    first: Arc<str>,
    /// Where nothing is found under the first.
    more: Box<[Arc<str>]>,
    /// They are those of the columns that the values come from, not what the client calls them.
    of_sources: bool,
}

impl Named {
    /// As policy has them of a column among so many.
    pub(super) fn of(duty: &MaskDuty, column: usize, count: usize) -> Option<Self> {
        let names = duty.names.get(column).filter(|_| duty.names.len() == count)?.as_deref()?;
        let (first, more) = names.split_first()?;
        Some(Self { first: Arc::clone(first), more: more.into(), of_sources: true })
    }

    /// Whether one of them alone says what the values are.
    pub(super) fn tells(&self, values: &dyn Values) -> bool {
        values.tells(&self.first) || self.more.iter().any(|name| values.tells(name))
    }
}

impl<T: Into<Arc<str>>> From<T> for Named {
    fn from(name: T) -> Self {
        Self { first: name.into(), more: Box::default(), of_sources: false }
    }
}

/// What stands in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Elements {
    Text,
    Json,
    Bytes,
    Record,
    Number,
    Network(Network),
    Day(Day),
    /// By what each looks like.
    Guess,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing found: the value passes, and nothing was written.
    Nothing,
    /// Something was: the masked value was written.
    Masked,
    /// It becomes NULL.
    Null,
}

impl Look {
    /// How the values of a column are looked through; `None`: its type holds no text.
    pub(super) fn of(column: &Column) -> Option<Self> {
        Self::at(column.type_oid, column.format, column.modifier)
    }

    /// The same for a column whose name says that its values are somebody's: then days are looked at, too.
    pub(super) fn of_somebody(column: &Column) -> Option<Self> {
        Self::of(column)
            .or_else(|| Day::of(column.type_oid, column.format).map(Self::Day))
            .or_else(|| Day::array(column.type_oid, column.format))
    }

    /// How text whose type is not told is looked through: by what it looks like.
    pub(super) fn guess(text: &[u8]) -> Self {
        match text {
            [b'\\', b'x', ..] => Self::Bytes(Format::Text),
            [b'[', ..] => Self::Json { versioned: false },
            [b'{', ..] if text.contains(&b':') || text == b"{}" => Self::Json { versioned: false },
            [b'{', ..] => Self::Array { elements: Elements::Guess, format: Format::Text },
            [b'(', ..] => Self::Record(Format::Text),
            [b'"', ..] if text.windows(3).any(|at| at == b"\"=>") => Self::Pairs,
            _ => Self::Text(None),
        }
    }

    /// Whether something may be found in a value at all.
    pub(super) fn may_find(&self, value: &[u8]) -> bool {
        match self {
            Self::Number(digits) => digits.is_long(value),
            _ => true,
        }
    }

    fn at(oid: u32, format: Format, modifier: i32) -> Option<Self> {
        let limit = usize::try_from(modifier.saturating_sub(4)).ok().filter(|n| *n > 0);
        let elements = |elements| Some(Self::Array { elements, format });
        match (oid, format) {
            (25 | 142 | 705 | 1790 | 2275, _) => Some(Self::Text(None)),
            (19, _) => Some(Self::Text(Some(63))),
            (1042 | 1043, _) => Some(Self::Text(limit)),
            (114, _) | (3802, Format::Text) => Some(Self::Json { versioned: false }),
            (3802, Format::Binary) => Some(Self::Json { versioned: true }),
            (17, _) => Some(Self::Bytes(format)),
            (1003 | 1009 | 1014 | 1015 | 1263 | 143 | 2201, _) => elements(Elements::Text),
            (199 | 3807, _) => elements(Elements::Json),
            (1001, _) => elements(Elements::Bytes),
            (2287, _) => elements(Elements::Record),
            (1016 | 1231, _) => elements(Elements::Number),
            (20 | 1700, _) => Digits::of(oid, format).map(Self::Number),
            (650 | 774 | 829 | 869, _) => Network::of(oid, format).map(Self::Network),
            (651 | 775 | 1040 | 1041, _) => Network::element(oid).map(Elements::Network).and_then(elements),
            (2249, _) => Some(Self::Record(format)),
            // tsvector, tsquery, jsonpath, and arrays of them: words of a text.
            (3614 | 3615 | 4072 | 3643 | 3645 | 4073, Format::Text) => Some(Self::Text(None)),
            (3614 | 3615 | 4072 | 3643 | 3645 | 4073, Format::Binary) => Some(Self::Opaque),
            // Built-in types that hold no text.
            (1..=9999, _) => None,
            // Types of extensions and users.
            (_, Format::Text) => Some(Self::Guess),
            (_, Format::Binary) => Some(Self::Opaque),
        }
    }
}

impl Tools {
    /// Looks a value through. What is found is masked, and remembered by column.
    pub(super) fn look(
        &mut self,
        look: &Look,
        index: usize,
        column: &str,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Seen {
        self.look_under(look, index, (column, &[], false), value, out)
    }

    /// The same for a column whose names are known.
    pub(super) fn look_named(
        &mut self,
        look: &Look,
        index: usize,
        names: &Named,
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Seen {
        self.look_under(look, index, (&names.first, &names.more, names.of_sources), value, out)
    }

    fn look_under(
        &mut self,
        look: &Look,
        index: usize,
        (column, more, of_sources): (&str, &[Arc<str>], bool),
        value: &[u8],
        out: &mut Vec<u8>,
    ) -> Seen {
        let start = out.len();
        let mut finder = Finder { tools: self, index, column, more, of_sources, hits: 0, depth: 0 };
        let kept = finder.value(*look, value, out);
        if finder.hits == 0 {
            out.truncate(start);
            return Seen::Nothing;
        }
        self.found_in(index);
        if kept {
            return Seen::Masked;
        }
        out.truncate(start);
        Seen::Null
    }
}

struct Finder<'a> {
    tools: &'a mut Tools,
    index: usize,
    column: &'a str,
    /// Further names of the column.
    more: &'a [Arc<str>],
    of_sources: bool,
    hits: usize,
    depth: u8,
}

impl Finder<'_> {
    /// Writes the value with what was found masked. False: NULL.
    fn value(&mut self, look: Look, value: &[u8], out: &mut Vec<u8>) -> bool {
        if self.depth > DEPTH_MAX {
            return self.withhold();
        }
        self.depth += 1;
        let done = match look {
            Look::Text(limit) => self.text(value, limit, out),
            Look::Json { versioned } => self.json(versioned, value, out),
            Look::Array { elements, format } => self.array(elements, format, value, out),
            Look::Record(format) => self.record(format, value, out),
            Look::Bytes(format) => self.bytes(format, value, out),
            Look::Number(digits) => self.number(digits, value, out),
            Look::Named(digits) => self.named(digits, value, out),
            Look::Network(network) => self.network(network, value, out),
            Look::Day(day) => self.day(day, value, out),
            Look::Pairs => match pairs::read(Format::Text, value) {
                Some(all) => self.pairs(Format::Text, all, value, out),
                None => self.text(value, None, out),
            },
            Look::Guess => self.value(Look::guess(value), value, out),
            Look::Opaque => self.opaque(value, out),
        };
        self.depth -= 1;
        done
    }

    /// What cannot be looked into does not pass.
    fn withhold(&mut self) -> bool {
        self.hits += 1;
        self.tools.saw(self.index, &Arc::from("unreadable"));
        false
    }

    /// What is found in a text: how many.
    fn scan(&mut self, text: &str, column: &str) -> usize {
        let Tools { values, found, .. } = self.tools;
        found.clear();
        values.scan(text, column, found);
        // Without a first name there are several kinds of values, and the others are for those that no key tells.
        if found.is_empty() && !self.more.is_empty() && column == self.column && !column.is_empty() {
            for name in self.more {
                if found.is_empty() {
                    values.scan(text, name, found);
                }
            }
        }
        self.found()
    }

    /// What is found in a whole number: how many.
    fn scan_number(&mut self, digits: &str) -> usize {
        let Tools { values, found, .. } = self.tools;
        found.clear();
        values.scan_number(digits, self.column, found);
        for name in self.more {
            if found.is_empty() {
                values.scan_number(digits, name, found);
            }
        }
        self.found()
    }

    /// Counts what was found, and remembers by which rule it is masked.
    fn found(&mut self) -> usize {
        let count = self.tools.found.len();
        if count > 0 {
            self.hits += count;
            if let Some(rule) = self.tools.found.first().map(|f| Arc::clone(&f.mask.rule)) {
                self.tools.saw(self.index, &rule);
            }
        }
        count
    }

    fn number(&mut self, digits: Digits, value: &[u8], out: &mut Vec<u8>) -> bool {
        if digits.is_long(value)
            && let Some(text) = digits.read(value)
            && self.scan_number(&text) > 0
        {
            return self.as_number(digits, value, out);
        }
        out.extend_from_slice(value);
        true
    }

    /// Whether bytes of no known type would be somebody's number, were they one.
    fn is_number(&mut self, value: &[u8]) -> bool {
        // A text of eight letters is a number of nineteen digits.
        let is_text = value.iter().all(|b| *b >= b' ');
        let fits = |d: &Digits| !is_text && d.is_whole(value) && d.is_long(value);
        let mut found = |d: Digits| d.read(value).is_some_and(|text| self.scan_number(&text) > 0);
        Digits::in_binary().into_iter().filter(fits).any(&mut found)
    }

    /// Whether bytes of no known type are an array or a record, which tell the types of their parts, and something is found
    /// in one of them.
    fn holds_numbers(&mut self, value: &[u8]) -> bool {
        // A count of dimensions or fields comes first. What is tried both ways is not tried again within.
        if self.depth > 2 || !matches!(value, [0, 0, _, _, _, _, _, _, _, _, _, _, ..]) {
            return false;
        }
        let (before, mut aside) = (self.hits, Vec::new());
        let array = array_binary(value, &mut aside, &mut |oid, v, out| self.typed(oid, v, out)).is_some();
        if array && self.hits > before {
            return true;
        }
        self.hits = before;
        aside.clear();
        let record = record_binary(value, &mut aside, &mut |oid, v, out| self.typed(oid, v, out)).is_some();
        if record && self.hits > before {
            return true;
        }
        self.hits = before;
        false
    }

    fn network(&mut self, network: Network, value: &[u8], out: &mut Vec<u8>) -> bool {
        let (column, mut room) = (self.column, std::mem::take(&mut self.tools.text));
        let found = network.read(value, &mut room).is_some_and(|text| self.scan(text, column) > 0);
        self.tools.text = room;
        if found {
            let mask = self.tools.found.first().map(|found| network.mask(found));
            return mask.is_some_and(|mask| mask.mask(value, &Keyed(&*self.tools.values), out));
        }
        out.extend_from_slice(value);
        true
    }

    fn day(&mut self, day: Day, value: &[u8], out: &mut Vec<u8>) -> bool {
        let (column, mut room) = (self.column, std::mem::take(&mut self.tools.text));
        let found = day.read(value, &mut room).is_some_and(|text| self.scan(text, column) > 0);
        self.tools.text = room;
        if found {
            let mask = self.tools.found.first().map(|found| day.mask(found));
            return mask.is_some_and(|mask| mask.mask(value, &Keyed(&*self.tools.values), out));
        }
        out.extend_from_slice(value);
        true
    }

    fn named(&mut self, digits: Digits, value: &[u8], out: &mut Vec<u8>) -> bool {
        let column = self.column;
        if str::from_utf8(value).is_ok_and(|text| self.scan(text, column) > 0) {
            return self.as_number(digits, value, out);
        }
        out.extend_from_slice(value);
        true
    }

    /// Masks a number by what was found last.
    fn as_number(&self, digits: Digits, value: &[u8], out: &mut Vec<u8>) -> bool {
        let mask = self.tools.found.first().map(|found| digits.mask(found));
        mask.is_some_and(|mask| mask.mask(value, &Keyed(&*self.tools.values), out))
    }

    fn text(&mut self, value: &[u8], limit: Option<usize>, out: &mut Vec<u8>) -> bool {
        // A document that was cast: its keys are its own, and not what the column's name is for.
        let document = self.of_sources && matches!(value, [b'{' | b'[', ..]) && limit.is_none();
        (document && self.document(false, value, out)) || self.plain(value, limit, out)
    }

    fn plain(&mut self, value: &[u8], limit: Option<usize>, out: &mut Vec<u8>) -> bool {
        let Ok(text) = str::from_utf8(value) else {
            // Another encoding: what is found cannot be cut out of it.
            let column = self.column;
            if self.scan(&String::from_utf8_lossy(value), column) == 0 {
                out.extend_from_slice(value);
                return true;
            }
            out.extend_from_slice(b"***");
            return true;
        };
        let column = self.column;
        if self.scan(text, column) == 0 {
            out.extend_from_slice(value);
            return true;
        }
        let start = out.len();
        let kept = self.replace(text, out);
        if let Some(limit) = limit {
            let written = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).chars().count();
            if written > limit {
                out.truncate(start);
                out.resize(start + limit, b'*');
            }
        }
        kept
    }

    /// The text with what was found last masked. False: it was found as a whole, and becomes NULL.
    fn replace(&self, text: &str, out: &mut Vec<u8>) -> bool {
        const TEXT: Typed = Typed { oid: 25, modifier: -1, format: Format::Text };
        let values = Arc::clone(&self.tools.values);
        let mut at = 0;
        for Found { range, mask } in &self.tools.found {
            let whole = text.get(range.clone()).is_some_and(|t| t.len() == text.trim().len());
            let (Some(before), Some(span)) = (text.get(at..range.start.max(at)), text.get(range.clone()))
            else {
                // Not where a character begins: nothing of this text may stay.
                return false;
            };
            out.extend_from_slice(before.as_bytes());
            let it = Mask::new(style(mask.style), &mask.label, TEXT);
            if !it.mask(span.as_bytes(), &Keyed(&*values), out) {
                if whole {
                    return false;
                }
                out.extend_from_slice(b"***");
            }
            at = range.end.max(at);
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default().as_bytes());
        true
    }

    fn json(&mut self, versioned: bool, value: &[u8], out: &mut Vec<u8>) -> bool {
        // What cannot be walked is looked through as text.
        self.document(versioned, value, out) || self.plain(value, None, out)
    }

    /// False: it is no document, and nothing was written.
    fn document(&mut self, versioned: bool, value: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let body = match (versioned, value.split_first()) {
            (true, Some((version, body))) => {
                out.push(*version);
                body
            }
            _ => value,
        };
        let unsaid = self.unsaid_by_keys(body);
        let (mut key, mut masked) = (self.column.to_owned(), std::mem::take(&mut self.tools.text));
        let walked = walk_json(body, out, &mut |part, out| match part {
            Part::Key(name) => {
                key.clear();
                key.push_str(name);
                self.scan(name, "") > 0 && self.quoted(name, &mut masked, out)
            }
            Part::Leaf(Leaf::String(text)) => {
                self.scan_leaf(text, &key, &unsaid) > 0 && self.quoted(text, &mut masked, out)
            }
            Part::Leaf(Leaf::Number(number)) => {
                let found = str::from_utf8(number).is_ok_and(|n| self.scan_leaf(n, &key, &unsaid) > 0);
                if found {
                    out.extend_from_slice(b"null");
                }
                found
            }
            Part::Leaf(Leaf::Bool) => false,
        });
        self.tools.text = masked;
        if walked.is_none() {
            out.truncate(start);
        }
        walked.is_some()
    }

    /// Of the names of the columns that a document is made of, those that no key in it stands for: what these hold has got
    /// another key.
    fn unsaid_by_keys(&self, body: &[u8]) -> Vec<Arc<str>> {
        let mut aside = Vec::new();
        self.unsaid(|said| {
            walk_json(body, &mut aside, &mut |part, out| {
                // Nothing of the copy is needed.
                out.clear();
                if let Part::Key(key) = part {
                    said(key);
                }
                true
            });
        })
    }

    /// The same where `keys` tells the keys one by one.
    fn unsaid(&self, keys: impl FnOnce(&mut dyn FnMut(&str))) -> Vec<Arc<str>> {
        if !self.of_sources {
            return Vec::new();
        }
        let values = &self.tools.values;
        let own = (!self.column.is_empty()).then(|| Arc::from(self.column)).into_iter();
        let mut names: Vec<Arc<str>> = own.chain(self.more.iter().map(Arc::clone)).collect();
        keys(&mut |key| names.retain(|name| !values.stands_for(key, name)));
        names
    }

    fn opaque(&mut self, value: &[u8], out: &mut Vec<u8>) -> bool {
        // An `hstore` has another type number in every database.
        if let Some(all) = pairs::read(Format::Binary, value) {
            return self.pairs(Format::Binary, all, value, out);
        }
        let column = self.column;
        out.extend_from_slice(value);
        self.scan(&String::from_utf8_lossy(value), column) == 0
            && !self.is_number(value)
            && !self.holds_numbers(value)
    }

    fn pairs(&mut self, format: Format, pairs: Vec<Pair>, value: &[u8], out: &mut Vec<u8>) -> bool {
        let unsaid = self.unsaid(|said| pairs.iter().for_each(|(key, _)| said(key)));
        let (before, mut masked) = (self.hits, Vec::with_capacity(pairs.len()));
        for (key, text) in pairs {
            let keeps_key = self.scan(&key, "") == 0;
            let key = if keeps_key { key } else { self.replaced(&key) };
            let found = text.as_ref().is_some_and(|text| self.scan_leaf(text, &key, &unsaid) > 0);
            let text = if found { text.map(|text| self.replaced(&text)) } else { text };
            masked.push((key, text));
        }
        if self.hits == before {
            out.extend_from_slice(value);
        } else {
            pairs::write(format, &masked, out);
        }
        true
    }

    /// The text with what was found last masked; where nothing of it may stay, a mark.
    fn replaced(&self, text: &str) -> String {
        let mut out = Vec::new();
        if self.replace(text, &mut out) { String::from_utf8(out).ok() } else { None }
            .unwrap_or_else(|| "***".to_owned())
    }

    /// What is found in a leaf of a document: how many.
    fn scan_leaf(&mut self, text: &str, key: &str, unsaid: &[Arc<str>]) -> usize {
        let found = self.scan(text, key);
        // What stands under no key has been looked through as the column says.
        if found > 0 || key == self.column {
            return found;
        }
        unsaid.iter().find_map(|name| Some(self.scan(text, name)).filter(|found| *found > 0)).unwrap_or(0)
    }

    fn quoted(&mut self, text: &str, masked: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        masked.clear();
        if self.replace(text, masked) {
            firsthand_model::json::write_lossy(out, masked);
        } else {
            // A key cannot be null.
            out.extend_from_slice(b"\"***\"");
        }
        true
    }

    fn array(&mut self, elements: Elements, format: Format, value: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let walked = match format {
            Format::Text => {
                let look = match elements {
                    Elements::Text => Look::Text(None),
                    Elements::Json => Look::Json { versioned: false },
                    Elements::Bytes => Look::Bytes(format),
                    Elements::Record => Look::Record(format),
                    Elements::Number => Look::Number(Digits::element()),
                    Elements::Network(network) => Look::Network(network),
                    Elements::Day(day) => Look::Day(day),
                    Elements::Guess => Look::Guess,
                };
                array_text(value, b',', out, &mut |v, out| self.value(look, v, out))
            }
            Format::Binary => array_binary(value, out, &mut |oid, v, out| self.typed(oid, v, out)),
        };
        walked.is_some() || {
            out.truncate(start);
            self.unread(format, value, out)
        }
    }

    fn record(&mut self, format: Format, value: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let walked = match format {
            Format::Text => record_text(value, out, &mut |v, out| self.value(Look::guess(v), v, out)),
            Format::Binary => record_binary(value, out, &mut |oid, v, out| self.typed(oid, v, out)),
        };
        walked.is_some() || {
            out.truncate(start);
            self.unread(format, value, out)
        }
    }

    /// What only looked like something made of parts.
    fn unread(&mut self, format: Format, value: &[u8], out: &mut Vec<u8>) -> bool {
        match format {
            Format::Text => self.text(value, None, out),
            Format::Binary => self.withhold(),
        }
    }

    /// A part whose type comes with it, in binary.
    fn typed(&mut self, oid: u32, value: &[u8], out: &mut Vec<u8>) -> bool {
        match (Look::at(oid, Format::Binary, -1), Day::of(oid, Format::Binary)) {
            (Some(look), _) => self.value(look, value, out),
            (None, Some(day)) => self.day(day, value, out),
            (None, None) => {
                out.extend_from_slice(value);
                true
            }
        }
    }

    fn bytes(&mut self, format: Format, value: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let before = self.hits;
        let plain: Option<Vec<u8>> = match (format, value.strip_prefix(b"\\x")) {
            (Format::Text, Some(hex)) => unhex(hex),
            _ => None,
        };
        let bytes = plain.as_deref().unwrap_or(value);
        if let Ok(text) = str::from_utf8(bytes) {
            let column = self.column;
            self.scan(text, column);
        }
        if self.hits > before {
            out.truncate(start);
            out.extend_from_slice(if format == Format::Text { b"\\x" } else { b"" });
        } else {
            out.extend_from_slice(value);
        }
        true
    }
}

fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_chunks::<2>();
    let digit = |b: u8| char::from(b).to_digit(16);
    let byte = |pair: &[u8; 2]| {
        let [high, low] = *pair;
        u8::try_from(digit(high)? * 16 + digit(low)?).ok()
    };
    rest.is_empty().then(|| pairs.iter().map(byte).collect()).flatten()
}
