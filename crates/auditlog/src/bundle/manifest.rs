//! What a bundle says of itself. Nothing of it is believed: the counts are worked out again from what is there.
//!
//! One line of the restricted JSON that leaves are written in, so that two readers cannot understand it in two ways.

use std::fmt::Write as _;

use firsthand_model::json::write_string;

use super::EPOCHS_MAX;
use crate::entry::moment;
use crate::verify::leaf::{elements, members, number, text};

/// Most ids that a scope names: an identity has one for each of its kinds.
pub const IDS_MAX: usize = 64;

/// The form of `manifest.json`.
const FIELDS: [&str; 9] = ["by", "epochs", "made", "missing", "origin", "policies", "scope", "unsigned", "v"];
const EPOCH_FIELDS: [&str; 8] =
    ["disclosed", "end", "epoch", "erased", "first", "scoped", "size", "withheld"];
const SCOPE_FIELDS: [&str; 5] = ["from", "identity", "name", "target", "to"];

/// One epoch's part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochPart {
    /// Payloads that are shown.
    pub disclosed: u64,
    /// The position behind the last leaf.
    pub end: u64,
    /// The epoch.
    pub epoch: u64,
    /// Payloads in scope whose keys are gone.
    pub erased: u64,
    /// The first leaf's position.
    pub first: u64,
    /// Leaves in scope.
    pub scoped: u64,
    /// Entries that are signed.
    pub size: u64,
    /// Payloads in scope that are not shown.
    pub withheld: u64,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The first moment, in µs since 1970; none: from the beginning.
    pub from: Option<u64>,
    /// Pseudonyms of whose payloads are shown; none: everybody's.
    pub identity: Option<Vec<String>>,
    /// What was asked for by name.
    pub name: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// The first moment that is too late; none: to the end.
    pub to: Option<u64>,
}

/// `manifest.json`. Texts are as they stand between the quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Who made it.
    pub by: String,
    /// Its parts, in order.
    pub epochs: Vec<EpochPart>,
    /// When.
    pub made: u64,
    /// Versions of rules that were in force and are not here.
    pub missing: Vec<String>,
    /// The log, without the epoch.
    pub origin: String,
    /// Versions of rules that are here.
    pub policies: Vec<String>,
    /// What was asked for.
    pub scope: Asked,
    /// Entries of the range that no checkpoint covers; they are not here.
    pub unsigned: u64,
}

/// A text as it stands between the quotes.
#[must_use]
pub fn inner(plain: &str) -> String {
    let mut out = Vec::new();
    write_string(&mut out, plain);
    let inside = out.get(1..out.len().saturating_sub(1)).unwrap_or_default();
    String::from_utf8_lossy(inside).into_owned()
}

/// The text that stands so between the quotes.
#[must_use]
pub fn plain(inner: &str) -> String {
    serde_json::from_str(&format!("\"{inner}\"")).unwrap_or_else(|_| inner.to_owned())
}

/// The values of an object that has exactly these keys, in order.
pub(crate) fn object_of<'a, const N: usize>(bytes: &'a [u8], keys: [&str; N]) -> Option<[&'a [u8]; N]> {
    let mut values = [&b""[..]; N];
    let (mut at, mut fits) = (0, true);
    members(bytes, |key, value| {
        fits &= keys.get(at).is_some_and(|k| k.as_bytes() == key);
        if let Some(slot) = values.get_mut(at) {
            *slot = value;
        }
        at += 1;
    })
    .ok()?;
    (fits && at == N).then_some(values)
}

/// The elements of what must be a list.
pub(crate) fn list_of(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let all = elements(bytes);
    (!all.is_empty() || bytes == b"[]").then_some(all)
}

fn string_of(bytes: &[u8]) -> Option<String> {
    bytes.starts_with(b"\"").then(|| text(bytes).to_owned())
}

fn count_of(bytes: &[u8]) -> Option<u64> {
    if bytes.starts_with(b"\"") { None } else { number(bytes) }
}

fn strings_of(bytes: &[u8], most: usize) -> Option<Vec<String>> {
    let all = list_of(bytes)?;
    if all.len() > most { None } else { all.into_iter().map(string_of).collect() }
}

/// Nothing, or what stands there.
fn perhaps<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if bytes == b"null" { Some(None) } else { read(bytes).map(Some) }
}

fn time_of(bytes: &[u8]) -> Option<u64> {
    let text = string_of(bytes)?;
    moment::written(&text)
}

fn epoch_of(bytes: &[u8]) -> Option<EpochPart> {
    let [disclosed, end, epoch, erased, first, scoped, size, withheld] = object_of(bytes, EPOCH_FIELDS)?;
    Some(EpochPart {
        disclosed: count_of(disclosed)?,
        end: count_of(end)?,
        epoch: count_of(epoch)?,
        erased: count_of(erased)?,
        first: count_of(first)?,
        scoped: count_of(scoped)?,
        size: count_of(size)?,
        withheld: count_of(withheld)?,
    })
}

fn scope_of(bytes: &[u8]) -> Option<Asked> {
    let [from, identity, name, target, to] = object_of(bytes, SCOPE_FIELDS)?;
    Some(Asked {
        from: perhaps(from, time_of)?,
        identity: perhaps(identity, |ids| strings_of(ids, IDS_MAX))?,
        name: perhaps(name, string_of)?,
        target: perhaps(target, string_of)?,
        to: perhaps(to, time_of)?,
    })
}

impl Manifest {
    /// Reads `manifest.json`; nothing where it is written in any other way than [`Manifest::to_json`] does it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok()?;
        let line = bytes.strip_suffix(b"\n")?;
        let [by, epochs, made, missing, origin, policies, scope, unsigned, v] = object_of(line, FIELDS)?;
        if v != b"1" {
            return None;
        }
        let epochs = list_of(epochs)?;
        if epochs.is_empty() || epochs.len() > EPOCHS_MAX {
            return None;
        }
        Some(Self {
            by: string_of(by)?,
            epochs: epochs.into_iter().map(epoch_of).collect::<Option<_>>()?,
            made: time_of(made)?,
            missing: strings_of(missing, super::POLICIES_MAX)?,
            origin: string_of(origin)?,
            policies: strings_of(policies, super::POLICIES_MAX)?,
            scope: scope_of(scope)?,
            unsigned: count_of(unsigned)?,
        })
    }

    /// As it is written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let epochs: Vec<String> = self.epochs.iter().map(part_json).collect();
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "{{\"by\":\"{}\",\"epochs\":[{}],\"made\":\"{}\",\"missing\":{},\"origin\":\"{}\",\"policies\":{},\"scope\":{},\"unsigned\":{},\"v\":1}}",
            self.by,
            epochs.join(","),
            moment::rfc3339(self.made),
            strings_json(&self.missing),
            self.origin,
            strings_json(&self.policies),
            self.scope.to_json(),
            self.unsigned
        );
        out
    }
}

impl Asked {
    /// As it stands in the manifest.
    #[must_use]
    pub fn to_json(&self) -> String {
        let quoted = |text: &Option<String>| text.as_ref().map_or("null".to_owned(), |t| format!("\"{t}\""));
        let time = |t: Option<u64>| t.map_or("null".to_owned(), |t| format!("\"{}\"", moment::rfc3339(t)));
        format!(
            "{{\"from\":{},\"identity\":{},\"name\":{},\"target\":{},\"to\":{}}}",
            time(self.from),
            self.identity.as_ref().map_or("null".to_owned(), |ids| strings_json(ids)),
            quoted(&self.name),
            quoted(&self.target),
            time(self.to)
        )
    }
}

fn part_json(part: &EpochPart) -> String {
    format!(
        "{{\"disclosed\":{},\"end\":{},\"epoch\":{},\"erased\":{},\"first\":{},\"scoped\":{},\"size\":{},\"withheld\":{}}}",
        part.disclosed, part.end, part.epoch, part.erased, part.first, part.scoped, part.size, part.withheld
    )
}

fn strings_json(all: &[String]) -> String {
    let all: Vec<String> = all.iter().map(|text| format!("\"{text}\"")).collect();
    format!("[{}]", all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let part = EpochPart { epoch: 2, first: 3, end: 9, size: 12, scoped: 4, ..EpochPart::default() };
        let scope = Asked {
            identity: Some(vec!["a-0123456789abcdef".to_owned()]),
            name: Some(inner("O\"Neill\n")),
            from: Some(1_795_456_800_000_000),
            ..Asked::default()
        };
        let manifest = Manifest {
            by: "local:root".to_owned(),
            epochs: vec![part],
            made: 1_795_456_800_000_000,
            origin: "example.com/gw1".to_owned(),
            scope,
            ..Manifest::default()
        };
        let json = manifest.to_json();
        assert_eq!(Manifest::parse(json.as_bytes()), Some(manifest));
        let wrong = [
            ("\"v\":1", "\"v\":2"),
            ("\"first\":3", "\"first\":\"3\""),
            ("\"first\":3", "\"first\":-3"),
            ("\"by\":", "\"bz\":"),
            ("{\"by\"", "{\"a\":1,\"by\""),
            ("\"made\":\"2026", "\"made\":\"26"),
            (",\"made\"", ", \"made\""),
            ("}\n", "}"),
            ("\"unsigned\":0", "\"unsigned\":null"),
            ("[{", "[[{"),
        ];
        for (a, b) in wrong {
            let other = json.replacen(a, b, 1);
            assert_ne!(other, json, "{a}");
            assert_eq!(Manifest::parse(other.as_bytes()), None, "{a} → {b}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Manifest::parse(deep.as_bytes()), None);
    }
}
