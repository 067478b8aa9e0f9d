//! A snapshot on disk: the rows it was made of, each value behind its length. Nothing of another format version is read, nor
//! what other questions have answered.

use std::collections::HashMap;

use super::build::{Builder, ROWS_MAX, Row};
use super::queries::{QUERIES, VERSION_QUERY};

const MAGIC: &[u8; 8] = b"FHCAT\x00\x00\x02";

/// Longest value kept: a view's definition of a megabyte is no view.
const VALUE_BYTES_MAX: usize = 16 << 20;

impl Builder {
    /// As bytes to keep.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 << 20);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&of_questions().to_le_bytes());
        put(&mut out, Some(&self.version));
        let mut names: Vec<&String> = self.rows.keys().collect();
        names.sort();
        for name in names {
            let Some(rows) = self.rows.get(name) else { continue };
            put(&mut out, Some(name));
            out.extend_from_slice(&length(rows.len()));
            for row in rows {
                out.extend_from_slice(&length(row.len()));
                row.iter().for_each(|value| put(&mut out, value.as_deref()));
            }
        }
        out
    }

    /// From such bytes; `None`: they are something else, or damaged.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut from = bytes.strip_prefix(MAGIC)?.strip_prefix(&of_questions().to_le_bytes())?;
        let version = take(&mut from)??;
        let mut rows: HashMap<String, Vec<Row>> = HashMap::new();
        let mut builder = Self::new(&version);
        while !from.is_empty() {
            let name = take(&mut from)??;
            let count = usize::try_from(take_length(&mut from)?).ok().filter(|n| *n <= ROWS_MAX)?;
            let list = rows.entry(name).or_default();
            for _ in 0..count {
                let width = take_length(&mut from)?;
                list.push((0..width.min(64)).map(|_| take(&mut from)).collect::<Option<Row>>()?);
            }
        }
        for (name, rows) in rows {
            builder.add(&name, rows).then_some(())?;
        }
        Some(builder)
    }
}

/// Tells the questions that the rows answer from those of other versions (FNV-1a).
fn of_questions() -> u64 {
    let texts = QUERIES.iter().flat_map(|q| [q.name, q.sql]).chain([VERSION_QUERY]);
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX - 1).to_le_bytes()
}

fn put(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => out.extend_from_slice(&u32::MAX.to_le_bytes()),
        Some(value) => {
            out.extend_from_slice(&length(value.len()));
            out.extend_from_slice(value.as_bytes());
        }
    }
}

fn take_length(from: &mut &[u8]) -> Option<u32> {
    let (head, tail) = from.split_first_chunk::<4>()?;
    *from = tail;
    Some(u32::from_le_bytes(*head))
}

#[expect(clippy::option_option, reason = "the outer one is damage, the inner one is NULL")]
fn take(from: &mut &[u8]) -> Option<Option<String>> {
    let len = take_length(from)?;
    if len == u32::MAX {
        return Some(None);
    }
    let len = usize::try_from(len).ok().filter(|n| *n <= VALUE_BYTES_MAX)?;
    let (head, tail) = from.split_at_checked(len)?;
    *from = tail;
    Some(Some(str::from_utf8(head).ok()?.to_owned()))
}
