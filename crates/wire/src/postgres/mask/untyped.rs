//! Text whose type is not told: fields of COPY data, fields of a record in text. What it looks like decides, so that the
//! mask is a value of whatever type looks like that. Only of stored values: what an expression makes can look like
//! anything, bit by bit, and has one mask (`without_form`).

use super::kind::Kind;
use super::{Aid, Mask, Style, Typed, network, time};
use crate::postgres::Format;

impl Mask {
    pub(super) fn untyped_value(&self, value: &[u8], aid: Aid<'_>, out: &mut Vec<u8>) -> Option<()> {
        let (kind, tokens) = (look(value), aid.tokens);
        let typed = Typed { oid: 0, modifier: -1, format: Format::Text };
        match kind {
            Kind::Untyped => {
                // A document, or an array of what is not told either.
                let start = out.len();
                if value.first() == Some(&b'[') || value.contains(&b':') {
                    if self.parsed(value, tokens, out).is_some() {
                        return Some(());
                    }
                    out.truncate(start);
                }
                if value.first() == Some(&b'{') {
                    if self.array(0, typed, value, aid, out).is_some() {
                        return Some(());
                    }
                    out.truncate(start);
                }
                self.text(Kind::Text, typed, value, tokens, out)
            }
            // How large the column's numbers may be is not told: a token of four digits fits nearly all.
            Kind::Numeric if self.style == Style::Token => None,
            kind => self.write(kind, typed, value, aid, out),
        }
    }
}

/// The kind of type whose text looks so.
fn look(value: &[u8]) -> Kind {
    let is = |kind| time::coarse_text(kind, value, &mut Vec::new()).is_some();
    match value {
        b"t" | b"f" => Kind::Bool,
        [b'{' | b'[', ..] => Kind::Untyped,
        [b'\\', b'x', ..] => Kind::Bytea,
        [b'0'..=b'9' | b'-' | b'+' | b'.', ..] if is_number(value) => Kind::Numeric,
        [b'0'..=b'9', ..] if is(Kind::Date) => Kind::Date,
        [b'0'..=b'9', ..] if is(Kind::Timestamp) => Kind::Timestamptz,
        [b'0'..=b'9', ..] if value.len() >= 8 && is(Kind::Time) => Kind::Time,
        _ if is_uuid(value) => Kind::Uuid,
        [b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':', ..] if is_address(value) => Kind::Net(false),
        _ => Kind::Text,
    }
}

/// No address with its network takes more bytes.
const ADDRESS_BYTES_MAX: usize = 49;

fn is_address(value: &[u8]) -> bool {
    value.len() <= ADDRESS_BYTES_MAX
        && str::from_utf8(value).is_ok_and(|text| network::coarse(text, true).is_some())
}

fn is_number(value: &[u8]) -> bool {
    if value.iter().all(u8::is_ascii_digit) {
        return !value.is_empty();
    }
    value.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'))
        && str::from_utf8(value).is_ok_and(|t| t.parse::<f64>().is_ok())
}

fn is_uuid(value: &[u8]) -> bool {
    let dash = |i: usize| matches!(i, 8 | 13 | 18 | 23);
    value.len() == 36
        && value.iter().enumerate().all(|(i, b)| if dash(i) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// A date's year or an address's network in a text; `None` when it is neither.
pub(super) fn coarse(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(network) = network::coarse(text, true) {
        return Some(network);
    }
    let mut out = Vec::new();
    for kind in [Kind::Date, Kind::Timestamp] {
        if time::coarse_text(kind, text.as_bytes(), &mut out).is_some() {
            return String::from_utf8(out).ok();
        }
        out.clear();
    }
    None
}
