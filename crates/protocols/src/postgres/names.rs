//! Prepared statements and portals, by name, as the target has them at the moment.
//!
//! A name means what the target last confirmed. What has been sent and not yet confirmed may be relied on only up to the
//! next Sync: were it to fail, the target would skip everything up to there. Beyond it a name is *uncertain*, and who asks
//! for it has to wait for the target's answer; otherwise a Parse that fails could make one statement's text stand in the
//! record for another's execution.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use firsthand_model::command::Shape;
use firsthand_model::json::Json;
use firsthand_sql::judge::After;
use firsthand_wire::postgres::Format;

use super::changed::{Decided, Found};
use super::columns::Columns;
use super::knowing::Meaning;
use super::role;

/// Statements and portals one session may have. PostgreSQL has no limit of its own; drivers keep some hundred.
pub(super) const NAMES_MAX: usize = 16_384;

/// Bytes of the texts of all prepared statements of one session. Drivers keep some hundred statements of a few KiB.
pub(super) const NAMED_TEXT_BYTES_MAX: usize = 64 << 20;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its name; empty: the unnamed one.
    pub(super) name: Box<[u8]>,
    /// What the analysis found.
    pub(super) shape: Arc<Shape>,
    /// What it means, where somebody asks.
    pub(super) meaning: Option<Meaning>,
    /// Its text for the record.
    pub(super) text: super::text::Recorded,
    /// The parameter types that the client fixed.
    pub(super) asked_types: Box<[u32]>,
    /// The parameter types as the target described them.
    pub(super) types: OnceLock<Box<[u32]>>,
    /// The columns as the target described them (formats unknown yet).
    pub(super) columns: OnceLock<Arc<Columns>>,
    /// Which rows it changes, as far as its text tells.
    pub(super) changes: Found,
    /// Whether a list was added to its text on the way to the target.
    pub(super) added: OnceLock<Decided>,
    /// When it was made.
    pub(super) epoch: Epoch,
}

impl Statement {
    /// The type of parameter number `index`: as described, else as asked, else 0.
    pub(super) fn parameter_type(&self, index: usize) -> u32 {
        let described = self.types.get().and_then(|t| t.get(index)).copied();
        described.or_else(|| self.asked_types.get(index).copied()).unwrap_or(0)
    }
}

/// A portal: a statement with values.
#[derive(Debug)]
pub(super) struct Portal {
    /// Its name; empty: the unnamed one.
    pub(super) name: Box<[u8]>,
    /// The statement, where it is known.
    pub(super) statement: Option<Arc<Statement>>,
    /// What the statement does with these values, and what it leaves behind.
    pub(super) does: Option<(Arc<Shape>, After)>,
    /// The values, rendered: JSON array, or absent.
    pub(super) parameters: Json,
    /// Whether the values were cut.
    pub(super) parameters_cut: bool,
    /// In which formats the columns are asked for: none (all text), one for all, or one each.
    pub(super) result_formats: Box<[Format]>,
    /// The columns as the target described them.
    pub(super) columns: OnceLock<Arc<Columns>>,
    /// When it was made.
    pub(super) epoch: Epoch,
}

impl Portal {
    /// The columns of its rows: as described, or those of its statement in the formats asked for.
    pub(super) fn row_columns(&self) -> Option<Arc<Columns>> {
        if let Some(columns) = self.columns.get() {
            return Some(Arc::clone(columns));
        }
        let of_statement = self.statement.as_ref()?.columns.get()?;
        let columns = Arc::new(of_statement.in_formats(&self.result_formats));
        Some(Arc::clone(self.columns.get_or_init(|| columns)))
    }
}

/// What is known of a name.
pub(super) enum Known<T> {
    /// This.
    Is(Arc<T>),
    /// Nothing that the gateway has seen has that name.
    Nothing,
    /// It depends on an answer of the target that is still to come.
    Uncertain,
}

#[derive(Debug)]
struct Slot<T> {
    confirmed: Option<Arc<T>>,
    /// The last thing sent for this name (`None`: a Close), in which segment.
    sent: Option<Arc<T>>,
    segment: u64,
    unanswered: u32,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { confirmed: None, sent: None, segment: 0, unanswered: 0 }
    }
}

impl<T> Slot<T> {
    fn known(&self, segment: u64) -> Known<T> {
        let it = match (self.unanswered, self.segment == segment) {
            (0, _) => &self.confirmed,
            (_, true) => &self.sent,
            (_, false) => return Known::Uncertain,
        };
        it.as_ref().map_or(Known::Nothing, |it| Known::Is(Arc::clone(it)))
    }

    fn send(&mut self, what: Option<Arc<T>>, segment: u64) {
        (self.sent, self.segment) = (what, segment);
        self.unanswered += 1;
    }

    /// The target has answered the oldest of what was sent.
    fn answer(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if self.unanswered == 0 {
            self.sent = None;
        }
    }
}

/// Slots by name; the unnamed one apart, because most traffic uses only that.
#[derive(Debug)]
struct Table<T> {
    unnamed: Slot<T>,
    named: HashMap<Box<[u8]>, Slot<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { unnamed: Slot::default(), named: HashMap::new() }
    }
}

impl<T> Table<T> {
    fn get(&self, name: &[u8]) -> Option<&Slot<T>> {
        if name.is_empty() { Some(&self.unnamed) } else { self.named.get(name) }
    }

    fn slot(&mut self, name: &[u8]) -> &mut Slot<T> {
        if name.is_empty() { &mut self.unnamed } else { self.named.entry(name.into()).or_default() }
    }

    /// Every answer has come; what is still counted as unanswered never will be.
    fn settle(&mut self) {
        debug_assert_eq!(self.unnamed.unanswered, 0);
        self.unnamed.unanswered = 0;
        self.named.values_mut().for_each(|slot| slot.unanswered = 0);
    }

    fn tidy(&mut self, name: &[u8]) {
        if self.named.get(name).is_some_and(|s| s.unanswered == 0 && s.confirmed.is_none()) {
            self.named.remove(name);
        }
    }
}

/// When something was made, counted in commands that matter to what names stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Commands that give names another meaning behind the protocol's back (SQL's PREPARE, DECLARE, EXECUTE, DO …).
    pub(super) renamed: u64,
    /// Commands that can run a function, which can do the same unseen.
    pub(super) ran: u64,
}

/// All names of a session.
#[derive(Debug, Default)]
pub(super) struct Names {
    statements: Table<Statement>,
    portals: Table<Portal>,
    /// Counts Syncs sent.
    segment: u64,
    epoch: Epoch,
    text_bytes: usize,
}

impl Names {
    /// The statement of that name, as things stand for the message that comes next.
    pub(super) fn statement(&self, name: &[u8]) -> Known<Statement> {
        self.statements.get(name).map_or(Known::Nothing, |s| s.known(self.segment))
    }

    /// The portal of that name.
    pub(super) fn portal(&self, name: &[u8]) -> Known<Portal> {
        self.portals.get(name).map_or(Known::Nothing, |s| s.known(self.segment))
    }

    /// Whether one more named statement or portal passes a limit.
    pub(super) fn is_full(&self, text_bytes: usize) -> bool {
        self.statements.named.len() + self.portals.named.len() >= NAMES_MAX
            || self.text_bytes + text_bytes > NAMED_TEXT_BYTES_MAX
    }

    /// A Sync is on its way: what follows does not depend on what came before having worked.
    pub(super) fn end_segment(&mut self) {
        self.segment += 1;
    }

    /// A command is on its way; `None`: what it does is not known.
    pub(super) fn runs(&mut self, shape: Option<&Shape>) {
        if shape.is_none_or(role::renames) {
            self.epoch.renamed += 1;
        }
        if shape.is_none_or(role::may_rename_unseen) {
            self.epoch.ran += 1;
        }
    }

    /// The count that things made now belong to.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn parse_sent(&mut self, it: &Arc<Statement>) {
        self.statements.slot(&it.name).send(Some(Arc::clone(it)), self.segment);
    }

    pub(super) fn bind_sent(&mut self, it: &Arc<Portal>) {
        self.portals.slot(&it.name).send(Some(Arc::clone(it)), self.segment);
    }

    pub(super) fn close_statement_sent(&mut self, name: &[u8]) {
        self.statements.slot(name).send(None, self.segment);
    }

    pub(super) fn close_portal_sent(&mut self, name: &[u8]) {
        self.portals.slot(name).send(None, self.segment);
    }

    pub(super) fn parsed(&mut self, it: Arc<Statement>) {
        self.text_bytes += it.text.kept_bytes();
        let slot = self.statements.slot(&it.name);
        slot.answer();
        if let Some(old) = slot.confirmed.replace(it) {
            self.text_bytes = self.text_bytes.saturating_sub(old.text.kept_bytes());
        }
    }

    pub(super) fn bound(&mut self, it: Arc<Portal>) {
        let slot = self.portals.slot(&it.name);
        slot.answer();
        slot.confirmed = Some(it);
    }

    pub(super) fn closed_statement(&mut self, name: &[u8]) {
        let slot = self.statements.slot(name);
        slot.answer();
        if let Some(old) = slot.confirmed.take() {
            self.text_bytes = self.text_bytes.saturating_sub(old.text.kept_bytes());
        }
        self.statements.tidy(name);
    }

    pub(super) fn closed_portal(&mut self, name: &[u8]) {
        let slot = self.portals.slot(name);
        slot.answer();
        slot.confirmed = None;
        self.portals.tidy(name);
    }

    /// What was sent for this statement's name did not happen: it failed or was skipped.
    pub(super) fn statement_unchanged(&mut self, name: &[u8]) {
        self.statements.slot(name).answer();
        self.statements.tidy(name);
    }

    /// What was sent for this portal's name did not happen.
    pub(super) fn portal_unchanged(&mut self, name: &[u8]) {
        self.portals.slot(name).answer();
        self.portals.tidy(name);
    }

    /// The transaction has ended, and all portals with it.
    pub(super) fn transaction_ended(&mut self) {
        self.portals.unnamed.confirmed = None;
        if !self.portals.named.is_empty() {
            self.portals.named.retain(|_, slot| {
                slot.confirmed = None;
                slot.unanswered > 0
            });
        }
    }

    /// Nothing is under way any more: nothing is uncertain.
    pub(super) fn settle(&mut self) {
        self.statements.settle();
        self.portals.settle();
    }
}
