//! `[log]`: what the record is called where it is proved to others.

use firsthand_auditlog::sign::{MAX_ORIGIN, is_origin};

use super::keys::{Form, Key};
use super::section::Section;

/// The section.
pub(super) const SECTION: (&str, &str) = (
    "log",
    "`[log]`: what the record is called where it is proved to others ([proofs.md](proofs.md)), and who must have cosigned it.",
);

/// In the section.
pub(super) const ORIGIN: Key = Key {
    section: "log",
    name: "origin",
    form: Form::Text,
    default: "`firsthand.invalid/` and the first 16 digits of the log's id",
    about: "The log's name in checkpoints and keys: an address without its scheme, as `example.com/gw1`, under a domain of yours, so that it is \
            nobody else's. It is chosen once: what was signed under another name is not gone on with.",
};

/// The name; `None`: the usual one.
pub(super) fn read(log: &Section<'_>) -> Option<String> {
    let origin = log.text("origin")?;
    if is_origin(&origin.value) {
        return Some(origin.value);
    }
    log.bad(
        &origin.span,
        "origin",
        format!("{:?} cannot be the name of a log", origin.value),
        format!(
            "write it as `example.com/gw1`: no scheme, no spaces, no plus, no slash at the end, at most {MAX_ORIGIN} characters"
        ),
    );
    None
}
