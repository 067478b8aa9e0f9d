//! Duties to mask what comes back: made by policy, carried by the permit, carried out by the protocol.

use std::collections::HashMap;
use std::sync::Arc;

/// How a value is masked. Whatever the style, what comes out is a valid value of the column's type in the format asked
/// for; where a style cannot do that for a type, NULL is used. NULL stays NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// A marker that names the label: `[email]`.
    Redact,
    /// What is needed to recognise it stays: last four digits, the domain.
    Partial,
    /// A keyed token (HMAC-SHA-256 per label): equal values stay equal, so joins work.
    Token,
    /// NULL.
    Null,
    /// Made coarse: the year, the network.
    Generalise,
    /// The type's zero: 0, '', an empty array.
    Zero,
}

impl Style {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Redact, Self::Partial, Self::Token, Self::Null, Self::Generalise, Self::Zero];

    /// The word in rules and in the record.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Partial => "partial",
            Self::Token => "token",
            Self::Null => "null",
            Self::Generalise => "generalise",
            Self::Zero => "zero",
        }
    }
}

/// The mask of one column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnMask {
    /// What the values are: `email`, `card`; several, joined by `+`.
    pub label: Arc<str>,
    /// The rule that says so.
    pub rule: Arc<str>,
    /// How.
    pub style: Style,
    /// Nothing of a value's form is left either: how long an array is and where it begins, what keys a document has. For what
    /// an expression has made, whose form may be a value.
    pub formless: bool,
}

/// What has to be masked in one command's reply.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MaskDuty {
    /// For each column of the rows, in order, what its lineage asks for. `None`: there is no lineage to go by.
    pub columns: Option<Vec<Option<ColumnMask>>>,
    /// For columns that the target itself says come straight from a table's column: by (relation oid, attribute number).
    /// Shared by all commands on a target.
    pub origins: Arc<HashMap<(u32, i16), ColumnMask>>,
    /// Values of columns without a mask are looked through for what needs one.
    pub scan: bool,
    /// Where the name of a column of the rows is not all that tells what its values are: the names under which they are
    /// looked through, those of the columns that they come from. In the rows' order; empty: their own names do.
    pub names: Vec<Option<Arc<[Arc<str>]>>>,
    /// Which texts that the target makes (errors, notices, notifications) may hold values: they are replaced.
    pub hush: Hush,
    /// What it stores may hold values in columns without a mask that are masked elsewhere.
    pub spills: bool,
    /// What the command says itself is looked through before it is written down, and what the target says of it before it is
    /// told. Also of a command that is refused.
    pub texts: bool,
    /// For each relation that is written, in order: its columns with their masks. What the client sends for them stands in
    /// the record.
    pub written: Vec<Written>,
}

/// Which texts of the target are replaced. Each holds for those that stand before it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Hush {
    /// None.
    #[default]
    Nothing,
    /// Errors about data: they cite a value, and nothing in them says of which column it is.
    Data,
    /// All that may hold a value.
    All,
}

/// The columns of a relation that is written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Written {
    /// Names and masks, in the relation's order. Empty: not known.
    pub columns: Vec<(String, Option<ColumnMask>)>,
}

impl MaskDuty {
    /// Only that texts are looked through.
    #[must_use]
    pub fn of_texts(texts: bool) -> Self {
        Self { texts, ..Self::default() }
    }

    /// Whether nothing has to be done to a reply's values, nor any text withheld.
    pub fn is_empty(&self) -> bool {
        let named = self.columns.as_ref().is_some_and(|c| c.iter().any(Option::is_some));
        !named && self.origins.is_empty() && !self.scan && self.hush == Hush::Nothing
    }
}
