//! Restricted JSON text (RFC 8785 without floats): written by hand, because every command pays for it twice.
//!
//! Objects must be written with their keys in ascending order; the golden tests of the record check that. Reading is
//! serde's job, at the edges.

/// A finished piece of restricted JSON text: a value ready to be placed inside a larger one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Json(Vec<u8>);

impl Json {
    /// Takes text that the caller wrote with this module (or an equal writer). Empty means "absent".
    pub fn from_written(text: Vec<u8>) -> Self {
        Self(text)
    }

    /// The JSON string of `text`.
    pub fn string(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        write_string(&mut out, text);
        Self(out)
    }

    /// The text. Empty when absent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True when there is no value.
    pub fn is_absent(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of the text.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no value (same as [`Json::is_absent`]).
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Bytes that JSON must escape: control characters, the quote, the backslash.
const fn must_escape(b: u8) -> bool {
    b < 0x20 || b == b'"' || b == b'\\'
}

/// Appends `text` as a JSON string, quotes included (RFC 8785 3.2.2.2 escapes).
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = first_to_escape(rest) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        if let Some((first, after)) = tail.split_first() {
            write_escape(out, *first);
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte that must be escaped stands. Looks at eight bytes at a time, because nearly all text is clean and
/// every statement and every row goes through here.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let marks = marks_to_escape(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(i * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let start = bytes.len() - rest.len();
    rest.iter().position(|b| must_escape(*b)).map(|at| start + at)
}

/// The highest bit of each byte that must be escaped. Bytes above the first marked one may be marked wrongly: a borrow
/// runs upwards.
const fn marks_to_escape(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let zero = quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash;
    (below | zero) & HIGHS
}

fn write_escape(out: &mut Vec<u8>, b: u8) {
    match b {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x0a => out.extend_from_slice(b"\\n"),
        0x0c => out.extend_from_slice(b"\\f"),
        0x0d => out.extend_from_slice(b"\\r"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(hex_digit(b >> 4));
            out.push(hex_digit(b));
        }
    }
}

/// Appends `bytes` as a JSON string: as text where they are UTF-8, otherwise with U+FFFD in place of what is not.
pub fn write_lossy(out: &mut Vec<u8>, bytes: &[u8]) {
    write_string(out, &String::from_utf8_lossy(bytes));
}

/// Appends a whole number. Above 2^53-1 it is written as a string, because JSON numbers are doubles to most readers.
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    const MAX_SAFE: u64 = (1 << 53) - 1;
    if value > MAX_SAFE {
        out.push(b'"');
        write_digits(out, value);
        out.push(b'"');
    } else {
        write_digits(out, value);
    }
}

fn write_digits(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
        at -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// Appends lower-case hexadecimal digits (no quotes).
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2);
    for b in bytes {
        out.push(hex_digit(b >> 4));
        out.push(hex_digit(*b));
    }
}

fn hex_digit(nibble: u8) -> u8 {
    let n = nibble & 0x0f;
    if n < 10 { b'0' + n } else { b'a' + n - 10 }
}

/// Writes one object: keys in the order given, which must be ascending (checked in debug builds).
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    #[cfg(debug_assertions)]
    last: Vec<u8>,
}

impl<'a> Object<'a> {
    /// Opens `{`.
    #[inline]
    pub fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            first: true,
            #[cfg(debug_assertions)]
            last: Vec::new(),
        }
    }

    /// Writes `"key":` and hands out the buffer for the value.
    #[inline]
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        #[cfg(debug_assertions)]
        {
            debug_assert!(self.first || self.last.as_slice() < key.as_bytes(), "key {key} is out of order");
            self.last = key.as_bytes().to_vec();
        }
        if self.first {
            self.first = false;
        } else {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// `"key":"text"`.
    #[inline]
    pub fn string(&mut self, key: &str, text: &str) {
        write_string(self.key(key), text);
    }

    /// `"key":123`.
    #[inline]
    pub fn number(&mut self, key: &str, value: u64) {
        write_u64(self.key(key), value);
    }

    /// `"key":true`.
    pub fn boolean(&mut self, key: &str, value: bool) {
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.key(key).extend_from_slice(text);
    }

    /// `"key":<value>`; nothing when the value is absent.
    pub fn json(&mut self, key: &str, value: &Json) {
        if !value.is_absent() {
            self.key(key).extend_from_slice(value.as_bytes());
        }
    }

    /// `"key":["a","b"]`; nothing when the list is empty.
    pub fn strings<S: AsRef<str>>(&mut self, key: &str, texts: &[S]) {
        if texts.is_empty() {
            return;
        }
        let out = self.key(key);
        out.push(b'[');
        for (i, text) in texts.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(out, text.as_ref());
        }
        out.push(b']');
    }

    /// Closes `}`.
    #[inline]
    pub fn close(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        String::from_utf8(Json::string(text).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_rfc_8785_says() {
        assert_eq!(string(""), r#""""#);
        assert_eq!(string("a\"b\\c\n\t\r\u{8}\u{c}\u{1}\u{1f}"), r#""a\"b\\c\n\t\r\b\f\u0001\u001f""#);
        assert_eq!(string("grün €"), "\"grün €\"");
    }

    #[test]
    fn every_byte_to_escape_is_found_wherever_it_stands() {
        for byte in 0..=255u8 {
            for length in 1..20 {
                for at in 0..length {
                    for around in [b'a', 0xff, 0x80, 0x21, 0x23] {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        let naive = bytes.iter().position(|b| must_escape(*b));
                        assert_eq!(first_to_escape(&bytes), naive, "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_what_doubles_hold_become_strings() {
        let text = |n| {
            let mut out = Vec::new();
            write_u64(&mut out, n);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(0), "0");
        assert_eq!(text(1234567890), "1234567890");
        assert_eq!(text((1 << 53) - 1), "9007199254740991");
        assert_eq!(text(1 << 53), "\"9007199254740992\"");
        assert_eq!(text(u64::MAX), "\"18446744073709551615\"");
    }

    #[test]
    fn objects_hold_what_was_put_in() {
        let mut out = Vec::new();
        let mut o = Object::open(&mut out);
        o.boolean("a", true);
        o.json("b", &Json::default());
        o.number("c", 7);
        o.strings("d", &["x", "y"]);
        o.string("e", "z");
        o.close();
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":true,"c":7,"d":["x","y"],"e":"z"}"#);
    }
}
