//! Check digits, each a few lines. Input is ASCII digits unless said otherwise; anything else fails.

/// The digits of a text, or `None` at the first byte that is not one.
fn values(s: &[u8]) -> impl DoubleEndedIterator<Item = u32> + Clone + '_ {
    s.iter().map(|b| u32::from(b.wrapping_sub(b'0')))
}

/// Whether all of it is digits.
pub(crate) fn digits(s: &[u8]) -> bool {
    !s.is_empty() && s.iter().all(u8::is_ascii_digit)
}

/// The byte at a place, or 0.
pub(crate) fn at(s: &[u8], place: usize) -> u8 {
    s.get(place).copied().unwrap_or(0)
}

/// The digit at a place as a number (0 where there is none).
pub(crate) fn digit(s: &[u8], place: usize) -> u32 {
    let b = at(s, place);
    if b.is_ascii_digit() { u32::from(b - b'0') } else { 0 }
}

/// A part of it, empty when out of range.
pub(crate) fn part(s: &[u8], from: usize, len: usize) -> &[u8] {
    s.get(from..from.saturating_add(len)).unwrap_or_default()
}

/// A part of it as a number; `None` when it is not all digits or too long.
pub(crate) fn number(s: &[u8], from: usize, len: usize) -> Option<u64> {
    let part = part(s, from, len);
    if part.len() != len || len > 18 || !digits(part) {
        return None;
    }
    Some(values(part).fold(0, |n, d| n * 10 + u64::from(d)))
}

/// The sum of digits times weights, as far as both go.
pub(crate) fn weighted(s: &[u8], weights: &[u32]) -> u32 {
    values(s).zip(weights).map(|(d, w)| d * w).sum()
}

/// Luhn's check (ISO/IEC 7812-1, annex B).
pub(crate) fn luhn(s: &[u8]) -> bool {
    digits(s) && luhn_sum(s).is_multiple_of(10)
}

fn luhn_sum(s: &[u8]) -> u32 {
    values(s)
        .rev()
        .enumerate()
        .map(|(i, d)| match (i % 2, d * 2) {
            (0, _) => d,
            (_, twice) if twice > 9 => twice - 9,
            (_, twice) => twice,
        })
        .sum()
}

/// The number modulo a small one, however long it is; letters count A = 10 … Z = 35 (ISO/IEC 7064, ISO 13616).
pub(crate) fn modulo(s: impl IntoIterator<Item = u8>, by: u32) -> Option<u32> {
    s.into_iter().try_fold(0, |rest, b| match b {
        b'0'..=b'9' => Some((rest * 10 + u32::from(b - b'0')) % by),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(b - b'A') + 10) % by),
        _ => None,
    })
}

/// ISO/IEC 7064 MOD 11,10 (German tax number, Croatian OIB).
pub(crate) fn mod_11_10(s: &[u8]) -> bool {
    let Some((last, body)) = s.split_last() else { return false };
    let rest = values(body).fold(10, |p, d| {
        let sum = match (p + d) % 10 {
            0 => 10,
            n => n,
        };
        sum * 2 % 11
    });
    digits(s) && (11 - rest) % 10 == u32::from(last - b'0')
}

/// Verhoeff's check (J. Verhoeff, Error Detecting Decimal Codes, 1969): Aadhaar.
pub(crate) fn verhoeff(s: &[u8]) -> bool {
    digits(s) && values(s).rev().enumerate().fold(0, |c, (i, d)| dihedral(c, permuted(i, d))) == 0
}

/// The multiplication of the dihedral group D5.
fn dihedral(a: u32, b: u32) -> u32 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// Verhoeff's permutation, applied `times` times.
fn permuted(times: usize, digit: u32) -> u32 {
    const ONCE: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..times % 8).fold(digit, |d, _| ONCE.get(d as usize).copied().unwrap_or(0))
}

/// The check digit of EAN-13, which the Swiss AHV number uses (GS1).
pub(crate) fn ean(s: &[u8]) -> bool {
    digits(s)
        && values(s).rev().enumerate().map(|(i, d)| if i % 2 == 0 { d } else { d * 3 }).sum::<u32>() % 10 == 0
}

/// Whether day, month (and year, for February) can be a date.
pub(crate) fn day_of(year: u64, month: u64, day: u64) -> bool {
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// `YYMMDD` at a place.
pub(crate) fn yymmdd(s: &[u8], from: usize) -> bool {
    match (number(s, from, 2), number(s, from + 2, 2), number(s, from + 4, 2)) {
        (Some(y), Some(m), Some(d)) => day_of(y, m, d),
        _ => false,
    }
}

/// `DDMMYY` at a place.
pub(crate) fn ddmmyy(s: &[u8], from: usize) -> bool {
    match (number(s, from, 2), number(s, from + 2, 2), number(s, from + 4, 2)) {
        (Some(d), Some(m), Some(y)) => day_of(y, m, d),
        _ => false,
    }
}

/// `YYYYMMDD` at a place, of somebody who may be alive.
pub(crate) fn yyyymmdd(s: &[u8], from: usize) -> bool {
    match (number(s, from, 4), number(s, from + 4, 2), number(s, from + 6, 2)) {
        (Some(y), Some(m), Some(d)) => (1900..=2035).contains(&y) && day_of(y, m, d),
        _ => false,
    }
}
