//! A session's state, as far as it decides what a statement means: search path, role, settings, prepared statements, cursors,
//! and what the session has defined that the snapshot does not have yet.
//!
//! Pure. A statement's [`Sequel`] is applied when the target has said that it completed; a failed one changes nothing. What ran
//! unseen (a function, DO) may have changed any of it: from then on unqualified names cannot be told, until the session
//! sets them again or is discarded.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use firsthand_model::statement::Facts;
use pg_query::protobuf::{Node, node::Node as NodeEnum};

use crate::analysis::Settings;
use crate::catalog::{Catalog, FIRST_USER_OID, Oid, PG_CATALOG, TEMPORARY};
use crate::resolve::{Sequel, Setting};

/// Prepared statements and cursors followed. More are opaque when they are used.
pub const NAMES_MAX: usize = 1_024;
/// Settings followed, by name.
pub const SETTINGS_MAX: usize = 256;
/// Savepoints followed. Beyond it, going back makes the state uncertain.
pub const SAVEPOINTS_MAX: usize = 64;

/// Search paths that a cursor may see. Who changes it more often has cursors that are opaque.
const CURSOR_PATHS_MAX: usize = 16;

/// What the names of statements begin with that the gateway prepares among the client's own. Whatever a client calls so may
/// be one of those by now: an error may have kept it from being closed.
pub const OWN_NAMES: &str = "firsthand ";

/// How a session begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// The role it acts as.
    pub user: String,
    /// `search_path`, name by name; `"$user"` stands for the role.
    pub search_path: Vec<String>,
    /// The client did not begin with a limit of time itself.
    pub unlimited_time: bool,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            user: String::new(),
            search_path: vec!["$user".to_owned(), "public".to_owned()],
            unlimited_time: false,
        }
    }
}

/// Where unqualified names are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// With `pg_catalog` where it is looked up, and without the temporary schema.
    schemas: Vec<Oid>,
    /// Where the temporary schema stands among them; it is never used for functions and operators.
    temporary_at: usize,
    certain: bool,
}

impl Path {
    /// For functions and operators.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = Oid> {
        self.schemas.iter().copied()
    }

    /// For relations and types.
    pub(crate) fn all(&self) -> impl Iterator<Item = Oid> {
        let (before, after) =
            self.schemas.split_at_checked(self.temporary_at).unwrap_or((&self.schemas, &[]));
        before.iter().copied().chain(std::iter::once(TEMPORARY)).chain(after.iter().copied())
    }

    #[expect(clippy::unused_self, reason = "a session has one, wherever it looks")]
    pub(crate) const fn temporary(&self) -> Oid {
        TEMPORARY
    }

    pub(crate) const fn is_certain(&self) -> bool {
        self.certain
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.schemas, self.temporary_at, self.certain).hash(&mut hasher);
        hasher.finish()
    }
}

/// What a rollback goes back over: settings and definitions.
#[derive(Clone, Debug)]
struct Settled {
    search_path: Option<Vec<String>>,
    role: Option<String>,
    session_user: String,
    settings: HashMap<String, Option<String>>,
    uncertain: bool,
    /// With the session's own definitions.
    own: Option<Arc<Catalog>>,
}

/// A cursor as it was declared.
#[derive(Debug)]
pub(crate) struct Declared {
    /// What its query does there.
    pub(crate) facts: Facts,
    pub(crate) query: Node,
    /// Types of the parameters in it.
    pub(crate) parameters: Vec<Oid>,
    /// Of the definitions then.
    pub(crate) serial: u64,
}

/// A cursor that is open.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) declared: Arc<Declared>,
    /// In which it may have run: the one that it was declared in, and all since. None: too many.
    paths: Vec<Path>,
    /// WITH HOLD: the COMMIT runs what of the query is left.
    hold: bool,
    /// That has happened: no transaction's end closes it.
    kept: bool,
}

impl Cursor {
    /// The search paths in which it may have run; the first is that of its DECLARE. Empty: they cannot be told.
    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// This path is in force.
    fn sees(&mut self, path: &Path) {
        if self.kept || self.paths.is_empty() || self.paths.contains(path) {
            return;
        }
        if self.paths.len() < CURSOR_PATHS_MAX {
            self.paths.push(path.clone());
        } else {
            self.paths.clear();
        }
    }
}

/// What a savepoint goes back to: as it was, and what a commit would have kept.
type Saved = (Settled, Option<Box<Settled>>);

/// A session's state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SessionState {
    start: Arc<Start>,
    now: Settled,
    /// As the transaction began.
    before: Option<Box<Settled>>,
    /// What a commit keeps: as it is but for SET LOCAL.
    lasting: Option<Box<Settled>>,
    savepoints: Vec<(String, Option<Saved>)>,
    /// Savepoints were set that are not in the list.
    unsaved: bool,
    /// A block was begun, and has not ended.
    block: bool,
    /// The transaction has failed: COMMIT rolls it back.
    failed: bool,
    prepared: HashMap<String, Arc<(NodeEnum, Vec<Oid>)>>,
    /// Types that the client declares for the parameters of the text that is judged.
    declared: Arc<[Oid]>,
    cursors: HashMap<String, Cursor>,
    catalog: Arc<Catalog>,
    fingerprint: u64,
    path: Path,
    texts: Settings,
}

impl SessionState {
    /// A session that begins like this, at a target with these definitions.
    pub fn new(start: Start, catalog: Arc<Catalog>) -> Self {
        let now = Settled {
            search_path: Some(start.search_path.clone()),
            role: None,
            session_user: start.user.clone(),
            settings: HashMap::new(),
            uncertain: false,
            own: None,
        };
        let mut it = Self {
            start: Arc::new(start),
            now,
            before: None,
            lasting: None,
            savepoints: Vec::new(),
            unsaved: false,
            block: false,
            failed: false,
            prepared: HashMap::new(),
            declared: Arc::default(),
            cursors: HashMap::new(),
            catalog,
            fingerprint: 0,
            path: Path::default(),
            texts: Settings::default(),
        };
        it.settle();
        it
    }

    /// The definitions in force: the target's, with the session's own.
    pub fn catalog(&self) -> &Arc<Catalog> {
        self.now.own.as_ref().unwrap_or(&self.catalog)
    }

    /// Another snapshot has come. What the session has defined itself is in it by now, if it is committed; its temporary
    /// tables are kept. False: not now, because the transaction under way has definitions of its own.
    pub fn refresh(&mut self, catalog: &Arc<Catalog>) -> bool {
        if catalog.serial == self.catalog.serial {
            return true;
        }
        if let Some(before) = &self.before
            && (before.own.is_some() || self.now.own.is_some())
        {
            return false;
        }
        self.catalog = Arc::clone(catalog);
        self.now.own = self.now.own.take().and_then(|own| catalog.with_temporary_of(&own)).map(Arc::new);
        self.settle();
        true
    }

    /// What follows is one transaction, with or without a block, until [`SessionState::transaction_ended`].
    pub fn transaction_began(&mut self) {
        if self.before.is_none() {
            self.before = Some(Box::new(self.now.clone()));
        }
    }

    /// Whether the transaction under way has failed, so that its COMMIT rolls it back.
    pub fn transaction_failed(&mut self, failed: bool) {
        self.failed = failed;
        self.settle();
    }

    /// Whether that was said.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    /// The target itself says what a setting is now.
    pub fn told(&mut self, name: &str, value: &str) {
        if self.now.settings.get(name).is_some_and(|now| now.as_deref() == Some(value)) {
            return;
        }
        self.now.settings.insert(name.to_owned(), Some(value.to_owned()));
        self.settle();
    }

    /// How texts are read.
    pub const fn text_settings(&self) -> Settings {
        self.texts
    }

    fn read_text_settings(&self) -> Settings {
        let is = |name: &str, value: &str| match self.now.settings.get(name) {
            None => true,
            Some(Some(now)) => now.eq_ignore_ascii_case(value),
            Some(None) => false,
        };
        Settings {
            standard_conforming_strings: !self.now.uncertain
                && (is("standard_conforming_strings", "on") || is("standard_conforming_strings", "true")),
            utf8: is("client_encoding", "utf8")
                || is("client_encoding", "utf-8")
                || is("client_encoding", "unicode"),
        }
    }

    /// What decides, with the catalog, what a text means: the same number, the same facts.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Something ran unseen.
    pub fn lose(&mut self) {
        self.now.uncertain = true;
        self.settle();
    }

    /// Whether unqualified names can be told.
    pub fn is_certain(&self) -> bool {
        !self.now.uncertain && self.now.search_path.is_some()
    }

    /// A statement prepared in the protocol, under its name there.
    pub(crate) fn prepare(&mut self, name: &str, it: Arc<(NodeEnum, Vec<Oid>)>) {
        if self.prepared.len() < NAMES_MAX || self.prepared.contains_key(name) {
            self.prepared.insert(name.to_owned(), it);
        }
    }

    /// Whether the types that a client declares for parameters could change what a text does: those of the database's own,
    /// and any where casts of its own are.
    pub fn minds(&self, types: &[Oid]) -> bool {
        let casts = !self.catalog().user_casts.is_empty();
        types.iter().any(|oid| *oid >= FIRST_USER_OID || (casts && *oid != 0))
    }

    /// The text that is judged next has parameters of these types; 0: not declared.
    pub fn declare(&mut self, types: &[Oid]) {
        self.declared = Arc::from(types);
        self.settle();
    }

    pub(crate) fn declared(&self) -> &[Oid] {
        &self.declared
    }

    /// The protocol has closed a prepared statement.
    pub fn close_prepared(&mut self, name: &str) {
        self.prepared.remove(name);
    }

    pub(crate) fn prepared(&self, name: &str) -> Option<Arc<(NodeEnum, Vec<Oid>)>> {
        let uncertain = self.now.uncertain || name.starts_with(OWN_NAMES);
        if uncertain { None } else { self.prepared.get(name).cloned() }
    }

    /// Whether the session began without a limit of time, so that none is nothing new.
    pub(crate) fn begins_unlimited(&self) -> bool {
        self.start.unlimited_time && self.catalog().unlimited_time
    }

    /// How many parameters a prepared statement declares; none, where it is not known.
    pub fn prepared_parameters(&self, name: &str) -> usize {
        self.prepared(name).map_or(0, |prepared| prepared.1.len())
    }

    pub(crate) fn cursor(&self, name: &str) -> Option<&Cursor> {
        let uncertain = self.now.uncertain || name.starts_with(OWN_NAMES);
        if uncertain { None } else { self.cursors.get(name) }
    }

    /// What a COMMIT runs: the queries of cursors WITH HOLD that this transaction has declared.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Cursor> {
        self.cursors.values().filter(|it| it.hold && !it.kept)
    }

    pub(crate) fn has_cursor(&self, name: &str) -> bool {
        self.cursor(name).is_some()
    }

    pub(crate) fn path(&self) -> Path {
        self.path.clone()
    }

    /// The path for what the catalog holds, where every name has its schema.
    #[expect(clippy::unused_self, reason = "a path belongs to a session")]
    pub(crate) fn plain_path(&self, _: &Catalog) -> Path {
        Path { schemas: vec![PG_CATALOG], temporary_at: 1, certain: true }
    }

    /// The path that this setting means for this session.
    pub(crate) fn path_of(&self, catalog: &Catalog, setting: &str) -> Path {
        self.path_from(catalog, &identifiers(setting), true)
    }

    fn path_from(&self, catalog: &Catalog, names: &[String], certain: bool) -> Path {
        let mut schemas: Vec<Oid> = Vec::with_capacity(names.len() + 1);
        let mut temporary_at = None;
        for name in names {
            let name = if name == "$user" { self.role() } else { name.as_str() };
            if name == "pg_temp" {
                temporary_at.get_or_insert(schemas.len());
            } else if let Some(oid) = catalog.schemas.get(name)
                && !schemas.contains(oid)
            {
                schemas.push(*oid);
            }
        }
        if !schemas.contains(&PG_CATALOG) {
            schemas.insert(0, PG_CATALOG);
            temporary_at = temporary_at.map(|at| at + 1);
        }
        Path { schemas, temporary_at: temporary_at.unwrap_or(0), certain }
    }

    /// What this session has set, and `search_path`, for another connection that is to read a text in the same way. `None`: not
    /// all of it can be told.
    pub fn settings_in_force(&self) -> Option<Vec<(String, String)>> {
        let path = self.now.search_path.as_ref().filter(|_| self.is_certain())?;
        let path: Vec<String> = path.iter().map(|name| crate::quoted(name)).collect();
        let mut all = vec![("search_path".to_owned(), path.join(", "))];
        for (name, value) in &self.now.settings {
            all.push((name.clone(), value.clone()?));
        }
        all.sort();
        Some(all)
    }

    /// The role in force.
    pub fn role(&self) -> &str {
        self.now.role.as_deref().unwrap_or(&self.now.session_user)
    }

    fn settle(&mut self) {
        let catalog = Arc::clone(self.catalog());
        let none = Vec::new();
        let names = self.now.search_path.as_ref().unwrap_or(&none);
        self.path = self.path_from(&catalog, names, self.is_certain());
        self.cursors.values_mut().for_each(|it| it.sees(&self.path));
        let mut hasher = DefaultHasher::new();
        (catalog.serial, self.path.fingerprint(), self.now.uncertain).hash(&mut hasher);
        // With some it is another COMMIT.
        (self.start.unlimited_time, self.held().next().is_some(), self.failed).hash(&mut hasher);
        let texts = self.read_text_settings();
        self.texts = texts;
        (texts.standard_conforming_strings, texts.utf8, &self.declared).hash(&mut hasher);
        self.fingerprint = hasher.finish();
    }

    /// A statement has completed outside a transaction block, or the block has ended some other way.
    pub fn transaction_ended(&mut self, committed: bool) {
        self.end(committed);
        self.settle();
    }

    fn end(&mut self, committed: bool) {
        let (before, lasting) = (self.before.take(), self.lasting.take());
        self.savepoints.clear();
        (self.unsaved, self.block, self.failed) = (false, false, false);
        let kept = if committed { lasting } else { before };
        if let Some(kept) = kept {
            let own = self.now.own.take();
            let uncertain = self.now.uncertain;
            self.now = *kept;
            // A rollback undoes settings, also those that nobody saw; not what was prepared.
            if committed {
                self.now.own = own;
                self.now.uncertain |= uncertain;
            }
        }
        self.cursors.values_mut().for_each(|it| it.kept |= it.hold && committed);
        self.cursors.retain(|_, it| it.kept);
    }

    /// Whether a transaction block is open, as far as was seen: BEGIN, and no end.
    pub const fn in_block(&self) -> bool {
        self.block
    }

    /// Whether a transaction is under way, as far as was seen, with or without a block.
    pub fn in_transaction(&self) -> bool {
        self.before.is_some()
    }

    /// A statement has completed.
    pub(crate) fn apply(&mut self, sequel: &Sequel) {
        self.apply_one(sequel);
        self.settle();
    }

    fn apply_one(&mut self, sequel: &Sequel) {
        match sequel {
            Sequel::Nothing => {}
            Sequel::Begin => {
                // What stands before it in the same message is part of it.
                self.before.get_or_insert_with(|| Box::new(self.now.clone()));
                self.block = true;
            }
            Sequel::End { commit, chain } => {
                self.end(*commit && !self.failed);
                if *chain {
                    self.before = Some(Box::new(self.now.clone()));
                    self.block = true;
                }
            }
            Sequel::Savepoint(name) => {
                let kept = || (self.now.clone(), self.lasting.clone());
                let kept = (self.savepoints.len() < SAVEPOINTS_MAX).then(kept);
                if kept.is_some() || self.savepoints.len() < 4 * SAVEPOINTS_MAX {
                    self.savepoints.push((name.clone(), kept));
                } else {
                    self.unsaved = true;
                }
            }
            Sequel::Release(name) => {
                if let Some(at) = self.savepoints.iter().rposition(|(own, _)| own == name) {
                    self.savepoints.truncate(at);
                }
            }
            Sequel::RollbackTo(name) => self.roll_back_to(name),
            Sequel::Set { name, value, local } => self.set(name, value, *local),
            Sequel::ResetAll => self.reset_all(),
            Sequel::Prepare(name, it) => self.prepare(name, Arc::clone(it)),
            Sequel::Deallocate(Some(name)) => drop(self.prepared.remove(name)),
            Sequel::Deallocate(None) => self.prepared.clear(),
            Sequel::Declare { name, cursor, hold } => {
                if self.cursors.len() < NAMES_MAX {
                    let (declared, paths) = (Arc::clone(cursor), vec![self.path.clone()]);
                    let it = Cursor { declared, paths, hold: *hold, kept: false };
                    self.cursors.insert(name.clone(), it);
                }
            }
            Sequel::Close(Some(name)) => drop(self.cursors.remove(name)),
            Sequel::Close(None) => self.cursors.clear(),
            Sequel::Discard { all } => {
                self.now.own = self.now.own.take().map(|own| Arc::new(own.without_temporary()));
                if *all {
                    self.reset_all();
                    self.prepared.clear();
                    self.cursors.clear();
                    (self.now.role, self.now.uncertain) = (None, false);
                    self.start.user.clone_into(&mut self.now.session_user);
                    self.committed_at_once(true);
                }
            }
            Sequel::Define(node, made) => {
                let mut own = Catalog::clone(self.catalog());
                own.define(node, made, self);
                self.now.own = Some(Arc::new(own));
            }
            Sequel::Uncertain => {
                self.now.uncertain = true;
                // Outside a block a procedure may have committed what it found.
                if !self.block {
                    self.committed_at_once(false);
                }
            }
            Sequel::Several(list) => list.iter().for_each(|one| self.apply_one(one)),
        }
    }

    /// What was done so far outside a block may be committed, whatever comes behind it in the same pipeline: a rollback goes
    /// back to what cannot be told. DISCARD ALL is committed at once; before PostgreSQL 14.5 and its like it was not.
    fn committed_at_once(&mut self, surely: bool) {
        if surely {
            (self.before, self.lasting) = (Some(Box::new(self.now.clone())), None);
        }
        if let Some(before) = &mut self.before {
            before.uncertain = true;
        }
    }

    fn roll_back_to(&mut self, name: &str) {
        self.failed = false;
        let Some(at) = self.savepoints.iter().rposition(|(own, _)| own == name) else {
            self.now.uncertain = true;
            return;
        };
        self.savepoints.truncate(at + 1);
        match self.savepoints.last() {
            Some((_, Some((now, lasting)))) => {
                self.now = now.clone();
                self.lasting.clone_from(lasting);
            }
            _ => self.now.uncertain = true,
        }
        // One that is not in the list may have been meant.
        self.now.uncertain |= self.unsaved;
    }

    fn reset_all(&mut self) {
        for it in std::iter::once(&mut self.now).chain(self.lasting.as_deref_mut()) {
            it.search_path = Some(self.start.search_path.clone());
            it.settings.clear();
        }
    }

    fn set(&mut self, name: &str, value: &Setting, local: bool) {
        if local {
            let now = self.now.clone();
            self.lasting.get_or_insert_with(|| Box::new(now));
        }
        self.change(name, value);
        if !local && let Some(mut lasting) = self.lasting.take() {
            std::mem::swap(&mut self.now, &mut lasting);
            self.change(name, value);
            std::mem::swap(&mut self.now, &mut lasting);
            self.lasting = Some(lasting);
        }
    }

    fn change(&mut self, name: &str, value: &Setting) {
        let first = match value {
            Setting::To(list) => list.first().cloned(),
            Setting::Default | Setting::Unknown => None,
        };
        match (name, value) {
            ("search_path", Setting::To(list)) => {
                // Set anew it is certain again, whatever ran before.
                self.now.search_path = Some(list.clone());
            }
            ("search_path", Setting::Default) => self.now.search_path = Some(self.start.search_path.clone()),
            ("search_path", Setting::Unknown) => self.now.search_path = None,
            ("role", Setting::Unknown) | ("session_authorization", Setting::Unknown) => {
                self.now.uncertain = true
            }
            ("role", _) => self.now.role = first.filter(|role| role != "none"),
            ("session_authorization", _) => {
                self.now.session_user = first.unwrap_or_else(|| self.start.user.clone());
                self.now.role = None;
            }
            (_, Setting::Default) => drop(self.now.settings.remove(name)),
            _ if self.now.settings.len() < SETTINGS_MAX || self.now.settings.contains_key(name) => {
                let whole = match value {
                    Setting::To(list) => Some(list.join(", ")),
                    Setting::Default | Setting::Unknown => None,
                };
                self.now.settings.insert(name.to_owned(), whole);
            }
            _ => self.now.uncertain = true,
        }
    }
}

/// A list of names as settings hold it: `a, "B"`.
pub fn identifiers(text: &str) -> Vec<String> {
    let (mut out, mut name, mut quoted, mut some) = (Vec::new(), String::new(), false, false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => {
                quoted = !quoted;
                some = true;
            }
            ',' if !quoted => {
                out.push(std::mem::take(&mut name));
                some = false;
            }
            c if quoted => name.push(c),
            c if c.is_whitespace() => {}
            // As the server does where a character may have several bytes.
            c => name.push(c.to_ascii_lowercase()),
        }
    }
    if some || !name.is_empty() {
        out.push(name);
    }
    out.retain(|n| !n.is_empty());
    out.iter_mut().for_each(|n| n.truncate(n.floor_char_boundary(63)));
    out
}
