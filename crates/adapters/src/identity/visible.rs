//! Names as people see them: two that look the same are one, so nothing that is not seen may stand in a name.

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
pub(crate) fn is_visible(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.chars().any(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

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
