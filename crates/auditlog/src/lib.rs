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
pub mod tree;
pub mod writer;
