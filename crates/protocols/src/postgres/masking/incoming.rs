//! COPY data from the client, for the record: it goes to the target as it is, and is kept with its values masked.

use firsthand_model::masking::{ColumnMask, MaskDuty};
use firsthand_model::statement::RelationKind;
use firsthand_session::RowsPiece;
use firsthand_sql::{CopyForm, CopyOptions};
use firsthand_wire::postgres::Format;
use std::sync::Arc;

use super::Masking;
use super::copy::{CopyColumn, CopyMask};
use crate::postgres::flight::Running;

impl Running {
    /// COPY data of the client follows, in so many columns: decides how it is kept.
    pub(in crate::postgres) fn copy_in_begins(&mut self, format: Format, count: usize) {
        let Some(masking) = &mut self.masking else { return };
        let fits = |o: &&Arc<CopyOptions>| (o.form == CopyForm::Binary) == (format == Format::Binary);
        let options = masking.options.as_ref().filter(fits).map(Arc::clone);
        let columns = options.as_ref().and_then(|options| {
            let facts = self.shape.facts.as_ref()?;
            let into = options.into.as_ref()?;
            let at = facts.writes.iter().position(|relation| relation.name == *into)?;
            let written = masking.duty().written.get(at).map_or(&[][..], |written| &written.columns);
            if written.is_empty() {
                // Only a table of this session has no columns that anybody could have labelled.
                let own = facts.writes.get(at).is_some_and(|r| r.kind == RelationKind::Temporary);
                return own.then(|| vec![(String::new(), None); count]);
            }
            masks(written, &options.columns, count)
        });
        let (Some(options), Some(columns)) = (options, columns) else {
            masking.keeps_nothing = masking.needs_columns();
            return;
        };
        let (names, masks): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let scan = masking.duty().scan;
        let duty = MaskDuty { columns: Some(masks), scan, ..MaskDuty::default() };
        let column = |name: String| CopyColumn {
            names: name.as_str().into(),
            name: name.into_boxed_str(),
            type_oid: 0,
        };
        let columns = names.into_iter().map(column).collect();
        let copy = CopyMask::new(&options, &duty, columns, count, &masking.tools);
        let told = (!copy.passes_all()).then(|| Arc::new(copy.told()));
        masking.copy = told.is_some().then_some(copy);
        if let Some(told) = told {
            self.capture().copy_columns(told);
        }
    }

    /// A piece of COPY data that the client sends, for the record.
    pub(in crate::postgres) fn sent_copy_data(&mut self, data: &[u8]) -> Vec<RowsPiece> {
        self.kept_of(|copy, tools, out| copy.feed(data, tools, out), data)
    }

    /// No more comes: what has not come to the end of a row is a row.
    pub(in crate::postgres) fn sent_copy_ends(&mut self) -> Vec<RowsPiece> {
        if self.masking.as_ref().is_none_or(|masking| masking.copy.is_none()) {
            return Vec::new();
        }
        self.kept_of(|copy, tools, out| copy.finish(tools, out), &[])
    }

    fn kept_of(
        &mut self,
        mask: impl FnOnce(&mut CopyMask, &mut super::Tools, &mut Vec<u8>) -> Result<(), super::copy::Fault>,
        data: &[u8],
    ) -> Vec<RowsPiece> {
        let most = usize::try_from(self.permit.limits().bytes).unwrap_or(usize::MAX);
        let Some(masking) = &mut self.masking else { return self.capture().copy_data(data) };
        let Masking { copy, tools, keeps_nothing, .. } = &mut **masking;
        if *keeps_nothing {
            self.capture().withhold();
            return Vec::new();
        }
        let Some(copy) = copy else { return self.capture().copy_data(data) };
        let mut kept = Vec::new();
        let masked = mask(copy, tools, &mut kept);
        let (too_long, failed) = (copy.waiting() > most, masked.is_err());
        if failed {
            *keeps_nothing = true;
        }
        let piece = if kept.is_empty() { Vec::new() } else { self.capture().copy_data(&kept) };
        if failed {
            self.capture().withhold();
        } else if too_long {
            self.capture().row_too_large();
        }
        piece
    }
}

/// The columns that data has, with their masks; `None`: it cannot be told which they are.
fn masks(
    written: &[(String, Option<ColumnMask>)],
    named: &[String],
    count: usize,
) -> Option<Vec<(String, Option<ColumnMask>)>> {
    if named.is_empty() {
        return (written.len() == count).then(|| written.to_vec());
    }
    let of = |name: &String| written.iter().find(|(known, _)| known == name).cloned();
    named.iter().map(of).collect::<Option<Vec<_>>>().filter(|columns| columns.len() == count)
}
