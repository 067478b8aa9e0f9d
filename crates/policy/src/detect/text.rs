//! Numbers, names and addresses between words.

use super::cell::is_date_like;
use super::class::Class;
use super::columns::Topic;
use super::shape::MAX_COMPACT;
use super::{Detector, Hit, address, births, label, phone, remembered, spoken, told, wallet};

/// A number with fewer digits, or as few and no letters, is nothing by itself.
const FEWEST: usize = 4;
/// The most groups that one number is written in.
const MAX_GROUPS: usize = 10;
/// The shortest address of a wallet in Base58Check.
const MIN_WALLET: usize = 26;
/// The longest word before a sign of assignment that is looked up.
const LONGEST_KEY: usize = 40;
/// How far back the words that tell what a number is are looked for.
const CONTEXT: usize = 48;
/// So many words before a number tell what it is.
const CONTEXT_WORDS: usize = 3;
/// What a dot behind shortens.
const ABBREVIATED: [&str; 20] = [
    "ur", "nar", "no", "nr", "num", "tel", "tél", "ph", "fax", "mob", "acct", "tlf", "telef", "cel", "str",
    "id", "geb", "dob", "nro", "kto",
];
/// Words of texts behind which a date is one of birth.
const BORN: [&str; 20] = [
    "geb",
    "geboren",
    "ur",
    "né",
    "née",
    "nacido",
    "nacida",
    "nato",
    "nata",
    "nascido",
    "nascida",
    "born",
    "urodzony",
    "urodzona",
    "født",
    "född",
    "narozen",
    "narozena",
    "родился",
    "родилась",
];
/// Words between the one that tells and the number.
const FILLERS: [&str; 58] = [
    "am", "el", "il", "em", "le", "la", "den", "dnia", "op", "de", "d", "du", "dne", "al", "is", "are",
    "was", "no", "nr", "number", "num", "the", "my", "your", "his", "her", "their", "of", "der", "die",
    "das", "lautet", "ist", "est", "es", "as", "on", "to", "at", "for", "with", "new", "n", "s", "numero",
    "nummer", "id", "under", "now", "reads", "ending", "mit", "a", "an", "me", "us", "or", "and",
];

impl Detector {
    /// Adds what is found between the words of a text.
    pub(crate) fn text(&self, value: &str, class: Class, topic: Topic, hits: &mut Vec<Hit>) {
        if class.digits as usize >= FEWEST {
            self.numbers(value, topic, hits);
        } else if class.letters as usize >= MIN_WALLET && class.upper() {
            wallets(value, hits);
        }
        if class.equals() || class.colon() || class.space() {
            assigned(value, hits);
        }
        if class.space() || class.signs() {
            spoken::find(value, hits);
        }
        if class.digits as usize > FEWEST && class.letters >= 3 && class.len >= 14 {
            births::find(value, hits);
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
        let vague = topic.is_of_number() && is_ambiguous(value, start);
        let called_by = if vague { Topic::Unknown } else { topic };
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
            let row = || told != Topic::Phone && in_a_row(value, start, *end);
            if figures >= 7 && !is_date_like(part) && phone::is_phone(part, called_by) && !row() {
                let end = *end + extension(value.get(*end..).unwrap_or_default());
                return Some(Hit { range: start..end, label: label::PHONE, score: 0.85 });
            }
        }
        self.behind_key(value, start, ends).or_else(|| self.told_at(value, start, ends, told))
    }

    /// `SSN536-22-1987`: a number to which its key is joined.
    fn behind_key(&self, value: &str, start: usize, ends: &[usize]) -> Option<Hit> {
        let rest = value.get(start..)?;
        let len = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let numbered = rest.as_bytes().get(len).is_some_and(u8::is_ascii_digit);
        if !(3..=6).contains(&len) || !numbered {
            return None;
        }
        let topic = remembered::topic(rest.get(..len)?);
        let inner = start + len;
        let kinds = topic.kinds();
        ends.iter().rev().filter(|end| !kinds.is_empty() && !tight(value, **end)).find_map(|end| {
            let (label, score) = self.number(value.get(inner..*end)?, topic)?;
            Some(Hit { range: inner..*end, label, score })
        })
    }

    /// What only the words before say.
    fn told_at(&self, value: &str, start: usize, ends: &[usize], told: Topic) -> Option<Hit> {
        let numbered = matches!(
            told,
            Topic::NationalId(_)
                | Topic::TaxId(_)
                | Topic::Passport
                | Topic::Licence
                | Topic::Account
                | Topic::Health(_)
                | Topic::Device
                | Topic::Vin
                | Topic::Birth
                | Topic::Card
                | Topic::Iban
                | Topic::Plate
        );
        if !numbered || is_ambiguous(value, start) {
            return None;
        }
        let free = |end: &&usize| !tight(value, **end);
        for end in ends.iter().rev().filter(free) {
            let part = value.get(start..*end)?;
            let figures = part.bytes().filter(u8::is_ascii_digit).count();
            let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
            let enough = figures > FEWEST || figures == FEWEST && letters >= FEWEST;
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

/// Adds the wallets' addresses of a text that has no numbers: some have next to no digits.
fn wallets(value: &str, hits: &mut Vec<Hit>) {
    let mut at = 0;
    for word in value.split(|c: char| !c.is_ascii_alphanumeric()) {
        if word.len() >= MIN_WALLET && !glued(value, at) {
            hits.extend(wallet_at(value, at, word.len()));
        }
        at += word.len()
            + value.get(at + word.len()..).and_then(|t| t.chars().next()).map_or(0, char::len_utf8);
    }
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
        // `+49 171 1234567/+49 30 901820`: two numbers.
        '/' if value.get(at..).is_some_and(|rest| rest.starts_with('+')) => false,
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

/// Whether digits between spaces are some of more: `sizes 36 38 40 42 44`.
fn in_a_row(value: &str, start: usize, end: usize) -> bool {
    let part = value.get(start..end).unwrap_or_default();
    let (before, behind) = (value.get(..start).unwrap_or_default(), value.get(end..).unwrap_or_default());
    let next = behind.strip_prefix(' ').map(|b| {
        let digits = b.bytes().take_while(u8::is_ascii_digit).count();
        (1..=4).contains(&digits)
            && !b
                .get(digits..)
                .is_some_and(|r| r.starts_with(|c: char| c.is_alphanumeric() || matches!(c, ':' | '/')))
    });
    let last = before.strip_suffix(' ').map(|b| {
        let word = b.rsplit(|c: char| !(c.is_alphanumeric() || c == '.')).next().unwrap_or_default();
        (1..=4).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())
    });
    part.bytes().all(|b| b.is_ascii_digit() || b == b' ') && (next == Some(true) || last == Some(true))
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
    tail = behind_codes(tail);
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
    let word = tail.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    if BORN.iter().any(|w| word.eq_ignore_ascii_case(w)) {
        return Topic::Birth;
    }
    if tail.is_empty() { Topic::Unknown } else { remembered::topic(last_words(tail)) }
}

/// The last words without what stands before a code (`caef476ab95cf01b`): letters between its digits are no words. `line2` and
/// `ipv4` are some.
fn behind_codes(text: &str) -> &str {
    if !text.bytes().any(|b| b.is_ascii_digit()) {
        return text;
    }
    let is_code = |run: &str| {
        let behind = run.trim_start_matches(|c: char| !c.is_ascii_digit());
        !behind.is_empty()
            && (behind.len() > 2 || behind.len() == run.len() || behind.bytes().any(|b| !b.is_ascii_digit()))
    };
    let last = text.split(|c: char| !c.is_alphanumeric()).rfind(|run| is_code(run));
    // Both are parts of one text: the difference of their places is where the code ends.
    last.and_then(|run| text.get(run.as_ptr() as usize + run.len() - text.as_ptr() as usize..))
        .unwrap_or(text)
}

/// Whether the words right before a number mean many things (`CF 12345678`, `member number 12345`): then a check must tell.
fn is_ambiguous(value: &str, start: usize) -> bool {
    const WORDS: [&str; 24] = [
        "cf", "aba", "member", "run", "sin", "pan", "via", "bi", "rg", "ine", "dic", "spi", "nit", "ein",
        "inn", "fin", "pass", "plate", "social", "perso", "rut", "tin", "nic", "fnr",
    ];
    let before = value.get(..start).unwrap_or_default().trim_end_matches(' ');
    let said = before.trim_end_matches([':', ' ']);
    // Japan's, or anybody's of anything.
    if said.get(said.len().saturating_sub(9)..).is_some_and(|t| t.eq_ignore_ascii_case("my number")) {
        return true;
    }
    if before.ends_with([':', '=', '"', '\'']) {
        return false;
    }
    let mut words = before.rsplit(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    let word = words.find(|w| !FILLERS.iter().any(|f| w.eq_ignore_ascii_case(f))).unwrap_or_default();
    WORDS.iter().any(|w| word.eq_ignore_ascii_case(w))
}

fn is_abbreviated(text: &str) -> bool {
    let word = text.rsplit(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
    let mut letters = word.chars();
    if letters.next().is_some() && letters.next().is_none() {
        return true;
    }
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
        let topic = assigned_topic(value.get(..sign).unwrap_or_default());
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

/// What the word before a sign of assignment says of the value behind it.
fn assigned_topic(before: &str) -> Topic {
    let name = before.trim_end_matches(['"', '\'', ' ', '`']);
    // `Passwort lautet: …`
    let said = name.ends_with(['t', 's']);
    let says = [" lautet", " ist", " is", " est", " es"];
    let name = says.iter().filter(|_| said).find_map(|s| name.strip_suffix(s)).unwrap_or(name);
    let fits = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let len: usize = name.chars().rev().take_while(fits).take(LONGEST_KEY + 1).map(char::len_utf8).sum();
    let word = name.get(name.len() - len..).unwrap_or_default();
    match word.len() {
        // `mot de passe`
        5 if word.eq_ignore_ascii_case("passe") => Topic::Password,
        2..=LONGEST_KEY => remembered::topic(word),
        _ => Topic::Unknown,
    }
}

/// Letters with digits or signs, and no code that fetches it.
pub(crate) fn is_secret(body: &str) -> bool {
    let code = [
        "os.", "process.", "$", "{", "env", "config", "get", "self.", "this.", "***", "<", "http://",
        "https://",
    ]
    .iter()
    .any(|p| body.starts_with(p));
    // `crypt($1`, `getenv(`: a call.
    let call = body.split_once('(').is_some_and(|(name, _)| {
        name.len() > 1 && name.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.'))
    });
    let letters = body.bytes().any(|b| b.is_ascii_alphabetic());
    let others = body
        .bytes()
        .any(|b| b.is_ascii_digit() || matches!(b, b'!' | b'@' | b'#' | b'$' | b'%' | b'^' | b'&' | b'*'));
    letters && others && !code && !call && !body.contains("()")
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
