//! One pass over a value's bytes, to see which searches can find anything at all.

/// What occurs in a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Class {
    bits: u16,
    /// Digits.
    pub(crate) digits: u32,
    /// Letters (ASCII).
    pub(crate) letters: u32,
    /// Signs of equality.
    pub(crate) equals: u32,
    /// Bytes.
    pub(crate) len: usize,
    json: bool,
}

const AT: u16 = 1;
const COLON: u16 = 1 << 1;
const SPACE: u16 = 1 << 2;
const HIGH: u16 = 1 << 3;
const DOT: u16 = 1 << 4;
const DASH: u16 = 1 << 5;
const EQUALS: u16 = 1 << 6;
const UPPER: u16 = 1 << 7;
const DIGIT: u16 = 1 << 8;
const LOWER: u16 = 1 << 9;
const PLUS: u16 = 1 << 10;
const OTHER: u16 = 1 << 11;

const TABLE: [u16; 256] = {
    let mut table = [OTHER; 256];
    let mut rest: &mut [u16] = &mut table;
    let mut b = 0;
    while let Some((class, more)) = rest.split_first_mut() {
        *class = match b {
            b'@' => AT,
            b':' => COLON,
            b' ' | b'\n' | b'\r' | b'\t' => SPACE,
            0x80.. => HIGH,
            b'.' => DOT,
            b'-' => DASH,
            b'=' => EQUALS,
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => DIGIT,
            b'+' | b'(' | b'/' => PLUS,
            _ => OTHER,
        };
        rest = more;
        b = if b < u8::MAX { b + 1 } else { b };
    }
    table
};

impl Class {
    pub(crate) fn of(value: &str) -> Self {
        let (mut bits, mut digits, mut letters, mut equals) = (0, 0, 0, 0);
        for b in value.bytes() {
            let class = TABLE.get(usize::from(b)).copied().unwrap_or(OTHER);
            bits |= class;
            digits += u32::from(class == DIGIT);
            letters += u32::from(class & (UPPER | LOWER) != 0);
            equals += u32::from(class == EQUALS);
        }
        let trimmed = value.trim_ascii();
        let json = matches!(trimmed.as_bytes(), [b'{', .., b'}'] | [b'[', .., b']']);
        Self { bits, digits, letters, equals, len: value.len(), json }
    }

    const fn has(self, bit: u16) -> bool {
        self.bits & bit != 0
    }

    pub(crate) fn at(self) -> bool {
        self.has(AT)
    }

    pub(crate) fn colon(self) -> bool {
        self.has(COLON)
    }

    pub(crate) fn space(self) -> bool {
        self.has(SPACE)
    }

    pub(crate) fn dot(self) -> bool {
        self.has(DOT)
    }

    pub(crate) fn dash(self) -> bool {
        self.has(DASH)
    }

    pub(crate) fn equals(self) -> bool {
        self.has(EQUALS)
    }

    pub(crate) fn upper(self) -> bool {
        self.has(UPPER)
    }

    /// Something beside ASCII.
    pub(crate) fn foreign(self) -> bool {
        self.has(HIGH)
    }

    /// Signs that stand in no word, number or time: quotes, brackets, backslashes.
    pub(crate) fn signs(self) -> bool {
        self.has(OTHER)
    }

    /// Begins and ends as JSON does.
    pub(crate) fn json(self) -> bool {
        self.json
    }

    /// Whether there are only numbers with signs between, enough of them for a card.
    pub(crate) fn list(self) -> bool {
        self.letters == 0 && self.digits >= 14 && self.has(OTHER | EQUALS | PLUS | COLON | SPACE)
    }

    /// Whether there is enough for words: letters and spaces, or a long value.
    pub(crate) fn text(self) -> bool {
        (self.letters > 0 || self.has(HIGH))
            && (self.has(SPACE) || self.len > 40 || self.has(OTHER | EQUALS | COLON) || self.keyed())
    }

    /// Whether a key may be joined to its number: `SSN536-22-1987`.
    fn keyed(self) -> bool {
        self.has(DASH | DOT) && matches!(self.letters, 3..=6) && matches!(self.digits, 8..=14)
    }
}
