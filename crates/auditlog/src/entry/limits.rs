//! Limits inside one entry, chosen so that a leaf stays below `LEAF_BYTES_MAX` and a payload below `PAYLOAD_BYTES_MAX`
//! whatever stands in them: JSON writes one byte as up to six characters.

use firsthand_model::limits::{ROW_BYTES_MAX, ROWS_CHUNK_BYTES};

/// One name in a leaf (target, role, rule, table). PostgreSQL's own names have at most 63 bytes.
pub(crate) const NAME_BYTES_KEPT: usize = 200;

/// Links of the identity chain; today's chains have three.
pub(crate) const CHAIN_LINKS_KEPT: usize = 8;

/// Rendered bytes of the list of tables in a leaf; more are counted.
pub(crate) const TABLES_BYTES_KEPT: usize = 4 << 10;

/// Rendered bytes of what the names in that list mean: for searches, which find the rest as it is written.
pub(crate) const RESOLVED_BYTES_KEPT: usize = 2 << 10;

/// Words of coverage in a leaf.
pub(crate) const COVERAGE_KEPT: usize = 16;

/// Facts that an administrative or a log event puts in its leaf; larger ones move to the payload or are dropped, marked.
pub(crate) const FACTS_BYTES_KEPT: usize = 8 << 10;

/// Statement text, as rendered. The text itself is bounded by `TEXT_BYTES_KEPT`, but escapes can make it longer.
pub(crate) const TEXT_RENDERED_MAX: usize = 1 << 20;

/// One section of a payload that comes as JSON (parameters, rows, columns, error, notices): two of the large and four
/// of the small fit beside the text.
pub(crate) const SECTION_BYTES_MAX: usize = 320 << 10;

/// Rows in an entry of their own, old and new ones together: a chunk, and the row that fills it. They fit beside their columns.
pub(crate) const ROWS_SECTION_MAX: usize = ROWS_CHUNK_BYTES + ROW_BYTES_MAX;

/// A short text in a payload: names, addresses, details.
pub(crate) const SHORT_TEXT_KEPT: usize = 8 << 10;

/// Claims kept of a session; clients send two or three.
pub(crate) const CLAIMS_KEPT: usize = 32;
/// Groups kept of a session: as many as are accepted of a token.
pub(crate) const GROUPS_KEPT: usize = 256;
