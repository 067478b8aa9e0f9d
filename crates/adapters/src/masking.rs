//! Nothing is masked: an obligation to mask makes a plan without tools, which no dialect can carry out, so it refuses.

use std::sync::Arc;

use firsthand_model::decision::Obligations;
use firsthand_session::port::{MaskPlan, Masker};

/// The masker of a gateway without masking rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaskNothing;

impl Masker for MaskNothing {
    fn plan(&self, obligations: &Arc<Obligations>) -> MaskPlan {
        MaskPlan { obligations: Arc::clone(obligations), values: None }
    }
}
