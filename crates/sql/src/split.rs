//! Where statements begin and end in a text.

use std::ops::Range;

/// White space as PostgreSQL's scanner has it.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c')
}

/// All of a text that is one statement without comments at its ends.
pub(crate) fn trimmed(text: &[u8]) -> Range<usize> {
    let outside = |byte: &u8| is_space(*byte) || *byte == b';';
    let start = text.iter().position(|byte| !outside(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !outside(byte)).map_or(start, |last| last + 1);
    start..end
}

/// The place of a statement that the parser found at `location` with `len` bytes (0: to the end), when the one before
/// ended at `from`. Comments before it belong to it, semicolons and the space around it do not.
pub(crate) fn statement(text: &[u8], from: usize, location: i32, len: i32) -> Range<usize> {
    let first = usize::try_from(location).unwrap_or(0).clamp(from, text.len());
    let end = match usize::try_from(len) {
        Ok(len) if len > 0 => first.saturating_add(len).min(text.len()),
        _ => text.len(),
    };
    let start = first_comment(text, from, end);
    let trailing =
        text.get(start..end).unwrap_or_default().iter().rev().take_while(|byte| is_space(**byte)).count();
    start..end - trailing
}

/// Where the space, comments and semicolons between two statements give way to what belongs to the second: after the
/// last semicolon outside comments, at the first thing that is not space.
fn first_comment(text: &[u8], from: usize, end: usize) -> usize {
    let mut at = from;
    let mut start = None;
    while at < end {
        let rest = text.get(at..end).unwrap_or_default();
        at += match rest {
            [b';', ..] => {
                start = None;
                1
            }
            [byte, ..] if is_space(*byte) => 1,
            [b'-', b'-', ..] => {
                start = start.or(Some(at));
                rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len())
            }
            [b'/', b'*', ..] => {
                start = start.or(Some(at));
                comment_len(rest)
            }
            _ => return start.unwrap_or(at),
        };
    }
    start.unwrap_or(end)
}

/// Bytes of the block comment that `text` begins with; they nest. An open one takes all.
pub(crate) fn comment_len(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match text.get(at..) {
            Some([b'/', b'*', ..]) => {
                depth += 1;
                at += 2;
            }
            Some([b'*', b'/', ..]) => {
                depth = depth.saturating_sub(1);
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            Some([_, ..]) => at += 1,
            _ => return text.len(),
        }
    }
}
