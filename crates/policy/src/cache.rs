//! Decisions that were made before: the same statement in the same state, by the same identity, at the same target.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use firsthand_model::command::Shape;
use firsthand_model::decision::Decision;
use firsthand_model::identity::Identity;
use firsthand_model::session::SessionFacts;
use firsthand_model::statement::Facts;
use firsthand_model::target::Mode;
use std::collections::HashMap;

/// Parts, each with a lock of its own: so many sessions can ask at a time.
const PARTS: usize = 16;
/// Decisions in one part; a full part is emptied. 16 × 1024 are some 10 MiB, and more shapes than an application has.
const PART_MAX: usize = 1024;

/// Decisions under one hash; more are no accident, and are made anew.
const SAME_MAX: usize = 8;

/// What a decision depends on, borrowed.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) session: &'a SessionFacts,
    pub(crate) shape: &'a Arc<Shape>,
    pub(crate) windows: u64,
    pub(crate) catalog: u64,
    pub(crate) rows: Option<u64>,
    pub(crate) granted: bool,
}

/// A decision with what it depended on. Holding the shape and the facts keeps their addresses from being used again.
struct Kept {
    identity: Arc<Identity>,
    target: String,
    database: String,
    role: String,
    application: String,
    mode: Mode,
    shape: Arc<Shape>,
    facts: Option<Arc<Facts>>,
    windows: u64,
    catalog: u64,
    rows: Option<u64>,
    granted: bool,
    decision: Decision,
}

/// Decisions by the hash of their key.
type Part = HashMap<u64, Vec<Kept>, std::hash::BuildHasherDefault<Already>>;

/// The keys of the parts are hashes already.
#[derive(Default)]
struct Already(u64);

impl Hasher for Already {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _bytes: &[u8]) {}
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// The cache.
pub(crate) struct Cache {
    parts: Vec<Mutex<Part>>,
    state: std::hash::RandomState,
}

impl Default for Cache {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Self { parts, state: std::hash::RandomState::new() }
    }
}

impl Key<'_> {
    fn hash(&self, mut into: impl Hasher) -> u64 {
        let SessionFacts { identity, target, database, role, application, .. } = self.session;
        // Enough of the identity to tell most apart; `is` compares all of it.
        (&identity.login, &identity.subject).hash(&mut into);
        (target, database, role, application).hash(&mut into);
        self.catalog.hash(&mut into);
        self.address().hash(&mut into);
        self.windows.hash(&mut into);
        self.rows.hash(&mut into);
        self.granted.hash(&mut into);
        into.finish()
    }

    /// Where what was found out about the statement stands: the facts, if there are some.
    fn address(&self) -> usize {
        match &self.shape.facts {
            Some(facts) => Arc::as_ptr(facts).addr(),
            None => Arc::as_ptr(self.shape).addr(),
        }
    }

    fn is(&self, kept: &Kept) -> bool {
        let same_statement = match (&self.shape.facts, &kept.facts) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => Arc::ptr_eq(self.shape, &kept.shape),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let s = self.session;
        same_statement
            && self.windows == kept.windows
            && self.catalog == kept.catalog
            && self.rows == kept.rows
            && self.granted == kept.granted
            && s.target == kept.target
            && s.role == kept.role
            && s.database == kept.database
            && s.application == kept.application
            && s.mode == kept.mode
            && (Arc::ptr_eq(&s.identity, &kept.identity) || s.identity == kept.identity)
    }
}

impl Cache {
    fn part(&self, hash: u64) -> Option<&Mutex<Part>> {
        self.parts.get(usize::try_from(hash).unwrap_or(0) % PARTS)
    }

    /// The decision, if it was made before; and the key's hash.
    pub(crate) fn find(&self, key: Key<'_>) -> (u64, Option<Decision>) {
        use std::hash::BuildHasher as _;
        let hash = key.hash(self.state.build_hasher());
        let Some(part) = self.part(hash) else { return (hash, None) };
        let part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let found = part.get(&hash).and_then(|list| list.iter().find(|kept| key.is(kept)));
        (hash, found.map(|kept| kept.decision.clone()))
    }

    /// Keeps a decision.
    pub(crate) fn keep(&self, hash: u64, key: Key<'_>, decision: Decision) {
        let Some(part) = self.part(hash) else { return };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.len() >= PART_MAX {
            part.clear();
        }
        let s = key.session;
        let list = part.entry(hash).or_default();
        if list.len() >= SAME_MAX {
            list.clear();
        }
        list.push(Kept {
            identity: Arc::clone(&s.identity),
            target: s.target.clone(),
            database: s.database.clone(),
            role: s.role.clone(),
            application: s.application.clone(),
            mode: s.mode,
            shape: Arc::clone(key.shape),
            facts: key.shape.facts.clone(),
            windows: key.windows,
            catalog: key.catalog,
            rows: key.rows,
            granted: key.granted,
            decision,
        });
    }
}
