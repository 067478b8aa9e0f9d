//! Makes what looks like ASCII be ASCII, remembering where it stood: digits of other scripts, full-width forms,
//! spaces and dashes of all widths; what cannot be seen is left out.

use std::borrow::Cow;
use std::ops::Range;

/// A text to search in, and the way back to the original.
pub(crate) struct Folded<'a> {
    text: Cow<'a, str>,
    /// For each byte of the folded text, where its character begins in the original, and where it ends.
    places: Vec<(u32, u32)>,
}

impl<'a> Folded<'a> {
    /// Folds; borrows when there is nothing to fold.
    pub(crate) fn of(value: &'a str) -> Self {
        if value.is_ascii()
            || u32::try_from(value.len()).is_err()
            || !value.chars().any(|c| fold(c) != Some(c))
        {
            return Self { text: Cow::Borrowed(value), places: Vec::new() };
        }
        let mut text = String::with_capacity(value.len());
        let mut places = Vec::with_capacity(value.len());
        for (at, c) in value.char_indices() {
            let Some(folded) = fold(c) else { continue };
            text.push(folded);
            let from = u32::try_from(at).unwrap_or(u32::MAX);
            let to = u32::try_from(at + c.len_utf8()).unwrap_or(u32::MAX);
            places.extend(std::iter::repeat_n((from, to), folded.len_utf8()));
        }
        Self { text: Cow::Owned(text), places }
    }

    /// The folded text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A range of the folded text in the original.
    pub(crate) fn original(&self, range: Range<usize>) -> Range<usize> {
        if self.places.is_empty() {
            return range;
        }
        let from = self.places.get(range.start).map_or(0, |p| p.0 as usize);
        let to = self.places.get(range.end.saturating_sub(1)).map_or(from, |p| p.1 as usize);
        from..to.max(from)
    }
}

/// What a character is read as; `None` for what cannot be seen.
fn fold(c: char) -> Option<char> {
    let n = c as u32;
    match n {
        0..=0x7F => Some(c),
        0x00A0 | 0x1680 | 0x2000..=0x200A | 0x202F | 0x205F | 0x3000 => Some(' '),
        0x00AD
        | 0x034F
        | 0x061C
        | 0x180E
        | 0x200B..=0x200F
        | 0x202A..=0x202E
        | 0x2060..=0x2064
        | 0xFE00..=0xFE0F
        | 0xFEFF => None,
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => Some('-'),
        0xFF01..=0xFF5E => char::from_u32(n - 0xFEE0),
        _ => script_digit(n).or(Some(c)),
    }
}

/// Decimal digits of the scripts in which databases are written (Unicode, general category Nd).
fn script_digit(n: u32) -> Option<char> {
    const ZEROS: [u32; 16] = [
        0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66,
        0x0E50, 0x0ED0, 0x1040, 0x17E0,
    ];
    let zero = ZEROS.iter().find(|z| (**z..**z + 10).contains(&n))?;
    char::from_u32(n - zero + u32::from(b'0'))
}
