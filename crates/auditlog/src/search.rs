//! Searching the log: entries that match a query, oldest first, or the newest few.
//!
//! - [`query`]: the expression language.
//! - [`matcher`]: whether one entry matches.
//! - [`tokens`]: what was done to tokens, and what was contained, read at each start.
//!
//! Sealed segments whose index says that nothing in them can match are not read.

pub mod matcher;
pub mod query;
pub mod sessions;
pub mod tokens;

use std::collections::VecDeque;

use crate::entry::fields::Fields;
use crate::index::catalog::Catalog;
use crate::names::Names;
use crate::open_set::OpenItem;
use crate::reader::cursor::{Cursor, Stored};
use crate::reader::payload::{Opener, Payload};
use crate::reader::{Place, ReadError, Reader};
use crate::segment::{Header, SegmentName};
use matcher::Matcher;
use query::Query;

/// An entry that was found, with what its payload says.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it stands.
    pub place: Place,
    /// Its leaf, as stored.
    pub leaf: Vec<u8>,
    /// Its payload.
    pub payload: Payload,
}

impl Found {
    /// About the memory that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.leaf.len() + self.payload.clear().map_or(0, <[u8]>::len) + 64
    }
}

/// What a search did, for those who ask how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Segments read.
    pub read: u64,
    /// Segments left out because of their index.
    pub skipped: u64,
    /// Entries looked at.
    pub entries: u64,
}

/// A search through the log.
#[derive(Debug)]
pub struct Search {
    reader: Reader,
    catalog: Catalog,
    query: Query,
    matcher: Matcher,
    opener: Opener,
    cursor: Option<Cursor>,
    /// The segment that the cursor is in.
    current: Option<SegmentName>,
    /// Segments known to come.
    upcoming: VecDeque<SegmentName>,
    /// The segment whose end the matcher has seen, so that it knows the commands that were running there.
    seen: Option<SegmentName>,
    effort: Effort,
    left_out: bool,
}

impl Search {
    /// Prepares a search through the whole log.
    pub fn new(reader: &Reader, query: &Query) -> Result<Self, ReadError> {
        let catalog = Catalog::load(reader)?;
        let upcoming = reader.segments()?.into();
        Ok(Self {
            matcher: Matcher::new(query, reader.keys().map(|k| &**k), catalog.names()),
            opener: reader.opener(),
            reader: reader.clone(),
            query: query.clone(),
            catalog,
            cursor: None,
            current: None,
            upcoming,
            seen: None,
            effort: Effort::default(),
            left_out: false,
        })
    }

    /// Names as far as the log tells them.
    #[must_use]
    pub fn names(&self) -> &Names {
        self.catalog.names()
    }

    /// What it has cost so far.
    #[must_use]
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// The indexes it goes by.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether [`Search::last`] gave fewer than were asked for, because they held too much.
    #[must_use]
    pub fn left_out(&self) -> bool {
        self.left_out
    }

    /// Entries whose payload could not be searched for text.
    #[must_use]
    pub fn unsearched(&self) -> u64 {
        self.matcher.unsearched()
    }

    /// Bytes at the log's end that are no whole frame, if the search has come there.
    #[must_use]
    pub fn torn(&self) -> Option<String> {
        let (segment, byte, why) = self.cursor.as_ref()?.torn()?;
        Some(format!(
            "segment {segment} ends at byte {byte} in what is no whole entry ({why}): a write in progress, or damage"
        ))
    }

    /// The next match; `None` at the end of what is there now. Call it again to follow a log that grows.
    #[expect(clippy::should_implement_trait, reason = "it can give more after it gave none")]
    pub fn next(&mut self) -> Result<Option<Found>, ReadError> {
        loop {
            if self.cursor.is_none() && !self.enter_next()? {
                return Ok(None);
            }
            let Some(cursor) = &mut self.cursor else { return Ok(None) };
            let Some(stored) = cursor.next()? else { return Ok(None) };
            if Some(stored.segment) != self.current {
                self.seen = self.current;
                let coming = stored.segment;
                while self.upcoming.front().is_some_and(|name| *name < coming) {
                    self.upcoming.pop_front();
                }
                // Known from the beginning: its index decides. New since then: the cursor is in it already.
                if self.upcoming.front() == Some(&coming) {
                    self.cursor = None;
                    continue;
                }
                self.current = Some(coming);
                self.effort.read += 1;
            }
            self.effort.entries += 1;
            if let Some(found) = judge(&mut self.matcher, &mut self.opener, &stored)? {
                self.catalog.learn(&found);
                return Ok(Some(found));
            }
        }
    }

    /// Opens the next segment that may hold matches. `false` when there is none.
    fn enter_next(&mut self) -> Result<bool, ReadError> {
        while let Some(name) = self.upcoming.pop_front() {
            let last = self.upcoming.is_empty();
            if !last && !self.catalog.may_match(name, &self.query, &self.matcher) {
                self.effort.skipped += 1;
                continue;
            }
            let before = self.seen;
            let cursor = self.enter(name, before)?;
            self.cursor = Some(cursor);
            self.current = Some(name);
            return Ok(true);
        }
        if self.current.is_none() {
            self.upcoming = self.reader.segments()?.into();
            return if self.upcoming.is_empty() { Ok(false) } else { self.enter_next() };
        }
        Ok(false)
    }

    /// A cursor at the beginning of a segment; the matcher knows the commands that run there. `before` is the segment
    /// that it has just been through.
    fn enter(&mut self, name: SegmentName, before: Option<SegmentName>) -> Result<Cursor, ReadError> {
        self.effort.read += 1;
        let mut cursor = self.reader.from_segment(name)?;
        if !self.matcher.remembers_intents() {
            return Ok(cursor);
        }
        let list = self.reader.segments()?;
        let previous = list.iter().rev().find(|s| **s < name).copied();
        if previous.is_some() && previous != before {
            self.matcher.forget_intents();
            let header = cursor.enter()?;
            self.load_intents(&header)?;
        }
        Ok(cursor)
    }

    /// Shows the matcher the intents of the commands that were running when a segment began.
    fn load_intents(&mut self, header: &Header) -> Result<(), ReadError> {
        let mut open: Vec<&OpenItem> = header.open.iter().filter(|item| item.command.is_some()).collect();
        open.sort_unstable_by_key(|item| (item.epoch, item.position));
        for item in open {
            let place = Place { epoch: item.epoch, position: item.position };
            let mut cursor = self.catalog.cursor_at(&self.reader, place)?;
            if let Some(stored) = cursor.next()?
                && stored.place == place
            {
                judge(&mut self.matcher, &mut self.opener, &stored)?;
            }
        }
        Ok(())
    }

    /// The newest `count` matches, oldest of them first; fewer where they would hold more than `most` bytes (one is always
    /// given). Afterwards [`Search::next`] goes on behind them.
    pub fn last(&mut self, count: usize, most: usize) -> Result<Vec<Found>, ReadError> {
        let mut list: Vec<SegmentName> = std::mem::take(&mut self.upcoming).into();
        let newest = list.last().copied();
        let mut found: VecDeque<Found> = VecDeque::new();
        let (mut bytes, mut full) = (0, false);
        while let Some(name) = list.pop() {
            let is_newest = Some(name) == newest;
            if !is_newest && !self.catalog.may_match(name, &self.query, &self.matcher) {
                self.effort.skipped += 1;
                continue;
            }
            let mut cursor = self.enter(name, None)?;
            let mut here = VecDeque::new();
            while let Some(stored) = cursor.next()? {
                if stored.segment != name && !is_newest {
                    break;
                }
                self.effort.entries += 1;
                if let Some(entry) = judge(&mut self.matcher, &mut self.opener, &stored)? {
                    bytes += entry.bytes();
                    here.push_back(entry);
                    while here.len() + found.len() > count || bytes > most && here.len() + found.len() > 1 {
                        full |= here.len() + found.len() <= count;
                        let Some(oldest) = here.pop_front() else { break };
                        bytes -= oldest.bytes();
                    }
                }
            }
            if is_newest {
                self.current = cursor.mark().and(cursor.header()).map(Header::name);
                self.cursor = Some(cursor);
            }
            here.extend(found);
            found = here;
            if found.len() >= count || full {
                break;
            }
        }
        // It may have been full only while an entry was held that gave way to newer ones, for which there was room.
        self.left_out = full && found.len() < count;
        // What runs at the end of the log is known only from its last segment, which was read first.
        if self.matcher.remembers_intents()
            && let Some(name) = newest
        {
            self.relearn(name)?;
        }
        Ok(found.into())
    }

    /// Reads a segment once more, for the intents in it.
    fn relearn(&mut self, name: SegmentName) -> Result<(), ReadError> {
        let end = self.cursor.as_ref().and_then(Cursor::mark).map_or(0, |mark| mark.position);
        let mut cursor = self.enter(name, None)?;
        while let Some(stored) = cursor.next()? {
            if stored.place.position >= end {
                break;
            }
            judge(&mut self.matcher, &mut self.opener, &stored)?;
        }
        Ok(())
    }
}

/// Judges one entry, and takes it along with its payload if it matches.
fn judge(
    matcher: &mut Matcher,
    opener: &mut Opener,
    stored: &Stored<'_>,
) -> Result<Option<Found>, ReadError> {
    if !matcher.worth_parsing(stored.leaf) {
        return Ok(None);
    }
    if matcher.looks_for_text()
        && let Some(payload) = opener.peek(stored)
        && !matcher.may_hold_text(stored.leaf, payload)
    {
        return Ok(None);
    }
    let fields = Fields::read(stored.leaf).map_err(|source| ReadError::Leaf {
        segment: stored.segment,
        position: stored.place.position,
        source,
    })?;
    let mut opened = None;
    let matches =
        matcher.matches(&fields, &mut || opened.get_or_insert_with(|| opener.open(stored, &fields)).clone());
    if !matches {
        return Ok(None);
    }
    let payload = opened.unwrap_or_else(|| opener.open(stored, &fields));
    Ok(Some(Found { place: stored.place, leaf: stored.leaf.to_vec(), payload }))
}
