//! Under which names the values of a result are looked through: an alias says what the client likes, the columns behind it
//! say what the values are.

use std::sync::Arc;

use firsthand_model::statement::{Column, Derivation, OutputColumn};

use crate::detect::Topic;
use crate::labels::Columns;

/// Under more names no value is looked through: each is a look at every cell. A result whose columns are made of more
/// kinds of values than these is seldom, and what has a form of its own is found under any name.
const NAMES_MAX: usize = 4;
/// The same of rows and documents, where a value is looked through only under those that no key stands for.
const ROW_NAMES_MAX: usize = 16;

/// The types of documents: `json`, `jsonb`.
const DOCUMENTS: [u32; 2] = [114, 3802];

/// Names, those that say most first.
type Names = Arc<[Arc<str>]>;

/// For each column of the rows, the names to look under; empty: all their own, and nothing else.
pub(crate) fn of(outputs: &[OutputColumn], columns: Option<&Columns>) -> Vec<Option<Names>> {
    let names: Vec<_> = outputs.iter().map(|output| names(output, columns)).collect();
    if names.iter().any(Option::is_some) { names } else { Vec::new() }
}

/// `None`: its own name.
fn names(output: &OutputColumn, columns: Option<&Columns>) -> Option<Names> {
    let (same, row) = match output.derivation {
        Derivation::Clean => return None,
        Derivation::Same => (true, false),
        Derivation::Row => (false, true),
        Derivation::Derived | Derivation::Mixed | Derivation::Unknown => (false, false),
    };
    // Of several things in a row nobody can tell which is which; in a document their keys tell.
    let several = row || (!same && DOCUMENTS.contains(&output.type_oid));
    let mixed = several && output.sources.iter().any(|source| !says(source));
    let own = Topic::of_column(&output.name);
    let mut found = Found { names: Vec::new(), unknown: None, row };
    for source in &output.sources {
        let handed_on = same || output.kept.contains(source);
        found.take(source, same, handed_on);
        // A view's column has a name that somebody chose, too.
        let listed = columns.and_then(|c| c.of(&source.schema, &source.relation));
        let known = listed.and_then(|list| list.iter().find(|k| k.column.column == source.column));
        for column in known.into_iter().flat_map(|k| &k.behind) {
            found.take(column, same, handed_on);
        }
    }
    let Found { mut names, unknown, .. } = found;
    if names.iter().all(|(topic, _)| *topic == own) {
        // Sources that say nothing leave the word to an alias, but not to one that calls it ordinary.
        return unknown.filter(|_| names.is_empty() && own.is_ordinary()).map(|name| Arc::from([name]));
    }
    if !own.is_ordinary() && own != Topic::Unknown && names.iter().all(|(topic, _)| *topic != own) {
        names.insert(1, (own, Arc::from(output.name.as_str())));
    }
    // Whatever may be a person's name is one under a name that says so.
    if names.iter().any(|(topic, _)| *topic == Topic::Person) {
        names.retain(|(topic, _)| !topic.is_open());
    }
    if mixed && !names.is_empty() {
        // What stands under no key is looked through under no name.
        names.insert(0, (Topic::Unknown, Arc::from("")));
    }
    names.truncate(if row { ROW_NAMES_MAX } else { NAMES_MAX });
    let one = matches!(names.as_slice(), [(topic, _)] if *topic == own);
    (!one).then(|| names.into_iter().map(|(_, name)| name).collect())
}

/// Whether a column's name says what its values are.
fn says(source: &Column) -> bool {
    let topic = Topic::of_column(&source.column);
    topic != Topic::Unknown && !topic.is_ordinary()
}

/// `name` of `products` is no person's: the alias `product_name` says no less.
fn is_of_a_thing(source: &Column) -> bool {
    let relation = source.relation.as_str();
    let one = relation.strip_suffix('s').unwrap_or(relation);
    [relation, one].iter().any(|of| Topic::of_column(&format!("{of}_{}", source.column)).is_ordinary())
}

struct Found {
    /// Each with another topic.
    names: Vec<(Topic, Arc<str>)>,
    /// One of which nothing is known.
    unknown: Option<Arc<str>>,
    /// Of a row or a document: only what is handed on is in it, and its own keys tell most of what is.
    row: bool,
}

impl Found {
    fn take(&mut self, source: &Column, same: bool, handed_on: bool) {
        let name = source.column.as_str();
        let topic = Topic::of_column(name);
        if topic == Topic::Unknown {
            if same && !name.is_empty() {
                self.unknown.get_or_insert_with(|| Arc::from(name));
            }
            return;
        }
        let tells = match topic {
            Topic::Name => handed_on && !is_of_a_thing(source),
            topic if topic.is_ordinary() => false,
            topic => handed_on || (topic.is_of_form() && !self.row),
        };
        if tells && self.names.iter().all(|(known, _)| *known != topic) {
            self.names.push((topic, Arc::from(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, derivation: Derivation, sources: &[&str], kept: &[&str]) -> OutputColumn {
        let column = |name: &&str| {
            let (relation, column) = name.split_once('.').unwrap_or(("t", name));
            let (schema, relation) = ("public".to_owned(), relation.to_owned());
            Column { schema, relation, column: column.to_owned(), labels: Vec::new() }
        };
        OutputColumn {
            name: name.to_owned(),
            sources: sources.iter().map(column).collect(),
            derivation,
            kept: kept.iter().map(column).collect(),
            type_oid: 25,
        }
    }

    /// A column's name, how it is made, of which columns, those that it hands on; and the names to look under.
    type Case = (&'static str, Derivation, Names, Names, Names);
    type Names = &'static [&'static str];

    #[test]
    fn an_alias_says_no_less_than_what_it_stands_for() {
        use Derivation::{Clean, Derived, Mixed, Row, Same};
        let table: [Case; 23] = [
            // Plain columns are looked through as they always were.
            ("card_number", Same, &["card_number"], &[], &[]),
            ("order_id", Same, &["order_id"], &[], &[]),
            ("c7", Same, &["c7"], &[], &[]),
            ("mobile", Same, &["phone"], &[], &[]),
            // What a source says is not unsaid.
            ("order_id", Same, &["card_number"], &[], &["card_number"]),
            ("order_id", Derived, &["card_number"], &["card_number"], &["card_number"]),
            ("max", Derived, &["phone"], &["phone"], &["phone"]),
            ("x", Same, &["name"], &[], &["name"]),
            ("status", Same, &["c7"], &[], &["c7"]),
            ("phone", Same, &["c7"], &[], &[]),
            // Nor what the alias says.
            ("ssn", Same, &["phone"], &[], &["phone", "ssn"]),
            ("total", Mixed, &["first_name", "phone"], &["first_name", "phone"], &["first_name", "phone"]),
            // A word chosen by a name is none, and a number made of numbers is no key of somebody.
            ("kind", Derived, &["first_name"], &[], &[]),
            ("kind", Mixed, &["phone", "first_name"], &[], &["phone"]),
            ("total", Mixed, &["a", "b"], &["a", "b"], &[]),
            ("n", Clean, &[], &[], &[]),
            ("row_to_json", Row, &["phone", "name"], &[], &[]),
            ("to_jsonb", Row, &["phone", "first_name", "k"], &["first_name", "k"], &["", "first_name"]),
            ("to_jsonb", Row, &["phone", "first_name"], &["first_name"], &["first_name"]),
            ("source", Derived, &["first_name"], &["first_name"], &["first_name"]),
            ("customer_name", Same, &["name"], &[], &[]),
            ("product_name", Same, &["products.name"], &[], &[]),
            ("product_name", Same, &["users.name"], &[], &["name"]),
        ];
        for (name, derivation, sources, kept, expected) in table {
            let names = of(&[output(name, derivation, sources, kept)], None);
            let names: Vec<&str> = names.iter().flatten().flat_map(|n| n.iter().map(|n| &**n)).collect();
            assert_eq!(names, expected, "{name} of {sources:?}");
        }
    }
}
