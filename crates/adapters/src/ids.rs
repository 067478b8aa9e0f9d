//! Session ids.

use firsthand_model::id::SessionId;
use firsthand_session::port::Ids;
use uuid::Uuid;

/// UUID version 7 (RFC 9562): sorted by the time a session was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uuid7;

impl Ids for Uuid7 {
    fn session(&self) -> SessionId {
        SessionId(Uuid::now_v7().as_u128())
    }
}
