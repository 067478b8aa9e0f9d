//! Which name stands behind which pseudonym, as far as the log tells and the keys allow.

use std::collections::HashMap;

use serde::Deserialize;

/// Names kept. Beyond it a gateway serves a town; lines then show ids.
const NAMES_KEPT: usize = 1 << 20;

/// Names by id, learnt from the payloads of `session.opened`.
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
struct Name {
    id: String,
    name: String,
}

impl Names {
    /// Learns the names in the payload of a `session.opened`.
    pub fn learn(&mut self, payload: &[u8]) {
        let Ok(opened) = serde_json::from_slice::<Opened>(payload) else { return };
        for name in opened.names {
            self.put(name.id, name.name);
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

    /// The ids whose name is this, or is this up to the `@`.
    #[must_use]
    pub fn ids_of(&self, name: &str) -> Vec<String> {
        let is = |known: &str| known == name || known.split_once('@').is_some_and(|(local, _)| local == name);
        self.by_id.iter().filter(|(_, known)| is(known)).map(|(id, _)| id.clone()).collect()
    }

    /// All ids with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_id.iter().map(|(id, name)| (id.as_str(), name.as_str()))
    }
}
