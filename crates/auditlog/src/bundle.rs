//! Bundles of evidence: the entries of a time range, what of their payloads may be shown, and what an auditor needs to check them
//! who trusts nobody here. One `.tar`, or that tar unpacked into a folder.
//!
//! ```text
//! README.txt, summary.html, verify.py     for people
//! manifest.json                           what was asked for, and counts ([`manifest`])
//! keys, policy                            public keys of the log, and which witnesses its operator trusts
//! policies/<version>                      the rules that were in force, as far as they are known
//! e<E>/checkpoint                         the newest signed note of epoch E
//! e<E>/leaves.jsonl                       every leaf of positions first..end, whoever's, the exact bytes, one a line
//! e<E>/range.json                         hashes of what is left and right of them, so that the signed root can be worked out
//! e<E>/payloads.jsonl                     {"n","payload","salt"} of each payload that is shown
//! e<E>/vkey                               the key that signs epoch E
//! SHA256SUMS                              of all the others, as sha256sum writes it
//! ```
//!
//! [`make`] writes one, [`crate::verify::bundle`] judges one, and so does `verify.py` ([`VERIFY_PY`]), which shares no code with it.

pub mod make;
pub mod manifest;
pub mod members;
pub mod range;
pub mod scope;
pub mod ustar;

use sha2::{Digest as _, Sha256};

/// The second verifier, as it is put into bundles.
pub const VERIFY_PY: &str = include_str!("bundle/verify.py");

/// Most members: five for each epoch, and the rules.
pub const MEMBERS_MAX: usize = 8192;
/// Most epochs. Each began with a gap that somebody declared by hand.
pub const EPOCHS_MAX: usize = 1000;
/// Longest member that is read as a whole: the summary is the longest.
pub const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// Longest of those that are taken apart: manifest, range, note, keys.
pub const SMALL_BYTES_MAX: u64 = 1 << 20;
/// Longest line of leaves.
pub const LEAF_LINE_MAX: usize = firsthand_model::limits::LEAF_BYTES_MAX;
/// Longest line of payloads: one in base64, with its salt.
pub const PAYLOAD_LINE_MAX: usize = firsthand_model::limits::PAYLOAD_BYTES_MAX / 3 * 4 + 256;
/// Versions of rules that are followed.
pub const POLICIES_MAX: usize = 1000;

/// Name of the list of digests.
pub const SUMS: &str = "SHA256SUMS";
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Members that each bundle has beside those of its epochs.
pub const ALWAYS: [&str; 6] = ["README.txt", SUMS, "keys", MANIFEST, "summary.html", "verify.py"];
/// What each epoch has.
pub const OF_EPOCH: [&str; 5] = ["checkpoint", "leaves.jsonl", "payloads.jsonl", "range.json", "vkey"];

/// Whether a bundle may have a member of this name. Nothing else is looked at, so no name can lead out of a folder.
#[must_use]
pub fn is_member(name: &str) -> bool {
    if ALWAYS.contains(&name) || name == "policy" {
        return true;
    }
    match name.split_once('/') {
        Some(("policies", version)) => is_version(version),
        Some((folder, file)) => epoch_of(folder).is_some() && OF_EPOCH.contains(&file),
        None => false,
    }
}

/// The epoch whose folder it is: there is one spelling of each.
#[must_use]
pub fn epoch_of(folder: &str) -> Option<u64> {
    let digits = folder.strip_prefix('e')?;
    let plain = digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if plain { digits.parse().ok() } else { None }
}

/// Whether a version of rules can be the name of a member.
#[must_use]
pub fn is_version(version: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&version.len()) && version.bytes().all(fits)
}

/// Whether a member may be as long as the format allows; the others are read as a whole.
#[must_use]
pub fn is_streamed(name: &str) -> bool {
    name.ends_with("/leaves.jsonl") || name.ends_with("/payloads.jsonl")
}

/// A digest as it is computed while bytes go by, and as text.
#[derive(Debug, Default, Clone)]
pub struct Sum(Sha256);

impl Sum {
    /// More bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In hexadecimal.
    #[must_use]
    pub fn text(self) -> String {
        self.0.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// What stands in `SHA256SUMS`, for names in order.
#[must_use]
pub fn sums<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    all.into_iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::kinds::{KINDS, RESERVED};

    #[test]
    fn the_second_verifier_knows_the_same_kinds() {
        let (_, rest) = VERIFY_PY.split_once("KINDS = frozenset(\"\"\"").unwrap();
        let mut there: Vec<&str> = rest.split_once("\"\"\"").unwrap().0.split_whitespace().collect();
        there.sort_unstable();
        let mut here: Vec<&str> = KINDS.iter().map(|k| k.name).chain(RESERVED.iter().copied()).collect();
        here.sort_unstable();
        assert_eq!(there, here, "put the new kind into KINDS of verify.py");
    }

    #[test]
    fn only_what_a_bundle_has_is_a_member() {
        for name in [
            "README.txt",
            "policy",
            "e1/leaves.jsonl",
            "e12/vkey",
            "policies/0011aabb",
            "policies/built-in-1",
        ] {
            assert!(is_member(name), "{name}");
        }
        for name in [
            "",
            "..",
            "/etc/passwd",
            "../x",
            "e1/../keys",
            "e01/vkey",
            "e0/vkey",
            "e/vkey",
            "e1/x",
            "e1",
            "e1/vkey/x",
            "policies/",
            "policies/..",
            "policies/a/b",
            "policies/A",
            "Keys",
            "e-1/vkey",
            "e1\\vkey",
            "e9999999999999999/vkey",
        ] {
            assert!(!is_member(name), "{name}");
        }
    }
}
