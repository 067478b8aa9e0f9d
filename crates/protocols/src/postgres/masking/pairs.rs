//! `hstore`: keys with texts (PostgreSQL docs, appendix F, "hstore"). Its type has another number in every database, so it is
//! known by its form.

use std::fmt::Write as _;

use firsthand_wire::postgres::Format;

/// A key and its text; `None`: NULL.
pub(super) type Pair = (String, Option<String>);

/// Its pairs; `None`: it is none, or an empty one.
pub(super) fn read(format: Format, value: &[u8]) -> Option<Vec<Pair>> {
    match format {
        Format::Text => read_text(str::from_utf8(value).ok()?),
        Format::Binary => read_binary(value),
    }
}

fn read_text(mut rest: &str) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    loop {
        let (key, after) = quoted(rest)?;
        rest = after.strip_prefix("=>")?;
        let value = match rest.strip_prefix("NULL") {
            Some(after) => {
                rest = after;
                None
            }
            None => {
                let (value, after) = quoted(rest)?;
                rest = after;
                Some(value)
            }
        };
        pairs.push((key, value));
        if rest.is_empty() {
            return Some(pairs);
        }
        rest = rest.strip_prefix(", ")?;
    }
}

/// What stands between quotes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let body = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut signs = body.char_indices();
    while let Some((at, sign)) = signs.next() {
        match sign {
            '"' => return Some((out, body.get(at + 1..)?)),
            '\\' => out.push(signs.next()?.1),
            sign => out.push(sign),
        }
    }
    None
}

/// How many, then each: length and key, length and text; -1: NULL.
fn read_binary(value: &[u8]) -> Option<Vec<Pair>> {
    let (count, mut rest) = number(value)?;
    // Other types are told from it before anything of them is copied: each pair has two lengths.
    let fits = |count: &usize| *count > 0 && *count <= rest.len() / 8;
    let count = usize::try_from(count).ok().filter(fits)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (key, after) = sized(rest)?;
        let (text, after) = sized(after)?;
        pairs.push((key?, text));
        rest = after;
    }
    rest.is_empty().then_some(pairs)
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    bytes.split_first_chunk::<4>().map(|(number, rest)| (i32::from_be_bytes(*number), rest))
}

fn sized(bytes: &[u8]) -> Option<(Option<String>, &[u8])> {
    let (length, rest) = number(bytes)?;
    if length == -1 {
        return Some((None, rest));
    }
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(str::from_utf8(text).ok()?.to_owned()), rest))
}

/// Writes pairs in the order they came.
pub(super) fn write(format: Format, pairs: &[Pair], out: &mut Vec<u8>) {
    match format {
        Format::Text => {
            let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let mut text = String::new();
            for (key, value) in pairs {
                let comma = if text.is_empty() { "" } else { ", " };
                // Into a String nothing fails.
                let _ = match value {
                    Some(value) => write!(text, "{comma}\"{}\"=>\"{}\"", escaped(key), escaped(value)),
                    None => write!(text, "{comma}\"{}\"=>NULL", escaped(key)),
                };
            }
            out.extend_from_slice(text.as_bytes());
        }
        Format::Binary => {
            let length = |len: usize| i32::try_from(len).unwrap_or(i32::MAX).to_be_bytes();
            out.extend_from_slice(&length(pairs.len()));
            for (key, value) in pairs {
                out.extend_from_slice(&length(key.len()));
                out.extend_from_slice(key.as_bytes());
                match value {
                    Some(value) => {
                        out.extend_from_slice(&length(value.len()));
                        out.extend_from_slice(value.as_bytes());
                    }
                    None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_written_as_they_were_read() {
        for text in ["\"a\"=>\"b\"", "\"a\"=>NULL, \"b \\\" c\"=>\"d \\\\ e\"", "\"\"=>\"\""] {
            let pairs = read(Format::Text, text.as_bytes()).unwrap();
            for format in [Format::Text, Format::Binary] {
                let mut out = Vec::new();
                write(format, &pairs, &mut out);
                assert_eq!(read(format, &out), Some(pairs.clone()), "{text}");
                assert!(format == Format::Binary || out == text.as_bytes(), "{text}");
                // Cut anywhere it is none.
                for end in 0..out.len() {
                    assert_ne!(read(format, &out[..end]).as_ref(), Some(&pairs), "{text} up to {end}");
                }
            }
        }
        for none in ["", "\"a\"", "\"a\"=>b", "\"a\"=>\"b\",", "a=>b", "\"a\"=>\"b\" "] {
            assert_eq!(read(Format::Text, none.as_bytes()), None, "{none}");
        }
    }
}
