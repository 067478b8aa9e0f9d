//! Which entries go into a bundle: those of the time range, and the one before and behind it, so that nobody has to believe
//! where the range begins and ends.

use std::collections::BTreeMap;
use std::path::Path;

use super::{MakeError, failed};
use crate::bundle::EPOCHS_MAX;
use crate::bundle::manifest::Asked;
use crate::entry::moment;
use crate::index::catalog::Catalog;
use crate::reader::{Place, Reader};
use crate::segment::SegmentName;
use crate::sign::serve;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::Note;
use crate::tree::Hash;
use crate::verify::leaf::Leaf;

/// One epoch's part of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub epoch: u64,
    /// The first position.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
    /// Entries that the newest checkpoint covers.
    pub size: u64,
    /// Their root.
    pub root: Hash,
    /// The name of the tree.
    pub origin: String,
    /// The note.
    pub note: String,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// By epoch.
    pub parts: Vec<Part>,
    /// Entries of the range that no checkpoint covers.
    pub unsigned: u64,
}

/// Where the range stands in the log.
#[derive(Debug, Default)]
struct Span {
    before: Option<Place>,
    first: Option<Place>,
    last: Option<Place>,
    behind: Option<Place>,
    /// Entries seen of each epoch.
    ends: BTreeMap<u64, u64>,
}

impl Span {
    fn see(&mut self, place: Place, (late_enough, early_enough): (bool, bool)) {
        self.ends.insert(place.epoch, place.position + 1);
        if self.first.is_none() && late_enough {
            self.first = self.before.or(Some(place));
        }
        if self.first.is_some() {
            if late_enough && early_enough {
                (self.last, self.behind) = (Some(place), None);
            } else if self.behind.is_none() {
                self.behind = Some(place);
            }
        }
        self.before = Some(place);
    }
}

/// Finds them.
///
/// # Errors
/// Where the log cannot be read, or nothing of it is signed.
pub fn plan(reader: &Reader, catalog: &Catalog, data: &Path, asked: &Asked) -> Result<Plan, MakeError> {
    let span = span(reader, catalog, asked)?;
    let first = span.first.or(span.before).ok_or(MakeError::Empty)?;
    let last = span.behind.or(span.last).unwrap_or(first);
    let mut parts = Vec::new();
    let mut unsigned = 0;
    for (epoch, entries) in span.ends.range(first.epoch..=last.epoch) {
        if parts.len() >= EPOCHS_MAX {
            return Err(MakeError::TooMuch(format!("more than {EPOCHS_MAX} epochs: name a shorter range")));
        }
        let from = if *epoch == first.epoch { first.position } else { 0 };
        let to = if *epoch == last.epoch { last.position + 1 } else { *entries };
        let mut part = signed(reader, data, *epoch)?;
        if part.size == 0 {
            return Err(MakeError::Unsigned(*epoch));
        }
        part.first = from;
        // Fewer than are signed can be read where damage was given up by a gap.
        part.end = if *epoch == last.epoch { to.min(part.size) } else { part.size.min(*entries) };
        if part.first >= part.end {
            part.first = part.end.saturating_sub(1);
        }
        // The one behind the range is not of it.
        let of_range = match span.last {
            Some(last) if last.epoch == *epoch => last.position + 1,
            Some(last) if last.epoch > *epoch => *entries,
            _ => 0,
        };
        unsigned += of_range.saturating_sub(part.size);
        parts.push(part);
    }
    Ok(Plan { parts, unsigned })
}

fn signed(reader: &Reader, data: &Path, epoch: u64) -> Result<Part, MakeError> {
    let path = serve::folder(data, epoch).join("checkpoint");
    let note = serve::checkpoint(&**reader.io(), data, epoch).map_err(failed(&path))?;
    let (note, size) = note.ok_or(MakeError::Unsigned(epoch))?;
    let read = Note::parse(note.as_bytes()).ok().and_then(|note| Checkpoint::parse(note.text()).ok());
    let checkpoint = read.ok_or(MakeError::Unsigned(epoch))?;
    let (root, origin) = (*checkpoint.root(), checkpoint.origin().to_owned());
    Ok(Part { epoch, first: 0, end: 0, size, root, origin, note })
}

/// Reads the segments in which the range may stand.
fn span(reader: &Reader, catalog: &Catalog, asked: &Asked) -> Result<Span, MakeError> {
    let segments = reader.segments()?;
    let clear = |name: &SegmentName| catalog.facts(*name).map(|facts| &facts.clear);
    let early = |name: &&SegmentName| asked.from.zip(clear(name)).is_some_and(|(from, c)| c.until < from);
    let skipped = segments.iter().take_while(early).count();
    // The last entry of the segment before is the one before the range.
    let start = segments.get(skipped.saturating_sub(1)).copied().ok_or(MakeError::Empty)?;
    let late = |name: &&SegmentName| asked.to.zip(clear(name)).is_some_and(|(to, c)| c.from >= to);
    let kept = segments.len() - segments.iter().rev().take_while(late).count();
    let stop = segments.get(kept).copied();
    let mut span = Span::default();
    let mut cursor = reader.from_segment(start)?;
    while let Some(stored) = cursor.next()? {
        let leaf = Leaf::read(stored.leaf).map_err(|_| MakeError::Leaf(stored.place))?;
        let time = moment::written(leaf.t).unwrap_or(0);
        let late_enough = asked.from.is_none_or(|from| time >= from);
        span.see(stored.place, (late_enough, asked.to.is_none_or(|to| time < to)));
        if stop.is_some_and(|stop| stored.segment >= stop) {
            break;
        }
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(times: &[u64], from: Option<u64>, to: Option<u64>) -> (u64, u64) {
        let mut span = Span::default();
        for (position, time) in (0..).zip(times) {
            let fits = (from.is_none_or(|from| *time >= from), to.is_none_or(|to| *time < to));
            span.see(Place { epoch: 1, position }, fits);
        }
        let first = span.first.or(span.before).unwrap();
        (first.position, span.behind.or(span.last).unwrap_or(first).position)
    }

    #[test]
    fn the_range_has_one_before_and_one_behind_it() {
        let times = [10, 20, 30, 40, 50];
        assert_eq!(seen(&times, None, None), (0, 4));
        assert_eq!(seen(&times, Some(25), Some(45)), (1, 4));
        assert_eq!(seen(&times, Some(20), Some(30)), (0, 2));
        assert_eq!(seen(&times, Some(60), None), (4, 4));
        assert_eq!(seen(&times, None, Some(5)), (0, 0));
        assert_eq!(seen(&times, Some(21), Some(22)), (1, 2));
        // A clock that goes back: all between the first and the last that fit.
        assert_eq!(seen(&[10, 30, 20, 30, 40], Some(25), Some(35)), (0, 4));
    }
}
