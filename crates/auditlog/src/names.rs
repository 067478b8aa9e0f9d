//! Which name stands behind which pseudonym, as far as the log tells and the keys allow.

use std::collections::HashMap;

use memchr::memmem;
use serde::Deserialize;

use crate::entry::fields::Fields;

/// Names kept. Beyond it a gateway serves a town; lines then show ids.
const NAMES_KEPT: usize = 1 << 20;

/// Whether a leaf is of this kind, without parsing it: a bare `"` never stands inside a string.
fn is_kind(leaf: &[u8], kind: &str) -> bool {
    let rest = memmem::find(leaf, b"\"k\":\"").and_then(|at| leaf.get(at + 5..));
    rest.and_then(|rest| rest.strip_prefix(kind.as_bytes())).is_some_and(|rest| rest.starts_with(b"\""))
}

/// Whether a leaf says who did it (`by`), without parsing it. Keys ascend, and the only one in front of it is `approval`, an id.
pub(crate) fn tells_by(leaf: &[u8]) -> bool {
    let rest = match leaf.strip_prefix(b"{\"approval\":\"") {
        None => leaf.strip_prefix(b"{"),
        Some(id) => memchr::memchr(b'"', id).and_then(|end| id.get(end..)?.strip_prefix(b"\",")),
    };
    rest.is_some_and(|rest| rest.starts_with(b"\"by\":"))
}

/// Names by id, learnt from the payloads of `session.opened` and of what administrators did.
#[derive(Debug, Default, Clone)]
pub struct Names {
    by_id: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(default)]
    names: Vec<Name>,
}

#[derive(Deserialize)]
struct Acted {
    by: String,
    #[serde(default)]
    names: Vec<Name>,
}

#[derive(Deserialize)]
struct Name {
    id: String,
    name: String,
}

impl Names {
    /// Learns what an entry tells; most tell nothing, which is seen without parsing them.
    pub fn learn(&mut self, leaf: &[u8], payload: &[u8]) {
        if is_kind(leaf, "session.opened") {
            self.learn_chain(payload);
        } else if tells_by(leaf) {
            self.learn_by(leaf, payload);
        }
    }

    /// Whether [`Names::learn`] would look at the payload of this entry.
    #[must_use]
    pub fn tells(leaf: &[u8]) -> bool {
        tells_by(leaf) || is_kind(leaf, "session.opened")
    }

    fn learn_chain(&mut self, payload: &[u8]) {
        let Ok(opened) = serde_json::from_slice::<Opened>(payload) else { return };
        for name in opened.names {
            self.put(name.id, name.name);
        }
    }

    /// Learns who administers from an entry with `by`: the id stands in the leaf, the name in the payload.
    fn learn_by(&mut self, leaf: &[u8], payload: &[u8]) {
        let by = Fields::read(leaf).ok().and_then(|fields| fields.by.map(|by| by.id.into_owned()));
        if let (Some(id), Ok(acted)) = (by, serde_json::from_slice::<Acted>(payload)) {
            self.put(id, acted.by);
            for name in acted.names {
                self.put(name.id, name.name);
            }
        }
    }

    /// Notes one name.
    pub fn put(&mut self, id: String, name: String) {
        if self.by_id.len() < NAMES_KEPT {
            self.by_id.insert(id, name);
        }
    }

    /// The name behind an id.
    #[must_use]
    pub fn name(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).map(String::as_str)
    }

    /// The ids whose name is this, or is this up to the `@`, or is this user of the operating system.
    #[must_use]
    pub fn ids_of(&self, name: &str) -> Vec<String> {
        let before_at = |known: &str| known.split_once('@').is_some_and(|(user, _)| user == name);
        let is =
            |known: &str| known == name || before_at(known) || known.strip_prefix("local:") == Some(name);
        self.by_id.iter().filter(|(_, known)| is(known)).map(|(id, _)| id.clone()).collect()
    }

    /// All ids with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_id.iter().map(|(id, name)| (id.as_str(), name.as_str()))
    }
}
