//! Every exception to a rule, with its reason. An entry that no longer applies is itself a breach: the lists only
//! shrink unless someone writes down why.

/// Which crates of the workspace a crate may use (ARCHITECTURE.md has the reasons). `tests` and `xtask` stand outside the layers.
pub(super) const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &[]),
    ("session", &["model"]),
    ("auditlog", &["model"]),
    ("sql", &["model"]),
    ("protocols", &["session", "wire", "sql", "model"]),
    ("adapters", &["session", "auditlog", "model"]),
    ("policy", &["session", "model"]),
    ("console", &["session", "auditlog", "model"]),
    ("tunnel", &["session", "wire", "model"]),
    (
        "gateway",
        &[
            "model",
            "wire",
            "session",
            "auditlog",
            "sql",
            "protocols",
            "adapters",
            "policy",
            "console",
            "tunnel",
        ],
    ),
];

/// Crates that do no network IO: a runtime or an HTTP stack among their dependencies would be a leak upward.
/// (`session` knows tokio's traits of a stream, nothing else of it: see the bans.)
pub(super) const WITHOUT_RUNTIME: &[&str] = &["model", "wire", "auditlog", "sql"];
/// What such a crate may not depend on.
pub(super) const RUNTIMES: &[&str] =
    &["tokio", "hyper", "axum", "tokio-rustls", "async-std", "smol", "reqwest"];

/// `(path, function, reason)`: functions that may be longer than the limit.
pub(super) const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// `(path, reason)`: files that may be longer than the limit.
pub(super) const LONG_FILES: &[(&str, &str)] = &[];

/// Names of protocols, as words of identifiers and strings.
pub(super) const PROTOCOL_NAMES: &[&str] =
    &["postgres", "postgresql", "mysql", "mariadb", "redis", "mongo", "mongodb", "kubernetes", "ssh", "mcp"];

/// `(path or folder with a slash at its end, reason)`: where a protocol may be named.
pub(super) const PROTOCOL_PLACES: &[(&str, &str)] = &[
    ("crates/wire/src/postgres/", "the codec of this protocol"),
    ("crates/wire/src/lib.rs", "declares the codec's folder"),
    ("crates/protocols/src/postgres/", "the dialect of this protocol"),
    ("crates/protocols/examples/masked_rows.rs", "measures the masking of this protocol's rows"),
    ("crates/sql/src/resolve/builtin.rs", "an extension of the database has this name in its own"),
    ("crates/protocols/src/lib.rs", "declares the dialect's folder"),
    ("crates/protocols/src/registry.rs", "the only list of protocols"),
    ("crates/gateway/src/demo/", "the demo's story happens on a real PostgreSQL"),
    ("crates/gateway/src/demo.rs", "the demo's story happens on a real PostgreSQL"),
    (
        "crates/gateway/src/analyst.rs",
        "explains statements against the catalog of the one protocol that has one",
    ),
    ("crates/session/src/fake.rs", "a test double of a target"),
    ("crates/adapters/src/state/", "the database in which gateways share their state is of one kind"),
    ("crates/gateway/src/config/state.rs", "the key that names that database"),
    ("crates/sql/src/secrets/shell.rs", "programs that take passwords have a protocol's name in their own"),
    ("crates/policy/src/detect/", "keys and addresses that detection finds begin with a protocol's name"),
    (
        "crates/adapters/src/approvals/signing/",
        "people sign with keys of this kind; no target is reached by it",
    ),
    ("crates/gateway/src/cli/sign.rs", "the program that signs has a protocol's name in its own"),
    ("crates/gateway/src/config/approver_key.rs", "the keys with which people sign"),
    ("crates/auditlog/src/entry/kinds/parts.rs", "names the program that checks what people have signed"),
    ("xtask/", "the benchmark drives a real server; these lists name the protocols"),
    ("tests/", "end-to-end tests use real servers and drivers"),
    ("fuzz/", "one fuzz target per decoder"),
    ("examples/", "an example is of a protocol"),
];

/// `(path or folder, pattern, reason)`: places where a banned call stands all the same.
pub(super) const ALLOWED_CALLS: &[(&str, &str, &str)] = &[(
    "crates/protocols/src/postgres/dialect.rs",
    "admission.forward",
    "one place for what runs nothing: bookkeeping messages, the text that fails for a refused one, and a stream that \
         the target's configuration leaves unobserved (and the record says so)",
)];

/// Names of modules that say nothing about what is in them.
pub(super) const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "misc", "lib_utils"];
