//! Every key of `firsthand.toml`, in one table: the reader takes names and forms from it, and `firsthand docs config`
//! prints it.

use firsthand_protocols::registry::STREAM_PROTOCOLS;

/// What may stand at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The name of a protocol.
    Protocol,
    /// A path; relative ones start at the configuration's folder.
    Path,
    /// `address:port` to listen on.
    Listen,
    /// `true` or `false`.
    Flag,
    /// A whole number from 1.
    Count,
    /// `1MiB`.
    Size,
    /// `30s`.
    Duration,
    /// A list of texts.
    Texts,
    /// A table.
    Table(&'static str),
    /// A list of tables (`[[target]]`).
    Tables(&'static str),
    /// A text, or a table.
    TextOrTable(&'static str),
}

impl Form {
    /// In words, for the reference and for errors.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
            Self::Protocol => protocol_names().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
            Self::Path => "path".to_owned(),
            Self::Listen => "`address:port`".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Count => "whole number from 1".to_owned(),
            Self::Size => "size, such as `1MiB`".to_owned(),
            Self::Duration => "duration, such as `30s`".to_owned(),
            Self::Texts => "list of texts".to_owned(),
            Self::Table(_) => "table".to_owned(),
            Self::Tables(_) => "list of tables".to_owned(),
            Self::TextOrTable(_) => "table, or text".to_owned(),
        }
    }
}

/// Names of the protocols that can be listened for and reached.
pub(crate) fn protocol_names() -> impl Iterator<Item = &'static str> {
    STREAM_PROTOCOLS.iter().map(|p| p.name)
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// The table it stands in; empty: the top.
    pub(crate) section: &'static str,
    /// Its name; `PROTOCOL` stands for each protocol's name.
    pub(crate) name: &'static str,
    /// What may stand there.
    pub(crate) form: Form,
    /// What holds without it, in words; empty: it is required.
    pub(crate) default: &'static str,
    /// What it means.
    pub(crate) about: &'static str,
}

/// The name in the table that stands for every protocol's name.
pub(crate) const PROTOCOL: &str = "PROTOCOL";

pub(super) const fn key(
    section: &'static str,
    name: &'static str,
    form: Form,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { section, name, form, default, about }
}

/// Sections in the order of the reference, with what they are.
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("", "Top of the file."),
    ("listen", "`[listen]`: where clients come in."),
    ("listen.tls", "`tls` of `[listen]`: the gateway's own certificate."),
    ("limits", "`[limits]`: passing one is a refusal in the protocol, and an entry of the record."),
    ("target", "`[[target]]`: a server behind the gateway; one table each."),
    ("target.credential", "`credential` of a target: what the gateway presents there. Clients never see it."),
    (
        "target.credential.admin",
        "`admin` of a credential: who makes the login roles that grants have of their own (`provision = \"role\"`).",
    ),
    ("target.credential.password", "`password` of a credential: where it is found. Exactly one of the keys."),
    (
        "target.grants",
        "`grants` of a target: identities may ask for access for a time, and people of a group give it ([grants.md](grants.md)).",
    ),
    ("target.record", "`record` of a target: how much of results is kept, and how durably."),
    (
        "issuer",
        "`[[issuer]]`: whoever signs tokens (JWT) that count here besides Firsthand's own (see identity.md); one table each.",
    ),
    (
        "issuer.allow",
        "`[[issuer.allow]]`: what its tokens open. A token gets all that the rules give which fit it; where none fits, it is refused.",
    ),
    super::sign_in::SECTION,
    super::exchange::SECTION,
    super::client_ca::SECTIONS[0],
    super::client_ca::SECTIONS[1],
    super::log::SECTION,
    super::witness::SECTION,
    super::state::SECTIONS[0],
    super::state::SECTIONS[1],
    super::channel::SECTIONS[0],
    super::channel::SECTIONS[1],
    super::channel::SECTIONS[2],
    super::channel::SECTIONS[3],
    super::channel::SECTIONS[4],
    super::channel::SECTIONS[5],
    super::approver_key::SECTION,
    ("policy", "`[policy]`: the rules (see policy.md). Without it, a token allows what its targets allow."),
];

/// All keys.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
        .chain(super::client_ca::KEYS)
        .chain(super::channel::KEYS)
        .chain(super::approver_key::KEYS)
        .chain(super::witness::KEYS)
}

/// Those that have no file of their own.
const KEYS: &[Key] = &[
    key(
        "",
        "data_dir",
        Form::Path,
        "`data`",
        "The data folder: log, keys, tokens, kept catalogs. One gateway at a time uses it.",
    ),
    key("", "listen", Form::Table("listen"), "", "Where clients come in."),
    key("", "limits", Form::Table("limits"), "see there", "Limits of the gateway."),
    key("", "target", Form::Tables("target"), "none", "The servers behind the gateway."),
    key("", "issuer", Form::Tables("issuer"), "none", "Whose tokens count besides Firsthand's own."),
    super::exchange::TABLES,
    super::exchange::AGENTS,
    super::exchange::PEOPLE,
    super::exchange::GROUPS,
    key("", "policy", Form::Table("policy"), "no rules", "The rules that decide commands."),
    key("", "state", Form::Table("state"), "in the data folder", "Where approvals are kept."),
    key(
        "",
        "log",
        Form::Table("log"),
        "see there",
        "What the record is called, and how many witnesses it needs.",
    ),
    super::log::ORIGIN,
    super::state::SHARED,
    super::state::ENV,
    super::state::FILE,
    key(
        "listen",
        PROTOCOL,
        Form::Listen,
        "not served",
        "Where clients of this protocol connect. Off loopback it needs `tls`.",
    ),
    key(
        "listen",
        "http",
        Form::Listen,
        "not served",
        "Where `/healthz`, `/readyz` and `/metrics` are served, without authentication, and the API (api.md) to tokens with a role: over TLS where there is `tls`, which the same port takes as well; in clear text on loopback only.",
    ),
    key(
        "listen",
        "tls",
        Form::Table("listen.tls"),
        "none: clear text, on loopback only",
        "The gateway's certificate.",
    ),
    key(
        "listen",
        "proof",
        Form::Choice(&["scram", "clear-text"]),
        "`scram`",
        "How clients prove a token: by SCRAM, or by sending it. `clear-text` is asked for over TLS only.",
    ),
    key("listen.tls", "cert", Form::Path, "", "Certificate chain, PEM, own certificate first."),
    key("listen.tls", "key", Form::Path, "", "Its private key, PEM."),
    key("limits", "sessions", Form::Count, "`10000`", "Sessions at a time."),
    key(
        "limits",
        "handshakes",
        Form::Count,
        "`512`",
        "Connections that have not been let in yet; when there are more, the oldest is dropped.",
    ),
    key(
        "limits",
        "large_messages",
        Form::Size,
        "`512MiB`",
        "Bytes of client messages over 64 KiB held at a time, over all sessions: a statement must be whole before it is \
         decided. While it is, it may take three times as much memory.",
    ),
    key("limits", "startup", Form::Duration, "`15s`", "From accepting a connection to its running session."),
    key(
        "limits",
        "idle",
        Form::Duration,
        "none",
        "A session in which nothing is asked for this long is ended. It is looked at every 5 s, so it may take 5 s more.",
    ),
    key(
        "limits",
        "stall",
        Form::Duration,
        "`1h`",
        "A client that takes nothing of its waiting reply for this long is dropped. It is looked at every 5 s, too.",
    ),
    key(
        "limits",
        "drain",
        Form::Duration,
        "`30s`",
        "What running commands get to finish when the gateway stops.",
    ),
    key("target", "name", Form::Text, "", "What clients give as the database, and tokens name."),
    key("target", "protocol", Form::Protocol, "", "What the server speaks."),
    key("target", "address", Form::Text, "", "`host:port`, or the path of a Unix socket."),
    key("target", "database", Form::Text, "the target's name", "The database opened there."),
    key(
        "target",
        "databases",
        Form::Texts,
        "none",
        "Further databases, which clients name as `TARGET/DATABASE`.",
    ),
    key(
        "target",
        "tls",
        Form::Choice(&["disable", "prefer", "require", "verify-ca", "verify-full"]),
        "`verify-full`; on loopback and Unix sockets `disable`",
        "TLS toward the server, in the words of libpq's `sslmode`.",
    ),
    key("target", "tls_ca", Form::Path, "the system's authorities", "Authorities to trust for it, PEM."),
    key("target", "tls_cert", Form::Path, "none", "Client certificate chain to present, PEM."),
    key("target", "tls_key", Form::Path, "none", "Its private key, PEM."),
    key(
        "target",
        "mode",
        Form::Choice(&["enforce", "observe"]),
        "`enforce`",
        "`observe` decides and records, and refuses nothing; every entry says so.",
    ),
    key("target", "credential", Form::Table("target.credential"), "", "What the gateway presents."),
    key("target", "record", Form::Table("target.record"), "see there", "What is kept of results."),
    key(
        "target",
        "changed_rows",
        Form::Choice(&["off", "keys", "values", "wal"]),
        "`keys` with `[policy]`, else `off`",
        "Which rows a write touched: `keys` keeps their keys, `values` also their values. The gateway adds RETURNING to the \
         statement and takes its rows out of the answer, and counts what triggers and cascades change along, which is not unseen \
         everywhere: see above. `wal` reads them, and all that triggers, cascades and functions changed, from a logical slot at the \
         target.",
    ),
    key(
        "target",
        "allow_unobserved",
        Form::Flag,
        "`false`",
        "Let replication connections through, recorded as unobserved.",
    ),
    key(
        "target",
        "pin_read_only",
        Form::Flag,
        "`true`",
        "Where the rules can never let an identity change anything here, its sessions have `default_transaction_read_only` on \
         from the start. `false` for a pooler that takes no such startup parameter.",
    ),
    key(
        "target",
        "name_sessions",
        Form::Flag,
        "`true`",
        "A session whose client does not set `application_name` gets `firsthand SESSION` there, the id that the record has, so that \
         `%a` of the target's `log_line_prefix` leads to the record. `false`: it is left empty, as without the gateway.",
    ),
    key("target", "labels", Form::Texts, "none", "Labels that rules may name, such as `prod`."),
    key("target", "timeout", Form::Duration, "`10s`", "How long the server's greeting may take."),
    key(
        "target",
        "access",
        Form::Choice(&["open", "grant"]),
        "`open`",
        "`grant`: nothing runs here but under a grant that covers it, whatever the rules allow; asking for one does. `open`: the rules \
         alone decide, and may name grants.",
    ),
    key("target", "grants", Form::Table("target.grants"), "none can be asked for", "Access for a time."),
    key(
        "target.grants",
        "approvers",
        Form::Text,
        "",
        "People of this `[[group]]` of the rules may approve it.",
    ),
    key("target.grants", "quorum", Form::Count, "`1`", "So many different people of it must."),
    key(
        "target.grants",
        "own",
        Form::Flag,
        "`false`",
        "Whoever is in the identity chain that asks may approve it, too.",
    ),
    key(
        "target.grants",
        "longest",
        Form::Duration,
        "`8h`",
        "The longest time that can be asked for, at most `7d`.",
    ),
    key(
        "target.grants",
        "answer",
        Form::Duration,
        "`1h`",
        "How long it can be approved once it is asked for, at most `7d`.",
    ),
    key(
        "target.grants",
        "effects",
        Form::Texts,
        "`read`, `write`",
        "What can be asked for: `read`, `write`, `define`, `grant`, `execute`, `lock`, `system`, `unknown`.",
    ),
    key("target.credential", "user", Form::Text, "", "The role to log in as."),
    key(
        "target.credential",
        "password",
        Form::TextOrTable("target.credential.password"),
        "none",
        "Where its password is. Written here as text it works, and is warned about.",
    ),
    key(
        "target.credential",
        "provision",
        Form::Choice(&["role"]),
        "none: all sessions log in as `user`",
        "`role`: each grant has a login role of its own there ([grants.md](grants.md)). Sessions without a grant, and what the gateway \
         itself asks, log in as `user`.",
    ),
    key(
        "target.credential",
        "admin",
        Form::Table("target.credential.admin"),
        "required with `provision`",
        "Who makes those roles.",
    ),
    key(
        "target.credential",
        "group",
        Form::Text,
        "required with `provision`",
        "The role that each of them is a member of: it may do what that may, and nothing else.",
    ),
    key(
        "target.credential",
        "prefix",
        Form::Text,
        "`fh_grant_`",
        "How their names begin; the grant's id and some letters of the gateway's log follow.",
    ),
    key(
        "target.credential",
        "connections",
        Form::Count,
        "`10`",
        "Connections that each of them may have at a time: its sessions, and what the gateway asks with its rights (estimates, previews).",
    ),
    key(
        "target.credential.admin",
        "user",
        Form::Text,
        "",
        "A role with CREATEROLE; from PostgreSQL 16 on, with ADMIN OPTION on the group. No session logs in as it.",
    ),
    key(
        "target.credential.admin",
        "password",
        Form::TextOrTable("target.credential.password"),
        "none",
        "Where its password is. Written here as text it works, and is warned about.",
    ),
    key("target.credential.password", "env", Form::Text, "none", "This environment variable."),
    key(
        "target.credential.password",
        "file",
        Form::Path,
        "none",
        "This file; one line end at its end does not count.",
    ),
    key(
        "target.record",
        "rows",
        Form::Count,
        "`1000`",
        "Rows kept of one result; all are counted and digested.",
    ),
    key(
        "target.record",
        "bytes",
        Form::Size,
        "`1MiB`",
        "Bytes of rows kept of one result, at most `64MiB`; of one row at most `1280KiB`.",
    ),
    key(
        "target.record",
        "durability",
        Form::Choice(&["strict", "relaxed"]),
        "`strict`",
        "`relaxed`: nothing waits for the disk (fdatasync follows within 5 ms); every entry says so.",
    ),
    key(
        "issuer",
        "name",
        Form::Text,
        "",
        "What it is called here. Clients may log in with it as the user name.",
    ),
    key(
        "issuer",
        "url",
        Form::Text,
        "",
        "What its tokens say in `iss`, to the letter; or `spiffe://TRUST-DOMAIN` for tokens without `iss` whose `sub` is below it.",
    ),
    key(
        "issuer",
        "jwks_url",
        Form::Text,
        "found by discovery, below `url`",
        "Where its keys are. Over https, or from this machine.",
    ),
    key("issuer", "jwks_file", Form::Path, "none", "The same in a file; read at the start and at SIGHUP."),
    key(
        "issuer",
        "ca",
        Form::Path,
        "the system's authorities",
        "Authorities to trust where its keys are fetched, PEM.",
    ),
    key(
        "issuer",
        "audience",
        Form::Texts,
        "required without `client_id`",
        "What tokens for this gateway say in `aud`: one of these. A token for somebody else is refused.",
    ),
    key(
        "issuer",
        "algorithms",
        Form::Texts,
        "all four",
        "How its tokens may be signed: `RS256`, `PS256`, `ES256`, `EdDSA`. There are no others.",
    ),
    key("issuer", "skew", Form::Duration, "`60s`", "How far its clock and ours may be apart; at most `5m`."),
    key(
        "issuer",
        "max_age",
        Form::Duration,
        "`1d`",
        "A token is good for so long after it was made (`iat`), whatever it says itself.",
    ),
    key("issuer", "max_bytes", Form::Size, "`16KiB`", "A larger token is not looked at; at most `60KiB`."),
    key(
        "issuer",
        "name_claim",
        Form::Text,
        "`sub`",
        "The claim that is the name. `email` counts only with `email_verified`.",
    ),
    key(
        "issuer",
        "prefix",
        Form::Text,
        "`NAME/`",
        "Stands before each of its names, also of who acts for somebody (`act`).",
    ),
    key(
        "issuer",
        "kind",
        Form::Choice(&["human", "agent", "service"]),
        "required without `kind_claim`",
        "Whom its tokens name.",
    ),
    key("issuer", "kind_claim", Form::Text, "none", "The claim that says it instead, in these words."),
    key(
        "issuer",
        "groups_claim",
        Form::Text,
        "none",
        "The claim with groups, for rules: each is `NAME/GROUP` there.",
    ),
    key(
        "issuer",
        "login",
        Form::Choice(&["any", "name"]),
        "`any`",
        "`name`: the user name must be the name that the token comes to. What a client says there grants nothing either way.",
    ),
    super::sign_in::CLIENT_ID,
    super::sign_in::CLIENT_SECRET,
    super::sign_in::SCOPES_KEY,
    super::sign_in::REDIRECT,
    super::sign_in::TOKEN_LIFE,
    super::sign_in::ENV,
    super::sign_in::FILE,
    key("issuer", "allow", Form::Tables("issuer.allow"), "", "What its tokens open."),
    key(
        "issuer.allow",
        "when",
        Form::Texts,
        "all tokens of the issuer",
        "`claim = pattern` each, and all must hold; `*` stands for any number of characters. Of a list, one item must fit. `/a/b` is `b` within `a`.",
    ),
    key("issuer.allow", "targets", Form::Texts, "none", "Targets that these tokens may reach."),
    key(
        "issuer.allow",
        "roles",
        Form::Texts,
        "none",
        "What they let their holder do at the gateway itself: `admin`, `auditor`, `approver`, `user` (api.md).",
    ),
    key("policy", "dir", Form::Path, "none", "A folder of rule files: `*.toml` and `*.cedar`."),
    key(
        "policy",
        "shipped",
        Form::Flag,
        "`true` without `dir`",
        "The rules that Firsthand ships for agents (`policy/agents.toml`), beside those of `dir`.",
    ),
    key(
        "policy",
        "originals",
        Form::Text,
        "nobody",
        "A group of the rules: its members see, of a command that they may approve, what masks hide of it (approvals.md).",
    ),
];

/// The keys of a section by name.
pub(crate) fn of_section(section: &str) -> Vec<(&'static str, &'static Key)> {
    let mut keys = Vec::new();
    for key in all().filter(|k| k.section == section) {
        if key.name == PROTOCOL {
            keys.extend(protocol_names().map(|name| (name, key)));
        } else {
            keys.push((key.name, key));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_keys_and_every_table_is_a_section() {
        for (section, _) in SECTIONS {
            assert!(!of_section(section).is_empty(), "{section}");
        }
        for key in all() {
            assert!(SECTIONS.iter().any(|(s, _)| *s == key.section), "{}", key.section);
            if let Form::Table(s) | Form::Tables(s) | Form::TextOrTable(s) = key.form {
                assert!(SECTIONS.iter().any(|(name, _)| *name == s), "{s}");
            }
        }
    }
}
