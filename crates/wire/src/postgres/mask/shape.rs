//! The shapes of masks: how they are written, and how one that comes back is recognised.

/// Characters of a label that a mask shows.
const LABEL_SHOWN_MAX: usize = 40;

/// Letters and digits of a token: 80 bits of it.
pub(super) const TOKEN_CHARS: usize = 16;

/// Base 32 without padding, in small letters (RFC 4648).
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A label as masks show it: nothing that would need quoting anywhere.
pub(super) fn shown(label: &str) -> Box<str> {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    let shown: String = label.chars().filter(plain).take(LABEL_SHOWN_MAX).collect();
    if shown.is_empty() { "masked".into() } else { shown.into() }
}

/// The characters of a token.
pub(super) fn base32(token: &[u8; 16]) -> [u8; TOKEN_CHARS] {
    let bits = u128::from_be_bytes(*token);
    let mut out = [b'a'; TOKEN_CHARS];
    for (i, c) in out.iter_mut().enumerate() {
        let five = (bits >> (123 - 5 * i)) as usize & 31;
        *c = BASE32.get(five).copied().unwrap_or(b'a');
    }
    out
}

/// Whether a text is a mask that this crate has made (blanks around it do not count), so that it must not be written
/// over what it stands for. A token or a row of asterisks is found inside a longer text too; `[label]` only alone.
#[must_use]
pub fn is_mask(text: &str) -> bool {
    let text = text.trim();
    if text.contains("***") || holds_token(text) {
        return true;
    }
    let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    inner.len() <= LABEL_SHOWN_MAX
        && inner.starts_with(|c: char| c.is_ascii_alphabetic())
        && inner.chars().all(plain)
}

fn holds_token(text: &str) -> bool {
    text.match_indices("tok_").any(|(at, prefix)| {
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        let plain = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.'));
        let word = rest.split(plain).next().unwrap_or_default();
        word.rsplit_once('_').is_some_and(|(label, token)| {
            !label.is_empty() && token.len() == TOKEN_CHARS && token.bytes().all(|b| BASE32.contains(&b))
        })
    })
}
