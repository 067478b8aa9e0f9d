//! Numbers of northern and eastern Europe, where most begin with the date of birth.

use super::super::checks::{
    at, day_of, ddmmyy, digit, digits, luhn, mod_11_10, number, part, weighted, yymmdd, yyyymmdd,
};
use super::{Kind, strong, weak};

pub(super) const KINDS: &[Kind] = &[
    strong("se_personnummer", 10, &["6-4", "6+4", "6 4"], se_short),
    strong("se_personnummer", 12, &["8-4", "8+4", "8 4"], |s| {
        yyyymmdd_or_coordination(s) && luhn(part(s, 2, 10))
    }),
    strong("no_fnr", 11, &["6 5", "6-5", "2 2 2 5", "2.2.2 5", "2 2 2 3 2"], no_fnr),
    strong("fi_hetu", 11, &[], fi_hetu),
    weak("fi_hetu", 10, &["6-4", "6+4"], fi_hetu_compact),
    weak("is_kennitala", 10, &["6-4"], |s| {
        digits(s) && ddmmyy(s, 0) && weighted(s, &[3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
    }),
    // Behind those that have a check: most have none.
    weak("dk_cpr", 10, &["6-4", "6 4"], |s| digits(s) && ddmmyy(s, 0)),
    strong("pl_pesel", 11, &[], pl_pesel),
    weak("bg_egn", 10, &["6 4"], bg_egn),
    weak("pl_nip", 10, &["3-3-2-2", "3-2-2-3", "3 3 2 2", "3 2 2 3"], |s| {
        digits(s) && weighted(s, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == digit(s, 9)
    }),
    weak("pl_regon", 9, &[], |s| {
        digits(s) && weighted(s, &[8, 9, 2, 3, 4, 5, 6, 7]) % 11 % 10 == digit(s, 8)
    }),
    weak("pl_id_card", 9, &["3 6"], pl_id_card),
    weak("cz_rodne_cislo", 9, &["6/3"], |s| digits(s) && cz_date(s)),
    weak("cz_rodne_cislo", 10, &["6/4"], |s| {
        digits(s)
            && cz_date(s)
            && number(s, 0, 10).is_some_and(|n| n % 11 == 0 || n / 10 % 11 == 10 && n % 10 == 0)
    }),
    strong("ro_cnp", 13, &["1 6 6", "1-6-6"], ro_cnp),
    strong("baltic_personal_code", 11, &[], |s| matches!(at(s, 0), b'1'..=b'6') && yymmdd(s, 1) && baltic(s)),
    weak("lv_personal_code", 11, &["6-5"], |s| {
        digits(s) && (ddmmyy(s, 0) || s.starts_with(b"32") || s.starts_with(b"33"))
    }),
    weak("hr_oib", 11, &[], mod_11_10),
    strong("jmbg", 13, &[], jmbg),
    weak("hu_taj", 9, &["3 3 3", "3-3-3"], |s| {
        digits(s) && weighted(s, &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == digit(s, 8)
    }),
    weak("hu_tax_id", 10, &[], |s| {
        digits(s) && at(s, 0) == b'8' && weighted(s, &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == digit(s, 9)
    }),
    weak("si_tax_number", 8, &[], |s| {
        digits(s) && at(s, 0) != b'0' && (11 - weighted(s, &[8, 7, 6, 5, 4, 3, 2]) % 11) % 10 == digit(s, 7)
    }),
    weak("ru_snils", 11, &["3-3-3 2", "3-3-3-2", "3 3 3 2"], ru_snils),
    strong("ru_inn", 12, &["4 6 2"], |s| {
        digits(s)
            && weighted(s, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(s, 10)
            && weighted(s, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(s, 11)
    }),
    weak("ru_inn", 10, &[], |s| {
        digits(s) && weighted(s, &[2, 4, 10, 3, 5, 9, 4, 6, 8]) % 11 % 10 == digit(s, 9)
    }),
    weak("ua_rntrc", 10, &[], |s| {
        digits(s) && weighted(s, &[10, 5, 7, 9, 4, 6, 10, 5, 7]) % 11 % 10 == digit(s, 9)
    }),
];

/// Skatteverket SKV 704: date (day plus 60 in a coordination number) and Luhn.
fn se_short(s: &[u8]) -> bool {
    luhn(s) && coordination_day(number(s, 0, 2), number(s, 2, 2), number(s, 4, 2))
}

fn yyyymmdd_or_coordination(s: &[u8]) -> bool {
    yyyymmdd(s, 0)
        || number(s, 0, 4).is_some_and(|y| (1900..=2035).contains(&y))
            && coordination_day(number(s, 2, 2), number(s, 4, 2), number(s, 6, 2))
}

fn coordination_day(y: Option<u64>, m: Option<u64>, d: Option<u64>) -> bool {
    matches!((y, m, d), (Some(y), Some(m), Some(d)) if day_of(y, m, if d > 60 { d - 60 } else { d }))
}

/// Skatteetaten: two checks modulo 11; D numbers add 40 to the day, H numbers 40 to the month.
fn no_fnr(s: &[u8]) -> bool {
    let (Some(d), Some(m), Some(y)) = (number(s, 0, 2), number(s, 2, 2), number(s, 4, 2)) else {
        return false;
    };
    let date = day_of(y, if m > 40 { m - 40 } else { m }, if d > 40 { d - 40 } else { d });
    let first = weighted(s, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11);
    date && digits(s) && first && weighted(s, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

const HETU: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// Digi- ja väestötietovirasto: the nine digits modulo 31 give the sign; with a letter for the century.
fn fi_hetu(s: &[u8]) -> bool {
    let n = number(s, 0, 6).zip(number(s, 7, 3));
    b"ABCDEFYXWVU".contains(&at(s, 6))
        && ddmmyy(s, 0)
        && n.is_some_and(|(date, n)| HETU.get(((date * 1000 + n) % 31) as usize) == Some(&at(s, 10)))
}

/// The same with the century's `-` or `+` taken as a separator.
fn fi_hetu_compact(s: &[u8]) -> bool {
    ddmmyy(s, 0) && number(s, 0, 9).is_some_and(|n| HETU.get((n % 31) as usize) == Some(&at(s, 9)))
}

/// Ustawa o ewidencji ludności: weights 1 3 7 9; the month carries the century.
fn pl_pesel(s: &[u8]) -> bool {
    let (Some(y), Some(m), Some(d)) = (number(s, 0, 2), number(s, 2, 2), number(s, 4, 2)) else {
        return false;
    };
    let known = !(33..=80).contains(&m);
    digits(s)
        && known
        && day_of(y, m % 20, d)
        && weighted(s, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

/// Weights 7 3 1 9 7 3 1 7 3 over letters (A = 10) and digits.
fn pl_id_card(s: &[u8]) -> bool {
    let letters = part(s, 0, 3);
    let value =
        |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b.wrapping_sub(b'A')) + 10 };
    let sum: u32 = s.iter().zip([7, 3, 1, 9, 7, 3, 1, 7, 3]).map(|(b, w)| value(*b) * w).sum();
    letters.iter().all(u8::is_ascii_uppercase) && digits(part(s, 3, 6)) && sum.is_multiple_of(10)
}

/// Months of women are 50 higher, 20 more when numbers ran out.
fn cz_date(s: &[u8]) -> bool {
    let (Some(y), Some(m), Some(d)) = (number(s, 0, 2), number(s, 2, 2), number(s, 4, 2)) else {
        return false;
    };
    let m = if m > 50 { m - 50 } else { m };
    day_of(y, if m > 20 { m - 20 } else { m }, d)
}

/// Sex and century, date, county, number, check modulo 11.
fn ro_cnp(s: &[u8]) -> bool {
    let check = weighted(s, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    let county = number(s, 7, 2).is_some_and(|c| (1..=52).contains(&c) || c == 70 || (80..=83).contains(&c));
    digits(s)
        && matches!(at(s, 0), b'1'..=b'9')
        && yymmdd(s, 1)
        && county
        && digit(s, 12) == if check == 10 { 1 } else { check }
}

/// Weights 2 4 8 5 10 9 7 3 6; the month carries the century.
fn bg_egn(s: &[u8]) -> bool {
    let (Some(y), Some(m), Some(d)) = (number(s, 0, 2), number(s, 2, 2), number(s, 4, 2)) else {
        return false;
    };
    digits(s)
        && m < 53
        && day_of(y, m % 20, d)
        && weighted(s, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == digit(s, 9)
}

/// Estonia (EVS 585) and Lithuania: two rounds of weights, modulo 11.
fn baltic(s: &[u8]) -> bool {
    let check = match weighted(s, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11 {
        10 => weighted(s, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10,
        rest => rest,
    };
    digits(s) && check == digit(s, 10)
}

/// The successors of Yugoslavia's register: `DDMMYYY`, region, number, check modulo 11.
fn jmbg(s: &[u8]) -> bool {
    let date = match (number(s, 0, 2), number(s, 2, 2), number(s, 4, 3)) {
        (Some(d), Some(m), Some(y)) => !(36..900).contains(&y) && day_of(y, m, d),
        _ => false,
    };
    let check = (11 - weighted(s, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    digits(s) && date && digit(s, 12) == if check == 10 { 0 } else { check }
}

/// Weights 9 to 1, modulo 101.
fn ru_snils(s: &[u8]) -> bool {
    let sum = u64::from(weighted(part(s, 0, 9), &[9, 8, 7, 6, 5, 4, 3, 2, 1]) % 101 % 100);
    digits(s) && number(s, 9, 2) == Some(sum)
}
