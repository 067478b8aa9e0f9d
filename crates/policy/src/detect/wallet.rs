//! Addresses in crypto currencies, by their checksums.

use aws_lc_rs::digest::{SHA256, digest};

/// Whether a word is an address: Base58Check, Bech32, or `0x` and forty digits.
pub(crate) fn is_wallet(word: &str) -> bool {
    let s = word.as_bytes();
    match s {
        [b'0', b'x', hex @ ..] => hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit),
        [b'1' | b'3' | b'L' | b'M' | b'D' | b'T' | b'2' | b'm' | b'n', ..]
            if (26..=35).contains(&s.len()) =>
        {
            base58check(s)
        }
        [b'b' | b'B' | b't' | b'l', ..] if (14..=90).contains(&s.len()) => bech32(word),
        _ => false,
    }
}

/// 25 bytes in base 58, the last four the double SHA-256 of the others.
fn base58check(s: &[u8]) -> bool {
    const SIGNS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0_u8; 25];
    for b in s {
        let Some(value) = SIGNS.iter().position(|c| c == b) else { return false };
        let mut carry = value;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xFF) as u8;
            carry >>= 8;
        }
        if carry > 0 {
            return false;
        }
    }
    let (body, check) = bytes.split_at(21);
    let once = digest(&SHA256, body);
    digest(&SHA256, once.as_ref()).as_ref().starts_with(check)
}

/// BIP 173 and BIP 350: a polynomial over GF(2^5) whose rest is 1, or 0x2bc830a3.
fn bech32(word: &str) -> bool {
    const SIGNS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const PARTS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some((head, data)) = word.rsplit_once('1') else { return false };
    let (head, data) = (head.to_ascii_lowercase(), data.to_ascii_lowercase());
    if !matches!(head.as_str(), "bc" | "tb" | "ltc" | "bcrt") || data.len() < 8 {
        return false;
    }
    let step = |sum: u32, value: u32| {
        let top = sum >> 25;
        let next = (sum & 0x01FF_FFFF) << 5 ^ value;
        PARTS.iter().enumerate().filter(|(i, _)| top >> i & 1 == 1).fold(next, |s, (_, p)| s ^ p)
    };
    let start = head
        .bytes()
        .map(|b| u32::from(b >> 5))
        .chain([0])
        .chain(head.bytes().map(|b| u32::from(b & 31)))
        .fold(1, step);
    let end = data.bytes().try_fold(start, |sum, b| {
        let value = SIGNS.iter().position(|c| *c == b)?;
        Some(step(sum, u32::try_from(value).ok()?))
    });
    matches!(end, Some(1 | 0x2bc8_30a3))
}
