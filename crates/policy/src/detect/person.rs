//! Names of persons: by a list of common names, by titles, by the words before them.

use std::collections::HashSet;

use super::people::{
    BEFORE_PEOPLE, BEGIN_SENTENCES, CUES, DOUBTFUL, EASTERN, FIRMS, GROUPS, OF_PLACES, PLACES, THINGS, TITLES,
};
use super::{Hit, label};

/// The most words of a name.
const MAX_WORDS: usize = 5;
/// The most bytes of a word that can be in the list.
const MAX_WORD: usize = 40;

/// Common names.
pub(crate) struct Names {
    given: HashSet<&'static str>,
    family: HashSet<&'static str>,
    /// Words of things, which nobody is called by.
    words: HashSet<&'static str>,
    /// Firms, brands, places and characters that are called like a person.
    known: HashSet<&'static str>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            given: include_str!("names/given.txt").split_ascii_whitespace().collect(),
            family: include_str!("names/surnames.txt").split_ascii_whitespace().collect(),
            words: include_str!("names/words.txt").split_ascii_whitespace().collect(),
            known: include_str!("names/known.txt").lines().collect(),
        }
    }

    fn is_given(&self, word: &str) -> bool {
        holds(&self.given, word)
    }

    fn is_family(&self, word: &str) -> bool {
        holds(&self.family, word)
    }

    /// Whether a whole value is the name of a person: a given name first and a family name last, or turned round with a
    /// comma, or a title before capitals.
    pub(crate) fn is_full(&self, text: &str) -> bool {
        if self.known.contains(text) {
            return false;
        }
        if let Some((family, given)) = text.split_once(", ") {
            return capitals(family)
                && capitals(given)
                && self.is_family(last(family))
                && self.is_given(first(given));
        }
        let rest = untitled(text);
        if rest.len() < text.len() && capitals(rest) {
            return rest.split(' ').any(|w| self.is_given(w) || self.is_family(w))
                || rest.split(' ').count() > 1;
        }
        let end = last(unsuffixed(text));
        let given =
            self.is_given(first(text)) || DOUBTFUL.contains(&first(text)) && text.split(' ').count() == 2;
        let family = self.is_family(end) || end.contains('-') && end.split('-').any(|w| self.is_family(w));
        if !(text.contains(' ') && capitals(text)) {
            return false;
        }
        let words = text.split(' ').count();
        given && family
            || (2..=3).contains(&words)
                && ends_as_family(end)
                && !OF_PLACES.contains(&first(text))
                && is_simple(first(text))
    }

    /// Whether a value under `name` is that of a person rather than of a thing.
    pub(crate) fn is_likely(&self, text: &str) -> bool {
        if self.is_full(text) {
            return true;
        }
        if is_eastern(text) || is_southern(text) {
            return true;
        }
        if !text.contains(' ') {
            // A given name alone, which is not a word for something else.
            return self.is_alone(text);
        }
        let words = text.split([' ', ',']).filter(|w| !w.is_empty()).count();
        let known = text.split([' ', ',', '-']).any(|w| self.is_given(w))
            || self.is_family(last(unsuffixed(text)))
            || self.is_family(first(text));
        let firm = text.split([' ', ',']).any(|w| FIRMS.contains(&w));
        (2..=MAX_WORDS).contains(&words) && is_wordy(text) && known && !firm && capitals_or_small(text)
    }

    /// Whether one word is a given or a family name, and no word for something else.
    fn is_alone(&self, text: &str) -> bool {
        let given =
            self.given.contains(text) || (text.contains('-') || is_shouted(text)) && self.is_given(text);
        let family = (is_simple(text) || is_shouted(text)) && self.is_family(text)
            || is_of_clan(text)
            || is_slavic(text);
        let word =
            DOUBTFUL.iter().chain(&THINGS).chain(&GROUPS).chain(&FIRMS).any(|w| w.eq_ignore_ascii_case(text));
        (given || family) && text.len() >= 4 && !word && !holds(&self.words, text)
    }

    /// Whether a value under the name of somebody's part is a person rather than a group or a firm.
    pub(crate) fn is_party(&self, text: &str) -> bool {
        let words = || text.split([' ', ',']).filter(|w| !w.is_empty());
        let name =
            |w: &str| is_particle(w) || w.chars().count() >= 2 && w.chars().skip(1).any(char::is_lowercase);
        let thing = words().any(|w| self.words.contains(w));
        let group = words().any(|w| FIRMS.contains(&w) || PLACES.contains(&w) || GROUPS.contains(&w));
        self.is_likely(text)
            || (2..=4).contains(&words().count()) && capitals(text) && words().all(name) && !group && !thing
            || !text.contains(' ') && !group && name(text) && capitals(text) && self.is_family(text)
    }

    /// Adds the names in a text.
    pub(crate) fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut from = 0;
        while let Some((start, end)) = next_capital(text, from) {
            let word = text.get(start..end).unwrap_or_default();
            // All titles have a small letter second; words in capitals, of which statements are full, need no look at them.
            let titled = word.as_bytes().get(1).is_some_and(|b| !b.is_ascii_uppercase())
                && (TITLES.contains(&word)
                    || word.len() < 5 && TITLES.contains(&text.get(start..end + 1).unwrap_or_default()));
            let found = if titled {
                self.titled(text, end).map(|(range, score)| (start..range.end, score))
            } else if self.is_given(word) {
                self.full(text, start, end)
            } else {
                None
            };
            let found = found
                .or_else(|| self.cued(text, start, end))
                .or_else(|| self.unknown_given(text, start, end))
                .filter(|(range, _)| {
                    text.get(range.clone()).is_some_and(|found| !self.known.contains(found))
                });
            from = match found {
                Some((range, score)) => {
                    let end = range.end;
                    hits.push(Hit { range, label: label::PERSON, score });
                    end
                }
                None => end,
            };
        }
    }

    /// Capitalised words behind a title.
    fn titled(&self, text: &str, end: usize) -> Option<(std::ops::Range<usize>, f32)> {
        let gap = text.get(end..)?.bytes().take_while(|b| matches!(b, b'.' | b' ')).count();
        let mut words = run(text, end + gap);
        if gap == 0 || gap > 2 {
            return None;
        }
        let (start, mut stop) = words.next()?;
        let first = text.get(start..stop)?;
        if start != end + gap || !first.chars().nth(1).is_some_and(char::is_lowercase) {
            return None;
        }
        // `Mr. Coffee`.
        if self.words.contains(first) && !self.is_family(first) {
            return None;
        }
        for (s, e) in words.take(2) {
            let word = text.get(s..e)?;
            if !(self.is_given(word) || self.is_family(word) || e - s == 1) {
                break;
            }
            stop = e;
        }
        Some((start..stop, 0.85))
    }

    /// A given name, perhaps more or an initial, and a family name.
    fn full(&self, text: &str, start: usize, end: usize) -> Option<(std::ops::Range<usize>, f32)> {
        let mut best = None;
        for (s, e) in run(text, end).take(3) {
            let word = text.get(s..e)?;
            if self.is_family(word) || word.split('-').all(|w| self.is_family(w)) {
                best = Some(e);
            } else if !(self.is_given(word) || e - s == 1 || is_particle(word)) {
                break;
            }
        }
        if best.is_none() {
            best = self.unknown_family(text, end);
        }
        // `Ben Sherman Shirt` is a thing.
        let thing = best.is_some_and(|e| {
            run(text, e).next().is_some_and(|(s, _)| {
                s == e + 1 && text.get(s..).is_some_and(|t| t.starts_with(char::is_uppercase))
            })
        });
        best.filter(|_| !thing).map(|e| (start..e, 0.8))
    }

    /// A capitalised word behind a given name, which is no word that firms, streets and places are named by.
    fn unknown_family(&self, text: &str, end: usize) -> Option<usize> {
        // A text of nothing but given names is gone through once, not once for each of them.
        let near = |(s, _): &(usize, usize)| *s <= end + NEAR;
        let (s, e) = run(text, end)
            .take_while(near)
            .find(|(s, e)| !text.get(*s..*e).is_some_and(|w| is_particle(w) || self.is_given(w)))?;
        let word = text.get(s..e)?;
        let small = word.chars().skip(1).filter(|c| c.is_lowercase()).count();
        let ordinary = FIRMS.contains(&word)
            || PLACES.contains(&word)
            || self.words.contains(word)
            || super::address::is_street_word(word);
        (small >= 2 && !ordinary && text.get(end..s).is_some_and(|g| !g.contains(". "))).then_some(e)
    }

    /// Two capitalised words, the second of which ends as family names do; or is a known one, behind a small word that
    /// people follow.
    fn unknown_given(&self, text: &str, start: usize, end: usize) -> Option<(std::ops::Range<usize>, f32)> {
        let before = text.get(..start)?;
        let word = text.get(start..end)?;
        let mut words = run(text, end);
        let (s, e) = words.next()?;
        let family = text.get(s..e)?;
        let (people, ends) = (BEFORE_PEOPLE.iter().any(|w| ends_in(before, w)), ends_as_family(family));
        let begins = OF_PLACES.contains(&word) || !people && BEGIN_SENTENCES.contains(&word);
        if begins || !(people || ends) {
            return None;
        }
        let alone = words.next().is_none_or(|(s, _)| {
            s > e + 1 || text.get(s..).is_some_and(|t| t.starts_with(char::is_lowercase))
        });
        let small = word.chars().skip(1).all(char::is_lowercase) && word.chars().count() > 2;
        let known = ends || people && family.len() >= 5 && self.is_family(family);
        (small && alone && known).then_some((start..e, 0.65))
    }

    /// A known name behind a cue.
    fn cued(&self, text: &str, start: usize, end: usize) -> Option<(std::ops::Range<usize>, f32)> {
        let before = text.get(..start)?;
        if !CUES.iter().any(|c| ends_in(before, c)) {
            return None;
        }
        let word = text.get(start..end)?;
        let certain = before.ends_with("ame is ")
            || before.ends_with("ame: ")
            || before.ends_with("llamo ")
            || before.ends_with("chiamo ")
            || before.ends_with("'appelle ")
            || before.ends_with("heiße ");
        let doubtful = DOUBTFUL.contains(&word) && run(text, end).next().is_some();
        if !(certain || doubtful || self.is_given(word) || self.is_family(word)) {
            return None;
        }
        let mut stop = end;
        for (s, e) in run(text, end).take(3) {
            if text.get(s..e)?.chars().nth(1).is_some_and(char::is_uppercase) {
                break;
            }
            stop = e;
        }
        Some((start..stop, 0.75))
    }
}

/// As `str::ends_with`, for long lists of ends that mostly differ in the last letters: without a call for each.
fn ends_in(text: &str, end: &str) -> bool {
    text.len() >= end.len() && text.bytes().rev().zip(end.bytes().rev()).all(|(a, b)| a == b)
}

fn holds(set: &HashSet<&'static str>, word: &str) -> bool {
    if word.len() < 3 || word.len() > MAX_WORD {
        return false;
    }
    if set.contains(word) {
        return true;
    }
    let mut chars = word.chars();
    let Some(head) = chars.next() else { return false };
    let shouted = head.is_uppercase() && chars.clone().all(|c| c.is_uppercase() || c == '\'');
    let small = head.is_lowercase();
    if !(shouted || small) {
        return word.split('-').count() == 2 && word.split('-').all(|w| w.len() > 2 && set.contains(w));
    }
    let mut buffer = [0_u8; MAX_WORD + 8];
    let mut len = 0;
    for (i, c) in word.chars().enumerate() {
        let c = match (i, c.is_ascii()) {
            (0, true) => c.to_ascii_uppercase(),
            (_, true) => c.to_ascii_lowercase(),
            (0, false) => c.to_uppercase().next().unwrap_or(c),
            (_, false) => c.to_lowercase().next().unwrap_or(c),
        };
        let Some(room) = buffer.get_mut(len..len + c.len_utf8()) else { return false };
        c.encode_utf8(room);
        len += c.len_utf8();
    }
    buffer.get(..len).and_then(|b| std::str::from_utf8(b).ok()).is_some_and(|w| set.contains(w))
}

/// Whether a word ends as family names of the North, the East and the South-East do, and little else.
fn ends_as_family(word: &str) -> bool {
    const ENDS: [&str; 67] = [
        "ová", "ović", "ević", "inčić", "čić", "nić", "sson", "dóttir", "dottir", "nsen", "rsen", "lsen",
        "tsen", "wski", "wska", "ński", "ńska", "wicz", "czyk", "enko", "chuk", "shvili", "poulos", "escu",
        "eanu", "oğlu", "ayev", "iyev", "ayeva", "skaya", "skiy", "sky", "evich", "auskas", "evičius",
        "avičius", "aitis", "kienė", "aitė", "ytė", "ūnas", "iadis", "adze", "idze", "isvili", "gawa",
        "kawa", "mura", "moto", "zaki", "saki", "jima", "yama", "icki", "ecki", "acki", "icka", "ecka",
        "arski", "arska", "alska", "šek", "čnik", "ndez", "guez", "rrez", "videz",
    ];
    const SHORT: [&str; 6] = ["ov", "ev", "ova", "eva", "ić", "yan"];
    const NOT: [&str; 9] = [
        "Casanova",
        "Supernova",
        "Villanova",
        "Geneva",
        "Genova",
        "Sarajevo",
        "Terranova",
        "Whisky",
        "Husky",
    ];
    let count = word.chars().count();
    is_simple(word)
        && !NOT.contains(&word)
        && count >= 6
        && ENDS
            .iter()
            .chain(&SHORT)
            .any(|e| e.as_bytes().last() == word.as_bytes().last() && word.ends_with(e))
}

/// A capital, then small letters.
fn is_simple(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(char::is_uppercase) && chars.all(char::is_lowercase) && word.chars().count() >= 3
}

/// `O'Connor`, `McDonald`, `D'Angelo`.
fn is_of_clan(word: &str) -> bool {
    let rest = ["O'", "O’", "Mc", "D'", "D’"].iter().find_map(|p| word.strip_prefix(p));
    rest.is_some_and(|r| r.chars().count() >= 4 && is_simple(r))
}

/// A word in Cyrillic letters that ends as family names do.
fn is_slavic(word: &str) -> bool {
    const ENDS: [&str; 12] =
        ["ов", "ев", "ёв", "ова", "ева", "ёва", "ский", "ская", "енко", "швили", "адзе", "ович"];
    is_simple(word) && word.chars().count() >= 5 && ENDS.iter().any(|e| word.ends_with(e)) && word != "Остров"
}

/// Capitals alone, as many as a name has.
fn is_shouted(word: &str) -> bool {
    word.chars().count() >= 4 && word.chars().all(|c| c.is_uppercase() || c == '-')
}

fn first(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

fn last(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or_default()
}

fn untitled(text: &str) -> &str {
    match text.split_once(' ') {
        Some((title, rest)) if TITLES.contains(&title) => untitled(rest),
        _ => text,
    }
}

fn unsuffixed(text: &str) -> &str {
    const SUFFIXES: [&str; 16] = [
        " Jr.", " Jr", " Sr.", " II", " III", " MD", " PhD", " DDS", " DVM", " B.Eng.", " B.Sc.", " B.A.",
        " M.Sc.", " M.A.", " MBA.", " MBA",
    ];
    SUFFIXES.iter().find_map(|s| text.strip_suffix(s)).unwrap_or(text)
}

/// Two to four signs of eastern Asia that begin with a common family name.
fn is_eastern(text: &str) -> bool {
    let signs = text.chars().filter(|c| *c != ' ').count();
    let eastern = text.chars().all(
        |c| matches!(c, ' ' | '\u{3040}'..='\u{30FF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'),
    );
    let two = text.split(' ').filter(|w| !w.is_empty()).count() == 2;
    (2..=6).contains(&signs) && eastern && (two || text.chars().next().is_some_and(|c| EASTERN.contains(c)))
}

/// Two or three words, all in one of the scripts between the Caucasus and Siam, in which no firm of elsewhere is written.
fn is_southern(text: &str) -> bool {
    let script = |c: char| {
        matches!(c, '\u{530}'..='\u{58F}' | '\u{590}'..='\u{6FF}' | '\u{900}'..='\u{DFF}' | '\u{E00}'..='\u{E7F}' | '\u{10A0}'..='\u{10FF}')
            && !c.is_numeric()
            || matches!(c, '\u{200C}' | '\u{200D}')
    };
    let words = || text.split(' ').filter(|w| !w.is_empty());
    (2..=3).contains(&words().count())
        && words().all(|w| {
            (2..=14).contains(&w.chars().filter(|c| c.is_alphabetic()).count()) && w.chars().all(script)
        })
}

/// Whether each word begins with a capital (particles aside) and there is nothing but words.
fn capitals(text: &str) -> bool {
    let words = text.split(' ');
    words.clone().count() <= MAX_WORDS
        && words.clone().all(|w| is_particle(w) || w.chars().next().is_some_and(char::is_uppercase))
        && is_wordy(text)
}

fn capitals_or_small(text: &str) -> bool {
    capitals(text)
        || text.chars().all(|c| c.is_lowercase() || matches!(c, ' ' | '-' | '\'' | '.'))
        || capitals(text.replace(',', "").as_str())
}

/// Letters and what joins them.
fn is_wordy(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '\'' | '’' | '-' | ','))
}

fn is_particle(word: &str) -> bool {
    matches!(
        word,
        "van"
            | "von"
            | "de"
            | "der"
            | "den"
            | "del"
            | "della"
            | "di"
            | "da"
            | "dos"
            | "du"
            | "la"
            | "le"
            | "el"
            | "bin"
            | "al"
            | "af"
            | "av"
            | "zu"
            | "y"
            | "e"
            | "ter"
            | "ten"
            | "das"
            | "do"
    )
}

/// A family name that nobody knows stands so many bytes behind a given one at most.
const NEAR: usize = 12;

/// The next word with a capital, from a place on.
fn next_capital(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut last = text.get(..from)?.chars().next_back().unwrap_or(' ');
    for (i, c) in text.get(from..)?.char_indices() {
        if c.is_uppercase() && !last.is_alphanumeric() && !matches!(last, '_' | '@' | '/' | '.') {
            let start = from + i;
            let rest = text.get(start..)?;
            let len =
                rest.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '-'))).unwrap_or(rest.len());
            return Some((start, start + rest.get(..len)?.trim_end_matches(['\'', '-']).len()));
        }
        last = c;
    }
    None
}

/// The capitalised words (and particles, initials) that follow each other with one space between.
fn run(text: &str, from: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = from;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let gap = rest.bytes().take_while(|b| matches!(b, b' ' | b'.')).count();
        let stop = rest.get(..gap)?.contains(". ")
            && at.checked_sub(2).and_then(|i| text.as_bytes().get(i)).is_some_and(u8::is_ascii_lowercase);
        if gap > 2 || stop {
            return None;
        }
        let start = at + gap;
        let word = text.get(start..)?;
        let len =
            word.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '’' | '-'))).unwrap_or(word.len());
        let word = word.get(..len)?.trim_end_matches(['\'', '’', '-']);
        let word = word.strip_suffix("'s").unwrap_or(word);
        if word.is_empty() || !(word.chars().next()?.is_uppercase() || is_particle(word)) {
            return None;
        }
        at = start + word.len();
        Some((start, at))
    })
}
