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

/// Settings that are sizes of memory which a session may take for itself, with the bytes that a number without a unit counts.
const MEMORY: [(&str, u64); 4] = [
    ("work_mem", 1 << 10),
    ("maintenance_work_mem", 1 << 10),
    ("logical_decoding_work_mem", 1 << 10),
    ("temp_buffers", 8 << 10),
];

/// More memory than this is never told as a value: rules compare texts and have no "at most", and what a session takes is
/// missing to all others. A tenth of it is much for a query, and four of it are all that a small server has.
const MEMORY_MAX: u64 = 1 << 30;

/// A setting as the facts of a statement write it: `name=value`, in small letters. A time is written in the milliseconds
/// that the server makes of it: `1us` is `0`, which is no limit. One that does not read as a time is the name alone, as if its
/// value were not known; so is memory of more than 1 GiB.
#[must_use]
pub fn written(name: &str, value: &str) -> String {
    if MILLISECONDS.contains(&name) {
        return milliseconds(value).map_or_else(|| name.to_owned(), |time| format!("{name}={time}"));
    }
    let memory = MEMORY.iter().find(|(known, _)| *known == name);
    if memory.is_some_and(|(_, unit)| bytes(value, *unit).is_none_or(|bytes| bytes > MEMORY_MAX)) {
        return name.to_owned();
    }
    if value.eq_ignore_ascii_case("default") {
        // A text, such as a schema's name; not the word.
        return format!("{name}=\"default\"");
    }
    format!("{name}={}", value.to_lowercase())
}

/// What the session began with: `name=default`.
pub(crate) fn reset(name: &str) -> String {
    format!("{name}=default")
}

/// The same of a list, with `, ` between. A name in it that could be taken for several stands in quotes.
#[must_use]
pub fn written_list(name: &str, values: &[String]) -> String {
    let one = |value: &String| {
        if values.len() > 1 || name == "search_path" {
            if value.contains([',', '"']) { format!("\"{value}\"") } else { value.clone() }
        } else {
            value.clone()
        }
    };
    written(name, &values.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// As the server reads a size: a whole number with a unit, whose letters count.
fn bytes(value: &str, usual: u64) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(digits)?;
    // With a 0 before it, it is in base 8.
    if number.len() > 1 && number.starts_with('0') {
        return None;
    }
    let factor = match unit.trim_start() {
        "" => usual,
        "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
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
        ("default", "statement_timeout"),
    ];

    #[test]
    fn a_time_is_what_the_server_makes_of_it() {
        for (value, expected) in TABLE {
            assert_eq!(written("statement_timeout", value), *expected, "{value}");
        }
        assert_eq!(written("application_name", "1US"), "application_name=1us");
    }

    /// Values, and whether PostgreSQL takes them for 1 GiB at most.
    const SIZES: &[(&str, &str, bool)] = &[
        ("work_mem", "64MB", true),
        ("work_mem", "65536", true),
        ("work_mem", " 1 GB ", true),
        ("work_mem", "1048576", true),
        ("work_mem", "1048577", false),
        ("work_mem", "2GB", false),
        ("work_mem", "1TB", false),
        ("work_mem", "64mb", false),
        ("work_mem", "1.5GB", false),
        ("work_mem", "-1", false),
        ("work_mem", "077777777777", false),
        ("work_mem", "99999999999999999999", false),
        ("temp_buffers", "131072", true),
        ("temp_buffers", "131073", false),
        ("maintenance_work_mem", "1GB", true),
        ("logical_decoding_work_mem", "64MB", true),
        ("logical_decoding_work_mem", "2GB", false),
    ];

    #[test]
    fn memory_is_told_up_to_a_gibibyte() {
        for (name, value, told) in SIZES {
            let expected =
                if *told { format!("{name}={}", value.to_lowercase()) } else { (*name).to_owned() };
            assert_eq!(written(name, value), expected, "{value}");
        }
        assert_eq!(written("work_mem", "DEFAULT"), "work_mem");
        assert_eq!(written("search_path", "Default"), "search_path=\"default\"");
    }

    #[test]
    fn a_name_of_a_list_is_not_taken_for_several() {
        let list = |values: &[&str]| {
            written_list("search_path", &values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(list(&["$user", "public"]), "search_path=$user, public");
        assert_eq!(list(&["$user, public"]), "search_path=\"$user, public\"");
    }
}
