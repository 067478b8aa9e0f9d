//! Numbers of Africa, the Near East and central Asia.

use super::super::checks::{at, digit, digits, luhn, number, part, weighted, yymmdd};
use super::{Kind, strong, weak};

pub(super) const KINDS: &[Kind] = &[
    strong("tr_kimlik", 11, &["3 3 3 2"], tr_kimlik),
    weak("tr_vkn", 10, &[], tr_vkn),
    weak("il_teudat_zehut", 9, &["8-1"], |s| luhn(s) && s != b"000000000"),
    strong("za_id", 13, &["6 4 3", "6 4 1 1 1", "6 4 2 1", "6-4-3"], |s| {
        yymmdd(s, 0) && matches!(at(s, 10), b'0'..=b'2') && luhn(s)
    }),
    strong("eg_national_id", 14, &["1 2 2 2 2 5"], eg_national_id),
    strong("ae_emirates_id", 15, &["3-4-7-1", "3 4 7 1"], |s| {
        s.starts_with(b"784") && number(s, 3, 4).is_some_and(|y| (1900..=2035).contains(&y)) && luhn(s)
    }),
    strong("kz_iin", 12, &[], kz_iin),
    weak("sa_national_id", 10, &[], |s| matches!(at(s, 0), b'1' | b'2') && luhn(s)),
    weak("ir_national_code", 10, &["3-6-1"], ir_national_code),
    weak("kw_civil_id", 12, &[], |s| {
        matches!(at(s, 0), b'1'..=b'3')
            && yymmdd(s, 1)
            && 11 - weighted(s, &[2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11 == digit(s, 11)
    }),
    weak("ke_pin", 11, &[], |s| {
        matches!(at(s, 0), b'A' | b'P') && digits(part(s, 1, 9)) && at(s, 10).is_ascii_uppercase()
    }),
];

/// NVİ: the tenth digit from odd and even places, the eleventh from the sum of all before.
fn tr_kimlik(s: &[u8]) -> bool {
    let odd: u32 = [0, 2, 4, 6, 8].iter().map(|i| digit(s, *i)).sum();
    let even: u32 = [1, 3, 5, 7].iter().map(|i| digit(s, *i)).sum();
    let tenth = (odd * 7 + 40 - even) % 10;
    digits(s) && at(s, 0) != b'0' && tenth == digit(s, 9) && (odd + even + digit(s, 9)) % 10 == digit(s, 10)
}

fn tr_vkn(s: &[u8]) -> bool {
    let sum: u32 = (0..9_u32)
        .map(|i| {
            let p = (digit(s, i as usize) + 9 - i) % 10;
            let q = p * 2_u32.pow(9 - i) % 9;
            if p != 0 && q == 0 { 9 } else { q }
        })
        .sum();
    digits(s) && (10 - sum % 10) % 10 == digit(s, 9)
}

/// Century, date of birth, governorate.
fn eg_national_id(s: &[u8]) -> bool {
    let place = number(s, 7, 2).is_some_and(|p| (1..=35).contains(&p) || p == 88);
    digits(s) && matches!(at(s, 0), b'2' | b'3') && yymmdd(s, 1) && place
}

/// Two rounds of weights modulo 11 after the date of birth and the century's sign.
fn kz_iin(s: &[u8]) -> bool {
    let check = match weighted(s, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]) % 11 {
        10 => weighted(s, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2]) % 11,
        rest => rest,
    };
    digits(s) && yymmdd(s, 0) && matches!(at(s, 6), b'1'..=b'6') && check == digit(s, 11)
}

fn ir_national_code(s: &[u8]) -> bool {
    let rest = weighted(s, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits(s) && s.iter().any(|b| *b != at(s, 0)) && digit(s, 9) == if rest < 2 { rest } else { 11 - rest }
}
