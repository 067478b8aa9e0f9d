//! Windows of time: a freeze, office hours. Whether one is open is a pure function of the moment that comes with the ask.

use firsthand_model::time::UnixMicros;
use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// Windows in one policy: each is a bit of a cache key.
pub const WINDOWS_MAX: usize = 64;
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A named window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name.
    pub name: String,
    /// On which days of the week it opens; none: on every day.
    pub days: Vec<Weekday>,
    /// Minutes of the day from which and until which; the end may lie in the next day. `None`: the whole day.
    pub hours: Option<(u16, u16)>,
    /// The zone in which days and hours are meant.
    pub zone: TimeZone,
    /// Opens at no earlier moment (seconds since 1970).
    pub from: Option<i64>,
    /// Closes for good at this one.
    pub until: Option<i64>,
}

impl Window {
    /// Whether it is open. A moment that cannot be told in the zone counts as inside: a freeze must not thaw by an error.
    #[must_use]
    pub fn is_open(&self, now: UnixMicros) -> bool {
        let Ok(micros) = i64::try_from(now.0) else { return true };
        let seconds = micros.div_euclid(1_000_000);
        if self.from.is_some_and(|from| seconds < from) || self.until.is_some_and(|until| seconds >= until) {
            return false;
        }
        let Ok(stamp) = Timestamp::from_second(seconds) else { return true };
        let local = self.zone.to_datetime(stamp);
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = self.opens_on(local.weekday());
        let yesterday = self.opens_on(local.weekday().previous());
        match self.hours {
            None => today,
            Some((from, to)) if from < to => today && (from..to).contains(&minute),
            Some((from, to)) => today && minute >= from || yesterday && minute < to,
        }
    }

    fn opens_on(&self, day: Weekday) -> bool {
        self.days.is_empty() || self.days.contains(&day)
    }
}

/// Which of the windows are open, a bit each.
pub(crate) fn open_bits(windows: &[Window], now: UnixMicros) -> u64 {
    windows
        .iter()
        .take(WINDOWS_MAX)
        .enumerate()
        .filter(|(_, w)| w.is_open(now))
        .fold(0, |bits, (i, _)| bits | 1 << i)
}

/// `mon`, `tuesday`.
pub(crate) fn day(word: &str) -> Option<Weekday> {
    const DAYS: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    DAYS.iter().find(|(name, _)| *name == word || name.get(..3) == Some(word)).map(|(_, day)| *day)
}

/// `09:00-17:30`, `22:00-06:00`, `18:00-24:00`.
pub(crate) fn hours(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let minute = |text: &str| {
        let (h, m) = text.trim().split_once(':')?;
        let (h, m): (u16, u16) = (h.parse().ok()?, m.parse().ok()?);
        (m < 60 && h * 60 + m <= DAY).then_some(h * 60 + m)
    };
    let (from, to) = (minute(from)?, minute(to)?);
    (from < DAY && from != to).then_some((from, to))
}

/// `2026-12-20` (the start of that day there) or `2026-12-20T18:00:00+01:00`, in seconds.
pub(crate) fn moment(text: &str, zone: &TimeZone) -> Option<i64> {
    if let Ok(stamp) = text.parse::<Timestamp>() {
        return Some(stamp.as_second());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(date.to_zoned(zone.clone()).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMicros {
        let stamp: Timestamp = text.parse().unwrap();
        UnixMicros(stamp.as_microsecond().unsigned_abs())
    }

    #[test]
    fn windows_open_and_close_in_their_zone() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let night = Window {
            name: "night".into(),
            days: vec![Weekday::Friday],
            hours: hours("22:00-06:00"),
            zone: berlin.clone(),
            from: None,
            until: moment("2026-12-31", &berlin),
        };
        // 2026-11-27 is a Friday; Berlin is one hour ahead of UTC then.
        for (moment, open) in [
            ("2026-11-27T20:59:59Z", false),
            ("2026-11-27T21:00:00Z", true),
            ("2026-11-28T04:59:59Z", true),
            ("2026-11-28T05:00:00Z", false),
            ("2026-11-28T21:30:00Z", false),
            ("2027-01-01T22:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(moment)), open, "{moment}");
        }
        for bad in ["", "9-17", "25:00-26:00", "10:00-10:00", "24:00-01:00", "10:61-11:00"] {
            assert_eq!(hours(bad), None, "{bad}");
        }
        assert_eq!(hours("18:00-24:00"), Some((1080, 1440)));
    }
}
