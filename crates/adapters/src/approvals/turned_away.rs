//! Answers that did not count are entries, too: who tries to approve what is not theirs to approve, to take it back or to see what masks
//! hide of it is worth knowing. Of one identity so
//! many a minute; the rest is counted in the next one, so that nobody fills the record with them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use firsthand_model::event::{Administered, By, Event};
use firsthand_model::json::{Json, Object};
use firsthand_session::port::Need;

use super::Approvals;
use super::answer::AnswerError;
use super::signing::SignatureError;
use crate::clock::wall;

/// The kind of its entry.
const KIND: &str = "approval.answer_refused";
/// Entries of one identity in [`WINDOW_US`]: far more than a person gives wrong answers, and nothing beside what a log takes.
const ENTRIES_MAX: u32 = 20;
/// A minute.
const WINDOW_US: u64 = 60_000_000;
/// Identities that are counted each by itself: who answers has a token with a role, and those are few. All others share one count.
const IDENTITIES_MAX: usize = 1_000;
/// Bytes of an id that is told: what was asked about may be anything, and is told where it has the form of one.
const ID_BYTES_MAX: usize = 40;

/// How many entries each identity has had.
#[derive(Default)]
pub struct TurnedAway(Mutex<HashMap<String, Count>>);

#[derive(Default)]
struct Count {
    since: u64,
    entries: u32,
    untold: u64,
}

impl TurnedAway {
    /// Whether one more of this identity is told; then with how many before it that were not.
    #[must_use]
    pub fn tells(&self, identity: &str, now: u64) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= IDENTITIES_MAX && !counts.contains_key(identity) {
            counts.retain(|_, count| count.untold > 0 || now.saturating_sub(count.since) < WINDOW_US);
        }
        let full = counts.len() >= IDENTITIES_MAX && !counts.contains_key(identity);
        let count = counts.entry(if full { String::new() } else { identity.to_owned() }).or_default();
        if now.saturating_sub(count.since) >= WINDOW_US {
            (count.since, count.entries) = (now, 0);
        }
        if count.entries >= ENTRIES_MAX {
            count.untold = count.untold.saturating_add(1);
            return None;
        }
        count.entries += 1;
        Some(std::mem::take(&mut count.untold))
    }
}

/// Why an answer does not count, as a word; `None`: that is no fault of who answers.
fn word(e: &AnswerError) -> Option<&'static str> {
    Some(match e {
        AnswerError::Unknown(_) => "unknown",
        AnswerError::Over { .. } => "over",
        AnswerError::NoPerson(_) => "no-person",
        AnswerError::Own(_) => "own",
        AnswerError::NotTheirs(_) => "not-theirs",
        AnswerError::NotInGroup { .. } => "not-in-group",
        AnswerError::NoRight(_) => "no-right",
        AnswerError::Twice(_) => "twice",
        AnswerError::NoGlass(_) => "no-glass",
        AnswerError::NotForGlass { .. } => "not-for-glass",
        AnswerError::NoReason => "no-reason",
        AnswerError::NotShown(_) => "not-shown",
        AnswerError::Signature(SignatureError::Missing) => "signature-missing",
        AnswerError::Signature(SignatureError::Hidden) => "signature-hidden",
        AnswerError::Signature(SignatureError::Unfit(_)) => "signature-unfit",
        AnswerError::Signature(SignatureError::NotTheirs { .. }) => "signature-not-theirs",
        AnswerError::Contained(_) => "contained",
        AnswerError::Long => "long",
        AnswerError::Changed(_) => "changed",
        AnswerError::NotCompared | AnswerError::NotRecorded(_) | AnswerError::State(_) => return None,
    })
}

impl Approvals {
    /// Tells that there is none of this id, of the sort that was meant: what was said of it, as a word.
    pub fn turned_away_unknown(&self, id: &str, by: &By, what: &'static str) {
        self.turned_away(id, by, what, &AnswerError::Unknown(id.to_owned()));
    }

    /// Tells of an answer that did not count, or of what else was asked of one.
    pub(super) fn turned_away(&self, id: &str, by: &By, what: &'static str, e: &AnswerError) {
        let Some(why) = word(e) else { return };
        let Some(untold) = self.desk.turned_away.tells(&by.link.id, wall().0) else { return };
        let mut leaf = Vec::with_capacity(120);
        let mut o = Object::open(&mut leaf);
        o.string("answer", what);
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(fits) {
            o.string("approval", id);
        }
        if untold > 0 {
            o.number("untold", untold);
        }
        o.string("why", why);
        o.close();
        let (leaf, payload) = (Json::from_written(leaf), Json::default());
        let told = Administered { kind: KIND, by: by.clone(), leaf, payload };
        if let Err(e) = self.desk.recorder.append(Event::Administered(Box::new(told)), Need::Fact) {
            tracing::error!("that an answer to {id} did not count ({why}) is not recorded: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_minute_are_told_and_the_rest_is_counted_in_the_next() {
        let (counts, start) = (TurnedAway::default(), 1_000 * WINDOW_US);
        for n in 0..100u64 {
            let told = counts.tells("h-1", start + n);
            assert_eq!(told.is_some(), n < u64::from(ENTRIES_MAX), "{n}");
        }
        assert_eq!(counts.tells("h-2", start), Some(0), "another identity has its own");
        assert_eq!(counts.tells("h-1", start + WINDOW_US), Some(100 - u64::from(ENTRIES_MAX)));
        assert_eq!(counts.tells("h-1", start + WINDOW_US), Some(0));
    }

    #[test]
    fn it_does_not_grow_with_those_who_try() {
        let counts = TurnedAway::default();
        let told = (0..5_000).filter(|n| counts.tells(&format!("h-{n}"), 1).is_some()).count();
        assert_eq!(told, IDENTITIES_MAX + usize::try_from(ENTRIES_MAX).unwrap());
        assert_eq!(counts.0.lock().unwrap().len(), IDENTITIES_MAX + 1);
        // A minute later they are forgotten, but for what is untold yet.
        assert_eq!(counts.tells("h-9999", 1 + WINDOW_US), Some(0));
        assert_eq!(counts.0.lock().unwrap().len(), 2);
    }
}
