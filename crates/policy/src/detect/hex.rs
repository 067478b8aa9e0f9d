//! Texts that are written as PostgreSQL writes bytes: `\\x` and two hexadecimal signs for each.

use std::ops::Range;

/// Fewer bytes are no text in which something can be found.
const SHORTEST: usize = 6;

/// The text that a value in hexadecimal stands for; `None` when it is none, or its bytes are no text.
pub(crate) fn text(value: &str) -> Option<String> {
    let digits = value.strip_prefix("\\x")?.as_bytes();
    if digits.len() < 2 * SHORTEST || !digits.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => {
                Some(nibble(*high)? << 4 | nibble(*low)?).filter(|b| *b >= b' ' || b.is_ascii_whitespace())
            }
            _ => None,
        })
        .collect();
    String::from_utf8(bytes?).ok()
}

/// The next run of hexadecimal signs behind a `\\x` within a text: the mark's place and the end. Where it stands in a text in
/// quotes or an array, the backslash is doubled.
pub(crate) fn next(text: &str, from: usize) -> Option<Range<usize>> {
    let at = from + text.get(from..)?.find("\\x")?;
    let len = text.bytes().skip(at + 2).take_while(u8::is_ascii_hexdigit).count();
    Some(at..at + 2 + len)
}

fn nibble(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok())
}

/// Where bytes of the text stand in the value: the whole value with its mark, where the whole text was found.
pub(crate) fn place(range: &Range<usize>, len: usize) -> Range<usize> {
    let (start, end) = (2 + 2 * range.start, 2 + 2 * range.end);
    if range.start == 0 && end == len { 0..len } else { start..end }
}
