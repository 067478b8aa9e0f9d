//! What a session knows of what its statements mean: the state that the target has confirmed, and what is still under way.
//!
//! A statement is judged in the state that it will meet. Within a pipeline up to its Sync that state is certain: were
//! something before it to fail, the target would skip it. Beyond, whoever depends on what is still under way waits for the
//! target's answer, as with names (`names`). Plain reads and writes leave nothing behind and hold up nothing.
//!
//! A prepared statement is judged when it is prepared, and again when values are bound to it, should anything have changed
//! in between: the target may go by either, so where the two differ nothing is claimed.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use firsthand_model::command::{Effect, Effects, Shape};
use firsthand_model::statement::Facts;
use firsthand_model::time::MonoMicros;
use firsthand_session::port::BoxFuture;
use firsthand_sql::Settings;
use firsthand_sql::catalog::Catalog;
use firsthand_sql::judge::{After, Judge, Judged};
use firsthand_sql::state::{SessionState, Start};

use super::definitions::Snapshot;
use super::text::Piece;

/// A prepared statement's text is kept up to this length, to judge it again. Longer ones are not prepared again and again;
/// when the state has changed, nothing is claimed of them.
const SOURCE_MAX: usize = 64 << 10;
/// A session has the definitions looked at for a name that is not known once in so long, if the last look brought news.
const LOOK_PAUSE_MICROS: u64 = 500_000;
/// And this rarely when looks bring none: an agent that guesses names costs the target next to nothing.
const LOOK_PAUSE_MICROS_MAX: u64 = 30_000_000;
/// Names whose change is under way. Beyond, every name is uncertain.
const CLOSING_MAX: usize = 256;

/// Whether a command with these effects may have to wait for a person.
pub type MayHold = Box<dyn Fn(Effects) -> bool + Send + Sync>;

/// A session's knowledge.
pub struct Knowing {
    judge: Arc<Judge>,
    snapshot: Arc<Snapshot>,
    may_hold: MayHold,
    /// Of the snapshot that the state has.
    generation: u64,
    /// As the target has confirmed it.
    state: Arc<SessionState>,
    /// What will change it, in the order of the target.
    ahead: VecDeque<Weak<Mark>>,
    /// Prepared statements that the protocol closes or replaces: under way since the target was last ready.
    closing: Vec<String>,
    /// Counts what ends a pipeline: a Sync, a Query, a FunctionCall.
    segment: u64,
    /// Something was applied since the transaction began.
    touched: bool,
    /// Something was defined since the transaction began.
    defined: bool,
    /// Something ran unseen that a rollback may not have undone.
    lost: bool,
    patience: Patience,
}

/// The thought of having looked at the definitions.
#[derive(Debug)]
pub(super) struct Looked;

/// When a session may next have the definitions looked at.
#[derive(Clone, Copy, Debug)]
struct Patience {
    from: MonoMicros,
    pause: u64,
    /// The definitions at the last look.
    seen: u64,
}

/// A change under way.
#[derive(Debug)]
struct Mark {
    segment: u64,
    after: After,
}

impl Pending {
    /// Whether it leaves something behind.
    pub(super) fn is_something(&self) -> bool {
        self.0.is_some()
    }
}

/// What a command leaves behind when it completes; lives with the command, and counts as under way until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Pending(Option<Arc<Mark>>);

/// What a prepared statement was found to do, with what may be needed to find it again.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) shape: Arc<Shape>,
    pub(super) after: After,
    /// The state it was judged in; `None`: it depends on more than that.
    seen: Option<u64>,
    /// Its text; `None`: too long to keep.
    source: Option<Bytes>,
    /// The types of its parameters that the client declares.
    types: Box<[u32]>,
}

/// A session's state at one moment, to judge a text in; may go to another thread.
#[derive(Clone, Debug)]
pub(super) struct View {
    judge: Arc<Judge>,
    state: Arc<SessionState>,
    settings: Settings,
}

impl View {
    /// Judges the statements of a text, one after the other; `None`: it cannot be told how the target reads it. Needs a
    /// stack of `firsthand_sql::STACK_BYTES`.
    pub(super) fn judge(&self, text: &[u8]) -> Option<Vec<Judged>> {
        let state = self.state.text_settings();
        let strings = state.standard_conforming_strings == self.settings.standard_conforming_strings;
        let letters = state.utf8 == self.settings.utf8;
        ((strings || !text.contains(&b'\\')) && (letters || text.is_ascii()))
            .then(|| self.judge.judge(text, &self.state))
    }

    /// The same for a text whose parameters have these types, as the client declares them.
    pub(super) fn typed(&self, types: &[u32]) -> Self {
        let mut view = self.clone();
        if self.state.minds(types) {
            Arc::make_mut(&mut view.state).declare(types);
        }
        view
    }

    /// What a statement does, and leaves behind, that SQL's PREPARE has made and the protocol binds values to: what EXECUTE of
    /// its name does. A value becomes one of the type that was declared for it, whatever it is.
    pub(super) fn executes(&self, name: &[u8]) -> Option<(Arc<Shape>, After)> {
        let name = str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let values = vec!["NULL"; self.state.prepared_parameters(name)].join(", ");
        let values = if values.is_empty() { values } else { format!("({values})") };
        let judged = self.judge(format!("EXECUTE \"{}\"{values}", name.replace('"', "\"\"")).as_bytes())?;
        match judged.as_slice() {
            [one] => Some((Arc::clone(&one.shape), one.after.clone())),
            _ => None,
        }
    }

    /// What decides what a text means: the same number, the same facts.
    pub(super) fn fingerprint(&self) -> u64 {
        self.state.fingerprint()
    }
}

impl std::fmt::Debug for Knowing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Knowing").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Knowing {
    /// A session that begins like this, at a target with these definitions, which has reported these settings.
    pub fn new(
        judge: Arc<Judge>,
        snapshot: Arc<Snapshot>,
        may_hold: MayHold,
        start: Start,
        reported: &[(String, String)],
    ) -> Self {
        let (generation, catalog) = snapshot.now();
        let mut state = SessionState::new(start, catalog);
        for (name, value) in reported.iter().filter(|(name, _)| is_followed(name)) {
            state.told(name, value);
        }
        Self {
            judge,
            snapshot,
            may_hold,
            generation,
            state: Arc::new(state),
            ahead: VecDeque::new(),
            closing: Vec::new(),
            segment: 0,
            touched: false,
            defined: false,
            lost: false,
            patience: Patience { from: MonoMicros(0), pause: LOOK_PAUSE_MICROS, seen: 0 },
        }
    }

    /// The state that the next message meets; `None`: that depends on answers of the target. `settings` is what the target
    /// has reported; `failed`: so has the transaction.
    pub(super) fn view(&mut self, settings: Settings, failed: bool) -> Option<View> {
        self.freshen();
        if self.state.has_failed() != failed {
            Arc::make_mut(&mut self.state).transaction_failed(failed);
        }
        self.ahead.retain(|mark| mark.strong_count() > 0);
        let state = if self.ahead.is_empty() && self.closing.is_empty() {
            Arc::clone(&self.state)
        } else {
            Arc::new(self.expected()?)
        };
        Some(View { judge: Arc::clone(&self.judge), state, settings })
    }

    fn expected(&self) -> Option<SessionState> {
        let mut state = SessionState::clone(&self.state);
        for mark in self.ahead.iter().filter_map(Weak::upgrade) {
            if mark.segment != self.segment {
                return None;
            }
            state.transaction_began();
            state.completed(&mark.after);
        }
        if self.closing.len() >= CLOSING_MAX {
            state.lose();
        }
        self.closing.iter().for_each(|name| state.close_prepared(name));
        Some(state)
    }

    fn freshen(&mut self) {
        if self.snapshot.generation() != self.generation {
            let (generation, catalog): (u64, Arc<Catalog>) = self.snapshot.now();
            if Arc::make_mut(&mut self.state).refresh(&catalog) {
                self.generation = generation;
            }
        }
    }

    /// What the session has set when a batch runs, of which so many commands leave something behind; see
    /// [`SessionState::settings_in_force`].
    pub(super) fn settings_before(&self, batch: usize) -> Option<Vec<(String, String)>> {
        let under_way = self.ahead.len().saturating_sub(batch);
        let mut marks = self.ahead.iter().take(under_way).filter_map(Weak::upgrade).peekable();
        if marks.peek().is_none() {
            return self.state.settings_in_force();
        }
        let mut state = SessionState::clone(&self.state);
        for mark in marks {
            state.transaction_began();
            state.completed(&mark.after);
        }
        state.settings_in_force()
    }

    /// Whether a command that does this may have to wait for a person.
    pub(super) fn may_hold(&self, shape: &Shape) -> bool {
        (self.may_hold)(shape.facts.as_ref().map_or(shape.effects, |facts| facts.effects))
    }

    /// What stands behind names.
    pub(super) fn definitions(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// A name is not known: has the definitions looked at, if that may help. `None`: it was tried a moment ago. Who goes on
    /// asking for what is not there waits longer each time.
    pub(super) fn look_again(&mut self, now: MonoMicros) -> Option<BoxFuture<'static, bool>> {
        if now < self.patience.from {
            return None;
        }
        let looking = self.snapshot.look_again()?;
        let Patience { pause, seen, .. } = self.patience;
        let pause = if seen == self.generation { pause.saturating_mul(2) } else { LOOK_PAUSE_MICROS };
        let pause = pause.min(LOOK_PAUSE_MICROS_MAX);
        self.patience =
            Patience { from: MonoMicros(now.0.saturating_add(pause)), pause, seen: self.generation };
        Some(looking)
    }

    /// The look is over, however long it took: the statement that waited for it is not to wait again.
    pub(super) fn looked(&mut self, now: MonoMicros) {
        self.patience.from = MonoMicros(now.0.saturating_add(self.patience.pause));
    }

    /// A command is on its way that leaves this behind.
    pub(super) fn pends(&mut self, after: &After) -> Pending {
        if after.is_nothing() {
            return Pending(None);
        }
        let mark = Arc::new(Mark { segment: self.segment, after: after.clone() });
        self.ahead.push_back(Arc::downgrade(&mark));
        Pending(Some(mark))
    }

    /// What ends a pipeline is on its way: what comes behind it runs whatever became of what came before.
    pub(super) fn end_segment(&mut self) {
        self.segment += 1;
    }

    /// The protocol prepares or closes a statement of this name.
    pub(super) fn closing(&mut self, name: &[u8]) {
        if !name.is_empty() && self.closing.len() < CLOSING_MAX {
            self.closing.push(String::from_utf8_lossy(name).into_owned());
        }
    }

    /// The target has done so: the name stands for this now, or for nothing.
    pub(super) fn prepared(&mut self, name: &[u8], meaning: Option<&Meaning>) {
        if name.is_empty() {
            return;
        }
        let (name, state) = (String::from_utf8_lossy(name), Arc::make_mut(&mut self.state));
        match meaning.and_then(|meaning| Some((meaning.source.as_ref()?, &meaning.types))) {
            Some((text, types)) => state.prepared_in_protocol(&name, text, types),
            None => state.close_prepared(&name),
        }
    }

    /// A command has completed, with this tag.
    pub(super) fn completed(&mut self, pending: Pending, shape: &Shape, tag: &str) {
        let unseen = pending.0.as_ref().is_some_and(|mark| mark.after.is_uncertain());
        self.defined |= unseen || shape.effects.has(Effect::Define) || shape.effects.has(Effect::Grant);
        self.touched |= self.defined;
        let Some(mark) = pending.0 else { return };
        self.touched = true;
        let state = Arc::make_mut(&mut self.state);
        state.transaction_began();
        if tag == "ROLLBACK" {
            state.completed_by_rollback(&mark.after);
        } else {
            // The tag says that it was committed.
            if state.has_failed() && mark.after.commits() {
                state.transaction_failed(false);
            }
            state.completed(&mark.after);
        }
    }

    /// A command has failed. A procedure may have committed part of what it did.
    pub(super) fn failed(&mut self, pending: &Pending, shape: &Shape) {
        let unseen = pending.0.as_ref().is_some_and(|mark| mark.after.is_uncertain());
        if unseen && matches!(shape.tag.as_str(), "CALL" | "DO" | "") {
            (self.touched, self.lost) = (true, true);
        }
    }

    /// The target is ready and in no transaction block: what SET LOCAL did is over; what failed is undone.
    pub(super) fn idle(&mut self, committed: bool) {
        if std::mem::take(&mut self.touched) {
            let state = Arc::make_mut(&mut self.state);
            state.transaction_ended(committed);
            if std::mem::take(&mut self.lost) {
                state.lose();
            }
        }
        if std::mem::take(&mut self.defined) {
            self.snapshot.is_stale();
        }
    }

    /// Nothing is under way any more, nor about to be sent.
    pub(super) fn settled(&mut self) {
        self.closing.clear();
        if self.ahead.iter().any(|mark| mark.strong_count() > 0) {
            // Cannot be; but whatever it is, nobody will tell of it.
            Arc::make_mut(&mut self.state).lose();
        }
        self.ahead.clear();
    }

    /// The target reports a setting.
    pub(super) fn told(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value))
            && is_followed(name)
        {
            Arc::make_mut(&mut self.state).told(name, value);
        }
    }
}

/// Settings that decide how a text is read, which the target reports whenever they change.
fn is_followed(name: &str) -> bool {
    matches!(name, "standard_conforming_strings" | "client_encoding")
}

impl Meaning {
    /// Bytes it takes.
    pub(super) fn kept_bytes(&self) -> usize {
        size_of::<Self>() + self.source.as_ref().map_or(0, Bytes::len) + size_of_val(&*self.types)
    }

    /// Of a statement that is prepared with parameters of these types, judged in this view.
    pub(super) fn of_piece(piece: &Piece, text: &[u8], view: &View, types: &[u32]) -> Self {
        let source = (text.len() <= SOURCE_MAX).then(|| Bytes::copy_from_slice(text));
        let seen = (!piece.by_name).then(|| view.fingerprint());
        Self {
            shape: Arc::clone(&piece.shape),
            after: piece.after.clone(),
            seen,
            source,
            types: types.into(),
        }
    }

    /// What it does when values are bound to it in this view.
    pub(super) fn again(&self, view: &View) -> (Arc<Shape>, After) {
        let view = view.typed(&self.types);
        if self.seen == Some(view.fingerprint()) {
            return (Arc::clone(&self.shape), self.after.clone());
        }
        let judged = self.source.as_ref().and_then(|text| view.judge(text));
        if let Some([now]) = judged.as_deref()
            && same(now.shape.facts.as_deref(), self.shape.facts.as_deref())
        {
            return (Arc::clone(&now.shape), now.after.clone());
        }
        (without_facts(&self.shape), After::uncertain())
    }
}

/// What a portal does when it is executed in this view, that did this in the view with that number, in which it was bound.
/// Its names mean what they did; but a body is read when it runs, in the path of that moment. `None`: it may be something else.
pub(super) fn executed(
    meaning: Option<&Meaning>,
    bound: &(Arc<Shape>, After),
    bound_in: Option<u64>,
    view: &View,
) -> Option<(Arc<Shape>, After)> {
    let told_by_state = meaning.is_none_or(|meaning| meaning.seen.is_some());
    if told_by_state && bound_in == Some(view.fingerprint()) {
        return Some(bound.clone());
    }
    let now = meaning?.again(view);
    same(now.0.facts.as_deref(), bound.0.facts.as_deref()).then_some(now)
}

/// Coverage of a portal whose statement may be something else by now than when values were bound to it.
const BOUND_BEFORE: &str = "bound-before";

/// What may be something else by now: whoever decides takes it for anything.
pub(super) fn in_doubt(bound: &(Arc<Shape>, After)) -> (Arc<Shape>, After) {
    let mut shape = Shape { facts: None, plain_read: false, ..(*bound.0).clone() };
    shape.coverage.push(BOUND_BEFORE.to_owned());
    (Arc::new(shape), After::uncertain())
}

fn same(now: Option<&Facts>, then: Option<&Facts>) -> bool {
    now.is_some() && now == then
}

/// The same as far as its text tells: whoever decides takes it for anything.
fn without_facts(shape: &Shape) -> Arc<Shape> {
    Arc::new(Shape { facts: None, plain_read: false, ..shape.clone() })
}
