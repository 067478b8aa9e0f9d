//! Who administers: the operating system's user, as the kernel says it. Verified, because the kernel has checked it.

use firsthand_adapters::record::kind_letter;
use firsthand_auditlog::keys::KeyStore;
use firsthand_model::event::By;
use firsthand_model::identity::{IdentityKind, Link, Trust};

/// Longest passwd file that is looked through for a name.
const PASSWD_BYTES_MAX: u64 = 1 << 20;

/// The name of a local user: `local:ada`, or `local:1000` where the number has no name here.
pub(crate) fn unix_user(uid: u32) -> String {
    let name = user_name(uid);
    format!("local:{}", name.unwrap_or_else(|| uid.to_string()))
}

fn user_name(uid: u32) -> Option<String> {
    let size = std::fs::metadata("/etc/passwd").ok()?.len();
    let text = (size <= PASSWD_BYTES_MAX).then(|| std::fs::read_to_string("/etc/passwd").ok())??;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The user that this process runs as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The link that stands in entries for a local user.
pub(crate) fn link(keys: &KeyStore, uid: u32) -> Link {
    let (kind, name) = (IdentityKind::Human, unix_user(uid));
    Link { kind, id: keys.identity_id(kind_letter(kind), &name), name, trust: Trust::Verified }
}

/// The same, for what the user of this process does.
pub(crate) fn own(keys: &KeyStore) -> By {
    link(keys, own_uid()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_where_there_are_some() {
        assert_eq!(unix_user(0), "local:root");
        assert_eq!(unix_user(4_000_000_000), "local:4000000000");
    }
}
