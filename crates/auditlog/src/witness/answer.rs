//! What a witness answers, as the log reads it: cosignatures, or the size that it knows.

use std::str;

use crate::tlog::cosignature::time_of;
use crate::tlog::encoding::decimal;
use crate::tlog::key::VerifyingKey;
use crate::tlog::note::{MAX_SIGNATURES, Signature};

/// What the type of a body is that says a size.
pub const SIZE_TYPE: &str = "text/x.tlog.size";
/// Longest answer that is looked at.
pub const MAX_ANSWER: usize = 64 << 10;

/// The newest good cosignature of this key on this checkpoint, and its time. Lines of other keys are nothing to us.
#[must_use]
pub fn cosignature(body: &[u8], checkpoint_text: &str, key: &VerifyingKey) -> Option<(Signature, u64)> {
    if body.len() > MAX_ANSWER {
        return None;
    }
    let lines = str::from_utf8(body).ok()?.strip_suffix('\n')?.split('\n').take(MAX_SIGNATURES);
    let good = |line| {
        let signature = Signature::parse(line)?;
        let time = time_of(checkpoint_text, &signature, key)?;
        Some((signature, time))
    };
    lines.filter_map(good).max_by_key(|(_, time)| *time)
}

/// The size that a witness knows: decimal, and a newline.
#[must_use]
pub fn known_size(body: &[u8]) -> Option<u64> {
    decimal(str::from_utf8(body).ok()?.strip_suffix('\n')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::cosignature::cosign;
    use crate::tlog::key::{KeyKind, SigningKey};

    const TEXT: &str = "example.com/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn only_good_lines_of_the_key_count() {
        let key = |seed| SigningKey::from_seed("w.example/1", KeyKind::Cosignature, &[seed; 32]).unwrap();
        let (own, other) = (key(1), key(2));
        let line = |key, time| format!("{}\n", cosign(key, TEXT, time).unwrap().to_line());
        let of = |body: &str| cosignature(body.as_bytes(), TEXT, own.verifying()).map(|(_, time)| time);
        assert_eq!(of(&line(&own, 5)), Some(5));
        assert_eq!(of(&format!("{}{}{}", line(&own, 5), line(&other, 9), line(&own, 7))), Some(7));
        assert_eq!(of(&line(&other, 5)), None);
        assert_eq!(of(line(&own, 5).trim_end()), None, "a line is ended");
        assert_eq!(of(&line(&own, 5).repeat(2000)), None, "it is too long");
        let elsewhere =
            cosignature(line(&own, 5).as_bytes(), &TEXT.replace("\n1\n", "\n2\n"), own.verifying());
        assert_eq!(elsewhere, None);
        for junk in ["", "\n", "— \n", "<html>\n"] {
            assert_eq!(of(junk), None);
        }
    }

    #[test]
    fn a_size_is_a_line() {
        assert_eq!(known_size(b"20852014\n"), Some(20_852_014));
        for wrong in ["", "1", "\n", "1\n\n", " 1\n", "01\n", "x\n"] {
            assert_eq!(known_size(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
