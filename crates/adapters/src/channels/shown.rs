//! What others wrote, as it stands in messages: nothing of it is unseen, turns the text around it, or passes for something else.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use crate::identity::visible::is_hidden;

/// Empty lines, one after the other, that people leave in statements. More push what follows out of sight.
const EMPTY_LINES_MAX: usize = 3;
/// Spaces that people set one after the other. More fill whole lines of a window, and push what follows out of sight as well.
const SPACES_MAX: usize = 200;

/// A text as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// It.
    pub(super) text: String,
    /// Whether it is seen at a glance: nothing hidden had to be spelled out, and nothing pushes its end away.
    pub(super) is_plain: bool,
}

/// Several lines: line ends stay, tabs become four spaces, what is hidden is shown by its code, and of many empty lines it is said
/// how many.
pub(super) fn block(text: &str) -> Shown {
    let (mut out, mut is_plain, mut empty) = (Vec::new(), !is_spread(text), 0usize);
    let mut gap = |empty: &mut usize, out: &mut Vec<String>| {
        if *empty > EMPTY_LINES_MAX {
            out.push(format!("[{empty} empty lines]"));
            is_plain = false;
        } else {
            out.extend(std::iter::repeat_n(String::new(), *empty));
        }
        *empty = 0;
    };
    let mut is_seen = true;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() && !line.contains(|c: char| is_hidden(c) && c != '\t') {
            empty += 1;
            continue;
        }
        gap(&mut empty, &mut out);
        let tabs = line.replace('\t', "    ");
        is_seen &= !tabs.contains(is_hidden);
        out.push(spelled(&tabs).into_owned());
    }
    gap(&mut empty, &mut out);
    Shown { text: out.join("\n"), is_plain: is_plain && is_seen }
}

/// One line: whatever is hidden, line ends and tabs too, is shown by its code.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    spelled(text)
}

/// A value as JSON, in one line: where it ends is certain whatever stands in it.
pub(super) fn value(value: &Value) -> Shown {
    let unseen = |c: char| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t');
    let is_plain = value.as_str().is_none_or(|text| !text.contains(unseen) && !is_spread(text));
    let (mut text, mut is_seen) = (String::new(), true);
    for c in value.to_string().chars() {
        if !is_hidden(c) {
            text.push(c);
            continue;
        }
        is_seen = false;
        // Beyond 0xFFFF JSON has pairs.
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    Shown { text, is_plain: is_plain && is_seen }
}

/// Whether spaces push something of it out of sight.
fn is_spread(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = match c {
            ' ' => run + 1,
            '\t' => run + 4,
            _ => 0,
        };
        run > SPACES_MAX
    })
}

fn spelled(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match c {
            c if !is_hidden(c) => out.write_char(c),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ => write!(out, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(text: &str, is_plain: bool) -> Shown {
        Shown { text: text.to_owned(), is_plain }
    }

    #[test]
    fn a_statement_is_shown_with_all_that_is_in_it() {
        for usual in ["select 1", "select a,\n       b\n\n\n\nfrom t\n", "select 'Zoë 李雷'", ""] {
            assert_eq!(block(usual), shown(usual, true), "{usual:?}");
        }
        assert_eq!(block("a\r\n\tb"), shown("a\n    b", true));
        for (hidden, as_shown) in [
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{2066}a\u{2069}", "\\u{2066}a\\u{2069}"),
            ("a\u{200b}b", "a\\u{200b}b"),
            ("a\u{1b}[2J\rb\u{a0}", "a\\x1b[2J\\x0db\\xa0"),
            ("\u{2028}\nb", "\\u{2028}\nb"),
            ("a\u{e0041}", "a\\u{e0041}"),
        ] {
            assert_eq!(block(hidden), shown(as_shown, false), "{hidden:?}");
        }
    }

    #[test]
    fn nothing_pushes_the_end_of_it_out_of_sight() {
        let flood = format!("delete from t where a = 1{}or true", "\n \t\n".repeat(1350));
        assert_eq!(block(&flood), shown("delete from t where a = 1\n[2699 empty lines]\nor true", false));
        let spread = format!("delete from t where a = 1{}or true", " ".repeat(SPACES_MAX + 1));
        assert_eq!(block(&spread), shown(&spread, false));
        assert!(!block(&"\t".repeat(60)).is_plain && !value(&json!(spread)).is_plain);
    }

    #[test]
    fn a_value_ends_where_it_seems_to() {
        assert_eq!(value(&json!("a'\n$2 = '7")), shown("\"a'\\n$2 = '7\"", true));
        assert_eq!(value(&json!("\"\u{202e}\u{e0041}")), shown("\"\\\"\\u202e\\udb40\\udc41\"", false));
        assert_eq!(value(&json!("\u{0}")), shown("\"\\u0000\"", false));
        assert_eq!(value(&json!(null)), shown("null", true));
        assert_eq!(line("a\nsaid\tb\u{200d}"), "a\\x0asaid\\x09b\\u{200d}");
    }
}
