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

/// Settings whose values are names of things, which the server finds as they are written: `"PUBLIC"` is another schema than
/// `public`. With whether they are lists of names.
const NAMES: [(&str, bool); 8] = [
    ("search_path", true),
    ("temp_tablespaces", true),
    ("role", false),
    ("session_authorization", false),
    ("default_tablespace", false),
    ("default_table_access_method", false),
    ("local_preload_libraries", false),
    ("session_preload_libraries", false),
];

/// Whether the case of letters counts in its values. What an application has made of a setting of its own is compared as texts
/// are.
fn is_name(name: &str) -> bool {
    name.contains('.') || NAMES.iter().any(|(known, _)| *known == name)
}

/// Whether its value is a list of names, which the server reads from one text where it gets it as one.
pub(crate) fn is_list(name: &str) -> bool {
    NAMES.iter().any(|(known, list)| *list && *known == name)
}

/// The names of a list of names that is given as one text; otherwise the text.
#[must_use]
pub fn of_text(name: &str, value: &str) -> Vec<String> {
    if is_list(name) { crate::state::identifiers(value) } else { vec![value.to_owned()] }
}

/// Whether a setting of the server's holds a password, or a command that tells one. Only superusers and members of
/// `pg_read_all_settings` are shown it.
pub(crate) fn is_secret(name: &str) -> bool {
    ["primary_conninfo", "ssl_passphrase_command"].iter().any(|secret| secret.eq_ignore_ascii_case(name))
}

/// A name: what differs from its small letters, and what could be taken for several or for a quoted one, stands in quotes.
fn name_written(name: &str) -> String {
    let plain = !name.contains([',', '"']) && name.to_lowercase() == name;
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A setting as the facts of a statement write it: `name=value`, in small letters, but for names, see `NAMES`. A time is written in the milliseconds
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
        return if is_name(name) { format!("{name}=\"{value}\"") } else { format!("{name}=\"default\"") };
    }
    if is_name(name) {
        return format!("{name}={}", name_written(value));
    }
    format!("{name}={}", value.to_lowercase())
}

/// What the session began with: `name=default`.
pub(crate) fn reset(name: &str) -> String {
    format!("{name}=default")
}

/// The same of a list, with `, ` between.
#[must_use]
pub fn written_list(name: &str, values: &[String]) -> String {
    match values {
        [only] => written(name, only),
        several if is_name(name) => {
            let names: Vec<String> = several.iter().map(|value| name_written(value)).collect();
            format!("{name}={}", names.join(", "))
        }
        several => written(name, &several.join(", ")),
    }
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
        assert_eq!(written("search_path", "default"), "search_path=\"default\"");
        assert_eq!(written("search_path", "Default"), "search_path=\"Default\"");
    }

    /// Values, and how they are told.
    const NAMED: &[(&str, &[&str], &str)] = &[
        ("search_path", &[], "search_path="),
        ("search_path", &["$user", "public"], "search_path=$user, public"),
        ("search_path", &["$user, public"], "search_path=\"$user, public\""),
        ("search_path", &["PUBLIC"], "search_path=\"PUBLIC\""),
        ("search_path", &["$USER", "public"], "search_path=\"$USER\", public"),
        ("search_path", &["A\", \"B"], "search_path=\"A\"\", \"\"B\""),
        ("search_path", &["A", "B"], "search_path=\"A\", \"B\""),
        ("search_path", &["\"public\""], "search_path=\"\"\"public\"\"\""),
        ("role", &["app"], "role=app"),
        ("role", &["APP"], "role=\"APP\""),
        ("role", &["\"APP\""], "role=\"\"\"APP\"\"\""),
        ("role", &["none"], "role=none"),
        ("role", &["NONE"], "role=\"NONE\""),
        ("role", &["DEFAULT"], "role=\"DEFAULT\""),
        ("session_authorization", &["Ada"], "session_authorization=\"Ada\""),
        ("default_tablespace", &[""], "default_tablespace="),
        ("default_tablespace", &["Fast"], "default_tablespace=\"Fast\""),
        ("temp_tablespaces", &["Fast", "slow"], "temp_tablespaces=\"Fast\", slow"),
        ("app.tenant", &["Acme"], "app.tenant=\"Acme\""),
        ("datestyle", &["ISO", "MDY"], "datestyle=iso, mdy"),
        ("timezone", &["UTC"], "timezone=utc"),
        ("enable_seqscan", &["OFF"], "enable_seqscan=off"),
    ];

    #[test]
    fn a_name_is_told_as_it_is_and_never_as_several() {
        for (name, values, expected) in NAMED {
            let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
            assert_eq!(written_list(name, &values), *expected);
        }
    }
}
