//! The record as people and programs read it. Everything here goes from entries that were read to text; nothing is
//! recorded or decided.
//!
//! - `entry.rs`: an entry taken apart; its JSON.
//! - `line.rs`: one line per entry, for `log`.
//! - `session.rs`: a session from its entries, for `sessions show`, `replay` and the demo.
//! - `preview.rs`: what a held command would change.
//! - `table.rs`: rows as a table. `clean.rs`: recorded text made harmless.

pub(crate) mod clean;
pub(crate) mod entry;
pub(crate) mod line;
#[cfg(test)]
#[path = "tests.rs"]
mod pages;
pub(crate) mod preview;
pub(crate) mod session;
pub(crate) mod statement;
pub(crate) mod table;

use std::io;

use crate::failure::Failure;

/// Columns that lines are made for. A terminal that is wider leaves room; a narrower one wraps.
pub(crate) const WIDTH: usize = 120;

/// Microseconds as people say them: `850 µs`, `12.3 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(us: u64) -> String {
    let tenths = |n: u64, unit: u64| format!("{}.{}", n / unit, n % unit * 10 / unit);
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", tenths(us, 1_000)),
        1_000_000..60_000_000 => format!("{} s", tenths(us, 1_000_000)),
        60_000_000..3_600_000_000 => format!("{} min {} s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{} h {} min", us / 3_600_000_000, us / 60_000_000 % 60),
    }
}

/// A number with its thousands apart, so that large ones can be read.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// What it means that stdout took no more: a reader that has gone (`| head`) is no failure.
pub(crate) fn written(result: io::Result<()>) -> Result<bool, Failure> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Failure::new(format!("cannot print: {e}"), "check where stdout goes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_said_as_people_say_them() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (12_345, "12.3 ms"),
            (4_200_000, "4.2 s"),
            (185_000_000, "3 min 5 s"),
            (7_800_000_000, "2 h 10 min"),
        ] {
            assert_eq!(duration(us), text);
        }
        assert_eq!((number(0), number(999), number(1_000), number(12_345_678)).3, "12,345,678");
        assert_eq!(counted(1, "row", "rows") + &counted(1000, "row", "rows"), "1 row1,000 rows");
    }
}
