//! Prepared statements and portals, by name, as the target has them at the moment.
//!
//! A name means what the target last confirmed. What has been sent and not yet confirmed may be relied on only up to the
//! next Sync: were it to fail, the target would skip everything up to there. Beyond it a name is *uncertain*, and who asks
//! for it has to wait for the target's answer; otherwise a Parse that fails could make one statement's text stand in the
//! record for another's execution.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use firsthand_model::command::Shape;
use firsthand_model::grant::AccessCall;
use firsthand_model::id::SessionId;
use firsthand_model::json::Json;
use firsthand_model::limits::PARAMETER_BYTES_KEPT;
use firsthand_sql::Masked;
use firsthand_sql::judge::After;
use firsthand_sql::state::OWN_NAMES;
use firsthand_wire::postgres::Format;
use firsthand_wire::postgres::frontend::{Message, Object};

use super::access::Asked;
use super::changed::{Decided, Found, Reached};
use super::columns::Columns;
use super::knowing::{self, Meaning, View};
use super::parameters::Values;
use super::role;
use super::text::Piece;

/// Statements and portals one session may have. PostgreSQL has no limit of its own; drivers keep some hundred.
pub(super) const NAMES_MAX: usize = 16_384;

/// Bytes that all prepared statements and portals of one session may take: texts, types, columns, values. Drivers keep
/// some hundred statements of a few KiB.
pub(super) const NAMES_BYTES_MAX: usize = 64 << 20;

/// The same for what has no name and is replaced by the next of its kind: that only adds up while the target has not
/// answered, and a pipeline of large statements is no mistake.
const UNNAMED_BYTES_MAX: usize = 2 * NAMES_BYTES_MAX;

/// Parameter types kept of one statement. The record renders no value behind that many: each takes at least
/// `{"value":null}`.
const TYPES_KEPT: usize = PARAMETER_BYTES_KEPT / 14;

/// A prepared text is kept up to this size, to be sent again with a list added. Longer ones are most often rows to be
/// inserted, which drivers do not send twice.
pub(super) const SOURCE_BYTES_MAX: usize = 256 << 10;

/// Bytes of a name that count. PostgreSQL looks statements and portals up by the first 63 bytes of their names (NAMEDATALEN
/// - 1), so two names that differ only behind that are one; taken for two, one's text could stand for the other's.
const NAME_BYTES: usize = 63;

/// The gateway's own statements and portals in the client's session at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// The question what a command has changed along.
    Counts,
    /// A statement with a list added.
    Returning,
    /// What fails in the place of something refused, or is not there.
    Refused,
    /// An answer of the gateway itself.
    Access,
}

impl Own {
    /// Its name. Messages of the client that use it are refused: what is prepared under it may still be there when an error has
    /// kept it from being closed, and must not run as something of the client's.
    pub(super) fn name(self, session: SessionId) -> String {
        let what = match self {
            Self::Counts => "counts",
            Self::Returning => "returning",
            Self::Refused => "refused",
            Self::Access => "access",
        };
        format!("{OWN_NAMES}{what} {session}")
    }
}

impl Own {
    /// Whether a name is one of the gateway's own in this session.
    pub(super) fn has(name: &[u8], session: SessionId) -> bool {
        name.starts_with(OWN_NAMES.as_bytes())
            && [Self::Counts, Self::Returning, Self::Refused, Self::Access]
                .iter()
                .any(|own| own.name(session).as_bytes() == name)
    }

    /// Whether a message names something of the gateway's own.
    pub(super) fn is_in(message: &Message<'_>, session: SessionId) -> bool {
        let own = |name: &[u8]| Self::has(name, session);
        match message {
            Message::Parse(parse) => own(parse.statement),
            Message::Bind(bind) => own(bind.statement) || own(bind.portal),
            Message::Execute(execute) => own(execute.portal),
            Message::Describe(Object::Statement(name) | Object::Portal(name))
            | Message::Close(Object::Statement(name) | Object::Portal(name)) => own(name),
            _ => false,
        }
    }
}

/// What of a name counts.
pub(super) fn known_as(name: &[u8]) -> &[u8] {
    name.get(..NAME_BYTES).unwrap_or(name)
}

/// Bytes that something takes, counted for as long as it is there: under way, known by its name, or still needed by what
/// was made of it.
#[derive(Debug)]
pub(super) struct Kept {
    all: Arc<AtomicUsize>,
    bytes: AtomicUsize,
}

impl Kept {
    fn new(all: &Arc<AtomicUsize>, bytes: usize) -> Self {
        // Only sums; nothing is read on their account.
        all.fetch_add(bytes, Relaxed);
        Self { all: Arc::clone(all), bytes: AtomicUsize::new(bytes) }
    }

    /// So many more, where there is room for them.
    fn grow(&self, more: usize) -> bool {
        let fits = self.all.load(Relaxed).saturating_add(more) <= NAMES_BYTES_MAX;
        if fits {
            self.all.fetch_add(more, Relaxed);
            self.bytes.fetch_add(more, Relaxed);
        }
        fits
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes(), Relaxed);
    }
}

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
    /// What it changes when it runs.
    pub(super) change: role::Change,
    /// The parameter types that the client fixed.
    asked_types: Box<[u32]>,
    /// The parameter types as the target described them.
    types: OnceLock<Box<[u32]>>,
    /// The columns as the target described them (formats unknown yet).
    columns: OnceLock<Arc<Columns>>,
    /// Which rows it changes, as far as its text tells.
    pub(super) changes: Found,
    /// It is a call to the gateway itself.
    pub(super) access: Option<Arc<Asked>>,
    /// Its text as it came, where something may be added to it.
    source: OnceLock<Box<[u8]>>,
    /// How often settings had changed when it was made.
    pub(super) settings: u64,
    /// When it was made.
    pub(super) epoch: Epoch,
    kept: Kept,
}

impl Statement {
    /// The type of parameter number `index`: as described, else as asked, else 0.
    pub(super) fn parameter_type(&self, index: usize) -> u32 {
        let described = self.types.get().and_then(|t| t.get(index)).copied();
        described.or_else(|| self.asked_types.get(index).copied()).unwrap_or(0)
    }

    /// Its text, and the types of its parameters that the client fixed. `None`: they are not kept.
    pub(super) fn source(&self) -> Option<(&[u8], &[u32])> {
        let source = self.source.get()?;
        (self.asked_types.len() < TYPES_KEPT).then_some((&**source, &*self.asked_types))
    }

    /// Its text is kept, where there is room for it.
    pub(super) fn keep_source(&mut self, text: &[u8], settings: u64) {
        self.settings = settings;
        if text.len() <= SOURCE_BYTES_MAX && self.kept.grow(text.len()) {
            let _ = self.source.set(text.into());
        }
    }

    /// How many columns its rows have, as the target described them.
    pub(super) fn described_columns(&self) -> Option<usize> {
        self.columns.get().map(|columns| columns.all().len())
    }

    /// The target has described its parameters. Not kept where there is no room: then the record has no types.
    pub(super) fn types_described(&self, types: impl Iterator<Item = u32>) {
        let types: Box<[u32]> = types.take(TYPES_KEPT).collect();
        if self.types.get().is_none() && self.kept.grow(size_of_val(&*types)) {
            let _ = self.types.set(types);
        }
    }

    /// The target has described its columns. Not kept where there is no room: then the record says that they are unknown.
    pub(super) fn columns_described(&self, columns: Arc<Columns>) {
        if self.columns.get().is_none() && self.kept.grow(columns.kept_bytes()) {
            let _ = self.columns.set(columns);
        }
    }
}

/// What something does, and leaves behind.
pub(super) type Does = (Arc<Shape>, After);

/// A portal: a statement with values.
#[derive(Debug)]
pub(super) struct Portal {
    /// Its name; empty: the unnamed one.
    pub(super) name: Box<[u8]>,
    /// The statement, where it is known.
    pub(super) statement: Option<Arc<Statement>>,
    /// What the statement does with these values, and what it leaves behind.
    pub(super) does: Option<Does>,
    /// The state that this was judged in.
    pub(super) bound_in: Option<u64>,
    /// It was executed where it may have done something else: what it has kept from there may come out anywhere.
    strayed: OnceLock<()>,
    /// The values, rendered: JSON array, or absent.
    pub(super) parameters: Json,
    /// SHA-256 of the values as they came.
    pub(super) parameters_digest: Option<[u8; 32]>,
    /// Whether the values were cut.
    pub(super) parameters_cut: bool,
    /// Where some of them are secrets: those, and those of the text.
    pub(super) secrets: Option<Arc<Masked>>,
    /// In which formats the columns are asked for: none (all text), one for all, or one each.
    pub(super) result_formats: Box<[Format]>,
    /// What it asks of the gateway itself.
    pub(super) access: Option<Arc<AccessCall>>,
    /// The columns as the target described them.
    columns: OnceLock<Arc<Columns>>,
    /// Whether a list was added to its statement's text on the way to the target.
    pub(super) added: OnceLock<Decided>,
    /// How far its change goes beyond its own rows, if further; empty: not known.
    pub(super) reached: OnceLock<Option<Reached>>,
    /// It was executed, and what changed along was asked for.
    pub(super) counted: OnceLock<()>,
    /// It was executed with such a list and has no rows of its own: it cannot be once more.
    pub(super) ran: OnceLock<()>,
    /// When it was made.
    pub(super) epoch: Epoch,
    kept: Kept,
}

impl Portal {
    /// The target has described its columns; see [`Statement::columns_described`].
    pub(super) fn columns_described(&self, columns: Arc<Columns>) {
        if self.columns.get().is_none() && self.kept.grow(columns.kept_bytes()) {
            let _ = self.columns.set(columns);
        }
    }

    /// The columns of its rows: as described, or those of its statement in the formats asked for.
    pub(super) fn row_columns(&self) -> Option<Arc<Columns>> {
        if let Some(columns) = self.columns.get() {
            return Some(Arc::clone(columns));
        }
        let of_statement = self.statement.as_ref()?.columns.get()?;
        let columns = Arc::new(of_statement.in_formats(&self.result_formats));
        self.columns_described(Arc::clone(&columns));
        Some(columns)
    }
}

/// Whether a name of the client's may stand for another thing at the target than here: the target converts it to its own
/// encoding first, where two may become one, and counts the 63 bytes there.
fn is_converted(name: &[u8]) -> bool {
    !name.is_ascii()
}

impl Portal {
    /// What executing it in this view does, and leaves behind.
    pub(super) fn does_in(&self, view: &View) -> Option<Does> {
        let bound = self.does.as_ref()?;
        let meaning = self.statement.as_ref().and_then(|s| s.meaning.as_ref());
        let now = knowing::executed(meaning, bound, self.bound_in, view);
        match now.filter(|_| self.strayed.get().is_none()) {
            Some(now) => Some(now),
            None => {
                let _ = self.strayed.set(());
                Some(knowing::in_doubt(bound))
            }
        }
    }

    /// Whether what it runs may be something else by now than what is known of it.
    pub(super) fn is_in_doubt(&self, now: Epoch) -> bool {
        let statement = self.statement.as_deref().filter(|it| !it.name.is_empty());
        (!self.name.is_empty() && (self.epoch.declared != now.declared || is_converted(&self.name)))
            || statement.is_some_and(|it| it.epoch.prepared != now.prepared || is_converted(&it.name))
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
    /// What was sent last did not happen: the target skips what comes up to the next Sync, and what uses this name there
    /// is skipped as a use of that, and of nothing that the name stood for before.
    skipped: bool,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { confirmed: None, sent: None, segment: 0, unanswered: 0, skipped: false }
    }
}

impl<T> Slot<T> {
    fn known(&self, segment: u64) -> Known<T> {
        let it = match (self.unanswered, self.segment == segment) {
            (0, true) if self.skipped => &self.sent,
            (0, _) => &self.confirmed,
            (_, true) => &self.sent,
            (_, false) => return Known::Uncertain,
        };
        it.as_ref().map_or(Known::Nothing, |it| Known::Is(Arc::clone(it)))
    }

    fn send(&mut self, what: Option<Arc<T>>, segment: u64) {
        (self.sent, self.segment, self.skipped) = (what, segment, false);
        self.unanswered += 1;
    }

    /// The oldest of what was sent did not happen. True: in this segment, in which nothing more happens.
    fn unchanged(&mut self, segment: u64) -> bool {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.skipped = self.segment == segment && self.sent.is_some();
        if self.unanswered == 0 && !self.skipped {
            self.sent = None;
        }
        self.skipped
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
        if name.is_empty() { Some(&self.unnamed) } else { self.named.get(known_as(name)) }
    }

    fn slot(&mut self, name: &[u8]) -> &mut Slot<T> {
        match known_as(name) {
            [] => &mut self.unnamed,
            name => self.named.entry(name.into()).or_default(),
        }
    }

    /// Every answer has come; what is still counted as unanswered never will be.
    fn settle(&mut self) {
        debug_assert_eq!(self.unnamed.unanswered, 0);
        self.unnamed.unanswered = 0;
        self.named.values_mut().for_each(|slot| slot.unanswered = 0);
    }

    fn tidy(&mut self, name: &[u8]) {
        let name = known_as(name);
        if self.named.get(name).is_some_and(|s| s.unanswered == 0 && s.confirmed.is_none() && !s.skipped) {
            self.named.remove(name);
        }
    }

    /// Forgets what was skipped under this name.
    fn forget_skipped(&mut self, name: &[u8]) {
        if let Some(slot) = if name.is_empty() { Some(&mut self.unnamed) } else { self.named.get_mut(name) } {
            slot.skipped = false;
            if slot.unanswered == 0 {
                slot.sent = None;
            }
        }
        self.tidy(name);
    }
}

/// When something was made, counted in commands that matter to what names stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Commands that give names of statements another meaning behind the protocol's back (SQL's PREPARE, EXECUTE, DO …).
    pub(super) prepared: u64,
    /// The same of portals (DECLARE, EXECUTE, DO …).
    pub(super) declared: u64,
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
    /// Names under which something was skipped in this segment.
    skipped: HashSet<Box<[u8]>>,
    epoch: Epoch,
    /// Something was sent since the target was last idle whose deferred triggers may run at the transaction's end, and with
    /// them any function.
    deferring: bool,
    /// Bytes that all that was made here takes.
    kept: Arc<AtomicUsize>,
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

    /// A statement as a Parse asks for it.
    pub(super) fn statement_of(
        &self,
        name: &[u8],
        piece: Piece,
        meaning: Option<Meaning>,
        types: impl Iterator<Item = u32>,
    ) -> Statement {
        let (name, Piece { shape, text, change, changes, access, .. }) = (known_as(name), piece);
        let asked_types: Box<[u32]> = types.take(TYPES_KEPT).collect();
        let of_shape = shape.tables.iter().chain(&shape.coverage).map(|s| s.len() + size_of::<String>());
        let bytes = size_of::<Statement>()
            + 2 * name.len()
            + text.kept_bytes()
            + size_of_val(&*asked_types)
            + meaning.as_ref().map_or(0, Meaning::kept_bytes)
            + of_shape.sum::<usize>();
        Statement {
            name: name.into(),
            shape,
            meaning,
            text,
            change,
            asked_types,
            types: OnceLock::new(),
            columns: OnceLock::new(),
            changes,
            access,
            source: OnceLock::new(),
            settings: 0,
            epoch: self.epoch,
            kept: Kept::new(&self.kept, bytes),
        }
    }

    /// A portal as a Bind asks for it; `parameters`: as rendered, and whether they were cut.
    pub(super) fn portal_of(
        &self,
        name: &[u8],
        statement: Option<Arc<Statement>>,
        does: Option<Does>,
        Values { parameters, cut: parameters_cut, secrets }: Values,
        result_formats: Box<[Format]>,
    ) -> Portal {
        let name = known_as(name);
        let bytes = size_of::<Portal>()
            + 2 * name.len()
            + parameters.as_bytes().len()
            // No more than the parameters are, and the text's, which may be shared.
            + secrets.as_ref().map_or(0, |_| 2 * parameters.as_bytes().len())
            + size_of_val(&*result_formats);
        Portal {
            name: name.into(),
            statement,
            does,
            bound_in: None,
            strayed: OnceLock::new(),
            parameters,
            parameters_digest: None,
            parameters_cut,
            secrets,
            result_formats,
            access: None,
            columns: OnceLock::new(),
            added: OnceLock::new(),
            reached: OnceLock::new(),
            counted: OnceLock::new(),
            ran: OnceLock::new(),
            epoch: self.epoch,
            kept: Kept::new(&self.kept, bytes),
        }
    }

    /// Whether this statement, just made, is too much.
    pub(super) fn too_much_statement(&self, it: &Statement) -> bool {
        self.too_much(&it.name, it.kept.bytes())
    }

    /// Whether this portal, just made, is too much.
    pub(super) fn too_much_portal(&self, it: &Portal) -> bool {
        self.too_much(&it.name, it.kept.bytes())
    }

    fn too_much(&self, name: &[u8], its_bytes: usize) -> bool {
        // What the unnamed ones take is given back by the next of their kind, so they never stand in its way.
        let statement = self.statements.unnamed.confirmed.as_ref().map_or(0, |it| it.kept.bytes());
        let portal = self.portals.unnamed.confirmed.as_ref().map_or(0, |it| it.kept.bytes());
        let bytes = self.kept.load(Relaxed).saturating_sub(statement + portal);
        if name.is_empty() {
            return bytes.saturating_sub(its_bytes) > UNNAMED_BYTES_MAX;
        }
        self.statements.named.len() + self.portals.named.len() >= NAMES_MAX || bytes > NAMES_BYTES_MAX
    }

    /// A Sync is on its way: what follows does not depend on what came before having worked.
    pub(super) fn end_segment(&mut self) {
        self.segment += 1;
        self.epoch.ran += u64::from(self.deferring);
        for name in std::mem::take(&mut self.skipped) {
            self.statements.forget_skipped(&name);
            self.portals.forget_skipped(&name);
        }
    }

    /// A command is on its way; `None`: what it does is not known.
    pub(super) fn runs(&mut self, shape: Option<&Shape>) {
        if shape.is_none_or(role::renames_statements) {
            self.epoch.prepared += 1;
        }
        if shape.is_none_or(role::renames_portals) {
            self.epoch.declared += 1;
        }
        let may_rename = shape.is_none_or(role::may_rename_unseen);
        self.deferring |= may_rename;
        if may_rename || (self.deferring && shape.is_some_and(|shape| shape.tag == "COMMIT")) {
            self.epoch.ran += 1;
        }
    }

    /// The target is idle, and nothing is under way.
    pub(super) fn idle(&mut self) {
        self.deferring = false;
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
        let slot = self.statements.slot(&it.name);
        slot.answer();
        slot.confirmed = Some(it);
    }

    pub(super) fn bound(&mut self, it: Arc<Portal>) {
        let slot = self.portals.slot(&it.name);
        slot.answer();
        slot.confirmed = Some(it);
    }

    pub(super) fn closed_statement(&mut self, name: &[u8]) {
        let slot = self.statements.slot(name);
        slot.answer();
        slot.confirmed = None;
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
        let skipped = self.statements.slot(name).unchanged(self.segment);
        self.note_skipped(skipped, name);
        self.statements.tidy(name);
    }

    /// What was sent for this portal's name did not happen.
    pub(super) fn portal_unchanged(&mut self, name: &[u8]) {
        let skipped = self.portals.slot(name).unchanged(self.segment);
        self.note_skipped(skipped, name);
        self.portals.tidy(name);
    }

    fn note_skipped(&mut self, skipped: bool, name: &[u8]) {
        let name = known_as(name);
        // A client may have as many skipped as there is room for names.
        if skipped && !self.skipped.contains(name) {
            self.skipped.insert(name.into());
        }
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

#[cfg(test)]
mod tests {
    use firsthand_sql::Settings;

    use super::*;

    #[test]
    fn the_gateways_own_names_count_whole_and_differ_between_sessions() {
        let all = [Own::Counts, Own::Returning, Own::Refused];
        let of = |session: u128| all.map(|own| own.name(SessionId(session)));
        let names: HashSet<String> = [of(1), of(u128::MAX)].into_iter().flatten().collect();
        assert_eq!(names.len(), 2 * all.len());
        assert!(names.iter().all(|name| known_as(name.as_bytes()).len() == name.len()), "{names:?}");
    }

    fn piece(text: &str) -> Piece {
        let shape = super::super::text::unknown("unparsed");
        Piece::new(shape, text.as_bytes(), Settings::default(), None)
    }

    /// Parses under ever new names until it is too much; how many were kept.
    fn fill(names: &mut Names, types: usize, then: impl Fn(&Statement)) -> usize {
        for n in 0..NAMES_MAX {
            let name = format!("s{n}");
            let it =
                names.statement_of(name.as_bytes(), piece("select 1"), None, std::iter::repeat_n(23, types));
            if names.too_much_statement(&it) {
                return n;
            }
            let it = Arc::new(it);
            names.parse_sent(&it);
            names.parsed(Arc::clone(&it));
            then(&it);
        }
        NAMES_MAX
    }

    #[test]
    fn all_that_a_statement_keeps_counts_and_is_given_back() {
        let mut names = Names::default();
        let kept = fill(&mut names, 60_000, |_| {});
        assert!((500..1_000).contains(&kept), "{kept} statements of 60,000 types");
        assert!(names.kept.load(Relaxed) <= NAMES_BYTES_MAX);
        // What has no name goes on; what is closed makes room.
        let unnamed = names.statement_of(b"", piece("select 1"), None, std::iter::repeat_n(23, 60_000));
        assert!(!names.too_much_statement(&unnamed));
        drop(unnamed);
        for n in 0..kept {
            names.close_statement_sent(format!("s{n}").as_bytes());
            names.closed_statement(format!("s{n}").as_bytes());
        }
        assert_eq!(names.kept.load(Relaxed), 0);
    }

    #[test]
    fn what_the_target_describes_counts_too_and_is_not_kept_beyond_the_limit() {
        let mut names = Names::default();
        let kept = fill(&mut names, 0, |it| it.types_described(std::iter::repeat_n(23, 60_000)));
        assert!((500..NAMES_MAX).contains(&kept), "{kept} statements described");
        assert!(names.kept.load(Relaxed) <= NAMES_BYTES_MAX + (1 << 10));
        let Known::Is(first) = names.statement(b"s0") else { panic!("it is gone") };
        assert_eq!((first.parameter_type(0), first.parameter_type(TYPES_KEPT)), (23, 0));
    }

    #[test]
    fn a_portals_values_count_and_what_is_under_way_without_a_name_is_bounded() {
        let names = Names::default();
        let value = || Values { parameters: Json::string(&"x".repeat(60_000)), cut: false, secrets: None };
        let mut held = Vec::new();
        for name in [&b"p"[..], b""] {
            loop {
                let it = names.portal_of(name, None, None, value(), Box::default());
                if names.too_much_portal(&it) {
                    break;
                }
                held.push(it);
            }
            assert!(held.len() < 2_300, "{}", held.len());
        }
        held.clear();
        assert_eq!(names.kept.load(Relaxed), 0);
    }

    #[test]
    fn names_that_postgresql_takes_for_one_are_one() {
        let mut names = Names::default();
        let (one, other) = (format!("{}1", "n".repeat(63)), format!("{}2", "n".repeat(63)));
        let it = Arc::new(names.statement_of(one.as_bytes(), piece("select 1"), None, [].into_iter()));
        names.parse_sent(&it);
        names.parsed(it);
        assert!(matches!(names.statement(other.as_bytes()), Known::Is(_)));
        names.close_statement_sent(other.as_bytes());
        names.closed_statement(other.as_bytes());
        assert!(matches!(names.statement(one.as_bytes()), Known::Nothing));
    }
}
