//! Texts judged, and remembered: the same statement in the same state costs a lookup.
//!
//! Facts depend on the text without its literals (its outline), the catalog and the session's state; where a literal decided
//! (a name in `nextval('s')`, a pattern), on the whole text. What depends on prepared statements or cursors is not
//! remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use firsthand_model::command::Shape;
use firsthand_model::statement::Facts;

use crate::analysis::{Parsed, is_large, parse_statements};
use crate::outline::outline;
use crate::resolve::Sequel;
use crate::split;
use crate::state::SessionState;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 64;
/// Texts kept in one part; when it is full it is emptied. With texts of at most 8 KiB all of the table stays below 64 MiB.
const SHARD_MAX: usize = 64;

thread_local! {
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A statement judged.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What it does; `facts` is there.
    pub shape: Arc<Shape>,
    /// What it leaves behind when it completes: for [`SessionState::completed`].
    pub after: After,
    /// Prepared statements or cursors decided, which a fingerprint does not tell of.
    pub by_name: bool,
    range: Option<Range<usize>>,
}

/// What a statement leaves behind in its session when it completes.
#[derive(Clone, Debug, Default)]
pub struct After(Option<Arc<Sequel>>);

impl After {
    fn of(sequel: Sequel) -> Self {
        Self((!matches!(sequel, Sequel::Nothing)).then(|| Arc::new(sequel)))
    }

    /// Whether it leaves nothing behind.
    pub fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it opens a block and does nothing else.
    fn only_begins(&self) -> bool {
        matches!(self.0.as_deref(), None | Some(Sequel::Begin))
    }

    /// What something leaves behind that ran unseen: anything.
    #[must_use]
    pub fn uncertain() -> Self {
        Self(Some(Arc::new(Sequel::Uncertain)))
    }

    /// Whether it commits a transaction, unless that has failed.
    pub fn commits(&self) -> bool {
        fn commits(sequel: &Sequel) -> bool {
            match sequel {
                Sequel::End { commit, .. } => *commit,
                Sequel::Several(list) => list.iter().any(commits),
                _ => false,
            }
        }
        self.0.as_deref().is_some_and(commits)
    }

    /// Whether something ran unseen in it.
    pub fn is_uncertain(&self) -> bool {
        fn uncertain(sequel: &Sequel) -> bool {
            match sequel {
                Sequel::Uncertain => true,
                Sequel::Several(list) => list.iter().any(uncertain),
                _ => false,
            }
        }
        self.0.as_deref().is_some_and(uncertain)
    }
}

impl Judged {
    /// Where it stands in the text it was judged from.
    pub fn range(&self, text: &[u8]) -> Range<usize> {
        self.range.clone().unwrap_or_else(|| split::trimmed(text))
    }
}

impl SessionState {
    /// A statement has completed.
    pub fn completed(&mut self, after: &After) {
        if let Some(sequel) = &after.0 {
            self.apply(sequel);
        }
    }

    /// A statement has completed, and with it the transaction was rolled back: COMMIT of a failed one says so in its tag.
    pub fn completed_by_rollback(&mut self, after: &After) {
        if after.commits() {
            self.transaction_failed(true);
        }
        self.completed(after);
    }

    /// The protocol has prepared a statement of this text under this name, with parameters of these types.
    pub fn prepared_in_protocol(&mut self, name: &str, text: &[u8], types: &[crate::catalog::Oid]) {
        let mut parsed = parse_statements(text, self.text_settings());
        match (parsed.pop().and_then(|p| p.tree), parsed.is_empty()) {
            (Some(tree), true) => self.prepare(name, Arc::new((tree, types.to_vec()))),
            _ => self.close_prepared(name),
        }
    }
}

enum Kept {
    These(Vec<Judged>),
    /// It depends on literals: look for the whole text.
    ByText,
}

/// Some of what is kept, by text.
type Shard = Mutex<HashMap<Box<[u8]>, Arc<Kept>>>;

/// Judges texts for all sessions.
pub struct Judge {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl Default for Judge {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

impl Judge {
    /// Judges each statement of a text as if those before it had completed. An empty text has none. Needs a stack of
    /// [`crate::STACK_BYTES`] for a text that is not remembered.
    pub fn judge(&self, text: &[u8], state: &SessionState) -> Vec<Judged> {
        if is_large(text) {
            return judge(text, state).0;
        }
        KEY.with_borrow_mut(|key| {
            key.clear();
            key.push(b'o');
            key.extend_from_slice(&state.fingerprint().to_le_bytes());
            let outlined = state.text_settings().standard_conforming_strings && outline(text, key).is_some();
            if outlined {
                match self.find(key).as_deref() {
                    Some(Kept::These(known)) => return known.clone(),
                    Some(Kept::ByText) => {}
                    None => return self.work_out(text, state, key),
                }
            }
            key.clear();
            key.push(b't');
            key.extend_from_slice(&state.fingerprint().to_le_bytes());
            key.extend_from_slice(text);
            if let Some(Kept::These(known)) = self.find(key).as_deref() {
                return known.clone();
            }
            let (judged, ways) = judge(text, state);
            if !ways.by_name {
                self.keep(key, Kept::These(judged.clone()));
            }
            judged
        })
    }

    fn work_out(&self, text: &[u8], state: &SessionState, key: &[u8]) -> Vec<Judged> {
        let (mut judged, ways) = judge(text, state);
        if ways.literal || judged.len() != 1 {
            self.keep(key, Kept::ByText);
        } else if !ways.by_name {
            // Another text of this outline has the statement elsewhere.
            judged.iter_mut().for_each(|one| one.range = None);
            self.keep(key, Kept::These(judged.clone()));
        }
        judged
    }

    fn shard(&self, key: &[u8]) -> Option<&Shard> {
        let hash = self.hasher.hash_one(key) % 64;
        self.shards.get(usize::try_from(hash).unwrap_or(0))
    }

    fn find(&self, key: &[u8]) -> Option<Arc<Kept>> {
        self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: &[u8], kept: Kept) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_MAX {
            shard.clear();
        }
        shard.insert(key.into(), Arc::new(kept));
    }
}

/// What decides how a judgement may be remembered.
#[derive(Default)]
struct Ways {
    literal: bool,
    by_name: bool,
}

fn judge(text: &[u8], state: &SessionState) -> (Vec<Judged>, Ways) {
    let parsed = parse_statements(text, state.text_settings());
    let mut ways = Ways::default();
    let mut out = Vec::with_capacity(parsed.len());
    // The session is copied only if a later statement could see a change.
    let mut own: Option<SessionState> = None;
    let last = parsed.len().saturating_sub(1);
    let mut alike = Alike::default();
    for (at, one) in parsed.iter().enumerate() {
        let now = own.as_ref().unwrap_or(state);
        let (judged, literal, by_name) = one_of(one, now, &mut alike);
        ways.literal |= literal;
        ways.by_name |= by_name;
        if at < last && !judged.after.is_nothing() {
            let mut next = own.take().unwrap_or_else(|| state.clone());
            // What stands in one text is one transaction, but for the blocks in it.
            next.transaction_began();
            next.completed(&judged.after);
            own = Some(next);
            // What an end goes back to, or a setting's default, is not in the fingerprint.
            ways.by_name |= !judged.after.only_begins();
        }
        out.push(judged);
    }
    (out, ways)
}

/// Facts of the statements of one text, each once: a text of a thousand rows to insert is one question to policy then, which
/// remembers what it said of these facts, and not a thousand.
#[derive(Default)]
struct Alike(Vec<Arc<Facts>>);

impl Alike {
    /// Different ones that are compared with. Texts of many statements repeat a few.
    const MAX: usize = 16;

    fn share(&mut self, facts: &mut Option<Arc<Facts>>) {
        let Some(facts) = facts else { return };
        match self.0.iter().find(|known| *known == facts) {
            Some(known) => *facts = Arc::clone(known),
            None if self.0.len() < Self::MAX => self.0.push(Arc::clone(facts)),
            None => {}
        }
    }
}

fn one_of(parsed: &Parsed, state: &SessionState, alike: &mut Alike) -> (Judged, bool, bool) {
    let (mut shape, sequel, literal, by_name) = parsed.resolve_ways(state.catalog(), state);
    alike.share(&mut shape.facts);
    let judged = Judged {
        shape: Arc::new(shape),
        after: After::of(sequel),
        by_name,
        range: Some(parsed.range.clone()),
    };
    (judged, literal, by_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::state::Start;

    #[test]
    fn statements_of_one_text_that_do_the_same_share_their_facts() {
        let state = SessionState::new(Start::default(), Arc::new(Catalog::empty()));
        let text =
            b"INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); DELETE FROM t; INSERT INTO t VALUES (3)";
        let judged = Judge::default().judge(text, &state);
        let facts: Vec<_> = judged.iter().filter_map(|one| one.shape.facts.as_ref()).collect();
        let [first, second, third, fourth] = facts.as_slice() else { panic!("{judged:?}") };
        assert!(Arc::ptr_eq(first, second) && Arc::ptr_eq(first, fourth));
        assert_ne!(first, third);
    }

    #[test]
    fn so_many_different_ones_are_compared_with_and_no_more() {
        let facts = |n: usize| Some(Arc::new(Facts { settings: vec![n.to_string()], ..Facts::default() }));
        let mut alike = Alike::default();
        for n in 0..=Alike::MAX {
            alike.share(&mut facts(n));
        }
        let mut is_shared = |n: usize| {
            let mut own = facts(n);
            let before = own.clone();
            alike.share(&mut own);
            own.zip(before).is_some_and(|(now, before)| !Arc::ptr_eq(&now, &before))
        };
        assert!(is_shared(0) && is_shared(Alike::MAX - 1));
        assert!(!is_shared(Alike::MAX));
    }
}
