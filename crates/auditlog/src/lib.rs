//! The tamper-evident log as a library: entries, segments, recovery, index, reader.

mod keeper;
mod step;
pub mod codec;
pub mod entry;
pub mod frame;
pub mod io;
pub mod keys;
pub mod lock;
pub mod open_set;
pub mod queue;
pub mod reader;
pub mod recover;
pub mod segment;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod tree;
#[cfg(test)]
mod trials;
pub mod writer;

pub use step::Step;
