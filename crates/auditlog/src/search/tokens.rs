//! All that the log says of tokens and of what is contained, as a gateway reads it before it listens: of a sealed segment no more
//! than those entries, to whose places its index leads.

use super::{Effort, Found};
use crate::entry::fields::Fields;
use crate::index::catalog::Catalog;
use crate::index::{Facet, SegmentFacts};
use crate::reader::cursor::{Cursor, Stored};
use crate::reader::payload::Opener;
use crate::reader::{ReadError, Reader};
use crate::segment::SegmentName;

/// How the kinds of these entries begin.
const KINDS: [&str; 2] = ["identity.token", "admin.contain"];
/// What all of them have in them.
const SIGN: [&str; 2] = ["\"identity.token", "\"admin.contain"];

/// Whether an entry of this kind is about a token, or about what is contained.
#[must_use]
pub fn is_about(kind: &str) -> bool {
    KINDS.iter().any(|begin| kind.starts_with(begin))
}

/// Entries closer to the last one than this are come to by reading on: a jump reads as much.
const NEAR: u64 = 1 << 20;

/// Gives every entry about a token or what is contained, oldest first.
///
/// # Errors
/// The log cannot be read, or something in it is damaged where it was read.
pub fn about_tokens(reader: &Reader, each: &mut dyn FnMut(&Found)) -> Result<Effort, ReadError> {
    let catalog = Catalog::load(reader)?;
    let mut reading = Reading { reader, opener: reader.opener(), effort: Effort::default(), each };
    for name in catalog.segments() {
        match catalog.facts(*name) {
            Some(facts) if !facts.any(Facet::Kind, is_about) => {
                reading.effort.skipped += 1;
            }
            facts => reading.segment(*name, facts)?,
        }
    }
    Ok(reading.effort)
}

struct Reading<'r> {
    reader: &'r Reader,
    opener: Opener,
    effort: Effort,
    each: &'r mut dyn FnMut(&Found),
}

impl Reading<'_> {
    fn segment(&mut self, name: SegmentName, facts: Option<&SegmentFacts>) -> Result<(), ReadError> {
        self.effort.read += 1;
        if let Some(places) = facts.and_then(|facts| facts.clear.tokens.as_deref())
            && let Some(found) = self.at(name, places)?
        {
            found.iter().for_each(|found| (self.each)(found));
            return Ok(());
        }
        let mut cursor = self.reader.from_segment(name)?;
        while let Some(stored) = cursor.next()?.filter(|stored| stored.segment == name) {
            self.effort.entries += 1;
            if let Some(found) = found(&mut self.opener, &stored)? {
                (self.each)(&found);
            }
        }
        Ok(())
    }

    /// The entries behind these frames. `None`: something else stands there.
    fn at(&mut self, name: SegmentName, places: &[(u64, u64)]) -> Result<Option<Vec<Found>>, ReadError> {
        let mut cursor: Option<Cursor> = None;
        let mut all = Vec::with_capacity(places.len());
        for (byte, position) in places {
            let near = cursor.as_ref().and_then(Cursor::mark).is_some_and(|mark| *byte < mark.byte + NEAR);
            let mut here = match cursor.take().filter(|_| near) {
                Some(cursor) => cursor,
                None => {
                    let mut fresh = self.reader.from_segment(name)?;
                    if *byte > 0 && !fresh.jump_behind(name, *byte, *position)? {
                        return Ok(None);
                    }
                    fresh
                }
            };
            let found = loop {
                let Some(stored) = here.next()?.filter(|stored| stored.segment == name) else {
                    return Ok(None);
                };
                self.effort.entries += 1;
                if stored.byte > *byte {
                    break found(&mut self.opener, &stored)?;
                }
            };
            let Some(found) = found else { return Ok(None) };
            all.push(found);
            cursor = Some(here);
        }
        Ok(Some(all))
    }
}

/// The entry with its payload, if it is one of these.
fn found(opener: &mut Opener, stored: &Stored<'_>) -> Result<Option<Found>, ReadError> {
    if SIGN.iter().all(|sign| memchr::memmem::find(stored.leaf, sign.as_bytes()).is_none()) {
        return Ok(None);
    }
    let fields = Fields::read(stored.leaf).map_err(|source| ReadError::Leaf {
        segment: stored.segment,
        position: stored.place.position,
        source,
    })?;
    if !is_about(&fields.k) {
        return Ok(None);
    }
    let payload = opener.open(stored, &fields);
    Ok(Some(Found { place: stored.place, leaf: stored.leaf.to_vec(), payload }))
}
