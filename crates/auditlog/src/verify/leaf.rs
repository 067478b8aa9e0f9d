//! A leaf read by somebody who trusts nobody: is it the restricted JSON that `docs/record.md` promises (RFC 8785: no blanks,
//! keys in ascending order, whole numbers below 2^53, the shortest escapes), and what do its fields say.
//!
//! One pass over the bytes, nothing copied: fields are spans of the leaf. Comparing spans is comparing values, because
//! there is one way only to write each.

/// Objects and lists within each other; leaves have four.
const DEPTH: u32 = 12;
/// Numbers are below this, so that every reader of JSON has them exactly.
const NUMBER_END: u64 = 1 << 53;

/// Why bytes are not a leaf, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Offset in the leaf.
    pub(crate) at: usize,
    /// In words.
    pub(crate) why: &'static str,
}

/// The fields that verification looks at. What is absent is empty.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) k: &'a str,
    pub(crate) n: Option<u64>,
    pub(crate) v: Option<u64>,
    pub(crate) t: &'a str,
    pub(crate) mono: Option<u64>,
    pub(crate) sid: &'a str,
    pub(crate) cmd: Option<u64>,
    pub(crate) intent: Option<u64>,
    pub(crate) verdict: &'a str,
    pub(crate) mode: &'a str,
    pub(crate) step: &'a str,
    pub(crate) approval: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) given: Option<u64>,
    pub(crate) quorum: Option<u64>,
    pub(crate) commands: Option<u64>,
    pub(crate) why: &'a str,
    /// Version of the rules that decided.
    pub(crate) policy: &'a str,
    pub(crate) refused: bool,
    /// Objects and lists, as they stand.
    pub(crate) by: &'a [u8],
    pub(crate) chain: &'a [u8],
    pub(crate) who: &'a [u8],
    pub(crate) pay: &'a [u8],
    pub(crate) facts: &'a [u8],
}

impl<'a> Leaf<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if let Err(e) = std::str::from_utf8(bytes) {
            return Err(Malformed { at: e.valid_up_to(), why: "it is not UTF-8" });
        }
        let mut leaf = Self::default();
        members(bytes, |key, value| leaf.take(key, value))?;
        Ok(leaf)
    }

    fn take(&mut self, key: &'a [u8], value: &'a [u8]) {
        match key {
            b"k" => self.k = text(value),
            b"n" => self.n = number(value),
            b"v" => self.v = number(value),
            b"t" => self.t = text(value),
            b"mono" => self.mono = number(value),
            b"sid" => self.sid = text(value),
            b"cmd" => self.cmd = number(value),
            b"intent" => self.intent = number(value),
            b"verdict" => self.verdict = text(value),
            b"mode" => self.mode = text(value),
            b"step" => self.step = text(value),
            b"approval" => self.approval = text(value),
            b"rule" => self.rule = text(value),
            b"given" => self.given = number(value),
            b"quorum" => self.quorum = number(value),
            b"commands" => self.commands = number(value),
            b"why" => self.why = text(value),
            b"refused" => self.refused = value == b"true",
            b"by" => self.by = value,
            b"chain" => self.chain = value,
            b"policy" => self.policy = text(value),
            b"who" => self.who = value,
            b"pay" => self.pay = value,
            b"facts" => self.facts = value,
            _ => {}
        }
    }
}

/// What stands between the quotes of a string; empty where the value is none.
pub(crate) fn text(value: &[u8]) -> &str {
    let inside = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or_default();
    std::str::from_utf8(inside).unwrap_or_default()
}

/// A whole number, or the text that stands for one above 2^53.
pub(crate) fn number(value: &[u8]) -> Option<u64> {
    let digits = if value.starts_with(b"\"") { text(value).as_bytes() } else { value };
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, d| {
        let digit = char::from(*d).to_digit(10)?;
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Calls for each key (without quotes) and value of an object that is all of `bytes`.
pub(crate) fn members<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]),
) -> Result<(), Malformed> {
    let mut scan = Scan { bytes, at: 0 };
    scan.object(DEPTH, &mut each)?;
    scan.end()
}

/// The elements of a list that is all of `bytes`; nothing where it is none.
pub(crate) fn elements(bytes: &[u8]) -> Vec<&[u8]> {
    let mut scan = Scan { bytes, at: 0 };
    let mut all = Vec::new();
    match scan.list(DEPTH, &mut |value| all.push(value)) {
        Ok(()) => all,
        Err(_) => Vec::new(),
    }
}

/// Reads one value after the other.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn bad<T>(&self, why: &'static str) -> Result<T, Malformed> {
        Err(Malformed { at: self.at, why })
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn span(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.at).unwrap_or_default()
    }

    fn skip(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { self.bad("more follows its end") }
    }

    fn object(&mut self, depth: u32, each: &mut dyn FnMut(&'a [u8], &'a [u8])) -> Result<(), Malformed> {
        if depth == 0 {
            return self.bad("too much within each other");
        }
        if !self.skip(b'{') {
            return self.bad("no object");
        }
        if self.skip(b'}') {
            return Ok(());
        }
        let mut before: Option<&[u8]> = None;
        loop {
            let start = self.at;
            let key = self.string()?;
            if before.is_some_and(|b| b >= key) {
                return Err(Malformed { at: start, why: "keys are not in order, or one stands twice" });
            }
            before = Some(key);
            if !self.skip(b':') {
                return self.bad("no value behind a key");
            }
            let from = self.at;
            self.value(depth - 1)?;
            each(key, self.span(from));
            if self.skip(b'}') {
                return Ok(());
            }
            if !self.skip(b',') {
                return self.bad("neither the next key nor the end of the object");
            }
        }
    }

    fn list(&mut self, depth: u32, each: &mut dyn FnMut(&'a [u8])) -> Result<(), Malformed> {
        if depth == 0 {
            return self.bad("too much within each other");
        }
        if !self.skip(b'[') {
            return self.bad("no list");
        }
        if self.skip(b']') {
            return Ok(());
        }
        loop {
            let from = self.at;
            self.value(depth - 1)?;
            each(self.span(from));
            if self.skip(b']') {
                return Ok(());
            }
            if !self.skip(b',') {
                return self.bad("neither the next value nor the end of the list");
            }
        }
    }

    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(depth, &mut |_, _| ()),
            Some(b'[') => self.list(depth, &mut |_| ()),
            Some(b'-' | b'0'..=b'9') => self.whole_number(),
            _ => {
                let rest = self.bytes.get(self.at..).unwrap_or_default();
                let word = [&b"true"[..], b"false", b"null"].into_iter().find(|w| rest.starts_with(w));
                match word {
                    Some(word) => self.at += word.len(),
                    None => return self.bad("no value"),
                }
                Ok(())
            }
        }
    }

    /// What stands between the quotes.
    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        if !self.skip(b'"') {
            return self.bad("no string");
        }
        let from = self.at;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < b' ');
            let Some(plain) = plain else { return self.bad("a string without an end") };
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    let inside = self.span(from);
                    self.at += 1;
                    return Ok(inside);
                }
                Some(b'\\') => self.escape()?,
                _ => return self.bad("a control character in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let long = |high: u8, low: u8| {
            let short = matches!((high, low), (b'0', b'8' | b'9' | b'a' | b'c' | b'd'));
            matches!(high, b'0' | b'1') && matches!(low, b'0'..=b'9' | b'a'..=b'f') && !short
        };
        match rest {
            [_, b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [_, b'u', b'0', b'0', high, low, ..] if long(*high, *low) => self.at += 6,
            _ => return self.bad("an escape that is not the shortest"),
        }
        Ok(())
    }

    fn whole_number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.skip(b'-');
        let digits = self.bytes.get(self.at..).unwrap_or_default();
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let text = digits.get(..count).unwrap_or_default();
        self.at += count;
        let zero_first = text.first() == Some(&b'0') && (count > 1 || start + 2 == self.at);
        let fits = number(text).is_some_and(|n| n < NUMBER_END);
        if fits && !zero_first && !matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Ok(());
        }
        Err(Malformed { at: start, why: "no whole number below 2^53" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_allows_is_read_and_nothing_else() {
        let read = |text: &str| Leaf::read(text.as_bytes()).map(|l| (l.k.to_owned(), l.n));
        assert_eq!(read(r#"{"k":"x","n":9007199254740991}"#), Ok(("x".to_owned(), Some((1 << 53) - 1))));
        assert_eq!(read(r#"{"k":"\"\\\b\f\n\r\t\u001f\u0000ä"}"#).unwrap().1, None);
        assert_eq!(read(r#"{"a":[],"b":{},"c":[1,-1,{"d":null}],"e":true,"f":false}"#).unwrap().0, "");
        let wrong = [
            "",
            "{",
            "[]",
            "{} ",
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1,}"#,
            r#"{"a":01}"#,
            r#"{"a":-0}"#,
            r#"{"a":1.5}"#,
            r#"{"a":1e3}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\u000a"}"#,
            r#"{"a":"\u001F"}"#,
            "{\"a\":\"\n\"}",
            r#"{"a":tru}"#,
            r#"{"a"}"#,
            r#"{"a":"b}"#,
            r#"{"a":[1 ]}"#,
        ];
        for text in wrong {
            assert!(read(text).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(read(&format!("{{\"a\":{deep}}}")).is_err());
        assert!(Leaf::read(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn elements_and_members_are_spans() {
        assert_eq!(elements(br#"[{"a":1},"b"]"#), [&br#"{"a":1}"#[..], b"\"b\""]);
        assert!(elements(b"{}").is_empty());
        let mut seen = Vec::new();
        members(br#"{"a":"x","b":7}"#, |k, v| seen.push((k.to_vec(), v.to_vec()))).unwrap();
        assert_eq!(seen, [(b"a".to_vec(), b"\"x\"".to_vec()), (b"b".to_vec(), b"7".to_vec())]);
        assert_eq!(
            (number(b"\"18446744073709551615\""), number(b"x"), number(b"")),
            (Some(u64::MAX), None, None)
        );
    }
}
