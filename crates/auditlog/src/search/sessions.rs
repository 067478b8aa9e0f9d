//! The sessions of a log in numbers: from the indexes of sealed segments, and from the others by reading them.

use std::collections::HashMap;

use firsthand_model::id::SessionId;
use firsthand_model::time::UnixMicros;

use crate::entry::Stamp;
use crate::entry::fields::Fields;
use crate::index::SessionLine;
use crate::index::builder::Builder;
use crate::index::catalog::Catalog;
use crate::reader::{Place, ReadError, Reader};
use crate::segment::SegmentName;

/// One session over the whole log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSummary {
    /// Its id.
    pub id: SessionId,
    /// Its first entry.
    pub first: Place,
    /// Its last one so far.
    pub last: Place,
    /// What the log says of it in numbers; positions as in the two fields above.
    pub line: SessionLine,
}

/// All sessions, in the order of their first entries.
pub fn sessions(reader: &Reader, catalog: &Catalog) -> Result<Vec<SessionSummary>, ReadError> {
    let mut all: Vec<SessionSummary> = Vec::new();
    let mut known: HashMap<u128, usize> = HashMap::new();
    for name in catalog.segments() {
        let scanned;
        let lines = match catalog.facts(*name) {
            Some(facts) => &facts.clear.sessions,
            None => {
                scanned = scan(reader, *name)?;
                &scanned
            }
        };
        for (id, line) in lines {
            let place = |position| Place { epoch: name.epoch, position };
            match known.get(id).and_then(|at| all.get_mut(*at)) {
                Some(summary) => {
                    summary.last = place(line.last);
                    add(&mut summary.line, line);
                }
                None => {
                    known.insert(*id, all.len());
                    let (first, last) = (place(line.first), place(line.last));
                    all.push(SessionSummary { id: SessionId(*id), first, last, line: *line });
                }
            }
        }
    }
    Ok(all)
}

fn add(sum: &mut SessionLine, more: &SessionLine) {
    sum.last = more.last;
    sum.until = sum.until.max(more.until);
    sum.commands += more.commands;
    sum.refused += more.refused;
    sum.errors += more.errors;
    sum.abandoned += more.abandoned;
    sum.rows += more.rows;
    sum.opened |= more.opened;
    sum.closed |= more.closed;
}

/// The sessions of a segment without an index.
fn scan(reader: &Reader, name: SegmentName) -> Result<Vec<(u128, SessionLine)>, ReadError> {
    let mut cursor = reader.from_segment(name)?;
    let mut builder = Builder::new(&cursor.enter()?);
    while let Some(stored) = cursor.next()? {
        if stored.segment != name {
            break;
        }
        let time = Fields::read(stored.leaf).map_or(0, |fields| fields.micros());
        let at = Stamp { position: stored.place.position, time: UnixMicros(time), ..Stamp::default() };
        builder.add(&at, stored.leaf, None);
    }
    Ok(builder.finish().1.sessions)
}
