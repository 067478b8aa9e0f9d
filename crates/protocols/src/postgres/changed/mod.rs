//! Which rows a write touched. Before a statement that changes rows goes to the target, RETURNING is added to its text,
//! and what comes back for that is taken out of the answer again: the client sees what it would have seen.
//!
//! `table` is what must be known of the table first, asked of the target over a connection of the gateway's own (`ask`,
//! `asker`); `added` is the list and the rows that come back for it, `old` how a row is read; `messages` are the bytes that
//! change on both ways, `carry` puts them there. Only where all of it is exact: a table with no rule and no row security in
//! force, whose columns the role may read, in a text that parses to the same tree and the list. Everywhere else the
//! statement goes as it is, and its outcome says why (`changed-rows:…`).
//!
//! `reach` is how far a change may go beyond the table that is written to, `along` asks for how many rows it did, and `far`
//! refuses what has a limit of rows where neither can tell. `shown` is the same list for a statement that is only tried (`preview`).
//!
//! In the extended protocol the client's own statement is prepared and bound as it is, and so says all that can be wrong with
//! it; then the changed text takes the portal's place, as a statement that lives no longer than that.

mod added;
mod along;
mod ask;
mod asker;
mod carry;
mod far;
mod messages;
mod old;
mod reach;
mod shown;
mod table;

use std::sync::Arc;

use firsthand_model::command::{Effect, Shape};
use firsthand_model::target::ChangedRows;
use firsthand_session::Answer;
use firsthand_sql::Changes;

pub(super) use added::{Added, Changed};
pub(super) use along::{Along, Manner, Reached};
pub(super) use ask::Asked;
pub(super) use asker::Askers;
pub use asker::TableSource;
pub(super) use carry::Replaced;
pub(super) use far::{runs_code, undone};
pub use reach::REACH_QUESTION;
pub(super) use reach::Reach;
pub(super) use shown::{Shown, listed};
pub use table::{TABLES_QUESTION, TableFacts, TableRow};

/// Coverage fact: several statements in one message, whose places must not move.
pub(super) const SEVERAL: &str = "changed-rows:several";
/// Coverage fact: the table could not be asked about at that moment.
pub(super) const UNASKED: &str = "changed-rows:unasked";
/// Coverage fact: this transaction, or what is still under way, may have changed what tables are.
pub(super) const DEFINED: &str = "changed-rows:defined";
/// Coverage fact: all rows were changed, and only those are told that were fetched. Also of a write behind such a one in the
/// same pipeline: until that has ended, what it wrote is not seen there, and another Parse between would change this.
pub(super) const FETCHED: &str = "changed-rows:fetched";
/// Coverage fact: the client's encoding is not the database's, and not every value may fit into it.
pub(super) const ENCODING: &str = "changed-rows:encoding";
/// Coverage fact: how many columns the client's own list makes is not known, and it asks for them in binary.
pub(super) const FORMATS: &str = "changed-rows:formats";
/// Coverage fact: the text or the values are too large to be sent twice.
pub(super) const LARGE: &str = "changed-rows:large";
/// Coverage fact: what a prepared text means was settled earlier, and could be something else by now.
pub(super) const PREPARED: &str = "changed-rows:prepared";
/// The client asks for rows itself, and values of this session's rows are masked.
pub(super) const MASKED: &str = "changed-rows:masked";
/// Coverage fact: the rewritten text would not have been the same statement.
pub(super) const NOT_THE_SAME: &str = "changed-rows:unparsed";

/// What a session remembers for it.
#[derive(Default)]
pub(super) struct ChangedState {
    /// How much is to be found out.
    pub(super) kept: ChangedRows,
    /// The target is too old to be asked.
    pub(super) old_server: bool,
    /// Who is asked about tables.
    pub(super) source: Option<Arc<dyn TableSource>>,
    /// What is known of the tables of the batch that is being decided or sent.
    pub(super) facts: Option<TableFacts>,
    /// That is being asked.
    pub(super) looking: bool,
    /// It has been asked for this batch because of a limit, whatever came of it.
    pub(super) looked: bool,
    /// The decisions, which wait for it.
    pub(super) decided: Option<Vec<Answer>>,
    /// Something in this transaction may have changed what tables are, which no other session sees.
    pub(super) defined: bool,
    /// A command under way may change how texts are read and who asks.
    pub(super) moving: bool,
    /// An Execute with a limit of rows has gone out since the last Sync.
    pub(super) parts: bool,
    /// The record has been told what is asked about what changes along.
    pub(super) noted: bool,
    /// Counts reports of changed settings: constants in a prepared text were read by those of its time.
    pub(super) settings: u64,
}

impl ChangedState {
    /// For a target of this version that keeps this much.
    pub(super) fn new(kept: ChangedRows, source: Option<Arc<dyn TableSource>>, server_version: &str) -> Self {
        let major: u32 = server_version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        Self { kept, old_server: major < table::SERVER_MIN, source, ..Self::default() }
    }

    /// A command of this kind is on its way; `sets`: its text may change settings. Whether what follows in the same batch
    /// may mean something else.
    pub(super) fn runs(&mut self, shape: &Shape, sets: bool) -> bool {
        let ends = matches!(shape.tag.as_str(), "COMMIT" | "ROLLBACK" | "PREPARE TRANSACTION");
        let settings = sets || matches!(shape.tag.as_str(), "SET" | "RESET") || ends;
        // A function that it calls may define something, too; then its text does not tell.
        let defines = shape.effects.has(Effect::Define) || (!settings && defines(&shape.tag));
        self.moving |= settings;
        self.defined |= defines;
        settings || defines
    }

    /// The target has answered all that was sent; `idle`: and is in no transaction.
    pub(super) fn settled(&mut self, idle: bool) {
        self.moving = false;
        self.defined &= !idle;
    }
}

/// Whether a command can change what names of tables mean, or what a table is, as far as its tag tells.
fn defines(tag: &str) -> bool {
    !matches!(
        tag,
        "SELECT"
            | "INSERT"
            | "UPDATE"
            | "DELETE"
            | "MERGE"
            | "BEGIN"
            | "START TRANSACTION"
            | "SAVEPOINT"
            | "RELEASE"
            | "COPY"
            | "SHOW"
            | "FETCH"
            | "MOVE"
            | "DECLARE CURSOR"
            | "CLOSE CURSOR"
            | "LISTEN"
            | "NOTIFY"
            | "UNLISTEN"
            | "VALUES"
            | "EXPLAIN"
            | "LOCK TABLE"
            | "SET CONSTRAINTS"
            | "TRUNCATE TABLE"
            | "ANALYZE"
            | "PREPARE"
            | "DEALLOCATE"
            | "DEALLOCATE ALL"
    )
}

/// The coverage fact for what RETURNING cannot tell.
fn fact(why: &'static str) -> &'static str {
    match why {
        "merge" => "changed-rows:merge",
        "cte" => "changed-rows:cte",
        "copy" => "changed-rows:copy",
        "truncate" => "changed-rows:truncate",
        "explain" => "changed-rows:explain",
        "opaque" => "changed-rows:opaque",
        _ => NOT_THE_SAME,
    }
}

/// What was found out for a portal: the list in its text, or why there is none.
pub(super) type Decided = Result<Arc<Added>, &'static str>;

/// A statement's changes, if it makes any.
pub(super) type Found = Option<Arc<Changes>>;
