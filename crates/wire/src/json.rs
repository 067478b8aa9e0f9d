//! JSON strings, as the log's restricted JSON wants them (RFC 8785: shortest escapes, UTF-8 as it is).

/// Appends `text` as a JSON string, quotes included, if it is valid UTF-8; otherwise appends nothing and says `false`.
#[must_use]
pub fn string(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let clean = clean_prefix(text);
    if clean < text.len() && std::str::from_utf8(text.get(clean..).unwrap_or_default()).is_err() {
        return false;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    escape(out, text, clean);
    out.push(b'"');
    true
}

/// Appends `text` with escapes but without quotes; the first `clean` bytes are known to need none.
fn escape(out: &mut Vec<u8>, text: &[u8], clean: usize) {
    let (head, mut rest) = text.split_at_checked(clean).unwrap_or((text, &[]));
    out.extend_from_slice(head);
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => {
                out.extend_from_slice(b"\\u00");
                hex(out, &[byte]);
            }
            0x80.. => {
                let run = after.iter().take_while(|b| **b >= 0x80).count() + 1;
                let (run, tail) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                out.extend_from_slice(run);
                rest = tail;
                continue;
            }
            _ => {
                let run = clean_prefix(rest).max(1);
                let (run, tail) = rest.split_at_checked(run).unwrap_or((rest, &[]));
                out.extend_from_slice(run);
                rest = tail;
                continue;
            }
        }
        rest = after;
    }
}

/// How many bytes at the beginning are ASCII that a JSON string holds as they are. Eight at a time.
#[must_use]
pub fn clean_prefix(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const QUOTE: u64 = ONES * b'"' as u64;
    const BACKSLASH: u64 = ONES * b'\\' as u64;
    const CONTROL: u64 = ONES * 0x20;
    let (words, tail) = text.as_chunks::<8>();
    let mut clean = 0;
    for word in words {
        let x = u64::from_le_bytes(*word);
        // The high bit of each byte that is zero after the xor, below 0x20, or not ASCII. A borrow can only mark a byte
        // above a true mark, so the lowest mark is exact; it is all that is read.
        let (quote, backslash) = (x ^ QUOTE, x ^ BACKSLASH);
        let marks = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (x.wrapping_sub(CONTROL) & !x)
            | x;
        let marks = marks & HIGH;
        if marks != 0 {
            return clean + marks.trailing_zeros() as usize / 8;
        }
        clean += 8;
    }
    clean + tail.iter().take_while(|b| matches!(b, 0x20..=0x7f) && **b != b'"' && **b != b'\\').count()
}

/// Appends bytes as lower-case hex digits.
pub fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> Option<String> {
        let mut out = b"x".to_vec();
        string(&mut out, text).then(|| String::from_utf8(out.split_off(1)).unwrap())
    }

    #[test]
    fn escapes_are_the_shortest() {
        assert_eq!(json(b"plain").unwrap(), r#""plain""#);
        assert_eq!(json(b"").unwrap(), r#""""#);
        assert_eq!(
            json(b"a\"b\\c\nd\te\rf\x08g\x0ch\x1fi\x7fj\0").unwrap(),
            "\"a\\\"b\\\\c\\nd\\te\\rf\\bg\\fh\\u001fi\x7fj\\u0000\""
        );
        assert_eq!(
            json("zwölf €\u{1F600} \"und\" mehr als acht".as_bytes()).unwrap(),
            "\"zwölf €\u{1F600} \\\"und\\\" mehr als acht\""
        );
        assert_eq!(json(b"caf\xe9"), None);
        assert_eq!(json(b"long enough for words \xff"), None);
    }

    #[test]
    fn every_byte_at_every_place_is_seen() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut text = [b'a'; 20];
                text[at] = byte;
                let clean = matches!(byte, 0x20..=0x7f) && byte != b'"' && byte != b'\\';
                assert_eq!(clean_prefix(&text), if clean { 20 } else { at }, "{byte} at {at}");
            }
        }
    }
}
