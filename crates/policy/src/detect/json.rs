//! JSON: the keys tell what their values are.

use super::class::Class;
use super::columns::Topic;
use super::{Detector, Hit, TypeHint, remembered};

/// Deeper nesting is looked at without the keys of its levels (PostgreSQL's own limit is the stack's depth).
const MAX_DEPTH: usize = 128;

/// Walks over a document; false when it is none, and then nothing was added.
pub(crate) fn walk(detector: &Detector, value: &str, topic: Topic, hits: &mut Vec<Hit>) -> bool {
    let first = hits.len();
    let mut walker = Walker { detector, text: value, at: 0, depth: 0, topics: [topic; MAX_DEPTH] };
    if walker.document(hits) {
        return true;
    }
    hits.truncate(first);
    false
}

struct Walker<'a> {
    detector: &'a Detector,
    text: &'a str,
    at: usize,
    depth: usize,
    topics: [Topic; MAX_DEPTH],
}

impl Walker<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn topic(&self) -> Topic {
        self.topics.get(self.depth.min(MAX_DEPTH - 1)).copied().unwrap_or(Topic::Unknown)
    }

    fn set(&mut self, topic: Topic) {
        if let Some(place) = self.topics.get_mut(self.depth.min(MAX_DEPTH - 1)) {
            *place = topic;
        }
    }

    /// Tokens in any order that strings allow: what is not JSON shows by a string without end or a stray sign.
    fn document(&mut self, hits: &mut Vec<Hit>) -> bool {
        while let Some(b) = self.peek() {
            match b {
                b'{' | b'[' => {
                    let topic = self.topic();
                    self.depth += 1;
                    self.set(topic);
                    self.at += 1;
                }
                b'}' | b']' => {
                    let Some(depth) = self.depth.checked_sub(1) else { return false };
                    self.depth = depth;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                b'"' => {
                    if !self.string(hits) {
                        return false;
                    }
                }
                b'-' | b'0'..=b'9' => {
                    if !self.number(hits) {
                        return false;
                    }
                }
                b't' | b'f' | b'n' => {
                    let len = self
                        .text
                        .as_bytes()
                        .iter()
                        .skip(self.at)
                        .take_while(|b| b.is_ascii_lowercase())
                        .count();
                    if !matches!(self.text.get(self.at..self.at + len), Some("true" | "false" | "null")) {
                        return false;
                    }
                    self.at += len;
                }
                _ => return false,
            }
        }
        self.depth == 0
    }

    /// False: it is none, as in an array of PostgreSQL's (`{192.0.2.1}`).
    fn number(&mut self, hits: &mut Vec<Hit>) -> bool {
        let start = self.at;
        let len = self
            .text
            .as_bytes()
            .iter()
            .skip(start)
            .take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        self.at += len;
        let part = self.text.get(start..self.at).unwrap_or_default();
        if part.parse::<f64>().is_err() {
            return false;
        }
        let hint = if part.contains('.') { TypeHint::Decimal } else { TypeHint::Integer };
        self.look(part, start, hint, hits);
        true
    }

    /// A string: a key, whose topic is kept, or a value.
    fn string(&mut self, hits: &mut Vec<Hit>) -> bool {
        let start = self.at + 1;
        let mut escaped = false;
        let mut end = start;
        loop {
            match self.text.as_bytes().get(end) {
                None => return false,
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        let Some(body) = self.text.get(start..end) else { return false };
        let is_key =
            self.text.as_bytes().iter().skip(self.at).find(|b| !b.is_ascii_whitespace()) == Some(&b':');
        if is_key {
            if may_be_somebodys(body) {
                self.set(Topic::Unknown);
                self.look(body, start, TypeHint::Text, hits);
            }
            let topic = remembered::topic(body);
            // What a person's object holds under ordinary keys stays ordinary; under unknown ones the outer key tells.
            self.set(topic);
        } else if escaped {
            self.unescaped(body, start, hits);
        } else {
            self.look(body, start, TypeHint::Text, hits);
        }
        true
    }

    fn look(&self, part: &str, start: usize, hint: TypeHint, hits: &mut Vec<Hit>) {
        let first = hits.len();
        self.detector.cell(part, Class::of(part), self.topic(), hint, hits);
        for hit in hits.iter_mut().skip(first) {
            hit.range = hit.range.start + start..hit.range.end + start;
        }
    }

    /// A value with escapes is read as what it stands for.
    fn unescaped(&self, body: &str, start: usize, hits: &mut Vec<Hit>) {
        let (text, places) = unescape(body);
        let first = hits.len();
        let class = Class::of(&text);
        if !(class.json() && walk(self.detector, &text, self.topic(), hits)) {
            self.detector.cell(&text, class, self.topic(), TypeHint::Text, hits);
        }
        for hit in hits.iter_mut().skip(first) {
            let from = places.get(hit.range.start).map_or(0, |p| p.0);
            let to = places.get(hit.range.end.saturating_sub(1)).map_or(body.len(), |p| p.1);
            hit.range = start + from..start + to;
        }
    }
}

/// Whether a key may be somebody's address or number, as in `{"ann@example.org": 3}`.
fn may_be_somebodys(key: &str) -> bool {
    /// Fewer digits are nobody's number, and shorter keys no token.
    const DIGITS: u32 = 7;
    const TOKEN: usize = 20;
    let class = Class::of(key);
    class.at() || class.digits >= DIGITS || class.len >= TOKEN
}

/// The text that escapes stand for, and for each of its bytes where its escape begins and ends.
fn unescape(body: &str) -> (String, Vec<(usize, usize)>) {
    let mut text = String::with_capacity(body.len());
    let mut places = Vec::with_capacity(body.len());
    let mut at = 0;
    while let Some(c) = body.get(at..).and_then(|b| b.chars().next()) {
        let (sign, len) =
            if c == '\\' { escape(body.get(at..).unwrap_or_default()) } else { (c, c.len_utf8()) };
        text.push(sign);
        places.extend(std::iter::repeat_n((at, at + len), sign.len_utf8()));
        at += len;
    }
    (text, places)
}

/// One escape and its length; a half pair of surrogates becomes the replacement character.
fn escape(rest: &str) -> (char, usize) {
    let unit = |at: usize| rest.get(at..at + 4).and_then(|h| u32::from_str_radix(h, 16).ok());
    match rest.as_bytes().get(1) {
        Some(b'n') => ('\n', 2),
        Some(b't') => ('\t', 2),
        Some(b'r') => ('\r', 2),
        Some(b'b' | b'f') => (' ', 2),
        Some(b'u') => match (unit(2), rest.get(6..8), unit(8)) {
            (Some(high @ 0xD800..=0xDBFF), Some("\\u"), Some(low @ 0xDC00..=0xDFFF)) => {
                (char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).unwrap_or('\u{FFFD}'), 12)
            }
            (Some(n), ..) => (char::from_u32(n).unwrap_or('\u{FFFD}'), 6),
            (None, ..) => ('\u{FFFD}', 2),
        },
        Some(_) => {
            let c = rest.chars().nth(1).unwrap_or('\\');
            (c, 1 + c.len_utf8())
        }
        None => ('\\', 1),
    }
}
