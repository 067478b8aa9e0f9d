//! A statement resolved: against the catalog and the session's state, into [`Facts`].
//!
//! One recursive walk does everything: names are looked up as the server would, expressions get a type as far as that is
//! easy and the set of columns they are made of, and whatever may run (functions behind operators, casts, domains, views,
//! policies, triggers) is followed. Where something cannot be told the statement becomes *opaque*; it is never guessed.
//!
//! `select.rs` and `from.rs` are queries, `expression.rs`, `calls.rs` and `operators.rs` what stands in them, `types.rs` what types bring
//! along, `relations.rs` what a relation brings along, `write.rs` changes of data, `statement.rs` everything else.

mod builtin;
mod calls;
mod coercion;
mod configs;
mod cursors;
mod defined;
mod expression;
mod facts;
mod from;
mod json;
mod naming;
mod operators;
mod overloads;
mod planned;
mod reach;
mod relations;
mod select;
mod sequel;
mod statement;
mod texts;
mod types;
mod value;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use firsthand_model::statement::{Facts, Opaque};
use pg_query::protobuf::{self, node::Node as NodeEnum};

use crate::catalog::{Catalog, Oid};
use crate::state::{Path, SessionState};
use facts::Found;
use from::Scope;

pub(crate) use sequel::{Made, Sequel, Setting};

/// Levels of nesting that are followed: expressions, subqueries, views and functions together. The walk recurses, and a level
/// takes some KiB of stack.
const DEPTH_MAX: usize = 700;

/// Views and function bodies inside one another.
const BODIES_MAX: usize = 24;

/// Steps of one statement, so that a hostile one ends: each node is one, and each column of a `*`.
const STEPS_MAX: usize = 400_000;

/// What was worked out of views, policies and functions, by what it is and its number; with the path for functions.
#[derive(Debug, Default)]
pub(crate) struct WorkedOut(Mutex<HashMap<(Kind, Oid, u64), Arc<Facts>>>);

/// What a body worked out belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    View,
    Policies,
    Planned,
    Written,
    Default,
    PartitionKey,
    Generated,
    Type,
    Function,
}

impl WorkedOut {
    fn find(&self, key: (Kind, Oid, u64)) -> Option<Arc<Facts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    fn keep(&self, key: (Kind, Oid, u64), facts: &Arc<Facts>) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A bound that no honest catalog reaches.
        if map.len() > 100_000 {
            map.clear();
        }
        map.insert(key, Arc::clone(facts));
    }
}

/// A statement resolved.
pub(crate) struct Resolved {
    pub(crate) facts: Facts,
    /// What it does to the session when it succeeds.
    pub(crate) sequel: Sequel,
    /// A literal's value mattered: the facts are not those of the same text with other literals.
    pub(crate) literal: bool,
    /// Prepared statements or cursors by name mattered, which are not part of the state's fingerprint.
    pub(crate) by_name: bool,
}

/// Resolves one statement.
pub(crate) fn resolve(statement: &NodeEnum, catalog: &Catalog, state: &SessionState) -> Resolved {
    let mut resolver = Resolver::new(catalog, state, state.path());
    resolver.declared_parameters(state.declared());
    let sequel = resolver.statement(statement);
    resolver.check_complete(statement);
    let Resolver { found, literal, by_name, .. } = resolver;
    Resolved { facts: Facts { by_name, ..found.finish() }, sequel, literal, by_name }
}

/// The walk's state.
pub(super) struct Resolver<'a> {
    catalog: &'a Catalog,
    state: &'a SessionState,
    path: Path,
    /// In which path bodies of functions run: the session's, also where a text of the catalog calls them, whose own names all
    /// have their schemas.
    runs_in: Path,
    /// What functions give that nobody has written (of operators, casts, aggregates, defaults): the value of the expression around
    /// them may be made of it.
    unwritten: value::Value,
    found: Found,
    /// FROM clauses around the place, the innermost last.
    scopes: Vec<Scope>,
    /// CTEs visible, the innermost last.
    ctes: Vec<from::Cte>,
    /// Names of SQL-function parameters, with their types, while its body is walked.
    parameters: Vec<(Arc<str>, Oid)>,
    /// Types of `$1`, `$2`, …, as far as they are declared.
    parameter_types: Vec<Oid>,
    /// Only planned (EXPLAIN): what changes data does not happen.
    planning: bool,
    /// The text is the catalog's: it was parsed when it was stored, and its names mean what they met then.
    stored: bool,
    /// It is a column's default, for a row that is written.
    of_default: bool,
    /// What has run while it was only planned.
    ran: Vec<Arc<Facts>>,
    depth: usize,
    steps: usize,
    /// Bodies being walked, the outermost first.
    bodies: Vec<(Kind, Oid)>,
    /// Types whose checks were followed.
    types_seen: Vec<Oid>,
    /// Types whose orders were followed.
    orders_seen: HashSet<Oid>,
    /// Types of values that were met, where casts happen unasked; and whether one was of a type that nothing tells.
    types_met: HashSet<Oid>,
    any_type_met: bool,
    /// Functions of casts that were followed.
    casts_seen: Vec<Oid>,
    /// What the call walked last may have meant.
    called: Vec<Arc<crate::catalog::Function>>,
    /// And what it was given.
    called_with: Vec<value::Value>,
    literal: bool,
    by_name: bool,
    /// The one row of `pg_settings` that the statement is about, by its name.
    setting_row: Option<String>,
    /// Addresses of nodes handled, for [`Resolver::check_complete`].
    visited: Vec<usize>,
}

impl<'a> Resolver<'a> {
    fn new(catalog: &'a Catalog, state: &'a SessionState, path: Path) -> Self {
        let mut it = Self {
            catalog,
            state,
            runs_in: path.clone(),
            unwritten: value::Value::plain(0),
            path,
            found: Found::default(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            parameters: Vec::new(),
            parameter_types: Vec::new(),
            planning: false,
            stored: false,
            of_default: false,
            ran: Vec::new(),
            depth: 0,
            steps: 0,
            bodies: Vec::new(),
            types_seen: Vec::new(),
            orders_seen: HashSet::new(),
            types_met: HashSet::new(),
            any_type_met: false,
            casts_seen: Vec::new(),
            called: Vec::new(),
            called_with: Vec::new(),
            literal: false,
            by_name: false,
            setting_row: None,
            visited: Vec::new(),
        };
        if !catalog.is_known() {
            it.found.opaque("no-catalog", "");
        }
        it
    }

    /// A resolver for a body reached from here: it sees nothing of the place.
    fn inner(&self, path: Path) -> Resolver<'a> {
        let mut it = Resolver::new(self.catalog, self.state, path);
        it.runs_in = self.runs_in.clone();
        it.depth = self.depth;
        it.bodies.clone_from(&self.bodies);
        it.planning = self.planning;
        it
    }

    /// Works a body out, or remembers it. `work` walks it with a resolver of its own.
    fn body(
        &mut self,
        key: (Kind, Oid, u64),
        path: Path,
        work: impl FnOnce(&mut Resolver<'a>),
    ) -> Arc<Facts> {
        // While only planned, other things run.
        let remembered = !self.planning;
        if remembered && let Some(known) = self.catalog.worked_out.find(key) {
            return known;
        }
        if self.bodies.len() >= BODIES_MAX || self.bodies.contains(&(key.0, key.1)) {
            return Arc::new(opaque_facts("depth"));
        }
        let mut inner = self.inner(path);
        inner.bodies.push((key.0, key.1));
        inner.steps = self.steps;
        inner.stored = key.0 != Kind::Function;
        work(&mut inner);
        self.steps = inner.steps;
        self.by_name |= inner.by_name;
        self.ran.append(&mut inner.ran);
        let by_name = inner.by_name;
        let facts = Arc::new(inner.found.finish());
        // What a recursion cut short is only true from where it was reached.
        if remembered && self.bodies.is_empty() && !by_name {
            self.catalog.worked_out.keep(key, &facts);
        }
        facts
    }

    /// One level deeper. False: too deep or too much, and the statement is opaque.
    fn enter(&mut self) -> bool {
        self.depth += 1;
        self.steps += 1;
        if self.depth > DEPTH_MAX || self.steps > STEPS_MAX {
            self.found.opaque(crate::UNPARSED, "too deeply nested");
            return false;
        }
        true
    }

    fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn visit<T>(&mut self, node: &T) {
        self.visited.push(std::ptr::from_ref(node) as usize);
    }

    /// A safety net: every call, name of a relation, type, operator and subquery of the tree must have been handled. What was
    /// walked past makes the statement opaque.
    fn check_complete(&mut self, statement: &NodeEnum) {
        if self.found.is_opaque_itself() || !statement::is_followed(statement) {
            return;
        }
        self.visited.sort_unstable();
        let mut waiting = vec![statement.to_ref()];
        while let Some(node) = waiting.pop() {
            let address = match node {
                pg_query::NodeRef::FuncCall(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::RangeVar(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::TypeName(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::AExpr(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::SubLink(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::SelectStmt(n) => std::ptr::from_ref(n) as usize,
                pg_query::NodeRef::LockingClause(_) => continue,
                _ => 0,
            };
            if address != 0 && self.visited.binary_search(&address).is_err() {
                self.found.opaque("node", "");
                return;
            }
            crate::tree::push_children(node, &mut waiting);
        }
    }
}

/// Facts of which only is known that they are not known.
pub(crate) fn opaque_facts(why: &'static str) -> Facts {
    let mut facts = Facts { opaque: Some(Opaque { why, what: String::new() }), ..Facts::default() };
    facts.effects = facts.effects.and(firsthand_model::command::Effect::Unknown);
    facts.output = firsthand_model::statement::Output::Untold(why);
    facts
}

/// The text of a string node.
pub(crate) fn text_of(node: &protobuf::Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(text.sval.as_str()),
        _ => None,
    }
}

/// A qualified name's parts: schema and name. A database's name in front is passed over: it can only be this one's.
pub(crate) fn name_of(parts: &[protobuf::Node]) -> (Option<&str>, &str) {
    match parts {
        [name] => (None, text_of(name).unwrap_or_default()),
        [.., schema, name] => (text_of(schema), text_of(name).unwrap_or_default()),
        [] => (None, ""),
    }
}
