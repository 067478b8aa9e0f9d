//! Recorded text made harmless for terminals: a hostile statement must not drive the screen of whoever reads the record.

use std::borrow::Cow;

/// Characters that a terminal obeys or that change how the text around them looks: control characters of both sets, the
/// marks that turn the direction of writing, and what cannot be seen at all (two names that differ only in such would look
/// the same, and a text can hide in tags).
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
                | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line: every such character is shown as its code, line ends and tabs as spaces.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(' '),
            '\r' => {}
            c if is_hostile(c) => show(c, &mut out),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Several lines: line ends stay, tabs become four spaces.
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && is_hostile(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push('\n'),
            '\t' => out.push_str("    "),
            '\r' if chars.peek() == Some(&'\n') => {}
            c if is_hostile(c) => show(c, &mut out),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// JSON text: the same characters as JSON escapes, so that it still means the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hostile(c) {
            // Beyond 0xFFFF JSON has pairs.
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn show(c: char, out: &mut String) {
    let code = u32::from(c);
    if code < 0x100 {
        out.push_str(&format!("\\x{code:02x}"));
    } else {
        out.push_str(&format!("\\u{{{code:x}}}"));
    }
}

/// At most `width` characters, the last of them `…` when there were more.
pub(crate) fn fit(text: &str, width: usize) -> Cow<'_, str> {
    if text.len() <= width || text.chars().count() <= width {
        return Cow::Borrowed(text);
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    Cow::Owned(out)
}

/// Lines of at most `width` characters, broken at spaces where there are any.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.trim_end().split('\n') {
        let mut rest = line.trim_end();
        while let Some((end, _)) = rest.char_indices().nth(width) {
            let head = rest.get(..end).unwrap_or(rest);
            // A line broken before its middle wastes more than a word broken in two costs.
            let cut = head.rfind(' ').filter(|at| *at > end / 2).unwrap_or(end);
            let (line, tail) = rest.split_at_checked(cut).unwrap_or((rest, ""));
            lines.push(line.trim_end().to_owned());
            rest = tail.trim_start();
        }
        lines.push(rest.to_owned());
    }
    lines
}

/// A word for a shell: in quotes where it must be.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_drives_a_terminal_comes_through() {
        let hostile = "a\u{1b}[2Jb\u{9b}31mc\r\nd\u{202e}e\tf\u{7f}\u{0}";
        assert_eq!(line(hostile), "a\\x1b[2Jb\\x9b31mc d\\u{202e}e f\\x7f\\x00");
        assert_eq!(block(hostile), "a\\x1b[2Jb\\x9b31mc\nd\\u{202e}e    f\\x7f\\x00");
        assert_eq!(json("\"\u{7f}\u{9b}ü\""), "\"\\u007f\\u009bü\"");
        assert_eq!(line("grün €"), "grün €");
        let unseen = "a\u{ad}b\u{61c}c\u{200b}d\u{200d}e\u{2060}f\u{2064}g\u{feff}h\u{e0041}";
        let shown = "a\\xadb\\u{61c}c\\u{200b}d\\u{200d}e\\u{2060}f\\u{2064}g\\u{feff}h\\u{e0041}";
        assert_eq!(line(unseen), shown);
        assert_eq!(block(unseen), shown);
        assert_eq!(json("\u{200b}\u{e0041}"), "\\u200b\\udb40\\udc41");
    }

    #[test]
    fn long_lines_break_at_spaces_and_long_words_anyway() {
        assert_eq!(wrap("select a, b from t", 10), ["select a,", "b from t"]);
        assert_eq!(wrap("aaaaaaaaaaaaa\nb\n", 5), ["aaaaa", "aaaaa", "aaa", "b"]);
        assert_eq!(wrap("üüüüüü", 4), ["üüüü", "üü"]);
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("äöü", 3), "äöü");
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(shell_word("/tmp/a-b_c.d"), "/tmp/a-b_c.d");
        assert_eq!(shell_word("my demo"), "'my demo'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
    }
}
