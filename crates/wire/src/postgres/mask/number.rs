//! Masks of numbers, booleans and bits.

use super::kind::Kind;
use super::{Mask, Style, Tokens, Typed};
use crate::postgres::Format;

/// Digits of a numeric's token where the type sets no precision: what a double holds exactly.
const NUMERIC_DIGITS: u32 = 15;

/// The base of a numeric's digits in binary.
const BASE: u64 = 10_000;

impl Mask {
    pub(super) fn number(
        &self,
        kind: Kind,
        typed: Typed,
        value: &[u8],
        tokens: &dyn Tokens,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let binary = typed.format == Format::Binary;
        match (kind, self.style) {
            (Kind::Bits, Style::Zero) => bits(binary, value, out),
            (Kind::Varbits, Style::Zero) => {
                out.extend_from_slice(if binary { &[0; 4] } else { b"" });
                Some(())
            }
            (Kind::Bool, Style::Zero) => {
                out.push(if binary { 0 } else { b'f' });
                Some(())
            }
            (Kind::Bool | Kind::Bits | Kind::Varbits, _) => None,
            (_, Style::Zero) => integer(kind, binary, 0, out),
            (Kind::Float4 | Kind::Float8 | Kind::Money, Style::Token) => None,
            (_, Style::Token) => {
                let token = self.token_of(typed, value, tokens)?;
                integer(kind, binary, reduce(kind, typed.modifier, token)?, out)
            }
            (Kind::Oid | Kind::Xid8 | Kind::Money, _) => None,
            (_, Style::Generalise) => coarse(kind, typed, value, out),
            _ => None,
        }
    }
}

/// A token as a number above zero that the type can hold.
fn reduce(kind: Kind, modifier: i32, token: [u8; 16]) -> Option<i64> {
    let [a, b, c, d, e, f, g, h, ..] = token;
    let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let most = match kind {
        Kind::Int2 => 0x7fff,
        Kind::Int4 => 0x7fff_ffff,
        Kind::Oid => 0xffff_fffe,
        Kind::Numeric => {
            let whole = match modifier.checked_sub(4) {
                Some(m @ 0..) => {
                    let (precision, scale) = (m >> 16 & 0xffff, i32::from(m.cast_unsigned() as u16 & 0x7ff));
                    // Scales are of 11 bits, with a sign since PostgreSQL 15.
                    let scale = if scale >= 0x400 { scale - 0x800 } else { scale };
                    u32::try_from(precision - scale.max(0)).ok()?.min(NUMERIC_DIGITS)
                }
                _ => NUMERIC_DIGITS,
            };
            10_u64.checked_pow(whole)?.checked_sub(1).filter(|m| *m > 0)?
        }
        _ => i64::MAX.cast_unsigned(),
    };
    i64::try_from(bits % most).ok()?.checked_add(1)
}

/// Writes a whole number that is not negative and that the type can hold.
fn integer(kind: Kind, binary: bool, n: i64, out: &mut Vec<u8>) -> Option<()> {
    if !binary {
        return crate::postgres::value::signed_text(out, n);
    }
    match kind {
        Kind::Int2 => out.extend_from_slice(&i16::try_from(n).ok()?.to_be_bytes()),
        Kind::Int4 => out.extend_from_slice(&i32::try_from(n).ok()?.to_be_bytes()),
        Kind::Oid => out.extend_from_slice(&u32::try_from(n).ok()?.to_be_bytes()),
        Kind::Int8 | Kind::Xid8 | Kind::Money => out.extend_from_slice(&n.to_be_bytes()),
        Kind::Float4 => out.extend_from_slice(&(n as f32).to_be_bytes()),
        Kind::Float8 => out.extend_from_slice(&(n as f64).to_be_bytes()),
        Kind::Numeric => numeric(n, out),
        _ => return None,
    }
    Some(())
}

/// A whole number as a numeric in binary: digits of base 10,000, the weight of the first, sign and scale.
fn numeric(n: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u16; 5];
    let (mut rest, mut count) = (n.unsigned_abs(), 0_u16);
    for digit in digits.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = (rest % BASE) as u16;
        rest /= BASE;
        count += 1;
    }
    let weight = count.saturating_sub(1);
    let sign: u16 = if n < 0 { 0x4000 } else { 0 };
    for field in [count, weight, sign, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    for digit in digits.iter().skip(5 - usize::from(count)) {
        out.extend_from_slice(&digit.to_be_bytes());
    }
}

/// The first digit stays, the others become zero; below ten nothing stays.
fn coarse(kind: Kind, typed: Typed, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut form = Vec::new();
    let text = match typed.format {
        Format::Text => value,
        Format::Binary => {
            crate::postgres::value::text_form(&mut form, typed.oid, value)?;
            &form
        }
    };
    let number: f64 = str::from_utf8(text).ok()?.trim().parse().ok()?;
    let whole = number.abs().trunc();
    // What does not fit into 18 digits is so large that its magnitude alone would tell of it.
    if !whole.is_finite() || whole >= 1e18 {
        return None;
    }
    let whole = whole as i64;
    let mut unit = 1_i64;
    while whole / unit >= 10 {
        unit *= 10;
    }
    let coarse = if unit == 1 { 0 } else { whole / unit * unit };
    let coarse = if number < 0.0 { -coarse } else { coarse };
    if typed.format == Format::Text {
        return crate::postgres::value::signed_text(out, coarse);
    }
    integer(kind, true, coarse, out)
}

/// As many zeros.
fn bits(binary: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if binary {
        out.extend_from_slice(value.first_chunk::<4>()?);
        out.resize(out.len() + value.len() - 4, 0);
    } else {
        out.resize(out.len() + value.len(), b'0');
    }
    Some(())
}
