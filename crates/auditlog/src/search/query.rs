//! The expression that a search understands: `key:value` terms and free words, all of which must hold.
//!
//! ```text
//! identity:ada target:orders table:payments effect:write -verdict:deny since:2h "free text"
//! ```

use std::fmt;

use thiserror::Error;

use crate::entry::moment;

/// What a term is about. The one list of keys: parsing, hints and documentation come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A human, agent, service or token, by name or id, anywhere in the chain.
    Identity,
    /// A target.
    Target,
    /// A database.
    Database,
    /// A table named in a command, or whose rows changed.
    Table,
    /// What a command does.
    Effect,
    /// The kind of entry.
    Kind,
    /// SQLSTATE of an error.
    Sqlstate,
    /// A session, by (the beginning of) its id.
    Session,
    /// A database role.
    Role,
    /// allow, deny, hold.
    Verdict,
    /// The rule that decided.
    Rule,
    /// An approval, by its id.
    Approval,
    /// A grant, by its id.
    Grant,
    /// Free text.
    Text,
    /// A claim of a session or a command: `name`, or `name=value`.
    Claim,
    /// The claim `traceparent`, or its trace's or span's id.
    Traceparent,
    /// Not before.
    Since,
    /// Not after.
    Until,
}

/// Keys as they are written, and what may follow.
pub const KEYS: &[(&str, Key, &str)] = &[
    ("identity", Key::Identity, "a human, agent, service or token: name, the part of a name before @, or id"),
    ("target", Key::Target, "a target's name"),
    ("db", Key::Database, "a database"),
    (
        "table",
        Key::Table,
        "a table that the command names (as written, or as meant where that is known) or whose rows changed, with or without schema",
    ),
    (
        "effect",
        Key::Effect,
        "read, write, define, grant, execute, session, transaction, lock, system or unknown",
    ),
    ("kind", Key::Kind, "a kind of entry, such as command.decided, or its beginning: command"),
    ("sqlstate", Key::Sqlstate, "a SQLSTATE, or its class: the first two characters"),
    ("session", Key::Session, "a session's id, or its beginning"),
    ("role", Key::Role, "a database role, in force or authenticated"),
    ("verdict", Key::Verdict, "allow, deny or hold"),
    ("rule", Key::Rule, "the rule that decided"),
    ("approval", Key::Approval, "an approval's id: what became of it, and the command that spent it"),
    (
        "grant",
        Key::Grant,
        "a grant's id: what became of it and of its login role, and the commands that ran under it",
    ),
    ("text", Key::Text, "words in statements, parameters, rows, errors and names, in any case"),
    ("claim", Key::Claim, "name=value, or a name: what a client says of itself (application_name, comments)"),
    (
        "traceparent",
        Key::Traceparent,
        "a W3C traceparent that a client claims, or the id of its trace or span",
    ),
    ("since", Key::Since, "2h, 30m, 7d, 2026-11-23 or 2026-11-23T02:00:00Z"),
    ("until", Key::Until, "the same; a day counts as a whole"),
];

/// Words that `effect:` takes.
const EFFECTS: [&str; 10] =
    ["read", "write", "define", "grant", "execute", "session", "transaction", "lock", "system", "unknown"];
/// Words that `verdict:` takes.
const VERDICTS: [&str; 3] = ["allow", "deny", "hold"];
/// Terms in one expression: the matcher keeps one bit of a word for each.
pub const TERMS_MAX: usize = 64;
/// How far a misspelt word may be from the one that is suggested.
const NEAR: usize = 2;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// It must not hold.
    pub negated: bool,
    /// What it is about.
    pub key: Key,
    /// The value.
    pub value: String,
}

/// A whole expression.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Conditions on what an entry says.
    pub terms: Vec<Term>,
    /// Earliest time, in µs since 1970.
    pub since: Option<u64>,
    /// The first moment that is too late.
    pub until: Option<u64>,
}

/// An expression that was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct QueryError {
    /// What is wrong, naming the part.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl QueryError {
    fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Query {
    /// Reads an expression. `now` is the moment that `since:2h` counts from, in µs since 1970.
    pub fn parse(text: &str, now: u64) -> Result<Self, QueryError> {
        let mut query = Self::default();
        for word in words(text)? {
            query.add(&word, now)?;
        }
        Ok(query)
    }

    /// Reads the arguments of a command line: one is an expression; of several, one that has spaces in it is a single
    /// term, because the shell has taken its quotes away.
    pub fn from_arguments(arguments: &[String], now: u64) -> Result<Self, QueryError> {
        if let [only] = arguments {
            return Self::parse(only, now);
        }
        let mut query = Self::default();
        for argument in arguments {
            if argument.contains('"') || !argument.contains(char::is_whitespace) {
                for word in words(argument)? {
                    query.add(&word, now)?;
                }
            } else {
                query.add(&Word::of_argument(argument), now)?;
            }
        }
        Ok(query)
    }

    /// True when every entry matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, word: &Word, now: u64) -> Result<(), QueryError> {
        let Some(key_word) = &word.key else {
            return self.push(word.negated, Key::Text, &word.value);
        };
        let Some((_, key, form)) = KEYS.iter().find(|(name, ..)| name == key_word) else {
            return Err(unknown_key(key_word, &word.value));
        };
        if word.value.is_empty() {
            return Err(QueryError::new(
                format!("`{key_word}:` has no value"),
                format!("{key_word}: takes {form}"),
            ));
        }
        let choices: &[&str] = match key {
            Key::Effect => &EFFECTS,
            Key::Verdict => &VERDICTS,
            _ => &[],
        };
        let value = word.value.to_ascii_lowercase();
        if !choices.is_empty() && !choices.contains(&value.as_str()) {
            return Err(QueryError::new(
                format!("`{}` is no {key_word}", word.value),
                suggestion(&value, choices.iter().copied(), &format!("{key_word}: takes {form}")),
            ));
        }
        if *key == Key::Sqlstate && !is_sqlstate_or_class(&value) {
            return Err(QueryError::new(
                format!("`{}` is no SQLSTATE", word.value),
                "five letters or digits, such as 42501, or the two of a class, such as 42",
            ));
        }
        match key {
            Key::Since | Key::Until if word.negated => Err(QueryError::new(
                format!("`-{key_word}:` cannot be negated"),
                "since: and until: limit the time; swap one for the other",
            )),
            Key::Since => {
                self.since = Some(time(&word.value, now, key_word, form)?.0);
                Ok(())
            }
            Key::Until => {
                let (from, length) = time(&word.value, now, key_word, form)?;
                self.until = Some(from.saturating_add(length));
                Ok(())
            }
            Key::Effect | Key::Verdict => self.push(word.negated, *key, &value),
            key => self.push(word.negated, *key, &word.value),
        }
    }

    fn push(&mut self, negated: bool, key: Key, value: &str) -> Result<(), QueryError> {
        if self.terms.len() >= TERMS_MAX {
            return Err(QueryError::new(
                format!("more than {TERMS_MAX} terms"),
                "search for less and filter what comes out with jq",
            ));
        }
        self.terms.push(Term { negated, key, value: value.to_owned() });
        Ok(())
    }
}

impl fmt::Display for Query {
    /// The expression as it can be written again, times made absolute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for term in &self.terms {
            let name = KEYS.iter().find(|(_, key, _)| *key == term.key).map_or("text", |(name, ..)| name);
            let minus = if term.negated { "-" } else { "" };
            let quoted = term.value.contains(|c: char| c.is_whitespace() || c == '"' || c == '\\');
            let value = if quoted {
                format!("\"{}\"", term.value.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                term.value.clone()
            };
            parts.push(format!("{minus}{name}:{value}"));
        }
        parts.extend(self.since.map(|t| format!("since:{}", moment::rfc3339(t))));
        // What is written is the last moment that counts, because that is how `until:` is read.
        parts.extend(self.until.map(|t| format!("until:{}", moment::rfc3339(t.saturating_sub(1)))));
        f.write_str(&parts.join(" "))
    }
}

/// Five characters, of which the first two are the class (PostgreSQL docs, Appendix A).
fn is_sqlstate_or_class(value: &str) -> bool {
    matches!(value.len(), 2 | 5) && value.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn unknown_key(key: &str, value: &str) -> QueryError {
    let names: Vec<&str> = KEYS.iter().map(|(name, ..)| *name).collect();
    let known = format!(
        "known keys are {}; to find the words themselves write text:\"{key}:{value}\"",
        names.join(", ")
    );
    QueryError::new(format!("`{key}:` is not a key of searches"), suggestion(key, names.into_iter(), &known))
}

fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let nearest = known.map(|k| (strsim::damerau_levenshtein(word, k), k)).min();
    match nearest {
        Some((distance, name)) if distance <= NEAR => format!("did you mean `{name}`? {otherwise}"),
        _ => otherwise.to_owned(),
    }
}

/// A moment and how long it lasts: a day that is named without a time is all of it.
fn time(text: &str, now: u64, key: &str, form: &str) -> Result<(u64, u64), QueryError> {
    const SECOND: u64 = 1_000_000;
    const DAY: u64 = 86_400 * SECOND;
    let units = [('s', SECOND), ('m', 60 * SECOND), ('h', 3600 * SECOND), ('d', DAY), ('w', 7 * DAY)];
    for (letter, unit) in units {
        if let Some(count) = text.strip_suffix(letter).and_then(|count| count.parse::<u64>().ok()) {
            return Ok((now.saturating_sub(count.saturating_mul(unit)), 1));
        }
    }
    match moment::parse(text) {
        // Until a moment means: that moment included.
        Some(micros) => Ok((micros, if text.len() == 10 { DAY } else { 1 })),
        None => Err(QueryError::new(format!("`{text}` is no time"), format!("{key}: takes {form}"))),
    }
}

/// A word of the expression, taken apart.
struct Word {
    negated: bool,
    key: Option<String>,
    value: String,
}

impl Word {
    /// A whole argument as one term.
    fn of_argument(argument: &str) -> Self {
        let (negated, rest) = argument.strip_prefix('-').map_or((false, argument), |rest| (true, rest));
        match rest.split_once(':') {
            Some((key, value)) if is_key(key) => {
                Self { negated, key: Some(key.to_owned()), value: value.to_owned() }
            }
            _ => Self { negated, key: None, value: rest.to_owned() },
        }
    }
}

/// Whether what stands before a colon is meant as a key.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// Splits at white space outside quotes. Inside quotes `\"` and `\\` stand for themselves.
fn words(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.peek().copied() {
        if c.is_whitespace() {
            chars.next();
            continue;
        }
        let negated = c == '-';
        if negated {
            chars.next();
        }
        let mut word = Word { negated, key: None, value: String::new() };
        let mut quoted = false;
        while let Some(c) = chars.next_if(|c| quoted || !c.is_whitespace()) {
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => word.value.extend(chars.next()),
                ':' if !quoted && word.key.is_none() && is_key(&word.value) => {
                    word.key = Some(std::mem::take(&mut word.value));
                }
                c => word.value.push(c),
            }
        }
        if quoted {
            return Err(QueryError::new("a quote is not closed", "write text:\"two words\""));
        }
        if word.key.is_none() && word.value.is_empty() {
            continue;
        }
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_456_800_000_000;

    fn parse(text: &str) -> Query {
        Query::parse(text, NOW).unwrap()
    }

    #[test]
    fn terms_words_quotes_and_negations_are_told_apart() {
        let query = parse(
            r#"identity:ada -table:public.payments drop text:"free \"text\" here" -"not this" effect:WRITE"#,
        );
        let shown: Vec<String> =
            query.terms.iter().map(|t| format!("{}{:?}={}", t.negated, t.key, t.value)).collect();
        assert_eq!(
            shown,
            [
                "falseIdentity=ada",
                "trueTable=public.payments",
                "falseText=drop",
                "falseText=free \"text\" here",
                "trueText=not this",
                "falseEffect=write"
            ]
        );
        assert_eq!(parse(&query.to_string()), query);
        assert!(parse("  ").is_everything());
    }

    #[test]
    fn times_are_relative_days_or_moments() {
        assert_eq!(parse("since:2h").since, Some(NOW - 7_200_000_000));
        assert_eq!(parse("since:2026-11-23").since, moment::parse("2026-11-23"));
        assert_eq!(parse("until:2026-11-23").until, moment::parse("2026-11-24"));
        assert_eq!(parse("until:2026-11-23T02:00:00Z").until, moment::parse("2026-11-23T02:00:00.000001Z"));
        let query = parse("since:2026-11-23T00:00Z until:2026-11-24");
        assert_eq!((query.since, query.until), (moment::parse("2026-11-23"), moment::parse("2026-11-25")));
        assert_eq!(parse("until:2s").until, Some(NOW - 1_999_999));
    }

    #[test]
    fn times_written_again_are_the_same_times() {
        for text in [
            "until:2s",
            "since:2s",
            "until:2026-11-23",
            "until:9999-12-31",
            "until:1970-01-01T00:00Z",
            "until:99999999999w",
        ] {
            let query = parse(text);
            assert_eq!(parse(&query.to_string()), query, "{text} is written as {query}");
        }
    }

    #[test]
    fn mistakes_are_answered_with_what_was_probably_meant() {
        for (text, message, hint) in [
            ("tabel:payments", "`tabel:` is not a key", "did you mean `table`?"),
            ("http://x", "`http:` is not a key", "text:\"http://x\""),
            ("effect:wirte", "`wirte` is no effect", "did you mean `write`?"),
            ("since:yesterday", "`yesterday` is no time", "since: takes 2h"),
            ("-since:2h", "cannot be negated", "swap"),
            ("table:", "`table:` has no value", "with or without schema"),
            ("text:\"open", "not closed", "two words"),
        ] {
            let why = Query::parse(text, NOW).unwrap_err();
            assert!(why.message.contains(message) && why.hint.contains(hint), "{text}: {why:?}");
        }
        let many = "x ".repeat(TERMS_MAX + 1);
        assert!(Query::parse(&many, NOW).is_err());
    }

    #[test]
    fn arguments_of_a_shell_keep_their_spaces() {
        let arguments = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(|a| (*a).to_owned()).collect();
            Query::from_arguments(&list, NOW).unwrap()
        };
        assert_eq!(arguments(&["table:payments", "text:free text"]).terms[1].value, "free text");
        assert_eq!(arguments(&["table:payments free"]).terms.len(), 2);
        assert_eq!(
            arguments(&["-two words", "a"]).terms[0],
            Term { negated: true, key: Key::Text, value: "two words".into() }
        );
        assert!(arguments(&[]).is_everything());
    }
}
