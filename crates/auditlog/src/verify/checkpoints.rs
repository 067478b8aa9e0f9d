//! Signed checkpoints: what somebody outside can hold against the log.
//!
//! `data/tlog/<epoch>/checkpoint` is the newest note of an epoch's tree, whose origin ends in `/e<epoch>`. The key has the same
//! name; one pair of keys serves all epochs.

use std::path::{Path, PathBuf};

use super::Anchor;
use super::report::{Aspect, Findings, Spot};
use crate::io::{Io, read_all};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::key::VerifyingKey;
use crate::tlog::note::Note;
use crate::tlog::policy::Policy;

/// Longest note or list of keys that is read.
const NOTE_BYTES: u64 = 1 << 20;

/// What checkpoints are judged by.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Public keys of the log, got by another way than the folder.
    pub keys: Vec<VerifyingKey>,
    /// Which witnesses must have cosigned.
    pub policy: Option<Policy>,
    /// A checkpoint of earlier, and the file that it came in: the log must be an extension of it.
    pub since: Option<(PathBuf, Vec<u8>)>,
}

/// Sizes and roots that the notes in `data/tlog` and the one of earlier sign.
pub(super) fn anchors(io: &dyn Io, data: &Path, trust: &Trust, out: &mut Findings) -> Vec<Anchor> {
    let mut all = Vec::new();
    let tlog = data.join("tlog");
    let mut epochs: Vec<u64> =
        io.list(&tlog).map(|names| names.iter().filter_map(|n| n.parse().ok()).collect()).unwrap_or_default();
    epochs.sort_unstable();
    let here = keys_here(io, &tlog, &epochs);
    let outside = !trust.keys.is_empty();
    let keys = if outside { &trust.keys } else { &here };
    for epoch in epochs {
        let path = PathBuf::from("tlog").join(epoch.to_string()).join("checkpoint");
        let Ok(bytes) = io.open(&data.join(&path), false).and_then(|f| read_all(&*f, NOTE_BYTES)) else {
            continue;
        };
        // Where witnesses are asked, the newest is signed a moment before they have cosigned it.
        let other = path.with_file_name("cosigned");
        let cosigned = io.open(&data.join(&other), false).and_then(|f| read_all(&*f, NOTE_BYTES)).ok();
        let policy = trust.policy.as_ref();
        all.extend(signed(&bytes, path, Some(epoch), (keys, policy.filter(|_| cosigned.is_none())), out));
        if let Some(bytes) = cosigned {
            all.extend(signed(&bytes, other, Some(epoch), (keys, policy), out));
        }
    }
    if let Some((path, bytes)) = &trust.since {
        all.extend(signed(bytes, path.clone(), None, (keys, None), out));
    }
    if !outside && !all.is_empty() {
        let what = "checkpoints are signed by the key that lies beside them: whoever could change both is not found; give --key";
        out.note(Aspect::Integrity, "key-beside", &Spot::default(), what);
    }
    all
}

/// The public keys in the folder itself.
fn keys_here(io: &dyn Io, tlog: &Path, epochs: &[u64]) -> Vec<VerifyingKey> {
    let files = epochs.iter().map(|e| tlog.join(e.to_string()).join("vkey")).chain([tlog.join("keys")]);
    let read = |path: PathBuf| io.open(&path, false).and_then(|f| read_all(&*f, NOTE_BYTES)).ok();
    let texts = files.filter_map(read).filter_map(|bytes| String::from_utf8(bytes).ok());
    texts.flat_map(|text| parse_keys(&text).unwrap_or_default()).collect()
}

/// Public keys, one a line.
///
/// # Errors
/// The first line that is none.
pub fn parse_keys(text: &str) -> Result<Vec<VerifyingKey>, String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    lines.map(|l| VerifyingKey::parse(l).map_err(|e| format!("{l:?}: {e}"))).collect()
}

/// A name without the epoch that it ends in.
fn base(name: &str) -> &str {
    let epoch = |(_, e): &(&str, &str)| !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit());
    name.rsplit_once("/e").filter(epoch).map_or(name, |(base, _)| base)
}

/// What a note signs, if a key of the log has signed it under the name of its tree.
pub(super) fn signed(
    bytes: &[u8],
    source: PathBuf,
    epoch: Option<u64>,
    (keys, policy): (&[VerifyingKey], Option<&Policy>),
    out: &mut Findings,
) -> Option<Anchor> {
    let spot = Spot::file(&source);
    let note = match Note::parse(bytes) {
        Ok(note) => note,
        Err(e) => {
            out.fail(Aspect::Integrity, "checkpoint-note", &spot, format!("it is no signed note: {e}"));
            return None;
        }
    };
    let said = Checkpoint::parse(note.text()).ok().map(|c| c.origin().to_owned()).unwrap_or_default();
    let own = said.rsplit_once("/e").and_then(|(_, e)| e.parse().ok());
    let Some(own) = own.filter(|own| epoch.is_none_or(|epoch| epoch == *own)) else {
        out.fail(
            Aspect::Integrity,
            "checkpoint-origin",
            &spot,
            format!("its origin is {said:?}: another tree's"),
        );
        return None;
    };
    // The same key signs all epochs, each under the name of its tree.
    let of_tree = keys.iter().filter(|k| base(k.name()) == base(&said));
    let mut named: Vec<VerifyingKey> = Vec::new();
    for key in of_tree.filter_map(|k| VerifyingKey::new(&said, k.kind(), *k.public()).ok()) {
        if !named.iter().any(|k| k.id() == key.id() && k.public() == key.public()) {
            named.push(key);
        }
    }
    let checkpoint = match Checkpoint::open(bytes, &said, &named) {
        Ok((checkpoint, _)) => checkpoint,
        Err(e) => {
            out.fail(
                Aspect::Integrity,
                "checkpoint-signature",
                &spot,
                format!("no key of the log has signed it: {e}"),
            );
            return None;
        }
    };
    if let Some(Err(e)) = policy.map(|policy| policy.accept(&note)) {
        out.fail(Aspect::Integrity, "quorum", &spot, format!("the policy does not accept it: {e}"));
    }
    let (size, root) = (checkpoint.size(), *checkpoint.root());
    Some(Anchor { epoch: own, size, root, source, signed: true })
}
