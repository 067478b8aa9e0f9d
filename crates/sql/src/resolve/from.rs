//! FROM clauses: what stands in them, and looking columns up there.

use std::rc::Rc;
use std::sync::Arc;

use firsthand_model::statement::{Derivation, Output};
use pg_query::protobuf::{self, node::Node as NodeEnum};

use super::facts::Slot;
use super::value::{Field, Value, oid};
use super::{Kind, Resolver, text_of};
use crate::catalog::{Oid, Relation};

/// What one place sees by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) tables: Vec<Table>,
    /// What `*` gives, and where unqualified names are looked up.
    pub(super) star: Vec<Part>,
    /// What the bounds of its named windows are made of.
    pub(super) frames: Value,
}

/// A piece of `*`.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// All columns of a table but those merged away by a join.
    All(usize, Vec<Rc<str>>),
    /// A column that a join has merged.
    Merged(Rc<str>, Value),
}

/// Something in FROM, by name.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: Rc<str>,
    /// Only reachable by qualified names (`excluded`, `old`), or hidden by a join's alias.
    pub(super) columns: Columns,
    /// The relation that its columns count for.
    pub(super) slot: Option<Slot>,
    pub(super) row_type: Oid,
}

/// The columns of a table.
#[derive(Clone, Debug)]
pub(super) enum Columns {
    /// Those of a relation in the catalog, the first of them renamed.
    Of(Arc<Relation>, Vec<Rc<str>>),
    /// These.
    Given(Rc<Vec<Field>>),
    /// Not known.
    Open,
}

/// A CTE.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: Rc<str>,
    pub(super) rows: Rows,
}

/// Rows of a query: their columns; `open`: and perhaps others.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) fields: Vec<Field>,
    pub(super) open: bool,
}

impl Rows {
    pub(super) fn open() -> Self {
        Self { fields: Vec::new(), open: true }
    }
}

/// Columns that every table has and that hold no data.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl Scope {
    /// One table.
    pub(super) fn of(table: Table) -> Self {
        Self { tables: vec![table], star: vec![Part::All(0, Vec::new())], ..Self::default() }
    }

    /// Adds another's tables and columns behind the own.
    pub(super) fn extend(&mut self, other: Self) {
        let shift = self.tables.len();
        self.tables.extend(other.tables);
        self.star.extend(other.star.into_iter().map(|part| match part {
            Part::All(at, hidden) => Part::All(at + shift, hidden),
            merged @ Part::Merged(..) => merged,
        }));
    }
}

impl Resolver<'_> {
    /// A FROM clause: each item sees those before it if it is LATERAL.
    pub(super) fn tables_of(&mut self, items: &[protobuf::Node]) -> Scope {
        let mut scope = Scope::default();
        for item in items {
            self.scopes.push(scope);
            let more = self.table_of(item);
            scope = self.scopes.pop().unwrap_or_default();
            scope.extend(more);
        }
        scope
    }

    fn table_of(&mut self, item: &protobuf::Node) -> Scope {
        if !self.enter() {
            self.leave();
            return Scope::default();
        }
        let scope = match &item.node {
            Some(NodeEnum::RangeVar(it)) => Scope::of(self.table(it)),
            Some(NodeEnum::RangeSubselect(it)) => {
                let rows = self.unless_lateral(it.lateral, |me| {
                    it.subquery.as_ref().map_or_else(Rows::open, |q| me.query(q))
                });
                Scope::of(aliased(rows, it.alias.as_ref(), ""))
            }
            Some(NodeEnum::RangeFunction(it)) => Scope::of(self.function_table(it)),
            Some(NodeEnum::RangeTableFunc(it)) => Scope::of(self.xml_table(it)),
            Some(NodeEnum::JsonTable(it)) => Scope::of(self.json_table(it)),
            Some(NodeEnum::RangeTableSample(it)) => self.sample(it),
            Some(NodeEnum::JoinExpr(it)) => self.join(it),
            _ => {
                self.found.opaque("node", "");
                Scope::default()
            }
        };
        self.leave();
        scope
    }

    /// A subquery in FROM sees what stands before it only if it is LATERAL.
    fn unless_lateral(&mut self, lateral: bool, work: impl FnOnce(&mut Self) -> Rows) -> Rows {
        if lateral {
            return work(self);
        }
        let hidden = self.scopes.pop();
        let rows = work(self);
        self.scopes.extend(hidden);
        rows
    }

    fn sample(&mut self, it: &protobuf::RangeTableSample) -> Scope {
        let scope = it.relation.as_ref().map_or_else(Scope::default, |r| self.table_of(r));
        for argument in it.args.iter().chain(it.repeatable.as_deref()) {
            let value = self.expression(argument);
            // How many rows come tells of it.
            self.found.tests(&value);
            self.coerced(&value, 0);
        }
        self.call_by_name(&it.method, &[Value::plain(0)]);
        scope
    }

    /// A relation, or the CTE of that name.
    pub(super) fn table(&mut self, it: &protobuf::RangeVar) -> Table {
        self.visit(it);
        if it.schemaname.is_empty()
            && let Some(cte) = self.ctes.iter().rev().find(|c| *c.name == *it.relname)
        {
            let rows = cte.rows.clone();
            return aliased(rows, it.alias.as_ref(), &it.relname);
        }
        self.relation_table(it, false)
    }

    fn join(&mut self, it: &protobuf::JoinExpr) -> Scope {
        let mut left = it.larg.as_ref().map_or_else(Scope::default, |n| self.table_of(n));
        // The right side sees the left one if it is LATERAL.
        let outside = self.scopes.pop().unwrap_or_default();
        let mut both = outside.clone();
        both.extend(left.clone());
        self.scopes.push(both);
        let right = it.rarg.as_ref().map_or_else(Scope::default, |n| self.table_of(n));
        self.scopes.pop();
        self.scopes.push(outside);
        let shared = if it.is_natural {
            self.shared_names(&left, &right)
        } else {
            it.using_clause.iter().filter_map(text_of).map(Rc::from).collect()
        };
        let full = it.jointype() == protobuf::JoinType::JoinFull;
        let take_right = it.jointype() == protobuf::JoinType::JoinRight;
        let mut merged = Vec::new();
        for name in &shared {
            let a = self.in_scope(&left, name).unwrap_or_else(|| Value::unknown(0));
            let b = self.in_scope(&right, name).unwrap_or_else(|| Value::unknown(0));
            self.found.tests(&a);
            self.found.tests(&b);
            self.equality(&a, &b);
            self.meets(a.type_oid);
            self.meets(b.type_oid);
            self.brought_together([&a, &b]);
            let type_oid = if a.type_oid == b.type_oid { a.type_oid } else { 0 };
            let value = if full {
                Value::made(type_oid, [&a, &b]).keeping([&a, &b])
            } else if take_right {
                b.typed(type_oid)
            } else {
                a.typed(type_oid)
            };
            merged.push(Part::Merged(Rc::clone(name), value));
        }
        let mut scope = std::mem::take(&mut left);
        scope.extend(right);
        hide(&mut scope.star, &shared);
        merged.append(&mut scope.star);
        scope.star = merged;
        if let Some(quals) = &it.quals {
            self.scopes.push(scope);
            self.condition(quals);
            scope = self.scopes.pop().unwrap_or_default();
        }
        match (&it.alias, &it.join_using_alias) {
            (Some(alias), _) => {
                let (fields, open) = self.star_of(&scope);
                Scope::of(aliased(Rows { fields, open }, Some(alias), ""))
            }
            (None, Some(using)) => {
                let fields = scope.star.iter().filter_map(|p| match p {
                    Part::Merged(name, value) if shared.contains(name) => {
                        Some((Rc::clone(name), value.clone()))
                    }
                    _ => None,
                });
                let table = aliased(Rows { fields: fields.collect(), open: false }, Some(using), "");
                scope.tables.push(table);
                scope
            }
            (None, None) => scope,
        }
    }

    /// The names that a NATURAL join merges.
    fn shared_names(&mut self, left: &Scope, right: &Scope) -> Vec<Rc<str>> {
        let (a, open_a) = self.star_of(left);
        let (b, open_b) = self.star_of(right);
        if open_a || open_b {
            self.found.opaque("relation", "");
        }
        a.iter()
            .filter(|(name, _)| b.iter().any(|(other, _)| other == name))
            .map(|(n, _)| Rc::clone(n))
            .collect()
    }

    /// All columns that `*` gives in this scope; true: and perhaps others.
    pub(super) fn star_of(&mut self, scope: &Scope) -> (Vec<Field>, bool) {
        let (mut out, mut open) = (Vec::new(), false);
        for part in &scope.star {
            if self.too_wide(out.len()) {
                return (Vec::new(), true);
            }
            match part {
                Part::Merged(name, value) => out.push((Rc::clone(name), value.clone())),
                Part::All(at, hidden) => {
                    let Some(table) = scope.tables.get(*at) else { continue };
                    let (fields, more) = self.fields_of(table);
                    open |= more;
                    out.extend(fields.into_iter().filter(|(name, _)| !hidden.contains(name)));
                }
            }
        }
        (out, open)
    }

    /// All columns of a table.
    pub(super) fn fields_of(&mut self, table: &Table) -> (Vec<Field>, bool) {
        match &table.columns {
            Columns::Open => (Vec::new(), true),
            Columns::Given(fields) => {
                self.steps += fields.len();
                if let Some(slot) = table.slot {
                    fields.iter().for_each(|(name, _)| self.found.uses(slot, name));
                }
                (fields.as_ref().clone(), false)
            }
            Columns::Of(relation, names) => {
                self.steps += relation.columns.len();
                let mut out = Vec::with_capacity(relation.columns.len());
                for (at, column) in relation.columns.iter().enumerate() {
                    let name = names.get(at).map_or_else(|| Rc::from(&*column.name), Rc::clone);
                    out.push((name, self.column_value(table.slot, relation, at)));
                }
                (out, relation.doubtful)
            }
        }
    }

    fn column_value(&mut self, slot: Option<Slot>, relation: &Relation, at: usize) -> Value {
        let (Some(slot), Some(column)) = (slot, relation.columns.get(at)) else { return Value::unknown(0) };
        self.type_orders(column.type_oid);
        self.sees_type(column.type_oid);
        self.meets(column.type_oid);
        if column.type_oid == 0 {
            self.meets_any();
        }
        let source = self.found.column(slot, relation, column);
        if let Some(origin) = &column.origin {
            let mut value = Value::plain(column.type_oid);
            value.how = origin.1;
            value.sources = origin.0.iter().map(|c| self.found.source(c)).collect();
            value.sources.sort_unstable();
            if value.how == Derivation::Same {
                value.kept.clone_from(&value.sources);
            }
            return value;
        }
        if self.catalog.generated.contains_key(&relation.oid) {
            let own = Value::column(column.type_oid, source);
            return self
                .generated(relation.oid, &column.name)
                .iter()
                .fold(own, |value, made| value.joined(made));
        }
        let system = relation.is_system() && super::builtin::holds_values(&relation.name, &column.name);
        if system || relation.kind == b't' {
            return Value::unknown(column.type_oid);
        }
        Value::column(column.type_oid, source)
    }

    /// What a generated column is made of, in its table and in those that inherit from it. It is worked out when a row is
    /// written; who reads it reads what it was made of.
    fn generated(&mut self, relation: Oid, name: &str) -> Vec<Value> {
        let catalog = self.catalog;
        let mut made = Vec::new();
        for (_, table) in catalog.generated.get(&relation).into_iter().flatten().filter(|(n, _)| **n == *name)
        {
            let Some(it) = catalog.relation_by_oid(*table).cloned() else { continue };
            let Some((number, Some(text))) = it.column(name).map(|c| (c.number, c.default.clone())) else {
                continue;
            };
            let path = self.state.plain_path(catalog);
            let run = self.runs_in.fingerprint().rotate_left(2) ^ u64::from(number.unsigned_abs());
            let key = (Kind::Generated, *table, run);
            let facts = self.body(key, path, move |inner| {
                let scope = inner.scope_of(&it);
                inner.scopes.push(scope);
                let values = inner.expression_text(&text);
                let column = inner.found.output_column("", &Value::made(0, &values).keeping(&values), 0);
                inner.found.output = Output::Columns(vec![column]);
            });
            match &facts.output {
                Output::Columns(columns) if facts.opaque.is_none() => {
                    made.extend(columns.iter().map(|column| self.found.output_value(column, 0)));
                }
                _ => made.push(Value::unknown(0)),
            }
        }
        made
    }

    /// A column of a table by its name.
    pub(super) fn column_in(&mut self, table: &Table, name: &str) -> Option<Value> {
        match &table.columns {
            Columns::Open => Some(self.open_value(table, name)),
            Columns::Given(fields) => {
                let found = fields.iter().find(|(own, _)| &**own == name).map(|(_, value)| value.clone());
                if let (Some(slot), Some(_)) = (table.slot, &found) {
                    self.found.uses(slot, name);
                }
                found
            }
            Columns::Of(relation, names) => {
                let renamed = names.iter().position(|n| &**n == name);
                let at = renamed.or_else(|| {
                    let at = relation.columns.iter().position(|c| &*c.name == name)?;
                    (at >= names.len()).then_some(at)
                });
                match at {
                    Some(at) => Some(self.column_value(table.slot, relation, at)),
                    None if relation.doubtful => Some(self.open_value(table, name)),
                    None => None,
                }
            }
        }
    }

    fn open_value(&mut self, table: &Table, name: &str) -> Value {
        let mut value = Value::unknown(0);
        if let Some(slot) = table.slot {
            self.found.uses(slot, name);
            value.sources = vec![self.found.any_column(slot, name)];
        }
        value
    }

    /// An unqualified name in one scope.
    pub(super) fn in_scope(&mut self, scope: &Scope, name: &str) -> Option<Value> {
        let mut found: Option<Value> = None;
        for part in &scope.star {
            let value = match part {
                Part::Merged(own, value) => (&**own == name).then(|| value.clone()),
                Part::All(_, hidden) if hidden.iter().any(|h| &**h == name) => None,
                Part::All(at, _) => scope.tables.get(*at).and_then(|table| self.column_in(table, name)),
            };
            // Ambiguous for the server, unless one of them is not known.
            found = match (found, value) {
                (Some(a), Some(b)) => Some(Value::made(0, [&a, &b]).keeping([&a, &b])),
                (a, b) => a.or(b),
            };
        }
        found
    }

    /// A table by its name, in the innermost scope that has one.
    pub(super) fn table_named(&self, schema: Option<&str>, name: &str) -> Option<Table> {
        let named = |table: &&Table| {
            *table.name == *name
                && schema.is_none_or(|schema| match &table.columns {
                    Columns::Of(relation, _) => *relation.schema == *schema || schema == "pg_temp",
                    Columns::Given(_) | Columns::Open => true,
                })
        };
        self.scopes.iter().rev().find_map(|scope| scope.tables.iter().find(named)).cloned()
    }

    /// A whole row of a table.
    pub(super) fn row_of(&mut self, table: &Table) -> Value {
        let (mut fields, open) = self.fields_of(table);
        // A row of a type has the type's names in a document, and an alias's where a column is asked for.
        let of_type = match &table.columns {
            Columns::Of(relation, _) => Some(relation),
            Columns::Given(_) | Columns::Open => self.catalog.row_type(table.row_type),
        };
        let own = of_type.map(|relation| relation.columns.iter().map(|c| Rc::from(&*c.name)));
        let own: Vec<Rc<str>> = own.into_iter().flatten().collect();
        let renamed = own.iter().zip(&fields).any(|(own, (name, _))| own != name);
        let mut also = Vec::new();
        if renamed {
            for ((name, _), own) in fields.iter_mut().zip(own) {
                also.push(std::mem::replace(name, own));
            }
        }
        let mut value = Value::row(table.row_type, fields).called(also);
        if open {
            value.how = Derivation::Unknown;
            value.fields = None;
            if let Some(slot) = table.slot {
                let any = self.found.any_column(slot, "");
                value.take(&Value { sources: vec![any], ..Value::unknown(0) });
            }
        }
        value
    }

    /// Whether the name is that of a column which every table has.
    pub(super) fn system_column(name: &str) -> Option<Value> {
        // `oid`, `tid`, `cid`, `xid`.
        let type_oid = match name {
            "tableoid" => 26,
            "ctid" => 27,
            "cmin" | "cmax" => 29,
            _ => 28,
        };
        SYSTEM_COLUMNS.contains(&name).then(|| Value::plain(type_oid))
    }
}

fn hide(star: &mut [Part], names: &[Rc<str>]) {
    for part in star.iter_mut() {
        match part {
            Part::All(_, hidden) => hidden.extend(names.iter().cloned()),
            Part::Merged(..) => {}
        }
    }
}

/// Rows under an alias, its column names in place of the first of theirs.
pub(super) fn aliased(rows: Rows, alias: Option<&protobuf::Alias>, name: &str) -> Table {
    let Rows { mut fields, open } = rows;
    let mut own = Rc::from(name);
    if let Some(alias) = alias {
        own = Rc::from(alias.aliasname.as_str());
        for (field, column) in fields.iter_mut().zip(&alias.colnames) {
            field.0 = Rc::from(text_of(column).unwrap_or_default());
        }
    }
    let columns = if open { Columns::Open } else { Columns::Given(Rc::new(fields)) };
    Table { name: own, columns, slot: None, row_type: oid::RECORD }
}

/// The column names of an alias.
pub(super) fn alias_columns(alias: Option<&protobuf::Alias>) -> Vec<Rc<str>> {
    alias.map_or_else(Vec::new, |a| a.colnames.iter().filter_map(text_of).map(Rc::from).collect())
}
