//! Detection as the port that masking uses: what is found, with the mask that its label asks for.

use std::collections::HashMap;
use std::sync::Arc;

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

/// Detection and keyed tokens, for one tenant.
#[derive(Debug)]
pub struct ScannedValues {
    detector: Arc<Detector>,
    masks: LabelMasks,
    key: hmac::Key,
}

impl ScannedValues {
    /// With the key of the tenant's tokens.
    pub fn new(detector: Arc<Detector>, masks: LabelMasks, key: &[u8]) -> Self {
        Self { detector, masks, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
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
        HITS.with_borrow_mut(|hits| {
            hits.clear();
            self.detector.scan(value, column, TypeHint::Text, hits);
            for hit in hits.drain(..) {
                if let Some(mask) = self.masks.of(hit.label) {
                    found.push(Found { range: hit.range, mask });
                }
            }
        });
    }
}
