//! `provision` of a credential: each grant has a login role of its own at the target, and somebody makes those.

use std::path::Path;

use firsthand_adapters::credentials::CredentialSpec;
use firsthand_model::grant::GrantRoles;
use firsthand_model::target::ChangedRows;

use super::read::read_login;
use super::section::Section;

/// How names of roles begin, where nothing is said.
const PREFIX: &str = "fh_grant_";
/// The longest beginning: what comes behind it fits into the 63 bytes of a name.
const PREFIX_BYTES_MAX: usize = 40;
/// The longest name of a role.
const NAME_BYTES_MAX: usize = 63;
/// Connections of a role at a time, where nothing is said: a pool, and what the gateway asks itself.
const CONNECTIONS: u64 = 10;
/// The most that can be said: more than servers have.
const CONNECTIONS_MAX: u64 = 10_000;

/// Who makes the roles, and which. `base`: what sessions without a grant log in with.
pub(super) fn read(
    credential: &Section<'_>,
    folder: &Path,
    base: Option<&CredentialSpec>,
) -> Option<(CredentialSpec, GrantRoles)> {
    let Some(provision) = credential.choice("provision") else {
        for key in ["admin", "group", "prefix", "connections"] {
            if let Some(span) = credential.span_of(key) {
                let hint = "add provision = \"role\", or leave it out";
                credential.bad(&span, key, "means nothing without `provision`", hint);
            }
        }
        return None;
    };
    credential.came_to("provision", Some(&provision.span), provision.value);
    let group = group(credential);
    let prefix = prefix(credential);
    let connections = credential.count("connections", CONNECTIONS, CONNECTIONS_MAX);
    if credential.span_of("admin").is_none() {
        credential.missing("admin");
    }
    let admin = credential.table("admin", "target.credential.admin");
    let spec = admin.as_ref().and_then(|admin| read_login(admin, folder));
    if let (Some(admin), Some(spec), Some(base)) = (&admin, &spec, base)
        && spec.user == base.user
        && let Some(span) = admin.span_of("user")
    {
        let hint = "make a role with CREATEROLE that nobody else logs in as";
        admin.bad(
            &span,
            "user",
            "is what sessions without a grant log in as, so they could make roles",
            hint,
        );
    }
    let connections = u32::try_from(connections).unwrap_or(u32::MAX);
    Some((spec?, GrantRoles { group: group?, prefix: prefix?, connections }))
}

fn group(credential: &Section<'_>) -> Option<String> {
    let group = credential.required_text("group")?;
    if group.value.len() > NAME_BYTES_MAX || group.value.chars().any(char::is_control) {
        credential.bad(&group.span, "group", "is no name of a role", "name a role of at most 63 bytes");
        return None;
    }
    credential.came_to("group", Some(&group.span), &*group.value);
    Some(group.value)
}

fn prefix(credential: &Section<'_>) -> Option<String> {
    let Some(prefix) = credential.text("prefix") else {
        if credential.span_of("prefix").is_none() {
            credential.came_to("prefix", None, PREFIX);
            return Some(PREFIX.to_owned());
        }
        return None;
    };
    let fits = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
    let begins = prefix.value.starts_with(|c: char| c == '_' || c.is_ascii_lowercase());
    if !begins
        || !prefix.value.chars().all(fits)
        || prefix.value.len() > PREFIX_BYTES_MAX
        || prefix.value.starts_with("pg_")
    {
        let hint = "write at most 40 of a-z, 0-9 and _, not a digit first, and not `pg_`";
        credential.bad(&prefix.span, "prefix", "is no beginning of a role's name", hint);
        return None;
    }
    credential.came_to("prefix", Some(&prefix.span), &*prefix.value);
    Some(prefix.value)
}

/// What else of a target roles of grants do not go with.
pub(super) fn fits(target: &Section<'_>, offers: bool, changed: ChangedRows) {
    if !offers && let Some(span) = target.span_of("credential") {
        let hint = "add grants = { approvers = \"GROUP\" }, or leave `provision` out";
        target.bad(&span, "credential", "grants would have roles here, and none can be asked for", hint);
    }
    if changed == ChangedRows::Wal
        && let Some(span) = target.span_of("changed_rows")
    {
        let hint = "use `keys` or `values`, or leave `provision` out";
        let what = "`wal` cannot tell whose transactions those of grants' roles are: the credential's role may not see them";
        target.bad(&span, "changed_rows", what, hint);
    }
}
