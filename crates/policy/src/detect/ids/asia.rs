//! Numbers of Asia, Australia and New Zealand.

use super::super::checks::{at, day_of, digit, digits, number, part, verhoeff, weighted, yymmdd, yyyymmdd};
use super::{Kind, strong, weak};

pub(super) const KINDS: &[Kind] = &[
    weak("in_aadhaar", 12, &["4 4 4", "4-4-4"], |s| !matches!(at(s, 0), b'0' | b'1') && verhoeff(s)),
    strong("in_pan", 10, &["5 4 1"], in_pan),
    strong("in_gstin", 15, &[], |s| {
        number(s, 0, 2).is_some_and(|p| (1..=38).contains(&p)) && in_pan(part(s, 2, 10)) && at(s, 13) == b'Z'
    }),
    weak("in_voter_id", 10, &[], |s| {
        part(s, 0, 3).iter().all(u8::is_ascii_uppercase) && digits(part(s, 3, 7))
    }),
    strong("cn_resident_id", 18, &["6 8 4", "6-8-4", "6 4 4 4"], cn_resident_id),
    weak("kr_rrn", 13, &["6-7", "6 7"], |s| {
        // The day is not held to the calendar: what is made up for tests is not either.
        digits(s) && number(s, 2, 2).is_some_and(|m| m <= 12) && number(s, 4, 2).is_some_and(|d| d <= 31)
    }),
    strong("kr_rrn", 13, &[], |s| {
        digits(s)
            && yymmdd(s, 0)
            && matches!(at(s, 6), b'1'..=b'4')
            && (11 - weighted(s, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10 == digit(s, 12)
    }),
    weak("jp_my_number", 12, &["4 4 4", "4-4-4"], jp_my_number),
    strong("sg_nric", 9, &[], sg_nric),
    weak("hk_id", 8, &["7(1)"], hk_id),
    weak("hk_id", 9, &["8(1)"], hk_id),
    strong("tw_id", 10, &[], tw_id),
    weak("th_citizen_id", 13, &["1-4-5-2-1", "1 4 5 2 1"], |s| {
        at(s, 0) != b'0'
            && digits(s)
            && (11 - weighted(s, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10 == digit(s, 12)
    }),
    weak("id_nik", 16, &["6 6 4", "6-6-4", "2 2 2 6 4", "6.6.4", "2.2.2.6.4"], id_nik),
    weak("my_nric", 12, &["6-2-4", "6 2 4"], |s| digits(s) && yymmdd(s, 0)),
    weak("pk_cnic", 13, &["5-7-1", "5 7 1"], |s| matches!(at(s, 0), b'1'..=b'7') && digits(s)),
    weak("lk_nic", 10, &[], |s| {
        digits(part(s, 0, 9))
            && matches!(at(s, 9), b'V' | b'X')
            && number(s, 2, 3).is_some_and(|d| d % 500 <= 366)
    }),
    weak("au_tfn", 9, &["3 3 3", "3-3-3"], |s| {
        digits(s) && weighted(s, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
    }),
    weak("au_tfn", 8, &["2 3 3", "3 3 2"], |s| {
        digits(s) && weighted(s, &[10, 7, 8, 4, 6, 3, 5, 1]).is_multiple_of(11)
    }),
    weak("au_medicare", 10, &["4 5 1", "4-5-1"], au_medicare),
    weak("au_medicare", 11, &["4 5 1 1", "4 5 1/1", "4-5-1-1", "4 5 2", "4 5 1-1"], au_medicare),
    weak("au_abn", 11, &["2 3 3 3", "2-3-3-3"], au_abn),
    weak("nz_ird", 9, &["3-3-3", "3 3 3"], nz_ird),
    weak("nz_ird", 8, &["2-3-3", "2 3 3"], |s| nz_ird(&[b"0", s].concat())),
    weak("nz_nhi", 7, &[], nz_nhi),
];

/// Income Tax Department: the fourth letter is the kind of holder.
fn in_pan(s: &[u8]) -> bool {
    part(s, 0, 5).iter().all(u8::is_ascii_uppercase)
        && b"ABCFGHJLPT".contains(&at(s, 3))
        && digits(part(s, 5, 4))
        && at(s, 9).is_ascii_uppercase()
}

/// GB 11643-1999: region, date of birth, ISO 7064 MOD 11-2.
fn cn_resident_id(s: &[u8]) -> bool {
    let sum = weighted(part(s, 0, 17), &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11;
    let region = number(s, 0, 2).is_some_and(|r| (11..=91).contains(&r));
    digits(part(s, 0, 17)) && region && yyyymmdd(s, 6) && b"10X98765432".get(sum as usize) == Some(&at(s, 17))
}

/// 総務省令第八十五号: weights 6 5 4 3 2 7 6 5 4 3 2, modulo 11.
fn jp_my_number(s: &[u8]) -> bool {
    let rest = weighted(s, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    digits(s) && digit(s, 11) == if rest < 2 { 0 } else { 11 - rest }
}

/// ICA: weights 2 7 6 5 4 3 2 (4 more for T and G, 3 for M), modulo 11.
fn sg_nric(s: &[u8]) -> bool {
    let sum = weighted(part(s, 1, 7), &[2, 7, 6, 5, 4, 3, 2]);
    let (more, letters): (u32, &[u8]) = match at(s, 0) {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let rest = (sum + more) % 11;
    let place = if at(s, 0) == b'M' { 10 - rest } else { rest };
    digits(part(s, 1, 7))
        && (letters.get(place as usize) == Some(&at(s, 8))
            || at(s, 0) == b'M' && letters.get(rest as usize) == Some(&at(s, 8)))
}

/// Immigration Department: letters count 10 on, a missing first one 36, weights 9 to 2, modulo 11.
fn hk_id(s: &[u8]) -> bool {
    let letters = s.len().saturating_sub(7);
    let value = |b: u8| u32::from(b.wrapping_sub(b'A')) + 10;
    let head = match letters {
        1 => 36 * 9 + value(at(s, 0)) * 8,
        2 => value(at(s, 0)) * 9 + value(at(s, 1)) * 8,
        _ => return false,
    };
    let check = match at(s, s.len() - 1) {
        b'A' => 10,
        b if b.is_ascii_digit() => u32::from(b - b'0'),
        _ => return false,
    };
    part(s, 0, letters).iter().all(u8::is_ascii_uppercase)
        && digits(part(s, letters, 6))
        && (head + weighted(part(s, letters, 6), &[7, 6, 5, 4, 3, 2]) + check).is_multiple_of(11)
}

/// 內政部: the letter as two digits, weights 1 9 8 7 6 5 4 3 2 1 1.
fn tw_id(s: &[u8]) -> bool {
    const ORDER: &[u8; 26] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some(code) = ORDER.iter().position(|b| *b == at(s, 0)).and_then(|p| u32::try_from(p + 10).ok())
    else {
        return false;
    };
    let sum = code / 10 + code % 10 * 9 + weighted(part(s, 1, 9), &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    digits(part(s, 1, 9)) && matches!(at(s, 1), b'1' | b'2' | b'8' | b'9') && sum.is_multiple_of(10)
}

/// Permendagri 19/2010: province, regency, district, date of birth (day plus 40 for women), serial.
fn id_nik(s: &[u8]) -> bool {
    let (Some(p), Some(d), Some(m)) = (number(s, 0, 2), number(s, 6, 2), number(s, 8, 2)) else {
        return false;
    };
    digits(s)
        && (11..=97).contains(&p)
        && day_of(0, m, if d > 40 { d - 40 } else { d })
        && part(s, 12, 4) != b"0000"
}

/// Services Australia: weights 1 3 7 9 1 3 7 9, modulo 10, first digit 2 to 6.
fn au_medicare(s: &[u8]) -> bool {
    digits(s) && matches!(at(s, 0), b'2'..=b'6') && weighted(s, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(s, 8)
}

/// Australian Business Register: one taken from the first digit, modulo 89.
fn au_abn(s: &[u8]) -> bool {
    digits(s)
        && at(s, 0) != b'0'
        && (weighted(s, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) + 89 * 10 - 10).is_multiple_of(89)
}

/// Inland Revenue: two rounds of weights modulo 11.
fn nz_ird(s: &[u8]) -> bool {
    let check = match (11 - weighted(s, &[3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11 {
        10 => (11 - weighted(s, &[7, 4, 3, 2, 5, 2, 7, 6]) % 11) % 11,
        c => c,
    };
    digits(s)
        && number(s, 0, 9).is_some_and(|n| (10_000_000..150_000_000).contains(&n))
        && check == digit(s, 8)
}

/// HISO 10046: three letters, three digits, check digit or letter (the form is enough: only asked by name).
fn nz_nhi(s: &[u8]) -> bool {
    part(s, 0, 3).iter().all(|b| b.is_ascii_uppercase() && !matches!(b, b'I' | b'O'))
        && digits(part(s, 3, 2))
        && part(s, 5, 2).iter().all(u8::is_ascii_alphanumeric)
}
