//! Numbers that are long enough to be somebody's: a card's in a `bigint` or `numeric` column. Most numbers are not, and pass
//! after one comparison.

use firsthand_session::port::Found;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::mask::{Mask, Style, Typed};

use super::style;

/// Fewer digits are keys and counts; no number with a check of its own that is certain without a name has fewer.
const DIGITS_MIN: usize = 13;
/// The smallest whole number of so many digits.
const LONG: i64 = 1_000_000_000_000;
/// The same in groups of four digits, as `numeric` has them in binary, less one: its weight.
const LONG_WEIGHT: i16 = 3;
/// More groups are no number that is looked for.
const WEIGHT_MAX: i16 = 7;

const INT8: u32 = 20;
const NUMERIC: u32 = 1700;

/// How the numbers of a column come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Digits {
    oid: u32,
    format: Format,
}

impl Digits {
    /// Of a type whose numbers may be long; `None`: any other.
    pub(super) fn of(oid: u32, format: Format) -> Option<Self> {
        matches!(oid, INT8 | NUMERIC).then_some(Self { oid, format })
    }

    /// Of whole numbers of any type, in text.
    pub(super) fn named(oid: u32) -> Self {
        Self { oid, format: Format::Text }
    }

    /// Of each type whose numbers may be long, in binary.
    pub(super) fn in_binary() -> [Self; 2] {
        [INT8, NUMERIC].map(|oid| Self { oid, format: Format::Binary })
    }

    /// The elements of an array of such, in text.
    pub(super) fn element() -> Self {
        Self { oid: NUMERIC, format: Format::Text }
    }

    /// Whether a value may have as many digits as are looked at.
    pub(super) fn is_long(self, value: &[u8]) -> bool {
        match (self.format, self.oid) {
            (Format::Text, _) => value.len() >= DIGITS_MIN,
            (Format::Binary, INT8) => value.first_chunk().is_some_and(|b| i64::from_be_bytes(*b) >= LONG),
            (Format::Binary, _) => Numeric::of(value).is_some_and(|n| n.weight >= LONG_WEIGHT),
        }
    }

    /// Whether a value in binary is a whole value of its type, by its length.
    pub(super) fn is_whole(self, value: &[u8]) -> bool {
        match self.oid {
            INT8 => value.len() == 8,
            _ => value
                .split_first_chunk::<2>()
                .is_some_and(|(groups, rest)| rest.len() == 6 + 2 * usize::from(u16::from_be_bytes(*groups))),
        }
    }

    /// The digits of a whole number that is not negative.
    pub(super) fn read(self, value: &[u8]) -> Option<String> {
        let text = match (self.format, self.oid) {
            (Format::Text, _) => str::from_utf8(value).ok()?.to_owned(),
            (Format::Binary, INT8) => i64::from_be_bytes(*value.first_chunk()?).to_string(),
            (Format::Binary, _) => Numeric::of(value)?.digits()?,
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let figures = !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit());
        (figures && fraction.bytes().all(|b| b == b'0')).then(|| whole.to_owned())
    }

    /// What masks a number that was found. A marker or what is left of a text is none: zero is.
    pub(super) fn mask(self, found: &Found) -> Mask {
        let style = match style(found.mask.style) {
            Style::Redact | Style::Partial => Style::Zero,
            style => style,
        };
        Mask::new(style, &found.mask.label, Typed { oid: self.oid, modifier: -1, format: self.format })
    }
}

/// A `numeric` in binary: groups of four digits, the first of which counts for 10000 to the power of the weight.
struct Numeric<'a> {
    weight: i16,
    groups: &'a [u8],
}

impl<'a> Numeric<'a> {
    /// `None`: it is negative, or no number.
    fn of(value: &'a [u8]) -> Option<Self> {
        let (head, groups) = value.split_first_chunk::<8>()?;
        let [_, _, w, w2, s, s2, _, _] = *head;
        (u16::from_be_bytes([s, s2]) == 0).then(|| Self { weight: i16::from_be_bytes([w, w2]), groups })
    }

    /// `None`: it has a fraction, or is longer than any number that is looked for.
    fn digits(&self) -> Option<String> {
        if !(0..=WEIGHT_MAX).contains(&self.weight) {
            return None;
        }
        let (groups, _) = self.groups.as_chunks::<2>();
        let whole = usize::from(self.weight.unsigned_abs()) + 1;
        let mut text = String::new();
        for at in 0..whole {
            let group = groups.get(at).map_or(0, |g| u16::from_be_bytes(*g));
            text.push_str(&format!("{group:04}"));
        }
        let fraction = groups.get(whole..).unwrap_or_default();
        fraction.iter().all(|g| *g == [0, 0]).then(|| text.trim_start_matches('0').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values in binary, and what they are read as.
    const NUMERICS: &[(&[u8], bool, Option<&str>)] = &[
        (
            &[0, 4, 0, 3, 0, 0, 0, 0, 0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57],
            true,
            Some("4111111111111111"),
        ),
        (&[0, 1, 0, 3, 0, 0, 0, 0, 0, 1], true, Some("1000000000000")),
        (&[0, 1, 0, 3, 0x40, 0, 0, 0, 0, 1], false, None),
        (&[0, 1, 0, 3, 0xc0, 0, 0, 0, 0, 1], false, None),
        (&[0, 2, 0, 0, 0, 0, 0, 2, 0, 1, 0x13, 0x88], false, None),
        (&[0, 1, 0, 0, 0, 0, 0, 2, 0, 1], false, Some("1")),
        (&[0, 1, 0x40, 0, 0, 0, 0, 0, 0, 1], true, None),
        (&[0, 0], false, None),
    ];

    #[test]
    fn numbers_in_binary_are_read_and_short_ones_pass() {
        let numeric = Digits { oid: NUMERIC, format: Format::Binary };
        for (value, long, digits) in NUMERICS {
            assert_eq!(numeric.is_long(value), *long, "{value:?}");
            assert_eq!(numeric.read(value).as_deref(), *digits, "{value:?}");
        }
        let int = Digits { oid: INT8, format: Format::Binary };
        for (value, long) in [(0_i64, false), (-5, false), (LONG - 1, false), (LONG, true), (i64::MAX, true)]
        {
            assert_eq!(int.is_long(&value.to_be_bytes()), long, "{value}");
            assert_eq!(int.read(&value.to_be_bytes()), (value >= 0).then(|| value.to_string()), "{value}");
        }
    }

    #[test]
    fn numbers_in_text_are_whole_and_not_negative() {
        let text = Digits::element();
        for (value, digits) in [
            ("4111111111111111", Some("4111111111111111")),
            ("4111111111111111.00", Some("4111111111111111")),
            ("4111111111111111.50", None),
            ("-4111111111111111", None),
            ("NaN", None),
            ("Infinity", None),
            ("", None),
        ] {
            assert_eq!(text.read(value.as_bytes()).as_deref(), digits, "{value}");
        }
    }
}
