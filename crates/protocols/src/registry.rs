//! The only list of protocols. A new one is a folder in `wire`, a folder here, and one line below.

use crate::postgres::Postgres;
use crate::protocol::StreamProtocol;

/// Byte-stream protocols, each on a listener of its own name in `[listen]`.
pub static STREAM_PROTOCOLS: &[&dyn StreamProtocol] = &[&Postgres];

/// The protocol of that name.
pub fn stream_protocol(name: &str) -> Option<&'static dyn StreamProtocol> {
    STREAM_PROTOCOLS.iter().copied().find(|p| p.name() == name)
}
