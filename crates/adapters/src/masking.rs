//! Nothing is masked yet. An obligation to mask makes a plan that no dialect can carry out, so it refuses.

use firsthand_model::decision::Obligations;
use firsthand_session::port::{MaskPlan, Masker};

/// The masker of a gateway without masking rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct MaskNothing;

impl Masker for MaskNothing {
    fn plan(&self, obligations: &Obligations) -> MaskPlan {
        MaskPlan { masks_anything: !obligations.mask.is_empty() }
    }
}
