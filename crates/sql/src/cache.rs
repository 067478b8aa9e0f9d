//! Analyses remembered, so that a repeated statement costs a lookup instead of a parse.
//!
//! A set-associative table: the key's hash picks a set, a set holds a few ways and gives up the one not used for
//! longest. So entries and bytes are bounded by construction, and every set has its own lock: sessions on different
//! statements do not meet. The hash is keyed at random per process: a client cannot aim its statements at one set.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::analysis::{Analysis, Place, Settings, Statement, analyze, is_large};
use crate::outline::outline;
use crate::returning::Changes;

/// Sets of the table, a power of two. With [`WAYS`] this holds 2,048 statements; an application has some hundred.
pub const SETS: usize = 256;

/// Statements that one set holds.
pub const WAYS: usize = 8;

/// Bytes that one set holds, keys and analyses together: 4 MiB for all of the table, whatever clients send.
pub const SET_BYTES_MAX: usize = 16 << 10;

/// What an entry takes besides its key and its tables: allocations, counters.
const ENTRY_BYTES: usize = 256;

/// What the names in a change take: those of its table, and the columns of a list.
const CHANGE_NAMES_BYTES: usize = 512;

/// First byte of a key: what the rest is. Keeps an outline apart from a full text that looks like one.
const KEY_OUTLINE: u8 = b'o';
const KEY_TEXT: u8 = b't';

thread_local! {
    /// Where keys are made, so that a lookup allocates nothing. Never longer than a small text and its mark.
    static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Analyses texts and remembers them. One for all sessions; `Sync`, and no call waits for another's parse.
pub struct Analyzer {
    sets: Box<[Mutex<Set>]>,
    hasher: RandomState,
}

#[derive(Default)]
struct Set {
    ways: Vec<Way>,
    bytes: usize,
    /// Counts lookups; a way remembers when it last answered.
    now: u32,
}

struct Way {
    hash: u64,
    key: Box<[u8]>,
    analysis: Arc<Analysis>,
    bytes: usize,
    used: u32,
}

impl Default for Analyzer {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Analyzer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analyzer").field("sets", &self.sets.len()).finish_non_exhaustive()
    }
}

impl Analyzer {
    /// An empty one. Some 16 KiB; grows to at most `SETS * SET_BYTES_MAX`.
    pub fn new() -> Self {
        let sets = (0..SETS).map(|_| Mutex::default()).collect();
        Self { sets, hasher: RandomState::new() }
    }

    /// As [`analyze`], which it calls for what it does not remember: needs the same stack. Remembers texts that parsed
    /// and are not large; those that did not parse are parsed each time, which only their sender pays for.
    pub fn analyze(&self, text: &[u8], settings: Settings) -> Arc<Analysis> {
        if is_large(text) || (!settings.standard_conforming_strings && text.contains(&b'\\')) {
            return Arc::new(analyze(text, settings));
        }
        KEY.with_borrow_mut(|key| self.remembered(text, settings, key))
    }

    fn remembered(&self, text: &[u8], settings: Settings, key: &mut Vec<u8>) -> Arc<Analysis> {
        key.clear();
        key.push(KEY_OUTLINE);
        let outlined = outline(text, key);
        let ascii = match &outlined {
            Some(outlined) => !outlined.beyond_ascii,
            None => {
                key.clear();
                key.push(KEY_TEXT);
                key.extend_from_slice(text);
                text.is_ascii()
            }
        };
        // What would not be parsed for its encoding is not looked up either.
        if !ascii && (!settings.utf8 || str::from_utf8(text).is_err()) {
            return Arc::new(analyze(text, settings));
        }
        let hash = self.hasher.hash_one(key.as_slice());
        if let Some(found) = self.set(hash).lock().unwrap_or_else(PoisonError::into_inner).find(hash, key) {
            return found;
        }
        let analysis = analyze(text, settings);
        let analysis = Arc::new(if outlined.is_some() { shareable(analysis) } else { analysis });
        if analysis.unparsed().is_none() {
            self.set(hash).lock().unwrap_or_else(PoisonError::into_inner).keep(hash, key, &analysis);
        }
        analysis
    }

    fn set(&self, hash: u64) -> &Mutex<Set> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::indexing_slicing,
            reason = "the remainder is below SETS"
        )]
        &self.sets[hash as usize % SETS]
    }
}

/// Freed from its place in one text. A text with an outline has one statement, and its place is the trimmed text.
fn shareable(mut analysis: Analysis) -> Analysis {
    if analysis.unparsed().is_none()
        && let [statement] = analysis.statements.as_mut_slice()
    {
        statement.place = Place::Trimmed;
        if let Some(Changes::Rows(change)) = statement.changes.as_mut().map(Arc::make_mut) {
            change.end = None;
        }
    }
    analysis
}

impl Set {
    fn find(&mut self, hash: u64, key: &[u8]) -> Option<Arc<Analysis>> {
        self.now = self.now.wrapping_add(1);
        let way = self.ways.iter_mut().find(|way| way.hash == hash && *way.key == *key)?;
        way.used = self.now;
        Some(Arc::clone(&way.analysis))
    }

    fn keep(&mut self, hash: u64, key: &[u8], analysis: &Arc<Analysis>) {
        let bytes =
            key.len() + ENTRY_BYTES + analysis.statements().iter().map(statement_bytes).sum::<usize>();
        if bytes > SET_BYTES_MAX || self.ways.iter().any(|way| way.hash == hash && *way.key == *key) {
            return;
        }
        while self.ways.len() >= WAYS || self.bytes + bytes > SET_BYTES_MAX {
            let now = self.now;
            let oldest = self.ways.iter().enumerate().max_by_key(|(_, way)| now.wrapping_sub(way.used));
            let Some((oldest, _)) = oldest else { break };
            self.bytes -= self.ways.swap_remove(oldest).bytes;
        }
        self.bytes += bytes;
        let way = Way { hash, key: key.into(), analysis: Arc::clone(analysis), bytes, used: self.now };
        self.ways.push(way);
    }
}

fn statement_bytes(statement: &Statement) -> usize {
    let shape = &statement.shape;
    let tables = shape.tables.iter().map(|table| table.len() + 48).sum::<usize>();
    let changes = if statement.changes.is_some() { size_of::<Changes>() + CHANGE_NAMES_BYTES } else { 0 };
    size_of::<Statement>() + ENTRY_BYTES + shape.tag.len() + tables + changes
}
