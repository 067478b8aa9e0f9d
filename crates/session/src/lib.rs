//! The engine: a command asks once and gets a Permit; protocol- and storage-independent.
