//! The question about tables that a batch writes to: asked beside the decision, so that it costs no time of its own.

use firsthand_model::command::Shape;
use firsthand_model::outcome::Transaction;
use firsthand_model::target::ChangedRows;
use firsthand_session::{Answer, Permit};
use firsthand_sql::Changes;

use super::super::batch::What;
use super::super::dialect::PostgresDialect;
use super::far::{ANY, runs_code, shape_of, stays_alone};
use super::table::TableFacts;
use crate::dialect::{Action, Looking, Thought};

/// The answer, as a thought.
pub(in super::super) struct Asked(pub(super) Option<TableFacts>);

impl PostgresDialect {
    /// A batch is being asked for: asks about the tables that it writes to.
    pub(in super::super) fn ask_tables(&mut self, out: &mut Vec<Action>) {
        self.changed.facts = None;
        if self.changed.kept != ChangedRows::Off {
            self.look_at_tables(false, out);
        }
    }

    /// `limited`: what is asked for is the most that a limit has to know.
    fn look_at_tables(&mut self, limited: bool, out: &mut Vec<Action>) {
        if self.why_not_known().is_some() {
            return;
        }
        let (names, all) = self.written_names(limited);
        let Some(source) = self.changed.source.as_ref().filter(|_| !names.is_empty()) else { return };
        let asking = source.ask(self.role.name(), names, all);
        self.changed.looking = true;
        out.push(Action::Look(Looking(Box::pin(async move { Box::new(Asked(asking.await)) as Thought }))));
    }

    /// Why nothing can be added at this moment, whatever the table.
    pub(super) fn why_not_now(&self) -> Option<&'static str> {
        self.why_not_known().or_else(|| (!self.parameters.same_encoding()).then_some(super::ENCODING))
    }

    /// Why nothing is known of tables at this moment.
    pub(super) fn why_not_known(&self) -> Option<&'static str> {
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
        None
    }

    /// Names of tables that the batch's statements write to; and whether it matters how far changes go of those, too, that have
    /// nothing through which they would: functions may be called.
    fn written_names(&self, limited: bool) -> (Vec<String>, bool) {
        let (mut names, mut all) = (Vec::new(), false);
        let mut note = |changes: Option<&Changes>, shape: &Shape| {
            let name = match changes {
                Some(Changes::Rows(change)) => change.table[2].as_str(),
                Some(Changes::Untold(_, Some(target))) => target.table[2].as_str(),
                None if limited && runs_code(shape) => ANY,
                Some(Changes::Untold(_, None)) | None => return,
            };
            all |= runs_code(shape);
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        self.each_statement(&mut note);
        (names, all)
    }

    /// Looks at all that the batch runs.
    fn each_statement(&self, look: &mut dyn FnMut(Option<&Changes>, &Shape)) {
        for item in &self.batch.items {
            match &item.what {
                What::Bind(portal) | What::Execute(Some(portal)) => {
                    let changes = portal.statement.as_ref().and_then(|it| it.changes.as_deref());
                    shape_of(portal).into_iter().for_each(|shape| look(changes, shape));
                }
                What::Query(range) => {
                    let plans = self.batch.plans.get(range.clone()).unwrap_or_default();
                    plans.iter().for_each(|plan| look(plan.changes.as_deref(), &plan.shape));
                }
                _ => {}
            }
        }
    }

    /// Whether anything may change along, by the definitions that statements are judged by. Where nothing does, a limit needs
    /// no question about each table that is written: it would take longer than the write.
    fn may_change_along(&self) -> bool {
        let mut may = false;
        self.each_statement(&mut |changes, shape| {
            may |= (changes.is_some() || runs_code(shape)) && !stays_alone(shape);
        });
        may
    }

    /// Whether something is not known of tables that a limit has to know.
    fn lacks_facts(&self) -> bool {
        let (names, _) = self.written_names(true);
        let any = names.iter().any(|name| name == ANY);
        let knows_any = |facts: &TableFacts| {
            facts.rows.iter().any(|row| row.get(2).and_then(Option::as_deref) == Some(ANY))
        };
        self.changed.facts.as_ref().is_none_or(|facts| any && !knows_any(facts))
    }

    /// The batch was decided: sends it, unless what is known of its tables is still to come.
    pub(in super::super) fn forward_when_known(&mut self, answers: Vec<Answer>, out: &mut Vec<Action>) {
        if self.changed.looking {
            self.changed.decided = Some(answers);
            return;
        }
        let limits = |permit: &Permit| permit.affected_limit().is_some() || permit.affected_left().is_some();
        let limited = |answer: &Answer| answer.as_ref().is_ok_and(limits);
        if !self.changed.looked
            && answers.iter().any(limited)
            && self.may_change_along()
            && self.lacks_facts()
        {
            // Nobody keeps changed rows; but a limit has to know what changes along with them.
            self.changed.looked = true;
            self.look_at_tables(true, out);
            if self.changed.looking {
                self.changed.decided = Some(answers);
                return;
            }
        }
        self.changed.looked = false;
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
