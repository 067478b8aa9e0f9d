//! Names as people see them: two that look the same are one, so nothing that is not seen may stand in a name. And names as they are
//! compared where a difference in writing must not make somebody another one.

use unicode_normalization::UnicodeNormalization as _;

/// How names begin that nobody but the gateway gives: `local:`, users of its machine as the kernel says them, and `channel:`, where
/// approvals are answered. Whoever else had one could answer as them, or be taken for them in the record.
pub const RESERVED: [&str; 2] = ["local:", "channel:"];

/// Control characters, and those that are not shown or change how what stands around them is shown: Unicode's
/// Default_Ignorable_Code_Point, the marks of direction, and spaces but the usual one.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a name is seen as it is: it has nothing hidden in it, nor a space at an end.
#[must_use]
pub fn is_visible(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.chars().any(is_hidden)
}

/// A name as it is compared: however it is composed, in whichever case and width, and without what is not seen. By letters one by one,
/// down, up and down again, which is full case folding (`ß` is `ss`), and takes some for the same that Unicode does not (`ı` is `i`): this is
/// for what only refuses.
#[must_use]
pub fn folded(name: &str) -> String {
    let seen = name.chars().filter(|c| !is_hidden(*c) || c.is_whitespace());
    let folded =
        seen.nfkc().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let again: String = folded.nfkc().collect();
    again.trim().to_owned()
}

/// Whether a name is one that only the gateway gives ([`RESERVED`]), or can be taken for one.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let folded = folded(name);
    RESERVED.iter().any(|start| folded.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_however_they_are_written() {
        for same in [
            ["ada@example.com", "Ada@Example.COM"],
            ["andr\u{e9}@example.com", "andre\u{301}@example.com"],
            ["andr\u{e9}@example.com", "ANDRE\u{301}@example.com"],
            ["ada@example.com", " ada@example.com\t"],
            ["ada@example.com", "a\u{200b}da@example.com"],
            ["ada@example.com", "\u{ff41}da\u{ff20}example.com"],
            ["stra\u{df}e", "STRASSE"],
            ["\u{1e9e}", "ss"],
            ["\u{3c3}\u{3bf}\u{3c2}", "\u{3a3}\u{39f}\u{3a3}"],
            ["\u{212a}im", "kim"],
            ["\u{fb01}n", "fin"],
            ["a\u{a0}b", "a b"],
        ] {
            assert_eq!(folded(same[0]), folded(same[1]), "{same:?}");
        }
        for other in [["ada", "adb"], ["andre", "andr\u{e9}"], ["a b", "ab"], ["a", ""]] {
            assert_ne!(folded(other[0]), folded(other[1]), "{other:?}");
        }
        for name in ["andre\u{301}", "\u{130}", "\u{1e9e}\u{345}", "\u{1f88}"] {
            assert_eq!(folded(&folded(name)), folded(name), "{name:?}");
        }
    }

    #[test]
    fn names_of_the_machines_users_and_of_channels_are_the_gateways() {
        for name in [
            "local:root",
            "Local:root",
            " local:x",
            "LOCAL:",
            "channel:ops",
            "loc\u{200b}al:root",
            "local\u{ff1a}root",
        ] {
            assert!(is_reserved(name), "{name:?}");
        }
        for name in
            ["local", "localhost", "corp/local:root", "ada@example.com", "locale:de", "channels:x", ""]
        {
            assert!(!is_reserved(name), "{name:?}");
        }
    }

    #[test]
    fn what_looks_the_same_is_the_same() {
        for name in ["ada@example.com", "Zoë Ångström", "李雷", "o'neil", "a b"] {
            assert!(is_visible(name), "{name:?}");
        }
        for name in [
            "",
            " ada",
            "ada ",
            "a\u{200b}da",
            "ada\u{2060}",
            "a\u{202e}da",
            "ada\u{3164}",
            "a\u{a0}da",
            "a\tda",
            "\u{61c}ada",
            "ada\u{fe0f}",
            "a\u{e0041}da",
        ] {
            assert!(!is_visible(name), "{name:?}");
        }
    }
}
