//! Queries: SELECT, VALUES, set operations, WITH.

use std::rc::Rc;

use firsthand_model::command::Effect;
use pg_query::protobuf::{self, SetOperation, node::Node as NodeEnum};

use super::from::{Cte, Rows};
use super::naming;
use super::value::{Field, Value, oid};
use super::{Resolver, text_of};

/// Rounds in which a recursive query's columns are followed into themselves.
const ROUNDS_MAX: usize = 8;

/// Columns of one result; PostgreSQL takes no more (`MaxTupleAttributeNumber`).
pub(super) const FIELDS_MAX: usize = 1664;

impl<'a> Resolver<'a> {
    /// A query or a change with RETURNING, as a subquery or CTE.
    pub(super) fn query(&mut self, node: &protobuf::Node) -> Rows {
        let mut rows = self.query_of(node);
        rows.fields.iter_mut().for_each(|(_, value)| settled(value));
        rows
    }

    fn query_of(&mut self, node: &protobuf::Node) -> Rows {
        match &node.node {
            Some(NodeEnum::SelectStmt(it)) => self.select(it),
            Some(NodeEnum::InsertStmt(it)) => self.insert(it),
            Some(NodeEnum::UpdateStmt(it)) => self.update(it),
            Some(NodeEnum::DeleteStmt(it)) => self.delete(it),
            Some(NodeEnum::MergeStmt(it)) => self.merge(it),
            _ => {
                self.found.opaque("node", "");
                Rows::open()
            }
        }
    }

    /// A SELECT.
    pub(super) fn select(&mut self, it: &protobuf::SelectStmt) -> Rows {
        self.visit(it);
        if !self.enter() {
            self.leave();
            return Rows::open();
        }
        self.found.effect(Effect::Read);
        let before = self.ctes.len();
        if let Some(with) = &it.with_clause {
            self.with(with);
        }
        let rows = if it.op() == SetOperation::SetopNone || it.op() == SetOperation::Undefined {
            self.plain_select(it)
        } else {
            self.set_operation(it)
        };
        self.ctes.truncate(before);
        self.leave();
        rows
    }

    fn plain_select(&mut self, it: &protobuf::SelectStmt) -> Rows {
        if !it.values_lists.is_empty() {
            let rows = self.values(&it.values_lists);
            return self.tail(it, rows);
        }
        let scope = self.tables_of(&it.from_clause);
        self.scopes.push(scope);
        if let Some(condition) = &it.where_clause {
            self.condition(condition);
        }
        // Before what is computed over them.
        self.named_windows(&it.window_clause);
        let rows = self.targets(&it.target_list);
        for item in &it.group_clause {
            self.sort_item(item, &rows, true);
        }
        if let Some(condition) = &it.having_clause {
            self.condition(condition);
        }
        for item in &it.distinct_clause {
            // A plain DISTINCT is a list with an empty node: it compares whole rows.
            match item.node {
                Some(_) => self.sort_item(item, &rows, false),
                None => rows.fields.iter().for_each(|(_, value)| self.found.tests(value)),
            }
        }
        let rows = self.tail(it, rows);
        self.scopes.pop();
        if let Some(into) = &it.into_clause {
            self.made_relation(into, &rows, true);
        }
        rows
    }

    /// ORDER BY, LIMIT and locking, which come after a set operation too.
    fn tail(&mut self, it: &protobuf::SelectStmt, rows: Rows) -> Rows {
        for item in &it.sort_clause {
            self.sort_item(item, &rows, false);
        }
        for limit in [&it.limit_count, &it.limit_offset].into_iter().flatten() {
            let value = self.expression(limit);
            self.found.tests(&value);
            self.coerced(&value, oid::INT8);
        }
        if !it.locking_clause.is_empty() && !self.planning {
            self.found.effect(Effect::Lock);
        }
        rows
    }

    fn set_operation(&mut self, it: &protobuf::SelectStmt) -> Rows {
        let left = it.larg.as_ref().map_or_else(Rows::open, |q| self.select(q));
        let right = it.rarg.as_ref().map_or_else(Rows::open, |q| self.select(q));
        // Without ALL rows are compared, and how many come tells which are the same; EXCEPT and INTERSECT tell which are there.
        let compares = !it.all || it.op() != SetOperation::SetopUnion;
        if compares {
            left.fields.iter().chain(&right.fields).for_each(|(_, value)| self.found.tests(value));
        }
        let mut rows = self.both(left, &right);
        rows.fields.iter_mut().for_each(|(_, value)| settled(value));
        // ORDER BY sees the result's columns only.
        let scope = super::from::Scope::of(super::from::aliased(rows.clone(), None, ""));
        self.scopes.push(scope);
        let rows = self.tail(it, rows);
        self.scopes.pop();
        if let Some(into) = into_of(it) {
            self.made_relation(into, &rows, true);
        }
        rows
    }

    /// The columns of two sets of rows taken together.
    fn both(&mut self, left: Rows, right: &Rows) -> Rows {
        let open = left.open || right.open;
        let mut fields = Vec::with_capacity(left.fields.len());
        for (at, (name, value)) in left.fields.into_iter().enumerate() {
            let Some((_, other)) = right.fields.get(at) else {
                fields.push((name, value));
                continue;
            };
            self.brought_together([&value, other]);
            // All literals: what is next to them tells their type.
            let literals = value.type_oid == oid::UNKNOWN && other.type_oid == oid::UNKNOWN;
            let common = if literals { oid::UNKNOWN } else { self.common_type([&value, other]) };
            fields.push((name, value.alike(other).typed(common)));
        }
        Rows { fields, open }
    }

    fn values(&mut self, lists: &[protobuf::Node]) -> Rows {
        let mut out: Option<Rows> = None;
        for list in lists {
            let Some(NodeEnum::List(list)) = &list.node else { continue };
            let (values, open) = match self.listed(&list.items) {
                Ok(values) => (values, false),
                Err(values) => (values, true),
            };
            let fields = values.into_iter().enumerate();
            let row: Vec<Field> = fields.map(|(at, v)| (Rc::from(format!("column{}", at + 1)), v)).collect();
            let row = Rows { fields: row, open };
            out = Some(match out {
                Some(rows) => self.both(rows, &row),
                None => row,
            });
        }
        out.unwrap_or_default()
    }

    /// A select list.
    pub(super) fn targets(&mut self, list: &[protobuf::Node]) -> Rows {
        let mut rows = Rows::default();
        for target in list {
            let Some(NodeEnum::ResTarget(target)) = &target.node else {
                rows.open = true;
                continue;
            };
            let Some(node) = target.val.as_deref() else { continue };
            if let Some((fields, open)) = self.star(node) {
                if self.too_wide(rows.fields.len() + fields.len()) {
                    return Rows::open();
                }
                rows.fields.extend(fields);
                rows.open |= open;
                continue;
            }
            let value = self.expression(node);
            let name = if target.name.is_empty() { naming::name_of(node) } else { target.name.clone() };
            rows.fields.push((Rc::from(name), value));
        }
        rows
    }

    /// More columns than a result has, or more steps than a statement: it is opaque.
    pub(super) fn too_wide(&mut self, fields: usize) -> bool {
        let too_wide = fields > FIELDS_MAX || self.steps > super::STEPS_MAX;
        if too_wide {
            self.found.opaque(crate::UNPARSED, "too many columns");
        }
        too_wide
    }

    /// `*`, `t.*`, `(row).*`.
    pub(super) fn star(&mut self, node: &protobuf::Node) -> Option<(Vec<Field>, bool)> {
        match &node.node {
            Some(NodeEnum::ColumnRef(it)) if is_star(it.fields.last()?) => Some(self.star_ref(&it.fields)),
            Some(NodeEnum::AIndirection(it)) if is_star(it.indirection.last()?) => {
                let (_, steps) = it.indirection.split_last()?;
                let mut value = it.arg.as_ref().map_or_else(Value::default, |a| self.expression(a));
                for step in steps {
                    value = self.step(value, step);
                }
                Some(self.fields_of_value(&value))
            }
            _ => None,
        }
    }

    /// The fields of a row value; true: they are not all known.
    pub(super) fn fields_of_value(&mut self, value: &Value) -> (Vec<Field>, bool) {
        if let Some(fields) = value.named_fields() {
            return (fields, false);
        }
        let Some(relation) = self.catalog.row_type(value.type_oid) else { return (Vec::new(), true) };
        let field = |c: &crate::catalog::Column| {
            (Rc::from(&*c.name), Value::made(c.type_oid, [value]).keeping([value]))
        };
        (relation.columns.iter().map(field).collect(), relation.doubtful)
    }

    fn star_ref(&mut self, fields: &[protobuf::Node]) -> (Vec<Field>, bool) {
        match fields {
            [_] => {
                let Some(scope) = self.scopes.pop() else { return (Vec::new(), true) };
                let out = self.star_of(&scope);
                self.scopes.push(scope);
                out
            }
            [.., table, _] => {
                let schema = fields.len().checked_sub(3).and_then(|at| fields.get(at)).and_then(text_of);
                match self.table_named(schema, text_of(table).unwrap_or_default()) {
                    Some(table) => self.fields_of(&table),
                    None => (Vec::new(), true),
                }
            }
            [] => (Vec::new(), true),
        }
    }

    /// An item of ORDER BY, GROUP BY or DISTINCT ON: a number or an output name stands for a column of the result.
    pub(super) fn sort_item(&mut self, item: &protobuf::Node, rows: &Rows, inputs_first: bool) {
        let (node, using) = match &item.node {
            Some(NodeEnum::SortBy(sort)) => {
                let Some(node) = sort.node.as_deref() else { return };
                (node, sort.use_op.as_slice())
            }
            Some(NodeEnum::GroupingSet(set)) => {
                return set.content.iter().for_each(|item| self.sort_item(item, rows, inputs_first));
            }
            Some(NodeEnum::RowExpr(row)) if inputs_first => {
                return row.args.iter().for_each(|item| self.sort_item(item, rows, inputs_first));
            }
            Some(NodeEnum::List(list)) => {
                return list.items.iter().for_each(|item| self.sort_item(item, rows, inputs_first));
            }
            _ => (item, &[][..]),
        };
        let value = self.sort_value(node, rows, inputs_first);
        self.found.tests(&value);
        if !using.is_empty() {
            let (schema, name) = super::name_of(using);
            self.operator(schema, name, Some(&value), Some(&value));
        }
    }

    /// What is sorted or grouped by: an output column by its number or name, or an expression.
    fn sort_value(&mut self, node: &protobuf::Node, rows: &Rows, inputs_first: bool) -> Value {
        if let Some(number) = naming::integer(node) {
            self.literal = true;
            let at = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
            return at.and_then(|at| rows.fields.get(at)).map_or(Value::plain(0), |(_, value)| value.clone());
        }
        if let Some(name) = naming::single_name(node) {
            let named: Vec<&Field> = rows.fields.iter().filter(|(own, _)| **own == *name).collect();
            if let Some((_, value)) = named.first() {
                // GROUP BY prefers an input column of that name.
                let input = if inputs_first { self.unqualified(name) } else { None };
                return input.unwrap_or_else(|| value.clone());
            }
        }
        self.expression(node)
    }

    fn named_windows(&mut self, windows: &[protobuf::Node]) {
        for window in windows {
            if let Some(NodeEnum::WindowDef(window)) = &window.node {
                let bounds = self.window(window);
                if let Some(scope) = self.scopes.last_mut() {
                    scope.frames = scope.frames.joined(&bounds);
                }
            }
        }
    }

    /// What a window is; what the bounds of its frame are made of: how many rows stand in it tells of them.
    pub(super) fn window(&mut self, it: &protobuf::WindowDef) -> Value {
        for item in it.partition_clause.iter().chain(&it.order_clause) {
            self.sort_item(item, &Rows::default(), true);
        }
        let mut bounds = Vec::new();
        for offset in [&it.start_offset, &it.end_offset].into_iter().flatten() {
            let value = self.expression(offset);
            self.found.tests(&value);
            self.coerced(&value, 0);
            bounds.push(value);
        }
        // Which of the named ones it goes by is not followed.
        let named = self.scopes.last().map(|scope| scope.frames.clone());
        Value::made(0, bounds.iter().chain(&named))
    }

    /// WITH: each CTE sees those before it, and with RECURSIVE itself and those behind it.
    pub(super) fn with(&mut self, with: &protobuf::WithClause) {
        let base = self.ctes.len();
        let named = |node: &'_ protobuf::Node| match &node.node {
            Some(NodeEnum::CommonTableExpr(cte)) => Some(Rc::<str>::from(cte.ctename.as_str())),
            _ => None,
        };
        if with.recursive {
            for name in with.ctes.iter().filter_map(named) {
                self.ctes.push(Cte { name, rows: Rows::open() });
            }
        }
        for (at, node) in with.ctes.iter().enumerate() {
            let Some(NodeEnum::CommonTableExpr(cte)) = &node.node else { continue };
            let Some(query) = cte.ctequery.as_deref() else { continue };
            // A CTE sees the scopes around its query, not the query's own.
            let rows = if with.recursive {
                self.recursive(cte, query, base + at)
            } else {
                let rows = self.query(query);
                renamed(rows, cte)
            };
            if with.recursive {
                if let Some(slot) = self.ctes.get_mut(base + at) {
                    slot.rows = rows;
                }
            } else {
                self.ctes.push(Cte { name: Rc::from(cte.ctename.as_str()), rows });
            }
        }
    }

    fn recursive(&mut self, cte: &protobuf::CommonTableExpr, query: &protobuf::Node, at: usize) -> Rows {
        let Some(NodeEnum::SelectStmt(select)) = &query.node else {
            let rows = self.query(query);
            return renamed(rows, cte);
        };
        let set = matches!(select.op(), SetOperation::SetopUnion);
        let Some(first) = select.larg.as_deref().filter(|_| set && self.mentions(query, &cte.ctename)) else {
            let rows = self.query(query);
            return self.searched(renamed(rows, cte), cte);
        };
        let before = self.ctes.len();
        if let Some(with) = &select.with_clause {
            self.with(with);
        }
        let rows = self.select(first);
        self.ctes.truncate(before);
        let mut rows = self.searched(renamed(rows, cte), cte);
        for _ in 0..ROUNDS_MAX {
            if let Some(slot) = self.ctes.get_mut(at) {
                slot.rows = rows.clone();
            }
            let next = self.query(query);
            let next = self.searched(renamed(next, cte), cte);
            let same = |((_, a), (_, b)): (&Field, &Field)| a.sources == b.sources && a.how == b.how;
            let settled = next.fields.iter().zip(&rows.fields).all(same);
            rows = next;
            if settled {
                return rows;
            }
        }
        // Not settled: any column may come to hold any other.
        let all = Value::made(0, rows.fields.iter().map(|(_, value)| value));
        rows.fields
            .iter_mut()
            .for_each(|(_, value)| *value = Value::made(value.type_oid, [&all]).keeping([&*value]));
        if let Some(slot) = self.ctes.get_mut(at) {
            slot.rows = rows.clone();
        }
        self.query(query);
        rows
    }

    /// SEARCH and CYCLE add columns.
    fn searched(&mut self, mut rows: Rows, cte: &protobuf::CommonTableExpr) -> Rows {
        let value_of = |rows: &Rows, names: &[protobuf::Node]| {
            let of = rows.fields.iter().filter(|(n, _)| names.iter().any(|c| text_of(c) == Some(n)));
            Value::made(oid::RECORD, of.map(|(_, v)| v))
        };
        if let Some(search) = &cte.search_clause {
            let value = value_of(&rows, &search.search_col_list);
            rows.fields.push((Rc::from(search.search_seq_column.as_str()), value));
        }
        if let Some(cycle) = &cte.cycle_clause {
            let marks = [&cycle.cycle_mark_value, &cycle.cycle_mark_default].into_iter().flatten();
            let marks: Vec<Value> = marks.map(|value| self.expression(value)).collect();
            self.brought_together(&marks);
            let value = value_of(&rows, &cycle.cycle_col_list);
            // A row is compared with those before it, which the mark tells, and where the rows end.
            self.found.tests(&value);
            let mark = Value::made(oid::BOOL, marks.iter().chain([&value])).keeping(&marks);
            rows.fields.push((Rc::from(cycle.cycle_mark_column.as_str()), mark));
            rows.fields.push((Rc::from(cycle.cycle_path_column.as_str()), value));
        }
        rows
    }

    fn mentions(&self, query: &protobuf::Node, name: &str) -> bool {
        let Some(node) = &query.node else { return false };
        let mut waiting = vec![node.to_ref()];
        while let Some(node) = waiting.pop() {
            if let pg_query::NodeRef::RangeVar(table) = node
                && table.schemaname.is_empty()
                && table.relname == name
            {
                return true;
            }
            crate::tree::push_children(node, &mut waiting);
        }
        false
    }
}

fn is_star(node: &protobuf::Node) -> bool {
    matches!(node.node, Some(NodeEnum::AStar(_)))
}

/// In a set operation INTO hangs on the leftmost arm, which `plain_select` sees; PostgreSQL moves it up.
fn into_of(_: &protobuf::SelectStmt) -> Option<&protobuf::IntoClause> {
    None
}

/// A literal whose type nothing has told by the end of a query is a text.
fn settled(value: &mut Value) {
    if value.type_oid == oid::UNKNOWN {
        value.type_oid = oid::TEXT;
    }
}

fn renamed(mut rows: Rows, cte: &protobuf::CommonTableExpr) -> Rows {
    for (field, name) in rows.fields.iter_mut().zip(&cte.aliascolnames) {
        field.0 = Rc::from(text_of(name).unwrap_or_default());
    }
    rows
}
