//! Dates of birth in texts whose month is a word: `née le 3 mars 1979`, `Date of birth: March 3, 1979`.

use super::columns::Topic;
use super::{Hit, label, text};

/// The beginnings of months' names, in the languages that the words before a date are looked up in.
const MONTHS: [&str; 43] = [
    "jan", "gen", "ene", "sty", "led", "feb", "fév", "fev", "lut", "únor", "mar", "mär", "mrz", "maart",
    "březen", "apr", "avr", "abr", "kwi", "mai", "may", "mei", "maj", "mag", "maio", "jun", "jui", "giu",
    "cze", "jul", "lug", "lip", "aug", "aoû", "ago", "sie", "sep", "set", "wrz", "oct", "okt", "out", "ott",
];
const LATE_MONTHS: [&str; 8] = ["paź", "nov", "lis", "dec", "dez", "déc", "dic", "gru"];
/// The longest name of a month, in bytes.
const LONGEST: usize = 14;
/// What joins a day to its month, and a month to its year; longer ones before those that they begin with.
const JOINTS: [&str; 11] = [" de ", " of ", " del ", ". ", ", ", " ", "-", "/", ".", ",", "/ "];
/// What may stand right behind the number of a day.
const ORDINALS: [&str; 7] = ["st", "nd", "rd", "th", "er", "º", "°"];

/// Adds those that a word before them tells to be of birth.
pub(crate) fn find(value: &str, hits: &mut Vec<Hit>) {
    let bytes = value.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
        let start = at + found;
        let len = bytes.iter().skip(start).take_while(|b| b.is_ascii_digit()).count();
        at = start + len;
        let fresh = value.get(..start).is_some_and(|t| !t.ends_with(|c: char| c.is_alphanumeric()));
        if len > 2 || !fresh {
            continue;
        }
        let day = value.get(start..at).and_then(|d| d.parse::<u8>().ok()).unwrap_or(0);
        let range = day_first(value, at).map(|end| start..end).or_else(|| month_first(value, start, at));
        if let Some(range) = range.filter(|_| (1..=31).contains(&day))
            && text::context(value, range.start) == Topic::Birth
        {
            at = range.end;
            hits.push(Hit { range, label: label::BIRTH, score: 0.8 });
        }
    }
}

/// Where `12. Mai 1980` ends, of which the day ends here.
fn day_first(value: &str, at: usize) -> Option<usize> {
    let rest = value.get(at..)?;
    let rest = behind_ordinal(rest);
    let rest = behind_joint(rest)?;
    let len = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let end = year(value, behind_joint(rest.get(len..)?)?)?;
    is_month(rest.get(..len)?).then_some(end)
}

/// `March 3, 1979`, of which the day stands here.
fn month_first(value: &str, start: usize, end: usize) -> Option<std::ops::Range<usize>> {
    let before = value.get(..start)?.strip_suffix(' ')?.trim_end_matches('.');
    let len: usize =
        before.chars().rev().take_while(|c| c.is_alphabetic()).take(LONGEST).map(char::len_utf8).sum();
    let month = before.len() - len;
    let end = year(value, behind_joint(behind_ordinal(value.get(end..)?))?)?;
    is_month(before.get(month..)?).then_some(month..end)
}

/// Where the year that begins here ends, of somebody who may live.
fn year(value: &str, rest: &str) -> Option<usize> {
    let digits = rest.get(..4)?;
    let lives = digits.bytes().all(|b| b.is_ascii_digit())
        && digits.parse::<u16>().is_ok_and(|y| (1900..=2035).contains(&y))
        && !rest.get(4..)?.starts_with(|c: char| c.is_alphanumeric());
    lives.then(|| value.len() - rest.len() + 4)
}

fn behind_ordinal(rest: &str) -> &str {
    ORDINALS.iter().find_map(|o| rest.strip_prefix(o)).unwrap_or(rest)
}

fn behind_joint(rest: &str) -> Option<&str> {
    JOINTS.iter().find_map(|j| rest.strip_prefix(j))
}

fn is_month(word: &str) -> bool {
    let begins = |month: &&str| {
        let mut letters = word.chars().flat_map(char::to_lowercase);
        month.chars().all(|m| letters.next() == Some(m))
    };
    (3..=LONGEST).contains(&word.len()) && MONTHS.iter().chain(&LATE_MONTHS).any(begins)
}
