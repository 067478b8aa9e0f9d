//! What a statement does, as policy needs to know it: resolved against the session's state and the target's catalog.
//!
//! Made by the `sql` crate, read by `policy`. Names here are the server's: folded, unescaped, cut to 63 bytes.

use crate::command::Effects;

/// All that is known of one statement. Shared between repetitions of the same statement in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    /// What it does, over-approximated: never less than what the server does.
    pub effects: Effects,
    /// Relations it reads, each once: also those behind views, and partitions and children of what it names.
    pub reads: Vec<Relation>,
    /// Relations it writes, defines or drops, each once.
    pub writes: Vec<Relation>,
    /// Functions it may run (also behind operators, casts, views, defaults, domains and triggers where the catalog tells),
    /// as `schema.name`, each once.
    pub functions: Vec<String>,
    /// Settings it changes: `name`, or `name=value` where the value is known (names and values in lower case, a list with
    /// `, ` between): `search_path=public`, `role`.
    pub settings: Vec<String>,
    /// It can change every row of what it writes: no WHERE, or one that does not depend on the row; TRUNCATE.
    pub unbounded: bool,
    /// More rows may change along with those that it changes itself, by what its relations have: actions of foreign keys,
    /// triggers that change rows, rules, views.
    pub takes_along: bool,
    /// Functions that it calls may change rows, or what they do is not known.
    pub code_writes: bool,
    /// What it runs stands in another statement, which it names: a prepared one, a cursor, a portal.
    pub by_name: bool,
    /// Why not all of what it does can be told. Then `effects` holds `unknown`.
    pub opaque: Option<Opaque>,
    /// That is only so of what its changes take along (triggers, rules): what it does itself is all told.
    pub opaque_along: bool,
    /// Where the columns of its rows (or of its COPY data, or RETURNING) come from.
    pub output: Output,
    /// Columns it compares, sorts, groups or joins by.
    pub tested: Vec<Column>,
    /// Columns whose values it stores elsewhere (INSERT … SELECT, CREATE TABLE AS, UPDATE a = b).
    pub copied: Vec<Column>,
}

/// A relation as it is named and as it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Relation {
    /// As the statement writes it, quoted where it must be; empty when only reached through another (a view's table).
    pub written: String,
    /// Schema as resolved; empty: not found in the catalog, or there is no catalog.
    pub schema: String,
    /// Name as resolved (as written, folded, when not found).
    pub name: String,
    /// The server's number for it; 0: not found.
    pub oid: u32,
    /// What it is.
    pub kind: RelationKind,
    /// Columns that are read or written; empty: all, or none in particular.
    pub columns: Vec<String>,
}

/// Kinds of relation (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum RelationKind {
    /// A table, also a partitioned one.
    Table,
    /// A table of this session.
    Temporary,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A foreign table.
    Foreign,
    /// A sequence.
    Sequence,
    /// An index, a composite type, a toast table.
    Other,
    /// Not found.
    #[default]
    Unknown,
}

/// A column of a base relation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Column {
    /// Schema of the relation.
    pub schema: String,
    /// The relation.
    pub relation: String,
    /// The column; empty: any of them (what a row as a whole holds).
    pub column: String,
    /// Labels that the catalog itself gives it (SECURITY LABEL, tags in COMMENT), sorted.
    pub labels: Vec<String>,
}

/// Where a statement's rows come from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Output {
    /// It gives no rows.
    #[default]
    None,
    /// One for each column, in order.
    Columns(Vec<OutputColumn>),
    /// It may give rows, and what is in them cannot be told: why, in a few words.
    Untold(&'static str),
}

/// One column of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name, as the client sees it; empty where it cannot be told.
    pub name: String,
    /// The columns that its values are made of, each once; none: constants, counts, the server's own facts.
    pub sources: Vec<Column>,
    /// How.
    pub derivation: Derivation,
    /// Where it is made of its sources: those whose values it hands on, whole or in part (a cast, `lower`, an arm of CASE),
    /// rather than only tells of (a condition, `length`).
    pub kept: Vec<Column>,
    /// The server's number of its type, a domain's base, as far as the definitions tell; 0: not known. What was defined a
    /// moment ago may be missing from it: only a hint of what to look for in values.
    pub type_oid: u32,
}

/// How an output column is made of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// No source whose values could be recognised in it (`count(*)`, a constant).
    Clean,
    /// The column itself: by name, alias, subquery, CTE, join, UNION of the same.
    Same,
    /// Made of one source by a cast or an expression: the value, or something that tells of it.
    Derived,
    /// Made of several sources.
    Mixed,
    /// A whole row, or a document with a row's columns in it (`to_jsonb(t)`, `t::text`).
    Row,
    /// Cannot be told: anything in `sources`, or anything in reach when there are none.
    Unknown,
}

/// Why a statement's doing cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Opaque {
    /// One word: `do`, `call`, `dynamic-sql`, `function`, `operator`, `unparsed`, `prepared`, `cursor`, `relation`, `no-catalog`, …
    pub why: &'static str,
    /// What it is about (the function's name, …); may be empty. Never a literal of the statement.
    pub what: String,
}
