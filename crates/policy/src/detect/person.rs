//! Names of persons: by a list of common names, by titles, by the words before them.

use std::collections::HashSet;

use super::{Hit, label};

/// The most words of a name.
const MAX_WORDS: usize = 5;
/// The most bytes of a word that can be in the list.
const MAX_WORD: usize = 40;

/// Titles before a name.
const TITLES: [&str; 27] = [
    "Mr", "Mrs", "Ms", "Miss", "Dr", "Prof", "Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "Herr", "Herrn", "Frau", "Monsieur", "Madame", "Mme", "Mlle", "Señor",
    "Señora", "Sr.", "Sra.", "Signor", "Signora", "Sig.", "Mx.", "Sir",
];
/// Words behind which somebody's name stands.
const CUES: [&str; 22] = [
    "my name is ", "My name is ", "name's ", "I am called ", "Dear ", "Liebe ", "Lieber ", "Hi ", "Hello ", "patient ", "Patient ", "Regards, ", "regards, ",
    "Name: ", "name: ", "signed by ", "Signed by ", "heiße ", "je m'appelle ", "me llamo ", "mi chiamo ", "Sincerely, ",
];

/// Common names.
pub(crate) struct Names {
    given: HashSet<&'static str>,
    family: HashSet<&'static str>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            given: include_str!("names/given.txt").split_ascii_whitespace().collect(),
            family: include_str!("names/surnames.txt").split_ascii_whitespace().collect(),
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
        if let Some((family, given)) = text.split_once(", ") {
            return capitals(family) && capitals(given) && self.is_family(last(family)) && self.is_given(first(given));
        }
        let rest = untitled(text);
        if rest.len() < text.len() && capitals(rest) {
            return rest.split(' ').any(|w| self.is_given(w) || self.is_family(w)) || rest.split(' ').count() > 1;
        }
        let end = last(unsuffixed(text));
        text.contains(' ') && capitals(text) && self.is_given(first(text)) && self.is_family(end)
    }

    /// Whether a value under `name` is that of a person rather than of a thing.
    pub(crate) fn is_likely(&self, text: &str) -> bool {
        if self.is_full(text) {
            return true;
        }
        let words = text.split([' ', ',']).filter(|w| !w.is_empty()).count();
        (2..=MAX_WORDS).contains(&words) && is_wordy(text) && text.split([' ', ',', '-']).any(|w| self.is_given(w)) && capitals_or_small(text)
    }

    /// Adds the names in a text.
    pub(crate) fn find(&self, text: &str, hits: &mut Vec<Hit>) {
        let mut from = 0;
        while let Some((start, end)) = next_capital(text, from) {
            let word = text.get(start..end).unwrap_or_default();
            let found = if TITLES.contains(&word) || word.len() < 5 && TITLES.contains(&text.get(start..end + 1).unwrap_or_default()) {
                self.titled(text, end)
            } else if self.is_given(word) {
                self.full(text, start, end)
            } else {
                None
            };
            let found = found.or_else(|| self.cued(text, start, end));
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
        if start != end + gap || !text.get(start..stop)?.chars().nth(1).is_some_and(char::is_lowercase) {
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
        best.map(|e| (start..e, 0.8))
    }

    /// A known name behind a cue.
    fn cued(&self, text: &str, start: usize, end: usize) -> Option<(std::ops::Range<usize>, f32)> {
        let before = text.get(..start)?;
        if !CUES.iter().any(|c| before.ends_with(c)) {
            return None;
        }
        let word = text.get(start..end)?;
        let certain = before.ends_with("ame is ") || before.ends_with("ame: ") || before.ends_with("llamo ") || before.ends_with("chiamo ") || before.ends_with("'appelle ") || before.ends_with("heiße ");
        if !(certain || self.is_given(word) || self.is_family(word)) {
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
        let c = if i == 0 { c.to_uppercase().next().unwrap_or(c) } else { c.to_lowercase().next().unwrap_or(c) };
        let Some(room) = buffer.get_mut(len..len + c.len_utf8()) else { return false };
        c.encode_utf8(room);
        len += c.len_utf8();
    }
    buffer.get(..len).and_then(|b| std::str::from_utf8(b).ok()).is_some_and(|w| set.contains(w))
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
    [" Jr.", " Jr", " Sr.", " II", " III", " MD", " PhD", " DDS", " DVM"].iter().find_map(|s| text.strip_suffix(s)).unwrap_or(text)
}

/// Whether each word begins with a capital (particles aside) and there is nothing but words.
fn capitals(text: &str) -> bool {
    let words = text.split(' ');
    words.clone().count() <= MAX_WORDS
        && words.clone().all(|w| is_particle(w) || w.chars().next().is_some_and(char::is_uppercase))
        && is_wordy(text)
}

fn capitals_or_small(text: &str) -> bool {
    capitals(text) || text.chars().all(|c| c.is_lowercase() || matches!(c, ' ' | '-' | '\'' | '.')) || capitals(text.replace(',', "").as_str())
}

/// Letters and what joins them.
fn is_wordy(text: &str) -> bool {
    text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '.' | '\'' | '’' | '-' | ','))
}

fn is_particle(word: &str) -> bool {
    matches!(word, "van" | "von" | "de" | "der" | "den" | "del" | "della" | "di" | "da" | "dos" | "du" | "la" | "le" | "el" | "bin" | "al" | "af" | "av" | "zu" | "y" | "e" | "ter" | "ten" | "das" | "do")
}

/// The next word with a capital, from a place on.
fn next_capital(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut last = text.get(..from)?.chars().next_back().unwrap_or(' ');
    for (i, c) in text.get(from..)?.char_indices() {
        if c.is_uppercase() && !last.is_alphanumeric() && !matches!(last, '_' | '@' | '/' | '.') {
            let start = from + i;
            let rest = text.get(start..)?;
            let len = rest.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '-'))).unwrap_or(rest.len());
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
        let stop = rest.get(..gap)?.contains(". ") && at.checked_sub(2).and_then(|i| text.as_bytes().get(i)).is_some_and(u8::is_ascii_lowercase);
        if gap > 2 || stop {
            return None;
        }
        let start = at + gap;
        let word = text.get(start..)?;
        let len = word.find(|c: char| !(c.is_alphabetic() || matches!(c, '\'' | '’' | '-'))).unwrap_or(word.len());
        let word = word.get(..len)?.trim_end_matches(['\'', '’', '-']);
        let word = word.strip_suffix("'s").unwrap_or(word);
        if word.is_empty() || !(word.chars().next()?.is_uppercase() || is_particle(word)) {
            return None;
        }
        at = start + word.len();
        Some((start, at))
    })
}
