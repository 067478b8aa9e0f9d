//! What types bring along: a domain's checks, casts with functions, orders of a user's own.

use std::collections::HashSet;
use std::sync::Arc;

use firsthand_model::statement::Output;
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::coercion::is_of_own_types;
use super::value::{Value, oid};
use super::{Kind, Resolver, name_of};
use crate::catalog::{FIRST_USER_OID, Oid, Type};

impl Resolver<'_> {
    /// The type of that name.
    pub(super) fn type_named(&self, schema: Option<&str>, name: &str) -> Option<Arc<Type>> {
        match schema {
            Some("pg_temp") => self.catalog.type_in(self.path.temporary(), name).cloned(),
            Some(schema) => self.catalog.type_in(*self.catalog.schemas.get(schema)?, name).cloned(),
            None => self.path.all().find_map(|s| self.catalog.type_in(s, name)).cloned(),
        }
    }

    /// A type as written: its number, its checks followed. 0: not known, and the statement is opaque.
    pub(super) fn type_name(&mut self, it: &protobuf::TypeName) -> Oid {
        self.visit(it);
        for modifier in &it.typmods {
            // Numbers and words; an expression is no modifier.
            if !matches!(modifier.node, Some(NodeEnum::AConst(_) | NodeEnum::ColumnRef(_))) {
                self.expression(modifier);
            }
        }
        if it.pct_type {
            self.found.opaque("type", "");
            return 0;
        }
        let (schema, name) = name_of(&it.names);
        if !self.path.is_certain() && schema.is_none() {
            self.found.opaque("search-path", name);
        }
        let Some(found) = self.type_named(schema, name) else {
            if schema.is_none() && name.starts_with('_') {
                return 0;
            }
            self.found.opaque("type", name);
            return 0;
        };
        self.type_checks(found.oid);
        if it.array_bounds.is_empty() { found.oid } else { self.array_of(found.oid) }
    }

    pub(super) fn array_of(&self, element: Oid) -> Oid {
        self.catalog.type_by_oid(element).map_or(0, |t| t.array)
    }

    /// The type of an array's elements; 0: not known, or no array.
    pub(super) fn element_of(&self, array: Oid) -> Oid {
        let element = |t: &Arc<Type>| if t.category == b'A' { t.element } else { 0 };
        match array {
            0 | oid::UNKNOWN => array,
            array => self.catalog.type_by_oid(self.catalog.base_type(array)).map_or(0, element),
        }
    }

    /// Types that a client declares for its parameters: their values are made before the statement runs.
    pub(super) fn declared_parameters(&mut self, types: &[Oid]) {
        for declared in types.iter().filter(|oid| **oid >= FIRST_USER_OID) {
            if self.catalog.type_by_oid(*declared).is_some() {
                self.type_checks(*declared);
            } else {
                self.found.opaque("type", "");
            }
        }
        let known = |oid: &Oid| if *oid == 0 { oid::UNKNOWN } else { *oid };
        self.parameter_types = types.iter().map(known).collect();
    }

    /// What making a value of a type runs: its checks, those of its parts, its input function.
    pub(super) fn type_checks(&mut self, type_oid: Oid) {
        self.sees_type(type_oid);
        self.type_orders(type_oid);
        if type_oid < FIRST_USER_OID || self.types_seen.contains(&type_oid) {
            return;
        }
        self.types_seen.push(type_oid);
        let Some(it) = self.catalog.type_by_oid(type_oid).cloned() else { return };
        if it.element != 0 {
            return self.type_checks(it.element);
        }
        if let Some(relation) = self.catalog.relation_by_oid(it.relation).cloned() {
            relation.columns.iter().for_each(|c| self.type_checks(c.type_oid));
        }
        if it.base != 0 {
            self.type_checks(it.base);
        } else if matches!(it.kind, b'r' | b'm') {
            // Made in this session: how its bounds are compared is not followed.
            self.found.opaque("type", &it.name);
        }
        for function in &it.io {
            self.run_oid(*function, "type", &it.name);
        }
        if it.checks.is_empty() && it.default.is_none() {
            return;
        }
        let path = self.state.plain_path(self.catalog);
        let checks = Arc::clone(&it);
        // A row with such a field is read from its text while a statement is only parsed.
        self.really(|me| {
            let run = me.runs_in.fingerprint();
            let facts = me.body((Kind::Type, type_oid, run), path, move |inner| {
                for text in checks.checks.iter().chain(&checks.default) {
                    inner.expression_text(text);
                }
                inner.found.output = Output::None;
            });
            me.found.take(&facts);
        });
    }

    /// Giving a value to the client runs its type's own functions: those of the type, of elements and of fields.
    pub(super) fn type_sends(&mut self, type_oid: Oid) {
        let mut waiting = vec![type_oid];
        let mut seen = HashSet::new();
        while let Some(next) = waiting.pop() {
            if next < FIRST_USER_OID || !seen.insert(next) {
                continue;
            }
            let Some(it) = self.catalog.type_by_oid(next).cloned() else { continue };
            let fields = self.catalog.relation_by_oid(it.relation).cloned();
            waiting.extend([it.element, it.base]);
            waiting.extend(fields.iter().flat_map(|r| &r.columns).map(|c| c.type_oid));
            if it.kind == b'b' {
                it.io.iter().for_each(|function| self.run_oid(*function, "type", &it.name));
            }
        }
    }

    /// Whether a value of the type may be made where one is read: from a text that stands next to it, from a document, by a
    /// function that fills a row. Making it runs what the type brings along.
    pub(super) fn is_made_in_passing(&self, mut type_oid: Oid) -> bool {
        // A domain of a domain of an array, and so on: as deep as anybody nests them.
        for _ in 0..32 {
            let Some(it) = self.catalog.type_by_oid(type_oid).filter(|_| type_oid >= FIRST_USER_OID) else {
                return false;
            };
            match it.kind {
                b'c' | b'r' | b'm' => return true,
                b'd' if !it.checks.is_empty() => return true,
                b'd' => type_oid = it.base,
                _ => type_oid = it.element,
            }
        }
        true
    }

    /// Sorting, grouping and comparing values of a type may run an operator class's functions: of the type, of an array's
    /// elements, of a row's fields.
    pub(super) fn type_orders(&mut self, type_oid: Oid) {
        if self.catalog.class_functions.is_empty() || !self.orders_seen.insert(type_oid) {
            return;
        }
        let mut waiting = vec![type_oid];
        while let Some(next) = waiting.pop() {
            let next = self.catalog.base_type(next);
            // A type whose values are those of another as they are is ordered as that.
            let ordered = |key: &&Oid| {
                **key == next
                    || self.catalog.cast(next, **key).is_some_and(|c| c.function == 0 && c.context == b'i')
            };
            let keys = self.catalog.class_functions.keys().filter(ordered);
            let functions: Vec<Oid> =
                keys.filter_map(|key| self.catalog.class_functions.get(key)).flatten().copied().collect();
            functions.into_iter().for_each(|function| self.support(function, ""));
            let Some(it) = self.catalog.type_by_oid(next) else { continue };
            let fields = self.catalog.relation_by_oid(it.relation);
            let fields = fields.iter().flat_map(|r| &r.columns).map(|c| c.type_oid);
            let parts: Vec<Oid> =
                [self.element_of(next), it.base].into_iter().filter(|o| *o != 0).chain(fields).collect();
            waiting.extend(parts.into_iter().filter(|part| self.orders_seen.insert(*part)));
        }
    }

    /// A type is in play. Casts that happen unasked run their function: so those of users' types in play count. Of others
    /// only those that happen (`coercion.rs`).
    pub(super) fn sees_type(&mut self, type_oid: Oid) {
        if self.catalog.user_casts.is_empty() {
            return;
        }
        let parts = self.parts_of(type_oid);
        let casts: Vec<Oid> = self
            .catalog
            .user_casts
            .iter()
            .filter(|c| !is_of_own_types(c) && c.context != b'e')
            // One of PostgreSQL's own types is everywhere: the user's is what counts.
            .filter(|c| parts.contains(if c.source < FIRST_USER_OID { &c.target } else { &c.source }))
            .map(|c| c.function)
            .filter(|f| !self.casts_seen.contains(f))
            .collect();
        for function in casts {
            // Before it runs: its own argument is of such a type.
            self.casts_seen.push(function);
            self.run_oid(function, "cast", "");
        }
    }

    /// The types of users that a value of a type may be taken for or apart into: a domain's base, an array's elements, the bounds
    /// of a range.
    fn parts_of(&self, type_oid: Oid) -> Vec<Oid> {
        let (mut waiting, mut parts) = (vec![type_oid], Vec::new());
        while let Some(next) = waiting.pop() {
            if next >= FIRST_USER_OID && !parts.contains(&next) {
                parts.push(next);
                let of = self.catalog.type_by_oid(next);
                waiting.extend(of.into_iter().flat_map(|it| [it.element, it.base]));
            }
        }
        parts
    }

    /// The function of a cast from a type to a type; from an unknown one, of every cast to it.
    pub(super) fn cast_function(&mut self, from: Oid, to: Oid, asked: bool) {
        if from == oid::UNKNOWN || self.catalog.user_casts.is_empty() {
            return;
        }
        let (from_base, to_base) = (self.catalog.base_type(from), self.catalog.base_type(to));
        let functions: Vec<Oid> = self
            .catalog
            .user_casts
            .iter()
            .filter(|c| {
                (asked || c.context != b'e')
                    && (c.target == to || c.target == to_base)
                    && (from == 0 || c.source == from || c.source == from_base)
            })
            .map(|c| c.function)
            .collect();
        for function in functions {
            self.run_oid(function, "cast", "");
        }
    }

    /// What casting a value to a type runs: of the types, of an array's elements, and of each field of a row. A text is read as an
    /// array or a row, which casts nothing.
    fn cast_step(&mut self, value: &Value, target: Oid) {
        if self.catalog.user_casts.is_empty() || value.type_oid == oid::UNKNOWN {
            return;
        }
        if !self.enter() {
            return self.leave();
        }
        self.cast_function(value.type_oid, target, true);
        let element = self.element_of(target);
        if element != 0 {
            let own = self.element_of(value.type_oid);
            self.cast_step(&Value::plain(own), element);
        }
        // Only a row without a type of its own is cast by its fields. Which they are may not be known.
        if matches!(value.type_oid, 0 | oid::RECORD)
            && let Some(relation) = self.catalog.row_type(target).cloned()
        {
            for (at, column) in relation.columns.iter().enumerate() {
                let field =
                    value.fields.as_ref().map(|fields| fields.get(at).map(|(_, field)| field.clone()));
                if let Some(field) = field.unwrap_or(Some(Value::plain(0))) {
                    self.cast_step(&field, column.type_oid);
                }
            }
        }
        self.leave();
    }

    /// `value::type`.
    pub(super) fn cast(&mut self, value: Value, to: &protobuf::TypeName) -> Value {
        let target = self.type_name(to);
        self.cast_step(&value, target);
        if value.sources.is_empty() {
            return Value { type_oid: target, fields: None, ..value };
        }
        if value.type_oid == target && target != 0 && value.fields.is_none() {
            return value;
        }
        // A row as a row keeps its fields, in the order of the type's columns. One that has a type already is taken for
        // another by its columns' names, or as a user's cast makes it.
        if let (Some(fields), Some(relation)) = (&value.fields, self.catalog.row_type(target)) {
            let whole = Value::made(target, [&value]).keeping([&value]);
            let (from, to) = (self.catalog.base_type(value.type_oid), self.catalog.base_type(target));
            let taken: Option<Vec<_>> = if from == to {
                return value.typed(target);
            } else if from == oid::RECORD && fields.len() == relation.columns.len() {
                Some(fields.iter().map(|(_, field)| field.clone()).collect())
            } else if self.catalog.row_type(from).is_some() && self.catalog.cast(from, to).is_none() {
                relation.columns.iter().map(|c| value.field(&c.name)).collect()
            } else {
                None
            };
            let Some(taken) = taken else { return whole };
            let named = relation.columns.iter().map(|c| std::rc::Rc::from(&*c.name)).zip(taken);
            return Value::row(target, named.collect());
        }
        let kept = value.fields.clone().filter(|_| matches!(target, oid::JSON | oid::JSONB));
        let mut made = Value::made(target, [&value]).keeping([&value]);
        made.fields = kept;
        made
    }

    /// An expression as the catalog writes it, or several: what they give.
    pub(super) fn expression_text(&mut self, text: &str) -> Vec<Value> {
        let parsed = pg_query::parse(&format!("SELECT {text}"), 0);
        let statement = parsed.ok().and_then(|p| p.protobuf.stmts.into_iter().next()).and_then(|s| s.stmt);
        let around = std::mem::replace(&mut self.stored, true);
        let values = match statement.and_then(|s| s.node) {
            Some(NodeEnum::SelectStmt(select)) => {
                self.targets(&select.target_list).fields.into_iter().map(|(_, value)| value).collect()
            }
            _ => {
                self.found.opaque("unparsed", "");
                Vec::new()
            }
        };
        self.stored = around;
        values
    }
}
