//! Limits that more than one crate must agree on, each with its reason (invariant 13).

/// How much of a command's rows is kept in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Rows kept of one result.
    pub rows: u64,
    /// Bytes of rows kept of one result, as rendered.
    pub bytes: u64,
}

impl Default for RecordLimits {
    /// 1,000 rows or 1 MiB: what a person reads of a result, and small beside the database that holds the rest.
    fn default() -> Self {
        Self { rows: 1000, bytes: 1 << 20 }
    }
}

/// A leaf's size: C2SP tlog-tiles bundles hold entries below 64 KiB; 16 KiB keeps a bundle readable.
pub const LEAF_BYTES_MAX: usize = 16 << 10;

/// A payload's size in one entry. A longer statement or result is cut, and says so.
pub const PAYLOAD_BYTES_MAX: usize = 2 << 20;

/// Statement text kept in one entry; beyond it the digest stands for the rest.
pub const TEXT_BYTES_KEPT: usize = 1 << 20;

/// Rendered parameters kept in one entry.
pub const PARAMETER_BYTES_KEPT: usize = 256 << 10;

/// Rows that ride in `command.completed` itself instead of a `command.rows` entry: most results are this small, and an
/// entry less is a hash, a seal and a frame less.
pub const INLINE_ROWS_BYTES_MAX: usize = 16 << 10;

/// One `command.rows` entry holds up to this much rendered JSON.
pub const ROWS_CHUNK_BYTES: usize = 256 << 10;

/// One row in the record, as rendered (of a changed one what it was and what it became, together). A larger one counts as past the
/// cap: an entry has to hold a chunk and the row that fills it.
pub const ROW_BYTES_MAX: usize = 1280 << 10;

/// Tables named in a leaf; more are counted, not listed, so that a leaf stays under its limit.
pub const TABLES_KEPT: usize = 64;
