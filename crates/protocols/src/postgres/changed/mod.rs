//! Which rows a write touched. Before a statement that changes rows goes to the target, RETURNING is added to its text,
//! and what comes back for that is taken out of the answer again: the client sees what it would have seen.
//!
//! What is not told that way (MERGE, changes in WITH, what triggers and cascades do, code) is at least counted: the target's own
//! counters are asked for before and after the command, in its transaction (`counts`, `counting`).
//!
//! `table` is what must be known of the table first, asked of the target (`ask`); `added` is the list and the rows that come
//! back for it; `messages` are the bytes that change on both ways, `carry` puts them there. Only where all of it is exact: a
//! table with no rule and no row security in force, whose columns the role may read, in a text that parses to the same
//! tree and the list. Everywhere else the statement goes as it is, and its outcome says why (`changed-rows:…`).

mod added;
mod ask;
mod carry;
mod counting;
mod counts;
mod messages;
mod old;
mod table;

use std::sync::Arc;

use bytes::Bytes;
use firsthand_model::target::ChangedRows;
use firsthand_sql::Changes;

pub(super) use added::{Added, Changed};
pub(super) use ask::Asking;
pub(super) use counting::{Around, Counting, Ended};
pub(super) use table::Tables;

/// Coverage fact: several statements in one message, whose places must not move.
pub(super) const SEVERAL: &str = "changed-rows:several";
/// Coverage fact: the table could not be asked about at that moment.
pub(super) const UNASKED: &str = "changed-rows:unasked";
/// The client asks for rows itself, and values of this session's rows are masked.
pub(super) const MASKED: &str = "changed-rows:masked";
/// Coverage fact: the rewritten text would not have been the same statement.
pub(super) const NOT_THE_SAME: &str = "changed-rows:unparsed";
/// Coverage fact: the command may have changed more than is told, and that could not be counted.
pub(super) const EFFECTS_UNKNOWN: &str = "changed-rows:effects-unknown";

/// What a session remembers for it.
#[derive(Default)]
pub(super) struct ChangedState {
    /// How much is to be found out.
    pub(super) kept: ChangedRows,
    /// The target is too old to be asked.
    pub(super) old_server: bool,
    pub(super) tables: Tables,
    /// A question under way.
    pub(super) asking: Option<Box<Asking>>,
    /// The target can be told to put its counters to zero.
    pub(super) zeroes: bool,
    /// The command for which they were.
    pub(super) zeroed_for: Option<u64>,
    /// An Execute with a limit of rows may have left what it wrote invisible to the next command; an Execute of the gateway's
    /// own would show it.
    pub(super) suspends: bool,
    /// The description of a Query's rows that runs as a portal, until they come.
    pub(super) described: Option<Bytes>,
    /// A command that has ended and is told once it is known what it set off.
    pub(super) ended: Option<Box<Ended>>,
}

impl ChangedState {
    /// For a target of this version that keeps this much.
    pub(super) fn new(kept: ChangedRows, server_version: &str) -> Self {
        let major: u32 = server_version
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|v| v.parse().ok())
            .unwrap_or(0);
        Self {
            kept,
            old_server: major < table::SERVER_MIN,
            zeroes: major >= counts::ZEROES_MIN,
            ..Self::default()
        }
    }
}

/// Whether an error may come from a list that no longer fits its table: a column, a privilege or a rule has changed since.
pub(super) fn may_be_stale(sqlstate: &[u8]) -> bool {
    matches!(sqlstate, b"42703" | b"42501" | b"42P01" | b"0A000" | b"42P10")
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

/// What was found out for a prepared statement: the list in its text, or why there is none.
pub(super) type Decided = Result<Arc<Added>, &'static str>;

/// A statement's changes, if it makes any.
pub(super) type Found = Option<Arc<Changes>>;
