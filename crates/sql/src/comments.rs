//! What a client says of itself in a comment before or behind a statement: `/*traceparent='00-…',tool='run_sql'*/`, as
//! sqlcommenter writes it. A claim, which grants nothing.

use std::borrow::Cow;

use crate::secrets::MASK;
use crate::split::is_space;

/// Claims kept of one statement: sqlcommenter's own list has nine names.
pub const CLAIMS_MAX: usize = 16;
/// Longest name and value of one, in bytes: W3C gives a `tracestate` 512.
pub const CLAIM_NAME_MAX: usize = 64;
/// See [`CLAIM_NAME_MAX`].
pub const CLAIM_VALUE_MAX: usize = 512;
/// A longer comment is prose, or a statement that was commented out.
pub const CLAIMS_COMMENT_MAX: usize = 8 << 10;

/// What a statement's comments claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Names and values, as meant, in the order of the text; the first of a name counts.
    pub pairs: Vec<(String, String)>,
    /// Some were left out, or cut.
    pub cut: bool,
}

/// The claims in the comment that begins a text, and in the one that ends it. `None`: there are none. A text without such a
/// comment costs a look at its two ends.
pub fn claims(text: &str) -> Option<Claims> {
    let text = text.trim_matches(|c: char| c == ';' || u8::try_from(c).is_ok_and(is_space));
    let leads = text.starts_with("/*");
    let ends = text.ends_with("*/");
    if !leads && !ends {
        return None;
    }
    let mut found = Claims::default();
    let leading = text.strip_prefix("/*").and_then(|rest| rest.split_once("*/"));
    if let Some((comment, _)) = leading {
        found.take(comment);
    }
    let trailing = text.strip_suffix("*/").and_then(|rest| rest.rsplit_once("/*"));
    // Of a text that is one comment both are the same.
    if let Some((_, comment)) = trailing.filter(|(before, _)| !before.is_empty()) {
        found.take(comment);
    }
    (!found.pairs.is_empty() || found.cut).then_some(found)
}

impl Claims {
    /// Takes in a comment, if all of it has the form.
    fn take(&mut self, comment: &str) {
        if comment.len() > CLAIMS_COMMENT_MAX {
            return;
        }
        let Some(pairs) = pairs(comment) else { return };
        for (name, value) in pairs {
            let (name, value) = (decoded(name), decoded(&value));
            if name.len() > CLAIM_NAME_MAX || self.pairs.len() >= CLAIMS_MAX {
                self.cut = true;
            } else if !self.pairs.iter().any(|(known, _)| *known == name) {
                let end = value.floor_char_boundary(CLAIM_VALUE_MAX);
                self.cut |= end < value.len();
                self.pairs.push((name.into_owned(), value.get(..end).unwrap_or_default().to_owned()));
            }
        }
    }
}

/// `name='value'` with commas between, a quote in a value behind a backslash; a `traceparent` also without quotes.
fn pairs(comment: &str) -> Option<Vec<(&str, Cow<'_, str>)>> {
    let mut found = Vec::new();
    let mut rest = comment.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (name, after) = (name.trim(), after.trim_start());
        let plain =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.%".contains(&b));
        if !plain {
            return None;
        }
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let (value, after) = after.split_at(after.find(',').unwrap_or(after.len()));
                let value = value.trim_end();
                // A secret has been taken out, with its quotes.
                (is_traceparent(value) || value == MASK).then_some((Cow::Borrowed(value), after))?
            }
        };
        found.push((name, value));
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(found)
}

/// A value up to its closing quote, and what follows.
fn quoted_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'\'' => {
                let (value, after) = (text.get(..at)?, text.get(at + 1..)?);
                let value = if value.contains('\\') {
                    Cow::Owned(value.replace("\\'", "'"))
                } else {
                    Cow::Borrowed(value)
                };
                return Some((value, after));
            }
            _ => {}
        }
    }
    None
}

/// `00-<32 digits>-<16>-<2>` (W3C Trace Context).
fn is_traceparent(value: &str) -> bool {
    let mut parts = value.split('-').map(|part| (part.len(), part.bytes().all(|b| b.is_ascii_hexdigit())));
    [2, 32, 16, 2].iter().all(|len| parts.next() == Some((*len, true))) && parts.next().is_none()
}

/// With `%41` as `A`. What is no such escape, or becomes no UTF-8, stays.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let digit =
        |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|n| u8::try_from(n).ok());
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high << 4 | low);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn comments_at_both_ends_are_read_and_nothing_else() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("select 1", &[]),
            ("select 1 /*tool='run_sql'*/", &[("tool", "run_sql")]),
            ("/*tool='run_sql'*/ select 1;", &[("tool", "run_sql")]),
            ("select 1 /*tool='run_sql'*/ ;\n", &[("tool", "run_sql")]),
            ("/*tool='run_sql'*/", &[("tool", "run_sql")]),
            ("/*a='1'*/ select 1 /*b='2',a='3'*/", &[("a", "1"), ("b", "2")]),
            (
                "select 1 /* db_driver='x%3A1' , route='%2Fpolls%201000' */",
                &[("db_driver", "x:1"), ("route", "/polls 1000")],
            ),
            (
                "select 1 /*name='it\\'s',pct='100%',bad='%ff'*/",
                &[("name", "it's"), ("pct", "100%"), ("bad", "%ff")],
            ),
            ("select 1 /* what is this = 'x' */", &[]),
            ("select 1 /*a='1' b='2'*/", &[]),
            ("select 1 /*a='1*/", &[]),
            ("select 1 /*a=1*/", &[]),
            ("select 1 /*api_token=***,a='1'*/", &[("api_token", "***"), ("a", "1")]),
            ("select /*a='1'*/ 1", &[]),
            ("/* a hint */ select 1 /*a='1'*/", &[("a", "1")]),
            ("select '*/'", &[]),
        ];
        for (text, want) in table {
            let found = claims(text).unwrap_or_default();
            let pairs: Vec<(&str, &str)> =
                found.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!((pairs.as_slice(), found.cut), (*want, false), "{text}");
        }
        for text in
            [format!("/*traceparent={TRACE}*/ select 1"), format!("select 1 /* traceparent='{TRACE}' */")]
        {
            assert_eq!(
                claims(&text).unwrap().pairs,
                [("traceparent".to_owned(), TRACE.to_owned())],
                "{text}"
            );
        }
        assert_eq!(claims("select 1 /*traceparent=00-12-34-01*/"), None);
    }

    #[test]
    fn so_many_and_so_long_and_no_more() {
        let many: Vec<String> = (0..=CLAIMS_MAX).map(|n| format!("n{n}='v'")).collect();
        let found = claims(&format!("select 1 /*{}*/", many.join(","))).unwrap();
        assert_eq!((found.pairs.len(), found.cut), (CLAIMS_MAX, true));
        let long = claims(&format!("select 1 /*a='{}'*/", "é".repeat(CLAIM_VALUE_MAX))).unwrap();
        assert_eq!((long.pairs[0].1.len(), long.cut), (CLAIM_VALUE_MAX, true));
        let name = claims(&format!("select 1 /*{}='v'*/", "n".repeat(CLAIM_NAME_MAX + 1))).unwrap();
        assert!(name.pairs.is_empty() && name.cut);
        assert_eq!(claims(&format!("select 1 /*a='{}'*/", "x".repeat(CLAIMS_COMMENT_MAX))), None);
    }
}
