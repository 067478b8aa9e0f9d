//! Numbers of western and southern Europe.

use super::super::checks::{
    at, day_of, ddmmyy, digit, digits, ean, luhn, mod_11_10, number, part, weighted, yyyymmdd,
};
use super::{Kind, strong, weak};

pub(super) const KINDS: &[Kind] = &[
    strong("uk_nino", 9, &["2 2 2 2 1", "2 6 1", "2-2-2-2-1", "2-6-1", "2 2 2 3"], uk_nino),
    weak("uk_nhs", 10, &["3 3 4", "3-3-4"], uk_nhs),
    strong("uk_driving_licence", 16, &["5 6 5", "5-6-5", "5 6 2 3", "5 6 3 2"], uk_driving),
    weak("uk_utr", 10, &["5 5"], |s| {
        digits(s)
            && b"21987654321".get((weighted(part(s, 1, 9), &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11) as usize)
                == s.first()
    }),
    strong("de_tax_id", 11, &["2 3 3 3", "3 3 3 2"], de_tax_id),
    weak("de_id_card", 10, &["9 1"], de_id_card),
    weak("de_id_card", 9, &[], de_document),
    strong("de_insurance", 12, &["2 6 1 3", "8 1 3"], de_insurance),
    weak("de_health", 10, &[], |s| at(s, 0).is_ascii_uppercase() && de_health(s)),
    strong(
        "fr_nir",
        15,
        &[
            "1 2 2 2 3 3 2",
            "1 2 2 2 3 3-2",
            "1-2-2-2-3-3-2",
            "1 2 2 2 6 2",
            "D 2",
            "1.2.2.2.3.3.2",
            "1 2 2 2 3 3/2",
            "D-2",
        ],
        fr_nir,
    ),
    weak("fr_tax_number", 13, &["2 2 3 3 3"], |s| {
        (b'0'..=b'3').contains(&at(s, 0))
            && number(s, 0, 10).zip(number(s, 10, 3)).is_some_and(|(n, k)| n % 511 == k)
    }),
    strong("es_dni", 9, &["8-1", "8 1", "2.3.3-1", "2.3.3.1", "2 3 3 1", "2.3.3 1"], es_dni),
    strong("es_nie", 9, &["1-8", "1-7-1", "1 7 1", "8-1", "1.7.1", "1-7 1"], es_nie),
    weak("es_cif", 9, &["1-8", "1-7-1", "1 8"], es_cif),
    strong("it_codice_fiscale", 16, &["3 3 5 5", "6 5 5", "3-3-5-5"], it_codice_fiscale),
    weak("it_partita_iva", 11, &[], luhn),
    weak("nl_bsn", 9, &["4.2.3", "4 2 3", "3.3.3", "3 3 3"], nl_bsn),
    strong(
        "be_national_number",
        11,
        &[
            "2.2.2-3.2",
            "2.2.2 3 2",
            "2 2 2 3 2",
            "6-3-2",
            "6 3 2",
            "2.2.2.3.2",
            "2-2-2-3-2",
            "6-5",
            "2.2.2-3-2",
        ],
        be_national,
    ),
    weak("pt_nif", 9, &["3 3 3"], |s| {
        matches!(at(s, 0), b'1'..=b'3' | b'5' | b'6' | b'8' | b'9') && mod_11_low(s)
    }),
    strong("pt_citizen_card", 12, &["8 1 3", "8 1 2 1", "8-1-3", "8 1 3"], pt_citizen_card),
    strong("ie_pps", 9, &["7 2", "7-2"], ie_pps),
    strong("ie_pps", 8, &["7 1", "7-1"], ie_pps),
    strong("at_svnr", 10, &["4 6", "4-6", "4 2 2 2", "4/6"], at_svnr),
    strong("ch_ahv", 13, &["3.4.4.2", "3 4 4 2", "3-4-4-2"], |s| s.starts_with(b"756") && ean(s)),
    strong("lu_national_id", 13, &["4 2 2 3 2", "8 5", "8-5"], |s| {
        yyyymmdd(s, 0) && luhn(part(s, 0, 12)) && verhoeff_lu(s)
    }),
    strong("gr_amka", 11, &["6 5", "6-5"], |s| digits(s) && ddmmyy(s, 0) && luhn(s)),
    weak("gr_afm", 9, &[], gr_afm),
    weak("mt_id", 8, &[], |s| {
        digits(part(s, 0, 7)) && matches!(at(s, 7), b'M' | b'G' | b'A' | b'P' | b'L' | b'H' | b'B' | b'Z')
    }),
];

/// GOV.UK, National Insurance Manual NIM39110.
fn uk_nino(s: &[u8]) -> bool {
    let (a, b) = (at(s, 0), at(s, 1));
    let first = a.is_ascii_uppercase() && !b"DFIQUV".contains(&a);
    let second = b.is_ascii_uppercase() && !b"DFIOQUV".contains(&b);
    let taken = [*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&[a, b]);
    // `ZZ … T` is what examples and test data have.
    let example = [a, b] == *b"ZZ" && at(s, 8) == b'T';
    let real = first && second && !taken && matches!(at(s, 8), b'A'..=b'D');
    (real || example) && digits(part(s, 2, 6))
}

/// NHS Data Dictionary, NHS NUMBER: modulus 11.
fn uk_nhs(s: &[u8]) -> bool {
    digits(s)
        && (weighted(s, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1])).is_multiple_of(11)
        && s.iter().any(|b| *b != at(s, 0))
}

/// DVLA: five of the surname, decade, month (plus 50 for women), day, year, initials, and three more.
fn uk_driving(s: &[u8]) -> bool {
    let surname = part(s, 0, 5);
    let letters = surname.iter().take_while(|b| b.is_ascii_uppercase()).count();
    let filled = letters > 0 && surname.iter().skip(letters).all(|b| *b == b'9');
    let month = number(s, 6, 2).is_some_and(|m| (1..=12).contains(&m) || (51..=62).contains(&m));
    let day = number(s, 8, 2).is_some_and(|d| (1..=31).contains(&d));
    let initials = part(s, 11, 2).iter().all(|b| b.is_ascii_uppercase() || *b == b'9');
    filled
        && digits(part(s, 5, 6))
        && month
        && day
        && initials
        && at(s, 13).is_ascii_digit()
        && part(s, 14, 2).iter().all(u8::is_ascii_uppercase)
}

/// Bundeszentralamt für Steuern: of the first ten digits exactly one occurs twice or three times; MOD 11,10.
fn de_tax_id(s: &[u8]) -> bool {
    let body = part(s, 0, 10);
    let mut seen = [0_u8; 10];
    for b in body {
        if let Some(n) = seen.get_mut(usize::from(b.wrapping_sub(b'0'))) {
            *n += 1;
        }
    }
    let more = seen.iter().filter(|n| **n > 1).count();
    let most = seen.iter().max().copied().unwrap_or(0);
    digits(s) && at(s, 0) != b'0' && more == 1 && most <= 3 && mod_11_10(s)
}

/// ICAO 9303 check digit, weights 7 3 1.
fn icao(s: &[u8]) -> u32 {
    let value =
        |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b.wrapping_sub(b'A')) + 10 };
    s.iter().zip([7, 3, 1].into_iter().cycle()).map(|(b, w)| value(*b) * w).sum::<u32>() % 10
}

fn de_document(s: &[u8]) -> bool {
    b"CFGHJKLMNPRTVWXYZ".contains(&at(s, 0))
        && s.iter().all(|b| b"0123456789CFGHJKLMNPRTVWXYZ".contains(b))
        && s.iter().any(u8::is_ascii_digit)
}

fn de_id_card(s: &[u8]) -> bool {
    de_document(part(s, 0, 9)) && at(s, 9).is_ascii_digit() && icao(part(s, 0, 9)) == digit(s, 9)
}

/// Deutsche Rentenversicherung, VKVV § 2: area, date of birth, initial, serial, check.
fn de_insurance(s: &[u8]) -> bool {
    let letter = at(s, 8);
    if !letter.is_ascii_uppercase() || !digits(part(s, 0, 8)) || !digits(part(s, 9, 3)) || !ddmmyy(s, 2) {
        return false;
    }
    let order = u32::from(letter - b'A') + 1;
    let all =
        [part(s, 0, 8), &[b'0' + (order / 10) as u8, b'0' + (order % 10) as u8], part(s, 9, 2)].concat();
    let weights = [2_u32, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    let sum: u32 =
        all.iter().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).map(|p| p / 10 + p % 10).sum();
    sum % 10 == digit(s, 11)
}

/// § 290 SGB V: the letter as two digits, then alternately 1 and 2.
fn de_health(s: &[u8]) -> bool {
    let order = u32::from(at(s, 0).saturating_sub(b'A')) + 1;
    if !digits(part(s, 1, 9)) || s.len() != 10 {
        return false;
    }
    let all = [&[b'0' + (order / 10) as u8, b'0' + (order % 10) as u8], part(s, 1, 8)].concat();
    let sum: u32 = all
        .iter()
        .zip([1, 2].into_iter().cycle())
        .map(|(b, w)| u32::from(b - b'0') * w)
        .map(|p: u32| p / 10 + p % 10)
        .sum();
    sum % 10 == digit(s, 9)
}

/// INSEE: sex, year, month, department, commune, order, key = 97 - number mod 97; Corsica as 19 and 18.
fn fr_nir(s: &[u8]) -> bool {
    let month = number(s, 3, 2).is_some_and(|m| (1..=12).contains(&m) || (20..=42).contains(&m) || m >= 50);
    let department = part(s, 5, 2);
    let corsica = match department {
        b"2A" => Some(*b"19"),
        b"2B" => Some(*b"18"),
        _ => None,
    };
    let body = [part(s, 0, 5), corsica.as_ref().map_or(department, |c| c.as_slice()), part(s, 7, 6)].concat();
    let Some((n, key)) = number(&body, 0, 13).zip(number(s, 13, 2)) else { return false };
    matches!(at(s, 0), b'1'..=b'4' | b'7' | b'8') && month && key == 97 - n % 97
}

const DNI: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

/// Real Decreto 1553/2005: the number modulo 23 gives the letter.
fn es_dni(s: &[u8]) -> bool {
    number(s, 0, 8).is_some_and(|n| DNI.get((n % 23) as usize) == Some(&at(s, 8)))
}

/// The same with X, Y, Z for 0, 1, 2.
fn es_nie(s: &[u8]) -> bool {
    let Some(lead @ 0..=2) = at(s, 0).checked_sub(b'X').map(u64::from) else { return false };
    number(s, 1, 7).is_some_and(|n| DNI.get(((lead * 10_000_000 + n) % 23) as usize) == Some(&at(s, 8)))
}

/// Orden EHA/451/2008: the check is a digit or a letter, by kind of body.
fn es_cif(s: &[u8]) -> bool {
    if !b"ABCDEFGHJNPQRSUVW".contains(&at(s, 0)) || !digits(part(s, 1, 7)) {
        return false;
    }
    let odd: u32 = [1, 3, 5, 7].iter().map(|i| digit(s, *i) * 2).map(|d| d / 10 + d % 10).sum();
    let even: u32 = [2, 4, 6].iter().map(|i| digit(s, *i)).sum();
    let check = (10 - (odd + even) % 10) % 10;
    at(s, 8) == b'0' + check as u8 || b"JABCDEFGHI".get(check as usize) == Some(&at(s, 8))
}

/// Decreto ministeriale 23 dicembre 1976: odd places by a table, even ones by value, modulo 26.
fn it_codice_fiscale(s: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let form = b"AAAAAADDLDDADDDA".iter().zip(s).all(|(f, b)| match f {
        b'A' => b.is_ascii_uppercase(),
        // In case of homonyms digits are replaced by letters.
        b'D' => b.is_ascii_digit() || b"LMNPQRSTUV".contains(b),
        _ => b"ABCDEHLMPRST".contains(b),
    });
    let value =
        |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b.saturating_sub(b'A')) };
    let sum: u32 = part(s, 0, 15)
        .iter()
        .enumerate()
        .map(|(i, b)| if i % 2 == 0 { ODD.get(value(*b) as usize).copied().unwrap_or(0) } else { value(*b) })
        .sum();
    form && sum % 26 == u32::from(at(s, 15).saturating_sub(b'A'))
}

/// Besluit BSN: 9 8 7 6 5 4 3 2 -1, modulo 11.
fn nl_bsn(s: &[u8]) -> bool {
    let sum = weighted(part(s, 0, 8), &[9, 8, 7, 6, 5, 4, 3, 2]) + 11;
    digits(s) && s != b"000000000" && (sum - digit(s, 8)).is_multiple_of(11)
}

/// Rijksregister: 97 - number mod 97, with a 2 before those born from 2000 on; BIS numbers add 20 or 40 to the month.
fn be_national(s: &[u8]) -> bool {
    let Some((n, key)) = number(s, 0, 9).zip(number(s, 9, 2)) else { return false };
    let month = number(s, 2, 2).unwrap_or(99) % 20;
    let day = number(s, 4, 2).unwrap_or(99);
    let date = number(s, 2, 2).is_some_and(|m| m < 53) && month <= 12 && day <= 31;
    date && (key == 97 - n % 97 || key == 97 - (2_000_000_000 + n) % 97)
}

/// Nine digits, weights 9 to 2, modulo 11; 10 counts as 0 (Portugal's NIF).
fn mod_11_low(s: &[u8]) -> bool {
    let rest = weighted(part(s, 0, 8), &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    digits(s) && digit(s, 8) == if rest < 2 { 0 } else { 11 - rest }
}

/// Autenticação.gov: Luhn over letters and digits (A = 10).
fn pt_citizen_card(s: &[u8]) -> bool {
    let form = digits(part(s, 0, 9))
        && part(s, 9, 2).iter().all(|b| b.is_ascii_alphanumeric())
        && at(s, 9).is_ascii_uppercase()
        && at(s, 11).is_ascii_digit();
    let value =
        |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b.wrapping_sub(b'A')) + 10 };
    let sum: u32 = s
        .iter()
        .rev()
        .enumerate()
        .map(|(i, b)| {
            if i % 2 == 0 {
                value(*b)
            } else {
                let d = value(*b) * 2;
                if d > 9 { d - 9 } else { d }
            }
        })
        .sum();
    form && sum.is_multiple_of(10)
}

/// Revenue: weights 8 to 2, a second letter counts 9 times.
fn ie_pps(s: &[u8]) -> bool {
    let second = match at(s, 8) {
        0 | b'W' => 0,
        b @ b'A'..=b'I' => u32::from(b - b'A') + 1,
        _ => return false,
    };
    let sum = weighted(part(s, 0, 7), &[8, 7, 6, 5, 4, 3, 2]) + second * 9;
    digits(part(s, 0, 7)) && b"WABCDEFGHIJKLMNOPQRSTUV".get((sum % 23) as usize) == Some(&at(s, 7))
}

/// Hauptverband: the fourth digit checks the others; the date may have a month 13 when days ran out.
fn at_svnr(s: &[u8]) -> bool {
    let sum = weighted(s, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11;
    let date = match (number(s, 4, 2), number(s, 6, 2)) {
        (Some(d), Some(m)) => m == 13 && d <= 31 || day_of(0, m, d),
        _ => false,
    };
    digits(s) && at(s, 0) != b'0' && date && sum == digit(s, 3)
}

/// The thirteenth digit checks the first eleven by Verhoeff.
fn verhoeff_lu(s: &[u8]) -> bool {
    super::super::checks::verhoeff(&[part(s, 0, 11), part(s, 12, 1)].concat())
}

/// Weights 256 to 2, modulo 11, modulo 10.
fn gr_afm(s: &[u8]) -> bool {
    let sum = weighted(part(s, 0, 8), &[256, 128, 64, 32, 16, 8, 4, 2]);
    digits(s) && s != b"000000000" && sum % 11 % 10 == digit(s, 8)
}
