//! Credentials inside a connection string: `password=…` pairs and `scheme://user:password@host` addresses.
//! (PostgreSQL docs 34.1.1, "Connection Strings".)

use std::ops::Range;

use super::lexer::is_word;
use super::names::{is_credential, is_secret_member};
use crate::split::is_space;

/// The places of credentials in `text`, in order, without overlap.
pub(super) fn credentials(text: &str) -> Vec<Range<usize>> {
    let mut found = addresses(text);
    found.extend(pairs(text));
    found.extend(members(text));
    found.extend(tokens(text));
    found.sort_by_key(|range| range.start);
    let mut end = 0;
    found.retain_mut(|range| {
        range.start = range.start.max(end);
        end = range.end.max(end);
        range.start < range.end
    });
    found
}

/// Letters of the shortest thing that counts as a token of Firsthand's own; they have 43.
const TOKEN_LETTERS: usize = 40;

/// Tokens of Firsthand's own, which somebody has put in a wrong place.
pub(super) fn tokens(text: &str) -> Vec<Range<usize>> {
    let sign = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let token = |at: usize| {
        let after = text.as_bytes().get(at + 3..).unwrap_or_default();
        let letters = after.iter().take_while(|byte| sign(byte)).count();
        (letters >= TOKEN_LETTERS).then_some(at..at + 3 + letters)
    };
    memchr::memmem::find_iter(text.as_bytes(), b"fh_").filter_map(token).collect()
}

/// What stands between the first `:` and the last `@` after `://`: up to white space, or up to the end where the
/// text begins with the address. Passwords are pasted with `/`, `?` and `@` in them; taking too much only costs a path.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(scheme) = memchr::memmem::find(bytes.get(from..).unwrap_or_default(), b"://") {
        let start = from + scheme + 3;
        let alone = from == 0 && is_connection(text);
        let rest = bytes.get(start..).unwrap_or_default();
        let word = rest.iter().position(|byte| is_space(*byte)).unwrap_or(rest.len());
        from = start + word;
        let reach = if alone { rest } else { rest.get(..word).unwrap_or_default() };
        let at = memchr::memrchr(b'@', reach);
        let colon = at.and_then(|at| memchr::memchr(b':', reach.get(..at).unwrap_or_default()));
        if let (Some(at), Some(colon)) = (at, colon) {
            found.push(start + colon + 1..start + at);
            from = from.max(start + at);
        }
    }
    found
}

/// Whether a text as a whole is a connection string: it begins with `name =` or `scheme://`.
fn is_connection(text: &str) -> bool {
    let text = text.trim_start();
    let name = text.bytes().take_while(|byte| is_word(*byte) || b"+-.".contains(byte)).count();
    let after = text.get(name..).unwrap_or_default();
    after.starts_with("://")
        || after.trim_start().strip_prefix('=').is_some_and(|value| !value.starts_with('>'))
}

/// The values of `name=value` where the name stands for a credential: up to white space, or in quotes. Space around
/// the `=` counts where the text begins like a connection string; elsewhere it may be a comparison in dynamic SQL.
fn pairs(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let is_connection = is_connection(text);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(equals) = memchr::memchr(b'=', bytes.get(from..).unwrap_or_default()).map(|at| from + at) {
        from = equals + 1;
        let name_end = back_while(bytes, equals, is_space);
        let name_start = back_while(bytes, name_end, is_word);
        let after = bytes.get(from..).unwrap_or_default();
        let space = after.iter().take_while(|byte| is_space(**byte)).count();
        let spaced = name_end < equals || space > 0;
        // `=>` names an argument; `$1`, `%L` and `?` are places for a value.
        let place = matches!(after.get(space), Some(b'>' | b'$' | b'%' | b'?'));
        let named = text.get(name_start..name_end).is_some_and(is_credential);
        if !named || spaced && !is_connection || place && !is_connection {
            continue;
        }
        let start = from + space;
        let end = value_end(bytes, start, is_connection);
        if start < end {
            found.push(start..end);
        }
        from = end;
    }
    found
}

/// The values of `"name": "value"` in JSON where the name stands for a credential.
fn members(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(colon) = memchr::memchr(b':', bytes.get(from..).unwrap_or_default()).map(|at| from + at) {
        from = colon + 1;
        let name_end = back_while(bytes, colon, is_space);
        let Some(name_end) = name_end.checked_sub(1).filter(|at| bytes.get(*at) == Some(&b'"')) else {
            continue;
        };
        let name_start = back_while(bytes, name_end, |byte| is_word(byte) || b"-.".contains(&byte));
        let quoted = name_start.checked_sub(1).is_some_and(|at| bytes.get(at) == Some(&b'"'));
        if !quoted || !text.get(name_start..name_end).is_some_and(is_secret_member) {
            continue;
        }
        let space = bytes.get(from..).unwrap_or_default().iter().take_while(|byte| is_space(**byte)).count();
        let start = from + space;
        if bytes.get(start) != Some(&b'"') {
            continue;
        }
        let end = value_end(bytes, start, true);
        // Without the quotes, so that it stays JSON.
        let closed = end > start + 1 && bytes.get(end - 1) == Some(&b'"');
        found.push(start + 1..if closed { end - 1 } else { end });
        from = end;
    }
    found
}

fn back_while(bytes: &[u8], end: usize, holds: impl Fn(u8) -> bool) -> usize {
    let before = bytes.get(..end).unwrap_or_default();
    end - before.iter().rev().take_while(|byte| holds(**byte)).count()
}

/// Where a value that begins at `start` ends. A backslash takes the next byte with it; an open quote takes all. In a text
/// that is more than a connection string, a quote ends the value: there it may be a string's.
fn value_end(bytes: &[u8], start: usize, is_connection: bool) -> usize {
    let quote = bytes.get(start).copied().filter(|byte| matches!(byte, b'\'' | b'"'));
    let mut at = start + usize::from(quote.is_some());
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match quote {
            _ if byte == b'\\' => at += 1,
            Some(quote) if byte == quote => return at,
            None if is_space(byte) => return at - 1,
            None if !is_connection && matches!(byte, b'\'' | b'"') => return at - 1,
            _ => {}
        }
    }
    // A backslash at the very end may have stepped over it, and one before a long character into it.
    bytes.len()
}
