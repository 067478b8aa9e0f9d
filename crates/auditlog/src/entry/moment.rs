//! Times in the record: RFC 3339 in UTC with microseconds, written once per second and then only patched.

/// Microseconds in a second.
const MICROS: u64 = 1_000_000;
/// Seconds in a day; POSIX time has no leap seconds.
const DAY: u64 = 86_400;
/// Bytes of `2026-11-23T18:29:02.`: everything that stays the same for a second.
const PREFIX: usize = 20;
/// The last second of year 9999: RFC 3339 has four digits for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// Writes times. Keeps the text of the second it wrote last, because a busy log writes thousands of entries in one.
#[derive(Debug, Default)]
pub struct TimeText {
    second: Option<u64>,
    prefix: [u8; PREFIX],
}

impl TimeText {
    /// Appends `2026-11-23T18:29:02.123456Z` for `micros` since 1970, without quotes. Later than year 9999 shows as its end.
    pub fn write(&mut self, micros: u64, out: &mut Vec<u8>) {
        let second = (micros / MICROS).min(LAST_SECOND);
        if self.second != Some(second) {
            self.prefix = prefix(second);
            self.second = Some(second);
        }
        let mut tail = *b"000000Z";
        put(tail.get_mut(..6), micros % MICROS);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&tail);
    }
}

/// The text of one moment, for those who write few.
pub fn rfc3339(micros: u64) -> String {
    let mut out = Vec::with_capacity(PREFIX + 7);
    TimeText::default().write(micros, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn prefix(second: u64) -> [u8; PREFIX] {
    let (year, month, day) = civil(second / DAY);
    let of_day = second % DAY;
    let mut text = *b"0000-00-00T00:00:00.";
    put(text.get_mut(0..4), year);
    put(text.get_mut(5..7), month);
    put(text.get_mut(8..10), day);
    put(text.get_mut(11..13), of_day / 3600);
    put(text.get_mut(14..16), of_day / 60 % 60);
    put(text.get_mut(17..19), of_day % 60);
    text
}

/// Writes `value` right-aligned into the digits.
fn put(digits: Option<&mut [u8]>, mut value: u64) {
    for slot in digits.unwrap_or_default().iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01. Years are counted from March, so that the leap day is the
/// last day of a year; 719,468 days lie between 0000-03-01 and 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to the given day; the opposite of [`civil`].
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted_year = if month <= 2 { year.checked_sub(1)? } else { year };
    let era = shifted_year / 400;
    let of_era = shifted_year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(719_468)
}

/// Reads `2026-11-23`, or an RFC 3339 time with or without seconds, fraction and offset (none means UTC). `None`
/// when it is neither, or before 1970.
pub fn parse(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.split('-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let shape = date.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b }).eq(*b"0000-00-00");
    let start = days(year, month, day)?;
    // Reading it back finds days that no calendar has, such as 30 February.
    if !shape || civil(start) != (year, month, day) {
        return None;
    }
    let micros = start * DAY * MICROS;
    match rest.strip_prefix(['T', 't', ' ']) {
        Some(clock) => time_of_day(clock).and_then(|(t, offset)| (micros + t).checked_add_signed(-offset)),
        None if rest.is_empty() => Some(micros),
        None => None,
    }
}

/// Reads a time that stands as [`rfc3339`] writes it, and in no other form.
pub fn written(text: &str) -> Option<u64> {
    let shape = text.bytes().map(|b| if b.is_ascii_digit() { b'0' } else { b });
    if shape.eq(*b"0000-00-00T00:00:00.000000Z") { parse(text) } else { None }
}

/// Microseconds of the day, and the offset from UTC in microseconds.
fn time_of_day(text: &str) -> Option<(u64, i64)> {
    let (clock, offset) = split_offset(text)?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let mut micros = 0;
    for (i, digit) in fraction.bytes().enumerate().take(6) {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        micros += digit * 10u64.pow(5 - i as u32);
    }
    Some(((hour * 3600 + minute * 60 + second) * MICROS + micros, offset))
}

fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let (clock, offset) = text.split_at_checked(at)?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':')?;
    let micros = (number(hours)? * 3600 + number(minutes)? * 60) * MICROS;
    let micros = i64::try_from(micros).ok()?;
    Some((clock, if sign == "-" { -micros } else { micros }))
}

/// A short run of digits; nothing else, no sign.
fn number(text: &str) -> Option<u64> {
    let fits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok())?
}

/// The month a moment falls in, as key folders are named: `2026-11`.
pub fn month(micros: u64) -> String {
    let (year, month, _) = civil((micros / MICROS).min(LAST_SECOND) / DAY);
    format!("{year:04}-{month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_calendars_have_them() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_763_922_542_123_456, "2025-11-23T18:29:02.123456Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
            assert_eq!(parse(text), Some(micros), "{text}");
        }
        assert_eq!(rfc3339(u64::MAX).get(..10), Some("9999-12-31"));
        assert_eq!(month(951_782_400_000_001), "2000-02");
    }

    #[test]
    fn every_day_for_four_centuries_reads_back() {
        for day in 0..146_097 {
            let (y, m, d) = civil(day);
            assert_eq!(days(y, m, d), Some(day));
        }
    }

    #[test]
    fn the_cached_second_follows_the_time() {
        let mut text = TimeText::default();
        let mut out = Vec::new();
        for micros in [5_000_000, 5_999_999, 6_000_000, 4_000_000] {
            out.clear();
            text.write(micros, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), rfc3339(micros));
        }
    }

    #[test]
    fn people_may_shorten_a_time() {
        let day = 1_763_856_000_000_000;
        for (text, micros) in [
            ("2025-11-23", Some(day)),
            ("2025-11-23T10:00", Some(day + 36_000_000_000)),
            ("2025-11-23 10:00:01.5", Some(day + 36_001_500_000)),
            ("2025-11-23T10:00:00+02:00", Some(day + 28_800_000_000)),
            ("2025-11-23T10:00:00-02:00", Some(day + 43_200_000_000)),
            ("2025-02-30", None),
            ("2025-11-23T25:00", None),
            ("2025-11-23x", None),
            ("25-11-2300", None),
            ("1969-12-31", None),
            ("grün-grün", None),
            ("", None),
        ] {
            assert_eq!(parse(text), micros, "{text}");
        }
    }
}
