//! Seals of what the state keeps: a keyed digest of each question, of each yes and of each preview. Who can write the state
//! and has not the key of the data folder changes none of it without that being seen, and adds none.
//!
//! What changes in the life of an approval (its stage, what it waits for) is not sealed: it follows from the votes, from the
//! times and from what this process knows to be over.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use crate::state::approvals::{Row, Signed, Vote};

/// What the derived key is for, so that no other use of the folder's key gives the same bytes.
const USE: &[u8] = b"firsthand approvals state 1";

pub(super) fn key(folder: &[u8]) -> hmac::Key {
    let folder = hmac::Key::new(hmac::HMAC_SHA256, folder);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&folder, USE).as_ref())
}

/// Each part with its length in front: no two lists of parts read the same.
fn message(what: &str, texts: &[&str], numbers: &[u64]) -> Vec<u8> {
    let mut all = Vec::new();
    for part in std::iter::once(&what).chain(texts) {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part.as_bytes());
    }
    numbers.iter().for_each(|n| all.extend_from_slice(&n.to_be_bytes()));
    all
}

fn sealed(key: &hmac::Key, message: &[u8]) -> String {
    super::hex(hmac::sign(key, message).as_ref())
}

fn fits(key: &hmac::Key, message: &[u8], seal: &str) -> bool {
    let bytes: Option<Vec<u8>> = (0..seal.len())
        .step_by(2)
        .map(|at| seal.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect();
    bytes.is_some_and(|bytes| hmac::verify(key, message, &bytes).is_ok())
}

/// The digest of what is shown of a question: what is sealed in its place, so that the text can be deleted before the row is.
pub(super) fn hash(about: &str) -> String {
    super::hex(digest(&SHA256, about.as_bytes()).as_ref())
}

fn question(row: &Row) -> Vec<u8> {
    let texts = [
        &row.id,
        &row.binding,
        &row.log,
        &row.session,
        &row.terms,
        &row.people,
        &row.asker,
        &row.listed,
        &row.about_hash,
    ]
    .map(String::as_str);
    message("question", &texts, &[row.command, row.asked, row.spend_us])
}

fn yes(row: &Row, vote: &Vote) -> Vec<u8> {
    let mut texts =
        vec![&*row.id, &row.seal, &vote.person, &vote.known, &vote.log, &vote.teams, &vote.reason];
    let what = match (vote.glass, &vote.signed) {
        (false, None) => "vote",
        (true, None) => "glass",
        (false, Some(_)) => "signed vote",
        (true, Some(_)) => "signed glass",
    };
    if let Some(Signed { text, signature }) = &vote.signed {
        texts.extend([&**text, signature]);
    }
    message(what, &texts, &[vote.at])
}

fn shown(id: &str, preview: &str) -> Vec<u8> {
    message("preview", &[id, preview], &[])
}

/// The seal of a question.
pub(super) fn of_question(key: &hmac::Key, row: &Row) -> String {
    sealed(key, &question(row))
}

/// The seal of a person's yes to a question.
pub(super) fn of_vote(key: &hmac::Key, row: &Row, vote: &Vote) -> String {
    sealed(key, &yes(row, vote))
}

/// The seal of what a question's command would change.
pub(super) fn of_preview(key: &hmac::Key, id: &str, preview: &str) -> String {
    sealed(key, &shown(id, preview))
}

/// Whether a question is as it was asked.
pub(super) fn fits_question(key: &hmac::Key, row: &Row) -> bool {
    fits(key, &question(row), &row.seal)
}

/// Whether what approvers see of an open question is what was asked.
pub(super) fn fits_what_is_shown(key: &hmac::Key, row: &Row) -> bool {
    hash(&row.about) == row.about_hash
        && (row.preview.is_empty() || fits(key, &shown(&row.id, &row.preview), &row.preview_seal))
}

/// Whether a yes was given where the key is, to this question.
pub(super) fn fits_vote(key: &hmac::Key, row: &Row, vote: &Vote) -> bool {
    fits(key, &yes(row, vote), &vote.seal)
}
