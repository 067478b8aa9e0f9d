//! Values of which the column's name says what they are: believed when they look as though they could be.

use super::checks::digits;
use super::columns::Topic;
use super::label;
use super::money::is_bic;
use super::person::Names;

/// The longest value that a name, a number or a secret has.
const LONGEST: usize = 200;

/// The label of a whole value, by its column.
pub(crate) fn label_of(topic: Topic, value: &str, names: &Names) -> Option<(&'static str, f32)> {
    if value.len() > LONGEST && !matches!(topic, Topic::Secret | Topic::Password) || is_nothing(value) {
        return None;
    }
    let found = match topic {
        Topic::Unknown
        | Topic::Ordinary
        | Topic::Worded
        | Topic::Version
        | Topic::Email
        | Topic::Mac
        | Topic::Ip => None,
        Topic::Phone if number(value, 6, 17) => Some(label::PHONE),
        // `caller`, `contact`: somebody's number, or the name.
        Topic::Phone => names.is_party(value).then_some(label::PERSON),
        Topic::Card => number(value, 12, 19).then_some(label::CARD),
        Topic::CardCode => {
            (digits(value.as_bytes()) && (3..=6).contains(&value.len())).then_some(label::CARD_CODE)
        }
        Topic::Iban => (number_with_letters(value, 10, 34, 6)
            && value.starts_with(|c: char| c.is_ascii_alphabetic()))
        .then_some(label::IBAN),
        Topic::Bic => is_bic(value.to_ascii_uppercase().as_bytes()).then_some(label::BIC),
        Topic::Account => number_with_letters(value, 5, 34, 4).then_some(label::ACCOUNT),
        Topic::NationalId(kinds) => {
            let least = if kinds.0.is_empty() { 4 } else { 3 };
            number_with_letters(value, 5, 22, least).then_some(label::NATIONAL_ID)
        }
        Topic::TaxId(_) => number_with_letters(value, 6, 22, 5).then_some(label::TAX_ID),
        Topic::Passport => number_with_letters(value, 6, 15, 1).then_some(label::PASSPORT),
        Topic::Licence => number_with_letters(value, 5, 24, 3).then_some(label::LICENCE),
        Topic::Health(_) => number_with_letters(value, 5, 24, 4).then_some(label::HEALTH),
        Topic::Birth => is_date(value).then_some(label::BIRTH),
        Topic::Person => is_name(value).then_some(label::PERSON),
        Topic::Name => names.is_likely(value).then_some(label::PERSON),
        Topic::Party => names.is_party(value).then_some(label::PERSON),
        Topic::Address => is_place(value).then_some(label::ADDRESS),
        Topic::Postcode => is_postcode(value).then_some(label::POSTCODE),
        Topic::Geo => is_geo(value).then_some(label::GEO),
        Topic::Password => is_password(value).then_some(label::PASSWORD),
        Topic::Secret => is_secret(value).then_some(label::SECRET),
        Topic::Device => device(value),
        Topic::Vin => (value.len() == 17 && number_with_letters(value, 17, 17, 3)).then_some(label::VIN),
        Topic::Plate => is_plate(value).then_some(label::PLATE),
        Topic::Wallet => (value.len() >= 20 && !value.contains(' ')).then_some(label::WALLET),
    };
    found.map(|l| (l, 0.8))
}

/// What stands for no value.
fn is_nothing(value: &str) -> bool {
    const NOTHING: [&str; 35] = [
        "",
        "-",
        "--",
        "?",
        "0",
        "n/a",
        "n.a.",
        "na",
        "null",
        "none",
        "nil",
        "unknown",
        "true",
        "false",
        "yes",
        "no",
        "y",
        "n",
        "t",
        "f",
        "tbd",
        "tba",
        "redacted",
        "hidden",
        "masked",
        "missing",
        "removed",
        "deleted",
        "empty",
        "blank",
        "undefined",
        "not set",
        "not provided",
        "not available",
        "not applicable",
    ];
    const LONGEST: usize = 16;
    if value.len() > LONGEST {
        return is_masked(value);
    }
    let bare = value.trim_matches(['(', ')', '[', ']', '<', '>', '{', '}']);
    NOTHING.iter().any(|n| bare.eq_ignore_ascii_case(n)) || is_masked(value)
}

/// `XXX-XX-1234`, `••••`: signs that stand for others, and the last four at most.
fn is_masked(value: &str) -> bool {
    let mut signs = 0;
    let mut figures = 0;
    for c in value.chars() {
        match c {
            '*' | 'x' | 'X' | '•' | '#' | '●' => signs += 1,
            '0'..='9' => figures += 1,
            ' ' | '-' | '.' | '/' | '(' | ')' => {}
            _ => return false,
        }
    }
    figures <= 4 && signs > figures
}

/// Digits with separators.
fn number(value: &str, least: usize, most: usize) -> bool {
    let count = value.bytes().filter(u8::is_ascii_digit).count();
    let rest = value.bytes().all(|b| {
        b.is_ascii_digit()
            || matches!(
                b,
                b' ' | b'-'
                    | b'.'
                    | b'/'
                    | b'('
                    | b')'
                    | b'+'
                    | b'x'
                    | b'e'
                    | b't'
                    | b','
                    | b'#'
                    | b':'
                    | b'l'
            )
    });
    rest && (least..=most + 6).contains(&count)
}

/// Letters and digits with separators.
fn number_with_letters(value: &str, least: usize, most: usize, least_digits: usize) -> bool {
    let mut count = 0;
    let mut figures = 0;
    for b in value.bytes() {
        match b {
            b'0'..=b'9' => (count, figures) = (count + 1, figures + 1),
            b'A'..=b'Z' | b'a'..=b'z' => count += 1,
            b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+' | b'<' | b'*' => {}
            _ => return false,
        }
    }
    (least..=most).contains(&count) && figures >= least_digits
}

/// A day: three numbers, or a month's name and two, of somebody who may live; or a year alone.
pub(crate) fn is_date(value: &str) -> bool {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "ma", "jun", "jul", "aug", "sep", "o", "nov", "de"];
    // `1989-08-24T00:00:00Z`: the day is before the `T`, the one in `August` is none.
    let value = value
        .match_indices('T')
        .map(|(at, _)| value.get(..at).unwrap_or_default())
        .find(|d| d.len() >= 8 && d.ends_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(value);
    if digits(value.as_bytes()) && matches!(value.len(), 4 | 6 | 8) {
        let year = |s: Option<&str>| {
            s.and_then(|y| y.parse::<u32>().ok()).is_some_and(|y| (1900..=2030).contains(&y))
        };
        return year(value.get(..4)) || value.len() == 8 && year(value.get(4..)) || value.len() == 6;
    }
    if value.len() > 40 {
        return false;
    }
    let parts = || value.split([' ', '-', '/', '.', ',', '年', '月', '日']).filter(|p| !p.is_empty());
    let numbers =
        parts().filter(|p| p.bytes().take_while(u8::is_ascii_digit).count() > 0 && p.len() <= 4).count();
    let month = parts().any(|p| {
        p.len() >= 3
            && p.starts_with(char::is_alphabetic)
            && MONTHS.iter().any(|m| p.to_lowercase().starts_with(m))
    });
    numbers >= 3 || numbers >= 2 && month
}

/// Letters of any script, and what stands between them in names.
fn is_name(value: &str) -> bool {
    let letters = value.chars().filter(|c| c.is_alphabetic()).count();
    let fits = value.chars().all(|c| {
        c.is_alphabetic()
            || matches!(
                c,
                ' ' | '.' | ',' | '\'' | '’' | '`' | '-' | '(' | ')' | '"' | '·' | '\u{300}'..='\u{36F}'
            )
            || is_sign(c)
    });
    let words = value.split_whitespace().count();
    letters > 0 && fits && words <= 7 && value.len() <= 100
}

/// Signs of vowels and tones that are part of a word in India and in South-East Asia, and what joins letters there.
pub(crate) fn is_sign(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{DFF}' | '\u{E00}'..='\u{E7F}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{200C}' | '\u{200D}')
        && !c.is_numeric()
}

/// An address has letters, and is no sentence of small words or a key.
fn is_place(value: &str) -> bool {
    let letters = value.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 2
        && value.chars().count() >= 4
        && !value.contains(['{', '}', '=', '@'])
        && !value.starts_with("0x")
        && !value.contains("://")
        || digits(value.as_bytes()) && value.len() <= 5
}

fn is_postcode(value: &str) -> bool {
    (3..=10).contains(&value.len())
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'))
}

/// A decimal number of degrees, or two, or degrees with minutes.
fn is_geo(value: &str) -> bool {
    let body = value.trim_matches(['(', ')', '[', ']']);
    let body = body.strip_prefix("POINT").map_or(body, |b| b.trim_matches([' ', '(', ')']));
    if body.contains(['°', '′']) {
        return body.bytes().any(|b| b.is_ascii_digit());
    }
    let parts = || body.split([',', ' ', ';']).filter(|p| !p.is_empty());
    let degrees = parts()
        .all(|p| p.trim_end_matches(['N', 'S', 'E', 'W']).parse::<f64>().is_ok_and(|d| d.abs() <= 180.0));
    degrees && (1..=3).contains(&parts().count()) && body.contains('.')
}

fn is_password(value: &str) -> bool {
    value.chars().count() >= 4 && value.split_whitespace().count() <= 8
}

/// No word of a language: long, and with signs of two kinds.
fn is_secret(value: &str) -> bool {
    let figures = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    let words = value.split_whitespace().count();
    // What is given to everybody.
    if ["ssh-", "ecdsa-", "-----BEGIN PUBLIC", "-----BEGIN CERT"].iter().any(|p| value.starts_with(p)) {
        return false;
    }
    let code = digits(value.as_bytes()) && (4..=10).contains(&value.len());
    let both = figures && letters || value.len() >= 20 && letters && !value.contains(' ');
    code || value.len() >= 8 && both && words <= 2
}

fn device(value: &str) -> Option<&'static str> {
    let count = value.bytes().filter(u8::is_ascii_digit).count();
    let plain = value.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'/'));
    match count {
        14..=16 if plain => Some(label::IMEI),
        18..=20 if plain => Some(label::ICCID),
        _ => (value.len() >= 10 && count >= 4 && !value.contains(' ')).then_some(label::DEVICE),
    }
}

fn is_plate(value: &str) -> bool {
    let count = value.chars().filter(|c| c.is_alphanumeric()).count();
    (2..=10).contains(&count)
        && value.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '·'))
        && value.chars().any(|c| c.is_ascii_digit())
}
