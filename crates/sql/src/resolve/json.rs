//! XML and SQL/JSON expressions and tables.

use std::rc::Rc;
use std::sync::Arc;

use firsthand_model::statement::Derivation;
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::from::{Rows, Table, aliased};
use super::value::{Field, Value, oid};
use super::{Resolver, name_of, naming};
use crate::catalog::{FIRST_USER_OID, Operator};

impl Resolver<'_> {
    /// What is no plain expression: documents are made of all that stands in them. Anything not listed is opaque.
    pub(super) fn document(&mut self, node: &NodeEnum) -> Value {
        if let Some((since, name)) = newer(node)
            && self.catalog.major < since
        {
            return self.older_call(node, name);
        }
        let type_oid = match node {
            NodeEnum::XmlExpr(_) => 142,
            NodeEnum::XmlSerialize(it) => it.type_name.as_ref().map_or(0, |t| self.type_name(t)),
            NodeEnum::JsonParseExpr(_)
            | NodeEnum::JsonScalarExpr(_)
            | NodeEnum::JsonObjectConstructor(_)
            | NodeEnum::JsonArrayConstructor(_)
            | NodeEnum::JsonObjectAgg(_)
            | NodeEnum::JsonArrayAgg(_) => oid::JSON,
            NodeEnum::JsonArrayQueryConstructor(_) | NodeEnum::JsonSerializeExpr(_) => 0,
            NodeEnum::JsonIsPredicate(_) => oid::BOOL,
            NodeEnum::JsonFuncExpr(_) | NodeEnum::JsonValueExpr(_) => 0,
            _ => {
                self.found.opaque("node", "");
                return Value::unknown(0);
            }
        };
        let mut values = Vec::new();
        let mut parts = Vec::new();
        crate::tree::push_children(node.to_ref(), &mut parts);
        for part in parts {
            self.part(part, &mut values);
        }
        values.iter().for_each(|value| self.coerced(value, 0));
        if matches!(type_oid, 0 | oid::JSON) {
            self.json_casts(&values);
        }
        let mut value = Value::made(type_oid, &values);
        if type_oid != oid::BOOL {
            value = value.keeping(&values);
        }
        let row = value.sources.len() > 1 && value.how != Derivation::Unknown;
        if row && matches!(type_oid, oid::JSON | 142) {
            value.how = Derivation::Row;
        }
        value
    }

    /// The key that a constant is. A cast may make another of it (`'ab'::char(1)`), unless it is one to a text.
    pub(super) fn key<'n>(&self, node: &'n protobuf::Node) -> Option<&'n str> {
        let NodeEnum::TypeCast(it) = node.node.as_ref()? else { return naming::string(node) };
        let to = it.type_name.as_ref()?;
        let (schema, name) = name_of(&to.names);
        let text = to.typmods.is_empty() && to.array_bounds.is_empty();
        let text = text && self.type_named(schema, name).is_some_and(|own| own.oid == oid::TEXT);
        self.key(it.arg.as_deref().filter(|_| text)?)
    }

    /// Whether this is PostgreSQL's own operator that takes out of a document what stands behind a key.
    pub(super) fn takes_a_key(&self, schema: Option<&str>, name: &str, document: &Value) -> bool {
        let of_users = |o: &Arc<Operator>| o.oid >= FIRST_USER_OID && o.left == document.type_oid;
        matches!(name, "->" | "->>")
            && schema.is_none_or(|schema| schema == "pg_catalog")
            && matches!(document.type_oid, oid::JSON | oid::JSONB)
            && !self.catalog.operators.get(name).is_some_and(|all| all.iter().any(of_users))
    }

    /// Where the server is older than the syntax, its words are a function's name like any other.
    fn older_call(&mut self, node: &NodeEnum, name: &str) -> Value {
        let mut values = Vec::new();
        let mut parts = Vec::new();
        crate::tree::push_children(node.to_ref(), &mut parts);
        for part in parts {
            self.part(part, &mut values);
        }
        self.call_named(name, &values)
    }

    /// A part of a document: containers are taken apart, the rest are expressions.
    fn part(&mut self, node: pg_query::NodeRef<'_>, out: &mut Vec<Value>) {
        use pg_query::NodeRef as N;
        if !self.enter() {
            return self.leave();
        }
        match node {
            N::TypeName(it) => {
                self.type_name(it);
            }
            N::SelectStmt(it) => {
                let rows = self.select(it);
                if rows.open {
                    out.push(Value::unknown(0));
                }
                out.extend(rows.fields.into_iter().map(|(_, value)| value));
            }
            N::WindowDef(it) => {
                let bounds = self.window(it);
                out.push(bounds);
            }
            N::SortBy(it) => {
                if let Some(node) = &it.node {
                    self.condition(node);
                }
            }
            N::ResTarget(_)
            | N::List(_)
            | N::JsonValueExpr(_)
            | N::JsonKeyValue(_)
            | N::JsonOutput(_)
            | N::JsonReturning(_)
            | N::JsonFormat(_)
            | N::JsonArgument(_)
            | N::JsonBehavior(_)
            | N::JsonAggConstructor(_)
            | N::JsonTablePathSpec(_)
            | N::NamedArgExpr(_) => {
                let mut parts = Vec::new();
                crate::tree::push_children(node, &mut parts);
                parts.into_iter().for_each(|part| self.part(part, out));
            }
            N::String(_) | N::Integer(_) | N::Float(_) | N::Boolean(_) => {}
            other => {
                let node = protobuf::Node { node: Some(other.to_enum()) };
                // The node is a copy: what is handled in it is marked on the original.
                let before = self.visited.len();
                let value = self.expression(&node);
                self.visited.truncate(before);
                self.mark(other);
                out.push(value);
            }
        }
        self.leave();
    }

    /// Marks everything below a node as handled.
    fn mark(&mut self, node: pg_query::NodeRef<'_>) {
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop() {
            use pg_query::NodeRef as N;
            match node {
                N::FuncCall(n) => self.visit(n),
                N::RangeVar(n) => self.visit(n),
                N::TypeName(n) => self.visit(n),
                N::AExpr(n) => self.visit(n),
                N::SubLink(n) => self.visit(n),
                N::SelectStmt(n) => self.visit(n),
                _ => {}
            }
            crate::tree::push_children(node, &mut waiting);
        }
    }

    /// XMLTABLE.
    pub(super) fn xml_table(&mut self, it: &protobuf::RangeTableFunc) -> Table {
        let mut inputs = Vec::new();
        for node in [&it.docexpr, &it.rowexpr].into_iter().flatten() {
            inputs.push(self.expression(node));
        }
        // How many rows come tells of the document and of what looks into it.
        inputs.iter().for_each(|value| self.found.tests(value));
        for namespace in &it.namespaces {
            if let Some(NodeEnum::ResTarget(target)) = &namespace.node
                && let Some(node) = &target.val
            {
                let value = self.expression(node);
                self.coerced(&value, oid::TEXT);
            }
        }
        let mut fields: Vec<Field> = Vec::new();
        for column in &it.columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = &column.node else { continue };
            let type_oid = column.type_name.as_ref().map_or(oid::INT4, |t| self.type_name(t));
            let mut parts = inputs.clone();
            for node in [&column.colexpr, &column.coldefexpr].into_iter().flatten() {
                parts.push(self.expression(node));
            }
            parts.iter().for_each(|value| self.coerced(value, 0));
            let value =
                if column.for_ordinality { Value::plain(oid::INT4) } else { Value::made(type_oid, &parts) };
            fields.push((Rc::from(column.colname.as_str()), value));
        }
        aliased(Rows { fields, open: false }, it.alias.as_ref(), "xmltable")
    }

    /// JSON_TABLE.
    pub(super) fn json_table(&mut self, it: &protobuf::JsonTable) -> Table {
        let mut inputs = Vec::new();
        if let Some(context) = &it.context_item {
            self.part(pg_query::NodeRef::JsonValueExpr(context), &mut inputs);
        }
        if let Some(path) = &it.pathspec {
            self.part(pg_query::NodeRef::JsonTablePathSpec(path), &mut inputs);
        }
        for argument in it.passing.iter().filter_map(|n| n.node.as_ref()) {
            self.part(argument.to_ref(), &mut inputs);
        }
        inputs.iter().for_each(|value| self.found.tests(value));
        inputs.iter().for_each(|value| self.coerced(value, 0));
        let input = Value::made(0, &inputs);
        let mut fields = Vec::new();
        self.json_columns(&it.columns, &input, &mut fields);
        aliased(Rows { fields, open: false }, it.alias.as_ref(), "json_table")
    }

    fn json_columns(&mut self, columns: &[protobuf::Node], input: &Value, out: &mut Vec<Field>) {
        for column in columns {
            let Some(NodeEnum::JsonTableColumn(column)) = &column.node else { continue };
            if !column.columns.is_empty() {
                if self.enter() {
                    self.json_columns(&column.columns, input, out);
                }
                self.leave();
                continue;
            }
            let type_oid = column.type_name.as_ref().map_or(oid::INT4, |t| self.type_name(t));
            let mut parts = vec![input.clone()];
            for behavior in [&column.on_empty, &column.on_error].into_iter().flatten() {
                self.part(pg_query::NodeRef::JsonBehavior(behavior), &mut parts);
            }
            parts.iter().skip(1).for_each(|value| self.coerced(value, 0));
            out.push((Rc::from(column.name.as_str()), Value::made(type_oid, &parts)));
        }
    }
}

/// The major version that brought this syntax, and the name of the function that it was before.
fn newer(node: &NodeEnum) -> Option<(u32, &'static str)> {
    use protobuf::JsonExprOp as Op;
    Some(match node {
        NodeEnum::JsonObjectConstructor(_) => (16, "json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => (16, "json_array"),
        NodeEnum::JsonObjectAgg(_) => (16, "json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => (16, "json_arrayagg"),
        NodeEnum::JsonParseExpr(_) => (17, "json"),
        NodeEnum::JsonScalarExpr(_) => (17, "json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => (17, "json_serialize"),
        NodeEnum::JsonFuncExpr(it) => match it.op() {
            Op::JsonExistsOp => (17, "json_exists"),
            Op::JsonQueryOp => (17, "json_query"),
            Op::JsonValueOp => (17, "json_value"),
            Op::Undefined | Op::JsonTableOp => return None,
        },
        NodeEnum::MergeSupportFunc(_) => (17, "merge_action"),
        _ => return None,
    })
}
