//! Cursors: what they run when they are asked for rows, which is later than they are declared.
//!
//! The names in a cursor's query mean what they meant at its DECLARE. A body that stands in no plan is read when it runs: in the
//! path of that moment. So what a cursor does is what its query did where it was declared, and what it would do in each path
//! that has been in force since; what was sorted or kept back in one may come out in another.

use std::sync::Arc;

use firsthand_model::command::Effect;
use firsthand_model::statement::{Facts, Output, OutputColumn};
use pg_query::protobuf;

use super::{Resolver, Sequel};
use crate::state::{Cursor, Declared, Path};

impl Resolver<'_> {
    pub(super) fn declare(&mut self, it: &protobuf::DeclareCursorStmt) -> Sequel {
        let Some(query) = it.query.as_deref() else { return Sequel::Nothing };
        let rows = self.query(query);
        self.output(&rows);
        let opaque = self.found.is_opaque();
        let facts = self.found.snapshot();
        self.found.output = Output::None;
        self.found.effect(Effect::Session);
        if self.planning {
            return Sequel::Nothing;
        }
        // CURSOR_OPT_HOLD
        let hold = it.options & 0x20 != 0;
        let cursor = Declared {
            facts,
            query: query.clone(),
            parameters: self.parameter_types.clone(),
            serial: self.catalog.serial,
        };
        let declare = Sequel::Declare { name: it.portalname.clone(), cursor: Arc::new(cursor), hold };
        if opaque { Sequel::Several(vec![declare, Sequel::Uncertain]) } else { declare }
    }

    /// FETCH and MOVE.
    pub(super) fn fetch(&mut self, it: &protobuf::FetchStmt) {
        self.by_name = true;
        self.found.effect(Effect::Read);
        let state = self.state;
        match state.cursor(&it.portalname) {
            Some(cursor) => {
                let output = self.runs_cursor(cursor);
                self.found.output = if it.ismove { Output::None } else { output };
            }
            None => {
                self.found.opaque("cursor", "");
                self.found.output = Output::Untold("cursor");
            }
        }
    }

    /// A COMMIT runs what is left of the queries of cursors WITH HOLD.
    pub(super) fn held_cursors(&mut self) {
        let state = self.state;
        for cursor in state.held() {
            self.by_name = true;
            self.runs_cursor(cursor);
        }
    }

    fn runs_cursor(&mut self, cursor: &Cursor) -> Output {
        let declared = &cursor.declared;
        self.found.take(&declared.facts);
        let mut output = declared.facts.output.clone();
        let Some((then, since)) = cursor.paths().split_first() else {
            self.found.opaque("search-path", "");
            return Output::Untold("cursor");
        };
        // What the names of its bodies stand for may have been defined anew.
        let again = (declared.serial != self.catalog.serial).then_some(then);
        for path in again.into_iter().chain(since) {
            let facts = self.query_run_in(declared, then, path);
            self.found.take(&facts);
            output = self.either(output, &facts.output);
        }
        output
    }

    /// A query whose names were looked up in one path, and that runs in another.
    fn query_run_in(&mut self, declared: &Declared, then: &Path, now: &Path) -> Facts {
        let mut inner = self.inner(then.clone());
        inner.runs_in = now.clone();
        inner.steps = self.steps;
        inner.parameter_types.clone_from(&declared.parameters);
        let rows = inner.query(&declared.query);
        inner.output(&rows);
        self.steps = inner.steps;
        inner.found.finish()
    }

    /// Columns that are made of what the one or the other tells.
    fn either(&mut self, one: Output, other: &Output) -> Output {
        match (one, other) {
            (Output::Columns(own), Output::Columns(others)) if own.len() == others.len() => {
                let both = own.into_iter().zip(others);
                Output::Columns(both.map(|(own, other)| self.either_column(own, other)).collect())
            }
            (Output::None, Output::None) => Output::None,
            (Output::Untold(why), _) | (_, &Output::Untold(why)) => Output::Untold(why),
            _ => Output::Untold("cursor"),
        }
    }

    fn either_column(&mut self, own: OutputColumn, other: &OutputColumn) -> OutputColumn {
        if own == *other {
            return own;
        }
        let value = self.found.output_value(&own, own.type_oid);
        let value = value.joined(&self.found.output_value(other, other.type_oid));
        self.found.output_column(&own.name, &value, own.type_oid)
    }
}
