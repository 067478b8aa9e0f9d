//! One thing asked: a statement, a call. What it is known to do, and its text.

use std::sync::Arc;

use crate::grant::AccessCall;
use crate::json::Json;
use crate::preview::Original;

/// What a command does, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Reads data.
    Read,
    /// Writes data.
    Write,
    /// Changes definitions.
    Define,
    /// Changes privileges or roles.
    Grant,
    /// Runs code.
    Execute,
    /// Changes the session: settings, cursors, prepared statements.
    Session,
    /// Begins or ends a transaction or a part of one.
    Transaction,
    /// Takes locks that others wait for, beyond those of reading and writing.
    Lock,
    /// Reaches beyond the database: files, programs, the network, other servers' processes.
    System,
    /// Cannot be told. Counts as able to do anything.
    Unknown,
}

impl Effect {
    /// All of them, in the order of the words in the record.
    pub const ALL: [Self; 10] = [
        Self::Read,
        Self::Write,
        Self::Define,
        Self::Grant,
        Self::Execute,
        Self::Session,
        Self::Transaction,
        Self::Lock,
        Self::System,
        Self::Unknown,
    ];

    /// The word used in the record and in searches.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Define => "define",
            Self::Grant => "grant",
            Self::Execute => "execute",
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Lock => "lock",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }
}

/// A set of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Effects(u16);

impl Effects {
    /// No effect known yet.
    pub const NONE: Self = Self(0);

    /// Just this one.
    pub const fn only(effect: Effect) -> Self {
        Self(1 << effect as u8)
    }

    /// With this one as well.
    #[must_use]
    pub const fn and(self, effect: Effect) -> Self {
        Self(self.0 | 1 << effect as u8)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is in the set.
    pub const fn has(self, effect: Effect) -> bool {
        self.0 & (1 << effect as u8) != 0
    }

    /// Those in the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Effect> {
        Effect::ALL.into_iter().filter(move |e| self.has(*e))
    }

    /// Whether what has these touches no data: it begins and ends transactions, and sets what is set.
    pub fn touches_nothing(self) -> bool {
        self.iter().all(|effect| matches!(effect, Effect::Transaction | Effect::Session))
    }

    /// The set as a small number, a key for caches.
    pub const fn bits(self) -> u16 {
        self.0
    }
}

/// Which step of a protocol's exchange asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The command runs.
    Run,
    /// Only prepared (parsed, perhaps bound): nothing runs yet.
    Prepare,
}

impl Step {
    /// The word used in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Prepare => "prepare",
        }
    }
}

/// What the analysis of a command's text found. Shared between repetitions of the same statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The command's tag: `SELECT`, `CREATE TABLE`…; empty when unknown.
    pub tag: String,
    /// What it does.
    pub effects: Effects,
    /// Tables named in it, as written, at most `limits::TABLES_KEPT`.
    pub tables: Vec<String>,
    /// Proven to read only: may be forwarded while its intent is being made durable (invariant 1).
    pub plain_read: bool,
    /// What could not be seen, in the record's words (invariant 4): `unparsed`, `text-cut`…
    pub coverage: Vec<String>,
    /// All that policy needs to know; `None`: only the text was read (no catalog), so policy treats it as opaque.
    pub facts: Option<Arc<crate::statement::Facts>>,
}

/// One command as it is asked.
#[derive(Clone, Debug)]
pub struct Command {
    /// Run or prepare.
    pub step: Step,
    /// How it came: `simple`, `extended`, `function`, `copy`…: the protocol's own word.
    pub via: &'static str,
    /// What the analysis found.
    pub shape: Arc<Shape>,
    /// The text for the record: secrets replaced, cut to `limits::TEXT_BYTES_KEPT`.
    pub text: String,
    /// SHA-256 of the text as asked; only where `text` differs from it.
    pub original_digest: Option<[u8; 32]>,
    /// Bytes of the text as asked.
    pub original_bytes: u64,
    /// Typed, readable parameters: a JSON array, or absent.
    pub parameters: Json,
    /// What comments in its text claim of who sends it: a JSON array of names and values, or absent. Never trusted.
    pub claims: Json,
    /// SHA-256 of the parameters as they came (values, formats, types): what approvals are bound to. `None`: it has none, or
    /// they were not seen whole.
    pub parameters_digest: Option<[u8; 32]>,
    /// The statement's and portal's names in the protocol, where they have one (JSON object, or absent).
    pub names: Json,
    /// State of the transaction in which it was asked, as far as the gateway has seen.
    pub transaction: crate::outcome::Transaction,
    /// Further coverage facts of this one command.
    pub coverage: Vec<&'static str>,
    /// As it came, where somebody may be asked about it: for what it would change, and for what an approval is bound to. Never recorded:
    /// taken out when it is decided.
    pub original: Option<Arc<Original>>,
    /// It is a call to the gateway itself: the target never sees it.
    pub access: Option<Arc<AccessCall>>,
}
