//! Street addresses, by a house number and a word for street on the side where the language puts it.

use super::streets::{EN, EN_MORE, ENDS, STARTS};
use super::{Hit, label};

/// The longest address looked at.
const LONGEST: usize = 160;

/// Whether a whole value is a street address.
pub(crate) fn is_address(text: &str) -> bool {
    if text.len() > LONGEST || !text.bytes().any(|b| b.is_ascii_digit()) || !text.contains(' ') {
        return false;
    }
    let parted = text.bytes().any(|b| matches!(b, b',' | b'\n'));
    if parted && (ends_in_state(text) || ends_in_town(text)) || is_grid(text) {
        return true;
    }
    may_hold(text)
        && at(text, 0).is_some_and(|end| {
            let rest = text.get(end..).unwrap_or_default();
            rest.is_empty() || rest.starts_with([',', '\n', ' ', '.', '/', '-'])
        })
}

/// `…, Springfield, IL 62701`: a town, a state and a postcode behind something with a number.
fn ends_in_state(text: &str) -> bool {
    let Some((head, tail)) = text.rsplit_once([',', '\n']) else { return false };
    let tail = tail.trim();
    // Forces abroad: `Unit 1512 Box 1040, DPO AE 10806`.
    let forces = ["APO ", "FPO ", "DPO "].iter().find_map(|w| tail.strip_prefix(w));
    let mut words = forces.unwrap_or(tail).split(' ');
    let state = words.next().is_some_and(|w| w.len() == 2 && w.bytes().all(|b| b.is_ascii_uppercase()));
    let code = words.next().is_some_and(|w| {
        let digits = w.bytes().take_while(u8::is_ascii_digit).count();
        digits == 5 && (w.len() == 5 || w.len() == 10 && w.as_bytes().get(5) == Some(&b'-'))
    });
    state
        && code
        && words.next().is_none()
        && (forces.is_some() || head.starts_with(|c: char| c.is_ascii_digit()))
}

/// `Mošovského 1, 038 68 Beluša`: a name with a number, then a postcode with a town.
fn ends_in_town(text: &str) -> bool {
    /// What is numbered elsewhere.
    const NUMBERED: [&str; 40] = [
        "Section",
        "Table",
        "Chapter",
        "Model",
        "Version",
        "Figure",
        "Page",
        "Line",
        "Item",
        "Step",
        "Lot",
        "Batch",
        "Part",
        "Level",
        "Phase",
        "Volume",
        "Vol",
        "Issue",
        "Class",
        "Group",
        "Type",
        "Size",
        "Series",
        "Episode",
        "Season",
        "Day",
        "Week",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
        "Order",
    ];
    let Some((head, tail)) = text.split_once(", ").or_else(|| text.split_once('\n')) else { return false };
    let mut words = head.split(' ').rev();
    let Some(house) = words.next() else { return false };
    let digits = house.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = (1..=4).contains(&digits)
        && house.bytes().skip(digits).all(|b| b.is_ascii_alphanumeric() || b == b'/' || b == b'-')
        && house.len() <= 8;
    let named = head.starts_with(char::is_uppercase)
        && (1..=5).contains(&words.clone().count())
        && words.clone().all(|w| w.chars().all(|c| c.is_alphabetic() || matches!(c, '.' | '-' | '\'')))
        && words.clone().all(is_titled)
        && words.next().is_some_and(|w| w.chars().count() >= 3 && !NUMBERED.contains(&w));
    numbered && named && postcode(tail).is_some_and(is_town)
}

/// What stands behind a postcode: of five digits, in two groups, or of four that are no year.
fn postcode(tail: &str) -> Option<&str> {
    let first = tail.bytes().take_while(u8::is_ascii_digit).count();
    let rest = tail.get(first..)?;
    let group = |by: char| {
        let rest = rest.strip_prefix(by)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some((digits, rest.get(digits..)?))
    };
    let rest = match (first, group(' '), group('-')) {
        (3, Some((2, rest)), _) | (2, _, Some((3, rest))) => rest,
        (5 | 7, _, _) => rest,
        (4, _, _) if !tail.starts_with("19") && !tail.starts_with("20") => rest,
        _ => return None,
    };
    rest.strip_prefix(' ')
}

/// Whether a word has a capital, or is a small one that names have within.
fn is_titled(word: &str) -> bool {
    const WITHIN: [&str; 34] = [
        "de", "del", "della", "delle", "dei", "di", "da", "do", "dos", "das", "du", "des", "la", "le", "les",
        "los", "las", "el", "der", "den", "dem", "die", "am", "im", "zum", "zur", "van", "von", "het", "ten",
        "ter", "y", "i", "sur",
    ];
    word.starts_with(char::is_uppercase) || WITHIN.contains(&word) || word.contains(['\'', '’', '.'])
}

fn is_town(text: &str) -> bool {
    (3..=40).contains(&text.chars().count())
        && text.starts_with(char::is_uppercase)
        && text.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '.' | '\''))
        && text.split(' ').count() <= 4
        && text.split(' ').all(is_titled)
}

/// `Cl. 169 # 3-67`: streets are numbered, and houses by the next crossing.
fn is_grid(text: &str) -> bool {
    const ROADS: [&str; 15] = [
        "Calle",
        "Cl.",
        "Cl",
        "Carrera",
        "Cra.",
        "Cra",
        "Cr.",
        "Kr.",
        "Diagonal",
        "Dg.",
        "Transversal",
        "Tv.",
        "Avenida",
        "Av.",
        "Circular",
    ];
    let Some((road, house)) = text.split_once('#') else { return false };
    let house = house.trim_start();
    let crossing = house.bytes().take_while(|b| b.is_ascii_alphanumeric()).count();
    let behind = house.get(crossing..).unwrap_or_default();
    let behind = behind.trim_start_matches(|c: char| c == ' ' || c.is_ascii_alphabetic());
    ROADS.contains(&road.split(' ').next().unwrap_or_default())
        && road.bytes().any(|b| b.is_ascii_digit())
        && house.starts_with(|c: char| c.is_ascii_digit())
        && behind.strip_prefix('-').is_some_and(|t| t.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether streets are named by this word.
pub(crate) fn is_street_word(word: &str) -> bool {
    EN.contains(&word) || EN_MORE.contains(&word)
}

/// Adds the addresses in a text.
pub(crate) fn find(text: &str, hits: &mut Vec<Hit>) {
    if may_hold(text) {
        find_each(text, hits);
    }
}

/// Whether any number in a text stands where that of a house may: before a word, or behind one. Numbers of statements mostly
/// do not (`id = 7;`), and then no word need be looked up.
fn may_hold(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.iter().skip(at).position(u8::is_ascii_digit) {
        let start = at + found;
        let digits = bytes.iter().skip(start).take_while(|b| b.is_ascii_digit()).count();
        at = start + digits;
        let behind_a_word =
            bytes.get(..start).unwrap_or_default().strip_suffix(b" ").is_some_and(|before| {
                !matches!(before.last(), None | Some(b'\n' | b'(' | b':' | b'@' | b'='))
            });
        let rest = text.get(at..).unwrap_or_default();
        let rest = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest);
        let rest = rest.strip_prefix(',').unwrap_or(rest);
        let before_a_word =
            rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        if behind_a_word || before_a_word {
            return true;
        }
    }
    false
}

fn find_each(text: &str, hits: &mut Vec<Hit>) {
    let mut last = ' ';
    let mut floor = 0;
    for (i, c) in text.char_indices() {
        let begins = c.is_alphanumeric()
            && !last.is_alphanumeric()
            && !matches!(last, '-' | '.' | '/' | '_' | '@' | ':' | '$' | '€' | '£');
        last = c;
        if i < floor || !begins {
            continue;
        }
        if let Some(end) = at(text, i) {
            let end = with_town(text, end);
            hits.push(Hit { range: i..end, label: label::ADDRESS, score: 0.75 });
            floor = end;
        }
    }
}

/// Where an address that begins here ends.
fn at(text: &str, start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let rest = rest.get(..rest.floor_char_boundary(LONGEST)).unwrap_or(rest);
    let len = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        number_first(rest)?
    } else {
        number_last(rest).or_else(|| box_number(rest)).or_else(|| flat(rest))?
    };
    Some(start + len)
}

/// `123 Main Street`, `12 rue de la Paix`, `12, rue …`.
fn number_first(rest: &str) -> Option<usize> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let mut at = digits;
    if rest.as_bytes().get(at).is_some_and(u8::is_ascii_alphabetic) {
        at += 1;
    }
    if !(1..=6).contains(&digits) {
        return None;
    }
    if rest.get(at..)?.starts_with(',') {
        at += 1;
    }
    let body = rest.get(at..)?.strip_prefix(' ')?;
    let body = body.strip_prefix("bis ").or_else(|| body.strip_prefix("ter ")).unwrap_or(body);
    let offset = rest.len() - body.len();
    if let Some(len) = french(body) {
        return Some(offset + len);
    }
    let mut at = 0;
    for (n, word) in body.split(' ').take(6).enumerate() {
        let bare = word.trim_end_matches([',', '.', ';', ')', '\n']);
        let bare = bare.split([',', '\n']).next().unwrap_or(bare);
        if n > 0 && (EN.contains(&bare) || EN_MORE.contains(&bare)) {
            return Some(offset + unit(body, at + bare.len()));
        }
        let capital = word.chars().next().is_some_and(|c| c.is_uppercase() || c.is_ascii_digit());
        if !capital || bare.len() < word.len() {
            return None;
        }
        at += word.len() + 1;
    }
    None
}

fn french(body: &str) -> Option<usize> {
    let word = body.split(' ').next()?;
    if !STARTS.contains(&word) || !word.starts_with(|c: char| c.is_lowercase()) {
        return None;
    }
    let mut end = word.len();
    let mut capitals = 0;
    for part in body.get(end..)?.split(' ').skip(1).take(6) {
        let bare = part.split([',', '\n', ';']).next()?;
        let capital = bare.chars().any(char::is_uppercase);
        let small = matches!(
            bare,
            "de" | "du" | "des" | "la" | "le" | "les" | "l" | "et" | "aux" | "à" | "van" | "von"
        );
        if bare.is_empty() || !(capital || small) {
            break;
        }
        capitals += usize::from(capital);
        end += 1 + bare.len();
        if bare.len() < part.len() {
            break;
        }
    }
    let kept = body.get(..end)?.trim_end_matches(['.', ')', ' ', '!', '?']);
    (capitals > 0).then_some(kept.len())
}

/// `Apt. 5`, `Suite 200` behind a street.
fn unit(body: &str, end: usize) -> usize {
    let rest = body.get(end..).unwrap_or_default();
    let gap = rest.bytes().take_while(|b| matches!(b, b' ' | b',' | b'.')).count();
    let tail = rest.get(gap..).unwrap_or_default();
    for word in ["Apt. ", "Apt ", "Suite ", "Unit ", "Flat ", "#", "Ste. ", "Ste ", "Apartment ", "Floor "] {
        if let Some(number) = tail.strip_prefix(word) {
            let len = number.bytes().take_while(|b| b.is_ascii_alphanumeric()).count();
            if len > 0 {
                return end + gap + word.len() + len;
            }
        }
    }
    end
}

/// `Hauptstraße 12`, `Calle Mayor, 5`, `Via Roma 1`, `ul. Polna 3/4`.
fn number_last(rest: &str) -> Option<usize> {
    if !rest.starts_with(char::is_alphabetic) {
        return None;
    }
    let head = rest.split_inclusive([' ', '/']).next().unwrap_or_default();
    let starts = head == "C/" || STARTS.contains(&head.trim_end_matches(' '));
    if !starts && !rest.starts_with(char::is_uppercase) {
        return None;
    }
    let mut at = 0;
    let mut ended = false;
    for (n, word) in rest.split(' ').take(9).enumerate() {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let ready = ended || starts && n > 1;
        if digits > 0 && (1..=5).contains(&digits) && ready {
            let len =
                word.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-')).count();
            return Some(at + word.get(..len)?.trim_end_matches(['/', '-']).len());
        }
        let bare = word.trim_end_matches([',', '.']);
        ended = ends_street(word.trim_end_matches(','), n > 0);
        let name = bare.is_empty()
            || bare.chars().next().is_some_and(char::is_uppercase)
            || starts && n < 7
            || ended;
        if !name || !starts && !ended && n > 2 || word.contains(['\n', '(', ':', '@', '=']) {
            return None;
        }
        at += word.len() + 1;
    }
    None
}

/// Whether a word ends as names of streets do, in German, Dutch, the North and the East; alone only behind a name.
fn ends_street(word: &str, behind: bool) -> bool {
    let last = word.as_bytes().last().map(u8::to_ascii_lowercase);
    let ends = |end: &str| {
        // Most words fail here, for the price of a byte.
        if end.as_bytes().last().copied() != last {
            return false;
        }
        let from = word.len().checked_sub(end.len());
        let same = from.and_then(|f| word.get(f..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end));
        same && (word.len() > end.len() + 2 || behind && word.len() == end.len())
    };
    ENDS.iter().any(|e| ends(e)) || matches!(word, "n." | "nº" | "nr" | "nr.")
}

/// `Flat 3\nCooke Square`, `Studio 23W, Natalie Forges`: a flat, then a street without a number.
fn flat(rest: &str) -> Option<usize> {
    let tail =
        ["Flat ", "Studio ", "Apartment ", "Unit ", "Suite "].iter().find_map(|w| rest.strip_prefix(w))?;
    let number = tail.bytes().take_while(|b| b.is_ascii_alphanumeric()).count();
    let street = tail.get(number..)?;
    let body = street.trim_start_matches([',', '\n', ' ']);
    let joined = (1..=2).contains(&(street.len() - body.len())) && street.starts_with([',', '\n']);
    if joined && body.starts_with(|c: char| c.is_ascii_digit()) {
        return number_first(body).map(|len| rest.len() - body.len() + len);
    }
    if !joined || !tail.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut at = 0;
    for (n, word) in body.split([' ', '\n', ',']).take(4).enumerate() {
        if !word.starts_with(char::is_uppercase) {
            return None;
        }
        at += word.len();
        if n > 0 && is_street_word(word) {
            return Some(rest.len() - body.len() + at);
        }
        at += 1;
    }
    None
}

fn box_number(rest: &str) -> Option<usize> {
    for word in ["PO Box ", "P.O. Box ", "Postfach ", "PSC ", "GPO Box "] {
        if let Some(tail) = rest.strip_prefix(word) {
            let len = tail.bytes().take_while(u8::is_ascii_digit).count();
            if (1..=6).contains(&len) {
                return Some(word.len() + len);
            }
        }
    }
    None
}

/// Town, state and postcode behind a street: what a line or a comma joins to it and ends in a postcode.
fn with_town(text: &str, end: usize) -> usize {
    /// A town with its postcode is shorter.
    const TOWN: usize = 60;
    let rest = text.get(end..).unwrap_or_default();
    if !rest.starts_with([',', '\n', ' ']) {
        return end;
    }
    let mut digits = 0;
    for (i, c) in rest.char_indices().take_while(|(i, _)| *i < TOWN) {
        if c.is_ascii_digit() {
            digits += 1;
            let done = !rest.get(i + 1..).is_some_and(|r| {
                r.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-' && digits == 5)
            });
            if digits >= 4 && done {
                let town = rest.get(i + 1..).unwrap_or_default();
                let first =
                    rest.trim_start_matches([',', '\n', ' ']).starts_with(|c: char| c.is_ascii_digit());
                let more = if first { town_name(town) } else { 0 };
                return end + i + 1 + more;
            }
        } else if !(c.is_alphabetic() || matches!(c, ',' | ' ' | '\n' | '-' | '.' | '\''))
            || c == '.' && digits == 0 && rest.get(i + 1..).is_some_and(|r| r.starts_with(' '))
        {
            return end;
        } else if c != '-' {
            digits = 0;
        }
    }
    end
}

/// The capitalised words of a town behind its postcode.
fn town_name(rest: &str) -> usize {
    let mut end = 0;
    for word in rest.split(' ').skip(1).take(3) {
        let bare = word.split([',', '.', ';', '\n']).next().unwrap_or_default();
        if !bare.starts_with(char::is_uppercase) {
            break;
        }
        end += 1 + bare.len();
        if bare.len() < word.len() {
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_that_is_passed_over_holds_no_address(words in prop::collection::vec(
            prop::sample::select(&["12", "7", "123456", "5b", "Calle", "Main", "Street", "rue", "de", "Flat", "PO", "Box", "C/", "Mayor",
                "Hauptstraße", "bis", "id", "n.", " ", " ", " ", " ", ",", "=", "(", ":", "\n", ".", "/", "-"][..]), 0..14)) {
            let text = words.concat();
            let mut hits = Vec::new();
            find_each(&text, &mut hits);
            let begins = at(&text, 0).is_some() && text.starts_with(char::is_alphanumeric);
            prop_assert!(hits.is_empty() && !begins || may_hold(&text), "{text:?}: {hits:?}");
        }
    }
}
