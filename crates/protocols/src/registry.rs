//! The only list of protocols. A new one is a folder in `wire`, a folder here, and one line below.

use std::sync::Arc;

use crate::postgres::Postgres;
use crate::protocol::StreamProtocol;

/// A byte-stream protocol that can be listened for.
pub struct Listed {
    /// Its name: the key in `[listen]`, the `protocol` of a target.
    pub name: &'static str,
    /// The scheme of its connection strings.
    pub scheme: &'static str,
    /// Makes what a listener needs of it, shared by its connections.
    pub build: fn() -> Arc<dyn StreamProtocol>,
}

/// Byte-stream protocols.
pub static STREAM_PROTOCOLS: &[Listed] =
    &[Listed { name: Postgres::NAME, scheme: "postgresql", build: || Arc::new(Postgres::default()) }];

/// The protocol of that name, made for one listener.
pub fn stream_protocol(name: &str) -> Option<Arc<dyn StreamProtocol>> {
    STREAM_PROTOCOLS.iter().find(|p| p.name == name).map(|p| (p.build)())
}
