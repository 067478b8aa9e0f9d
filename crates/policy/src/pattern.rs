//! Patterns of names: `*` stands for any number of characters. Relations and columns are written `schema.name` and
//! `schema.name.column`; each part is a pattern of its own, so that a dot inside a quoted name cannot be mistaken.

use std::fmt;

/// A pattern of one name. `*` stands for any number of characters; nothing else is special.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that everything matches.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    /// A pattern as it is written.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether everything matches.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|b| b == b'*')
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` matches, the whole of it.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let pieces: Vec<&str> = pieces.collect();
        let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
        for piece in between {
            match rest.find(piece) {
                Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    /// Whether `name` matches as a member of a group: `*` alone is everybody, and elsewhere it does not stand for a `/`, so
    /// that the names of an issuer (`corp/ada@example.com`) are not taken for names without one.
    #[must_use]
    pub fn matches_member(&self, name: &str) -> bool {
        let (own, theirs) = (self.0.split('/'), name.split('/'));
        let fits = |(piece, part): (&str, &str)| Self(piece.to_owned()).matches(part);
        self.is_any() || own.clone().count() == theirs.clone().count() && own.zip(theirs).all(fits)
    }

    /// The Cedar condition that `attribute` matches; `None` when everything does.
    pub(crate) fn cedar(&self, attribute: &str) -> Option<String> {
        if self.is_any() {
            return None;
        }
        let operator = if self.0.contains('*') { "like" } else { "==" };
        Some(format!("{attribute} {operator} {}", quoted(&self.0)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A string literal of Cedar.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Which relations (or functions): `customers`, `sales.*`, `"Odd.Name".t`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelationPattern {
    /// The schema.
    pub schema: Pattern,
    /// The name in it.
    pub name: Pattern,
}

impl RelationPattern {
    /// Reads `name` or `schema.name`.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        match parts(text)?.as_slice() {
            [name] => Ok(Self { schema: Pattern::any(), name: Pattern::new(name) }),
            [schema, name] => Ok(Self { schema: Pattern::new(schema), name: Pattern::new(name) }),
            _ => Err(format!("`{text}` has too many parts: write `schema.name`")),
        }
    }

    /// Whether a relation matches.
    #[must_use]
    pub fn matches(&self, schema: &str, name: &str) -> bool {
        self.schema.matches(schema) && self.name.matches(name)
    }
}

/// Which columns: `email`, `customers.email`, `public.customers.*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnPattern {
    /// The relation.
    pub relation: RelationPattern,
    /// The column in it.
    pub column: Pattern,
}

impl ColumnPattern {
    /// Reads `column`, `relation.column` or `schema.relation.column`.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let (any, new) = (Pattern::any, Pattern::new);
        let (schema, name, column) = match parts(text)?.as_slice() {
            [column] => (any(), any(), new(column)),
            [name, column] => (any(), new(name), new(column)),
            [schema, name, column] => (new(schema), new(name), new(column)),
            _ => return Err(format!("`{text}` has too many parts: write `schema.table.column`")),
        };
        Ok(Self { relation: RelationPattern { schema, name }, column })
    }

    /// Whether a column matches. An empty column stands for any of the relation's.
    #[must_use]
    pub fn matches(&self, schema: &str, relation: &str, column: &str) -> bool {
        self.relation.matches(schema, relation) && (column.is_empty() || self.column.matches(column))
    }
}

/// The parts between dots. A part in double quotes is taken as it stands (`""` is a quote); one without is what the server
/// makes of it, so capitals in it are a mistake: they would never match.
fn parts(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = one_part(text, rest)?;
        found.push(part);
        match after.strip_prefix('.') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(found),
            None => return Err(format!("`{text}`: a dot must follow a name in quotes")),
        }
    }
}

fn one_part<'a>(text: &str, rest: &'a str) -> Result<(String, &'a str), String> {
    let Some(mut inside) = rest.strip_prefix('"') else {
        let end = rest.find('.').unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        if part.is_empty() {
            return Err(format!("`{text}` has an empty part: write `schema.name`, or `*` for any"));
        }
        if part.chars().any(char::is_uppercase) {
            return Err(format!(
                "`{part}` has capitals, which PostgreSQL folds: write `{}`, or quote it: `\"{part}\"`",
                part.to_lowercase()
            ));
        }
        return Ok((part.to_owned(), after));
    };
    let mut part = String::new();
    loop {
        let Some((before, after)) = inside.split_once('"') else {
            return Err(format!("`{text}`: the quotes do not end"));
        };
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                part.push('"');
                inside = more;
            }
            None if part.is_empty() => return Err(format!("`{text}` has an empty name")),
            None => return Ok((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_of_a_member_is_no_slash() {
        let cases = [
            ("*@example.com", "grace@example.com", true),
            ("*@example.com", "other/grace@example.com", false),
            ("*", "other/grace@example.com", true),
            ("corp/*", "corp/grace", true),
            ("corp/*", "corp/eu/grace", false),
            ("*/grace", "corp/grace", true),
            ("*/grace", "grace", false),
            ("local:*", "local:ops", true),
            ("c*/g*", "corp/grace", true),
            ("corp/grace", "corp/grace", true),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(Pattern::new(pattern).matches_member(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("*", "", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*b*c", "a-b-b-c", true),
            ("ab*ba", "aba", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(Pattern::new(pattern).matches(name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn names_are_read_as_the_server_writes_them() {
        let read = |text: &str| RelationPattern::read(text).map(|p| (p.schema.0, p.name.0));
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(read("customers"), pair("*", "customers"));
        assert_eq!(read("sales.*"), pair("sales", "*"));
        assert_eq!(read("\"Odd.Name\".\"a\"\"b\""), pair("Odd.Name", "a\"b"));
        for bad in ["", ".", "a.", "a.b.c", "Customers", "\"a", "\"a\"b", "\"\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let column = ColumnPattern::read("customers.email").unwrap();
        assert!(column.matches("public", "customers", "email"));
        assert!(column.matches("public", "customers", ""), "any of its columns");
        assert!(!column.matches("public", "orders", "email"));
    }
}
