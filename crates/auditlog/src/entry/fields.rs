//! A leaf read back: the fields that searches and views need. Reading is serde's job; writing is not.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

/// The few fields that recovery needs of every leaf of a segment: reading all of them would take most of a start.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ChangeFields<'a> {
    #[serde(borrow)]
    pub(crate) k: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) sid: Cow<'a, str>,
    #[serde(deserialize_with = "optional_count")]
    pub(crate) cmd: Option<u64>,
    #[serde(borrow)]
    pub(crate) mode: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) verdict: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) approval: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) step: Cow<'a, str>,
    pub(crate) refused: bool,
}

impl<'a> ChangeFields<'a> {
    pub(crate) fn read(leaf: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(leaf)
    }

    /// Whether an intent was given leave to run.
    pub(crate) fn permitted(&self) -> bool {
        permitted((&self.verdict, &self.step), &self.mode, &self.approval, self.refused)
    }
}

/// A refusal in spite of `mode` is said by itself; everything else follows from what is there.
/// Of what is held, only running it needs an approval: nothing runs when a statement is prepared.
pub(crate) fn permitted((verdict, step): (&str, &str), mode: &str, approval: &str, refused: bool) -> bool {
    let held_leave = verdict == "hold" && (!approval.is_empty() || step == "prepare");
    !refused && (verdict == "allow" || mode == "observe" || held_leave)
}

/// The fields of a leaf. Absent ones are empty, as `docs/record.md` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Fields<'a> {
    /// The kind.
    #[serde(borrow)]
    pub k: Cow<'a, str>,
    /// Position.
    pub n: u64,
    /// Wall clock.
    #[serde(borrow)]
    pub t: Cow<'a, str>,
    /// The payload's commitment.
    #[serde(borrow)]
    pub pay: Option<PayloadFields<'a>>,
    /// The session.
    #[serde(borrow)]
    pub sid: Cow<'a, str>,
    /// The command's number.
    #[serde(deserialize_with = "optional_count")]
    pub cmd: Option<u64>,
    /// Who and where.
    #[serde(borrow)]
    pub who: Option<WhoFields<'a>>,
    /// Who did it (administrative entries).
    #[serde(borrow)]
    pub by: Option<LinkFields<'a>>,
    /// The chain of who did it, where a token established it.
    #[serde(borrow)]
    pub chain: Vec<LinkFields<'a>>,
    /// Facts of administrative and log entries.
    #[serde(borrow)]
    pub facts: Option<&'a RawValue>,
    /// `relaxed`, or empty.
    #[serde(borrow)]
    pub dur: Cow<'a, str>,
    /// `observe`, or empty.
    #[serde(borrow)]
    pub mode: Cow<'a, str>,
    /// What was not observed.
    pub coverage: Vec<Cow<'a, str>>,
    /// What the command does.
    pub effects: Vec<Cow<'a, str>>,
    /// Tables named.
    pub tables: Vec<Cow<'a, str>>,
    /// What their names mean, where that is not what is written.
    pub resolved: Vec<Cow<'a, str>>,
    /// Tables that did not fit.
    #[serde(deserialize_with = "optional_count")]
    pub tables_more: Option<u64>,
    /// Statement or completion tag.
    #[serde(borrow)]
    pub tag: Cow<'a, str>,
    /// `allow`, `deny`, `hold`.
    #[serde(borrow)]
    pub verdict: Cow<'a, str>,
    /// The rule.
    #[serde(borrow)]
    pub rule: Cow<'a, str>,
    /// The policy's version.
    #[serde(borrow)]
    pub policy: Cow<'a, str>,
    /// The approval spent, or that an entry is about.
    #[serde(borrow)]
    pub approval: Cow<'a, str>,
    /// The grant that covers it, or that an entry is about.
    #[serde(borrow)]
    pub grant: Cow<'a, str>,
    /// People whose approval is needed.
    #[serde(deserialize_with = "optional_count")]
    pub quorum: Option<u64>,
    /// People who have given theirs.
    #[serde(deserialize_with = "optional_count")]
    pub given: Option<u64>,
    /// `run` or `prepare`.
    #[serde(borrow)]
    pub step: Cow<'a, str>,
    /// How it was asked.
    #[serde(borrow)]
    pub via: Cow<'a, str>,
    /// Proven to read only.
    pub read: bool,
    /// It was refused although refusals are not enforced.
    pub refused: bool,
    /// Position of the intent.
    #[serde(deserialize_with = "optional_count")]
    pub intent: Option<u64>,
    /// SQLSTATE.
    #[serde(borrow)]
    pub sqlstate: Cow<'a, str>,
    /// What was done to changed rows.
    #[serde(borrow)]
    pub action: Cow<'a, str>,
    /// The table whose rows changed.
    #[serde(borrow)]
    pub table: Cow<'a, str>,
    /// Rows changed in all.
    #[serde(deserialize_with = "optional_count")]
    pub count: Option<u64>,
    /// The target's number of the transaction.
    #[serde(deserialize_with = "optional_count")]
    pub xid: Option<u64>,
    /// The first command of the transaction.
    #[serde(deserialize_with = "optional_count")]
    pub from: Option<u64>,
    /// The last one.
    #[serde(deserialize_with = "optional_count")]
    pub to: Option<u64>,
    /// What became of a transaction, or how something was found out.
    #[serde(borrow)]
    pub how: Cow<'a, str>,
    /// Rows changed by a transaction in all.
    #[serde(deserialize_with = "optional_count")]
    pub changes: Option<u64>,
    /// Rows delivered, or in this piece.
    #[serde(deserialize_with = "optional_count")]
    pub rows: Option<u64>,
    /// Rows kept.
    #[serde(deserialize_with = "optional_count")]
    pub kept: Option<u64>,
    /// First row's number in this piece.
    #[serde(deserialize_with = "optional_count")]
    pub first: Option<u64>,
    /// Rows affected.
    #[serde(deserialize_with = "optional_count")]
    pub affected: Option<u64>,
    /// Bytes.
    #[serde(deserialize_with = "optional_count")]
    pub bytes: Option<u64>,
    /// Labelled cells delivered.
    #[serde(deserialize_with = "optional_count")]
    pub cells: Option<u64>,
    /// Rows and bytes are those that the client gave.
    pub taken: bool,
    /// State of the transaction.
    #[serde(borrow)]
    pub tx: Cow<'a, str>,
    /// State before.
    #[serde(borrow)]
    pub tx_from: Cow<'a, str>,
    /// Microseconds.
    #[serde(deserialize_with = "optional_count")]
    pub us: Option<u64>,
    /// The portal was suspended.
    pub suspended: bool,
    /// Why.
    #[serde(borrow)]
    pub why: Cow<'a, str>,
    /// What was noted.
    #[serde(borrow)]
    pub what: Cow<'a, str>,
    /// Whether it had gone to the target.
    pub forwarded: Option<bool>,
    /// Commands of a session.
    #[serde(deserialize_with = "optional_count")]
    pub commands: Option<u64>,
    /// How the proof was given.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Protocol.
    #[serde(borrow)]
    pub proto: Cow<'a, str>,
    /// TLS version.
    #[serde(borrow)]
    pub tls: Cow<'a, str>,
    /// Server version.
    #[serde(borrow)]
    pub server: Cow<'a, str>,
}

/// `pay`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PayloadFields<'a> {
    /// The commitment in base64.
    #[serde(borrow)]
    pub h: Cow<'a, str>,
    /// The subject whose key seals it, where it is not the first link of the chain.
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    /// Bytes before sealing.
    pub len: u64,
    /// The month of that key, where it is not the entry's.
    #[serde(borrow)]
    pub month: Cow<'a, str>,
    /// The writer's run, where keys are derived from it.
    #[serde(borrow)]
    pub run: Cow<'a, str>,
}

/// `who`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct WhoFields<'a> {
    /// The id that acts.
    #[serde(borrow)]
    pub agent: Cow<'a, str>,
    /// The chain.
    #[serde(borrow)]
    pub chain: Vec<LinkFields<'a>>,
    /// Database.
    #[serde(borrow)]
    pub db: Cow<'a, str>,
    /// The target's process.
    pub pid: u64,
    /// Role in force.
    #[serde(borrow)]
    pub role: Cow<'a, str>,
    /// The role that authenticated, where it differs.
    #[serde(borrow)]
    pub srole: Cow<'a, str>,
    /// Target.
    #[serde(borrow)]
    pub target: Cow<'a, str>,
    /// Token.
    #[serde(borrow)]
    pub tok: Cow<'a, str>,
}

/// A link of the chain, and `by`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct LinkFields<'a> {
    /// The pseudonym.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// human, agent, service, token.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// verified, bound, claimed.
    #[serde(borrow)]
    pub trust: Cow<'a, str>,
}

impl<'a> Fields<'a> {
    /// Reads a leaf.
    pub fn read(leaf: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(leaf)
    }

    /// Whether an intent was given leave to run.
    pub fn permitted(&self) -> bool {
        permitted((&self.verdict, &self.step), &self.mode, &self.approval, self.refused)
    }

    /// Microseconds since 1970; 0 when there is no readable time.
    pub fn micros(&self) -> u64 {
        super::moment::parse(&self.t).unwrap_or(0)
    }

    /// The subject whose key seals the payload; empty when there is none.
    pub fn subject(&self) -> &str {
        let named = self.pay.as_ref().map_or("", |pay| &pay.key);
        let first = self.who.as_ref().and_then(|who| who.chain.first()).map_or("", |link| &link.id);
        if named.is_empty() { first } else { named }
    }
}

/// A number, or the text that stands for one above 2^53.
fn optional_count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    struct Count;
    impl Visitor<'_> for Count {
        type Value = Option<u64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }
        fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
            Ok(Some(value))
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.parse().ok())
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }
    from.deserialize_any(Count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_doubles_are_read_from_their_text() {
        let fields =
            Fields::read(br#"{"affected":"18446744073709551615","cmd":3,"k":"x","new":[1],"rows":"?"}"#)
                .unwrap();
        assert_eq!((fields.affected, fields.cmd, fields.rows), (Some(u64::MAX), Some(3), None));
        assert_eq!(fields.subject(), "");
    }
}
