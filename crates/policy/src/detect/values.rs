//! Detection as the port that masking uses: what is found, with the mask that its label asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::hmac;
use firsthand_model::masking::ColumnMask;
use firsthand_session::port::{Found, Values};

use super::{Detector, Hit, TypeHint};

/// Which mask a label gets. Labels that are not listed get the one for all others, if there is one.
#[derive(Clone, Debug, Default)]
pub struct LabelMasks {
    by_label: HashMap<String, ColumnMask>,
    others: Option<ColumnMask>,
}

impl LabelMasks {
    /// Masks by label; `others` is for labels that are not named, its own label is replaced by what was found.
    pub fn new(by_label: HashMap<String, ColumnMask>, others: Option<ColumnMask>) -> Self {
        Self { by_label, others }
    }

    fn of(&self, label: &str) -> Option<ColumnMask> {
        self.by_label.get(label).cloned().or_else(|| {
            let others = self.others.as_ref()?;
            Some(ColumnMask { label: Arc::from(label), ..others.clone() })
        })
    }
}

/// So many texts without a finding are remembered.
const CLEAN_SLOTS: usize = 256;
/// Texts of statements, which come again and again, have such lengths; shorter ones are looked at as fast as remembered.
const CLEAN_BYTES: std::ops::RangeInclusive<usize> = 24..=1024;

/// How sure it must be that a number in a column of numbers is somebody's: a check, and the form of a brand or a column that
/// says so.
const NUMBER_SCORE_MIN: f32 = 0.9;

/// Detection and keyed tokens, for one tenant.
#[derive(Debug)]
pub struct ScannedValues {
    detector: Arc<Detector>,
    masks: LabelMasks,
    key: hmac::Key,
    clean: CleanTexts,
}

/// Texts that were looked at with no finding: a prepared statement is looked at once, not each time that it runs. The texts
/// themselves are kept, not their hashes: another one must never pass for one of them. They are kept when they come for the second
/// time: most texts with literals in them never do.
#[derive(Debug)]
struct CleanTexts {
    slots: Vec<Mutex<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Of the text that was last looked at.
    hash: u64,
    kept: Box<str>,
}

/// What [`CleanTexts`] knows of a text.
enum Known {
    /// It was looked at, and is clean.
    Clean,
    /// One like it came just before: worth keeping.
    Again,
    New,
}

impl Default for CleanTexts {
    fn default() -> Self {
        Self { slots: std::iter::repeat_with(Mutex::default).take(CLEAN_SLOTS).collect() }
    }
}

/// A hash for finding a slot, word by word: whoever makes two texts meet gains nothing but that they are looked at.
fn place(text: &str) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(ODD);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let hash = words.iter().fold(text.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let last = rest.iter().fold(0, |word, b| word << 8 | u64::from(*b));
    let hash = mix(hash, last);
    hash ^ hash >> 32
}

impl CleanTexts {
    fn slot(&self, hash: u64) -> Option<MutexGuard<'_, Slot>> {
        let at = usize::try_from(hash % CLEAN_SLOTS as u64).ok()?;
        Some(self.slots.get(at)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn look_up(&self, text: &str, hash: u64) -> Known {
        let Some(mut slot) = self.slot(hash) else { return Known::New };
        if *slot.kept == *text {
            return Known::Clean;
        }
        if std::mem::replace(&mut slot.hash, hash) == hash { Known::Again } else { Known::New }
    }

    fn keep(&self, text: &str, hash: u64) {
        if let Some(mut slot) = self.slot(hash) {
            slot.kept = text.into();
        }
    }
}

impl ScannedValues {
    /// With the key of the tenant's tokens.
    pub fn new(detector: Arc<Detector>, masks: LabelMasks, key: &[u8]) -> Self {
        Self { detector, masks, key: hmac::Key::new(hmac::HMAC_SHA256, key), clean: CleanTexts::default() }
    }
}

thread_local! {
    /// Kept so that a cell in which something is found costs no allocation for the list.
    static HITS: std::cell::RefCell<Vec<Hit>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Values for ScannedValues {
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16] {
        let mut context = hmac::Context::with_key(&self.key);
        // The label's length goes first, so that no label and value run into another pair.
        context.update(&(label.len() as u64).to_be_bytes());
        context.update(label.as_bytes());
        context.update(value);
        let tag = context.sign();
        let mut token = [0; 16];
        for (to, from) in token.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        token
    }

    fn scan(&self, value: &str, column: &str, found: &mut Vec<Found>) {
        // Cells have a column, and come once.
        let comes_again = column.is_empty() && CLEAN_BYTES.contains(&value.len());
        let hash = if comes_again { place(value) } else { 0 };
        let known = if comes_again { self.clean.look_up(value, hash) } else { Known::New };
        if matches!(known, Known::Clean) {
            return;
        }
        let before = found.len();
        HITS.with_borrow_mut(|hits| {
            hits.clear();
            self.detector.scan(value, column, TypeHint::Text, hits);
            for hit in hits.drain(..) {
                if let Some(mask) = self.masks.of(hit.label) {
                    found.push(Found { range: hit.range, mask });
                }
            }
        });
        if matches!(known, Known::Again) && found.len() == before {
            self.clean.keep(value, hash);
        }
    }

    fn stands_for(&self, key: &str, column: &str) -> bool {
        super::Topic::of_column(key).stands_for(super::Topic::of_column(column))
    }

    fn tells(&self, column: &str) -> bool {
        !super::Topic::of_column(column).is_open()
    }

    fn scan_number(&self, digits: &str, column: &str, found: &mut Vec<Found>) {
        HITS.with_borrow_mut(|hits| {
            hits.clear();
            self.detector.scan(digits, column, TypeHint::Integer, hits);
            let sure = |hit: &Hit| hit.score >= NUMBER_SCORE_MIN && hit.range == (0..digits.len());
            for hit in hits.drain(..).filter(sure) {
                if let Some(mask) = self.masks.of(hit.label) {
                    found.push(Found { range: hit.range, mask });
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firsthand_model::masking::Style;

    #[test]
    fn what_was_clean_once_hides_no_other_text() {
        let mask =
            ColumnMask { label: Arc::from(""), rule: Arc::from("r"), style: Style::Redact, formless: false };
        let masks = LabelMasks::new(HashMap::new(), Some(mask));
        let values = ScannedValues::new(Arc::new(Detector::new()), masks, b"key");
        let count = |text: &str| {
            let mut found = Vec::new();
            values.scan(text, "", &mut found);
            found.len()
        };
        for round in 0..3 {
            for n in 0..2_000 {
                assert_eq!(count(&format!("select name from orders where id = {n}")), 0, "{round}");
                assert_eq!(
                    count(&format!("select 1 from orders where mail = 'a{n}@example.com'")),
                    1,
                    "{round}"
                );
            }
        }
    }
}
