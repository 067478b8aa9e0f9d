//! How a command ended.

use crate::amount::Amounts;
use crate::json::Json;

/// State of the target's transaction (PostgreSQL docs 55.7, ReadyForQuery; other protocols map to it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transaction {
    /// Not in a transaction.
    #[default]
    Idle,
    /// In a transaction.
    Open,
    /// In a failed transaction.
    Failed,
}

impl Transaction {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Open => "open",
            Self::Failed => "failed",
        }
    }
}

/// Why a command was abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbandonReason {
    /// An earlier error failed the pipeline: the target skipped it.
    Skipped,
    /// Another statement of the same message was refused, so none was sent.
    RefusedTogether,
    /// Something sent together with it waited for a person, and by then it would not have been given leave: nothing of it was sent.
    Overtaken,
    /// The target's connection ended before it answered.
    TargetLost,
    /// The client left; what the target did afterwards was not seen.
    ClientLeft,
    /// The gateway was told to stop and the command outlasted the drain.
    Drained,
    /// An administrator ended the session.
    Killed,
    /// An administrator contained the session, its identity or its target.
    Contained,
    /// The gateway stopped without a word; found at the next start.
    Crash,
    /// The target or the client broke the protocol.
    Protocol,
    /// The log did not take what had to be in it, or not in time.
    NotRecorded,
    /// Its session ended, at a limit or while the rest of its batch was still being decided.
    SessionEnded,
    /// A permit was dropped: a defect of the gateway, recorded rather than hidden.
    Dropped,
}

impl AbandonReason {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::RefusedTogether => "refused-together",
            Self::Overtaken => "overtaken",
            Self::TargetLost => "target-lost",
            Self::ClientLeft => "client-left",
            Self::Drained => "drained",
            Self::Killed => "killed",
            Self::Contained => "contained",
            Self::Crash => "crash",
            Self::Protocol => "protocol",
            Self::NotRecorded => "not-recorded",
            Self::SessionEnded => "session-ended",
            Self::Dropped => "dropped",
        }
    }
}

/// What the target answered to a command that ran to its end.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The completion tag (`DELETE 1`), empty when it failed.
    pub tag: String,
    /// Rows delivered to the client (all of them, not only those kept).
    pub rows: u64,
    /// Bytes of the row or copy messages delivered to (or, for copy in, taken from) the client.
    pub bytes: u64,
    /// Labelled cells delivered, where a limit counts them.
    pub cells: Option<u64>,
    /// The rows and bytes are those that the client gave (copy in).
    pub taken: bool,
    /// Rows affected, where the tag says.
    pub affected: Option<u64>,
    /// SQLSTATE of the error, or the protocol's own code.
    pub code: Option<String>,
    /// The error as the client got it: JSON object (severity, message, detail, hint…), or absent.
    pub error: Json,
    /// State of the transaction after it.
    pub transaction: Transaction,
    /// SHA-256 over the row or copy messages delivered; `None` when there were none.
    pub digest: Option<[u8; 32]>,
    /// Columns of the rows: JSON array, or absent.
    pub columns: Json,
    /// Rows kept, when they fit here (`limits::INLINE_ROWS_BYTES_MAX`): JSON array of arrays, or absent.
    pub inline_rows: Json,
    /// Rows kept in all (here and in `command.rows` entries).
    pub rows_kept: u64,
    /// Notices that came with it: JSON array, or absent.
    pub notices: Json,
    /// The portal was suspended: more rows may be asked for by another command.
    pub suspended: bool,
    /// What was not seen: `rows-past-cap`, …
    pub coverage: Vec<&'static str>,
}

impl Outcome {
    /// What counts of it for limits: what was delivered, and what was affected unless it failed. (Rows that are copied out
    /// stand in the tag as those that are copied in do.)
    pub fn amounts(&self) -> Amounts {
        let copied_out = self.tag.starts_with("COPY ") && !self.taken;
        let changed = self.code.is_none() && !copied_out;
        Amounts {
            rows: if self.taken { 0 } else { self.rows },
            bytes: if self.taken { 0 } else { self.bytes },
            cells: self.cells.unwrap_or(0),
            affected: self.affected.filter(|_| changed).unwrap_or(0),
        }
    }
}
