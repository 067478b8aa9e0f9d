//! The question about tables that a batch writes to: asked beside the decision, so that it costs no time of its own.

use firsthand_model::outcome::Transaction;
use firsthand_model::target::ChangedRows;
use firsthand_session::Answer;
use firsthand_sql::Changes;

use super::super::batch::What;
use super::super::dialect::PostgresDialect;
use super::table::TableFacts;
use crate::dialect::{Action, Looking, Thought};

/// The answer, as a thought.
pub(in super::super) struct Asked(pub(super) Option<TableFacts>);

impl PostgresDialect {
    /// A batch is being asked for: asks about the tables that it writes to.
    pub(in super::super) fn ask_tables(&mut self, out: &mut Vec<Action>) {
        self.changed.facts = None;
        if self.changed.kept == ChangedRows::Off || self.why_not_now().is_some() {
            return;
        }
        let names = self.written_names();
        let Some(source) = self.changed.source.as_ref().filter(|_| !names.is_empty()) else { return };
        let asking = source.ask(self.role.name(), names);
        self.changed.looking = true;
        out.push(Action::Look(Looking(Box::pin(async move { Box::new(Asked(asking.await)) as Thought }))));
    }

    /// Why nothing can be added at this moment, whatever the table.
    pub(super) fn why_not_now(&self) -> Option<&'static str> {
        let changed = &self.changed;
        if changed.old_server || changed.source.is_none() || self.role.is_unknown() {
            return Some(super::UNASKED);
        }
        if changed.defined || changed.moving {
            return Some(super::DEFINED);
        }
        if self.transaction == Transaction::Failed
            || self.flight.is_skipping()
            || self.flight.is_reading_copy()
        {
            return Some(super::UNASKED);
        }
        (!self.parameters.same_encoding()).then_some(super::ENCODING)
    }

    /// Names of tables that the batch's statements write to.
    fn written_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for item in &self.batch.items {
            let plan = item.owner.and_then(|at| self.batch.plans.get(at));
            let changes = match &item.what {
                What::Bind(portal) => portal.statement.as_ref().and_then(|it| it.changes.as_ref()),
                What::Query(range) if range.len() == 1 => plan.and_then(|plan| plan.changes.as_ref()),
                _ => None,
            };
            if let Some(Changes::Rows(change)) = changes.map(|c| &**c)
                && let [_, _, name] = &change.table
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }

    /// The batch was decided: sends it, unless what is known of its tables is still to come.
    pub(in super::super) fn forward_when_known(&mut self, answers: Vec<Answer>, out: &mut Vec<Action>) {
        if self.changed.looking {
            self.changed.decided = Some(answers);
            return;
        }
        self.asking = false;
        self.forward(answers, out);
        if !self.is_held_up() {
            // It says how things were; and a session that waits keeps nothing of it.
            self.changed.facts = None;
        }
    }

    /// What is known of the tables is here.
    pub(in super::super) fn tables_told(&mut self, asked: Asked, out: &mut Vec<Action>) {
        self.changed.looking = false;
        self.changed.facts = asked.0;
        if let Some(answers) = self.changed.decided.take() {
            self.forward_when_known(answers, out);
        }
    }
}
