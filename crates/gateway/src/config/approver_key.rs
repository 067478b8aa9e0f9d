//! `[[approver_key]]`: with which keys people sign what they approve.

use firsthand_adapters::approvals::signing::Signers;
use firsthand_adapters::approvals::signing::sshsig::PublicKey;

use super::keys::{Form, Key, key};
use super::section::{At, Section};

/// The section.
pub(super) const SECTION: (&str, &str) = (
    "approver_key",
    "`[[approver_key]]`: with which SSH keys a person signs what they approve ([approvals.md](approvals.md)); one table for each person. \
     Gateways that share a state need the same.",
);

/// Its keys.
pub(super) const KEYS: &[Key] = &[
    key(
        "",
        "approver_key",
        Form::Tables("approver_key"),
        "none",
        "With which keys people sign what they approve.",
    ),
    key(
        "approver_key",
        "person",
        Form::Text,
        "",
        "Their name, exactly as it counts in groups of the rules: `grace@example.com`, `local:grace`, `ISSUER/NAME`.",
    ),
    key(
        "approver_key",
        "keys",
        Form::Texts,
        "",
        "Public keys, each as the line of its `.pub` file: `ssh-ed25519 AAAA… grace@laptop`.",
    ),
];

/// Reads all of them.
pub(super) fn read(top: &Section<'_>) -> Signers {
    let mut all: Vec<(String, PublicKey)> = Vec::new();
    for section in top.tables("approver_key", "approver_key") {
        let person = section.required_text("person");
        if let Some(At { span, .. }) = person.as_ref().filter(|person| person.value.trim().is_empty()) {
            section.bad(span, "person", "names nobody", "write the name that counts in groups of the rules");
        }
        let Some(at) = section.span_of("keys") else {
            section.missing("keys");
            continue;
        };
        let lines = section.texts("keys");
        if lines.is_empty() {
            section.bad(&at, "keys", "is empty", "add the line of a `.pub` file, or leave the table out");
        }
        for line in lines {
            match (PublicKey::read(&line), &person) {
                (Err(e), _) => section.bad(
                    &at,
                    "keys",
                    e.to_string(),
                    "write the line of a `.pub` file, without options",
                ),
                // One key is one person: otherwise one hand signs for two.
                (Ok(key), Some(person))
                    if all.iter().any(|(name, known)| *known == key && *name != person.value) =>
                {
                    section.bad(
                        &at,
                        "keys",
                        format!("{} is another person's, too", key.fingerprint()),
                        "give each person a key of their own",
                    );
                }
                (Ok(key), Some(person)) => all.push((person.value.clone(), key)),
                (Ok(_), None) => {}
            }
        }
    }
    Signers::new(all)
}
