//! What an SQL statement does, as far as its text tells: its pieces, tag, effects, tables named, secrets in it.
//!
//! - [`analyze`] parses a text with PostgreSQL's own grammar and tells of each statement what [`model::command::Shape`] holds.
//!   [`Analyzer`] is the same with a memory: a statement seen before, also with other literals, costs a lookup.
//! - [`mask`] replaces credentials in a text by `***` before it goes to the record.
//!
//! Read `analysis.rs` first, then `walk.rs`. `tree.rs`, `kinds.rs` and `harmless.rs` are tables over all node types of the
//! grammar, without a wildcard arm: a node that a later grammar brings does not compile until someone has placed it.
//!
//! # Known limits
//!
//! Only the text is read; there is no catalog here. So:
//! - "plain read" and the effects are *as the text says*. A view, a rule, a row security policy, a trigger, a domain's check, an
//!   operator of a user's type, or a column-like name (`t.f`) may run functions that the text does not show; an unusual
//!   `search_path` may put something else behind a known name.
//! - Every function call has the effect `unknown`, also `count(*)`; so have cursors, EXECUTE, CALL and DO.
//! - Tables are as written, not resolved; those named inside function bodies, DO blocks and dynamic SQL are not seen.
//! - EXPLAIN with any `analyze` option counts as running its statement; PREPARE and DECLARE count what they prepare.
//!
//! Texts that cannot be read (syntax errors, too long, not UTF-8, too deeply nested) are one statement of unknown effects
//! with the coverage fact [`UNPARSED`], never an error and never a panic. Deep texts need stack: see [`STACK_BYTES`].
//!
//! [`model::command::Shape`]: firsthand_model::command::Shape

mod analysis;
mod cache;
pub mod catalog;
mod comments;
mod copying;
mod cost;
pub mod explain;
mod harmless;
pub mod judge;
mod kinds;
mod outline;
mod resolve;
mod returning;
mod secrets;
pub mod settings;
mod split;
pub mod state;
mod syntax;
mod tables;
mod tree;
mod walk;

pub use analysis::{
    Analysis, OPERATOR_RUN_MAX, PARSE_BYTES_MAX, SMALL_TEXT_BYTES, STACK_BYTES, STATEMENTS_MAX, Settings,
    Statement, TEXT_BYTES_MAX, UNPARSED, Unparsed, analyze, is_large, parse_cost,
};
pub use cache::{Analyzer, SET_BYTES_MAX, SETS, WAYS};
pub use comments::{CLAIM_NAME_MAX, CLAIM_VALUE_MAX, CLAIMS_COMMENT_MAX, CLAIMS_MAX, Claims, claims};
pub use copying::{CopyForm, CopyOptions, copy_options};
pub use returning::{Action, Change, Changes, Target, quoted, with_returning};
pub use secrets::{
    Masked, NESTING_MAX, PIECE_MIN, QUOTED_MAX, SECRETS_MAX, SecretParameters, holds_token, mask, mask_all,
    mask_connection, mask_message, mask_report, may_hold_secret,
};
pub use tables::{CTES_MAX, TABLE_BYTES_MAX, TABLES_MAX};
pub use walk::TABLES_CUT;
