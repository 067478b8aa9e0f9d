//! Numbers and hashes as these formats spell them: each in one way only, so that a text is its own canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::tree::Hash;

/// Characters of a hash in base64.
const HASH_TEXT: usize = 44;

/// Reads a decimal number: digits only, no leading zero unless it is `0`.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    // An empty text has only digits; `parse` refuses it.
    if plain { text.parse().ok() } else { None }
}

/// Base64 of RFC 4648, section 4, padded.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes; nothing where padding or spare bits are not as [`to_base64`] writes them.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A hash in base64.
pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    if text.len() != HASH_TEXT {
        return None;
    }
    from_base64(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "0x1", "18446744073709551616", "١"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(from_base64("AA=="), Some(vec![0]));
        for wrong in ["AA", "AA=", "AB==", "A===", "AA==\n", "AA-_", " AA==", "AAA=AAA="] {
            assert_eq!(from_base64(wrong), None, "{wrong:?}");
        }
    }
}
