//! Numbers, names and addresses between words.

use super::cell::is_date_like;
use super::class::Class;
use super::columns::Topic;
use super::shape::MAX_COMPACT;
use super::{Detector, Hit, address, label, phone, remembered, told, wallet};

/// A number with fewer digits, or as few and no letters, is nothing by itself.
const FEWEST: usize = 4;
/// The most groups that one number is written in.
const MAX_GROUPS: usize = 10;
/// The shortest address of a wallet in Base58Check.
const MIN_WALLET: usize = 26;
/// How far back the words that tell what a number is are looked for.
const CONTEXT: usize = 48;
/// So many words before a number tell what it is.
const CONTEXT_WORDS: usize = 3;
/// What a dot behind shortens.
const ABBREVIATED: [&str; 18] = [
    "no", "nr", "num", "tel", "tél", "ph", "fax", "mob", "acct", "tlf", "telef", "cel", "str", "id", "geb",
    "dob", "nro", "kto",
];
/// Words between the one that tells and the number.
const FILLERS: [&str; 44] = [
    "is", "are", "was", "no", "nr", "number", "num", "the", "my", "your", "his", "her", "their", "of", "der",
    "die", "das", "lautet", "ist", "est", "es", "as", "on", "to", "at", "for", "with", "new", "n", "s",
    "numero", "nummer", "id", "under", "now", "reads", "ending", "mit", "a", "an", "me", "us", "or", "and",
];

impl Detector {
    /// Adds what is found between the words of a text.
    pub(crate) fn text(&self, value: &str, class: Class, topic: Topic, hits: &mut Vec<Hit>) {
        if class.digits as usize >= FEWEST {
            self.numbers(value, topic, hits);
        }
        if class.equals() || class.colon() || class.space() {
            assigned(value, hits);
        }
        if class.space() && (class.upper() || class.foreign()) && class.letters >= 4 {
            if !topic.is_ordinary() {
                self.names.find(value, hits);
            }
            if class.digits > 0 {
                address::find(value, hits);
            }
        }
    }

    fn numbers(&self, value: &str, topic: Topic, hits: &mut Vec<Hit>) {
        self.numbers_from(value, topic, next_start, hits);
    }

    /// `next`: where, from a place on, the next number may begin.
    fn numbers_from(
        &self,
        value: &str,
        topic: Topic,
        next: impl Fn(&[u8], usize) -> usize,
        hits: &mut Vec<Hit>,
    ) {
        let bytes = value.as_bytes();
        let mut at = 0;
        loop {
            at = next(bytes, at);
            let Some(b) = bytes.get(at) else { break };
            let starts = b.is_ascii_alphanumeric() || matches!(b, b'+' | b'(');
            let word = bytes.iter().skip(at).take_while(|b| b.is_ascii_alphanumeric()).count();
            if word < MIN_WALLET && is_word(bytes.get(at..at + word).unwrap_or_default()) {
                at += word;
                continue;
            }
            if !starts || glued(value, at) {
                at += 1;
                continue;
            }
            let found = if word >= MIN_WALLET { wallet_at(value, at, word) } else { None };
            at = match found.or_else(|| self.number_at(value, at, topic)) {
                Some(hit) => {
                    let end = hit.range.end;
                    hits.push(hit);
                    end
                }
                None => at + word.max(1),
            };
        }
    }

    /// The number that begins here, the longest first.
    fn number_at(&self, value: &str, start: usize, topic: Topic) -> Option<Hit> {
        let (ends, count) = ends(value, start);
        let ends = ends.get(..count)?;
        let longest = value.get(start..*ends.last()?)?;
        let figures = longest.bytes().filter(u8::is_ascii_digit).count();
        let letters = longest.bytes().filter(u8::is_ascii_alphabetic).count();
        if figures < FEWEST || figures == FEWEST && letters < FEWEST {
            return None;
        }
        let told = context(value, start);
        let told = if told == Topic::Ordinary && is_cited(value, start) { Topic::Unknown } else { told };
        let topic = if told == Topic::Unknown { topic } else { told };
        let bytes = value.as_bytes();
        let dear = start.checked_sub(1).and_then(|i| bytes.get(i)).is_some_and(|b| matches!(b, b'#' | b'$'));
        for end in ends.iter().rev() {
            let part = value.get(start..*end)?;
            if tight(value, *end) {
                continue;
            }
            let figures = part.bytes().filter(u8::is_ascii_digit).count();
            let bare = part.bytes().all(|b| b.is_ascii_alphanumeric());
            let called = topic == Topic::Phone && figures >= 7 && phone::is_phone(part, topic);
            if figures >= 4
                && !called
                && !(dear && bare)
                && let Some((label, score)) = self.number(part, topic)
            {
                return Some(Hit { range: start..*end, label, score });
            }
            if figures >= 7 && !is_date_like(part) && phone::is_phone(part, topic) {
                let end = *end + extension(value.get(*end..).unwrap_or_default());
                return Some(Hit { range: start..end, label: label::PHONE, score: 0.85 });
            }
        }
        self.told_at(value, start, ends, told)
    }

    /// What only the words before say.
    fn told_at(&self, value: &str, start: usize, ends: &[usize], told: Topic) -> Option<Hit> {
        let numbered = matches!(
            told,
            Topic::NationalId
                | Topic::TaxId
                | Topic::Passport
                | Topic::Licence
                | Topic::Account
                | Topic::Health
                | Topic::Device
                | Topic::Vin
                | Topic::Birth
                | Topic::Card
                | Topic::Iban
                | Topic::Plate
        );
        if !numbered {
            return None;
        }
        let free = |end: &&usize| !tight(value, **end);
        for end in ends.iter().rev().filter(free) {
            let part = value.get(start..*end)?;
            let enough = part.bytes().filter(u8::is_ascii_digit).count() > FEWEST;
            let words = part.split(' ').filter(|w| w.bytes().any(|b| b.is_ascii_digit())).count();
            let joined = part.split(' ').count() == words;
            if enough
                && joined
                && let Some((label, score)) = told::label_of(told, part, &self.names)
            {
                return Some(Hit { range: start..*end, label, score: score.min(0.7) });
            }
        }
        None
    }
}

/// Where from `at` on the next number may begin: at the first digit, or before it at what may lead it (see [`ends`]); or at a
/// word as long as a wallet's address. Most of a text is passed over so, at the cost of one look at each byte.
fn next_start(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let mut run = 0;
    let found = rest.iter().position(|b| {
        run = if b.is_ascii_alphanumeric() { run + 1 } else { 0 };
        b.is_ascii_digit() || run >= MIN_WALLET
    });
    let Some(found) = found else { return bytes.len() };
    let back = |end: usize, fits: fn(&u8) -> bool| {
        let before = rest.get(..end).unwrap_or_default();
        end - before.iter().rev().take_while(|b| fits(b)).count()
    };
    let mut start = back(found, u8::is_ascii_alphanumeric);
    loop {
        let lead = back(start, |b| LEADS.contains(b));
        let word = back(lead, u8::is_ascii_alphanumeric);
        let letters = rest.get(word..lead).unwrap_or_default();
        let leads = letters.len() == 1 || letters.len() <= 6 && letters.iter().all(u8::is_ascii_uppercase);
        if lead == start || letters.is_empty() || !leads {
            return at + lead;
        }
        start = word;
    }
}

/// What may stand between the groups of a number.
const LEADS: &[u8] = b" -./+()";

/// Letters that no number begins with (see [`ends`]): most words, passed over at the cost of a look at each byte.
fn is_word(run: &[u8]) -> bool {
    run.len() > 1
        && !run.iter().any(u8::is_ascii_digit)
        && (run.len() > 6 || run.iter().any(u8::is_ascii_lowercase))
}

/// The wallet's address that a long word is.
fn wallet_at(value: &str, start: usize, len: usize) -> Option<Hit> {
    let end = start + len;
    let word = value.get(start..end)?;
    (!tight(value, end) && wallet::is_wallet(word)).then_some(Hit {
        range: start..end,
        label: label::WALLET,
        score: 0.97,
    })
}

/// Whether what stands right before belongs to the same word or number.
fn glued(value: &str, at: usize) -> bool {
    let before = value.get(..at).unwrap_or_default();
    let mut back = before.chars().rev();
    let Some(last) = back.next() else { return false };
    match last {
        '_' | '$' | '€' | '£' | '@' | '\\' | '%' => true,
        ',' => {
            back.next().is_some_and(|c| c.is_ascii_digit()) && is_group(value.get(at..).unwrap_or_default())
        }
        '-' | '.' | '/' | '+' => back.next().is_some_and(char::is_alphanumeric),
        c => c.is_alphanumeric(),
    }
}

/// Whether what follows a comma goes on with a number: cents, or three digits. Fields of a table are longer.
fn is_group(rest: &str) -> bool {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&digits)
        && !rest.get(digits..).is_some_and(|r| r.starts_with(|c: char| c.is_alphabetic() || c == '-'))
}

/// Whether what stands right behind belongs to the same word or number.
fn tight(value: &str, end: usize) -> bool {
    let mut behind = value.get(end..).unwrap_or_default().chars();
    match behind.next() {
        None => false,
        Some('_' | '%' | '@' | '€' | '$') => true,
        Some(',') => is_group(value.get(end + 1..).unwrap_or_default()),
        Some('-' | '.' | '/' | '+' | ':') => behind.next().is_some_and(|c| c.is_alphanumeric()),
        Some(c) => c.is_alphanumeric(),
    }
}

/// Where groups of letters and digits that may be one number end.
fn ends(value: &str, start: usize) -> ([usize; MAX_GROUPS + 2], usize) {
    let bytes = value.as_bytes();
    let (mut ends, mut count) = ([0; MAX_GROUPS + 2], 0);
    let mut at = start;
    let mut kept = 0;
    // Groups of an IBAN in small letters may be letters alone.
    let iban = matches!(bytes.get(start..start + 5),
        Some([a, b, c, d, e]) if a.is_ascii_lowercase() && b.is_ascii_lowercase() && c.is_ascii_digit() && d.is_ascii_digit() && !e.is_ascii_alphanumeric());
    while count < MAX_GROUPS {
        let lead = bytes.iter().skip(at).take(3).take_while(|b| LEADS.contains(b)).count();
        let group = bytes
            .iter()
            .skip(at + lead)
            .take(MAX_COMPACT + 1)
            .take_while(|b| b.is_ascii_alphanumeric())
            .count();
        let word = bytes.get(at + lead..at + lead + group).unwrap_or_default();
        let digits = word.iter().any(u8::is_ascii_digit);
        let small = iban && word.len() <= 4 && word.iter().all(u8::is_ascii_lowercase);
        let letters = word.len() <= 6 && word.iter().all(u8::is_ascii_uppercase) || word.len() == 1 || small;
        if group == 0
            || lead > 2
            || count > 0 && lead == 0
            || !(digits || letters)
            || kept + group > MAX_COMPACT
        {
            break;
        }
        kept += group;
        at += lead + group;
        let mut push = |end| {
            if let Some(place) = ends.get_mut(count) {
                *place = end;
                count += 1;
            }
        };
        push(at);
        // Hong Kong's check digit: `A123456(3)`.
        if bytes.get(at) == Some(&b'(') && bytes.get(at + 2) == Some(&b')') && digits {
            push(at + 3);
            break;
        }
    }
    (ends, count)
}

/// ` x123`, ` ext. 5` behind a telephone number.
fn extension(rest: &str) -> usize {
    for mark in [" x", "x", " ext. ", " ext ", " ext.", ", ext. ", " Ext. ", " Ext "] {
        if let Some(tail) = rest.strip_prefix(mark) {
            let len = tail.bytes().take_while(u8::is_ascii_digit).count();
            if (1..=6).contains(&len) {
                return mark.len() + len;
            }
        }
    }
    0
}

/// Whether a server's message cites what stands here: `invalid input syntax for type date: "…"`, `Key (id)=(…)`. The words
/// before are those of the message, and not of whom the value belongs to.
fn is_cited(value: &str, start: usize) -> bool {
    let before = value.get(..start).unwrap_or_default();
    before.ends_with(")=(")
        || before.strip_suffix(": \"").is_some_and(|words| words.ends_with(|c: char| c.is_alphanumeric()))
}

/// What the last words before a number say of it.
pub(crate) fn context(value: &str, start: usize) -> Topic {
    let before = value.get(..start).unwrap_or_default();
    let from =
        before.char_indices().rev().take_while(|(i, _)| start - i <= CONTEXT).last().map_or(0, |(i, _)| i);
    let mut tail = before.get(from..).unwrap_or_default();
    if let Some(end) = tail.bytes().rposition(|b| matches!(b, b'\n' | b';' | b'!' | b'?')) {
        tail = tail.get(end + 1..).unwrap_or_default();
    }
    // `passport no. …` is no end of a sentence.
    if tail.contains('.')
        && let Some((first, last)) = tail.rsplit_once(". ")
        && !is_abbreviated(first)
    {
        tail = last;
    }
    let parts = if tail.contains(',') { tail.rsplit_once(", ") } else { None };
    let clause = parts.map_or(tail, |(_, last)| if last.trim().is_empty() { tail } else { last });
    let mut tail = clause.trim_end_matches(|c: char| !c.is_alphanumeric());
    // `Ref 2024-01-15: …`: another number ends what the words before it tell.
    if tail.ends_with(|c: char| c.is_ascii_digit()) {
        return Topic::Unknown;
    }
    for _ in 0..4 {
        let word = tail.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        if !FILLERS.iter().any(|f| word.eq_ignore_ascii_case(f)) || tail.len() == word.len() {
            break;
        }
        // `caller ID`, `tax ID`, `phone number` tell more with the word than without.
        if word.eq_ignore_ascii_case("id")
            || word.eq_ignore_ascii_case("number")
            || word.eq_ignore_ascii_case("no")
        {
            let whole = remembered::topic(last_words(tail));
            if !matches!(whole, Topic::Unknown | Topic::Ordinary) {
                return whole;
            }
            if word.eq_ignore_ascii_case("id") {
                return whole;
            }
        }
        tail = tail
            .get(..tail.len() - word.len())
            .unwrap_or_default()
            .trim_end_matches(|c: char| !c.is_alphanumeric());
    }
    if tail.is_empty() { Topic::Unknown } else { remembered::topic(last_words(tail)) }
}

fn is_abbreviated(text: &str) -> bool {
    let word = text.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    ABBREVIATED.iter().any(|a| word.eq_ignore_ascii_case(a))
}

fn last_words(text: &str) -> &str {
    let mut count = 0;
    let at = text.char_indices().rev().find(|(_, c)| {
        count += usize::from(*c == ' ');
        count >= CONTEXT_WORDS
    });
    at.map_or(text, |(i, _)| text.get(i..).unwrap_or(text))
}

/// Adds the values of `password: …`, `token=…`.
fn assigned(value: &str, hits: &mut Vec<Hit>) {
    let bytes = value.as_bytes();
    let mut at = 0;
    while let Some(sign) = bytes.iter().skip(at).position(|b| matches!(b, b':' | b'=')).map(|p| p + at) {
        at = sign + 1;
        let name = value.get(..sign).unwrap_or_default().trim_end_matches(['"', '\'', ' ', '`']);
        let word_len =
            name.bytes().rev().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
        let word = name.get(name.len() - word_len..).unwrap_or_default();
        if !(3..=40).contains(&word.len()) {
            continue;
        }
        let topic = remembered::topic(word);
        if !matches!(topic, Topic::Password | Topic::Secret) {
            continue;
        }
        let rest = value.get(at..).unwrap_or_default();
        let start = at + rest.len() - rest.trim_start_matches([' ', '"', '\'', '`', '=', '>']).len();
        let body = value.get(start..).unwrap_or_default();
        let len = body
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '<' | '&' | ')'))
            .unwrap_or(body.len());
        let body = body.get(..len).unwrap_or_default().trim_end_matches('.');
        if body.len() >= 6 && is_secret(body) {
            let label = if topic == Topic::Password { label::PASSWORD } else { label::SECRET };
            hits.push(Hit { range: start..start + body.len(), label, score: 0.7 });
        }
        at = (start + body.len()).max(at);
    }
}

/// Letters with digits or signs, and no code that fetches it.
fn is_secret(body: &str) -> bool {
    let code = [
        "os.", "process.", "$", "{", "env", "config", "get", "self.", "this.", "***", "<", "http://",
        "https://",
    ]
    .iter()
    .any(|p| body.starts_with(p));
    let letters = body.bytes().any(|b| b.is_ascii_alphabetic());
    let others = body
        .bytes()
        .any(|b| b.is_ascii_digit() || matches!(b, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*'));
    letters && others && !code && !body.contains("()")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_holds_no_number() {
        let detector = Detector::new();
        let parts = [
            "4111 1111 1111 1111",
            "DE89 3704 0044 0532 0130 00",
            "de89",
            " ",
            "  ",
            "=",
            "(",
            ")",
            "+",
            "-",
            "_",
            "SELECT",
            "a",
            "from",
            "phone",
            "+49 30 1234567",
            "(030) 123 45 67",
            "IBAN",
            "B",
            "passport no. X1234567",
            ", ",
            "A123456(3)",
            "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
            "abcdefghijklmnopqrstuvwxyzabcd",
            "12",
            "é",
            ":",
            "ABCDEFG",
            "078-05-1120",
            "\n",
        ];
        let mut seed = 7_u64;
        let mut found = 0;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..7 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(parts[(seed >> 33) as usize % parts.len()]);
            }
            let (mut all, mut some) = (Vec::new(), Vec::new());
            detector.numbers_from(&text, Topic::Unknown, |_, at| at, &mut all);
            detector.numbers(&text, Topic::Unknown, &mut some);
            assert_eq!(all, some, "{text}");
            found += some.len();
        }
        assert!(found > 1000, "{found}");
    }
}
