//! What an SQL statement does: its pieces, tag, effects, tables named, secrets in it.

mod analysis;
mod cache;
mod harmless;
mod kinds;
mod outline;
mod secrets;
mod split;
mod tables;
mod tree;
mod walk;

pub use analysis::{
    Analysis, SMALL_TEXT_BYTES, STACK_BYTES, Settings, Statement, TEXT_BYTES_MAX, UNPARSED, Unparsed,
    analyze, is_large,
};
pub use cache::{Analyzer, SET_BYTES_MAX, SETS, WAYS};
pub use secrets::{Masked, NESTING_MAX, PIECE_MIN, SECRETS_MAX, mask, mask_message};
pub use tables::{CTES_MAX, TABLE_BYTES_MAX, TABLES_MAX};
pub use walk::TABLES_CUT;
