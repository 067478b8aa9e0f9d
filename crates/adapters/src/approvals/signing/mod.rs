//! Signed approvals: a person signs what they approve with an SSH key, as a text that anybody can read and check with
//! `ssh-keygen -Y verify` (ADR 0028). The text is made anew here from what is sealed, and is never taken from whoever sends the
//! signature; whose key counts is configured, and is no part of the state.

pub mod sshsig;

use aws_lc_rs::digest::{SHA256, digest};
use firsthand_auditlog::entry::moment::rfc3339;
use firsthand_model::event::SignedYes;
use serde_json::{Value, json};

use self::sshsig::{PublicKey, SshError, SshSignature};
use super::answer::{AnswerError, Say};
use super::{Approvals, hex, trust};
use crate::identity::visible::is_hidden;
use crate::state::approvals::{Row, Signed, Vote};

/// What the signatures are for: no other use of a key makes one.
pub const NAMESPACE: &str = "firsthand-approval";
/// Characters of the statement in the text; the digest beside it is of the whole.
const SHOWN_CHARS: usize = 2000;

/// Why a signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is none, and the rule demands one.
    #[error("its rule demands that who says yes signs that, and no signature came with it")]
    Missing,
    /// It is none, or not of this.
    #[error("the signature does not count: {0}")]
    Unfit(#[from] SshError),
    /// What is signed is kept as it is, so it may hold nothing that must not be kept.
    #[error(
        "the signed reason holds a secret or something that masks hide, and what is signed cannot be changed"
    )]
    Hidden,
    /// The key is nobody's, or another person's.
    #[error("the signature does not count: its key {key} is not configured for {who}")]
    NotTheirs {
        /// The key's fingerprint.
        key: String,
        /// Who answers.
        who: String,
    },
}

/// Whose keys count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers(Vec<(String, PublicKey)>);

impl Signers {
    /// These, each with the person's name.
    #[must_use]
    pub fn new(keys: Vec<(String, PublicKey)>) -> Self {
        Self(keys)
    }

    fn has(&self, person: &str, key: &PublicKey) -> bool {
        self.0.iter().any(|(name, known)| name == person && known == key)
    }

    /// Whether this is a signature of this person's over this text. Whose key it is, is said only of one that fits.
    fn check(&self, person: &str, text: &str, armored: &str) -> Result<SshSignature, SignatureError> {
        let signature = SshSignature::read(armored)?;
        let key = signature.key();
        signature.verify(text.as_bytes(), NAMESPACE)?;
        if !self.has(person, key) {
            return Err(SignatureError::NotTheirs { key: key.fingerprint(), who: person.to_owned() });
        }
        Ok(signature)
    }
}

/// What there is of the signature of a yes that the state has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is one, or there is none and none is needed.
    Right,
    /// It is one, by a key that is not configured for the person (any more).
    NotConfigured,
    /// It is none, or of something else.
    Wrong,
}

/// Whether the question takes signed answers only.
#[must_use]
pub fn is_demanded(row: &Row) -> bool {
    let terms: Value = serde_json::from_str(&row.terms).unwrap_or_default();
    terms.get("signed") == Some(&Value::Bool(true))
}

/// The fingerprint of the key that a yes is signed with.
#[must_use]
pub fn fingerprint(signed: &Signed) -> Option<String> {
    SshSignature::read(&signed.signature).ok().map(|signature| signature.key().fingerprint())
}

/// A value on a line of its own: what moves a cursor, is not seen, or would begin another line is written as its number.
fn line(value: &str) -> String {
    let one = |c: char| match c {
        '\\' => "\\\\".to_owned(),
        c if is_hidden(c) || matches!(c, '\u{2028}' | '\u{2029}') => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    value.chars().map(one).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// The text that is signed, from an approval as it is shown. It ends with a line end.
#[must_use]
pub fn text(approval: &Value, say: Say, reason: &str) -> String {
    let of = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let said = |key: &str| of(approval, key);
    let list = |key: &str| approval.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let words = |key: &str| list(key).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let link =
        |l: &Value| format!("{} {} ({}, {})", of(l, "kind"), of(l, "name"), of(l, "trust"), of(l, "id"));
    let statement = said("statement");
    let shown: String = statement.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < statement.len() { " (and more)" } else { "" };
    let parameters = match approval.get("parameters") {
        None | Some(Value::Null) => "none".to_owned(),
        Some(parameters) => sha256(parameters.to_string().as_bytes()),
    };
    let lines = [
        ("approval", said("id")),
        ("answer", say.word().to_owned()),
        ("reason", reason.to_owned()),
        ("digest", said("digest")),
        ("who", list("chain").iter().map(link).collect::<Vec<_>>().join(" > ")),
        ("target", said("target")),
        ("database", said("database")),
        ("role", said("role")),
        ("effects", words("effects")),
        ("tables", words("tables")),
        ("rule", said("rule")),
        ("policy", said("policy")),
        ("asked", said("asked")),
        ("until", said("until")),
        ("statement", shown),
        ("statement-sha256", format!("{}{more}", sha256(statement.as_bytes()))),
        ("parameters-sha256", parameters),
    ];
    let mut out = "Firsthand approval, version 1\n".to_owned();
    for (name, value) in lines {
        out.push_str(&format!("{name}: {}\n", line(&value)));
    }
    out
}

/// The question as it is shown while it is open, from what is sealed of it.
fn as_shown(row: &Row) -> Value {
    let mut about: Value = serde_json::from_str(&row.about).unwrap_or_default();
    if let Value::Object(about) = &mut about {
        about.insert("id".to_owned(), json!(row.id));
        about.insert("digest".to_owned(), json!(row.binding));
        about.insert("asked".to_owned(), json!(rfc3339(row.asked)));
        about.insert("until".to_owned(), json!(rfc3339(trust::asked_until(row))));
    }
    about
}

impl Approvals {
    /// From now on these keys count.
    pub fn replace_signers(&self, signers: Signers) {
        self.desk.signers.store(std::sync::Arc::new(signers));
    }

    /// The signature that came with a yes, where it counts; `None`: there is none, and none is needed.
    pub(super) fn signed(
        &self,
        row: &Row,
        (person, say): (&str, Say),
        reason: &str,
        armored: Option<&str>,
    ) -> Result<Option<(Signed, SignedYes)>, AnswerError> {
        let Some(armored) = armored else {
            return if is_demanded(row) { Err(SignatureError::Missing.into()) } else { Ok(None) };
        };
        let text = text(&as_shown(row), say, reason);
        let checked = self.desk.signers.load().check(person, &text, armored)?;
        let (key, signature) = (checked.key(), checked.armored());
        let told = SignedYes {
            kind: key.kind().to_owned(),
            fingerprint: key.fingerprint(),
            key: key.line(),
            signature: signature.clone(),
            text: text.clone(),
        };
        Ok(Some((Signed { text, signature }, told)))
    }

    /// Whether a yes of the state is signed where it must be, and its signature is one: by the keys that count now, of this question.
    pub(super) fn standing(&self, row: &Row, vote: &Vote) -> Standing {
        let Some(Signed { text: signed, signature }) = &vote.signed else {
            return if is_demanded(row) { Standing::Wrong } else { Standing::Right };
        };
        let say = if vote.glass { Say::BreakGlass } else { Say::Approve };
        // Where a row was read without what is shown of it, the seal alone says that the text is the one that was checked.
        let is_its = row.about.is_empty() || *signed == text(&as_shown(row), say, &vote.reason);
        match self.desk.signers.load().check(&vote.person, signed, signature) {
            Ok(_) if is_its => Standing::Right,
            Err(SignatureError::NotTheirs { .. }) if is_its => Standing::NotConfigured,
            _ => Standing::Wrong,
        }
    }
}

#[cfg(test)]
mod tests;
