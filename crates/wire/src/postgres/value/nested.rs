//! Values made of values: arrays, vectors, records, ranges. Each quotes its parts by its own rule, as the server does.

use super::number::signed;
use super::types::{Shape, shape};
use super::{MAX_DEPTH, Writer, push, take};

/// The most dimensions an array can have (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

/// The oid of `box`, the one built-in type whose arrays are written with semicolons.
const BOX: u32 = 603;

/// The flags of a range's binary form (`rangetypes.h`).
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

struct Dimension {
    len: usize,
    lower: i32,
}

impl Writer<'_> {
    pub(super) fn nested(&mut self, shape: Shape, bytes: &[u8]) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let read = match shape {
            Shape::Array => self.array(bytes),
            Shape::Vector => self.vector(bytes),
            Shape::Record => self.record(bytes),
            Shape::Range(bound) => self.range(bound, bytes),
            Shape::Multirange(range) => self.multirange(range, bytes),
            _ => None,
        };
        self.depth -= 1;
        read
    }

    /// A part's value, with its length in front; `Some(false)` is NULL.
    fn part(&mut self, shape: Shape, bytes: &mut &[u8]) -> Option<bool> {
        let length = i32::from_be_bytes(take(bytes)?);
        if length == -1 {
            return Some(false);
        }
        let (part, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
        *bytes = rest;
        self.text(shape, part)?;
        (self.out.len() <= self.limit).then_some(true)
    }

    /// Puts what was written from `start` on in double quotes; `"` and `\` get `mark(byte)` in front.
    fn quote(&mut self, start: usize, mark: impl Fn(u8) -> u8) {
        let text = self.out.split_off(start.min(self.out.len()));
        self.out.push(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(mark(byte));
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
    }

    fn array(&mut self, mut bytes: &[u8]) -> Option<()> {
        let (dimensions, element) = array_header(&mut bytes)?;
        let count = dimensions.iter().try_fold(1_usize, |n, d| n.checked_mul(d.len))?;
        if dimensions.is_empty() || count == 0 {
            push(self.out, b"{}")?;
            return bytes.is_empty().then_some(());
        }
        // Each element has at least its length; so no count can make us work beyond the bytes there are.
        if count > bytes.len() / 4 {
            return None;
        }
        if dimensions.iter().any(|d| d.lower != 1) {
            for d in &dimensions {
                self.out.push(b'[');
                signed(self.out, d.lower.into())?;
                self.out.push(b':');
                signed(self.out, i64::from(d.lower) + i64::try_from(d.len).ok()? - 1)?;
                self.out.push(b']');
            }
            self.out.push(b'=');
        }
        let delimiter = if element == BOX { b';' } else { b',' };
        let shape = shape(element);
        for index in 0..count {
            // How many braces end and begin here: one for each dimension whose block is full.
            let mut block = 1;
            let edges = dimensions.iter().rev().take_while(|d| {
                block *= d.len;
                index % block == 0
            });
            let edges = edges.count();
            if index > 0 {
                self.out.resize(self.out.len() + edges, b'}');
                self.out.push(delimiter);
            }
            self.out.resize(self.out.len() + edges, b'{');
            self.element(shape, delimiter, &mut bytes)?;
        }
        self.out.resize(self.out.len() + dimensions.len(), b'}');
        bytes.is_empty().then_some(())
    }

    fn element(&mut self, shape: Shape, delimiter: u8, bytes: &mut &[u8]) -> Option<()> {
        let start = self.out.len();
        if !self.part(shape, bytes)? {
            return push(self.out, b"NULL");
        }
        let text = self.out.get(start..)?;
        let special = |b: &u8| matches!(b, b'"' | b'\\' | b'{' | b'}') || *b == delimiter || is_space(*b);
        if text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(special) {
            self.quote(start, |_| b'\\');
        }
        Some(())
    }

    /// `int2vector` and `oidvector`: sent as arrays that count from 0, written as a list.
    fn vector(&mut self, mut bytes: &[u8]) -> Option<()> {
        let (dimensions, element) = array_header(&mut bytes)?;
        let count = match dimensions.as_slice() {
            [] => 0,
            [one] => one.len,
            _ => return None,
        };
        let shape = shape(element);
        for index in 0..count {
            if index > 0 {
                self.out.push(b' ');
            }
            self.part(shape, &mut bytes)?.then_some(())?;
        }
        bytes.is_empty().then_some(())
    }

    fn record(&mut self, mut bytes: &[u8]) -> Option<()> {
        let count = u32::from_be_bytes(take(&mut bytes)?);
        self.out.push(b'(');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            let shape = shape(u32::from_be_bytes(take(&mut bytes)?));
            let start = self.out.len();
            if self.part(shape, &mut bytes)? {
                let text = self.out.get(start..)?;
                let special = |b: &u8| matches!(b, b'"' | b'\\' | b'(' | b')' | b',') || is_space(*b);
                if text.is_empty() || text.iter().any(special) {
                    self.quote(start, |byte| byte);
                }
            }
        }
        self.out.push(b')');
        bytes.is_empty().then_some(())
    }

    fn range(&mut self, bound: u32, mut bytes: &[u8]) -> Option<()> {
        let [flags] = take(&mut bytes)?;
        if flags & EMPTY != 0 {
            push(self.out, b"empty")?;
            return bytes.is_empty().then_some(());
        }
        let shape = shape(bound);
        self.out.push(if flags & LOWER_INCLUSIVE != 0 { b'[' } else { b'(' });
        if flags & LOWER_INFINITE == 0 {
            self.bound(shape, &mut bytes)?;
        }
        self.out.push(b',');
        if flags & UPPER_INFINITE == 0 {
            self.bound(shape, &mut bytes)?;
        }
        self.out.push(if flags & UPPER_INCLUSIVE != 0 { b']' } else { b')' });
        bytes.is_empty().then_some(())
    }

    fn bound(&mut self, shape: Shape, bytes: &mut &[u8]) -> Option<()> {
        let start = self.out.len();
        self.part(shape, bytes)?.then_some(())?;
        let text = self.out.get(start..)?;
        let special = |b: &u8| matches!(b, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',') || is_space(*b);
        if text.is_empty() || text.iter().any(special) {
            self.quote(start, |byte| byte);
        }
        Some(())
    }

    fn multirange(&mut self, range: u32, mut bytes: &[u8]) -> Option<()> {
        let count = u32::from_be_bytes(take(&mut bytes)?);
        let shape = shape(range);
        self.out.push(b'{');
        for index in 0..count {
            if index > 0 {
                self.out.push(b',');
            }
            self.part(shape, &mut bytes)?.then_some(())?;
        }
        self.out.push(b'}');
        bytes.is_empty().then_some(())
    }
}

fn array_header(bytes: &mut &[u8]) -> Option<(Vec<Dimension>, u32)> {
    let count = usize::try_from(i32::from_be_bytes(take(bytes)?)).ok().filter(|n| *n <= MAX_DIMENSIONS)?;
    let _has_null: [u8; 4] = take(bytes)?;
    let element = u32::from_be_bytes(take(bytes)?);
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        let len = usize::try_from(i32::from_be_bytes(take(bytes)?)).ok()?;
        let lower = i32::from_be_bytes(take(bytes)?);
        dimensions.push(Dimension { len, lower });
    }
    Some((dimensions, element))
}

/// `array_isspace` and `isspace` in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
