//! What is open at a moment: sessions without an end, commands without an outcome.
//!
//! Every segment header carries the set as it stood there, so that recovery needs to read one segment only to know
//! which commands a crash has left without an outcome.

use std::collections::{HashMap, VecDeque};

/// A session's id, as bytes (a UUID).
pub type SessionId = [u8; 16];

/// Most sessions and commands open at a time. They must fit a segment's header (40 bytes each, 2.5 MiB in all); the
/// gateway's own limit of sessions lies far below.
pub const MAX_OPEN: usize = 1 << 16;
/// Most that a header is read with: a set that has grown past [`MAX_OPEN`] by an entry that did not say that it opens
/// something must not make the log unreadable.
pub(crate) const MAX_LISTED: usize = 4 * MAX_OPEN;

/// What an entry opens or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Neither.
    None,
    /// A session begins.
    OpenSession(SessionId),
    /// A session ends, and with it whatever it left open.
    CloseSession(SessionId),
    /// A command was permitted and owes an outcome: session, number.
    OpenCommand(SessionId, u64),
    /// Its outcome.
    CloseCommand(SessionId, u64),
}

/// One open thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenItem {
    /// Whose.
    pub session: SessionId,
    /// The command's number in its session; `None` is the session itself.
    pub command: Option<u64>,
    /// Epoch of the entry that opened it.
    pub epoch: u64,
    /// Position of that entry.
    pub position: u64,
}

impl OpenItem {
    /// Encoded length in a segment header.
    pub const SIZE: usize = 40;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.session);
        out.extend_from_slice(&self.command.unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.position.to_le_bytes());
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let (command, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (position, _) = rest.split_first_chunk()?;
        let command = Some(u64::from_le_bytes(*command)).filter(|c| *c != u64::MAX);
        let (epoch, position) = (u64::from_le_bytes(*epoch), u64::from_le_bytes(*position));
        Some(Self { session: *session, command, epoch, position })
    }
}

#[derive(Debug, Default)]
struct Session {
    /// Where it was opened; `None` when only a command of it is known.
    opened: Option<(u64, u64)>,
    /// Number, epoch, position. Outcomes come mostly in the order of the intents, so they are found at the front.
    commands: VecDeque<(u64, u64, u64)>,
}

/// The set itself. Applying a change costs one lookup.
#[derive(Debug, Default)]
pub struct OpenSet {
    sessions: HashMap<SessionId, Session>,
    len: usize,
}

impl OpenSet {
    /// The set that a header lists.
    #[must_use]
    pub fn from_items(items: &[OpenItem]) -> Self {
        let mut set = Self::default();
        for item in items {
            let session = set.sessions.entry(item.session).or_default();
            match item.command {
                None => session.opened = Some((item.epoch, item.position)),
                Some(n) => session.commands.push_back((n, item.epoch, item.position)),
            }
            set.len += 1;
        }
        set
    }

    /// Number of sessions and commands in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Applies what the entry at this place changes.
    pub fn apply(&mut self, change: Change, epoch: u64, position: u64) {
        match change {
            Change::None => {}
            Change::OpenSession(id) => {
                let session = self.sessions.entry(id).or_default();
                self.len += usize::from(session.opened.replace((epoch, position)).is_none());
            }
            Change::CloseSession(id) => {
                if let Some(gone) = self.sessions.remove(&id) {
                    self.len -= gone.commands.len() + usize::from(gone.opened.is_some());
                }
            }
            Change::OpenCommand(id, n) => {
                self.sessions.entry(id).or_default().commands.push_back((n, epoch, position));
                self.len += 1;
            }
            Change::CloseCommand(id, n) => self.close_command(id, n),
        }
    }

    fn close_command(&mut self, id: SessionId, n: u64) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(at) = session.commands.iter().position(|c| c.0 == n) else { return };
        session.commands.remove(at);
        self.len -= 1;
        if session.opened.is_none() && session.commands.is_empty() {
            self.sessions.remove(&id);
        }
    }

    /// Whether this session has begun and not ended.
    #[must_use]
    pub fn has_session(&self, id: &SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| session.opened.is_some())
    }

    /// Epoch and position of the intent of a command that owes its outcome.
    #[must_use]
    pub fn command(&self, id: &SessionId, n: u64) -> Option<(u64, u64)> {
        let session = self.sessions.get(id)?;
        session.commands.iter().find(|c| c.0 == n).map(|&(_, epoch, position)| (epoch, position))
    }

    /// The commands of a session that owe their outcome: number, epoch, position.
    #[must_use]
    pub fn commands_of(&self, id: &SessionId) -> Vec<(u64, u64, u64)> {
        self.sessions.get(id).map_or_else(Vec::new, |session| session.commands.iter().copied().collect())
    }

    /// Everything in it, in a stable order: by session, the session itself first, then its commands by position.
    #[must_use]
    pub fn items(&self) -> Vec<OpenItem> {
        let mut items = Vec::with_capacity(self.len);
        for (id, session) in &self.sessions {
            if let Some((epoch, position)) = session.opened {
                items.push(OpenItem { session: *id, command: None, epoch, position });
            }
            for &(n, epoch, position) in &session.commands {
                items.push(OpenItem { session: *id, command: Some(n), epoch, position });
            }
        }
        items.sort_unstable();
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_and_ends_pair_up_and_survive_a_header() {
        let (a, b) = ([1; 16], [2; 16]);
        let mut set = OpenSet::default();
        set.apply(Change::OpenSession(a), 1, 0);
        set.apply(Change::OpenCommand(a, 1), 1, 1);
        set.apply(Change::OpenCommand(a, 2), 1, 2);
        set.apply(Change::OpenCommand(b, 9), 1, 3);
        set.apply(Change::CloseCommand(a, 1), 1, 4);
        set.apply(Change::CloseCommand(a, 77), 1, 4);
        set.apply(Change::CloseCommand([3; 16], 1), 1, 4);
        assert_eq!(set.len(), 3);
        let mut bytes = Vec::new();
        set.items().iter().for_each(|i| i.encode(&mut bytes));
        assert_eq!(bytes.len(), 3 * OpenItem::SIZE);
        let back: Vec<OpenItem> =
            bytes.chunks(OpenItem::SIZE).map(|c| OpenItem::decode(c).unwrap()).collect();
        assert_eq!(back, set.items());
        assert_eq!(back[0], OpenItem { session: a, command: None, epoch: 1, position: 0 });
        let mut again = OpenSet::from_items(&back);
        again.apply(Change::CloseSession(a), 1, 9);
        again.apply(Change::CloseCommand(b, 9), 1, 10);
        assert!(again.is_empty() && again.items().is_empty() && again.sessions.is_empty());
    }
}
