//! What is known of an expression: its type where that is easy, and the columns it is made of.

use std::rc::Rc;

use firsthand_model::statement::Derivation;

use crate::catalog::Oid;

/// A column met, by its place in `Found::columns`.
pub(super) type Source = u32;

/// Types that are asked for by number.
pub(super) mod oid {
    use super::Oid;
    pub(in crate::resolve) const BOOL: Oid = 16;
    pub(in crate::resolve) const INT8: Oid = 20;
    pub(in crate::resolve) const INT4: Oid = 23;
    pub(in crate::resolve) const TEXT: Oid = 25;
    pub(in crate::resolve) const JSON: Oid = 114;
    pub(in crate::resolve) const UNKNOWN: Oid = 705;
    pub(in crate::resolve) const NUMERIC: Oid = 1700;
    pub(in crate::resolve) const RECORD: Oid = 2249;
    pub(in crate::resolve) const JSONB: Oid = 3802;
}

/// A column of a row: its name and what it is made of.
pub(super) type Field = (Rc<str>, Value);

/// The fields of a row, or of a document made of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    of: Vec<Field>,
    /// What an alias calls them, where the server may go by that or by their own names.
    also: Vec<Rc<str>>,
}

impl std::ops::Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.of
    }
}

/// What is known of an expression.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// 0: not known.
    pub(super) type_oid: Oid,
    /// Sorted, each once.
    pub(super) sources: Vec<Source>,
    pub(super) how: Derivation,
    /// Those of the sources whose values it hands on, whole or in part, rather than only tells of. Sorted, each once.
    pub(super) kept: Vec<Source>,
    /// Of a row, or a document made of one: its fields, where they are known.
    pub(super) fields: Option<Rc<Fields>>,
}

impl Default for Value {
    fn default() -> Self {
        Self::plain(0)
    }
}

impl Value {
    /// Without a source.
    pub(super) const fn plain(type_oid: Oid) -> Self {
        Self { type_oid, sources: Vec::new(), how: Derivation::Clean, kept: Vec::new(), fields: None }
    }

    /// Anything in reach.
    pub(super) const fn unknown(type_oid: Oid) -> Self {
        Self { type_oid, sources: Vec::new(), how: Derivation::Unknown, kept: Vec::new(), fields: None }
    }

    pub(super) fn column(type_oid: Oid, source: Source) -> Self {
        Self { type_oid, sources: vec![source], how: Derivation::Same, kept: vec![source], fields: None }
    }

    /// With another type, and nothing else.
    pub(super) fn typed(mut self, type_oid: Oid) -> Self {
        self.type_oid = type_oid;
        self
    }

    /// Whether it is made of no column, as far as is known of all of it.
    pub(super) fn says_nothing(&self) -> bool {
        self.sources.is_empty() && self.how != Derivation::Unknown
    }

    /// Made of another value as well, which it may hand on.
    pub(super) fn joined(&self, other: &Self) -> Self {
        Self::made(self.type_oid, [self, other]).keeping([self, other])
    }

    /// Takes another's sources in. `how` is left to [`Value::made`] or [`Value::alike`].
    pub(super) fn take(&mut self, other: &Self) {
        if other.how == Derivation::Unknown {
            self.how = Derivation::Unknown;
        } else if other.how == Derivation::Row && self.how != Derivation::Unknown {
            self.how = Derivation::Row;
        }
        for source in &other.sources {
            if let Err(at) = self.sources.binary_search(source) {
                self.sources.insert(at, *source);
            }
        }
    }

    /// Made of others by an expression.
    pub(super) fn made<'v>(type_oid: Oid, of: impl IntoIterator<Item = &'v Self>) -> Self {
        let mut it = Self::plain(type_oid);
        of.into_iter().for_each(|other| it.take(other));
        it.settle();
        it
    }

    /// With what these hand on handed on.
    pub(super) fn keeping<'v>(mut self, of: impl IntoIterator<Item = &'v Self>) -> Self {
        for source in of.into_iter().flat_map(|other| &other.kept) {
            if let Err(at) = self.kept.binary_search(source)
                && self.sources.binary_search(source).is_ok()
            {
                self.kept.insert(at, *source);
            }
        }
        self
    }

    fn settle(&mut self) {
        if !matches!(self.how, Derivation::Unknown | Derivation::Row) {
            self.how = match self.sources.len() {
                0 => Derivation::Clean,
                1 => Derivation::Derived,
                _ => Derivation::Mixed,
            };
        }
    }

    /// One of several as it is: the arms of a UNION, a merged column of a join. The same column stays the same.
    pub(super) fn alike(self, other: &Self) -> Self {
        let type_oid = if self.type_oid == other.type_oid || other.type_oid == oid::UNKNOWN {
            self.type_oid
        } else if self.type_oid == oid::UNKNOWN {
            other.type_oid
        } else {
            0
        };
        // A known value beside a column's: what a mask leaves of either may be that of the other.
        let beside = |it: &Self| match it.how {
            Derivation::Same => Derivation::Derived,
            how => how,
        };
        if other.sources.is_empty() && other.how == Derivation::Clean {
            return Self { fields: None, type_oid, how: beside(&self), ..self };
        }
        if self.sources.is_empty() && self.how == Derivation::Clean {
            return Self { fields: None, type_oid, how: beside(other), ..other.clone() };
        }
        if self.sources == other.sources && self.how == other.how {
            return Self { type_oid, fields: None, ..self };
        }
        Self::made(type_oid, [&self, other]).keeping([&self, other])
    }

    /// A row of these fields.
    pub(super) fn row(type_oid: Oid, fields: Vec<Field>) -> Self {
        let values = || fields.iter().map(|(_, value)| value);
        let mut it = Self::made(type_oid, values()).keeping(values());
        if it.how != Derivation::Unknown && !it.sources.is_empty() {
            it.how = Derivation::Row;
        }
        it.with_fields(fields)
    }

    /// The same value, with these fields.
    pub(super) fn with_fields(mut self, fields: Vec<Field>) -> Self {
        self.fields = Some(Rc::new(Fields { of: fields, also: Vec::new() }));
        self
    }

    /// The same row, whose fields an alias calls by other names.
    pub(super) fn called(mut self, names: Vec<Rc<str>>) -> Self {
        if let Some(fields) = self.fields.as_mut().map(Rc::make_mut) {
            fields.also = names;
        }
        self
    }

    /// The field of that name, if the fields are known. Of several of one name, which JSON has the last of, it may be any.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        let fields = self.fields.as_ref()?;
        let called = |at: usize, own: &str| own == name || fields.also.get(at).is_some_and(|a| &**a == name);
        let mut named =
            fields.iter().enumerate().filter(|(at, (own, _))| called(*at, own)).map(|(_, (_, v))| v);
        let first = named.next()?.clone();
        Some(named.fold(first, |found, other| found.alike(other)))
    }

    /// The fields of a row by name; none if they are not known.
    pub(super) fn named_fields(&self) -> Option<Vec<Field>> {
        let fields = self.fields.as_ref()?;
        if fields.also.is_empty() {
            return Some(fields.to_vec());
        }
        let named =
            |(name, value): &Field| (Rc::clone(name), self.field(name).unwrap_or_else(|| value.clone()));
        Some(fields.iter().map(named).collect())
    }
}
