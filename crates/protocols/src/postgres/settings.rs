//! Startup parameters as the settings that they are: a session that begins with a setting has set it. As PostgreSQL reads
//! them (chapter "Message Formats", StartupMessage; `-c` and `--` of the command "postgres").

/// What is no setting: it says who, where to and how, and is dealt with elsewhere.
const NO_SETTINGS: [&str; 3] = ["user", "database", "replication"];

/// The settings of these parameters, as the facts of a statement write them.
pub(super) fn of(parameters: &[(Vec<u8>, Vec<u8>)]) -> Vec<String> {
    let mut settings = Vec::new();
    for (name, value) in parameters {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let name = name.to_lowercase();
        if name == "options" {
            of_options(&value, &mut settings);
        } else if !NO_SETTINGS.contains(&name.as_str()) && !name.starts_with("_pq_.") {
            settings.push(written(&name, &value));
        }
    }
    settings
}

/// Whether one of these settings may limit how long statements or transactions take.
pub(super) fn limits_time(settings: &[String]) -> bool {
    let may = |setting: &String| {
        ["statement_timeout", "transaction_timeout", "options"].iter().any(|name| setting.starts_with(name))
    };
    settings.iter().any(may)
}

/// Options are those of a command line. One that is no `-c name=value` or `--name=value` counts as a setting of the name
/// `options`.
fn of_options(options: &str, settings: &mut Vec<String>) {
    let words = words(options);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let assigned = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(rest), _) => Some(rest),
            (None, Some("")) => words.next().map(String::as_str),
            (None, rest) => rest,
        };
        settings.push(match assigned.and_then(|it| it.split_once('=')) {
            Some((name, value)) => written(&name.replace('-', "_").to_lowercase(), value),
            None => "options".to_owned(),
        });
    }
}

/// Split at white space; a backslash takes the next character as it is.
fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// As SET of it is told.
fn written(name: &str, value: &str) -> String {
    match name {
        // What is no letter or digit does not count in the name of an encoding; some drivers put it into quotes.
        "client_encoding" => {
            let counts = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
            let value: String = value.chars().filter(counts).collect();
            format!("{name}={}", value.to_lowercase())
        }
        _ => {
            let values = firsthand_sql::settings::of_text(name, value);
            firsthand_sql::settings::written_list(name, &values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parameters as they come, and the settings that they are.
    const TABLE: &[(&str, &str, &[&str])] = &[
        ("user", "ada", &[]),
        ("replication", "database", &[]),
        ("_pq_.x", "1", &[]),
        ("DateStyle", "ISO, MDY", &["datestyle=iso, mdy"]),
        ("client_encoding", "'utf-8'", &["client_encoding=utf-8"]),
        ("client_encoding", "UTF8", &["client_encoding=utf8"]),
        ("role", "Admin", &["role=\"Admin\""]),
        ("statement_timeout", "1us", &["statement_timeout=0"]),
        ("search_path", "\"$user\",public", &["search_path=$user, public"]),
        ("search_path", "\"a,b\"", &["search_path=\"a,b\""]),
        ("search_path", "\"PUBLIC\"", &["search_path=\"PUBLIC\""]),
        ("search_path", "PUBLIC", &["search_path=public"]),
        ("options", "", &[]),
        ("options", "-c role=admin", &["role=admin"]),
        ("options", "  -crole=admin\t--search-path=evil", &["role=admin", "search_path=evil"]),
        ("options", "-c application_name=a\\ -c\\ role=x", &["application_name=a -c role=x"]),
        ("options", "-c role=APP -c search_path=\"PUBLIC\"", &["role=\"APP\"", "search_path=\"PUBLIC\""]),
        ("options", "-c", &["options"]),
        ("options", "-c role", &["options"]),
        ("options", "-B 100 -c geqo=off", &["options", "options", "geqo=off"]),
        ("options", "--Session-Replication-Role=replica", &["session_replication_role=replica"]),
    ];

    #[test]
    fn parameters_are_the_settings_that_the_server_takes_them_for() {
        for (name, value, settings) in TABLE {
            let parameters = [(name.as_bytes().to_vec(), value.as_bytes().to_vec())];
            assert_eq!(of(&parameters), *settings, "{name}: {value}");
        }
    }
}
