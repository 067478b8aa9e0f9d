//! Base64 (RFC 4648 section 4, padded) of 32-byte digests: the one thing of that shape in a leaf.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the 44 characters of a digest.
pub(crate) fn write_digest(digest: &[u8; 32], out: &mut Vec<u8>) {
    let mut text = [b'='; 44];
    let (whole, rest) = digest.as_chunks::<3>();
    for ([a, b, c], slots) in whole.iter().zip(text.as_chunks_mut::<4>().0) {
        let bits = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
        *slots = [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)];
    }
    // 32 bytes are ten groups of three and two more.
    if let ([a, b], Some(slots)) = (rest, text.as_chunks_mut::<4>().0.last_mut()) {
        let bits = u32::from(*a) << 16 | u32::from(*b) << 8;
        *slots = [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), b'='];
    }
    out.extend_from_slice(&text);
}

/// The letter of the lowest six bits.
fn letter(bits: u32) -> u8 {
    ALPHABET.get((bits & 63) as usize).copied().unwrap_or(b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_has_44_characters() {
        let digest: [u8; 32] = std::array::from_fn(|i| (i * 37 + 5) as u8);
        let mut text = Vec::new();
        write_digest(&digest, &mut text);
        assert_eq!(String::from_utf8(text).unwrap(), "BSpPdJm+4wgtUnecweYLMFV6n8TpDjNYfaLH7BE2W4A=");
    }
}
