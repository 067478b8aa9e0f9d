//! COPY data in binary format, taken apart into rows. (PostgreSQL docs, COPY, "Binary Format".)
//!
//! The data does not tell its types, so in the record a value that is UTF-8 without control characters is shown as text, and any other as
//! its bytes. What is not written as it should be is shown as bytes, too.

use firsthand_model::json;

/// What begins it.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Bytes of flags and of the extension's length behind the signature.
const HEADER_REST: usize = 8;

/// What stands at the front of the data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// The header, or the mark of the end: so many bytes.
    Mark(usize),
    /// A row of so many bytes.
    Row(usize),
    /// Not whole yet.
    Short,
    Broken,
}

/// Finds where rows end. It remembers how far it has looked, so that a row in many messages is looked at once.
#[derive(Debug, Default)]
pub(super) struct Ends {
    headed: bool,
    /// The mark of the end has come: nothing may follow.
    ended: bool,
    /// Of the row at the front: where its next field begins, and how many fields are left.
    row: Option<(usize, u16)>,
}

impl Ends {
    /// What stands at the front of `data`, which begins where the last one ended and may have grown since `Short`.
    pub(super) fn front(&mut self, data: &[u8]) -> Front {
        if self.ended {
            return Front::Broken;
        }
        if !self.headed {
            return self.header(data);
        }
        let (mut at, mut left) = match self.row {
            Some(row) => row,
            None => {
                let Some(count) = data.first_chunk().map(|count| i16::from_be_bytes(*count)) else {
                    return Front::Short;
                };
                match u16::try_from(count) {
                    Ok(count) => (2, count),
                    Err(_) if count == -1 => {
                        self.ended = true;
                        return Front::Mark(2);
                    }
                    Err(_) => return Front::Broken,
                }
            }
        };
        while left > 0 {
            self.row = Some((at, left));
            let Some(len) = i32_at(data, at) else { return Front::Short };
            let field = match usize::try_from(len) {
                Ok(len) => len,
                Err(_) if len == -1 => 0,
                Err(_) => return Front::Broken,
            };
            at = at.saturating_add(4).saturating_add(field);
            if at > data.len() {
                return Front::Short;
            }
            left -= 1;
        }
        self.row = None;
        Front::Row(at)
    }

    fn header(&mut self, data: &[u8]) -> Front {
        let known = data.len().min(SIGNATURE.len());
        if data.get(..known) != SIGNATURE.get(..known) {
            return Front::Broken;
        }
        let Some(extension) = i32_at(data, SIGNATURE.len() + HEADER_REST - 4) else { return Front::Short };
        let Ok(extension) = usize::try_from(extension) else { return Front::Broken };
        let len = (SIGNATURE.len() + HEADER_REST).saturating_add(extension);
        if data.len() < len {
            return Front::Short;
        }
        self.headed = true;
        Front::Mark(len)
    }
}

/// One transfer under way: a row may begin in one message and end in another.
#[derive(Debug, Default)]
pub(super) struct Copied {
    /// The beginning of a row, or of the header.
    pending: Vec<u8>,
    ends: Ends,
    /// It is not as it should be: what follows is bytes.
    broken: bool,
}

impl Copied {
    /// Takes in data and hands each whole row, rendered as JSON, to `keep`, until that wants no more. False: more than
    /// `limit` bytes of one row have come.
    pub(super) fn feed(
        &mut self,
        data: &[u8],
        limit: u64,
        mut keep: impl FnMut(&dyn Fn(&mut Vec<u8>)) -> bool,
    ) -> bool {
        self.pending.extend_from_slice(data);
        let mut from = 0;
        let mut fits = true;
        while let Some(rest) = self.pending.get(from..).filter(|rest| !rest.is_empty()) {
            let front = if self.broken { Front::Broken } else { self.ends.front(rest) };
            let len = match front {
                Front::Mark(len) | Front::Row(len) => len,
                Front::Short => {
                    fits = rest.len() as u64 <= limit;
                    break;
                }
                Front::Broken => rest.len(),
            };
            from += len;
            let piece = rest.get(..len).unwrap_or(rest);
            let more = match front {
                Front::Mark(_) | Front::Short => true,
                Front::Row(_) => keep(&|out| row(out, piece)),
                Front::Broken => {
                    self.broken = true;
                    let room = usize::try_from(limit).unwrap_or(usize::MAX);
                    let shown = piece.get(..room).unwrap_or(piece);
                    keep(&|out| bytes(out, shown))
                }
            };
            if !more {
                self.pending.clear();
                return true;
            }
        }
        self.pending.drain(..from.min(self.pending.len()));
        fits
    }

    /// What is left when no more comes: the beginning of a row.
    pub(super) fn rest(&mut self) -> Option<impl Fn(&mut Vec<u8>) + use<>> {
        let rest = std::mem::take(&mut self.pending);
        (!rest.is_empty()).then_some(move |out: &mut Vec<u8>| bytes(out, &rest))
    }
}

fn i32_at(data: &[u8], at: usize) -> Option<i32> {
    data.get(at..)?.first_chunk().map(|number| i32::from_be_bytes(*number))
}

/// A whole row as a list of values.
fn row(out: &mut Vec<u8>, row: &[u8]) {
    out.push(b'[');
    let mut at = 2usize;
    while let Some(len) = i32_at(row, at) {
        if at > 2 {
            out.push(b',');
        }
        at += 4;
        match usize::try_from(len).ok().and_then(|len| row.get(at..at + len)) {
            Some(value) => {
                at += value.len();
                match std::str::from_utf8(value) {
                    Ok(text) if !text.chars().any(char::is_control) => json::write_string(out, text),
                    _ => bytes(out, value),
                }
            }
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b"{\"hex\":\"");
    json::write_hex(out, value);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(pieces: &[&[u8]], limit: u64) -> (Vec<String>, bool) {
        let (mut copied, mut rows) = (Copied::default(), Vec::new());
        let mut fits = true;
        for piece in pieces {
            fits &= copied.feed(piece, limit, |write| {
                let mut out = Vec::new();
                write(&mut out);
                rows.push(String::from_utf8(out).unwrap());
                true
            });
        }
        if let Some(rest) = copied.rest() {
            let mut out = Vec::new();
            rest(&mut out);
            rows.push(String::from_utf8(out).unwrap());
        }
        (rows, fits)
    }

    fn sample() -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0, 0, 0, 0, 0, 0, 0, 2, 9, 9]);
        for (n, text) in [(1u8, Some("ada")), (2, None), (3, Some("z\u{fc}rich"))] {
            data.extend([0, 2, 0, 0, 0, 4, 0, 0, 0, n]);
            match text {
                Some(text) => {
                    data.extend((text.len() as u32).to_be_bytes());
                    data.extend(text.as_bytes());
                }
                None => data.extend([255; 4]),
            }
        }
        data.extend([255, 255]);
        data
    }

    #[test]
    fn rows_are_told_apart_wherever_the_messages_end() {
        let data = sample();
        let rows = [
            r#"[{"hex":"00000001"},"ada"]"#,
            r#"[{"hex":"00000002"},null]"#,
            "[{\"hex\":\"00000003\"},\"z\u{fc}rich\"]",
        ];
        for at in 0..=data.len() {
            let (a, b) = data.split_at(at);
            assert_eq!(told(&[a, b], 100), (rows.map(str::to_owned).to_vec(), true), "split at {at}");
        }
        let single: Vec<&[u8]> = data.chunks(1).collect();
        assert_eq!(told(&single, 100).0, rows);
    }

    #[test]
    fn what_is_no_such_data_is_shown_as_bytes() {
        let mut broken = sample();
        let end = broken.len() - 2;
        broken.truncate(end);
        broken.extend([0, 1, 255, 255, 255, 254]);
        let (rows, fits) = told(&[&broken, b"more"], 100);
        assert_eq!((rows.len(), fits), (5, true));
        assert_eq!(rows[3..], [r#"{"hex":"0001fffffffe"}"#, r#"{"hex":"6d6f7265"}"#]);
        let after_the_end = [sample(), b"x".to_vec()].concat();
        assert_eq!(told(&[&after_the_end], 100).0.last().unwrap(), r#"{"hex":"78"}"#);
        assert_eq!(told(&[b"no signature"], 4).0, [r#"{"hex":"6e6f2073"}"#]);
        assert_eq!(told(&[&sample()[..47]], 100).0.last().unwrap(), r#"{"hex":"000200000004000000"}"#);
    }

    #[test]
    fn a_row_beyond_the_limit_is_not_gathered() {
        let mut data = SIGNATURE.to_vec();
        data.extend([0; 8]);
        data.extend([0, 1, 127, 255, 255, 255]);
        let (rows, fits) = told(&[&data, &[7; 50], &[7; 60]], 100);
        assert!(rows.len() <= 1 && !fits, "{rows:?}");
    }
}
