//! PostgreSQL: how a connection begins (`handshake`), what is said on it afterwards (`dialect`), how a no is said
//! (`refuse`).

mod handshake;
mod handshake_client;
mod handshake_target;
mod probe;
pub mod refuse;

use firsthand_session::port::BoxFuture;

use crate::drive::line::Line;
use crate::protocol::{Beginning, Begun, Probe, StreamProtocol, TurnedAway};

/// The protocol, as the registry lists it.
pub struct Postgres;

impl StreamProtocol for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn alpn(&self) -> &'static [&'static [u8]] {
        &[b"postgresql"]
    }

    fn begin<'a>(&'a self, line: &'a mut Line, with: &'a Beginning<'a>) -> BoxFuture<'a, Begun> {
        Box::pin(handshake::begin(line, with))
    }

    fn turn_away<'a>(&'a self, line: &'a mut Line, why: TurnedAway) -> BoxFuture<'a, ()> {
        Box::pin(handshake::turn_away(line, why))
    }

    fn probe<'a>(&'a self, with: Probe<'a>) -> BoxFuture<'a, Result<Vec<String>, String>> {
        Box::pin(probe::probe(with))
    }
}
