//! Small values of the configuration: sizes and durations, as people write them.

use std::time::Duration;

/// `64KiB`, `1MiB`, `512` (bytes).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit of size: use B, KiB, MiB or GiB, as in `1MiB`")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no size: write it like `1MiB`"))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// `500ms`, `30s`, `10m`, `8h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("`{text}` has no unit: write it like `30s`, `10m`, `8h` or `7d`")),
        other => return Err(format!("`{other}` is no unit of time: use ms, s, m, h or d, as in `8h`")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is no duration: write it like `8h`"))?;
    let millis = number.checked_mul(millis).ok_or_else(|| format!("`{text}` is too long"))?;
    if millis == 0 {
        return Err(format!("`{text}` is no time at all"));
    }
    Ok(Duration::from_millis(millis))
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// A size as people write it.
pub(crate) fn show_size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// A duration as people write it.
pub(crate) fn show_duration(length: Duration) -> String {
    let millis = length.as_millis();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= factor && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_what_they_show() {
        for (text, bytes) in [("0", 0), ("7", 7), ("64KiB", 64 << 10), ("1MiB", 1 << 20), ("2 GiB", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes));
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        for bad in ["", "MiB", "1MB", "-1", "1.5MiB", "99999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_read_back_what_they_show() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("8h", 28_800_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(show_duration(Duration::from_millis(millis)), text);
        }
        for bad in ["", "8", "h", "0s", "8 hours", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
