//! A value's mask: always a valid value of the column's type, in the format that the client asked for.
//!
//! A [`Mask`] is made once for a column and used for every row: what does not depend on the value is written down then.
//! What a style cannot do for a type is NULL, the one mask that is right for every type in both formats. NULL stays
//! NULL: callers do not ask for it. Masks carry a shape by which they can be found when somebody writes them back:
//! [`is_mask`].
//!
//! | type | redact | partial | token | generalise | zero |
//! |---|---|---|---|---|---|
//! | text | `[label]` | by label | `tok_label_…` | year, network, or redact | `''` |
//! | numbers | NULL | NULL | a positive number | the first digit | 0 |
//! | bool | NULL | NULL | NULL | NULL | false |
//! | bytea | empty | empty | 16 bytes | NULL | empty |
//! | uuid | NULL | NULL | version 8 | NULL | zeros |
//! | dates and times | NULL | NULL | NULL | the year, the hour | 2000-01-01, midnight |
//! | inet, macaddr | zeros | the network, the maker | NULL | as partial | zeros |
//! | json | leaf by leaf | | | | |
//! | arrays, records | element by element | | | | |
//! | text of no type | by its look | | | | |
//! | ranges | NULL | NULL | NULL | NULL | empty |
//! | others | NULL | NULL | NULL | NULL | NULL |

mod json;
mod kind;
mod nested;
mod network;
mod number;
mod shape;
mod text;
mod time;
mod untyped;

use super::Format;
use kind::{Kind, kind};

pub use json::{Leaf, Part, walk_json};
pub use nested::{Rewrite, RewriteTyped, array_binary, array_text, record_binary, record_text};
pub use shape::is_mask;

/// How a value is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// A marker that names the label.
    Redact,
    /// What is needed to recognise it stays.
    Partial,
    /// A keyed token: equal values stay equal.
    Token,
    /// NULL.
    Null,
    /// Made coarse.
    Generalise,
    /// The type's zero.
    Zero,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Redact, Self::Partial, Self::Token, Self::Null, Self::Generalise, Self::Zero];
}

/// Makes tokens: a keyed hash of a value's text under a label.
pub trait Tokens {
    /// Equal values under equal labels give equal tokens.
    fn token(&self, label: &str, value: &[u8]) -> [u8; 16];
}

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The type's oid.
    pub oid: u32,
    /// The type's modifier; -1: none.
    pub modifier: i32,
    /// The format they come in.
    pub format: Format,
}

/// How deep arrays, records and documents may stand in each other; deeper ones are masked as a whole. PostgreSQL has no
/// such limit, but each level takes stack.
const DEPTH_MAX: u8 = 64;

/// What is written for every value alike.
#[derive(Clone, Debug)]
enum Always {
    Null,
    This(Box<[u8]>),
}

/// The mask of one column.
#[derive(Clone, Debug)]
pub struct Mask {
    style: Style,
    /// As given.
    label: Box<str>,
    /// Letters, digits and a few marks only: what masks show.
    shown: Box<str>,
    typed: Typed,
    kind: Kind,
    keep_keys: bool,
    keep_form: bool,
    always: Option<Always>,
}

impl Mask {
    /// The mask of a column's values.
    #[must_use]
    pub fn new(style: Style, label: &str, typed: Typed) -> Self {
        Self::of(style, label, typed, kind(typed.oid))
    }

    /// The mask of text whose type is not told: what a value looks like decides.
    #[must_use]
    pub fn untyped(style: Style, label: &str) -> Self {
        Self::of(style, label, Typed { oid: 0, modifier: -1, format: Format::Text }, Kind::Untyped)
    }

    /// Keys of JSON objects are masked too: for documents whose keys are made of values.
    #[must_use]
    pub fn with_keys(mut self) -> Self {
        self.keep_keys = false;
        self
    }

    /// Nothing of a value's form is left: an array has one element, a document is a text. What is made of a value can be
    /// made to look like anything, bit by bit: so it is one mask for all values, and what a style keeps of one is dropped.
    #[must_use]
    pub fn formless(mut self) -> Self {
        self.keep_form = false;
        if matches!(self.style, Style::Partial | Style::Token | Style::Generalise) {
            self.style = Style::Redact;
        }
        self.settled()
    }

    fn of(style: Style, label: &str, typed: Typed, kind: Kind) -> Self {
        let it = Self {
            style,
            label: label.into(),
            shown: shape::shown(label),
            typed,
            kind,
            keep_keys: true,
            keep_form: true,
            always: None,
        };
        it.settled()
    }

    /// With what is the same for every value written down.
    fn settled(mut self) -> Self {
        if self.style == Style::Null {
            self.always = Some(Always::Null);
        } else if self.is_constant() {
            let (mut out, aid) = (Vec::new(), Aid { tokens: &NoTokens, depth: 0 });
            let written = self.write(self.kind, self.typed, &[], aid, &mut out);
            self.always = Some(written.map_or(Always::Null, |()| Always::This(out.into())));
        }
        self
    }

    /// Whether the mask is the same for every value.
    fn is_constant(&self) -> bool {
        match (self.kind, self.style) {
            _ if !self.keep_form => true,
            (Kind::Void | Kind::Untyped | Kind::Json | Kind::Jsonb | Kind::Array(_) | Kind::Record, _) => {
                false
            }
            (Kind::Bits | Kind::Net(_), _) => false,
            (_, Style::Redact | Style::Null | Style::Zero) => true,
            (Kind::Other, _) => true,
            _ => false,
        }
    }

    /// How.
    #[must_use]
    pub fn style(&self) -> Style {
        self.style
    }

    /// Appends the mask of a value that is not NULL. False: it is NULL, and nothing was appended.
    #[inline]
    pub fn mask(&self, value: &[u8], tokens: &dyn Tokens, out: &mut Vec<u8>) -> bool {
        match &self.always {
            Some(Always::Null) => false,
            Some(Always::This(bytes)) => {
                out.extend_from_slice(bytes);
                true
            }
            None => self.part(self.kind, self.typed, value, Aid { tokens, depth: 0 }, out),
        }
    }

    /// A part of a value, or all of it. False: NULL.
    fn part(&self, kind: Kind, typed: Typed, value: &[u8], aid: Aid<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let done = aid.depth <= DEPTH_MAX && self.write(kind, typed, value, aid, out).is_some();
        if !done {
            out.truncate(start);
        }
        done
    }

    /// Writes a mask; `None`: NULL, and what was written is to be thrown away.
    fn write(&self, kind: Kind, typed: Typed, value: &[u8], aid: Aid<'_>, out: &mut Vec<u8>) -> Option<()> {
        let tokens = aid.tokens;
        if self.style == Style::Null {
            return None;
        }
        let binary = typed.format == Format::Binary;
        if !self.keep_form
            && let Some(done) = self.without_form(kind, typed, aid, out)
        {
            return done;
        }
        match kind {
            Kind::Text | Kind::Padded | Kind::Name | Kind::Byte => self.text(kind, typed, value, tokens, out),
            Kind::Untyped => self.untyped_value(value, aid, out),
            Kind::Json => self.document(value, tokens, out),
            Kind::Jsonb if binary => {
                out.push(1);
                self.document(value.strip_prefix(&[1])?, tokens, out)
            }
            Kind::Jsonb => self.document(value, tokens, out),
            Kind::Array(element) => self.array(element, typed, value, aid, out),
            Kind::Record => self.record(typed, value, aid, out),
            Kind::Void => value.is_empty().then_some(()),
            Kind::Range | Kind::Multirange | Kind::Words => self.empty(kind, binary, out),
            Kind::Other => None,
            Kind::Net(_) | Kind::Macaddr | Kind::Macaddr8 => self.network(kind, binary, value, out),
            Kind::Date | Kind::Time | Kind::Timetz | Kind::Timestamp | Kind::Timestamptz | Kind::Interval => {
                self.time(kind, binary, value, out)
            }
            Kind::Bytea | Kind::Uuid => self.bytes(kind, typed, value, tokens, out),
            _ => self.number(kind, typed, value, tokens, out),
        }
    }

    /// The token of a value, which is the same for its text and its binary form.
    fn token_of(&self, typed: Typed, value: &[u8], tokens: &dyn Tokens) -> Option<[u8; 16]> {
        let text = typed.format == Format::Text;
        if text || matches!(kind(typed.oid), Kind::Text | Kind::Padded | Kind::Name) {
            // A char(n) and a varchar that hold the same must join.
            let value = if typed.oid == 1042 { value.trim_ascii_end() } else { value };
            return Some(tokens.token(&self.label, value));
        }
        let mut form = Vec::with_capacity(value.len() * 2);
        super::value::text_form(&mut form, typed.oid, value)?;
        Some(tokens.token(&self.label, &form))
    }

    fn bytes(
        &self,
        kind: Kind,
        typed: Typed,
        value: &[u8],
        tokens: &dyn Tokens,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let binary = typed.format == Format::Binary;
        let mut bytes = [0; 16];
        match (kind, self.style) {
            (_, Style::Token) => bytes = self.token_of(typed, value, tokens)?,
            (Kind::Bytea, Style::Redact | Style::Partial | Style::Zero) => {
                out.extend_from_slice(if binary { b"" } else { b"\\x" });
                return Some(());
            }
            (Kind::Uuid, Style::Zero) => {}
            _ => return None,
        }
        if kind == Kind::Uuid {
            if self.style == Style::Token {
                // RFC 9562: version 8 (made by a rule of one's own), variant 10.
                let [_, _, _, _, _, _, six, _, eight, ..] = &mut bytes;
                (*six, *eight) = (*six & 0x0f | 0x80, *eight & 0x3f | 0x80);
            }
            if binary {
                out.extend_from_slice(&bytes);
            } else {
                for (i, byte) in bytes.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        out.push(b'-');
                    }
                    crate::json::hex(out, &[*byte]);
                }
            }
            return Some(());
        }
        if binary {
            out.extend_from_slice(&bytes);
        } else {
            out.extend_from_slice(b"\\x");
            crate::json::hex(out, &bytes);
        }
        Some(())
    }

    /// Ranges and lists of words have only the empty one.
    fn empty(&self, kind: Kind, binary: bool, out: &mut Vec<u8>) -> Option<()> {
        if self.style != Style::Zero {
            return None;
        }
        let bytes: &[u8] = match (kind, binary) {
            (Kind::Range, false) => b"empty",
            (Kind::Range, true) => &[1],
            (Kind::Multirange, false) => b"{}",
            (Kind::Words, false) => b"",
            _ => &[0; 4],
        };
        out.extend_from_slice(bytes);
        Some(())
    }
}

/// What a mask takes besides the value.
#[derive(Clone, Copy)]
struct Aid<'t> {
    tokens: &'t dyn Tokens,
    /// Of the values around it.
    depth: u8,
}

impl Aid<'_> {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

/// For masks that do not depend on the value.
struct NoTokens;

impl Tokens for NoTokens {
    fn token(&self, _: &str, _: &[u8]) -> [u8; 16] {
        [0; 16]
    }
}

#[cfg(test)]
mod tests;
