//! Messages of a server without secrets: those of the statement it speaks of, and those it quotes from elsewhere (a function's
//! own statements, what RAISE was given).

use std::borrow::Cow;

use super::lexer::is_word;
use super::names::{is_credential, may_hold_secret};
use super::{MASK, Masked, PIECE_MIN, Reader, Secrets, apply};

/// Quoted pieces of a message that are compared with the secrets; what is quoted after them goes, once there are secrets. Each
/// comparison may read all secrets.
pub const QUOTED_MAX: usize = 64;

/// A server's message about a statement, without the secrets that were masked in the statement: messages quote
/// (`syntax error at or near "…"`). `None` when it holds none.
pub fn mask_message(message: &str, masked: &Masked) -> Option<String> {
    let mut out = Cow::Borrowed(message);
    for secret in masked.secrets.known.iter().filter(|secret| secret.len() >= PIECE_MIN) {
        if out.contains(secret.as_str()) {
            out = Cow::Owned(out.replace(secret.as_str(), MASK));
        }
    }
    let known = &masked.secrets.known;
    let held = |index: usize, piece: &str| {
        let all = masked.secrets.more || index > 2 * QUOTED_MAX;
        index % 2 == 1 && !piece.is_empty() && (all || known.iter().any(|secret| secret.contains(piece)))
    };
    if out.split('"').enumerate().any(|(index, piece)| held(index, piece)) {
        let pieces = out.split('"').enumerate();
        let pieces = pieces.map(|(index, piece)| if held(index, piece) { MASK } else { piece });
        out = Cow::Owned(pieces.collect::<Vec<_>>().join("\""));
    }
    (out != message).then(|| out.into_owned())
}

/// A field of a server's report without the secrets that stand in it: statements that it quotes, connection strings. `None`
/// when it holds none. Linear, and as cheap as [`super::mask`] where no word of a secret is there. What was found is kept for the
/// report's other fields ([`mask_message`]).
pub fn mask_report(field: &str) -> Option<Masked> {
    if !may_hold_secret(field.as_bytes()) {
        return None;
    }
    let mut secrets = Secrets::default();
    let plain = without_prose(field);
    // One level down: connection strings count there, and texts are no statements for certain.
    let mut reader = Reader::new("", 0, &mut secrets);
    let read = reader.read_inside(&plain);
    let text = apply(field, read.edits)?;
    secrets.known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    Some(Masked { text, secrets })
}

/// The same number of bytes, with spaces where the message's own quotes stand: those around a statement, and apostrophes.
fn without_prose(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut word = 0;
    for (at, sign) in field.char_indices() {
        let next = field.as_bytes().get(at + 1).is_some_and(|byte| is_word(*byte));
        let around = matches!(sign, '"' | '«' | '»' | '„' | '“' | '”' | '‹' | '›');
        let before = field.get(word..at).unwrap_or_default();
        let opens = matches!(before, "e" | "E" | "n" | "N") || is_credential(before);
        let apostrophe = sign == '\'' && next && !before.is_empty() && !opens;
        if around || apostrophe {
            out.extend(std::iter::repeat_n(' ', sign.len_utf8()));
        } else {
            out.push(sign);
        }
        if around || sign.is_ascii() && !is_word(sign as u8) {
            word = at + sign.len_utf8();
        }
    }
    out
}
