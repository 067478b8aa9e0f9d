//! `[state]`: where approvals are kept: a file of the data folder, or a PostgreSQL that gateways share.

use std::path::Path;

use firsthand_adapters::credentials::PasswordPlace;

use super::keys::{Form, Key};
use super::read::read_place;
use super::section::Section;
use firsthand_session::secret::Secret;

/// The section and its table.
pub(super) const SECTIONS: [(&str, &str); 2] = [
    ("state", "`[state]`: where approvals are kept. Without it, in `state.db` of the data folder."),
    (
        "state.postgres",
        "`postgres` of `[state]`: where its connection string is found. Exactly one of the keys.",
    ),
];

/// What is said where that string is none.
pub(crate) const NO_URL: &str =
    "[state] postgres: what stands there is no connection string that is understood";

/// How that database is named where it is tried.
pub(crate) const NAME: &str = "postgres";

/// In the section.
pub(super) const SHARED: Key = Key {
    section: "state",
    name: NAME,
    form: Form::TextOrTable("state.postgres"),
    default: "none",
    about: "The connection string of a PostgreSQL, as a URL (`postgresql://user@host:5432/db`), in whose tables `approvals` and `votes` it is then: several gateways can share it, \
            and what is approved at one frees what is held at another. Written here as text it works, and is warned about.",
};
/// In the table.
pub(super) const ENV: Key = Key {
    section: "state.postgres",
    name: "env",
    form: Form::Text,
    default: "none",
    about: "This environment variable.",
};
/// In the table.
pub(super) const FILE: Key = Key {
    section: "state.postgres",
    name: "file",
    form: Form::Path,
    default: "none",
    about: "This file; one line end at its end does not count.",
};

/// Where the connection string is; `None`: the state is in the data folder.
pub(super) fn read(top: &Section<'_>, folder: &Path) -> Option<PasswordPlace> {
    let state = top.table("state", "state")?;
    if !state.is_text("postgres") {
        return read_place(&state.table("postgres", "state.postgres")?, folder);
    }
    let text = state.text("postgres")?;
    state.warn(
        Some(&text.span),
        "a connection string may hold a password: use `{ env = … }` or `{ file = … }`",
    );
    Some(PasswordPlace::Inline(Secret::new(text.value)))
}
