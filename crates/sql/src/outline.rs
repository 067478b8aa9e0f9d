//! A statement's outline: its text with the literals taken out, by which repetitions with other values are known again.
//!
//! Two texts with the same outline must have the same analysis. The argument:
//!
//! 1. Only texts that this scanner reads exactly as PostgreSQL's would get an outline: outside quotes ASCII letters, digits,
//!    `_`, white space and punctuation; no backslash, `$`, comment, or string with a prefix (`E'`, `B'`, `U&'`…). Anything
//!    else has no outline, and the caller goes by the full text. Double quoted names are copied as they are.
//! 2. A literal is replaced by a byte that stands for the *token class* the scanner of PostgreSQL gives it: `'…'` is a
//!    string whatever is in it (with the conforming strings that we have: no backslash means the setting does not
//!    matter); digits are an integer token if they fit 32 bits, else a number token; `1.5` is a number token. Every other
//!    spelling (`.5`, `1e5`, `0x1f`, `1_000`, `1.`, digits that run into a letter) has no outline. What lies between
//!    literals stays byte by byte, so strings that continue on the next line stay apart or together as written.
//! 3. The grammar sees only token classes, with one exception in the statements admitted here: `float(n)` checks its
//!    number. A text with the word `float` has no outline. Utility statements, where literals can decide what happens
//!    (`EXPLAIN (ANALYZE 'off')`, `SET x TO '…'`), have none either: the first word must be one of [`ADMITTED`].
//! 4. So both texts parse, or fail, alike, to trees that differ in constants only; and the walk reads no constant's value.
//! 5. There is only one statement: nothing but space and semicolons follows a semicolon. Its place is the trimmed text.

/// First words of the statements that have an outline: queries and changes of data.
const ADMITTED: [&[u8]; 6] = [b"select", b"insert", b"update", b"delete", b"with", b"values"];

/// Marks in an outline. Control bytes, so that no admitted text holds them outside quotes.
const STRING: u8 = 0x01;
const INTEGER: u8 = 0x02;
const NUMBER: u8 = 0x03;

/// What a byte can begin outside quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Ends the attempt.
    Other,
    Word,
    Digit,
    /// Space and punctuation that are copied.
    Plain,
    Quote,
    DoubleQuote,
    /// Plain, but may begin a comment or a number, or end the statement: `-`, `/`, `.`, `;`, `&`.
    Look,
}

const CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut table = [Class::Other; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[expect(clippy::indexing_slicing, reason = "a u8 indexes 256 entries, at compile time")]
        {
            table[byte as usize] = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => Class::Word,
                b'0'..=b'9' => Class::Digit,
                b'\'' => Class::Quote,
                b'"' => Class::DoubleQuote,
                b'-' | b'/' | b'.' | b';' | b'&' => Class::Look,
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0b' | b'\x0c' => Class::Plain,
                b'!' | b'#' | b'%' | b'(' | b')' | b'*' | b'+' | b',' | b':' | b'<' | b'=' | b'>' | b'?'
                | b'@' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' | b'~' => Class::Plain,
                _ => Class::Other, // control bytes, `$`, backslash
            };
        }
        byte += 1;
    }
    table
}

/// An outline was written.
pub(crate) struct Outlined {
    /// Quoted parts hold bytes above 0x7F: the text must be checked to be UTF-8, as a parse would.
    pub(crate) beyond_ascii: bool,
}

/// Appends the outline of `text` to `out`. `None`: it has none, and `out` holds rubbish after its former end.
pub(crate) fn outline(text: &[u8], out: &mut Vec<u8>) -> Option<Outlined> {
    let mut scan = Scan { text, at: 0, beyond_ascii: false };
    scan.at = text.iter().position(|byte| !crate::split::is_space(*byte))?;
    out.extend_from_slice(text.get(..scan.at)?);
    let first = scan.word()?;
    if !ADMITTED.iter().any(|admitted| first.eq_ignore_ascii_case(admitted)) {
        return None;
    }
    out.extend_from_slice(first);
    while let Some(&byte) = text.get(scan.at) {
        match CLASSES.get(usize::from(byte))? {
            Class::Word => {
                let word = scan.word()?;
                if word.len() == 5 && word.eq_ignore_ascii_case(b"float") {
                    return None;
                }
                out.extend_from_slice(word);
            }
            Class::Plain => {
                out.push(byte);
                scan.at += 1;
            }
            Class::Digit => out.push(scan.number()?),
            Class::Quote => {
                scan.quoted()?;
                out.push(STRING);
            }
            Class::DoubleQuote => out.extend_from_slice(scan.quoted()?),
            Class::Look => {
                scan.look(byte)?;
                out.push(byte);
                scan.at += 1;
            }
            Class::Other => return None,
        }
    }
    Some(Outlined { beyond_ascii: scan.beyond_ascii })
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    beyond_ascii: bool,
}

impl<'t> Scan<'t> {
    /// A name or keyword. None if it runs into a string (a prefix like `E'…'`) or what is not admitted in names here.
    fn word(&mut self) -> Option<&'t [u8]> {
        let rest = self.text.get(self.at..)?;
        let len = rest
            .iter()
            .position(|byte| !matches!(CLASSES.get(usize::from(*byte)), Some(Class::Word | Class::Digit)))
            .unwrap_or(rest.len());
        if rest.get(len) == Some(&b'\'') {
            return None;
        }
        self.at += len;
        rest.get(..len)
    }

    /// Digits, or digits with a fraction, that nothing continues.
    fn number(&mut self) -> Option<u8> {
        let whole = self.digits();
        let mut mark = if whole <= i32::MAX.unsigned_abs().into() { INTEGER } else { NUMBER };
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.text.get(self.at)?.is_ascii_digit() {
                return None;
            }
            self.digits();
            mark = NUMBER;
        }
        match self.text.get(self.at).map(|byte| CLASSES.get(usize::from(*byte))) {
            None | Some(Some(Class::Plain | Class::DoubleQuote)) => Some(mark),
            Some(Some(Class::Look)) if self.text.get(self.at) != Some(&b'.') => Some(mark),
            _ => None,
        }
    }

    /// The value of a run of digits, or more than any integer token holds.
    fn digits(&mut self) -> u64 {
        let mut value = 0_u64;
        while let Some(digit) = self.text.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        value
    }

    /// A quoted part up to its closing quote, which is included. Doubled quotes inside belong to it.
    fn quoted(&mut self) -> Option<&'t [u8]> {
        let start = self.at;
        let quote = *self.text.get(start)?;
        self.at += 1;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            if byte == quote {
                if self.text.get(self.at) != Some(&quote) {
                    return self.text.get(start..self.at);
                }
                self.at += 1;
            } else if byte == b'\\' || byte == 0 {
                return None;
            }
            self.beyond_ascii |= !byte.is_ascii();
        }
    }

    /// Refuses what would make this byte more than punctuation.
    fn look(&self, byte: u8) -> Option<()> {
        let after = self.text.get(self.at + 1..).unwrap_or_default();
        let next = after.first().copied().unwrap_or(b' ');
        let refused = match byte {
            b'-' => next == b'-',
            b'/' => next == b'*',
            b'.' => next.is_ascii_digit(),
            b'&' => matches!(next, b'\'' | b'"'), // U&'…' and U&"…"
            _ => after.iter().any(|byte| !crate::split::is_space(*byte) && *byte != b';'),
        };
        (!refused).then_some(())
    }
}
