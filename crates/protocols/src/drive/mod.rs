//! Drivers: the IO shells. `stream.rs` owns sockets, TLS, time and limits for every byte-stream protocol, once.

pub mod half_open;
pub mod line;
pub mod outbox;
pub mod run;
pub mod sessions;
pub mod stream;
pub mod thinkers;
pub mod tls;
