//! The one form of tar that bundles are written in: ustar, plain files alone, each header byte decided by name, length and time.
//! A reader that encodes what it read and compares leaves nothing in a header for anybody to hide something in.
//!
//! Own code because the format is a page long, and because a general reader understands more than may be in a bundle (links,
//! sparse files, long names, other spellings of numbers).

/// Bytes of a header, and what lengths are rounded up to.
pub const BLOCK: usize = 512;
/// Longest member: what eleven octal digits can say.
pub const MEMBER_BYTES_MAX: u64 = (8 << 30) - 1;
/// Longest name.
pub const NAME_BYTES_MAX: usize = 99;
/// Zeros behind the last member.
pub const END: usize = 2 * BLOCK;

/// A member's header. Nothing where the name or the length does not fit.
#[must_use]
pub fn header(name: &str, size: u64, time: u64) -> Option<[u8; BLOCK]> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
        return None;
    }
    if size > MEMBER_BYTES_MAX || time > MEMBER_BYTES_MAX {
        return None;
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(slot) = block.get_mut(at..at + bytes.len()) {
            slot.copy_from_slice(bytes);
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{time:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    let text = format!("{sum:06o}\0 ");
    if let Some(slot) = block.get_mut(148..156) {
        slot.copy_from_slice(text.as_bytes());
    }
    Some(block)
}

/// Name and length of the member whose header this is. Nothing where [`header`] would have written another one.
#[must_use]
pub fn read(block: &[u8; BLOCK]) -> Option<(String, u64)> {
    let name = block.get(..NAME_BYTES_MAX + 1)?.split(|b| *b == 0).next()?;
    let name = std::str::from_utf8(name).ok()?;
    let octal = |at: usize| {
        let digits = block.get(at..at + 11)?;
        digits.iter().try_fold(0u64, |n, d| Some(n * 8 + u64::from(char::from(*d).to_digit(8)?)))
    };
    let (size, time) = (octal(124)?, octal(136)?);
    let same = header(name, size, time).is_some_and(|written| written == *block);
    same.then(|| (name.to_owned(), size))
}

/// Zeros between the end of a member and the next header.
#[must_use]
pub fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}

/// A whole tar of members that are in memory.
#[must_use]
pub fn pack<'a>(members: impl IntoIterator<Item = (&'a str, &'a [u8])>, time: u64) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, bytes) in members {
        let size = bytes.len() as u64;
        out.extend_from_slice(&header(name, size, time)?);
        out.extend_from_slice(bytes);
        out.resize(out.len() + padding(size), 0);
    }
    out.resize(out.len() + END, 0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_one_spelling() {
        let block = header("e1/leaves.jsonl", 4242, 1_795_456_800).unwrap();
        assert_eq!(read(&block), Some(("e1/leaves.jsonl".to_owned(), 4242)));
        for bit in 0..BLOCK * 8 {
            let mut other = block;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&other), None, "bit {bit}");
        }
        assert_eq!(header(&"x".repeat(100), 1, 0), None);
        assert_eq!(header("x", MEMBER_BYTES_MAX + 1, 0), None);
        assert_eq!(header("", 0, 0), None);
    }
}
