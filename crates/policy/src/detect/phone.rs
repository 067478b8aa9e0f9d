//! Telephone numbers: international ones, and national ones as they are written with separators.

use super::columns::Topic;

/// A number's digits and how they are written.
struct Dialled {
    digits: [u8; 20],
    len: usize,
    /// Lengths of the groups.
    groups: [u8; 10],
    count: usize,
    plus: bool,
    paren: bool,
    /// Whether it begins with a parenthesis.
    opens: bool,
    dots: usize,
    slashes: usize,
    spaces: usize,
    dashes: usize,
}

/// The longest text that can be a number, with its separators and an extension.
const LONGEST: usize = 40;

impl Dialled {
    /// Digits, `+` in front, separators between; an extension behind is cut off. `None` for all else.
    fn of(text: &str) -> Option<Self> {
        let mut d = Self {
            digits: [0; 20],
            len: 0,
            groups: [0; 10],
            count: 0,
            plus: false,
            paren: false,
            opens: text.starts_with('('),
            dots: 0,
            slashes: 0,
            spaces: 0,
            dashes: 0,
        };
        let mut open = false;
        let mut last = b' ';
        for (i, b) in text.bytes().enumerate() {
            match b {
                b'0'..=b'9' => d.digit(b, last)?,
                b'+' if i == 0 || i == 1 && last == b'(' => d.plus = true,
                b'(' if !open && !last.is_ascii_digit() | (d.len > 0 && !d.paren) => {
                    (open, d.paren) = (true, true)
                }
                b')' if open && last.is_ascii_digit() => open = false,
                b' ' if last != b' ' && last != b'+' => d.spaces += 1,
                b'-' if last.is_ascii_digit() || matches!(last, b')' | b' ') => d.dashes += 1,
                b'.' if last.is_ascii_digit() || last == b')' => d.dots += 1,
                b'/' if last.is_ascii_digit() || matches!(last, b')' | b' ') => d.slashes += 1,
                _ => return None,
            }
            last = b;
        }
        (!open && (last.is_ascii_digit())).then_some(d)
    }

    fn digit(&mut self, b: u8, last: u8) -> Option<()> {
        if !last.is_ascii_digit() {
            self.count += 1;
        }
        *self.groups.get_mut(self.count.checked_sub(1)?)? += 1;
        *self.digits.get_mut(self.len)? = b;
        self.len += 1;
        Some(())
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or_default()
    }

    fn groups(&self) -> &[u8] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    fn at(&self, i: usize) -> u8 {
        self.digits().get(i).copied().unwrap_or(0)
    }
}

/// Cuts an extension off: `x123`, `ext. 5`.
fn without_extension(text: &str) -> &str {
    let lower = |c: char| c.is_ascii_digit() || c == ' ' || c == '.' || c == ':';
    let body = text.trim_end_matches(|c: char| c.is_ascii_digit());
    if body.len() == text.len() || text.len() - body.len() > 6 {
        return text;
    }
    let body = body.trim_end_matches(lower);
    for mark in ["extension", "ext", "Ext", "EXT", "x", "X", "#", "durchwahl"] {
        if let Some(rest) = body.strip_suffix(mark) {
            return rest.trim_end_matches([' ', ',', '-', ';']);
        }
    }
    text
}

/// Whether a whole text is a telephone number.
pub(crate) fn is_phone(text: &str, topic: Topic) -> bool {
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let (all, text) = (text.len(), without_extension(text));
    if text.len() < 7 || text.len() > LONGEST {
        return false;
    }
    let Some(d) = Dialled::of(text) else { return false };
    if topic == Topic::Phone {
        return (6..=17).contains(&d.len);
    }
    if d.plus {
        return is_assigned(d.digits(), d.groups()) && international(d.digits());
    }
    let extended = text.len() < all && d.len >= 9;
    !matches!(topic, Topic::Ordinary | Topic::Version)
        && !topic.is_of_number()
        && (extended || prefixed(&d) || national(&d))
}

/// Whether it begins with a calling code that is given to somebody (ITU-T E.164 D, 2016); where a short group stands first, all
/// of that is the code.
fn is_assigned(s: &[u8], groups: &[u8]) -> bool {
    let code = |n: usize| super::checks::number(s, 0, n).unwrap_or(0);
    let one = matches!(code(1), 1 | 7);
    let two = matches!(code(2), 20 | 27 | 30..=34 | 36 | 39..=41 | 43..=49 | 51..=58 | 60..=66 | 81 | 82 | 84 | 86 | 90..=95 | 98);
    let three = matches!(code(3), 210..=269 | 290..=299 | 350..=359 | 370..=389 | 420..=429 | 500..=509 | 590..=599
        | 670..=699 | 800..=809 | 850..=889 | 960..=999);
    match groups.first() {
        Some(1) => one,
        Some(2) if groups.len() > 1 => one || two,
        _ => one || two || three,
    }
}

/// A country's calling code and a fitting number of digits (ITU-T E.164).
fn international(s: &[u8]) -> bool {
    if !(8..=15).contains(&s.len()) {
        return false;
    }
    let two = s.get(..2).unwrap_or_default();
    match s.first() {
        // `+1 (0) 212 …` is no number, and written nevertheless.
        Some(b'1') => s.len() == 11 || s.len() == 12 && s.get(1) == Some(&b'0'),
        Some(b'7') => s.len() == 11,
        Some(b'2'..=b'9') => two != b"80" || s.len() >= 11,
        _ => false,
    }
}

/// `00` or `011` in front, with separators.
fn prefixed(d: &Dialled) -> bool {
    let s = d.digits();
    if d.count < 3 || d.dots > 0 && d.count < 4 {
        return false;
    }
    let rest = if d.groups().first() == Some(&3) && s.starts_with(b"011") {
        s.get(3..)
    } else if s.starts_with(b"00")
        && (matches!(d.groups().first(), Some(2 | 4 | 5)) || matches!(s.get(2), Some(b'1' | b'7')))
    {
        s.get(2..)
    } else {
        None
    };
    rest.is_some_and(|r| r.len() >= 9 && international(r))
}

/// The ways in which numbers are written at home. Layouts that money or record numbers have too are left out.
fn national(d: &Dialled) -> bool {
    let g = d.groups();
    if d.count < 2 || d.len > 13 || d.slashes > 1 || d.dots > 0 && d.dots + 1 < d.count {
        return false;
    }
    let area = |i: usize| d.at(i) >= b'2';
    match (g, d.len) {
        // North America: (212) 555-0123, 212-555-0123, 212.555.0123, 1-212-555-0123.
        ([3, 3, 4], 10) => area(0) && area(3) || d.at(0) == b'0' && d.slashes == 0,
        ([1, 3, 3, 4], 11) if d.at(0) == b'1' => area(1) && (area(4) || d.dashes > 1),
        ([3, 7], 10) if d.paren && d.at(0) != b'0' => area(0),
        // Italy: 347 1234567.
        ([3, 7], 10) if d.spaces == 1 && !d.paren && d.at(0) == b'3' => area(1),
        // A country's code in parentheses: (351) 912 345 678.
        ([3, 9] | [3, 3, 3, 3], 12) if d.paren => area(0),
        // An area's code in parentheses is written of nothing else: (53) 187-552.
        ([2..=5, rest @ ..], 8..=13)
            if d.opens && rest.len() <= 4 && rest.iter().all(|g| (2..=5).contains(g)) =>
        {
            true
        }
        // Chile: (2) 2123 4567.
        ([1, 4, 4], 9) if d.paren => true,
        // Russia: 8 (912) 345-67-89; China: 138-1234-5678.
        ([1, 3, 3, 2, 2], 11) => d.at(0) == b'8',
        ([1, 3, 3, 4] | [1, 3, 7] | [1, 3, 5, 2], 11) => d.at(0) == b'8' && d.at(1) == b'9',
        ([3, 4, 4], 11) if d.at(0) == b'1' => d.at(1) >= b'3',
        // Brazil: (11) 91234-5678; also without parentheses. India: 98765 43210.
        ([2, 5, 4], 11) => (d.paren || d.at(2) == b'9') && d.at(0) >= b'1',
        ([2, 4, 4], 10) if d.at(0) != b'0' && (d.paren || d.dashes == 1 && d.spaces == 1) => true,
        ([5, 5], 10) if d.spaces == 1 && d.at(0) >= b'6' => true,
        // Spain, Portugal, Poland in threes are money too; in twos after three they are not.
        ([3, 2, 2, 2] | [2, 3, 2, 2], 9) if d.at(0) != b'0' => d.spaces + d.dashes >= 3,
        // Denmark and Norway in pairs.
        ([2, 2, 2, 2], 8) => d.spaces == 3 && d.at(0) >= b'2',
        // Australia: 1300 123 456.
        ([4, 3, 3], 10) if d.at(0) == b'1' => matches!(d.at(1), b'3' | b'8'),
        _ => trunk(d),
    }
}

/// With the trunk prefix 0: an area code of two to six digits, then the number.
fn trunk(d: &Dialled) -> bool {
    let first = d.groups().first().copied().unwrap_or(0);
    let inner = d.groups().iter().skip(1);
    let zero = d.at(0) == b'0' && d.at(1) != b'0';
    // `086-3851-98` is an article's number.
    let article = d.dashes > 0 && matches!(d.groups(), [.., 4 | 5, 2]);
    let lengths = !article && (2..=6).contains(&first) && inner.clone().all(|g| (2..=8).contains(g));
    // `(0)30` and `(02) 1234 5678`.
    let paren = d.paren && (first == 1 || d.groups().get(1).is_some_and(|g| *g <= 5));
    let most = if d.paren { 13 } else { 12 };
    zero && (9..=most).contains(&d.len) && (lengths || paren)
}
