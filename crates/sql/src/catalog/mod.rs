//! A snapshot of a database's definitions: what names mean there, and what runs behind them.
//!
//! Immutable and shared; a session that defines something of its own changes a copy (`state`). Made from the rows of
//! [`queries`] by [`Builder`], written to disk and read back as those rows ([`Catalog::write`], [`Catalog::read`]).

mod build;
mod change;
mod disk;
mod lookup;
mod queries;

use std::collections::HashMap;
use std::sync::Arc;

use firsthand_model::statement::{self, RelationKind};

pub use build::{Builder, ROWS_MAX, Row};
pub use queries::{PREPARE, QUERIES, Query, VERSION_QUERY, queries};

/// The server's number for an object. 0: none, or not known.
pub type Oid = u32;

/// Numbers below this were given by `initdb`: PostgreSQL's own objects.
pub const FIRST_USER_OID: Oid = 16_384;

/// Numbers from here on are the gateway's own, for what a session has made and the target has not yet told of.
pub(crate) const FIRST_LOCAL_OID: Oid = 0xF000_0000;

/// The number that a session's temporary schema has here.
pub(crate) const TEMPORARY: Oid = FIRST_LOCAL_OID - 1;

/// The schema that nobody but PostgreSQL fills.
pub(crate) const PG_CATALOG: Oid = 11;

/// A database's definitions.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// What [`VERSION_QUERY`] answered, or any other name of this state of things.
    pub version: String,
    /// The server's major version; 0: not known, and as old as can be.
    pub(crate) major: u32,
    /// No session there begins with a limit on its statements' or transactions' time.
    pub(crate) unlimited_time: bool,
    /// Tells snapshots apart in caches: no two of one process have the same.
    pub(crate) serial: u64,
    pub(crate) schemas: HashMap<String, Oid>,
    pub(crate) schema_names: HashMap<Oid, Arc<str>>,
    pub(crate) roles: HashMap<Oid, Role>,
    pub(crate) relations: HashMap<Oid, Arc<Relation>>,
    pub(crate) relation_names: HashMap<(Oid, Arc<str>), Oid>,
    pub(crate) row_types: HashMap<Oid, Oid>,
    pub(crate) children: HashMap<Oid, Vec<Oid>>,
    /// Generated columns of a table and of those below it, each expression once: the name, and the table that it is in.
    pub(crate) generated: HashMap<Oid, Vec<(Arc<str>, Oid)>>,
    pub(crate) types: HashMap<Oid, Arc<Type>>,
    pub(crate) type_names: HashMap<(Oid, Arc<str>), Oid>,
    pub(crate) functions: HashMap<Oid, Arc<Function>>,
    pub(crate) function_names: HashMap<Arc<str>, Vec<Oid>>,
    pub(crate) operators: HashMap<Arc<str>, Vec<Arc<Operator>>>,
    pub(crate) casts: HashMap<(Oid, Oid), Cast>,
    /// Casts whose function is not PostgreSQL's own.
    pub(crate) user_casts: Vec<Cast>,
    pub(crate) class_functions: HashMap<Oid, Vec<Oid>>,
    /// By operator: functions of users in the classes that sort, join and hash by it, and of what stands for it there.
    pub(crate) operator_functions: HashMap<Oid, Vec<Oid>>,
    pub(crate) event_triggers: Vec<Oid>,
    pub(crate) extensions: Vec<Arc<str>>,
    /// What was worked out of views and function bodies, which mean the same for every session.
    pub(crate) worked_out: Arc<crate::resolve::WorkedOut>,
    /// Views made in this session, worked out where they were made.
    pub(crate) session_views: HashMap<Oid, Arc<statement::Facts>>,
    /// Numbers given to a session's own objects so far.
    pub(crate) local: Oid,
}

/// A role.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name.
    pub name: Arc<str>,
    /// Whether nothing is forbidden to it.
    pub superuser: bool,
    /// Whether row security does not bind it.
    pub bypasses_row_security: bool,
}

/// A table, view, sequence or composite type.
#[derive(Clone, Debug, Default)]
pub struct Relation {
    /// The server's number.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// `pg_class.relkind`: r, p, v, m, f, S, c, t.
    pub kind: u8,
    /// Of this session only.
    pub temporary: bool,
    /// The owner.
    pub owner: Oid,
    /// Its row type.
    pub row_type: Oid,
    /// The type that it was made of (`CREATE TABLE … OF`); 0: none.
    pub of_type: Oid,
    /// Its columns, by number.
    pub columns: Vec<Column>,
    /// A view's query.
    pub query: Option<Arc<str>>,
    /// Rules besides a view's own.
    pub rules: Vec<Rule>,
    /// Triggers of users.
    pub triggers: Vec<Trigger>,
    /// Row security is in force.
    pub row_security: bool,
    /// Conditions of its row security policies.
    pub policies: Vec<Arc<str>>,
    /// Its CHECK conditions.
    pub checks: Vec<Arc<str>>,
    /// Expressions and predicates of its indexes.
    pub index_expressions: Vec<Arc<str>>,
    /// Expressions of its partition key and of its extended statistics.
    pub planned_expressions: Vec<Arc<str>>,
    /// Functions of the operator classes of its indexes and its partition key, where they are not PostgreSQL's own.
    pub support_functions: Vec<Oid>,
    /// Foreign keys of other tables to this one.
    pub referenced_by: Vec<Reference>,
    /// Numbers of the primary key's columns.
    pub key: Vec<i16>,
    /// Numbers of the columns of each unique index that has columns only, the primary key's first.
    pub unique: Vec<Vec<i16>>,
    /// What it inherits from or is a partition of.
    pub parents: Vec<Oid>,
    /// The table whose long values it holds.
    pub toast_of: Oid,
    /// It was changed in this session in a way that was not followed: its columns are not certain.
    pub doubtful: bool,
}

/// A column.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub type_oid: Oid,
    /// NOT NULL.
    pub not_null: bool,
    /// Default or generation expression.
    pub default: Option<Arc<str>>,
    /// GENERATED ALWAYS AS (…).
    pub generated: bool,
    /// GENERATED … AS IDENTITY.
    pub identity: bool,
    /// Labels that the catalog gives it, sorted.
    pub labels: Vec<String>,
    /// For tables made from a query in this session: where its values come from.
    pub origin: Option<Arc<(Vec<statement::Column>, statement::Derivation)>>,
}

/// A rule besides a view's own.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `pg_rewrite.ev_type`: 1 select, 2 update, 3 insert, 4 delete.
    pub event: u8,
    /// As `pg_get_ruledef` writes it.
    pub text: Arc<str>,
}

/// A trigger of a user.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its name.
    pub name: Arc<str>,
    /// The function that it runs.
    pub function: Oid,
    /// `pg_trigger.tgtype`.
    pub bits: i16,
}

impl Trigger {
    /// Fires for INSERT.
    pub const INSERT: i16 = 4;
    /// Fires for DELETE.
    pub const DELETE: i16 = 8;
    /// Fires for UPDATE.
    pub const UPDATE: i16 = 16;
    /// Fires for TRUNCATE.
    pub const TRUNCATE: i16 = 32;
    /// Runs in place of the change.
    pub const INSTEAD: i16 = 64;
}

/// A foreign key, seen from the table that it refers to.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The table with the foreign key.
    pub from: Oid,
    /// What happens there on DELETE: a, r, c, n, d.
    pub on_delete: u8,
    /// What happens there on UPDATE.
    pub on_update: u8,
}

/// A type.
#[derive(Clone, Debug, Default)]
pub struct Type {
    /// The server's number.
    pub oid: Oid,
    /// Its schema's name.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// `typtype`: b, c, d, e, p, r, m.
    pub kind: u8,
    /// Of an array: the elements' type.
    pub element: Oid,
    /// The type of arrays of it.
    pub array: Oid,
    /// Of a domain: what it is based on. Of a range: what it is a range of; of a multirange: its range.
    pub base: Oid,
    /// Of a row type: the relation.
    pub relation: Oid,
    /// `typcategory`.
    pub category: u8,
    /// A domain's CHECK conditions.
    pub checks: Vec<Arc<str>>,
    /// A domain's default.
    pub default: Option<Arc<str>>,
    /// Functions that its input and output run, where they are not PostgreSQL's own.
    pub io: Vec<Oid>,
}

/// A function, procedure, aggregate or window function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// The server's number.
    pub oid: Oid,
    /// Its schema's number.
    pub namespace: Oid,
    /// Its schema's name.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The owner.
    pub owner: Oid,
    /// Its language.
    pub language: Arc<str>,
    /// `prokind`: f, p, a, w.
    pub kind: u8,
    /// `provolatile`: i, s, v. For a user's function only a claim.
    pub volatility: u8,
    /// SECURITY DEFINER.
    pub definer: bool,
    /// Gives a set.
    pub set: bool,
    /// What it gives.
    pub result: Oid,
    /// Input arguments.
    pub arguments: Vec<Oid>,
    /// How many of them have defaults.
    pub defaults: u16,
    /// The element type of its VARIADIC argument; 0: none.
    pub variadic: Oid,
    /// Output columns (OUT, INOUT, TABLE) by name and type.
    pub outputs: Vec<(Arc<str>, Oid)>,
    /// Names of the input arguments, where they have any.
    pub argument_names: Vec<Arc<str>>,
    /// Its body, or an internal function's C name where that is another.
    pub source: Option<Arc<str>>,
    /// The expressions of its defaults.
    pub default_expressions: Option<Arc<str>>,
    /// `SET` clauses.
    pub settings: Vec<Arc<str>>,
    /// The extension it belongs to.
    pub extension: Option<Arc<str>>,
    /// An aggregate's functions, where they are not PostgreSQL's own.
    pub parts: Vec<Oid>,
    /// An aggregate's types of its state, where they are not PostgreSQL's own.
    pub states: Vec<Oid>,
}

impl Function {
    /// Made by `initdb`.
    pub fn is_builtin(&self) -> bool {
        self.oid < FIRST_USER_OID && matches!(&*self.language, "internal" | "sql" | "c")
    }

    /// `schema.name`.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// An operator.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// The server's number.
    pub oid: Oid,
    /// Its schema's number.
    pub namespace: Oid,
    /// Its name.
    pub name: Arc<str>,
    /// The left operand's type; 0: it is a prefix operator.
    pub left: Oid,
    /// The right operand's type.
    pub right: Oid,
    /// What it gives.
    pub result: Oid,
    /// The function behind it.
    pub function: Oid,
    /// A user's operator: its estimators, and what its negator and commutator run, which the planner may put in its place.
    pub estimators: Vec<Oid>,
}

/// A cast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cast {
    /// From.
    pub source: Oid,
    /// To.
    pub target: Oid,
    /// The function; 0: none is needed.
    pub function: Oid,
    /// `castcontext`: e, a, i.
    pub context: u8,
}

impl Relation {
    /// What kind of thing it is.
    pub fn relation_kind(&self) -> RelationKind {
        match self.kind {
            _ if self.temporary => RelationKind::Temporary,
            b'r' | b'p' => RelationKind::Table,
            b'v' => RelationKind::View,
            b'm' => RelationKind::MaterializedView,
            b'f' => RelationKind::Foreign,
            b'S' => RelationKind::Sequence,
            _ => RelationKind::Other,
        }
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| &*c.name == name)
    }

    /// Made by `initdb`: a system catalog or a view of one.
    pub fn is_system(&self) -> bool {
        self.oid < FIRST_USER_OID
    }
}

impl Catalog {
    /// Nothing is known of the database.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether it was loaded at all.
    pub fn is_known(&self) -> bool {
        !self.schemas.is_empty()
    }
}
