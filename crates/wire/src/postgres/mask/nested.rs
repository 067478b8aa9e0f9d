//! Masks of values made of values: arrays and records, part by part, in both formats.
//!
//! The functions that walk them are public: whoever looks through values walks them the same way.

use super::kind::{self, BOX, Kind};
use super::{Aid, Mask, Style, Typed};
use crate::postgres::Format;

/// The most dimensions an array can have (`MAXDIM`).
const MAX_DIMENSIONS: i32 = 6;

/// What stands where a type is not told, or must not be.
const TEXT: Typed = Typed { oid: 25, modifier: -1, format: Format::Text };

/// What becomes of a part: it writes the part's new value, or says false for NULL.
pub type Rewrite<'f> = dyn FnMut(&[u8], &mut Vec<u8>) -> bool + 'f;

/// The same for a part whose type comes with it.
pub type RewriteTyped<'f> = dyn FnMut(u32, &[u8], &mut Vec<u8>) -> bool + 'f;

/// Copies an array in text with each element rewritten; NULL elements stay. `None`: it is no array.
pub fn array_text(text: &[u8], delimiter: u8, out: &mut Vec<u8>, rewrite: &mut Rewrite<'_>) -> Option<()> {
    let mut rest = text;
    if rest.first() == Some(&b'[') {
        let bounds = memchr::memchr(b'=', rest)? + 1;
        let (head, tail) = rest.split_at_checked(bounds)?;
        head.iter()
            .all(|b| b.is_ascii_digit() || matches!(b, b'[' | b']' | b':' | b'=' | b'-' | b'+'))
            .then_some(())?;
        out.extend_from_slice(head);
        rest = tail;
    }
    (rest.first() == Some(&b'{')).then_some(())?;
    let (mut depth, mut element, mut masked) = (0_u32, Vec::new(), Vec::new());
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'{' | b'}' => {
                depth = if byte == b'{' { depth.checked_add(1)? } else { depth.checked_sub(1)? };
                out.push(byte);
                rest = after;
                if depth == 0 {
                    break;
                }
            }
            _ if byte == delimiter || byte.is_ascii_whitespace() => {
                out.push(byte);
                rest = after;
            }
            _ => {
                let quoted = byte == b'"';
                element.clear();
                rest = if quoted {
                    unquote(after, &mut element)?
                } else {
                    let ends = |b: &u8| matches!(*b, b'{' | b'}') || *b == delimiter;
                    let (token, tail) = rest.split_at_checked(rest.iter().position(ends)?)?;
                    element.extend_from_slice(token);
                    tail
                };
                masked.clear();
                if !quoted && element.eq_ignore_ascii_case(b"NULL") || !rewrite(&element, &mut masked) {
                    out.extend_from_slice(b"NULL");
                } else {
                    quote_element(&masked, delimiter, out);
                }
            }
        }
    }
    (depth == 0 && rest.is_empty()).then_some(())
}

/// Reads up to the closing quote, which is taken too. A backslash takes the next byte as it is.
fn unquote<'a>(mut rest: &'a [u8], into: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let end = memchr::memchr2(b'"', b'\\', rest)?;
        let (text, tail) = rest.split_at_checked(end)?;
        into.extend_from_slice(text);
        match tail {
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', byte, tail @ ..] => {
                into.push(*byte);
                rest = tail;
            }
            _ => return None,
        }
    }
}

fn quote_element(text: &[u8], delimiter: u8, out: &mut Vec<u8>) {
    let special = |b: &u8| matches!(b, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t'..=b'\r') || *b == delimiter;
    if text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(special) {
        out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(text);
    }
}

/// Copies an array in binary with each element rewritten (the element's type comes with it); NULL elements stay.
pub fn array_binary(value: &[u8], out: &mut Vec<u8>, rewrite: &mut RewriteTyped<'_>) -> Option<()> {
    let (head, rest) = value.split_first_chunk::<12>()?;
    let [d1, d2, d3, d4, _, _, _, _, e1, e2, e3, e4] = *head;
    let dimensions = i32::from_be_bytes([d1, d2, d3, d4]);
    (0..=MAX_DIMENSIONS).contains(&dimensions).then_some(())?;
    let element = u32::from_be_bytes([e1, e2, e3, e4]);
    let (sizes, mut rest) = rest.split_at_checked(usize::try_from(dimensions).ok()? * 8)?;
    let start = out.len();
    out.extend_from_slice(head);
    out.extend_from_slice(sizes);
    let mut has_null = false;
    while !rest.is_empty() {
        rest = part(rest, out, &mut has_null, &mut |v, out| rewrite(element, v, out))?;
    }
    if let Some(flag) = out.get_mut(start + 7) {
        *flag = u8::from(has_null);
    }
    Some(())
}

/// Copies one part with its length in front, rewritten; what follows it is returned.
fn part<'a>(
    bytes: &'a [u8],
    out: &mut Vec<u8>,
    has_null: &mut bool,
    rewrite: &mut Rewrite<'_>,
) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    let at = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    if length == -1 {
        *has_null = true;
        return Some(rest);
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    if rewrite(value, out) {
        let written = i32::try_from(out.len().checked_sub(at + 4)?).ok()?;
        out.get_mut(at..at + 4)?.copy_from_slice(&written.to_be_bytes());
    } else {
        out.truncate(at + 4);
        *has_null = true;
    }
    Some(rest)
}

/// Copies a record in binary with each field rewritten; NULL fields stay.
pub fn record_binary(value: &[u8], out: &mut Vec<u8>, rewrite: &mut RewriteTyped<'_>) -> Option<()> {
    let (count, mut rest) = value.split_first_chunk::<4>()?;
    out.extend_from_slice(count);
    for _ in 0..u32::from_be_bytes(*count) {
        let (oid, tail) = rest.split_first_chunk::<4>()?;
        out.extend_from_slice(oid);
        let oid = u32::from_be_bytes(*oid);
        rest = part(tail, out, &mut false, &mut |v, out| rewrite(oid, v, out))?;
    }
    rest.is_empty().then_some(())
}

/// Copies a record in text with each field rewritten; NULL fields stay.
pub fn record_text(text: &[u8], out: &mut Vec<u8>, rewrite: &mut Rewrite<'_>) -> Option<()> {
    let mut rest = text.strip_prefix(b"(")?.strip_suffix(b")")?;
    out.push(b'(');
    let (mut field, mut masked) = (Vec::new(), Vec::new());
    loop {
        field.clear();
        masked.clear();
        let (quoted, tail) = record_field(rest, &mut field)?;
        if (quoted || !field.is_empty()) && rewrite(&field, &mut masked) {
            quote_field(&masked, out);
        }
        match tail {
            [] => break,
            [b',', tail @ ..] => rest = tail,
            _ => return None,
        }
        out.push(b',');
    }
    out.push(b')');
    Some(())
}

/// Reads one field; whether it was quoted, and what follows it.
fn record_field<'a>(mut rest: &'a [u8], into: &mut Vec<u8>) -> Option<(bool, &'a [u8])> {
    let (mut inside, mut quoted) = (false, false);
    loop {
        match rest {
            [b'"', b'"', tail @ ..] if inside => {
                into.push(b'"');
                rest = tail;
            }
            [b'"', tail @ ..] => {
                (inside, quoted) = (!inside, true);
                rest = tail;
            }
            [b'\\', byte, tail @ ..] => {
                into.push(*byte);
                rest = tail;
            }
            [b',', ..] if !inside => return Some((quoted, rest)),
            [] => return (!inside).then_some((quoted, rest)),
            [byte, tail @ ..] => {
                into.push(*byte);
                rest = tail;
            }
        }
    }
}

fn quote_field(text: &[u8], out: &mut Vec<u8>) {
    let special = |b: &u8| matches!(b, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t'..=b'\r');
    if !text.is_empty() && !text.iter().any(special) {
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'"');
}

impl Mask {
    /// An array; the element type 0 in text stands for one that is not told.
    pub(super) fn array(
        &self,
        element: u32,
        typed: Typed,
        value: &[u8],
        aid: Aid<'_>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let start = out.len();
        let whole = match typed.format {
            Format::Text => {
                let of = if element == 0 { Kind::Untyped } else { kind::kind(element) };
                let typed = Typed { oid: element, ..typed };
                let delimiter = if element == BOX { b';' } else { b',' };
                array_text(value, delimiter, out, &mut |v, out| self.part(of, typed, v, aid.deeper(), out))
            }
            Format::Binary => array_binary(value, out, &mut |oid, v, out| {
                self.part(kind::kind(oid), Typed { oid, ..typed }, v, aid.deeper(), out)
            }),
        };
        if whole.is_none() && element != 0 && self.style == Style::Zero {
            // Nothing of it could be read: the array without elements is the zero.
            out.truncate(start);
            return self.no_elements(element, typed.format, out);
        }
        whole
    }

    /// The mask of a value of these kinds of which nothing of its form is left. `None`: other kinds' masks have none of it.
    #[expect(clippy::option_option, reason = "what is not written here and what is NULL are two answers")]
    pub(super) fn without_form(
        &self,
        kind: Kind,
        typed: Typed,
        aid: Aid<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Option<()>> {
        let binary = typed.format == Format::Binary;
        match kind {
            Kind::Array(element) => Some(self.one_element(element, typed, aid, out)),
            Kind::Json | Kind::Jsonb => {
                let version: &[u8] = if kind == Kind::Jsonb && binary { &[1] } else { &[] };
                out.extend_from_slice(version);
                self.scalar(&[], aid.tokens, out);
                Some(Some(()))
            }
            // Neither how many fields there are nor of which types.
            Kind::Record => Some(self.one_field(typed.format, aid, out)),
            Kind::Void => Some(Some(())),
            Kind::Untyped => Some(self.text(Kind::Text, TEXT, &[], aid.tokens, out)),
            Kind::Bits => Some(None),
            // Of one family, whichever the value's is.
            Kind::Net(cidr) if binary => {
                Some(self.network(kind, binary, &[2, 0, u8::from(cidr), 4, 0, 0, 0, 0], out))
            }
            Kind::Net(_) => Some(self.network(kind, binary, b"0.0.0.0/0", out)),
            _ => None,
        }
    }

    fn one_element(&self, element: u32, typed: Typed, aid: Aid<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mut masked = Vec::new();
        let typed = Typed { oid: element, ..typed };
        let some = self.part(kind::kind(element), typed, &[], aid.deeper(), &mut masked);
        match typed.format {
            Format::Text => {
                out.push(b'{');
                if some {
                    quote_element(&masked, if element == BOX { b';' } else { b',' }, out);
                } else {
                    out.extend_from_slice(b"NULL");
                }
                out.push(b'}');
            }
            Format::Binary => {
                let length = if some { i32::try_from(masked.len()).ok()? } else { -1 };
                // One dimension, of one element, from 1 on.
                let head = [1, i32::from(!some)].map(i32::to_be_bytes);
                out.extend_from_slice(head.as_flattened());
                out.extend_from_slice(&element.to_be_bytes());
                out.extend_from_slice([1, 1, length].map(i32::to_be_bytes).as_flattened());
                out.extend_from_slice(&masked);
            }
        }
        Some(())
    }

    fn one_field(&self, format: Format, aid: Aid<'_>, out: &mut Vec<u8>) -> Option<()> {
        let mut masked = Vec::new();
        let some = self.text(Kind::Text, TEXT, &[], aid.tokens, &mut masked).is_some();
        match format {
            Format::Text => {
                out.push(b'(');
                if some {
                    quote_field(&masked, out);
                }
                out.push(b')');
            }
            Format::Binary => {
                let length = if some { i32::try_from(masked.len()).ok()? } else { -1 };
                out.extend_from_slice(&1_u32.to_be_bytes());
                out.extend_from_slice(&TEXT.oid.to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&masked);
            }
        }
        Some(())
    }

    fn no_elements(&self, element: u32, format: Format, out: &mut Vec<u8>) -> Option<()> {
        match format {
            Format::Text => out.extend_from_slice(b"{}"),
            Format::Binary => {
                out.extend_from_slice(&[0; 8]);
                out.extend_from_slice(&element.to_be_bytes());
            }
        }
        Some(())
    }

    pub(super) fn record(&self, typed: Typed, value: &[u8], aid: Aid<'_>, out: &mut Vec<u8>) -> Option<()> {
        match typed.format {
            Format::Text => record_text(value, out, &mut |v, out| {
                self.part(Kind::Untyped, Typed { oid: 0, ..typed }, v, aid.deeper(), out)
            }),
            Format::Binary => record_binary(value, out, &mut |oid, v, out| {
                let typed = Typed { oid, modifier: -1, format: Format::Binary };
                self.part(kind::kind(oid), typed, v, aid.deeper(), out)
            }),
        }
    }
}
