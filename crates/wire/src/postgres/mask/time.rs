//! Masks of dates and times: the year, the hour, or the type's zero.

use super::kind::Kind;
use super::{Mask, Style};
use crate::postgres::value::{days_before_year, year_of};

const MICROS_PER_HOUR: i64 = 3_600 * 1_000_000;
const MICROS_PER_DAY: i64 = 24 * MICROS_PER_HOUR;

impl Mask {
    pub(super) fn time(&self, kind: Kind, binary: bool, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
        match (self.style, binary) {
            (Style::Zero, false) => out.extend_from_slice(match kind {
                Kind::Date => b"2000-01-01",
                Kind::Timestamp => b"2000-01-01 00:00:00",
                Kind::Timestamptz => b"2000-01-01 00:00:00+00",
                Kind::Timetz => b"00:00:00+00",
                _ => b"00:00:00",
            }),
            (Style::Zero, true) => out.extend_from_slice(match kind {
                Kind::Date => &[0; 4],
                Kind::Timetz => &[0; 12],
                Kind::Interval => &[0; 16],
                _ => &[0; 8],
            }),
            (Style::Generalise, true) => return coarse_binary(kind, value, out),
            (Style::Generalise, false) => return coarse_text(kind, value, out),
            _ => return None,
        }
        Some(())
    }
}

fn coarse_binary(kind: Kind, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::Date => {
            let days = i32::from_be_bytes(value.try_into().ok()?);
            if matches!(days, i32::MIN | i32::MAX) {
                return None;
            }
            let first = days_before_year(year_of(days.into()));
            out.extend_from_slice(&i32::try_from(first).ok()?.to_be_bytes());
        }
        Kind::Timestamp | Kind::Timestamptz => {
            let micros = i64::from_be_bytes(value.try_into().ok()?);
            if matches!(micros, i64::MIN | i64::MAX) {
                return None;
            }
            let first = days_before_year(year_of(micros.div_euclid(MICROS_PER_DAY)));
            out.extend_from_slice(&first.checked_mul(MICROS_PER_DAY)?.to_be_bytes());
        }
        Kind::Time | Kind::Timetz => {
            let (micros, zone) = value.split_first_chunk::<8>()?;
            let micros = i64::from_be_bytes(*micros);
            out.extend_from_slice(&(micros - micros.rem_euclid(MICROS_PER_HOUR)).to_be_bytes());
            out.extend_from_slice(zone);
            return (zone.len() == if kind == Kind::Time { 0 } else { 4 }).then_some(());
        }
        _ => return None,
    }
    Some(())
}

/// Only what is written as ISO 8601 (DateStyle ISO) is understood.
pub(super) fn coarse_text(kind: Kind, value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = str::from_utf8(value).ok()?;
    if matches!(kind, Kind::Time | Kind::Timetz) {
        let (hour, rest) = text.split_at_checked(2)?;
        hour.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
        rest.starts_with(':').then_some(())?;
        out.extend_from_slice(hour.as_bytes());
        out.extend_from_slice(b":00:00");
        if kind == Kind::Timetz {
            let zone = rest.find(['+', '-']).and_then(|at| rest.get(at..))?;
            out.extend_from_slice(zone.as_bytes());
        }
        return Some(());
    }
    let (year, rest) = text.split_once('-')?;
    (year.len() >= 4 && year.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    let (day, rest) = rest.split_at_checked(5)?;
    let [m1, m2, b'-', d1, d2] = day.as_bytes() else { return None };
    [m1, m2, d1, d2].iter().all(|b| b.is_ascii_digit()).then_some(())?;
    let (rest, era) = match rest.strip_suffix(" BC") {
        Some(rest) => (rest, " BC"),
        None => (rest, ""),
    };
    out.extend_from_slice(year.as_bytes());
    out.extend_from_slice(b"-01-01");
    match kind {
        Kind::Date => rest.is_empty().then_some(())?,
        Kind::Timestamp | Kind::Timestamptz => {
            rest.starts_with([' ', 'T']).then_some(())?;
            out.extend_from_slice(b" 00:00:00");
            let zone = rest.find(['+', '-']).and_then(|at| rest.get(at..)).unwrap_or_default();
            out.extend_from_slice(zone.as_bytes());
        }
        _ => return None,
    }
    out.extend_from_slice(era.as_bytes());
    Some(())
}
