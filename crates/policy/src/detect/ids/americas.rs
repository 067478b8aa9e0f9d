//! Numbers of North and South America.

use super::super::checks::{at, digit, digits, luhn, number, part, weighted, yymmdd};
use super::{Kind, strong, weak};

pub(super) const KINDS: &[Kind] = &[
    weak("us_ssn", 9, &["3-2-4", "3 2 4", "3.2.4"], us_ssn),
    weak("us_itin", 9, &["3-2-4", "3 2 4"], us_itin),
    weak("us_ein", 9, &[], us_ein),
    weak("us_mbi", 11, &["4-3-4"], us_mbi),
    weak("ca_sin", 9, &["3-3-3", "3 3 3"], |s| luhn(s) && !matches!(at(s, 0), b'0' | b'8')),
    strong("br_cpf", 11, &["3.3.3-2", "3.3.3.2", "3 3 3 2", "9-2", "3-3-3-2"], br_cpf),
    strong("br_cnpj", 14, &["2.3.3/4-2", "8/4-2"], br_cnpj),
    strong("ar_cuit", 11, &["2-8-1", "2 8 1", "2.8.1"], ar_cuit),
    weak("cl_rut", 9, &["2.3.3-1", "8-1"], cl_rut),
    weak("cl_rut", 8, &["1.3.3-1", "7-1"], cl_rut),
    strong("mx_curp", 18, &[], mx_curp),
    strong("mx_rfc", 13, &["4-6-3", "4 6 3"], mx_rfc),
    strong("mx_rfc", 12, &["3-6-3", "3 6 3"], mx_rfc),
    weak("ec_cedula", 10, &["9-1"], |s| {
        number(s, 0, 2).is_some_and(|p| (1..=24).contains(&p) || p == 30) && digit(s, 2) < 7 && luhn(s)
    }),
    weak("uy_cedula", 8, &["1.3.3-1", "7-1"], |s| {
        digits(s) && weighted(s, &[2, 9, 8, 7, 6, 3, 4, 1]).is_multiple_of(10)
    }),
    weak("co_nit", 10, &["3.3.3-1", "9-1"], co_nit),
    weak("pe_ruc", 11, &[], |s| {
        digits(s)
            && matches!(part(s, 0, 2), b"10" | b"15" | b"16" | b"17" | b"20")
            && (11 - weighted(s, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 10 == digit(s, 10)
    }),
    weak("do_cedula", 11, &["3-7-1"], luhn),
];

/// Social Security Administration, randomisation of 2011: what is never given out.
fn us_ssn(s: &[u8]) -> bool {
    let (Some(area), Some(group), Some(serial)) = (number(s, 0, 3), number(s, 3, 2), number(s, 5, 4)) else {
        return false;
    };
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// IRS Publication 1915: 9xx with a group of 50-65, 70-88, 90-92, 94-99.
fn us_itin(s: &[u8]) -> bool {
    let group = number(s, 3, 2).unwrap_or(0);
    digits(s) && at(s, 0) == b'9' && (matches!(group, 50..=65 | 70..=88 | 90..=92) || group >= 94)
}

/// IRS, valid EIN prefixes.
fn us_ein(s: &[u8]) -> bool {
    const NOT: [u64; 16] = [0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 97];
    digits(s) && number(s, 0, 2).is_some_and(|p| !NOT.contains(&p) && p != 96)
}

/// CMS, Medicare Beneficiary Identifier: the kind of sign at each place.
fn us_mbi(s: &[u8]) -> bool {
    const LETTERS: &[u8] = b"ACDEFGHJKMNPQRTUVWXY";
    s.len() == 11
        && b"CAXNAXNAANN".iter().zip(s).all(|(f, b)| match f {
            b'C' => matches!(b, b'1'..=b'9'),
            b'A' => LETTERS.contains(b),
            b'N' => b.is_ascii_digit(),
            _ => b.is_ascii_digit() || LETTERS.contains(b),
        })
}

/// Receita Federal: two checks, weights descending, modulo 11; all digits equal is not given out.
fn br_cpf(s: &[u8]) -> bool {
    let check = |rest: u32| if rest < 2 { 0 } else { 11 - rest };
    let first = check(weighted(part(s, 0, 9), &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
    let second = check(weighted(part(s, 0, 10), &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
    digits(s) && s.iter().any(|b| *b != at(s, 0)) && digit(s, 9) == first && digit(s, 10) == second
}

/// The same with weights 5 4 3 2 9 8 7 6 5 4 3 2.
fn br_cnpj(s: &[u8]) -> bool {
    let check = |rest: u32| if rest < 2 { 0 } else { 11 - rest };
    let first = check(weighted(s, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
    let second = check(weighted(s, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) % 11);
    digits(s) && s.iter().any(|b| *b != at(s, 0)) && digit(s, 12) == first && digit(s, 13) == second
}

/// AFIP: kind, DNI, check modulo 11.
fn ar_cuit(s: &[u8]) -> bool {
    let kind = matches!(part(s, 0, 2), b"20" | b"23" | b"24" | b"25" | b"26" | b"27" | b"30" | b"33" | b"34");
    let check = (11 - weighted(s, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
    digits(s) && kind && (check == digit(s, 10) || check == 10 && digit(s, 10) == 9)
}

/// Registro Civil: weights 2 to 7 from the right, modulo 11, K for 10.
fn cl_rut(s: &[u8]) -> bool {
    let Some((last, body)) = s.split_last() else { return false };
    let sum: u32 = body
        .iter()
        .rev()
        .zip([2, 3, 4, 5, 6, 7].into_iter().cycle())
        .map(|(b, w)| u32::from(b.wrapping_sub(b'0')) * w)
        .sum();
    let check = (11 - sum % 11) % 11;
    digits(body) && at(s, 0) != b'0' && *last == if check == 10 { b'K' } else { b'0' + check as u8 }
}

/// DOF 18/06/2008: letters, date, sex, state, consonants, and a check over a 37-letter alphabet.
fn mx_curp(s: &[u8]) -> bool {
    let value = |b: u8| match b {
        b'0'..=b'9' => u32::from(b - b'0'),
        b'A'..=b'N' => u32::from(b - b'A') + 10,
        // Ñ stands between N and O.
        _ => u32::from(b.wrapping_sub(b'O')) + 25,
    };
    let form = part(s, 0, 4).iter().chain(part(s, 11, 5)).all(u8::is_ascii_uppercase)
        && matches!(at(s, 10), b'H' | b'M' | b'X');
    let sum: u32 = part(s, 0, 17).iter().zip((2..=18).rev()).map(|(b, w)| value(*b) * w).sum();
    form && yymmdd(s, 4) && (10 - sum % 10) % 10 == digit(s, 17) && at(s, 17).is_ascii_digit()
}

/// SAT: three or four letters, date, homoclave; the check is not held to, generic ones do not pass it.
fn mx_rfc(s: &[u8]) -> bool {
    let letters = s.len().saturating_sub(9);
    part(s, 0, letters).iter().all(u8::is_ascii_uppercase)
        && yymmdd(s, letters)
        && part(s, letters + 6, 3).iter().all(u8::is_ascii_alphanumeric)
        // Letters with a day and a count (`INV240512001`) are made of digits alone behind the day.
        && part(s, letters + 6, 3).iter().any(u8::is_ascii_uppercase)
        && (letters == 4 || matches!(at(s, s.len() - 1), b'0'..=b'9' | b'A') || s.ends_with(b"XXX"))
}

/// DIAN, Orden Administrativa 4 de 1989.
fn co_nit(s: &[u8]) -> bool {
    let rest = weighted(s, &[41, 37, 29, 23, 19, 17, 13, 7, 3]) % 11;
    digits(s) && digit(s, 9) == if rest < 2 { rest } else { 11 - rest }
}
