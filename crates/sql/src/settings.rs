//! Values of settings as rules compare them.

/// Settings that are times, which the server keeps in whole milliseconds.
const MILLISECONDS: [&str; 6] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "deadlock_timeout",
];

/// A setting as the facts of a statement write it: `name=value`, in small letters. A time is written in the milliseconds
/// that the server makes of it: `1us` is `0`, which is no limit. One that does not read as a time is the name alone, as if its
/// value were not known.
#[must_use]
pub fn written(name: &str, value: &str) -> String {
    if !MILLISECONDS.contains(&name) || value.eq_ignore_ascii_case("default") {
        return format!("{name}={}", value.to_lowercase());
    }
    milliseconds(value).map_or_else(|| name.to_owned(), |time| format!("{name}={time}"))
}

/// As the server reads a whole number with a unit. Signs, exponents and other bases are not read here.
fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(digits)?;
    // With a 0 before it, it is in base 8.
    let octal = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
    if octal || !number.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let factor = match unit.trim_start() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let time = (number.parse::<f64>().ok()? * factor).round_ties_even();
    // More is no value of a setting.
    if !(0.0..=f64::from(i32::MAX)).contains(&time) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number between 0 and 2^31"
    )]
    Some(time as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values, and what PostgreSQL 15 shows after `SET statement_timeout`, in milliseconds.
    const TABLE: &[(&str, &str)] = &[
        ("1us", "statement_timeout=0"),
        ("499us", "statement_timeout=0"),
        ("500us", "statement_timeout=0"),
        ("501us", "statement_timeout=1"),
        ("0.4", "statement_timeout=0"),
        ("1500us", "statement_timeout=2"),
        ("0", "statement_timeout=0"),
        ("0s", "statement_timeout=0"),
        ("5s", "statement_timeout=5000"),
        (" 5 s", "statement_timeout=5000"),
        ("1.5min", "statement_timeout=90000"),
        ("30000", "statement_timeout=30000"),
        ("1d", "statement_timeout=86400000"),
        ("10000d", "statement_timeout"),
        ("-1", "statement_timeout"),
        ("+5", "statement_timeout"),
        ("0x10", "statement_timeout"),
        ("010", "statement_timeout"),
        ("1e-5", "statement_timeout"),
        ("1 year", "statement_timeout"),
        ("", "statement_timeout"),
        ("1.2.3", "statement_timeout"),
        ("default", "statement_timeout=default"),
    ];

    #[test]
    fn a_time_is_what_the_server_makes_of_it() {
        for (value, expected) in TABLE {
            assert_eq!(written("statement_timeout", value), *expected, "{value}");
        }
        assert_eq!(written("application_name", "1US"), "application_name=1us");
    }
}
