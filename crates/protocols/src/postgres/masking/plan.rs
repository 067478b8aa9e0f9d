//! What is done to each column of a result: decided once for each description of its columns.

use std::sync::Arc;

use firsthand_model::masking::{ColumnMask, MaskDuty};
use firsthand_session::port::Values;
use firsthand_wire::postgres::mask::{Mask, Typed};

use super::found::{Look, Named};
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
    pub(super) names: Box<[Named]>,
    /// The columns with their rules, for the record.
    pub(super) told: Arc<Columns>,
    /// Nothing is done but to look at numbers.
    numbers_only: bool,
}

impl RowPlan {
    pub(super) fn of(duty: &MaskDuty, columns: &Arc<Columns>, values: &dyn Values) -> Self {
        let all = columns.all();
        let masks: Vec<Option<ColumnMask>> = match &duty.columns {
            Some(lineage) if lineage.len() != all.len() => all.iter().map(|_| Some(anything())).collect(),
            lineage => {
                let by_lineage = |i: usize| lineage.as_ref().and_then(|l| l.get(i)).and_then(Option::as_ref);
                let by_origin = |c: &Column| duty.origins.get(&(c.table, c.number));
                all.iter().enumerate().map(|(i, c)| by_lineage(i).or_else(|| by_origin(c)).cloned()).collect()
            }
        };
        let named = |(i, c): (usize, &Column)| {
            Named::of(duty, i, all.len()).unwrap_or_else(|| String::from_utf8_lossy(&c.name).into())
        };
        let names: Box<[Named]> = all.iter().enumerate().map(named).collect();
        let act = |((column, mask), names): ((&Column, &Option<ColumnMask>), &Named)| match mask {
            Some(mask) => Act::Mask(Box::new(mask_of(mask, column))),
            None if duty.scan && names.tells(values) => {
                Look::of_somebody(column).map_or(Act::Pass, Act::Look)
            }
            None if duty.scan => Look::of(column).map_or(Act::Pass, Act::Look),
            None => Act::Pass,
        };
        let rules: Vec<_> = masks.iter().map(|m| m.as_ref().map(|m| Arc::clone(&m.rule))).collect();
        let acts: Box<[Act]> = all.iter().zip(&masks).zip(&names).map(act).collect();
        Self {
            numbers_only: acts.iter().all(|act| matches!(act, Act::Pass | Act::Look(Look::Number(_)))),
            acts,
            names,
            told: if rules.iter().any(Option::is_some) {
                Arc::new(columns.with_masks(&rules))
            } else {
                Arc::clone(columns)
            },
        }
    }

    /// Whether a row passes as it is, which a short look at its numbers tells; false where more than that is to be done.
    pub(super) fn lets_pass(&self, body: &[u8]) -> bool {
        if !self.numbers_only {
            return false;
        }
        let fields = || {
            let mut rest = body.get(2..)?;
            for act in &self.acts {
                let (length, after) = rest.split_first_chunk::<4>()?;
                // NULL is -1, and has no bytes.
                let (value, next) =
                    after.split_at_checked(usize::try_from(i32::from_be_bytes(*length)).unwrap_or(0))?;
                if let Act::Look(look) = act
                    && look.may_find(value)
                {
                    return None;
                }
                rest = next;
            }
            rest.is_empty().then_some(())
        };
        fields().is_some()
    }

    /// Whether every value passes as it is.
    pub(super) fn passes_all(&self) -> bool {
        self.acts.iter().all(|act| matches!(act, Act::Pass))
    }
}

fn mask_of(mask: &ColumnMask, column: &Column) -> Mask {
    let typed = Typed { oid: column.type_oid, modifier: column.modifier, format: column.format };
    formed(mask, Mask::new(style(mask.style), &mask.label, typed))
}

/// A mask that leaves of a value's form what may be left. Keys of a stored document may be values, too.
pub(super) fn formed(mask: &ColumnMask, it: Mask) -> Mask {
    if mask.formless { it.formless() } else { it.with_keys() }
}
