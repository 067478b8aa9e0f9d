//! Which labels a column has: from the rules' `[[label]]`, and from the catalog itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use firsthand_model::statement::Column;

use crate::compiled::Compiled;

/// A column of a target, as its catalog lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownColumn {
    /// Its name, its relation, and the labels that the catalog gives it (for a view's column: also those of the columns
    /// behind it).
    pub column: Column,
    /// The server's number of the relation.
    pub oid: u32,
    /// The column's number in it.
    pub attnum: i16,
    /// The columns that a view's column is made of; for a table that inherits, or is a partition: its parents' columns of
    /// the same name.
    pub behind: Vec<Column>,
}

/// The columns of one target, by relation.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    by_relation: HashMap<(String, String), Vec<KnownColumn>>,
}

impl Columns {
    /// Of a list in any order.
    #[must_use]
    pub fn new(columns: Vec<KnownColumn>) -> Self {
        let mut by_relation: HashMap<_, Vec<KnownColumn>> = HashMap::new();
        for column in columns {
            let key = (column.column.schema.clone(), column.column.relation.clone());
            by_relation.entry(key).or_default().push(column);
        }
        Self { by_relation }
    }

    /// The columns of a relation; `None` when it is not known.
    pub(crate) fn of(&self, schema: &str, relation: &str) -> Option<&[KnownColumn]> {
        self.by_relation.get(&(schema.to_owned(), relation.to_owned())).map(Vec::as_slice)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &KnownColumn> {
        self.by_relation.values().flatten()
    }
}

/// The labels of a column on a target, sorted. An empty column name stands for any of the relation's columns: it has all
/// labels that one of them may have.
pub(crate) fn labels_of(compiled: &Compiled, target: &str, column: &Column) -> Vec<Arc<str>> {
    let mut found: BTreeSet<Arc<str>> = column.labels.iter().map(|l| Arc::from(l.as_str())).collect();
    let (schema, relation, name) = (&column.schema, &column.relation, &column.column);
    for label in &compiled.labels {
        let here = label.targets.is_empty() || label.targets.iter().any(|p| p.matches(target));
        let named = label.columns.iter().any(|p| p.matches(schema, relation, name));
        // An exception is one column's; it does not speak for any of a relation's columns.
        let spared = !name.is_empty() && label.except.iter().any(|p| p.matches(schema, relation, name));
        if here && named && !spared {
            found.insert(Arc::from(label.label.as_str()));
        }
    }
    found.into_iter().collect()
}

/// The labels of a column with those of the columns behind it.
pub(crate) fn labels_behind(compiled: &Compiled, target: &str, known: &KnownColumn) -> Vec<Arc<str>> {
    let mut found: BTreeSet<Arc<str>> = labels_of(compiled, target, &known.column).into_iter().collect();
    for column in &known.behind {
        found.extend(labels_of(compiled, target, column));
    }
    found.into_iter().collect()
}
