//! A statement with line breaks, for people: nothing but white space outside of quotes is changed, and where that is not certain,
//! nothing is shown.

/// Clauses that begin a line.
const CLAUSES: &[&str] = &[
    "from",
    "where",
    "set",
    "values",
    "returning",
    "using",
    "order",
    "group",
    "having",
    "limit",
    "on",
    "union",
    "join",
];
/// Shorter statements are read as they are.
const SHORT: usize = 80;

/// The statement with line breaks before its clauses; `None`: it is short, has some already, or cannot be broken safely.
pub(crate) fn formatted(text: &str) -> Option<String> {
    // What stands in dollar quotes and comments is not looked into; escapes move the end of a string.
    if text.len() <= SHORT
        || text.contains('\n')
        || ["$$", "--", "/*", "\\", "\"\""].iter().any(|s| text.contains(s))
    {
        return None;
    }
    let (mut out, mut quote) = (String::with_capacity(text.len() + 32), None);
    for (at, word) in text.split(' ').enumerate() {
        let begins = quote.is_none() && CLAUSES.contains(&word.to_ascii_lowercase().as_str());
        if at > 0 {
            out.push(if begins { '\n' } else { ' ' });
        }
        out.push_str(word);
        for c in word.chars() {
            match quote {
                None if c == '\'' || c == '"' || c == '$' => quote = Some(c),
                Some(open) if open == c => quote = None,
                _ => {}
            }
        }
    }
    // An odd `$` is a parameter: it opens nothing, and then nothing behind it was broken.
    let same = out.split_whitespace().eq(text.split_whitespace());
    (same && out.contains('\n')).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_outside_of_quotes_is_changed() {
        let long = "delete from orders where id = 42 and note = 'not from here where you are' and customer_name is not null";
        assert_eq!(
            formatted(long).unwrap(),
            "delete\nfrom orders\nwhere id = 42 and note = 'not from here where you are' and customer_name is not null"
        );
        assert_eq!(formatted("delete from orders where id = 1"), None, "short");
        for odd in ["a\nb", "$$ where $$", "-- where ", "e'\\' where '"] {
            assert_eq!(formatted(&format!("{odd}{}", " where x = y".repeat(10))), None, "{odd}");
        }
    }
}
