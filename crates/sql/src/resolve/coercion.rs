//! Casts that happen unasked, between types of PostgreSQL's own, where a user has made one with a function: a value stands
//! where one of another type is wanted, or several values must become one type.
//!
//! Casts from or to a user's type are not looked at here: those count as soon as such a type is in play (`types.rs`).

use super::from::{Columns, Table};
use super::value::{Value, oid};
use super::{Kind, Resolver};
use crate::catalog::{Cast, FIRST_USER_OID, Oid};

/// Pseudo-types that stand for one type in all places of a call; those of arrays for arrays of it.
const ANY_ELEMENT: [Oid; 5] = [2283, 2776, 3500, 5077, 5079];
pub(super) const ANY_ARRAY: [Oid; 2] = [2277, 5078];
/// `anynonarray`, `anycompatiblenonarray`.
pub(super) const ANY_NON_ARRAY: [Oid; 2] = [2776, 5079];
pub(super) const ANY_RANGE: [Oid; 4] = [3831, 5080, 4537, 4538];

/// The pseudo-types that are a common type, rather than the same.
pub(super) const ANY_COMPATIBLE: Oid = 5077;
pub(super) const ANY_COMPATIBLE_ARRAY: Oid = 5078;
const ANY_COMPATIBLE_NONARRAY: Oid = 5079;

impl Resolver<'_> {
    /// Whether there is such a cast at all.
    pub(super) fn has_casts_of_own_types(&self) -> bool {
        self.catalog.user_casts.iter().any(is_of_own_types)
    }

    /// A value of this type has been met.
    pub(super) fn meets(&mut self, type_oid: Oid) {
        if type_oid == oid::UNKNOWN || !self.has_casts_of_own_types() {
            return;
        }
        self.types_met.insert(type_oid);
        self.types_met.insert(self.catalog.base_type(type_oid));
        let element = self.element_of(type_oid);
        if element != 0 {
            self.types_met.insert(self.catalog.base_type(element));
        }
    }

    /// A value of a type that nothing tells: it may be of any.
    pub(super) fn meets_any(&mut self) {
        self.any_type_met = true;
    }

    /// A value where one of another type is wanted. 0: of which is not known.
    pub(super) fn coerced(&mut self, value: &Value, wanted: Oid) {
        if !self.has_casts_of_own_types() {
            return;
        }
        self.coerced_type(value.type_oid, wanted, b'i');
        let (from, to) = (self.element_of(value.type_oid), self.element_of(wanted));
        let of_arrays = match (value.type_oid, wanted) {
            (0, _) => to != 0,
            (_, 0) => from != 0,
            _ => from != 0 && to != 0,
        };
        if of_arrays {
            self.coerced_type(from, to, b'i');
        }
        if let (Some(fields), Some(relation)) = (&value.fields, self.catalog.row_type(wanted).cloned()) {
            let columns = relation.columns.iter().map(|c| c.type_oid);
            fields
                .iter()
                .zip(columns)
                .for_each(|((_, field), to)| self.coerced_type(field.type_oid, to, b'i'));
        }
    }

    /// A value that is stored in this column of a table, or in any of them.
    pub(super) fn assigned(&mut self, value: &Value, table: &Table, column: &str) {
        if !self.has_casts_of_own_types() {
            return;
        }
        let types: Vec<Oid> = match &table.columns {
            Columns::Of(relation, _) => match relation.column(column) {
                Some(column) => vec![column.type_oid],
                None => relation.columns.iter().map(|c| c.type_oid).collect(),
            },
            Columns::Given(_) | Columns::Open => vec![0],
        };
        let fields = value.fields.iter().flat_map(|fields| fields.iter()).map(|(_, field)| field.type_oid);
        let values: Vec<Oid> = std::iter::once(value.type_oid).chain(fields).collect();
        for to in types {
            for from in &values {
                self.coerced_type(*from, to, b'a');
                let (element, wanted) = (self.element_of(*from), self.element_of(to));
                if element != 0 && wanted != 0 {
                    self.coerced_type(element, wanted, b'a');
                }
            }
        }
    }

    /// `context`: a cast in an assignment (`a`), or in an expression (`i`).
    fn coerced_type(&mut self, from: Oid, to: Oid, context: u8) {
        if from == oid::UNKNOWN || (from == to && from != 0) {
            return;
        }
        let (from_base, to_base) = (self.catalog.base_type(from), self.catalog.base_type(to));
        let runs = |c: &&Cast| {
            let met = self.any_type_met || self.types_met.contains(&c.source);
            let from = if from == 0 { met } else { c.source == from || c.source == from_base };
            let unasked = c.context == b'i' || c.context == context;
            from && (to == 0 || c.target == to_base) && unasked && is_of_own_types(c)
        };
        let casts: Vec<Oid> = self.catalog.user_casts.iter().filter(runs).map(|c| c.function).collect();
        for function in casts {
            if !self.casts_seen.contains(&function) {
                self.casts_seen.push(function);
                self.run_oid(function, "cast", "");
            }
        }
    }

    /// Several values that become one type, whichever of theirs it is.
    pub(super) fn brought_together<'v>(&mut self, values: impl IntoIterator<Item = &'v Value>) {
        if !self.has_casts_of_own_types() {
            return;
        }
        let values: Vec<&Value> = values.into_iter().filter(|v| v.type_oid != oid::UNKNOWN).collect();
        let mut types: Vec<Oid> = values.iter().map(|v| v.type_oid).collect();
        types.sort_unstable();
        types.dedup();
        if values.len() < 2 || (types.len() == 1 && types != [0]) {
            return;
        }
        let several_unknown = values.iter().filter(|v| v.type_oid == 0).count() > 1;
        for value in values {
            for to in types.iter().filter(|to| **to != value.type_oid || (**to == 0 && several_unknown)) {
                self.coerced(value, *to);
            }
        }
    }

    /// The arguments of a call of a function or operator that takes these types. `loose`: in which order is not known.
    pub(super) fn coerced_arguments(&mut self, wanted: &[Oid], variadic: Oid, values: &[Value], loose: bool) {
        if !self.has_casts_of_own_types() {
            return;
        }
        let mut together: Vec<Value> = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let own = wanted.get(at.min(wanted.len().saturating_sub(1))).copied();
            let last = variadic != 0 && at + 1 >= wanted.len();
            let places = if loose { wanted } else { own.as_slice() };
            for to in
                places.iter().copied().chain(Some(variadic).filter(|_| last || (loose && variadic != 0)))
            {
                match self.part_of(to, value.type_oid) {
                    Some(part) => together.push(Value::plain(part)),
                    None if self.is_pseudo(to) => {}
                    None => self.coerced(value, to),
                }
            }
        }
        self.brought_together(&together);
    }

    fn is_pseudo(&self, type_oid: Oid) -> bool {
        self.catalog.type_by_oid(type_oid).is_none_or(|t| t.kind == b'p')
    }

    /// Of a value given for a polymorphic argument: the type that all of them share.
    fn part_of(&self, wanted: Oid, actual: Oid) -> Option<Oid> {
        if ANY_ELEMENT.contains(&wanted) {
            return Some(actual);
        }
        let part = if ANY_ARRAY.contains(&wanted) {
            self.element_of(actual)
        } else if ANY_RANGE.contains(&wanted) {
            self.catalog.type_by_oid(self.catalog.base_type(actual)).map_or(0, |t| t.base)
        } else {
            return None;
        };
        // Where it is known to be no array or range, the call means something else.
        Some(if part == 0 && actual != 0 { oid::UNKNOWN } else { part })
    }

    /// The type that the server finds for values of which one is taken: only told when they agree.
    pub(super) fn common_type<'v>(&self, values: impl IntoIterator<Item = &'v Value>) -> Oid {
        let (mut common, mut literal) = (None, false);
        for value in values {
            match (value.type_oid, common) {
                (oid::UNKNOWN, _) => literal = true,
                (own, None) => common = Some(own),
                (own, Some(known)) if own == known => {}
                _ => return 0,
            }
        }
        match common {
            // Next to a literal a domain is what it is based on.
            Some(known) if literal => self.catalog.base_type(known),
            Some(known) => known,
            None => oid::TEXT,
        }
    }

    /// The result of a function that gives what its arguments have in common; `None`: it is no such function.
    pub(super) fn compatible_result(&self, result: Oid, wanted: &[Oid], values: &[Value]) -> Option<Oid> {
        if !matches!(result, ANY_COMPATIBLE | ANY_COMPATIBLE_ARRAY | ANY_COMPATIBLE_NONARRAY) {
            return None;
        }
        let parts: Vec<Value> = wanted
            .iter()
            .zip(values)
            .filter_map(|(to, value)| match *to {
                ANY_COMPATIBLE | ANY_COMPATIBLE_NONARRAY => Some(value.type_oid),
                ANY_COMPATIBLE_ARRAY => Some(self.element_of(value.type_oid)),
                _ => None,
            })
            .map(Value::plain)
            .collect();
        let common = if wanted.len() == values.len() { self.common_type(&parts) } else { 0 };
        Some(if result == ANY_COMPATIBLE_ARRAY { self.array_of(common) } else { common })
    }

    /// `VALUE` in a domain's check.
    pub(super) fn checked_value(&self) -> Option<Value> {
        let (Kind::Type, domain) = self.bodies.last()? else { return None };
        Some(Value::plain(self.catalog.type_by_oid(*domain).map_or(0, |t| t.base)))
    }
}

/// Between types that are both PostgreSQL's own.
pub(super) const fn is_of_own_types(c: &Cast) -> bool {
    c.source < FIRST_USER_OID && c.target < FIRST_USER_OID
}
