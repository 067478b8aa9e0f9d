//! Dates, times and intervals, as the server prints them with DateStyle ISO and IntervalStyle postgres.

use super::number::{padded, signed};
use super::{push, take};

const MICROS_PER_SECOND: u64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * 1_000_000;

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;

/// A calendar date of the proleptic Gregorian calendar; year 0 is 1 BC.
struct Day {
    year: i64,
    month: u8,
    day: u8,
}

impl Day {
    /// The day this many days after 2000-01-01.
    fn of(days: i64) -> Self {
        // Years that begin in March put the leap day last; 400 years have 146,097 days (H. Hinnant, "chrono-compatible
        // low-level date algorithms").
        let shifted = days + EPOCH_DAYS + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month: month as u8, day: day as u8 }
    }

    /// `YYYY-MM-DD`, without the mark of an early year.
    fn print(&self, out: &mut Vec<u8>) -> Option<()> {
        let year = if self.year > 0 { self.year } else { 1 - self.year };
        padded(out, year.unsigned_abs(), 4)?;
        out.push(b'-');
        padded(out, self.month.into(), 2)?;
        out.push(b'-');
        padded(out, self.day.into(), 2)
    }

    fn print_era(&self, out: &mut Vec<u8>) -> Option<()> {
        if self.year > 0 { Some(()) } else { push(out, b" BC") }
    }
}

/// The year (0 is 1 BC) of the day this many days after 2000-01-01.
pub(in crate::postgres) fn year_of(days: i64) -> i64 {
    Day::of(days).year
}

/// The first day of a year, in days after 2000-01-01.
pub(in crate::postgres) fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 730_119
}

/// `date`: days since 2000-01-01; the ends of the range are infinite.
pub(super) fn date(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    match i32::from_be_bytes(bytes.try_into().ok()?) {
        i32::MAX => push(out, b"infinity"),
        i32::MIN => push(out, b"-infinity"),
        days => {
            let day = Day::of(days.into());
            day.print(out)?;
            day.print_era(out)
        }
    }
}

/// `timestamp` and, with `utc`, `timestamptz`: microseconds since 2000-01-01; the ends of the range are infinite.
pub(super) fn timestamp(out: &mut Vec<u8>, bytes: &[u8], utc: bool) -> Option<()> {
    match i64::from_be_bytes(bytes.try_into().ok()?) {
        i64::MAX => push(out, b"infinity"),
        i64::MIN => push(out, b"-infinity"),
        micros => {
            let day = Day::of(micros.div_euclid(MICROS_PER_DAY));
            day.print(out)?;
            out.push(b' ');
            time_of_day(out, micros.rem_euclid(MICROS_PER_DAY).unsigned_abs())?;
            if utc {
                push(out, b"+00")?;
            }
            day.print_era(out)
        }
    }
}

/// `time`: microseconds since midnight; 24:00:00 is one.
pub(super) fn time(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let micros = i64::from_be_bytes(bytes.try_into().ok()?);
    if !(0..=MICROS_PER_DAY).contains(&micros) {
        return None;
    }
    time_of_day(out, micros.unsigned_abs())
}

/// `timetz`: the same, and seconds west of Greenwich.
pub(super) fn timetz(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    let (micros, zone) = bytes.split_at_checked(8)?;
    let zone = i32::from_be_bytes(zone.try_into().ok()?);
    time(out, micros)?;
    out.push(if zone > 0 { b'-' } else { b'+' });
    let zone = u64::from(zone.unsigned_abs());
    padded(out, zone / 3600, 2)?;
    if zone % 3600 != 0 {
        out.push(b':');
        padded(out, zone / 60 % 60, 2)?;
    }
    if zone % 60 != 0 {
        out.push(b':');
        padded(out, zone % 60, 2)?;
    }
    Some(())
}

/// `HH:MM:SS` and as many decimals as needed; hours may have more digits.
fn time_of_day(out: &mut Vec<u8>, micros: u64) -> Option<()> {
    let seconds = micros / MICROS_PER_SECOND;
    padded(out, seconds / 3600, 2)?;
    out.push(b':');
    padded(out, seconds / 60 % 60, 2)?;
    out.push(b':');
    padded(out, seconds % 60, 2)?;
    let fraction = micros % MICROS_PER_SECOND;
    if fraction > 0 {
        out.push(b'.');
        padded(out, fraction, 6)?;
        let zeros = out.iter().rev().take_while(|b| **b == b'0').count();
        out.truncate(out.len() - zeros);
    }
    Some(())
}

/// `interval`: microseconds, days and months, each with its own sign; the ends of all three are infinite (PostgreSQL 17).
pub(super) fn interval(out: &mut Vec<u8>, mut bytes: &[u8]) -> Option<()> {
    let micros = i64::from_be_bytes(take(&mut bytes)?);
    let days = i32::from_be_bytes(take(&mut bytes)?);
    let months = i32::from_be_bytes(bytes.try_into().ok()?);
    match (micros, days, months) {
        (i64::MAX, i32::MAX, i32::MAX) => return push(out, b"infinity"),
        (i64::MIN, i32::MIN, i32::MIN) => return push(out, b"-infinity"),
        _ => {}
    }
    let (mut first, mut before_is_negative) = (true, false);
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count == 0 {
            continue;
        }
        if !first {
            out.push(b' ');
        }
        // A plus sign only says that the sign changes back.
        if before_is_negative && count > 0 {
            out.push(b'+');
        }
        signed(out, count.into())?;
        out.push(b' ');
        push(out, unit.as_bytes())?;
        if count != 1 {
            out.push(b's');
        }
        (first, before_is_negative) = (false, count < 0);
    }
    if first || micros != 0 {
        if !first {
            out.push(b' ');
        }
        if micros < 0 {
            out.push(b'-');
        } else if before_is_negative {
            out.push(b'+');
        }
        time_of_day(out, micros.unsigned_abs())?;
    }
    Some(())
}
