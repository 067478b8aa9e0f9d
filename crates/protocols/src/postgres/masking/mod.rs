//! Masking of what comes back: rows (`rows`), COPY data (`copy`), values that only a look finds (`found`), the target's
//! own texts (`texts`). `stream` is where they meet the bytes.
//!
//! What is done to a column is decided once for each description of columns: its lineage says so (`duty.columns`), or
//! where it comes from at the target (`duty.origins`), or its values are looked through (`duty.scan`). Where two of them
//! cannot be brought together, everything is masked.

mod believed;
mod copy;
mod day;
mod digits;
mod found;
mod incoming;
mod network;
mod pairs;
mod plan;
mod rows;
mod stream;
mod texts;

use std::sync::Arc;

use firsthand_model::amount::Labelled;
use firsthand_model::masking::{ColumnMask, MaskDuty, Style};
use firsthand_model::statement::Output;
use firsthand_session::port::{Found, MaskPlan, Values};
use firsthand_session::{Refusal, RefusalKind};
use firsthand_sql::CopyOptions;
use firsthand_wire::postgres::mask;

use super::capture::Capture;
use super::columns::Columns;
use copy::CopyMask;
pub(super) use plan::RowPlan;

/// A row or piece of copy data that has to be masked is held until it is whole. 64 MiB is above what applications keep in
/// one row; a longer one ends its command, because it can neither be held by every session nor be passed unmasked.
pub(super) const MASKED_ROW_MAX: usize = 64 << 20;

/// The rule in the record where everything was masked because lineage and the target tell of different columns.
const MISMATCH: &str = "lineage-mismatch";

/// What one running command's reply needs.
pub(super) struct Masking {
    plan: MaskPlan,
    tools: Tools,
    /// How its COPY data is written, if it is one.
    options: Option<Arc<CopyOptions>>,
    /// The client may get rows.
    gives_rows: bool,
    /// Its columns, where the gateway had to ask for them itself.
    columns: Option<Arc<Columns>>,
    /// For the rows under way.
    rows: Option<Arc<RowPlan>>,
    /// For the COPY data under way.
    copy: Option<CopyMask>,
    /// What the client sends must not be kept: what in it is to be masked cannot be told.
    keeps_nothing: bool,
    /// Why the rest of its reply is withheld.
    refusal: Option<Box<Refusal>>,
}

/// What masking values takes: keys, detection, and room for what is found.
pub(super) struct Tools {
    values: Arc<dyn Values>,
    found: Vec<Found>,
    text: Vec<u8>,
    /// Rules by which values of a column that has none were masked, by column.
    seen: Vec<Option<Arc<str>>>,
    /// Cells in which something was found and that are not counted yet.
    cells_found: u64,
    /// Those of these columns are counted already, because of their labels.
    counted: Labelled,
}

impl Tools {
    fn new(values: &Arc<dyn Values>) -> Self {
        let values = Arc::clone(values);
        Self {
            values,
            found: Vec::new(),
            text: Vec::new(),
            seen: Vec::new(),
            cells_found: 0,
            counted: Labelled::default(),
        }
    }

    /// Something was found in a cell of this column.
    fn found_in(&mut self, column: usize) {
        self.cells_found += u64::from(!self.counted.has(column));
    }

    /// A value of this column was masked by this rule.
    fn saw(&mut self, column: usize, rule: &Arc<str>) {
        if self.seen.len() <= column {
            self.seen.resize(column + 1, None);
        }
        if let Some(slot) = self.seen.get_mut(column) {
            slot.get_or_insert_with(|| Arc::clone(rule));
        }
    }
}

/// Tokens by the keys behind the port.
struct Keyed<'a>(&'a dyn Values);

impl mask::Tokens for Keyed<'_> {
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16] {
        self.0.token(label, value)
    }
}

/// A style in the codec's words.
fn style(style: Style) -> mask::Style {
    match style {
        Style::Redact => mask::Style::Redact,
        Style::Partial => mask::Style::Partial,
        Style::Token => mask::Style::Token,
        Style::Null => mask::Style::Null,
        Style::Generalise => mask::Style::Generalise,
        Style::Zero => mask::Style::Zero,
    }
}

/// What masks a column that nothing certain is known of.
fn anything() -> ColumnMask {
    ColumnMask { label: Arc::from("masked"), rule: Arc::from(MISMATCH), style: Style::Redact, formless: true }
}

/// What is known of the client's encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Bytes that are ASCII stand for ASCII.
    Plain,
    /// They may be parts of other characters.
    Hiding,
    /// It was the first, and may have been changed by what the target has not told of yet.
    Untold,
}

impl Masking {
    /// For a plan that masks something. An error: it cannot be carried out, so the command must not run.
    pub(super) fn new(
        plan: &MaskPlan,
        shape: &firsthand_model::command::Shape,
        options: Option<Arc<CopyOptions>>,
        encoding: Encoding,
    ) -> Result<Option<Box<Self>>, Box<Refusal>> {
        if !plan.masks_anything() {
            return Ok(None);
        }
        let cannot = |why: &str| {
            let text = format!(
                "Firsthand cannot mask what this command would return, so it was not run: {why}; ask for other columns"
            );
            Box::new(Refusal::new(RefusalKind::Unsupported, text))
        };
        let Some(values) = &plan.values else { return Err(cannot("no keys are configured")) };
        match encoding {
            Encoding::Hiding => {
                let refusal = cannot("the client's encoding hides ASCII characters inside others");
                return Err(Box::new(refusal.hint("SET client_encoding = 'UTF8'")));
            }
            // Where the fields of a COPY end is told by its characters; those of a row have lengths.
            Encoding::Untold if shape.tag == "COPY" => {
                let refusal = cannot("what was sent before it may have changed the client's encoding");
                return Err(Box::new(
                    refusal.hint("Send it alone, once what came before has been answered."),
                ));
            }
            Encoding::Plain | Encoding::Untold => {}
        }
        let writes = shape.effects.has(firsthand_model::command::Effect::Write);
        if shape.tag == "COPY" && options.is_none() && !writes {
            return Err(cannot("its COPY options are not known"));
        }
        Ok(Some(Box::new(Self {
            tools: Tools::new(values),
            plan: plan.clone(),
            options,
            gives_rows: shape.facts.as_ref().is_none_or(|facts| facts.output != Output::None),
            columns: None,
            rows: None,
            copy: None,
            keeps_nothing: false,
            refusal: None,
        })))
    }

    /// What a limit on cells counts of each row because of its labels is not counted again when something is found in it.
    pub(super) fn counted(&mut self, labelled: Labelled) {
        self.tools.counted = labelled;
    }

    pub(super) fn duty(&self) -> &MaskDuty {
        &self.plan.obligations.mask
    }

    /// Whether rows can be affected at all: then their columns must be known.
    pub(super) fn needs_columns(&self) -> bool {
        let duty = self.duty();
        duty.scan
            || !duty.origins.is_empty()
            || duty.columns.as_ref().is_some_and(|c| c.iter().any(Option::is_some))
    }

    /// Whether the reply may have to be withheld once it has begun: a row can be too long to be masked, or not what was
    /// announced.
    pub(super) fn may_fail(&self) -> bool {
        self.gives_rows && self.needs_columns()
    }

    /// Columns that the gateway asked for itself.
    pub(super) fn described(&mut self, columns: Option<Arc<Columns>>) {
        self.columns = columns;
    }

    /// Ends the reply here: the rest is withheld, and the client is told this in the end.
    fn refuse(&mut self, refusal: Refusal) {
        self.refusal.get_or_insert_with(|| Box::new(refusal));
    }

    /// Why the reply was withheld, once.
    pub(super) fn take_refusal(&mut self) -> Option<Box<Refusal>> {
        self.refusal.take()
    }

    /// Tells the capture which rule masked which column, as far as only the values told.
    pub(super) fn tell(&mut self, capture: &mut Capture) {
        if self.tools.seen.iter().any(Option::is_some) {
            let seen = std::mem::take(&mut self.tools.seen);
            capture.tell_masks(&seen);
        }
    }
}

fn too_long() -> Refusal {
    Refusal::new(
        RefusalKind::Limit,
        format!("Firsthand masks rows of up to {MASKED_ROW_MAX} bytes; this result has a longer one, so it ends here"),
    )
    .hint("Select fewer or shorter columns.")
}
