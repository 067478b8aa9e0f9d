//! What the definitions say of the types of COPY's columns, where nothing on the wire does.
//!
//! It is believed only of values that look like it: somebody may have changed a column since the definitions were read. A
//! value that does not is looked through as if nothing were known, and so is one of a column whose name says what it
//! holds: digits alone look like a number, and may be a telephone's by now.

use firsthand_sql::CopyForm;
use firsthand_wire::postgres::Format;

use super::day::Day;
use super::digits::Digits;
use super::found::{Elements, Look};
use super::network::Network;

const INT8: u32 = 20;

/// Numbers with fewer characters are no card, whatever type they have.
const SHORT: usize = 12;

/// What the values of a column are believed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believed {
    /// Nothing is known.
    Anything,
    /// Truth values.
    Truths,
    /// Numbers of any type. In text: long ones are looked at as such where the type is one of these.
    Numbers(Option<Digits>),
    /// Numbers in text, of a column whose name says what they are.
    Named(Digits),
    /// Days of a column whose name says that they are somebody's.
    Days(Day),
    /// Arrays of whole numbers that may be long, in text.
    Lists,
    /// Days, times of day, or both.
    Times,
    /// UUIDs.
    Uuids,
    /// In binary: so many bytes that hold no text.
    Bytes(usize),
    /// In binary: numbers that may be long.
    Long(Digits),
    /// In binary: to be looked through like this.
    Looked(Look),
}

impl Believed {
    /// Of a column of this type; `tells`: its name says what its values are.
    pub(super) fn of(type_oid: u32, form: CopyForm, tells: bool) -> Self {
        match form {
            CopyForm::Binary => Self::in_binary(type_oid, tells),
            CopyForm::Text | CopyForm::Csv if tells => match type_oid {
                20 | 21 | 23 | 26 | 1700 => Self::Named(Digits::named(type_oid)),
                _ => Day::of(type_oid, Format::Text).map_or(Self::Anything, Self::Days),
            },
            CopyForm::Text | CopyForm::Csv => match type_oid {
                16 => Self::Truths,
                20 | 1700 => Self::Numbers(Digits::of(type_oid, Format::Text)),
                21 | 23 | 26 | 700 | 701 => Self::Numbers(None),
                1016 | 1231 => Self::Lists,
                1082 | 1083 | 1114 | 1184 | 1266 => Self::Times,
                2950 => Self::Uuids,
                _ => Self::Anything,
            },
        }
    }

    fn in_binary(type_oid: u32, tells: bool) -> Self {
        let array = |elements| Self::Looked(Look::Array { elements, format: Format::Binary });
        match type_oid {
            20 | 1700 => Digits::of(type_oid, Format::Binary).map_or(Self::Anything, Self::Long),
            25 => Self::Looked(Look::Text(None)),
            114 => Self::Looked(Look::Json { versioned: false }),
            3802 => Self::Looked(Look::Json { versioned: true }),
            1009 => array(Elements::Text),
            1016 | 1231 => array(Elements::Number),
            650 | 774 | 829 | 869 => Network::of(type_oid, Format::Binary)
                .map_or(Self::Anything, |network| Self::Looked(Look::Network(network))),
            _ if tells => Day::of(type_oid, Format::Binary).map_or(Self::Anything, Self::Days),
            16 => Self::Bytes(1),
            21 => Self::Bytes(2),
            23 | 26 | 700 | 1082 => Self::Bytes(4),
            701 | 1083 | 1114 | 1184 => Self::Bytes(8),
            1266 => Self::Bytes(12),
            2950 => Self::Bytes(16),
            _ => Self::Anything,
        }
    }

    /// How a value is looked through; `None`: it passes.
    pub(super) fn look(self, value: &[u8]) -> Option<Look> {
        match self {
            Self::Truths if matches!(value, b"t" | b"f") => None,
            Self::Numbers(long) if is_number(value) => {
                if value.len() <= SHORT {
                    return None;
                }
                long.map(Look::Number).or_else(|| (!value.contains(&b'.')).then_some(Look::Text(None)))
            }
            Self::Named(digits) if is_number(value) => Some(Look::Named(digits)),
            Self::Days(day) if day.is_whole(value) || (day.is_text() && is_time(value)) => {
                Some(Look::Day(day))
            }
            Self::Days(day) if !day.is_text() => Some(Look::Opaque),
            Self::Lists if is_list(value) => {
                Some(Look::Array { elements: Elements::Number, format: Format::Text })
            }
            Self::Times if is_time(value) => None,
            Self::Uuids if is_uuid(value) => None,
            Self::Anything
            | Self::Truths
            | Self::Numbers(_)
            | Self::Named(_)
            | Self::Days(_)
            | Self::Lists
            | Self::Times
            | Self::Uuids => Some(Look::guess(value)),
            Self::Bytes(size) if value.len() == size && !is_text(value) => {
                // Numbers of any type are as long as times and floats.
                Digits::of(INT8, Format::Binary).filter(|_| may_be_card(value)).map(Look::Number)
            }
            Self::Long(digits) if digits.is_whole(value) && !is_text(value) => {
                digits.is_long(value).then_some(Look::Number(digits))
            }
            Self::Looked(Look::Json { versioned: true }) if value.first() != Some(&1) => Some(Look::Opaque),
            Self::Looked(Look::Network(network)) if !network.is_whole(value) => Some(Look::Opaque),
            Self::Looked(look) => Some(look),
            Self::Bytes(_) | Self::Long(_) => Some(Look::Opaque),
        }
    }

    /// How a value of binary data is looked through; `None`: it passes.
    pub(super) fn look_binary(self, value: &[u8]) -> Option<Look> {
        if self == Self::Anything { Some(Look::Opaque) } else { self.look(value) }
    }
}

/// Digits with at most one sign, one point and one exponent; also what is no number of these types' values.
fn is_number(value: &[u8]) -> bool {
    let figures = |rest: &[u8]| rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = value.strip_prefix(b"-").unwrap_or(value);
    let whole = figures(rest);
    let mut rest = rest.get(whole..).unwrap_or_default();
    if rest.is_empty() {
        return whole > 0;
    }
    if let Some(after) = rest.strip_prefix(b".") {
        rest = after.get(figures(after)..).unwrap_or_default();
    }
    if let [b'e', b'+' | b'-', exponent @ ..] = rest
        && matches!(exponent.len(), 1..=4)
    {
        rest = exponent.get(figures(exponent)..).unwrap_or_default();
    }
    whole > 0 && rest.is_empty() || matches!(value, b"NaN" | b"Infinity" | b"-Infinity")
}

/// Numbers and NULLs between braces and commas.
fn is_list(value: &[u8]) -> bool {
    let between = value.strip_prefix(b"{").and_then(|v| v.strip_suffix(b"}"));
    between.is_some_and(|all| {
        all.split(|b| matches!(b, b',' | b'{' | b'}'))
            .all(|one| one.is_empty() || one == b"NULL" || is_number(one))
    })
}

/// The forms in which the server writes days and times under `DateStyle` ISO; other styles are looked through.
const DAY: &[u8] = b"0000-00-00";
const CLOCK: &[u8] = b"00:00:00";

fn has_form(value: &[u8], form: &[u8]) -> bool {
    value.len() == form.len()
        && value.iter().zip(form).all(|(v, f)| if *f == b'0' { v.is_ascii_digit() } else { v == f })
}

fn is_time(value: &[u8]) -> bool {
    let clock = match value.split_at_checked(DAY.len()) {
        Some((day, rest)) if has_form(day, DAY) => match rest {
            [] | b" BC" => return true,
            [b' ', clock @ ..] => clock,
            _ => return false,
        },
        _ => value,
    };
    let Some((seconds, rest)) = clock.split_at_checked(CLOCK.len()) else { return false };
    // A fraction of up to six digits and an offset from UTC.
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            match digits {
                1..=6 => fraction.get(digits..).unwrap_or_default(),
                _ => return false,
            }
        }
        rest => rest,
    };
    let offset = |rest: &[u8]| {
        let rest = rest.strip_prefix(b"+").or_else(|| rest.strip_prefix(b"-")).unwrap_or_default();
        has_form(rest, b"00") || has_form(rest, b"00:00") || has_form(rest, CLOCK)
    };
    has_form(seconds, CLOCK) && (rest.is_empty() || offset(rest))
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_digit() || matches!(b, b'a'..=b'f'),
        })
}

/// Whether eight bytes are, as a number, where the numbers of cards are; times since 2012 and floats are elsewhere.
fn may_be_card(value: &[u8]) -> bool {
    const CARDS: [std::ops::RangeInclusive<i64>; 3] = [
        30_000_000_000_000..=39_999_999_999_999,
        340_000_000_000_000..=379_999_999_999_999,
        2_000_000_000_000_000..=6_999_999_999_999_999,
    ];
    <[u8; 8]>::try_from(value).ok().is_some_and(|b| CARDS.iter().any(|c| c.contains(&i64::from_be_bytes(b))))
}

/// Whether bytes could be a text that says something: then they are looked through, whatever they are believed to be.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|b| *b >= b' ') && value.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [CopyForm; 2] = [CopyForm::Text, CopyForm::Csv];

    /// Types, and values that pass in a column believed to be of one.
    const PASS: &[(u32, &[&str])] = &[
        (16, &["t", "f"]),
        (21, &["0", "-32768"]),
        (23, &["2147483647", "-1"]),
        (20, &["999999999999", "-5"]),
        (701, &["0.1", "-1e+20", "1.7976931348623157e+308", "NaN", "-Infinity", "0.41111111111111114"]),
        (1700, &["1.50", "0", "Infinity"]),
        (1082, &["2024-02-29", "0044-03-15 BC"]),
        (1083, &["23:59:59", "23:59:59.999999"]),
        (1266, &["23:59:59+02", "23:59:59.5-03:30"]),
        (1114, &["2024-02-29 12:00:00", "2024-02-29 12:00:00.123"]),
        (1184, &["2024-02-29 12:00:00+00", "1883-11-18 12:00:00-04:56:02"]),
        (2950, &["550e8400-e29b-41d4-a716-446655440000"]),
    ];

    /// Values that are looked through in a column believed to be of such a type.
    const LOOKED: &[(u32, &[&str])] = &[
        (16, &["true", "ada", ""]),
        (23, &["ada@example.com", "", "-", "4111111111111111", "123-45-6789", "1.2.3.4", "12 34"]),
        (20, &["1234567890123", "4111111111111111", "1-2", "1e", "AB12"]),
        (1700, &["4111111111111111", "1.2.3", "+1"]),
        (701, &["4111111111111111", "1e+12345", "0.1e"]),
        (1082, &["29.02.2024", "2024-02-29x", "2024-02-29 ada", "02/29/2024"]),
        (1184, &["2024-02-29 12:00:00 ada", "2024-02-29 12:00:00.1234567", "infinity"]),
        (2950, &["550e8400e29b41d4a716446655440000", "550E8400-e29b-41d4-a716-446655440000"]),
        (25, &["1", "t", "2024-02-29"]),
        (869, &["10.0.0.1"]),
        (1016, &["{1,2}", "{4111111111111111}", "{ada@example.com}"]),
        (20_000, &["1"]),
    ];

    #[test]
    fn what_looks_like_its_type_passes_and_all_else_is_looked_through() {
        for form in FORMS {
            for (oid, values) in PASS {
                for value in *values {
                    let believed = Believed::of(*oid, form, false);
                    assert_eq!(believed.look(value.as_bytes()), None, "{oid} {value}");
                    let told = Believed::of(*oid, form, true);
                    assert!(told.look(value.as_bytes()).is_some(), "{oid} {value}: the name tells");
                }
            }
            for (oid, values) in LOOKED {
                for value in *values {
                    assert!(
                        Believed::of(*oid, form, false).look(value.as_bytes()).is_some(),
                        "{oid} {value}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_stay_numbers_where_they_are_masked() {
        let list = Believed::of(1016, CopyForm::Text, false);
        let numbers = Look::Array { elements: Elements::Number, format: Format::Text };
        assert_eq!(list.look(b"{1,NULL,{4111111111111111}}"), Some(numbers));
        assert_eq!(list.look(b"{a@b.c}"), Some(Look::guess(b"{a@b.c}")));
        let named = Believed::of(23, CopyForm::Text, true);
        assert_eq!(named.look(b"4155552671"), Some(Look::Named(Digits::named(23))));
        assert_eq!(named.look(b"+1 415"), Some(Look::Text(None)));
    }

    #[test]
    fn binary_that_has_its_length_and_is_no_text_passes() {
        let of = |oid, value: &[u8]| Believed::of(oid, CopyForm::Binary, false).look_binary(value);
        let number = |oid| Digits::of(oid, Format::Binary).map(Look::Number);
        for (oid, value) in [
            (16, &[1][..]),
            (21, &[0, 7]),
            (23, &[0, 0, 0, 7]),
            (20, &[0, 0, 0, 0, 0, 0, 0, 7]),
            (701, &[0x40, 0, 0, 0, 0, 0, 0, 0]),
            (2950, &[0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 0]),
            (1700, &[0, 1, 0, 0, 0, 0, 0, 2, 0, 1]),
        ] {
            assert_eq!(of(oid, value), None, "{oid}");
        }
        for (oid, value) in [
            (21, &b"ada"[..]),
            (23, b"ada."),
            (20, b"Jane Doe"),
            (20, b"4111111111111111"),
            (2950, b"4111111111111111"),
            (1700, b"ada@x.com"),
            (3802, b"[\"ada@x.com\"]"),
            (1043, b"ada@x.com"),
            (0, b"ada@x.com"),
        ] {
            assert_eq!(of(oid, value), Some(Look::Opaque), "{oid}");
        }
        // A time of 2024 passes; what would be a card's number, were it one by now, does not.
        assert_eq!(of(1184, &768_301_200_000_000_i64.to_be_bytes()), None);
        assert_eq!(of(1184, &4_111_111_111_111_111_i64.to_be_bytes()), number(20));
        assert_eq!(of(20, &4_111_111_111_111_111_i64.to_be_bytes()), number(20));
        let numeric = [0, 4, 0, 3, 0, 0, 0, 0, 0x10, 0x0f, 0x04, 0x57, 0x04, 0x57, 0x04, 0x57];
        assert_eq!(of(1700, &numeric), number(1700));
        assert_eq!(of(25, b"ada@x.com"), Some(Look::Text(None)));
        assert_eq!(of(3802, b"\x01{}"), Some(Look::Json { versioned: true }));
    }
}
