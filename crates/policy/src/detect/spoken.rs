//! Passwords in texts that no sign of assignment stands before: in sentences, statements and the files of programs.

use std::cell::OnceCell;

use super::{Hit, label, text};

/// Words behind which one stands.
const WORDS: [&str; 16] = [
    "password",
    "passwort",
    "passwd",
    "passphrase",
    "kennwort",
    "contrasena",
    "contraseña",
    "senha",
    "haslo",
    "hasło",
    "wachtwoord",
    "requirepass",
    "identified",
    "otp",
    "passcode",
    "parola",
];
/// For the first letter of each (its last five bits) the second.
const SECOND: [u8; 32] = {
    let mut table = [0; 32];
    let [_, _, _, c, _, _, _, _, h, i, _, k, _, _, _, o, p, _, r, s, _, _, _, w, ..] = &mut table;
    (*c, *h, *i, *k, *o, *p, *r, *s, *w) = (b'o', b'a', b'd', b'e', b't', b'a', b'e', b'e', b'a');
    table
};
/// What says that it comes now.
const SAYS: [&str; 10] =
    [" is: ", " is ", " ist: ", " ist ", " lautet: ", " lautet ", " est ", " es ", " jest ", " was "];
/// The shortest that is told from a word; between quotes, and in other places that hold nothing else.
const SHORTEST: usize = 6;
const SHORTEST_QUOTED: usize = 4;
/// A longer one is a text.
const LONGEST: usize = 128;

/// Adds them.
pub(crate) fn find(value: &str, hits: &mut Vec<Hit>) {
    let bytes = value.as_bytes();
    let mut floor = 0;
    let netrc = OnceCell::new();
    for (at, pair) in bytes.windows(2).enumerate() {
        let [first, second] = pair else { continue };
        // Nearly all of a text fails here, for the price of two bytes.
        if SECOND.get(usize::from(*first & 31)) != Some(&(*second | 0x20)) {
            continue;
        }
        let before = at.checked_sub(1).and_then(|i| bytes.get(i)).copied().unwrap_or(b' ');
        if at < floor || before.is_ascii_alphanumeric() || before == b'_' {
            continue;
        }
        let rest = value.get(at..).unwrap_or_default();
        let Some(word) = WORDS.iter().find(|w| begins_with(rest, w)) else { continue };
        if let Some(hit) = behind(value, at, word, &netrc) {
            floor = hit.range.end;
            hits.push(hit);
        }
    }
}

fn begins_with(rest: &str, word: &str) -> bool {
    rest.get(..word.len()).is_some_and(|have| have.eq_ignore_ascii_case(word))
        && !rest.get(word.len()..).is_some_and(|t| t.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The password behind the word that stands here.
fn behind(value: &str, at: usize, word: &str, netrc: &OnceCell<bool>) -> Option<Hit> {
    let start = at + word.len();
    let rest = value.get(start..)?;
    if word == "identified" {
        let by = rest.get(..3).filter(|by| by.eq_ignore_ascii_case(" by"))?;
        return quoted(rest.get(by.len()..)?).map(|body| hit(value, body, label::PASSWORD));
    }
    let said = SAYS.iter().find_map(|s| rest.strip_prefix(s));
    if matches!(word, "otp" | "passcode") {
        return code(said.or_else(|| rest.strip_prefix(": "))?).map(|body| hit(value, body, label::SECRET));
    }
    let body = if value.get(..at)?.ends_with('<') && rest.starts_with('>') {
        within(rest.get(1..)?, '<')
    } else if let Some(said) = said {
        bare(said)
    } else if word == "requirepass" || *netrc.get_or_init(|| is_netrc(value)) {
        bare(rest.strip_prefix(' ')?)
    } else {
        quoted(rest)
    };
    body.map(|body| hit(value, body, label::PASSWORD))
}

/// The place of a part of the text.
fn hit(value: &str, body: &str, label: &'static str) -> Hit {
    let start = body.as_ptr() as usize - value.as_ptr() as usize;
    Hit { range: start..start + body.len(), label, score: 0.75 }
}

/// ` '…'`: in a statement.
fn quoted(rest: &str) -> Option<&str> {
    let body = rest.strip_prefix(' ')?;
    let quote = body.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    within(body.get(1..)?, quote)
}

/// What stands before a sign that ends it, if it is one word and no place for a value.
fn within(rest: &str, end: char) -> Option<&str> {
    let rest = near(rest);
    let body = rest.get(..rest.find(end)?)?;
    let named =
        body.starts_with(['$', '{', '<', '%', ':', '?', '*', '&']) || body.contains(char::is_whitespace);
    ((SHORTEST_QUOTED..=LONGEST).contains(&body.len()) && !named).then_some(body)
}

/// So much of the rest as is looked at: a long text is not gone through again for each word in it.
fn near(rest: &str) -> &str {
    rest.get(..rest.floor_char_boundary(LONGEST + 1)).unwrap_or(rest)
}

/// A word that is none of a language: letters with digits or signs.
fn bare(rest: &str) -> Option<&str> {
    let rest = near(rest);
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '<'))
        .unwrap_or(rest.len());
    let body = rest.get(..end)?.trim_end_matches(['.', ')']);
    ((SHORTEST..=LONGEST).contains(&body.len()) && text::is_secret(body)).then_some(body)
}

/// Four to eight digits.
fn code(rest: &str) -> Option<&str> {
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let done = !rest.get(len..)?.starts_with(|c: char| c.is_alphanumeric());
    ((4..=8).contains(&len) && done).then(|| rest.get(..len)).flatten()
}

/// `machine … login … password …`: a file of that name.
fn is_netrc(text: &str) -> bool {
    text.contains("machine ") && text.contains("login ")
}

/// Adds the passwords of PostgreSQL's own file, whose lines are `host:port:database:user:password`.
pub(crate) fn pgpass(value: &str, hits: &mut Vec<Hit>) {
    for line in value.split('\n').map(str::trim_end) {
        let mut parts = line.splitn(5, ':');
        let (Some(host), Some(port), Some(database), Some(user), Some(password)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let port = port == "*" || matches!(port.len(), 4 | 5) && port.bytes().all(|b| b.is_ascii_digit());
        let named =
            [host, database, user].iter().all(|p| !p.is_empty()) && !line.contains(char::is_whitespace);
        if port && named && (SHORTEST..=LONGEST).contains(&password.len()) && text::is_secret(password) {
            hits.push(hit(value, password, label::PASSWORD));
        }
    }
}
