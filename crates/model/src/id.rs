//! Stable names of things: sessions, commands, targets, tokens, rules.

use std::fmt;

/// A session's id: a UUID version 7 (RFC 9562), so ids sort by the time the session was opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u128);

impl SessionId {
    /// Reads the hyphenated or plain 32-digit hexadecimal form. `None` when it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let mut value: u128 = 0;
        let mut digits = 0;
        for c in text.chars().filter(|c| *c != '-') {
            value = (value << 4) | u128::from(c.to_digit(16)?);
            digits += 1;
            if digits > 32 {
                return None;
            }
        }
        (digits == 32).then_some(Self(value))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        let (a, b, c) = ((v >> 96) as u32, (v >> 80) as u16, (v >> 64) as u16);
        let (d, e) = ((v >> 48) as u16, v as u64 & 0xffff_ffff_ffff);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A command's number in its session, from 1, in the order in which commands were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandNumber(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_read_back_what_they_print() {
        let id = SessionId(0x0193_5b2a_77aa_7bbb_8ccc_0123_4567_89ab);
        assert_eq!(id.to_string(), "01935b2a-77aa-7bbb-8ccc-0123456789ab");
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        for bad in ["", "xyz", "01935b2a", "01935b2a-77aa-7bbb-8ccc-0123456789abc"] {
            assert_eq!(SessionId::parse(bad), None, "{bad}");
        }
    }
}
