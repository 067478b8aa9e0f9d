//! What a held command says as it will run, where the record has it masked: kept sealed in the state while the approval is open,
//! destroyed with its end, and shown to who may approve it and has the right. It is never recorded; that it was shown is.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firsthand_model::event::By;
use firsthand_session::port::{ApprovalError, Hold};
use serde_json::{Value, json};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{AnswerError, COMPARED_MAX, Person, allows_own, names, wanted};
use super::{Approvals, seal, trust};
use crate::clock::wall;
use crate::state::approvals::{Row, Stage};

/// What the derived key is for, so that no other use of the folder's key gives the same bytes.
const USE: &[u8] = b"firsthand approvals original 1";

/// What the record calls asking for one.
pub const ORIGINAL: &str = "original";

/// The key of originals.
pub(super) struct Key(Option<LessSafeKey>);

impl Key {
    pub(super) fn new(folder: &[u8]) -> Self {
        let folder = hmac::Key::new(hmac::HMAC_SHA256, folder);
        let derived = hmac::sign(&folder, USE);
        Self(UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok().map(LessSafeKey::new))
    }

    /// Seals for one question: it opens for no other.
    fn seal(&self, row: &Row, original: &Value) -> Option<String> {
        let mut nonce = [0u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut text = original.to_string().into_bytes();
        let sealing = Nonce::assume_unique_for_key(nonce);
        self.0.as_ref()?.seal_in_place_append_tag(sealing, of(row), &mut text).ok()?;
        Some(STANDARD.encode([nonce.as_slice(), &text].concat()))
    }

    fn open(&self, row: &Row, sealed: &str) -> Option<Value> {
        let mut all = Zeroizing::new(STANDARD.decode(sealed).ok()?);
        let (nonce, text) = all.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.0.as_ref()?.open_in_place(nonce, of(row), text).ok()?;
        serde_json::from_slice(text).ok()
    }
}

/// What it is sealed for: this question, bound to this command.
fn of(row: &Row) -> Aad<Vec<u8>> {
    Aad::from(format!("{} {}", row.id, row.binding).into_bytes())
}

impl Approvals {
    /// What a new question hides, sealed, where it hides something.
    pub(super) fn sealed(&self, hold: &Hold, row: &Row) -> Result<Option<String>, ApprovalError> {
        let Some(unveiled) = &hold.unveiled else { return Ok(None) };
        let parameters: Value = serde_json::from_slice(unveiled.parameters.as_bytes()).unwrap_or_default();
        let original = json!({ "statement": unveiled.text, "parameters": parameters });
        self.originals.seal(row, &original).map(Some).ok_or(ApprovalError::Unreachable)
    }

    /// What an open approval's command says as it will run, for a person who may approve it and is in the group `right` of those who
    /// may see that. Whoever calls this records it before it is given.
    ///
    /// # Errors
    /// Why it is not shown to them.
    pub async fn original(&self, id: &str, by: &By, right: Option<&str>) -> Result<Value, AnswerError> {
        let original = self.unsealed(id, by, right).await;
        if let Err(e) = &original {
            self.turned_away(id, by, ORIGINAL, e);
        }
        original
    }

    async fn unsealed(&self, id: &str, by: &By, right: Option<&str>) -> Result<Value, AnswerError> {
        let person = Person::of(by)?;
        timeout(COMPARED_MAX, self.once_compared()).await.map_err(|_| AnswerError::NotCompared)?;
        let Some((row, votes)) = self.desk.state.approval(id).await? else {
            return Err(AnswerError::Unknown(id.to_owned()));
        };
        let is_over = trust::until(&row, &votes) <= wall().0;
        if !row.stage.is_open() || is_over {
            let stage = if row.stage.is_open() { Stage::Expired } else { row.stage };
            return Err(AnswerError::Over { id: id.to_owned(), stage: stage.word() });
        }
        self.teams(&wanted(&row), &person.name)?;
        if !allows_own(&row) && names(&row.people).iter().any(|own| person.is(own)) {
            return Err(AnswerError::Own(person.name));
        }
        if !right.is_some_and(|group| self.groups.is_member(group, &[&person.name])) {
            return Err(AnswerError::NoRight(person.name));
        }
        let is_shown = seal::fits_what_is_shown(&self.desk.trust.key, &row);
        if !is_shown || self.doubt(&row, &votes).is_some() {
            return Err(AnswerError::Changed(id.to_owned()));
        }
        match self.desk.state.original(id).await? {
            Some(sealed) => {
                self.originals.open(&row, &sealed).ok_or_else(|| AnswerError::Changed(id.to_owned()))
            }
            None => shown_already(&row).ok_or_else(|| AnswerError::Changed(id.to_owned())),
        }
    }
}

/// What is shown of it, where that is all of it; `None`: something is hidden there that should have been kept.
fn shown_already(row: &Row) -> Option<Value> {
    let about: Value = serde_json::from_str(&row.about).ok()?;
    // What was asked before this was noted is believed only where nothing was replaced.
    let kept = about.get("original_kept").or_else(|| about.get("statement_differs"));
    let hides_nothing = kept == Some(&Value::Bool(false));
    hides_nothing
        .then(|| json!({ "statement": about.get("statement"), "parameters": about.get("parameters") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, binding: &str) -> Row {
        Row {
            id: id.to_owned(),
            binding: binding.to_owned(),
            stage: Stage::Asked,
            log: String::new(),
            session: String::new(),
            command: 1,
            asked: 0,
            ends: 0,
            spend_us: 0,
            terms: String::new(),
            people: String::new(),
            asker: String::new(),
            told: false,
            listed: String::new(),
            about: String::new(),
            about_hash: String::new(),
            preview: String::new(),
            preview_seal: String::new(),
            reason: String::new(),
            ended: 0,
            ender: String::new(),
            seal: String::new(),
        }
    }

    #[test]
    fn an_original_opens_for_its_own_question_and_with_its_own_key_only() {
        let (key, own) = (Key::new(&[7; 32]), row("ap-1", "b1"));
        let original = json!({ "statement": "ask mia@example.net", "parameters": null });
        let sealed = key.seal(&own, &original).unwrap();
        assert!(!sealed.contains("mia") && sealed != key.seal(&own, &original).unwrap());
        assert_eq!(key.open(&own, &sealed), Some(original));
        for other in [row("ap-2", "b1"), row("ap-1", "b2")] {
            assert_eq!(key.open(&other, &sealed), None);
        }
        assert_eq!(Key::new(&[8; 32]).open(&own, &sealed), None);
        let mut bent = sealed.clone().into_bytes();
        bent[20] = if bent[20] == b'A' { b'B' } else { b'A' };
        for bad in [String::from_utf8(bent).unwrap(), String::new(), "AAAA".to_owned()] {
            assert_eq!(key.open(&own, &bad), None, "{bad}");
        }
    }
    #[test]
    fn what_is_shown_passes_for_what_runs_only_where_it_is_that() {
        let shown = |about: Value| {
            let mut row = row("ap-1", "b1");
            row.about = about.to_string();
            shown_already(&row)
        };
        let asked = json!({ "statement": "select 1", "parameters": null });
        let with = |more: Value| {
            let mut about = asked.clone();
            about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            shown(about)
        };
        assert_eq!(with(json!({ "statement_differs": false, "original_kept": false })), Some(asked.clone()));
        // A secret was replaced, which is shown to nobody: nothing of it was kept.
        assert_eq!(with(json!({ "statement_differs": true, "original_kept": false })), Some(asked.clone()));
        assert_eq!(with(json!({ "statement_differs": false })), Some(asked.clone()), "of before");
        for hides in [
            json!({ "statement_differs": true, "original_kept": true }),
            json!({ "statement_differs": false, "original_kept": true }),
            json!({ "statement_differs": true }),
            json!({}),
        ] {
            assert_eq!(with(hides.clone()), None, "{hides}");
        }
    }
}
