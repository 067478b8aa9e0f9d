//! Numbers by which states know people and firms: one line each in a table, with the check that decides.
//!
//! A number without separators whose check is weak (one digit in ten passes) is not believed without a column's name
//! or a word before it: order numbers would pass by the thousand.

mod americas;
mod asia;
mod europe;
mod north;
mod south;

use super::columns::Topic;
use super::shape::Shape;

/// One kind of number.
pub(crate) struct Kind {
    /// Its label.
    pub(crate) label: &'static str,
    /// The least and most letters and digits.
    pub(crate) len: (usize, usize),
    /// Layouts by which it is recognised, if the check passes too (`*` ends a layout that may go on in any way).
    pub(crate) layouts: &'static [&'static str],
    /// Whether it is recognised without separators: the check and the shape are then strong enough.
    pub(crate) bare: bool,
    /// The check, over upper-case letters and digits.
    pub(crate) valid: fn(&[u8]) -> bool,
}

/// A kind recognised by its check alone, however it is written.
const fn strong(
    label: &'static str,
    len: usize,
    layouts: &'static [&'static str],
    valid: fn(&[u8]) -> bool,
) -> Kind {
    Kind { label, len: (len, len), layouts, bare: true, valid }
}

/// A kind recognised only in its usual layout, or under a column's name.
const fn weak(
    label: &'static str,
    len: usize,
    layouts: &'static [&'static str],
    valid: fn(&[u8]) -> bool,
) -> Kind {
    Kind { label, len: (len, len), layouts, bare: false, valid }
}

/// The longest national number.
const LONGEST: usize = 20;

/// All of them.
const TABLES: [&[Kind]; 5] = [europe::KINDS, north::KINDS, south::KINDS, americas::KINDS, asia::KINDS];

/// All kinds, by length.
pub(crate) struct Ids {
    by_len: Vec<Vec<&'static Kind>>,
}

impl Ids {
    pub(crate) fn new() -> Self {
        let mut by_len: Vec<Vec<&'static Kind>> = vec![Vec::new(); LONGEST + 1];
        for kind in TABLES.into_iter().flatten() {
            for (_, kinds) in
                by_len.iter_mut().enumerate().filter(|(n, _)| (kind.len.0..=kind.len.1).contains(n))
            {
                kinds.push(kind);
            }
        }
        Self { by_len }
    }

    /// The labels of all kinds.
    pub(crate) fn labels() -> impl Iterator<Item = &'static str> {
        TABLES.into_iter().flatten().map(|k| k.label)
    }

    /// The kind that a shape is, with how sure that is. The topic says what the column or the words before say.
    pub(crate) fn find(&self, shape: &Shape, topic: Topic) -> Option<(&'static str, f32)> {
        let compact = shape.compact();
        let kinds = self.by_len.get(compact.len())?;
        let named = topic.kinds();
        // What the name speaks of goes before what else the number may be.
        let meant = |label: &&&str| kinds.iter().any(|k| k.label == **label && (k.valid)(compact));
        if let Some(label) = named.iter().find(meant) {
            return Some((label, 0.95));
        }
        let told = is_id(topic) || !named.is_empty();
        // Under a name that speaks of other numbers, chance is the likelier cause.
        let other = topic.is_of_number() && !told;
        let ordinary = other || matches!(topic, Topic::Ordinary | Topic::Version) || looks_like_time(compact);
        let mut best: Option<(&'static str, f32)> = None;
        for kind in kinds {
            // Amounts and numbers of orders are written in equal groups too.
            let common = ordinary && !kind.bare && shape.is_number() && is_even(shape.layout());
            let laid = !shape.is_bare()
                && !common
                && kind.layouts.iter().any(|l| fits(l.as_bytes(), shape.layout()));
            let bare = kind.bare && shape.is_bare() && !(ordinary && shape.is_number());
            if !(laid || bare || told) || !(kind.valid)(compact) {
                continue;
            }
            let score = match (laid, bare) {
                (true, _) => 0.95,
                (_, true) => 0.9,
                _ => 0.85,
            };
            if best.is_none_or(|(_, s)| score > s) {
                best = Some((kind.label, score));
            }
        }
        best
    }
}

/// Whether a topic asks for such a number.
pub(crate) fn is_id(topic: Topic) -> bool {
    matches!(topic, Topic::NationalId(_) | Topic::TaxId(_))
}

/// Groups of one length, the first perhaps shorter, with one kind of separator.
fn is_even(layout: &[u8]) -> bool {
    let lengths = || layout.iter().step_by(2);
    let most = lengths().max();
    lengths().skip(1).all(|l| Some(l) == most)
}

fn fits(layout: &[u8], have: &[u8]) -> bool {
    match layout.split_last() {
        Some((b'*', start)) => have.starts_with(start),
        _ => layout == have,
    }
}

/// Seconds since 1970 in ten digits, milliseconds in thirteen, microseconds in sixteen, `YYYYMMDDhhmmss`: what clocks write.
pub(crate) fn looks_like_time(compact: &[u8]) -> bool {
    match compact.len() {
        10 | 13 | 16 if compact.iter().all(u8::is_ascii_digit) => {
            matches!(compact, [b'1', b'3'..=b'8', ..]) && compact.len() != 13
        }
        12 | 14 => {
            super::checks::yyyymmdd(compact, 0)
                && super::checks::number(compact, 8, 2).is_some_and(|h| h < 24)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
