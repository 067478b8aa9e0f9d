//! What PostgreSQL's parser says of a text that it refuses, for who sent it and for the record: the kind of error, the word at
//! which it stopped, and where that stands. The parser quotes the text there, which may hold a secret or somebody's data.

use pg_query::protobuf::{KeywordKind, ScanToken, Token};

use crate::analysis::{SMALL_TEXT_BYTES, Unparsed};
use crate::secrets::may_hold_secret;

/// Longest word that is quoted: names of the server have no more.
const WORD_MAX: usize = 63;
/// Longest sign or word where a secret may stand near: no word of the grammar has as many letters.
const GRAMMAR_MAX: usize = 24;
/// Characters of the kind of an error that are told.
const KIND_MAX: usize = 120;
/// Places of the same word that are tried; each is a parse of what stands before it.
const PLACES_MAX: usize = 16;

/// What is told of the parser's error about this text.
pub(crate) fn syntax(error: &pg_query::Error, text: &str) -> Unparsed {
    let message = match error {
        pg_query::Error::Parse(message) => message.as_str(),
        _ => "the parser's tree could not be read",
    };
    let (kind, quoted) = message.split_once('"').unwrap_or((message, ""));
    let quoted = quoted.rsplit_once('"').map_or("", |(token, _)| token);
    let kind: String = kind.trim_end().chars().take(KIND_MAX).collect();
    let Some(before) = kind.strip_suffix("at or near") else { return Unparsed::Syntax(kind) };
    let place = place(text, quoted).map(|at| shown(text, at)).unwrap_or_default();
    Unparsed::Syntax(match is_told(quoted, text) {
        true => format!("{kind} \"{quoted}\"{place}"),
        false => format!("{}{place}", before.trim_end()),
    })
}

/// Whether what the parser stopped at is a word of SQL's grammar, signs, or, where no secret can stand in the text, a name. A
/// constant is somebody's data.
fn is_told(token: &str, text: &str) -> bool {
    let signs = !token.is_empty() && token.bytes().all(|b| b.is_ascii_punctuation() && b != b'\'');
    if signs {
        return token.len() <= GRAMMAR_MAX;
    }
    let one = pg_query::scan(token).map(|scanned| scanned.tokens).unwrap_or_default();
    let [only] = one.as_slice() else { return false };
    if only.keyword_kind() != KeywordKind::NoKeyword {
        return token.len() <= GRAMMAR_MAX;
    }
    let is_name = only.token() == Token::Ident && token.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name && token.len() <= WORD_MAX && !may_hold_secret(text.as_bytes())
}

/// Where the parser stopped, in bytes: it tells at what, and the same may stand there more than once.
fn place(text: &str, quoted: &str) -> Option<usize> {
    if quoted.is_empty() || text.len() > SMALL_TEXT_BYTES {
        return None;
    }
    let Ok(scanned) = pg_query::scan(text) else {
        // A constant or comment that does not end is all of the rest.
        return text.ends_with(quoted).then(|| text.len().saturating_sub(quoted.len()));
    };
    let start = |token: &ScanToken| usize::try_from(token.start).ok();
    let is_it = |at: &usize| text.get(*at..).is_some_and(|rest| rest.starts_with(quoted));
    let mut places = scanned.tokens.iter().filter_map(start).filter(is_it).take(PLACES_MAX + 1);
    let (first, second) = (places.next()?, places.next());
    if second.is_none() {
        return Some(first);
    }
    let stops = |at: &usize| {
        let upto = text.get(..at.saturating_add(quoted.len())).unwrap_or_default();
        matches!(pg_query::parse(upto, 0), Err(pg_query::Error::Parse(why)) if why.contains("at or near"))
    };
    std::iter::once(first).chain(second).chain(places).take(PLACES_MAX).find(stops)
}

/// The place as people count: characters from one, and lines where there are several.
fn shown(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let character = line.chars().count() + 1;
    match before.matches('\n').count() {
        0 => format!(" at character {character}"),
        lines => format!(" at line {}, character {character}", lines + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let error = pg_query::parse(text, 0).map(|_| ()).unwrap_err();
        syntax(&error, text).to_string()
    }

    #[test]
    fn a_syntax_error_says_what_it_is_at_and_where() {
        for (text, told) in [
            ("select * form customers", "syntax error at or near \"form\" at character 10"),
            ("select id, from customers", "syntax error at or near \"from\" at character 12"),
            ("select a,\n  b c d from t", "syntax error at or near \"d\" at line 2, character 7"),
            ("select x, x x x from x", "syntax error at or near \"x\" at character 15"),
            ("select 'ü' )", "syntax error at or near \")\" at character 12"),
            ("select (1", "syntax error at end of input"),
        ] {
            assert_eq!(said(text), told, "{text}");
        }
    }

    #[test]
    fn no_constant_and_nothing_beside_a_secret_is_quoted() {
        for (text, told) in [
            ("select 1 from 'geheim'", "syntax error at character 15"),
            ("select 1 1234", "syntax error at character 10"),
            ("select \"a\" \"b\" \"Ada L\"", "syntax error at character 16"),
            ("select 'geheim", "unterminated quoted string at character 8"),
            ("create role x password hunter2", "syntax error at character 24"),
        ] {
            assert_eq!(said(text), told, "{text}");
        }
        let long = format!("select a b {}", "x".repeat(64));
        assert_eq!(said(&long), "syntax error at character 12");
    }
}
