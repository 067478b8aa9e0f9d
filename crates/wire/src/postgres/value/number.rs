//! Integers, floats as PostgreSQL prints them, and numeric of any scale.

use std::fmt::LowerExp;
use std::io::Write as _;
use std::str::FromStr;

use super::{push, take};

/// An integer in decimal.
pub(super) fn signed(out: &mut Vec<u8>, n: i64) -> Option<()> {
    if n < 0 {
        out.push(b'-');
    }
    unsigned(out, n.unsigned_abs())
}

/// An integer in decimal.
pub(super) fn unsigned(out: &mut Vec<u8>, n: u64) -> Option<()> {
    padded(out, n, 1)
}

/// An integer in decimal with at least `width` digits (at most 20).
pub(super) fn padded(out: &mut Vec<u8>, mut n: u64, width: usize) -> Option<()> {
    let mut digits = [b'0'; 20];
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        if n == 0 && used >= width {
            break;
        }
        *place = b'0' + (n % 10) as u8;
        n /= 10;
        used += 1;
    }
    push(out, digits.get(digits.len() - used..)?)
}

/// The binary layout of a float, and how PostgreSQL prints it.
struct Layout {
    mantissa_bits: u32,
    exponent_bits: u32,
    /// Enough digits to tell any two values apart.
    max_digits: usize,
    /// First decimal exponent that is printed as such; below it (and from -4 up) digits stand without one.
    fixed_below: i32,
}

const FLOAT4: Layout = Layout { mantissa_bits: 23, exponent_bits: 8, max_digits: 9, fixed_below: 6 };
const FLOAT8: Layout = Layout { mantissa_bits: 52, exponent_bits: 11, max_digits: 17, fixed_below: 15 };

/// `float4out` with `extra_float_digits` of 1 or more, the default.
pub(super) fn float4(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let f = f32::from_bits(u32::from_be_bytes(bytes.try_into().ok()?));
    float(out, f.is_sign_negative(), f.abs(), f.abs().to_bits().into(), &FLOAT4)
}

/// `float8out` with `extra_float_digits` of 1 or more, the default.
pub(super) fn float8(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let f = f64::from_bits(u64::from_be_bytes(bytes.try_into().ok()?));
    float(out, f.is_sign_negative(), f.abs(), f.abs().to_bits(), &FLOAT8)
}

/// `f` without its sign, and its bits.
fn float<F: LowerExp + FromStr + PartialEq + Copy>(
    out: &mut Vec<u8>,
    negative: bool,
    f: F,
    bits: u64,
    layout: &Layout,
) -> Option<()> {
    let binary = Binary::of(bits, layout);
    if binary.exponent_field == (1 << layout.exponent_bits) - 1 {
        let word: &[u8] = match (binary.mantissa == 1 << layout.mantissa_bits, negative) {
            (false, _) => b"NaN",
            (true, false) => b"Infinity",
            (true, true) => b"-Infinity",
        };
        return push(out, word);
    }
    if negative {
        out.push(b'-');
    }
    if bits == 0 {
        return push(out, b"0");
    }
    shortest(f, &binary, layout)?.print(out, layout.fixed_below)
}

/// The shortest decimal strictly between the midpoints to the neighbouring floats; of these the closest; of two equally
/// close the even one. Rust's differs in two rare cases: it takes a midpoint itself when reading would round it back
/// (1e23), and of two equally close the upper one (985801919813365.25).
fn shortest<F: LowerExp + FromStr + PartialEq + Copy>(
    f: F,
    binary: &Binary,
    layout: &Layout,
) -> Option<Decimal> {
    let (decimal, _) = Decimal::of(f, None)?;
    if binary.has_edge(&decimal) {
        return (decimal.count..layout.max_digits)
            .filter_map(|precision| Decimal::of(f, Some(precision)))
            .find(|(decimal, back)| *back == Some(f) && !binary.has_edge(decimal))
            .map(|(decimal, _)| decimal);
    }
    if decimal.digits % 2 == 1 {
        let even = [decimal.digits - 1, decimal.digits + 1].map(|digits| Decimal { digits, ..decimal });
        // Two decimals are equally close when the float is exactly their middle: half a unit between odd and even.
        let is_middle = |even: &Decimal| {
            binary.is(&Decimal {
                digits: (decimal.digits + even.digits) * 5,
                count: 0,
                exponent: decimal.exponent - 1,
            })
        };
        let back = |even: &Decimal| format!("{}e{}", even.digits, even.exponent).parse().ok() == Some(f);
        if let Some(even) =
            even.into_iter().find(|even| is_middle(even) && !binary.has_edge(even) && back(even))
        {
            return Some(even);
        }
    }
    Some(decimal)
}

/// A finite float as `mantissa * 2^exponent`.
struct Binary {
    mantissa: u64,
    exponent: i32,
    exponent_field: u64,
    /// Whether the float below is only half as far away as the one above.
    lower_is_nearer: bool,
}

impl Binary {
    fn of(bits: u64, layout: &Layout) -> Self {
        let hidden = 1_u64 << layout.mantissa_bits;
        let fraction = bits & (hidden - 1);
        let exponent_field = bits >> layout.mantissa_bits;
        let bias = (1_i32 << (layout.exponent_bits - 1)) - 1 + layout.mantissa_bits.cast_signed();
        let mantissa = if exponent_field == 0 { fraction } else { fraction | hidden };
        let exponent = i32::try_from(exponent_field.max(1)).unwrap_or(0) - bias;
        Self { mantissa, exponent, exponent_field, lower_is_nearer: fraction == 0 && exponent_field > 1 }
    }

    /// Whether the decimal is exactly this float.
    fn is(&self, decimal: &Decimal) -> bool {
        let twos = self.mantissa.trailing_zeros();
        let own = (u128::from(self.mantissa >> twos), self.exponent + twos.cast_signed());
        decimal.odd_and_twos() == Some(own)
    }

    /// Whether the decimal is exactly the midpoint to a neighbouring float.
    fn has_edge(&self, decimal: &Decimal) -> bool {
        let Some((odd, twos)) = decimal.odd_and_twos() else { return false };
        let (m, e) = (u128::from(self.mantissa), self.exponent);
        (twos == e - 1 && (odd == 2 * m + 1 || odd + 1 == 2 * m))
            || (self.lower_is_nearer && twos == e - 2 && odd + 1 == 4 * m)
    }
}

/// `digits * 10^exponent`, without zeros at the end.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    /// How many digits.
    count: usize,
    exponent: i32,
}

impl Decimal {
    /// The shortest digits that Rust finds, or the closest with one digit more than `precision`; and what they read back as.
    fn of<F: LowerExp + FromStr>(f: F, precision: Option<usize>) -> Option<(Self, Option<F>)> {
        let mut buffer = [0_u8; 32];
        let mut room = &mut buffer[..];
        match precision {
            None => write!(room, "{f:e}").ok()?,
            Some(precision) => write!(room, "{f:.precision$e}").ok()?,
        }
        let unused = room.len();
        let text = std::str::from_utf8(buffer.get(..buffer.len() - unused)?).ok()?;
        let (mantissa, exponent) = text.split_once('e')?;
        let mut exponent: i32 = exponent.parse().ok()?;
        let (mut digits, mut count) = (0_u64, 0);
        for digit in mantissa.bytes().filter(u8::is_ascii_digit) {
            digits = digits * 10 + u64::from(digit - b'0');
            count += 1;
        }
        exponent -= i32::try_from(count).ok()? - 1;
        while digits % 10 == 0 && count > 1 {
            (digits, count, exponent) = (digits / 10, count - 1, exponent + 1);
        }
        Some((Self { digits, count, exponent }, text.parse().ok()))
    }

    /// The same as an odd number times a power of two, if it is one and the odd number is small enough to be an edge.
    fn odd_and_twos(&self) -> Option<(u128, i32)> {
        let fives = 5_u128.checked_pow(self.exponent.unsigned_abs()).filter(|_| self.exponent.abs() <= 27)?;
        let digits = u128::from(self.digits);
        let whole = match self.exponent {
            0.. => digits * fives,
            _ if digits % fives == 0 => digits / fives,
            _ => return None,
        };
        let twos = whole.trailing_zeros();
        Some((whole >> twos, twos.cast_signed() + self.exponent))
    }

    fn print(&self, out: &mut Vec<u8>, fixed_below: i32) -> Option<()> {
        let start = out.len();
        unsigned(out, self.digits)?;
        let count = i32::try_from(self.count).ok()?;
        let first = self.exponent + count - 1;
        if first < -4 || first >= fixed_below {
            if count > 1 {
                out.insert(start + 1, b'.');
            }
            out.extend_from_slice(if first < 0 { b"e-" } else { b"e+" });
            return padded(out, u64::from(first.unsigned_abs()), 2);
        }
        if first < 0 {
            let zeros = b"0.000".get(..usize::try_from(1 - first).ok()?)?;
            out.splice(start..start, zeros.iter().copied());
        } else if self.exponent < 0 {
            out.insert(start + usize::try_from(first).ok()? + 1, b'.');
        } else {
            out.resize(out.len() + usize::try_from(self.exponent).ok()?, b'0');
        }
        Some(())
    }
}

/// `numeric_out`: base-10,000 digits, the weight of the first, a sign, and how many decimals to show.
pub(super) fn numeric(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let count = u16::from_be_bytes(take(&mut bytes)?);
    let weight = i16::from_be_bytes(take(&mut bytes)?);
    let sign = u16::from_be_bytes(take(&mut bytes)?);
    let scale = u16::from_be_bytes(take(&mut bytes)?);
    let (digits, rest) = bytes.as_chunks::<2>();
    if digits.len() != usize::from(count) || !rest.is_empty() || scale > 0x3fff {
        return None;
    }
    match sign {
        0xc000 => return push(out, b"NaN"),
        0xd000 => return push(out, b"Infinity"),
        0xf000 => return push(out, b"-Infinity"),
        0 | 0x4000 => {}
        _ => return None,
    }
    let digits: Vec<u16> = digits.iter().map(|d| u16::from_be_bytes(*d)).collect();
    if digits.iter().any(|d| *d > 9999) {
        return None;
    }
    let start = out.len();
    // The digit that is worth 10,000^power; zero where none was sent.
    let digit = |power: i32| {
        let at = i32::from(weight) - power;
        usize::try_from(at).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let leading_zeros = digits.iter().take_while(|d| **d == 0).count();
    let top = if leading_zeros == digits.len() {
        0
    } else {
        i32::from(weight) - i32::try_from(leading_zeros).ok()?
    };
    unsigned(out, digit(top.max(0)).into())?;
    for power in (0..top.max(0)).rev() {
        padded(out, digit(power).into(), 4)?;
    }
    if scale > 0 {
        out.push(b'.');
        let decimals = out.len();
        for group in 1..=i32::from(scale.div_ceil(4)) {
            padded(out, digit(-group).into(), 4)?;
        }
        out.truncate(decimals + usize::from(scale));
    }
    // There is no negative zero.
    if sign == 0x4000 && out.get(start..)?.iter().any(|b| matches!(b, b'1'..=b'9')) {
        out.insert(start, b'-');
    }
    Some(())
}
