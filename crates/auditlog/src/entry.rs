//! From an event in memory to the two parts of an entry: the leaf, which the tree hashes, and the payload, which is
//! sealed.
//!
//! The order of work is the writer's: payload first (the leaf carries its commitment), then the leaf. Both are written by
//! hand, because every command pays for two entries; what a session's entries have in common is rendered once and kept
//! in [`SessionFacts::encoded`](firsthand_model::session::SessionFacts). The kinds and their fields stand in one table,
//! [`kinds::KINDS`], against which `docs/record.md` and the golden files are tested.

pub(crate) mod base64;
pub mod kinds;
mod leaf;
pub(crate) mod limits;
pub mod moment;
mod payload;
pub(crate) mod session_text;

use firsthand_model::event::Event;
use firsthand_model::id::SessionId;
use firsthand_model::session::SessionFacts;
use firsthand_model::time::{MonoMicros, UnixMicros};

use moment::TimeText;

/// The subject under which payloads of `admin.*`, `identity.*` and `record.*` entries are sealed.
pub const SUBJECT_ADMIN: &str = "admin";
/// The subject under which payloads of entries without an admitted session are sealed (`identity.refused`, …).
pub const SUBJECT_GATEWAY: &str = "gateway";

/// Where and when an entry stands. Given by the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Its position in the log.
    pub position: u64,
    /// Wall clock.
    pub time: UnixMicros,
    /// Monotonic clock, from the writer's start.
    pub mono: MonoMicros,
}

/// What binds a payload to its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// `SHA-256("firsthand/payload/v1\0" ‖ salt ‖ payload)`.
    pub digest: [u8; 32],
    /// Bytes of the payload before sealing.
    pub bytes: u64,
}

/// Whose key seals an entry's payload.
#[derive(Clone, Copy, Debug)]
pub enum Sealer<'a> {
    /// The session's own, derived from its subject's key of the month.
    Session(&'a SessionFacts),
    /// One of the subjects above.
    Subject(&'static str),
}

/// Writes entries. Keeps what makes writing many of them cheap; one per writer.
#[derive(Debug, Default)]
pub struct Encoder {
    time: TimeText,
}

impl Encoder {
    /// Appends the payload. Appends nothing when the event has none: then nothing is sealed and the leaf has no `pay`.
    /// Never more than `limits::PAYLOAD_BYTES_MAX`: what does not fit is cut, and named in `cut`.
    pub fn payload(event: &Event, out: &mut Vec<u8>) {
        payload::write(event, out);
    }

    /// Appends the leaf, at most `limits::LEAF_BYTES_MAX` bytes.
    pub fn leaf(&mut self, event: &Event, stamp: Stamp, payload: Option<&Commitment>, out: &mut Vec<u8>) {
        leaf::write(event, &mut leaf::Common { stamp, payload, time: &mut self.time }, out);
    }

    /// Appends the leaf of a `session.closed` for a session that a crash ended: its facts are gone, so there is no `who`.
    pub fn closed_by_crash(&mut self, session: SessionId, stamp: Stamp, out: &mut Vec<u8>) {
        leaf::closed_by_crash(session, &mut leaf::Common { stamp, payload: None, time: &mut self.time }, out);
    }
}

/// Whose key seals the payload of `event`.
pub fn sealer(event: &Event) -> Sealer<'_> {
    match facts(event) {
        Some(facts) => Sealer::Session(facts),
        None if matches!(event, Event::Administered(_)) => Sealer::Subject(SUBJECT_ADMIN),
        None => Sealer::Subject(SUBJECT_GATEWAY),
    }
}

/// The facts of the session that `event` belongs to, if any.
pub fn facts(event: &Event) -> Option<&SessionFacts> {
    match event {
        Event::SessionOpened(e) => Some(&e.facts),
        Event::SessionClosed(e) => Some(&e.facts),
        Event::SessionNoted(e) => Some(&e.facts),
        Event::CommandDecided(e) => Some(&e.facts),
        Event::CommandRows(e) => Some(&e.facts),
        Event::CommandCompleted(e) => Some(&e.facts),
        Event::CommandAbandoned(e) => e.facts.as_deref(),
        Event::Stream(e) => Some(&e.facts),
        Event::Refused(_) | Event::Administered(_) | Event::Log(_) => None,
    }
}

/// The session that `event` belongs to, also where only its id is known.
pub fn session(event: &Event) -> Option<SessionId> {
    match event {
        Event::CommandAbandoned(e) => Some(e.session),
        other => facts(other).map(|facts| facts.id),
    }
}
