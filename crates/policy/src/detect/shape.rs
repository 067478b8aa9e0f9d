//! A candidate for an identifier: its letters and digits without separators, and how the separators lay.

/// The longest identifier looked at: an IBAN has 34, with separators between.
pub(crate) const MAX_COMPACT: usize = 40;
/// The most groups: an IBAN in fours has 9, a NIR has 7.
const MAX_GROUPS: usize = 12;

/// Letters (made upper case) and digits, and the layout: each group's length (one sign: 1-9, then A, B, …) with the
/// separators between, as in `3-2-4`.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    compact: [u8; MAX_COMPACT],
    len: usize,
    layout: [u8; 2 * MAX_GROUPS],
    layout_len: usize,
    letters: usize,
}

impl Shape {
    /// The shape of a text made of groups of ASCII letters and digits, one separator between; `None` for all else.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let mut shape = Self::empty();
        let mut group = 0;
        for &b in text {
            if b.is_ascii_alphanumeric() {
                shape.push(b.to_ascii_uppercase())?;
                group += 1;
            } else if matches!(b, b' ' | b'-' | b'.' | b'/' | b'+') && group > 0 {
                shape.end_group(group)?;
                shape.lay(b)?;
                group = 0;
            } else if b == b'(' && group > 0 || b == b')' && shape.layout().last() == Some(&b'(') && group > 0
            {
                // Hong Kong writes its check digit in parentheses.
                shape.end_group(group)?;
                shape.lay(b)?;
                group = 0;
            } else {
                return None;
            }
        }
        if group > 0 {
            shape.end_group(group)?;
        } else if shape.layout().last() != Some(&b')') {
            return None;
        }
        Some(shape)
    }

    const fn empty() -> Self {
        Self { compact: [0; MAX_COMPACT], len: 0, layout: [0; 2 * MAX_GROUPS], layout_len: 0, letters: 0 }
    }

    fn push(&mut self, b: u8) -> Option<()> {
        *self.compact.get_mut(self.len)? = b;
        self.len += 1;
        self.letters += usize::from(b.is_ascii_uppercase());
        Some(())
    }

    fn lay(&mut self, b: u8) -> Option<()> {
        *self.layout.get_mut(self.layout_len)? = b;
        self.layout_len += 1;
        Some(())
    }

    fn end_group(&mut self, len: u8) -> Option<()> {
        self.lay(if len < 10 { b'0' + len } else { b'A' + (len - 10).min(25) })
    }

    /// Without separators.
    pub(crate) fn compact(&self) -> &[u8] {
        self.compact.get(..self.len).unwrap_or_default()
    }

    /// How the groups lay.
    pub(crate) fn layout(&self) -> &[u8] {
        self.layout.get(..self.layout_len).unwrap_or_default()
    }

    /// Whether there is no separator.
    pub(crate) fn is_bare(&self) -> bool {
        self.layout_len == 1
    }

    /// Whether there is nothing but digits and separators.
    pub(crate) fn is_number(&self) -> bool {
        self.letters == 0
    }

    /// How many letters.
    pub(crate) fn letters(&self) -> usize {
        self.letters
    }

    /// How many digits.
    pub(crate) fn digits(&self) -> usize {
        self.len - self.letters
    }
}
