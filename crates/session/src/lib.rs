//! The engine: who may open a session, and the way of every command: authorize, hold, record the intent, permit,
//! record the outcome. Independent of protocols and of how the log is stored.
//!
//! Read first: `pipeline.rs`. Then `permit.rs` (why nothing can go around it) and `port.rs` (what the engine needs from
//! outside). Out of scope: bytes of any protocol, sockets, files.

pub mod admission;
pub mod breaker;
mod foreseen;
mod granted;
mod holding;
mod limited;
mod limiter;
mod meter;
mod overtaken;
mod own_role;
pub mod permit;
pub mod pipeline;
pub mod port;
pub mod refusal;
pub mod refused;
pub mod secret;
pub mod tally;
pub mod usage;
mod veil;

#[cfg(any(test, feature = "fake"))]
pub mod fake;

pub use admission::{Admission, Admitted, Bound, Engine, Wanted};
pub use meter::Outlasted;
pub use permit::{ChangedPiece, Completed, Forward, Permit, Reply, RowsPiece};
pub use pipeline::{Answer, Session};
pub use refusal::{Refusal, RefusalKind};
pub use veil::veiled;
