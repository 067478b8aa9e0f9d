//! Masks of text: what fits into the column, with the shape by which it is known.

use super::kind::Kind;
use super::shape::base32;
use super::{Mask, Style, Tokens, Typed, untyped};

/// Bytes of a `name`.
const NAME_BYTES: usize = 63;

/// A number of this many digits is a card's; a shorter one shows nothing.
const CARD_DIGITS: usize = 12;

/// The longest domain that an address can have (RFC 1035).
const DOMAIN_BYTES: usize = 253;

impl Mask {
    pub(super) fn text(
        &self,
        kind: Kind,
        typed: Typed,
        value: &[u8],
        tokens: &dyn Tokens,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let limit = limit(kind, typed.modifier);
        let start = out.len();
        if kind == Kind::Byte {
            match self.style {
                Style::Redact | Style::Partial => out.push(b'*'),
                // The empty "char" is a zero byte in binary.
                Style::Zero if typed.format == super::Format::Binary => out.push(0),
                Style::Zero => {}
                _ => return None,
            }
            return Some(());
        }
        match self.style {
            Style::Redact => self.marker(out),
            Style::Partial => self.partial(value, out),
            Style::Token => {
                let token = base32(&self.token_of(typed, value, tokens)?);
                let room = limit.unwrap_or(usize::MAX);
                let fits = 5 + self.shown.len() + token.len() <= room;
                if fits {
                    out.extend_from_slice(b"tok_");
                    out.extend_from_slice(self.shown.as_bytes());
                    out.push(b'_');
                }
                out.extend_from_slice(token.get(..room.min(token.len())).unwrap_or(&token));
            }
            Style::Generalise => match str::from_utf8(value).ok().and_then(untyped::coarse) {
                Some(coarse) => out.extend_from_slice(coarse.as_bytes()),
                None => self.marker(out),
            },
            Style::Zero => {}
            Style::Null => return None,
        }
        fit(kind, limit, start, out);
        Some(())
    }

    fn marker(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(self.shown.as_bytes());
        out.push(b']');
    }

    /// What stays depends on the label. A short value never shows anything.
    pub(super) fn partial(&self, value: &[u8], out: &mut Vec<u8>) {
        let is = |names: &[&str]| names.iter().any(|n| self.shown.to_ascii_lowercase().contains(n));
        let Ok(text) = str::from_utf8(value) else { return out.extend_from_slice(b"***") };
        let text = text.trim_end();
        if self.shown.contains('+') {
            // Several things at once: none of their rules is right.
            self.marker(out);
        } else if is(&["mail"]) {
            out.extend_from_slice(b"***");
            let domain = text.rsplit_once('@').map(|(_, domain)| domain);
            let plain = |d: &&str| {
                d.len() <= DOMAIN_BYTES
                    && d.contains('.')
                    && d.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            };
            if let Some(domain) = domain.filter(plain) {
                out.push(b'@');
                out.extend_from_slice(domain.as_bytes());
            }
        } else if is(&["card", "iban", "account"]) {
            let signs: Vec<u8> = text.bytes().filter(u8::is_ascii_alphanumeric).collect();
            let separators = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-');
            let whole = signs.len() >= CARD_DIGITS && signs.len() <= 34 && text.bytes().all(separators);
            out.extend_from_slice(b"************");
            if let Some(last) = signs.last_chunk::<4>().filter(|_| whole) {
                out.extend_from_slice(last);
            }
        } else if is(&["phone", "mobile", "tel"]) {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
            let kept = match digits.len() {
                10..=15 => 4,
                7..=9 => 2,
                _ => 0,
            };
            out.extend_from_slice(b"***");
            out.extend_from_slice(digits.get(digits.len() - kept..).unwrap_or_default());
        } else {
            ends(text, out);
        }
    }
}

/// The first letter of eight or more, and the last one of twelve or more; no signs, which may need quoting.
fn ends(text: &str, out: &mut Vec<u8>) {
    let count = text.chars().count();
    let mut push = |c: Option<char>| {
        if let Some(c) = c {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    };
    push(text.chars().next().filter(|c| count >= 8 && c.is_alphanumeric()));
    push(Some('*'));
    push(Some('*'));
    push(Some('*'));
    push(text.chars().next_back().filter(|c| count >= 12 && c.is_alphanumeric()));
}

/// How many code points fit.
fn limit(kind: Kind, modifier: i32) -> Option<usize> {
    match kind {
        Kind::Name => Some(NAME_BYTES),
        _ => usize::try_from(modifier.checked_sub(4)?).ok().filter(|n| *n > 0),
    }
}

/// Makes what was written from `start` on fit: asterisks where it is too long, blanks where it must be padded.
fn fit(kind: Kind, limit: Option<usize>, start: usize, out: &mut Vec<u8>) {
    let Some(limit) = limit else { return };
    let written = String::from_utf8_lossy(out.get(start..).unwrap_or_default()).chars().count();
    if written > limit || kind == Kind::Name && out.len() - start > limit {
        out.truncate(start);
        out.resize(start + limit, b'*');
    } else if kind == Kind::Padded {
        out.resize(out.len() + limit - written, b' ');
    }
}
