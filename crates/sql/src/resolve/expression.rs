//! Expressions: what they are made of, and what runs in them.

use std::rc::Rc;

use firsthand_model::statement::Derivation;
use pg_query::protobuf::{self, AExprKind, SubLinkType, a_const::Val, node::Node as NodeEnum};

use super::from::Rows;
use super::value::{Value, oid};
use super::{Resolver, builtin, text_of};
use crate::catalog::{FIRST_USER_OID, Oid, Operator};

impl Resolver<'_> {
    /// A condition: its columns are tested, and its value goes nowhere.
    pub(super) fn condition(&mut self, node: &protobuf::Node) {
        let value = self.expression(node);
        self.coerced(&value, oid::BOOL);
        self.found.tests(&value);
    }

    /// Any expression.
    pub(super) fn expression(&mut self, node: &protobuf::Node) -> Value {
        if !self.enter() {
            self.leave();
            return Value::unknown(0);
        }
        let around = std::mem::replace(&mut self.unwritten, Value::plain(0));
        let value = match &node.node {
            Some(inner) => self.expression_of(inner),
            None => Value::plain(oid::UNKNOWN),
        };
        let unwritten = std::mem::replace(&mut self.unwritten, around);
        let value = if unwritten.says_nothing() { value } else { value.joined(&unwritten) };
        self.meets(value.type_oid);
        self.sees_type(value.type_oid);
        self.leave();
        value
    }

    fn maybe(&mut self, node: Option<&protobuf::Node>) -> Value {
        node.map_or_else(|| Value::plain(oid::UNKNOWN), |n| self.expression(n))
    }

    pub(super) fn all(&mut self, nodes: &[protobuf::Node]) -> Vec<Value> {
        nodes.iter().map(|node| self.expression(node)).collect()
    }

    /// A list of expressions in which `t.*` stands for all its columns. `Err`: how many there are is not known.
    pub(super) fn listed(&mut self, nodes: &[protobuf::Node]) -> Result<Vec<Value>, Vec<Value>> {
        let (mut values, mut open) = (Vec::with_capacity(nodes.len()), false);
        for node in nodes {
            match self.star(node) {
                Some((fields, more)) => {
                    open |= more || self.too_wide(values.len() + fields.len());
                    if !open {
                        values.extend(fields.into_iter().map(|(_, value)| value));
                    }
                }
                None => values.push(self.expression(node)),
            }
        }
        if open { Err(values) } else { Ok(values) }
    }

    fn expression_of(&mut self, node: &NodeEnum) -> Value {
        match node {
            NodeEnum::ColumnRef(it) => self.column_ref(&it.fields),
            NodeEnum::ParamRef(it) => self.parameter(it.number),
            NodeEnum::SetToDefault(_) => Value::plain(oid::UNKNOWN),
            NodeEnum::AConst(it) => constant(it),
            NodeEnum::AExpr(it) => self.operation(it),
            NodeEnum::BoolExpr(it) => {
                let values = self.all(&it.args);
                values.iter().for_each(|value| self.coerced(value, oid::BOOL));
                Value::made(oid::BOOL, &values)
            }
            NodeEnum::FuncCall(it) => self.call(it),
            NodeEnum::TypeCast(it) => {
                let value = self.maybe(it.arg.as_deref());
                it.type_name.as_ref().map_or(Value::unknown(0), |to| self.cast(value, to))
            }
            NodeEnum::CollateClause(it) => self.maybe(it.arg.as_deref()),
            NodeEnum::SubLink(it) => self.sublink(it),
            NodeEnum::CaseExpr(it) => self.case(it),
            NodeEnum::CoalesceExpr(it) => self.one_of(&it.args),
            NodeEnum::MinMaxExpr(it) => self.one_of(&it.args),
            NodeEnum::NullTest(it) => {
                let value = self.maybe(it.arg.as_deref());
                self.found.tests(&value);
                Value::plain(oid::BOOL)
            }
            NodeEnum::BooleanTest(it) => {
                let value = self.maybe(it.arg.as_deref());
                self.coerced(&value, oid::BOOL);
                Value::made(oid::BOOL, [&value])
            }
            NodeEnum::RowExpr(it) => match self.listed(&it.args) {
                Ok(values) => {
                    let named = |(at, v)| (Rc::from(format!("f{}", at + 1)), v);
                    Value::row(oid::RECORD, values.into_iter().enumerate().map(named).collect())
                }
                Err(values) => {
                    let mut row = Value::made(oid::RECORD, &values).keeping(&values);
                    row.how = Derivation::Unknown;
                    row
                }
            },
            NodeEnum::AArrayExpr(it) => self.array(it),
            NodeEnum::AIndirection(it) => self.indirection(it),
            NodeEnum::SqlvalueFunction(_) => Value::plain(0),
            NodeEnum::MergeSupportFunc(_) if self.catalog.major >= 17 => Value::plain(0),
            NodeEnum::GroupingFunc(it) => {
                self.all(&it.args);
                Value::plain(oid::INT4)
            }
            NodeEnum::MultiAssignRef(it) => {
                let row = self.maybe(it.source.as_deref());
                let at = usize::try_from(it.colno).ok().and_then(|number| number.checked_sub(1));
                let own = row.fields.as_ref().zip(at).and_then(|(fields, at)| fields.get(at));
                own.map(|(_, value)| value.clone()).unwrap_or(row)
            }
            NodeEnum::NamedArgExpr(it) => self.maybe(it.arg.as_deref()),
            NodeEnum::CurrentOfExpr(it) => {
                self.by_name = true;
                if !self.state.has_cursor(&it.cursor_name) {
                    self.found.opaque("cursor", "");
                }
                Value::plain(oid::BOOL)
            }
            NodeEnum::List(it) => Value::made(0, &self.all(&it.items)),
            _ => self.document(node),
        }
    }

    fn array(&mut self, it: &protobuf::AArrayExpr) -> Value {
        let values = self.all(&it.elements);
        self.brought_together(&values);
        let element = self.common_type(&values);
        // An array of arrays has the type of one.
        let array = if self.element_of(element) == 0 {
            self.array_of(element)
        } else {
            self.catalog.base_type(element)
        };
        Value::made(array, &values).keeping(&values)
    }

    /// `(value).field`, `(value)[1]`, several of them.
    fn indirection(&mut self, it: &protobuf::AIndirection) -> Value {
        let mut value = self.maybe(it.arg.as_deref());
        let slice = |n: &protobuf::Node| match &n.node {
            Some(NodeEnum::AIndices(it)) => Some(it.is_slice),
            _ => None,
        };
        let slices: Vec<bool> = it.indirection.iter().filter_map(slice).collect();
        // `a[1][1:2]` is a slice altogether.
        let mixed = slices.contains(&true) && slices.contains(&false);
        for step in &it.indirection {
            value = self.step(value, step);
            if mixed {
                value.type_oid = 0;
            }
        }
        value
    }

    /// CASE, COALESCE, GREATEST: one of several values, chosen by what they are.
    fn one_of(&mut self, nodes: &[protobuf::Node]) -> Value {
        let values = self.all(nodes);
        let type_oid = self.common_type(&values);
        self.brought_together(&values);
        Value::made(type_oid, &values).keeping(&values)
    }

    fn case(&mut self, it: &protobuf::CaseExpr) -> Value {
        let subject = it.arg.as_deref().map(|a| self.expression(a));
        let mut conditions = Vec::new();
        let mut results = Vec::new();
        for when in &it.args {
            let Some(NodeEnum::CaseWhen(when)) = &when.node else { continue };
            let condition = self.maybe(when.expr.as_deref());
            match &subject {
                Some(subject) => self.equality(subject, &condition),
                None => self.coerced(&condition, oid::BOOL),
            }
            self.found.tests(&condition);
            conditions.push(condition);
            results.push(self.maybe(when.result.as_deref()));
        }
        results.push(self.maybe(it.defresult.as_deref()));
        let type_oid = self.common_type(&results);
        self.brought_together(&results);
        if let Some(subject) = &subject {
            self.found.tests(subject);
        }
        // Which arm it is tells of the conditions' columns.
        Value::made(type_oid, results.iter().chain(&conditions).chain(&subject)).keeping(&results)
    }

    fn sublink(&mut self, it: &protobuf::SubLink) -> Value {
        self.visit(it);
        let test = it.testexpr.as_deref().map(|t| self.expression(t));
        let rows = it.subselect.as_deref().map_or_else(Rows::open, |q| self.query(q));
        let first = rows.fields.first().map(|(_, value)| value.clone());
        let known = |value: Option<Value>| match value {
            Some(value) if !rows.open => value,
            _ => Value::unknown(0),
        };
        match it.sub_link_type() {
            SubLinkType::ExistsSublink => Value::plain(oid::BOOL),
            // Of several columns it is a row: compared with another, or assigned to as many columns.
            SubLinkType::ExprSublink if rows.fields.len() < 2 => known(first),
            SubLinkType::ExprSublink | SubLinkType::MultiexprSublink => {
                if rows.open {
                    Value::unknown(0)
                } else {
                    Value::row(oid::RECORD, rows.fields)
                }
            }
            SubLinkType::ArraySublink => {
                let value = known(first);
                let array = self.array_of(value.type_oid);
                Value::made(array, [&value]).keeping([&value])
            }
            _ => {
                let right = Value::made(0, rows.fields.iter().map(|(_, v)| v));
                let left = test.unwrap_or_default();
                if it.oper_name.is_empty() {
                    let several = left.fields.is_some();
                    let row = Value::row(oid::RECORD, rows.fields.clone());
                    self.equality(&left, &if several { row } else { first.unwrap_or_default() });
                } else {
                    let (schema, name) = super::name_of(&it.oper_name);
                    let element = if left.fields.is_some() {
                        Value::row(oid::RECORD, rows.fields.clone())
                    } else {
                        first.unwrap_or_default()
                    };
                    self.operator(schema, name, Some(&left), Some(&element));
                }
                self.found.tests(&left);
                self.found.tests(&right);
                Value::made(oid::BOOL, [&left, &right])
            }
        }
    }

    fn operation(&mut self, it: &protobuf::AExpr) -> Value {
        self.visit(it);
        let left = it.lexpr.as_deref().map(|n| self.expression(n));
        let list = match it.rexpr.as_deref().and_then(|n| n.node.as_ref()) {
            Some(NodeEnum::List(list)) => Some(self.all(&list.items)),
            _ => None,
        };
        let right = match &list {
            Some(values) => Some(Value::made(values.first().map_or(0, |v| v.type_oid), values)),
            None => it.rexpr.as_deref().map(|n| self.expression(n)),
        };
        let plain = |names: &[&str], me: &mut Self| {
            for name in names {
                for right in list.as_deref().unwrap_or(right.as_slice()) {
                    me.operator(None, name, left.as_ref(), Some(right));
                }
            }
        };
        let boolean = || Value::made(oid::BOOL, left.iter().chain(&right));
        match it.kind() {
            AExprKind::AexprBetween | AExprKind::AexprBetweenSym => {
                plain(&[">=", "<="], self);
                boolean()
            }
            AExprKind::AexprNotBetween | AExprKind::AexprNotBetweenSym => {
                plain(&["<", ">"], self);
                boolean()
            }
            AExprKind::AexprDistinct | AExprKind::AexprNotDistinct => {
                plain(&["="], self);
                boolean()
            }
            AExprKind::AexprNullif => {
                plain(&["="], self);
                // NULL tells that they are the same.
                left.iter().chain(&right).for_each(|value| self.found.tests(value));
                let type_oid = self.nullif_type(left.as_ref(), right.as_ref());
                Value::made(type_oid, left.iter().chain(&right)).keeping(&left)
            }
            AExprKind::AexprOpAny | AExprKind::AexprOpAll => {
                // The right side is an array, or a text that is read as one.
                let any = right.as_ref().map(|v| v.clone().typed(self.element_of(v.type_oid)));
                let (schema, name) = super::name_of(&it.name);
                self.operator(schema, name, left.as_ref(), any.as_ref());
                boolean()
            }
            AExprKind::AexprIn if list.is_some() => {
                let (schema, name) = super::name_of(&it.name);
                // Compared one by one, or with an array of them all.
                self.brought_together(left.iter().chain(list.iter().flatten()));
                for value in list.iter().flatten() {
                    self.operator(schema, name, left.as_ref(), Some(value));
                }
                boolean()
            }
            _ => {
                let (schema, name) = super::name_of(&it.name);
                let result = self.operator(schema, name, left.as_ref(), right.as_ref());
                if let Some(part) = left.as_ref().and_then(|left| self.part_by_key(it, left, result)) {
                    return part;
                }
                let joined = left.as_ref().zip(right.as_ref()).filter(|_| (name, result) == ("||", 0));
                let result = joined.map_or(result, |(left, right)| self.joined_arrays(schema, left, right));
                result_of(name, result, left.as_ref(), right.as_ref())
            }
        }
    }

    /// `document -> 'key'`, where what the document is made of is known.
    fn part_by_key(&mut self, it: &protobuf::AExpr, document: &Value, result: Oid) -> Option<Value> {
        let (schema, name) = super::name_of(&it.name);
        if document.fields.is_none() || !self.takes_a_key(schema, name, document) {
            return None;
        }
        let key = self.key(it.rexpr.as_deref()?)?;
        self.literal = true;
        // A key that is not known of may be there by another name.
        let part = document.field(key);
        let part = part.as_ref().unwrap_or(document);
        Some(Value::made(result, [part]).keeping([part]))
    }

    /// Two arrays of one type joined are one of that type, where no user's operator joins such. 0: they are not.
    fn joined_arrays(&self, schema: Option<&str>, left: &Value, right: &Value) -> Oid {
        let array = self.catalog.base_type(left.type_oid);
        let same = right.type_oid == oid::UNKNOWN || self.catalog.base_type(right.type_oid) == array;
        let of_users = |o: &std::sync::Arc<Operator>| o.oid >= FIRST_USER_OID && o.left == array;
        let own = schema.is_none_or(|schema| schema == "pg_catalog")
            && !self.catalog.operators.get("||").is_some_and(|all| all.iter().any(of_users));
        let arrays = !matches!(array, 0 | oid::UNKNOWN) && self.element_of(array) != 0;
        if own && same && arrays { array } else { 0 }
    }

    /// NULLIF gives its first value as `=` takes it.
    fn nullif_type(&self, left: Option<&Value>, right: Option<&Value>) -> u32 {
        let (Some(left), Some(right)) = (left, right) else { return 0 };
        let as_it_is =
            (right.type_oid == left.type_oid || right.type_oid == oid::UNKNOWN)
                && self.catalog.operators.get("=").is_some_and(|all| {
                    all.iter().any(|o| (o.left, o.right) == (left.type_oid, left.type_oid))
                });
        if as_it_is { left.type_oid } else { 0 }
    }

    /// A name: a column, a whole row, a function in disguise, or a parameter of the function around.
    fn column_ref(&mut self, fields: &[protobuf::Node]) -> Value {
        let Some(last) = fields.last() else { return Value::unknown(0) };
        let Some(name) = text_of(last) else {
            // `t.*` as a whole: a row.
            let table = fields.len().checked_sub(2).and_then(|at| fields.get(at)).and_then(text_of);
            return match table.and_then(|name| self.table_named(None, name)) {
                Some(table) => self.row_of(&table),
                None => Value::unknown(0),
            };
        };
        match fields {
            [_] => self.unqualified(name).unwrap_or_else(|| self.no_column(name)),
            [.., table, _] => {
                let schema = fields.len().checked_sub(3).and_then(|at| fields.get(at)).and_then(text_of);
                let table_name = text_of(table).unwrap_or_default();
                match self.table_named(schema, table_name) {
                    Some(table) => self.qualified(&table, name),
                    // `parameter.field` in a function's body.
                    None if self.parameter_named(table_name).is_some() => Value::unknown(0),
                    None => self.parameter_named(name).unwrap_or_else(|| self.no_column(name)),
                }
            }
            [] => Value::unknown(0),
        }
    }

    fn qualified(&mut self, table: &super::from::Table, name: &str) -> Value {
        if let Some(value) = self.column_in(table, name).or_else(|| Self::system_column(name)) {
            return value;
        }
        let row = self.row_of(table);
        self.field_or_call(&row, name)
    }

    /// An unqualified name: the innermost column, else a whole row, else a parameter.
    pub(super) fn unqualified(&mut self, name: &str) -> Option<Value> {
        for at in (0..self.scopes.len()).rev() {
            let Some(scope) = self.scopes.get_mut(at).map(std::mem::take) else { continue };
            let found = self.in_scope(&scope, name);
            if let Some(place) = self.scopes.get_mut(at) {
                *place = scope;
            }
            if found.is_some() {
                return found;
            }
        }
        if let Some(value) = self.parameter_named(name) {
            return Some(value);
        }
        if !self.scopes.is_empty()
            && let Some(value) = Self::system_column(name)
        {
            return Some(value);
        }
        let table = self.table_named(None, name)?;
        if let super::from::Columns::Given(fields) = &table.columns
            && let [(_, only)] = fields.as_slice()
            && table.slot.is_none()
            && table.row_type != oid::RECORD
            && self.catalog.row_type(table.row_type).is_none()
        {
            return Some(only.clone());
        }
        Some(self.row_of(&table))
    }

    fn parameter_named(&mut self, name: &str) -> Option<Value> {
        let declared =
            self.parameters.iter().find(|(own, _)| **own == *name).map(|(_, type_oid)| *type_oid)?;
        if declared == 0 {
            self.meets_any();
        }
        Some(Value::plain(declared))
    }

    /// The type of `$n`; one that nothing declares gets that of its place.
    fn parameter(&mut self, number: i32) -> Value {
        let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        let declared = at.and_then(|at| self.parameter_types.get(at)).copied().unwrap_or(oid::UNKNOWN);
        if declared == 0 {
            self.meets_any();
        }
        Value::plain(declared)
    }

    /// The server would not know this name either, unless something is not as the snapshot has it.
    fn no_column(&mut self, name: &str) -> Value {
        if name == "value"
            && let Some(value) = self.checked_value()
        {
            return value;
        }
        self.found.opaque("column", name);
        Value::unknown(0)
    }

    /// A step behind an expression: `.field`, `[subscript]`.
    pub(super) fn step(&mut self, value: Value, step: &protobuf::Node) -> Value {
        match &step.node {
            Some(NodeEnum::String(name)) => self.field_or_call(&value, &name.sval),
            Some(NodeEnum::AIndices(it)) => {
                let parts: Vec<Value> =
                    [&it.lidx, &it.uidx].into_iter().flatten().map(|n| self.expression(n)).collect();
                for part in &parts {
                    self.coerced(part, oid::INT4);
                    self.coerced(part, oid::TEXT);
                }
                let base = self.catalog.base_type(value.type_oid);
                let element = self.catalog.type_by_oid(base).map_or(0, |t| t.element);
                let type_oid = if base == oid::JSONB {
                    oid::JSONB
                } else if it.is_slice {
                    base
                } else {
                    element
                };
                Value::made(type_oid, std::iter::once(&value).chain(&parts)).keeping([&value])
            }
            _ => Value::made(0, [&value]),
        }
    }

    /// `(row).name`: a field, or a function of that name called with the row.
    fn field_or_call(&mut self, row: &Value, name: &str) -> Value {
        // What stands behind a document is a function's name, and never a key of it.
        if !matches!(row.type_oid, oid::JSON | oid::JSONB)
            && let Some(field) = row.field(name)
        {
            return field;
        }
        if let Some(relation) = self.catalog.row_type(row.type_oid)
            && let Some(column) = relation.column(name)
        {
            return Value::made(column.type_oid, [row]).keeping([row]);
        }
        // Whatever function has that name may be meant, or a cast to the type of that name.
        if self.function_visible(None, name) || self.type_named(None, name).is_some() {
            return self.call_by_name(
                &[protobuf::Node {
                    node: Some(NodeEnum::String(protobuf::String { sval: name.to_owned() })),
                }],
                std::slice::from_ref(row),
            );
        }
        // Of a row that is not known it may be a field. Anything else has none, unless something is not as the snapshot has it.
        if !matches!(row.type_oid, 0 | oid::RECORD) {
            self.found.opaque("column", name);
        }
        let mut value = Value::made(0, [row]).keeping([row]);
        if row.how == Derivation::Unknown || row.sources.is_empty() {
            value.how = row.how;
        }
        value
    }
}

/// What an operator gives, and what of its operands it hands on.
fn result_of(name: &str, result: Oid, left: Option<&Value>, right: Option<&Value>) -> Value {
    let value = Value::made(result, left.into_iter().chain(right));
    match (name, left) {
        ("||", _) => value.keeping(left.into_iter().chain(right)),
        // A part of what the statement itself has put together. Of a stored document it has the name that it gets.
        ("->" | "->>" | "#>" | "#>>", Some(left)) if left.how != Derivation::Same => value.keeping([left]),
        // Without some of its keys it is what it was.
        ("-" | "#-", Some(left)) if left.type_oid == oid::JSONB || left.how == Derivation::Row => {
            value.keeping([left])
        }
        // A day moved by some days is a day.
        ("+" | "-", Some(left)) if builtin::is_day(left.type_oid) && builtin::is_day(result) => {
            value.keeping([left])
        }
        _ => value,
    }
}

fn constant(it: &protobuf::AConst) -> Value {
    Value::plain(match &it.val {
        Some(Val::Ival(_)) => oid::INT4,
        Some(Val::Fval(it)) if it.fval.bytes().all(|b| b.is_ascii_digit()) && it.fval.len() < 19 => oid::INT8,
        // Not `0xE1`, which newer servers read as a whole number.
        Some(Val::Fval(it))
            if it.fval.contains(['.', 'e', 'E']) && !it.fval.contains(['x', 'X', 'o', 'O', 'b', 'B']) =>
        {
            oid::NUMERIC
        }
        // Beyond 64 bits it is a number, near it either.
        Some(Val::Fval(_)) => 0,
        Some(Val::Boolval(_)) => oid::BOOL,
        Some(Val::Bsval(_)) => 1560,
        Some(Val::Sval(_)) | None => oid::UNKNOWN,
    })
}
