//! Numbers of vehicles, devices and SIM cards.

use super::checks::{at, digits, luhn};

/// ISO 3779 with the check digit of 49 CFR 565: seventeen signs without I, O, Q; the ninth checks the others.
pub(crate) fn is_vin(s: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(u32::from(b - b'0')),
        b'A'..=b'H' => Some(u32::from(b - b'A') + 1),
        b'J'..=b'N' => Some(u32::from(b - b'J') + 1),
        b'P' => Some(7),
        b'R' => Some(9),
        b'S'..=b'Z' => Some(u32::from(b - b'S') + 2),
        _ => None,
    };
    let sum = s.iter().zip(WEIGHTS).try_fold(0, |sum, (b, w)| Some(sum + value(*b)? * w));
    let check = |sum: u32| if sum % 11 == 10 { b'X' } else { b'0' + (sum % 11) as u8 };
    let mixed = s.iter().filter(|b| b.is_ascii_uppercase()).count() >= 3
        && s.iter().filter(|b| b.is_ascii_digit()).count() >= 5;
    s.len() == 17 && mixed && digits(s.get(13..).unwrap_or_default()) && sum.map(check) == Some(at(s, 8))
}

/// ITU-T E.118: `89`, nineteen or twenty digits, Luhn.
pub(crate) fn is_iccid(s: &[u8]) -> bool {
    matches!(s.len(), 19 | 20) && s.starts_with(b"89") && luhn(s)
}
