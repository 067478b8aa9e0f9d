//! Masks of documents: leaf by leaf, keys kept. The bytes between the leaves stay as they are.

use std::borrow::Cow;

use super::{Mask, Style, Tokens, Typed};
use crate::postgres::Format;

/// How deep a document may be nested here. Each level takes stack; what is deeper is masked as a whole.
const DOCUMENT_DEPTH_MAX: u16 = 256;

/// Bytes of a key that is kept: the length of PostgreSQL's own names.
const KEY_BYTES_MAX: usize = 63;

/// Digits that a kept key may have; more look like a number that somebody has made a key of.
const KEY_DIGITS_MAX: usize = 3;

/// Stands for what cannot be read as a document.
const MASKED: &[u8] = br#"{"masked":true}"#;

/// What stands in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A key, unescaped.
    Key(&'a str),
    /// A value that holds no others.
    Leaf(Leaf<'a>),
}

/// A value that holds no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf<'a> {
    /// A string, unescaped.
    String(&'a str),
    /// A number as it is written.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool,
}

/// Copies a document and asks of each key and leaf what to write in its place: true when it was written, false to keep
/// it. `None`: it cannot be read; what was written is to be thrown away.
pub fn walk_json(
    text: &[u8],
    out: &mut Vec<u8>,
    visit: &mut dyn FnMut(Part<'_>, &mut Vec<u8>) -> bool,
) -> Option<()> {
    let mut walk = Walk { rest: text, out, visit };
    walk.value(0)?;
    walk.blanks();
    walk.rest.is_empty().then_some(())
}

struct Walk<'a, 'o, 'v> {
    rest: &'a [u8],
    out: &'o mut Vec<u8>,
    visit: &'v mut dyn FnMut(Part<'_>, &mut Vec<u8>) -> bool,
}

impl<'a> Walk<'a, '_, '_> {
    /// Takes `n` bytes off the front.
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, tail) = self.rest.split_at_checked(n).unwrap_or((self.rest, &[]));
        self.rest = tail;
        head
    }

    fn copy(&mut self, n: usize) {
        let head = self.take(n);
        self.out.extend_from_slice(head);
    }

    fn blanks(&mut self) {
        let n = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.copy(n);
    }

    /// Copies the next sign, which must be one of these; tells which.
    fn sign(&mut self, of: &[u8]) -> Option<u8> {
        self.blanks();
        let sign = *self.rest.first().filter(|b| of.contains(b))?;
        self.copy(1);
        Some(sign)
    }

    fn value(&mut self, depth: u16) -> Option<()> {
        if depth > DOCUMENT_DEPTH_MAX {
            return None;
        }
        self.blanks();
        match *self.rest.first()? {
            open @ (b'{' | b'[') => self.group(open == b'{', depth),
            b'"' => self.string(false),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.rest.starts_with(b"null").then(|| self.copy(4)),
            _ => {
                let sign = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let number = self.take(self.rest.iter().take_while(|b| sign(b)).count());
                (!number.is_empty()).then_some(())?;
                if !(self.visit)(Part::Leaf(Leaf::Number(number)), self.out) {
                    self.out.extend_from_slice(number);
                }
                Some(())
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest.starts_with(word).then_some(())?;
        self.take(word.len());
        if !(self.visit)(Part::Leaf(Leaf::Bool), self.out) {
            self.out.extend_from_slice(word);
        }
        Some(())
    }

    fn group(&mut self, object: bool, depth: u16) -> Option<()> {
        let close = if object { b'}' } else { b']' };
        self.copy(1);
        self.blanks();
        if self.rest.first() == Some(&close) {
            self.copy(1);
            return Some(());
        }
        loop {
            if object {
                self.blanks();
                self.string(true)?;
                self.sign(b":")?;
            }
            self.value(depth + 1)?;
            if self.sign(&[b',', close])? == close {
                return Some(());
            }
        }
    }

    fn string(&mut self, key: bool) -> Option<()> {
        let body = self.rest.strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            end += memchr::memchr2(b'"', b'\\', body.get(end..)?)?;
            match body.get(end)? {
                b'"' => break,
                _ => end += 2,
            }
        }
        let raw = self.take(end + 2);
        let inner = body.get(..end)?;
        let text = unescape(inner)?;
        let part = if key { Part::Key(&text) } else { Part::Leaf(Leaf::String(&text)) };
        if !(self.visit)(part, self.out) {
            self.out.extend_from_slice(raw);
        }
        Some(())
    }
}

/// The text that a string literal stands for, without its quotes.
fn unescape(raw: &[u8]) -> Option<Cow<'_, str>> {
    if !raw.contains(&b'\\') {
        return Some(String::from_utf8_lossy(raw));
    }
    let raw = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(raw.len());
    let mut rest = &*raw;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => {
                let unit = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
                let (mut code, mut taken) = (unit(chars.as_str())?, 4);
                let low = chars.as_str().get(4..).and_then(|t| t.strip_prefix("\\u")).and_then(unit);
                if let (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) = (code, low) {
                    (code, taken) = (0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), 10);
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                chars = chars.as_str().get(taken..)?.chars();
            }
            other => out.push(other),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

/// Whether a key looks like a name that somebody has given, not like a value that somebody has made a key of.
fn is_name(key: &str) -> bool {
    key.len() <= KEY_BYTES_MAX
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$'))
        && key.bytes().filter(u8::is_ascii_digit).count() <= KEY_DIGITS_MAX
}

impl Mask {
    /// A document; what cannot be read as one is replaced by one that says so.
    pub(super) fn document(&self, value: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        if self.parsed(value, tokens, out).is_none() {
            out.truncate(start);
            out.extend_from_slice(MASKED);
        }
        Some(())
    }

    /// A document; `None` when it cannot be read.
    pub(super) fn parsed(&self, value: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) -> Option<()> {
        walk_json(value, out, &mut |part, out| {
            match part {
                Part::Key(key) if self.keep_keys && is_name(key) => return false,
                Part::Key(key) => self.quoted(key.as_bytes(), tokens, out),
                Part::Leaf(Leaf::String(text)) => self.quoted(text.as_bytes(), tokens, out),
                Part::Leaf(Leaf::Number(number)) => self.json_number(number, tokens, out),
                Part::Leaf(Leaf::Bool) if self.style == Style::Zero => out.extend_from_slice(b"false"),
                Part::Leaf(Leaf::Bool) => out.extend_from_slice(b"null"),
            }
            true
        })
    }

    /// A document as one text, of which nothing tells what was in it.
    pub(super) fn scalar(&self, value: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) {
        self.quoted(value, tokens, out);
    }

    fn quoted(&self, text: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) {
        const TEXT: Typed = Typed { oid: 25, modifier: -1, format: Format::Text };
        let mut masked = Vec::with_capacity(32);
        let done = self.text(super::Kind::Text, TEXT, text, tokens, &mut masked);
        if done.is_none() || !crate::json::string(out, &masked) {
            out.extend_from_slice(b"null");
        }
    }

    fn json_number(&self, number: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) {
        const NUMERIC: Typed = Typed { oid: 1700, modifier: -1, format: Format::Text };
        let start = out.len();
        if self.number(super::Kind::Numeric, NUMERIC, number, tokens, out).is_none() {
            out.truncate(start);
            out.extend_from_slice(b"null");
        }
    }
}
