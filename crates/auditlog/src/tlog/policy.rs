//! Whom an auditor trusts: logs, witnesses, and how many of which must have cosigned, as a text file.
//!
//! ```text
//! log VKEY [URL]
//! witness NAME VKEY [URL]
//! group NAME all|any|K MEMBER...
//! quorum NAME|none
//! ```
//!
//! Words are separated by spaces and tabs; a line that begins with `#` is a comment. Names are bytes, not characters. What is
//! named must stand above, and may be a member of one group only, so that nobody counts twice. The file ends with a newline, so
//! that one cut short is not taken for a weaker policy.
//!
//! Specification: <https://c2sp.org/tlog-policy>.

use std::collections::BTreeMap;
use std::str;

use thiserror::Error;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::encoding::decimal;
use super::key::{KeyError, KeyKind, VerifyingKey};
use super::note::{Note, Signed, VerifyError};

/// Longest policy, in bytes.
pub const MAX_POLICY: usize = 256 * 1024;
/// Most logs.
pub const MAX_LOGS: usize = 32;
/// Most witnesses: all of them and the keys of a log in rotation fit on one note.
pub const MAX_WITNESSES: usize = 48;
/// Most groups.
pub const MAX_GROUPS: usize = 64;

/// Why a text is no policy, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {fault}")]
pub struct PolicyError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong in a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Longer than [`MAX_POLICY`].
    #[error("a policy has at most {MAX_POLICY} bytes")]
    TooLong,
    /// The last line is not ended.
    #[error("the file ends within a line: is it whole?")]
    Cut,
    /// A byte that may not stand there.
    #[error("control character {0:#04x} (lines end with a newline alone)")]
    Control(u8),
    /// Not `log`, `witness`, `group` or `quorum`.
    #[error("`{0}` is not log, witness, group or quorum")]
    Word(String),
    /// Words missing or left over.
    #[error("the line should be `{0}`")]
    Form(&'static str),
    /// Not a key.
    #[error("no key: {0}")]
    Key(#[from] KeyError),
    /// The key's bytes are not ASCII.
    #[error("a key is ASCII after its name, which is UTF-8")]
    KeyText,
    /// A key of the other kind.
    #[error("a log's key is of kind 0x01 and a witness's of 0x04; this one is of {0:#04x}")]
    Kind(u8),
    /// The same public key again.
    #[error("this public key stands above already, whatever name it bears")]
    SameKey,
    /// The name is taken.
    #[error("the name `{0}` is taken")]
    Taken(String),
    /// The name stands for nothing above.
    #[error("no witness or group above is named `{0}`")]
    Unknown(String),
    /// A member of a second group, or twice of the same.
    #[error("`{0}` is a member of a group already and would count twice")]
    Twice(String),
    /// Not all, any, or a number between 1 and the number of members.
    #[error("`{0}` is not all, any, or a number from 1 to that of the members, {1}")]
    Threshold(String, usize),
    /// More than one quorum line.
    #[error("there is a quorum line above already")]
    SecondQuorum,
    /// None.
    #[error("the file ends without a quorum line")]
    NoQuorum,
    /// One of the limits.
    #[error("at most {1} {0} are read")]
    TooMany(&'static str, usize),
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JudgeError {
    /// A signature of a known key is bad, or none is known.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// What was signed is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Signed by known keys, but by no log of the policy that bears the checkpoint's origin as its name.
    #[error("no log of the policy signed the checkpoint of {0:?}")]
    NoLog(String),
    /// Too few, or not the right ones.
    #[error("the quorum is not met: {} of the policy's {of} witnesses cosigned", .judged.cosigned.len())]
    Quorum {
        /// What there is.
        judged: Box<Judged>,
        /// Witnesses in the policy.
        of: usize,
    },
}

/// A log that is trusted to name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its key; the name is the origin.
    pub key: VerifyingKey,
    /// Where it is, as bytes; what that means is the application's.
    pub url: Option<Vec<u8>>,
}

/// A witness that is trusted to have looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name within the policy.
    pub name: Vec<u8>,
    /// Its key.
    pub key: VerifyingKey,
    /// Where it is, as bytes.
    pub url: Option<Vec<u8>>,
}

/// Who counts: one witness, or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Member>,
}

/// The trust root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// None: no cosignature is needed.
    quorum: Option<Member>,
}

/// A witness's cosignature that was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosigned {
    /// Which of [`Policy::witnesses`].
    pub witness: usize,
    /// Its newest time, in seconds since 1970. Whether that is fresh enough is the caller's to say.
    pub time: u64,
}

/// A checkpoint that a log of the policy signed, and who cosigned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// Which of [`Policy::logs`] signed it: more than one while a key is being replaced.
    pub logs: Vec<usize>,
    /// Good cosignatures, in the order of the policy's witnesses.
    pub cosigned: Vec<Cosigned>,
    /// Whether they are enough.
    pub quorum: bool,
}

impl Policy {
    /// Reads a policy.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let fail = |line, fault| PolicyError { line, fault };
        if bytes.len() > MAX_POLICY {
            return Err(fail(1, Fault::TooLong));
        }
        let mut reading = Reading::default();
        let mut count = 0;
        for (line, number) in bytes.split_inclusive(|b| *b == b'\n').zip(1..) {
            count = number;
            let line = line.strip_suffix(b"\n").ok_or_else(|| fail(number, Fault::Cut))?;
            reading.line(line).map_err(|fault| fail(number, fault))?;
        }
        let quorum = reading.quorum.ok_or_else(|| fail(count.max(1), Fault::NoQuorum))?;
        Ok(Self { logs: reading.logs, witnesses: reading.witnesses, groups: reading.groups, quorum })
    }

    /// The logs, in the file's order.
    #[must_use]
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the file's order.
    #[must_use]
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether cosignatures are needed at all.
    #[must_use]
    pub fn needs_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Whether these witnesses (as numbers in [`Policy::witnesses`]) are enough.
    #[must_use]
    pub fn is_quorum(&self, cosigned: &[usize]) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let counts = |groups: &[bool], member: &Member| match member {
            Member::Witness(at) => cosigned.contains(at),
            Member::Group(at) => groups.get(*at).copied().unwrap_or(false),
        };
        // A group's members stand above it, so their answers are there.
        for group in &self.groups {
            let met = group.members.iter().filter(|member| counts(&groups, member)).count();
            groups.push(met >= group.threshold);
        }
        self.quorum.is_none_or(|member| counts(&groups, &member))
    }

    /// Looks at a checkpoint: a log of the policy must have signed it under its own origin, and no line that claims a key of the
    /// policy may be bad. Whether the quorum is met is said, not asked for.
    pub fn judge(&self, note: &Note) -> Result<Judged, JudgeError> {
        let keys: Vec<VerifyingKey> = self
            .logs
            .iter()
            .map(|log| log.key.clone())
            .chain(self.witnesses.iter().map(|witness| witness.key.clone()))
            .collect();
        let signed = note.verify(&keys)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let of_origin = |at: &usize| self.logs.get(*at).is_some_and(|l| l.key.name() == checkpoint.origin());
        let mut logs: Vec<usize> = signed.iter().map(|s| s.key).filter(of_origin).collect();
        if logs.is_empty() {
            return Err(JudgeError::NoLog(checkpoint.origin().to_owned()));
        }
        logs.sort_unstable();
        let witness = |s: &Signed| {
            let witness = s.key.checked_sub(self.logs.len())?;
            Some(Cosigned { witness, time: s.time? })
        };
        let mut cosigned: Vec<Cosigned> = signed.iter().filter_map(witness).collect();
        cosigned.sort_unstable_by_key(|c| c.witness);
        let quorum = self.is_quorum(&cosigned.iter().map(|c| c.witness).collect::<Vec<_>>());
        Ok(Judged { checkpoint, logs, cosigned, quorum })
    }

    /// As [`Policy::judge`], and the quorum must be met.
    pub fn accept(&self, note: &Note) -> Result<Judged, JudgeError> {
        let judged = self.judge(note)?;
        if judged.quorum {
            Ok(judged)
        } else {
            Err(JudgeError::Quorum { judged: Box::new(judged), of: self.witnesses.len() })
        }
    }
}

/// A policy, as far as it was read.
#[derive(Default)]
struct Reading {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    /// What each name stands for, and whether it is in a group.
    names: BTreeMap<Vec<u8>, (Member, bool)>,
    quorum: Option<Option<Member>>,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), Fault> {
        if let Some(control) = line.iter().find(|b| **b < b' ' && **b != b'\t' || **b == 0x7f) {
            return Err(Fault::Control(*control));
        }
        let mut words = line.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(first) = words.next().filter(|word| !word.starts_with(b"#")) else { return Ok(()) };
        let words: Vec<&[u8]> = words.collect();
        match (first, words.as_slice()) {
            (b"log", [key, url @ ..]) if url.len() <= 1 => self.log(key, url.first()),
            (b"log", _) => Err(Fault::Form("log VKEY [URL]")),
            (b"witness", [name, key, url @ ..]) if url.len() <= 1 => self.witness(name, key, url.first()),
            (b"witness", _) => Err(Fault::Form("witness NAME VKEY [URL]")),
            (b"group", [name, threshold, members @ ..]) if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            (b"group", _) => Err(Fault::Form("group NAME all|any|K MEMBER...")),
            (b"quorum", [name]) => self.quorum(name),
            (b"quorum", _) => Err(Fault::Form("quorum NAME|none")),
            (other, _) => Err(Fault::Word(lossy(other))),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&&[u8]>) -> Result<(), Fault> {
        if self.logs.len() == MAX_LOGS {
            return Err(Fault::TooMany("logs", MAX_LOGS));
        }
        let key = read_key(key, KeyKind::Note)?;
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err(Fault::SameKey);
        }
        self.logs.push(Log { key, url: url.map(|url| url.to_vec()) });
        Ok(())
    }

    fn witness(&mut self, name: &[u8], key: &[u8], url: Option<&&[u8]>) -> Result<(), Fault> {
        if self.witnesses.len() == MAX_WITNESSES {
            return Err(Fault::TooMany("witnesses", MAX_WITNESSES));
        }
        let key = read_key(key, KeyKind::Cosignature)?;
        if self.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err(Fault::SameKey);
        }
        self.name(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(Witness { name: name.to_vec(), key, url: url.map(|url| url.to_vec()) });
        Ok(())
    }

    fn name(&mut self, name: &[u8], member: Member) -> Result<(), Fault> {
        if name == b"none" || self.names.contains_key(name) {
            return Err(Fault::Taken(lossy(name)));
        }
        self.names.insert(name.to_vec(), (member, false));
        Ok(())
    }

    fn group(&mut self, name: &[u8], threshold: &[u8], names: &[&[u8]]) -> Result<(), Fault> {
        if self.groups.len() == MAX_GROUPS {
            return Err(Fault::TooMany("groups", MAX_GROUPS));
        }
        let mut members = Vec::new();
        for name in names {
            let (member, taken) = self.names.get_mut(*name).ok_or_else(|| Fault::Unknown(lossy(name)))?;
            if std::mem::replace(taken, true) {
                return Err(Fault::Twice(lossy(name)));
            }
            members.push(*member);
        }
        let number =
            || str::from_utf8(threshold).ok().and_then(decimal).and_then(|k| usize::try_from(k).ok());
        let threshold = match threshold {
            b"all" => Some(members.len()),
            b"any" => Some(1),
            _ => number().filter(|k| (1..=members.len()).contains(k)),
        }
        .ok_or_else(|| Fault::Threshold(lossy(threshold), members.len()))?;
        self.name(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), Fault> {
        if self.quorum.is_some() {
            return Err(Fault::SecondQuorum);
        }
        self.quorum = Some(match name {
            b"none" => None,
            name => Some(self.names.get(name).ok_or_else(|| Fault::Unknown(lossy(name)))?.0),
        });
        Ok(())
    }
}

fn read_key(text: &[u8], kind: KeyKind) -> Result<VerifyingKey, Fault> {
    let key = VerifyingKey::parse(str::from_utf8(text).map_err(|_| Fault::KeyText)?)?;
    if key.kind() == kind { Ok(key) } else { Err(Fault::Kind(key.kind().byte())) }
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
