//! A tolerant reader of SQL's tokens, for texts that need not parse.
//!
//! It never fails: what is left open ends with the text. Where it differs from PostgreSQL's scanner it errs toward reading more
//! as quoted, and the caller distrusts what follows a secret directly.

use std::borrow::Cow;
use std::ops::Range;

use crate::split::{comment_len, is_space};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or keyword, unquoted.
    Word,
    /// `"…"`.
    QuotedName,
    /// `'…'`, also with the prefix N.
    Plain,
    /// `E'…'`.
    Escapes,
    /// `U&'…'`.
    Unicode,
    /// `$tag$…$tag$`.
    Dollar,
    /// `-- …` or `/* … */`.
    Comment,
    /// `scheme://…` outside quotes: not SQL, but what people paste.
    Address,
    /// Any other character, or a number.
    Other(u8),
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// All of it.
    pub(super) span: Range<usize>,
    /// What stands between its quotes; all of it where there are none.
    pub(super) inner: Range<usize>,
}

impl Token {
    /// Whether it is a string literal.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Escapes | Kind::Unicode | Kind::Dollar)
    }

    /// Whether a literal has its closing quote.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.end < self.span.end
    }

    /// What a literal or quoted name stands for.
    pub(super) fn value<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let inner = text.get(self.inner.clone()).unwrap_or_default();
        match self.kind {
            Kind::Plain if inner.contains("''") => Cow::Owned(inner.replace("''", "'")),
            Kind::QuotedName if inner.contains("\"\"") => Cow::Owned(inner.replace("\"\"", "\"")),
            Kind::Escapes if inner.contains(['\\', '\'']) => Cow::Owned(unescaped(inner, Escape::Letters)),
            Kind::Unicode if inner.contains(['\\', '\'']) => Cow::Owned(unescaped(inner, Escape::Digits)),
            _ => Cow::Borrowed(inner),
        }
    }
}

/// Reads `text` from its start.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// A token of `len` bytes, `before` and `after` of which are its quotes.
    fn take(&mut self, kind: Kind, len: usize, before: usize, after: usize) -> Token {
        let start = self.at;
        self.at = (start + len).min(self.text.len());
        let inner_end = self.at.saturating_sub(after).max(start + before);
        Token { kind, span: start..self.at, inner: start + before..inner_end }
    }

    /// A token quoted by `quote`, which opens after `prefix` bytes.
    fn quoted(&mut self, kind: Kind, prefix: usize, quote: u8) -> Token {
        let rest = self.rest();
        let mut len = prefix + 1;
        loop {
            match rest.get(len..) {
                Some([b'\\', _, ..]) if kind == Kind::Escapes => len += 2,
                Some([first, second, ..]) if *first == quote && *second == quote => len += 2,
                Some([first, ..]) if *first == quote => return self.take(kind, len + 1, prefix + 1, 1),
                Some([_, ..]) => len += 1,
                _ => return self.take(kind, rest.len(), prefix + 1, 0),
            }
        }
    }

    /// `$tag$…$tag$`, or the sign alone.
    fn dollar(&mut self) -> Token {
        let rest = self.rest();
        let tag = rest.iter().skip(1).position(|byte| !is_word(*byte)).map(|len| len + 2);
        let tag = tag.and_then(|len| rest.get(..len)).filter(|tag| tag.ends_with(b"$"));
        let opens = tag.filter(|tag| !tag.get(1).is_some_and(u8::is_ascii_digit));
        let Some(tag) = opens else { return self.take(Kind::Other(b'$'), 1, 0, 0) };
        let body = rest.get(tag.len()..).unwrap_or_default();
        match memchr::memmem::find(body, tag) {
            Some(len) => self.take(Kind::Dollar, tag.len() * 2 + len, tag.len(), tag.len()),
            None => self.take(Kind::Dollar, rest.len(), tag.len(), 0),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.at += self.rest().iter().take_while(|byte| is_space(**byte)).count();
        let rest = self.rest();
        Some(match rest {
            [] => return None,
            [b'\'', ..] => self.quoted(Kind::Plain, 0, b'\''),
            [b'"', ..] => self.quoted(Kind::QuotedName, 0, b'"'),
            [b'e' | b'E', b'\'', ..] => self.quoted(Kind::Escapes, 1, b'\''),
            [b'n' | b'N', b'\'', ..] => self.quoted(Kind::Plain, 1, b'\''),
            [b'u' | b'U', b'&', b'\'', ..] => self.quoted(Kind::Unicode, 2, b'\''),
            [b'u' | b'U', b'&', b'"', ..] => self.quoted(Kind::QuotedName, 2, b'"'),
            [b'$', ..] => self.dollar(),
            [b'-', b'-', ..] => {
                let len = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                self.take(Kind::Comment, len, 0, 0)
            }
            [b'/', b'*', ..] => self.take(Kind::Comment, comment_len(rest), 0, 0),
            [b':', b'/', b'/', ..] => {
                let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'\'' | b'"');
                let len = rest.iter().position(ends).unwrap_or(rest.len());
                self.take(Kind::Address, len, 0, 0)
            }
            [first, ..] if is_word(*first) => {
                let len = rest.iter().position(|byte| !is_word(*byte) && *byte != b'$').unwrap_or(rest.len());
                let kind = if first.is_ascii_digit() { Kind::Other(b'0') } else { Kind::Word };
                self.take(kind, len, 0, 0)
            }
            [first, ..] => self.take(Kind::Other(*first), 1, 0, 0),
        })
    }
}

/// Letters, digits, `_`, and all beyond ASCII, as in PostgreSQL's names.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    /// `\n`, `\x41`, `\101`, `\u0041`: as in `E'…'`.
    Letters,
    /// `\0041`, `\+000041`: as in `U&'…'`.
    Digits,
}

/// The value of a literal with backslashes. Escapes that are not understood stay as they are.
fn unescaped(inner: &str, escape: Escape) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find(['\\', '\'']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut after = from.chars();
        let first = after.next();
        rest = after.as_str();
        if first == Some('\'') {
            out.push('\'');
            rest = rest.strip_prefix('\'').unwrap_or(rest);
        } else {
            rest = push_escape(&mut out, rest, escape);
        }
    }
    out.push_str(rest);
    out
}

/// Reads what follows a backslash, and gives back what follows that.
fn push_escape<'t>(out: &mut String, rest: &'t str, escape: Escape) -> &'t str {
    let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let run = |skip: usize, max: usize, radix: u32| {
        let digits = rest.get(skip..).unwrap_or_default();
        let len = digits.chars().take(max).take_while(|c| c.is_digit(radix)).count();
        (digits.get(..len).unwrap_or_default(), digits.get(len..).unwrap_or_default())
    };
    let letters = escape == Escape::Letters;
    let numeric = match rest.as_bytes().first() {
        Some(b'x') if letters => Some((run(1, 2, 16), 16)),
        Some(b'u') if letters => Some((run(1, 4, 16), 16)),
        Some(b'U') if letters => Some((run(1, 8, 16), 16)),
        Some(b'0'..=b'7') if letters => Some((run(0, 3, 8), 8)),
        Some(b'+') if !letters => Some((run(1, 6, 16), 16)),
        Some(b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if !letters => Some((run(0, 4, 16), 16)),
        _ => None,
    };
    if let Some(((digits, after), radix)) = numeric
        && let Some(character) = code(digits, radix)
    {
        out.push(character);
        return after;
    }
    let mut characters = rest.chars();
    match characters.next() {
        Some('n') if letters => out.push('\n'),
        Some('t') if letters => out.push('\t'),
        Some('r') if letters => out.push('\r'),
        Some(other) => out.push(other),
        None => out.push('\\'),
    }
    characters.as_str()
}
