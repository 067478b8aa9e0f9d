//! Arrays as PostgreSQL writes them: each element is a value under the column's name.

use super::class::Class;
use super::columns::Topic;
use super::{Detector, Hit, TypeHint};

/// Adds what is in the elements; false when it is no array of one dimension, or nothing is in it.
pub(crate) fn walk(detector: &Detector, value: &str, topic: Topic, hits: &mut Vec<Hit>) -> bool {
    let Some(body) = value.strip_prefix('{').and_then(|v| v.strip_suffix('}')) else { return false };
    let first = hits.len();
    let mut start = 0;
    while let Some(rest) = body.get(start..).filter(|_| start < body.len()) {
        let quoted = rest.starts_with('"');
        let skipped = usize::from(quoted);
        let inner = rest.get(skipped..).unwrap_or_default();
        let len = inner.find(if quoted { '"' } else { ',' }).unwrap_or(inner.len());
        let element = inner.get(..len).unwrap_or_default();
        // Escapes and arrays within: looked through as a text.
        if element.contains(['\\', '{']) {
            hits.truncate(first);
            return false;
        }
        let before = hits.len();
        detector.cell(element, Class::of(element), topic, TypeHint::Text, hits);
        for hit in hits.iter_mut().skip(before) {
            hit.range = hit.range.start + 1 + start + skipped..hit.range.end + 1 + start + skipped;
        }
        start += skipped + len + usize::from(quoted) + 1;
    }
    hits.len() > first
}
