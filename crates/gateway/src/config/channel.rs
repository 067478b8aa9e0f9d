//! `[[channel]]`: how people outside hear of approvals, and by which they answer.

use std::path::Path;

use firsthand_adapters::channels::{ChannelSpec, MailTls, Occasion, Way};
use firsthand_adapters::credentials::{CredentialSpec, PasswordPlace};
use firsthand_adapters::identity::token;
use firsthand_session::secret::Secret;
use lettre::message::Mailbox;

use super::keys::{Form, Key, key};
use super::read::read_place;
use super::section::{At, Section, nearest};
use crate::fetch::Address;
use crate::remote::is_this_machine;

/// Where Slack's API is.
const SLACK: &str = "https://slack.com/api";
/// Port of mail that is handed in (RFC 6409), which begins in the clear and changes to TLS.
const SUBMISSION: u16 = 587;
/// Port of mail over TLS from the first byte (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// What a channel is told of where nobody says.
const TOLD: [Occasion; 6] = [
    Occasion::Asked,
    Occasion::Given,
    Occasion::Refused,
    Occasion::Expired,
    Occasion::Spent,
    Occasion::GlassBroken,
];
/// Who gets a mail: more is a list of its own.
const RECIPIENTS_MAX: usize = 32;
/// People of one channel.
const PEOPLE_MAX: usize = 4096;

/// What only some kinds take.
const OF_KIND: [(&str, &[&str]); 11] = [
    ("url", &["webhook"]),
    ("secret", &["webhook"]),
    ("people", &["webhook", "slack"]),
    ("token", &["slack"]),
    ("signing_secret", &["slack"]),
    ("conversation", &["slack"]),
    ("api", &["slack"]),
    ("server", &["mail"]),
    ("tls", &["mail"]),
    ("from", &["mail"]),
    ("to", &["mail"]),
];

/// The tables.
pub(super) const SECTIONS: [(&str, &str); 6] = [
    (
        "channel",
        "`[[channel]]`: how people outside hear of approvals, and by which they answer (see channels.md); one table each.",
    ),
    ("channel.secret", "`secret` of a channel: where it is found. Exactly one of the keys."),
    ("channel.token", "`token` of a channel: where it is found. Exactly one of the keys."),
    ("channel.signing_secret", "`signing_secret` of a channel: where it is found. Exactly one of the keys."),
    ("channel.login", "`login` of a channel: what is presented to the mail server."),
    ("channel.login.password", "`password` of that: where it is found. Exactly one of the keys."),
];

/// In a table that says where a secret is.
const fn env(section: &'static str) -> Key {
    key(section, "env", Form::Text, "none", "This environment variable.")
}

/// The same.
const fn file(section: &'static str) -> Key {
    key(section, "file", Form::Path, "none", "This file; one line end at its end does not count.")
}

/// All keys of it.
pub(super) const KEYS: &[Key] = &[
    key("", "channel", Form::Tables("channel"), "none", "How people outside hear of approvals."),
    key(
        "channel",
        "name",
        Form::Text,
        "",
        "What it is called: in the record, and in the path where its answers come in.",
    ),
    key("channel", "kind", Form::Choice(&["webhook", "slack", "mail"]), "", "What it speaks."),
    key(
        "channel",
        "on",
        Form::Texts,
        "all but `withdrawn`",
        "What it is told of: `asked`, `given`, `refused`, `expired`, `withdrawn`, `spent`; and always `glass_broken`. A message in Slack is brought up to date whatever stands here.",
    ),
    key("channel", "groups", Form::Texts, "all", "Only what one of these groups of the rules must approve."),
    key(
        "channel",
        "text",
        Form::Flag,
        "`true`",
        "Whether statements, parameters (masked, as the record has them) and reasons are sent. `false`: who must approve looks at them here.",
    ),
    key(
        "channel",
        "people",
        Form::Texts,
        "none: nobody answers there",
        "`THEIRS = NAME` each: whom the channel calls THEIRS (for Slack the member's id) is NAME here. Nobody else answers there, and NAME only with a token that has the role `approver`, as a member of the rule's group.",
    ),
    key(
        "channel",
        "ca",
        Form::Path,
        "the system's authorities",
        "Authorities to trust where it is sent, PEM.",
    ),
    key(
        "channel",
        "url",
        Form::Text,
        "required for `webhook`",
        "Where it is sent. Over https, or to this machine. Nobody follows to elsewhere from there.",
    ),
    key(
        "channel",
        "secret",
        Form::TextOrTable("channel.secret"),
        "required for `webhook`",
        "What it is signed with, in both directions: `whsec_` and base64 of 24 to 64 bytes; several, with spaces between, while they take turns.",
    ),
    key(
        "channel",
        "token",
        Form::TextOrTable("channel.token"),
        "required for `slack`",
        "The bot's token (`xoxb-…`), which may `chat:write`.",
    ),
    key(
        "channel",
        "signing_secret",
        Form::TextOrTable("channel.signing_secret"),
        "none: nobody answers there",
        "What Slack signs its requests with.",
    ),
    key(
        "channel",
        "conversation",
        Form::Text,
        "required for `slack`",
        "The id of the conversation, such as `C024BE91L`.",
    ),
    key("channel", "api", Form::Text, "`https://slack.com/api`", "Where the API is, where that is a proxy."),
    key("channel", "server", Form::Text, "required for `mail`", "`host` or `host:port` of the mail server."),
    key(
        "channel",
        "tls",
        Form::Choice(&["starttls", "tls", "none"]),
        "`starttls`",
        "`tls`: from the first byte (port 465, else 587). `none`: on this machine only. The certificate is always verified.",
    ),
    key("channel", "login", Form::Table("channel.login"), "none", "What is presented to the mail server."),
    key(
        "channel",
        "from",
        Form::Text,
        "required for `mail`",
        "Who sends it: an address, or `Name <address>`.",
    ),
    key("channel", "to", Form::Texts, "required for `mail`", "Who gets it."),
    env("channel.secret"),
    file("channel.secret"),
    env("channel.token"),
    file("channel.token"),
    env("channel.signing_secret"),
    file("channel.signing_secret"),
    key("channel.login", "user", Form::Text, "", "The user name."),
    key(
        "channel.login",
        "password",
        Form::TextOrTable("channel.login.password"),
        "",
        "Where its password is.",
    ),
    env("channel.login.password"),
    file("channel.login.password"),
];

/// Reads all of them. `with_http`: there is where answers come in.
pub(super) fn read(top: &Section<'_>, folder: &Path, with_http: bool) -> Vec<ChannelSpec> {
    let mut all: Vec<ChannelSpec> = Vec::new();
    for section in top.tables("channel", "channel") {
        let Some(channel) = read_one(&section, folder, with_http) else { continue };
        if all.iter().any(|other| other.name == channel.name) {
            let what = format!("there is a channel `{}` already", channel.name);
            section.bad(&section.span, "name", what, "give each channel a name of its own");
        }
        all.push(channel);
    }
    all
}

fn read_one(section: &Section<'_>, folder: &Path, with_http: bool) -> Option<ChannelSpec> {
    let name = section.required_text("name");
    if let Some(At { value, span }) = name.as_ref().filter(|name| !token::is_name(&name.value)) {
        let what = format!("`{}` is not fit for a name", value.escape_debug());
        section.bad(
            span,
            "name",
            what,
            "use up to 63 letters, digits, `-`, `_` and `.`: it stands in a path",
        );
    }
    let kind = section.choice("kind");
    if section.span_of("kind").is_none() {
        section.missing("kind");
    }
    let kind = kind?;
    section.came_to("kind", Some(&kind.span), kind.value);
    for (key, kinds) in OF_KIND {
        if let Some(at) = section.span_of(key).filter(|_| !kinds.contains(&kind.value)) {
            let hint = format!("leave it out: it belongs to {}", kinds.join(" and "));
            section.bad(&at, key, format!("means nothing where `kind` is {}", kind.value), hint);
        }
    }
    if let Some(at) = section.span_of("login").filter(|_| kind.value != "mail") {
        section.bad(&at, "login", "is of mail only", "leave it out");
    }
    let ca = section.path_in("ca", folder).map(|ca| {
        section.came_to("ca", Some(&ca.span), ca.value.display().to_string());
        ca.value
    });
    let (on, people) = (read_on(section), read_people(section, with_http));
    let (groups, text) = (section.texts("groups"), section.flag("text", true));
    let way = match kind.value {
        "webhook" => read_webhook(section, folder),
        "slack" => read_slack(section, folder, &people),
        _ => read_mail(section, folder),
    };
    Some(ChannelSpec { name: name?.value, on, groups, text, people, ca, way: way? })
}

fn read_on(section: &Section<'_>) -> Vec<Occasion> {
    let words = section.texts("on");
    let Some(at) = section.span_of("on") else {
        section.came_to("on", None, TOLD.map(Occasion::word).join(", "));
        return TOLD.to_vec();
    };
    let known = Occasion::ALL.map(Occasion::word);
    let mut on = Vec::new();
    for word in &words {
        match Occasion::parse(word) {
            Some(occasion) => on.push(occasion),
            None => section.bad(&at, "on", format!("there is no `{word}`"), nearest(word, &known)),
        }
    }
    if words.is_empty() {
        section.bad(&at, "on", "is empty", "name some, or leave it out");
    }
    on
}

fn read_people(section: &Section<'_>, with_http: bool) -> Vec<(String, String)> {
    let mut people: Vec<(String, String)> = Vec::new();
    let Some(at) = section.span_of("people") else { return people };
    for text in section.texts("people") {
        let parts = text.split_once('=').map(|(theirs, name)| (theirs.trim(), name.trim()));
        match parts.filter(|(theirs, name)| !theirs.is_empty() && !name.is_empty()) {
            Some((theirs, _)) if people.iter().any(|(known, _)| known == theirs) => {
                section.bad(
                    &at,
                    "people",
                    format!("`{theirs}` stands twice"),
                    "one person here for each of theirs",
                );
            }
            Some((theirs, name)) => people.push((theirs.to_owned(), name.to_owned())),
            None => {
                let hint = "write `THEIRS = NAME`, such as `U024BE7LH = grace@example.com`";
                section.bad(&at, "people", format!("`{text}` names nobody"), hint);
            }
        }
    }
    if people.len() > PEOPLE_MAX {
        section.bad(&at, "people", format!("more than {PEOPLE_MAX}"), "use several channels");
    }
    if !with_http {
        let what =
            format!("{}: answers come in over the API, and there is no listen.http", section.path("people"));
        section.warn(Some(&at), what);
    }
    people
}

/// A secret that must be there.
fn secret(
    section: &Section<'_>,
    name: &'static str,
    table: &'static str,
    folder: &Path,
) -> Option<PasswordPlace> {
    if section.is_text(name) {
        let text = section.text(name)?;
        section.came_to(name, Some(&text.span), "*** (written in the configuration)");
        let what = format!(
            "{}: a secret in the configuration is read by whoever reads the file; use {{ env = … }} or {{ file = … }}",
            section.path(name)
        );
        section.warn(Some(&text.span), what);
        return Some(PasswordPlace::Inline(Secret::new(text.value)));
    }
    section.table(name, table).and_then(|table| read_place(&table, folder))
}

/// The same, where it is missing otherwise.
fn needed(
    section: &Section<'_>,
    name: &'static str,
    table: &'static str,
    folder: &Path,
) -> Option<PasswordPlace> {
    if section.span_of(name).is_none() {
        section.missing(name);
    }
    secret(section, name, table, folder)
}

/// An address on the network. What stands behind its host may be a secret and is not shown.
fn url(section: &Section<'_>, key: &'static str, at: &At<String>) {
    match Address::parse(&at.value) {
        Ok(address) => section.came_to(key, Some(&at.span), address.origin()),
        Err(why) => {
            let hint = "write https://HOST/PATH, or http://127.0.0.1:PORT/PATH for one on this machine";
            section.bad(&at.span, key, format!("is no address: {why}"), hint);
        }
    }
}

fn read_webhook(section: &Section<'_>, folder: &Path) -> Option<Way> {
    let at = section.required_text("url");
    if let Some(at) = &at {
        url(section, "url", at);
    }
    let secret = needed(section, "secret", "channel.secret", folder);
    Some(Way::Webhook { url: at?.value, secret: secret? })
}

fn read_slack(section: &Section<'_>, folder: &Path, people: &[(String, String)]) -> Option<Way> {
    let token = needed(section, "token", "channel.token", folder);
    let signing_secret = secret(section, "signing_secret", "channel.signing_secret", folder);
    if let Some(at) = section
        .span_of("people")
        .filter(|_| !people.is_empty() && section.span_of("signing_secret").is_none())
    {
        let hint = "add `signing_secret = { file = … }`, from the app's page";
        section.bad(&at, "people", "answers of nobody count without a signing_secret", hint);
    }
    let conversation = section.required_text("conversation");
    if let Some(At { value, span }) = &conversation {
        // Names can be given to another conversation; ids cannot.
        if !value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
            section.bad(
                span,
                "conversation",
                format!("`{}` is no id", value.escape_debug()),
                "write its id, such as `C024BE91L`",
            );
        }
        section.came_to("conversation", Some(span), &**value);
    }
    let api = section.text("api");
    match &api {
        Some(at) => url(section, "api", at),
        None => section.came_to("api", None, SLACK),
    }
    let api = api.map_or_else(|| SLACK.to_owned(), |api| api.value.trim_end_matches('/').to_owned());
    Some(Way::Slack { api, token: token?, signing_secret, conversation: conversation?.value })
}

fn read_mail(section: &Section<'_>, folder: &Path) -> Option<Way> {
    let chosen = section.choice("tls");
    let tls = match chosen.as_ref().map(|tls| tls.value) {
        Some("tls") => MailTls::Wrapped,
        Some("none") => MailTls::None,
        _ => MailTls::StartTls,
    };
    let word = chosen.as_ref().map_or("starttls", |tls| tls.value);
    section.came_to("tls", chosen.as_ref().map(|tls| &tls.span), word);
    let server = section.required_text("server").and_then(|at| read_server(section, &at, tls));
    if let (Some((host, _)), Some(at)) = (&server, &chosen)
        && tls == MailTls::None
        && !is_this_machine(host)
    {
        let what = "sends what waits for approval over the network in clear text";
        section.bad(&at.span, "tls", what, "leave it out, or hand the mail to a server on this machine");
    }
    let from = section.required_text("from").filter(|at| is_mailbox(section, "from", at));
    if section.span_of("to").is_none() {
        section.missing("to");
    }
    let to = section.texts("to");
    if let Some(span) = section.span_of("to") {
        for value in &to {
            is_mailbox(section, "to", &At { value: value.clone(), span: span.clone() });
        }
        if to.is_empty() || to.len() > RECIPIENTS_MAX {
            section.bad(
                &span,
                "to",
                format!("from 1 to {RECIPIENTS_MAX} get it"),
                "use the address of a list",
            );
        }
    }
    let login = section.table("login", "channel.login").and_then(|login| {
        let user = login.required_text("user");
        let password = needed(&login, "password", "channel.login.password", folder);
        Some(CredentialSpec { user: user?.value, password: Some(password?), admin: None })
    });
    let (host, port) = server?;
    Some(Way::Mail { host, port, tls, login, from: from?.value, to })
}

fn read_server(section: &Section<'_>, at: &At<String>, tls: MailTls) -> Option<(String, u16)> {
    let default = if tls == MailTls::Wrapped { SUBMISSIONS } else { SUBMISSION };
    // A name, or IPv4: what lettre, and a certificate, call a server.
    let (host, port) = match at.value.split_once(':') {
        None => (at.value.as_str(), Some(default)),
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    let Some(port) = port.filter(|_| is_host) else {
        let what = format!("`{}` is no mail server", at.value.escape_debug());
        section.bad(&at.span, "server", what, "write its name, or `name:port`");
        return None;
    };
    section.came_to("server", Some(&at.span), format!("{host}:{port}"));
    Some((host.to_owned(), port))
}

fn is_mailbox(section: &Section<'_>, key: &'static str, at: &At<String>) -> bool {
    let fits = at.value.parse::<Mailbox>().is_ok();
    if !fits {
        let what = format!("`{}` is no mail address", at.value.escape_debug());
        section.bad(&at.span, key, what, "write `ops@example.com`, or `Ops <ops@example.com>`");
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Problem};
    use super::*;

    const BASE: &str = "[listen]\npostgres = \"127.0.0.1:6432\"\nhttp = \"127.0.0.1:8300\"\n";

    fn parsed(more: &str) -> Result<Config, Vec<Problem>> {
        Config::parse(Path::new("firsthand.toml"), &format!("{BASE}{more}"))
    }

    const FULL: &str = "[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"https://hooks.example/very/secret\"\nsecret = { env = \"S\" }\n\
        people = [\"g-1 = grace@example.com\"]\ntext = false\n\
        [[channel]]\nname = \"chat\"\nkind = \"slack\"\ntoken = { file = \"t\" }\nsigning_secret = { file = \"s\" }\nconversation = \"C1\"\n\
        people = [\"U1=grace@example.com\"]\non = [\"asked\"]\ngroups = [\"dba\"]\n\
        [[channel]]\nname = \"post\"\nkind = \"mail\"\nserver = \"mail.example.com\"\nfrom = \"Gateway <gw@example.com>\"\nto = [\"dba@example.com\"]\n\
        login = { user = \"gw\", password = { env = \"P\" } }\n";

    #[test]
    fn each_kind_has_what_it_takes_and_no_secret_is_shown() {
        let config = parsed(FULL).unwrap();
        let [hook, chat, post] = config.channels.as_slice() else { panic!("{:?}", config.channels) };
        assert!(!hook.text && hook.on == TOLD && hook.person("g-1") == Some("grace@example.com"));
        assert!(hook.person("grace@example.com").is_none(), "only as it is configured");
        assert!(chat.on == [Occasion::Asked] && chat.groups == ["dba"]);
        assert!(matches!(&post.way, Way::Mail { port: 587, tls: MailTls::StartTls, login: Some(_), .. }));
        assert!(config.resolved.iter().all(|r| !r.value.contains("very")), "{:?}", config.resolved);
        assert!(config.warnings.iter().all(|w| !w.what.contains("channel")), "{:?}", config.warnings);
    }

    #[test]
    fn what_is_wrong_with_a_channel_is_told_at_its_place() {
        for (from, to, told) in [
            ("kind = \"webhook\"", "kind = \"web\"", "is not one of"),
            ("https://hooks.example/very/secret", "http://hooks.example/x", "clear text"),
            ("https://hooks.example/very/secret", "https://a:b@hooks.example/x", "a secret in it"),
            ("secret = { env = \"S\" }\n", "", "is missing"),
            ("g-1 = grace@example.com", "grace@example.com", "names nobody"),
            ("[\"g-1 = grace@example.com\"]", "[\"g = a\", \"g = b\"]", "stands twice"),
            ("text = false", "conversation = \"C1\"", "means nothing where"),
            ("signing_secret = { file = \"s\" }\n", "", "without a signing_secret"),
            ("\"C1\"", "\"#general\"", "is no id"),
            ("[\"asked\"]", "[\"askd\"]", "there is no `askd`"),
            ("name = \"chat\"", "name = \"hook\"", "already"),
            ("name = \"chat\"", "name = \"a/b\"", "not fit"),
            ("mail.example.com", "mail.example.com:0", "no mail server"),
            ("to = [\"dba@example.com\"]", "to = [\"dba\\r\\nBcc: x@example.com\"]", "no mail address"),
            ("to = [\"dba@example.com\"]", "to = []", "get it"),
            ("from = \"Gateway <gw@example.com>\"", "from = \"gw\"", "no mail address"),
            ("login = {", "tls = \"none\"\nlogin = {", "clear text"),
        ] {
            assert!(FULL.contains(from), "{from}");
            let problems = parsed(&FULL.replacen(from, to, 1)).unwrap_err();
            assert!(problems.iter().any(|p| p.what.contains(told)), "{to}: {problems:?}");
        }
        let near = FULL.replace("mail.example.com\"", "127.0.0.1:2525\"\ntls = \"none\"");
        assert!(parsed(&near).is_ok());
    }
}
