//! What parsing a text will take in memory, told from its tokens before it is parsed. The parser's tree takes up to two
//! thousand times its text (`select a,a,a,…`), so a limit on bytes alone would be either too large or useless.

use crate::split::comment_len;

/// A name or a key word: most make several nodes. Measured with what separates them: 6.3 KiB in `drop function f(a,a,…)`,
/// 3.9 KiB in a list of columns, tables or types, less elsewhere.
const WORD: usize = 6 << 10;
/// `*`, which is a column like a name.
const STAR: usize = 4 << 10;
/// A constant or a parameter: one node and what holds it.
const CONSTANT: usize = 3 << 9;
/// Any other character: an operator's node, or a list's.
const SIGN: usize = 3 << 8;

/// An upper bound, in bytes, of what parsing `text` takes. Reads quotes and comments as PostgreSQL does (with
/// conforming strings), so that nothing that is parsed hides in them.
pub(crate) fn parse_bytes(text: &[u8]) -> usize {
    let (mut rest, mut cost) = (text, text.len());
    while let Some((token, len)) = next(rest) {
        cost += token;
        rest = rest.get(len.max(1)..).unwrap_or_default();
    }
    cost
}

/// The cost of what stands at the start, and its bytes.
fn next(rest: &[u8]) -> Option<(usize, usize)> {
    Some(match rest {
        [] => return None,
        [b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c', ..] => (0, 1),
        [b'-', b'-', ..] => (0, rest.iter().position(|b| matches!(b, b'\n' | b'\r')).unwrap_or(rest.len())),
        [b'/', b'*', ..] => (0, comment_len(rest)),
        [b'\'', ..] => (CONSTANT, quoted(rest, 0, false)),
        [b'"', ..] => (WORD, quoted(rest, 0, false)),
        [b'e' | b'E', b'\'', ..] => (CONSTANT, quoted(rest, 1, true)),
        [b'$', ..] => dollar(rest),
        [b'*', ..] => (STAR, 1),
        [b'0'..=b'9', ..] => (CONSTANT, rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len())),
        [first, ..] if is_word(*first) => {
            (WORD, rest.iter().position(|b| !is_word(*b) && *b != b'$').unwrap_or(rest.len()))
        }
        _ => (SIGN, 1),
    })
}

/// Bytes of what is quoted, its quote after `prefix` bytes.
fn quoted(rest: &[u8], prefix: usize, escapes: bool) -> usize {
    let quote = rest.get(prefix).copied().unwrap_or(b'\'');
    let mut at = prefix + 1;
    while let Some(byte) = rest.get(at) {
        at += 1;
        let doubled = *byte == quote && rest.get(at) == Some(&quote);
        if *byte == quote && !doubled {
            break;
        }
        at += usize::from(doubled || (escapes && *byte == b'\\'));
    }
    at.min(rest.len())
}

/// A parameter (`$1`), a dollar-quoted string, or the sign alone.
fn dollar(rest: &[u8]) -> (usize, usize) {
    let after = rest.get(1..).unwrap_or_default();
    let name = after.iter().position(|b| !is_word(*b)).unwrap_or(after.len());
    if after.first().is_some_and(u8::is_ascii_digit) {
        return (CONSTANT, 1 + name);
    }
    let Some(tag) = rest.get(..name + 2).filter(|tag| tag.ends_with(b"$")) else { return (SIGN, 1) };
    let body = rest.get(tag.len()..).unwrap_or_default();
    let end = memchr::memmem::find(body, tag).map_or(rest.len(), |at| tag.len() * 2 + at);
    (CONSTANT, end)
}

/// Letters, digits, `_`, and all beyond ASCII, as in PostgreSQL's names.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_and_what_is_quoted_does_not() {
        let cases: [(&str, usize); 16] = [
            ("", 0),
            ("select a", 2 * WORD),
            ("select a,b.c", 4 * WORD + 2 * SIGN),
            ("select 1,'a, b, c',$2,$x$ a , b $x$", WORD + 4 * CONSTANT + 3 * SIGN),
            ("-- a, b, c\nselect", WORD),
            ("/* a /* ' */ b */ select '/*', a", 2 * WORD + CONSTANT + SIGN),
            ("select E'\\', a, b', a", 2 * WORD + CONSTANT + SIGN),
            ("select '\\', a", 2 * WORD + CONSTANT + SIGN),
            ("select 'it''s', a", 2 * WORD + CONSTANT + SIGN),
            ("select E'it''s \\', a', a", 2 * WORD + CONSTANT + SIGN),
            ("select \"a', \"\"b\", a", 3 * WORD + SIGN),
            ("select 1$a$ b, c $a$, d", 2 * WORD + 2 * CONSTANT + SIGN),
            ("select a$b$c, d", 3 * WORD + SIGN),
            ("select a[1://(a,a)]", 4 * WORD + CONSTANT + 8 * SIGN),
            ("select *", WORD + STAR),
            ("select ae'b', c", 3 * WORD + CONSTANT + SIGN),
        ];
        for (text, cost) in cases {
            assert_eq!(parse_bytes(text.as_bytes()), cost + text.len(), "{text}");
        }
    }
}
