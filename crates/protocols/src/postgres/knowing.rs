//! What a session knows of what its statements mean: the state that the target has confirmed, and what is still under way.
//!
//! A statement is judged in the confirmed state. While one is under way that would change it (SET, PREPARE, DDL, anything
//! opaque), nobody can tell yet which state the next one meets: it is judged as if anything might have changed, so what
//! depends on names is opaque. Plain reads and writes leave nothing behind and hold up nothing.

use std::sync::Arc;

use firsthand_model::command::Shape;
use firsthand_sql::catalog::Catalog;
use firsthand_sql::judge::{After, Judge, Judged};
use firsthand_sql::state::{SessionState, Start};

/// A session's knowledge.
#[derive(Debug)]
pub struct Knowing {
    judge: Arc<Judge>,
    state: SessionState,
    /// Held by every [`Pending`] that would change the state.
    under_way: Arc<()>,
}

/// What a command leaves behind when it completes; lives with the command, and counts as under way until it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    after: After,
    mark: Option<Arc<()>>,
}

impl Knowing {
    /// A session that begins like this.
    pub fn new(judge: Arc<Judge>, catalog: Arc<Catalog>, start: Start) -> Self {
        Self { judge, state: SessionState::new(start, catalog), under_way: Arc::new(()) }
    }

    /// Judges the statements of a text, one after the other. Needs a stack of `firsthand_sql::STACK_BYTES`.
    pub fn judge(&self, text: &[u8]) -> Vec<(Judged, Pending)> {
        let judged = if self.is_settled() {
            self.judge.judge(text, &self.state)
        } else {
            let mut unsure = self.state.clone();
            unsure.lose();
            self.judge.judge(text, &unsure)
        };
        judged.into_iter().map(|one| (one.clone(), self.pending(&one.after))).collect()
    }

    /// Whether nothing under way changes the state.
    pub fn is_settled(&self) -> bool {
        Arc::strong_count(&self.under_way) == 1
    }

    /// What decides what a text means now, with the text: a judgement made under another number is to be made anew.
    pub fn fingerprint(&self) -> u64 {
        self.state.fingerprint()
    }

    fn pending(&self, after: &After) -> Pending {
        let mark = (!after.is_nothing()).then(|| Arc::clone(&self.under_way));
        Pending { after: after.clone(), mark }
    }

    /// A command has completed.
    pub fn completed(&mut self, pending: &Pending) {
        self.state.completed(&pending.after);
    }

    /// The target is ready and in no transaction block: what SET LOCAL did is over; what failed is undone.
    pub fn idle(&mut self, committed: bool) {
        self.state.transaction_ended(committed);
    }

    /// The target has prepared a statement of this text under this name, or has closed it.
    pub fn prepared(&mut self, name: &str, text: Option<&[u8]>) {
        match text {
            Some(text) => self.state.prepared_in_protocol(name, text),
            None => self.state.close_prepared(name),
        }
    }

    /// Something ran that the text does not show (a function call of the protocol).
    pub fn lost(&mut self) {
        self.state.lose();
    }

    /// A fresh snapshot.
    pub fn refresh(&mut self, catalog: &Arc<Catalog>) {
        self.state.refresh(catalog);
    }
}

/// The shapes of a text's statements with their facts, in place of those read from the text alone. Where the two readings do not
/// agree on the number of statements, nothing is added: without facts a statement is opaque.
pub fn with_facts(shapes: &[Arc<Shape>], judged: &[(Judged, Pending)]) -> Vec<Arc<Shape>> {
    if shapes.len() != judged.len() {
        return shapes.to_vec();
    }
    judged.iter().map(|(one, _)| Arc::clone(&one.shape)).collect()
}
