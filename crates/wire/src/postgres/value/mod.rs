//! A value as a person reads it: PostgreSQL's text form in a JSON string, whichever format it came in.
//!
//! The record shows what a client sent or got. Text format is shown as it is; binary format is turned into the text
//! that the server itself would have written (DateStyle ISO, IntervalStyle postgres, time zone UTC, shortest floats).
//! What cannot be read so is shown as hex with its type: never an error, never a guess.

mod geometry;
mod nested;
mod network;
mod number;
mod time;
mod types;

use crate::json;
use crate::postgres::Format;
use types::{Shape, shape};

pub(super) use time::{days_before_year, year_of};
pub use types::type_name;

/// A binary value's text may grow to this many bytes plus [`TEXT_PER_BYTE`] for each byte of it. A numeric of twelve
/// bytes can stand for 131,072 digits (the most PostgreSQL has), and an array can hold many: past this it is hex.
const TEXT_BASE: usize = 256 * 1024;

/// See [`TEXT_BASE`]. Ordinary values need less than 8 (a `path` of small floats comes nearest).
const TEXT_PER_BYTE: usize = 16;

/// How deep records, arrays and ranges may stand in each other. Quoting doubles at each level.
const MAX_DEPTH: u8 = 6;

/// Appends one value as JSON: `null`, a string of its text form, `{"hex":"…","type":oid}` for binary that is not
/// understood, or `{"hex":"…"}` for text that is not UTF-8.
pub fn render(out: &mut Vec<u8>, type_oid: u32, format: Format, value: Option<&[u8]>) {
    Renderer::new(type_oid, format).render(out, value);
}

/// How the values of one column or parameter are rendered: looked up once, used for every row.
#[derive(Clone, Copy, Debug)]
pub struct Renderer {
    /// `None`: text format.
    binary: Option<(u32, Shape)>,
}

impl Renderer {
    /// The renderer of a type in a format.
    #[must_use]
    pub fn new(type_oid: u32, format: Format) -> Self {
        let binary = match format {
            Format::Text => None,
            Format::Binary => Some((type_oid, shape(type_oid))),
        };
        Self { binary }
    }

    /// Appends one value; see [`render`].
    #[inline]
    pub fn render(&self, out: &mut Vec<u8>, value: Option<&[u8]>) {
        let Some(bytes) = value else {
            out.extend_from_slice(b"null");
            return;
        };
        match self.binary {
            None | Some((_, Shape::Text)) if json::string(out, bytes) => {}
            None => hex(out, None, bytes),
            Some((oid, shape)) => binary(out, oid, shape, bytes),
        }
    }
}

/// Appends the text form of a binary value; `None` when it is not understood (what was written is to be thrown away).
pub(super) fn text_form(out: &mut Vec<u8>, type_oid: u32, bytes: &[u8]) -> Option<()> {
    let limit = out.len() + TEXT_BASE + bytes.len().saturating_mul(TEXT_PER_BYTE);
    Writer { out, limit, depth: 0 }.text(shape(type_oid), bytes)
}

/// Appends a number in decimal.
pub(super) fn signed_text(out: &mut Vec<u8>, n: i64) -> Option<()> {
    number::signed(out, n)
}

fn binary(out: &mut Vec<u8>, oid: u32, shape: Shape, bytes: &[u8]) {
    let start = out.len();
    out.push(b'"');
    let mut writer =
        Writer { out, limit: start + TEXT_BASE + bytes.len().saturating_mul(TEXT_PER_BYTE), depth: 0 };
    let read = writer.text(shape, bytes);
    let text = out.get(start + 1..).unwrap_or_default();
    if read.is_some() && json::clean_prefix(text) == text.len() {
        out.push(b'"');
        return;
    }
    // Rare: a failure, or text that needs escapes, which is escaped from a copy.
    let text = text.to_vec();
    out.truncate(start);
    if read.is_none() || !json::string(out, &text) {
        hex(out, Some(oid), bytes);
    }
}

fn hex(out: &mut Vec<u8>, oid: Option<u32>, bytes: &[u8]) {
    out.extend_from_slice(b"{\"hex\":\"");
    json::hex(out, bytes);
    out.push(b'"');
    if let Some(oid) = oid {
        out.extend_from_slice(b",\"type\":");
        number::unsigned(out, u64::from(oid));
    }
    out.push(b'}');
}

/// Writes the text form of binary values. Every method says `None` for bytes that the server would not have sent;
/// what was written by then is thrown away.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Where `out` must not grow past.
    limit: usize,
    depth: u8,
}

impl Writer<'_> {
    fn text(&mut self, shape: Shape, bytes: &[u8]) -> Option<()> {
        let out = &mut *self.out;
        match shape {
            Shape::Opaque => None,
            Shape::Text => push(out, bytes),
            Shape::Versioned => push(out, bytes.strip_prefix(&[1])?),
            Shape::Void => bytes.is_empty().then_some(()),
            Shape::Bool => match bytes {
                [0] => push(out, b"f"),
                [_] => push(out, b"t"),
                _ => None,
            },
            Shape::Bytea => {
                out.extend_from_slice(b"\\x");
                json::hex(out, bytes);
                Some(())
            }
            Shape::Char => single_byte(out, bytes),
            Shape::Int2 => number::signed(out, i16::from_be_bytes(bytes.try_into().ok()?).into()),
            Shape::Int4 => number::signed(out, i32::from_be_bytes(bytes.try_into().ok()?).into()),
            Shape::Int8 => number::signed(out, i64::from_be_bytes(bytes.try_into().ok()?)),
            Shape::Oid => number::unsigned(out, u32::from_be_bytes(bytes.try_into().ok()?).into()),
            Shape::Xid8 => number::unsigned(out, u64::from_be_bytes(bytes.try_into().ok()?)),
            Shape::Float4 => number::float4(out, bytes),
            Shape::Float8 => number::float8(out, bytes),
            Shape::Numeric => number::numeric(out, bytes),
            Shape::Date => time::date(out, bytes),
            Shape::Time => time::time(out, bytes),
            Shape::Timetz => time::timetz(out, bytes),
            Shape::Timestamp => time::timestamp(out, bytes, false),
            Shape::Timestamptz => time::timestamp(out, bytes, true),
            Shape::Interval => time::interval(out, bytes),
            Shape::Inet => network::inet(out, bytes, false),
            Shape::Cidr => network::inet(out, bytes, true),
            Shape::Macaddr => network::macaddr(out, bytes),
            Shape::Uuid => network::uuid(out, bytes),
            Shape::Lsn => network::lsn(out, bytes),
            Shape::Tid => network::tid(out, bytes),
            Shape::Bits => bits(out, bytes),
            Shape::Point => geometry::point(out, bytes),
            Shape::Lseg => geometry::lseg(out, bytes),
            Shape::Box => geometry::rectangle(out, bytes),
            Shape::Path => geometry::path(out, bytes),
            Shape::Polygon => geometry::polygon(out, bytes),
            Shape::Line => geometry::line(out, bytes),
            Shape::Circle => geometry::circle(out, bytes),
            Shape::Array | Shape::Vector | Shape::Record | Shape::Range(_) | Shape::Multirange(_) => {
                self.nested(shape, bytes)
            }
        }
    }
}

fn push(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    out.extend_from_slice(text);
    Some(())
}

/// Splits `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

/// A `"char"`: a zero byte is empty, and one above ASCII is octal since PostgreSQL 16 (before, it was sent raw, which
/// no encoding can show).
fn single_byte(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    match bytes {
        [0] => Some(()),
        [b] if !b.is_ascii() => push(out, &[b'\\', b'0' + (b >> 6), b'0' + (b >> 3 & 7), b'0' + (b & 7)]),
        [_] => push(out, bytes),
        _ => None,
    }
}

fn bits(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let count = usize::try_from(i32::from_be_bytes(take(&mut bytes)?)).ok()?;
    if bytes.len() != count.div_ceil(8) {
        return None;
    }
    let bit = |n: usize| bytes.get(n / 8).map_or(0, |byte| byte >> (7 - n % 8) & 1);
    out.extend((0..count).map(|n| b'0' + bit(n)));
    Some(())
}

#[cfg(test)]
mod tests;
