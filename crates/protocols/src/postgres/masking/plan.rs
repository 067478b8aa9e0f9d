//! What is done to each column of a result: decided once for each description of its columns.

use std::sync::Arc;

use firsthand_model::masking::{ColumnMask, MaskDuty};
use firsthand_wire::postgres::mask::{Mask, Typed};

use super::found::Look;
use super::{anything, style};
use crate::postgres::columns::{Column, Columns};

/// What is done to the values of one column.
#[derive(Debug)]
pub(in crate::postgres) enum Act {
    /// They pass.
    Pass,
    /// They are masked.
    Mask(Box<Mask>),
    /// They are looked through.
    Look(Look),
}

/// What is done to the columns of a result.
#[derive(Debug)]
pub(in crate::postgres) struct RowPlan {
    pub(super) acts: Box<[Act]>,
    /// Names, for detection.
    pub(super) names: Box<[Box<str>]>,
    /// The columns with their rules, for the record.
    pub(super) told: Arc<Columns>,
}

impl RowPlan {
    pub(super) fn of(duty: &MaskDuty, columns: &Arc<Columns>, keys: bool) -> Self {
        let all = columns.all();
        let masks: Vec<Option<ColumnMask>> = match &duty.columns {
            Some(lineage) if lineage.len() != all.len() => all.iter().map(|_| Some(anything())).collect(),
            lineage => {
                let by_lineage = |i: usize| lineage.as_ref().and_then(|l| l.get(i)).and_then(Option::as_ref);
                let by_origin = |c: &Column| duty.origins.get(&(c.table, c.number));
                all.iter().enumerate().map(|(i, c)| by_lineage(i).or_else(|| by_origin(c)).cloned()).collect()
            }
        };
        let act = |(column, mask): (&Column, &Option<ColumnMask>)| match mask {
            Some(mask) => Act::Mask(Box::new(mask_of(mask, column, keys))),
            None if duty.scan => Look::of(column).map_or(Act::Pass, Act::Look),
            None => Act::Pass,
        };
        let rules: Vec<_> = masks.iter().map(|m| m.as_ref().map(|m| Arc::clone(&m.rule))).collect();
        Self {
            acts: all.iter().zip(&masks).map(act).collect(),
            names: all.iter().map(|c| String::from_utf8_lossy(&c.name).into()).collect(),
            told: if rules.iter().any(Option::is_some) {
                Arc::new(columns.with_masks(&rules))
            } else {
                Arc::clone(columns)
            },
        }
    }

    /// Whether every value passes as it is.
    pub(super) fn passes_all(&self) -> bool {
        self.acts.iter().all(|act| matches!(act, Act::Pass))
    }
}

fn mask_of(mask: &ColumnMask, column: &Column, keys: bool) -> Mask {
    let typed = Typed { oid: column.type_oid, modifier: column.modifier, format: column.format };
    let it = Mask::new(style(mask.style), &mask.label, typed);
    if keys { it.with_keys() } else { it }
}
