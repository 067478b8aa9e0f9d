//! Session ids.

use firsthand_model::id::SessionId;
use firsthand_session::port::Ids;
use uuid::{NoContext, Timestamp, Uuid};

/// UUID version 7 (RFC 9562): sorted by the millisecond in which a session was opened. All bits after the time are random:
/// with a counter in them, the ids of sessions that open together would differ at their ends only, and no beginning would
/// tell them apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uuid7;

impl Ids for Uuid7 {
    fn session(&self) -> SessionId {
        SessionId(Uuid::new_v7(Timestamp::now(NoContext)).as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sessions_of_one_moment_have_beginnings_of_their_own() {
        let ids: Vec<String> = (0..64).map(|_| Uuid7.session().to_string()).collect();
        // What one line of the log shows. Twelve random bits: some of so many may be the same, never most of them.
        let beginnings: BTreeSet<&str> = ids.iter().filter_map(|id| id.get(..18)).collect();
        assert!(beginnings.len() > 48, "{beginnings:?}");
        assert!(ids.iter().all(|id| id.get(14..15) == Some("7")), "{ids:?}");
    }
}
