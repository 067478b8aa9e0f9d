//! Operators: which one a place may mean, and what running it does.

use std::sync::Arc;

use super::Resolver;
use super::value::{Value, oid};
use crate::catalog::{FIRST_USER_OID, Oid, Operator};

impl Resolver<'_> {
    /// An operator: the type of its result.
    pub(super) fn operator(
        &mut self,
        schema: Option<&str>,
        name: &str,
        left: Option<&Value>,
        right: Option<&Value>,
    ) -> Oid {
        // Rows may be compared field by field, each with the operator of its types.
        if let (Some(a), Some(b)) =
            (left.and_then(|v| v.fields.clone()), right.and_then(|v| v.fields.clone()))
            && a.len() == b.len()
        {
            for ((_, one), (_, other)) in a.iter().zip(b.iter()) {
                if self.enter() {
                    self.operator(schema, name, Some(one), Some(other));
                }
                self.leave();
            }
        }
        if !self.path.is_certain() && schema.is_none() {
            self.found.opaque("search-path", name);
        }
        let types = (left.map_or(0, |v| v.type_oid), right.map_or(0, |v| v.type_oid));
        let Some(all) = self.catalog.operators.get(name) else {
            // `!=` is another spelling, and what the snapshot does not have may exist.
            if name == "!=" {
                return self.operator(schema, "<>", left, right);
            }
            self.found.opaque("operator", name);
            return 0;
        };
        let prefix = left.is_none();
        let mut fitting: Vec<(usize, &Arc<Operator>)> = all
            .iter()
            .filter(|o| (o.left == 0) == prefix)
            .filter_map(|o| Some((self.rank(schema, o.namespace)?, o)))
            .collect();
        let supported = |o: &Operator| self.catalog.operator_functions.contains_key(&o.oid);
        let decides = |o: &Operator| o.oid >= FIRST_USER_OID || supported(o);
        if fitting.iter().any(|(_, o)| decides(o)) || self.has_casts_of_own_types() {
            fitting = self.narrow(fitting, types, prefix);
        }
        if fitting.is_empty() {
            self.found.opaque("operator", name);
            return 0;
        }
        let (users, classes) = self.behind(&fitting);
        if name == "||" {
            // What joins a text and anything else casts that to a text, as if it was written.
            left.into_iter()
                .chain(right)
                .for_each(|value| self.cast_function(value.type_oid, oid::TEXT, true));
        }
        let taken: Vec<[Oid; 3]> = fitting.iter().map(|(_, o)| [o.left, o.right, o.result]).collect();
        let exact = fitting.iter().find(|(_, o)| (o.left, o.right) == types).map(|(_, o)| o.result);
        let boolean = fitting.iter().all(|(_, o)| o.result == oid::BOOL);
        let only = (fitting.len() == 1).then(|| fitting.first().map_or(0, |(_, o)| o.result));
        for function in users {
            self.run_oid(function, "operator", name);
        }
        classes.into_iter().for_each(|function| self.support(function, name));
        self.coerced_operands(&taken, left, right);
        let result = if boolean { oid::BOOL } else { exact.or(only).unwrap_or(0) };
        self.type_orders(result);
        result
    }

    /// The functions of users' operators; and those of classes, default or not, that sort, join and hash by any of these.
    fn behind(&self, fitting: &[(usize, &Arc<Operator>)]) -> (Vec<Oid>, Vec<Oid>) {
        let users = fitting.iter().filter(|(_, o)| o.oid >= FIRST_USER_OID);
        let users = users
            .flat_map(|(_, o)| std::iter::once(o.function).chain(o.estimators.iter().copied()))
            .collect();
        let classes = fitting.iter().filter_map(|(_, o)| self.catalog.operator_functions.get(&o.oid));
        (users, classes.flatten().copied().collect())
    }

    /// Operands where operators take these types, and give the third.
    fn coerced_operands(&mut self, taken: &[[Oid; 3]], left: Option<&Value>, right: Option<&Value>) {
        if !self.has_casts_of_own_types() {
            return;
        }
        let values: Vec<Value> = left.into_iter().chain(right).cloned().collect();
        for [first, second, result] in taken {
            let wanted = [*first, *second];
            let wanted = if left.is_some() { wanted.as_slice() } else { wanted.get(1..).unwrap_or_default() };
            self.coerced_arguments(wanted, 0, &values, false);
            self.meets(*result);
        }
    }

    /// Without the operators that an earlier schema's hides, and where types decide, only those that fit.
    fn narrow<'o>(
        &self,
        mut all: Vec<(usize, &'o Arc<Operator>)>,
        types: (Oid, Oid),
        prefix: bool,
    ) -> Vec<(usize, &'o Arc<Operator>)> {
        if !self.path.is_certain() {
            return all;
        }
        all.sort_by_key(|(rank, o)| (*rank, o.oid));
        let mut kept: Vec<(usize, &Arc<Operator>)> = Vec::new();
        for (rank, o) in all {
            let hides = |(other, k): &(usize, &Arc<Operator>)| {
                *other < rank && (k.left, k.right) == (o.left, o.right)
            };
            if !kept.iter().any(hides) {
                kept.push((rank, o));
            }
        }
        // A literal without a type is taken for the other side's type, if there is such an operator.
        let (left, right) = match types {
            (oid::UNKNOWN, other) if !prefix => (other, other),
            (other, oid::UNKNOWN) => (other, other),
            both => both,
        };
        let fits = |o: &Operator| (prefix || self.accepts(o.left, types.0)) && self.accepts(o.right, types.1);
        if let Some((_, exact)) = kept.iter().find(|(_, o)| o.right == right && (prefix || o.left == left)) {
            // What was parsed earlier goes on meaning what it met then, whatever has been made since.
            let (exact, stored) = (exact.oid, self.stored);
            kept.retain(|(_, o)| o.oid == exact || (stored && o.oid >= FIRST_USER_OID && fits(o)));
            return kept;
        }
        if kept.iter().any(|(_, o)| fits(o)) {
            kept.retain(|(_, o)| fits(o));
        }
        kept
    }

    /// `=` as the grammar means it: by the path, like any other.
    pub(super) fn equality(&mut self, left: &Value, right: &Value) {
        self.operator(None, "=", Some(left), Some(right));
    }
}
