//! The indexes of all sealed segments, and what must be known of the rest: what a search and a list of sessions start
//! from.

use std::collections::HashMap;

use super::{BYTES_MAX, SegmentFacts};
use crate::entry::fields::Fields;
use crate::io::read_all;
use crate::names::Names;
use crate::reader::cursor::Cursor;
use crate::reader::{Place, ReadError, Reader};
use crate::search::Found;
use crate::search::matcher::Matcher;
use crate::search::query::{Key, Query};
use crate::segment::SegmentName;

/// Indexes and names.
#[derive(Debug, Default)]
pub struct Catalog {
    segments: Vec<SegmentName>,
    facts: HashMap<SegmentName, SegmentFacts>,
    names: Names,
}

impl Catalog {
    /// Reads all indexes, and looks for names in segments that have none.
    pub fn load(reader: &Reader) -> Result<Self, ReadError> {
        let mut catalog = Self { segments: reader.segments()?, ..Self::default() };
        for name in catalog.segments.clone() {
            match facts_of(reader, name) {
                Some(facts) => {
                    if let Some(secret) = &facts.secret {
                        secret
                            .names
                            .iter()
                            .for_each(|(id, name)| catalog.names.put(id.to_owned(), name.to_owned()));
                    }
                    catalog.facts.insert(name, facts);
                }
                None => catalog.learn_from(reader, name)?,
            }
        }
        Ok(catalog)
    }

    /// Names as far as the log tells them.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The segments there were when it was loaded.
    #[must_use]
    pub fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    /// The index of a segment, where there is one.
    #[must_use]
    pub fn facts(&self, name: SegmentName) -> Option<&SegmentFacts> {
        self.facts.get(&name)
    }

    /// Learns the names that a found entry tells.
    pub fn learn(&mut self, found: &Found) {
        if let Some(payload) = found.payload.clear() {
            self.names.learn(&found.leaf, payload);
        }
    }

    fn learn_from(&mut self, reader: &Reader, name: SegmentName) -> Result<(), ReadError> {
        let (mut cursor, mut opener) = (reader.from_segment(name)?, reader.opener());
        while let Some(stored) = cursor.next()? {
            if stored.segment != name {
                break;
            }
            if Names::tells(stored.leaf)
                && let Ok(fields) = Fields::read(stored.leaf)
                && let Some(payload) = opener.open(&stored, &fields).clear()
            {
                self.names.learn(stored.leaf, payload);
            }
        }
        Ok(())
    }

    /// Whether a segment may hold a match. `true` when there is no index to tell.
    #[must_use]
    pub fn may_match(&self, name: SegmentName, query: &Query, matcher: &Matcher) -> bool {
        let Some(facts) = self.facts(name) else { return true };
        let clear = &facts.clear;
        let in_time = query.since.is_none_or(|since| clear.until >= since)
            && query.until.is_none_or(|until| clear.from < until);
        if !in_time {
            return false;
        }
        let sessions = query.terms.iter().filter(|term| term.key == Key::Session && !term.negated);
        for term in sessions {
            let asked = term.value.to_ascii_lowercase().replace('-', "");
            // A hundred-digit search finds nothing, which is right.
            let here = clear.sessions.iter().any(|(id, _)| format!("{id:032x}").starts_with(&asked));
            if !here {
                return false;
            }
        }
        let earlier = self.earlier(facts);
        matcher.may_match(facts, earlier.as_deref())
    }

    /// The indexes of the segments in which commands began that were running when this one did. `None`: not known.
    fn earlier(&self, facts: &SegmentFacts) -> Option<Vec<&SegmentFacts>> {
        let running = facts.clear.running.as_ref()?;
        let mut names: Vec<SegmentName> = running
            .iter()
            .map(|(epoch, position)| self.segment_of(*epoch, *position))
            .collect::<Option<_>>()?;
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| self.facts(name)).collect()
    }

    fn segment_of(&self, epoch: u64, position: u64) -> Option<SegmentName> {
        let wanted = SegmentName { epoch, first: position };
        self.segments.iter().rev().find(|s| **s <= wanted && s.epoch == epoch).copied()
    }

    /// A cursor that gives the entry of `place` next, gone to by the shortest way.
    pub fn cursor_at(&self, reader: &Reader, place: Place) -> Result<Cursor, ReadError> {
        if let Some(name) = self.segment_of(place.epoch, place.position)
            && let Some(facts) = self.facts(name)
            && let Some((byte, position)) = facts.clear.marks.iter().rev().find(|m| m.1 < place.position)
        {
            let mut cursor = reader.from_segment(name)?;
            if cursor.jump_behind(name, *byte, *position)? {
                cursor.skip_to(place)?;
                return Ok(cursor);
            }
        }
        reader.from_place(place)
    }
}

fn facts_of(reader: &Reader, name: SegmentName) -> Option<SegmentFacts> {
    let file = reader.io().open(&name.index_path(reader.folder()), false).ok()?;
    let bytes = read_all(&*file, BYTES_MAX).ok()?;
    SegmentFacts::read(&bytes, name, reader.keys().map(|keys| &**keys))
}
