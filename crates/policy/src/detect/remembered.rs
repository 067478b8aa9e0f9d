//! The topics of the names seen last: of columns, because a result's cells come column by column, row by row; and of the words
//! before a number or a sign in a text, because texts of statements come again with other literals.

use std::cell::RefCell;

use super::columns::Topic;

/// So many names are remembered by each thread: a wide table's columns.
const SLOTS: usize = 256;
/// A longer name is not remembered (identifiers of PostgreSQL have 63 bytes).
const MAX_NAME: usize = 64;

struct Slot {
    name: [u8; MAX_NAME],
    len: usize,
    topic: Topic,
}

thread_local! {
    static SEEN: RefCell<Vec<Option<Slot>>> = const { RefCell::new(Vec::new()) };
}

/// The topic of a column, or of the words before a value. It depends on the name alone, so remembering it changes nothing but time.
pub(crate) fn topic(name: &str) -> Topic {
    let bytes = name.as_bytes();
    if bytes.len() > MAX_NAME {
        return Topic::of_column(name);
    }
    // FNV-1a: short names, no attacker gains by a collision (it costs one look at the words).
    let hash = bytes.iter().fold(0x811C_9DC5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    SEEN.with_borrow_mut(|seen| {
        if seen.is_empty() {
            seen.resize_with(SLOTS, || None);
        }
        let Some(slot) = seen.get_mut(hash as usize % SLOTS) else { return Topic::of_column(name) };
        if let Some(s) = slot
            && s.name.get(..s.len) == Some(bytes)
        {
            return s.topic;
        }
        let topic = Topic::of_column(name);
        let mut kept = [0; MAX_NAME];
        for (to, from) in kept.iter_mut().zip(bytes) {
            *to = *from;
        }
        *slot = Some(Slot { name: kept, len: bytes.len(), topic });
        topic
    })
}
