//! What a text would do, for `firsthand policy explain`: nothing runs, and every setup statement counts as having succeeded.

use std::sync::Arc;

use firsthand_model::command::Shape;

use crate::analysis::{STACK_BYTES, parse_statements};
use crate::catalog::Catalog;
use crate::state::{SessionState, Start};

/// One statement and what it does.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its text.
    pub text: String,
    /// What it does; `facts` is there.
    pub shape: Arc<Shape>,
}

/// Judges every statement of `text`, in a session that began as `start` says and has run `setup`. Each statement changes the
/// state for the next. Runs on a thread of its own, with the stack that a deep text needs.
pub fn explain(catalog: &Arc<Catalog>, start: &Start, setup: &[String], text: &str) -> Vec<Explained> {
    let work = || {
        let mut state = SessionState::new(start.clone(), Arc::clone(catalog));
        for statement in setup {
            judge(&mut state, statement);
        }
        judge(&mut state, text)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_default()
    })
}

/// A text of one statement, and the session that it would meet.
#[derive(Clone, Debug)]
pub struct Meant {
    /// What it does; `facts` is there.
    pub shape: Arc<Shape>,
    /// The statement itself.
    pub text: String,
    /// The role in force.
    pub role: String,
    /// What the session has set; `None`: not all of it can be told.
    pub settings: Option<Vec<(String, String)>>,
    /// A transaction block is open.
    pub in_transaction: bool,
}

/// As [`explain`], for a text of one statement; `None`: it is not one.
pub fn meant(catalog: &Arc<Catalog>, start: &Start, setup: &[String], text: &str) -> Option<Meant> {
    let work = || {
        let mut state = SessionState::new(start.clone(), Arc::clone(catalog));
        for statement in setup {
            judge(&mut state, statement);
        }
        let (role, settings, in_transaction) =
            (state.role().to_owned(), state.settings_in_force(), state.in_transaction());
        let mut judged = judge(&mut state, text);
        let only = judged.pop().filter(|_| judged.is_empty())?;
        Some(Meant { shape: only.shape, text: only.text, role, settings, in_transaction })
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.ok().and_then(|thread| thread.join().ok()).flatten()
    })
}

/// Judges a text and lets each of its statements change the state, as if it had succeeded. It is one message: without a block
/// that it leaves open its transaction ends with it.
pub fn judge(state: &mut SessionState, text: &str) -> Vec<Explained> {
    let mut out = Vec::new();
    for parsed in parse_statements(text.as_bytes(), state.text_settings()) {
        let catalog = Arc::clone(state.catalog());
        let (shape, sequel) = parsed.resolve(&catalog, state);
        state.transaction_began();
        state.apply(&sequel);
        let part = text.get(parsed.range.clone()).unwrap_or(text).to_owned();
        out.push(Explained { text: part, shape: Arc::new(shape) });
    }
    if !state.in_block() {
        state.transaction_ended(true);
    }
    out
}
