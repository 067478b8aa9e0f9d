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

/// Reads 44 characters back. `None` when they are not what [`write_digest`] writes.
pub(crate) fn read_digest(text: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0u8; 32];
    for (slots, chunk) in digest.chunks_mut(3).zip(text.chunks(4)) {
        let mut bits = 0u32;
        for b in chunk {
            let value = ALPHABET.iter().position(|a| a == b).unwrap_or(0);
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        for (i, slot) in slots.iter_mut().enumerate() {
            *slot = (bits >> (16 - 8 * i)) as u8;
        }
    }
    // Writing it again finds foreign characters, wrong padding, stray bits and wrong lengths at once.
    let mut again = Vec::with_capacity(44);
    write_digest(&digest, &mut again);
    (again == text).then_some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_read_back_and_anything_else_does_not() {
        let digest: [u8; 32] = std::array::from_fn(|i| (i * 37 + 5) as u8);
        let mut text = Vec::new();
        write_digest(&digest, &mut text);
        assert_eq!(String::from_utf8(text.clone()).unwrap(), "BSpPdJm+4wgtUnecweYLMFV6n8TpDjNYfaLH7BE2W4A=");
        assert_eq!(read_digest(&text), Some(digest));
        for at in 0..text.len() {
            let mut bad = text.clone();
            bad[at] = b'!';
            assert_eq!(read_digest(&bad), None);
        }
        assert_eq!(read_digest(b""), None);
        assert_eq!(read_digest(&text[..43]), None);
    }
}
