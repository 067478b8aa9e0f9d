//! Every key of a rule file, in one table: the reader takes names and forms from it, and `docs/policy.md` is tested
//! against it.

/// What may stand at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A list of texts, or one text.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of these words, or one.
    Choices(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A whole number from 0.
    Count,
    /// `1MiB`.
    Size,
    /// `30s`.
    Duration,
    /// `true`, `false`, or a list of reasons.
    Opaque,
    /// A table.
    Table(&'static str),
    /// A list of tables.
    Tables(&'static str),
}

impl Form {
    /// In words, for documents and errors.
    #[must_use]
    pub fn words(self) -> String {
        let list = |words: &[&str]| words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Text => "text".to_owned(),
            Self::Texts => "list of texts".to_owned(),
            Self::Choice(words) => list(words),
            Self::Choices(words) => format!("list of {}", list(words)),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Count => "whole number".to_owned(),
            Self::Size => "size, such as `1MiB`".to_owned(),
            Self::Duration => "duration, such as `15m`".to_owned(),
            Self::Opaque => "`true`, `false`, or a list of reasons".to_owned(),
            Self::Table(_) => "table".to_owned(),
            Self::Tables(_) => "list of tables".to_owned(),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub form: Form,
    /// What it means.
    pub about: &'static str,
}

const fn key(name: &'static str, form: Form, about: &'static str) -> Key {
    Key { name, form, about }
}

/// Words of identity kinds.
pub(crate) const KINDS: &[&str] = &["agent", "human", "service"];
/// Words of verdicts.
pub(crate) const VERDICTS: &[&str] = &["allow", "deny", "hold"];
/// Words of effects.
pub(crate) const EFFECTS: &[&str] =
    &["read", "write", "define", "grant", "execute", "session", "transaction", "lock", "system", "unknown"];
/// Words of styles.
pub(crate) const STYLES: &[&str] = &["redact", "partial", "token", "null", "generalise", "zero"];
/// Words for the use of masked columns.
pub(crate) const USES: &[&str] = &["allow", "record", "hold", "deny"];

/// Conditions, in rules, masks and limits and in their `unless`.
pub const CONDITIONS: &[Key] = &[
    key("kinds", Form::Choices(KINDS), "what acts"),
    key("identities", Form::Texts, "its name or login name; patterns"),
    key("on_behalf_of", Form::Texts, "the person it acts for; patterns"),
    key("owners", Form::Texts, "the team or person that answers for it (`token create --owner`); patterns"),
    key(
        "groups",
        Form::Texts,
        "a `[[group]]` that it is in, or `ISSUER/GROUP`: a group that an issuer says it is in",
    ),
    key("targets", Form::Texts, "the target's name; patterns"),
    key("target_labels", Form::Texts, "a label that firsthand.toml gives the target"),
    key("databases", Form::Texts, "the database; patterns"),
    key("roles", Form::Texts, "the role in force at the target; patterns"),
    key("effects", Form::Choices(EFFECTS), "what the statement does"),
    key(
        "tables",
        Form::Texts,
        "relations: `customers`, `sales.*`; as resolved, and for refusals as written too",
    ),
    key("columns", Form::Texts, "columns: `email`, `customers.email`, `public.customers.*`"),
    key("labels", Form::Texts, "labels of columns; `*`: any label"),
    key("functions", Form::Texts, "functions that it may run: `pg_read_file`, `pg_catalog.lo_*`"),
    key(
        "settings",
        Form::Texts,
        "settings that it changes: `role`, or with a value: `client_encoding=utf8`; patterns",
    ),
    key("unbounded", Form::Flag, "it can change every row of a table"),
    key(
        "rows_over",
        Form::Count,
        "more rows than this are estimated; without an estimate it holds for a refusal, and not for an `allow`",
    ),
    key("during", Form::Texts, "one of these `[[window]]`s is open"),
    key("outside", Form::Texts, "none of these `[[window]]`s is open"),
    key(
        "grants",
        Form::Texts,
        "a just-in-time grant that covers the statement is in force, for a target with one of these names; patterns (docs/grants.md)",
    ),
    key("applications", Form::Texts, "the application that it claims to be (a claim); patterns"),
    key("opaque", Form::Opaque, "not all that it does can be told: at all, or for these reasons"),
];

const RULE: &[Key] = &[
    key("name", Form::Text, "its name, in refusals and in the record"),
    key("because", Form::Text, "a sentence for who is refused"),
    key("verdict", Form::Choice(VERDICTS), "what it says"),
    key("approve", Form::Table("approve"), "of a hold: who must approve"),
    key("unless", Form::Table("unless"), "conditions under which it does not hold; all of them together"),
];

const MASK: &[Key] = &[
    key("name", Form::Text, "its name, in the record"),
    key("because", Form::Text, "why"),
    key("style", Form::Choice(STYLES), "how values are changed"),
    key("detect", Form::Flag, "look through the values of columns without a label, too"),
    key(
        "masked_in_predicate",
        Form::Choice(USES),
        "comparing, sorting, grouping or joining by a masked column; `record`",
    ),
    key("masked_copied", Form::Choice(USES), "storing a masked column's values elsewhere; `deny`"),
    key("masked_written_back", Form::Choice(USES), "writing what a mask left over into the database; `deny`"),
    key("unless", Form::Table("unless"), "conditions under which it does not hold"),
];

const SUMS: &[Key] = &[
    key("rows", Form::Count, "rows delivered"),
    key("bytes", Form::Size, "bytes of rows delivered"),
    key("cells", Form::Count, "labelled cells delivered"),
    key("affected", Form::Count, "rows affected"),
];

const LIMIT: &[Key] = &[
    key("name", Form::Text, "its name"),
    key("because", Form::Text, "a sentence for who passes it"),
    key("time", Form::Duration, "how long a statement may take"),
    key("session", Form::Table("sums"), "sums over one session"),
    key("day", Form::Table("sums"), "sums over one identity's day (UTC)"),
    key("sessions", Form::Count, "sessions of one identity at a time"),
    key("commands_per_second", Form::Count, "commands of one identity in a second"),
    key("unless", Form::Table("unless"), "conditions under which it does not hold"),
];

const CASE: &[Key] = &[
    key("name", Form::Text, "what the case shows"),
    key("kind", Form::Choice(KINDS), "who asks; `agent`"),
    key("as", Form::Text, "under which name"),
    key("on_behalf_of", Form::Text, "for which person"),
    key("owner", Form::Text, "who answers for it"),
    key("groups", Form::Texts, "groups that an issuer says it is in, `ISSUER/GROUP`"),
    key("target", Form::Text, "where; `any`"),
    key("target_labels", Form::Texts, "labels of that target"),
    key("application", Form::Text, "the claimed application"),
    key("at", Form::Text, "when, as RFC 3339"),
    key("sql", Form::Text, "the statement, for `policy test --target`; without it, the facts stand here"),
    key("effects", Form::Choices(EFFECTS), "what it does"),
    key("reads", Form::Texts, "relations it reads"),
    key("writes", Form::Texts, "relations it writes"),
    key("shows", Form::Texts, "columns it shows"),
    key("tests", Form::Texts, "columns it compares"),
    key("copies", Form::Texts, "columns it stores elsewhere"),
    key("functions", Form::Texts, "functions it runs"),
    key("settings", Form::Texts, "settings it changes"),
    key("unbounded", Form::Flag, "it can change every row"),
    key("opaque", Form::Text, "why not all of it can be told"),
    key("estimated_rows", Form::Count, "rows estimated"),
    key("verdict", Form::Choice(VERDICTS), "what must be decided"),
    key("rule", Form::Text, "by which rule"),
    key("advice", Form::Text, "words that stand in what is advised to who is refused"),
    key("masks", Form::Texts, "what must be masked: `email=partial`, in the order of `shows`"),
    key(
        "limits",
        Form::Texts,
        "what must be limited, and by which limit: `rows=1000 agents`, `day.rows=5000 agents`, `time=300000ms agents`; in the order \
         of the keys of `[[limit]]`: sums, session, day, then the rest",
    ),
];

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct SectionKeys {
    /// Its name.
    pub name: &'static str,
    /// Its own keys.
    pub keys: &'static [Key],
    /// Whether conditions stand in it, too.
    pub conditions: bool,
}

/// All sections.
pub const SECTIONS: &[SectionKeys] = &[
    SectionKeys {
        name: "",
        keys: &[
            key("rule", Form::Tables("rule"), "rules"),
            key("mask", Form::Tables("mask"), "masks"),
            key("limit", Form::Tables("limit"), "limits"),
            key("label", Form::Tables("label"), "labels of columns"),
            key("group", Form::Tables("group"), "groups of identities"),
            key("window", Form::Tables("window"), "windows of time"),
            key("test", Form::Tables("test"), "cases that `firsthand policy test` tries"),
            key("defaults", Form::Table("defaults"), "what is decided where no rule speaks"),
        ],
        conditions: false,
    },
    SectionKeys { name: "rule", keys: RULE, conditions: true },
    SectionKeys { name: "unless", keys: &[], conditions: true },
    SectionKeys {
        name: "approve",
        keys: &[
            key("group", Form::Text, "members of this `[[group]]` may approve"),
            key("quorum", Form::Count, "so many different people; 1"),
            key("ttl", Form::Duration, "until the question lapses; `15m`"),
            key("spend", Form::Duration, "until it must have been sent again, once it is approved; `15m`"),
            key(
                "wait",
                Form::Duration,
                "how long the command itself waits for the answer, at most `10m`; `20s`, for people `45s`",
            ),
            key("own", Form::Flag, "who acts, or is acted for, may approve it, too; `false`"),
            key(
                "break_glass",
                Form::Texts,
                "people of one of these `[[group]]`s may let it run once by themselves, with a reason (docs/approvals.md); nobody",
            ),
            key(
                "signed",
                Form::Flag,
                "only an answer counts that is signed with a key of the person's, an `[[approver_key]]` of firsthand.toml (docs/approvals.md); `false`",
            ),
            key("once", Form::Flag, "one approval, one command; always `true`"),
        ],
        conditions: false,
    },
    SectionKeys { name: "mask", keys: MASK, conditions: true },
    SectionKeys { name: "limit", keys: LIMIT, conditions: true },
    SectionKeys { name: "sums", keys: SUMS, conditions: false },
    SectionKeys {
        name: "label",
        keys: &[
            key("label", Form::Text, "what the values are: `email`"),
            key("columns", Form::Texts, "which columns have it"),
            key("except", Form::Texts, "which do not, of those"),
            key("targets", Form::Texts, "on which targets; without it, on all"),
        ],
        conditions: false,
    },
    SectionKeys {
        name: "group",
        keys: &[
            key("name", Form::Text, "its name"),
            key(
                "members",
                Form::Texts,
                "names of people, agents and services; patterns, in which `*` does not stand for a `/` (alone it is everybody)",
            ),
        ],
        conditions: false,
    },
    SectionKeys {
        name: "window",
        keys: &[
            key("name", Form::Text, "its name"),
            key("days", Form::Texts, "days of the week: `mon`"),
            key("hours", Form::Text, "`09:00-17:30`, `22:00-06:00`"),
            key("zone", Form::Text, "time zone, such as `Europe/Berlin`; `UTC`"),
            key("from", Form::Text, "not before this day or moment"),
            key("until", Form::Text, "not from this day or moment on"),
        ],
        conditions: false,
    },
    SectionKeys { name: "test", keys: CASE, conditions: false },
    SectionKeys {
        name: "defaults",
        keys: &[
            key("agent", Form::Choice(&["allow", "deny"]), "for agents; `deny`"),
            key("human", Form::Choice(&["allow", "deny"]), "for people; `allow`"),
            key("service", Form::Choice(&["allow", "deny"]), "for services; `allow`"),
        ],
        conditions: false,
    },
];

/// The keys of a section. Limits of one statement stand in `[[limit]]` itself.
pub fn of_section(name: &str) -> Vec<&'static Key> {
    let Some(section) = SECTIONS.iter().find(|s| s.name == name) else { return Vec::new() };
    let sums: &[Key] = if name == "limit" { SUMS } else { &[] };
    let conditions: &[Key] = if section.conditions { CONDITIONS } else { &[] };
    section.keys.iter().chain(sums).chain(conditions).collect()
}
