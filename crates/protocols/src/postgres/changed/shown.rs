//! The rows of a statement that is only tried (`preview`): the same list, read and masked as the record would have them.

use std::sync::Arc;

use firsthand_model::command::Shape;
use firsthand_model::decision::Obligations;
use firsthand_model::limits::RecordLimits;
use firsthand_model::masking::MaskDuty;
use firsthand_model::preview::Sample;
use firsthand_model::target::ChangedRows;
use firsthand_session::port::MaskPlan;
use firsthand_sql::{Change, with_returning};

use super::added::{Added, Told};
use super::table::{self, TableFacts, TableRow};

/// Bytes, as they are stored, of all values of a row: people read them, and some thousand rows may come for those that are
/// shown.
const ROW_BYTES_MAX: usize = 16 << 10;

/// The list for a statement, by what the table is; or why there is none.
pub(in super::super) fn listed(
    change: &Change,
    rows: Vec<TableRow>,
    shape: &Shape,
) -> Result<Arc<Added>, &'static str> {
    let facts = TableFacts { rows, ..TableFacts::default() };
    let table = table::meant(&facts, &change.table, shape)?;
    Added::up_to(change, table, ChangedRows::Values, ROW_BYTES_MAX).map(Arc::new)
}

impl Added {
    /// The text with the list.
    pub(in super::super) fn in_text(&self, text: &[u8], change: &Change) -> Option<Vec<u8>> {
        with_returning(text, change, self.items())
    }

    /// The table: schema and name.
    pub(in super::super) fn place(&self) -> (&str, &str) {
        (&self.table.schema, &self.table.name)
    }

    /// Its columns.
    pub(in super::super) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }
}

/// Rows that are shown.
pub(in super::super) struct Shown(Told);

impl Shown {
    /// Masked by this plan, which has a mask for each of the columns, in order.
    pub(in super::super) fn new(added: &Arc<Added>, limits: RecordLimits, plan: &MaskPlan) -> Option<Self> {
        let masks = plan.obligations.mask.columns.as_ref()?;
        if masks.len() != added.columns.len() {
            return None;
        }
        let of = |column: &table::Column| (added.table.oid, column.number);
        let origins = added.columns.iter().zip(masks);
        let origins = origins.filter_map(|(column, mask)| Some((of(column), mask.clone()?))).collect();
        let mask =
            MaskDuty { origins: Arc::new(origins), scan: plan.obligations.mask.scan, ..MaskDuty::default() };
        let obligations = Arc::new(Obligations { mask, ..Obligations::default() });
        let plan = MaskPlan { obligations, values: plan.values.clone() };
        Some(Self(Told::new(Arc::clone(added), limits, plan)))
    }

    /// A row of the answer. The limits are below the size at which a piece would be handed out.
    pub(in super::super) fn row(&mut self, body: &[u8]) {
        let piece = self.0.row(body);
        debug_assert!(piece.is_none(), "a sample is smaller than a piece");
    }

    /// All of them.
    pub(in super::super) fn sample(mut self, count: u64) -> Sample {
        let piece = self.0.take(Some(count));
        Sample {
            table: piece.table,
            action: piece.action,
            rows: piece.rows,
            coverage: piece.coverage,
            columns: piece.columns,
            old: piece.old,
            new: piece.new,
        }
    }
}
