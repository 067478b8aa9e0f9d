//! The tamper-evident log as a library: entries, segments, recovery, index, reader.
