//! From an event in memory to the two parts of an entry: the leaf, which the tree hashes, and the payload, which is
//! sealed.
//!
//! The order of work is the writer's: payload first (the leaf carries its commitment), then the leaf. Both are written by
//! hand, because every command pays for two entries; what a session's entries have in common is rendered once and kept
//! in [`SessionFacts::encoded`](firsthand_model::session::SessionFacts). The kinds and their fields stand in one table,
//! [`kinds::KINDS`], against which `docs/record.md` and the golden files are tested.

pub(crate) mod base64;
pub mod codec;
pub mod fields;
pub mod kinds;
mod leaf;
pub(crate) mod limits;
pub mod moment;
mod payload;
pub(crate) mod session_text;

use std::sync::Arc;

use firsthand_model::event::Event;
use firsthand_model::id::SessionId;
use firsthand_model::session::SessionFacts;
use firsthand_model::time::{MonoMicros, UnixMicros};

use crate::keys::KeyError;
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

/// What a leaf says of its payload.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// What binds the two.
    pub commitment: &'a Commitment,
    /// The subject whose key seals it, where it is not the one that readers take without being told.
    pub key: Option<&'a str>,
    /// The month of that key, where it is not the entry's own.
    pub month: Option<&'a str>,
    /// The writer's run, where keys were derived from it instead of a session.
    pub run: Option<Run>,
}

/// What binds a payload to its leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// `SHA-256("firsthand/payload/v1\0" ‖ salt ‖ payload)`.
    pub digest: [u8; 32],
    /// Bytes of the payload before sealing.
    pub bytes: u64,
}

/// Names one run of a writer. Stands in place of a session's id where keys for payloads without a session are derived:
/// positions make the nonces of seals, and after a crash the next run may reach a position again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Run(pub [u8; 8]);

impl Run {
    /// A new name, at random.
    pub fn new() -> Result<Self, KeyError> {
        let mut run = Self::default();
        aws_lc_rs::rand::fill(&mut run.0).map_err(|_| KeyError::Crypto)?;
        Ok(run)
    }

    /// What stands for a session's id when keys are derived.
    #[must_use]
    pub fn as_session(self) -> [u8; 16] {
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(self.0) {
            *to = from;
        }
        id
    }

    /// Reads the 16 hexadecimal digits in a leaf.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| u64::from_str_radix(text, 16).ok().map(|n| Self(n.to_be_bytes())))?
    }
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
    pub fn leaf(&mut self, event: &Event, stamp: Stamp, payload: Option<&Sealing<'_>>, out: &mut Vec<u8>) {
        leaf::write(event, &mut self.common(stamp, payload), out);
    }

    /// Appends the leaf of a `session.closed` for a session that a crash ended: its facts are gone, so there is no `who`.
    pub fn closed_by_crash(&mut self, session: SessionId, stamp: Stamp, out: &mut Vec<u8>) {
        leaf::closed_by_crash(session, &mut self.common(stamp, None), out);
    }

    /// Appends the leaf that stands in place of an entry over a frame's limits, which the limits here do not let happen.
    pub fn too_large(&mut self, event: &Event, stamp: Stamp, out: &mut Vec<u8>) {
        leaf::too_large(event, &mut self.common(stamp, None), out);
    }

    fn common<'a>(&'a mut self, stamp: Stamp, payload: Option<&'a Sealing<'a>>) -> leaf::Common<'a> {
        leaf::Common { stamp, payload, time: &mut self.time }
    }
}

/// The facts of the session that `event` belongs to, if any.
pub fn facts(event: &Event) -> Option<&Arc<SessionFacts>> {
    match event {
        Event::SessionOpened(e) => Some(&e.facts),
        Event::SessionClosed(e) => Some(&e.facts),
        Event::SessionNoted(e) => Some(&e.facts),
        Event::CommandDecided(e) => Some(&e.facts),
        Event::CommandRows(e) => Some(&e.facts),
        Event::CommandChanged(e) => Some(&e.facts),
        Event::TransactionNamed(e) => Some(&e.of.facts),
        Event::TransactionChanged(e) => Some(&e.of.facts),
        Event::TransactionEnded(e) => Some(&e.of.facts),
        Event::CommandCompleted(e) => Some(&e.facts),
        Event::CommandAbandoned(e) => e.facts.as_ref(),
        Event::Stream(e) => Some(&e.facts),
        Event::Approval(e) => e.facts.as_ref(),
        Event::Refused(_) | Event::Administered(_) | Event::Log(_) => None,
    }
}

/// The session that `event` belongs to, also where only its id is known.
pub fn session(event: &Event) -> Option<SessionId> {
    match event {
        Event::CommandAbandoned(e) => Some(e.session),
        // Who asks for a grant may have no session.
        Event::Approval(e) => Some(e.session).filter(|session| session.0 != 0),
        other => facts(other).map(|facts| facts.id),
    }
}
