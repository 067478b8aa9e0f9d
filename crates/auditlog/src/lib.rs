//! The tamper-evident log as a library: entries, segments, recovery, index, reader.

pub mod frame;
pub mod io;
pub mod tree;
